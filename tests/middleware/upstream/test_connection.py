import asyncio
import socket
import ssl
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from typing import Any
from weakref import WeakKeyDictionary

import pytest
from anyio.lowlevel import checkpoint

from tests.support.certificates import Authority, client_context
from tests.support.proxied import (
    LIMIT,
    LOOPS,
    NOBODY_WAITS,
    Interrupted,
    WaitForTheEnd,
    cancel_this,
    let_pass,
    nothing_left,
    open_sockets,
    until,
    until_still,
)
from tests.support.scripted_upstream import (
    Close,
    Drip,
    HalfClose,
    KeepAlive,
    ReadRequest,
    Reset,
    Script,
    ScriptedConnection,
    ScriptedUpstream,
    Send,
    Wait,
    answering,
)
from tunnelgate import Reason
from tunnelgate.errors import UpstreamFailed
from tunnelgate.reading.http_answer import HttpAnswerHead
from tunnelgate.upstream.connection import Connection

SOON = 0.05  # seconds
BUFFERED = 256 * 1024
LARGE = 16 * 1024 * 1024  # octets: more than two kernels keep
HOST = "mcp.internal"
AUTHORITY = Authority("Upstreams")

GET = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
UNTIL_CLOSE = b"HTTP/1.1 200 OK\r\n\r\n"

TRANSPORTS = WeakKeyDictionary[Connection, asyncio.Transport]()


@pytest.fixture(params=LOOPS)
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return request.param


def _server_tls(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    folder = tmp_path_factory.mktemp("tls")
    context.load_cert_chain(*AUTHORITY.issue_for_server(HOST).write(folder, "upstream"))
    return context


@dataclass(frozen=True)
class Tls:
    server: ssl.SSLContext | None = None
    client: ssl.SSLContext | None = None


@pytest.fixture(params=["plain", "over TLS"])
def tls(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Tls:
    if request.param == "plain":
        return Tls()
    return Tls(_server_tls(tmp_path_factory), client_context(AUTHORITY))


async def _connect(port: int, tls: Tls = Tls()) -> Connection:
    loop = asyncio.get_running_loop()
    name = HOST if tls.client else None
    transport, connection = await loop.create_connection(
        Connection, "127.0.0.1", port, ssl=tls.client, server_hostname=name
    )
    TRANSPORTS[connection] = transport
    return connection


@asynccontextmanager
async def _connected(
    *scripts: Script, tls: Tls = Tls()
) -> AsyncGenerator[tuple[Connection, ScriptedUpstream]]:
    """Connect to an upstream that plays a script, and check that nothing is left of the connection."""
    async with ScriptedUpstream(*scripts, tls=tls.server) as upstream, nothing_left():
        connection = await _connect(upstream.port, tls)
        yield connection, upstream
        connection.abort()


async def _rest(connection: Connection) -> bytes:
    body, is_last = b"", False
    while not is_last:
        part, is_last = await connection.part(NOBODY_WAITS)
        body += part
    return body


async def _exchange(connection: Connection, method: bytes = b"GET") -> tuple[int, bytes, bool]:
    """Return status and body of an answer, and whether there may be another one."""
    connection.ask(GET.replace(b"GET", method), method)
    head = await connection.head(NOBODY_WAITS)
    body = await _rest(connection)
    return head.status, body, connection.finish()


async def _failure(connection: Connection, seconds: float = NOBODY_WAITS) -> tuple[str, UpstreamFailed]:
    """Ask; return where that failed, and how."""
    connection.ask(GET, b"GET")
    try:
        await connection.head(seconds)
    except UpstreamFailed as failure:
        return "head", failure
    try:
        while not (await connection.part(seconds))[1]:
            pass
    except UpstreamFailed as failure:
        return "body", failure
    raise AssertionError("it did not fail")


# One exchange after another


@pytest.mark.anyio
async def test_a_request_is_sent_to_the_last_octet_and_its_answer_returned(tls: Tls) -> None:
    answer = b"HTTP/1.1 203 Fine\r\nX-One:  1 \r\nx-two: \xe9\r\nContent-Length: 5\r\n\r\nhello"
    request = b"POST /mcp?x=%2f HTTP/1.1\r\nHost: a\r\nx:\xff\r\ncontent-length: 3\r\n\r\n\0\r\n"

    async with _connected(answering(answer), tls=tls) as (connection, upstream):
        connection.ask(request, b"POST")
        head = await connection.head(NOBODY_WAITS)
        body = await _rest(connection)
        is_good = connection.finish()

    assert head == HttpAnswerHead(203, ((b"x-one", b"1"), (b"x-two", b"\xe9"), (b"content-length", b"5")))
    assert (body, is_good) == (b"hello", True)
    assert [each.octets for each in upstream.requests] == [request]


@pytest.mark.anyio
async def test_one_exchange_follows_another_on_the_same_connection(tls: Tls) -> None:
    async with _connected(answering(OK), tls=tls) as (connection, upstream):
        for _ in range(3):
            assert connection.is_usable
            assert await _exchange(connection) == (200, b"ok", True)

    assert [each.connection for each in upstream.requests] == [0, 0, 0]


@pytest.mark.parametrize(
    ("answer", "method", "expected"),
    [
        pytest.param(b"HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n", b"HEAD", (200, b"", True), id="HEAD"),
        pytest.param(CHUNKED, b"HEAD", (200, b"", True), id="HEAD, about chunks"),
        pytest.param(UNTIL_CLOSE, b"HEAD", (200, b"", False), id="HEAD, about a body until the end"),
        pytest.param(b"HTTP/1.1 204 No Content\r\n\r\n", b"POST", (204, b"", True), id="204"),
        pytest.param(
            b"HTTP/1.1 304 Not Modified\r\ncontent-length: 7\r\n\r\n", b"GET", (304, b"", True), id="304"
        ),
        pytest.param(
            b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", b"GET", (200, b"", True), id="length 0"
        ),
        pytest.param(
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + OK,
            b"GET",
            (200, b"ok", True),
            id="behind interim answers",
        ),
        pytest.param(
            CHUNKED + b"1\r\no\r\n1;x=y\r\nk\r\n0\r\nt: x\r\n\r\n", b"GET", (200, b"ok", True), id="chunks"
        ),
        pytest.param(
            OK.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n"),
            b"GET",
            (200, b"ok", False),
            id="the last one of its connection",
        ),
        pytest.param(OK.replace(b"1.1", b"1.0"), b"GET", (200, b"ok", False), id="HTTP/1.0"),
        pytest.param(
            OK.replace(b"1.1", b"1.0").replace(b"\r\n\r\n", b"\r\nconnection: Keep-Alive\r\n\r\n"),
            b"GET",
            (200, b"ok", True),
            id="HTTP/1.0 that goes on",
        ),
    ],
)
@pytest.mark.parametrize("size", [1000, 1], ids=["at once", "octet by octet"])
@pytest.mark.anyio
async def test_an_answer_ends_where_http_says_and_another_one_follows_where_both_sides_know_that(
    answer: bytes, method: bytes, expected: tuple[int, bytes, bool], size: int
) -> None:
    async with _connected((ReadRequest(), Drip(answer, size), KeepAlive())) as (connection, _):
        assert await _exchange(connection, method) == expected
        assert connection.is_usable is expected[2]
        if expected[2]:
            assert await _exchange(connection, method) == expected


@contextmanager
def _at_once_all_the_same() -> Generator[None]:
    """Let what was sent apart come together, of which an answer is not valid."""
    try:
        yield
    except UpstreamFailed as failure:
        if failure.reason is not Reason.ANSWER_NOT_VALID:
            raise


@pytest.mark.parametrize(
    ("answer", "behind", "method", "body"),
    [
        pytest.param(OK, b"x", b"GET", b"ok", id="an octet"),
        pytest.param(OK, b"\r\n", b"GET", b"ok", id="an empty line"),
        pytest.param(OK, OK, b"GET", b"ok", id="a second answer"),
        pytest.param(
            b"HTTP/1.1 204 No Content\r\n\r\n", OK, b"GET", b"", id="a second answer after one without a body"
        ),
        pytest.param(OK[:-2], b"ok", b"HEAD", b"", id="a body after an answer that has none"),
        pytest.param(CHUNKED + b"0\r\n\r\n", b"\r\n", b"GET", b"", id="an empty line after chunks"),
    ],
)
@pytest.mark.anyio
async def test_no_request_follows_where_something_stands_behind_an_answer(
    answer: bytes, behind: bytes, method: bytes, body: bytes
) -> None:
    at_once = (ReadRequest(), Send(answer + behind), WaitForTheEnd())
    later = (ReadRequest(), Send(answer), Drip(behind), WaitForTheEnd())
    async with _connected(at_once) as (connection, _):
        with pytest.raises(UpstreamFailed) as failed:
            await _exchange(connection, method)
        assert failed.value.reason is Reason.ANSWER_NOT_VALID
        assert not connection.is_usable
    async with _connected(later) as (connection, _):
        with _at_once_all_the_same():
            assert (await _exchange(connection, method))[:2] == (int(answer[9:12]), body)
        await until(lambda: not connection.is_usable)


@pytest.mark.anyio
async def test_a_body_that_lasts_until_the_end_is_the_last_of_its_connection(tls: Tls) -> None:
    script = (ReadRequest(), Send(UNTIL_CLOSE), Send(b"hel"), Send(b"lo"))
    async with _connected(script, tls=tls) as (connection, _):
        assert await _exchange(connection) == (200, b"hello", False)
        assert not connection.is_usable


@pytest.mark.anyio
async def test_parts_of_a_body_are_returned_as_they_come(tls: Tls) -> None:
    goes_on = [asyncio.Event() for _ in range(3)]
    script = (
        ReadRequest(),
        Send(CHUNKED),
        *(
            step
            for number, each in enumerate(goes_on)
            for step in (Wait(each), Send(b"1\r\n%d\r\n" % number))
        ),
        Send(b"0\r\n\r\n"),
        KeepAlive(),
    )
    async with _connected(script, tls=tls) as (connection, _):
        connection.ask(GET, b"GET")
        await connection.head(NOBODY_WAITS)
        for number, each in enumerate(goes_on):
            each.set()
            part, _ = await connection.part(NOBODY_WAITS)
            assert part == b"%d" % number
        assert await _rest(connection) == b""
        assert connection.finish()


# What is no exchange


@pytest.mark.anyio
async def test_without_a_request_there_is_no_answer_to_wait_for() -> None:
    async with _connected((WaitForTheEnd(),)) as (connection, _):
        with pytest.raises(RuntimeError, match="nothing was asked"):
            await connection.head(SOON)
        with pytest.raises(RuntimeError, match="nothing was asked"):
            await connection.part(SOON)


@pytest.mark.anyio
async def test_where_there_is_no_connection_nothing_is_asked() -> None:
    never, closed = Connection(), Connection()
    async with _connected((WaitForTheEnd(),)) as (connection, _):
        connection.abort()
        for each in (never, connection, closed):
            assert not each.is_usable
            with pytest.raises(UpstreamFailed) as failed:
                each.ask(GET, b"GET")
            assert (failed.value.reason, failed.value.detail) == (
                Reason.UPSTREAM_INTERRUPTED,
                "the connection is closed",
            )
        closed.abort()
        closed.close()
        assert not closed.finish()


@pytest.mark.anyio
async def test_while_an_answer_is_awaited_the_connection_is_not_for_another_request() -> None:
    async with _connected((ReadRequest(), WaitForTheEnd())) as (connection, _):
        connection.ask(GET, b"GET")

        assert not connection.is_usable


@pytest.mark.anyio
async def test_an_exchange_that_is_given_up_closes_the_connection(tls: Tls) -> None:
    async with _connected((ReadRequest(), Send(OK[:-1]), WaitForTheEnd()), tls=tls) as (connection, upstream):
        connection.ask(GET, b"GET")
        await connection.head(NOBODY_WAITS)

        assert not connection.finish()
        await upstream.connections[0].until_lost()
        with pytest.raises(UpstreamFailed):
            connection.ask(GET, b"GET")


@pytest.mark.anyio
async def test_whoever_waits_on_a_connection_that_is_closed_under_it_hears_of_it() -> None:
    async with _connected((ReadRequest(), Send(OK[:-1]), WaitForTheEnd())) as (connection, _):
        connection.ask(GET, b"GET")
        await connection.head(NOBODY_WAITS)
        assert (await connection.part(NOBODY_WAITS)) == (b"o", False)
        waiting = asyncio.ensure_future(connection.part(NOBODY_WAITS))
        await checkpoint()

        connection.abort()

        for _ in range(2):
            with pytest.raises(UpstreamFailed) as failed:
                await waiting
            assert failed.value.reason is Reason.UPSTREAM_INTERRUPTED
            waiting = asyncio.ensure_future(connection.part(NOBODY_WAITS))


# What upstreams do


@pytest.mark.parametrize(
    ("script", "where", "reason", "detail"),
    [
        pytest.param((Close(),), "head", "upstream-interrupted", None, id="closes at once"),
        pytest.param(
            (ReadRequest(), Close()),
            "head",
            "upstream-interrupted",
            "closed without an answer",
            id="no answer",
        ),
        pytest.param(
            (ReadRequest(), HalfClose(), WaitForTheEnd()),
            "head",
            "upstream-interrupted",
            "closed without an answer",
            id="half a connection",
        ),
        pytest.param(
            (ReadRequest(), Send(OK[:20]), Close()),
            "head",
            "upstream-interrupted",
            "closed in the middle of the head",
            id="half a head",
        ),
        pytest.param(
            (ReadRequest(), Send(b"HTTP/1.1 100 Continue\r\n\r\n"), Close()),
            "head",
            "upstream-interrupted",
            "closed in the middle of the head",
            id="an interim answer alone",
        ),
        pytest.param(
            (ReadRequest(), Send(OK[:-1]), Close()),
            "body",
            "upstream-interrupted",
            "closed in the middle of the body",
            id="half a body",
        ),
        pytest.param(
            (ReadRequest(), Send(CHUNKED + b"2\r\nok\r\n"), Close()),
            "body",
            "upstream-interrupted",
            "closed in the middle of the body",
            id="no last chunk",
        ),
        pytest.param(
            (ReadRequest(), Reset()), "head", "upstream-interrupted", "Connection reset by peer", id="a reset"
        ),
        pytest.param(
            (ReadRequest(), Send(OK[:-1]), Reset()),
            "body",
            "upstream-interrupted",
            "Connection reset by peer",
            id="a reset in the body",
        ),
        pytest.param(
            (ReadRequest(), Send(UNTIL_CLOSE + b"ok"), Reset()),
            "body",
            "upstream-interrupted",
            "Connection reset by peer",
            id="a reset of a body until the end",
        ),
        pytest.param(
            (ReadRequest(), Send(b"SSH-2.0-x\r\n"), WaitForTheEnd()),
            "head",
            "answer-not-valid",
            None,
            id="no HTTP",
        ),
        pytest.param(
            (ReadRequest(), Send(b"HTTP/1.1 101 Switching Protocols\r\n\r\n"), WaitForTheEnd()),
            "head",
            "answer-not-valid",
            "another protocol",
            id="another protocol",
        ),
        pytest.param(
            (ReadRequest(), Send(CHUNKED + b"2\r\nok\r\nz\r\n"), WaitForTheEnd()),
            "body",
            "answer-not-valid",
            "not a chunk",
            id="no chunk in the same piece",
        ),
    ],
)
@pytest.mark.anyio
async def test_an_upstream_that_does_not_answer_as_it_should_is_told_apart_and_let_go(
    script: Sequence[Any], where: str, reason: str, detail: str | None
) -> None:
    async with _connected(script) as (connection, upstream):
        found, failure = await _failure(connection)

        assert (found, failure.reason.value) == (where, reason)
        assert detail in (None, failure.detail)
        assert not connection.finish()
        assert not connection.is_usable
        await upstream.connections[0].until_lost()


@pytest.mark.anyio
async def test_what_came_before_an_upstream_failed_is_returned_before_its_failure() -> None:
    script = (ReadRequest(), Send(CHUNKED + b"2\r\nok\r\nz\r\n"), WaitForTheEnd())
    async with _connected(script) as (connection, _):
        connection.ask(GET, b"GET")
        await connection.head(NOBODY_WAITS)

        assert await connection.part(NOBODY_WAITS) == (b"ok", False)
        for _ in range(2):  # it stays what it was
            with pytest.raises(UpstreamFailed) as failed:
                await connection.part(NOBODY_WAITS)
            assert failed.value.reason is Reason.ANSWER_NOT_VALID


@pytest.mark.parametrize("end", [Reset(), Close(), HalfClose()], ids=["a reset", "a close", "half a close"])
@pytest.mark.anyio
async def test_a_whole_answer_counts_whatever_comes_behind_it(end: Any) -> None:
    async with _connected((ReadRequest(), Send(OK), end)) as (connection, upstream):
        connection.ask(GET, b"GET")
        head = await connection.head(NOBODY_WAITS)
        await until(TRANSPORTS[connection].is_closing)

        assert (head.status, await _rest(connection)) == (200, b"ok")
        connection.finish()
        assert not connection.is_usable
        await upstream.connections[0].until_lost()


class ReadNothing:
    """Reads nothing more."""

    async def play(self, connection: ScriptedConnection, /) -> None:
        connection.transport.pause_reading()


@pytest.mark.anyio
async def test_after_an_answer_in_the_middle_of_a_request_no_other_request_follows(tls: Tls) -> None:
    async with _connected((ReadNothing(), Send(OK), WaitForTheEnd()), tls=tls) as (connection, upstream):
        connection.ask(b"POST / HTTP/1.1\r\n\r\n" + bytes(LARGE), b"POST")
        assert (await connection.head(NOBODY_WAITS)).status == 200
        assert await _rest(connection) == b"ok"
        connection.finish()

        assert not connection.is_usable
        upstream.connections[0].transport.resume_reading()


@pytest.mark.anyio
async def test_the_rest_of_a_request_that_was_answered_is_not_kept_until_somebody_reads_it() -> None:
    async with ScriptedUpstream((ReadNothing(), Send(OK), WaitForTheEnd())) as upstream:
        connection = await _connect(upstream.port)
        async with nothing_left():
            sockets = open_sockets()
            connection.ask(b"POST / HTTP/1.1\r\n\r\n" + bytes(LARGE), b"POST")
            assert (await connection.head(NOBODY_WAITS)).status == 200
            assert await _rest(connection) == b"ok"

            assert not connection.finish()
            await until(lambda: open_sockets() < sockets)


# What an upstream says while nothing is asked


@contextmanager
def _listener() -> Generator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(LIMIT)
        yield listener


def _answer(peer: socket.socket) -> None:
    peer.sendall(OK)


def _say_the_end(peer: socket.socket) -> None:
    peer.shutdown(socket.SHUT_WR)


def _close(peer: socket.socket) -> None:
    peer.close()


def _reset(peer: socket.socket) -> None:
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    peer.close()


WHILE_IDLE = [
    pytest.param(_answer, id="an answer to nothing"),
    pytest.param(_say_the_end, id="that it will say nothing more"),
    pytest.param(_close, id="that it has closed"),
    pytest.param(_reset, id="a reset"),
]


@pytest.mark.parametrize("say", WHILE_IDLE)
@pytest.mark.anyio
async def test_what_has_come_is_seen_before_the_event_loop_sees_it(
    say: Callable[[socket.socket], None],
) -> None:
    with _listener() as listener:
        connection = await _connect(listener.getsockname()[1])
        peer, _ = listener.accept()
        with peer:
            assert connection.is_usable

            say(peer)

            assert not connection.is_usable
            connection.abort()


@pytest.mark.parametrize("say", WHILE_IDLE)
@pytest.mark.anyio
async def test_a_connection_on_which_something_came_unasked_is_closed(
    say: Callable[[socket.socket], None],
) -> None:
    with _listener() as listener:
        async with nothing_left():
            connection = await _connect(listener.getsockname()[1])
            peer, _ = listener.accept()
            with peer:
                say(peer)
                await until(TRANSPORTS[connection].is_closing)
                assert not connection.is_usable
                await until_still(lambda: connection.is_usable, 5)

                with pytest.raises(UpstreamFailed):
                    connection.ask(GET, b"GET")


@pytest.mark.anyio
async def test_a_second_answer_is_not_taken_for_the_answer_to_the_next_request() -> None:
    script = (ReadRequest(), Send(OK), WaitForTheEnd())
    async with _connected(script) as (connection, upstream):
        connection.ask(GET, b"GET")
        await connection.head(NOBODY_WAITS)
        await _rest(connection)
        await upstream.connections[0].send(OK)
        await until(TRANSPORTS[connection].is_closing)

        assert not connection.finish()
        assert not connection.is_usable


class Bare(asyncio.Transport):
    """A transport that does not say that it closes, and whose socket is what it is given."""

    def is_closing(self) -> bool:
        return False


@pytest.mark.parametrize("is_known", [True, False], ids=["is closed", "nobody knows"])
@pytest.mark.anyio
async def test_a_connection_of_which_the_socket_is_gone_is_of_no_use(*, is_known: bool) -> None:
    closed = socket.socket()
    closed.close()
    connection = Connection()

    connection.connection_made(Bare({"socket": closed} if is_known else None))

    assert not connection.is_usable


@pytest.mark.parametrize("end", [Reset(), Close()], ids=["a reset", "a close"])
@pytest.mark.anyio
async def test_at_every_moment_of_its_end_a_connection_says_that_it_is_of_no_use(end: Any, tls: Tls) -> None:
    may_end = asyncio.Event()
    async with _connected((Wait(may_end), end, WaitForTheEnd()), tls=tls) as (connection, _):
        await until_still(lambda: connection.is_usable)  # TLS has words of its own at the beginning
        was_usable = [connection.is_usable]
        may_end.set()
        async with asyncio.timeout(LIMIT):
            while not TRANSPORTS[connection].is_closing():
                was_usable.append(connection.is_usable)
                await checkpoint()

        assert not connection.is_usable
    assert was_usable[0]
    assert was_usable == sorted(was_usable, reverse=True)


# Time


@pytest.mark.parametrize(
    ("script", "where"),
    [
        pytest.param((WaitForTheEnd(),), "head", id="nothing"),
        pytest.param((ReadRequest(), Send(b"HTTP/1.1 200"), WaitForTheEnd()), "head", id="half a head"),
        pytest.param(
            (ReadRequest(), Send(b"HTTP/1.1 100 Continue\r\n\r\n"), WaitForTheEnd()),
            "head",
            id="an interim answer",
        ),
        pytest.param((ReadRequest(), Send(OK[:-1]), WaitForTheEnd()), "body", id="half a body"),
        pytest.param((ReadRequest(), Send(UNTIL_CLOSE), WaitForTheEnd()), "body", id="a body until the end"),
        pytest.param((ReadRequest(), Send(CHUNKED + b"2\r\n"), WaitForTheEnd()), "body", id="half a chunk"),
    ],
)
@pytest.mark.anyio
async def test_an_upstream_that_says_no_more_is_given_up_after_its_time(
    script: Sequence[Any], where: str, tls: Tls
) -> None:
    async with _connected(script, tls=tls) as (connection, upstream):
        found, failure = await _failure(connection, SOON)

        assert (found, failure.reason) == (where, Reason.UPSTREAM_TIMEOUT)
        assert failure.detail.endswith(" 0.05 seconds")
        await upstream.connections[0].until_lost()
        assert not connection.finish()


class DripSlowly:
    """Sends an octet now and then, each in time."""

    def __init__(self, octets: bytes, every: float) -> None:
        self._octets = octets
        self._every = every

    async def play(self, connection: ScriptedConnection, /) -> None:
        for octet in self._octets:
            await let_pass(self._every)
            await connection.send(bytes([octet]))


@pytest.mark.anyio
async def test_a_head_must_have_come_in_its_time_however_busily_it_comes() -> None:
    seconds = 0.3
    script = (ReadRequest(), DripSlowly(b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 5, 0.03), WaitForTheEnd())
    async with _connected(script) as (connection, _):
        begun = asyncio.get_running_loop().time()
        found, failure = await _failure(connection, seconds)
        took = asyncio.get_running_loop().time() - begun

    assert (found, failure.reason) == ("head", Reason.UPSTREAM_TIMEOUT)
    assert seconds * 0.9 < took < seconds * 3


@pytest.mark.anyio
async def test_a_body_may_take_as_long_as_its_parts_come_in_time() -> None:
    body = b"x" * 30
    head = b"HTTP/1.1 200 OK\r\ncontent-length: 30\r\n\r\n"
    script = (ReadRequest(), Send(head), DripSlowly(body, SOON / 5), WaitForTheEnd())
    async with _connected(script) as (connection, _):
        connection.ask(GET, b"GET")
        begun = asyncio.get_running_loop().time()
        await connection.head(SOON * 4)
        received, is_last = b"", False
        while not is_last:
            part, is_last = await connection.part(SOON * 4)
            received += part
        took = asyncio.get_running_loop().time() - begun

    assert received == body
    assert took > SOON * 4


# Back-pressure


class Pour:
    """Sends a body of ``total`` octets in chunks, as fast as they are taken."""

    def __init__(self, total: int, size: int = 64 * 1024) -> None:
        self.sent = 0
        self.hash = sha256()
        self._total = total
        self._size = size

    async def play(self, connection: ScriptedConnection, /) -> None:
        while self.sent < self._total:
            piece = bytes([self.sent // self._size % 251]) * self._size
            await connection.send(b"%x\r\n%b\r\n" % (len(piece), piece))
            self.hash.update(piece)
            self.sent += len(piece)
        await connection.send(b"0\r\n\r\n")


@pytest.mark.anyio
async def test_an_upstream_is_read_from_no_faster_than_its_answer_is_taken(tls: Tls) -> None:
    total = 32 * 1024 * 1024
    pour = Pour(total)
    async with _connected((ReadRequest(), Send(CHUNKED), pour, KeepAlive()), tls=tls) as (connection, _):
        connection.ask(GET, b"GET")
        await connection.head(NOBODY_WAITS)
        transport = TRANSPORTS[connection]
        await until(lambda: not transport.is_reading())
        sent = await until_still(lambda: pour.sent)
        assert sent < total

        received, most, taken, is_last = 0, 0, sha256(), False
        while not is_last:
            part, is_last = await connection.part(NOBODY_WAITS)
            assert part or is_last
            most = max(most, len(part))
            received += len(part)
            taken.update(part)

        assert (received, pour.sent, taken.digest()) == (total, total, pour.hash.digest())
        assert most <= 3 * BUFFERED
        assert connection.finish()
        assert connection.is_usable


@pytest.mark.anyio
async def test_a_connection_that_was_full_reads_the_next_answer_as_well(tls: Tls) -> None:
    body = b"x" * (2 * BUFFERED)
    large = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body
    script = (ReadRequest(), Send(large), ReadRequest(), Send(OK), WaitForTheEnd())
    async with _connected(script, tls=tls) as (connection, _):
        connection.ask(GET, b"GET")
        await connection.head(NOBODY_WAITS)
        transport = TRANSPORTS[connection]
        await until(lambda: not transport.is_reading())

        assert await _rest(connection) == body
        assert connection.finish()
        assert await _exchange(connection) == (200, b"ok", True)


@pytest.mark.anyio
async def test_the_end_of_a_full_connection_is_seen_when_its_answer_was_taken(tls: Tls) -> None:
    body = b"x" * (8 * BUFFERED)
    script = (ReadRequest(), Send(UNTIL_CLOSE), Send(body))
    async with _connected(script, tls=tls) as (connection, _):
        connection.ask(GET, b"GET")
        await connection.head(NOBODY_WAITS)
        transport = TRANSPORTS[connection]
        await until(lambda: not transport.is_reading())

        assert await _rest(connection) == body
        assert not connection.finish()


@pytest.mark.anyio
async def test_a_full_connection_can_be_given_up(tls: Tls) -> None:
    pour = Pour(32 * 1024 * 1024)
    async with _connected((ReadRequest(), Send(CHUNKED), pour), tls=tls) as (connection, upstream):
        connection.ask(GET, b"GET")
        await connection.head(NOBODY_WAITS)
        transport = TRANSPORTS[connection]
        await until(lambda: not transport.is_reading())

        assert not connection.finish()
        await upstream.connections[0].until_lost()


@pytest.mark.anyio
async def test_a_full_connection_that_is_not_http_after_all_is_let_go() -> None:
    body = b"x" * (2 * BUFFERED)
    script = (ReadRequest(), Send(CHUNKED + b"%x\r\n" % len(body) + body + b"\r\nz\r\n"), WaitForTheEnd())
    async with _connected(script) as (connection, _):
        assert (await _failure(connection))[1].reason is Reason.ANSWER_NOT_VALID


# Cancellation


@pytest.mark.parametrize("is_late", [False, True], ids=["as it waits", "as its wait is over"])
@pytest.mark.anyio
async def test_whoever_is_cancelled_while_waiting_leaves_nothing(*, is_late: bool, tls: Tls) -> None:
    async def work(connection: Connection) -> bytes:
        try:
            connection.ask(GET, b"GET")
            await connection.head(NOBODY_WAITS)
            return await _rest(connection)
        finally:
            connection.finish()
            connection.abort()

    at, is_interrupted = 0, True
    script = (ReadRequest(), Drip(CHUNKED + b"2\r\nok\r\n1\r\n!\r\n0\r\n\r\n", 30), WaitForTheEnd())
    while is_interrupted:
        at += 1
        async with _connected(script, tls=tls) as (connection, upstream):
            interrupted = Interrupted(work(connection), at, cancel_this, is_late=is_late)
            with suppress(asyncio.CancelledError):
                assert await asyncio.ensure_future(interrupted) == b"ok!"
            await upstream.connections[0].until_lost()
        is_interrupted = interrupted.is_interrupted

    assert at > 2


@pytest.mark.anyio
async def test_a_wait_that_was_cancelled_can_be_begun_again() -> None:
    goes_on = asyncio.Event()
    async with _connected((ReadRequest(), Wait(goes_on), Send(OK), WaitForTheEnd())) as (connection, _):
        connection.ask(GET, b"GET")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(SOON):
                await connection.head(NOBODY_WAITS)
        goes_on.set()

        assert (await connection.head(NOBODY_WAITS)).status == 200


@pytest.mark.anyio
async def test_whoever_begins_to_wait_on_a_connection_that_was_closed_hears_of_it_at_once() -> None:
    async with _connected((ReadRequest(), WaitForTheEnd())) as (connection, _):
        connection.ask(GET, b"GET")
        connection.abort()

        with pytest.raises(UpstreamFailed) as failed:
            await connection.head(NOBODY_WAITS)
        assert (failed.value.reason, failed.value.detail) == (
            Reason.UPSTREAM_INTERRUPTED,
            "the connection is closed",
        )


@pytest.mark.anyio
async def test_of_several_failures_the_first_one_is_told() -> None:
    async with _connected((ReadRequest(), WaitForTheEnd())) as (connection, _):
        connection.ask(GET, b"GET")
        connection.data_received(b"what?\r\n\r\n")
        connection.data_received(OK)
        connection.connection_lost(ConnectionResetError(104, "Connection reset by peer"))

        with pytest.raises(UpstreamFailed) as failed:
            await connection.head(NOBODY_WAITS)
        assert failed.value.reason is Reason.ANSWER_NOT_VALID


@pytest.mark.anyio
async def test_what_has_no_words_of_its_own_is_named_by_its_kind() -> None:
    async with _connected((ReadRequest(), WaitForTheEnd())) as (connection, _):
        connection.ask(GET, b"GET")
        connection.connection_lost(RuntimeError())
        TRANSPORTS[connection].abort()

        with pytest.raises(UpstreamFailed) as failed:
            await connection.head(SOON)
        assert failed.value.detail == "RuntimeError"
