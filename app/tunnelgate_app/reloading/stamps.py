"""Stamps: how a file looks from outside, so that nobody has to read it to see that it has changed."""

import os
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path

Stamp = tuple[int, ...] | None
Stamps = Mapping[str, Stamp]


def stamps_of(paths: Iterable[str]) -> dict[str, Stamp]:
    """Return the stamp of each file, where symbolic links lead; ``None`` for one that is not there.

    It holds device, inode, size, and when the content and the permissions were last changed.
    """
    return {path: _stamp(path) for path in paths}


def is_special(path: str) -> bool:
    """Return whether reading ``path`` may wait for ever or never end: a pipe, a device, a socket."""
    try:
        mode = Path(path).stat().st_mode
    except (OSError, ValueError):
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


def _stamp(path: str) -> Stamp:
    try:
        found = os.stat(path)  # noqa: PTH116 - half the time, several times a second
    except (OSError, ValueError):
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
