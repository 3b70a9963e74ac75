"""Forwards HTTP/1.1 over loopback and adds headers to every request on the way.

    python -m tests.conformance.inject --port 8081 --to 8080 --header "Authorization: Bearer ..." \\
        --host docs.tunnel.localhost

The conformance programs can send no headers of their own; this gives them a token. Requests are
parsed to find where each head begins; a header value keeps its spaces at the end, bodies keep their
octets, and what comes back is not touched at all. A Host (or Origin) that names loopback is replaced
when told so, and every other one is kept: it is for the gate to refuse.
"""

import argparse
import asyncio
import re
import sys
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

_LOOPBACK = "127.0.0.1"
_LOOPBACK_HOST = re.compile(rb"(?:localhost|127\.0\.0\.1|\[::1\])(?::[0-9]{1,5})?", re.IGNORECASE)
_LOOPBACK_ORIGIN = re.compile(rb"http://" + _LOOPBACK_HOST.pattern, re.IGNORECASE)
_LINE = re.compile(r"(?P<name>[!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(?P<value>[!-~](?:[ \t!-~]*[!-~])?)")
_READ = 65536

Field = tuple[bytes, bytes]


def read_field(line: str) -> Field:
    """Return name and value of a header line."""
    match = _LINE.fullmatch(line)
    if match is None:
        raise ValueError(f"not a header line: {line!r}")
    return match["name"].encode(), match["value"].encode()


@dataclass(frozen=True)
class Rewriting:
    """What happens to the head of each request."""

    added: tuple[Field, ...] = ()
    """Headers that a request gets unless it brings them itself."""
    host: bytes | None = None
    """What a Host becomes that names loopback."""
    origin: bytes | None = None
    """What an Origin becomes that names loopback."""

    def fields(self, sent: Iterable[Field]) -> list[Field]:
        """Return the headers to forward for those that were sent."""
        kept = [(name, self._value(name.lower(), value)) for name, value in sent]
        brought = {name.lower() for name, _ in kept}
        return kept + [(name, value) for name, value in self.added if name.lower() not in brought]

    def _value(self, name: bytes, value: bytes) -> bytes:
        if name == b"host" and self.host is not None and _LOOPBACK_HOST.fullmatch(value.strip()):
            return self.host
        if name == b"origin" and self.origin is not None and _LOOPBACK_ORIGIN.fullmatch(value.strip()):
            return self.origin
        return value


class Requests:
    """Turns what a client sends into what is forwarded, request after request."""

    def __init__(self, rewriting: Rewriting) -> None:
        self.is_broken = False
        self._rewriting = rewriting
        self._parser = HttpRequestParser(self)
        self._forwarded: list[bytes] = []
        self._target = b""
        self._fields: list[Field] = []
        self._is_chunked = False

    def feed(self, data: bytes) -> bytes:
        """Take octets and return those to forward; nothing follows once ``is_broken`` is set."""
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade):
            self.is_broken = True
        forwarded = b"".join(self._forwarded)
        self._forwarded.clear()
        return forwarded

    def on_message_begin(self) -> None:
        """Begin a request."""
        self._target = b""
        self._fields = []

    def on_url(self, url: bytes) -> None:
        """Take a part of the target."""
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header, or a trailer."""
        self._fields.append((name, value))

    def on_headers_complete(self) -> None:
        """Forward the head."""
        version = self._parser.get_http_version().encode()
        line = b"%s %s HTTP/%s\r\n" % (self._parser.get_method(), self._target, version)
        self._is_chunked = any(name.lower() == b"transfer-encoding" for name, _ in self._fields)
        self._forwarded += [line, *_lines(self._rewriting.fields(self._fields)), b"\r\n"]
        self._fields = []

    def on_body(self, body: bytes) -> None:
        """Forward a part of the body, which is a chunk of its own if the body came in chunks."""
        self._forwarded += [b"%x\r\n" % len(body), body, b"\r\n"] if self._is_chunked else [body]

    def on_message_complete(self) -> None:
        """Forward the end of a body in chunks."""
        if self._is_chunked:
            self._forwarded += [b"0\r\n", *_lines(self._fields), b"\r\n"]


@asynccontextmanager
async def forwarding(to: int, rewriting: Rewriting, port: int = 0) -> AsyncGenerator[int]:
    """Forward to the loopback port ``to`` while the block runs, and give the port that listens."""
    connections: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            connections.add(task)
            task.add_done_callback(connections.discard)
        with suppress(asyncio.CancelledError):
            await _forward(reader, writer, to, Requests(rewriting))

    server = await asyncio.start_server(accept, _LOOPBACK, port)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for each in connections:
            each.cancel()
        await asyncio.gather(*connections, return_exceptions=True)
        await server.wait_closed()


async def _forward(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, to: int, requests: Requests
) -> None:
    """Carry one connection until the server closes it or either side breaks it."""
    try:
        answers, onward = await asyncio.open_connection(_LOOPBACK, to)
    except OSError:
        await _close(writer)
        return
    try:
        async with asyncio.TaskGroup() as group:
            sending = group.create_task(_send_requests(reader, onward, requests))
            await _send_answers(answers, writer)
            sending.cancel()
    except* ConnectionError:
        pass
    finally:
        await _close(onward)
        await _close(writer)


async def _send_requests(
    reader: asyncio.StreamReader, onward: asyncio.StreamWriter, requests: Requests
) -> None:
    while not requests.is_broken and (data := await reader.read(_READ)):
        onward.write(requests.feed(data))
        await onward.drain()
    onward.write_eof()


async def _send_answers(answers: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await answers.read(_READ):
        writer.write(data)
        await writer.drain()


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()


def _lines(fields: Iterable[Field]) -> list[bytes]:
    return [b"%s: %s\r\n" % field for field in fields]


async def _main() -> None:
    parser = argparse.ArgumentParser(
        prog="inject", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--port", type=int, default=0, help="the port to listen on; 0 takes a free one")
    parser.add_argument("--to", type=int, required=True, help="the port to forward to")
    parser.add_argument("--header", type=read_field, action="append", default=[], help="may be repeated")
    parser.add_argument("--host", type=str.encode, help="what a loopback Host becomes")
    parser.add_argument("--origin", type=str.encode, help="what a loopback Origin becomes")
    options = parser.parse_args()
    rewriting = Rewriting(tuple(options.header), options.host, options.origin)
    async with forwarding(options.to, rewriting, options.port) as port:
        sys.stdout.write(f"forwarding http://{_LOOPBACK}:{port} to port {options.to}\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(_main())
