"""What a configuration allows by an explicit word, and what a reviewer should know."""

from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from tunnelgate.catalogue import EVERYTHING
from tunnelgate.configuration.faults import path_of
from tunnelgate.configuration.oauth import Credentials, OAuth
from tunnelgate.configuration.routes import Route
from tunnelgate.tokens import ACCESS_TOKEN_TYPE


def warnings_of(
    oauth: OAuth | None, routes: Mapping[str, Route], resources: Mapping[str, str]
) -> tuple[str, ...]:
    """Return each as a sentence that begins with a path.

    ``resources`` are what tokens are made for, by the names of their routes.
    """
    return (*_of_issuers(oauth), *_of_routes(routes), *_of_resources(resources))


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
        if _is_in_the_clear(issuer.issuer):
            yield f"{path}.issuer: whoever is between the gate and {issuer.issuer} can make tokens"
        if issuer.jwks_uri is not None and _is_in_the_clear(issuer.jwks_uri):
            yield f"{path}.jwks_uri: whoever is between the gate and {issuer.jwks_uri} can make tokens"
        asked = issuer.introspection.endpoint if issuer.introspection else None
        if asked is not None and _is_in_the_clear(asked):
            yield (
                f"{path}.introspection.endpoint: whoever is between the gate and {asked} sees tokens "
                "and says which are good"
            )


def _of_routes(routes: Mapping[str, Route]) -> Iterator[str]:
    for name, route in routes.items():
        if route.tools == EVERYTHING:
            yield (
                f"{path_of(('routes', name, 'tools'))}: every tool is allowed, also those that the "
                "server will have tomorrow"
            )
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
    for kind, request in (
        ("client_credentials", credentials.client_credentials),
        ("token_exchange", credentials.token_exchange),
    ):
        for name in ("issuer", "token_endpoint") if request is not None else ():
            url: str | None = getattr(request, name)
            if url is not None and _is_in_the_clear(url):
                yield f"{path}.{kind}.{name}: whoever is between the gate and {url} sees secrets and tokens"


def _is_in_the_clear(url: str) -> bool:
    parts = urlsplit(url)
    host = parts.hostname or ""
    is_here = host in ("127.0.0.1", "::1", "localhost") or host.endswith(".localhost")
    return parts.scheme == "http" and not is_here
