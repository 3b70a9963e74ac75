from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.support.mcp import legacy, modern
from tests.support.tokens import ISSUER
from tunnelgate import Allow, Broken, Deny, NeedsScopes, Principal, Reason, Requirement, Verdict
from tunnelgate.catalogue import Names, Resources, list_tools
from tunnelgate.handles import Task
from tunnelgate.messages import MessageRules
from tunnelgate.reading.fault import Fault
from tunnelgate.reading.message import Message, read_message
from tunnelgate.reading.methods import (
    CLIENT_METHODS,
    CLIENT_NOTIFICATIONS,
    CLIENT_REQUESTS,
    LOG_LEVELS,
    MAX_NAME,
    SERVER_NOTIFICATIONS,
    SERVER_REQUESTS,
    Era,
)
from tunnelgate.reading.mirrored import write_header

ALLOWED = Allow()
TOOL, PROMPT = Deny(Reason.TOOL_NOT_ALLOWED), Deny(Reason.PROMPT_NOT_ALLOWED)
TASK = Deny(Reason.TASK_NOT_ALLOWED)

Call = Callable[..., Message]


def _resource(uri: str) -> Deny:
    return Deny(Reason.RESOURCE_NOT_ALLOWED, told={"uri": uri})


def _method(name: str) -> Deny:
    return Deny(Reason.METHOD_NOT_ALLOWED, name)


def _notification(name: str) -> Deny:
    return Deny(Reason.NOTIFICATION_NOT_ALLOWED, name)


def _principal(scopes: str = "", claims: Mapping[str, Any] | None = None) -> Principal:
    return Principal(ISSUER, "alice", "agent", frozenset(scopes.split()), claims or {})


def _old(method: str, params: Mapping[str, Any] | None = None, message_id: Any = 1) -> Message:
    return _read(legacy(method, None if params is None else dict(params)), message_id)


def _new(method: str, params: Mapping[str, Any] | None = None, message_id: Any = 1) -> Message:
    return _read(modern(method, dict(params or {})), message_id)


def _read(sent: tuple[list[tuple[str, str]], bytes], message_id: Any) -> Message:
    """Return the message as the reader gives it, with the headers that its body needs."""
    message = orjson.loads(sent[1])
    params = message.get("params", {})
    del message["id"]
    if message_id is not None:
        message["id"] = message_id
    headers = {name.encode(): value.encode() for name, value in sent[0] if name != "mcp-name"}
    headers[b"mcp-method"] = write_header(message["method"])
    name = params.get("name", params.get("uri", params.get("taskId")))
    if isinstance(name, str):
        headers[b"mcp-name"] = write_header(name)
    return read_message(orjson.dumps(message), headers)


ERAS = [pytest.param(_old, id="legacy"), pytest.param(_new, id="modern")]


# Construction


def test_rules_that_list_nothing_are_refused() -> None:
    settings: Sequence[Mapping[str, Any]] = (
        {},
        {"log_level": "debug"},
        {"tasks": True},
        {"tools": list_tools([])},
        {"methods": []},
    )
    for rules in settings:
        with pytest.raises(ValueError, match=r"^nothing is listed, so everything would be refused$"):
            MessageRules(**rules)


@pytest.mark.parametrize(
    "rules",
    [
        pytest.param({"tools": list_tools(["a"])}, id="a tool"),
        pytest.param({"prompts": Names(["a"], Reason.PROMPT_NOT_ALLOWED)}, id="a prompt"),
        pytest.param({"resources": Resources(["docs:///a"])}, id="a resource"),
        pytest.param({"methods": ["acme/do"]}, id="a method"),
    ],
)
def test_one_thing_of_any_kind_is_enough(rules: Any) -> None:
    assert MessageRules(**rules).decide(_old("ping"), None) == ALLOWED


@pytest.mark.parametrize(
    ("methods", "sentence"),
    [
        pytest.param([""], "'' is a pattern; list the methods one by one", id="an empty name"),
        pytest.param(["acme/*"], r"'acme/\*' is a pattern", id="a star at the end"),
        pytest.param(["*"], "is a pattern", id="a star alone"),
        pytest.param(["acme/d?"], "is a pattern", id="a question mark"),
        pytest.param(["acme/[ab]"], "is a pattern", id="a set of letters"),
        pytest.param(["acme/do", "b/*"], r"'b/\*' is a pattern", id="a pattern among names"),
        pytest.param("acme/do", "list", id="one text in place of a list"),
        *(
            pytest.param([method], "is a method of the protocol, which other settings", id=method)
            for method in sorted({*CLIENT_METHODS, *SERVER_REQUESTS, *SERVER_NOTIFICATIONS})
        ),
        *(
            pytest.param([method], "is a method of the protocol, which other settings", id=ascii(method))
            for method in ("Tools/call", "TOOLS/LIST", "tools/l\u0131st", "P\u0130NG", "server/di\u017fcover")
        ),
        *(
            pytest.param([method], "is not a name of 1 to 256 characters", id=ascii(method))
            for method in (" ping", "tools/call\n", "acme/do ", "\u00a0acme/do")
        ),
        pytest.param(["a" * 257], "is not a name of 1 to 256 characters", id="a name that is too long"),
    ],
)
def test_methods_that_cannot_be_meant_are_refused(methods: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        MessageRules(tools=list_tools(["a"]), methods=methods)


def test_the_longest_method_that_there_may_be_can_be_listed() -> None:
    longest = "a" * MAX_NAME

    assert MessageRules(methods=[longest]).decide(_old(longest, {}), None) == ALLOWED


@pytest.mark.parametrize("level", ["verbose", "", "DEBUG", "warn"])
def test_a_level_that_there_is_not_is_refused(level: str) -> None:
    with pytest.raises(ValueError, match="level"):
        MessageRules(tools=list_tools(["a"]), log_level=level)


# What may be asked: each method, in each era, where everything is listed and where only a tool is

EVERYTHING = MessageRules(
    tools=list_tools(["open"]),
    prompts=Names(["open"], Reason.PROMPT_NOT_ALLOWED),
    resources=Resources(["docs:///open", "docs:///open/{name}"]),
    methods=["acme/do", "notifications/acme"],
    log_level="info",
    tasks=True,
)
ONE_TOOL = MessageRules(tools=list_tools(["open"]))
TASKS = (Task("t1", "open"),)

PROMPT_REFERENCE = {"ref": {"type": "ref/prompt", "name": "open"}, "argument": {"name": "a", "value": ""}}
TEMPLATE_REFERENCE = {"ref": {"type": "ref/resource", "uri": "docs:///open/{name}"}}
NAME, URI, HANDLE = {"name": "open"}, {"uri": "docs:///open"}, {"taskId": "handle"}
LEVEL: dict[str, Any] = {"level": "error"}
FILTER: dict[str, Any] = {"notifications": {"toolsListChanged": True}}

# Method, parameters, whether the legacy era has it, whether the modern era has it, and whether it
# is about anything where only a tool is listed.
REQUESTS: Sequence[tuple[str, Mapping[str, Any], bool, bool, bool]] = (
    ("initialize", {"protocolVersion": "2025-11-25"}, True, False, True),
    ("ping", {}, True, False, True),
    ("server/discover", {}, False, True, True),
    ("tools/list", {}, True, True, True),
    ("tools/call", NAME, True, True, True),
    ("subscriptions/listen", FILTER, False, True, True),
    ("prompts/list", {}, True, True, False),
    ("prompts/get", NAME, True, True, False),
    ("resources/list", {}, True, True, False),
    ("resources/templates/list", {}, True, True, False),
    ("resources/read", URI, True, True, False),
    ("resources/subscribe", URI, True, False, False),
    ("resources/unsubscribe", URI, True, False, False),
    ("completion/complete", PROMPT_REFERENCE, True, True, False),
    ("completion/complete", TEMPLATE_REFERENCE, True, True, False),
    ("logging/setLevel", LEVEL, True, False, False),
    ("tasks/get", HANDLE, True, True, False),
    ("tasks/result", HANDLE, True, False, False),
    ("tasks/update", HANDLE, False, True, False),
    ("tasks/cancel", HANDLE, True, True, False),
    ("acme/do", {"anything": 1}, True, True, False),
    # What a client never asks of a server, and what the protocol does not have.
    *(
        (method, {}, False, False, False)
        for method in (
            "tasks/list",
            "sampling/createMessage",
            "elicitation/create",
            "roots/list",
            "notifications/initialized",
            "notifications/acme/do",
            "rpc.discover",
            "tools/List",
            "TOOLS/CALL",
            "tools/call ",
            "tools/list/",
            "tools",
            "acme/Do",
            "acme",
            "evil",
        )
    ),
)


def test_the_table_of_requests_is_complete() -> None:
    asked = {method for method, _, in_legacy, in_modern, _ in REQUESTS if in_legacy or in_modern}

    assert asked == {*CLIENT_REQUESTS, "acme/do"}


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize(
    ("method", "params", "in_legacy", "in_modern", "for_tools"),
    [pytest.param(*row, id=f"{row[0]} {'/'.join(row[1])}".strip()) for row in REQUESTS],
)
def test_a_request_passes_in_its_era_and_where_something_is_listed_that_it_could_be_about(
    method: str,
    params: Mapping[str, Any],
    in_legacy: bool,  # noqa: FBT001 - columns of the table
    in_modern: bool,  # noqa: FBT001
    for_tools: bool,  # noqa: FBT001
    era: Call,
) -> None:
    message = era(method, params)
    tasks = TASKS if method.startswith("tasks/") else ()
    exists = in_modern if era is _new else in_legacy

    assert EVERYTHING.decide(message, None, tasks) == (ALLOWED if exists else _method(method))
    assert ONE_TOOL.decide(message, None) == (ALLOWED if exists and for_tools else _method(method))


# Method, whether the legacy era has it, whether the modern era has it, and whether it is about
# anything where only a tool is listed.
NOTIFICATIONS: Sequence[tuple[str, bool, bool, bool]] = (
    ("notifications/cancelled", True, True, True),
    ("notifications/progress", True, False, True),
    ("notifications/initialized", True, False, True),
    ("notifications/roots/list_changed", True, False, True),
    ("notifications/tasks/status", True, False, False),
    ("notifications/acme", True, True, False),
    ("acme/do", True, True, False),
    *(
        (method, False, False, False)
        for method in (
            "notifications/message",
            "notifications/tools/list_changed",
            "notifications/tasks",
            "notifications/Cancelled",
            "notifications/evil",
            "initialize",
            "ping",
            "tools/list",
            "server/discover",
            "evil",
        )
    ),
)


def test_the_table_of_notifications_is_complete() -> None:
    said = {method for method, in_legacy, in_modern, _ in NOTIFICATIONS if in_legacy or in_modern}

    assert said == {*CLIENT_NOTIFICATIONS, "notifications/acme", "acme/do"}


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize(
    ("method", "in_legacy", "in_modern", "for_tools"),
    [pytest.param(*row, id=row[0]) for row in NOTIFICATIONS],
)
def test_a_notification_passes_in_its_era_and_a_request_never_passes_as_one(
    method: str,
    in_legacy: bool,  # noqa: FBT001 - columns of the table
    in_modern: bool,  # noqa: FBT001
    for_tools: bool,  # noqa: FBT001
    era: Call,
) -> None:
    message = era(method, {}, message_id=None)
    exists = in_modern if era is _new else in_legacy

    assert EVERYTHING.decide(message, None) == (ALLOWED if exists else _notification(method))
    assert ONE_TOOL.decide(message, None) == (ALLOWED if exists and for_tools else _notification(method))


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b'{"jsonrpc":"2.0","id":7,"result":{"action":"accept"}}', id="a result"),
        pytest.param(b'{"jsonrpc":"2.0","id":"7","error":{"code":1,"message":"x"}}', id="an error"),
    ],
)
@pytest.mark.parametrize(
    ("version", "verdict"),
    [
        pytest.param(b"2025-11-25", ALLOWED, id="legacy"),
        pytest.param(None, ALLOWED, id="without a version"),
        pytest.param(b"2026-07-28", Deny(Reason.RESPONSE_NOT_EXPECTED), id="modern"),
    ],
)
def test_only_the_legacy_era_has_responses_of_clients(
    body: bytes, version: bytes | None, verdict: Verdict
) -> None:
    headers = {} if version is None else {b"mcp-protocol-version": version}

    assert ONE_TOOL.decide(read_message(body, headers), None) == verdict


# What may be asked for, and by whom

LISTED: Mapping[str, Requirement] = {
    "open": Requirement(),
    "scoped": Requirement(["docs:read"]),
    "claimed": Requirement(claims={"team": ["x", "y"]}),
    "both": Requirement(["docs:read"], {"team": "x"}),
}
SOME = MessageRules(
    tools=list_tools(LISTED),
    prompts=Names(LISTED, Reason.PROMPT_NOT_ALLOWED),
    resources=Resources({f"docs:///{name}": requirement for name, requirement in LISTED.items()}),
    tasks=True,
)
SCOPE = NeedsScopes(("docs:read",))
ABSENT = None
# Who asks, and what they are told about: open, scoped, claimed, both, unlisted.
CALLERS: Sequence[Any] = (
    pytest.param(None, (ALLOWED, SCOPE, ABSENT, ABSENT, ABSENT), id="nobody"),
    pytest.param(_principal(), (ALLOWED, SCOPE, ABSENT, ABSENT, ABSENT), id="somebody without anything"),
    pytest.param(_principal("docs:read"), (ALLOWED, ALLOWED, ABSENT, ABSENT, ABSENT), id="the scope"),
    pytest.param(_principal("", {"team": "x"}), (ALLOWED, SCOPE, ALLOWED, SCOPE, ABSENT), id="the claim"),
    pytest.param(
        _principal("", {"team": ["y"]}), (ALLOWED, SCOPE, ALLOWED, ABSENT, ABSENT), id="one of two claims"
    ),
    pytest.param(
        _principal("docs:read", {"team": "z"}), (ALLOWED, ALLOWED, ABSENT, ABSENT, ABSENT), id="a wrong claim"
    ),
    pytest.param(
        _principal("docs:read", {"team": "x"}), (ALLOWED, ALLOWED, ALLOWED, ALLOWED, ABSENT), id="all"
    ),
)


def _call(target: str) -> tuple[str, dict[str, Any], Deny]:
    return "tools/call", {"name": target, "arguments": {}}, TOOL


def _get(target: str) -> tuple[str, dict[str, Any], Deny]:
    return "prompts/get", {"name": target}, PROMPT


def _read_resource(target: str) -> tuple[str, dict[str, Any], Deny]:
    return "resources/read", {"uri": f"docs:///{target}"}, _resource(f"docs:///{target}")


def _subscribe(target: str) -> tuple[str, dict[str, Any], Deny]:
    return "resources/subscribe", {"uri": f"docs:///{target}"}, _resource(f"docs:///{target}")


def _unsubscribe(target: str) -> tuple[str, dict[str, Any], Deny]:
    return "resources/unsubscribe", {"uri": f"docs:///{target}"}, _resource(f"docs:///{target}")


def _complete_prompt(target: str) -> tuple[str, dict[str, Any], Deny]:
    return "completion/complete", {"ref": {"type": "ref/prompt", "name": target}}, PROMPT


def _complete_resource(target: str) -> tuple[str, dict[str, Any], Deny]:
    uri = f"docs:///{target}"
    return "completion/complete", {"ref": {"type": "ref/resource", "uri": uri}}, _resource(uri)


def _listen(target: str) -> tuple[str, dict[str, Any], Deny]:
    uri = f"docs:///{target}"
    return "subscriptions/listen", {"notifications": {"resourceSubscriptions": [uri]}}, _resource(uri)


ABOUT = Callable[[str], tuple[str, dict[str, Any], Deny]]


@pytest.mark.promise("hidden-equals-absent")
@pytest.mark.parametrize(("principal", "verdicts"), CALLERS)
@pytest.mark.parametrize(
    ("about", "eras"),
    [
        pytest.param(_call, (_old, _new), id="a tool"),
        pytest.param(_get, (_old, _new), id="a prompt"),
        pytest.param(_read_resource, (_old, _new), id="a resource"),
        pytest.param(_subscribe, (_old,), id="a subscription"),
        pytest.param(_unsubscribe, (_old,), id="the end of a subscription"),
        pytest.param(_complete_prompt, (_old, _new), id="a completion for a prompt"),
        pytest.param(_complete_resource, (_old, _new), id="a completion for a resource"),
        pytest.param(_listen, (_new,), id="a stream about a resource"),
    ],
)
def test_what_a_caller_may_use_is_what_is_listed_and_meant_for_them(
    about: ABOUT, eras: Sequence[Call], principal: Principal | None, verdicts: Sequence[Verdict | None]
) -> None:
    for target, verdict in zip((*LISTED, "unlisted"), verdicts, strict=True):
        method, params, absent = about(target)
        for era in eras:
            expected = absent if verdict is None else verdict
            assert SOME.decide(era(method, params), principal) == expected, target


@pytest.mark.parametrize(("principal", "verdicts"), CALLERS)
@pytest.mark.parametrize(
    ("method", "era"),
    [
        pytest.param("tasks/get", _old, id="the state of a task, legacy"),
        pytest.param("tasks/get", _new, id="the state of a task, modern"),
        pytest.param("tasks/result", _old, id="the result of a task, legacy"),
        pytest.param("tasks/update", _new, id="the input of a task, modern"),
        pytest.param("tasks/cancel", _old, id="the end of a task, legacy"),
        pytest.param("tasks/cancel", _new, id="the end of a task, modern"),
    ],
)
def test_a_task_belongs_to_those_who_may_call_its_tool_now(
    method: str, era: Call, principal: Principal | None, verdicts: Sequence[Verdict | None]
) -> None:
    message = era(method, HANDLE)

    for tool, verdict in zip((*LISTED, "unlisted"), verdicts, strict=True):
        decided = SOME.decide(message, principal, (Task("t1", tool),))
        assert decided == (TASK if verdict is None else verdict), tool
    assert SOME.decide(message, principal) == _method(method)


def test_the_kinds_do_not_lend_their_names_to_each_other() -> None:
    rules = MessageRules(
        tools=list_tools(["a"]),
        prompts=Names(["b"], Reason.PROMPT_NOT_ALLOWED),
        resources=Resources(["docs:///c"]),
    )

    assert rules.decide(_old("prompts/get", {"name": "a"}), None) == PROMPT
    assert rules.decide(_old("tools/call", {"name": "b"}), None) == TOOL
    assert rules.decide(_old("tools/call", {"name": "docs:///c"}), None) == TOOL
    assert rules.decide(_old("resources/read", {"uri": "a"}), None) == _resource("a")
    assert rules.decide(_old(*_complete_prompt("a")[:2]), None) == PROMPT
    reference = {"ref": {"type": "ref/resource", "uri": "b"}}
    assert rules.decide(_old("completion/complete", reference), None) == _resource("b")


@pytest.mark.parametrize(
    ("uri", "verdict"),
    [
        pytest.param("docs:///open/{name}", ALLOWED, id="the template that is listed"),
        pytest.param("docs:///open/a", ALLOWED, id="a URI of the template"),
        pytest.param("docs:///open/{+name}", None, id="another template"),
        pytest.param("docs:///{name}", None, id="a wider template"),
        pytest.param("docs:///open/../a", None, id="a URI above the template"),
    ],
)
def test_a_completion_for_a_template_needs_that_template(uri: str, verdict: Verdict | None) -> None:
    for era in (_old, _new):
        message = era("completion/complete", {"ref": {"type": "ref/resource", "uri": uri}})

        assert EVERYTHING.decide(message, None) == (verdict or _resource(uri))


# Listening

CLAIM = _principal("", {"team": "x"})


@pytest.mark.parametrize(
    ("names", "tools", "principal", "verdict"),
    [
        pytest.param([], [], None, ALLOWED, id="nothing in particular"),
        pytest.param(["open"], ["open"], None, ALLOWED, id="an open resource and an open task"),
        pytest.param(["open", "open"], [], None, ALLOWED, id="one resource twice"),
        pytest.param(
            ["open", "unlisted"], [], None, _resource("docs:///unlisted"), id="one that is unlisted"
        ),
        pytest.param(
            ["unlisted", "open"], [], None, _resource("docs:///unlisted"), id="the unlisted one first"
        ),
        pytest.param(["open", "claimed"], [], None, _resource("docs:///claimed"), id="one for others"),
        pytest.param(["claimed"], ["claimed"], CLAIM, ALLOWED, id="what is meant for the caller"),
        pytest.param(["scoped", "both"], ["scoped"], CLAIM, SCOPE, id="a scope for several, asked for once"),
        pytest.param(
            ["scoped", "unlisted"],
            [],
            None,
            _resource("docs:///unlisted"),
            id="a denial behind a missing scope",
        ),
        pytest.param(["scoped"], ["unlisted"], None, TASK, id="a task of an unlisted tool"),
        pytest.param([], ["open", "claimed"], None, TASK, id="a task of a tool for others"),
        pytest.param([], ["scoped"], None, SCOPE, id="a task of a tool that needs a scope"),
        pytest.param(
            ["unlisted"], ["unlisted"], None, _resource("docs:///unlisted"), id="both denied, resources first"
        ),
    ],
)
def test_one_stream_needs_leave_for_everything_that_it_is_about(
    names: list[str], tools: list[str], principal: Principal | None, verdict: Verdict
) -> None:
    asked = {
        "resourceSubscriptions": [f"docs:///{name}" for name in names],
        "taskIds": [f"handle-{tool}" for tool in tools],
        "toolsListChanged": True,
    }
    message = _new("subscriptions/listen", {"notifications": asked})

    assert SOME.decide(message, principal, [Task("t", tool) for tool in tools]) == verdict


def test_several_scopes_for_one_stream_are_asked_for_together() -> None:
    rules = MessageRules(resources=Resources({"docs:///a": ["b", "a"], "docs:///b": ["c", "b"]}))
    asked = {"notifications": {"resourceSubscriptions": ["docs:///a", "docs:///b"]}}

    assert rules.decide(_new("subscriptions/listen", asked), None) == NeedsScopes(("b", "a", "c"))


# Going on with a stream


@pytest.mark.parametrize(
    ("method", "target", "tasks", "verdict"),
    [
        pytest.param("", None, (), ALLOWED, id="a stream that answers nothing"),
        pytest.param("initialize", None, (), ALLOWED, id="initialize"),
        pytest.param("tools/list", None, (), ALLOWED, id="a list"),
        pytest.param("tools/call", "open", (), ALLOWED, id="a tool"),
        pytest.param("tools/call", "scoped", (), SCOPE, id="a tool that needs a scope by now"),
        pytest.param("tools/call", "claimed", (), TOOL, id="a tool for others by now"),
        pytest.param("tools/call", "unlisted", (), TOOL, id="a tool that is unlisted by now"),
        pytest.param("prompts/get", "open", (), ALLOWED, id="a prompt"),
        pytest.param("prompts/get", "unlisted", (), PROMPT, id="a prompt that is unlisted by now"),
        pytest.param("resources/read", "docs:///open", (), ALLOWED, id="a resource"),
        pytest.param("resources/read", "docs:///x", (), _resource("docs:///x"), id="an unlisted resource"),
        pytest.param(
            "completion/complete", "open", (), _method("completion/complete"), id="the completion of a prompt"
        ),
        pytest.param(
            "completion/complete",
            "docs:///open",
            (),
            _method("completion/complete"),
            id="the completion of a resource",
        ),
        pytest.param("tasks/result", "handle", TASKS, ALLOWED, id="the result of a task"),
        pytest.param(
            "tasks/result", "handle", (Task("t", "unlisted"),), TASK, id="a task of an unlisted tool"
        ),
        pytest.param("tasks/result", "handle", (Task("t", "scoped"),), SCOPE, id="a task that needs a scope"),
        pytest.param("tasks/result", "handle", (), _method("tasks/result"), id="a task that nobody knows"),
        pytest.param(
            "logging/setLevel", None, (), _method("logging/setLevel"), id="what is no longer served"
        ),
        pytest.param("acme/do", None, (), _method("acme/do"), id="a method that is no longer listed"),
        pytest.param("subscriptions/listen", None, (), _method("subscriptions/listen"), id="a modern stream"),
        pytest.param("tools/call", None, (), _method("tools/call"), id="a call of nothing"),
        pytest.param("evil", None, (), _method("evil"), id="what the protocol does not have"),
    ],
)
def test_a_stream_goes_on_only_while_what_it_answers_is_allowed(
    method: str, target: str | None, tasks: Sequence[Task], verdict: Verdict
) -> None:
    assert SOME.decide_again(method, target, None, tasks) == verdict


def test_the_stream_of_a_listed_method_goes_on() -> None:
    assert EVERYTHING.decide_again("acme/do", None, None, ()) == ALLOWED


# Log messages


@pytest.mark.parametrize(
    ("asked", "allowed", "level"),
    [
        pytest.param("debug", "warning", "warning", id="more than is allowed"),
        pytest.param("warning", "warning", "warning", id="what is allowed"),
        pytest.param("emergency", "warning", "emergency", id="less than is allowed"),
        pytest.param("info", "notice", "notice", id="one step more"),
        pytest.param("notice", "info", "notice", id="one step less"),
        pytest.param("debug", "debug", "debug", id="everything"),
        pytest.param("emergency", None, None, id="the most severe where none is allowed"),
    ],
)
def test_a_client_gets_no_less_severe_a_level_than_is_allowed(
    asked: str, allowed: str | None, level: str | None
) -> None:
    assert MessageRules(tools=list_tools(["a"]), log_level=allowed).log_level_for(asked) == level


@given(asked=st.sampled_from(LOG_LEVELS), allowed=st.sampled_from(LOG_LEVELS))
def test_a_level_is_the_more_severe_of_what_is_asked_and_what_is_allowed(asked: str, allowed: str) -> None:
    level = MessageRules(tools=list_tools(["a"]), log_level=allowed).log_level_for(asked)

    assert level in (asked, allowed)
    assert LOG_LEVELS.index(level or "") == max(LOG_LEVELS.index(asked), LOG_LEVELS.index(allowed))


# What a server may say

OPEN_AND_LOGS = {"level": "error"}
UPDATED = "notifications/resources/updated"
# Method, parameters, whether the legacy era has it, whether the modern era has it, and whether it
# is about anything where only a tool is listed.
SAID: Sequence[tuple[str, Mapping[str, Any], bool, bool, bool]] = (
    ("notifications/cancelled", {}, True, True, True),
    ("notifications/progress", {}, True, True, True),
    ("notifications/tools/list_changed", {}, True, True, True),
    ("notifications/elicitation/complete", {}, True, False, True),
    ("notifications/subscriptions/acknowledged", {}, False, True, True),
    ("notifications/prompts/list_changed", {}, True, True, False),
    ("notifications/resources/list_changed", {}, True, True, False),
    (UPDATED, {"uri": "docs:///open"}, True, True, False),
    (UPDATED, {"uri": "docs:///other"}, False, False, False),
    (UPDATED, {"uri": 7}, False, False, False),
    (UPDATED, {}, False, False, False),
    ("notifications/message", {"level": "info"}, True, True, False),
    ("notifications/message", {"level": "emergency"}, True, True, False),
    ("notifications/message", {"level": "debug"}, False, False, False),
    ("notifications/message", {"level": "loud"}, False, False, False),
    ("notifications/message", {"level": ["error"]}, False, False, False),
    ("notifications/message", {}, False, False, False),
    ("notifications/tasks", {}, False, True, False),
    ("notifications/tasks/status", {}, True, False, False),
    ("notifications/acme", {}, True, True, False),
    ("acme/do", {}, True, True, False),
    ("notifications/initialized", {}, False, False, False),
    ("notifications/roots/list_changed", {}, False, False, False),
    ("notifications/evil", {}, False, False, False),
    ("tools/list", {}, False, False, False),
    ("", {}, False, False, False),
)


@pytest.mark.parametrize(
    ("method", "params", "in_legacy", "in_modern", "for_tools"),
    [pytest.param(*row, id=f"{row[0]} {orjson.dumps(row[1]).decode()}") for row in SAID],
)
def test_a_server_says_what_its_era_has_about_what_is_listed(
    method: str,
    params: Mapping[str, Any],
    in_legacy: bool,  # noqa: FBT001 - columns of the table
    in_modern: bool,  # noqa: FBT001
    for_tools: bool,  # noqa: FBT001
) -> None:
    for era, exists in ((Era.LEGACY, in_legacy), (Era.MODERN, in_modern)):
        assert EVERYTHING.may_notify(method, params, era, None) is exists
        assert ONE_TOOL.may_notify(method, params, era, None) is (exists and for_tools)


def test_the_table_of_what_a_server_says_is_complete() -> None:
    said = {method for method, _, in_legacy, in_modern, _ in SAID if in_legacy or in_modern}

    assert said == {*SERVER_NOTIFICATIONS, "notifications/acme", "acme/do"}


@pytest.mark.parametrize(("principal", "verdicts"), CALLERS)
def test_a_change_is_told_to_those_who_see_the_resource(
    principal: Principal | None, verdicts: Sequence[Verdict | None]
) -> None:
    for name, verdict in zip((*LISTED, "unlisted"), verdicts, strict=True):
        told = SOME.may_notify(UPDATED, {"uri": f"docs:///{name}"}, Era.LEGACY, principal)
        assert told is (verdict is not None), name


@pytest.mark.parametrize(
    ("method", "for_tools"),
    [
        pytest.param("sampling/createMessage", True, id="a sample of a model"),
        pytest.param("elicitation/create", True, id="a question to the user"),
        pytest.param("roots/list", True, id="the roots"),
        pytest.param("ping", True, id="a ping"),
        *(
            pytest.param(f"tasks/{what}", False, id=f"{what} of the client's tasks")
            for what in ("list", "get", "result", "cancel")
        ),
    ],
)
def test_a_server_asks_what_the_legacy_era_has(method: str, for_tools: bool) -> None:  # noqa: FBT001
    assert EVERYTHING.may_ask(method, Era.LEGACY)
    assert ONE_TOOL.may_ask(method, Era.LEGACY) is for_tools
    assert not EVERYTHING.may_ask(method, Era.MODERN)


@pytest.mark.parametrize(
    "method", ["tools/call", "tasks/update", "evil", "Ping", "", "notifications/cancelled"]
)
def test_a_server_asks_nothing_else(method: str) -> None:
    assert not EVERYTHING.may_ask(method, Era.LEGACY)
    assert not EVERYTHING.may_ask(method, Era.MODERN)


def test_a_server_asks_by_a_method_that_is_listed() -> None:
    assert EVERYTHING.may_ask("acme/do", Era.LEGACY)
    assert EVERYTHING.may_ask("acme/do", Era.MODERN)


@pytest.mark.parametrize("method", sorted(SERVER_REQUESTS))
def test_the_table_of_what_a_server_asks_is_complete(method: str) -> None:
    assert EVERYTHING.may_ask(method, Era.LEGACY)


@pytest.mark.parametrize(
    ("method", "by_everything", "by_one_tool"),
    [
        pytest.param("tools/", True, True, id="tools"),
        pytest.param("prompts/", True, False, id="prompts"),
        pytest.param("resources/", True, False, id="resources"),
        pytest.param("logging/", True, False, id="log messages"),
        pytest.param("completion/complete", True, False, id="completions"),
        pytest.param("tasks/", True, False, id="tasks"),
        pytest.param("extensions/", True, True, id="what is no area of the policy"),
    ],
)
def test_an_area_is_served_where_something_of_it_is_listed(
    method: str,
    by_everything: bool,  # noqa: FBT001 - columns of the table
    by_one_tool: bool,  # noqa: FBT001
) -> None:
    assert EVERYTHING.serves(method) is by_everything
    assert ONE_TOOL.serves(method) is by_one_tool


# For everything that can be listed and asked

NAMES = st.sampled_from(["a", "A", "b", "é", "e\u0301"])
URIS = st.sampled_from(
    ["docs:///a", "docs:///b", "docs:///a/b", "docs:///{x}", "docs:///a/{+x}", "docs:///a/../b"]
)
ENTRIES = st.sampled_from(["docs:///a", "docs:///a/b", "docs:///{x}", "docs:///{+x}", "docs:///a/{+x}"])
REQUIREMENTS = st.builds(
    Requirement,
    scopes=st.lists(st.sampled_from("ab"), max_size=2),
    claims=st.dictionaries(st.just("team"), st.sampled_from("xy"), max_size=1),
)
PRINCIPALS = st.none() | st.builds(
    _principal,
    scopes=st.sampled_from(["", "a", "b", "a b"]),
    claims=st.dictionaries(st.just("team"), st.sampled_from(["x", "y", ["x", "y"], 1]), max_size=1),
)
RULES = st.builds(
    MessageRules,
    tools=st.builds(list_tools, st.dictionaries(NAMES, REQUIREMENTS, min_size=1, max_size=3)),
    prompts=st.builds(
        Names, st.dictionaries(NAMES, REQUIREMENTS, max_size=3), st.just(Reason.PROMPT_NOT_ALLOWED)
    ),
    resources=st.builds(Resources, st.dictionaries(ENTRIES, REQUIREMENTS, max_size=3)),
    methods=st.sampled_from([(), ("acme/do",)]),
    log_level=st.none() | st.sampled_from(LOG_LEVELS),
    tasks=st.booleans(),
)
TASK_LISTS = st.lists(st.builds(Task, st.just("t"), NAMES), max_size=2)


@pytest.mark.promise("listed-equals-callable")
@given(rules=RULES, name=NAMES, uri=URIS | ENTRIES, principal=PRINCIPALS, era=st.sampled_from([_old, _new]))
def test_what_is_seen_in_a_list_is_exactly_what_is_not_denied(
    rules: MessageRules, name: str, uri: str, principal: Principal | None, era: Call
) -> None:
    for listing, text, asking, params in (
        ("tools/list", name, "tools/call", {"name": name}),
        ("prompts/list", name, "prompts/get", {"name": name}),
        ("prompts/list", name, *_complete_prompt(name)[:2]),
        ("resources/list", uri, "resources/read", {"uri": uri}),
        (
            "resources/templates/list",
            uri,
            "completion/complete",
            {"ref": {"type": "ref/resource", "uri": uri}},
        ),
    ):
        is_denied = isinstance(rules.decide(era(asking, params), principal), Deny)
        assert rules.sees(listing, text, principal) is not is_denied


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 3) | NAMES | URIS | st.sampled_from(LOG_LEVELS),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "type", "name"]), inner)
    ),
    max_leaves=4,
)
METHODS = st.sampled_from(
    sorted({*CLIENT_METHODS, *SERVER_REQUESTS, *SERVER_NOTIFICATIONS, "acme/do", "evil"})
)
PARAMS = st.fixed_dictionaries(
    {},
    optional={
        "name": NAMES | JSON,
        "uri": URIS | JSON,
        "taskId": st.just("handle") | JSON,
        "level": st.sampled_from(LOG_LEVELS) | JSON,
        "protocolVersion": st.just("2025-11-25") | JSON,
        "ref": NAMES.map(lambda name: {"type": "ref/prompt", "name": name})
        | URIS.map(lambda uri: {"type": "ref/resource", "uri": uri})
        | JSON,
        "notifications": st.fixed_dictionaries(
            {}, optional={"resourceSubscriptions": st.lists(URIS | JSON), "taskIds": st.lists(NAMES | JSON)}
        )
        | JSON,
        "arguments": JSON,
    },
)


@given(
    rules=RULES,
    era=st.sampled_from([_old, _new]),
    method=METHODS,
    params=PARAMS,
    kept=st.sets(st.sampled_from(["name", "uri", "taskId", "level", "ref", "notifications"])),
    message_id=st.none() | st.sampled_from([1, "a"]),
    principal=PRINCIPALS,
    tasks=TASK_LISTS,
)
@example(
    rules=EVERYTHING,
    era=_old,
    method="subscriptions/listen",
    params={"notifications": 7},
    kept={"notifications"},
    message_id=1,
    principal=None,
    tasks=[],
)
@example(
    rules=EVERYTHING,
    era=_old,
    method="server/discover",
    params={"ref": {}, "name": 7},
    kept={"ref", "name"},
    message_id=1,
    principal=None,
    tasks=[Task("t", "open")],
)
def test_every_message_that_can_be_read_is_decided(
    rules: MessageRules,
    era: Call,
    method: str,
    params: Mapping[str, Any],
    kept: set[str],
    message_id: Any,
    principal: Principal | None,
    tasks: list[Task],
) -> None:
    known = CLIENT_METHODS.get(method)
    members = kept if known is None else known.members & params.keys()
    try:
        message = era(method, {name: params[name] for name in members if name in params}, message_id)
    except Fault:
        return
    verdict = rules.decide(message, principal, tasks)

    assert not isinstance(verdict, Broken)
    if method in SERVER_REQUESTS.keys() - CLIENT_METHODS.keys() or method == "evil":
        assert isinstance(verdict, Deny)
    if verdict and message.target is not None and method.startswith("tools/"):
        assert rules.sees("tools/list", message.target, principal)
