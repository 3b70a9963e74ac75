"""What a caller must know of a route: its URL, what tokens must be like, and the tools that exist.

Specification: https://platform.claude.com/docs/en/agents-and-tools/mcp-connector
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tunnelgate import Policy
from tunnelgate.catalogue import EVERYTHING
from tunnelgate_app.errors import CommandError

MAX_NAME = 255  # characters of a server's name
_NO_IDENTIFIER = re.compile(r"[^A-Za-z0-9]+")

JsonObject = dict[str, Any]


class ConnectorError(CommandError):
    """There is nothing that a caller could write down; the text says why."""


@dataclass(frozen=True, slots=True)
class Fragment:
    """A part of a request or of a file, and the header that goes with it."""

    body: Mapping[str, Any]
    beta: str | None = None


@dataclass(frozen=True, slots=True)
class Reached:
    """A route as callers reach it: ``resource`` is what tokens are made for, with at most these scopes."""

    name: str
    url: str
    resource: str
    tools: tuple[str, ...]
    scopes: tuple[str, ...]

    @property
    def variable(self) -> str:
        """The environment variable that a token stands in, never the token itself."""
        name = _NO_IDENTIFIER.sub("_", self.name).upper()
        return f"MCP_{name}_TOKEN" if name[0].isdigit() else f"{name}_TOKEN"

    @property
    def placeholder(self) -> str:
        """What stands where the token goes."""
        return f"${{{self.variable}}}"


def reach(policy: Policy, name: str) -> Reached:
    """Return how callers reach the route ``name``; raises :class:`ConnectorError`."""
    route = policy.routes.get(name)
    if route is None:
        raise ConnectorError(f"there is no route {name!r}; there are {', '.join(policy.routes)}")
    if route.tools == EVERYTHING:
        raise ConnectorError(
            f"the route {name} allows every tool, also those of tomorrow, and callers need a list; "
            "list its tools by name"
        )
    requirements = route.tool_requirements
    if not requirements or isinstance(requirements, str):
        raise ConnectorError(f"the route {name} lists no tools, and callers use nothing else")
    scopes = [*route.scopes, *(scope for each in requirements.values() for scope in each.scopes)]
    return Reached(
        name=name,
        url=policy.endpoints(name)[0],
        resource=policy.resource(name),
        tools=tuple(requirements),
        scopes=tuple(dict.fromkeys(scopes)),
    )


def check_for_api(reached: Reached) -> None:
    """Check what the API demands of a server; raises :class:`ConnectorError`."""
    if not reached.url.startswith("https://"):
        raise ConnectorError(
            f"the route {reached.name} is reached at {reached.url}, and the API takes https alone; "
            "public_scheme says how callers reach the gate"
        )
    if not 0 < len(reached.name) <= MAX_NAME:
        raise ConnectorError(f"the name {reached.name} is longer than {MAX_NAME} characters")
