"""Faults between two places of a configuration, found in what was given.

They are looked for in the raw values, whatever else is wrong with those, so that a fault in one
place never hides one between two.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from pydantic import TypeAdapter, ValidationError

from tunnelgate.catalogue import EVERYTHING
from tunnelgate.configuration.faults import path_of, show
from tunnelgate.errors import ConfigurationFault
from tunnelgate.hosts import read_hostname

_SWITCH = TypeAdapter(bool)
_CATALOGUES = ("tools", "prompts", "resources")


def faults_across(data: Mapping[str, Any]) -> list[ConfigurationFault]:
    """Return the faults that no single value has."""
    return [*_issuers(data), *_routes(data), *_hostnames(data)]


def _issuers(data: Mapping[str, Any]) -> Iterator[ConfigurationFault]:
    seen: set[Any] = set()
    for position, issuer in enumerate(_sequence(_get(_get(data, "oauth"), "issuers"))):
        path = f"oauth.issuers[{position}]"
        sources = [name for name in ("jwks_file", "jwks_uri") if _get(issuer, name) is not None]
        if not sources:
            yield ConfigurationFault(path, "", "has no keys; name a jwks_file or a jwks_uri")
        elif len(sources) > 1:
            yield ConfigurationFault(path, "", "has both a jwks_file and a jwks_uri; which one is meant?")
        name = _get(issuer, "issuer")
        if isinstance(name, str) and name in seen:
            yield ConfigurationFault(f"{path}.issuer", show(name), "stands twice")
        seen.add(name if isinstance(name, str) else None)


def _routes(data: Mapping[str, Any]) -> Iterator[ConfigurationFault]:
    routes = _get(data, "routes")
    if not isinstance(routes, Mapping):
        return
    # A list, because what was given may be of any shape.
    issuers = [_get(each, "issuer") for each in _sequence(_get(_get(data, "oauth"), "issuers"))]
    domain = _get(data, "tunnel_domain")
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
        for position, issuer in enumerate(_sequence(_get(route, "issuers"))):
            if issuer not in issuers:
                yield ConfigurationFault(
                    f"{path}.issuers[{position}]", show(issuer), "is not one of oauth.issuers"
                )


def _listing(path: str, route: Any, *, has_issuers: bool) -> Iterator[ConfigurationFault]:
    listed = [member for member in _CATALOGUES if _get(route, member) is not None]
    if _get(route, "methods"):
        listed.append("methods")
    if not listed and not _get(route, "public_paths"):
        yield ConfigurationFault(path, "", "lists neither tools nor public_paths, so it would serve nothing")
    if listed and not has_issuers:
        yield ConfigurationFault(
            path, "", f"has {listed[0]}, and oauth.issuers trusts nobody to make tokens for them"
        )
    is_everything = _get(route, "tools") == EVERYTHING
    is_meant = _is_true(_get(route, "allow_all_tools"))
    if is_everything and not is_meant:
        yield ConfigurationFault(
            f"{path}.tools",
            show(EVERYTHING),
            "is every tool there will ever be; list them, or set allow_all_tools: true as well",
        )
    if is_meant and not is_everything:
        yield ConfigurationFault(
            f"{path}.allow_all_tools",
            show(_get(route, "allow_all_tools")),
            'means nothing unless tools is "*"',
        )


def _hostnames(data: Mapping[str, Any]) -> Iterator[ConfigurationFault]:
    routes = _get(data, "routes")
    domain = _get(data, "tunnel_domain")
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


def _is_true(value: object) -> bool:
    """Return whether a setting is on, however that was said; a variable says it as a text."""
    try:
        return _SWITCH.validate_python(value)
    except ValidationError:
        return False


def _get(holder: Any, name: str) -> Any:
    if isinstance(holder, Mapping):
        return cast("Mapping[str, Any]", holder).get(name)
    return getattr(holder, name, None)


def _sequence(value: Any) -> Sequence[Any]:
    is_sequence = isinstance(value, Sequence) and not isinstance(value, str | bytes)
    return cast("Sequence[Any]", value) if is_sequence else ()
