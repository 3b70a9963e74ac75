"""What a caller must bring to use something that is listed: scopes, and claims of its token.

::

    Requirement(scopes=("tickets:draft",), claims={"department": ("support", "sales")})

Whoever lacks a scope can come back with a wider token, so what is missing is named.
Whoever lacks a claim is somebody else; for them the thing does not exist.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tunnelgate.exchange import Principal
from tunnelgate.identifiers import check_scope
from tunnelgate.reading.strict_json import is_array
from tunnelgate.verdict import Allow, Deny, NeedsScopes, Verdict

ClaimValue = str | int | bool
Claims = Mapping[str, ClaimValue | Iterable[ClaimValue]]


@dataclass(frozen=True, slots=True, init=False)
class Requirement:
    """``scopes`` that a token must have, all of them, and ``claims``, of each one of its values.

    Raises :class:`ValueError` with a sentence for what cannot be meant.
    """

    scopes: tuple[str, ...]
    claims: tuple[tuple[str, tuple[ClaimValue, ...]], ...]

    def __init__(self, scopes: Iterable[str] = (), claims: Claims | None = None) -> None:
        if isinstance(scopes, str | Mapping):
            raise ValueError("a text or a mapping stands where a list of scopes is meant")
        object.__setattr__(self, "scopes", tuple(scopes))
        values = {} if claims is None else {name: values_of(value) for name, value in claims.items()}
        object.__setattr__(self, "claims", tuple(values.items()))
        for scope in self.scopes:
            try:
                check_scope(scope)
            except ValueError as error:
                raise ValueError(f"scope {scope!r} {error}") from None

    def decide(self, principal: Principal | None, absent: Deny) -> Verdict:
        """Return whether ``principal`` meets this; ``absent`` is said to whom it is not meant for."""
        for name, values in self.claims:
            if principal is None or not _has_one(principal.claims.get(name), values):
                return absent
        granted = frozenset[str]() if principal is None else principal.scopes
        return Allow() if granted.issuperset(self.scopes) else NeedsScopes(self.scopes)


def values_of(value: ClaimValue | Iterable[ClaimValue]) -> tuple[ClaimValue, ...]:
    """Return the values of which a claim must have one; raises :class:`ValueError` for none at all."""
    values = (value,) if isinstance(value, str | int) else tuple(value)
    if not values:
        raise ValueError("a claim with no value would allow nobody")
    return values


def _has_one(found: Any, values: tuple[ClaimValue, ...]) -> bool:
    candidates = found if is_array(found) else [found]
    # `True == 1` in Python, and in no token.
    return any(type(each) is type(value) and each == value for each in candidates for value in values)
