"""The chain: which layer stands where, and why there.

::

    app.mount("/", protect(mcp_app, Policy.from_file("tunnelgate.yaml")))

A request passes::

    audit > hygiene > hosts > clients > metadata > endpoints > origins > bearer > tools > handover
"""

import time
from collections.abc import Callable, Mapping
from functools import partial, reduce
from pathlib import Path

from tunnelgate.asgi import ASGIApp
from tunnelgate.audit import AuditFile, AuditLog, AuditSink
from tunnelgate.bearer import BearerAuthentication, TrustedIssuer
from tunnelgate.clients import ClientAllowlist
from tunnelgate.endpoints import Endpoints
from tunnelgate.exchange import Clock, new_request_id
from tunnelgate.handover import MCP_HEADERS, PUBLIC_HEADERS, Handover
from tunnelgate.hosts import HostRouter, Route
from tunnelgate.hygiene import RequestHygiene
from tunnelgate.keys import KeySource, StaticKeys
from tunnelgate.metadata import ResourceMetadata
from tunnelgate.origins import OriginAllowlist
from tunnelgate.policy import Issuer, Policy
from tunnelgate.sealing import Sealer
from tunnelgate.tools import ToolAllowlist

Wrap = Callable[[ASGIApp], ASGIApp]
KeysOf = Callable[[Issuer], KeySource]


def protect(
    app: ASGIApp,
    policy: Policy,
    *,
    audit: AuditSink | None = None,
    keys_of: KeysOf | None = None,
    sealer: Sealer | None = None,
    clock: Clock = time.time,
    new_id: Callable[[], str] = new_request_id,
) -> ASGIApp:
    """Return ``app`` behind the whole chain: every route of ``policy`` leads to it.

    ``audit`` takes the records in place of the file that the policy names; ``keys_of`` says where
    an issuer's keys are; ``sealer`` stands in for its ``sealing_keys``; ``clock`` returns seconds since
    the epoch; ``new_id`` makes request ids.
    Raises :class:`OSError` when the audit file or a file of keys cannot be opened, and
    :class:`ValueError` when one of the latter has no usable keys.
    """
    targets = dict.fromkeys(policy.routes, app)
    return build_gate(
        policy, targets, app, audit=audit, keys_of=keys_of, sealer=sealer, clock=clock, new_id=new_id
    )


def build_gate(
    policy: Policy,
    targets: Mapping[str, ASGIApp],
    lifespan: ASGIApp,
    *,
    audit: AuditSink | None = None,
    keys_of: KeysOf | None = None,
    sealer: Sealer | None = None,
    clock: Clock = time.time,
    new_id: Callable[[], str] = new_request_id,
) -> ASGIApp:
    """Return the gate in front of ``targets``, the application of each route by its name.

    ``lifespan`` is the application that start-up and shutdown are passed to; the rest is as in
    :func:`protect`.
    """
    keys = _keys(policy, keys_of or _keys_from_file)
    sealer = sealer or (Sealer.from_files(policy.sealing_keys) if policy.sealing_keys else Sealer.random())
    routes = {
        hostname: Route(name, app)
        for name, target in targets.items()
        for app in [
            _route_chain(policy, name, target, lifespan=lifespan, keys=keys, sealer=sealer, clock=clock)
        ]
        for hostname in policy.hostnames(name)
    }
    layers: list[Wrap] = [
        # Around everything: there is no decision, and no failure of ours, without a record.
        partial(
            AuditLog,
            sink=AuditFile(policy.audit.file) if audit is None else audit,
            clock=clock,
            new_id=new_id,
        ),
        # Before anybody looks at a header: what two components read differently has no meaning.
        partial(
            RequestHygiene,
            max_body=policy.limits.body_bytes,
            max_headers=policy.limits.header_bytes,
        ),
        # The hostname says whose rules hold, so it comes before all of them.
        lambda lifespan: HostRouter(routes, lifespan, policy.accepted_ports),
    ]
    return _around(lifespan, layers)


def _route_chain(
    policy: Policy,
    name: str,
    target: ASGIApp,
    *,
    lifespan: ASGIApp,
    keys: Mapping[str, KeySource],
    sealer: Sealer,
    clock: Clock,
) -> ASGIApp:
    route = policy.routes[name]
    resource = policy.resource(name)
    issuers = [
        TrustedIssuer(each.issuer, keys[each.issuer], frozenset(each.algorithms))
        for each in policy.issuers(name)
    ]
    forwarded = frozenset(header.encode() for header in route.forward_headers)
    endpoint_layers: list[Wrap] = [
        # A page in a browser on an allowed network is not an allowed client.
        partial(OriginAllowlist, origins=route.origins),
        # Who asks, before anything of the body is read: reading costs more than verifying.
        partial(
            BearerAuthentication,
            resource=resource,
            issuers=issuers,
            scopes=route.scopes,
            claims=route.claims,
            clock=clock,
        ),
        # What is asked for, by whom: needs the body, and the scopes that were granted.
        partial(
            ToolAllowlist,
            tools=route.tool_requirements,
            prompts=route.prompt_requirements,
            resources=route.resource_requirements,
            methods=route.methods,
            log_level=route.client_log_level,
            tasks=route.tasks,
            allow_all_tools=route.allow_all_tools,
            sealer=sealer,
            max_body=policy.limits.body_bytes,
            max_answer=policy.limits.answer_bytes,
        ),
        # Last, so that what is written down as allowed is what the application gets.
        partial(Handover, headers=MCP_HEADERS | forwarded),
    ]
    open_path = Handover(target, headers=PUBLIC_HEADERS | forwarded)
    endpoints: dict[str, ASGIApp] = dict.fromkeys(route.public_paths, open_path)
    route_layers: list[Wrap] = [
        # The cheapest question about the caller, and the one that needs nothing that he sent.
        partial(
            ClientAllowlist,
            allowed_ips=policy.clients.allowed_ips,
            within=None if route.clients is None else route.clients.allowed_ips,
        )
    ]
    if route.speaks_mcp:
        endpoints[route.path] = _around(target, endpoint_layers)
        # Before tokens, because it says where to get one.
        route_layers.append(
            partial(
                ResourceMetadata,
                resource=resource,
                issuers=[each.issuer for each in issuers],
                scopes=route.scopes,
            )
        )
    # A path that nobody listed is not found, with a token or without.
    route_layers.append(lambda lifespan: Endpoints(endpoints, lifespan))
    return _around(lifespan, route_layers)


def _around(app: ASGIApp, layers: list[Wrap]) -> ASGIApp:
    """Return ``app`` inside ``layers``, of which the first is the outermost."""
    return reduce(lambda inner, layer: layer(inner), reversed(layers), app)


def _keys(policy: Policy, keys_of: KeysOf) -> Mapping[str, KeySource]:
    return {} if policy.oauth is None else {each.issuer: keys_of(each) for each in policy.oauth.issuers}


def _keys_from_file(issuer: Issuer) -> KeySource:
    if issuer.jwks_file is None:
        raise ValueError(f"the keys of {issuer.issuer} are at a URL; give keys_of to fetch them")
    return StaticKeys.from_file(Path(issuer.jwks_file))
