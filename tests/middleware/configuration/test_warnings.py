from collections.abc import Mapping
from typing import Any

import pytest

from tunnelgate import Policy


def warnings_of(route: dict[str, Any]) -> tuple[str, ...]:
    return Policy.from_mapping(
        {"clients": {"allowed_ips": ["10.0.0.0/8"]}, "routes": {"docs.example.com": route}}
    ).warnings


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        pytest.param("proof", "dpop", id="a proof of a key"),
        pytest.param("proof", "mtls", id="a proof of a certificate"),
        pytest.param("require_user", True, id="a person"),
        pytest.param("credentials", {"bearer_env": "TOKEN"}, id="a token for the application"),
    ],
)
def test_what_means_nothing_without_an_endpoint_is_warned_about(setting: str, value: Any) -> None:
    assert warnings_of({"public_paths": ["/healthz"], setting: value}) == (
        f'routes."docs.example.com".{setting}: means nothing on a route that lists nothing of MCP',
    )


RESOURCE = "https://docs.example.com/mcp"
OTHERS = "https://mail.example.com/mcp"


def warnings_about(resources: Mapping[str, str | None]) -> tuple[str, ...]:
    routes = {name: {"tools": ["a"], "resource": resource} for name, resource in resources.items()}
    issuers = [{"issuer": "https://login.example.com"}]
    return Policy.from_mapping(
        {"clients": {"allowed_ips": ["10.0.0.0/8"]}, "oauth": {"issuers": issuers}, "routes": routes}
    ).warnings


@pytest.mark.parametrize(
    ("resources", "warned"),
    [
        pytest.param(
            {"docs.example.com": RESOURCE, "wiki.example.com": RESOURCE},
            [("wiki", "docs")],
            id="both by their word",
        ),
        pytest.param(
            {"docs.example.com": None, "wiki.example.com": RESOURCE},
            [("wiki", "docs")],
            id="the second by its word, the first by its own URL",
        ),
        pytest.param(
            {"wiki.example.com": RESOURCE, "docs.example.com": None},
            [("docs", "wiki")],
            id="the first by its word, the second by its own URL",
        ),
        pytest.param(
            dict.fromkeys(["docs.example.com", "wiki.example.com", "mail.example.com"], RESOURCE),
            [("wiki", "docs"), ("mail", "docs")],
            id="three of them",
        ),
        pytest.param(
            {
                "docs.example.com": RESOURCE,
                "mail.example.com": OTHERS,
                "wiki.example.com": RESOURCE,
                "post.example.com": OTHERS,
            },
            [("wiki", "docs"), ("post", "mail")],
            id="two and two",
        ),
        pytest.param({"docs.example.com": None, "wiki.example.com": None}, [], id="none"),
        pytest.param(
            {"docs.example.com": RESOURCE, "wiki.example.com": OTHERS}, [], id="each its own by its word"
        ),
    ],
)
@pytest.mark.promise("token-for-this-server")
def test_routes_with_one_resource_are_warned_about(
    resources: Mapping[str, str | None], warned: list[tuple[str, str]]
) -> None:
    assert warnings_about(resources) == tuple(
        f'routes."{name}.example.com".resource: is that of routes."{owner}.example.com", '
        "so a token for one passes at the other"
        for name, owner in warned
    )


def test_a_route_without_an_endpoint_takes_no_token_and_shares_no_resource() -> None:
    policy = Policy.from_mapping(
        {
            "clients": {"allowed_ips": ["10.0.0.0/8"]},
            "oauth": {"issuers": [{"issuer": "https://login.example.com"}]},
            "routes": {
                "docs.example.com": {"tools": ["a"]},
                "wiki.example.com": {"public_paths": ["/healthz"], "resource": RESOURCE},
            },
        }
    )

    assert not [each for each in policy.warnings if "passes at the other" in each]


def test_a_route_of_public_paths_alone_warns_of_nothing() -> None:
    assert warnings_of({"public_paths": ["/healthz"]}) == ()
