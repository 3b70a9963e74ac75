"""The four tools. Their docstrings are what the model reads."""

import inspect
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Annotated, Any

from anyio import CapacityLimiter, to_thread
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import ToolAnnotations
from pydantic import BeforeValidator, Field

from tunnelgate_servers.docs_readonly.errors import DocumentsMissingError, RequestError
from tunnelgate_servers.docs_readonly.index import DocumentIndex
from tunnelgate_servers.docs_readonly.query import MAX_QUERY_CHARACTERS
from tunnelgate_servers.docs_readonly.reader import MAX_HITS
from tunnelgate_servers.docs_readonly.results import Document, DocumentPage, IndexReport, SearchResults


def _empty_for_null(value: object) -> object:
    return "" if value is None else value


# A plain `str`, because the SDK parses the argument of a `str | None` as JSON: "[1.0]" would become a list.
_OptionalText = Annotated[str, BeforeValidator(_empty_for_null)]


class DocumentTools:
    """The tools of one index; plain functions among them run in worker threads of the SDK."""

    def __init__(self, index: DocumentIndex) -> None:
        self._index = index
        # Callers who wait for a rebuild wait here, and hold none of the threads that serve the others.
        self._one_rebuild = CapacityLimiter(1)

    def add_to(self, server: MCPServer[Any]) -> None:
        """Register the tools in the order in which they are listed."""
        reading = ToolAnnotations(read_only_hint=True, idempotent_hint=True, open_world_hint=False)
        changing = ToolAnnotations(
            read_only_hint=False, destructive_hint=False, idempotent_hint=True, open_world_hint=False
        )
        tools: list[tuple[Callable[..., Any], str, ToolAnnotations]] = [
            (self.search_docs, "Search the documents", reading),
            (self.read_doc, "Read a document", reading),
            (self.list_docs, "List the documents", reading),
            (self.reindex_docs, "Rebuild the index", changing),
        ]
        for function, title, annotations in tools:
            server.add_tool(
                function, title=title, description=inspect.getdoc(function), annotations=annotations
            )

    def search_docs(
        self,
        query: Annotated[
            str,
            Field(
                description="Plain words; there are no operators.",
                json_schema_extra={"minLength": 1, "maxLength": MAX_QUERY_CHARACTERS},
            ),
        ],
        limit: Annotated[
            int,
            Field(
                description="How many hits to return.", json_schema_extra={"minimum": 1, "maximum": MAX_HITS}
            ),
        ] = 5,
    ) -> SearchResults:
        """Search the documents for the best matching sections, each with a snippet that marks the hits.

        Use a few significant words rather than a question. Words match in all their English forms, without
        regard to case or accents. Read a hit in full with read_doc, giving its path and heading.
        """
        with _told_to_the_model(), self._index.reader() as index:
            return index.search(query, limit)

    def read_doc(
        self,
        path: Annotated[str, Field(description="A path as search_docs and list_docs give it.")],
        section: Annotated[
            _OptionalText,
            Field(description="A heading of the document; leave it out to read the whole document."),
        ] = "",
    ) -> Document:
        """Read a document as Markdown, whole or only the section under one heading, with its subsections.

        Letter case in the heading makes no difference. An unknown heading is answered with those there are.
        """
        with _told_to_the_model(), self._index.reader() as index:
            return index.document(path, section)

    def list_docs(
        self,
        prefix: Annotated[
            str,
            Field(description="Only paths that begin with this text, for example a folder with its slash."),
        ] = "",
        cursor: Annotated[
            _OptionalText,
            Field(description="next_cursor of the page before; leave it out for the first page."),
        ] = "",
    ) -> DocumentPage:
        """List the documents by path, with title, size in bytes and number of headings, page by page."""
        with _told_to_the_model(), self._index.reader() as index:
            return index.page(prefix, cursor)

    async def reindex_docs(self) -> IndexReport:
        """Rebuild the search index from the documents as they are now, and say what it holds.

        Needed only after documents were changed. Searches go on meanwhile, in the old index or the new one.
        """
        try:
            return await to_thread.run_sync(self._index.rebuild, limiter=self._one_rebuild)
        except DocumentsMissingError as error:
            raise ToolError("The documents folder is not there; the index is as it was before.") from error


@contextmanager
def _told_to_the_model() -> Generator[None]:
    """Answer what was asked wrongly as a tool error with its sentence."""
    try:
        yield
    except RequestError as error:
        raise ToolError(str(error)) from error
