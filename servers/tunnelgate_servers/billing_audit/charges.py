"""Reading: a charge, what it consists of, and what was done about it later."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Row, case, func, select

from tunnelgate_servers.billing_audit.identifiers import transaction_number
from tunnelgate_servers.billing_audit.ledger import Ledger, total
from tunnelgate_servers.billing_audit.models import CUSTOMER, Account, Entry, Transaction
from tunnelgate_servers.billing_audit.places import PLACE
from tunnelgate_servers.billing_audit.results import Kind
from tunnelgate_servers.hosting import RequestError

UNKNOWN_CHARGE: Final = "There is no charge with this id on the accounts that the token opens."
"""What is said of a transaction that does not exist, is no charge, or is on somebody else's account."""

MAX_EVENTS: Final = 100
"""How many of the later transactions are read."""


@dataclass(frozen=True, slots=True)
class Part:
    """What one of the company's own accounts got of a charge."""

    account: int
    kind: str
    amount: int
    text: str


@dataclass(frozen=True, slots=True)
class Event:
    """A later transaction about a charge; `amount` is what it adds to what is owed."""

    transaction: int
    posted_at: datetime
    kind: Kind
    description: str
    amount: int


@dataclass(frozen=True, slots=True)
class Charge:
    """A charge to one customer; all amounts are in minor units of `currency`.

    `events` are the first `MAX_EVENTS`; `paid`, `refunded` and `changed`, which is what was added to what is
    owed, are of all of them.
    """

    transaction: int
    account: int
    holder: str
    currency: str
    posted_at: datetime
    description: str
    reference: str
    total: int
    parts: Sequence[Part]
    events: Sequence[Event]
    event_count: int
    paid: int
    refunded: int
    changed: int


def read_charge(ledger: Ledger, text: str) -> Charge:
    """Return the charge with an id; raises `RequestError` where the caller has none with it."""
    number = transaction_number(text)
    of_charge = ledger.entries().where(Transaction.id == number, Transaction.kind == "charge")
    rows = ledger.connection.execute(of_charge.order_by(*PLACE)).all()
    if not rows:
        raise RequestError(UNKNOWN_CHARGE)
    row = rows[0]
    about = ledger.entries().where(Transaction.about_id == row.id, Entry.account_id == row.account)
    count, paid, refunded, changed = ledger.connection.execute(
        about.with_only_columns(
            func.count(),
            -total(case((Transaction.kind == "payment", Entry.amount), else_=0)),
            -total(case((Transaction.kind == "refund", Entry.amount), else_=0)),
            total(Entry.amount),
        )
    ).one()
    events = ledger.connection.execute(about.order_by(*PLACE).limit(MAX_EVENTS)).all()
    return Charge(
        transaction=row.id,
        account=row.account,
        holder=row.holder,
        currency=row.currency,
        posted_at=row.posted_at,
        description=row.description,
        reference=row.reference,
        total=sum(each.amount for each in rows),
        parts=_parts(ledger, row),
        events=[
            Event(event.id, event.posted_at, event.kind, event.description, event.amount) for event in events
        ],
        event_count=count,
        paid=paid,
        refunded=refunded,
        changed=changed,
    )


def _parts(ledger: Ledger, charge: Row[Any]) -> list[Part]:
    # A charge is to one customer, which the database sees to: all the other entries are the company's own.
    query = (
        select(Account.id, Account.kind, Entry.amount, Entry.text)
        .join(Entry, Entry.account_id == Account.id)
        .where(Entry.transaction_id == charge.id, Account.kind != CUSTOMER)
        .where(Account.currency == charge.currency)
        .order_by(Entry.position)
    )
    return [Part(row.id, row.kind, -row.amount, row.text) for row in ledger.connection.execute(query)]
