"""The docs server as a process of its own behind the gate of the demo, as a person would run both.

It verifies by itself the token that the gate has for it, which is not the one that the caller brings.
"""

import json
import signal
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
import yaml
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client

from tests.servers.serving import own_check_options, token
from tests.support.demos import prepare_docs_alone
from tests.support.mcp import legacy, modern
from tests.support.processes import SCRIPTS, Running, environment, free_port, running
from tunnelgate_app.client import DemoClient
from tunnelgate_app.demo import BLOCKED_HOST, ROUTES, DemoState

DOCS = ROUTES["docs"]
MODES = ["2026-07-28", "legacy"]
LIMIT = 30  # seconds that anything here may take
MAX_FAILURES = 2
LISTENING = "docs_readonly listens on "
SERVERS = str(SCRIPTS / "tunnelgate-servers")


@dataclass(frozen=True)
class Elsewhere:
    """A gate that runs, and where its docs server is started and found."""

    home: Path
    documents: Path
    gate: int
    docs: int

    @property
    def configuration(self) -> Path:
        return self.home / "tunnelgate.yaml"

    @property
    def client(self) -> DemoClient:
        return DemoClient(DemoState.from_folder(self.home))

    @property
    def records(self) -> list[dict[str, Any]]:
        lines = (self.home / "audit.jsonl").read_text("utf-8").splitlines()
        return [json.loads(line) for line in lines]

    @property
    def resource(self) -> str:
        return f"http://127.0.0.1:{self.docs}/mcp"

    @contextmanager
    def docs_server(self) -> Generator[Running]:
        """Run the docs server as a person starts it."""
        file = self.home / "docs.yaml"
        options = {
            "listen_addr": f"127.0.0.1:{self.docs}",
            "folder": "documents",
            "database": "sqlite:///docs.sqlite",
            **own_check_options(self.home / "keys", self.resource),
        }
        file.write_text(yaml.safe_dump(options), "utf-8")
        command = [SERVERS, "serve", "docs-readonly", "--config", str(file)]
        with running(command, environment(self.home), self.home, LISTENING) as docs:
            yield docs

    @asynccontextmanager
    async def http(self, host: str = DOCS.hostname) -> AsyncGenerator[httpx2.AsyncClient]:
        headers = {"host": host, "authorization": f"Bearer {self.client.fetch_token(DOCS)}"}
        base = f"http://127.0.0.1:{self.gate}"
        async with httpx2.AsyncClient(headers=headers, base_url=base, timeout=LIMIT) as http:
            yield http

    @asynccontextmanager
    async def official(self, mode: Any) -> AsyncGenerator[Client]:
        async with self.http() as http:
            transport = streamable_http_client(f"http://127.0.0.1:{self.gate}/mcp", http_client=http)
            async with Client(transport, mode=mode) as client:
                yield client

    @asynccontextmanager
    async def official_in_both_eras(self) -> AsyncGenerator[list[Client]]:
        async with self.official(MODES[0]) as one, self.official(MODES[1]) as other:
            yield [one, other]


@contextmanager
def gate_in_front(home: Path) -> Generator[tuple[Elsewhere, Running]]:
    """Run the gate of the demo, whose docs server is remote; nobody has started that one yet."""
    documents = home / "documents"
    documents.mkdir(parents=True)
    (documents / "tunnels.md").write_text(
        "# Tunnels\n\nA tunnel carries bytes and keeps no record.\n", "utf-8"
    )
    elsewhere = Elsewhere(home, documents, free_port(), free_port())
    (home / "keys").mkdir()
    (home / "docs.token").write_text(token("docs:read", subject="gate", resource=elsewhere.resource), "utf-8")
    file = prepare_docs_alone(home, elsewhere.gate, documents)
    configuration = yaml.safe_load(file.read_text("utf-8"))
    configuration["upstream"] = {"allowed_ips": ["127.0.0.1"]}
    route = configuration["routes"][DOCS.name]
    del route["mount"], route["options"]
    route["upstream"] = {
        "url": f"http://127.0.0.1:{elsewhere.docs}",
        "max_failures": MAX_FAILURES,
        "retry_after": "4s",
    }
    route["credentials"] = {"bearer_file": str(home / "docs.token")}
    file.write_text(yaml.safe_dump(configuration), "utf-8")
    command = [str(SCRIPTS / "tunnelgate"), "serve", "--config", str(file)]
    with running(command, environment(home), home) as gate:
        yield elsewhere, gate


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Generator[Elsewhere]:
    with gate_in_front(tmp_path_factory.mktemp("home")) as (elsewhere, _), elsewhere.docs_server():
        yield elsewhere


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.promise("listed-equals-callable")
@pytest.mark.anyio
async def test_the_official_client_lists_calls_and_reads_what_is_allowed(both: Elsewhere, mode: str) -> None:
    with anyio.fail_after(LIMIT):
        async with both.official(mode) as client:
            tools = {tool.name for tool in (await client.list_tools()).tools}
            called = await client.call_tool("search_docs", {"query": "record"})
            read = await client.read_resource("docs:///tunnels.md")
            with pytest.raises(MCPError, match="Unknown tool: reindex_docs") as refused:
                await client.call_tool("reindex_docs", {})

    assert tools == set(DOCS.tools)
    assert (called.is_error, "tunnels.md" in str(called.structured_content)) == (False, True)
    assert "keeps no record" in str(read.contents)
    assert refused.value.error.code == -32602


@pytest.mark.promise("host-exact")
@pytest.mark.anyio
async def test_another_host_is_blocked_and_reaches_no_server(both: Elsewhere) -> None:
    async with both.http(BLOCKED_HOST) as http:
        answer = await asked(http, modern)

    assert (answer.status_code, answer.json()) == (403, {"error": "host_not_allowed", "host": BLOCKED_HOST})
    assert both.records[-1]["reason"] == "host-unknown"


@pytest.mark.parametrize(
    ("bearer", "status"),
    [
        pytest.param(None, 401, id="no token"),
        pytest.param("the caller's", 401, id="the caller's token for the gate"),
        pytest.param("another server's", 401, id="a token of the same issuer for another server"),
        pytest.param("its own", 200, id="a token that was made for it"),
    ],
)
def test_the_docs_server_takes_only_tokens_that_were_made_for_it(
    both: Elsewhere, bearer: str | None, status: int
) -> None:
    tokens = {
        "the caller's": both.client.fetch_token(DOCS),
        "another server's": token("docs:read", resource="http://127.0.0.1:9/mcp"),
        "its own": token("docs:read", resource=both.resource),
    }
    (_, *headers), body = modern("tools/list")
    given = {**dict(headers), **({"authorization": f"Bearer {tokens[bearer]}"} if bearer else {})}

    answer = httpx2.post(both.resource, headers=given, content=body, timeout=LIMIT)

    assert answer.status_code == status
    if status == 401:
        assert "resource_metadata=" in answer.headers["www-authenticate"]


def test_the_three_questions_of_the_probe_are_answered_as_in_the_demo(both: Elsewhere) -> None:
    answers, wrong = both.client.probe(DOCS)

    assert wrong == []
    assert [answers[f"{name}_status"] for name in ("tools_list", "tool_call", "blocked")] == [
        "200",
        "200",
        "403",
    ]


@pytest.mark.promise("callers-protocol")
@pytest.mark.anyio
async def test_a_docs_server_that_was_killed_is_told_of_in_json_rpc_and_works_when_it_is_back(
    tmp_path: Path,
) -> None:
    query = {"query": "record"}
    with gate_in_front(tmp_path / "home") as (elsewhere, gate), anyio.fail_after(2 * LIMIT):
        with elsewhere.docs_server() as docs:
            async with elsewhere.http() as http, elsewhere.official_in_both_eras() as clients:
                before = [await client.call_tool("search_docs", query) for client in clients]
                docs.process.kill()
                assert docs.process.wait(LIMIT) == -signal.SIGKILL

                answers = [await asked(http, message) for message in (modern, legacy, modern, legacy)]
                failed: list[MCPError] = []
                for client in clients:
                    with pytest.raises(MCPError) as caught:
                        await client.call_tool("search_docs", query)
                    failed.append(caught.value)

                with elsewhere.docs_server():
                    while (again := await asked(http, modern)).status_code != 200:
                        assert again.status_code in (502, 503)
                        await anyio.sleep(0.05)
                    after = [await client.call_tool("search_docs", query) for client in clients]
        records = {record["request_id"]: record["verdict"] for record in elsewhere.records}

    assert ["tunnels.md" in str(each.structured_content) for each in (*before, *after)] == [True] * 4
    assert [answer.status_code for answer in answers] == [502, 502, 503, 503]
    assert [answer.headers.get("retry-after", "0").isdecimal() for answer in answers] == [True] * 4
    assert ["retry-after" in answer.headers for answer in answers] == [False, False, True, True]
    words = ["The server cannot be reached"] * 2 + ["The server is not answering"] * 2
    reasons = ["upstream-unreachable"] * 2 + ["upstream-failing"] * 2
    for answer, message, reason in zip(answers, words, reasons, strict=True):
        request_id = answer.headers["x-request-id"]
        error = {"code": -32603, "message": message, "data": {"requestId": request_id}}
        assert answer.json() == {"jsonrpc": "2.0", "id": 1, "error": error}
        assert records[request_id] == "allow", "the decision was another thing than what came of it"
        assert f"request {request_id} to docs: {reason}: " in gate.output
    assert [(each.error.code, each.error.message) for each in failed] == [(-32603, words[-1])] * 2


async def asked(http: httpx2.AsyncClient, message: Any) -> httpx2.Response:
    (_, *headers), body = message("tools/list")  # the host is that of the client
    return await http.post("/mcp", headers=dict(headers), content=body)
