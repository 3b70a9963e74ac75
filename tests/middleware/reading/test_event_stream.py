import json
import re
from contextlib import suppress
from dataclasses import replace
from itertools import pairwise
from typing import Any

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tunnelgate import Reason
from tunnelgate.reading.event_stream import Event, EventReader, write_event
from tunnelgate.reading.fault import Fault

AMPLE = 1_000_000
LINE_COST = 32  # octets that a line counts for besides its own
BOM = b"\xef\xbb\xbf"


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        pytest.param(b"", [], id="nothing"),
        pytest.param(b"data: a\n\n", [Event(b"a")], id="lines that end in LF"),
        pytest.param(b"data: a\r\r", [Event(b"a")], id="lines that end in CR"),
        pytest.param(b"data: a\r\n\r\n", [Event(b"a")], id="lines that end in CRLF"),
        pytest.param(b"id: 1\r\ndata: a\r\n\r\n", [Event(b"a", id=b"1")], id="two lines that end in CRLF"),
        pytest.param(b"data: a\r\n\n", [Event(b"a")], id="CRLF, then LF"),
        pytest.param(b"data: a\n\r", [Event(b"a")], id="LF, then CR"),
        pytest.param(b"data: a\r\n\rdata: b\n\r\n", [Event(b"a"), Event(b"b")], id="all line ends mixed"),
        pytest.param(b"data: a\r\r\ndata: b\n\n", [Event(b"a"), Event(b"b")], id="CR, then CRLF"),
        pytest.param(BOM + b"data: a\n\n", [Event(b"a")], id="a byte order mark at the start"),
        pytest.param(BOM + BOM + b"data: a\ndata: b\n\n", [Event(b"b")], id="a second byte order mark"),
        pytest.param(
            b"data: a\n\n" + BOM + b"data: b\ndata: c\n\n", [Event(b"a"), Event(b"c")], id="a mark further on"
        ),
        pytest.param(b"data:a\n\n", [Event(b"a")], id="no space behind the colon"),
        pytest.param(b"data:  a \n\n", [Event(b" a ")], id="more than one space"),
        pytest.param(b"data:\ta\n\n", [Event(b"\ta")], id="a tab behind the colon"),
        pytest.param(b"data: a: b\n\n", [Event(b"a: b")], id="a colon in the data"),
        pytest.param(b"data: a\ndata: b\n\n", [Event(b"a\nb")], id="two lines of data"),
        pytest.param(b"data\n\n", [Event(b"")], id="a line of data without a colon"),
        pytest.param(b"data:\n\n", [Event(b"")], id="an empty line of data"),
        pytest.param(b"data\ndata\n\n", [Event(b"\n")], id="two empty lines of data"),
        pytest.param(b"data: \xff\0\n\n", [Event(b"\xff\0")], id="octets that are no text"),
        pytest.param(b"event: ping\n\n", [Event(None, type=b"ping")], id="a type without data"),
        pytest.param(b"event: a\nevent: b\ndata: x\n\n", [Event(b"x", type=b"b")], id="the last type counts"),
        pytest.param(b"event\ndata: x\n\n", [Event(b"x", type=b"")], id="an empty type"),
        pytest.param(b"id: 1\ndata: x\n\n", [Event(b"x", id=b"1")], id="an id"),
        pytest.param(b"id\n\n", [Event(None, id=b"")], id="an id that is taken back"),
        pytest.param(b"id: a\0b\ndata: x\n\n", [Event(b"x")], id="an id with a NUL is none"),
        pytest.param(b"id: 1\nid: a\0b\ndata: x\n\n", [Event(b"x", id=b"1")], id="nor does it replace one"),
        pytest.param(b"retry: 0250\n\n", [Event(None, retry=b"0250")], id="a time to wait"),
        pytest.param(b"retry: 1s\ndata: x\n\n", [Event(b"x")], id="a time that is no number"),
        pytest.param(b"retry:\ndata: x\n\n", [Event(b"x")], id="an empty time"),
        pytest.param(b"retry: -1\ndata: x\n\n", [Event(b"x")], id="a negative time"),
        pytest.param(b"retry: 999999999\n\n", [Event(None, retry=b"999999999")], id="the longest time"),
        pytest.param(b"retry: 1000000000\ndata: x\n\n", [Event(b"x")], id="a time of a digit more"),
        pytest.param(b"retry: 0000000001\ndata: x\n\n", [Event(b"x")], id="a short time of ten digits"),
        pytest.param(
            b"retry: 5\nretry: 1000000000\n\n", [Event(None, retry=b"5")], id="a time too long after another"
        ),
        pytest.param(
            b"event: a\tb ~\ndata: x\n\n", [Event(b"x", type=b"a\tb ~")], id="a type of all that is plain"
        ),
        pytest.param("event: caf\u00e9\ndata: x\n\n".encode(), [Event(b"x")], id="a type beyond ASCII"),
        pytest.param("event: a\u2028b\ndata: x\n\n".encode(), [Event(b"x")], id="a type of two lines"),
        pytest.param("event: a\u0085data: b\n\n".encode(), [], id="a type and what only looks like data"),
        pytest.param(b"event: a\x0cb\ndata: x\n\n", [Event(b"x")], id="a type with a form feed"),
        pytest.param(b"event: a\0b\ndata: x\n\n", [Event(b"x")], id="a type with a NUL"),
        pytest.param(b"event: a\x7f\ndata: x\n\n", [Event(b"x")], id="a type with a delete character"),
        pytest.param(b"event: \xff\ndata: x\n\n", [Event(b"x")], id="a type that is no text"),
        pytest.param("retry: ٣\ndata: x\n\n".encode(), [Event(b"x")], id="a time in other digits"),
        pytest.param(b": ping\n\n", [Event(None, comments=(b" ping",))], id="a comment"),
        pytest.param(b":\n\n", [Event(None, comments=(b"",))], id="an empty comment"),
        pytest.param(
            b":a\ndata: x\n:b\n\n", [Event(b"x", comments=(b"a", b"b"))], id="comments around the data"
        ),
        pytest.param(b"x: y\ndata: a\n\n", [Event(b"a")], id="a field that nobody knows"),
        pytest.param(
            b"Data: a\ndata : b\n data: c\ndata: d\n\n", [Event(b"d")], id="names that look like data"
        ),
        pytest.param(b"x: y\n\n", [], id="nothing but a field that nobody knows"),
        pytest.param(b"id: \0\n\n", [], id="nothing but an id with a NUL"),
        pytest.param(b"\n\r\n\r\n\n", [], id="empty lines"),
        pytest.param(b"data: a\n", [], id="an event that does not end"),
        pytest.param(b"data: a\n\ndata: b", [Event(b"a")], id="a line that does not end"),
    ],
)
@pytest.mark.parametrize("size", [pytest.param(AMPLE, id="whole"), pytest.param(1, id="octet by octet")])
def test_a_stream_is_read_as_its_standard_says(stream: bytes, events: list[Event], size: int) -> None:
    reader = EventReader(AMPLE)

    read = [event for at in range(0, len(stream), size) for event in reader.feed(stream[at : at + size])]

    assert read == events


def test_an_event_is_given_out_with_the_chunk_that_completes_it() -> None:
    reader = EventReader(AMPLE)

    assert list(reader.feed(b"data: a")) == []
    assert list(reader.feed(b"\r")) == []
    assert list(reader.feed(b"")) == []
    assert list(reader.feed(b"\n\r")) == [Event(b"a")]
    assert list(reader.feed(b"\ndata: b\n\ndata: c\n\nda")) == [Event(b"b"), Event(b"c")]
    assert list(reader.feed(b"ta: d\n\n")) == [Event(b"d")]


@pytest.mark.parametrize(
    "chunks",
    [
        pytest.param([b"", b"\xef", b"", b"\xbb", b"\xbf", b"data: a\n\n"], id="a mark octet by octet"),
        pytest.param([b"\xef\xbb", b"\xbfdata: a\n\n"], id="a mark in two"),
        pytest.param([b"\xef\xbb\xbf", b"data: a\n\n"], id="a mark alone"),
    ],
)
def test_a_byte_order_mark_is_dropped_however_it_comes(chunks: list[bytes]) -> None:
    reader = EventReader(AMPLE)

    assert [event for chunk in chunks for event in reader.feed(chunk)] == [Event(b"a")]


def test_what_only_begins_like_a_byte_order_mark_is_part_of_its_line() -> None:
    reader = EventReader(AMPLE)

    assert list(reader.feed(b"\xef\xbb")) == []
    assert list(reader.feed(b"data: a\ndata: b\n\n")) == [Event(b"b")]


WHOLE = pytest.param(AMPLE, id="whole")
CUT = pytest.param(5, id="cut into chunks")


def feed(reader: EventReader, stream: bytes, size: int) -> list[Event]:
    return [event for at in range(0, len(stream), size) for event in reader.feed(stream[at : at + size])]


@pytest.mark.parametrize(
    ("stream", "max_event"),
    [
        pytest.param(b"x" * 100, 100, id="a line that does not end"),
        pytest.param(b"data: aaaa\n", 10 + LINE_COST, id="an event that does not end"),
        pytest.param(b"data: aaaa\n\n", 10 + LINE_COST, id="an event"),
        pytest.param(b"data: aaaa\n\n" * 9, 10 + LINE_COST, id="many events"),
        pytest.param(b"\n" * 1000 + b"data: aaaa\n\n", 10 + LINE_COST, id="an event behind empty lines"),
        pytest.param(b"a\n" * 10, 10 * (1 + LINE_COST), id="many small lines"),
        pytest.param(b":\n" * 10 + b"\n", 10 * (1 + LINE_COST), id="many empty comments"),
        pytest.param(b"data: aaaa\nda", 12 + LINE_COST, id="a line and the beginning of the next"),
    ],
)
@pytest.mark.parametrize("size", [WHOLE, CUT])
def test_an_event_may_be_as_large_as_its_bound_and_not_one_octet_more(
    stream: bytes, max_event: int, size: int
) -> None:
    feed(EventReader(max_event), stream, size)

    with pytest.raises(Fault) as caught:
        feed(EventReader(max_event - 1), stream, size)

    assert caught.value.reason == Reason.ANSWER_TOO_LARGE
    assert caught.value.detail == f"an event of more than {max_event - 1} octets"


def standard(stream: bytes) -> list[tuple[bytes, bytes]]:
    """Return type and data of the events that the standard dispatches, read in the plainest way.

    It passes over types that are not plain, which the standard does not.
    """
    *lines, _unfinished = re.split(rb"\r\n|\n|\r", stream.removeprefix(BOM))
    events: list[tuple[bytes, bytes]] = []
    data, kind = b"", b""
    for line in lines:
        name, _, value = line.partition(b":")
        value = value[1:] if value.startswith(b" ") else value
        if not line:
            if data:
                events.append((kind, data[:-1]))
            data, kind = b"", b""
        elif name == b"data":
            data += value + b"\n"
        elif name == b"event" and is_plain(value):
            kind = value
    return events


def is_plain(octets: bytes) -> bool:
    return all(octet == ord("\t") or ord(" ") <= octet <= ord("~") for octet in octets)


def written(event: Event) -> Event:
    """Return the event that is found in what is written of one."""
    data = event.data
    for character in ("\x85", "\u2028", "\u2029"):
        data = data and data.replace(character.encode(), b"\\u%04x" % ord(character))
    comments = tuple(comment if is_plain(comment) else b"" for comment in event.comments)
    return replace(event, data=data, comments=comments)


FIELDS = st.sampled_from(
    [
        *(b"", b"data", b"data: a", b"data:  b", b":", b": c", b"event: x", b"id: 1", b"id: \0", b"retry: 5"),
        *(b"retry: x", b"x", b" ", BOM, BOM + b"data: d", b"\xef", b"\xbb", b"\xff", b"event: \xff"),
        *("data: a\u2028b".encode(), "data: \x85".encode(), "data: \u2029".encode(), b"data: \xe2\x80\xe2"),
        *(b": \xff", ": a\u2028b".encode(), "event: \x85".encode(), b"retry: 1234567890"),
    ]
)
LINE_ENDS = st.sampled_from([b"\n", b"\r", b"\r\n"])
LINES = st.tuples(FIELDS | st.binary(max_size=3), LINE_ENDS).map(b"".join)
STREAMS = st.tuples(st.lists(LINES, max_size=16).map(b"".join), FIELDS).map(b"".join)


def cut(stream: bytes, places: list[int]) -> list[bytes]:
    bounds = [0, *sorted(min(place, len(stream)) for place in places), len(stream)]
    return [stream[first:last] for first, last in pairwise(bounds)]


@given(STREAMS)
@settings(max_examples=200)
def test_any_stream_is_read_as_by_the_plainest_reader(stream: bytes) -> None:
    read = EventReader(AMPLE).feed(stream)

    assert [(event.type or b"", event.data) for event in read if event.data is not None] == standard(stream)


@given(STREAMS, st.lists(st.integers(0, 60), max_size=12))
@example(b"data: a\r\n\ndata: b\n\n", [8, 9])
@example(BOM + b"data: a\r\n\r\n", [0, 1, 2, 2, 3, 11, 12])
@settings(max_examples=200)
def test_a_stream_cut_anywhere_gives_the_same_events(stream: bytes, places: list[int]) -> None:
    reader = EventReader(AMPLE)

    in_pieces = [event for chunk in cut(stream, places) for event in reader.feed(chunk)]

    assert in_pieces == list(EventReader(AMPLE).feed(stream))


def is_too_large(chunks: list[bytes], max_event: int) -> bool:
    reader = EventReader(max_event)
    try:
        for chunk in chunks:
            reader.feed(chunk)
    except Fault:
        return True
    return False


@given(STREAMS, st.lists(st.integers(0, 60), max_size=12), st.integers(1, 120))
@example(b"data: a\n\n", [8], 20)
@settings(max_examples=200)
def test_a_stream_cut_anywhere_is_too_large_or_not_in_the_same_way(
    stream: bytes, places: list[int], max_event: int
) -> None:
    assert is_too_large(cut(stream, places), max_event) == is_too_large([stream], max_event)


@given(STREAMS)
@example(b"x: y\n\n")
@settings(max_examples=200)
def test_an_event_that_was_read_is_read_back_the_same_when_it_is_written(stream: bytes) -> None:
    events = list(EventReader(AMPLE).feed(stream))

    for event in events:
        assert list(EventReader(AMPLE).feed(write_event(event))) == [written(event)]
    again = list(EventReader(AMPLE).feed(b"".join(map(write_event, events))))
    assert again == [written(event) for event in events]
    assert [written(event) for event in again] == again


def read_as_text(stream: bytes) -> list[list[str]]:
    """Return the blocks of lines of a client that ends lines where Unicode and Python do."""
    blocks: list[list[str]] = [[]]
    for line in stream.decode().splitlines():
        if line:
            blocks[-1].append(line)
        else:
            blocks.append([])
    return blocks


# All that ends a line for str.splitlines.
LINE_SEPARATORS = "\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"
ODD_TEXTS = st.text(st.sampled_from(LINE_SEPARATORS + "a: "), max_size=8)


@given(ODD_TEXTS | st.dictionaries(ODD_TEXTS, ODD_TEXTS), ODD_TEXTS)
@settings(max_examples=200)
def test_json_is_one_line_of_data_for_a_client_that_ends_lines_where_unicode_does(
    value: Any, comment: str
) -> None:
    octets = write_event(Event(orjson.dumps(value), type=b"message", comments=(comment.encode(),)))

    (kept, kind, line), rest = read_as_text(octets)

    assert kept == f":{comment if is_plain(comment.encode()) else ''}"
    assert (kind, rest) == ("event: message", [])
    assert json.loads(line.removeprefix("data: ")) == value


@pytest.mark.parametrize(
    ("event", "octets"),
    [
        pytest.param(Event(b'{"a":1}'), b'data: {"a":1}\n\n', id="data"),
        pytest.param(Event(b""), b"data: \n\n", id="empty data"),
        pytest.param(Event(b"a\n\nb"), b"data: a\ndata: \ndata: b\n\n", id="data of three lines"),
        pytest.param(Event(None, comments=(b" ping",)), b": ping\n\n", id="a comment"),
        pytest.param(
            Event('"a\u2028b\u2029c\x85"'.encode()),
            b'data: "a\\u2028b\\u2029c\\u0085"\n\n',
            id="data with the line ends of Unicode",
        ),
        pytest.param(
            Event('"\u20a8\u00e9\u2027"'.encode()),
            'data: "\u20a8\u00e9\u2027"\n\n'.encode(),
            id="data with characters near them",
        ),
        pytest.param(Event(None, comments=(b"\t !~",)), b":\t !~\n\n", id="a comment of all that is plain"),
        pytest.param(
            Event(
                b"x",
                comments=("caf\u00e9".encode(), b"ok", "a\u2028data: b".encode(), b"\0", b"\x7f", b"\xff"),
            ),
            b":\n:ok\n:\n:\n:\n:\ndata: x\n\n",
            id="comments that are not plain, of which the lines are left",
        ),
        pytest.param(
            Event(b"x", type=b"message", id=b"7", retry=b"250", comments=(b"a", b"")),
            b":a\n:\nevent: message\nid: 7\nretry: 250\ndata: x\n\n",
            id="everything",
        ),
    ],
)
def test_an_event_is_written_one_field_a_line(event: Event, octets: bytes) -> None:
    assert write_event(event) == octets


@given(st.lists(st.binary(max_size=40), max_size=12), st.integers(1, 100))
def test_no_octets_raise_anything_but_a_fault(chunks: list[bytes], max_event: int) -> None:
    reader = EventReader(max_event)
    with suppress(Fault):
        for chunk in chunks:
            for event in reader.feed(chunk):
                assert event.data is None or len(event.data) <= max_event
