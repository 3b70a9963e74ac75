"""Reading: reStructuredText by docutils, with everything off that reads other files or passes markup on.

Only the parser runs and none of the transforms, so that references stay texts and nothing is resolved. What
a directive holds that docutils does not know, such as those of Sphinx, is kept as text.
"""

import logging
import re
import threading
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any, Final

from docutils import nodes
from docutils.frontend import get_default_settings
from docutils.parsers.rst import Parser, roles, states
from docutils.utils import new_document

from tunnelgate_servers.docs_readonly.parsing.parsed import (
    ParsedDocument,
    Section,
    heading_of,
    title_among,
    without_controls,
)
from tunnelgate_servers.docs_readonly.parsing.plain import parse_plain

# docutils takes time that grows with the square of a paragraph, and of the number of targets
_MAX_SQUARES: Final = 20_000**2
_MAX_TARGETS: Final = 2_000
_TARGET: Final = re.compile(r"^[ \t]*(?:\.\. _|\.\. __|__[ \t])", re.MULTILINE)

_SETTINGS: Final = {
    "_disable_config": True,  # no file of the machine changes how documents are read
    "file_insertion_enabled": False,
    "raw_enabled": False,
    "halt_level": 5,  # above every level: a document with a mistake is still a document
    "report_level": 5,
    "warning_stream": False,
    "line_length_limit": 2**31 - 1,  # files are bounded already
    "syntax_highlight": "none",
}
_UNREADABLE = (nodes.comment, nodes.substitution_definition, nodes.target, nodes.pending, nodes.raw)

_logger = logging.getLogger("tunnelgate_servers.docs_readonly")

# A document can name roles, which docutils keeps for all that are read after it.
_ROLES: Final[dict[str, Any]] = vars(roles)["_roles"]
_one_at_a_time = threading.Lock()


def parse_restructured_text(text: str) -> ParsedDocument:
    """Cut a text, whose lines end with a line feed, into sections; total on every input.

    What docutils fails at, such as lists that are nested too deeply, is read as a plain text.
    """
    if _takes_long(text):
        return parse_plain(text)
    try:
        document = _doctree(text)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is about this one document
        _logger.warning("docutils cannot read a document, which is taken as plain text: %r", error)
        return parse_plain(text)
    offsets = list(accumulate((len(line) + 1 for line in text.split("\n")), initial=0))
    headings = list(_headings(document, 1))
    ends = [offsets[line - 1] for _, line, _ in headings] + [len(text)]
    sections = [
        Section(heading_of(node[0].astext()), level, start, end, _body(node))
        for (level, _, node), start, end in zip(headings, ends, ends[1:], strict=False)
    ]
    if before := _body(document):
        sections.insert(0, Section("", 0, 0, ends[0], before))
    return ParsedDocument(title_among(sections), text, tuple(sections))


def _takes_long(text: str) -> bool:
    if sum(len(block) ** 2 for block in text.split("\n\n")) > _MAX_SQUARES:
        return True
    return sum(1 for _ in _TARGET.finditer(text)) > _MAX_TARGETS


class _Located:
    """A state of docutils that keeps the line on which a section begins."""

    parent: Any

    def section(self, title: str, source: str, style: Sequence[str], lineno: int, messages: Any) -> None:
        before = self.parent
        super().section(title, source, style, lineno, messages)  # type: ignore[misc]
        if self.parent is not before:
            self.parent.line = lineno - (len(style) - 1)  # a style of two has a line above the title


class _Text(_Located, states.Text):
    pass


class _Line(_Located, states.Line):
    pass


# docutils finds its states by the names of their classes.
_Text.__name__, _Line.__name__ = "Text", "Line"


class _Parser(Parser):
    def __init__(self) -> None:
        super().__init__()
        own = {each.__name__: each for each in (_Text, _Line)}
        self.state_classes = tuple(own.get(each.__name__, each) for each in self.state_classes)


def _doctree(text: str) -> nodes.document:
    settings = get_default_settings(_Parser)
    for name, value in _SETTINGS.items():
        setattr(settings, name, value)
    document = new_document("document", settings)
    with _one_at_a_time:
        known = dict(_ROLES)
        try:
            _Parser().parse(text, document)
        finally:
            _ROLES.clear()
            _ROLES.update(known)
    return document


def _headings(node: Any, level: int) -> Iterator[tuple[int, int, Any]]:
    """Yield the level, the line and the node of each section."""
    for child in node.children:
        if isinstance(child, nodes.section):
            yield level, child.line or 1, child
            yield from _headings(child, level + 1)


def _body(node: Any) -> str:
    own = (child for child in node.children if not isinstance(child, nodes.section | nodes.title))
    return without_controls("\n\n".join(text for child in own for text in _texts(child))).strip()


def _texts(node: Any) -> Iterator[str]:
    if isinstance(node, _UNREADABLE):
        return
    if isinstance(node, nodes.TextElement):
        yield node.astext()
        return
    children = node.children
    if isinstance(node, nodes.system_message):
        # What docutils says of a mistake is not the document's; what the mistake was about is.
        children = [child for child in children if isinstance(child, nodes.literal_block)]
    for child in children:
        yield from _texts(child)
