"""Origins: a web page may send requests only if its origin is listed, and by default none is.

::

    app.add_middleware(OriginAllowlist, origins=["https://inspector.example.com"])

    no Origin                                   passed on: not a browser
    Origin: https://inspector.example.com       passed on
    Origin: https://evil.example                403 {"error": "origin_not_allowed"}
    Origin: null                                403

Specification: RFC 6454 section 7,
https://modelcontextprotocol.io/specification/2026-07-28/basic/transports#security-warning
"""

import re
from collections.abc import Iterable

from tunnelgate.asgi import ASGIApp, Scope
from tunnelgate.exchange import Exchange
from tunnelgate.layer import Layer
from tunnelgate.reading.head import RequestHead
from tunnelgate.verdict import Allow, Deny, Reason, Verdict

_ORIGIN = re.compile(r"https?://[a-z0-9.\-\[\]:]+")


class OriginRules:
    """The origins that web pages may come from, compared octet by octet as browsers write them.

    Raises :class:`ValueError` for what is no origin.
    """

    def __init__(self, origins: Iterable[str]) -> None:
        listed = tuple(origins)
        for origin in listed:
            try:
                check_origin(origin)
            except ValueError as error:
                raise ValueError(f"{origin!r} {error}") from None
        self.origins = frozenset(origin.encode("ascii") for origin in listed)

    def decide(self, head: RequestHead) -> Verdict:
        """Return whether the origin that sent this head, if a web page did, may send it."""
        origin = head.fields.get(b"origin")
        if origin is None or (origin in self.origins and b"origin" not in head.duplicated):
            return Allow()
        return Deny(Reason.ORIGIN_NOT_ALLOWED, origin.decode("latin-1")[:200])


def check_origin(origin: str) -> None:
    """Raise :class:`ValueError` with the end of a sentence unless ``origin`` is one web origin."""
    if _ORIGIN.fullmatch(origin) is None:
        raise ValueError("is not an origin such as https://inspector.example.com")


class OriginAllowlist(Layer):
    """Refuses requests of web pages whose origin is not listed."""

    def __init__(self, app: ASGIApp, *, origins: Iterable[str] = ()) -> None:
        super().__init__(app)
        self.rules = OriginRules(origins)

    async def judge(self, scope: Scope, exchange: Exchange) -> Verdict:
        """Judge the page that sent the request, if one did."""
        return self.judge_again(exchange)

    def judge_again(self, exchange: Exchange) -> Verdict:
        """Judge the page that sent a request that is under way."""
        return self.rules.decide(exchange.head)
