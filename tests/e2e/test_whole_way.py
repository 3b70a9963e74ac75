"""From a file of Anthropic's proxy to a gate that runs, is renewed and is changed, by the commands alone."""

import re
import ssl
import subprocess
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio
import httpx2
import pytest
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client
from mcp.server.mcpserver import MCPServer
from mcp.types import ToolAnnotations

from tests.servers.serving import served
from tests.support.processes import SCRIPTS, environment, free_port, running
from tests.support.tokens import ISSUER, Token, jwks
from tunnelgate_app.connector.client import tunnel_client

HOST = "docs.tunnel.example.com"
URL = f"https://{HOST}/mcp"
LIMIT = 30  # seconds that anything here may take
UNDER_WAY = "The gate's policy has changed"  # what a call is told that was under way just then
READING = ToolAnnotations(read_only_hint=True)


@pytest.fixture(scope="module")
def upstream() -> Generator[int]:
    """Serve an MCP server with two tools that read and one that writes."""
    server: MCPServer[None] = MCPServer("documents", log_level="ERROR")

    def search(query: str) -> str:
        return f"found {query}"

    def read(name: str) -> str:
        return f"the text of {name}"

    def publish(name: str) -> str:
        return f"published {name}"

    server.add_tool(search, annotations=READING)
    server.add_tool(read, annotations=READING)
    server.add_tool(publish)
    with served(server.streamable_http_app()) as url:
        yield int(url.rpartition(":")[2])


@dataclass(frozen=True)
class Site:
    """A folder in which somebody types the commands."""

    folder: Path
    port: int

    def run(self, *arguments: str, code: int = 0) -> str:
        done = subprocess.run(
            [str(SCRIPTS / "tunnelgate"), *arguments],
            env=environment(self.folder),
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=False,
        )
        assert done.returncode == code, (arguments, done.returncode, done.stdout, done.stderr)
        return done.stdout

    @property
    def configuration(self) -> Path:
        return self.folder / "tunnelgate.yaml"

    def change(self, old: str, new: str) -> None:
        text = self.configuration.read_text("utf-8")
        assert old in text, text
        self.configuration.write_text(text.replace(old, new), "utf-8")

    @asynccontextmanager
    async def client(self) -> AsyncGenerator[tuple[Client, httpx2.AsyncClient]]:
        async with tunnel_client(
            f"127.0.0.1:{self.port}",
            authorities=self.folder / "data" / "ca.crt",
            transport="tunnel",
            timeout=LIMIT,
        ) as http:
            http.headers["authorization"] = f"Bearer {Token(claims={'aud': URL}).mint()}"
            async with Client(streamable_http_client(URL, http_client=http)) as client:
                yield client, http

    async def shown(self) -> int:
        """Return the serial number of the certificate that a new connection is shown."""
        async with self.client() as (_, http), http.stream("GET", URL) as answer:
            tls: ssl.SSLObject = answer.extensions["network_stream"].get_extra_info("ssl_object")
            certificate = tls.getpeercert()
        assert certificate is not None
        return int(str(certificate["serialNumber"]), 16)


@pytest.fixture
def site(tmp_path: Path, upstream: int) -> Site:
    """Do what a person does who has a file of the proxy, up to the configuration of the gate."""
    made = Site(tmp_path, free_port())
    (tmp_path / "config.yaml").write_text(
        f"""
listen_addr: "127.0.0.1:{made.port}"
tunnel_domain: tunnel.example.com
tls: {{cert_file: data/tls.crt, key_file: data/tls.key}}
routes: {{docs: "http://127.0.0.1:{upstream}"}}
upstream: {{allowed_ips: [127.0.0.1]}}
""",
        "utf-8",
    )
    (tmp_path / "jwks.json").write_bytes(jwks("ES256"))
    made.run("certs", "init", "--domain", "tunnel.example.com", "--output", "data")
    made.run("import", "config.yaml", "--issuer", ISSUER)
    text = made.configuration.read_text("utf-8")
    text = re.sub(r"^( *)- issuer: .*$", r"\g<0>\n\1  jwks_file: jwks.json", text, flags=re.MULTILINE)
    made.configuration.write_text(f"{text}\naudit: {{file: audit.jsonl}}\n", "utf-8")
    made.run("check")
    return made


@pytest.mark.anyio
async def test_a_gate_is_set_up_renewed_and_changed_while_a_client_is_connected(site: Site) -> None:
    command = [str(SCRIPTS / "tunnelgate"), "serve"]
    with running(command, environment(site.folder), site.folder):
        first = await site.shown()
        async with site.client() as (client, _):
            listed = [tool.name for tool in (await client.list_tools()).tools]
            with pytest.raises(MCPError, match="Unknown tool: publish"):
                await client.call_tool("publish", {"name": "plan"})
            site.run("certs", "renew", "--output", "data", "--renew-before", "0")
            renewed = await _until_shown_another(site, than=first)
            called = await client.call_tool("read", {"name": "plan"})

            site.change("- search\n", "# - search\n")
            refused = await _until_refused(client, "search")
            remaining = [tool.name for tool in (await client.list_tools()).tools]

    assert listed == ["search", "read"]
    assert called.structured_content == {"result": "the text of plan"}
    assert renewed != first
    assert (refused, remaining) == ("Unknown tool: search", ["read"])


async def _until_shown_another(site: Site, than: int) -> int:
    """Return the serial number of the next certificate that is shown."""
    with anyio.fail_after(LIMIT):
        while (serial := await site.shown()) == than:
            await anyio.lowlevel.checkpoint()
    return serial


async def _until_refused(client: Client, tool: str) -> str:
    """Return what a call is answered once it is refused."""
    with anyio.fail_after(LIMIT):
        while True:
            try:
                await client.call_tool(tool, {"query": "tunnel"})
            except MCPError as error:
                if error.message != UNDER_WAY:
                    return error.message
