"""What is behind the gate: the addresses of the upstreams, how they answer, and their tools."""

import asyncio
from collections.abc import Sequence

from tunnelgate import Policy
from tunnelgate.credentials import Credential
from tunnelgate.upstream.opening import upstream_rules
from tunnelgate_app.asking.answers import Limits
from tunnelgate_app.doctor.findings import Finding, Findings, Layer
from tunnelgate_app.doctor.judging.addresses import findings_of_addresses
from tunnelgate_app.doctor.judging.tools import findings_of_tools
from tunnelgate_app.doctor.judging.upstreams import AskedUpstream, finding_of_mount, finding_of_upstream
from tunnelgate_app.doctor.options import Options, Surroundings
from tunnelgate_app.doctor.trying.addresses import resolve_upstream
from tunnelgate_app.doctor.trying.mounting import try_mount
from tunnelgate_app.doctor.trying.upstreams import UpstreamTrial
from tunnelgate_app.doctor.wording import listed


class Behind:
    """Examines what is behind the routes of ``policy``; ``credentials`` are by the names of routes."""

    def __init__(
        self,
        policy: Policy,
        credentials: dict[str, Credential],
        options: Options,
        surroundings: Surroundings,
    ) -> None:
        self._policy = policy
        self._credentials = credentials
        self._options = options
        self._surroundings = surroundings
        self._names = options.routes(policy)

    async def examine_addresses(self) -> list[Finding]:
        """Return whether the gate may connect to where the names of its upstreams lead."""
        say = Findings(Layer.ADDRESSES)
        findings = await asyncio.gather(*map(self._addresses_of, self._names))
        every = [each for some in findings for each in some]
        return every or [
            say.skipped("look up the upstreams", "every route is mounted, and none has an upstream")
        ]

    async def ask_upstreams(self, token: str | None) -> list[AskedUpstream]:
        """Return what the servers behind the routes that speak MCP answer; ``token`` is a caller's."""
        limits = Limits(seconds=self._options.seconds)
        trial = UpstreamTrial(
            self._policy,
            resolve=self._surroundings.resolve,
            limits=limits,
            leave_out=self._surroundings.leave_out,
        )
        names = [name for name in self._names if self._speaks_mcp(name)]
        return list(
            await asyncio.gather(*(trial.ask(name, self._credentials.get(name), token) for name in names))
        )

    async def examine_upstreams(self, asked: Sequence[AskedUpstream]) -> list[Finding]:
        """Return how the servers answered, and whether the other applications can be mounted."""
        by_route = {each.route: each for each in asked}
        routes = {name: self._policy.routes[name] for name in self._names if name not in by_route}
        mounted = {name: route for name, route in routes.items() if route.mount is not None}
        tried = await asyncio.gather(*(try_mount(each, self._options.seconds) for each in mounted.values()))
        mounts = dict(zip(mounted, tried, strict=True))
        findings: list[Finding] = []
        for name in self._names:
            route = self._policy.routes[name]
            if name in by_route:
                findings.append(finding_of_upstream(by_route[name]))
            elif route.mount is not None:
                findings.append(finding_of_mount(name, route.mount, mounts[name]))
            else:
                found = (
                    "it lists nothing of MCP, so it is not asked; its public path above tells how it answers"
                )
                findings.append(Findings(Layer.UPSTREAMS).skipped(name, found))
        return findings

    def examine_tools(self, asked: Sequence[AskedUpstream]) -> list[Finding]:
        """Return how the allowlists stand to what the servers list."""
        say = Findings(Layer.TOOLS)
        findings: list[Finding] = []
        for each in asked:
            if each.listing is not None:
                route = self._policy.routes[each.route]
                findings += findings_of_tools(each.route, route, each.listing.tools)
        missing = [each.route for each in asked if each.listing is None]
        if missing:
            findings.append(
                say.skipped(listed(missing), "their servers did not list their tools, as upstreams say")
            )
        return findings or [say.skipped("tools", "no route speaks MCP")]

    def _speaks_mcp(self, name: str) -> bool:
        route = self._policy.routes[name]
        lists_nothing = route.upstream is not None and not route.open_paths
        return (route.speaks_mcp or lists_nothing) and (route.upstream is not None or route.mount is not None)

    async def _addresses_of(self, name: str) -> list[Finding]:
        upstream = self._policy.routes[name].upstream
        if upstream is None:
            return []
        resolved = await resolve_upstream(
            name, upstream.url, self._surroundings.resolve, self._options.seconds
        )
        return list(
            findings_of_addresses(
                resolved,
                upstream_rules(self._policy.upstream, upstream),
                self._policy.upstream.allowed_ips,
                is_narrowed=upstream.allowed_ips is not None,
            )
        )
