"""One end of a WebSocket that carries octets, without I/O: frames on one side, octets on the other.

Where frames begin and end means nothing, nor to which message they belong; what has arrived of a frame
is passed on without the rest. There are no extensions.

Specification: RFC 6455 section 5.
"""

from typing import Literal

from wsproto.connection import CLIENT, SERVER, Connection, ConnectionState
from wsproto.events import BytesMessage, CloseConnection, Ping, Pong, TextMessage
from wsproto.frame_protocol import CloseReason

from tunnelgate_app.listening.tls_stream import StreamError

Role = Literal["client", "server"]

_GOING_ON = frozenset({ConnectionState.OPEN, ConnectionState.LOCAL_CLOSING})
_MAX_EVENTS = 256  # frames, and parts of them, that are read at once
_MAX_CLOSE = 123  # octets of a reason: RFC 6455 section 5.5


class WebSocket:
    """One end of a WebSocket whose upgrade is complete.

    ``first`` is what has arrived behind the upgrade.
    """

    __slots__ = ("_connection", "_control", "_ping", "has_more", "is_over")

    def __init__(self, role: Role, first: bytes = b"") -> None:
        self._connection = Connection(CLIENT if role == "client" else SERVER, trailing_data=first)
        self._ping: bytes | None = None
        self._control = b""
        self.has_more = bool(first)  # something has arrived that may not be read yet
        self.is_over = False  # the other end has closed it

    def feed(self, data: bytes) -> None:
        """Take what has arrived."""
        if not self.is_over:
            self._connection.receive_data(data)
            self.has_more = True

    def read(self) -> bytes:
        """Return octets that have arrived, those of so many frames; raises :class:`StreamError`."""
        parts: list[bytes] = []
        count = 0
        for event in self._connection.events():
            match event:
                case BytesMessage():
                    parts.append(bytes(event.data))
                case Ping():
                    self._ping = bytes(event.payload)  # of several the last: RFC 6455 section 5.5.3
                case CloseConnection() if self._connection.state in _GOING_ON:
                    # Which is how this library says that it cannot read on.
                    raise self._failed(f"what came is no WebSocket frame: {event.reason}", event.code)
                case CloseConnection():
                    self.is_over = True
                case TextMessage():
                    raise self._failed("a text frame came, and binary ones are expected", 1003)
                case _:
                    pass  # a pong, for which nobody asked
            count += 1
            if count == _MAX_EVENTS:
                break
        self.has_more = count == _MAX_EVENTS and not self.is_over
        return b"".join(parts)

    def wrap(self, octets: bytes) -> bytes:
        """Return the frame that carries ``octets``; nothing where one of both ends has closed it."""
        if self._connection.state is not ConnectionState.OPEN:
            return b""
        return self._connection.send(BytesMessage(octets))

    def take(self) -> bytes:
        """Return the frames that are to be sent and carry nothing: an answer to a ping, a goodbye."""
        taken, self._control = self._control, b""
        if self._ping is not None and self._connection.state is ConnectionState.OPEN:
            taken = self._connection.send(Pong(self._ping)) + taken
        self._ping = None
        return taken

    def close(self, code: int = CloseReason.NORMAL_CLOSURE, reason: str = "") -> None:
        """Say goodbye, or answer it."""
        if self._connection.state in {ConnectionState.OPEN, ConnectionState.REMOTE_CLOSING}:
            self._control += self._connection.send(CloseConnection(code, reason[:_MAX_CLOSE]))

    def _failed(self, why: str, code: int) -> StreamError:
        self.has_more = False
        self.close(code, why)
        return StreamError(f"websocket failed: {why}")
