"""The development issuer as an application: metadata, keys and the token endpoint.

Specification: RFC 8414 section 3, RFC 7517 section 5, RFC 6749 section 3.2.
"""

import ipaddress
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from tunnelgate_app.issuer.grants import (
    AUTHENTICATION_METHODS,
    GRANT_TYPES,
    DevelopmentClient,
    DevelopmentServer,
    TokenRequest,
)
from tunnelgate_app.issuer.signing_key import SigningKey

logger = logging.getLogger("tunnelgate.issuer")

METADATA_PATH = "/.well-known/oauth-authorization-server"
JWKS_PATH = "/jwks.json"
TOKEN_PATH = "/token"  # noqa: S105 - a path
_MAX_FIELDS = 20
PATHS = (METADATA_PATH, JWKS_PATH, TOKEN_PATH)


def create_app(
    *,
    issuer: str,
    key_file: str | Path,
    client_id: str,
    client_secret: str,
    resources: Mapping[str, Sequence[str]],
) -> ASGIApp:
    """Return the issuer that calls itself ``issuer``.

    ``key_file`` is what :meth:`SigningKey.write` wrote; ``resources`` are what tokens are made for,
    with the scopes offered for each. Raises :class:`OSError` when the key cannot be read.
    """
    key = SigningKey.from_file(Path(key_file))
    server = DevelopmentServer(issuer, key, DevelopmentClient(client_id, client_secret), resources)
    document = {
        "issuer": issuer,
        "token_endpoint": issuer + TOKEN_PATH,
        "jwks_uri": issuer + JWKS_PATH,
        "grant_types_supported": GRANT_TYPES,
        "response_types_supported": [],
        "token_endpoint_auth_methods_supported": AUTHENTICATION_METHODS,
        "scopes_supported": sorted({scope for scopes in resources.values() for scope in scopes}),
        "tunnelgate_environment": "development",
    }

    async def metadata(_: Request) -> Response:
        return JSONResponse(document)

    async def jwks(_: Request) -> Response:
        return Response(key.public_set(), media_type="application/jwk-set+json")

    async def token(request: Request) -> Response:
        try:
            fields = _read_form(request.headers.get("content-type", ""), await request.body())
        except ValueError:
            return JSONResponse({"error": "invalid_request"}, 400, {"cache-control": "no-store"})
        reply = server.answer(TokenRequest(fields, request.headers))
        return JSONResponse(dict(reply.body), reply.status, dict(reply.headers))

    logger.warning("development issuer: %s makes tokens for whoever runs this machine", issuer)
    app = Starlette(
        routes=[
            Route(METADATA_PATH, metadata, methods=["GET"]),
            Route(JWKS_PATH, jwks, methods=["GET"]),
            Route(TOKEN_PATH, token, methods=["POST"]),
        ]
    )
    return LoopbackOnly(app)


def _read_form(media_type: str, body: bytes) -> dict[str, str]:
    """Return the fields of a form; raises :class:`ValueError` unless each is there once."""
    if media_type.partition(";")[0].strip().lower() != "application/x-www-form-urlencoded":
        raise ValueError("not a form")
    pairs = parse_qsl(
        body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=_MAX_FIELDS
    )
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("a field stands twice")
    return fields


class LoopbackOnly:
    """Answers only connections that never left this machine, at both of their ends."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] == "lifespan" or all(_is_loopback(scope.get(end)) for end in ("client", "server")):
            await self.app(scope, receive, send)
            return
        logger.error("development issuer: refused a connection from beyond loopback")
        await JSONResponse({"error": "loopback_only"}, 403)(scope, receive, send)


def _is_loopback(end: tuple[str, int | None] | None) -> bool:
    if end is None:
        return False
    try:
        address = ipaddress.ip_address(end[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback
