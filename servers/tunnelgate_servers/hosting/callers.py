"""Who calls a tool: the principal of the token that was verified for this request."""

from typing import Any

from mcp.server.context import ServerRequestContext
from mcp.server.mcpserver import Context
from starlette.requests import Request

from tunnelgate import Principal, principal_of
from tunnelgate_servers.hosting.errors import RequestError


def caller_of(context: Context[Any, Any]) -> Principal:
    """Return who asks; raises `RequestError` where nobody verified that."""
    return caller_in(context.request_context)


def caller_in(context: ServerRequestContext[Any, Any]) -> Principal:
    """Return who sent a request of the protocol; raises as `caller_of` does."""
    request = context.request
    principal = principal_of(request.scope) if isinstance(request, Request) else None
    if principal is None:
        raise RequestError("This needs an access token, and none was verified.")
    return principal
