"""Reading: what a caller types, as a full-text expression in which nothing of it is an operator.

A query is plain words, separated by white space or double quotes. Other punctuation inside a word, as in
`audit.jsonl` or `tools/call`, parts it into words that have to follow each other. Words without any letter or
digit are left out.
"""

import re
from dataclasses import dataclass
from typing import Final, Self

from tunnelgate_servers.docs_readonly.errors import RequestError

MAX_QUERY_CHARACTERS: Final = 500
"""The length of the longest query, in characters."""

_SEPARATORS = re.compile(r'[\s"\0]+')  # for SQLite, NUL would end the expression


@dataclass(frozen=True, slots=True)
class Query:
    """The words of a query, each quoted for FTS5 and given once."""

    words: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the words of a query; raises `RequestError` when it is too long or holds none."""
        if len(text) > MAX_QUERY_CHARACTERS:
            raise RequestError(
                f"The query is longer than {MAX_QUERY_CHARACTERS} characters; use a few words."
            )
        words = [word for word in _SEPARATORS.split(text) if any(character.isalnum() for character in word)]
        if not words:
            raise RequestError("The query holds no word to search for; give at least one letter or digit.")
        return cls(words=tuple(dict.fromkeys(f'"{word}"' for word in words)))

    @property
    def all_words(self) -> str:
        """The expression for sections that hold every word."""
        return " AND ".join(self.words)

    @property
    def any_word(self) -> str:
        """The expression for sections that hold at least one word."""
        return " OR ".join(self.words)
