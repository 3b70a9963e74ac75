"""A proxy between a client and an upstream that does to a connection what networks do to it."""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from types import TracebackType
from typing import Protocol, Self

from tests.support.scripted_upstream import Gone, Wire


class Way(Enum):
    """The ways that octets go."""

    REQUEST = "request"
    ANSWER = "answer"


class Trouble(Protocol):
    """What happens to the octets that go one ``way``, behind the first ``at`` of them.

    It happens as soon as so many have come, and at least one.
    """

    @property
    def way(self) -> Way: ...

    @property
    def at(self) -> int: ...

    async def happen(self, pipe: "Pipe", /) -> None:
        """Do it; raise ``Gone`` where nothing more goes this way."""
        ...


@dataclass(frozen=True)
class Reset:
    """Both connections are broken off."""

    way: Way
    at: int = 0

    async def happen(self, pipe: "Pipe", /) -> None:
        pipe.source.reset()
        pipe.sink.reset()
        raise Gone


@dataclass(frozen=True)
class Truncation:
    """Both connections are closed in good order, and what comes behind is lost."""

    way: Way
    at: int = 0

    async def happen(self, pipe: "Pipe", /) -> None:
        pipe.source.close()
        pipe.sink.close()
        raise Gone


@dataclass(frozen=True)
class HalfClose:
    """Nothing more goes this way, and the one that reads is told so; the other way stays open."""

    way: Way
    at: int = 0

    async def happen(self, pipe: "Pipe", /) -> None:
        pipe.sink.half_close()
        raise Gone


@dataclass(frozen=True)
class Garbage:
    """Octets that nobody sent come in between."""

    way: Way
    at: int = 0
    octets: bytes = b"\0\xff\r\n\r\n"

    async def happen(self, pipe: "Pipe", /) -> None:
        await pipe.sink.send(self.octets)


@dataclass(frozen=True)
class Delay:
    """Nothing more goes this way until ``until`` is set, or until the client goes.

    ``begun`` is set when it happens.
    """

    way: Way
    at: int = 0
    until: asyncio.Event | None = None
    begun: asyncio.Event = field(default_factory=asyncio.Event)

    async def happen(self, pipe: "Pipe", /) -> None:
        self.begun.set()
        if self.until is not None:
            await self.until.wait()
            return
        client = pipe.source if self.way is Way.REQUEST else pipe.sink
        await client.until_ended()
        raise Gone


@dataclass(frozen=True)
class Drip:
    """From here on, octets go ``size`` at a time, and all others get their turn in between."""

    way: Way
    at: int = 0
    size: int = 1

    async def happen(self, pipe: "Pipe", /) -> None:
        pipe.size = self.size


class Pipe:
    """What goes one way."""

    def __init__(self, source: Wire, sink: Wire, trouble: Trouble | None) -> None:
        self.source = source
        self.sink = sink
        self.size: int | None = None
        self.has_happened = False
        self.passed = 0
        self._trouble = trouble
        self._since = 0  # where the octets begin that the trouble counts

    def arm(self, trouble: Trouble) -> None:
        """Let this happen to what comes from now on."""
        self.has_happened = False
        self._trouble = trouble
        self._since = self.passed

    async def run(self) -> None:
        """Pass octets on until there are no more."""
        came = self.source.received
        try:
            while True:
                await self.source.until(lambda: len(came) > self.passed)
                trouble = self._trouble
                if trouble is None or len(came) < self._since + trouble.at:
                    await self._pass(len(came))
                    continue
                await self._pass(self._since + trouble.at)
                self._trouble = None
                self.has_happened = True
                await trouble.happen(self)
        except Gone:
            self._end()

    async def _pass(self, end: int) -> None:
        octets = bytes(self.source.received[self.passed : end])
        self.passed = end
        size = self.size or max(len(octets), 1)
        for at in range(0, len(octets), size):
            await self.sink.send(octets[at : at + size])
            if self.size is not None:
                await asyncio.sleep(0)

    def _end(self) -> None:
        if self.source.error is not None:
            self.sink.reset()
        else:
            self.sink.half_close()


class ChaosProxy:
    """Listens on a free loopback port, and passes on what comes to ``port``.

    Each of ``troubles`` is for one connection; a connection for which none is left has none.
    ``clients`` are the connections, as who connects has them.
    """

    def __init__(self, port: int, *troubles: Trouble) -> None:
        self.port = 0
        self.clients: list[Wire] = []
        self.troubles = deque(troubles)
        self._upstream_port = port
        self._server: asyncio.Server | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._wires: list[Wire] = []
        self._pipes: dict[Way, Pipe] = {}

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Client(self._begin), "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        ended = await asyncio.gather(*self._tasks, return_exceptions=True)
        for wire in self._wires:
            wire.transport.abort()
        for wire in self._wires:
            await wire.until_lost()
        failures = [each for each in ended if isinstance(each, Exception)]
        if failures and error is None:
            raise ExceptionGroup("connections that failed", failures)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def pipe(self, way: Way) -> Pipe:
        """Return what goes this way on the latest connection."""
        return self._pipes[way]

    def _begin(self, client: Wire) -> None:
        self.clients.append(client)
        self._wires.append(client)
        trouble = self.troubles.popleft() if self.troubles else None
        self._tasks.append(asyncio.create_task(self._join(client, trouble)))

    async def _join(self, client: Wire, trouble: Trouble | None) -> None:
        loop = asyncio.get_running_loop()
        _, upstream = await loop.create_connection(Wire, "127.0.0.1", self._upstream_port)
        self._wires.append(upstream)
        ends = {Way.REQUEST: (client, upstream), Way.ANSWER: (upstream, client)}
        self._pipes = {
            way: Pipe(source, sink, trouble if trouble is not None and trouble.way is way else None)
            for way, (source, sink) in ends.items()
        }
        await asyncio.gather(*(pipe.run() for pipe in self._pipes.values()))
        client.close()
        upstream.close()


class _Client(Wire):
    def __init__(self, begin: Callable[[Wire], None]) -> None:
        super().__init__()
        self._begin = begin

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._begin(self)
