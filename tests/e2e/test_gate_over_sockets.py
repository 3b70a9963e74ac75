"""The whole gate on a real port, in front of the docs server, asked by the official client.

The docs server is mounted in the gate, or is a server elsewhere.
"""

import http.client
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client

from tests.servers.serving import own_check_options, token
from tests.support.asgi import Headers, Reply
from tests.support.audit import Records
from tests.support.mcp import legacy, modern
from tests.support.remote import WAYS, placed
from tests.support.servers import serve
from tests.support.tokens import ISSUER, Token, jwks
from tunnelgate import Clients, Credentials, Issuer, OAuth, Policy, Route, RouteClients, Rule, StaticKeys
from tunnelgate.asgi import ASGIApp, Receive, Scope, Send
from tunnelgate.chain import build_gate
from tunnelgate.materials import gather
from tunnelgate_servers.docs_readonly import create_app
from tunnelgate_servers.hosting import LOOPBACK_HOSTS

ALLOWED_TOOLS = {"search_docs": (), "read_doc": ("docs:full",)}
HOSTS = ("docs.example.com", "wiki.example.com")
ELSEWHERE = "https://docs.internal/mcp"
MODES = ["2026-07-28", "legacy"]


@dataclass
class Counted:
    """Counts the requests that reach an application."""

    app: ASGIApp
    requests: int = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.requests += scope["type"] != "lifespan"
        await self.app(scope, receive, send)


@dataclass
class Gate:
    """A running gate, what reached the server behind it, and what was written down."""

    port: int
    upstream: Counted
    records: Records = field(default_factory=Records)

    def ask(self, headers: Headers, body: bytes, source: str = "127.0.0.1") -> Reply:
        connection = http.client.HTTPConnection(
            "127.0.0.1", self.port, timeout=10, source_address=(source, 0)
        )
        with closing(connection):
            connection.putrequest("POST", "/mcp", skip_host=True, skip_accept_encoding=True)
            for name, value in [*headers, ("content-length", str(len(body)))]:
                connection.putheader(name, value)
            connection.endheaders(body)
            response = connection.getresponse()
            return Reply(response.status, [(n.lower(), v) for n, v in response.getheaders()], response.read())


@pytest.fixture(scope="module", params=WAYS)
def gate(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Generator[Gate]:
    folder: Path = tmp_path_factory.mktemp("documents")
    (folder / "tunnels.md").write_text("# Tunnels\n\nA tunnel carries bytes and keeps no record.\n", "utf-8")
    (folder / "board").mkdir()
    (folder / "board" / "plan.md").write_text("# Plan\n\nNobody else is to read this.\n", "utf-8")
    index = tmp_path_factory.mktemp("index")
    is_mounted = request.param == "mounted"
    # A server elsewhere is asked by its own name, and verifies the token that the gate has for it.
    hosts = HOSTS if is_mounted else LOOPBACK_HOSTS
    check = {} if is_mounted else own_check_options(index, ELSEWHERE)
    (index / "docs.token").write_text(token("docs:read", resource=ELSEWHERE), "utf-8")
    credentials = None if is_mounted else Credentials(bearer_file=str(index / "docs.token"))
    database = f"sqlite:///{index / 'docs.sqlite'}"
    upstream = Counted(create_app(folder=folder, database=database, allowed_hosts=hosts, **check))
    records = Records()
    tools: Any = {name: {"scopes": scopes} for name, scopes in ALLOWED_TOOLS.items()}
    policy = Policy(
        clients=Clients(allowed_ips=["127.0.0.0/8"]),
        oauth=OAuth(issuers=[Issuer(issuer=ISSUER, jwks_file="unused.json")]),
        routes={
            "docs.example.com": Route(
                scopes=["docs:read"],
                tools=tools,
                resources={
                    "docs:///{+path}": None,
                    "docs:///board/{+path}": Rule(claims={"department": ["board"]}),
                },
                clients=RouteClients(allowed_ips=["127.0.0.1"]),
                credentials=credentials,
            ),
            "wiki.example.com": Route(tools=["search_docs"], credentials=credentials),
        },
    )
    materials = gather(policy, audit=records, keys_of=lambda _: StaticKeys(jwks("ES256")))
    with placed(request.param, upstream) as target:
        app = build_gate(policy, dict.fromkeys(policy.routes, target), target, materials)
        with serve(app) as port:
            yield Gate(port, upstream, records)


def bearer(token: str) -> tuple[str, str]:
    return ("authorization", f"Bearer {token}")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.anyio
async def test_the_official_client_lists_what_is_allowed_and_calls_it(gate: Gate, mode: str) -> None:
    async with official(gate, mode, Token()) as client:
        tools = await client.list_tools()
        result = await client.call_tool("search_docs", {"query": "tunnel"})

        assert sorted(tool.name for tool in tools.tools) == ["read_doc", "search_docs"]
        assert not result.is_error
        assert "tunnels.md" in str(result.structured_content)

        with pytest.raises(MCPError, match="Unknown tool: reindex_docs") as denied:
            await client.call_tool("reindex_docs", {})
        assert denied.value.error.code == -32602
        with pytest.raises(MCPError, match="Unknown tool: no_such_tool"):
            await client.call_tool("no_such_tool", {})


@asynccontextmanager
async def official(
    gate: Gate, mode: Any, token: Token, host: str = "docs.example.com"
) -> AsyncGenerator[Client]:
    headers = dict([bearer(token.mint()), ("host", host)])
    async with (
        httpx2.AsyncClient(headers=headers) as http_client,
        Client(
            streamable_http_client(f"http://127.0.0.1:{gate.port}/mcp", http_client=http_client), mode=mode
        ) as client,
    ):
        yield client


PLAN = "docs:///board/plan.md"
WIKI = Token(claims={"aud": "https://wiki.example.com/mcp"})
BOARD = Token(claims={"department": ["board", "audit"]})


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.promise("hidden-equals-absent")
@pytest.mark.anyio
async def test_the_official_client_reads_what_is_meant_for_it_and_sees_no_more(gate: Gate, mode: str) -> None:
    async with official(gate, mode, Token()) as client:
        listed = {str(each.uri) for each in (await client.list_resources()).resources}
        read = await client.read_resource("docs:///tunnels.md")

        with pytest.raises(MCPError) as denied:
            await client.read_resource(PLAN)
        with pytest.raises(MCPError) as missing:
            await client.read_resource("docs:///missing.md")
    async with official(gate, mode, BOARD) as client:
        listed_for_board = {str(each.uri) for each in (await client.list_resources()).resources}
        read_by_board = await client.read_resource(PLAN)

    assert "keeps no record" in str(read.contents)
    assert (listed, listed_for_board - listed) == ({"docs:///tunnels.md"}, {PLAN})
    assert "Nobody else" in str(read_by_board.contents)
    assert denied.value.error.code == missing.value.error.code == -32602


@pytest.mark.parametrize("mode", ["auto", "legacy"])
@pytest.mark.promise("capabilities-cut")
@pytest.mark.anyio
async def test_the_official_client_learns_of_what_its_route_lists_alone(gate: Gate, mode: str) -> None:
    offered: dict[str, set[str]] = {}
    for host, bearer in (("docs.example.com", Token()), ("wiki.example.com", WIKI)):
        async with official(gate, mode, bearer, host) as client:
            capabilities = client.server_capabilities.model_dump(exclude_none=True)
            offered[host] = {"tools", "resources", "prompts", "completions", "logging"} & set(capabilities)

    assert offered == {"docs.example.com": {"tools", "resources"}, "wiki.example.com": {"tools"}}


@pytest.mark.promise("era-kept")
@pytest.mark.anyio
async def test_a_client_of_both_eras_stays_in_the_modern_one_whatever_it_is_refused(gate: Gate) -> None:
    carol = Token(claims={**WIKI.claims, "sub": "carol"})
    async with official(gate, "auto", carol, "wiki.example.com") as client:
        with pytest.raises(MCPError, match="Unknown tool: reindex_docs"):
            await client.call_tool("reindex_docs", {})
        with pytest.raises(MCPError, match="Method not found"):
            await client.get_prompt("greet", {})
        with pytest.raises(MCPError, match="Method not found"):
            await client.read_resource("docs:///tunnels.md")
        result = await client.call_tool("search_docs", {"query": "tunnel"})

        assert client.protocol_version == "2026-07-28"
    assert not result.is_error
    who = {"issuer": ISSUER, "subject": "carol", "client_id": "agent"}
    records = [each for each in gate.records.all if each["principal"] == who]
    assert {record["protocol_version"] for record in records} == {"2026-07-28"}


@pytest.mark.parametrize("request_of", [modern, legacy], ids=["2026-07-28", "2025-11-25"])
@pytest.mark.parametrize(
    ("token", "host", "source", "params", "status", "reason"),
    [
        pytest.param(
            Token(claims={"aud": "https://other.example.com/mcp"}),
            "docs.example.com",
            "127.0.0.1",
            "search_docs",
            401,
            "token-audience-wrong",
            id="a token for another server",
        ),
        pytest.param(
            Token(claims={"aud": "https://wiki.example.com/mcp"}),
            "docs.example.com",
            "127.0.0.1",
            "search_docs",
            401,
            "token-audience-wrong",
            id="a token for another route of this gate",
        ),
        pytest.param(
            Token(claims={"iat": 1_700_000_000, "exp": 1_700_000_300}),
            "docs.example.com",
            "127.0.0.1",
            "search_docs",
            401,
            "token-expired",
            id="an expired token",
        ),
        pytest.param(
            None, "docs.example.com", "127.0.0.1", "search_docs", 401, "token-missing", id="no token"
        ),
        pytest.param(
            Token(claims={"scope": "docs:write"}),
            "docs.example.com",
            "127.0.0.1",
            "search_docs",
            403,
            "scope-missing",
            id="a token without the route's scope",
        ),
        pytest.param(
            Token(),
            "docs.example.com",
            "127.0.0.1",
            "read_doc",
            403,
            "scope-missing",
            id="one without the tool's scope",
        ),
        pytest.param(
            Token(),
            "admin.example.com",
            "127.0.0.1",
            "search_docs",
            403,
            "host-unknown",
            id="an unknown host",
        ),
        pytest.param(
            Token(),
            "docs.example.com",
            "127.0.0.2",
            "search_docs",
            403,
            "client-not-allowed",
            id="an address outside the route's networks",
        ),
        pytest.param(
            Token(),
            "docs.example.com",
            "127.0.0.1",
            "reindex_docs",
            200,
            "tool-not-allowed",
            id="a tool that is not listed",
        ),
    ],
)
def test_what_is_refused_reaches_nothing_and_is_written_down(
    gate: Gate,
    request_of: Any,
    token: Token | None,
    host: str,
    source: str,
    params: str,
    status: int,
    reason: str,
) -> None:
    headers, body = request_of("tools/call", {"name": params, "arguments": {"query": "tunnel"}})
    headers = [pair for pair in headers if pair[0] != "host"] + [("host", host)]
    if token is not None:
        headers.append(bearer(token.mint()))
    before, recorded = gate.upstream.requests, len(gate.records.all)

    response = gate.ask(headers, body, source)

    assert response.status == status
    assert gate.upstream.requests == before
    (record,) = gate.records.all[recorded:]
    assert record["reason"] == reason
    assert record["request_id"] == response.header("x-request-id")


def test_each_refused_token_gets_the_challenge_that_leads_to_a_better_one(gate: Gate) -> None:
    headers, body = modern("tools/call", {"name": "read_doc", "arguments": {"path": "tunnels.md"}})
    metadata = 'resource_metadata="https://docs.example.com/.well-known/oauth-protected-resource/mcp"'

    nobody = gate.ask(headers, body)
    stranger = gate.ask([*headers, bearer("nonsense")], body)
    narrow = gate.ask([*headers, bearer(Token().mint())], body)
    wide = gate.ask([*headers, bearer(Token(claims={"scope": "docs:read docs:full"}).mint())], body)

    assert nobody.header("www-authenticate") == f'Bearer scope="docs:read", {metadata}'
    assert (
        stranger.header("www-authenticate") == f'Bearer error="invalid_token", scope="docs:read", {metadata}'
    )
    assert narrow.header("www-authenticate") == (
        f'Bearer error="insufficient_scope", scope="docs:read docs:full", {metadata}'
    )
    assert wide.status == 200
    assert b"keeps no record" in wide.body
