"""The documents as MCP resources: a template to read them, and a list in pages.

The SDK knows lists of resources only as fixed and unpaged; the documents change with each rebuild and may be
many. So `resources/list` is completed in a middleware of the SDK, inside the answer that the SDK has made.
"""

import logging
from typing import Any, Final, cast
from urllib.parse import quote

from anyio import to_thread
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.mcpserver import MCPServer, ResourceSecurity
from mcp.server.mcpserver.exceptions import ResourceNotFoundError
from mcp.shared.exceptions import MCPError
from mcp.types import INTERNAL_ERROR, INVALID_PARAMS, Resource

from tunnelgate_servers.docs_readonly.errors import IndexUnavailableError, NoSuchDocumentError, RequestError
from tunnelgate_servers.docs_readonly.index import DocumentIndex
from tunnelgate_servers.docs_readonly.results import DocumentEntry, DocumentPage

URI_TEMPLATE: Final = "docs:///{+path}"
"""The template of a document's URI."""

_MIME_TYPE = "text/markdown"
_logger = logging.getLogger("tunnelgate_servers.docs_readonly")


def document_uri(path: str) -> str:
    """Return the URI of a document, with everything but letters, digits, `-._~` and `/` percent-encoded."""
    return f"docs:///{quote(path)}"


class DocumentResources:
    """The resources of one index."""

    def __init__(self, index: DocumentIndex) -> None:
        self._index = index

    def add_to(self, server: MCPServer[Any]) -> None:
        """Register the template and the paged list."""
        template = server.resource(
            URI_TEMPLATE,
            name="document",
            title="A document",
            description="A document of the index as Markdown; resources/list and list_docs name the paths.",
            mime_type=_MIME_TYPE,
            # A path is a key of the index and opens no file: no spelling of it has to be refused beforehand.
            security=ResourceSecurity(exempt_params={"path"}),
        )
        template(self.read)
        server.middleware.append(self.list_pages)

    def read(self, path: str) -> str:
        """Return the Markdown text of a document; raises `ResourceNotFoundError` for an unknown path."""
        try:
            with self._index.reader() as index:
                return index.document(path).text
        except NoSuchDocumentError as error:
            raise ResourceNotFoundError(f"Unknown resource: {document_uri(path)}") from error

    async def list_pages(self, ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        """Put one page of documents into the SDK's answer to `resources/list`."""
        answer = await call_next(ctx)
        if ctx.method != "resources/list":
            return answer
        page = await to_thread.run_sync(self._page, (ctx.params or {}).get("cursor") or "")
        resources = [_resource(document) for document in page.documents]
        completed = {**cast("dict[str, Any]", answer), "resources": resources}
        return completed if page.next_cursor is None else {**completed, "nextCursor": page.next_cursor}

    def _page(self, cursor: str) -> DocumentPage:
        try:
            with self._index.reader() as index:
                return index.page(cursor=cursor)
        except RequestError as error:
            raise MCPError(INVALID_PARAMS, str(error)) from error
        except IndexUnavailableError as error:
            _logger.exception("The list of resources cannot be read")
            raise MCPError(INTERNAL_ERROR, str(error)) from error


def _resource(document: DocumentEntry) -> dict[str, Any]:
    resource = Resource(
        uri=document_uri(document.path),
        name=document.path,
        title=document.title,
        mime_type=_MIME_TYPE,
        size=document.size,
    )
    return resource.model_dump(by_alias=True, mode="json", exclude_none=True)
