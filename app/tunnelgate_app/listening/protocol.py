"""What a listener with TLS does with a connection until there is HTTP on it.

The first octet tells what comes: 22 begins a TLS record, and everything else has to be the upgrade to a
WebSocket that carries TLS. What goes wrong is one line of the log for a connection, never more.

Specification: RFC 8446 section 5.1, RFC 6455 section 4.2.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Literal, cast

from tunnelgate_app.listening.contexts import ListenerTls
from tunnelgate_app.listening.farewell import Farewell
from tunnelgate_app.listening.tls_in_websocket import TlsInWebSocket
from tunnelgate_app.listening.tls_stream import StreamError, TlsStream
from tunnelgate_app.listening.transport import SecureTransport, Stream, peer_of
from tunnelgate_app.listening.upgrade import Upgrade, UpgradeReader
from tunnelgate_app.listening.websocket import WebSocket

logger = logging.getLogger("tunnelgate")

Carried = Literal["tls", "tunnel", "either"]

_HANDSHAKE_RECORD = 22


class Arrivals:
    """How connections begin, and those that have just begun.

    ``carried`` says what is taken: TLS, a WebSocket that carries it, or either. ``above`` makes the
    protocol for what is inside. An upgrade may take ``seconds``, and a handshake as long.
    """

    def __init__(
        self,
        tls: ListenerTls,
        carried: Carried,
        above: Callable[[], asyncio.Protocol],
        seconds: float,
    ) -> None:
        self.tls = tls
        self.carried = carried
        self.above = above
        self.seconds = seconds
        self.unfinished: set[Arrival] = set()

    def __call__(self) -> "Arrival":
        """Return the protocol for a new connection."""
        return Arrival(self)

    def stop(self) -> None:
        """Cut off those on which nobody can have asked for anything yet."""
        for each in tuple(self.unfinished):
            each.stop()


class Arrival(asyncio.Protocol):
    """A connection that has just begun; a :class:`SecureTransport` takes its place."""

    _beneath: asyncio.Transport
    _deadline: asyncio.TimerHandle
    _upgrade: UpgradeReader
    _stream: Stream
    _farewell: Farewell | None = None
    _next: asyncio.Handle | None = None  # the handshake goes on then

    def __init__(self, arrivals: Arrivals) -> None:
        self._loop = asyncio.get_running_loop()
        self._arrivals = arrivals
        self._receive: Callable[[bytes], None] = self._begin
        self._awaited = "tls handshake" if arrivals.carried == "tls" else "websocket upgrade"
        self._has_received = False
        self._is_waiting = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait."""
        self._beneath = cast("asyncio.Transport", transport)
        self._arrivals.unfinished.add(self)
        self._deadline = self._loop.call_later(self._arrivals.seconds, self._give_up)

    def data_received(self, data: bytes) -> None:
        """Take what has arrived."""
        self._has_received = True
        self._receive(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """End; who has sent something and goes away has usually disliked what it saw."""
        self._arrivals.unfinished.discard(self)
        if self._is_waiting:
            level = logging.WARNING if self._has_received else logging.DEBUG
            self._say("the other side closed the connection in the middle of it", level)
            self._finish()
        if self._farewell is not None:
            self._farewell.end()
            self._deadline.cancel()

    def stop(self) -> None:
        """Cut the connection off."""
        self._finish()
        self._beneath.abort()

    def _begin(self, data: bytes) -> None:
        carried = self._arrivals.carried
        if carried == "tls" or (carried == "either" and data[0] == _HANDSHAKE_RECORD):
            self._begin_tls(None)
        else:
            self._upgrade = UpgradeReader()
            self._receive = self._read_upgrade
        self._receive(data)

    def _read_upgrade(self, data: bytes) -> None:
        became = self._upgrade.feed(data)
        if became is None:
            return
        self._beneath.write(became.answer)
        if isinstance(became, Upgrade):
            self._begin_tls(WebSocket("server", became.first))
            self._shake_hands()
        else:
            self._say(became.why)
            self._leave()

    def _begin_tls(self, websocket: WebSocket | None) -> None:
        tls = TlsStream(self._arrivals.tls.current)
        self._stream = tls if websocket is None else TlsInWebSocket(websocket, tls)
        self._awaited = "tls handshake"
        self._receive = self._feed
        self._deadline.cancel()
        self._deadline = self._loop.call_later(self._arrivals.seconds, self._give_up)

    def _feed(self, data: bytes) -> None:
        self._stream.feed(data)
        self._shake_hands()

    def _shake_hands(self) -> None:
        try:
            is_complete = self._stream.shake_hands()
        except StreamError as error:
            logger.warning("%s (from %s)", error, peer_of(self._beneath))
            self._stream.close()
            self._send()
            self._leave()
            return
        self._send()
        if is_complete:
            self._finish()
            self._arrivals.unfinished.discard(self)
            above = self._arrivals.above()
            SecureTransport(self._beneath, self._stream, above, self._loop).begin()
        elif self._stream.is_over:
            self._say("the other side closed the WebSocket in the middle of it")
            self._stream.close()
            self._send()
            self._leave()
        elif self._stream.has_more:
            self._beneath.pause_reading()
            self._next = self._loop.call_soon(self._go_on)  # after the turns of others

    def _go_on(self) -> None:
        self._beneath.resume_reading()
        self._shake_hands()

    def _send(self) -> None:
        ciphertext = self._stream.take()
        if ciphertext:
            self._beneath.write(ciphertext)

    def _give_up(self) -> None:
        what = "it was not complete" if self._has_received else "nothing came"
        self._say(f"{what} in {self._arrivals.seconds:g} seconds")
        self._finish()
        self._beneath.abort()

    def _leave(self) -> None:
        self._finish()
        self._receive = _drop
        self._farewell = Farewell(self._beneath, self._loop)
        # Nobody above looks here whether anything is taken of what was sent.
        self._deadline = self._loop.call_later(self._arrivals.seconds, self._beneath.abort)

    def _finish(self) -> None:
        self._is_waiting = False
        self._deadline.cancel()
        if self._next is not None:
            self._next.cancel()

    def _say(self, why: str, level: int = logging.WARNING) -> None:
        logger.log(level, "%s failed: %s (from %s)", self._awaited, why, peer_of(self._beneath))


def _drop(_: bytes) -> None:
    """Read what nobody wants any more."""
