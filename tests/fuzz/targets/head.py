"""The head of any request can be read, and says exactly what stands in the scope.

An input is a request as it would come over a socket; every line behind the first is a field.
"""

from collections import Counter
from collections.abc import Iterator
from copy import deepcopy

from tests.fuzz import corpus
from tunnelgate.asgi import Scope
from tunnelgate.reading.head import READ_FIELDS, SINGLE_FIELDS, read_head

MAX_LENGTH = 4096


def check(data: bytes) -> None:
    scope = _scope(data)
    before = deepcopy(scope)
    head = read_head(scope)
    assert scope == before, "reading has changed the scope"
    headers: list[tuple[bytes, bytes]] = scope["headers"]
    names = Counter(name for name, _ in headers)
    assert head.fields.keys() == names.keys() & SINGLE_FIELDS
    for name, value in head.fields.items():
        assert next(each for other, each in headers if other == name) == value
    assert Counter(head.duplicated) == Counter(
        {name: count - 1 for name, count in names.items() if name in SINGLE_FIELDS and count > 1}
    )
    assert set(head.lookalikes) == {
        name for name in names if b"_" in name and name.replace(b"_", b"-") in READ_FIELDS
    }
    options = b",".join(value for name, value in headers if name == b"connection").lower()
    assert [option for option in head.connection if option] == [
        option.strip() for option in options.split(b",") if option.strip()
    ]
    assert head.raw_path.isascii() or head.raw_path == scope["raw_path"]
    assert head.size >= sum(len(name) + len(value) for name, value in headers)


def _scope(data: bytes) -> Scope:
    line, *fields = data.replace(b"\r\n", b"\n").split(b"\n")
    method, _, target = line.partition(b" ")
    path, _, query = target.partition(b"?")
    pairs = [field.partition(b":") for field in fields if field]
    return {
        "type": "http",
        "method": method.decode("latin-1"),
        # Servers decode paths in their own ways, and one of them leaves surrogates behind.
        "path": path.decode("utf-8", "surrogateescape"),
        "raw_path": None if method.islower() else path,
        "query_string": query,
        "headers": [(name.lower(), value.strip(b" \t")) for name, _, value in pairs],
        "server": ("127.0.0.1", 8080) if fields else None,
    }


def seeds() -> Iterator[bytes]:
    yield from corpus.requests()
    yield b"POST /mcp?a=b HTTP/1.1\r\nhost: a\r\nhost: b\r\nconnection: close, Upgrade\r\nmcp_name: x\r\n"
    yield b"get /\xff\xed\xa0\x80%2e HTTP/1.1\r\nmcp-name: a\r\nMcp-Name: b\r\nmcp-name: c\r\n_: \r\n:\r\n"
    yield b""
