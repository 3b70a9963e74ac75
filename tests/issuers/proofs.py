"""DPoP proofs as RFC 9449 section 4.2 has them, each part of which a test may change."""

import secrets
import time
from base64 import urlsafe_b64encode
from hashlib import sha256
from typing import Any

import jwt as pyjwt
from joserfc import jwt
from joserfc.jwk import ECKey, Key, OKPKey


def proof_key(algorithm: str = "ES256") -> Key:
    """Return a new key for proofs."""
    return ECKey.generate_key("P-256") if algorithm == "ES256" else OKPKey.generate_key("Ed25519")


def proof(
    key: Key,
    url: str,
    *,
    token: str | None = None,
    nonce: str | None = None,
    algorithm: str = "ES256",
    **changes: Any,
) -> str:
    """Return a proof by ``key`` for a POST to ``url``, with ``token`` if there is one yet."""
    digest = None if token is None else urlsafe_b64encode(sha256(token.encode()).digest()).rstrip(b"=")
    claims = {
        "htm": "POST",
        "htu": url,
        "iat": int(time.time()),
        "jti": secrets.token_urlsafe(12),
        "ath": None if digest is None else digest.decode(),
        "nonce": nonce,
        **changes,
    }
    claims = {name: value for name, value in claims.items() if value is not None}
    header = {"alg": algorithm, "typ": "dpop+jwt", "jwk": key.as_dict(private=False)}
    if algorithm == "EdDSA":  # which joserfc would rather not sign with
        private = pyjwt.PyJWK.from_dict(key.as_dict(private=True), "EdDSA")
        return pyjwt.encode(claims, private, "EdDSA", header)
    return jwt.encode(header, claims, key, [algorithm])
