"""The client that comes to a gate as through a tunnel, against real listeners."""

import asyncio
import socket
import struct
import threading
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import httpcore2
import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from tests.support.asgi import Spy
from tests.support.certificates import DAY, SERVER, Authority, Credential, new_key
from tests.support.servers import serve
from tests.support.tunnels import LIMIT, rest_of
from tunnelgate.asgi import Scope
from tunnelgate_app.connector.address import GateAddress
from tunnelgate_app.connector.backend import Carrying, TunnelBackend
from tunnelgate_app.connector.client import client_tls, tunnel_client
from tunnelgate_app.listening.contexts import ListenerTls
from tunnelgate_app.listening.tls_files import TlsFiles, open_tls
from tunnelgate_app.listening.tls_in_websocket import TlsInWebSocket
from tunnelgate_app.listening.tls_stream import TlsStream
from tunnelgate_app.listening.upgrade import Upgrade, UpgradeReader
from tunnelgate_app.listening.websocket import WebSocket
from tunnelgate_app.server import Server
from tunnelgate_app.unix_socket import open_unix_listener

NAME = "docs.tunnel.example.com"
URL = f"https://{NAME}/mcp"
AUTHORITY = Authority("the authority")
CARRYING = ["http", "tls", "tunnel"]
pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return AUTHORITY.write(tmp_path_factory.mktemp("ca"), "ca")


def opened(folder: Path, credential: Credential | None = None) -> ListenerTls:
    credential = credential or AUTHORITY.issue_for_server(NAME)
    return ListenerTls(open_tls(TlsFiles(*credential.write(folder, "server"))))


@pytest.mark.parametrize("transport", CARRYING)
async def test_requests_go_to_the_gate_for_the_host_of_their_url(
    tmp_path: Path, ca: Path, transport: Carrying
) -> None:
    spy = Spy()
    tls = None if transport == "http" else opened(tmp_path)
    with serve(spy, tls=tls) as port:
        client = tunnel_client(f"127.0.0.1:{port}", authorities=ca, transport=transport, timeout=LIMIT)
        async with client:
            answers = [await client.post(URL, content=b"x" * 200_000) for _ in range(3)]

    assert [each.status_code for each in answers] == [200] * 3
    assert spy.bodies == [b"x" * 200_000] * 3
    assert len({scope["client"] for scope in spy.scopes}) == 1
    assert {dict(scope["headers"])[b"host"] for scope in spy.scopes} == {NAME.encode()}
    if tls is not None:
        assert {scope["extensions"]["tls"]["server_name"] for scope in spy.scopes} == {NAME}


@pytest.mark.parametrize("transport", CARRYING)
async def test_a_gate_may_listen_on_a_unix_socket(
    tmp_path: Path, ca: Path, transport: Carrying, caplog: pytest.LogCaptureFixture
) -> None:
    other = Authority("another authority").write(tmp_path, "other")
    spy = Spy()
    server = Server(spy, tls=None if transport == "http" else opened(tmp_path), shutdown_timeout=5)
    path = tmp_path / "gate.sock"
    with open_unix_listener(str(path), 0o600) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            client = tunnel_client(f"unix:{path}", authorities=ca, transport=transport, timeout=LIMIT)
            async with client:
                answer = await client.get(URL)
            if transport != "http":
                async with tunnel_client(
                    f"unix:{path}", authorities=other, transport=transport, timeout=LIMIT
                ) as stranger:
                    with pytest.raises(httpx2.ConnectError):
                        await stranger.get(URL)
        finally:
            server.should_exit = True
            await anyio.to_thread.run_sync(thread.join)

    assert answer.status_code == 200
    said = [each.getMessage() for each in caplog.records if each.levelname == "WARNING"]
    assert all(each.endswith(" (from a Unix socket)") for each in said)
    assert len(said) == (transport != "http")


async def test_a_client_may_be_closed_without_having_been_begun(ca: Path) -> None:
    client = tunnel_client("127.0.0.1:1", authorities=ca, transport="tunnel", timeout=LIMIT)
    await client.aclose()

    assert client.is_closed


async def test_what_is_no_address_or_no_file_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is not an address"):
        tunnel_client("nowhere", authorities=None, transport="tunnel", timeout=1)
    with pytest.raises(FileNotFoundError):
        tunnel_client("127.0.0.1:1", authorities=tmp_path / "missing", transport="tunnel", timeout=1)


def by_another_ca() -> Credential:
    return Authority("the authority").issue_for_server(NAME)


def for_another_name() -> Credential:
    return AUTHORITY.issue_for_server("wiki.tunnel.example.com")


def that_has_expired() -> Credential:
    return AUTHORITY.issue(NAME, usage=SERVER, hosts=(NAME,), valid_to=datetime.now(UTC) - DAY / 2)


def without_a_key_identifier() -> Credential:
    """Return a certificate without AuthorityKeyIdentifier, which OpenSSL takes unless it is strict."""
    good, key = AUTHORITY.issue_for_server(NAME), new_key()
    builder = (
        x509.CertificateBuilder()
        .subject_name(good.certificate.subject)
        .issuer_name(good.certificate.issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(good.certificate.not_valid_before_utc)
        .not_valid_after(good.certificate.not_valid_after_utc)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
    )
    certificate = builder.sign(AUTHORITY.credential.key, hashes.SHA256())
    return Credential(certificate.public_bytes(Encoding.DER), key)


@pytest.mark.parametrize("transport", ["tls", "tunnel"])
@pytest.mark.parametrize(
    ("credential_of", "why", "alert"),
    [
        pytest.param(
            by_another_ca,
            "unable to get local issuer certificate",
            "unknown certificate authority",
            id="by another CA",
        ),
        pytest.param(for_another_name, "Hostname mismatch", "bad certificate", id="for another name"),
        pytest.param(that_has_expired, "certificate has expired", "expired certificate", id="out of date"),
        pytest.param(
            without_a_key_identifier,
            "Missing Authority Key Identifier",
            "unknown certificate",
            id="without a key identifier",
        ),
    ],
)
async def test_a_certificate_that_breaks_a_rule_is_refused_and_both_sides_say_why(
    tmp_path: Path,
    ca: Path,
    caplog: pytest.LogCaptureFixture,
    transport: Carrying,
    credential_of: Callable[[], Credential],
    why: str,
    alert: str,
) -> None:
    with serve(Spy(), tls=opened(tmp_path, credential_of())) as port:
        client = tunnel_client(f"127.0.0.1:{port}", authorities=ca, transport=transport, timeout=LIMIT)
        async with client:
            with pytest.raises(httpx2.ConnectError) as failed:
                await client.get(URL)

    begin = "tls handshake failed: the certificate of the other side does not count: "
    assert str(failed.value).startswith(begin + why)
    said = [each.getMessage().partition(" (from ") for each in caplog.records if each.name == "tunnelgate"]
    assert [sentence for sentence, peer, _ in said if peer] == [
        f"tls handshake failed: remote error: tls: {alert}"
    ]


async def test_who_listens_in_the_clear_is_no_tunnels_end(ca: Path) -> None:
    with serve(Spy()) as port:
        client = tunnel_client(f"127.0.0.1:{port}", authorities=ca, transport="tunnel", timeout=LIMIT)
        async with client:
            with pytest.raises(httpx2.ConnectError, match=r"^websocket upgrade failed: it answered 200 "):
                await client.get(URL)


@pytest.mark.parametrize("transport", CARRYING)
async def test_an_address_where_nobody_listens_is_a_sentence(ca: Path, transport: Carrying) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    client = tunnel_client(f"127.0.0.1:{port}", authorities=ca, transport=transport, timeout=LIMIT)
    async with client:
        with pytest.raises(httpx2.ConnectError) as failed:
            await client.get(URL)

    assert str(failed.value) == f"nobody listens at 127.0.0.1:{port}: Connection refused"


@contextmanager
def doing(work: Callable[[socket.socket], None]) -> Generator[int]:
    """Let ``work`` have the one connection that comes to a port."""
    with socket.create_server(("127.0.0.1", 0)) as listener, ExitStack() as stack:

        def take() -> None:
            connection, _ = listener.accept()
            connection.settimeout(LIMIT)
            stack.enter_context(connection)
            work(connection)

        thread = threading.Thread(target=take)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(LIMIT)
        assert not thread.is_alive()


def silent(_: socket.socket) -> None:
    """Say nothing, and leave the connection open."""


def agree(connection: socket.socket) -> None:
    became = UpgradeReader().feed(connection.recv(65536))
    assert isinstance(became, Upgrade)
    connection.sendall(became.answer)


def agree_and_leave(connection: socket.socket) -> None:
    agree(connection)
    connection.recv(65536)
    connection.close()


def agree_and_send_text(connection: socket.socket) -> None:
    agree(connection)
    connection.sendall(b"\x81\x05hello")
    rest_of(connection)


@pytest.mark.parametrize(
    ("work", "error", "why"),
    [
        pytest.param(
            silent,
            httpx2.ConnectTimeout,
            "websocket upgrade failed: the gate did not answer in time",
            id="who says nothing",
        ),
        pytest.param(
            agree,
            httpx2.ConnectTimeout,
            "tls handshake failed: the gate did not answer in time",
            id="who begins a WebSocket and says nothing",
        ),
        pytest.param(
            agree_and_leave,
            httpx2.ConnectError,
            "tls handshake failed: the gate closed the connection",
            id="who begins a WebSocket and leaves",
        ),
        pytest.param(
            agree_and_send_text,
            httpx2.ConnectError,
            "websocket failed: a text frame came, and binary ones are expected",
            id="who sends text",
        ),
    ],
)
async def test_who_is_no_gate_is_a_sentence(
    ca: Path, work: Callable[[socket.socket], None], error: type[Exception], why: str
) -> None:
    with doing(work) as port:
        client = tunnel_client(f"127.0.0.1:{port}", authorities=ca, transport="tunnel", timeout=0.3)
        async with client:
            with pytest.raises(error) as failed:
                await client.get(URL)

    assert str(failed.value) == why


async def test_an_address_that_takes_no_connection_is_a_sentence(ca: Path) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener, ExitStack() as stack:
        port = listener.getsockname()[1]
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.settimeout(0)
            waiting.connect_ex(("127.0.0.1", port))
        client = tunnel_client(f"127.0.0.1:{port}", authorities=ca, transport="tunnel", timeout=0.3)
        async with client:
            with pytest.raises(httpx2.ConnectTimeout) as failed:
                await client.get(URL)

    assert str(failed.value) == f"127.0.0.1:{port} does not answer"


@asynccontextmanager
async def shaken(folder: Path, ca: Path) -> AsyncGenerator[tuple[socket.socket, Any]]:
    """Give the gate's end of a connection on which it has said hello, without its TLS, and the client's."""
    context = open_tls(TlsFiles(*AUTHORITY.issue_for_server(NAME).write(folder, "server")))
    ends: list[socket.socket] = []

    def take(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        ends.append(connection)
        connection.settimeout(LIMIT)
        agree(connection)
        stream = TlsInWebSocket(WebSocket("server"), TlsStream(context))
        stream.feed(connection.recv(65536))
        while not stream.shake_hands():
            connection.sendall(stream.take())
            stream.feed(connection.recv(65536))
        stream.write(b"hello")
        connection.sendall(stream.take())

    with socket.create_server(("127.0.0.1", 0)) as listener:
        backend = TunnelBackend(GateAddress("127.0.0.1", listener.getsockname()[1]), "tunnel")
        taking = asyncio.create_task(asyncio.to_thread(take, listener))
        begun = await backend.connect_tcp(NAME, 443, LIMIT)
        stream = await begun.start_tls(client_tls(ca), NAME, LIMIT)
        await taking
        said = b""
        while len(said) < len(b"hello"):
            said += await stream.read(2, LIMIT)
        assert said == b"hello"
        with ends[0]:
            yield ends[0], stream


async def test_a_connection_that_breaks_is_told_to_who_reads_and_to_who_writes(
    tmp_path: Path, ca: Path
) -> None:
    async with shaken(tmp_path, ca) as (gate, stream):
        gate.sendall(b"\x82\x25\x17\x03\x03\x00\x20" + bytes(32))
        with pytest.raises(httpcore2.ReadError, match=r"^tls failed: what came was changed on its way$"):
            await stream.read(100, LIMIT)
        with pytest.raises(httpcore2.WriteError, match=r"^tls failed: "):
            await stream.write(b"hello", LIMIT)
        await stream.aclose()


async def test_a_gate_that_leaves_without_a_goodbye_has_ended_what_it_said(tmp_path: Path, ca: Path) -> None:
    async with shaken(tmp_path, ca) as (gate, stream):
        gate.shutdown(socket.SHUT_WR)
        assert await stream.read(100, LIMIT) == b""
        await stream.aclose()


async def test_who_has_gone_away_hears_no_goodbye(tmp_path: Path, ca: Path) -> None:
    async with shaken(tmp_path, ca) as (gate, stream):
        gate.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        gate.close()
        with pytest.raises(httpcore2.ReadError):
            await stream.read(100, LIMIT)
        await stream.aclose()


class Breaking(Spy):
    """Begins an answer, and breaks."""

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await super().__call__(scope, receive, send)
            return
        headers = [(b"content-length", b"9")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        raise RuntimeError("the application breaks")


@pytest.mark.parametrize("transport", ["tls", "tunnel"])
async def test_a_gate_that_stops_in_the_middle_of_an_answer_is_told_as_httpx_tells_it(
    tmp_path: Path, ca: Path, transport: Carrying
) -> None:
    with serve(Breaking(), tls=opened(tmp_path)) as port:
        client = tunnel_client(f"127.0.0.1:{port}", authorities=ca, transport=transport, timeout=LIMIT)
        async with client:
            with pytest.raises(httpx2.RemoteProtocolError):
                await client.get(URL)
