"""A whole gate that is asked from different places, to see whom it takes the client for."""

import http.client
import socket
import threading
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.support.asgi import Reply
from tests.support.audit import Records
from tests.support.raw import (
    HOST,
    LEGACY_HEADERS,
    LIMIT,
    SAFE,
    McpApp,
    Outcome,
    Parser,
    Settling,
    call_of,
    chunked,
    request_of,
)
from tests.support.tokens import ISSUER, Token, jwks
from tunnelgate import Policy, Reason, StaticKeys, protect
from tunnelgate.asgi import ASGIApp
from tunnelgate_app.server import Loop, Server

Pairs = Sequence[tuple[str, str]]


def caller_token() -> str:
    """Return a token for :data:`~tests.support.raw.HOST`."""
    return Token(claims={"aud": f"https://{HOST}/mcp"}).mint()


@dataclass
class ClientGate:
    """A running gate that serves the safe tool to whoever it takes for a client that may connect."""

    app: McpApp
    records: Records
    settling: Settling
    token: str = field(default_factory=caller_token)

    def ask(self, connection: socket.socket, headers: Pairs = (), *, trailers: Pairs = ()) -> Outcome:
        """Call the safe tool over ``connection``, which ends with it, and return what came of it."""
        before = len(self.app.forwarded), len(self.app.executed), len(self.records.all)
        reply = call_safe_tool(connection, self.token, headers, trailers=trailers)
        self.settling.settle()
        return Outcome(
            [reply],
            self.app.forwarded[before[0] :],
            self.app.executed[before[1] :],
            self.records.all[before[2] :],
        )


def call_safe_tool(
    connection: socket.socket, token: str, headers: Pairs = (), *, trailers: Pairs = ()
) -> Reply:
    """Call the safe tool over ``connection``, which ends with it, and return the answer."""
    pairs = [*LEGACY_HEADERS, ("authorization", f"Bearer {token}"), *headers]
    body = call_of()
    if trailers:
        pairs.append(("transfer-encoding", "chunked"))
        lines = "".join(f"{name}: {value}\r\n" for name, value in trailers).encode()
        body = chunked(body).removesuffix(b"\r\n") + lines + b"\r\n"
    with closing(connection):
        connection.sendall(request_of(body, pairs))
        response = http.client.HTTPResponse(connection)
        response.begin()
        answered = [(name.lower(), value) for name, value in response.getheaders()]
        return Reply(response.status, answered, response.read())


def check_client(outcome: Outcome, status: int, reason: Reason | None, client: str | None) -> None:
    """Check what was answered, who was written down as the client, and that only what may has passed."""
    if reason is None:
        outcome.check_allowed()
    else:
        outcome.check_refused(status)
    assert outcome.statuses == [status]
    assert outcome.reasons == [reason]
    assert [record["client"] for record in outcome.records] == [client]


def connect(port: int, source: str = "127.0.0.1") -> socket.socket:
    """Return a connection to a port of loopback, from any of its addresses."""
    return socket.create_connection(("127.0.0.1", port), LIMIT, (source, 0))


def connect_unix(path: str) -> socket.socket:
    """Return a connection to a Unix socket."""
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(LIMIT)
    connection.connect(path)
    return connection


def settings_of(clients: Mapping[str, Any], **others: Any) -> dict[str, Any]:
    """Return a configuration with these settings of ``clients``."""
    return {
        "clients": clients,
        "oauth": {"issuers": [{"issuer": ISSUER, "jwks_file": "unused.json"}]},
        "routes": {HOST: {"tools": [SAFE]}},
        **others,
    }


@contextmanager
def open_client_gate(
    listener: socket.socket,
    clients: Mapping[str, Any],
    parser: Parser = "strict",
    *,
    app: McpApp | None = None,
    **others: Any,
) -> Generator[ClientGate]:
    """Serve a whole gate with these settings of ``clients``, on a socket that listens already."""
    app, records, keys = app or McpApp(), Records(), StaticKeys(jwks("ES256"))
    policy = Policy.from_mapping(settings_of(clients, **others))
    gate = Settling(protect(app, policy, audit=records, keys_of=lambda _: keys))
    with run(gate, listener, parser):
        yield ClientGate(app, records, gate)


@contextmanager
def run(
    app: ASGIApp, listener: socket.socket, parser: Parser = "strict", loop: Loop = "auto"
) -> Generator[None]:
    """Serve ``app`` in a thread, on a socket that listens already."""
    server = Server(app, parser=parser, loop=loop, shutdown_timeout=5)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(LIMIT)
        assert not thread.is_alive(), "the server did not stop"
