"""The rules that Anthropic publishes for the certificates of tunnels, decided without reading a file.

A tunnel knows the certificates of one or two CAs. The gate shows a server certificate which one of
them signed directly. Both functions take any octets and return every fault that there is.

Specification: the reference of MCP tunnels, "Certificate requirements"; RFC 5280 section 4.2, RFC 6125
section 6.4.
"""

import re
from collections.abc import Iterator, Sequence
from datetime import datetime

from tunnelgate_app.certificates.faults import Fault, FaultName
from tunnelgate_app.certificates.names import covers, permits
from tunnelgate_app.certificates.reading import (
    CertificateFacts,
    UnreadableError,
    is_key_of,
    read_certificates,
    read_key,
)
from tunnelgate_app.certificates.shared_rules import (
    faults_of_extensions_of_all,
    faults_of_strength,
    faults_of_times,
    has_strong_hash,
    is_signed_by,
)

_MAX_AUTHORITY_OCTETS = 8000  # "8 kB" of whichever kind
_BLOCK = re.compile(rb"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)
_PRIVATE_KEY = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----")
_MAKE_CA = "Make a CA with: tunnelgate certs init"


def faults_of_authority(pem: bytes, now: datetime) -> list[Fault]:
    """Return what is wrong with ``pem`` as the certificate of a CA that a tunnel is to know."""
    faults = [*_faults_of_content(pem)]
    try:
        authority, *others = read_certificates(pem)
    except UnreadableError as error:
        return [*faults, Fault(FaultName.CERTIFICATE_UNREADABLE, f"It {error}. {_MAKE_CA}")]
    if others:
        sentence = f"It has {1 + len(others)} certificates. Leave the CA's own alone in it."
        faults.append(Fault(FaultName.SEVERAL_CERTIFICATES, sentence))
    return [
        *faults,
        *_faults_of_extensions(authority),
        *faults_of_extensions_of_all(authority),
        *faults_of_strength(authority),
        *_faults_of_self_signature(authority),
        *faults_of_times(authority, now),
    ]


def faults_of_server_certificate(
    chain_pem: bytes,
    authorities: Sequence[bytes],
    hostnames: Sequence[str],
    now: datetime,
    key_pem: bytes | None = None,
) -> list[Fault]:
    """Return what is wrong with ``chain_pem`` as what the gate shows for ``hostnames``.

    ``authorities`` are the certificates of the tunnel's CAs, in PEM; ``key_pem``, where it is given,
    is to be the private key.
    """
    faults: list[Fault] = []
    known: list[CertificateFacts] = []
    for pem in authorities:
        try:
            known += read_certificates(pem)
        except UnreadableError as error:
            faults.append(Fault(FaultName.AUTHORITY_UNREADABLE, f"The file of a CA {error}. {_MAKE_CA}"))
    try:
        server, *others = read_certificates(chain_pem)
    except UnreadableError as error:
        sentence = f"It {error}. Make one with: tunnelgate certs renew"
        return [*faults, Fault(FaultName.CERTIFICATE_UNREADABLE, sentence)]
    if any(each.fingerprint not in {one.fingerprint for one in known} for each in others):
        sentence = "It has another certificate behind the server's. A CA of the tunnel must sign it directly."
        faults.append(Fault(FaultName.INTERMEDIATE_INCLUDED, sentence))
    return [
        *faults,
        *_faults_of_issuer(server, known),
        *_faults_of_names(server, hostnames),
        *_faults_of_constraints(server, known, hostnames),
        *_faults_of_key_usage(server),
        *faults_of_extensions_of_all(server),
        *faults_of_strength(server),
        *faults_of_times(server, now),
        *_faults_of_key(server, key_pem),
    ]


def faults_for_clients(chain_pem: bytes, hostnames: Sequence[str]) -> list[Fault]:
    """Return what keeps clients from taking ``chain_pem`` for ``hostnames``, whoever its CA is."""
    try:
        server, *_ = read_certificates(chain_pem)
    except UnreadableError:
        return []  # which is said where the file is opened
    return [
        *_faults_of_identifier(server, ()),
        *_faults_of_names(server, hostnames),
        *_faults_of_key_usage(server),
        *faults_of_extensions_of_all(server),
        *faults_of_strength(server),
    ]


def _faults_of_content(pem: bytes) -> Iterator[Fault]:
    if len(pem) > _MAX_AUTHORITY_OCTETS:
        sentence = f"It has {len(pem)} octets, and 8 kB is the most. Leave the certificate alone in it."
        yield Fault(FaultName.TOO_LARGE, sentence)
    if _PRIVATE_KEY.search(pem) is not None:
        sentence = (
            "It has a private key in it, which never leaves this machine. Take the key out of the file."
        )
        yield Fault(FaultName.PRIVATE_KEY_INCLUDED, sentence)
    elif _BLOCK.search(pem) is not None and _BLOCK.sub(b"", pem).strip():
        sentence = "It has more in it than a certificate. Keep the lines from BEGIN to END CERTIFICATE alone."
        yield Fault(FaultName.OTHER_CONTENT_INCLUDED, sentence)


def _faults_of_extensions(authority: CertificateFacts) -> Iterator[Fault]:
    if not authority.is_authority:
        sentence = "Its BasicConstraints do not say CA:TRUE, so it is no CA. Use the certificate of the CA."
        yield Fault(FaultName.NOT_AN_AUTHORITY, sentence)
    elif not authority.is_authority_critical:
        sentence = (
            "Its BasicConstraints are not critical. Make the CA with basicConstraints=critical,CA:TRUE."
        )
        yield Fault(FaultName.BASIC_CONSTRAINTS_NOT_CRITICAL, sentence)
    if authority.key_usage is None or not authority.key_usage.key_cert_sign:
        sentence = "Its KeyUsage lacks keyCertSign. Make the CA with keyUsage=critical,keyCertSign,cRLSign."
        yield Fault(FaultName.KEY_USAGE_WITHOUT_CERT_SIGN, sentence)
    if authority.key_identifier is None:
        sentence = "It has no SubjectKeyIdentifier. Make the CA with subjectKeyIdentifier=hash."
        yield Fault(FaultName.SUBJECT_KEY_IDENTIFIER_MISSING, sentence)


def _faults_of_self_signature(authority: CertificateFacts) -> Iterator[Fault]:
    is_own = authority.subject == authority.issuer and has_strong_hash(authority)
    if is_own and not is_signed_by(authority, authority):
        sentence = "Its signature is not that of its own key, so it is damaged. Copy the file again."
        yield Fault(FaultName.SIGNATURE_WRONG, sentence)


def _faults_of_issuer(server: CertificateFacts, known: Sequence[CertificateFacts]) -> Iterator[Fault]:
    named = [each for each in known if each.subject == server.issuer]
    signers = [each for each in named if is_signed_by(server, each)]
    if not named:
        sentence = (
            f"It was signed by {server.issuer or 'a CA without a name'}, which is none of the CAs here; "
            "the tunnel would say unknown certificate authority. Sign it with one: tunnelgate certs renew"
        )
        yield Fault(FaultName.AUTHORITY_UNKNOWN, sentence)
    elif not signers and has_strong_hash(server):
        sentence = (
            "It names a CA that is here, and is not signed with its key. "
            "Sign it with this one: tunnelgate certs renew"
        )
        yield Fault(FaultName.SIGNATURE_WRONG, sentence)
    yield from _faults_of_identifier(server, signers)


def _faults_of_identifier(server: CertificateFacts, signers: Sequence[CertificateFacts]) -> Iterator[Fault]:
    identifier = server.authority_key_identifier
    if identifier is None:
        sentence = "It has no AuthorityKeyIdentifier. Sign it with authorityKeyIdentifier=keyid:always."
        yield Fault(FaultName.AUTHORITY_KEY_IDENTIFIER_MISSING, sentence)
    elif signers and all(identifier != each.key_identifier for each in signers):
        sentence = (
            "Its AuthorityKeyIdentifier is not the SubjectKeyIdentifier of its CA. "
            "Sign it again: tunnelgate certs renew"
        )
        yield Fault(FaultName.AUTHORITY_KEY_IDENTIFIER_WRONG, sentence)


def _faults_of_names(server: CertificateFacts, hostnames: Sequence[str]) -> Iterator[Fault]:
    if not server.names:
        sentence = (
            "It has no DNS name in its SubjectAlternativeName. Name what it is for: tunnelgate certs init"
        )
        yield Fault(FaultName.NAMES_MISSING, sentence)
        return
    for hostname in hostnames:
        if not any(covers(name, hostname) for name in server.names):
            sentence = (
                f"It is not for {hostname}, only for {', '.join(server.names)}, where * is one label. "
                f"Add the name: tunnelgate certs init --host {hostname}"
            )
            yield Fault(FaultName.NAME_NOT_COVERED, sentence)


def _faults_of_key_usage(server: CertificateFacts) -> Iterator[Fault]:
    usage = server.key_usage
    if usage and not (usage.digital_signature or usage.key_encipherment or usage.key_agreement):
        sentence = "Its KeyUsage is not for a server of TLS. Sign it with keyUsage=critical,digitalSignature."
        yield Fault(FaultName.KEY_USAGE_NOT_FOR_SERVERS, sentence)


def _faults_of_constraints(
    server: CertificateFacts, known: Sequence[CertificateFacts], hostnames: Sequence[str]
) -> Iterator[Fault]:
    signers = [each for each in known if is_signed_by(server, each)]
    for name in dict.fromkeys([*server.names, *hostnames]):
        if signers and not any(permits(each.constraints, name) for each in signers):
            sentence = f"The NameConstraints of its CA do not allow {name}. Sign it with another CA."
            yield Fault(FaultName.NAME_CONSTRAINTS_EXCLUDE, sentence)


def _faults_of_key(server: CertificateFacts, key_pem: bytes | None) -> Iterator[Fault]:
    if key_pem is None:
        return
    try:
        key = read_key(key_pem)
    except UnreadableError as error:
        sentence = f"The file of its key {error}. Put it there, or: tunnelgate certs renew --new-key"
        yield Fault(FaultName.KEY_UNREADABLE, sentence)
        return
    if not is_key_of(key, server):
        sentence = "The key is that of another certificate. Put its own beside it, or: tunnelgate certs renew"
        yield Fault(FaultName.KEY_OF_ANOTHER_CERTIFICATE, sentence)
