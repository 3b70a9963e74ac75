"""An edge that a real cloudflared dials, and the far end of a tunnel that asks through it.

cloudflared opens a TLS connection and then serves HTTP/2 on it: the edge is the one that asks. For a
WebSocket it asks for a stream of the type `websocket`, on which both sides then send octets as they
come. In front of the edge is a port that takes the upgrade of a client, as the network of the tunnel
would, and carries its octets to such a stream.

What cloudflared registers by is not played: it serves streams without an answer to that.
"""

import asyncio
import base64
import ssl
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from anyio.from_thread import start_blocking_portal
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, Event, ResponseReceived, StreamEnded, StreamReset, WindowUpdated

SERVER_NAME = "h2.cftunnel.com"  # that cloudflared demands a certificate for
UPGRADE = "cf-cloudflared-proxy-connection-upgrade"
ANSWERED = b"cf-cloudflared-response-headers"
READ = 64 * 1024


@dataclass
class _Stream:
    """One stream: what has come on it, and the status and headers that it was answered with."""

    received: asyncio.Queue[bytes] = field(default_factory=asyncio.Queue[bytes])
    answered: asyncio.Future[tuple[int, list[tuple[str, str]]]] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


class Edge:
    """One connection that cloudflared has opened, and the streams that are asked for on it."""

    def __init__(self, has_dialled: threading.Event) -> None:
        self._has_dialled = has_dialled
        self._http = H2Connection(H2Configuration(client_side=True, header_encoding=None))
        self._streams: dict[int, _Stream] = {}
        self._may_send = asyncio.Condition()
        self._writer: asyncio.StreamWriter | None = None

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take the connection of cloudflared, the first one alone."""
        if self._writer is not None:
            writer.close()
            return
        self._writer = writer
        self._http.initiate_connection()
        self._flush()
        self._has_dialled.set()
        while data := await reader.read(READ):
            for event in self._http.receive_data(data):
                await self._take(event)
            self._flush()

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry the octets of one client to a stream of its own, and back."""
        head = await reader.readuntil(b"\r\n\r\n")
        _, *lines = head.decode("latin-1").split("\r\n")[:-2]
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        number, stream = self._ask(fields)
        status, headers = await stream.answered
        if status != 200:
            writer.write(
                f"HTTP/1.1 {status} Refused\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".encode()
            )
            writer.close()
            return
        lines = [f"{name}: {value}" for name, value in headers]
        writer.write("\r\n".join(["HTTP/1.1 101 Switching Protocols", *lines, "", ""]).encode("latin-1"))
        there = asyncio.create_task(self._send_on(number, reader))
        try:
            while data := await stream.received.get():
                writer.write(data)
                await writer.drain()
        finally:
            writer.close()
            there.cancel()
            await asyncio.wait([there])

    def _ask(self, fields: dict[str, str]) -> tuple[int, _Stream]:
        number = self._http.get_next_available_stream_id()
        stream = self._streams[number] = _Stream()
        kept = {
            name: value for name, value in fields.items() if name not in ("host", "connection", "upgrade")
        }
        asked = {":method": "GET", ":scheme": "https", ":authority": fields["host"], ":path": "/", **kept}
        self._http.send_headers(number, [*asked.items(), (UPGRADE, "websocket"), ("cf-ray", "8f0000-FRA")])
        self._flush()
        return number, stream

    async def _send_on(self, number: int, reader: asyncio.StreamReader) -> None:
        try:
            while data := await reader.read(READ):
                while data:
                    async with self._may_send:
                        await self._may_send.wait_for(lambda: self._room(number) > 0)
                    part, data = data[: self._room(number)], data[self._room(number) :]
                    self._http.send_data(number, part)
                    self._flush()
        except ConnectionError:
            pass  # the client is gone, which ends the stream as well
        self._http.end_stream(number)
        self._flush()

    def _room(self, number: int) -> int:
        return min(self._http.local_flow_control_window(number), self._http.max_outbound_frame_size)

    async def _take(self, event: Event) -> None:
        if isinstance(event, ResponseReceived):
            headers = {bytes(name): bytes(value) for name, value in event.headers}
            stream = self._streams[event.stream_id or 0]
            stream.answered.set_result((int(headers[b":status"]), _read_headers(headers.get(ANSWERED, b""))))
        elif isinstance(event, DataReceived):
            self._http.acknowledge_received_data(event.flow_controlled_length or 0, event.stream_id or 0)
            self._streams[event.stream_id or 0].received.put_nowait(event.data or b"")
        elif isinstance(event, StreamEnded | StreamReset):
            self._streams[event.stream_id or 0].received.put_nowait(b"")
        elif isinstance(event, WindowUpdated):
            async with self._may_send:
                self._may_send.notify_all()

    def _flush(self) -> None:
        if self._writer is not None:
            self._writer.write(self._http.data_to_send())


def _read_headers(text: bytes) -> list[tuple[str, str]]:
    """Return the headers that cloudflared has packed into one."""
    pairs = [pair.partition(b":") for pair in text.split(b";") if pair]
    return [(_decoded(name), _decoded(value)) for name, _, value in pairs]


def _decoded(text: bytes) -> str:
    return base64.b64decode(text + b"=" * (-len(text) % 4)).decode("latin-1")


@dataclass(frozen=True)
class Ports:
    """Where cloudflared dials, and where a client asks for a WebSocket; ``has_dialled`` is set between."""

    cloudflared: int
    client: int
    has_dialled: threading.Event


@contextmanager
def edge(cert_file: Path, key_file: Path) -> Generator[Ports]:
    """Run an edge in a thread until the block ends."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(cert_file, key_file)
    tls.set_alpn_protocols(["h2"])
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(_served(tls)) as ports:
        yield ports


@asynccontextmanager
async def _served(tls: ssl.SSLContext) -> AsyncGenerator[Ports]:
    has_dialled = threading.Event()
    made = Edge(has_dialled)
    tasks: set[asyncio.Task[None]] = set()

    def begin(
        handle: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[None, None, None]],
    ) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], None]:
        def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.create_task(handle(reader, writer))
            tasks.add(task)

        return connected

    behind = await asyncio.start_server(begin(made.serve), "127.0.0.1", 0, ssl=tls)
    before = await asyncio.start_server(begin(made.carry), "127.0.0.1", 0)
    try:
        yield Ports(behind.sockets[0].getsockname()[1], before.sockets[0].getsockname()[1], has_dialled)
    finally:
        behind.close()
        before.close()
        for task in tasks:
            task.cancel()
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(outcome, Exception) and not isinstance(outcome, ConnectionError):
                raise outcome
