"""Verification: whom a token speaks for, by the keys of its issuer or by what its issuer says.

What was found genuine is remembered for a short while, because a signature costs a hundred times as
much as finding it again, and an issuer is not asked about every request.

Specification: RFC 9068 section 4, RFC 7662 section 2.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import sha256

from tunnelgate.exchange import Clock, Principal
from tunnelgate.introspection import Introspection
from tunnelgate.keys import KeySource
from tunnelgate.reading.bearer import is_jose, read_jwt
from tunnelgate.reading.fault import Fault
from tunnelgate.remembering import Remembered
from tunnelgate.tokens import TokenProfile, TokenRules
from tunnelgate.verdict import Reason

REMEMBERED_TOKENS = 4096
REMEMBERED_FOR = 60.0  # seconds; for so long a token that was revoked may still pass


@dataclass(frozen=True, slots=True)
class TrustedIssuer:
    """An authorization server whose tokens are accepted.

    ``keys`` verify the tokens that are JWTs, and ``introspection`` says what the others stand for;
    without the one or the other such tokens are refused. ``profile`` is how it writes them.
    Raises :class:`ValueError` where it has neither.
    """

    issuer: str
    keys: KeySource | None = None
    profile: TokenProfile = field(default_factory=TokenProfile)
    introspection: Introspection | None = None

    def __post_init__(self) -> None:
        if self.keys is None and self.introspection is None:
            raise ValueError(
                f"{self.issuer} has neither keys nor introspection, so no token of it could pass"
            )


class TokenVerifier:
    """Turns tokens into principals, and remembers for a short while what it found genuine.

    Raises :class:`ValueError` where one issuer stands twice, and where two introspect: an opaque
    token does not say whose it is, and asking one issuer about another's tokens would give them away.
    """

    def __init__(self, *, resource: str, issuers: Iterable[TrustedIssuer], clock: Clock) -> None:
        issuers = tuple(issuers)
        rules = {
            each.issuer: TokenRules(issuer=each.issuer, resource=resource, profile=each.profile)
            for each in issuers
        }
        if len(rules) < len(issuers):
            raise ValueError(f"of {', '.join(each.issuer for each in issuers)} one stands twice")
        introspecting = [each for each in issuers if each.introspection is not None]
        if len(introspecting) > 1:
            names = " and ".join(each.issuer for each in introspecting)
            raise ValueError(f"{names} introspect, and an opaque token does not say which of them to ask")
        self._by_keys = {
            each.issuer: (rules[each.issuer], each.keys) for each in issuers if each.keys is not None
        }
        self._by_asking = [
            (rules[each.issuer], each.introspection) for each in introspecting if each.introspection
        ]
        self._rules = rules
        self._clock = clock
        self._genuine = Remembered[Principal](REMEMBERED_TOKENS)
        self._refused = Remembered[Fault](REMEMBERED_TOKENS)

    async def verify(self, raw: bytes) -> Principal:
        """Return whom a token speaks for.

        Raises :class:`~tunnelgate.reading.fault.Fault` for a bad token and
        :class:`~tunnelgate.errors.Unavailable` when what it is to be judged by cannot be had.
        """
        now = self._clock()
        digest = sha256(raw).digest()
        remembered = self._genuine.get(digest, now)
        if remembered is not None:
            return remembered
        # A token that begins as a JWT is never asked about where keys could have told: one that failed
        # there would get a second chance, and one of another issuer would be given away.
        if self._by_keys and (is_jose(raw) or not self._by_asking):
            principal, now, remember_for = *await self._verify_jwt(raw), REMEMBERED_FOR
        else:
            principal, now, remember_for = await self._ask(raw, digest)
        self._genuine.put(digest, principal, min(now + remember_for, principal.claims["exp"]))
        return principal

    def judge_again(self, principal: Principal) -> Principal:
        """Return whom a token that was found genuine speaks for by the rules that hold here.

        Neither its time nor its signature is looked at again. Raises
        :class:`~tunnelgate.reading.fault.Fault` where it would be refused.
        """
        if principal.issuer not in self._rules:
            raise Fault(Reason.TOKEN_ISSUER_UNKNOWN, principal.issuer[:200])
        return self._rules[principal.issuer].check_again(principal)

    async def _verify_jwt(self, raw: bytes) -> tuple[Principal, float]:
        token = read_jwt(raw)
        if token.issuer not in self._by_keys:
            raise Fault(Reason.TOKEN_ISSUER_UNKNOWN, token.issuer[:200])
        rules, keys = self._by_keys[token.issuer]
        rules.check_header(token)
        rules.check_signature(raw, token, await keys.find(token.key_id))
        now = self._clock()  # keys may have taken their time
        return rules.check_claims(token.claims, now), now

    async def _ask(self, raw: bytes, digest: bytes) -> tuple[Principal, float, float]:
        ((rules, introspection),) = self._by_asking
        refusal = self._refused.get(digest, self._clock())
        if refusal is not None:
            raise refusal.with_traceback(None)
        claims = await introspection.ask(raw)
        now = self._clock()
        try:
            principal = rules.check_introspected(claims, now)
        except Fault as fault:  # the issuer would say the same again
            self._refused.put(digest, fault, now + introspection.max_age)
            raise
        return principal, now, min(introspection.max_age, REMEMBERED_FOR)
