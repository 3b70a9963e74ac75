"""Reads the octets of an HTTP/1.1 answer, as strictly as requests are read.

The fast parser finds the fields of a head. What it lets pass there is looked at before: a line end in
front of the status line, versions 0.9 and 2.0, a NUL in the reason phrase. It is never told what
stands behind a head: it does not know which request was a ``HEAD``, nor says where an answer ends.

Specification: RFC 9112 sections 4 to 7 and 9.3, RFC 9110 sections 5, 6.5 and 15.
"""

import re
from dataclasses import dataclass
from typing import NoReturn

import httptools

from tunnelgate.reading.fault import Fault
from tunnelgate.verdict import Reason

MAX_LINE = 4096  # octets of a line between chunks, or of a trailer
MAX_INTERIM = 8  # answers of 1xx before the final one

_SWITCHING_PROTOCOLS = 101
_OK = 200
_NO_CONTENT = 204
_NOT_MODIFIED = 304

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
_VALUE = rb"[\t\x20-\x7e\x80-\xff]*+"
_STATUS_LINE = rb"HTTP/1\.([01]) ([1-5][0-9]{2})(?: " + _VALUE + rb")?\r\n"
_START = re.compile(_STATUS_LINE)
_HEAD = re.compile(_STATUS_LINE + rb"(?:" + _TOKEN + rb":" + _VALUE + rb"\r\n)*\r\n")
_HEAD_END = b"\r\n\r\n"
_PREFIX = b"HTTP/1."
_NO_STATUS = "no status line of HTTP/1.0 or HTTP/1.1"
_NO_HEADER = "a line that is no header"
_BEHIND = "octets behind the answer"
_BARE = re.compile(rb"[^\r]\n|\r[^\n]")
_LENGTH = re.compile(rb"[0-9]{1,15}")

_FRAMING = frozenset({b"connection", b"content-length", b"transfer-encoding"})

_Headers = tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True, slots=True)
class HttpAnswerHead:
    """The head of a final answer: names in lower case, values without white space around them."""

    status: int
    headers: _Headers


class _Line:
    """A kind of line in a chunked body: what it is whole, and all that may be its beginning."""

    __slots__ = ("begun", "whole")

    def __init__(self, whole: bytes, begun: bytes) -> None:
        self.whole = re.compile(whole)
        self.begun = re.compile(begun)


_QUOTED = rb'"(?:[\t !#-\[\]-~\x80-\xff]|\\[\t -~\x80-\xff])*"'
_EXTENSIONS = rb"(?:;" + _TOKEN + rb"(?:=(?:" + _TOKEN + rb"|" + _QUOTED + rb"))?)*"
_SIZE = _Line(
    rb"([0-9A-Fa-f]{1,8})" + _EXTENSIONS + rb"\r\n",
    rb"[0-9A-Fa-f]{0,8}(?:;[\t -~\x80-\xff]*+)?\r?",
)
_CHUNK_END = _Line(rb"\r\n", rb"\r")
_TRAILER = _Line(
    rb"(?:(" + _TOKEN + rb"):" + _VALUE + rb")?\r\n",
    rb"(?:" + _TOKEN + rb"(?::" + _VALUE + rb")?)?\r?",
)


class HttpAnswerReader:
    """Reads one answer to a request with this ``method``, piece by piece.

    ``head`` is there as soon as the head of the final answer has come. ``is_complete`` says that all
    of the answer has, and ``may_be_followed`` that another one may come on the same connection: the
    upstream keeps it open, and the length of the answer was known. ``has_begun`` says that any octet
    came.

    ``max_head`` bounds the octets of all heads and trailers together. The body has no bound here.
    """

    __slots__ = (
        "_begun",
        "_body",
        "_fault",
        "_has_body",
        "_head_left",
        "_interim_left",
        "_left",
        "_line",
        "_unread",
        "has_begun",
        "head",
        "is_complete",
        "may_be_followed",
    )

    def __init__(self, *, method: bytes = b"POST", max_head: int = 64 * 1024) -> None:
        self.head: HttpAnswerHead | None = None
        self.is_complete = False
        self.may_be_followed = False
        self.has_begun = False
        self._has_body = method != b"HEAD"
        self._head_left = max_head
        self._interim_left = MAX_INTERIM
        self._begun = bytearray()  # of a head
        self._unread = b""  # the beginning of a line between chunks
        self._left: int | None = 0  # octets of the body or of a chunk; None lasts until the end
        self._line: _Line | None = None
        self._body: list[bytes] = []
        self._fault = ""

    def feed(self, data: bytes) -> None:
        """Read what came next.

        Raises :class:`~tunnelgate.reading.fault.Fault` (``answer-not-valid``) for what is not HTTP and
        for any octet behind the answer, and from then on for whatever comes.
        """
        if self._fault:
            raise Fault(Reason.ANSWER_NOT_VALID, self._fault)
        if not data:
            return
        self.has_begun = True
        if self.head is None:
            data = self._read_heads(data)
            if not data:
                return
        if self.is_complete:
            self._fail(_BEHIND)
        elif self._line is not None:
            self._read_chunks(self._line, self._unread + data if self._unread else data)
        else:
            self._read_octets(data)

    def end(self) -> None:
        """Take note that the connection was closed, which ends a body of unknown length.

        Raises :class:`~tunnelgate.reading.fault.Fault` (``answer-not-valid``) where it is too soon.
        """
        if self._fault:
            raise Fault(Reason.ANSWER_NOT_VALID, self._fault)
        self.may_be_followed = False
        if self.is_complete:
            return
        if self.head is None:
            self._fail("closed in the middle of the head" if self.has_begun else "closed without an answer")
        if self._left is not None:
            self._fail("closed in the middle of the body")
        self.is_complete = True

    def take_body(self) -> bytes:
        """Return what of the body came since the last call, without its chunks' framing."""
        parts = self._body
        if not parts:
            return b""
        self._body = []
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _read_heads(self, data: bytes) -> bytes:
        """Return what stands behind the final head, or nothing when that has not come."""
        seen = len(self._begun)
        if seen:
            self._begun += data
        octets = self._begun or data
        at = 0
        while (place := octets.find(_HEAD_END, max(at, seen - len(_HEAD_END) + 1))) >= 0:
            end = place + len(_HEAD_END)
            self._charge(end - at)
            if self._read_head(bytes(octets[at:end])):
                self._begun = bytearray()
                return bytes(octets[end:])
            at = end
        if len(octets) - at > self._head_left:
            self._charge(len(octets) - at)
        if not _PREFIX.startswith(bytes(octets[at : at + len(_PREFIX)])):
            self._fail(_NO_STATUS)
        if _BARE.search(octets, max(at, seen - 1)):
            self._fail("CR or LF alone")
        if at or not seen:
            self._begun = bytearray(octets[at:])
        return b""

    def _read_head(self, octets: bytes) -> bool:
        """Return whether this is the head of the final answer."""
        head = _HEAD.fullmatch(octets)
        if head is None:
            self._fail(_NO_HEADER if _START.match(octets) else _NO_STATUS)
        status = int(head[2])
        if status == _SWITCHING_PROTOCOLS:
            self._fail("another protocol")
        fields = _Fields()
        try:
            httptools.HttpResponseParser(fields).feed_data(octets)
        except httptools.HttpParserError as error:
            self._fail(str(error))
        headers = tuple(fields.found)
        if status < _OK:
            self._check_interim(headers)
            self._interim_left -= 1
            if self._interim_left < 0:
                self._fail(f"more than {MAX_INTERIM} interim answers")
            return False
        self._begin_body(status, headers, is_1_1=head[1] == b"1")
        self.head = HttpAnswerHead(status, headers)
        return True

    def _begin_body(self, status: int, headers: _Headers, *, is_1_1: bool) -> None:
        """Find out how the body ends: RFC 9112 section 6.3."""
        length, codings, options = _framing(headers)
        if length is not None and _LENGTH.fullmatch(length) is None:
            self._fail("Content-Length of more than 15 digits")
        if codings and (codings != [b"chunked"] or not is_1_1):
            self._fail("Transfer-Encoding is not chunked alone, or not on HTTP/1.1")
        if status == _NO_CONTENT:
            self._check_empty(headers)
        self.may_be_followed = b"close" not in options and (is_1_1 or b"keep-alive" in options)
        if status in {_NO_CONTENT, _NOT_MODIFIED}:
            self.is_complete = True
            return
        if length is None and not codings:
            self.may_be_followed = False
        if not self._has_body:
            self.is_complete = True
        elif codings:
            self._line = _SIZE
        else:
            self._left = None if length is None else int(length)
            self.is_complete = self._left == 0

    def _check_interim(self, headers: _Headers) -> None:
        self._check_empty(headers)
        if b"close" in _framing(headers)[2]:
            self._fail("an interim answer that closes the connection")

    def _check_empty(self, headers: _Headers) -> None:
        for name, value in headers:
            if name == b"transfer-encoding" or (name == b"content-length" and value.strip(b"0")):
                self._fail("a body where none may be")

    def _read_octets(self, data: bytes) -> None:
        left = self._left
        if left is None or len(data) < left:
            self._body.append(data)
            self._left = None if left is None else left - len(data)
            return
        self._body.append(data[:left])
        self._left = 0
        self.is_complete = True
        if len(data) > left:
            self._fail(_BEHIND)

    def _read_chunks(self, line: _Line, octets: bytes) -> None:
        self._unread = b""
        at = 0
        while at < len(octets):
            if self.is_complete:
                self._fail(_BEHIND)
            if not self._left:
                line, at = self._read_line(line, octets, at)
                continue
            part = octets[at : at + self._left]
            self._body.append(part)
            self._left -= len(part)
            at += len(part)
            line = _CHUNK_END
            if not self._left and octets.startswith(b"\r\n", at):  # as it nearly always is
                line = _SIZE
                at += 2
        self._line = line

    def _read_line(self, kind: _Line, octets: bytes, at: int) -> tuple[_Line, int]:
        """Return the kind of the line behind the one that begins here, and its place."""
        line = kind.whole.match(octets, at)
        end = len(octets) if line is None else line.end()
        if end - at > MAX_LINE:
            self._fail(f"a line of more than {MAX_LINE} octets in a chunked body")
        if line is None:
            if kind.begun.fullmatch(octets, at) is None:
                self._fail("not a chunk")
            self._unread = octets[at:]
            return kind, end
        if kind is _CHUNK_END:
            return _SIZE, end
        if kind is _SIZE:
            self._left = int(line[1], 16)
            return _SIZE if self._left else _TRAILER, end
        self._charge(end - at)
        if line[1] is None:
            self.is_complete = True
        elif line[1].lower() in _FRAMING:
            self._fail("a trailer that belongs into the head")
        return _TRAILER, end

    def _charge(self, octets: int) -> None:
        self._head_left -= octets
        if self._head_left < 0:
            self._fail("a head or trailers beyond their bound")

    def _fail(self, detail: str) -> NoReturn:
        self._fault = detail
        self.is_complete = self.may_be_followed = False
        raise Fault(Reason.ANSWER_NOT_VALID, detail)


def _framing(headers: _Headers) -> tuple[bytes | None, list[bytes], list[bytes]]:
    """Return the length, the transfer codings and the connection options, in lower case."""
    length = None
    codings: list[bytes] = []
    options: list[bytes] = []
    for name, value in headers:
        if name not in _FRAMING:
            continue
        if name == b"content-length":
            length = value
        elif name == b"transfer-encoding":
            codings.append(value.lower())
        else:
            options += [option.strip(b" \t") for option in value.lower().split(b",")]
    return length, codings, options


class _Fields:
    """Collects what the parser finds."""

    __slots__ = ("found",)

    def __init__(self) -> None:
        self.found: list[tuple[bytes, bytes]] = []

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        # A tab makes it another coding for the parser, and for whoever else uses it.
        blank = b" " if name == b"transfer-encoding" else b" \t"
        self.found.append((name, value.strip(blank)))
