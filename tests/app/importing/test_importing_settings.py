"""Each setting of the proxy is carried over with its meaning."""

from typing import Any

import pytest

from tunnelgate import Policy
from tunnelgate.configuration.sources import in_full
from tunnelgate_app.importing.proxy_file import ProxyFile
from tunnelgate_app.importing.settings import PLACEHOLDER_ISSUER, settings_of

ISSUER = "https://login.example.com/"
REQUIRED: dict[str, Any] = {
    "listen_addr": ":8080",
    "tls": {"cert_file": "tls.crt", "key_file": "tls.key"},
    "routes": {"docs.example.com": "http://10.0.0.7:9000"},
}


def carried(issuer: str = ISSUER, **settings: Any) -> dict[str, Any]:
    file = ProxyFile.model_validate({**REQUIRED, **settings})
    return dict(settings_of(file, issuer, lambda name: f"/there/{name}"))


def loaded(settings: dict[str, Any]) -> Policy:
    return Policy.from_mapping(in_full(settings))


def test_a_whole_file_is_carried_over_in_order() -> None:
    made = carried(
        log_level="warn",
        shutdown_timeout="1m30s",
        tunnel_domain="tunnel.example.com",
        upstream={"allowed_ips": ["10.0.0.0/8"], "tls": {"ca_file": "ca.pem", "include_system_cas": True}},
    )

    assert list(made) == [
        "listen_addr",
        "log_level",
        "shutdown_timeout",
        "tunnel_domain",
        "tls",
        "clients",
        "upstream",
        "oauth",
        "routes",
    ]
    assert made == {
        "listen_addr": ":8080",
        "log_level": "warn",
        "shutdown_timeout": "90s",
        "tunnel_domain": "tunnel.example.com",
        "tls": {"cert_file": "/there/tls.crt", "key_file": "/there/tls.key"},
        "clients": {"allowed_ips": ("127.0.0.0/8", "::1")},
        "upstream": {
            "allowed_ips": ("10.0.0.0/8",),
            "tls": {"ca_file": "/there/ca.pem", "include_system_cas": True},
        },
        "oauth": {"issuers": [{"issuer": ISSUER}]},
        "routes": {"docs.example.com": "http://10.0.0.7:9000"},
    }


def test_what_the_proxy_does_by_default_is_said_outright() -> None:
    made = carried()

    assert (made["log_level"], made["shutdown_timeout"]) == ("info", "30s")
    assert made["upstream"] == {"allowed_ips": ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")}


@pytest.mark.parametrize(
    ("upstream", "made"),
    [
        pytest.param({"disable_ip_validation": True}, {"disable_ip_validation": True}, id="no validation"),
        pytest.param(
            {"allowed_ips": ["0.0.0.0/0"]},
            {"allowed_ips": ("0.0.0.0/0",), "allow_wide_networks": True},
            id="every address",
        ),
        pytest.param(
            {"allowed_ips": ["10.0.0.0/8", "169.254.1.0/24"]},
            {"allowed_ips": ("10.0.0.0/8", "169.254.1.0/24"), "allow_metadata": ["169.254.1.0/24"]},
            id="a link-local network that was written down",
        ),
        pytest.param({"allowed_ips": ["127.0.0.1/32"]}, {"allowed_ips": ("127.0.0.1/32",)}, id="loopback"),
    ],
)
def test_what_needs_a_second_word_here_gets_it(upstream: Any, made: Any) -> None:
    carried_over = carried(upstream=upstream, routes={"docs.example.com": "http://docs:9000"})

    assert carried_over["upstream"] == made
    loaded(carried_over)


@pytest.mark.parametrize(
    ("timeout", "seconds"),
    [pytest.param("250ms", 0.25, id="a part of a second"), pytest.param("2h", 7200, id="hours")],
)
def test_a_duration_keeps_its_length(timeout: str, seconds: float) -> None:
    assert loaded(carried(shutdown_timeout=timeout)).shutdown_timeout == seconds


def test_nothing_is_listed_and_nobody_is_trusted_by_themselves() -> None:
    policy = loaded(carried(PLACEHOLDER_ISSUER))

    assert not any(route.speaks_mcp or route.open_paths for route in policy.routes.values())
    assert policy.oauth is not None
    assert [each.issuer for each in policy.oauth.issuers] == ["https://issuer.invalid/"]
