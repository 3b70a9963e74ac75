"""Reads and writes a folder of certificates.

A key is readable by its owner alone from the first moment that it is there. Every file is written
under another name beside its own, and renamed when it is whole, so that no reader sees a part of it;
those that belong together are renamed one right after the other.
"""

import fcntl
import os
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from tunnelgate_app.certificates.contents import AUTHORITIES, FILES, SERVER, Change, Files, crt, key
from tunnelgate_app.certificates.owner import Owner, belongs, owner_of
from tunnelgate_app.errors import CommandError

_KEY_SUFFIX = ".key"
_KEY_MODE = 0o600
_PUBLIC_MODE = 0o644
_FOLDER_MODE = 0o755
_SERVED = (crt(SERVER), key(SERVER), *(crt(name) for name in AUTHORITIES))


class FolderError(CommandError):
    """The folder cannot be read or written; the text says why."""


@contextmanager
def locked(folder: Path, *, make: bool = False) -> Generator[None]:
    """Keep other commands from changing ``folder`` meanwhile; raises :class:`FolderError`."""
    try:
        if make:
            _make(folder)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise FolderError(f"{folder} cannot be opened: {error.strerror}") from None
    try:
        _lock(descriptor, folder)
        yield
    finally:
        os.close(descriptor)


def read_folder(folder: Path, names: Iterable[str] = FILES) -> Files:
    """Return the files that are there, by name; raises :class:`FolderError`."""
    if not folder.is_dir():
        raise FolderError(f"{folder} is not there, or is no folder")
    found: dict[str, bytes] = {}
    for name in names:
        try:
            found[name] = (folder / name).read_bytes()
        except FileNotFoundError:
            continue
        except OSError as error:
            raise FolderError(f"{folder / name} cannot be read: {error.strerror}") from None
    return found


def write_change(folder: Path, change: Change, owner: Owner | None = None) -> None:
    """Carry out ``change``, and give what the gate reads to ``owner``; raises :class:`FolderError`.

    Without ``owner`` a file that takes another one's place belongs to whom that one belonged.
    The keys of CAs are never given away, not even to who has put a file in their place beforehand: the
    gate does not need them.
    """
    written: list[tuple[Path, Path]] = []
    try:
        for name, content in change.writes.items():
            target = folder / name
            beside = folder / f".{name}.new"
            mode = _KEY_MODE if target.suffix == _KEY_SUFFIX else _PUBLIC_MODE
            with _created(beside, mode) as file:
                written.append((beside, target))
                _fill(file, content, (owner or owner_of(target)) if name in _SERVED else None)
        for beside, target in written:
            beside.replace(target)
        for name in change.removes:
            (folder / name).unlink(missing_ok=True)
        if owner is not None:
            _give(folder, owner)
        _sync(folder)
    except OSError as error:
        raise FolderError(_sentence(error, folder, owner)) from None
    finally:
        for beside, _ in written:
            beside.unlink(missing_ok=True)


def _make(folder: Path) -> None:
    for each in reversed(folder.parents):  # to which mkdir(parents=True) gives what the umask leaves
        if not each.exists():
            each.mkdir(mode=_FOLDER_MODE, exist_ok=True)
    folder.mkdir(mode=_FOLDER_MODE, exist_ok=True)


def _lock(descriptor: int, folder: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise FolderError(f"another command is changing {folder}; try again when it has ended") from None


def _created(beside: Path, mode: int) -> BinaryIO:
    beside.unlink(missing_ok=True)  # left behind by a command that was killed
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    descriptor = os.open(beside, flags, mode)
    if mode == _PUBLIC_MODE:
        os.fchmod(descriptor, mode)  # whatever the umask: the gate may be another user
    return os.fdopen(descriptor, "wb")


def _fill(file: BinaryIO, content: bytes, owner: Owner | None) -> None:
    if owner is not None and not belongs(os.fstat(file.fileno()), owner):
        os.fchown(file.fileno(), owner.user, owner.group)
    file.write(content)
    file.flush()
    os.fsync(file.fileno())


def _give(folder: Path, owner: Owner) -> None:
    """Give to ``owner`` what was there before and has not been written now."""
    for name in _SERVED:
        path = folder / name
        if path.exists() and not belongs(path.stat(), owner):
            os.chown(path, owner.user, owner.group, follow_symlinks=False)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sentence(error: OSError, folder: Path, owner: Owner | None) -> str:
    if isinstance(error, PermissionError) and owner is not None:
        return f"{folder} cannot be given to the user {owner.user}: {error.strerror}. Run this as root."
    return f"{error.filename or folder} cannot be written: {error.strerror}"
