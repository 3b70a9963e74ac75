"""Where records lie: what is found there, what is left out, and what is never followed."""

import errno
import os
import shutil
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import pytest
from dulwich.objects import ObjectID, Tag

from tests.servers.deploy_status.releasing import (
    LINK,
    SUBMODULE,
    Clock,
    Files,
    Repository,
    path,
    record,
    write_files,
)
from tunnelgate_servers.deploy_status import sources
from tunnelgate_servers.deploy_status.folder import FolderSource
from tunnelgate_servers.deploy_status.records import MAX_RECORD_BYTES
from tunnelgate_servers.deploy_status.repository import (
    MAX_OBJECT_BYTES,
    RepositorySource,
    is_repository,
)
from tunnelgate_servers.deploy_status.sources import Entry, LeftOut, RecordSource, find_records
from tunnelgate_servers.hosting import UnavailableError

FILES = {path(1): "one", path(2): "two", path(1, "search", "staging"): "three"}
BESIDE = {
    "README.md": "read me",
    "production/README.md": "read me",
    "production/checkout/notes.txt": "a note",
    "production/checkout/.hidden.yaml": "hidden",
    ".github/workflows/build.yaml": "hidden",
    "production/checkout/old/0001.yaml": "deeper",
    "production/0001.yaml": "higher",
}
Place = Callable[[Files], RecordSource]


@pytest.fixture
def cleanup() -> Generator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture(params=["folder", "bare repository", "repository with a working tree"])
def place(request: pytest.FixtureRequest, tmp_path: Path, cleanup: ExitStack) -> Place:
    """Put files in each of the places that records can lie in."""

    def put(files: Files) -> RecordSource:
        if request.param == "folder":
            return FolderSource(write_files(tmp_path / "releases", files), Clock())
        repository = Repository(tmp_path / "releases", bare=request.param == "bare repository")
        cleanup.callback(repository.close)
        repository.commit(files)
        return RepositorySource(repository.folder, "HEAD")

    return put


def contents(source: RecordSource) -> dict[str, bytes]:
    with source.opened() as read:
        return {file.path: read(file) for file in source.listing().files}


def test_the_records_are_found_and_read_in_the_order_of_their_paths(place: Place) -> None:
    source = place({**BESIDE, **FILES})

    found = contents(source)

    assert list(found.items()) == [(name, FILES[name].encode()) for name in sorted(FILES)]
    assert source.listing().left_out == ()


def test_an_empty_place_has_no_records(place: Place) -> None:
    assert place({"README.md": "read me"}).listing().files == ()


def test_names_that_are_not_plain_are_left_out_by_name(place: Place) -> None:
    source = place(
        {
            **FILES,
            "pro duction/checkout/0001.yaml": "",
            "production/chéckout/0001.yaml": "",
            "production/checkout/-1.yaml": "",
            "production/checkout/1\n.yaml": "",
        }
    )

    listing = source.listing()

    reason = "its name has other characters than letters, digits, dots, hyphens and underscores"
    assert [(each.path, each.reason) for each in listing.left_out] == [
        ("pro duction", reason),
        ("production/ch\\xe9ckout", reason),
        ("production/checkout/-1.yaml", reason),
        ("production/checkout/1\\n.yaml", reason),
    ]
    assert {file.path for file in listing.files} == set(FILES)


def test_a_folder_named_as_a_record_is_left_out(place: Place) -> None:
    source = place({**FILES, "production/checkout/0009.yaml/0001.yaml": ""})

    assert [(each.path, each.reason) for each in source.listing().left_out] == [
        ("production/checkout/0009.yaml", "it is a folder")
    ]


def test_a_record_may_be_as_large_as_the_limit_and_no_larger(place: Place) -> None:
    source = place({path(1): b"a" * MAX_RECORD_BYTES, path(2): b"a" * (MAX_RECORD_BYTES + 1)})

    listing = source.listing()
    found: dict[str, int | str] = {each.path: each.reason for each in listing.left_out}
    with source.opened() as read:
        for file in listing.files:
            try:
                found[file.path] = len(read(file))
            except OSError as error:
                found[file.path] = str(error.strerror)

    assert found == {
        path(1): MAX_RECORD_BYTES,
        path(2): f"it is larger than {MAX_RECORD_BYTES} bytes",
    }


ENTRIES = 2 + 2 + 3  # environments, services and files


def test_there_may_be_as_many_entries_as_the_limit(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "MAX_ENTRIES", ENTRIES)

    assert len(place(FILES).listing().files) == len(FILES)


def test_there_may_be_no_more_entries_than_the_limit(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "MAX_ENTRIES", ENTRIES - 1)

    with pytest.raises(UnavailableError, match="more release records than this server reads"):
        place(FILES).listing()


def test_a_folder_that_cannot_be_listed_is_left_out_by_name() -> None:
    def entries_of(place: str) -> Iterator[Entry[str]]:
        if place == "locked":
            raise PermissionError(errno.EACCES, "Permission denied", "/srv/releases/locked")
        yield from {
            "": [Entry("production", "folder", "open"), Entry("staging", "folder", "locked")],
            "open": [Entry("checkout", "folder", "files")],
            "files": [Entry("0001.yaml", "file", "")],
        }[place]

    with pytest.raises(PermissionError):
        find_records("locked", entries_of)
    files, left_out = find_records("", entries_of)

    assert [file.path for file in files] == [path(1)]
    assert left_out == (LeftOut("staging/", "it cannot be read: Permission denied"),)


class TestFolder:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        return write_files(tmp_path / "releases", FILES)

    @pytest.fixture
    def secret(self, tmp_path: Path) -> Path:
        """A record outside the folder that must never be read."""
        return write_files(tmp_path / "secret", {"checkout/0001.yaml": "secret"})

    def test_links_are_left_out_whatever_they_lead_to(self, folder: Path, secret: Path) -> None:
        (folder / "outside").symlink_to(secret)
        (folder / "production" / "outside").symlink_to(secret / "checkout")
        (folder / path(8)).symlink_to(secret / "checkout" / "0001.yaml")
        (folder / path(9)).symlink_to("0001.yaml")
        source = FolderSource(folder, Clock())

        assert [(each.path, each.reason) for each in source.listing().left_out] == [
            ("outside", "it is a link"),
            (path(8), "it is a link"),
            (path(9), "it is a link"),
            ("production/outside", "it is a link"),
        ]
        assert set(contents(source)) == set(FILES)

    @pytest.mark.parametrize("swapped", ["production", "production/checkout", path(1)])
    def test_a_link_that_comes_after_the_listing_is_not_followed(
        self, folder: Path, secret: Path, swapped: str
    ) -> None:
        source = FolderSource(folder, Clock())
        file = source.listing().files[0]
        place = folder / swapped
        reason = "Too many levels of symbolic links|Not a directory"
        shutil.rmtree(place) if place.is_dir() else place.unlink()
        place.symlink_to(secret if swapped == "production" else secret / "checkout")

        with source.opened() as read, pytest.raises(OSError, match=reason):
            read(file)

    def test_a_file_that_is_gone_after_the_listing_is_an_error_of_that_file(self, folder: Path) -> None:
        source = FolderSource(folder, Clock())
        gone, stays, _ = source.listing().files
        (folder / gone.path).unlink()

        with source.opened() as read:
            with pytest.raises(FileNotFoundError):
                read(gone)
            assert read(stays) == b"two"

    def test_pipes_are_left_out_and_not_waited_for(self, folder: Path) -> None:
        os.mkfifo(folder / "pipe")
        os.mkfifo(folder / path(8))
        source = FolderSource(folder, Clock())

        assert [(each.path, each.reason) for each in source.listing().left_out] == [
            ("pipe", "it is neither a file nor a folder"),
            (path(8), "it is neither a file nor a folder"),
        ]

    def test_a_pipe_that_comes_after_the_listing_is_not_waited_for(self, folder: Path) -> None:
        source = FolderSource(folder, Clock())
        file = source.listing().files[0]
        (folder / file.path).unlink()
        os.mkfifo(folder / file.path)

        with source.opened() as read, pytest.raises(OSError, match="it is not a regular file"):
            read(file)

    def test_a_file_that_has_grown_since_the_listing_is_read_to_the_limit(self, folder: Path) -> None:
        source = FolderSource(folder, Clock())
        file = source.listing().files[0]
        (folder / file.path).write_bytes(b"a" * (MAX_RECORD_BYTES + 1))

        with source.opened() as read, pytest.raises(OSError, match="it is larger than"):
            read(file)

    def test_a_name_of_bytes_that_are_no_text_is_left_out_by_name(self, folder: Path) -> None:
        Path(os.fsdecode(os.fsencode(folder / "production") + b"/\xff")).mkdir()

        (left_out,) = FolderSource(folder, Clock()).listing().left_out

        assert left_out.path == "production/\\udcff"

    def test_the_folder_itself_may_be_a_link_that_is_swapped(self, folder: Path, tmp_path: Path) -> None:
        other = write_files(tmp_path / "other", {path(7): "seven"})
        current = tmp_path / "current"
        current.symlink_to(folder)
        source = FolderSource(current, Clock())
        before = contents(source)
        current.unlink()
        current.symlink_to(other)

        assert (set(before), set(contents(source))) == (set(FILES), {path(7)})

    def test_without_the_folder_nothing_can_be_read(self, folder: Path) -> None:
        source = FolderSource(folder, Clock())
        shutil.rmtree(folder)

        with pytest.raises(
            UnavailableError, match=r"^The release records cannot be read; try again later\.$"
        ):
            source.listing()
        with pytest.raises(UnavailableError), source.opened():
            pass

    def test_a_stamp_stays_until_the_file_is_written(self, folder: Path) -> None:
        clock = Clock()
        source = FolderSource(folder, clock)
        clock.now += timedelta(minutes=1)
        first, second = source.listing(), source.listing()
        (folder / path(1)).write_text("changed")
        third = source.listing()

        assert first == second
        changed = [new.path for old, new in zip(second.files, third.files, strict=True) if old != new]
        assert changed == [path(1)]

    def test_a_file_that_was_written_just_now_is_another_one_each_time(self, folder: Path) -> None:
        source = FolderSource(folder, Clock())

        assert source.listing() != source.listing()


class TestRepository:
    @pytest.fixture
    def repository(self, tmp_path: Path) -> Generator[Repository]:
        repository = Repository(tmp_path / "releases.git")
        repository.commit(FILES)
        try:
            yield repository
        finally:
            repository.close()

    @staticmethod
    def at(repository: Repository, ref: str) -> set[str]:
        return {file.path for file in RepositorySource(repository.folder, ref).listing().files}

    def test_a_branch_a_tag_and_a_commit_can_be_read(self, repository: Repository) -> None:
        first = repository.commit({path(1): "old"}, "refs/heads/release/2026")
        tag = repository.tag("v1", first)
        repository.tag("v2", tag, Tag)
        repository.commit({path(1): "", path(2): "", path(3): ""}, "refs/remotes/origin/main")

        refs = ["release/2026", "refs/heads/release/2026", "heads/release/2026", "v1", "v2", "tags/v1", first]
        assert [self.at(repository, ref) for ref in refs] == [{path(1)}] * len(refs)
        assert self.at(repository, "origin/main") == {path(1), path(2), path(3)}
        assert self.at(repository, "HEAD") == self.at(repository, "main") == set(FILES)

    def test_a_tag_comes_before_a_branch_of_the_same_name(self, repository: Repository) -> None:
        commit = repository.commit({path(1): "tagged"}, "refs/heads/other")
        repository.tag("main", commit)

        assert self.at(repository, "main") == {path(1)}

    def test_objects_and_refs_may_be_packed(self, repository: Repository) -> None:
        repository.tag("v1", repository.commit(FILES))
        repository.pack()
        source = RepositorySource(repository.folder, "v1")

        assert {name: content.decode() for name, content in contents(source).items()} == FILES

    def test_the_listing_is_the_same_until_there_is_another_commit(self, repository: Repository) -> None:
        source = RepositorySource(repository.folder, "HEAD")
        first, second = source.listing(), source.listing()
        commit = repository.commit({**FILES, path(3): "new"})
        third = source.listing()

        assert first is second
        assert third.revision == commit != first.revision
        assert set(third.files) - set(first.files) == {third.files[2]}

    def test_the_listing_follows_a_branch_that_was_packed_meanwhile(self, repository: Repository) -> None:
        source = RepositorySource(repository.folder, "main")
        source.listing()
        repository.commit({path(1): "new"})
        repository.pack()

        assert [file.path for file in source.listing().files] == [path(1)]

    def test_links_and_submodules_are_left_out(self, repository: Repository) -> None:
        others = {
            "linked": (LINK, b"/etc"),
            "production/linked": (LINK, b"../staging"),
            path(8): (LINK, b"/etc/passwd"),
            "module": (SUBMODULE, b""),
            path(9): (SUBMODULE, b""),
        }
        repository.commit(FILES, others=others)
        source = RepositorySource(repository.folder, "HEAD")

        link, other = "it is a link", "it is neither a file nor a folder"
        assert [(each.path, each.reason) for each in source.listing().left_out] == [
            ("linked", link),
            ("module", other),
            (path(8), link),
            (path(9), other),
            ("production/linked", link),
        ]
        assert set(contents(source)) == set(FILES)

    @pytest.mark.parametrize("name", ["..", ".", ".git", "../../etc", "/etc"])
    def test_names_of_a_crafted_tree_are_no_records(self, repository: Repository, name: str) -> None:
        repository.commit_crafted(FILES, name)
        listing = RepositorySource(repository.folder, "HEAD").listing()

        assert {file.path for file in listing.files} == set(FILES)

    def test_nothing_of_the_configuration_and_no_hook_is_run(self, repository: Repository) -> None:
        ran = repository.folder.parent / "ran"
        write_files(
            repository.folder,
            {
                "config": f"[core]\n\tfsmonitor = touch {ran}\n\tsshCommand = touch {ran}\n"
                "\trepositoryformatversion = 99\n[include]\n\tpath = /dev/zero\n",
                "hooks/post-checkout": f"#!/bin/sh\ntouch {ran}\n",
            },
        )
        (repository.folder / "hooks" / "post-checkout").chmod(0o755)

        assert self.at(repository, "HEAD") == set(FILES)
        assert not ran.exists()

    def test_the_working_tree_makes_no_difference(self, tmp_path: Path) -> None:
        repository = Repository(tmp_path / "clone", bare=False)
        repository.commit({path(1): "committed"})
        write_files(repository.folder, {path(1): "changed", path(2): "new"})
        source = RepositorySource(repository.folder, "HEAD")
        repository.close()

        assert contents(source) == {path(1): b"committed"}

    @pytest.mark.parametrize("ref", ["none", "refs/heads/none", "f" * 40, "main.lock"])
    def test_a_ref_that_is_not_there_is_a_sentence(self, repository: Repository, ref: str) -> None:
        with pytest.raises(UnavailableError, match=r"^The repository of the release records "):
            RepositorySource(repository.folder, ref).listing()

    def test_a_tag_of_a_tree_is_no_commit(self, repository: Repository) -> None:
        listing = RepositorySource(repository.folder, "HEAD").listing()
        blob = listing.files[0].stamp
        assert isinstance(blob, bytes)
        with pytest.raises(UnavailableError):
            RepositorySource(repository.folder, blob.decode()).listing()

    def test_tags_of_tags_have_an_end(self, repository: Repository) -> None:
        name = repository.commit(FILES)
        kind = None
        for number in range(12):
            name = repository.tag(f"t{number}", name, *(() if kind is None else (kind,)))
            kind = Tag

        assert self.at(repository, "t8") == set(FILES)
        with pytest.raises(UnavailableError):
            self.at(repository, "t11")

    def test_a_ref_that_leads_to_itself_is_a_sentence(self, repository: Repository) -> None:
        (repository.folder / "refs" / "heads" / "loop").write_text("ref: refs/heads/loop\n")

        with pytest.raises(UnavailableError, match=r"cannot be read; try again later\.$"):
            RepositorySource(repository.folder, "loop").listing()

    @pytest.mark.parametrize("content", ["ref: ", "ref: ../../../secret\n", "zzz\n", "\xff\n"])
    def test_a_broken_ref_is_a_sentence(self, repository: Repository, content: str) -> None:
        (repository.folder / "refs" / "heads" / "broken").write_text(content)

        with pytest.raises(UnavailableError):
            RepositorySource(repository.folder, "broken").listing()

    def object_file(self, repository: Repository, name: str) -> Path:
        return repository.folder / "objects" / name[:2] / name[2:]

    def test_a_broken_file_is_an_error_of_that_file(self, repository: Repository) -> None:
        source = RepositorySource(repository.folder, "HEAD")
        file = source.listing().files[0]
        assert isinstance(file.stamp, bytes)
        blob = self.object_file(repository, file.stamp.decode())
        blob.chmod(0o644)
        blob.write_bytes(b"broken")

        with source.opened() as read, pytest.raises(OSError, match="an object is missing or broken"):
            read(file)

    def test_a_file_that_would_become_huge_is_not_unpacked(self, repository: Repository) -> None:
        repository.commit({path(1): b"\0" * (MAX_OBJECT_BYTES + 1)})
        source = RepositorySource(repository.folder, "HEAD")
        (file,) = source.listing().files

        with source.opened() as read, pytest.raises(OSError, match="an object is missing or broken"):
            read(file)

    def test_a_tree_that_is_missing_is_left_out_by_name(self, repository: Repository) -> None:
        repository.commit(FILES, others={"broken": (0o040000, b"this is no tree")})

        (left_out,) = RepositorySource(repository.folder, "HEAD").listing().left_out

        assert (left_out.path, left_out.reason) == ("broken/", "it cannot be read: it is no tree")

    def test_without_its_tree_a_commit_cannot_be_read(self, repository: Repository) -> None:
        repository.commit_tree(ObjectID(b"0" * 39 + b"1"))

        with pytest.raises(UnavailableError, match=r"cannot be read; try again later\.$"):
            RepositorySource(repository.folder, "HEAD").listing()

    def test_a_file_that_is_a_tree_is_an_error_of_that_file(self, repository: Repository) -> None:
        source = RepositorySource(repository.folder, "HEAD")
        file = source.listing().files[0]

        with source.opened() as read, pytest.raises(OSError, match="it is no file"):
            read(type(file)(file.path, None))

    def test_without_objects_nothing_can_be_read(self, repository: Repository) -> None:
        source = RepositorySource(repository.folder, "HEAD")
        shutil.rmtree(repository.folder / "objects")

        with pytest.raises(UnavailableError, match=r"cannot be read; try again later\.$"):
            source.listing()

    def test_a_folder_with_a_file_named_git_is_no_repository(self, tmp_path: Path) -> None:
        folder = write_files(tmp_path / "worktree", {".git": "gitdir: /elsewhere", path(1): record()})

        assert not is_repository(folder)
