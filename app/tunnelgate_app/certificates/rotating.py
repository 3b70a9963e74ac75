"""Decides the three steps in which a CA takes the place of another one.

At most two are registered with a tunnel, and what the gate shows is signed by one of them at every
moment: the next CA is made and uploaded, then it signs, then the old one is archived and forgotten.
"""

from datetime import datetime, timedelta

from tunnelgate_app.certificates.contents import (
    AUTHORITY,
    NEXT_AUTHORITY,
    OLD_AUTHORITY,
    SERVER,
    Change,
    Files,
    KeepingError,
    authority_in,
    certificate_in,
    crt,
    described,
    key,
    server_files,
    server_key_in,
    sign_server,
)
from tunnelgate_app.certificates.expiry import moment
from tunnelgate_app.certificates.making import make_authority
from tunnelgate_app.certificates.rules import faults_of_server_certificate


def begin_rotation(files: Files, now: datetime) -> Change:
    """Return the next CA, which signs nothing yet, or where it is there already, what to do with it.

    Raises :class:`KeepingError` where there is no CA yet, and where an older rotation is not over.
    """
    if crt(AUTHORITY) not in files:
        raise KeepingError(f"{crt(AUTHORITY)} is not there. Make it: tunnelgate certs init --domain DOMAIN")
    if crt(NEXT_AUTHORITY) in files:
        return Change(
            (f"{crt(NEXT_AUTHORITY)} is there already, and signs nothing yet",), upload=crt(NEXT_AUTHORITY)
        )
    if crt(OLD_AUTHORITY) in files:
        raise KeepingError(
            f"{crt(OLD_AUTHORITY)} is there still, and a tunnel knows two CAs at most. "
            "Archive that one there, and then: tunnelgate certs rotate-ca --finish"
        )
    made = make_authority(now)
    writes = {key(NEXT_AUTHORITY): made.key_pem, crt(NEXT_AUTHORITY): made.certificate_pem}
    until = moment(made.certificate.not_valid_after_utc)
    said = f"{crt(NEXT_AUTHORITY)} is new, until {until}, and signs nothing yet"
    return Change((said,), writes, upload=crt(NEXT_AUTHORITY))


def sign_with_next(files: Files, now: datetime, duration: timedelta) -> Change:
    """Return the server's certificate signed by the next CA, which takes the old one's place.

    Where this was interrupted, the same again completes it.
    Raises :class:`KeepingError` where there is no next CA, or no server certificate to sign anew.
    """
    if crt(NEXT_AUTHORITY) not in files:
        raise KeepingError(f"{crt(NEXT_AUTHORITY)} is not there. Make it: tunnelgate certs rotate-ca")
    old = certificate_in(files, SERVER)
    if old is None or not old.names:
        raise KeepingError(
            f"{crt(SERVER)} is not there with a name in it. Make it: tunnelgate certs init --domain DOMAIN"
        )
    authority = authority_in(files, NEXT_AUTHORITY, now)
    issued = sign_server(authority, old.names, server_key_in(files), now, duration)
    writes: dict[str, bytes] = {}
    if crt(OLD_AUTHORITY) not in files:
        kept = {key(OLD_AUTHORITY): key(AUTHORITY), crt(OLD_AUTHORITY): crt(AUTHORITY)}
        writes = {new: files[file] for new, file in kept.items() if file in files}
    writes |= server_files(issued, files)
    writes |= {key(AUTHORITY): authority.key_pem, crt(AUTHORITY): authority.certificate_pem}
    forgotten = certificate_in({**files, **writes}, OLD_AUTHORITY)
    return Change(
        (
            described(issued, old.names),
            f"{crt(AUTHORITY)} is the next CA now, the one before is {crt(OLD_AUTHORITY)}",
        ),
        writes,
        removes=(crt(NEXT_AUTHORITY), key(NEXT_AUTHORITY)),
        archive=None if forgotten is None else forgotten.fingerprint,
    )


def finish_rotation(files: Files, now: datetime) -> Change:
    """Return that the old CA and its key are removed.

    Raises :class:`KeepingError` where the server's certificate is not signed by the new one.
    """
    if crt(NEXT_AUTHORITY) in files:
        raise KeepingError(f"{crt(NEXT_AUTHORITY)} has not signed yet: tunnelgate certs rotate-ca --sign")
    if crt(OLD_AUTHORITY) not in files:
        return Change((f"{crt(OLD_AUTHORITY)} is not there, so nothing is to be removed",))
    ours = (key(NEXT_AUTHORITY), key(OLD_AUTHORITY), crt(OLD_AUTHORITY))  # the first, of a step interrupted
    removes = tuple(file for file in ours if file in files)
    pem, authority = files.get(crt(SERVER), b""), files.get(crt(AUTHORITY), b"")
    faults = faults_of_server_certificate(pem, [authority], (), now)
    if faults:
        said = " ".join(str(fault) for fault in faults)
        raise KeepingError(f"{crt(SERVER)} has a fault, so {crt(OLD_AUTHORITY)} stays. {said}")
    return Change((f"{' and '.join(removes)} are removed",), removes=removes)
