"""The MCP server behind the gate: its tools say whom the gate let through, and with what."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
from fastapi import FastAPI
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.streamable_http_manager import StreamableHTTPASGIApp
from mcp.server.transport_security import TransportSecuritySettings
from starlette.requests import Request
from starlette.routing import Route

from tests.support.mcp import legacy
from tunnelgate import principal_of


def create_app(*, upstream: str = "") -> FastAPI:
    """Return the application; ``upstream`` is the MCP endpoint that it asks in turn, if any."""
    server: MCPServer[None] = MCPServer("issuers", subscriptions=False, log_level="WARNING")
    server.add_tool(whoami)

    async def ask_upstream(context: Context[Any]) -> dict[str, Any]:
        """Ask the server upstream who I am, with the credential that the gate handed over."""
        headers, body = legacy("tools/call", {"name": "whoami", "arguments": {}})
        headers = [pair for pair in headers if pair[0] != "host"]
        headers.append(("authorization", _request(context).headers["authorization"]))
        async with httpx2.AsyncClient(trust_env=False, timeout=10) as http:
            answer = await http.post(upstream, content=body, headers=headers)
        return {"status": answer.status_code, "answer": answer.json()}

    server.add_tool(ask_upstream)
    server.streamable_http_app(
        stateless_http=True,
        json_response=True,
        # Which names are answered to is the gate's business.
        transport_security=TransportSecuritySettings(enable_dns_rebinding_protection=False),
    )
    sessions = server.session_manager

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        async with sessions.run():
            yield

    app = FastAPI(lifespan=lifespan, openapi_url=None, docs_url=None, redoc_url=None)
    app.router.routes.append(Route("/mcp", StreamableHTTPASGIApp(sessions), methods=["POST"]))
    return app


async def whoami(context: Context[Any]) -> dict[str, Any]:
    """Say whom the gate let through."""
    request = _request(context)
    principal = principal_of(request.scope)
    if principal is None:
        raise LookupError("the gate let nobody through")
    return {
        "issuer": principal.issuer,
        "subject": principal.subject,
        "client_id": principal.client_id,
        "scopes": sorted(principal.scopes),
        "authorization": request.headers.get("authorization"),
    }


def _request(context: Context[Any]) -> Request:
    request: Request | None = context.request_context.request
    if request is None:
        raise LookupError("the call did not come over HTTP")
    return request
