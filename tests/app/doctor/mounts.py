"""Applications that the routes of a configuration name."""

import threading

from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from tests.support.listing import listing_server, tool
from tunnelgate import principal_of

NEVER = threading.Event()
LATER = threading.Event()


def create_app() -> ASGIApp:
    return listing_server(tool("search"), tool("list"))


def create_broken() -> ASGIApp:
    raise ValueError("no database")


def create_slow() -> ASGIApp:
    NEVER.wait()
    return create_app()


def create_demanding() -> ASGIApp:
    return Response(status_code=401, headers={"www-authenticate": "Bearer"})


def create_unstarted() -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "the disk is full"})

    return app


def create_seeing() -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        principal = principal_of(scope)
        scopes = sorted(principal.scopes) if principal else []
        host = dict(scope["headers"])[b"host"].decode()
        await JSONResponse({"host": host, "scopes": scopes})(scope, receive, send)

    return app


def create_breaking() -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise RuntimeError("broken")

    return app
