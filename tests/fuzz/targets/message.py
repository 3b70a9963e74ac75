"""A message that was accepted is the same message for everyone who reads it after us.

CPython's json, orjson and a reader that folds the case of members find the method, the id and the
name that ours found, both in what came and in what goes on, and ours finds them there again.

An input is a line with the version, the method and the name that the headers say, apart by `|`,
and then the body. What the line leaves out, the headers say as the body does.
"""

import json
from collections.abc import Iterator
from typing import Any

from tests.fuzz import corpus
from tests.fuzz.other_readers import OTHERS, exactly, seen_by, seen_by_the_gate
from tunnelgate.reading.fault import Fault
from tunnelgate.reading.message import Kind, read_message
from tunnelgate.reading.mirrored import read_header, write_header

MAX_LENGTH = 4096
_MODERN = b"2026-07-28"


def check(data: bytes) -> None:
    first, _, body = data.partition(b"\n")
    version, *said = first.split(b"|")
    headers = {b"mcp-protocol-version": version} if version else {}
    headers |= dict(zip((b"mcp-method", b"mcp-name"), said or _mirrored(body), strict=False))
    try:
        message = read_message(body, headers)
    except Fault:
        return
    assert read_message(message.canonical, headers) == message
    ours = seen_by_the_gate(message)
    for who, read in OTHERS.items():
        assert seen_by(read, message.canonical) == ours, f"{who} sees another message in what goes on"
        assert seen_by(read, body) == ours, f"{who} sees another message in what came"
    assert exactly(json.loads(message.canonical).get("params", {})) == exactly(dict(message.params))
    assert (message.kind is Kind.REQUEST) == (message.id is not None and message.method != "")
    assert (message.kind is Kind.RESPONSE) == (message.method == "")
    if message.is_modern and message.kind is not Kind.RESPONSE:
        assert read_header(headers[b"mcp-method"].strip(b" \t")) == message.method
        if message.target is not None and message.method != "completion/complete":
            assert read_header(headers[b"mcp-name"].strip(b" \t")) == message.target


def _mirrored(body: bytes) -> list[bytes]:
    try:
        members: Any = json.loads(body)
        method = members["method"]
        params = members["params"]
        name = params.get("name", params.get("uri", params.get("taskId", "")))
        return [write_header(method), write_header(name)]
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return []


def seeds() -> Iterator[bytes]:
    for headers, body in corpus.messages():
        said = (headers.get(name) for name in ("mcp-protocol-version", "mcp-method", "mcp-name"))
        yield "|".join(value for value in said if value is not None).encode("latin-1") + b"\n" + body
    for method, params in _CALLS:
        yield b'2025-11-25\n{"jsonrpc":"2.0","id":1,"method":"%s","params":{%s}}' % (method, params)
        yield b'\n{"jsonrpc":"2.0","id":"a","method":"%s","params":{%s}}' % (method, params)
        meta = params + b"," * bool(params) + _META
        yield _MODERN + b'\n{"jsonrpc":"2.0","id":1,"method":"%s","params":{%s}}' % (method, meta)
    yield b'2025-11-25\n{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}'
    yield b'2025-11-25\n{"jsonrpc":"2.0","id":1,"result":{"action":"accept"}}'
    yield b'2025-11-25\n{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"no"}}'
    yield (
        b'2026-07-28|tools/call|b\n{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a",%s}}'
        % _META
    )


_META = (
    b'"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"'
    b',"io.modelcontextprotocol/clientCapabilities":{}}'
)
_CALLS = (
    (b"initialize", b'"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{}'),
    (b"initialize", b'"capabilities":{"Tasks":{},"extensions":{"io.modelcontextprotocol/tasks":{}}}'),
    (b"subscriptions/listen", b'"notifications":{"taskIds":["t"],"resourceSubscriptions":["a:b"]}'),
    (b"tools/call", b'"name":"search_docs","arguments":{"q":"a"}'),
    (b"tools/list", b'"cursor":"2"'),
    (b"prompts/get", b'"name":"review","arguments":{}'),
    (b"prompts/get", b'"name":"review","Name":"other"'),
    (b"prompts/list", b""),
    (b"resources/read", b'"uri":"docs:///guide.md"'),
    (b"resources/read", b'"uri":"docs:///guide.md","URI":"docs:///secret.md"'),
    (b"resources/subscribe", b'"uri":"docs:///guide.md"'),
    (b"resources/templates/list", b""),
    (b"completion/complete", b'"ref":{"type":"ref/prompt","name":"a"},"argument":{"name":"b","value":"c"}'),
    (b"logging/setLevel", b'"level":"info"'),
    (b"tasks/get", b'"taskId":"t"'),
    (b"x/y", b'"name":"a","Name":"b"'),
    (b"x/y", b'"uri":"a","\\u0055RI":"b"'),
    (b"x/y", b'"ta\xc5\xbfkid":"a"'),
)
