"""Judges a token as the gate would: by its issuer's keys, for each route."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tunnelgate import Policy
from tunnelgate.errors import Unavailable
from tunnelgate.reading.fault import Fault
from tunnelgate.verifier import TokenVerifier, TrustedIssuer


@dataclass(frozen=True, slots=True)
class Token:
    """What a token is worth at one route: why it is refused, or the scopes that it lacks."""

    refused: str = ""
    missing: tuple[str, ...] = ()

    @property
    def passes(self) -> bool:
        """Whether requests with it reach the server."""
        return not self.refused and not self.missing


async def judge_token(
    policy: Policy,
    issuers: Mapping[str, TrustedIssuer],
    name: str,
    token: str,
    *,
    clock: Callable[[], float] = time.time,
) -> Token:
    """Return what ``token`` is worth at the route ``name``; ``clock`` returns seconds since 1970."""
    trusted = [issuers[each.issuer] for each in policy.issuers(name) if each.issuer in issuers]
    verifier = TokenVerifier(resource=policy.resource(name), issuers=trusted, clock=clock)
    try:
        principal = await verifier.verify(token.encode())
    except Fault as fault:
        return Token(refused=f"{fault.reason} {fault.detail}".strip())
    except Unavailable as error:
        return Token(refused=str(error))
    lacking = [each for each in policy.routes[name].scopes if each not in principal.scopes]
    return Token(missing=tuple(lacking))
