"""What is read of drafts, and why one cannot be read or changed."""

from collections.abc import Callable
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, and_, select

from tunnelgate import Principal
from tunnelgate_servers.hosting import RequestError
from tunnelgate_servers.tickets_draft.answers import changed_meanwhile, nothing_there
from tunnelgate_servers.tickets_draft.identifiers import ticket_id
from tunnelgate_servers.tickets_draft.models import DraftRow, TicketRow
from tunnelgate_servers.tickets_draft.owners import is_owned_by
from tunnelgate_servers.tickets_draft.records import (
    MAX_BODY_CHARACTERS,
    MAX_TITLE_CHARACTERS,
    Draft,
    Priority,
)
from tunnelgate_servers.tickets_draft.words import folded

DRAFT: Final = (
    DraftRow.id,
    DraftRow.title,
    DraftRow.body,
    DraftRow.priority,
    DraftRow.version,
    DraftRow.created_at,
    DraftRow.updated_at,
)
"""The columns that make a `Draft`."""


def columns_for(title: str | None, body: str | None, priority: Priority | None) -> dict[str, Any]:
    """Return the columns for what is given; raises `RequestError` for a text that says nothing."""
    columns: dict[str, Any] = {}
    for name, text, longest in (("title", title, MAX_TITLE_CHARACTERS), ("body", body, MAX_BODY_CHARACTERS)):
        if text is None:
            continue
        if not text.strip() or len(text) > longest:
            raise RequestError(f"The {name} has to have 1 to {longest} characters, and not only white space.")
        columns |= {name: text, f"folded_{name}": folded(text)}
    return columns if priority is None else {**columns, "priority": priority}


def is_at(principal: Principal, draft_id: str, version: int) -> ColumnElement[bool]:
    """Return the condition for the draft of a principal while it has a version."""
    return and_(_is(principal, draft_id), DraftRow.version == version)


def find(
    connection: Connection,
    principal: Principal,
    draft_id: str,
    *,
    missing: Callable[[], RequestError] = nothing_there,
) -> Draft:
    """Return a draft of a principal; raises what it has become, or `missing`, when there is none."""
    row = connection.execute(select(*DRAFT).where(_is(principal, draft_id))).mappings().one_or_none()
    if row is None:
        raise _not_there(connection, principal, draft_id, missing)
    return Draft(**row)


def why_not(connection: Connection, principal: Principal, draft_id: str) -> RequestError:
    """Return the error for a draft that `is_at` does not find."""
    version = connection.execute(
        select(DraftRow.version).where(_is(principal, draft_id))
    ).scalar_one_or_none()
    if version is None:
        return _not_there(connection, principal, draft_id, nothing_there)
    return changed_meanwhile(version)


def _is(principal: Principal, draft_id: str) -> ColumnElement[bool]:
    return and_(DraftRow.id == draft_id, is_owned_by(principal, DraftRow.owner))


def _not_there(
    connection: Connection, principal: Principal, draft_id: str, missing: Callable[[], RequestError]
) -> RequestError:
    """Return the error for a draft that is not there; who submitted it learns what it has become."""
    submitted = and_(TicketRow.draft_id == draft_id, is_owned_by(principal, TicketRow.owner))
    number = connection.execute(select(TicketRow.number).where(submitted)).scalar_one_or_none()
    if number is None:
        return missing()
    return RequestError(f"This draft was submitted, and is the ticket {ticket_id(number)} now.")
