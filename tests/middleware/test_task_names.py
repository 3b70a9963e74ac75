from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunnelgate import Reason
from tunnelgate.exchange import Principal
from tunnelgate.handles import UNASKED, Handles, Origin, Task
from tunnelgate.reading.fault import Fault
from tunnelgate.sealing import MIN_KEY, Sealer
from tunnelgate.task_names import TaskNames

ALICE = Principal("https://login.example.com/", "alice", "app", frozenset(), {})
HANDLES = Handles(Sealer([b"k" * MIN_KEY]), "docs", ALICE)
CALL = Origin("tools/call", "search", 1)
FIRST, SECOND = Task("t1", "search"), Task("t2", "draft")
HANDLE, OTHER_HANDLE = HANDLES.task(FIRST), HANDLES.task(SECOND)
RELATED = "io.modelcontextprotocol/related-task"

Members = dict[str, Any]


def _names(origin: Origin = CALL, tasks: Sequence[Task] = (), *, offered: bool = True) -> TaskNames:
    return TaskNames(HANDLES, origin, tasks, offered=offered)


def _about(method: str) -> Origin:
    return Origin(method, HANDLE, 1)


ABOUT_ONE = ["tasks/get", "tasks/cancel", "tasks/update"]

# Results


@pytest.mark.parametrize(
    ("result", "named"),
    [
        pytest.param(
            {"task": {"taskId": "t1", "x": 1}}, {"task": {"taskId": HANDLE, "x": 1}}, id="in a member"
        ),
        pytest.param(
            {"resultType": "task", "taskId": "t1"}, {"resultType": "task", "taskId": HANDLE}, id="by itself"
        ),
    ],
)
def test_the_task_that_a_call_begins_is_named_by_its_handle(result: Members, named: Members) -> None:
    assert _names().name_in_result(result)

    assert result == named


@pytest.mark.parametrize("method", ABOUT_ONE)
def test_the_task_that_was_asked_about_is_named_by_its_handle(method: str) -> None:
    result = {"taskId": "t1", "status": "working"}

    assert _names(_about(method), [FIRST]).name_in_result(result)

    assert result == {"taskId": HANDLE, "status": "working"}


@pytest.mark.parametrize("method", ABOUT_ONE)
@pytest.mark.parametrize("task_id", ["t2", "", HANDLE, 7, None, True, ["t1"], {"taskId": "t1"}])
def test_another_task_than_was_asked_about_is_no_answer(method: str, task_id: Any) -> None:
    result = {"taskId": task_id}

    with pytest.raises(Fault) as caught:
        _names(_about(method), [FIRST]).name_in_result(result)

    assert caught.value.reason == Reason.ANSWER_NOT_VALID
    assert result == {"taskId": task_id}


@pytest.mark.parametrize("task_id", [7, None, True, ["t1"], {"id": "t1"}])
@pytest.mark.parametrize("member", ["task", ""])
def test_a_call_begins_no_task_without_a_name(task_id: Any, member: str) -> None:
    result = {"task": {"taskId": task_id}} if member else {"resultType": "task", "taskId": task_id}

    with pytest.raises(Fault):
        _names().name_in_result(result)


def test_a_task_that_no_tool_was_called_for_is_nobodys() -> None:
    with pytest.raises(Fault):
        _names(Origin("tools/call", None, 1)).name_in_result({"task": {"taskId": "t1"}})


@pytest.mark.parametrize(
    ("origin", "result"),
    [
        pytest.param(CALL, {}, id="a call that says nothing"),
        pytest.param(CALL, {"content": []}, id="a call that is over"),
        pytest.param(CALL, {"taskId": "t1"}, id="a call with a member of that name, which is no task"),
        pytest.param(CALL, {"resultType": "task"}, id="a task without a name"),
        pytest.param(CALL, {"task": "t1"}, id="a task that is a text"),
        pytest.param(CALL, {"task": None}, id="a task that is null"),
        pytest.param(CALL, {"task": [{"taskId": "t1"}]}, id="a list of tasks"),
        pytest.param(_about("tasks/get"), {"status": "working"}, id="a state of nothing"),
        pytest.param(_about("tasks/result"), {"taskId": "t1"}, id="the result of a task"),
        pytest.param(_about("prompts/get"), {"task": {"taskId": "t1"}}, id="a prompt"),
        pytest.param(UNASKED, {"task": {"taskId": "t1"}}, id="what nobody asked for"),
    ],
)
def test_a_result_that_names_no_task_stays_as_it_is(origin: Origin, result: Members) -> None:
    before = {**result}

    assert not _names(origin, [FIRST]).name_in_result(result)

    assert result == before


@pytest.mark.parametrize("origin", [CALL, _about("tasks/get")], ids=lambda origin: origin.method)
@pytest.mark.parametrize(
    "result", [{"task": {"taskId": "t1"}}, {"resultType": "task", "taskId": "t1"}], ids=["a member", "itself"]
)
def test_where_tasks_are_not_offered_a_result_names_none(origin: Origin, result: Members) -> None:
    names = _names(origin, [FIRST], offered=False)

    assert not names.name_in_result(result)
    assert not names.name_in_notification("notifications/tasks", {"taskId": "t1"})


# Notifications


@pytest.mark.parametrize("method", ["notifications/tasks", "notifications/tasks/status"])
@pytest.mark.parametrize(
    ("task_id", "handle"),
    [("t1", HANDLE), ("t2", OTHER_HANDLE), ("t3", None), (HANDLE, None), (7, None), (None, None)],
    ids=["a task", "another", "that of somebody else", "a handle", "a number", "nothing"],
)
def test_the_state_of_a_task_is_told_to_whom_it_is_known(
    method: str, task_id: Any, handle: str | None
) -> None:
    params = {"taskId": task_id, "status": "working"}

    is_told = _names(tasks=[FIRST, SECOND]).name_in_notification(method, params)

    assert is_told is (handle is not None)
    assert params == {"taskId": handle or task_id, "status": "working"}


@pytest.mark.parametrize("method", ["notifications/tasks", "notifications/tasks/status"])
def test_the_state_of_a_task_without_a_name_is_told_to_nobody(method: str) -> None:
    assert not _names(tasks=[FIRST]).name_in_notification(method, {"status": "working"})


@pytest.mark.parametrize("method", ["notifications/tasks", "notifications/tasks/status"])
def test_a_task_that_no_result_named_yet_is_not_known(method: str) -> None:
    names = _names()

    assert not names.name_in_notification(method, {"taskId": "t1"})
    assert names.name_in_result({"task": {"taskId": "t1"}})
    assert names.name_in_notification(method, {"taskId": "t1"})


@pytest.mark.parametrize("method", ["notifications/message", "notifications/progress", "notifications/Tasks"])
def test_any_other_notification_stays_as_it_is(method: str) -> None:
    params = {"taskId": "t1", "notifications": {"taskIds": ["t1"]}}

    assert _names(tasks=[FIRST]).name_in_notification(method, params)

    assert params == {"taskId": "t1", "notifications": {"taskIds": ["t1"]}}


ACKNOWLEDGED = "notifications/subscriptions/acknowledged"


@pytest.mark.parametrize(
    ("task_ids", "handles"),
    [
        pytest.param([], [], id="none"),
        pytest.param(["t2", "t1"], [OTHER_HANDLE, HANDLE], id="in their order"),
        pytest.param(["t1", "t3", 7, None, ["t1"], "t2"], [HANDLE, OTHER_HANDLE], id="among others"),
        pytest.param(["t1", "t1"], [HANDLE, HANDLE], id="one twice"),
        pytest.param([HANDLE], [], id="a handle, which no server knows"),
    ],
)
def test_the_tasks_that_are_listened_to_are_named_by_their_handles(
    task_ids: list[Any], handles: list[str]
) -> None:
    params = {"notifications": {"taskIds": task_ids, "x": 1}}

    assert _names(tasks=[FIRST, SECOND]).name_in_notification(ACKNOWLEDGED, params)

    assert params == {"notifications": {"taskIds": handles, "x": 1}}


@pytest.mark.parametrize("params", [{}, {"notifications": None}, {"notifications": {"x": 1}}])
def test_who_listens_to_no_task_is_told_of_none(params: Members) -> None:
    before = {**params}

    assert _names(tasks=[FIRST]).name_in_notification(ACKNOWLEDGED, params)

    assert params == before


@pytest.mark.parametrize("task_ids", ["t1", {"t1": True}, 7], ids=["a text", "an object", "a number"])
def test_who_listens_to_tasks_is_told_of_a_list_or_of_none(task_ids: Any) -> None:
    params = {"notifications": {"taskIds": task_ids}}

    _names(tasks=[FIRST]).name_in_notification(ACKNOWLEDGED, params)

    assert params["notifications"].get("taskIds", []) == []


# What messages are about


@pytest.mark.parametrize(
    ("related", "left"),
    [
        pytest.param({"taskId": "t1"}, {RELATED: {"taskId": HANDLE}}, id="a task"),
        pytest.param({"taskId": "t1", "x": "t1"}, {RELATED: {"taskId": HANDLE}}, id="a task with more"),
        pytest.param({"taskId": "t3"}, {}, id="the task of somebody else"),
        pytest.param({"taskId": HANDLE}, {}, id="a handle"),
        pytest.param({"taskId": 7}, {}, id="a number"),
        pytest.param({}, {}, id="an object of nothing"),
        pytest.param("t1", {}, id="a text"),
        pytest.param(None, {}, id="null"),
    ],
)
def test_what_a_message_is_about_is_named_by_its_handle_or_not_at_all(related: Any, left: Members) -> None:
    holder: Members = {"_meta": {RELATED: related, "y": 2}}

    assert _names(tasks=[FIRST]).relate(holder)

    assert holder == {"_meta": {"y": 2, **left}}


@pytest.mark.parametrize("holder", [{}, {"_meta": None}, {"_meta": RELATED}, {"_meta": {"y": 2}}])
def test_a_message_that_is_about_nothing_stays_as_it_is(holder: Members) -> None:
    before = {**holder}

    assert not _names(tasks=[FIRST]).relate(holder)

    assert holder == before


def test_where_tasks_are_not_offered_no_message_is_about_one() -> None:
    holder: Members = {"_meta": {RELATED: {"taskId": "t1"}}}

    assert _names(tasks=[FIRST], offered=False).relate(holder)

    assert holder == {"_meta": {}}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["t1", "t2", "t3", "x"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["taskId", "task", "taskIds", "notifications", "x"]), inner, max_size=3
        )
    ),
    max_leaves=8,
)


@given(
    params=st.dictionaries(st.sampled_from(["taskId", "notifications", "x"]), JSON, max_size=3),
    method=st.sampled_from(["notifications/tasks", "notifications/tasks/status"]),
)
def test_whatever_a_notification_holds_it_is_told_with_a_handle_or_not_at_all(
    params: Members, method: str
) -> None:
    is_told = _names(tasks=[FIRST]).name_in_notification(method, params)

    assert (params.get("taskId") == HANDLE) is is_told
