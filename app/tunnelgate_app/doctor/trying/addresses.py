"""Looks up the names of upstreams."""

from urllib.parse import urlsplit

from tunnelgate.upstream.resolving import Resolve
from tunnelgate_app.doctor.judging.addresses import Resolved
from tunnelgate_app.doctor.targets import Target
from tunnelgate_app.doctor.trying.sockets import LookupFailedError, look_up

_DEFAULT_PORTS = {"http": 80, "https": 443}


async def resolve_upstream(route: str, url: str, resolve: Resolve, seconds: float) -> Resolved:
    """Return where the name in ``url`` leads, the upstream of ``route``."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or _DEFAULT_PORTS[parts.scheme]
    try:
        return Resolved(route, host, port, await look_up(Target(host, port), resolve, seconds))
    except LookupFailedError as error:
        return Resolved(route, host, port, failure=str(error))
