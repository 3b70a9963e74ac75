"""The fixtures answer as the conformance scenarios expect where those look only at one side of it."""

import json
from collections.abc import Generator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from tests.conformance.everything.server import TOOLS, create_app
from tests.conformance.suite import RUNS
from tests.support.mcp import LEGACY
from tests.support.servers import serve

pytestmark = pytest.mark.anyio

JSON_OR_EVENTS = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}


@pytest.fixture(scope="module")
def url() -> Generator[str]:
    with serve(create_app(), parser="h11") as port:
        yield f"http://127.0.0.1:{port}/mcp"


@pytest.mark.parametrize("mode", ["2026-07-28", "legacy"])
async def test_every_tool_is_listed_in_both_eras(url: str, mode: Any) -> None:
    async with (
        httpx2.AsyncClient() as http,
        Client(streamable_http_client(url, http_client=http), mode=mode) as client,
    ):
        listed = await client.list_tools()

    assert [tool.name for tool in listed.tools] == list(TOOLS)


@pytest.mark.parametrize(("any_host", "status"), [(False, 421), (True, 200)])
async def test_other_hosts_are_answered_only_when_told_so(*, any_host: bool, status: int) -> None:
    with serve(create_app(any_host=any_host), parser="h11") as port:
        async with httpx2.AsyncClient(headers={"Host": "docs.tunnel.localhost"}) as http:
            answer = await _initialize(http, f"http://127.0.0.1:{port}/mcp")

    assert answer.status_code == status


async def test_a_stream_that_ended_early_is_resumed_within_its_session_only(url: str) -> None:
    """Two sessions number their requests alike, and neither is shown what the other was told."""
    async with httpx2.AsyncClient() as http:
        sessions = [(await _initialize(http, url)).headers["mcp-session-id"] for _ in range(2)]
        broken = [
            await _post(http, url, each, "tools/call", {"name": "test_reconnection"}) for each in sessions
        ]
        resumed = [await _resume(http, url, *each) for each in zip(sessions, broken, strict=True)]

    assert [[json.loads(data).get("method", "result") for data in each] for each in resumed] == [
        ["notifications/message", "notifications/message", "result"]
    ] * 2


def test_the_programs_are_pinned_by_hash_and_by_no_address() -> None:
    lock = json.loads((Path(__file__).parent / "package-lock.json").read_text("utf-8"))
    packages: dict[str, dict[str, Any]] = {name: each for name, each in lock["packages"].items() if name}

    assert [name for name, each in packages.items() if "integrity" not in each or "resolved" in each] == []
    assert {program for program, *_ in RUNS.values()} <= {
        name.removeprefix("node_modules/") for name in packages
    }


def _version() -> dict[str, str]:
    return {"mcp-protocol-version": LEGACY}


async def _initialize(http: httpx2.AsyncClient, url: str) -> httpx2.Response:
    params = {"protocolVersion": LEGACY, "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
    message = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params}
    return await http.post(url, json=message, headers=JSON_OR_EVENTS)


async def _post(
    http: httpx2.AsyncClient, url: str, session: str, method: str, params: dict[str, Any]
) -> httpx2.Response:
    message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    return await http.post(
        url, json=message, headers={"mcp-session-id": session, **_version(), **JSON_OR_EVENTS}
    )


async def _resume(http: httpx2.AsyncClient, url: str, session: str, broken: httpx2.Response) -> list[str]:
    """Return the messages from after the first event of a broken stream."""
    first = next(line for line in broken.text.splitlines() if line.startswith("id: ")).removeprefix("id: ")
    headers = {"mcp-session-id": session, "last-event-id": first, **_version(), **JSON_OR_EVENTS}
    text = (await http.get(url, headers=headers)).text
    return [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: ")]
