"""HTTP for clients of the gate's own commands, over the connections that the proxy uses.

Addresses are checked, TLS is spoken, and answers are read exactly as the proxy does it, so what fails
here fails there.

Specification: RFC 9110, RFC 9112.
"""

import re
from collections.abc import AsyncGenerator
from typing import NoReturn

import httpx2

from tunnelgate.errors import UpstreamFailed
from tunnelgate.upstream.connection import Connection
from tunnelgate.upstream.pool import Pool
from tunnelgate.verdict import Reason

_NO_TIMEOUT = 86400.0  # seconds
_FRAMING = frozenset({b"connection", b"content-length", b"host", b"transfer-encoding"})
_LINE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*+")
_DEFAULT_PORTS = {"http": 80, "https": 443}
_CONNECTING: dict[Reason, type[httpx2.TransportError]] = {Reason.UPSTREAM_TIMEOUT: httpx2.ConnectTimeout}
_READING: dict[Reason, type[httpx2.TransportError]] = {
    Reason.UPSTREAM_TIMEOUT: httpx2.ReadTimeout,
    Reason.ANSWER_NOT_VALID: httpx2.RemoteProtocolError,
}


class UpstreamTransport(httpx2.AsyncBaseTransport):
    """Sends requests to the upstream of ``pool`` and to nothing else, each over a connection of its own.

    Each of its errors has the library's :class:`~tunnelgate.errors.UpstreamFailed` as its cause.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Return the answer to a request, as soon as its head has come."""
        self._check(request.url)
        seconds = request.extensions.get("timeout", {}).get("read") or _NO_TIMEOUT
        octets = _written(request, await request.aread())
        try:
            connection = await self._pool.take(fresh=True)
        except UpstreamFailed as failure:
            _fail(failure, _CONNECTING, httpx2.ConnectError)
        try:
            connection.ask(octets, request.method.encode("ascii"))
            head = await connection.head(seconds)
        except UpstreamFailed as failure:
            connection.abort()
            _fail(failure, _READING, httpx2.ReadError)
        except BaseException:
            connection.abort()
            raise
        answer = httpx2.Response(head.status, headers=list(head.headers), stream=_Body(connection, seconds))
        if answer.headers.get("content-encoding", "identity").strip().lower() != "identity":
            connection.abort()
            raise httpx2.RemoteProtocolError("an encoded answer, which was not asked for")
        return answer

    async def aclose(self) -> None:
        """Close what is open."""
        self._pool.close()

    def _check(self, url: httpx2.URL) -> None:
        target = self._pool.target
        scheme = "http" if target.tls is None else "https"
        port = url.port or _DEFAULT_PORTS.get(url.scheme)
        if (url.scheme, url.raw_host.decode("ascii"), port) != (scheme, target.host, target.port):
            raise httpx2.UnsupportedProtocol(f"{url.copy_with(path='/', query=None)} is not the upstream")


class _Body(httpx2.AsyncByteStream):
    """The body of an answer, which comes while it is read."""

    def __init__(self, connection: Connection, seconds: float) -> None:
        self._connection = connection
        self._seconds = seconds

    async def __aiter__(self) -> AsyncGenerator[bytes]:
        is_last = False
        while not is_last:
            try:
                part, is_last = await self._connection.part(self._seconds)
            except UpstreamFailed as failure:
                _fail(failure, _READING, httpx2.ReadError)
            yield part

    async def aclose(self) -> None:
        self._connection.abort()


def _fail(
    failure: UpstreamFailed,
    kinds: dict[Reason, type[httpx2.TransportError]],
    otherwise: type[httpx2.TransportError],
) -> NoReturn:
    raise kinds.get(failure.reason, otherwise)(failure.detail) from failure


def _written(request: httpx2.Request, body: bytes) -> bytes:
    host = request.headers.get("host", request.url.netloc.decode("ascii")).encode("latin-1")
    lines = [
        b"%b %b HTTP/1.1" % (request.method.encode("ascii"), request.url.raw_path),
        b"host: " + host,
        b"connection: close",
    ]
    lines += [name + b": " + value for name, value in request.headers.raw if name.lower() not in _FRAMING]
    if body or request.method not in ("GET", "HEAD"):
        lines.append(b"content-length: %d" % len(body))
    if not all(_LINE.fullmatch(line) for line in lines):
        raise httpx2.LocalProtocolError("a header that would end its line")
    return b"\r\n".join([*lines, b"", b""]) + body
