"""Access tokens: whether one is genuine, in time, and made for exactly this resource.

The rules of the claims are Authlib's RFC 9068; the signature is joserfc's. Which algorithm a key
may be used with, that `typ` must be there, and what is read strictly beforehand, is decided here,
because the libraries leave it open.

Specification: RFC 9068 sections 2 and 4, RFC 8725, RFC 8707 section 2, RFC 6750 section 3.1.
"""

from collections.abc import Mapping
from typing import Any, cast

from authlib.oauth2.rfc9068.claims import JWTAccessTokenClaims
from joserfc import jws
from joserfc.errors import BadSignatureError, ClaimError, ExpiredTokenError, JoseError, MissingClaimError

from tunnelgate.exchange import Principal
from tunnelgate.keys import VerificationKey
from tunnelgate.reading.bearer import MAX_TOKEN, UnverifiedToken
from tunnelgate.reading.fault import Fault
from tunnelgate.reading.strict_json import is_array
from tunnelgate.verdict import Reason

LEEWAY = 30  # seconds that two clocks may differ by
MAX_LIFETIME = 24 * 60 * 60  # seconds from `iat` to `exp`

_TYPES = frozenset({"at+jwt", "application/at+jwt"})
_REQUIRED_TEXTS = ("sub", "client_id", "jti")
_TIMES = ("exp", "iat", "nbf")
_LATEST = 253402300799  # 9999-12-31, the last second that every date library can name
_WRONG_CLAIM: Mapping[str, Reason] = {
    "aud": Reason.TOKEN_AUDIENCE_WRONG,
    "iat": Reason.TOKEN_NOT_YET_VALID,
    "iss": Reason.TOKEN_ISSUER_UNKNOWN,
    "nbf": Reason.TOKEN_NOT_YET_VALID,
}


class TokenRules:
    """What a token must be like to be accepted for one resource.

    ``issuer`` and ``resource`` are compared octet by octet; ``algorithms`` are JWS names.
    """

    def __init__(self, *, issuer: str, resource: str, algorithms: frozenset[str]) -> None:
        self.issuer = issuer
        self.resource = resource
        self.algorithms = algorithms
        self._options = {
            "iss": {"essential": True, "value": issuer},
            "aud": {"essential": True, "value": resource},
            "exp": {"essential": True},
            "iat": {"essential": True},
        }
        self._registry = jws.JWSRegistry(algorithms=sorted(algorithms))
        self._registry.max_header_length = MAX_TOKEN
        self._registry.max_payload_length = MAX_TOKEN

    def check_header(self, token: UnverifiedToken) -> None:
        """Check what can be checked without a key; raises ``Fault``."""
        if token.type.lower() not in _TYPES:
            raise Fault(Reason.TOKEN_TYPE_WRONG, "typ is not at+jwt")
        if token.algorithm not in self.algorithms:
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

    def check_claims(self, token: UnverifiedToken, now: float) -> Principal:
        """Return whom a token with a good signature speaks for at ``now``, in seconds since the epoch.

        Raises :class:`~tunnelgate.reading.fault.Fault` when it is not for us, or not for now.
        """
        claims = token.claims
        _check_types(claims)
        try:
            JWTAccessTokenClaims(dict(claims), dict(token.header), self._options).validate(
                now=cast("int", now),  # compared only, and a fraction is compared as well
                leeway=LEEWAY,
            )
        except ExpiredTokenError:
            raise Fault(Reason.TOKEN_EXPIRED, "") from None
        except MissingClaimError as error:
            raise Fault(Reason.TOKEN_CLAIM_INVALID, error.claim) from None
        except ClaimError as error:
            raise Fault(_WRONG_CLAIM.get(error.claim, Reason.TOKEN_CLAIM_INVALID), error.claim) from None
        if claims["exp"] - claims["iat"] > MAX_LIFETIME:
            raise Fault(Reason.TOKEN_LIFETIME_TOO_LONG, f"more than {MAX_LIFETIME} seconds")
        return Principal(
            issuer=self.issuer,
            subject=claims["sub"],
            client_id=claims["client_id"],
            scopes=frozenset(_scopes(claims)),
            claims=claims,
        )


def _check_types(claims: Mapping[str, Any]) -> None:
    for name in _REQUIRED_TEXTS:
        if not isinstance(claims.get(name), str) or not claims[name]:
            raise Fault(Reason.TOKEN_CLAIM_INVALID, name)
    for name in _TIMES:
        value = claims.get(name, 0)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _LATEST:
            raise Fault(Reason.TOKEN_CLAIM_INVALID, name)
    audience = claims.get("aud")
    audiences = audience if is_array(audience) else [audience]
    if not audiences or not all(isinstance(each, str) for each in audiences):
        raise Fault(Reason.TOKEN_AUDIENCE_WRONG, "aud is neither a text nor a list of texts")


def _scopes(claims: Mapping[str, Any]) -> list[str]:
    scope = claims.get("scope")
    return [each for each in scope.split(" ") if each] if isinstance(scope, str) else []
