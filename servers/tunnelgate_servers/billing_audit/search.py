"""Reading: transactions by words, days, amounts, kind and account, newest first."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Row, Select, func

from tunnelgate_servers.billing_audit.identifiers import account_id, account_number, transaction_id
from tunnelgate_servers.billing_audit.ledger import Ledger
from tunnelgate_servers.billing_audit.models import Entry, Transaction
from tunnelgate_servers.billing_audit.periods import Period
from tunnelgate_servers.billing_audit.places import PLACE, Place
from tunnelgate_servers.billing_audit.redaction import redacted
from tunnelgate_servers.billing_audit.results import Kind, Money, TransactionHit, TransactionPage
from tunnelgate_servers.hosting import RequestError

MAX_READ: Final = 2000
"""How many transactions one call looks for words in."""

_BATCH: Final = 200


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a caller looks for; the amounts are in minor units and without their sign.

    Raises `RequestError` where the smallest amount is larger than the largest.
    """

    words: Sequence[str] = ()  # case-folded
    period: Period | None = None
    min_amount: int | None = None
    max_amount: int | None = None
    kind: Kind | None = None
    account: str = ""

    def __post_init__(self) -> None:
        if self.min_amount is not None and self.max_amount is not None and self.min_amount > self.max_amount:
            raise RequestError("min_amount is larger than max_amount, so that no amount is in between.")


def search(ledger: Ledger, wanted: Wanted, *, cursor: str, limit: int) -> TransactionPage:
    """Return a page of what each transaction did on an account.

    Words are looked for in what is shown. In what is stored, every search would tell one more digit of a card
    number that somebody typed. So they are looked for here and not in the database, in up to `MAX_READ` rows.
    Raises `RequestError` for an account that is not there.
    """
    if wanted.account:
        ledger.account(wanted.account)
    hits: list[TransactionHit] = []
    for number, row in enumerate(_rows(ledger, _query(ledger, wanted), Place.read(cursor))):
        if len(hits) == limit or number == MAX_READ:
            return TransactionPage(transactions=tuple(hits), next_cursor=cursor)
        cursor = Place.of(row).cursor
        if _holds(row, wanted.words):
            hits.append(_hit(row))
    return TransactionPage(transactions=tuple(hits), next_cursor=None)


def _query(ledger: Ledger, wanted: Wanted) -> "Select[*tuple[Any, ...]]":
    query = ledger.entries().order_by(*(column.desc() for column in PLACE)).limit(_BATCH)
    if wanted.account:
        query = query.where(Entry.account_id == account_number(wanted.account))
    if wanted.period is not None:
        query = query.where(Transaction.posted_at.between(wanted.period.begins, wanted.period.ends))
    if wanted.min_amount is not None:
        query = query.where(func.abs(Entry.amount) >= wanted.min_amount)
    if wanted.max_amount is not None:
        query = query.where(func.abs(Entry.amount) <= wanted.max_amount)
    if wanted.kind is not None:
        query = query.where(Transaction.kind == wanted.kind)
    return query


def _rows(ledger: Ledger, query: "Select[*tuple[Any, ...]]", after: Place | None) -> Generator[Row[Any]]:
    """Yield what the query finds, read as far as it is asked for."""
    while True:
        rows = ledger.connection.execute(query if after is None else query.where(after.earlier)).all()
        yield from rows
        if len(rows) < _BATCH:
            return
        after = Place.of(rows[-1])


def _holds(row: Row[Any], words: Sequence[str]) -> bool:
    if not words:
        return True
    shown = "\n".join(redacted(text) for text in (row.holder, row.description, row.reference)).casefold()
    return all(word in shown for word in words)


def _hit(row: Row[Any]) -> TransactionHit:
    return TransactionHit(
        transaction=transaction_id(row.id),
        account=account_id(row.account),
        holder=row.holder,
        posted_at=row.posted_at,
        kind=row.kind,
        description=row.description,
        reference=row.reference,
        amount=Money.of(row.amount, row.currency),
    )
