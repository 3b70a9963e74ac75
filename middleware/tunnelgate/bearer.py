"""Bearer tokens: a request passes only with an access token that was made for exactly this resource.

::

    app.add_middleware(
        BearerAuthentication,
        resource="https://docs.example.com/mcp",
        issuers=[TrustedIssuer("https://login.example.com/", StaticKeys.from_file(Path("jwks.json")))],
        scopes=["docs:read"],
    )

    Authorization: Bearer <for docs.example.com, with docs:read>    passed on, without the header
    no Authorization                    401, WWW-Authenticate: Bearer scope="docs:read", resource_metadata="…"
    Authorization: Bearer <expired>     401, error="invalid_token"
    Authorization: Bearer <no scope>    403, error="insufficient_scope"

The token is never passed on; :func:`~tunnelgate.exchange.principal_of` tells the application who asks.

Specification: RFC 6750, RFC 9068, RFC 8707,
https://modelcontextprotocol.io/specification/2026-07-28/basic/authorization
"""

import time
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256

from tunnelgate.asgi import ASGIApp, Receive, Scope, Send
from tunnelgate.exchange import Clock, Exchange, Principal
from tunnelgate.identifiers import check_url
from tunnelgate.keys import ALGORITHMS, KeySource
from tunnelgate.layer import Layer
from tunnelgate.metadata import metadata_url
from tunnelgate.reading.bearer import read_credentials, read_jwt
from tunnelgate.reading.fault import Fault
from tunnelgate.reading.head import RequestHead
from tunnelgate.requirements import Claims, Requirement
from tunnelgate.tokens import TokenRules
from tunnelgate.verdict import Deny, Reason, Verdict

REMEMBERED_TOKENS = 4096
REMEMBERED_FOR = 60.0  # seconds; for so long a token that was revoked may still pass


@dataclass(frozen=True, slots=True)
class TrustedIssuer:
    """An authorization server whose tokens are accepted, where its keys are, and how it may sign."""

    issuer: str
    keys: KeySource
    algorithms: frozenset[str] = ALGORITHMS


class RouteRules:
    """The scopes and the claims that every request of a route needs."""

    def __init__(self, scopes: Iterable[str], claims: Claims | None = None) -> None:
        self._requirement = Requirement(scopes, claims)
        self.scopes = self._requirement.scopes

    def decide(self, principal: Principal | None) -> Verdict:
        """Return whether ``principal`` may use the route at all."""
        if principal is None:
            return Deny(Reason.TOKEN_MISSING)
        return self._requirement.decide(principal, Deny(Reason.CLAIM_MISSING))


class TokenVerifier:
    """Turns tokens into principals, and remembers for a short while what it found genuine."""

    def __init__(self, *, resource: str, issuers: Iterable[TrustedIssuer], clock: Clock) -> None:
        self._issuers = {
            trusted.issuer: (
                TokenRules(issuer=trusted.issuer, resource=resource, algorithms=trusted.algorithms),
                trusted.keys,
            )
            for trusted in issuers
        }
        self._clock = clock
        self._remembered: OrderedDict[bytes, tuple[float, Principal]] = OrderedDict()

    async def verify(self, raw: bytes) -> Principal:
        """Return whom a token speaks for.

        Raises :class:`~tunnelgate.reading.fault.Fault` for a bad token and
        :class:`~tunnelgate.errors.KeysUnavailable` when the keys to judge it by cannot be had.
        """
        now = self._clock()
        digest = sha256(raw).digest()
        remembered = self._remembered.get(digest)
        if remembered is not None and now < remembered[0]:
            return remembered[1]
        token = read_jwt(raw)
        if token.issuer not in self._issuers:
            raise Fault(Reason.TOKEN_ISSUER_UNKNOWN, token.issuer[:200])
        rules, keys = self._issuers[token.issuer]
        rules.check_header(token)
        rules.check_signature(raw, token, await keys.find(token.key_id))
        now = self._clock()  # keys may have taken their time
        principal = rules.check_claims(token, now)
        self._remember(digest, min(now + REMEMBERED_FOR, token.claims["exp"]), principal)
        return principal

    def _remember(self, digest: bytes, until: float, principal: Principal) -> None:
        self._remembered[digest] = (until, principal)
        self._remembered.move_to_end(digest)
        if len(self._remembered) > REMEMBERED_TOKENS:
            self._remembered.popitem(last=False)


def read_authorization(head: RequestHead) -> bytes | None:
    """Return the token that a request carries, if any; raises ``Fault`` where it is not one token."""
    if b"authorization" in head.duplicated:
        raise Fault(Reason.HEADER_DUPLICATED, "authorization")
    # Taken out, so that no record of the request holds a credential from here on.
    value = head.fields.pop(b"authorization", None)
    return None if value is None else read_credentials(value)


class BearerAuthentication(Layer):
    """Passes on only requests with an access token for ``resource`` by one of ``issuers``.

    ``scopes`` and ``claims`` are those that every request needs; ``clock`` returns seconds since the
    epoch.
    Raises :class:`ValueError` with a sentence when no issuer is given, and for a resource or a scope
    that no token could name.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        resource: str,
        issuers: Iterable[TrustedIssuer],
        scopes: Iterable[str] = (),
        claims: Claims | None = None,
        clock: Clock = time.time,
    ) -> None:
        super().__init__(app)
        trusted = tuple(issuers)
        if not trusted:
            raise ValueError("no issuer is trusted, so every request would be refused")
        try:
            check_url(resource)
        except ValueError as error:
            raise ValueError(f"resource {resource!r} {error}") from None
        self.rules = RouteRules(scopes, claims)
        self._verifier = TokenVerifier(resource=resource, issuers=trusted, clock=clock)
        self._metadata_url = metadata_url(resource)

    async def judge(self, scope: Scope, exchange: Exchange) -> Verdict:
        """Find out who asks, and whether they may use this route."""
        exchange.resource_metadata = self._metadata_url
        exchange.required_scopes = self.rules.scopes
        raw = read_authorization(exchange.head)
        if raw is not None:
            exchange.principal = await self._verifier.verify(raw)
        return self.rules.decide(exchange.principal)

    async def forward(self, scope: Scope, receive: Receive, send: Send, exchange: Exchange) -> None:
        """Pass the request on without its token."""
        headers = [pair for pair in scope["headers"] if pair[0] != b"authorization"]
        exchange.headers = headers
        await self.app({**scope, "headers": headers}, receive, send)
