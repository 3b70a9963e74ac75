"""A head that was accepted goes on as it came, and with nothing in it that ends a header.

No header goes on that is not meant for the client, and none that lets a cache share the answer.

An input is a line with the status, and then a line for each header, its name and its value apart by `:`.
"""

from collections.abc import Iterator

from tunnelgate.reading.answer_head import read_answer_head
from tunnelgate.reading.fault import Fault

MAX_LENGTH = 512
_PASSED = {b"allow", b"cache-control", b"content-language", b"retry-after", b"x-accel-buffering"}


def check(data: bytes) -> None:
    first, *lines = data.split(b"\n")
    pairs = [line.partition(b":") for line in lines]
    headers = [(name, value) for name, _, value in pairs]
    status = int(first) if first.isdigit() and len(first) <= len("200") else 200
    try:
        head = read_answer_head(status, headers)
    except Fault:
        return
    came = {(name.lower(), value) for name, value in headers}
    sessions = [value for name, value in headers if name.lower() == b"mcp-session-id"]
    assert head.status == status in range(200, 600)
    assert sessions == ([] if head.session is None else [head.session])
    for name, value in head.headers:
        assert name in _PASSED
        assert not set(value) & {0, 10, 13, 27, 127}
        assert (name, value) in came or (name, value) == (b"cache-control", b"no-store")
        assert name != b"cache-control" or not any(word in value.lower() for word in (b"public", b"s-maxage"))
    if head.media_type:
        assert head.media_type.encode() in {value.lower().split(b";")[0].strip(b" \t") for _, value in came}


def seeds() -> Iterator[bytes]:
    for status in (b"", b"0", b"101", b"200", b"202", b"404", b"599", b"600", b"999"):
        yield status + b"\nContent-Type:application/json"
    for line in (
        b"Cache-Control:no-cache",
        b"cache-control:Public, max-age=60",
        b"cache-control:s-maxage=1\ncache-control:no-store",
        b"Mcp-Session-Id:a",
        b"mcp-session-id:a\nMCP-Session-Id:b",
        b"content-type:text/event-stream; charset=UTF-8\ncontent-encoding:identity",
        b"content-type:application/json\ncontent-type:text/html",
        b"content-type:application/json; charset=utf-16",
        b"content-encoding:gzip",
        b"retry-after:1\rset-cookie:a=b",
        b"x:\0\nallow:\x7f",
        b"allow:GET\nset-cookie:a=b\nx-accel-buffering:no\ncontent-language:en",
    ):
        yield b"200\n" + line
