"""Tools that go on after their call was answered: the tasks extension of 2026-07-28.

Which tool needs what of a client, and how each ends, is what the conformance scenarios ask for.
No status is announced on ``subscriptions/listen``: clients poll.

Specification: SEP-2663.
"""

import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import anyio
from anyio.abc import TaskGroup
from mcp.server.lowlevel.server import Server
from mcp.server.subscriptions import ListenHandler
from mcp.shared.exceptions import MCPError
from mcp.shared.inbound import decode_header_value
from mcp.types import (
    HEADER_MISMATCH,
    INTERNAL_ERROR,
    INVALID_PARAMS,
    METHOD_NOT_FOUND,
    MISSING_REQUIRED_CLIENT_CAPABILITY,
    CallToolResult,
    ElicitRequest,
    ElicitResult,
    InputRequiredResult,
    RequestParams,
    SubscriptionsListenRequestParams,
    SubscriptionsListenResult,
)
from pydantic import BaseModel

from tests.conformance.everything.asking import form
from tests.conformance.everything.call import (
    Call,
    Context,
    Outcome,
    Schema,
    Tools,
    done,
    failed,
    is_modern,
    need,
)

EXTENSION = "io.modelcontextprotocol/tasks"
TOOLS = Tools()
_RUNNING = "tasks"
_LIFE = timedelta(hours=1)
_POLL_EVERY = timedelta(milliseconds=100)
_A_MOMENT = 0.1

Status = Literal["working", "input_required", "completed", "cancelled", "failed"]
Work = Callable[["Task"], Awaitable[CallToolResult]]


class Task:
    """One call that goes on, and what its client may know of it."""

    def __init__(self) -> None:
        self.id = secrets.token_urlsafe(16)
        self._status: Status = "working"
        self._created = self._updated = datetime.now(UTC)
        self._outcome: dict[str, Any] = {}
        self._asked: dict[str, ElicitRequest] = {}
        self._answers: dict[str, ElicitResult] = {}
        self._answered = anyio.Event()
        self._scope = anyio.CancelScope()

    @property
    def is_kept(self) -> bool:
        """Whether the time is not over for which a client was told that it can ask."""
        return datetime.now(UTC) < self._created + _LIFE

    def summary(self) -> dict[str, Any]:
        """Return what every status has."""
        return {
            "taskId": self.id,
            "status": self._status,
            "createdAt": self._created.isoformat(),
            "lastUpdatedAt": self._updated.isoformat(),
            "ttlMs": _LIFE // timedelta(milliseconds=1),
            "pollIntervalMs": _POLL_EVERY // timedelta(milliseconds=1),
        }

    def details(self) -> dict[str, Any]:
        """Return the same with what only this status has."""
        if self._asked:
            asked = {key: _wire(each) for key, each in self._asked.items()}
            return {**self.summary(), "inputRequests": asked}
        return {**self.summary(), **self._outcome}

    async def run(self, work: Work) -> None:
        """Do the work, to its end or until somebody cancels it."""
        with self._scope:
            try:
                result = await work(self)
            except MCPError as fault:
                self._become("failed", statusMessage=fault.error.message, error=_wire(fault.error))
            else:
                self._become("completed", result=_wire(result))

    async def ask(self, **questions: ElicitRequest) -> Mapping[str, ElicitResult]:
        """Wait for the answers to all questions, which may come one by one."""
        self._asked = dict(questions)
        self._answered = anyio.Event()
        self._become("input_required")
        await self._answered.wait()
        return self._answers

    def answer(self, answers: Mapping[str, Any]) -> None:
        """Take the answers to what is still asked, and overlook the others."""
        for key in self._asked.keys() & answers.keys():
            self._answers[key] = ElicitResult.model_validate(answers[key])
            del self._asked[key]
            self._updated = datetime.now(UTC)
        if self._status == "input_required" and not self._asked:
            self._become("working")
            self._answered.set()

    def cancel(self) -> None:
        """Stop, unless this has ended."""
        self._become("cancelled")
        self._asked = {}
        self._scope.cancel()

    def _become(self, status: Status, **outcome: Any) -> None:
        if self._status in ("working", "input_required"):
            self._status, self._outcome, self._updated = status, outcome, datetime.now(UTC)


class Running:
    """The tasks of one server, until it stops."""

    def __init__(self, group: TaskGroup) -> None:
        self._group = group
        self._tasks: dict[str, Task] = {}

    def begin(self, work: Work) -> Task:
        """Begin a task that can be found from now on."""
        task = Task()
        self._tasks[task.id] = task
        self._group.start_soon(task.run, work)
        return task

    def find(self, task_id: str) -> Task:
        """Return the task, or refuse the request."""
        task = self._tasks.get(task_id)
        if task is None or not task.is_kept:
            raise MCPError(INVALID_PARAMS, "Task not found")
        return task


@asynccontextmanager
async def keep_running(server: object) -> AsyncGenerator[dict[str, Any]]:
    """Keep the tasks of a server for as long as it runs."""
    async with anyio.create_task_group() as group:
        yield {_RUNNING: Running(group)}
        group.cancel_scope.cancel()


class TaskParams(RequestParams):
    """Which task a request is about."""

    task_id: str


class UpdateParams(TaskParams):
    """The same, with answers to what the task asks."""

    input_responses: dict[str, Any]


def offer_tasks(server: Server[dict[str, Any]], listen: ListenHandler) -> None:
    """Let ``server`` say that it has tasks, and answer to what clients ask about them."""

    async def refuse_or_listen(
        context: Context, params: SubscriptionsListenRequestParams
    ) -> SubscriptionsListenResult:
        if "taskIds" in (params.notifications.model_extra or {}):
            _need_tasks(context)
        return await listen(context, params)

    server.extensions[EXTENSION] = {}
    server.add_request_handler("tasks/get", TaskParams, _get)
    server.add_request_handler("tasks/update", UpdateParams, _update)
    server.add_request_handler("tasks/cancel", TaskParams, _cancel)
    server.add_request_handler("subscriptions/listen", SubscriptionsListenRequestParams, refuse_or_listen)


async def _get(context: Context, params: TaskParams) -> dict[str, Any]:
    return _found(context, params).details()


async def _update(context: Context, params: UpdateParams) -> None:
    _found(context, params).answer(params.input_responses)


async def _cancel(context: Context, params: TaskParams) -> None:
    _found(context, params).cancel()


def _found(context: Context, params: TaskParams) -> Task:
    """Return the task that is asked about; who asks must know of tasks, and name it in the header too."""
    if not is_modern(context):
        raise MCPError(METHOD_NOT_FOUND, "Method not found")
    name = None if context.request is None else context.request.headers.get("mcp-name")
    if decode_header_value(name) != params.task_id:
        raise MCPError(HEADER_MISMATCH, "The mcp-name header is not the body's taskId")
    _need_tasks(context)
    return _running(context).find(params.task_id)


def _running(context: Context) -> Running:
    running: Running = context.lifespan_context[_RUNNING]
    return running


def _has_tasks(context: Context) -> bool:
    declared = context.session.client_capabilities
    return is_modern(context) and declared is not None and EXTENSION in (declared.extensions or {})


def _need_tasks(context: Context) -> None:
    if not _has_tasks(context):
        raise MCPError(
            MISSING_REQUIRED_CLIENT_CAPABILITY,
            "This needs a client that knows of tasks",
            {"requiredCapabilities": {"extensions": {EXTENSION: {}}}},
        )


def _begin(call: Call, work: Work) -> Outcome:
    _need_tasks(call.context)
    return {"resultType": "task", **_running(call.context).begin(work).summary()}


def _wire(model: BaseModel) -> dict[str, Any]:
    return model.model_dump(mode="json", by_alias=True, exclude_none=True)


_COMPUTED: Schema = {
    "type": "object",
    "properties": {"seconds": {"type": "number"}, "label": {"type": "string"}},
}
_FILE: Schema = {"type": "object", "properties": {"filename": {"type": "string"}}, "required": ["filename"]}
_NAME: Schema = {"type": "string"}


@TOOLS.add("slow_compute", "Computes for some seconds, as a task for clients that know of tasks", _COMPUTED)
async def _compute(call: Call) -> Outcome:
    seconds = float(call.arguments.get("seconds", 0))

    async def compute(_: Task | None) -> CallToolResult:
        await anyio.sleep(seconds)
        return done(f"Computed {call.arguments.get('label', 'nothing')}")

    return _begin(call, compute) if _has_tasks(call.context) else await compute(None)


@TOOLS.add("failing_job", "Goes on as a task, and ends with an error of the tool")
async def _failing(call: Call) -> Outcome:
    async def fail(_: Task) -> CallToolResult:
        await anyio.sleep(_A_MOMENT)
        return failed("This job fails every time")

    return _begin(call, fail)


@TOOLS.add("protocol_error_job", "Goes on as a task, and ends with an error of the protocol")
async def _broken(call: Call) -> Outcome:
    async def break_off(_: Task) -> CallToolResult:
        await anyio.sleep(_A_MOMENT)
        raise MCPError(INTERNAL_ERROR, "This job breaks off every time")

    return _begin(call, break_off)


@TOOLS.add("confirm_delete", "Goes on as a task, and asks before it deletes nothing", _FILE)
async def _confirm(call: Call) -> Outcome:
    filename = call.arguments["filename"]

    async def delete(task: Task) -> CallToolResult:
        answers = await task.ask(confirm=form(f"Delete {filename}?", confirm={"type": "boolean"}))
        confirmed = (answers["confirm"].content or {}).get("confirm") is True
        return done(f"{'Deleted' if confirmed else 'Kept'} {filename}")

    need(call.context, "elicitation")
    return _begin(call, delete)


@TOOLS.add("multi_input", "Goes on as a task, and asks two things at once")
async def _several(call: Call) -> Outcome:
    async def greet(task: Task) -> CallToolResult:
        answers = await task.ask(first=form("Your name?", name=_NAME), second=form("And theirs?", name=_NAME))
        names = [str((answers[key].content or {}).get("name")) for key in ("first", "second")]
        return done(f"Hello, {' and '.join(names)}!")

    need(call.context, "elicitation")
    return _begin(call, greet)


@TOOLS.add("test_tool_with_task", "Asks for a name in rounds, and then goes on as a task")
async def _rounds_then_task(call: Call) -> Outcome:
    _need_tasks(call.context)
    answer = call.answers.get("user_name")
    if call.state != "asked" or not isinstance(answer, ElicitResult):
        need(call.context, "elicitation")
        question = form("What is your name?", name=_NAME)
        return InputRequiredResult(input_requests={"user_name": question}, request_state="asked")
    name = (answer.content or {}).get("name")

    async def greet(_: Task) -> CallToolResult:
        await anyio.sleep(_A_MOMENT)
        return done(f"Hello, {name}!")

    return _begin(call, greet)
