"""Nobody refunds through this server: the database refuses, and the ledger stays as it was."""

from collections.abc import Generator
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.exc import DBAPIError

from tests.servers.billing_audit.books import NOW, Books, on, own, reading_token
from tests.servers.serving import Era, connected, own_check, sentence, served, structured
from tunnelgate_servers.billing_audit.charges import Charge, read_charge
from tunnelgate_servers.billing_audit.ledger import Ledger
from tunnelgate_servers.billing_audit.posting import Line, Posting, post
from tunnelgate_servers.billing_audit.refunds import refund
from tunnelgate_servers.billing_audit.rows import Rows
from tunnelgate_servers.billing_audit.tools import BillingTools
from tunnelgate_servers.hosting import (
    Introduction,
    RequestError,
    UnavailableError,
    mcp_application,
    mcp_server,
    open_reader,
    read_url,
    reading,
)

REFUSED = (
    "Nothing was refunded: this server can only read the ledger, and its database refused to write. "
    "People of the billing team make refunds, in the billing system; tell them the charge TXN-000001, "
    "the amount and the reason."
)


@pytest.fixture
def paid(books: Books) -> Books:
    """A ledger with a charge of 119.01, of which 100.00 were paid."""
    account = books.customer()
    charge = books.post(
        "charge",
        (account, 11901),
        (own("revenue"), -7000, "Plan"),
        (own("revenue"), -3001, "Storage"),
        (own("tax"), -1900, "19 % tax"),
        when=on("2026-03-01"),
        reference="INV-1",
    )
    books.move("payment", account, -10000, "cash", when=on("2026-03-02"), about=charge)
    return books


@pytest.fixture
def reader(paid: Books) -> Generator[Engine]:
    engine = open_reader(read_url(paid.reader_url))
    yield engine
    engine.dispose()


def charge_in(engine: Engine) -> Charge:
    with reading(engine) as connection:
        return read_charge(Ledger(connection, Rows(None)), "TXN-000001")


@pytest.mark.anyio
@pytest.mark.parametrize("amount", [1, 10000])
@pytest.mark.promise("readers-cannot-write")
async def test_a_refund_is_refused_by_the_database(paid: Books, era: Era, amount: int) -> None:
    before = paid.everything()
    arguments = {"charge": "TXN-000001", "amount": amount, "reason": "Outage"}
    with paid.served() as url:
        async with connected(url, era, reading_token("*", "billing:refund")) as client:
            refused = sentence(await client.call_tool("refund_charge", arguments))
            after = structured(await client.call_tool("explain_charge", {"charge": "TXN-000001"}))

    assert refused == REFUSED
    assert paid.everything() == before
    assert after["refunded"]["amount"] == 0


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param(
            {"amount": 10001}, "No more can be refunded than was paid, which is EUR 100.00.", id="more"
        ),
        pytest.param({"amount": 0}, "amount: input should be greater than or equal to 1.", id="nothing"),
        pytest.param({"amount": -5}, "amount: input should be greater than or equal to 1.", id="less"),
        pytest.param({"amount": 1.5}, "amount: input should be a valid integer.", id="a fraction"),
        pytest.param({"amount": 1.0}, "amount: input should be a valid integer.", id="a whole float"),
        pytest.param({"amount": True}, "amount: input should be a valid integer.", id="true"),
        pytest.param({"amount": "all"}, "amount: input should be a valid integer.", id="a word"),
        pytest.param({"amount": 10**13}, "amount: no amount here is that large.", id="much"),
        pytest.param({"reason": ""}, "reason: string should have at least 1 character", id="no reason"),
        pytest.param({"reason": "a\0b"}, "reason: it holds a control character.", id="NUL in the reason"),
        pytest.param({"charge": "TXN-000002"}, "There is no charge with this id", id="a payment"),
    ],
)
async def test_a_refund_that_makes_no_sense_is_answered_with_a_sentence(
    paid: Books, arguments: dict[str, Any], said: str
) -> None:
    before = paid.everything()
    asked = {"charge": "TXN-000001", "amount": 5, "reason": "Outage", **arguments}
    with paid.served() as url:
        async with connected(url, "2026-07-28", reading_token("*", "billing:refund")) as client:
            refused = sentence(await client.call_tool("refund_charge", asked))

    assert refused.startswith(said)
    assert paid.everything() == before


@pytest.mark.anyio
@pytest.mark.promise("server-holds-alone")
async def test_a_refund_needs_a_scope_of_its_own(paid: Books, era: Era) -> None:
    with paid.served() as url:
        async with connected(url, era, reading_token("*", "billing:write")) as client:
            result = await client.call_tool(
                "refund_charge", {"charge": "TXN-000001", "amount": 5, "reason": "Outage"}
            )

    assert sentence(result) == "This needs a token with the scope billing:refund."


@pytest.mark.parametrize("amount", [1, 3, 4999, 10000])
def test_it_is_the_database_and_nothing_else_that_refuses(paid: Books, reader: Engine, amount: int) -> None:
    charge = charge_in(reader)
    with pytest.raises(RequestError, match="its database refused to write"):
        refund(reader, charge, amount=amount, reason="Outage", now=NOW)

    number = refund(paid.engine, charge, amount=amount, reason="Outage", now=NOW)

    after = charge_in(reader)
    assert after.refunded == amount
    assert after.events[-1].transaction == number
    assert after.events[-1].posted_at == NOW
    with paid.engine.connect() as connection:
        amounts = connection.execute(
            text("SELECT amount FROM entries WHERE transaction_id = :number"), {"number": number}
        ).scalars()
        assert sum(amounts) == 0


@pytest.mark.anyio
async def test_the_same_tool_refunds_where_the_database_lets_it(paid: Books, era: Era) -> None:
    server = mcp_server(
        Introduction("billing_writer", "Billing", "Writes.", "Write."),
        BillingTools(paid.engine, lambda: NOW).toolset(),
    )
    app = mcp_application(server, check=own_check(), is_ready=lambda: None)
    arguments = {"charge": "TXN-000001", "amount": 5000, "reason": "Outage"}
    with served(app) as url:
        async with connected(url, era, reading_token("*", "billing:refund")) as client:
            refunded = structured(await client.call_tool("refund_charge", arguments))

    assert refunded == {
        "transaction": "TXN-000003",
        "charge": "TXN-000001",
        "amount": {"amount": 5000, "currency": "EUR", "text": "EUR 50.00"},
    }


def test_a_refund_takes_from_each_part_of_the_charge_in_proportion(paid: Books, reader: Engine) -> None:
    number = refund(paid.engine, charge_in(reader), amount=5000, reason="Outage", now=NOW)

    with paid.engine.connect() as connection:
        rows = connection.execute(
            text("SELECT account_id, amount FROM entries WHERE transaction_id = :number ORDER BY position"),
            {"number": number},
        ).all()
    shares = [5000 * part // 11901 for part in (7000, 3001, 1900)]
    assert [tuple(row) for row in rows] == [
        (1001, -5000),
        (own("revenue"), shares[0] + 5000 - sum(shares)),
        (own("revenue"), shares[1]),
        (own("tax"), shares[2]),
    ]


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO transactions VALUES (9, '2026-03-01 00:00:00', 'refund', '', '', NULL, 2)",
        "INSERT INTO entries VALUES (1, 5, 1001, 5, '')",
        "UPDATE accounts SET name = 'Other'",
        "UPDATE accounts SET card_number = NULL WHERE id = 1001",
        "UPDATE entries SET amount = 0",
        "DELETE FROM entries",
        "DELETE FROM transactions",
        "DROP TABLE entries",
        "ALTER TABLE accounts ADD COLUMN note TEXT",
        "CREATE TABLE mine (id INTEGER)",
        # A temporary table of SQLite is not in the database.
        pytest.param("CREATE TEMPORARY TABLE mine (id INTEGER)", marks=pytest.mark.only("postgresql")),
    ],
)
@pytest.mark.promise("readers-cannot-write")
def test_nothing_can_be_written_through_the_engine_of_the_server(
    paid: Books, reader: Engine, sql: str
) -> None:
    before = paid.everything()

    with (
        pytest.raises(DBAPIError, match=r"readonly|read-only|permission denied|must be owner"),
        reader.begin() as c,
    ):
        c.execute(text(sql))
    assert paid.everything() == before


def test_a_session_that_turns_off_its_own_protection_cannot_write_either(paid: Books, reader: Engine) -> None:
    before = paid.everything()
    lines = [Line(1001, -5), Line(own("cash"), 5)]
    off = "PRAGMA query_only = OFF" if reader.dialect.name == "sqlite" else "SET TRANSACTION READ WRITE"

    with reader.connect() as connection:
        connection.execute(text(off))
        with pytest.raises(DBAPIError, match=r"readonly|permission denied"):
            post(connection, Posting(NOW, "refund", "", "", lines))
    assert paid.everything() == before


def test_a_database_that_is_gone_is_not_called_read_only(paid: Books, reader: Engine) -> None:
    charge = charge_in(reader)
    broken = create_engine("sqlite:////nowhere/billing.sqlite")

    with pytest.raises(UnavailableError, match="cannot be read at the moment"):
        refund(broken, charge, amount=5, reason="Outage", now=NOW)
