"""An HTTP client that comes to a gate as through a tunnel, for the official MCP client among others.

::

    gate = "127.0.0.1:8080"
    async with tunnel_client(gate, authorities="ca.crt", transport="tunnel", timeout=10) as client:
        answer = await client.post("https://docs.tunnel.example.com/mcp", ...)

Host and the name that TLS is asked for come from the URL, and the connection goes to the gate.
"""

import ssl
from collections.abc import AsyncIterable, AsyncIterator, Generator, Mapping, MutableMapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

import httpcore2
import httpx2

from tunnelgate_app.connector.address import GateAddress
from tunnelgate_app.connector.backend import Carrying, TunnelBackend

_ERRORS: Mapping[type[Exception], type[httpx2.TransportError]] = {
    httpcore2.ConnectError: httpx2.ConnectError,
    httpcore2.ConnectTimeout: httpx2.ConnectTimeout,
    httpcore2.PoolTimeout: httpx2.PoolTimeout,
    httpcore2.ReadError: httpx2.ReadError,
    httpcore2.ReadTimeout: httpx2.ReadTimeout,
    httpcore2.WriteError: httpx2.WriteError,
    httpcore2.WriteTimeout: httpx2.WriteTimeout,
    httpcore2.LocalProtocolError: httpx2.LocalProtocolError,
    httpcore2.RemoteProtocolError: httpx2.RemoteProtocolError,
}


def tunnel_client(
    gate: GateAddress | str,
    *,
    authorities: str | Path | None,
    transport: Carrying,
    timeout: float,
) -> httpx2.AsyncClient:
    """Return a client whose every request goes to ``gate``, such as ``127.0.0.1:8080`` or ``unix:/path``.

    ``authorities`` is a PEM file with the CAs that may have issued the gate's certificate; without one
    they are the system's. ``timeout`` is in seconds. No redirects are followed, and no proxy of the
    environment is used. What fails raises :class:`httpx2.TransportError`, whose text says what did.
    Raises :class:`ValueError` for what is no address, :class:`OSError` and :class:`ssl.SSLError` for a
    file that cannot be used.
    """
    address = GateAddress.read(gate) if isinstance(gate, str) else gate
    pool = httpcore2.AsyncConnectionPool(
        ssl_context=client_tls(authorities), network_backend=TunnelBackend(address, transport)
    )
    return httpx2.AsyncClient(transport=_PoolTransport(pool), timeout=timeout, trust_env=False)


def client_tls(authorities: str | Path | None) -> ssl.SSLContext:
    """Return what a client needs that is as strict with certificates as a tunnel's other end."""
    context = ssl.create_default_context(cafile=authorities)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # Which looks for the key identifiers as well.
    context.verify_flags |= ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


class _PoolTransport(httpx2.AsyncBaseTransport):
    def __init__(self, pool: httpcore2.AsyncConnectionPool) -> None:
        self._pool = pool

    async def __aenter__(self) -> Self:
        await self._pool.__aenter__()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        with _as_httpx_says_it():
            await self._pool.__aexit__(exc_type, exc_value, traceback)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        with _as_httpx_says_it():
            response = await self._pool.handle_async_request(
                httpcore2.Request(
                    request.method,
                    httpcore2.URL(
                        scheme=request.url.raw_scheme,
                        host=request.url.raw_host,
                        port=request.url.port,
                        target=request.url.raw_path,
                    ),
                    headers=request.headers.raw,
                    content=cast("httpx2.AsyncByteStream", request.stream),
                    extensions=request.extensions,
                )
            )
        untyped: Any = response  # whose extensions have no type
        extensions: MutableMapping[str, Any] = untyped.extensions
        return httpx2.Response(
            status_code=response.status,
            headers=response.headers,
            stream=_Body(response),
            extensions=extensions,
        )

    async def aclose(self) -> None:
        await self._pool.aclose()


class _Body(httpx2.AsyncByteStream):
    def __init__(self, response: httpcore2.Response) -> None:
        self._response = response

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _as_httpx_says_it():
            async for part in cast("AsyncIterable[bytes]", self._response.stream):
                yield part

    async def aclose(self) -> None:
        with _as_httpx_says_it():
            await self._response.aclose()


@contextmanager
def _as_httpx_says_it() -> Generator[None]:
    try:
        yield
    except tuple(_ERRORS) as error:
        raise _ERRORS[type(error)](str(error)) from error
