"""The example: an application before and after the gate, both asked by the official client."""

import difflib
import importlib.util
import shutil
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client

from tests.docs.blocks import ROOT
from tests.support.servers import serve
from tests.support.tokens import ISSUER, Token, jwks

EXAMPLE = ROOT / "examples" / "existing_app"
HOST = "stock.example.com"


def load(path: Path) -> Any:
    """Return the application of a file, imported anew."""
    spec = importlib.util.spec_from_file_location(f"example_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.app


def test_the_gate_takes_five_more_lines() -> None:
    before = (EXAMPLE / "app.py").read_text("utf-8").splitlines()[1:]
    after = (EXAMPLE / "gated_app.py").read_text("utf-8").splitlines()[1:]

    changes = [line for line in difflib.ndiff(before, after) if line[0] in "+-" and line[1:].strip()]
    added = sum(line[0] == "+" for line in changes) - sum(line[0] == "-" for line in changes)

    assert added <= 5


@pytest.mark.anyio
async def test_before_the_gate_anybody_may_call_everything() -> None:
    with serve(load(EXAMPLE / "app.py")) as port:
        url = f"http://127.0.0.1:{port}"
        async with (
            httpx2.AsyncClient(headers={"host": HOST}) as http,
            Client(streamable_http_client(f"{url}/mcp", http_client=http)) as client,
        ):
            assert [tool.name for tool in (await client.list_tools()).tools] == ["count", "take"]
            assert not (await client.call_tool("take", {"part": "bolt", "number": 20})).is_error
            assert (await http.get(f"{url}/stock")).json() == {"bolt": 100, "nut": 80}


@pytest.mark.parametrize("mode", ["2026-07-28", "legacy"])
@pytest.mark.anyio
async def test_behind_the_gate_a_token_may_call_what_is_listed(
    mode: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(EXAMPLE, tmp_path, dirs_exist_ok=True)
    (tmp_path / "jwks.json").write_bytes(jwks("ES256"))
    claims = {"iss": ISSUER, "aud": f"https://{HOST}/mcp", "scope": "stock:read"}
    headers = {"host": HOST, "authorization": f"Bearer {Token(claims=claims).mint()}"}

    with serve(load(tmp_path / "gated_app.py")) as port:
        url = f"http://127.0.0.1:{port}"
        async with (
            httpx2.AsyncClient(headers=headers) as http,
            Client(streamable_http_client(f"{url}/mcp", http_client=http), mode=mode) as client,
        ):
            assert [tool.name for tool in (await client.list_tools()).tools] == ["count"]
            assert not (await client.call_tool("count", {"part": "nut"})).is_error
            with pytest.raises(MCPError, match="Unknown tool: take"):
                await client.call_tool("take", {"part": "nut", "number": 80})
        async with httpx2.AsyncClient() as stranger:
            assert (await stranger.post(f"{url}/mcp", headers={"host": HOST})).status_code == 401
            assert (await stranger.get(f"{url}/stock")).json() == {"bolt": 120, "nut": 80}

    assert '"reason":"tool-not-allowed"' in capfd.readouterr().out
