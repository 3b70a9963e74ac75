"""A server of the stateless era alone, on the Python SDK 2.x, whose lists come in small pages.

The SDK always answers both eras, so what is of the older one is refused before it comes there, in
the way that the specification has for it.
"""

from collections.abc import Sequence
from typing import Any, TypeVar

import orjson
from mcp.server.lowlevel.server import Server
from mcp.server.streamable_http_manager import StreamableHTTPASGIApp, StreamableHTTPSessionManager
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler
from mcp.shared.exceptions import MCPError
from mcp.types import (
    CallToolRequestParams,
    ListPromptsResult,
    ListResourcesResult,
    ListToolsResult,
    PaginatedRequestParams,
)
from mcp.types.version import MODERN_PROTOCOL_VERSIONS
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from tests.conformance.everything import prompts, resources
from tests.conformance.everything.call import Call, Context, Outcome
from tests.conformance.everything.server import TOOLS

_PAGE = 3
_VERSIONS = list(MODERN_PROTOCOL_VERSIONS)
_Entry = TypeVar("_Entry")


def create_app() -> ASGIApp:
    """Return the application."""
    sessions = StreamableHTTPSessionManager(_server(), stateless=True)
    endpoint = _ModernOnly(StreamableHTTPASGIApp(sessions))
    return Starlette(routes=[Route("/mcp", endpoint)], lifespan=lambda _: sessions.run())


class _ModernOnly:
    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"
        version = dict(scope["headers"]).get(b"mcp-protocol-version", b"").decode("latin-1")
        if scope["method"] != "POST":
            return await _answer(send, 405, b"")
        if version in _VERSIONS:
            return await self.app(scope, receive, send)
        message_id = orjson.loads(await Request(scope, receive).body()).get("id")
        data = {"supported": _VERSIONS, "requested": version}
        error = {"code": -32022, "message": "Unsupported protocol version", "data": data}
        body = orjson.dumps({"jsonrpc": "2.0", "id": message_id, "error": error})
        return await _answer(send, 400, body)


async def _answer(send: Send, status: int, body: bytes) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _page(
    entries: Sequence[_Entry], params: PaginatedRequestParams | None
) -> tuple[list[_Entry], str | None]:
    cursor = None if params is None else params.cursor
    if cursor is not None and not cursor.isdecimal():
        raise MCPError(-32602, "Not a cursor of this server")
    first = int(cursor or 0)
    following = first + _PAGE
    return list(entries[first:following]), str(following) if following < len(entries) else None


def _server() -> Server[dict[str, Any]]:
    changes = InMemorySubscriptionBus()

    async def list_tools(context: Context, params: PaginatedRequestParams | None) -> ListToolsResult:
        found, following = _page([fixture.tool for fixture in TOOLS.values()], params)
        return ListToolsResult(tools=found, next_cursor=following)

    async def list_prompts(context: Context, params: PaginatedRequestParams | None) -> ListPromptsResult:
        found, following = _page((await prompts.list_prompts(context, None)).prompts, params)
        return ListPromptsResult(prompts=found, next_cursor=following)

    async def list_resources(context: Context, params: PaginatedRequestParams | None) -> ListResourcesResult:
        found, following = _page((await resources.list_resources(context, None)).resources, params)
        return ListResourcesResult(resources=found, next_cursor=following)

    async def call_tool(context: Context, params: CallToolRequestParams) -> Outcome:
        call = Call(
            context, params.arguments or {}, params.input_responses or {}, params.request_state, changes
        )
        return await TOOLS.call(params.name, call)

    server = Server(
        "tunnelgate-modern",
        version="1",
        on_list_tools=list_tools,
        on_list_prompts=list_prompts,
        on_get_prompt=prompts.get_prompt,
        on_completion=prompts.complete,
        on_list_resources=list_resources,
        on_list_resource_templates=resources.list_templates,
        on_read_resource=resources.read_resource,
        on_subscriptions_listen=ListenHandler(changes),
    )
    server.add_request_handler("tools/call", CallToolRequestParams, call_tool)
    return server
