"""Where records lie: one interface, behind which stand a folder and a git repository.

Both have records in folders of environments and services, and both are walked by the same rules: links are
not followed, names have to be plain, and there is a limit to everything. A path comes from such a walk and
never from a caller.
"""

import re
from collections.abc import Callable, Hashable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Final, Generic, Literal, Protocol, TypeVar

from tunnelgate_servers.deploy_status.records import MAX_RECORD_BYTES, NAME
from tunnelgate_servers.hosting import UnavailableError

MAX_ENTRIES: Final = 50_000
"""How many files and folders there may be."""

_SUFFIXES = (".yaml", ".yml")
_PLAIN = re.compile(NAME)
_FILE_DEPTH = 2  # below the environment and the service

_Place = TypeVar("_Place")


@dataclass(frozen=True, slots=True)
class RecordFile:
    """A file that should hold a record. `stamp` is another one whenever the content is."""

    path: str
    stamp: Hashable


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A file that is not among the records, and why."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class Listing:
    """All files with records as they are now. `revision` is the commit that they are of, if there is one."""

    revision: str | None
    files: tuple[RecordFile, ...]
    left_out: tuple[LeftOut, ...]


Read = Callable[[RecordFile], bytes]
"""Returns the content of a file; raises `OSError` when it cannot be had."""


class RecordSource(Protocol):
    """Where records lie. Every method raises `UnavailableError` when the whole of it cannot be read."""

    def listing(self) -> Listing:
        """Return what there is now."""
        ...

    def opened(self) -> AbstractContextManager[Read]:
        """Return the way to read files of the last listing, which is open for a while."""
        ...


@dataclass(frozen=True, slots=True)
class Entry(Generic[_Place]):
    """Something in a folder. `place` is what a folder is listed by, and `size` is in bytes where known."""

    name: str
    kind: Literal["folder", "file", "link", "other"]
    place: _Place
    stamp: Hashable = None
    size: int = 0


def find_records(
    top: _Place, entries_of: Callable[[_Place], Iterable[Entry[_Place]]]
) -> tuple[tuple[RecordFile, ...], tuple[LeftOut, ...]]:
    """Walk from `top` down to the files of records, in the order of their paths.

    `entries_of` lists a folder; where it raises `OSError` below the top, that folder is left out.
    Raises `UnavailableError` where there is more than `MAX_ENTRIES`.
    """
    files: list[RecordFile] = []
    left_out: list[LeftOut] = []
    pending: list[tuple[str, int, _Place]] = [("", 0, top)]
    seen = 0
    while pending:
        parent, depth, place = pending.pop()
        try:
            for entry in entries_of(place):
                seen += 1
                if seen > MAX_ENTRIES:
                    raise UnavailableError("There are more release records than this server reads.")
                path = parent + printable(entry.name)
                reason = _fault_of(entry, depth)
                if reason:
                    left_out.append(LeftOut(path, reason))
                elif _is_folder_of_records(entry, depth):
                    pending.append((f"{path}/", depth + 1, entry.place))
                elif _is_record(entry, depth):
                    files.append(RecordFile(path, entry.stamp))
        except OSError as error:
            if depth == 0:
                raise
            left_out.append(LeftOut(parent, f"it cannot be read: {error.strerror}"))
    by_path = sorted(files, key=lambda file: file.path)
    return tuple(by_path), tuple(sorted(left_out, key=lambda each: each.path))


def _is_folder_of_records(entry: Entry[_Place], depth: int) -> bool:
    return entry.kind == "folder" and depth < _FILE_DEPTH and not entry.name.startswith(".")


def _is_record(entry: Entry[_Place], depth: int) -> bool:
    return entry.kind == "file" and depth == _FILE_DEPTH and _is_named_as_record(entry)


def _is_named_as_record(entry: Entry[_Place]) -> bool:
    return entry.name.endswith(_SUFFIXES) and not entry.name.startswith(".")


def _fault_of(entry: Entry[_Place], depth: int) -> str:
    """Return why something that could be meant as a record or a folder of them is left out."""
    if entry.name.startswith("."):
        return ""
    meant = _is_named_as_record(entry) if depth == _FILE_DEPTH else entry.kind != "file"
    if not meant:
        return ""
    if entry.kind == "link":
        return "it is a link"
    if entry.kind == "other":
        return "it is neither a file nor a folder"
    if depth == _FILE_DEPTH and entry.kind == "folder":
        return "it is a folder"
    if not _PLAIN.fullmatch(entry.name):
        return "its name has other characters than letters, digits, dots, hyphens and underscores"
    if entry.size > MAX_RECORD_BYTES:
        return f"it is larger than {MAX_RECORD_BYTES} bytes"
    return ""


def printable(name: str) -> str:
    """Return a name as a log can have it."""
    return ascii(name)[1:-1]
