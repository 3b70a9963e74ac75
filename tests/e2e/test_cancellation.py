"""Closing is cancelling: what a client no longer waits for ends behind the gate as well."""

import asyncio
import itertools
import logging
import queue
import statistics
import sys
import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import anyio
import httpx2
import orjson
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from tests.support.leaks import (
    HOST,
    JSON_HEAD,
    LIMIT,
    PROGRESS,
    STREAM_HEAD,
    Behaviour,
    Caller,
    Gate,
    Link,
    Remote,
    SdkServer,
    bearer,
    begin_session,
    chunk,
    event,
    gate,
    not_answering,
    policy_to,
    remote,
    result,
    route_mounting,
    route_to,
    sockets_of,
    wait_until,
)
from tests.support.mcp import Header, legacy, modern
from tests.support.servers import serve
from tunnelgate.asgi import ASGIApp, Receive, Scope, Send
from tunnelgate.calls import CANCELLED_AFTER
from tunnelgate_app.server import Loop, Parser

WITHIN = 0.25  # seconds
LATEST = 2.0
TIMES = 100
BIG = 8 * 1024 * 1024  # octets of a request, more than all buffers on the way take
SMALL_BUFFER = 4096
WORK: dict[str, Any] = {"name": "work", "arguments": {}}
Leaving = Literal["fin", "rst"]
Asked = tuple[list[Header], bytes]

LEAVING = [pytest.param("fin", id="closed"), pytest.param("rst", id="reset")]
SERVERS = [
    pytest.param("strict", "asyncio", id="the strict parser on asyncio"),
    pytest.param("strict", "uvloop", id="the strict parser on uvloop"),
    pytest.param("h11", "asyncio", id="h11 on asyncio"),
]


async def says_nothing(link: Link) -> None:
    await link.request()


async def breaks_off_its_json(link: Link) -> None:
    await link.request()
    await link.send(JSON_HEAD % 1000 + b'{"jsonrpc":')


async def begins_a_stream(link: Link) -> None:
    await link.request()
    await link.send(STREAM_HEAD)
    await link.send_event(PROGRESS)


async def sends_all_the_time(link: Link) -> None:
    await begins_a_stream(link)
    link.reached()
    while True:
        await link.send_event(PROGRESS)


async def is_held_up(link: Link) -> None:
    """Send until the client, which reads nothing, keeps the server from sending more."""
    await begins_a_stream(link)
    long = {**PROGRESS, "params": {**PROGRESS["params"], "message": "m" * 32_000}}
    while True:
        try:
            async with asyncio.timeout(0.1):
                await link.send_event(long)
        except TimeoutError:
            return


async def does_not_read(link: Link) -> None:
    link.read_nothing()


def waits(caller: Caller) -> None:
    """Read nothing, as there is nothing yet."""


def reads_the_head(caller: Caller) -> None:
    assert caller.answer.status == 200


def reads_an_event(caller: Caller) -> None:
    assert caller.next_event()["method"] == "notifications/progress"


def call_work(message_id: Any = 1, era: Any = modern) -> Asked:
    asked: Asked = era("tools/call", {**WORK, "_meta": {"progressToken": 1}}, message_id=message_id)
    return asked


def check_in_time(what: str, seconds: Sequence[float]) -> None:
    """Check that things ended within 250 ms, and say how soon they did.

    A machine that does something else may delay one in twenty, but none as long as a timeout would.
    """
    median, worst = statistics.median(seconds) * 1000, max(seconds) * 1000
    sys.stdout.write(f"\n{what}: {len(seconds)} times, median {median:.1f} ms, worst {worst:.1f} ms ")
    in_time = sorted(seconds)[: -max(1, len(seconds) // 20)]
    assert max(in_time) < WITHIN
    assert worst < LATEST * 1000


PHASES = [
    pytest.param(says_nothing, waits, TIMES, id="before the head of the answer"),
    pytest.param(breaks_off_its_json, waits, TIMES, id="in the middle of an answer in JSON"),
    pytest.param(begins_a_stream, reads_an_event, TIMES, id="in the middle of a stream"),
    pytest.param(sends_all_the_time, reads_the_head, TIMES, id="while events come all the time"),
    pytest.param(is_held_up, reads_the_head, 10, id="while it takes no more of the answer"),
]


@pytest.mark.promise("closing-cancels")
@pytest.mark.parametrize(("parser", "loop"), SERVERS)
@pytest.mark.parametrize("how", LEAVING)
@pytest.mark.parametrize(("behave", "read", "times"), PHASES)
def test_the_server_sees_within_250_ms_that_the_client_has_gone(
    tmp_path: Path,
    request: pytest.FixtureRequest,
    behave: Behaviour,
    read: Callable[[Caller], None],
    times: int,
    how: Leaving,
    parser: Parser,
    loop: Loop,
) -> None:
    seconds: list[float] = []

    with (
        remote(behave) as server,
        gate(policy_to(tmp_path, route_to(server.port)), parser=parser, loop=loop) as front,
    ):
        for _ in range(times):
            caller = Caller(front.port, receive_buffer=SMALL_BUFFER)
            caller.ask(call_work())
            read(caller)
            link = server.take()
            left = caller.leave(how)
            seconds.append(link.wait_ended() - left)
            front.watched.wait_ended()
        health = front.gateway.health[HOST]

    check_in_time(request.node.name, seconds)
    assert len(server.heard) == times, "each was asked once"
    assert health.failures == 0, "that a client goes is no fault of the server"


@pytest.mark.parametrize(("parser", "loop"), SERVERS)
@pytest.mark.parametrize("how", LEAVING)
def test_the_server_sees_it_while_it_does_not_read_the_request(
    tmp_path: Path, request: pytest.FixtureRequest, how: Leaving, parser: Parser, loop: Loop
) -> None:
    seconds: list[float] = []
    headers, body = legacy("tools/call", {"name": "work", "arguments": {"text": "t" * BIG}})

    with remote(does_not_read) as server:
        policy = policy_to(tmp_path, route_to(server.port), limits={"body_bytes": 2 * BIG})
        with gate(policy, parser=parser, loop=loop) as front:
            for _ in range(10):
                caller = Caller(front.port)
                caller.ask((headers, body))
                link = server.take()
                left = caller.leave(how)
                ended = front.watched.wait_ended()
                server.call(link.read_on)
                link.wait_ended()
                seconds.append(ended - left)

    check_in_time(request.node.name, seconds)
    assert server.heard == [], "what was cut off is no request"


@pytest.mark.parametrize(("parser", "loop"), SERVERS)
@pytest.mark.parametrize("how", LEAVING)
def test_what_is_not_asked_whole_is_not_asked_of_the_server(
    tmp_path: Path, how: Leaving, parser: Parser, loop: Loop
) -> None:
    headers, body = call_work()
    shortened = ([*headers, ("content-length", str(len(body)))], body[:-1])

    with (
        remote(says_nothing) as server,
        gate(policy_to(tmp_path, route_to(server.port)), parser=parser, loop=loop) as front,
    ):
        caller = Caller(front.port)
        caller.ask(shortened)
        caller.leave(how)
        front.watched.wait_ended()

    assert server.links == []


class FoundLater:
    """Looks up a name until the test has found it."""

    def __init__(self) -> None:
        self._asked = queue.SimpleQueue[tuple[asyncio.AbstractEventLoop, asyncio.Future[Sequence[str]]]]()

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        loop = asyncio.get_running_loop()
        found: asyncio.Future[Sequence[str]] = loop.create_future()
        self._asked.put((loop, found))
        return await found

    def wait_asked(self) -> Callable[[], object]:
        """Wait until a name is looked up and return what finds it."""
        loop, found = self._asked.get(timeout=LIMIT)
        return lambda: loop.call_soon_threadsafe(found.set_result, ["127.0.0.1"])


@pytest.mark.parametrize(("parser", "loop"), SERVERS)
@pytest.mark.parametrize("how", LEAVING)
def test_a_call_ends_while_the_name_of_the_server_is_looked_up(
    tmp_path: Path, request: pytest.FixtureRequest, how: Leaving, parser: Parser, loop: Loop
) -> None:
    seconds: list[float] = []
    names = FoundLater()

    with remote(says_nothing) as server:
        policy = policy_to(tmp_path, route_to(server.port, host="wiki.internal"))
        with gate(policy, parser=parser, loop=loop, resolve=names) as front:
            for _ in range(TIMES):
                caller = Caller(front.port)
                caller.ask(call_work())
                find = names.wait_asked()
                left = caller.leave(how)
                seconds.append(front.watched.wait_ended() - left)
                find()
            # Whoever comes next finds the way, and is the first that does.
            with Caller(front.port) as later:
                later.ask(call_work())
                names.wait_asked()()
                server.take()

    check_in_time(request.node.name, seconds)
    assert len(server.links) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="sockets are counted where Linux shows them")
@pytest.mark.parametrize(("parser", "loop"), SERVERS)
@pytest.mark.parametrize("how", LEAVING)
def test_a_connection_that_does_not_come_about_is_given_up(
    tmp_path: Path, request: pytest.FixtureRequest, how: Leaving, parser: Parser, loop: Loop
) -> None:
    seconds: list[float] = []

    with (
        not_answering() as port,
        gate(policy_to(tmp_path, route_to(port)), parser=parser, loop=loop) as front,
    ):
        before = sockets_of()
        for _ in range(TIMES):
            caller = Caller(front.port)
            caller.ask(call_work())
            wait_until(lambda: sockets_of() == before + 3, "the gate does not connect")
            left = caller.leave(how)
            seconds.append(front.watched.wait_ended() - left)
            wait_until(lambda: sockets_of() == before, "the gate still connects")

    check_in_time(request.node.name, seconds)


async def shakes_no_hands(link: Link) -> None:
    await link.octets(1)


@pytest.mark.parametrize(("parser", "loop"), SERVERS)
@pytest.mark.parametrize("how", LEAVING)
def test_the_server_sees_it_during_the_handshake_of_tls(
    tmp_path: Path, request: pytest.FixtureRequest, how: Leaving, parser: Parser, loop: Loop
) -> None:
    seconds: list[float] = []

    with remote(shakes_no_hands) as server:
        route = route_to(server.port, scheme="https", tls={"include_system_cas": True})
        with gate(policy_to(tmp_path, route), parser=parser, loop=loop) as front:
            for _ in range(TIMES):
                caller = Caller(front.port)
                caller.ask(call_work())
                link = server.take()
                left = caller.leave(how)
                seconds.append(link.wait_ended() - left)
                front.watched.wait_ended()

    check_in_time(request.node.name, seconds)


class Sessions:
    """A server of the legacy era that holds each call of ``work`` and heeds no cancellation."""

    def __init__(self) -> None:
        self.held: dict[tuple[str, Any], Link] = {}
        self._count = itertools.count(1)
        self._held = threading.Condition()

    async def __call__(self, link: Link) -> None:
        while True:
            asked = await link.request()
            message = asked.message
            (session,) = asked.values("mcp-session-id") or [""]
            if message["method"] == "initialize":
                begun = {
                    "protocolVersion": "2025-11-25",
                    "capabilities": {},
                    "serverInfo": {"name": "s", "version": "1"},
                }
                body = orjson.dumps({"jsonrpc": "2.0", "id": message["id"], "result": begun})
                head = JSON_HEAD.removesuffix(b"\r\n") % len(body)
                await link.send(head + b"mcp-session-id: session-%d\r\n\r\n" % next(self._count) + body)
            elif "id" not in message:
                await link.send(b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n")
            elif message["params"]["name"] == "rest":
                await link.answer(result(message["id"]))
            else:
                with self._held:
                    self.held[session, message["id"]] = link
                    self._held.notify_all()
                return

    def wait_held(self, count: int) -> None:
        """Wait until ``count`` calls were held so far."""
        with self._held:
            assert self._held.wait_for(lambda: len(self.held) == count, LIMIT), "a call does not arrive"


def begin_call(front: Gate, message_id: Any, session: str | None, subject: str = "alice") -> Caller:
    caller = Caller(front.port, subject=subject)
    caller.ask(call_work(message_id, legacy), session=session)
    return caller


def cancel(
    front: Gate, message_id: Any, session: str | None, subject: str = "alice", era: Any = legacy
) -> tuple[int, float]:
    """Take a request back and return how that was answered, and when it was sent."""
    headers, body = era("notifications/cancelled", {"requestId": message_id, "reason": "not needed"})
    message = orjson.loads(body)
    del message["id"]
    with Caller(front.port, subject=subject) as caller:
        sent = time.perf_counter()
        caller.ask((headers, orjson.dumps(message)), session=session)
        return caller.answer.status, sent


def notified(server: Remote) -> list[tuple[list[str], Any]]:
    """Return which sessions told the server to cancel which requests."""
    return [
        (heard.values("mcp-session-id"), heard.message["params"]["requestId"])
        for heard in server.heard
        if heard.message["method"] == "notifications/cancelled"
    ]


def check_goes_on(caller: Caller, link: Link, server: Remote, message_id: Any) -> None:
    body = orjson.dumps(result(message_id))
    server.call(link.write, JSON_HEAD % len(body) + body)
    assert caller.whole() == (200, result(message_id))


@pytest.mark.promise("closing-cancels")
@pytest.mark.parametrize(("parser", "loop"), SERVERS)
def test_a_call_that_its_client_cancels_ends_within_250_ms(
    tmp_path: Path, request: pytest.FixtureRequest, parser: Parser, loop: Loop
) -> None:
    sessions = Sessions()
    with remote(sessions) as server:
        policy = policy_to(tmp_path, route_to(server.port, max_calls=TIMES + 1))
        with gate(policy, parser=parser, loop=loop) as front:
            session = begin_session(front.port)
            callers = [begin_call(front, number, session) for number in range(TIMES)]
            sessions.wait_held(TIMES)

            cancelled = [cancel(front, number, session) for number in range(TIMES)]
            ended = [sessions.held["session-1", number].wait_ended() for number in range(TIMES)]
            answers = [caller.whole() for caller in callers]
            for caller in callers:
                caller.leave("fin")

    seconds = [end - sent for end, (_, sent) in zip(ended, cancelled, strict=True)]
    check_in_time(request.node.name, seconds)
    assert min(seconds) > CANCELLED_AFTER / 2, "the server had no time to end it by itself"
    assert [status for status, _ in cancelled] == [202] * TIMES
    assert [(status, message["id"], message["error"]["message"]) for status, message in answers] == [
        (200, number, "Cancelled") for number in range(TIMES)
    ]
    assert notified(server) == [(["session-1"], number) for number in range(TIMES)]


def test_a_stream_that_its_client_cancels_ends_with_an_error(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    sessions = Sessions()
    seconds: list[float] = []

    async def streams(link: Link) -> None:
        await sessions(link)
        await link.send(STREAM_HEAD)
        await link.send_event(PROGRESS)

    with remote(streams) as server, gate(policy_to(tmp_path, route_to(server.port))) as front:
        session = begin_session(front.port)
        for number in range(20):
            with begin_call(front, f"call {number}", session) as caller:
                first = caller.next_event()
                _, sent = cancel(front, f"call {number}", session)
                last, after = caller.next_event(), caller.next_event()
                seconds.append(server.take().wait_ended() - sent)

            assert first["method"] == "notifications/progress"
            assert (last["id"], last["error"]["message"], after) == (f"call {number}", "Cancelled", None)

    check_in_time(request.node.name, seconds)


def test_what_is_cancelled_while_no_more_calls_may_be_made_is_told_to_the_server(tmp_path: Path) -> None:
    sessions = Sessions()
    with (
        remote(sessions) as server,
        gate(policy_to(tmp_path, route_to(server.port, max_calls=2))) as front,
    ):
        session = begin_session(front.port)
        callers = [begin_call(front, number, session) for number in (1, 2)]
        sessions.wait_held(2)

        status, _ = cancel(front, 1, session)
        for caller in callers:
            caller.leave("fin")

    assert status == 202
    assert notified(server) == [(["session-1"], 1)]


@pytest.mark.promise("closing-cancels")
def test_only_the_request_that_is_named_ends(tmp_path: Path) -> None:
    sessions = Sessions()
    with remote(sessions) as server, gate(policy_to(tmp_path, route_to(server.port))) as front:
        one, two, three = (
            begin_session(front.port),
            begin_session(front.port),
            begin_session(front.port, "bob"),
        )
        calls = [
            ("session-1", 7, begin_call(front, 7, one)),
            ("session-1", 8, begin_call(front, 8, one)),
            ("session-1", "7", begin_call(front, "7", one)),
            ("session-2", 7, begin_call(front, 7, two)),
            ("session-3", 7, begin_call(front, 7, three, "bob")),
        ]
        sessions.wait_held(len(calls))

        status, _ = cancel(front, 7, one)
        (_, _, cancelled), *others = calls
        answer = cancelled.whole()
        for name, message_id, caller in others:
            check_goes_on(caller, sessions.held[name, message_id], server, message_id)
        for _, _, caller in calls:
            caller.leave("fin")

    assert status == 202
    assert (answer[0], answer[1]["error"]["message"]) == (200, "Cancelled")


def own_session(front: Gate, session: str) -> tuple[int, float]:
    return cancel(front, 7, begin_session(front.port, "bob"), "bob")


def stolen_session(front: Gate, session: str) -> tuple[int, float]:
    return cancel(front, 7, session, "bob")


def another_id(front: Gate, session: str) -> tuple[int, float]:
    return cancel(front, 8, session)


def another_type(front: Gate, session: str) -> tuple[int, float]:
    return cancel(front, "7", session)


def truth(front: Gate, session: str) -> tuple[int, float]:
    return cancel(front, message_id=True, session=begin_session(front.port))


def no_session(front: Gate, session: str) -> tuple[int, float]:
    return cancel(front, 7, None)


def modern_era(front: Gate, session: str) -> tuple[int, float]:
    return cancel(front, 7, session, era=modern)


CANCELS_NOTHING = [
    pytest.param(own_session, 202, id="of the same id in a session of somebody else"),
    pytest.param(stolen_session, 404, id="by somebody else who has heard of the session"),
    pytest.param(another_id, 202, id="of an id that is not in use"),
    pytest.param(another_type, 202, id="of the same id as a text"),
    pytest.param(truth, 202, id="of what is no id"),
    pytest.param(no_session, 202, id="without a session"),
    pytest.param(modern_era, 202, id="in the modern era, which has none"),
]


@pytest.mark.parametrize(("attempt", "status"), CANCELS_NOTHING)
def test_nothing_ends_by_a_cancellation(
    tmp_path: Path, attempt: Callable[[Gate, str], tuple[int, float]], status: int
) -> None:
    sessions = Sessions()
    with remote(sessions) as server, gate(policy_to(tmp_path, route_to(server.port))) as front:
        session = begin_session(front.port)
        with begin_call(front, 7, session) as caller, begin_call(front, 9, session) as marker:
            sessions.wait_held(2)

            answered, _ = attempt(front, session)
            # What is cancelled later has ended, so the earlier one had time enough to end as well.
            cancel(front, 9, session)
            ended = marker.whole()
            check_goes_on(caller, sessions.held["session-1", 7], server, 7)

    assert answered == status
    assert ended[1]["error"]["message"] == "Cancelled"


def test_a_call_without_a_session_is_not_cancelled_by_its_id(tmp_path: Path) -> None:
    sessions = Sessions()
    with (
        remote(sessions) as server,
        gate(policy_to(tmp_path, route_to(server.port))) as front,
        begin_call(front, 7, None) as caller,
    ):
        sessions.wait_held(1)

        status, _ = cancel(front, 7, None)
        session = begin_session(front.port)
        with begin_call(front, 9, session) as marker:
            sessions.wait_held(2)
            cancel(front, 9, session)
            marker.whole()
        check_goes_on(caller, sessions.held["", 7], server, 7)

    assert status == 202


@contextmanager
def gate_to_sdk(folder: Path, where: str, sdk: SdkServer, loop: Loop = "asyncio") -> Generator[Gate]:
    if where == "mounted":
        with gate(policy_to(folder, route_mounting(sdk.make)), loop=loop) as front:
            yield front
    else:
        with serve(sdk.make()) as port, gate(policy_to(folder, route_to(port)), loop=loop) as front:
            yield front


WHERE = [pytest.param("mounted", id="mounted"), pytest.param("remote", id="remote")]


def errors_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize("where", WHERE)
def test_a_server_of_the_official_sdk_ends_what_is_cancelled_and_its_session_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, request: pytest.FixtureRequest, where: str, loop: Loop
) -> None:
    sdk, seconds = SdkServer(), list[float]()

    with gate_to_sdk(tmp_path, where, sdk, loop) as front:
        session = begin_session(front.port)
        headers, _ = legacy("ping")
        with Caller(front.port) as caller:
            initialized = orjson.dumps({"jsonrpc": "2.0", "method": "notifications/initialized"})
            caller.ask((headers, initialized), session=session)
            assert caller.answer.status == 202
        for number in range(20):
            with begin_call(front, number, session) as caller:
                assert sdk.began.acquire(timeout=LIMIT)

                _, sent = cancel(front, number, session)
                seconds.append(sdk.cancelled.get(timeout=LIMIT) - sent)
                answer = caller.next_event()
                # Whoever is the first says it: the server, or after a while the gate.
                assert (answer["id"], answer["error"]["message"]) in {
                    (number, "Request cancelled"),
                    (number, "Cancelled"),
                }
                assert caller.next_event() is None
            with Caller(front.port) as caller:
                caller.ask(legacy("tools/call", {"name": "rest", "arguments": {}}), session=session)
                assert caller.next_event()["result"]["content"][0]["text"] == "rested"

    check_in_time(request.node.name, seconds)
    assert errors_in(caplog) == []


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
@pytest.mark.anyio
async def test_what_the_official_client_gives_up_ends_at_the_server(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, where: str, mode: Any
) -> None:
    sdk, seconds = SdkServer(), list[float]()

    with gate_to_sdk(tmp_path, where, sdk) as front:
        headers = {"authorization": bearer(), "host": HOST}
        async with httpx2.AsyncClient(headers=headers, timeout=LIMIT) as http:
            transport = streamable_http_client(f"http://127.0.0.1:{front.port}/mcp", http_client=http)
            async with Client(transport, mode=mode) as client:
                for _ in range(10):
                    left = 0.0
                    async with anyio.create_task_group() as tasks:
                        tasks.start_soon(client.call_tool, "work")
                        assert await anyio.to_thread.run_sync(lambda: sdk.began.acquire(timeout=LIMIT))
                        left = time.perf_counter()
                        tasks.cancel_scope.cancel()
                    cancelled = await anyio.to_thread.run_sync(lambda: sdk.cancelled.get(timeout=LIMIT))
                    seconds.append(cancelled - left)
                    rested: Any = (await client.call_tool("rest", {})).content[0]
                    assert rested.text == "rested"

    check_in_time(f"the official client, {mode}, {where}", seconds)
    assert errors_in(caplog) == []


class Streaming:
    """A mounted application that streams ``events``, and then waits for its own end."""

    def __init__(self, events: Sequence[bytes]) -> None:
        self.ended = queue.SimpleQueue[float]()
        self._events = events

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise NotImplementedError
        headers = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        try:
            for each in self._events:
                await send({"type": "http.response.body", "body": each, "more_body": True})
            await anyio.sleep_forever()
        finally:
            self.ended.put(time.perf_counter())


NO_JSON_RPC = b"event: message\ndata: [1, 2, 3]\n\n"
REFUSED = [
    pytest.param([event(PROGRESS), NO_JSON_RPC], ["error"], id="an event that is no JSON-RPC"),
    pytest.param([event(PROGRESS), event(result(2))], ["error"], id="the answer to another request"),
    pytest.param([event(result(1)), event(result(1))], ["result"], id="a second answer"),
    pytest.param(
        [event(PROGRESS), event(PROGRESS) + NO_JSON_RPC], ["method", "error"], id="one behind a good one"
    ),
]


def check_ended_by_the_gate(caller: Caller, members: Sequence[str]) -> float:
    """Check what a client sees of a stream that the gate ends, and return when it saw the end."""
    seen = list(iter(caller.next_event, None))
    rest = seen if "result" in members else seen[1:]
    assert [next(iter({"error", "result", "method"} & each.keys())) for each in rest] == list(members)
    assert all(each["id"] == 1 for each in seen if "method" not in each)
    return time.perf_counter()


@pytest.mark.parametrize("era", [pytest.param(legacy, id="legacy"), pytest.param(modern, id="modern")])
@pytest.mark.parametrize(("events", "members"), REFUSED)
def test_what_the_gate_refuses_of_a_stream_ends_the_mounted_application(
    tmp_path: Path, request: pytest.FixtureRequest, events: Sequence[bytes], members: Sequence[str], era: Any
) -> None:
    app = Streaming(events)

    def make() -> ASGIApp:
        return app

    seconds: list[float] = []
    with gate(policy_to(tmp_path, route_mounting(make))) as front:
        for _ in range(20):
            with Caller(front.port) as caller:
                caller.ask(call_work(1, era))
                seen = check_ended_by_the_gate(caller, members)
                seconds.append(app.ended.get(timeout=LIMIT) - seen)

    check_in_time(request.node.name, seconds)


@pytest.mark.parametrize("era", [pytest.param(legacy, id="legacy"), pytest.param(modern, id="modern")])
@pytest.mark.parametrize(("events", "members"), REFUSED)
def test_what_the_gate_refuses_of_a_stream_ends_the_connection_to_the_server(
    tmp_path: Path, request: pytest.FixtureRequest, events: Sequence[bytes], members: Sequence[str], era: Any
) -> None:
    async def streams(link: Link) -> None:
        await link.request()
        await link.send(STREAM_HEAD)
        for each in events:
            await link.send(chunk(each))

    seconds: list[float] = []
    with remote(streams) as server, gate(policy_to(tmp_path, route_to(server.port))) as front:
        for _ in range(20):
            with Caller(front.port) as caller:
                caller.ask(call_work(1, era))
                link = server.take()
                seen = check_ended_by_the_gate(caller, members)
                seconds.append(link.wait_ended() - seen)
        health = front.gateway.health[HOST]

    check_in_time(request.node.name, seconds)
    assert health.failures == 0


CHUNKED = b"transfer-encoding: chunked\r\n\r\n"
JSON_TYPE = b"content-type: application/json\r\n"
LARGE = 100_000
ENDLESS = [
    pytest.param(b"HTTP/1.1 200 OK\r\n" + JSON_TYPE, 502, id="JSON without an end"),
    pytest.param(b"HTTP/1.1 404 Not Found\r\n" + JSON_TYPE, 502, id="a refusal without an end"),
    pytest.param(b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\n", 502, id="a page"),
    pytest.param(b"HTTP/1.1 302 Found\r\nlocation: /elsewhere\r\n", 502, id="a redirect"),
    pytest.param(
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n", 200, id="an event without an end"
    ),
]


@pytest.mark.parametrize("era", [pytest.param(legacy, id="legacy"), pytest.param(modern, id="modern")])
@pytest.mark.parametrize(("head", "status"), ENDLESS)
def test_what_the_gate_refuses_before_its_end_ends_the_connection_to_the_server(
    tmp_path: Path, request: pytest.FixtureRequest, head: bytes, status: int, era: Any
) -> None:
    async def goes_on(link: Link) -> None:
        await link.request()
        link.reached()
        await link.send(head + CHUNKED)
        while True:
            await link.send(chunk(b"x" * 1000))

    seconds: list[float] = []
    with remote(goes_on) as server:
        policy = policy_to(tmp_path, route_to(server.port), limits={"answer_bytes": LARGE})
        with gate(policy) as front:
            for _ in range(20):
                with Caller(front.port) as caller:
                    caller.ask(call_work(7, era))
                    link = server.take()
                    assert caller.answer.status == status
                    message = caller.next_event() if status == 200 else caller.whole()[1]
                    seen = time.perf_counter()
                    seconds.append(link.wait_ended() - seen)
                    assert (message["id"], message["error"]["message"]) == (
                        7,
                        "The server's answer was not valid",
                    )

    check_in_time(request.node.name, seconds)


def test_a_server_that_goes_on_about_a_notification_is_left(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    async def goes_on(link: Link) -> None:
        await link.request()
        link.reached()
        await link.send(b"HTTP/1.1 202 Accepted\r\ncontent-type: text/event-stream\r\n" + CHUNKED)
        while True:
            await link.send_event(PROGRESS)

    seconds: list[float] = []
    notification = orjson.dumps({"jsonrpc": "2.0", "method": "notifications/initialized"})
    with remote(goes_on) as server, gate(policy_to(tmp_path, route_to(server.port))) as front:
        for _ in range(20):
            with Caller(front.port) as caller:
                caller.ask((legacy("ping")[0], notification))
                link = server.take()
                assert (caller.answer.status, caller.answer.read()) == (202, b"")
                seen = time.perf_counter()
                seconds.append(link.wait_ended() - seen)

    check_in_time(request.node.name, seconds)
