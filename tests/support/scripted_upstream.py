"""An upstream that plays a script on each connection, and keeps every octet that it was sent."""

import asyncio
import socket
import ssl
import struct
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol, Self, cast

LIMIT = 10.0  # seconds that anything here may take
_HEAD_END = b"\r\n\r\n"


class Gone(Exception):
    """The other side has closed the connection, or broken it off."""


class Wire(asyncio.Protocol):
    """One end of a connection. ``received`` is all that came, ``has_ended`` that no more will."""

    def __init__(self) -> None:
        self.received = bytearray()
        self.has_ended = False
        self.is_lost = False
        self.error: Exception | None = None
        self._transport: asyncio.Transport | None = None
        self._may_write = asyncio.Event()
        self._may_write.set()
        self._waiters: list[asyncio.Future[None]] = []

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until this is so, which only what happens on this connection changes.

        Raises ``Gone`` where it never will be, and ``TimeoutError``.
        """
        async with asyncio.timeout(LIMIT):
            while not condition():
                if self.has_ended:
                    raise Gone
                await self._change()

    async def until_ended(self) -> None:
        """Wait until the other side has said that no more comes."""
        async with asyncio.timeout(LIMIT):
            while not self.has_ended:
                await self._change()

    async def until_lost(self) -> None:
        """Wait until the connection is gone altogether."""
        async with asyncio.timeout(LIMIT):
            while not self.is_lost:
                await self._change()

    async def send(self, octets: bytes) -> None:
        """Send; waits while the other side takes nothing, and raises ``Gone`` when it is not there."""
        async with asyncio.timeout(LIMIT):
            await self._may_write.wait()
        if self.is_lost:
            raise Gone
        self.transport.write(octets)

    def half_close(self) -> None:
        """Say that nothing more comes from here."""
        if self.is_lost or not self.transport.can_write_eof():
            return
        try:
            self.transport.write_eof()
        except OSError:
            self.transport.abort()  # the other side has broken off behind its own end

    def close(self) -> None:
        """Close in good order, behind what was sent."""
        if not self.transport.is_closing():
            self.transport.close()

    def reset(self) -> None:
        """Break off: the other side gets what was sent so far, and then a reset."""
        if not self.is_lost:
            its_socket = cast("socket.socket", self.transport.get_extra_info("socket"))
            its_socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.transport.abort()

    @property
    def transport(self) -> asyncio.Transport:
        if self._transport is None:
            raise Gone
        return self._transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._wake()

    def data_received(self, data: bytes) -> None:
        self.received.extend(data)
        self._wake()

    def eof_received(self) -> bool:
        self.has_ended = True
        self._wake()
        return self.transport.get_extra_info("sslcontext") is None  # TLS knows no half of a connection

    def pause_writing(self) -> None:
        self._may_write.clear()

    def resume_writing(self) -> None:
        self._may_write.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.has_ended = self.is_lost = True
        self.error = exc
        self._may_write.set()
        self._wake()

    async def _change(self) -> None:
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        await waiter

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)


@dataclass(frozen=True)
class Request:
    """A whole request: ``octets`` is as it came, ``connection`` the number of its connection."""

    method: str
    target: str
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes
    octets: bytes
    connection: int

    def header(self, name: bytes) -> bytes | None:
        values = [value for each, value in self.headers if each.lower() == name]
        assert len(values) <= 1, f"{name!r} stands {len(values)} times"
        return values[0] if values else None


class Step(Protocol):
    """What a script does next."""

    async def play(self, connection: "ScriptedConnection", /) -> None: ...


@dataclass(frozen=True)
class ReadRequest:
    """Wait for the next whole request."""

    async def play(self, connection: "ScriptedConnection", /) -> None:
        await connection.next_request()


@dataclass(frozen=True)
class Send:
    """Send these octets."""

    octets: bytes

    async def play(self, connection: "ScriptedConnection", /) -> None:
        await connection.send(self.octets)


@dataclass(frozen=True)
class Drip:
    """Send these octets, ``size`` at a time, and give all others their turn in between."""

    octets: bytes
    size: int = 1

    async def play(self, connection: "ScriptedConnection", /) -> None:
        for at in range(0, len(self.octets), self.size):
            await connection.send(self.octets[at : at + self.size])
            await asyncio.sleep(0)


@dataclass(frozen=True)
class Wait:
    """Wait until ``event`` is set, or for ever: until the other side or the test goes."""

    event: asyncio.Event | None = None

    async def play(self, connection: "ScriptedConnection", /) -> None:
        if self.event is None:
            await connection.until_lost()
        else:
            async with asyncio.timeout(LIMIT):
                await self.event.wait()


@dataclass(frozen=True)
class Reset:
    """Break the connection off."""

    async def play(self, connection: "ScriptedConnection", /) -> None:
        connection.reset()


@dataclass(frozen=True)
class HalfClose:
    """Say that nothing more comes, and go on listening."""

    async def play(self, connection: "ScriptedConnection", /) -> None:
        connection.half_close()


@dataclass(frozen=True)
class Close:
    """Close in good order; what a script does that has come to its end."""

    async def play(self, connection: "ScriptedConnection", /) -> None:
        connection.close()


@dataclass(frozen=True)
class KeepAlive:
    """Play the script again from its beginning, on the same connection."""

    async def play(self, connection: "ScriptedConnection", /) -> None:
        connection.begins_again = True


Script = Sequence[Step]


def answering(answer: bytes) -> Script:
    """Return the script of an upstream that answers every request of a connection with these octets."""
    return (ReadRequest(), Send(answer), KeepAlive())


@dataclass
class Counts:
    """What an upstream has seen.

    ``attempts`` counts by method and target the requests of which the first line came, ``requests``
    are those that came whole, ``unreadable`` is what cannot become a request.
    """

    connections: list["ScriptedConnection"] = field(default_factory=list["ScriptedConnection"])
    attempts: Counter[tuple[str, str]] = field(default_factory=Counter[tuple[str, str]])
    requests: list[Request] = field(default_factory=list[Request])
    unreadable: list[bytes] = field(default_factory=list[bytes])


class ScriptedConnection(Wire):
    """A connection on which a script is played."""

    def __init__(self, counts: Counts, begin: Callable[["ScriptedConnection"], None]) -> None:
        super().__init__()
        self.number = len(counts.connections)
        self.begins_again = False
        self._counts = counts
        self._begin = begin
        self._at = 0  # the request that is read begins here
        self._is_counted = False
        self._unread: list[Request] = []

    async def next_request(self) -> Request:
        """Return the next whole request, when it has come."""
        await self.until(lambda: bool(self._unread))
        return self._unread.pop(0)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._counts.connections.append(self)
        self._begin(self)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        try:
            while (request := self._next()) is not None:
                self._counts.requests.append(request)
                self._unread.append(request)
        except ValueError:
            self._counts.unreadable.append(bytes(self.received[self._at :]))
            self.has_ended = True

    def _next(self) -> Request | None:
        octets = bytes(self.received[self._at :])
        line, line_end, _ = octets.partition(b"\r\n")
        if not line_end:
            return None
        method, target, _version = line.decode("ascii").split(" ")
        if not self._is_counted:
            self._is_counted = True
            self._counts.attempts[method, target] += 1
        head, head_end, rest = octets.partition(_HEAD_END)
        if not head_end:
            return None
        pairs = [field.partition(b":") for field in head.split(b"\r\n")[1:]]
        headers = tuple((name, value.strip(b" \t")) for name, _, value in pairs)
        fields = {name.lower(): value for name, value in headers}
        if b"transfer-encoding" in fields:
            raise ValueError("the length of the request is not known beforehand")
        length = int(fields.get(b"content-length", b"0"))
        if len(rest) < length:
            return None
        size = len(octets) - len(rest) + length
        request = Request(method, target, headers, rest[:length], octets[:size], self.number)
        self._at += size
        self._is_counted = False
        return request


class ScriptedUpstream:
    """Listens on a free loopback port; the connections play ``scripts`` in turn, then the last one again.

    What goes wrong in a script is raised where its block ends.
    """

    def __init__(self, *scripts: Script, tls: ssl.SSLContext | None = None) -> None:
        self.counts = Counts()
        self.port = 0
        self._scripts = scripts
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._players: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._accept, "127.0.0.1", 0, ssl=self._tls)
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
        for player in self._players:
            player.cancel()
        ended = await asyncio.gather(*self._players, return_exceptions=True)
        for connection in self.connections:
            if not connection.is_lost:  # over TLS, some versions of asyncio do not let it be closed again
                connection.transport.abort()
        for connection in self.connections:
            await connection.until_lost()
        failures = [each for each in ended if isinstance(each, Exception)]
        if failures and error is None:
            raise ExceptionGroup("scripts that failed", failures)

    @property
    def url(self) -> str:
        return f"{'http' if self._tls is None else 'https'}://127.0.0.1:{self.port}"

    @property
    def connections(self) -> list[ScriptedConnection]:
        return self.counts.connections

    @property
    def requests(self) -> list[Request]:
        return self.counts.requests

    @property
    def attempts(self) -> Counter[tuple[str, str]]:
        return self.counts.attempts

    @property
    def unreadable(self) -> list[bytes]:
        return self.counts.unreadable

    @property
    def posts(self) -> int:
        """The POSTs of which the first line came."""
        return sum(count for (method, _), count in self.attempts.items() if method == "POST")

    def _accept(self) -> ScriptedConnection:
        return ScriptedConnection(self.counts, self._begin)

    def _begin(self, connection: ScriptedConnection) -> None:
        script = self._scripts[min(connection.number, len(self._scripts) - 1)]
        self._players.append(asyncio.create_task(self._play(connection, script)))

    async def _play(self, connection: ScriptedConnection, script: Script) -> None:
        try:
            while True:
                connection.begins_again = False
                for step in script:
                    await step.play(connection)
                if not connection.begins_again:
                    break
        except Gone:
            pass  # the other side may go whenever it likes
        connection.close()
