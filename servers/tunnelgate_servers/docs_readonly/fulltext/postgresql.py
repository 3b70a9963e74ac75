"""Full-text search by PostgreSQL's text search.

Its parser sees folded texts only: it would take `audit.jsonl` for a host and `tools/call` for a file, each
as one word. What it finds in a folded text is at the same place of the text itself.

Specification: https://www.postgresql.org/docs/current/textsearch.html
"""

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, text

from tunnelgate_servers.docs_readonly.folding import fold
from tunnelgate_servers.docs_readonly.fulltext.interface import MARKS, NewPassage, Passage, marked_spans
from tunnelgate_servers.docs_readonly.query import Word
from tunnelgate_servers.docs_readonly.snippets import Span

_ADD = text("""
    INSERT INTO passages (document_id, title, heading, body, words)
    VALUES (
        :document_id, :title, :heading, :body,
        setweight(to_tsvector('passage_words', :heading_words), 'A')
        || setweight(to_tsvector('passage_words', :title_words), 'B')
        || setweight(to_tsvector('passage_words', :body_words), 'D')
    )
""")
# The weights are those of D, C, B and A. Of two equal passages the shorter one is better.
_BEST = text("""
    SELECT best.id, documents.path, best.title, best.heading, best.body
    FROM (
        SELECT passages.*, ts_rank_cd('{0.2, 0.2, 0.4, 1.0}', words, query, 1) AS score
        FROM passages, to_tsquery('passage_words', :words) AS query
        WHERE words @@ query ORDER BY score DESC, id LIMIT :count
    ) AS best
    JOIN documents ON documents.id = best.document_id ORDER BY best.score DESC, best.id
""")
_MARKED = text("""
    SELECT id, ts_headline('passage_words', folded, to_tsquery('passage_words', :words), :options)
    FROM unnest(CAST(:ids AS integer[]), CAST(:folded AS text[])) AS bodies (id, folded)
""")
_OPTIONS = f'HighlightAll=true, StartSel="{MARKS[0]}", StopSel="{MARKS[1]}"'


class PostgresqlFullText:
    """A column of words beside the passages, under a GIN index."""

    def add(self, connection: Connection, passages: Sequence[NewPassage]) -> None:
        """Add passages with their words."""
        if passages:
            connection.execute(
                _ADD,
                [
                    {
                        "document_id": each.document_id,
                        "title": each.title,
                        "heading": each.heading,
                        "body": each.body,
                        "title_words": fold(each.title),
                        "heading_words": fold(each.heading),
                        "body_words": fold(each.body),
                    }
                    for each in passages
                ],
            )

    def settle(self, connection: Connection) -> None:
        """Let the planner know how many of what there are now."""
        connection.execute(text("ANALYZE documents, sections, passages"))

    def best(
        self, connection: Connection, choices: Sequence[Sequence[Word]], limit: int
    ) -> Sequence[Passage]:
        """Return the most relevant passages by cover density."""
        wanted = {"words": expression_of(choices), "count": limit}
        return [Passage(*row) for row in connection.execute(_BEST, wanted)]

    def spans(
        self, connection: Connection, words: Sequence[Word], passages: Sequence[Passage]
    ) -> Mapping[int, Sequence[Span]]:
        """Return where the words stand."""
        given = {
            "words": expression_of([[word] for word in words]),
            "options": _OPTIONS,
            "ids": [each.id for each in passages],
            "folded": [fold(each.body) for each in passages],
        }
        return {row.id: marked_spans(row[1]) for row in connection.execute(_MARKED, given)}


def expression_of(choices: Sequence[Sequence[Word]]) -> str:
    """Return a tsquery; a part is letters and digits, so that nothing in it is an operator."""
    return " | ".join(f"({' & '.join(map(_phrase, words))})" for words in choices)


def _phrase(word: Word) -> str:
    return f"({' <-> '.join(word)})"
