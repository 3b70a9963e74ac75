"""A real server on a free port, the official client in front of it, and tokens that were made for it."""

import socket
import threading
import time
from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Literal

import httpx2
import uvicorn
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.types import CallToolResult, TextContent

from tests.support.tokens import ISSUER, RESOURCE, Token, jwks, trusted_issuer
from tunnelgate.asgi import ASGIApp
from tunnelgate_servers.hosting import OwnCheck

Era = Literal["2026-07-28", "legacy", "auto"]

_A_DAY = 24 * 60 * 60
_LIMIT = 30  # seconds that a server may take to start and to stop, and an answer to come


@contextmanager
def served(app: ASGIApp) -> Generator[str]:
    """Serve an application from a thread and yield its base URL; connections wait until it has started."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        server = uvicorn.Server(
            uvicorn.Config(app, lifespan="on", ws="none", log_config=None, proxy_headers=False)
        )
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(timeout=_LIMIT)
    assert not thread.is_alive()


@asynccontextmanager
async def connected(
    url: str, era: Era, token: str | None = None, host: str | None = None
) -> AsyncGenerator[Client]:
    """Connect the official client in one era of the protocol, with a token, under a name for the server."""
    headers = {"authorization": f"Bearer {token}"} if token else {}
    if host:
        headers["host"] = host
    async with (
        httpx2.AsyncClient(timeout=_LIMIT, headers=headers) as http,
        Client(streamable_http_client(f"{url}/mcp", http_client=http), mode=era) as client,
    ):
        yield client


def structured(result: CallToolResult) -> dict[str, Any]:
    """Return the structured content of a call that succeeded."""
    assert not result.is_error, result
    content: dict[str, Any] | None = result.structured_content
    assert content is not None
    return content


def sentence(result: CallToolResult) -> str:
    """Return the sentence of a call that the tool refused, without the SDK's prefix."""
    assert result.is_error, result
    assert result.structured_content is None
    (content,) = result.content
    assert isinstance(content, TextContent)
    return content.text.partition(": ")[2]


def own_check(resource: str = RESOURCE) -> OwnCheck:
    """Return a server's own bearer check, which takes the tokens of `token`."""
    return OwnCheck(resource, {ISSUER: trusted_issuer()})


def own_check_options(folder: Path, resource: str = RESOURCE) -> dict[str, Any]:
    """Return the options of `create_app` for that check; the issuer's keys are written into `folder`."""
    keys = folder / "jwks.json"
    keys.write_bytes(jwks("ES256"))
    return {"resource": resource, "oauth": {"issuers": [{"issuer": ISSUER, "jwks_file": str(keys)}]}}


def token(
    *scopes: str, subject: str = "alice", resource: str = RESOURCE, claims: Mapping[str, Any] | None = None
) -> str:
    """Return a token for `resource` with these scopes and claims; a claim of `None` is left out."""
    # Some are made when tests are collected, which may be long before they are used.
    end = int(time.time()) + _A_DAY
    said = {"sub": subject, "aud": resource, "scope": " ".join(scopes), "exp": end, **(claims or {})}
    return Token(claims=said).mint()
