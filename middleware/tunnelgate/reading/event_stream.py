"""Reads ``text/event-stream`` as its standard says, an event at a time, as the bytes come in.

Specification: https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from tunnelgate.reading.fault import Fault
from tunnelgate.verdict import Reason

_LINE_END = re.compile(rb"\r\n|\r|\n")
_BOM = b"\xef\xbb\xbf"
_PLAIN = re.compile(rb"[\t\x20-\x7e]*")
_MILLISECONDS = re.compile(rb"[0-9]{1,9}")
# Some clients end lines where Unicode does; JSON can write these characters as escapes.
_ODD_LINE_ENDS = ((b"\xc2\x85", rb"\u0085"), (b"\xe2\x80\xa8", rb"\u2028"), (b"\xe2\x80\xa9", rb"\u2029"))
_LINE_OVERHEAD = 32  # what a line costs to keep, so that a million empty fields are not free


@dataclass(frozen=True, slots=True)
class Event:
    """One block of a stream: an event, or a comment that keeps the connection alive.

    ``data`` is ``None`` where the block had no ``data`` line, which an empty line of data is not.
    """

    data: bytes | None
    type: bytes | None = None
    id: bytes | None = None
    retry: bytes | None = None
    comments: tuple[bytes, ...] = ()


_NOTHING = Event(None)


class EventReader:
    """Turns chunks of a stream into events.

    ``max_event`` is the most octets that one event may have before
    :class:`~tunnelgate.reading.fault.Fault` (``answer-too-large``) is raised.
    An event that the stream ends in the middle of is dropped, as the standard says.
    """

    def __init__(self, max_event: int) -> None:
        self._max_event = max_event
        self._line = bytearray()
        self._block: list[bytes] = []
        self._block_size = 0
        self._at_start = True
        self._after_cr = False

    def feed(self, chunk: bytes) -> Iterator[Event]:
        """Yield the events that ``chunk`` completes; to be consumed before the next call."""
        if self._at_start:
            chunk = bytes(self._line) + chunk
            self._line.clear()
            if len(chunk) < len(_BOM) and _BOM.startswith(chunk):
                self._line += chunk
                return
            chunk = chunk.removeprefix(_BOM)
            self._at_start = False
        # A CR has ended its line when it came, so that nothing waits for the LF it may have.
        if self._after_cr and chunk:
            chunk = chunk.removeprefix(b"\n")
            self._after_cr = False
        self._after_cr = self._after_cr or chunk.endswith(b"\r")
        *lines, rest = _LINE_END.split(chunk)
        for line in lines:
            self._line += line
            if self._line:
                self._block.append(bytes(self._line))
                self._block_size += len(self._line) + _LINE_OVERHEAD
                self._line.clear()
                self._check_size()
            elif self._block:
                event = _event(self._block)
                self._block = []
                self._block_size = 0
                if event != _NOTHING:
                    yield event
        self._line += rest
        self._check_size()

    def _check_size(self) -> None:
        if self._block_size + len(self._line) > self._max_event:
            raise Fault(Reason.ANSWER_TOO_LARGE, f"an event of more than {self._max_event} octets")


def write_event(event: Event) -> bytes:
    """Return ``event`` as it goes on: one field a line, ended by LF."""
    lines = [b":" + (comment if _PLAIN.fullmatch(comment) else b"") for comment in event.comments]
    for name, value in ((b"event", event.type), (b"id", event.id), (b"retry", event.retry)):
        if value is not None:
            lines.append(name + b": " + value)
    if event.data is not None:
        lines += [b"data: " + line for line in _without_odd_line_ends(event.data).split(b"\n")]
    return b"\n".join(lines) + b"\n\n"


def _without_odd_line_ends(data: bytes) -> bytes:
    for character, escaped in _ODD_LINE_ENDS:
        data = data.replace(character, escaped)
    return data


def _event(lines: list[bytes]) -> Event:
    data: list[bytes] = []
    comments: list[bytes] = []
    fields: dict[bytes, bytes] = {}
    for line in lines:
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if not name:
            comments.append(line[1:])
        elif name == b"data":
            data.append(value)
        elif (
            (name == b"event" and _PLAIN.fullmatch(value) is not None)
            or (name == b"id" and b"\0" not in value)
            or (name == b"retry" and _MILLISECONDS.fullmatch(value) is not None)
        ):
            fields[name] = value
    return Event(
        data=b"\n".join(data) if data else None,
        type=fields.get(b"event"),
        id=fields.get(b"id"),
        retry=fields.get(b"retry"),
        comments=tuple(comments),
    )
