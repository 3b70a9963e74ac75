"""Bad input at the tunnel's end: each is one line of the log, and nobody else notices."""

import logging
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.support.asgi import Spy
from tests.support.certificates import DAY, SERVER, Authority, Credential, client_context
from tests.support.servers import serve
from tests.support.tunnels import (
    HOST,
    LIMIT,
    PING,
    TEXT,
    Tunnel,
    frame,
    get,
    rest_of,
    server_credential,
    tunnelled,
    upgrade_request,
    upgraded,
)
from tunnelgate import ConfigurationError
from tunnelgate_app.listening.tls_files import TlsFiles, open_tls
from tunnelgate_app.server import Loop

AUTHORITY = Authority("the authority")
OK = b"HTTP/1.1 200 OK\r\n"
LOOPS = [pytest.param("uvloop", id="uvloop"), pytest.param("asyncio", id="asyncio")]


@pytest.fixture(scope="module", params=LOOPS)
def listening(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Generator[int]:
    folder = tmp_path_factory.mktemp("listener")
    context = open_tls(TlsFiles(*server_credential(AUTHORITY).write(folder, "server")))
    with serve(Spy(), tls=context, loop=request.param) as port:
        yield port


@pytest.fixture
def other(listening: int) -> Generator[Tunnel]:
    """Give a connection that was there before, and check that it is afterwards."""
    with tunnelled(listening, AUTHORITY) as tunnel:
        assert tunnel.ask(get()).startswith(OK)
        yield tunnel
        assert tunnel.ask(get()).startswith(OK)


class Hearing(logging.Handler):
    """Keeps what is said at warning or above."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.sentences: list[str] = []
        self.was_said = threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        self.sentences.append(record.getMessage())
        self.was_said.set()


@contextmanager
def said(line: str) -> Generator[None]:
    """Check that this one line comes, and nothing else."""
    logger, hearing = logging.getLogger("tunnelgate"), Hearing()
    logger.addHandler(hearing)
    try:
        yield
        assert hearing.was_said.wait(LIMIT), f"nothing is said, and not {line!r}"
    finally:
        logger.removeHandler(hearing)
    (sentence,) = hearing.sentences
    begin, _, peer = sentence.partition(" (from ")
    assert begin.startswith(line)
    assert peer.startswith("127.0.0.1:")


def text_frames(port: int) -> None:
    with upgraded(port) as connection:
        connection.sendall(frame(b"hello", TEXT) * 100)
        rest_of(connection)


def text_frames_later(port: int) -> None:
    with tunnelled(port, AUTHORITY) as tunnel:
        tunnel.ask(get())
        tunnel.connection.sendall(frame(b"hello", TEXT) * 100)
        rest_of(tunnel.connection)


def garbage(port: int) -> None:
    with upgraded(port) as connection:
        connection.sendall(bytes(range(256)) * 100)
        rest_of(connection)


def garbage_in_frames(port: int) -> None:
    with upgraded(port) as connection:
        connection.sendall(frame(bytes(range(256))) * 100)
        rest_of(connection)


def an_unmasked_frame(port: int) -> None:
    with upgraded(port) as connection:
        connection.sendall(frame(b"hello", mask=b""))
        rest_of(connection)


def an_alert_later(port: int) -> None:
    with tunnelled(port, AUTHORITY) as tunnel:
        tunnel.connection.sendall(frame(b"\x15\x03\x03\x00\x02\x02\x30"))
        rest_of(tunnel.connection)


def a_plain_request(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=LIMIT) as connection:
        connection.sendall(get())
        assert rest_of(connection).startswith(b"HTTP/1.1 426 Upgrade Required\r\n")


def an_older_websocket(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=LIMIT) as connection:
        connection.sendall(upgrade_request().replace(b"Version: 13", b"Version: 8"))
        assert b"\r\nsec-websocket-version: 13\r\n" in rest_of(connection)


def an_unknown_ca(port: int) -> None:
    with upgraded(port) as connection, pytest.raises(ssl.SSLCertVerificationError):
        Tunnel(connection, client_context(Authority("another authority")))


def another_name(port: int) -> None:
    with upgraded(port) as connection, pytest.raises(ssl.SSLCertVerificationError):
        Tunnel(connection, client_context(AUTHORITY), "wiki.example.com")


@pytest.mark.parametrize(
    ("send", "line"),
    [
        pytest.param(text_frames, "websocket failed: a text frame came", id="text frames"),
        pytest.param(text_frames_later, "websocket failed: a text frame came", id="text frames later"),
        pytest.param(garbage, "websocket failed: what came is no WebSocket frame: ", id="garbage"),
        pytest.param(garbage_in_frames, "tls handshake failed: what came is not TLS", id="garbage in frames"),
        pytest.param(
            an_unmasked_frame, "websocket failed: what came is no WebSocket frame: ", id="an unmasked frame"
        ),
        pytest.param(an_alert_later, "tls failed: ", id="an alert that was not encrypted"),
        pytest.param(a_plain_request, "websocket upgrade failed: GET /mcp came", id="a plain request"),
        pytest.param(
            an_older_websocket,
            "websocket upgrade failed: what came is no WebSocket upgrade of version 13",
            id="an older WebSocket",
        ),
        pytest.param(
            an_unknown_ca,
            "tls handshake failed: remote error: tls: unknown certificate authority",
            id="a client that does not know the CA",
        ),
        pytest.param(
            another_name,
            "tls handshake failed: remote error: tls: bad certificate",
            id="a client that wants another name",
        ),
    ],
)
@pytest.mark.promise("inside-tls")
def test_bad_input_is_one_line_of_the_log_and_harms_nobody(
    listening: int,
    other: Tunnel,
    send: Callable[[int], None],
    line: str,
) -> None:
    with said(line):
        send(listening)


# Python says so of its own accord, where nobody can catch it.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_name_that_is_no_text_is_refused_and_harms_nobody(listening: int, other: Tunnel) -> None:
    arrived, leaving = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context(AUTHORITY).wrap_bio(arrived, leaving, server_hostname="docs.example.com")
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    hello = leaving.read().replace(b"docs.example.com", b"d\xf3cs.example.com")
    line = "tls handshake failed: the client asked for a name that is not ASCII"
    with said(line), upgraded(listening) as connection:
        connection.sendall(frame(hello))
        answer = rest_of(connection)

    assert b"\x15\x03\x03\x00\x02\x02" in answer  # a fatal alert


@pytest.mark.parametrize(
    "octets",
    [
        pytest.param(frame(b"x") * 10_000, id="of one octet"),
        pytest.param(frame(b"") * 10_000, id="of nothing"),
        pytest.param(frame(b"are you there", PING) * 10_000, id="that are pings"),
    ],
)
def test_ten_thousand_tiny_frames_do_not_keep_others_waiting(
    listening: int, other: Tunnel, octets: bytes
) -> None:
    waited: list[float] = []

    def flood() -> None:
        with tunnelled(listening, AUTHORITY) as tunnel:
            tunnel.connection.sendall(octets)
            tunnel.connection.shutdown(socket.SHUT_WR)
            rest_of(tunnel.connection)

    flooding = threading.Thread(target=flood)
    flooding.start()
    while flooding.is_alive() or not waited:
        began = time.monotonic()
        assert other.ask(get()).startswith(OK)
        waited.append(time.monotonic() - began)
    flooding.join(LIMIT)

    assert max(waited) < 1


def test_curl_finds_tls_where_it_is_taken_directly_and_is_told_otherwise(
    tmp_path: Path, listening: int
) -> None:
    curl = shutil.which("curl")
    if curl is None:
        pytest.skip("this machine has no curl")
    ca = AUTHORITY.write(tmp_path, "ca")
    context = open_tls(TlsFiles(*server_credential(AUTHORITY).write(tmp_path, "server")))

    def run(port: int) -> "subprocess.CompletedProcess[str]":
        url = f"https://{HOST}:{port}/mcp"
        resolve = f"{HOST}:{port}:127.0.0.1"
        command = [curl, "-sS", "--noproxy", "*", "--cacert", str(ca), "--resolve", resolve, url]
        return subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=False)

    taken = run(listening)
    with serve(Spy(), tls=context, transport="tunnel") as port:
        refused = run(port)

    assert taken.returncode == 0
    assert taken.stdout.startswith('{"jsonrpc"')
    assert refused.returncode == 35
    assert "wrong version number" in refused.stderr


def expired(authority: Authority) -> Credential:
    return authority.issue(HOST, usage=SERVER, hosts=(HOST,), valid_to=datetime.now(UTC) - DAY / 2)


@pytest.mark.parametrize("loop", LOOPS)
def test_a_gate_whose_certificate_is_out_of_date_says_so_and_how_each_client_took_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, loop: Loop
) -> None:
    context = open_tls(TlsFiles(*expired(AUTHORITY).write(tmp_path, "server")))
    assert "a certificate in it expired at" in caplog.text

    with (
        serve(Spy(), tls=context, loop=loop) as port,
        said("tls handshake failed: remote error: tls: expired certificate"),
        upgraded(port) as connection,
        pytest.raises(ssl.SSLCertVerificationError),
    ):
        Tunnel(connection, client_context(AUTHORITY))


def test_a_key_that_does_not_match_is_refused_before_anybody_comes(tmp_path: Path) -> None:
    cert_file, _ = server_credential(AUTHORITY).write(tmp_path, "server")
    _, key_file = server_credential(AUTHORITY).write(tmp_path, "another")

    with pytest.raises(ConfigurationError) as refused:
        open_tls(TlsFiles(cert_file, key_file))

    (fault,) = refused.value.faults
    assert fault.path == "tls.key_file"
    assert fault.sentence == f"is not the key of the first certificate in {cert_file}"
