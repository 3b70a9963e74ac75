"""The documents as MCP resources: a template to read them, and a list in pages.

The SDK knows lists of resources only as fixed and unpaged, and one type for all resources of a template; the
documents change with each reindex, may be many, and are of several types. So both are completed in a
middleware of the SDK, inside the answers that the SDK has made.
"""

import logging
from typing import Any, Final, cast
from urllib.parse import quote, unquote

from anyio import to_thread
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.mcpserver import MCPServer, ResourceSecurity
from mcp.server.mcpserver.exceptions import ResourceError, ResourceNotFoundError
from mcp.shared.exceptions import MCPError
from mcp.types import INTERNAL_ERROR, INVALID_PARAMS, Resource

from tunnelgate_servers.docs_readonly.errors import NoSuchDocumentError
from tunnelgate_servers.docs_readonly.parsing import kind_of
from tunnelgate_servers.docs_readonly.reader import IndexReader
from tunnelgate_servers.docs_readonly.results import DocumentEntry, DocumentPage
from tunnelgate_servers.hosting import RequestError, UnavailableError

URI_TEMPLATE: Final = "docs:///{+path}"
"""The template of a document's URI."""

_PREFIX = "docs:///"
_logger = logging.getLogger("tunnelgate_servers.docs_readonly")


def document_uri(path: str) -> str:
    """Return the URI of a document, with everything but letters, digits, `-._~` and `/` percent-encoded."""
    return f"{_PREFIX}{quote(path)}"


class DocumentResources:
    """The resources of one index."""

    def __init__(self, index: IndexReader) -> None:
        self._index = index

    def add_to(self, server: MCPServer[Any]) -> None:
        """Register the template, and complete what the SDK answers."""
        template = server.resource(
            URI_TEMPLATE,
            name="document",
            title="A document",
            description="A document of the index; resources/list and list_docs name the paths.",
            mime_type="text/plain",
            # A path is a key of the index and opens no file: no spelling of it has to be refused beforehand.
            security=ResourceSecurity(exempt_params={"path"}),
        )
        template(self.read)
        server.middleware.append(self.complete)

    def read(self, path: str) -> str:
        """Return the text of a document; raises `ResourceNotFoundError` for an unknown path."""
        try:
            return self._index.text(path)
        except NoSuchDocumentError as error:
            raise ResourceNotFoundError("There is no such resource.") from error
        except UnavailableError as error:
            _logger.exception("A resource cannot be read")
            raise ResourceError(str(error)) from error

    async def complete(self, ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        """Put a page of documents into a list, and its type to what was read."""
        answer = await call_next(ctx)
        if ctx.method == "resources/list":
            return await self._with_page(answer, (ctx.params or {}).get("cursor") or "")
        if ctx.method == "resources/read":
            return _with_type(answer)
        return answer

    async def _with_page(self, answer: HandlerResult, cursor: str) -> HandlerResult:
        page = await to_thread.run_sync(self._page, cursor)
        resources = [_resource(document) for document in page.documents]
        completed = {**cast("dict[str, Any]", answer), "resources": resources}
        return completed if page.next_cursor is None else {**completed, "nextCursor": page.next_cursor}

    def _page(self, cursor: str) -> DocumentPage:
        try:
            return self._index.page(cursor=cursor)
        except RequestError as error:
            raise MCPError(INVALID_PARAMS, str(error)) from error
        except UnavailableError as error:
            _logger.exception("The list of resources cannot be read")
            raise MCPError(INTERNAL_ERROR, str(error)) from error


def _with_type(answer: HandlerResult) -> HandlerResult:
    completed = cast("dict[str, Any]", answer)
    contents = [
        {**each, "mimeType": kind_of(unquote(each["uri"])).mime_type} for each in completed["contents"]
    ]
    return {**completed, "contents": contents}


def _resource(document: DocumentEntry) -> dict[str, Any]:
    resource = Resource(
        uri=document_uri(document.path),
        name=document.path,
        title=document.title,
        mime_type=kind_of(document.path).mime_type,
        size=document.size,
    )
    return resource.model_dump(by_alias=True, mode="json", exclude_none=True)
