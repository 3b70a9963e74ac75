from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.mcp import legacy, modern
from tunnelgate.catalogue import list_tools
from tunnelgate.handles import Task
from tunnelgate.messages import MessageRules
from tunnelgate.reading.message import LEGACY_VERSIONS, Kind, Message, read_message
from tunnelgate.reading.methods import LOG_LEVELS
from tunnelgate.reading.params import LOG_LEVEL_KEY
from tunnelgate.reading.strict_json import write_json
from tunnelgate.rewriting import rewrite_call, rewrite_response

TOOLS = list_tools(["search"])
RULES = MessageRules(tools=TOOLS)
WITH_TASKS = MessageRules(tools=TOOLS, tasks=True)
CAPABILITIES_KEY = "io.modelcontextprotocol/clientCapabilities"
RELATED_TASK = "io.modelcontextprotocol/related-task"
TASKS_EXTENSION = "io.modelcontextprotocol/tasks"

Call = Callable[..., Message]


def _old(method: str, params: Mapping[str, Any] | None = None) -> Message:
    headers, body = legacy(method, None if params is None else dict(params))
    return read_message(body, {name.encode(): value.encode() for name, value in headers})


def _new(method: str, params: Mapping[str, Any], meta: Mapping[str, Any] | None = None) -> Message:
    headers, body = modern(method, dict(params))
    message = orjson.loads(body)
    message["params"]["_meta"].update(meta or {})
    sent = {name.encode(): value.encode() for name, value in headers}
    if "taskId" in params:
        sent[b"mcp-name"] = params["taskId"].encode()
    return read_message(orjson.dumps(message), sent)


def _sent(message: Message) -> Any:
    """Return what goes on, after checking that the message says nothing else by other ways."""
    assert message.canonical == write_json(message.members)
    return orjson.loads(message.canonical)


# What stays as it is


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(_old("ping"), id="a request without parameters"),
        pytest.param(_old("tools/list", {}), id="a request with empty parameters"),
        pytest.param(_old("tools/call", {"name": "search", "arguments": {"task": 1}}), id="a call"),
        pytest.param(_new("tools/call", {"name": "search"}), id="a modern call"),
        pytest.param(_old("notifications/progress", {"progress": 0.5}), id="a notification"),
        pytest.param(_old("acme/do", {"task": {}, "taskId": "t"}), id="a method that the protocol has not"),
        *(
            pytest.param(_old("initialize", {"protocolVersion": version}), id=f"initialize with {version}")
            for version in LEGACY_VERSIONS
        ),
        pytest.param(
            _new("subscriptions/listen", {"notifications": {"resourceSubscriptions": ["docs:///a"]}}),
            id="a stream that is about no task",
        ),
    ],
)
def test_what_holds_nothing_of_ours_goes_on_as_it_was_read(message: Message) -> None:
    assert rewrite_call(message, RULES, ()) is message


# Versions


@pytest.mark.promise("era-kept")
@pytest.mark.parametrize(
    "params",
    [
        pytest.param({"protocolVersion": "2026-07-28", "capabilities": {}}, id="the modern version"),
        pytest.param({"protocolVersion": "2024-11-05", "capabilities": {}}, id="a version before ours"),
        pytest.param({"protocolVersion": "2999-01-01", "capabilities": {}}, id="a version to come"),
        pytest.param({"protocolVersion": "", "capabilities": {}}, id="an empty text"),
    ],
)
def test_a_version_that_is_not_spoken_is_proposed_as_the_newest_that_initialize_has(params: Any) -> None:
    message = _old("initialize", params)

    sent = _sent(rewrite_call(message, RULES, ()))

    assert sent["params"] == {"protocolVersion": "2025-11-25", "capabilities": {}}
    assert (sent["id"], sent["method"]) == (1, "initialize")


@pytest.mark.parametrize(
    "params",
    [
        pytest.param({"protocolVersion": 7, "capabilities": {}}, id="a number"),
        pytest.param({"protocolVersion": ["2025-11-25"], "capabilities": {}}, id="a list"),
        pytest.param({"protocolVersion": None}, id="null"),
        pytest.param({"capabilities": {}}, id="no version"),
    ],
)
def test_what_is_no_version_is_for_the_server_to_refuse(params: Any) -> None:
    message = _old("initialize", params)

    assert rewrite_call(message, RULES, ()) is message


def test_a_version_in_another_message_is_left_alone() -> None:
    message = _old("acme/do", {"protocolVersion": "2999-01-01"})

    assert rewrite_call(message, RULES, ()) is message


# Tasks


def test_a_call_begins_a_task_only_where_tasks_are_allowed() -> None:
    message = _old("tools/call", {"name": "search", "arguments": {}, "task": {"ttl": 1}})

    without = _sent(rewrite_call(message, RULES, ()))

    assert "task" not in without["params"]
    assert {**without["params"], "task": {"ttl": 1}} == message.params
    assert rewrite_call(message, WITH_TASKS, ()) is message


def test_the_modern_era_overlooks_that_a_call_should_begin_a_task() -> None:
    message = _new("tools/call", {"name": "search", "arguments": {}, "task": {"ttl": 1}})

    for rules in (RULES, WITH_TASKS):
        assert "task" not in _sent(rewrite_call(message, rules, ()))["params"]


@pytest.mark.parametrize(
    ("method", "era", "params"),
    [
        pytest.param("tasks/get", _old, {}, id="the state of a task, legacy"),
        pytest.param("tasks/get", _new, {}, id="the state of a task, modern"),
        pytest.param("tasks/result", _old, {}, id="the result of a task"),
        pytest.param("tasks/cancel", _old, {}, id="the end of a task"),
        pytest.param("tasks/update", _new, {"inputResponses": {"a": {}}}, id="the input of a task"),
    ],
)
def test_a_task_goes_on_by_the_name_that_the_server_gave_it(method: str, era: Call, params: Any) -> None:
    message = era(method, {"taskId": "handle", **params})

    rewritten = rewrite_call(message, WITH_TASKS, (Task("task 1", "search"),))

    assert rewritten.target == "task 1"
    assert _sent(rewritten)["params"] == {**message.params, "taskId": "task 1"}
    assert (rewritten.id, rewritten.method, rewritten.kind) == (1, method, Kind.REQUEST)
    assert message.params["taskId"] == "handle"


def test_a_stream_is_about_tasks_by_the_names_that_the_server_gave_them() -> None:
    asked = {"taskIds": ["h1", "h2"], "toolsListChanged": True}
    message = _new("subscriptions/listen", {"notifications": asked})

    rewritten = rewrite_call(message, WITH_TASKS, (Task("t1", "search"), Task("t2", "search")))

    assert rewritten.target is None
    assert _sent(rewritten)["params"]["notifications"] == {"taskIds": ["t1", "t2"], "toolsListChanged": True}
    assert message.params["notifications"] == asked


def test_where_tasks_are_not_allowed_a_stream_is_about_none() -> None:
    message = _new("subscriptions/listen", {"notifications": {"taskIds": ["t1"], "toolsListChanged": True}})

    sent = _sent(rewrite_call(message, RULES, ()))

    assert sent["params"]["notifications"] == {"toolsListChanged": True}


def test_where_tasks_are_not_allowed_a_client_does_not_say_that_it_knows_them() -> None:
    known: Mapping[str, Any] = {
        "extensions": {TASKS_EXTENSION: {}, "com.example/other": {}},
        "elicitation": {},
    }
    message = _new("tools/call", {"name": "search"}, {CAPABILITIES_KEY: known})

    sent = _sent(rewrite_call(message, RULES, ()))

    assert sent["params"]["_meta"][CAPABILITIES_KEY] == {
        "extensions": {"com.example/other": {}},
        "elicitation": {},
    }
    assert _sent(rewrite_call(message, WITH_TASKS, ()))["params"]["_meta"][CAPABILITIES_KEY] == known


@pytest.mark.parametrize(
    "known",
    [
        pytest.param({}, id="nothing"),
        pytest.param({"extensions": {}}, id="no extensions"),
        pytest.param({"extensions": {"com.example/other": {}}}, id="another extension"),
        pytest.param({"extensions": [TASKS_EXTENSION]}, id="a list of extensions"),
        pytest.param({"extensions": None}, id="null"),
    ],
)
def test_what_else_a_client_knows_is_left_alone(known: Any) -> None:
    message = _new("tools/call", {"name": "search"}, {CAPABILITIES_KEY: known})

    assert rewrite_call(message, RULES, ()) is message


def test_where_tasks_are_not_allowed_a_client_does_not_begin_with_them() -> None:
    params: Mapping[str, Any] = {
        "protocolVersion": "2025-11-25",
        "capabilities": {"tasks": {"cancel": {}}, "roots": {}},
    }
    message = _old("initialize", params)

    sent = _sent(rewrite_call(message, RULES, ()))

    assert sent["params"] == {"protocolVersion": "2025-11-25", "capabilities": {"roots": {}}}
    assert rewrite_call(message, WITH_TASKS, ()) is message


@pytest.mark.parametrize("capabilities", [["tasks"], "tasks", None], ids=repr)
def test_capabilities_that_are_none_are_for_the_server_to_refuse(capabilities: Any) -> None:
    message = _old("initialize", {"protocolVersion": "2025-11-25", "capabilities": capabilities})

    assert rewrite_call(message, RULES, ()) is message


def test_no_call_is_related_to_a_task_by_the_name_that_only_the_server_knows() -> None:
    meta = {RELATED_TASK: {"taskId": "t1"}, "progressToken": 1}
    message = _old("tools/call", {"name": "search", "_meta": meta})

    for rules in (RULES, WITH_TASKS):
        assert _sent(rewrite_call(message, rules, ()))["params"]["_meta"] == {"progressToken": 1}


# Log levels

WARNINGS = MessageRules(tools=TOOLS, log_level="warning")


@pytest.mark.parametrize(
    ("asked", "sent"),
    [
        pytest.param("debug", "warning", id="more than is allowed"),
        pytest.param("warning", "warning", id="what is allowed"),
        pytest.param("alert", "alert", id="less than is allowed"),
    ],
)
def test_a_level_goes_on_as_far_as_it_is_allowed(asked: str, sent: str) -> None:
    by_method = rewrite_call(_old("logging/setLevel", {"level": asked}), WARNINGS, ())
    by_meta = rewrite_call(_new("tools/list", {"cursor": "1"}, {LOG_LEVEL_KEY: asked}), WARNINGS, ())

    assert _sent(by_method)["params"] == {"level": sent}
    assert _sent(by_meta)["params"]["_meta"][LOG_LEVEL_KEY] == sent
    assert _sent(by_meta)["params"]["cursor"] == "1"


def test_where_no_log_messages_are_allowed_none_are_asked_for() -> None:
    message = _new("tools/list", {"cursor": "1"}, {LOG_LEVEL_KEY: "error", "progressToken": 7})

    sent = _sent(rewrite_call(message, RULES, ()))

    expected = {name: value for name, value in message.params["_meta"].items() if name != LOG_LEVEL_KEY}
    assert sent["params"] == {"cursor": "1", "_meta": expected}
    assert expected["progressToken"] == 7


def test_a_level_in_the_notes_of_a_legacy_message_is_limited_as_well() -> None:
    call = _old("tools/call", {"name": "search", "_meta": {LOG_LEVEL_KEY: "debug"}})
    progress = _old("notifications/progress", {"progress": 1, "_meta": {LOG_LEVEL_KEY: "debug"}})

    for message in (call, progress):
        assert _sent(rewrite_call(message, WARNINGS, ()))["params"]["_meta"] == {LOG_LEVEL_KEY: "warning"}
        assert _sent(rewrite_call(message, RULES, ()))["params"]["_meta"] == {}


@given(allowed=st.none() | st.sampled_from(LOG_LEVELS), asked=st.sampled_from(LOG_LEVELS))
def test_no_server_is_asked_for_more_than_is_allowed(allowed: str | None, asked: str) -> None:
    rules = MessageRules(tools=TOOLS, log_level=allowed)

    sent = _sent(rewrite_call(_new("tools/list", {}, {LOG_LEVEL_KEY: asked}), rules, ()))

    level = sent["params"]["_meta"].get(LOG_LEVEL_KEY)
    if allowed is None:
        assert level is None
    else:
        assert LOG_LEVELS.index(level) >= max(LOG_LEVELS.index(allowed), LOG_LEVELS.index(asked))


# All at once


def test_a_task_and_a_level_are_rewritten_together() -> None:
    message = _new("tasks/get", {"taskId": "handle"}, {LOG_LEVEL_KEY: "debug"})

    rewritten = rewrite_call(message, WITH_TASKS, (Task("t1", "search"),))

    assert rewritten.target == "t1"
    assert _sent(rewritten)["params"]["taskId"] == "t1"
    assert LOG_LEVEL_KEY not in _sent(rewritten)["params"]["_meta"]


# Responses


def _response(members: Mapping[str, Any]) -> Message:
    return read_message(orjson.dumps({"jsonrpc": "2.0", "id": "handle", **members}), {})


@pytest.mark.parametrize("message_id", [7, 0, -1, "7", "", "größe", 2**53 - 1], ids=repr)
@pytest.mark.parametrize(
    "members",
    [
        pytest.param({"result": {"action": "accept", "content": {"id": "handle"}}}, id="a result"),
        pytest.param({"error": {"code": -1, "message": "no", "data": {"id": 1}}}, id="an error"),
        pytest.param({"result": {}}, id="an empty result"),
    ],
)
def test_a_response_names_the_request_exactly_as_the_server_did(message_id: Any, members: Any) -> None:
    message = _response(members)

    rewritten = rewrite_response(message, message_id)

    sent = _sent(rewritten)
    assert sent == {"jsonrpc": "2.0", "id": message_id, **members}
    assert type(sent["id"]) is type(message_id)
    assert list(sent) == list(message.members)
    assert message.members["id"] == "handle"


@pytest.mark.parametrize(
    "tasks",
    [
        pytest.param((), id="no task"),
        pytest.param((Task("t1", "search"),), id="one task"),
    ],
)
def test_a_rewritten_message_keeps_the_order_of_its_members(tasks: Sequence[Task]) -> None:
    message = _new("tasks/get", {"taskId": "handle"}, {LOG_LEVEL_KEY: "debug"})

    sent = _sent(rewrite_call(message, WITH_TASKS, tasks))

    assert list(sent) == list(message.members)
    assert list(sent["params"]) == list(message.params)
