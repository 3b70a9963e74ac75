"""The narrow interface behind which each database's full-text search stands."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from sqlalchemy import Connection

from tunnelgate_servers.docs_readonly.query import Word
from tunnelgate_servers.docs_readonly.snippets import Span


@dataclass(frozen=True, slots=True)
class NewPassage:
    """A passage to be added; its texts are composed and hold no control characters but line ends."""

    document_id: int
    title: str
    heading: str
    body: str


@dataclass(frozen=True, slots=True)
class Passage:
    """A passage that was found."""

    id: int
    path: str
    title: str
    heading: str
    body: str


class FullText(Protocol):
    """The full-text search of one kind of database."""

    def add(self, connection: Connection, passages: Sequence[NewPassage]) -> None:
        """Add passages and make their words searchable; those that are deleted take their words along."""
        ...

    def settle(self, connection: Connection) -> None:
        """Put what was added and deleted into the order in which it is searched fastest."""
        ...

    def best(
        self, connection: Connection, choices: Sequence[Sequence[Word]], limit: int
    ) -> Sequence[Passage]:
        """Return the most relevant passages, best first, that hold all the words of at least one choice.

        A word counts most in the heading, less in the title, and least in the body.
        """
        ...

    def spans(
        self, connection: Connection, words: Sequence[Word], passages: Sequence[Passage]
    ) -> Mapping[int, Sequence[Span]]:
        """Return where in the body of each passage, by its id, any of the words stand, in order."""
        ...


MARKS = ("\x01", "\x02")
"""What a database puts around the words that it found; no passage holds them."""


def marked_spans(marked: str) -> list[Span]:
    """Return where words stood between the marks, in the text without the marks."""
    spans: list[Span] = []
    before, *parts = marked.split(MARKS[0])
    at = len(before)
    for part in parts:
        word, _, rest = part.partition(MARKS[1])
        spans.append((at, at + len(word)))
        at += len(word) + len(rest)
    return spans
