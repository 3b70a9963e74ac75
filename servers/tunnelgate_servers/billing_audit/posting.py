"""Writing: a transaction together with all of its entries, which the database then takes or refuses whole."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, insert

from tunnelgate_servers.billing_audit.models import Entry, Transaction


@dataclass(frozen=True, slots=True)
class Line:
    """An amount in minor units for one account, and what it is for."""

    account: int
    amount: int
    text: str = ""


@dataclass(frozen=True, slots=True)
class Posting:
    """A transaction to be. `about` is the number of the charge that it pays, refunds, or is a fee for."""

    posted_at: datetime
    kind: str
    description: str
    reference: str
    lines: Sequence[Line]
    about: int | None = None


def post(connection: Connection, posting: Posting) -> int:
    """Write a transaction and return its number; that its lines sum to zero is the database's own rule.

    Raises `DBAPIError` for what the database refuses, some of it only when the connection commits.
    """
    header = {
        "posted_at": posting.posted_at,
        "kind": posting.kind,
        "description": posting.description,
        "reference": posting.reference,
        "about_id": posting.about,
        "entry_count": len(posting.lines),
    }
    number: int = connection.execute(insert(Transaction).returning(Transaction.id), header).scalar_one()
    entries = [
        {
            "transaction_id": number,
            "position": position,
            "account_id": line.account,
            "amount": line.amount,
            "text": line.text,
        }
        for position, line in enumerate(posting.lines, 1)
    ]
    connection.execute(insert(Entry), entries)
    return number
