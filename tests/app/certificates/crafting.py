"""Certificates as somebody could bring them along, right ones and such as break one rule."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA224, SHA256, SHA384, SHA512
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.support.certificates import Credential, PrivateKey, new_key

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
DAY = timedelta(days=1)
DOMAIN = "abcd1234.tunnel.anthropic.com"
BOTH = (DOMAIN, f"*.{DOMAIN}")

Extensions = Mapping[type[x509.ExtensionType], tuple[x509.ExtensionType, bool] | None]
Hash = SHA224 | SHA256 | SHA384 | SHA512
AnyKey = PrivateKey | ed25519.Ed25519PrivateKey


@cache
def rsa_key(bits: int) -> rsa.RSAPrivateKey:
    """Return one key of this size, which is made once."""
    return rsa.generate_private_key(65537, bits)


def certify(
    subject: str,
    key: AnyKey,
    issuer: Credential | None,
    extensions: Extensions,
    *,
    valid_from: datetime = NOW - DAY,
    valid_to: datetime = NOW + 300 * DAY,
    hash_algorithm: Hash | None = None,
    signing_key: AnyKey | None = None,
    serial: int = 0,
) -> bytes:
    """Return a certificate in DER, with these extensions and nothing else."""
    name = named(subject)
    signer = signing_key or (key if issuer is None else issuer.key)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name if issuer is None else issuer.certificate.subject)
        .public_key(key.public_key())
        .serial_number(serial or x509.random_serial_number())
        .not_valid_before(valid_from)
        .not_valid_after(valid_to)
    )
    for each in extensions.values():
        if each is not None:
            builder = builder.add_extension(each[0], critical=each[1])
    is_edwards = isinstance(signer, ed25519.Ed25519PrivateKey)
    certificate = builder.sign(signer, None if is_edwards else hash_algorithm or SHA256())
    return certificate.public_bytes(Encoding.DER)


def authority(
    changed: Extensions | None = None,
    *,
    subject: str = "the CA",
    key: PrivateKey | None = None,
    valid_from: datetime = NOW - DAY,
    valid_to: datetime = NOW + 300 * DAY,
    hash_algorithm: Hash | None = None,
    signing_key: AnyKey | None = None,
    issuer: Credential | None = None,
) -> Credential:
    """Return a CA that satisfies every rule, but for what is said of it."""
    own = key or new_key()
    extensions: Extensions = {
        x509.BasicConstraints: (x509.BasicConstraints(ca=True, path_length=None), True),
        x509.KeyUsage: (usage(key_cert_sign=True, crl_sign=True), True),
        x509.SubjectKeyIdentifier: (x509.SubjectKeyIdentifier.from_public_key(own.public_key()), False),
        **(changed or {}),
    }
    der = certify(
        subject,
        own,
        issuer,
        extensions,
        valid_from=valid_from,
        valid_to=valid_to,
        hash_algorithm=hash_algorithm,
        signing_key=signing_key,
    )
    return Credential(der, own)


def server(
    issuer: Credential,
    changed: Extensions | None = None,
    *,
    names: Sequence[str] = BOTH,
    key: PrivateKey | None = None,
    valid_from: datetime = NOW - DAY,
    valid_to: datetime = NOW + 90 * DAY,
    hash_algorithm: Hash | None = None,
    signing_key: AnyKey | None = None,
    intermediates: tuple[bytes, ...] = (),
) -> Credential:
    """Return a server certificate that satisfies every rule, but for what is said of it."""
    own = key or new_key()
    extensions: Extensions = {
        x509.SubjectAlternativeName: (
            x509.SubjectAlternativeName([x509.DNSName(name) for name in names]),
            False,
        ),
        x509.ExtendedKeyUsage: (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False),
        x509.AuthorityKeyIdentifier: (identifier_of(issuer), False),
        **(changed or {}),
    }
    der = certify(
        "the gate",
        own,
        issuer,
        extensions,
        valid_from=valid_from,
        valid_to=valid_to,
        hash_algorithm=hash_algorithm,
        signing_key=signing_key,
    )
    return Credential(der, own, intermediates)


def identifier_of(issuer: Credential) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key())


def usage(
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


def named(subject: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)] if subject else [])


def signed_with_sha1(credential: Credential) -> Credential:
    """Return a certificate of an RSA key that says that it is signed with SHA-1."""
    sha256, sha1 = (bytes.fromhex(f"2a864886f70d0101{last}") for last in ("0b", "05"))
    return Credential(credential.der.replace(sha256, sha1), credential.key)


def with_damaged_signature(credential: Credential) -> Credential:
    """Return a certificate of which the last octet of the signature is another one."""
    return Credential(credential.der[:-1] + bytes([credential.der[-1] ^ 1]), credential.key)


def curve_key(curve: ec.EllipticCurve) -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(curve)
