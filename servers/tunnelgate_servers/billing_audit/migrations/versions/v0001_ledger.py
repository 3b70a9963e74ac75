"""Accounts, transactions and their entries."""

import sqlalchemy as sa
from alembic import op

revision = "v0001"
down_revision = None
branch_labels = None
depends_on = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Make the tables."""
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    op.create_table(
        "accounts",
        sa.Column("id", _NUMBER, primary_key=True, autoincrement=False),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("currency", sa.String(3), nullable=False),
        sa.Column("card_number", sa.Text),
        sa.Column("bank_account", sa.Text),
        sa.Column("opened_at", _TIME, nullable=False),
        sa.CheckConstraint(
            "kind IN ('customer', 'revenue', 'fees', 'tax', 'cash', 'disputes', 'losses')",
            name="accounts_kind",
        ),
        sa.CheckConstraint("id BETWEEN 1 AND 99999999999", name="accounts_number"),
        sa.CheckConstraint("(kind = 'customer') = (id >= 1001)", name="accounts_customer"),
        sa.CheckConstraint("length(currency) = 3 AND currency = upper(currency)", name="accounts_currency"),
        sa.CheckConstraint(
            "kind = 'customer' OR (card_number IS NULL AND bank_account IS NULL)", name="accounts_payment"
        ),
    )
    # The two tables refer to each other: SQLite takes that as it comes, PostgreSQL one after the other.
    last_entry = sa.ForeignKeyConstraint(
        ["id", "entry_count"],
        ["entries.transaction_id", "entries.position"],
        name="transactions_last_entry",
        deferrable=True,
        initially="DEFERRED",
    )
    op.create_table(
        "transactions",
        sa.Column("id", _NUMBER, sa.Identity(), primary_key=True),
        sa.Column("posted_at", _TIME, nullable=False),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("reference", sa.Text, nullable=False),
        sa.Column("about_id", _NUMBER, sa.ForeignKey("transactions.id", name="transactions_about_id")),
        sa.Column("entry_count", _NUMBER, nullable=False),
        sa.CheckConstraint(
            "kind IN ('charge', 'payment', 'refund', 'fee', 'tax', 'adjustment')", name="transactions_kind"
        ),
        sa.CheckConstraint("id BETWEEN 1 AND 99999999999", name="transactions_number"),
        sa.CheckConstraint("entry_count BETWEEN 2 AND 200", name="transactions_entry_count"),
        *([last_entry] if is_sqlite else []),
    )
    op.create_index("transactions_posted_at", "transactions", ["posted_at", "id"])
    op.create_index("transactions_about", "transactions", ["about_id"])
    integers = ("position", "amount") if is_sqlite else ()  # which other numbers would fit into as well
    op.create_table(
        "entries",
        sa.Column("transaction_id", _NUMBER, primary_key=True, autoincrement=False),
        sa.Column("position", _NUMBER, primary_key=True, autoincrement=False),
        sa.Column("account_id", _NUMBER, nullable=False),
        sa.Column("amount", _NUMBER, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.ForeignKeyConstraint(["transaction_id"], ["transactions.id"], name="entries_transaction_id"),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name="entries_account_id"),
        sa.CheckConstraint(
            "amount <> 0 AND amount BETWEEN -1000000000000 AND 1000000000000", name="entries_amount"
        ),
        *(
            sa.CheckConstraint(f"typeof({name}) = 'integer'", name=f"entries_{name}_integer")
            for name in integers
        ),
        sqlite_with_rowid=False,
    )
    op.create_index("entries_account", "entries", ["account_id"])
    if not is_sqlite:
        op.create_foreign_key(
            "transactions_last_entry",
            "transactions",
            "entries",
            ["id", "entry_count"],
            ["transaction_id", "position"],
            deferrable=True,
            initially="DEFERRED",
        )


def downgrade() -> None:
    """Remove the tables."""
    if op.get_bind().dialect.name != "sqlite":
        op.drop_constraint("transactions_last_entry", "transactions", type_="foreignkey")
    op.drop_table("entries")
    op.drop_table("transactions")
    op.drop_table("accounts")
