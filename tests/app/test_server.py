import asyncio
import logging
import re
import shutil
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from queue import SimpleQueue

import pytest

from tests.support.asgi import Spy
from tests.support.certificates import (
    DAY,
    SERVER,
    Authority,
    Credential,
    client_context,
)
from tests.support.servers import NEEDS_IPV6, serve
from tunnelgate import ConfigurationError, uvicorn_http
from tunnelgate.asgi import Receive, Scope, Send
from tunnelgate_app.listening.addresses import open_listener
from tunnelgate_app.listening.contexts import ListenerTls
from tunnelgate_app.listening.tls_files import TlsFiles, open_tls
from tunnelgate_app.server import Loop, Parser, Server, Transport, run

LIMIT = 10  # seconds that anything here may take


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with closing(open_listener("127.0.0.1:0")) as listener:
        yield listener


@pytest.mark.parametrize("has_tls", [False, True], ids=["without TLS", "with TLS"])
@pytest.mark.parametrize("parser", ["strict", "h11"])
def test_an_application_that_does_not_start_is_not_served(
    listener: socket.socket,
    parser: Parser,
    site: "Site",
    caplog: pytest.LogCaptureFixture,
    *,
    has_tls: bool,
) -> None:
    async def broken(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})

    caplog.set_level(logging.INFO, "tunnelgate")
    assert (
        run(broken, listener, parser=parser, tls=ListenerTls(open_tls(site.files)) if has_tls else None)
        is False
    )
    assert messages(caplog) == []


@pytest.mark.parametrize(
    ("transport", "has_tls", "sentence"),
    [
        pytest.param("tls", False, "the transport 'tls' needs TLS", id="TLS without any"),
        pytest.param("tunnel", False, "the transport 'tunnel' needs TLS", id="a tunnel without TLS"),
        pytest.param("http", True, "the transport 'http' has no use for TLS", id="HTTP with TLS"),
    ],
)
def test_a_transport_that_does_not_fit_is_refused_at_construction(
    site: "Site", transport: Transport, sentence: str, *, has_tls: bool
) -> None:
    tls = ListenerTls(open_tls(site.files)) if has_tls else None

    with pytest.raises(ValueError, match=f"^{sentence}$"):
        Server(Spy(), tls=tls, transport=transport)


@pytest.mark.parametrize(
    ("transport", "has_tls", "spoken"),
    [
        pytest.param("http", False, "HTTP in the clear", id="HTTP"),
        pytest.param("tls", True, "TLS", id="TLS"),
        pytest.param("tunnel", True, "TLS in a WebSocket", id="a tunnel"),
    ],
)
def test_the_log_says_which_transport_is_spoken(
    listener: socket.socket,
    site: "Site",
    caplog: pytest.LogCaptureFixture,
    transport: Transport,
    spoken: str,
    *,
    has_tls: bool,
) -> None:
    caplog.set_level(logging.INFO, "tunnelgate")
    tls = ListenerTls(open_tls(site.files)) if has_tls else None
    Brief(Spy(), tls=tls, transport=transport).run(sockets=[listener])

    said, *_ = messages(caplog)
    assert said.endswith(f", {spoken}")


def stopped_by(*signals: signal.Signals) -> tuple[list[str], list[int]]:
    """Run a server whose application sends these signals to its own process when it has started.

    Return what the application was told afterwards, and the codes that the process would have ended
    with, of which the last is that of a process which is still there when its time is over.
    """
    seen: list[str] = []
    codes = SimpleQueue[int]()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        for each in signals:
            signal.raise_signal(each)
        seen.append((await receive())["type"])
        await send({"type": "lifespan.shutdown.complete"})

    with open_listener("127.0.0.1:0") as listener:
        server = Server(app, shutdown_timeout=0, leave=codes.put)
        server.run([listener])
    assert server.started
    return seen, [codes.get(timeout=LIMIT) for _ in signals]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_a_server_runs_until_it_is_told_to_stop(number: signal.Signals) -> None:
    before = signal.getsignal(number)

    assert stopped_by(number) == (["lifespan.shutdown"], [0])

    assert signal.getsignal(number) is before


def test_a_server_that_is_told_to_stop_a_second_time_leaves_with_that_signal() -> None:
    told = stopped_by(signal.SIGTERM, signal.SIGINT)

    assert told == (["lifespan.shutdown"], [128 + signal.SIGINT, 0])


class Brief(Server):
    """A server that stops when it has started."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        asyncio.get_running_loop().call_soon(self._stop)

    def _stop(self) -> None:
        self.should_exit = True


@pytest.mark.parametrize(
    ("listen_addr", "address"),
    [
        pytest.param("127.0.0.1:0", "127.0.0.1", id="IPv4"),
        pytest.param("[::1]:0", "[::1]", id="IPv6", marks=NEEDS_IPV6),
    ],
)
@pytest.mark.parametrize("has_tls", [False, True], ids=["without TLS", "with TLS"])
def test_the_log_says_where_a_server_listens_and_whether_it_speaks_tls(
    listen_addr: str, address: str, site: "Site", caplog: pytest.LogCaptureFixture, *, has_tls: bool
) -> None:
    caplog.set_level(logging.INFO, "tunnelgate")
    with closing(open_listener(listen_addr)) as listener:
        port = listener.getsockname()[1]
        Brief(Spy(), tls=ListenerTls(open_tls(site.files)) if has_tls else None).run(sockets=[listener])

    spoken = "TLS, directly or in a WebSocket" if has_tls else "HTTP in the clear"
    said, *_ = messages(caplog)
    assert said == f"listening on {address}:{port}, {spoken}"


def test_the_port_is_free_again_when_the_server_has_stopped(listener: socket.socket) -> None:
    port = listener.getsockname()[1]

    async def broken(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": ""})

    run(broken, listener)

    listener.close()
    with open_listener(f"127.0.0.1:{port}") as again:
        assert again.getsockname()[1] == port


@dataclass(frozen=True)
class Site:
    """What the operator of a gate has: a CA, its certificate for the gate, and a CA for clients."""

    folder: Path
    authority: Authority
    files: TlsFiles

    @property
    def with_clients(self) -> TlsFiles:
        file = self.authority.write(self.folder, "clients")
        return TlsFiles(self.files.cert_file, self.files.key_file, file)

    def client(
        self, credential: Credential | None = None, version: ssl.TLSVersion | None = None
    ) -> ssl.SSLContext:
        return client_context(self.authority, self.folder, credential, version)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    authority = Authority("the authority")
    return Site(
        tmp_path, authority, TlsFiles(*authority.issue_for_server("localhost").write(tmp_path, "server"))
    )


def faults_of(files: TlsFiles) -> list[tuple[str, str]]:
    """Return the path and the sentence of each fault that is found, after checking the values."""
    with pytest.raises(ConfigurationError) as refused:
        open_tls(files)
    for fault in refused.value.faults:
        assert fault.value == repr(str(getattr(files, fault.path.removeprefix("tls."))))
    return [(fault.path, fault.sentence) for fault in refused.value.faults]


def written(folder: Path, text: str) -> Path:
    file = folder / "written.pem"
    file.write_text(text)
    return file


NOT_THERE = "cannot be read: No such file or directory"


def test_every_fault_is_named_at_once(site: Site) -> None:
    missing = site.folder / "missing.pem"

    assert faults_of(TlsFiles(missing, missing, missing)) == [
        ("tls.cert_file", NOT_THERE),
        ("tls.key_file", NOT_THERE),
        ("tls.client_ca_file", NOT_THERE),
    ]


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "tunnelgate"]


@pytest.mark.parametrize(
    ("days", "found"),
    [
        pytest.param(0, [], id="in time"),
        pytest.param(-2, ["tls.cert_file begins", "tls.client_ca_file begins"], id="too early"),
        pytest.param(2, ["tls.cert_file expired", "tls.client_ca_file expired"], id="too late"),
    ],
)
def test_a_certificate_out_of_date_is_logged_and_used(
    site: Site, caplog: pytest.LogCaptureFixture, days: int, found: list[str]
) -> None:
    files = site.with_clients

    with caplog.at_level(logging.WARNING, "tunnelgate"):
        open_tls(files, clock=lambda: time.time() + days * DAY.total_seconds())

    said = [
        re.match(r"(\S+) = '(.+)': a certificate in it (\S+) .*at \d{4}-\S+$", each)
        for each in messages(caplog)
    ]
    assert [f"{each[1]} {each[3]}" for each in said if each] == found
    assert [each[2] for each in said if each] == [str(files.cert_file), str(files.client_ca_file)][
        : len(found)
    ]


def exchange(port: int, context: ssl.SSLContext, path: str = "/mcp") -> bytes:
    """Ask for ``path`` on a new connection with TLS, and return all that comes back."""
    request = f"GET {path} HTTP/1.1\r\nHost: docs.example.com\r\nConnection: close\r\n\r\n".encode()
    with connect(port, context) as connection:
        connection.sendall(request)
        return rest_of(connection)


@contextmanager
def connect(
    port: int, context: ssl.SSLContext, session: ssl.SSLSession | None = None
) -> Generator[ssl.SSLSocket]:
    with (
        socket.create_connection(("127.0.0.1", port), timeout=LIMIT) as plain,
        context.wrap_socket(plain, server_hostname="localhost", session=session) as connection,
    ):
        yield connection


def rest_of(connection: socket.socket) -> bytes:
    answer = b""
    while chunk := connection.recv(65536):
        answer += chunk
    return answer


OK = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    "version",
    [
        pytest.param(ssl.TLSVersion.TLSv1_2, id="TLS 1.2"),
        pytest.param(ssl.TLSVersion.TLSv1_3, id="TLS 1.3"),
    ],
)
def test_what_is_spoken_is_http_1_1_without_compression(site: Site, version: ssl.TLSVersion) -> None:
    context = site.client(version=version)
    context.set_alpn_protocols(["h2", "http/1.1"])

    with serve(Spy(), tls=open_tls(site.files)) as port, connect(port, context) as connection:
        assert connection.version() == version.name.replace("_", ".")
        assert connection.selected_alpn_protocol() == "http/1.1"
        assert connection.compression() is None


def test_an_older_version_than_tls_1_2_is_not_spoken(site: Site) -> None:
    done = openssl(site, "-tls1_1", "-cipher", "ALL:@SECLEVEL=0")

    assert "New, (NONE), Cipher is (NONE)" in done


def test_a_client_cannot_make_the_server_shake_hands_again(site: Site) -> None:
    done = openssl(site, "-tls1_2", typed="R\n")

    assert "RENEGOTIATING" in done
    assert "no renegotiation" in done
    assert open_tls(site.files).options & ssl.OP_NO_RENEGOTIATION  # for an OpenSSL that allows it by itself


def openssl(site: Site, *options: str, typed: str = "") -> str:
    """Return what OpenSSL's own client prints."""
    command = shutil.which("openssl")
    if command is None:
        pytest.skip("this machine has no openssl")
    with serve(Spy(), tls=open_tls(site.files)) as port:
        done = subprocess.run(
            [command, "s_client", "-connect", f"127.0.0.1:{port}", *options],
            input=typed,
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=False,
        )
    return done.stdout + done.stderr


SERVERS = [
    pytest.param("strict", "uvloop", id="the strict protocol on uvloop"),
    pytest.param("h11", "asyncio", id="h11 on asyncio"),
]
VERSIONS = [
    pytest.param(ssl.TLSVersion.TLSv1_2, id="TLS 1.2"),
    pytest.param(ssl.TLSVersion.TLSv1_3, id="TLS 1.3"),
]


def refused_handshake(port: int, context: ssl.SSLContext) -> bool:
    """Return whether the server ends the connection before it answers anything.

    A client of TLS 1.3 believes its handshake complete before the server has seen its certificate,
    and meets the end of the connection where it expects an answer.
    """
    try:
        return exchange(port, context) == b""
    except (ssl.SSLError, ConnectionError):  # an alert of the server, or the end of the connection
        return True


def by_another_ca(authority: Authority) -> Credential:
    return Authority("the authority").issue("agent")


def for_servers_only(authority: Authority) -> Credential:
    return authority.issue("agent", usage=SERVER)


def that_has_expired(authority: Authority) -> Credential:
    return authority.issue("agent", valid_to=datetime.now(UTC) - DAY / 2)


def that_has_not_begun(authority: Authority) -> Credential:
    return authority.issue("agent", valid_from=datetime.now(UTC) + DAY / 2)


def that_another_client_issued(authority: Authority) -> Credential:
    return Authority("agent", authority, is_authority=False).issue("another agent")


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(("parser", "loop"), SERVERS)
@pytest.mark.parametrize(
    "credential_of",
    [
        pytest.param(by_another_ca, id="by another CA of that name"),
        pytest.param(for_servers_only, id="for servers only"),
        pytest.param(that_has_expired, id="that has expired"),
        pytest.param(that_has_not_begun, id="that has not begun"),
        pytest.param(that_another_client_issued, id="that another client issued"),
    ],
)
def test_a_client_with_a_certificate_that_does_not_count_gets_no_connection(
    site: Site,
    credential_of: Callable[[Authority], Credential],
    parser: Parser,
    loop: Loop,
    version: ssl.TLSVersion,
) -> None:
    spy = Spy()
    with serve(spy, parser, tls=open_tls(site.with_clients), loop=loop) as port:
        assert refused_handshake(port, site.client(credential_of(site.authority), version))
        assert spy.scopes == []

        good = exchange(port, site.client(site.authority.issue("agent"), version))
        assert good.startswith(OK)
    assert len(spy.scopes) == 1


@pytest.mark.parametrize("version", VERSIONS)
def test_a_ca_is_trusted_without_the_ca_above_it_and_no_other_below_that(
    site: Site, version: ssl.TLSVersion
) -> None:
    trusted, other = (Authority(name, site.authority) for name in ("a division", "another division"))
    files = TlsFiles(site.files.cert_file, site.files.key_file, trusted.write(site.folder, "division"))

    with serve(Spy(), tls=open_tls(files)) as port:
        assert exchange(port, site.client(trusted.issue("agent"), version)).startswith(OK)
        assert refused_handshake(port, site.client(other.issue("agent"), version))
        assert refused_handshake(port, site.client(site.authority.issue("agent"), version))


def test_each_of_several_cas_in_the_file_is_trusted(site: Site) -> None:
    second = Authority("the second authority")
    file = written(site.folder, site.authority.pem + second.pem)

    with serve(Spy(), tls=open_tls(TlsFiles(site.files.cert_file, site.files.key_file, file))) as port:
        for authority in (site.authority, second):
            assert exchange(port, site.client(authority.issue("agent"))).startswith(OK)


@pytest.mark.parametrize("version", VERSIONS)
def test_without_a_client_ca_no_client_is_asked_for_a_certificate(
    site: Site, version: ssl.TLSVersion
) -> None:
    spy = Spy()
    agent = Authority("another authority").issue("agent")
    with serve(spy, tls=open_tls(site.files)) as port:
        assert exchange(port, site.client(agent, version)).startswith(OK)

    assert spy.scopes[0]["extensions"]["tls"]["client_cert_chain"] == ()


def has_ticket(site: Site, files: TlsFiles, version: ssl.TLSVersion) -> bool:
    """Return whether a client with a certificate gets a ticket, and check that it can go on with that."""
    context = site.client(site.authority.issue("agent"), version)
    with serve(Spy(), tls=open_tls(files)) as port:
        with connect(port, context) as first:
            first.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            rest_of(first)
            session = first.session
        if session is None or not session.has_ticket:
            return False
        with connect(port, context, session) as second:
            return bool(second.session_reused)


@pytest.mark.parametrize("version", VERSIONS)
def test_where_clients_have_certificates_they_get_no_ticket(site: Site, version: ssl.TLSVersion) -> None:
    """A resumed session would not show that the certificate is still valid."""
    assert not has_ticket(site, site.with_clients, version)


@pytest.mark.parametrize("version", VERSIONS)
def test_where_clients_have_no_certificates_they_get_a_ticket_and_resume(
    site: Site, version: ssl.TLSVersion
) -> None:
    assert has_ticket(site, site.files, version)


@pytest.mark.parametrize(("parser", "loop"), SERVERS)
@pytest.mark.parametrize(
    "octets",
    [
        pytest.param(b"GET /mcp HTTP/1.1\r\nHost: docs.example.com\r\n\r\n", id="HTTP"),
        pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", id="HTTP 2"),
        pytest.param(b"SSH-2.0-OpenSSH_9.2\r\n", id="SSH"),
        pytest.param(b"\x00" * 64, id="zeros"),
        pytest.param(b"\x16\x03\x01\xff\xff" + b"\x01" * 64, id="a record that is too long"),
    ],
)
def test_what_is_not_tls_is_closed_with_an_alert_at_most_and_disturbs_nobody(
    site: Site, parser: Parser, loop: Loop, octets: bytes
) -> None:
    spy = Spy()
    context = site.client()
    with (
        serve(spy, parser, tls=open_tls(site.files), transport="tls", loop=loop) as port,
        connect(port, context) as other,
    ):
        other.sendall(b"GET /before HTTP/1.1\r\nHost: docs.example.com\r\n\r\n")
        assert other.recv(65536).startswith(OK)
        with socket.create_connection(("127.0.0.1", port), timeout=LIMIT) as connection:
            connection.sendall(octets)
            assert _answer_before_the_end(connection)[:2] in {b"", b"\x15\x03"}
        other.sendall(b"GET /after HTTP/1.1\r\nHost: docs.example.com\r\nConnection: close\r\n\r\n")
        assert OK in rest_of(other)

    assert [scope["path"] for scope in spy.scopes] == ["/before", "/after"]


def _answer_before_the_end(connection: socket.socket) -> bytes:
    answer = b""
    try:
        while chunk := connection.recv(65536):
            answer += chunk
    except ConnectionResetError:
        pass
    return answer


HANDSHAKE = 1.0  # seconds that the servers of these tests give it


@pytest.mark.parametrize(("parser", "loop"), SERVERS)
def test_a_handshake_that_comes_octet_by_octet_ends_at_the_bound(
    site: Site, parser: Parser, loop: Loop
) -> None:
    hello = bytes.fromhex("16030102000100") + b"\x01" * 512
    with (
        serve(Spy(), parser, tls=open_tls(site.files), loop=loop, handshake_timeout=HANDSHAKE) as port,
        socket.create_connection(("127.0.0.1", port), timeout=HANDSHAKE / 50) as connection,
    ):
        began = time.monotonic()
        is_open = True
        for octet in hello:
            try:
                connection.sendall(bytes([octet]))
                is_open = connection.recv(1) != b""
            except TimeoutError:
                continue
            except ConnectionError:
                is_open = False
            if not is_open:
                break
        lasted = time.monotonic() - began

    assert not is_open
    assert HANDSHAKE * 0.9 < lasted < HANDSHAKE + LIMIT / 2


@pytest.mark.parametrize(("parser", "loop"), SERVERS)
@pytest.mark.promise("bounded")
def test_a_hundred_connections_that_never_speak_are_dropped_and_others_are_served(
    site: Site, parser: Parser, loop: Loop
) -> None:
    context = site.client()
    with (
        serve(Spy(), parser, tls=open_tls(site.files), loop=loop, handshake_timeout=HANDSHAKE) as port,
        ExitStack() as stack,
    ):
        silent = [
            stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=LIMIT))
            for _ in range(100)
        ]
        assert exchange(port, context).startswith(OK)
        assert [_answer_before_the_end(each) for each in silent] == [b""] * 100
        assert exchange(port, context).startswith(OK)


@pytest.mark.parametrize(("parser", "loop"), SERVERS)
@pytest.mark.promise("bounded")
def test_a_client_that_shakes_hands_and_then_says_nothing_is_dropped(
    site: Site, parser: Parser, loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uvicorn_http, "HEAD_SECONDS", HANDSHAKE / 4)

    with (
        serve(Spy(), parser, tls=open_tls(site.files), loop=loop) as port,
        connect(port, site.client()) as connection,
    ):
        assert rest_of(connection) == b""


@pytest.mark.parametrize(("parser", "loop"), SERVERS)
@pytest.mark.promise("one-reading")
def test_what_a_client_sends_after_the_end_of_its_connection_reaches_nothing(
    site: Site, parser: Parser, loop: Loop
) -> None:
    spy = Spy()
    with (
        serve(spy, parser, tls=open_tls(site.files), loop=loop) as port,
        connect(port, site.client()) as connection,
    ):
        connection.sendall(b"GET /mcp HTTP/1.1\r\nHost: docs.example.com\r\nX-Padding: ")
        connection.sendall(b"x" * 128 * 1024)
        answer = rest_of(connection)
        with suppress(OSError):  # which is how it may be told that nobody listens any more
            connection.sendall(b"\r\n\r\nGET /mcp HTTP/1.1\r\nHost: docs.example.com\r\n\r\n")
            connection.unwrap()

    assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 431 "))
    assert spy.scopes == []
