"""Sample data: the same for the same seed, realistic, and a ledger like any other."""

from collections.abc import Generator
from contextlib import contextmanager
from datetime import date
from itertools import pairwise
from typing import Any

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from tests.support.postgres import Databases
from tunnelgate_servers.billing_audit import PACKAGE
from tunnelgate_servers.billing_audit.charges import read_charge
from tunnelgate_servers.billing_audit.explaining import explained
from tunnelgate_servers.billing_audit.identifiers import transaction_id
from tunnelgate_servers.billing_audit.ledger import Ledger
from tunnelgate_servers.billing_audit.redaction import redacted
from tunnelgate_servers.billing_audit.rows import Rows
from tunnelgate_servers.billing_audit.seed import seed_ledger
from tunnelgate_servers.hosting import migrate, open_writer, read_url

UNTIL = date(2026, 3, 31)


@contextmanager
def ledger(databases: Databases) -> Generator[Engine]:
    engine = open_writer(read_url(databases.new()))
    try:
        migrate(engine, PACKAGE)
        yield engine
    finally:
        engine.dispose()


@pytest.fixture
def engine(databases: Databases) -> Generator[Engine]:
    with ledger(databases) as engine:
        yield engine


def rows(engine: Engine, sql: str) -> list[tuple[Any, ...]]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(sql))]


def everything(engine: Engine) -> list[list[tuple[Any, ...]]]:
    tables = {"accounts": "id", "transactions": "id", "entries": "transaction_id, position"}
    return [rows(engine, f"SELECT * FROM {table} ORDER BY {key}") for table, key in tables.items()]


def test_the_same_seed_gives_the_same_ledger_and_another_seed_another(databases: Databases) -> None:
    made: list[list[list[tuple[Any, ...]]]] = []
    for seed in (7, 7, 8):
        with ledger(databases) as engine:
            seed_ledger(engine, seed=seed, until=UNTIL, accounts=6)
            made.append(everything(engine))

    assert made[0] == made[1]
    assert made[0] != made[2]


def test_a_ledger_has_everything_that_happens_to_customers(engine: Engine) -> None:
    count = seed_ledger(engine, seed=1, until=UNTIL)

    assert rows(engine, "SELECT count(*) FROM transactions") == [(count,)]
    assert count > 1000
    kinds = rows(engine, "SELECT DISTINCT kind FROM transactions")
    assert {kind for (kind,) in kinds} == {"charge", "payment", "refund", "fee", "tax", "adjustment"}
    customers = rows(engine, "SELECT id, name, currency FROM accounts WHERE kind = 'customer' ORDER BY id")
    assert [number for number, _, _ in customers] == list(range(1001, 1041))
    assert len({name for _, name, _ in customers}) == 40
    assert {currency for _, _, currency in customers} >= {"EUR", "JPY", "KWD", "GBP", "USD", "CHF"}
    descriptions = {description for (description,) in rows(engine, "SELECT description FROM transactions")}
    for told in ("Late fee", "Refund paid out", "Chargeback: the bank took the payment back"):
        assert told in descriptions
    assert any(description.startswith("Disputed") for description in descriptions)
    assert any(redacted(description) != description for description in descriptions)


def test_the_ledger_sums_to_zero_in_every_currency(engine: Engine) -> None:
    seed_ledger(engine, seed=2, until=UNTIL)

    sums = rows(
        engine,
        "SELECT currency, CAST(sum(amount) AS BIGINT) FROM entries JOIN accounts ON account_id = accounts.id "
        "GROUP BY currency",
    )
    assert {amount for _, amount in sums} == {0}


def test_balances_make_sense(engine: Engine) -> None:
    seed_ledger(engine, seed=3, until=UNTIL)

    balances = [
        balance
        for (balance,) in rows(
            engine,
            "SELECT CAST(sum(amount) AS BIGINT) FROM entries JOIN accounts ON account_id = accounts.id "
            "WHERE kind = 'customer' GROUP BY accounts.id",
        )
    ]
    assert len(balances) == 40
    assert min(balances) == 0, "nobody has paid too much"
    assert 0 < sum(balance > 0 for balance in balances) < 25, "most have paid everything"
    own = rows(
        engine,
        "SELECT kind, CAST(sum(amount) AS BIGINT) FROM entries JOIN accounts ON account_id = accounts.id "
        "WHERE currency = 'EUR' GROUP BY kind",
    )
    totals = dict[str, int]((kind, amount) for kind, amount in own)
    assert totals["revenue"] < 0 < totals["cash"]
    assert totals["tax"] <= 0


def test_every_charge_can_be_explained_and_the_numbers_agree(engine: Engine) -> None:
    seed_ledger(engine, seed=4, until=UNTIL, accounts=10)

    charges = rows(engine, "SELECT id FROM transactions WHERE kind = 'charge'")
    with engine.connect() as connection:
        for (number,) in charges:
            charge = read_charge(Ledger(connection, Rows(None)), transaction_id(number))
            explanation = explained(charge)
            assert explanation.total.amount == explanation.net.amount + explanation.tax.amount
            assert explanation.outstanding.amount == charge.total + sum(
                event.amount for event in charge.events
            )
            assert explanation.outstanding.amount >= 0
            generated = explanation.explanation.replace(charge.holder, "")
            assert "INV-" in generated
            if not any(redacted(event.description) != event.description for event in charge.events):
                assert redacted(explanation.explanation) == explanation.explanation


def test_the_history_ends_with_the_day_and_comes_in_order(engine: Engine) -> None:
    seed_ledger(engine, seed=5, until=date(2026, 3, 9), accounts=8)

    times = [str(time) for (time,) in rows(engine, "SELECT posted_at FROM transactions ORDER BY id")]
    assert all(one <= two for one, two in pairwise(times))
    assert times[-1] < "2026-03-10"
    assert times[0] >= "2024-04-01"


def test_a_ledger_that_is_not_empty_is_not_filled_again(engine: Engine) -> None:
    seed_ledger(engine, seed=6, until=UNTIL, accounts=2)
    before = everything(engine)

    with pytest.raises(DBAPIError):
        seed_ledger(engine, seed=6, until=UNTIL, accounts=2)
    assert everything(engine) == before
