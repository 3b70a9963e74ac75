"""Reading: the Markdown files of a folder, each as a document or as a reason why it was skipped."""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tunnelgate_servers.docs_readonly.errors import DocumentsMissingError
from tunnelgate_servers.docs_readonly.results import SkippedFile

MAX_DOCUMENT_BYTES: Final = 1024 * 1024
"""The size of the largest file that is indexed, in bytes."""

_SUFFIXES = (".md", ".markdown")


@dataclass(frozen=True, slots=True)
class SourceDocument:
    """A document as it was read: its path as the key of the index, its text, and the file's size in bytes."""

    path: str
    text: str
    size: int


_Found = SourceDocument | SkippedFile


@dataclass(frozen=True, slots=True)
class DocumentSources:
    """The Markdown files below one folder, and single files beside it.

    A document's path is relative to the folder, with `/`; an extra file goes by its name. Bytes of a name
    that are not UTF-8 are escaped. Files and folders whose names begin with a dot are left out. Links to
    folders are not followed, and a link to a file has to stay inside the folder, whose own path has no links.
    """

    folder: Path
    extra_files: tuple[Path, ...] = ()

    def read(self) -> Iterator[_Found]:
        """Read every file, in a fixed order and one at a time; of two with the same path the first counts.

        Raises `DocumentsMissingError` when the folder is gone or cannot be read.
        """
        taken: set[str] = set()
        for found in self._found():
            if found.path in taken:
                yield SkippedFile(path=found.path, reason="another document has this path")
            else:
                taken.add(found.path)
                yield found

    def _found(self) -> Iterator[_Found]:
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
                yield SkippedFile(path=self._key(folder), reason=f"it cannot be read: {error.strerror}")
                continue
            for entry in entries:
                if entry.is_symlink():
                    yield from self._behind_link(entry)
                elif not entry.is_dir() and _is_document(entry):
                    yield _load(self._key(entry), Path(entry))
            pending += [Path(entry) for entry in reversed(entries) if entry.is_dir(follow_symlinks=False)]
        for file in self.extra_files:
            yield _load(_printable(file.name), file)

    def _behind_link(self, entry: os.DirEntry[str]) -> Iterator[_Found]:
        target = Path(os.path.realpath(entry))
        to_folder = target.is_dir()
        if not to_folder and not _is_document(entry):
            return
        if not target.is_relative_to(self.folder):
            yield SkippedFile(path=self._key(entry), reason="it is a link that leads outside the folder")
        elif to_folder:
            yield SkippedFile(path=self._key(entry), reason="it is a link to a folder")
        else:
            yield _load(self._key(entry), target)

    def _key(self, file: os.PathLike[str]) -> str:
        return _printable(Path(file).relative_to(self.folder).as_posix())


def _visible_entries(folder: Path) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        visible = [entry for entry in entries if not entry.name.startswith(".")]
    return sorted(visible, key=lambda entry: entry.name)


def _is_document(entry: os.DirEntry[str]) -> bool:
    return entry.name.lower().endswith(_SUFFIXES)


def _load(path: str, file: Path) -> _Found:
    try:
        if not stat.S_ISREG(file.stat().st_mode):
            return SkippedFile(path=path, reason="it is not a regular file")
        with file.open("rb") as stream:
            content = stream.read(MAX_DOCUMENT_BYTES + 1)
    except OSError as error:
        return SkippedFile(path=path, reason=f"it cannot be read: {error.strerror}")
    if len(content) > MAX_DOCUMENT_BYTES:
        return SkippedFile(path=path, reason=f"it is larger than {MAX_DOCUMENT_BYTES} bytes")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return SkippedFile(path=path, reason=f"it is not UTF-8 (at byte {error.start})")
    return SourceDocument(path=path, text=text.replace("\0", "\N{REPLACEMENT CHARACTER}"), size=len(content))


def _printable(name: str) -> str:
    return name.encode("utf-8", errors="backslashreplace").decode("utf-8")
