"""Who may use it: OAuth at the gate and at the issuers, and one call with a token."""

import asyncio
from collections.abc import Mapping, Sequence

from tunnelgate import Policy
from tunnelgate.metadata import metadata_url
from tunnelgate.verifier import TrustedIssuer
from tunnelgate_app.asking.answers import AskingError, Limits
from tunnelgate_app.doctor.findings import Finding, Findings, Layer
from tunnelgate_app.doctor.judging.call import (
    finding_of_call,
    finding_of_proof,
    finding_of_unlisted_tool,
    finding_without_call,
    finding_without_token,
    findings_of_list,
    harmless_call,
)
from tunnelgate_app.doctor.judging.oauth import (
    finding_of_challenge,
    finding_of_metadata,
    finding_of_token,
    findings_of_issuer,
)
from tunnelgate_app.doctor.layers.gate import Gate
from tunnelgate_app.doctor.options import Options, Surroundings
from tunnelgate_app.doctor.trying.call import CallTrial
from tunnelgate_app.doctor.trying.gate import GateTrial, RouteAnswers
from tunnelgate_app.doctor.trying.issuers import IssuerTrial
from tunnelgate_app.doctor.trying.tokens import Token, judge_token

_OAUTH = Findings(Layer.OAUTH)
_UNLISTED_TOOL = "tunnelgate-doctor-unlisted"


class Access:
    """Examines tokens and what they open; ``issuers`` are those that the gate trusts."""

    def __init__(
        self,
        policy: Policy,
        issuers: Mapping[str, TrustedIssuer],
        options: Options,
        surroundings: Surroundings,
    ) -> None:
        self._policy = policy
        self._issuers = issuers
        self._options = options
        self._surroundings = surroundings
        self._names = [name for name in options.routes(policy) if policy.routes[name].speaks_mcp]

    async def judge_tokens(self) -> dict[str, Token]:
        """Return what the token is worth at each route, where there is one."""
        token = self._options.token
        if token is None:
            return {}
        judged = await asyncio.gather(*(self._judge(name, token) for name in self._names))
        return dict(zip(self._names, judged, strict=True))

    async def examine_gate(self, gate: Gate, answers: Sequence[RouteAnswers]) -> list[Finding]:
        """Return what the gate tells clients without a token."""
        findings: list[Finding] = []
        async with gate.client() as client:
            trial = GateTrial(self._policy, client, self._options.seconds)
            urls = [metadata_url(self._policy.endpoints(name)[0]) for name in self._names]
            documents = await asyncio.gather(*map(trial.get, urls))
        by_name = {each.name: each for each in answers}
        for name, document in zip(self._names, documents, strict=True):
            findings.append(finding_of_metadata(self._policy, name, document))
            for asked in by_name[name].endpoints[:1]:
                challenge = finding_of_challenge(self._policy, name, asked)
                findings += [] if challenge is None else [challenge]
        return findings

    async def examine_issuers(self) -> list[Finding]:
        """Return whether the issuers of the routes answer the gate, and their clocks."""
        trial = IssuerTrial(
            self._policy,
            resolve=self._surroundings.resolve,
            seconds=self._options.seconds,
            clock=self._surroundings.clock,
        )
        issuers = {each.issuer: each for name in self._names for each in self._policy.issuers(name)}
        asked = await asyncio.gather(*map(trial.ask, issuers.values()))
        found = zip(issuers.values(), asked, strict=True)
        return [each for issuer, came in found for each in findings_of_issuer(self._policy, issuer, came)]

    def examine_tokens(self, judged: Mapping[str, Token]) -> list[Finding]:
        """Return whether the token was made for one of the routes."""
        if not judged:
            found = "there is none to look at"
            return [_OAUTH.skipped("the token", found, "Name a file with one: --token-file FILE.")]
        passing = [name for name, each in judged.items() if each.passes]
        # A token is made for one route, so that the others refuse it is as it should be.
        shown = passing or list(judged)
        return [
            finding_of_token(name, self._policy.resource(name), judged[name].refused, judged[name].missing)
            for name in shown
        ]

    async def examine_calls(self, gate: Gate, judged: Mapping[str, Token]) -> list[Finding]:
        """Return what comes of a call through the gate, and of one that it must refuse."""
        token = self._options.token or ""
        routes = {name: self._policy.routes[name] for name in self._names}
        bound = [name for name, route in routes.items() if route.proof != "none"]
        passing = [name for name, each in judged.items() if each.passes and name not in bound]
        findings = [finding_of_proof(name, routes[name]) for name in bound]
        async with gate.client() as client:
            for name in passing:
                limits = Limits(seconds=self._options.seconds)
                trial = CallTrial(client, self._policy.endpoints(name)[0], token, limits)
                findings += await self._calls_of(name, trial)
        without = [name for name in routes if name not in passing and name not in bound]
        return [*findings, finding_without_token(without)] if without else findings

    async def _calls_of(self, name: str, trial: CallTrial) -> list[Finding]:
        route = self._policy.routes[name]
        came = await trial.list()
        findings = list(findings_of_list(name, route, came))
        tools = () if isinstance(came, AskingError) else came.tools
        call = self._options.call or harmless_call(route, tools)
        if call is None:
            findings.append(finding_without_call(name))
        else:
            findings.append(finding_of_call(name, call, await trial.call(call.tool, call.arguments)))
        unlisted = await trial.call(_UNLISTED_TOOL, {})
        return [*findings, finding_of_unlisted_tool(name, _UNLISTED_TOOL, unlisted)]

    async def _judge(self, name: str, token: str) -> Token:
        return await judge_token(self._policy, self._issuers, name, token, clock=self._surroundings.clock)
