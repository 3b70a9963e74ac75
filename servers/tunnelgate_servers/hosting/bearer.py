"""A server's own bearer check, for when no gate stands around it.

Inside a gate, whom the gate verified is who asks. Behind one, as its upstream, and alone, a server verifies
a token that was made for itself. Where neither was done, nothing is answered.

Specification: RFC 6750, RFC 9068, RFC 9728
"""

import time
from collections.abc import Callable, Mapping
from functools import partial, reduce
from typing import Any, Final, Self
from urllib.parse import urlsplit

from pydantic import ValidationError

from tunnelgate import (
    Allow,
    BearerAuthentication,
    ConfigurationError,
    Deny,
    Fetch,
    OAuth,
    Reason,
    RequestHygiene,
    TrustedIssuer,
    Verdict,
    principal_of,
)
from tunnelgate.asgi import ASGIApp, Scope
from tunnelgate.configuration.across import faults_across
from tunnelgate.configuration.faults import faults_of
from tunnelgate.exchange import Exchange
from tunnelgate.layer import Layer
from tunnelgate.materials import gather_issuers
from tunnelgate.metadata import ResourceMetadata
from tunnelgate.upstream.addresses import AddressRules
from tunnelgate.upstream.dialling import Dialler
from tunnelgate.upstream.fetching import GuardedFetch
from tunnelgate.upstream.tls import system_tls
from tunnelgate_servers.hosting.errors import OptionsError

PATH: Final = "/mcp"
"""Where a server speaks MCP."""

_KEYS = {"": ("issuers", "allowed_ips")}


class CallerRequired(Layer):
    """Passes on only requests whose caller a gate or a bearer check around this application verified."""

    async def judge(self, scope: Scope, exchange: Exchange) -> Verdict:
        """Return whether it is known who asks."""
        if principal_of(scope) is not None:
            return Allow()
        return Deny(Reason.TOKEN_MISSING)


class OwnCheck:
    """Verifies the tokens that were made for one server.

    `resource` is the URL that they are made for, which ends with `/mcp`; `issuers` are by their identifiers.
    `clock` returns seconds since the epoch. Raises `OptionsError` for a resource that no token could name.
    """

    def __init__(
        self, resource: str, issuers: Mapping[str, TrustedIssuer], *, clock: Callable[[], float] = time.time
    ) -> None:
        if _path_of(resource) != PATH:
            raise OptionsError(
                f"The option resource is {resource!r}; it has to be the URL that ends with {PATH}."
            )
        self._layers: tuple[Callable[[ASGIApp], ASGIApp], ...] = (
            # Before anybody looks at a header: what two components read differently has no meaning.
            RequestHygiene,
            # Before tokens, because it says where to get one.
            partial(ResourceMetadata, resource=resource, issuers=list(issuers)),
            partial(BearerAuthentication, resource=resource, issuers=list(issuers.values()), clock=clock),
        )
        try:
            self.around(_nothing)
        except ValueError as error:
            raise OptionsError(f"The option resource cannot be used: {error}.") from error

    @classmethod
    def from_options(cls, resource: object, oauth: object, *, fetch: Fetch | None = None) -> Self:
        """Return the check that a configuration describes.

        `oauth` is what the gate's configuration has under that key: `issuers`, and `allowed_ips` where they
        may be asked. `fetch` asks them in place of a client of its own.
        Raises `OptionsError` with every fault there is.
        """
        if not isinstance(resource, str):
            raise OptionsError(
                f"The option resource needs the URL that tokens are made for, not {resource!r}."
            )
        issuers, _ = read_issuers(oauth, fetch=fetch)
        return cls(resource, issuers)

    def around(self, app: ASGIApp) -> ASGIApp:
        """Return `app` behind the check."""
        return reduce(lambda inner, layer: layer(inner), reversed(self._layers), app)


def own_check(resource: object, oauth: object) -> OwnCheck | None:
    """Return the check that the options `resource` and `oauth` describe, or `None` where neither is given.

    Raises `OptionsError` as `OwnCheck.from_options` does, also where one of them is missing.
    """
    return None if resource is None and oauth is None else OwnCheck.from_options(resource, oauth)


def read_issuers(oauth: object, *, fetch: Fetch | None = None) -> tuple[Mapping[str, TrustedIssuer], Fetch]:
    """Return the issuers of the option `oauth` by their identifiers, and what asks them.

    That is `fetch`, or a client of our own that asks where `oauth.allowed_ips` lets it.
    Raises `OptionsError` with every fault there is.
    """
    across = [fault for fault in faults_across({"oauth": oauth}) if fault.path.startswith("oauth")]
    try:
        section = OAuth.model_validate(oauth)
        if across:
            raise ConfigurationError("The option oauth", across)
        dialler = Dialler(AddressRules(section.allowed_ips, setting="oauth.allowed_ips"))
        asking = fetch or GuardedFetch(dialler, system_tls())
        return gather_issuers(section, fetch=asking), asking
    except ValidationError as error:
        faults = ConfigurationError("The option oauth", [*faults_of(error, _KEYS), *across])
        raise OptionsError(str(faults)) from error
    except ConfigurationError as error:
        raise OptionsError(str(error)) from error


def _path_of(url: str) -> str | None:
    try:
        return urlsplit(url).path
    except ValueError:
        return None


async def _nothing(scope: Any, receive: Any, send: Any) -> None:
    """Stand where an application will."""
