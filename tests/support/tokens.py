"""An issuer for tests: real keys, tokens of every shape, and an endpoint that publishes keys."""

import asyncio
import time
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import orjson
from joserfc import jwt
from joserfc.jwk import ECKey, Key, KeyParameters, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

from tunnelgate import StaticKeys, TrustedIssuer

ISSUER = "https://login.example.com"
RESOURCE = "https://docs.example.com/mcp"


@cache
def key(algorithm: str) -> Key:
    """Return the issuer's key for an algorithm; its ``kid`` is the algorithm's name."""
    parameters: KeyParameters = {"kid": algorithm, "use": "sig", "alg": algorithm}
    if algorithm in ("RS256", "PS256"):
        return RSAKey.generate_key(2048, parameters)
    if algorithm == "Ed25519":
        return OKPKey.generate_key("Ed25519", parameters)
    return ECKey.generate_key("P-256", parameters)


def jwks(*algorithms: str) -> bytes:
    """Return the JWK set with the issuer's keys for these algorithms."""
    return orjson.dumps({"keys": [key(each).as_dict(private=False) for each in algorithms]})


def trusted_issuer(*algorithms: str, issuer: str = ISSUER) -> TrustedIssuer:
    """Return the issuer as a gate trusts it."""
    return TrustedIssuer(issuer, StaticKeys(jwks(*(algorithms or ("ES256",)))))


@dataclass(frozen=True)
class Token:
    """A token to be; every part can be set, and a claim that is ``None`` is left out."""

    algorithm: str = "ES256"
    claims: Mapping[str, Any] = field(default_factory=dict[str, Any])
    header: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def mint(self, now: float | None = None) -> str:
        """Return the token as it was made at ``now``."""
        issued = int(time.time() if now is None else now)
        claims = {
            "iss": ISSUER,
            "aud": RESOURCE,
            "sub": "alice",
            "client_id": "agent",
            "iat": issued,
            "exp": issued + 300,
            "jti": "1",
            "scope": "docs:read",
            **self.claims,
        }
        header = {"alg": self.algorithm, "kid": self.algorithm, "typ": "at+jwt", **self.header}
        return jwt.encode(
            {name: value for name, value in header.items() if value is not None},
            {name: value for name, value in claims.items() if value is not None},
            key(self.algorithm),
            algorithms=[self.algorithm],
            default_type=None,
        )


def sign(header: bytes, claims: bytes, algorithm: str = "ES256") -> bytes:
    """Return a token of these very octets, signed with the issuer's key for ``algorithm``."""
    content = b".".join((base64url(header), base64url(claims)))
    signature = JWSRegistry.algorithms[algorithm].sign(content, key(algorithm))
    return b".".join((content, base64url(signature)))


def base64url(octets: bytes) -> bytes:
    """Return octets as JWS writes them."""
    return urlsafe_b64encode(octets).rstrip(b"=")


class Clock:
    """Stands still until a test moves it."""

    def __init__(self, now: float = 1_800_000_000) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class KeyEndpoint:
    """Where an issuer publishes its keys: what it answers, how often it was asked, and when it hangs."""

    def __init__(self, answer: bytes | Exception) -> None:
        self.answer = answer
        self.asked: list[str] = []
        self.was_asked = asyncio.Event()
        self.answers = asyncio.Event()
        self.answers.set()

    async def fetch(self, url: str) -> bytes:
        self.asked.append(url)
        self.was_asked.set()
        await self.answers.wait()
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer
