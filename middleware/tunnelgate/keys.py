"""The keys that an issuer signs with: where they come from, and which of them are good enough.

Specification: RFC 7517, RFC 7518 section 3.3 for the size of RSA keys, RFC 8414 section 2.
"""

import asyncio
import logging
import math
import time
from base64 import urlsafe_b64decode
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey

from tunnelgate.errors import KeysUnavailable
from tunnelgate.reading.fault import Fault
from tunnelgate.reading.strict_json import is_array, is_object, read_json

logger = logging.getLogger("tunnelgate")

Fetch = Callable[[str], Awaitable[bytes]]

_MIN_RSA_BITS = 2048
_MIN_RSA_EXPONENT = 65537
_KINDS: Mapping[str, type[RSAKey | ECKey | OKPKey]] = {"RSA": RSAKey, "EC": ECKey, "OKP": OKPKey}
_PUBLIC_MEMBERS = ("kty", "crv", "x", "y", "n", "e")
_ALGORITHMS: Mapping[tuple[str, str | None], frozenset[str]] = {
    ("RSA", None): frozenset({"RS256", "PS256"}),
    ("EC", "P-256"): frozenset({"ES256"}),
    ("OKP", "Ed25519"): frozenset({"Ed25519"}),
}
ALGORITHMS = frozenset[str]().union(*_ALGORITHMS.values())


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """A public key and the algorithms that a signature by it may name."""

    key: Key
    algorithms: frozenset[str]


KeySet = Mapping[str, VerificationKey]


class KeySource(Protocol):
    """Has the keys of one issuer."""

    async def find(self, key_id: str) -> VerificationKey | None:
        """Return the key with this ``kid``, or ``None`` when the issuer has no such key.

        Raises :class:`~tunnelgate.errors.KeysUnavailable` when nobody can tell.
        """
        ...


def read_keys(document: bytes) -> KeySet:
    """Return the usable keys of a JWK set by ``kid``.

    A key is left out, with a warning, when it is symmetric, too weak, without ``kid``, not for
    signatures, or of a kind that no algorithm of ours belongs to.
    Raises :class:`ValueError` with a sentence when the document is no JWK set or has no usable key.
    """
    try:
        value, _ = read_json(document)
    except Fault as fault:
        raise ValueError(f"is not a JWK set: {fault.detail}") from None
    entries = value.get("keys") if is_object(value) else None
    if not is_array(entries):
        raise ValueError('is not a JWK set: it has no list "keys"')
    keys: dict[str, VerificationKey] = {}
    for entry in entries:
        try:
            key_id, key = _read_key(entry)
        except (ValueError, TypeError, JoseError) as error:
            logger.warning("a key of the JWK set is not used: %s", error)
            continue
        if key_id in keys:
            raise ValueError(f"has two keys with the kid {key_id!r}")
        keys[key_id] = key
    if not keys:
        raise ValueError("has no key that tokens may be signed with")
    return keys


def _read_key(entry: Any) -> tuple[str, VerificationKey]:
    if not is_object(entry):
        raise ValueError("it is not an object")
    members = entry
    key_id, kind, curve = members.get("kid"), members.get("kty"), members.get("crv")
    if not isinstance(key_id, str) or not key_id:
        raise ValueError("it has no kid")
    algorithms = _ALGORITHMS.get((str(kind), None if kind == "RSA" else str(curve)))
    if algorithms is None:
        raise ValueError(f"{key_id!r} is of kind {kind!r} {curve or ''}")
    if members.get("use", "sig") != "sig" or members.get("key_ops", ["verify"]) != ["verify"]:
        raise ValueError(f"{key_id!r} is not for signatures alone")
    if "alg" in members:
        algorithms &= {str(members["alg"])}
    if not algorithms:
        raise ValueError(f"{key_id!r} is for the algorithm {members['alg']!r}")
    if "d" in members:
        logger.critical("the JWK set publishes the private part of the key %r", key_id)
    public: dict[str, Any] = {name: members[name] for name in _PUBLIC_MEMBERS if name in members}
    if kind == "RSA":
        modulus, exponent = _unsigned(members, "n"), _unsigned(members, "e")
        if modulus.bit_length() < _MIN_RSA_BITS or exponent < _MIN_RSA_EXPONENT:
            raise ValueError(f"{key_id!r} is a weak RSA key")
    key = _KINDS[str(kind)].import_key(public)
    return key_id, VerificationKey(key, algorithms)


def _unsigned(members: Mapping[str, Any], name: str) -> int:
    text = members.get(name)
    if not isinstance(text, str):
        raise ValueError(f"{name!r} is required" if text is None else f"{name!r} must be a str")
    return int.from_bytes(urlsafe_b64decode(text + "=" * (-len(text) % 4)))


class StaticKeys:
    """Keys that do not change while the process runs, such as those of a file.

    Raises :class:`ValueError` as :func:`read_keys` does.
    """

    def __init__(self, document: bytes) -> None:
        self._keys = read_keys(document)

    @classmethod
    def from_file(cls, path: Path) -> "StaticKeys":
        """Return the keys of the JWK set in a file; raises :class:`OSError` besides."""
        return cls(path.read_bytes())

    async def find(self, key_id: str) -> VerificationKey | None:
        """Return the key with this ``kid``, if there is one."""
        return self._keys.get(key_id)


class RemoteKeys:
    """Keys that an issuer publishes at a URL.

    They are fetched when first needed, again after ``max_age`` seconds, and for a ``kid`` that is
    not among them, but not within ``cooldown`` seconds of the last attempt's end; requests that
    need the same fetch share it, and those that do not need it do not wait.
    While the endpoint is down, keys are used for ``max_stale`` seconds after they were fetched.

    ``fetch`` returns the body at a URL and raises :class:`OSError` when it cannot.
    ``clock`` returns seconds that only ever grow.
    Raises :class:`ValueError` where ``max_stale`` is less than ``max_age``.
    """

    def __init__(
        self,
        url: str,
        fetch: Fetch,
        *,
        max_age: float = 600,
        cooldown: float = 30,
        max_stale: float = 3600,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if max_stale < max_age:
            raise ValueError("max_stale is less than max_age: keys would expire before they are fetched")
        self.url = url
        self._fetch = fetch
        self._max_age = max_age
        self._cooldown = cooldown
        self._max_stale = max_stale
        self._clock = clock
        self._keys: KeySet = {}
        self._fetched_at = -math.inf
        self._tried_at = -math.inf
        self._refreshing: asyncio.Task[None] | None = None

    async def find(self, key_id: str) -> VerificationKey | None:
        """Return the key with this ``kid``, fetching the set when it is old or lacks the key."""
        is_usable = key_id in self._keys and self._age() <= self._max_stale
        is_wanting = key_id not in self._keys or self._age() > self._max_age
        if is_wanting and self._refreshing is None and self._clock() - self._tried_at > self._cooldown:
            # A task of its own: a request that goes away takes the keys from nobody else.
            self._refreshing = asyncio.create_task(self._refresh())
            is_usable = False
        if not is_usable and self._refreshing is not None:
            await asyncio.shield(self._refreshing)
        key = self._keys.get(key_id)
        is_latest = self._fetched_at >= self._tried_at
        if self._age() > self._max_stale or (key is None and not is_latest):
            raise KeysUnavailable(f"no keys from {self.url}")
        return key

    def _age(self) -> float:
        return self._clock() - self._fetched_at

    async def _refresh(self) -> None:
        keys: KeySet | None = None
        try:
            keys = read_keys(await self._fetch(self.url))
        except (OSError, ValueError) as error:
            logger.error("keys from %s: %s", self.url, str(error) or type(error).__name__)
        finally:
            self._tried_at = self._clock()
            self._refreshing = None
        if keys is not None:
            self._keys = keys
            self._fetched_at = self._tried_at
