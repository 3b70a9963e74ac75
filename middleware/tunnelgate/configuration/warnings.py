"""What a configuration allows by an explicit word, and what a reviewer should know."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tunnelgate.catalogue import EVERYTHING
from tunnelgate.configuration.faults import path_of
from tunnelgate.configuration.oauth import Credentials, Issuer, OAuth
from tunnelgate.configuration.routes import Route
from tunnelgate.tokens import ACCESS_TOKEN_TYPE

if TYPE_CHECKING:
    from tunnelgate.policy import Policy


def warnings_of(policy: "Policy", resources: Mapping[str, str]) -> tuple[str, ...]:
    """Return each as a sentence that begins with a path.

    ``resources`` are what tokens are made for, by the names of their routes.
    """
    return (
        *_of_addresses(policy),
        *_of_issuers(policy.oauth),
        *_of_what_is_here(policy.oauth, policy.routes),
        *_of_routes(policy.routes),
        *_of_resources(resources),
    )


def _of_addresses(policy: "Policy") -> Iterator[str]:
    if policy.clients.allow_wide_networks:
        yield "clients.allow_wide_networks: clients may come from almost anywhere"
    if policy.clients.trust_wide_networks:
        yield (
            "clients.trust_wide_networks: almost anybody may say in a header which address they come "
            "from, so clients.allowed_ips keeps nobody out"
        )
    if policy.upstream.allow_wide_networks or policy.upstream.disable_ip_validation:
        word = "disable_ip_validation" if policy.upstream.disable_ip_validation else "allow_wide_networks"
        yield f"upstream.{word}: whoever answers for an upstream's name says where the gate connects to"
    for word, entries in (
        ("allow_metadata", policy.upstream.allow_metadata),
        ("allow_wrapped", policy.upstream.allow_wrapped),
    ):
        if entries:
            yield f"upstream.{word}: {', '.join(entries)} may be connected to as well"


def _of_resources(resources: Mapping[str, str]) -> Iterator[str]:
    owners: dict[str, str] = {}
    for name, resource in resources.items():
        owner = owners.setdefault(resource, name)
        if owner != name:
            path = path_of(("routes", name, "resource"))
            yield f"{path}: is that of {path_of(('routes', owner))}, so a token for one passes at the other"


def _of_issuers(oauth: OAuth | None) -> Iterator[str]:
    for position, issuer in enumerate(oauth.issuers if oauth else ()):
        path = f"oauth.issuers[{position}]"
        others = [
            each
            for each in issuer.token_types
            if each.lower().removeprefix("application/") != ACCESS_TOKEN_TYPE
        ]
        if others:
            yield (
                f"{path}.token_types: {', '.join(others)} is also the type of tokens that are not "
                "made for access; only their audience tells them apart"
            )
        asked = issuer.introspection.endpoint if issuer.introspection else None
        if _is_in_the_clear(issuer.issuer):
            yield f"{path}.issuer: whoever is between the gate and {issuer.issuer} can make tokens"
        if issuer.jwks_uri is not None and _is_in_the_clear(issuer.jwks_uri):
            yield f"{path}.jwks_uri: whoever is between the gate and {issuer.jwks_uri} can make tokens"
        if asked is not None and _is_in_the_clear(asked):
            yield (
                f"{path}.introspection.endpoint: whoever is between the gate and {asked} sees tokens "
                "and says which are good"
            )


def _of_what_is_here(oauth: OAuth | None, routes: Mapping[str, Route]) -> Iterator[str]:
    """Say what is on this machine, where nobody is asked by default."""
    if oauth is not None and oauth.allowed_ips is not None:
        return
    asked = [
        (f"oauth.issuers[{position}]", url)
        for position, issuer in enumerate(oauth.issuers if oauth else ())
        for url in dict.fromkeys(_asked_of(issuer))
    ]
    for name, route in routes.items():
        if route.credentials is not None:
            path = path_of(("routes", name, "credentials"))
            asked += [(f"{path}.{member}", url) for member, url in _token_urls(route.credentials)]
    for path, url in asked:
        if _is_here(url):
            yield f"{path}: {url} is on this machine, and not asked unless oauth.allowed_ips has it"


def _asked_of(issuer: Issuer) -> Iterator[str]:
    if "jwt" in issuer.token_formats and issuer.jwks_file is None:
        yield issuer.jwks_uri or issuer.issuer
    if issuer.introspection is not None:
        yield issuer.introspection.endpoint or issuer.issuer


def _of_routes(routes: Mapping[str, Route]) -> Iterator[str]:
    for name, route in routes.items():
        if route.tools == EVERYTHING:
            yield (
                f"{path_of(('routes', name, 'tools'))}: every tool is allowed, also those that the "
                "server will have tomorrow"
            )
        if not route.speaks_mcp and not route.open_paths:
            yield (
                f"{path_of(('routes', name))}: lists no tools, so every request for it is refused; "
                "`tunnelgate import` proposes a list"
            )
        if route.clients is not None and route.clients.allow_wide_networks:
            path = path_of(("routes", name, "clients", "allow_wide_networks"))
            yield f"{path}: the route narrows the gate's clients to almost anywhere"
        if not route.speaks_mcp:
            path = path_of(("routes", name))
            for member, value in (
                ("proof", route.proof != "none"),
                ("require_user", route.require_user),
                ("credentials", route.credentials is not None),
            ):
                if value:
                    yield f"{path}.{member}: means nothing on a route that lists nothing of MCP"
        if route.credentials is not None:
            yield from _of_credentials(path_of(("routes", name, "credentials")), route.credentials)


def _of_credentials(path: str, credentials: Credentials) -> Iterator[str]:
    for member, url in _token_urls(credentials):
        if _is_in_the_clear(url):
            yield f"{path}.{member}: whoever is between the gate and {url} sees secrets and tokens"


def _token_urls(credentials: Credentials) -> Iterator[tuple[str, str]]:
    for kind, request in (
        ("client_credentials", credentials.client_credentials),
        ("token_exchange", credentials.token_exchange),
    ):
        for name in ("issuer", "token_endpoint") if request is not None else ():
            url: str | None = getattr(request, name)
            if url is not None:
                yield f"{kind}.{name}", url


def _is_in_the_clear(url: str) -> bool:
    return urlsplit(url).scheme == "http" and not _is_here(url)


def _is_here(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    return host in ("127.0.0.1", "::1", "localhost") or host.endswith(".localhost")
