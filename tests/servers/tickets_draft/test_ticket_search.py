"""The search on a real database: what is found, in which order, and page by page."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import pytest
from sqlalchemy import Engine, insert

from tests.servers.tickets_draft.ticketing import ALICE, Moment, principal
from tunnelgate_servers.hosting import RequestError, cursor_after, reading
from tunnelgate_servers.tickets_draft import Drafts
from tunnelgate_servers.tickets_draft.models import TicketRow
from tunnelgate_servers.tickets_draft.question import Question
from tunnelgate_servers.tickets_draft.records import Priority, State
from tunnelgate_servers.tickets_draft.results import Hits
from tunnelgate_servers.tickets_draft.search import PAGE_SIZE, search_drafts, search_tickets
from tunnelgate_servers.tickets_draft.words import folded

START = datetime(2026, 11, 1, tzinfo=UTC)


def insert_tickets(engine: Engine, texts: Sequence[tuple[str, str]], **columns: Any) -> None:
    """Add tickets with these titles and bodies, each a minute after the one before."""
    with engine.begin() as connection:
        for minutes, (title, body) in enumerate(texts):
            at = START + timedelta(minutes=minutes)
            row = {
                "title": title,
                "body": body,
                "folded_title": folded(title),
                "folded_body": folded(body),
                "state": "open",
                "priority": "normal",
                "requester": "carla@example.com",
                "version": 1,
                "created_at": at,
                "updated_at": at,
                **columns,
            }
            connection.execute(insert(TicketRow).values(row))


def search(
    engine: Engine,
    query: str = "",
    *,
    state: State | None = None,
    priority: Priority | Literal["any"] = "any",
    cursor: str = "",
) -> Hits:
    with reading(engine) as connection:
        return search_tickets(connection, Question.parse(query, priority, cursor, kind=int), state)


def titles(hits: Hits) -> list[str]:
    return [hit.title for hit in hits.hits]


def test_a_hit_is_what_there_is_of_a_ticket(engine: Engine) -> None:
    insert_tickets(engine, [("The door", "It is\n\n\tstuck." + " and more" * 40)])

    (hit,) = search(engine, "door").hits

    assert (hit.kind, hit.id, hit.title, hit.state) == ("ticket", "TCK-1001", "The door", "open")
    assert (hit.priority, hit.requester, hit.version) == ("normal", "carla@example.com", 1)
    assert hit.updated_at == START
    assert hit.beginning.startswith("It is stuck. and more and more")
    assert (len(hit.beginning), hit.beginning[-1]) == (160, "…")


def test_words_in_titles_count_more_and_equals_follow_by_their_last_change(engine: Engine) -> None:
    insert_tickets(
        engine,
        [
            ("In the text", "a door and a window"),
            ("Old: door, window", "-"),
            ("Door", "window"),
            ("New: window, door", "-"),
            ("Both: window, door", "a door"),
            ("Only a door", "-"),
        ],
    )

    found = search(engine, "door WINDOW")

    assert found.matched == "all words"
    assert titles(found) == [
        "Both: window, door",
        "New: window, door",
        "Old: door, window",
        "Door",
        "In the text",
    ]


def test_where_nothing_has_all_words_those_with_any_are_found(engine: Engine) -> None:
    insert_tickets(engine, [("Door", "-"), ("Window", "-"), ("Roof", "-")])

    found = search(engine, "door window")

    assert (found.matched, titles(found)) == ("any word", ["Window", "Door"])


def test_what_nothing_holds_finds_nothing(engine: Engine) -> None:
    insert_tickets(engine, [("Door", "-")])

    assert search(engine, "roof") == Hits(matched="any word", hits=(), next_cursor=None)
    assert search(engine, state="closed") == Hits(matched="all words", hits=(), next_cursor=None)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        pytest.param("zurich", ["In Zürich"], id="without the accent"),
        pytest.param("ZÜRICH", ["In Zürich"], id="in upper case"),
        pytest.param("strasse", ["Die Straße"], id="a letter that is two"),
        pytest.param("rich", ["In Zürich"], id="inside a longer word"),
        pytest.param("100%_done", ["100%_done"], id="wildcards inside a word"),
        pytest.param("1_0", [], id="an underscore stands for no character"),
        pytest.param("d%e", [], id="a percent sign stands for no characters"),
        pytest.param(r"a\b", [r"a\b/c"], id="a backslash"),
        pytest.param("b/c", [r"a\b/c"], id="a slash, which is what LIKE is escaped with"),
        pytest.param("x' OR '1'='1", [], id="SQL"),
        pytest.param("title:done", [], id="a column"),
        pytest.param("zur*", ["In Zürich"], id="a star behind is punctuation"),
    ],
)
def test_words_are_looked_for_as_they_are(engine: Engine, query: str, found: list[str]) -> None:
    insert_tickets(engine, [(title, "-") for title in ("In Zürich", "Die Straße", "100%_done", r"a\b/c")])

    with reading(engine) as connection:
        hits = search_tickets(connection, Question.parse(query, "any", "", kind=int), None)

    assert [each.title for each in hits.hits if hits.matched == "all words"] == found


def test_state_and_priority_narrow_the_search(engine: Engine) -> None:
    insert_tickets(engine, [("open normal", "door")])
    insert_tickets(engine, [("open urgent", "door")], priority="urgent")
    insert_tickets(engine, [("closed urgent", "door")], priority="urgent", state="closed")

    assert titles(search(engine, "door", state="closed")) == ["closed urgent"]
    assert titles(search(engine, "door", state="open", priority="urgent")) == ["open urgent"]
    assert set(titles(search(engine, priority="urgent"))) == {"open urgent", "closed urgent"}


@pytest.mark.parametrize("query", ["", "door", "door roof"], ids=["no words", "all words", "any word"])
@pytest.mark.parametrize("count", [PAGE_SIZE, PAGE_SIZE + 1, 2 * PAGE_SIZE + 5])
def test_the_pages_hold_everything_once_and_in_order(engine: Engine, query: str, count: int) -> None:
    insert_tickets(engine, [(f"{number} {'door' * (number % 2)}", "door") for number in range(count)])
    # Several that differ only by their numbers
    insert_tickets(engine, [("same", "door")] * 3)

    pages = [search(engine, query)]
    while cursor := pages[-1].next_cursor:
        pages.append(search(engine, query, cursor=cursor))

    assert [len(page.hits) for page in pages[:-1]] == [PAGE_SIZE] * (len(pages) - 1)
    hits = [hit for page in pages for hit in page.hits]
    assert len({hit.id for hit in hits}) == len(hits) == count + 3
    order = [
        (bool(query) * 3 * ("door" in hit.title), hit.updated_at, int(hit.id.removeprefix("TCK-")))
        for hit in hits
    ]
    assert order == sorted(order, reverse=True)
    assert {page.matched for page in pages} == {"any word" if "roof" in query else "all words"}


def test_what_is_added_between_two_pages_moves_nothing(engine: Engine) -> None:
    insert_tickets(engine, [(str(number), "-") for number in range(PAGE_SIZE + 2)])
    first = search(engine)
    insert_tickets(engine, [("new", "-")], created_at=START, updated_at=START + timedelta(days=1))

    second = search(engine, cursor=first.next_cursor or "")

    assert titles(second) == ["1", "0"]


PLACE = START.isoformat()


@pytest.mark.parametrize(
    "cursor",
    [
        pytest.param("x", id="no Base64"),
        pytest.param(cursor_after("all words", 3, PLACE, "DRF-1"), id="that of a search for drafts"),
        pytest.param(cursor_after("no words", 3, PLACE, 1001), id="another way to match"),
        pytest.param(cursor_after("all words", 3, "yesterday", 1001), id="no time"),
        pytest.param(cursor_after("all words", 3, "2026-11-01T00:00:00", 1001), id="a time without a zone"),
        pytest.param(cursor_after("all words", 3, "", 1001), id="an empty time"),
        pytest.param(
            cursor_after("all words", 3, "0001-01-01T00:00:00+14:00", 1), id="before the first time"
        ),
        pytest.param(cursor_after("all words", 3, "9999-12-31T23:59:59-12:00", 1), id="after the last time"),
        pytest.param(cursor_after("all words", 3, f"{PLACE}\0", 1001), id="NUL"),
        pytest.param(cursor_after("all words", 3, "2026-W45-1T00:00:00+00:00", 1), id="a week"),
        pytest.param(cursor_after("all words", 3, 1001), id="a key too few"),
        pytest.param(cursor_after("all words", -1, PLACE, 1001), id="a relevance that no hit has"),
        pytest.param(cursor_after("all words", 2**31, PLACE, 1001), id="a relevance that is no integer"),
        pytest.param(cursor_after("all words", 3, PLACE, 0), id="a number that no ticket has"),
        pytest.param(cursor_after("all words", 3, PLACE, 2**31), id="a number that is no integer"),
        pytest.param(cursor_after("all words", 2**63, PLACE, 1001), id="a relevance that no database holds"),
        pytest.param(cursor_after("all words", 3, PLACE, 2**63), id="a number that no database holds"),
    ],
)
def test_a_cursor_of_something_else_is_refused(engine: Engine, cursor: str) -> None:
    insert_tickets(engine, [("Door", "-")])

    with pytest.raises(RequestError, match=r"^This cursor is not one of this se"):
        search(engine, "door", cursor=cursor)


@pytest.mark.parametrize(
    ("cursor", "found"),
    [
        pytest.param(cursor_after("all words", 2**31 - 1, PLACE, 1), ["Door"], id="the highest relevance"),
        pytest.param(cursor_after("all words", 0, PLACE, 2**31 - 1), [], id="the lowest relevance"),
        pytest.param(
            cursor_after("all words", 3, "9999-12-31T23:59:59+00:00", 2**31 - 1), ["Door"], id="the last time"
        ),
        pytest.param(cursor_after("all words", 3, "0001-01-01T00:00:00+00:00", 1), [], id="the first time"),
    ],
)
def test_a_cursor_that_leads_far_away_is_answered(engine: Engine, cursor: str, found: list[str]) -> None:
    insert_tickets(engine, [("Door", "-")])

    assert titles(search(engine, "door", cursor=cursor)) == found


def drafts_of(engine: Engine, subject: str, query: str = "", cursor: str = "") -> Hits:
    with reading(engine) as connection:
        question = Question.parse(query, "any", cursor, kind=str)
        return search_drafts(connection, question, principal(subject))


def test_a_search_for_drafts_finds_those_of_the_caller_alone(
    engine: Engine, drafts: Drafts, clock: Moment
) -> None:
    insert_tickets(engine, [("The door", "-")])
    mine = drafts.create(ALICE, title="My door", body="Stuck.", priority="high")
    drafts.create(principal("bob"), title="The door of bob", body="-", priority="low")

    (hit,) = drafts_of(engine, "alice", "door").hits

    assert (hit.kind, hit.id, hit.title, hit.state) == ("draft", mine.id, "My door", "draft")
    assert (hit.requester, hit.priority, hit.version, hit.beginning) == (None, "high", 1, "Stuck.")
    assert hit.updated_at == clock.now
    assert drafts_of(engine, "alice", "bob").hits == ()
    assert drafts_of(engine, "nobody").hits == ()


def test_the_pages_of_drafts_hold_each_once(engine: Engine, drafts: Drafts) -> None:
    made = {
        drafts.create(ALICE, title=f"door {number}", body="-", priority="low").id
        for number in range(PAGE_SIZE + 5)
    }
    first = drafts_of(engine, "alice", "door")
    second = drafts_of(engine, "alice", "door", cursor=first.next_cursor or "")

    assert (len(first.hits), len(second.hits), second.next_cursor) == (PAGE_SIZE, 5, None)
    assert {hit.id for page in (first, second) for hit in page.hits} == made
    other = drafts_of(engine, "bob", "door", cursor=first.next_cursor or "")
    assert other.hits == (), "a cursor of somebody else leads to nothing of theirs"


@pytest.mark.parametrize("key", ["", "DRF-1", "DRF-00000000000\0", 1001], ids=ascii)
def test_a_cursor_of_no_draft_is_refused(engine: Engine, key: str | int) -> None:
    with pytest.raises(RequestError, match=r"^This cursor is not one of this se"):
        drafts_of(engine, "alice", cursor=cursor_after("all words", 0, PLACE, key))


def test_an_updated_draft_is_found_by_its_new_words(engine: Engine, drafts: Drafts) -> None:
    draft = drafts.create(ALICE, title="Door", body="Old", priority="low")
    drafts.update(ALICE, draft.id, 1, title="Fenêtre", body="Neue Straße")

    assert [hit.id for hit in drafts_of(engine, "alice", "fenetre strasse").hits] == [draft.id]
    assert drafts_of(engine, "alice", "door old").hits == ()
