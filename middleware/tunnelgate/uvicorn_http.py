"""Protocol classes of uvicorn: one that is as strict as this library, on the fast parser, and h11.

::

    uvicorn --http tunnelgate.uvicorn_http:StrictHttpToolsProtocol --no-proxy-headers main:app

The fast parser drops the authority of an absolute-form target, appends trailers to the headers that the
application is already reading, and collects a head of any size. No ASGI layer can see that any
more, so it is mended here; what a layer can see is left to :mod:`tunnelgate.hygiene`. h11 does none
of that. Neither class waits for ever, for a request or for a client that takes nothing of its answer;
both see a client go away that has sent more than one request, and say whom TLS has shown it to be.

Specification: RFC 9112 sections 3.2, 7.1.2, 9.3.2 and 9.6.
"""

import asyncio
import re
from typing import Any, cast

import h11
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.http.h11_impl import RequestResponseCycle as H11Cycle
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from tunnelgate.uvicorn_tls import TlsExtension

HEAD_SECONDS = 10.0  # that the head of a request may take to arrive
BODY_SECONDS = 60.0  # that its body may take
TAKE_SECONDS = 60.0  # that a client may take nothing of what is sent to it; before twice that it is cut off
MAX_HEAD = 64 * 1024  # octets of a head, or of any other part that an application does not see
MAX_AHEAD = 960 * 1024  # octets that may wait behind a request that is not answered yet
MAX_REQUESTS_AHEAD = 32  # that may wait there, where they are parsed as they come

_TOO_LARGE = b'{"error":"headers_too_large"}'
_OTHER_VERSION = b'{"error":"http_version_not_supported"}'
_OTHER_VERSION_LINE = re.compile(rb"[A-Z]{1,20} [!-~]{1,8192} HTTP/1\.[2-9]\r\n")
_BAD_REQUEST = b'{"error":"bad_request"}'


class _Timed(TlsExtension):
    """A connection that is closed where what is expected on it does not come in time."""

    loop: asyncio.AbstractEventLoop
    transport: asyncio.Transport
    flow: FlowControl
    _deadline: asyncio.TimerHandle | None = None
    _next_look: asyncio.TimerHandle
    _untaken = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin a connection, on which a request is expected soon."""
        self._look_later()
        super().connection_made(transport)
        self._expect_within(HEAD_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        """End a connection."""
        self._expect_within(None)
        self._next_look.cancel()
        super().connection_lost(exc)

    def resume_writing(self) -> None:
        """Go on sending to a client that has caught up."""
        self._untaken = 0
        super().resume_writing()

    def _look_what_is_taken(self) -> None:
        # Only then does nothing come to it, and what is closed waits for ever until all is sent.
        is_final = self.flow.write_paused or self.transport.is_closing()
        untaken = self.transport.get_write_buffer_size() if is_final else 0
        if 0 < self._untaken <= untaken:
            self.transport.abort()
        self._untaken = untaken
        self._look_later()

    def _look_later(self) -> None:
        self._next_look = self.loop.call_later(TAKE_SECONDS, self._look_what_is_taken)

    def _expect_within(self, seconds: float | None) -> None:
        # A peer that sends an octet now and then would otherwise hold a connection for ever.
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = None if seconds is None else self.loop.call_later(seconds, self.transport.close)


class StrictHttpToolsProtocol(_Timed, HttpToolsProtocol):
    """uvicorn's protocol on httptools, without what it lets slip past an application."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._is_head_complete = True
        self._is_upgraded = False
        self._has_progressed = False
        self._is_other_version = False
        self._idle_octets = 0
        self._answered: RequestResponseCycle | None = None  # which is not the last, where others wait

    def connection_lost(self, exc: Exception | None) -> None:
        """End a connection, and what is done for the request that is being answered."""
        self.cycle = cast("RequestResponseCycle", self._answered)
        self.pipeline.clear()
        super().connection_lost(exc)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._answered = cycle
        super()._start_asgi_task(cycle, app)

    def on_message_begin(self) -> None:
        """Begin a request."""
        super().on_message_begin()
        self._is_head_complete = False
        self._expect_within(HEAD_SECONDS)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; drop a trailer, which nobody announced and nobody checked."""
        if not self._is_head_complete:
            super().on_header(name, value.rstrip(b" \t"))  # which the parser leaves on: RFC 9110 section 5.5

    def on_headers_complete(self) -> None:
        """Start the application; its ``raw_path`` is the target as it was sent."""
        self._is_head_complete = True
        self._has_progressed = True
        self._expect_within(BODY_SECONDS)
        target = self.url
        is_tunnel = cast("Any", self.parser).get_method() == b"CONNECT"
        if not target.startswith(b"/"):
            self.url = b"/"  # for what looks for a path in it; the application gets the target itself
        super().on_headers_complete()
        if self.url != target or b"#" in target:
            self.scope["raw_path"] = target.partition(b"?")[0]
        if is_tunnel or b"upgrade" in dict(self.headers):
            # Behind an upgrade the parser would take whatever comes for the next request.
            self._is_upgraded = True
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        """Take a part of the body."""
        self._has_progressed = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        """End a request."""
        self._has_progressed = True
        self._expect_within(None)
        super().on_message_complete()

    def data_received(self, data: bytes) -> None:
        """Parse, and give up on a part that does not end: a head, a trailer, an extension."""
        if self._is_upgraded:
            return
        self._has_progressed = False
        # The parser does not say what it disliked, and only a request's first line has a version.
        self._is_other_version = self._is_head_complete and _OTHER_VERSION_LINE.match(data) is not None
        super().data_received(data)
        self._read_on()
        self._idle_octets = 0 if self._has_progressed else self._idle_octets + len(data)
        if self._idle_octets > MAX_HEAD and not self.transport.is_closing():
            self._answer_and_close(b"HTTP/1.1 431 Request Header Fields Too Large\r\n", _TOO_LARGE)
        elif self._deadline is None and self.cycle.response_complete:
            self._expect_within(HEAD_SECONDS)  # octets between requests ended the wait for the next one

    def _read_on(self) -> None:
        # Who does not read does not see that the client goes away.
        octets = sum(len(cycle.body) for cycle, _ in self.pipeline)
        if octets > MAX_AHEAD or len(self.pipeline) > MAX_REQUESTS_AHEAD:
            self.transport.abort()
        elif self.pipeline:
            self.flow.resume_reading()

    def send_400_response(self, msg: str) -> None:
        """Answer what is not HTTP in the form in which everything else is refused."""
        if self._is_other_version:
            self._answer_and_close(b"HTTP/1.1 505 HTTP Version Not Supported\r\n", _OTHER_VERSION)
        else:
            self._answer_and_close(b"HTTP/1.1 400 Bad Request\r\n", _BAD_REQUEST)

    def _answer_and_close(self, status_line: bytes, body: bytes) -> None:
        cycle = self._answered
        is_answering = cycle is not None and cycle.response_started and not cycle.response_complete
        if not is_answering:  # never into the middle of another answer
            head = b"content-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
            self.transport.write(status_line + head % len(body) + body)
        self.transport.close()


class TimedH11Protocol(_Timed, H11Protocol):
    """uvicorn's protocol on h11, which by itself waits for ever for a request and for its body."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._awaited: Any = h11.IDLE

    def data_received(self, data: bytes) -> None:
        """Parse, but nothing behind the last request: RFC 9112 section 9.6."""
        if self.conn.their_state is not h11.MUST_CLOSE:
            super().data_received(data)
            self._expect_the_rest()

    def handle_events(self) -> None:
        """Take what has been parsed, and read on behind it, or nobody would see the client go away."""
        super().handle_events()
        cycle = cast("H11Cycle | None", self.cycle)
        if cycle is None or cycle.more_body:
            return
        if len(self.conn.trailing_data[0]) > MAX_AHEAD:
            self.transport.abort()
        else:
            self.flow.resume_reading()

    def send_400_response(self, msg: str) -> None:
        """Answer what is not HTTP, but not into the middle of another answer."""
        if self.conn.our_state is h11.SEND_BODY:
            self.transport.close()
        else:
            super().send_400_response(msg)

    def on_response_complete(self) -> None:
        """Go on with the next request."""
        super().on_response_complete()
        self._expect_the_rest()

    def shutdown(self) -> None:
        """Close the connection, after the answer in flight, which says so as the other class does."""
        cycle = cast("H11Cycle | None", self.cycle)
        if cycle is not None and cycle.keep_alive and not cycle.response_started:
            cycle.default_headers = [*cycle.default_headers, (b"connection", b"close")]
        super().shutdown()

    def _expect_the_rest(self) -> None:
        state: Any = self.conn.their_state
        if state is h11.IDLE and self.timeout_keep_alive_task is None:
            seconds = HEAD_SECONDS
        elif state is h11.SEND_BODY:
            seconds = BODY_SECONDS
        else:
            state, seconds = None, None
        if state is not self._awaited:
            self._awaited = state
            self._expect_within(seconds)
