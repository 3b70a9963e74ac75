from base64 import b64encode
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import orjson
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.support.mcp import LEGACY, MODERN, legacy, modern
from tunnelgate import Reason
from tunnelgate.reading.fault import Fault
from tunnelgate.reading.message import (
    LEGACY_VERSIONS,
    PARAMS,
    SUPPORTED_VERSIONS,
    TARGETS,
    Kind,
    Message,
    MessageFault,
    read_header,
    read_message,
    write_header,
)

MAX_ID = 256
MAX_INTEGER = 2**53 - 1
MAX_NAME = 256
MAX_URI = 4096
VERSION_KEY = "io.modelcontextprotocol/protocolVersion"
CAPABILITIES_KEY = "io.modelcontextprotocol/clientCapabilities"
META: dict[str, Any] = {VERSION_KEY: MODERN, CAPABILITIES_KEY: {}}

Headers = Mapping[bytes, bytes]

LEGACY_HEADERS: Headers = {b"mcp-protocol-version": LEGACY.encode()}
CALL: dict[str, Any] = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "search_docs"}}


def without(members: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {each: value for each, value in members.items() if each != name}


def read(members: Mapping[str, Any], headers: Headers = LEGACY_HEADERS) -> Message:
    return read_message(orjson.dumps(members), headers)


def read_request(
    request: tuple[list[tuple[str, str]], bytes], changes: Mapping[bytes, bytes | None]
) -> Message:
    """Read what a client sends, after changing, adding or leaving out headers."""
    pairs, body = request
    headers: dict[bytes, bytes | None] = {name.encode(): value.encode("latin-1") for name, value in pairs}
    headers.update(changes)
    return read_message(body, {name: value for name, value in headers.items() if value is not None})


def test_a_request_is_read_with_its_method_its_target_and_its_params() -> None:
    raw = orjson.dumps({**CALL, "params": {"name": "search_docs", "arguments": {"query": "x"}}})

    message = read_message(raw, LEGACY_HEADERS)

    assert message == Message(
        kind=Kind.REQUEST,
        id=1,
        method="tools/call",
        target="search_docs",
        params={"name": "search_docs", "arguments": {"query": "x"}},
        version=LEGACY,
        canonical=raw,
    )
    assert not message.is_modern


@pytest.mark.parametrize(
    ("members", "kind", "method", "message_id"),
    [
        pytest.param({"id": 1, "method": "ping"}, Kind.REQUEST, "ping", 1, id="a request"),
        pytest.param({"id": 1, "method": "x"}, Kind.REQUEST, "x", 1, id="a request of one character"),
        pytest.param({"id": 0, "method": "ping"}, Kind.REQUEST, "ping", 0, id="a request with the id 0"),
        pytest.param({"id": "", "method": "ping"}, Kind.REQUEST, "ping", "", id="a request with an empty id"),
        pytest.param(
            {"method": "notifications/initialized"},
            Kind.NOTIFICATION,
            "notifications/initialized",
            None,
            id="a notification",
        ),
        pytest.param({"id": 7, "result": {}}, Kind.RESPONSE, "", 7, id="a result"),
        pytest.param({"id": "a", "error": {}}, Kind.RESPONSE, "", "a", id="an error"),
    ],
)
def test_a_message_is_a_request_a_notification_or_a_response(
    members: dict[str, Any], kind: Kind, method: str, message_id: str | int | None
) -> None:
    message = read({"jsonrpc": "2.0", **members})

    assert (message.kind, message.method, message.id) == (kind, method, message_id)
    assert (message.target, message.params) == (None, {})


def test_what_goes_on_is_the_canonical_form_and_what_was_read_is_what_it_says() -> None:
    raw = b'\r\n{"jsonrpc" : "2.0", "id":1, "method":"tools\\/call", "params": {"n\\u0061me":"safe_tool"} }\n'

    message = read_message(raw, LEGACY_HEADERS)

    assert (message.method, message.target) == ("tools/call", "safe_tool")
    assert message.canonical == (
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"safe_tool"}}'
    )


@pytest.mark.parametrize(
    ("name", "target"),
    [
        pytest.param(b"safe_tool\\u0000danger_tool", "safe_tool\0danger_tool", id="a NUL"),
        pytest.param(b"safe_tool\\r\\nALLOW", "safe_tool\r\nALLOW", id="a line end"),
        pytest.param(b"\\u001b[2Jsafe_tool", "\x1b[2Jsafe_tool", id="a terminal's escape"),
        pytest.param(b"\\uff44anger_tool", "\uff44anger_tool", id="a fullwidth letter"),
        pytest.param(b"SAFE_TOOL", "SAFE_TOOL", id="capitals"),
        pytest.param(b" safe_tool ", " safe_tool ", id="spaces around"),
        pytest.param(b"d\\u0061nger_tool", "danger_tool", id="an escaped letter"),
    ],
)
def test_a_target_is_exactly_what_the_body_says(name: bytes, target: str) -> None:
    raw = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"%s"}}' % name

    assert read_message(raw, LEGACY_HEADERS).target == target


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        pytest.param(b"", Reason.BODY_NOT_JSON, id="nothing"),
        pytest.param(b"jsonrpc=2.0&method=tools/call", Reason.BODY_NOT_JSON, id="a form"),
        pytest.param(
            b'{"jsonrpc":"2.0","id":1,"method":"ping"}' * 2, Reason.BODY_NOT_JSON, id="two messages"
        ),
        pytest.param(
            b'{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/call","params":{"name":"x"}}',
            Reason.BODY_NOT_STRICT,
            id="two methods",
        ),
        pytest.param(
            b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","name":"b"}}',
            Reason.BODY_NOT_STRICT,
            id="two names",
        ),
        pytest.param(
            b'{"jsonrpc":"2.0","id":9007199254740992,"method":"ping"}',
            Reason.BODY_NOT_STRICT,
            id="an id that doubles cannot hold",
        ),
        pytest.param(b"null", Reason.MESSAGE_INVALID, id="null"),
        pytest.param(b'"tools/call"', Reason.MESSAGE_INVALID, id="a text"),
        pytest.param(b"[]", Reason.MESSAGE_INVALID, id="an empty batch"),
        pytest.param(
            b'[{"jsonrpc":"2.0","id":1,"method":"ping"}]', Reason.MESSAGE_INVALID, id="a batch of one"
        ),
    ],
)
def test_what_is_not_one_object_is_no_message_and_has_no_id(raw: bytes, reason: Reason) -> None:
    with pytest.raises(Fault) as caught:
        read_message(raw, {b"mcp-protocol-version": b"2025-03-26"})

    assert caught.value.reason == reason
    assert not isinstance(caught.value, MessageFault)


@pytest.mark.parametrize(
    "message_id",
    [
        pytest.param(MAX_INTEGER, id="the largest number"),
        pytest.param(-MAX_INTEGER, id="the smallest number"),
        pytest.param("x" * MAX_ID, id="the longest text"),
        pytest.param("é" * MAX_ID, id="the longest text, in characters"),
    ],
)
def test_an_id_may_be_as_large_as_its_bound(message_id: str | int) -> None:
    assert read({**CALL, "id": message_id}).id == message_id


@pytest.mark.parametrize(
    "message_id",
    [
        pytest.param("x" * (MAX_ID + 1), id="a text one too long"),
        pytest.param(None, id="null"),
        pytest.param(True, id="a truth"),
        pytest.param(1.5, id="a fraction"),
        pytest.param(1.0, id="a real"),
        pytest.param([1], id="a list"),
        pytest.param({}, id="an object"),
    ],
)
def test_another_id_makes_no_message_and_cannot_be_named(message_id: object) -> None:
    with pytest.raises(Fault) as caught:
        read({**CALL, "id": message_id})

    assert (caught.value.reason, caught.value.detail) == (
        Reason.MESSAGE_INVALID,
        "id is neither a text nor an integer",
    )
    assert not isinstance(caught.value, MessageFault)


NOT_2_0 = "jsonrpc is not 2.0"
UNKNOWN_MEMBER = "a member that no request has"
NO_METHOD = "method is not a name"
NO_PARAMS = "params is not an object"
NO_NAME = f"name is not a name of at most {MAX_NAME} characters"
NO_CALL = "neither a request nor a response"


@pytest.mark.parametrize(
    ("members", "detail"),
    [
        pytest.param(without(CALL, "jsonrpc"), NOT_2_0, id="no version of JSON-RPC"),
        pytest.param({**CALL, "jsonrpc": "1.0"}, NOT_2_0, id="another version of JSON-RPC"),
        pytest.param({**CALL, "jsonrpc": 2.0}, NOT_2_0, id="a number for it"),
        pytest.param({**CALL, "x": 1}, UNKNOWN_MEMBER, id="a member too many"),
        pytest.param({**CALL, "result": {}}, UNKNOWN_MEMBER, id="a method and a result"),
        pytest.param({**CALL, "Method": "ping"}, UNKNOWN_MEMBER, id="a method in capitals"),
        pytest.param({**CALL, "PARAMS": {"name": "x"}}, UNKNOWN_MEMBER, id="params in capitals"),
        pytest.param({**CALL, "param\u017f": {"name": "x"}}, UNKNOWN_MEMBER, id="params with a long s"),
        pytest.param({**CALL, "ID": 2}, UNKNOWN_MEMBER, id="an id in capitals"),
        pytest.param({**CALL, "method": ""}, NO_METHOD, id="an empty method"),
        pytest.param({**CALL, "method": None}, NO_METHOD, id="a null method"),
        pytest.param({**CALL, "method": ["tools/call"]}, NO_METHOD, id="a list for a method"),
        pytest.param({**CALL, "method": "x" * (MAX_NAME + 1)}, NO_METHOD, id="a method one too long"),
        pytest.param({**CALL, "params": ["search_docs", {"query": "x"}]}, NO_PARAMS, id="params by position"),
        pytest.param({**CALL, "params": None}, NO_PARAMS, id="null for params"),
        pytest.param({**CALL, "params": "search_docs"}, NO_PARAMS, id="a text for params"),
        pytest.param({**CALL, "params": {}}, NO_NAME, id="a call of nothing"),
        pytest.param(without(CALL, "params"), NO_NAME, id="a call without params"),
        pytest.param({**CALL, "params": {"name": ""}}, NO_NAME, id="an empty name"),
        pytest.param({**CALL, "params": {"name": None}}, NO_NAME, id="a null name"),
        pytest.param({**CALL, "params": {"name": ["a", "b"]}}, NO_NAME, id="a list of names"),
        pytest.param({**CALL, "params": {"name": {"a": 1}}}, NO_NAME, id="an object for a name"),
        pytest.param({**CALL, "params": {"name": 1}}, NO_NAME, id="a number for a name"),
        pytest.param(
            {**CALL, "params": {"name": "a", "_meta": []}}, "_meta is not an object", id="a list of meta"
        ),
        pytest.param(
            {**CALL, "params": {"name": "a", "_meta": None}}, "_meta is not an object", id="null for meta"
        ),
        pytest.param(without(CALL, "method"), NO_CALL, id="params and no method"),
        pytest.param({"jsonrpc": "2.0", "id": 1}, NO_CALL, id="an id and nothing else"),
        pytest.param(
            {"jsonrpc": "2.0", "id": 1, "result": {}, "error": {}}, NO_CALL, id="a result and an error"
        ),
        pytest.param({"jsonrpc": "2.0", "id": 1, "result": {}, "x": 1}, NO_CALL, id="a result and more"),
        pytest.param(
            {"jsonrpc": "2.0", "id": 1, "METHOD": "tools/call"}, NO_CALL, id="nothing in small letters"
        ),
    ],
)
def test_what_is_no_message_is_refused_under_its_id(members: dict[str, Any], detail: str) -> None:
    with pytest.raises(MessageFault) as caught:
        read(members)

    assert (caught.value.reason, caught.value.detail) == (Reason.MESSAGE_INVALID, detail)
    assert caught.value.message_id == 1


@pytest.mark.parametrize(
    ("members", "detail"),
    [
        pytest.param(without(CALL, "id"), "tools/call without an id", id="a call"),
        pytest.param(
            {"jsonrpc": "2.0", "method": "resources/read", "params": {"uri": "file:///a"}},
            "resources/read without an id",
            id="the reading of a resource",
        ),
        pytest.param({"jsonrpc": "2.0", "result": {}}, "a response without an id", id="a result"),
        pytest.param({"jsonrpc": "2.0", "error": {}}, "a response without an id", id="an error"),
        pytest.param(
            {"JSONRPC": "2.0", "ID": 1, "METHOD": "tools/call"}, NOT_2_0, id="all members in capitals"
        ),
    ],
)
def test_what_needs_an_id_is_refused_without_one(members: dict[str, Any], detail: str) -> None:
    with pytest.raises(MessageFault) as caught:
        read(members)

    assert (caught.value.reason, caught.value.detail) == (Reason.MESSAGE_INVALID, detail)
    assert caught.value.message_id is None


def params_for(method: str) -> dict[str, Any]:
    return {TARGETS[method][0]: "x"} if method in TARGETS else {}


@pytest.mark.parametrize("method", sorted(PARAMS))
def test_params_have_the_members_that_their_method_has_and_no_other(method: str) -> None:
    own: dict[str, Any] = dict.fromkeys(PARAMS[method] - {"_meta"}, "x") | {"_meta": {}}
    request = {"jsonrpc": "2.0", "id": 1, "method": method}

    assert read({**request, "params": own}).params == own
    for other in ("Name", "NAME", "_Meta", "__proto__", "x"):
        with pytest.raises(MessageFault) as caught:
            read({**request, "params": {**params_for(method), other: {}}})
        assert (caught.value.reason, caught.value.detail) == (
            Reason.MESSAGE_INVALID,
            f"params has a member that {method} does not have",
        )


def test_params_of_a_method_that_nobody_knows_are_left_to_the_policy() -> None:
    message = read({"jsonrpc": "2.0", "id": 1, "method": "Tools/Call", "params": {"name": "x", "y": 1}})

    assert (message.method, message.target, message.params) == ("Tools/Call", None, {"name": "x", "y": 1})


@pytest.mark.parametrize(
    ("method", "member", "longest"),
    [
        pytest.param("tools/call", "name", MAX_NAME, id="a tool"),
        pytest.param("prompts/get", "name", MAX_NAME, id="a prompt"),
        pytest.param("resources/read", "uri", MAX_URI, id="a resource"),
    ],
)
def test_a_target_may_be_as_long_as_its_bound_and_not_one_character_more(
    method: str, member: str, longest: int
) -> None:
    request = {"jsonrpc": "2.0", "id": 1, "method": method}

    assert read({**request, "params": {member: "é" * longest}}).target == "é" * longest
    with pytest.raises(MessageFault) as caught:
        read({**request, "params": {member: "é" * (longest + 1)}})
    assert (caught.value.reason, caught.value.detail) == (
        Reason.MESSAGE_INVALID,
        f"{member} is not a name of at most {longest} characters",
    )


def test_a_method_may_be_as_long_as_its_bound() -> None:
    method = "x" * MAX_NAME

    assert read({"jsonrpc": "2.0", "id": 1, "method": method}).method == method


@pytest.mark.parametrize("version", LEGACY_VERSIONS)
def test_each_legacy_version_is_spoken(version: str) -> None:
    message = read(CALL, {b"mcp-protocol-version": f" {version}\t".encode()})

    assert (message.version, message.is_modern) == (version, False)


def test_without_a_header_a_message_names_no_version() -> None:
    message = read(CALL, {})

    assert (message.version, message.is_modern) == (None, False)


@pytest.mark.parametrize(
    ("header", "requested"),
    [
        pytest.param(b"", "", id="empty"),
        pytest.param(b"2024-11-05", "2024-11-05", id="too old"),
        pytest.param(b"2027-01-01", "2027-01-01", id="too new"),
        pytest.param(b"2025-11-25, 2026-07-28", "2025-11-25, 2026-07-28", id="two"),
        pytest.param(b"2026-07-28\xa0", "2026-07-28\xa0", id="a no-break space behind"),
        pytest.param(b"DRAFT-2026-v1", "DRAFT-2026-v1", id="a draft"),
        pytest.param(b"x" * 33, "x" * 32, id="longer than what is told"),
        pytest.param(b"\xff" * 40_000, "\xff" * 32, id="octets beyond ASCII"),
    ],
)
def test_another_version_is_not_spoken_and_the_caller_is_told_which_are(
    header: bytes, requested: str
) -> None:
    with pytest.raises(MessageFault) as caught:
        read(CALL, {b"mcp-protocol-version": header})

    assert (caught.value.reason, caught.value.message_id) == (Reason.PROTOCOL_VERSION_NOT_SUPPORTED, 1)
    assert caught.value.detail == f"version {requested!r}"
    assert caught.value.denial().told == {"supported": list(SUPPORTED_VERSIONS), "requested": requested}


@pytest.mark.parametrize(
    ("method", "params", "target"),
    [
        pytest.param("tools/call", {"name": "search_docs"}, "search_docs", id="a call"),
        pytest.param("resources/read", {"uri": "file:///srv/ok.txt"}, "file:///srv/ok.txt", id="a resource"),
        pytest.param("prompts/get", {"name": "greet"}, "greet", id="a prompt"),
        pytest.param("tools/list", {}, None, id="a list"),
        pytest.param("server/discover", None, None, id="a question without params of its own"),
    ],
)
def test_a_modern_request_whose_headers_repeat_its_body_is_read(
    method: str, params: dict[str, Any] | None, target: str | None
) -> None:
    message = read_request(modern(method, params), {})

    assert (message.method, message.target, message.version) == (method, target, MODERN)
    assert message.is_modern


def sentinel(text: str) -> bytes:
    return b"=?base64?" + b64encode(text.encode()) + b"?="


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({b"mcp-name": b" search_docs\t"}, id="white space around the name"),
        pytest.param({b"mcp-method": b"\ttools/call "}, id="white space around the method"),
        pytest.param({b"mcp-name": sentinel("search_docs")}, id="the name in Base64"),
        pytest.param({b"mcp-method": sentinel("tools/call")}, id="the method in Base64"),
        pytest.param({b"mcp-protocol-version": b" 2026-07-28 "}, id="white space around the version"),
    ],
)
def test_a_mirrored_header_may_be_spelled_in_each_way_that_means_the_same(
    changes: Mapping[bytes, bytes | None],
) -> None:
    message = read_request(modern("tools/call", {"name": "search_docs"}), changes)

    assert (message.method, message.target) == ("tools/call", "search_docs")


METHOD_DIFFERS = "Mcp-Method is not the method of the body"
NAME_DIFFERS = "Mcp-Name is not the name in the body"
UNREADABLE = "a mirrored header is not readable"


@pytest.mark.parametrize(
    ("changes", "detail"),
    [
        pytest.param({b"mcp-method": None}, METHOD_DIFFERS, id="no method"),
        pytest.param({b"mcp-method": b""}, METHOD_DIFFERS, id="an empty method"),
        pytest.param({b"mcp-method": b"tools/list"}, METHOD_DIFFERS, id="another method"),
        pytest.param({b"mcp-method": b"Tools/Call"}, METHOD_DIFFERS, id="the method in capitals"),
        pytest.param({b"mcp-method": sentinel("tools/list")}, METHOD_DIFFERS, id="another method in Base64"),
        pytest.param({b"mcp-method": b"=?base64?dG9vbHMvY2FsbA=?="}, UNREADABLE, id="half the padding"),
        pytest.param({b"mcp-name": None}, NAME_DIFFERS, id="no name"),
        pytest.param({b"mcp-name": b""}, NAME_DIFFERS, id="an empty name"),
        pytest.param({b"mcp-name": b"delete_docs"}, NAME_DIFFERS, id="another name"),
        pytest.param({b"mcp-name": b"Search_Docs"}, NAME_DIFFERS, id="the name in capitals"),
        pytest.param({b"mcp-name": b"search_docs,search_docs"}, NAME_DIFFERS, id="two names"),
        pytest.param({b"mcp-name": b'"search_docs"'}, NAME_DIFFERS, id="the name in quotes"),
        pytest.param({b"mcp-name": b"search%5Fdocs"}, NAME_DIFFERS, id="the name percent-encoded"),
        pytest.param({b"mcp-name": b"search_docs\xa0"}, UNREADABLE, id="a no-break space behind the name"),
        pytest.param({b"mcp-name": b"search_docs\x0b"}, NAME_DIFFERS, id="a vertical tab behind the name"),
        pytest.param(
            {b"mcp-method": b"tools/call\x0b"}, METHOD_DIFFERS, id="a vertical tab behind the method"
        ),
        pytest.param({b"mcp-name": sentinel("delete_docs")}, NAME_DIFFERS, id="another name in Base64"),
        pytest.param(
            {b"mcp-name": b"=?BASE64?c2VhcmNoX2RvY3M=?="}, NAME_DIFFERS, id="the name in another's Base64"
        ),
        pytest.param({b"mcp-name": b"=?base64?/w==?="}, UNREADABLE, id="Base64 of no text"),
    ],
)
def test_a_mirrored_header_that_differs_from_the_body_is_refused(
    changes: Mapping[bytes, bytes | None], detail: str
) -> None:
    with pytest.raises(MessageFault) as caught:
        read_request(modern("tools/call", {"name": "search_docs"}, message_id="a"), changes)

    assert (caught.value.reason, caught.value.detail) == (Reason.HEADER_MISMATCH, detail)
    assert caught.value.message_id == "a"


def test_the_uri_of_a_resource_is_what_mcp_name_must_repeat() -> None:
    request = modern("resources/read", {"uri": "file:///etc/shadow"})

    with pytest.raises(MessageFault) as caught:
        read_request(request, {b"mcp-name": b"file:///srv/ok.txt"})

    assert (caught.value.reason, caught.value.detail) == (Reason.HEADER_MISMATCH, NAME_DIFFERS)


def test_a_name_beside_a_method_that_has_none_says_nothing() -> None:
    message = read_request(modern("tools/list"), {b"mcp-name": b"delete_docs"})

    assert message.target is None


LACKING = "_meta lacks what 2026-07-28 requires"


@pytest.mark.parametrize(
    ("params", "reason", "detail"),
    [
        pytest.param({}, Reason.PARAMS_INVALID, LACKING, id="no meta"),
        pytest.param({"_meta": {}}, Reason.PARAMS_INVALID, LACKING, id="empty meta"),
        pytest.param({"_meta": without(META, VERSION_KEY)}, Reason.PARAMS_INVALID, LACKING, id="no version"),
        pytest.param(
            {"_meta": without(META, CAPABILITIES_KEY)}, Reason.PARAMS_INVALID, LACKING, id="no capabilities"
        ),
        pytest.param(
            {"_meta": {**META, CAPABILITIES_KEY: []}},
            Reason.PARAMS_INVALID,
            LACKING,
            id="a list of capabilities",
        ),
        pytest.param(
            {"_meta": {**META, VERSION_KEY: LEGACY}},
            Reason.HEADER_MISMATCH,
            "MCP-Protocol-Version is not the version of the body",
            id="another version",
        ),
        pytest.param(
            {"_meta": {**META, VERSION_KEY: [MODERN]}},
            Reason.HEADER_MISMATCH,
            "MCP-Protocol-Version is not the version of the body",
            id="a list of versions",
        ),
    ],
)
def test_a_modern_body_says_its_version_and_the_capabilities_of_its_client(
    params: dict[str, Any], reason: Reason, detail: str
) -> None:
    headers = {b"mcp-protocol-version": MODERN.encode(), b"mcp-method": b"tools/list"}

    with pytest.raises(MessageFault) as caught:
        read({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": params}, headers)

    assert (caught.value.reason, caught.value.detail) == (reason, detail)


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({}, id="no version"),
        pytest.param(LEGACY_HEADERS, id="a legacy version"),
        pytest.param({b"mcp-method": b"tools/list"}, id="no version and a method"),
    ],
)
@pytest.mark.parametrize("version", [MODERN, LEGACY, None])
def test_a_body_that_names_its_version_needs_the_header_of_that_era(
    headers: Headers, version: str | None
) -> None:
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": {VERSION_KEY: version}}}

    with pytest.raises(MessageFault) as caught:
        read(message, headers)

    assert (caught.value.reason, caught.value.detail) == (
        Reason.HEADER_MISMATCH,
        "the body speaks 2026-07-28 and the header does not",
    )


def test_mirrored_headers_of_a_legacy_message_say_nothing() -> None:
    request = legacy("tools/call", {"name": "search_docs", "_meta": {"progressToken": 1}})

    message = read_request(request, {b"mcp-method": b"tools/list", b"mcp-name": b"\xff"})

    assert (message.method, message.target) == ("tools/call", "search_docs")


def test_a_response_of_the_modern_era_is_read_for_what_it_is() -> None:
    headers = {b"mcp-protocol-version": MODERN.encode()}

    assert read({"jsonrpc": "2.0", "id": 1, "result": {}}, headers).kind is Kind.RESPONSE


@pytest.mark.parametrize(
    ("text", "header"),
    [
        pytest.param("search_docs", b"search_docs", id="visible ASCII"),
        pytest.param("a b\tc", b"a b\tc", id="spaces and tabs inside"),
        pytest.param("", b"=?base64??=", id="nothing"),
        pytest.param(" a", b"=?base64?IGE=?=", id="a space before"),
        pytest.param("a\t", b"=?base64?YQk=?=", id="a tab behind"),
        pytest.param("é", b"=?base64?w6k=?=", id="a letter beyond ASCII"),
        pytest.param("a\r\nb", b"=?base64?YQ0KYg==?=", id="a line end"),
        pytest.param("a\0", b"=?base64?YQA=?=", id="a NUL"),
        pytest.param("a\x7f", b"=?base64?YX8=?=", id="a delete character"),
        pytest.param("=?base64?YQ==?=", b"=?base64?PT9iYXNlNjQ/WVE9PT89?=", id="what looks like Base64"),
        pytest.param("=?base64?", b"=?base64?PT9iYXNlNjQ/?=", id="what begins like it"),
        pytest.param("=?BASE64?YQ==?=", b"=?BASE64?YQ==?=", id="what looks like another's Base64"),
    ],
)
def test_a_text_is_mirrored_in_base64_where_it_needs_that(text: str, header: bytes) -> None:
    assert write_header(text) == header
    assert read_header(header) == text


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(b"\xff", id="an octet beyond ASCII"),
        pytest.param("é".encode(), id="UTF-8"),
        pytest.param(b"=?base64?YQ?=", id="no padding"),
        pytest.param(b"=?base64?YQ=?=", id="half the padding"),
        pytest.param(b"=?base64?YWE==?=", id="padding past the end"),
        pytest.param(b"=?base64?=?=", id="padding alone"),
        pytest.param(b"=?base64?A?=", id="one octet of Base64"),
        pytest.param(b"=?base64?/w==?=", id="Base64 of no text"),
        pytest.param(b"=?base64?7aCA?=", id="Base64 of a surrogate"),
    ],
)
def test_a_mirrored_header_that_carries_no_text_is_not_readable(value: bytes) -> None:
    with pytest.raises(Fault) as caught:
        read_header(value)

    assert (caught.value.reason, caught.value.detail) == (Reason.HEADER_MISMATCH, UNREADABLE)


@given(st.text() | st.text(" \t=?base64YQ", max_size=24))
@settings(max_examples=200)
def test_any_text_survives_as_a_mirrored_header_that_a_client_may_send(text: str) -> None:
    header = write_header(text)

    assert read_header(header) == text
    assert header == header.strip(b" \t")
    assert all(octet in b"\t" or 0x20 <= octet <= 0x7E for octet in header)


@given(st.binary() | st.binary().map(lambda octets: b"=?base64?" + octets + b"?="))
def test_no_octets_of_a_mirrored_header_raise_anything_but_a_fault(value: bytes) -> None:
    with suppress(Fault):
        assert read_header(write_header(read_header(value))) == read_header(value)


@given(target=st.text(min_size=1, max_size=MAX_NAME), other=st.text(min_size=1, max_size=8))
def test_a_modern_call_is_read_when_its_header_names_its_target_and_only_then(
    target: str, other: str
) -> None:
    assume(other != target)
    request = modern("tools/call", {"name": target})
    pairs, body = request
    request = [pair for pair in pairs if pair[0] != "mcp-name"], body

    assert read_request(request, {b"mcp-name": write_header(target)}).target == target
    with pytest.raises(MessageFault) as caught:
        read_request(request, {b"mcp-name": write_header(other)})
    assert caught.value.reason == Reason.HEADER_MISMATCH


VALUES: st.SearchStrategy[Any] = st.recursive(
    st.sampled_from([None, True, 0, 1, -1, 1.0, 2**53 - 1, "", "2.0", "x", "tools/call", MODERN, LEGACY]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["name", "uri", "_meta", "x", VERSION_KEY, CAPABILITIES_KEY]), inner
        )
    ),
    max_leaves=6,
)
MESSAGES = st.fixed_dictionaries(
    {"jsonrpc": st.just("2.0"), "method": st.sampled_from(sorted({*PARAMS, *TARGETS, "x"}))},
    optional={"id": VALUES, "params": VALUES, "result": VALUES, "error": VALUES, "Method": VALUES},
) | st.dictionaries(st.sampled_from(["jsonrpc", "id", "method", "params", "result", "error"]), VALUES)
HEADERS = st.fixed_dictionaries(
    {},
    optional={
        b"mcp-protocol-version": st.sampled_from([MODERN.encode(), LEGACY.encode()]) | st.binary(),
        b"mcp-method": st.sampled_from([b"tools/call", b"ping", sentinel("x")]) | st.binary(),
        b"mcp-name": st.sampled_from([b"x", b"tools/call"]) | st.binary(),
    },
)


@given(st.binary() | MESSAGES.map(orjson.dumps), HEADERS)
@settings(max_examples=200)
def test_no_octets_and_no_headers_raise_anything_but_a_fault(raw: bytes, headers: dict[bytes, bytes]) -> None:
    with suppress(Fault):
        message = read_message(raw, headers)

        members = orjson.loads(message.canonical)
        assert members.get("id") == message.id
        assert members.get("method", "") == message.method
        if message.method in TARGETS:
            assert message.target == members["params"][TARGETS[message.method][0]]
            assert message.kind is Kind.REQUEST
        if message.is_modern and message.kind is not Kind.RESPONSE:
            assert read_header(headers[b"mcp-method"].strip(b" \t")) == message.method
            assert members["params"]["_meta"][VERSION_KEY] == MODERN


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(b"=?base64?bGlzdF9kb2Nz=?=", id="padding that is not needed"),
        pytest.param(b"=?base64?YR==?=", id="bits behind the end"),
    ],
)
def test_a_mirrored_header_in_another_spelling_of_base64_is_a_mismatch(value: bytes) -> None:
    with pytest.raises(Fault) as caught:
        read_header(value)

    assert caught.value.reason is Reason.HEADER_MISMATCH
