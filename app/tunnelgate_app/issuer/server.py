"""The authorization server: Authlib's core, with what it needs to know of requests and replies.

Specification: RFC 6749, RFC 9207, RFC 9700 section 2.
"""

# pyright: reportIncompatibleMethodOverride=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# The published types of Authlib's server say less than its documentation does.

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from http import HTTPStatus
from typing import Any, cast

from authlib.oauth2 import JsonRequest, OAuth2Error, OAuth2Request
from authlib.oauth2.rfc6749 import AuthorizationServer, InvalidClientError
from authlib.oauth2.rfc9207 import IssuerParameter

from tunnelgate_app.issuer.clients import Client, ClientRegistry
from tunnelgate_app.issuer.endpoints import Introspection, Registration, Revocation
from tunnelgate_app.issuer.exchanging import TokenExchange
from tunnelgate_app.issuer.grants import AuthorizationCode, ClientCredentials, Refresh, S256Only
from tunnelgate_app.issuer.ledger import Ledger
from tunnelgate_app.issuer.messages import AuthlibRegistration, AuthlibRequest, ClientRequest, Reply
from tunnelgate_app.issuer.resources import Resources
from tunnelgate_app.issuer.stores import Clock
from tunnelgate_app.issuer.tokens import TokenGenerator, User

# It logs the tokens that it makes.
logging.getLogger("authlib").setLevel(logging.INFO)


class DevelopmentServer(AuthorizationServer):
    """Authlib's authorization server with our clients, resources, tokens and ledger."""

    def __init__(
        self,
        *,
        issuer: str,
        registry: ClientRegistry,
        resources: Resources,
        ledger: Ledger,
        tokens: TokenGenerator,
        clock: Clock,
    ) -> None:
        super().__init__()
        self.registry = registry
        self.resources = resources
        self.ledger = ledger
        self.clock = clock
        self.register_token_generator("default", tokens)
        self.register_grant(ClientCredentials)
        self.register_grant(AuthorizationCode, [S256Only(required=True)])
        self.register_grant(Refresh)
        self.register_grant(TokenExchange)
        for endpoint in (Introspection, Registration, Revocation):
            self.register_endpoint(cast("Any", endpoint))
        self.register_extension(_Issuer(issuer))

    def answer_token(self, request: ClientRequest) -> Reply:
        """Answer at the token endpoint."""
        return _readable(partial(self.create_token_response, request))

    def answer(self, endpoint: str, request: ClientRequest | Mapping[str, Any]) -> Reply:
        """Answer at one of the other endpoints, by Authlib's name for it."""
        return _readable(partial(cast("Any", self).create_endpoint_response, endpoint, request))

    def consent(self, request: ClientRequest) -> AuthorizationCode:
        """Return what the user is to be asked.

        Raises :class:`OAuth2Error`, with a ``redirect_uri`` when the client is to be told, and
        :class:`ValueError` for what Authlib cannot even repeat in an error.
        """
        return cast("AuthorizationCode", cast("Any", self).get_consent_grant(request))

    def refuse(self, error: OAuth2Error) -> Reply:
        """Answer the authorization request that raised ``error`` by sending the user back with it."""
        reply = self.handle_error_response(cast("OAuth2Request", None), error)
        self.execute_hook("after_create_authorization_response", reply)
        return reply

    def decide(self, request: ClientRequest, user: User | None) -> Reply:
        """Answer an authorization request as the user decided, which is to deny where there is none."""
        grant = self.consent(request)
        return cast("Reply", self.create_authorization_response(grant.request, user, grant))

    def query_client(  # type: ignore[override]  # Authlib takes None for an unknown client
        self, client_id: str
    ) -> Client | None:
        """Return the client with this ``client_id``."""
        return self.registry.find(client_id)

    def save_token(self, token: dict[str, str | int], request: OAuth2Request) -> None:
        """Do nothing: who made the token has written it into the ledger."""

    def send_signal(self, name: str, *args: object, **kwargs: object) -> None:
        """Tell nobody: there is nobody who listens."""

    def create_oauth2_request(self, request: ClientRequest) -> OAuth2Request:
        """Return the request in Authlib's form."""
        return AuthlibRequest(request)

    def create_json_request(self, request: Mapping[str, Any]) -> JsonRequest:
        """Return the request in Authlib's form."""
        return AuthlibRegistration(request)

    def handle_error_response(self, request: OAuth2Request, error: OAuth2Error) -> Reply:
        """Return the answer to what was wrong."""
        if isinstance(error, InvalidClientError):
            error.status_code = HTTPStatus.UNAUTHORIZED  # Authlib answers 400 to some of them
        return cast("Reply", super().handle_error_response(request, error))

    def handle_response(  # type: ignore[override]  # Authlib passes a list of pairs
        self, status: int, body: Mapping[str, Any] | str, headers: Sequence[tuple[str, str]]
    ) -> Reply:
        """Return the answer in our form."""
        is_redirect = status == HTTPStatus.FOUND
        return Reply(
            HTTPStatus.SEE_OTHER if is_redirect else status,  # RFC 9700 section 4.12
            {} if isinstance(body, str) else body,
            dict(headers),
        )


class _Issuer(IssuerParameter):
    def __init__(self, issuer: str) -> None:
        self._issuer = issuer

    def get_issuer(self) -> str:
        return self._issuer


def _readable(answer: Callable[[], object]) -> Reply:
    try:
        return cast("Reply", answer())
    except ValueError:  # Authlib decodes what Basic authentication carries without a net
        challenge = {"Cache-Control": "no-store", "WWW-Authenticate": 'Basic error="invalid_client"'}
        return Reply(HTTPStatus.UNAUTHORIZED, {"error": "invalid_client"}, challenge)
