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
    Kind,
    Message,
    MessageFault,
    read_message,
    read_version,
)
from tunnelgate.reading.methods import (
    CLIENT_METHODS,
    DECIDING_META,
    DECIDING_PARAMS,
    LOG_LEVELS,
    MODERN_MEMBERS,
    Era,
)
from tunnelgate.reading.mirrored import read_header, write_header
from tunnelgate.reading.params import CAPABILITIES_KEY, LOG_LEVEL_KEY, VERSION_KEY

MAX_HANDLE = 4096
MAX_ID = 256
MAX_INTEGER = 2**53 - 1
MAX_NAME = 256
MAX_SUBSCRIPTIONS = 256
MAX_URI = 2048
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
    members = {**CALL, "params": {"name": "search_docs", "arguments": {"query": "x"}}}
    raw = orjson.dumps(members)

    message = read_message(raw, LEGACY_HEADERS)

    assert message == Message(
        kind=Kind.REQUEST,
        id=1,
        method="tools/call",
        target="search_docs",
        members=members,
        version=LEGACY,
        canonical=raw,
        log_level=None,
    )
    assert message.params == {"name": "search_docs", "arguments": {"query": "x"}}
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
    assert message.members == {"jsonrpc": "2.0", **members}
    assert (message.target, message.params, message.log_level) == (None, {}, None)


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
NO_NAME = f"name is not a text of at most {MAX_NAME} characters"
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


BOTH_ERAS = [pytest.param(Era.LEGACY, id="2025-11-25"), pytest.param(Era.MODERN, id="2026-07-28")]
# What a method cannot be read without, and what stands for a member that may have any value.
NEEDED: dict[str, dict[str, Any]] = {
    "completion/complete": {"ref": {"type": "ref/prompt", "name": "x"}},
    "logging/setLevel": {"level": "error"},
    "subscriptions/listen": {"notifications": {}},
}


def params_for(method: str) -> dict[str, Any]:
    target = CLIENT_METHODS[method].target
    return {**NEEDED.get(method, {}), **({} if target is None else {target.member: "x"})}


def read_in(era: Era, method: str, params: dict[str, Any]) -> Message:
    """Read a request of an era, with the headers and the _meta that this era wants."""
    if era is Era.LEGACY:
        return read({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
    meta: dict[str, Any] = params.get("_meta", {})
    headers = {b"mcp-protocol-version": MODERN.encode(), b"mcp-method": write_header(method)}
    for member in ("name", "uri", "taskId"):
        if isinstance(params.get(member), str):
            headers[b"mcp-name"] = write_header(params[member])
    params = {**params, "_meta": {**META, **meta}}
    return read({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}, headers)


METHODS = [
    pytest.param(era, method, id=f"{method} in {version}")
    for era, version in ((Era.LEGACY, LEGACY), (Era.MODERN, MODERN))
    for method, known in CLIENT_METHODS.items()
    if era in known.era
]
METHODS_OF_THE_OTHER_ERA = [
    pytest.param(era, method, id=f"{method} in {version}")
    for era, version in ((Era.LEGACY, LEGACY), (Era.MODERN, MODERN))
    for method, known in CLIENT_METHODS.items()
    if era not in known.era
]


@pytest.mark.parametrize(("era", "method"), METHODS)
def test_params_have_the_members_that_their_method_has_and_no_other(era: Era, method: str) -> None:
    members = CLIENT_METHODS[method].members - (MODERN_MEMBERS if era is Era.LEGACY else set())
    others = members - {"_meta", "arguments"}
    own: dict[str, Any] = {**dict.fromkeys(others, "x"), **params_for(method), "_meta": {}}
    if "arguments" in CLIENT_METHODS[method].members:
        own["arguments"] = {}

    assert read_in(era, method, own).params.keys() == members
    for other in ("Name", "NAME", "_Meta", "__proto__", "x"):
        with pytest.raises(MessageFault) as caught:
            read_in(era, method, {**params_for(method), other: {}})
        assert (caught.value.reason, caught.value.detail) == (
            Reason.MESSAGE_INVALID,
            f"params has a member that {method} does not have",
        )


@pytest.mark.parametrize("method", ["prompts/get", "resources/read", "tools/call"])
@pytest.mark.parametrize("member", sorted(MODERN_MEMBERS))
def test_the_legacy_era_has_no_second_round(member: str, method: str) -> None:
    with pytest.raises(MessageFault, match="does not have in this era"):
        read_in(Era.LEGACY, method, {**params_for(method), member: {}})


@pytest.mark.parametrize(("era", "method"), METHODS)
def test_no_method_takes_the_members_of_all_others(era: Era, method: str) -> None:
    every = frozenset[str]().union(*(known.members for known in CLIENT_METHODS.values()))

    for other in sorted(every - CLIENT_METHODS[method].members):
        with pytest.raises(MessageFault, match="does not have"):
            read_in(era, method, {**params_for(method), other: "x"})


@pytest.mark.parametrize(("era", "method"), METHODS_OF_THE_OTHER_ERA)
def test_a_method_of_the_other_era_is_read_like_one_that_nobody_knows(era: Era, method: str) -> None:
    wrong: dict[str, Any] = {"name": "a", "uri": 1, "taskId": [], "level": "loud", "notifications": 1}
    for params in (dict[str, Any](), {"x": 1}, wrong):
        message = read_in(era, method, params)

        assert (message.kind, message.method, message.target) == (Kind.REQUEST, method, None)
        assert message.log_level is None


@pytest.mark.parametrize("era", BOTH_ERAS)
def test_params_of_a_method_that_nobody_knows_are_left_to_the_policy(era: Era) -> None:
    params: dict[str, Any] = {"name": "x", "y": 1, "arguments": {}, "uri": 2, "ref": []}

    message = read_in(era, "Tools/Call", params)

    assert (message.method, message.target) == ("Tools/Call", None)
    assert without(message.params, "_meta") == params


@pytest.mark.parametrize("era", BOTH_ERAS)
@pytest.mark.parametrize("member", sorted(DECIDING_PARAMS))
def test_params_of_a_method_that_nobody_knows_have_no_lookalike_of_what_decides(
    era: Era, member: str
) -> None:
    for other in (member.upper(), member.capitalize(), member.replace("s", "\u017f")):
        if other == member:
            continue
        with pytest.raises(MessageFault) as caught:
            read_in(era, "vendor/search", {other: {}})
        assert (caught.value.reason, caught.value.detail) == (
            Reason.MESSAGE_INVALID,
            f"{other!r} differs by case from a member that decides",
        )


@pytest.mark.parametrize("era", BOTH_ERAS)
@pytest.mark.parametrize("method", ["tools/list", "vendor/search"])
@pytest.mark.parametrize("member", sorted(DECIDING_META))
def test_meta_has_no_lookalike_of_what_decides(era: Era, method: str, member: str) -> None:
    for other in (member.upper(), member.lower(), member.replace("k", "\u212a").replace("s", "\u017f")):
        if other == member:
            continue
        with pytest.raises(MessageFault) as caught:
            read_in(era, method, {"_meta": {other: "debug"}})
        assert (caught.value.reason, caught.value.detail) == (
            Reason.MESSAGE_INVALID,
            f"{other[:80]!r} differs by case from a member that decides",
        )


TASKS = "io.modelcontextprotocol/tasks"


@pytest.mark.parametrize(
    "capabilities",
    [
        pytest.param({"Tasks": {}}, id="tasks with a capital"),
        pytest.param({"TASKS": {}, "tasks": {}}, id="tasks in capitals beside tasks"),
        pytest.param({"ta\u017fks": {}}, id="tasks with a long s"),
        pytest.param({"Extensions": {}}, id="extensions with a capital"),
        pytest.param({"extens\u0131ons": {}}, id="extensions with a dotless i"),
        pytest.param({"IO.modelcontextprotocol/tasks": {}}, id="the extension where capabilities stand"),
        pytest.param(
            {"extensions": {"io.modelcontextprotocol/Tasks": {}}}, id="the extension with a capital"
        ),
        pytest.param({"extensions": {TASKS.upper(): {}}}, id="the extension in capitals"),
        pytest.param(
            {"extensions": {TASKS: {}, "io.modelcontextprotocol/tas\u212as": {}}},
            id="the extension with a kelvin sign beside it",
        ),
    ],
)
def test_what_a_client_says_it_can_do_has_no_lookalike_of_tasks(capabilities: dict[str, Any]) -> None:
    """Else a server that folds case would know of tasks that the policy takes out."""
    for era, method, params in (
        (Era.LEGACY, "initialize", {"capabilities": capabilities}),
        (Era.LEGACY, "tools/list", {"_meta": {CAPABILITIES_KEY: capabilities}}),
        (Era.MODERN, "tools/list", {"_meta": {CAPABILITIES_KEY: capabilities}}),
        (Era.MODERN, "vendor/search", {"_meta": {CAPABILITIES_KEY: capabilities}}),
    ):
        with pytest.raises(MessageFault) as caught:
            read_in(era, method, params)
        assert caught.value.reason is Reason.MESSAGE_INVALID
        assert "differs by case from a member that decides" in caught.value.detail


def test_an_initialize_has_no_lookalike_of_tasks_in_meta_either() -> None:
    for capabilities in ({"Tasks": dict[str, Any]()}, {"extensions": {TASKS.upper(): dict[str, Any]()}}):
        with pytest.raises(MessageFault) as caught:
            read_in(Era.LEGACY, "initialize", {"capabilities": {}, "_meta": {CAPABILITIES_KEY: capabilities}})
        assert caught.value.reason is Reason.MESSAGE_INVALID


@pytest.mark.parametrize(
    "capabilities",
    [
        pytest.param({}, id="nothing"),
        pytest.param({"tasks": {}, "extensions": {TASKS: {}}}, id="tasks"),
        pytest.param({"roots": {"Tasks": 1}, "experimental": {"Extensions": {}}}, id="others' members"),
        pytest.param({"extensions": {"example.com/Tasks": {}}}, id="another's extension"),
        pytest.param({"extensions": ["Tasks"]}, id="a list of extensions"),
        pytest.param({"extensions": None}, id="null for extensions"),
    ],
)
def test_what_else_a_client_says_it_can_do_is_left_to_the_server(capabilities: dict[str, Any]) -> None:
    message = read_in(Era.LEGACY, "initialize", {"capabilities": capabilities})
    assert message.params["capabilities"] == capabilities

    message = read_in(Era.MODERN, "tools/list", {"_meta": {CAPABILITIES_KEY: capabilities}})
    assert message.params["_meta"][CAPABILITIES_KEY] == capabilities


def test_progress_of_a_client_is_unknown_in_the_modern_era() -> None:
    params = {"progressToken": 1, "progress": 1, "vendor": 1}

    assert read_in(Era.MODERN, "notifications/progress", params).target is None
    with pytest.raises(MessageFault, match="does not have"):
        read_in(Era.LEGACY, "notifications/progress", params)


@pytest.mark.parametrize(
    ("raw", "detail"),
    [
        pytest.param(b"9007199254740992", "an integer beyond", id="a long integer"),
        pytest.param(b'"\\ud800"', "an unpaired surrogate", id="an unpaired surrogate"),
    ],
)
def test_what_a_client_sends_is_read_strictly(raw: bytes, detail: str) -> None:
    body = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","arguments":{"x":%s}}}'

    with pytest.raises(Fault, match=detail) as caught:
        read_message(body % raw, LEGACY_HEADERS)

    assert caught.value.reason is Reason.BODY_NOT_STRICT


@pytest.mark.parametrize("era", BOTH_ERAS)
def test_meta_may_have_what_somebody_else_defines(era: Era) -> None:
    meta = {"progressToken": 1, "traceparent": "00-0-0-00", "example.com/Name": "x", "name": "y", "URI": "z"}

    message = read_in(era, "tools/list", {"_meta": meta})

    assert {name: message.params["_meta"][name] for name in meta} == meta


@pytest.mark.parametrize("era", BOTH_ERAS)
@pytest.mark.parametrize("method", ["tools/call", "prompts/get", "vendor/search"])
@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["search"], id="a list"),
        pytest.param("search", id="a text"),
        pytest.param(1, id="a number"),
        pytest.param(True, id="a truth"),
        pytest.param([], id="an empty list"),
        pytest.param("", id="an empty text"),
        pytest.param(0, id="nought"),
        pytest.param(False, id="an untruth"),
    ],
)
def test_arguments_are_an_object(era: Era, method: str, arguments: object) -> None:
    with pytest.raises(MessageFault) as caught:
        read_in(era, method, {"name": "x", "arguments": arguments})

    assert (caught.value.reason, caught.value.detail) == (
        Reason.MESSAGE_INVALID,
        "arguments is not an object",
    )


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param({}, id="none"),
        pytest.param({"Name": 1, "NAME": 2, "_meta": []}, id="members of any name"),
        pytest.param(None, id="null, as some clients say that there are none"),
    ],
)
def test_what_arguments_hold_is_not_read_here(arguments: object) -> None:
    message = read_in(Era.LEGACY, "tools/call", {"name": "x", "arguments": arguments})

    assert message.params["arguments"] == arguments


@pytest.mark.parametrize(
    ("era", "method", "member", "longest"),
    [
        pytest.param(Era.LEGACY, "tools/call", "name", MAX_NAME, id="a tool"),
        pytest.param(Era.MODERN, "tools/call", "name", MAX_NAME, id="a tool in the modern era"),
        pytest.param(Era.LEGACY, "prompts/get", "name", MAX_NAME, id="a prompt"),
        pytest.param(Era.LEGACY, "resources/read", "uri", MAX_URI, id="a resource"),
        pytest.param(Era.MODERN, "resources/read", "uri", MAX_URI, id="a resource in the modern era"),
        pytest.param(Era.LEGACY, "resources/subscribe", "uri", MAX_URI, id="a resource to hear of"),
        pytest.param(Era.LEGACY, "resources/unsubscribe", "uri", MAX_URI, id="one to hear of no more"),
        pytest.param(Era.LEGACY, "tasks/get", "taskId", MAX_HANDLE, id="a task"),
        pytest.param(Era.LEGACY, "tasks/result", "taskId", MAX_HANDLE, id="the result of a task"),
        pytest.param(Era.LEGACY, "tasks/cancel", "taskId", MAX_HANDLE, id="a task to end"),
        pytest.param(Era.MODERN, "tasks/get", "taskId", MAX_HANDLE, id="a task in the modern era"),
        pytest.param(Era.MODERN, "tasks/update", "taskId", MAX_HANDLE, id="a task to answer"),
    ],
)
def test_a_target_may_be_as_long_as_its_bound_and_not_one_character_more(
    era: Era, method: str, member: str, longest: int
) -> None:
    assert read_in(era, method, {member: "é" * longest}).target == "é" * longest
    for value in ("é" * (longest + 1), "", None, 1, ["x"]):
        with pytest.raises(MessageFault) as caught:
            read_in(era, method, {member: value})
        assert (caught.value.reason, caught.value.detail) == (
            Reason.MESSAGE_INVALID,
            f"{member} is not a text of at most {longest} characters",
        )


@pytest.mark.parametrize("era", BOTH_ERAS)
@pytest.mark.parametrize(
    ("reference", "target"),
    [
        pytest.param({"type": "ref/prompt", "name": "greet"}, "greet", id="a prompt"),
        pytest.param(
            {"type": "ref/prompt", "name": "greet", "title": "Greeting"}, "greet", id="a prompt with a title"
        ),
        pytest.param({"type": "ref/prompt", "name": "x" * MAX_NAME}, "x" * MAX_NAME, id="the longest prompt"),
        pytest.param({"type": "ref/resource", "uri": "docs:///{+p}"}, "docs:///{+p}", id="a template"),
        pytest.param({"type": "ref/resource", "uri": "x" * MAX_URI}, "x" * MAX_URI, id="the longest URI"),
    ],
)
def test_a_completion_is_about_what_its_reference_names(
    era: Era, reference: dict[str, Any], target: str
) -> None:
    context: dict[str, Any] = {"arguments": {}}
    params = {"ref": reference, "argument": {"name": "a", "value": "b"}, "context": context}

    assert read_in(era, "completion/complete", params).target == target


def test_mcp_name_says_nothing_about_a_completion() -> None:
    request = modern("completion/complete", {"ref": {"type": "ref/prompt", "name": "greet"}})

    assert read_request(request, {}).target == "greet"
    assert read_request(request, {b"mcp-name": b"other"}).target == "greet"


NO_REFERENCE = "ref is not a reference"
REFERS_TO_NOTHING = "ref names neither one prompt nor one resource"


@pytest.mark.parametrize("era", BOTH_ERAS)
@pytest.mark.parametrize(
    ("reference", "detail"),
    [
        pytest.param(None, NO_REFERENCE, id="null"),
        pytest.param("greet", NO_REFERENCE, id="a text"),
        pytest.param([{"type": "ref/prompt", "name": "greet"}], NO_REFERENCE, id="a list"),
        pytest.param({"type": "ref/prompt", "name": "a", "Name": "b"}, NO_REFERENCE, id="a name in capitals"),
        pytest.param({"type": "ref/prompt", "name": "a", "Type": "b"}, NO_REFERENCE, id="a type in capitals"),
        pytest.param({"type": "ref/prompt", "name": "a", "x": "b"}, NO_REFERENCE, id="a member too many"),
        pytest.param({}, REFERS_TO_NOTHING, id="nothing"),
        pytest.param({"name": "greet"}, REFERS_TO_NOTHING, id="no type"),
        pytest.param({"type": "ref/prompt"}, REFERS_TO_NOTHING, id="no name"),
        pytest.param({"type": "ref/resource"}, REFERS_TO_NOTHING, id="no URI"),
        pytest.param({"type": "ref/prompt", "uri": "a:b"}, REFERS_TO_NOTHING, id="a prompt with a URI"),
        pytest.param({"type": "ref/resource", "name": "a"}, REFERS_TO_NOTHING, id="a resource with a name"),
        pytest.param(
            {"type": "ref/prompt", "name": "a", "uri": "a:b"}, REFERS_TO_NOTHING, id="a prompt with both"
        ),
        pytest.param(
            {"type": "ref/resource", "name": "a", "uri": "a:b"}, REFERS_TO_NOTHING, id="a resource with both"
        ),
        pytest.param({"type": "ref/tool", "name": "a"}, REFERS_TO_NOTHING, id="another type"),
        pytest.param({"type": "REF/PROMPT", "name": "a"}, REFERS_TO_NOTHING, id="the type in capitals"),
        pytest.param({"type": ["ref/prompt"], "name": "a"}, REFERS_TO_NOTHING, id="a list of types"),
        pytest.param({"type": None, "name": "a"}, REFERS_TO_NOTHING, id="null for a type"),
        pytest.param({"type": "ref/prompt", "name": ""}, REFERS_TO_NOTHING, id="an empty name"),
        pytest.param({"type": "ref/prompt", "name": ["a"]}, REFERS_TO_NOTHING, id="a list of names"),
        pytest.param(
            {"type": "ref/prompt", "name": "x" * (MAX_NAME + 1)}, REFERS_TO_NOTHING, id="a name one too long"
        ),
        pytest.param(
            {"type": "ref/resource", "uri": "x" * (MAX_URI + 1)}, REFERS_TO_NOTHING, id="a URI one too long"
        ),
    ],
)
def test_a_completion_of_nothing_or_of_two_things_is_refused(
    era: Era, reference: object, detail: str
) -> None:
    with pytest.raises(MessageFault) as caught:
        read_in(era, "completion/complete", {"ref": reference})

    assert (caught.value.reason, caught.value.detail) == (Reason.MESSAGE_INVALID, detail)


def test_a_completion_without_a_reference_or_an_id_is_refused() -> None:
    with pytest.raises(MessageFault, match=NO_REFERENCE):
        read_in(Era.LEGACY, "completion/complete", {"argument": {}})
    with pytest.raises(MessageFault, match="completion/complete without an id"):
        read(
            {
                "jsonrpc": "2.0",
                "method": "completion/complete",
                "params": {"ref": {"type": "ref/prompt", "name": "a"}},
            }
        )


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param({}, id="for nothing"),
        pytest.param(
            {
                "toolsListChanged": True,
                "promptsListChanged": False,
                "resourcesListChanged": True,
                "resourceSubscriptions": ["docs:///a", "docs:///b"],
                "taskIds": ["t"],
            },
            id="for all that there is",
        ),
        pytest.param(
            {"resourceSubscriptions": ["a:b"] * MAX_SUBSCRIPTIONS}, id="for as many resources as there may be"
        ),
        pytest.param({"taskIds": ["t"] * MAX_SUBSCRIPTIONS}, id="for as many tasks as there may be"),
        pytest.param({"resourceSubscriptions": ["x" * MAX_URI]}, id="for the longest URI"),
        pytest.param({"taskIds": ["x" * MAX_HANDLE]}, id="for the longest task"),
        pytest.param({"resourceSubscriptions": [], "taskIds": []}, id="for empty lists"),
    ],
)
def test_a_subscription_asks_for_what_its_filter_names(asked: dict[str, Any]) -> None:
    message = read_in(Era.MODERN, "subscriptions/listen", {"notifications": asked})

    assert (message.kind, message.target, message.params["notifications"]) == (Kind.REQUEST, None, asked)


NO_FILTER = "notifications is not a filter"
NO_RESOURCES = f"resourceSubscriptions is not a list of at most {MAX_SUBSCRIPTIONS}"
NO_URI = f"resourceSubscriptions holds what is not a text of at most {MAX_URI}"
NO_TASKS = f"taskIds is not a list of at most {MAX_SUBSCRIPTIONS}"
NO_TASK = f"taskIds holds what is not a text of at most {MAX_HANDLE}"


@pytest.mark.parametrize(
    ("asked", "detail"),
    [
        pytest.param(None, NO_FILTER, id="null"),
        pytest.param([], NO_FILTER, id="a list"),
        pytest.param("toolsListChanged", NO_FILTER, id="a text"),
        pytest.param({"x": True}, NO_FILTER, id="something else"),
        pytest.param({"toolslistchanged": True}, NO_FILTER, id="small letters"),
        pytest.param({"ResourceSubscriptions": ["a:b"]}, NO_FILTER, id="capitals"),
        pytest.param({"taskIds": [], "taskids": ["t"]}, NO_FILTER, id="tasks twice in two cases"),
        pytest.param({"resourceSubscriptions": None}, NO_RESOURCES, id="null for resources"),
        pytest.param({"resourceSubscriptions": "a:b"}, NO_RESOURCES, id="a text for resources"),
        pytest.param({"resourceSubscriptions": {"a:b": 1}}, NO_RESOURCES, id="an object for resources"),
        pytest.param(
            {"resourceSubscriptions": ["a:b"] * (MAX_SUBSCRIPTIONS + 1)},
            NO_RESOURCES,
            id="a resource too many",
        ),
        pytest.param({"resourceSubscriptions": ["a:b", ""]}, NO_URI, id="an empty URI"),
        pytest.param({"resourceSubscriptions": ["a:b", 1]}, NO_URI, id="a number for a URI"),
        pytest.param({"resourceSubscriptions": [["a:b"]]}, NO_URI, id="a list in a list"),
        pytest.param({"resourceSubscriptions": ["x" * (MAX_URI + 1)]}, NO_URI, id="a URI one too long"),
        pytest.param({"taskIds": None}, NO_TASKS, id="null for tasks"),
        pytest.param({"taskIds": "t"}, NO_TASKS, id="a text for tasks"),
        pytest.param({"taskIds": ["t"] * (MAX_SUBSCRIPTIONS + 1)}, NO_TASKS, id="a task too many"),
        pytest.param({"taskIds": [""]}, NO_TASK, id="an empty task"),
        pytest.param({"taskIds": ["t", None]}, NO_TASK, id="null for a task"),
        pytest.param({"taskIds": ["x" * (MAX_HANDLE + 1)]}, NO_TASK, id="a task one too long"),
    ],
)
def test_a_subscription_that_another_server_could_read_as_more_is_refused(asked: object, detail: str) -> None:
    with pytest.raises(MessageFault) as caught:
        read_in(Era.MODERN, "subscriptions/listen", {"notifications": asked})

    assert (caught.value.reason, caught.value.detail) == (Reason.MESSAGE_INVALID, detail)


def test_a_subscription_without_a_filter_is_refused() -> None:
    with pytest.raises(MessageFault, match=NO_FILTER):
        read_in(Era.MODERN, "subscriptions/listen", {})


@pytest.mark.parametrize("level", LOG_LEVELS)
def test_a_level_of_log_messages_is_read_from_where_its_era_says_it(level: str) -> None:
    assert read_in(Era.LEGACY, "logging/setLevel", {"level": level}).log_level == level
    for method in ("tools/call", "tools/list", "vendor/search"):
        params = {"name": "x"} if method == "tools/call" else {}
        asked = {**params, "_meta": {LOG_LEVEL_KEY: level}}
        assert read_in(Era.MODERN, method, asked).log_level == level
        assert read_in(Era.LEGACY, method, asked).log_level == level


@pytest.mark.parametrize(
    "level",
    [
        pytest.param("trace", id="a level that there is not"),
        pytest.param("DEBUG", id="a level in capitals"),
        pytest.param(" debug", id="a space before"),
        pytest.param("", id="nothing"),
        pytest.param(7, id="a number"),
        pytest.param(["debug"], id="a list"),
        pytest.param({"level": "debug"}, id="an object"),
        pytest.param(True, id="a truth"),
    ],
)
def test_another_level_of_log_messages_is_none(level: object) -> None:
    faults: list[Fault] = []
    for era, method, params in (
        (Era.LEGACY, "logging/setLevel", {"level": level}),
        (Era.MODERN, "tools/list", {"_meta": {LOG_LEVEL_KEY: level}}),
        (Era.LEGACY, "tools/list", {"_meta": {LOG_LEVEL_KEY: level}}),
    ):
        with pytest.raises(MessageFault) as caught:
            read_in(era, method, params)
        faults.append(caught.value)

    assert [(fault.reason, fault.detail) for fault in faults] == [
        (Reason.PARAMS_INVALID, "not a log level")
    ] * 3


@pytest.mark.parametrize("era", BOTH_ERAS)
def test_who_names_no_level_asks_for_no_log_messages(era: Era) -> None:
    assert read_in(era, "tools/list", {}).log_level is None
    assert read_in(era, "tools/list", {"_meta": {LOG_LEVEL_KEY: None}}).log_level is None


@pytest.mark.parametrize(
    "params", [pytest.param({}, id="no level"), pytest.param({"level": None}, id="null for a level")]
)
def test_setting_the_level_needs_a_level(params: dict[str, Any]) -> None:
    with pytest.raises(MessageFault) as caught:
        read_in(Era.LEGACY, "logging/setLevel", params)

    assert (caught.value.reason, caught.value.detail) == (Reason.PARAMS_INVALID, "not a log level")


def test_the_level_that_is_set_counts_and_not_the_one_in_meta() -> None:
    params = {"level": "error", "_meta": {LOG_LEVEL_KEY: "debug"}}

    assert read_in(Era.LEGACY, "logging/setLevel", params).log_level == "error"


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
def test_another_version_is_not_spoken_and_the_caller_is_told_which_it_can_choose(
    header: bytes, requested: str
) -> None:
    with pytest.raises(MessageFault) as caught:
        read(CALL, {b"mcp-protocol-version": header})

    assert (caught.value.reason, caught.value.message_id) == (Reason.PROTOCOL_VERSION_NOT_SUPPORTED, 1)
    assert caught.value.detail == f"version {requested!r}"
    assert caught.value.denial().told == {"supported": [MODERN], "requested": requested}


@pytest.mark.parametrize(
    ("method", "params", "target"),
    [
        pytest.param("tools/call", {"name": "search_docs"}, "search_docs", id="a call"),
        pytest.param("resources/read", {"uri": "file:///srv/ok.txt"}, "file:///srv/ok.txt", id="a resource"),
        pytest.param("prompts/get", {"name": "greet"}, "greet", id="a prompt"),
        pytest.param("tools/list", {}, None, id="a list"),
        pytest.param("vendor/search", {"name": "x"}, None, id="a method that nobody knows"),
        pytest.param("resources/subscribe", {"uri": "a:b"}, None, id="a method of the other era"),
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


def test_the_task_is_what_mcp_name_must_repeat() -> None:
    request = modern("tasks/get", {"taskId": "t1"})

    assert read_request(request, {b"mcp-name": b"t1"}).target == "t1"
    for other in (None, b"t2"):
        with pytest.raises(MessageFault) as caught:
            read_request(request, {b"mcp-name": other})
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


@pytest.mark.parametrize(
    ("headers", "version"),
    [
        pytest.param({}, None, id="none"),
        pytest.param({b"mcp-protocol-version": b" 2026-07-28\t"}, MODERN, id="the modern one"),
        *(
            pytest.param({b"mcp-protocol-version": version.encode()}, version, id=version)
            for version in LEGACY_VERSIONS
        ),
    ],
)
def test_the_version_is_read_from_the_headers_alone(headers: Headers, version: str | None) -> None:
    assert read_version(headers) == version


def test_a_version_that_is_not_spoken_is_a_fault_without_an_id_where_nothing_has_one() -> None:
    with pytest.raises(Fault) as caught:
        read_version({b"mcp-protocol-version": b"1"})

    assert not isinstance(caught.value, MessageFault)
    assert caught.value.reason is Reason.PROTOCOL_VERSION_NOT_SUPPORTED
    assert caught.value.denial().told == {"supported": [MODERN], "requested": "1"}


def test_a_notification_of_the_modern_era_is_read() -> None:
    headers = {b"mcp-protocol-version": MODERN.encode(), b"mcp-method": b"notifications/cancelled"}
    params = {"requestId": 1, "reason": "x", "_meta": META}

    message = read({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params}, headers)

    assert (message.kind, message.id, message.target, message.is_modern) == (
        Kind.NOTIFICATION,
        None,
        None,
        True,
    )


VALUES: st.SearchStrategy[Any] = st.recursive(
    st.sampled_from([None, True, 0, 1, -1, 1.0, 2**53 - 1, "", "2.0", "x", "tools/call", MODERN, LEGACY]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(
                [
                    *("name", "uri", "taskId", "ref", "type", "level", "arguments", "_meta", "x", "Name"),
                    *("notifications", "taskIds", VERSION_KEY, CAPABILITIES_KEY, LOG_LEVEL_KEY),
                ]
            ),
            inner,
        )
    ),
    max_leaves=6,
)
MESSAGES = st.fixed_dictionaries(
    {"jsonrpc": st.just("2.0"), "method": st.sampled_from(sorted({*CLIENT_METHODS, "x"}))},
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
        assert message.log_level in {None, *LOG_LEVELS}
        known = CLIENT_METHODS.get(message.method)
        if known is not None and (Era.MODERN if message.is_modern else Era.LEGACY) in known.era:
            assert known.members.issuperset(members.get("params", {}))
            if known.target is not None:
                assert message.target == members["params"][known.target.member]
                assert message.kind is Kind.REQUEST
        if message.is_modern and message.kind is not Kind.RESPONSE:
            assert read_header(headers[b"mcp-method"].strip(b" \t")) == message.method
            assert members["params"]["_meta"][VERSION_KEY] == MODERN
