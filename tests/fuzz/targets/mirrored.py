"""A mirrored header carries one text, and writing that text and reading it again gives the same."""

from collections.abc import Iterator
from contextlib import suppress

from tests.fuzz import corpus
from tunnelgate.reading.fault import Fault
from tunnelgate.reading.mirrored import read_header, write_header

MAX_LENGTH = 512


def check(data: bytes) -> None:
    with suppress(Fault):
        _check_text(read_header(data))
    with suppress(UnicodeDecodeError):
        _check_text(data.decode())


def _check_text(text: str) -> None:
    written = write_header(text)
    assert read_header(written) == text
    assert read_header(written.strip(b" \t")) == text, "what HTTP may strip belongs to the text"
    assert all(octet == 0x09 or 0x20 <= octet < 0x7F for octet in written), "no value of a field"


def seeds() -> Iterator[bytes]:
    for headers, _ in corpus.messages():
        yield from (headers[name].encode() for name in ("mcp-method", "mcp-name") if name in headers)
    yield from (
        b"tools/call",
        b"=?base64?Z3LDtsOfZQ==?=",
        "größe".encode(),
        b" a ",
        b"a\tb",
        b"=?base64?",
        b"\n",
    )
    yield from (
        b"=?base64?YR==?=",
        b"=?base64?YQ?=",
        b"=?base64?gA==?=",
        b"=?BASE64?YQ==?=",
        b"=?base64??=",
        b"",
    )
