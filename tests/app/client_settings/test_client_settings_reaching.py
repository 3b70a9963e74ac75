"""What callers are told of a route is what its policy says."""

from typing import Any

import pytest

from tunnelgate import Policy
from tunnelgate_app.client_settings.reaching import ConnectorError, Reached, check_for_api, reach


def policy_of(name: str = "docs", **route: Any) -> Policy:
    settings: dict[str, Any] = {
        key: route.pop(key) for key in ("public_scheme", "public_port") if key in route
    }
    return Policy.from_mapping(
        {
            "tunnel_domain": "tunnel.example.com",
            "clients": {"allowed_ips": ["127.0.0.1"]},
            "oauth": {"issuers": [{"issuer": "https://login.example.com"}]},
            "routes": {name: {"upstream": "http://10.0.0.1:9000", "tools": ["search", "read"], **route}},
            **settings,
        }
    )


def test_a_route_is_reached_at_its_endpoint_with_the_tools_that_it_lists() -> None:
    assert reach(policy_of(), "docs") == Reached(
        name="docs",
        url="https://docs.tunnel.example.com/mcp",
        resource="https://docs.tunnel.example.com/mcp",
        tools=("search", "read"),
        scopes=(),
    )


def test_what_is_set_otherwise_is_told_otherwise() -> None:
    tools = {"search": {"scopes": ["docs:read"]}, "draft": {"scopes": ["docs:draft", "docs:read"]}, "x": None}
    policy = policy_of(
        path="/api/mcp", resource="https://api.example.com", scopes=["docs"], tools=tools, public_port=8443
    )

    assert reach(policy, "docs") == Reached(
        name="docs",
        url="https://docs.tunnel.example.com:8443/api/mcp",
        resource="https://api.example.com",
        tools=("search", "draft", "x"),
        scopes=("docs", "docs:read", "docs:draft"),
    )


@pytest.mark.parametrize(
    ("route", "sentence"),
    [
        pytest.param(
            {"tools": "*", "allow_all_tools": True},
            "the route docs allows every tool, also those of tomorrow, and callers need a list; "
            "list its tools by name",
            id="every tool",
        ),
        pytest.param(
            {"tools": None, "prompts": ["summarise"]},
            "the route docs lists no tools, and callers use nothing else",
            id="prompts alone",
        ),
    ],
)
def test_a_route_without_a_list_of_tools_is_not_handed_out(route: Any, sentence: str) -> None:
    with pytest.raises(ConnectorError) as caught:
        reach(policy_of(**route), "docs")

    assert str(caught.value) == sentence


def test_a_route_that_does_not_exist_is_said_with_those_that_do() -> None:
    with pytest.raises(ConnectorError, match="there is no route 'wiki'; there are docs"):
        reach(policy_of(), "wiki")


@pytest.mark.parametrize(
    ("name", "variable"),
    [
        pytest.param("docs", "DOCS_TOKEN", id="a name"),
        pytest.param("docs.example.com", "DOCS_EXAMPLE_COM_TOKEN", id="a hostname"),
        pytest.param("my-docs", "MY_DOCS_TOKEN", id="a hyphen"),
        pytest.param("1st", "MCP_1ST_TOKEN", id="a number in front"),
    ],
)
def test_a_token_stands_in_a_variable_that_shells_have(name: str, variable: str) -> None:
    reached = reach(policy_of(name), name)

    assert (reached.variable, reached.placeholder) == (variable, f"${{{variable}}}")


def test_the_api_takes_https_alone() -> None:
    reached = reach(policy_of(public_scheme="http"), "docs")

    with pytest.raises(
        ConnectorError, match=r"is reached at http://docs\.tunnel\.example\.com/mcp, and the API"
    ):
        check_for_api(reached)


@pytest.mark.parametrize(("length", "is_taken"), [(1, True), (255, True), (256, False)])
def test_the_name_of_a_server_has_its_length(length: int, is_taken: bool) -> None:  # noqa: FBT001
    reached = Reached(
        "x" * length, "https://docs.example.com/mcp", "https://docs.example.com/mcp", ("a",), ()
    )

    if is_taken:
        check_for_api(reached)
    else:
        with pytest.raises(ConnectorError, match="longer than 255 characters"):
            check_for_api(reached)
