"""The tables: tickets, drafts, who owns drafts, idempotency keys, and the audit of changes.

What is in `migrations` makes them, with the rules that a database keeps by itself: bounds, and that nothing
in the audit is changed or removed.
"""

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, Identity, Integer, String, Text, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from tunnelgate_servers.hosting import UtcDateTime

_COUNTER = BigInteger().with_variant(Integer, "sqlite")


class Base(DeclarativeBase):
    """The tables of this server."""


class Searchable:
    """What tickets and drafts have in common; the folded texts are those that searches look at."""

    title: Mapped[str] = mapped_column(String(200))
    body: Mapped[str] = mapped_column(Text)
    folded_title: Mapped[str] = mapped_column(Text)
    folded_body: Mapped[str] = mapped_column(Text)
    priority: Mapped[str] = mapped_column(String(10))
    version: Mapped[int]
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)


class OwnerRow(Base):
    """A principal who has or had drafts. Locking the row keeps apart what this principal does at once."""

    __tablename__ = "owners"
    __table_args__ = (UniqueConstraint("issuer", "subject"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    issuer: Mapped[str] = mapped_column(Text)
    subject: Mapped[str] = mapped_column(Text)


class TicketRow(Searchable, Base):
    """A ticket. `draft_id` is unique, so that a draft becomes one ticket at most."""

    __tablename__ = "tickets"
    __table_args__ = ({"sqlite_autoincrement": True},)

    number: Mapped[int] = mapped_column(Identity(start=1001), primary_key=True)
    state: Mapped[str] = mapped_column(String(10), index=True)
    requester: Mapped[str] = mapped_column(Text)
    owner: Mapped[int | None] = mapped_column(ForeignKey("owners.id"))
    draft_id: Mapped[str | None] = mapped_column(String(40), unique=True)


class DraftRow(Searchable, Base):
    """A draft, as long as it is one: what was discarded or submitted has no row any more."""

    __tablename__ = "drafts"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    owner: Mapped[int] = mapped_column(ForeignKey("owners.id"), index=True)


class KeyRow(Base):
    """An idempotency key, which outlives the draft that it made; of its content there is only a digest."""

    __tablename__ = "idempotency_keys"

    owner: Mapped[int] = mapped_column(ForeignKey("owners.id"), primary_key=True)
    key: Mapped[str] = mapped_column(String(100), primary_key=True)
    digest: Mapped[str] = mapped_column(String(64))
    draft_id: Mapped[str] = mapped_column(String(40))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class ChangeRow(Base):
    """An entry of the audit: who changed what, when, and from which version to which; no text of it."""

    __tablename__ = "changes"
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(_COUNTER, primary_key=True)
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    issuer: Mapped[str] = mapped_column(Text)
    subject: Mapped[str] = mapped_column(Text)
    client_id: Mapped[str] = mapped_column(Text)
    action: Mapped[str] = mapped_column(String(20))
    item: Mapped[str] = mapped_column(String(40), index=True)
    from_version: Mapped[int | None]
    to_version: Mapped[int | None]
