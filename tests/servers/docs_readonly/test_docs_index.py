"""The index on either database: what it answers, and that nobody can write through what reads it."""

from collections.abc import Generator
from pathlib import Path
from string import ascii_lowercase
from threading import Thread

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from tests.servers.docs_readonly.documents import (
    GUIDE,
    indexed,
    indexer_of,
    opened,
    reader_of,
    write_documents,
)
from tests.support.postgres import Databases
from tunnelgate_servers.docs_readonly.errors import NoSuchDocumentError
from tunnelgate_servers.docs_readonly.query import MAX_WORDS
from tunnelgate_servers.docs_readonly.reader import MAX_READ_CHARACTERS, PAGE_SIZE, IndexReader
from tunnelgate_servers.docs_readonly.results import DocumentEntry, SearchHit
from tunnelgate_servers.hosting import RequestError, cursor_after, reading

DOCUMENTS = {
    "guide.md": GUIDE,
    "ops/café.md": "# Käse\n\nCafe\u0301 AND crème.\n",
    "ops/page.html": "<title>A page</title><h1>First</h1><p>Where <b>gauges</b> &amp; dials are.",
    "ops/plain.txt": "No heading, only the word hostname.",
    "ops/routes.md": "# Routes\n\nText about something else.\n",
    "ops/steps.rst": "Steps\n=====\n\nDrain, then *restart*.\n\nAfter\n-----\n\nWait a minute.\n",
}


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory, lasting_databases: Databases) -> Generator[Engine]:
    """An index with a document outside its folder that must never be seen."""
    place = tmp_path_factory.mktemp("index")
    write_documents(place, {"secret.md": "secret"})
    folder = write_documents(place / "docs", DOCUMENTS)
    with opened(lasting_databases, indexed(lasting_databases, folder)) as engine:
        yield engine


@pytest.fixture(scope="module")
def reader(engine: Engine) -> IndexReader:
    return IndexReader(engine)


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
            [("guide.md", "Routes"), ("ops/plain.txt", None)],
            id="a text with no heading",
        ),
        pytest.param("restarting", "all words", [("ops/steps.rst", "Steps")], id="reStructuredText"),
        pytest.param("gauge dial", "all words", [("ops/page.html", "First")], id="HTML"),
        pytest.param("page", "all words", [("ops/page.html", "First")], id="a word of the title"),
        pytest.param("audit.jsonl", "all words", [("guide.md", "Audit")], id="words that follow each other"),
        pytest.param("jsonl.audit", "any word", [], id="words that follow in another order"),
        pytest.param("not a heading", "all words", None, id="words in code"),
        pytest.param("hostname process", "any word", None, id="words that no section has together"),
        pytest.param(
            "route hostname process zebra",
            "any word",
            [("guide.md", "Routes")],
            id="as many words as possible",
        ),
        pytest.param("the", "all words", None, id="a common word alone"),
        pytest.param("nothing-like-this", "any word", [], id="a word that is nowhere"),
        pytest.param(
            "something NOT else", "all words", [("ops/routes.md", "Routes")], id="operators do nothing"
        ),
    ],
)
def test_search(
    reader: IndexReader, query: str, matched: str, found: list[tuple[str, str | None]] | None
) -> None:
    results = reader.search(query, 5)

    assert results.matched == matched
    if found is None:
        assert results.hits
    else:
        assert [(hit.path, hit.heading) for hit in results.hits] == found


def test_a_hit_has_a_snippet_on_one_line_with_the_words_marked(reader: IndexReader) -> None:
    (hit,) = reader.search("gate hostname setup set up", 1).hits

    marked = "How the **gate** is **set** **up**."
    assert hit == SearchHit(path="guide.md", title="Guide", heading="Guide", snippet=marked)


@pytest.mark.parametrize(
    ("query", "snippet"),
    [
        pytest.param("cafe creme", "**Café** AND **crème**.", id="accents"),
        pytest.param("audit.jsonl", "Every decision goes to **audit.jsonl**.", id="parts of a word"),
        pytest.param("decision goes", "Every **decision** **goes** to audit.jsonl.", id="words side by side"),
        pytest.param("Käse", "Café AND crème.", id="a word of the heading alone"),
        pytest.param("gauge", "Where **gauges** & dials are.", id="another form of the word"),
    ],
)
def test_a_snippet_has_the_text_as_it_is_and_the_words_marked(
    reader: IndexReader, query: str, snippet: str
) -> None:
    assert [hit.snippet for hit in reader.search(query, 1).hits] == [snippet]


@pytest.mark.parametrize("limit", [1, 2])
def test_a_search_returns_no_more_than_its_limit(reader: IndexReader, limit: int) -> None:
    assert len(reader.search("gate hostname decision", limit).hits) == limit


def test_a_section_of_several_passages_is_one_hit(tmp_path: Path, databases: Databases) -> None:
    long = "\n\n".join(f"The zebra of paragraph {number}. " + "word " * 100 for number in range(60))
    with reader_of(databases, {"a.md": f"# Long\n\n{long}\n\n# Short\n\nA zebra.\n"}, tmp_path) as reader:
        hits = reader.search("zebra", 5).hits
        (last,) = reader.search("paragraph 59", 5).hits

    assert sorted(hit.heading or "" for hit in hits) == ["Long", "Short"]
    assert "**paragraph** **59**" in last.snippet


def test_a_document_is_read_as_it_was_written_unless_it_is_html(reader: IndexReader) -> None:
    texts = {path: reader.document(path).text for path in DOCUMENTS}

    assert texts == {**DOCUMENTS, "ops/page.html": "# First\n\nWhere gauges & dials are."}
    assert {reader.text(path) for path in DOCUMENTS} == set(texts.values())


def test_a_section_is_read_with_its_subsections(reader: IndexReader) -> None:
    document = reader.document("guide.md", "routes")

    assert document.text.startswith("## Routes\n")
    assert "### Mounts" in document.text
    assert "## Audit" not in document.text
    assert (document.title, document.kind, document.section) == ("Guide", "markdown", "routes")


@pytest.mark.parametrize(
    ("path", "section", "text", "kind"),
    [
        ("ops/steps.rst", "after", "After\n-----\n\nWait a minute.", "restructuredtext"),
        ("ops/page.html", "FIRST", "# First\n\nWhere gauges & dials are.", "html"),
    ],
)
def test_a_section_of_other_kinds_is_read(
    reader: IndexReader, path: str, section: str, text: str, kind: str
) -> None:
    document = reader.document(path, section)

    assert (document.text, document.kind) == (text, kind)


def test_a_long_text_is_read_in_parts(tmp_path: Path, databases: Databases) -> None:
    whole = "# Long\n\n" + "0123456789" * (MAX_READ_CHARACTERS // 5)
    with reader_of(databases, {"a.md": whole, "b.md": "x" * MAX_READ_CHARACTERS}, tmp_path) as reader:
        parts = [reader.document("a.md", "long")]
        while start := parts[-1].next_start:
            parts.append(reader.document("a.md", "long", start))
        exact = reader.document("b.md")
        with pytest.raises(RequestError) as raised:
            reader.document("a.md", "", len(whole))

    assert [len(part.text) for part in parts] == [MAX_READ_CHARACTERS, MAX_READ_CHARACTERS, 8]
    assert "".join(part.text for part in parts) == whole
    assert exact.next_start is None
    assert str(raised.value) == f"The text ends before this start; it has {len(whole)} characters."


def test_an_empty_document_is_read(tmp_path: Path, databases: Databases) -> None:
    with reader_of(databases, {"a.md": ""}, tmp_path) as reader:
        document = reader.document("a.md")

    assert (document.title, document.text, document.next_start) == ("a", "", None)


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        pytest.param(
            "guide.md",
            'There is no section with this heading; there are "Guide", "Routes", "Mounts", "Audit".',
            id="the headings there are",
        ),
        pytest.param(
            "ops/plain.txt", "The document has no headings; read it without a section.", id="no headings"
        ),
    ],
)
def test_an_unknown_section_is_answered_with(reader: IndexReader, path: str, sentence: str) -> None:
    with pytest.raises(RequestError) as raised:
        reader.document(path, "not a heading")

    assert str(raised.value) == sentence


@pytest.mark.parametrize(("count", "ending"), [(30, '"h29".'), (31, '"h29" and 1 more.')])
def test_an_error_names_no_more_than_thirty_headings(
    tmp_path: Path, databases: Databases, count: int, ending: str
) -> None:
    text = "\n".join(f"# h{number}" for number in range(count))

    with reader_of(databases, {"a.md": text}, tmp_path) as reader, pytest.raises(RequestError) as raised:
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
        pytest.param("guide.md\ud800", id="a path with half a character"),
        pytest.param("\u202eguide.md", id="a path that runs backwards"),
        pytest.param("g" * 501, id="a path that is too long"),
        pytest.param("", id="an empty path"),
    ],
)
def test_a_path_that_is_no_key_of_the_index_is_unknown(reader: IndexReader, path: str) -> None:
    for read in (reader.document, reader.text):
        with pytest.raises(NoSuchDocumentError) as raised:
            read(path)
        assert (
            str(raised.value) == "There is no document with this path; list_docs names the paths there are."
        )


_SEGMENTS = st.sampled_from(
    ["..", ".", "", "/", "secret.md", "guide.md", "ops", "docs", "\0", "\\", "%2e%2e", "~", "\ud800"]
)


@given(path=st.text() | st.lists(_SEGMENTS).map("/".join))
def test_no_path_reads_anything_but_an_indexed_document(reader: IndexReader, path: str) -> None:
    try:
        text = reader.document(path).text
    except NoSuchDocumentError:
        assert path not in DOCUMENTS
    else:
        assert text == DOCUMENTS[path]


@given(query=st.text() | st.text(alphabet="ab'\"*^:|&!()<>-+{}\\ \0.~@"), limit=st.integers(1, 20))
def test_no_query_raises_anything_but_a_refusal(reader: IndexReader, query: str, limit: int) -> None:
    try:
        reader.search(query, limit)
    except RequestError:
        assert len(query) > MAX_WORDS or not any(character.isalnum() for character in query)


def test_one_answer_comes_from_one_state_of_the_index(tmp_path: Path, databases: Databases) -> None:
    folder = write_documents(tmp_path / "docs", {"a.md": "# Old\n\nbefore\n"})
    url = indexed(databases, folder)
    with opened(databases, url) as engine, reading(engine) as connection:
        before = connection.execute(text("SELECT title FROM documents")).scalar_one()
        write_documents(folder, {"a.md": "# New\n\nafter, and longer\n"})
        writing = Thread(target=indexer_of(url, folder).run)
        writing.start()
        writing.join(1)  # SQLite waits for its readers before the last step
        after = connection.execute(text("SELECT title FROM documents")).scalar_one()
    writing.join(60)

    assert (before, after, writing.is_alive()) == ("Old", "Old", False)


@given(prefix=st.text(), cursor=st.text() | st.text().map(cursor_after))
def test_no_prefix_and_no_cursor_raise_anything_but_a_refusal(
    reader: IndexReader, prefix: str, cursor: str
) -> None:
    try:
        page = reader.page(prefix, cursor)
    except RequestError:
        assert cursor
    else:
        assert all(document.path.startswith(prefix) for document in page.documents)


@pytest.mark.parametrize(
    ("prefix", "paths"),
    [
        pytest.param("ops/", [path for path in DOCUMENTS if path != "guide.md"], id="a folder"),
        pytest.param("ops/p", ["ops/page.html", "ops/plain.txt"], id="the beginning of a name"),
        pytest.param("OPS/", [], id="another letter case"),
        pytest.param("%", [], id="a wildcard of SQL"),
    ],
)
def test_the_list_of_a_prefix(reader: IndexReader, prefix: str, paths: list[str]) -> None:
    assert paths == [document.path for document in reader.page(prefix).documents]


def test_the_list_names_title_kind_size_and_headings_sorted_by_path(reader: IndexReader) -> None:
    page = reader.page()

    assert page.next_cursor is None
    assert [tuple(dict(each).values()) for each in page.documents] == [
        ("guide.md", "Guide", "markdown", len(GUIDE), 4),
        ("ops/café.md", "Käse", "markdown", 28, 1),
        ("ops/page.html", "A page", "html", 74, 1),
        ("ops/plain.txt", "plain", "text", 35, 0),
        ("ops/routes.md", "Routes", "markdown", 37, 1),
        ("ops/steps.rst", "Steps", "restructuredtext", 65, 2),
    ]
    assert set(DocumentEntry.model_fields) == {"path", "title", "kind", "size", "headings"}


@pytest.mark.parametrize(
    ("count", "sizes"),
    [
        pytest.param(0, [0], id="no documents"),
        pytest.param(PAGE_SIZE, [PAGE_SIZE], id="a full page"),
        pytest.param(PAGE_SIZE + 1, [PAGE_SIZE, 1], id="one more than a full page"),
        pytest.param(2 * PAGE_SIZE + 1, [PAGE_SIZE, PAGE_SIZE, 1], id="three pages"),
    ],
)
def test_pages_hold_every_document_once(
    tmp_path: Path, databases: Databases, count: int, sizes: list[int]
) -> None:
    names = [f"{ascii_lowercase[number % 26]}{number}.md" for number in range(count)]
    odd = [name.upper().replace("MD", "md") for name in names[::2]]  # which people would sort elsewhere
    names = sorted([*names[1::2], *odd])
    pages: list[list[str]] = []
    cursor = ""
    with reader_of(databases, dict.fromkeys(names, "text"), tmp_path) as reader:
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
def test_a_cursor_that_was_never_given_is_refused(reader: IndexReader, cursor: str) -> None:
    with pytest.raises(RequestError, match="not one of this server"):
        reader.page(cursor=cursor)


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO sections VALUES (1, 99, 'x', 1, 0, 0)",
        "UPDATE documents SET title = 'x'",
        "DELETE FROM sections",
        "DROP TABLE sections",
        "CREATE TABLE t (x integer)",
        "ALTER TABLE documents ADD COLUMN x integer",
    ],
)
@pytest.mark.promise("readers-cannot-write")
def test_the_database_refuses_to_be_written_through_what_reads_it(
    engine: Engine, reader: IndexReader, statement: str
) -> None:
    with pytest.raises(DBAPIError) as raised, engine.begin() as connection:
        connection.execute(text(statement))

    reason = str(raised.value.orig)
    assert any(words in reason for words in ("readonly database", "read-only transaction", "must be owner"))
    assert [document.path for document in reader.page().documents] == list(DOCUMENTS)


@pytest.mark.parametrize("statement", ["UPDATE documents SET title = 'x'", "DELETE FROM passages"])
@pytest.mark.promise("readers-cannot-write")
def test_a_transaction_that_asks_to_write_is_refused_as_well(engine: Engine, statement: str) -> None:
    allowed = (
        "SET TRANSACTION READ WRITE" if engine.dialect.name == "postgresql" else "PRAGMA query_only = OFF"
    )

    with engine.begin() as connection:
        connection.execute(text(allowed))
        with pytest.raises(DBAPIError, match=r"readonly database|permission denied"):
            connection.execute(text(statement))
