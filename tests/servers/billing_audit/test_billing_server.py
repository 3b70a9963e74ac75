"""The server on a real socket, with the official client in both eras of the protocol."""

import json
import sqlite3
from collections.abc import Generator
from typing import Any

import httpx2
import pytest
from mcp import MCPError

from tests.servers.billing_audit.books import Books, on, reading_token
from tests.servers.hosting.raw_calls import Verbatim, Wire, call
from tests.servers.serving import Era, connected, own_check_options, sentence, served, structured, token
from tests.support.postgres import Databases
from tunnelgate_servers.billing_audit import create_app
from tunnelgate_servers.hosting import OptionsError

pytestmark = pytest.mark.anyio

SECRET = "Vellamo Films"
WORDS = {"read_statement": "account", "explain_charge": "charge", "search_transactions": "words"}
NOBODY = "There is no account with this id among those that the token opens."


@pytest.fixture(scope="module")
def ledger(shared_books: Books) -> Books:
    """A ledger that no test changes."""
    for name in ("Larkmoor Studios Ltd", f"{SECRET} B.V."):
        account = shared_books.customer(name)
        charge = shared_books.move("charge", account, 11900, "revenue", when=on("2026-03-01"))
        shared_books.move("payment", account, -11900, "cash", when=on("2026-03-02"), about=charge)
    return shared_books


@pytest.fixture(scope="module")
def url(ledger: Books) -> Generator[str]:
    with ledger.served() as url:
        yield url


async def test_every_tool_is_described_so_that_a_model_can_use_it(url: str, era: Era) -> None:
    async with connected(url, era, reading_token()) as client:
        tools = (await client.list_tools()).tools

    assert [tool.name for tool in tools] == [
        "list_accounts", "read_statement", "search_transactions", "explain_charge", "refund_charge",
    ]  # fmt: skip
    for tool in tools:
        assert tool.title
        assert tool.description
        assert tool.output_schema is not None
        assert tool.annotations is not None
        assert tool.annotations.open_world_hint is False
        is_refund = tool.name == "refund_charge"
        assert tool.annotations.read_only_hint is not is_refund
        assert bool(tool.annotations.destructive_hint) is is_refund
        assert tool.annotations.idempotent_hint is not is_refund
        described = [*tool.input_schema["properties"].values(), *tool.output_schema["properties"].values()]
        assert all(schema["description"] for schema in described)
        assert tool.input_schema["additionalProperties"] is False
        assert '"number"' not in json.dumps([tool.input_schema, tool.output_schema]), "an amount is no float"


async def test_the_server_says_what_its_tools_are_for(url: str) -> None:
    async with connected(url, "legacy", reading_token()) as client:
        assert client.server_info is not None
        assert client.server_info.title == "Billing audit"
        assert client.instructions is not None
        assert "explain_charge says what a charge consists of" in client.instructions


async def test_the_bounds_of_the_arguments_are_in_the_schema(url: str) -> None:
    async with connected(url, "2026-07-28", reading_token()) as client:
        tools = {tool.name: tool.input_schema["properties"] for tool in (await client.list_tools()).tools}

    limit = tools["list_accounts"]["limit"]
    assert (limit["minimum"], limit["maximum"], limit["default"]) == (1, 100, 50)
    amount = tools["refund_charge"]["amount"]
    assert (amount["minimum"], amount["maximum"]) == (1, 10**12)
    assert tools["search_transactions"]["kind"]["enum"][0] == "any"
    assert tools["read_statement"]["account"]["maxLength"] == 500


async def test_an_account_is_a_resource(url: str, era: Era) -> None:
    async with connected(url, era, reading_token()) as client:
        (template,) = (await client.list_resource_templates()).resource_templates
        listed = (await client.list_resources()).resources

    assert template.uri_template == "billing:///accounts/{id}"
    assert template.mime_type == "application/json"
    assert listed == []


async def test_accounts_are_listed_page_by_page(url: str, era: Era) -> None:
    async with connected(url, era, reading_token()) as client:
        first = structured(await client.call_tool("list_accounts", {"limit": 1}))
        second = structured(
            await client.call_tool("list_accounts", {"limit": 1, "cursor": first["next_cursor"]})
        )

    assert [page["accounts"][0]["id"] for page in (first, second)] == ["ACC-1001", "ACC-1002"]
    assert second["next_cursor"] is None
    assert first["count"] == second["count"] == 2
    assert first["accounts"][0]["balance"] == {"amount": 0, "currency": "EUR", "text": "EUR 0.00"}


@pytest.mark.parametrize("tool", ["list_accounts", "read_statement", "search_transactions", "explain_charge"])
@pytest.mark.promise("server-holds-alone")
async def test_reading_needs_its_scope(url: str, era: Era, tool: str) -> None:
    async with connected(url, era, token("billing:refund", claims={"accounts": "*"})) as client:
        refused = sentence(await client.call_tool(tool, {}))
        with pytest.raises(MCPError, match="This needs a token with the scope billing:read"):
            await client.read_resource("billing:///accounts/ACC-1001")

    assert refused == "This needs a token with the scope billing:read."


async def test_without_a_token_nothing_is_answered(url: str) -> None:
    async with httpx2.AsyncClient() as http:
        answer = await http.post(f"{url}/mcp", json={"jsonrpc": "2.0", "id": 1, "method": "tools/list"})

    assert answer.status_code == 401
    assert "resource_metadata" in answer.headers["www-authenticate"]


async def test_without_a_gate_and_a_check_of_its_own_nothing_is_answered(ledger: Books) -> None:
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    with served(create_app(database=ledger.reader_url)) as url:
        async with httpx2.AsyncClient(headers={"authorization": f"Bearer {reading_token()}"}) as http:
            answer = await http.post(f"{url}/mcp", json=body)

    assert answer.status_code == 401


BAD: list[Any] = [
    pytest.param("list_accounts", {"limit": 0}, "limit: ", id="a limit of nothing"),
    pytest.param("list_accounts", {"limit": 101}, "limit: ", id="a limit too high"),
    pytest.param("list_accounts", {"limit": 1.5}, "limit: ", id="half a limit"),
    pytest.param("list_accounts", {"limit": "many"}, "limit: ", id="a limit in words"),
    pytest.param("list_accounts", {"cursor": "!"}, "This cursor is not", id="a cursor that is no cursor"),
    pytest.param("list_accounts", {"cursor": "WyJ4Il0="}, "This cursor is not", id="a cursor of a text"),
    pytest.param("list_accounts", {"cursor": "WzFlMzBd"}, "This cursor is not", id="a cursor of a float"),
    pytest.param("list_accounts", {"cursor": "x" * 10**6}, "cursor: ", id="a cursor of a megabyte"),
    pytest.param("read_statement", {"account": "ACC-9999"}, NOBODY, id="an unknown account"),
    pytest.param("read_statement", {"account": "ACC-1002"}, NOBODY, id="an account of somebody else"),
    pytest.param("read_statement", {"account": "ACC-1001' OR 1=1 --"}, NOBODY, id="SQL for an account"),
    pytest.param("read_statement", {"account": "../ACC-1001"}, NOBODY, id="a path for an account"),
    pytest.param("read_statement", {"account": "ACC-1"}, NOBODY, id="an account of the company"),
    pytest.param("read_statement", {}, "account: ", id="no account"),
    pytest.param("read_statement", {"account": 1001}, "account: ", id="a number for an account"),
    pytest.param(
        "read_statement",
        {"account": "ACC-1001", "date_from": "2026-03-02", "date_to": "2026-03-01"},
        "The dates end before they begin",
        id="dates that end before they begin",
    ),
    pytest.param(
        "read_statement",
        {"account": "ACC-1001", "month": "2026-03", "date_to": "2026-03-01"},
        "Give a month, or",
        id="a month and a date",
    ),
    pytest.param(
        "read_statement", {"account": "ACC-1001", "month": "2026-13"}, "month: ", id="month thirteen"
    ),
    pytest.param(
        "read_statement", {"account": "ACC-1001", "date_from": "2026-02-30"}, "date_from: ", id="February 30"
    ),
    pytest.param(
        "read_statement",
        {"account": "ACC-1001", "date_from": "20260301"},
        "date_from: ",
        id="a date run together",
    ),
    pytest.param("search_transactions", {"min_amount": 1.5}, "min_amount: ", id="half a cent"),
    pytest.param("search_transactions", {"min_amount": 1.0}, "min_amount: ", id="a float"),
    pytest.param("search_transactions", {"min_amount": "1.50"}, "min_amount: ", id="an amount as text"),
    pytest.param("search_transactions", {"min_amount": -1}, "min_amount: ", id="a negative amount"),
    pytest.param("search_transactions", {"max_amount": 10**13}, "max_amount: ", id="an amount too large"),
    pytest.param("search_transactions", {"max_amount": 10**40}, "max_amount: ", id="an amount beyond all"),
    pytest.param("search_transactions", {"kind": "gift"}, "kind: ", id="an unknown kind"),
    pytest.param("search_transactions", {"account": "ACC-1002"}, NOBODY, id="a search in another account"),
    pytest.param(
        "search_transactions",
        {"date_from": "2026-03-02", "date_to": "2026-03-01"},
        "The dates end before they begin",
        id="a search between dates in the wrong order",
    ),
    pytest.param(
        "search_transactions", {"sort": "amount"}, "An argument has a name", id="an unknown argument"
    ),
    pytest.param("explain_charge", {"charge": "TXN-000003"}, "There is no charge", id="another's charge"),
    pytest.param(
        "explain_charge", {"charge": "TXN-000002"}, "There is no charge", id="a payment for a charge"
    ),
    *(
        pytest.param(tool, {name: text}, f"{name}: ", id=f"{why} for {tool}")
        for tool, name in WORDS.items()
        for why, text in {
            "a megabyte": "a" * 10**6,
            "NUL": "ACC-1001\0",
            "an escape": "ACC\x1b[31m",
            "a line break": "ACC-1001\n",
            "a text that turns around": "ACC-\u202e1001",
            "an isolate": "\u2066ACC-1001\u2069",
            "a C1 control": "ACC\x9b1001",
        }.items()
    ),
]


@pytest.mark.parametrize(("tool", "arguments", "said"), BAD)
async def test_what_makes_no_sense_is_answered_with_a_sentence(
    ledger: Books, url: str, tool: str, arguments: dict[str, Any], said: str
) -> None:
    before = ledger.everything()
    async with connected(url, "2026-07-28", reading_token(["ACC-1001"])) as client:
        refused = sentence(await client.call_tool(tool, arguments))

    assert refused.startswith(said)
    assert refused.endswith(".")
    assert len(refused) < 400
    assert SECRET not in refused
    assert ledger.everything() == before


@pytest.mark.parametrize("wire", ["2026-07-28", "legacy"])
@pytest.mark.parametrize(("tool", "name"), WORDS.items())
async def test_half_a_character_is_answered_with_a_sentence(
    url: str, wire: Wire, tool: str, name: str
) -> None:
    answer = await call(
        url, wire, tool, Verbatim(f'{{"{name}": "ACC-\\ud800"}}'), token=reading_token(["ACC-1001"])
    )

    if wire == "legacy":
        assert (answer.status, answer.message["error"]["code"]) == (400, -32700)
    else:
        assert answer.sentence.startswith(f"Error executing tool {tool}: {name}: ")


@pytest.mark.parametrize(
    "words", ['"', "'", "\\", "%", "_", "*", "a OR b", "NEAR(", "-x", "col:x", "{", "\u200f"]
)
async def test_any_words_may_be_searched_for(url: str, era: Era, words: str) -> None:
    async with connected(url, era, reading_token(["ACC-1001"])) as client:
        page = structured(await client.call_tool("search_transactions", {"words": words}))

    assert page == {"transactions": [], "next_cursor": None}


async def test_a_ledger_that_cannot_be_read_is_said_to_be_unavailable_and_not_how(
    books: Books, era: Era, caplog: pytest.LogCaptureFixture
) -> None:
    books.customer(SECRET, card="4242424242424242")
    with books.served() as url:
        async with httpx2.AsyncClient() as http:
            assert (await http.get(f"{url}/healthz")).json() == {"status": "ok"}
        books.execute("ALTER TABLE accounts RENAME TO gone")
        async with httpx2.AsyncClient() as http:
            health = await http.get(f"{url}/healthz")
        async with connected(url, era, reading_token(["ACC-1001", "ACC-1002"])) as client:
            refused = sentence(await client.call_tool("list_accounts", {}))
            with pytest.raises(MCPError) as caught:
                await client.read_resource("billing:///accounts/ACC-1001")

    assert (health.status_code, health.json()) == (503, {"status": "unavailable"})
    assert refused == "The data cannot be read at the moment; try again later."
    assert caught.value.error.message == "The data cannot be read at the moment; try again later."
    assert "FROM accounts" in caplog.text
    assert "[parameters:" not in caplog.text, "the log has what was asked for"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        pytest.param({"database": ""}, "The option database needs a URL", id="no URL"),
        pytest.param(
            {"database": "mysql://localhost/x"}, "is for sqlite and postgresql", id="another database"
        ),
        pytest.param(
            {"database": "sqlite:////nowhere/x.sqlite"}, "cannot be opened", id="a file that is not there"
        ),
        pytest.param(
            {"resource": "https://billing.example.com/mcp"}, "oauth", id="a resource without issuers"
        ),
        pytest.param({"oauth": {}}, "The option resource", id="issuers without a resource"),
    ],
)
async def test_an_option_that_cannot_be_used_is_refused(
    ledger: Books, options: dict[str, Any], said: str
) -> None:
    without_database: dict[str, Any] = {name: value for name, value in options.items() if name != "database"}
    with pytest.raises(OptionsError, match=said):
        create_app(database=options.get("database", ledger.reader_url), **without_database)


async def test_a_database_that_was_never_migrated_is_refused(databases: Databases) -> None:
    url = databases.new()
    if url.startswith("sqlite"):
        sqlite3.connect(url.removeprefix("sqlite:///")).execute("VACUUM").connection.close()
    with pytest.raises(OptionsError, match="run: tunnelgate-servers migrate billing-audit"):
        create_app(database=databases.reader(url, "billing-audit"))


@pytest.mark.promise("readers-cannot-write")
@pytest.mark.only("postgresql")
async def test_on_postgresql_a_role_that_may_write_is_refused(ledger: Books) -> None:
    with pytest.raises(OptionsError, match="only select"):
        create_app(database=ledger.engine.url.render_as_string(hide_password=False))


async def test_the_months_of_a_statement_are_those_of_the_clock_that_is_the_default(
    ledger: Books,
) -> None:
    with served(create_app(database=ledger.reader_url, **own_check_options(ledger.folder))) as url:
        async with connected(url, "2026-07-28", reading_token()) as client:
            statement = structured(await client.call_tool("read_statement", {"account": "ACC-1001"}))

    assert statement["first_day"].endswith("-01")
    assert statement["closing_balance"]["amount"] == 0
