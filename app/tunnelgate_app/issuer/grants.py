"""What the development issuer grants: Authlib's client credentials, for the resource that is named.

Specification: RFC 6749 section 4.4, RFC 8707 section 2.2, RFC 9068 section 3.
"""

# pyright: reportIncompatibleMethodOverride=false, reportUnknownMemberType=false, reportUnknownLambdaType=false
# The published types of Authlib's server say less than its documentation does.

import hmac
import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import cast

from authlib.oauth2 import OAuth2Request
from authlib.oauth2.rfc6749 import (
    AuthorizationServer,
    ClientMixin,
    InvalidScopeError,
    OAuth2Error,
)
from authlib.oauth2.rfc6749.grants import ClientCredentialsGrant
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload
from authlib.oauth2.rfc9068 import JWTBearerTokenGenerator
from joserfc.jwk import KeySet

from tunnelgate_app.issuer.signing_key import ALGORITHM, SigningKey

# It logs the tokens that it makes.
logging.getLogger("authlib").setLevel(logging.INFO)

TOKEN_LIFETIME = 600  # seconds
AUTHENTICATION_METHODS = ["client_secret_basic", "client_secret_post"]
GRANT_TYPES = ["client_credentials"]

Resources = Mapping[str, Sequence[str]]


class InvalidTargetError(OAuth2Error):
    """The ``resource`` is not one that tokens are made for (RFC 8707 section 2)."""

    error = "invalid_target"


@dataclass(frozen=True)
class TokenRequest:
    """A request at the token endpoint: the form that was posted, and its headers."""

    form: Mapping[str, str]
    headers: Mapping[str, str]


@dataclass(frozen=True)
class TokenReply:
    """What the token endpoint answers."""

    status: int
    body: Mapping[str, object]
    headers: Mapping[str, str]


_UNREADABLE_CLIENT = TokenReply(
    401,
    {"error": "invalid_client"},
    {"Cache-Control": "no-store", "WWW-Authenticate": 'Basic error="invalid_client"'},
)


@dataclass(frozen=True)
class DevelopmentClient(ClientMixin):
    """The one client there is. ``scopes`` are offered for ``resource``, which its request names."""

    client_id: str
    client_secret: str = field(repr=False)  # Authlib logs its clients
    resource: str = ""
    scopes: tuple[str, ...] = ()

    def get_client_id(self) -> str:
        """Return the ``client_id``."""
        return self.client_id

    def check_client_secret(self, client_secret: str) -> bool:
        """Return whether the secret is right."""
        return hmac.compare_digest(self.client_secret.encode(), client_secret.encode())

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        """Return whether the client may authenticate in this way at this endpoint."""
        return endpoint == "token" and method in AUTHENTICATION_METHODS

    def check_grant_type(self, grant_type: str) -> bool:
        """Return whether the client may use this grant."""
        return grant_type in GRANT_TYPES

    def get_allowed_scope(self, scope: Collection[str] | str | None) -> str:
        """Return the scopes that are granted: what was asked for, or all; raises for any other."""
        asked = scope.split() if isinstance(scope, str) else list(scope or ())
        asked = asked or list(self.scopes)  # a parameter without a value is like none (RFC 6749 section 3.2)
        if not set(asked) <= set(self.scopes):
            raise InvalidScopeError
        return " ".join(asked)


class _Request(OAuth2Request):
    def __init__(self, request: TokenRequest) -> None:
        # Authlib lets plain HTTP pass for this name; who is served is decided by the connection.
        super().__init__("POST", "http://localhost/token", headers=request.headers)
        self.payload = BasicOAuth2Payload(dict(request.form))
        self._form = dict(request.form)

    @property
    def form(self) -> dict[str, str]:
        return self._form


class _Grant(ClientCredentialsGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = AUTHENTICATION_METHODS

    def validate_token_request(self) -> None:
        super().validate_token_request()
        server = cast("DevelopmentServer", self.server)
        client = cast("DevelopmentClient", self.request.client)
        resource = self.request.form.get("resource", "")
        if resource not in server.resources:
            raise InvalidTargetError("name a resource that this issuer makes tokens for")
        self.request.client = replace(client, resource=resource, scopes=tuple(server.resources[resource]))


class _Generator(JWTBearerTokenGenerator):
    def __init__(self, issuer: str, key: SigningKey) -> None:
        super().__init__(issuer, alg=ALGORITHM, expires_generator=lambda *_: TOKEN_LIFETIME)
        self._key = key

    def get_jwks(self) -> KeySet:
        return KeySet([self._key.key])  # from a set, the kid goes into the header

    def get_audiences(self, client: DevelopmentClient, user: object, scope: str) -> str:
        return client.resource


class DevelopmentServer(AuthorizationServer):
    """Authlib's authorization server with one client.

    ``resources`` are what tokens are made for, with the scopes that are offered for each.
    """

    def __init__(self, issuer: str, key: SigningKey, client: DevelopmentClient, resources: Resources) -> None:
        super().__init__()
        self.client = client
        self.resources = resources
        self.register_grant(_Grant)
        self.register_token_generator("default", _Generator(issuer, key))

    def answer(self, request: TokenRequest) -> TokenReply:
        """Return the answer to one token request."""
        try:
            return cast("TokenReply", self.create_token_response(request))
        except ValueError:  # Authlib decodes what Basic authentication carries without a net
            return _UNREADABLE_CLIENT

    def query_client(  # type: ignore[override]  # Authlib takes None for an unknown client
        self, client_id: str
    ) -> DevelopmentClient | None:
        """Return the client with this ``client_id``."""
        return self.client if client_id == self.client.client_id else None

    def save_token(self, token: dict[str, str | int], request: OAuth2Request) -> None:
        """Keep nothing: the tokens say themselves what they are."""

    def send_signal(self, name: str, *args: object, **kwargs: object) -> None:
        """Tell nobody: there is nobody who listens."""

    def create_oauth2_request(self, request: TokenRequest) -> OAuth2Request:
        """Return the request in Authlib's form."""
        return _Request(request)

    def handle_response(  # type: ignore[override]  # Authlib passes a list of pairs
        self, status: int, body: Mapping[str, object], headers: Sequence[tuple[str, str]]
    ) -> TokenReply:
        """Return the answer in our form."""
        return TokenReply(status, body, dict(headers))
