"""Reading: an account in a period, with sums that hold: opening + debits + credits = closing."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, case, func

from tunnelgate_servers.billing_audit.identifiers import account_number, transaction_id
from tunnelgate_servers.billing_audit.ledger import Ledger, total
from tunnelgate_servers.billing_audit.models import Entry, Transaction
from tunnelgate_servers.billing_audit.periods import Period
from tunnelgate_servers.billing_audit.places import PLACE, Place
from tunnelgate_servers.billing_audit.results import Money, Statement, StatementLine


def read_statement(ledger: Ledger, account: str, period: Period, *, cursor: str, limit: int) -> Statement:
    """Return a page of a statement; raises `RequestError` for an account that is not there."""
    entry = ledger.account(account)
    currency = entry.balance.currency
    after = Place.read(cursor)
    of_account = ledger.entries().where(Entry.account_id == account_number(account))
    connection = ledger.connection

    opening: int = connection.execute(
        of_account.with_only_columns(total(Entry.amount)).where(Transaction.posted_at < period.begins)
    ).scalar_one()
    in_period = of_account.where(Transaction.posted_at.between(period.begins, period.ends))
    count, debits, credits_ = connection.execute(
        in_period.with_only_columns(
            func.count(),
            total(case((Entry.amount > 0, Entry.amount), else_=0)),
            total(case((Entry.amount < 0, Entry.amount), else_=0)),
        )
    ).one()
    before = opening
    page = in_period
    if after is not None:
        page = in_period.where(after.later)
        before += connection.execute(
            in_period.with_only_columns(total(Entry.amount)).where(~after.later)
        ).scalar_one()
    found = connection.execute(page.order_by(*PLACE).limit(limit + 1)).all()

    return Statement(
        account=entry,
        first_day=period.first,
        last_day=period.last,
        opening_balance=Money.of(opening, currency),
        debits=Money.of(debits, currency),
        credits=Money.of(credits_, currency),
        closing_balance=Money.of(opening + debits + credits_, currency),
        count=count,
        lines=tuple(_lines(found[:limit], before, currency)),
        next_cursor=Place.of(found[limit - 1]).cursor if len(found) > limit else None,
    )


def _lines(rows: Sequence[Row[Any]], balance: int, currency: str) -> list[StatementLine]:
    lines: list[StatementLine] = []
    for row in rows:
        balance += row.amount
        lines.append(
            StatementLine(
                transaction=transaction_id(row.id),
                posted_at=row.posted_at,
                kind=row.kind,
                description=row.description,
                reference=row.reference,
                amount=Money.of(row.amount, currency),
                balance=Money.of(balance, currency),
            )
        )
    return lines
