"""Sample data: customers who are invoiced every month for two years, and pay, or do not."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time
from random import Random
from typing import Final

from sqlalchemy import Connection, Engine, insert

from tunnelgate_servers.billing_audit.models import CUSTOMER, FIRST_CUSTOMER, Account
from tunnelgate_servers.billing_audit.posting import Line, Posting, post
from tunnelgate_servers.billing_audit.sample_customers import COUNTRIES, Customer, draw_customer
from tunnelgate_servers.billing_audit.sample_history import Event, History

_MONTHS: Final = 24
_OWN: Final = {
    "revenue": "Revenue",
    "fees": "Fees",
    "tax": "Tax to be paid",
    "cash": "Cash at bank",
    "disputes": "Receivables in dispute",
    "losses": "Bad debts",
}
_TAX_DAY: Final = 10


def seed_ledger(engine: Engine, *, seed: int, until: date, accounts: int = 40) -> int:
    """Fill an empty ledger with what happened until a day, included, and return the number of transactions.

    The same `seed`, `until` and `accounts` give the same ledger. The database has its newest form already.
    """
    months = _months(until)
    own = _own_accounts()
    rows = [_own_row(number, kind, currency, months[0]) for (currency, kind), number in own.items()]
    events: list[Event] = []
    for number in range(accounts):
        random = Random(f"{seed}/{number}")  # noqa: S311 - nothing here is secret, and all has to come again
        customer = draw_customer(random, number)
        first = random.choice((0, 0, *range(_MONTHS - 1)))
        account = FIRST_CUSTOMER + number
        rows.append(_customer_row(account, customer, months[first]))
        ledger = {kind: own[customer.country.currency, kind] for kind in _OWN}
        events += History(random, account, customer, ledger).events(months[first:])
    until_then = [event for event in events if event.posting.posted_at.date() <= until]
    until_then += _remittances(until_then, own, until)
    until_then.sort(key=lambda event: event.posting.posted_at)
    with engine.begin() as connection:
        connection.execute(insert(Account), rows)
        _post_all(connection, until_then)
    return len(until_then)


def _post_all(connection: Connection, events: Sequence[Event]) -> None:
    numbers: dict[int, int] = {}
    for event in events:
        about = None if event.about is None else numbers[id(event.about)]
        numbers[id(event)] = post(connection, replace(event.posting, about=about))


def _months(until: date) -> list[date]:
    last = until.year * 12 + until.month - 1
    return [date(month // 12, month % 12 + 1, 1) for month in range(last - _MONTHS + 1, last + 1)]


def _own_accounts() -> dict[tuple[str, str], int]:
    currencies = dict.fromkeys(country.currency for country in COUNTRIES)
    return {
        (currency, kind): number
        for number, (currency, kind) in enumerate(
            ((currency, kind) for currency in currencies for kind in _OWN), start=1
        )
    }


def _own_row(number: int, kind: str, currency: str, opened: date) -> dict[str, object]:
    return _row(number, kind, f"{_OWN[kind]}, {currency}", currency, opened)


def _customer_row(number: int, customer: Customer, opened: date) -> dict[str, object]:
    row = _row(number, CUSTOMER, customer.name, customer.country.currency, opened)
    return {**row, "card_number": customer.card, "bank_account": customer.bank_account}


def _row(number: int, kind: str, name: str, currency: str, opened: date) -> dict[str, object]:
    return {
        "id": number,
        "kind": kind,
        "name": name,
        "currency": currency,
        "card_number": None,
        "bank_account": None,
        "opened_at": datetime.combine(opened, time.min, UTC),
    }


def _remittances(events: Sequence[Event], own: Mapping[tuple[str, str], int], until: date) -> Iterator[Event]:
    """Yield what is paid to the tax office: each month, the tax of the month before."""
    collected: dict[tuple[str, date], int] = {}
    currency_of = {number: currency for (currency, kind), number in own.items() if kind == "tax"}
    for event in events:
        for line in event.posting.lines:
            if line.account in currency_of:
                month = event.posting.posted_at.date().replace(day=1)
                key = currency_of[line.account], month
                collected[key] = collected.get(key, 0) - line.amount
    for (currency, month), amount in sorted(collected.items()):
        next_month = month.year * 12 + month.month
        day = date(next_month // 12, next_month % 12 + 1, _TAX_DAY)
        if amount and day <= until:
            text = f"Tax of {month:%B %Y}"
            lines = [Line(own[currency, "tax"], amount, text), Line(own[currency, "cash"], -amount, text)]
            when = datetime.combine(day, time(12), UTC)
            yield Event(Posting(when, "tax", text, f"TAX-{month:%Y-%m}-{currency}", lines))
