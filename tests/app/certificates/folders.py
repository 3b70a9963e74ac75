"""Folders of certificates, as mappings of names to contents."""

from datetime import datetime

from tests.app.certificates.crafting import BOTH, DOMAIN, NOW
from tests.support.certificates import Credential
from tunnelgate_app.certificates.contents import Change, Files
from tunnelgate_app.certificates.keeping import complete, server_faults
from tunnelgate_app.certificates.making import SERVER_DURATION, KeyKind


def of(name: str, credential: Credential) -> Files:
    return {f"{name}.crt": credential.pem.encode(), f"{name}.key": credential.key_pem().encode()}


def without(files: Files, *names: str) -> Files:
    return {name: content for name, content in files.items() if name not in names}


def after(files: Files, change: Change) -> Files:
    return without({**files, **change.writes}, *change.removes)


def is_whole(files: Files, now: datetime = NOW) -> bool:
    return server_faults(files, [DOMAIN, f"docs.{DOMAIN}"], now) == []


NEW = after({}, complete({}, BOTH, NOW, SERVER_DURATION, KeyKind.ECDSA_P256))
