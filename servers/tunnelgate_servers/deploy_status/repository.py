"""Records in a git repository, read out of its objects.

Nothing is run: no git, no hooks, no filters, and nothing of the repository's configuration is looked at.
There need be no working tree, and what stands in one makes no difference.

Specification: https://git-scm.com/docs/gitrepository-layout, https://git-scm.com/docs/gitrevisions
"""

import errno
import re
import stat
import zlib
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final, Literal

from dulwich.object_store import DiskObjectStore
from dulwich.objects import Blob, Commit, ObjectID, RawObjectID, ShaFile, Tag, Tree
from dulwich.refs import DiskRefsContainer, Ref

from tunnelgate_servers.deploy_status.records import MAX_RECORD_BYTES
from tunnelgate_servers.deploy_status.sources import Entry, Listing, Read, RecordFile, find_records
from tunnelgate_servers.hosting import UnavailableError

MAX_OBJECT_BYTES: Final = 16 * 1024 * 1024
"""The size of the largest object that is read or unpacked on the way to it, in bytes."""

_OFFSET_DELTA, _REF_DELTA = 6, 7
_MAX_DELTAS = 4096  # in a row, of which git makes 50
_MAX_VARINT = 10
_HEADER_BYTES = 128  # more than the numbers at the beginning of a packed object and of a difference take
_MAX_TAGS = 10  # that one tag after another may point at
_COMMIT = re.compile(rb"[0-9a-f]{40}")
_PLACES = (b"%s", b"refs/%s", b"refs/tags/%s", b"refs/heads/%s", b"refs/remotes/%s")  # as git looks for them


def is_repository(folder: Path) -> bool:
    """Return whether a folder is a git repository, bare or with a working tree around it."""
    return _git_folder(folder) is not None


class RepositorySource:
    """The records of the commit that `ref` names: a branch, a tag, or a commit in full.

    `folder` is the repository, bare or with a working tree around it.
    """

    def __init__(self, folder: Path, ref: str) -> None:
        self._git = _git_folder(folder) or folder
        self._ref = ref.encode()
        self._last: tuple[ObjectID, Listing] | None = None

    def listing(self) -> Listing:
        """Return the files of the commit; their stamps are the names of their objects."""
        found = self._resolved()
        if self._last is None or self._last[0] != found:
            with self._objects() as objects:
                commit = objects.commit(found)
                files, left_out = find_records(commit.tree, objects.entries_of)
            self._last = found, Listing(commit.id.decode(), files, left_out)
        return self._last[1]

    @contextmanager
    def opened(self) -> Generator[Read]:
        """Read objects of the repository."""
        with self._objects() as objects:

            def read(file: RecordFile) -> bytes:
                return objects.blob(file.stamp)

            yield read

    @contextmanager
    def _objects(self) -> Generator["_Objects"]:
        try:
            store = DiskObjectStore(self._git / "objects", loose_object_size_limit=MAX_OBJECT_BYTES)
            with closing(store):
                yield _Objects(store)
        except OSError as error:
            raise _unreadable() from error

    def _resolved(self) -> ObjectID:
        if _COMMIT.fullmatch(self._ref):
            return ObjectID(self._ref)
        refs = DiskRefsContainer(self._git)
        try:
            for place in _PLACES:
                found = refs.follow(Ref(place % self._ref))[1]
                if found is not None:
                    return found
        except Exception as error:
            raise _unreadable() from error  # whatever its parsers have for files that are no refs
        raise UnavailableError("The repository of the release records does not have the ref it is read at.")


def _unreadable() -> UnavailableError:
    return UnavailableError("The repository of the release records cannot be read; try again later.")


class _Objects:
    """The objects of a repository. Whatever is wrong with one is an `OSError`."""

    def __init__(self, store: DiskObjectStore) -> None:
        self._store = store

    def commit(self, name: ObjectID) -> Commit:
        for _ in range(_MAX_TAGS):
            found = self._get(name)
            if isinstance(found, Commit):
                return found
            if not isinstance(found, Tag):
                break
            name = found.object[1]
        raise OSError(errno.EINVAL, "the ref is not one of a commit")

    def entries_of(self, name: ObjectID) -> Iterator[Entry[ObjectID]]:
        tree = self._get(name)
        if not isinstance(tree, Tree):
            raise OSError(errno.ENOTDIR, "it is no tree")
        for entry in tree.items():
            file_name = entry.path.decode("utf-8", "surrogateescape")
            yield Entry(file_name, _kind(entry.mode), entry.sha, entry.sha)

    def blob(self, name: object) -> bytes:
        found = self._get(ObjectID(name)) if isinstance(name, bytes) else None
        if not isinstance(found, Blob):
            raise OSError(errno.EINVAL, "it is no file")
        content = found.as_raw_string()
        if len(content) > MAX_RECORD_BYTES:
            raise OSError(errno.EFBIG, f"it is larger than {MAX_RECORD_BYTES} bytes")
        return content

    def _get(self, name: ObjectID) -> ShaFile:
        try:
            sizes = _packed_sizes(self._store, name)
            if all(size <= MAX_OBJECT_BYTES for size in sizes):
                return self._store[name]
        except Exception as error:
            # A broken object raises what the file system, zlib, the parsers and the packs have for it.
            raise OSError(errno.EIO, "an object is missing or broken") from error
        raise OSError(errno.EFBIG, f"it is larger than {MAX_OBJECT_BYTES} bytes")


def _packed_sizes(store: DiskObjectStore, name: ObjectID | RawObjectID) -> Iterator[int]:
    """Yield the sizes of a packed object, and of all that it is unpacked from, without unpacking any of it.

    Specification: https://git-scm.com/docs/gitformat-pack
    """
    place = _packed_at(store, name)
    for _ in range(_MAX_DELTAS):
        if place is None:
            return
        path, offset = place
        with path.open("rb") as stream:
            stream.seek(offset)
            _, size, base, packed = _header(stream.read(_HEADER_BYTES))
        yield size
        if base is None:
            return
        begin = zlib.decompressobj().decompress(packed, 2 * _MAX_VARINT)
        yield _varint(begin, _varint(begin, 0)[1])[0]
        place = (path, offset - base) if isinstance(base, int) else _packed_at(store, RawObjectID(base))
    raise OSError(errno.EIO, "an object is a difference to too many others")


def _packed_at(store: DiskObjectStore, name: ObjectID | RawObjectID) -> tuple[Path, int] | None:
    pack = next((each for each in store.packs if name in each), None)
    return None if pack is None else (Path(pack.data.path), pack.index.object_offset(name))


def _header(packed: bytes) -> tuple[int, int, int | bytes | None, bytes]:
    """Return the kind and the size of a packed object, what it is a difference to, and what follows."""
    kind = packed[0] >> 4 & 7
    rest, place = _varint(packed, 1) if packed[0] & 0x80 else (0, 1)
    size = packed[0] & 15 | rest << 4
    if kind == _OFFSET_DELTA:
        base = packed[place] & 0x7F
        while packed[place] & 0x80:
            place += 1
            base = (base + 1) << 7 | packed[place] & 0x7F
        return kind, size, base, packed[place + 1 :]
    if kind == _REF_DELTA:
        return kind, size, packed[place : place + 20], packed[place + 20 :]
    return kind, size, None, packed[place:]


def _varint(octets: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        value |= (octets[place] & 0x7F) << shift
        shift, place = shift + 7, place + 1
        if not octets[place - 1] & 0x80:
            return value, place


def _kind(mode: int) -> Literal["folder", "file", "link", "other"]:
    if stat.S_ISDIR(mode):
        return "folder"
    if stat.S_ISREG(mode):
        return "file"
    return "link" if stat.S_ISLNK(mode) else "other"  # such as a submodule


def _git_folder(folder: Path) -> Path | None:
    for each in (folder / ".git", folder):
        if (each / "objects").is_dir() and (each / "refs").is_dir() and (each / "HEAD").is_file():
            return each
    return None
