"""The development issuer as an application: its metadata, its keys and its endpoints.

Specification: RFC 8414 section 3, RFC 7517 section 5, RFC 6749 section 3.
"""

import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from tunnelgate.fetching import Fetch
from tunnelgate.token_requests import TOKEN_EXCHANGE
from tunnelgate.upstream.addresses import AddressRules
from tunnelgate.upstream.dialling import Dialler
from tunnelgate.upstream.fetching import GuardedFetch
from tunnelgate.upstream.tls import system_tls
from tunnelgate_app.issuer.authorize import AuthorizationEndpoint
from tunnelgate_app.issuer.client_metadata import GRANT_TYPES
from tunnelgate_app.issuer.clients import (
    CLIENT_CREDENTIALS,
    PUBLIC_METHOD,
    SECRET_METHODS,
    Client,
    ClientRegistry,
)
from tunnelgate_app.issuer.configured import configured_clients
from tunnelgate_app.issuer.consent import ConsentForms
from tunnelgate_app.issuer.documents import ClientDocuments
from tunnelgate_app.issuer.endpoints import INTROSPECTION_METHODS, REVOCATION_METHODS
from tunnelgate_app.issuer.forms import read_object
from tunnelgate_app.issuer.grants import CHALLENGE_METHOD
from tunnelgate_app.issuer.ledger import Ledger
from tunnelgate_app.issuer.loopback import LoopbackOnly, check_issuer
from tunnelgate_app.issuer.messages import Reply
from tunnelgate_app.issuer.resources import Options, Resources
from tunnelgate_app.issuer.routing import json_endpoint, open_route, read_client_request
from tunnelgate_app.issuer.server import DevelopmentServer
from tunnelgate_app.issuer.signing_key import SigningKey
from tunnelgate_app.issuer.stores import Clock
from tunnelgate_app.issuer.subjects import SubjectClaims, check_users
from tunnelgate_app.issuer.tokens import TOKEN_LIFETIME, TokenGenerator

logger = logging.getLogger("tunnelgate.issuer")

METADATA_PATH = "/.well-known/oauth-authorization-server"
OPENID_METADATA_PATH = "/.well-known/openid-configuration"
JWKS_PATH = "/jwks.json"
AUTHORIZE_PATH = "/authorize"
TOKEN_PATH = "/token"  # noqa: S105 - a path
REGISTER_PATH = "/register"
INTROSPECT_PATH = "/introspect"
REVOKE_PATH = "/revoke"
PATHS = (
    METADATA_PATH,
    OPENID_METADATA_PATH,
    JWKS_PATH,
    AUTHORIZE_PATH,
    TOKEN_PATH,
    REGISTER_PATH,
    INTROSPECT_PATH,
    REVOKE_PATH,
)
_NO_CLAIMS: Final[Mapping[str, Mapping[str, Any]]] = {}


def create_app(
    *,
    issuer: str,
    key_file: str | Path,
    client_id: str,
    client_secret: str,
    resources: Options,
    users: Sequence[str] = ("alice", "bob"),
    token_lifetime: int = TOKEN_LIFETIME,
    claims: Mapping[str, Mapping[str, Any]] = _NO_CLAIMS,
    clients: Sequence[Mapping[str, Any]] = (),
    fetch: Fetch | None = None,
    clock: Clock = time.time,
) -> ASGIApp:
    """Return the issuer that calls itself ``issuer``.

    ``key_file`` is what :meth:`SigningKey.write` wrote. ``resources`` are what tokens are made for:
    each URL with a list of scopes, or with ``scopes`` and ``tokens``, which is ``jwt`` or ``opaque``.
    The client with ``client_id`` and ``client_secret`` asks for itself, and about tokens; others
    register, or are described at the URL that is their name, which ``fetch`` gets; by
    default it goes nowhere on this machine, because others choose those URLs. ``users`` are
    whom the login page offers. Access tokens are good for ``token_lifetime`` seconds.
    ``claims`` are, by subject, what tokens say besides. ``clients`` are more clients, each with
    ``client_id``, ``client_secret``, ``name``, ``redirect_uris``, ``may_exchange`` and ``exchange_from``,
    the resources whose tokens it may exchange (RFC 8693).
    Raises :class:`OSError` when the key cannot be read, and :class:`ValueError` for an issuer that
    is no name of this machine, for names that no user or resource can have, for a lifetime that is no
    whole number of seconds, and for claims and clients that cannot be used.
    """
    check_issuer(issuer)
    _check_lifetime(token_lifetime)
    key = SigningKey.from_file(Path(key_file))
    offered = Resources(resources)
    first = Client.configured(client_id, client_secret)
    known = {each.client_id: each for each in (first, *configured_clients(clients, offered, [client_id]))}
    check_users(users, known)
    ledger = Ledger(token_lifetime, clock)
    tokens = TokenGenerator(
        issuer=issuer,
        key=key,
        ledger=ledger,
        lifetime=token_lifetime,
        clock=clock,
        claims=SubjectClaims(claims, known),
    )
    documents = ClientDocuments(fetch or GuardedFetch(Dialler(AddressRules(None)), system_tls()), clock)
    registry = ClientRegistry(known.values(), documents, clock)
    server = DevelopmentServer(
        issuer=issuer,
        registry=registry,
        resources=offered,
        ledger=ledger,
        tokens=tokens,
        clock=clock,
    )
    page = AuthorizationEndpoint(server, registry, ConsentForms(issuer, clock), users, reserved=known)
    document = _metadata(issuer, offered)

    async def metadata(_: Request) -> Response:
        return JSONResponse(document)

    async def jwks(_: Request) -> Response:
        return Response(key.public_set(), media_type="application/jwk-set+json")

    async def authorize(request: Request) -> Response:
        return await (page.decide(request) if request.method == "POST" else page.ask(request))

    async def token(request: Request) -> Reply:
        return server.answer_token(await read_client_request(request, registry))

    async def revoke(request: Request) -> Reply:
        return server.answer("revocation", await read_client_request(request, registry))

    async def introspect(request: Request) -> Reply:
        return server.answer("introspection", await read_client_request(request, registry))

    async def register(request: Request) -> Reply:
        return server.answer("client_registration", await read_object(request))

    logger.warning("development issuer: %s makes tokens for whoever runs this machine", issuer)
    routes = [
        open_route(METADATA_PATH, metadata, "GET"),
        open_route(OPENID_METADATA_PATH, metadata, "GET"),
        open_route(JWKS_PATH, jwks, "GET"),
        Route(AUTHORIZE_PATH, authorize, methods=["GET", "POST"]),
        open_route(TOKEN_PATH, json_endpoint(token), "POST"),
        open_route(REGISTER_PATH, json_endpoint(register), "POST"),
        open_route(REVOKE_PATH, json_endpoint(revoke), "POST"),
        Route(INTROSPECT_PATH, json_endpoint(introspect), methods=["POST"]),
    ]
    return LoopbackOnly(Starlette(routes=routes))


def _check_lifetime(seconds: object) -> None:  # whatever a configuration holds
    if isinstance(seconds, bool) or not isinstance(seconds, int) or seconds < 1:
        raise ValueError(f"token_lifetime: {seconds!r} is not a whole number of seconds")


def _metadata(issuer: str, resources: Resources) -> dict[str, Any]:
    return {
        "issuer": issuer,
        "authorization_endpoint": issuer + AUTHORIZE_PATH,
        "token_endpoint": issuer + TOKEN_PATH,
        "jwks_uri": issuer + JWKS_PATH,
        "registration_endpoint": issuer + REGISTER_PATH,
        "introspection_endpoint": issuer + INTROSPECT_PATH,
        "introspection_endpoint_auth_methods_supported": INTROSPECTION_METHODS,
        "revocation_endpoint": issuer + REVOKE_PATH,
        "revocation_endpoint_auth_methods_supported": REVOCATION_METHODS,
        "grant_types_supported": [*GRANT_TYPES, CLIENT_CREDENTIALS, TOKEN_EXCHANGE],
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "token_endpoint_auth_methods_supported": [PUBLIC_METHOD, *SECRET_METHODS],
        "code_challenge_methods_supported": [CHALLENGE_METHOD],
        "client_id_metadata_document_supported": True,
        "authorization_response_iss_parameter_supported": True,
        "scopes_supported": list(resources.scopes),
        "tunnelgate_environment": "development",
    }
