"""Token exchange: a client that was given a user's token gets one for that user at another resource.

Only a client that was configured for it may do this, and only with tokens that were made for the
resources it was configured with: whoever else comes by a token has no use for it here.

Specification: RFC 8693 sections 2 and 4.1
"""

# mypy: disable-error-code=override
# pyright: reportIncompatibleMethodOverride=false, reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# The published types of Authlib's server say less than its documentation does.

from collections.abc import Mapping
from typing import Any, Final, cast

from authlib.oauth2.rfc6749 import (
    BaseGrant,
    InvalidRequestError,
    InvalidScopeError,
    TokenEndpointMixin,
    UnauthorizedClientError,
)

from tunnelgate.token_requests import ACCESS_TOKEN, TOKEN_EXCHANGE
from tunnelgate_app.issuer.clients import SECRET_METHODS, Client
from tunnelgate_app.issuer.granting import client_of, payload_of, resource_of, server_of
from tunnelgate_app.issuer.ledger import AccessToken, Authorization
from tunnelgate_app.issuer.resources import InvalidTargetError, Resource
from tunnelgate_app.issuer.tokens import User

MAX_ACTORS: Final = 8
"""How many times in a row what was a user's token can be exchanged."""


class TokenExchange(BaseGrant, TokenEndpointMixin):
    """A token for whom another token speaks for, with no more scopes and no later end than that one has."""

    GRANT_TYPE = TOKEN_EXCHANGE
    TOKEN_ENDPOINT_AUTH_METHODS = SECRET_METHODS

    def validate_token_request(self) -> None:
        """Check the client, the token that it presents and the resource that it names."""
        self.request.client = self.authenticate_token_endpoint_client()
        client = client_of(self.request)
        if not client.check_grant_type(TOKEN_EXCHANGE):
            raise UnauthorizedClientError("This client was not configured to exchange tokens.")
        form = payload_of(self.request)
        _check_kinds(form)
        resource = resource_of(self)
        subject = self._subject(client, form.get("subject_token", ""))
        self.request.client = client.with_authorization(
            Authorization(
                subject.authorization.family,  # so that it is revoked with what it came of
                client.client_id,
                resource,
                _common_scopes(subject, resource, form.get("scope", "")),
                subject.claims["sub"],
                actors=(client.client_id, *subject.authorization.actors),
                end=subject.claims["exp"],
            )
        )

    def create_token_response(self) -> tuple[int, dict[str, Any], Any]:
        """Return the token, and of which type it is."""
        authorization = cast("Authorization", client_of(self.request).authorization)
        token = self.generate_token(
            user=User(str(authorization.user)),
            scope=payload_of(self.request).get("scope"),
            include_refresh_token=False,
        )
        return 200, {**token, "issued_token_type": ACCESS_TOKEN}, self.TOKEN_RESPONSE_HEADER

    def _subject(self, client: Client, token: str) -> AccessToken:
        subject = server_of(self).ledger.access_token(token)
        # The same words for every reason: what is wrong with a token is for its owner to know.
        if subject is None or subject.authorization.resource.url not in client.exchange_from:
            raise InvalidRequestError("The subject_token is not one that this client can exchange.")
        if len(subject.authorization.actors) >= MAX_ACTORS:
            raise InvalidRequestError("The subject_token comes of too many exchanges.")
        return subject


def _check_kinds(form: Mapping[str, str]) -> None:
    if form.get("subject_token_type") != ACCESS_TOKEN:
        raise InvalidRequestError(f"The subject_token_type has to be {ACCESS_TOKEN}.")
    if (form.get("requested_token_type") or ACCESS_TOKEN) != ACCESS_TOKEN:
        raise InvalidRequestError(f"The requested_token_type can only be {ACCESS_TOKEN}.")
    if form.get("actor_token") or form.get("actor_token_type"):
        raise InvalidRequestError("The client itself is who acts: an actor_token is not taken.")
    if form.get("audience"):
        raise InvalidTargetError("Name a resource in place of an audience.")


def _common_scopes(subject: AccessToken, resource: Resource, asked: str) -> tuple[str, ...]:
    granted = subject.claims["scope"].split()
    common = tuple(scope for scope in resource.scopes if scope in granted)
    if not set(asked.split()) <= set(common):
        raise InvalidScopeError("The subject_token or the resource does not have all of these scopes.")
    if resource.scopes and not common:
        raise InvalidRequestError("The subject_token has none of the scopes of the resource.")
    return common
