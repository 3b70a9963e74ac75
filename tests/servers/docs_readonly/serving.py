"""A documents folder to serve, a real server on a free port, and the official client in front of it."""

import socket
import threading
from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Literal

import httpx2
import uvicorn
from fastapi import FastAPI
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.types import CallToolResult, TextContent

Era = Literal["2026-07-28", "legacy", "auto"]

GUIDE = """\
Read this first.

# Guide

How the **gate** is set up.

## Routes

A route has a hostname.

### Mounts

An application in the same process.

```sh
# not a heading
```

## Audit

Every decision goes to audit.jsonl.
"""


def write_documents(folder: Path, documents: Mapping[str, str | bytes]) -> Path:
    """Write files below a folder, and return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for path, content in documents.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


@contextmanager
def served(app: FastAPI) -> Generator[str]:
    """Serve an application from a thread and yield its base URL; connections wait until it has started."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(app, lifespan="on", ws="none", log_config=None))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(timeout=10)
    assert not thread.is_alive()


@asynccontextmanager
async def connected(url: str, era: Era) -> AsyncGenerator[Client]:
    """Connect the official client in one era of the protocol."""
    async with (
        httpx2.AsyncClient(timeout=10) as http,
        Client(streamable_http_client(f"{url}/mcp", http_client=http), mode=era) as client,
    ):
        yield client


def names_in(folder: Path) -> set[str]:
    """Return the names of what a folder holds."""
    return {file.name for file in folder.iterdir()}


def open_files() -> list[Path]:
    """Return the files that this process has open, on a system that can tell."""
    return [link.readlink() for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]


def structured(result: CallToolResult) -> dict[str, Any]:
    """Return the structured content of a call that succeeded."""
    assert not result.is_error, result
    content: dict[str, Any] | None = result.structured_content
    assert content is not None
    return content


def sentence(result: CallToolResult) -> str:
    """Return the sentence of a call that the tool refused, without the SDK's prefix."""
    assert result.is_error, result
    (content,) = result.content
    assert isinstance(content, TextContent)
    return content.text.partition(": ")[2]
