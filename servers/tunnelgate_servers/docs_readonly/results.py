"""What the tools return. The sentence below a field is its description in the tool's output schema."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from tunnelgate_servers.docs_readonly.parsing import DocumentKind


class _Result(BaseModel):
    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)


class SearchHit(_Result):
    """A section that holds the words."""

    path: str
    """The document's path, as read_doc takes it."""
    title: str
    """The document's title."""
    heading: str | None
    """The section's heading, as read_doc takes it; null for the text before the first heading."""
    snippet: str
    """An extract of the section on one line, with each hit between two asterisks on either side."""


class SearchResults(_Result):
    """Sections in the order of relevance, best first."""

    matched: Literal["all words", "any word"]
    """Whether every hit holds all the words; where no section does, the hits hold some of them."""
    hits: tuple[SearchHit, ...]
    """The hits; empty when nothing matches."""


class Document(_Result):
    """A document, or a section of it."""

    path: str
    """The document's path."""
    title: str
    """The document's title."""
    kind: DocumentKind
    """What the text is written in; for html, the text is what the page shows."""
    section: str | None
    """The heading that was asked for; null for the whole document."""
    text: str
    """The text, from the character that was asked for."""
    next_start: int | None
    """The start of the part that follows, as read_doc takes it; null when nothing follows."""


class DocumentEntry(_Result):
    """A document in the list."""

    path: str
    """The document's path, as read_doc takes it."""
    title: str
    """The document's title."""
    kind: DocumentKind
    """What the document is written in."""
    size: int
    """The size of the file in bytes."""
    headings: int
    """How many headings the document has."""


class DocumentPage(_Result):
    """A page of the list of documents, sorted by path."""

    documents: tuple[DocumentEntry, ...]
    """The documents of this page."""
    next_cursor: str | None
    """The cursor of the next page; null on the last one."""


class SkippedFile(_Result):
    """A file that was left out of the index."""

    path: str
    """The path that the document would have had."""
    reason: str
    """Why it was left out."""


class IndexReport(_Result):
    """What the index holds now, and what became of it."""

    documents: int
    """How many documents are in the index."""
    added: int
    """How many of them are new."""
    changed: int
    """How many of them were changed since the index was made or brought up to date."""
    removed: int
    """How many documents were removed, because they are no longer there."""
    skipped: int
    """How many files were left out."""
    skipped_files: tuple[SkippedFile, ...]
    """The first of the files that were left out, and why."""
