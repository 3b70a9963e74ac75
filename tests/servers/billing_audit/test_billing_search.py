"""Searching: every condition by itself and together, page by page, and never for what is not shown."""

from collections.abc import Generator
from typing import Any

import pytest
from mcp import Client
from sqlalchemy import Engine

from tests.servers.billing_audit.books import Books, on, own, reading_token
from tests.servers.serving import Era, connected, sentence, structured
from tunnelgate_servers.billing_audit.ledger import Ledger
from tunnelgate_servers.billing_audit.results import TransactionPage
from tunnelgate_servers.billing_audit.rows import Rows
from tunnelgate_servers.billing_audit.search import MAX_READ, Wanted, search
from tunnelgate_servers.hosting import RequestError, open_reader, read_url, reading

CARD = "4000056655665556"


@pytest.fixture(scope="module")
def filled(shared_books: Books) -> Books:
    books = shared_books
    one = books.customer("Larkmoor Studios Ltd")
    two = books.customer("Vellamo Films B.V.")
    yen = books.customer("Calvena Textiles K.K.", "JPY")
    charge = books.move(
        "charge", one, 11900, "revenue", when=on("2026-01-01"), description="Subscription, 100% of January",
        reference="INV_2026-01",
    )  # fmt: skip
    books.move(
        "payment", one, -11900, "cash", when=on("2026-01-05", 23), description=f"By phone, card {CARD}",
        reference="PAY-1", about=charge,
    )  # fmt: skip
    books.move(
        "fee", two, 1500, "fees", when=on("2026-01-05", 0), description="Straße, MAHNUNG", reference="F-1"
    )
    books.post("charge", (yen, 11900), (own("revenue", "JPY"), -11900), when=on("2026-02-01"))
    books.move("fee", two, 1, "fees", when=on("2026-02-01"), description="a'; DROP TABLE entries; --")
    books.post("adjustment", (one, 50), (two, -50), when=on("2026-03-01"), description="Moved over")
    books.post("tax", (own("tax"), 70), (own("cash"), -70), when=on("2026-03-02"), description="Tax paid")
    return books


@pytest.fixture(scope="module")
def url(filled: Books) -> Generator[str]:
    with filled.served() as url:
        yield url


async def found(client: Client, **arguments: Any) -> list[tuple[str, str, int]]:
    result = structured(await client.call_tool("search_transactions", arguments))
    assert result["next_cursor"] is None
    return [
        (each["transaction"], each["account"], each["amount"]["amount"]) for each in result["transactions"]
    ]


ALL = [
    ("TXN-000006", "ACC-1002", -50),
    ("TXN-000006", "ACC-1001", 50),
    ("TXN-000005", "ACC-1002", 1),
    ("TXN-000004", "ACC-1003", 11900),
    ("TXN-000002", "ACC-1001", -11900),
    ("TXN-000003", "ACC-1002", 1500),
    ("TXN-000001", "ACC-1001", 11900),
]


def only(*numbers: int) -> list[tuple[str, str, int]]:
    return [each for each in ALL if int(each[0][4:]) in numbers]


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("arguments", "hits"),
    [
        pytest.param({}, ALL, id="everything, newest first, without what only the company has"),
        pytest.param({"words": "subscription"}, only(1), id="a word, without regard to case"),
        pytest.param({"words": "JANUARY scrip"}, only(1), id="two parts of words in any order"),
        pytest.param({"words": "january fee"}, [], id="two words that are not together"),
        pytest.param({"words": "larkmoor"}, [ALL[1], *only(2, 1)], id="a part of the holder's name"),
        pytest.param({"words": "STRASSE mahnung"}, only(3), id="a sharp s"),
        pytest.param({"words": "100%"}, only(1), id="a percent sign is one"),
        pytest.param({"words": "INV_2026"}, only(1), id="an underscore is one"),
        pytest.param({"words": "_"}, only(1), id="an underscore does not stand for anything"),
        pytest.param({"words": "'; DROP"}, only(5), id="a quote is one"),
        pytest.param({"words": "something OR subscription"}, [], id="OR is a word"),
        pytest.param({"words": "subscrip*"}, [], id="an asterisk is one"),
        pytest.param({"words": 'description:"x" NEAR('}, [], id="operators are words"),
        pytest.param({"words": "   "}, ALL, id="only blanks"),
        pytest.param({"kind": "payment"}, only(2), id="a kind"),
        pytest.param({"kind": "tax"}, [], id="a kind that only the company has"),
        pytest.param({"account": "ACC-1003"}, only(4), id="an account"),
        pytest.param({"date_from": "2026-01-05", "date_to": "2026-01-05"}, only(2, 3), id="one day"),
        pytest.param({"date_from": "2026-02-01"}, only(6, 5, 4), id="from a day on"),
        pytest.param({"date_to": "2026-01-04"}, only(1), id="up to a day"),
        pytest.param({"min_amount": 11900}, only(4, 2, 1), id="at least an amount, of either sign"),
        pytest.param({"max_amount": 50}, only(6, 5), id="at most an amount, of either sign"),
        pytest.param({"min_amount": 50, "max_amount": 1500}, only(6, 3), id="amounts in between"),
        pytest.param({"min_amount": 1500, "max_amount": 1500}, only(3), id="one amount"),
        pytest.param({"max_amount": 0}, [], id="no amount is nothing"),
        pytest.param(
            {"words": "phone", "kind": "payment", "account": "ACC-1001", "min_amount": 1,
             "date_from": "2026-01-05", "date_to": "2026-01-05", "max_amount": 10**12},
            only(2),
            id="all conditions together",
        ),
    ],
)  # fmt: skip
async def test_a_search_finds_what_fits(
    url: str, arguments: dict[str, Any], hits: list[tuple[str, str, int]]
) -> None:
    async with connected(url, "2026-07-28", reading_token()) as client:
        assert await found(client, **arguments) == hits


@pytest.mark.anyio
async def test_a_search_finds_only_on_the_accounts_of_the_token(url: str, era: Era) -> None:
    async with connected(url, era, reading_token(["ACC-1002", "ACC-1999"])) as client:
        assert await found(client) == [ALL[0], *only(5, 3)]
        assert await found(client, words="subscription") == []


@pytest.mark.anyio
async def test_a_hit_says_what_happened_on_which_account(url: str, era: Era) -> None:
    async with connected(url, era, reading_token()) as client:
        result = structured(await client.call_tool("search_transactions", {"kind": "payment"}))

    assert result["transactions"] == [
        {
            "transaction": "TXN-000002",
            "account": "ACC-1001",
            "holder": "Larkmoor Studios Ltd",
            "posted_at": "2026-01-05T23:00:00Z",
            "kind": "payment",
            "description": "By phone, card •••• 5556",
            "reference": "PAY-1",
            "amount": {"amount": -11900, "currency": "EUR", "text": "EUR -119.00"},
        }
    ]


@pytest.mark.anyio
@pytest.mark.parametrize("limit", [1, 2, 3, 6, 7, 100])
async def test_the_pages_together_are_everything_once(url: str, era: Era, limit: int) -> None:
    hits: list[tuple[str, str]] = []
    sizes: list[int] = []
    cursor: str | None = ""
    async with connected(url, era, reading_token()) as client:
        while cursor is not None:
            page = structured(
                await client.call_tool("search_transactions", {"limit": limit, "cursor": cursor})
            )
            sizes.append(len(page["transactions"]))
            hits += [(each["transaction"], each["account"]) for each in page["transactions"]]
            cursor = page["next_cursor"]

    assert hits == [each[:2] for each in ALL]
    assert set(sizes[:-1]) <= {limit}
    assert 0 < sizes[-1] <= limit


@pytest.mark.anyio
@pytest.mark.parametrize("piece", [CARD, CARD[:12], CARD[:5], CARD[-5:], "phone 4", "phone 0", "phone 66"])
async def test_a_search_does_not_tell_the_digits_that_are_not_shown(url: str, piece: str) -> None:
    async with connected(url, "2026-07-28", reading_token()) as client:
        assert await found(client, words=piece) == []
        assert await found(client, words="phone 5556") == only(2)


@pytest.mark.anyio
async def test_a_smallest_amount_above_the_largest_is_answered_with_a_sentence(url: str, era: Era) -> None:
    async with connected(url, era, reading_token()) as client:
        refused = sentence(await client.call_tool("search_transactions", {"min_amount": 2, "max_amount": 1}))

    assert refused == "min_amount is larger than max_amount, so that no amount is in between."


@pytest.fixture
def reader(books: Books) -> Generator[Engine]:
    engine = open_reader(read_url(books.reader_url))
    yield engine
    engine.dispose()


def searched(reader: Engine, cursor: str = "", **wanted: Any) -> TransactionPage:
    with reading(reader) as connection:
        return search(Ledger(connection, Rows(None)), Wanted(**wanted), cursor=cursor, limit=3)


def test_a_search_for_words_reads_so_many_transactions_and_says_where_it_goes_on(
    books: Books, reader: Engine
) -> None:
    account = books.customer()
    needle = books.move("fee", account, 1, "fees", when=on("2026-01-01"), description="needle")
    for _ in range((MAX_READ - 1) // 100):
        books.post("fee", *((account, 1), (own("fees"), -1)) * 100, description="hay")
    books.post("fee", *((account, 1), (own("fees"), -1)) * 99, description="hay")

    first = searched(reader, words=["needle"])
    assert len(first.transactions) == 1, "the last that is read is still looked at"
    assert first.next_cursor is None

    books.move("fee", account, 1, "fees", description="hay")
    second = searched(reader, words=["needle"])
    assert second.transactions == ()
    assert second.next_cursor is not None
    third = searched(reader, second.next_cursor, words=["needle"])
    assert [each.transaction for each in third.transactions] == [f"TXN-{needle:06}"]
    assert third.next_cursor is None


def test_amounts_in_the_wrong_order_are_refused() -> None:
    with pytest.raises(RequestError, match="min_amount is larger"):
        Wanted(min_amount=1, max_amount=0)
    assert Wanted(min_amount=1, max_amount=1).words == ()
