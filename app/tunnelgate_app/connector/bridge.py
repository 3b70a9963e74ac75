"""Carries plain HTTP connections to a gate as a tunnel would, one request on each."""

import asyncio
import ssl
from collections.abc import Callable
from contextlib import suppress

import httpcore2
import orjson

from tunnelgate_app.connector.backend import TunnelBackend
from tunnelgate_app.connector.explaining import meaning_of
from tunnelgate_app.connector.first_request import FirstRequest, FirstRequestReader, RequestError

_CHUNK = 65536
_HTTPS = 443


class Bridge:
    """What happens to each connection.

    ``tls`` is what the gate's certificate is checked by. ``host`` is asked for where it is given, and
    otherwise what the request names. The gate has ``seconds`` to begin, and so has the client.
    ``say`` is told each request and each failure.
    """

    def __init__(
        self,
        backend: TunnelBackend,
        tls: ssl.SSLContext,
        *,
        host: str | None,
        seconds: float,
        say: Callable[[str], object],
    ) -> None:
        self._backend = backend
        self._tls = tls
        self._host = host
        self._seconds = seconds
        self._say = say

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection until one of both ends closes it."""
        try:
            gate = await self._begin(reader, writer)
            if gate is not None:
                try:
                    await _copy(reader, writer, gate)
                finally:
                    await gate.aclose()
        except httpcore2.NetworkError as error:
            self._say(f"the connection to the gate broke: {error}")
        except ConnectionError as error:
            self._say(f"the client went away: {error.strerror or error}")
        finally:
            writer.close()
            with suppress(ConnectionError):  # which is how it may be told that it is closed already
                await writer.wait_closed()

    async def _begin(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> httpcore2.AsyncNetworkStream | None:
        try:
            async with asyncio.timeout(self._seconds):
                request = await self._read_request(reader)
            return None if request is None else await self._dial(request)
        except TimeoutError:
            self._say(f"no request came in {self._seconds:g} seconds")
        except RequestError as error:
            self._say(str(error))
            _answer(writer, b"400 Bad Request", "bad_request", str(error))
        except (httpcore2.NetworkError, httpcore2.TimeoutException) as error:
            self._say(f"{error}. {meaning_of(str(error))}".rstrip())
            _answer(writer, b"502 Bad Gateway", "gate_not_reached", str(error))
        return None

    async def _read_request(self, reader: asyncio.StreamReader) -> FirstRequest | None:
        reading = FirstRequestReader(self._host)
        while data := await reader.read(_CHUNK):
            request = reading.feed(data)
            if request is not None:
                return request
        return None

    async def _dial(self, request: FirstRequest) -> httpcore2.AsyncNetworkStream:
        begun = await self._backend.connect_tcp(request.host, _HTTPS, self._seconds)
        gate = await begun.start_tls(self._tls, request.host, self._seconds)
        self._say(f"{request.line} to {request.host}")
        await gate.write(request.octets, self._seconds)
        return gate


async def _copy(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, gate: httpcore2.AsyncNetworkStream
) -> None:
    up = asyncio.create_task(_copy_up(reader, gate))
    down = asyncio.create_task(_copy_down(gate, writer))
    try:
        done, _ = await asyncio.wait((up, down), return_when=asyncio.FIRST_COMPLETED)
    finally:
        up.cancel()
        down.cancel()
        await asyncio.wait((up, down))
    for each in done:
        each.result()


async def _copy_up(reader: asyncio.StreamReader, gate: httpcore2.AsyncNetworkStream) -> None:
    while data := await reader.read(_CHUNK):
        await gate.write(data)


async def _copy_down(gate: httpcore2.AsyncNetworkStream, writer: asyncio.StreamWriter) -> None:
    while data := await gate.read(_CHUNK):
        writer.write(data)
        await writer.drain()


def _answer(writer: asyncio.StreamWriter, status: bytes, error: str, why: str) -> None:
    body = orjson.dumps({"error": error, "why": why})
    head = b"HTTP/1.1 %s\r\ncontent-type: application/json\r\nconnection: close\r\n" % status
    writer.write(head + b"content-length: %d\r\n\r\n" % len(body) + body)
