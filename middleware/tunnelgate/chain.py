"""The chain: which layer stands where, and why there.

::

    app.mount("/", protect(mcp_app, Policy.from_file("tunnelgate.yaml")))

A request passes::

    audit > hygiene > hosts > clients > metadata > endpoints
    > origins > bearer > tools > credentials > handover
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial, reduce

from tunnelgate.asgi import ASGIApp, Receive, Scope, Send
from tunnelgate.audit import AuditLog, AuditSink
from tunnelgate.bearer import BearerAuthentication
from tunnelgate.calls import Calls, Ending
from tunnelgate.certificates import CertificateBinding
from tunnelgate.clients import ClientAllowlist
from tunnelgate.credentials import UpstreamCredentials
from tunnelgate.dpop import LEEWAY, DPoP, Nonces
from tunnelgate.endpoints import Endpoints, ReadOnly
from tunnelgate.exchange import Clock, Exchange, new_request_id
from tunnelgate.fetching import Fetch
from tunnelgate.handover import DISCOVERY_HEADERS, MCP_HEADERS, PUBLIC_HEADERS, Handover
from tunnelgate.hosts import HostRouter, Route
from tunnelgate.hygiene import RequestHygiene
from tunnelgate.layer import judge_again
from tunnelgate.materials import KeysOf, Materials, gather
from tunnelgate.metadata import ResourceMetadata
from tunnelgate.origins import OriginAllowlist
from tunnelgate.policy import Policy
from tunnelgate.proofs import NoProof, ProofOfPossession
from tunnelgate.replays import ReplayWindows
from tunnelgate.sealing import Sealer
from tunnelgate.tools import ToolAllowlist
from tunnelgate.verdict import Verdict

Wrap = Callable[[ASGIApp], ASGIApp]


@dataclass(frozen=True, slots=True)
class Gate:
    """A whole chain as one application, which also judges what another one has let pass.

    ``hosts`` is where a judgement begins: what stands around it has nothing to say about requests
    that are under way.
    """

    app: ASGIApp
    hosts: HostRouter

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        await self.app(scope, receive, send)

    def has_judged(self, exchange: Exchange) -> bool:
        """Return whether the request was let pass by this very gate."""
        return exchange.judged_by is self.hosts

    def judge_again(self, exchange: Exchange) -> Verdict:
        """Return whether a request that another gate let pass may go on."""
        return judge_again(self.hosts, exchange)


def protect(
    app: ASGIApp,
    policy: Policy,
    *,
    audit: AuditSink | None = None,
    fetch: Fetch | None = None,
    keys_of: KeysOf | None = None,
    sealer: Sealer | None = None,
    clock: Clock = time.time,
    new_id: Callable[[], str] = new_request_id,
) -> ASGIApp:
    """Return ``app`` behind the whole chain: every route of ``policy`` leads to it.

    ``audit`` takes the records in place of the file that the policy names; ``fetch`` is an HTTP
    client, needed where issuers are to be asked for their keys or about tokens; ``keys_of`` says
    where an issuer's keys are in place of the policy; ``sealer`` stands in for its ``sealing_keys``;
    ``clock`` returns seconds since the epoch; ``new_id`` makes request ids.
    Raises :class:`~tunnelgate.errors.ConfigurationError` with every file, key and secret that cannot
    be had.
    """
    targets = dict.fromkeys(policy.routes, app)
    materials = gather(policy, fetch=fetch, keys_of=keys_of, sealer=sealer, audit=audit)
    return build_gate(policy, targets, app, materials, clock=clock, new_id=new_id).app


def build_gate(
    policy: Policy,
    targets: Mapping[str, ASGIApp],
    lifespan: ASGIApp,
    materials: Materials,
    *,
    calls: Calls | None = None,
    replays: ReplayWindows | None = None,
    clock: Clock = time.time,
    new_id: Callable[[], str] = new_request_id,
) -> Gate:
    """Return the gate in front of ``targets``, the application of each route by its name.

    ``lifespan`` is the application that start-up and shutdown are passed to; ``materials`` are what
    :func:`~tunnelgate.materials.gather` found; ``calls`` are those that the gate has under way, and
    ``replays`` the proofs that it has seen, both of which may be those of a gate before it; the rest
    is as in :func:`protect`.
    """
    calls = Calls() if calls is None else calls
    replays = ReplayWindows() if replays is None else replays
    routes = {
        hostname: Route(name, app)
        for name, target in targets.items()
        for app in [
            _route_chain(
                policy,
                name,
                target,
                lifespan=lifespan,
                materials=materials,
                calls=calls,
                proof=_proof(policy, name, materials.sealer, replays, clock),
                clock=clock,
            )
        ]
        for hostname in policy.hostnames(name)
    }
    # The hostname says whose rules hold, so it comes before all of them.
    hosts = HostRouter(routes, lifespan, policy.accepted_ports)
    layers: list[Wrap] = [
        # Around everything: there is no decision, and no failure of ours, without a record.
        partial(AuditLog, sink=materials.audit, clock=clock, new_id=new_id),
        # Before anybody looks at a header: what two components read differently has no meaning.
        partial(
            RequestHygiene,
            max_body=policy.limits.body_bytes,
            max_headers=policy.limits.header_bytes,
        ),
    ]
    return Gate(_around(hosts, layers), hosts)


def _route_chain(
    policy: Policy,
    name: str,
    target: ASGIApp,
    *,
    lifespan: ASGIApp,
    materials: Materials,
    calls: Calls,
    proof: ProofOfPossession,
    clock: Clock,
) -> ASGIApp:
    route = policy.routes[name]
    resource = policy.resource(name)
    issuers = [materials.issuers[each.issuer] for each in policy.issuers(name)]
    credential = materials.credentials.get(name)
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
            require_user=route.require_user,
            proof=proof,
            keep_token=credential is not None,
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
            sealer=materials.sealer,
            max_body=policy.limits.body_bytes,
            max_answer=policy.limits.answer_bytes,
            calls=calls,
        ),
    ]
    if credential is not None:
        # After all that may refuse: nobody asks an issuer for a token that is not needed.
        endpoint_layers.append(partial(UpstreamCredentials, credential=credential))
    # Last, so that what is written down as allowed is what the application gets.
    endpoint_layers.append(partial(Handover, headers=MCP_HEADERS | forwarded))
    open_path = Ending(Handover(target, headers=PUBLIC_HEADERS | forwarded), calls)
    # Documents and nothing else, or a server that speaks MCP on every path would be asked for anything.
    documents = Ending(ReadOnly(Handover(target, headers=DISCOVERY_HEADERS)), calls)
    endpoints: dict[str, ASGIApp] = {
        **dict.fromkeys(route.discovery_paths, documents),
        **dict.fromkeys(route.public_paths, open_path),
    }
    route_layers: list[Wrap] = [
        # The cheapest question about the caller, and the one that needs nothing that he sent.
        partial(
            ClientAllowlist,
            allowed_ips=policy.clients.allowed_ips,
            within=None if route.clients is None else route.clients.allowed_ips,
            address_from=policy.clients.address_from,
            trusted_proxies=policy.clients.trusted_proxies,
            trust_unix_socket=policy.clients.trust_unix_socket,
            # What is wide was meant, or there would be no policy.
            allow_wide_networks=True,
            trust_wide_networks=True,
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
                proof=route.proof,
            )
        )
    # A path that nobody listed is not found, with a token or without.
    route_layers.append(lambda lifespan: Endpoints(endpoints, lifespan))
    return _around(lifespan, route_layers)


def _proof(
    policy: Policy, name: str, sealer: Sealer, replays: ReplayWindows, clock: Clock
) -> ProofOfPossession:
    proof = policy.routes[name].proof
    if proof == "none":
        return NoProof()
    if proof == "mtls":
        return CertificateBinding()
    nonces = Nonces(sealer, policy.resource(name)) if policy.dpop.require_nonce else None
    max_age = policy.dpop.max_age
    window = replays.window(policy.resource(name), max_age + LEEWAY)
    return DPoP(policy.endpoints(name), replays=window, nonces=nonces, max_age=max_age, clock=clock)


def _around(app: ASGIApp, layers: list[Wrap]) -> ASGIApp:
    """Return ``app`` inside ``layers``, of which the first is the outermost."""
    return reduce(lambda inner, layer: layer(inner), reversed(layers), app)
