"""Grants: Authlib's, for the one resource that a request names.

Specification: RFC 6749 sections 4.1, 4.4 and 6, RFC 7636, RFC 8707 section 2.
"""

# mypy: disable-error-code=override
# pyright: reportIncompatibleMethodOverride=false, reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# The published types of Authlib's server say less than its documentation does.

import secrets
from typing import cast

from authlib.oauth2 import OAuth2Request
from authlib.oauth2.rfc6749 import InvalidRequestError
from authlib.oauth2.rfc6749.grants import AuthorizationCodeGrant, ClientCredentialsGrant, RefreshTokenGrant
from authlib.oauth2.rfc7636 import CodeChallenge

from tunnelgate_app.issuer.clients import PUBLIC_METHOD, SECRET_METHODS, Client
from tunnelgate_app.issuer.granting import client_of, payload_of, resource_of, server_of
from tunnelgate_app.issuer.ledger import Authorization, Code, RefreshToken
from tunnelgate_app.issuer.resources import InvalidTargetError
from tunnelgate_app.issuer.tokens import User

CHALLENGE_METHOD = "S256"
_CHALLENGE_METHODS = [CHALLENGE_METHOD]
_ALL_METHODS = [*SECRET_METHODS, PUBLIC_METHOD]
_FAMILY = 16  # octets


class S256Only(CodeChallenge):
    """Authlib's code challenge, which every client has to send, and by the one safe method."""

    SUPPORTED_CODE_CHALLENGE_METHOD = _CHALLENGE_METHODS

    def validate_code_challenge(self, grant: AuthorizationCodeGrant, redirect_uri: str) -> None:
        """Raise :class:`InvalidRequestError` unless there is a challenge by that method."""
        if payload_of(grant.request).get("code_challenge_method") != CHALLENGE_METHOD:
            raise InvalidRequestError("A code_challenge with the code_challenge_method S256 is needed.")
        super().validate_code_challenge(grant, redirect_uri)


class ClientCredentials(ClientCredentialsGrant):
    """A token for the client itself."""

    TOKEN_ENDPOINT_AUTH_METHODS = SECRET_METHODS

    def validate_token_request(self) -> None:
        """Check the client and the resource that it names."""
        super().validate_token_request()
        resource = resource_of(self)
        client = client_of(self.request)
        family = secrets.token_urlsafe(_FAMILY)
        authorization = Authorization(family, client.client_id, resource, resource.scopes)
        self.request.client = client.with_authorization(authorization)


class AuthorizationCode(AuthorizationCodeGrant):
    """A token for a user who consented on our page."""

    TOKEN_ENDPOINT_AUTH_METHODS = _ALL_METHODS

    @staticmethod
    def validate_authorization_redirect_uri(request: OAuth2Request, client: Client) -> str:
        """Return where the user is to be sent; raises :class:`InvalidRequestError`."""
        asked = payload_of(request).get("redirect_uri")
        redirect_uri = client.get_default_redirect_uri() if asked is None else asked
        if not redirect_uri:
            raise InvalidRequestError("The client has several redirect URIs, so the request has to name one.")
        if not client.check_redirect_uri(redirect_uri):
            raise InvalidRequestError("The redirect URI is not one of those that the client has.")
        return redirect_uri

    def validate_requested_scope(self) -> None:
        """Check the resource and the scopes, which are what the resource offers."""
        resource_of(self).choose(payload_of(self.request).get("scope"))

    def validate_authorization_request(self) -> str:
        """Check the whole request, and return where the user is to be sent."""
        redirect_uri = super().validate_authorization_request()
        self.request.scope = " ".join(resource_of(self).choose(payload_of(self.request).get("scope")))
        return redirect_uri

    def save_authorization_code(self, code: str, request: OAuth2Request) -> None:
        """Write down what the user granted."""
        data = payload_of(request)
        authorization = Authorization(
            secrets.token_urlsafe(_FAMILY),
            client_of(request).client_id,
            resource_of(self),
            tuple(request.scope.split()),
            cast("User", request.user).name,
        )
        server_of(self).ledger.add_code(
            code,
            authorization,
            data.get("redirect_uri"),
            data["code_challenge"],
            data["code_challenge_method"],
        )

    def query_authorization_code(self, code: str, client: Client) -> Code | None:
        """Return the code, if it is good and was given to this client."""
        found = server_of(self).ledger.code(code)
        return found if found is not None and found.authorization.client_id == client.client_id else None

    def validate_token_request(self) -> None:
        """Check the client, its code and, where it names one, the resource."""
        super().validate_token_request()
        _continue(self, cast("Code", self.request.authorization_code).authorization)

    def authenticate_user(self, authorization_code: Code) -> User:
        """Return who consented."""
        return User(str(authorization_code.authorization.user))

    def delete_authorization_code(self, authorization_code: Code) -> None:
        """Let the code be good for nothing any more."""
        server_of(self).ledger.spend(authorization_code)


class Refresh(RefreshTokenGrant):
    """A token for the same user again, with a new refresh token in the place of the old one."""

    TOKEN_ENDPOINT_AUTH_METHODS = _ALL_METHODS
    INCLUDE_NEW_REFRESH_TOKEN = True

    def authenticate_refresh_token(self, refresh_token: str) -> RefreshToken | None:
        """Return the refresh token, if it is good."""
        return server_of(self).ledger.refresh_token(refresh_token)

    def validate_token_request(self) -> None:
        """Check the client, its refresh token and, where it names one, the resource."""
        super().validate_token_request()
        _continue(self, cast("RefreshToken", self.request.refresh_token).authorization)

    def authenticate_user(self, refresh_token: RefreshToken) -> User:
        """Return who consented."""
        return User(str(refresh_token.authorization.user))

    def revoke_old_credential(self, refresh_token: RefreshToken) -> None:
        """Let the refresh token be good for nothing any more."""
        server_of(self).ledger.spend(refresh_token)


def _continue(grant: AuthorizationCode | Refresh, authorization: Authorization) -> None:
    """Let the request be about ``authorization``, whose resource it may name again but not change."""
    if payload_of(grant.request).get("resource", authorization.resource.url) != authorization.resource.url:
        raise InvalidTargetError("The user consented to another resource.")
    grant.request.client = client_of(grant.request).with_authorization(authorization)
