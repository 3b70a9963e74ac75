"""Faults of networks and addresses that no single value has."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from ipaddress import IPv4Network, IPv6Network
from typing import Any, cast
from urllib.parse import urlsplit

from tunnelgate.configuration.faults import path_of, show
from tunnelgate.configuration.fields import upstream_url
from tunnelgate.configuration.raw import get, given, is_on, sequence
from tunnelgate.errors import ConfigurationFault
from tunnelgate.reading.address import Network, WideNetwork, read_address, read_network
from tunnelgate.reading.fault import Fault
from tunnelgate.upstream.addresses import EVERY_ADDRESS, RFC1918, AddressRules
from tunnelgate.verdict import Deny

_UNIX = "unix:"


def faults_of_addresses(data: Mapping[str, Any]) -> Iterator[ConfigurationFault]:
    """Return the faults of who may come, who is believed, and where the gate may connect to."""
    clients = get(data, "clients")
    yield from _wide("clients", clients, "allowed_ips", "allow_wide_networks")
    yield from _wide("clients", clients, "trusted_proxies", "trust_wide_networks")
    listen_addr = str(get(data, "listen_addr"))
    yield from _source(clients, listen_addr)
    if get(data, "socket_mode") is not None and not listen_addr.startswith(_UNIX):
        yield ConfigurationFault(
            "socket_mode", show(get(data, "socket_mode")), "means nothing unless listen_addr is a Unix socket"
        )
    upstream = get(data, "upstream")
    yield from _wide("upstream", upstream, "allowed_ips", "allow_wide_networks")
    yield from _words(upstream)
    yield from _pair("upstream.tls", get(upstream, "tls"))
    yield from _wide("oauth", get(data, "oauth"), "allowed_ips", None)
    routes = get(data, "routes")
    for name, route in cast("Mapping[str, Any]", routes).items() if isinstance(routes, Mapping) else ():
        path = path_of(("routes", str(name)))
        yield from _wide(f"{path}.clients", get(route, "clients"), "allowed_ips", "allow_wide_networks")
        yield from _of_route(f"{path}.upstream", get(route, "upstream"), upstream)


def _wide(path: str, section: Any, member: str, word: str | None) -> Iterator[ConfigurationFault]:
    """Return each network of ``member`` that is wide, unless ``word`` says that it is meant."""
    is_meant = word is not None and is_on(get(section, word))
    has_wide = False
    for position, network in enumerate(sequence(get(section, member))):
        try:
            read_network(str(network))
        except WideNetwork as error:
            has_wide = True
            if not is_meant:
                meant = f", or set {word}: true as well" if word else ""
                yield ConfigurationFault(f"{path}.{member}[{position}]", show(network), f"{error}{meant}")
        except ValueError:
            continue  # a fault that the value has by itself
    if is_meant and not has_wide:
        yield ConfigurationFault(f"{path}.{word}", "True", f"means nothing: no network of {member} is wide")


def _source(clients: Any, listen_addr: str) -> Iterator[ConfigurationFault]:
    is_unix = listen_addr.startswith(_UNIX)
    source = get(clients, "address_from") or "peer"
    proxies = sequence(get(clients, "trusted_proxies"))
    trusts_unix = is_on(get(clients, "trust_unix_socket"))
    if source == "peer":
        for member, is_set in (("trusted_proxies", bool(proxies)), ("trust_unix_socket", trusts_unix)):
            if is_set:
                yield ConfigurationFault(
                    f"clients.{member}", "", "means nothing while address_from is the peer"
                )
        if is_unix:
            yield ConfigurationFault(
                "listen_addr",
                "",
                "is a Unix socket, whose peers have no address: set clients.address_from to the header "
                "of the connector beside the gate, and clients.trust_unix_socket",
            )
    elif not proxies and not trusts_unix:
        yield ConfigurationFault(
            "clients.address_from", show(source), "is a header, and no trusted_proxies may send it"
        )
    elif is_unix and not trusts_unix:
        yield ConfigurationFault(
            "listen_addr", "", "is a Unix socket, and clients.trust_unix_socket is not set"
        )


def _words(upstream: Any) -> Iterator[ConfigurationFault]:
    if is_on(get(upstream, "disable_ip_validation")):
        if given(upstream, "allowed_ips") is not None:
            yield ConfigurationFault(
                "upstream.disable_ip_validation", "True", "does not go together with allowed_ips"
            )
        return
    allowed = list(_networks(_allowed(upstream)))
    if not allowed:
        return  # none of them is a network
    for position, entry in enumerate(sequence(get(upstream, "allow_metadata"))):
        if not all(any(_is_within(each, other) for other in allowed) for each in _networks([entry])):
            yield ConfigurationFault(
                f"upstream.allow_metadata[{position}]",
                show(entry),
                "means nothing: it is not inside upstream.allowed_ips",
            )


def _allowed(upstream: Any) -> Sequence[Any]:
    if is_on(get(upstream, "disable_ip_validation")):
        return EVERY_ADDRESS
    allowed = given(upstream, "allowed_ips")
    return RFC1918 if allowed is None else sequence(allowed)


def _networks(texts: Iterable[object]) -> Iterator[Network]:
    """Yield what is a network; what is none is a fault by itself."""
    for text in texts:
        with suppress(ValueError):
            yield read_network(str(text), wide=True)


def _is_within(network: Network, other: Network) -> bool:
    if isinstance(network, IPv4Network):
        return isinstance(other, IPv4Network) and network.subnet_of(other)
    return isinstance(other, IPv6Network) and network.subnet_of(other)


def _pair(path: str, tls: Any) -> Iterator[ConfigurationFault]:
    for one, other in (("cert_file", "key_file"), ("key_file", "cert_file")):
        if get(tls, one) is not None and get(tls, other) is None:
            yield ConfigurationFault(f"{path}.{one}", "", f"needs {other} as well")


def _of_route(path: str, of_route: Any, of_gate: Any) -> Iterator[ConfigurationFault]:
    own = get(of_route, "tls")
    yield from _wide(path, of_route, "allowed_ips", None)
    yield from _narrowed(path, of_route, of_gate)
    yield from _pair(f"{path}.tls", own)
    url = of_route if isinstance(of_route, str) else get(of_route, "url")
    if not isinstance(url, str):
        return
    tls = get(of_gate, "tls") if own is None else own
    is_secure = url.startswith("https:")
    has_anchor = get(tls, "ca_file") is not None or is_on(get(tls, "include_system_cas"))
    if is_secure and not has_anchor:
        yield ConfigurationFault(
            path,
            show(url),
            "needs upstream.tls.ca_file or upstream.tls.include_system_cas: nobody's certificate is believed",
        )
    if own is not None and not is_secure:
        yield ConfigurationFault(f"{path}.tls", "", "means nothing: the upstream does not speak TLS")


def _narrowed(path: str, of_route: Any, of_gate: Any) -> Iterator[ConfigurationFault]:
    """Return what of a route's networks is outside the gate's, and a URL whose address is in neither."""
    allowed = list(_networks(_allowed(of_gate)))
    if not allowed:
        return  # none of them is a network
    own = get(of_route, "allowed_ips")
    for position, entry in enumerate(sequence(own)):
        for network in _networks([entry]):
            if not any(_is_within(network, each) or _is_within(each, network) for each in allowed):
                yield ConfigurationFault(
                    f"{path}.allowed_ips[{position}]",
                    show(entry),
                    "means nothing: the gate may connect to none of it, by upstream.allowed_ips",
                )
    url = of_route if isinstance(of_route, str) else get(of_route, "url")
    try:
        address = read_address(urlsplit(upstream_url(str(url))).hostname or "")
        rules = AddressRules(
            [str(each) for each in allowed],
            within=None if own is None else [str(each) for each in sequence(own)],
            metadata=[str(each) for each in sequence(get(of_gate, "allow_metadata"))],
            wrapped=[str(each) for each in sequence(get(of_gate, "allow_wrapped"))],
            wide=True,
        )
    except (Fault, ValueError):
        return  # a name, or something that is a fault by itself
    verdict = rules.decide(address)
    if isinstance(verdict, Deny):
        yield ConfigurationFault(path, show(url), f"may not be connected to: {verdict.detail}")
