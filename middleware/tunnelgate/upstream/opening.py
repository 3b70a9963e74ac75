"""Opens what a policy says of upstreams: the proxy of a route, and how issuers are asked."""

from tunnelgate.configuration.faults import path_of
from tunnelgate.configuration.upstreams import RouteUpstream, Upstreams, UpstreamTls
from tunnelgate.policy import Policy
from tunnelgate.upstream.addresses import EVERY_ADDRESS, AddressRules
from tunnelgate.upstream.dialling import Dialler, Resolve, resolve_by_system
from tunnelgate.upstream.fetching import GuardedFetch
from tunnelgate.upstream.health import Health
from tunnelgate.upstream.pool import Pool, Target
from tunnelgate.upstream.proxy import ProxyOptions, UpstreamProxy
from tunnelgate.upstream.tls import ClientTlsFiles, open_client_tls, system_tls


def open_upstream(policy: Policy, name: str, *, resolve: Resolve = resolve_by_system) -> UpstreamProxy:
    """Return the proxy to the upstream of the route ``name``; ``resolve`` looks names up.

    Raises :class:`~tunnelgate.errors.ConfigurationError` for files of TLS that cannot be used, and
    :class:`ValueError` for a route without an upstream.
    """
    upstream = policy.routes[name].upstream
    if upstream is None:
        raise ValueError(f"the route {name} has no upstream")
    pool = open_pool(policy.upstream, upstream, name, resolve=resolve)
    health = Health(name, max_failures=upstream.max_failures, retry_after=upstream.retry_after)
    options = ProxyOptions(
        preserve_host=upstream.preserve_host,
        forward_cookies=upstream.forward_cookies,
        scheme=policy.public_scheme,
        read_timeout=upstream.read_timeout,
        idle_timeout=upstream.idle_timeout,
        total_timeout=upstream.total_timeout,
        max_calls=upstream.max_calls,
        max_streams=upstream.max_streams,
        max_body=policy.limits.body_bytes,
    )
    return UpstreamProxy(pool, health, options)


def open_pool(
    gate: Upstreams, upstream: RouteUpstream, name: str, *, resolve: Resolve = resolve_by_system
) -> Pool:
    """Return the connections to the upstream of the route ``name``, which go to checked addresses only.

    Raises :class:`~tunnelgate.errors.ConfigurationError` for files of TLS that cannot be used.
    """
    is_secure = upstream.url.startswith("https:")
    path = path_of(("routes", name, "upstream", "tls")) if upstream.tls else "upstream.tls"
    tls = open_client_tls(_files(upstream.tls or gate.tls), path=path) if is_secure else None
    return Pool(
        Dialler(upstream_rules(gate, upstream), resolve=resolve),
        Target.from_url(upstream.url, tls),
        connect_timeout=upstream.connect_timeout,
    )


def open_fetch(policy: Policy, *, resolve: Resolve = resolve_by_system) -> GuardedFetch:
    """Return how the issuers of ``policy`` are asked; ``resolve`` looks names up."""
    return GuardedFetch(Dialler(issuer_rules(policy), resolve=resolve), system_tls())


def issuer_rules(policy: Policy) -> AddressRules:
    """Return where issuers may be asked."""
    allowed = None if policy.oauth is None else policy.oauth.allowed_ips
    # Of the words, only the one of a network's translator is about where the internet is.
    return AddressRules(allowed, wrapped=policy.upstream.allow_wrapped, setting="oauth.allowed_ips")


def upstream_rules(gate: Upstreams, route: RouteUpstream) -> AddressRules:
    """Return where the connections to one upstream may go."""
    return AddressRules(
        EVERY_ADDRESS if gate.disable_ip_validation else gate.allowed_ips,
        within=route.allowed_ips,
        metadata=gate.allow_metadata,
        wrapped=gate.allow_wrapped,
        wide=True,  # what is wide was meant, or there would be no policy
    )


def _files(tls: UpstreamTls) -> ClientTlsFiles:
    return ClientTlsFiles(tls.ca_file, tls.include_system_cas, tls.cert_file, tls.key_file)
