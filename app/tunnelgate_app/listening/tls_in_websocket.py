"""One end of a tunnel's connection, without I/O: TLS whose records travel in the frames of a WebSocket."""

import ssl

from tunnelgate_app.listening.tls_stream import TlsStream
from tunnelgate_app.listening.websocket import WebSocket


class TlsInWebSocket:
    """The same as a :class:`~tunnelgate_app.listening.tls_stream.TlsStream`, with frames around.

    Where frames begin and where records do has nothing to do with each other.
    """

    __slots__ = ("_last", "_tls", "_websocket")

    def __init__(self, websocket: WebSocket, tls: TlsStream) -> None:
        self._websocket = websocket
        self._tls = tls
        self._last = b""  # frames that have to go before the goodbye

    @property
    def ssl_object(self) -> ssl.SSLObject:
        """What knows the certificates, the version and the cipher suite."""
        return self._tls.ssl_object

    @property
    def has_more(self) -> bool:
        """Whether something has arrived that was not read yet."""
        return self._tls.has_more or self._websocket.has_more

    @property
    def owed(self) -> int:
        """How many octets of TLS :meth:`take` would return in frames."""
        return self._tls.owed

    @property
    def is_over(self) -> bool:
        """Whether the other end has said, in one way or the other, that nothing comes any more."""
        return self._tls.is_over or (self._websocket.is_over and not self._tls.has_more)

    def feed(self, data: bytes) -> None:
        """Take what has arrived."""
        self._websocket.feed(data)

    def shake_hands(self) -> bool:
        """Go on with the handshake; return whether it is complete, and raise as the parts do."""
        self._carry()
        return self._tls.shake_hands()

    def read(self) -> bytes:
        """Return plaintext that has arrived, some of it where it is a lot; raises as the parts do."""
        if not self._tls.has_more:
            self._carry()
        return self._tls.read()

    def write(self, plaintext: bytes | bytearray | memoryview) -> None:
        """Encrypt ``plaintext``, all of it."""
        self._tls.write(plaintext)

    def take(self) -> bytes:
        """Return the frames that are to be sent."""
        last, self._last = self._last, b""
        ciphertext = self._tls.take()
        frame = self._websocket.wrap(ciphertext) if ciphertext else b""
        return last + frame + self._websocket.take()

    def close(self) -> None:
        """Say that nothing comes any more from this end, in TLS and then in the WebSocket."""
        self._tls.close()
        self._last = self.take()
        self._websocket.close()

    def _carry(self) -> None:
        ciphertext = self._websocket.read()
        if ciphertext:
            self._tls.feed(ciphertext)
