"""Reads the head of a server's answer: its status, what its body is, and the headers that may go on.

Specification: RFC 9110 sections 5.5 and 15, RFC 9111 section 3.5.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from tunnelgate.reading.fault import Fault
from tunnelgate.reading.media_type import read_media_type
from tunnelgate.verdict import Reason

_STATUS = range(200, 600)
_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")
# The headers of an answer that reach the client; the gate's own are added outside.
_PASSED = frozenset({b"allow", b"cache-control", b"content-language", b"retry-after", b"x-accel-buffering"})
_SHARED = (b"public", b"s-maxage", b"must-revalidate")


@dataclass(frozen=True, slots=True)
class AnswerHead:
    """The facts of an answer's head.

    ``media_type`` is in lower case, empty where there is none, and ``None`` where the body is not
    readable as UTF-8. ``session`` is the session that the server names.
    ``headers`` are those that may go on, without ``Content-Type``.
    """

    status: int
    media_type: str | None
    session: bytes | None
    headers: tuple[tuple[bytes, bytes], ...]


def read_answer_head(status: int, headers: Iterable[tuple[bytes, bytes]]) -> AnswerHead:
    """Return the facts; raises ``Fault`` (``answer-not-valid``) for what is no final answer."""
    if status not in _STATUS:
        raise Fault(Reason.ANSWER_NOT_VALID, f"status {status}")
    fields = [(name.lower(), value) for name, value in headers]
    if not all(_VALUE.fullmatch(value) for _, value in fields):
        raise Fault(Reason.ANSWER_NOT_VALID, "a header with a control character")
    sessions = [value for name, value in fields if name == b"mcp-session-id"]
    if len(sessions) > 1:
        raise Fault(Reason.ANSWER_NOT_VALID, "two session ids")
    passed = [
        (name, _kept_private(value) if name == b"cache-control" else value)
        for name, value in fields
        if name in _PASSED
    ]
    return AnswerHead(status, _media_type(fields), sessions[0] if sessions else None, tuple(passed))


def _media_type(fields: list[tuple[bytes, bytes]]) -> str | None:
    codings = [value for name, value in fields if name == b"content-encoding"]
    media_types = [value for name, value in fields if name == b"content-type"]
    if len(media_types) > 1 or any(coding.strip().lower() != b"identity" for coding in codings):
        return None
    if not media_types:
        return ""
    media_type, charset = read_media_type(media_types[0])
    return media_type if media_type and charset in (None, "utf-8") else None


def _kept_private(cache_control: bytes) -> bytes:
    # What was judged for one caller is kept for nobody else.
    return b"no-store" if any(word in cache_control.lower() for word in _SHARED) else cache_control
