"""Reading: the files of a folder that become documents, each found first and read when it is needed."""

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tunnelgate_servers.docs_readonly.errors import DocumentsMissingError
from tunnelgate_servers.docs_readonly.parsing import KINDS
from tunnelgate_servers.docs_readonly.paths import is_path

MAX_DOCUMENT_BYTES: Final = 1024 * 1024
"""The size of the largest file that is indexed, in bytes."""

_ENDINGS = tuple(ending for kind in KINDS for ending in kind.endings)

# A pipe is not waited for, and a link that was put there meanwhile not followed.
_FOLDER = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC


class SkippedError(Exception):
    """A file is left out of the index; the message says why and names no place."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """What tells without reading a file whether it was changed: its size in bytes, and when that was."""

    size: int
    modified_ns: int


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file, free of links, with its path as the key of the index, and why it is left out if it is."""

    path: str
    file: Path
    reason: str = ""

    def stamp(self) -> Stamp:
        """Return the stamp of the file as it is now; raises `SkippedError`."""
        try:
            return _stamp(self.file.lstat())
        except OSError as error:
            raise SkippedError(f"it cannot be read: {error.strerror}") from error

    def read(self) -> tuple[Stamp, bytes]:
        """Return what the file holds, with its stamp from before that; raises `SkippedError`."""
        try:
            handle = _opened(self.file)
            with os.fdopen(handle, "rb") as stream:
                found = _stamp(os.fstat(handle))
                return found, stream.read(MAX_DOCUMENT_BYTES + 1)
        except OSError as error:
            raise SkippedError(f"it cannot be read: {error.strerror}") from error


def text_of(content: bytes) -> str:
    """Return the text of a file, with line feeds at the ends of its lines; raises `SkippedError`."""
    if len(content) > MAX_DOCUMENT_BYTES:
        raise SkippedError(f"it is larger than {MAX_DOCUMENT_BYTES} bytes")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SkippedError(f"it is not UTF-8 (at byte {error.start})") from error
    # No database takes NUL into a text.
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "\N{REPLACEMENT CHARACTER}")


@dataclass(frozen=True, slots=True)
class DocumentSources:
    """The documents below one folder, and single files beside it.

    A document's path is relative to the folder, with `/`; an extra file goes by its name. Bytes of a name
    that are not UTF-8 are escaped. Files and folders whose names begin with a dot are left out. Links to
    folders are not followed, and a link to a file has to lead to a document inside the folder that is not
    left out by itself. The path of the folder has no links.
    """

    folder: Path
    extra_files: Sequence[Path] = ()

    def find(self) -> list[FoundFile]:
        """Find every file, in a fixed order; of two with the same path the first counts.

        Raises `DocumentsMissingError` when the folder is gone or cannot be read.
        """
        found: dict[str, FoundFile] = {}
        skipped: list[FoundFile] = []
        for each in self._found():
            if each.reason:
                skipped.append(each)
            elif not is_path(each.path):
                skipped.append(FoundFile(each.path, each.file, "its path could not be asked for"))
            elif each.path in found:
                skipped.append(FoundFile(each.path, each.file, "another document has this path"))
            else:
                found[each.path] = each
        return [*found.values(), *skipped]

    def _found(self) -> Iterator[FoundFile]:
        pending = [self.folder]
        while pending:
            folder = pending.pop()
            try:
                entries = _visible_entries(folder)
            except OSError as error:
                if folder == self.folder:
                    raise DocumentsMissingError(
                        f"The documents folder {folder} cannot be read: {error.strerror}."
                    ) from error
                yield FoundFile(self._key(folder), folder, f"it cannot be read: {error.strerror}")
                continue
            for entry in entries:
                if entry.is_symlink():
                    yield from self._behind_link(entry)
                elif not entry.is_dir() and _is_document(entry.name):
                    yield FoundFile(self._key(entry), Path(entry))
            pending += [Path(entry) for entry in reversed(entries) if entry.is_dir(follow_symlinks=False)]
        for file in self.extra_files:
            yield FoundFile(_printable(file.name), Path(os.path.realpath(file)))

    def _behind_link(self, entry: os.DirEntry[str]) -> Iterator[FoundFile]:
        target = Path(os.path.realpath(entry))
        to_folder = target.is_dir()
        if not to_folder and not _is_document(entry.name):
            return
        reason = ""
        if not target.is_relative_to(self.folder):
            reason = "it is a link that leads outside the folder"
        elif to_folder:
            reason = "it is a link to a folder"
        elif _is_left_out(target.relative_to(self.folder)):
            reason = "it is a link to a file that is no document"
        yield FoundFile(self._key(entry), target, reason)

    def _key(self, file: os.PathLike[str]) -> str:
        return _printable(Path(file).relative_to(self.folder).as_posix())


def _visible_entries(folder: Path) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        visible = [entry for entry in entries if not entry.name.startswith(".")]
    return sorted(visible, key=lambda entry: entry.name)


def _is_document(name: str) -> bool:
    return name.lower().endswith(_ENDINGS)


def _is_left_out(path: Path) -> bool:
    return not _is_document(path.name) or any(name.startswith(".") for name in path.parts)


def _opened(file: Path) -> int:
    # Each name by itself, because a path would follow a link that a folder was swapped for meanwhile.
    folder = os.open(file.anchor, _FOLDER)
    try:
        for name in file.parts[1:-1]:
            below = os.open(name, _FOLDER, dir_fd=folder)
            os.close(folder)
            folder = below
        return os.open(file.name, _FLAGS, dir_fd=folder)
    finally:
        os.close(folder)


def _stamp(found: os.stat_result) -> Stamp:
    if not stat.S_ISREG(found.st_mode):
        raise SkippedError("it is not a regular file")
    return Stamp(found.st_size, found.st_mtime_ns)


def _printable(name: str) -> str:
    return name.encode("utf-8", errors="backslashreplace").decode("utf-8")
