"""Reading: an extract of a passage around the words that were found, on one line.

The extract is where most of the words stand closest together.
"""

from collections.abc import Sequence
from typing import Final, TypeAlias

MAX_SNIPPET_CHARACTERS: Final = 240
"""The length of the longest extract, in characters, without the marks."""

Span: TypeAlias = tuple[int, int]
"""Where a word that was found begins and ends in a text."""

_MARK = "**"
_BEFORE = 40  # what stands before the first word, so that it has a beginning


def snippet_of(text: str, found: Sequence[Span]) -> str:
    """Return an extract of a text with the words between two asterisks on either side."""
    spans = _joined(text, found)
    start, end = _window(text, spans)
    parts: list[str] = []
    at = start
    for first, last in spans:
        if start <= first and last <= end:
            parts += [text[at:first], _MARK, text[first:last], _MARK]
            at = last
    extract = " ".join(("".join(parts) + text[at:end]).split())
    return f"{'…' if text[:start].strip() else ''}{extract}{'…' if text[end:].strip() else ''}"


def _joined(text: str, found: Sequence[Span]) -> list[Span]:
    """Return the spans with those as one between which there is only punctuation, as in a file's name."""
    spans: list[Span] = []
    for start, end in found:
        if spans and _is_punctuation(text[spans[-1][1] : start]):
            spans[-1] = (spans[-1][0], end)
        else:
            spans.append((start, end))
    return spans


def _is_punctuation(text: str) -> bool:
    return not any(character.isspace() or character.isalnum() for character in text)


def _window(text: str, spans: Sequence[Span]) -> Span:
    """Return where the extract begins and ends: where the most different words are, at ends of words."""
    best, most = 0, 0
    for first, (start, _) in enumerate(spans):
        words = {
            text[begin:end].casefold()
            for begin, end in spans[first : first + MAX_SNIPPET_CHARACTERS // 2]
            if end <= start + MAX_SNIPPET_CHARACTERS - _BEFORE
        }
        if len(words) > most:
            best, most = start, len(words)
    start = max(0, min(best - _BEFORE, len(text) - MAX_SNIPPET_CHARACTERS))
    end = min(start + MAX_SNIPPET_CHARACTERS, len(text))
    if start:
        start = min(_end_of_word(text, start), best)
    word = _beginning_of_word(text, end) if end < len(text) else end
    return start, word if word > best else end  # which is inside of a word that is too long


def _end_of_word(text: str, at: int) -> int:
    while at < len(text) and not text[at - 1].isspace():
        at += 1
    return at


def _beginning_of_word(text: str, at: int) -> int:
    while at and not text[at].isspace():
        at -= 1
    return at
