from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.asgi import Headers, http_scope
from tests.support.mcp import legacy, modern
from tests.support.tokens import ISSUER
from tunnelgate import NeedsScopes, Principal, Reason, Sealer
from tunnelgate.answers import Expected
from tunnelgate.asking import Asked, ask_by_message, ask_for_end, ask_for_stream
from tunnelgate.catalogue import Names, Resources, list_tools
from tunnelgate.exchange import Exchange, Load, exchange_of
from tunnelgate.handles import UNASKED, Handles, Origin, Task
from tunnelgate.messages import MessageRules
from tunnelgate.reading.fault import Fault
from tunnelgate.reading.message import read_message
from tunnelgate.reading.methods import TASKS_EXTENSION, Era
from tunnelgate.reading.mirrored import read_header
from tunnelgate.reading.params import CAPABILITIES_KEY
from tunnelgate.requirements import Requirement
from tunnelgate.verdict import Refusal

SEALER = Sealer.random()
RULES = MessageRules(
    tools=list_tools({"search": (), "draft": ["docs:draft"], "ours": Requirement(claims={"team": "x"})}),
    prompts=Names(["review"], Reason.PROMPT_NOT_ALLOWED),
    resources=Resources(["docs:///{+path}"]),
    methods=["acme/do"],
    tasks=True,
)
ONE_TOOL = MessageRules(tools=list_tools(["search"]))
IDENTITY = (b"accept-encoding", b"identity")
RELATED_TASK = "io.modelcontextprotocol/related-task"
KNOWN_TASKS: Mapping[str, Any] = {TASKS_EXTENSION: {}}


def _principal(
    subject: str = "alice", scopes: str = "", *, issuer: str = ISSUER, client_id: str = "agent"
) -> Principal:
    return Principal(issuer, subject, client_id, frozenset(scopes.split()), {})


ALICE = _principal()
# Everybody who is not Alice on the route "docs", one difference each.
OTHERS: Sequence[Any] = (
    pytest.param(_principal("bob"), "docs", id="another subject"),
    pytest.param(_principal(issuer="https://evil.example"), "docs", id="the same subject of another issuer"),
    pytest.param(_principal(client_id="other"), "docs", id="the same subject by another client"),
    pytest.param(None, "docs", id="nobody"),
    pytest.param(ALICE, "wiki", id="the same principal on another route"),
    pytest.param(ALICE, None, id="the same principal on no route"),
)


def _handles(principal: Principal | None = ALICE, route: str | None = "docs") -> Handles:
    return Handles(SEALER, route, principal)


def _session(name: bytes = b"s-1", principal: Principal | None = ALICE, route: str | None = "docs") -> str:
    return _handles(principal, route).session(name)


def _exchange(
    method: str,
    headers: Headers = (),
    body: bytes | None = None,
    principal: Principal | None = ALICE,
    route: str | None = "docs",
) -> Exchange:
    exchange = exchange_of(http_scope(method, headers=headers))
    exchange.principal = principal
    exchange.route = route
    if body is not None:
        exchange.message = read_message(body, exchange.head.fields)
    return exchange


def _post(
    sent: tuple[Headers, bytes],
    *more: tuple[str, str],
    rules: MessageRules = RULES,
    principal: Principal | None = ALICE,
    route: str | None = "docs",
) -> Asked | Refusal:
    exchange = _exchange("POST", [*sent[0], *more], sent[1], principal, route)
    return ask_by_message(exchange, rules, _handles(principal, route))


def _stream(
    *headers: tuple[str, str],
    rules: MessageRules = RULES,
    principal: Principal | None = ALICE,
    route: str | None = "docs",
) -> Asked | Refusal:
    return ask_for_stream(
        _exchange("GET", headers, None, principal, route), rules, _handles(principal, route)
    )


def _end(
    *headers: tuple[str, str], principal: Principal | None = ALICE, route: str | None = "docs"
) -> Asked | Refusal:
    return ask_for_end(_exchange("DELETE", headers, None, principal, route), _handles(principal, route))


def _allowed(asked: Asked | Refusal) -> Asked:
    assert isinstance(asked, Asked)
    return asked


def _reason(ask: Callable[[], Asked | Refusal]) -> Reason:
    """Return why this is refused, whether by the reader or by the rules."""
    try:
        asked = ask()
    except Fault as fault:
        return fault.reason
    assert not isinstance(asked, Asked)
    return asked.reason


def _headers(asked: Asked) -> dict[str, str]:
    assert len({name for name, _ in asked.headers}) == len(asked.headers)
    return {name.decode(): value.decode("latin-1") for name, value in asked.headers}


# Messages


def test_a_request_goes_on_with_headers_that_say_what_it_says() -> None:
    headers, body = legacy("tools/call", {"name": "search"}, message_id="a")

    asked = _allowed(_post((headers, body), ("x-other", "1"), ("mcp-name", "drop"), ("mcp-method", "ping")))

    kept = [(b"host", b"docs.example.com"), (b"accept", b"application/json, text/event-stream")]
    assert asked == Asked(
        headers=[
            *kept,
            (b"mcp-protocol-version", b"2025-11-25"),
            (b"x-other", b"1"),
            IDENTITY,
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
        ],
        body=body,
        expected=Expected.MESSAGE,
        origin=Origin("tools/call", "search", "a"),
        era=Era.LEGACY,
        tasks=(),
    )


def test_a_modern_request_goes_on_with_its_method_and_its_name() -> None:
    headers, body = modern("resources/read", {"uri": "docs:///a"})

    asked = _allowed(_post((headers, body)))

    assert (asked.era, asked.origin) == (Era.MODERN, Origin("resources/read", "docs:///a", 1))
    assert _headers(asked)["mcp-method"] == "resources/read"
    assert _headers(asked)["mcp-name"] == "docs:///a"
    assert asked.body == body


@pytest.mark.parametrize(
    ("method", "params"),
    [
        pytest.param("tools/list", {}, id="a list"),
        pytest.param(
            "completion/complete", {"ref": {"type": "ref/prompt", "name": "review"}}, id="a completion"
        ),
        pytest.param("subscriptions/listen", {"notifications": {}}, id="a stream"),
        pytest.param("acme/do", {"text": "x"}, id="a method that the protocol has not"),
    ],
)
def test_a_modern_request_whose_name_is_in_no_header_goes_on_without_one(method: str, params: Any) -> None:
    asked = _allowed(_post(modern(method, params), ("mcp-name", "drop")))

    assert _headers(asked)["mcp-method"] == method
    assert "mcp-name" not in _headers(asked)


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(legacy("notifications/initialized"), id="legacy"),
        pytest.param(modern("notifications/cancelled", {"requestId": 1}), id="modern"),
    ],
)
def test_a_notification_is_answered_with_nothing(sent: tuple[Headers, bytes]) -> None:
    message = orjson.loads(sent[1])
    del message["id"]

    asked = _allowed(_post((sent[0], orjson.dumps(message))))

    assert asked.expected is Expected.NOTHING
    assert asked.origin == Origin(message["method"], None, None)
    assert orjson.loads(asked.body) == message


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        pytest.param(legacy("tools/call", {"name": "x"}), Reason.TOOL_NOT_ALLOWED, id="a tool"),
        pytest.param(legacy("prompts/get", {"name": "x"}), Reason.PROMPT_NOT_ALLOWED, id="a prompt"),
        pytest.param(
            modern("resources/read", {"uri": "x:///"}), Reason.RESOURCE_NOT_ALLOWED, id="a resource"
        ),
        pytest.param(modern("ping"), Reason.METHOD_NOT_ALLOWED, id="a method of the other era"),
        pytest.param(legacy("evil"), Reason.METHOD_NOT_ALLOWED, id="a method of none"),
        pytest.param(legacy("tools/call", {"name": "ours"}), Reason.TOOL_NOT_ALLOWED, id="a tool for others"),
        pytest.param(legacy("tools/call", {"name": "draft"}), Reason.SCOPE_MISSING, id="a tool with a scope"),
    ],
)
def test_what_the_rules_deny_is_not_asked(sent: tuple[Headers, bytes], reason: Reason) -> None:
    assert _reason(lambda: _post(sent)) is reason


def test_a_post_without_a_message_is_refused() -> None:
    exchange = _exchange("POST")

    assert _reason(lambda: ask_by_message(exchange, RULES, _handles())) is Reason.MESSAGE_INVALID


# Sessions

Ask = Callable[..., Asked | Refusal]
ASKS: Sequence[Any] = (
    pytest.param(partial(_post, legacy("tools/list")), id="POST"),
    pytest.param(_stream, id="GET"),
    pytest.param(_end, id="DELETE"),
)


@pytest.mark.parametrize("ask", ASKS)
def test_a_session_goes_on_by_the_name_that_the_server_gave_it(ask: Ask) -> None:
    asked = _allowed(ask(("mcp-session-id", _session(b"S/1~!"))))

    assert _headers(asked)["mcp-session-id"] == "S/1~!"


@pytest.mark.promise("session-bound")
@pytest.mark.parametrize("ask", ASKS)
@pytest.mark.parametrize(("principal", "route"), OTHERS)
def test_a_session_of_somebody_else_does_not_exist(ask: Ask, principal: Principal | None, route: str) -> None:
    handle = ("mcp-session-id", _session(b"s-1"))

    assert _reason(lambda: ask(handle, principal=principal, route=route)) is Reason.SESSION_UNKNOWN
    assert _headers(_allowed(ask(handle)))["mcp-session-id"] == "s-1"


@pytest.mark.promise("session-bound")
@pytest.mark.parametrize("ask", ASKS)
@pytest.mark.parametrize(
    "handle",
    [
        pytest.param("s-1", id="the name that only the server knows"),
        pytest.param("", id="nothing"),
        pytest.param("x" * 5000, id="something long"),
        pytest.param("größe", id="letters that no handle has"),
        pytest.param(_session()[:-1], id="a handle that lacks its end"),
        pytest.param(_session() + "=", id="a handle with padding"),
        pytest.param(" " + _session(), id="a handle after a space"),
        pytest.param(
            ("B" if _session()[0] == "A" else "A") + _session()[1:], id="a handle with another beginning"
        ),
        pytest.param(_handles().task(Task("s-1", "search")), id="the handle of a task"),
        pytest.param(_handles().request("s-1"), id="the handle of a request"),
        pytest.param(_handles().event(b"s-1", UNASKED), id="the handle of an event"),
        pytest.param(
            Handles(Sealer.random(), "docs", ALICE).session(b"s-1"), id="the handle of another gate"
        ),
    ],
)
def test_what_is_no_handle_of_a_session_is_none(ask: Ask, handle: str) -> None:
    assert _reason(lambda: ask(("mcp-session-id", handle))) is Reason.SESSION_UNKNOWN


@pytest.mark.parametrize(
    "handle", [_session(), "s-1"], ids=["a handle", "the name that only the server knows"]
)
def test_the_modern_era_has_no_sessions(handle: str) -> None:
    asked = _allowed(_post(modern("tools/list"), ("mcp-session-id", handle)))

    assert "mcp-session-id" not in _headers(asked)


@pytest.mark.parametrize("ask", ASKS)
def test_without_a_session_none_is_named(ask: Ask) -> None:
    assert "mcp-session-id" not in _headers(_allowed(ask()))


# Responses of clients


def _response(handle: Any, session: str | None = None, result: Any = None, **more: Any) -> Asked | Refusal:
    body = orjson.dumps({"jsonrpc": "2.0", "id": handle, "result": result or {}})
    headers = [*legacy("ping")[0]]
    if session is not None:
        headers.append(("mcp-session-id", session))
    return _post((headers, body), **more)


def _request_of(session: bytes | None, message_id: Any) -> str:
    handles = _handles()
    if session is not None:
        handles.session(session)
    return handles.request(message_id)


@pytest.mark.promise("response-asked-for")
@pytest.mark.parametrize("session", [None, b"s-1"], ids=["without a session", "in a session"])
@pytest.mark.parametrize("message_id", [7, 0, -1, "7", "", "r-1", "größe"], ids=repr)
def test_a_response_to_a_request_that_was_made_names_it_exactly(
    session: bytes | None, message_id: Any
) -> None:
    handle = None if session is None else _session(session)

    asked = _allowed(_response(_request_of(session, message_id), handle, {"action": "accept"}))

    sent = orjson.loads(asked.body)
    assert sent == {"jsonrpc": "2.0", "id": message_id, "result": {"action": "accept"}}
    assert type(sent["id"]) is type(message_id)
    assert _headers(asked)["content-length"] == str(len(asked.body))
    assert asked.expected is Expected.NOTHING


@pytest.mark.promise("response-asked-for")
@pytest.mark.parametrize(
    "message_id",
    [
        pytest.param(7, id="an id that a server would choose"),
        pytest.param("r-1", id="a text that a server would choose"),
        pytest.param("", id="an empty text"),
        pytest.param(_handles().task(Task("t", "search")), id="the handle of a task"),
        pytest.param(_handles().event(b"1", UNASKED), id="the handle of an event"),
        pytest.param(_handles().session(b"s-1"), id="the handle of a session"),
        pytest.param(_request_of(b"s-1", 7), id="the handle of a request in a session"),
        pytest.param(_request_of(None, 7)[:-2], id="a handle that lacks its end"),
    ],
)
def test_a_response_to_a_request_that_was_not_made_is_refused(message_id: Any) -> None:
    assert _reason(lambda: _response(message_id)) is Reason.RESPONSE_NOT_EXPECTED


@pytest.mark.promise("response-asked-for")
def test_a_response_to_the_request_of_another_session_is_refused() -> None:
    handle = _request_of(b"s-1", 7)

    for session in (_session(b"s-2"), None):
        assert _reason(partial(_response, handle, session)) is Reason.RESPONSE_NOT_EXPECTED
    in_no_session = _request_of(None, 7)
    assert _reason(lambda: _response(in_no_session, _session())) is Reason.RESPONSE_NOT_EXPECTED


@pytest.mark.promise("response-asked-for")
@pytest.mark.parametrize(("principal", "route"), OTHERS)
def test_a_response_to_the_request_of_somebody_else_is_refused(
    principal: Principal | None, route: str | None
) -> None:
    handle = _request_of(None, 7)

    refused = _reason(lambda: _response(handle, principal=principal, route=route))

    assert refused is Reason.RESPONSE_NOT_EXPECTED


def test_the_modern_era_has_no_responses() -> None:
    body = orjson.dumps({"jsonrpc": "2.0", "id": _request_of(None, 7), "result": {}})
    headers = modern("ping")[0]

    assert _reason(lambda: _post((headers, body))) is Reason.RESPONSE_NOT_EXPECTED


def test_a_response_is_related_to_a_task_by_the_name_that_the_server_gave_it() -> None:
    # As the specification of 2025-11-25 wants it said in every response to a request of a task.
    handle = _handles().task(Task("t1", "search"))
    result = {"action": "accept", "_meta": {RELATED_TASK: {"taskId": handle}}}

    asked = _allowed(_response(_request_of(None, 7), None, result))

    assert orjson.loads(asked.body)["result"]["_meta"] == {RELATED_TASK: {"taskId": "t1"}}


# Tasks


def _about(method: str, handle: str) -> tuple[Headers, bytes]:
    """Return a request about a task, of the era that has it."""
    if method == "tasks/result":
        return legacy(method, {"taskId": handle})
    headers, body = _declaring(modern(method, {"taskId": handle}))
    return [*headers, ("mcp-name", handle)], body


def _declaring(sent: tuple[Headers, bytes], extensions: Any = KNOWN_TASKS) -> tuple[Headers, bytes]:
    """Return a modern message of a client that knows these extensions."""
    members = orjson.loads(sent[1])
    members["params"]["_meta"][CAPABILITIES_KEY] = {"extensions": extensions}
    return sent[0], orjson.dumps(members)


def _listen(*handles: str) -> tuple[Headers, bytes]:
    return _declaring(modern("subscriptions/listen", {"notifications": {"taskIds": list(handles)}}))


TASK_METHODS = ["tasks/get", "tasks/result", "tasks/cancel", "tasks/update"]


@pytest.mark.parametrize(
    "extensions",
    [
        pytest.param({}, id="none"),
        pytest.param({"com.example/tasks": {}}, id="another"),
        pytest.param(None, id="null"),
        pytest.param([TASKS_EXTENSION], id="a list"),
        pytest.param(TASKS_EXTENSION, id="a text"),
    ],
)
def test_a_client_that_does_not_say_that_it_knows_tasks_is_told_to(extensions: Any) -> None:
    handle = _handles().task(Task("t", "search"))
    by_name, body = _about("tasks/get", handle)

    for sent in ((by_name, body), _listen(handle)):
        with pytest.raises(Fault) as caught:
            _post(_declaring(sent, extensions))

        assert caught.value.reason is Reason.CAPABILITY_MISSING
        assert caught.value.told == {"requiredCapabilities": {"extensions": {TASKS_EXTENSION: {}}}}


@pytest.mark.parametrize("settings", [{}, None, {"x": 1}], ids=ascii)
def test_a_client_that_says_in_any_way_that_it_knows_tasks_knows_them(settings: Any) -> None:
    sent = _about("tasks/get", _handles().task(Task("t", "search")))

    assert _allowed(_post(_declaring(sent, {TASKS_EXTENSION: settings}))).tasks == (Task("t", "search"),)


def test_a_stream_about_no_task_needs_no_client_that_knows_them() -> None:
    sent = modern("subscriptions/listen", {"notifications": {"taskIds": [], "toolsListChanged": True}})

    assert _allowed(_post(sent)).tasks == ()


@pytest.mark.parametrize("method", TASK_METHODS)
def test_a_task_goes_on_by_the_name_that_the_server_gave_it(method: str) -> None:
    task = Task("größe 1", "search")
    handle = _handles().task(task)

    asked = _allowed(_post(_about(method, handle)))

    assert orjson.loads(asked.body)["params"]["taskId"] == "größe 1"
    assert asked.tasks == (task,)
    assert asked.origin == Origin(method, handle, 1)
    if method != "tasks/result":
        assert read_header(_headers(asked)["mcp-name"].encode()) == "größe 1"


def test_a_stream_goes_on_about_tasks_by_the_names_that_the_server_gave_them() -> None:
    tasks = (Task("t1", "search"), Task("t2", "search"))

    asked = _allowed(_post(_listen(*map(_handles().task, tasks))))

    assert orjson.loads(asked.body)["params"]["notifications"] == {"taskIds": ["t1", "t2"]}
    assert asked.tasks == tasks


@pytest.mark.promise("session-bound")
@pytest.mark.parametrize("method", TASK_METHODS)
@pytest.mark.parametrize(("principal", "route"), OTHERS)
def test_a_task_of_somebody_else_does_not_exist(
    method: str, principal: Principal | None, route: str | None
) -> None:
    handle = _handles().task(Task("t1", "search"))

    for sent in (_about(method, handle), _listen(handle)):
        refused = _reason(partial(_post, sent, principal=principal, route=route))
        assert refused is Reason.TASK_NOT_ALLOWED


@pytest.mark.parametrize("method", TASK_METHODS)
@pytest.mark.parametrize(
    "handle",
    [
        pytest.param("t1", id="the name that only the server knows"),
        pytest.param("x" * 1000, id="something long"),
        pytest.param(_handles().task(Task("t1", "search"))[:-1], id="a handle that lacks its end"),
        pytest.param(_handles().request("t1"), id="the handle of a request"),
        pytest.param(_handles().session(b"t1"), id="the handle of a session"),
    ],
)
def test_what_is_no_handle_of_a_task_is_none(method: str, handle: str) -> None:
    good = _handles().task(Task("t1", "search"))

    for sent in (_about(method, handle), _listen(handle), _listen(good, handle)):
        assert _reason(partial(_post, sent)) is Reason.TASK_NOT_ALLOWED


@pytest.mark.parametrize("method", TASK_METHODS)
@pytest.mark.parametrize(
    ("tool", "reason"),
    [
        pytest.param("gone", Reason.TASK_NOT_ALLOWED, id="a tool that is no longer listed"),
        pytest.param("ours", Reason.TASK_NOT_ALLOWED, id="a tool that is for others by now"),
        pytest.param("draft", Reason.SCOPE_MISSING, id="a tool that needs a scope by now"),
    ],
)
def test_a_task_ends_with_the_leave_to_call_its_tool(method: str, tool: str, reason: Reason) -> None:
    handle = _handles().task(Task("t1", tool))

    for sent in (_about(method, handle), _listen(handle)):
        assert _reason(partial(_post, sent)) is reason


@pytest.mark.parametrize("method", TASK_METHODS)
def test_where_tasks_are_not_offered_nothing_is_asked_about_them(method: str) -> None:
    handle = _handles().task(Task("t1", "search"))

    assert _reason(lambda: _post(_about(method, handle), rules=ONE_TOOL)) is Reason.METHOD_NOT_ALLOWED


@pytest.mark.parametrize(
    "handle",
    [_handles().task(Task("t1", "search")), "t1"],
    ids=["a handle", "the name that the server knows"],
)
def test_where_tasks_are_not_offered_no_stream_is_about_one(handle: str) -> None:
    asked = _allowed(_post(_listen(handle), rules=ONE_TOOL))

    assert orjson.loads(asked.body)["params"]["notifications"] == {}
    assert asked.tasks == ()


def test_a_task_outlives_the_session_in_which_it_began() -> None:
    handles = _handles()
    handles.session(b"s-1")
    handle = handles.task(Task("t1", "search"))

    for session in ((), (("mcp-session-id", _session(b"s-2")),)):
        assert _allowed(_post(_about("tasks/result", handle), *session)).tasks == (Task("t1", "search"),)


# Streams


def test_a_stream_for_what_a_server_says_unasked_is_asked_for() -> None:
    headers = (
        ("host", "docs.example.com"),
        ("accept", "text/event-stream"),
        ("accept-encoding", "br"),
        ("content-type", "application/json"),
        ("content-length", "0"),
        ("mcp-method", "tools/call"),
        ("mcp-name", "drop"),
        ("mcp-protocol-version", "2025-11-25"),
        ("mcp-session-id", _session()),
    )

    asked = _allowed(_stream(*headers))

    assert asked == Asked(
        headers=[
            (b"host", b"docs.example.com"),
            (b"accept", b"text/event-stream"),
            (b"mcp-protocol-version", b"2025-11-25"),
            IDENTITY,
            (b"mcp-session-id", b"s-1"),
        ],
        body=b"",
        expected=Expected.STREAM,
        origin=UNASKED,
        era=Era.LEGACY,
        tasks=(),
    )


def _event(origin: Origin, event_id: bytes = b"e-1", session: bytes | None = None) -> tuple[str, str]:
    handles = _handles()
    if session is not None:
        handles.session(session)
    return "last-event-id", handles.event(event_id, origin)


@pytest.mark.parametrize(
    "event_id",
    [
        pytest.param(b"e-1", id="an id"),
        pytest.param(b"", id="an empty id"),
        pytest.param(b"\xfc\xff \t", id="an id that is no text"),
        pytest.param(b"x" * 512, id="a long id"),
    ],
)
@pytest.mark.parametrize(
    "origin",
    [
        pytest.param(UNASKED, id="what was said unasked"),
        pytest.param(Origin("tools/call", "search", 7), id="a call"),
        pytest.param(Origin("tools/call", "search", "7"), id="a call whose id is a text"),
        pytest.param(Origin("tools/list", None, 0), id="a list"),
        pytest.param(Origin("initialize", None, ""), id="initialize"),
        pytest.param(Origin("resources/read", "docs:///a/b.md", 7), id="a resource"),
        pytest.param(Origin("acme/do", None, 7), id="a method that is listed"),
    ],
)
def test_a_stream_goes_on_after_the_last_event_that_was_seen(origin: Origin, event_id: bytes) -> None:
    asked = _allowed(_stream(_event(origin, event_id)))

    assert (b"last-event-id", event_id) in asked.headers
    assert len([name for name, _ in asked.headers if name == b"last-event-id"]) == 1
    assert asked.origin == origin
    assert type(asked.origin.message_id) is type(origin.message_id)
    assert (asked.expected, asked.era, asked.body) == (Expected.STREAM, Era.LEGACY, b"")


def test_the_stream_of_a_task_goes_on_with_what_it_is_about() -> None:
    task = Task("t1", "search")
    origin = Origin("tasks/result", _handles().task(task), 7)

    asked = _allowed(_stream(_event(origin)))

    assert (asked.origin, asked.tasks) == (origin, (task,))


@pytest.mark.parametrize(
    ("origin", "reason"),
    [
        pytest.param(
            Origin("tools/call", "gone", 7), Reason.TOOL_NOT_ALLOWED, id="a tool that is unlisted now"
        ),
        pytest.param(Origin("tools/call", "ours", 7), Reason.TOOL_NOT_ALLOWED, id="a tool for others by now"),
        pytest.param(
            Origin("tools/call", "draft", 7), Reason.SCOPE_MISSING, id="a tool that needs a scope now"
        ),
        pytest.param(Origin("prompts/get", "gone", 7), Reason.PROMPT_NOT_ALLOWED, id="a prompt"),
        pytest.param(Origin("resources/read", "x:///", 7), Reason.RESOURCE_NOT_ALLOWED, id="a resource"),
        pytest.param(Origin("logging/setLevel", None, 7), Reason.METHOD_NOT_ALLOWED, id="log levels"),
        pytest.param(Origin("gone/do", None, 7), Reason.METHOD_NOT_ALLOWED, id="a method"),
        pytest.param(
            Origin("tasks/result", _handles().task(Task("t1", "gone")), 7),
            Reason.TASK_NOT_ALLOWED,
            id="a task of a tool that is unlisted now",
        ),
        pytest.param(
            Origin("tasks/result", _handles(_principal("bob")).task(Task("t1", "search")), 7),
            Reason.TASK_NOT_ALLOWED,
            id="a task of somebody else",
        ),
    ],
)
def test_a_stream_does_not_go_on_when_what_it_answers_is_no_longer_allowed(
    origin: Origin, reason: Reason
) -> None:
    assert _reason(lambda: _stream(_event(origin))) is reason


@pytest.mark.promise("session-bound")
@pytest.mark.parametrize(("principal", "route"), OTHERS)
def test_the_stream_of_somebody_else_does_not_exist(principal: Principal | None, route: str | None) -> None:
    event = _event(Origin("tools/call", "search", 7))

    assert _reason(lambda: _stream(event, principal=principal, route=route)) is Reason.EVENT_UNKNOWN


@pytest.mark.promise("session-bound")
def test_the_stream_of_another_session_does_not_exist() -> None:
    event = _event(UNASKED, session=b"s-1")

    assert _allowed(_stream(event, ("mcp-session-id", _session(b"s-1")))).origin == UNASKED
    assert _reason(lambda: _stream(event, ("mcp-session-id", _session(b"s-2")))) is Reason.EVENT_UNKNOWN
    assert _reason(lambda: _stream(event)) is Reason.EVENT_UNKNOWN


@pytest.mark.parametrize(
    "handle",
    [
        pytest.param("e-1", id="the name that only the server knows"),
        pytest.param("", id="nothing"),
        pytest.param("größe", id="letters that no handle has"),
        pytest.param(_event(UNASKED)[1][:-1], id="a handle that lacks its end"),
        pytest.param(_handles().task(Task("e-1", "search")), id="the handle of a task"),
        pytest.param(_handles().request("e-1"), id="the handle of a request"),
        pytest.param(_handles().session(b"e-1"), id="the handle of a session"),
    ],
)
def test_what_is_no_handle_of_an_event_is_none(handle: str) -> None:
    assert _reason(lambda: _stream(("last-event-id", handle))) is Reason.EVENT_UNKNOWN


def test_the_last_event_means_nothing_beside_a_message_or_an_end() -> None:
    event = _event(UNASKED)

    assert "last-event-id" not in _headers(_allowed(_post(legacy("tools/list"), event)))
    assert "last-event-id" not in _headers(_allowed(_end(event)))


# Ends, and the other era


def test_the_end_of_a_session_is_asked_for() -> None:
    asked = _allowed(_end(("host", "docs.example.com"), ("mcp-session-id", _session()), ("mcp-name", "x")))

    assert asked == Asked(
        headers=[(b"host", b"docs.example.com"), IDENTITY, (b"mcp-session-id", b"s-1")],
        body=b"",
        expected=Expected.NOTHING,
        origin=UNASKED,
        era=Era.LEGACY,
    )


@pytest.mark.parametrize(
    ("version", "reason"),
    [
        pytest.param("2026-07-28", Reason.STREAM_NOT_OFFERED, id="the modern version"),
        pytest.param(" 2026-07-28\t", Reason.STREAM_NOT_OFFERED, id="the modern version with white space"),
        pytest.param("2024-11-05", Reason.PROTOCOL_VERSION_NOT_SUPPORTED, id="a version before ours"),
        pytest.param("", Reason.PROTOCOL_VERSION_NOT_SUPPORTED, id="an empty version"),
    ],
)
@pytest.mark.parametrize("ask", [pytest.param(_stream, id="GET"), pytest.param(_end, id="DELETE")])
def test_only_the_legacy_era_has_streams_and_ends(ask: Ask, version: str, reason: Reason) -> None:
    headers = [("mcp-protocol-version", version), ("mcp-session-id", _session()), _event(UNASKED)]

    assert _reason(lambda: ask(*headers)) is reason


@pytest.mark.parametrize("version", ["2025-11-25", "2025-06-18", "2025-03-26", None], ids=str)
@pytest.mark.parametrize("ask", [pytest.param(_stream, id="GET"), pytest.param(_end, id="DELETE")])
def test_every_legacy_version_has_streams_and_ends(ask: Ask, version: str | None) -> None:
    headers = [] if version is None else [("mcp-protocol-version", version)]

    assert _allowed(ask(*headers)).era is Era.LEGACY


# Whoever asks

NAMES = st.binary(min_size=1, max_size=8).map(lambda octets: octets.hex().encode())
PEOPLE = st.sampled_from([None, ALICE, _principal("bob"), _principal(client_id="other")])
ROUTES = st.sampled_from([None, "docs", "wiki"])


@pytest.mark.promise("session-bound")
@given(name=NAMES, owner=PEOPLE, route=ROUTES, other=PEOPLE, other_route=ROUTES)
def test_a_handle_opens_for_exactly_whom_it_was_made_for(
    name: bytes, owner: Principal | None, route: str | None, other: Principal | None, other_route: str | None
) -> None:
    made = _handles(owner, route)
    task, event, request = made.task(Task("t", "search")), made.event(name, UNASKED), made.request("r")
    session = made.session(name)
    asks: Mapping[str, Callable[[], Asked | Refusal]] = {
        "session": partial(_stream, ("mcp-session-id", session), principal=other, route=other_route),
        "event": partial(_stream, ("last-event-id", event), principal=other, route=other_route),
        "task": partial(_post, _about("tasks/result", task), principal=other, route=other_route),
        "request": partial(_response, request, principal=other, route=other_route),
    }

    for purpose, ask in asks.items():
        try:
            is_open = isinstance(ask(), Asked)
        except Fault:
            is_open = False
        assert is_open is ((owner, route) == (other, other_route)), purpose


# Pages and states

LISTS = ("prompts/list", "resources/list", "resources/templates/list", "tools/list")
ERAS = [pytest.param(legacy, id="legacy"), pytest.param(modern, id="modern")]
RULES_OF_BOTH = MessageRules(
    tools=list_tools(["search", "open"]),
    prompts=Names(["search"], Reason.PROMPT_NOT_ALLOWED),
    resources=Resources(["docs:///{+path}"]),
)


def _params(asked: Asked) -> Any:
    return orjson.loads(asked.body)["params"]


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("method", LISTS)
@pytest.mark.parametrize("name", ["2", "", "docs:///board/plan.md", "\u00e9 \U0001f600\n"], ids=ascii)
def test_the_next_page_is_asked_for_by_the_name_that_the_server_gave_it(
    name: str, method: str, era: Any
) -> None:
    sent = era(method, {"cursor": _handles().cursor(method, name)})

    asked = _allowed(_post(sent))

    assert _params(asked)["cursor"] == name
    assert _headers(asked)["content-length"] == str(len(asked.body))


@pytest.mark.parametrize("era", ERAS)
def test_a_page_is_the_same_in_every_session(era: Any) -> None:
    handles = _handles()
    handles.session(b"s-1")
    sent = era("tools/list", {"cursor": handles.cursor("tools/list", "2")})

    assert _params(_allowed(_post(sent, ("mcp-session-id", _session(b"s-2")))))["cursor"] == "2"


@pytest.mark.promise("session-bound")
@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize(("principal", "route"), OTHERS)
def test_a_page_of_somebody_else_does_not_exist(
    principal: Principal | None, route: str | None, era: Any
) -> None:
    sent = era("tools/list", {"cursor": _handles().cursor("tools/list", "2")})

    assert _reason(lambda: _post(sent, principal=principal, route=route)) is Reason.PARAMS_INVALID


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize(
    "cursor",
    [
        pytest.param(_handles().cursor("prompts/list", "2"), id="a page of another list"),
        pytest.param(_handles().state(Origin("tools/list", None, 1), "2"), id="a state"),
        pytest.param(_handles().task(Task("2", "search")), id="a task"),
        pytest.param(_session(b"2"), id="a session"),
        pytest.param(_handles().cursor("tools/list", "2")[:-1], id="a page cut short"),
        pytest.param(_handles().cursor("tools/list", "2") + "=", id="a page in another spelling"),
        pytest.param("2", id="the server's own name"),
        pytest.param("\u0662", id="what is not ASCII"),
        pytest.param("", id="nothing"),
        pytest.param("A" * 300_000, id="more than is ever opened"),
        pytest.param(2, id="a number"),
        pytest.param(True, id="true"),
        pytest.param([_handles().cursor("tools/list", "2")], id="a list"),
        pytest.param({"cursor": "2"}, id="an object"),
    ],
)
def test_what_is_no_handle_of_a_page_is_refused(cursor: Any, era: Any) -> None:
    assert _reason(lambda: _post(era("tools/list", {"cursor": cursor}))) is Reason.PARAMS_INVALID


@pytest.mark.parametrize("era", ERAS)
def test_null_is_the_first_page(era: Any) -> None:
    assert _params(_allowed(_post(era("tools/list", {"cursor": None}))))["cursor"] is None


def test_a_cursor_of_a_listed_method_is_its_own() -> None:
    sent = legacy("acme/do", {"cursor": "2"})

    assert _allowed(_post(sent)).body == sent[1]


ASKED_AGAIN = [
    pytest.param("tools/call", {"name": "search"}, id="a tool"),
    pytest.param("prompts/get", {"name": "search"}, id="a prompt"),
    pytest.param("resources/read", {"uri": "docs:///a"}, id="a resource"),
]


def _target(params: Mapping[str, str]) -> str:
    (target,) = params.values()
    return target


@pytest.mark.parametrize(("method", "params"), ASKED_AGAIN)
@pytest.mark.parametrize("state", ["s", "", '{"uid":0}', "\U0001f600\n", "s" * 100_000], ids=len)
def test_a_server_is_told_what_it_wanted_to_be_told_again(state: str, method: str, params: Any) -> None:
    handle = _handles().state(Origin(method, _target(params), 1), state)
    answers = {"q": {"action": "accept"}}

    asked = _allowed(
        _post(
            modern(method, {**params, "requestState": handle, "inputResponses": answers}, message_id=2),
            rules=RULES_OF_BOTH,
        )
    )

    assert (_params(asked)["requestState"], _params(asked)["inputResponses"]) == (state, answers)
    assert asked.origin == Origin(method, _target(params), 2)


@pytest.mark.promise("session-bound")
@pytest.mark.parametrize(("method", "params"), ASKED_AGAIN)
@pytest.mark.parametrize(("principal", "route"), OTHERS)
def test_what_a_server_said_to_somebody_else_is_not_told_again(
    principal: Principal | None, route: str | None, method: str, params: Any
) -> None:
    handle = _handles().state(Origin(method, _target(params), 1), "s")
    sent = modern(method, {**params, "requestState": handle})
    ask = partial(_post, sent, rules=RULES_OF_BOTH, principal=principal, route=route)

    assert _reason(ask) is Reason.PARAMS_INVALID


@pytest.mark.parametrize(
    "state",
    [
        pytest.param(_handles().state(Origin("tools/call", "open", 1), "s"), id="of another tool"),
        pytest.param(
            _handles().state(Origin("prompts/get", "search", 1), "s"), id="of a prompt of that name"
        ),
        pytest.param(_handles().state(Origin("tools/call", None, 1), "s"), id="of no tool"),
        pytest.param(_handles().cursor("tools/call", "s"), id="a page"),
        pytest.param("s", id="the server's own"),
        pytest.param("", id="nothing"),
        pytest.param(7, id="a number"),
        pytest.param({}, id="an object"),
    ],
)
def test_what_a_server_did_not_say_about_this_is_not_told_it(state: Any) -> None:
    sent = modern("tools/call", {"name": "search", "requestState": state})

    assert _reason(lambda: _post(sent, rules=RULES_OF_BOTH)) is Reason.PARAMS_INVALID


@pytest.mark.parametrize(("method", "params"), ASKED_AGAIN)
@pytest.mark.parametrize("state", ["s", "", _handles().state(Origin("tools/call", "open", 1), "s")], ids=len)
def test_in_the_legacy_era_a_server_is_told_no_state_of_a_clients_own_either(
    state: str, method: str, params: Any
) -> None:
    ask = partial(_post, legacy(method, {**params, "requestState": state}), rules=RULES_OF_BOTH)

    assert _reason(ask) in (Reason.PARAMS_INVALID, Reason.MESSAGE_INVALID)


def test_what_may_not_be_used_is_refused_before_its_handle_is_looked_at() -> None:
    sent = modern("tools/call", {"name": "hidden", "requestState": "s"})

    assert _reason(lambda: _post(sent)) is Reason.TOOL_NOT_ALLOWED


@pytest.mark.parametrize("era", ERAS)
def test_a_completion_of_a_template_knows_what_it_completes(era: Any) -> None:
    params = {
        "ref": {"type": "ref/resource", "uri": "docs:///{+path}"},
        "argument": {"name": "path", "value": "a"},
        "context": {"arguments": {"lang": "en", "depth": 2}},
    }

    completed = _allowed(_post(era("completion/complete", params))).completed

    assert completed is not None
    assert (completed.template.template, completed.name, completed.others) == (
        "docs:///{+path}",
        "path",
        {"lang": "en"},
    )


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize(
    "reference",
    [
        pytest.param({"type": "ref/prompt", "name": "review"}, id="a prompt"),
        pytest.param({"type": "ref/resource", "uri": "docs:///a"}, id="a resource that is no template"),
    ],
)
def test_nothing_else_completes_a_template(reference: Any, era: Any) -> None:
    params = {"ref": reference, "argument": {"name": "path", "value": "a"}}

    assert _allowed(_post(era("completion/complete", params))).completed is None


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("name", ["a{b}", "docs:///{+path}", "}{"])
def test_a_prompt_whose_name_looks_like_a_template_is_none(name: str, era: Any) -> None:
    rules = MessageRules(prompts=Names([name], Reason.PROMPT_NOT_ALLOWED))
    params = {"ref": {"type": "ref/prompt", "name": name}, "argument": {"name": "x", "value": ""}}

    assert _allowed(_post(era("completion/complete", params), rules=rules)).completed is None


def test_a_missing_scope_is_named() -> None:
    handle = _handles().task(Task("t1", "draft"))

    assert _post(_about("tasks/get", handle)) == NeedsScopes(("docs:draft",))
    assert _post(_about("tasks/get", handle), principal=_principal(scopes="docs:draft"))


# What a request is taken back by, and what goes on until it is


def _cancelled(request_id: Any, *more: tuple[str, str], era: Any = legacy) -> Asked:
    headers, body = era("notifications/cancelled", {"requestId": request_id})
    message = orjson.loads(body)
    del message["id"]
    return _allowed(_post((headers, orjson.dumps(message)), *more))


IDS = [
    pytest.param(1, id="a number"),
    pytest.param(0, id="zero"),
    pytest.param(-7, id="a number below it"),
    pytest.param("1", id="a text"),
    pytest.param("", id="an empty text"),
]


@pytest.mark.parametrize("message_id", IDS)
def test_a_request_of_a_session_is_taken_back_by_its_id(message_id: Any) -> None:
    session = ("mcp-session-id", _session())
    asked = _allowed(_post(legacy("tools/list", message_id=message_id), session))
    taken_back = _cancelled(message_id, session)

    assert asked.key is not None
    assert (asked.cancels, taken_back.key) == (None, None)
    assert taken_back.cancels == asked.key


@pytest.mark.parametrize(
    ("request_id", "session"),
    [
        pytest.param(2, _session(), id="another id"),
        pytest.param("1", _session(), id="the id as a text"),
        pytest.param(True, _session(), id="true, which Python takes for 1"),
        pytest.param(1.0, _session(), id="the id as a fraction"),
        pytest.param(None, _session(), id="null"),
        pytest.param([1], _session(), id="a list"),
        pytest.param({"id": 1}, _session(), id="an object"),
        pytest.param(1, _session(b"s-2"), id="the id in another session"),
    ],
)
def test_a_request_is_taken_back_by_nothing_else(request_id: Any, session: str) -> None:
    asked = _allowed(_post(legacy("tools/list"), ("mcp-session-id", _session())))

    assert _cancelled(request_id, ("mcp-session-id", session)).cancels != asked.key


@pytest.mark.parametrize("message_id", IDS)
def test_without_a_session_nothing_is_taken_back_because_others_may_use_the_same_id(message_id: Any) -> None:
    assert _allowed(_post(legacy("tools/list", message_id=message_id))).key is None
    assert _cancelled(message_id).cancels is None


def test_in_the_modern_era_nothing_is_taken_back_by_a_message() -> None:
    session = ("mcp-session-id", _session())

    assert _allowed(_post(modern("tools/list"), session)).key is None
    assert _cancelled(1, session, era=modern).cancels is None


@pytest.mark.promise("session-bound")
@pytest.mark.parametrize(("principal", "route"), OTHERS)
def test_nobody_takes_back_what_somebody_else_asked(principal: Principal | None, route: str | None) -> None:
    headers, body = legacy("notifications/cancelled", {"requestId": 1})
    message = orjson.loads(body)
    del message["id"]
    session = ("mcp-session-id", _session())

    def ask() -> Asked | Refusal:
        return _post((headers, orjson.dumps(message)), session, principal=principal, route=route)

    assert _reason(ask) is Reason.SESSION_UNKNOWN


def test_only_a_notification_of_that_name_takes_anything_back() -> None:
    session = ("mcp-session-id", _session())
    headers, body = legacy("acme/do", {"requestId": 1})
    notification = orjson.loads(body)
    del notification["id"]

    told = _allowed(_post((headers, orjson.dumps(notification)), session))
    asked = _allowed(_post((headers, body), session))

    assert (told.expected, told.key, told.cancels) == (Expected.NOTHING, None, None)
    assert asked.key is not None
    assert asked.cancels is None


def test_a_response_to_the_server_is_taken_back_by_nothing() -> None:
    session = _session()

    asked = _allowed(_response(_request_of(b"s-1", 1), session))

    assert (asked.key, asked.cancels, asked.load) == (None, None, Load.ASIDE)


def _notified() -> Asked:
    headers, body = legacy("notifications/initialized")
    message = orjson.loads(body)
    del message["id"]
    return _allowed(_post((headers, orjson.dumps(message))))


@pytest.mark.parametrize(
    ("asked", "load"),
    [
        pytest.param(_stream, Load.STREAM, id="a stream of a session"),
        pytest.param(lambda: _stream(_event(UNASKED)), Load.STREAM, id="the rest of one"),
        pytest.param(lambda: _post(_listen()), Load.STREAM, id="a subscription"),
        pytest.param(lambda: _post(legacy("tools/list")), Load.CALL, id="a list"),
        pytest.param(lambda: _post(modern("tools/call", {"name": "search"})), Load.CALL, id="a call"),
        pytest.param(_notified, Load.ASIDE, id="a notification"),
        pytest.param(lambda: _cancelled(1), Load.ASIDE, id="one that takes something back"),
        pytest.param(_end, Load.ASIDE, id="the end of a session"),
    ],
)
def test_what_is_asked_is_a_call_a_stream_or_said_aside(
    asked: Callable[[], Asked | Refusal], load: Load
) -> None:
    assert _allowed(asked()).load is load
