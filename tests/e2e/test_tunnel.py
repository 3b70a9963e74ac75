"""The whole gate at the end of a tunnel: the official client inside of TLS inside of a WebSocket."""

import socket
import ssl
import threading
from collections.abc import AsyncGenerator, Generator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.transport_security import TransportSecuritySettings

from tests.support.audit import Records
from tests.support.certificates import Authority, Credential, client_context
from tests.support.mcp import modern
from tests.support.servers import serve
from tests.support.tokens import ISSUER, Token, jwks
from tests.support.tunnels import LIMIT, Tunnel, frame, get, tunnelled
from tunnelgate import Clients, Issuer, OAuth, Policy, Route, StaticKeys
from tunnelgate.asgi import Receive, Scope, Send
from tunnelgate.chain import build_gate
from tunnelgate.materials import gather
from tunnelgate_app.connector.client import tunnel_client
from tunnelgate_app.listening.contexts import ListenerTls
from tunnelgate_app.listening.tls_files import TlsFiles, open_tls
from tunnelgate_app.server import Loop, Parser

HOST = "docs.example.com"
OTHER = "wiki.example.com"
URL = f"https://{HOST}/mcp"
MODES = ["2026-07-28", "legacy"]
SERVERS = [
    pytest.param(("strict", "uvloop"), id="the strict protocol on uvloop"),
    pytest.param(("strict", "asyncio"), id="the strict protocol on asyncio"),
    pytest.param(("h11", "uvloop"), id="h11 on uvloop"),
    pytest.param(("h11", "asyncio"), id="h11 on asyncio"),
]
LOOPS = [pytest.param("uvloop", id="uvloop"), pytest.param("asyncio", id="asyncio")]
MEGABYTE = 1 << 20
AUTHORITY = Authority("the authority")


def server_with_tools() -> Any:
    server: MCPServer[None] = MCPServer("docs", log_level="ERROR")

    def search_docs(query: str) -> str:
        return f"found {query}"

    def hidden_tool() -> str:
        return "hidden"

    async def count(to: int, context: Context[None, Any]) -> str:
        for number in range(to):
            await context.report_progress(number, to)
        return f"counted to {to}"

    for tool in (search_docs, hidden_tool, count):
        server.add_tool(tool)
    allowed = TransportSecuritySettings(allowed_hosts=[HOST, OTHER])
    return server.streamable_http_app(transport_security=allowed)


@dataclass(frozen=True)
class Gate:
    """A gate at the end of a tunnel: where it listens, its records, and what a client needs."""

    port: int
    records: Records
    tls: ListenerTls
    folder: Path

    @asynccontextmanager
    async def client(self, mode: Any = "auto", **headers: str) -> AsyncGenerator[Client]:
        """Give the official client, which knows nothing of the tunnel that it speaks through."""
        authorities = AUTHORITY.write(self.folder, "ca")
        http = tunnel_client(
            f"127.0.0.1:{self.port}", authorities=authorities, transport="tunnel", timeout=LIMIT
        )
        http.headers["authorization"] = f"Bearer {Token().mint()}"
        http.headers.update(headers)
        async with http, Client(streamable_http_client(URL, http_client=http), mode=mode) as client:
            yield client


def renewed(folder: Path, *, with_clients: bool = False) -> ssl.SSLContext:
    """Return TLS with a new certificate for the gate's hosts."""
    credential = AUTHORITY.issue_for_server(HOST, OTHER)
    clients = AUTHORITY.write(folder, "clients") if with_clients else None
    return open_tls(TlsFiles(*credential.write(folder, "server"), clients))


@contextmanager
def gate(
    folder: Path, parser: Parser = "strict", loop: Loop = "auto", *, certified: bool = False
) -> Generator[Gate]:
    app = server_with_tools()
    route: dict[str, Any] = {"tools": ["search_docs", "count"]}
    if certified:
        route["proof"] = "mtls"
    policy = Policy(
        clients=Clients(allowed_ips=["127.0.0.1"]),
        oauth=OAuth(issuers=[Issuer(issuer=ISSUER, jwks_file="unused.json")]),
        routes={HOST: Route(**route), OTHER: Route(tools=["search_docs"])},
    )
    records = Records()
    materials = gather(policy, audit=records, keys_of=lambda _: StaticKeys(jwks("ES256")))
    chain = build_gate(policy, {HOST: app, OTHER: app}, app, materials)
    tls = ListenerTls(renewed(folder, with_clients=certified))
    with serve(chain, parser, tls=tls, transport="tunnel", loop=loop) as port:
        yield Gate(port, records, tls, folder)


@pytest.fixture(scope="module", params=SERVERS)
def running_gate(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Generator[Gate]:
    parser, loop = request.param
    with gate(tmp_path_factory.mktemp("gate"), parser, loop) as running:
        yield running


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.anyio
async def test_the_official_client_lists_and_calls_through_a_tunnel(running_gate: Gate, mode: Any) -> None:
    seen: list[float] = []

    async def report(progress: float, total: float | None, message: str | None) -> None:
        seen.append(progress)

    with anyio.fail_after(LIMIT):
        async with running_gate.client(mode) as client:
            listed = {tool.name for tool in (await client.list_tools()).tools}
            found = await client.call_tool("search_docs", {"query": "tunnels"})
            counted = await client.call_tool("count", {"to": 3}, progress_callback=report)

    assert listed == {"search_docs", "count"}
    assert [getattr(each, "text", None) for each in found.content] == ["found tunnels"]
    assert [getattr(each, "text", None) for each in counted.content] == ["counted to 3"]
    assert seen == [0, 1, 2]


@pytest.mark.anyio
async def test_a_certificate_is_renewed_while_the_official_client_works(running_gate: Gate) -> None:
    with anyio.fail_after(LIMIT):
        async with running_gate.client() as client:
            for number in range(6):
                if number % 2:
                    running_gate.tls.replace(renewed(running_gate.folder))
                found = await client.call_tool("search_docs", {"query": str(number)})
                assert [getattr(each, "text", None) for each in found.content] == [f"found {number}"]
        async with running_gate.client() as client:
            assert len((await client.list_tools()).tools) == 2


@pytest.mark.anyio
async def test_many_clients_at_once_are_served(running_gate: Gate) -> None:
    answers: list[str | None] = []

    async def call(number: int) -> None:
        async with running_gate.client() as client:
            found = await client.call_tool("search_docs", {"query": str(number)})
            answers.extend(getattr(each, "text", None) for each in found.content)

    with anyio.fail_after(LIMIT):
        async with anyio.create_task_group() as tasks:
            for number in range(20):
                tasks.start_soon(call, number)

    assert sorted(map(str, answers)) == sorted(f"found {number}" for number in range(20))


@pytest.mark.promise("inside-tls")
def test_a_request_for_another_route_than_the_tunnels_is_misdirected(running_gate: Gate) -> None:
    headers, body = modern("tools/list")
    headers = [(name, OTHER if name == "host" else value) for name, value in headers]
    lines = [f"{name}: {value}" for name, value in headers] + [f"content-length: {len(body)}"]
    request = "\r\n".join(["POST /mcp HTTP/1.1", *lines, "", ""]).encode() + body
    running_gate.records.all.clear()

    answers: list[bytes] = []
    for name in (HOST, OTHER, None):
        context = client_context(AUTHORITY)
        context.check_hostname = name is not None
        with tunnelled(running_gate.port, context, name) as tunnel:
            tunnel.sendall(request)
            answers.append(tunnel.recv())

    statuses = [answer.split(b" ")[1] for answer in answers]
    assert statuses == [b"421", b"401", b"401"]
    assert answers[0].endswith(b'\r\n\r\n{"error":"misdirected_request"}')
    assert [each["reason"] for each in running_gate.records.all] == [
        "server-name-differs",
        "token-missing",
        "token-missing",
    ]
    assert running_gate.records.all[0]["detail"] == HOST


@pytest.mark.parametrize(
    "version",
    [
        pytest.param(ssl.TLSVersion.TLSv1_2, id="TLS 1.2"),
        pytest.param(ssl.TLSVersion.TLSv1_3, id="TLS 1.3"),
    ],
)
@pytest.mark.parametrize(("parser", "loop"), [each.values[0] for each in SERVERS[::3]])
def test_a_certificate_inside_of_the_tunnel_proves_who_calls(
    tmp_path: Path, parser: Parser, loop: Loop, version: ssl.TLSVersion
) -> None:
    agent = AUTHORITY.issue("agent")
    bearer = Token(claims={"cnf": {"x5t#S256": agent.thumbprint}}).mint()

    def ask(running: Gate, credential: Credential) -> bytes:
        headers, body = modern("tools/list")
        headers += [("authorization", f"Bearer {bearer}"), ("content-length", str(len(body)))]
        head = "\r\n".join(["POST /mcp HTTP/1.1", *(f"{name}: {value}" for name, value in headers), "", ""])
        context = client_context(AUTHORITY, tmp_path, credential, version)
        with tunnelled(running.port, context) as tunnel:
            tunnel.sendall(head.encode() + body)
            return tunnel.recv()

    with gate(tmp_path, parser, loop, certified=True) as running:
        assert ask(running, agent).startswith(b"HTTP/1.1 200 ")
        assert ask(running, AUTHORITY.issue("agent")).startswith(b"HTTP/1.1 401 ")


class Echo:
    """Streams a request's body back as it comes, and tells how much it holds."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        more = True
        while more:
            message = await receive()
            more = message.get("more_body", False)
            part = {"type": "http.response.body", "body": message.get("body", b""), "more_body": more}
            await send(part)


@pytest.fixture(scope="module", params=SERVERS)
def echo(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Generator[int]:
    parser, loop = request.param
    tls = renewed(tmp_path_factory.mktemp("echo"))
    with serve(Echo(), parser, tls=tls, loop=loop) as port:
        yield port


def body_of(answer: bytes) -> bytes:
    """Return what a chunked answer carries."""
    rest = answer.partition(b"\r\n\r\n")[2]
    parts: list[bytes] = []
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        length = int(size, 16)
        parts.append(rest[:length])
        rest = rest[length + 2 :]
    return b"".join(parts)


@pytest.mark.parametrize(
    "size",
    [
        pytest.param(1, id="of one octet"),
        pytest.param(1000, id="of a thousand octets"),
        pytest.param(4 * MEGABYTE, id="of four megabytes"),
    ],
)
def test_frames_may_have_any_size(echo: int, size: int) -> None:
    body = bytes(range(256)) * (16 if size == 1 else 16384)

    def cut(ciphertext: bytes) -> list[bytes]:
        frames = [frame(ciphertext[at : at + size]) for at in range(0, len(ciphertext), size)]
        return [b"".join(frames)]

    with tunnelled(echo, AUTHORITY, cut=cut) as tunnel:
        head = f"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        writing = threading.Thread(target=tunnel.sendall, args=(head.encode() + body,))
        writing.start()
        writing.join(LIMIT)
        answer = tunnel.rest()

    assert body_of(answer) == body


def test_fragments_with_pings_between_them_are_one_stream(echo: int) -> None:
    def cut(ciphertext: bytes) -> list[bytes]:
        third = len(ciphertext) // 3
        return [
            frame(ciphertext[:third], fin=False),
            frame(b"?", 9),
            frame(ciphertext[third : 2 * third], 0, fin=False) + frame(b"??", 9),
            frame(ciphertext[2 * third :], 0),
        ]

    with tunnelled(echo, AUTHORITY, cut=cut) as tunnel:
        answer = tunnel.ask(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello")
        while (10, b"??") not in tunnel.control:
            tunnel.receive()

    assert body_of(answer) == b"hello"


@pytest.mark.promise("bounded")
def test_who_reads_nothing_of_its_own_words_can_send_only_so_many(echo: int) -> None:
    sent = 0
    with tunnelled(echo, AUTHORITY) as tunnel:
        tunnel.connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        size = 64 * MEGABYTE
        tunnel.sendall(f"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n".encode())
        tunnel.connection.settimeout(0.5)
        try:
            while sent < size:
                tunnel.sendall(b"x" * 65536)
                sent += 65536
        except TimeoutError:
            assert sent > 0

    assert sent < 32 * MEGABYTE  # which is what the operating system takes, on both sides


@pytest.mark.promise("closing-cancels")
@pytest.mark.parametrize("loop", LOOPS)
def test_who_leaves_the_tunnel_ends_its_call(tmp_path: Path, loop: Loop) -> None:
    was_called, was_left = threading.Event(), threading.Event()

    async def waiting(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await Echo()(scope, receive, send)
            return
        await receive()
        was_called.set()
        if (await receive())["type"] == "http.disconnect":
            was_left.set()

    with serve(waiting, tls=renewed(tmp_path), loop=loop) as port:
        with tunnelled(port, AUTHORITY) as tunnel:
            tunnel.sendall(get())
            assert was_called.wait(LIMIT)
        assert was_left.wait(LIMIT)


def test_a_hundred_tunnels_stay_open_beside_each_other(echo: int) -> None:
    with ExitStack() as stack:
        tunnels: list[Tunnel] = [stack.enter_context(tunnelled(echo, AUTHORITY)) for _ in range(100)]
        for _ in range(2):
            for number, tunnel in enumerate(tunnels):
                body = str(number).encode()
                head = f"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n".encode()
                assert body_of(tunnel.ask(head + body)) == body


@pytest.mark.anyio
async def test_a_client_that_does_not_know_the_ca_never_reaches_the_routes(running_gate: Gate) -> None:
    running_gate.records.all.clear()
    authorities = Authority("another authority").write(running_gate.folder, "other")
    client = tunnel_client(
        f"127.0.0.1:{running_gate.port}", authorities=authorities, transport="tunnel", timeout=LIMIT
    )
    async with client:
        with pytest.raises(httpx2.ConnectError, match=r"^tls handshake failed: "):
            await client.get(URL)

    assert running_gate.records.all == []
