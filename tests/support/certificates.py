"""Certification authorities, and the certificates that they issue to servers and clients."""

import ssl
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption
from cryptography.hazmat.primitives.serialization import PrivateFormat as Format
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

CLIENT = ExtendedKeyUsageOID.CLIENT_AUTH
SERVER = ExtendedKeyUsageOID.SERVER_AUTH
DAY = timedelta(days=1)


def new_key() -> ec.EllipticCurvePrivateKey:
    """Return a key of the kind that is made fastest."""
    return ec.generate_private_key(ec.SECP256R1())


@dataclass(frozen=True)
class Credential:
    """A certificate with its private key, and the certificates that lead from it to its authority."""

    der: bytes
    key: PrivateKey
    intermediates: tuple[bytes, ...] = ()

    @property
    def certificate(self) -> x509.Certificate:
        return x509.load_der_x509_certificate(self.der)

    @property
    def pem(self) -> str:
        """The certificate alone, in PEM."""
        return ssl.DER_cert_to_PEM_cert(self.der)

    @property
    def chain_pem(self) -> str:
        """The certificate and its intermediates, in PEM."""
        return self.pem + "".join(ssl.DER_cert_to_PEM_cert(each) for each in self.intermediates)

    @property
    def thumbprint(self) -> str:
        """What ``x5t#S256`` says of the certificate (RFC 8705 section 3.1)."""
        return urlsafe_b64encode(sha256(self.der).digest()).rstrip(b"=").decode()

    def key_pem(self, password: str | None = None) -> str:
        encryption = BestAvailableEncryption(password.encode()) if password else NoEncryption()
        return self.key.private_bytes(Encoding.PEM, Format.PKCS8, encryption).decode()

    def write(self, folder: Path, name: str) -> tuple[Path, Path]:
        """Write the chain and the key into ``folder`` and return their paths."""
        cert_file, key_file = folder / f"{name}.pem", folder / f"{name}.key"
        cert_file.write_text(self.chain_pem)
        key_file.write_text(self.key_pem())
        return cert_file, key_file


class Authority:
    """A certification authority; a root, unless another authority issued its certificate.

    One that is none by its certificate issues all the same.
    """

    def __init__(self, name: str, issuer: "Authority | None" = None, *, is_authority: bool = True) -> None:
        self._issuer = issuer
        above = None if issuer is None else issuer.credential
        self.credential: Credential = _certify(name, new_key(), above, is_authority=is_authority)

    @property
    def pem(self) -> str:
        return self.credential.pem

    def write(self, folder: Path, name: str) -> Path:
        """Write the authority's certificate into ``folder`` and return its path."""
        file = folder / f"{name}.pem"
        file.write_text(self.pem)
        return file

    def issue(
        self,
        name: str,
        *,
        usage: x509.ObjectIdentifier = CLIENT,
        hosts: Sequence[str] = (),
        valid_from: datetime | None = None,
        valid_to: datetime | None = None,
        key: PrivateKey | None = None,
    ) -> Credential:
        """Return a certificate of this authority, with its key; it is valid today."""
        return _certify(
            name,
            key or new_key(),
            self.credential,
            intermediates=() if self._issuer is None else (self.credential.der,),
            usage=usage,
            hosts=hosts,
            valid_from=valid_from,
            valid_to=valid_to,
        )

    def issue_for_server(self, *hosts: str, key: PrivateKey | None = None) -> Credential:
        """Return a certificate for a server with these hostnames and addresses."""
        return self.issue(hosts[0], usage=SERVER, hosts=hosts, key=key)

    def issue_unreadable(self) -> Credential:
        """Return a certificate for a client whose name has an octet that its type has not.

        OpenSSL takes it, and stricter readers do not.
        """
        good = self.issue("an*agent")
        tbs = good.certificate.tbs_certificate_bytes.replace(b"\x0c\x08an*agent", b"\x13\x08an*agent")
        signature = self._sign(tbs)
        algorithm = bytes.fromhex("300a06082a8648ce3d040302")  # ecdsa-with-SHA256
        bits = b"\x03" + _length(len(signature) + 1) + b"\x00" + signature
        body = tbs + algorithm + bits
        return Credential(b"\x30" + _length(len(body)) + body, good.key)

    def _sign(self, octets: bytes) -> bytes:
        key = self.credential.key
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        return key.sign(octets, ec.ECDSA(hashes.SHA256()))


def client_context(
    authority: Authority,
    folder: Path | None = None,
    credential: Credential | None = None,
    version: ssl.TLSVersion | None = None,
) -> ssl.SSLContext:
    """Return what a client needs that trusts ``authority`` and shows ``credential``.

    ``version`` is the only one that it speaks; ``folder`` is for the files of the credential.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=authority.pem)
    if version is not None:
        context.minimum_version = context.maximum_version = version
    if credential is not None:
        assert folder is not None
        context.load_cert_chain(*credential.write(folder, f"client-{credential.thumbprint}"))
    return context


def _certify(
    name: str,
    key: PrivateKey,
    issuer: Credential | None,
    *,
    is_authority: bool = False,
    intermediates: tuple[bytes, ...] = (),
    usage: x509.ObjectIdentifier | None = None,
    hosts: Sequence[str] = (),
    valid_from: datetime | None = None,
    valid_to: datetime | None = None,
) -> Credential:
    now = datetime.now(UTC)
    subject = _named(name)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if issuer is None else issuer.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(valid_from or now - DAY)
        .not_valid_after(valid_to or now + DAY)
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        .add_extension(_key_usage(is_authority=is_authority), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    if issuer is not None:
        identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key())
        builder = builder.add_extension(identifier, critical=False)
    if usage is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
    if hosts:
        names = x509.SubjectAlternativeName([_general_name(host) for host in hosts])
        builder = builder.add_extension(names, critical=False)
    certificate = builder.sign(key if issuer is None else issuer.key, hashes.SHA256())
    return Credential(certificate.public_bytes(Encoding.DER), key, intermediates)


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _key_usage(*, is_authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not is_authority,
        key_cert_sign=is_authority,
        crl_sign=is_authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _length(length: int) -> bytes:
    if length < 0x80:
        return bytes([length])
    octets = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes([0x80 | len(octets)]) + octets
