"""What an HTTP protocol writes to and reads from where the connection is TLS, in a tunnel or not."""

import asyncio
import logging
import ssl
from collections.abc import Iterable
from typing import Any, Protocol

from tunnelgate_app.listening.farewell import Farewell
from tunnelgate_app.listening.tls_stream import StreamError

logger = logging.getLogger("tunnelgate")

Octets = bytes | bytearray | memoryview

_GATHERED = 16384  # octets that become records at once
_MAX_OWED = 65536  # octets of answers to messages of TLS itself, for who takes nothing


class Stream(Protocol):
    """One end of a connection without I/O: see :mod:`tunnelgate_app.listening.tls_stream`."""

    @property
    def ssl_object(self) -> ssl.SSLObject: ...  # noqa: D102 - they stand in the classes

    @property
    def has_more(self) -> bool: ...  # noqa: D102

    @property
    def is_over(self) -> bool: ...  # noqa: D102

    @property
    def owed(self) -> int: ...  # noqa: D102

    def feed(self, data: bytes) -> None: ...  # noqa: D102
    def shake_hands(self) -> bool: ...  # noqa: D102
    def read(self) -> bytes: ...  # noqa: D102
    def write(self, plaintext: Octets) -> None: ...  # noqa: D102
    def take(self) -> bytes: ...  # noqa: D102
    def close(self) -> None: ...  # noqa: D102


class SecureTransport(asyncio.Transport, asyncio.Protocol):
    """A transport for the protocol above it, and the protocol of the transport beneath it.

    ``stream`` has its handshake behind it. What is written in one turn of the event loop goes beneath
    together, since each part of it would be a record; nothing else is kept here. Who is to write or
    read less is told what the transport beneath says; what has arrived and is not read stays in
    ``stream``, and nothing more is taken meanwhile.
    """

    def __init__(
        self,
        beneath: asyncio.Transport,
        stream: Stream,
        protocol: asyncio.Protocol,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        super().__init__()
        self._beneath = beneath
        self._stream = stream
        self._protocol: Any = protocol
        self._loop = loop
        self._farewell: Farewell | None = None
        self._next: asyncio.Handle | None = None  # what has arrived is read then
        self._gathered: list[bytes] = []  # what is to be sent
        self._gathered_octets = 0
        self._is_closing = False
        self._is_paused = False  # the protocol above wants nothing
        self._is_held = False  # nothing is taken from beneath
        self._is_full = False  # the transport beneath wants nothing

    def begin(self) -> None:
        """Take the place of the protocol beneath, and begin the connection above."""
        self._beneath.set_protocol(self)
        self._protocol.connection_made(self)
        self._read()

    def data_received(self, data: bytes) -> None:
        """Pass on what has arrived."""
        if not self._is_closing:
            self._stream.feed(data)
            if self._next is None and not self._is_paused:
                self._read()

    def eof_received(self) -> None:
        """Close: HTTP knows by itself whether something was missing."""
        if not self._is_closing:
            self._protocol.eof_received()
            self.close()

    def pause_writing(self) -> None:
        """Tell the protocol above to write no more for now."""
        self._is_full = True
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        """Tell it that it may again."""
        self._is_full = False
        self._send()
        self._protocol.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """End the connection above."""
        self._is_closing = True
        self._forget_gathered()
        self._forget_next()
        if self._farewell is not None:
            self._farewell.end()
        self._protocol.connection_lost(exc)

    def write(self, data: Octets) -> None:
        """Send ``data``."""
        if self._is_closing or not data:
            return
        if not self._gathered:
            self._loop.call_soon(self._send_gathered)
        self._gathered.append(data if type(data) is bytes else bytes(data))
        self._gathered_octets += len(data)
        if self._gathered_octets >= _GATHERED:
            self._send()

    def writelines(self, list_of_data: Iterable[Octets]) -> None:
        """Send them all."""
        self.write(b"".join(list_of_data))

    def write_eof(self) -> None:
        """Fail: one side of TLS is not closed without the other."""
        raise NotImplementedError("a connection of TLS is closed as a whole")

    def can_write_eof(self) -> bool:
        """Return that it fails."""
        return False

    def close(self) -> None:
        """Close the connection when everything has been sent; nothing is read any more."""
        if self._is_closing:
            return
        self._send()
        self._is_closing = True
        self._forget_next()
        self._stream.close()
        self._beneath.write(self._stream.take())
        self._farewell = Farewell(self._beneath, self._loop)

    def abort(self) -> None:
        """Close the connection at once."""
        self._is_closing = True
        self._forget_gathered()
        self._forget_next()
        self._beneath.abort()

    def is_closing(self) -> bool:
        """Return whether the connection is closed, or is being closed."""
        return self._is_closing

    def is_reading(self) -> bool:
        """Return whether what arrives is passed on."""
        return not self._is_paused and not self._is_closing

    def pause_reading(self) -> None:
        """Pass nothing on for now, and take nothing from beneath."""
        self._is_paused = True
        self._forget_next()
        self._hold()

    def resume_reading(self) -> None:
        """Go on."""
        if self._is_paused:
            self._is_paused = False
            self._go_on()

    def get_write_buffer_size(self) -> int:
        """Return how many octets wait to be sent, with what TLS has added."""
        return self._gathered_octets + self._beneath.get_write_buffer_size()

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """Return between which sizes the protocol above is told to write no more, or again."""
        return self._beneath.get_write_buffer_limits()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Set these sizes."""
        self._beneath.set_write_buffer_limits(high, low)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return what is known of TLS here, and of everything else beneath."""
        if name == "ssl_object":
            return self._stream.ssl_object
        if name == "sslcontext":
            return self._stream.ssl_object.context
        return self._beneath.get_extra_info(name, default)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Put another protocol above."""
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Return the protocol above."""
        protocol: asyncio.BaseProtocol = self._protocol
        return protocol

    def _read(self) -> None:
        try:
            plaintext = self._stream.read()
        except StreamError as error:
            self._fail(error)
            return
        if not self._is_full:  # answers to what nobody waits for may wait
            self._send()
        elif self._stream.owed > _MAX_OWED:
            self._fail(StreamError("tls failed: the other side asks for new keys and takes none of them"))
            self.abort()
            return
        if plaintext:
            self._protocol.data_received(plaintext)
        if self._is_closing or self._is_paused:
            return
        if self._stream.has_more:
            self._hold()
            self._go_on()
        elif self._stream.is_over:
            self.eof_received()

    def _go_on(self) -> None:
        if self._is_paused or self._is_closing:
            return
        if self._stream.has_more or self._stream.is_over:
            if self._next is None:
                self._next = self._loop.call_soon(self._read_next)  # after the turns of others
        else:
            self._is_held = False
            self._beneath.resume_reading()

    def _read_next(self) -> None:
        self._next = None
        try:
            self._read()
        except BaseException:
            self.abort()  # as a transport does whose protocol breaks
            raise
        self._go_on()

    def _hold(self) -> None:
        if not self._is_held and not self._is_closing:
            self._is_held = True
            self._beneath.pause_reading()

    def _forget_next(self) -> None:
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def _forget_gathered(self) -> None:
        self._gathered, self._gathered_octets = [], 0

    def _send_gathered(self) -> None:
        if self._gathered:
            self._send()

    def _send(self) -> None:
        if self._gathered:
            parts = self._gathered
            self._forget_gathered()
            self._stream.write(parts[0] if len(parts) == 1 else b"".join(parts))
        ciphertext = self._stream.take()
        if ciphertext:
            self._beneath.write(ciphertext)

    def _fail(self, error: StreamError) -> None:
        logger.warning("%s (from %s)", error, peer_of(self._beneath))
        self._forget_gathered()  # which can no longer be encrypted
        self.close()


def peer_of(transport: asyncio.BaseTransport) -> str:
    """Return who is at the other end, for the log."""
    name: tuple[Any, ...] | str | None = transport.get_extra_info("peername")
    if not isinstance(name, tuple):
        return "a Unix socket"
    host, port = str(name[0]), str(name[1])
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
