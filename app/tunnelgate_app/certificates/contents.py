"""What lies in a folder of certificates, and what a command changes in it.

::

    ca.crt       the CA that signs tls.crt; the tunnel knows it
    ca.key       its key, which the gate never needs
    tls.crt      what the gate shows
    tls.key      its key
    ca-next.crt  and ca-next.key: the CA that takes the place of ca.crt, once the tunnel knows it
    ca-old.crt   and ca-old.key: the CA that it took the place of, until the tunnel has forgotten it
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final

from tunnelgate_app.certificates.expiry import moment
from tunnelgate_app.certificates.making import Issued, key_like, make_server_certificate, new_key
from tunnelgate_app.certificates.reading import (
    CertificateFacts,
    PrivateKey,
    UnreadableError,
    is_key_of,
    read_certificates,
    read_key,
)
from tunnelgate_app.certificates.rules import faults_of_authority, faults_of_server_certificate
from tunnelgate_app.errors import CommandError

SERVER: Final = "tls"
AUTHORITY: Final = "ca"
NEXT_AUTHORITY: Final = "ca-next"
OLD_AUTHORITY: Final = "ca-old"
AUTHORITIES: Final = (AUTHORITY, NEXT_AUTHORITY, OLD_AUTHORITY)

Files = Mapping[str, bytes]


class KeepingError(CommandError):
    """What lies in the folder does not allow what was asked for; the text says why, and what to do."""


def crt(name: str) -> str:
    """Return the file of a certificate."""
    return f"{name}.crt"


def key(name: str) -> str:
    """Return the file of its private key."""
    return f"{name}.key"


FILES: Final = tuple(file for name in (SERVER, *AUTHORITIES) for file in (crt(name), key(name)))


@dataclass(frozen=True, slots=True)
class Change:
    """What is written, in this order, and then removed; and what a person is told.

    ``said`` goes with what was done and ``warned`` is about what is to be done; ``upload`` is the file
    of a CA that the tunnel must be told of, ``archive`` the fingerprint of one that it is to forget.
    """

    said: tuple[str, ...]
    writes: Files = field(default_factory=lambda: MappingProxyType({}))
    removes: tuple[str, ...] = ()
    warned: tuple[str, ...] = ()
    upload: str | None = None
    archive: str | None = None


def certificate_in(files: Files, name: str) -> CertificateFacts | None:
    """Return the first certificate of a file, or None where there is none that can be read."""
    try:
        return read_certificates(files.get(crt(name), b""))[0]
    except UnreadableError:
        return None


def authority_in(files: Files, name: str, now: datetime) -> Issued:
    """Return a CA that signs at ``now``; raises :class:`KeepingError`."""
    for file in (crt(name), key(name)):
        if file not in files:
            raise KeepingError(f"{file} is not there, and signing needs it. Put it back.")
    pem = files[crt(name)]
    faults = faults_of_authority(pem, now)
    if faults:
        said = " ".join(str(fault) for fault in faults)
        raise KeepingError(f"{crt(name)} cannot sign what a tunnel would believe. {said}")
    authority = read_certificates(pem)[0]
    try:
        signing_key = read_key(files[key(name)])
    except UnreadableError as error:
        raise KeepingError(f"{key(name)} {error}") from None
    if not is_key_of(signing_key, authority):
        raise KeepingError(f"{key(name)} is not the key of {crt(name)}. Put back the one that is.")
    return Issued(authority.certificate, signing_key)


def server_key_in(files: Files) -> PrivateKey | None:
    """Return the key of the server's certificate, or None where there is none that can be used."""
    try:
        return read_key(files.get(key(SERVER), b""))
    except UnreadableError:
        return None


def sign_server(
    authority: Issued,
    names: tuple[str, ...],
    old_key: PrivateKey | None,
    now: datetime,
    duration: timedelta,
    *,
    with_new_key: bool = False,
) -> Issued:
    """Return a new certificate of the server, with its old key where that may go on.

    With the old key the files always match, whichever of them a reader sees first.
    """
    signing_key = old_key or new_key()
    if with_new_key:
        signing_key = key_like(signing_key)
    issued = make_server_certificate(authority, names, signing_key, now, duration=duration)
    if faults_of_server_certificate(issued.certificate_pem, [authority.certificate_pem], names, now):
        issued = make_server_certificate(authority, names, new_key(), now, duration=duration)
    return issued


def server_files(issued: Issued, old: Files) -> dict[str, bytes]:
    """Return the files of the server's certificate; that of its key only where it is another one."""
    old_key = server_key_in(old)
    same = old_key is not None and old_key.public_key() == issued.key.public_key()
    files = {} if same else {key(SERVER): issued.key_pem}
    return {**files, crt(SERVER): issued.certificate_pem}


def described(issued: Issued, names: tuple[str, ...]) -> str:
    """Return what is said of a new certificate of the server."""
    until = moment(issued.certificate.not_valid_after_utc)
    return f"{crt(SERVER)} is new, until {until}, for {', '.join(names)}"
