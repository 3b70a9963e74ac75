"""How a connection begins at a listener with TLS, and what is said where none does."""

import logging
import socket
import ssl
import struct
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.asgi import Spy
from tests.support.certificates import Authority, client_context
from tests.support.servers import serve
from tests.support.tunnels import (
    CLOSE,
    HOST,
    LIMIT,
    TEXT,
    Frames,
    Tunnel,
    frame,
    get,
    read_head,
    rest_of,
    server_credential,
    tunnelled,
    upgrade_request,
    upgraded,
)
from tunnelgate_app.listening.tls_files import TlsFiles, open_tls
from tunnelgate_app.server import Loop, Transport

AUTHORITY = Authority("the authority")
OK = b"HTTP/1.1 200 OK\r\n"
SOON = 0.3  # seconds that the impatient listeners of these tests give a handshake
FAILED = "websocket upgrade failed: "
NO_TLS = "tls handshake failed: "
MIDDLE = "the other side closed the connection in the middle of it"


@dataclass(frozen=True)
class Gate:
    """A listener with an application behind it, and what it has said."""

    port: int
    spy: Spy
    caplog: pytest.LogCaptureFixture

    def said(self) -> list[str]:
        """Return the lines of the log without whom they are about, when they are there."""
        return [
            record.getMessage().partition(" (from 127.0.0.1:")[0]
            for record in self.caplog.records
            if record.levelno >= logging.WARNING
        ]

    def wait_for(self, *lines: str) -> None:
        """Wait until these lines are said, and nothing else."""
        began = time.monotonic()
        while len(self.said()) < len(lines):
            assert time.monotonic() - began < LIMIT, self.said()
            self.connected_and_answered()
        assert self.said() == list(lines)

    def connected_and_answered(self) -> None:
        with self.connect() as connection:
            context = client_context(AUTHORITY)
            with context.wrap_socket(connection, server_hostname=HOST) as secure:
                secure.sendall(get("/mcp", "Connection: close"))
                assert rest_of(secure).startswith(OK)

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=LIMIT)


LOOPS = [pytest.param("uvloop", id="uvloop"), pytest.param("asyncio", id="asyncio")]


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    folder: Path = tmp_path_factory.mktemp("listener")
    return open_tls(TlsFiles(*server_credential(AUTHORITY).write(folder, "server")))


@pytest.fixture(params=LOOPS)
def gate(
    request: pytest.FixtureRequest, context: ssl.SSLContext, caplog: pytest.LogCaptureFixture
) -> Generator[Gate]:
    """Give a listener that takes TLS, also in a WebSocket."""
    with opened(request.param, context, caplog) as gate:
        yield gate


@contextmanager
def opened(
    loop: Loop,
    context: ssl.SSLContext,
    caplog: pytest.LogCaptureFixture,
    transport: Transport | None = None,
    seconds: float = LIMIT,
) -> Generator[Gate]:
    spy = Spy()
    caplog.set_level(logging.DEBUG, "tunnelgate")
    with serve(spy, tls=context, transport=transport, loop=loop, handshake_timeout=seconds) as port:
        yield Gate(port, spy, caplog)


def test_one_port_takes_tls_and_tls_in_a_websocket(gate: Gate) -> None:
    gate.connected_and_answered()
    with tunnelled(gate.port, AUTHORITY) as tunnel:
        assert tunnel.ask(get()).startswith(OK)
        assert tunnel.ask(get()).startswith(OK)

    assert len(gate.spy.scopes) == 3
    assert {scope["scheme"] for scope in gate.spy.scopes} == {"https"}
    assert {scope["client"][0] for scope in gate.spy.scopes} == {"127.0.0.1"}
    assert gate.said() == []


def test_the_hello_may_come_in_one_piece_with_the_upgrade(gate: Gate) -> None:
    tls = client_context(AUTHORITY)
    arrived, leaving = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = tls.wrap_bio(arrived, leaving, server_hostname=HOST)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    with gate.connect() as connection:
        connection.sendall(upgrade_request() + frame(leaving.read()))
        assert read_head(connection).startswith(b"HTTP/1.1 101 ")
        frames = Frames()
        received: list[tuple[int, bytes]] = []
        while not received:
            received = frames.read(connection.recv(65536))
        arrived.write(received[0][1])
        client.do_handshake()

    assert client.version() == "TLSv1.3"


def test_everything_may_come_octet_by_octet(gate: Gate) -> None:
    with gate.connect() as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for octet in upgrade_request():
            connection.sendall(bytes([octet]))
        assert read_head(connection).startswith(b"HTTP/1.1 101 ")

        def octets(ciphertext: bytes) -> list[bytes]:
            return [bytes([octet]) for octet in frame(ciphertext)]

        tunnel = Tunnel(connection, client_context(AUTHORITY), cut=octets)
        assert tunnel.ask(get()).startswith(OK)


def test_a_handshake_in_frames_of_one_octet_goes_on_in_turns(gate: Gate) -> None:
    def tiny(ciphertext: bytes) -> list[bytes]:
        return [b"".join(frame(bytes([octet])) for octet in ciphertext)]

    with tunnelled(gate.port, AUTHORITY, cut=tiny) as tunnel:
        assert tunnel.ask(get()).startswith(OK)


def in_the_clear(connection: socket.socket) -> bytes:
    connection.sendall(get("/mcp"))
    return rest_of(connection)


def garbage(connection: socket.socket) -> bytes:
    connection.sendall(b"\x00\xff\n" * 20 + b"\n\n")
    return rest_of(connection)


def body_behind(connection: socket.socket) -> bytes:
    connection.sendall(b"POST /mcp HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n" + b"x" * 100_000)
    return rest_of(connection)


@pytest.mark.parametrize(
    ("send", "answer", "why"),
    [
        pytest.param(
            in_the_clear,
            b"HTTP/1.1 426 Upgrade Required\r\n",
            "GET /mcp came in the clear, and a WebSocket upgrade is expected",
            id="a request",
        ),
        pytest.param(
            body_behind,
            b"HTTP/1.1 426 Upgrade Required\r\n",
            "POST /mcp came in the clear, and a WebSocket upgrade is expected",
            id="a request with a large body",
        ),
        pytest.param(
            garbage,
            b"HTTP/1.1 400 Bad Request\r\n",
            "what came is no HTTP request (illegal request line), and a WebSocket upgrade is expected",
            id="garbage",
        ),
    ],
)
def test_what_is_in_the_clear_is_answered_and_said(
    gate: Gate, send: Callable[[socket.socket], bytes], answer: bytes, why: str
) -> None:
    with gate.connect() as connection:
        assert send(connection).startswith(answer)

    gate.wait_for(FAILED + why)


def websocket_rest(connection: socket.socket) -> list[tuple[int, bytes]]:
    return Frames().read(rest_of(connection))


@pytest.mark.parametrize(
    ("octets", "why", "opcodes"),
    [
        pytest.param(
            frame(b"hello", TEXT),
            "websocket failed: a text frame came, and binary ones are expected",
            [CLOSE],
            id="a text frame",
        ),
        pytest.param(
            b"\x00\xff" * 100,
            "websocket failed: what came is no WebSocket frame: expected CONTINUATION",
            [CLOSE],
            id="garbage",
        ),
        pytest.param(
            frame(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
            NO_TLS + "what came is HTTP in the clear, and TLS is expected",
            [CLOSE],
            id="HTTP in a frame",
        ),
        pytest.param(
            frame(b"\x15\x03\x01\x00\x02\x02\x30"),
            NO_TLS + "what came is TLS, but does not belong there",
            [2, CLOSE],
            id="a TLS alert",
        ),
        pytest.param(
            frame(struct.pack("!H", 1000), CLOSE),
            NO_TLS + "the other side closed the WebSocket in the middle of it",
            [CLOSE],
            id="a goodbye",
        ),
    ],
)
def test_what_is_no_tls_in_a_websocket_ends_it_with_a_line_of_the_log(
    gate: Gate, octets: bytes, why: str, opcodes: list[int]
) -> None:
    with tunnelled(gate.port, AUTHORITY) as other, upgraded(gate.port) as connection:
        connection.sendall(octets)
        answered = [opcode for opcode, _ in websocket_rest(connection)]
        began = time.monotonic()
        while not gate.said():
            assert other.ask(get()).startswith(OK)
            assert time.monotonic() - began < LIMIT

    assert answered == opcodes
    (said,) = gate.said()
    assert said.startswith(why.replace("expected CONTINUATION", ""))


def test_a_client_that_goes_away_in_the_middle_is_said_and_one_that_never_spoke_is_not(gate: Gate) -> None:
    gate.connect().close()
    with gate.connect() as connection:
        connection.sendall(b"\x16\x03\x01")
    gate.wait_for(NO_TLS + MIDDLE)
    with gate.connect() as connection:
        connection.sendall(b"GET / HT")
    gate.wait_for(NO_TLS + MIDDLE, FAILED + MIDDLE)
    with upgraded(gate.port):
        pass

    gate.wait_for(NO_TLS + MIDDLE, FAILED + MIDDLE, NO_TLS + MIDDLE)


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize(
    ("transport", "sent", "why"),
    [
        pytest.param("tls", b"", NO_TLS + "nothing came", id="nothing, for TLS"),
        pytest.param("tunnel", b"", FAILED + "nothing came", id="nothing, for a tunnel"),
        pytest.param(None, b"", FAILED + "nothing came", id="nothing, for either"),
        pytest.param("tls", b"\x16\x03", NO_TLS + "it was not complete", id="a part of a hello"),
        pytest.param("tunnel", b"GET / HTTP/1.1\r\n", FAILED + "it was not complete", id="a part of a head"),
        pytest.param("tunnel", upgrade_request(), NO_TLS + "it was not complete", id="an upgrade alone"),
    ],
)
@pytest.mark.promise("bounded")
def test_who_does_not_go_on_is_cut_off(
    context: ssl.SSLContext,
    caplog: pytest.LogCaptureFixture,
    loop: Loop,
    transport: Transport | None,
    sent: bytes,
    why: str,
) -> None:
    with opened(loop, context, caplog, transport, SOON) as gate, gate.connect() as connection:
        began = time.monotonic()
        connection.sendall(sent)
        rest_of(connection)
        assert time.monotonic() - began > SOON * 0.9

    assert gate.said() == [f"{why} in {SOON} seconds"]


@pytest.mark.parametrize("loop", LOOPS)
def test_a_listener_for_tls_alone_takes_no_websocket(
    context: ssl.SSLContext, caplog: pytest.LogCaptureFixture, loop: Loop
) -> None:
    with opened(loop, context, caplog, "tls") as gate:
        gate.connected_and_answered()
        with gate.connect() as connection:
            connection.sendall(upgrade_request())
            assert rest_of(connection) == b""

    assert gate.said() == [NO_TLS + "what came is HTTP in the clear, and TLS is expected"]


@pytest.mark.parametrize("loop", LOOPS)
def test_a_listener_for_a_tunnel_alone_answers_tls_as_the_guides_describe_it(
    context: ssl.SSLContext, caplog: pytest.LogCaptureFixture, loop: Loop
) -> None:
    with opened(loop, context, caplog, "tunnel") as gate:
        with tunnelled(gate.port, AUTHORITY) as tunnel:
            assert tunnel.ask(get()).startswith(OK)
        with gate.connect() as connection, pytest.raises(ssl.SSLError, match="WRONG_VERSION_NUMBER"):
            client_context(AUTHORITY).wrap_socket(connection, server_hostname=HOST)

    assert gate.said() == [FAILED + "what came is TLS, and a WebSocket upgrade is expected"]


@pytest.mark.parametrize("loop", LOOPS)
def test_what_has_not_begun_does_not_keep_the_listener_from_stopping(
    context: ssl.SSLContext, caplog: pytest.LogCaptureFixture, loop: Loop
) -> None:
    with ExitStack() as stack:
        with opened(loop, context, caplog) as gate:
            silent, begun = stack.enter_context(gate.connect()), stack.enter_context(upgraded(gate.port))
            dismissed = stack.enter_context(gate.connect())
            dismissed.sendall(get("/mcp"))
            assert read_head(dismissed).startswith(b"HTTP/1.1 426 ")
            began = time.monotonic()
        assert time.monotonic() - began < LIMIT / 2
        for each in (silent, begun, dismissed):
            rest_of(each)

    assert len(gate.said()) == 1


@pytest.mark.parametrize("loop", LOOPS)
def test_a_client_that_offers_other_protocols_alone_is_taken_without_one(
    context: ssl.SSLContext, caplog: pytest.LogCaptureFixture, loop: Loop
) -> None:
    offering = client_context(AUTHORITY)
    offering.set_alpn_protocols(["h2"])
    with opened(loop, context, caplog) as gate, tunnelled(gate.port, offering) as tunnel:
        assert tunnel.ask(get()).startswith(OK)
        assert tunnel.tls.selected_alpn_protocol() is None
