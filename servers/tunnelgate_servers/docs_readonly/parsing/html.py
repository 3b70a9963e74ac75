"""Reading: HTML by Beautiful Soup, as the text that a person would see.

What is not read by people is dropped: scripts, styles, comments, templates, embedded objects, and what is
hidden. Headings become lines that begin with `#`, items of lists such as begin with `- `, and preformatted
text is kept as it is.
"""

import re
from collections.abc import Iterator
from typing import Final

from bs4 import BeautifulSoup
from bs4.element import NavigableString, PreformattedString, Tag

from tunnelgate_servers.docs_readonly.parsing.parsed import (
    ParsedDocument,
    Section,
    heading_of,
    title_among,
    without_controls,
)

# html.parser searches to the end for what is never closed, again at each beginning of it.
_UNREAD = re.compile(
    r"<!--.*?(?:-->|\Z)|<(script|style)\b.*?(?:</\1\b[^>]*(?:>|\Z)|\Z)|<[!?][^>]*(?:>|\Z)",
    re.IGNORECASE | re.DOTALL,
)
_HEADINGS: Final = {f"h{level}": level for level in range(1, 7)}
_DROPPED: Final = frozenset(
    (
        *("audio", "canvas", "embed", "head", "iframe", "map", "math", "noscript", "object", "script"),
        *("style", "svg", "template", "title", "video"),
    )
)
_BLOCKS: Final = frozenset(
    (
        *_HEADINGS,
        *("address", "article", "aside", "blockquote", "body", "br", "caption", "dd", "details"),
        *("dialog", "div", "dl", "dt", "fieldset", "figcaption", "figure", "footer", "form", "header"),
        *("hr", "html", "legend", "li", "main", "nav", "ol", "p", "pre", "section", "summary", "table"),
        *("tbody", "tfoot", "thead", "tr", "ul"),
    )
)
_CELLS: Final = frozenset(("td", "th"))


def parse_html(text: str) -> ParsedDocument:
    """Read the text that a page shows and cut it into sections; total on every input."""
    # Without a doctype of our own, Beautiful Soup warns about what looks like XML or like a file's name.
    soup = BeautifulSoup(f"<!DOCTYPE html>{_closed(_UNREAD.sub('', text))}", "html.parser")
    title = heading_of(soup.title.get_text()) if soup.title else ""
    page = _Page()
    for tag, opens, words in _walked(soup):
        page.take(tag, words, opens=opens)
    return page.parsed(title)


def _closed(text: str) -> str:
    """Return a text in which no tag is left open at the end."""
    end = text.rfind(">") + 1
    return text[:end] + text[end:].replace("<", "&lt;")


def _walked(soup: BeautifulSoup) -> Iterator[tuple[str, bool, str]]:
    """Yield the names of tags as they open and close, and between them, under no name, the words."""
    open_tags: list[tuple[str, Iterator[object]]] = [("", iter(soup.contents))]
    while open_tags:
        name, children = open_tags[-1]
        child = next(children, None)
        if child is None:
            open_tags.pop()
            yield name, False, ""
        elif isinstance(child, Tag):
            if child.name not in _DROPPED and not child.has_attr("hidden"):
                open_tags.append((child.name, iter(child.contents)))
                yield child.name, True, ""
        elif isinstance(child, NavigableString) and not isinstance(child, PreformattedString):
            yield "", True, str(child)


class _Page:
    """The lines of a page as they come, and where its headings are among them."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._length = 0
        self._words: list[str] = []
        self._item = ""
        self._after_item = False
        self._level = 0
        self._preformatted = 0
        self._headings: list[tuple[str, int, int, int]] = []

    def take(self, tag: str, words: str, *, opens: bool) -> None:
        """Take the beginning or the end of a tag, or words."""
        if tag in _BLOCKS:
            self._end_line()
        if tag == "pre":
            self._preformatted += 1 if opens else -1
        elif tag == "li":
            self._item = "- " if opens else ""
        elif tag in _HEADINGS:
            self._level = _HEADINGS[tag] if opens else 0
        self._words.append(" " if tag in _CELLS else words)

    def parsed(self, title: str) -> ParsedDocument:
        """Return the page, when all of it was taken."""
        self._end_line()
        text = "".join(self._parts)
        ends = [start for _, _, start, _ in self._headings] + [len(text)]
        sections = [
            Section(heading, level, start, end, text[body:end].strip())
            for (heading, level, start, body), end in zip(self._headings, ends[1:], strict=True)
        ]
        if before := text[: ends[0]].strip():
            sections.insert(0, Section("", 0, 0, ends[0], before))
        return ParsedDocument(title or title_among(sections), text, tuple(sections))

    def _end_line(self) -> None:
        words, self._words = without_controls("".join(self._words)), []
        line = words.strip("\n").rstrip() if self._preformatted else " ".join(words.split())
        if not line:
            return
        if self._parts:
            self._add("\n" if self._item and self._after_item else "\n\n")
        start = self._length
        self._add(f"{'#' * self._level} {line}" if self._level else f"{self._item}{line}")
        if self._level:
            self._headings.append((heading_of(line), self._level, start, self._length))
        self._item, self._after_item = "", bool(self._item)

    def _add(self, text: str) -> None:
        self._parts.append(text)
        self._length += len(text)
