"""Answers: what comes back to a client is an answer to what it asked, with only what it may see.

An answer to another question, or one that two clients could read differently, is not passed on:
the client gets a 502. That the server refused is passed on, in words that are known to be JSON-RPC,
so that a client which tries one era of the protocol after the other reads the status and goes on.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from enum import Enum

from tunnelgate.asgi import Message, Send
from tunnelgate.body import read_aside
from tunnelgate.errors import UpstreamFailed
from tunnelgate.exchange import Exchange
from tunnelgate.reading.answer_head import read_answer_head
from tunnelgate.reading.event_stream import Event, EventReader, write_event
from tunnelgate.reading.fault import Fault
from tunnelgate.reading.methods import Era
from tunnelgate.reading.strict_json import write_json
from tunnelgate.refusal import Headers, answer_to, error_message, relayed_refusal
from tunnelgate.results import ResultRules
from tunnelgate.verdict import Reason

logger = logging.getLogger("tunnelgate")

_AT_ONCE = 8 * 1024  # octets of a stream that are judged before others get their turn
DEFAULT_MAX_ANSWER = 8 * 1024 * 1024
LAST_SECONDS = 5.0  # in which a client takes what it is told of a failure

# What a server says to the gate, not to the client: it has not heard of the client's token.
_NOT_THE_CLIENTS = frozenset({401, 403, 407})
_REDIRECTION, _CLIENT_ERROR, _SERVER_ERROR = 300, 400, 500
# After these nobody reads a body, so that one would be taken for the next answer.
_NO_CONTENT = frozenset({204, 205})


class Expected(Enum):
    """What a request is answered with when it succeeds."""

    MESSAGE = "one message, or a stream that ends with it"
    STREAM = "a stream"
    NOTHING = "no content"


class _State(Enum):
    BEFORE = "nothing came yet"
    WHOLE = "a body that is judged when it is complete"
    STREAM = "an event stream, judged event by event"
    DONE = "nothing more is passed on"


class AnswerGuard:
    """Stands in for ``send`` and lets through what answers the request of ``exchange``.

    ``max_answer`` is the octets of a body or of one event. ``ended`` is called when nothing more is
    passed on, although the application behind the gate has more to say.
    """

    def __init__(
        self,
        send: Send,
        exchange: Exchange,
        rules: ResultRules,
        expected: Expected,
        *,
        max_answer: int,
        ended: Callable[[], None] | None = None,
    ) -> None:
        self._send = send
        self._exchange = exchange
        self._rules = rules
        self._expected = expected
        self._max_answer = max_answer
        self._state = _State.BEFORE
        self._ended = ended
        self._status = 0
        self._headers: Headers = []
        self._body = bytearray()
        self._events = EventReader(max_answer)

    async def send(self, message: Message) -> None:
        """Take one ASGI message of the application behind the gate, or of a layer that refused."""
        if self._exchange.is_refused:
            self._state = _State.DONE
            await self._send(message)
            return
        try:
            if message["type"] == "http.response.start":
                await self._begin(message)
            elif message["type"] == "http.response.body":
                await self._continue(message.get("body", b""), more=message.get("more_body", False))
        except Fault as fault:
            await self._refuse(fault)
            if self._ended is not None:
                self._ended()

    async def _begin(self, start: Message) -> None:
        if self._state is not _State.BEFORE:
            return  # one answer to one request
        self._state = _State.WHOLE
        head = read_answer_head(start["status"], start.get("headers", ()))
        self._status = head.status
        self._headers = [*head.headers, (b"x-request-id", self._exchange.request_id.encode())]
        if head.status >= _CLIENT_ERROR:
            return  # what it says is judged when it is complete
        if head.session is not None and self._rules.era is Era.LEGACY:
            handle = self._rules.handles.session(head.session)
            self._headers.append((b"mcp-session-id", handle.encode("ascii")))
        if head.status >= _REDIRECTION or (head.status in _NO_CONTENT and not self._is_silent):
            raise Fault(Reason.ANSWER_NOT_VALID, f"status {head.status}")
        if self._is_silent:
            await self._answer(head.status, b"")
        elif head.media_type == "text/event-stream":
            self._state = _State.STREAM
            # Or a proxy in front would keep events back until there are many.
            unbuffered = [pair for pair in self._headers if pair[0] != b"x-accel-buffering"]
            headers = [*unbuffered, (b"x-accel-buffering", b"no"), (b"content-type", b"text/event-stream")]
            await self._send({"type": "http.response.start", "status": head.status, "headers": headers})
        elif self._expected is Expected.STREAM or head.media_type not in ("", "application/json"):
            raise Fault(Reason.ANSWER_NOT_VALID, f"media type {(head.media_type or 'unreadable')[:80]!r}")

    @property
    def _is_silent(self) -> bool:
        return self._expected is Expected.NOTHING

    async def fail(self, failure: UpstreamFailed) -> None:
        """End the answer of an application that did not answer as it should."""
        if self._exchange.is_refused or self._state is _State.DONE:
            return
        with suppress(TimeoutError):  # who does not read is told nothing, and holds nothing up
            async with asyncio.timeout(LAST_SECONDS):
                if self._state is _State.STREAM and self._rules.is_answered:
                    await self._continue(b"", more=False)  # what lacks is nothing that anybody waits for
                    return
                self._exchange.retry_after = failure.retry_after
                await self._refuse(Fault(failure.reason, failure.detail))

    async def close(self) -> None:
        """End an answer that the application behind the gate has not ended."""
        if self._state in (_State.BEFORE, _State.WHOLE):
            await self._refuse(Fault(Reason.ANSWER_NOT_VALID, "it ended too soon"))
        elif self._state is _State.STREAM:
            await self._continue(b"", more=False)

    async def _continue(self, chunk: bytes, *, more: bool) -> None:
        if self._state is _State.STREAM:
            await self._pass_on(chunk, more=more)
            if not more:
                self._state = _State.DONE
        elif self._state is _State.WHOLE:
            self._body += chunk
            if len(self._body) > self._max_answer:
                raise Fault(Reason.ANSWER_TOO_LARGE, f"more than {self._max_answer} octets")
            if not more:
                await self._finish()

    async def _pass_on(self, chunk: bytes, *, more: bool) -> None:
        passed = bytearray()
        try:
            for start in range(0, len(chunk), _AT_ONCE):
                if start:
                    await asyncio.sleep(0)  # for whoever else is waiting
                for event in self._events.feed(chunk[start : start + _AT_ONCE]):
                    passed += await self._judge(event)
        except Fault:
            if passed:
                await self._send({"type": "http.response.body", "body": bytes(passed), "more_body": True})
            raise
        if passed or not more:
            await self._send({"type": "http.response.body", "body": bytes(passed), "more_body": more})

    async def _judge(self, event: Event) -> bytes:
        if self._rules.era is Era.MODERN:
            event = replace(event, id=None)  # a stream that is cut off is asked for anew
            if event == Event(None):
                return b""
        elif event.id:
            event = replace(event, id=self._rules.handles.event(event.id, self._rules.origin).encode())
        if event.data:
            data = await read_aside(len(event.data), self._rules.judge, event.data)
            if data is None and event.id is None and event.retry is None:
                return b""
            event = replace(event, data=data or b"")  # without the message, the place in the stream stays
        return write_event(event)

    async def _finish(self) -> None:
        if self._status >= _CLIENT_ERROR:
            return await self._finish_refused()
        body = await self._judge_whole() if self._body else b""
        if not body:
            raise Fault(Reason.ANSWER_NOT_VALID, "no answer at all")
        return await self._answer(self._status, body)

    async def _judge_whole(self) -> bytes:
        return await read_aside(len(self._body), self._rules.judge_alone, bytes(self._body))

    async def _finish_refused(self) -> None:
        try:
            judged = await self._judge_whole()
        except Fault as fault:
            logger.info("request %s: the server refused it: %s", self._exchange.request_id, fault.detail)
            judged = b""
        body = judged if self._rules.is_refused else b""  # a result belongs to no status of a refusal
        if self._status in _NOT_THE_CLIENTS or (self._status >= _SERVER_ERROR and not body):
            raise Fault(Reason.ANSWER_NOT_VALID, f"status {self._status}")
        if not body:
            body = write_json(relayed_refusal(self._exchange))
        return await self._answer(self._status, body)

    async def _answer(self, status: int, body: bytes) -> None:
        self._state = _State.DONE
        headers = list(self._headers)
        if body:
            headers.append((b"content-type", b"application/json"))
        if status not in _NO_CONTENT:
            headers.append((b"content-length", b"%d" % len(body)))
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
        await self._send({"type": "http.response.body", "body": body})

    async def _refuse(self, fault: Fault) -> None:
        level = logging.INFO if fault.reason is Reason.CALL_CANCELLED else logging.WARNING
        said = f"{fault.reason}: {fault.detail}" if fault.detail else fault.reason
        logger.log(level, "request %s: %s", self._exchange.name, said)
        was_streaming = self._state is _State.STREAM
        self._state = _State.DONE
        if was_streaming:
            body = b""
            if self._rules.origin.message_id is not None and not self._rules.is_answered:
                error = write_json(error_message(fault.reason, self._exchange, self._rules.origin.message_id))
                body = write_event(Event(data=error, type=b"message"))
        else:
            status, headers, body = answer_to(fault.denial(), self._exchange)
            await self._send({"type": "http.response.start", "status": status, "headers": headers})
        await self._send({"type": "http.response.body", "body": body})
