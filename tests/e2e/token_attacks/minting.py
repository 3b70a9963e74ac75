"""Tokens that no issuer would make, signed with PyJWT's primitives, which the gate does not use."""

import hashlib
import hmac
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from functools import cache
from typing import Any

import orjson
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as generate_ec_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as generate_rsa_key
from jwt.algorithms import get_default_algorithms

NOW = 1_800_000_000  # seconds since the epoch, at which the clocks of these gates stand
ISSUER = "https://as.example"
RESOURCE = "https://mcp.example.com/mcp"
SCOPE = "mcp:call"
CLAIMS: Mapping[str, Any] = {
    "iss": ISSUER,
    "aud": RESOURCE,
    "sub": "alice",
    "client_id": "agent",
    "iat": NOW,
    "exp": NOW + 300,
    "jti": "1",
    "scope": SCOPE,
}

PrivateKey = RSAPrivateKey | EllipticCurvePrivateKey | Ed25519PrivateKey
Members = Mapping[str, Any]

_ALGORITHMS: Mapping[str, Any] = get_default_algorithms()
_OF_KIND = {"r": "RS256", "e": "ES256", "d": "EdDSA"}


@cache
def private_key(key_id: str) -> PrivateKey:
    """Return the key of this name; its first letter says whether it is RSA, P-256 or Ed25519."""
    match key_id[0]:
        case "r":
            return generate_rsa_key(65537, 2048)
        case "e":
            return generate_ec_key(SECP256R1())
        case _:
            return Ed25519PrivateKey.generate()


def jwk(key_id: str, **members: Any) -> dict[str, Any]:
    """Return the public key of this name as JWK, with these members besides or in place of others."""
    algorithm = _ALGORITHMS[_OF_KIND[key_id[0]]]
    public: dict[str, Any] = algorithm.to_jwk(private_key(key_id).public_key(), as_dict=True)
    public.pop("key_ops", None)
    named = "Ed25519" if key_id[0] == "d" else _OF_KIND[key_id[0]]
    return {**public, "kid": key_id, "use": "sig", "alg": named, **members}


def private_jwk(key_id: str) -> dict[str, Any]:
    """Return the key of this name as JWK, with its private part."""
    whole: dict[str, Any] = _ALGORITHMS[_OF_KIND[key_id[0]]].to_jwk(private_key(key_id), as_dict=True)
    whole.pop("key_ops", None)
    return {**whole, "kid": key_id, "use": "sig"}


def jwk_set(*keys: str | Mapping[str, Any]) -> bytes:
    """Return a JWK set of keys of ours, by name, and of keys as they are given."""
    return orjson.dumps({"keys": [jwk(each) if isinstance(each, str) else each for each in keys]})


def signature(algorithm: str, key: PrivateKey, content: bytes) -> bytes:
    """Return the signature of ``content`` as JWS has it."""
    name = "EdDSA" if algorithm == "Ed25519" else algorithm
    signed: bytes = _ALGORITHMS[name].sign(content, key)
    return signed


def base64url(octets: bytes) -> bytes:
    """Return octets as JWS writes them."""
    return urlsafe_b64encode(octets).rstrip(b"=")


def members_of(base: Members, changes: Members | None) -> bytes:
    """Return JSON of ``base`` with ``changes``; a member that is ``None`` is left out."""
    merged = {**base, **(changes or {})}
    return orjson.dumps({name: value for name, value in merged.items() if value is not None})


def token(
    header: Members | bytes | None = None,
    claims: Members | bytes | None = None,
    *,
    key: str = "e1",
    signer: str | None = None,
    algorithm: str | None = None,
) -> bytes:
    """Return an access token by ``key`` with these changes, or of these very octets.

    ``signer`` is the key that it is signed with, where that is another one than its header says,
    and ``algorithm`` how.
    """
    named = "Ed25519" if key[0] == "d" else _OF_KIND[key[0]]
    base = {"alg": named, "typ": "at+jwt", "kid": key}
    content = content_of(
        header if isinstance(header, bytes) else members_of(base, header),
        claims if isinstance(claims, bytes) else members_of(CLAIMS, claims),
    )
    by = signer or key
    signed = signature(algorithm or _OF_KIND[by[0]], private_key(by), content)
    return b".".join((content, base64url(signed)))


def content_of(header: bytes, claims: bytes) -> bytes:
    """Return what is signed."""
    return b".".join((base64url(header), base64url(claims)))


def hmac_token(secret: bytes, key_id: str, **header: Any) -> bytes:
    """Return a token whose signature is an HMAC with ``secret``."""
    named = {"alg": "HS256", "typ": "at+jwt", "kid": key_id, **header}
    content = content_of(orjson.dumps(named), orjson.dumps(CLAIMS))
    return b".".join((content, base64url(hmac.new(secret, content, hashlib.sha256).digest())))


def segments(of: bytes | None = None) -> tuple[bytes, bytes, bytes]:
    """Return the three parts of a token, by default of a good one."""
    header, claims, signed = (token() if of is None else of).split(b".")
    return header, claims, signed


def joined(*parts: bytes) -> bytes:
    """Return what these parts make of a token."""
    return b".".join(parts)


ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def respelled(segment: bytes) -> bytes:
    """Return another spelling of the same octets: the bits that mean nothing are changed."""
    assert len(segment) % 4, "every bit of the last character counts"
    return segment[:-1] + bytes([ALPHABET[ALPHABET.index(segment[-1]) ^ 1]])
