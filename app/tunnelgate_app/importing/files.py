"""The files around an import: tokens that are read, and the configuration that is written."""

import os
from collections.abc import Callable
from pathlib import Path
from shutil import copymode
from tempfile import mkstemp

from tunnelgate_app.errors import CommandError

_MODE = 0o644  # at most: whatever the umask, nobody else may change what the gate obeys


class FileError(CommandError):
    """A file cannot be read or written; the text says why."""


def relocated(source: Path, output: Path) -> Callable[[str], str]:
    """Return how a file that ``source`` names is named in ``output``.

    What is relative is taken to be beside ``source``.
    """
    there, here = source.absolute().parent, output.absolute().parent

    def place(name: str) -> str:
        return name if Path(name).is_absolute() else os.path.relpath(there / name, here)

    return place


def read_token(path: Path) -> str:
    """Return the bearer token in a file, whose last line end is left out.

    Raises :class:`FileError`, which never quotes what is in the file.
    """
    try:
        token = path.read_bytes().removesuffix(b"\n").removesuffix(b"\r").decode("ascii")
    except OSError as error:
        raise FileError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        token = ""
    if not token or not token.isprintable() or " " in token:
        raise FileError(f"{path} holds no token")
    return token


def check_is_new(path: Path, *, force: bool) -> None:
    """Raise :class:`FileError` where a file would be overwritten that nobody gave up."""
    if not force and (path.exists() or path.is_symlink()):
        raise FileError(f"{path} is there already; --force overwrites it, --output names another")


def write_whole(path: Path, text: str, *, force: bool) -> None:
    """Write a file; one that is there is replaced at once where ``force`` says so, and keeps its mode.

    Raises :class:`FileError`.
    """
    check_is_new(path, force=force)
    try:
        if path.exists():
            _replace(path.resolve(), text)  # what a link leads to, and not the link
        else:
            _create(path, text)
    except OSError as error:
        raise FileError(f"{path} cannot be written: {error.strerror}") from None


def _create(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _MODE)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _replace(path: Path, text: str) -> None:
    descriptor, name = mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        copymode(path, temporary)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
