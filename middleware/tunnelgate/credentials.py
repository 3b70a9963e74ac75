"""Credentials: what the application behind the gate gets to see in place of the caller's token.

::

    UpstreamCredentials(app, StaticToken("…"))                       one token for everybody
    UpstreamCredentials(app, OwnToken(TokenEndpoint(…)))             one that is fetched, and again
    UpstreamCredentials(app, ExchangedToken(TokenEndpoint(…)))       one for each caller

The caller's token is for this gate alone. It goes to the issuer that exchanges it, and nowhere else.

Specification: RFC 6749 section 4.4, RFC 8693,
https://modelcontextprotocol.io/specification/2026-07-28/basic/authorization
"""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Protocol

from tunnelgate.asgi import ASGIApp, Message, Receive, Scope, Send
from tunnelgate.errors import Unavailable
from tunnelgate.exchange import Exchange
from tunnelgate.layer import Layer
from tunnelgate.reading.bearer import read_credentials
from tunnelgate.reading.fault import Fault
from tunnelgate.remembering import Remembered
from tunnelgate.single_flight import SingleFlight
from tunnelgate.token_requests import IssuedToken, TokenEndpoint
from tunnelgate.verdict import Allow, Verdict

REMEMBERED_TOKENS = 4096
UNKNOWN_LIFETIME = 60.0  # seconds that a token is used for when its issuer did not say
MAX_LIFETIME = 3600.0  # seconds that one is used for, whatever its issuer said
_SOONER = 0.9  # of its life, after which a token is fetched anew
_RETRY = 5.0  # seconds before a token is asked for again, where one was just refused or not given
_UNAUTHORIZED = 401


class Credential(Protocol):
    """Has the tokens that one upstream takes."""

    async def token_for(self, token: bytes | None) -> str:
        """Return the token for a request that came with ``token``.

        Raises :class:`~tunnelgate.reading.fault.Fault` (``credential-refused``) when the caller may
        have none and :class:`~tunnelgate.errors.CredentialUnavailable` when there is none.
        """
        ...

    def forget(self, token: bytes | None, refused: str) -> None:
        """Take note that the upstream refused ``refused``, which :meth:`token_for` had returned."""
        ...


class StaticToken:
    """One token that does not change; raises :class:`ValueError` for what is no token."""

    def __init__(self, token: str) -> None:
        try:
            read_credentials(b"Bearer " + token.encode())
        except (Fault, UnicodeEncodeError):
            raise ValueError("is not a bearer token") from None
        self._token = token

    async def token_for(self, token: bytes | None) -> str:
        """Return the one token."""
        return self._token

    def forget(self, token: bytes | None, refused: str) -> None:
        """Do nothing: there is no other."""


class OwnToken:
    """The gate's own token, fetched by client credentials; ``clock`` returns seconds that only grow."""

    def __init__(self, endpoint: TokenEndpoint, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._endpoint = endpoint
        self._kept = _KeptTokens(clock)

    async def token_for(self, token: bytes | None) -> str:
        """Return the token, which is fetched when there is none or it is about to expire."""
        return await self._kept.get(b"", self._endpoint.own_token)

    def forget(self, token: bytes | None, refused: str) -> None:
        """Forget the token, so that the next request fetches another."""
        self._kept.forget(b"", refused)


class ExchangedToken:
    """A token for each caller, which its own token is exchanged for; ``clock`` as above."""

    def __init__(self, endpoint: TokenEndpoint, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._endpoint = endpoint
        self._kept = _KeptTokens(clock)

    async def token_for(self, token: bytes | None) -> str:
        """Return the token for this caller."""
        if token is None:
            raise ValueError(
                "there is no token to exchange; a layer that verifies one stands before this one"
            )
        return await self._kept.get(sha256(token).digest(), lambda: self._endpoint.exchanged_token(token))

    def forget(self, token: bytes | None, refused: str) -> None:
        """Forget this caller's token."""
        self._kept.forget(sha256(token or b"").digest(), refused)


@dataclass(frozen=True, slots=True)
class _Kept:
    token: str
    since: float


class _KeptTokens:
    """Tokens by whom they are for, a bounded number of them, each fetched by one request for all."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._tokens = Remembered[_Kept](REMEMBERED_TOKENS)
        self._failures = Remembered[Fault | Unavailable](REMEMBERED_TOKENS)
        self._fetching = SingleFlight[str]()

    async def get(self, whose: bytes, fetch: Callable[[], Awaitable[IssuedToken]]) -> str:
        kept = self._tokens.get(whose, self._clock())
        if kept is not None:
            return kept.token
        failure = self._failures.get(whose, self._clock())
        if failure is not None:
            raise failure.with_traceback(None)
        return await self._fetching.run(whose, lambda: self._fetch(whose, fetch))

    def forget(self, whose: bytes, refused: str) -> None:
        # A refusal that comes late is about an older token than the one that is here now.
        kept = self._tokens.get(whose, self._clock())
        # One that was refused at once is not to blame: another would be refused as well.
        if kept is not None and kept.token == refused and self._clock() - kept.since >= _RETRY:
            self._tokens.forget(whose)

    async def _fetch(self, whose: bytes, fetch: Callable[[], Awaitable[IssuedToken]]) -> str:
        asked_at = self._clock()
        try:
            issued = await fetch()
        except (Fault, Unavailable) as error:
            self._failures.put(whose, error, self._clock() + _RETRY)
            raise
        lifetime = UNKNOWN_LIFETIME if issued.expires_in is None else min(issued.expires_in, MAX_LIFETIME)
        kept = _Kept(issued.token, since=self._clock())
        self._tokens.put(whose, kept, asked_at + lifetime * _SOONER)
        return issued.token


class UpstreamCredentials(Layer):
    """Gives the application behind the gate a token that was made for it."""

    def __init__(self, app: ASGIApp, credential: Credential) -> None:
        super().__init__(app)
        self._credential = credential

    async def judge(self, scope: Scope, exchange: Exchange) -> Verdict:
        """Find the token, which may not be to be had."""
        exchange.upstream_token = await self._credential.token_for(exchange.token)
        return Allow()

    async def forward(self, scope: Scope, receive: Receive, send: Send, exchange: Exchange) -> None:
        """Pass the request on with the token, and hear whether it is still good."""
        token = exchange.upstream_token or ""
        headers = [pair for pair in scope["headers"] if pair[0] != b"authorization"]
        headers.append((b"authorization", f"Bearer {token}".encode("ascii")))
        exchange.headers = headers

        async def listening_send(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == _UNAUTHORIZED:
                self._credential.forget(exchange.token, token)
            await send(message)

        await self.app({**scope, "headers": headers}, receive, listening_send)
