"""Reading: plain texts, in which a line above a rule of its own length is a heading.

The rule is of `=`, which makes a heading of the first level, or of `-`, which makes one of the second; at
least three of them, below one line that stands after an empty one. The time is linear in the text.
"""

import re
from collections.abc import Iterator

from tunnelgate_servers.docs_readonly.parsing.parsed import (
    ParsedDocument,
    Section,
    heading_of,
    title_among,
    without_controls,
)

_HEADING = re.compile(r"(?:\A|(?<=\n\n))(?P<text>\S[^\n]*)\n(?P<rule>={3,}|-{3,})[ \t]*(?:\n|\Z)")


def parse_plain(text: str) -> ParsedDocument:
    """Cut a text, whose lines end with a line feed, into sections; total on every input."""
    sections = tuple(_sections(text))
    return ParsedDocument(title_among(sections), text, sections)


def _sections(text: str) -> Iterator[Section]:
    found = [match for match in _HEADING.finditer(text) if len(match["rule"]) == len(match["text"].rstrip())]
    ends = [match.start() for match in found] + [len(text)]
    if text[: ends[0]].strip():
        yield Section("", 0, 0, ends[0], _body(text[: ends[0]]))
    for match, end in zip(found, ends[1:], strict=True):
        level = 1 if match["rule"].startswith("=") else 2
        yield Section(heading_of(match["text"]), level, match.start(), end, _body(text[match.end() : end]))


def _body(text: str) -> str:
    return without_controls(text).strip()
