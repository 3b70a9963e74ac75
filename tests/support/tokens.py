"""An issuer for tests: real keys, tokens of every shape, and an endpoint that publishes keys."""

import asyncio
import gc
import time
from base64 import urlsafe_b64encode
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import orjson
from joserfc import jwt
from joserfc.jwk import ECKey, Key, KeyParameters, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

from tunnelgate import StaticKeys, TokenProfile, TrustedIssuer
from tunnelgate.fetching import Fetched

ISSUER = "https://login.example.com"
RESOURCE = "https://docs.example.com/mcp"

_CURVES = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}


@cache
def key(algorithm: str) -> Key:
    """Return the issuer's key for an algorithm; its ``kid`` is the algorithm's name."""
    parameters: KeyParameters = {"kid": algorithm, "use": "sig", "alg": algorithm}
    if algorithm.startswith(("RS", "PS")):
        return RSAKey.generate_key(2048, parameters)
    if algorithm in ("Ed25519", "EdDSA"):
        return OKPKey.generate_key("Ed25519", parameters)
    return ECKey.generate_key(_CURVES[algorithm], parameters)


def jwks(*algorithms: str) -> bytes:
    """Return the JWK set with the issuer's keys for these algorithms."""
    return orjson.dumps({"keys": [key(each).as_dict(private=False) for each in algorithms]})


def trusted_issuer(
    *algorithms: str, issuer: str = ISSUER, profile: TokenProfile | None = None
) -> TrustedIssuer:
    """Return the issuer as a gate trusts it."""
    keys = StaticKeys(jwks(*(algorithms or ("ES256",))))
    return TrustedIssuer(issuer, keys, profile or TokenProfile())


def introspected(now: float, **claims: Any) -> bytes:
    """Return what an issuer says about an active token made at ``now``; a claim of ``None`` is left out."""
    said = {
        "active": True,
        "iss": ISSUER,
        "aud": RESOURCE,
        "sub": "alice",
        "client_id": "agent",
        "iat": int(now),
        "exp": int(now) + 300,
        "scope": "docs:read",
        **claims,
    }
    return orjson.dumps({name: value for name, value in said.items() if value is not None})


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
    """An endpoint of an issuer: what it answers, what it was asked and how often, and when it hangs.

    Octets are answered as JSON with status 200.
    """

    def __init__(self, answer: bytes | Fetched | Exception) -> None:
        self.answer = answer
        self.asked: list[str] = []
        self.forms: list[Mapping[str, str] | None] = []
        self.headers: list[Mapping[str, str] | None] = []
        self.was_asked = asyncio.Event()
        self.answers = asyncio.Event()
        self.answers.set()

    async def fetch(
        self, url: str, *, form: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None
    ) -> Fetched:
        self.asked.append(url)
        self.forms.append(form)
        self.headers.append(headers)
        self.was_asked.set()
        await self.answers.wait()
        answer = self.answer
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, Fetched) else Fetched(200, "application/json", answer)


@contextmanager
def nothing_unretrieved() -> Generator[None]:
    """Fail when a question to an issuer ends in an exception that nobody looks at."""
    reported: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: reported.append(context))
    try:
        yield
        gc.collect()
    finally:
        loop.set_exception_handler(None)
    assert reported == [], reported
