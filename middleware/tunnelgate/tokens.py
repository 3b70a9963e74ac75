"""Access tokens: whether one is genuine, in time, and made for exactly this resource.

The rules of the claims are Authlib's RFC 9068; the signature is joserfc's. Which algorithm a key
may be used with, that `typ` must be there, and what is read strictly beforehand, is decided here,
because the libraries leave it open. What an issuer says of an opaque token is judged by the same
rules as what a token says of itself.

Specification: RFC 9068 sections 2 and 4, RFC 8725, RFC 8707 section 2, RFC 7662 section 2.2,
RFC 6750 section 3.1.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from authlib.oauth2.rfc9068.claims import JWTAccessTokenClaims
from joserfc import jws
from joserfc.errors import BadSignatureError, ClaimError, ExpiredTokenError, JoseError, MissingClaimError

from tunnelgate.exchange import Principal
from tunnelgate.jwks import DEFAULT_ALGORITHMS, SignatureRegistry, VerificationKey
from tunnelgate.reading.bearer import MAX_TOKEN, UnverifiedToken
from tunnelgate.reading.fault import Fault
from tunnelgate.reading.strict_json import is_array
from tunnelgate.verdict import Reason

LEEWAY = 30  # seconds that two clocks may differ by
MAX_LIFETIME = 24 * 60 * 60  # seconds from `iat` to `exp`

ACCESS_TOKEN_TYPE = "at+jwt"  # noqa: S105 - a name: RFC 9068 section 2.1

_TIMES = ("exp", "iat", "nbf")
_LATEST = 253402300799  # 9999-12-31, the last second that every date library can name
_TOKEN_TYPES = frozenset({"bearer", "dpop"})
_WRONG_CLAIM: Mapping[str, Reason] = {
    "aud": Reason.TOKEN_AUDIENCE_WRONG,
    "iat": Reason.TOKEN_NOT_YET_VALID,
    "iss": Reason.TOKEN_ISSUER_UNKNOWN,
    "nbf": Reason.TOKEN_NOT_YET_VALID,
}


@dataclass(frozen=True, slots=True)
class TokenProfile:
    """How an issuer writes its tokens; by default as RFC 9068 has it.

    ``algorithms`` are JWS names. ``types`` are the accepted values of `typ`, which are media types
    without their ``application/``, compared in lower case.
    ``scope_claims`` hold scopes, each as a text or as a list; without any it is `scope`, as a text.
    ``client_id_claim`` and ``token_id_claim`` name what RFC 9068 calls `client_id` and `jti`.
    ``max_lifetime`` is in seconds.
    """

    algorithms: frozenset[str] = DEFAULT_ALGORITHMS
    types: frozenset[str] = frozenset({ACCESS_TOKEN_TYPE})
    scope_claims: tuple[str, ...] = ()
    client_id_claim: str = "client_id"
    token_id_claim: str = "jti"  # noqa: S105 - a name
    max_lifetime: float = MAX_LIFETIME


class TokenRules:
    """What a token of one issuer must be like to be accepted for one resource.

    ``issuer`` and ``resource`` are compared octet by octet.
    """

    def __init__(self, *, issuer: str, resource: str, profile: TokenProfile) -> None:
        self.issuer = issuer
        self.resource = resource
        self.profile = profile
        self._types = frozenset(each.lower().removeprefix("application/") for each in profile.types)
        self._options = {
            "iss": {"essential": True, "value": issuer},
            "aud": {"essential": True, "value": resource},
            "exp": {"essential": True},
            "iat": {"essential": True},
        }
        self._told_options = {**self._options, "iss": {"value": issuer}, "iat": {}}
        self._registry = SignatureRegistry(profile.algorithms, MAX_TOKEN)

    def check_header(self, token: UnverifiedToken) -> None:
        """Check what can be checked without a key; raises ``Fault``."""
        if token.type.lower().removeprefix("application/") not in self._types:
            raise Fault(Reason.TOKEN_TYPE_WRONG, "typ is not one of an access token")
        if token.algorithm not in self.profile.algorithms:
            raise Fault(Reason.TOKEN_ALGORITHM_NOT_ALLOWED, token.algorithm[:20])

    def check_signature(self, raw: bytes, token: UnverifiedToken, key: VerificationKey | None) -> None:
        """Check that ``key`` signed the token; raises ``Fault``."""
        if key is None:
            raise Fault(Reason.TOKEN_KEY_UNKNOWN, "the issuer has no such key")
        if token.algorithm not in key.algorithms:
            raise Fault(Reason.TOKEN_ALGORITHM_NOT_ALLOWED, "the key is for another algorithm")
        try:
            jws.deserialize_compact(raw, key.key, registry=self._registry)
        except BadSignatureError:
            raise Fault(Reason.TOKEN_SIGNATURE_WRONG, "") from None
        except (JoseError, ValueError, TypeError) as error:
            raise Fault(Reason.TOKEN_MALFORMED, type(error).__name__) from None

    def check_claims(self, claims: Mapping[str, Any], now: float) -> Principal:
        """Return whom a token with a good signature speaks for at ``now``, in seconds since the epoch.

        Raises :class:`~tunnelgate.reading.fault.Fault` when it is not for us, or not for now.
        """
        for name in ("sub", self.profile.client_id_claim, self.profile.token_id_claim):
            _check_text(claims, name)
        self._check(claims, now, self._options)
        return self._principal(claims, claims["sub"], claims[self.profile.client_id_claim])

    def check_introspected(self, claims: Mapping[str, Any], now: float) -> Principal:
        """Return whom an active token speaks for, by what its issuer told about it.

        The issuer need not say who it is and when it made the token; what it does say must be right.
        Raises :class:`~tunnelgate.reading.fault.Fault` as :meth:`check_claims` does.
        """
        if str(claims.get("token_type", "bearer")).lower() not in _TOKEN_TYPES:
            raise Fault(Reason.TOKEN_TYPE_WRONG, "token_type is not one of an access token")
        client_id_claim = self.profile.client_id_claim
        _check_text(claims, client_id_claim)
        # A token that nobody but a client asked for may be without a subject: RFC 7662 section 2.2.
        subject = claims.get("sub", claims[client_id_claim])
        _check_text({"sub": subject}, "sub")
        self._check(claims, now, self._told_options)
        return self._principal(claims, subject, claims[client_id_claim])

    def check_again(self, principal: Principal) -> Principal:
        """Return whom a token that was found genuine speaks for by these rules, whatever the time is.

        Raises :class:`~tunnelgate.reading.fault.Fault` when it is not for us.
        """
        audience = principal.claims["aud"]
        if self.resource not in (audience if is_array(audience) else [audience]):
            raise Fault(Reason.TOKEN_AUDIENCE_WRONG, "aud")
        return self._principal(principal.claims, principal.subject, principal.client_id)

    def _check(self, claims: Mapping[str, Any], now: float, options: Mapping[str, Any]) -> None:
        _check_types(claims)
        try:
            JWTAccessTokenClaims(dict(claims), {}, options).validate(
                now=cast("int", now),  # compared only, and a fraction is compared as well
                leeway=LEEWAY,
            )
        except ExpiredTokenError:
            raise Fault(Reason.TOKEN_EXPIRED, "") from None
        except MissingClaimError as error:
            raise Fault(Reason.TOKEN_CLAIM_INVALID, error.claim) from None
        except ClaimError as error:
            raise Fault(_WRONG_CLAIM.get(error.claim, Reason.TOKEN_CLAIM_INVALID), error.claim) from None
        if "iat" in claims and claims["exp"] - claims["iat"] > self.profile.max_lifetime:
            raise Fault(Reason.TOKEN_LIFETIME_TOO_LONG, f"more than {self.profile.max_lifetime:g} seconds")

    def _principal(self, claims: Mapping[str, Any], subject: str, client_id: str) -> Principal:
        return Principal(
            issuer=self.issuer,
            subject=subject,
            client_id=client_id,
            scopes=frozenset(self._scopes(claims)),
            claims=claims,
        )

    def _scopes(self, claims: Mapping[str, Any]) -> Iterable[str]:
        if not self.profile.scope_claims:
            scope = claims.get("scope")
            return _words(scope) if isinstance(scope, str) else ()
        return [scope for name in self.profile.scope_claims for scope in _scopes_in(claims.get(name))]


def _scopes_in(value: Any) -> Iterable[str]:
    if isinstance(value, str):
        return _words(value)
    # A list has one scope an entry; a blank in one is part of its name, and no scope has one.
    return [each for each in value if isinstance(each, str)] if is_array(value) else ()


def _words(text: str) -> Iterable[str]:
    return [each for each in text.split(" ") if each]


def _check_text(claims: Mapping[str, Any], name: str) -> None:
    value = claims.get(name)
    if not isinstance(value, str) or not value:
        raise Fault(Reason.TOKEN_CLAIM_INVALID, name)


def _check_types(claims: Mapping[str, Any]) -> None:
    for name in _TIMES:
        value = claims.get(name, 0)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _LATEST:
            raise Fault(Reason.TOKEN_CLAIM_INVALID, name)
    audience = claims.get("aud")
    audiences = audience if is_array(audience) else [audience]
    if not audiences or not all(isinstance(each, str) for each in audiences):
        raise Fault(Reason.TOKEN_AUDIENCE_WRONG, "aud is neither a text nor a list of texts")
