import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from http.client import HTTPConnection
from typing import Any

import pytest
from anyio.lowlevel import checkpoint

from tests.support.asgi import Headers, Reply, http_scope
from tests.support.proxied import (
    LIMIT,
    LOOPS,
    NOBODY_WAITS,
    Client,
    Clock,
    Interrupted,
    WaitForTheEnd,
    cancel_this,
    nothing_left,
    pool_to,
    proxy_to,
    until,
    until_still,
)
from tests.support.resolving import listening, not_answering
from tests.support.scripted_upstream import (
    Close,
    Drip,
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
from tests.support.servers import serve
from tests.support.tokens import nothing_unretrieved
from tunnelgate import Reason
from tunnelgate.asgi import ASGIApp, Message, Receive, Scope
from tunnelgate.asgi import Send as SendMessage
from tunnelgate.errors import UpstreamFailed
from tunnelgate.exchange import Load, Principal, exchange_of, with_load, without_exchange
from tunnelgate.upstream.health import Health, HealthReport
from tunnelgate.upstream.pool import Pool
from tunnelgate.upstream.proxy import ProxyOptions, UpstreamProxy

SOON = 0.05  # seconds
AT_ONCE = 0.25  # seconds in which a connection is closed for which nobody waits any more
HOST = ("host", "docs.example.com")
JSON = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"
STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"


@pytest.fixture(params=LOOPS)
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return request.param


def _scope(method: str = "POST", headers: Headers = (), path: str = "/mcp") -> Scope:
    return http_scope(method, path, [HOST, *headers])


def _listening() -> Scope:
    """Return what asks for a stream."""
    return _scope("GET", [("accept", "text/event-stream")])


def _behind(principal: Principal | None, scope: Scope | None = None) -> Scope:
    """Return a scope as it is behind a gate that knows this of who asks."""
    scope = scope or _scope()
    exchange_of(scope).principal = principal
    return without_exchange(scope, scope["headers"])


async def _ask(
    proxy: UpstreamProxy, scope: Scope | None = None, body: bytes = b"{}", client: Client | None = None
) -> Reply:
    client = client or Client(body)
    await proxy(scope or _scope(), client.receive, client.send)
    return client.reply


async def _failure(
    proxy: UpstreamProxy, scope: Scope | None = None, client: Client | None = None
) -> UpstreamFailed:
    with pytest.raises(UpstreamFailed) as failed:
        await _ask(proxy, scope, client=client)
    return failed.value


def _has(client: Client, as_much_as: bytes) -> bool:
    return len(client.body) >= len(as_much_as)


def _chunk(octets: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(octets), octets)


# What passes


@pytest.mark.anyio
async def test_a_request_reaches_the_upstream_and_its_answer_the_client() -> None:
    answer = (
        b"HTTP/1.1 202 Yes\r\nServer: x\r\nContent-Type: text/plain\r\nX-One: 1\r\nX-One: 2\r\n"
        b"Connection: keep-alive, X-Two\r\nX-Two: 2\r\nContent-Length: 5\r\n\r\nhello"
    )
    async with ScriptedUpstream(answering(answer)) as upstream, nothing_left():
        pool = pool_to(upstream.port)
        reply = await _ask(
            proxy_to(pool),
            {
                **_scope("POST", [("accept", "*/*"), ("x-forwarded-for", "6.6.6.6")], "/a%2Fb"),
                "query_string": b"c=d",
            },
            b"\0\xff",
        )
        pool.close()

        (request,) = upstream.requests
        assert request.octets == (
            b"POST /a%%2Fb?c=d HTTP/1.1\r\nhost: 127.0.0.1:%d\r\naccept: */*\r\ncontent-length: 2\r\n"
            b"x-forwarded-for: 127.0.0.1\r\nx-forwarded-host: docs.example.com\r\n"
            b"x-forwarded-proto: https\r\nvia: 1.1 tunnelgate\r\n\r\n\0\xff" % upstream.port
        )
    assert reply == Reply(
        202,
        [("content-type", "text/plain"), ("x-one", "1"), ("x-one", "2"), ("content-length", "5")],
        b"hello",
    )


@pytest.mark.parametrize("parts", [(b"",), (b"ab",), (b"a", b"b"), (b"", b"a", b"", b"b", b"")], ids=str)
@pytest.mark.anyio
async def test_a_body_is_sent_whole_however_it_came(parts: tuple[bytes, ...]) -> None:
    async with ScriptedUpstream(answering(JSON)) as upstream:
        pool = pool_to(upstream.port)
        await _ask(proxy_to(pool), client=Client(*parts))
        pool.close()

        assert upstream.requests[0].body == b"".join(parts)
        assert upstream.requests[0].header(b"content-length") == b"%d" % len(b"".join(parts))


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "OPTIONS", "HEAD"])
@pytest.mark.anyio
async def test_every_method_passes_with_its_answer(method: str) -> None:
    answer = JSON[:-2] if method == "HEAD" else JSON
    async with ScriptedUpstream(answering(answer)) as upstream:
        pool = pool_to(upstream.port)
        proxy = proxy_to(pool)
        replies = [await _ask(proxy, _scope(method), b"") for _ in range(2)]
        pool.close()

        assert [each.connection for each in upstream.requests] == [0, 0]
        assert {each.method for each in upstream.requests} == {method}
    for reply in replies:
        assert (reply.status, reply.body) == (200, answer.partition(b"\r\n\r\n")[2])
        assert reply.header("content-length") == "2"


@pytest.mark.parametrize("status", [204, 205, 301, 302, 304, 307, 308, 400, 401, 404, 429, 500, 503])
@pytest.mark.anyio
async def test_whatever_the_upstream_answers_is_passed_on_and_nobody_is_followed_elsewhere(
    status: int,
) -> None:
    elsewhere = b"location: http://127.0.0.1:%d/secret\r\n"
    with listening() as other:
        head = b"HTTP/1.1 %d X\r\n" % status + elsewhere % other.port
        empty = status in (204, 304)
        answer = head + (b"\r\n" if empty else b"content-length: 1\r\n\r\nx")
        async with ScriptedUpstream(answering(answer)) as upstream:
            pool = pool_to(upstream.port)
            proxy = proxy_to(pool)
            reply = await _ask(proxy)
            pool.close()

            assert len(upstream.requests) == 1
        assert other.connections == 0
    assert (reply.status, reply.body) == (status, b"" if empty else b"x")
    assert reply.header("location") == f"http://127.0.0.1:{other.port}/secret"
    assert proxy.health.state == "answering"


@pytest.mark.parametrize(
    ("options", "host", "cookie"),
    [
        pytest.param({}, None, None, id="as it is by default"),
        pytest.param({"preserve_host": True}, b"docs.example.com", None, id="the host of the client"),
        pytest.param({"forward_cookies": True}, None, b"a=b", id="cookies"),
    ],
)
@pytest.mark.anyio
async def test_the_host_and_cookies_pass_where_that_was_asked_for(
    options: dict[str, Any], host: bytes | None, cookie: bytes | None
) -> None:
    answer = JSON.replace(b"\r\n\r\n", b"\r\nset-cookie: c=d\r\n\r\n")
    async with ScriptedUpstream(answering(answer)) as upstream:
        pool = pool_to(upstream.port)
        reply = await _ask(proxy_to(pool, **options), _scope("POST", [("cookie", "a=b")]))
        pool.close()

        (request,) = upstream.requests
        assert request.header(b"host") == (host or b"127.0.0.1:%d" % upstream.port)
        assert request.header(b"cookie") == cookie
        assert request.header(b"x-forwarded-host") == b"docs.example.com"
    assert reply.header("set-cookie") == ("c=d" if cookie else None)


@pytest.mark.anyio
async def test_interim_answers_are_not_passed_on() -> None:
    answer = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n" + JSON
    async with ScriptedUpstream(answering(answer)) as upstream:
        pool = pool_to(upstream.port)
        reply = await _ask(proxy_to(pool))
        pool.close()

    assert (reply.status, reply.header("link"), reply.body) == (200, None, b"{}")


@pytest.mark.anyio
async def test_parts_of_a_stream_are_passed_on_as_they_come() -> None:
    goes_on = [asyncio.Event() for _ in range(3)]
    events = [b"data: %d\n\n" % number for number in range(3)]
    script = (
        ReadRequest(),
        Send(STREAM),
        *(
            step
            for each, event in zip(goes_on, events, strict=True)
            for step in (Wait(each), Send(_chunk(event)))
        ),
        Send(LAST_CHUNK),
        KeepAlive(),
    )
    client = Client(b"{}")
    async with ScriptedUpstream(script) as upstream, nothing_left():
        pool = pool_to(upstream.port)
        asking = asyncio.create_task(_ask(proxy_to(pool), client=client))
        await until(lambda: len(client.got) == 1)
        for number, each in enumerate(goes_on):
            assert client.body == b"".join(events[:number])
            each.set()
            await until(partial(_has, client, events[0] * (number + 1)))
        reply = await asking
        pool.close()

    assert (reply.status, reply.body) == (200, b"".join(events))


@pytest.mark.anyio
async def test_no_proxy_of_the_environment_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    with listening() as other:
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{other.port}")
        async with ScriptedUpstream(answering(JSON)) as upstream:
            pool = pool_to(upstream.port)
            await _ask(proxy_to(pool))
            pool.close()

            assert upstream.requests[0].target == "/mcp"
        assert other.connections == 0


# What does not pass


@pytest.mark.parametrize(
    ("octets", "reason"), [(1000, None), (1001, Reason.BODY_TOO_LARGE)], ids=["at the bound", "beyond it"]
)
@pytest.mark.parametrize("cuts", [1, 7], ids=["at once", "in parts"])
@pytest.mark.anyio
async def test_a_request_is_bounded(octets: int, reason: Reason | None, cuts: int) -> None:
    size = octets // cuts + 1
    parts = [bytes(octets)[start : start + size] for start in range(0, octets, size)]
    async with ScriptedUpstream(answering(JSON)) as upstream:
        pool = pool_to(upstream.port)
        proxy = proxy_to(pool, max_body=1000)
        if reason is None:
            assert (await _ask(proxy, client=Client(*parts))).status == 200
        else:
            assert (await _failure(proxy, client=Client(*parts))).reason is reason
            assert proxy.health == HealthReport("unknown", 0, "")
        pool.close()

        assert len(upstream.connections) == (reason is None)


@pytest.mark.anyio
async def test_a_request_of_which_the_client_sent_a_part_goes_nowhere() -> None:
    async def receive() -> Message:
        return incoming.pop(0)

    incoming: list[Message] = [
        {"type": "http.request", "body": b"{", "more_body": True},
        {"type": "http.disconnect"},
    ]
    client = Client()
    with listening() as upstream:
        proxy = proxy_to(pool_to(upstream.port))
        with pytest.raises(UpstreamFailed) as failed:
            await proxy(_scope(), receive, client.send)

        assert upstream.connections == 0
    assert failed.value.reason is Reason.BODY_INCOMPLETE
    assert (client.got, proxy.health.failures) == ([], 0)


@pytest.mark.anyio
async def test_a_head_that_would_be_another_request_goes_nowhere() -> None:
    with listening() as upstream:
        proxy = proxy_to(pool_to(upstream.port), max_calls=1)
        for _ in range(2):
            failure = await _failure(proxy, _scope("POST", [("x", "1\r\n\r\nGET / HTTP/1.1")]))

            assert failure.reason is Reason.INTERNAL_ERROR
        assert upstream.connections == 0
    assert proxy.health.failures == 0


@pytest.mark.anyio
async def test_a_websocket_goes_nowhere() -> None:
    client = Client()
    with listening() as upstream:
        with pytest.raises(UpstreamFailed) as failed:
            await proxy_to(pool_to(upstream.port))({"type": "websocket"}, client.receive, client.send)

        assert upstream.connections == 0
    assert failed.value.reason is Reason.WEBSOCKET_NOT_ALLOWED


@pytest.mark.anyio
async def test_at_the_end_of_the_gate_no_connection_idles() -> None:
    may_end = asyncio.Event()
    told: list[str] = []

    async def receive() -> Message:
        if not told:
            return {"type": "lifespan.startup"}
        await may_end.wait()
        return {"type": "lifespan.shutdown"}

    async def send(message: Message) -> None:
        told.append(message["type"])

    async with ScriptedUpstream(answering(JSON)) as upstream, nothing_left():
        proxy = proxy_to(pool_to(upstream.port))
        living = asyncio.create_task(proxy({"type": "lifespan"}, receive, send))
        await until(lambda: bool(told))
        await _ask(proxy)
        may_end.set()
        await living
        await upstream.connections[0].until_lost()

    assert told == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


# Sent once


FAILING = [
    pytest.param((Close(),), Reason.UPSTREAM_INTERRUPTED, id="closes at once"),
    pytest.param((ReadRequest(), Close()), Reason.UPSTREAM_INTERRUPTED, id="closes without an answer"),
    pytest.param((ReadRequest(), Reset()), Reason.UPSTREAM_INTERRUPTED, id="resets the connection"),
    pytest.param((ReadRequest(), Send(JSON[:30]), Close()), Reason.UPSTREAM_INTERRUPTED, id="half a head"),
    pytest.param((ReadRequest(), Send(b"what?\r\n\r\n"), Close()), Reason.ANSWER_NOT_VALID, id="is no HTTP"),
    pytest.param((ReadRequest(), WaitForTheEnd()), Reason.UPSTREAM_TIMEOUT, id="does not answer"),
]


@pytest.mark.parametrize(("script", "reason"), FAILING)
@pytest.mark.parametrize("method", ["POST", "GET", "DELETE"])
@pytest.mark.anyio
async def test_a_request_is_sent_once_whatever_becomes_of_it(
    script: Script, reason: Reason, method: str
) -> None:
    client = Client(b"")
    async with ScriptedUpstream(script, answering(JSON)) as upstream, nothing_left():
        pool = pool_to(upstream.port)
        proxy = proxy_to(pool, read_timeout=4 * SOON)
        failure = await _failure(proxy, _scope(method), client)
        await upstream.connections[0].until_lost()

        assert failure.reason is reason
        assert client.got == []
        assert len(upstream.connections) == 1
        assert upstream.attempts.total() <= 1
        assert (await _ask(proxy, _scope(method), b"")).status == 200
        pool.close()


@pytest.mark.parametrize("end", [Close(), Reset()], ids=["closed", "reset"])
@pytest.mark.anyio
async def test_a_request_on_a_connection_that_ends_as_it_is_sent_is_lost_and_not_sent_again(end: Any) -> None:
    script = (ReadRequest(), Send(JSON), ReadRequest(), end)
    async with ScriptedUpstream(script, answering(JSON)) as upstream, nothing_left():
        proxy = proxy_to(pool_to(upstream.port))
        assert (await _ask(proxy)).status == 200
        failure = await _failure(proxy)

        assert failure.reason is Reason.UPSTREAM_INTERRUPTED
        assert (len(upstream.connections), upstream.posts) == (1, 2)


@pytest.mark.anyio
async def test_a_request_is_not_lost_on_a_connection_of_which_the_end_has_come() -> None:
    script = (ReadRequest(), Send(JSON), Close())
    async with ScriptedUpstream(*[script] * 5) as upstream, nothing_left():
        proxy = proxy_to(pool_to(upstream.port))
        for number in range(5):
            assert (await _ask(proxy)).status == 200
            await upstream.connections[number].until_lost()

        assert upstream.posts == 5


@pytest.mark.anyio
async def test_an_answer_to_nothing_answers_no_request() -> None:
    script = (ReadRequest(), Send(JSON), Send(JSON.replace(b"{}", b"[]")), WaitForTheEnd())
    async with ScriptedUpstream(script, answering(JSON)) as upstream, nothing_left():
        pool = pool_to(upstream.port)
        proxy = proxy_to(pool)
        with suppress(UpstreamFailed):  # which is so when both came at once
            assert (await _ask(proxy)).body == b"{}"
        await upstream.connections[0].until_lost()

        assert (await _ask(proxy)).body == b"{}"
        pool.close()
        assert upstream.posts == 2


# Time


@pytest.mark.parametrize(
    ("script", "options", "sentence", "began"),
    [
        pytest.param(
            (ReadRequest(), WaitForTheEnd()), {"read_timeout": SOON}, "0.05 seconds", False, id="the head"
        ),
        pytest.param(
            (ReadRequest(), Send(JSON[:-1]), WaitForTheEnd()),
            {"read_timeout": SOON, "idle_timeout": NOBODY_WAITS},
            "nothing came for 0.05 seconds",
            True,
            id="a part of a body",
        ),
        pytest.param(
            (ReadRequest(), Send(STREAM + _chunk(b": x\n\n")), WaitForTheEnd()),
            {"read_timeout": NOBODY_WAITS, "idle_timeout": SOON},
            "nothing came for 0.05 seconds",
            True,
            id="an event of a stream",
        ),
        pytest.param(
            (ReadRequest(), WaitForTheEnd()),
            {"total_timeout": SOON},
            "not done after 0.05 seconds",
            False,
            id="all of it, before an answer",
        ),
        pytest.param(
            (ReadRequest(), Send(STREAM + _chunk(b": x\n\n")), WaitForTheEnd()),
            {"total_timeout": 2 * SOON},
            "not done after 0.1 seconds",
            True,
            id="all of it, in a stream",
        ),
    ],
)
@pytest.mark.anyio
async def test_everything_that_an_upstream_does_has_its_time(
    *, script: Script, options: dict[str, Any], sentence: str, began: bool
) -> None:
    client = Client(b"{}")
    async with ScriptedUpstream(script) as upstream, nothing_left():
        failure = await _failure(proxy_to(pool_to(upstream.port), **options), client=client)
        await upstream.connections[0].until_lost()

    assert (failure.reason, failure.detail[-len(sentence) :]) == (Reason.UPSTREAM_TIMEOUT, sentence)
    assert bool(client.got) is began


@pytest.mark.anyio
async def test_a_connection_has_its_time_as_well() -> None:
    with not_answering() as port:
        async with nothing_left():
            proxy = proxy_to(pool_to(port, connect_timeout=SOON))
            failure = await _failure(proxy)

    assert (failure.reason, failure.detail) == (
        Reason.UPSTREAM_TIMEOUT,
        "no connection within 0.05 seconds",
    )
    assert proxy.health.failures == 1


@pytest.mark.parametrize("said", [b"text/event-stream", b"Text/Event-Stream ; charset=utf-8"], ids=ascii)
@pytest.mark.anyio
async def test_a_stream_may_be_silent_for_longer_than_a_body(said: bytes) -> None:
    goes_on = asyncio.Event()
    head = STREAM.replace(b"text/event-stream", said)
    async with ScriptedUpstream(
        (ReadRequest(), Send(head), Wait(goes_on), Send(LAST_CHUNK), KeepAlive())
    ) as upstream:
        pool = pool_to(upstream.port)
        proxy = proxy_to(pool, read_timeout=2 * SOON, idle_timeout=NOBODY_WAITS)
        asyncio.get_running_loop().call_later(5 * SOON, goes_on.set)

        assert (await _ask(proxy)).status == 200
        pool.close()


# Slots


IS_CALL = [
    pytest.param(_scope("POST", [("accept", "application/json, text/event-stream")]), id="POST"),
    pytest.param(_scope("POST", [("mcp-method", "subscriptions/listen")]), id="POST that only says what"),
    pytest.param(with_load(_listening(), Load.CALL), id="what the gate knows to be a call"),
    pytest.param(_scope("GET", [("accept", "text/html")]), id="GET of something else"),
    pytest.param(_scope("GET"), id="GET of anything"),
    pytest.param(_scope("DELETE", [("accept", "text/event-stream")]), id="DELETE"),
]
IS_STREAM = [
    pytest.param(_listening(), id="GET of a stream"),
    pytest.param(
        _scope("GET", [("accept", "application/json, text/event-stream;q=0.9")]), id="GET of either"
    ),
    pytest.param(_scope("GET", [("accept", "Text/Event-Stream")]), id="GET of a stream in capitals"),
    pytest.param(
        _scope("GET", [("accept", "text/html"), ("accept", "text/event-stream")]),
        id="GET of either in two lines",
    ),
    pytest.param(with_load(_scope(), Load.STREAM), id="what the gate knows to be a stream"),
]
IS_ASIDE = [
    pytest.param(with_load(_scope(), Load.ASIDE), id="what the gate knows to be a notification"),
    pytest.param(with_load(_listening(), Load.ASIDE), id="the same, whatever it accepts"),
]
IS_PUBLIC = [
    pytest.param(_behind(None), id="what came without a token"),
    pytest.param(_behind(None, _listening()), id="a stream that was asked for without a token"),
]


async def _hold(proxy: UpstreamProxy, scope: Scope) -> tuple[Client, "asyncio.Task[None]"]:
    """Return a client whose request is under way, and what it is."""
    client = Client(b"")
    task = asyncio.create_task(proxy(scope, client.receive, client.send))
    await checkpoint()
    return client, task


async def _let_go(*held: tuple[Client, "asyncio.Task[None]"]) -> None:
    for client, _ in held:
        client.leave()
    await asyncio.wait([task for _, task in held])
    for _, task in held:
        error = task.exception()
        assert isinstance(error, UpstreamFailed)
        assert error.reason is Reason.CALL_CANCELLED


@pytest.mark.parametrize(
    ("scope", "what"),
    [
        *(pytest.param(*each.values, "calls", id=each.id) for each in IS_CALL),
        *(pytest.param(*each.values, "streams", id=each.id) for each in IS_STREAM),
        *(pytest.param(*each.values, "notifications and responses", id=each.id) for each in IS_ASIDE),
        *(pytest.param(*each.values, "requests without a token", id=each.id) for each in IS_PUBLIC),
    ],
)
@pytest.mark.anyio
async def test_so_many_calls_and_so_many_streams_go_on_and_one_more_is_refused(
    scope: Scope, what: str
) -> None:
    calls, streams = (100, 3) if what == "streams" else (3, 100)
    limits: dict[str, Any] = {"max_calls": calls, "max_streams": streams}
    async with ScriptedUpstream((ReadRequest(), WaitForTheEnd())) as upstream, nothing_left():
        proxy = proxy_to(pool_to(upstream.port), read_timeout=LIMIT, **limits)
        held = [await _hold(proxy, scope) for _ in range(3)]
        await until(lambda: len(upstream.requests) == 3)

        failure = await _failure(proxy, scope)
        assert (failure.reason, failure.detail) == (Reason.UPSTREAM_BUSY, f"3 {what} are open")
        assert proxy.health.failures == 0
        await _let_go(held.pop())
        held.append(await _hold(proxy, scope))
        await until(lambda: len(upstream.requests) == 4)
        assert (await _failure(proxy, scope)).reason is Reason.UPSTREAM_BUSY
        await _let_go(*held)


@pytest.mark.anyio
async def test_calls_streams_what_is_said_aside_and_what_is_public_take_nothing_from_each_other() -> None:
    kinds = [_scope(), _listening(), with_load(_scope(), Load.ASIDE), _behind(None)]
    async with ScriptedUpstream((ReadRequest(), WaitForTheEnd())) as upstream, nothing_left():
        proxy = proxy_to(pool_to(upstream.port), max_calls=1, max_streams=1)
        held = [await _hold(proxy, scope) for scope in kinds]
        await until(lambda: len(upstream.requests) == 4)

        refused = [(await _failure(proxy, scope)).detail for scope in kinds]
        assert refused == [
            "1 calls are open",
            "1 streams are open",
            "1 notifications and responses are open",
            "1 requests without a token are open",
        ]
        await _let_go(*held)


@pytest.mark.anyio
async def test_a_slot_is_held_until_the_client_has_taken_all() -> None:
    client = Client(b"{}")
    client.takes.clear()
    async with ScriptedUpstream(answering(JSON)) as upstream:
        pool = pool_to(upstream.port)
        proxy = proxy_to(pool, max_calls=1)
        asking = asyncio.create_task(_ask(proxy, client=client))
        await until(lambda: proxy.health.state == "answering")
        assert (await _failure(proxy)).reason is Reason.UPSTREAM_BUSY
        client.takes.set()
        assert (await asking).status == 200
        assert (await _ask(proxy)).status == 200
        pool.close()


@pytest.mark.parametrize(
    ("scope", "used"),
    [
        *(pytest.param(*each.values, [0, 0], id=each.id) for each in (*IS_CALL, *IS_ASIDE, *IS_PUBLIC)),
        *(pytest.param(*each.values, [0, 1], id=each.id) for each in IS_STREAM),
    ],
)
@pytest.mark.anyio
async def test_what_may_last_gets_a_new_connection(scope: Scope, used: list[int]) -> None:
    async with ScriptedUpstream(answering(JSON)) as upstream:
        pool = pool_to(upstream.port)
        proxy = proxy_to(pool)
        await _ask(proxy)
        await _ask(proxy, scope, b"")
        pool.close()

        assert [request.connection for request in upstream.requests] == used


# Callers


ALICE = Principal("https://login.example.com", "alice", "agent", frozenset({"docs:read"}), {"sub": "alice"})
BOB = replace(ALICE, subject="bob", claims={"sub": "bob"})


@pytest.mark.parametrize(
    ("other", "used"),
    [
        pytest.param(BOB, [0, 1, 0], id="somebody else"),
        pytest.param(replace(ALICE, client_id="other"), [0, 1, 0], id="the same person by another client"),
        pytest.param(replace(ALICE, issuer="https://partner.example.com"), [0, 1, 0], id="a namesake"),
        pytest.param(None, [0, 1, 0], id="nobody in particular"),
        pytest.param(replace(ALICE, scopes=frozenset()), [0, 0, 0], id="the same with another token"),
    ],
)
@pytest.mark.anyio
async def test_a_connection_that_one_caller_used_is_not_used_for(
    other: Principal | None, used: list[int]
) -> None:
    async with ScriptedUpstream(answering(JSON)) as upstream, nothing_left():
        pool = pool_to(upstream.port)
        proxy = proxy_to(pool)
        for principal in (ALICE, other, ALICE):
            assert (await _ask(proxy, with_load(_behind(principal), Load.CALL))).status == 200
        pool.close()

        assert [request.connection for request in upstream.requests] == used


@pytest.mark.parametrize(
    "second",
    [
        pytest.param(Send(JSON.replace(b"{}", b"[]")), id="a whole answer"),
        pytest.param(Send(JSON.replace(b"{}", b"[]")[:30]), id="a part of one"),
    ],
)
@pytest.mark.anyio
async def test_what_a_server_says_once_more_to_one_caller_reaches_no_other(second: Send) -> None:
    class AnswerOnce:
        """Answers each request, and says something more when the next one comes, on any connection."""

        async def play(self, connection: ScriptedConnection, /) -> None:
            await connection.next_request()
            for each in upstream.connections:
                if each is not connection and not each.has_ended:
                    await second.play(each)
            await connection.send(JSON)

    async with ScriptedUpstream((AnswerOnce(), KeepAlive())) as upstream, nothing_left():
        pool = pool_to(upstream.port)
        proxy = proxy_to(pool)
        for principal in (ALICE, BOB, None):
            reply = await _ask(proxy, with_load(_behind(principal), Load.CALL))
            assert (reply.status, reply.body) == (200, b"{}")
        for each in upstream.connections[:2]:
            await each.until_lost()
        assert (await _ask(proxy, with_load(_behind(ALICE), Load.CALL))).body == b"{}"
        pool.close()


# Health


def _breaker(clock: Clock, max_failures: int = 3) -> Health:
    return Health("wiki", max_failures=max_failures, retry_after=5, clock=clock)


@pytest.mark.parametrize(("script", "reason"), FAILING)
@pytest.mark.anyio
async def test_an_upstream_that_fails_so_often_is_not_asked_until_its_time(
    script: Script, reason: Reason
) -> None:
    clock = Clock()
    async with ScriptedUpstream(*[script] * 3, answering(JSON)) as upstream, nothing_left():
        pool = pool_to(upstream.port)
        proxy = proxy_to(pool, health=_breaker(clock), read_timeout=4 * SOON)
        failures = [await _failure(proxy) for _ in range(3)]
        assert [each.reason for each in failures] == [reason] * 3
        assert proxy.health.failures == 3
        for _ in range(3):
            refusal = await _failure(proxy)
            assert (refusal.reason, refusal.detail) == (Reason.UPSTREAM_FAILING, str(failures[-1]))
        assert len(upstream.connections) == 3
        clock.now += 5

        assert (await _ask(proxy)).status == 200
        assert proxy.health == HealthReport("answering", 0, str(failures[-1]))
        pool.close()


@pytest.mark.anyio
async def test_an_upstream_that_nobody_can_reach_is_not_dialled_for_a_while() -> None:
    clock = Clock()
    with listening() as gone:
        port = gone.port
    proxy = proxy_to(pool_to(port), health=_breaker(clock))
    reasons = [(await _failure(proxy)).reason for _ in range(5)]

    assert reasons == [Reason.UPSTREAM_UNREACHABLE] * 3 + [Reason.UPSTREAM_FAILING] * 2
    assert proxy.health.state == "failing"


@pytest.mark.anyio
async def test_exactly_one_request_tries_a_failing_upstream() -> None:
    clock, goes_on = Clock(), asyncio.Event()
    scripts = ((ReadRequest(), Close()), (ReadRequest(), Wait(goes_on), Send(JSON), KeepAlive()))
    async with ScriptedUpstream(*scripts) as upstream, nothing_left():
        pool = pool_to(upstream.port)
        proxy = proxy_to(pool, health=_breaker(clock, max_failures=1))
        await _failure(proxy)
        clock.now += 5
        trial = asyncio.create_task(_ask(proxy))
        await until(lambda: len(upstream.requests) == 2)
        for _ in range(3):
            assert (await _failure(proxy)).reason is Reason.UPSTREAM_FAILING
        goes_on.set()

        assert (await trial).status == 200
        assert (await _ask(proxy)).status == 200
        assert len(upstream.requests) == 3
        pool.close()


@pytest.mark.anyio
async def test_a_client_that_goes_away_during_the_trial_leaves_it_to_the_next() -> None:
    clock = Clock()
    scripts = ((ReadRequest(), Close()), (ReadRequest(), WaitForTheEnd()), answering(JSON))
    async with ScriptedUpstream(*scripts) as upstream, nothing_left():
        pool = pool_to(upstream.port)
        proxy = proxy_to(pool, health=_breaker(clock, max_failures=1))
        await _failure(proxy)
        clock.now += 5
        trial = await _hold(proxy, _scope())
        await until(lambda: len(upstream.requests) == 2)
        await _let_go(trial)

        assert proxy.health.state == "failing"
        assert (await _ask(proxy)).status == 200
        pool.close()


@pytest.mark.anyio
async def test_slow_calls_make_no_upstream_failing_that_answers_others() -> None:
    class AnswerOthers:
        async def play(self, connection: ScriptedConnection, /) -> None:
            await connection.next_request()
            if b"slow" in bytes(connection.received):
                await connection.until(lambda: False)
            await connection.send(JSON)

    clock = Clock()
    async with ScriptedUpstream((AnswerOthers(), KeepAlive())) as upstream, nothing_left():
        pool = pool_to(upstream.port)
        proxy = proxy_to(pool, health=_breaker(clock, max_failures=2), read_timeout=2 * SOON)
        for _ in range(4):
            slow = asyncio.create_task(_failure(proxy, client=Client(b"slow")))
            await until(lambda: any(b"slow" in each.received for each in upstream.connections))
            assert (await slow).reason is Reason.UPSTREAM_TIMEOUT
            assert (await _ask(proxy)).status == 200

        assert proxy.health.state == "answering"
        pool.close()


@pytest.mark.parametrize(
    "end",
    [
        pytest.param((Close(),), id="it closes"),
        pytest.param((Reset(),), id="it resets the connection"),
        pytest.param((WaitForTheEnd(),), id="it says no more"),
        pytest.param((Send(b"z\r\n"), WaitForTheEnd()), id="it is no HTTP any more"),
    ],
)
@pytest.mark.anyio
async def test_an_upstream_that_breaks_off_in_its_answer_has_answered_and_the_client_hears_of_it(
    end: Sequence[Any],
) -> None:
    client = Client(b"{}")
    script = (ReadRequest(), Drip(STREAM + _chunk(b"data: 1\n\n"), 1000), *end)
    async with ScriptedUpstream(script) as upstream, nothing_left():
        proxy = proxy_to(pool_to(upstream.port), health=_breaker(Clock(), 1), idle_timeout=4 * SOON)
        failure = await _failure(proxy, client=client)
        await upstream.connections[0].until_lost()

    assert failure.reason in (
        Reason.UPSTREAM_INTERRUPTED,
        Reason.UPSTREAM_TIMEOUT,
        Reason.ANSWER_NOT_VALID,
    )
    assert client.got[0]["status"] == 200
    assert client.body in (b"", b"data: 1\n\n")
    assert client.got[-1].get("more_body", True) is True  # nobody said that this was all
    assert proxy.health.state == "answering"


@pytest.mark.anyio
async def test_a_body_of_which_only_the_connection_says_the_end_is_no_answer() -> None:
    client = Client(b"{}")
    script = (ReadRequest(), Send(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n{}"), Close())
    async with ScriptedUpstream(script) as upstream, nothing_left():
        proxy = proxy_to(pool_to(upstream.port), health=_breaker(Clock(), 1))
        failure = await _failure(proxy, client=client)

        assert (failure.reason, failure.detail) == (
            Reason.ANSWER_NOT_VALID,
            "a body that ends with the connection",
        )
    assert (client.got, proxy.health.state) == ([], "answering")


@pytest.mark.anyio
async def test_a_stream_of_which_only_the_connection_says_the_end_is_never_said_to_be_whole() -> None:
    client = Client(b"{}")
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"
    async with (
        ScriptedUpstream((ReadRequest(), Send(head), Send(b"data: 1\n\n"), Close())) as upstream,
        nothing_left(),
    ):
        failure = await _failure(proxy_to(pool_to(upstream.port)), client=client)

    assert (failure.reason, failure.detail) == (
        Reason.UPSTREAM_INTERRUPTED,
        "a stream that ends with the connection",
    )
    assert client.body == b"data: 1\n\n"
    assert all(message["more_body"] for message in client.got[1:])


@pytest.mark.anyio
async def test_where_no_body_comes_nobody_needs_to_say_its_end() -> None:
    async with ScriptedUpstream(answering(b"HTTP/1.1 200 OK\r\n\r\n")) as upstream, nothing_left():
        pool = pool_to(upstream.port)
        assert (await _ask(proxy_to(pool), _scope("HEAD"), b"")).status == 200
        pool.close()


@pytest.mark.anyio
async def test_a_server_that_cannot_send_any_more_ends_the_call_and_not_the_upstream() -> None:
    async def send(message: Message) -> None:
        raise OSError("the client has gone")

    script = (ReadRequest(), Send(STREAM + _chunk(b"data: 1\n\n")), WaitForTheEnd())
    async with ScriptedUpstream(script) as upstream, nothing_left():
        proxy = proxy_to(pool_to(upstream.port), max_calls=1)
        with pytest.raises(OSError, match="the client has gone"):
            await proxy(_scope(), Client(b"{}").receive, send)
        await upstream.connections[0].until_lost()

    assert proxy.health.state == "answering"


# Clients that go away


@pytest.mark.parametrize(
    "script",
    [
        pytest.param((ReadRequest(), WaitForTheEnd()), id="before an answer"),
        pytest.param((ReadRequest(), Send(JSON[:20]), WaitForTheEnd()), id="in a head"),
        pytest.param((ReadRequest(), Send(JSON[:-1]), WaitForTheEnd()), id="in a body"),
        pytest.param((ReadRequest(), Send(STREAM + _chunk(b": x\n\n")), WaitForTheEnd()), id="in a stream"),
    ],
)
@pytest.mark.parametrize("how", ["leaves", "is cancelled"])
@pytest.mark.anyio
async def test_when_nobody_waits_any_more_the_upstream_sees_it_at_once(script: Script, how: str) -> None:
    async with ScriptedUpstream(script) as upstream, nothing_left():
        client, task = await _hold(proxy_to(pool_to(upstream.port)), _scope())
        await until(lambda: len(upstream.requests) == 1)
        await until_still(lambda: len(client.got), 20)
        loop = asyncio.get_running_loop()

        left = loop.time()
        if how == "leaves":
            client.leave()
        else:
            task.cancel()
        await upstream.connections[0].until_lost()
        took = loop.time() - left
        await asyncio.wait([task])

    assert took < AT_ONCE
    assert task.cancelled() is (how == "is cancelled")


@pytest.mark.anyio
async def test_when_nobody_waits_any_more_nobody_is_dialled_any_more() -> None:
    with not_answering() as port:
        async with nothing_left(AT_ONCE):
            client, task = await _hold(proxy_to(pool_to(port)), _scope())
            await until_still(lambda: len(client.got), 20)
            client.leave()
            await asyncio.wait([task])


@pytest.mark.anyio
async def test_a_client_that_takes_nothing_and_goes_away_is_let_go() -> None:
    script = (ReadRequest(), Send(STREAM), Drip(_chunk(bytes(1000)) * 10, 100), WaitForTheEnd())
    async with ScriptedUpstream(script) as upstream, nothing_left():
        client, task = await _hold(proxy_to(pool_to(upstream.port)), _scope())
        await until(lambda: bool(client.got))
        client.takes.clear()
        await checkpoint()
        client.leave()
        await asyncio.wait([task])
        await upstream.connections[0].until_lost()


@pytest.mark.parametrize("is_late", [False, True], ids=["as it waits", "as its wait is over"])
@pytest.mark.parametrize("interrupt", [cancel_this, None], ids=["cancelled", "left by its client"])
@pytest.mark.parametrize(
    ("scope", "answer"),
    [(_scope(), JSON), (_listening(), STREAM + _chunk(b": x\n\n") + LAST_CHUNK)],
    ids=["a call", "a stream"],
)
@pytest.mark.anyio
async def test_wherever_a_request_is_ended_no_connection_no_task_and_no_slot_is_left(
    *, scope: Scope, answer: bytes, interrupt: Callable[[], object] | None, is_late: bool
) -> None:
    at, is_interrupted, outcomes = 0, True, set[str]()
    async with ScriptedUpstream(answering(answer)) as upstream:
        with nothing_unretrieved():
            while is_interrupted:
                at += 1
                async with nothing_left():
                    client = Client(b"")
                    pool = pool_to(upstream.port)
                    proxy = proxy_to(pool, max_calls=1, max_streams=1)
                    interrupted = Interrupted(
                        proxy(dict(scope), client.receive, client.send),
                        at,
                        interrupt or client.leave,
                        is_late=is_late,
                    )
                    try:
                        await asyncio.ensure_future(interrupted)
                        outcomes.add("answered")
                    except asyncio.CancelledError:
                        outcomes.add("cancelled")
                    except UpstreamFailed as failure:
                        outcomes.add(failure.reason)
                    assert proxy.health.failures == 0
                    assert (await _ask(proxy, dict(scope), b"")).status == 200  # the one slot is free
                    pool.close()
                is_interrupted = interrupted.is_interrupted
        assert upstream.attempts.total() <= 2 * at

    assert at > 5
    assert outcomes == {"answered", "cancelled" if interrupt is cancel_this else Reason.CALL_CANCELLED}


# Clients that are slow


class Pour:
    """Sends chunks of a stream as fast as they are taken."""

    def __init__(self, total: int) -> None:
        self.sent = 0
        self._total = total

    async def play(self, connection: ScriptedConnection, /) -> None:
        piece = _chunk(bytes(64 * 1024))
        while self.sent < self._total:
            await connection.send(piece)
            self.sent += 64 * 1024
        await connection.send(LAST_CHUNK)


@pytest.mark.anyio
async def test_an_upstream_waits_for_a_slow_client_and_all_of_it_arrives() -> None:
    total = 32 * 1024 * 1024
    pour, client = Pour(total), Client(b"{}")
    async with ScriptedUpstream((ReadRequest(), Send(STREAM), pour, KeepAlive())) as upstream, nothing_left():
        pool = pool_to(upstream.port)
        proxy = proxy_to(pool)
        asking = asyncio.create_task(proxy(_scope(), client.receive, client.send))
        await until(lambda: len(client.got) > 1)
        client.takes.clear()
        sent = await until_still(lambda: pour.sent)
        assert sent < total
        assert max(len(message.get("body", b"")) for message in client.got) <= 3 * 256 * 1024

        client.takes.set()
        await asking
        pool.close()

        assert len(client.body) == pour.sent == total
        assert max(len(message.get("body", b"")) for message in client.got) <= 3 * 256 * 1024


@pytest.mark.parametrize(
    ("answer", "messages"),
    [
        pytest.param(JSON.replace(b": 2", b": 3"), 0, id="not even the head of a body"),
        pytest.param(JSON.replace(b": 2", b": 3"), 1, id="a part of a body"),
        pytest.param(STREAM + _chunk(b": x\n\n"), 0, id="not even the head of a stream"),
        pytest.param(STREAM + _chunk(b": x\n\n"), 1, id="an event of a stream"),
    ],
)
@pytest.mark.parametrize("load", Load)
@pytest.mark.anyio
async def test_a_client_that_does_not_read_is_given_up_and_holds_neither_slot_nor_connection(
    answer: bytes, messages: int, load: Load
) -> None:
    class TakesSome(Client):
        async def send(self, message: Message) -> None:
            if len(self.got) == messages:
                self.takes.clear()
            await super().send(message)

    seconds = {"idle_timeout": 2 * SOON} if b"event-stream" in answer else {"read_timeout": 4 * SOON}
    limits: dict[str, Any] = {
        "read_timeout": NOBODY_WAITS,
        "idle_timeout": NOBODY_WAITS,
        **seconds,
        "max_calls": 1,
        "max_streams": 1,
    }
    script = (ReadRequest(), Send(answer), WaitForTheEnd())
    async with ScriptedUpstream(script, answering(JSON)) as upstream, nothing_left():
        pool = pool_to(upstream.port)
        proxy = proxy_to(pool, health=_breaker(Clock(), max_failures=1), **limits)
        client = TakesSome(b"{}")
        async with asyncio.timeout(LIMIT):
            failure = await _failure(proxy, with_load(_scope(), load), client)
        await upstream.connections[0].until_lost()

        assert (failure.reason, failure.detail) == (
            Reason.CALL_CANCELLED,
            "the client does not read its answer",
        )
        assert len(client.got) == messages
        assert proxy.health == HealthReport("answering", 0, "")
        assert (await _ask(proxy, with_load(_scope(), load))).status == 200
        pool.close()


# Behind a server


def _to(upstream: ScriptedUpstream) -> ASGIApp:
    """Return an application that passes on, and lives in whichever event loop serves it."""
    made: list[UpstreamProxy] = []

    async def app(scope: Scope, receive: Receive, send: SendMessage) -> None:
        if not made:
            made.append(proxy_to(pool_to(upstream.port)))
        await made[0](scope, receive, send)

    return app


def _get(port: int, method: str) -> tuple[int, str | None, bytes]:
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        outcomes: list[tuple[int, str | None, bytes]] = []
        for _ in range(2):  # what is left of the first answer would be read as the second
            connection.request(method, "/mcp")
            answer = connection.getresponse()
            outcomes.append((answer.status, answer.getheader("content-length"), answer.read()))
        assert outcomes[0] == outcomes[1]
        return outcomes[0]
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("method", "answer", "expected"),
    [
        pytest.param("HEAD", JSON[:-2], (200, "2", b""), id="HEAD"),
        pytest.param("GET", b"HTTP/1.1 304 Not Modified\r\netag: x\r\n\r\n", (304, None, b""), id="304"),
        pytest.param(
            "GET",
            b"HTTP/1.1 304 Not Modified\r\ncontent-length: 7\r\n\r\n",
            (304, None, b""),
            id="304 that says how long the body would be",
        ),
        pytest.param("GET", b"HTTP/1.1 204 No Content\r\n\r\n", (204, None, b""), id="204"),
        pytest.param(
            "GET",
            b"HTTP/1.1 204 No Content\r\ncontent-length: 0\r\n\r\n",
            (204, None, b""),
            id="204 and a length",
        ),
        pytest.param("GET", JSON, (200, "2", b"{}"), id="a body"),
        pytest.param("GET", STREAM + _chunk(b"ab") + LAST_CHUNK, (200, None, b"ab"), id="chunks"),
    ],
)
@pytest.mark.parametrize("parser", ["strict", "h11"])
@pytest.mark.anyio
async def test_a_server_in_front_sends_an_answer_that_ends_where_it_should(
    method: str, answer: bytes, expected: tuple[int, str | None, bytes], parser: Any
) -> None:
    async with ScriptedUpstream(answering(answer)) as upstream:
        with serve(_to(upstream), parser) as port:
            status, length, body = await asyncio.to_thread(_get, port, method)

    assert (status, body) == (expected[0], expected[2])
    if status == 200:
        assert length == expected[1]


@pytest.mark.anyio
async def test_the_log_names_an_upstream_that_fails(caplog: pytest.LogCaptureFixture) -> None:
    with listening() as gone:
        port = gone.port
    with caplog.at_level(logging.WARNING, "tunnelgate"):
        await _failure(proxy_to(pool_to(port), health=_breaker(Clock(), 1)))

    (message,) = [record.getMessage() for record in caplog.records]
    assert message.startswith(f"upstream wiki is failing (upstream-unreachable: 127.0.0.1 port {port}: ")


def test_without_any_setting_a_proxy_is_bounded() -> None:
    options = ProxyOptions()

    assert (options.read_timeout, options.idle_timeout, options.total_timeout) == (120, 600, 3600)
    assert (options.max_calls, options.max_streams, options.max_body) == (100, 1000, 1024 * 1024)
    assert (options.preserve_host, options.forward_cookies) == (False, False)


@pytest.mark.anyio
async def test_a_proxy_with_nothing_but_its_pool_and_health_asks() -> None:
    async with ScriptedUpstream(answering(JSON)) as upstream:
        pool: Pool = pool_to(upstream.port)
        assert (await _ask(UpstreamProxy(pool, Health("wiki")))).status == 200
        pool.close()
