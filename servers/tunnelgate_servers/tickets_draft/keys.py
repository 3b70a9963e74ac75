"""Idempotency keys: what a caller names a draft by, so that asking again makes no second one.

Whoever uses these holds the lock on the owner, so that of several who ask at once one makes the draft.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Final

import orjson
from sqlalchemy import Connection, delete, insert, select

from tunnelgate_servers.hosting import RequestError
from tunnelgate_servers.tickets_draft.models import KeyRow
from tunnelgate_servers.tickets_draft.records import Priority

KEPT: Final = timedelta(hours=24)
"""How long a key is remembered."""

MAX_KEY_CHARACTERS: Final = 100
"""The length of the longest key, in characters."""


@dataclass(frozen=True, slots=True)
class Use:
    """A key as one owner uses it, for content of which there is only a digest."""

    owner: int
    key: str
    digest: str
    at: datetime


def digest_of(title: str, body: str, priority: Priority) -> str:
    """Return what tells content from other content."""
    return sha256(orjson.dumps([title, body, priority])).hexdigest()


def draft_made_by(connection: Connection, use: Use) -> str | None:
    """Return the identifier of the draft that a key has made, be it there or not, and forget old keys.

    Raises `RequestError` when the key came with other content.
    """
    if not use.key:
        return None
    connection.execute(delete(KeyRow).where(KeyRow.owner == use.owner, KeyRow.created_at <= use.at - KEPT))
    found = connection.execute(
        select(KeyRow.draft_id, KeyRow.digest).where(KeyRow.owner == use.owner, KeyRow.key == use.key)
    ).one_or_none()
    if found is None:
        return None
    if found.digest != use.digest:
        raise RequestError(
            "This idempotency_key came with another text before; use a key of its own for each."
        )
    made: str = found.draft_id
    return made


def keep(connection: Connection, use: Use, draft_id: str) -> None:
    """Remember which draft a key has made; without a key, nothing is remembered."""
    if use.key:
        row = {
            "owner": use.owner,
            "key": use.key,
            "digest": use.digest,
            "draft_id": draft_id,
            "created_at": use.at,
        }
        connection.execute(insert(KeyRow).values(row))
