"""Who owns the files of certificates, and who can read them."""

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tunnelgate_app.certificates.contents import AUTHORITIES, SERVER, crt, key

_UNCHANGED = -1
_ROOT = 0
_MAX_DIGITS = 9


@dataclass(frozen=True, slots=True)
class Owner:
    """Who is to own what the gate reads: the number of a user, and that of a group or ``-1``."""

    user: int
    group: int = _UNCHANGED

    @classmethod
    def from_text(cls, text: str) -> "Owner":
        """Return the owner that ``UID`` or ``UID:GID`` names.

        Raises :class:`ValueError` with the end of a sentence.
        """
        user, colon, group = text.partition(":")
        numbers = (user, group) if colon else (user,)
        if not all(each.isascii() and each.isdigit() and len(each) <= _MAX_DIGITS for each in numbers):
            raise ValueError("is not UID or UID:GID in numbers, such as 65532:65532")
        return cls(*map(int, numbers))


def owner_of(path: Path) -> Owner | None:
    """Return who owns what is at ``path``, or None where nothing is there."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return Owner(status.st_uid, status.st_gid)


def belongs(status: os.stat_result, owner: Owner) -> bool:
    """Return whether a file with this ``status`` belongs to ``owner`` already."""
    return status.st_uid == owner.user and owner.group in (_UNCHANGED, status.st_gid)


def unreachable(folder: Path, owner: Owner | None) -> tuple[str, ...]:
    """Return a sentence where ``owner`` cannot open files in ``folder``."""
    if owner is None:
        return ()
    status = folder.stat()
    if owner.user == status.st_uid:
        needed = stat.S_IXUSR
    else:
        needed = stat.S_IXGRP if owner.group == status.st_gid else stat.S_IXOTH
    if owner.user == _ROOT or status.st_mode & needed:
        return ()
    return (f"the user {owner.user} cannot enter the folder. Allow it: chmod o+x {folder}",)


def open_keys(folder: Path) -> Mapping[str, str]:
    """Return a sentence for each certificate whose key everybody on this machine can read, by its file."""
    found: dict[str, str] = {}
    for name in (SERVER, *AUTHORITIES):
        path = folder / key(name)
        if path.exists() and path.stat().st_mode & stat.S_IROTH:
            found[crt(name)] = f"{path} can be read by everybody here. Take that away: chmod o-r {path}"
    return found
