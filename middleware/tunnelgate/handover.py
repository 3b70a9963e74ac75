"""Handover: the last step before the application behind the gate.

The decision to allow is written down, and then the application sees a request with only those
headers that somebody decided it should see. A list of what to remove would always lack one:
`X-Forwarded-User`, `X_Forwarded_User`, `Cf-Access-Authenticated-User-Email`, and the next.
"""

import re
from collections.abc import Iterable

from tunnelgate.asgi import ASGIApp, Message, Receive, Scope, Send
from tunnelgate.exchange import exchange_of, without_exchange
from tunnelgate.refusal import admit

MCP_HEADERS = frozenset(
    {
        b"accept",
        b"accept-encoding",
        b"accept-language",
        b"baggage",
        b"cache-control",
        b"content-length",
        b"content-type",
        b"host",
        b"last-event-id",
        b"mcp-method",
        b"mcp-name",
        b"mcp-protocol-version",
        b"mcp-session-id",
        b"traceparent",
        b"tracestate",
        b"transfer-encoding",
        b"user-agent",
    }
)
# What a page or an OAuth client sends to a path that needs no token of ours.
PUBLIC_HEADERS = MCP_HEADERS | {
    b"access-control-request-headers",
    b"access-control-request-method",
    b"authorization",
    b"cookie",
    b"dpop",
    b"if-modified-since",
    b"if-none-match",
    b"origin",
    b"referer",
    b"sec-fetch-site",
}
# What a document needs that anybody may read; with an Accept of its own it could be a stream.
DISCOVERY_HEADERS = frozenset(
    {
        b"accept-encoding",
        b"accept-language",
        b"access-control-request-headers",
        b"access-control-request-method",
        b"host",
        b"if-modified-since",
        b"if-none-match",
        b"origin",
        b"traceparent",
        b"tracestate",
        b"user-agent",
    }
)
_PARAMETER_PREFIX = b"mcp-param-"
_SCHEME_OF_TOKENS = re.compile(rb"[ \t]*(?:bearer|dpop)(?:[ \t]|\Z)", re.IGNORECASE)


def _is_token(name: bytes, value: bytes) -> bool:
    # A public path may need how a client authenticates to an issuer, but never a caller's token.
    return name == b"authorization" and _SCHEME_OF_TOKENS.match(value) is not None


class Handover:
    """Writes down that a request was allowed and hands it to the application behind the gate.

    The innermost of all layers. Without it the record of an allowed request is written when its
    answer begins, which is after the application was called.
    ``headers`` are the names that the application sees, in lower case, besides ``Mcp-Param-*``.
    """

    def __init__(self, app: ASGIApp, *, headers: Iterable[bytes] = MCP_HEADERS) -> None:
        self.app = app
        self.headers = frozenset(headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] == "lifespan":
            return await self.app(scope, receive, send)
        exchange = exchange_of(scope)
        if not await admit(exchange, send):
            return None
        request_id = (b"x-request-id", exchange.request_id.encode())
        passed = self.headers
        headers = [
            (name, value)
            for name, value in scope["headers"]
            if (name in passed or name.startswith(_PARAMETER_PREFIX)) and not _is_token(name, value)
        ]
        if exchange.host is not None:
            # The name that was judged, not one of the ways to write it.
            headers = [pair for pair in headers if pair[0] != b"host"]
            port = "" if exchange.port is None else f":{exchange.port}"
            headers.append((b"host", f"{exchange.host}{port}".encode("ascii")))
        if exchange.upstream_token is not None:
            headers = [pair for pair in headers if pair[0] != b"authorization"]
            headers.append((b"authorization", f"Bearer {exchange.upstream_token}".encode("ascii")))
        headers.append(request_id)

        async def named_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                kept = [pair for pair in message.get("headers", ()) if pair[0].lower() != b"x-request-id"]
                message = {**message, "headers": [*kept, request_id]}
            await send(message)

        target = without_exchange(scope, headers)
        if exchange.client is not None and exchange.client != exchange.peer:
            target["client"] = (exchange.client, 0)  # whom the peer speaks for has no port
        return await self.app(target, receive, named_send)
