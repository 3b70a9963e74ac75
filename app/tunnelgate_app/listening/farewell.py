"""Ends a connection so that what was sent last arrives.

Who closes a socket on which something arrives afterwards may take back what was sent on it, so the other
end gets a moment to close its side; what it sends in that moment is nobody's.

Specification: RFC 9112 section 9.6.
"""

import asyncio

GOODBYE_SECONDS = 0.5  # that the other end may take, once everything has been sent to it


class Farewell:
    """Closes ``beneath`` when everything has been sent, and cuts it off a moment later."""

    def __init__(self, beneath: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._beneath = beneath
        self._loop = loop
        if beneath.is_closing():
            self._next: asyncio.TimerHandle | None = None
            return
        beneath.resume_reading()  # or nobody would see the other end close its side
        beneath.write_eof()
        self._next = loop.call_later(GOODBYE_SECONDS, self._look)

    def end(self) -> None:
        """Do nothing any more: the connection is lost."""
        if self._next is not None:
            self._next.cancel()

    def _look(self) -> None:
        if self._beneath.get_write_buffer_size() == 0:
            self._beneath.abort()
        else:
            self._next = self._loop.call_later(GOODBYE_SECONDS, self._look)
