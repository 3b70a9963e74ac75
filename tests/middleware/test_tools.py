import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.support.asgi import Headers, Reply, Spy, call, http_scope
from tests.support.audit import Records
from tests.support.mcp import legacy, modern
from tests.support.tokens import ISSUER
from tunnelgate import (
    Allow,
    AuditLog,
    Deny,
    NeedsScopes,
    Principal,
    Reason,
    ToolAllowlist,
    Verdict,
)
from tunnelgate.asgi import ASGIApp, Message, Receive, Scope, Send
from tunnelgate.exchange import exchange_of
from tunnelgate.reading.message import MAX_NAME, read_message, write_header
from tunnelgate.tools import DEFAULT_MAX_BODY, MessageRules, ToolRules, check_tool_name

ERAS = [pytest.param(legacy, id="legacy"), pytest.param(modern, id="modern")]
NOBODY: frozenset[str] = frozenset()


# Construction


@pytest.mark.parametrize(
    ("tools", "sentence"),
    [
        pytest.param([], "no tool is listed, so every call would be refused", id="no tool at all"),
        pytest.param({}, "no tool is listed, so every call would be refused", id="no tool in a mapping"),
        pytest.param([""], "'' is not a name of 1 to 256 characters", id="an empty name"),
        pytest.param(["x" * (MAX_NAME + 1)], "is not a name of 1 to 256", id="a name that is too long"),
        pytest.param(["*"], r"'\*' is a pattern; list the tools by name", id="a star alone"),
        pytest.param(["read_*"], "is a pattern", id="a star at the end"),
        pytest.param(["read_?"], "is a pattern", id="a question mark"),
        pytest.param(["read_[ab]"], "is a pattern", id="a set of letters"),
        pytest.param(["search_docs", "*"], r"'\*' is a pattern", id="a pattern among names"),
        pytest.param({"*": ["docs:read"]}, "is a pattern", id="a pattern with a scope"),
        pytest.param("search_docs", "text", id="one text in place of a list"),
        pytest.param({"search_docs": "docs:read"}, "text", id="one text in place of a list of scopes"),
    ],
)
def test_tools_that_cannot_be_meant_are_refused_at_construction(tools: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        ToolAllowlist(Spy(), tools=tools)


@pytest.mark.parametrize("name", ["a", "x" * MAX_NAME, "search_docs", "größe", "a b", "a/b", "a.b:c-d"])
def test_a_plain_name_of_any_script_can_be_listed(name: str) -> None:
    check_tool_name(name)

    assert ToolRules([name]).decide(name, NOBODY) == Allow()


def test_tools_that_are_added_afterwards_are_not_listed() -> None:
    tools: dict[str, list[str]] = {"search_docs": []}
    rules = ToolRules(tools)
    tools["drop_docs"] = []

    assert rules.decide("drop_docs", NOBODY) == Deny(Reason.TOOL_NOT_ALLOWED)


# Deciding

ALLOWED = Allow()
UNKNOWN = Deny(Reason.TOOL_NOT_ALLOWED)
RULES = ToolRules({"open": [], "read": ["docs:read"], "drop": ["docs:read", "docs:admin"]})


@pytest.mark.parametrize(
    ("name", "granted", "verdict"),
    [
        pytest.param("open", [], ALLOWED, id="a tool that needs no scope"),
        pytest.param("open", ["other"], ALLOWED, id="a tool that needs no scope, with one"),
        pytest.param("read", ["docs:read"], ALLOWED, id="the scope that the tool needs"),
        pytest.param("read", ["other", "docs:read"], ALLOWED, id="more than the tool needs"),
        pytest.param("read", [], NeedsScopes(("docs:read",)), id="no scope"),
        pytest.param("read", ["docs:admin"], NeedsScopes(("docs:read",)), id="another scope"),
        pytest.param("read", ["docs:read:all"], NeedsScopes(("docs:read",)), id="a scope that begins so"),
        pytest.param("read", ["DOCS:READ"], NeedsScopes(("docs:read",)), id="the scope in capitals"),
        pytest.param("drop", ["docs:admin"], NeedsScopes(("docs:read", "docs:admin")), id="one scope of two"),
        pytest.param("drop", ["docs:admin", "docs:read"], ALLOWED, id="both scopes"),
        pytest.param("delete", ["docs:read", "docs:admin"], UNKNOWN, id="a tool that is not listed"),
        pytest.param("OPEN", [], UNKNOWN, id="a listed name in capitals"),
        pytest.param("open ", [], UNKNOWN, id="a listed name and a space"),
        pytest.param("ope\u0301n", [], UNKNOWN, id="a listed name with an accent"),
        pytest.param("\uff4fpen", [], UNKNOWN, id="a listed name with a wide letter"),
        pytest.param("\u043epen", [], UNKNOWN, id="a listed name with a letter of another script"),
        pytest.param("open\x00drop", [], UNKNOWN, id="a listed name, a NUL and another"),
        pytest.param("ope", [], UNKNOWN, id="a part of a listed name"),
        pytest.param("", [], UNKNOWN, id="no name"),
        pytest.param("*", [], UNKNOWN, id="a star"),
    ],
)
def test_a_tool_may_be_called_when_it_is_listed_and_its_scopes_were_granted(
    name: str, granted: list[str], verdict: Verdict
) -> None:
    assert RULES.decide(name, frozenset(granted)) == verdict


@pytest.mark.parametrize(
    ("name", "listed"),
    [
        pytest.param("open", True, id="a tool that may be called"),
        pytest.param("read", True, id="a tool that only needs a scope"),
        pytest.param("delete", False, id="a tool that is not listed"),
    ],
)
def test_a_tool_that_only_needs_a_wider_token_stays_visible(name: str, listed: bool) -> None:  # noqa: FBT001
    assert RULES.is_listed(name, NOBODY) is listed


REQUEST = '{"jsonrpc":"2.0","id":1,"method":"%s","params":{}}'
NOTIFICATION = '{"jsonrpc":"2.0","method":"%s"}'


@pytest.mark.parametrize(
    ("body", "verdict"),
    [
        pytest.param(REQUEST % "initialize", ALLOWED, id="initialize"),
        pytest.param(REQUEST % "ping", ALLOWED, id="ping"),
        pytest.param(REQUEST % "server/discover", ALLOWED, id="server/discover"),
        pytest.param(REQUEST % "tools/list", ALLOWED, id="tools/list"),
        pytest.param(NOTIFICATION % "notifications/initialized", ALLOWED, id="notifications/initialized"),
        pytest.param(NOTIFICATION % "notifications/cancelled", ALLOWED, id="notifications/cancelled"),
        pytest.param(NOTIFICATION % "notifications/progress", ALLOWED, id="notifications/progress"),
        *(
            pytest.param(
                REQUEST % method, Deny(Reason.METHOD_NOT_ALLOWED, method), id=f"the request {method}"
            )
            for method in (
                "prompts/list",
                "resources/list",
                "completion/complete",
                "logging/setLevel",
                "sampling/createMessage",
                "tasks/get",
                "tools/List",
                "tools/list ",
                "notifications/initialized",
                "evil",
            )
        ),
        *(
            pytest.param(
                NOTIFICATION % method,
                Deny(Reason.NOTIFICATION_NOT_ALLOWED, method),
                id=f"the notification {method}",
            )
            for method in ("notifications/evil", "initialize", "tools/list", "ping")
        ),
        pytest.param(
            '{"jsonrpc":"2.0","id":7,"result":{"action":"accept"}}',
            Deny(Reason.RESPONSE_NOT_EXPECTED),
            id="a response with a result",
        ),
        pytest.param(
            '{"jsonrpc":"2.0","id":7,"error":{"code":1,"message":"x"}}',
            Deny(Reason.RESPONSE_NOT_EXPECTED),
            id="a response with an error",
        ),
        pytest.param(
            '{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":"file:///srv/ok/../../etc/shadow"}}',
            Deny(Reason.METHOD_NOT_ALLOWED, "resources/read"),
            id="the content of a resource",
        ),
        pytest.param(
            '{"jsonrpc":"2.0","id":1,"method":"prompts/get","params":{"name":"open"}}',
            Deny(Reason.METHOD_NOT_ALLOWED, "prompts/get"),
            id="a prompt that has the name of a listed tool",
        ),
        pytest.param(
            '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"open"}}', ALLOWED, id="a call"
        ),
        pytest.param(
            '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"delete"}}',
            UNKNOWN,
            id="another call",
        ),
    ],
)
def test_a_message_passes_only_when_the_protocol_needs_it_or_its_tool_is_listed(
    body: str, verdict: Verdict
) -> None:
    message = read_message(body.encode(), {})

    assert MessageRules(RULES).decide(message, NOBODY) == verdict


# Asking: the classes of attacks on what a message means

CALL = '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":%s}'
SAFE = CALL % '{"name":"safe_tool","arguments":{}}'
DANGER = CALL % '{"name":"danger_tool","arguments":{}}'


@pytest.mark.parametrize(
    ("body", "status", "code", "reason"),
    [
        pytest.param(DANGER, 200, -32602, Reason.TOOL_NOT_ALLOWED, id="a tool that is not listed"),
        pytest.param(
            CALL % '{"n\\u0061me":"danger_tool"}',
            200,
            -32602,
            Reason.TOOL_NOT_ALLOWED,
            id="an escaped member",
        ),
        pytest.param(
            DANGER.replace("tools/call", "tools\\/call"),
            200,
            -32602,
            Reason.TOOL_NOT_ALLOWED,
            id="escaped solidus",
        ),
        pytest.param(
            CALL % '{"name":"safe_tool\\u0000danger_tool"}', 200, -32602, Reason.TOOL_NOT_ALLOWED, id="a NUL"
        ),
        pytest.param(
            CALL % '{"name":"\uff44anger_tool"}', 200, -32602, Reason.TOOL_NOT_ALLOWED, id="a wide letter"
        ),
        pytest.param(
            CALL % '{"name":"s\u0430fe_tool"}',
            200,
            -32602,
            Reason.TOOL_NOT_ALLOWED,
            id="a letter of another script",
        ),
        pytest.param(CALL % '{"name":"SAFE_TOOL"}', 200, -32602, Reason.TOOL_NOT_ALLOWED, id="capitals"),
        pytest.param(
            CALL % '{"name":"safe_tool\\r\\nALLOW danger_tool"}',
            200,
            -32602,
            Reason.TOOL_NOT_ALLOWED,
            id="a line end",
        ),
        pytest.param(
            CALL % '{"name":"\\u001b[2Jsafe_tool"}', 200, -32602, Reason.TOOL_NOT_ALLOWED, id="an ANSI escape"
        ),
        pytest.param(
            CALL % f'{{"name":"{"a" * MAX_NAME}"}}',
            200,
            -32602,
            Reason.TOOL_NOT_ALLOWED,
            id="the longest name",
        ),
        pytest.param(
            CALL % f'{{"name":"{"a" * (MAX_NAME + 1)}"}}',
            400,
            -32600,
            Reason.MESSAGE_INVALID,
            id="a longer name",
        ),
        pytest.param(
            CALL % '{"name":"safe_tool","name":"danger_tool"}',
            400,
            -32600,
            Reason.BODY_NOT_STRICT,
            id="two names",
        ),
        pytest.param(
            CALL % '{"name":"safe_tool","n\\u0061me":"danger_tool"}',
            400,
            -32600,
            Reason.BODY_NOT_STRICT,
            id="two names, one escaped",
        ),
        pytest.param(
            SAFE[:-1] + ',"params":{"name":"danger_tool"}}',
            400,
            -32600,
            Reason.BODY_NOT_STRICT,
            id="two params",
        ),
        pytest.param(
            '{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/call","params":{"name":"danger_tool"}}',
            400,
            -32600,
            Reason.BODY_NOT_STRICT,
            id="two methods",
        ),
        pytest.param(
            SAFE[:-1] + ',"PARAMS":{"name":"danger_tool"}}', 400, -32600, Reason.MESSAGE_INVALID, id="PARAMS"
        ),
        pytest.param(
            SAFE[:-1] + ',"Method":"ping"}', 400, -32600, Reason.MESSAGE_INVALID, id="Method beside method"
        ),
        pytest.param(
            SAFE[:-1] + ',"param\u017f":{"name":"danger_tool"}}',
            400,
            -32600,
            Reason.MESSAGE_INVALID,
            id="a long s",
        ),
        pytest.param(DANGER.upper(), 400, -32600, Reason.MESSAGE_INVALID, id="everything in capitals"),
        pytest.param(
            CALL % '{"name":"safe_tool","__proto__":{"name":"danger_tool"}}',
            400,
            -32600,
            Reason.MESSAGE_INVALID,
            id="a prototype",
        ),
        pytest.param(CALL % '["danger_tool",{}]', 400, -32600, Reason.MESSAGE_INVALID, id="params in a list"),
        pytest.param(
            CALL % '{"name":["safe_tool"]}', 400, -32600, Reason.MESSAGE_INVALID, id="a list of names"
        ),
        pytest.param(CALL % "{}", 400, -32600, Reason.MESSAGE_INVALID, id="no name"),
        pytest.param(CALL % '{"name":""}', 400, -32600, Reason.MESSAGE_INVALID, id="an empty name"),
        pytest.param(f"[{SAFE},{DANGER}]", 400, -32600, Reason.MESSAGE_INVALID, id="a batch"),
        pytest.param(
            SAFE.replace('"id":1,', ""), 400, -32600, Reason.MESSAGE_INVALID, id="a listed tool without an id"
        ),
        pytest.param(
            SAFE.replace('"id":1', '"id":null'), 400, -32600, Reason.MESSAGE_INVALID, id="a null id"
        ),
        pytest.param(
            SAFE.replace('"id":1', '"id":true'), 400, -32600, Reason.MESSAGE_INVALID, id="a true id"
        ),
        pytest.param(
            SAFE.replace('"id":1', '"id":1.5'), 400, -32600, Reason.MESSAGE_INVALID, id="half an id"
        ),
        pytest.param(
            SAFE.replace('"id":1', '"id":9007199254740993'),
            400,
            -32600,
            Reason.BODY_NOT_STRICT,
            id="a huge id",
        ),
        pytest.param(SAFE[:-1] + ',"x":1}', 400, -32600, Reason.MESSAGE_INVALID, id="an unknown member"),
        pytest.param(
            SAFE[:-1] + ',"result":{}}', 400, -32600, Reason.MESSAGE_INVALID, id="a method and a result"
        ),
        pytest.param("null", 400, -32600, Reason.MESSAGE_INVALID, id="null"),
        pytest.param('"tools/call"', 400, -32600, Reason.MESSAGE_INVALID, id="a text"),
        pytest.param("", 400, -32700, Reason.BODY_NOT_JSON, id="nothing"),
        pytest.param(SAFE + DANGER, 400, -32700, Reason.BODY_NOT_JSON, id="two objects"),
        pytest.param(SAFE + "\n" + DANGER, 400, -32700, Reason.BODY_NOT_JSON, id="two lines"),
        pytest.param(SAFE + "\x00", 400, -32700, Reason.BODY_NOT_JSON, id="a NUL at the end"),
        pytest.param("\x0c" + SAFE, 400, -32700, Reason.BODY_NOT_JSON, id="a form feed"),
        pytest.param(
            "\u00a0" + SAFE, 400, -32700, Reason.BODY_NOT_JSON, id="a space that JSON does not know"
        ),
        pytest.param(
            CALL % '{"name":"safe_tool",}', 400, -32700, Reason.BODY_NOT_JSON, id="a comma too much"
        ),
        pytest.param(
            CALL % '{"name":"safe_tool","arguments":{"x":-Infinity}}',
            400,
            -32700,
            Reason.BODY_NOT_JSON,
            id="an infinity",
        ),
        pytest.param("\ufeff" + SAFE, 400, -32700, Reason.BODY_NOT_JSON, id="a byte order mark"),
        pytest.param(b'{"jsonrpc":"2.0","id":"\xff"}', 400, -32700, Reason.BODY_NOT_JSON, id="no UTF-8"),
        pytest.param(SAFE.encode("utf-32"), 400, -32700, Reason.BODY_NOT_JSON, id="UTF-32"),
        pytest.param(b"\x1f\x8b\x08\x00", 400, -32700, Reason.BODY_NOT_JSON, id="gzip without saying so"),
        pytest.param(
            REQUEST % "sampling/createMessage",
            200,
            -32601,
            Reason.METHOD_NOT_ALLOWED,
            id="a method of servers",
        ),
        pytest.param(
            DANGER.replace("tools", "Tools"), 200, -32601, Reason.METHOD_NOT_ALLOWED, id="Tools/call"
        ),
    ],
)
@pytest.mark.anyio
async def test_a_message_with_two_meanings_or_without_leave_reaches_nothing(
    body: str | bytes, status: int, code: int, reason: Reason
) -> None:
    spy, records = Spy(), Records()
    app = AuditLog(ToolAllowlist(spy, tools=["safe_tool"]), sink=records)
    octets = body if isinstance(body, bytes) else body.encode()

    reply = await call(app, http_scope(headers=legacy("ping")[0]), octets)

    assert (reply.status, reply.json()["error"]["code"]) == (status, code)
    assert [("deny", reason)] == records.verdicts
    assert spy.scopes == []


@pytest.mark.promise("judged-is-sent")
@pytest.mark.parametrize(
    "body",
    [
        pytest.param(SAFE, id="as clients write it"),
        pytest.param("\r\n\t " + SAFE + "\n", id="with white space around it"),
        pytest.param(SAFE.replace(":", " : ").replace(",", " ,\n"), id="with white space in it"),
        pytest.param(
            SAFE.replace("name", "n\\u0061me").replace("tools/call", "tools\\/call"), id="with escapes"
        ),
    ],
)
@pytest.mark.anyio
async def test_what_passes_on_is_the_canonical_form_and_not_what_came(body: str) -> None:
    spy = Spy()

    reply = await call(
        ToolAllowlist(spy, tools=["safe_tool"]), http_scope(headers=legacy("ping")[0]), body.encode()
    )

    assert reply.status == 200
    assert spy.bodies == [SAFE.encode()]
    assert spy.seen_headers["content-length"] == str(len(SAFE))


def _all_headers(spy: Spy) -> list[tuple[str, str]]:
    (scope,) = spy.scopes
    return [(name.decode(), value.decode("latin-1")) for name, value in scope["headers"]]


@pytest.mark.promise("judged-is-sent")
@pytest.mark.anyio
async def test_headers_that_repeat_or_frame_the_body_are_written_anew_from_it() -> None:
    spy = Spy()
    headers, body = modern("tools/call", {"name": "größe"})
    kept = [pair for pair in headers if pair[0] not in ("content-type", "mcp-name", "mcp-method")]
    sent = [
        *kept,
        ("content-type", 'application/json; x="; charset=utf-7; y="'),
        ("mcp-method", "=?base64?dG9vbHMvY2FsbA==?="),
        ("mcp-name", write_header("größe").decode()),
        ("transfer-encoding", "chunked"),
        ("accept-encoding", "gzip"),
    ]

    reply = await call(ToolAllowlist(spy, tools=["größe"]), http_scope(headers=sent), body)

    assert reply.status == 200
    assert _all_headers(spy) == [
        *kept,
        ("accept-encoding", "identity"),
        ("content-type", "application/json"),
        ("content-length", str(len(body))),
        ("mcp-method", "tools/call"),
        ("mcp-name", "=?base64?Z3LDtsOfZQ==?="),
    ]


@pytest.mark.anyio
async def test_in_the_legacy_era_headers_that_only_seem_to_repeat_the_body_do_not_pass_on() -> None:
    spy = Spy()
    headers, body = legacy("tools/call", {"name": "safe_tool"})
    sent = [*headers, ("mcp-method", "tools/call"), ("mcp-name", "danger_tool"), ("content-length", "1")]

    reply = await call(ToolAllowlist(spy, tools=["safe_tool"]), http_scope(headers=sent), body)

    assert reply.status == 200
    assert _all_headers(spy) == [
        *[pair for pair in headers if pair[0] != "content-type"],
        ("accept-encoding", "identity"),
        ("content-type", "application/json"),
        ("content-length", str(len(body))),
    ]


@pytest.mark.anyio
async def test_a_modern_request_without_a_target_names_none() -> None:
    spy = Spy()
    headers, body = modern("ping")

    await call(
        ToolAllowlist(spy, tools=["safe_tool"]), http_scope(headers=[*headers, ("mcp-name", "x")]), body
    )

    assert spy.seen_headers["mcp-method"] == "ping"
    assert "mcp-name" not in spy.seen_headers


@pytest.mark.anyio
async def test_the_scope_that_came_is_left_as_it_was() -> None:
    headers, body = legacy("tools/call", {"name": "safe_tool"})
    scope = http_scope(headers=headers)
    before = list(scope["headers"])

    await call(ToolAllowlist(Spy(), tools=["safe_tool"]), scope, body)

    assert scope["headers"] == before


@pytest.mark.anyio
async def test_after_the_body_the_application_sees_what_else_happens() -> None:
    headers, body = legacy("tools/call", {"name": "safe_tool"})
    seen: list[Message] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        seen.extend([await receive(), await receive()])
        await Spy()(scope, receive, send)

    await call(ToolAllowlist(application, tools=["safe_tool"]), http_scope(headers=headers), body)

    assert seen == [
        {"type": "http.request", "body": body, "more_body": False},
        {"type": "http.disconnect"},
    ]


def _padded(octets: int) -> bytes:
    body = (CALL % '{"name":"safe_tool","arguments":{"x":""}}').encode()
    return body.replace(b'""', b'"' + b"x" * (octets - len(body)) + b'"')


@pytest.mark.parametrize(
    ("octets", "max_body", "status"),
    [
        pytest.param(500, 500, 200, id="as large as it may be"),
        pytest.param(501, 500, 413, id="one octet larger"),
        pytest.param(DEFAULT_MAX_BODY, DEFAULT_MAX_BODY, 200, id="the default bound"),
        pytest.param(DEFAULT_MAX_BODY + 1, DEFAULT_MAX_BODY, 413, id="one octet more than the default"),
    ],
)
@pytest.mark.anyio
async def test_a_body_is_bounded_however_it_comes(octets: int, max_body: int, status: int) -> None:
    body = _padded(octets)
    assert (len(body), DEFAULT_MAX_BODY) == (octets, 1024 * 1024)
    for chunks in ([body], [body[:100], body[100:-1], body[-1:]], [body, b"", b""]):
        spy = Spy()
        app = ToolAllowlist(spy, tools=["safe_tool"], max_body=max_body)

        reply = await call(app, http_scope(headers=legacy("ping")[0]), chunks)

        assert reply.status == status
        assert spy.bodies == ([body] if status == 200 else [])


@pytest.mark.anyio
async def test_a_name_that_comes_octet_by_octet_is_read_whole() -> None:
    spy = Spy()

    reply = await call(
        ToolAllowlist(spy, tools=["safe_tool"]),
        http_scope(headers=legacy("ping")[0]),
        [bytes([octet]) for octet in DANGER.encode()],
    )

    assert (reply.json()["error"]["code"], spy.scopes) == (-32602, [])


@pytest.mark.parametrize(
    ("method", "headers", "status", "reason"),
    [
        pytest.param("GET", [], 405, Reason.STREAM_NOT_OFFERED, id="a stream"),
        pytest.param("DELETE", [], 405, Reason.STREAM_NOT_OFFERED, id="the end of a session"),
        pytest.param(
            "POST", [("content-type", "text/plain")], 415, Reason.MEDIA_TYPE_NOT_ALLOWED, id="a text"
        ),
        pytest.param(
            "POST",
            [("content-type", "multipart/form-data; boundary=x")],
            415,
            Reason.MEDIA_TYPE_NOT_ALLOWED,
            id="a form with parts",
        ),
        pytest.param("POST", [], 415, Reason.MEDIA_TYPE_NOT_ALLOWED, id="no media type"),
        pytest.param(
            "POST",
            [("content-type", "application/json"), ("content-encoding", "gzip, identity")],
            415,
            Reason.CONTENT_ENCODING_NOT_ALLOWED,
            id="a compressed body",
        ),
        pytest.param(
            "POST",
            [("content-type", "application/json"), ("mcp-name", "a"), ("mcp-name", "b")],
            400,
            Reason.HEADER_DUPLICATED,
            id="two names in headers",
        ),
        pytest.param(
            "POST",
            [("content-type", "application/json"), ("content-type", "application/json")],
            400,
            Reason.HEADER_DUPLICATED,
            id="two media types",
        ),
    ],
)
@pytest.mark.anyio
async def test_used_alone_the_layer_refuses_what_is_not_one_json_post(
    method: str, headers: Headers, status: int, reason: Reason
) -> None:
    spy, records = Spy(), Records()
    app = AuditLog(ToolAllowlist(spy, tools=["safe_tool"]), sink=records)

    reply = await call(app, http_scope(method, headers=headers), SAFE.encode())

    assert reply.status == status
    assert isinstance(reply.json()["error"], str)
    assert [("deny", reason)] == records.verdicts
    assert spy.scopes == []


@pytest.mark.parametrize(
    "value",
    [
        "application/json",
        'Application/JSON ; charset="UTF-8"',
        "application/json;charset=utf-8",
        "application/json;",
    ],
)
@pytest.mark.anyio
async def test_json_may_be_announced_in_every_way_that_means_utf_8(value: str) -> None:
    spy = Spy()

    reply = await call(
        ToolAllowlist(spy, tools=["safe_tool"]), http_scope(headers=[("content-type", value)]), SAFE.encode()
    )

    assert (reply.status, len(spy.scopes)) == (200, 1)


@pytest.mark.promise("hidden-equals-absent")
@pytest.mark.parametrize("era", ERAS)
@pytest.mark.anyio
async def test_an_unlisted_tool_that_exists_is_answered_like_one_that_does_not(era: Any) -> None:
    app = ToolAllowlist(Spy(), tools=["safe_tool"])
    replies: list[Reply] = []
    for name in ("danger_tool", "no_such_tool"):
        headers, body = era("tools/call", {"name": name})
        replies.append(await call(app, http_scope(headers=headers), body))

    first, second = (
        reply.body.replace((reply.header("x-request-id") or "").encode(), b"-").replace(name, b"-")
        for reply, name in zip(replies, (b"danger_tool", b"no_such_tool"), strict=True)
    )
    assert first == second
    assert [reply.status for reply in replies] == [200, 200]


# Listing

SCOPES = ["a", "b", "c"]
LETTERS = st.sampled_from(["a", "A", "b", "_", "é", "e\u0301", "ﬁ", "\u0430", " ", "\n"])
NAMES = st.lists(LETTERS, min_size=1, max_size=2).map("".join)
LISTED = st.lists(LETTERS | st.sampled_from(["*", "?"]), max_size=3).map("".join)


def _as_alice(app: ASGIApp, granted: frozenset[str]) -> ASGIApp:
    async def authenticated(scope: Scope, receive: Receive, send: Send) -> None:
        exchange_of(scope).principal = Principal(ISSUER, "alice", "agent", granted, {})
        await app(scope, receive, send)

    return authenticated


def _ask(app: ASGIApp, era: Any, method: str, params: dict[str, Any] | None = None) -> Reply:
    headers, body = era(method, params)
    sent = [
        (name, write_header((params or {})["name"]).decode() if name == "mcp-name" else value)
        for name, value in headers
    ]
    return asyncio.run(call(app, http_scope(headers=sent), body))


def _in_json(message: bytes) -> Spy:
    return Spy(message)


def _in_a_stream(message: bytes) -> Spy:
    return Spy(b": hello\n\nevent: message\ndata: " + message + b"\n\n", content_type="text/event-stream")


def _listed(reply: Reply) -> list[str]:
    assert reply.status == 200
    if (reply.header("content-type") or "") == "application/json":
        return [tool["name"] for tool in reply.json()["result"]["tools"]]
    *_, data = (line for line in reply.body.split(b"\n") if line.startswith(b"data: "))
    return [tool["name"] for tool in json.loads(data.removeprefix(b"data: "))["result"]["tools"]]


def _exists(reply: Reply) -> bool:
    """Return whether the answer to a call says, in one way or another, that there is such a tool."""
    error = reply.json().get("error")
    return not (isinstance(error, dict) and error["code"] in (-32600, -32602))


@pytest.mark.promise("listed-equals-callable")
@given(
    policy=st.dictionaries(NAMES, st.sets(st.sampled_from(SCOPES)), min_size=1, max_size=5),
    granted=st.frozensets(st.sampled_from(SCOPES)),
    upstream=st.lists(LISTED, max_size=6),
    more=st.booleans(),
    era=st.sampled_from([legacy, modern]),
    form=st.sampled_from([_in_json, _in_a_stream]),
)
@example(
    policy={"a": {"a"}, "b": set()},
    granted=frozenset(),
    upstream=["a", "b", "A"],
    more=True,
    era=legacy,
    form=_in_json,
)
def test_what_is_listed_is_exactly_what_can_be_called(
    policy: Mapping[str, set[str]],
    granted: frozenset[str],
    upstream: list[str],
    more: bool,  # noqa: FBT001
    era: Any,
    form: Callable[[bytes], Spy],
) -> None:
    entries = [*upstream, *policy] if more else upstream
    result = {"tools": [{"name": name, "inputSchema": {"type": "object"}} for name in entries]}
    listing = _as_alice(
        ToolAllowlist(form(orjson.dumps({"jsonrpc": "2.0", "id": 1, "result": result})), tools=policy),
        granted,
    )
    calling = _as_alice(ToolAllowlist(Spy(), tools=policy), granted)

    listed = _listed(_ask(listing, era, "tools/list"))

    callable_names = [name for name in entries if _exists(_ask(calling, era, "tools/call", {"name": name}))]
    assert listed == callable_names


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("form", [_in_json, _in_a_stream])
@pytest.mark.anyio
async def test_a_list_keeps_all_but_the_names_that_the_caller_may_not_see(
    era: Any, form: Callable[[bytes], Spy]
) -> None:
    tools: list[Any] = [
        {"name": name, "title": name.upper(), "inputSchema": {}}
        for name in ("read", "drop", "delete", "open")
    ]
    result: dict[str, Any] = {"tools": tools, "nextCursor": "2", "ttlMs": 1, "cacheScope": "public"}
    app = ToolAllowlist(
        form(orjson.dumps({"jsonrpc": "2.0", "id": 1, "result": result})),
        tools={"open": [], "read": ["docs:read"]},
    )
    headers, body = era("tools/list", {"cursor": "1"})

    reply = await call(app, http_scope(headers=headers), body)

    expected: dict[str, Any] = {
        "tools": [tools[0], tools[3]],
        "nextCursor": "2",
        "ttlMs": 1,
        "cacheScope": "private",
    }
    content = orjson.dumps({"jsonrpc": "2.0", "id": 1, "result": expected})
    assert reply.body == (
        content if form is _in_json else b": hello\n\nevent: message\ndata: " + content + b"\n\n"
    )


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.anyio
async def test_a_tool_that_needs_another_scope_is_answered_with_the_whole_challenge(era: Any) -> None:
    spy, records = Spy(), Records()
    app = AuditLog(
        _as_alice(ToolAllowlist(spy, tools={"drop": ["docs:admin", "docs:read"]}), frozenset({"docs:read"})),
        sink=records,
    )
    headers, body = era("tools/call", {"name": "drop"})

    reply = await call(app, http_scope(headers=headers), body)

    assert (reply.status, reply.json()) == (403, {"error": "insufficient_scope"})
    assert (
        reply.header("www-authenticate") == 'Bearer error="insufficient_scope", scope="docs:admin docs:read"'
    )
    assert records.verdicts == [("deny", Reason.SCOPE_MISSING)]
    assert records.all[0]["detail"] == "docs:admin docs:read"
    assert records.all[0]["target"] == "drop"
    assert spy.scopes == []


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.anyio
async def test_an_answer_to_something_else_than_a_list_is_not_filtered(era: Any) -> None:
    message = b'{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"danger_tool"}]}}'
    headers, body = era("tools/call", {"name": "safe_tool"})

    reply = await call(ToolAllowlist(Spy(message), tools=["safe_tool"]), http_scope(headers=headers), body)

    assert reply.body == message
