"""Replicas of the whole gate on real ports, in front of one server that remembers its sessions.

The server is mounted in all of them, or is one elsewhere.
"""

import asyncio
import json
import secrets
import socket
import threading
from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
import uvicorn
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.transport_security import TransportSecuritySettings
from mcp_types import ElicitRequestFormParams, ElicitResult
from pydantic import BaseModel
from starlette.applications import Starlette

from tests.support.audit import Records
from tests.support.mcp import legacy
from tests.support.remote import WAYS, Way, served_elsewhere, upstream_at
from tests.support.tokens import ISSUER, Token, jwks
from tunnelgate import Clients, Issuer, OAuth, Policy, Route, StaticKeys
from tunnelgate.asgi import ASGIApp, Message, Receive, Scope, Send
from tunnelgate.chain import build_gate
from tunnelgate.materials import gather
from tunnelgate.upstream.proxy import ProxyOptions
from tunnelgate.uvicorn_http import StrictHttpToolsProtocol

PARTNER = "https://partner.example.com"
DOCS, WIKI = "docs.example.com", "wiki.example.com"
LIMIT = 20  # seconds that anything here may take
INITIALIZE = {
    "protocolVersion": "2025-11-25",
    "capabilities": {},
    "clientInfo": {"name": "somebody", "version": "1"},
}


class Agreement(BaseModel):
    agreed: bool


def stateful_server() -> Starlette:
    """Return a server that keeps a word for each of its sessions, and that asks back."""
    server: MCPServer[None] = MCPServer("stateful", log_level="ERROR")
    words: dict[str, str] = {}

    def session_of(context: Context[None]) -> str:
        return dict(context.headers or {})["mcp-session-id"]

    def remember(word: str, context: Context[None]) -> str:
        words[session_of(context)] = word
        return "remembered"

    def recall(context: Context[None]) -> str:
        return words.get(session_of(context), "nothing")

    async def confirm(question: str, context: Context[None]) -> str:
        answer = await context.elicit(question, Agreement)
        return str(answer.data.agreed) if answer.action == "accept" else answer.action

    for tool in (remember, recall, confirm):
        server.add_tool(tool)
    allowed = TransportSecuritySettings(allowed_hosts=[DOCS, WIKI])
    return server.streamable_http_app(transport_security=allowed)


@dataclass(frozen=True)
class Heard:
    """A request as it reached the server: by which session, and what it said."""

    method: str
    session: str | None
    body: bytes


class Listening:
    """An application that keeps what reaches it."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.heard: list[Heard] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await self.app(scope, receive, send)
        message: Message = {"more_body": scope["method"] == "POST"}
        body = b""
        while message.get("more_body", False):
            message = await receive()
            body += message.get("body", b"")
        session = dict(scope["headers"]).get(b"mcp-session-id")
        self.heard.append(Heard(scope["method"], session.decode() if session else None, body))
        rest: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def replay() -> Message:
            return rest.pop() if rest else await receive()

        return await self.app(scope, replay, send)


@dataclass
class Replicas:
    """Gates in front of one server: two that share a key, one that has rolled it, and a stranger."""

    server: Listening
    records: Records
    ports: Mapping[str, int] = field(default_factory=dict[str, int])

    def reason_of(self, response: httpx2.Response) -> str | None:
        """Return why a request was refused, as it was written down."""
        request_id = response.headers["x-request-id"]
        (record,) = [each for each in self.records.all if each["request_id"] == request_id]
        reason: str | None = record["reason"]
        return reason


class Announcing(uvicorn.Server):
    """A server that says when it is up."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.is_up = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.is_up.set()


@contextmanager
def served(gates: Sequence[ASGIApp]) -> Generator[list[int]]:
    """Serve applications on a port each, in one event loop, as what stands behind them needs it."""
    with ExitStack() as stack:
        listeners = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in gates]
        servers = [
            Announcing(
                uvicorn.Config(
                    gate,
                    http=StrictHttpToolsProtocol,
                    ws="none",
                    lifespan="on",
                    access_log=False,
                    proxy_headers=False,
                    log_config=None,
                    timeout_graceful_shutdown=5,
                )
            )
            for gate in gates
        ]

        async def run() -> None:
            async with asyncio.TaskGroup() as tasks:
                for server, listener in zip(servers, listeners, strict=True):
                    tasks.create_task(server.serve(sockets=[listener]))

        thread = threading.Thread(target=asyncio.run, args=(run(),), daemon=True)
        thread.start()
        try:
            assert all(server.is_up.wait(LIMIT) for server in servers), "a gate did not start"
            yield [listener.getsockname()[1] for listener in listeners]
        finally:
            for server in servers:
                server.should_exit = True
            thread.join(LIMIT)
            assert not thread.is_alive(), "the gates did not stop"


@cache
def keys(algorithm: str) -> StaticKeys:
    return StaticKeys(jwks(algorithm))


def policy(*sealing_keys: Path) -> Policy:
    tools = ["remember", "recall", "confirm"]
    issuers = [Issuer(issuer=each, jwks_file="unused.json") for each in (ISSUER, PARTNER)]
    return Policy(
        clients=Clients(allowed_ips=["127.0.0.1"]),
        oauth=OAuth(issuers=issuers),
        routes={DOCS: Route(tools=tools), WIKI: Route(tools=tools)},
        sealing_keys=sealing_keys,
    )


@contextmanager
def seen_by_each(way: Way, server: ASGIApp, gates: int) -> Generator[list[ASGIApp]]:
    """Give what each gate has for the server: the server itself, or connections of its own to it."""
    if way == "mounted":
        yield [server] * gates
        return
    with served_elsewhere(server) as port:
        yield [upstream_at(port, ProxyOptions(preserve_host=True)) for _ in range(gates)]


@pytest.fixture(scope="module", params=WAYS)
def replicas(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Generator[Replicas]:
    folder = tmp_path_factory.mktemp("keys")
    shared, other = folder / "shared.key", folder / "other.key"
    for file in (shared, other):
        file.write_text(secrets.token_hex(32) + "\n", "ascii")
    found = Replicas(Listening(stateful_server()), Records())
    files = {"one": [shared], "two": [shared], "rolled": [other, shared], "stranger": [other]}
    with seen_by_each(request.param, found.server, len(files)) as targets:
        gates = [
            build_gate(
                made,
                dict.fromkeys((DOCS, WIKI), target),
                # A server that is mounted in all is started once, by the first of them.
                target if name == "one" or request.param == "remote" else Starlette(),
                gather(
                    made,
                    audit=found.records,
                    keys_of=lambda issuer: keys("ES256" if issuer.issuer == ISSUER else "Ed25519"),
                ),
            )
            for (name, sealing_keys), target in zip(files.items(), targets, strict=True)
            for made in [policy(*sealing_keys)]
        ]
        with served(gates) as ports:
            found.ports = dict(zip(files, ports, strict=True))
            yield found


class Balancer(httpx2.AsyncHTTPTransport):
    """Takes each request to the replica that is next, as whatever stands before replicas does."""

    def __init__(self, replicas: Replicas) -> None:
        super().__init__()
        self.next = "one"
        self.taken: list[tuple[str, str, str | None]] = []
        self.handles: set[str] = set()
        self._replicas = replicas

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        message = json.loads(await request.aread() or b"{}")
        self.taken.append((self.next, request.method, message.get("method")))
        self.handles |= {request.headers["mcp-session-id"]} if "mcp-session-id" in request.headers else set()
        request.url = request.url.copy_with(port=self._replicas.ports[self.next])
        return await super().handle_async_request(request)


ALICE = Token(claims={"sub": "alice"})


@asynccontextmanager
async def http_as(token: Token, balancer: Balancer, host: str = DOCS) -> AsyncGenerator[httpx2.AsyncClient]:
    headers = {"host": host, "authorization": f"Bearer {token.mint()}"}
    async with httpx2.AsyncClient(
        headers=headers, transport=balancer, base_url="http://127.0.0.1", timeout=LIMIT
    ) as http:
        yield http


async def ask(
    http: httpx2.AsyncClient, method: str, session: str | None, message: tuple[Any, bytes] | None = None
) -> httpx2.Response:
    """Send one request of a session, as the legacy era has them, and return the head of its answer."""
    sent, body = message or legacy("tools/call", {"name": "recall", "arguments": {}})
    headers = {name: value for name, value in sent if name != "host"}
    if session is not None:
        headers["mcp-session-id"] = session
    if method != "POST":
        del headers["content-type"]
        headers["accept"], body = "text/event-stream", b""
    async with http.stream(method, "/mcp", headers=headers, content=body or None) as response:
        if method == "POST" or response.status_code != 200:
            await response.aread()
        return response


async def begun(http: httpx2.AsyncClient) -> str:
    """Begin a session and return the name that the client gets for it."""
    response = await ask(http, "POST", None, legacy("initialize", INITIALIZE))
    assert response.status_code == 200
    session: str = response.headers["mcp-session-id"]
    initialized = json.dumps({"jsonrpc": "2.0", "method": "notifications/initialized"}).encode()
    accepted = await ask(http, "POST", session, (legacy("ping")[0], initialized))
    assert accepted.status_code == 202
    return session


@asynccontextmanager
async def official(http: httpx2.AsyncClient, **callbacks: Any) -> AsyncGenerator[Client]:
    transport = streamable_http_client("http://127.0.0.1/mcp", http_client=http)
    async with Client(transport, mode="legacy", **callbacks) as client:
        yield client


def text_of(result: Any) -> str:
    text: str = result.content[0].text
    return text


@pytest.mark.promise("session-bound")
@pytest.mark.anyio
async def test_a_session_of_the_official_client_goes_on_at_the_other_replica(replicas: Replicas) -> None:
    balancer, before = Balancer(replicas), len(replicas.server.heard)

    with anyio.fail_after(LIMIT):
        async with http_as(ALICE, balancer) as http, official(http) as client:
            await client.call_tool("remember", {"word": "tunnel"})
            balancer.next = "two"
            recalled = text_of(await client.call_tool("recall", {}))
            tools = await client.list_tools()
            balancer.next = "rolled"
            recalled_after_the_roll = text_of(await client.call_tool("recall", {}))

    assert (recalled, recalled_after_the_roll) == ("tunnel", "tunnel")
    assert sorted(tool.name for tool in tools.tools) == ["confirm", "recall", "remember"]
    calls = [replica for replica, _, method in balancer.taken if method == "tools/call"]
    assert calls == ["one", "two", "rolled"]
    heard = replicas.server.heard[before:]
    (name,) = {each.session for each in heard if each.session is not None}
    assert len(balancer.handles) == 1
    assert name not in balancer.handles, "the client knows the server's own name of the session"


@pytest.mark.promise("response-asked-for")
@pytest.mark.anyio
async def test_what_a_server_asks_through_one_replica_is_answered_through_the_other(
    replicas: Replicas,
) -> None:
    balancer, before = Balancer(replicas), len(replicas.server.heard)
    asked: list[str] = []

    async def agree(_: object, params: ElicitRequestFormParams) -> ElicitResult:
        asked.append(params.message)
        balancer.next = "two"
        return ElicitResult(action="accept", content={"agreed": True})

    with anyio.fail_after(LIMIT):
        async with http_as(ALICE, balancer) as http, official(http, elicitation_callback=agree) as client:
            result = await client.call_tool("confirm", {"question": "Go on?"})
            call = balancer.taken.index(("one", "POST", "tools/call"))
            answer = balancer.taken.index(("two", "POST", None))

    assert (asked, text_of(result)) == (["Go on?"], "True")
    assert call < answer
    messages = [json.loads(each.body) for each in replicas.server.heard[before:] if each.body]
    (response,) = [each for each in messages if "result" in each]
    assert response["result"] == {"action": "accept", "content": {"agreed": True}}


STRANGERS = [
    pytest.param(Token(claims={"sub": "bob"}), DOCS, id="another subject"),
    pytest.param(Token(claims={"client_id": "other-agent"}), DOCS, id="another client of the same subject"),
    pytest.param(
        Token("Ed25519", claims={"iss": PARTNER}), DOCS, id="somebody of the same name at another issuer"
    ),
    pytest.param(
        Token(claims={"aud": f"https://{WIKI}/mcp"}), WIKI, id="the same principal on another route"
    ),
]


@pytest.mark.parametrize("method", ["POST", "GET", "DELETE"])
@pytest.mark.parametrize("replica", ["one", "two"])
@pytest.mark.parametrize(("token", "host"), STRANGERS)
@pytest.mark.promise("session-bound")
@pytest.mark.anyio
async def test_a_session_does_not_exist_for_anybody_else(
    replicas: Replicas, token: Token, host: str, replica: str, method: str
) -> None:
    balancer = Balancer(replicas)
    with anyio.fail_after(LIMIT):
        async with http_as(ALICE, balancer) as http, http_as(token, balancer, host) as stranger:
            session = await begun(http)
            own = await begun(stranger)
            balancer.next, before = replica, len(replicas.server.heard)

            refused = await ask(stranger, method, session)
            heard, reason = replicas.server.heard[before:], replicas.reason_of(refused)
            still, theirs = await ask(http, "POST", session), await ask(stranger, "POST", own)

    assert (refused.status_code, reason, heard) == (404, "session-unknown", [])
    assert (still.status_code, theirs.status_code) == (200, 200), "the sessions of both go on"


@pytest.mark.promise("response-asked-for")
@pytest.mark.anyio
async def test_nobody_else_answers_what_a_server_asks(replicas: Replicas) -> None:
    balancer, theirs = Balancer(replicas), Balancer(replicas)
    stranger_token = Token(claims={"sub": "bob"})
    forged: list[tuple[int, str | None]] = []

    with anyio.fail_after(LIMIT):
        async with http_as(stranger_token, theirs) as stranger, http_as(ALICE, balancer) as http:
            own = await begun(stranger)

            async def agree(context: Any, _: ElicitRequestFormParams) -> ElicitResult:
                (session,) = balancer.handles
                answer = {"jsonrpc": "2.0", "id": context.request_id, "result": {"action": "decline"}}
                message = (legacy("ping")[0], json.dumps(answer).encode())
                for name in (session, own):
                    response = await ask(stranger, "POST", name, message)
                    forged.append((response.status_code, replicas.reason_of(response)))
                return ElicitResult(action="accept", content={"agreed": True})

            async with official(http, elicitation_callback=agree) as client:
                result = await client.call_tool("confirm", {"question": "Go on?"})

    assert forged == [(404, "session-unknown"), (400, "response-not-expected")]
    assert text_of(result) == "True"


@pytest.mark.parametrize("method", ["POST", "GET", "DELETE"])
@pytest.mark.promise("session-bound")
@pytest.mark.anyio
async def test_a_replica_with_another_key_knows_nothing_of_the_session(
    replicas: Replicas, method: str
) -> None:
    balancer = Balancer(replicas)
    with anyio.fail_after(LIMIT):
        async with http_as(ALICE, balancer) as http:
            session = await begun(http)
            balancer.next, before = "stranger", len(replicas.server.heard)

            refused = await ask(http, method, session)
            heard, reason = replicas.server.heard[before:], replicas.reason_of(refused)

    assert (refused.status_code, reason, heard) == (404, "session-unknown", [])


@pytest.mark.parametrize("method", ["POST", "GET", "DELETE"])
@pytest.mark.promise("session-bound")
@pytest.mark.anyio
async def test_the_name_that_the_server_gave_a_session_is_nobodys(replicas: Replicas, method: str) -> None:
    balancer = Balancer(replicas)
    with anyio.fail_after(LIMIT):
        async with http_as(ALICE, balancer) as http:
            await begun(http)
            name, before = replicas.server.heard[-1].session, len(replicas.server.heard)

            refused = await ask(http, method, name)

    assert name is not None
    assert (refused.status_code, replicas.server.heard[before:]) == (404, [])


@pytest.mark.anyio
async def test_a_stream_of_ones_own_session_opens_at_the_other_replica(replicas: Replicas) -> None:
    balancer = Balancer(replicas)
    with anyio.fail_after(LIMIT):
        async with http_as(ALICE, balancer) as http:
            session = await begun(http)
            balancer.next = "two"

            stream = await ask(http, "GET", session)

    assert (stream.status_code, stream.headers["content-type"]) == (200, "text/event-stream")


@pytest.mark.promise("session-bound")
@pytest.mark.anyio
async def test_a_session_that_was_ended_at_one_replica_is_over_at_both(replicas: Replicas) -> None:
    balancer = Balancer(replicas)
    with anyio.fail_after(LIMIT):
        async with http_as(ALICE, balancer) as http:
            session = await begun(http)
            other = await begun(http)
            balancer.next = "two"
            ended = await ask(http, "DELETE", session)
            afterwards: list[int] = []
            for balancer.next in ("one", "two"):
                afterwards += [
                    (await ask(http, method, session)).status_code for method in ("POST", "GET", "DELETE")
                ]
            untouched = await ask(http, "POST", other)

    assert (ended.status_code, afterwards) == (200, [404] * 6)
    assert untouched.status_code == 200


@pytest.mark.anyio
async def test_the_official_client_ends_its_session_at_the_other_replica(replicas: Replicas) -> None:
    balancer = Balancer(replicas)
    with anyio.fail_after(LIMIT):
        async with http_as(ALICE, balancer) as http:
            async with official(http) as client:
                await client.call_tool("recall", {})
                balancer.next = "two"
            (session,) = balancer.handles

            afterwards = await ask(http, "POST", session)

    assert balancer.taken[-2] == ("two", "DELETE", None)
    assert afterwards.status_code == 404
