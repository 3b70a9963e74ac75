"""Bringing the index up to date: only what was changed, all of it at once, while others read."""

import logging
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import text, update
from sqlalchemy.engine import make_url

from tests.servers.docs_readonly.documents import (
    indexed,
    indexer_of,
    later,
    opened,
    reader_of,
    write_documents,
)
from tests.support.postgres import Databases
from tunnelgate_servers.docs_readonly import DocumentsMissingError, IndexReport, SkippedFile, index_documents
from tunnelgate_servers.docs_readonly.indexing import MAX_SKIPPED_FILES, PACKAGE
from tunnelgate_servers.docs_readonly.models import Base, Document
from tunnelgate_servers.docs_readonly.reader import PAGE_SIZE, IndexReader
from tunnelgate_servers.hosting import OptionsError, migrate, open_writer, read_url


def report_of(documents: int, **changes: int) -> IndexReport:
    none = {"added": 0, "changed": 0, "removed": 0, "skipped": 0}
    return IndexReport.model_validate({"documents": documents, **none, **changes, "skipped_files": ()})


def aged(folder: Path) -> Path:
    """Let every file of a folder look as if it was written a day ago, and return the folder."""
    for file in folder.rglob("*.*"):
        os.utime(file, ns=(0, file.stat().st_mtime_ns - 86_400 * 10**9))
    return folder


def text_of(databases: Databases, url: str, path: str) -> str:
    with opened(databases, url) as engine:
        return IndexReader(engine).text(path)


def paths_of(databases: Databases, url: str) -> list[str]:
    with opened(databases, url) as engine:
        return [document.path for document in IndexReader(engine).page().documents]


def test_the_first_time_makes_the_index_and_says_what_it_holds(
    tmp_path: Path, databases: Databases, caplog: pytest.LogCaptureFixture
) -> None:
    folder = write_documents(
        tmp_path / "docs", {"a.md": "before\n# One\n## Two", "b.md": b"\xff", "c.txt": ""}
    )

    with caplog.at_level(logging.INFO, logger=PACKAGE):
        report = indexer_of(databases.new(), folder).run()

    skipped = SkippedFile(path="b.md", reason="it is not UTF-8 (at byte 0)")
    assert report == IndexReport(
        documents=2, added=2, changed=0, removed=0, skipped=1, skipped_files=(skipped,)
    )
    said = [(each.levelname, each.getMessage()) for each in caplog.records if each.name == PACKAGE]
    assert said == [
        ("WARNING", "Skipped 'b.md': it is not UTF-8 (at byte 0)"),
        ("INFO", "Indexed 2 documents: 2 added, 0 changed, 0 removed"),
    ]


def test_an_empty_folder_is_indexed_with_a_warning(
    tmp_path: Path, databases: Databases, caplog: pytest.LogCaptureFixture
) -> None:
    with reader_of(databases, {}, tmp_path) as reader:
        assert reader.search("anything", 5).hits == ()

    said = [(each.levelname, each.getMessage()) for each in caplog.records if each.name == PACKAGE]
    assert said == [("WARNING", "Indexed 0 documents: 0 added, 0 changed, 0 removed")]


def test_what_was_added_changed_and_removed_is_seen(tmp_path: Path, databases: Databases) -> None:
    folder = write_documents(tmp_path / "docs", {"a.md": "old", "b.md": "gone", "same.md": "kept"})
    url = indexed(databases, folder)
    write_documents(folder, {"a.md": "new", "c.md": "added"})
    (folder / "b.md").unlink()

    report = indexer_of(url, folder).run()

    assert report == report_of(3, added=1, changed=1, removed=1)
    with opened(databases, url) as engine:
        reader = IndexReader(engine)
        assert [document.path for document in reader.page().documents] == ["a.md", "c.md", "same.md"]
        assert reader.text("a.md") == "new"
        assert [hit.path for word in ("new", "added", "kept") for hit in reader.search(word, 5).hits] == [
            *("a.md", "c.md", "same.md"),
        ]
        assert [reader.search(word, 5).hits for word in ("old", "gone")] == [(), ()]


def test_nothing_is_read_again_that_has_its_size_and_its_time(tmp_path: Path, databases: Databases) -> None:
    folder = aged(write_documents(tmp_path / "docs", {"a.md": "one"}))
    url = indexed(databases, folder)
    stamp = (folder / "a.md").stat()
    (folder / "a.md").write_text("two", "utf-8")
    os.utime(folder / "a.md", ns=(stamp.st_atime_ns, stamp.st_mtime_ns))

    report = indexer_of(url, folder).run()

    assert report == report_of(1)
    assert text_of(databases, url, "a.md") == "one"


@pytest.mark.parametrize(
    ("content", "changed"),
    [
        pytest.param("one", 0, id="a new time alone changes nothing"),
        pytest.param("two", 1, id="another text of the same size does"),
    ],
)
def test_a_file_with_another_time_is_told_by_its_digest(
    tmp_path: Path, databases: Databases, content: str, changed: int
) -> None:
    folder = aged(write_documents(tmp_path / "docs", {"a.md": "one"}))
    url = indexed(databases, folder)
    write_documents(folder, {"a.md": content})

    reports = [indexer_of(url, folder).run() for _ in range(2)]

    assert reports == [
        report_of(1, changed=changed),
        report_of(1),
    ]
    assert text_of(databases, url, "a.md") == content


@pytest.mark.parametrize(
    ("clock", "seen"),
    [
        pytest.param(lambda: datetime.now(UTC), "two", id="just before it was read"),
        pytest.param(later, "one", id="long before it was read"),
    ],
)
def test_a_change_that_kept_the_time_is_seen_where_the_file_had_been_written(
    tmp_path: Path, databases: Databases, clock: Callable[[], datetime], seen: str
) -> None:
    folder = write_documents(tmp_path / "docs", {"a.md": "one"})
    url = databases.new()
    indexer_of(url, folder, clock=clock).run()
    stamp = (folder / "a.md").stat()
    (folder / "a.md").write_text("two", "utf-8")
    os.utime(folder / "a.md", ns=(stamp.st_atime_ns, stamp.st_mtime_ns))

    indexer_of(url, folder, clock=clock).run()

    assert text_of(databases, url, "a.md") == seen


def test_a_document_that_older_parsers_read_is_read_again(tmp_path: Path, databases: Databases) -> None:
    folder = aged(write_documents(tmp_path / "docs", {"a.md": "one", "b.md": "two"}))
    url = indexed(databases, folder)
    engine = open_writer(read_url(url))
    with engine.begin() as connection:
        connection.execute(update(Document).where(Document.path == "a.md").values(parsed_as=0, text="old"))
    engine.dispose()

    report = indexer_of(url, folder).run()

    assert report == report_of(2, changed=1)
    assert text_of(databases, url, "a.md") == "one"


def test_a_document_that_can_no_longer_be_read_is_removed(tmp_path: Path, databases: Databases) -> None:
    folder = write_documents(tmp_path / "docs", {"a.md": "one", "b.md": "two"})
    url = indexed(databases, folder)
    write_documents(folder, {"a.md": b"\xff\xff"})

    report = indexer_of(url, folder).run()

    assert (report.documents, report.removed, report.skipped) == (1, 1, 1)
    assert paths_of(databases, url) == ["b.md"]


def test_a_report_names_only_the_first_files_that_were_left_out(tmp_path: Path, databases: Databases) -> None:
    count = MAX_SKIPPED_FILES + 1
    folder = write_documents(tmp_path / "docs", {f"{number:02}.md": b"\xff" for number in range(count)})

    report = indexer_of(databases.new(), folder).run()

    assert (report.skipped, len(report.skipped_files)) == (count, MAX_SKIPPED_FILES)


def test_progress_is_told_file_by_file(tmp_path: Path, databases: Databases) -> None:
    folder = write_documents(tmp_path / "docs", {"a.md": "", "b.md": b"\xff", "c.md": ""})
    told: list[tuple[int, int]] = []

    indexer_of(databases.new(), folder).run(lambda done, total: told.append((done, total)))

    assert told == [(0, 3), (1, 3), (2, 3), (3, 3)]


class StoppedError(Exception):
    pass


@pytest.mark.parametrize("at", [0, 1, 3], ids=["at the beginning", "on the way", "at the end"])
def test_work_that_is_ended_leaves_the_index_as_it_was(tmp_path: Path, databases: Databases, at: int) -> None:
    folder = write_documents(tmp_path / "docs", {"a.md": "kept", "b.md": "kept"})
    url = indexed(databases, folder)
    write_documents(folder, {"a.md": "not yet", "c.md": "nor this"})
    (folder / "b.md").unlink()
    write_documents(folder, {"d.md": "nor that"})

    def stop(done: int, total: int) -> None:
        if done == at:
            raise StoppedError

    with pytest.raises(StoppedError):
        indexer_of(url, folder).run(stop)

    assert paths_of(databases, url) == ["a.md", "b.md"]
    assert text_of(databases, url, "a.md") == "kept"


def test_a_folder_that_is_gone_leaves_the_index_as_it_was(tmp_path: Path, databases: Databases) -> None:
    folder = write_documents(tmp_path / "docs", {"a.md": "kept"})
    url = indexed(databases, folder)
    folder.rename(tmp_path / "elsewhere")

    with pytest.raises(DocumentsMissingError):
        indexer_of(url, folder).run()

    assert paths_of(databases, url) == ["a.md"]


def test_readers_see_one_whole_index_while_it_is_brought_up_to_date(
    tmp_path: Path, databases: Databases
) -> None:
    names = [f"{number}.md" for number in range(2 * PAGE_SIZE)]
    folder = write_documents(tmp_path / "docs", dict.fromkeys(names, "version 0"))
    url = indexed(databases, folder)
    finished = threading.Event()

    with opened(databases, url) as engine:
        reader = IndexReader(engine)

        def reindex() -> None:
            try:
                for version in range(1, 9):
                    write_documents(folder, dict.fromkeys(names, f"version {version}"))
                    assert indexer_of(url, folder).run().changed == len(names)
            finally:
                finished.set()

        def read() -> int:
            rounds = 0
            while not finished.is_set() or rounds == 0:
                with engine.connect() as connection:
                    texts = connection.execute(text("SELECT DISTINCT text FROM documents")).scalars().all()
                assert len(texts) == 1
                assert len(reader.search("version", 20).hits) == 20
                rounds += 1
            return rounds

        with ThreadPoolExecutor() as pool:
            readers = [pool.submit(read) for _ in range(3)]
            pool.submit(reindex).result(timeout=60)
            assert all(reader.result(timeout=60) for reader in readers)


def test_readers_go_on_while_much_is_written(tmp_path: Path, databases: Databases) -> None:
    folder = write_documents(tmp_path / "docs", {"a.md": "kept"})
    url = indexed(databases, folder)
    many = {f"{number}.txt": f"{number} {'x y z ' * 20_000}" for number in range(40)}
    write_documents(folder, many)
    counts: list[int] = []

    with opened(databases, url) as engine:
        reader = IndexReader(engine)
        indexer_of(url, folder).run(lambda done, total: counts.append(len(reader.page().documents)))

        assert counts == [1] * 42
        assert len(reader.page().documents) == 41


def test_those_who_write_at_the_same_time_follow_one_another(tmp_path: Path, databases: Databases) -> None:
    folder = write_documents(tmp_path / "docs", {"a.md": "# One", "b.md": "# Two"})
    url = databases.new()
    indexer_of(url, folder).run()
    write_documents(folder, {"b.md": "# Three", "c.md": "# Four"})

    with ThreadPoolExecutor(max_workers=4) as pool:
        reports = [
            each.result(timeout=60) for each in [pool.submit(indexer_of(url, folder).run) for _ in range(8)]
        ]

    assert sorted((report.added, report.changed) for report in reports) == [(0, 0)] * 7 + [(1, 1)]
    assert {report.documents for report in reports} == {3}


def test_indexes_in_several_databases_are_made_at_the_same_time(tmp_path: Path, databases: Databases) -> None:
    folders = [write_documents(tmp_path / f"{n}", {f"{n}.md": "# One"}) for n in range(8)]
    urls = [databases.new() for _ in folders]

    with ThreadPoolExecutor(max_workers=8) as pool:
        work = [pool.submit(indexer_of(url, folder).run) for url, folder in zip(urls, folders, strict=True)]
        reports = [each.result(timeout=60) for each in work]

    assert [report.added for report in reports] == [1] * 8
    assert [paths_of(databases, url) for url in urls] == [[f"{n}.md"] for n in range(8)]


def test_words_of_long_titles_and_headings_and_texts_are_found(tmp_path: Path, databases: Databases) -> None:
    long = " ".join(f"word{number}" for number in range(40_000))
    documents = {"a.md": f"# {long}\n\n{long}\n", "b.txt": "x" * 1_000_000}
    with reader_of(databases, documents, tmp_path) as reader:
        found = [hit.path for word in ("word1", "word39999") for hit in reader.search(word, 1).hits]
        (entry, _) = reader.page().documents

    assert found == ["a.md", "a.md"]
    assert len(entry.title) <= 500


def test_the_function_indexes_a_folder_and_single_files(tmp_path: Path, databases: Databases) -> None:
    folder = write_documents(tmp_path / "docs", {"a.md": "one"})
    write_documents(tmp_path, {"README.md": "two"})
    url, told = databases.new(), list[int]()

    first = index_documents(url, folder, extra_files=[str(tmp_path / "README.md")])
    second = index_documents(url, str(folder), on_progress=lambda done, total: told.append(total))

    assert (first.documents, second.removed, told) == (2, 1, [1, 1])


@pytest.mark.parametrize(
    ("folder", "sentence"),
    [
        pytest.param("", "folder needs a text that is not empty", id="no folder"),
        pytest.param("missing", "missing does not exist or is not a folder", id="a folder that is not there"),
    ],
)
def test_the_function_refuses(databases: Databases, folder: str, sentence: str) -> None:
    with pytest.raises(OptionsError, match=sentence):
        index_documents(databases.new(), folder)


def test_a_database_that_is_none_is_one_sentence_and_stays_as_it_is(tmp_path: Path) -> None:
    folder = write_documents(tmp_path / "docs", {"a.md": "one"})
    file = tmp_path / "notes.txt"
    file.write_text("Somebody's notes, longer than the head of a database. " * 4, "utf-8")
    before = file.read_bytes()

    with pytest.raises(OptionsError) as raised:
        index_documents(f"sqlite:///{file}", folder)

    assert str(raised.value).endswith(": file is not a database.")
    assert file.read_bytes() == before


def test_a_database_that_somebody_else_writes_is_one_sentence(tmp_path: Path, databases: Databases) -> None:
    folder = write_documents(tmp_path / "docs", {"a.md": "one"})
    url = indexed(databases, folder)
    write_documents(folder, {"a.md": "two"})
    engine = open_writer(read_url(url))
    try:
        with engine.begin() as connection:
            hold = "LOCK TABLE documents" if make_url(url).get_backend_name() == "postgresql" else "SELECT 1"
            connection.exec_driver_sql(hold)
            impatient = _impatient(url)
            with pytest.raises(OptionsError, match=r"The index cannot be written|cannot be opened") as raised:
                indexer_of(impatient, folder).run()
    finally:
        engine.dispose()

    assert "\n" not in str(raised.value)
    assert text_of(databases, url, "a.md") == "one"


def _impatient(url: str) -> str:
    """Return the URL for somebody who does not wait long for a lock; SQLite always waits some seconds."""
    given = make_url(url)
    if given.get_backend_name() == "sqlite":
        return url
    return given.update_query_dict({"options": "-c lock_timeout=500"}).render_as_string(hide_password=False)


def test_the_index_is_made_of_migrations_and_can_be_taken_back(databases: Databases) -> None:
    engine = open_writer(read_url(databases.new()))
    try:
        for _ in range(2):
            migrate(engine, PACKAGE)
            config = Config()
            config.set_main_option("script_location", f"{PACKAGE}:migrations")
            config.set_main_option("path_separator", "os")
            config.attributes["version_table"] = "docs_readonly_version"
            with engine.begin() as connection:
                config.attributes["connection"] = connection
                command.downgrade(config, "base")
    finally:
        engine.dispose()


def test_the_tables_are_those_of_the_models(databases: Databases) -> None:
    def ours(name: str | None, kind: str, parents: object) -> bool:
        return kind != "table" or name in Base.metadata.tables

    engine = open_writer(read_url(databases.new()))
    migrate(engine, PACKAGE)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"include_name": ours, "compare_type": True})
        different = compare_metadata(context, Base.metadata)
    engine.dispose()

    # What makes the words searchable is PostgreSQL's alone.
    assert [each for each in different if "words" not in f"{each}"] == []
