"""A client in front of a proxy, the way to a server on this machine, and what both leave behind."""

import asyncio
import ssl
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import pytest
from anyio.lowlevel import checkpoint

from tests.support.asgi import Reply, reply_of
from tests.support.scripted_upstream import ScriptedConnection
from tunnelgate.asgi import Message
from tunnelgate.upstream.addresses import AddressRules
from tunnelgate.upstream.dialling import Dialler, Resolve, resolve_by_system
from tunnelgate.upstream.health import Health
from tunnelgate.upstream.pool import Pool, Target
from tunnelgate.upstream.proxy import ProxyOptions, UpstreamProxy

LIMIT = 10.0  # seconds that anything here may take
LOOPS = [
    pytest.param(("asyncio", {"use_uvloop": False}), id="asyncio"),
    pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop"),
]
NOBODY_WAITS = 60.0  # seconds, for what is not to end by its time

T = TypeVar("T")


class Clock:
    """A clock that a test sets."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class Client:
    """A client, as a server shows it to an application: its request, and what it is sent.

    What is sent waits until ``takes`` is set.
    """

    def __init__(self, *parts: bytes) -> None:
        sent = parts or (b"",)
        self._incoming: list[Message] = [
            {"type": "http.request", "body": part, "more_body": position < len(sent)}
            for position, part in enumerate(sent, 1)
        ]
        self._has_left = asyncio.Event()
        self.takes = asyncio.Event()
        self.takes.set()
        self.got: list[Message] = []

    async def receive(self) -> Message:
        if self._incoming:
            return self._incoming.pop(0)
        await self._has_left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        await self.takes.wait()
        await checkpoint()
        self.got.append(message)

    def leave(self) -> None:
        self._has_left.set()

    @property
    def body(self) -> bytes:
        """What has come of the body."""
        return b"".join(message.get("body", b"") for message in self.got)

    @property
    def reply(self) -> Reply:
        """The whole answer."""
        return reply_of(self.got)


async def until(condition: Callable[[], bool]) -> None:
    """Wait until this is so."""
    async with asyncio.timeout(LIMIT):
        while not condition():
            await checkpoint()


async def let_pass(seconds: float) -> None:
    """Let so much time pass, in which something is not to happen."""
    passed = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_later(seconds, passed.set_result, None)
    await passed


async def until_still(measure: Callable[[], int], turns: int = 500) -> int:
    """Return what is measured, once it has not changed for so many turns of the event loop."""
    async with asyncio.timeout(LIMIT):
        measured, unchanged = measure(), 0
        while unchanged < turns:
            await checkpoint()
            now = measure()
            unchanged = unchanged + 1 if now == measured else 0
            measured = now
    return measured


def open_sockets() -> int:
    """Return how many sockets this process holds."""
    held = 0
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            held += descriptor.readlink().name.startswith("socket:")
        except FileNotFoundError:
            continue  # what this listing itself had open
    return held


@asynccontextmanager
async def nothing_left(seconds: float = LIMIT) -> AsyncGenerator[None]:
    """Check that behind the block there are no more sockets and tasks than before it."""
    sockets, tasks = open_sockets(), asyncio.all_tasks()
    yield
    deadline = time.monotonic() + seconds
    while open_sockets() > sockets or asyncio.all_tasks() - tasks:
        assert time.monotonic() < deadline, (open_sockets() - sockets, asyncio.all_tasks() - tasks)
        await checkpoint()


class Interrupted(Generic[T]):
    """Awaits ``coroutine``, and calls ``interrupt`` where it waits for the time ``at``.

    Where ``is_late`` says so, it is called when that wait is over and the coroutine has not heard of
    it yet. ``is_interrupted`` is whether it came to that.
    """

    def __init__(
        self,
        coroutine: Coroutine[Any, Any, T],
        at: int,
        interrupt: Callable[[], object],
        *,
        is_late: bool = False,
    ) -> None:
        self._coroutine = coroutine
        self._at = at
        self._interrupt = interrupt
        self._is_late = is_late
        self.is_interrupted = False

    def __await__(self) -> Generator[Any, Any, T]:
        waits = 0
        error: BaseException | None = None
        while True:
            try:
                awaited = self._coroutine.send(None) if error is None else self._coroutine.throw(error)
            except StopIteration as end:
                result: T = end.value
                return result
            waits += 1
            is_here = waits == self._at
            self.is_interrupted |= is_here
            if is_here and not self._is_late:
                self._interrupt()
            error = None
            try:
                yield awaited
            except BaseException as thrown:  # noqa: BLE001 - it belongs to the coroutine
                error = thrown
            if is_here and self._is_late:
                self._interrupt()
                error = asyncio.CancelledError() if self._interrupt is cancel_this else error


def cancel_this() -> None:
    """Cancel the task that runs."""
    task = asyncio.current_task()
    if task is not None:
        task.cancel()


def dialler(resolve: Resolve = resolve_by_system) -> Dialler:
    """Return what connects to this machine alone."""
    return Dialler(AddressRules(["127.0.0.1"]), resolve=resolve)


def pool_to(
    port: int,
    *,
    host: str = "127.0.0.1",
    tls: ssl.SSLContext | None = None,
    resolve: Resolve = resolve_by_system,
    connect_timeout: float = NOBODY_WAITS,
    clock: Callable[[], float] = time.monotonic,
) -> Pool:
    """Return the connections to a server on this machine."""
    return Pool(dialler(resolve), Target(host, port, tls), connect_timeout=connect_timeout, clock=clock)


def proxy_to(pool: Pool, *, health: Health | None = None, **options: Any) -> UpstreamProxy:
    """Return a proxy whose timeouts are those of nobody, but for the ``options``."""
    return UpstreamProxy(pool, health or Health("wiki"), ProxyOptions(**options))


@dataclass(frozen=True)
class WaitForTheEnd:
    """A step of an upstream's script: wait until the other side closes, or its half of the connection."""

    async def play(self, connection: ScriptedConnection, /) -> None:
        await connection.until(lambda: False)
