from types import ModuleType
from typing import Any, get_args

import mcp_types._v2025_11_25 as schema_2025_11_25
import mcp_types._v2026_07_28 as schema_2026_07_28
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import BaseModel

from tunnelgate.reading.methods import (
    CLIENT_METHODS,
    CLIENT_NOTIFICATIONS,
    CLIENT_REQUESTS,
    DECIDING_CAPABILITIES,
    DECIDING_META,
    DECIDING_PARAMS,
    LOG_LEVELS,
    MAX_HANDLE,
    MAX_NAME,
    MAX_URI,
    MIRRORED,
    MODERN_MEMBERS,
    SERVER_NOTIFICATIONS,
    SERVER_REQUESTS,
    TASKS_EXTENSION,
    Era,
    lookalike_in,
)

SCHEMAS: dict[Era, ModuleType] = {Era.LEGACY: schema_2025_11_25, Era.MODERN: schema_2026_07_28}
ERAS = [pytest.param(Era.LEGACY, id="2025-11-25"), pytest.param(Era.MODERN, id="2026-07-28")]

# Whom a task belongs to is known from its handle alone, so that a list would be everybody's.
NOT_OFFERED = {"tasks/list"}
# SEP-2663 is an extension; the schema of 2026-07-28 does not have it.
TASKS: dict[str, frozenset[str]] = {
    "tasks/cancel": frozenset({"taskId"}),
    "tasks/get": frozenset({"taskId"}),
    "tasks/update": frozenset({"taskId", "inputResponses"}),
}
TASK_NOTIFICATIONS = {"notifications/tasks"}


def members_of(model: type[BaseModel]) -> frozenset[str]:
    """Return the members of an object as they are written in JSON."""
    return frozenset(field.alias or name for name, field in model.model_fields.items())


def models_in(annotation: Any) -> list[type[BaseModel]]:
    parts = get_args(annotation) or (annotation,)
    return [part for part in parts if isinstance(part, type) and issubclass(part, BaseModel)]


def messages_in(era: Era, union: str) -> dict[str, frozenset[str]]:
    """Return the methods of a union of the official schema, each with the members of its params."""
    found: dict[str, frozenset[str]] = {}
    for message in models_in(getattr(SCHEMAS[era], union)):
        (method,) = get_args(message.model_fields["method"].annotation)
        params = models_in(message.model_fields["params"].annotation)
        # The schema leaves _meta out for tasks and in for all others; any params may have it.
        found[method] = frozenset({"_meta"}).union(*map(members_of, params))
    return found


def client_requests(era: Era) -> dict[str, frozenset[str]]:
    tasks = TASKS if era is Era.MODERN else {}
    official = messages_in(era, "ClientRequest")
    offered = {method: members for method, members in official.items() if method not in NOT_OFFERED}
    return offered | {method: members | {"_meta"} for method, members in tasks.items()}


@pytest.mark.parametrize("era", ERAS)
def test_the_requests_of_clients_are_those_of_the_official_schema(era: Era) -> None:
    ours = {method for method, known in CLIENT_REQUESTS.items() if era in known.era}

    assert len(ours) >= 13
    assert ours == client_requests(era).keys()


@pytest.mark.parametrize("era", ERAS)
def test_the_notifications_of_clients_are_those_of_the_official_schema(era: Era) -> None:
    ours = {method for method, known in CLIENT_NOTIFICATIONS.items() if era in known.era}

    assert ours
    assert ours == messages_in(era, "ClientNotification").keys()


@pytest.mark.parametrize("method", sorted(CLIENT_METHODS))
def test_the_params_of_a_method_are_those_of_the_official_schema(method: str) -> None:
    known = CLIENT_METHODS[method]
    official = [
        (client_requests(era) | messages_in(era, "ClientNotification")).get(method, frozenset())
        for era in (Era.LEGACY, Era.MODERN)
        if era in known.era
    ]

    assert known.members == frozenset[str]().union(*official)


def test_the_eras_differ_in_nothing_but_the_members_of_retries_and_of_tasks() -> None:
    legacy, modern = client_requests(Era.LEGACY), client_requests(Era.MODERN)
    nothing, retried = frozenset[str](), frozenset({"inputResponses", "requestState"})

    differing = {
        method: (legacy[method] - modern[method], modern[method] - legacy[method])
        for method in legacy.keys() & modern.keys()
        if legacy[method] != modern[method]
    }
    assert retried == MODERN_MEMBERS
    assert differing == {
        "prompts/get": (nothing, retried),
        "resources/read": (nothing, retried),
        "tools/call": (frozenset({"task"}), retried),
    }


def test_the_requests_of_servers_are_those_of_the_official_schema() -> None:
    official = messages_in(Era.LEGACY, "ServerRequest")

    assert dict.fromkeys(official, Era.LEGACY) == SERVER_REQUESTS
    assert not hasattr(schema_2026_07_28, "ServerRequest")


@pytest.mark.parametrize("era", ERAS)
def test_the_notifications_of_servers_are_those_of_the_official_schema(era: Era) -> None:
    ours = {method for method, eras in SERVER_NOTIFICATIONS.items() if era in eras}
    official = messages_in(era, "ServerNotification").keys()

    assert ours == official | (TASK_NOTIFICATIONS if era is Era.MODERN else set())


def test_a_method_is_a_request_or_a_notification() -> None:
    assert CLIENT_METHODS == {**CLIENT_REQUESTS, **CLIENT_NOTIFICATIONS}
    assert CLIENT_REQUESTS.keys().isdisjoint(CLIENT_NOTIFICATIONS)
    assert SERVER_REQUESTS.keys().isdisjoint(SERVER_NOTIFICATIONS)
    assert all(
        method.startswith("notifications/") for method in (*CLIENT_NOTIFICATIONS, *SERVER_NOTIFICATIONS)
    )
    assert not any(method.startswith("notifications/") for method in (*CLIENT_REQUESTS, *SERVER_REQUESTS))


def test_what_is_asked_for_by_name_is_named_by_a_member_of_the_params() -> None:
    targets = {
        method: (known.target.member, known.target.longest)
        for method, known in CLIENT_METHODS.items()
        if known.target is not None
    }

    tool_or_prompt, resource, task = ("name", MAX_NAME), ("uri", MAX_URI), ("taskId", MAX_HANDLE)
    assert targets == {
        "prompts/get": tool_or_prompt,
        "resources/read": resource,
        "resources/subscribe": resource,
        "resources/unsubscribe": resource,
        "tasks/cancel": task,
        "tasks/get": task,
        "tasks/result": task,
        "tasks/update": task,
        "tools/call": tool_or_prompt,
    }
    assert all(member in CLIENT_METHODS[method].members for method, (member, _) in targets.items())


def test_what_mcp_name_repeats_are_the_targets_of_2026_07_28_and_of_sep_2663() -> None:
    specified = {"prompts/get", "resources/read", "tools/call"}

    assert specified | TASKS.keys() == MIRRORED


def test_mcp_name_repeats_no_reference_of_a_completion() -> None:
    assert "completion/complete" not in MIRRORED


def test_a_client_tells_of_progress_in_the_legacy_era_only() -> None:
    """In 2026-07-28 a server asks nothing that could take a while."""
    assert CLIENT_NOTIFICATIONS["notifications/progress"].era is Era.LEGACY
    assert SERVER_NOTIFICATIONS["notifications/progress"] is Era.BOTH


def test_names_and_handles_have_the_bounds_that_the_documentation_says() -> None:
    assert (MAX_NAME, MAX_URI, MAX_HANDLE) == (256, 2048, 4096)


def test_the_capabilities_that_decide_are_those_by_which_a_server_knows_of_tasks() -> None:
    assert {"extensions", "tasks", TASKS_EXTENSION} == DECIDING_CAPABILITIES
    assert "tasks" in schema_2025_11_25.ClientCapabilities.model_fields
    assert "extensions" in schema_2026_07_28.ClientCapabilities.model_fields


def test_no_request_of_a_client_names_something_that_is_overlooked() -> None:
    for method, known in CLIENT_REQUESTS.items():
        named = known.members & {"name", "uri", "taskId"}
        assert named == (set() if known.target is None else {known.target.member}), method


@pytest.mark.parametrize("era", ERAS)
def test_the_levels_of_logging_are_those_of_the_official_schema_in_the_order_of_rfc_5424(era: Era) -> None:
    official = get_args(SCHEMAS[era].LoggingMessageNotificationParams.model_fields["level"].annotation)
    numerical_codes = {
        "emergency": 0,
        "alert": 1,
        "critical": 2,
        "error": 3,
        "warning": 4,
        "notice": 5,
        "info": 6,
        "debug": 7,
    }

    assert set(LOG_LEVELS) == set(official)
    assert [numerical_codes[each] for each in LOG_LEVELS] == [7, 6, 5, 4, 3, 2, 1, 0]


def test_all_that_the_official_schema_puts_into_meta_decides_but_what_a_client_calls_itself() -> None:
    request = members_of(schema_2026_07_28.RequestMetaObject)
    notification = members_of(schema_2026_07_28.NotificationMetaObject)

    assert (request | notification) - DECIDING_META == {"io.modelcontextprotocol/clientInfo"}


def test_each_member_that_names_a_target_decides_also_where_the_method_is_unknown() -> None:
    members = {known.target.member for known in CLIENT_METHODS.values() if known.target is not None}

    assert members <= DECIDING_PARAMS


DECIDING = frozenset({"name", "taskId", "tasks", "kind", "io.modelcontextprotocol/logLevel"})


@pytest.mark.parametrize(
    "member",
    [
        pytest.param("Name", id="a capital at the beginning"),
        pytest.param("NAME", id="capitals"),
        pytest.param("nAme", id="a capital inside"),
        pytest.param("taskid", id="small letters where a capital stands"),
        pytest.param("TASKID", id="capitals only"),
        pytest.param("ta\u017fkId", id="a long s"),
        pytest.param("ta\u017fks", id="a long s in the middle"),
        pytest.param("\u212aind", id="the sign for kelvin"),
        pytest.param("tas\u212aId", id="the sign for kelvin in the middle"),
        pytest.param("task\u0131d", id="a dotless i, which Java takes for i"),
        pytest.param("task\u0130d", id="a capital i with a dot, which Java takes for i"),
        pytest.param("TASK\u0131D", id="a dotless i among capitals"),
        pytest.param("k\u0131nd", id="a dotless i in the middle"),
        pytest.param("\u0131o.modelcontextprotocol/logLevel", id="a dotless i at the beginning of a prefix"),
        pytest.param("IO.ModelContextProtocol/logLevel", id="another case of a prefix"),
        pytest.param("io.modelcontextprotocol/loglevel", id="another case behind a prefix"),
    ],
)
def test_a_member_that_differs_by_case_is_a_lookalike(member: str) -> None:
    assert lookalike_in({"x": 1, member: 2, "name": 3}, DECIDING) == member


@pytest.mark.parametrize(
    "member",
    [
        pytest.param("name", id="a member that decides"),
        pytest.param("taskId", id="a member with a capital"),
        pytest.param("names", id="a letter more"),
        pytest.param("nam", id="a letter fewer"),
        pytest.param("task_id", id="another way to write two words"),
        pytest.param(" name", id="a space before"),
        pytest.param("logLevel", id="a name without its prefix"),
        pytest.param("", id="nothing"),
        pytest.param("\u043dame", id="a letter of another script"),
    ],
)
def test_another_member_is_no_lookalike(member: str) -> None:
    assert lookalike_in({member: 1}, DECIDING) is None


def test_no_members_have_no_lookalike() -> None:
    assert lookalike_in({}, DECIDING) is None
    assert lookalike_in({"Name": 1}, frozenset()) is None


def test_the_first_of_several_lookalikes_is_named() -> None:
    assert lookalike_in(["name", "TASKID", "Name"], DECIDING) == "TASKID"


EVERY = DECIDING_PARAMS | DECIDING_META | DECIDING_CAPABILITIES


@given(st.sampled_from(sorted(EVERY)), st.data())
def test_each_other_case_of_a_member_that_decides_is_found(member: str, data: st.DataObject) -> None:
    capitals = data.draw(st.lists(st.booleans(), min_size=len(member), max_size=len(member)))
    other = "".join(
        each.upper() if capital else each.lower() for each, capital in zip(member, capitals, strict=True)
    )
    assert lookalike_in({other: 1}, EVERY) == (None if other == member else other)


@given(st.sampled_from(sorted(EVERY)), st.data())
def test_each_letter_that_another_letter_folds_to_is_found(member: str, data: st.DataObject) -> None:
    others = {"i": "\u0130\u0131", "s": "\u017f", "k": "\u212a"}
    places = [place for place, letter in enumerate(member) if letter in others]
    assume(places)
    place = data.draw(st.sampled_from(places))
    other = member[:place] + data.draw(st.sampled_from(others[member[place]])) + member[place + 1 :]

    assert lookalike_in({other: 1}, EVERY) == other


def test_the_eras_are_two_and_both_is_each() -> None:
    assert Era.LEGACY in Era.BOTH
    assert Era.MODERN in Era.BOTH
    assert Era.LEGACY not in Era.MODERN
    assert list(Era) == [Era.LEGACY, Era.MODERN]
