"""What settings of Anthropic's proxy are called here, each with its meaning."""

from collections.abc import Callable, Mapping
from typing import Any

from tunnelgate.reading.address import WideNetwork, read_network
from tunnelgate.upstream.addresses import RFC1918, check_metadata
from tunnelgate_app.importing.proxy_file import ProxyFile, ProxyUpstream

# Nobody can make tokens in its name, and it has no address (RFC 6761 section 6.4).
PLACEHOLDER_ISSUER = "https://issuer.invalid/"
THIS_MACHINE = ("127.0.0.0/8", "::1")


def settings_of(file: ProxyFile, issuer: str, place: Callable[[str], str]) -> Mapping[str, Any]:
    """Return our settings in the order in which they are written, with routes that list nothing.

    ``place`` returns the name of a file as it is to be written. What the proxy does by default, and
    the gate does otherwise, is said outright.
    """
    settings: dict[str, Any] = {
        "listen_addr": file.listen_addr,
        "log_level": file.log_level,
        "shutdown_timeout": _duration(file.shutdown_timeout),
    }
    if file.tunnel_domain:
        settings["tunnel_domain"] = file.tunnel_domain
    return {
        **settings,
        "tls": {"cert_file": place(file.tls.cert_file), "key_file": place(file.tls.key_file)},
        "clients": {"allowed_ips": THIS_MACHINE},
        "upstream": _upstream(file.upstream, place),
        "oauth": {"issuers": [{"issuer": issuer}]},
        "routes": dict(file.routes),
    }


def _upstream(upstream: ProxyUpstream, place: Callable[[str], str]) -> Mapping[str, Any]:
    settings: dict[str, Any] = {}
    if upstream.disable_ip_validation:
        settings["disable_ip_validation"] = True
    else:
        allowed = upstream.allowed_ips or RFC1918
        settings["allowed_ips"] = allowed
        if any(map(_is_wide, allowed)):
            settings["allow_wide_networks"] = True
        if special := [each for each in allowed if _is_special(each)]:
            settings["allow_metadata"] = special
    tls: dict[str, Any] = {}
    if upstream.tls.ca_file is not None:
        tls["ca_file"] = place(upstream.tls.ca_file)
    if upstream.tls.include_system_cas:
        tls["include_system_cas"] = True
    return {**settings, "tls": tls} if tls else settings


def _is_wide(network: str) -> bool:
    try:
        read_network(network)
    except WideNetwork:
        return True
    return False


def _is_special(network: str) -> bool:
    """Return whether somebody wrote down a network in which nothing is dialled unless it is named."""
    try:
        check_metadata(network)
    except ValueError:
        return False
    return True


def _duration(seconds: float) -> str | float:
    return f"{seconds:.0f}s" if seconds.is_integer() else seconds
