"""What a Python client does with a server, step by step; each step prints one line of JSON.

This is imported beside the SDK 1.x as well as beside 2.x, so it imports neither.
"""

import json
import os
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal, Protocol, cast

import anyio

Json = Any
Kind = Literal["tools", "prompts", "resources", "templates"]
LOG_LEVEL = "io.modelcontextprotocol/logLevel"
ROOT = "file:///home/ada"
_STEP_LIMIT = 20
_MAX_PAGES = 50
_LISTED: Mapping[Kind, str] = {
    "tools": "tools",
    "prompts": "prompts",
    "resources": "resources",
    "templates": "resourceTemplates",
}


class Plan:
    """What the program was told to do, by its environment."""

    def __init__(self) -> None:
        told: dict[str, Any] = json.loads(os.environ["CLIENT_PLAN"])
        self.url: str = told["url"]
        self.era: str = told["era"]
        self.token: str | None = told["token"]
        self.steps: list[str] = told["steps"]
        self.names: dict[str, str] = told["names"]

    @property
    def headers(self) -> dict[str, str]:
        return {} if self.token is None else {"authorization": f"Bearer {self.token}"}


class Seen:
    """What reached the client besides the answers to what it asked."""

    def __init__(self) -> None:
        self.log: list[Json] = []
        self.asked: list[Json] = []
        self.session_id: str | None = None
        self.refused_with: int | None = None
        self.is_listening = anyio.Event()
        self.tools_changed = anyio.Event()

    def response(self, method: str, status: int, headers: Mapping[str, str]) -> None:
        """Take the head of an HTTP response."""
        self.session_id = headers.get("mcp-session-id", self.session_id)
        if status in (401, 403):
            self.refused_with = status
        if method == "GET" and status == 200:
            self.is_listening.set()

    def refusal(self) -> dict[str, int]:
        """Return the status of HTTP with which the client was refused for its token, if it was."""
        return {} if self.refused_with is None else {"status": self.refused_with}

    def notification(self, method: object) -> None:
        """Take a notification of the server."""
        if method == "notifications/tools/list_changed":
            self.tools_changed.set()


class Speaker(Protocol):
    """A connected client, whichever SDK it is of; what it returns is what JSON would have."""

    seen: Seen

    def greeting(self) -> Json: ...
    async def page(self, kind: Kind, cursor: str | None) -> dict[str, Json]: ...
    async def call(
        self, tool: str, arguments: Json = None, meta: Json = None, progress: list[Json] | None = None
    ) -> Json: ...
    async def prompt(self, name: str, arguments: dict[str, str] | None = None) -> Json: ...
    async def read(self, uri: str) -> Json: ...
    async def complete(self, ref: dict[str, str], argument: dict[str, str]) -> Json: ...
    async def ping(self) -> Json: ...
    async def set_level(self, level: str) -> Json: ...
    async def subscribe(self, uri: str) -> Json: ...
    async def unsubscribe(self, uri: str) -> Json: ...
    async def listen_to_tools(self, then_call: str) -> Json: ...
    async def listen_to_resources(self, uris: list[str]) -> Json: ...


Step = Callable[[], Awaitable[Json]]


def say(step: str, **outcome: Json) -> None:
    """Print what came of a step."""
    sys.stdout.write(json.dumps({"step": step, **outcome}, sort_keys=True) + "\n")
    sys.stdout.flush()


async def take(
    wanted: list[str], steps: Mapping[str, Step], protocol_error: type[Exception], seen: Seen
) -> None:
    """Take the wanted steps that there are, in the order in which they are wanted."""
    for name in wanted:
        step = steps.get(name)
        if step is None:
            continue
        seen.log.clear()
        seen.asked.clear()
        try:
            with anyio.fail_after(_STEP_LIMIT):
                say(name, saw=await step())
        except protocol_error as error:
            data: Any = getattr(error, "error", error)
            said = {"code": data.code, "message": data.message, "data": data.data}
            told = {key: value for key, value in said.items() if value is not None}
            say(name, error=told, **seen.refusal())
        except Exception as error:  # noqa: BLE001  # whatever else a client makes of an answer is a finding
            say(name, failed=failure(error), **seen.refusal())


def failure(error: BaseException) -> str:
    """Return what went wrong, without the groups around it."""
    inner: BaseException = error
    while isinstance(inner, BaseExceptionGroup):
        inner = cast("BaseExceptionGroup[BaseException]", inner).exceptions[0]
    return f"{type(inner).__name__}: {inner}"


def steps_of(speaker: Speaker, names: Mapping[str, str]) -> Mapping[str, Step]:
    """Return every step that happens within one connection."""
    seen = speaker.seen

    def call(tool: str, **arguments: Json) -> Step:
        async def step() -> Json:
            result = await speaker.call(tool, arguments)
            return {"result": result, "asked": list(seen.asked), "log": list(seen.log)}

        return step

    def listing(kind: Kind) -> Step:
        return lambda: _every_page(speaker, kind)

    word = {"value": "par"}
    return {
        "connect": lambda: _greeting(speaker),
        "list tools": listing("tools"),
        "list prompts": listing("prompts"),
        "list resources": listing("resources"),
        "list templates": listing("templates"),
        "call a tool": call(names["tool"]),
        "call a hidden tool": call(names["hidden tool"]),
        "call a missing tool": call(names["missing tool"]),
        "call again": call(names["tool"]),
        "get a prompt": lambda: speaker.prompt(names["prompt"], {"arg1": "one", "arg2": "zwölf"}),
        "get a hidden prompt": lambda: speaker.prompt(names["hidden prompt"]),
        "get a missing prompt": lambda: speaker.prompt(names["missing prompt"]),
        "read a resource": lambda: speaker.read(names["resource"]),
        "read through a template": lambda: speaker.read(names["instance"]),
        "read a hidden resource": lambda: speaker.read(names["hidden resource"]),
        "read a missing resource": lambda: speaker.read(names["missing resource"]),
        "complete a prompt": lambda: speaker.complete(
            {"type": "ref/prompt", "name": names["prompt"]}, {"name": "arg1", **word}
        ),
        "complete a template": lambda: speaker.complete(
            {"type": "ref/resource", "uri": names["template"]}, {"name": "id", **word}
        ),
        "complete a hidden prompt": lambda: speaker.complete(
            {"type": "ref/prompt", "name": names["hidden prompt"]}, {"name": "arg1", **word}
        ),
        "progress": lambda: _progress(speaker),
        "log lines by request": lambda: _log_by_request(speaker),
        "log lines by session": lambda: _log_by_session(speaker),
        "elicitation": call("test_elicitation", message="Who?"),
        "sampling": call("test_sampling", prompt="What?"),
        "ping": speaker.ping,
        "subscribe": lambda: speaker.subscribe(names["resource"]),
        "unsubscribe": lambda: speaker.unsubscribe(names["resource"]),
        "subscribe to a hidden resource": lambda: speaker.subscribe(names["hidden resource"]),
        "list changed": lambda: _list_changed(speaker),
        "resume a stream": call("test_reconnection"),
        "input: elicitation": call("test_input_required_result_elicitation"),
        "input: sampling": call("test_input_required_result_sampling"),
        "input: roots": call("test_input_required_result_list_roots"),
        "input: three at once": call("test_input_required_result_multiple_inputs"),
        "input: two rounds": call("test_input_required_result_multi_round"),
        "input: sealed state": call("test_input_required_result_request_state"),
        "input: a prompt asks": lambda: speaker.prompt("test_input_required_result_prompt"),
        "listen to the list of tools": lambda: speaker.listen_to_tools("test_trigger_tool_change"),
        "listen to a resource": lambda: speaker.listen_to_resources([names["resource"]]),
        "listen to a hidden resource": lambda: speaker.listen_to_resources(
            [names["resource"], names["hidden resource"]]
        ),
    }


async def _greeting(speaker: Speaker) -> Json:
    return speaker.greeting()


async def _every_page(speaker: Speaker, kind: Kind) -> Json:
    pages: list[dict[str, Json]] = []
    cursor: str | None = None
    while True:
        pages.append(await speaker.page(kind, cursor))
        cursor = pages[-1].pop("nextCursor", None)
        if cursor is None or len(pages) == _MAX_PAGES:
            break
    entries = [entry for page in pages for entry in page.pop(_LISTED[kind])]
    return {"entries": entries, "pages": pages}


async def _progress(speaker: Speaker) -> Json:
    steps: list[Json] = []
    result = await speaker.call("test_tool_with_progress", progress=steps)
    return {"result": result, "steps": steps}


async def _log_by_request(speaker: Speaker) -> Json:
    result = await speaker.call("test_tool_with_logging", meta={LOG_LEVEL: "info"})
    return {"result": result, "log": list(speaker.seen.log)}


async def _log_by_session(speaker: Speaker) -> Json:
    await speaker.set_level("info")
    result = await speaker.call("test_tool_with_logging")
    return {"result": result, "log": list(speaker.seen.log)}


async def _list_changed(speaker: Speaker) -> Json:
    await speaker.seen.is_listening.wait()
    result = await speaker.call("test_trigger_tool_change")
    await speaker.seen.tools_changed.wait()
    return result


def filled(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return a form filled in as a user would, by the type of each field."""
    values = {"string": "Ada", "boolean": True, "integer": 7, "number": 1.5}
    return {name: values[field["type"]] for name, field in schema["properties"].items()}


PING = {"jsonrpc": "2.0", "id": 99, "method": "ping"}
RAW_HEADERS = {"accept": "application/json, text/event-stream", "mcp-protocol-version": "2025-11-25"}
