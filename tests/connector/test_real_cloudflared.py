"""A real cloudflared carries the octets between a client and the gate."""

import base64
import json
import os
import secrets
import uuid
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import httpx2
import pytest
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.transport_security import TransportSecuritySettings

from tests.connector.edge import SERVER_NAME, Ports, edge
from tests.support.audit import Records
from tests.support.certificates import Authority
from tests.support.processes import environment, running
from tests.support.servers import serve
from tests.support.tokens import ISSUER, Token, jwks
from tunnelgate import Clients, Issuer, OAuth, Policy, Route, StaticKeys, protect
from tunnelgate_app.connector.client import tunnel_client
from tunnelgate_app.listening.tls_files import TlsFiles, open_tls

HOST = "docs.tunnel.example.com"
URL = f"https://{HOST}/mcp"
ERAS = ["2026-07-28", "legacy"]
LIMIT = 30  # seconds that anything here may take
LARGE = 400_000  # characters, which are many frames of HTTP/2 and records of TLS, and one event still


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority("inner")


@pytest.fixture(scope="module")
def gate(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Generator[int]:
    """Serve an MCP server behind the gate, for a tunnel and nobody else."""
    server: MCPServer[None] = MCPServer("behind the tunnel", log_level="ERROR")

    async def count(to: int, context: Context[None, None]) -> str:
        for number in range(to):
            await context.report_progress(number, to)
        return f"counted to {to}"

    def repeat(text: str) -> str:
        return text

    def hidden() -> str:
        return "hidden"

    for tool in (count, repeat, hidden):
        server.add_tool(tool)
    app = server.streamable_http_app(transport_security=TransportSecuritySettings(allowed_hosts=[HOST]))
    policy = Policy(
        clients=Clients(allowed_ips=["127.0.0.1"]),
        oauth=OAuth(issuers=[Issuer(issuer=ISSUER, jwks_file="unused.json")]),
        routes={HOST: Route(tools=["count", "repeat"])},
    )
    protected = protect(app, policy, audit=Records(), keys_of=lambda _: StaticKeys(jwks("ES256")))
    files = authority.issue_for_server(HOST).write(tmp_path_factory.mktemp("gate"), "tls")
    with serve(protected, tls=open_tls(TlsFiles(*files)), transport="tunnel") as port:
        yield port


@pytest.fixture(scope="module")
def carried(gate: int, tmp_path_factory: pytest.TempPathFactory) -> Generator[Ports]:
    """Run cloudflared between an edge and the gate."""
    folder = tmp_path_factory.mktemp("cloudflared")
    outer = Authority("edge")
    secret = base64.b64encode(secrets.token_bytes(32)).decode()
    token = json.dumps({"a": "0" * 32, "t": str(uuid.uuid4()), "s": secret})
    with edge(*outer.issue_for_server(SERVER_NAME).write(folder, "edge")) as ports:
        command = [
            *(os.environ["CLOUDFLARED"], "tunnel", "--no-autoupdate", "--protocol", "http2"),
            *("--edge", f"127.0.0.1:{ports.cloudflared}", "--cacert", str(outer.write(folder, "ca"))),
            *("--metrics", "127.0.0.1:0", "run", "--url", f"http://127.0.0.1:{gate}"),
        ]
        env = environment(folder, TUNNEL_TOKEN=base64.b64encode(token.encode()).decode())
        with running(command, env, folder, ready="Starting metrics server"):
            assert ports.has_dialled.wait(LIMIT)
            yield ports


@pytest.fixture
def authorities(authority: Authority, tmp_path: Path) -> Path:
    return authority.write(tmp_path, "ca")


@asynccontextmanager
async def connected(ports: Ports, authorities: Path, era: str) -> AsyncGenerator[Client]:
    token = Token(claims={"aud": URL}).mint()
    async with tunnel_client(
        f"127.0.0.1:{ports.client}", authorities=authorities, transport="tunnel", timeout=LIMIT
    ) as http:
        http.headers["authorization"] = f"Bearer {token}"
        async with Client(streamable_http_client(URL, http_client=http), mode=era) as client:
            yield client


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.anyio
async def test_the_official_client_lists_and_calls(carried: Ports, authorities: Path, era: str) -> None:
    async with connected(carried, authorities, era) as client:
        listed = [tool.name for tool in (await client.list_tools()).tools]
        result = await client.call_tool("repeat", {"text": "through the tunnel"})
        with pytest.raises(MCPError, match="Unknown tool: hidden"):
            await client.call_tool("hidden", {})

    assert listed == ["count", "repeat"]
    assert result.structured_content == {"result": "through the tunnel"}


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.anyio
async def test_large_bodies_arrive_whole_in_both_directions(
    carried: Ports, authorities: Path, era: str
) -> None:
    text = secrets.token_hex(LARGE // 2)

    async with connected(carried, authorities, era) as client:
        result = await client.call_tool("repeat", {"text": text})

    assert result.structured_content == {"result": text}


@pytest.mark.anyio
async def test_events_arrive_as_they_come(carried: Ports, authorities: Path) -> None:
    seen: list[float] = []

    async def note(progress: float, total: float | None, message: str | None) -> None:
        seen.append(progress)

    async with connected(carried, authorities, "legacy") as client:
        result = await client.call_tool("count", {"to": 20}, progress_callback=note)

    assert result.structured_content == {"result": "counted to 20"}
    assert seen == [float(number) for number in range(20)]


@pytest.mark.anyio
async def test_many_calls_go_on_at_the_same_time(carried: Ports, authorities: Path) -> None:
    answers: list[object] = []

    async def call(client: Client, number: int) -> None:
        answers.append((await client.call_tool("repeat", {"text": str(number)})).structured_content)

    async with connected(carried, authorities, "2026-07-28") as client, anyio.create_task_group() as group:
        for number in range(20):
            group.start_soon(call, client, number)

    assert len(answers) == 20


@pytest.mark.anyio
async def test_another_authority_is_not_believed(carried: Ports, tmp_path: Path) -> None:
    other = Authority("somebody else").write(tmp_path, "other")

    async with tunnel_client(
        f"127.0.0.1:{carried.client}", authorities=other, transport="tunnel", timeout=LIMIT
    ) as http:
        with pytest.raises(httpx2.ConnectError, match="tls handshake failed"):
            await http.get(URL)
