"""A server made of what the sample servers share, with one tool for each thing that can happen."""

import threading
from collections.abc import Callable
from datetime import date
from typing import Annotated, Any, Literal

from fastapi import FastAPI
from mcp.server.mcpserver import Context
from mcp.types import ToolAnnotations
from pydantic import BaseModel, ConfigDict, Field

from tests.servers.serving import own_check
from tunnelgate_servers.hosting import (
    READING,
    Cursor,
    Introduction,
    Line,
    OptionalDate,
    OptionalLine,
    OwnCheck,
    Paragraphs,
    RequestError,
    Tool,
    Toolset,
    UnavailableError,
    caller_of,
    mcp_application,
    mcp_server,
)

READ = "notes:read"
WRITE = "notes:write"
ADMIN = "notes:admin"
SECRET = "postgresql://user:hunter2@db.internal/notes"
TOOLS = ["take", "write", "whoami", "refuse", "refuse_later", "crash", "lose", "count", "choose"]


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)


class Taken(Frozen):
    """What was taken."""

    line: str
    """The line as it came."""

    limit: int
    """How many."""

    since: str
    """Since when."""

    thread: str
    """Where it was done."""


class Caller(Frozen):
    """Who calls."""

    issuer: str
    """Who said so."""

    subject: str
    """The user."""

    client_id: str
    """The application."""

    scopes: list[str]
    """What the token allows."""


class Count(Frozen):
    """How far it was counted."""

    counted: int
    """The last number."""


def take(
    line: Annotated[Line, Field(description="A line.")],
    limit: Annotated[int, Field(ge=1, le=20, description="How many.")] = 10,
    since: Annotated[OptionalDate, Field(description="From which day on.")] = "",
    until: Annotated[OptionalDate, Field(description="Up to which day.")] = "",
    note: Annotated[OptionalLine, Field(description="What else.")] = "",
    tags: Annotated[list[Line], Field(max_length=3, description="Words.")] = [],  # noqa: B006 - as a schema has it
    cursor: Cursor = "",
) -> Taken:
    """Take a line.

    Use it to try out arguments.
    """
    if since and until and date.fromisoformat(until) < date.fromisoformat(since):
        raise RequestError("since is after until.")
    return Taken(line=line, limit=limit, since=since, thread=threading.current_thread().name)


async def write(text: Annotated[Paragraphs, Field(max_length=2000, description="A text.")]) -> Taken:
    """Write a text."""
    return Taken(line=text, limit=0, since="", thread=threading.current_thread().name)


def whoami(context: Context[Any, Any]) -> Caller:
    """Say who calls."""
    caller = caller_of(context)
    return Caller(
        issuer=caller.issuer,
        subject=caller.subject,
        client_id=caller.client_id,
        scopes=sorted(caller.scopes),
    )


def refuse() -> Taken:
    """Refuse what is asked for."""
    raise RequestError("There is no such note.")


async def refuse_later() -> Taken:
    """Refuse what is asked for, on the event loop."""
    raise RequestError("There is no such note, either.")


def crash(kind: Literal["value", "key", "os", "deep"]) -> Taken:
    """Fail in a way that nobody thought of."""
    if kind == "os":
        raise OSError(2, SECRET, "/etc/notes.conf")
    if kind == "key":
        raise KeyError(SECRET)
    if kind == "deep":
        return crash(kind)
    raise ValueError(SECRET)


def lose() -> Taken:
    """Fail because the data cannot be read."""
    raise UnavailableError("The notes cannot be read at the moment.") from OSError(SECRET)


async def count(
    context: Context[Any, Any], to: Annotated[int, Field(ge=0, le=100, description="How far.")]
) -> Count:
    """Count, and report every number."""
    for number in range(to):
        await context.report_progress(number + 1, to, f"number {number + 1}")
    return Count(counted=to)


class Choice(BaseModel):
    """Something inside of something."""

    model_config = ConfigDict(extra="forbid")

    kind: Literal["small", "large"]
    sizes: dict[str, Annotated[int, Field(ge=0)]] = {}


def choose(
    choices: Annotated[list[Choice], Field(min_length=1, max_length=100, description="Some choices.")],
) -> Count:
    """Take something with a shape of its own."""
    return Count(counted=len(choices))


def toolset() -> Toolset:
    writing = ToolAnnotations(read_only_hint=False, destructive_hint=False, open_world_hint=False)
    return Toolset(
        [
            Tool(take, "Take", scopes=[READ], annotations=READING),
            Tool(write, "Write", scopes=[WRITE, READ], annotations=writing),
            Tool(whoami, "Who am I", scopes=[READ], annotations=READING),
            Tool(refuse, "Refuse", scopes=[READ], annotations=READING),
            Tool(refuse_later, "Refuse later", scopes=[READ], annotations=READING),
            Tool(crash, "Crash", scopes=[READ], annotations=READING),
            Tool(lose, "Lose", scopes=[READ], annotations=READING),
            Tool(count, "Count", scopes=[READ], annotations=READING),
            Tool(choose, "Choose", scopes=[ADMIN], annotations=READING),
        ]
    )


def nothing_to_check() -> None:
    """Be ready."""


def notes(
    *,
    check: OwnCheck | None = None,
    tools: Toolset | None = None,
    is_ready: Callable[[], None] = nothing_to_check,
    **options: Any,
) -> FastAPI:
    """Return the server, which checks its tokens by itself unless `check` is given."""
    server = mcp_server(
        Introduction("notes", "Notes", "Take and write notes.", "Use take."), tools or toolset()
    )
    return mcp_application(server, check=check or own_check(), is_ready=is_ready, **options)


def mounted(**options: Any) -> FastAPI:
    """Return the server without a check of its own, as a gate mounts it."""
    server = mcp_server(Introduction("notes", "Notes", "Take and write notes.", "Use take."), toolset())
    return mcp_application(server, check=None, is_ready=nothing_to_check, **options)
