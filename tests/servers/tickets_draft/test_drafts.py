"""Drafts: whose they are, how they change, and how one becomes a ticket."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, select

from tests.servers.tickets_draft.ticketing import (
    ALICE,
    CHANGED,
    NO_SUCH,
    OTHERS,
    Moment,
    changes_of,
    contents,
    counts,
    principal,
)
from tunnelgate import Principal
from tunnelgate_servers.hosting import RequestError, UnavailableError
from tunnelgate_servers.tickets_draft import Draft, Drafts
from tunnelgate_servers.tickets_draft.drafts import MAX_DRAFTS
from tunnelgate_servers.tickets_draft.identifiers import is_draft_id, new_draft_id
from tunnelgate_servers.tickets_draft.keys import KEPT
from tunnelgate_servers.tickets_draft.models import ChangeRow
from tunnelgate_servers.tickets_draft.records import MAX_BODY_CHARACTERS, MAX_TITLE_CHARACTERS
from tunnelgate_servers.tickets_draft.tickets import Tickets

BLANK = "The {} has to have 1 to {} characters, and not only white space."

Change = Callable[[Drafts, Principal, str, int], Any]


def retitle(drafts: Drafts, who: Principal, draft_id: str, version: int) -> Draft:
    return drafts.update(who, draft_id, version, title="B")


CHANGES = [
    pytest.param(retitle, id="updated"),
    pytest.param(Drafts.discard, id="discarded"),
    pytest.param(Drafts.submit, id="submitted"),
]


def drafted(drafts: Drafts, who: Principal = ALICE, title: str = "The door is stuck", **more: Any) -> Draft:
    return drafts.create(who, title=title, body="On the third floor.", priority="normal", **more)


def test_a_draft_is_what_was_given(drafts: Drafts, clock: Moment) -> None:
    draft = drafts.create(ALICE, title="Ä title", body="A\n\n\tbody 🚪", priority="urgent")

    assert is_draft_id(draft.id)
    assert draft == Draft(
        id=draft.id,
        title="Ä title",
        body="A\n\n\tbody 🚪",
        priority="urgent",
        version=1,
        created_at=clock.now,
        updated_at=clock.now,
    )
    assert drafts.read(ALICE, draft.id) == draft


def test_times_are_kept_to_the_second_in_utc_whatever_the_zone_of_the_clock(engine: Engine) -> None:
    local = datetime.fromisoformat("2026-11-22T23:30:01.999+05:30")

    draft = drafted(Drafts(engine, clock=lambda: local))

    assert draft.created_at == datetime(2026, 11, 22, 18, 0, 1, tzinfo=UTC)
    assert draft.created_at.utcoffset() == timedelta(0)


def test_a_clock_without_a_zone_is_an_error_and_nothing_is_written(engine: Engine) -> None:
    drafts = Drafts(engine, clock=lambda: datetime(2026, 11, 22))  # noqa: DTZ001 - the fault that is meant

    with pytest.raises(UnavailableError) as raised:
        drafted(drafts)

    assert "a point in time needs a zone" in str(raised.value.__cause__)
    assert counts(engine)["drafts"] == 0


def test_the_longest_texts_fit_and_one_character_more_does_not(drafts: Drafts, engine: Engine) -> None:
    title, body = "é" * MAX_TITLE_CHARACTERS, "🚪" * MAX_BODY_CHARACTERS

    draft = drafts.create(ALICE, title=title, body=body, priority="low")

    assert (draft.title, draft.body) == (title, body)
    before = contents(engine)
    refused: list[tuple[dict[str, Any], str]] = [
        ({"title": f"{title}x"}, BLANK.format("title", MAX_TITLE_CHARACTERS)),
        ({"body": f"{body}x"}, BLANK.format("body", MAX_BODY_CHARACTERS)),
    ]
    for texts, sentence in refused:
        with pytest.raises(RequestError) as raised:
            drafts.create(ALICE, priority="low", **{"title": "t", "body": "b", **texts})
        assert str(raised.value) == sentence
        with pytest.raises(RequestError) as raised:
            drafts.update(ALICE, draft.id, 1, **texts)
        assert str(raised.value) == sentence
    assert contents(engine) == before


@pytest.mark.parametrize(
    "text", ["", "  ", "\n\t\n", "\u3000"], ids=["empty", "blanks", "lines", "wide blank"]
)
def test_a_text_that_says_nothing_is_refused(drafts: Drafts, engine: Engine, text: str) -> None:
    with pytest.raises(RequestError, match=r"^The title has to have 1 to 200 characters, and not only white"):
        drafts.create(ALICE, title=text, body="b", priority="low")
    with pytest.raises(
        RequestError, match=r"^The body has to have 1 to 20000 characters, and not only white"
    ):
        drafts.create(ALICE, title="t", body=text, priority="low")

    assert counts(engine) == {"drafts": 0, "tickets": 0, "keys": 0, "changes": 0}


def test_an_update_changes_what_is_given_and_nothing_else(drafts: Drafts, clock: Moment) -> None:
    draft = drafted(drafts)
    clock.now += timedelta(minutes=1)

    first = drafts.update(ALICE, draft.id, 1, title="The door is open")
    second = drafts.update(ALICE, draft.id, 2, body="It was the wind.", priority="low")

    assert (first.title, first.body, first.priority) == ("The door is open", draft.body, "normal")
    assert (first.version, first.created_at, first.updated_at) == (2, draft.created_at, clock.now)
    assert (second.title, second.body, second.priority) == ("The door is open", "It was the wind.", "low")
    assert second.version == 3
    assert drafts.read(ALICE, draft.id) == second


def test_an_update_of_nothing_is_refused(drafts: Drafts, engine: Engine) -> None:
    draft = drafted(drafts)
    before = contents(engine)

    with pytest.raises(RequestError, match=r"^Give what is to be changed: a title, a body or a priority.$"):
        drafts.update(ALICE, draft.id, 1)

    assert contents(engine) == before


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("version", [1, 3, 0, -1, 2**31 - 1])
def test_a_draft_of_another_version_is_not(
    drafts: Drafts, engine: Engine, change: Change, version: int
) -> None:
    draft = drafted(drafts)
    drafts.update(ALICE, draft.id, 1, title="B")
    before = contents(engine)

    with pytest.raises(RequestError) as raised:
        change(drafts, ALICE, draft.id, version)

    assert str(raised.value) == CHANGED
    assert contents(engine) == before


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("other", [pytest.param(who, id=name) for who, name in OTHERS])
@pytest.mark.promise("rows-by-principal")
def test_a_draft_of_somebody_else_is_answered_like_one_that_does_not_exist(
    drafts: Drafts, engine: Engine, change: Change, other: Principal
) -> None:
    draft = drafted(drafts)
    drafted(drafts, other)
    before = contents(engine)

    for identifier in (draft.id, new_draft_id()):
        for version in (1, 2):
            with pytest.raises(RequestError) as raised:
                change(drafts, other, identifier, version)
            assert str(raised.value) == NO_SUCH
        with pytest.raises(RequestError) as raised:
            drafts.read(other, identifier)
        assert str(raised.value) == NO_SUCH

    assert contents(engine) == before


def test_the_same_person_has_the_same_drafts_through_every_client(drafts: Drafts) -> None:
    draft = drafted(drafts, principal(client_id="agent"))

    assert drafts.of(principal(client_id="desk")) == (draft,)


def test_the_drafts_of_a_principal_are_listed_the_newest_change_first(drafts: Drafts, clock: Moment) -> None:
    first, second = drafted(drafts, title="1"), drafted(drafts, title="2")
    drafted(drafts, principal("bob"), title="of bob")
    clock.now += timedelta(seconds=1)
    first = drafts.update(ALICE, first.id, 1, priority="high")

    assert drafts.of(ALICE) == (first, second)
    assert drafts.of(principal("nobody")) == ()


def test_a_discarded_draft_is_gone(drafts: Drafts, engine: Engine) -> None:
    draft = drafted(drafts)

    drafts.discard(ALICE, draft.id, 1)

    assert drafts.of(ALICE) == ()
    with pytest.raises(RequestError, match=f"^{NO_SUCH}$"):
        drafts.read(ALICE, draft.id)
    assert counts(engine)["tickets"] == 0


def test_a_submitted_draft_is_a_ticket_and_no_draft_any_more(
    drafts: Drafts, tickets: Tickets, clock: Moment
) -> None:
    draft = drafted(drafts)
    clock.now += timedelta(minutes=1)

    ticket = drafts.submit(ALICE, draft.id, 1)

    assert ticket.id == "TCK-1001"
    assert (ticket.title, ticket.body, ticket.priority) == (draft.title, draft.body, draft.priority)
    assert (ticket.state, ticket.version, ticket.requester) == ("open", 1, "alice")
    assert ticket.created_at == ticket.updated_at == clock.now
    assert tickets.read("TCK-1001") == ticket
    assert drafts.of(ALICE) == ()


@pytest.mark.parametrize("change", CHANGES)
def test_whoever_submitted_a_draft_learns_what_it_has_become_and_nobody_else_does(
    drafts: Drafts, engine: Engine, change: Change
) -> None:
    draft = drafted(drafts)
    drafted(drafts, principal("bob"))
    drafts.submit(ALICE, draft.id, 1)
    before = contents(engine)

    for who, sentence in (
        (ALICE, "This draft was submitted, and is the ticket TCK-1001 now."),
        (principal("bob"), NO_SUCH),
    ):
        with pytest.raises(RequestError) as raised:
            change(drafts, who, draft.id, 1)
        assert str(raised.value) == sentence
        with pytest.raises(RequestError) as raised:
            drafts.read(who, draft.id)
        assert str(raised.value) == sentence
    assert contents(engine) == before


def test_a_principal_has_a_hundred_drafts_at_most(drafts: Drafts, engine: Engine) -> None:
    made = [drafted(drafts, title=str(number), idempotency_key=str(number)) for number in range(MAX_DRAFTS)]
    before = contents(engine)

    with pytest.raises(RequestError) as raised:
        drafted(drafts, title="one too many", idempotency_key="one too many")

    assert str(raised.value) == (
        "There are 100 drafts of yours already, which is the limit; discard one that is not needed, "
        "or ask the person to submit some."
    )
    assert contents(engine) == before
    assert drafted(drafts, title="0", idempotency_key="0") == made[0], "which makes none"
    assert drafted(drafts, principal("bob")).version == 1, "whose limit is another"
    drafts.discard(ALICE, made[0].id, 1)
    assert drafted(drafts, title="one too many").version == 1


def test_the_same_key_with_the_same_content_gives_the_same_draft(drafts: Drafts, engine: Engine) -> None:
    first = drafted(drafts, idempotency_key="k")
    before = contents(engine)

    assert drafted(drafts, idempotency_key="k") == first
    assert contents(engine) == before


def test_a_key_gives_the_draft_as_it_is_now(drafts: Drafts) -> None:
    draft = drafted(drafts, idempotency_key="k")
    changed = drafts.update(ALICE, draft.id, 1, title="B")

    assert drafted(drafts, idempotency_key="k") == changed


@pytest.mark.parametrize(
    "content",
    [
        pytest.param({"title": "u"}, id="title"),
        pytest.param({"body": "c"}, id="body"),
        pytest.param({"priority": "high"}, id="priority"),
        pytest.param({"title": "tb", "body": " "}, id="the boundary between them"),
    ],
)
def test_a_key_with_another_content_is_refused(drafts: Drafts, engine: Engine, content: Any) -> None:
    drafts.create(ALICE, title="t", body="b", priority="low", idempotency_key="k")
    before = contents(engine)
    texts: Any = {"title": "t", "body": "b", "priority": "low", **content}

    with pytest.raises(RequestError):
        drafts.create(ALICE, **texts, idempotency_key="k")

    assert contents(engine) == before


def test_the_refusal_of_another_content_says_what_to_do(drafts: Drafts) -> None:
    drafted(drafts, idempotency_key="k")

    with pytest.raises(RequestError) as raised:
        drafted(drafts, title="Another", idempotency_key="k")

    assert str(raised.value) == (
        "This idempotency_key came with another text before; use a key of its own for each."
    )


@pytest.mark.parametrize("other", [pytest.param(who, id=name) for who, name in OTHERS])
@pytest.mark.promise("rows-by-principal")
def test_keys_of_two_principals_do_not_meet(drafts: Drafts, other: Principal) -> None:
    mine = drafted(drafts, idempotency_key="k")
    theirs = drafted(drafts, other, title="Another", idempotency_key="k")

    assert mine.id != theirs.id
    assert drafts.of(other) == (theirs,)


def test_without_a_key_each_call_makes_a_draft(drafts: Drafts, engine: Engine) -> None:
    assert drafted(drafts).id != drafted(drafts).id
    assert counts(engine) == {"drafts": 2, "tickets": 0, "keys": 0, "changes": 2}


@pytest.mark.parametrize("change", CHANGES[1:])
def test_a_key_whose_draft_is_gone_makes_no_other_one(drafts: Drafts, engine: Engine, change: Change) -> None:
    draft = drafted(drafts, idempotency_key="k")
    change(drafts, ALICE, draft.id, 1)
    before = contents(engine)

    with pytest.raises(RequestError) as raised:
        drafted(drafts, idempotency_key="k")

    became = "is the ticket TCK-1001 now" if counts(engine)["tickets"] else "was discarded"
    assert became in str(raised.value)
    assert contents(engine) == before


def test_a_key_is_kept_for_a_day_and_no_longer(drafts: Drafts, engine: Engine, clock: Moment) -> None:
    first = drafted(drafts, idempotency_key="k")
    drafted(drafts, principal("bob"), idempotency_key="k")

    clock.now += KEPT - timedelta(seconds=1)
    assert drafted(drafts, idempotency_key="k") == first
    clock.now += timedelta(seconds=1)
    second = drafted(drafts, title="Another", idempotency_key="k")

    assert second.id != first.id
    assert counts(engine)["keys"] == 2, "those of others are theirs to end"
    assert drafted(drafts, title="Another", idempotency_key="k") == second


def test_each_change_is_in_the_audit_with_who_and_when(drafts: Drafts, engine: Engine, clock: Moment) -> None:
    draft = drafted(drafts, idempotency_key="k")
    clock.now += timedelta(hours=1)
    drafts.update(principal(client_id="another agent"), draft.id, 1, title="B")
    drafts.submit(principal(client_id="desk"), draft.id, 2)
    other = drafted(drafts)
    drafts.discard(ALICE, other.id, 1)

    assert changes_of(engine) == [
        ("create", draft.id, None, 1),
        ("update", draft.id, 1, 2),
        ("submit", draft.id, 2, None),
        ("open", "TCK-1001", None, 1),
        ("create", other.id, None, 1),
        ("discard", other.id, 1, None),
    ]
    with engine.connect() as connection:
        second = connection.execute(select(ChangeRow).where(ChangeRow.action == "update")).mappings().one()
    assert (second["issuer"], second["subject"]) == (ALICE.issuer, "alice")
    assert (second["client_id"], second["at"]) == ("another agent", clock.now)


def test_the_audit_and_the_keys_hold_no_text_of_drafts(drafts: Drafts, engine: Engine) -> None:
    draft = drafted(drafts, title="Salaries of the board", idempotency_key="k")
    drafts.update(ALICE, draft.id, 1, body="Nobody should see this.")
    drafts.discard(ALICE, draft.id, 2)

    left = str(contents(engine))

    assert "Salaries" not in left
    assert "Nobody" not in left


def test_an_identifier_that_is_taken_makes_no_draft(engine: Engine) -> None:
    drafts = Drafts(engine, new_id=lambda: "DRF-000000000000")
    drafted(drafts)
    before = contents(engine)

    with pytest.raises(
        UnavailableError, match=r"^The data cannot be changed at the moment; try again later.$"
    ):
        drafted(drafts, title="Another", idempotency_key="k")

    assert contents(engine) == before
