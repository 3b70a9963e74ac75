"""What is shown of a folder of certificates, to people and to machines."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from tunnelgate_app.certificates.contents import AUTHORITIES, SERVER, Files, crt, key
from tunnelgate_app.certificates.expiry import expiry_warnings, moment
from tunnelgate_app.certificates.faults import Fault, FaultName
from tunnelgate_app.certificates.reading import CertificateFacts, UnreadableError, read_certificates
from tunnelgate_app.certificates.rules import faults_of_authority, faults_of_server_certificate

_DAY = timedelta(days=1)
_MISSING = "It is not there. Make it: tunnelgate certs init --domain DOMAIN"


@dataclass(frozen=True, slots=True)
class Shown:
    """One file: the certificate in it, where one can be read, the faults that it has, and the warnings."""

    file: str
    certificate: CertificateFacts | None
    days_left: int
    faults: tuple[Fault, ...]
    warnings: tuple[str, ...]

    @property
    def is_wrong(self) -> bool:
        """Whether somebody has to do something."""
        return bool(self.faults or self.warnings)


def examine(
    files: Files, hostnames: Sequence[str], now: datetime, complaints: Mapping[str, str]
) -> tuple[Shown, ...]:
    """Return what is to be shown of ``files``: the CAs and the server's certificate, and what is wrong.

    ``complaints`` are sentences about the files of certificates themselves, by name.
    """
    authorities = [files[crt(name)] for name in AUTHORITIES if crt(name) in files]
    server_faults = [Fault(FaultName.CERTIFICATE_UNREADABLE, _MISSING)]
    if crt(SERVER) in files:
        key_pem = files.get(key(SERVER), b"")
        server_faults = faults_of_server_certificate(files[crt(SERVER)], authorities, hostnames, now, key_pem)
    faults = {
        crt(name): faults_of_authority(files[crt(name)], now) for name in AUTHORITIES if crt(name) in files
    }
    return tuple(
        _shown(file, files.get(file, b""), found, now, complaints.get(file, ""))
        for file, found in {**faults, crt(SERVER): server_faults}.items()
    )


def as_text(shown: Sequence[Shown]) -> str:
    """Return the table that people read."""
    return "\n\n".join("\n".join(_lines(each)) for each in shown)


def as_json(shown: Sequence[Shown]) -> Mapping[str, Any]:
    """Return what machines read."""
    return {"ok": not any(each.is_wrong for each in shown), "certificates": [_object(each) for each in shown]}


def _shown(file: str, pem: bytes, faults: Sequence[Fault], now: datetime, complaint: str) -> Shown:
    try:
        certificate = read_certificates(pem)[0]
    except UnreadableError:
        return Shown(file, None, 0, tuple(faults), tuple(filter(None, [complaint])))
    left = (certificate.valid_until - now) // _DAY
    warnings = filter(None, [*expiry_warnings(pem, file, now), complaint])
    return Shown(file, certificate, left, tuple(faults), tuple(warnings))


def _lines(shown: Shown) -> Iterator[str]:
    yield shown.file
    certificate = shown.certificate
    if certificate is not None:
        yield _line("subject", certificate.subject or "none")
        if certificate.names:
            yield _line("names", ", ".join(certificate.names))
        yield _line("issuer", certificate.issuer or "none")
        yield _line("key", certificate.key_kind)
        yield _line("from", moment(certificate.valid_from))
        yield _line("until", f"{moment(certificate.valid_until)}, {shown.days_left} days left")
        yield _line("sha-256", certificate.fingerprint)
    for fault in shown.faults:
        yield _line("wrong", f"{fault.name}: {fault}")
    for warning in shown.warnings:
        yield _line("warning", warning)


def _line(word: str, text: str) -> str:
    shown = "".join(each if each.isprintable() else " " for each in text)  # a subject may hold anything
    return f"  {word:<8} {shown}"


def _object(shown: Shown) -> Mapping[str, Any]:
    certificate = shown.certificate
    facts: Mapping[str, Any] = (
        {}
        if certificate is None
        else {
            "subject": certificate.subject,
            "issuer": certificate.issuer,
            "names": list(certificate.names),
            "key": certificate.key_kind,
            "valid_from": certificate.valid_from.isoformat(),
            "valid_until": certificate.valid_until.isoformat(),
            "days_left": shown.days_left,
            "fingerprint": certificate.fingerprint,
        }
    )
    return {
        "file": shown.file,
        **facts,
        "faults": [{"name": fault.name.value, "sentence": fault.sentence} for fault in shown.faults],
        "warnings": list(shown.warnings),
    }
