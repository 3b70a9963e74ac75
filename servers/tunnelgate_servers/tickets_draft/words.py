"""Reading: the words of a search, and texts in the form in which words are looked for.

Both databases compare the same way, because letter case and accents are taken away before they compare.
"""

import unicodedata
from typing import Final

from tunnelgate_servers.hosting import RequestError

MAX_WORDS: Final = 12
"""How many words a search may have."""


def folded(text: str) -> str:
    """Return a text without letter case, accents and other differences that a search looks over."""
    parts = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    return "".join(character for character in parts if not unicodedata.combining(character))


def words_of(query: str) -> tuple[str, ...]:
    """Return the words of a query, each once and folded; punctuation around a word does not belong to it.

    Raises `RequestError` for a query that has text and no word, and for one with more words than `MAX_WORDS`.
    """
    stripped = [_stripped(part) for part in folded(query).split()]
    words = tuple(dict.fromkeys(word for word in stripped if word))
    if query.strip() and not words:
        raise RequestError("The query holds no word to search for; give at least one letter or digit.")
    if len(words) > MAX_WORDS:
        raise RequestError(f"The query has more than {MAX_WORDS} words; use the most telling ones.")
    return words


def _stripped(part: str) -> str:
    kept = [position for position, character in enumerate(part) if character.isalnum()]
    return part[kept[0] : kept[-1] + 1] if kept else ""
