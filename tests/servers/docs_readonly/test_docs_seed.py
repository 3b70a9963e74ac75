"""Sample documents: the same each time, of every kind, and found again."""

from datetime import UTC, date, datetime
from pathlib import Path
from statistics import median
from time import perf_counter

import pytest

from tests.servers.docs_readonly.documents import indexed, opened, reader_of
from tests.support.postgres import Databases
from tunnelgate_servers.docs_readonly.parsing import kind_of
from tunnelgate_servers.docs_readonly.reader import IndexReader
from tunnelgate_servers.docs_readonly.seed import write_documents

UNTIL = date(2026, 11, 1)


def contents(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {
        file.relative_to(folder).as_posix(): (file.read_bytes(), file.stat().st_mtime_ns)
        for file in folder.rglob("*.*")
    }


def test_the_same_seed_and_day_give_the_same_files_with_the_same_times(tmp_path: Path) -> None:
    for name in ("a", "b"):
        assert write_documents(tmp_path / name, seed=1, until=UNTIL, count=120) == 120

    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    assert len(contents(tmp_path / "a")) == 120


def test_another_seed_and_another_day_give_others(tmp_path: Path) -> None:
    write_documents(tmp_path / "a", seed=1, until=UNTIL, count=40)
    write_documents(tmp_path / "b", seed=2, until=UNTIL, count=40)
    write_documents(tmp_path / "c", seed=1, until=date(2026, 11, 2), count=40)

    texts = [{content for content, _ in contents(tmp_path / name).values()} for name in "abc"]
    assert texts[0].isdisjoint(texts[1])
    assert texts[0].isdisjoint(texts[2])


def test_more_documents_are_the_same_and_more(tmp_path: Path) -> None:
    write_documents(tmp_path / "few", seed=1, until=UNTIL, count=20)
    write_documents(tmp_path / "many", seed=1, until=UNTIL)

    assert contents(tmp_path / "few").items() <= contents(tmp_path / "many").items()
    assert len(contents(tmp_path / "many")) == 300


def test_every_kind_is_there_and_none_is_from_later(tmp_path: Path) -> None:
    write_documents(tmp_path, seed=1, until=UNTIL, count=100)

    found = contents(tmp_path)
    kinds = [kind_of(path).name for path in found]
    times = [datetime.fromtimestamp(modified / 10**9, UTC).date() for _, modified in found.values()]
    assert {kind: kinds.count(kind) for kind in kinds} == dict.fromkeys(
        ("markdown", "restructuredtext", "html", "text"), 25
    )
    assert {path.partition("/")[0] for path in found} == {"runbooks", "handbooks", "postmortems", "api"}
    assert max(times) == UNTIL


@pytest.mark.parametrize(
    ("query", "folder"),
    [
        pytest.param("certificate expiring", "runbooks/", id="a runbook"),
        pytest.param("parental leave", "handbooks/", id="a handbook"),
        pytest.param("expired signing key", "postmortems/", id="a postmortem"),
        pytest.param("Idempotency-Key answer", "api/", id="a note on an API"),
    ],
)
def test_what_is_looked_for_is_found_first(
    tmp_path: Path, databases: Databases, query: str, folder: str
) -> None:
    write_documents(tmp_path, seed=1, until=UNTIL, count=200)

    with reader_of(databases, tmp_path, tmp_path) as reader:
        results = reader.search(query, 3)

    assert results.matched == "all words"
    assert all(hit.path.startswith(folder) for hit in results.hits), results


def test_every_document_has_a_title_and_headings(tmp_path: Path, databases: Databases) -> None:
    write_documents(tmp_path, seed=1, until=UNTIL, count=40)

    with reader_of(databases, tmp_path, tmp_path) as reader:
        documents = reader.page().documents

    assert len(documents) == 40
    assert all(" " in document.title and document.headings >= 3 for document in documents), documents


def test_a_search_in_a_thousand_documents_takes_a_moment(tmp_path: Path, databases: Databases) -> None:
    write_documents(tmp_path / "docs", seed=1, until=UNTIL, count=1000)
    with opened(databases, indexed(databases, tmp_path / "docs")) as engine:
        reader = IndexReader(engine)
        taken: list[float] = []
        for query in (
            "latency",
            "certificate",
            "retry loop",
            "signing key",
            "orders refunds page metrics",
        ) * 4:
            began = perf_counter()
            assert reader.search(query, 5).hits
            taken.append(perf_counter() - began)

    assert median(taken) < 0.1  # many times what it takes
