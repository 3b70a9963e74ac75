"""The FastAPI application of a server: MCP at `/mcp` for both eras of the protocol, and `GET /healthz`."""

from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, nullcontext
from dataclasses import dataclass
from importlib.metadata import version
from logging import NullHandler, getLogger
from typing import Any, Final, Literal

from fastapi import FastAPI, Response
from mcp.server.mcpserver import MCPServer
from mcp.server.streamable_http_manager import StreamableHTTPASGIApp, StreamableHTTPSessionManager
from mcp.server.transport_security import TransportSecuritySettings
from pydantic import BaseModel
from starlette.routing import Route

from tunnelgate_servers.hosting.bearer import PATH, CallerRequired, OwnCheck
from tunnelgate_servers.hosting.errors import UnavailableError
from tunnelgate_servers.hosting.tools import Toolset

LOOPBACK_HOSTS: Final = ("127.0.0.1", "127.0.0.1:*", "localhost", "localhost:*", "[::1]", "[::1]:*")
"""The Host values that are answered unless others are named; `:*` stands for any port."""


@dataclass(frozen=True, slots=True)
class Introduction:
    """What a server says of itself. `instructions` are for the model: which tool is for what."""

    name: str
    title: str
    description: str
    instructions: str


class Health(BaseModel):
    """Whether a server can read what its answers are in."""

    status: Literal["ok", "unavailable"]


def mcp_server(introduction: Introduction, tools: Toolset) -> MCPServer[None]:
    """Return the SDK's server with these tools, to which resources can be added."""
    with _root_logger_unchanged():
        server: MCPServer[None] = MCPServer(
            introduction.name,
            title=introduction.title,
            description=introduction.description,
            instructions=introduction.instructions,
            version=version("tunnelgate"),
            subscriptions=False,
            tools=tools.tools,
        )
    server.middleware.append(tools.check)
    return server


def mcp_application(
    server: MCPServer[None],
    *,
    check: OwnCheck | None,
    is_ready: Callable[[], None],
    allowed_hosts: Sequence[str] = LOOPBACK_HOSTS,
    while_serving: Callable[[], AbstractAsyncContextManager[None]] = nullcontext,
) -> FastAPI:
    """Return the application that serves `server`.

    With `check`, a request needs a token that the server verifies by itself; without, one that a gate around
    the application has verified. `is_ready` raises `UnavailableError` when answers cannot be had.
    `allowed_hosts` are the Host values that are answered; a request with an Origin is refused.
    `while_serving` surrounds the time in which it is served. The application has to run its lifespan, once.
    """
    sessions = _session_manager(server, allowed_hosts)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        async with while_serving(), sessions.run():
            yield

    app = FastAPI(
        title=server.name,
        lifespan=lifespan,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )

    def healthz(response: Response) -> Health:
        """Say whether the server can answer."""
        try:
            is_ready()
        except UnavailableError:
            response.status_code = 503
            return Health(status="unavailable")
        return Health(status="ok")

    app.add_api_route("/healthz", healthz, responses={503: {"model": Health}})
    endpoint = CallerRequired(StreamableHTTPASGIApp(sessions))
    # A mount would redirect to /mcp/. A GET would hold a stream open on which nothing ever comes.
    app.router.routes.append(Route(PATH, endpoint, methods=["POST"]))
    if check is not None:
        app.add_middleware(_Checked, check=check)
    return app


class _Checked:
    """The check around everything but the health of the server."""

    def __init__(self, app: Any, check: OwnCheck) -> None:
        self._open = app
        self._checked = check.around(app)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        is_open = scope["type"] == "lifespan" or scope["path"] == "/healthz"
        await (self._open if is_open else self._checked)(scope, receive, send)


def _session_manager(server: MCPServer[None], allowed_hosts: Sequence[str]) -> StreamableHTTPSessionManager:
    # Answers are JSON until a tool reports progress, and events from then on.
    server.streamable_http_app(
        stateless_http=True,
        transport_security=TransportSecuritySettings(allowed_hosts=list(allowed_hosts)),
    )
    return server.session_manager  # which exists only after the call above


@contextmanager
def _root_logger_unchanged() -> Generator[None]:
    """Keep the SDK from configuring logging: it does so only while the root logger has no handler."""
    root, placeholder = getLogger(), NullHandler()
    root.addHandler(placeholder)
    try:
        yield
    finally:
        root.removeHandler(placeholder)
