"""The demo: a configuration made of defaults, with everything that it needs on this machine.

What it makes stands in one folder, can be looked at and changed, and is served by
`tunnelgate serve --config` just as well.
"""

import os
import secrets
import shlex
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson
import yaml

from tunnelgate_app.issuer import SigningKey
from tunnelgate_app.issuer.app import AUTHORIZE_PATH, PATHS

HOST = "127.0.0.1"
TUNNEL_DOMAIN = "tunnel.localhost"
ISSUER_ROUTE = "login"
BLOCKED_HOST = f"admin.{TUNNEL_DOMAIN}"
CLIENT_ID = "demo"

_HEADER = "# Made by `tunnelgate demo`, which writes it anew each time it starts.\n"


class DemoError(Exception):
    """The demo cannot be prepared, or is not there to be asked; the text says why."""


@dataclass(frozen=True, slots=True)
class DemoRoute:
    """One route of the demo as a person meets it.

    ``unlisted`` are tools that the server has and the allowlist has not.
    ``tool`` and ``arguments`` are a harmless call that shows the route working.
    """

    name: str
    scopes: tuple[str, ...]
    tools: tuple[str, ...]
    resources: tuple[str, ...]
    unlisted: tuple[str, ...]
    tool: str
    arguments: dict[str, Any]

    @property
    def hostname(self) -> str:
        """The hostname that leads to the route."""
        return f"{self.name}.{TUNNEL_DOMAIN}"

    def resource(self, port: int) -> str:
        """Return what tokens for the route are made for."""
        return f"http://{self.hostname}:{port}/mcp"


ROUTES = {
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
    )
}


@dataclass(frozen=True, slots=True)
class DemoState:
    """What another command needs to talk to a running demo."""

    port: int
    client_id: str
    client_secret: str

    @property
    def gate(self) -> str:
        """The URL at which the demo listens."""
        return f"http://{HOST}:{self.port}"

    @classmethod
    def from_folder(cls, folder: Path) -> "DemoState":
        """Return the state of the demo that was started last; raises :class:`DemoError`."""
        try:
            state = cls(**orjson.loads((folder / "state.json").read_bytes()))
            if [type(value) for value in asdict(state).values()] != [int, str, str]:
                raise ValueError
        except (OSError, ValueError, TypeError):
            raise DemoError(f"no demo has kept its state in {folder}; start one: tunnelgate demo") from None
        return state


def default_state_folder() -> Path:
    """Return where the demo keeps its files: the user's state folder (XDG Base Directory)."""
    base = Path(os.environ.get("XDG_STATE_HOME", ""))
    if not base.is_absolute():  # which the specification says to ignore
        base = Path.home() / ".local" / "state"
    return base / "tunnelgate" / "demo"


def default_documents() -> tuple[Path, tuple[Path, ...]]:
    """Return the folder and the single files that the demo's docs server indexes."""
    package = Path(__file__).parent
    for root in (package / "documents", package.parent.parent):
        if (root / "docs").is_dir() and (root / "README.md").is_file():
            return root / "docs", (root / "README.md",)
    raise DemoError("there are no documents to search; name a folder with --docs")


def prepare(folder: Path, port: int, documents: Path, extra_files: tuple[Path, ...] = ()) -> Path:
    """Write what the demo needs into ``folder`` and return the path of its configuration.

    Raises :class:`DemoError` when the folder cannot be written.
    """
    folder, documents = folder.absolute(), documents.absolute()
    extra_files = tuple(path.absolute() for path in extra_files)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        state = DemoState(port, CLIENT_ID, secrets.token_urlsafe(24))
        key = SigningKey.generate()
        key.write(folder / "signing-key.json")
        (folder / "jwks.json").write_bytes(key.public_set())
        _write_private(folder / "state.json", orjson.dumps(asdict(state)))
        configuration = folder / "tunnelgate.yaml"
        text = yaml.safe_dump(_configuration(folder, state, documents, extra_files), sort_keys=False)
        _write_private(configuration, (_HEADER + text).encode())
    except OSError as error:
        raise DemoError(f"{error.filename or folder} cannot be written: {error.strerror}") from None
    return configuration


def _configuration(
    folder: Path, state: DemoState, documents: Path, extra_files: tuple[Path, ...]
) -> dict[str, Any]:
    issuer = f"http://{ISSUER_ROUTE}.{TUNNEL_DOMAIN}:{state.port}"
    docs = ROUTES["docs"]
    return {
        "listen_addr": f"{HOST}:{state.port}",
        "tunnel_domain": TUNNEL_DOMAIN,
        "public_scheme": "http",
        "public_port": state.port,
        "clients": {"allowed_ips": ["127.0.0.0/8", "::1"]},
        "oauth": {"issuers": [{"issuer": issuer, "jwks_file": str(folder / "jwks.json")}]},
        "routes": {
            docs.name: {
                "mount": "tunnelgate_servers.docs_readonly:create_app",
                "options": {
                    "folder": str(documents),
                    "extra_files": [str(path) for path in extra_files],
                    "index": str(folder / "docs.sqlite"),
                    "allowed_hosts": [docs.hostname, f"{docs.hostname}:*"],
                },
                "scopes": list(docs.scopes),
                "tools": list(docs.tools),
                "resources": list(docs.resources),
            },
            ISSUER_ROUTE: {
                "mount": "tunnelgate_app.issuer:create_app",
                "options": {
                    "issuer": issuer,
                    "key_file": str(folder / "signing-key.json"),
                    "client_id": state.client_id,
                    "client_secret": state.client_secret,
                    "resources": {
                        route.resource(state.port): list(route.scopes) for route in ROUTES.values()
                    },
                },
                "public_paths": list(PATHS),
            },
        },
        "audit": {"file": str(folder / "audit.jsonl")},
    }


def _write_private(path: Path, content: bytes) -> None:
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)


def introduction(state: DemoState, folder: Path, command: str) -> str:
    """Return what a person reads when the demo has started; ``command`` is how they call us."""
    options = "" if folder == default_state_folder() else f" --state {shlex.quote(str(folder.absolute()))}"
    docs = ROUTES["docs"]
    lines = [
        f"A private MCP server behind the gate, on {state.gate}",
        "",
    ]
    for route in ROUTES.values():
        lines += [
            f"  {route.hostname}",
            f"      a token for  {route.resource(state.port)}, scope {' '.join(route.scopes)}",
            f"      may call     {', '.join(route.tools)}",
            f"      may read     {', '.join(route.resources)}",
            f"      not listed   {', '.join(route.unlisted)}, which the server has as well",
        ]
    lines += [
        f"  {ISSUER_ROUTE}.{TUNNEL_DOMAIN}",
        f"      the development issuer of those tokens; people log in at {AUTHORIZE_PATH}",
        f"  every other host, such as {BLOCKED_HOST}: 403",
        "",
        "From another terminal, the three questions at once:",
        "",
        f"  {command} probe --route {docs.name}{options}",
        "",
        "With curl:",
        "",
        f"  curl -s {state.gate}/mcp -H 'Host: {docs.hostname}' \\",
        f'    -H "Authorization: Bearer $({command} token --route {docs.name}{options})" \\',
        "    -H 'Content-Type: application/json' -H 'Accept: application/json, text/event-stream' \\",
        """    -d '{"jsonrpc":"2.0","id":1,"method":"tools/list"}'""",
        "",
        "With the Python SDK:",
        "",
        *python_client(state, docs, "TOKEN").splitlines(),  # not indented, so that it can be pasted
        "",
        "With a client that logs in by itself, where names below localhost lead to this machine:",
        "",
        *(f"  {route.resource(state.port)}" for route in ROUTES.values()),
        "",
        f"Each decision is a line of {folder / 'audit.jsonl'}",
        f"The whole configuration is {folder / 'tunnelgate.yaml'}",
        "Stop with Ctrl-C.",
    ]
    return "\n".join(lines)


def python_client(state: DemoState, route: DemoRoute, token: str) -> str:
    """Return a program that lists the tools of a route with the official SDK."""
    return f"""\
import asyncio, httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

HEADERS = {{"Authorization": "Bearer {token}", "Host": "{route.hostname}"}}

async def main():
    async with httpx2.AsyncClient(headers=HEADERS) as http:
        async with Client(streamable_http_client("{state.gate}/mcp", http_client=http)) as client:
            print([tool.name for tool in (await client.list_tools()).tools])

asyncio.run(main())"""
