"""Reading: what a caller types, as words in which nothing is an operator.

A query is plain words, separated by white space or double quotes. Other punctuation inside a word, as in
`audit.jsonl` or `tools/call`, parts it into words that have to follow each other. Words without any letter or
digit are left out, and so are those that stand in every English text unless there are no others.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import Final, Self, TypeAlias

from tunnelgate_servers.docs_readonly.folding import composed, fold
from tunnelgate_servers.hosting import RequestError

MAX_WORDS: Final = 32
"""How many different words a query may hold."""

Word: TypeAlias = tuple[str, ...]
"""A word: one or more folded parts, of letters and digits, that follow each other in the text."""

_FEW_WORDS: Final = 5  # of which every choice can be tried
_SEPARATORS = re.compile(r'[\s"]+')
_COMMON: Final = frozenset(
    (word,)
    for word in (
        *("a", "an", "and", "are", "as", "at", "be", "by", "can", "do", "does", "for", "from", "how"),
        *("i", "if", "in", "is", "it", "my", "not", "of", "on", "or", "our", "should", "that", "the"),
        *("their", "there", "these", "this", "to", "was", "we", "what", "when", "where", "which"),
        *("who", "why", "will", "with", "you", "your"),
    )
)


@dataclass(frozen=True, slots=True)
class Query:
    """The words of a query, each once and in the order in which they came."""

    words: tuple[Word, ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the words of a query; raises `RequestError` when it holds none, or too many."""
        parts = (tuple(fold(word).lower().split()) for word in _SEPARATORS.split(composed(text)))
        words = tuple(dict.fromkeys(word for word in parts if any(map(_is_word, word))))
        if not words:
            raise RequestError("The query holds no word to search for; give at least one letter or digit.")
        telling = tuple(word for word in words if word not in _COMMON)
        if len(telling) > MAX_WORDS:
            raise RequestError(f"The query holds more than {MAX_WORDS} words; use a few significant ones.")
        return cls(words=telling or words)

    def looser(self) -> Iterator[Sequence[Sequence[Word]]]:
        """Yield what to look for where nothing holds all the words, from the strictest to the loosest.

        Each is choices of words, of which a text has to hold one choice whole. A choice is as many words as
        possible, or of many words two that stood side by side, and in the end a single one.
        """
        if len(self.words) > _FEW_WORDS:
            yield list(pairwise(self.words))
            yield [(word,) for word in self.words]
            return
        for count in range(len(self.words) - 1, 0, -1):
            yield list(combinations(self.words, count))


def _is_word(part: str) -> bool:
    return any(character.isalnum() for character in part)
