"""Answers: what comes back to a client is an answer to what it asked, with only what it may see.

A list is filtered by the same function that decides about calls, in JSON and in event streams.
An answer to another question, or one that two clients could read differently, is not passed on.
"""

import logging
from collections.abc import Callable
from dataclasses import replace
from enum import Enum

from tunnelgate.asgi import Message, Send
from tunnelgate.body import read_aside
from tunnelgate.exchange import Exchange
from tunnelgate.reading.answer import Answer, read_answer, read_names
from tunnelgate.reading.event_stream import Event, EventReader, write_event
from tunnelgate.reading.fault import Fault
from tunnelgate.reading.media_type import read_media_type
from tunnelgate.reading.strict_json import write_json
from tunnelgate.refusal import answer_to, error_message
from tunnelgate.verdict import Reason

logger = logging.getLogger("tunnelgate")

DEFAULT_MAX_ANSWER = 8 * 1024 * 1024

_FRAMING = frozenset({b"content-length", b"transfer-encoding"})

Keep = Callable[[str], bool]


class _State(Enum):
    BEFORE = "nothing came yet"
    WHOLE = "a body that is judged when it is complete"
    STREAM = "an event stream, judged event by event"
    DONE = "nothing more is passed on"


class AnswerGuard:
    """Stands in for ``send`` and lets through what answers the request of ``exchange``.

    ``lists`` is the member of the result that holds a list to be filtered, and ``keep`` says of a
    name whether the client may see it. ``max_answer`` is the octets of a body or of one event.
    """

    def __init__(
        self, send: Send, exchange: Exchange, lists: str | None, keep: Keep, *, max_answer: int
    ) -> None:
        self._send = send
        self._exchange = exchange
        self._lists = lists
        self._keep = keep
        self._max_answer = max_answer
        self._state = _State.BEFORE
        self._start: Message = {}
        self._body = bytearray()
        self._events = EventReader(max_answer)

    async def send(self, message: Message) -> None:
        """Take one ASGI message of the application behind the gate."""
        try:
            if message["type"] == "http.response.start":
                await self._begin(message)
            elif message["type"] == "http.response.body":
                await self._continue(message.get("body", b""), more=message.get("more_body", False))
        except Fault as fault:
            await self._refuse(fault)

    async def _begin(self, start: Message) -> None:
        if self._state is not _State.BEFORE:
            return  # one answer to one request
        self._start = start
        self._state = _State.WHOLE
        media_type = ""
        for name, value in start.get("headers", ()):
            lowered = name.lower()
            if lowered == b"content-encoding" and value.strip().lower() != b"identity":
                raise Fault(Reason.ANSWER_NOT_VALID, "an encoding that nobody asked for")
            if lowered == b"content-type":
                if media_type:
                    raise Fault(Reason.ANSWER_NOT_VALID, "two media types")
                media_type, charset = read_media_type(value)
                if not media_type or charset not in (None, "utf-8"):
                    raise Fault(Reason.ANSWER_NOT_VALID, "a media type that is not readable as UTF-8")
        if media_type == "text/event-stream":
            self._state = _State.STREAM
            await self._send({**start, "headers": _without_length(start)})
        elif media_type not in ("", "application/json"):
            raise Fault(Reason.ANSWER_NOT_VALID, f"media type {media_type[:80]}")

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
            for event in self._events.feed(chunk):
                passed += self._judge(event)
        except Fault:
            if passed:
                await self._send({"type": "http.response.body", "body": bytes(passed), "more_body": True})
            raise
        if passed or not more:
            await self._send({"type": "http.response.body", "body": bytes(passed), "more_body": more})

    async def _finish(self) -> None:
        body = b""
        if self._body:
            answer = await read_aside(
                len(self._body), read_answer, bytes(self._body), self._exchange.message_id
            )
            body = self._encode(answer)
        elif self._exchange.message_id is not None and self._start["status"] < 300:  # noqa: PLR2004
            raise Fault(Reason.ANSWER_NOT_VALID, "no answer at all")
        self._state = _State.DONE
        headers = [*_without_length(self._start), (b"content-length", b"%d" % len(body))]
        await self._send({**self._start, "headers": headers})
        await self._send({"type": "http.response.body", "body": body})

    def _judge(self, event: Event) -> bytes:
        if not event.data:
            return write_event(event)
        return write_event(
            replace(event, data=self._encode(read_answer(event.data, self._exchange.message_id)))
        )

    def _encode(self, answer: Answer) -> bytes:
        if self._lists is None or answer.result is None:
            return answer.canonical
        named = read_names(answer.result, self._lists)
        answer.result[self._lists] = [entry for name, entry in named if self._keep(name)]
        if "cacheScope" in answer.result:
            # A cache that shared this list would show it to callers of other gates, or of none.
            answer.result["cacheScope"] = "private"
        return write_json(answer.members)

    async def _refuse(self, fault: Fault) -> None:
        logger.warning("request %s: %s: %s", self._exchange.request_id, fault.reason, fault.detail)
        was_streaming = self._state is _State.STREAM
        self._state = _State.DONE
        if was_streaming:
            error = write_json(error_message(fault.reason, self._exchange))
            body = write_event(Event(data=error, type=b"message"))
        else:
            status, headers, body = answer_to(fault.denial(), self._exchange)
            await self._send({"type": "http.response.start", "status": status, "headers": headers})
        await self._send({"type": "http.response.body", "body": body})


def _without_length(start: Message) -> list[tuple[bytes, bytes]]:
    return [pair for pair in start.get("headers", ()) if pair[0].lower() not in _FRAMING]
