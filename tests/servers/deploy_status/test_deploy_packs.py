"""Packed objects that are differences to others: read, and bounded before they are unpacked."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from dulwich.objects import Blob
from dulwich.pack import UnpackedObject, create_delta, write_pack_data
from dulwich.refs import Ref
from dulwich.repo import Repo

from tests.servers.deploy_status.releasing import commit_of_record
from tunnelgate_servers.deploy_status import repository as packs
from tunnelgate_servers.deploy_status.catalogue import Records
from tunnelgate_servers.deploy_status.repository import RepositorySource

_PLAIN, _NAMED = 3, 7
RECORD = b"""\
service: checkout
environment: production
version: 1.0.0
image: registry.example.com/shop/checkout:1.0.0@sha256:%s
commit: 5b1c2d3e4f5a6b7c8d9e0f1a2b3c4d5e6f7a8b9c
config_hash: sha256:91ab2c3d4e5f60718293a4b5c6d7e8f9091a2b3c4d5e6f708192a3b4c5d6e7f8
released_at: 2026-03-31T09:12:44Z
released_by: mara.lindqvist@example.com
summary: Do not charge twice.
""" % (b"0f" * 32)
PATH = "production/checkout/1.0.0.yaml"


def plain(blob: Blob) -> UnpackedObject:
    """Return a blob as it stands in a pack by itself."""
    return UnpackedObject(_PLAIN, decomp_chunks=blob.as_raw_chunks(), sha=blob.sha().digest())


def difference(base: Blob, blob: Blob, kind: int) -> UnpackedObject:
    """Return a blob as the difference to another one, which the writer of the pack finds by its name."""
    chunks = [*create_delta(base.as_raw_string(), blob.as_raw_string())]
    return UnpackedObject(kind, delta_base=base.sha().digest(), decomp_chunks=chunks, sha=blob.sha().digest())


def repository_with(folder: Path, blob: Blob, packed: list[UnpackedObject]) -> RepositorySource:
    """Make a repository with one record, whose blob is in a pack of its own with whatever it needs."""
    with Repo.init_bare(str(folder), mkdir=True) as repository:
        objects = commit_of_record(blob)
        store = repository.object_store
        store.add_objects([(each, None) for each in objects])
        file, complete, _ = store.add_pack()
        write_pack_data(file.write, iter(packed), store.object_format, num_records=len(packed))
        complete()
        repository.refs[Ref(b"HEAD")] = objects[-1].id
    return RepositorySource(folder, "HEAD")


def left_out(source: RepositorySource) -> Iterator[str]:
    """Yield the paths of what cannot be read as a record."""
    yield from (each.path for each in Records(source).current().left_out)


BASE = Blob.from_string(RECORD.replace(b"1.0.0", b"0.9.0"))
BLOB = Blob.from_string(RECORD)


@pytest.mark.parametrize(
    "packed",
    [
        pytest.param([plain(BASE), difference(BASE, BLOB, _NAMED)], id="the other stands before it"),
        pytest.param([difference(BASE, BLOB, _NAMED), plain(BASE)], id="the other stands behind it"),
    ],
)
def test_a_record_that_is_a_difference_to_another_object_is_read(
    tmp_path: Path, packed: list[UnpackedObject]
) -> None:
    assert [*left_out(repository_with(tmp_path / "releases.git", BLOB, packed))] == []


@pytest.mark.parametrize("order", [1, -1], ids=["before it", "behind it"])
def test_a_small_record_that_is_a_difference_to_a_huge_object_is_not_unpacked(
    tmp_path: Path, order: int
) -> None:
    huge = Blob.from_string(RECORD + bytes(packs.MAX_OBJECT_BYTES))
    packed = [plain(huge), difference(huge, BLOB, _NAMED)]

    source = repository_with(tmp_path / "releases.git", BLOB, packed[::order])

    assert [*left_out(source)] == [PATH]


def test_a_difference_to_too_many_others_is_not_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packs, "_MAX_DELTAS", 1)

    source = repository_with(tmp_path / "releases.git", BLOB, [plain(BASE), difference(BASE, BLOB, _NAMED)])

    assert [*left_out(source)] == [PATH]
