from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise

import h11
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tunnelgate import Reason
from tunnelgate.reading.fault import Fault
from tunnelgate.reading.http_answer import MAX_INTERIM, MAX_LINE, HttpAnswerReader

OK = b"HTTP/1.1 200 OK\r\n"
HI = b"Content-Length: 2\r\n\r\nhi"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
NO_STATUS = "no status line of HTTP/1.0 or HTTP/1.1"
NO_HEADER = "a line that is no header"
BARE = "CR or LF alone"
NO_CHUNK = "not a chunk"
NOT_EMPTY = "a body where none may be"
NOT_CHUNKED = "Transfer-Encoding is not chunked alone, or not on HTTP/1.1"
BEYOND = "a head or trailers beyond their bound"
BEHIND = "octets behind the answer"
LONG_LINE = f"a line of more than {MAX_LINE} octets in a chunked body"
BELONGS_INTO_THE_HEAD = "a trailer that belongs into the head"

Headers = tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True)
class Read:
    """What a reader made of an answer."""

    status: int
    headers: Headers
    body: bytes
    is_complete: bool
    may_be_followed: bool


def read(
    pieces: Sequence[bytes], *, method: bytes = b"POST", max_head: int = 64 * 1024, ends: bool = False
) -> Read:
    reader = HttpAnswerReader(method=method, max_head=max_head)
    body = b""
    for piece in pieces:
        reader.feed(piece)
        body += reader.take_body()
    if ends:
        reader.end()
    if reader.head is None:
        raise Fault(Reason.ANSWER_NOT_VALID, "no head yet")
    return Read(reader.head.status, reader.head.headers, body, reader.is_complete, reader.may_be_followed)


def outcome(
    pieces: Sequence[bytes], *, method: bytes = b"POST", max_head: int = 64 * 1024, ends: bool = True
) -> Read | str:
    """Return what was read, or why nothing was."""
    try:
        return read(pieces, method=method, max_head=max_head, ends=ends)
    except Fault as fault:
        return fault.detail if fault.reason == Reason.ANSWER_NOT_VALID else f"{fault}"


def octets(answer: bytes) -> list[bytes]:
    return [answer[at : at + 1] for at in range(len(answer))]


def cuts_in_two(answer: bytes) -> list[list[bytes]]:
    return [[answer[:at], answer[at:]] for at in range(len(answer) + 1)]


def all_cuts(answer: bytes) -> list[list[bytes]]:
    return [octets(answer), *cuts_in_two(answer)]


HI_FIELDS = ((b"content-length", b"2"),)
CHUNKED_FIELDS = ((b"transfer-encoding", b"chunked"),)


@pytest.mark.parametrize(
    ("answer", "status", "headers", "body"),
    [
        pytest.param(OK + HI, 200, HI_FIELDS, b"hi", id="a length"),
        pytest.param(
            OK + b"Content-Length: 002\r\n\r\nhi",
            200,
            ((b"content-length", b"002"),),
            b"hi",
            id="a length with zeros in front",
        ),
        pytest.param(
            OK + b"Content-Length: 0\r\n\r\n",
            200,
            ((b"content-length", b"0"),),
            b"",
            id="a length of nothing",
        ),
        pytest.param(b"HTTP/1.1 200 \r\n" + HI, 200, HI_FIELDS, b"hi", id="an empty reason phrase"),
        pytest.param(b"HTTP/1.1 200\r\n" + HI, 200, HI_FIELDS, b"hi", id="no reason phrase"),
        pytest.param(
            b"HTTP/1.1 404 N\xc3\xb6 \t!~\r\n" + HI,
            404,
            HI_FIELDS,
            b"hi",
            id="a reason phrase of all that it may have",
        ),
        pytest.param(b"HTTP/1.1 599 \r\n" + HI, 599, HI_FIELDS, b"hi", id="the last status"),
        pytest.param(OK + b"X:\r\n" + HI, 200, ((b"x", b""), *HI_FIELDS), b"hi", id="an empty header"),
        pytest.param(
            OK + b"X: \t \r\n" + HI, 200, ((b"x", b""), *HI_FIELDS), b"hi", id="a header of white space"
        ),
        pytest.param(
            OK + b"X-Y: \t a\tb: c \t \r\n" + HI,
            200,
            ((b"x-y", b"a\tb: c"), *HI_FIELDS),
            b"hi",
            id="a header with white space around and inside",
        ),
        pytest.param(
            OK + b"x:a\r\nX:\xff\x80~!\r\n" + HI,
            200,
            ((b"x", b"a"), (b"x", b"\xff\x80~!"), *HI_FIELDS),
            b"hi",
            id="a header twice, and octets beyond ASCII",
        ),
        pytest.param(
            OK + b"!#$%&'*+-.^_`|~09AZaz: a\r\n" + HI,
            200,
            ((b"!#$%&'*+-.^_`|~09azaz", b"a"), *HI_FIELDS),
            b"hi",
            id="a name of all that a token may have",
        ),
        pytest.param(CHUNKED + b"2\r\nhi\r\n0\r\n\r\n", 200, CHUNKED_FIELDS, b"hi", id="a chunk"),
        pytest.param(
            OK + b"Transfer-Encoding: \tChunked \r\n\r\n2\r\nhi\r\n0\r\n\r\n",
            200,
            ((b"transfer-encoding", b"Chunked"),),
            b"hi",
            id="chunked in other letters",
        ),
        pytest.param(CHUNKED + b"0\r\n\r\n", 200, CHUNKED_FIELDS, b"", id="no chunk"),
        pytest.param(
            CHUNKED + b"A\r\n0123456789\r\n0a\r\n0123456789\r\n00000000\r\n\r\n",
            200,
            CHUNKED_FIELDS,
            b"0123456789" * 2,
            id="sizes in either case with zeros in front",
        ),
        pytest.param(
            CHUNKED + b"6\r\n0\r\n\r\n\r\r\n0\r\n\r\n",
            200,
            CHUNKED_FIELDS,
            b"0\r\n\r\n\r",
            id="a chunk that looks like the last one",
        ),
        pytest.param(
            CHUNKED + b'2;a=b;c;d="\t e~\xff;\\"\\\\";e=""\r\nhi\r\n0;f\r\n\r\n',
            200,
            CHUNKED_FIELDS,
            b"hi",
            id="extensions of chunks, which are dropped",
        ),
        pytest.param(
            CHUNKED + b"2\r\nhi\r\n0\r\nX: a\r\nY:\r\nSet-Cookie: \xff\r\n\r\n",
            200,
            CHUNKED_FIELDS,
            b"hi",
            id="trailers, which are dropped",
        ),
        pytest.param(CONTINUE + OK + HI, 200, HI_FIELDS, b"hi", id="an interim answer before"),
        pytest.param(
            (CONTINUE + HINTS) * 4 + OK + HI, 200, HI_FIELDS, b"hi", id="eight interim answers before"
        ),
        pytest.param(
            b"HTTP/1.1 102 P\r\nContent-Length: 0\r\n\r\n" + OK + HI,
            200,
            HI_FIELDS,
            b"hi",
            id="an interim answer that says that it is empty",
        ),
        pytest.param(
            b"HTTP/1.1 204 No Content\r\nServer: a\r\n\r\n", 204, ((b"server", b"a"),), b"", id="no content"
        ),
        pytest.param(
            b"HTTP/1.1 204 \r\nContent-Length: 0\r\n\r\n",
            204,
            ((b"content-length", b"0"),),
            b"",
            id="no content, with a length of nothing",
        ),
        pytest.param(
            b"HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\n",
            304,
            HI_FIELDS,
            b"",
            id="not modified, with the length that another answer would have",
        ),
        pytest.param(
            b"HTTP/1.1 304 \r\nTransfer-Encoding: chunked\r\n\r\n",
            304,
            CHUNKED_FIELDS,
            b"",
            id="not modified, with the coding that another answer would have",
        ),
        pytest.param(
            OK + b"Upgrade: h2c\r\nConnection: Upgrade\r\n" + HI,
            200,
            ((b"upgrade", b"h2c"), (b"connection", b"Upgrade"), *HI_FIELDS),
            b"hi",
            id="an upgrade that is only offered",
        ),
    ],
)
def test_a_good_answer_is_read_the_same_however_it_is_cut(
    answer: bytes, status: int, headers: Headers, body: bytes
) -> None:
    expected = Read(status, headers, body, is_complete=True, may_be_followed=True)

    for pieces in all_cuts(answer):
        assert read(pieces) == expected


@pytest.mark.parametrize("head", [OK, b"HTTP/1.0 200 OK\r\n", OK + b"Connection: keep-alive\r\n"])
def test_a_body_of_unknown_length_lasts_until_the_connection_is_closed(head: bytes) -> None:
    answer = head + b"\r\nhello\r\n\r\n" + OK
    body = b"hello\r\n\r\n" + OK

    for pieces in all_cuts(answer):
        open_ = read(pieces)
        assert (open_.body, open_.is_complete, open_.may_be_followed) == (body, False, False)
        closed = read(pieces, ends=True)
        assert (closed.body, closed.is_complete, closed.may_be_followed) == (body, True, False)


@pytest.mark.parametrize(
    ("fields", "may_be_followed"),
    [
        pytest.param(b"Content-Length: 2\r\n", True, id="a length"),
        pytest.param(b"Content-Length: 0\r\n", True, id="a length of nothing"),
        pytest.param(b"Transfer-Encoding: chunked\r\n", True, id="chunks"),
        pytest.param(b"", False, id="neither, so that some would wait for the end"),
    ],
)
def test_an_answer_to_head_has_no_body_whatever_it_says(fields: bytes, *, may_be_followed: bool) -> None:
    for pieces in all_cuts(OK + fields + b"\r\n"):
        answer = read(pieces, method=b"HEAD")
        assert (answer.body, answer.is_complete, answer.may_be_followed) == (b"", True, may_be_followed)


@pytest.mark.parametrize(
    ("answer", "detail"),
    [
        pytest.param(b"\r\n" + OK + HI, NO_STATUS, id="a line end in front"),
        pytest.param(b"\n" + OK + HI, NO_STATUS, id="a line feed in front"),
        pytest.param(b" " + OK + HI, NO_STATUS, id="a space in front"),
        pytest.param(b"\xef\xbb\xbf" + OK + HI, NO_STATUS, id="a byte order mark in front"),
        pytest.param(b"http/1.1 200 OK\r\n" + HI, NO_STATUS, id="the protocol in small letters"),
        pytest.param(b"HTTP/0.9 200 OK\r\n" + HI, NO_STATUS, id="HTTP/0.9"),
        pytest.param(b"HTTP/1.2 200 OK\r\n" + HI, NO_STATUS, id="HTTP/1.2"),
        pytest.param(b"HTTP/2.0 200 OK\r\n" + HI, NO_STATUS, id="HTTP/2.0"),
        pytest.param(b"HTTP/1.10 200 OK\r\n" + HI, NO_STATUS, id="HTTP/1.10"),
        pytest.param(b"HTTP/01.1 200 OK\r\n" + HI, NO_STATUS, id="HTTP/01.1"),
        pytest.param(b"ICY 200 OK\r\n" + HI, NO_STATUS, id="another protocol's status line"),
        pytest.param(b"RTSP/1.0 200 OK\r\n" + HI, NO_STATUS, id="another protocol that the parser knows"),
        pytest.param(b"SSH-2.0-OpenSSH_9.6\r\n", NO_STATUS, id="SSH"),
        pytest.param(b"\x15\x03\x03\x00\x02\x02\x28", NO_STATUS, id="an alert of TLS"),
        pytest.param(b'{"jsonrpc":"2.0"}', NO_STATUS, id="a body without a head"),
        pytest.param(b"POST /mcp HTTP/1.1\r\n\r\n", NO_STATUS, id="a request"),
        pytest.param(b"HTTP/1.1  200 OK\r\n" + HI, NO_STATUS, id="two spaces before the status"),
        pytest.param(b"HTTP/1.1\t200 OK\r\n" + HI, NO_STATUS, id="a tab before the status"),
        pytest.param(b"HTTP/1.1 200\tOK\r\n" + HI, NO_STATUS, id="a tab behind the status"),
        pytest.param(b"HTTP/1.1 20 OK\r\n" + HI, NO_STATUS, id="a status of two digits"),
        pytest.param(b"HTTP/1.1 2000 OK\r\n" + HI, NO_STATUS, id="a status of four digits"),
        pytest.param(b"HTTP/1.1 +20 OK\r\n" + HI, NO_STATUS, id="a status with a sign"),
        pytest.param(b"HTTP/1.1 000 OK\r\n" + HI, NO_STATUS, id="a status of zeros"),
        pytest.param(b"HTTP/1.1 099 OK\r\n" + HI, NO_STATUS, id="the status before the first"),
        pytest.param(b"HTTP/1.1 600 OK\r\n" + HI, NO_STATUS, id="the status behind the last"),
        pytest.param(b"HTTP/1.1 200 O\0K\r\n" + HI, NO_STATUS, id="a NUL in the reason phrase"),
        pytest.param(b"HTTP/1.1 200 \x1b[2J\r\n" + HI, NO_STATUS, id="an escape in the reason phrase"),
        pytest.param(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n", "another protocol", id="an upgrade"
        ),
        pytest.param(b"HTTP/1.1 101 \r\n\r\n" + OK + HI, "another protocol", id="an upgrade to nothing"),
        pytest.param(OK + b" X: a\r\n" + HI, NO_HEADER, id="a space before the first header"),
        pytest.param(OK + b"X: a\r\n b\r\n" + HI, NO_HEADER, id="a header over two lines"),
        pytest.param(OK + b"X: a\r\n\tb\r\n" + HI, NO_HEADER, id="a header over two lines with a tab"),
        pytest.param(OK + b"X : a\r\n" + HI, NO_HEADER, id="a space before the colon"),
        pytest.param(OK + b"X\t: a\r\n" + HI, NO_HEADER, id="a tab before the colon"),
        pytest.param(OK + b": a\r\n" + HI, NO_HEADER, id="a header without a name"),
        pytest.param(OK + b"X\r\n" + HI, NO_HEADER, id="a header without a colon"),
        pytest.param(OK + b"X(: a\r\n" + HI, NO_HEADER, id="a name with a parenthesis"),
        pytest.param(OK + b'"X": a\r\n' + HI, NO_HEADER, id="a name in quotes"),
        pytest.param(OK + "é: a\r\n".encode() + HI, NO_HEADER, id="a name beyond ASCII"),
        pytest.param(OK + b"X\0: a\r\n" + HI, NO_HEADER, id="a NUL in a name"),
        pytest.param(OK + b"X: a\0b\r\n" + HI, NO_HEADER, id="a NUL in a value"),
        pytest.param(OK + b"X: a\x0bb\r\n" + HI, NO_HEADER, id="a vertical tab in a value"),
        pytest.param(OK + b"X: a\x7f\r\n" + HI, NO_HEADER, id="a delete character in a value"),
        pytest.param(OK + b"Content-Length: \r\n\r\nhi", "Empty Content-Length", id="an empty length"),
        pytest.param(
            OK + b"Content-Length: +2\r\n\r\nhi",
            "Invalid character in Content-Length",
            id="a length with a plus",
        ),
        pytest.param(
            OK + b"Content-Length: -2\r\n\r\nhi",
            "Invalid character in Content-Length",
            id="a length with a minus",
        ),
        pytest.param(
            OK + b"Content-Length: 0x2\r\n\r\nhi",
            "Invalid character in Content-Length",
            id="a length in other digits",
        ),
        pytest.param(
            OK + b"Content-Length: 2_0\r\n\r\nhi",
            "Invalid character in Content-Length",
            id="a length with an underscore",
        ),
        pytest.param(
            OK + b"Content-Length: 2 0\r\n\r\nhi",
            "Invalid character in Content-Length",
            id="a length with a space inside",
        ),
        pytest.param(
            OK + b"Content-Length: 2, 2\r\n\r\nhi",
            "Invalid character in Content-Length",
            id="two lengths in one header",
        ),
        pytest.param(
            OK + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\nhi",
            "Duplicate Content-Length",
            id="the same length twice",
        ),
        pytest.param(
            OK + b"Content-Length: 2\r\ncontent-length: 3\r\n\r\nhi",
            "Duplicate Content-Length",
            id="two lengths",
        ),
        pytest.param(
            OK + b"Content-Length: 1000000000000000\r\n\r\nhi",
            "Content-Length of more than 15 digits",
            id="a length of sixteen digits",
        ),
        pytest.param(
            OK + b"Content-Length: 18446744073709551618\r\n\r\nhi",
            "Content-Length overflow",
            id="a length that is 2 in 64 bits",
        ),
        pytest.param(
            OK + b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n0\r\n\r\n",
            "Content-Length can't be present with Transfer-Encoding",
            id="chunks and a length",
        ),
        pytest.param(
            OK + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "Transfer-Encoding can't be present with Content-Length",
            id="a length and chunks",
        ),
        pytest.param(OK + b"Transfer-Encoding: \r\n\r\n", "Empty Transfer-Encoding", id="an empty coding"),
        pytest.param(
            OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            NOT_CHUNKED,
            id="another coding before chunked",
        ),
        pytest.param(
            OK + b"Transfer-Encoding: chunked, gzip\r\n\r\n", NOT_CHUNKED, id="another coding behind chunked"
        ),
        pytest.param(
            OK + b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            NOT_CHUNKED,
            id="two codings in two headers",
        ),
        pytest.param(
            OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            NOT_CHUNKED,
            id="chunked twice",
        ),
        pytest.param(
            OK + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
            NOT_CHUNKED,
            id="chunked twice in one header",
        ),
        pytest.param(
            OK + b"Transfer-Encoding: chunked,\r\n\r\n0\r\n\r\n", NOT_CHUNKED, id="chunked and a comma"
        ),
        pytest.param(
            OK + b"Transfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n",
            NOT_CHUNKED,
            id="chunked with a parameter",
        ),
        pytest.param(
            OK + b"Transfer-Encoding: chunked\t\r\n\r\n0\r\n\r\n", NOT_CHUNKED, id="chunked and a tab"
        ),
        pytest.param(OK + b"Transfer-Encoding: identity\r\n\r\nhi", NOT_CHUNKED, id="identity"),
        pytest.param(OK + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", NOT_CHUNKED, id="xchunked"),
        pytest.param(
            b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            NOT_CHUNKED,
            id="chunks on HTTP/1.0",
        ),
        pytest.param(b"HTTP/1.1 204 \r\n" + HI, NOT_EMPTY, id="no content, with a length"),
        pytest.param(
            b"HTTP/1.1 204 \r\nTransfer-Encoding: chunked\r\n\r\n", NOT_EMPTY, id="no content, with chunks"
        ),
        pytest.param(
            b"HTTP/1.1 103 \r\nContent-Length: 1\r\n\r\n" + OK + HI,
            NOT_EMPTY,
            id="an interim answer with a length",
        ),
        pytest.param(
            b"HTTP/1.1 100 \r\nTransfer-Encoding: chunked\r\n\r\n" + OK + HI,
            NOT_EMPTY,
            id="an interim answer with chunks",
        ),
        pytest.param(
            b"HTTP/1.1 100 \r\nContent-Length: x\r\n\r\n" + OK + HI,
            "Invalid character in Content-Length",
            id="an interim answer that is not HTTP",
        ),
        pytest.param(
            b"HTTP/1.1 103 \r\nConnection: x, Close\r\n\r\n" + OK + HI,
            "an interim answer that closes the connection",
            id="an interim answer that closes the connection",
        ),
        pytest.param(CONTINUE + b"\r\n" + OK + HI, NO_STATUS, id="a line end behind an interim answer"),
        pytest.param(CONTINUE + b"{}", NO_STATUS, id="a body behind an interim answer"),
        pytest.param(
            CONTINUE * 9 + OK + HI, f"more than {MAX_INTERIM} interim answers", id="nine interim answers"
        ),
        pytest.param(CHUNKED + b"\r\n", NO_CHUNK, id="an empty size"),
        pytest.param(CHUNKED + b";a\r\n\r\n", NO_CHUNK, id="an extension without a size"),
        pytest.param(CHUNKED + b"g\r\n", NO_CHUNK, id="a size that is none"),
        pytest.param(CHUNKED + b"0x2\r\nhi", NO_CHUNK, id="a size with a prefix"),
        pytest.param(CHUNKED + b"+2\r\nhi", NO_CHUNK, id="a size with a plus"),
        pytest.param(CHUNKED + b"-2\r\nhi", NO_CHUNK, id="a size with a minus"),
        pytest.param(CHUNKED + b"2_0\r\nhi", NO_CHUNK, id="a size with an underscore"),
        pytest.param(CHUNKED + b" 2\r\nhi", NO_CHUNK, id="a space before a size"),
        pytest.param(CHUNKED + b"2 \r\nhi", NO_CHUNK, id="a space behind a size"),
        pytest.param(CHUNKED + b"2 ;a\r\nhi", NO_CHUNK, id="a space before an extension"),
        pytest.param(CHUNKED + b"123456789\r\n", NO_CHUNK, id="a size of nine digits"),
        pytest.param(CHUNKED + b"10000000000000002\r\nhi", NO_CHUNK, id="a size that is 2 in 64 bits"),
        pytest.param(CHUNKED + b"2\nhi\r\n0\r\n\r\n", NO_CHUNK, id="a line feed behind a size"),
        pytest.param(CHUNKED + b"2\rhi\r\n0\r\n\r\n", NO_CHUNK, id="a carriage return behind a size"),
        pytest.param(CHUNKED + b"2;a\nhi\r\n0\r\n\r\n", NO_CHUNK, id="a line feed in an extension"),
        pytest.param(
            CHUNKED + b"2;a\rb\r\nhi\r\n0\r\n\r\n", NO_CHUNK, id="a carriage return in an extension"
        ),
        pytest.param(CHUNKED + b"2;\0\r\nhi\r\n0\r\n\r\n", NO_CHUNK, id="a NUL in an extension"),
        pytest.param(
            CHUNKED + b"2;\x7f\r\nhi\r\n0\r\n\r\n", NO_CHUNK, id="a delete character in an extension"
        ),
        pytest.param(CHUNKED + b"2;\xff\r\nhi\r\n0\r\n\r\n", NO_CHUNK, id="an extension beyond ASCII"),
        pytest.param(
            CHUNKED + b'2;a="\x01"' + b"\r\nhi\r\n0\r\n\r\n",
            NO_CHUNK,
            id="an extension with a control character in quotes",
        ),
        pytest.param(
            CHUNKED + b'2;a="b\\"' + b"\r\nhi\r\n0\r\n\r\n",
            NO_CHUNK,
            id="an extension whose quotes an escape keeps open",
        ),
        pytest.param(
            CHUNKED + b'2;"a"' + b"\r\nhi\r\n0\r\n\r\n",
            NO_CHUNK,
            id="an extension that is quoted without a name",
        ),
        pytest.param(
            CHUNKED + b'2;a="b"c' + b"\r\nhi\r\n0\r\n\r\n",
            NO_CHUNK,
            id="an extension with text behind its quotes",
        ),
        pytest.param(
            CHUNKED + b'2;a="b' + b"\r\nhi\r\n0\r\n\r\n", NO_CHUNK, id="an extension whose quotes do not end"
        ),
        pytest.param(
            CHUNKED + b"2;a b" + b"\r\nhi\r\n0\r\n\r\n", NO_CHUNK, id="an extension with a space inside"
        ),
        pytest.param(
            CHUNKED + b"2; a" + b"\r\nhi\r\n0\r\n\r\n", NO_CHUNK, id="an extension with a space in front"
        ),
        pytest.param(CHUNKED + b"2;a=" + b"\r\nhi\r\n0\r\n\r\n", NO_CHUNK, id="an extension without a value"),
        pytest.param(CHUNKED + b"2;" + b"\r\nhi\r\n0\r\n\r\n", NO_CHUNK, id="an extension without a name"),
        pytest.param(CHUNKED + b"2\r\nhi0\r\n\r\n", NO_CHUNK, id="no line end behind a chunk"),
        pytest.param(CHUNKED + b"2\r\nhi\n0\r\n\r\n", NO_CHUNK, id="a line feed behind a chunk"),
        pytest.param(CHUNKED + b"2\r\nhi\r0\r\n\r\n", NO_CHUNK, id="a carriage return behind a chunk"),
        pytest.param(CHUNKED + b"2\r\nhiX\r\n0\r\n\r\n", NO_CHUNK, id="a chunk that is longer than it says"),
        pytest.param(CHUNKED + b"0\r\n\n", NO_CHUNK, id="a line feed at the end"),
        pytest.param(CHUNKED + b"0\r\n\rX", NO_CHUNK, id="a carriage return at the end"),
        pytest.param(CHUNKED + b"0\r\nX\r\n\r\n", NO_CHUNK, id="a trailer without a colon"),
        pytest.param(CHUNKED + b"0\r\nX : a\r\n\r\n", NO_CHUNK, id="a trailer with a space before the colon"),
        pytest.param(CHUNKED + b"0\r\nX: a\r\n b\r\n\r\n", NO_CHUNK, id="a trailer over two lines"),
        pytest.param(CHUNKED + b"0\r\nX: a\n\r\n", NO_CHUNK, id="a trailer that a line feed ends"),
        pytest.param(CHUNKED + b"0\r\nX: a\0\r\n\r\n", NO_CHUNK, id="a NUL in a trailer"),
        pytest.param(
            CHUNKED + b"0\r\nContent-Length: 5\r\n\r\n", BELONGS_INTO_THE_HEAD, id="a length in a trailer"
        ),
        pytest.param(
            CHUNKED + b"0\r\ntransfer-encoding: gzip\r\n\r\n",
            BELONGS_INTO_THE_HEAD,
            id="a coding in a trailer",
        ),
        pytest.param(
            CHUNKED + b"0\r\nConnection: close\r\n\r\n",
            BELONGS_INTO_THE_HEAD,
            id="a connection option in a trailer",
        ),
    ],
)
@pytest.mark.promise("one-reading")
def test_what_is_not_http_is_refused_however_it_is_cut(answer: bytes, detail: str) -> None:
    assert outcome([answer]) == detail
    for pieces in all_cuts(answer):
        assert isinstance(outcome(pieces), str)


@pytest.mark.parametrize(
    ("answer", "detail"),
    [
        pytest.param(b"HTTP/1.1 200 OK\n" + b"Content-Length: 2\n\nhi", BARE, id="nothing but line feeds"),
        pytest.param(OK + b"X: a\nY: b\r\n" + HI, NO_HEADER, id="a header that a line feed ends"),
        pytest.param(OK + b"X: a\rY: b\r\n" + HI, NO_HEADER, id="a header that a carriage return ends"),
        pytest.param(OK + b"X: a\r\r\n" + HI, NO_HEADER, id="a header with a carriage return too many"),
        pytest.param(b"HTTP/1.1 200 OK\n" + HI, NO_STATUS, id="a status line that a line feed ends"),
        pytest.param(b"HTTP/1.1 200 OK\rX: a\r\n" + HI, NO_STATUS, id="a carriage return in a status line"),
    ],
)
@pytest.mark.promise("one-reading")
def test_a_line_end_that_is_none_is_refused_as_soon_as_it_is_seen(answer: bytes, detail: str) -> None:
    place = next(at for at in range(len(answer)) if is_bare(answer, at))

    assert outcome([answer]) == detail
    assert outcome(octets(answer)) == BARE
    for pieces in cuts_in_two(answer):
        assert outcome(pieces) in {detail, BARE}
    reader = HttpAnswerReader()
    for octet in octets(answer[: place + 1]):
        reader.feed(octet)
    with pytest.raises(Fault):
        reader.feed(answer[place + 1 : place + 2])


def is_bare(answer: bytes, at: int) -> bool:
    """Return whether this octet and the next one have a half of a line end."""
    one, next_ = answer[at : at + 1], answer[at + 1 : at + 2]
    return (one == b"\r") != (next_ == b"\n")


@pytest.mark.parametrize(
    "beginning",
    [
        pytest.param(b"S", id="of another protocol"),
        pytest.param(b"\r", id="of a line end"),
        pytest.param(b"HTTP/2", id="of another version"),
        pytest.param(CONTINUE + b"{", id="of a body behind an interim answer"),
        pytest.param(CHUNKED + b"x", id="of a size that is none"),
        pytest.param(CHUNKED + b"2\r\nhi0", id="of a chunk that does not end"),
        pytest.param(CHUNKED + b"0\r\n\r0", id="of an end that is none"),
    ],
)
def test_what_cannot_become_an_answer_is_refused_at_its_beginning(beginning: bytes) -> None:
    assert isinstance(outcome([beginning], ends=False), str)
    assert isinstance(outcome(octets(beginning), ends=False), str)


@pytest.mark.parametrize(
    ("answer", "detail"),
    [
        pytest.param(b"", "closed without an answer", id="before the answer"),
        pytest.param(b"H", "closed in the middle of the head", id="in the status line"),
        pytest.param(OK + b"Content-Length: 0\r\n", "closed in the middle of the head", id="in the head"),
        pytest.param(CONTINUE, "closed in the middle of the head", id="behind an interim answer"),
        pytest.param(
            OK + b"Content-Length: 3\r\n\r\nhi", "closed in the middle of the body", id="in the body"
        ),
        pytest.param(
            OK + b"Content-Length: 3\r\n\r\n", "closed in the middle of the body", id="before the body"
        ),
        pytest.param(CHUNKED, "closed in the middle of the body", id="before the first chunk"),
        pytest.param(CHUNKED + b"2\r\nh", "closed in the middle of the body", id="in a chunk"),
        pytest.param(CHUNKED + b"2\r\nhi\r\n", "closed in the middle of the body", id="between two chunks"),
        pytest.param(CHUNKED + b"0\r\n", "closed in the middle of the body", id="before the trailers"),
        pytest.param(
            CHUNKED + b"0\r\nX: a\r\n\r", "closed in the middle of the body", id="in the last line end"
        ),
    ],
)
def test_a_connection_that_is_closed_too_soon_leaves_no_answer(answer: bytes, detail: str) -> None:
    for pieces in all_cuts(answer):
        assert outcome(pieces) == detail


@pytest.mark.parametrize(
    ("head", "may_be_followed"),
    [
        pytest.param(OK, True, id="HTTP/1.1"),
        pytest.param(OK + b"Connection: keep-alive\r\n", True, id="HTTP/1.1 that keeps it open"),
        pytest.param(OK + b"Connection: x-close\r\n", True, id="another option"),
        pytest.param(OK + b"Proxy-Connection: close\r\n", True, id="a header that is none of HTTP"),
        pytest.param(OK + b"Connection: close\r\n", False, id="HTTP/1.1 that closes it"),
        pytest.param(OK + b"Connection: CLOSE\r\n", False, id="in other letters"),
        pytest.param(OK + b"Connection: x,\t Close ,y\r\n", False, id="among other options"),
        pytest.param(OK + b"Connection: x\r\nconnection: close\r\n", False, id="in a second header"),
        pytest.param(OK + b"Connection: close, keep-alive\r\n", False, id="both options"),
        pytest.param(b"HTTP/1.0 200 OK\r\n", False, id="HTTP/1.0"),
        pytest.param(
            b"HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\n", True, id="HTTP/1.0 that keeps it open"
        ),
        pytest.param(b"HTTP/1.0 200 OK\r\nConnection: keep-alive, close\r\n", False, id="HTTP/1.0 with both"),
    ],
)
def test_a_connection_is_kept_as_its_version_and_its_options_say(
    head: bytes, *, may_be_followed: bool
) -> None:
    for pieces in all_cuts(head + HI):
        assert read(pieces).may_be_followed is may_be_followed


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(OK + HI, id="a length"),
        pytest.param(OK + b"Content-Length: 0\r\n\r\n", id="a length of nothing"),
        pytest.param(CHUNKED + b"2\r\nhi\r\n0\r\n\r\n", id="chunks"),
        pytest.param(CHUNKED + b"0\r\nX: a\r\n\r\n", id="trailers"),
        pytest.param(b"HTTP/1.1 204 \r\n\r\n", id="no content"),
        pytest.param(b"HTTP/1.1 304 \r\n" + HI.removesuffix(b"hi"), id="not modified"),
    ],
)
@pytest.mark.parametrize("behind", [b"\r\n", b"\n", b"x", OK + HI, CONTINUE])
@pytest.mark.promise("one-reading")
def test_an_answer_with_one_octet_behind_it_is_none(answer: bytes, behind: bytes) -> None:
    assert read([answer]).may_be_followed

    for pieces in [[answer + behind], [answer, behind], octets(answer + behind)]:
        assert outcome(pieces, ends=False) == BEHIND


def test_an_answer_to_head_with_a_body_is_none() -> None:
    for pieces in all_cuts(OK + HI):
        assert outcome(pieces, method=b"HEAD") == BEHIND


def test_an_answer_that_came_whole_is_not_complete_any_more_when_octets_come_behind_it() -> None:
    reader = HttpAnswerReader()
    reader.feed(OK + HI)
    assert reader.is_complete

    with pytest.raises(Fault):
        reader.feed(b"x")
    assert (reader.is_complete, reader.may_be_followed, reader.take_body()) == (False, False, b"hi")


def test_nothing_follows_on_a_connection_that_was_closed() -> None:
    reader = HttpAnswerReader()
    reader.feed(OK + HI)
    assert reader.may_be_followed

    reader.end()

    assert reader.is_complete
    assert not reader.may_be_followed


def test_a_reader_says_what_has_come_so_far() -> None:
    reader = HttpAnswerReader()
    assert (reader.has_begun, reader.head, reader.is_complete) == (False, None, False)
    reader.feed(b"")
    assert not reader.has_begun
    reader.feed(CONTINUE)
    assert (reader.has_begun, reader.head, reader.take_body()) == (True, None, b"")
    reader.feed(OK + b"Content-Length: 5\r\n\r\n")
    assert reader.head is not None
    assert (reader.is_complete, reader.take_body()) == (False, b"")
    reader.feed(b"he")
    reader.feed(b"l")
    assert (reader.is_complete, reader.take_body()) == (False, b"hel")
    reader.feed(b"lo")
    reader.feed(b"")
    assert (reader.is_complete, reader.may_be_followed) == (True, True)
    assert (reader.take_body(), reader.take_body()) == (b"lo", b"")


def test_the_beginning_of_a_chunk_is_given_out_before_its_end_has_come() -> None:
    reader = HttpAnswerReader()
    reader.feed(CHUNKED + b"a\r\ndata: ")

    assert reader.take_body() == b"data: "
    reader.feed(b"{}\n\n")
    assert reader.take_body() == b"{}\n\n"


def test_what_came_before_a_fault_may_still_be_taken() -> None:
    reader = HttpAnswerReader()
    with pytest.raises(Fault):
        reader.feed(CHUNKED + b"2\r\nhi\r\n2\r\nhoX")

    assert reader.take_body() == b"hiho"
    assert not reader.is_complete


@pytest.mark.parametrize(
    ("answer", "detail"),
    [
        pytest.param(b"x", NO_STATUS, id="in the head"),
        pytest.param(CHUNKED + b"x", NO_CHUNK, id="in the body"),
    ],
)
def test_a_reader_that_found_a_fault_finds_it_in_whatever_comes(answer: bytes, detail: str) -> None:
    reader = HttpAnswerReader()
    with pytest.raises(Fault):
        reader.feed(answer)

    with pytest.raises(Fault, match=detail):
        reader.feed(OK + HI)
    with pytest.raises(Fault, match=detail):
        reader.feed(b"")
    with pytest.raises(Fault, match=detail):
        reader.end()
    assert not reader.is_complete
    assert not reader.may_be_followed


PADDING = b"X: " + b"x" * 60 + b"\r\n"


def interim(count: int) -> bytes:
    return (b"HTTP/1.1 103 \r\n" + PADDING + b"\r\n") * count


@pytest.mark.parametrize(
    ("answer", "size"),
    [
        pytest.param(OK + PADDING * 9 + HI, len(OK + PADDING * 9 + HI) - 2, id="a head"),
        pytest.param(interim(7) + OK + HI, len(interim(7) + OK + HI) - 2, id="interim answers"),
        pytest.param(
            CHUNKED + b"2\r\nhi\r\n0\r\n" + PADDING * 9 + b"\r\n",
            len(CHUNKED + PADDING * 9 + b"\r\n"),
            id="trailers",
        ),
    ],
)
@pytest.mark.promise("bounded")
def test_heads_and_trailers_may_be_as_long_as_their_bound_and_not_one_octet_more(
    answer: bytes, size: int
) -> None:
    for pieces in all_cuts(answer):
        assert read(pieces, max_head=size).body == b"hi"
        assert outcome(pieces, max_head=size - 1) == BEYOND


@pytest.mark.promise("bounded")
def test_a_head_that_does_not_end_is_refused_one_octet_past_its_bound() -> None:
    begun = OK + b"X: "
    begun += b"x" * (1000 - len(begun))

    for pieces in ([begun], octets(begun)):
        reader = HttpAnswerReader(max_head=1000)
        for piece in pieces:
            reader.feed(piece)
        with pytest.raises(Fault, match=BEYOND):
            reader.feed(b"x")


@pytest.mark.parametrize(
    ("begun", "end"),
    [
        pytest.param(CHUNKED + b"2;", b"\r\nhi\r\n0\r\n\r\n", id="an extension"),
        pytest.param(CHUNKED + b"2\r\nhi\r\n0\r\nX:", b"\r\n\r\n", id="a trailer"),
    ],
)
@pytest.mark.promise("bounded")
def test_a_line_in_a_chunked_body_may_be_as_long_as_its_bound_and_not_one_octet_more(
    begun: bytes, end: bytes
) -> None:
    room = MAX_LINE - len(begun.rsplit(b"\r\n", 1)[1]) - len(b"\r\n")
    good, long = begun + b"x" * room + end, begun + b"x" * (room + 1) + end

    assert read([good]).body == read(octets(good)).body == b"hi"
    assert outcome([long]) == outcome(octets(long)) == LONG_LINE


@pytest.mark.promise("bounded")
def test_a_line_in_a_chunked_body_that_does_not_end_is_refused_one_octet_past_its_bound() -> None:
    reader = HttpAnswerReader()
    reader.feed(CHUNKED + b"2;" + b"x" * (MAX_LINE - 2))

    with pytest.raises(Fault, match=LONG_LINE):
        reader.feed(b"x")


NAMES = st.sampled_from(
    [b"X", b"connection", b"Server", b"content-type", b"X(", b"", b"Content-Length ", b"\0"]
)
VALUES = st.sampled_from([b"a", b"", b"close", b"keep-alive", b"a\0", b"a\nb", b"a\r\n b", b"\xff", b" \t"])
FRAMINGS = st.sampled_from(
    [
        *(b"", b"Content-Length: 2\r\n", b"Content-Length: 0\r\n", b"content-length: 02 \r\n"),
        *(
            b"Content-Length: 3\r\nContent-Length: 2\r\n",
            b"Content-Length: 2, 2\r\n",
            b"Content-Length: +2\r\n",
        ),
        *(
            b"Transfer-Encoding: chunked\r\n",
            b"transfer-encoding:CHUNKED\r\n",
            b"Transfer-Encoding: gzip\r\n",
        ),
        b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n",
    ]
)
STATUS_LINES = st.sampled_from(
    [
        *(
            OK,
            OK,
            OK,
            b"HTTP/1.0 200 OK\r\n",
            b"HTTP/1.1 204 \r\n",
            b"HTTP/1.1 304 \r\n",
            b"HTTP/1.1 500\r\n",
        ),
        *(b"HTTP/1.1 600 \r\n", b"HTTP/2.0 200 \r\n", b"HTTP/1.1 200 OK\n", b"\r\n" + OK, CONTINUE + OK),
    ]
)
FIELDS = st.lists(st.tuples(NAMES, VALUES).map(lambda pair: b": ".join(pair) + b"\r\n"), max_size=2).map(
    b"".join
)
BODIES = st.sampled_from(
    [
        *(b"", b"hi", b"hi\r\n", b"2\r\nhi\r\n0\r\n\r\n", b"1\r\nh\r\n1;x\r\ni\r\n0\r\nX: a\r\n\r\n"),
        *(b"2\r\nhi\r\n0\r\n\r\nx", b"2\nhi\r\n0\r\n\r\n", b"2\r\nhi0\r\n\r\n", b"2 \r\nhi\r\n0\r\n\r\n"),
    ]
)
ANSWERS = st.tuples(STATUS_LINES, FIELDS, FRAMINGS, st.just(b"\r\n"), BODIES).map(b"".join)
METHODS = st.sampled_from([b"POST", b"GET", b"HEAD", b"DELETE"])


def cut_at(answer: bytes, places: list[int]) -> list[bytes]:
    bounds = [0, *sorted(min(place, len(answer)) for place in places), len(answer)]
    return [answer[first:last] for first, last in pairwise(bounds)]


@given(
    answer=ANSWERS,
    method=METHODS,
    places=st.lists(st.integers(0, 120), max_size=8),
    max_head=st.integers(1, 200),
    ends=st.booleans(),
)
@example(answer=OK + HI, method=b"POST", places=[17, 18, 19], max_head=200, ends=True)
@settings(max_examples=300)
def test_an_answer_cut_anywhere_is_read_the_same_as_in_one(
    answer: bytes, method: bytes, places: list[int], max_head: int, *, ends: bool
) -> None:
    whole = outcome([answer], method=method, max_head=max_head, ends=ends)
    in_pieces = outcome(cut_at(answer, places), method=method, max_head=max_head, ends=ends)

    if isinstance(whole, Read):
        assert in_pieces == whole
    else:
        assert isinstance(in_pieces, str)


@given(st.lists(st.binary(max_size=60), max_size=8), METHODS)
@settings(max_examples=300)
def test_no_octets_raise_anything_but_a_fault(pieces: list[bytes], method: bytes) -> None:
    reader = HttpAnswerReader(method=method)
    with suppress(Fault):
        for piece in pieces:
            reader.feed(piece)
        reader.end()


@given(st.lists(st.binary(max_size=20), max_size=8))
@settings(max_examples=300)
def test_no_octets_behind_a_good_head_raise_anything_but_a_fault(pieces: list[bytes]) -> None:
    reader = HttpAnswerReader()
    reader.feed(CHUNKED)
    with suppress(Fault):
        for piece in pieces:
            reader.feed(piece)
        reader.end()


def read_by_h11(answer: bytes, method: bytes) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """Return status, headers and body as h11 reads them; raises its error where it does not."""
    connection = h11.Connection(h11.CLIENT)
    connection.send(h11.Request(method=method, target="/", headers=[("Host", "a")]))
    connection.send(h11.EndOfMessage())
    connection.receive_data(answer)
    connection.receive_data(b"")
    status, headers, body = 0, list[tuple[bytes, bytes]](), b""
    while True:
        event = connection.next_event()
        if isinstance(event, h11.Response):
            status, headers = event.status_code, list(event.headers)
        elif isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage):
            return status, headers, body


@given(ANSWERS, METHODS)
@example(CHUNKED + b"2\r\nhi\r\n0\r\n\r\n", b"POST")
@example(OK + b"\r\nhi", b"POST")
@settings(max_examples=500)
@pytest.mark.promise("one-reading")
def test_whatever_is_read_h11_reads_the_same(answer: bytes, method: bytes) -> None:
    ours = outcome([answer], method=method)
    if isinstance(ours, str):
        return

    status, headers, body = read_by_h11(answer, method)

    assert (ours.status, ours.body) == (status, body)
    assert [pair for pair in ours.headers if pair[0] != b"transfer-encoding"] == [
        pair for pair in headers if pair[0] != b"transfer-encoding"
    ]
