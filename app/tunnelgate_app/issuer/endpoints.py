"""Authlib's endpoints beside that of tokens: registration, revocation and introspection.

Specification: RFC 7591 section 3, RFC 7009 section 2, RFC 7662 section 2.
"""

# pyright: reportIncompatibleMethodOverride=false, reportUnknownMemberType=false
# The published types of Authlib's server say less than its documentation does.

import secrets
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from authlib.oauth2 import JsonRequest, OAuth2Request
from authlib.oauth2.rfc6749 import InvalidRequestError
from authlib.oauth2.rfc7009 import RevocationEndpoint
from authlib.oauth2.rfc7591 import (
    ClientRegistrationEndpoint,
    InvalidClientMetadataError,
    InvalidRedirectURIError,
)
from authlib.oauth2.rfc7662 import IntrospectionEndpoint
from pydantic import ValidationError

from tunnelgate_app.issuer.client_metadata import ClientMetadata
from tunnelgate_app.issuer.clients import PUBLIC_METHOD, SECRET_METHODS, Client
from tunnelgate_app.issuer.ledger import AccessToken, RefreshToken

if TYPE_CHECKING:
    from tunnelgate_app.issuer.server import DevelopmentServer

REVOCATION_METHODS = [*SECRET_METHODS, PUBLIC_METHOD]
INTROSPECTION_METHODS = SECRET_METHODS
_SECRET = 32  # octets


class Registration(ClientRegistrationEndpoint):
    """Registers whoever asks: registered clients can do nothing without a user on this machine."""

    def authenticate_token(self, request: JsonRequest) -> str:
        """Return that no token is needed to register."""
        return "open"

    def extract_client_metadata(self, request: JsonRequest) -> dict[str, Any]:
        """Return what is registered of the metadata that was sent."""
        try:
            return ClientMetadata.model_validate(_payload(request)).as_json()
        except ValidationError as error:
            first = error.errors(include_url=False, include_context=False, include_input=False)[0]
            sentence = f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
            kind = InvalidRedirectURIError if first["loc"][:1] == ("redirect_uris",) else None
            raise (kind or InvalidClientMetadataError)(sentence) from None

    def generate_client_info(self, request: JsonRequest) -> dict[str, Any]:
        """Return the new client's ``client_id``, and a secret unless it is a public client."""
        server = cast("DevelopmentServer", self.server)
        info: dict[str, Any] = {
            "client_id": secrets.token_urlsafe(16),
            "client_id_issued_at": int(server.clock()),
        }
        method = _payload(request).get("token_endpoint_auth_method", SECRET_METHODS[0])
        if method != PUBLIC_METHOD:
            info |= {"client_secret": secrets.token_urlsafe(_SECRET), "client_secret_expires_at": 0}
        return info

    def save_client(
        self, client_info: Mapping[str, Any], client_metadata: Mapping[str, Any], request: JsonRequest
    ) -> Client:
        """Remember the client."""
        client = Client.described(
            client_info["client_id"],
            ClientMetadata.model_validate(client_metadata),
            client_info.get("client_secret"),
        )
        cast("DevelopmentServer", self.server).registry.register(client)
        return client


class Revocation(RevocationEndpoint):
    """Revokes a client's own token."""

    CLIENT_AUTH_METHODS = REVOCATION_METHODS

    def check_params(self, request: OAuth2Request, client: Client) -> None:
        """Raise :class:`InvalidRequestError` without a token."""
        _check_token(request)

    def query_token(
        self, token_string: str, token_type_hint: str | None
    ) -> AccessToken | RefreshToken | None:
        """Return the token, of whichever kind it is; the hint only helps who has to search."""
        ledger = cast("DevelopmentServer", self.server).ledger
        return ledger.access_token(token_string) or ledger.refresh_token(token_string)

    def revoke_token(self, token: AccessToken | RefreshToken, request: OAuth2Request) -> None:
        """Revoke the token; a JWT goes on being good wherever nobody asks us about it."""
        cast("DevelopmentServer", self.server).ledger.revoke(token)


class Introspection(IntrospectionEndpoint):
    """Tells the client of the configuration what an access token stands for."""

    CLIENT_AUTH_METHODS = INTROSPECTION_METHODS

    def check_params(self, request: OAuth2Request, client: Client) -> None:
        """Raise :class:`InvalidRequestError` without a token."""
        _check_token(request)

    def check_permission(self, token: AccessToken, client: Client, request: OAuth2Request) -> bool:
        """Return whether the client may know."""
        return client.may_introspect

    def query_token(self, token_string: str, token_type_hint: str | None) -> AccessToken | None:
        """Return the token while it is good."""
        return cast("DevelopmentServer", self.server).ledger.access_token(token_string)

    def introspect_token(self, token: AccessToken) -> dict[str, Any]:
        """Return what a resource server needs to know of a token that is good."""
        return {"active": True, "token_type": "Bearer", **token.claims}


def _check_token(request: OAuth2Request) -> None:
    if "token" not in request.form:  # a hint that nobody knows is no fault, though Authlib answers 401
        raise InvalidRequestError("A token is needed.")


def _payload(request: JsonRequest) -> dict[str, Any]:
    return cast("dict[str, Any]", request.payload.data if request.payload else {})
