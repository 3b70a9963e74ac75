"""Reading: the body of a section as passages, which are what is searched and shown.

A passage is bounded, so that a long section is found by the part of it that holds the words, and so that
no document is too large for a database.
"""

from collections.abc import Iterator
from typing import Final

MAX_PASSAGE_CHARACTERS: Final = 4000
"""The length of the longest passage, in characters."""


def passages_of(body: str) -> Iterator[str]:
    """Cut a text at the end of a paragraph, of a line or of a word; an empty text is one empty passage."""
    start = 0
    while len(body) - start > MAX_PASSAGE_CHARACTERS:
        end = _end_of_passage(body, start)
        if passage := body[start:end].strip():
            yield passage
        start = end
    rest = body[start:].strip()
    if rest or not start:
        yield rest


def _end_of_passage(body: str, start: int) -> int:
    limit = start + MAX_PASSAGE_CHARACTERS
    for separator in ("\n\n", "\n", " "):
        # One that comes early would leave a passage of a few words.
        end = body.rfind(separator, start + MAX_PASSAGE_CHARACTERS // 2, limit)
        if end >= 0:
            return end + len(separator)
    return limit
