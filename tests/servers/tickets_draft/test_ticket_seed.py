"""The sample tickets: the same each time, and such as people write."""

from collections import Counter
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from typing import Any

import pytest
from sqlalchemy import Engine

from tests.servers.tickets_draft.ticketing import PACKAGE, contents
from tests.support.postgres import Databases
from tunnelgate_servers.hosting import migrate, open_writer, read_url, reading
from tunnelgate_servers.tickets_draft.question import Question
from tunnelgate_servers.tickets_draft.records import PRIORITIES
from tunnelgate_servers.tickets_draft.search import search_tickets
from tunnelgate_servers.tickets_draft.seed import seed_tickets
from tunnelgate_servers.tickets_draft.tickets import Tickets

UNTIL = date(2026, 11, 22)


def seeded(databases: Databases, **options: Any) -> list[dict[str, Any]]:
    engine = open_writer(read_url(databases.new()))
    try:
        migrate(engine, PACKAGE)
        assert seed_tickets(engine, **options) == options.get("count", 400)
        found = contents(engine)
    finally:
        engine.dispose()
    assert found.pop("tickets_draft_version", []) == []
    assert {name for name, rows in found.items() if rows} == {"tickets"}
    return found["tickets"]


@pytest.fixture
def rows(engine: Engine) -> list[dict[str, Any]]:
    assert seed_tickets(engine, seed=1, until=UNTIL) == 400
    return contents(engine)["tickets"]


def test_the_same_seed_and_day_give_the_same_tickets(databases: Databases) -> None:
    first = seeded(databases, seed=1, until=UNTIL, count=50)

    assert seeded(databases, seed=1, until=UNTIL, count=50) == first
    assert seeded(databases, seed=2, until=UNTIL, count=50) != first
    assert seeded(databases, seed=1, until=date(2025, 1, 1), count=50) != first


def test_the_numbers_follow_the_times_of_eighteen_months(rows: list[dict[str, Any]]) -> None:
    assert [row["number"] for row in rows] == list(range(1001, 1401))
    times = [row["created_at"] for row in rows]
    assert all(earlier <= later for earlier, later in pairwise(times))
    end = datetime.combine(UNTIL, time(), UTC)
    assert end - timedelta(days=545) < times[0] < times[-1] < end
    assert all(row["created_at"] <= row["updated_at"] < end for row in rows)
    assert {row["created_at"].weekday() for row in rows} == {0, 1, 2, 3, 4}


def test_old_tickets_are_mostly_closed_with_how_and_young_ones_mostly_open(
    rows: list[dict[str, Any]],
) -> None:
    end = datetime.combine(UNTIL, time(), UTC)
    young = [row["state"] for row in rows if end - row["created_at"] < timedelta(days=21)]
    old = [row["state"] for row in rows if end - row["created_at"] > timedelta(days=60)]

    assert Counter(old)["closed"] > 0.9 * len(old)
    assert Counter(young)["open"] > 0.4 * len(young)
    assert {row["version"] for row in rows if row["state"] == "open"} == {1}
    assert all((row["state"] == "closed") == ("\n\nSolved: " in row["body"]) for row in rows)


def test_the_texts_are_written_out_and_varied(rows: list[dict[str, Any]]) -> None:
    titles = {row["title"] for row in rows}

    assert len(titles) > 100
    assert {row["priority"] for row in rows} == set(PRIORITIES)
    assert all(row["requester"].endswith("@example.com") for row in rows)
    for row in rows:
        assert not {"{", "}"} & set(row["title"] + row["body"])
        assert row["title"][0] == row["title"][0].upper()
        assert ". the" not in row["body"]


def test_the_samples_are_found_and_read(rows: list[dict[str, Any]], engine: Engine) -> None:
    with reading(engine) as connection:
        found = search_tickets(connection, Question.parse("printer zurich", "any", "", kind=int), None)

    assert found.matched == "all words"
    assert found.hits
    ticket = Tickets(engine).read(found.hits[0].id)
    assert "Zürich" in ticket.title + ticket.body


def test_none_are_made_where_none_are_wanted(engine: Engine) -> None:
    assert seed_tickets(engine, seed=1, until=UNTIL, count=0) == 0
