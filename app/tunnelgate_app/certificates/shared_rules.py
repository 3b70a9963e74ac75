"""What every certificate of a tunnel must be like: its times, its key and its signature."""

from collections.abc import Iterator
from datetime import datetime

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import rsa

from tunnelgate_app.certificates.expiry import moment
from tunnelgate_app.certificates.faults import Fault, FaultName
from tunnelgate_app.certificates.reading import CertificateFacts

_HASHES = frozenset({"sha256", "sha384", "sha512"})
_MIN_RSA_BITS = 2048


def faults_of_times(certificate: CertificateFacts, now: datetime) -> Iterator[Fault]:
    """Yield what is wrong with when the certificate is valid."""
    if now < certificate.valid_from:
        begins = moment(certificate.valid_from)
        sentence = (
            f"It is valid only from {begins}. Check the clocks of this machine and of the one that made it."
        )
        yield Fault(FaultName.NOT_YET_VALID, sentence)
    if now > certificate.valid_until:
        sentence = f"It expired at {moment(certificate.valid_until)}. Make a new one."
        yield Fault(FaultName.EXPIRED, sentence)


def faults_of_strength(certificate: CertificateFacts) -> Iterator[Fault]:
    """Yield what is wrong with the kinds of the certificate's key and of its signature."""
    key = certificate.key
    if key is None:
        sentence = "Its key is neither RSA nor ECDSA P-256, P-384 or P-521. Make it with one of these."
        yield Fault(FaultName.KEY_KIND_NOT_ALLOWED, sentence)
    elif isinstance(key, rsa.RSAPublicKey) and key.key_size < _MIN_RSA_BITS:
        sentence = f"Its RSA key has {key.key_size} bits. Make it with {_MIN_RSA_BITS} or more."
        yield Fault(FaultName.KEY_TOO_SHORT, sentence)
    if not has_strong_hash(certificate):
        used = (
            "no hash that is known"
            if certificate.signature_hash is None
            else certificate.signature_hash.upper()
        )
        sentence = f"Its signature uses {used}. Sign it with SHA-256, SHA-384 or SHA-512."
        yield Fault(FaultName.SIGNATURE_HASH_NOT_ALLOWED, sentence)


def faults_of_extensions_of_all(certificate: CertificateFacts) -> Iterator[Fault]:
    """Yield what is wrong with extensions that every client has to look at."""
    if certificate.unknown_critical:
        named = ", ".join(certificate.unknown_critical)
        sentence = f"It has critical extensions that TLS clients do not know, {named}. Make it without them."
        yield Fault(FaultName.CRITICAL_EXTENSION_UNKNOWN, sentence)
    if certificate.is_for_servers is False:
        sentence = "Its ExtendedKeyUsage lacks serverAuth. Sign it with extendedKeyUsage=serverAuth."
        yield Fault(FaultName.SERVER_AUTH_MISSING, sentence)


def has_strong_hash(certificate: CertificateFacts) -> bool:
    """Return whether the signature is over a hash that counts; that of a weaker one is not looked at."""
    return certificate.signature_hash in _HASHES


def is_signed_by(certificate: CertificateFacts, authority: CertificateFacts) -> bool:
    """Return whether the issuer that ``certificate`` names is ``authority``, and its key signed it."""
    try:
        certificate.certificate.verify_directly_issued_by(authority.certificate)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True
