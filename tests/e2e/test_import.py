"""From a file of Anthropic's proxy to a running gate: what callers can use is what was proposed."""

import json
import subprocess
import sys
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.server.mcpserver import MCPServer
from mcp.types import ToolAnnotations

from tests.support.certificates import Authority
from tests.support.listing import without_discovery
from tests.support.processes import SCRIPTS, environment, free_port, running
from tests.support.remote import served_elsewhere
from tests.support.resolving import Names
from tests.support.tokens import ISSUER, Token, jwks
from tunnelgate import Policy
from tunnelgate_app.asking.upstream import upstream_client

DOMAIN = "tunnel.example.com"
LIMIT = 60  # seconds that a command may take


def server_of(name: str, **hints: dict[str, Any] | None) -> MCPServer[None]:
    """Return a server with a tool for each of the hints."""
    server: MCPServer[None] = MCPServer(name, log_level="ERROR")

    def answer() -> str:
        return f"from {name}"

    for each, hint in hints.items():
        annotations = None if hint is None else ToolAnnotations(**hint)
        server.add_tool(answer, name=each, description=f"Is {each}.\n- evil", annotations=annotations)
    return server


DOCS = server_of(
    "docs",
    search={"read_only_hint": True},
    read={"read_only_hint": True, "open_world_hint": False},
    drop={"destructive_hint": True},
    both={"read_only_hint": True, "destructive_hint": True},
    plain=None,
)
TICKETS = server_of("tickets", list_tickets={"read_only_hint": True}, create={"read_only_hint": False})
PROPOSED = {"docs": ["search", "read"], "tickets": ["list_tickets"]}
LEFT_OUT = {"docs": ["drop", "both", "plain"], "tickets": ["create"]}


@dataclass(frozen=True)
class Imported:
    """A gate that runs on what `tunnelgate import` wrote."""

    port: int
    ca_file: Path
    text: str
    connector: dict[str, Any]

    def client(self, route: str) -> httpx2.AsyncClient:
        """Return a client that comes to the gate for a route, with a token for it."""
        hostname = f"{route}.{DOMAIN}"
        policy = Policy.from_mapping(
            {
                "upstream": {"allowed_ips": ["127.0.0.1"], "tls": {"ca_file": str(self.ca_file)}},
                "routes": {hostname: f"https://{hostname}:{self.port}"},
            }
        )
        http = upstream_client(policy, hostname, resolve=Names({hostname: ["127.0.0.1"]}))
        token = Token(claims={"aud": f"https://{hostname}/mcp"}).mint()
        http.headers["authorization"] = f"Bearer {token}"
        return http


def run(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [str(SCRIPTS / "tunnelgate"), *arguments],
        env=environment(folder),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done
    return done.stdout


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Generator[Imported]:
    """Import a proxy's file with two servers behind it, and serve what was written."""
    folder = tmp_path_factory.mktemp("import")
    authority = Authority("tunnel")
    authority.issue_for_server(f"*.{DOMAIN}").write(folder, "tls")
    (folder / "jwks.json").write_bytes(jwks("ES256"))
    port = free_port()
    with (
        served_elsewhere(DOCS.streamable_http_app()) as docs,
        served_elsewhere(without_discovery(TICKETS.streamable_http_app())) as tickets,
    ):
        config: dict[str, Any] = {
            "listen_addr": f"127.0.0.1:{port}",
            "tunnel_domain": DOMAIN,
            "tls": {"cert_file": "tls.pem", "key_file": "tls.key"},
            "routes": {
                "docs": f"http://127.0.0.1:{docs}",
                "tickets": f"http://127.0.0.1:{tickets}",
            },
            "upstream": {"allowed_ips": ["127.0.0.1/32"]},
        }
        (folder / "config.yaml").write_text(yaml.safe_dump(config), "utf-8")
        run(folder, "import", "config.yaml", "--issuer", ISSUER)
        routes = [f"--route={route}" for route in PROPOSED]
        connector = json.loads(run(folder, "connector", *routes, "--json", "--ask"))
        issuers = json.dumps([{"issuer": ISSUER, "jwks_file": str(folder / "jwks.json")}])
        env = environment(folder, TUNNELGATE_OAUTH__ISSUERS=issuers)
        command = [sys.executable, "-m", "tunnelgate_app", "serve"]
        with running(command, env, folder):
            text = (folder / "tunnelgate.yaml").read_text("utf-8")
            yield Imported(port, authority.write(folder, "ca"), text, connector)


@pytest.mark.anyio
@pytest.mark.parametrize("route", list(PROPOSED))
@pytest.mark.parametrize("mode", ["auto", "legacy"])
@pytest.mark.promise("proposal-reads")
async def test_callers_see_exactly_what_was_proposed(imported: Imported, route: str, mode: str) -> None:
    url = f"https://{route}.{DOMAIN}:{imported.port}/mcp"
    async with (
        imported.client(route) as http,
        Client(streamable_http_client(url, http_client=http), mode=mode) as client,
    ):
        tools = await client.list_tools()
        called = await client.call_tool(PROPOSED[route][0], {})

    assert [each.name for each in tools.tools] == PROPOSED[route]
    assert called.structured_content == {"result": f"from {route}"}


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("route", "name"), [(route, name) for route, names in LEFT_OUT.items() for name in names]
)
async def test_what_was_left_out_does_not_exist(imported: Imported, route: str, name: str) -> None:
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": name}}
    headers = {"accept": "application/json, text/event-stream", "mcp-protocol-version": "2025-11-25"}
    async with imported.client(route) as http:
        answer = await http.post("/mcp", json=message, headers=headers)

    assert (answer.status_code, answer.json()["error"]["message"]) == (200, f"Unknown tool: {name}")
    assert f"      # - {name}  # " in imported.text


@pytest.mark.anyio
async def test_nothing_passes_without_a_token(imported: Imported) -> None:
    async with imported.client("docs") as http:
        answer = await http.post("/mcp", json={}, headers={"authorization": ""})

    assert answer.status_code == 401


def test_callers_are_told_exactly_what_was_proposed(imported: Imported) -> None:
    told = {
        each["mcp_server_name"]: [name for name, config in each["configs"].items() if config["enabled"]]
        for each in imported.connector["messages"]["body"]["tools"]
    }
    at_once = {
        config["name"]
        for each in imported.connector["managed-agents"]["body"]["tools"]
        for config in each["configs"]
        if config["permission_policy"] == {"type": "always_allow"}
    }

    assert told == PROPOSED
    assert at_once == {name for names in PROPOSED.values() for name in names}
