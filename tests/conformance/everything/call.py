"""What a fixture is given of a request, and the table that names the tools."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from mcp.server.context import ServerRequestContext
from mcp.server.subscriptions import SubscriptionBus
from mcp.shared.exceptions import MCPError
from mcp.types import (
    MISSING_REQUIRED_CLIENT_CAPABILITY,
    CallToolResult,
    ContentBlock,
    InputRequiredResult,
    InputResponses,
    TextContent,
    Tool,
)
from mcp.types.version import MODERN_PROTOCOL_VERSIONS
from starlette.requests import Request

Context = ServerRequestContext[dict[str, Any], Request]
Schema = dict[str, Any]
NO_ARGUMENTS: Schema = {"type": "object", "properties": {}}


def is_modern(context: Context) -> bool:
    """Say whether this request is of the stateless era."""
    return context.protocol_version in MODERN_PROTOCOL_VERSIONS


def need(context: Context, capability: Literal["elicitation", "roots", "sampling"]) -> None:
    """Refuse the request unless the client declared ``capability``."""
    declared = context.session.client_capabilities
    if declared is None or getattr(declared, capability) is None:
        raise MCPError(
            MISSING_REQUIRED_CLIENT_CAPABILITY,
            f"This needs the client's {capability} capability",
            {"requiredCapabilities": {capability: {}}},
        )


@dataclass(frozen=True)
class Call:
    """One call of a tool."""

    context: Context
    arguments: Mapping[str, Any]
    answers: InputResponses
    state: str | None
    changes: SubscriptionBus


# A mapping is a task that was begun: the SDK has models of the tasks of 2025-11-25 only.
Outcome = CallToolResult | InputRequiredResult | dict[str, Any]
Run = Callable[[Call], Awaitable[Outcome]]


@dataclass(frozen=True)
class ToolFixture:
    """A tool as it is listed, and what it does."""

    tool: Tool
    run: Run
    modern_only: bool


class Tools(dict[str, ToolFixture]):
    """Tools by name, in the order in which they are listed."""

    @classmethod
    def joined(cls, parts: Iterable["Tools"]) -> "Tools":
        """Return one table of several."""
        return cls((name, fixture) for part in parts for name, fixture in part.items())

    def add(
        self, name: str, description: str, schema: Schema = NO_ARGUMENTS, *, modern_only: bool = False
    ) -> Callable[[Run], Run]:
        """Register the decorated function as the tool ``name``."""

        def register(run: Run) -> Run:
            tool = Tool(name=name, description=description, input_schema=schema)
            self[name] = ToolFixture(tool, run, modern_only)
            return run

        return register

    async def call(self, name: str, call: Call) -> Outcome:
        """Run the tool ``name``; an unknown one is a protocol error, missing arguments are the tool's."""
        fixture = self.get(name)
        if fixture is None:
            raise MCPError(-32602, f"Unknown tool: {name}")
        if fixture.modern_only and not is_modern(call.context):
            return failed(f"{name} answers in rounds, which this protocol version does not have")
        missing = [
            each for each in fixture.tool.input_schema.get("required", ()) if each not in call.arguments
        ]
        if missing:
            return failed(f"Missing arguments: {', '.join(missing)}")
        return await fixture.run(call)


def done(*content: ContentBlock | str) -> CallToolResult:
    """Return the result of a tool that went well."""
    return CallToolResult(content=[_block(each) for each in content])


def failed(text: str) -> CallToolResult:
    """Return the result of a tool that did not."""
    return CallToolResult(content=[_block(text)], is_error=True)


def _block(content: ContentBlock | str) -> ContentBlock:
    return TextContent(text=content) if isinstance(content, str) else content
