"""Faults between two places of a configuration, found in what was given.

They are looked for in the raw values, whatever else is wrong with those, so that a fault in one
place never hides one between two.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from tunnelgate.catalogue import EVERYTHING
from tunnelgate.configuration.addresses import faults_of_addresses
from tunnelgate.configuration.faults import path_of, show
from tunnelgate.configuration.raw import get, is_on, members, sequence
from tunnelgate.errors import ConfigurationFault
from tunnelgate.hosts import read_hostname

_SECRETS = ("client_secret_file", "client_secret_env")
_CREDENTIALS = ("bearer_file", "bearer_env", "client_credentials", "token_exchange")
_CATALOGUES = ("tools", "prompts", "resources")


def faults_across(data: Mapping[str, Any]) -> list[ConfigurationFault]:
    """Return the faults that no single value has."""
    return [
        *_clients(data),
        *_listener(data),
        *faults_of_addresses(data),
        *_issuers(data),
        *_routes(data),
        *_hostnames(data),
    ]


def _clients(data: Mapping[str, Any]) -> Iterator[ConfigurationFault]:
    routes = get(data, "routes")
    each = cast("Mapping[str, Any]", routes).values() if isinstance(routes, Mapping) else ()
    if "clients" not in data and not (each and all(map(is_bare, each))):
        yield ConfigurationFault("clients", "", "is required")


def _listener(data: Mapping[str, Any]) -> Iterator[ConfigurationFault]:
    transport, tls = get(data, "transport"), get(data, "tls")
    if transport == "http" and tls is not None:
        yield ConfigurationFault("tls", "", "means nothing where transport is http")
    if transport in ("tls", "tunnel") and tls is None:
        yield ConfigurationFault("transport", show(transport), "needs tls: a certificate, and its key")


def is_bare(route: Any) -> bool:
    """Return whether a route, as it was given, says where its upstream is and nothing else."""
    if isinstance(route, str):
        return True
    upstream = get(route, "upstream")
    is_url = isinstance(upstream, str) or members(upstream) == frozenset({"url"})
    return is_url and members(route) == frozenset({"upstream"})


def _issuers(data: Mapping[str, Any]) -> Iterator[ConfigurationFault]:
    seen: set[Any] = set()
    for position, issuer in enumerate(sequence(get(get(data, "oauth"), "issuers"))):
        path = f"oauth.issuers[{position}]"
        yield from _sources(path, issuer)
        name = get(issuer, "issuer")
        if isinstance(name, str) and name in seen:
            yield ConfigurationFault(f"{path}.issuer", show(name), "stands twice")
        seen.add(name if isinstance(name, str) else None)


def _sources(path: str, issuer: Any) -> Iterator[ConfigurationFault]:
    sources = [name for name in ("jwks_file", "jwks_uri") if get(issuer, name) is not None]
    if len(sources) > 1:
        yield ConfigurationFault(path, "", "has both a jwks_file and a jwks_uri; which one is meant?")
    formats = _formats(issuer)
    introspection = get(issuer, "introspection")
    if sources and formats and "jwt" not in formats:
        yield ConfigurationFault(f"{path}.{sources[0]}", "", "means nothing unless token_formats has jwt")
    if "opaque" in formats and introspection is None:
        yield ConfigurationFault(path, "", "makes opaque tokens, and has no introspection to ask about them")
    if introspection is not None:
        if "opaque" not in formats:
            yield ConfigurationFault(
                f"{path}.introspection", "", "means nothing unless token_formats has opaque"
            )
        yield from _one_of(f"{path}.introspection", introspection, _SECRETS)


def _formats(issuer: Any) -> Sequence[Any]:
    formats = get(issuer, "token_formats")
    return ("jwt",) if formats is None else sequence(formats)


def _one_of(path: str, section: Any, names: Sequence[str]) -> Iterator[ConfigurationFault]:
    named = [name for name in names if get(section, name) is not None]
    if not named:
        yield ConfigurationFault(path, "", f"needs one of {', '.join(names)}")
    elif len(named) > 1:
        yield ConfigurationFault(path, "", f"has {' and '.join(named)}; which one is meant?")


def _credentials(path: str, credentials: Any) -> Iterator[ConfigurationFault]:
    if credentials is None:
        return
    yield from _one_of(path, credentials, _CREDENTIALS)
    for name in ("client_credentials", "token_exchange"):
        request = get(credentials, name)
        if request is not None:
            yield from _one_of(f"{path}.{name}", request, _SECRETS)
            yield from _one_of(f"{path}.{name}", request, ("issuer", "token_endpoint"))


def _routes(data: Mapping[str, Any]) -> Iterator[ConfigurationFault]:
    routes = get(data, "routes")
    if not isinstance(routes, Mapping):
        return
    # A list, because what was given may be of any shape.
    trusted = sequence(get(get(data, "oauth"), "issuers"))
    issuers = [get(each, "issuer") for each in trusted]
    asking = [get(each, "issuer") for each in trusted if "opaque" in _formats(each)]
    domain = get(data, "tunnel_domain")
    names: set[str] = set()
    for key, route in cast("Mapping[str, Any]", routes).items():
        name = str(key).lower()
        path = path_of(("routes", str(key)))
        if name in names:
            yield ConfigurationFault(path, "", "stands twice; hostnames do not differ by case")
        names.add(name)
        if "." not in name and domain is None:
            yield ConfigurationFault(
                path, "", "is no full hostname, and there is no tunnel_domain to put it under"
            )
        yield from _listing(path, route, has_issuers=bool(issuers))
        yield from _credentials(f"{path}.credentials", get(route, "credentials"))
        if get(route, "mount") is not None and get(route, "upstream") is not None:
            yield ConfigurationFault(path, "", "has mount and upstream; which one is meant?")
        if get(route, "options") and get(route, "upstream") is not None:
            yield ConfigurationFault(f"{path}.options", "", "means nothing beside an upstream")
        chosen = get(route, "issuers")
        both = [each for each in asking if chosen is None or each in sequence(chosen)]
        if len(both) > 1 and _listed(route):
            yield ConfigurationFault(
                f"{path}.issuers",
                "",
                f"{' and '.join(map(str, both))} both make opaque tokens, which do not say whom to ask",
            )
        for position, issuer in enumerate(sequence(chosen)):
            if issuer not in issuers:
                yield ConfigurationFault(
                    f"{path}.issuers[{position}]", show(issuer), "is not one of oauth.issuers"
                )


def _listed(route: Any) -> list[str]:
    listed = [member for member in _CATALOGUES if get(route, member) is not None]
    return [*listed, "methods"] if get(route, "methods") else listed


def _listing(path: str, route: Any, *, has_issuers: bool) -> Iterator[ConfigurationFault]:
    listed = _listed(route)
    serves_openly = get(route, "public_paths") or is_on(get(get(route, "upstream"), "oauth_discovery"))
    if not listed and not serves_openly and not is_bare(route):
        yield ConfigurationFault(path, "", "lists neither tools nor public_paths, so it would serve nothing")
    if listed and not has_issuers:
        yield ConfigurationFault(
            path, "", f"has {listed[0]}, and oauth.issuers trusts nobody to make tokens for them"
        )
    is_everything = get(route, "tools") == EVERYTHING
    is_meant = is_on(get(route, "allow_all_tools"))
    if is_everything and not is_meant:
        yield ConfigurationFault(
            f"{path}.tools",
            show(EVERYTHING),
            "is every tool there will ever be; list them, or set allow_all_tools: true as well",
        )
    if is_meant and not is_everything:
        yield ConfigurationFault(
            f"{path}.allow_all_tools",
            show(get(route, "allow_all_tools")),
            'means nothing unless tools is "*"',
        )


def _hostnames(data: Mapping[str, Any]) -> Iterator[ConfigurationFault]:
    routes = get(data, "routes")
    domain = get(data, "tunnel_domain")
    owners: dict[str, tuple[str, str]] = {}
    for key in cast("Mapping[str, Any]", routes) if isinstance(routes, Mapping) else ():
        name, path = str(key).lower(), path_of(("routes", str(key)))
        for hostname in _hostnames_of(name, domain):
            owner, its_path = owners.setdefault(hostname, (name, path))
            if not _is_hostname(hostname):
                yield ConfigurationFault(path, "", "makes no hostname under the tunnel_domain")
            elif owner != name:
                yield ConfigurationFault(path, "", f"has the hostname {hostname}, as {its_path} has")


def _hostnames_of(name: str, domain: object) -> tuple[str, ...]:
    """Return the hostnames of a route, unless its name or the domain is no hostname by itself."""
    if not _is_hostname(name) or (isinstance(domain, str) and not _is_hostname(domain)):
        return ()
    return hostnames_of(name, domain.lower() if isinstance(domain, str) else None)


def hostnames_of(name: str, tunnel_domain: str | None) -> tuple[str, ...]:
    """Return the hostnames that lead to a route, the one that its URLs are made of first."""
    if tunnel_domain is None:
        return (name,)
    below = f"{name}.{tunnel_domain}"
    return (name, below) if "." in name else (below,)


def _is_hostname(name: str) -> bool:
    try:
        read_hostname(name)
    except ValueError:
        return False
    return True
