"""Records of releases, in a folder or in a git repository, and the server over them."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml
from dulwich.index import commit_tree
from dulwich.objects import Blob, Commit, ObjectID, Tag, Tree
from dulwich.refs import Ref
from dulwich.repo import Repo

MAIN = "refs/heads/main"
FILE, FOLDER, LINK, SUBMODULE = 0o100644, 0o040000, 0o120000, 0o160000

Files = Mapping[str, "str | bytes"]


def digest(number: int) -> str:
    return f"sha256:{number:064x}"


def fields(version: str = "1.4.0", day: int = 1, **changes: Any) -> dict[str, Any]:
    """Return what a record says; a field that is `None` is left out."""
    service = changes.get("service", "checkout")
    said = {
        "service": service,
        "environment": "production",
        "version": version,
        "image": f"registry.example.com/shop/{service}:{version}@{digest(day)}",
        "commit": f"{day:040x}",
        "config_hash": digest(500),
        "released_at": f"2026-03-{day:02}T09:12:44Z",
        "released_by": "mara.lindqvist@example.com",
        "summary": f"What changed in {version}.",
        **changes,
    }
    return {name: value for name, value in said.items() if value is not None}


def record(version: str = "1.4.0", day: int = 1, **changes: Any) -> str:
    """Return a record as a file."""
    return yaml.safe_dump(fields(version, day, **changes), allow_unicode=True)


def path(number: int, service: str = "checkout", environment: str = "production") -> str:
    return f"{environment}/{service}/{number:04}.yaml"


HISTORY = {
    path(1): record("1.1.0", 1),
    path(2): record("1.2.0", 2, config_hash=digest(501)),
    path(3): record("1.3.0", 3, outcome="failed"),
    path(4): record(
        "1.3.0", 4, previous="1.2.0", links=[{"title": "SHOP-7", "url": "https://example.com/7"}]
    ),
    path(5): record("1.2.0", 5, kind="rollback", image=fields("1.2.0", 2)["image"]),
    path(6): record("1.3.1", 6, kind="hotfix"),
    path(7): record("1.4.0", 7, outcome="failed"),
    path(1, environment="staging"): record("1.3.1", 5, environment="staging"),
    path(2, environment="staging"): record("1.4.0", 6, environment="staging"),
    path(3, environment="staging"): record("1.5.0", 8, environment="staging"),
    path(1, "search"): record("7.0.0", 1, service="search"),
    path(1, "payments"): record("2.0.0", 1, service="payments", outcome="failed"),
}
"""Three services in two environments, with a failed release, a rollback and a hotfix."""


def write_files(folder: Path, files: Files) -> Path:
    """Write files below a folder, and return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


class Repository:
    """A git repository to which commits are made; nothing stands in its working tree."""

    def __init__(self, folder: Path, *, bare: bool = True) -> None:
        self.folder = folder
        create = Repo.init_bare if bare else Repo.init
        self._repo = create(folder, mkdir=True)
        self._repo.refs.set_symbolic_ref(Ref(b"HEAD"), Ref(MAIN.encode()))

    def commit(
        self, files: Files, ref: str = MAIN, others: Mapping[str, tuple[int, bytes]] | None = None
    ) -> str:
        """Commit exactly these files, and entries of other modes with what they hold; return the commit."""
        store = self._repo.object_store
        entries: list[tuple[bytes, ObjectID, int]] = []
        modes = {name: (FILE, content) for name, content in files.items()}
        for name, (mode, content) in {**modes, **(others or {})}.items():
            blob = Blob.from_string(content if isinstance(content, bytes) else content.encode())
            store.add_object(blob)
            entries.append((name.encode("utf-8", "surrogateescape"), blob.id, mode))
        return self.commit_tree(commit_tree(store, entries), ref)

    def commit_tree(self, tree: ObjectID, ref: str = MAIN) -> str:
        commit = Commit()
        commit.tree = tree
        commit.author = commit.committer = b"Pipeline <pipeline@example.com>"
        commit.author_time = commit.commit_time = 1_770_000_000
        commit.author_timezone = commit.commit_timezone = 0
        commit.message = b"Release"
        self._repo.object_store.add_object(commit)
        self._repo.refs[Ref(ref.encode())] = commit.id
        return commit.id.decode()

    def commit_crafted(self, files: Files, name: str) -> str:
        """Commit these files, and once more the whole of them under a name that git would not make."""
        store = self._repo.object_store
        self.commit(files)
        commit = self._repo[Ref(MAIN.encode())]
        assert isinstance(commit, Commit)
        top = store[commit.tree]
        assert isinstance(top, Tree)
        inner = top.copy()
        top.add(name.encode(), FOLDER, inner.id)
        store.add_object(top)
        return self.commit_tree(top.id)

    def tag(self, name: str, target: str, kind: type[Commit] | type[Tag] = Commit) -> str:
        """Make an annotated tag of a commit, or of another tag; return the tag."""
        tag = Tag()
        tag.name = name.encode()
        tag.object = (kind, ObjectID(target.encode()))
        tag.message = b"A tag"
        tag.tagger = b"Pipeline <pipeline@example.com>"
        tag.tag_time = 1_770_000_000
        tag.tag_timezone = 0
        self._repo.object_store.add_object(tag)
        self._repo.refs[Ref(f"refs/tags/{name}".encode())] = tag.id
        return tag.id.decode()

    def pack(self) -> None:
        """Put all objects into a pack, and all refs into one file."""
        self._repo.object_store.pack_loose_objects()
        self._repo.refs.pack_refs(all=True)

    def close(self) -> None:
        self._repo.close()


class Clock:
    """Stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.now


def commit_of_record(blob: Blob) -> list[Tree | Commit]:
    """Return the trees for one record with the content ``blob``, and their commit as the last."""
    trees: list[Tree] = []
    name, mode, below = b"1.0.0.yaml", FILE, blob.id
    for parent in (b"checkout", b"production", b""):
        tree = Tree()
        tree.add(name, mode, below)
        trees.append(tree)
        name, mode, below = parent, FOLDER, tree.id
    commit = Commit()
    commit.tree = trees[-1].id
    commit.author = commit.committer = b"Mara Lindqvist <mara.lindqvist@example.com>"
    commit.author_time = commit.commit_time = int(datetime(2026, 3, 1, tzinfo=UTC).timestamp())
    commit.author_timezone = commit.commit_timezone = 0
    commit.message = b"Release"
    return [*trees, commit]
