"""Proof of possession: whether who presents a token is who it was made for.

A token that is bound to a key says so in `cnf`. What a route cannot check it does not let pass:
a bound token that is taken like any other is one that somebody may have stolen.

Specification: RFC 7800 section 3.1, RFC 9449 section 7.2, RFC 8705 section 3.
"""

from collections.abc import Mapping
from typing import Any, Literal, Protocol

from tunnelgate.asgi import Scope
from tunnelgate.exchange import Exchange, Principal
from tunnelgate.reading.fault import Fault
from tunnelgate.reading.strict_json import is_object
from tunnelgate.verdict import Reason

SchemeName = Literal["bearer", "dpop"]


class ProofOfPossession(Protocol):
    """Checks who presents a token. ``scheme`` is the one of ``Authorization``, in lower case."""

    @property
    def scheme(self) -> SchemeName:
        """The scheme under which tokens come."""
        ...

    def prepare(self, exchange: Exchange) -> None:
        """Take from the request what only this check needs, and note what a challenge names."""
        ...

    def check(self, scope: Scope, exchange: Exchange, token: bytes, principal: Principal) -> None:
        """Check that the request comes from whom ``token`` was made for.

        Raises :class:`~tunnelgate.reading.fault.Fault`, and
        :class:`~tunnelgate.errors.Unavailable` when nobody can tell.
        """
        ...


class NoProof:
    """Takes tokens that are bound to nothing, and no others."""

    scheme: SchemeName = "bearer"

    def prepare(self, exchange: Exchange) -> None:
        """Do nothing."""

    def check(self, scope: Scope, exchange: Exchange, token: bytes, principal: Principal) -> None:
        """Check that the token is bound to nothing."""
        if is_bound(principal.claims):
            raise Fault(Reason.TOKEN_BINDING_WRONG, "the token is bound, and this route checks no proof")


def is_bound(claims: Mapping[str, Any]) -> bool:
    """Return whether a token is bound to a key, also where nobody says to which: RFC 9449 section 6.2."""
    return claims.get("cnf") is not None or str(claims.get("token_type", "")).lower() == "dpop"


def confirmation(claims: Mapping[str, Any], method: str) -> str:
    """Return what a token is bound to by one method of `cnf`.

    Raises :class:`~tunnelgate.reading.fault.Fault` for a token that is not, and for one that is
    bound by another method as well.
    """
    bound = claims.get("cnf")
    value = bound.get(method) if is_object(bound) else None
    if not isinstance(value, str) or not value:
        raise Fault(Reason.TOKEN_BINDING_WRONG, f"the token is not bound by {method}")
    if is_object(bound) and len(bound) > 1:
        raise Fault(Reason.TOKEN_BINDING_WRONG, f"the token is bound by more than {method}")
    return value
