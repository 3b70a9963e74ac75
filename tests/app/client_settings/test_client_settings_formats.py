"""What callers write down is what the API takes, and enables exactly what a route lists."""

from typing import Any

import pytest
from anthropic.types.anthropic_beta_param import AnthropicBetaParam
from anthropic.types.beta import (
    BetaManagedAgentsMCPToolsetParams,
    BetaManagedAgentsURLMCPServerParams,
    BetaMCPToolsetParam,
    BetaRequestMCPServerURLDefinitionParam,
)
from pydantic import TypeAdapter

from tunnelgate_app.asking.answers import Listing, Server, Tool
from tunnelgate_app.client_settings.managed_agents import harmless_of, managed_agents
from tunnelgate_app.client_settings.mcp_json import mcp_json
from tunnelgate_app.client_settings.messages_api import messages_api
from tunnelgate_app.client_settings.reaching import ConnectorError, Fragment, Reached

DOCS = Reached("docs", "https://docs.example.com/mcp", "https://docs.example.com/mcp", ("search", "read"), ())
WIKI = Reached("wiki", "https://wiki.example.com/mcp", "https://wiki.example.com/mcp", ("edit",), ("wiki",))


def check(fragment: Fragment, server: Any, toolset: Any) -> None:
    """Check a fragment with the types of the official SDK, in which no key is unknown."""
    for given, kind in ((fragment.body["mcp_servers"], server), (fragment.body["tools"], toolset)):
        for each in given:
            assert set(each) <= set(kind.__annotations__)
            TypeAdapter(kind).validate_python(each, strict=True)


def test_the_messages_api_gets_what_is_listed_and_nothing_else() -> None:
    fragment = messages_api([DOCS, WIKI])

    check(fragment, BetaRequestMCPServerURLDefinitionParam, BetaMCPToolsetParam)
    TypeAdapter(AnthropicBetaParam).validate_python(fragment.beta)
    assert fragment == Fragment(
        {
            "mcp_servers": [
                {
                    "type": "url",
                    "name": "docs",
                    "url": "https://docs.example.com/mcp",
                    "authorization_token": "${DOCS_TOKEN}",
                },
                {
                    "type": "url",
                    "name": "wiki",
                    "url": "https://wiki.example.com/mcp",
                    "authorization_token": "${WIKI_TOKEN}",
                },
            ],
            "tools": [
                {
                    "type": "mcp_toolset",
                    "mcp_server_name": "docs",
                    "default_config": {"enabled": False},
                    "configs": {"search": {"enabled": True}, "read": {"enabled": True}},
                },
                {
                    "type": "mcp_toolset",
                    "mcp_server_name": "wiki",
                    "default_config": {"enabled": False},
                    "configs": {"edit": {"enabled": True}},
                },
            ],
        },
        "mcp-client-2025-11-20",
    )


def test_agents_ask_people_about_all_that_is_not_harmless() -> None:
    fragment = managed_agents([DOCS, WIKI], {"docs": {"search", "edit"}})

    check(fragment, BetaManagedAgentsURLMCPServerParams, BetaManagedAgentsMCPToolsetParams)
    TypeAdapter(AnthropicBetaParam).validate_python(fragment.beta)
    ask, allow = {"type": "always_ask"}, {"type": "always_allow"}
    assert fragment == Fragment(
        {
            "mcp_servers": [
                {"type": "url", "name": "docs", "url": "https://docs.example.com/mcp"},
                {"type": "url", "name": "wiki", "url": "https://wiki.example.com/mcp"},
            ],
            "tools": [
                {
                    "type": "mcp_toolset",
                    "mcp_server_name": "docs",
                    "default_config": {"enabled": False, "permission_policy": ask},
                    "configs": [
                        {"name": "search", "enabled": True, "permission_policy": allow},
                        {"name": "read", "enabled": True, "permission_policy": ask},
                    ],
                },
                {
                    "type": "mcp_toolset",
                    "mcp_server_name": "wiki",
                    "default_config": {"enabled": False, "permission_policy": ask},
                    "configs": [{"name": "edit", "enabled": True, "permission_policy": ask}],
                },
            ],
        },
        "managed-agents-2026-04-01",
    )


def test_common_clients_fill_the_token_in() -> None:
    assert mcp_json([DOCS, WIKI]) == Fragment(
        {
            "mcpServers": {
                "docs": {
                    "type": "http",
                    "url": "https://docs.example.com/mcp",
                    "headers": {"Authorization": "Bearer ${DOCS_TOKEN}"},
                },
                "wiki": {
                    "type": "http",
                    "url": "https://wiki.example.com/mcp",
                    "headers": {"Authorization": "Bearer ${WIKI_TOKEN}"},
                },
            }
        }
    )


@pytest.mark.parametrize(
    ("tools", "harmless"),
    [
        pytest.param([Tool("a", read_only=True)], {"a"}, id="marked as read-only"),
        pytest.param([Tool("a")], set[str](), id="not marked"),
        pytest.param([Tool("a", read_only=False)], set[str](), id="marked as changing things"),
        pytest.param([Tool("a", read_only=True, destructive=True)], set[str](), id="a contradiction"),
        pytest.param([Tool("a", read_only=True), Tool("a")], set[str](), id="marked once and not again"),
        pytest.param([Tool("a", read_only=True), Tool("b")], {"a"}, id="one of two"),
    ],
)
def test_harmless_is_what_a_server_says_only_reads(tools: list[Tool], harmless: set[str]) -> None:
    assert harmless_of(Listing(Server("modern", "2026-07-28"), tuple(tools))) == harmless


def reached(number: int = 1, *, url: str = "https://docs.example.com/mcp", tool: str = "search") -> Reached:
    return Reached(f"r{number}", url, url, (tool,), ())


LONGEST_URL = "https://docs.example.com/" + "x" * (2048 - 25)


@pytest.mark.parametrize(
    "routes",
    [
        pytest.param([reached(number) for number in range(20)], id="twenty servers"),
        pytest.param([reached(url=LONGEST_URL)], id="the longest URL"),
        pytest.param([reached(tool="x" * 128)], id="the longest name of a tool"),
    ],
)
def test_agents_take_so_much(routes: list[Reached]) -> None:
    assert len(managed_agents(routes, {}).body["tools"]) == len(routes)


@pytest.mark.parametrize(
    ("routes", "sentence"),
    [
        pytest.param(
            [reached(number) for number in range(21)],
            "an agent has at most 20 servers, and these are 21",
            id="one server more",
        ),
        pytest.param([reached(url=LONGEST_URL + "x")], "longer than 2048 characters", id="a longer URL"),
        pytest.param([reached(tool="x" * 129)], "at most 128 characters", id="a longer name of a tool"),
        pytest.param([reached(url="http://docs.example.com/mcp")], "https alone", id="another scheme"),
    ],
)
def test_agents_take_no_more(routes: list[Reached], sentence: str) -> None:
    with pytest.raises(ConnectorError, match=sentence):
        managed_agents(routes, {})


def test_the_messages_api_takes_https_alone() -> None:
    with pytest.raises(ConnectorError, match="https alone"):
        messages_api([reached(url="http://docs.example.com/mcp")])
