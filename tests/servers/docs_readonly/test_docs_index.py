"""The index: what it answers, that nobody can write into it, and that it is replaced as a whole."""

import logging
import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from string import ascii_lowercase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.servers.docs_readonly.serving import GUIDE, names_in, write_documents
from tunnelgate_servers.docs_readonly.errors import (
    DocumentsMissingError,
    IndexUnavailableError,
    NoSuchDocumentError,
    RequestError,
)
from tunnelgate_servers.docs_readonly.index import DocumentIndex
from tunnelgate_servers.docs_readonly.reader import PAGE_SIZE
from tunnelgate_servers.docs_readonly.results import DocumentEntry, IndexReport, SearchHit, SkippedFile
from tunnelgate_servers.docs_readonly.sources import DocumentSources, SourceDocument

DOCUMENTS = {
    "guide.md": GUIDE,
    "ops/plain.md": "No heading, only the word hostname.",
    "ops/routes.md": "# Routes\n\nText about something else.\n",
    "ops/café.md": "# Käse\n\nCafe\u0301 AND crème.\n",
}


def index_of(folder: Path) -> DocumentIndex:
    index = DocumentIndex(folder.parent / "docs.sqlite3", DocumentSources(folder))
    index.rebuild()
    return index


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> DocumentIndex:
    """An index with a document outside its folder that must never be seen."""
    place = tmp_path_factory.mktemp("index")
    write_documents(place, {"secret.md": "secret"})
    return index_of(write_documents(place / "docs", DOCUMENTS))


@pytest.mark.parametrize(
    ("query", "matched", "found"),
    [
        pytest.param("decision", "all words", [("guide.md", "Audit")], id="a word in the text"),
        pytest.param("DECISIONS", "all words", [("guide.md", "Audit")], id="another form of the word"),
        pytest.param("creme cafe", "all words", [("ops/café.md", "Käse")], id="without accents"),
        pytest.param(
            "routes",
            "all words",
            [("ops/routes.md", "Routes"), ("guide.md", "Routes")],
            id="a hit in title and heading comes first",
        ),
        pytest.param(
            "hostname",
            "all words",
            [("guide.md", "Routes"), ("ops/plain.md", None)],
            id="a text with no heading",
        ),
        pytest.param("audit.jsonl", "all words", [("guide.md", "Audit")], id="words that follow each other"),
        pytest.param("jsonl.audit", "any word", [], id="words that follow in another order"),
        pytest.param("heading sh", "all words", [("guide.md", "Mounts")], id="words in code"),
        pytest.param("hostname process", "any word", None, id="words that no section has together"),
        pytest.param("nothing-like-this", "any word", [], id="a word that is nowhere"),
        pytest.param("something NOT else", "any word", None, id="an operator is a word"),
    ],
)
def test_search(
    index: DocumentIndex, query: str, matched: str, found: list[tuple[str, str | None]] | None
) -> None:
    with index.reader() as reader:
        results = reader.search(query, 5)

    assert results.matched == matched
    if found is None:
        assert results.hits
    else:
        assert found == [(hit.path, hit.heading) for hit in results.hits]


def test_a_hit_has_a_snippet_on_one_line_with_the_words_marked(index: DocumentIndex) -> None:
    with index.reader() as reader:
        (hit,) = reader.search("gate hostname setup set up", 1).hits

    marked = "How the **gate** is **set** **up**."
    assert hit == SearchHit(path="guide.md", title="Guide", heading="Guide", snippet=marked)


@pytest.mark.parametrize("limit", [1, 2])
def test_a_search_returns_no_more_than_its_limit(index: DocumentIndex, limit: int) -> None:
    with index.reader() as reader:
        assert len(reader.search("gate OR hostname decision", limit).hits) == limit


@pytest.mark.parametrize("limit", [0, 21, -1])
def test_a_limit_out_of_range_is_refused(index: DocumentIndex, limit: int) -> None:
    with index.reader() as reader, pytest.raises(RequestError, match="a number from 1 to 20"):
        reader.search("gate", limit)


def test_a_document_is_read_as_it_was_written(index: DocumentIndex) -> None:
    with index.reader() as reader:
        for path, text in DOCUMENTS.items():
            assert reader.document(path).text == text


def test_a_section_is_read_with_its_subsections(index: DocumentIndex) -> None:
    with index.reader() as reader:
        document = reader.document("guide.md", "routes")

    assert document.text.startswith("## Routes\n")
    assert "### Mounts" in document.text
    assert "## Audit" not in document.text
    assert (document.title, document.section) == ("Guide", "routes")


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        pytest.param(
            "guide.md",
            'There is no section with this heading; there are "Guide", "Routes", "Mounts", "Audit".',
            id="the headings there are",
        ),
        pytest.param(
            "ops/plain.md", "The document has no headings; read it without a section.", id="no headings"
        ),
    ],
)
def test_an_unknown_section_is_answered_with(index: DocumentIndex, path: str, sentence: str) -> None:
    with index.reader() as reader, pytest.raises(RequestError) as raised:
        reader.document(path, "not a heading")

    assert str(raised.value) == sentence


@pytest.mark.parametrize(("count", "ending"), [(30, '"h29".'), (31, '"h29" and 1 more.')])
def test_an_error_names_no_more_than_thirty_headings(tmp_path: Path, count: int, ending: str) -> None:
    text = "\n".join(f"# h{number}" for number in range(count))

    index = index_of(write_documents(tmp_path / "docs", {"a.md": text}))

    with index.reader() as reader, pytest.raises(RequestError) as raised:
        reader.document("a.md", "none")

    assert str(raised.value).endswith(ending)


@pytest.mark.parametrize(
    "path",
    [
        pytest.param("../secret.md", id="a path that leads outside"),
        pytest.param("ops/../guide.md", id="a path that leads out and back"),
        pytest.param("/etc/passwd", id="an absolute path"),
        pytest.param("./guide.md", id="another spelling of a path"),
        pytest.param("GUIDE.md", id="another letter case"),
        pytest.param("guide.md\0", id="a path with NUL"),
        pytest.param("ops", id="a folder"),
        pytest.param("%67uide.md", id="an encoded path"),
        pytest.param("guide.md' OR '1'='1", id="a piece of SQL"),
        pytest.param("", id="an empty path"),
    ],
)
def test_a_path_that_is_no_key_of_the_index_is_unknown(index: DocumentIndex, path: str) -> None:
    with index.reader() as reader, pytest.raises(NoSuchDocumentError, match="no document with this path"):
        reader.document(path)


_SEGMENTS = st.sampled_from(
    ["..", ".", "", "/", "secret.md", "guide.md", "ops", "docs", "\0", "\\", "%2e%2e", "~"]
)


@given(path=st.text() | st.lists(_SEGMENTS).map("/".join))
def test_no_path_reads_anything_but_an_indexed_document(index: DocumentIndex, path: str) -> None:
    with index.reader() as reader:
        try:
            text = reader.document(path).text
        except NoSuchDocumentError:
            assert path not in DOCUMENTS
        else:
            assert text == DOCUMENTS[path]


@given(query=st.text(), limit=st.integers(1, 20))
def test_no_query_raises_anything_but_a_refusal(index: DocumentIndex, query: str, limit: int) -> None:
    with index.reader() as reader:
        try:
            reader.search(query, limit)
        except RequestError:
            assert not any(character.isalnum() for character in query)


@given(prefix=st.text(), cursor=st.text())
def test_no_prefix_and_no_cursor_raise_anything_but_a_refusal(
    index: DocumentIndex, prefix: str, cursor: str
) -> None:
    with index.reader() as reader:
        try:
            page = reader.page(prefix, cursor)
        except RequestError:
            assert cursor
        else:
            assert all(document.path.startswith(prefix) for document in page.documents)


def test_the_list_names_title_size_and_headings_sorted_by_path(index: DocumentIndex) -> None:
    with index.reader() as reader:
        page = reader.page()

    assert page.next_cursor is None
    assert page.documents == (
        DocumentEntry(path="guide.md", title="Guide", size=len(GUIDE), headings=4),
        DocumentEntry(path="ops/café.md", title="Käse", size=28, headings=1),
        DocumentEntry(path="ops/plain.md", title="plain", size=35, headings=0),
        DocumentEntry(path="ops/routes.md", title="Routes", size=37, headings=1),
    )


@pytest.mark.parametrize(
    ("prefix", "paths"),
    [
        pytest.param("ops/", ["ops/café.md", "ops/plain.md", "ops/routes.md"], id="a folder"),
        pytest.param("ops/p", ["ops/plain.md"], id="the beginning of a name"),
        pytest.param("OPS/", [], id="another letter case"),
        pytest.param("%", [], id="a wildcard of SQL"),
        pytest.param("\0", [], id="NUL"),
    ],
)
def test_the_list_of_a_prefix(index: DocumentIndex, prefix: str, paths: list[str]) -> None:
    with index.reader() as reader:
        assert paths == [document.path for document in reader.page(prefix).documents]


@pytest.mark.parametrize(
    ("count", "sizes"),
    [
        pytest.param(0, [0], id="no documents"),
        pytest.param(PAGE_SIZE, [PAGE_SIZE], id="a full page"),
        pytest.param(PAGE_SIZE + 1, [PAGE_SIZE, 1], id="one more than a full page"),
        pytest.param(2 * PAGE_SIZE + 1, [PAGE_SIZE, PAGE_SIZE, 1], id="three pages"),
    ],
)
def test_pages_hold_every_document_once(tmp_path: Path, count: int, sizes: list[int]) -> None:
    names = sorted(f"{ascii_lowercase[number % 26]}{number}.md" for number in range(count))
    index = index_of(write_documents(tmp_path / "docs", dict.fromkeys(names, "text")))
    pages: list[list[str]] = []
    cursor = ""
    with index.reader() as reader:
        while not pages or cursor:
            page = reader.page(cursor=cursor)
            pages.append([document.path for document in page.documents])
            cursor = page.next_cursor or ""

    assert sizes == [len(page) for page in pages]
    assert names == [path for page in pages for path in page]


@pytest.mark.parametrize(
    "cursor",
    [
        pytest.param("!!", id="not base64"),
        pytest.param("a", id="cut off"),
        pytest.param("_w==", id="not UTF-8"),
        pytest.param("é", id="not ASCII"),
    ],
)
def test_a_cursor_that_was_never_given_is_refused(index: DocumentIndex, cursor: str) -> None:
    with index.reader() as reader, pytest.raises(RequestError, match="not one of this server"):
        reader.page(cursor=cursor)


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO documents VALUES ('x.md', 'x', 1, 0, 'x')",
        "INSERT INTO sections VALUES ('x.md', 'x', 'x', 'x')",
        "DELETE FROM documents",
        "DROP TABLE sections",
        "PRAGMA user_version = 1",
        "CREATE TABLE t (x)",
    ],
)
def test_the_connection_of_a_reader_cannot_write(index: DocumentIndex, statement: str) -> None:
    with index.reader() as reader:
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            reader.connection.execute(statement)
        assert len(DOCUMENTS) == len(reader.page().documents)


def test_a_rebuild_reports_what_it_indexed_and_what_it_skipped(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = write_documents(
        tmp_path / "docs", {"a.md": "before\n# One\n## Two", "b.md": b"\xff", "c.md": ""}
    )
    index = DocumentIndex(tmp_path / "docs.sqlite3", DocumentSources(folder))

    with caplog.at_level(logging.INFO, logger="tunnelgate_servers.docs_readonly"):
        report = index.rebuild()

    skipped = SkippedFile(path="b.md", reason="it is not UTF-8 (at byte 0)")
    assert IndexReport(documents=2, sections=3, skipped=(skipped,)) == report
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", "Skipped 'b.md': it is not UTF-8 (at byte 0)"),
        ("INFO", "Indexed 2 documents with 3 sections"),
    ]


def test_an_empty_folder_is_indexed_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    index = index_of(write_documents(tmp_path / "docs", {}))

    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", "Indexed 0 documents with 0 sections")
    ]
    with index.reader() as reader:
        assert reader.search("anything", 5).hits == ()


def test_a_rebuild_shows_what_was_added_changed_and_removed(tmp_path: Path) -> None:
    folder = write_documents(tmp_path / "docs", {"a.md": "old", "b.md": "gone"})
    index = index_of(folder)
    write_documents(folder, {"a.md": "new", "c.md": "added"})
    (folder / "b.md").unlink()

    index.rebuild()

    with index.reader() as reader:
        assert [document.path for document in reader.page().documents] == ["a.md", "c.md"]
        assert reader.document("a.md").text == "new"
        assert reader.search("gone", 5).hits == ()


def test_a_reader_keeps_the_index_with_which_it_began(tmp_path: Path) -> None:
    folder = write_documents(tmp_path / "docs", {"a.md": "old"})
    index = index_of(folder)

    with index.reader() as reader:
        write_documents(folder, {"a.md": "new"})
        index.rebuild()
        assert reader.document("a.md").text == "old"

    with index.reader() as reader:
        assert reader.document("a.md").text == "new"


def test_a_rebuild_that_fails_leaves_the_index_and_no_other_file(tmp_path: Path) -> None:
    folder = write_documents(tmp_path / "docs", {"a.md": "kept"})
    index = index_of(folder)
    folder.rename(tmp_path / "elsewhere")

    with pytest.raises(DocumentsMissingError):
        index.rebuild()

    assert names_in(tmp_path) == {"elsewhere", "docs.sqlite3"}
    with index.reader() as reader:
        assert reader.document("a.md").text == "kept"


def test_readers_see_one_whole_index_while_it_is_rebuilt(tmp_path: Path) -> None:
    names = [f"{number}.md" for number in range(2 * PAGE_SIZE)]
    folder = write_documents(tmp_path / "docs", dict.fromkeys(names, "version 0"))
    index = index_of(folder)
    finished = threading.Event()

    def rebuild() -> None:
        try:
            for version in range(1, 16):
                write_documents(folder, dict.fromkeys(names, f"version {version}"))
                index.rebuild()
        finally:
            finished.set()

    def read() -> int:
        rounds = 0
        while not finished.is_set() or rounds == 0:
            with index.reader() as reader:
                version = reader.document(names[0]).text
                assert len(reader.search(version, 20).hits) == 20
                assert {version} == {reader.document(name).text for name in names}
            rounds += 1
        return rounds

    with ThreadPoolExecutor() as pool:
        readers = [pool.submit(read) for _ in range(3)]
        pool.submit(rebuild).result(timeout=60)
        assert all(reader.result(timeout=60) for reader in readers)


@dataclass(frozen=True)
class WatchedSources(DocumentSources):
    """Sources that note how many threads read them at the same time."""

    reading: set[int] = field(default_factory=set[int])
    most: list[int] = field(default_factory=list[int])

    def read(self) -> Iterator[SourceDocument | SkippedFile]:
        self.reading.add(threading.get_ident())
        for found in super().read():
            self.most.append(len(self.reading))
            yield found
        self.reading.discard(threading.get_ident())


def test_rebuilds_at_the_same_time_follow_one_another(tmp_path: Path) -> None:
    folder = write_documents(tmp_path / "docs", {"a.md": "# One", "b.md": "# Two"})
    sources = WatchedSources(folder)
    index = DocumentIndex(tmp_path / "docs.sqlite3", sources)

    with ThreadPoolExecutor(max_workers=8) as pool:
        reports = [future.result(timeout=60) for future in [pool.submit(index.rebuild) for _ in range(16)]]

    assert reports == [IndexReport(documents=2, sections=2, skipped=())] * 16
    assert sources.most == [1] * 32
    assert names_in(tmp_path) == {"docs", "docs.sqlite3"}
    with index.reader() as reader:
        assert reader.connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


@pytest.mark.parametrize(
    "content", [pytest.param(None, id="is gone"), pytest.param(b"x" * 4096, id="is damaged")]
)
def test_an_index_that_cannot_be_read(tmp_path: Path, content: bytes | None) -> None:
    index = index_of(write_documents(tmp_path / "docs", {"a.md": "text"}))
    file = tmp_path / "docs.sqlite3"
    file.unlink() if content is None else file.write_bytes(content)

    with (
        pytest.raises(IndexUnavailableError, match=r"^The index cannot be read\.$"),
        index.reader() as reader,
    ):
        reader.document("a.md")

    assert content is not None or not file.exists()


def test_a_place_with_characters_that_mean_something_in_a_uri(tmp_path: Path) -> None:
    folder = write_documents(tmp_path / "what? #1 100%" / "docs", {"a.md": "text"})

    with index_of(folder).reader() as reader:
        assert reader.document("a.md").text == "text"
