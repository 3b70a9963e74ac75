"""The whole gate on a real port, in front of an official server that resumes streams by request ids.

The server is mounted in the gate, or is one elsewhere.
"""

import json
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.server.mcpserver import MCPServer
from mcp.server.streamable_http import EventCallback, EventId, EventMessage, EventStore, StreamId
from mcp.server.transport_security import TransportSecuritySettings
from mcp.types import Completion, JSONRPCMessage, ResourceTemplateReference
from starlette.applications import Starlette

from tests.support.audit import Records
from tests.support.mcp import legacy
from tests.support.remote import WAYS, placed
from tests.support.servers import serve
from tests.support.tokens import ISSUER, Token, jwks
from tunnelgate import Clients, Issuer, OAuth, Policy, Route, Rule, StaticKeys
from tunnelgate.chain import build_gate
from tunnelgate.materials import gather
from tunnelgate.upstream.proxy import ProxyOptions

HOST = "docs.example.com"
LIMIT = 20  # seconds that anything here may take
TEMPLATE = "docs:///{name}"
MODES = ["2026-07-28", "legacy"]
INITIALIZE = {
    "protocolVersion": "2025-11-25",
    "capabilities": {},
    "clientInfo": {"name": "somebody", "version": "1"},
}
ALICE = Token()
BOARD = Token(claims={"sub": "carol", "department": "board"})


class Events(EventStore):
    """Keeps every event of the process, as the streams that answer requests go on from them."""

    def __init__(self) -> None:
        self._all: list[tuple[StreamId, JSONRPCMessage | None]] = []

    async def store_event(self, stream_id: StreamId, message: JSONRPCMessage | None) -> EventId:
        self._all.append((stream_id, message))
        return str(len(self._all) - 1)

    async def replay_events_after(
        self, last_event_id: EventId, send_callback: EventCallback
    ) -> StreamId | None:
        last = int(last_event_id)
        stream_id, _ = self._all[last]
        for number, (each, message) in enumerate(self._all[last + 1 :], last + 1):
            if each == stream_id and message is not None:
                await send_callback(EventMessage(message, str(number)))
        return stream_id


def server_with_hidden_parts() -> Starlette:
    """Return a server of which a route lists one thing of each kind and hides another."""
    server: MCPServer[None] = MCPServer("mixed", log_level="ERROR")

    def safe_tool() -> str:
        return "done"

    def hidden_tool() -> str:
        return "hidden"

    def safe_prompt() -> str:
        return "say"

    def hidden_prompt() -> str:
        return "hidden"

    def read(name: str) -> str:
        return name

    def read_plan() -> str:
        return "a hidden plan"

    def read_wiki(page: str) -> str:
        return page

    async def complete(reference: Any, argument: Any, _: Any) -> Completion | None:
        if isinstance(reference, ResourceTemplateReference) and argument.name == "name":
            return Completion(values=["open", "hidden_plan"], total=2, has_more=False)
        return None

    server.add_tool(safe_tool)
    server.add_tool(hidden_tool)
    server.prompt()(safe_prompt)
    server.prompt()(hidden_prompt)
    server.resource("docs:///open")(read_plan)
    server.resource("docs:///hidden_plan")(read_plan)
    server.resource(TEMPLATE)(read)
    server.resource("hidden:///{page}")(read_wiki)
    untyped: Any = server  # as the SDK leaves this decorator
    untyped.completion()(complete)
    allowed = TransportSecuritySettings(allowed_hosts=[HOST])
    return server.streamable_http_app(event_store=Events(), transport_security=allowed)


@pytest.fixture(scope="module", params=WAYS)
def port(request: pytest.FixtureRequest) -> Generator[int]:
    policy = Policy(
        clients=Clients(allowed_ips=["127.0.0.1"]),
        oauth=OAuth(issuers=[Issuer(issuer=ISSUER, jwks_file="unused.json")]),
        routes={
            HOST: Route(
                tools=["safe_tool"],
                prompts=["safe_prompt"],
                resources={TEMPLATE: None, "docs:///hidden_plan": Rule(claims={"department": "board"})},
            )
        },
    )
    materials = gather(policy, audit=Records(), keys_of=lambda _: StaticKeys(jwks("ES256")))
    options = ProxyOptions(preserve_host=True)
    with placed(request.param, server_with_hidden_parts(), options) as server:
        gate = build_gate(policy, {HOST: server}, server, materials)
        with serve(gate) as number:
            yield number


@asynccontextmanager
async def http_as(token: Token, port: int) -> AsyncGenerator[httpx2.AsyncClient]:
    headers = {"host": HOST, "authorization": f"Bearer {token.mint()}"}
    async with httpx2.AsyncClient(
        headers=headers, base_url=f"http://127.0.0.1:{port}", timeout=LIMIT
    ) as http:
        yield http


async def post(
    http: httpx2.AsyncClient, message: tuple[Any, bytes], session: str | None = None
) -> httpx2.Response:
    headers = {name: value for name, value in message[0] if name != "host"}
    if session is not None:
        headers["mcp-session-id"] = session
    return await http.post("/mcp", headers=headers, content=message[1])


async def begun(http: httpx2.AsyncClient) -> str:
    """Begin a session and return the name that the client gets for it."""
    response = await post(http, legacy("initialize", INITIALIZE))
    session: str = response.headers["mcp-session-id"]
    initialized = json.dumps({"jsonrpc": "2.0", "method": "notifications/initialized"}).encode()
    assert (await post(http, (legacy("ping")[0], initialized), session)).status_code == 202
    return session


async def first_answer_behind(http: httpx2.AsyncClient, session: str, event_id: str) -> str:
    """Go on with a stream behind this event, and return the first message on it."""
    headers = {"accept": "text/event-stream", "mcp-session-id": session, "last-event-id": event_id}
    headers["mcp-protocol-version"] = "2025-11-25"
    async with http.stream("GET", "/mcp", headers=headers) as stream:
        assert stream.status_code == 200
        async for line in stream.aiter_lines():
            if line.startswith("data: {"):
                return line
    raise AssertionError("the stream ended without a message")


COMPLETE = {"ref": {"type": "ref/resource", "uri": TEMPLATE}, "argument": {"name": "name", "value": ""}}


@pytest.mark.promise("listed-equals-callable")
@pytest.mark.parametrize(
    ("method", "params", "visible"),
    [
        pytest.param("tools/list", None, '"safe_tool"', id="tools"),
        pytest.param("prompts/list", None, '"safe_prompt"', id="prompts"),
        pytest.param("resources/list", None, '"docs:///open"', id="resources"),
        pytest.param("resources/templates/list", None, f'"{TEMPLATE}"', id="templates"),
        pytest.param("completion/complete", COMPLETE, '"open"', id="completions"),
    ],
)
@pytest.mark.anyio
async def test_what_is_hidden_stays_hidden_from_a_client_that_uses_an_id_twice(
    port: int, method: str, params: Any, visible: str
) -> None:
    twice = f"twice for {method}"
    call = legacy("tools/call", {"name": "safe_tool", "arguments": {}}, message_id=twice)

    with anyio.fail_after(LIMIT):
        async with http_as(ALICE, port) as http:
            session = await begun(http)
            called = (await post(http, call, session)).text
            (*_, last) = [line[4:] for line in called.splitlines() if line.startswith("id: ")]
            asked = (await post(http, legacy(method, params, message_id=twice), session)).text
            resumed = await first_answer_behind(http, session, last)

    assert visible in asked
    assert "hidden" not in asked
    assert twice in resumed
    assert "hidden" not in resumed


@pytest.mark.promise("hidden-equals-absent")
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("token", "values", "total"),
    [
        pytest.param(ALICE, ["open"], None, id="somebody"),
        pytest.param(BOARD, ["open", "hidden_plan"], 2, id="somebody whom all of it is meant for"),
    ],
)
@pytest.mark.anyio
async def test_the_official_client_completes_the_names_of_what_it_may_read_alone(
    port: int, token: Token, values: list[str], total: int | None, mode: Any
) -> None:
    with anyio.fail_after(LIMIT):
        async with (
            http_as(token, port) as http,
            Client(
                streamable_http_client(f"http://127.0.0.1:{port}/mcp", http_client=http), mode=mode
            ) as client,
        ):
            reference = ResourceTemplateReference(type="ref/resource", uri=TEMPLATE)
            result = await client.complete(reference, {"name": "name", "value": ""})
            listed = {str(each.uri) for each in (await client.list_resources()).resources}

    assert (result.completion.values, result.completion.total) == (values, total)
    assert listed == {f"docs:///{value}" for value in values}
