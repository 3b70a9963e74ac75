"""nginx as the trusted proxy in front of the gate, over TCP and over a Unix socket."""

import asyncio
import http.client
import threading
from collections.abc import Generator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson
import pytest

from tests.network.nginx import run_nginx, server_block
from tests.support.client_gate import ClientGate, Pairs, check_client, connect, open_client_gate
from tests.support.processes import free_port
from tests.support.raw import (
    LEGACY_HEADERS,
    LIMIT,
    SAFE,
    McpApp,
    Outcome,
    call_of,
    request_of,
)
from tunnelgate import Reason
from tunnelgate.asgi import Receive, Scope, Send
from tunnelgate_app.listening.addresses import open_listener

XFF: Final = "x-forwarded-for"
FORWARDED: Final = "forwarded"
CF: Final = "cf-connecting-ip"
# nginx itself connects from the last one. The first one is the only client that may.
ALLOWED, OTHER, NGINX = "127.0.0.2", "127.0.0.3", "127.0.0.1"
TRUSTING_NGINX: Mapping[str, Any] = {"allowed_ips": [ALLOWED], "trusted_proxies": [NGINX]}
NO_CLIENT = (400, Reason.CLIENT_ADDRESS_UNREADABLE, None)


def set_header(name: str, value: str) -> str:
    return f'proxy_set_header {name} "{value}";'


APPEND = set_header("X-Forwarded-For", "$proxy_add_x_forwarded_for")


@dataclass
class Fronted:
    """A gate, its own port if it has one, and the ports of nginx that lead to it."""

    gate: ClientGate
    port: int | None
    ports: Mapping[str, int]

    def ask(self, through: str, headers: Pairs = (), *, source: str = ALLOWED) -> Outcome:
        """Ask through one of the servers of nginx."""
        return self.gate.ask(connect(self.ports[through], source), headers)

    def check(self, through: str, headers: Pairs = ()) -> None:
        """Check that through one of the servers of nginx each client is who it is."""
        check_client(self.ask(through, headers), 200, None, ALLOWED)
        check_client(self.ask(through, headers, source=OTHER), 403, Reason.CLIENT_NOT_ALLOWED, OTHER)


def open_fronted(
    stack: ExitStack,
    folder: Path,
    clients: Mapping[str, Any],
    servers: Mapping[str, tuple[str, ...]],
    *,
    app: McpApp | None = None,
) -> Fronted:
    """Start a gate with nginx in front of it, which has these servers, each with its own directives."""
    on_unix_socket = "trust_unix_socket" in clients
    address = f"unix:{folder}/gate.sock" if on_unix_socket else "127.0.0.1:0"
    listener = stack.enter_context(closing(open_listener(address)))
    port: int | None = None if on_unix_socket else listener.getsockname()[1]
    listen_addr = address if on_unix_socket else "127.0.0.1:8080"
    gate = stack.enter_context(open_client_gate(listener, clients, app=app, listen_addr=listen_addr))
    upstream = f"http://{address}" if port is None else f"http://127.0.0.1:{port}"
    ports = {name: free_port() for name in servers}
    stack.enter_context(
        run_nginx(folder, *(server_block(ports[name], upstream, *own) for name, own in servers.items()))
    )
    return Fronted(gate, port, ports)


@pytest.fixture(scope="module")
def appending(tmp_path_factory: pytest.TempPathFactory) -> Generator[Fronted]:
    """Give a gate that reads X-Forwarded-For, to which nginx appends."""
    servers = {
        "appending": (APPEND,),
        "appending, with underscores": (APPEND, "underscores_in_headers on;"),
        "silent": (set_header("X-Forwarded-For", ""),),
    }
    with ExitStack() as stack:
        clients = {**TRUSTING_NGINX, "address_from": XFF}
        yield open_fronted(stack, tmp_path_factory.mktemp("appending"), clients, servers)


@pytest.mark.parametrize(
    "forged",
    [
        pytest.param([], id="nothing"),
        pytest.param([(XFF, ALLOWED)], id="the address that may connect"),
        pytest.param([(XFF, f"{ALLOWED}, {NGINX}")], id="that address, and nginx behind it"),
        pytest.param([(XFF, ALLOWED), (XFF, ALLOWED)], id="that address in two lines"),
        pytest.param([(XFF, "unknown, <script>, ::1%lo")], id="what is no address"),
        pytest.param([(XFF, "")], id="an empty header"),
        pytest.param([(CF, ALLOWED), (FORWARDED, f"for={ALLOWED}")], id="other headers"),
        pytest.param([("keep-alive", XFF), ("te", XFF)], id="fields of one connection"),
        pytest.param([("x_forwarded_for", ALLOWED)], id="a lookalike, which nginx drops"),
    ],
)
def test_nothing_that_a_client_writes_to_nginx_changes_who_it_is(
    appending: Fronted, forged: list[tuple[str, str]]
) -> None:
    appending.check("appending", forged)


def test_the_record_names_nginx_as_the_peer_and_the_client_beside_it(appending: Fronted) -> None:
    (record,) = appending.ask("appending", [(XFF, "203.0.113.7")], source=OTHER).records

    assert (record["peer"], record["client"]) == (NGINX, OTHER)


def test_a_client_cannot_have_the_header_taken_off_as_one_of_a_single_connection(appending: Fronted) -> None:
    body = call_of()
    headers = [*LEGACY_HEADERS, ("authorization", f"Bearer {appending.gate.token}"), (XFF, ALLOWED)]
    request = request_of(body, [*headers, ("connection", f"close, {XFF}")], close=False)
    before = len(appending.gate.records.all)
    with closing(connect(appending.ports["appending"], OTHER)) as connection:
        connection.sendall(request)
        response = http.client.HTTPResponse(connection)
        response.begin()
        response.read()

    assert response.status == 403
    assert [each["client"] for each in appending.gate.records.all[before:]] == [OTHER]


def test_a_client_that_writes_more_hops_than_anybody_reads_refuses_itself(appending: Fronted) -> None:
    check_client(appending.ask("appending", [(XFF, ", ".join([ALLOWED] * 31))]), 200, None, ALLOWED)
    check_client(appending.ask("appending", [(XFF, ", ".join([ALLOWED] * 32))]), *NO_CLIENT)


def test_a_lookalike_that_nginx_is_told_to_let_through_is_refused(appending: Fronted) -> None:
    outcome = appending.ask("appending, with underscores", [("x_forwarded_for", ALLOWED)], source=OTHER)

    check_client(outcome, 400, Reason.HEADER_LOOKALIKE, None)


def test_a_proxy_that_says_nothing_is_no_client(appending: Fronted) -> None:
    check_client(appending.ask("silent", [(XFF, ALLOWED)]), *NO_CLIENT)


def test_past_nginx_nobody_is_believed(appending: Fronted) -> None:
    port = appending.port or 0

    for headers in ([], [(XFF, ALLOWED)], [(XFF, "x")]):
        outcome = appending.gate.ask(connect(port, OTHER), headers)
        check_client(outcome, 403, Reason.CLIENT_NOT_ALLOWED, OTHER)
    check_client(appending.gate.ask(connect(port, ALLOWED), [(XFF, "203.0.113.7")]), 200, None, ALLOWED)


def test_whoever_shares_the_address_of_nginx_is_believed_like_nginx(appending: Fronted) -> None:
    direct = appending.gate.ask(connect(appending.port or 0, NGINX), [(XFF, ALLOWED)])
    through = appending.ask("appending", [(XFF, ALLOWED)], source=NGINX)

    check_client(direct, 200, None, ALLOWED)
    check_client(through, 200, None, ALLOWED)


@pytest.mark.parametrize(
    "forged",
    [
        pytest.param([], id="nothing"),
        pytest.param([(CF, ALLOWED)], id="the address that may connect"),
        pytest.param([(CF, ALLOWED), (CF, ALLOWED)], id="that address twice"),
        pytest.param([(CF, "unknown")], id="what is no address"),
        pytest.param([(XFF, ALLOWED)], id="another header"),
    ],
)
def test_a_header_that_nginx_sets_anew_says_who_the_client_is(
    tmp_path: Path, forged: list[tuple[str, str]]
) -> None:
    setting = (set_header("CF-Connecting-IP", "$remote_addr"),)
    with ExitStack() as stack:
        clients = {**TRUSTING_NGINX, "address_from": CF}
        fronted = open_fronted(stack, tmp_path, clients, {"setting": setting})

        fronted.check("setting", forged)


@pytest.fixture(scope="module")
def forwarding(tmp_path_factory: pytest.TempPathFactory) -> Generator[Fronted]:
    """Give a gate that reads Forwarded, to which nginx appends without looking at what is there."""
    servers = {
        "appending": (set_header("Forwarded", "$http_forwarded, for=$remote_addr"),),
        "quoting": (
            set_header("Forwarded", r"$http_forwarded, for=\"$remote_addr:$remote_port\";proto=http"),
        ),
    }
    with ExitStack() as stack:
        clients = {**TRUSTING_NGINX, "address_from": FORWARDED}
        yield open_fronted(stack, tmp_path_factory.mktemp("forwarding"), clients, servers)


@pytest.mark.parametrize("through", ["appending", "quoting"])
@pytest.mark.parametrize(
    "forged",
    [
        pytest.param([], id="nothing"),
        pytest.param([(FORWARDED, f"for={ALLOWED}")], id="the address that may connect"),
        pytest.param([(FORWARDED, "for=unknown;by=_x, for=_y")], id="names that are no addresses"),
        pytest.param([(FORWARDED, f'for={ALLOWED};ext=", for="')], id="commas in quotes"),
        pytest.param([(XFF, ALLOWED), (CF, ALLOWED)], id="other headers"),
    ],
)
def test_nothing_that_a_client_writes_to_forwarded_changes_who_it_is(
    forwarding: Fronted, through: str, forged: list[tuple[str, str]]
) -> None:
    forwarding.check(through, forged)


@pytest.mark.parametrize("through", ["appending", "quoting"])
@pytest.mark.parametrize(
    "forged",
    [
        pytest.param(f'for={ALLOWED};ext="', id="a quote that is left open"),
        pytest.param(f'for={ALLOWED};ext="\\', id="an escape that is left open"),
        pytest.param(f'for="{ALLOWED}', id="an address in a quote that is left open"),
        pytest.param(f"for={ALLOWED};ext=", id="a value that is left out"),
    ],
)
def test_a_client_that_leaves_something_open_in_forwarded_refuses_itself(
    forwarding: Fronted, through: str, forged: str
) -> None:
    for source in (ALLOWED, OTHER):
        check_client(forwarding.ask(through, [(FORWARDED, forged)], source=source), *NO_CLIENT)


@pytest.fixture(scope="module")
def beside(tmp_path_factory: pytest.TempPathFactory) -> Generator[Fronted]:
    """Give a gate on a Unix socket, with nginx beside it."""
    servers = {
        "appending": (APPEND,),
        "silent": (set_header("X-Forwarded-For", ""),),
    }
    with ExitStack() as stack:
        clients = {"allowed_ips": [ALLOWED], "address_from": XFF, "trust_unix_socket": True}
        yield open_fronted(stack, tmp_path_factory.mktemp("beside"), clients, servers)


@pytest.mark.parametrize(
    "forged",
    [
        pytest.param([], id="nothing"),
        pytest.param([(XFF, ALLOWED)], id="the address that may connect"),
        pytest.param([(XFF, f"{ALLOWED}, {NGINX}")], id="that address, and nginx behind it"),
    ],
)
def test_over_a_unix_socket_each_client_is_who_it_is_as_well(
    beside: Fronted, forged: list[tuple[str, str]]
) -> None:
    beside.check("appending", forged)
    assert {record["peer"] for record in beside.gate.records.all} == {None}


def test_a_proxy_on_a_unix_socket_that_says_nothing_is_no_client(beside: Fronted) -> None:
    check_client(beside.ask("silent"), *NO_CLIENT)


def test_on_a_unix_socket_no_address_of_a_hop_is_trusted_because_of_that(beside: Fronted) -> None:
    outcome = beside.ask("appending", [(XFF, ALLOWED)], source=NGINX)

    check_client(outcome, 403, Reason.CLIENT_NOT_ALLOWED, NGINX)


class Stepping(McpApp):
    """A server whose stream goes on when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.may_go_on = threading.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await super().__call__(scope, receive, send)
        headers = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": event(PROGRESS), "more_body": True})
        went_on = await asyncio.to_thread(self.may_go_on.wait, LIMIT)
        body = event(RESULT) if went_on else b""
        return await send({"type": "http.response.body", "body": body})


PROGRESS = {
    "jsonrpc": "2.0",
    "method": "notifications/progress",
    "params": {"progressToken": 1, "progress": 1},
}
RESULT = {"jsonrpc": "2.0", "id": 1, "result": {"content": [{"type": "text", "text": "done"}]}}


def event(message: Any) -> bytes:
    return b"data: " + orjson.dumps(message) + b"\n\n"


@pytest.mark.parametrize(
    "clients",
    [
        pytest.param({**TRUSTING_NGINX, "address_from": XFF}, id="over TCP"),
        pytest.param(
            {"allowed_ips": [ALLOWED], "address_from": XFF, "trust_unix_socket": True},
            id="over a Unix socket",
        ),
    ],
)
def test_an_event_reaches_the_client_through_nginx_while_the_stream_goes_on(
    tmp_path: Path, clients: Mapping[str, Any]
) -> None:
    app = Stepping()
    params = {"name": SAFE, "arguments": {}, "_meta": {"progressToken": 1}}
    body = orjson.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params})
    with ExitStack() as stack:
        # What nginx does by itself is to collect an answer; it tells whether the gate has asked it not to.
        told = "add_header Seen-X-Accel-Buffering $upstream_http_x_accel_buffering;"
        servers = {"buffering": (APPEND, "proxy_buffering on;", told)}
        fronted = open_fronted(stack, tmp_path, clients, servers, app=app)
        connection = stack.enter_context(closing(connect(fronted.ports["buffering"], ALLOWED)))
        headers = [*LEGACY_HEADERS, ("authorization", f"Bearer {fronted.gate.token}")]
        connection.sendall(request_of(body, headers))
        response = stack.enter_context(http.client.HTTPResponse(connection))
        response.begin()

        first = response.readline()
        app.may_go_on.set()
        rest = response.read()

    assert response.getheader("content-type") == "text/event-stream"
    assert response.getheader("seen-x-accel-buffering") == "no"
    assert orjson.loads(first.removeprefix(b"data: ")) == PROGRESS
    assert orjson.loads(rest.strip().removeprefix(b"data: ")) == RESULT
