"""Whatever comes, a media type and a charset come back, or nothing that any list has.

What is taken for JSON in UTF-8, or for an event stream, CPython's mail parser takes for the same,
and the normal form of what was read is read as the same again.
"""

from collections.abc import Iterator
from email.message import Message

from tests.fuzz import corpus
from tunnelgate.reading.media_type import read_media_type

MAX_LENGTH = 1200


def check(data: bytes) -> None:
    essence, charset = read_media_type(data)
    if not essence:
        assert charset is None
        return
    assert essence.count("/") == 1
    assert essence == essence.lower()
    assert charset is None or charset.encode("latin-1") == charset.encode("latin-1").lower()
    written = essence if charset is None else f'{essence}; charset="{charset}"'
    if len(written) <= 1024:
        assert read_media_type(written.encode("latin-1")) == (essence, charset)
    other = Message()
    other["content-type"] = data.decode("latin-1")
    assert other.get_content_type() == essence
    if charset in (None, "utf-8"):
        assert other.get_content_charset() == charset


def seeds() -> Iterator[bytes]:
    yield from corpus.media_types()
    yield from (
        b"application/json",
        b'Application/JSON ; charset="UTF-8"',
        b"application/json;",
        b"text/event-stream",
    )
    yield from (
        b"application/json; charset=utf-8; charset=utf-16",
        b"a/b; charset*0=utf; charset*1=-16",
        b"a/b;;c=d",
    )
    yield from (
        b'a/b; x="; charset=utf-16"; charset=utf-8',
        b"a/b; charset*=utf-8''utf-16",
        b"a/b, c/d",
        b"a/b;c",
        b"",
    )
