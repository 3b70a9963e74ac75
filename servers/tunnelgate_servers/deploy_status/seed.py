"""Release records of a fictional shop, as its pipeline would have written them in a year."""

from collections.abc import Sequence
from datetime import date, datetime
from itertools import groupby
from pathlib import Path
from typing import Final

import yaml
from dulwich.index import commit_tree
from dulwich.objects import Blob, Commit, ObjectID
from dulwich.refs import Ref
from dulwich.repo import Repo

from tunnelgate_servers.deploy_status.seed_timeline import SeededRelease, timeline

_AUTHOR: Final = b"Release Pipeline <pipeline@example.com>"
_MAIN = Ref(b"refs/heads/main")
_FILE = 0o100644


def write_releases(folder: Path, *, seed: int, until: date) -> int:
    """Write the records of the year before `until` below `folder`, and return how many they are.

    The same `seed` and `until` give the same files.
    """
    releases = timeline(seed, until)
    for path, content in _files(releases):
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    return len(releases)


def write_repository(folder: Path, *, seed: int, until: date) -> int:
    """Write the same records into a new bare git repository, a commit for each month, and a tag for each.

    Returns how many records there are. The branch is `main`, and a tag is such as `2026-03`.
    """
    releases = timeline(seed, until)
    files = dict(_files(releases))
    with Repo.init_bare(folder, mkdir=True) as repository:
        repository.refs.set_symbolic_ref(Ref(b"HEAD"), _MAIN)
        blobs: list[tuple[bytes, ObjectID, int]] = []
        parents: list[ObjectID] = []
        for month, of_month in groupby(releases, key=lambda each: f"{each.released_at:%Y-%m}"):
            added = list(of_month)
            for each in added:
                blob = Blob.from_string(files[each.path])
                repository.object_store.add_object(blob)
                blobs.append((each.path.encode(), blob.id, _FILE))
            tree = commit_tree(repository.object_store, blobs)
            commit = _commit(tree, parents, added[-1].released_at, f"Releases of {month}")
            repository.object_store.add_object(commit)
            repository.refs[_MAIN] = commit.id
            repository.refs[Ref(f"refs/tags/{month}".encode())] = commit.id
            parents = [commit.id]
    return len(releases)


def _files(releases: Sequence[SeededRelease]) -> list[tuple[str, bytes]]:
    return [(each.path, _record(each)) for each in releases]


def _record(release: SeededRelease) -> bytes:
    text = yaml.safe_dump(release.record, sort_keys=False, allow_unicode=True, width=100)
    return text.encode()


def _commit(tree: ObjectID, parents: list[ObjectID], at: datetime, message: str) -> Commit:
    commit = Commit()
    commit.tree = tree
    commit.parents = parents
    commit.author = commit.committer = _AUTHOR
    commit.author_time = commit.commit_time = int(at.timestamp())
    commit.author_timezone = commit.commit_timezone = 0
    commit.message = message.encode()
    return commit
