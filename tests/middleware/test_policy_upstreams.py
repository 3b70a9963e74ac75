"""Remote servers in a policy: where they are, how they are asked, and what is warned about."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from tunnelgate import ConfigurationError, Policy, Route, RouteUpstream, Upstreams, UpstreamTls

URL = "http://wiki.internal:9000"
HTTPS = "https://wiki.internal:9443"
GATE: Mapping[str, Any] = {
    "tunnel_domain": "tunnel.example.com",
    "clients": {"allowed_ips": ["10.0.0.0/8"]},
    "oauth": {"issuers": [{"issuer": "https://login.example.com", "jwks_file": "jwks.json"}]},
}
RFC1918 = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")


def policy(remote: Any = URL, route: Mapping[str, Any] = {}, **gate: Any) -> Policy:
    wiki = {"tools": ["search"], "upstream": remote, **route}
    return Policy.from_mapping({**GATE, **gate, "routes": {"wiki": wiki}})


def upstream_of(made: Policy) -> RouteUpstream:
    upstream = made.routes["wiki"].upstream
    assert upstream is not None
    return upstream


def faults(remote: Any = URL, route: Mapping[str, Any] = {}, **gate: Any) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        policy(remote, route, **gate)
    return [str(fault) for fault in caught.value.faults]


def test_what_is_not_said_of_upstreams_has_the_documented_default() -> None:
    made = policy()

    assert made.upstream == Upstreams(
        allowed_ips=RFC1918,
        disable_ip_validation=False,
        allow_wide_networks=False,
        allow_metadata=(),
        allow_wrapped=(),
        tls=UpstreamTls(ca_file=None, include_system_cas=False, cert_file=None, key_file=None),
    )
    assert upstream_of(made) == RouteUpstream(
        url=URL,
        allowed_ips=None,
        tls=None,
        preserve_host=False,
        forward_cookies=False,
        oauth_discovery=False,
        connect_timeout=5,
        read_timeout=120,
        idle_timeout=600,
        total_timeout=3600,
        max_calls=100,
        max_streams=1000,
        max_failures=5,
        retry_after=5,
    )
    assert made.warnings == ()


def test_a_url_alone_is_an_upstream_with_nothing_else() -> None:
    assert policy(URL) == policy({"url": URL}) == policy(RouteUpstream(url=URL))
    assert Route.model_validate({"upstream": URL}) == Route(upstream=RouteUpstream(url=URL))
    assert policy(None, {"mount": "shop.docs:create_app"}).routes["wiki"].upstream is None


@pytest.mark.parametrize(
    ("name", "value", "kept"),
    [
        pytest.param(
            "allowed_ips", ["10.1.2.0/24", "172.16.0.1"], ("10.1.2.0/24", "172.16.0.1"), id="networks"
        ),
        pytest.param("allowed_ips", None, None, id="no networks of its own"),
        pytest.param("tls", None, None, id="no TLS of its own"),
        pytest.param("preserve_host", True, True, id="the client's Host"),
        pytest.param("forward_cookies", "yes", True, id="cookies, as a variable says it"),
        pytest.param("oauth_discovery", "true", True, id="discovery, as a variable says it"),
        pytest.param("connect_timeout", 0.01, 0.01, id="the shortest time to connect"),
        pytest.param("connect_timeout", "24h", 86400, id="the longest time to connect"),
        pytest.param("connect_timeout", "1m30s", 90, id="a duration"),
        pytest.param("read_timeout", 0.01, 0.01, id="the shortest time for an answer"),
        pytest.param("read_timeout", 86400, 86400, id="the longest time for an answer"),
        pytest.param("idle_timeout", "1s", 1, id="a short time between events"),
        pytest.param("idle_timeout", "24h", 86400, id="the longest time between events"),
        pytest.param("total_timeout", "24h", 86400, id="the longest call"),
        pytest.param("total_timeout", "0.5", None, id="a fraction in a text"),
        pytest.param("max_calls", 1, 1, id="one call"),
        pytest.param("max_calls", 1_000_000, 1_000_000, id="the most calls"),
        pytest.param("max_streams", 1, 1, id="one stream"),
        pytest.param("max_streams", "1000000", 1_000_000, id="the most streams, as a variable says it"),
        pytest.param("max_failures", 1, 1, id="one failure"),
        pytest.param("max_failures", 1_000_000, 1_000_000, id="the most failures"),
        pytest.param("retry_after", 0.01, 0.01, id="the shortest rest"),
        pytest.param("retry_after", "24h", 86400, id="the longest rest"),
    ],
)
def test_a_setting_of_an_upstream_at_its_bound_is_used(name: str, value: Any, kept: Any) -> None:
    if isinstance(value, str) and kept is None:
        assert faults({"url": URL, name: value}) == [
            f"routes.wiki.upstream.{name} = {value!r}: is not a duration such as 30s or 5m"
        ]
    else:
        assert getattr(upstream_of(policy({"url": URL, name: value})), name) == kept


DURATION = "is not a duration such as 30s or 5m"
SWITCH = "is neither true nor false"
NO_SWITCH: tuple[Any, ...] = ("perhaps", None, 7, ["yes"])
COUNT = "is not a whole number"


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        *(
            pytest.param(name, value, sentence, id=f"{name} {what}")
            for name in ("connect_timeout", "read_timeout", "idle_timeout", "total_timeout", "retry_after")
            for value, sentence, what in (
                (0, "is less than 0.01", "of no time"),
                ("0s", "is less than 0.01", "of no seconds"),
                (0.009, "is less than 0.01", "too short"),
                (-1, "is less than 0.01", "of less than no time"),
                ("24h1s", "is more than 86400", "too long"),
                (float("inf"), "is more than 86400", "without end"),
                (float("nan"), "is less than 0.01", "of no number"),
                ("5", DURATION, "without a unit"),
                ("soon", DURATION, "of a word"),
                ("1d", DURATION, "in days"),
                (None, "is not a number", "of null"),
                ([5], "is not a number", "in a list"),
            )
        ),
        *(
            pytest.param(name, value, sentence, id=f"{name} {what}")
            for name in ("max_calls", "max_streams", "max_failures")
            for value, sentence, what in (
                (0, "is less than 1", "of none"),
                (-1, "is less than 1", "of less than none"),
                (1_000_001, "is more than 1000000", "too many"),
                (1.5, COUNT, "of a fraction"),
                ("many", COUNT, "of a word"),
                (None, COUNT, "of null"),
            )
        ),
        *(
            pytest.param(name, value, SWITCH, id=f"{name} {value!r}")
            for name in ("preserve_host", "forward_cookies", "oauth_discovery")
            for value in NO_SWITCH
        ),
    ],
)
@pytest.mark.promise("whole-configuration")
def test_a_setting_of_an_upstream_past_its_bound_is_one_fault(name: str, value: Any, sentence: str) -> None:
    assert faults({"url": URL, name: value}) == [f"routes.wiki.upstream.{name} = {value!r}: {sentence}"]


@pytest.mark.parametrize("tls", ["ca.pem", ["ca.pem"], 7, True])
def test_tls_that_is_no_mapping_is_a_fault(tls: Any) -> None:
    told = f"upstream.tls = {tls!r}: is not a mapping"

    assert faults({"url": HTTPS, "tls": tls})[0] == f"routes.wiki.{told}"
    assert faults(upstream={"tls": tls}) == [told]


@pytest.mark.parametrize("where", ["upstream.tls", "routes.wiki.upstream.tls"])
@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        *(
            pytest.param(name, value, "is not the name of a file", id=f"{name} {value!r}")
            for name in ("ca_file", "cert_file", "key_file")
            for value in ("", 7, ["ca.pem"], True)
        ),
        pytest.param("include_system_cas", "some", SWITCH, id="some of the system's"),
        pytest.param("include_system_cas", None, SWITCH, id="null of the system's"),
    ],
)
def test_a_bad_file_for_tls_is_a_fault(where: str, name: str, value: Any, sentence: str) -> None:
    tls = {"ca_file": "ca.pem", "cert_file": "a.pem", "key_file": "a.key", name: value}
    told = (
        faults(HTTPS, upstream={"tls": tls})
        if where == "upstream.tls"
        else faults({"url": HTTPS, "tls": tls})
    )

    assert told == [f"{where}.{name} = {value!r}: {sentence}"]


@pytest.mark.parametrize(
    ("upstream", "told"),
    [
        pytest.param(7, "upstream = 7: is not a mapping", id="a number"),
        pytest.param(True, "upstream = True: is not a mapping", id="true"),
        pytest.param([URL], f"upstream = ['{URL}']: is not a mapping", id="a list"),
        pytest.param({}, "upstream.url: is required", id="an empty mapping"),
        pytest.param({"url": None}, "upstream.url = None: is not a text", id="null for a URL"),
        pytest.param({"url": 9000}, "upstream.url = 9000: is not a text", id="a port for a URL"),
        pytest.param({"url": [URL]}, f"upstream.url = ['{URL}']: is not a text", id="a list for a URL"),
        pytest.param(
            "http://wiki.internal",
            "upstream.url = 'http://wiki.internal': invalid upstream (must be scheme://host:port)",
            id="a URL without a port",
        ),
        pytest.param(
            {"url": "http://wiki.internal:9000/mcp"},
            "upstream.url = 'http://wiki.internal:9000/mcp': invalid upstream (must be scheme://host:port)",
            id="a URL with a path",
        ),
        pytest.param(
            "http://wiki.internal:22",
            "upstream.url = 'http://wiki.internal:22': is the port of ssh, which is never sent a request",
            id="a port that is never dialled",
        ),
        pytest.param(
            "http://[fd00::1::2]:9000",
            "upstream.url = 'http://[fd00::1::2]:9000': has no IPv6 address in its brackets",
            id="an IPv6 address that is none",
        ),
    ],
)
@pytest.mark.promise("whole-configuration")
def test_an_upstream_that_is_none_is_one_fault(upstream: Any, told: str) -> None:
    assert faults(upstream) == [f"routes.wiki.{told}"]


@pytest.mark.parametrize(
    "url",
    [
        "http://gate:hunter2@wiki.internal:9000",
        "https://gate:hunter2@wiki.internal:9443/mcp",
        "http://hunter2@wiki:22",
        "https://:hunter2@wiki.internal:9443",
    ],
)
@pytest.mark.parametrize("is_short", [True, False], ids=["short", "in full"])
def test_who_writes_a_password_into_the_url_of_an_upstream_does_not_find_it_in_the_fault(
    url: str,
    is_short: bool,  # noqa: FBT001
) -> None:
    told = faults(url if is_short else {"url": url})

    assert told[0].startswith("routes.wiki.upstream.url = 'http")
    assert "hunter2" not in "".join(told)


def test_a_route_has_a_mount_or_an_upstream() -> None:
    mount = {"mount": "shop.docs:create_app"}

    assert faults(URL, mount) == ["routes.wiki: has mount and upstream; which one is meant?"]
    assert faults({"url": URL}, mount) == faults(URL, mount)
    assert policy(None, mount).routes["wiki"].mount == "shop.docs:create_app"


def test_options_are_for_a_mount() -> None:
    (told,) = faults(URL, {"options": {"folder": "docs"}})

    assert told.startswith("routes.wiki.options: means nothing beside ")
    assert policy(URL, {"options": {}}) == policy()


@pytest.mark.parametrize(
    ("upstream", "gate", "told"),
    [
        pytest.param(
            {"url": URL, "conect_timeout": "5s"},
            {},
            "routes.wiki.upstream.conect_timeout = '5s': is not a key; connect_timeout is",
            id="a key of an upstream",
        ),
        pytest.param(
            {"url": URL, "allowed_ip": []},
            {},
            "routes.wiki.upstream.allowed_ip = []: is not a key; allowed_ips is",
            id="its networks",
        ),
        pytest.param(
            {"url": URL, "disable_ip_validation": True},
            {},
            "routes.wiki.upstream.disable_ip_validation = True: is not a key",
            id="a key of the gate's at the route",
        ),
        pytest.param(
            {"url": HTTPS, "tls": {"ca_file": "a", "ca_files": "b"}},
            {},
            "routes.wiki.upstream.tls.ca_files = 'b': is not a key; ca_file is",
            id="a key of its TLS",
        ),
        pytest.param(
            {"url": HTTPS, "tls": {"ca_file": "a", "client_ca_file": "b"}},
            {},
            "routes.wiki.upstream.tls.client_ca_file = 'b': is not a key; cert_file is",
            id="a key of the listener's TLS",
        ),
        pytest.param(
            URL,
            {"upstream": {"allowed_ip": []}},
            "upstream.allowed_ip = []: is not a key; allowed_ips is",
            id="a key of all upstreams",
        ),
        pytest.param(
            URL,
            {"upstream": {"disable_ip_validaton": True}},
            "upstream.disable_ip_validaton = True: is not a key; disable_ip_validation is",
            id="the long one",
        ),
        pytest.param(
            URL, {"upstream": {"url": URL}}, f"upstream.url = '{URL}': is not a key", id="a URL for all"
        ),
        pytest.param(
            URL,
            {"upstream": {"max_calls": 7}},
            "upstream.max_calls = 7: is not a key",
            id="a key of a route's at the gate",
        ),
        pytest.param(
            URL,
            {"upstream": {"tls": {"ca_fil": "a"}}},
            "upstream.tls.ca_fil = 'a': is not a key; ca_file is",
            id="a key of TLS of all upstreams",
        ),
        pytest.param(
            URL,
            {"tls": {"cert_file": "a", "key_file": "b", "client_ca_fil": "c"}},
            "tls.client_ca_fil = 'c': is not a key; client_ca_file is",
            id="a key of the listener",
        ),
        pytest.param(URL, {"upstreams": {}}, "upstreams = {}: is not a key; upstream is", id="a section"),
        pytest.param(
            URL, {"socketmode": "0660"}, "socketmode = '0660': is not a key; socket_mode is", id="a mode"
        ),
        pytest.param(
            URL,
            {"clients": {"allowed_ips": ["::1"], "trusted_proxy": ["::1"]}},
            "clients.trusted_proxy = ['::1']: is not a key; trusted_proxies is",
            id="a key of clients",
        ),
        pytest.param(
            URL,
            {"clients": {"allowed_ips": ["::1"], "adress_from": "peer"}},
            "clients.adress_from = 'peer': is not a key; address_from is",
            id="another one",
        ),
        pytest.param(
            URL,
            {"oauth": {**GATE["oauth"], "allow_ips": ["::1"]}},
            "oauth.allow_ips = ['::1']: is not a key; allowed_ips is",
            id="a key of issuers",
        ),
    ],
)
@pytest.mark.promise("whole-configuration")
def test_a_key_that_does_not_exist_is_a_fault_with_the_nearest_of_its_section(
    upstream: Any, gate: dict[str, Any], told: str
) -> None:
    assert faults(upstream, **gate) == [told]


@pytest.mark.parametrize(
    ("route", "told"),
    [
        pytest.param(
            {"upstreem": URL},
            "routes.wiki.upstreem = 'http://wiki.internal:9000': is not a key; upstream is",
            id="a key of a route",
        ),
        pytest.param(
            {"clients": {"allowed_ips": ["10.0.0.0/8"], "allow_wide": True}},
            "routes.wiki.clients.allow_wide = True: is not a key; allow_wide_networks is",
            id="a key of its clients",
        ),
        pytest.param(
            {"oauth_discovery": True}, "routes.wiki.oauth_discovery = True: is not a key", id="one too high"
        ),
    ],
)
def test_a_key_of_a_route_that_does_not_exist_is_a_fault(route: dict[str, Any], told: str) -> None:
    assert faults(URL, route) == [told]


CONFIGURATION = """
    tunnel_domain: tunnel.example.com
    clients: {allowed_ips: [10.0.0.0/8]}
    oauth: {issuers: [{issuer: "https://login.example.com", jwks_file: jwks.json}]}
    upstream:
      tls: {ca_file: ca.pem, cert_file: ../gate.pem, key_file: /run/secrets/gate.key}
    routes:
      wiki: {tools: [search], upstream: "http://wiki.internal:9000"}
      mail:
        tools: [search]
        upstream:
          url: https://mail.internal:9443
          allowed_ips: [10.1.0.0/16]
          tls: {ca_file: mail.pem, cert_file: mail-gate.pem, key_file: mail-gate.key}
    """


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "gate.yaml"
    path.write_text(CONFIGURATION, "utf-8")
    return path


def test_certificates_that_the_file_names_lie_beside_it(file: Path) -> None:
    made = Policy.from_file(file, {})

    mail = made.routes["mail"].upstream
    assert made.upstream.tls == UpstreamTls(
        ca_file=file.parent / "ca.pem",
        cert_file=file.parent / "../gate.pem",
        key_file="/run/secrets/gate.key",
    )
    assert mail is not None
    assert mail.tls == UpstreamTls(
        ca_file=file.parent / "mail.pem",
        cert_file=file.parent / "mail-gate.pem",
        key_file=file.parent / "mail-gate.key",
    )


def test_variables_lie_over_what_the_file_says_of_upstreams(file: Path) -> None:
    made = Policy.from_file(
        file,
        {
            "TUNNELGATE_UPSTREAM__ALLOWED_IPS": '["192.0.2.0/24", "0.0.0.0/0"]',
            "TUNNELGATE_UPSTREAM__ALLOW_WIDE_NETWORKS": "true",
            "TUNNELGATE_UPSTREAM__TLS__INCLUDE_SYSTEM_CAS": "yes",
            "TUNNELGATE_ROUTES__WIKI__UPSTREAM__MAX_CALLS": "5",
            "TUNNELGATE_ROUTES__WIKI__UPSTREAM__READ_TIMEOUT": "90s",
            "TUNNELGATE_ROUTES__MAIL__UPSTREAM__URL": "https://post.internal:9443",
            "TUNNELGATE_ROUTES__MAIL__UPSTREAM__TLS__CA_FILE": "/run/secrets/post.pem",
            "TUNNELGATE_CLIENTS__ADDRESS_FROM": "cf-connecting-ip",
            "TUNNELGATE_CLIENTS__TRUST_UNIX_SOCKET": "true",
            "TUNNELGATE_LISTEN_ADDR": "unix:/run/gate.sock",
            "TUNNELGATE_SOCKET_MODE": "0660",
            "TUNNELGATE_OAUTH__ALLOWED_IPS": '["10.7.0.1"]',
        },
    )

    mail = made.routes["mail"].upstream
    assert made.upstream.allowed_ips == ("192.0.2.0/24", "0.0.0.0/0")
    assert (made.upstream.tls.ca_file, made.upstream.tls.include_system_cas) == (file.parent / "ca.pem", True)
    assert upstream_of(made) == RouteUpstream(url=URL, max_calls=5, read_timeout=90)
    assert mail is not None
    assert mail.tls is not None
    assert (mail.url, mail.allowed_ips) == ("https://post.internal:9443", ("10.1.0.0/16",))
    assert (mail.tls.ca_file, mail.tls.key_file) == (
        Path("/run/secrets/post.pem"),
        file.parent / "mail-gate.key",
    )
    assert (made.clients.address_from, made.clients.trust_unix_socket) == ("cf-connecting-ip", True)
    assert (made.listen_addr, made.socket_mode) == ("unix:/run/gate.sock", 0o660)
    assert made.oauth is not None
    assert made.oauth.allowed_ips == ("10.7.0.1",)


def test_a_variable_that_says_another_url_takes_nothing_else_away(file: Path) -> None:
    made = Policy.from_file(file, {"TUNNELGATE_ROUTES__MAIL__UPSTREAM": "https://post.internal:9443"})

    mail = made.routes["mail"].upstream
    assert mail is not None
    assert (mail.url, mail.allowed_ips) == ("https://post.internal:9443", ("10.1.0.0/16",))
    assert mail.tls is not None


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        pytest.param(
            {"TUNNELGATE_UPSTREAM__ALLOWED_IPS": "10.0.0.0/8"},
            "upstream.allowed_ips = '10.0.0.0/8': is not a list",
            id="a text for a list",
        ),
        pytest.param(
            {"TUNNELGATE_ROUTES__WIKI__UPSTREAM__MAX_CALL": "5"},
            "routes.wiki.upstream.max_call = '5': is not a key; max_calls is",
            id="a typo",
        ),
        pytest.param(
            {"TUNNELGATE_ROUTES__WIKI__UPSTREAM__READ_TIMEOUT": "5"},
            "routes.wiki.upstream.read_timeout = '5': is not a duration such as 30s or 5m",
            id="a number of seconds, of which nobody says that they are",
        ),
        pytest.param(
            {"TUNNELGATE_SOCKET_MODE": "0660"},
            "socket_mode = '0660': means nothing unless listen_addr is a Unix socket",
            id="permissions of no socket",
        ),
    ],
)
def test_a_variable_for_upstreams_that_cannot_be_used_is_told(
    file: Path, environment: dict[str, str], told: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Policy.from_file(file, environment)

    assert [str(fault) for fault in caught.value.faults] == [told]


@pytest.mark.parametrize(
    ("gate", "warned"),
    [
        pytest.param({}, [], id="what is closed by default"),
        pytest.param(
            {"clients": {"allowed_ips": ["0.0.0.0/0"], "allow_wide_networks": True}},
            ["clients.allow_wide_networks: clients may come from almost anywhere"],
            id="clients from everywhere",
        ),
        pytest.param(
            {
                "clients": {
                    "allowed_ips": ["10.0.0.0/8"],
                    "address_from": "forwarded",
                    "trusted_proxies": ["::/0"],
                    "trust_wide_networks": True,
                }
            },
            [
                (
                    "clients.trust_wide_networks: almost anybody may say in a header which address they come "
                    "from, so clients.allowed_ips keeps nobody out"
                )
            ],
            id="proxies from everywhere",
        ),
        pytest.param(
            {"upstream": {"allowed_ips": ["0.0.0.0/0"], "allow_wide_networks": True}},
            [
                (
                    "upstream.allow_wide_networks: whoever answers for an upstream's name says where "
                    "the gate connects to"
                )
            ],
            id="upstreams everywhere",
        ),
        pytest.param(
            {"upstream": {"disable_ip_validation": True}},
            [
                (
                    "upstream.disable_ip_validation: whoever answers for an upstream's name says where "
                    "the gate connects to"
                )
            ],
            id="upstreams that nobody checks",
        ),
        pytest.param(
            {"upstream": {"allowed_ips": ["169.254.0.0/16"], "allow_metadata": ["169.254.169.254"]}},
            ["upstream.allow_metadata: 169.254.169.254 may be connected to as well"],
            id="a metadata service",
        ),
        pytest.param(
            {
                "upstream": {
                    "allowed_ips": ["64:ff9b::/96", "2002::/16"],
                    "allow_wrapped": ["64:ff9b::/96", "2002::/16"],
                }
            },
            ["upstream.allow_wrapped: 64:ff9b::/96, 2002::/16 may be connected to as well"],
            id="addresses that carry others",
        ),
        pytest.param(
            {
                "listen_addr": "unix:/run/gate.sock",
                "clients": {
                    "allowed_ips": ["10.0.0.0/8"],
                    "address_from": "forwarded",
                    "trust_unix_socket": True,
                },
            },
            [],
            id="a Unix socket",
        ),
    ],
)
def test_what_is_allowed_by_an_explicit_word_is_warned_about(gate: dict[str, Any], warned: list[str]) -> None:
    assert list(policy(**gate).warnings) == warned


def test_a_route_that_narrows_clients_to_everywhere_is_warned_about() -> None:
    clients = {"allowed_ips": ["0.0.0.0/0"], "allow_wide_networks": True}

    assert policy(URL, {"clients": clients}).warnings == (
        "routes.wiki.clients.allow_wide_networks: the route narrows the gate's clients to almost anywhere",
    )


def test_warnings_of_addresses_come_first_and_all_of_them() -> None:
    made = policy(
        URL,
        {"tools": "*", "allow_all_tools": True},
        clients={
            "allowed_ips": ["::/0"],
            "allow_wide_networks": True,
            "address_from": "forwarded",
            "trusted_proxies": ["::/0"],
            "trust_wide_networks": True,
        },
        upstream={
            "disable_ip_validation": True,
            "allow_metadata": ["fe80::/10"],
            "allow_wrapped": ["2002::/16"],
        },
    )

    assert [each.partition(": ")[0] for each in made.warnings] == [
        "clients.allow_wide_networks",
        "clients.trust_wide_networks",
        "upstream.disable_ip_validation",
        "upstream.allow_metadata",
        "upstream.allow_wrapped",
        "routes.wiki.tools",
    ]


WELL_KNOWN = ("/.well-known/oauth-authorization-server", "/.well-known/openid-configuration")


@pytest.mark.parametrize(
    ("upstream", "route", "paths"),
    [
        pytest.param(URL, {}, (), id="nothing by default"),
        pytest.param(URL, {"public_paths": ["/healthz"]}, ("/healthz",), id="public paths"),
        pytest.param(
            {"url": URL, "oauth_discovery": False},
            {"public_paths": ["/healthz"]},
            ("/healthz",),
            id="no discovery",
        ),
        pytest.param(
            {"url": URL, "oauth_discovery": True},
            {},
            (
                "/.well-known/oauth-authorization-server",
                "/.well-known/oauth-authorization-server/mcp",
                "/.well-known/openid-configuration",
                "/.well-known/openid-configuration/mcp",
                "/mcp/.well-known/openid-configuration",
            ),
            id="the paths that MCP clients look at",
        ),
        pytest.param(
            {"url": URL, "oauth_discovery": True},
            {"path": "/v1/wiki", "public_paths": ["/authorize", "/.well-known/openid-configuration"]},
            (
                "/authorize",
                "/.well-known/openid-configuration",
                "/.well-known/oauth-authorization-server",
                "/.well-known/oauth-authorization-server/v1/wiki",
                "/.well-known/openid-configuration/v1/wiki",
                "/v1/wiki/.well-known/openid-configuration",
            ),
            id="those of another endpoint, and each once",
        ),
    ],
)
def test_discovery_opens_the_paths_of_an_authorization_server_and_no_others(
    upstream: Any, route: dict[str, Any], paths: tuple[str, ...]
) -> None:
    assert policy(upstream, route).routes["wiki"].open_paths == paths


@pytest.mark.parametrize("said", [True, "true", "yes"])
def test_an_upstream_may_serve_its_discovery_alone(said: Any) -> None:
    made = policy({"url": URL, "oauth_discovery": said}, {"tools": None}, oauth=None)

    assert not made.routes["wiki"].speaks_mcp
    assert len(made.routes["wiki"].open_paths) == len(WELL_KNOWN) * 2 + 1


@pytest.mark.parametrize(
    ("upstream", "route"),
    [
        pytest.param({"url": URL, "oauth_discovery": False}, {}, id="of which something else is said"),
        pytest.param(URL, {"path": "/wiki"}, id="of a route of which something else is said"),
    ],
)
@pytest.mark.promise("closed-by-default")
def test_an_upstream_without_a_list_is_a_fault(upstream: Any, route: dict[str, Any]) -> None:
    assert faults(upstream, {**route, "tools": None}) == [
        "routes.wiki: lists neither tools nor public_paths, so it would serve nothing"
    ]


@pytest.mark.parametrize("section", [Upstreams, RouteUpstream, UpstreamTls], ids=lambda each: each.__name__)
def test_a_section_says_what_its_settings_mean(section: type[BaseModel]) -> None:
    documented = section.__doc__ or ""

    assert len(documented.split()) > 10
    for name in re.findall(r"``([a-z_]+)``", documented):
        assert name in (*section.model_fields, "https")
