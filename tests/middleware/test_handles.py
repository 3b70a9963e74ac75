from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.support.asgi import Reply, call, http_scope
from tests.support.audit import Records
from tests.support.mcp import legacy, modern
from tunnelgate import AuditLog, Reason, ToolAllowlist
from tunnelgate.asgi import ASGIApp, Receive, Scope, Send
from tunnelgate.exchange import Principal, exchange_of
from tunnelgate.handles import UNASKED, Handles, Origin, Task
from tunnelgate.handover import Handover
from tunnelgate.reading.fault import Fault
from tunnelgate.reading.head import read_head
from tunnelgate.reading.message import MAX_ID, read_message
from tunnelgate.reading.methods import MAX_HANDLE, MAX_NAME, MAX_URI
from tunnelgate.sealing import MAX_SEALED, MIN_KEY, Sealer

SEALER = Sealer([b"k" * MIN_KEY])
ALICE = Principal("https://login.example.com/", "alice", "app", frozenset(), {})
CALL = Origin("tools/call", "search_docs", 1)
TASK = Task("t1", "search_docs")
OVERHEAD = 17  # octets of what is sealed: the tag, and the one that makes no text empty


def _handles(
    route: str | None = "docs",
    principal: Principal | None = ALICE,
    session: bytes = b"s1",
    sealer: Sealer = SEALER,
) -> Handles:
    """Return the handles of somebody, in a session unless that is empty."""
    handles = Handles(sealer, route, principal)
    if session:
        handles.session(session)
    return handles


# The kinds of handles: how one is made of a name, how it is opened again, and the refusal.
Make = Callable[[Handles], str]
Open = Callable[[Handles, str], object]
KINDS: dict[str, tuple[Make, Open, Reason]] = {
    "a session": (lambda h: h.session(b"s1"), lambda h, text: h.enter(text), Reason.SESSION_UNKNOWN),
    "a request": (
        lambda h: h.request(7),
        lambda h, text: h.open_request(text),
        Reason.RESPONSE_NOT_EXPECTED,
    ),
    "an event": (
        lambda h: h.event(b"e1", CALL),
        lambda h, text: h.open_event(text),
        Reason.EVENT_UNKNOWN,
    ),
    "a task": (lambda h: h.task(TASK), lambda h, text: h.open_task(text), Reason.TASK_NOT_ALLOWED),
    "a page": (
        lambda h: h.cursor("tools/list", "c2"),
        lambda h, text: h.open_cursor("tools/list", text),
        Reason.PARAMS_INVALID,
    ),
    "a state": (
        lambda h: h.state(CALL, "x"),
        lambda h, text: h.open_state(CALL, text),
        Reason.PARAMS_INVALID,
    ),
}
OPENED: dict[str, object] = {
    "a session": "s1",
    "a request": 7,
    "an event": ("e1", CALL),
    "a task": TASK,
    "a page": "c2",
    "a state": "x",
}


def _reason(opening: Callable[[], object]) -> Reason:
    with pytest.raises(Fault) as caught:
        opening()
    return caught.value.reason


# Whom a handle is for


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("principal", [ALICE, None], ids=["a principal", "nobody in particular"])
@pytest.mark.parametrize("route", ["docs", None], ids=["a route", "no route"])
@pytest.mark.parametrize("session", [b"s1", b""], ids=["in a session", "without one"])
def test_whoever_was_given_a_handle_can_use_it_also_at_another_replica(
    kind: str, principal: Principal | None, route: str | None, session: bytes
) -> None:
    make, open_, _ = KINDS[kind]

    handle = make(_handles(route, principal, session))

    assert open_(_handles(route, principal, session, Sealer([b"k" * MIN_KEY])), handle) == OPENED[kind]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "other",
    [
        pytest.param(_handles(principal=replace(ALICE, subject="bob")), id="another subject"),
        pytest.param(_handles(principal=replace(ALICE, subject="Alice")), id="a subject in capitals"),
        pytest.param(
            _handles(principal=replace(ALICE, issuer="https://other.example.com/")), id="another issuer"
        ),
        pytest.param(_handles(principal=replace(ALICE, client_id="other")), id="another application"),
        pytest.param(
            _handles(principal=replace(ALICE, subject="alicea", client_id="pp")), id="parts cut elsewhere"
        ),
        pytest.param(
            _handles(principal=replace(ALICE, subject="app", client_id="alice")), id="parts changed about"
        ),
        pytest.param(_handles(principal=None), id="nobody in particular"),
        pytest.param(_handles("wiki"), id="another route"),
        pytest.param(_handles(None), id="no route"),
        pytest.param(_handles(sealer=Sealer.random()), id="another gate"),
    ],
)
def test_a_handle_is_nothing_to_anybody_else_and_anywhere_else(kind: str, other: Handles) -> None:
    make, open_, reason = KINDS[kind]

    handle = make(_handles())

    assert _reason(lambda: open_(other, handle)) == reason


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "principal",
    [
        pytest.param(replace(ALICE, scopes=frozenset({"more"})), id="with other scopes"),
        pytest.param(replace(ALICE, claims={"iat": 1}), id="with other claims"),
    ],
)
def test_a_handle_outlives_the_token_that_it_was_given_for(kind: str, principal: Principal) -> None:
    make, open_, _ = KINDS[kind]

    assert open_(_handles(principal=principal), make(_handles())) == OPENED[kind]


@pytest.mark.parametrize("kind", ["a request", "an event"])
@pytest.mark.parametrize(
    ("given", "used"),
    [
        pytest.param(b"s1", b"s2", id="in another session"),
        pytest.param(b"s1", b"", id="in no session"),
        pytest.param(b"", b"s1", id="in a session, made in none"),
    ],
)
def test_a_request_and_an_event_belong_to_their_session(kind: str, given: bytes, used: bytes) -> None:
    make, open_, reason = KINDS[kind]

    handle = make(_handles(session=given))

    assert _reason(lambda: open_(_handles(session=used), handle)) == reason


@pytest.mark.parametrize("kind", ["a task", "a page", "a state"])
@pytest.mark.parametrize("used", [b"s2", b""], ids=["another session", "no session"])
def test_a_task_a_page_and_a_state_outlive_their_session(kind: str, used: bytes) -> None:
    make, open_, _ = KINDS[kind]

    assert open_(_handles(session=used), make(_handles(session=b"s1"))) == OPENED[kind]


LISTS = ["prompts/list", "resources/list", "resources/templates/list", "tools/list"]


@pytest.mark.parametrize("made_for", LISTS)
@pytest.mark.parametrize("used_for", LISTS)
def test_a_page_belongs_to_its_list(made_for: str, used_for: str) -> None:
    handle = _handles().cursor(made_for, "c2")

    if made_for == used_for:
        assert _handles().open_cursor(used_for, handle) == "c2"
    else:
        assert _reason(lambda: _handles().open_cursor(used_for, handle)) == Reason.PARAMS_INVALID


@pytest.mark.parametrize(
    ("other", "is_opened"),
    [
        pytest.param(replace(CALL, message_id="a"), True, id="with another id"),
        pytest.param(replace(CALL, target="drop_docs"), False, id="with another tool"),
        pytest.param(replace(CALL, target=None), False, id="with no tool"),
        pytest.param(replace(CALL, method="prompts/get"), False, id="by another method"),
        pytest.param(Origin("tools/calls", "earch_docs", 1), False, id="with the parts cut elsewhere"),
    ],
)
def test_a_state_belongs_to_what_was_asked(other: Origin, is_opened: bool) -> None:  # noqa: FBT001
    handle = _handles().state(CALL, "x")

    if is_opened:
        assert _handles().open_state(other, handle) == "x"
    else:
        assert _reason(lambda: _handles().open_state(other, handle)) == Reason.PARAMS_INVALID


# Handles in places of others


@pytest.mark.parametrize(
    ("made", "used_as"),
    [
        pytest.param(made, used_as, id=f"{made} as {used_as}")
        for made in KINDS
        for used_as in KINDS
        if made != used_as
    ],
)
@pytest.mark.parametrize("session", [b"s1", b""], ids=["in a session", "without one"])
def test_no_handle_can_be_used_as_one_of_another_kind(made: str, used_as: str, session: bytes) -> None:
    handle = KINDS[made][0](_handles(session=session))
    _, open_, reason = KINDS[used_as]

    assert _reason(lambda: open_(_handles(session=session), handle)) == reason


def test_a_name_of_a_server_that_looks_like_a_handle_is_sealed_like_any_other() -> None:
    mine = _handles()
    stolen = _handles(principal=replace(ALICE, subject="bob")).task(TASK)

    handle = mine.task(Task(stolen, "search_docs"))

    assert mine.open_task(handle) == Task(stolen, "search_docs")
    assert _reason(lambda: mine.open_task(stolen)) == Reason.TASK_NOT_ALLOWED


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "name",
    ["s1", "7", "e1", "t1", "c2", "x", "", "null", "é", "A" * 40, "A" * (MAX_SEALED + 1)],
    ids=[
        "the server's name of the session",
        "that of the request",
        "that of the event",
        "that of the task",
        "that of the page",
        "the state",
        "nothing",
        "null",
        "a letter that is not ASCII",
        "something that was never sealed",
        "something too long",
    ],
)
def test_what_was_never_sealed_is_no_handle(kind: str, name: str) -> None:
    _, open_, reason = KINDS[kind]

    assert _reason(lambda: open_(_handles(), name)) == reason


@pytest.mark.parametrize("handle", [7, 0, True, None], ids=["a number", "zero", "true", "none"])
def test_a_response_to_a_number_answers_nothing_that_was_asked(handle: Any) -> None:
    assert _reason(lambda: _handles().open_request(handle)) == Reason.RESPONSE_NOT_EXPECTED


# Sessions


def test_entering_a_session_is_being_in_the_one_that_the_server_named() -> None:
    server, client = _handles(session=b""), _handles(session=b"")
    session = server.session(b"s1")
    event = server.event(b"e1", CALL)

    assert client.enter(session) == "s1"
    assert client.open_event(event) == ("e1", CALL)


def test_a_session_that_may_not_be_entered_was_not_entered() -> None:
    handles = _handles(session=b"")
    event = handles.event(b"e1", CALL)

    assert _reason(lambda: handles.enter("A" * 40)) == Reason.SESSION_UNKNOWN
    assert handles.open_event(event) == ("e1", CALL)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"a b", id="a space"),
        pytest.param(b"a\tb", id="a tab"),
        pytest.param(b"a\r\nx: y", id="a line end"),
        pytest.param(b"a\x7f", id="a control character"),
        pytest.param(b"\xe9", id="an octet that is not ASCII"),
    ],
)
def test_a_session_id_that_no_header_can_have_is_no_answer(name: bytes) -> None:
    assert _reason(lambda: _handles(session=b"").session(name)) == Reason.ANSWER_NOT_VALID


@given(name=st.binary(min_size=1, max_size=60))
def test_a_session_id_that_a_header_can_have_comes_back_as_it_was(name: bytes) -> None:
    visible = bytes(0x21 + octet % (0x7F - 0x21) for octet in name)

    assert _handles(session=b"").enter(_handles(session=b"").session(visible)) == visible.decode()


# What comes back


@given(message_id=st.text(max_size=40) | st.integers(-(2**63), 2**64 - 1))
@example(message_id=2**64 - 1)
@example(message_id=-(2**63))
def test_the_id_of_a_request_comes_back_as_it_was(message_id: str | int) -> None:
    opened = _handles().open_request(_handles().request(message_id))

    assert (opened, type(opened)) == (message_id, type(message_id))


@given(
    event_id=st.binary(max_size=40),
    origin=st.just(UNASKED)
    | st.builds(
        Origin,
        st.sampled_from(["tools/call", "tools/list", ""]),
        st.none() | st.text(max_size=40),
        st.none() | st.text(max_size=40) | st.integers(-(2**53) + 1, 2**53 - 1),
    ),
)
def test_the_id_of_an_event_and_what_its_stream_answers_come_back_as_they_were(
    event_id: bytes, origin: Origin
) -> None:
    opened_id, opened = _handles().open_event(_handles().event(event_id, origin))

    assert (opened_id.encode("latin-1"), opened) == (event_id, origin)
    assert type(opened.message_id) is type(origin.message_id)


@given(task=st.builds(Task, st.text(max_size=40), st.text(max_size=40)))
def test_a_task_comes_back_as_it_was(task: Task) -> None:
    assert _handles().open_task(_handles().task(task)) == task


@given(name=st.text(max_size=40))
def test_the_name_of_a_page_and_a_state_come_back_as_they_were(name: str) -> None:
    assert _handles().open_cursor("tools/list", _handles().cursor("tools/list", name)) == name
    assert _handles().open_state(CALL, _handles().state(CALL, name)) == name


@given(
    first=st.tuples(
        st.binary(max_size=6), st.builds(Origin, st.text(max_size=3), st.none(), st.integers(0, 3))
    ),
    second=st.tuples(
        st.binary(max_size=6), st.builds(Origin, st.text(max_size=3), st.none(), st.integers(0, 3))
    ),
)
def test_one_event_has_one_handle_and_two_events_have_two(
    first: tuple[bytes, Origin], second: tuple[bytes, Origin]
) -> None:
    assert (_handles().event(*first) == _handles().event(*second)) is (first == second)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param(1, "1", id="a number and its digits"),
        pytest.param("a", "A", id="two texts that differ by case"),
        pytest.param("", 0, id="an empty text and zero"),
    ],
)
def test_two_requests_have_two_handles(one: str | int, other: str | int) -> None:
    assert _handles().request(one) != _handles().request(other)


# Bounds: what a client is given it can give back


def _is_readable_id(handle: str) -> bool:
    body = orjson.dumps({"jsonrpc": "2.0", "id": handle, "result": {}})
    fields = read_head(http_scope(headers=legacy("ping")[0])).fields
    try:
        return read_message(body, fields).id == handle
    except Fault:
        return False


def _is_readable_task(handle: str) -> bool:
    headers, body = legacy("tasks/get", {"taskId": handle})
    try:
        return read_message(body, read_head(http_scope(headers=headers)).fields).target == handle
    except Fault:
        return False


def _longest(make: Callable[[str], str], most: int) -> int:
    """Return how many characters a name may have for which ``make`` still makes a handle."""
    for length in range(most, 0, -1):
        with suppress(Fault):
            make("x" * length)
            return length
    return 0


def test_the_handle_of_a_request_is_never_longer_than_an_id_may_be() -> None:
    handles = _handles()
    longest = _longest(handles.request, MAX_ID)

    assert 128 <= longest < MAX_ID
    assert _is_readable_id(handles.request("x" * longest))
    assert _reason(lambda: handles.request("x" * (longest + 1))) == Reason.ANSWER_NOT_VALID
    assert _reason(lambda: handles.request("\0" * longest)) == Reason.ANSWER_NOT_VALID


@pytest.mark.parametrize("name", ["x", "é", "🐙", '"', "\0"])
def test_the_handle_of_a_task_is_never_longer_than_a_client_may_send(name: str) -> None:
    handles, tool = _handles(), name * MAX_NAME
    longest = _longest(lambda text: handles.task(Task(name * len(text), tool)), MAX_HANDLE)

    assert longest > 128
    assert _is_readable_task(handles.task(Task(name * longest, tool)))
    assert _reason(lambda: handles.task(Task(name * (longest + 1), tool))) == Reason.ANSWER_NOT_VALID


def test_the_handle_of_a_session_is_never_longer_than_what_opens() -> None:
    handles = _handles(session=b"")
    longest = _longest(lambda text: handles.session(text.encode()), MAX_HANDLE)

    assert longest >= 512
    assert _handles(session=b"").enter(handles.session(b"x" * longest)) == "x" * longest
    assert _reason(lambda: handles.session(b"x" * (longest + 1))) == Reason.ANSWER_NOT_VALID


def test_the_handle_of_an_event_is_never_longer_than_what_opens() -> None:
    handles = _handles()
    longest = _longest(lambda text: handles.event(text.encode(), CALL), MAX_HANDLE)

    assert longest >= 512
    assert handles.open_event(handles.event(b"x" * longest, CALL)) == ("x" * longest, CALL)
    assert _reason(lambda: handles.event(b"x" * (longest + 1), CALL)) == Reason.ANSWER_NOT_VALID


def test_the_handle_of_a_page_is_never_longer_than_what_opens() -> None:
    handles = _handles()
    longest = _longest(lambda text: handles.cursor("tools/list", text), MAX_HANDLE)

    assert longest >= 512
    assert handles.open_cursor("tools/list", handles.cursor("tools/list", "x" * longest)) == "x" * longest
    assert _reason(lambda: handles.cursor("tools/list", "x" * (longest + 1))) == Reason.ANSWER_NOT_VALID


def test_the_handle_of_a_state_is_never_longer_than_what_opens() -> None:
    handles, longest = _handles(), MAX_SEALED // 4 * 3 - OVERHEAD

    assert handles.open_state(CALL, handles.state(CALL, "x" * longest)) == "x" * longest
    assert _reason(lambda: handles.state(CALL, "x" * (longest + 1))) == Reason.ANSWER_NOT_VALID


@pytest.mark.parametrize(
    "origin",
    [
        pytest.param(
            Origin("resources/read", "docs:///" + "x" * (MAX_URI - 8), "x" * MAX_ID), id="a resource"
        ),
        pytest.param(Origin("tools/call", "🐙" * MAX_NAME, "🐙" * MAX_ID), id="a tool with an odd name"),
        pytest.param(Origin("tasks/result", _handles().task(TASK), "x" * MAX_ID), id="a task"),
    ],
)
def test_whatever_a_client_may_ask_for_the_events_of_the_answer_have_handles(origin: Origin) -> None:
    assert _handles().open_event(_handles().event(b"x" * 64, origin)) == ("x" * 64, origin)


# Pages and states, through the gate


class As:
    """Asks on behalf of somebody on a route, as the layers around the tools would."""

    def __init__(self, app: ASGIApp, subject: str = "alice", route: str = "docs") -> None:
        self._app = app
        self._principal = replace(ALICE, subject=subject)
        self._route = route

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = exchange_of(scope)
        exchange.principal, exchange.route = self._principal, self._route
        await self._app(scope, receive, send)


class Server:
    """A server that answers every request with this result, and keeps what it was asked."""

    def __init__(self, **result: Any) -> None:
        self.result = result
        self.asked: list[dict[str, Any]] = []

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        asked = orjson.loads((await receive())["body"])
        self.asked.append(asked["params"])
        body = orjson.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": self.result})
        head = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        await send({"type": "http.response.body", "body": body})


def _gate(server: ASGIApp) -> ToolAllowlist:
    return ToolAllowlist(
        Handover(server),
        tools=["search_docs", "read_docs"],
        prompts=["search_docs"],
        resources=["docs:///{+path}"],
        sealer=SEALER,
    )


async def _ask(app: ASGIApp, era: Any, method: str, **params: Any) -> Reply:
    headers, body = era(method, params)
    return await call(app, http_scope(headers=headers), body)


ERAS = [pytest.param(legacy, id="legacy"), pytest.param(modern, id="modern")]
MEMBERS = {
    "prompts/list": "prompts",
    "resources/list": "resources",
    "resources/templates/list": "resourceTemplates",
    "tools/list": "tools",
}


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("method", LISTS)
@pytest.mark.parametrize("entries", [[], [{"name": "hidden", "uri": "x:y", "uriTemplate": "x:{y}"}]])
@pytest.mark.anyio
async def test_whoever_was_given_a_page_gets_it_also_behind_one_that_is_empty(
    method: str, entries: list[Any], era: Any
) -> None:
    server = Server(**{MEMBERS[method]: entries}, nextCursor="page 2: danger_tool")
    first = (await _ask(As(_gate(server)), era, method)).json()["result"]

    reply = await _ask(As(_gate(server)), era, method, cursor=first["nextCursor"])

    assert first[MEMBERS[method]] == []
    assert "danger_tool" not in repr(first)
    assert reply.status == 200
    assert reply.json()["result"]["nextCursor"] == first["nextCursor"]
    assert [asked.get("cursor") for asked in server.asked] == [None, "page 2: danger_tool"]


PAGE = _handles().cursor("tools/list", "c2")


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize(
    ("method", "cursor", "subject", "route"),
    [
        pytest.param("tools/list", "c2", "alice", "docs", id="by the name that the server gave it"),
        pytest.param("tools/list", "", "alice", "docs", id="by no name"),
        pytest.param("tools/list", PAGE[:-1], "alice", "docs", id="by a part of its name"),
        pytest.param("tools/list", f"A{PAGE[1:]}", "alice", "docs", id="by a name that was changed"),
        pytest.param("tools/list", PAGE, "bob", "docs", id="by another caller"),
        pytest.param("tools/list", PAGE, "alice", "wiki", id="on another route"),
        pytest.param("prompts/list", PAGE, "alice", "docs", id="of another list"),
        pytest.param("resources/list", PAGE, "alice", "docs", id="of the list of resources"),
        pytest.param("tools/list", 2, "alice", "docs", id="by a number"),
        pytest.param("tools/list", False, "alice", "docs", id="by false"),
        pytest.param("tools/list", [PAGE], "alice", "docs", id="by a list of names"),
        pytest.param("tools/list", {"cursor": PAGE}, "alice", "docs", id="by an object"),
    ],
)
@pytest.mark.anyio
async def test_a_page_that_was_not_given_to_the_caller_is_not_asked_for(
    method: str, cursor: Any, subject: str, route: str, era: Any
) -> None:
    server, records = Server(), Records()
    gate = AuditLog(As(_gate(server), subject, route), sink=records)

    reply = await _ask(gate, era, method, cursor=cursor)

    error = reply.json()["error"]
    assert (reply.status, error["code"], error["message"]) == (400, -32602, "Invalid params")
    assert server.asked == []
    assert records.verdicts == [("deny", Reason.PARAMS_INVALID)]


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.anyio
async def test_the_first_page_may_be_asked_for_with_null(era: Any) -> None:
    server = Server(tools=[])

    reply = await _ask(As(_gate(server)), era, "tools/list", cursor=None)

    assert (reply.status, server.asked[0]["cursor"]) == (200, None)


AGAIN = [
    pytest.param("tools/call", {"name": "search_docs"}, id="a call"),
    pytest.param("prompts/get", {"name": "search_docs"}, id="a prompt"),
    pytest.param("resources/read", {"uri": "docs:///guide.md"}, id="a resource"),
]


@pytest.mark.parametrize(("method", "params"), AGAIN)
@pytest.mark.anyio
async def test_a_client_that_asks_again_tells_the_server_its_state_with_the_responses(
    method: str, params: dict[str, Any]
) -> None:
    asked = {"a": {"method": "elicitation/create", "params": {"message": "x"}}}
    server = Server(resultType="input_required", inputRequests=asked, requestState="step 2: secret")
    first = (await _ask(As(_gate(server)), modern, method, **params)).json()["result"]
    responses = {"a": {"action": "accept", "content": {"x": 1}}}

    reply = await _ask(
        As(_gate(server)),
        modern,
        method,
        **params,
        inputResponses=responses,
        requestState=first["requestState"],
    )

    assert first["inputRequests"] == asked
    assert "secret" not in repr(first)
    assert reply.status == 200
    assert "requestState" not in server.asked[0]
    assert server.asked[1]["requestState"] == "step 2: secret"
    assert server.asked[1]["inputResponses"] == responses


@pytest.mark.anyio
async def test_with_which_arguments_a_call_goes_on_is_for_the_server_to_judge() -> None:
    server = Server(resultType="input_required", requestState="x")
    asked = {"name": "search_docs", "arguments": {"query": "one"}}
    state = (await _ask(As(_gate(server)), modern, "tools/call", **asked)).json()["result"]["requestState"]
    other = {"name": "search_docs", "arguments": {"query": "two"}}

    reply = await _ask(As(_gate(server)), modern, "tools/call", **other, requestState=state)

    assert reply.status == 200
    assert server.asked[1]["arguments"] == {"query": "two"}
    assert server.asked[1]["requestState"] == "x"


STATE = _handles().state(CALL, "x")


@pytest.mark.parametrize(
    ("method", "params", "subject", "route"),
    [
        pytest.param("tools/call", {"requestState": "x"}, "alice", "docs", id="as the server said it"),
        pytest.param("tools/call", {"requestState": ""}, "alice", "docs", id="as nothing"),
        pytest.param("tools/call", {"requestState": STATE[:-1]}, "alice", "docs", id="in part"),
        pytest.param("tools/call", {"requestState": f"A{STATE[1:]}"}, "alice", "docs", id="changed"),
        pytest.param("tools/call", {"requestState": PAGE}, "alice", "docs", id="as the name of a page"),
        pytest.param("tools/call", {"requestState": STATE}, "bob", "docs", id="by another caller"),
        pytest.param("tools/call", {"requestState": STATE}, "alice", "wiki", id="on another route"),
        pytest.param(
            "tools/call",
            {"requestState": STATE, "name": "read_docs"},
            "alice",
            "docs",
            id="with another tool",
        ),
        pytest.param(
            "prompts/get", {"requestState": STATE}, "alice", "docs", id="with a prompt of that name"
        ),
        pytest.param("tools/call", {"requestState": 7}, "alice", "docs", id="as a number"),
        pytest.param("tools/call", {"requestState": False}, "alice", "docs", id="as false"),
        pytest.param("tools/call", {"requestState": [STATE]}, "alice", "docs", id="as a list"),
        pytest.param("tools/call", {"requestState": {"x": STATE}}, "alice", "docs", id="as an object"),
    ],
)
@pytest.mark.anyio
async def test_a_state_that_was_not_given_for_this_is_not_told(
    method: str, params: dict[str, Any], subject: str, route: str
) -> None:
    server, records = Server(), Records()
    gate = AuditLog(As(_gate(server), subject, route), sink=records)

    reply = await _ask(gate, modern, method, **{"name": "search_docs", **params})

    assert (reply.status, reply.json()["error"]["code"]) == (400, -32602)
    assert server.asked == []
    assert records.verdicts == [("deny", Reason.PARAMS_INVALID)]


@pytest.mark.parametrize("params", [{}, {"requestState": None}], ids=["no state", "null"])
@pytest.mark.anyio
async def test_a_client_may_have_responses_and_no_state(params: dict[str, Any]) -> None:
    server = Server(content=[])
    asked: dict[str, Any] = {"name": "search_docs", "inputResponses": {"a": {}}, **params}

    reply = await _ask(As(_gate(server)), modern, "tools/call", **asked)

    assert (reply.status, server.asked[0]["inputResponses"]) == (200, {"a": {}})


def test_a_task_keeps_the_name_that_its_client_has_while_keys_change() -> None:
    old, new = b"o" * 32, b"n" * 32
    handle = Handles(Sealer([old]), "docs", None).task(Task("t1", "search"))
    during = Handles(Sealer([new, old]), "docs", None)

    assert during.task(during.open_task(handle)) == handle
    assert during.task(Task("t1", "search")) != handle
