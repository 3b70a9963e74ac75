"""Decides what a folder of certificates lacks, and whether its server certificate is due to be renewed."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from tunnelgate_app.certificates.contents import (
    AUTHORITY,
    NEXT_AUTHORITY,
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
from tunnelgate_app.certificates.expiry import expiry_warnings, moment, span
from tunnelgate_app.certificates.faults import Fault
from tunnelgate_app.certificates.making import Issued, KeyKind, make_authority, new_key
from tunnelgate_app.certificates.rules import faults_of_server_certificate


def complete(
    files: Files, names: Sequence[str], now: datetime, duration: timedelta, key_kind: KeyKind
) -> Change:
    """Return what is missing for a gate that serves the DNS ``names``: a CA, a certificate or nothing.

    A CA that is there stays, and so does a certificate for these names that has no fault. One for
    other names is made anew, for those as well.
    Raises :class:`KeepingError` where what is there cannot go on.
    """
    writes: dict[str, bytes] = {}
    if crt(AUTHORITY) not in files and key(AUTHORITY) not in files:
        authority = make_authority(now)
        writes = {key(AUTHORITY): authority.key_pem, crt(AUTHORITY): authority.certificate_pem}
        said = f"{crt(AUTHORITY)} is new, until {moment(authority.certificate.not_valid_after_utc)}"
    elif crt(SERVER) in files and not server_faults(files, names, now):
        return Change((f"{crt(AUTHORITY)} and {crt(SERVER)} stay as they are",), warned=_warnings(files, now))
    else:
        authority = authority_in(files, AUTHORITY, now)
        said = f"{crt(AUTHORITY)} stays as it is"
    old = certificate_in(files, SERVER)
    all_names = (*dict.fromkeys([*(() if old is None else old.names), *names]),)
    old_key = server_key_in(files) or new_key(key_kind)
    issued = sign_server(authority, all_names, old_key, now, duration)
    return Change(
        (said, described(issued, all_names)),
        {**writes, **server_files(issued, files)},
        warned=_warnings({**files, crt(AUTHORITY): authority.certificate_pem}, now),
        upload=crt(AUTHORITY) if writes else None,
    )


def renew(
    files: Files,
    now: datetime,
    duration: timedelta,
    renew_before: timedelta,
    *,
    with_new_key: bool = False,
) -> Change:
    """Return a new server certificate by the same CA, for the same names, or nothing where it is not due.

    It is due where it has a fault, where it ends within ``renew_before``, where that is zero, and
    where a new key is asked for.
    Raises :class:`KeepingError` where it cannot be signed, or would not live longer.
    """
    old = certificate_in(files, SERVER)
    if old is None or not old.names:
        raise KeepingError(
            f"{crt(SERVER)} is not there with a name in it. Make it: tunnelgate certs init --domain DOMAIN"
        )
    faults = server_faults(files, old.names, now)
    left = old.valid_until - now
    is_due = bool(faults) or with_new_key or not renew_before or left <= renew_before
    if not is_due:
        until = f"{span(left)}, until {moment(old.valid_until)}"
        said = f"{crt(SERVER)} is valid for another {until}, and due in its last {span(renew_before)}"
        return Change((said,), warned=_warnings(files, now))
    authority = authority_in(files, AUTHORITY, now)
    if not faults and not with_new_key:
        _check_lives_longer(old.valid_until, authority)
    issued = sign_server(authority, old.names, server_key_in(files), now, duration, with_new_key=with_new_key)
    writes = server_files(issued, files)
    its_key = "with a new key" if key(SERVER) in writes else "with the same key"
    said = f"{described(issued, old.names)}, {its_key}"
    return Change((said, *_reasons(faults)), writes, warned=_warnings(files, now))


def server_faults(files: Files, names: Sequence[str], now: datetime) -> list[Fault]:
    """Return what is wrong with the server's certificate and its key, by the CA that signs here."""
    authorities = [files[crt(AUTHORITY)]] if crt(AUTHORITY) in files else []
    pem, key_pem = files.get(crt(SERVER), b""), files.get(key(SERVER), b"")
    return faults_of_server_certificate(pem, authorities, names, now, key_pem)


def _check_lives_longer(until: datetime, authority: Issued) -> None:
    ends = authority.certificate.not_valid_after_utc
    if until >= ends:
        raise KeepingError(
            f"{crt(SERVER)} ends with its CA, at {moment(ends)}, and a new one would too. "
            "Replace the CA: tunnelgate certs rotate-ca"
        )


def _reasons(faults: Sequence[Fault]) -> tuple[str, ...]:
    return tuple(f"the old one had a fault: {fault}" for fault in faults)


def _warnings(files: Files, now: datetime) -> tuple[str, ...]:
    found = expiry_warnings(files[crt(AUTHORITY)], crt(AUTHORITY), now) if crt(AUTHORITY) in files else ()
    if crt(NEXT_AUTHORITY) not in files:
        return found
    sign = "When the tunnel knows it: tunnelgate certs rotate-ca --sign"
    return (*found, f"{crt(NEXT_AUTHORITY)} does not sign yet. {sign}")
