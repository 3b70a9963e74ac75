"""The gate's certificate: its files by the rules of tunnels, and what is shown against what lies on disk."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from tunnelgate_app.certificates.expiry import expiry_warnings
from tunnelgate_app.certificates.faults import Fault, FaultName
from tunnelgate_app.certificates.rules import faults_of_authority, faults_of_server_certificate
from tunnelgate_app.doctor.findings import Finding, Findings, Layer

_SAY = Findings(Layer.LISTENER)
# What nobody can tell who does not know the CAs of the tunnel.
_NEED_AUTHORITY = frozenset({FaultName.AUTHORITY_UNKNOWN, FaultName.INTERMEDIATE_INCLUDED})
# What the words of the tunnel's end are when the other one refuses a certificate.
_AS_SEEN = {
    FaultName.AUTHORITY_UNKNOWN: "tls handshake failed, unknown certificate authority",
    FaultName.NAME_NOT_COVERED: "tls handshake failed, bad certificate",
    FaultName.NAMES_MISSING: "tls handshake failed, bad certificate",
    FaultName.EXPIRED: "tls handshake failed, bad certificate",
}


@dataclass(frozen=True, slots=True)
class File:
    """A file and its content, or why it cannot be read."""

    name: str
    content: bytes = b""
    failure: str = ""


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """What the gate's listener reads, and the CAs that the tunnel knows.

    ``server`` and ``key`` are those of ``tls``, without which there is no TLS at all.
    """

    server: File
    key: File
    authorities: Sequence[File] = field(default_factory=tuple[File, ...])

    @property
    def readable_authorities(self) -> list[bytes]:
        """The contents of the files of CAs that can be read."""
        return [each.content for each in self.authorities if not each.failure]


def findings_of_files(files: CertificateFiles, hostnames: Sequence[str], now: datetime) -> Iterator[Finding]:
    """Yield what is wrong with the files, by every rule that can be told from them."""
    unreadable = [each for each in (files.server, files.key, *files.authorities) if each.failure]
    for each in unreadable:
        yield _SAY.wrong(each.name, f"open {each.name}: {each.failure}", _unreadable_advice(each))
    for each in files.authorities:
        if not each.failure:
            yield from _of_authority(each, now)
    if not files.authorities:
        yield _SAY.warning(
            files.server.name,
            "the certificate of the tunnel's CA is not known here, so nobody can tell whether it signed this",
            "Name it: --ca ca.crt. It is the one that was uploaded for the tunnel.",
        )
    if not files.server.failure:
        yield from _of_server(files, hostnames, now)


def finding_of_shown(files: CertificateFiles, *, fingerprints: tuple[str, str]) -> Finding:
    """Return whether the certificate that is shown is the one on disk.

    ``fingerprints`` are those of both, of the one that is shown first.
    """
    of_shown, of_file = fingerprints
    tried = f"the certificate that is shown, and {files.server.name}"
    if of_shown == of_file:
        return _SAY.fine(tried, f"the same, SHA-256 {of_shown[:16]}…")
    return _SAY.wrong(
        tried,
        f"{of_shown[:16]}… is shown, {of_file[:16]}… lies there",
        "The gate has not picked the file up. Its log says why a new pair is kept out; otherwise send it "
        "SIGHUP, and see that --config is the file that it was started with.",
    )


def _of_authority(authority: File, now: datetime) -> Iterator[Finding]:
    faults = faults_of_authority(authority.content, now)
    for fault in faults:
        yield _SAY.wrong(authority.name, *_parts(fault))
    if not faults:
        yield from _of_expiry(authority, now, "a CA that a tunnel takes")


def _of_server(files: CertificateFiles, hostnames: Sequence[str], now: datetime) -> Iterator[Finding]:
    server = files.server
    key = None if files.key.failure else files.key.content
    faults = faults_of_server_certificate(
        server.content, files.readable_authorities, hostnames, now, key_pem=key
    )
    if not files.authorities:
        faults = [each for each in faults if each.name not in _NEED_AUTHORITY]
    for fault in faults:
        yield _SAY.wrong(server.name, *_parts(fault))
    if not faults:
        yield from _of_expiry(server, now, "fits every route and its key" if key else "fits every route")


def _of_expiry(file: File, now: datetime, otherwise: str) -> Iterator[Finding]:
    warnings = expiry_warnings(file.content, file.name, now)
    for warning in warnings:
        sentence = warning.removeprefix(f"{file.name} ")
        found, _, advice = sentence.partition(". ")
        yield _SAY.warning(file.name, found, advice)
    if not warnings:
        yield _SAY.fine(file.name, otherwise)


def _parts(fault: Fault) -> tuple[str, str]:
    found, _, advice = fault.sentence.partition(". ")
    seen = _AS_SEEN.get(fault.name)
    return f"{fault.name}: {found}" + (
        f" ({seen})" if seen else ""
    ), advice or "docs/certificates.md has the rules."


def _unreadable_advice(file: File) -> str:
    if "permission" in file.failure:
        return (
            f"Give the file to the user that the gate runs as, 65532 in containers: chown 65532 {file.name}; "
            f"chmod 600 {file.name}. Run the doctor as that user."
        )
    return "tunnelgate certs init makes the files. Names in a configuration are looked for beside it."
