"""One connection to an upstream: a request at a time, and its answer as it comes.

Specification: RFC 9112 section 9.
"""

import asyncio
import select
from typing import cast

from tunnelgate.errors import UpstreamFailed
from tunnelgate.reading.fault import Fault
from tunnelgate.reading.http_answer import HttpAnswerHead, HttpAnswerReader
from tunnelgate.verdict import Reason

_BUFFERED = 256 * 1024  # octets of a body that nobody has taken, above which no more are read


class Connection(asyncio.Protocol):
    """A connection that is open, or was; ``opened`` is when, by the clock of its pool.

    Raises :class:`~tunnelgate.errors.UpstreamFailed` out of whatever waits when the upstream does
    not answer in time, breaks off, or says what is not HTTP.
    """

    def __init__(self, opened: float = 0.0) -> None:
        self.opened = opened
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._reader: HttpAnswerReader | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._failure: UpstreamFailed | None = None
        self._buffered = 0
        self._is_closed = False

    @property
    def is_usable(self) -> bool:
        """Whether a request may be sent: the connection is open, and has nothing to say."""
        transport = self._transport
        if self._is_closed or self._reader is not None or transport is None or transport.is_closing():
            return False
        return not _has_something_to_say(transport)

    def ask(self, octets: bytes, method: bytes) -> None:
        """Send a whole request."""
        if self._transport is None or self._is_closed:
            raise UpstreamFailed(Reason.UPSTREAM_INTERRUPTED, "the connection is closed")
        self._reader = HttpAnswerReader(method=method)
        self._buffered = 0
        self._transport.write(octets)

    async def head(self, seconds: float) -> HttpAnswerHead:
        """Return the head of the answer, which may take ``seconds``."""
        reader = self._asked()
        until = self._loop.time() + seconds
        while reader.head is None:
            await self._wait(until, f"no answer within {seconds:g} seconds")
        return reader.head

    async def part(self, seconds: float) -> tuple[bytes, bool]:
        """Return what has come of the body, and whether that was the last of it.

        The next octet may take ``seconds``.
        """
        reader = self._asked()
        while True:
            part = reader.take_body()
            if part or reader.is_complete:
                break
            await self._wait(self._loop.time() + seconds, f"nothing came for {seconds:g} seconds")
        if self._buffered > _BUFFERED and self._transport is not None:
            self._transport.resume_reading()
        self._buffered = 0
        return part, reader.is_complete

    def finish(self) -> bool:
        """End the exchange; return whether the connection may be used for another one, or close it."""
        reader, self._reader = self._reader, None
        transport = self._transport
        if reader is None or not reader.is_complete or transport is None or self._is_closed:
            self.abort()
            return False
        if transport.get_write_buffer_size() > 0:
            self.abort()  # or the rest of the request would wait here until somebody reads it
            return False
        if reader.may_be_followed:
            return True
        self.close()
        return False

    def close(self) -> None:
        """Close a connection on which nothing is under way."""
        self._is_closed = True
        if self._transport is not None and not self._transport.is_closing():
            self._transport.close()

    def abort(self) -> None:
        """Close the connection now, so that the upstream sees that nobody waits any more."""
        self._is_closed = True
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Take what the upstream sent."""
        if self._reader is None:
            self.abort()  # an answer to nothing
            return
        try:
            self._reader.feed(data)
        except Fault as fault:
            self._fail(UpstreamFailed(fault.reason, fault.detail))
            return
        was_full = self._buffered > _BUFFERED
        self._buffered += len(data)
        if self._buffered > _BUFFERED and not was_full and self._transport is not None:
            self._transport.pause_reading()
        self._wake()

    def eof_received(self) -> None:
        """Take note that the upstream will say no more; the connection closes."""
        self._end()

    def connection_lost(self, exc: Exception | None) -> None:
        """Take note that the connection is gone."""
        self._is_closed = True
        self._transport = None  # over TLS, some versions of asyncio do not let it be closed again
        if exc is None:
            self._end()
        else:
            self._fail(UpstreamFailed(Reason.UPSTREAM_INTERRUPTED, _said(exc)))

    def _end(self) -> None:
        self._is_closed = True
        reader = self._reader
        if reader is None or reader.is_complete or self._failure is not None:
            return
        try:
            reader.end()
        except Fault as fault:
            self._fail(UpstreamFailed(Reason.UPSTREAM_INTERRUPTED, fault.detail))
        else:
            self._wake()

    def _fail(self, failure: UpstreamFailed) -> None:
        # The first failure says what happened; those that follow come from it.
        if self._failure is None:
            self._failure = failure
        self.abort()
        self._wake()

    def _asked(self) -> HttpAnswerReader:
        if self._reader is None:
            raise RuntimeError("nothing was asked on this connection")
        return self._reader

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _wait(self, until: float, sentence: str) -> None:
        if self._failure is not None:
            raise self._failure
        if self._is_closed:
            raise UpstreamFailed(Reason.UPSTREAM_INTERRUPTED, "the connection is closed")
        waiter = self._waiter = self._loop.create_future()
        timer = self._loop.call_at(until, self._be_late, sentence)
        try:
            await waiter
        finally:
            timer.cancel()
            self._waiter = None

    def _be_late(self, sentence: str) -> None:
        self._fail(UpstreamFailed(Reason.UPSTREAM_TIMEOUT, sentence))


def _has_something_to_say(transport: asyncio.Transport) -> bool:
    """Return whether octets, or the end, have come that the event loop has not seen yet.

    The same is said where a request is still being sent: over TLS only the kernel knows that, which
    takes no more then.
    """
    its_socket = transport.get_extra_info("socket")
    descriptor: int = -1 if its_socket is None else its_socket.fileno()
    if descriptor < 0:
        return True
    poll = select.poll()
    poll.register(descriptor, select.POLLIN | select.POLLOUT)
    return poll.poll(0) != [(descriptor, select.POLLOUT)]


def _said(error: Exception) -> str:
    return getattr(error, "strerror", None) or type(error).__name__
