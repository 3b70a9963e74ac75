"""A client with a key of its own: DPoP proofs of every shape, and tokens that are bound to it."""

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256
from typing import Any

import orjson
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

from tests.support.tokens import RESOURCE, Token, base64url

_CURVES = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}
_REQUIRED = ("crv", "e", "kty", "n", "x", "y")  # RFC 7638 section 3.2, in their order


def client_key(algorithm: str = "ES256", owner: str = "agent") -> Key:
    """Return the key with which a client signs by this algorithm."""
    if algorithm in ("Ed25519", "EdDSA"):
        return _key("Ed25519", owner)
    return _key(_CURVES.get(algorithm, "RSA"), owner)


@cache
def _key(kind: str, owner: str) -> Key:
    if kind == "RSA":
        return RSAKey.generate_key(2048)
    return OKPKey.generate_key("Ed25519") if kind == "Ed25519" else ECKey.generate_key(kind)


def public_jwk(key: Key) -> dict[str, Any]:
    """Return what may be known of a key, and nothing besides."""
    return {name: value for name, value in key.as_dict(private=False).items() if name in _REQUIRED}


def thumbprint(key: Key) -> str:
    """Return what ``jkt`` says of a key: RFC 7638, by nobody's code but this."""
    members = public_jwk(key)
    canonical = orjson.dumps({name: members[name] for name in _REQUIRED if name in members})
    return base64url(sha256(canonical).digest()).decode()


def token_hash(token: str) -> str:
    """Return what ``ath`` says of a token."""
    return base64url(sha256(token.encode()).digest()).decode()


def bound_token(now: float | None = None, key: Key | None = None, **claims: Any) -> str:
    """Return a token that is bound to ``key``, which is the client's unless another is given."""
    binding = {"jkt": thumbprint(key or client_key())}
    return Token(claims={"cnf": binding, **claims}).mint(now)


@dataclass(frozen=True)
class Proof:
    """A proof to be; every part can be set, and a member that is ``None`` is left out."""

    algorithm: str = "ES256"
    claims: Mapping[str, Any] = field(default_factory=dict[str, Any])
    header: Mapping[str, Any] = field(default_factory=dict[str, Any])
    owner: str = "agent"

    def mint(self, token: str, now: float | None = None) -> str:
        """Return the proof for a POST with ``token`` to the resource, as it was made at ``now``."""
        key = client_key(self.algorithm, self.owner)
        claims = {
            "jti": secrets.token_urlsafe(12),
            "htm": "POST",
            "htu": RESOURCE,
            "iat": int(time.time() if now is None else now),
            "ath": token_hash(token),
            **self.claims,
        }
        header = {"typ": "dpop+jwt", "alg": self.algorithm, "jwk": public_jwk(key), **self.header}
        return sign_proof(_encoded(header), _encoded(claims), key, self.algorithm)


def sign_proof(header: bytes, claims: bytes, key: Key | None = None, algorithm: str = "ES256") -> str:
    """Return a proof of these very octets, signed with ``key``, by default the client's."""
    content = b".".join((base64url(header), base64url(claims)))
    signature = JWSRegistry.algorithms[algorithm].sign(content, key or client_key(algorithm))
    return b".".join((content, base64url(signature))).decode()


def _encoded(members: Mapping[str, Any]) -> bytes:
    return orjson.dumps({name: value for name, value in members.items() if value is not None})
