"""Task names: the tasks of one request, by the handles under which a client knows them.

Who a task belongs to is known from its handle alone, so a task that nobody can say the owner of
is not named to anybody.

Specification: https://modelcontextprotocol.io/specification/2025-11-25/basic/utilities/tasks, SEP-2663.
"""

from collections.abc import Sequence
from typing import Any

from tunnelgate.handles import Handles, Origin, Task
from tunnelgate.reading.fault import Fault
from tunnelgate.reading.methods import RELATED_TASK
from tunnelgate.reading.strict_json import is_array, is_object
from tunnelgate.verdict import Reason

_ABOUT_ONE = frozenset({"tasks/cancel", "tasks/get", "tasks/update"})


class TaskNames:
    """Names ``tasks``, which a request was about, and those that a call begins.

    Where tasks are not ``offered``, none has a name.
    """

    def __init__(self, handles: Handles, origin: Origin, tasks: Sequence[Task], *, offered: bool) -> None:
        self._handles = handles
        self._origin = origin
        self._tasks = {task.id: task for task in tasks}
        self._offered = offered

    def name_in_result(self, result: dict[str, Any]) -> bool:
        """Put the handle in place of the task's id; return whether there was one to replace.

        Raises :class:`~tunnelgate.reading.fault.Fault` for another task than was asked about.
        """
        holder: Any = None
        if self._origin.method in _ABOUT_ONE:
            holder = result
        elif self._origin.method == "tools/call":
            holder = result if result.get("resultType") == "task" else result.get("task")
        if not self._offered or not is_object(holder) or "taskId" not in holder:
            return False
        task_id = holder["taskId"]
        if self._origin.method == "tools/call" and self._origin.target and isinstance(task_id, str):
            self._tasks[task_id] = Task(task_id, self._origin.target)  # the call began it
        if not self._replace(holder):
            raise Fault(Reason.ANSWER_NOT_VALID, "another task than the one that was asked about")
        return True

    def name_in_notification(self, method: str, params: dict[str, Any]) -> bool:
        """Put handles in place of ids; return whether the client may know what this is about."""
        if method in ("notifications/tasks", "notifications/tasks/status"):
            return self._replace(params)
        acknowledged = params.get("notifications")
        if method == "notifications/subscriptions/acknowledged" and is_object(acknowledged):
            task_ids = acknowledged.get("taskIds")
            if "taskIds" in acknowledged:
                known = task_ids if is_array(task_ids) else []
                acknowledged["taskIds"] = [each for each in map(self._handle_of, known) if each]
        return True

    def relate(self, holder: dict[str, Any]) -> bool:
        """Likewise for the task that a message is said to be about; return whether it said so."""
        meta = holder.get("_meta")
        if not is_object(meta) or RELATED_TASK not in meta:
            return False
        related = meta.pop(RELATED_TASK)
        if is_object(related) and self._replace(related):
            meta[RELATED_TASK] = {"taskId": related["taskId"]}
        return True

    def _replace(self, holder: dict[str, Any]) -> bool:
        handle = self._handle_of(holder.get("taskId"))
        if handle is not None:
            holder["taskId"] = handle
        return handle is not None

    def _handle_of(self, task_id: object) -> str | None:
        if not isinstance(task_id, str) or not self._offered:
            return None
        task = self._tasks.get(task_id)
        return None if task is None else self._handles.task(task)
