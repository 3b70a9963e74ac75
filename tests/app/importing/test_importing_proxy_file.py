"""A file of Anthropic's proxy is read as strictly as our own, in the proxy's words where it has some."""

from pathlib import Path

import pytest

from tunnelgate import ConfigurationError
from tunnelgate_app.importing.proxy_file import ProxyFile, read_proxy_file

WHOLE = """
listen_addr: ":8080"
log_level: warn
shutdown_timeout: 1m30s
tunnel_domain: abcd1234.tunnel.example.com
tls:
  cert_file: /data/tls.crt
  key_file: tls.key
routes:
  docs: http://docs-mcp:9000
  wiki.example.com: https://10.0.12.7:9443
upstream:
  allowed_ips: [10.0.0.0/8, 127.0.0.1]
  tls:
    ca_file: ca.pem
    include_system_cas: true
"""
SMALLEST = """
listen_addr: ":8080"
tls: {cert_file: tls.crt, key_file: tls.key}
routes: {docs.example.com: "http://10.0.0.7:9000"}
"""


def read(folder: Path, content: str, tunnel_domain: str | None = None) -> ProxyFile:
    file = folder / "config.yaml"
    file.write_text(content, "utf-8")
    return read_proxy_file(file, tunnel_domain=tunnel_domain)


def faults(folder: Path, content: str) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        read(folder, content)
    return [str(fault) for fault in caught.value.faults]


def test_every_setting_is_read(tmp_path: Path) -> None:
    file = read(tmp_path, WHOLE)

    assert (file.listen_addr, file.log_level, file.shutdown_timeout) == (":8080", "warn", 90)
    assert file.tunnel_domain == "abcd1234.tunnel.example.com"
    assert (file.tls.cert_file, file.tls.key_file) == ("/data/tls.crt", "tls.key")
    assert dict(file.routes) == {
        "docs": "http://docs-mcp:9000",
        "wiki.example.com": "https://10.0.12.7:9443",
    }
    assert file.upstream.allowed_ips == ("10.0.0.0/8", "127.0.0.1")
    assert not file.upstream.disable_ip_validation
    assert (file.upstream.tls.ca_file, file.upstream.tls.include_system_cas) == ("ca.pem", True)


def test_what_is_not_said_is_what_the_proxy_takes(tmp_path: Path) -> None:
    file = read(tmp_path, SMALLEST)

    assert (file.log_level, file.shutdown_timeout, file.tunnel_domain) == ("info", 30, None)
    assert (file.upstream.allowed_ips, file.upstream.disable_ip_validation) == (None, False)
    assert (file.upstream.tls.ca_file, file.upstream.tls.include_system_cas) == (None, False)


def test_a_domain_that_the_proxy_is_told_by_its_flag_stands_in_place_of_the_file(tmp_path: Path) -> None:
    bare = SMALLEST.replace("docs.example.com", "docs")

    assert read(tmp_path, bare, "flag.example.com").tunnel_domain == "flag.example.com"
    assert read(tmp_path, WHOLE, "flag.example.com").tunnel_domain == "flag.example.com"


@pytest.mark.parametrize(
    ("duration", "seconds"),
    [
        pytest.param("30s", 30, id="seconds"),
        pytest.param("1h2m3s", 3723, id="hours, minutes and seconds"),
        pytest.param("1.5s", 1.5, id="a fraction"),
        pytest.param(".5m", 30, id="a fraction without a whole"),
        pytest.param("250ms", 0.25, id="milliseconds"),
        pytest.param("500us", 0.0005, id="microseconds"),
        pytest.param("500µs", 0.0005, id="microseconds with their letter"),
        pytest.param("0s", 0, id="none"),
    ],
)
def test_durations_are_those_of_go(tmp_path: Path, duration: str, seconds: float) -> None:
    file = read(tmp_path, f"{SMALLEST}\nshutdown_timeout: {duration}\n")

    assert file.shutdown_timeout == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("network", "read_as"),
    [
        pytest.param("10.1.0.0/16", "10.1.0.0/16", id="a network"),
        pytest.param("10.1.2.3", "10.1.2.3", id="an address"),
        pytest.param("10.1.2.3/8", "10.0.0.0/8", id="a network with bits behind its prefix"),
    ],
)
def test_networks_are_read_as_the_proxy_reads_them(tmp_path: Path, network: str, read_as: str) -> None:
    file = read(tmp_path, f"{SMALLEST}\nupstream: {{allowed_ips: [{network}]}}\n")

    assert file.upstream.allowed_ips == (read_as,)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        pytest.param(
            SMALLEST.replace('{docs.example.com: "http://10.0.0.7:9000"}', "[{name: docs}]"),
            ["routes = [{'name': 'docs'}]: cannot unmarshal !!seq into map[string]string"],
            id="routes as a list",
        ),
        pytest.param(
            SMALLEST.replace(':9000"}', ':9000", DOCS.example.com: "http://docs:1"}'),
            [
                (
                    "routes = {'docs.example.com': 'http://10.0.0.7:9000', 'DOCS.example.…: "
                    "has 'docs.example.com' twice; hostnames do not differ by case"
                )
            ],
            id="two names that differ by case",
        ),
        pytest.param(
            SMALLEST.replace(":9000", ":9000/mcp"),
            [
                (
                    "routes.\"docs.example.com\" = 'http://10.0.0.7:9000/mcp': "
                    "invalid upstream (must be scheme://host:port)"
                )
            ],
            id="an upstream with a path",
        ),
        pytest.param(
            SMALLEST.replace(":9000", ""),
            [
                (
                    "routes.\"docs.example.com\" = 'http://10.0.0.7': "
                    "invalid upstream (must be scheme://host:port)"
                )
            ],
            id="an upstream without a port",
        ),
        pytest.param(
            SMALLEST + "listen_address: x\nupstream: {allowed_ip: [10.0.0.0/8], tls: {cafile: a}}\n",
            [
                "upstream.tls.cafile = 'a': is not a key; ca_file is",
                "upstream.allowed_ip = ['10.0.0.0/8']: is not a key; allowed_ips is",
                "listen_address = 'x': is not a key; listen_addr is",
            ],
            id="keys that do not exist",
        ),
        pytest.param(
            SMALLEST + "oauth: {}\n",
            ["oauth = {}: is not a key"],
            id="a key that is ours and not the proxy's",
        ),
        pytest.param(
            "log_level: info\n",
            ["listen_addr: is required", "tls: is required", "routes: is required"],
            id="nothing that is required",
        ),
        pytest.param(
            SMALLEST.replace('{docs.example.com: "http://10.0.0.7:9000"}', "{}"),
            ["routes = {}: is empty, which would allow nothing"],
            id="no routes",
        ),
        pytest.param(
            SMALLEST.replace("docs.example.com", "docs"),
            [
                (
                    "routes.docs: is no full hostname, and there is no tunnel_domain; say --tunnel-domain "
                    "where the proxy is told by its flag"
                )
            ],
            id="a name below no domain",
        ),
        pytest.param(
            SMALLEST + "upstream: {disable_ip_validation: true, allowed_ips: [10.0.0.0/8]}\n",
            ["upstream.disable_ip_validation = True: does not go together with allowed_ips"],
            id="two words that exclude each other",
        ),
        pytest.param(
            SMALLEST + 'upstream: {allowed_ips: ["fd00::/8", "ten"]}\n',
            [
                "upstream.allowed_ips[0] = 'fd00::/8': is not IPv4, and the proxy connects to nothing else",
                "upstream.allowed_ips[1] = 'ten': is neither an IPv4 network nor an address",
            ],
            id="what is no IPv4 network",
        ),
        pytest.param(
            SMALLEST + "shutdown_timeout: 30\n",
            ["shutdown_timeout = 30: is not a duration such as 30s or 1m30s"],
            id="a number without a unit",
        ),
        pytest.param(
            SMALLEST + "log_level: trace\n",
            ["log_level = 'trace': is not 'debug', 'error', 'info' or 'warn'"],
            id="a level that does not exist",
        ),
    ],
)
def test_every_fault_is_named(tmp_path: Path, content: str, found: list[str]) -> None:
    assert sorted(faults(tmp_path, content)) == sorted(found)


def test_a_key_that_stands_twice_is_a_fault(tmp_path: Path) -> None:
    (fault,) = faults(tmp_path, f"{SMALLEST}\nlisten_addr: ':9090'\n")

    assert "the key 'listen_addr' stands twice" in fault


def test_a_file_that_is_not_there_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read: No such file"):
        read_proxy_file(tmp_path / "config.yaml")
