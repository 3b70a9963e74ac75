"""Which tools of a server are proposed for its route: those that it marks as read-only, and no others.

The marks are hints of the server's own. One that contradicts itself is not believed.

Specification: https://modelcontextprotocol.io/specification/2026-07-28/schema#toolannotations
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from tunnelgate.catalogue import check_name
from tunnelgate_app.asking.answers import Listing, Server, Tool, printable

_LONGEST_NOTE = 100  # characters of a title and a description


@dataclass(frozen=True, slots=True)
class Proposed:
    """A tool that is listed, and what its server says of it."""

    name: str
    note: str


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A tool that is not listed, and why; ``is_usable`` is whether it could be."""

    name: str
    reason: str
    note: str
    is_usable: bool


@dataclass(frozen=True, slots=True)
class Proposal:
    """What is proposed for one route.

    ``failure`` says why its server was not asked, or in vain, and ``needs_token`` that it takes a token.
    """

    server: Server | None = None
    listed: tuple[Proposed, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    failure: str | None = None
    needs_token: bool = False


def propose(listing: Listing, *, needs_token: bool = False) -> Proposal:
    """Return what is proposed of what a server lists, in its order."""
    counts = Counter(tool.name for tool in listing.tools)
    listed: list[Proposed] = []
    left_out: list[LeftOut] = []
    for name, tool in {tool.name: tool for tool in listing.tools}.items():
        fault = fault_of_name(name)
        reason = fault or _objection(tool, counts)
        if reason is None:
            listed.append(Proposed(name, _note(tool)))
        else:
            left_out.append(LeftOut(name, reason, _note(tool), is_usable=fault is None))
    return Proposal(listing.server, tuple(listed), tuple(left_out), needs_token=needs_token)


def fault_of_name(name: str) -> str | None:
    """Return why a tool of this name cannot be listed, if it cannot."""
    try:
        check_name(name)
    except ValueError as error:
        return str(error)
    if not name.isprintable() or name != name.strip():
        return "has characters in its name that nobody can see"
    return None


def _objection(tool: Tool, counts: Mapping[str, int]) -> str | None:
    if counts[tool.name] > 1:
        return f"stands {counts[tool.name]} times in the server's list"
    if tool.read_only and tool.destructive:
        return "marked as read-only and as destructive"
    if tool.read_only:
        return None
    if tool.destructive:
        return "marked as destructive"
    if tool.read_only is None:
        return "not marked as read-only"
    return "marked as one that changes things"


def _note(tool: Tool) -> str:
    said = [tool.title or "", tool.description or ""]
    note = printable(": ".join(each.strip() for each in said if each.strip()), _LONGEST_NOTE)
    return f"{note} [reaches beyond its server]" if tool.open_world else note
