"""Public keys as JWK: which of them are good enough, and what each may be used with.

A key may sign with no algorithm but those of its kind, and with only the one that it names, if it
names one. What a header claims never decides how a key is used.

Specification: RFC 7517, RFC 7518 sections 3.3 and 3.4, RFC 8037, RFC 8725 section 3.1.
"""

import logging
from base64 import urlsafe_b64decode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from joserfc.errors import JoseError, UnsupportedAlgorithmError
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

from tunnelgate.reading.fault import Fault
from tunnelgate.reading.strict_json import is_array, is_object, read_json

logger = logging.getLogger("tunnelgate")

_MIN_RSA_BITS = 2048
_MAX_RSA_BITS = 8192  # a larger one costs whoever checks a signature more than it protects
_MIN_RSA_EXPONENT = 65537
_MAX_RSA_EXPONENT = 2**32 - 1
_MAX_KEYS = 256  # of one set; issuers have a handful
_MOST_SHOWN = 80  # characters of what a key says, where a sentence repeats it
_KINDS: Mapping[str, type[RSAKey | ECKey | OKPKey]] = {"RSA": RSAKey, "EC": ECKey, "OKP": OKPKey}
_PUBLIC_MEMBERS = ("kty", "crv", "x", "y", "n", "e")
_PRIVATE_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
_ALGORITHMS: Mapping[tuple[str, str | None], frozenset[str]] = {
    ("RSA", None): frozenset({"RS256", "PS256", "RS384", "PS384", "RS512", "PS512"}),
    ("EC", "P-256"): frozenset({"ES256"}),
    ("EC", "P-384"): frozenset({"ES384"}),
    ("EC", "P-521"): frozenset({"ES512"}),
    ("OKP", "Ed25519"): frozenset({"Ed25519", "EdDSA"}),
}
ALGORITHMS = frozenset[str]().union(*_ALGORITHMS.values())
DEFAULT_ALGORITHMS = frozenset({"ES256", "Ed25519", "PS256", "RS256"})


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """A public key and the algorithms that a signature by it may name."""

    key: Key
    algorithms: frozenset[str]


KeySet = Mapping[str, VerificationKey]


class SignatureRegistry(JWSRegistry):
    """The algorithms that a signature may name, and the most octets of a header and of a payload.

    Which they are was decided by whoever listed them; joserfc would warn at each use of `EdDSA`,
    the name that RFC 9864 gave up and that issuers still write.
    """

    def __init__(self, algorithms: Iterable[str], max_length: int) -> None:
        # RFC 7515 section 4: a parameter that nobody knows is ignored; `crit` and keys are refused before.
        super().__init__(algorithms=sorted(algorithms), strict_check_header=False)
        self.max_header_length = max_length
        self.max_payload_length = max_length
        self.max_signature_length = max_length  # the largest key makes more than joserfc would take

    def get_alg(self, name: str) -> Any:  # the class of what it returns is not public
        """Return an algorithm that was listed; raises :class:`~joserfc.errors.JoseError` for others."""
        if not self.allowed or name not in self.allowed:
            raise UnsupportedAlgorithmError(f"Algorithm of {name!r} is not allowed")
        return self.algorithms[name]


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
    if len(entries) > _MAX_KEYS:
        raise ValueError(f"has more than {_MAX_KEYS} keys")
    keys: dict[str, VerificationKey] = {}
    for entry in entries:
        try:
            key_id, key = _read_entry(entry)
        except ValueError as error:
            logger.warning("a key of the JWK set is not used: %s", error)
            continue
        if key_id in keys:
            raise ValueError(f"has two keys with the kid {_shown(key_id)}")
        keys[key_id] = key
    if not keys:
        raise ValueError("has no key that tokens may be signed with")
    return keys


def read_public_key(members: Mapping[str, Any]) -> VerificationKey:
    """Return the key that a JWK holds, without its private part.

    Raises :class:`ValueError` with a sentence for a key that nothing may be verified with.
    """
    kind, curve = members.get("kty"), members.get("crv")
    algorithms = _ALGORITHMS.get((str(kind), None if kind == "RSA" else str(curve)))
    if algorithms is None:
        raise ValueError(f"is of kind {_shown(kind)}" + (f" {_shown(curve)}" if curve else ""))
    if "alg" in members:
        algorithms &= {str(members["alg"])}
    if not algorithms:
        raise ValueError(f"is for the algorithm {_shown(members['alg'])}")
    public: dict[str, Any] = {name: members[name] for name in _PUBLIC_MEMBERS if name in members}
    if kind == "RSA":
        _check_rsa(members)
    try:
        return VerificationKey(_KINDS[str(kind)].import_key(public), algorithms)
    except (TypeError, ValueError, JoseError) as error:
        raise ValueError(f"cannot be read: {str(error) or 'it is not base64url'}") from None


def has_private_part(members: Mapping[str, Any]) -> bool:
    """Return whether a JWK holds what only its owner should have."""
    return not _PRIVATE_MEMBERS.isdisjoint(members)


def _read_entry(entry: Any) -> tuple[str, VerificationKey]:
    if not is_object(entry):
        raise ValueError("it is not an object")
    key_id = entry.get("kid")
    if not isinstance(key_id, str) or not key_id:
        raise ValueError("it has no kid")
    if entry.get("use", "sig") != "sig" or entry.get("key_ops", ["verify"]) != ["verify"]:
        raise ValueError(f"{_shown(key_id)} is not for signatures alone")
    try:
        key = read_public_key(entry)
    except ValueError as error:
        raise ValueError(f"{_shown(key_id)} {error}") from None
    if has_private_part(entry):
        logger.critical("the JWK set publishes the private part of the key %s", _shown(key_id))
    return key_id, key


def _check_rsa(members: Mapping[str, Any]) -> None:
    modulus, exponent = _unsigned(members, "n"), _unsigned(members, "e")
    if modulus.bit_length() < _MIN_RSA_BITS or exponent < _MIN_RSA_EXPONENT:
        raise ValueError("is a weak RSA key")
    if modulus.bit_length() > _MAX_RSA_BITS or exponent > _MAX_RSA_EXPONENT:
        raise ValueError("is an RSA key so large that it would keep everybody waiting")


def _unsigned(members: Mapping[str, Any], name: str) -> int:
    text = members.get(name)
    if not isinstance(text, str):
        raise ValueError(
            f"lacks {name!r}, which is required" if text is None else f"has {name!r} that is no text"
        )
    try:
        return int.from_bytes(urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except ValueError:
        raise ValueError(f"cannot be read: {name!r} is not base64url") from None


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}…"
