"""Principals, a clock that a test moves, and what stands in the tables."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from threading import Barrier
from typing import Any

from sqlalchemy import Engine, func, select

from tunnelgate import Principal
from tunnelgate_servers.hosting import ServerError
from tunnelgate_servers.tickets_draft.models import Base, ChangeRow, DraftRow, KeyRow, TicketRow

PACKAGE = "tunnelgate_servers.tickets_draft"
ISSUER = "https://login.example.com"

NO_SUCH = "There is no ticket and no draft of yours with this id; search_tickets finds them."
"""What is said of what is not there, and of what somebody else has."""

CHANGED = (
    "It has changed since it was read: its version is 2 now. Read it again with read_ticket, "
    "and repeat the change with expected_version 2 if it still fits."
)
"""What is said of a draft of another version than 2, which it has."""

_LIMIT = 60  # seconds that threads may take


def principal(subject: str = "alice", issuer: str = ISSUER, client_id: str = "agent") -> Principal:
    return Principal(issuer, subject, client_id, frozenset({"tickets:draft"}), {})


ALICE = principal()
OTHERS = [
    (principal("bob"), "another subject"),
    (principal(issuer="https://login.example.org"), "the same subject of another issuer"),
    (principal("Alice"), "a subject that differs by case"),
    (principal("alice "), "a subject that differs by a blank"),
]


class Moment:
    """What time it is, until a test says otherwise."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 22, 10, 30, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


def changes_of(engine: Engine, item: str | None = None) -> list[tuple[str, str, int | None, int | None]]:
    """Return what the audit has: action, item, and from which version to which."""
    entries = select(ChangeRow.action, ChangeRow.item, ChangeRow.from_version, ChangeRow.to_version)
    if item is not None:
        entries = entries.where(ChangeRow.item == item)
    with engine.connect() as connection:
        rows = connection.execute(entries.order_by(ChangeRow.id)).all()
        return [(row.action, row.item, row.from_version, row.to_version) for row in rows]


def contents(engine: Engine) -> dict[str, list[dict[str, Any]]]:
    """Return everything that stands in the tables, in the order of its keys."""
    with engine.connect() as connection:
        return {
            name: [
                dict(row) for row in connection.execute(select(table).order_by(*table.primary_key)).mappings()
            ]
            for name, table in Base.metadata.tables.items()
        }


def counts(engine: Engine) -> dict[str, int]:
    """Return how many drafts, tickets, keys and changes there are."""
    tables = {"drafts": DraftRow, "tickets": TicketRow, "keys": KeyRow, "changes": ChangeRow}
    with engine.connect() as connection:
        return {
            name: connection.execute(select(func.count()).select_from(table)).scalar_one()
            for name, table in tables.items()
        }


def at_once(work: Sequence[Any]) -> list[Any]:
    """Do everything in threads that begin together, and return results and refusals in order."""
    ready = Barrier(len(work))

    def run(one: Any) -> Any:
        ready.wait(_LIMIT)
        try:
            return one()
        except ServerError as error:
            return error

    with ThreadPoolExecutor(len(work)) as threads:
        return list(threads.map(run, work, timeout=_LIMIT))
