"""Whole classes of attacks, as octets over a real connection to a whole gate, with either parser.

What stands behind the gate is mounted in it, or is a server elsewhere.
"""

import base64
import codecs
import json
from collections.abc import Generator, Iterator, Sequence
from itertools import product
from typing import Any

import orjson
import pytest

from tests.support.mcp import LEGACY, MODERN
from tests.support.raw import (
    DANGER,
    HOST,
    IDN_HOST,
    LEGACY_HEADERS,
    SAFE,
    Canned,
    Outcome,
    Pairs,
    RawGate,
    as_json,
    call_of,
    chunked,
    modern_headers,
    request_of,
)
from tests.support.remote import GATES, open_gate, said_by_gate

META: dict[str, Any] = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientCapabilities": {},
}


AT_ONCE = 24  # requests, which are less than may come ahead of their answers


@pytest.fixture(scope="module", params=GATES)
def gate(request: pytest.FixtureRequest) -> Generator[RawGate]:
    with open_gate(*request.param) as running:
        yield running


def ask_all(gate: RawGate, bodies: Sequence[str | bytes], headers: Pairs = LEGACY_HEADERS) -> Outcome:
    """Send each body in a request of its own, one behind the other, as many as may be on one connection."""
    outcome = Outcome([], [], [], [])
    for start in range(0, len(bodies), AT_ONCE):
        part = _ask_at_once(gate, bodies[start : start + AT_ONCE], [*headers, gate.bearer()])
        outcome.answers.extend(part.answers)
        outcome.forwarded.extend(part.forwarded)
        outcome.executed.extend(part.executed)
        outcome.records.extend(part.records)
    assert len(outcome.answers) == len(bodies), "each is answered"
    return outcome


def _ask_at_once(gate: RawGate, bodies: Sequence[str | bytes], pairs: Pairs) -> Outcome:
    last = len(bodies) - 1
    requests = [request_of(body, pairs, close=at == last) for at, body in enumerate(bodies)]
    return gate.send(requests, answers=len(requests))


# Members of a message


def escaped(key: str, spelling: str) -> str:
    """Return ``key`` in quotes, in another spelling of the same text."""
    match spelling:
        case "plain":
            return f'"{key}"'
        case "its last letter escaped":
            return f'"{key[:-1]}\\u{ord(key[-1]):04x}"'
        case "all of it escaped in capitals":
            return '"' + "".join(f"\\u{ord(letter):04X}" for letter in key) + '"'
        case _:
            raise ValueError(spelling)


SPELLINGS = ["plain", "its last letter escaped", "all of it escaped in capitals"]
ENVELOPE = {"jsonrpc": '"2.0"', "id": "1", "method": '"tools/call"', "params": '{"name":"safe_tool"}'}
PARAMS = {"name": '"safe_tool"', "arguments": '{"x":1}', "_meta": '{"progressToken":1}'}
INNER = {"x": "1", "progressToken": "1"}
# What the second of two says: the same, or what an attacker would have somebody read.
OTHER = {
    "jsonrpc": '"1.0"',
    "id": "2",
    "method": '"ping"',
    "params": '{"name":"danger_tool"}',
    "name": '"danger_tool"',
    "arguments": '{"x":2}',
    "_meta": '{"progressToken":2}',
    "x": "2",
    "progressToken": "2",
}


def message_with(key: str, member: str, *, first: bool) -> str:
    """Return a call of the safe tool with one more member, beside the member ``key``."""

    def beside(members: dict[str, str]) -> str:
        pairs = [f'"{name}":{value}' for name, value in members.items()]
        if key in members:
            pairs.insert(0 if first else len(pairs), member)
        return "{" + ",".join(pairs) + "}"

    arguments = beside({"x": "1"})
    meta = beside({"progressToken": "1"})
    params = beside({**PARAMS, "arguments": arguments, "_meta": meta})
    return beside({**ENVELOPE, "params": params})


def test_the_message_that_the_cases_are_made_of_is_let_through(gate: RawGate) -> None:
    outcome = gate.ask(message_with("none", "", first=True))

    outcome.check_allowed()
    assert outcome.executed == [SAFE]


@pytest.mark.promise("one-reading")
@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("first", [True, False], ids=["before all others", "behind all others"])
@pytest.mark.parametrize("key", [*ENVELOPE, *PARAMS, *INNER])
def test_a_member_twice_is_refused(gate: RawGate, key: str, spelling: str, *, first: bool) -> None:
    own = {**ENVELOPE, **PARAMS, **INNER}[key]
    bodies = [
        message_with(key, f"{escaped(key, spelling)}:{value}", first=first)
        for value in (own, OTHER[key], "null")
    ]

    outcome = ask_all(gate, bodies)

    outcome.check_refused(400)
    assert outcome.reasons == ["body-not-strict"] * len(bodies)


@pytest.mark.promise("judged-is-sent")
@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("key", [*ENVELOPE, *PARAMS, *INNER])
def test_a_member_in_another_spelling_goes_on_in_the_plain_one(
    gate: RawGate, key: str, spelling: str
) -> None:
    plain = message_with("none", "", first=True)

    outcome = gate.ask(plain.replace(f'"{key}"', escaped(key, spelling)))

    outcome.check_allowed()
    assert outcome.forwarded[0].body == plain.encode()


@pytest.mark.promise("judged-is-sent")
@pytest.mark.parametrize("spelling", SPELLINGS[1:])
def test_a_denied_name_in_another_spelling_is_denied(gate: RawGate, spelling: str) -> None:
    body = call_of(DANGER).decode().replace(f'"{DANGER}"', escaped(DANGER, spelling))

    outcome = gate.ask(body.replace("tools/call", "tools\\/call"))

    outcome.check_refused(200)
    assert outcome.rpc_code == -32602
    assert outcome.records[0]["target"] == DANGER


FOLDED = {
    "s": "\u017f",
    "k": "\u212a",
    "i": "\u0130\u0131\uff49",
    "m": "\uff2d",
    "a": "\u0430",
    "_": "-\uff3f",
}


def variants(key: str) -> list[str]:
    """Return every spelling of ``key`` that differs in case, or in one letter that folds or looks alike."""
    cases = {"".join(letters) for letters in product(*((letter.lower(), letter.upper()) for letter in key))}
    alike = {
        key[:at] + letter + key[at + 1 :]
        for at, original in enumerate(key)
        for letter in FOLDED.get(original, "")
    }
    around = {f" {key}", f"{key} ", f"{key}\u0000", f"{key}\u200b", f"\ufeff{key}"}
    return sorted((cases | alike | around) - {key})


def message_of(
    method: str = '"tools/call"', params: str = '{"name":"safe_tool"}', jsonrpc: str = '"2.0"', more: str = ""
) -> str:
    """Return a message with these values, and with more members behind them."""
    return f'{{"jsonrpc":{jsonrpc},"id":1,"method":{method},"params":{params}{more}}}'


# ``%s`` is where a variant of the key stands, with what an attacker would have somebody read.
BESIDE = {
    "jsonrpc": message_of(more=',%s:"2.0"'),
    "id": message_of(more=",%s:2"),
    "method": message_of('"ping"', "{}", more=',%s:"tools/call"'),
    "params": message_of(more=',%s:{"name":"danger_tool"}'),
    "name": message_of(params='{"name":"safe_tool",%s:"danger_tool"}'),
    "arguments": message_of(params='{"name":"safe_tool",%s:{}}'),
    "_meta": message_of(params='{"name":"safe_tool",%s:{}}'),
    "cursor": message_of('"tools/list"', '{%s:"2"}'),
    "uri": message_of('"resources/read"', '{"uri":"docs:///a",%s:"docs:///b"}'),
    "ref": message_of(
        '"completion/complete"',
        '{"ref":{"type":"ref/prompt","name":"a"},"argument":{"name":"x","value":"y"},'
        '%s:{"type":"ref/prompt","name":"b"}}',
    ),
}
INITIALIZE = message_of(
    '"initialize"',
    '{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"x","version":"1"},%s:"2026-07-28"}',
)
INSTEAD = {
    "jsonrpc": '{%s:"2.0","id":1,"method":"tools/call","params":{"name":"danger_tool"}}',
    "id": '{"jsonrpc":"2.0",%s:1,"method":"tools/call","params":{"name":"danger_tool"}}',
    "method": '{"jsonrpc":"2.0","id":1,%s:"tools/call","params":{"name":"danger_tool"}}',
    "params": '{"jsonrpc":"2.0","id":1,"method":"tools/call",%s:{"name":"danger_tool"}}',
    "name": message_of(params='{%s:"danger_tool"}'),
}


def check_variants(gate: RawGate, template: str, keys: Sequence[str]) -> None:
    # A few dozen at a time, because a server need not read ahead of what it has answered.
    for start in range(0, len(keys), 64):
        some = keys[start : start + 64]
        outcome = ask_all(gate, [template % json.dumps(key) for key in some])
        outcome.check_accounts()
        passed = [key for key, status in zip(some, outcome.statuses, strict=True) if status != 400]
        assert not passed, f"{len(passed)} of {len(some)}: {passed[:5]}, {set(outcome.reasons)}"
        assert outcome.forwarded == []


@pytest.mark.promise("one-reading")
@pytest.mark.parametrize("key", BESIDE)
def test_no_variant_of_a_member_stands_beside_the_member(gate: RawGate, key: str) -> None:
    check_variants(gate, BESIDE[key], variants(key))


@pytest.mark.promise("one-reading")
def test_no_variant_of_the_version_stands_beside_the_version(gate: RawGate) -> None:
    key = "protocolVersion"

    check_variants(gate, INITIALIZE, [key.lower(), key.upper(), key.capitalize(), "protocolVer\u017fion"])


@pytest.mark.promise("one-reading")
@pytest.mark.parametrize("key", INSTEAD)
def test_no_variant_of_a_member_stands_for_the_member(gate: RawGate, key: str) -> None:
    check_variants(gate, INSTEAD[key], variants(key))


NOT_MESSAGES = {
    "a call without params": '{"jsonrpc":"2.0","id":1,"method":"tools/call"}',
    "a call without a name": message_of(params="{}"),
    "no version of JSON-RPC": '{"id":1,"method":"tools/call","params":{"name":"safe_tool"}}',
    "an error as a message": '{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"x"}}',
    "a result and an error": '{"jsonrpc":"2.0","id":1,"result":{},"error":{}}',
    "neither a request nor an answer": '{"jsonrpc":"2.0","id":1}',
    "an empty object": "{}",
    "an empty batch": "[]",
    "a batch of one": f"[{message_of()}]",
    **{
        f"a name that is {value}": message_of(params=f'{{"name":{value}}}')
        for value in ("null", "true", "1", '""', "[]", '["safe_tool"]', '{"name":"safe_tool"}')
    },
    **{
        f"params that are {value}": message_of(params=value)
        for value in ("null", "[]", '["safe_tool"]', '"safe_tool"', "1", "true")
    },
    **{
        f"a method that is {value}": message_of(method=value)
        for value in ("null", "1", '""', '["tools/call"]', "{}")
    },
    **{
        f"a version of JSON-RPC that is {value}": message_of(jsonrpc=value)
        for value in ("2", "2.0", '"2"', '"1.0"', '"2.00"', '" 2.0"', "null", '["2.0"]')
    },
    **{
        f"metadata that are {value}": message_of(params=f'{{"name":"safe_tool","_meta":{value}}}')
        for value in ("null", "[]", '"x"', "1")
    },
}


@pytest.mark.promise("one-reading")
@pytest.mark.parametrize("body", NOT_MESSAGES.values(), ids=NOT_MESSAGES)
def test_what_is_not_one_message_is_refused(gate: RawGate, body: str) -> None:
    outcome = gate.ask(body)

    outcome.check_refused(400)
    assert outcome.rpc_code in (-32600, -32602)


STRANGE_METHODS = [
    "tools/call ", " tools/call", "tools/call\u0000", "TOOLS/CALL", "tools\u2215call", "tools//call",
    "tool/call", "tools/call/", "tools.call", "tools/c\u0430ll", "too\u017fl/call", "rpc.discover",
    "sampling/createMessage", "elicitation/create", "roots/list", "tools/call?x", "tools%2Fcall",
    "\u202etools/call", "__proto__", "constructor",
]  # fmt: skip


@pytest.mark.promise("one-reading")
@pytest.mark.parametrize("method", STRANGE_METHODS, ids=ascii)
def test_a_method_that_only_resembles_an_allowed_one_does_not_exist(gate: RawGate, method: str) -> None:
    params: dict[str, Any] = {"name": DANGER, "arguments": {}}

    outcome = gate.ask(orjson.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}))

    outcome.check_refused(200)
    assert outcome.rpc_code == -32601
    assert outcome.reasons == ["method-not-allowed"]


STRANGE_NAMES = [
    "safe_tool ", " safe_tool", "safe_tool\t", "safe_tool\n", "safe_tool\u0000",
    "safe_tool\u0000danger_tool", "Safe_tool", "safe_Tool", "safe-tool", "safetool",
    "safe_tool,danger_tool", "./safe_tool", "safe_tool/../danger_tool", "/safe_tool", "safe%5ftool",
    "safe_too", "safe_tooll", "s\u0430fe_tool", "\u017fafe_tool", "\uff53afe_tool", "safe\u200b_tool",
    "\ufeffsafe_tool", "safe_tool\u202e", "safe\u0332tool", "*", "safe_*", "s?fe_tool", "[safe_tool]",
    "safe_tool\r\n{}", "__proto__", "constructor", "toString", "danger_tool", "DANGER_TOOL", "dAnger_tool",
    "$ref", "\U0001d42c\U0001d41a\U0001d41f\U0001d41e_tool", "a" * 256,
]  # fmt: skip


@pytest.mark.promise("hidden-equals-absent")
@pytest.mark.parametrize("name", STRANGE_NAMES, ids=lambda name: ascii(name)[:40])
def test_a_name_that_only_resembles_an_allowed_one_does_not_exist(gate: RawGate, name: str) -> None:
    outcome = gate.ask(call_of(name))

    outcome.check_refused(200)
    assert outcome.answer.json()["error"]["code"] == -32602
    assert outcome.answer.json()["error"]["message"] == f"Unknown tool: {name}"
    assert [record["target"] for record in outcome.records] == [name]


@pytest.mark.promise("hidden-equals-absent")
@pytest.mark.parametrize(
    "name", [name.replace("tool", "prompt") for name in STRANGE_NAMES if "tool" in name], ids=ascii
)
def test_a_prompt_that_only_resembles_an_allowed_one_does_not_exist(gate: RawGate, name: str) -> None:
    reference = {"ref": {"type": "ref/prompt", "name": name}, "argument": {"name": "x", "value": "y"}}
    for method, params in (("prompts/get", {"name": name}), ("completion/complete", reference)):
        outcome = gate.ask(orjson.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}))

        outcome.check_refused(200)
        assert outcome.rpc_code == -32602
        assert outcome.reasons == ["prompt-not-allowed"]


STRANGE_URIS = [
    "file:///etc/shadow", "file:///srv/ok", "file:///srv/ok/", "file:///srv/ok/.", "file:///srv/ok/..",
    "file:///srv/ok/../../etc/shadow", "file:///srv/ok/a/../../b", "file:///srv/ok/./a", "file:///srv/ok//a",
    "file:///srv/ok//etc/shadow", "file:///srv/ok/a/", "file:///srv/ok/%2e%2e/a", "file:///srv/ok/%2E%2E/a",
    "file:///srv/ok/..%2Fa", "file:///srv/ok/..%2fa", "file:///srv/ok/%252E%252E%252Fa",
    "file:///srv/ok/%25252E%25252E/a", "file:///srv/ok/a%00", "file:///srv/ok/a\0", "file:///srv/ok/a%0A",
    "file:///srv/ok/..\\a", "file:///srv/ok/a\\..\\b", "file:///srv/ok/..%5Ca", "file:///srv/ok/%5C%5Chost%5Ca",
    "file:///srv/ok/a?/../b", "file:///srv/ok/a#/../b", "file:///srv/ok/a;/../b", "file:///srv/ok/..;/a",
    "file:///srv/ok/..;x=y/..;/etc/shadow", "file:///srv/ok/%C0%AE%C0%AE/a", "file:///srv/ok/%E0%80%AE%E0%80%AE/a",
    "file:///srv/ok/%FF", "file:///srv/ok/%", "file:///srv/ok/%2", "file:///srv/ok/%zz", "file:///srv/ok/%u002e",
    "file:///srv/ok/%61", "file:///srv/%6Fk/a", "file:///srv/okay/a", "file:///srv/OK/a", "FILE:///srv/ok/a",
    "file://evil.example/srv/ok/a", "file://localhost/srv/ok/a", "file:/srv/ok/a", "file:////srv/ok/a",
    "file:///srv//ok/a", "file:///./srv/ok/a", "http:///srv/ok/a", "//srv/ok/a", "/srv/ok/a", "srv/ok/a",
    " file:///srv/ok/a", "file:///srv/ok/a ", "file:///srv/ok/a\n", "file:///srv/ok/a\u00e9",
    "file:///srv/ok/\uff0e\uff0e/a", "file:///srv/ok/\u2025/a", "file:///srv/ok/a\u2215b", "\ufefffile:///srv/ok/a",
    "file:///srv/ok/a:b@c", "file:///srv/ok/c:/a", "file:///srv/ok/http:/a", "file:///srv/ok/a;v=1",
    "file:///srv/ok/a%3Bv=1", "file:///srv/ok/..a/b..", "file:///srv/ok/a%20", "file:///srv/ok/%2541",
    "file:///srv/ok/{+path}x", "file:///srv/ok/a|b", 'file:///srv/ok/"a"', "file:///srv/ok/<a>", "file:///srv/ok/^",
]  # fmt: skip


@pytest.mark.promise("hidden-equals-absent")
@pytest.mark.parametrize("uri", STRANGE_URIS, ids=ascii)
def test_a_resource_that_a_server_could_take_for_another_place_does_not_exist(
    gate: RawGate, uri: str
) -> None:
    for method in ("resources/read", "resources/subscribe"):
        message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {"uri": uri}}

        outcome = gate.ask(orjson.dumps(message))

        outcome.check_refused(200)
        assert outcome.rpc_code == -32602
        assert outcome.reasons == ["resource-not-allowed"]


@pytest.mark.promise("judged-is-sent")
@pytest.mark.parametrize("path", ["a", "a/b.txt", "a%20b", "..a/b", "%C3%A9", "a@b:c", "a/b:c", "a=b,c"])
def test_a_resource_below_the_listed_ones_is_let_through(gate: RawGate, path: str) -> None:
    params = {"uri": f"file:///srv/ok/{path}"}

    outcome = gate.ask(
        orjson.dumps({"jsonrpc": "2.0", "id": 1, "method": "resources/read", "params": params})
    )

    outcome.check_allowed()
    assert json.loads(outcome.forwarded[0].body)["params"] == params


# Numbers


def call_with(*, message_id: str = "1", argument: str = "1") -> str:
    return (
        f'{{"jsonrpc":"2.0","id":{message_id},"method":"tools/call",'
        f'"params":{{"name":"safe_tool","arguments":{{"x":{argument}}}}}}}'
    )


NOT_NUMBERS = [
    "01", "-01", "+1", "--1", "1.", ".5", "-.5", "1e", "1e+", "1.e1", "0x10", "0b1", "0o7", "1_000",
    "1,000", "NaN", "nan", "Infinity", "-Infinity", "inf", "1f", "1L", "1n", "- 1", "1 1", "\u0661",
    "\uff11", "1\u0000", "\u22121", "0x", "-", "undefined", "None", "True", "nul",
]  # fmt: skip
NOT_HELD = [
    "9007199254740992", "-9007199254740992", "9007199254740993", "18446744073709551617", "1" + "0" * 30,
    "9" * 5000, "-" + "9" * 5000, "1e400", "-1e400", "1e99999999999999999999", "1" + "0" * 400 + ".0",
    "0." + "1" * 5000,
]  # fmt: skip
NOT_IDS = [
    "1.0", "-1.0", "1.5", "1e0", "1E2", "0.0", "10e-1", "null", "true", "false", "[]", "[1]", "{}",
    '{"id":1}', json.dumps("x" * 257),
]  # fmt: skip


@pytest.mark.promise("one-reading")
@pytest.mark.parametrize("number", NOT_NUMBERS, ids=lambda text: ascii(text)[:40])
def test_what_json_has_no_number_for_is_refused(gate: RawGate, number: str) -> None:
    outcome = ask_all(gate, [call_with(message_id=number), call_with(argument=number)])

    outcome.check_refused(400)
    assert outcome.reasons == ["body-not-json"] * 2


@pytest.mark.promise("one-reading")
@pytest.mark.parametrize("number", NOT_HELD, ids=lambda text: f"{text[:24]} of {len(text)} digits")
def test_a_number_that_parsers_round_differently_is_refused(gate: RawGate, number: str) -> None:
    outcome = ask_all(gate, [call_with(message_id=number), call_with(argument=number)])

    outcome.check_refused(400)
    assert outcome.reasons == ["body-not-strict"] * 2


@pytest.mark.promise("one-reading")
@pytest.mark.parametrize("message_id", NOT_IDS, ids=lambda text: ascii(text)[:40])
def test_an_id_that_is_neither_a_text_nor_an_integer_is_refused(gate: RawGate, message_id: str) -> None:
    outcome = gate.ask(call_with(message_id=message_id))

    outcome.check_refused(400)
    assert outcome.rpc_code == -32600
    assert outcome.answer.json()["id"] is None


IDS = [
    "0", "-1", "1", "9007199254740991", "-9007199254740991", '""', '"1"', '"\\u0031"',
    json.dumps("x" * 256), '"\\u00e9"', '"a\\u0000b"', '"\\ud83d\\ude00"', '"null"',
]  # fmt: skip


@pytest.mark.promise("judged-is-sent")
@pytest.mark.parametrize("message_id", IDS, ids=lambda text: ascii(text)[:40])
def test_an_id_comes_back_as_it_was_meant(gate: RawGate, message_id: str) -> None:
    outcome = gate.ask(call_with(message_id=message_id))

    outcome.check_allowed()
    assert outcome.answer.json()["id"] == json.loads(message_id)
    assert type(outcome.answer.json()["id"]) is type(json.loads(message_id))
    assert json.loads(outcome.forwarded[0].body)["id"] == json.loads(message_id)


NUMBERS = [
    "0", "-1", "9007199254740991", "-9007199254740991", "1.0", "1.5", "-0.5", "1e5", "1E5", "1e+5",
    "1.5e-3", "1e308", "2.2250738585072014e-308", "0.1", "123456789.125",
]  # fmt: skip


@pytest.mark.promise("judged-is-sent")
@pytest.mark.parametrize("number", NUMBERS)
def test_an_argument_that_is_a_number_goes_on_as_the_same_number(gate: RawGate, number: str) -> None:
    outcome = gate.ask(call_with(argument=number))

    outcome.check_allowed()
    forwarded = json.loads(outcome.forwarded[0].body)["params"]["arguments"]["x"]
    assert forwarded == json.loads(number)
    assert isinstance(forwarded, float) is isinstance(json.loads(number), float)


# Octets


ENCODINGS = [
    "utf-16-le",
    "utf-16-be",
    "utf-16",
    "utf-32-le",
    "utf-32-be",
    "utf-32",
    "utf-8-sig",
    "utf-7",
    "cp037",
]
BOMS = {"utf-16-be": codecs.BOM_UTF16_BE, "utf-32-be": codecs.BOM_UTF32_BE, "utf-8-sig": codecs.BOM_UTF8}


def encoded(encoding: str, tool: str) -> bytes:
    if encoding == "utf-7":
        # Python writes braces and quotes as they are; a decoder takes them shifted as well.
        text = call_of(tool).decode()
        return b"".join(
            b"+" + base64.b64encode(letter.encode("utf-16-be")).rstrip(b"=") + b"-"
            if letter in '{}":'
            else letter.encode()
            for letter in text
        )
    return call_of(tool).decode().encode(encoding)


@pytest.mark.promise("one-reading")
@pytest.mark.parametrize("tool", [SAFE, DANGER])
@pytest.mark.parametrize("with_bom", [False, True], ids=["", "with one more mark"])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_body_in_another_encoding_is_refused(
    gate: RawGate, encoding: str, tool: str, *, with_bom: bool
) -> None:
    body = (BOMS.get(encoding, codecs.BOM_UTF16_LE) if with_bom else b"") + encoded(encoding, tool)

    outcome = gate.ask(body)

    outcome.check_refused(400)
    assert outcome.rpc_code == -32700


@pytest.mark.promise("one-reading")
@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        pytest.param(b"caf\xe9", "body-not-json", id="Latin-1"),
        pytest.param(b"\x80", "body-not-json", id="a lone continuation"),
        pytest.param(b"\xc3", "body-not-json", id="a sequence cut short"),
        pytest.param(b"\xc1\xa4anger_tool", "body-not-json", id="d overlong in two octets"),
        pytest.param(b"\xe0\x81\xa4anger_tool", "body-not-json", id="d overlong in three octets"),
        pytest.param(b"\xf0\x80\x81\xa4anger_tool", "body-not-json", id="d overlong in four octets"),
        pytest.param(b"safe_tool\xc0\x80", "body-not-json", id="NUL as Java writes it"),
        pytest.param(
            b"\xed\xa0\xbd\xed\xb8\x80", "body-not-json", id="a pair of surrogates as CESU-8 writes it"
        ),
        pytest.param(b"\xed\xa0\x80", "body-not-json", id="a surrogate in UTF-8"),
        pytest.param(b"\xf4\x90\x80\x80", "body-not-json", id="a character beyond the last"),
        pytest.param(b"\xf8\x88\x80\x80\x80", "body-not-json", id="a sequence of five"),
        pytest.param(b"\xff\xfe", "body-not-json", id="a mark of UTF-16 in a text"),
        pytest.param(b"\\ud800", "body-not-strict", id="half a pair escaped"),
        pytest.param(b"\\udc00\\ud800", "body-not-strict", id="a pair escaped the wrong way round"),
        pytest.param(b"\\ud83dx\\ude00", "body-not-strict", id="a letter between the halves of a pair"),
        pytest.param(b"\\ud83d\xed\xb8\x80", "body-not-json", id="a pair escaped by half"),
        pytest.param(b"a\nb", "body-not-json", id="a line end in a text"),
        pytest.param(b"a\tb", "body-not-json", id="a tab in a text"),
        pytest.param(b"a\0b", "body-not-json", id="NUL in a text"),
        pytest.param(b"\\x41", "body-not-json", id="an escape of JavaScript"),
        pytest.param(b"\\u004", "body-not-json", id="an escape cut short"),
        pytest.param(b"\\u{41}", "body-not-json", id="an escape in braces"),
        pytest.param(b"\\u+041", "body-not-json", id="an escape with a sign"),
        pytest.param(b"\\u00_1", "body-not-json", id="an escape with an underscore"),
        pytest.param(b"\\U00000041", "body-not-json", id="an escape of Python"),
        pytest.param(b"\\'", "body-not-json", id="an escaped apostrophe"),
        pytest.param(b"\\", "body-not-json", id="an escaped end"),
    ],
)
@pytest.mark.parametrize("place", ["the name", "an argument", "a member"])
def test_octets_that_are_not_one_text_are_refused(
    gate: RawGate, octets: bytes, reason: str, place: str
) -> None:
    templates = {
        "the name": b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"%s"}}',
        "an argument": b'{"jsonrpc":"2.0","id":1,"method":"tools/call",'
        b'"params":{"name":"safe_tool","arguments":{"x":"%s"}}}',
        "a member": b'{"jsonrpc":"2.0","id":1,"method":"tools/call",'
        b'"params":{"name":"safe_tool","arguments":{"%s":1}}}',
    }

    outcome = gate.ask(templates[place] % octets)

    outcome.check_refused(400)
    assert outcome.reasons == [reason]


CALL = call_of().decode()


@pytest.mark.promise("one-reading")
@pytest.mark.parametrize(
    "body",
    [
        pytest.param(CALL + CALL, id="two messages"),
        pytest.param(CALL + "\n" + CALL, id="two lines"),
        pytest.param(CALL + ",", id="a comma behind"),
        pytest.param(CALL + "}", id="a brace behind"),
        pytest.param(CALL + "x", id="a letter behind"),
        pytest.param(CALL + "\0", id="NUL behind"),
        pytest.param(CALL + "\x1a", id="the end of a file of DOS"),
        pytest.param(CALL + "//", id="a comment behind"),
        pytest.param("/**/" + CALL, id="a comment in front"),
        pytest.param("#\n" + CALL, id="a comment of YAML in front"),
        pytest.param("\x1e" + CALL, id="a record separator in front"),
        pytest.param("\v" + CALL, id="a vertical tab in front"),
        pytest.param("\xa0" + CALL, id="a no-break space in front"),
        pytest.param("\u2028" + CALL, id="a line separator in front"),
        pytest.param(")]}',\n" + CALL, id="a guard against scripts in front"),
        pytest.param("data: " + CALL + "\n\n", id="an event"),
        pytest.param("Content-Length: 5\r\n\r\n" + CALL, id="a head in the body"),
        pytest.param(CALL.replace('"', "'"), id="apostrophes"),
        pytest.param(CALL.replace('"id"', "id"), id="a member without quotes"),
        pytest.param(CALL.replace("}}}", "},}}"), id="a comma before the end"),
        pytest.param(CALL.replace(":", "=", 1), id="an equals sign"),
        pytest.param(CALL.replace("{", "{,", 1), id="a comma at the beginning"),
        pytest.param(CALL[:-1], id="no end"),
        pytest.param(CALL[1:], id="no beginning"),
        pytest.param(" ", id="nothing but a space"),
        pytest.param("jsonrpc: '2.0'\nid: 1\nmethod: tools/call\n", id="YAML"),
        pytest.param(json.dumps(CALL), id="a message in a text"),
    ],
)
def test_what_only_some_parsers_take_for_json_is_refused(gate: RawGate, body: str) -> None:
    outcome = gate.ask(body)

    outcome.check_refused(400)
    assert outcome.rpc_code in (-32700, -32600)


def nested(depth: int, opening: str, closing: str) -> str:
    """Return a call that is ``depth`` deep, of which the message itself is three."""
    levels = depth - 3
    return call_with(argument=opening * levels + "1" + closing * levels)


@pytest.mark.promise("bounded")
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"x":', "}")], ids=["arrays", "objects"])
def test_a_message_may_be_64_deep_and_no_deeper(gate: RawGate, opening: str, closing: str) -> None:
    gate.ask(nested(64, opening, closing)).check_allowed()

    outcome = ask_all(gate, [nested(depth, opening, closing) for depth in (65, 1000, 100_000)])

    outcome.check_refused(400)
    assert outcome.reasons == ["body-not-strict"] * 3


OTHER_MEDIA_TYPES = [
    "application/json; charset=utf-16", "application/json; charset=utf-7",
    "application/json; charset=latin-1", 'application/json; charset="utf-16"',
    "application/json; charset=utf-8; charset=utf-16", "application/json; charset*=utf-8''utf-16",
    "application/json, text/plain", "application/jsonx", "application/json-patch+json",
    "application/problem+json", "application/json/x", "text/json", "text/plain", "application/x-ndjson",
    "application/json-seq", "multipart/form-data; boundary=application/json", "json", "",
    "application /json", "application/json x", "*/*", "application/*",
]  # fmt: skip


@pytest.mark.promise("one-reading")
@pytest.mark.parametrize("content_type", OTHER_MEDIA_TYPES)
def test_a_body_that_is_announced_as_anything_else_is_refused(gate: RawGate, content_type: str) -> None:
    headers = [(name, content_type if name == "content-type" else value) for name, value in LEGACY_HEADERS]

    gate.ask(CALL, headers).check_refused(415)


@pytest.mark.promise("one-reading")
def test_a_body_that_is_not_announced_at_all_is_refused(gate: RawGate) -> None:
    gate.ask(CALL, [pair for pair in LEGACY_HEADERS if pair[0] != "content-type"]).check_refused(415)


@pytest.mark.promise("one-reading")
@pytest.mark.parametrize(
    "coding",
    ["gzip", "deflate", "br", "zstd", "x-gzip", "identity, gzip", "gzip, identity", "IDENTITY, br", "*", ""],
)
def test_an_encoded_body_is_refused(gate: RawGate, coding: str) -> None:
    gate.ask(CALL, [*LEGACY_HEADERS, ("content-encoding", coding)]).check_refused(415)


# Headers


@pytest.mark.promise("one-reading")
@pytest.mark.parametrize(
    ("name", "first", "second"),
    [
        ("authorization", "Bearer x", "Bearer y"),
        ("content-type", "application/json", "text/plain"),
        ("content-encoding", "identity", "identity"),
        ("origin", "https://a.example", "https://b.example"),
        ("last-event-id", "1", "2"),
        ("mcp-session-id", "a", "b"),
        ("cf-connecting-ip", "10.0.0.1", "10.0.0.2"),
        ("mcp-protocol-version", LEGACY, MODERN),
    ],
)
@pytest.mark.parametrize("same", [True, False], ids=["with the same value", "with another value"])
def test_a_header_that_decides_something_stands_once(
    gate: RawGate, name: str, first: str, second: str, *, same: bool
) -> None:
    others = [pair for pair in LEGACY_HEADERS if pair[0] != name]
    token = [] if name == "authorization" else [gate.bearer()]
    if name == "authorization":
        first = gate.bearer()[1]
    twice = [(name, first), ("x-between", "1"), (name.title(), first if same else second)]

    for pairs in (twice, twice[::-1]):
        outcome = gate.send(request_of(CALL, [*others, *token, *pairs]))

        outcome.check_refused(400)
        assert outcome.reasons == ["header-duplicated"]


LOOKALIKES = [
    "content_length", "content_type", "content_encoding", "transfer_encoding", "mcp_name", "Mcp_Name",
    "mcp_method", "mcp_protocol_version", "mcp-protocol_version", "mcp_session_id", "last_event_id",
    "cf_connecting_ip",
]  # fmt: skip


@pytest.mark.promise("one-reading")
@pytest.mark.parametrize("name", LOOKALIKES)
def test_a_header_that_a_gateway_would_take_for_another_is_refused(gate: RawGate, name: str) -> None:
    outcome = gate.ask(CALL, [*LEGACY_HEADERS, (name, "x")])

    outcome.check_refused(400)
    assert outcome.reasons == ["header-lookalike"]


UNLISTED_HEADERS = [
    "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-forwarded-user", "x-real-ip",
    "forwarded", "via", "x-original-url", "x-rewrite-url", "x-http-method-override", "x-http-method",
    "x-method-override", "cookie", "proxy-authorization", "proxy-connection", "x-request-id",
    "x_forwarded_user", "remote-user", "te", "trailer", "x-mcp-name", "mcp-name", "mcp-method",
    "keep-alive", "proxy", "range", "if-match",
]  # fmt: skip


@pytest.mark.promise("headers-listed")
@pytest.mark.parametrize("name", UNLISTED_HEADERS)
def test_the_application_never_sees_a_header_that_nobody_listed(gate: RawGate, name: str) -> None:
    outcome = gate.ask(CALL, [*LEGACY_HEADERS, (name, "evil")])

    outcome.check_allowed()
    (forwarded,) = outcome.forwarded
    assert "evil" not in [value for _, value in forwarded.headers]
    assert forwarded.header(name) == said_by_gate(gate).get(name) or name == "x-request-id"


def modern_call(tool: str = SAFE, version: Any = MODERN) -> bytes:
    meta: dict[str, Any] = {**META, "io.modelcontextprotocol/protocolVersion": version}
    params: dict[str, Any] = {"name": tool, "arguments": {}, "_meta": meta}
    return orjson.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params})


def mirrored(value: str) -> str:
    return f"=?base64?{base64.b64encode(value.encode()).decode()}?="


@pytest.mark.promise("judged-is-sent")
@pytest.mark.parametrize(
    "name",
    [SAFE, mirrored(SAFE), f" {SAFE}", f"\t{SAFE} \t"],
    ids=["plain", "in Base64", "with a space before", "with white space around"],
)
def test_a_mirrored_name_that_is_true_is_let_through_and_said_anew(gate: RawGate, name: str) -> None:
    outcome = gate.ask(modern_call(), modern_headers(name=name))

    outcome.check_allowed()
    assert outcome.forwarded[0].header("mcp-name") == SAFE
    assert outcome.forwarded[0].header("mcp-method") == "tools/call"
    assert outcome.forwarded[0].header("mcp-protocol-version") == MODERN


TRUE = {"mcp-method": "tools/call", "mcp-name": SAFE, "mcp-protocol-version": MODERN}


@pytest.mark.promise("one-reading")
@pytest.mark.parametrize("second", ["the same", "another", "nothing", "the same in Base64"])
@pytest.mark.parametrize("order", [1, -1], ids=["true one first", "true one last"])
@pytest.mark.parametrize("name", TRUE)
def test_a_mirrored_header_stands_once(gate: RawGate, name: str, order: int, second: str) -> None:
    values = {
        "the same": TRUE[name],
        "another": {"mcp-method": "tools/list", "mcp-name": DANGER}.get(name, LEGACY),
        "nothing": "",
        "the same in Base64": mirrored(TRUE[name]),
    }
    others = [pair for pair in modern_headers() if pair[0] != name]

    outcome = gate.ask(
        modern_call(), [*others, *[(name, TRUE[name]), (name.upper(), values[second])][::order]]
    )

    outcome.check_refused(400)
    assert outcome.reasons == ["header-duplicated"]


UNTRUE = [
    "", "x", "=?base64??=", "=?base64?", "=?base64?=", "=?base64?====?=", "=?base64?!!!!?=",
    "=?base64?AB?=", "?=", "=?utf-8?B?c2FmZV90b29s?=", "=?UTF-8?Q?safe=5Ftool?=", "=?base64?/w==?=",
    "=?base64?wYRhbmdlcg==?=",
]  # fmt: skip


def misspelled(value: str) -> Iterator[str]:
    """Yield what only some would take for ``value``."""
    yield from (
        value.upper(),
        value.title(),
        value + ",",
        f"{value}, {value}",
        f"{value},x",
        f'"{value}"',
        value[:-1],
    )
    yield from (value + "\xa0", "\xa0" + value, value.replace("o", "%6f").replace("2", "%32"), value + ";x")
    coded = base64.b64encode(value.encode()).decode()
    bare = coded.rstrip("=")
    yield from (
        f"=?BASE64?{coded}?=",
        f"=?base64?{coded}",
        f"{coded}?=",
        f"=?base64?{coded}?=x",
        f"x=?base64?{coded}?=",
    )
    yield from (
        f"=?base64? {coded}?=",
        f"=?base64?{coded} ?=",
        f"=?base64?{coded}=?=",
        f"=?base64?{coded[:4]} {coded[4:]}?=",
    )
    yield from (
        mirrored(mirrored(value)),
        mirrored(value + "\0"),
        mirrored(f" {value}"),
        mirrored(value + "\n"),
    )
    yield f"=?base64?{coded[:4]}?==?base64?{coded[4:]}?="
    if bare != coded:
        yield f"=?base64?{bare}?="
        last = {"g": "h", "w": "x", "A": "B", "Q": "R", "s": "t", "k": "l", "4": "5", "U": "V", "I": "J"}
        yield f"=?base64?{bare[:-1]}{last.get(bare[-1], '?')}{'=' * (len(coded) - len(bare))}?="


@pytest.mark.promise("one-reading")
@pytest.mark.parametrize("name", ["mcp-method", "mcp-name"])
def test_a_mirrored_header_that_is_not_the_word_of_the_body_is_refused(gate: RawGate, name: str) -> None:
    others = [pair for pair in modern_headers() if pair[0] != name]
    untrue = [
        *UNTRUE,
        *misspelled(TRUE[name]),
        *([DANGER, mirrored(DANGER)] if name == "mcp-name" else ["tools/list"]),
    ]
    taken: list[tuple[str, Any]] = []

    for value in untrue:
        outcome = gate.ask(modern_call(), [*others, (name, value)])
        outcome.check_accounts()
        if (outcome.statuses, outcome.rpc_code) != ([400], -32020) or outcome.forwarded:
            taken.append((value, outcome.reasons))

    assert taken == []


@pytest.mark.promise("one-reading")
@pytest.mark.parametrize("name", TRUE)
def test_a_mirrored_header_is_not_left_out(gate: RawGate, name: str) -> None:
    outcome = gate.ask(modern_call(), [pair for pair in modern_headers() if pair[0] != name])

    outcome.check_refused(400)
    assert outcome.rpc_code == -32020


OTHER_VERSIONS = [
    "2026-07-29", "2024-11-05", "2026-7-28", "2026-07-28 x", "2026-07-28,2025-11-25", "", "latest",
    "2026-07-28\xa0", '"2026-07-28"', mirrored(MODERN), "2026\xad-07-28",
]  # fmt: skip


@pytest.mark.promise("one-reading")
@pytest.mark.parametrize("version", OTHER_VERSIONS)
def test_a_version_that_nobody_speaks_is_refused(gate: RawGate, version: str) -> None:
    headers = [pair for pair in modern_headers() if pair[0] != "mcp-protocol-version"]

    outcome = gate.ask(modern_call(), [*headers, ("mcp-protocol-version", version)])

    outcome.check_refused(400)
    assert outcome.rpc_code == -32022
    assert MODERN in outcome.answer.json()["error"]["data"]["supported"]


@pytest.mark.promise("one-reading")
@pytest.mark.parametrize("version", [LEGACY, "2026-07-29", "", None, 1, ["2026-07-28"], {}, True], ids=ascii)
def test_a_version_in_the_body_is_the_one_of_the_header(gate: RawGate, version: Any) -> None:
    outcome = gate.ask(modern_call(version=version), modern_headers())

    outcome.check_refused(400)
    assert outcome.rpc_code == -32020


@pytest.mark.promise("one-reading")
@pytest.mark.parametrize("version", [LEGACY, "2025-06-18", "2025-03-26"])
def test_a_modern_body_is_not_taken_for_a_legacy_one(gate: RawGate, version: str) -> None:
    headers = [*LEGACY_HEADERS[:3], ("mcp-protocol-version", version), ("mcp-name", SAFE)]

    for tool in (SAFE, DANGER):
        outcome = gate.ask(modern_call(tool), headers)
        outcome.check_refused(400)
        assert outcome.rpc_code == -32020


@pytest.mark.promise("judged-is-sent")
def test_a_legacy_call_goes_on_without_the_mirrored_headers_that_nobody_judged(gate: RawGate) -> None:
    outcome = gate.ask(CALL, [*LEGACY_HEADERS, ("mcp-method", "tools/list"), ("mcp-name", DANGER)])

    outcome.check_allowed()
    assert {"mcp-method", "mcp-name"}.isdisjoint(outcome.forwarded[0].names)


# Host


def host_lines(*lines: str) -> str:
    return "".join(f"{line}\r\n" for line in lines)


def call_to(gate: RawGate, hosts: str, *, target: str = "/mcp", version: str = "HTTP/1.1") -> bytes:
    """Return a call that would be allowed, with these very lines for its host."""
    headers = [
        *LEGACY_HEADERS[1:],
        gate.bearer(),
        ("content-length", str(len(CALL))),
        ("connection", "close"),
    ]
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
    return f"POST {target} {version}\r\n{hosts}{lines}\r\n{CALL}".encode("latin-1")


@pytest.mark.promise("host-exact")
@pytest.mark.parametrize(
    "value",
    [
        "mcp.example.com",
        "MCP.EXAMPLE.COM",
        "mcp.example.com:443",
        "mcp.example.com:80",
        "  mcp.example.com",
        "mcp.example.com\t ",
        "\tmcp.example.com",
    ],
    ids=ascii,
)
def test_a_host_that_is_served_is_served_however_http_writes_it(gate: RawGate, value: str) -> None:
    outcome = gate.send(call_to(gate, f"Host:{value}\r\n"))

    outcome.check_allowed()
    assert outcome.forwarded[0].header("host") == HOST


MALFORMED_HOSTS = [
    "", " ", ".", "mcp.example.com.", ".mcp.example.com", "mcp..example.com", "mcp.example.com:",
    "mcp.example.com:0", "mcp.example.com:00443", "mcp.example.com:65536", "mcp.example.com:-443",
    "mcp.example.com:+443", "mcp.example.com:4_43", "mcp.example.com:0x1bb", "mcp.example.com: 443",
    "mcp.example.com :443", "mcp.example.com:443:443", "mcp.example.com:443x", "mcp.example.com:\xb2",
    "mcp.example.com, evil.example", "mcp.example.com,mcp.example.com", "mcp.example.com evil.example",
    "mcp.example.com\tevil.example", "evil@mcp.example.com", "mcp.example.com@evil.example",
    "a:b@mcp.example.com", "http://mcp.example.com", "//mcp.example.com", "mcp.example.com/",
    "mcp.example.com\\evil.example", "mcp.example.com?", "mcp.example.com#", "mcp.example.com;x",
    "mcp.example.com%00", "mcp%2Eexample.com", "%6dcp.example.com", "mcp.example.com\0",
    "mcp.example.com\x7f", "mcp.example.com\x01", '"mcp.example.com"', "[mcp.example.com]", "[::1", "[]",
    "[::1]x", "[::1]:", "[::1%25lo]", "[v1.x]", "[::ffff:127.0.0.1%1]", "::1", "1:2:3", "-mcp.example.com",
    "mcp-.example.com", "*.example.com", "m*p.example.com", "$host", "${HOST}", "a" * 64 + ".example.com",
    ".".join(["a" * 60] * 5), "a" * 1000, "mcp\u3002example\u3002com".encode().decode("latin-1"),
    "mcp.ex\u0430mple.com".encode().decode("latin-1"), "mcp.example.com\xad", "mcp\xb7example.com",
]  # fmt: skip


@pytest.mark.promise("host-exact")
@pytest.mark.parametrize(
    "lines",
    [
        pytest.param(host_lines("Host: mcp.example.com", "Host: mcp.example.com"), id="the same twice"),
        pytest.param(host_lines("Host: mcp.example.com", "hOsT: mcp.example.com"), id="twice in other case"),
        pytest.param(host_lines("Host: mcp.example.com", "Host: evil.example"), id="another behind"),
        pytest.param(host_lines("Host: evil.example", "Host: mcp.example.com"), id="another in front"),
        pytest.param(host_lines("Host: mcp.example.com", "Host:"), id="nothing behind"),
        pytest.param(host_lines("Host:", "Host: mcp.example.com"), id="nothing in front"),
        pytest.param(host_lines("Host: mcp.example.com", "X: y", "Host: mcp.example.com"), id="twice apart"),
        pytest.param("", id="none"),
        pytest.param(host_lines("Host: mcp.example.com", " evil.example"), id="folded with a space"),
        pytest.param(host_lines("Host: mcp.example.com", "\tevil.example"), id="folded with a tab"),
        pytest.param(host_lines("Host : mcp.example.com"), id="a space before the colon"),
        pytest.param(host_lines("Host\t: mcp.example.com"), id="a tab before the colon"),
        pytest.param(host_lines(" Host: mcp.example.com"), id="a space before the name"),
        pytest.param(host_lines("Host mcp.example.com"), id="no colon"),
        pytest.param(host_lines("H\0ost: mcp.example.com"), id="NUL in the name"),
        pytest.param(
            host_lines("Host: mcp.example.com", "Host\x0b: evil.example"), id="a vertical tab in a name"
        ),
        pytest.param("Host: mcp.example.com\rHost: evil.example\r\n", id="CR between two"),
        *(
            pytest.param(host_lines(f"Host: {value}"), id=f"{ascii(value)[:50]} of {len(value)} octets")
            for value in MALFORMED_HOSTS
        ),
    ],
)
def test_a_host_that_can_be_read_in_two_ways_is_refused(gate: RawGate, lines: str) -> None:
    outcome = gate.send(call_to(gate, lines))

    outcome.check_refused(400)


UNKNOWN_HOSTS = [
    "evil.example", "evilmcp.example.com", "mcp.example.com.evil.example", "a.mcp.example.com",
    "example.com", "mcp", "com", "localhost", "localhost:443", "127.0.0.1", "[::1]", "[::ffff:127.0.0.1]",
    "0", "0.0.0.0", "2130706433", "127.1", "mcp.example.com:8443", "mcp.example.com:1",
    "mcp.example.com:65535", "mcp.example.co", "cp.example.com", "xn--mcp-vla.example.com.evil.example",
    "xn--80aswg.example.com", "mcp_example.com", "_mcp.example.com", "169.254.169.254",
    "metadata.google.internal", "mcp-example.com", "mcpxexample.com", "0x7f000001", "null",
]  # fmt: skip


@pytest.mark.promise("host-exact")
@pytest.mark.parametrize("value", UNKNOWN_HOSTS)
def test_a_host_that_nobody_listed_is_unknown(gate: RawGate, value: str) -> None:
    outcome = gate.send(call_to(gate, host_lines(f"Host: {value}")))

    outcome.check_refused(403)
    assert outcome.reasons == ["host-unknown"]


@pytest.mark.promise("host-exact")
@pytest.mark.parametrize(
    "name",
    [
        "X-Forwarded-Host",
        "Forwarded",
        "X-Host",
        "X-Original-Host",
        "X-HTTP-Host-Override",
        ":authority",
        "X-Rewrite-URL",
    ],
)
def test_no_other_header_says_what_host_is_meant(gate: RawGate, name: str) -> None:
    value = "host=mcp.example.com" if name == "Forwarded" else "mcp.example.com"

    outcome = gate.send(call_to(gate, host_lines("Host: evil.example", f"{name}: {value}")))

    outcome.check_refused(400, 403)


# Request lines


OTHER_TARGETS = [
    "mcp", "*", "//mcp", "/mcp//", "/./mcp", "/../mcp", "/mcp/..", "/mcp/.", "/mcp/", "/MCP", "/Mcp",
    "/mcp;x", "/mcp;", "/m%63p", "/%6dcp", "/mcp%00", "/mcp%0a", "/mcp%20", "/mcp%2f", "/mcp%2F..%2fadmin",
    "/mcp%5c", "/mcp%252f", "/mcp%", "/mcp%zz", "/mcp#", "/mcp#x", "/x#/../mcp", "\\mcp", "/\\mcp",
    "/mcp\\..", "/a/../mcp", "/mcp%c0%ae", "/mcp%ff", "http://mcp.example.com/mcp",
    "https://mcp.example.com/mcp", "http://evil.example/mcp", "http:/mcp", "//evil.example/mcp",
    "mcp.example.com:443", "/mcp\x01", "/mc\xe9", "", "?x", "/admin", "/", "/mcpx", "/mcp.json", "/mcp|",
    "/mcp{}", "/mcp^", "/mcp`", "/<mcp>", '/"mcp"', "/mcp x",
]  # fmt: skip


@pytest.mark.promise("one-reading")
@pytest.mark.parametrize("target", OTHER_TARGETS, ids=ascii)
def test_a_target_that_is_not_the_endpoint_is_never_let_through(gate: RawGate, target: str) -> None:
    outcome = gate.send(call_to(gate, host_lines("Host: mcp.example.com"), target=target))

    outcome.check_refused(400, 404)


OTHER_HTTP_VERSIONS = [
    "HTTP/1.0", "HTTP/1.2", "HTTP/2.0", "HTTP/3.0", "HTTP/0.9", "HTTP/1.10", "HTTP/1.1.1", "HTTP/11",
    "HTTP/1", "http/1.1", "HTTPS/1.1", "HTTP/ 1.1", "HTTP/1.1 ", "HTTP/1.1x", "HTTP/1,1", "HTTP /1.1",
    "ICY/1.1", "RTSP/1.0", "HTTP/01.1", "HTTP/1.1\x0b", "HTTP/+1.1", "HTTP/\xb9.1", "",
]  # fmt: skip


@pytest.mark.promise("one-reading")
@pytest.mark.parametrize("version", OTHER_HTTP_VERSIONS, ids=ascii)
def test_another_version_of_http_is_refused(gate: RawGate, version: str) -> None:
    outcome = gate.send(call_to(gate, host_lines("Host: mcp.example.com"), version=version))

    outcome.check_refused(400, 505)


OTHER_HTTP_METHODS = [
    "PUT", "PATCH", "TRACE", "CONNECT", "QUERY", "PROPFIND", "SEARCH", "LINK", "M-SEARCH", "post", "Post",
    "POSTT", "POS", "P0ST", "GE", "get", "PRI", "SOURCE", "TRACK", "DEBUG", "PURGE", "X",
]  # fmt: skip


@pytest.mark.promise("closed-by-default")
@pytest.mark.parametrize("method", OTHER_HTTP_METHODS)
def test_another_method_of_http_is_refused(gate: RawGate, method: str) -> None:
    outcome = gate.ask(CALL, method=method)

    outcome.check_refused(400, 405)


@pytest.mark.promise("one-reading")
@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "OPTIONS"])
@pytest.mark.parametrize("framing", ["by length", "in chunks"])
def test_a_body_under_a_method_that_has_none_is_refused(gate: RawGate, method: str, framing: str) -> None:
    coding = [("transfer-encoding", "chunked")] if framing == "in chunks" else []
    body = chunked(CALL.encode()) if coding else CALL.encode()
    request = request_of(body, [*LEGACY_HEADERS, gate.bearer(), *coding], method=method)

    outcome = gate.send(request)

    outcome.check_refused(400)
    assert outcome.reasons == ["body-not-allowed"]


CONNECTION_OPTIONS = [
    "upgrade", "Host", "host, close", "authorization", "content-length", "mcp-name, keep-alive", "x",
    "transfer-encoding", "close, te", "keep-alive, cookie",
]  # fmt: skip


@pytest.mark.promise("one-reading")
@pytest.mark.parametrize("value", CONNECTION_OPTIONS)
def test_a_connection_header_names_nothing_but_the_connection(gate: RawGate, value: str) -> None:
    outcome = gate.send(request_of(CALL, [*LEGACY_HEADERS, gate.bearer(), ("connection", value)]))

    outcome.check_refused(400)
    assert outcome.reasons == ["connection-option-not-allowed"]


@pytest.mark.promise("one-reading")
@pytest.mark.parametrize("connection", ["upgrade", "keep-alive", "close"])
@pytest.mark.parametrize("upgrade", ["h2c", "websocket", "TLS/1.0", "HTTP/2.0", "x", ""])
@pytest.mark.parametrize(
    "behind", [b"", b"GET /mcp HTTP/1.1\r\nHost: mcp.example.com\r\n\r\n"], ids=["", "and more"]
)
def test_no_other_protocol_is_spoken(gate: RawGate, upgrade: str, connection: str, behind: bytes) -> None:
    headers = [*LEGACY_HEADERS, gate.bearer(), ("upgrade", upgrade), ("connection", connection)]

    outcome = gate.send(request_of(CALL, headers, close=False) + behind)

    outcome.check_refused(400, 401)
    assert "connection-option-not-allowed" in outcome.reasons


# Framing


def framed(gate: RawGate, lines: str, body: bytes) -> bytes:
    """Return a request with these very lines for the framing of its body."""
    head = "".join(f"{name}: {value}\r\n" for name, value in [*LEGACY_HEADERS, gate.bearer()])
    return f"POST /mcp HTTP/1.1\r\n{head}{lines}\r\n".encode("latin-1") + body


SIZE = len(CALL)
CHUNKS = chunked(CALL.encode())
NEXT = b"POST /mcp HTTP/1.1\r\nHost: mcp.example.com\r\n\r\n"


BAD_LENGTHS = [
    f"+{SIZE}", f"-{SIZE}", "-1", f"0x{SIZE:x}", f"{SIZE}.0", f"{SIZE}e0", f"{SIZE} {SIZE}", f"{SIZE}x",
    f"{SIZE // 10}_{SIZE % 10}", "", "x", f'"{SIZE}"', f"{SIZE};x", f"{SIZE}\x0b", f"{SIZE}\xa0",
    str(2**32 + SIZE), str(2**64 + SIZE), "9" * 400, "\xb2\xb3", "NaN", f"{SIZE}\0",
]  # fmt: skip


@pytest.mark.promise("one-reading")
@pytest.mark.parametrize(
    "lines",
    [
        pytest.param(f"Content-Length: {SIZE}\r\nContent-Length: {SIZE + 1}\r\n", id="two lengths"),
        pytest.param(
            f"Content-Length: {SIZE + 1}\r\nContent-Length: {SIZE}\r\n", id="two lengths, the longer first"
        ),
        pytest.param(f"Content-Length: 0\r\nContent-Length: {SIZE}\r\n", id="nothing and a length"),
        pytest.param(f"Content-Length: {SIZE}, {SIZE + 1}\r\n", id="two lengths in a list"),
        pytest.param(f"Content-Length: {SIZE},\r\n", id="a list of a length and nothing"),
        *(
            pytest.param(f"Content-Length: {value}\r\n", id=f"{ascii(value)[:40]} of {len(value)} octets")
            for value in BAD_LENGTHS
        ),
        pytest.param(f"Content-Length: {SIZE}\r\nTransfer-Encoding: chunked\r\n", id="a length and chunks"),
        pytest.param(f"Transfer-Encoding: chunked\r\nContent-Length: {SIZE}\r\n", id="chunks and a length"),
        pytest.param("Content-Length: 0\r\nTransfer-Encoding: chunked\r\n", id="no length and chunks"),
        pytest.param(
            f"Content-Length: {SIZE}\r\nTransfer-Encoding: identity\r\n",
            id="a length and a coding that is none",
        ),
        pytest.param(f"Content-Length: {SIZE}\r\nTransfer-Encoding:\r\n", id="a length and an empty coding"),
        pytest.param(
            f"Content-Length: {SIZE}\r\nTransfer-Encoding: xchunked\r\n", id="a length and an unknown coding"
        ),
        pytest.param(
            f"Content-Length: {SIZE}\r\nTransfer_Encoding: chunked\r\n",
            id="a length and chunks with an underscore",
        ),
        pytest.param(
            f"Content-Length: {SIZE}\r\nTransfer-Encoding : chunked\r\n",
            id="a length and chunks before a space",
        ),
        pytest.param(
            f"Content-Length: {SIZE}\r\nX: y\rTransfer-Encoding: chunked\r\n",
            id="a length and chunks behind CR",
        ),
        pytest.param(f"Content-Length : {SIZE}\r\n", id="a space before the colon of the length"),
        pytest.param(f"Content-Length: 0\r\n {SIZE}\r\n", id="a folded length"),
    ],
)
def test_a_length_that_can_be_read_in_two_ways_is_refused(gate: RawGate, lines: str) -> None:
    for body in (CALL.encode(), CHUNKS, CALL.encode() + NEXT):
        outcome = gate.send(framed(gate, lines, body))

        outcome.check_refused(400, 413)
        assert outcome.answers[0].header("connection") == "close"
        assert len(outcome.answers) == 1, "what stands behind is not read"


BAD_CODINGS = [
    "chunked, chunked", "xchunked", "chunkedx", "chunked;q=1", "chunked,", ",chunked", "identity",
    "gzip, chunked", "chunked, gzip", "chunked, identity", "identity, chunked", '"chunked"', "chunked\x0b",
    "chunked\x0c", "\x0bchunked", "chunked\xa0", "chunked\0", "chun ked", "", "x", "chunk", "cow, chunked",
    "chunked chunked", "\u0441hunked".encode().decode("latin-1"),
]  # fmt: skip


@pytest.mark.promise("one-reading")
@pytest.mark.parametrize(
    "lines",
    [
        *(
            pytest.param(f"Transfer-Encoding: {value}\r\n", id=f"the coding {value!a}")
            for value in BAD_CODINGS
        ),
        pytest.param("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", id="chunks twice"),
        pytest.param("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", id="chunks and none"),
        pytest.param("Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n", id="none and chunks"),
        pytest.param(
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n", id="chunks and another coding"
        ),
        pytest.param(
            "Transfer-Encoding: x\r\nTransfer-Encoding: chunked\r\n", id="another coding and chunks"
        ),
        pytest.param("Transfer-Encoding : chunked\r\n", id="a space before the colon"),
        pytest.param("Transfer-Encoding\t: chunked\r\n", id="a tab before the colon"),
        pytest.param(" Transfer-Encoding: chunked\r\n", id="a space before the name"),
        pytest.param("X: y\r\n Transfer-Encoding: chunked\r\n", id="chunks in a folded line"),
        pytest.param("Transfer-Encoding: x\r\n , chunked\r\n", id="folded chunks behind another coding"),
        pytest.param("Transfer_Encoding: chunked\r\n", id="an underscore"),
        pytest.param("Transfer-Encoding\0: chunked\r\n", id="NUL in the name"),
        pytest.param("X: y\rTransfer-Encoding: chunked\r\n", id="chunks behind CR"),
    ],
)
def test_a_coding_that_can_be_read_in_two_ways_is_refused(gate: RawGate, lines: str) -> None:
    for body in (CHUNKS, CHUNKS + NEXT):
        outcome = gate.send(framed(gate, lines, body))

        # A line with a space in front may become a part of the token in front of it.
        outcome.check_refused(400, 401)
        assert outcome.answers[-1].header("connection") == "close"


@pytest.mark.promise("judged-is-sent")
@pytest.mark.parametrize(
    ("lines", "body"),
    [
        pytest.param(f"Content-Length: 000{SIZE}\r\n", CALL.encode(), id="a length with zeros in front"),
        pytest.param(f"Content-Length:\t{SIZE} \r\n", CALL.encode(), id="a length in white space"),
        pytest.param("Transfer-Encoding: chunked\r\n", CHUNKS, id="chunks"),
        pytest.param("Transfer-Encoding: CHUNKED\r\n", CHUNKS, id="chunks in capitals"),
        pytest.param("Transfer-Encoding:\tchunked\r\n", CHUNKS, id="chunks behind a tab"),
        pytest.param("Transfer-Encoding: chunked \r\n", CHUNKS, id="chunks before a space"),
        pytest.param("Transfer-Encoding: chunked\r\n", chunked(CALL.encode(), 1), id="chunks of one octet"),
        pytest.param(
            "Transfer-Encoding: chunked\r\n",
            b"%X;a=b\r\n%s\r\n000\r\n\r\n" % (SIZE, CALL.encode()),
            id="an extension",
        ),
        pytest.param(
            "Transfer-Encoding: chunked\r\n",
            b"0%x\r\n%s\r\n0\r\n\r\n" % (SIZE, CALL.encode()),
            id="a zero in front",
        ),
        pytest.param(
            "Transfer-Encoding: chunked\r\nTrailer: host, authorization, mcp-name\r\n",
            CHUNKS[:-2] + b"Host: evil.example\r\nAuthorization: x\r\nMcp-Name: danger_tool\r\n\r\n",
            id="trailers that say something else",
        ),
    ],
)
def test_a_body_that_can_be_read_in_one_way_only_goes_on_as_it_is(
    gate: RawGate, lines: str, body: bytes
) -> None:
    outcome = gate.send(framed(gate, f"{lines}Connection: close\r\n", body))

    outcome.check_allowed()
    (forwarded,) = outcome.forwarded
    assert forwarded.body == CALL.encode()
    assert forwarded.header("host") == HOST
    assert {"transfer-encoding", "trailer", "mcp-name"}.isdisjoint(forwarded.names)


# h11 reads these in the one way that RFC 9112 names in sections 2.2, 5.2, 6.3 and 7.1.2, where it lets
# a recipient refuse as well; the strict parser refuses.
@pytest.mark.promise("one-reading")
@pytest.mark.parametrize(
    ("lines", "body"),
    [
        pytest.param(f"Content-Length: {SIZE}\r\n" * 2, CALL.encode(), id="the same length twice"),
        pytest.param(f"Content-Length: {SIZE}, {SIZE}\r\n", CALL.encode(), id="the same length in a list"),
        pytest.param(f"Content-Length:\r\n {SIZE}\r\n", CALL.encode(), id="a length in a folded line"),
        pytest.param("Transfer-Encoding:\r\n\tchunked\r\n", CHUNKS, id="chunks in a folded line"),
        pytest.param(
            f"Content-Length: {SIZE}\r\nX: y\r\n Transfer-Encoding: chunked\r\n",
            CALL.encode(),
            id="a coding that is folded into another header",
        ),
        pytest.param(f"Content-Length: {SIZE}\nX: y\r\n", CALL.encode(), id="a line that LF ends"),
        pytest.param(
            "Transfer-Encoding: chunked\r\n",
            b"%x;a\rb\r\n%s\r\n0\r\n\r\n" % (SIZE, CALL.encode()),
            id="CR in an extension of a chunk",
        ),
        pytest.param(
            "Transfer-Encoding: chunked\r\n", CHUNKS[:-2] + b"Content-Length: 5\r\n\r\n", id="a length behind"
        ),
        pytest.param(
            "Transfer-Encoding: chunked\r\n",
            CHUNKS[:-2] + b"Transfer-Encoding: chunked\r\n\r\n",
            id="a coding behind",
        ),
    ],
)
def test_what_a_server_may_read_or_refuse_is_refused_or_read_in_that_way(
    gate: RawGate, lines: str, body: bytes
) -> None:
    outcome = gate.send(framed(gate, f"{lines}Connection: close\r\n", body))

    if gate.parser == "strict":
        outcome.check_refused(400)
    else:
        outcome.check_allowed()
        (forwarded,) = outcome.forwarded
        assert forwarded.body == CALL.encode()
        assert "transfer-encoding" not in forwarded.names


BAD_SIZES = [
    b"f" * 30, b"-%x" % SIZE, b"-1", b"+%x" % SIZE,
    b"0x%x" % SIZE, b"5_3", b"%x_" % SIZE, b" %x" % SIZE, b"\t%x" % SIZE, b"", b"g",
    b"%x,%x" % (SIZE, SIZE), b"%x.0" % SIZE, b"%xh" % SIZE, b"%x\0" % SIZE, b"%x\x0b" % SIZE,
    b"%x x" % SIZE, b"\xef\xbc\x95", b"%x\r" % SIZE, b"%x;a\nb" % SIZE, b'"%x"' % SIZE,
]  # fmt: skip


@pytest.mark.promise("one-reading")
@pytest.mark.parametrize(
    "body",
    [
        *(
            pytest.param(size + b"\r\n" + CALL.encode() + b"\r\n0\r\n\r\n", id=f"the size {ascii(size)[:50]}")
            for size in BAD_SIZES
        ),
        pytest.param(b"%x\n%s\r\n0\r\n\r\n" % (SIZE, CALL.encode()), id="LF behind the size"),
        pytest.param(b"%x\r%s\r\n0\r\n\r\n" % (SIZE, CALL.encode()), id="CR behind the size"),
        pytest.param(b"%x\r\n%s\n0\r\n\r\n" % (SIZE, CALL.encode()), id="LF behind the data"),
        pytest.param(b"%x\r\n%s0\r\n\r\n" % (SIZE, CALL.encode()), id="nothing behind the data"),
        pytest.param(b"%x\r\n%sxx0\r\n\r\n" % (SIZE, CALL.encode()), id="something else behind the data"),
        pytest.param(b"%x\r\n%s\r\r0\r\n\r\n" % (SIZE, CALL.encode()), id="two CR behind the data"),
        pytest.param(b"%x\r\n%s\r\n0\r\n\r\n" % (SIZE - 1, CALL.encode()), id="a size that is too small"),
        pytest.param(b"%x\r\n%s\r\n0\r\n\r\n" % (SIZE + 1, CALL.encode()), id="a size that is too large"),
        pytest.param(b"%x\r\n%s\r\nx\r\n\r\n" % (SIZE, CALL.encode()), id="no last chunk"),
        pytest.param(
            b"%x\r\n%s\r\n0\r\nHost : x\r\n\r\n" % (SIZE, CALL.encode()), id="a trailer with a space"
        ),
        pytest.param(b"%x\r\n%s\r\n0\r\n x\r\n\r\n" % (SIZE, CALL.encode()), id="a folded trailer"),
        pytest.param(
            b"%x\r\n%s\r\n0\r\nhost\r\n\r\n" % (SIZE, CALL.encode()), id="a trailer without a colon"
        ),
    ],
)
def test_chunks_that_can_be_read_in_two_ways_are_refused(gate: RawGate, body: bytes) -> None:
    outcome = gate.send(framed(gate, "Transfer-Encoding: chunked\r\n", body))

    outcome.check_refused(400)
    assert len(outcome.answers) == 1
    assert outcome.answers[0].header("connection") == "close"


@pytest.mark.promise("one-reading")
@pytest.mark.parametrize(
    "size",
    [b"%x" % (2**32 + SIZE), b"%x" % (2**64 + SIZE), b"8" + b"0" * 15, b"f" * 16, b"f" * 17],
    ids=bytes.decode,
)
def test_the_size_of_a_chunk_never_wraps_around(gate: RawGate, size: bytes) -> None:
    body = size + b"\r\n" + CALL.encode() + b"\r\n0\r\n\r\n"

    outcome = gate.send(framed(gate, "Transfer-Encoding: chunked\r\n", body), unfinished=True)

    outcome.check_accounts()
    assert outcome.forwarded == []
    assert set(outcome.statuses) <= {400, 413}
    assert outcome.reasons == ["body-incomplete"]


@pytest.mark.promise("one-reading")
@pytest.mark.parametrize(
    ("lines", "body"),
    [
        pytest.param(f"Content-Length: {SIZE + 1}\r\n", CALL.encode(), id="one octet short of its length"),
        pytest.param("Transfer-Encoding: chunked\r\n", CHUNKS[:-1], id="chunks without their last octet"),
        pytest.param("Transfer-Encoding: chunked\r\n", CHUNKS[:-5], id="chunks without the last one"),
        pytest.param("Transfer-Encoding: chunked\r\n", b"", id="no chunk at all"),
    ],
)
def test_a_body_that_ends_too_soon_is_never_let_through(gate: RawGate, lines: str, body: bytes) -> None:
    outcome = gate.send(framed(gate, lines, body), unfinished=True)

    outcome.check_accounts()
    assert outcome.forwarded == []
    assert outcome.reasons == ["body-incomplete"]


# One connection


@pytest.mark.promise("one-reading")
@pytest.mark.parametrize("at_once", [True, False], ids=["in one piece", "octet by octet"])
@pytest.mark.parametrize(
    "tools",
    [(SAFE, DANGER), (DANGER, SAFE), (SAFE, DANGER, SAFE), (SAFE, SAFE, DANGER, DANGER, SAFE)],
    ids=", ".join,
)
@pytest.mark.parametrize("framing", ["by length", "in chunks"])
def test_each_request_of_a_connection_is_judged_by_itself(
    gate: RawGate, tools: Sequence[str], framing: str, *, at_once: bool
) -> None:
    coding = [("transfer-encoding", "chunked")] if framing == "in chunks" else []
    pairs = [*LEGACY_HEADERS, gate.bearer(), *coding]
    bodies = [call_of(tool, at) for at, tool in enumerate(tools)]
    octets = b"".join(
        request_of(chunked(body) if coding else body, pairs, close=body is bodies[-1]) for body in bodies
    )

    outcome = gate.send(
        octets if at_once else [octets[at : at + 1] for at in range(len(octets))], answers=len(tools)
    )

    outcome.check_accounts()
    assert outcome.statuses == [200] * len(tools)
    assert [answer.json()["id"] for answer in outcome.answers] == list(range(len(tools)))
    assert ["error" in answer.json() for answer in outcome.answers] == [tool == DANGER for tool in tools]
    assert [record["target"] for record in outcome.records] == list(tools)
    assert [record["verdict"] for record in outcome.records] == [
        "allow" if tool == SAFE else "deny" for tool in tools
    ]
    assert outcome.executed == [tool for tool in tools if tool == SAFE]


@pytest.mark.promise("token-for-this-server")
def test_a_token_speaks_for_one_request_only(gate: RawGate) -> None:
    with_token = request_of(CALL, [*LEGACY_HEADERS, gate.bearer()], close=False)
    without = request_of(CALL, LEGACY_HEADERS)

    outcome = gate.send(with_token + without, answers=2)

    outcome.check_accounts()
    assert outcome.statuses == [200, 401]
    assert outcome.reasons == [None, "token-missing"]
    assert len(outcome.forwarded) == 1


@pytest.mark.promise("token-for-this-server")
def test_a_token_for_one_host_is_nothing_at_another_on_the_same_connection(gate: RawGate) -> None:
    there = [("host", IDN_HOST), *LEGACY_HEADERS[1:]]
    requests = [
        request_of(CALL, [*LEGACY_HEADERS, gate.bearer()], close=False),
        request_of(CALL, [*there, gate.bearer(HOST)], close=False),
        request_of(CALL, [*there, gate.bearer(IDN_HOST)]),
    ]

    outcome = gate.send(b"".join(requests), answers=3)

    outcome.check_accounts()
    assert outcome.statuses == [200, 401, 200]
    assert outcome.reasons == [None, "token-audience-wrong", None]
    assert [each.header("host") for each in outcome.forwarded] == [HOST, IDN_HOST]


@pytest.mark.promise("one-reading")
@pytest.mark.parametrize(
    ("lines", "behind"),
    [
        pytest.param(f"Content-Length: {SIZE}\r\nContent-Length: 5\r\n", CALL.encode(), id="two lengths"),
        pytest.param(
            f"Content-Length: {SIZE}\r\nTransfer-Encoding: chunked\r\n", CHUNKS, id="a length and chunks"
        ),
        pytest.param("Transfer-Encoding: xchunked\r\n", CHUNKS, id="an unknown coding"),
        pytest.param("Transfer-Encoding: chunked\r\n", b"zz\r\n", id="broken chunks"),
        pytest.param("Content-Length: 99999999\r\n", b"", id="a body that is too large"),
    ],
)
def test_behind_a_request_that_cannot_be_delimited_nothing_is_read(
    gate: RawGate, lines: str, behind: bytes
) -> None:
    smuggled = request_of(CALL, [*LEGACY_HEADERS, gate.bearer()])

    outcome = gate.send(framed(gate, lines, behind) + smuggled, answers=2)

    outcome.check_refused(400, 413)
    assert len(outcome.answers) == 1
    assert outcome.answers[0].header("connection") == "close"


@pytest.mark.promise("one-reading")
def test_a_request_inside_a_body_is_a_body(gate: RawGate) -> None:
    inner = request_of(call_of(SAFE), [*LEGACY_HEADERS, gate.bearer()])

    outcome = gate.ask(inner)

    outcome.check_refused(400)
    assert len(outcome.answers) == 1
    assert outcome.reasons == ["body-not-json"]


# Answers


def list_of(*names: str) -> dict[str, Any]:
    tools = [{"name": name, "inputSchema": {"type": "object"}} for name in names]
    return {"jsonrpc": "2.0", "id": 1, "result": {"tools": tools}}


def ask_list(gate: RawGate, canned: Canned) -> Outcome:
    return ask_canned(gate, canned, "tools/list")


def ask_canned(gate: RawGate, canned: Canned, method: str) -> Outcome:
    """Ask for a list and have the application give this answer; what is hidden is never in it."""
    gate.app.canned = canned
    try:
        outcome = gate.ask(orjson.dumps({"jsonrpc": "2.0", "id": 1, "method": method}))
    finally:
        gate.app.canned = None
    outcome.check_accounts()
    assert len(outcome.forwarded) == 1
    assert DANGER.encode() not in outcome.answer.body
    return outcome


def messages_of(stream: bytes) -> list[Any]:
    blocks = stream.decode("utf-8").split("\n\n")
    data = ["\n".join(line[6:] for line in block.split("\n") if line[:5] == "data:") for block in blocks]
    return [json.loads(each) for each in data if each]


# From a server elsewhere, what was sent in pieces may arrive in fewer.
@pytest.mark.promise("listed-equals-callable")
@pytest.mark.parametrize("size", [1, 2, 3, 7, 10_000], ids=lambda size: f"in pieces of {size}")
@pytest.mark.parametrize("mark", [b"", codecs.BOM_UTF8], ids=["", "behind a mark"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"], ids=["LF", "CRLF", "CR"])
def test_a_stream_is_filtered_however_it_is_cut(gate: RawGate, end: bytes, mark: bytes, size: int) -> None:
    data = json.dumps(list_of(SAFE, DANGER), indent=1).encode().split(b"\n")
    lines = [
        b": hello", b"", b"event: message", b"id: 7",
        *(b"data:" + line for line in data), b"", b"",
    ]  # fmt: skip
    stream = mark + end.join(lines)
    pieces = [stream[at : at + size] for at in range(0, len(stream), size)]

    outcome = ask_list(gate, Canned([(b"content-type", b"text/event-stream")], pieces))

    assert outcome.answer.status == 200
    assert messages_of(outcome.answer.body) == [list_of(SAFE)]


@pytest.mark.promise("listed-equals-callable")
@pytest.mark.parametrize("size", [1, 10_000], ids=lambda size: f"in pieces of {size}")
def test_a_list_in_json_is_filtered_however_it_is_cut(gate: RawGate, size: int) -> None:
    body = json.dumps(list_of(DANGER, SAFE, DANGER)).replace("er_t", "\\u0065r_t").encode()

    outcome = ask_list(gate, as_json(*(body[at : at + size] for at in range(0, len(body), size))))

    assert outcome.answer.status == 200
    assert outcome.answer.json() == list_of(SAFE)


# ``^`` stands for version and id, ``~`` for the entry of the hidden tool.
_BAD_ANSWERS = {
    "a result twice": '{^,"result":{"tools":[]},"result":{"tools":[~]}}',
    "tools twice": '{^,"result":{"tools":[],"tools":[~]}}',
    "a name twice": '{^,"result":{"tools":[{"name":"safe_tool","name":"danger_tool"}]}}',
    "a name twice, once escaped": '{^,"result":{"tools":[{"name":"safe_tool","n\\u0061me":"danger_tool"}]}}',
    "tools in capitals beside them": '{^,"result":{"tools":[],"TOOLS":[~]}}',
    "tools with a long s beside them": '{^,"result":{"tools":[],"tool\u017f":[~]}}',
    "tools in capitals alone": '{^,"result":{"Tools":[~]}}',
    "a result in capitals": '{^,"RESULT":{"tools":[~]}}',
    "a result in capitals beside it": '{^,"result":{"tools":[]},"Result":{"tools":[~]}}',
    "a name in capitals beside it": '{^,"result":{"tools":[{"name":"safe_tool","NAME":"danger_tool"}]}}',
    "a name in capitals alone": '{^,"result":{"tools":[{"Name":"danger_tool"}]}}',
    "a name that is a list": '{^,"result":{"tools":[{"name":["safe_tool","danger_tool"]}]}}',
    "a list in a list": '{^,"result":{"tools":[[~]]}}',
    "names alone": '{^,"result":{"tools":["danger_tool"]}}',
    "tools by name": '{^,"result":{"tools":{"danger_tool":~}}}',
    "a batch": '[{^,"result":{"tools":[~]}}]',
    "an answer to another": '{"jsonrpc":"2.0","id":2,"result":{"tools":[~]}}',
    "an answer to the same id as a text": '{"jsonrpc":"2.0","id":"1","result":{"tools":[~]}}',
    "an answer to a real number": '{"jsonrpc":"2.0","id":1.0,"result":{"tools":[~]}}',
    "an answer to true": '{"jsonrpc":"2.0","id":true,"result":{"tools":[~]}}',
    "an answer without an id": '{"jsonrpc":"2.0","result":{"tools":[~]}}',
    "another version": '{"jsonrpc":"1.0","id":1,"result":{"tools":[~]}}',
    "a result and an error": '{^,"result":{"tools":[~]},"error":{"code":1}}',
    "two answers": '{^,"result":{"tools":[]}}\n{^,"result":{"tools":[~]}}',
    "a mark in front": '\ufeff{^,"result":{"tools":[~]}}',
    "a comma too many": '{^,"result":{"tools":[~,]}}',
    "not a number": '{^,"result":{"tools":[{"name":"danger_tool","x":NaN}]}}',
    "no end": '{^,"result":{"tools":[~]}',
    "words": "danger_tool",
    "a page": "<html>danger_tool</html>",
    "nothing": "",
}
BAD_ANSWERS = {
    name: text.replace("~", '{"name":"danger_tool"}').replace("^", '"jsonrpc":"2.0","id":1')
    for name, text in _BAD_ANSWERS.items()
}


@pytest.mark.promise("answer-fits")
@pytest.mark.parametrize("answer", BAD_ANSWERS.values(), ids=BAD_ANSWERS)
def test_an_answer_that_two_clients_could_read_differently_is_not_passed_on(
    gate: RawGate, answer: str
) -> None:
    outcome = ask_list(gate, as_json(answer.encode()))

    assert outcome.answer.status == 502
    assert outcome.rpc_code == -32603
    assert outcome.answer.json()["id"] == 1


HALF_A_PAIR = (
    b'{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"%s"},{"name":"safe_tool","title":"\\ud800"}]}}'
)


@pytest.mark.promise("answer-fits")
@pytest.mark.parametrize(
    "hidden", [b"danger_tool\\ud800", b"safe_tool\\ud800", b"\\udc00safe_tool"], ids=ascii
)
def test_half_a_pair_in_an_answer_is_a_character_that_no_name_has(gate: RawGate, hidden: bytes) -> None:
    outcome = ask_list(gate, as_json(HALF_A_PAIR % hidden))

    assert outcome.answer.json()["result"]["tools"] == [{"name": SAFE, "title": "\ufffd"}]


@pytest.mark.promise("answer-fits")
@pytest.mark.parametrize(
    "answer",
    [text for text in BAD_ANSWERS.values() if text],
    ids=[name for name, text in BAD_ANSWERS.items() if text],
)
def test_an_event_that_two_clients_could_read_differently_ends_the_stream(gate: RawGate, answer: str) -> None:
    data = b"".join(b"data: " + line + b"\n" for line in answer.encode().split(b"\n"))
    later = b"data: " + json.dumps(list_of(DANGER, SAFE)).encode() + b"\n\n"

    outcome = ask_list(gate, Canned([(b"content-type", b"text/event-stream")], [data + b"\n", later]))

    (error,) = messages_of(outcome.answer.body)
    assert error["id"] == 1
    assert error["error"]["code"] == -32603


@pytest.mark.promise("answer-fits")
@pytest.mark.parametrize(
    "headers",
    [
        [(b"content-type", b"text/html")],
        [(b"content-type", b"text/plain")],
        [(b"content-type", b"application/json; charset=utf-16")],
        [(b"content-type", b"text/event-stream; charset=utf-7")],
        [(b"content-type", b"application/json"), (b"content-type", b"text/event-stream")],
        [(b"content-type", b"application/json, text/event-stream")],
        [(b"content-type", b"application/octet-stream")],
        [(b"content-type", b"multipart/mixed; boundary=x")],
        [(b"content-type", b"application/json"), (b"content-encoding", b"gzip")],
        [(b"content-type", b"text/event-stream"), (b"content-encoding", b"br")],
        [(b"content-type", b"application/json"), (b"Content-Encoding", b"identity, deflate")],
    ],
    ids=lambda pairs: "; ".join(value.decode() for _, value in pairs),
)
def test_an_answer_that_is_not_announced_as_json_or_events_is_not_passed_on(
    gate: RawGate, headers: list[tuple[bytes, bytes]]
) -> None:
    outcome = ask_list(gate, Canned(headers, [json.dumps(list_of(SAFE, DANGER)).encode()]))

    assert outcome.answer.status == 502
    assert outcome.rpc_code == -32603


# Per list: the member of the result, the member that decides, what is seen and what is not.
LISTS = {
    "prompts/list": ("prompts", "name", "safe_prompt", "danger_tool_prompt"),
    "resources/list": ("resources", "uri", "file:///srv/ok/a", "file:///srv/danger_tool"),
    "resources/templates/list": (
        "resourceTemplates",
        "uriTemplate",
        "file:///srv/ok/{+path}",
        "file:///{+danger_tool}",
    ),
}


@pytest.mark.promise("listed-equals-callable")
@pytest.mark.parametrize("form", ["in JSON", "in a stream"])
@pytest.mark.parametrize("method", LISTS)
def test_every_other_list_is_filtered_as_well(gate: RawGate, method: str, form: str) -> None:
    member, key, seen, hidden = LISTS[method]
    entries = [{key: name, "name": name} for name in (hidden, seen, hidden)]
    answer = json.dumps({"jsonrpc": "2.0", "id": 1, "result": {member: entries}}).encode()
    stream = Canned([(b"content-type", b"text/event-stream")], [b"data: " + answer + b"\n\n"])

    outcome = ask_canned(gate, stream if form == "in a stream" else as_json(answer), method)

    (message,) = messages_of(outcome.answer.body) if form == "in a stream" else [outcome.answer.json()]
    assert message["result"][member] == [{key: seen, "name": seen}]


@pytest.mark.promise("answer-fits")
@pytest.mark.parametrize(
    "data",
    [
        json.dumps(list_of(DANGER)),
        '{"jsonrpc":"2.0","id":2,"result":{"tools":[{"name":"danger_tool"}]}}',
        '{"jsonrpc":"2.0","method":"notifications/evil","params":{"name":"danger_tool"}}',
        '{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"file:///danger_tool"}}',
        '{"jsonrpc":"2.0","id":1,"method":"evil/method","params":{"name":"danger_tool"}}',
        '{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"danger_tool"}}',
        "danger_tool",
    ],
    ids=[
        "an answer",
        "another answer",
        "an unknown notification",
        "news of a hidden resource",
        "an unknown request",
        "a log message that nobody allowed",
        "no JSON",
    ],
)
def test_a_stream_that_answers_nothing_shows_nothing_that_is_not_listed(gate: RawGate, data: str) -> None:
    event = f"data: {data}\n\n".encode()
    headers = [
        ("host", HOST),
        ("accept", "text/event-stream"),
        ("mcp-protocol-version", LEGACY),
        gate.bearer(),
    ]
    gate.app.canned = Canned([(b"content-type", b"text/event-stream")], [event])
    try:
        outcome = gate.send(request_of(b"", headers, method="GET"))
    finally:
        gate.app.canned = None

    outcome.check_allowed()
    assert outcome.forwarded[0].method == "GET"
    assert DANGER.encode() not in outcome.answer.body
