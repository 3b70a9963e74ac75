import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from anyio.lowlevel import checkpoint

from tunnelgate.asgi import ASGIApp, Message, Receive, Scope, Send
from tunnelgate_app.lifespans import LifespanError, Lifespans

LIMIT = 5  # seconds that anything here may take
SOON = 0.05

SCOPE: Scope = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}
COMPLETE: Message = {"type": "lifespan.startup.complete"}
STOPPED: Message = {"type": "lifespan.shutdown.complete"}


@asynccontextmanager
async def running(*apps: ASGIApp) -> AsyncGenerator[Lifespans]:
    """Start applications with a server, and stop what is left in the end."""
    lifespans = Lifespans()
    async with asyncio.timeout(LIMIT):
        await lifespans.begin(SCOPE, apps)
        yield lifespans
        await lifespans.end()


class App:
    """An application that writes down when it starts and stops."""

    def __init__(self, name: str, diary: list[str], failure: Message | None = None) -> None:
        self.name = name
        self.diary = diary
        self.failure = failure
        self.scope: Scope = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope = scope
        assert (await receive())["type"] == "lifespan.startup"
        self.diary.append(f"start {self.name}")
        if self.failure is not None:
            await send(self.failure)
            return
        await send(COMPLETE)
        assert (await receive())["type"] == "lifespan.shutdown"
        self.diary.append(f"stop {self.name}")
        await send(STOPPED)


@pytest.mark.anyio
async def test_applications_start_in_their_order_and_stop_in_reverse() -> None:
    diary: list[str] = []
    async with running(*(App(name, diary) for name in "abc")) as lifespans:
        assert diary == ["start a", "start b", "start c"]
        assert await lifespans.end() == []

    assert diary == ["start a", "start b", "start c", "stop c", "stop b", "stop a"]


@pytest.mark.anyio
async def test_no_application_at_all_is_no_failure() -> None:
    async with running() as lifespans:
        assert await lifespans.end() == []


@pytest.mark.anyio
async def test_while_others_run_some_start_and_some_stop() -> None:
    diary: list[str] = []
    a, b, c, d = (App(name, diary) for name in "abcd")
    async with running(a, b) as lifespans:
        await lifespans.start([b, c, d])
        assert await lifespans.stop([c, a, App("e", diary)]) == []
        assert diary == ["start a", "start b", "start c", "start d", "stop a", "stop c"]

    assert diary[6:] == ["stop d", "stop b"]


@pytest.mark.anyio
async def test_nothing_starts_before_the_server_has_and_after_it_has_stopped() -> None:
    diary: list[str] = []
    lifespans = Lifespans()

    await lifespans.start([App("a", diary)])
    await lifespans.begin(SCOPE, [])
    await lifespans.end()
    await lifespans.start([App("b", diary)])

    assert diary == []


@pytest.mark.parametrize(
    ("failure", "message"),
    [
        pytest.param({"message": "no database"}, "no database", id="one that says why"),
        pytest.param({"message": ""}, "an application failed to start", id="one with an empty message"),
        pytest.param({}, "an application failed to start", id="one without a message"),
    ],
)
@pytest.mark.anyio
async def test_one_that_fails_to_start_stops_those_that_started_beside_it(
    failure: dict[str, str], message: str
) -> None:
    diary: list[str] = []
    failing = App("c", diary, {"type": "lifespan.startup.failed", **failure})
    async with running(App("z", diary)) as lifespans:
        with pytest.raises(LifespanError) as failed:
            await lifespans.start([App("a", diary), App("b", diary), failing, App("d", diary)])

    assert (str(failed.value), failed.value.app) == (message, failing)
    assert diary == ["start z", "start a", "start b", "start c", "stop b", "stop a", "stop z"]


async def hangs(scope: Scope, receive: Receive, send: Send) -> None:
    await asyncio.Event().wait()


async def never_stops(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send(COMPLETE)
    await asyncio.Event().wait()


@pytest.mark.anyio
async def test_one_that_does_not_start_in_time_has_failed_and_is_cancelled() -> None:
    before = asyncio.all_tasks()
    async with running() as lifespans:
        with pytest.raises(LifespanError, match=r"^did not start within 0\.05 seconds$"):
            await lifespans.start([hangs], SOON)
        await checkpoint()

    assert asyncio.all_tasks() == before


@pytest.mark.anyio
async def test_one_that_does_not_stop_in_time_is_cancelled_and_told() -> None:
    before = asyncio.all_tasks()
    async with running(never_stops) as lifespans:
        told = await lifespans.stop([never_stops], SOON)
        await checkpoint()

    assert told == ["an application did not stop within 0.05 seconds"]
    assert asyncio.all_tasks() == before


async def raises(scope: Scope, receive: Receive, send: Send) -> None:
    raise NotImplementedError(scope["type"])


async def returns(scope: Scope, receive: Receive, send: Send) -> None:
    pass


async def reads_and_raises(scope: Scope, receive: Receive, send: Send) -> None:
    assert (await receive())["type"] == "http.request"


async def starts_and_leaves(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send(COMPLETE)


@pytest.mark.parametrize(
    "app",
    [
        pytest.param(raises, id="raises"),
        pytest.param(returns, id="returns at once"),
        pytest.param(reads_and_raises, id="takes the message for another and raises"),
        pytest.param(starts_and_leaves, id="starts and waits for nothing"),
    ],
)
@pytest.mark.anyio
async def test_one_that_has_no_lifespan_is_left_alone(app: ASGIApp) -> None:
    diary: list[str] = []
    async with running(App("a", diary), app, App("c", diary)) as lifespans:
        assert await lifespans.end() == []

    assert diary == ["start a", "start c", "stop c", "stop a"]


@pytest.mark.anyio
async def test_one_that_is_cancelled_while_it_starts_does_not_keep_the_server_waiting() -> None:
    async def cancelled(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        raise asyncio.CancelledError

    async with running(cancelled) as lifespans:
        assert await lifespans.end() == []


@pytest.mark.anyio
async def test_one_that_breaks_while_it_stops_does_not_keep_the_others_from_stopping() -> None:
    async def breaking(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(COMPLETE)
        await receive()
        raise RuntimeError("lost the connection")

    diary: list[str] = []
    async with running(App("a", diary), breaking, App("c", diary)):
        pass

    assert diary == ["start a", "start c", "stop c", "stop a"]


@pytest.mark.parametrize(
    ("failure", "message"),
    [
        pytest.param({"message": "half a file"}, "half a file", id="with a message"),
        pytest.param({}, "an application failed to stop", id="without one"),
    ],
)
@pytest.mark.anyio
async def test_one_that_fails_to_stop_is_told_when_all_have_stopped(
    failure: dict[str, str], message: str
) -> None:
    async def failing(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(COMPLETE)
        await receive()
        await send({"type": "lifespan.shutdown.failed", **failure})

    diary: list[str] = []
    async with running(App("a", diary), failing) as lifespans:
        assert await lifespans.end() == [message]
    assert diary == ["start a", "stop a"]


@pytest.mark.anyio
async def test_each_application_has_a_state_of_its_own() -> None:
    first, second = App("a", []), App("b", [])
    async with running(first, second):
        pass

    states: Sequence[Any] = [first.scope["state"], second.scope["state"]]
    assert states == [{}, {}]
    assert states[0] is not states[1]
