"""Tokens: Authlib's RFC 9068 access tokens, or opaque names for them, and refresh tokens.

Specification: RFC 9068 sections 2 and 3, RFC 6749 sections 1.4 and 1.5.
"""

# pyright: reportIncompatibleMethodOverride=false, reportUnknownMemberType=false
# The published types of Authlib's server say less than its documentation does.

import secrets
from collections.abc import Mapping
from functools import reduce
from typing import Any

from authlib.oauth2.rfc9068 import JWTBearerTokenGenerator
from joserfc import jwt
from joserfc.jwk import KeySet

from tunnelgate_app.issuer.clients import Client
from tunnelgate_app.issuer.ledger import Authorization, Ledger
from tunnelgate_app.issuer.signing_key import ALGORITHM, SigningKey
from tunnelgate_app.issuer.stores import Clock
from tunnelgate_app.issuer.subjects import SubjectClaims

TOKEN_LIFETIME = 600  # seconds
_SECRET = 32  # octets


class User:
    """Who consented. ``name`` is the ``sub`` of the tokens."""

    def __init__(self, name: str) -> None:
        self.name = name

    def get_user_id(self) -> str:
        """Return the ``sub``."""
        return self.name


class TokenGenerator(JWTBearerTokenGenerator):
    """Makes the tokens for the authorization of a client, and writes them into the ledger."""

    def __init__(
        self,
        *,
        issuer: str,
        key: SigningKey,
        ledger: Ledger,
        lifetime: int,
        clock: Clock,
        claims: SubjectClaims,
    ) -> None:
        super().__init__(
            issuer,
            alg=ALGORITHM,
            refresh_token_generator=self._refresh_token,
            expires_generator=self._expires_in,
        )
        self._keys = KeySet([key.key])  # from a set, the kid goes into the header
        self._ledger = ledger
        self._lifetime = lifetime
        self._clock = clock
        self._claims = claims

    def get_jwks(self) -> KeySet:
        """Return the keys to sign with."""
        return self._keys

    def get_audiences(self, client: Client, user: User | None, scope: str) -> str:
        """Return the resource that the token is for."""
        return _authorization(client).resource.url

    def get_extra_claims(
        self, client: Client, grant_type: str, user: User | None, scope: str
    ) -> Mapping[str, Any]:
        """Return what is said about the subject, who acts for it, and the times, by our clock."""
        now = int(self._clock())
        end = now + self._expires_in(client, grant_type)
        subject = user.name if user else client.client_id
        return {**self._claims.of(subject), **_act(_authorization(client)), "iat": now, "exp": end}

    def access_token_generator(  # type: ignore[override]  # it is a method here and an attribute there
        self, client: Client, grant_type: str, user: User | None, scope: str
    ) -> str:
        """Return an access token in the form that the resource wants.

        An opaque one is a name for the claims that it would have as a JWT.
        """
        authorization = _authorization(client)
        token = super().access_token_generator(client, grant_type, user, scope)
        claims = jwt.decode(token, self._keys, algorithms=[ALGORITHM]).claims
        if authorization.resource.tokens == "opaque":
            token = secrets.token_urlsafe(_SECRET)
        self._ledger.add_access_token(token, authorization, claims)
        return token

    def _expires_in(self, client: Client, grant_type: str) -> int:
        end = _authorization(client).end
        return self._lifetime if end is None else min(self._lifetime, end - int(self._clock()))

    def _refresh_token(self, client: Client, grant_type: str, user: User | None, scope: str) -> str:
        token = secrets.token_urlsafe(_SECRET)
        self._ledger.add_refresh_token(token, _authorization(client))
        return token


def _authorization(client: Client) -> Authorization:
    if client.authorization is None:
        raise RuntimeError("a token was to be made for a client before anything was authorized")
    return client.authorization


def _act(authorization: Authorization) -> Mapping[str, Any]:
    """Return the claim that names who acts, and within it who did before (RFC 8693 section 4.1)."""
    nothing: Mapping[str, Any] = {}
    return reduce(
        lambda before, actor: {"act": {"sub": actor, **before}}, reversed(authorization.actors), nothing
    )
