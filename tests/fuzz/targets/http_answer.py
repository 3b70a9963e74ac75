"""An answer that was read is read the same by another parser of HTTP, and however it is cut into pieces.

An input is a line whose octets are the lengths of the pieces, over and over, and then what an upstream
sends until it closes the connection.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import cycle

import h11

from tunnelgate.reading.fault import Fault
from tunnelgate.reading.http_answer import HttpAnswerReader

MAX_LENGTH = 1024
_AMPLE = 64 * 1024
_TIGHT = 100
_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9a-z-]+")
_CONTROL = frozenset(range(32)) - {9} | {127}
_OK = b"HTTP/1.1 200 OK\r\n"


@dataclass(frozen=True)
class _Read:
    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes
    may_be_followed: bool


def check(data: bytes) -> None:
    first, _, answer = data.partition(b"\n")
    pieces = list(_cut(answer, first))
    octets = [answer[position : position + 1] for position in range(len(answer))]
    for method in (b"POST", b"HEAD"):
        for bound in (_AMPLE, _TIGHT):
            whole = _read([answer], method, bound)
            assert _read(pieces, method, bound) == whole
            assert _read(octets, method, bound) == whole
        read = _read([answer], method, _AMPLE)
        if read is not None:
            _check_plain(read)
            _check_followed(read, answer, method)
            assert _as_h11_reads(answer, method) == (read.status, _but_codings(read.headers), read.body)


def _check_plain(read: _Read) -> None:
    assert read.status in range(200, 600)
    for name, value in read.headers:
        assert _TOKEN.fullmatch(name)
        assert value == value.strip(b" \t")
        assert not _CONTROL.intersection(value)


def _check_followed(read: _Read, answer: bytes, method: bytes) -> None:
    """Check that what may be followed is whole by itself, and not with one octet more or less."""
    if read.may_be_followed:
        assert _read([answer[:-1]], method, _AMPLE) is None
        for more in (b"x", b"\n", _OK):
            assert _read([answer + more], method, _AMPLE) is None


def _read(pieces: Iterable[bytes], method: bytes, bound: int) -> _Read | None:
    reader = HttpAnswerReader(method=method, max_head=bound)
    body = b""
    try:
        for piece in pieces:
            reader.feed(piece)
            body += reader.take_body()
        may_be_followed = reader.is_complete and reader.may_be_followed
        reader.end()
    except Fault:
        return None
    assert reader.is_complete
    assert reader.head is not None
    return _Read(reader.head.status, reader.head.headers, body, may_be_followed)


def _cut(answer: bytes, lengths: bytes) -> Iterator[bytes]:
    position = 0
    for length in cycle(lengths or b"\x07"):
        if position >= len(answer):
            return
        yield answer[position : position + length]
        position += max(length, 1)
        if length == 0:
            yield answer[position - 1 : position]


def _as_h11_reads(answer: bytes, method: bytes) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    connection = h11.Connection(h11.CLIENT)
    connection.send(h11.Request(method=method, target="/", headers=[("Host", "a")]))
    connection.send(h11.EndOfMessage())
    connection.receive_data(answer)
    connection.receive_data(b"")
    status, headers, body = 0, list[tuple[bytes, bytes]](), b""
    while not isinstance(event := connection.next_event(), h11.EndOfMessage):
        if isinstance(event, h11.Response):
            status, headers = event.status_code, _but_codings(event.headers)
        elif isinstance(event, h11.Data):
            body += event.data
    return status, headers, body


def _but_codings(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    # h11 writes this value in small letters.
    return [(name, value) for name, value in headers if name != b"transfer-encoding"]


def seeds() -> Iterator[bytes]:
    for answer in _ANSWERS:
        yield b"\x03\x05\n" + answer
        yield b"\x02\x00\x04\n" + answer.replace(b"\r\n", b"\n", 1)
        yield b"\n" + answer + b"\r\n"


_ANSWERS = (
    _OK + b"Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}",
    _OK + b"X:\r\nx: \t a \xff \r\nContent-Length: 0\r\nConnection: x, close\r\n\r\n",
    _OK + b"Content-Type: text/event-stream\r\n\r\ndata: a\n\n",
    _OK + b'Transfer-Encoding: chunked\r\n\r\n4\r\ndata\r\n00a;a="b"\r\n0123456789\r\n0\r\nX: a\r\n\r\n',
    _OK + b"Transfer-Encoding: Chunked\r\n\r\n2\r\nhi\r\n0\r\nContent-Length: 5\r\n\r\n",
    _OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    _OK + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    _OK + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\nhi",
    _OK + b"Content-Length: 2\r\n\r\nhithere",
    _OK + b"X: a\r\n b\r\nContent-Length: 2\r\n\r\nhi",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 \r\nLink: a\r\n\r\n" + _OK + b"Content-Length: 2\r\n\r\nhi",
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nx",
    b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nhi",
    b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    b"HTTP/1.1 204\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
    b"HTTP/2.0 599 O\0K\r\n\r\n",
)
