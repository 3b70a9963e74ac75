"""Records in a folder of the file system."""

import errno
import os
import stat
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

from tunnelgate_servers.deploy_status.records import MAX_RECORD_BYTES
from tunnelgate_servers.deploy_status.sources import Entry, Listing, Read, RecordFile, find_records
from tunnelgate_servers.hosting import UnavailableError

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW
_FILE = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK  # or a pipe would be waited for
_SETTLED = timedelta(seconds=2)
_TOP: tuple[str, ...] = ()


class FolderSource:
    """The records below one folder, whose own path may be a link that is swapped for another.

    `clock` returns the time now.
    """

    def __init__(self, folder: Path, clock: Callable[[], datetime]) -> None:
        self._folder = folder
        self._clock = clock

    def listing(self) -> Listing:
        """Return the files as they are now; their stamps are those of the file system."""
        settled_before = (self._clock() - _SETTLED).timestamp()
        with self._top() as top:

            def entries_of(names: tuple[str, ...]) -> Iterator[Entry[tuple[str, ...]]]:
                with _folder_below(top, names) as folder, os.scandir(folder) as found:
                    for entry in found:
                        yield _entry(entry, names, settled_before)

            files, left_out = find_records(_TOP, entries_of)
        return Listing(None, files, left_out)

    @contextmanager
    def opened(self) -> Generator[Read]:
        """Read from the folder that stands there now."""
        with self._top() as top:

            def read(file: RecordFile) -> bytes:
                *folders, name = file.path.split("/")
                with _folder_below(top, tuple(folders)) as folder:
                    return _content(os.open(name, _FILE, dir_fd=folder))

            yield read

    @contextmanager
    def _top(self) -> Generator[int]:
        try:
            top = os.open(self._folder, _FOLDER & ~os.O_NOFOLLOW)
            try:
                yield top
            finally:
                os.close(top)
        except OSError as error:
            raise UnavailableError("The release records cannot be read; try again later.") from error


@contextmanager
def _folder_below(top: int, names: tuple[str, ...]) -> Generator[int]:
    # Each name by itself, because a path would follow a link that stands there by now.
    folder = os.dup(top)
    try:
        for name in names:
            below = os.open(name, _FOLDER, dir_fd=folder)
            os.close(folder)
            folder = below
        yield folder
    finally:
        os.close(folder)


def _entry(
    entry: "os.DirEntry[str]", parents: tuple[str, ...], settled_before: float
) -> Entry[tuple[str, ...]]:
    place = (*parents, entry.name)
    if entry.is_symlink():
        return Entry(entry.name, "link", place)
    if entry.is_dir(follow_symlinks=False):
        return Entry(entry.name, "folder", place)
    if not entry.is_file(follow_symlinks=False):
        return Entry(entry.name, "other", place)
    status = entry.stat(follow_symlinks=False)
    # What was written just now may be written again within the same tick of the file system's clock.
    settled = None if status.st_ctime < settled_before else object()
    stamp = (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns, settled)
    return Entry(entry.name, "file", place, stamp, status.st_size)


def _content(file: int) -> bytes:
    with open(file, "rb") as stream:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file")
        content = stream.read(MAX_RECORD_BYTES + 1)
    if len(content) > MAX_RECORD_BYTES:
        raise OSError(errno.EFBIG, f"it is larger than {MAX_RECORD_BYTES} bytes")
    return content
