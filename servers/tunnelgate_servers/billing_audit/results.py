"""What the tools return. The sentence below a field is its description in the tool's output schema."""

from datetime import date, datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict

from tunnelgate_servers.billing_audit.money import in_words

Kind = Literal["charge", "payment", "refund", "fee", "tax", "adjustment"]
"""The kinds of transactions."""


class _Result(BaseModel):
    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)


class Money(_Result):
    """An amount of money."""

    amount: int
    """The amount in minor units: cents for EUR, yen for JPY, fils for KWD."""
    currency: str
    """The currency's code (ISO 4217)."""
    text: str
    """The amount as people write it."""

    @classmethod
    def of(cls, amount: int, currency: str) -> "Money":
        """Return an amount in minor units with its text."""
        return cls(amount=amount, currency=currency, text=in_words(amount, currency))


class AccountEntry(_Result):
    """An account of a customer."""

    id: str
    """The account's id, as read_statement and search_transactions take it."""
    holder: str
    """Whose account it is."""
    card: str | None
    """The last four digits of the card that pays; null without a card."""
    bank_account: str | None
    """The last four characters of the bank account that pays; null without one."""
    opened_on: date
    """The day the account was opened (UTC)."""
    balance: Money
    """What the customer owes; negative is a credit of the customer."""


class AccountPage(_Result):
    """A page of the accounts that the token opens, sorted by id."""

    count: int
    """How many accounts the token opens in all."""
    accounts: tuple[AccountEntry, ...]
    """The accounts of this page."""
    next_cursor: str | None
    """The cursor of the next page; null on the last one."""


class AccountSummary(AccountEntry):
    """An account of a customer, and what has happened on it."""

    entries: int
    """How many entries the account has."""
    first_entry_at: datetime | None
    """When the first was posted; null while there is none."""
    last_entry_at: datetime | None
    """When the last was posted; null while there is none."""


class StatementLine(_Result):
    """One entry of the account."""

    transaction: str
    """The id of the transaction; explain_charge takes that of a charge."""
    posted_at: datetime
    """When it was posted (UTC)."""
    kind: Kind
    """What kind of transaction it is."""
    description: str
    """What it is for."""
    reference: str
    """The number of the invoice or of the payment."""
    amount: Money
    """What it adds to what the customer owes; negative takes from it."""
    balance: Money
    """What the customer owes after it."""


class Statement(_Result):
    """The account in a period: opening balance + debits + credits = closing balance."""

    account: AccountEntry
    """The account, with its balance of today."""
    first_day: date
    """The first day of the period (UTC)."""
    last_day: date
    """The last day of the period (UTC), which belongs to it."""
    opening_balance: Money
    """What the customer owed before the period."""
    debits: Money
    """The sum of everything in the period that added to it, on all pages."""
    credits: Money
    """The sum of everything in the period that took from it, on all pages; negative or zero."""
    closing_balance: Money
    """What the customer owed after the period."""
    count: int
    """How many lines the period has, on all pages."""
    lines: tuple[StatementLine, ...]
    """The lines of this page, oldest first."""
    next_cursor: str | None
    """The cursor of the next page; null on the last one."""


class TransactionHit(_Result):
    """What a transaction did on one account."""

    transaction: str
    """The id of the transaction; explain_charge takes that of a charge."""
    account: str
    """The id of the account."""
    holder: str
    """Whose account it is."""
    posted_at: datetime
    """When it was posted (UTC)."""
    kind: Kind
    """What kind of transaction it is."""
    description: str
    """What it is for."""
    reference: str
    """The number of the invoice or of the payment."""
    amount: Money
    """What it adds to what the customer owes; negative takes from it."""


class TransactionPage(_Result):
    """A page of transactions, newest first. With words it may be short, or empty, and not yet the last."""

    transactions: tuple[TransactionHit, ...]
    """The transactions of this page."""
    next_cursor: str | None
    """The cursor of the next page; null when everything has been searched."""


class ChargeLine(_Result):
    """A part of a charge."""

    text: str
    """What it is for."""
    part: Literal["price", "fee", "tax", "other"]
    """What it counts as."""
    amount: Money
    """How much it is."""


class ChargeEvent(_Result):
    """A later transaction about the charge."""

    transaction: str
    """The id of the transaction."""
    posted_at: datetime
    """When it was posted (UTC)."""
    kind: Kind
    """What kind of transaction it is."""
    description: str
    """What it is for."""
    amount: Money
    """What it adds to what is owed for the charge; negative takes from it."""


class ChargeExplanation(_Result):
    """What a charge consists of and what became of it."""

    charge: str
    """The id of the charge."""
    account: str
    """The id of the account that was charged."""
    holder: str
    """Whose account it is."""
    posted_at: datetime
    """When it was charged (UTC)."""
    description: str
    """What was charged."""
    reference: str
    """The number of the invoice."""
    lines: tuple[ChargeLine, ...]
    """What it consists of."""
    net: Money
    """The sum of the lines without tax."""
    tax: Money
    """The tax in it."""
    total: Money
    """What was charged to the customer."""
    events: tuple[ChargeEvent, ...]
    """The first hundred transactions about it, oldest first."""
    event_count: int
    """How many there are in all."""
    paid: Money
    """What was paid for it, less what was paid back."""
    refunded: Money
    """What of it was refunded."""
    outstanding: Money
    """What is still owed for it, with fees and adjustments; negative is a credit."""
    explanation: str
    """All of this in sentences."""


class Refund(_Result):
    """A refund that was written to the ledger."""

    transaction: str
    """The id of the refund."""
    charge: str
    """The id of the charge."""
    amount: Money
    """How much was refunded."""
