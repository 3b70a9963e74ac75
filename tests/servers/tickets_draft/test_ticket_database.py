"""The tables as the migrations make them, and what the database refuses by itself."""

from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Engine, insert, literal, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from tests.servers.tickets_draft.ticketing import ALICE, PACKAGE, Moment, contents
from tests.support.postgres import Databases
from tunnelgate_servers.hosting import OptionsError, UtcDateTime, migrate, require_newest
from tunnelgate_servers.tickets_draft import Drafts, create_app
from tunnelgate_servers.tickets_draft.models import Base, ChangeRow, DraftRow, TicketRow


def test_the_migrations_make_the_tables_that_the_models_describe(engine: Engine) -> None:
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"version_table": "tickets_draft_version", "compare_type": True}
        )
        assert compare_metadata(context, Base.metadata) == []


def test_migrating_again_changes_nothing(engine: Engine, drafts: Drafts) -> None:
    drafts.create(ALICE, title="t", body="b", priority="low", idempotency_key="k")
    before = contents(engine)

    migrate(engine, PACKAGE)
    require_newest(engine, PACKAGE)

    assert contents(engine) == before


def test_a_database_that_was_not_migrated_is_not_served(databases: Databases) -> None:
    with pytest.raises(OptionsError, match=r"run: tunnelgate-servers migrate tickets-draft"):
        create_app(database=databases.new())


HOSTILE = {
    "sqlite": [
        "UPDATE changes SET subject = 'mallory'",
        "DELETE FROM changes",
        (
            "INSERT OR REPLACE INTO changes SELECT id, at, issuer, 'mallory', client_id, action, item, "
            "from_version, to_version FROM changes"
        ),
    ],
    "postgresql": [
        "UPDATE changes SET subject = 'mallory'",
        "DELETE FROM changes",
        "TRUNCATE changes",
        "INSERT INTO changes SELECT * FROM changes ON CONFLICT (id) DO UPDATE SET subject = 'mallory'",
    ],
}


@pytest.mark.parametrize("number", range(4))
def test_the_database_only_lets_the_audit_grow(engine: Engine, drafts: Drafts, number: int) -> None:
    statements = HOSTILE[engine.dialect.name]
    drafts.create(ALICE, title="t", body="b", priority="low")
    before = contents(engine)

    for statement in statements[number : number + 1]:
        with pytest.raises(DBAPIError, match="changes are only added to"), engine.begin() as connection:
            connection.execute(text(statement))

    assert contents(engine) == before


def row(drafts: Drafts, clock: Moment, **columns: Any) -> dict[str, Any]:
    """Return a row for `drafts` that belongs to an owner who is there."""
    drafts.create(ALICE, title="t", body="b", priority="low")
    return {
        "id": "DRF-1",
        "owner": 1,
        "title": "t",
        "body": "b",
        "folded_title": "t",
        "folded_body": "b",
        "priority": "low",
        "version": 1,
        "created_at": clock.now,
        "updated_at": clock.now,
        **columns,
    }


@pytest.mark.parametrize(
    "columns",
    [
        pytest.param({"title": ""}, id="no title"),
        pytest.param({"title": "é" * 201}, id="a title that is too long"),
        pytest.param({"body": ""}, id="no body"),
        pytest.param({"body": "🚪" * 20_001}, id="a body that is too long"),
        pytest.param({"priority": "soon"}, id="a priority that there is not"),
        pytest.param({"owner": 7}, id="an owner who is not there"),
    ],
)
def test_the_database_keeps_the_bounds_of_drafts(
    engine: Engine, drafts: Drafts, clock: Moment, columns: dict[str, Any]
) -> None:
    drafted = row(drafts, clock, **columns)

    with pytest.raises(DBAPIError), engine.begin() as connection:
        connection.execute(insert(DraftRow).values(drafted))


def test_what_is_within_the_bounds_is_kept(engine: Engine, drafts: Drafts, clock: Moment) -> None:
    drafted = row(drafts, clock, title="é" * 200, body="🚪" * 20_000)

    with engine.begin() as connection:
        connection.execute(insert(DraftRow).values(drafted))

    assert len(contents(engine)["drafts"]) == 2


def test_the_database_lets_a_draft_become_one_ticket_at_most(
    engine: Engine, drafts: Drafts, clock: Moment
) -> None:
    draft = drafts.create(ALICE, title="t", body="b", priority="low")
    drafts.submit(ALICE, draft.id, 1)
    again = row(drafts, clock, draft_id=draft.id, state="open", requester="alice")
    del again["id"]

    with pytest.raises(IntegrityError), engine.begin() as connection:
        connection.execute(insert(TicketRow).values(again))


def test_the_numbers_of_tickets_and_changes_are_never_used_again(engine: Engine, drafts: Drafts) -> None:
    first = drafts.submit(ALICE, drafts.create(ALICE, title="t", body="b", priority="low").id, 1)
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM tickets"))

    second = drafts.submit(ALICE, drafts.create(ALICE, title="t", body="b", priority="low").id, 1)

    assert (first.id, second.id) == ("TCK-1001", "TCK-1002")
    ids = [entry["id"] for entry in contents(engine)[ChangeRow.__tablename__]]
    assert sorted(ids) == list(range(1, 7))


def test_a_time_that_is_not_known_is_none(engine: Engine) -> None:
    with engine.connect() as connection:
        assert connection.execute(select(literal(None, UtcDateTime()))).scalar_one() is None
