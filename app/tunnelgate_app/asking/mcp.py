"""Lists the tools of an MCP server and calls one, with the official client, in the server's own era.

Specification: https://modelcontextprotocol.io/specification/2026-07-28/server/tools and
https://modelcontextprotocol.io/specification/2025-11-25/server/tools
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar, cast

import httpx2
from mcp import Client
from mcp import types as protocol
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError
from mcp.types import PARSE_ERROR, CallToolResult, TextContent
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from tunnelgate_app.asking.answers import (
    AskingError,
    Called,
    Failure,
    Limits,
    Listing,
    Server,
    Tool,
    printable,
    without,
)
from tunnelgate_app.asking.watching import WatchedTransport

# What the client logs, the errors here say; without a handler it would go to standard error as well.
logging.getLogger("mcp").addHandler(logging.NullHandler())

DEFAULT_LIMITS = Limits()
_LONGEST = 300  # characters of what a server is quoted with
_HTTP_ERROR = 400
_NOT_THERE = frozenset({404, 405, 406, 410, 415})
_MEDIA_TYPES = frozenset({"application/json", "text/event-stream"})

T = TypeVar("T")


async def list_tools(
    http: httpx2.AsyncClient, url: str, *, token: str | None = None, limits: Limits = DEFAULT_LIMITS
) -> Listing:
    """Return every tool that the server at ``url`` lists, to who comes with ``token``.

    ``http`` sends the requests, and stays open. Raises
    :class:`~tunnelgate_app.asking.answers.AskingError`.
    """

    async def ask(client: Client) -> Listing:
        listing = Listing(_server(client), tuple(map(_tool, await _all_pages(client, limits))))
        return without(listing, token)

    return await _asked(http, url, token, limits, ask)


async def call_tool(
    http: httpx2.AsyncClient,
    url: str,
    name: str,
    arguments: Mapping[str, Any],
    *,
    token: str | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> Called:
    """Call a tool of the server at ``url`` once and return what it says.

    The other parameters, and what it raises, are those of :func:`list_tools`.
    """

    async def ask(client: Client) -> Called:
        # Not by the client's own way to call: that one runs the patterns of the server's schemas, which
        # may take for ever and let nothing else run meanwhile.
        called = protocol.CallToolRequestParams(name=name, arguments=dict(arguments))
        result = await client.session.send_request(
            protocol.CallToolRequest(params=called), protocol.CallToolResult
        )
        return _called(_server(client), result)

    return await _asked(http, url, token, limits, ask)


async def _asked(
    http: httpx2.AsyncClient,
    url: str,
    token: str | None,
    limits: Limits,
    ask: Callable[[Client], Awaitable[T]],
) -> T:
    watched = WatchedTransport(http, limits.octets, token)
    bearer = {} if token is None else {"authorization": f"Bearer {token}"}
    headers = {**http.headers, "accept-encoding": "identity", **bearer}
    answers: list[T] = []
    try:
        async with (
            asyncio.timeout(limits.seconds),
            httpx2.AsyncClient(
                transport=watched, headers=headers, timeout=http.timeout, trust_env=False
            ) as asking,
            Client(streamable_http_client(url, http_client=asking), cache=None) as client,
        ):
            answers.append(await ask(client))
    except TimeoutError:
        if not answers:  # otherwise only the farewell took too long
            sentence = f"does not answer within {limits.seconds:g} seconds"
            raise watched.failure or AskingError(Failure.TOO_SLOW, sentence) from None
    except Exception as error:
        inner = _innermost(error)
        if isinstance(inner, AskingError):
            raise inner from None
        raise watched.failure or _failure_of(inner, watched, token) from error
    return answers[0]


async def _all_pages(client: Client, limits: Limits) -> list[protocol.Tool]:
    tools: list[protocol.Tool] = []
    cursor: str | None = None
    seen: set[str] = set()
    while True:
        page = await client.list_tools(cursor=cursor)
        tools += page.tools
        if len(tools) > limits.tools:
            raise AskingError(Failure.TOO_MUCH, f"lists more than {limits.tools} tools")
        cursor = page.next_cursor
        if cursor is None:
            return tools
        if cursor in seen or len(seen) + 1 >= limits.pages:
            raise AskingError(Failure.TOO_MUCH, f"lists its tools on more than {limits.pages} pages")
        seen.add(cursor)


def _server(client: Client) -> Server:
    version = client.protocol_version
    info = client.server_info
    return Server(
        "modern" if version in MODERN_PROTOCOL_VERSIONS else "legacy",
        version,
        None if info is None else info.name,
        None if info is None else info.version,
    )


def _tool(tool: protocol.Tool) -> Tool:
    hints = tool.annotations or protocol.ToolAnnotations()
    return Tool(
        tool.name,
        tool.title or hints.title,
        tool.description,
        hints.read_only_hint,
        hints.destructive_hint,
        hints.idempotent_hint,
        hints.open_world_hint,
        tool.input_schema,
    )


def _called(server: Server, result: CallToolResult) -> Called:
    texts = tuple(each.text for each in result.content if isinstance(each, TextContent))
    return Called(server, result.is_error or False, texts, result.structured_content)


def _innermost(error: Exception) -> Exception:
    """Return what is in groups of the client's tasks."""
    while isinstance(error, ExceptionGroup):
        error = cast("ExceptionGroup[Exception]", error).exceptions[0]
    return error


def _failure_of(error: Exception, watched: WatchedTransport, token: str | None) -> AskingError:
    """Return what the client's own error means."""
    status, media_type = watched.status, watched.media_type
    said = printable(error.message, _LONGEST, token) if isinstance(error, MCPError) else type(error).__name__
    if status is not None and status >= _HTTP_ERROR:
        kind = Failure.NOT_MCP if status in _NOT_THERE else Failure.REFUSED
        in_json = f": {said}" if media_type == "application/json" else ""
        return AskingError(kind, f"answers {status} where MCP is expected{in_json}", status=status)
    if media_type not in _MEDIA_TYPES:
        found = printable(media_type, _LONGEST, token) or "nothing"
        return AskingError(Failure.NOT_MCP, f"answers {found} where MCP is expected", status=status)
    if isinstance(error, MCPError) and error.code != PARSE_ERROR:
        sentence = f"answers with an error of MCP: {said} ({error.code})"
        return AskingError(Failure.MCP_ERROR, sentence, status=status)
    return AskingError(Failure.NOT_MCP, "answers what is not valid in MCP", status=status)
