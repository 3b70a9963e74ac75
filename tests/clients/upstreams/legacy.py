"""A server of the older era alone, on the Python SDK 1.x, whose lists come in small pages.

It runs in the environment of that SDK. What it imports is not installed where types are checked.
"""

import importlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import anyio
from pydantic import BaseModel

_fastmcp: Any = importlib.import_module("mcp.server.fastmcp")
_types: Any = importlib.import_module("mcp.types")
_PAGE = 2
_PAUSE = 0.02
_WORDS = ("park", "party", "paris", "test")


class _Who(BaseModel):
    username: str
    email: str


def create_app() -> Any:
    """Return the application."""
    server: Any = _fastmcp.FastMCP(
        "tunnelgate-legacy",
        instructions="Fixtures of the older era.",
        host="0.0.0.0",  # listens nowhere by itself; for loopback FastMCP answers to loopback's names only
        log_level="WARNING",
    )
    _add_tools(server)
    _add_asking_tools(server)
    _add_prompts(server)
    _add_resources(server)
    _add_low_level(server._mcp_server)
    return server.streamable_http_app()


def _add_tools(server: Any) -> None:
    def plain() -> str:
        return "This is a simple text response for testing."

    def hidden() -> str:
        return "Nobody is to see this through the gate."

    async def progress() -> str:
        for done in (0, 50, 100):
            await server.get_context().report_progress(done, 100)
            await anyio.sleep(_PAUSE)
        return "Progress complete"

    async def logging() -> str:
        for line in ("started", "completed"):
            await server.get_context().info(f"Tool execution {line}")
        return "Tool with logging executed"

    async def change() -> str:
        await server.get_context().session.send_tool_list_changed()
        return "Announced"

    for name, tool in {
        "test_simple_text": plain,
        "test_image_content": hidden,
        "greet": hidden,
        "test_tool_with_progress": progress,
        "test_tool_with_logging": logging,
        "test_trigger_tool_change": change,
    }.items():
        server.add_tool(tool, name=name, description=f"The fixture {name}")


def _add_asking_tools(server: Any) -> None:
    async def elicitation(message: str) -> str:
        answer = await server.get_context().elicit(message, schema=_Who)
        return f"User response: {answer!r}"

    async def sampling(prompt: str) -> str:
        content = _types.TextContent(type="text", text=prompt)
        message = _types.SamplingMessage(role="user", content=content)
        answer = await server.get_context().session.create_message([message], max_tokens=100)
        return f"LLM response: {answer.content.text}"

    for name, tool in {"test_elicitation": elicitation, "test_sampling": sampling}.items():
        server.add_tool(tool, name=name, description=f"The fixture {name}")


def _add_prompts(server: Any) -> None:
    def arguments(arg1: str, arg2: str) -> str:
        return f"Prompt with arguments: arg1='{arg1}', arg2='{arg2}'"

    def plain() -> str:
        return "This is a simple prompt for testing."

    server.prompt(name="test_simple_prompt")(plain)
    server.prompt(name="test_prompt_with_arguments")(arguments)
    server.prompt(name="test_prompt_with_image")(plain)


def _add_resources(server: Any) -> None:
    def text() -> str:
        return "This is the content of the static text resource."

    def octets() -> bytes:
        return b"\x00\x01"

    def instance(id: str) -> str:  # noqa: A002  # the parameter is named as in the template
        return f"Data for ID: {id}"

    server.resource("test://static-text", mime_type="text/plain")(text)
    server.resource("test://static-binary", mime_type="image/png")(octets)
    server.resource("test://watched-resource", mime_type="text/plain")(text)
    server.resource("test://template/{id}/data", mime_type="text/plain")(instance)


def _add_low_level(low: Any) -> None:
    """Add what FastMCP has no name for, and cut the lists into pages."""

    async def nothing(*_: object) -> None:
        return None

    async def complete(ref: Any, argument: Any, context: Any) -> Any:
        return _types.Completion(values=[word for word in _WORDS if word.startswith(argument.value)])

    low.completion()(complete)
    low.set_logging_level()(nothing)
    low.subscribe_resource()(nothing)
    low.unsubscribe_resource()(nothing)
    for request, member in (
        (_types.ListToolsRequest, "tools"),
        (_types.ListPromptsRequest, "prompts"),
        (_types.ListResourcesRequest, "resources"),
    ):
        low.request_handlers[request] = _paged(low.request_handlers[request], member)


def _paged(whole: Callable[[Any], Awaitable[Any]], member: str) -> Callable[[Any], Awaitable[Any]]:
    async def page(request: Any) -> Any:
        result = (await whole(request)).root
        entries: Sequence[Any] = getattr(result, member)
        cursor = None if request is None or request.params is None else request.params.cursor
        first = int(cursor or 0)
        following = first + _PAGE
        cut: dict[str, Any] = {member: list(entries[first:following])}
        if following < len(entries):
            cut["nextCursor"] = str(following)
        return _types.ServerResult(type(result)(**cut))

    return page
