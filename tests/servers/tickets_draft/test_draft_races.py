"""What several threads do to drafts at once, each with a connection of its own."""

from collections import Counter
from collections.abc import Generator
from functools import partial
from typing import Any

import pytest
from sqlalchemy import Engine

from tests.servers.tickets_draft.ticketing import (
    ALICE,
    CHANGED,
    Moment,
    at_once,
    changes_of,
    counts,
    principal,
)
from tunnelgate_servers.hosting import RequestError, open_writer, read_url
from tunnelgate_servers.tickets_draft import Draft, Drafts, Ticket
from tunnelgate_servers.tickets_draft.drafts import MAX_DRAFTS
from tunnelgate_servers.tickets_draft.tickets import Tickets

ROUNDS = 5


@pytest.fixture
def other_drafts(database: str, clock: Moment) -> Generator[Drafts]:
    """Give the same drafts as another process has them."""
    engine = open_writer(read_url(database))
    yield Drafts(engine, clock=clock)
    engine.dispose()


def drafted(drafts: Drafts, title: str = "t", **more: Any) -> Draft:
    return drafts.create(ALICE, title=title, body="b", priority="low", **more)


def kinds(results: list[object]) -> Counter[type[object]]:
    return Counter(type(each) for each in results)


def test_of_twenty_updates_from_one_version_one_wins(
    drafts: Drafts, other_drafts: Drafts, engine: Engine
) -> None:
    draft = drafted(drafts)
    both = [drafts, other_drafts]

    results = at_once(
        [
            partial(both[number % 2].update, ALICE, draft.id, 1, title=f"from thread {number}")
            for number in range(20)
        ]
    )

    (winner,) = [each for each in results if isinstance(each, Draft)]
    assert winner.title == f"from thread {results.index(winner)}"
    assert {str(each) for each in results if isinstance(each, RequestError)} == {CHANGED}
    assert drafts.read(ALICE, draft.id) == winner
    assert changes_of(engine) == [("create", draft.id, None, 1), ("update", draft.id, 1, 2)]


def test_no_update_is_lost_when_each_reads_before_it_writes_and_tries_again(
    drafts: Drafts, other_drafts: Drafts, engine: Engine
) -> None:
    draft = drafted(drafts, title="x")

    def append(through: Drafts) -> None:
        for _ in range(100):
            now = through.read(ALICE, draft.id)
            try:
                through.update(ALICE, draft.id, now.version, title=f"{now.title}x")
            except RequestError:
                continue
            return
        raise AssertionError("it never won")

    at_once([partial(append, each) for each in (drafts, other_drafts) * 4])

    now = drafts.read(ALICE, draft.id)
    assert (now.title, now.version) == ("x" * 9, 9)
    assert len(changes_of(engine)) == 9


@pytest.mark.parametrize("round_", range(ROUNDS))
def test_of_submit_update_and_discard_at_once_exactly_one_happens(
    drafts: Drafts, other_drafts: Drafts, engine: Engine, round_: int
) -> None:
    draft = drafted(drafts)

    results = at_once(
        [
            partial(drafts.submit, ALICE, draft.id, 1),
            partial(other_drafts.update, ALICE, draft.id, 1, title="B"),
            partial(drafts.discard, ALICE, draft.id, 1),
            partial(other_drafts.submit, ALICE, draft.id, 1),
            partial(drafts.update, ALICE, draft.id, 1, title="C"),
            partial(other_drafts.discard, ALICE, draft.id, 1),
        ]
    )

    assert kinds(results)[RequestError] == 5, results
    (winner,) = [each for each in results if not isinstance(each, RequestError)]
    submitted, updated = isinstance(winner, Ticket), isinstance(winner, Draft)
    found = counts(engine)
    assert (found["tickets"], found["drafts"]) == (int(submitted), int(updated))
    actions = [action for action, *_ in changes_of(engine)]
    expected = ["submit", "open"] if submitted else ["update"] if updated else ["discard"]
    assert actions == ["create", *expected]


def test_of_twenty_who_submit_a_draft_one_makes_a_ticket(
    drafts: Drafts, other_drafts: Drafts, engine: Engine
) -> None:
    draft = drafted(drafts)

    results = at_once([partial(each.submit, ALICE, draft.id, 1) for each in (drafts, other_drafts) * 10])

    assert kinds(results) == {Ticket: 1, RequestError: 19}
    assert {str(each) for each in results if isinstance(each, RequestError)} == {
        "This draft was submitted, and is the ticket TCK-1001 now."
    }
    assert counts(engine)["tickets"] == 1


def test_ten_calls_with_one_key_make_one_draft(drafts: Drafts, other_drafts: Drafts, engine: Engine) -> None:
    results = at_once([partial(drafted, each, idempotency_key="k") for each in (drafts, other_drafts) * 5])

    assert len(set(results)) == 1
    assert isinstance(results[0], Draft)
    assert counts(engine) == {"drafts": 1, "tickets": 0, "keys": 1, "changes": 1}


def test_of_ten_calls_with_one_key_and_two_texts_those_with_one_text_are_refused(
    drafts: Drafts, other_drafts: Drafts, engine: Engine
) -> None:
    both = [drafts, other_drafts]

    results = at_once(
        [
            partial(drafted, both[number % 2], title=f"{number % 2}", idempotency_key="k")
            for number in range(10)
        ]
    )

    assert kinds(results) == {Draft: 5, RequestError: 5}
    assert counts(engine)["drafts"] == 1


def test_the_limit_holds_when_the_last_places_are_raced_for(
    drafts: Drafts, other_drafts: Drafts, engine: Engine
) -> None:
    for number in range(MAX_DRAFTS - 3):
        drafted(drafts, title=str(number))

    results = at_once([partial(drafted, each) for each in (drafts, other_drafts) * 5])

    assert kinds(results) == {Draft: 3, RequestError: 7}
    assert counts(engine)["drafts"] == MAX_DRAFTS


def test_principals_who_begin_at_once_have_their_own_drafts(
    drafts: Drafts, other_drafts: Drafts, engine: Engine
) -> None:
    people = [principal(f"person {number % 6}") for number in range(12)]
    both = [drafts, other_drafts]

    results = at_once(
        [
            partial(both[number % 2].create, who, title=str(number), body="b", priority="low")
            for number, who in enumerate(people)
        ]
    )

    assert kinds(results) == {Draft: 12}
    assert [sorted(each.title for each in drafts.of(who)) for who in people[:6]] == [
        sorted([str(number), str(number + 6)]) for number in range(6)
    ]


def test_of_twenty_who_close_a_ticket_one_does(drafts: Drafts, tickets: Tickets, engine: Engine) -> None:
    ticket = drafts.submit(ALICE, drafted(drafts).id, 1)

    results = at_once([partial(tickets.close, ALICE, ticket.id, 1)] * 20)

    assert kinds(results) == {Ticket: 1, RequestError: 19}
    assert changes_of(engine, ticket.id) == [("open", ticket.id, None, 1), ("close", ticket.id, 1, 2)]


def test_tickets_made_at_once_have_numbers_of_their_own(
    drafts: Drafts, other_drafts: Drafts, tickets: Tickets
) -> None:
    made = [drafted(drafts, title=str(number)) for number in range(10)]
    both = [drafts, other_drafts]

    results = at_once(
        [partial(both[number % 2].submit, ALICE, draft.id, 1) for number, draft in enumerate(made)]
    )

    assert sorted(each.id for each in results) == [f"TCK-{number}" for number in range(1001, 1011)]
    assert [tickets.read(each.id).title for each in results] == [draft.title for draft in made]
