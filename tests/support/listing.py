"""A server of the modern era that lists what a test says, octet by octet."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tunnelgate.asgi import ASGIApp, Receive, Scope, Send

Answer = Callable[[str, Mapping[str, Any]], Mapping[str, Any] | Response]

_ALWAYS: Mapping[str, Any] = {"resultType": "complete", "ttlMs": 0, "cacheScope": "public"}
DISCOVERED: Mapping[str, Any] = {
    **_ALWAYS,
    "supportedVersions": ["2026-07-28"],
    "capabilities": {"tools": {}},
}


def tool(name: str, **members: Any) -> dict[str, Any]:
    """Return a tool as a server lists it; its hints are ``annotations``."""
    return {"name": name, "inputSchema": {"type": "object"}, **members}


def listed(*tools: Mapping[str, Any], next_cursor: str | None = None) -> dict[str, Any]:
    """Return the result that lists ``tools``, with more to come behind ``next_cursor``."""
    more = {} if next_cursor is None else {"nextCursor": next_cursor}
    return {**_ALWAYS, "tools": list(tools), **more}


def listing_server(*tools: Mapping[str, Any]) -> Starlette:
    """Return a server that lists ``tools`` on one page."""
    return answering_server(lambda method, params: listed(*tools))


def answering_server(answer: Answer, *, heard: list[Request] | None = None) -> Starlette:
    """Return a server that answers each method but the first question with what ``answer`` returns for it.

    ``heard`` gets every request.
    """

    async def endpoint(request: Request) -> Response:
        if heard is not None:
            heard.append(request)
        if request.method != "POST":
            return Response(status_code=405)
        message = json.loads(await request.body())
        is_first = message["method"] == "server/discover"
        result = DISCOVERED if is_first else answer(message["method"], message.get("params", {}))
        if isinstance(result, Response):
            return result
        return JSONResponse({"jsonrpc": "2.0", "id": message["id"], "result": result})

    return Starlette(routes=[Route("/mcp", endpoint, methods=["GET", "POST", "DELETE"])])


def without_discovery(app: ASGIApp) -> ASGIApp:
    """Return ``app`` as a server that knows only the era of ``initialize``."""
    no_method = JSONResponse({"detail": "no such method"}, status_code=404)

    async def older(scope: Scope, receive: Receive, send: Send) -> None:
        is_newer = (b"mcp-method", b"server/discover") in scope.get("headers", ())
        await (no_method if is_newer else app)(scope, receive, send)

    return older
