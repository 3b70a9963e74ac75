"""What a gate holds: callers in front of it, a server behind it that notes how each connection ends,
and the sockets, tasks and memory in between."""

import asyncio
import gc
import json
import queue
import re
import socket
import ssl
import struct
import sys
import threading
import time
import tracemalloc
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any, Literal, Self, cast

import anyio
import orjson
from mcp.server.mcpserver import MCPServer
from mcp.server.transport_security import TransportSecuritySettings
from starlette.applications import Starlette

from tests.support.audit import Records
from tests.support.mcp import Header, legacy
from tests.support.processes import environment, running
from tests.support.servers import serve
from tests.support.tokens import ISSUER, Token, jwks
from tunnelgate import Policy
from tunnelgate.asgi import ASGIApp, Receive, Scope, Send
from tunnelgate.upstream.dialling import Resolve, resolve_by_system
from tunnelgate_app.gateway import Gateway, create_gateway
from tunnelgate_app.server import Loop, Parser, Server

HOST = "docs.example.com"
LIMIT = 20  # seconds that anything here may take
JSON_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"
PROGRESS: dict[str, Any] = {
    "jsonrpc": "2.0",
    "method": "notifications/progress",
    "params": {"progressToken": 1, "progress": 1},
}

INITIALIZE = {
    "protocolVersion": "2025-11-25",
    "capabilities": {},
    "clientInfo": {"name": "somebody", "version": "1"},
}

REPOSITORY = Path(__file__).parents[2]
_READY = "the gate is up"
_BACKLOG = 1024  # connections that wait


@dataclass(frozen=True)
class Heard:
    """A request as it reached the server behind the gate."""

    method: str
    target: str
    headers: Sequence[Header]
    body: bytes

    @property
    def message(self) -> Any:
        return json.loads(self.body)

    def values(self, name: str) -> list[str]:
        return [value for each, value in self.headers if each == name]


class Link(asyncio.Protocol):
    """A connection as the server behind the gate has it."""

    def __init__(self, remote: "Remote") -> None:
        self.heard: list[Heard] = []
        self.ended_at = 0.0
        self.fault: Exception | None = None
        self._remote = remote
        self._ended = threading.Event()
        self._received = bytearray()
        self._changed = asyncio.Event()
        self._may_send = asyncio.Event()
        self._may_send.set()
        self._transport = cast("asyncio.Transport", None)
        self._task: asyncio.Task[None] | None = None
        self._is_reached = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._remote.links.append(self)
        self._task = asyncio.create_task(self._behave())

    def data_received(self, data: bytes) -> None:
        self._received += data
        self._changed.set()

    def pause_writing(self) -> None:
        self._may_send.clear()

    def resume_writing(self) -> None:
        self._may_send.set()

    def eof_received(self) -> None:
        self._end()

    def connection_lost(self, exc: Exception | None) -> None:
        self.fault = exc
        self._end()

    def _end(self) -> None:
        if not self._ended.is_set():
            self.ended_at = time.perf_counter()
            self._ended.set()
            self._changed.set()
            self._may_send.set()

    async def _behave(self) -> None:
        with suppress(ConnectionError):  # that the gate has gone is what is looked at
            await self._remote.behave(self)
            self.reached()

    def reached(self) -> None:
        """Let the test take this connection; so does the end of what is done on it."""
        if not self._is_reached:
            self._is_reached = True
            self._remote.reached.put(self)

    async def request(self) -> Heard:
        """Return the next request; raises :class:`ConnectionError` when there is none."""
        head = await self._take_until(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
        method, target, _ = first.split(" ")
        headers = [(name, value) for name, _, value in (line.partition(": ") for line in lines)]
        length = int(next((value for name, value in headers if name == "content-length"), "0"))
        body = await self._take(length)
        heard = Heard(method, target, headers, body)
        self.heard.append(heard)
        self._remote.heard.append(heard)
        return heard

    async def octets(self, count: int) -> bytes:
        """Return the next octets, whatever they mean."""
        return await self._take(count)

    async def send(self, octets: bytes) -> None:
        """Send; returns when the gate has taken enough of it for more."""
        self._transport.write(octets)
        await asyncio.sleep(0)  # for the event loop to notice that the gate has gone
        await self._may_send.wait()
        if self._ended.is_set():
            raise ConnectionError("the gate has gone")

    def write(self, octets: bytes) -> None:
        self._transport.write(octets)

    async def send_event(self, message: Any, event_id: str | None = None) -> None:
        await self.send(chunk(event(message, event_id)))

    async def answer(self, message: Any) -> None:
        """Send a whole answer in JSON."""
        body = orjson.dumps(message)
        await self.send(JSON_HEAD % len(body) + body)

    def read_nothing(self) -> None:
        self._transport.pause_reading()

    def read_on(self) -> None:
        self._transport.resume_reading()

    def finish(self) -> None:
        """Say that no more comes (FIN)."""
        self._transport.close()

    def reset(self) -> None:
        """Break the connection (RST)."""
        _linger(self._transport.get_extra_info("socket"))
        self._transport.abort()

    def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
        self._transport.abort()

    async def gone(self) -> None:
        """Return when the gate has ended the connection."""
        while not self._ended.is_set():
            self._changed.clear()
            await self._changed.wait()

    def wait_ended(self, seconds: float = LIMIT) -> float:
        """Return when the connection ended, by ``time.perf_counter``."""
        assert self._ended.wait(seconds), "the server behind the gate still has its connection"
        return self.ended_at

    @property
    def is_open(self) -> bool:
        return not self._ended.is_set()

    async def _take_until(self, end: bytes) -> bytes:
        while end not in self._received:
            await self._more()
        return await self._take(self._received.index(end) + len(end))

    async def _take(self, length: int) -> bytes:
        while len(self._received) < length:
            await self._more()
        taken = bytes(self._received[:length])
        del self._received[:length]
        return taken

    async def _more(self) -> None:
        if self._ended.is_set():
            raise ConnectionError("no whole request")
        self._changed.clear()
        await self._changed.wait()


Behaviour = Callable[[Link], Awaitable[None]]


class Remote:
    """A server behind the gate, which does on each connection what ``behave`` says.

    What it does then stays as it is until the gate, or the server, ends the connection.
    """

    def __init__(self, behave: Behaviour) -> None:
        self.behave = behave
        self.port = 0
        self.links: list[Link] = []
        self.heard: list[Heard] = []
        self.reached = queue.SimpleQueue[Link]()
        self._loop: asyncio.AbstractEventLoop | None = None

    def take(self) -> Link:
        """Return the next connection on which all was done."""
        return self.reached.get(timeout=LIMIT)

    def call(self, function: Callable[..., object], *args: Any) -> None:
        """Call something that belongs to the server's event loop."""
        assert self._loop is not None
        self._loop.call_soon_threadsafe(function, *args)

    @property
    def open_links(self) -> list[Link]:
        return [link for link in self.links if link.is_open]

    async def run(self, listener: socket.socket, tls: ssl.SSLContext | None, up: threading.Event) -> None:
        self._loop = asyncio.get_running_loop()
        stopped = self._stopped = asyncio.Event()
        server = await self._loop.create_server(lambda: Link(self), sock=listener, ssl=tls, backlog=_BACKLOG)
        up.set()
        await stopped.wait()
        server.close()
        for link in self.links:
            link.close()

    def stop(self) -> None:
        self.call(self._stopped.set)


@contextmanager
def remote(behave: Behaviour, *, tls: ssl.SSLContext | None = None, port: int = 0) -> Generator[Remote]:
    """Serve in a thread, on loopback, until the block ends."""
    server, up = Remote(behave), threading.Event()
    with socket.create_server(("127.0.0.1", port), backlog=_BACKLOG) as listener:
        server.port = listener.getsockname()[1]
        thread = threading.Thread(target=asyncio.run, args=(server.run(listener, tls, up),), daemon=True)
        thread.start()
        try:
            assert up.wait(LIMIT), "the server behind the gate did not start"
            yield server
        finally:
            server.stop()
            thread.join(LIMIT)
            assert not thread.is_alive(), "the server behind the gate did not stop"


@contextmanager
def not_answering() -> Generator[int]:
    """Listen and let nobody in, as the one place that there is to wait for that is taken."""
    with socket.socket() as listener, socket.socket() as first:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        first.connect(listener.getsockname())
        yield listener.getsockname()[1]


def event(message: Any, event_id: str | None = None) -> bytes:
    """Return an event of a stream that holds ``message``."""
    named = b"" if event_id is None else b"id: %b\n" % event_id.encode()
    return b"event: message\n" + named + b"data: " + orjson.dumps(message) + b"\n\n"


def chunk(octets: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(octets), octets)


def result(message_id: Any, text: str = "done") -> dict[str, Any]:
    """Return what answers a call in both eras."""
    content = [{"type": "text", "text": text}]
    return {"jsonrpc": "2.0", "id": message_id, "result": {"resultType": "complete", "content": content}}


def policy_to(folder: Path, route: Mapping[str, Any], **more: Any) -> Policy:
    """Return a policy with one route, to whose tool ``work`` everybody on this machine comes."""
    keys = folder / "jwks.json"
    keys.write_bytes(jwks("ES256"))
    return Policy.from_mapping(
        {
            "clients": {"allowed_ips": ["127.0.0.1"]},
            "upstream": {"allowed_ips": ["127.0.0.1"]},
            "oauth": {"issuers": [{"issuer": ISSUER, "jwks_file": str(keys)}]},
            "routes": {HOST: {"tools": ["work", "rest"], **route}},
            **more,
        }
    )


def route_to(port: int, *, scheme: str = "http", host: str = "127.0.0.1", **options: Any) -> dict[str, Any]:
    """Return a route to the server behind the gate; ``options`` say how it is asked."""
    return {"upstream": {"url": f"{scheme}://{host}:{port}", **options}}


def mounted(make: Callable[[], ASGIApp]) -> ASGIApp:
    """Return what a test makes; a route mounts it by the name of this function."""
    return make()


def route_mounting(make: Callable[[], ASGIApp]) -> dict[str, Any]:
    def copied() -> ASGIApp:
        return make()  # a policy keeps a copy of its options, and of a function that is itself

    return {"mount": f"{__name__}:{mounted.__name__}", "options": {"make": copied}}


class Watched:
    """An application that notes when it is done with a request."""

    def __init__(self, app: ASGIApp) -> None:
        self.ended = queue.SimpleQueue[float]()
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._app(scope, receive, send)
        finally:
            if scope["type"] == "http":
                self.ended.put(time.perf_counter())

    def wait_ended(self) -> float:
        return self.ended.get(timeout=LIMIT)


@dataclass(frozen=True)
class Gate:
    """A gate that runs in a thread of this process."""

    port: int
    gateway: Gateway
    watched: Watched
    records: Records


@contextmanager
def gate(
    policy: Policy,
    *,
    parser: Parser = "strict",
    loop: Loop = "asyncio",
    resolve: Resolve = resolve_by_system,
) -> Generator[Gate]:
    records = Records()
    gateway = create_gateway(policy, audit=records, resolve=resolve)
    watched = Watched(gateway)
    with serve(watched, parser, loop=loop) as port:
        yield Gate(port, gateway, watched, records)


@cache
def bearer(subject: str = "alice") -> str:
    return f"Bearer {Token(claims={'sub': subject, 'exp': int(time.time()) + 3000}).mint()}"


class Caller:
    """A client's connection to the gate."""

    def __init__(self, port: int, *, subject: str = "alice", receive_buffer: int | None = None) -> None:
        self._http = HTTPConnection("127.0.0.1", port, timeout=LIMIT)
        if receive_buffer is not None:
            self._http.sock = socket.socket()
            self._http.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            self._http.sock.settimeout(LIMIT)
            self._http.sock.connect(("127.0.0.1", port))
        self._subject = subject
        self._answer: HTTPResponse | None = None
        self._events = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.leave("fin")

    def ask(
        self,
        message: tuple[list[Header], bytes],
        *,
        session: str | None = None,
        method: str = "POST",
        path: str = "/mcp",
        **headers: str,
    ) -> None:
        """Send a request; with ``session`` it is one of that session."""
        named = {name: value for name, value in headers.items() if value}
        fields = {**dict(message[0]), "authorization": bearer(self._subject), **named}
        if session is not None:
            fields["mcp-session-id"] = session
        body: bytes | None = message[1]
        if method != "POST":
            del fields["content-type"]
            body = None
        self._answer, self._events = None, b""
        self._http.request(method, path, body, fields)

    def listen(self, *, session: str | None = None) -> None:
        """Ask for the stream of a session of the legacy era."""
        self.ask(legacy("ping"), session=session, method="GET", accept="text/event-stream")

    @property
    def answer(self) -> HTTPResponse:
        """The answer, as soon as its head has come."""
        if self._answer is None:
            self._answer = self._http.getresponse()
        return self._answer

    def whole(self) -> tuple[int, Any]:
        """Return status and message of an answer in JSON."""
        answer = self.answer
        body = answer.read()
        return answer.status, json.loads(body) if body else None

    def next_event(self) -> Any:
        """Return the message of the next event, or ``None`` at the end of the stream."""
        answer = self.answer
        while b"\n\n" not in self._events:
            part = answer.read1()
            if not part:
                assert not self._events, f"the stream ends within an event: {self._events!r}"
                return None
            self._events += part
        first, _, self._events = self._events.partition(b"\n\n")
        data = [line.removeprefix(b"data: ") for line in first.split(b"\n") if line.startswith(b"data: ")]
        return json.loads(b"\n".join(data))

    def read_end(self) -> bytes:
        """Return what comes unasked until the gate closes the connection."""
        return cast("socket.socket", self._http.sock).recv(65536)

    def leave(self, how: Literal["fin", "rst"]) -> float:
        """Close the connection and return when, by ``time.perf_counter``."""
        connected = cast("socket.socket | None", self._http.sock)
        if connected is not None and how == "rst":
            _linger(connected)
        answer, self._answer = self._answer, None
        left = time.perf_counter()
        self._http.close()
        if answer is not None:
            answer.close()
        return left


def begin_session(port: int, subject: str = "alice") -> str:
    """Begin a session of the legacy era and return the name that its client gets for it."""
    with Caller(port, subject=subject) as caller:
        caller.ask(legacy("initialize", INITIALIZE))
        assert caller.answer.status == 200
        session: str = caller.answer.headers["mcp-session-id"]
        caller.answer.read()
        return session


@dataclass(frozen=True)
class Held:
    """What a process holds: sockets, tasks, Python's objects, and octets of memory.

    Of ``resident`` memory an allocator gives little back; ``traced`` is what is in use, where it is traced.
    """

    sockets: int
    tasks: int
    objects: int
    resident: int
    traced: int


@dataclass(frozen=True)
class MeasuredGate:
    """A gate that is a process of its own, and that can be asked what it holds."""

    port: int
    process: int
    _asking: int

    def held(self) -> Held:
        """Return what the gate holds, what nobody refers to apart."""
        with socket.create_connection(("127.0.0.1", self._asking), timeout=LIMIT) as connection:
            said = json.loads(connection.makefile("rb").read())
        status = Path(f"/proc/{self.process}/status").read_text("ascii")
        (resident,) = re.findall(r"^VmRSS:\s+(\d+) kB$", status, re.MULTILINE)
        return Held(sockets=sockets_of(self.process), resident=int(resident) * 1024, **said)


@contextmanager
def measured_gate(policy_file: Path, *, traced: bool = False) -> Generator[MeasuredGate]:
    """Run the gate that a file describes in a process of its own."""
    variables = {"PYTHONTRACEMALLOC": "1"} if traced else {}
    program = f"from {__name__} import run_measured; run_measured()"
    command = [sys.executable, "-c", program, str(policy_file)]
    with running(
        command, environment(policy_file.parent, **variables), cwd=REPOSITORY, ready=_READY
    ) as process:
        (said,) = [line for line in process.lines if _READY in line]
        port, asking = map(int, said.removeprefix(_READY).split())
        yield MeasuredGate(port, process.process.pid, asking)


class _Measured(Server):
    def __init__(self, app: ASGIApp, asking: socket.socket) -> None:
        super().__init__(app, shutdown_timeout=5)
        self._asking = asking

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._telling = await asyncio.start_server(self._tell, sock=self._asking)
        ports = [each.getsockname()[1] for each in (*(sockets or ()), self._asking)]
        sys.stdout.write(f"{_READY} {' '.join(map(str, ports))}\n")
        sys.stdout.flush()

    async def _tell(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        gc.collect()
        said = {
            "tasks": len(asyncio.all_tasks()),
            "objects": len(gc.get_objects()),
            "traced": tracemalloc.get_traced_memory()[0],
        }
        writer.write(orjson.dumps(said))
        writer.close()


def run_measured() -> None:
    """Run a gate as a program that is told its configuration; see :func:`measured_gate`."""
    gateway = create_gateway(Policy.from_file(sys.argv[1]))
    with (
        socket.create_server(("127.0.0.1", 0), backlog=_BACKLOG) as listener,
        socket.create_server(("127.0.0.1", 0)) as asking,
    ):
        _Measured(gateway, asking).run(sockets=[listener])


def sockets_of(process: int | Literal["self"] = "self") -> int:
    """Return how many sockets a process has open."""
    count = 0
    for each in Path(f"/proc/{process}/fd").iterdir():
        with suppress(FileNotFoundError):  # the folder that is being listed is one of them
            count += str(each.readlink()).startswith("socket:")
    return count


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Wait for ``condition``; ``what`` says that it does not come about."""
    limit = time.perf_counter() + LIMIT
    while not condition():
        assert time.perf_counter() < limit, what


class SdkServer:
    """A server of the official SDK that notes what begins and what is cancelled of its tool ``work``."""

    def __init__(self) -> None:
        self.began = threading.Semaphore(0)
        self.cancelled = queue.SimpleQueue[float]()

    def make(self) -> Starlette:
        server: MCPServer[None] = MCPServer("working", log_level="ERROR")

        async def work() -> str:
            self.began.release()
            try:
                await anyio.sleep_forever()
            except anyio.get_cancelled_exc_class():
                self.cancelled.put(time.perf_counter())
                raise
            return "never"

        async def rest() -> str:
            return "rested"

        for tool in (work, rest):
            server.add_tool(tool)
        allowed = TransportSecuritySettings(allowed_hosts=[HOST, "127.0.0.1:*"])
        return server.streamable_http_app(transport_security=allowed)


def sdk_server() -> Starlette:
    """Return such a server; a gate that is a process of its own mounts it by the name of this function."""
    return SdkServer().make()


def _linger(connected: socket.socket) -> None:
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
