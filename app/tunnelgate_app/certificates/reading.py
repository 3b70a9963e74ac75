"""Reads certificates and keys in PEM into what the rules ask about.

Specification: RFC 5280 section 4, RFC 7468.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias, TypeVar

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID

PrivateKey: TypeAlias = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
PublicKey: TypeAlias = ec.EllipticCurvePublicKey | rsa.RSAPublicKey

_CURVES = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}
_NOT_READABLE = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)

_UNDERSTOOD = frozenset(
    {
        ExtensionOID.AUTHORITY_KEY_IDENTIFIER,
        ExtensionOID.BASIC_CONSTRAINTS,
        ExtensionOID.EXTENDED_KEY_USAGE,
        ExtensionOID.KEY_USAGE,
        ExtensionOID.NAME_CONSTRAINTS,
        ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
        ExtensionOID.SUBJECT_KEY_IDENTIFIER,
    }
)  # what TLS libraries agree on; anything else that is critical is refused by at least one

_E = TypeVar("_E", bound=x509.ExtensionType)
_T = TypeVar("_T")


class UnreadableError(Exception):
    """What was given is no certificate or no key; the text is the end of a sentence that says why."""


@dataclass(frozen=True, slots=True)
class CertificateFacts:
    """What a certificate says.

    ``fingerprint`` is the SHA-256 of its DER in lower-case hexadecimal; ``names`` are the DNS names
    it is for. ``key`` is None where it is neither RSA nor ECDSA over a curve of NIST, and
    ``signature_hash`` where the signature has none. Of an extension that is not there, the facts are
    None or False.
    """

    certificate: x509.Certificate
    subject: str
    issuer: str
    fingerprint: str
    valid_from: datetime
    valid_until: datetime
    names: tuple[str, ...]
    key: PublicKey | None
    signature_hash: str | None
    is_authority: bool
    is_authority_critical: bool
    key_usage: x509.KeyUsage | None
    key_identifier: bytes | None
    authority_key_identifier: bytes | None
    is_for_servers: bool | None
    unknown_critical: tuple[str, ...]
    constraints: x509.NameConstraints | None

    @property
    def key_kind(self) -> str:
        """The kind and the size of the key, such as ``ECDSA P-256`` or ``RSA 2048``."""
        if self.key is None:
            return "of another kind"
        if isinstance(self.key, rsa.RSAPublicKey):
            return f"RSA {self.key.key_size}"
        return f"ECDSA {_CURVES[self.key.curve.name]}"


def read_certificates(pem: bytes) -> tuple[CertificateFacts, ...]:
    """Return the certificates in ``pem``, at least one, in their order; raises :class:`UnreadableError`."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what is wrong is for the rules to say
            return tuple(_read(each) for each in x509.load_pem_x509_certificates(pem))
    except _NOT_READABLE:
        raise UnreadableError("has no certificate in PEM, or one that cannot be read") from None


def read_key(pem: bytes) -> PrivateKey:
    """Return the private key in ``pem``, which has no password; raises :class:`UnreadableError`."""
    try:
        key = load_pem_private_key(pem, password=None)
    except TypeError:
        raise UnreadableError("has a password; a gate that starts by itself needs a key without") from None
    except (ValueError, UnsupportedAlgorithm):
        raise UnreadableError("has no private key in PEM, or one that cannot be read") from None
    if not isinstance(key, PrivateKey):
        raise UnreadableError("has a key that is neither RSA nor ECDSA")
    return key


def is_key_of(key: PrivateKey, facts: CertificateFacts) -> bool:
    """Return whether ``key`` is the private key of the certificate."""
    return facts.key is not None and _octets(key.public_key()) == _octets(facts.key)


def _octets(key: PublicKey) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _read(certificate: x509.Certificate) -> CertificateFacts:
    extensions = certificate.extensions
    constraints = _extension(extensions, x509.BasicConstraints)
    usage = _extension(extensions, x509.KeyUsage)
    names = _extension(extensions, x509.SubjectAlternativeName)
    identifier = _extension(extensions, x509.SubjectKeyIdentifier)
    above = _extension(extensions, x509.AuthorityKeyIdentifier)
    limits = _extension(extensions, x509.NameConstraints)
    purposes = _extension(extensions, x509.ExtendedKeyUsage)
    return CertificateFacts(
        certificate=certificate,
        subject=certificate.subject.rfc4514_string(),
        issuer=certificate.issuer.rfc4514_string(),
        fingerprint=certificate.fingerprint(hashes.SHA256()).hex(),
        valid_from=certificate.not_valid_before_utc,
        valid_until=certificate.not_valid_after_utc,
        names=() if names is None else tuple(names.value.get_values_for_type(x509.DNSName)),
        key=_public_key(certificate),
        signature_hash=_signature_hash(certificate),
        is_authority=constraints is not None and constraints.value.ca,
        is_authority_critical=constraints is not None and constraints.critical,
        key_usage=None if usage is None else usage.value,
        key_identifier=None if identifier is None else identifier.value.digest,
        authority_key_identifier=None if above is None else above.value.key_identifier,
        is_for_servers=None if purposes is None else ExtendedKeyUsageOID.SERVER_AUTH in purposes.value,
        unknown_critical=tuple(
            each.oid.dotted_string for each in extensions if each.critical and each.oid not in _UNDERSTOOD
        ),
        constraints=None if limits is None else limits.value,
    )


def _extension(extensions: x509.Extensions, kind: type[_E]) -> x509.Extension[_E] | None:
    try:
        return extensions.get_extension_for_class(kind)
    except x509.ExtensionNotFound:
        return None


def _public_key(certificate: x509.Certificate) -> PublicKey | None:
    key = _known(certificate.public_key)
    if isinstance(key, ec.EllipticCurvePublicKey):
        return key if key.curve.name in _CURVES else None
    return key if isinstance(key, rsa.RSAPublicKey) else None


def _signature_hash(certificate: x509.Certificate) -> str | None:
    algorithm = _known(lambda: certificate.signature_hash_algorithm)
    return None if algorithm is None else algorithm.name


def _known(read: Callable[[], _T]) -> _T | None:
    """Return what is read, or None where it is of a kind that cryptography does not know."""
    try:
        return read()
    except (ValueError, UnsupportedAlgorithm):
        return None
