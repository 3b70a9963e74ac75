"""What somebody may try who reaches the listener and has nothing but octets."""

import json
import logging
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from tests.support.asgi import Spy
from tests.support.certificates import Authority, client_context
from tests.support.proxied import open_sockets
from tests.support.reloading import describe, program
from tests.support.servers import serve
from tests.support.tunnels import (
    CLOSE,
    HOST,
    LIMIT,
    PING,
    TEXT,
    frame,
    get,
    rest_of,
    server_credential,
    tunnelled,
    upgrade_request,
    upgraded,
)
from tunnelgate.asgi import ASGIApp
from tunnelgate.hosts import HostAllowlist
from tunnelgate_app.listening.contexts import ListenerTls
from tunnelgate_app.listening.tls_files import TlsFiles, open_tls
from tunnelgate_app.listening.tls_stream import TlsStream
from tunnelgate_app.server import Loop, Server

AUTHORITY = Authority("the authority")
OTHER = "wiki.example.com"
LOOPS = [pytest.param("uvloop", id="uvloop"), pytest.param("asyncio", id="asyncio")]
NARROW = 4096  # octets that the system keeps of what is sent
SOON = 3.0  # seconds, in which what is to be cut off has to be


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    folder = tmp_path_factory.mktemp("listener")
    credential = AUTHORITY.issue_for_server(HOST, OTHER)
    return open_tls(TlsFiles(*credential.write(folder, "server")))


@contextmanager
def narrow(app: ASGIApp, context: ssl.SSLContext, loop: Loop, handshake_timeout: float) -> Generator[int]:
    """Serve where the system takes little of what is sent, so that the rest stays with the gate."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, NARROW)
        server = Server(
            app,
            loop=loop,
            tls=ListenerTls(context),
            handshake_timeout=handshake_timeout,
            shutdown_timeout=1,
        )
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        try:
            assert within(LIMIT, lambda: server.started)
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join(LIMIT)
            assert not thread.is_alive(), "the server did not stop"


@contextmanager
def never_reading(port: int) -> Generator[socket.socket]:
    with socket.socket() as connection:
        for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
            connection.setsockopt(socket.SOL_SOCKET, option, NARROW)
        connection.settimeout(LIMIT)
        connection.connect(("127.0.0.1", port))
        yield connection


def within(seconds: float, condition: Callable[[], bool]) -> bool:
    """Return whether ``condition`` comes about in time."""
    limit = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > limit:
            return False
        threading.Event().wait(0.02)
    return True


def say_hello(name: bytes) -> bytes:
    """Return the first message of a client that asks for ``name``, whatever octets it has."""
    stand_in = b"x" * len(name)
    arrived, leaving = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context(AUTHORITY).wrap_bio(arrived, leaving, server_hostname=stand_in.decode())
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    hello = leaving.read()
    assert hello.count(stand_in) == 1
    return hello.replace(stand_in, name)


@pytest.mark.parametrize("loop", LOOPS)
def test_who_is_refused_and_takes_nothing_of_what_was_sent_before_is_cut_off(
    context: ssl.SSLContext, loop: Loop
) -> None:
    with narrow(Spy(), context, loop, handshake_timeout=1) as port:
        there = open_sockets()
        with never_reading(port) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.sendall(upgrade_request())
            assert within(LIMIT, lambda: open_sockets() == there + 2)
            until = time.monotonic() + 0.7
            while time.monotonic() < until:  # each of them alone, so that each has its answer
                connection.sendall(frame(b"x" * 125, PING))
                threading.Event().wait(0.0005)
            connection.sendall(frame(b"enough", TEXT))

            assert within(1 + SOON, lambda: open_sockets() == there + 1), "the gate keeps the connection"


class Keys:
    """The keys of what a TLS 1.3 client sends, which OpenSSL writes down where it is told to."""

    def __init__(self, file: Path) -> None:
        (line,) = [each for each in file.read_text().splitlines() if each.startswith("CLIENT_TRAFFIC_SECRET")]
        self._secret = bytes.fromhex(line.split()[2])

    def update(self) -> bytes:
        """Return the record of a KeyUpdate that asks for another one (RFC 8446 section 4.6.3)."""
        key, nonce = self._expand(b"key", 32), self._expand(b"iv", 12)
        message = b"\x18\x00\x00\x01\x01" + b"\x16"
        head = struct.pack("!BHH", 23, 0x0303, len(message) + 16)
        self._secret = self._expand(b"traffic upd", 48)
        return head + AESGCM(key).encrypt(nonce, message, head)

    def _expand(self, label: bytes, length: int) -> bytes:
        full = b"tls13 " + label
        info = struct.pack("!HB", length, len(full)) + full + b"\x00"
        return HKDFExpand(SHA384(), length, info).derive(self._secret)


def keeping_keys(folder: Path) -> tuple[ssl.SSLContext, Path]:
    context = client_context(AUTHORITY, version=ssl.TLSVersion.TLSv1_3)
    context.keylog_filename = str(folder / "keys")
    return context, folder / "keys"


@pytest.mark.parametrize("loop", LOOPS)
def test_who_asks_tls_for_new_keys_and_takes_none_of_them_fills_no_memory(
    tmp_path: Path, context: ssl.SSLContext, loop: Loop
) -> None:
    client, keys_file = keeping_keys(tmp_path)
    with narrow(Spy(), context, loop, handshake_timeout=LIMIT) as port, never_reading(port) as connection:
        arrived, leaving = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = client.wrap_bio(arrived, leaving, server_hostname=HOST)
        while tls.version() is None or leaving.pending:
            try:
                tls.do_handshake()
            except ssl.SSLWantReadError:
                connection.sendall(leaving.read())
                arrived.write(connection.recv(65536))
            else:
                connection.sendall(leaving.read())
        assert tls.cipher() == ("TLS_AES_256_GCM_SHA384", "TLSv1.3", 256)
        there = open_sockets()
        keys = Keys(keys_file)
        with suppress(ConnectionError):  # as soon as it is cut off
            for _ in range(12):
                connection.sendall(b"".join(keys.update() for _ in range(1000)))

        assert within(SOON, lambda: open_sockets() == there - 1), "the gate keeps the connection"


def test_ten_thousand_messages_of_tls_itself_are_read_in_turns_with_others(
    tmp_path: Path, context: ssl.SSLContext
) -> None:
    client, keys_file = keeping_keys(tmp_path)
    stream = TlsStream(context)
    arrived, leaving = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = client.wrap_bio(arrived, leaving, server_hostname=HOST)
    is_complete = False
    while not is_complete:
        with suppress(ssl.SSLWantReadError):
            tls.do_handshake()
        stream.feed(leaving.read())
        is_complete = stream.shake_hands()
        arrived.write(stream.take())
    keys = Keys(keys_file)
    flood = b"".join(keys.update() for _ in range(9_600))  # as much as arrives at once

    stream.feed(flood)
    answered = [0]
    while stream.has_more or not answered[-1]:
        assert stream.read() == b""
        answered.append(len(stream.take()))

    assert sum(answered) > len(flood) / 2
    assert max(answered) < len(flood) / 4


@pytest.mark.parametrize("loop", LOOPS)
def test_nothing_behind_the_goodbye_of_a_websocket_is_read(context: ssl.SSLContext, loop: Loop) -> None:
    spy = Spy()

    def behind_a_goodbye(ciphertext: bytes) -> list[bytes]:
        return [frame(b"\x03\xe8", CLOSE) + frame(ciphertext)]

    with serve(spy, tls=context, loop=loop) as port, tunnelled(port, AUTHORITY) as tunnel:
        tunnel.cut = behind_a_goodbye
        tunnel.sendall(get())
        rest_of(tunnel.connection)

    assert spy.scopes == []


def test_nothing_behind_the_goodbye_of_tls_is_read(context: ssl.SSLContext) -> None:
    spy = Spy()
    with serve(spy, tls=context) as port, tunnelled(port, AUTHORITY) as tunnel:
        with pytest.raises(ssl.SSLWantReadError):
            tunnel.tls.unwrap()
        tunnel.cut = lambda ciphertext: [frame(ciphertext + b"\x17\x03\x03\x00\x14" + b"x" * 20)]
        tunnel.flush()
        answer = tunnel.rest()

    assert (answer, spy.scopes) == (b"", [])


@pytest.mark.parametrize(
    "first_line",
    [
        pytest.param(b"%s / HTTP/1.1" % (b"A" * 15_000), id="a method"),
        pytest.param(b"GET /%s HTTP/1.1" % (b"a" * 15_000), id="a target"),
    ],
)
def test_what_came_is_quoted_in_the_log_only_so_far(
    context: ssl.SSLContext, caplog: pytest.LogCaptureFixture, first_line: bytes
) -> None:
    caplog.set_level(logging.WARNING, "tunnelgate")
    with (
        serve(Spy(), tls=context) as port,
        socket.create_connection(("127.0.0.1", port), timeout=LIMIT) as connection,
    ):
        connection.sendall(first_line + b"\r\nHost: x\r\n\r\n")
        answer = rest_of(connection)

    assert answer.startswith(b"HTTP/1.1 426 ")
    (length,) = map(len, caplog.messages)
    assert length < 300


@pytest.mark.parametrize(
    "host",
    [
        pytest.param(OTHER, id="another one that is served"),
        pytest.param(OTHER.upper(), id="it in capitals"),
        pytest.param(f"{OTHER}:443", id="it with a port"),
    ],
)
def test_a_later_request_on_a_connection_cannot_name_another_host_either(
    context: ssl.SSLContext, host: str
) -> None:
    spy = Spy()
    app = HostAllowlist(spy, hosts=[HOST, OTHER])
    with serve(app, tls=context) as port, tunnelled(port, AUTHORITY) as tunnel:
        assert tunnel.ask(get()).startswith(b"HTTP/1.1 200 ")
        tunnel.sendall(get(host=host) + get())
        answers = b""
        while answers.count(b"HTTP/1.1 ") < 2:
            answers += tunnel.recv()

    assert answers.startswith(b"HTTP/1.1 421 ")
    assert b"HTTP/1.1 200 " in answers
    assert len(spy.scopes) == 2


def test_a_name_that_is_no_text_leaves_the_log_readable_for_machines(tmp_path: Path) -> None:
    cert_file, key_file = server_credential(AUTHORITY).write(tmp_path, "server")
    tls = {"cert_file": str(cert_file), "key_file": str(key_file)}
    route = {"upstream": "http://127.0.0.1:9000", "tools": ["search"]}
    with program(tmp_path, describe(tmp_path, {HOST: route}, tls=tls, shutdown_timeout=1)) as gate:
        for _ in range(3):
            with upgraded(gate.port) as connection:
                connection.sendall(frame(say_hello(b"d\xf3cs.example.com")))
                rest_of(connection)
        gate.wait_for("the client asked for a name that is not ASCII", 3)

    for line in gate.output.splitlines():
        assert json.loads(line)["event"]
