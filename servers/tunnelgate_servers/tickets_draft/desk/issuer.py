"""The issuer at which people sign in: where to send them, and who they are by the token that it gives.

The token is made for the desk alone. It is verified like one of any caller, read once, and kept nowhere.

Specification: RFC 6749 section 4.1, RFC 7636, RFC 8414, RFC 8707 section 2, RFC 9068
"""

import json
import logging
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Final
from urllib.parse import urlencode

from tunnelgate import ClientSecret, Discovery, Fetch, Fetched, IssuerUnavailable, Principal, Unavailable
from tunnelgate.discovery import locate
from tunnelgate.fetching import OK, read_object
from tunnelgate.reading.fault import Fault
from tunnelgate.verifier import TokenVerifier
from tunnelgate_servers.hosting import UnavailableError
from tunnelgate_servers.tickets_draft.desk.errors import PageError, no_sign_in

MAX_SUBJECT: Final = 255
"""The length of the longest name of a person, in characters, as OpenID Connect has it."""

_MAX_IN_COOKIE = 2000  # characters; browsers drop a cookie of more than 4096 octets
_BAD_REQUEST = 400
_logger = logging.getLogger("tunnelgate_servers")


class SignInIssuer:
    """What the desk asks of an issuer.

    `endpoints` are the URLs of its `authorization_endpoint` and `token_endpoint`, or the metadata that names
    them. `client` is how the desk authenticates there, `redirect_uri` where people come back to, `resource`
    and `scopes` what tokens are to be for, and `verifier` judges them.
    """

    def __init__(
        self,
        issuer: str,
        endpoints: Mapping[str, str | Discovery],
        *,
        fetch: Fetch,
        client: ClientSecret,
        redirect_uri: str,
        resource: str,
        scopes: tuple[str, ...],
        verifier: TokenVerifier,
    ) -> None:
        self.issuer = issuer
        self._endpoints = endpoints
        self._fetch = fetch
        self._client = client
        self._redirect_uri = redirect_uri
        self._resource = resource
        self._scopes = scopes
        self._verifier = verifier

    async def sign_in_url(self, state: str, code_verifier: str) -> str:
        """Return where a person is sent; raises `UnavailableError`."""
        url = await self._endpoint("authorization_endpoint")
        digest = urlsafe_b64encode(sha256(code_verifier.encode()).digest()).decode().rstrip("=")
        query = {
            "response_type": "code",
            "client_id": self._client.client_id,
            "redirect_uri": self._redirect_uri,
            "resource": self._resource,
            "state": state,
            "code_challenge": digest,
            "code_challenge_method": "S256",
        }
        if self._scopes:
            query["scope"] = " ".join(self._scopes)
        return f"{url}{'&' if '?' in url else '?'}{urlencode(query)}"

    async def person(self, code: str, code_verifier: str) -> Principal:
        """Return who a code stands for.

        Raises `PageError` where it is nobody who may submit, and `UnavailableError`.
        """
        token = await self._redeem(code, code_verifier)
        try:
            principal = await self._verifier.verify(token.encode("ascii"))
        except Fault as fault:
            _logger.warning("The desk was given a token that it refuses: %s", fault)
            raise no_sign_in("The token that the issuer gave for you is not good for this page.") from None
        except Unavailable as error:
            raise _unavailable(error) from error
        self._check(principal)
        return principal

    def _check(self, principal: Principal) -> None:
        if principal.subject == principal.client_id:
            raise no_sign_in("The issuer has signed in a program. A person submits drafts.")
        if principal.client_id != self._client.client_id:
            raise no_sign_in("The issuer has signed you in to another application.")
        if not principal.scopes.issuperset(self._scopes):
            raise no_sign_in("You have not allowed this page to submit drafts for you.")
        if not _can_be_kept(principal.subject):
            raise no_sign_in("The name that the issuer has for you cannot be shown.")

    async def _redeem(self, code: str, code_verifier: str) -> str:
        url = await self._endpoint("token_endpoint")
        form, headers = self._client.authenticate(
            {
                "grant_type": "authorization_code",
                "code": code,
                "redirect_uri": self._redirect_uri,
                "code_verifier": code_verifier,
                "resource": self._resource,
            }
        )
        try:
            return _token_in(await self._fetch(url, form=form, headers=headers))
        except (OSError, ValueError) as error:
            raise _unavailable(error) from error

    async def _endpoint(self, name: str) -> str:
        try:
            return await locate(self._endpoints[name], name)
        except IssuerUnavailable as error:
            raise _unavailable(error) from error


def _token_in(fetched: Fetched) -> str:
    answer: Mapping[str, Any] = read_object(fetched.body)
    if fetched.status == _BAD_REQUEST and answer.get("error") == "invalid_grant":
        raise _stale_code()
    if fetched.status != OK:
        raise ValueError(f"the token endpoint answers with the status {fetched.status}")
    token, kind = answer.get("access_token"), answer.get("token_type")
    if not isinstance(token, str) or not token.isascii() or not isinstance(kind, str):
        raise ValueError("the token endpoint answers without a token")
    if kind.lower() != "bearer":
        raise ValueError("the token endpoint gives a token that is not a bearer token")
    return token


def _can_be_kept(subject: str) -> bool:
    """Return whether pages can show a name, and a cookie can hold it."""
    is_short = len(subject) <= MAX_SUBJECT and len(json.dumps(subject)) <= _MAX_IN_COOKIE
    return is_short and subject.isprintable()


def _stale_code() -> PageError:
    return no_sign_in("The answer of the issuer was used before, or it is too old.")


def _unavailable(error: Exception) -> UnavailableError:
    _logger.warning("The desk cannot sign anybody in: %s", error)
    return UnavailableError("The issuer does not answer; try again later.")
