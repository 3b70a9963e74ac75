"""What every parser makes of a document: its readable text, and the sections in it."""

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

MAX_HEADING_CHARACTERS: Final = 500
"""The length of the longest heading and title, in characters; of a longer one the beginning is kept."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a section is: a heading and what stands below it, up to the next heading of any level.

    `heading` is empty and `level` is 0 for the text before the first heading. `start` and `end` are where
    the section, with its heading, stands in the text of the document, in characters.
    """

    heading: str
    level: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Section(Place):
    """A section, with what stands below its heading without markup, for searching."""

    body: str


@dataclass(frozen=True, slots=True)
class ParsedDocument:
    """A document as it is read and searched; `title` is None when nothing in it says one."""

    title: str | None
    text: str
    sections: tuple[Section, ...]


def under(heading: str, sections: Sequence[Place], text: str) -> str | None:
    """Return what stands under a heading with its subsections, or None when there is no such heading.

    Letter case, white space and leading `#` make no difference. A heading that occurs several times gives
    all its sections, one after the other.
    """
    wanted = _folded(heading)
    taken: list[str] = []
    level = 0
    for section in sections:
        if section.level <= level:
            level = 0
        if not level and section.level and _folded(section.heading) == wanted:
            level = section.level
        if level:
            taken.append(text[section.start : section.end].strip("\n"))
    return "\n\n".join(taken) if taken else None


def heading_of(text: str) -> str:
    """Return a heading or title as it is kept: on one line, without control characters, and bounded."""
    return " ".join(without_controls(text).split())[:MAX_HEADING_CHARACTERS].rstrip()


def without_controls(text: str) -> str:
    """Return a text whose control characters, except line ends and tabulators, are spaces."""
    return text.translate(_NO_CONTROLS)


def title_among(sections: Iterable[Section]) -> str | None:
    """Return the first heading of the first level, or else the first heading."""
    named = [section for section in sections if section.heading]
    tops = [section for section in named if section.level == 1]
    return next((section.heading for section in (*tops, *named)), None)


def _folded(heading: str) -> str:
    return " ".join(heading.lstrip("# \t").split()).casefold()


_NO_CONTROLS = {
    code: " " for code in range(0xA0) if unicodedata.category(chr(code)) == "Cc" and chr(code) not in "\n\t"
}
