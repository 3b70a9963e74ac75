"""A stream has the events that its standard says, however it is cut into chunks.

Reading what was written of the events gives the same events, but for comments and line ends that
not every client reads alike, and writing those the same bytes.

An input is a line whose octets are the lengths of the chunks, over and over, and then the stream.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import cycle

from tests.fuzz import corpus
from tunnelgate.reading.event_stream import Event, EventReader, write_event
from tunnelgate.reading.fault import Fault

MAX_LENGTH = 1024
_AMPLE = 1_000_000
_TIGHT = 200
_ODD_LINE_ENDS = "\x85\u2028\u2029"


def check(data: bytes) -> None:
    first, _, stream = data.partition(b"\n")
    chunks = list(_cut(stream, first))
    octets = [stream[position : position + 1] for position in range(len(stream))]
    for bound in (_AMPLE, _TIGHT):
        whole = _read([stream], bound)
        assert _read(chunks, bound) == whole
        assert _read(octets, bound) == whole
    events, ended = _read([stream], _AMPLE)
    assert ended
    assert events == _as_the_standard_says(stream)
    written = b"".join(map(write_event, events))
    again = [_as_it_goes_on(event) for event in events]
    assert _read([written], _AMPLE) == (again, True)
    assert _as_the_standard_says(written) == again
    assert b"".join(map(write_event, again)) == written
    for event in events:
        seen = write_event(replace(event, id=None))
        assert not any(character.encode() in seen for character in _ODD_LINE_ENDS)


def _read(chunks: Iterable[bytes], bound: int) -> tuple[list[Event], bool]:
    reader = EventReader(bound)
    events: list[Event] = []
    try:
        for chunk in chunks:
            events.extend(reader.feed(chunk))
    except Fault:
        return events, False
    return events, True


def _cut(stream: bytes, lengths: bytes) -> Iterator[bytes]:
    position = 0
    for length in cycle(lengths or b"\x07"):
        if position >= len(stream):
            return
        yield stream[position : position + length]
        position += max(length, 1)
        if length == 0:
            yield stream[position - 1 : position]


def _as_it_goes_on(event: Event) -> Event:
    data = event.data
    for character in _ODD_LINE_ENDS:
        data = data and data.replace(character.encode(), b"\\u%04x" % ord(character))
    comments = tuple(comment if _is_plain(comment) else b"" for comment in event.comments)
    return replace(event, data=data, comments=comments)


def _is_plain(octets: bytes) -> bool:
    return all(octet == ord("\t") or ord(" ") <= octet <= ord("~") for octet in octets)


def _is_short_number(octets: bytes) -> bool:
    return 0 < len(octets) < 10 and not octets.strip(b"0123456789")


def _as_the_standard_says(stream: bytes) -> list[Event]:
    """Read the stream in the order in which the standard describes it, with no chunks and no bounds.

    What no client needs is passed over: types that are not plain, and times of more than nine digits.
    """
    text = stream.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    events: list[Event] = []
    for block in _blocks(text.split(b"\n")[:-1]):
        lines: dict[bytes, list[bytes]] = {}
        for line in block:
            name, colon, value = line.partition(b":")
            is_comment = bool(colon) and not name
            lines.setdefault(name, []).append(value if is_comment else value.removeprefix(b" "))
        types = [value for value in lines.get(b"event", []) if _is_plain(value)]
        ids = [value for value in lines.get(b"id", []) if b"\0" not in value]
        waits = [value for value in lines.get(b"retry", []) if _is_short_number(value)]
        event = Event(
            data=b"\n".join(lines[b"data"]) if b"data" in lines else None,
            type=types[-1] if types else None,
            id=ids[-1] if ids else None,
            retry=waits[-1] if waits else None,
            comments=tuple(lines.get(b"", ())),
        )
        if event != Event(None):
            events.append(event)
    return events


def _blocks(lines: list[bytes]) -> Iterator[list[bytes]]:
    block: list[bytes] = []
    for line in lines:
        if line:
            block.append(line)
        else:
            yield block
            block = []


def seeds() -> Iterator[bytes]:
    for stream in corpus.answers("text/event-stream"):
        yield b"\x03\x05\n" + stream
    for stream in _STREAMS:
        yield b"\x01\n" + stream
        yield b"\x02\x00\x04\n" + stream.replace(b"\n", b"\r\n")
        yield b"\n\xef\xbb\xbf" + stream.replace(b"\n", b"\r")


_STREAMS = (
    b": hello\n\nevent: message\nid: 1\ndata: {}\n\n",
    b"data: a\ndata:  b\ndata\n\nretry: 0250\n\nid\n\n",
    b"id: a\0b\nretry: 1s\nevent\ndata: x\n\n",
    b"data: a\n\xef\xbb\xbfdata: b\n:\n: c\n\n\n\ndata: unfinished",
    b":\xc2\x85\n: \xff\nevent: a\nevent: \xe2\x80\xa8\nretry: 1\nretry: 1234567890\ndata: x\n\n",
    b'data: "\xe2\x80\xa8\xe2\x80\xa9\xc2\x85\xe2\x80"\nid: \xc2\x85\nretry: 123456789\n\n',
    b"data: " + b"x" * 150 + b"\n\nx\nx\nx\nx\nx\nx\nx\n\ndata: y\n\n",
)
