import asyncio
import contextlib
import http.client
import socket
from collections.abc import AsyncGenerator, Generator, Sequence
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
from tests.support.mcp import modern
from tests.support.servers import serve
from tests.support.tokens import ISSUER, Token, jwks
from tunnelgate import Clients, Issuer, OAuth, Policy, Route, StaticKeys, protect, uvicorn_http
from tunnelgate.asgi import ASGIApp, Scope
from tunnelgate.uvicorn_http import MAX_HEAD, StrictHttpToolsProtocol, TimedH11Protocol

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

    def __init__(self, protocol: HttpToolsProtocol | H11Protocol, client: socket.socket) -> None:
        self._protocol = protocol
        self._client = client
        self._unread = b""

    def feed(self, *pieces: bytes) -> None:
        for piece in filter(None, pieces):  # no loop hands over nothing
            if self.is_closing:
                return
            self._protocol.data_received(piece)

    @property
    def is_closing(self) -> bool:
        return self._protocol.transport.is_closing()

    async def answer_up_to(self, end: bytes) -> bytes:
        """Return what was answered up to and with ``end``."""
        while end not in self._unread:
            self._unread += await self._receive()
        head, _, self._unread = self._unread.partition(end)
        return head + end

    async def rest(self) -> bytes:
        """Return what is answered until the connection is closed."""
        while chunk := await self._receive():
            self._unread += chunk
        return self._unread

    async def _receive(self) -> bytes:
        receive = asyncio.get_running_loop().sock_recv(self._client, 65536)
        return await asyncio.wait_for(receive, LIMIT)


@asynccontextmanager
async def connected(
    app: Any, protocol_class: type[HttpToolsProtocol | H11Protocol] = StrictHttpToolsProtocol
) -> AsyncGenerator[Connection]:
    config = uvicorn.Config(app, http=protocol_class, ws="none", lifespan="off", log_config=None)
    config.load()
    state = ServerState()
    loop = asyncio.get_running_loop()
    client, server = socket.socketpair()
    client.setblocking(False)  # noqa: FBT003 - the standard library's signature
    transport, protocol = await loop.connect_accepted_socket(
        lambda: protocol_class(config, state, {}, loop), server
    )
    try:
        yield Connection(protocol, client)
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


@pytest.mark.anyio
async def test_garbage_while_an_answer_is_sent_does_not_become_part_of_that_answer() -> None:
    async def stream(scope: Scope, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"begun", "more_body": True})
        while (await receive())["type"] != "http.disconnect":
            pass

    async with connected(stream) as connection:
        connection.feed(get(b"/"))
        await connection.answer_up_to(b"begun\r\n")
        connection.feed(b"\x00\x00\x00")

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
