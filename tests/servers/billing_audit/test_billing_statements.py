"""Statements: opening balance + entries = closing balance, whatever the ledger has and whoever pages."""

import threading
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine

from tests.servers.billing_audit.books import Books, on, own, reading_token
from tests.servers.serving import Era, connected, structured
from tunnelgate_servers.billing_audit.identifiers import account_id, transaction_id
from tunnelgate_servers.billing_audit.ledger import Ledger
from tunnelgate_servers.billing_audit.periods import Period
from tunnelgate_servers.billing_audit.results import Statement, StatementLine
from tunnelgate_servers.billing_audit.rows import Rows
from tunnelgate_servers.billing_audit.statements import read_statement
from tunnelgate_servers.hosting import open_reader, read_url, reading

FIRST = date(2026, 2, 26)
TIMES = (time.min, time(12), time.max)
CURRENCY = {"EUR": 2, "JPY": 0, "KWD": 3}


@pytest.fixture(scope="module")
def reader(shared_books: Books) -> Generator[Engine]:
    engine = open_reader(read_url(shared_books.reader_url))
    yield engine
    engine.dispose()


@dataclass(frozen=True)
class Movement:
    """Amounts on one account at a moment, which are the entries of one transaction."""

    when: datetime
    amounts: Sequence[int]


@st.composite
def movements(draw: st.DrawFn) -> Movement:
    day = FIRST + timedelta(days=draw(st.integers(0, 6)))
    amount = st.integers(-(10**12), 10**12).filter(bool)
    return Movement(
        datetime.combine(day, draw(st.sampled_from(TIMES)), UTC),
        draw(st.lists(amount, min_size=1, max_size=3)),
    )


@st.composite
def periods(draw: st.DrawFn) -> Period:
    days = sorted(draw(st.lists(st.integers(0, 7), min_size=2, max_size=2)))
    return Period(FIRST + timedelta(days=days[0]), FIRST + timedelta(days=days[1]))


def written(books: Books, account: int, currency: str, movement: Movement) -> int:
    """Write a transaction that does this to the account and the opposite to the company's cash."""
    lines = [(account, amount) for amount in movement.amounts]
    cash = [(own("cash", currency), -amount) for amount in movement.amounts]
    return books.post("adjustment", *lines, *cash, when=movement.when)


def pages_of(reader: Engine, account: int, period: Period, limit: int) -> list[Statement]:
    pages: list[Statement] = []
    cursor: str | None = ""
    while cursor is not None:
        with reading(reader) as connection:
            ledger = Ledger(connection, Rows(frozenset({account})))
            page = read_statement(ledger, account_id(account), period, cursor=cursor, limit=limit)
        pages.append(page)
        cursor = page.next_cursor
    return pages


@given(
    history=st.lists(movements(), max_size=8),
    period=periods(),
    limit=st.integers(1, 7),
    currency=st.sampled_from(sorted(CURRENCY)),
)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_statements_sum(
    shared_books: Books, reader: Engine, history: list[Movement], period: Period, limit: int, currency: str
) -> None:
    account = shared_books.customer(currency=currency)
    numbered = [(written(shared_books, account, currency, movement), movement) for movement in history]

    pages = pages_of(reader, account, period, limit)

    in_order = sorted(numbered, key=lambda each: (each[1].when, each[0]))
    entries = [(number, move.when, amount) for number, move in in_order for amount in move.amounts]
    before = sum(amount for _, when, amount in entries if when.date() < period.first)
    inside = [each for each in entries if period.first <= each[1].date() <= period.last]
    debits = sum(amount for _, _, amount in inside if amount > 0)
    credits_ = sum(amount for _, _, amount in inside if amount < 0)
    for page in pages:
        assert page.opening_balance.amount == before
        assert (page.debits.amount, page.credits.amount) == (debits, credits_)
        assert page.closing_balance.amount == before + debits + credits_
        assert page.count == len(inside)
        assert page.account.balance.amount == sum(amount for _, _, amount in entries)
        assert len(page.lines) <= limit
    lines: list[StatementLine] = [line for page in pages for line in page.lines]
    assert [(line.transaction, line.posted_at, line.amount.amount) for line in lines] == [
        (transaction_id(number), when, amount) for number, when, amount in inside
    ]
    balance = before
    for line in lines:
        balance += line.amount.amount
        assert line.balance.amount == balance
        assert line.balance.currency == currency
        assert len(line.amount.text.partition(".")[2]) == CURRENCY[currency]
    assert balance == pages[-1].closing_balance.amount


def test_a_statement_is_of_one_moment_while_somebody_writes(books: Books) -> None:
    account = books.customer()
    reader = open_reader(read_url(books.reader_url))
    written_all = threading.Event()
    failed: list[BaseException] = []

    def write() -> None:
        try:
            for _ in range(100):
                books.move("fee", account, 7, "fees", when=on("2026-03-02"))
        except BaseException as error:  # noqa: BLE001 - which the test reports
            failed.append(error)
        finally:
            written_all.set()

    writer = threading.Thread(target=write)
    writer.start()
    statements: list[Statement] = []
    try:
        while not written_all.is_set():
            statements += pages_of(reader, account, Period(date(2026, 3, 1), date(2026, 3, 31)), 1000)
    finally:
        writer.join(60)
        reader.dispose()

    assert not failed
    assert not writer.is_alive()
    for statement in statements:
        total = sum(line.amount.amount for line in statement.lines)
        assert statement.closing_balance.amount == total == statement.account.balance.amount
        assert statement.count == len(statement.lines)


@pytest.mark.anyio
async def test_a_statement_goes_on_where_its_cursor_says_when_something_is_added(
    books: Books, era: Era
) -> None:
    account = books.customer("Larkmoor Studios Ltd", card="4242424242424242", bank_account="0001442807")
    charge = books.move(
        "charge", account, 11900, "revenue", when=on("2026-02-27"), description="Plan", reference="INV-1"
    )
    books.move("payment", account, -10000, "cash", when=on("2026-03-01", 0), about=charge)
    arguments = {"account": "ACC-1001", "month": "2026-03", "limit": 1}
    with books.served() as url:
        async with connected(url, era, reading_token(["ACC-1001"])) as client:
            books.move("fee", account, 1500, "fees", when=on("2026-03-31", 23), description="Late fee")
            first = structured(await client.call_tool("read_statement", arguments))
            books.move("fee", account, 100, "fees", when=on("2026-03-01", 0), description="Fee")
            books.move("fee", account, 200, "fees", when=on("2026-02-28"), description="Fee")
            second = structured(
                await client.call_tool("read_statement", {**arguments, "cursor": first["next_cursor"]})
            )
            whole = structured(await client.call_tool("read_statement", {"account": "ACC-1001"}))

    assert first["opening_balance"] == {"amount": 11900, "currency": "EUR", "text": "EUR 119.00"}
    assert first["closing_balance"]["amount"] == 3400
    assert first["lines"] == [
        {
            "transaction": "TXN-000002",
            "posted_at": "2026-03-01T00:00:00Z",
            "kind": "payment",
            "description": "Something",
            "reference": "REF-1",
            "amount": {"amount": -10000, "currency": "EUR", "text": "EUR -100.00"},
            "balance": {"amount": 1900, "currency": "EUR", "text": "EUR 19.00"},
        }
    ]
    assert first["account"] == {
        "id": "ACC-1001",
        "holder": "Larkmoor Studios Ltd",
        "card": "•••• 4242",
        "bank_account": "•••• 2807",
        "opened_on": "2026-01-01",
        "balance": {"amount": 3400, "currency": "EUR", "text": "EUR 34.00"},
    }
    assert [(line["description"], line["balance"]["amount"]) for line in second["lines"]] == [("Fee", 2200)]
    assert second["opening_balance"]["amount"] == 12100
    assert (whole["first_day"], whole["last_day"]) == ("2026-03-01", "2026-03-31")
    assert [line["balance"]["amount"] for line in whole["lines"]] == [2100, 2200, 3700]
    assert whole["closing_balance"]["amount"] == 3700
    assert whole["next_cursor"] is None


@pytest.mark.anyio
async def test_a_statement_of_days_has_its_first_and_its_last(books: Books, era: Era) -> None:
    account = books.customer(currency="JPY")
    for day in ("2026-02-28", "2026-03-01", "2026-03-02", "2026-03-03"):
        books.post("fee", (account, 7), (own("fees", "JPY"), -7), when=on(day, 23))
    arguments = {"account": "ACC-1001", "date_from": "2026-03-01", "date_to": "2026-03-02"}
    with books.served() as url:
        async with connected(url, era, reading_token()) as client:
            statement = structured(await client.call_tool("read_statement", arguments))

    assert statement["opening_balance"]["text"] == "JPY 7"
    assert statement["closing_balance"]["text"] == "JPY 21"
    assert statement["count"] == 2
