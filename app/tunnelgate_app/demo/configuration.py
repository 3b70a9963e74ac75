"""The configuration of the demo: the four servers, the desk and the issuer behind one gate."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tunnelgate_app.demo.routes import (
    DESK_ROUTE,
    ISSUER_ROUTE,
    ROUTES,
    TUNNEL_DOMAIN,
    USERS,
    DemoRoute,
    hostname_of,
    url_of,
)
from tunnelgate_app.demo.state import HOST, DemoState
from tunnelgate_app.issuer.app import PATHS

DATA: Final[Mapping[str, str]] = {
    "docs": "documents.sqlite",  # not docs.sqlite, which the demo had before there were migrations
    "tickets": "tickets.sqlite",
    "billing": "billing.sqlite",
    "deploy": "releases",
}
"""Where the data of each server is in the folder of the demo."""

TERMINAL: Final = "terminal"
"""The client with which `tunnelgate token --user` logs in."""

TERMINAL_REDIRECT: Final = "http://127.0.0.1/callback"
"""Where the issuer sends the users of that client; nobody listens there, because the code is read before."""

ACCOUNTS: Final[Mapping[str, str | Sequence[str]]] = {
    "demo": "*",
    "alice": [f"ACC-{number}" for number in range(1001, 1011)],
    "bob": [f"ACC-{number}" for number in range(1011, 1021)],
}
"""Which accounts the tokens of each subject show."""

_DESK_PATHS: Final = ("/", "/draft", "/submit", "/login", "/callback", "/logout", "/desk.css")


@dataclass(frozen=True, slots=True)
class DemoFiles:
    """What the configuration of a demo in ``folder`` is made of: its state, and what it searches."""

    folder: Path
    state: DemoState
    desk_secret: str
    documents: Path
    extra_files: tuple[Path, ...]

    def configuration(self) -> dict[str, Any]:
        """Return what the configuration file holds."""
        return {
            "listen_addr": f"{HOST}:{self.state.port}",
            "tunnel_domain": TUNNEL_DOMAIN,
            "public_scheme": "http",
            "public_port": self.state.port,
            "clients": {"allowed_ips": ["127.0.0.0/8", "::1"]},
            "oauth": {"issuers": [{"issuer": self._issuer, "jwks_file": self._path("jwks.json")}]},
            "routes": {
                **{name: self._server(route) for name, route in ROUTES.items()},
                DESK_ROUTE: self._desk(),
                ISSUER_ROUTE: self._login(),
            },
            "audit": {"file": self._path("audit.jsonl")},
        }

    @property
    def _issuer(self) -> str:
        return url_of(ISSUER_ROUTE, self.state.port)

    @property
    def _desk_url(self) -> str:
        return url_of(DESK_ROUTE, self.state.port)

    def _path(self, name: str) -> str:
        return str(self.folder / name)

    def _database(self, name: str) -> str:
        return f"sqlite:///{self._path(DATA[name])}"

    def _server(self, route: DemoRoute) -> dict[str, Any]:
        factory, options = {
            "docs": ("docs_readonly", self._docs),
            "tickets": ("tickets_draft", {"desk_url": self._desk_url}),
            "billing": ("billing_audit", {}),
            "deploy": ("deploy_status", {"releases": self._path(DATA["deploy"])}),
        }[route.name]
        if route.name != "deploy":
            options = {**options, "database": self._database(route.name)}
        return {
            "mount": f"tunnelgate_servers.{factory}:create_app",
            "options": {**options, "allowed_hosts": _hosts(route.name)},
            "scopes": list(route.scopes),
            "tools": {name: _needed(route.tool_scopes.get(name)) for name in route.tools},
            "resources": list(route.resources),
        }

    @property
    def _docs(self) -> dict[str, Any]:
        return {"folder": str(self.documents), "extra_files": [str(path) for path in self.extra_files]}

    def _desk(self) -> dict[str, Any]:
        return {
            "mount": "tunnelgate_servers.tickets_draft:create_desk",
            "options": {
                "database": self._database("tickets"),
                "issuer": self._issuer,
                "client_id": DESK_ROUTE,
                "client_secret": self.desk_secret,
                "public_url": self._desk_url,
                "resource": self._desk_url,
                "oauth": {
                    "issuers": [{"issuer": self._issuer, "jwks_file": self._path("jwks.json")}],
                    "allowed_ips": ["127.0.0.0/8", "::1"],
                },
                "allowed_hosts": _hosts(DESK_ROUTE),
            },
            "public_paths": list(_DESK_PATHS),
        }

    def _login(self) -> dict[str, Any]:
        desk = {
            "client_id": DESK_ROUTE,
            "client_secret": self.desk_secret,
            "redirect_uris": [f"{self._desk_url}/callback"],
            "name": "The desk, where drafts are submitted",
        }
        terminal = {
            "client_id": TERMINAL,
            "redirect_uris": [TERMINAL_REDIRECT],
            "name": "tunnelgate token",
        }
        return {
            "mount": "tunnelgate_app.issuer:create_app",
            "options": {
                "issuer": self._issuer,
                "key_file": self._path("signing-key.json"),
                "client_id": self.state.client_id,
                "client_secret": self.state.client_secret,
                "resources": {
                    **{route.resource(self.state.port): list(route.offered) for route in ROUTES.values()},
                    self._desk_url: ["tickets:submit"],
                },
                "users": list(USERS),
                "claims": {subject: {"accounts": accounts} for subject, accounts in ACCOUNTS.items()},
                "clients": [desk, terminal],
            },
            "public_paths": list(PATHS),
        }


def _hosts(route: str) -> list[str]:
    return [hostname_of(route), f"{hostname_of(route)}:*"]


def _needed(scopes: Sequence[str] | None) -> dict[str, list[str]] | None:
    return None if scopes is None else {"scopes": list(scopes)}
