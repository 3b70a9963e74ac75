import socket
import ssl
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support.asgi import Spy
from tests.support.certificates import DAY, Authority, Credential, client_context
from tests.support.servers import serve
from tunnelgate.certificates import client_certificate, thumbprint_of
from tunnelgate.uvicorn_tls import tls_extension
from tunnelgate_app.listening.tls_files import TlsFiles, open_tls
from tunnelgate_app.server import Loop, Parser

LIMIT = 10  # seconds that anything here may take
END_OF_ANSWER = b"\r\n0\r\n\r\n"  # the spy's answer is chunked
VERSIONS = [
    pytest.param(ssl.TLSVersion.TLSv1_2, "ECDHE-ECDSA-AES256-GCM-SHA384", 0xC02C, id="TLS 1.2"),
    pytest.param(ssl.TLSVersion.TLSv1_3, "TLS_AES_256_GCM_SHA384", 0x1302, id="TLS 1.3"),
]


def get(path: str, *headers: str) -> bytes:
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: docs.example.com", *headers, "", ""]).encode()


def ask(connection: socket.socket, *requests: bytes) -> None:
    """Send requests in one piece, and read as many answers."""
    connection.sendall(b"".join(requests))
    answers = b""
    while answers.count(END_OF_ANSWER) < len(requests):
        chunk = connection.recv(65536)
        assert chunk, f"closed after {answers!r}"
        answers += chunk
    assert answers.count(b"HTTP/1.1 200 OK\r\n") == len(requests)


@dataclass(frozen=True)
class Listener:
    """A server that speaks TLS on a real port, and what reached the application behind it."""

    port: int
    spy: Spy
    authority: Authority
    folder: Path

    @contextmanager
    def connected(
        self,
        credential: Credential | None = None,
        version: ssl.TLSVersion | None = None,
        ciphers: str | None = None,
    ) -> Generator[ssl.SSLSocket]:
        context = client_context(self.authority, self.folder, credential, version)
        if ciphers is not None:
            context.set_ciphers(ciphers)
        with (
            socket.create_connection(("127.0.0.1", self.port), timeout=LIMIT) as plain,
            context.wrap_socket(plain, server_hostname="localhost") as connection,
        ):
            yield connection

    @property
    def tls(self) -> Mapping[str, Any]:
        """The extension in the one request that reached the application."""
        (scope,) = self.spy.scopes
        extension: Mapping[str, Any] = scope["extensions"]["tls"]
        return extension

    @property
    def seen(self) -> list[tuple[str, tuple[str, ...]]]:
        """Path and client's certificates of each request that reached the application."""
        return [(scope["path"], scope["extensions"]["tls"]["client_cert_chain"]) for scope in self.spy.scopes]


SERVERS = [
    pytest.param(("strict", "uvloop"), id="the strict protocol on uvloop"),
    pytest.param(("strict", "asyncio"), id="the strict protocol on asyncio"),
    pytest.param(("h11", "uvloop"), id="h11 on uvloop"),
    pytest.param(("h11", "asyncio"), id="h11 on asyncio"),
]


@pytest.fixture(scope="module", params=SERVERS)
def running_listener(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Generator[Listener]:
    parser: Parser
    loop: Loop
    parser, loop = request.param
    folder = tmp_path_factory.mktemp("tls")
    authority, spy = Authority("the authority"), Spy()
    cert_file, key_file = authority.issue_for_server("localhost").write(folder, "server")
    context = open_tls(TlsFiles(cert_file, key_file, authority.write(folder, "clients")))
    with serve(spy, parser, tls=context, loop=loop) as port:
        yield Listener(port, spy, authority, folder)


@pytest.fixture
def listener(running_listener: Listener) -> Listener:
    running_listener.spy.scopes.clear()
    return running_listener


@pytest.mark.parametrize(("version", "suite", "number"), VERSIONS)
def test_the_application_is_told_of_the_connection_and_of_the_client_s_certificate(
    listener: Listener, version: ssl.TLSVersion, suite: str, number: int
) -> None:
    agent = listener.authority.issue("agent")
    ciphers = suite if version is ssl.TLSVersion.TLSv1_2 else None

    with listener.connected(agent, version, ciphers) as connection:
        ask(connection, get("/mcp"))
        used = connection.cipher()

    assert used is not None
    assert used[0] == suite
    assert listener.tls == {
        "server_cert": None,
        "client_cert_chain": (agent.pem,),
        "client_cert_name": "CN=agent",
        "client_cert_error": None,
        "tls_version": version.value,
        "cipher_suite": number,
        "server_name": "localhost",
    }
    assert listener.spy.scopes[0]["scheme"] == "https"


def test_the_gate_finds_in_it_what_a_bound_token_names(listener: Listener) -> None:
    agent = listener.authority.issue("agent")
    with listener.connected(agent) as connection:
        ask(connection, get("/mcp"))

    (scope,) = listener.spy.scopes
    assert thumbprint_of(client_certificate(scope)) == agent.thumbprint


@pytest.mark.parametrize(("version", "suite", "number"), VERSIONS)
def test_a_client_without_a_certificate_is_told_apart(
    listener: Listener, version: ssl.TLSVersion, suite: str, number: int
) -> None:
    with listener.connected(version=version) as connection:
        ask(connection, get("/mcp"))

    assert (listener.tls["client_cert_chain"], listener.tls["client_cert_name"]) == ((), None)
    assert listener.tls["client_cert_error"] is None
    assert listener.tls["tls_version"] == version.value


def test_a_certificate_that_cannot_be_read_is_an_error_and_no_certificate(listener: Listener) -> None:
    with listener.connected(listener.authority.issue_unreadable()) as connection:
        ask(connection, get("/mcp"))

    assert (listener.tls["client_cert_chain"], listener.tls["client_cert_name"]) == ((), None)
    assert listener.tls["client_cert_error"].startswith("cannot be read: ")


def test_connections_that_take_turns_do_not_mix_their_certificates(listener: Listener) -> None:
    agent, other = listener.authority.issue("agent"), listener.authority.issue("other")
    with ExitStack() as stack:
        first, second, third = (
            stack.enter_context(listener.connected(each)) for each in (agent, other, None)
        )
        for turn in (1, 2, 3):
            ask(first, get(f"/agent/{turn}"))
            ask(second, get(f"/other/{turn}"))
            ask(third, get(f"/nobody/{turn}"))

    chains = {"agent": (agent.pem,), "other": (other.pem,), "nobody": ()}
    assert listener.seen == [
        (f"/{who}/{turn}", chains[who]) for turn in (1, 2, 3) for who in ("agent", "other", "nobody")
    ]


def test_each_of_several_pipelined_requests_has_the_extension(listener: Listener) -> None:
    agent = listener.authority.issue("agent")
    with listener.connected(agent) as connection:
        ask(connection, get("/first"), get("/second"), get("/third"))

    assert listener.seen == [(path, (agent.pem,)) for path in ("/first", "/second", "/third")]


def test_what_an_application_does_to_the_extension_changes_nothing_for_the_next_request(
    listener: Listener,
) -> None:
    agent = listener.authority.issue("agent")
    with listener.connected(agent) as connection:
        ask(connection, get("/first"))
        (scope,) = listener.spy.scopes
        before = dict(scope["extensions"]["tls"])
        scope["extensions"]["tls"].clear()
        scope["extensions"].clear()
        ask(connection, get("/second"))

    assert listener.spy.scopes[1]["extensions"]["tls"] == before


def test_of_a_client_s_chain_there_is_its_own_certificate_alone(listener: Listener) -> None:
    agent = Authority("a division", listener.authority).issue("agent")
    with listener.connected(agent) as connection:
        ask(connection, get("/mcp"))

    assert agent.chain_pem.count("BEGIN CERTIFICATE") == 2
    assert listener.tls["client_cert_chain"] == (agent.pem,)


FORGED = (
    "Client-Cert: :MIIB:",
    "X-Client-Cert: MIIB",
    "X-SSL-Client-Cert: MIIB",
    "X-Forwarded-Client-Cert: Hash=00",
    "X-Forwarded-Proto: https",
    "Extensions: tls",
)


@pytest.mark.parametrize("server", SERVERS)
def test_without_tls_there_is_no_extension_whatever_the_request_says(server: tuple[Parser, Loop]) -> None:
    spy = Spy()
    with (
        serve(spy, server[0], loop=server[1]) as port,
        socket.create_connection(("127.0.0.1", port), timeout=LIMIT) as connection,
    ):
        ask(connection, get("/mcp", *FORGED), get("/mcp?tls=1"))

    assert len(spy.scopes) == 2
    assert ["tls" in scope.get("extensions", {}) for scope in spy.scopes] == [False, False]
    assert [scope["scheme"] for scope in spy.scopes] == ["http", "http"]


def test_no_header_changes_what_is_said_of_a_client_without_a_certificate(listener: Listener) -> None:
    with listener.connected() as connection:
        ask(connection, get("/mcp", *FORGED))

    assert (listener.tls["client_cert_chain"], listener.tls["client_cert_name"]) == ((), None)


class Ends:
    """The two ends of a TLS connection in memory, whose handshake is complete."""

    def __init__(
        self, server: ssl.SSLContext, client: ssl.SSLContext, session: ssl.SSLSession | None = None
    ) -> None:
        to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.client = client.wrap_bio(to_client, to_server, server_hostname="localhost", session=session)
        self.server = server.wrap_bio(to_server, to_client, server_side=True)
        waiting = [self.client, self.server]
        while waiting:
            end = waiting.pop(0)
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                waiting.append(end)

    def close(self) -> ssl.SSLSession:
        """Close both ends in an orderly way, and return what the client may resume."""
        session = self.client.session
        for end in (self.client, self.server, self.client):
            try:
                end.unwrap()
            except ssl.SSLWantReadError:
                continue
        assert session is not None
        return session


@dataclass(frozen=True)
class Pair:
    """A server and a client with a certificate, and from when to when that is valid."""

    server: ssl.SSLContext
    client: ssl.SSLContext
    agent: Credential
    valid_from: datetime
    valid_to: datetime


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    authority = Authority("the authority")
    cert_file, key_file = authority.issue_for_server("localhost").write(tmp_path, "server")
    server = open_tls(TlsFiles(cert_file, key_file, authority.write(tmp_path, "clients")))
    now = datetime.now(UTC).replace(microsecond=0)
    agent = authority.issue("agent", valid_from=now - DAY, valid_to=now + DAY)
    client = client_context(authority, tmp_path, agent, ssl.TLSVersion.TLSv1_2)
    return Pair(server, client, agent, now - DAY, now + DAY)


SECOND = timedelta(seconds=1)


def test_a_certificate_counts_from_its_first_second_to_its_last(pair: Pair) -> None:
    connection = Ends(pair.server, pair.client).server

    for moment in (pair.valid_from, pair.valid_to):
        extension = tls_extension(connection, moment.timestamp())
        assert extension["client_cert_chain"] == (pair.agent.pem,)
        assert (extension["client_cert_name"], extension["client_cert_error"]) == ("CN=agent", None)


@pytest.mark.parametrize("is_early", [True, False], ids=["a second too early", "a second too late"])
@pytest.mark.parametrize("is_resumed", [False, True], ids=["after a whole handshake", "in a resumed session"])
def test_a_certificate_that_is_out_of_date_is_an_error_and_no_certificate(
    pair: Pair, *, is_early: bool, is_resumed: bool
) -> None:
    ends = Ends(pair.server, pair.client)
    if is_resumed:
        ends = Ends(pair.server, pair.client, ends.close())
    assert ends.server.session_reused is is_resumed
    moment = pair.valid_from - SECOND if is_early else pair.valid_to + SECOND

    extension = tls_extension(ends.server, moment.timestamp())

    assert (extension["client_cert_chain"], extension["client_cert_name"]) == ((), None)
    assert extension["client_cert_error"] == (
        f"is not valid before {pair.valid_from.isoformat()}"
        if is_early
        else f"is not valid after {pair.valid_to.isoformat()}"
    )


def test_a_resumed_session_has_the_certificate_that_it_began_with(pair: Pair) -> None:
    session = Ends(pair.server, pair.client).close()
    resumed = Ends(pair.server, pair.client, session).server

    assert resumed.session_reused
    assert tls_extension(resumed, pair.valid_to.timestamp())["client_cert_chain"] == (pair.agent.pem,)


def test_a_suite_that_the_server_no_longer_has_goes_without_a_number(pair: Pair) -> None:
    connection = Ends(pair.server, pair.client).server
    pair.server.set_ciphers("ECDHE-ECDSA-AES128-SHA256")

    assert tls_extension(connection, pair.valid_to.timestamp())["cipher_suite"] is None
