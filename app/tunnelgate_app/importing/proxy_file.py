"""Reads the configuration of Anthropic's proxy, as strictly as our own.

Specification: https://platform.claude.com/docs/en/agents-and-tools/mcp-tunnels/reference
"""

import re
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Network, ip_network
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, ValidationError

from tunnelgate import ConfigurationError, ConfigurationFault
from tunnelgate.configuration import fields
from tunnelgate.configuration.faults import faults_of, path_of
from tunnelgate.configuration.sources import read_yaml
from tunnelgate.configuration.types import Frozen, FrozenMapping, HostName, NotEmpty, Section
from tunnelgate.reading.strict_json import is_object

_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ns": 1e-9}
_DURATION = re.compile(r"(?:(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:h|ms|m|us|µs|μs|ns|s))+")
_DURATION_PART = re.compile(r"([0-9.]+)(h|ms|m|us|µs|μs|ns|s)")


def _each_once(value: object) -> object:
    """Check that routes are a mapping of hostnames, which do not differ by case."""
    if isinstance(value, list):
        raise ValueError("cannot unmarshal !!seq into map[string]string")
    names = [name.lower() for name in value] if is_object(value) else []
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"has {name!r} twice; hostnames do not differ by case")
    return value


def _network(value: str) -> str:
    """Return an IPv4 network as ours are written, without bits behind its prefix."""
    try:
        network = ip_network(value, strict=False)
    except ValueError:
        raise ValueError("is neither an IPv4 network nor an address") from None
    if not isinstance(network, IPv4Network):
        raise ValueError("is not IPv4, and the proxy connects to nothing else")
    return str(network) if "/" in value else str(network.network_address)


def _seconds(value: object) -> object:
    """Return the seconds of a duration as Go writes it."""
    if not isinstance(value, str) or _DURATION.fullmatch(value) is None:
        raise ValueError("is not a duration such as 30s or 1m30s")
    return sum(float(number) * _UNITS[unit] for number, unit in _DURATION_PART.findall(value))


class ProxyTls(Section):
    """The server's certificate and key of the proxy."""

    cert_file: str
    key_file: str


class ProxyUpstreamTls(Section):
    """Whose certificates the proxy believes of ``https`` upstreams."""

    ca_file: str | None = None
    include_system_cas: bool = False


class ProxyUpstream(Section):
    """Where the proxy connects to; without ``allowed_ips``, to the private networks of RFC 1918."""

    allowed_ips: Annotated[Sequence[Annotated[str, AfterValidator(_network)]], Frozen, NotEmpty] | None = None
    disable_ip_validation: bool = False
    tls: ProxyUpstreamTls = ProxyUpstreamTls()


class ProxyFile(Section):
    """Everything that the proxy can be told; ``shutdown_timeout`` is in seconds."""

    listen_addr: Annotated[str, AfterValidator(fields.listen_address)]
    log_level: Literal["debug", "info", "warn", "error"] = "info"
    shutdown_timeout: Annotated[float, BeforeValidator(_seconds)] = 30.0
    tunnel_domain: HostName | None = None
    tls: ProxyTls
    routes: Annotated[
        Mapping[HostName, Annotated[str, AfterValidator(fields.upstream_url)]],
        BeforeValidator(_each_once),
        FrozenMapping,
        NotEmpty,
    ]
    upstream: ProxyUpstream = ProxyUpstream()


_KEYS: Mapping[str, tuple[str, ...]] = {
    "": tuple(ProxyFile.model_fields),
    "routes": (),
    "tls": tuple(ProxyTls.model_fields),
    "upstream": tuple(ProxyUpstream.model_fields),
    "upstream.tls": tuple(ProxyUpstreamTls.model_fields),
}


def read_proxy_file(path: Path, *, tunnel_domain: str | None = None) -> ProxyFile:
    """Return what the proxy's file at ``path`` says; ``tunnel_domain`` is said in place of the file's.

    Raises :class:`~tunnelgate.ConfigurationError` with every fault, also for a key that the proxy does
    not have.
    """
    data = read_yaml(path)
    if tunnel_domain is not None:
        data = {**data, "tunnel_domain": tunnel_domain}
    try:
        file = ProxyFile.model_validate(data)
    except ValidationError as error:
        raise ConfigurationError(str(path), faults_of(error, _KEYS)) from None
    faults = _faults_across(file)
    if faults:
        raise ConfigurationError(str(path), faults)
    return file


def _faults_across(file: ProxyFile) -> list[ConfigurationFault]:
    faults: list[ConfigurationFault] = []
    if file.upstream.disable_ip_validation and file.upstream.allowed_ips is not None:
        sentence = "does not go together with allowed_ips"
        faults.append(ConfigurationFault("upstream.disable_ip_validation", "True", sentence))
    if not file.tunnel_domain:
        faults += [
            ConfigurationFault(
                path_of(("routes", name)),
                "",
                "is no full hostname, and there is no tunnel_domain; say --tunnel-domain where the proxy "
                "is told by its flag",
            )
            for name in file.routes
            if "." not in name
        ]
    return faults
