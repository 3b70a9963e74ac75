"""Reading: the headings and sections of a Markdown text, without rendering it.

Recognised as in CommonMark: ATX headings (`## Setup`), setext headings (underlined with `===` or `---`), and
what only looks like a heading: fenced code, indented code, HTML comments, `<pre>`, `<script>`, `<style>` and
`<textarea>`, and everything inside block quotes. A front matter block at the top belongs to no section.
Other HTML, and what is indented in a list, is read as if it stood alone. The time is linear in the text.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

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
_FRONT_MATTER_KEY = re.compile(r"[A-Za-z_][\w-]*:")
_FRONT_MATTER_TITLE = re.compile(r"title:[ \t]*(['\"]?)(.+)\1[ \t]*")


@dataclass(frozen=True, slots=True)
class Section:
    """A heading and the lines up to the next heading of any level.

    `heading` is empty and `level` is 0 for the text before the first heading. `start`, `body` and `end` are
    line numbers from 0: of the heading, of the first line after it, and of the first that no longer belongs.
    """

    heading: str
    level: int
    start: int
    body: int
    end: int


@dataclass(frozen=True, slots=True)
class MarkdownText:
    """A Markdown text cut into sections; `title` is None when neither front matter nor heading gives one."""

    lines: tuple[str, ...]
    title: str | None
    sections: tuple[Section, ...]

    @property
    def headings(self) -> tuple[str, ...]:
        """The headings in the order of the text."""
        return tuple(section.heading for section in self.sections if section.level)

    def body(self, section: Section) -> str:
        """Return what stands under a heading, up to the next heading of any level."""
        return "\n".join(self.lines[section.body : section.end]).strip("\n")

    def under(self, heading: str) -> str | None:
        """Return what stands under a heading with its subsections, or None when there is no such heading.

        Letter case, white space and leading `#` make no difference. A heading that occurs several times gives
        all its sections, one after the other.
        """
        wanted = _folded(heading)
        taken: list[str] = []
        level = 0
        for section in self.sections:
            if section.level <= level:
                level = 0
            if not level and section.level and _folded(section.heading) == wanted:
                level = section.level
            if level:
                taken.append("\n".join(self.lines[section.start : section.end]).strip("\n"))
        return "\n\n".join(taken) if taken else None


def parse_markdown(text: str) -> MarkdownText:
    """Cut a text into sections; total on every input."""
    lines = tuple(text.replace("\r\n", "\n").replace("\r", "\n").split("\n"))
    title, first = _front_matter(lines)
    headings = [Section("", 0, first, first, first), *_headings(lines, first)]
    ends = [heading.start for heading in headings[1:]] + [len(lines)]
    sections = tuple(
        Section(section.heading, section.level, section.start, section.body, end)
        for section, end in zip(headings, ends, strict=True)
    )
    if not any(line.strip() for line in lines[first : ends[0]]):
        sections = sections[1:]
    return MarkdownText(lines=lines, title=title or _title(sections), sections=sections)


def _title(sections: Sequence[Section]) -> str | None:
    named = [section for section in sections if section.heading]
    tops = [section for section in named if section.level == 1]
    return next((section.heading for section in (*tops, *named)), None)


def _folded(heading: str) -> str:
    return " ".join(heading.lstrip("# \t").split()).casefold()


def _front_matter(lines: Sequence[str]) -> tuple[str | None, int]:
    """Return the title that a front matter block gives, and the number of the first line after the block."""
    if len(lines) == 1 or lines[0].rstrip() != "---" or not _FRONT_MATTER_KEY.match(lines[1]):
        return None, 0
    end = next((number for number in range(2, len(lines)) if lines[number].rstrip() in {"---", "..."}), None)
    if end is None:
        return None, 0
    titles = (_FRONT_MATTER_TITLE.fullmatch(line) for line in lines[1:end])
    return next((title[2].strip() for title in titles if title), None), end + 1


def _headings(lines: Sequence[str], first: int) -> Iterator[Section]:
    """Yield the headings as sections that end with their own lines."""
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
            yield Section(_atx_text(line[atx.end() :]), len(atx[1]), number - 1, number, number)
        elif paragraph is not None and (underline := _SETEXT.fullmatch(line)):
            text = " ".join(part.strip() for part in lines[paragraph : number - 1])
            yield Section(text, 1 if "=" in underline[1] else 2, paragraph, number, number)
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
