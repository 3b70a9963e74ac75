"""The tables of tickets and drafts, and an audit that the database only lets grow."""

from typing import Any, Final

import sqlalchemy as sa
from alembic import op

from tunnelgate_servers.hosting import UtcDateTime

revision: Final = "0001"
down_revision: Final = None

_PRIORITY = "priority IN ('low', 'normal', 'high', 'urgent')"
_FIRST_TICKET = 1001

_ONLY_ADDED_SQLITE: Final[tuple[str, ...]] = (
    """
    CREATE TRIGGER changes_are_not_changed BEFORE UPDATE ON changes
    BEGIN SELECT RAISE(ABORT, 'changes are only added to'); END
    """,
    """
    CREATE TRIGGER changes_are_not_removed BEFORE DELETE ON changes
    BEGIN SELECT RAISE(ABORT, 'changes are only added to'); END
    """,
    """
    CREATE TRIGGER changes_are_not_replaced BEFORE INSERT ON changes
    WHEN EXISTS (SELECT 1 FROM changes WHERE id = NEW.id)
    BEGIN SELECT RAISE(ABORT, 'changes are only added to'); END
    """,
)
_ONLY_ADDED_POSTGRESQL: Final[tuple[str, ...]] = (
    """
    CREATE FUNCTION changes_are_only_added_to() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'changes are only added to'; END $$
    """,
    """
    CREATE TRIGGER changes_are_only_added_to BEFORE UPDATE OR DELETE OR TRUNCATE ON changes
    FOR EACH STATEMENT EXECUTE FUNCTION changes_are_only_added_to()
    """,
)


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "owners",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("issuer", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.UniqueConstraint("issuer", "subject"),
    )
    op.create_table(
        "tickets",
        sa.Column("number", sa.Integer, sa.Identity(start=_FIRST_TICKET), primary_key=True),
        *_searchable(),
        sa.Column("state", sa.String(10), nullable=False, index=True),
        sa.Column("requester", sa.Text, nullable=False),
        sa.Column("owner", sa.Integer, sa.ForeignKey("owners.id")),
        sa.Column("draft_id", sa.String(40), unique=True),
        sa.CheckConstraint("state IN ('open', 'closed')"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "drafts",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("owner", sa.Integer, sa.ForeignKey("owners.id"), nullable=False, index=True),
        *_searchable(),
    )
    op.create_table(
        "idempotency_keys",
        sa.Column("owner", sa.Integer, sa.ForeignKey("owners.id"), primary_key=True),
        sa.Column("key", sa.String(100), primary_key=True),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("draft_id", sa.String(40), nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
    )
    op.create_table(
        "changes",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
        sa.Column("at", UtcDateTime, nullable=False),
        sa.Column("issuer", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("client_id", sa.Text, nullable=False),
        sa.Column("action", sa.String(20), nullable=False),
        sa.Column("item", sa.String(40), nullable=False, index=True),
        sa.Column("from_version", sa.Integer),
        sa.Column("to_version", sa.Integer),
        sqlite_autoincrement=True,
    )
    if op.get_bind().dialect.name == "sqlite":
        # Only PostgreSQL knows where an identity starts.
        sequence = sa.table("sqlite_sequence", sa.column("name"), sa.column("seq"))
        op.execute(sequence.insert().values(name="tickets", seq=_FIRST_TICKET - 1))
        statements = _ONLY_ADDED_SQLITE
    else:
        statements = _ONLY_ADDED_POSTGRESQL
    for statement in statements:
        op.execute(statement)


def _searchable() -> tuple[Any, ...]:
    return (
        sa.Column("title", sa.String(200), nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("folded_title", sa.Text, nullable=False),
        sa.Column("folded_body", sa.Text, nullable=False),
        sa.Column("priority", sa.String(10), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("updated_at", UtcDateTime, nullable=False, index=True),
        sa.CheckConstraint(_PRIORITY),
        sa.CheckConstraint("length(title) BETWEEN 1 AND 200"),
        sa.CheckConstraint("length(body) BETWEEN 1 AND 20000"),
    )
