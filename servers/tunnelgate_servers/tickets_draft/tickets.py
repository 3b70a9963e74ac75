"""Tickets: how one is opened from a draft, read, and closed."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Engine, RowMapping, and_, insert, select, update

from tunnelgate import Principal
from tunnelgate_servers.hosting import RequestError, reading, utc_now, writing
from tunnelgate_servers.tickets_draft.answers import changed_meanwhile, nothing_there
from tunnelgate_servers.tickets_draft.audit import Action, write_down
from tunnelgate_servers.tickets_draft.identifiers import ticket_id, ticket_number
from tunnelgate_servers.tickets_draft.models import TicketRow
from tunnelgate_servers.tickets_draft.owners import number_of
from tunnelgate_servers.tickets_draft.records import Draft, Ticket
from tunnelgate_servers.tickets_draft.words import folded

_TICKET: Final = (
    TicketRow.number,
    TicketRow.title,
    TicketRow.body,
    TicketRow.state,
    TicketRow.priority,
    TicketRow.requester,
    TicketRow.version,
    TicketRow.created_at,
    TicketRow.updated_at,
)


class Tickets:
    """The tickets in one database; `clock` and what the methods raise are as for `Drafts`."""

    def __init__(self, engine: Engine, *, clock: Callable[[], datetime] = utc_now) -> None:
        self._engine = engine
        self._clock = clock

    def read(self, identifier: str) -> Ticket:
        """Return a ticket."""
        number = _number(identifier)
        with reading(self._engine) as connection:
            rows = connection.execute(select(*_TICKET).where(TicketRow.number == number))
            row = rows.mappings().one_or_none()
        if row is None:
            raise nothing_there()
        return _ticket(row)

    def close(self, principal: Principal, identifier: str, expected_version: int) -> Ticket:
        """Close the open ticket that was read as `expected_version`, and return it."""
        number = _number(identifier)
        at = self._clock().replace(microsecond=0)
        wanted = and_(
            TicketRow.number == number, TicketRow.version == expected_version, TicketRow.state == "open"
        )
        closed = {"state": "closed", "version": TicketRow.version + 1, "updated_at": at}
        with writing(self._engine) as connection:
            rows = connection.execute(update(TicketRow).where(wanted).values(closed).returning(*_TICKET))
            row = rows.mappings().one_or_none()
            if row is None:
                raise _why_not(connection, number)
            ticket = _ticket(row)
            write_down(
                connection,
                principal,
                at,
                Action.CLOSE,
                ticket.id,
                from_version=expected_version,
                to_version=ticket.version,
            )
        return ticket


def insert_ticket(connection: Connection, principal: Principal, draft: Draft, *, at: datetime) -> Ticket:
    """Open the ticket that a draft becomes, which has been removed in the same transaction."""
    row: dict[str, Any] = {
        "title": draft.title,
        "body": draft.body,
        "folded_title": folded(draft.title),
        "folded_body": folded(draft.body),
        "state": "open",
        "priority": draft.priority,
        "requester": principal.subject,
        "owner": number_of(principal),
        "draft_id": draft.id,
        "version": 1,
        "created_at": at,
        "updated_at": at,
    }
    opened = connection.execute(insert(TicketRow).values(row).returning(*_TICKET)).mappings().one()
    ticket = _ticket(opened)
    write_down(connection, principal, at, Action.OPEN, ticket.id, to_version=ticket.version)
    return ticket


def _number(identifier: str) -> int:
    number = ticket_number(identifier)
    if number is None:
        raise nothing_there()
    return number


def _ticket(row: RowMapping) -> Ticket:
    columns = dict(row)
    return Ticket(id=ticket_id(columns.pop("number")), **columns)


def _why_not(connection: Connection, number: int) -> RequestError:
    rows = connection.execute(select(TicketRow.state, TicketRow.version).where(TicketRow.number == number))
    row = rows.one_or_none()
    if row is None:
        return nothing_there()
    if row.state == "closed":
        return RequestError("This ticket is closed already.")
    return changed_meanwhile(row.version)
