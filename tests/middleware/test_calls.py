import asyncio
import gc
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any
from weakref import ref

import pytest
from anyio.lowlevel import checkpoint

from tests.support.asgi import http_scope
from tests.support.proxied import LIMIT, LOOPS, Client, let_pass, nothing_left, until
from tests.support.tokens import nothing_unretrieved
from tunnelgate import Reason
from tunnelgate.asgi import Receive, Scope, Send
from tunnelgate.calls import CANCELLED_AFTER, Call, Calls, Ending
from tunnelgate.errors import UpstreamFailed

SOON = 0.05  # seconds
KEY = ("session", int, 1)

Work = Callable[[], Awaitable[Any]]


@pytest.fixture(params=LOOPS)
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return request.param


async def _for_ever() -> None:
    await asyncio.Event().wait()


class Swallowing:
    """Work that does not let itself be cancelled, and ends when it is told to."""

    def __init__(self) -> None:
        self.cancelled = 0
        self.may_end = asyncio.Event()

    async def __call__(self) -> str:
        while not self.may_end.is_set():
            try:
                await self.may_end.wait()
            except asyncio.CancelledError:
                self.cancelled += 1
        return "done"


class Under:
    """A call that is under way in a task of its own."""

    def __init__(self, calls: Calls, work: Work, **options: Any) -> None:
        self.call = Call(calls, **options)
        self._work = work
        self.task = asyncio.create_task(self._run())

    async def _run(self) -> Any:
        async with self.call as entered:
            assert entered is self.call
            return await self._work()
        return "ended"  # the call swallows the end that it brought about

    @property
    async def outcome(self) -> Any:
        """What came of it: a result, the reason of its end, or another exception."""
        await asyncio.wait([self.task], timeout=LIMIT)
        assert self.task.done(), "the call does not end"
        if self.task.cancelled():
            return "cancelled"
        error = self.task.exception()
        return error.reason if isinstance(error, UpstreamFailed) else error or self.task.result()


@asynccontextmanager
async def _under_way(calls: Calls, work: Work = _for_ever, **options: Any) -> AsyncGenerator[Under]:
    """Begin a call, and check that nothing of it is left."""
    async with nothing_left():
        under = Under(calls, work, **options)
        await until(lambda: len(calls) == 1)
        yield under
        await under.outcome
        assert len(calls) == 0


# One call


@pytest.mark.anyio
async def test_a_call_that_nobody_ends_comes_to_its_end() -> None:
    calls = Calls()

    async def work() -> str:
        assert len(calls) == 1
        return "done"

    under = Under(calls, work, key=KEY, is_stream=True)

    assert await under.outcome == "done"
    assert (under.call.key, under.call.is_stream, len(calls)) == (KEY, True, 0)


@pytest.mark.parametrize(
    "error", [ValueError("wrong"), UpstreamFailed(Reason.UPSTREAM_TIMEOUT)], ids=["an error", "a failure"]
)
@pytest.mark.anyio
async def test_what_goes_wrong_in_a_call_comes_out_of_it(error: Exception) -> None:
    calls = Calls()

    async def work() -> None:
        raise error

    under = Under(calls, work, key=KEY)

    with pytest.raises(type(error)) as raised:
        await under.task
    assert raised.value is error
    assert len(calls) == 0


@pytest.mark.anyio
async def test_a_call_that_is_ended_without_a_reason_ends_in_silence() -> None:
    async with _under_way(Calls()) as under:
        under.call.end()

        assert await under.outcome == "ended"


@pytest.mark.anyio
async def test_a_call_that_is_ended_for_a_reason_says_so() -> None:
    async with _under_way(Calls()) as under:
        under.call.end(Reason.GATE_STOPPING)

        assert await under.outcome is Reason.GATE_STOPPING


@pytest.mark.parametrize(
    ("first", "second", "outcome"),
    [
        pytest.param(
            Reason.CALL_CANCELLED, Reason.GATE_STOPPING, Reason.CALL_CANCELLED, id="for two reasons"
        ),
        pytest.param(None, Reason.GATE_STOPPING, "ended", id="in silence, and then for a reason"),
        pytest.param(
            Reason.GATE_STOPPING, None, Reason.GATE_STOPPING, id="for a reason, and then in silence"
        ),
    ],
)
@pytest.mark.parametrize("apart", [False, True], ids=["at once", "one after the other"])
@pytest.mark.anyio
async def test_a_call_is_ended_once(
    *, first: Reason | None, second: Reason | None, outcome: Any, apart: bool
) -> None:
    async with _under_way(Calls()) as under:
        under.call.end(first)
        if apart:
            await checkpoint()
        under.call.end(second)

        assert await under.outcome == outcome


@pytest.mark.anyio
async def test_a_call_that_was_over_is_not_ended() -> None:
    async def work() -> str:
        return "done"

    calls = Calls()
    with nothing_unretrieved():
        under = Under(calls, work, key=KEY)
        assert await under.outcome == "done"

        under.call.end(Reason.CALL_CANCELLED)
        await checkpoint()


@pytest.mark.parametrize("steps", range(4))
@pytest.mark.anyio
async def test_a_call_may_be_ended_at_the_moment_at_which_it_is_done(steps: int) -> None:
    async def work() -> str:
        for _ in range(3):
            await checkpoint()
        return "done"

    with nothing_unretrieved():
        async with nothing_left():
            calls = Calls()
            under = Under(calls, work)
            await until(lambda: len(calls) == 1)
            for _ in range(steps):
                await checkpoint()
            under.call.end()

            assert await under.outcome in ("done", "ended")


# Applications that do not end


@pytest.mark.parametrize("reason", [None, Reason.CALL_CANCELLED], ids=["in silence", "for a reason"])
@pytest.mark.anyio
async def test_a_call_that_does_not_let_itself_be_cancelled_is_asked_once_and_counts_until_its_end(
    reason: Reason | None,
) -> None:
    calls, work = Calls(), Swallowing()
    async with _under_way(calls, work, key=KEY) as under:
        under.call.end(reason)
        await until(lambda: work.cancelled == 1)
        under.call.end(Reason.GATE_STOPPING)
        calls.cancel(KEY)
        calls.stop(0)
        for _ in range(5):
            await checkpoint()
        assert (work.cancelled, len(calls)) == (1, 1)
        work.may_end.set()

        assert await under.outcome == ("done" if reason is None else reason)


@pytest.mark.parametrize("reason", [None, Reason.CALL_CANCELLED], ids=["in silence", "for a reason"])
@pytest.mark.anyio
async def test_what_goes_wrong_while_a_call_is_ended_is_not_lost(reason: Reason | None) -> None:
    async def work() -> None:
        try:
            await _for_ever()
        finally:
            raise ValueError("it went wrong")

    async with _under_way(Calls(), work) as under:
        under.call.end(reason)
        await asyncio.wait([under.task])

        error = under.task.exception()
        assert isinstance(error, ValueError if reason is None else UpstreamFailed)
        if reason is not None:
            assert isinstance(error.__cause__, ValueError)


@pytest.mark.parametrize("reason", [None, Reason.GATE_STOPPING], ids=["in silence", "for a reason"])
@pytest.mark.parametrize("first", ["ended", "cancelled"])
@pytest.mark.anyio
async def test_a_task_that_is_cancelled_from_outside_as_well_stays_cancelled(
    reason: Reason | None, first: str
) -> None:
    async with _under_way(Calls()) as under:
        if first == "ended":
            under.call.end(reason)
            under.task.cancel()
        else:
            under.task.cancel()
            under.call.end(reason)

        assert await under.outcome == "cancelled"


@pytest.mark.anyio
async def test_a_call_within_a_call_ends_alone() -> None:
    calls = Calls()
    inner = Call(calls)

    async def work() -> str:
        async with inner:
            await _for_ever()
        return "the inner one ended"

    async with nothing_left():
        under = Under(calls, work)
        await until(lambda: len(calls) == 2)
        inner.end()

        assert await under.outcome == "the inner one ended"


# Taken back by its key


@pytest.mark.anyio
async def test_a_call_is_taken_back_by_its_key_after_a_short_while() -> None:
    calls = Calls()
    loop = asyncio.get_running_loop()
    async with _under_way(calls, key=KEY) as under:
        begun = loop.time()
        calls.cancel(KEY)
        assert await under.outcome is Reason.CALL_CANCELLED
        took = loop.time() - begun

    assert CANCELLED_AFTER * 0.9 <= took < 0.25


@pytest.mark.anyio
async def test_a_server_that_ends_a_call_by_itself_in_that_while_has_ended_it() -> None:
    calls, may_end = Calls(), asyncio.Event()

    async def work() -> str:
        await may_end.wait()
        return "ended by itself"

    with nothing_unretrieved():
        async with _under_way(calls, work, key=KEY) as under:
            calls.cancel(KEY)
            may_end.set()
            assert await under.outcome == "ended by itself"
        await let_pass(2 * CANCELLED_AFTER)


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(("session", int, 2), id="another id"),
        pytest.param(("session", str, "1"), id="the id as a text"),
        pytest.param(("another", int, 1), id="another session"),
        pytest.param(None, id="none"),
    ],
)
@pytest.mark.anyio
async def test_another_key_takes_nothing_back(other: Any) -> None:
    calls = Calls()
    async with _under_way(calls, key=KEY) as under:
        calls.cancel(other)
        await let_pass(2 * CANCELLED_AFTER)
        assert not under.task.done()

        under.call.end()


@pytest.mark.anyio
async def test_calls_without_a_key_are_not_taken_back() -> None:
    calls = Calls()
    async with _under_way(calls) as under:
        calls.cancel(None)
        await let_pass(2 * CANCELLED_AFTER)
        assert not under.task.done()

        under.call.end()


@pytest.mark.anyio
async def test_a_call_that_is_taken_back_twice_is_taken_back_once() -> None:
    calls = Calls()
    with nothing_unretrieved():
        async with _under_way(calls, key=KEY) as under:
            calls.cancel(KEY)
            calls.cancel(KEY)
            assert await under.outcome is Reason.CALL_CANCELLED
            calls.cancel(KEY)


@pytest.mark.anyio
async def test_of_two_calls_with_one_key_the_later_one_is_taken_back() -> None:
    calls = Calls()
    async with nothing_left():
        earlier, later = Under(calls, _for_ever, key=KEY), Under(calls, _for_ever, key=KEY)
        await until(lambda: len(calls) == 2)
        calls.cancel(KEY)

        assert await later.outcome is Reason.CALL_CANCELLED
        assert not earlier.task.done()
        earlier.call.end()
        assert await earlier.outcome == "ended"
    assert len(calls) == 0


@pytest.mark.anyio
async def test_the_end_of_the_earlier_one_of_two_leaves_the_later_one_its_key() -> None:
    calls = Calls()
    async with nothing_left():
        earlier, later = Under(calls, _for_ever, key=KEY), Under(calls, _for_ever, key=KEY)
        await until(lambda: len(calls) == 2)
        earlier.call.end()
        assert await earlier.outcome == "ended"
        calls.cancel(KEY)

        assert await later.outcome is Reason.CALL_CANCELLED
    assert len(calls) == 0


@pytest.mark.anyio
async def test_a_key_whose_call_is_over_can_be_used_again() -> None:
    calls = Calls()
    for _ in range(3):
        async with _under_way(calls, key=KEY) as under:
            calls.cancel(KEY)
            assert await under.outcome is Reason.CALL_CANCELLED


@pytest.mark.parametrize("is_taken_back", [False, True], ids=["over", "taken back"])
@pytest.mark.anyio
async def test_a_call_that_is_over_is_forgotten_with_its_key(*, is_taken_back: bool) -> None:
    calls = Calls()
    known: list[ref[Call]] = []

    async def once() -> None:
        call = Call(calls, key=KEY)
        known.append(ref(call))
        with suppress(UpstreamFailed):
            async with call:
                if is_taken_back:
                    calls.cancel(KEY)
                    await _for_ever()

    for _ in range(3):
        await asyncio.create_task(once())
    await checkpoint()
    gc.collect()

    assert [each() for each in known] == [None] * 3


@pytest.mark.anyio
async def test_what_was_taken_back_late_does_not_end_the_next_call_with_its_key() -> None:
    calls, may_end = Calls(), asyncio.Event()

    async def work() -> str:
        await may_end.wait()
        return "done"

    async with _under_way(calls, work, key=KEY) as under:
        calls.cancel(KEY)
        may_end.set()
        assert await under.outcome == "done"
    async with _under_way(calls, key=KEY) as under:
        await let_pass(2 * CANCELLED_AFTER)
        assert not under.task.done()

        under.call.end()


# The gate stops


@pytest.mark.anyio
async def test_a_gate_that_stops_ends_streams_at_once_and_the_rest_when_its_time_is_over() -> None:
    calls = Calls()
    loop = asyncio.get_running_loop()
    async with nothing_left():
        call, stream = Under(calls, _for_ever), Under(calls, _for_ever, is_stream=True)
        await until(lambda: len(calls) == 2)
        begun = loop.time()
        calls.stop(4 * SOON)

        assert await stream.outcome is Reason.GATE_STOPPING
        assert loop.time() - begun < 4 * SOON
        assert not call.task.done()
        assert await call.outcome is Reason.GATE_STOPPING
        assert loop.time() - begun >= 4 * SOON * 0.9
    assert len(calls) == 0


@pytest.mark.anyio
async def test_a_call_that_is_done_in_that_time_is_done() -> None:
    calls, may_end = Calls(), asyncio.Event()

    async def work() -> str:
        await may_end.wait()
        return "done"

    with nothing_unretrieved():
        async with _under_way(calls, work) as under:
            calls.stop(SOON)
            may_end.set()
            assert await under.outcome == "done"
        await let_pass(2 * SOON)


@pytest.mark.anyio
async def test_a_stream_that_begins_while_the_gate_stops_ends_at_once_and_a_call_does_not() -> None:
    calls = Calls()
    async with nothing_left():
        calls.stop(4 * SOON)
        stream, call = Under(calls, _for_ever, is_stream=True), Under(calls, _for_ever)

        assert await stream.outcome is Reason.GATE_STOPPING
        assert not call.task.done()
        assert await call.outcome is Reason.GATE_STOPPING


@pytest.mark.anyio
async def test_a_call_that_begins_when_the_time_is_over_ends_at_once() -> None:
    calls = Calls()
    async with nothing_left():
        calls.stop(SOON)
        first = Under(calls, _for_ever)
        assert await first.outcome is Reason.GATE_STOPPING

        second = Under(calls, _for_ever)
        assert await second.outcome is Reason.GATE_STOPPING


@pytest.mark.anyio
async def test_a_gate_may_be_told_twice_to_stop() -> None:
    calls = Calls()
    async with nothing_left():
        call, stream = Under(calls, _for_ever), Under(calls, _for_ever, is_stream=True)
        await until(lambda: len(calls) == 2)
        calls.stop(100)
        calls.stop(SOON)

        assert await stream.outcome is Reason.GATE_STOPPING
        assert await call.outcome is Reason.GATE_STOPPING


@pytest.mark.anyio
async def test_a_gate_with_no_time_left_ends_everything() -> None:
    calls = Calls()
    async with nothing_left():
        under = [
            Under(calls, _for_ever, is_stream=is_stream) for is_stream in (False, True) for _ in range(50)
        ]
        await until(lambda: len(calls) == 100)
        calls.stop(0)

        assert {await each.outcome for each in under} == {Reason.GATE_STOPPING}
    assert len(calls) == 0


# What is not MCP


@pytest.mark.anyio
async def test_what_is_not_mcp_goes_on_until_the_time_of_the_gate_is_over() -> None:
    calls, client = Calls(), Client()

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await _for_ever()

    async with nothing_left():
        task = asyncio.create_task(
            Ending(application, calls)(http_scope("GET", "/healthz"), client.receive, client.send)
        )
        await until(lambda: len(calls) == 1)
        calls.stop(SOON)
        with pytest.raises(UpstreamFailed) as ended:
            await task

    assert ended.value.reason is Reason.GATE_STOPPING
    assert len(calls) == 0


@pytest.mark.parametrize(("kind", "under_way"), [("http", 1), ("websocket", 1), ("lifespan", 0)])
@pytest.mark.anyio
async def test_what_is_not_mcp_is_passed_on_as_it_is_and_the_life_of_the_application_is_no_call(
    kind: str, under_way: int
) -> None:
    calls, client = Calls(), Client(b"body")
    seen: list[Any] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        seen.extend((scope, len(calls), await receive()))
        await send({"type": "something"})

    scope = {**http_scope("GET", "/healthz"), "type": kind}
    await Ending(application, calls)(scope, client.receive, client.send)

    assert seen == [scope, under_way, {"type": "http.request", "body": b"body", "more_body": False}]
    assert seen[0] is scope
    assert client.got == [{"type": "something"}]
    assert len(calls) == 0
