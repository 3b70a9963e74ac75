import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.support.asgi import Headers, Reply, Spy, call, http_scope
from tests.support.audit import FullDisk, Records
from tests.support.mcp import legacy, modern
from tests.support.proxied import Client, let_pass, nothing_left, until
from tests.support.tokens import ISSUER
from tunnelgate import AuditLog, Broken, Principal, Reason, Requirement, Sealer, ToolAllowlist
from tunnelgate.asgi import ASGIApp, Message, Receive, Scope, Send
from tunnelgate.calls import CANCELLED_AFTER, Calls
from tunnelgate.exchange import exchange_of
from tunnelgate.handles import Handles, Origin, Task
from tunnelgate.handover import Handover
from tunnelgate.reading.fault import Fault
from tunnelgate.reading.message import read_message
from tunnelgate.reading.methods import MAX_NAME
from tunnelgate.reading.mirrored import write_header
from tunnelgate.refusal import refuse
from tunnelgate.tools import DEFAULT_MAX_BODY
from tunnelgate.verdict import Verdict

ERAS = [pytest.param(legacy, id="legacy"), pytest.param(modern, id="modern")]


# Construction


@pytest.mark.parametrize(
    ("listed", "sentence"),
    [
        pytest.param({}, "nothing is listed, so everything would be refused", id="nothing at all"),
        pytest.param({"tools": []}, "nothing is listed, so everything", id="no tool"),
        pytest.param({"tools": {}}, "nothing is listed, so everything", id="no tool in a mapping"),
        pytest.param(
            {"prompts": [], "resources": ()}, "nothing is listed", id="neither prompts nor resources"
        ),
        pytest.param({"log_level": "info", "tasks": True}, "nothing is listed", id="settings alone"),
        pytest.param(
            {"tools": ["read_*"]}, "'read_\\*' is a pattern; list the names", id="a pattern of tools"
        ),
        pytest.param({"prompts": ["*"]}, "is a pattern; list the names", id="a pattern of prompts"),
        pytest.param({"resources": ["docs:///*"]}, "is a pattern; write a URI", id="a pattern of resources"),
        pytest.param({"methods": ["acme/*"]}, "is a pattern; list the methods", id="a pattern of methods"),
        pytest.param(
            {"methods": ["tools/call"]}, "is a method of the protocol", id="a method of the protocol"
        ),
        pytest.param({"tools": "search_docs"}, "text where a list", id="one text in place of tools"),
        pytest.param({"prompts": "review"}, "text where a list", id="one text in place of prompts"),
        pytest.param({"resources": "docs:///a"}, "text where a list", id="one text in place of resources"),
        pytest.param({"tools": {"a": "docs:read"}}, "text", id="one text in place of a list of scopes"),
        pytest.param({"tools": "*"}, "set allow_all_tools as well", id="every tool without a second word"),
        pytest.param({"tools": ["a"], "log_level": "loud"}, "level", id="a level that there is not"),
    ],
)
def test_what_cannot_be_meant_is_refused_at_construction(listed: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        ToolAllowlist(Spy(), **listed)


@pytest.mark.anyio
async def test_every_tool_can_be_called_where_all_are_allowed() -> None:
    spy = Spy()
    app = ToolAllowlist(spy, tools="*", allow_all_tools=True)

    for name in ("safe_tool", "tomorrow's tool"):
        headers, body = legacy("tools/call", {"name": name})
        assert (await call(app, http_scope(headers=headers), body)).status == 200
    headers, body = legacy("prompts/get", {"name": "safe_tool"})
    reply = await call(app, http_scope(headers=headers), body)

    assert reply.json()["error"]["code"] == -32601
    assert len(spy.bodies) == 2


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
            '{"jsonrpc":"2.0","id":1,"method":"sampling/createMessage","params":{}}',
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
    headers, body = modern("tools/list")

    await call(
        ToolAllowlist(spy, tools=["safe_tool"]), http_scope(headers=[*headers, ("mcp-name", "x")]), body
    )

    assert spy.seen_headers["mcp-method"] == "tools/list"
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
        *(
            pytest.param(method, [], 405, Reason.STREAM_NOT_OFFERED, id=method)
            for method in ("HEAD", "OPTIONS", "PUT", "PATCH", "TRACE", "get", "")
        ),
        *(
            pytest.param(
                method,
                [("mcp-protocol-version", "2026-07-28")],
                405,
                Reason.STREAM_NOT_OFFERED,
                id=f"{method} of the modern era",
            )
            for method in ("GET", "DELETE")
        ),
        *(
            pytest.param(
                method,
                [(name, "a"), (name, "a")],
                400,
                Reason.HEADER_DUPLICATED,
                id=f"{method} with two of {name}",
            )
            for method in ("GET", "DELETE", "POST")
            for name in ("mcp-session-id", "last-event-id", "mcp-protocol-version")
        ),
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
async def test_used_alone_the_layer_refuses_what_is_no_request_of_mcp(
    method: str, headers: Headers, status: int, reason: Reason
) -> None:
    spy, records = Spy(), Records()
    app = AuditLog(ToolAllowlist(spy, tools=["safe_tool"]), sink=records)

    reply = await call(app, http_scope(method, headers=headers), SAFE.encode())

    assert reply.status == status
    assert isinstance(reply.json()["error"], str)
    assert reply.header("allow") == ("DELETE, GET, POST" if status == 405 else None)
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
ENTRIES = st.sampled_from(["docs:///a", "docs:///a/b", "docs:///{x}", "docs:///{+x}", "docs:///a/{+x}"])
URIS = ENTRIES | st.sampled_from(
    [
        "docs:///b",
        "docs:///A",
        "docs:///a/../b",
        "docs:///a//b",
        "docs:///%61",
        "docs:///{y}",
        "x",
        "docs:///a/c",
    ]
)
REQUIREMENTS = st.builds(
    Requirement,
    scopes=st.sets(st.sampled_from(SCOPES), max_size=2).map(sorted),
    claims=st.dictionaries(st.just("team"), st.sampled_from("xy"), max_size=1),
)
PRINCIPALS = st.none() | st.builds(
    Principal,
    issuer=st.just(ISSUER),
    subject=st.just("alice"),
    client_id=st.just("agent"),
    scopes=st.frozensets(st.sampled_from(SCOPES)),
    claims=st.dictionaries(st.just("team"), st.sampled_from(["x", "y", ["x", "y"], 1]), max_size=1),
)


def _as(principal: Principal | None, app: ASGIApp, route: str | None = None) -> ASGIApp:
    """Return ``app`` behind somebody who found out who asks, and where."""

    async def authenticated(scope: Scope, receive: Receive, send: Send) -> None:
        exchange = exchange_of(scope)
        exchange.principal, exchange.route = principal, route
        await app(scope, receive, send)

    return authenticated


def _alice(granted: str = "") -> Principal:
    return Principal(ISSUER, "alice", "agent", frozenset(granted.split()), {})


BOARD = Principal(ISSUER, "carol", "agent", frozenset(), {"department": "board"})
SEALER = Sealer.random()


def _nobodys() -> Handles:
    return Handles(SEALER, None, None)


def _ask(app: ASGIApp, era: Any, method: str, params: dict[str, Any] | None = None) -> Reply:
    headers, body = era(method, params)
    sent = [(name, write_header(value).decode() if name == "mcp-name" else value) for name, value in headers]
    return asyncio.run(call(app, http_scope(headers=sent), body))


def _in_json(message: bytes) -> Spy:
    return Spy(message)


def _in_a_stream(message: bytes) -> Spy:
    return Spy(b": hello\n\nevent: message\ndata: " + message + b"\n\n", content_type="text/event-stream")


def _listed(reply: Reply, member: str, name: str) -> list[str]:
    assert reply.status == 200
    if (reply.header("content-type") or "") == "application/json":
        return [entry[name] for entry in reply.json()["result"][member]]
    *_, data = (line for line in reply.body.split(b"\n") if line.startswith(b"data: "))
    return [entry[name] for entry in json.loads(data.removeprefix(b"data: "))["result"][member]]


def _exists(reply: Reply) -> bool:
    """Return whether the answer to a call says, in one way or another, that there is such a thing."""
    error = reply.json().get("error")
    return not (isinstance(error, dict) and error["code"] in (-32600, -32602))


def _named(name: str) -> dict[str, Any]:
    return {"name": name}


def _at(uri: str) -> dict[str, Any]:
    return {"uri": uri}


def _from(template: str) -> dict[str, Any]:
    return {"ref": {"type": "ref/resource", "uri": template}, "argument": {"name": "x", "value": ""}}


def _at_docs(name: str) -> dict[str, Any]:
    return _at(f"docs:///{name}")


def _from_docs(name: str) -> dict[str, Any]:
    return _from(f"docs:///{name}")


def _for(prompt: str) -> dict[str, Any]:
    return {"ref": {"type": "ref/prompt", "name": prompt}, "argument": {"name": "x", "value": ""}}


@pytest.mark.promise("listed-equals-callable")
@pytest.mark.parametrize(
    ("kind", "listing", "member", "key", "asking", "params"),
    [
        pytest.param("tools", "tools/list", "tools", "name", "tools/call", _named, id="tools"),
        pytest.param("prompts", "prompts/list", "prompts", "name", "prompts/get", _named, id="prompts"),
        pytest.param(
            "prompts", "prompts/list", "prompts", "name", "completion/complete", _for, id="completed prompts"
        ),
        pytest.param(
            "resources", "resources/list", "resources", "uri", "resources/read", _at, id="resources"
        ),
        pytest.param(
            "resources",
            "resources/templates/list",
            "resourceTemplates",
            "uriTemplate",
            "completion/complete",
            _from,
            id="templates",
        ),
    ],
)
@given(data=st.data())
def test_what_is_listed_is_exactly_what_can_be_used(
    kind: str,
    listing: str,
    member: str,
    key: str,
    asking: str,
    params: Callable[[str], dict[str, Any]],
    data: st.DataObject,
) -> None:
    of_resources = kind == "resources"
    policy: Mapping[str, Requirement] = data.draw(
        st.dictionaries(ENTRIES if of_resources else NAMES, REQUIREMENTS, min_size=1, max_size=4)
    )
    offered = data.draw(
        st.lists(URIS if of_resources else LISTED, max_size=5).map(lambda few: [*few, *policy])
    )
    principal = data.draw(PRINCIPALS)
    era = data.draw(st.sampled_from([legacy, modern]))
    form = data.draw(st.sampled_from([_in_json, _in_a_stream]))
    result = {member: [{key: text, "title": "x"} for text in offered]}
    rules: Any = {kind: policy}
    behind = form(orjson.dumps({"jsonrpc": "2.0", "id": 1, "result": result}))

    listed = _listed(_ask(_as(principal, ToolAllowlist(behind, **rules)), era, listing), member, key)

    calling = _as(principal, ToolAllowlist(Spy(), **rules))
    assert listed == [text for text in offered if _exists(_ask(calling, era, asking, params(text)))]


@pytest.mark.promise("listed-equals-callable")
@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("form", [_in_json, _in_a_stream])
def test_where_all_tools_are_allowed_all_are_listed(era: Any, form: Callable[[bytes], Spy]) -> None:
    result = {"tools": [{"name": name, "title": "x"} for name in ("a", "b", "*")]}
    behind = form(orjson.dumps({"jsonrpc": "2.0", "id": 1, "result": result}))
    app = ToolAllowlist(behind, tools="*", allow_all_tools=True)

    assert _listed(_ask(app, era, "tools/list"), "tools", "name") == ["a", "b", "*"]


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
    behind, handles = form(orjson.dumps({"jsonrpc": "2.0", "id": 1, "result": result})), _nobodys()
    app = ToolAllowlist(behind, tools={"open": [], "read": ["docs:read"]}, sealer=SEALER)
    headers, body = era("tools/list", {"cursor": handles.cursor("tools/list", "1")})

    reply = await call(app, http_scope(headers=headers), body)

    assert orjson.loads(behind.bodies[0])["params"]["cursor"] == "1"
    expected: dict[str, Any] = {
        "tools": [tools[0], tools[3]],
        "nextCursor": handles.cursor("tools/list", "2"),
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
        _as(_alice("docs:read"), ToolAllowlist(spy, tools={"drop": ["docs:admin", "docs:read"]})),
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


@pytest.mark.promise("listed-equals-callable")
@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize(
    ("listing", "member", "name", "hidden"),
    [
        pytest.param("tools/list", "tools", "name", "danger_tool", id="tools"),
        pytest.param("prompts/list", "prompts", "name", "hidden", id="prompts"),
        pytest.param("resources/list", "resources", "uri", "docs:///hidden", id="resources"),
        pytest.param(
            "resources/templates/list", "resourceTemplates", "uriTemplate", "wiki:///{+x}", id="templates"
        ),
    ],
)
@pytest.mark.anyio
async def test_the_pages_of_a_list_are_gone_through_by_handles(
    listing: str, member: str, name: str, hidden: str, era: Any
) -> None:
    rules: Any = {
        "tools": ["safe_tool"],
        "prompts": ["review"],
        "resources": ["docs:///open", "docs:///x/{y}"],
    }
    page = {member: [{name: hidden}], "nextCursor": f"behind {hidden}"}
    behind = Spy(orjson.dumps({"jsonrpc": "2.0", "id": 1, "result": page}))
    app = ToolAllowlist(behind, **rules)
    params: dict[str, Any] = {}

    for _ in range(2):
        headers, body = era(listing, params)
        reply = await call(app, http_scope(headers=headers), body)
        params = {"cursor": reply.json()["result"]["nextCursor"]}

        assert reply.json()["result"][member] == []
        assert hidden.encode() not in reply.body

    assert orjson.loads(behind.bodies[1])["params"]["cursor"] == f"behind {hidden}"


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.anyio
async def test_a_cursor_of_the_servers_own_is_refused(era: Any) -> None:
    spy, records = Spy(), Records()
    headers, body = era("tools/list", {"cursor": "danger_tool"})

    reply = await call(
        AuditLog(ToolAllowlist(spy, tools=["safe_tool"]), sink=records), http_scope(headers=headers), body
    )

    assert (reply.status, reply.json()["id"], reply.json()["error"]["code"]) == (400, 1, -32602)
    assert records.verdicts == [("deny", Reason.PARAMS_INVALID)]
    assert spy.bodies == []


@pytest.mark.promise("session-bound")
@pytest.mark.anyio
async def test_a_server_is_told_again_what_it_said_to_this_client_about_this_call_alone() -> None:
    asked_back: Mapping[str, Any] = {
        "resultType": "input_required",
        "inputRequests": {},
        "requestState": "uid=0",
    }
    behind, records = Spy(orjson.dumps({"jsonrpc": "2.0", "id": 1, "result": asked_back})), Records()
    app = ToolAllowlist(behind, tools=["a", "b"], prompts=["a"])
    headers, body = modern("tools/call", {"name": "a"})
    reply = await call(_as(_alice(), app, "docs"), http_scope(headers=headers), body)
    state = reply.json()["result"]["requestState"]
    assert "uid=0" not in reply.body.decode()

    statuses: list[int] = []
    for who, route, method, name, said in (
        (_alice(), "docs", "tools/call", "a", state),
        (_alice(), "docs", "tools/call", "b", state),
        (_alice(), "docs", "prompts/get", "a", state),
        (_alice(), "wiki", "tools/call", "a", state),
        (Principal(ISSUER, "bob", "agent", frozenset(), {}), "docs", "tools/call", "a", state),
        (_alice(), "docs", "tools/call", "a", "uid=0"),
    ):
        headers, body = modern(method, {"name": name, "requestState": said, "inputResponses": {}})
        gate = AuditLog(_as(who, app, route), sink=records)
        statuses.append((await call(gate, http_scope(headers=headers), body)).status)

    assert statuses == [200, 400, 400, 400, 400, 400]
    assert records.verdicts == [("allow", None), *[("deny", Reason.PARAMS_INVALID)] * 5]
    assert [orjson.loads(each)["params"].get("requestState") for each in behind.bodies] == [None, "uid=0"]


CAPABILITIES = ("completions", "experimental", "logging", "prompts", "resources", "tasks", "tools")


@pytest.mark.promise("capabilities-cut")
@pytest.mark.parametrize(
    ("era", "method"),
    [pytest.param(legacy, "initialize", id="legacy"), pytest.param(modern, "server/discover", id="modern")],
)
@pytest.mark.parametrize(
    ("listed", "offered"),
    [
        pytest.param({"tools": ["a"]}, {"tools"}, id="tools"),
        pytest.param({"tools": "*", "allow_all_tools": True}, {"tools"}, id="every tool"),
        pytest.param({"prompts": ["a"]}, {"prompts", "completions"}, id="prompts"),
        pytest.param({"resources": ["docs:///a"]}, {"resources", "completions"}, id="resources"),
        pytest.param({"methods": ["acme/do"], "log_level": "info"}, {"logging"}, id="log messages"),
        pytest.param({"tools": ["a"], "tasks": True}, {"tools", "tasks"}, id="tasks"),
        pytest.param({"methods": ["acme/do"]}, set[str](), id="a method of its own"),
    ],
)
@pytest.mark.anyio
async def test_a_server_says_only_that_it_can_do_what_is_listed(
    era: Any, method: str, listed: Any, offered: set[str]
) -> None:
    said = {
        "protocolVersion": "2025-11-25",
        "supportedVersions": ["2026-07-28", "2999-01-01"],
        "capabilities": {name: {"listChanged": True} for name in CAPABILITIES},
    }
    behind = Spy(orjson.dumps({"jsonrpc": "2.0", "id": 1, "result": said}))
    headers, body = era(method, {})

    reply = await call(ToolAllowlist(behind, **listed), http_scope(headers=headers), body)

    result = reply.json()["result"]
    assert set(result["capabilities"]) == offered | {"experimental"}
    assert result["supportedVersions"] == ["2026-07-28"]


@pytest.mark.promise("era-kept")
@pytest.mark.parametrize("method", ["initialize", "ping", "logging/setLevel", "resources/subscribe"])
@pytest.mark.anyio
async def test_what_only_the_legacy_era_has_is_not_found_in_the_modern_one(method: str) -> None:
    spy = Spy()
    headers, body = modern(method, {"level": "info", "uri": "docs:///a"})
    headers = [pair for pair in headers if pair[0] != "mcp-name"]
    app = ToolAllowlist(spy, resources=["docs:///a"], log_level="debug")

    reply = await call(app, http_scope(headers=headers), body)

    assert (reply.status, reply.json()["error"]["code"]) == (404, -32601)
    assert spy.bodies == []


@pytest.mark.promise("era-kept")
@pytest.mark.parametrize("method", ["server/discover", "subscriptions/listen", "tasks/update"])
@pytest.mark.anyio
async def test_a_probe_for_the_modern_era_without_its_header_is_answered_as_legacy_servers_do(
    method: str,
) -> None:
    spy = Spy()
    headers, body = legacy(method, {})

    reply = await call(ToolAllowlist(spy, tools=["a"], tasks=True), http_scope(headers=headers), body)

    assert (reply.status, reply.json()["error"]["code"]) == (200, -32601)
    assert spy.bodies == []


MIXED_UP = b'{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"danger_tool"}]}}'


@pytest.mark.promise("listed-equals-callable")
@pytest.mark.anyio
async def test_a_list_in_place_of_another_answer_is_filtered_where_a_client_can_bring_it_about() -> None:
    bodies: list[bytes] = []
    for era in (legacy, modern):
        headers, body = era("tools/call", {"name": "safe_tool"})
        app = ToolAllowlist(Spy(MIXED_UP), tools=["safe_tool"])
        bodies.append((await call(app, http_scope(headers=headers), body)).body)

    assert bodies == [b'{"jsonrpc":"2.0","id":1,"result":{"tools":[]}}', MIXED_UP]


@pytest.mark.promise("hidden-equals-absent")
@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize(
    ("who", "values", "total"),
    [
        pytest.param(None, ["open", "a b"], None, id="nobody"),
        pytest.param(BOARD, ["open", "plan", "a b"], 9, id="somebody whom all of them are meant for"),
    ],
)
@pytest.mark.anyio
async def test_no_completion_makes_the_name_of_what_may_not_be_read(
    era: Any, who: Principal | None, values: list[str], total: int | None
) -> None:
    completion = {"values": ["open", "plan", "a b"], "total": 9, "hasMore": False}
    behind = Spy(orjson.dumps({"jsonrpc": "2.0", "id": 1, "result": {"completion": completion}}))
    rule = Requirement(claims={"department": "board"})
    app = ToolAllowlist(behind, resources={"docs:///{folder}/{x}": None, "docs:///secret/plan": rule})
    context = {"arguments": {"folder": "secret"}}
    headers, body = era("completion/complete", {**_from("docs:///{folder}/{x}"), "context": context})

    reply = await call(_as(who, app), http_scope(headers=headers), body)

    found = reply.json()["result"]["completion"]
    assert (found["values"], found.get("total"), found["hasMore"]) == (values, total, False)


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize(
    "params",
    [
        pytest.param({}, id="none"),
        pytest.param({"argument": {"value": "a"}}, id="one without a name"),
        pytest.param({"argument": ["x"]}, id="one that is no object"),
    ],
)
@pytest.mark.anyio
async def test_a_completion_of_no_argument_of_a_template_is_refused(era: Any, params: dict[str, Any]) -> None:
    spy = Spy()
    reference = {"type": "ref/resource", "uri": "docs:///{x}"}
    headers, body = era("completion/complete", {"ref": reference, **params})

    reply = await call(ToolAllowlist(spy, resources=["docs:///{x}"]), http_scope(headers=headers), body)

    assert (reply.status, reply.json()["error"]["code"]) == (400, -32602)
    assert spy.bodies == []


@pytest.mark.anyio
async def test_a_challenge_names_what_the_route_needs_as_well_and_nothing_twice() -> None:
    app = ToolAllowlist(Spy(), tools={"drop": ["docs:admin", "docs:read"]})

    async def on_a_route(scope: Scope, receive: Receive, send: Send) -> None:
        exchange_of(scope).required_scopes = ("docs:read", "docs:use")
        await app(scope, receive, send)

    headers, body = legacy("tools/call", {"name": "drop"})

    reply = await call(on_a_route, http_scope(headers=headers), body)

    challenge = 'Bearer error="insufficient_scope", scope="docs:read docs:use docs:admin"'
    assert reply.header("www-authenticate") == challenge


@pytest.mark.promise("hidden-equals-absent")
@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize(
    ("method", "params"),
    [
        pytest.param("tools/call", _named, id="a tool"),
        pytest.param("prompts/get", _named, id="a prompt"),
        pytest.param("completion/complete", _for, id="a completion for a prompt"),
        pytest.param("resources/read", _at_docs, id="a resource"),
        pytest.param("completion/complete", _from_docs, id="a completion for a resource"),
    ],
)
def test_what_is_for_others_is_answered_like_what_does_not_exist(
    era: Any, method: str, params: Callable[[str], dict[str, Any]]
) -> None:
    others = Requirement(["docs:read"], {"team": "x"})
    spy = Spy()
    app = ToolAllowlist(
        spy,
        tools={"hidden": others},
        prompts={"hidden": others},
        resources={"docs:///hidden": others},
    )

    replies = [_ask(_as(_alice(), app), era, method, params(name)) for name in ("hidden", "absent")]

    first, second = (
        reply.body.replace((reply.header("x-request-id") or "").encode(), b"-").replace(name, b"-")
        for reply, name in zip(replies, (b"hidden", b"absent"), strict=True)
    )
    assert first == second
    assert [reply.status for reply in replies] == [200, 200]
    assert replies[0].json()["error"]["code"] == -32602
    assert spy.scopes == []


@pytest.mark.promise("era-kept")
@pytest.mark.parametrize(
    ("era", "status"), [pytest.param(legacy, 200, id="legacy"), pytest.param(modern, 404, id="modern")]
)
@pytest.mark.parametrize(
    "method", ["prompts/list", "resources/read", "logging/setLevel", "tasks/get", "evil"]
)
def test_a_method_about_nothing_that_is_listed_does_not_exist(era: Any, status: int, method: str) -> None:
    needed: Mapping[str, dict[str, Any]] = {
        "resources/read": {"uri": "docs:///a"},
        "logging/setLevel": {"level": "error"},
    }
    spy, records = Spy(), Records()
    app = AuditLog(ToolAllowlist(spy, tools=["safe_tool"]), sink=records)
    headers, body = era(method, {"taskId": "t"} if method == "tasks/get" else needed.get(method, {}))
    headers = [*headers, ("mcp-name", "t")] if method == "tasks/get" else headers

    reply = asyncio.run(call(app, http_scope(headers=headers), body))

    assert (reply.status, reply.json()["error"]["code"]) == (status, -32601)
    assert records.verdicts == [("deny", Reason.METHOD_NOT_ALLOWED)]
    assert spy.scopes == []


# Sessions, streams and requests of servers


class _Server:
    """A server of the legacy era that answers each request with what it was told to."""

    def __init__(self, *answers: bytes | None) -> None:
        self.asked: list[tuple[str, dict[str, str], bytes]] = []
        self._answers = list(answers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = (await receive())["body"]
        headers = {name.decode(): value.decode("latin-1") for name, value in scope["headers"]}
        self.asked.append((scope["method"], headers, body))
        answer = self._answers.pop(0)
        start: list[tuple[bytes, bytes]] = [(b"mcp-session-id", b"s-1")]
        if answer is not None:
            is_stream = not answer.startswith(b"{")
            start.append((b"content-type", b"text/event-stream" if is_stream else b"application/json"))
        await send(
            {"type": "http.response.start", "status": 202 if answer is None else 200, "headers": start}
        )
        await send({"type": "http.response.body", "body": answer or b""})

    @property
    def last(self) -> tuple[str, dict[str, str], bytes]:
        return self.asked[-1]


INITIALIZED = orjson.dumps(
    {"jsonrpc": "2.0", "id": 1, "result": {"protocolVersion": "2025-11-25", "capabilities": {}}}
)
LIST = b'{"jsonrpc":"2.0","id":1,"result":{"tools":[]}}'


async def _initialize(app: ASGIApp) -> str:
    headers, body = legacy("initialize", {"protocolVersion": "2025-11-25", "capabilities": {}})
    reply = await call(app, http_scope(headers=headers), body)
    handle = reply.header("mcp-session-id")
    assert reply.status == 200
    assert handle is not None
    assert handle != "s-1"
    return handle


@pytest.mark.promise("session-bound")
@pytest.mark.anyio
async def test_a_session_is_known_to_each_side_by_its_own_name() -> None:
    server = _Server(INITIALIZED, LIST, b": open\n\n", None)
    app = _as(_alice(), ToolAllowlist(server, tools=["safe_tool"]))
    session = ("mcp-session-id", await _initialize(app))
    headers, body = legacy("tools/list")

    for method, sent, content in (
        ("POST", headers, body),
        ("GET", [("accept", "text/event-stream")], b""),
        ("DELETE", [], b""),
    ):
        reply = await call(app, http_scope(method, headers=[*sent, session]), content)

        assert reply.status in (200, 202)
        assert (server.last[0], server.last[1]["mcp-session-id"]) == (method, "s-1")
        assert reply.header("mcp-session-id") == session[1]
        assert b"s-1" not in reply.body


@pytest.mark.promise("session-bound")
@pytest.mark.parametrize("method", ["POST", "GET", "DELETE"])
@pytest.mark.parametrize(
    ("principal", "route"),
    [
        pytest.param(Principal(ISSUER, "bob", "agent", frozenset(), {}), "docs", id="another principal"),
        pytest.param(_alice(), "wiki", id="another route"),
        pytest.param(None, "docs", id="nobody"),
    ],
)
@pytest.mark.anyio
async def test_a_session_of_somebody_else_is_not_found(
    method: str, principal: Principal | None, route: str
) -> None:
    server, records = _Server(INITIALIZED), Records()
    app = ToolAllowlist(server, tools=["safe_tool"])
    handle = await _initialize(_as(_alice(), app, "docs"))
    headers, body = legacy("tools/list")

    for session in (handle, "s-1", "x"):
        reply = await call(
            AuditLog(_as(principal, app, route), sink=records),
            http_scope(method, headers=[*headers, ("mcp-session-id", session)]),
            body if method == "POST" else b"",
        )

        assert (reply.status, reply.json()["error"]["code"]) == (404, -32600)
        assert reply.json()["id"] == (1 if method == "POST" else None)
    assert records.verdicts == [("deny", Reason.SESSION_UNKNOWN)] * 3
    assert len(server.asked) == 1


@pytest.mark.promise("session-bound")
@pytest.mark.anyio
async def test_replicas_with_the_same_keys_know_the_same_sessions_and_others_do_not() -> None:
    first, second, third = _Server(INITIALIZED), _Server(LIST), _Server()
    handle = await _initialize(ToolAllowlist(first, tools=["safe_tool"], sealer=SEALER))
    headers, body = legacy("tools/list")
    scope = http_scope(headers=[*headers, ("mcp-session-id", handle)])

    same = await call(ToolAllowlist(second, tools=["safe_tool"], sealer=SEALER), scope, body)
    other = await call(
        ToolAllowlist(third, tools=["safe_tool"]),
        http_scope(headers=[*headers, ("mcp-session-id", handle)]),
        body,
    )

    assert (same.status, second.last[1]["mcp-session-id"]) == (200, "s-1")
    assert (other.status, third.asked) == (404, [])


def _events(*events: tuple[str, Mapping[str, Any]]) -> bytes:
    return b"".join(
        b"id: %s\ndata: %s\n\n" % (event_id.encode(), orjson.dumps({"jsonrpc": "2.0", **message}))
        for event_id, message in events
    )


def _seen(reply: Reply) -> list[tuple[str, Any]]:
    blocks = [dict(line.split(": ", 1) for line in block.splitlines()) for block in _blocks(reply)]
    return [(block["id"], json.loads(block["data"])) for block in blocks]


def _blocks(reply: Reply) -> Sequence[str]:
    assert reply.header("content-type") == "text/event-stream"
    return [block for block in reply.body.decode().split("\n\n") if block]


RESULT: Mapping[str, Any] = {"id": 1, "result": {"content": []}}


@pytest.mark.promise("response-asked-for")
@pytest.mark.parametrize("message_id", [7, "7", 0, "größe"], ids=repr)
@pytest.mark.anyio
async def test_a_client_responds_to_what_the_server_asked_and_to_nothing_else(message_id: Any) -> None:
    asking = {"id": message_id, "method": "elicitation/create", "params": {"message": "Sure?"}}
    server, records = _Server(_events(("e-1", asking), ("e-2", RESULT)), None), Records()
    app = AuditLog(_as(_alice(), ToolAllowlist(server, tools=["safe_tool"])), sink=records)
    headers, body = legacy("tools/call", {"name": "safe_tool"})
    (_, asked), (_, answered) = _seen(await call(app, http_scope(headers=headers), body))
    response = {"jsonrpc": "2.0", "id": asked["id"], "result": {"action": "accept"}}
    session = ("mcp-session-id", Handles(SEALER, None, _alice()).session(b"s-2"))

    # The stream came with a session, within which alone the request was made.
    refused = [
        await call(app, http_scope(headers=headers), orjson.dumps(response)),
        await call(app, http_scope(headers=headers), orjson.dumps({**response, "id": message_id})),
        await call(app, http_scope(headers=[*headers, session]), orjson.dumps(response)),
    ]

    assert answered == {"jsonrpc": "2.0", **RESULT}
    assert asked["id"] != message_id
    assert [reply.status for reply in refused] == [400, 400, 404]
    assert len(server.asked) == 1
    assert records.verdicts == [
        ("allow", None),
        ("deny", Reason.RESPONSE_NOT_EXPECTED),
        ("deny", Reason.RESPONSE_NOT_EXPECTED),
        ("deny", Reason.SESSION_UNKNOWN),
    ]


@pytest.mark.promise("response-asked-for")
@pytest.mark.parametrize("message_id", [7, "7", 0, "größe"], ids=repr)
@pytest.mark.anyio
async def test_a_response_reaches_the_server_with_the_id_that_it_gave(message_id: Any) -> None:
    asking = {"id": message_id, "method": "elicitation/create", "params": {"message": "Sure?"}}
    server = _Server(INITIALIZED, _events(("e-1", asking), ("e-2", RESULT)), None)
    app = _as(_alice(), ToolAllowlist(server, tools=["safe_tool"]))
    session = ("mcp-session-id", await _initialize(app))
    headers, body = legacy("tools/call", {"name": "safe_tool"})
    (_, asked), _ = _seen(await call(app, http_scope(headers=[*headers, session]), body))
    response = {"jsonrpc": "2.0", "id": asked["id"], "result": {"action": "accept"}}

    reply = await call(app, http_scope(headers=[*headers, session]), orjson.dumps(response))

    sent = json.loads(server.last[2])
    assert reply.status == 202
    assert sent == {**response, "id": message_id}
    assert type(sent["id"]) is type(message_id)


@pytest.mark.promise("session-bound")
@pytest.mark.anyio
async def test_a_stream_goes_on_where_it_was_cut_off_for_whom_it_was_meant_while_it_is_allowed() -> None:
    server = _Server(INITIALIZED, _events(("e-1", {"method": "notifications/progress", "params": {}})), b"")
    rules: Any = {"tools": {"safe_tool": ()}, "sealer": SEALER}
    app = _as(_alice(), ToolAllowlist(server, **rules))
    session = ("mcp-session-id", await _initialize(app))
    headers, body = legacy("tools/call", {"name": "safe_tool"})
    (event_id, _), *_ = _seen(await call(app, http_scope(headers=[*headers, session]), body))
    sent = [session, ("last-event-id", event_id)]
    records = Records()

    async def get(principal: Principal | None, layer: ASGIApp, headers: Headers) -> int:
        audited = AuditLog(_as(principal, layer), sink=records)
        return (await call(audited, http_scope("GET", headers=headers))).status

    assert event_id != "e-1"
    closed = ToolAllowlist(server, tools=["other_tool"], sealer=SEALER)
    narrower = ToolAllowlist(server, tools={"safe_tool": ["docs:read"]}, sealer=SEALER)
    await get(_alice(), closed, sent)
    assert await get(_alice(), narrower, sent) == 403
    assert await get(_alice(), ToolAllowlist(server, **rules), [session, ("last-event-id", "e-1")]) == 400
    assert await get(_alice(), ToolAllowlist(server, **rules), [sent[1]]) == 400
    bob = Principal(ISSUER, "bob", "agent", frozenset(), {})
    assert await get(bob, ToolAllowlist(server, **rules), [sent[1]]) == 400
    assert records.verdicts == [
        ("deny", Reason.TOOL_NOT_ALLOWED),
        ("deny", Reason.SCOPE_MISSING),
        *[("deny", Reason.EVENT_UNKNOWN)] * 3,
    ]
    assert len(server.asked) == 2

    assert await get(_alice(), ToolAllowlist(server, **rules), sent) == 200
    method, asked, content = server.last
    assert (method, content) == ("GET", b"")
    assert (asked["mcp-session-id"], asked["last-event-id"]) == ("s-1", "e-1")


@pytest.mark.anyio
async def test_what_comes_after_the_last_event_answers_the_request_of_its_stream() -> None:
    rest = _events(
        ("e-2", {"id": "a", "result": {"tools": [{"name": "safe_tool"}, {"name": "danger_tool"}]}})
    )
    server = _Server(rest)
    handles = Handles(SEALER, None, _alice())
    event_id = handles.event(b"e-1", Origin("tools/list", None, "a"))
    app = _as(_alice(), ToolAllowlist(server, tools=["safe_tool"], sealer=SEALER))

    ((_, seen),) = _seen(await call(app, http_scope("GET", headers=[("last-event-id", event_id)])))

    assert seen == {"jsonrpc": "2.0", "id": "a", "result": {"tools": [{"name": "safe_tool"}]}}


@pytest.mark.anyio
async def test_a_task_is_known_to_each_side_by_its_own_name() -> None:
    task: dict[str, Any] = {"taskId": "t1", "status": "working"}
    begun = orjson.dumps({"jsonrpc": "2.0", "id": 1, "result": {"task": task}})
    state = orjson.dumps({"jsonrpc": "2.0", "id": 1, "result": task})
    server = _Server(begun, state)
    app = _as(_alice(), ToolAllowlist(server, tools=["safe_tool"], tasks=True, sealer=SEALER))
    headers, body = legacy("tools/call", {"name": "safe_tool", "task": {}})
    handle = (await call(app, http_scope(headers=headers), body)).json()["result"]["task"]["taskId"]
    headers, body = legacy("tasks/get", {"taskId": handle})

    reply = await call(app, http_scope(headers=headers), body)
    closed = _as(_alice(), ToolAllowlist(server, tools=["other_tool"], tasks=True, sealer=SEALER))
    refused = await call(closed, http_scope(headers=headers), body)

    assert handle != "t1"
    assert json.loads(server.last[2])["params"] == {"taskId": "t1"}
    assert reply.json()["result"] == {**task, "taskId": handle}
    assert (refused.status, refused.json()["error"]["code"]) == (200, -32602)
    assert len(server.asked) == 2


# What is no request at all


@pytest.mark.anyio
async def test_a_websocket_reaches_nothing() -> None:
    spy, records, sent = Spy(), Records(), list[Message]()
    scope = {**http_scope("GET"), "type": "websocket"}
    del scope["method"]

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        sent.append(message)

    await AuditLog(ToolAllowlist(spy, tools=["safe_tool"]), sink=records)(scope, receive, send)

    assert sent == [{"type": "websocket.close", "code": 1008}]
    assert records.verdicts == [("deny", Reason.WEBSOCKET_NOT_ALLOWED)]
    assert spy.scopes == []


@pytest.mark.anyio
async def test_start_and_end_are_the_applications_own() -> None:
    incoming: list[Message] = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
    sent = list[Message]()

    async def receive() -> Message:
        return incoming.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    await ToolAllowlist(Spy(), tools=["safe_tool"])({"type": "lifespan"}, receive, send)

    assert [message["type"] for message in sent] == [
        "lifespan.startup.complete",
        "lifespan.shutdown.complete",
    ]


# What is under way


class _Elsewhere:
    """A server that answers a call when it is told to, listens on streams, and keeps what it heard."""

    def __init__(self, error: Exception | None = None) -> None:
        self.heard: list[Any] = []
        self.ended: list[str] = []
        self.may_answer = asyncio.Event()
        self.error = error

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = (await receive()).get("body")
        message = orjson.loads(body) if body else {"method": scope["method"]}
        self.heard.append(message)
        is_stream = message["method"] in ("GET", "subscriptions/listen")
        form = b"text/event-stream" if is_stream else b"application/json"
        headers = [(b"content-type", form), (b"mcp-session-id", b"s-1")]
        if "id" not in message and not is_stream:
            await send({"type": "http.response.start", "status": 202, "headers": []})
            await send({"type": "http.response.body"})
            return
        if is_stream:
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": b": open\n\n", "more_body": True})
        if message["method"] != "initialize":
            try:
                await self.may_answer.wait()
            except asyncio.CancelledError:
                self.ended.append(message["method"])
                if self.error is not None:
                    raise self.error from None
                raise
        body = orjson.dumps({"jsonrpc": "2.0", "id": message["id"], "result": {"content": []}})
        if message["method"] == "initialize":
            body = INITIALIZED
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


TOOL = ("tools/call", {"name": "safe_tool"})


def _taking_back(message_id: Any, era: Any = legacy) -> tuple[Headers, bytes]:
    headers, body = era("notifications/cancelled", {"requestId": message_id})
    message = orjson.loads(body)
    del message["id"]
    return headers, orjson.dumps(message)


async def _begin(
    app: ASGIApp, sent: tuple[Headers, bytes], *more: tuple[str, str], method: str = "POST"
) -> tuple[Client, "asyncio.Task[None]"]:
    """Send a request whose client waits for the answer, and return both."""
    client = Client(sent[1])
    scope = http_scope(method, headers=[*sent[0], *more])
    return client, asyncio.create_task(_run(app, scope, client))


async def _run(app: ASGIApp, scope: Scope, client: Client) -> None:
    await app(scope, client.receive, client.send)


@pytest.mark.parametrize("message_id", [1, "a"])
@pytest.mark.anyio
async def test_a_call_of_a_session_is_taken_back_and_its_server_hears_of_it_and_is_ended(
    message_id: Any,
) -> None:
    server, records, calls = _Elsewhere(), Records(), Calls()
    app = AuditLog(ToolAllowlist(server, tools=["safe_tool"], calls=calls), sink=records)
    session = ("mcp-session-id", await _initialize(app))
    async with nothing_left():
        client, task = await _begin(app, legacy(*TOOL, message_id=message_id), session)
        await until(lambda: len(server.heard) == 2)
        assert len(calls) == 1
        loop = asyncio.get_running_loop()
        begun = loop.time()

        headers, body = _taking_back(message_id)
        told = await call(app, http_scope(headers=[*headers, session]), body)
        await asyncio.wait([task], timeout=10)
        took = loop.time() - begun

    assert (told.status, told.body, server.ended) == (202, b"", ["tools/call"])
    assert server.heard[-1]["params"] == {"requestId": message_id}
    assert client.reply.status == 200
    assert client.reply.json()["id"] == message_id
    assert client.reply.json()["error"]["message"] == "Cancelled"
    assert took < 0.25
    assert records.verdicts == [("allow", None)] * 3
    assert len(calls) == 0


@pytest.mark.anyio
async def test_a_server_that_answers_what_was_taken_back_is_heard() -> None:
    server = _Elsewhere()
    app = ToolAllowlist(server, tools=["safe_tool"])
    session = ("mcp-session-id", await _initialize(app))
    client, task = await _begin(app, legacy(*TOOL), session)
    await until(lambda: len(server.heard) == 2)

    headers, body = _taking_back(1)
    await call(app, http_scope(headers=[*headers, session]), body)
    server.may_answer.set()
    await asyncio.wait([task], timeout=10)

    assert (client.reply.status, client.reply.json()["result"], server.ended) == (200, {"content": []}, [])


@pytest.mark.promise("session-bound")
@pytest.mark.parametrize(
    ("taking_back", "who", "named"),
    [
        pytest.param(_taking_back(2), _alice(), "own", id="another id"),
        pytest.param(_taking_back("1"), _alice(), "own", id="the id as a text"),
        pytest.param(_taking_back(1), _alice(), "another", id="another session"),
        pytest.param(_taking_back(1), _alice(), "none", id="no session"),
        pytest.param(
            _taking_back(1), Principal(ISSUER, "bob", "agent", frozenset(), {}), "own", id="somebody else"
        ),
        pytest.param(_taking_back(1, modern), _alice(), "own", id="the modern era"),
    ],
)
@pytest.mark.anyio
async def test_a_call_is_taken_back_by_nothing_else(
    taking_back: tuple[Headers, bytes], who: Principal, named: str
) -> None:
    server = _Elsewhere()
    app = ToolAllowlist(server, tools=["safe_tool"], sealer=SEALER)
    handle = await _initialize(_as(_alice(), app))
    another = Handles(SEALER, None, _alice()).session(b"s-2")
    sessions = {"own": [("mcp-session-id", handle)], "another": [("mcp-session-id", another)], "none": []}
    client, task = await _begin(_as(_alice(), app), legacy(*TOOL), *sessions["own"])
    await until(lambda: len(server.heard) == 2)

    headers, body = taking_back
    await call(_as(who, app), http_scope(headers=[*headers, *sessions[named]]), body)
    await let_pass(2 * CANCELLED_AFTER)
    assert not task.done()

    server.may_answer.set()
    await task
    assert client.reply.json()["result"] == {"content": []}


@pytest.mark.parametrize("refusing", ["audit", "credentials"])
@pytest.mark.promise("recorded-first")
@pytest.mark.anyio
async def test_what_is_refused_after_all_takes_nothing_back(refusing: str) -> None:
    server, calls = _Elsewhere(), Calls()
    app = ToolAllowlist(Handover(server), tools=["safe_tool"], sealer=SEALER, calls=calls)

    async def unavailable(scope: Scope, receive: Receive, send: Send) -> None:
        await refuse(Broken(Reason.CREDENTIAL_UNAVAILABLE), exchange_of(scope), send)

    behind = Handover(server) if refusing == "audit" else unavailable
    full = ToolAllowlist(behind, tools=["safe_tool"], sealer=SEALER, calls=calls)
    broken = AuditLog(full, sink=FullDisk() if refusing == "audit" else Records())
    session = ("mcp-session-id", await _initialize(app))
    client, task = await _begin(app, legacy(*TOOL), session)
    await until(lambda: len(server.heard) == 2)

    headers, body = _taking_back(1)
    told = await call(broken, http_scope(headers=[*headers, session]), body)
    await let_pass(2 * CANCELLED_AFTER)
    was_taken_back = task.done()
    server.may_answer.set()
    await task

    assert (told.status, len(server.heard)) == (503, 2)
    assert not was_taken_back
    assert client.reply.json()["result"] == {"content": []}


STREAMS = [
    pytest.param(([("accept", "text/event-stream")], b""), "GET", id="a stream of a session"),
    pytest.param(
        modern("subscriptions/listen", {"notifications": {"toolsListChanged": True}}),
        "POST",
        id="a subscription",
    ),
]


@pytest.mark.parametrize(("sent", "method"), STREAMS)
@pytest.mark.anyio
async def test_a_gate_that_stops_ends_streams_in_good_order_and_lets_calls_go_on(
    sent: tuple[Headers, bytes], method: str
) -> None:
    server, calls = _Elsewhere(), Calls()
    app = ToolAllowlist(server, tools=["safe_tool"], calls=calls)
    async with nothing_left():
        listening, listened = await _begin(app, sent, method=method)
        calling, called = await _begin(app, legacy(*TOOL))
        await until(lambda: len(server.heard) == 2 and bool(listening.body))
        calls.stop(30)
        await asyncio.wait([listened], timeout=10)

        opened, *told = listening.reply.body.split(b"\n\n")[:-1]
        assert (listening.reply.status, opened) == (200, b": open")
        # Only a subscription was asked for by a message, which has an answer.
        assert [b"The gate is stopping" in each for each in told] == [True] * (method == "POST")
        assert not called.done()
        server.may_answer.set()
        await called
    assert calling.reply.json()["result"] == {"content": []}


@pytest.mark.anyio
async def test_a_call_that_goes_on_for_longer_than_a_gate_that_stops_is_told_so() -> None:
    server, calls = _Elsewhere(), Calls()
    app = ToolAllowlist(server, tools=["safe_tool"], calls=calls)
    async with nothing_left():
        client, task = await _begin(app, legacy(*TOOL))
        await until(lambda: len(server.heard) == 1)
        calls.stop(0)
        await asyncio.wait([task], timeout=10)

    assert (client.reply.status, client.reply.header("retry-after")) == (503, "1")
    assert client.reply.json()["error"]["message"] == "The gate is stopping"
    assert server.ended == ["tools/call"]


@pytest.mark.anyio
async def test_a_server_that_breaks_as_it_is_ended_is_answered_by_why_it_was_ended() -> None:
    server, calls = _Elsewhere(ZeroDivisionError()), Calls()
    app = ToolAllowlist(server, tools=["safe_tool"], calls=calls)
    client, task = await _begin(app, legacy(*TOOL))
    await until(lambda: len(server.heard) == 1)
    calls.stop(0)
    await asyncio.wait([task], timeout=10)

    assert task.exception() is None
    assert client.reply.json()["error"]["message"] == "The gate is stopping"


@pytest.mark.anyio
async def test_a_request_that_its_server_cancels_with_it_stays_cancelled() -> None:
    server, calls = _Elsewhere(), Calls()
    client, task = await _begin(ToolAllowlist(server, tools=["safe_tool"], calls=calls), legacy(*TOOL))
    await until(lambda: len(server.heard) == 1)
    task.cancel()
    await asyncio.wait([task], timeout=10)

    assert task.cancelled()
    assert (client.got, len(calls), server.ended) == ([], 0, ["tools/call"])


# For whatever is asked

BOB = Principal(ISSUER, "bob", "agent", frozenset(), {})
TASKS = [Handles(SEALER, None, who).task(Task("t", tool)) for who in (None, BOB) for tool in ("a", "b", "c")]
ATTEMPTS: st.SearchStrategy[tuple[str, dict[str, Any]]] = st.sampled_from(
    [
        *(("tools/call", {"name": name}) for name in ("a", "b", "c", "A", "a ", "", 7, None, ["a"])),
        *(("prompts/get", {"name": name}) for name in ("a", "p")),
        *(
            ("resources/read", {"uri": uri})
            for uri in ("docs:///a", "docs:///b", "docs:///a/../b", "docs:///x/y")
        ),
        *(
            ("completion/complete", {"ref": {"type": f"ref/{kind}", "name": "p"}})
            for kind in ("prompt", "tool")
        ),
        *(
            ("completion/complete", {**_from("docs:///x/{+y}"), "argument": argument})
            for argument in ({"name": "y", "value": ""}, {}, None)
        ),
        *(
            ("tools/list", {"cursor": cursor})
            for cursor in (
                *(Handles(SEALER, None, who).cursor("tools/list", "2") for who in (None, BOB)),
                _nobodys().cursor("prompts/list", "2"),
                "2",
                2,
                None,
            )
        ),
        *(
            (
                "tools/call",
                {"name": name, "requestState": _nobodys().state(Origin("tools/call", "a", 1), "s")},
            )
            for name in ("a", "b", "c")
        ),
        *(("tasks/result", {"taskId": handle}) for handle in (*TASKS, "t", "")),
        ("logging/setLevel", {"level": "debug"}),
        ("subscriptions/listen", {"notifications": {"resourceSubscriptions": ["docs:///a", "docs:///z"]}}),
        ("subscriptions/listen", {"notifications": {"taskIds": [TASKS[0]]}}),
        *(
            (method, {})
            for method in (
                "initialize",
                "ping",
                "tools/list",
                "acme/do",
                "evil",
                "tools/List",
                "server/discover",
            )
        ),
    ]
)


def _tasks_of(message: Any, principal: Principal | None) -> list[Task]:
    named = message.params.get("notifications", {}).get("taskIds", [message.params.get("taskId")])
    return [Handles(SEALER, None, principal).open_task(each) for each in named if isinstance(each, str)]


@pytest.mark.promise("judged-is-sent")
@given(
    attempt=ATTEMPTS,
    era=st.sampled_from([legacy, modern]),
    members=st.sets(st.sampled_from(["jsonrpc", "id", "method", "params"]), min_size=3),
    principal=st.sampled_from([None, BOB, _alice("docs:b")]),
    tasks=st.booleans(),
    level=st.sampled_from([None, "debug"]),
)
@example(
    attempt=("tools/call", {"name": "a"}),
    era=legacy,
    members={"jsonrpc", "id", "method", "params"},
    principal=None,
    tasks=False,
    level=None,
)
def test_nothing_but_an_allowed_message_reaches_the_application(
    attempt: tuple[str, dict[str, Any]],
    era: Any,
    members: set[str],
    principal: Principal | None,
    tasks: bool,  # noqa: FBT001 - hypothesis passes by name
    level: str | None,
) -> None:
    method, params = attempt
    headers, body = era(method, params)
    named = [(name, str(value)) for name, value in headers if isinstance(value, str) or name != "mcp-name"]
    body = orjson.dumps({name: value for name, value in orjson.loads(body).items() if name in members})
    spy = Spy()
    app = ToolAllowlist(
        spy,
        tools={"a": (), "b": ["docs:b"]},
        prompts=["p"],
        resources=["docs:///a", "docs:///x/{+y}"],
        methods=["acme/do"],
        log_level=level,
        tasks=tasks,
        sealer=SEALER,
    )

    asyncio.run(call(_as(principal, app), http_scope(headers=named), body))

    verdict = _verdict(app, principal, http_scope(headers=named), body)
    assert bool(spy.bodies) is bool(verdict)
    assert len(spy.bodies) <= 1


def _verdict(app: ToolAllowlist, principal: Principal | None, scope: Scope, body: bytes) -> Verdict:
    """Judge what came by the reader and the rules alone."""
    try:
        message = read_message(body, exchange_of(scope).head.fields)
        about = _tasks_of(message, principal) if app.rules.tasks else []
        if about and message.is_modern:
            raise Fault(Reason.CAPABILITY_MISSING, "nothing here declares tasks")
        verdict = app.rules.decide(message, principal, about)
        if verdict:
            _check_handles(message, Handles(SEALER, None, principal))
    except Fault as fault:
        return fault.denial()
    return verdict


def _check_handles(message: Any, handles: Handles) -> None:
    """Raise ``Fault`` where a page or a state is named by no handle, or nothing is to be completed."""
    cursor, state = message.params.get("cursor"), message.params.get("requestState")
    if cursor is not None:
        handles.open_cursor(message.method, str(cursor))
    if state is not None and message.is_modern:
        handles.open_state(Origin(message.method, message.target, message.id), state)
    about_template = message.params.get("ref", {}).get("type") == "ref/resource"
    if about_template and message.params["argument"] != {"name": "y", "value": ""}:
        raise Fault(Reason.PARAMS_INVALID, "no argument to complete")
