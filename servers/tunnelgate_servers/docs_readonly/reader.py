"""The questions that the index answers, each through a connection that cannot write."""

from collections.abc import Sequence
from typing import Final

from sqlalchemy import Connection, Engine, func, select

from tunnelgate_servers.docs_readonly.errors import NoSuchDocumentError
from tunnelgate_servers.docs_readonly.fulltext import fulltext_of
from tunnelgate_servers.docs_readonly.models import Document as DocumentRow
from tunnelgate_servers.docs_readonly.models import Section
from tunnelgate_servers.docs_readonly.parsing import Place, kind_of, under
from tunnelgate_servers.docs_readonly.paths import is_path
from tunnelgate_servers.docs_readonly.query import Query, Word
from tunnelgate_servers.docs_readonly.results import (
    Document,
    DocumentEntry,
    DocumentPage,
    SearchHit,
    SearchResults,
)
from tunnelgate_servers.docs_readonly.snippets import snippet_of
from tunnelgate_servers.hosting import RequestError, cursor_after, keys_before, reading

PAGE_SIZE: Final = 50
"""How many documents one page of a list holds."""

MAX_HITS: Final = 20
"""How many hits a search returns at most."""

MAX_READ_CHARACTERS: Final = 50_000
"""How many characters of a document are returned at once."""

_HEADINGS_IN_ERROR = 30
_PASSAGES_A_HIT = 3  # that are looked at, because a section may have several


class IndexReader:
    """Answers from the index; usable by several threads. Raises `UnavailableError` when it cannot be read."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._fulltext = fulltext_of(engine)

    def require(self) -> None:
        """Return when the index can be read."""
        with reading(self._engine) as connection:
            connection.execute(select(DocumentRow.id).limit(1)).all()

    def search(self, text: str, limit: int) -> SearchResults:
        """Return the best sections for plain words: those with all of them, or else those with most.

        Raises `RequestError` when there is no word in the text, or too many.
        """
        query = Query.parse(text)
        with reading(self._engine) as connection:
            if hits := self._hits(connection, query, [query.words], limit):
                return SearchResults(matched="all words", hits=hits)
            for choices in query.looser():
                if hits := self._hits(connection, query, choices, limit):
                    break
        return SearchResults(matched="any word", hits=hits)

    def document(self, path: str, section: str = "", start: int = 0) -> Document:
        """Return a part of a document, or of one section of it with its subsections, from `start`.

        Raises `NoSuchDocumentError` for an unknown path, and `RequestError` for an unknown heading and for a
        start that is not inside of the text.
        """
        with reading(self._engine) as connection:
            title, text = self._title_and_text(connection, path)
            if section:
                text = self._section(connection, path, section, text)
        if start and start >= len(text):
            raise RequestError(f"The text ends before this start; it has {len(text)} characters.")
        end = start + MAX_READ_CHARACTERS
        return Document(
            path=path,
            title=title,
            kind=kind_of(path).name,
            section=section or None,
            text=text[start:end],
            next_start=end if end < len(text) else None,
        )

    def text(self, path: str) -> str:
        """Return the whole text of a document; raises `NoSuchDocumentError`."""
        with reading(self._engine) as connection:
            return self._title_and_text(connection, path)[1]

    def page(self, prefix: str = "", cursor: str = "") -> DocumentPage:
        """Return up to `PAGE_SIZE` documents whose paths begin with a prefix, sorted by code point.

        Raises `RequestError` for a cursor that this server cannot have given.
        """
        (after,) = keys_before(cursor, str) or ("",)
        wanted = (
            select(DocumentRow.path, DocumentRow.title, DocumentRow.size, DocumentRow.headings)
            .where(DocumentRow.path > after, func.substr(DocumentRow.path, 1, len(prefix)) == prefix)
            .order_by(DocumentRow.path)
            .limit(PAGE_SIZE + 1)
        )
        with reading(self._engine) as connection:
            rows = connection.execute(wanted).all()
        documents = tuple(
            DocumentEntry(path=path, title=title, kind=kind_of(path).name, size=size, headings=headings)
            for path, title, size, headings in rows[:PAGE_SIZE]
        )
        next_cursor = cursor_after(documents[-1].path) if len(rows) > PAGE_SIZE else None
        return DocumentPage(documents=documents, next_cursor=next_cursor)

    def _hits(
        self, connection: Connection, query: Query, choices: Sequence[Sequence[Word]], limit: int
    ) -> tuple[SearchHit, ...]:
        passages = self._fulltext.best(connection, choices, limit * _PASSAGES_A_HIT)
        sections = {(each.path, each.heading): each for each in reversed(passages)}
        best = [each for each in passages if sections[each.path, each.heading] is each][:limit]
        spans = self._fulltext.spans(connection, query.words, best)
        return tuple(
            SearchHit(
                path=each.path,
                title=each.title,
                heading=each.heading or None,
                snippet=snippet_of(each.body, spans[each.id]),
            )
            for each in best
        )

    def _title_and_text(self, connection: Connection, path: str) -> tuple[str, str]:
        wanted = select(DocumentRow.title, DocumentRow.text).where(DocumentRow.path == path)
        # What is no path is no text that every database would take, either.
        row = connection.execute(wanted).one_or_none() if is_path(path) else None
        if row is None:
            raise NoSuchDocumentError(
                "There is no document with this path; list_docs names the paths there are."
            )
        title, text = row
        return title, text

    def _section(self, connection: Connection, path: str, heading: str, text: str) -> str:
        wanted = (
            select(Section.heading, Section.level, Section.start, Section.end)
            .join(DocumentRow, DocumentRow.id == Section.document_id)
            .where(DocumentRow.path == path)
            .order_by(Section.position)
        )
        sections = [Place(*row) for row in connection.execute(wanted)]
        part = under(heading, sections, text)
        if part is None:
            raise RequestError(_no_such_section([each.heading for each in sections if each.level]))
        return part


def _no_such_section(headings: list[str]) -> str:
    if not headings:
        return "The document has no headings; read it without a section."
    named = ", ".join(f'"{heading}"' for heading in headings[:_HEADINGS_IN_ERROR])
    more = len(headings) - _HEADINGS_IN_ERROR
    others = f" and {more} more" if more > 0 else ""
    return f"There is no section with this heading; there are {named}{others}."
