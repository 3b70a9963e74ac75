"""The bridge between plain HTTP and a gate, over real sockets."""

import asyncio
import json
import socket
import ssl
import struct
import threading
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.asgi import Spy
from tests.support.certificates import Authority
from tests.support.servers import serve
from tests.support.tunnels import LIMIT, rest_of
from tunnelgate.asgi import Scope
from tunnelgate_app.connector.address import GateAddress
from tunnelgate_app.connector.backend import TunnelBackend
from tunnelgate_app.connector.bridge import Bridge
from tunnelgate_app.connector.client import client_tls
from tunnelgate_app.listening.tls_files import TlsFiles, open_tls
from tunnelgate_app.listening.tls_in_websocket import TlsInWebSocket
from tunnelgate_app.listening.tls_stream import TlsStream
from tunnelgate_app.listening.upgrade import Upgrade, UpgradeReader
from tunnelgate_app.listening.websocket import WebSocket

NAME = "docs.tunnel.localhost"
AUTHORITY = Authority("the authority")
GET = f"GET /mcp HTTP/1.1\r\nHost: {NAME}:9999\r\n\r\n".encode()
pytestmark = pytest.mark.anyio


class Streaming(Spy):
    """Streams until the client goes away."""

    def __init__(self) -> None:
        super().__init__()
        self.was_left = threading.Event()

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await super().__call__(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"data: first\n\n", "more_body": True})
        await receive()
        while (await receive())["type"] != "http.disconnect":
            pass
        self.was_left.set()


@contextmanager
def gate(folder: Path, app: Any) -> Generator[int]:
    tls = open_tls(TlsFiles(*AUTHORITY.issue_for_server(NAME).write(folder, "server")))
    with serve(app, tls=tls, transport="tunnel") as port:
        yield port


@asynccontextmanager
async def bridged(
    folder: Path, port: int, said: list[str], host: str | None = None, seconds: float = LIMIT
) -> AsyncGenerator[int]:
    """Give the port of a bridge to the gate at ``port``; in the end, everything has been carried."""
    tls = client_tls(AUTHORITY.write(folder, "ca"))
    backend = TunnelBackend(GateAddress("127.0.0.1", port), "tunnel")
    bridge = Bridge(backend, tls, host=host, seconds=seconds, say=said.append)
    carried: list[asyncio.Task[None]] = []

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        carried.append(asyncio.create_task(bridge.carry(reader, writer)))

    server = await asyncio.start_server(begin, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]
        async with asyncio.timeout(LIMIT):
            await asyncio.gather(*carried)


def exchange(port: int, octets: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=LIMIT) as connection:
        connection.sendall(octets)
        return rest_of(connection)


@pytest.mark.parametrize(
    ("host", "named"),
    [
        pytest.param(None, f"{NAME}:9999", id="for the host of the request"),
        pytest.param(NAME, "127.0.0.1:9999", id="for the host that is given"),
    ],
)
async def test_a_request_is_carried_to_the_gate_and_its_answer_back(
    tmp_path: Path, host: str | None, named: str
) -> None:
    spy, said = Spy(), list[str]()
    body = b"x" * 300_000
    octets = f"POST /mcp HTTP/1.1\r\nHost: {named}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body

    with gate(tmp_path, spy) as port:
        async with bridged(tmp_path, port, said, host) as number:
            answer = await asyncio.to_thread(exchange, number, octets)

    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert spy.bodies == [body]
    (scope,) = spy.scopes
    assert dict(scope["headers"])[b"host"] == NAME.encode()
    assert scope["extensions"]["tls"]["server_name"] == NAME
    assert said == [f"POST /mcp to {NAME}"]


async def test_a_client_that_goes_away_ends_the_call_at_the_gate(tmp_path: Path) -> None:
    streaming, said = Streaming(), list[str]()

    def read_and_leave(number: int) -> None:
        with socket.create_connection(("127.0.0.1", number), timeout=LIMIT) as connection:
            connection.sendall(GET)
            received = b""
            while b"data: first" not in received:
                received += connection.recv(65536)

    with gate(tmp_path, streaming) as port:
        async with bridged(tmp_path, port, said) as number:
            await asyncio.to_thread(read_and_leave, number)
            assert await asyncio.to_thread(streaming.was_left.wait, LIMIT)

    assert said == [f"GET /mcp to {NAME}"]


@pytest.mark.parametrize(
    ("octets", "status", "error", "why"),
    [
        pytest.param(
            b"\x16\x03\x01\x00\x00",
            b"HTTP/1.1 400 Bad Request\r\n",
            "bad_request",
            "what came is no HTTP/1.1 request (illegal request line)",
            id="what is no request",
        ),
        pytest.param(
            b"GET / HTTP/1.1\r\nHost: wiki.tunnel.localhost\r\n\r\n",
            b"HTTP/1.1 502 Bad Gateway\r\n",
            "gate_not_reached",
            "tls handshake failed: the certificate of the other side does not count: Hostname mismatch, "
            "certificate is not valid for 'wiki.tunnel.localhost'.",
            id="a name that the certificate does not have",
        ),
    ],
)
async def test_what_fails_is_answered_and_said(
    tmp_path: Path, octets: bytes, status: bytes, error: str, why: str
) -> None:
    said = list[str]()

    with gate(tmp_path, Spy()) as port:
        async with bridged(tmp_path, port, said) as number:
            answer = await asyncio.to_thread(exchange, number, octets)

    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(status)
    assert json.loads(body) == {"error": error, "why": why}
    (sentence,) = said
    assert sentence.startswith(why)


async def test_a_gate_that_is_not_there_is_said_with_what_it_means(tmp_path: Path) -> None:
    said = list[str]()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    async with bridged(tmp_path, port, said) as number:
        answer = await asyncio.to_thread(exchange, number, GET)

    assert answer.startswith(b"HTTP/1.1 502 ")
    (sentence,) = said
    assert sentence == (
        f"nobody listens at 127.0.0.1:{port}: Connection refused. "
        "Start the gate there, or name another address: --gate."
    )


def say_nothing(number: int) -> None:
    with socket.create_connection(("127.0.0.1", number), timeout=LIMIT) as connection:
        assert rest_of(connection) == b""


def leave(number: int) -> None:
    with socket.create_connection(("127.0.0.1", number), timeout=LIMIT) as connection:
        connection.shutdown(socket.SHUT_WR)
        assert rest_of(connection) == b""


@pytest.mark.parametrize(
    ("come", "sentences"),
    [
        pytest.param(say_nothing, ["no request came in 0.2 seconds"], id="and says nothing"),
        pytest.param(leave, [], id="and goes away"),
    ],
)
async def test_who_comes_without_a_request_is_let_go(
    tmp_path: Path, come: Callable[[int], None], sentences: list[str]
) -> None:
    said = list[str]()
    async with bridged(tmp_path, 1, said, seconds=0.2) as number:
        await asyncio.to_thread(come, number)

    assert said == sentences


def begin_and_break(listener: socket.socket, context: ssl.SSLContext, begun: threading.Event) -> None:
    """Take one connection as a gate does, begin an answer on it, and send what does not belong there."""
    connection, _ = listener.accept()
    with connection:
        connection.settimeout(LIMIT)
        became = UpgradeReader().feed(connection.recv(65536))
        assert isinstance(became, Upgrade)
        connection.sendall(became.answer)
        stream = TlsInWebSocket(WebSocket("server", became.first), TlsStream(context))
        while not stream.shake_hands():
            connection.sendall(stream.take())
            stream.feed(connection.recv(65536))
        while not stream.read():
            stream.feed(connection.recv(65536))
        stream.write(b"HTTP/1.1 200 OK\r\n\r\nbegun")
        connection.sendall(stream.take())
        assert begun.wait(LIMIT)
        connection.sendall(b"\x81\x05hello")
        rest_of(connection)


async def test_a_connection_that_breaks_in_the_middle_is_said_and_nothing_is_put_into_the_answer(
    tmp_path: Path,
) -> None:
    said = list[str]()
    context = open_tls(TlsFiles(*AUTHORITY.issue_for_server(NAME).write(tmp_path, "server")))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        begun = threading.Event()
        breaking = asyncio.create_task(asyncio.to_thread(begin_and_break, listener, context, begun))
        async with bridged(tmp_path, listener.getsockname()[1], said) as number:
            answers, requests = await asyncio.open_connection("127.0.0.1", number)
            requests.write(GET)
            assert await answers.readuntil(b"begun") == b"HTTP/1.1 200 OK\r\n\r\nbegun"
            begun.set()
            rest = await asyncio.wait_for(answers.read(), LIMIT)
            requests.close()
        await breaking

    assert rest == b""
    assert said == [
        f"GET /mcp to {NAME}",
        "the connection to the gate broke: websocket failed: a text frame came, and binary ones are expected",
    ]


class Filling(Streaming):
    """Sends for as long as somebody is there."""

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await Spy.__call__(self, scope, receive, send)
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        leaving = asyncio.create_task(self._wait_for_the_end(receive))
        while not leaving.done():
            await send({"type": "http.response.body", "body": b"x" * 65536, "more_body": True})
            await asyncio.sleep(0)
        self.was_left.set()

    async def _wait_for_the_end(self, receive: Any) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass


async def test_a_client_that_breaks_off_is_said(tmp_path: Path) -> None:
    filling, said = Filling(), list[str]()

    def break_off(number: int) -> None:
        with socket.create_connection(("127.0.0.1", number), timeout=LIMIT) as connection:
            connection.sendall(GET)
            connection.recv(65536)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    with gate(tmp_path, filling) as port:
        async with bridged(tmp_path, port, said) as number:
            await asyncio.to_thread(break_off, number)
            assert await asyncio.to_thread(filling.was_left.wait, LIMIT)

    first, second = said
    assert first == f"GET /mcp to {NAME}"
    assert second.startswith("the client went away: ")
