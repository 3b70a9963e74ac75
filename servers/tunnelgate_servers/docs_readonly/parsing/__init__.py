"""Reading: documents of every kind, each by a parser of its own with the same result.

The kind of a document is told by the ending of its path; a text is what no other kind is.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final, Literal

from tunnelgate_servers.docs_readonly.parsing.html import parse_html
from tunnelgate_servers.docs_readonly.parsing.markdown import parse_markdown
from tunnelgate_servers.docs_readonly.parsing.parsed import (
    ParsedDocument,
    Place,
    Section,
    under,
)
from tunnelgate_servers.docs_readonly.parsing.plain import parse_plain
from tunnelgate_servers.docs_readonly.parsing.restructured_text import parse_restructured_text

__all__ = [
    "KINDS",
    "PARSERS_VERSION",
    "DocumentKind",
    "Kind",
    "ParsedDocument",
    "Place",
    "Section",
    "kind_of",
    "under",
]

PARSERS_VERSION: Final = 1
"""What has to be one more whenever a parser makes something else of the same document."""

DocumentKind = Literal["markdown", "restructuredtext", "html", "text"]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of documents: the endings of their names, their parser, and the type of what is read of them."""

    name: DocumentKind
    endings: tuple[str, ...]
    parse: Callable[[str], ParsedDocument]
    mime_type: str


_TEXT: Final = Kind("text", (".txt", ".text"), parse_plain, "text/plain")

KINDS: Final = (
    Kind("markdown", (".md", ".markdown"), parse_markdown, "text/markdown"),
    Kind("restructuredtext", (".rst", ".rest"), parse_restructured_text, "text/x-rst"),
    Kind("html", (".html", ".htm"), parse_html, "text/plain"),  # what is read is the text of the page
    _TEXT,
)
"""The kinds that are looked for in a folder."""

_BY_ENDING: Final[Mapping[str, Kind]] = {ending: kind for kind in KINDS for ending in kind.endings}


def kind_of(path: str) -> Kind:
    """Return what kind of document a path names."""
    return _BY_ENDING.get(PurePosixPath(path).suffix.lower(), _TEXT)
