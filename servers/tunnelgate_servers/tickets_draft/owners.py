"""Whose a draft is: the issuer and the subject of a token, and no part of them alone."""

from sqlalchemy import ColumnElement, Connection, Select, and_, select, text
from sqlalchemy.orm import InstrumentedAttribute

from tunnelgate import Principal
from tunnelgate_servers.tickets_draft.models import OwnerRow

_ADD = text("INSERT INTO owners (issuer, subject) VALUES (:issuer, :subject) ON CONFLICT DO NOTHING")


def locked_owner(connection: Connection, principal: Principal) -> int:
    """Return the number of a principal; whoever else asks for it waits until this transaction ends."""
    connection.execute(_ADD, {"issuer": principal.issuer, "subject": principal.subject})
    return connection.execute(_number_of(principal).with_for_update(key_share=True)).scalar_one()


def number_of(principal: Principal) -> ColumnElement[int]:
    """Return what is the number of a principal in a statement, or null."""
    return _number_of(principal).scalar_subquery()


def is_owned_by(
    principal: Principal, owner: InstrumentedAttribute[int] | InstrumentedAttribute[int | None]
) -> ColumnElement[bool]:
    """Return the condition that the column `owner` has the number of a principal."""
    return owner == number_of(principal)


def _number_of(principal: Principal) -> Select[int]:
    return select(OwnerRow.id).where(
        and_(OwnerRow.issuer == principal.issuer, OwnerRow.subject == principal.subject)
    )
