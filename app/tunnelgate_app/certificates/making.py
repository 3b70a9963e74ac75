"""Makes the CA of a tunnel and the certificates that it signs.

What is made satisfies every rule of :mod:`tunnelgate_app.certificates.rules`.

Specification: RFC 5280 sections 4.1 and 4.2.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tunnelgate_app.certificates.reading import PrivateKey

AUTHORITY_DURATION = timedelta(days=5 * 365)
SERVER_DURATION = timedelta(days=90)
_BEFORE_NOW = timedelta(hours=1)  # for clocks that are slow
_MAX_COMMON_NAME = 64
_COMMON_NAME = "tunnelgate"

Serial = Callable[[], int]


class KeyKind(StrEnum):
    """The kinds of keys that are made."""

    ECDSA_P256 = "ecdsa-p256"
    ECDSA_P384 = "ecdsa-p384"
    RSA_2048 = "rsa-2048"
    RSA_4096 = "rsa-4096"


_KEYS: Mapping[KeyKind, Callable[[], PrivateKey]] = {
    KeyKind.ECDSA_P256: lambda: ec.generate_private_key(ec.SECP256R1()),
    KeyKind.ECDSA_P384: lambda: ec.generate_private_key(ec.SECP384R1()),
    KeyKind.RSA_2048: lambda: rsa.generate_private_key(65537, 2048),
    KeyKind.RSA_4096: lambda: rsa.generate_private_key(65537, 4096),
}


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate with its private key."""

    certificate: x509.Certificate
    key: PrivateKey

    @property
    def certificate_pem(self) -> bytes:
        """The certificate in PEM."""
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        """The private key in PEM (PKCS #8), without a password."""
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def new_key(kind: KeyKind = KeyKind.ECDSA_P256) -> PrivateKey:
    """Return a new private key."""
    return _KEYS[kind]()


def key_like(key: PrivateKey) -> PrivateKey:
    """Return a new private key of the kind and the size of ``key``."""
    if isinstance(key, rsa.RSAPrivateKey):
        return rsa.generate_private_key(65537, key.key_size)
    return ec.generate_private_key(key.curve)


def make_authority(
    now: datetime,
    *,
    duration: timedelta = AUTHORITY_DURATION,
    serial: Serial = x509.random_serial_number,
) -> Issued:
    """Return a new CA, with a key of its own and a name that no other has."""
    key = new_key()
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    name = _named(f"{_COMMON_NAME} CA {identifier.digest.hex()[:8]}")
    builder = (
        _builder(name, name, key, serial)
        .not_valid_before(_seconds(now - _BEFORE_NOW))
        .not_valid_after(_seconds(now + duration))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(key_cert_sign=True, crl_sign=True), critical=True)
        .add_extension(identifier, critical=False)
    )
    return Issued(builder.sign(key, SHA256()), key)


def make_server_certificate(
    authority: Issued,
    names: Sequence[str],
    key: PrivateKey,
    now: datetime,
    *,
    duration: timedelta = SERVER_DURATION,
    serial: Serial = x509.random_serial_number,
) -> Issued:
    """Return a certificate of ``key`` for the DNS ``names``, signed by ``authority``.

    It ends with the authority's where ``duration`` is longer.
    Raises :class:`ValueError` where the authority has ended, has not begun, or has no SubjectKeyIdentifier.
    """
    issuer = authority.certificate
    if not issuer.not_valid_before_utc <= now < issuer.not_valid_after_utc:
        raise ValueError("the CA is not valid at this time")
    try:
        identifier = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    except x509.ExtensionNotFound:
        raise ValueError("the CA has no SubjectKeyIdentifier") from None
    common_name = names[0] if len(names[0]) <= _MAX_COMMON_NAME else _COMMON_NAME
    builder = (
        _builder(_named(common_name), issuer.subject, key, serial)
        .not_valid_before(max(_seconds(now - _BEFORE_NOW), issuer.not_valid_before_utc))
        .not_valid_after(min(_seconds(now + duration), issuer.not_valid_after_utc))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(digital_signature=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False
        )
    )
    return Issued(builder.sign(authority.key, SHA256()), key)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: PrivateKey, serial: Serial
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(serial())
    )


def _named(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _seconds(time: datetime) -> datetime:
    return time.replace(microsecond=0)


def _key_usage(
    *, digital_signature: bool = False, key_cert_sign: bool = False, crl_sign: bool = False
) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
