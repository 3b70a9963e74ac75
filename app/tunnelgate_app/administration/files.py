"""The folder in which a deployment finds its tunnel: its id, its domain and its token, a file each."""

import os
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from tunnelgate_app.administration.errors import AdministrationError
from tunnelgate_app.administration.reading import is_tunnel_id
from tunnelgate_app.certificates.owner import Owner, belongs, owner_of

TUNNEL_ID = "tunnel-id"
TUNNEL_DOMAIN = "tunnel-domain"
TUNNEL_TOKEN = "tunnel-token"  # noqa: S105 - the name of a file

PRIVATE = 0o600
PUBLIC = 0o644
_MAX_ID = 256
_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@contextmanager
def reserved(path: Path, mode: int, owner: Owner | None = None) -> Generator[Callable[[str], None]]:
    """Make sure that ``path`` can be written, and give what writes it whole or not at all.

    What was there before is replaced in one step, and the file belongs to ``owner``, or else to whom
    that one belonged. Until then the content stands in a file beside it that its owner alone can read.
    Raises :class:`AdministrationError`.
    """
    beside = path.with_name(f".{path.name}.new")
    if path.is_dir():
        raise AdministrationError(f"{path} cannot be written: it is a folder")
    try:
        beside.unlink(missing_ok=True)  # left behind by a command that was killed
        descriptor = os.open(beside, _FLAGS, PRIVATE)
    except OSError as error:
        raise AdministrationError(f"{path} cannot be written: {error.strerror}") from None

    def write(content: str) -> None:
        try:
            with open(descriptor, "wb", closefd=False) as file:
                file.write(content.encode())
            os.fsync(descriptor)
            beside.replace(path)
        except OSError as error:
            raise AdministrationError(f"{path} cannot be written: {error.strerror}") from None

    try:
        _give(descriptor, path, owner)
        os.fchmod(descriptor, mode)
        yield write
    finally:
        os.close(descriptor)
        beside.unlink(missing_ok=True)


def write_whole(path: Path, content: str, mode: int) -> None:
    """Write a file whole or not at all; raises :class:`AdministrationError`."""
    with reserved(path, mode) as write:
        write(content)


def kept_tunnel_id(folder: Path) -> str | None:
    """Return the id of the tunnel that ``folder`` is for, or ``None`` if it is for none yet.

    Raises :class:`AdministrationError`.
    """
    path = folder / TUNNEL_ID
    try:
        with path.open("rb") as file:
            kept = file.read(_MAX_ID).decode("latin-1").strip()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise AdministrationError(f"{path} cannot be read: {error.strerror}") from None
    if not is_tunnel_id(kept):
        raise AdministrationError(f"{path} holds no id of a tunnel, which begins with tnl_")
    return kept


def _give(descriptor: int, path: Path, owner: Owner | None) -> None:
    new_owner = owner or owner_of(path)
    if new_owner is None or belongs(os.fstat(descriptor), new_owner):
        return
    try:
        os.fchown(descriptor, new_owner.user, new_owner.group)
    except OSError as error:
        raise AdministrationError(
            f"{path} cannot be given to the user {new_owner.user}: {error.strerror}; run this as root"
        ) from None
