"""What ids, amounts, days, claims and cursors are read as."""

from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunnelgate import Principal
from tunnelgate_servers.billing_audit.identifiers import (
    account_id,
    account_number,
    transaction_id,
    transaction_number,
)
from tunnelgate_servers.billing_audit.models import MAX_NUMBER
from tunnelgate_servers.billing_audit.money import in_words
from tunnelgate_servers.billing_audit.periods import Period, read_days, read_period
from tunnelgate_servers.billing_audit.places import Place
from tunnelgate_servers.billing_audit.redaction import redacted
from tunnelgate_servers.billing_audit.rows import Rows
from tunnelgate_servers.hosting import RequestError, cursor_after

TODAY = date(2026, 3, 20)


@pytest.mark.parametrize(
    ("amount", "currency", "words"),
    [
        pytest.param(0, "EUR", "EUR 0.00", id="nothing in a currency with two decimals"),
        pytest.param(123456, "EUR", "EUR 1,234.56", id="two decimals"),
        pytest.param(-5, "EUR", "EUR -0.05", id="less than one, and negative"),
        pytest.param(123456, "JPY", "JPY 123,456", id="no decimals"),
        pytest.param(-1, "JPY", "JPY -1", id="no decimals, and negative"),
        pytest.param(123456, "KWD", "KWD 123.456", id="three decimals"),
        pytest.param(7, "KWD", "KWD 0.007", id="three decimals, and less than one"),
        pytest.param(123456, "CLF", "CLF 12.3456", id="four decimals"),
        pytest.param(123456, "XXX", "XXX 1,234.56", id="a currency that nobody knows has two"),
        pytest.param(10**18 + 1, "EUR", "EUR 10,000,000,000,000,000.01", id="more than a float can hold"),
    ],
)
def test_an_amount_is_written_with_the_decimals_of_its_currency(
    amount: int, currency: str, words: str
) -> None:
    assert in_words(amount, currency) == words


@given(st.integers(), st.sampled_from(["EUR", "JPY", "KWD", "CLF"]))
def test_no_digit_of_an_amount_is_lost(amount: int, currency: str) -> None:
    digits = in_words(amount, currency).removeprefix(currency)

    assert int(digits.replace(",", "").replace(".", "")) == amount


@given(st.integers(1001, MAX_NUMBER))
def test_an_account_is_read_from_its_id(number: int) -> None:
    assert account_number(account_id(number)) == number


@given(st.integers(1, MAX_NUMBER))
def test_a_transaction_is_read_from_its_id(number: int) -> None:
    assert transaction_number(transaction_id(number)) == number


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1001",
        "ACC-",
        "ACC-001001",
        "ACC-01001",
        "acc-1001",
        " ACC-1001",
        "ACC-1001\n",
        "ACC-\uff11\uff10\uff10\uff11",
        "ACC-1001;--",
        "ACC--1001",
        "TXN-1001",
        f"ACC-{MAX_NUMBER + 1}",
        "ACC-1e3",
        "*",
    ],
)
def test_what_is_no_id_names_no_account(text: str) -> None:
    assert account_number(text) is None


@pytest.mark.parametrize("text", ["", "TXN-", "TXN-1", "ACC-1001", "TXN-0000001000000", "TXN-000001 "])
def test_what_is_no_id_names_no_transaction(text: str) -> None:
    assert transaction_number(text) is None


@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [
        pytest.param(("2026-02", "", ""), date(2026, 2, 1), date(2026, 2, 28), id="a month"),
        pytest.param(("2024-02", "", ""), date(2024, 2, 1), date(2024, 2, 29), id="a month in a leap year"),
        pytest.param(("9999-12", "", ""), date(9999, 12, 1), date.max, id="the last month there is"),
        pytest.param(("0001-01", "", ""), date.min, date(1, 1, 31), id="the first month there is"),
        pytest.param(("", "", ""), date(2026, 3, 1), date(2026, 3, 31), id="the current month"),
        pytest.param(("", "2026-02-03", "2026-02-03"), date(2026, 2, 3), date(2026, 2, 3), id="one day"),
        pytest.param(("", "2026-02-03", ""), date(2026, 2, 3), date.max, id="from a day on"),
        pytest.param(("", "", "2026-02-03"), date.min, date(2026, 2, 3), id="up to a day"),
    ],
)
def test_a_period_is_a_month_or_days(asked: tuple[str, str, str], first: date, last: date) -> None:
    assert read_period(*asked, today=TODAY) == Period(first, last)


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param(("2026-13", "", ""), id="a thirteenth month"),
        pytest.param(("2026-00", "", ""), id="a month of zero"),
        pytest.param(("0000-01", "", ""), id="a year of zero"),
        pytest.param(("2026-1", "", ""), id="a month with one digit"),
        pytest.param(("2026-01-01", "", ""), id="a day as a month"),
        pytest.param(("\uff12\uff10\uff12\uff16-01", "", ""), id="digits of another script"),
        pytest.param(("2026-01\n", "", ""), id="a line break"),
        pytest.param(("2026-02", "2026-02-01", ""), id="a month and a day"),
        pytest.param(("", "2026-02-02", "2026-02-01"), id="days that end before they begin"),
    ],
)
def test_a_period_that_makes_no_sense_is_refused_with_a_sentence(asked: tuple[str, str, str]) -> None:
    with pytest.raises(RequestError, match=r"^[a-zA-Z].*\.$"):
        read_period(*asked, today=TODAY)


def test_a_period_has_its_last_moment_and_not_the_first_of_the_next_day() -> None:
    period = Period(date(2026, 3, 1), date.max)

    assert period.begins == datetime(2026, 3, 1, tzinfo=UTC)
    assert period.ends == datetime.max.replace(tzinfo=UTC)


def test_no_days_are_no_period() -> None:
    assert read_days("", "") is None


def rows_of(**claims: Any) -> Rows:
    return Rows.of(Principal("https://login.example.com", "alice", "agent", frozenset(), claims))


@pytest.mark.parametrize(
    ("claim", "numbers"),
    [
        pytest.param("*", None, id="a star opens all"),
        pytest.param(["ACC-1001", "ACC-1002", "ACC-1001"], [1001, 1002], id="a list opens its accounts"),
        pytest.param([], [], id="an empty list opens nothing"),
        pytest.param(["*"], [], id="a star in a list opens nothing"),
        pytest.param(["ACC-1001", 1002, None, ["ACC-1003"], "x"], [1001], id="what is no id adds nothing"),
        pytest.param("ACC-1001", [], id="a text opens nothing"),
        pytest.param({"ACC-1001": True}, [], id="an object opens nothing"),
        pytest.param(1001, [], id="a number opens nothing"),
        pytest.param(True, [], id="a truth value opens nothing"),
        pytest.param(None, [], id="null opens nothing"),
    ],
)
def test_the_claim_says_which_accounts_a_token_opens(claim: Any, numbers: list[int] | None) -> None:
    opened = rows_of(accounts=claim).numbers

    assert (None if opened is None else sorted(opened)) == numbers


def test_a_token_without_the_claim_opens_nothing() -> None:
    assert rows_of(account=["ACC-1001"]).numbers == frozenset()


@given(st.datetimes(timezones=st.just(UTC)), st.integers(0, MAX_NUMBER), st.integers(0, 200))
def test_a_place_is_read_from_its_cursor(posted_at: datetime, transaction: int, position: int) -> None:
    place = Place(posted_at, transaction, position)

    assert Place.read(place.cursor) == place
    assert redacted(place.cursor) == place.cursor


@given(st.integers(0, MAX_NUMBER))
def test_a_cursor_of_accounts_is_no_number_of_an_account(number: int) -> None:
    assert redacted(cursor_after(number)) == cursor_after(number)


@pytest.mark.parametrize(
    "keys",
    [
        pytest.param((2**62, 1, 1), id="a time after all years"),
        pytest.param((-(2**62), 1, 1), id="a time before all years"),
        pytest.param((0, -1, 1), id="a negative transaction"),
        pytest.param((0, MAX_NUMBER + 1, 1), id="a transaction that is too high"),
        pytest.param((0, 1, -1), id="a negative position"),
        pytest.param((0, 1, MAX_NUMBER + 1), id="a position that is too high"),
        pytest.param((0, 1), id="too few keys"),
        pytest.param((0, 1, "1"), id="a text"),
    ],
)
def test_a_cursor_of_no_page_is_refused(keys: tuple[int | str, ...]) -> None:
    with pytest.raises(RequestError, match="This cursor is not one of this server"):
        Place.read(cursor_after(*keys))
