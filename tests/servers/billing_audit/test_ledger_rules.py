"""What the database itself refuses to whoever writes to it, whichever program that is."""

import sqlite3
from contextlib import closing
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError

from tests.servers.billing_audit.books import NOW, Books, own


@pytest.fixture
def account(books: Books) -> int:
    account = books.customer()
    books.customer(currency="JPY")
    books.move("charge", account, 11900, "revenue")
    return account


def refused(books: Books, sql: str, **values: Any) -> str:
    """Return why the database refuses a statement, which has changed nothing."""
    before = books.everything()
    with pytest.raises(DBAPIError) as caught:
        books.execute(sql, **values)
    assert books.everything() == before
    return str(caught.value.orig)


def test_a_transaction_is_in_the_ledger_with_all_of_its_entries(books: Books, account: int) -> None:
    number = books.post("payment", (account, -5000, "one"), (own("cash"), 5000, "two"))

    with books.engine.connect() as connection:
        rows = connection.execute(
            text("SELECT position, account_id, amount, text FROM entries WHERE transaction_id = :number"),
            {"number": number},
        ).all()

    assert [tuple(row) for row in rows] == [(1, account, -5000, "one"), (2, own("cash"), 5000, "two")]


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param([(1001, 100), (own("cash"), -99)], id="one unit is missing"),
        pytest.param([(1001, 100), (1001, 100)], id="both have the same sign"),
        pytest.param([(1001, 100), (own("cash", "JPY"), -100)], id="it is zero only over two currencies"),
        pytest.param(
            [(1001, 100), (own("cash"), -100), (1002, 5), (own("cash", "JPY"), -6)],
            id="it is zero in one of two currencies",
        ),
        pytest.param([(1001, 10**12), (own("cash"), 1 - 10**12)], id="large amounts nearly cancel out"),
    ],
)
def test_a_transaction_that_does_not_sum_to_zero_is_refused(
    books: Books, account: int, lines: list[tuple[int, int]]
) -> None:
    before = books.everything()

    with pytest.raises(DBAPIError, match="sum to zero in every currency"):
        books.post("adjustment", *lines)
    assert books.everything() == before


def test_a_transaction_in_two_currencies_may_be_zero_in_each(books: Books, account: int) -> None:
    books.post("payment", (account, 100), (own("cash"), -100), (1001, 7), (own("cash"), -7))
    books.post("adjustment", (account, 100), (own("cash"), -100), (1002, 5), (own("cash", "JPY"), -5))


def test_a_transaction_that_lacks_an_entry_is_refused_at_the_commit(books: Books, account: int) -> None:
    before = books.everything()

    connection = books.engine.connect()
    with connection:
        transaction = connection.begin()
        connection.execute(
            text(
                "INSERT INTO transactions (id, posted_at, kind, description, reference, entry_count) "
                "VALUES (77, :now, 'fee', '', '', 3)"
            ),
            {"now": NOW},
        )
        for position, amount in ((1, 5), (2, -5)):
            connection.execute(
                text("INSERT INTO entries VALUES (77, :position, :account, :amount, '')"),
                {"position": position, "account": account, "amount": amount},
            )
        with pytest.raises(DBAPIError, match=r"(?i)foreign key"):
            transaction.commit()
        transaction.rollback()
    assert books.everything() == before


@pytest.mark.parametrize(
    "sql",
    [
        pytest.param("UPDATE entries SET amount = 1", id="an amount is changed"),
        pytest.param("UPDATE entries SET text = 'other'", id="the text of an entry is changed"),
        pytest.param("UPDATE entries SET account_id = 4 WHERE amount < 0", id="an entry is moved"),
        pytest.param("UPDATE transactions SET description = 'other'", id="a description is changed"),
        pytest.param("UPDATE transactions SET entry_count = 3", id="the number of entries is changed"),
        pytest.param("DELETE FROM entries", id="the entries are deleted"),
        pytest.param("DELETE FROM transactions", id="the transactions are deleted"),
        pytest.param(
            "INSERT INTO entries VALUES (1, 3, 1001, 5, '')", id="an entry is added to what was written"
        ),
        pytest.param("INSERT INTO entries VALUES (1, 0, 1001, 5, '')", id="an entry comes before the first"),
        pytest.param("INSERT INTO entries VALUES (99, 1, 1001, 5, '')", id="an entry has no transaction"),
        pytest.param(
            "INSERT INTO entries VALUES (1, 1, 1001, 5, '') "
            "ON CONFLICT (transaction_id, position) DO UPDATE SET amount = 5",
            id="an entry is replaced by the way of an upsert",
        ),
        pytest.param("DELETE FROM accounts WHERE id = 1001", id="an account with entries is deleted"),
        pytest.param("UPDATE accounts SET currency = 'JPY' WHERE id = 1001", id="a currency is changed"),
        pytest.param("UPDATE accounts SET id = 5000 WHERE id = 1001", id="an account gets another number"),
        pytest.param("UPDATE accounts SET kind = 'tax' WHERE id = 1", id="an account gets another kind"),
    ],
)
def test_what_was_written_stays(books: Books, account: int, sql: str) -> None:
    assert refused(books, sql)


@pytest.mark.parametrize(
    "sql",
    [
        pytest.param(
            "INSERT INTO accounts VALUES (1, 'tax', 'x', 'EUR', NULL, NULL, :now)", id="a number twice"
        ),
        pytest.param(
            "INSERT INTO accounts VALUES (0, 'tax', 'x', 'EUR', NULL, NULL, :now)", id="number zero"
        ),
        pytest.param(
            "INSERT INTO accounts VALUES (100000000000, 'customer', 'x', 'EUR', NULL, NULL, :now)",
            id="a number that is as long as a card number",
        ),
        pytest.param(
            "INSERT INTO accounts VALUES (1000, 'customer', 'x', 'EUR', NULL, NULL, :now)",
            id="a customer with a number of the company",
        ),
        pytest.param(
            "INSERT INTO accounts VALUES (1009, 'tax', 'x', 'EUR', NULL, NULL, :now)",
            id="an account of the company with a number of a customer",
        ),
        pytest.param(
            "INSERT INTO accounts VALUES (999, 'gifts', 'x', 'EUR', NULL, NULL, :now)", id="an unknown kind"
        ),
        pytest.param(
            "INSERT INTO accounts VALUES (999, 'tax', 'x', 'eur', NULL, NULL, :now)", id="a small currency"
        ),
        pytest.param(
            "INSERT INTO accounts VALUES (999, 'tax', 'x', 'EU', NULL, NULL, :now)", id="a short currency"
        ),
        pytest.param(
            "INSERT INTO accounts VALUES (999, 'tax', 'x', 'EUR', '4242', NULL, :now)",
            id="a card of the company",
        ),
    ],
)
def test_an_account_that_makes_no_sense_is_refused(books: Books, account: int, sql: str) -> None:
    assert refused(books, sql, now=NOW)


@pytest.mark.parametrize(
    ("kind", "amounts"),
    [
        pytest.param("gift", [5, -5], id="an unknown kind"),
        pytest.param("fee", [0, 0], id="amounts of nothing"),
        pytest.param("fee", [10**12 + 1, -(10**12) - 1], id="an amount too large"),
        pytest.param("fee", [], id="no entries"),
        pytest.param("fee", [0], id="one entry"),
        pytest.param("fee", [1, -1] * 101, id="too many entries"),
    ],
)
def test_a_transaction_that_makes_no_sense_is_refused(
    books: Books, account: int, kind: str, amounts: list[int]
) -> None:
    before = books.everything()

    with pytest.raises(DBAPIError):
        books.post(kind, *((account, amount) for amount in amounts))
    assert books.everything() == before


def test_a_transaction_has_up_to_two_hundred_entries(books: Books, account: int) -> None:
    books.post("fee", *((account, amount) for amount in [1, -1] * 100))


@pytest.mark.parametrize("kind", ["charge", "payment", "refund", "fee", "tax"])
def test_only_an_adjustment_is_between_two_customers(books: Books, account: int, kind: str) -> None:
    other = books.customer()

    with pytest.raises(DBAPIError, match="Only an adjustment may be between two customers"):
        books.post(kind, (account, 5), (other, -5))
    books.post("adjustment", (account, 5), (other, -5))


def test_a_customer_may_get_another_name_and_another_card(books: Books, account: int) -> None:
    books.execute("UPDATE accounts SET name = 'Other', card_number = '4242' WHERE id = 1001")

    assert "Other" in {row[2] for row in books.everything()[: 6 * 3 + 2]}


@pytest.mark.only("postgresql")
def test_truncating_is_refused(books: Books, account: int) -> None:
    assert "append-only" in refused(books, "TRUNCATE entries, transactions")


@pytest.mark.only("sqlite")
@pytest.mark.parametrize(
    "sql",
    [
        pytest.param("INSERT OR REPLACE INTO entries VALUES (1, 1, 1001, 1, '')", id="an entry is replaced"),
        pytest.param(
            "REPLACE INTO transactions (id, posted_at, kind, description, reference, entry_count) "
            "VALUES (1, '2026-01-01 00:00:00', 'fee', '', '', 2)",
            id="a transaction is replaced",
        ),
        pytest.param(
            "REPLACE INTO accounts VALUES (1001, 'customer', 'x', 'JPY', NULL, NULL, '2026-01-01 00:00:00')",
            id="an account is replaced",
        ),
        pytest.param("UPDATE OR REPLACE accounts SET id = 1001 WHERE id = 1002", id="an account takes over"),
        pytest.param(
            "INSERT INTO entries VALUES (2, 1, 1001, 5, '')", id="entries come before a transaction"
        ),
    ],
)
def test_sqlite_refuses_also_a_connection_without_foreign_keys(books: Books, account: int, sql: str) -> None:
    before = books.everything()

    with (
        closing(sqlite3.connect(str(make_url(books.engine.url).database))) as connection,
        pytest.raises(sqlite3.IntegrityError),
    ):
        connection.execute(sql)
    assert books.everything() == before


@pytest.mark.only("sqlite")
def test_sqlite_refuses_an_amount_with_a_fraction(books: Books, account: int) -> None:
    with books.engine.connect() as connection:
        header = "INSERT INTO transactions VALUES (9, '2026-01-01 00:00:00', 'fee', '', '', NULL, 2)"
        connection.execute(text(header))
        with pytest.raises(DBAPIError, match="entries_amount_integer"):
            connection.execute(text("INSERT INTO entries VALUES (9, 1, 1001, 1.5, '')"))
