"""The questions that the index answers, each through one read-only connection."""

import sqlite3
from dataclasses import dataclass
from typing import Final

from tunnelgate_servers.docs_readonly.errors import NoSuchDocumentError, RequestError
from tunnelgate_servers.docs_readonly.markdown import parse_markdown
from tunnelgate_servers.docs_readonly.paging import cursor_after, path_before
from tunnelgate_servers.docs_readonly.query import Query
from tunnelgate_servers.docs_readonly.results import (
    Document,
    DocumentEntry,
    DocumentPage,
    SearchHit,
    SearchResults,
)

PAGE_SIZE: Final = 50
"""How many documents one page of a list holds."""

MAX_HITS: Final = 20
"""How many hits a search returns at most."""

_HEADINGS_IN_ERROR = 30

# bm25 gives better matches smaller numbers; the weights are those of path, title, heading and body.
_SEARCH = """
    SELECT path, title, heading, snippet(sections, -1, '**', '**', '…', 24)
    FROM sections WHERE sections MATCH ?
    ORDER BY bm25(sections, 0.0, 2.0, 5.0, 1.0), rowid LIMIT ?
"""
_DOCUMENT = "SELECT title, text FROM documents WHERE path = ?"
_PAGE = """
    SELECT path, title, size, headings FROM documents
    WHERE path > :after AND substr(path, 1, length(:prefix)) = :prefix ORDER BY path LIMIT :count
"""


@dataclass(frozen=True, slots=True)
class IndexReader:
    """Answers from one state of the index; it lives as long as its connection."""

    connection: sqlite3.Connection

    def search(self, query: str, limit: int) -> SearchResults:
        """Return the best sections for plain words: those with all of them, or else those with any.

        Raises `RequestError` when the query holds no word or is too long, or the limit is out of range.
        """
        if not 1 <= limit <= MAX_HITS:
            raise RequestError(f"The limit must be a number from 1 to {MAX_HITS}.")
        words = Query.parse(query)
        if hits := self._hits(words.all_words, limit):
            return SearchResults(matched="all words", hits=hits)
        return SearchResults(matched="any word", hits=self._hits(words.any_word, limit))

    def document(self, path: str, section: str = "") -> Document:
        """Return a document, or one section of it with its subsections when a heading is given.

        The path is looked up in the index and never touches the file system.
        Raises `NoSuchDocumentError` for an unknown path, and `RequestError` for an unknown heading.
        """
        title, text = self._title_and_text(path)
        if not section:
            return Document(path=path, title=title, section=None, text=text)
        markdown = parse_markdown(text)
        part = markdown.under(section)
        if part is None:
            raise RequestError(_no_such_section(markdown.headings))
        return Document(path=path, title=title, section=section, text=part)

    def page(self, prefix: str = "", cursor: str = "") -> DocumentPage:
        """Return up to `PAGE_SIZE` documents whose paths begin with a prefix, sorted by code point.

        Raises `RequestError` for a cursor that this server cannot have given.
        """
        wanted = {"after": path_before(cursor), "prefix": prefix, "count": PAGE_SIZE + 1}
        rows = self.connection.execute(_PAGE, wanted).fetchall()
        documents = tuple(
            DocumentEntry(path=path, title=title, size=size, headings=headings)
            for path, title, size, headings in rows[:PAGE_SIZE]
        )
        next_cursor = cursor_after(documents[-1].path) if len(rows) > PAGE_SIZE else None
        return DocumentPage(documents=documents, next_cursor=next_cursor)

    def _hits(self, expression: str, limit: int) -> tuple[SearchHit, ...]:
        rows = self.connection.execute(_SEARCH, (expression, limit)).fetchall()
        return tuple(
            SearchHit(path=path, title=title, heading=heading or None, snippet=_on_one_line(snippet))
            for path, title, heading, snippet in rows
        )

    def _title_and_text(self, path: str) -> tuple[str, str]:
        row = self.connection.execute(_DOCUMENT, (path,)).fetchone()
        if row is None:
            raise NoSuchDocumentError(
                "There is no document with this path; list_docs names the paths there are."
            )
        title, text = row
        return title, text


def _on_one_line(snippet: str) -> str:
    return " ".join(snippet.split()).replace("****", "**")  # a hit that is bold in the document


def _no_such_section(headings: tuple[str, ...]) -> str:
    if not headings:
        return "The document has no headings; read it without a section."
    named = ", ".join(f'"{heading}"' for heading in headings[:_HEADINGS_IN_ERROR])
    more = len(headings) - _HEADINGS_IN_ERROR
    others = f" and {more} more" if more > 0 else ""
    return f"There is no section with this heading; there are {named}{others}."
