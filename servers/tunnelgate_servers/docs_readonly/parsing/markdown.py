"""Reading: the headings and sections of a Markdown text, without rendering it.

Recognised as in CommonMark: ATX headings (`## Setup`), setext headings (underlined with `===` or `---`), and
what only looks like a heading: fenced code, indented code, HTML comments, `<pre>`, `<script>`, `<style>` and
`<textarea>`, and everything inside block quotes. A front matter block at the top belongs to no section.
Other HTML, and what is indented in a list, is read as if it stood alone. The time is linear in the text.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

from tunnelgate_servers.docs_readonly.parsing.parsed import (
    ParsedDocument,
    Section,
    heading_of,
    title_among,
    without_controls,
)

_ATX = re.compile(r" {0,3}(#{1,6})(?=[ \t]|$)")
_SETEXT = re.compile(r" {0,3}(=+|-+)[ \t]*")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_FENCE_END = re.compile(r" {0,3}(`{3,}|~{3,})[ \t]*")
_RAW_HTML = re.compile(r" {0,3}<(?:(!--)|(?:pre|script|style|textarea)(?=[ \t>]|$))", re.IGNORECASE)
_RAW_HTML_END = re.compile(r"</(?:pre|script|style|textarea)>", re.IGNORECASE)
_COMMENT_END = re.compile("-->")
_BREAK = re.compile(r" {0,3}([-*_])(?:[ \t]*\1){2,}[ \t]*")
_CONTAINER = re.compile(r" {0,3}(?:>|(?:[-+*]|[0-9]{1,9}[.)])(?=[ \t]|$))")
_INDENTED = re.compile(r"(?: {4}| {0,3}\t)")
_FENCE_LINE = re.compile(r"^ {0,3}(?:`{3,}|~{3,}).*$", re.MULTILINE)
_LINK = re.compile(r"!?\[([^\[\]]*)\](?:\([^()\s]*\)|\[[^\[\]]*\])")
_MARKS = re.compile(r"`+|(?<!\w)\*{1,3}(?=\S)|(?<=\S)\*{1,3}(?!\w)")
_FRONT_MATTER_KEY = re.compile(r"[A-Za-z_][\w-]*:")
_FRONT_MATTER_TITLE = re.compile(r"title:[ \t]*(['\"]?)(.+)\1[ \t]*")


@dataclass(frozen=True, slots=True)
class _Heading:
    """A heading by line numbers from 0: of itself, and of the first line after it."""

    text: str
    level: int
    start: int
    body: int


def parse_markdown(text: str) -> ParsedDocument:
    """Cut a text, whose lines end with a line feed, into sections; total on every input."""
    lines = text.split("\n")
    title, first = _front_matter(lines)
    headings = [_Heading("", 0, first, first), *_headings(lines, first)]
    ends = [heading.start for heading in headings[1:]] + [len(lines)]
    offsets = list(accumulate((len(line) + 1 for line in lines), initial=0))
    offsets[-1] = len(text)
    sections = tuple(
        Section(
            heading_of(heading.text),
            heading.level,
            offsets[heading.start],
            offsets[end],
            _plain("\n".join(lines[heading.body : end])),
        )
        for heading, end in zip(headings, ends, strict=True)
    )
    if not any(line.strip() for line in lines[first : ends[0]]):
        sections = sections[1:]
    return ParsedDocument(heading_of(title or "") or title_among(sections), text, sections)


def _plain(body: str) -> str:
    """Return a text without its marks; of a link, what it says stays and where it leads does not."""
    body = _LINK.sub(r"\1", _FENCE_LINE.sub("", body))
    return without_controls(_MARKS.sub("", body)).strip()


def _front_matter(lines: Sequence[str]) -> tuple[str | None, int]:
    """Return the title that a front matter block gives, and the number of the first line after the block."""
    if len(lines) == 1 or lines[0].rstrip() != "---" or not _FRONT_MATTER_KEY.match(lines[1]):
        return None, 0
    end = next((number for number in range(2, len(lines)) if lines[number].rstrip() in {"---", "..."}), None)
    if end is None:
        return None, 0
    titles = (_FRONT_MATTER_TITLE.fullmatch(line) for line in lines[1:end])
    return next((title[2].strip() for title in titles if title), None), end + 1


def _headings(lines: Sequence[str], first: int) -> Iterator[_Heading]:
    number = first
    paragraph: int | None = None  # where the paragraph that could become a setext heading began
    in_container = False
    while number < len(lines):
        line = lines[number]
        skipped = _end_of_block(lines, number)
        if skipped is not None:
            paragraph, in_container, number = None, False, skipped
            continue
        number += 1
        if not line.strip():
            paragraph, in_container = None, False
        elif atx := _ATX.match(line):
            paragraph, in_container = None, False
            yield _Heading(_atx_text(line[atx.end() :]), len(atx[1]), number - 1, number)
        elif paragraph is not None and (underline := _SETEXT.fullmatch(line)):
            text = " ".join(part.strip() for part in lines[paragraph : number - 1])
            yield _Heading(text, 1 if "=" in underline[1] else 2, paragraph, number)
            paragraph = None
        elif _BREAK.fullmatch(line):
            paragraph, in_container = None, False
        elif _CONTAINER.match(line):
            paragraph, in_container = None, True
        elif paragraph is None and not in_container and not _INDENTED.match(line):
            paragraph = number - 1


def _atx_text(rest: str) -> str:
    text = rest.strip(" \t")
    without_closing = text.rstrip("#")
    if not without_closing or without_closing[-1] in " \t":
        return without_closing.rstrip(" \t")
    return text


def _end_of_block(lines: Sequence[str], number: int) -> int | None:
    """Return the line after the code fence or raw HTML that begins here, or None when neither does."""
    line = lines[number]
    if fence := _FENCE.match(line):
        mark = fence[1]
        if mark[0] == "`" and "`" in line[fence.end() :]:
            return None
        return next((at + 1 for at in range(number + 1, len(lines)) if _closes(lines[at], mark)), len(lines))
    if html := _RAW_HTML.match(line):
        end = _COMMENT_END if html[1] else _RAW_HTML_END
        return next((at + 1 for at in range(number, len(lines)) if end.search(lines[at])), len(lines))
    return None


def _closes(line: str, mark: str) -> bool:
    end = _FENCE_END.fullmatch(line)
    return end is not None and end[1].startswith(mark)
