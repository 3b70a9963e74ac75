"""Full-text search by SQLite's FTS5.

Specification: https://www.sqlite.org/fts5.html
"""

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, insert, text

from tunnelgate_servers.docs_readonly.fulltext.interface import MARKS, NewPassage, Passage, marked_spans
from tunnelgate_servers.docs_readonly.models import Passage as PassageRow
from tunnelgate_servers.docs_readonly.query import Word
from tunnelgate_servers.docs_readonly.snippets import Span

# Ordered by rank, FTS5 reads the rows themselves only of the best.
_BEST = text("""
    SELECT passages.id, documents.path, passages.title, passages.heading, passages.body
    FROM passage_words
    JOIN passages ON passages.id = passage_words.rowid
    JOIN documents ON documents.id = passages.document_id
    WHERE passage_words MATCH :words ORDER BY passage_words.rank LIMIT :count
""")
_MARKED = text("""
    SELECT highlight(passage_words, 2, :before, :after) FROM passage_words
    WHERE passage_words MATCH :words AND rowid = :id
""")
_SETTLE = text("INSERT INTO passage_words (passage_words) VALUES ('optimize')")


class SqliteFullText:
    """FTS5, whose table the database itself keeps in step with the passages."""

    def add(self, connection: Connection, passages: Sequence[NewPassage]) -> None:
        """Add passages."""
        if passages:
            connection.execute(
                insert(PassageRow),
                [
                    {
                        "document_id": each.document_id,
                        "title": each.title,
                        "heading": each.heading,
                        "body": each.body,
                    }
                    for each in passages
                ],
            )

    def settle(self, connection: Connection) -> None:
        """Merge the parts of the index into one."""
        connection.execute(_SETTLE)

    def best(
        self, connection: Connection, choices: Sequence[Sequence[Word]], limit: int
    ) -> Sequence[Passage]:
        """Return the most relevant passages by bm25."""
        wanted = {"words": expression_of(choices), "count": limit}
        return [Passage(*row) for row in connection.execute(_BEST, wanted)]

    def spans(
        self, connection: Connection, words: Sequence[Word], passages: Sequence[Passage]
    ) -> Mapping[int, Sequence[Span]]:
        """Return where the words stand."""
        wanted = expression_of([[word] for word in words])
        given = {"words": wanted, "before": MARKS[0], "after": MARKS[1]}
        return {
            each.id: marked_spans(connection.execute(_MARKED, {**given, "id": each.id}).scalar_one())
            for each in passages
        }


def expression_of(choices: Sequence[Sequence[Word]]) -> str:
    """Return an FTS5 expression; a part is letters and digits, so that nothing in it ends the quotes."""
    return " OR ".join(f"({' AND '.join(map(_phrase, words))})" for words in choices)


def _phrase(word: Word) -> str:
    return f'"{" ".join(word)}"'
