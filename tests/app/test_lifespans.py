import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tunnelgate.asgi import ASGIApp, Message, Receive, Scope, Send
from tunnelgate_app.lifespans import Lifespans

LIMIT = 5  # seconds that anything here may take

COMPLETE: Message = {"type": "lifespan.startup.complete"}
STOPPED: Message = {"type": "lifespan.shutdown.complete"}


class Server:
    """The server's side of a lifespan."""

    def __init__(self) -> None:
        self._said = asyncio.Queue[Message]()
        self._heard = asyncio.Queue[Message]()

    async def start(self) -> Message:
        return await self._exchange("lifespan.startup")

    async def stop(self) -> Message:
        return await self._exchange("lifespan.shutdown")

    async def _exchange(self, type_: str) -> Message:
        self._said.put_nowait({"type": type_})
        return await asyncio.wait_for(self._heard.get(), LIMIT)

    async def run(self, app: ASGIApp) -> None:
        await app(
            {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}, self._said.get, self._heard.put
        )


@asynccontextmanager
async def serving(*apps: ASGIApp) -> AsyncGenerator[Server]:
    server = Server()
    task = asyncio.create_task(server.run(Lifespans(apps)))
    try:
        yield server
    finally:
        task.cancel()
        await asyncio.wait([task], timeout=LIMIT)


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
    async with serving(*(App(name, diary) for name in "abc")) as server:
        assert await server.start() == COMPLETE
        assert diary == ["start a", "start b", "start c"]
        assert await server.stop() == STOPPED

    assert diary == ["start a", "start b", "start c", "stop c", "stop b", "stop a"]


@pytest.mark.anyio
async def test_no_application_at_all_is_no_failure() -> None:
    async with serving() as server:
        assert (await server.start(), await server.stop()) == (COMPLETE, STOPPED)


@pytest.mark.parametrize(
    ("failure", "message"),
    [
        pytest.param({"message": "no database"}, "no database", id="one that says why"),
        pytest.param({"message": ""}, "an application failed to start", id="one with an empty message"),
        pytest.param({}, "an application failed to start", id="one without a message"),
    ],
)
@pytest.mark.anyio
async def test_one_that_fails_to_start_stops_those_before_it_and_keeps_the_server_from_starting(
    failure: dict[str, str], message: str
) -> None:
    diary: list[str] = []
    failing = App("c", diary, {"type": "lifespan.startup.failed", **failure})
    async with serving(App("a", diary), App("b", diary), failing, App("d", diary)) as server:
        assert await server.start() == {"type": "lifespan.startup.failed", "message": message}

    assert diary == ["start a", "start b", "start c", "stop b", "stop a"]


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
    async with serving(App("a", diary), app, App("c", diary)) as server:
        assert (await server.start(), await server.stop()) == (COMPLETE, STOPPED)

    assert diary == ["start a", "start c", "stop c", "stop a"]


@pytest.mark.anyio
async def test_one_that_is_cancelled_while_it_starts_does_not_keep_the_server_waiting() -> None:
    async def cancelled(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        raise asyncio.CancelledError

    async with serving(cancelled) as server:
        assert (await server.start())["type"].startswith("lifespan.startup.")


@pytest.mark.anyio
async def test_one_that_breaks_while_it_stops_does_not_keep_the_others_from_stopping() -> None:
    async def breaking(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(COMPLETE)
        await receive()
        raise RuntimeError("lost the connection")

    diary: list[str] = []
    async with serving(App("a", diary), breaking, App("c", diary)) as server:
        await server.start()
        await server.stop()

    assert diary == ["start a", "start c", "stop c", "stop a"]


@pytest.mark.anyio
async def test_one_that_fails_to_stop_is_told_to_the_server_when_all_have_stopped() -> None:
    async def failing(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(COMPLETE)
        await receive()
        await send({"type": "lifespan.shutdown.failed", "message": "half a file"})

    diary: list[str] = []
    async with serving(App("a", diary), failing) as server:
        await server.start()

        assert await server.stop() == {"type": "lifespan.shutdown.failed", "message": "half a file"}
    assert diary == ["start a", "stop a"]


@pytest.mark.anyio
async def test_each_application_has_a_state_of_its_own() -> None:
    first, second = App("a", []), App("b", [])
    async with serving(first, second) as server:
        await server.start()

    states: Sequence[Any] = [first.scope["state"], second.scope["state"]]
    assert states == [{}, {}]
    assert states[0] is not states[1]
