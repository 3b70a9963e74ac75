"""Drafts: whose they are, how they change, and how one becomes a ticket. All of it is decided here.

A draft belongs to the principal who made it: to the issuer and the subject of the token. One of somebody else
is answered like one that does not exist. Each change is one transaction with its entry in the audit; of
changes from the same version, however many at once, the database lets one through.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, Engine, delete, func, insert, select, update

from tunnelgate import Principal
from tunnelgate_servers.hosting import RequestError, reading, utc_now, writing
from tunnelgate_servers.tickets_draft.answers import discarded_since
from tunnelgate_servers.tickets_draft.audit import Action, write_down
from tunnelgate_servers.tickets_draft.draft_rows import DRAFT, columns_for, find, is_at, why_not
from tunnelgate_servers.tickets_draft.identifiers import new_draft_id
from tunnelgate_servers.tickets_draft.keys import Use, digest_of, draft_made_by, keep
from tunnelgate_servers.tickets_draft.models import DraftRow
from tunnelgate_servers.tickets_draft.owners import is_owned_by, locked_owner
from tunnelgate_servers.tickets_draft.records import Draft, Priority, Ticket
from tunnelgate_servers.tickets_draft.tickets import insert_ticket

MAX_DRAFTS: Final = 100
"""How many drafts a principal may have at once."""


class Drafts:
    """The drafts in one database.

    `clock` returns what time it is, with its zone; `new_id` returns an identifier that nobody can guess.
    Each method raises `RequestError` with a sentence for what cannot be done, which then has changed nothing,
    and `UnavailableError` where the database fails.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        clock: Callable[[], datetime] = utc_now,
        new_id: Callable[[], str] = new_draft_id,
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._new_id = new_id

    def create(
        self, principal: Principal, *, title: str, body: str, priority: Priority, idempotency_key: str = ""
    ) -> Draft:
        """Make a draft, or return the one that the same key has made before, as it is now."""
        now = self._now()
        with writing(self._engine) as connection:
            owner = locked_owner(connection, principal)
            use = Use(owner, idempotency_key, digest_of(title, body, priority), now)
            made = draft_made_by(connection, use)
            if made is not None:
                return find(connection, principal, made, missing=discarded_since)
            _make_sure_of_room(connection, owner)
            row = {
                "id": self._new_id(),
                "owner": owner,
                **columns_for(title, body, priority),
                "version": 1,
                "created_at": now,
                "updated_at": now,
            }
            draft = Draft(
                **connection.execute(insert(DraftRow).values(row).returning(*DRAFT)).mappings().one()
            )
            keep(connection, use, draft.id)
            write_down(connection, principal, now, Action.CREATE, draft.id, to_version=draft.version)
        return draft

    def update(
        self,
        principal: Principal,
        draft_id: str,
        expected_version: int,
        *,
        title: str | None = None,
        body: str | None = None,
        priority: Priority | None = None,
    ) -> Draft:
        """Change what is given of the draft that was read as `expected_version`, and return it."""
        given = columns_for(title, body, priority)
        if not given:
            raise RequestError("Give what is to be changed: a title, a body or a priority.")
        changed = {**given, "version": DraftRow.version + 1, "updated_at": self._now()}
        with writing(self._engine) as connection:
            wanted = is_at(principal, draft_id, expected_version)
            rows = connection.execute(update(DraftRow).where(wanted).values(changed).returning(*DRAFT))
            row = rows.mappings().one_or_none()
            if row is None:
                raise why_not(connection, principal, draft_id)
            draft = Draft(**row)
            write_down(
                connection,
                principal,
                draft.updated_at,
                Action.UPDATE,
                draft.id,
                from_version=expected_version,
                to_version=draft.version,
            )
        return draft

    def discard(self, principal: Principal, draft_id: str, expected_version: int) -> None:
        """Remove the draft that was read as `expected_version`."""
        with writing(self._engine) as connection:
            _end(connection, principal, draft_id, expected_version, Action.DISCARD, at=self._now())

    def submit(self, principal: Principal, draft_id: str, expected_version: int) -> Ticket:
        """Make a ticket of the draft that was read as `expected_version`, which ends the draft.

        This is for the page on which a person has read the draft and says so, and for no tool.
        """
        at = self._now()
        with writing(self._engine) as connection:
            draft = _end(connection, principal, draft_id, expected_version, Action.SUBMIT, at=at)
            return insert_ticket(connection, principal, draft, at=at)

    def of(self, principal: Principal) -> tuple[Draft, ...]:
        """Return all drafts of a principal, the one that changed last first."""
        with reading(self._engine) as connection:
            rows = connection.execute(
                select(*DRAFT)
                .where(is_owned_by(principal, DraftRow.owner))
                .order_by(DraftRow.updated_at.desc(), DraftRow.id)
            )
            return tuple(Draft(**row) for row in rows.mappings())

    def read(self, principal: Principal, draft_id: str) -> Draft:
        """Return a draft."""
        with reading(self._engine) as connection:
            return find(connection, principal, draft_id)

    def _now(self) -> datetime:
        return self._clock().replace(microsecond=0)


def _make_sure_of_room(connection: Connection, owner: int) -> None:
    count = connection.execute(select(func.count()).where(DraftRow.owner == owner)).scalar_one()
    if count >= MAX_DRAFTS:
        raise RequestError(
            f"There are {MAX_DRAFTS} drafts of yours already, which is the limit; discard one that is not "
            "needed, or ask the person to submit some."
        )


def _end(
    connection: Connection,
    principal: Principal,
    draft_id: str,
    expected_version: int,
    action: Action,
    *,
    at: datetime,
) -> Draft:
    wanted = is_at(principal, draft_id, expected_version)
    rows = connection.execute(delete(DraftRow).where(wanted).returning(*DRAFT))
    row = rows.mappings().one_or_none()
    if row is None:
        raise why_not(connection, principal, draft_id)
    write_down(connection, principal, at, action, draft_id, from_version=expected_version)
    return Draft(**row)
