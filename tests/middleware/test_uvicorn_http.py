import asyncio
import contextlib
import gc
import http.client
import socket
import ssl
import threading
import weakref
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from tests.support.asgi import Spy
from tests.support.audit import Records
from tests.support.certificates import Authority, client_context
from tests.support.mcp import modern
from tests.support.servers import serve
from tests.support.tokens import ISSUER, Token, jwks
from tunnelgate import Clients, Issuer, OAuth, Policy, Route, StaticKeys, protect, uvicorn_http
from tunnelgate.asgi import ASGIApp, Scope
from tunnelgate.uvicorn_http import (
    MAX_AHEAD,
    MAX_HEAD,
    MAX_REQUESTS_AHEAD,
    StrictHttpToolsProtocol,
    TimedH11Protocol,
)
from tunnelgate_app.listening.tls_files import TlsFiles, open_tls
from tunnelgate_app.server import Loop, Parser

LIMIT = 10  # seconds that anything here may take
HOST = b"Host: docs.example.com\r\n"
CLOSE = b"Connection: close\r\n"
BAD_REQUEST = (
    b"HTTP/1.1 400 Bad Request\r\n"
    b"content-type: application/json\r\n"
    b"content-length: 23\r\n"
    b"connection: close\r\n"
    b"\r\n"
    b'{"error":"bad_request"}'
)
TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    b"content-type: application/json\r\n"
    b"content-length: 29\r\n"
    b"connection: close\r\n"
    b"\r\n"
    b'{"error":"headers_too_large"}'
)


class Connection:
    """A connection to a protocol of uvicorn, over a real pair of sockets.

    What is fed arrives in exactly the pieces in which it was fed, which no network promises.
    """

    def __init__(
        self, protocol: HttpToolsProtocol | H11Protocol, client: socket.socket, lost: asyncio.Event
    ) -> None:
        self._protocol = protocol
        self._client = client
        self._lost = lost
        self._unread = b""

    def feed(self, *pieces: bytes) -> None:
        for piece in filter(None, pieces):  # no loop hands over nothing
            if self.is_closing:
                return
            self._protocol.data_received(piece)

    async def send(self, octets: bytes) -> None:
        """Send ``octets`` over the sockets, which the protocol reads when it reads."""
        await asyncio.wait_for(asyncio.get_running_loop().sock_sendall(self._client, octets), LIMIT)

    def shut_down(self) -> None:
        """Do what a server does with its connections when it is told to stop."""
        self._protocol.shutdown()

    @property
    def waiting(self) -> int:
        """How many requests wait until others are answered."""
        assert isinstance(self._protocol, HttpToolsProtocol)
        return len(self._protocol.pipeline)

    def trace(self) -> weakref.ref[Any]:
        """Return what tells whether something still holds the protocol."""
        return weakref.ref(self._protocol)

    def go_away(self) -> None:
        self._client.close()

    @property
    def is_closing(self) -> bool:
        return self._protocol.transport.is_closing()

    async def is_lost(self, seconds: float = LIMIT) -> bool:
        """Return whether the connection ends for the protocol in this time, with nothing being taken."""
        try:
            await asyncio.wait_for(self._lost.wait(), seconds)
        except TimeoutError:
            return False
        return True

    async def take(self, octets: int) -> None:
        """Take some of what was answered, at most so much."""
        chunk = await self._receive(octets)
        assert chunk, f"closed after {self._unread[-200:]!r}"
        self._unread += chunk

    async def answer_up_to(self, end: bytes) -> bytes:
        """Return what was answered up to and with ``end``."""
        while end not in self._unread:
            await self.take(65536)
        head, _, self._unread = self._unread.partition(end)
        return head + end

    async def rest(self) -> bytes:
        """Return what is answered until the connection is closed."""
        while chunk := await self._receive(65536):
            self._unread += chunk
        return self._unread

    async def _receive(self, octets: int) -> bytes:
        receive = asyncio.get_running_loop().sock_recv(self._client, octets)
        return await asyncio.wait_for(receive, LIMIT)


class Connections(set[Any]):
    """The connections of a server, which say when one of them is no more."""

    def __init__(self) -> None:
        super().__init__()
        self.lost = asyncio.Event()

    def discard(self, element: Any) -> None:
        super().discard(element)
        self.lost.set()


@asynccontextmanager
async def connected(
    app: Any,
    protocol_class: type[HttpToolsProtocol | H11Protocol] = StrictHttpToolsProtocol,
    *,
    send_buffer: int | None = None,
    keep_alive: int = 5,
) -> AsyncGenerator[Connection]:
    config = uvicorn.Config(
        app,
        http=protocol_class,
        ws="none",
        lifespan="off",
        log_config=None,
        timeout_keep_alive=keep_alive,
    )
    config.load()
    connections = Connections()
    state = ServerState()
    state.connections = connections
    loop = asyncio.get_running_loop()
    client, server = socket.socketpair()
    if send_buffer is not None:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
    client.setblocking(False)  # noqa: FBT003 - the standard library's signature
    transport, protocol = await loop.connect_accepted_socket(
        lambda: protocol_class(config, state, {}, loop), server
    )
    try:
        yield Connection(protocol, client, connections.lost)
    finally:
        transport.close()
        client.close()
        for task in list(state.tasks):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


def get(path: bytes, *headers: bytes) -> bytes:
    return b"GET " + path + b" HTTP/1.1\r\n" + HOST + b"".join(headers) + b"\r\n"


END_OF_ANSWER = b"\r\n0\r\n\r\n"  # the spy's answer is chunked


@pytest.mark.parametrize(
    ("target", "raw_path"),
    [
        pytest.param(b"/mcp", b"/mcp", id="a path"),
        pytest.param(b"/mcp?x=/y", b"/mcp", id="a path and a query"),
        pytest.param(b"/m%63p", b"/m%63p", id="an encoded path"),
        pytest.param(b"//evil.example/mcp", b"//evil.example/mcp", id="a path that looks like an authority"),
        pytest.param(b"http://evil.example/mcp", b"http://evil.example/mcp", id="absolute form"),
        pytest.param(b"http://evil.example", b"http://evil.example", id="absolute form without a path"),
        pytest.param(b"http://1_(/", b"http://1_(/", id="absolute form that is no URL"),
        pytest.param(b"*", b"*", id="asterisk form"),
        pytest.param(b"/mcp#x", b"/mcp#x", id="a fragment"),
        pytest.param(b"/mcp#x?y", b"/mcp#x", id="a fragment before what would be a query"),
    ],
)
@pytest.mark.anyio
async def test_the_application_sees_the_target_as_it_was_sent(target: bytes, raw_path: bytes) -> None:
    spy = Spy()
    async with connected(spy) as connection:
        connection.feed(get(target))
        await connection.answer_up_to(END_OF_ANSWER)

    (scope,) = spy.scopes
    assert scope["raw_path"] == raw_path


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", id="a TLS handshake"),
        pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", id="the preface of HTTP/2"),
        pytest.param(b"hello\r\n\r\n", id="words"),
        pytest.param(get("/mcé".encode()), id="a path that is not ASCII"),
        pytest.param(get(b"/a\tb"), id="a tab in the path"),
        pytest.param(get(b"/", b"Host : evil.example\r\n"), id="white space before the colon"),
        pytest.param(get(b"/", b": evil.example\r\n"), id="a header without a name"),
        pytest.param(get(b"/", b"X-A: a\x00b\r\n"), id="a NUL in a header"),
        pytest.param(get(b"/", b"X-A: a\r\n b\r\n"), id="a header over two lines"),
        pytest.param(get(b"/", b"X-A: a\nHost: evil.example\r\n"), id="a header after a bare line feed"),
        pytest.param(b"GET / HTTP/1.1\n" + HOST + b"\n", id="bare line feeds"),
        pytest.param(get(b"/", b"Content-Length: 2\r\nContent-Length: 2\r\n"), id="two lengths"),
        pytest.param(get(b"/", b"Content-Length: +2\r\n"), id="a length with a sign"),
        pytest.param(
            get(b"/", b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n"), id="a length and chunks"
        ),
    ],
)
@pytest.mark.promise("one-reading")
@pytest.mark.anyio
async def test_what_is_not_http_gets_the_json_400_and_reaches_nothing(request_: bytes) -> None:
    spy = Spy()
    async with connected(spy) as connection:
        connection.feed(request_)

        assert await connection.rest() == BAD_REQUEST
    assert spy.scopes == []


@pytest.mark.promise("one-reading")
@pytest.mark.anyio
async def test_the_application_sees_what_a_connect_names_and_nothing_behind_it() -> None:
    spy = Spy()
    async with connected(spy) as connection:
        connection.feed(b"CONNECT evil.example:443 HTTP/1.1\r\n" + HOST + b"\r\n", get(b"/mcp"))
        await connection.rest()

    (scope,) = spy.scopes
    assert (scope["method"], scope["raw_path"]) == ("CONNECT", b"evil.example:443")


@pytest.mark.parametrize("version", [b"1.2", b"1.9"])
@pytest.mark.anyio
async def test_another_version_of_http_gets_a_505_and_reaches_nothing(version: bytes) -> None:
    spy = Spy()
    async with connected(spy) as connection:
        connection.feed(get(b"/mcp").replace(b"1.1", version))
        answer = await connection.rest()

    assert answer.startswith(b"HTTP/1.1 505 HTTP Version Not Supported\r\n")
    assert answer.endswith(b'\r\n\r\n{"error":"http_version_not_supported"}')
    assert spy.scopes == []


@pytest.mark.anyio
async def test_a_body_that_looks_like_another_version_of_http_is_a_body() -> None:
    spy = Spy()
    body = b"GET /mcp HTTP/1.2\r\n"
    head = b"POST /mcp HTTP/1.1\r\n" + HOST + b"Content-Length: %d\r\n\r\n" % len(body)
    async with connected(spy) as connection:
        connection.feed(head, body)
        await connection.answer_up_to(END_OF_ANSWER)

    assert spy.bodies == [body]


CHUNKED = b"POST /first HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n"
TRAILERS = b"Host: evil.example\r\nX-Trailer: 1\r\n\r\n"
HOST_FIELD = (b"host", b"docs.example.com")
CODING_FIELD = (b"transfer-encoding", b"chunked")


@pytest.mark.promise("one-reading")
@pytest.mark.anyio
async def test_trailers_are_dropped() -> None:
    spy = Spy()
    async with connected(spy) as connection:
        connection.feed(CHUNKED + TRAILERS)
        await connection.answer_up_to(END_OF_ANSWER)

    (scope,) = spy.scopes
    assert scope["headers"] == [HOST_FIELD, CODING_FIELD]
    assert spy.bodies == [b"hi"]


@pytest.mark.anyio
async def test_the_protocol_beneath_appends_trailers_to_the_headers_that_were_judged() -> None:
    """Fails when uvicorn mends it; then the protocol class here may do less."""
    spy = Spy()
    async with connected(spy, HttpToolsProtocol) as connection:
        connection.feed(CHUNKED + TRAILERS)
        await connection.answer_up_to(END_OF_ANSWER)

    (scope,) = spy.scopes
    assert scope["headers"] == [HOST_FIELD, CODING_FIELD, (b"host", b"evil.example"), (b"x-trailer", b"1")]


@pytest.mark.anyio
async def test_a_request_after_one_with_trailers_has_its_own_headers_and_no_others() -> None:
    spy = Spy()
    async with connected(spy) as connection:
        connection.feed(CHUNKED + TRAILERS, get(b"/second", b"X-Own: 2\r\n"))
        await connection.answer_up_to(END_OF_ANSWER)
        await connection.answer_up_to(END_OF_ANSWER)

    assert [scope["path"] for scope in spy.scopes] == ["/first", "/second"]
    assert spy.scopes[1]["headers"] == [HOST_FIELD, (b"x-own", b"2")]


def endless_head(octets: int) -> bytes:
    """Return the beginning of a request, this long, with a last header that has not ended yet."""
    start = b"GET /last HTTP/1.1\r\n" + HOST + b"X-Padding: "
    return start + b"x" * (octets - len(start))


def pieces(octets: bytes, size: int) -> list[bytes]:
    return [octets[position : position + size] for position in range(0, len(octets), size)]


PIECE_SIZES = [
    pytest.param(2 * MAX_HEAD, id="in one piece"),
    pytest.param(1000, id="in many pieces"),
]


@pytest.mark.parametrize("size", PIECE_SIZES)
@pytest.mark.promise("bounded")
@pytest.mark.anyio
async def test_a_head_that_has_not_ended_at_the_limit_may_still_end(size: int) -> None:
    spy = Spy()
    async with connected(spy) as connection:
        connection.feed(*pieces(endless_head(MAX_HEAD), size))
        assert spy.scopes == []
        connection.feed(b"\r\n" + CLOSE + b"\r\n")
        answer = await connection.rest()

    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert [scope["path"] for scope in spy.scopes] == ["/last"]


@pytest.mark.parametrize("size", PIECE_SIZES)
@pytest.mark.promise("bounded")
@pytest.mark.anyio
async def test_a_head_that_has_not_ended_past_the_limit_is_refused_and_the_connection_closed(
    size: int,
) -> None:
    spy = Spy()
    async with connected(spy) as connection:
        connection.feed(*pieces(endless_head(MAX_HEAD + 1), size))

        assert await connection.rest() == TOO_LARGE
    assert spy.scopes == []


@pytest.mark.parametrize(
    ("octets", "end"),
    [
        pytest.param(MAX_HEAD, b"HTTP/1.1 200 OK\r\n", id="at the limit"),
        pytest.param(MAX_HEAD + 1, TOO_LARGE, id="past the limit"),
    ],
)
@pytest.mark.anyio
async def test_each_head_of_a_connection_is_counted_by_itself(octets: int, end: bytes) -> None:
    async with connected(Spy()) as connection:
        connection.feed(get(b"/first", b"X-Padding: %s\r\n" % (b"x" * 1000)))
        await connection.answer_up_to(END_OF_ANSWER)
        connection.feed(endless_head(octets), b"\r\n" + CLOSE + b"\r\n")

        assert (await connection.rest()).startswith(end)


@pytest.mark.anyio
async def test_a_body_does_not_count_as_the_head_of_the_request_behind_it() -> None:
    spy = Spy()
    body = b"x" * (MAX_HEAD + 1)
    first = b"POST /first HTTP/1.1\r\n" + HOST + b"Content-Length: %d\r\n\r\n" % len(body) + body
    async with connected(spy) as connection:
        connection.feed(first + b"GET /second HTTP/1.1\r\n", HOST + CLOSE + b"\r\n")
        answers = await connection.rest()

    assert answers.count(b"HTTP/1.1 200 OK\r\n") == 2
    assert [scope["path"] for scope in spy.scopes] == ["/first", "/second"]


@pytest.mark.parametrize(
    "start",
    [
        pytest.param(b"", id="empty lines before a request"),
        pytest.param(CHUNKED + b"X-Trailer: ", id="a trailer"),
        pytest.param(CHUNKED.removesuffix(b"0\r\n") + b"2;", id="the extension of a chunk"),
    ],
)
@pytest.mark.promise("bounded")
@pytest.mark.anyio
async def test_no_other_part_of_a_request_may_go_on_without_end(start: bytes) -> None:
    part = b"x" * 4096 if start else b"\r\n" * 2048
    async with connected(Spy()) as connection:
        connection.feed(start, *[part] * (4 * MAX_HEAD // len(part)))

        assert connection.is_closing


@pytest.mark.anyio
async def test_pipelined_requests_are_answered_in_their_order() -> None:
    spy = Spy()
    async with connected(spy) as connection:
        connection.feed(get(b"/first") + get(b"/second") + get(b"/third", CLOSE))
        answers = await connection.rest()

    assert answers.count(b"HTTP/1.1 200 OK\r\n") == 3
    assert [scope["path"] for scope in spy.scopes] == ["/first", "/second", "/third"]


@pytest.mark.anyio
async def test_a_connection_is_kept_for_further_requests() -> None:
    spy = Spy()
    async with connected(spy) as connection:
        for path in (b"/first", b"/second", b"/third"):
            connection.feed(get(path))
            answer = await connection.answer_up_to(END_OF_ANSWER)
            assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
            assert not connection.is_closing

    assert [scope["path"] for scope in spy.scopes] == ["/first", "/second", "/third"]


LOOPS = pytest.mark.parametrize(
    "anyio_backend",
    [
        pytest.param(("asyncio", {"use_uvloop": False}), id="on asyncio"),
        pytest.param(("asyncio", {"use_uvloop": True}), id="on uvloop"),
    ],
)


CHUNKS = b"POST /first HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n"


@LOOPS
@pytest.mark.parametrize(
    ("protocol_class", "request_", "garbage"),
    [
        pytest.param(StrictHttpToolsProtocol, get(b"/"), [b"\x00\x00\x00"], id="behind the request"),
        pytest.param(
            StrictHttpToolsProtocol,
            get(b"/first"),
            [get(b"/second"), b"\x00\x00\x00"],
            id="behind a request that waits",
        ),
        pytest.param(StrictHttpToolsProtocol, CHUNKS, [b"zz\r\n"], id="in the body of the request"),
        pytest.param(TimedH11Protocol, CHUNKS, [b"zz\r\n"], id="in the body of the request, on h11"),
    ],
)
@pytest.mark.promise("one-reading")
@pytest.mark.anyio
async def test_garbage_while_an_answer_is_sent_does_not_become_part_of_that_answer(
    protocol_class: type[HttpToolsProtocol | H11Protocol], request_: bytes, garbage: list[bytes]
) -> None:
    async def stream(scope: Scope, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"begun", "more_body": True})
        while (await receive())["type"] != "http.disconnect":
            pass

    async with connected(stream, protocol_class) as connection:
        connection.feed(request_)
        await connection.answer_up_to(b"begun\r\n")
        connection.feed(*garbage)

        assert await connection.rest() == b""


BODY = modern("tools/list")[1]


POST = b"POST /mcp HTTP/1.1"


def mcp_request(
    line: bytes = POST,
    *extra: bytes,
    host: bytes = HOST,
    framing: bytes = b"Content-Length: %d\r\n" % len(BODY),
    body: bytes = BODY,
) -> bytes:
    """Return a request that is as good as can be, but for what the caller changes."""
    fields = [*modern("tools/list")[0][1:], ("authorization", f"Bearer {Token().mint()}")]
    lines = b"".join(f"{name}: {value}\r\n".encode() for name, value in fields)
    return line + b"\r\n" + host + lines + framing + b"".join(extra) + b"\r\n" + body


@dataclass
class Gate:
    """The whole gate on a real port, with what came through it."""

    port: int
    spy: Spy
    records: Records

    def ask(self, *parts: bytes) -> list[tuple[int, bytes]]:
        """Send each part when the one before it was answered; return statuses and bodies."""
        answers: list[tuple[int, bytes]] = []
        with socket.create_connection(("127.0.0.1", self.port), timeout=LIMIT) as connection:
            for part in parts:
                # After an answer, the gate may close the connection.
                with contextlib.suppress(http.client.BadStatusLine, ConnectionError):
                    connection.sendall(part)
                    with http.client.HTTPResponse(connection) as response:
                        response.begin()
                        answers.append((response.status, response.read()))
        return answers


def _gate(spy: Spy, records: Records) -> ASGIApp:
    policy = Policy(
        clients=Clients(allowed_ips=["127.0.0.0/8"]),
        oauth=OAuth(issuers=[Issuer(issuer=ISSUER, jwks_file="unused.json")]),
        routes={"docs.example.com": Route(scopes=["docs:read"], tools=["search_docs"])},
    )
    return protect(spy, policy, audit=records, keys_of=lambda _: StaticKeys(jwks("ES256")))


TOOLS = b'{"jsonrpc":"2.0","id":1,"result":{"tools":[],"cacheScope":"private"}}'


@pytest.fixture(scope="module", params=["strict", "h11"])
def running_gate(request: pytest.FixtureRequest) -> Generator[Gate]:
    spy, records = Spy(TOOLS), Records()
    with serve(_gate(spy, records), request.param) as port:
        yield Gate(port, spy, records)


@pytest.fixture
def gate(running_gate: Gate) -> Gate:
    running_gate.spy.scopes.clear()
    running_gate.records.all.clear()
    return running_gate


def test_the_gate_passes_a_good_request_on_whatever_parses_it(gate: Gate) -> None:
    assert gate.ask(mcp_request()) == [(200, TOOLS)]
    assert len(gate.spy.scopes) == 1
    assert gate.records.verdicts == [("allow", None)]


CHUNKED_BODY = b"%x\r\n%s\r\n0\r\n" % (len(BODY), BODY)
CODING = b"Transfer-Encoding: chunked\r\n"


def hostile_requests() -> Sequence[Any]:
    return [
        pytest.param(mcp_request(b"POST http://evil.example/mcp HTTP/1.1"), id="absolute form"),
        pytest.param(mcp_request(b"POST http://docs.example.com/mcp HTTP/1.1"), id="absolute form, our host"),
        pytest.param(mcp_request(b"POST http://evil.example HTTP/1.1"), id="an authority without path"),
        pytest.param(mcp_request(b"OPTIONS * HTTP/1.1", framing=b"", body=b""), id="asterisk form"),
        pytest.param(mcp_request(b"CONNECT docs.example.com:443 HTTP/1.1"), id="authority form"),
        pytest.param(mcp_request(b"POST ?/mcp HTTP/1.1"), id="a query alone"),
        pytest.param(mcp_request(b"POST /mcp#x HTTP/1.1"), id="a fragment"),
        pytest.param(mcp_request(b"POST //mcp HTTP/1.1"), id="an empty segment"),
        pytest.param(mcp_request(b"POST /x/../mcp HTTP/1.1"), id="a dot segment"),
        pytest.param(mcp_request(b"POST /x/%2e%2e/mcp HTTP/1.1"), id="an encoded dot segment"),
        pytest.param(mcp_request(b"POST /m%63p HTTP/1.1"), id="another spelling of the path"),
        pytest.param(mcp_request("POST /mcp\xa0 HTTP/1.1".encode("latin-1")), id="a path that is not ASCII"),
        pytest.param(mcp_request(b"POST /mcp\\ HTTP/1.1"), id="a backslash"),
        pytest.param(mcp_request(b"POST /mcp HTTP/1.0"), id="HTTP/1.0"),
        pytest.param(mcp_request(b"POST /mcp"), id="HTTP/0.9"),
        pytest.param(mcp_request(b"PUT /mcp HTTP/1.1"), id="another method"),
        pytest.param(mcp_request(b"post /mcp HTTP/1.1"), id="a method in small letters"),
        pytest.param(mcp_request(POST, host=b""), id="no Host"),
        pytest.param(mcp_request(POST, host=HOST + HOST), id="two Hosts"),
        pytest.param(mcp_request(POST, host=b"Host: evil.example\r\n"), id="another Host"),
        pytest.param(mcp_request(POST, host=b"Host: docs.example.com\r\n .evil\r\n"), id="a folded Host"),
        pytest.param(mcp_request(POST, host=b"Host : docs.example.com\r\n"), id="white space after Host"),
        pytest.param(mcp_request(POST, b"Authorization: Bearer x\r\n"), id="two tokens"),
        pytest.param(mcp_request(POST, b"Mcp_Method: tools/call\r\n"), id="a lookalike"),
        pytest.param(mcp_request(POST, b"Content-Length: 1\r\n"), id="two lengths"),
        pytest.param(mcp_request(POST, CODING), id="a length and chunks"),
        pytest.param(
            mcp_request(POST, framing=b"Transfer-Encoding: gzip, chunked\r\n", body=CHUNKED_BODY + b"\r\n"),
            id="another coding beneath the chunks",
        ),
        pytest.param(
            mcp_request(POST, framing=b"Transfer-Encoding: identity\r\n"), id="a coding that says no length"
        ),
        pytest.param(mcp_request(POST, framing=CODING, body=b"zz\r\n"), id="a chunk without a size"),
        pytest.param(mcp_request(POST, b"Upgrade: websocket\r\nConnection: Upgrade\r\n"), id="an upgrade"),
        pytest.param(mcp_request(POST, b"Connection: authorization\r\n"), id="a connection option"),
        pytest.param(mcp_request(POST, b"X-A: %s\r\n" % (b"x" * 40_000)), id="a head that is too large"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", id="a TLS handshake"),
        pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", id="the preface of HTTP/2"),
    ]


@pytest.mark.parametrize("request_", hostile_requests())
@pytest.mark.promise("one-reading")
def test_a_request_that_can_be_read_in_two_ways_reaches_nothing_whatever_parses_it(
    gate: Gate, request_: bytes
) -> None:
    ((status, body),) = gate.ask(request_)

    assert 400 <= status < 500 or status == 505, body
    assert gate.spy.scopes == []
    assert "allow" not in {verdict for verdict, _ in gate.records.verdicts}


@pytest.mark.promise("one-reading")
def test_trailers_change_nothing_whatever_parses_them(gate: Gate) -> None:
    answers = gate.ask(mcp_request(framing=CODING, body=CHUNKED_BODY + TRAILERS))

    assert answers == [(200, TOOLS)]
    (scope,) = gate.spy.scopes
    assert [value for name, value in scope["headers"] if name == b"host"] == [b"docs.example.com"]
    assert b"x-trailer" not in dict(scope["headers"])


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(b"Connection: Upgrade\r\nUpgrade: websocket\r\n", id="to WebSocket"),
        pytest.param(b"Connection: Upgrade\r\nUpgrade: h2c\r\n", id="to HTTP/2"),
    ],
)
@pytest.mark.promise("one-reading")
def test_the_body_of_an_upgrade_is_never_taken_for_a_request_whatever_parses_it(
    gate: Gate, head: bytes
) -> None:
    inner = mcp_request()
    outer = mcp_request(framing=head + b"Content-Length: %d\r\n" % len(inner), body=b"")
    last = mcp_request(host=b"Host: evil.example\r\n" + CLOSE)

    statuses = [status for status, _ in gate.ask(outer, inner + last)]

    assert statuses in ([400], [400, 403])  # closed, or read as the body that it is
    assert gate.spy.scopes == []


TIMED = pytest.mark.parametrize(
    "protocol_class",
    [
        pytest.param(StrictHttpToolsProtocol, id="the strict protocol"),
        pytest.param(TimedH11Protocol, id="h11"),
    ],
)
HALF_A_BODY = b"POST /mcp HTTP/1.1\r\n" + HOST + b"Content-Length: 9\r\n\r\nhalf"


@TIMED
@pytest.mark.parametrize(
    ("bound", "start"),
    [
        pytest.param("HEAD_SECONDS", b"", id="nothing at all"),
        pytest.param("HEAD_SECONDS", b"POST /mcp HTTP/1.1\r\nHost: docs", id="half a head"),
        pytest.param("BODY_SECONDS", HALF_A_BODY, id="half a body"),
    ],
)
@pytest.mark.promise("bounded")
@pytest.mark.anyio
async def test_what_does_not_arrive_in_time_ends_its_connection(
    protocol_class: type[HttpToolsProtocol | H11Protocol],
    bound: str,
    start: bytes,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(uvicorn_http, bound, 0.05)

    async with connected(Spy(), protocol_class) as connection:
        connection.feed(start)

        assert b"200 OK" not in await connection.rest()


@TIMED
@pytest.mark.parametrize(
    ("bound", "start"),
    [
        pytest.param("HEAD_SECONDS", b"\r\n", id="an empty line"),
        pytest.param("HEAD_SECONDS", b"POST /mcp HTTP/1.1\r\nHost: docs", id="half a head"),
        pytest.param("BODY_SECONDS", HALF_A_BODY, id="half a body"),
    ],
)
@pytest.mark.promise("bounded")
@pytest.mark.anyio
async def test_what_does_not_arrive_in_time_after_other_requests_ends_its_connection(
    protocol_class: type[HttpToolsProtocol | H11Protocol],
    bound: str,
    start: bytes,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with connected(Spy(), protocol_class) as connection:
        for path in (b"/first", b"/second"):
            connection.feed(get(path))
            await connection.answer_up_to(END_OF_ANSWER)
        monkeypatch.setattr(uvicorn_http, bound, 0.05)
        connection.feed(start)

        assert b"200 OK" not in await connection.rest()


@TIMED
@pytest.mark.parametrize(
    ("bound", "start"),
    [
        pytest.param("HEAD_SECONDS", b"POST /mcp HTTP/1.1\r\nX-Padding: ", id="a head"),
        pytest.param(
            "BODY_SECONDS", b"POST /mcp HTTP/1.1\r\n" + HOST + b"Content-Length: 999\r\n\r\n", id="a body"
        ),
    ],
)
@pytest.mark.promise("bounded")
@pytest.mark.anyio
async def test_what_comes_octet_by_octet_has_no_more_time(
    protocol_class: type[HttpToolsProtocol | H11Protocol],
    bound: str,
    start: bytes,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(uvicorn_http, bound, 0.2)

    async with connected(Spy(), protocol_class) as connection:
        connection.feed(start)
        end = asyncio.create_task(connection.rest())
        for _ in range(200):
            connection.feed(b"x")
            if (await asyncio.wait([end], timeout=0.02))[0]:
                break

        assert end.done()
        assert await end == b""


@TIMED
@pytest.mark.promise("bounded")
@pytest.mark.anyio
async def test_half_a_request_in_one_piece_with_a_whole_one_does_not_hold_its_connection(
    protocol_class: type[HttpToolsProtocol | H11Protocol], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uvicorn_http, "BODY_SECONDS", 0.05)
    async with connected(Spy(), protocol_class) as connection:
        connection.feed(get(b"/first") + HALF_A_BODY)

        assert (await connection.rest()).count(b"HTTP/1.1 200 OK") <= 1


@TIMED
@pytest.mark.promise("bounded")
@pytest.mark.anyio
async def test_a_body_that_was_answered_before_it_came_does_not_hold_its_connection(
    protocol_class: type[HttpToolsProtocol | H11Protocol], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(scope: Scope, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 401, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"no"})

    async with connected(refuse, protocol_class) as connection:
        connection.feed(HALF_A_BODY)
        answer = await connection.answer_up_to(b"\r\n\r\nno")
        monkeypatch.setattr(uvicorn_http, "HEAD_SECONDS", 0.05)
        connection.feed(b"other")

        assert answer.startswith(b"HTTP/1.1 401 ")
        assert await connection.rest() == b""


@TIMED
@pytest.mark.anyio
async def test_a_connection_between_requests_is_kept_as_long_as_uvicorn_was_told(
    protocol_class: type[HttpToolsProtocol | H11Protocol], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uvicorn_http, "HEAD_SECONDS", 0.05)

    async with connected(Spy(), protocol_class) as connection:
        connection.feed(get(b"/first"))
        await connection.answer_up_to(END_OF_ANSWER)
        for _ in range(3):
            async with connected(Spy(), protocol_class) as other:
                assert await other.rest() == b""  # a connection that began later has ended
        connection.feed(get(b"/second"))
        answer = await connection.answer_up_to(END_OF_ANSWER)

    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")


@TIMED
@pytest.mark.anyio
async def test_a_request_that_arrived_whole_may_be_answered_later_than_it_had_to_arrive(
    protocol_class: type[HttpToolsProtocol | H11Protocol], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uvicorn_http, "HEAD_SECONDS", 0.05)
    monkeypatch.setattr(uvicorn_http, "BODY_SECONDS", 0.05)
    may_answer = asyncio.Event()
    spy = Spy()

    async def slow(scope: Scope, receive: Any, send: Any) -> None:
        await may_answer.wait()
        await spy(scope, receive, send)

    async with connected(slow, protocol_class) as connection:
        connection.feed(HALF_A_BODY, b"other", get(b"/second"))
        async with connected(Spy(), protocol_class) as other:
            assert await other.rest() == b""
        may_answer.set()
        for _ in range(2):
            answer = await connection.answer_up_to(END_OF_ANSWER)
            assert answer.startswith(b"HTTP/1.1 200 OK\r\n")

    assert [scope["path"] for scope in spy.scopes] == ["/mcp", "/second"]


LITTLE = 4096  # octets that a socket keeps, so that what is not taken waits in the protocol's transport
LESS_THAN_PAUSES = 60_000  # octets of which a transport takes all at once
MORE_THAN_PAUSES = 400_000


class Held:
    """An application that answers when it is told to."""

    def __init__(self) -> None:
        self.spy = Spy()
        self._answers = asyncio.Semaphore(0)

    def answer(self, requests: int = 1) -> None:
        for _ in range(requests):
            self._answers.release()

    @property
    def paths(self) -> list[str]:
        return [scope["path"] for scope in self.spy.scopes]

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        await self._answers.acquire()
        await self.spy(scope, receive, send)


class Waiting:
    """An application that waits for its client to go away, and does nothing else."""

    def __init__(self) -> None:
        self.paths: list[str] = []
        self.begun = asyncio.Event()
        self.gone = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        self.paths.append(scope["path"])
        self.begun.set()
        while (await receive())["type"] != "http.disconnect":
            pass
        self.gone.set()


def answering(*parts: int) -> ASGIApp:
    """Return an application whose answer has as many octets, in as many parts."""

    async def answer(scope: Scope, receive: Any, send: Any) -> None:
        length = (b"content-length", b"%d" % sum(parts))
        await send({"type": "http.response.start", "status": 200, "headers": [length]})
        for position, octets in enumerate(parts, start=1):
            more = position < len(parts)
            await send({"type": "http.response.body", "body": b"x" * octets, "more_body": more})

    return answer


@LOOPS
@TIMED
@pytest.mark.parametrize(
    "octets",
    [
        pytest.param(LESS_THAN_PAUSES, id="of an answer that the transport takes whole"),
        pytest.param(MORE_THAN_PAUSES, id="of an answer that is too much for the transport"),
    ],
)
@pytest.mark.parametrize(
    "headers", [pytest.param([CLOSE], id="the last"), pytest.param([], id="not the last")]
)
@pytest.mark.promise("bounded")
@pytest.mark.anyio
async def test_a_client_that_takes_nothing_is_cut_off(
    protocol_class: type[HttpToolsProtocol | H11Protocol],
    octets: int,
    headers: list[bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(uvicorn_http, "TAKE_SECONDS", 0.05)
    app = answering(octets)

    async with connected(app, protocol_class, send_buffer=LITTLE, keep_alive=0) as connection:
        connection.feed(get(b"/", *headers))

        assert await connection.is_lost()
        answer = await connection.rest()
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert len(answer) < octets


@LOOPS
@TIMED
@pytest.mark.parametrize(
    "behind", [pytest.param(b"", id="nothing"), pytest.param(get(b"/second"), id="another request")]
)
@pytest.mark.promise("bounded", "closing-cancels")
@pytest.mark.anyio
async def test_an_application_whose_client_takes_nothing_is_told_that_it_is_gone(
    protocol_class: type[HttpToolsProtocol | H11Protocol], behind: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uvicorn_http, "TAKE_SECONDS", 0.05)
    waiting = Waiting()

    async def stream(scope: Scope, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(2):  # the second waits until the client has taken of the first
            await send({"type": "http.response.body", "body": b"x" * MORE_THAN_PAUSES, "more_body": True})
        await waiting(scope, receive, send)

    async with connected(stream, protocol_class) as connection:
        connection.feed(get(b"/first"), behind)

        assert await asyncio.wait_for(waiting.gone.wait(), LIMIT)
    assert waiting.paths == ["/first"]


@LOOPS
@TIMED
@pytest.mark.parametrize(
    "headers", [pytest.param([CLOSE], id="the last"), pytest.param([], id="not the last")]
)
@pytest.mark.promise("bounded")
@pytest.mark.anyio
async def test_a_client_that_takes_a_little_now_and_then_gets_all(
    protocol_class: type[HttpToolsProtocol | H11Protocol],
    headers: list[bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(uvicorn_http, "TAKE_SECONDS", 0.4)
    app = answering(MORE_THAN_PAUSES)

    async with connected(app, protocol_class, send_buffer=LITTLE) as connection:
        connection.feed(get(b"/", *headers))
        for _ in range(25):  # in two and a half times as long
            await connection.take(8192)
            assert not await connection.is_lost(0.04)
        answer = await connection.answer_up_to(b"x" * MORE_THAN_PAUSES)

    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")


@LOOPS
@TIMED
@pytest.mark.promise("bounded")
@pytest.mark.anyio
async def test_a_client_that_has_caught_up_may_fall_behind_again(
    protocol_class: type[HttpToolsProtocol | H11Protocol], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uvicorn_http, "TAKE_SECONDS", 0.4)
    app = answering(MORE_THAN_PAUSES, 2 * MORE_THAN_PAUSES)

    async with connected(app, protocol_class, send_buffer=LITTLE) as connection:
        connection.feed(get(b"/"))
        assert not await connection.is_lost(0.6)
        await connection.answer_up_to(b"x" * MORE_THAN_PAUSES)
        assert not await connection.is_lost(0.4)
        await connection.answer_up_to(b"x" * 2 * MORE_THAN_PAUSES)


@LOOPS
@TIMED
@pytest.mark.parametrize(
    "behind",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"GET /second HTTP/1.1\r\n", id="half a head"),
        pytest.param(get(b"/second"), id="a request"),
        pytest.param(get(b"/second") * 32, id="many requests"),
        pytest.param(HALF_A_BODY, id="half a body"),
        pytest.param(
            b"POST /second HTTP/1.1\r\n" + HOST + b"Content-Length: 400000\r\n\r\n" + b"x" * 400_000,
            id="a large body",
        ),
    ],
)
@pytest.mark.promise("closing-cancels")
@pytest.mark.anyio
async def test_a_client_is_seen_to_go_away_whatever_it_has_sent_behind_its_request(
    protocol_class: type[HttpToolsProtocol | H11Protocol], behind: bytes
) -> None:
    waiting = Waiting()
    async with connected(waiting, protocol_class) as connection:
        await connection.send(get(b"/first"))
        await asyncio.wait_for(waiting.begun.wait(), LIMIT)
        await connection.send(behind)
        connection.go_away()

        assert await asyncio.wait_for(waiting.gone.wait(), LIMIT)
    assert waiting.paths == ["/first"]


def with_body(octets: int) -> bytes:
    """Return a request whose body has as many octets."""
    return b"POST /second HTTP/1.1\r\n" + HOST + b"Content-Length: %09d\r\n\r\n" % octets + b"x" * octets


def with_all(octets: int) -> bytes:
    """Return a request that has as many octets, together with its head."""
    return with_body(octets - len(with_body(0)))


WAITING = pytest.mark.parametrize(
    ("protocol_class", "request_of"),
    [
        pytest.param(StrictHttpToolsProtocol, with_body, id="the strict protocol"),
        pytest.param(TimedH11Protocol, with_all, id="h11"),
    ],
)


@LOOPS
@WAITING
@pytest.mark.parametrize(
    "size", [pytest.param(1 << 16, id="in large pieces"), pytest.param(999, id="in small ones")]
)
@pytest.mark.promise("bounded")
@pytest.mark.anyio
async def test_as_much_as_may_wait_behind_a_request_is_read_and_answered(
    protocol_class: type[HttpToolsProtocol | H11Protocol], request_of: Callable[[int], bytes], size: int
) -> None:
    held = Held()
    second = request_of(MAX_AHEAD)
    async with connected(held, protocol_class) as connection:
        connection.feed(get(b"/first"), *pieces(second, size))
        held.answer(2)
        for _ in range(2):
            answer = await connection.answer_up_to(END_OF_ANSWER)
            assert answer.startswith(b"HTTP/1.1 200 OK\r\n")

    assert held.paths == ["/first", "/second"]
    assert held.spy.bodies == [b"", second.partition(b"\r\n\r\n")[2]]


@LOOPS
@WAITING
@pytest.mark.parametrize(
    "size", [pytest.param(1 << 16, id="in large pieces"), pytest.param(999, id="in small ones")]
)
@pytest.mark.promise("bounded")
@pytest.mark.anyio
async def test_more_than_may_wait_behind_a_request_ends_the_connection(
    protocol_class: type[HttpToolsProtocol | H11Protocol], request_of: Callable[[int], bytes], size: int
) -> None:
    waiting = Waiting()
    async with connected(waiting, protocol_class) as connection:
        connection.feed(get(b"/first"))
        await asyncio.wait_for(waiting.begun.wait(), LIMIT)
        connection.feed(*pieces(request_of(MAX_AHEAD + 1), size))

        assert await asyncio.wait_for(waiting.gone.wait(), LIMIT)
        assert await connection.rest() == b""
    assert waiting.paths == ["/first"]


@LOOPS
@TIMED
@pytest.mark.promise("bounded")
@pytest.mark.anyio
async def test_a_body_is_not_read_before_the_application_takes_it(
    protocol_class: type[HttpToolsProtocol | H11Protocol],
) -> None:
    held = Held()
    request = with_body(4 * MAX_AHEAD)
    async with connected(held, protocol_class) as connection:
        sending = asyncio.create_task(connection.send(request))
        done, _ = await asyncio.wait([sending], timeout=0.1)
        assert not done
        held.answer()
        await connection.answer_up_to(END_OF_ANSWER)
        await sending

    assert [len(body) for body in held.spy.bodies] == [4 * MAX_AHEAD]


@LOOPS
@TIMED
@pytest.mark.anyio
async def test_what_has_been_answered_does_not_count_as_waiting(
    protocol_class: type[HttpToolsProtocol | H11Protocol],
) -> None:
    held = Held()
    request = with_all(MAX_AHEAD // 2)
    async with connected(held, protocol_class) as connection:
        connection.feed(request, request)
        for _ in range(4):
            connection.feed(request)
            held.answer()
            answer = await connection.answer_up_to(END_OF_ANSWER)
            assert answer.startswith(b"HTTP/1.1 200 OK\r\n")

        assert not connection.is_closing


@LOOPS
@pytest.mark.promise("bounded")
@pytest.mark.anyio
async def test_as_many_requests_as_may_wait_are_answered() -> None:
    held = Held()
    async with connected(held) as connection:
        connection.feed(get(b"/first"), get(b"/other") * MAX_REQUESTS_AHEAD)
        held.answer(1 + MAX_REQUESTS_AHEAD)
        for _ in range(1 + MAX_REQUESTS_AHEAD):
            await connection.answer_up_to(END_OF_ANSWER)

    assert held.paths == ["/first", *["/other"] * MAX_REQUESTS_AHEAD]


@LOOPS
@pytest.mark.parametrize(
    "size", [pytest.param(1 << 16, id="in one piece"), pytest.param(len(get(b"/other")), id="one by one")]
)
@pytest.mark.promise("bounded")
@pytest.mark.anyio
async def test_more_requests_than_may_wait_end_the_connection(size: int) -> None:
    waiting = Waiting()
    async with connected(waiting) as connection:
        connection.feed(get(b"/first"))
        await asyncio.wait_for(waiting.begun.wait(), LIMIT)
        connection.feed(*pieces(get(b"/other") * (MAX_REQUESTS_AHEAD + 1), size))

        assert await asyncio.wait_for(waiting.gone.wait(), LIMIT)
        assert connection.waiting == 0
        assert await connection.rest() == b""
    assert waiting.paths == ["/first"]


@LOOPS
@TIMED
@pytest.mark.parametrize(
    "behind",
    [
        pytest.param(b"x", id="a letter"),
        pytest.param(b"\r\n\r\n", id="empty lines"),
        pytest.param(b"\x00\x00\r\n\r\n", id="what is not HTTP"),
        pytest.param(get(b"/second"), id="another request"),
    ],
)
@pytest.mark.parametrize(
    "size",
    [pytest.param(1 << 16, id="in one piece"), pytest.param(len(get(b"/last", CLOSE)), id="afterwards")],
)
@pytest.mark.promise("one-reading")
@pytest.mark.anyio
async def test_what_comes_behind_the_last_request_changes_nothing(
    protocol_class: type[HttpToolsProtocol | H11Protocol], behind: bytes, size: int
) -> None:
    held = Held()
    async with connected(held, protocol_class) as connection:
        connection.feed(*pieces(get(b"/last", CLOSE) + behind, size))
        held.answer(2)
        answer = await connection.rest()

    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.endswith(END_OF_ANSWER)
    assert answer.count(b"HTTP/1.1") == 1
    assert held.paths == ["/last"]


@LOOPS
@TIMED
@pytest.mark.promise("stops-in-time")
@pytest.mark.anyio
async def test_a_server_that_stops_answers_what_it_has_begun_and_says_that_it_was_the_last(
    protocol_class: type[HttpToolsProtocol | H11Protocol],
) -> None:
    held = Held()
    async with connected(held, protocol_class) as connection:
        connection.feed(get(b"/first"), get(b"/second"))
        held.answer()
        first = await connection.answer_up_to(END_OF_ANSWER)
        connection.shut_down()
        connection.shut_down()  # as often as the server looks
        held.answer()
        second = await connection.rest()

    assert b"connection: close" not in first.lower()
    assert second.lower().count(b"connection: close") == 1
    assert second.endswith(END_OF_ANSWER)
    assert held.paths == ["/first", "/second"]


@TIMED
@pytest.mark.promise("stops-in-time")
@pytest.mark.anyio
async def test_a_server_that_stops_closes_a_connection_on_which_nothing_is_asked(
    protocol_class: type[HttpToolsProtocol | H11Protocol],
) -> None:
    async with connected(Spy(), protocol_class) as connection:
        connection.shut_down()

        assert await connection.rest() == b""


@LOOPS
@TIMED
@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(b"", id="nothing was asked"),
        pytest.param(get(b"/", CLOSE), id="a request was answered"),
        pytest.param(b"what is not HTTP\r\n\r\n", id="what came was not HTTP"),
    ],
)
@pytest.mark.promise("bounded")
@pytest.mark.anyio
async def test_nothing_is_kept_of_a_connection_that_has_ended(
    protocol_class: type[HttpToolsProtocol | H11Protocol], request_: bytes
) -> None:
    async with connected(Spy(), protocol_class) as connection:
        trace = connection.trace()
        connection.feed(request_)
        if request_:
            await connection.rest()
        connection.go_away()
        assert await connection.is_lost()
    del connection
    gc.collect()

    assert trace() is None


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> tuple[TlsFiles, ssl.SSLContext]:
    folder = tmp_path_factory.mktemp("tls")
    authority = Authority("the authority")
    cert_file, key_file = authority.issue_for_server("localhost").write(folder, "server")
    return TlsFiles(cert_file, key_file), client_context(authority, folder)


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize("parser", ["strict", "h11"])
@pytest.mark.promise("bounded")
def test_a_client_that_takes_nothing_over_tls_is_cut_off(
    site: tuple[TlsFiles, ssl.SSLContext], parser: Parser, loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uvicorn_http, "TAKE_SECONDS", 0.1)
    files, context = site
    is_over = threading.Event()

    async def stream(scope: Scope, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await Spy()(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        gone = asyncio.ensure_future(_gone(receive))
        while not gone.done():
            await send({"type": "http.response.body", "body": b"x" * 65536, "more_body": True})
            await asyncio.sleep(0)  # or whoever waits for the end would not come on
        is_over.set()

    with (
        serve(stream, parser, tls=open_tls(files), loop=loop) as port,
        socket.create_connection(("127.0.0.1", port), timeout=LIMIT) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as connection,
    ):
        connection.sendall(get(b"/"))

        assert is_over.wait(LIMIT)


async def _gone(receive: Any) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
