"""The ledger: every code and token that was given, by whose consent, and which of them are spent.

Nothing here waits, so no two requests are ever at the same entry.

Specification: RFC 6749 sections 4.1.2 and 10.4, RFC 9700 section 4.14.2.
"""

# pyright: reportIncompatibleMethodOverride=false
# The published types of Authlib's models say less than its documentation does.

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from authlib.oauth2.rfc6749 import AuthorizationCodeMixin, ClientMixin, TokenMixin

from tunnelgate_app.issuer.resources import Resource
from tunnelgate_app.issuer.stores import Clock, Store, fingerprint

CODE_LIFETIME = 60  # seconds
REFRESH_LIFETIME = 24 * 3600  # seconds
MAX_CODES = 1000
MAX_TOKENS = 10_000  # of access, and as many to refresh with
MAX_SPENT = 20_000  # codes and refresh tokens that are remembered for the case that they come again


@dataclass(frozen=True, slots=True)
class Authorization:
    """What a client may do: ``scopes`` at a resource, for a user or, without one, for itself.

    ``family`` is common to every token that comes of the same consent. ``actors`` are the clients that
    exchanged a token for it, the last one first, and ``end`` is when its tokens end at the latest, in
    seconds since the epoch.
    """

    family: str
    client_id: str
    resource: Resource
    scopes: tuple[str, ...]
    user: str | None = None
    actors: tuple[str, ...] = ()
    end: int | None = None


@dataclass(frozen=True)
class Code(AuthorizationCodeMixin):
    """What an authorization code stands for. ``redirect_uri`` is that of the request, if it had one."""

    authorization: Authorization
    redirect_uri: str | None
    code_challenge: str
    code_challenge_method: str
    key: str

    def get_redirect_uri(self) -> str | None:  # type: ignore[override]  # Authlib takes None for none
        """Return the redirect URI that has to come with the code."""
        return self.redirect_uri

    def get_scope(self) -> str:
        """Return the scopes that the user granted."""
        return " ".join(self.authorization.scopes)


@dataclass(frozen=True)
class RefreshToken(TokenMixin):
    """What a refresh token stands for."""

    authorization: Authorization
    key: str

    def check_client(self, client: ClientMixin) -> bool:
        """Return whether the token was given to this client."""
        return client.get_client_id() == self.authorization.client_id

    def get_scope(self) -> str:
        """Return the scopes that the user granted."""
        return " ".join(self.authorization.scopes)


@dataclass(frozen=True)
class AccessToken(TokenMixin):
    """What an access token stands for: its claims are those of RFC 9068, in whichever form it is."""

    authorization: Authorization
    claims: Mapping[str, Any]
    key: str

    def check_client(self, client: ClientMixin) -> bool:
        """Return whether the token was given to this client."""
        return client.get_client_id() == self.authorization.client_id

    def is_expired(self) -> bool:
        """Return ``False``: one that has expired is not in the ledger any more."""
        return False

    def is_revoked(self) -> bool:
        """Return ``False``: one that was revoked is not in the ledger any more."""
        return False


T = TypeVar("T", Code, RefreshToken)


class Ledger:
    """What was given out. Everything is kept under a fingerprint, and nothing as it was given."""

    def __init__(self, token_lifetime: float, clock: Clock) -> None:
        self._clock = clock
        self._codes: Store[Code] = Store(limit=MAX_CODES, lifetime=CODE_LIFETIME, clock=clock)
        self._refresh: Store[RefreshToken] = Store(limit=MAX_TOKENS, lifetime=REFRESH_LIFETIME, clock=clock)
        self._access: Store[AccessToken] = Store(limit=MAX_TOKENS, lifetime=token_lifetime, clock=clock)
        self._spent: Store[str] = Store(limit=MAX_SPENT, lifetime=REFRESH_LIFETIME, clock=clock)

    def add_code(
        self, code: str, authorization: Authorization, redirect_uri: str | None, challenge: str, method: str
    ) -> None:
        """Write down a code that was given."""
        key = fingerprint(code)
        self._codes.put(key, Code(authorization, redirect_uri, challenge, method, key))

    def add_refresh_token(self, token: str, authorization: Authorization) -> None:
        """Write down a refresh token that was given."""
        key = fingerprint(token)
        self._refresh.put(key, RefreshToken(authorization, key))

    def add_access_token(self, token: str, authorization: Authorization, claims: Mapping[str, Any]) -> None:
        """Write down an access token that was given."""
        key = fingerprint(token)
        self._access.put(key, AccessToken(authorization, claims, key))

    def code(self, code: str) -> Code | None:
        """Return what a code stands for. One that was spent revokes all that came of its consent."""
        return self._unspent(self._codes, code)

    def refresh_token(self, token: str) -> RefreshToken | None:
        """Return what a refresh token stands for, likewise."""
        return self._unspent(self._refresh, token)

    def access_token(self, token: str) -> AccessToken | None:
        """Return what an access token stands for while it is good."""
        found = self._access.get(fingerprint(token))
        return found if found is not None and self._clock() < found.claims["exp"] else None

    def spend(self, entry: Code | RefreshToken) -> None:
        """Let a code or a refresh token be good for nothing any more."""
        self._codes.remove(entry.key)
        self._refresh.remove(entry.key)
        self._spent.put(entry.key, entry.authorization.family)

    def revoke(self, token: AccessToken | RefreshToken) -> None:
        """Revoke an access token alone, or with a refresh token all that came of the same consent."""
        if isinstance(token, AccessToken):
            self._access.remove(token.key)
        else:
            self._revoke_family(token.authorization.family)

    def _unspent(self, store: Store[T], secret: str) -> T | None:
        key = fingerprint(secret)
        family = self._spent.get(key)
        if family is not None:
            self._revoke_family(family)
        return store.get(key)

    def _revoke_family(self, family: str) -> None:
        self._refresh.remove_where(lambda token: token.authorization.family == family)
        self._access.remove_where(lambda token: token.authorization.family == family)
