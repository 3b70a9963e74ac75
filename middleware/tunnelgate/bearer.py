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

Specification: RFC 6750, RFC 9068, RFC 7662, RFC 8707,
https://modelcontextprotocol.io/specification/2026-07-28/basic/authorization
"""

import time
from collections.abc import Iterable

from tunnelgate.asgi import ASGIApp, Message, Receive, Scope, Send
from tunnelgate.exchange import Clock, Exchange, Principal
from tunnelgate.identifiers import check_url
from tunnelgate.layer import Layer
from tunnelgate.metadata import metadata_url
from tunnelgate.proofs import NoProof, ProofOfPossession
from tunnelgate.reading.bearer import Credentials, read_credentials
from tunnelgate.reading.fault import Fault
from tunnelgate.reading.head import RequestHead
from tunnelgate.requirements import Claims, Requirement
from tunnelgate.verdict import Deny, Reason, Verdict
from tunnelgate.verifier import TokenVerifier, TrustedIssuer


class RouteRules:
    """The scopes and the claims that every request of a route needs, and whether a person must ask."""

    def __init__(
        self, scopes: Iterable[str], claims: Claims | None = None, *, require_user: bool = False
    ) -> None:
        self._requirement = Requirement(scopes, claims)
        self._require_user = require_user
        self.scopes = self._requirement.scopes

    def decide(self, principal: Principal | None) -> Verdict:
        """Return whether ``principal`` may use the route at all."""
        if principal is None:
            return Deny(Reason.TOKEN_MISSING)
        if self._require_user and principal.subject == principal.client_id:
            return Deny(Reason.USER_REQUIRED)
        return self._requirement.decide(principal, Deny(Reason.CLAIM_MISSING))


def read_authorization(head: RequestHead) -> Credentials | None:
    """Return the token that a request carries, if any; raises ``Fault`` where it is not one token."""
    if b"authorization" in head.duplicated:
        raise Fault(Reason.HEADER_DUPLICATED, "authorization")
    # Taken out, so that no record of the request holds a credential from here on.
    value = head.fields.pop(b"authorization", None)
    return None if value is None else read_credentials(value)


class BearerAuthentication(Layer):
    """Passes on only requests with an access token for ``resource`` by one of ``issuers``.

    ``scopes`` and ``claims`` are those that every request needs; ``require_user`` refuses tokens
    that a client has for itself. ``proof`` checks who presents the token. ``keep_token`` leaves it
    for :class:`~tunnelgate.credentials.UpstreamCredentials`, which stands further in.
    ``clock`` returns seconds since the epoch.
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
        require_user: bool = False,
        proof: ProofOfPossession | None = None,
        keep_token: bool = False,
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
        self.rules = RouteRules(scopes, claims, require_user=require_user)
        self._verifier = TokenVerifier(resource=resource, issuers=trusted, clock=clock)
        self._metadata_url = metadata_url(resource)
        self._proof = proof or NoProof()
        self._keep_token = keep_token

    async def judge(self, scope: Scope, exchange: Exchange) -> Verdict:
        """Find out who asks, and whether they may use this route."""
        exchange.resource_metadata = self._metadata_url
        exchange.required_scopes = self.rules.scopes
        self._proof.prepare(exchange)
        credentials = read_authorization(exchange.head)
        if credentials is not None:
            exchange.principal = await self._authenticate(scope, exchange, credentials)
        return self.rules.decide(exchange.principal)

    def judge_again(self, exchange: Exchange) -> Verdict:
        """Judge who asked, by what is known of the token: it is neither verified nor proved again."""
        if exchange.principal is None:
            return Deny(Reason.TOKEN_MISSING)
        if type(exchange.proof) is not type(self._proof):
            return Deny(Reason.TOKEN_BINDING_WRONG, "the route asks for another proof")
        return self.rules.decide(self._verifier.judge_again(exchange.principal))

    async def forward(self, scope: Scope, receive: Receive, send: Send, exchange: Exchange) -> None:
        """Pass the request on without its token."""
        headers = [pair for pair in scope["headers"] if pair[0] not in (b"authorization", b"dpop")]
        exchange.headers = headers
        if self._proof.scheme == "dpop":
            send = _with_nonce(send, exchange.dpop_nonce)
        await self.app({**scope, "headers": headers}, receive, send)

    async def _authenticate(self, scope: Scope, exchange: Exchange, credentials: Credentials) -> Principal:
        if credentials.scheme != self._proof.scheme:
            raise Fault(Reason.TOKEN_MALFORMED, f"a token under {credentials.scheme}")
        principal = await self._verifier.verify(credentials.token)
        self._proof.check(scope, exchange, credentials.token, principal)
        exchange.proof = self._proof
        if self._keep_token:
            exchange.token = credentials.token
        return principal


def _with_nonce(send: Send, nonce: str | None) -> Send:
    """Return ``send`` with this nonce in the answer, and never with one of somebody else's."""
    own = [] if nonce is None else [(b"dpop-nonce", nonce.encode("ascii"))]

    async def send_with_nonce(message: Message) -> None:
        if message["type"] == "http.response.start":
            kept = [pair for pair in message.get("headers", ()) if pair[0].lower() != b"dpop-nonce"]
            message = {**message, "headers": [*kept, *own]}
        await send(message)

    return send_with_nonce
