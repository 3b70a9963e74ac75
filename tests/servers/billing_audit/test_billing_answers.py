"""No number of a card or an account leaves the server, whichever column it is in and whatever is asked."""

import json
from collections.abc import Generator, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mcp import Client, MCPError
from mcp.types import TextContent, TextResourceContents

from tests.servers.billing_audit.books import NOW, Books, own, reading_token
from tests.servers.billing_audit.numbers_typed import cards, ibans, plain, typed
from tests.servers.serving import Era, connected, structured
from tunnelgate.reading.strict_json import is_array, is_object
from tunnelgate_servers.billing_audit.identifiers import account_id, transaction_id

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def url(shared_books: Books) -> Generator[str]:
    with shared_books.served() as url:
        yield url


def texts_in(value: Any) -> Iterator[str]:
    """Yield every text of a value; a text that is JSON is taken apart."""
    if is_object(value):
        for key, each in value.items():
            yield from texts_in(key)
            yield from texts_in(each)
    elif is_array(value):
        for each in value:
            yield from texts_in(each)
    elif isinstance(value, str) and value.startswith("{"):
        yield from texts_in(json.loads(value))
    else:
        yield str(value)


async def answers(client: Client, account: str, charge: str, asked: str) -> list[Any]:
    """Call every tool in every manner there is, and return all that came back."""
    said: list[Any] = []
    calls: list[tuple[str, dict[str, Any]]] = [
        ("list_accounts", {}),
        ("read_statement", {"account": account}),
        ("search_transactions", {}),
        ("search_transactions", {"words": "note", "account": account}),
        ("search_transactions", {"words": asked}),
        ("explain_charge", {"charge": charge}),
        ("refund_charge", {"charge": charge, "amount": 1, "reason": asked}),
        ("refund_charge", {"charge": charge, "amount": 10**9, "reason": asked}),
        ("read_statement", {"account": asked}),
        ("read_statement", {"account": account, "month": asked}),
        ("read_statement", {"account": account, asked: 1}),
        ("read_statement", {"account": account, "date_from": asked}),
        ("search_transactions", {"kind": asked}),
        ("search_transactions", {"cursor": asked}),
        ("explain_charge", {"charge": [asked]}),
        (asked, {}),
    ]
    for tool, arguments in calls:
        try:
            said.append((await client.call_tool(tool, arguments)).model_dump(mode="json"))
        except MCPError as error:
            said.append(error.error.model_dump(mode="json"))
    for uri in (f"billing:///accounts/{account}", "billing:///accounts/" + asked.replace(" ", "%20")):
        try:
            said.append((await client.read_resource(uri)).model_dump(mode="json"))
        except MCPError as error:
            said.append(error.error.model_dump(mode="json"))
    return said


@given(
    numbers=st.lists(typed(st.one_of(cards(), ibans())), min_size=7, max_size=7),
    era=st.sampled_from(["2026-07-28", "legacy"]),
)
@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@pytest.mark.promise("numbers-redacted")
async def test_no_number_is_in_any_answer_of_any_tool(
    shared_books: Books, url: str, numbers: list[tuple[str, str]], era: Era
) -> None:
    books = shared_books
    texts = [text for _, text in numbers]
    account = books.customer(f"Vellamo {texts[0]} Films", card=texts[1], bank_account=texts[2])
    charge = books.post(
        "charge", (account, 119, texts[3]), (own("revenue"), -100, texts[4]), (own("tax"), -19, texts[3]),
        description=f"note: {texts[5]}", reference=texts[6],
    )  # fmt: skip
    books.move("payment", account, -119, "cash", about=charge, description=texts[5], reference=texts[6])

    async with connected(url, era, reading_token([account_id(account)], "billing:refund")) as client:
        said = await answers(
            client, account_id(account), transaction_id(charge), texts[0].encode("ascii", "ignore").decode()
        )

    shown = [plain(text) for text in texts_in(said)]
    assert any("••••" in text for text in texts_in(said))
    for number, _ in numbers:
        for text in shown:
            assert number[:-4] not in text
            assert number[-8:] not in text


async def test_long_amounts_and_cursors_are_no_numbers_of_accounts(books: Books, era: Era) -> None:
    account = books.customer(currency="JPY")
    for _ in range(3):
        books.post("fee", (account, 424242424242), (own("fees", "JPY"), -424242424242))
    with books.served() as url:
        async with connected(url, era, reading_token()) as client:
            result = await client.call_tool("read_statement", {"account": "ACC-1001", "limit": 1})
            page = structured(result)
            arguments = {"account": "ACC-1001", "limit": 1, "cursor": page["next_cursor"]}
            second = structured(await client.call_tool("read_statement", arguments))
            resource = await client.read_resource("billing:///accounts/ACC-1001")

    assert page["lines"][0]["amount"]["amount"] == 424242424242
    assert page["closing_balance"]["text"] == "JPY 1,272,727,272,726"
    assert second["lines"][0]["balance"]["amount"] == 848484848484
    (text,) = result.content
    assert isinstance(text, TextContent)
    assert json.loads(text.text) == page
    (contents,) = resource.contents
    assert isinstance(contents, TextResourceContents)
    assert json.loads(contents.text) == {
        "id": "ACC-1001",
        "holder": "Oakhollow Ceramics Inc.",
        "card": None,
        "bank_account": None,
        "opened_on": "2026-01-01",
        "balance": {"amount": 1272727272726, "currency": "JPY", "text": "JPY 1,272,727,272,726"},
        "entries": 3,
        "first_entry_at": NOW.isoformat().replace("+00:00", "Z"),
        "last_entry_at": NOW.isoformat().replace("+00:00", "Z"),
    }
