"""The four tools. Their docstrings are what the model reads."""

import time
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, Final

from anyio import CapacityLimiter, from_thread, to_thread
from mcp.server.mcpserver import Context
from mcp.types import ToolAnnotations
from pydantic import Field

from tunnelgate_servers.docs_readonly.errors import DocumentsMissingError
from tunnelgate_servers.docs_readonly.indexing import Indexer
from tunnelgate_servers.docs_readonly.reader import MAX_HITS, IndexReader
from tunnelgate_servers.docs_readonly.results import Document, DocumentPage, IndexReport, SearchResults
from tunnelgate_servers.docs_readonly.sources import MAX_DOCUMENT_BYTES
from tunnelgate_servers.hosting import (
    READING,
    Cursor,
    Line,
    OptionalLine,
    OptionsError,
    RequestError,
    Tool,
    Toolset,
    UnavailableError,
)

READ_SCOPE: Final = "docs:read"
"""What a token needs to search, to read and to list."""

REINDEX_SCOPE: Final = "docs:reindex"
"""What a token needs to bring the index up to date."""

_CHANGING = ToolAnnotations(
    read_only_hint=False, destructive_hint=False, idempotent_hint=True, open_world_hint=False
)
_SECONDS_A_REPORT = 0.2


class DocumentTools:
    """The tools of one index, which `indexer` brings up to date where there is a folder to read."""

    def __init__(
        self, index: IndexReader, indexer: Indexer | None, *, timer: Callable[[], float] = time.monotonic
    ) -> None:
        self._index = index
        self._indexer = indexer
        self._timer = timer
        # Callers who wait for a reindex wait here, and hold none of the threads that serve the others.
        self._one_reindex = CapacityLimiter(1)

    def toolset(self) -> Toolset:
        """Return the tools in the order in which they are listed."""
        reading, changing = (READ_SCOPE,), (REINDEX_SCOPE,)
        tools = [
            Tool(self.search_docs, "Search the documents", reading, READING),
            Tool(self.read_doc, "Read a document", reading, READING),
            Tool(self.list_docs, "List the documents", reading, READING),
            Tool(self.reindex_docs, "Bring the index up to date", changing, _CHANGING),
        ]
        return Toolset(tools, resources=reading)

    def search_docs(
        self,
        query: Annotated[Line, Field(min_length=1, description="Plain words; there are no operators.")],
        limit: Annotated[int, Field(ge=1, le=MAX_HITS, description="How many hits to return.")] = 5,
    ) -> SearchResults:
        """Search the documents for the best matching sections, each with a snippet that marks the hits.

        Use a few significant words rather than a question. Words match in all their English forms, without
        regard to case or accents. Read a hit in full with read_doc, giving its path and heading.
        """
        return self._index.search(query, limit)

    def read_doc(
        self,
        path: Annotated[Line, Field(description="A path as search_docs and list_docs give it.")],
        section: Annotated[
            OptionalLine,
            Field(description="A heading of the document; leave it out to read the whole document."),
        ] = "",
        start: Annotated[
            int,
            Field(
                ge=0,
                le=MAX_DOCUMENT_BYTES,
                description="next_start of the part before; leave it out for the beginning.",
            ),
        ] = 0,
    ) -> Document:
        """Read a document, whole or only the section under one heading, with its subsections.

        Letter case in the heading makes no difference. An unknown heading is answered with those there are.
        A long text comes in parts: read on with next_start.
        """
        return self._index.document(path, section, start)

    def list_docs(
        self,
        prefix: Annotated[
            OptionalLine,
            Field(description="Only paths that begin with this text, for example a folder with its slash."),
        ] = "",
        cursor: Cursor = "",
    ) -> DocumentPage:
        """List the documents by path, with title, kind, size in bytes and number of headings, in pages."""
        return self._index.page(prefix, cursor)

    async def reindex_docs(self, context: Context[Any, Any]) -> IndexReport:
        """Bring the search index up to date with the documents as they are now, and say what changed.

        Needed only after documents were changed. Searches go on meanwhile, in the index from before.
        """
        if self._indexer is None:
            raise RequestError("This server has no folder to read: its index is made elsewhere.")
        report = _Reports(context, self._timer)
        try:
            return await to_thread.run_sync(
                partial(self._indexer.run, report.tell), limiter=self._one_reindex
            )
        except DocumentsMissingError as error:
            raise RequestError("The documents folder is not there; the index is as it was before.") from error
        except OptionsError as error:
            raise UnavailableError("The index cannot be written at the moment; try again later.") from error


class _Reports:
    """Tells a client from a worker thread how far it is, now and then."""

    def __init__(self, context: Context[Any, Any], timer: Callable[[], float]) -> None:
        self._context = context
        self._timer = timer
        self._next = timer()

    def tell(self, done: int, total: int) -> None:
        """Report `done` of `total`; raises when the call was cancelled, which ends the work."""
        from_thread.check_cancelled()
        if self._timer() >= self._next:
            from_thread.run(self._context.report_progress, done, total, f"{done} of {total} files")
            self._next = self._timer() + _SECONDS_A_REPORT
