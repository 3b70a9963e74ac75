"""The HTTP client for one upstream: it reaches what the gate's proxy reaches, and nothing else."""

from urllib.parse import urlsplit

import httpx2

from tunnelgate import Policy, RouteUpstream, Upstreams
from tunnelgate.upstream.dialling import Resolve, resolve_by_system
from tunnelgate.upstream.opening import open_pool
from tunnelgate_app.asking.transport import UpstreamTransport

_READ_SECONDS = 30.0  # between two parts of an answer


def upstream_client(
    policy: Policy, route: str, *, resolve: Resolve = resolve_by_system
) -> httpx2.AsyncClient:
    """Return a client for the upstream of ``route``; ``resolve`` looks names up.

    Its addresses are checked and TLS is spoken as the proxy does it; it follows no redirect, knows no
    proxy of the environment, and sends the ``Host`` that the proxy would send.
    Raises :class:`~tunnelgate.errors.ConfigurationError` for files of TLS that cannot be used, and
    :class:`ValueError` for a route without an upstream.
    """
    upstream = policy.routes[route].upstream
    if upstream is None:
        raise ValueError(f"the route {route} has no upstream")
    host = urlsplit(policy.endpoints(route)[0]).netloc if upstream.preserve_host else None
    return client_of(policy.upstream, upstream, route, host=host, resolve=resolve)


def client_of(
    gate: Upstreams,
    upstream: RouteUpstream,
    route: str,
    *,
    host: str | None = None,
    resolve: Resolve = resolve_by_system,
) -> httpx2.AsyncClient:
    """Return a client for ``upstream``, as :func:`upstream_client` does where there is no policy yet.

    ``host`` is sent as ``Host`` in place of the upstream's own.
    """
    pool = open_pool(gate, upstream, route, resolve=resolve)
    headers = {"accept-encoding": "identity", "user-agent": "tunnelgate"}
    return httpx2.AsyncClient(
        transport=UpstreamTransport(pool),
        base_url=upstream.url,
        headers=headers if host is None else {**headers, "host": host},
        timeout=httpx2.Timeout(_READ_SECONDS),
        follow_redirects=False,
        trust_env=False,
    )
