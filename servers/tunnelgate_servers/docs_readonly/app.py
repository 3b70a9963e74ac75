"""The FastAPI application: `POST /mcp` for both eras of the protocol, and `GET /healthz`."""

from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager
from logging import NullHandler, getLogger
from pathlib import Path
from typing import Final

from fastapi import FastAPI, Response
from mcp.server.mcpserver import MCPServer
from mcp.server.streamable_http_manager import StreamableHTTPASGIApp, StreamableHTTPSessionManager
from mcp.server.transport_security import TransportSecuritySettings
from starlette.routing import Route

from tunnelgate_servers.docs_readonly.errors import IndexUnavailableError, OptionsError
from tunnelgate_servers.docs_readonly.index import DocumentIndex
from tunnelgate_servers.docs_readonly.options import Options
from tunnelgate_servers.docs_readonly.resources import DocumentResources
from tunnelgate_servers.docs_readonly.sources import DocumentSources
from tunnelgate_servers.docs_readonly.tools import DocumentTools

LOOPBACK_HOSTS: Final = ("127.0.0.1", "127.0.0.1:*", "localhost", "localhost:*", "[::1]", "[::1]:*")
"""The Host values that are accepted unless the caller names others; `:*` stands for any port."""

_VERSION = "0.1.0"
_INSTRUCTIONS = (
    "Find passages with search_docs and read them in full with read_doc, which takes the path and the "
    "heading of a hit. list_docs shows what there is. The documents are also resources: docs:///PATH."
)


def create_app(
    *,
    folder: str | Path,
    index: str | Path,
    extra_files: Sequence[str | Path] = (),
    allowed_hosts: Sequence[str] = LOOPBACK_HOSTS,
) -> FastAPI:
    """Index the Markdown files below a folder and return the application that serves them.

    `index` names the SQLite file that is built here, before anything is served; its folder is made when it
    is missing. `extra_files` are single files beside the folder. `allowed_hosts` are the Host values that are
    answered, which behind a gate are the hostnames of the tunnel. A request with an Origin is refused.

    The application has to run its lifespan, once. Raises `DocumentsMissingError` when the folder or an extra
    file is not there, and `OptionsError` for any other option that cannot be used.
    """
    options = Options.parse(folder=folder, index=index, extra_files=extra_files, allowed_hosts=allowed_hosts)
    documents = _built_index(options)
    sessions = _session_manager(documents, options.allowed_hosts)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        async with sessions.run():
            yield

    app = FastAPI(
        title="docs_readonly",
        lifespan=lifespan,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )

    def healthz(response: Response) -> dict[str, str]:
        """Say whether the index can be read."""
        try:
            with documents.reader() as reader:
                reader.page()
        except IndexUnavailableError:
            response.status_code = 503
            return {"status": "unavailable"}
        return {"status": "ok"}

    app.add_api_route("/healthz", healthz)
    # A mount at /mcp would redirect to /mcp/. A GET would hold a stream open on which nothing ever comes.
    app.router.routes.append(Route("/mcp", StreamableHTTPASGIApp(sessions), methods=["POST"]))
    return app


def _built_index(options: Options) -> DocumentIndex:
    try:
        index = DocumentIndex(options.index, DocumentSources(options.folder, options.extra_files))
        index.rebuild()
    except OSError as error:
        raise OptionsError(f"The index {options.index} cannot be written: {error.strerror}.") from error
    return index


def _session_manager(index: DocumentIndex, allowed_hosts: Sequence[str]) -> StreamableHTTPSessionManager:
    server = _mcp_server(index)
    server.streamable_http_app(
        stateless_http=True,
        json_response=True,
        transport_security=TransportSecuritySettings(allowed_hosts=list(allowed_hosts)),
    )
    return server.session_manager  # which exists only after the call above


def _mcp_server(index: DocumentIndex) -> MCPServer[None]:
    with _root_logger_unchanged():
        server: MCPServer[None] = MCPServer(
            "docs_readonly",
            title="Documents",
            description="Search and read a folder of Markdown documents.",
            instructions=_INSTRUCTIONS,
            version=_VERSION,
            subscriptions=False,
        )
    DocumentTools(index).add_to(server)
    DocumentResources(index).add_to(server)
    return server


@contextmanager
def _root_logger_unchanged() -> Generator[None]:
    """Keep the SDK from configuring logging: it does so only while the root logger has no handler."""
    root, placeholder = getLogger(), NullHandler()
    root.addHandler(placeholder)
    try:
        yield
    finally:
        root.removeHandler(placeholder)
