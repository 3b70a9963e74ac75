"""Asks an issuer for tokens: of the gate's own, or in exchange for that of a caller.

Specification: RFC 6749 sections 4.4, 5.1 and 5.2, RFC 8693 section 2, RFC 8707 section 2.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tunnelgate.client_authentication import ClientSecret
from tunnelgate.discovery import Discovery, locate
from tunnelgate.errors import CredentialUnavailable
from tunnelgate.fetching import OK, Fetch, read_object
from tunnelgate.identifiers import check_scope, check_url
from tunnelgate.reading.bearer import MAX_TOKEN
from tunnelgate.reading.fault import Fault
from tunnelgate.verdict import Reason

_BAD_REQUEST = 400
_FORBIDDEN = 403
_TOKEN = re.compile(r"[A-Za-z0-9\-._~+/]+=*")
# What an issuer answers when it is the caller's token that it does not like.
_ABOUT_THE_CALLER = frozenset({"access_denied", "invalid_grant", "invalid_request", "invalid_token"})
# The words that go into a record; an issuer could have put a token or a secret in the place of another.
_ERRORS = _ABOUT_THE_CALLER | {
    "invalid_client",
    "invalid_scope",
    "invalid_target",
    "server_error",
    "temporarily_unavailable",
    "unauthorized_client",
    "unsupported_grant_type",
}

TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"  # noqa: S105 - a name
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 - a name
_JWT = "urn:ietf:params:oauth:token-type:jwt"


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """A bearer token and for how many seconds it is good, where its issuer said so."""

    token: str = field(repr=False)
    expires_in: float | None


class TokenEndpoint:
    """Where an issuer hands out tokens for one upstream.

    ``location`` is the endpoint, or the metadata that names it; ``client`` is how the gate
    authenticates there; ``fetch`` is an HTTP client, see :mod:`tunnelgate.fetching`.
    ``scopes``, ``resource`` and ``audience`` are what the tokens are for.
    Raises :class:`ValueError` with a sentence for what no token could name.
    """

    def __init__(
        self,
        location: str | Discovery,
        fetch: Fetch,
        client: ClientSecret,
        *,
        scopes: Iterable[str] = (),
        resource: str | None = None,
        audience: str | None = None,
    ) -> None:
        self._location = location
        self._fetch = fetch
        self._client = client
        scopes = tuple(scopes)
        for scope in scopes:
            check_scope(scope)
        if resource is not None:
            check_url(resource)
        wanted = {"scope": " ".join(scopes), "resource": resource or "", "audience": audience or ""}
        self._wanted = {name: value for name, value in wanted.items() if value}

    async def own_token(self) -> IssuedToken:
        """Return a token for the gate itself.

        Raises :class:`~tunnelgate.errors.CredentialUnavailable` when there is none to be had.
        """
        try:
            return await self._request({"grant_type": "client_credentials"})
        except Fault as fault:
            raise CredentialUnavailable(f"token endpoint: status {_BAD_REQUEST}, {fault.detail}") from None

    async def exchanged_token(self, token: bytes) -> IssuedToken:
        """Return a token for whom ``token`` speaks for.

        Raises :class:`~tunnelgate.reading.fault.Fault` (``credential-refused``) when the issuer
        gives none for this caller, and :class:`~tunnelgate.errors.CredentialUnavailable` when it
        gives none at all.
        """
        subject_token = token.decode("ascii")
        issued = await self._request(
            {
                "grant_type": TOKEN_EXCHANGE,
                "subject_token": subject_token,
                "subject_token_type": ACCESS_TOKEN,
                "requested_token_type": ACCESS_TOKEN,
            }
        )
        if issued.token == subject_token:
            raise CredentialUnavailable("token endpoint: the caller's own token")
        return issued

    async def _request(self, form: Mapping[str, str]) -> IssuedToken:
        url = await locate(self._location, "token_endpoint")
        form, headers = self._client.authenticate({**form, **self._wanted})
        try:
            fetched = await self._fetch(url, form=form, headers=headers)
            if fetched.status == OK:
                return _issued(read_object(fetched.body))
        except (OSError, ValueError) as error:
            raise CredentialUnavailable(f"token endpoint: {error}") from None
        word = _error_in(fetched.body)
        if fetched.status in (_BAD_REQUEST, _FORBIDDEN) and word in _ABOUT_THE_CALLER:
            raise Fault(Reason.CREDENTIAL_REFUSED, word)
        raise CredentialUnavailable(f"token endpoint: status {fetched.status}, {word}")


def _error_in(body: bytes) -> str:
    try:
        said = read_object(body).get("error")
    except ValueError:
        said = None
    return said if isinstance(said, str) and said in _ERRORS else "no known error"


def _issued(answer: Mapping[str, Any]) -> IssuedToken:
    token, kind, lifetime = (answer.get(name) for name in ("access_token", "token_type", "expires_in"))
    if not isinstance(token, str) or len(token) > MAX_TOKEN or _TOKEN.fullmatch(token) is None:
        raise ValueError("an answer without a token")
    if not isinstance(kind, str) or kind.lower() != "bearer":
        raise ValueError("a token that is not a bearer token")
    if answer.get("issued_token_type", ACCESS_TOKEN) not in (ACCESS_TOKEN, _JWT):
        raise ValueError("a token that is not an access token")
    if lifetime is None:
        return IssuedToken(token, None)
    if isinstance(lifetime, bool) or not isinstance(lifetime, int | float) or lifetime < 0:
        raise ValueError("a token with a lifetime that is no number of seconds")
    return IssuedToken(token, lifetime)
