"""The tables of the ledger.

Every transaction has entries, each an amount on one account, and they sum to zero in every currency. What is
owed by a customer is the sum of the entries of the customer's account. Migration v0002 makes the database
itself hold to that, and to nothing ever being changed or deleted.
"""

from datetime import datetime
from typing import ClassVar, Final

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    String,
    Text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from tunnelgate_servers.hosting import UtcDateTime

CUSTOMER: Final = "customer"
"""The kind of the accounts that customers have; those of any other kind are the company's own."""

FIRST_CUSTOMER: Final = 1001
"""The number of the first account of a customer; the company's own have lower ones."""

MAX_NUMBER: Final = 10**11 - 1
"""The highest number of an account and of a transaction: one digit shorter than the shortest card number."""

MAX_AMOUNT: Final = 10**12
"""The largest amount of an entry, in minor units and without its sign."""

MAX_ENTRIES: Final = 200
"""How many entries a transaction has at most."""


class Base(DeclarativeBase):
    """What the tables of this server have in common."""

    type_annotation_map: ClassVar = {
        int: BigInteger().with_variant(Integer, "sqlite"),
        str: Text,
        datetime: UtcDateTime,
    }


class Account(Base):
    """An account of a customer, or one of the company's own, such as its revenue in one currency."""

    __tablename__ = "accounts"
    __table_args__ = (
        CheckConstraint(
            "kind IN ('customer', 'revenue', 'fees', 'tax', 'cash', 'disputes', 'losses')",
            name="accounts_kind",
        ),
        CheckConstraint(f"id BETWEEN 1 AND {MAX_NUMBER}", name="accounts_number"),
        CheckConstraint(f"(kind = '{CUSTOMER}') = (id >= {FIRST_CUSTOMER})", name="accounts_customer"),
        CheckConstraint("length(currency) = 3 AND currency = upper(currency)", name="accounts_currency"),
        CheckConstraint(
            f"kind = '{CUSTOMER}' OR (card_number IS NULL AND bank_account IS NULL)",
            name="accounts_payment",
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    kind: Mapped[str] = mapped_column(String(20))
    name: Mapped[str]
    currency: Mapped[str] = mapped_column(String(3))
    card_number: Mapped[str | None]
    bank_account: Mapped[str | None]
    opened_at: Mapped[datetime]


class Transaction(Base):
    """Something that happened. `about_id` is the charge that it pays, refunds, or is a fee for.

    `entry_count` says how many entries it has, all of which are written together with it.
    """

    __tablename__ = "transactions"
    __table_args__ = (
        CheckConstraint(
            "kind IN ('charge', 'payment', 'refund', 'fee', 'tax', 'adjustment')", name="transactions_kind"
        ),
        CheckConstraint(f"id BETWEEN 1 AND {MAX_NUMBER}", name="transactions_number"),
        CheckConstraint(f"entry_count BETWEEN 2 AND {MAX_ENTRIES}", name="transactions_entry_count"),
        # At the commit, its last entry has to be there, and so all of them: they come one after another.
        ForeignKeyConstraint(
            ["id", "entry_count"],
            ["entries.transaction_id", "entries.position"],
            name="transactions_last_entry",
            deferrable=True,
            initially="DEFERRED",
            use_alter=True,
        ),
        Index("transactions_posted_at", "posted_at", "id"),
        Index("transactions_about", "about_id"),
    )

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    posted_at: Mapped[datetime]
    kind: Mapped[str] = mapped_column(String(20))
    description: Mapped[str]
    reference: Mapped[str]
    about_id: Mapped[int | None] = mapped_column(ForeignKey("transactions.id", name="transactions_about_id"))
    entry_count: Mapped[int]


class Entry(Base):
    """An amount of a transaction on one account, in minor units of the account's currency.

    What a customer owes is positive on the customer's account, and what comes in is negative there.
    """

    __tablename__ = "entries"
    __table_args__ = (
        CheckConstraint(
            f"amount <> 0 AND amount BETWEEN -{MAX_AMOUNT} AND {MAX_AMOUNT}", name="entries_amount"
        ),
        Index("entries_account", "account_id"),
        {"sqlite_with_rowid": False},  # by which an entry could be replaced
    )

    transaction_id: Mapped[int] = mapped_column(
        ForeignKey("transactions.id", name="entries_transaction_id"), primary_key=True, autoincrement=False
    )
    position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id", name="entries_account_id"))
    amount: Mapped[int]
    text: Mapped[str]
