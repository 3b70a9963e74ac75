"""Reads a DPoP proof: a JWT by which a client shows that it has the key its token is bound to.

Verifies nothing but that the proof could be one.

Specification: RFC 9449 sections 4.2 and 4.3, RFC 7638.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tunnelgate.reading.bearer import read_segments
from tunnelgate.reading.fault import Fault
from tunnelgate.reading.strict_json import is_object
from tunnelgate.verdict import Reason

MAX_PROOF = 8192  # octets
_MAX_ID = 256  # characters of `jti`
_TYPE = "dpop+jwt"
_COMPACT = re.compile(rb"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
# What says where to find another key, or would change what the octets mean.
_FORBIDDEN = ("b64", "crit", "cty", "jku", "x5c", "x5t", "x5t#S256", "x5u", "zip")
_LATEST = 253402300799  # 9999-12-31, the last second that every date library can name


@dataclass(frozen=True, slots=True)
class UnverifiedProof:
    """What a proof claims, before anybody has checked its signature.

    ``issued_at`` is in seconds since the epoch; ``token_hash`` is `ath`, which a proof for a protected
    resource always has.
    """

    algorithm: str
    key: Mapping[str, Any]
    id: str
    method: str
    url: str
    issued_at: float
    token_hash: str
    nonce: str | None


def read_proof(raw: bytes) -> UnverifiedProof:
    """Return what a proof claims; raises ``Fault`` (``proof-malformed``) for what is none."""
    if len(raw) > MAX_PROOF:
        raise _malformed(f"longer than {MAX_PROOF} octets")
    if _COMPACT.fullmatch(raw) is None:
        raise _malformed("not one JWT")
    try:
        header, claims = read_segments(raw)
    except Fault as fault:
        raise _malformed(fault.detail) from None
    key = _key(header)
    nonce = claims.get("nonce")
    if nonce is not None and not isinstance(nonce, str):
        raise _malformed("nonce is not a text")
    proof_id = _text(claims, "jti")
    if len(proof_id) > _MAX_ID:
        raise _malformed(f"jti longer than {_MAX_ID}")
    return UnverifiedProof(
        algorithm=_text(header, "alg"),
        key=key,
        id=proof_id,
        method=_text(claims, "htm"),
        url=_text(claims, "htu"),
        issued_at=_time(claims, "iat"),
        token_hash=_text(claims, "ath"),
        nonce=nonce,
    )


def _key(header: Mapping[str, Any]) -> Mapping[str, Any]:
    if header.get("typ") != _TYPE:
        raise _malformed("typ is not dpop+jwt")
    for name in _FORBIDDEN:
        if name in header:
            raise _malformed(f"header has {name}")
    key = header.get("jwk")
    if not is_object(key):
        raise _malformed("header has no jwk")
    return key


def _time(claims: Mapping[str, Any], name: str) -> float:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _LATEST:
        raise _malformed(f"{name} is not a time")
    return value


def _text(members: Mapping[str, Any], name: str) -> str:
    value = members.get(name)
    if not isinstance(value, str) or not value:
        raise _malformed(f"{name} is not a text")
    return value


def _malformed(detail: str) -> Fault:
    return Fault(Reason.PROOF_MALFORMED, detail)
