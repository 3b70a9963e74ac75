import os
import ssl
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import anyio
import orjson
import pytest
from mcp import Client, MCPError

from tests.e2e.logging_in import (
    DOCUMENT_HOST,
    FULL,
    ISSUER,
    MCP_URL,
    METADATA,
    METADATA_URL,
    READ,
    Storage,
    Tunnel,
    secrets_of,
    tunnel,
)
from tests.e2e.login_transcript import lines_of, step_up
from tests.support.asgi import Spy
from tests.support.certificates import Authority
from tests.support.servers import serve

pytestmark = pytest.mark.anyio
ROOT = Path(__file__).parents[2]
PROTECTED_RESOURCE = "http://docs.tunnel.localhost:8080/.well-known/oauth-protected-resource/mcp"
AUTHORIZATION_SERVER = f"{ISSUER}/.well-known/oauth-authorization-server"
DISCOVERY = [
    ("client", "POST", MCP_URL, 401),
    ("client", "GET", PROTECTED_RESOURCE, 200),
    ("client", "GET", AUTHORIZATION_SERVER, 200),
]
REGISTRATION = [("client", "POST", f"{ISSUER}/register", 201)]
LOGIN = [
    ("user", "GET", f"{ISSUER}/authorize", 200),
    ("user", "POST", f"{ISSUER}/authorize", 303),
    ("client", "POST", f"{ISSUER}/token", 200),
]
CALL = [("client", "POST", MCP_URL, 200)]


@pytest.fixture
def demo(tmp_path: Path) -> Generator[Tunnel]:
    with tunnel(tmp_path) as running:
        yield running


async def called(client: Client, tool: str, **arguments: str) -> str:
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, result
    return str(result.content)


@pytest.mark.promise("challenge-complete")
async def test_given_only_the_url_the_client_finds_registers_logs_in_and_calls(demo: Tunnel) -> None:
    async with demo.client(Storage()) as client:
        tools = {tool.name for tool in (await client.list_tools()).tools}
        found = await called(client, "search_docs", query="tunnel")

    assert demo.taken() == [*DISCOVERY, *REGISTRATION, *LOGIN, *CALL]
    assert tools == {"search_docs", "list_docs", "read_doc"}
    assert "tunnels.md" in found
    first = demo.steps[0].challenge
    assert first == f'Bearer scope="{READ}", resource_metadata="{PROTECTED_RESOURCE}"'


async def test_what_the_client_asks_for_is_what_the_gate_said(demo: Tunnel) -> None:
    async with demo.client(Storage()) as client:
        await client.list_tools()

    asked, token = [step.sent for step in demo.steps if step.what in (LOGIN[0], LOGIN[2])]
    assert (asked["scope"], asked["resource"], asked["code_challenge_method"]) == (READ, MCP_URL, "S256")
    assert (token["grant_type"], token["resource"]) == ("authorization_code", MCP_URL)


async def test_the_records_name_the_user_who_logged_in(demo: Tunnel) -> None:
    async with demo.client(Storage(), user="bob") as client:
        await called(client, "search_docs", query="tunnel")

    (record,) = [record for record in demo.records.all if record["target"] == "search_docs"]
    assert record["principal"]["subject"] == "bob"


async def test_a_client_with_a_document_does_not_register(tmp_path: Path) -> None:
    document = METADATA.model_dump(mode="json", exclude_none=True) | {"client_id": METADATA_URL}
    authority = Authority("the certificates of this test")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(*authority.issue_for_server(DOCUMENT_HOST).write(tmp_path, "documents"))
    host = Spy(orjson.dumps(document), content_type="application/json")
    with (
        serve(host, tls=tls) as port,
        tunnel(
            tmp_path,
            mount="tests.e2e.logging_in:create_issuer",
            documents_port=port,
            ca_file=str(authority.write(tmp_path, "authority")),
        ) as demo,
    ):
        async with demo.client(Storage(), metadata_url=METADATA_URL) as client:
            await called(client, "search_docs", query="tunnel")

    assert demo.taken() == [*DISCOVERY, *LOGIN, *CALL]
    assert [step.sent["client_id"] for step in demo.steps if step.what == LOGIN[0]] == [METADATA_URL]
    assert [(scope["method"], scope["path"]) for scope in host.scopes] == [("GET", "/client.json")]


async def test_a_token_that_grew_old_is_refreshed_without_the_user(tmp_path: Path) -> None:
    with tunnel(tmp_path, token_lifetime=2) as demo:
        storage = Storage()
        async with demo.client(storage) as client:
            await client.list_tools()
            begin = len(demo.steps)
            first = storage.tokens
            with anyio.fail_after(20):
                while demo.taken(begin)[:1] != [LOGIN[2]]:
                    begin = len(demo.steps)
                    await called(client, "search_docs", query="tunnel")
                    await anyio.sleep(0.1)

    assert [step.sent["grant_type"] for step in demo.steps if step.what == LOGIN[2]][:2] == [
        "authorization_code",
        "refresh_token",
    ]
    assert demo.taken(begin) == [LOGIN[2], *CALL]
    assert first is not None
    assert storage.tokens != first
    assert [step.who for step in demo.steps].count("user") == 2


@pytest.mark.promise("challenge-complete")
async def test_a_tool_that_needs_more_is_called_with_a_wider_token(demo: Tunnel) -> None:
    begin = await step_up(demo, storage := Storage())

    assert demo.taken(begin) == [("client", "POST", MCP_URL, 403), *LOGIN, *CALL]
    refused, asked = demo.steps[begin : begin + 2]
    assert refused.challenge == (
        f'Bearer error="insufficient_scope", scope="{READ} {FULL}", resource_metadata="{PROTECTED_RESOURCE}"'
    )
    assert asked.sent["scope"] == f"{READ} {FULL}"
    assert storage.tokens is not None
    assert storage.tokens.scope == f"{READ} {FULL}"


async def test_a_user_who_grants_less_leaves_the_tool_out_of_reach(demo: Tunnel) -> None:
    async with demo.client(Storage(), unticked=[FULL]) as client:
        await client.list_tools()
        with pytest.raises(MCPError):
            await client.call_tool("read_doc", {"path": "tunnels.md"})
        assert await called(client, "search_docs", query="tunnel")


async def test_a_client_that_is_started_again_uses_what_it_kept(demo: Tunnel) -> None:
    storage = Storage()
    async with demo.client(storage) as client:
        await client.list_tools()
    begin = len(demo.steps)

    async with demo.client(storage) as client:
        await client.list_tools()

    assert demo.taken(begin) == CALL


@pytest.mark.promise("token-stays-here")
async def test_the_transcript_shows_the_step_up_and_no_secret(demo: Tunnel) -> None:
    begin = await step_up(demo, storage := Storage())

    text = "\n".join(lines_of(demo.steps[begin:]))

    assert [secret for secret in secrets_of(demo.steps, storage) if secret in text] == []
    for part in (
        '403\n       WWW-Authenticate: Bearer error="insufficient_scope"',
        "/authorize?",
        "/token\n",
    ):
        assert part in text


@pytest.mark.promise("token-stays-here")
async def test_no_record_of_the_whole_login_has_a_code_a_token_or_a_form(demo: Tunnel) -> None:
    await step_up(demo, storage := Storage())

    recorded = orjson.dumps(demo.records.all).decode()
    secrets = secrets_of(demo.steps, storage)
    assert len(secrets) > 8
    assert [secret for secret in secrets if secret in recorded] == []


@pytest.mark.checkout
def test_the_transcript_can_be_printed() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.e2e.login_transcript"],
        cwd=ROOT,
        env=dict(os.environ),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    statuses = [line.strip() for line in done.stdout.splitlines() if line.strip().isdigit()]
    assert statuses == ["403", "200", "303", "200", "200"]
