"""The Inspector's command line reaches a route with a token of a certified issuer."""

import json

import pytest
from anyio import to_thread

from tests.issuers import inspecting
from tests.issuers.gate import gate
from tests.issuers.inspecting import CALL, LIST, inspect
from tests.issuers.provider import Resource, provider


@pytest.mark.anyio
async def test_the_inspector_lists_and_calls_with_a_token_of_the_issuer() -> None:
    with provider() as issuer, gate([{"issuer": issuer.url}]) as front:
        issuer.serve({front.resource(): Resource("docs:read")})
        token = await issuer.token(front.resource())

        listed = await to_thread.run_sync(inspect, front.resource(), token, LIST)
        called = await to_thread.run_sync(inspect, front.resource(), token, CALL)

    tools = json.loads(listed.stdout)["result"]["tools"]
    assert [tool["name"] for tool in tools] == ["whoami", "ask_upstream"]
    assert json.loads(called.stdout)["result"]["structuredContent"]["subject"] == "agent"


@pytest.mark.anyio
async def test_the_inspector_is_refused_with_a_token_for_another_resource() -> None:
    with provider() as issuer, gate([{"issuer": issuer.url}]) as front:
        issuer.serve({"https://elsewhere.example.com/mcp": Resource("docs:read")})
        token = await issuer.token("https://elsewhere.example.com/mcp")

        ended = await to_thread.run_sync(inspect, front.resource(), token, CALL)

    assert ended.returncode != 0
    assert set(front.reasons) == {"token-audience-wrong"}


def test_the_transcript_shows_the_call_and_cuts_the_token(capsys: pytest.CaptureFixture[str]) -> None:
    assert inspecting.main() == 0

    said = capsys.readouterr().out
    assert said.count("Bearer eyJ…") == 2
    assert "Bearer eyJ0" not in said
    decision = json.loads(said.splitlines()[-1])
    assert (decision["verdict"], decision["target"]) == ("allow", "whoami")
    assert decision["principal"]["subject"] == "agent"
