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


def test_a_route_of_public_paths_alone_warns_of_nothing() -> None:
    assert warnings_of({"public_paths": ["/healthz"]}) == ()
