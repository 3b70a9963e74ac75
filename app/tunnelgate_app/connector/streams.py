"""The connection to a gate, as an HTTP client uses it: in the clear, with TLS, or with TLS in a WebSocket."""

import ssl
from typing import Any

import anyio
import httpcore2

from tunnelgate_app.connector.upgrade import UpgradeError, UpgradeRequest
from tunnelgate_app.listening.tls_in_websocket import TlsInWebSocket
from tunnelgate_app.listening.tls_stream import StreamError, TlsStream
from tunnelgate_app.listening.transport import Stream
from tunnelgate_app.listening.websocket import WebSocket

_CHUNK = 65536


class ClearStream(httpcore2.AsyncNetworkStream):
    """A connection on which what is written for TLS goes in the clear."""

    def __init__(self, beneath: httpcore2.AsyncNetworkStream) -> None:
        self._beneath = beneath

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109
        """Return what has arrived, and nothing at the end."""
        return await self._beneath.read(max_bytes, timeout)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109
        """Send ``buffer``."""
        await self._beneath.write(buffer, timeout)

    async def aclose(self) -> None:
        """Close the connection."""
        await self._beneath.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> httpcore2.AsyncNetworkStream:
        """Return the same connection."""
        return self

    def get_extra_info(self, info: str) -> Any:
        """Return what is known of the connection."""
        return self._beneath.get_extra_info(info)


class BeforeTls(ClearStream):
    """A connection that has just begun, or a WebSocket on one, and on which TLS is expected now."""

    def __init__(self, beneath: httpcore2.AsyncNetworkStream, websocket: WebSocket | None = None) -> None:
        super().__init__(beneath)
        self._websocket = websocket

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> httpcore2.AsyncNetworkStream:
        """Shake hands, asking for ``server_hostname``; raises :class:`httpcore2.ConnectError`."""
        tls = TlsStream(ssl_context, server_hostname or "")
        stream = tls if self._websocket is None else TlsInWebSocket(self._websocket, tls)
        carried = SecureStream(self._beneath, stream)
        try:
            with anyio.fail_after(timeout):
                await carried.shake_hands()
        except TimeoutError:
            await self.aclose()
            raise httpcore2.ConnectTimeout("tls handshake failed: the gate did not answer in time") from None
        except StreamError as error:
            await self.aclose()
            raise httpcore2.ConnectError(str(error)) from None
        return carried


class SecureStream(httpcore2.AsyncNetworkStream):
    """The plaintext of a connection with TLS; reading and writing may go on at the same time."""

    def __init__(self, beneath: httpcore2.AsyncNetworkStream, stream: Stream) -> None:
        self._beneath = beneath
        self._stream = stream
        self._sending = anyio.Lock()
        self._unread = b""

    async def shake_hands(self) -> None:
        """Complete the handshake; raises :class:`StreamError`."""
        try:
            while not self._stream.shake_hands():
                await self._send(None)
                if not self._stream.has_more and not await self._receive(None):
                    raise StreamError("tls handshake failed: the gate closed the connection")
        finally:
            await self._send(None)

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109
        """Return what has arrived, and nothing at the end; raises :class:`httpcore2.ReadError`."""
        try:
            while not self._unread:
                self._unread = self._stream.read()
                await self._send(timeout)
                if self._unread or self._stream.is_over:
                    break
                if not self._stream.has_more and not await self._receive(timeout):
                    break
        except StreamError as error:
            raise httpcore2.ReadError(str(error)) from None
        read, self._unread = self._unread[:max_bytes], self._unread[max_bytes:]
        return read

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109
        """Send ``buffer``; raises :class:`httpcore2.WriteError`."""
        try:
            self._stream.write(buffer)
        except StreamError as error:
            raise httpcore2.WriteError(str(error)) from None
        await self._send(timeout)

    async def aclose(self) -> None:
        """Say goodbye, and close the connection."""
        self._stream.close()
        try:
            with anyio.CancelScope(shield=True):
                await self._send(1.0)
        except (httpcore2.WriteError, httpcore2.WriteTimeout):
            return  # nobody is there to hear it
        finally:
            with anyio.CancelScope(shield=True):
                await self._beneath.aclose()

    def get_extra_info(self, info: str) -> Any:
        """Return what is known of TLS, and of the connection beneath."""
        if info == "ssl_object":
            return self._stream.ssl_object
        return self._beneath.get_extra_info(info)

    async def _receive(self, timeout: float | None) -> bool:  # noqa: ASYNC109
        data = await self._beneath.read(_CHUNK, timeout)
        self._stream.feed(data)
        return bool(data)

    async def _send(self, timeout: float | None) -> None:  # noqa: ASYNC109
        async with self._sending:
            octets = self._stream.take()
            if octets:
                await self._beneath.write(octets, timeout)


async def begin_websocket(
    beneath: httpcore2.AsyncNetworkStream,
    host: str,
    timeout: float | None,  # noqa: ASYNC109
) -> BeforeTls:
    """Ask for a WebSocket at ``host``; raises :class:`httpcore2.ConnectError`."""
    request = UpgradeRequest(host)
    try:
        with anyio.fail_after(timeout):
            await beneath.write(request.octets)
            first = None
            while first is None:
                first = request.feed(await beneath.read(_CHUNK))
    except TimeoutError:
        await beneath.aclose()
        raise httpcore2.ConnectTimeout("websocket upgrade failed: the gate did not answer in time") from None
    except UpgradeError as error:
        await beneath.aclose()
        raise httpcore2.ConnectError(f"websocket upgrade failed: {error}") from None
    return BeforeTls(beneath, WebSocket("client", first))
