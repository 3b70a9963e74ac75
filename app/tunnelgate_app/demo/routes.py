"""The routes of the demo: what may be called at each, and a harmless call that shows it working."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

TUNNEL_DOMAIN: Final = "tunnel.localhost"
ISSUER_ROUTE: Final = "login"
DESK_ROUTE: Final = "desk"
BLOCKED_HOST: Final = f"admin.{TUNNEL_DOMAIN}"
USERS: Final = ("alice", "bob")


def hostname_of(route: str) -> str:
    """Return the hostname that leads to a route."""
    return f"{route}.{TUNNEL_DOMAIN}"


def url_of(route: str, port: int) -> str:
    """Return the URL of a route, without a path."""
    return f"http://{hostname_of(route)}:{port}"


@dataclass(frozen=True, slots=True)
class DemoRoute:
    """One MCP server of the demo as a person meets it.

    ``scopes`` are what every call needs, and ``tool_scopes`` what some tools need besides.
    ``unlisted`` are tools that the server has and the allowlist has not.
    ``tool`` and ``arguments`` are a harmless call that shows the route working.
    """

    name: str
    scopes: tuple[str, ...]
    tools: tuple[str, ...]
    unlisted: tuple[str, ...]
    tool: str
    arguments: Mapping[str, Any]
    resources: tuple[str, ...] = ()
    tool_scopes: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])

    @property
    def hostname(self) -> str:
        """The hostname that leads to the route."""
        return hostname_of(self.name)

    @property
    def offered(self) -> tuple[str, ...]:
        """Every scope that the listed tools need."""
        further = (scope for scopes in self.tool_scopes.values() for scope in scopes)
        return tuple(dict.fromkeys((*self.scopes, *further)))

    def resource(self, port: int) -> str:
        """Return what tokens for the route are made for."""
        return f"{url_of(self.name, port)}/mcp"


_DRAFTING: Final = ("create_draft", "update_draft", "discard_draft")

ROUTES: Final[Mapping[str, DemoRoute]] = {
    route.name: route
    for route in (
        DemoRoute(
            name="docs",
            scopes=("docs:read",),
            tools=("search_docs", "read_doc", "list_docs"),
            resources=("docs:///{+path}",),
            unlisted=("reindex_docs",),
            tool="search_docs",
            arguments={"query": "tunnel", "limit": 1},
        ),
        DemoRoute(
            name="tickets",
            scopes=("tickets:read",),
            tools=("search_tickets", "read_ticket", *_DRAFTING),
            tool_scopes=dict.fromkeys(_DRAFTING, ("tickets:draft",)),
            resources=("tickets:///{id}",),
            unlisted=("submit_draft", "close_ticket"),
            tool="search_tickets",
            arguments={"query": "log in"},
        ),
        DemoRoute(
            name="billing",
            scopes=("billing:read",),
            tools=("list_accounts", "read_statement", "search_transactions", "explain_charge"),
            resources=("billing:///accounts/{id}",),
            unlisted=("refund_charge",),
            tool="list_accounts",
            arguments={"limit": 1},
        ),
        DemoRoute(
            name="deploy",
            scopes=("deploy:read",),
            tools=("list_services", "current_release", "release_history", "compare_releases"),
            resources=("deploy:///{environment}/{service}",),
            unlisted=("rollback",),
            tool="current_release",
            arguments={"service": "checkout", "environment": "production"},
        ),
    )
}
