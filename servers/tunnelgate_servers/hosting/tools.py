"""The tools of a server: what each needs, checked before it runs, and what it says when it cannot do it.

::

    Toolset([Tool(function, "Search the documents", scopes=["docs:read"], annotations=READING)])

Whoever stands in front of a server decides which of its tools may be called. The server does not rely on
that: a tool names the scopes that it needs, and a call without them is answered with a sentence.

Specification: https://modelcontextprotocol.io/specification/2026-07-28/server/tools
"""

import functools
import inspect
import logging
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, cast

from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.mcpserver.tools import Tool as SdkTool
from mcp.shared.exceptions import MCPError
from mcp.types import INVALID_REQUEST, METHOD_NOT_FOUND, CallToolResult, TextContent, ToolAnnotations
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from tunnelgate_servers.hosting.callers import caller_in
from tunnelgate_servers.hosting.errors import OptionsError, RequestError, UnavailableError

READING: Final = ToolAnnotations(read_only_hint=True, idempotent_hint=True, open_world_hint=False)
"""What is true of a tool that only reads."""

_MAX_FAULTS = 5
_BOUNDS = {"too_long": ("at most", "max_length"), "too_short": ("at least", "min_length")}
_logger = logging.getLogger("tunnelgate_servers")


@dataclass(frozen=True, slots=True)
class Tool:
    """A function as a tool. Its name, its docstring and the types of its parameters are what a model reads.

    A plain function runs in a worker thread. `scopes` are those that a token needs for a call.
    """

    function: Callable[..., Any]
    title: str
    scopes: Sequence[str]
    annotations: ToolAnnotations


class Toolset:
    """The tools of one server, in the order in which they are listed.

    Pass `tools` to the SDK's server and append `check` to its middleware. A tool that raises `RequestError`
    or `UnavailableError` is answered with its sentence, and one that raises anything else with none of it.
    `resources` are the scopes that a token needs to list and read resources; without any there are none.
    Raises `OptionsError` for a tool without a scope, which would be open to every token, and for two tools of
    one name, of which the scopes of one would guard the other.
    """

    def __init__(self, tools: Sequence[Tool], *, resources: Sequence[str] = ()) -> None:
        self.tools = [_sdk_tool(each) for each in tools]
        self._by_name = {each.name: each for each in self.tools}
        self._scopes = {sdk.name: frozenset(each.scopes) for sdk, each in zip(self.tools, tools, strict=True)}
        self._resources = frozenset(resources)
        if len(self._by_name) < len(self.tools):
            raise OptionsError("Two tools have the same name.")
        for name, scopes in self._scopes.items():
            if not scopes:
                raise OptionsError(f"The tool {name} needs no scope, so that every token could call it.")

    async def check(self, ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        """Pass on what the token has the scopes for, with arguments that fit; answer anything else."""
        if ctx.method == "tools/call":
            refused = self._refused_call(ctx)
            return await call_next(ctx) if refused is None else refused
        if ctx.method.startswith("prompts/"):
            # The SDK would write a stack with the caller's text in it to the log for each that is not there.
            raise MCPError(METHOD_NOT_FOUND, "This server has no prompts")
        if ctx.method.startswith("resources/"):
            self._check_resources(ctx)
        return await call_next(ctx)

    def _refused_call(self, ctx: ServerRequestContext[Any, Any]) -> CallToolResult | None:
        params = ctx.params or {}
        tool = self._by_name.get(str(params.get("name")))
        if tool is None:
            return None  # which the SDK has an answer to
        try:
            _require(self._scopes[tool.name], ctx)
            arguments = params.get("arguments")
            _check_arguments(tool, {} if arguments is None else arguments)
        except RequestError as error:
            text = TextContent(type="text", text=f"Error executing tool {tool.name}: {error}")
            return CallToolResult(content=[text], is_error=True)
        return None

    def _check_resources(self, ctx: ServerRequestContext[Any, Any]) -> None:
        if not self._resources:
            raise MCPError(METHOD_NOT_FOUND, "This server has no resources")
        try:
            _require(self._resources, ctx)
        except RequestError as error:
            raise MCPError(INVALID_REQUEST, str(error)) from error


def _require(scopes: frozenset[str], ctx: ServerRequestContext[Any, Any]) -> None:
    missing = scopes - caller_in(ctx).scopes
    if missing:
        raise RequestError(f"This needs a token with the scope {' '.join(sorted(missing))}.")


def _sdk_tool(tool: Tool) -> SdkTool:
    function = _told_to_the_model(tool.function)
    sdk = SdkTool.from_function(
        function, title=tool.title, description=inspect.getdoc(tool.function), annotations=tool.annotations
    )
    sdk.parameters["additionalProperties"] = False
    return sdk


def _told_to_the_model(function: Callable[..., Any]) -> Callable[..., Any]:
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def told_async(*args: Any, **kwargs: Any) -> Any:
            with _as_tool_error():
                return await function(*args, **kwargs)

        return told_async

    @functools.wraps(function)
    def told(*args: Any, **kwargs: Any) -> Any:
        with _as_tool_error():
            return function(*args, **kwargs)

    return told


@contextmanager
def _as_tool_error() -> Generator[None]:
    try:
        yield
    except RequestError as error:
        raise ToolError(str(error)) from error
    except UnavailableError as error:
        _logger.exception("A tool could not read what its answer is in")
        raise ToolError(str(error)) from error


def _check_arguments(tool: SdkTool, arguments: object) -> None:
    if not isinstance(arguments, dict):
        raise RequestError("The arguments have to be an object.")
    given = cast("dict[str, Any]", arguments)
    known: dict[str, Any] = tool.parameters.get("properties", {})
    if any(name not in known for name in given):
        names = ", ".join(known) or "none"
        raise RequestError(f"An argument has a name that is not known; the arguments are: {names}.")
    try:
        tool.fn_metadata.validate_arguments(given)
    except ValidationError as error:
        raise RequestError(_sentence(error)) from None


def _sentence(error: ValidationError) -> str:
    """Return what is wrong with the arguments, in words that repeat nothing of them."""
    faults = error.errors(include_url=False, include_input=False)[:_MAX_FAULTS]
    said = [f"{_place(each['loc'])}: {_reason(each)}" for each in faults]
    return "; ".join(dict.fromkeys(said)) + "."


def _place(path: tuple[int | str, ...]) -> str:
    # Further in, a name may be one that the caller chose.
    inner = (str(part) for part in path[1:] if isinstance(part, int))
    return ".".join((str(path[0]), *inner))


def _reason(fault: ErrorDetails) -> str:
    words, bound = _BOUNDS.get(fault["type"], ("", ""))
    context = fault.get("ctx", {})
    if words and context["field_type"] == "Value":  # a text that a validator of ours has changed
        return f"string should have {words} {context[bound]} characters"
    reason = fault["msg"].removeprefix("Value error, ")
    return f"{reason[:1].lower()}{reason[1:]}"
