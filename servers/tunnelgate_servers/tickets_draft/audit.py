"""The audit of changes: an entry for each, in the transaction that makes the change.

An entry says who, when, what, and from which version to which. It holds no text of a draft or a ticket.
"""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import Connection, insert

from tunnelgate import Principal
from tunnelgate_servers.tickets_draft.models import ChangeRow


class Action(StrEnum):
    """What was done: to a draft up to `SUBMIT`, and to a ticket from `OPEN` on."""

    CREATE = "create"
    UPDATE = "update"
    DISCARD = "discard"
    SUBMIT = "submit"
    OPEN = "open"
    CLOSE = "close"


def write_down(
    connection: Connection,
    principal: Principal,
    at: datetime,
    action: Action,
    item: str,
    *,
    from_version: int | None = None,
    to_version: int | None = None,
) -> None:
    """Add an entry; a version is `None` where there is none before the change, or after it."""
    entry = {
        "at": at,
        "issuer": principal.issuer,
        "subject": principal.subject,
        "client_id": principal.client_id,
        "action": action.value,
        "item": item,
        "from_version": from_version,
        "to_version": to_version,
    }
    connection.execute(insert(ChangeRow).values(entry))
