"""Records in a git repository, read out of its objects.

Nothing is run: no git, no hooks, no filters, and nothing of the repository's configuration is looked at.
There need be no working tree, and what stands in one makes no difference.

Specification: https://git-scm.com/docs/gitrepository-layout, https://git-scm.com/docs/gitrevisions
"""

import errno
import re
import stat
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final, Literal

from dulwich.object_store import DiskObjectStore
from dulwich.objects import Blob, Commit, ObjectID, ShaFile, Tag, Tree
from dulwich.refs import DiskRefsContainer, Ref

from tunnelgate_servers.deploy_status.records import MAX_RECORD_BYTES
from tunnelgate_servers.deploy_status.sources import Entry, Listing, Read, RecordFile, find_records
from tunnelgate_servers.hosting import UnavailableError

MAX_OBJECT_BYTES: Final = 16 * 1024 * 1024
"""The size of the largest loose object that is read, in bytes."""

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
            return self._store[name]
        except Exception as error:
            # A broken object raises what the file system, zlib, the parsers and the packs have for it.
            raise OSError(errno.EIO, "an object is missing or broken") from error


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
