"""A token opens some accounts, and nothing of any other account is in any answer."""

from collections.abc import Generator
from typing import Any

import pytest
from mcp import Client, MCPError

from tests.servers.billing_audit.books import Books, on, reading_token
from tests.servers.serving import Era, connected, sentence, structured, token

pytestmark = pytest.mark.anyio

MINE, YOURS = 1001, 1002
SECRET = "Vellamo"


@pytest.fixture(scope="module")
def url(shared_books: Books) -> Generator[str]:
    books = shared_books
    for number, name in (
        (MINE, "Larkmoor Studios Ltd"),
        (YOURS, f"{SECRET} Films B.V."),
        (1003, "Other Inc."),
    ):
        books.customer(name, number=number)
    charges = [
        books.move("charge", account, 11900 + account, "revenue", when=on(f"2026-03-{day:02}"))
        for day, account in ((1, YOURS), (2, MINE), (3, 1003), (4, YOURS), (5, MINE))
    ]
    books.move("payment", MINE, -100, "cash", when=on("2026-03-06"), about=charges[1])
    books.move("payment", YOURS, -200, "cash", when=on("2026-03-07"), about=charges[0], description=SECRET)
    books.post("adjustment", (MINE, 7), (YOURS, -7), when=on("2026-03-08"), description="Moved over")
    with books.served() as url:
        yield url


async def answer(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    return structured(await client.call_tool(tool, arguments))


@pytest.mark.promise("rows-by-principal")
async def test_all_that_a_token_opens_and_nothing_else_is_listed_and_counted(url: str, era: Era) -> None:
    async with connected(url, era, reading_token(["ACC-1001", "ACC-1003"])) as client:
        accounts = await answer(client, "list_accounts")
        transactions = await answer(client, "search_transactions")
        statement = await answer(client, "read_statement", account="ACC-1001")
        resource = await client.read_resource("billing:///accounts/ACC-1001")

    assert accounts["count"] == 2
    assert [account["id"] for account in accounts["accounts"]] == ["ACC-1001", "ACC-1003"]
    assert {hit["account"] for hit in transactions["transactions"]} == {"ACC-1001", "ACC-1003"}
    assert len(transactions["transactions"]) == 5
    assert statement["count"] == 4
    assert statement["closing_balance"]["amount"] == 2 * 12901 - 100 + 7
    for said in (accounts, transactions, statement, resource):
        assert SECRET not in str(said)


@pytest.mark.parametrize(
    "claims",
    [
        pytest.param({}, id="there is no claim"),
        pytest.param({"accounts": []}, id="the claim is an empty list"),
        pytest.param({"accounts": "ACC-1001"}, id="the claim is a text"),
        pytest.param({"accounts": {"ACC-1001": True}}, id="the claim is an object"),
        pytest.param({"accounts": ["*"]}, id="the claim is a list with a star"),
        pytest.param({"accounts": [1001, "1001", "acc-1001"]}, id="the claim lists no ids"),
        pytest.param({"accounts": True}, id="the claim is true"),
    ],
)
@pytest.mark.promise("rows-by-principal")
async def test_a_token_opens_nothing_when(url: str, era: Era, claims: dict[str, Any]) -> None:
    async with connected(url, era, token("billing:read", claims=claims)) as client:
        accounts = await answer(client, "list_accounts")
        transactions = await answer(client, "search_transactions")
        refused = sentence(await client.call_tool("read_statement", {"account": "ACC-1001"}))

    assert accounts == {"count": 0, "accounts": [], "next_cursor": None}
    assert transactions == {"transactions": [], "next_cursor": None}
    assert refused == "There is no account with this id among those that the token opens."


async def test_a_star_opens_the_customers_accounts_and_not_the_companys(url: str, era: Era) -> None:
    async with connected(url, era, reading_token("*")) as client:
        accounts = await answer(client, "list_accounts")
        own = sentence(await client.call_tool("read_statement", {"account": "ACC-1"}))

    assert [account["id"] for account in accounts["accounts"]] == ["ACC-1001", "ACC-1002", "ACC-1003"]
    assert "no account with this id" in own


@pytest.mark.parametrize(
    ("tool", "other", "unknown"),
    [
        pytest.param("read_statement", {"account": "ACC-1002"}, {"account": "ACC-9999"}, id="a statement"),
        pytest.param(
            "read_statement",
            {"account": "ACC-1002", "month": "2026-03", "limit": 1},
            {"account": "ACC-9999", "month": "2026-03", "limit": 1},
            id="a page of a statement",
        ),
        pytest.param("search_transactions", {"account": "ACC-1002"}, {"account": "ACC-9999"}, id="a search"),
        pytest.param("explain_charge", {"charge": "TXN-000001"}, {"charge": "TXN-999999"}, id="a charge"),
        pytest.param(
            "refund_charge",
            {"charge": "TXN-000001", "amount": 1, "reason": "x"},
            {"charge": "TXN-999999", "amount": 1, "reason": "x"},
            id="a refund",
        ),
    ],
)
@pytest.mark.promise("rows-by-principal")
async def test_what_is_somebody_elses_is_answered_like_what_does_not_exist(
    url: str, era: Era, tool: str, other: dict[str, Any], unknown: dict[str, Any]
) -> None:
    async with connected(url, era, reading_token(["ACC-1001"], "billing:refund")) as client:
        refused = await client.call_tool(tool, other)
        missing = await client.call_tool(tool, unknown)

    assert sentence(refused) == sentence(missing)
    assert refused.content == missing.content


@pytest.mark.promise("rows-by-principal")
async def test_a_resource_of_somebody_else_is_answered_like_one_that_does_not_exist(
    url: str, era: Era
) -> None:
    said: list[str] = []
    async with connected(url, era, reading_token(["ACC-1001"])) as client:
        for account in ("ACC-1002", "ACC-9999", "x"):
            with pytest.raises(MCPError) as caught:
                await client.read_resource(f"billing:///accounts/{account}")
            said.append(caught.value.error.message)

    assert set(said) == {"There is no account with this id among those that the token opens."}


@pytest.mark.parametrize(
    ("tool", "arguments", "listed"),
    [
        pytest.param("list_accounts", {"limit": 1}, "accounts", id="accounts"),
        pytest.param("search_transactions", {"limit": 1}, "transactions", id="transactions"),
        pytest.param("read_statement", {"limit": 1, "account": "ACC-1002"}, "lines", id="a statement"),
    ],
)
@pytest.mark.promise("rows-by-principal")
async def test_a_cursor_of_another_caller_gives_nothing_more(
    url: str, era: Era, tool: str, arguments: dict[str, Any], listed: str
) -> None:
    async with connected(url, era, reading_token("*")) as client:
        cursor = (await answer(client, tool, **arguments))["next_cursor"]
    assert cursor is not None
    arguments = {**arguments, "cursor": cursor}
    if "account" in arguments:
        arguments["account"] = "ACC-1001"
    async with connected(url, era, reading_token(["ACC-1001"])) as client:
        page = await answer(client, tool, **arguments)

    assert SECRET not in str(page)
    assert "ACC-1002" not in str(page)
    assert len(page[listed]) <= 1


async def test_what_two_customers_had_with_each_other_is_told_to_each_by_half(url: str, era: Era) -> None:
    async with connected(url, era, reading_token(["ACC-1001"])) as client:
        hits = (await answer(client, "search_transactions", kind="adjustment"))["transactions"]

    assert [(hit["account"], hit["amount"]["amount"]) for hit in hits] == [("ACC-1001", 7)]
