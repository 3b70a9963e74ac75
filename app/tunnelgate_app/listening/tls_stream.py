"""One end of a TLS connection, without I/O: ciphertext on one side, plaintext on the other.

Specification: RFC 8446, RFC 5246; :class:`ssl.SSLObject` over :class:`ssl.MemoryBIO`.
"""

import ssl
from contextlib import suppress

from tunnelgate_app.listening.tls_words import why_tls_failed

_RECORD = 16384  # octets of plaintext in a record, at most
_MAX_RECORDS = 64  # that are read at once
_POURED = 32768  # octets that OpenSSL gets at once: all messages of TLS itself in them it reads in one go
_NOTHING = memoryview(b"")


class StreamError(Exception):
    """The connection cannot go on; the text says why, and :meth:`take` has what tells the other end."""


class TlsStream:
    """One end of a TLS connection, the server's unless it has a ``server_name`` to ask for.

    Whatever it is told, ``take`` may afterwards have something to send.
    """

    __slots__ = ("_arrived", "_leaving", "_tls", "_waiting", "is_over")

    def __init__(self, context: ssl.SSLContext, server_name: str | None = None) -> None:
        self._arrived = ssl.MemoryBIO()
        self._leaving = ssl.MemoryBIO()
        self._waiting = _NOTHING  # to be poured
        is_server = server_name is None
        self._tls = context.wrap_bio(self._arrived, self._leaving, is_server, server_name)
        self.is_over = False  # the other end has said that nothing comes any more

    @property
    def ssl_object(self) -> ssl.SSLObject:
        """What knows the certificates, the version and the cipher suite."""
        return self._tls

    @property
    def has_more(self) -> bool:
        """Whether something has arrived that was not read yet."""
        if self.is_over:
            return False
        return bool(self._waiting) or self._arrived.pending > 0 or self._tls.pending() > 0

    @property
    def owed(self) -> int:
        """How many octets :meth:`take` would return."""
        return self._leaving.pending

    def feed(self, data: bytes) -> None:
        """Take what has arrived."""
        self._waiting = memoryview(bytes(self._waiting) + data if self._waiting else data)

    def shake_hands(self) -> bool:
        """Go on with the handshake; return whether it is complete.

        Raises :class:`StreamError`, which begins with ``tls handshake failed``.
        """
        self._pour()
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        except ssl.SSLError as error:
            raise StreamError(f"tls handshake failed: {why_tls_failed(error)}") from None
        return True

    def read(self) -> bytes:
        """Return plaintext that has arrived, some of it where it is a lot; raises :class:`StreamError`."""
        self._pour()
        parts: list[bytes] = []
        try:
            while len(parts) < _MAX_RECORDS:
                part = self._tls.read(_RECORD)
                if not part:
                    self.is_over = True
                    break
                parts.append(part)
                if not self._arrived.pending and not self._tls.pending():
                    break
        except ssl.SSLWantReadError:
            pass  # the rest of a record is still to come
        except ssl.SSLError as error:
            raise StreamError(f"tls failed: {why_tls_failed(error)}") from None
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def write(self, plaintext: bytes | bytearray | memoryview) -> None:
        """Encrypt ``plaintext``, all of it; raises :class:`StreamError`."""
        rest = memoryview(plaintext)
        try:
            while rest:
                rest = rest[self._tls.write(rest) :]
        except ssl.SSLError as error:
            raise StreamError(f"tls failed: {why_tls_failed(error)}") from None

    def take(self) -> bytes:
        """Return the ciphertext that is to be sent."""
        return self._leaving.read()

    def close(self) -> None:
        """Say that nothing comes any more from this end, if it can still be said; nothing is read either."""
        # What fails is hearing the same from the other end, or there is no connection any more.
        with suppress(ssl.SSLError):
            self._tls.unwrap()

    def _pour(self) -> None:
        if not self._arrived.pending:
            self._arrived.write(self._waiting[:_POURED])
            self._waiting = self._waiting[_POURED:] or _NOTHING  # or all of it would stay in memory
