"""An answer that was accepted answers the question, and has one list that everyone finds.

The id is the asked one for every reader, and the names that ours finds in a list are the names
that CPython's json, orjson and a reader that folds the case of members find.

An input is a line with the id of the request in JSON, and then the body.
"""

import json
from collections.abc import Iterator
from typing import Any

from tests.fuzz import corpus
from tests.fuzz.other_readers import OTHERS, exactly, folding
from tunnelgate.reading.answer import read_answer, read_names
from tunnelgate.reading.fault import Fault
from tunnelgate.reading.message import Kind
from tunnelgate.reading.strict_json import write_json

MAX_LENGTH = 4096
_LISTS = {"tools": "name", "prompts": "name", "resources": "uri", "resourceTemplates": "uriTemplate"}


def check(data: bytes) -> None:
    first, _, body = data.partition(b"\n")
    asked = _asked(first)
    try:
        answer = read_answer(body, asked)
    except Fault:
        return
    assert write_json(answer.members) == answer.canonical
    assert read_answer(answer.canonical, asked).members == answer.members
    for read in OTHERS.values():
        members = read(answer.canonical)
        assert ("method" in members) == (answer.kind is not Kind.RESPONSE)
        assert exactly(members.get("method", "")) == exactly(answer.method)
        assert ("result" in members) == (answer.result is not None)
        if answer.kind is Kind.RESPONSE and not ("error" in members and members.get("id") is None):
            assert exactly(members["id"]) == exactly(asked)
    for member, name in _LISTS.items():
        _check_names(answer.result, answer.canonical, member, name)


def _check_names(result: dict[str, Any] | None, canonical: bytes, member: str, name: str) -> None:
    try:
        named = read_names(result or {}, member, name)
    except Fault:
        return
    for who, read in OTHERS.items():
        its_list, its_name = (member.casefold(), name.casefold()) if read is folding else (member, name)
        found = [entry[its_name] for entry in read(canonical)["result"][its_list]]
        assert found == [text for text, _ in named], f"{who} sees other names"


def _asked(first: bytes) -> str | int | None:
    try:
        value = json.loads(first)
    except ValueError:
        return None
    return value if type(value) in {str, int} else None


def seeds() -> Iterator[bytes]:
    yield from (b"1\n" + body for body in corpus.answers("application/json"))
    for asked in (b"1", b'"a"', b"null"):
        yield asked + b'\n{"jsonrpc":"2.0","id":%s,"result":{}}' % asked
        yield asked + b'\n{"jsonrpc":"2.0","id":%s,"error":{"code":-32602,"message":"x"}}' % asked
        yield asked + b'\n{"jsonrpc":"2.0","id":7,"method":"sampling/createMessage","params":{}}'
    for member in (b"tools", b"prompts", b"resources", b"resourceTemplates"):
        yield (
            b'1\n{"jsonrpc":"2.0","id":1,"result":{"%s":[{"name":"a","uri":"a:b","uriTemplate":"a:{b}"}]}}'
            % member
        )
    yield b'1\n{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"a"}],"Tools":[{"name":"b"}]}}'
    yield b'1\n{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"a","n\xc3\xa4me":"b","NAME":"c"}]}}'
    yield b'1\n{"jsonrpc":"2.0","id":true,"result":{}}'
    yield b'1\n{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"\\ud800"}],"x":18446744073709551615}}'
    yield b'1\n{"jsonrpc":"2.0","id":1,"result":{"resultType":"complete","ResultType":"task"}}'
    yield b'1\n{"jsonrpc":"2.0","id":1,"result":{"_meta":{"PROGRESSTOKEN":1}}}'
    yield b'1\n{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":1}}'
