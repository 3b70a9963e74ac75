"""Reads the CA certificate that is to be registered, and refuses what the service would refuse."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding

from tunnelgate_app.administration.errors import AdministrationError
from tunnelgate_app.certificates.reading import read_certificates
from tunnelgate_app.certificates.rules import faults_of_authority

_MAX_READ = 64 * 1024


@dataclass(frozen=True, slots=True)
class Authority:
    """A CA certificate that satisfies every rule: in PEM, and by its fingerprint as the service shows it."""

    pem: str
    fingerprint: str


def read_authority(file: Path, now: datetime) -> Authority:
    """Return the CA certificate in ``file``.

    Its PEM is written anew, so that nothing is sent that was not judged. Raises
    :class:`AdministrationError` with everything that is wrong.
    """
    try:
        with file.open("rb") as opened:
            pem = opened.read(_MAX_READ)
    except OSError as error:
        raise AdministrationError(f"{file} cannot be read: {error.strerror}") from None
    faults = faults_of_authority(pem, now)
    if faults:
        told = "".join(f"\n  {each.sentence}" for each in faults)
        raise AdministrationError(f"{file} is no CA that can be registered. Nothing was sent.{told}")
    (facts,) = read_certificates(pem)
    return Authority(facts.certificate.public_bytes(Encoding.PEM).decode(), facts.fingerprint)
