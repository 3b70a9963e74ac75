"""The fixtures answer as the conformance scenarios expect where those look only at one side of it."""

import json
from collections.abc import Generator
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from tests.conformance.everything.server import TOOLS, create_app
from tests.conformance.everything.tasks import EXTENSION
from tests.conformance.suite import RUNS
from tests.support.mcp import LEGACY, MODERN
from tests.support.servers import serve

pytestmark = pytest.mark.anyio

JSON_OR_EVENTS = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
KNOWS_TASKS: dict[str, Any] = {"elicitation": {}, "extensions": {EXTENSION: {}}}


@pytest.fixture(scope="module")
def url() -> Generator[str]:
    with serve(create_app(), parser="h11") as port:
        yield f"http://127.0.0.1:{port}/mcp"


@pytest.mark.parametrize("mode", ["2026-07-28", "legacy"])
async def test_every_tool_is_listed_in_both_eras(url: str, mode: Any) -> None:
    async with (
        httpx2.AsyncClient() as http,
        Client(streamable_http_client(url, http_client=http), mode=mode) as client,
    ):
        listed = await client.list_tools()

    assert [tool.name for tool in listed.tools] == list(TOOLS)


@pytest.mark.parametrize(("any_host", "status"), [(False, 421), (True, 200)])
async def test_other_hosts_are_answered_only_when_told_so(*, any_host: bool, status: int) -> None:
    with serve(create_app(any_host=any_host), parser="h11") as port:
        async with httpx2.AsyncClient(headers={"Host": "docs.tunnel.localhost"}) as http:
            answer = await _initialize(http, f"http://127.0.0.1:{port}/mcp")

    assert answer.status_code == status


async def test_a_stream_that_ended_early_is_resumed_within_its_session_only(url: str) -> None:
    """Two sessions number their requests alike, and neither is shown what the other was told."""
    async with httpx2.AsyncClient() as http:
        sessions = [(await _initialize(http, url)).headers["mcp-session-id"] for _ in range(2)]
        broken = [
            await _post(http, url, each, "tools/call", {"name": "test_reconnection"}) for each in sessions
        ]
        resumed = [await _resume(http, url, *each) for each in zip(sessions, broken, strict=True)]

    assert [[json.loads(data).get("method", "result") for data in each] for each in resumed] == [
        ["notifications/message", "notifications/message", "result"]
    ] * 2


async def test_a_task_goes_on_with_what_it_was_told_and_with_nothing_else(url: str) -> None:
    """The scenarios answer each question once, and look at the status only."""
    async with httpx2.AsyncClient() as http:
        task_id = await _begin(http, url, "multi_input")
        asked = await _task(http, url, task_id, "input_required")
        await _answer(http, url, task_id, first=_name("Ada"), third=_name("nobody"))
        await _answer(http, url, task_id, first=_name("somebody else"))
        still_asked = await _task(http, url, task_id, "input_required")
        await _answer(http, url, task_id, second=_name("Grace"))
        ended = await _task(http, url, task_id, "completed")

    assert [sorted(each["inputRequests"]) for each in (asked, still_asked)] == [
        ["first", "second"],
        ["second"],
    ]
    assert ended["result"]["content"] == [{"type": "text", "text": "Hello, Ada and Grace!"}]
    assert "inputRequests" not in ended


@pytest.mark.parametrize(("tool", "status"), [("failing_job", "completed"), ("protocol_error_job", "failed")])
async def test_a_task_that_ended_can_not_be_cancelled(url: str, tool: str, status: str) -> None:
    async with httpx2.AsyncClient() as http:
        task_id = await _begin(http, url, tool)
        ended = await _task(http, url, task_id, status)
        await _ask(http, url, "tasks/cancel", {"taskId": task_id})
        asked_again = await _ask(http, url, "tasks/get", {"taskId": task_id})

    assert asked_again["result"] == ended


async def test_a_cancelled_task_takes_no_answers(url: str) -> None:
    """It stays as it was, and one that was begun by another call goes on."""
    async with httpx2.AsyncClient() as http:
        cancelled, other = [await _begin(http, url, "confirm_delete", filename=name) for name in "ab"]
        await _task(http, url, cancelled, "input_required")
        await _ask(http, url, "tasks/cancel", {"taskId": cancelled})
        stopped = await _task(http, url, cancelled, "cancelled")
        await _task(http, url, other, "input_required")
        for each in (cancelled, other):
            await _answer(http, url, each, confirm={"action": "accept", "content": {"confirm": True}})
        ended = await _task(http, url, other, "completed")
        asked_again = await _ask(http, url, "tasks/get", {"taskId": cancelled})

    assert ended["result"]["content"] == [{"type": "text", "text": "Deleted b"}]
    assert asked_again["result"] == stopped
    assert not stopped.keys() & {"result", "error", "inputRequests"}


@pytest.mark.parametrize("method", ["tasks/get", "tasks/update", "tasks/cancel"])
@pytest.mark.parametrize(
    ("capabilities", "named", "status", "code"),
    [
        pytest.param(
            {"elicitation": {}}, "itself", 400, -32021, id="by a client that does not know of tasks"
        ),
        pytest.param(KNOWS_TASKS, "another", 400, -32020, id="under the name of another in the header"),
        pytest.param(KNOWS_TASKS, None, 400, -32020, id="under no name in the header"),
    ],
)
async def test_a_task_is_not_touched(
    url: str, method: str, capabilities: dict[str, Any], named: str | None, status: int, code: int
) -> None:
    async with httpx2.AsyncClient() as http:
        task_id = await _begin(http, url, "confirm_delete", filename="a")
        params = {"taskId": task_id, "inputResponses": {"confirm": {"action": "decline"}}}
        name = {"itself": task_id, "another": "another"}.get(named or "")
        refused = await _send(http, url, method, params, capabilities, name)
        untouched = await _task(http, url, task_id, "input_required")

    assert (refused.status_code, refused.json()["error"]["code"]) == (status, code)
    assert list(untouched["inputRequests"]) == ["confirm"]


async def test_a_task_that_nobody_began_is_unknown(url: str) -> None:
    async with httpx2.AsyncClient() as http:
        answers = [
            await _ask(http, url, method, {"taskId": "nobody's", "inputResponses": {}})
            for method in ("tasks/get", "tasks/update", "tasks/cancel")
        ]

    assert [each["error"]["code"] for each in answers] == [-32602] * 3


@pytest.mark.parametrize(
    ("capabilities", "first"),
    [
        pytest.param(KNOWS_TASKS, "notifications/subscriptions/acknowledged", id="knows of tasks"),
        pytest.param({"elicitation": {}}, -32021, id="does not know of tasks"),
    ],
)
async def test_a_client_listens_for_tasks_if_it(
    url: str, capabilities: dict[str, Any], first: str | int
) -> None:
    headers, message = _modern("subscriptions/listen", {"notifications": {"taskIds": ["a"]}}, capabilities)
    async with (
        httpx2.AsyncClient() as http,
        http.stream("POST", url, json=message, headers=headers) as answer,
    ):
        told = await _first_message(answer)

    assert told.get("method", told.get("error", {}).get("code")) == first


async def test_the_earlier_era_has_no_tasks(url: str) -> None:
    async with httpx2.AsyncClient() as http:
        begun = await _initialize(http, url, KNOWS_TASKS)
        session = begun.headers["mcp-session-id"]
        unknown = await _post(http, url, session, "tasks/get", {"taskId": "a"})
        called = await _post(http, url, session, "tools/call", {"name": "slow_compute"})

    assert EXTENSION not in begun.text
    assert '"code":-32601' in unknown.text
    assert "Computed nothing" in called.text


def test_the_programs_are_pinned_by_hash_and_by_no_address() -> None:
    lock = json.loads((Path(__file__).parent / "package-lock.json").read_text("utf-8"))
    packages: dict[str, dict[str, Any]] = {name: each for name, each in lock["packages"].items() if name}

    assert [name for name, each in packages.items() if "integrity" not in each or "resolved" in each] == []
    assert {program for program, *_ in RUNS.values()} <= {
        name.removeprefix("node_modules/") for name in packages
    }


def _modern(
    method: str, params: dict[str, Any], capabilities: dict[str, Any], name: str | None = None
) -> tuple[dict[str, str], dict[str, Any]]:
    meta = {
        "io.modelcontextprotocol/protocolVersion": MODERN,
        "io.modelcontextprotocol/clientCapabilities": capabilities,
    }
    headers = {"mcp-protocol-version": MODERN, "mcp-method": method, **JSON_OR_EVENTS}
    if name is not None:
        headers["mcp-name"] = name
    return headers, {"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, "_meta": meta}}


async def _send(
    http: httpx2.AsyncClient,
    url: str,
    method: str,
    params: dict[str, Any],
    capabilities: dict[str, Any],
    name: str | None,
) -> httpx2.Response:
    headers, message = _modern(method, params, capabilities, name)
    return await http.post(url, json=message, headers=headers)


async def _ask(http: httpx2.AsyncClient, url: str, method: str, params: dict[str, Any]) -> dict[str, Any]:
    """Return what a client is answered that knows of tasks."""
    name = params.get("name", params.get("taskId"))
    answer: dict[str, Any] = (await _send(http, url, method, params, KNOWS_TASKS, name)).json()
    return answer


async def _begin(http: httpx2.AsyncClient, url: str, tool: str, **arguments: str) -> str:
    begun = await _ask(http, url, "tools/call", {"name": tool, "arguments": arguments})
    assert begun["result"]["resultType"] == "task"
    task_id: str = begun["result"]["taskId"]
    return task_id


async def _task(http: httpx2.AsyncClient, url: str, task_id: str, status: str) -> dict[str, Any]:
    """Return a task as soon as it is in this status."""
    with anyio.fail_after(10):
        while True:
            task: dict[str, Any] = (await _ask(http, url, "tasks/get", {"taskId": task_id}))["result"]
            if task["status"] == status:
                return task


async def _answer(http: httpx2.AsyncClient, url: str, task_id: str, **answers: dict[str, Any]) -> None:
    taken = await _ask(http, url, "tasks/update", {"taskId": task_id, "inputResponses": answers})
    assert taken["result"]["resultType"] == "complete"


async def _first_message(answer: httpx2.Response) -> dict[str, Any]:
    async for line in answer.aiter_lines():
        if "{" in line:
            message: dict[str, Any] = json.loads(line.removeprefix("data: "))
            return message
    raise AssertionError("the stream ended without a message")


def _name(name: str) -> dict[str, Any]:
    return {"action": "accept", "content": {"name": name}}


def _version() -> dict[str, str]:
    return {"mcp-protocol-version": LEGACY}


async def _initialize(
    http: httpx2.AsyncClient, url: str, capabilities: dict[str, Any] | None = None
) -> httpx2.Response:
    params = {
        "protocolVersion": LEGACY,
        "capabilities": capabilities or {},
        "clientInfo": {"name": "test", "version": "1"},
    }
    message = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params}
    return await http.post(url, json=message, headers=JSON_OR_EVENTS)


async def _post(
    http: httpx2.AsyncClient, url: str, session: str, method: str, params: dict[str, Any]
) -> httpx2.Response:
    message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    return await http.post(
        url, json=message, headers={"mcp-session-id": session, **_version(), **JSON_OR_EVENTS}
    )


async def _resume(http: httpx2.AsyncClient, url: str, session: str, broken: httpx2.Response) -> list[str]:
    """Return the messages from after the first event of a broken stream."""
    first = next(line for line in broken.text.splitlines() if line.startswith("id: ")).removeprefix("id: ")
    headers = {"mcp-session-id": session, "last-event-id": first, **_version(), **JSON_OR_EVENTS}
    text = (await http.get(url, headers=headers)).text
    return [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: ")]
