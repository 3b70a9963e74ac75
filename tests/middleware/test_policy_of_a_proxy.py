"""A file of Anthropic's proxy is a policy as it is, and refuses every tool until some are listed."""

from pathlib import Path
from typing import Any

import pytest

from tests.support.tokens import jwks
from tunnelgate import Clients, ConfigurationError, Policy, Route

WHOLE = """
listen_addr: ":8080"
log_level: warn
shutdown_timeout: 45s
tunnel_domain: abcd1234.tunnel.example.com
tls:
  cert_file: /data/tls.crt
  key_file: /data/tls.key
routes:
  docs: http://docs-mcp:9000
  wiki.example.com: https://10.0.12.7:9443
upstream:
  allowed_ips: [10.0.0.0/8, 127.0.0.1]
  tls:
    ca_file: /data/upstream-ca.crt
    include_system_cas: true
"""
SMALLEST = """
listen_addr: ":8080"
tls: {cert_file: tls.crt, key_file: tls.key}
routes: {docs.example.com: "http://10.0.0.7:9000"}
upstream: {disable_ip_validation: true}
"""
IS_REQUIRED = "clients: is required"
URL = "http://10.0.0.7:9000"


def loaded(folder: Path, content: str, **environment: str) -> Policy:
    file = folder / "config.yaml"
    file.write_text(content, "utf-8")
    return Policy.from_file(file, environment)


def faults(**data: Any) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        Policy.from_mapping(data)
    return [str(fault) for fault in caught.value.faults]


def test_every_setting_of_the_proxy_has_its_meaning(tmp_path: Path) -> None:
    made = loaded(tmp_path, WHOLE)

    assert (made.listen_addr, made.log_level, made.shutdown_timeout) == (":8080", "warn", 45)
    assert made.tls is not None
    assert (made.tls.cert_file, made.tls.key_file) == (Path("/data/tls.crt"), Path("/data/tls.key"))
    assert made.hostnames("docs") == ("docs.abcd1234.tunnel.example.com",)
    assert made.hostnames("wiki.example.com")[0] == "wiki.example.com"
    assert [each.upstream and each.upstream.url for each in made.routes.values()] == [
        "http://docs-mcp:9000",
        "https://10.0.12.7:9443",
    ]
    assert made.upstream.allowed_ips == ("10.0.0.0/8", "127.0.0.1")
    assert made.upstream.tls.ca_file == Path("/data/upstream-ca.crt")
    assert made.upstream.tls.include_system_cas


def test_the_smallest_file_loads(tmp_path: Path) -> None:
    made = loaded(tmp_path, SMALLEST)

    assert made.upstream.disable_ip_validation
    assert made.transport is None


@pytest.mark.promise("closed-by-default")
def test_a_route_that_is_a_url_alone_allows_nothing_and_says_so(tmp_path: Path) -> None:
    made = loaded(tmp_path, WHOLE)

    assert not any(route.speaks_mcp or route.open_paths for route in made.routes.values())
    assert [warning for warning in made.warnings if "lists no tools" in warning] == [
        f"{path}: lists no tools, so every request for it is refused; `tunnelgate import` proposes a list"
        for path in ("routes.docs", 'routes."wiki.example.com"')
    ]


def test_without_clients_only_this_machine_may_connect(tmp_path: Path) -> None:
    assert loaded(tmp_path, WHOLE).clients == Clients(allowed_ips=["127.0.0.0/8", "::1"])


@pytest.mark.promise("closed-by-default")
def test_as_soon_as_something_is_listed_somebody_has_to_say_who_may_connect(tmp_path: Path) -> None:
    listed = f"{SMALLEST}oauth: {{issuers: [{{issuer: https://login.example.com, jwks_file: k}}]}}\n"

    with pytest.raises(ConfigurationError, match=IS_REQUIRED):
        loaded(tmp_path, listed, TUNNELGATE_ROUTES='{"docs.example.com": {"tools": ["search"]}}')


def test_a_variable_can_list_the_tools_of_such_a_route(tmp_path: Path) -> None:
    (tmp_path / "jwks.json").write_bytes(jwks("ES256"))

    made = loaded(
        tmp_path,
        SMALLEST,
        TUNNELGATE_CLIENTS='{"allowed_ips": ["127.0.0.1"]}',
        TUNNELGATE_OAUTH='{"issuers": [{"issuer": "https://login.example.com", "jwks_file": "k"}]}',
        TUNNELGATE_ROUTES='{"docs.example.com": {"tools": ["search"]}}',
    )

    route = made.routes["docs.example.com"]
    assert (route.tools, route.upstream and route.upstream.url) == (("search",), URL)


@pytest.mark.parametrize(
    "route",
    [
        pytest.param(URL, id="the URL"),
        pytest.param({"upstream": URL}, id="the URL as its upstream"),
        pytest.param({"upstream": {"url": URL}}, id="the same in full"),
        pytest.param(Route(upstream=URL), id="a section"),  # pyright: ignore[reportArgumentType] - a URL is taken as well
    ],
)
def test_a_route_may_be_its_upstream_alone(route: Any) -> None:
    made = Policy.from_mapping({"routes": {"docs.example.com": route}})

    upstream = made.routes["docs.example.com"].upstream
    assert upstream is not None
    assert upstream.url == URL


@pytest.mark.parametrize(
    ("routes", "found"),
    [
        pytest.param({"a.example.com": {"public_paths": ["/x"]}}, [IS_REQUIRED], id="a public path"),
        pytest.param(
            {"a.example.com": URL, "b.example.com": {"public_paths": ["/x"]}},
            [IS_REQUIRED],
            id="one of two routes that lists something",
        ),
        pytest.param({}, ["routes = {}: is empty, which would allow nothing", IS_REQUIRED], id="no route"),
        pytest.param(
            [URL],
            [f"routes = ['{URL}']: is not a mapping", IS_REQUIRED],
            id="a list of routes",
        ),
        pytest.param(
            {"a.example.com": "http://10.0.0.7:9000/mcp"},
            [
                (
                    f"routes.\"a.example.com\".upstream.url = '{URL}/mcp': "
                    "invalid upstream (must be scheme://host:port)"
                )
            ],
            id="a URL with a path",
        ),
    ],
)
def test_clients_may_be_left_out_only_where_every_route_is_a_url(routes: Any, found: list[str]) -> None:
    assert faults(routes=routes) == found


@pytest.mark.parametrize(
    ("transport", "tls", "found"),
    [
        pytest.param(
            "http",
            {"cert_file": "a", "key_file": "b"},
            ["tls: means nothing where transport is http"],
            id="a certificate for HTTP in the clear",
        ),
        pytest.param(
            "tls",
            None,
            ["transport = 'tls': needs tls: a certificate, and its key"],
            id="TLS without a certificate",
        ),
        pytest.param(
            "tunnel",
            None,
            ["transport = 'tunnel': needs tls: a certificate, and its key"],
            id="a tunnel without a certificate",
        ),
        pytest.param("wss", None, ["transport = 'wss': is not 'http', 'tls' or 'tunnel'"], id="another word"),
    ],
)
def test_what_is_spoken_fits_the_certificate(transport: str, tls: Any, found: list[str]) -> None:
    assert faults(routes={"docs.example.com": URL}, transport=transport, tls=tls) == found


@pytest.mark.parametrize("transport", ["tls", "tunnel", None])
def test_with_a_certificate_tls_or_a_tunnel_or_both_are_spoken(transport: str | None) -> None:
    tls = {"cert_file": "a", "key_file": "b"}

    made = Policy.from_mapping({"routes": {"a.example.com": URL}, "transport": transport, "tls": tls})

    assert made.transport == transport
