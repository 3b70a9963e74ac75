from contextlib import suppress
from typing import Any

import mcp_types._v2026_07_28 as schema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunnelgate import Reason
from tunnelgate.reading.fault import Fault
from tunnelgate.reading.methods import CLIENT_METHODS, LOG_LEVELS, MAX_HANDLE, MAX_NAME, MAX_URI, Method
from tunnelgate.reading.params import (
    CAPABILITIES_KEY,
    LOG_LEVEL_KEY,
    MAX_SUBSCRIPTIONS,
    SUBSCRIPTIONS,
    VERSION_KEY,
    check_members,
    read_log_level,
    read_target,
)

COMPLETE = CLIENT_METHODS["completion/complete"]
LISTEN = CLIENT_METHODS["subscriptions/listen"]


def test_the_members_of_meta_have_the_names_that_the_specification_gives_them() -> None:
    official = {field.alias for field in schema.RequestMetaObject.model_fields.values()}

    for key, name in (
        (VERSION_KEY, "protocolVersion"),
        (CAPABILITIES_KEY, "clientCapabilities"),
        (LOG_LEVEL_KEY, "logLevel"),
    ):
        assert key == f"io.modelcontextprotocol/{name}"
        assert key in official


def test_what_may_be_subscribed_to_is_what_the_specification_names_and_tasks() -> None:
    official = {field.alias for field in schema.SubscriptionFilter.model_fields.values()}

    assert official | {"taskIds"} == SUBSCRIPTIONS


@pytest.mark.parametrize(
    ("method", "params"),
    [
        pytest.param("tools/call", {"name": "a", "arguments": {}, "_meta": {}}, id="a call"),
        pytest.param("tools/call", {}, id="nothing"),
        pytest.param("tools/call", {"arguments": None}, id="null for arguments"),
        pytest.param("tools/call", {"arguments": {"Name": 1, "_META": 2}}, id="arguments of any name"),
        pytest.param("initialize", {"capabilities": None}, id="null for capabilities"),
        pytest.param("initialize", {"capabilities": ["Tasks"]}, id="a list of capabilities"),
        pytest.param("initialize", {"clientInfo": {"Tasks": 1}}, id="another member of an initialize"),
        pytest.param(
            "vendor/search", {"x": 1, "X": 2, "names": 3, "capabilities": {"Tasks": 1}}, id="unknown"
        ),
    ],
)
def test_members_that_can_be_read_in_one_way_pass(method: str, params: dict[str, Any]) -> None:
    check_members(method, CLIENT_METHODS.get(method), params, params.get("_meta", {}))


LOOKALIKE = "differs by case from a member that decides"


@pytest.mark.parametrize(
    ("method", "params", "detail"),
    [
        pytest.param(
            "tools/list", {"name": "a"}, "params has a member that tools/list does not have", id="another's"
        ),
        pytest.param("ping", {"x": 1}, "params has a member that ping does not have", id="nobody's"),
        pytest.param("tools/call", {"arguments": []}, "arguments is not an object", id="a list of arguments"),
        pytest.param("vendor/x", {"arguments": 0}, "arguments is not an object", id="arguments of no method"),
        pytest.param("vendor/x", {"Uri": 1}, f"'Uri' {LOOKALIKE}", id="params in another case"),
        pytest.param("vendor/x", {"task\u0131d": 1}, f"'task\u0131d' {LOOKALIKE}", id="a dotless i"),
        pytest.param("ping", {"_meta": {"progresstoken": 1}}, f"'progresstoken' {LOOKALIKE}", id="meta"),
        pytest.param("initialize", {"capabilities": {"Tasks": 1}}, f"'Tasks' {LOOKALIKE}", id="a capability"),
        pytest.param(
            "initialize",
            {"capabilities": {"extensions": {"x": 1, "EXTENSIONS": 1}}},
            f"'EXTENSIONS' {LOOKALIKE}",
            id="an extension",
        ),
        pytest.param(
            "ping",
            {"_meta": {CAPABILITIES_KEY: {"EXTENSIONS": {}}}},
            f"'EXTENSIONS' {LOOKALIKE}",
            id="a capability in meta",
        ),
        pytest.param(
            "ping",
            {"_meta": {CAPABILITIES_KEY: {"extensions": {"TASKS": {}}}}},
            f"'TASKS' {LOOKALIKE}",
            id="an extension in meta",
        ),
    ],
)
def test_members_that_can_be_read_in_two_ways_are_refused(
    method: str, params: dict[str, Any], detail: str
) -> None:
    with pytest.raises(Fault) as caught:
        check_members(method, CLIENT_METHODS.get(method), params, params.get("_meta", {}))

    assert (caught.value.reason, caught.value.detail) == (Reason.MESSAGE_INVALID, detail)


TARGETS = [
    pytest.param(name, method, id=name)
    for name, method in CLIENT_METHODS.items()
    if method.target is not None
]


@pytest.mark.parametrize(("name", "method"), TARGETS)
def test_a_target_may_be_as_long_as_its_bound_and_not_one_more(name: str, method: Method) -> None:
    assert method.target is not None
    member, longest = method.target.member, method.target.longest

    assert read_target(name, method, {member: "x" * longest}) == "x" * longest
    for value in ("x" * (longest + 1), "", None, 1, ["x"]):
        with pytest.raises(Fault) as caught:
            read_target(name, method, {member: value})
        assert (caught.value.reason, caught.value.detail) == (
            Reason.MESSAGE_INVALID,
            f"{member} is not a text of at most {longest} characters",
        )


@pytest.mark.parametrize(
    "name", sorted(name for name, method in CLIENT_METHODS.items() if method.target is None)
)
def test_what_names_no_target_by_a_member_has_none(name: str) -> None:
    params = {"name": "x", "uri": "a:b", "taskId": "t", "notifications": dict[str, Any](), "ref": PROMPT}

    assert read_target(name, CLIENT_METHODS[name], params) == ("a" if name == "completion/complete" else None)


PROMPT = {"type": "ref/prompt", "name": "a"}


@pytest.mark.parametrize(
    ("member", "kind", "longest"),
    [
        pytest.param("name", "ref/prompt", MAX_NAME, id="a prompt"),
        pytest.param("uri", "ref/resource", MAX_URI, id="a resource"),
    ],
)
def test_a_reference_may_be_as_long_as_its_bound_and_not_one_more(
    member: str, kind: str, longest: int
) -> None:
    reference = {"type": kind, member: "x" * longest}
    assert read_target("completion/complete", COMPLETE, {"ref": reference}) == "x" * longest

    reference[member] += "x"
    with pytest.raises(Fault, match="ref names neither one prompt nor one resource"):
        read_target("completion/complete", COMPLETE, {"ref": reference})


@pytest.mark.parametrize(
    ("member", "longest"),
    [
        pytest.param("resourceSubscriptions", MAX_URI, id="resources"),
        pytest.param("taskIds", MAX_HANDLE, id="tasks"),
    ],
)
def test_a_subscription_may_name_as_much_as_its_bounds_say_and_not_one_more(
    member: str, longest: int
) -> None:
    most = ["x"] * MAX_SUBSCRIPTIONS
    for texts in ([], most, ["x" * longest]):
        assert read_target("subscriptions/listen", LISTEN, {"notifications": {member: texts}}) is None

    for asked, detail in (
        ([*most, "x"], f"{member} is not a list of at most {MAX_SUBSCRIPTIONS}"),
        (["x", "x" * (longest + 1)], f"{member} holds what is not a text of at most {longest}"),
    ):
        with pytest.raises(Fault) as caught:
            read_target("subscriptions/listen", LISTEN, {"notifications": {member: asked}})
        assert (caught.value.reason, caught.value.detail) == (Reason.MESSAGE_INVALID, detail)


def test_a_subscription_names_at_most_256_resources() -> None:
    """Each of them is judged for each notification."""
    assert MAX_SUBSCRIPTIONS == 256


@pytest.mark.parametrize("level", LOG_LEVELS)
def test_a_log_level_is_read_from_params_or_from_meta(level: str) -> None:
    assert read_log_level("logging/setLevel", {"level": level}, {LOG_LEVEL_KEY: "debug"}) == level
    assert read_log_level("tools/call", {"level": "debug"}, {LOG_LEVEL_KEY: level}) == level
    assert read_log_level("tools/call", {"level": level}, {}) is None
    assert read_log_level("tools/call", {}, {LOG_LEVEL_KEY: None}) is None


@pytest.mark.parametrize("level", ["Debug", "trace", "", 0, False, ["debug"], {"debug": 1}], ids=repr)
def test_what_is_no_log_level_is_refused(level: object) -> None:
    for name, params, meta in (
        ("logging/setLevel", {"level": level}, dict[str, Any]()),
        ("tools/call", dict[str, Any](), {LOG_LEVEL_KEY: level}),
    ):
        with pytest.raises(Fault) as caught:
            read_log_level(name, params, meta)
        assert (caught.value.reason, caught.value.detail) == (Reason.PARAMS_INVALID, "not a log level")


def test_setting_a_log_level_needs_one() -> None:
    for params in (dict[str, Any](), {"level": None}):
        with pytest.raises(Fault, match="not a log level"):
            read_log_level("logging/setLevel", params, {LOG_LEVEL_KEY: "debug"})


VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(
                [
                    *("name", "Name", "uri", "type", "ref", "level", "arguments", "tasks", "Tasks"),
                    *("extensions", "capabilities", "notifications", "taskIds", CAPABILITIES_KEY),
                ]
            ),
            inner,
            max_size=3,
        )
    ),
    max_leaves=6,
)
OBJECTS = st.dictionaries(
    st.sampled_from(
        ["name", "uri", "taskId", "ref", "level", "notifications", "capabilities", LOG_LEVEL_KEY]
    ),
    VALUES,
)


@given(st.sampled_from(sorted(CLIENT_METHODS)), OBJECTS, OBJECTS)
def test_no_params_raise_anything_but_a_fault(
    name: str, params: dict[str, Any], meta: dict[str, Any]
) -> None:
    method = CLIENT_METHODS[name]
    with suppress(Fault):
        check_members(name, method, params, meta)
        assert params.keys() <= method.members
    with suppress(Fault):
        target = read_target(name, method, params)
        assert (target is None) == (method.target is None and name != "completion/complete")
    with suppress(Fault):
        assert read_log_level(name, params, meta) in {None, *LOG_LEVELS}
