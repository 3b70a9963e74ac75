"""What a charge consists of and what became of it, in numbers and in sentences from the ledger."""

from typing import Any

import pytest

from tests.servers.billing_audit.books import Books, on, own, reading_token
from tests.servers.serving import Era, connected, sentence, structured
from tunnelgate_servers.billing_audit.charges import MAX_EVENTS, UNKNOWN_CHARGE

pytestmark = pytest.mark.anyio


def charged(books: Books, account: int, currency: str = "EUR") -> int:
    """Charge 100.00 for a plan and 20.00 for storage, less 1.00, with 19 % of tax, all in minor units."""
    return books.post(
        "charge",
        (account, 14161, "Invoice"),
        (own("revenue", currency), -10000, "Team plan, 10 seats"),
        (own("revenue", currency), -2000, "Storage, 1 TB"),
        (own("revenue", currency), 100, "Rebate"),
        (own("tax", currency), -2261, "19 % tax"),
        when=on("2026-01-31"),
        description="Subscription for January 2026",
        reference="INV-2026-01-1001",
    )


async def explained(books: Books, era: Era, charge: int, accounts: Any = "*") -> dict[str, Any]:
    with books.served() as url:
        async with connected(url, era, reading_token(accounts)) as client:
            return structured(await client.call_tool("explain_charge", {"charge": f"TXN-{charge:06}"}))


def sums(explanation: dict[str, Any]) -> dict[str, int]:
    names = ("net", "tax", "total", "paid", "refunded", "outstanding")
    return {name: explanation[name]["amount"] for name in names}


async def test_a_charge_nobody_has_paid(books: Books, era: Era) -> None:
    charge = charged(books, books.customer("Larkmoor Studios Ltd"))

    explanation = await explained(books, era, charge)

    assert sums(explanation) == {
        "net": 11900, "tax": 2261, "total": 14161, "paid": 0, "refunded": 0, "outstanding": 14161,
    }  # fmt: skip
    assert [(line["text"], line["part"], line["amount"]["text"]) for line in explanation["lines"]] == [
        ("Team plan, 10 seats", "price", "EUR 100.00"),
        ("Storage, 1 TB", "price", "EUR 20.00"),
        ("Rebate", "price", "EUR -1.00"),
        ("19 % tax", "tax", "EUR 22.61"),
    ]
    assert explanation["events"] == []
    assert explanation["event_count"] == 0
    assert explanation["posted_at"] == "2026-01-31T12:00:00Z"
    assert explanation["explanation"] == (
        "Larkmoor Studios Ltd (ACC-1001) was charged EUR 141.61 on 2026-01-31, reference INV-2026-01-1001: "
        "Subscription for January 2026. The charge consists of EUR 100.00 for Team plan, 10 seats, EUR 20.00 "
        "for Storage, 1 TB, EUR -1.00 for Rebate and EUR 22.61 for 19 % tax. EUR 141.61 is outstanding."
    )


async def test_a_charge_with_everything_that_can_happen_to_it(books: Books, era: Era) -> None:
    account = books.customer("Larkmoor Studios Ltd")
    charge = charged(books, account)
    about: dict[str, Any] = {"about": charge}
    books.move("fee", account, 1500, "fees", when=on("2026-02-28"), description="Late fee", **about)
    books.move("payment", account, -14161, "cash", when=on("2026-03-02"), description="Card", **about)
    books.move("refund", account, -2000, "revenue", when=on("2026-03-03"), description="Outage", **about)
    books.move("payment", account, 2000, "cash", when=on("2026-03-04"), description="Paid out", **about)
    books.move("tax", account, -261, "tax", when=on("2026-03-05"), description="Rate", **about)
    books.move("adjustment", account, 14161, "cash", when=on("2026-03-06"), description="Chargeback", **about)
    books.move("fee", account, -1500, "fees", when=on("2026-03-07"), description="Waived", **about)

    explanation = await explained(books, era, charge)

    assert sums(explanation) == {
        "net": 11900, "tax": 2261, "total": 14161, "paid": 12161, "refunded": 2000, "outstanding": 13900,
    }  # fmt: skip
    assert [(event["kind"], event["amount"]["amount"]) for event in explanation["events"]] == [
        ("fee", 1500), ("payment", -14161), ("refund", -2000), ("payment", 2000),
        ("tax", -261), ("adjustment", 14161), ("fee", -1500),
    ]  # fmt: skip
    assert explanation["explanation"].endswith(
        "A fee of EUR 15.00 was added on 2026-02-28 with TXN-000002: Late fee. "
        "EUR 141.61 was paid on 2026-03-02 with TXN-000003: Card. "
        "EUR 20.00 was refunded on 2026-03-03 with TXN-000004: Outage. "
        "EUR 20.00 was paid back on 2026-03-04 with TXN-000005: Paid out. "
        "EUR 2.61 was taken from what is owed on 2026-03-05 with TXN-000006: Rate. "
        "EUR 141.61 was added to what is owed on 2026-03-06 with TXN-000007: Chargeback. "
        "EUR 15.00 was taken from what is owed on 2026-03-07 with TXN-000008: Waived. "
        "EUR 139.00 is outstanding."
    )


@pytest.mark.parametrize(
    ("paid", "rest"),
    [
        pytest.param(14161, "Nothing is outstanding.", id="all of it"),
        pytest.param(14160, "JPY 1 is outstanding.", id="one yen too little"),
        pytest.param(14162, "JPY 1 is left over as a credit of the customer.", id="one yen too much"),
    ],
)
async def test_a_charge_in_yen_of_which_was_paid(books: Books, era: Era, paid: int, rest: str) -> None:
    account = books.customer(currency="JPY")
    charge = charged(books, account, "JPY")
    books.post("payment", (account, -paid), (own("cash", "JPY"), paid), about=charge)

    explanation = await explained(books, era, charge)

    assert explanation["outstanding"]["amount"] == 14161 - paid
    assert explanation["explanation"].endswith(rest)


async def test_parts_of_other_kinds_and_a_part_alone(books: Books, era: Era) -> None:
    account = books.customer()
    fee = books.post("charge", (account, 5, ""), (own("fees"), -5, "Setup"))
    cash = books.post(
        "charge", (account, 5, ""), (own("cash"), -4, "Paid on behalf"), (own("tax"), -1, "Tax")
    )

    assert [line["part"] for line in (await explained(books, era, fee))["lines"]] == ["fee"]
    both = await explained(books, era, cash)
    assert [line["part"] for line in both["lines"]] == ["other", "tax"]
    assert "consists of EUR 0.05 for Setup. " in (await explained(books, era, fee))["explanation"]


async def test_of_very_many_events_the_first_are_shown_and_all_are_counted(books: Books, era: Era) -> None:
    account = books.customer()
    charge = charged(books, account)
    for _ in range(MAX_EVENTS + 2):
        books.move("payment", account, -1, "cash", about=charge)

    explanation = await explained(books, era, charge)

    assert len(explanation["events"]) == MAX_EVENTS
    assert explanation["event_count"] == MAX_EVENTS + 2
    assert explanation["paid"]["amount"] == MAX_EVENTS + 2
    assert (
        "2 more transactions are about this charge. EUR 140.59 is outstanding." in explanation["explanation"]
    )


async def test_what_others_did_about_a_charge_is_not_told(books: Books, era: Era) -> None:
    account = books.customer()
    other = books.customer("Vellamo Films B.V.")
    charge = charged(books, account)
    books.move("payment", other, -14161, "cash", about=charge, description="Paid by a friend")
    books.post("adjustment", (account, -161), (other, 161), about=charge, description="Moved over")

    for accounts in ("*", ["ACC-1001"]):
        explanation = await explained(books, era, charge, accounts)
        assert sums(explanation)["outstanding"] == 14000
        assert explanation["event_count"] == 1
        assert "Vellamo" not in str(explanation)


async def test_a_part_in_another_currency_is_not_added_to_it(books: Books, era: Era) -> None:
    account = books.customer()
    charge = books.post(
        "charge",
        (account, 100), (own("revenue"), -100, "Plan"), (own("cash", "JPY"), 9), (own("revenue", "JPY"), -9),
    )  # fmt: skip

    explanation = await explained(books, era, charge)

    assert [line["amount"]["text"] for line in explanation["lines"]] == ["EUR 1.00"]
    assert sums(explanation)["total"] == 100


@pytest.mark.parametrize(
    "charge",
    [
        pytest.param("TXN-000002", id="a payment"),
        pytest.param("TXN-000003", id="a charge of somebody else"),
        pytest.param("TXN-000004", id="a transaction of the company alone"),
        pytest.param("TXN-000099", id="an unknown one"),
        pytest.param("ACC-1001", id="an account"),
        pytest.param("1", id="a number"),
        pytest.param("", id="nothing"),
        pytest.param("TXN-000001' OR '1'='1", id="a piece of SQL"),
    ],
)
async def test_what_is_no_charge_of_the_caller_is_answered_in_the_same_words(
    books: Books, era: Era, charge: str
) -> None:
    account, other = books.customer(), books.customer()
    books.move("payment", account, -5, "cash", about=charged(books, account))
    charged(books, other)
    books.post("tax", (own("tax"), 70), (own("cash"), -70))
    with books.served() as url:
        async with connected(url, era, reading_token(["ACC-1001"])) as client:
            refused = sentence(await client.call_tool("explain_charge", {"charge": charge}))

    assert refused == UNKNOWN_CHARGE
