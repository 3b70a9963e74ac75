"""The official client finds a certified issuer from a route alone, registers, and lets a user sign in."""

from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx2
import pytest
from mcp import Client
from mcp.client.auth import AuthorizationCodeResult, OAuthClientProvider, TokenStorage
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import OAuthClientInformationFull, OAuthClientMetadata, OAuthToken
from pydantic import AnyUrl

from tests.issuers.gate import DOCS, Gate, gate
from tests.issuers.provider import CALLBACK, PERSON, Resource, provider
from tests.issuers.user import authorize


class Memory(TokenStorage):
    """Keeps what the client is given."""

    def __init__(self, client: OAuthClientInformationFull | None = None) -> None:
        self.tokens: OAuthToken | None = None
        self.client = client

    async def get_tokens(self) -> OAuthToken | None:
        return self.tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self.tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return self.client

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        self.client = client_info


class Browser:
    """Where a user signs in, and what comes back from there."""

    def __init__(self, user: str) -> None:
        self.asked: list[dict[str, str]] = []
        self._user = user
        self._answered: dict[str, str] = {}

    async def open(self, url: str) -> None:
        self.asked.append(dict(parse_qsl(urlsplit(url).query)))
        self._answered = await authorize(url, self._user)

    async def result(self) -> AuthorizationCodeResult:
        answered = self._answered
        return AuthorizationCodeResult(code=answered["code"], state=answered["state"], iss=answered["iss"])


def logging_in(front: Gate, browser: Browser, memory: Memory) -> OAuthClientProvider:
    metadata = OAuthClientMetadata(
        client_name="the official client",
        redirect_uris=[AnyUrl(CALLBACK)],
        token_endpoint_auth_method="none",
        application_type="native",
    )
    return OAuthClientProvider(
        front.resource(), metadata, memory, redirect_handler=browser.open, callback_handler=browser.result
    )


@pytest.mark.anyio
async def test_the_official_client_needs_only_the_url_of_a_route_to_log_in() -> None:
    browser, memory = Browser("alice"), Memory()
    with provider() as issuer, gate([{"issuer": issuer.url}]) as front:
        issuer.serve({front.resource(): Resource("docs:read")})
        async with (
            httpx2.AsyncClient(auth=logging_in(front, browser, memory), trust_env=False, timeout=20) as http,
            Client(streamable_http_client(front.resource(), http_client=http)) as client,
        ):
            called = await client.call_tool("whoami")

    assert memory.client is not None
    answer: dict[str, Any] = called.structured_content or {}
    assert (answer["subject"], answer["client_id"]) == ("alice", memory.client.client_id)
    (asked,) = browser.asked
    assert (asked["resource"], asked["code_challenge_method"]) == (front.resource(), "S256")
    assert "docs:read" in asked["scope"].split(" ")
    assert front.reasons[0] == "token-missing"
    assert set(front.reasons[1:]) == {None}


@pytest.mark.anyio
async def test_the_official_client_comes_back_with_the_scope_that_a_tool_needs() -> None:
    """It is one that the issuer knows: a client that registers itself names the scopes of its first try.

    The issuer then lets it have no others.
    """
    browser = Browser("alice")
    tools = {"whoami": {"scopes": ["docs:write"]}}
    with provider() as issuer, gate([{"issuer": issuer.url}], {DOCS: {"tools": tools}}) as front:
        issuer.serve({front.resource(): Resource("docs:read docs:write")})
        known = OAuthClientInformationFull(
            client_id=PERSON.name,
            redirect_uris=[AnyUrl(CALLBACK)],
            token_endpoint_auth_method="none",
            issuer=issuer.url,
        )
        auth = logging_in(front, browser, Memory(known))
        async with (
            httpx2.AsyncClient(auth=auth, trust_env=False, timeout=20) as http,
            Client(streamable_http_client(front.resource(), http_client=http)) as client,
        ):
            listed = await client.list_tools()
            called = await client.call_tool("whoami")

    assert [tool.name for tool in listed.tools] == ["whoami"]
    assert (called.structured_content or {})["scopes"] == ["docs:read", "docs:write"]
    first, second = [asked["scope"].split(" ") for asked in browser.asked]
    assert "docs:write" not in first
    assert {"docs:read", "docs:write"} <= set(second)
    assert front.reasons.count("scope-missing") == 1
