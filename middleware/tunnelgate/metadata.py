"""Protected resource metadata: tells a client without a token where to get one.

::

    GET /.well-known/oauth-protected-resource/mcp

    {"resource": "https://docs.example.com/mcp",
     "authorization_servers": ["https://login.example.com/"], …}

The document is built from the configuration alone, never from a header of the request, so that no
client can be sent to an issuer of somebody else's choice.

Specification: RFC 9728 sections 2 and 3.1,
https://modelcontextprotocol.io/specification/2026-07-28/basic/authorization
"""

from collections.abc import Sequence
from typing import Literal
from urllib.parse import urlsplit

from tunnelgate.asgi import ASGIApp, Receive, Scope, Send
from tunnelgate.exchange import Exchange
from tunnelgate.jwks import ALGORITHMS
from tunnelgate.layer import Layer
from tunnelgate.reading.strict_json import write_json
from tunnelgate.refusal import admit
from tunnelgate.verdict import Allow, Verdict

WELL_KNOWN = "/.well-known/oauth-protected-resource"


def metadata_url(resource: str) -> str:
    """Return where the metadata of ``resource`` is found: the well-known part goes before its path."""
    parts = urlsplit(resource)
    return f"{parts.scheme}://{parts.netloc}{WELL_KNOWN}{parts.path.rstrip('/')}"


class ResourceMetadata(Layer):
    """Answers both well-known locations of one protected resource and passes on all else.

    ``resource`` is the URL that tokens are made for; ``issuers`` are the authorization servers
    that make them; ``scopes`` are those that a client should ask for at first; ``proof`` is what
    tokens have to come with.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        resource: str,
        issuers: Sequence[str],
        scopes: Sequence[str] = (),
        proof: Literal["none", "dpop", "mtls"] = "none",
    ) -> None:
        super().__init__(app)
        path = urlsplit(resource).path.rstrip("/")
        self.paths = frozenset({WELL_KNOWN, WELL_KNOWN + path})
        document: dict[str, object] = {
            "resource": resource,
            "authorization_servers": list(issuers),
            "bearer_methods_supported": ["header"],
        }
        if scopes:
            document["scopes_supported"] = list(scopes)
        if proof == "dpop":
            document["dpop_bound_access_tokens_required"] = True
            document["dpop_signing_alg_values_supported"] = sorted(ALGORITHMS)
        if proof == "mtls":
            document["tls_client_certificate_bound_access_tokens"] = True
        self._body = write_json(document)
        self._headers = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(self._body)),
            (b"cache-control", b"public, max-age=300"),
            (b"access-control-allow-origin", b"*"),
        ]

    async def judge(self, scope: Scope, exchange: Exchange) -> Verdict:
        """Allow: what a client needs before it has a token is public."""
        return Allow()

    async def forward(self, scope: Scope, receive: Receive, send: Send, exchange: Exchange) -> None:
        """Answer a request for the document; pass every other one on."""
        is_asked_for = scope["path"] in self.paths and exchange.head.method in ("GET", "HEAD")
        if exchange.is_websocket or not is_asked_for:
            await self.app(scope, receive, send)
            return
        if not await admit(exchange, send):
            return
        headers = [*self._headers, (b"x-request-id", exchange.request_id.encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": self._body})
