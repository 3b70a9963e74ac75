"""What an MCP server says when it is asked. All of it is the server's own claim."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Literal

from tunnelgate_app.errors import CommandError

Era = Literal["legacy", "modern"]

_LEFT_OUT = "(left out)"
_MIN_SECRET = 4  # characters; what is shorter stands in every text by chance


class Failure(StrEnum):
    """What kept a server from answering."""

    NOT_ALLOWED = "not-allowed"
    UNREACHABLE = "unreachable"
    TOO_SLOW = "too-slow"
    TOO_MUCH = "too-much"
    NEEDS_TOKEN = "needs-token"  # noqa: S105 - no password
    REFUSED = "refused"
    REDIRECTED = "redirected"
    NOT_MCP = "not-mcp"
    MCP_ERROR = "mcp-error"


class AskingError(CommandError):
    """A server was asked in vain; the text says why, in one printable line, and ``failure`` for programs.

    ``sentence`` is the text as a whole sentence. ``status`` is the HTTP status where one was answered,
    and ``challenge`` the ``WWW-Authenticate`` of a 401.
    """

    def __init__(
        self, failure: Failure, sentence: str, *, status: int | None = None, challenge: str | None = None
    ) -> None:
        super().__init__(sentence)
        self.failure = failure
        self.status = status
        self.challenge = challenge

    @property
    def sentence(self) -> str:
        """The text about the server, but for addresses: about those, it has the words of the proxy."""
        return str(self) if self.failure is Failure.NOT_ALLOWED else f"the server {self}"


@dataclass(frozen=True, slots=True)
class Limits:
    """The most that a server may take to answer: pages and tools of its list, octets, and seconds in all."""

    pages: int = 100
    tools: int = 2000
    octets: int = 8 * 1024 * 1024
    seconds: float = 30.0


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool as the server describes it; a hint that it does not give is ``None``."""

    name: str
    title: str | None = None
    description: str | None = None
    read_only: bool | None = None
    destructive: bool | None = None
    idempotent: bool | None = None
    open_world: bool | None = None
    input_schema: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Server:
    """Who answered: the protocol's version that was agreed on, and what the server calls itself."""

    era: Era
    protocol_version: str
    name: str | None = None
    version: str | None = None


@dataclass(frozen=True, slots=True)
class Listing:
    """Every tool that a server lists, in its order."""

    server: Server
    tools: tuple[Tool, ...]


@dataclass(frozen=True, slots=True)
class Called:
    """What a tool returned: its texts, its structured content, and whether it calls that an error."""

    server: Server
    is_error: bool
    texts: tuple[str, ...]
    structured: Any = None


def printable(text: str, longest: int, secret: str | None = None) -> str:
    """Return what a server said as one line that changes nothing of the terminal or file that it stands in.

    Control characters, line ends and those that turn the direction of text become spaces. ``secret``, which
    the server may repeat, is left out, and before anything is cut.
    """
    said = _without(text, secret)
    line = " ".join("".join(each if each.isprintable() else " " for each in said).split())
    return line if len(line) <= longest else f"{line[: longest - 1].rstrip()}…"


def without(listing: Listing, secret: str | None) -> Listing:
    """Return ``listing`` without ``secret``, which the server was told and may repeat."""
    server = listing.server
    return Listing(
        replace(
            server,
            protocol_version=_without(server.protocol_version, secret),
            name=_if_any(server.name, secret),
            version=_if_any(server.version, secret),
        ),
        tuple(
            replace(
                each,
                name=_without(each.name, secret),
                title=_if_any(each.title, secret),
                description=_if_any(each.description, secret),
            )
            for each in listing.tools
        ),
    )


def _without(text: str, secret: str | None) -> str:
    return text if secret is None or len(secret) < _MIN_SECRET else text.replace(secret, _LEFT_OUT)


def _if_any(text: str | None, secret: str | None) -> str | None:
    return None if text is None else _without(text, secret)
