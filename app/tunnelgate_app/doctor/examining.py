"""The examination: every layer in the order of the troubleshooting guide, those that can at the same time."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

from tunnelgate import ConfigurationError
from tunnelgate_app.doctor.findings import Finding, Findings, Layer
from tunnelgate_app.doctor.judging.configuration import (
    findings_of_faults,
    findings_of_policy,
    findings_of_secrets,
)
from tunnelgate_app.doctor.layers.access import Access
from tunnelgate_app.doctor.layers.behind import Behind
from tunnelgate_app.doctor.layers.gate import Gate, Listener
from tunnelgate_app.doctor.layers.outside import examine_connector, examine_edge
from tunnelgate_app.doctor.options import Options, Surroundings
from tunnelgate_app.doctor.trying.configuration import Read, read_configuration, secret_files

Tell = Callable[[Finding], None]
_OUTSIDE = (Layer.CONFIGURATION, Layer.EDGE, Layer.CONNECTOR)
_UNREACHABLE = "not tried, because no request reaches the gate: see the listener"


class UnknownRouteError(Exception):
    """There is no route of this name; the text says which there are."""


async def examine(options: Options, surroundings: Surroundings, tell: Tell) -> None:
    """Examine everything, and tell each finding in its order as soon as it is known.

    Raises :class:`UnknownRouteError`.
    """
    read, findings = _configuration(options, surroundings)
    if read is not None and options.route not in (None, *read.policy.routes):
        raise UnknownRouteError(
            f"there is no route {options.route!r}; there are {', '.join(read.policy.routes)}"
        )
    _tell_all(findings, tell)
    deadline = asyncio.get_running_loop().time() + options.seconds_in_all
    async with asyncio.TaskGroup() as group:
        layers = _outside(options, surroundings) + _inside(read, options, surroundings, group)
        tasks = [
            group.create_task(_bounded(layer, examining, deadline, options)) for layer, examining in layers
        ]
        for task in tasks:
            _tell_all(await task, tell)


_Examining = Coroutine[Any, Any, Sequence[Finding]]


def _configuration(options: Options, surroundings: Surroundings) -> tuple[Read | None, list[Finding]]:
    file = str(options.config)
    try:
        read = read_configuration(options.config, surroundings.environment, surroundings.resolve)
    except ConfigurationError as error:
        return None, list(findings_of_faults(file, error.faults))
    return read, [
        *findings_of_policy(file, read.policy),
        *findings_of_faults(file, read.faults),
        *findings_of_secrets(Findings(Layer.CONFIGURATION), secret_files(read.policy)),
    ]


def _outside(options: Options, surroundings: Surroundings) -> list[tuple[Layer, _Examining]]:
    return [
        (Layer.EDGE, examine_edge(options, surroundings)),
        (Layer.CONNECTOR, examine_connector(options)),
    ]


def _inside(
    read: Read | None, options: Options, surroundings: Surroundings, group: asyncio.TaskGroup
) -> list[tuple[Layer, _Examining]]:
    if read is None:
        found = "not tried, because the configuration is faulty"
        return [(layer, _skipped(layer, found)) for layer in Layer if layer not in _OUTSIDE]
    inside = _Inside(read, options, surroundings, group)
    return [
        (Layer.LISTENER, inside.listener()),
        (Layer.ROUTES, inside.routes()),
        (Layer.ADDRESSES, inside.behind.examine_addresses()),
        (Layer.UPSTREAMS, inside.upstreams()),
        (Layer.OAUTH, inside.oauth()),
        (Layer.TOOLS, inside.tools()),
        (Layer.CALL, inside.call()),
    ]


class _Inside:
    """The layers that need a policy, with what one of them learns for another."""

    def __init__(
        self, read: Read, options: Options, surroundings: Surroundings, group: asyncio.TaskGroup
    ) -> None:
        materials = read.materials
        self.behind = Behind(
            read.policy, {} if materials is None else dict(materials.credentials), options, surroundings
        )
        self._gate = Gate(read.policy, options, surroundings)
        self._access = Access(
            read.policy, {} if materials is None else materials.issuers, options, surroundings
        )
        self._listener: asyncio.Task[Listener] = group.create_task(self._gate.examine_listener())
        self._judged = group.create_task(self._access.judge_tokens())
        self._asked = group.create_task(self.behind.ask_upstreams(options.token))
        self._routes = group.create_task(self._if_open(self._gate.examine_routes))

    async def listener(self) -> Sequence[Finding]:
        return (await self._listener).findings

    async def routes(self) -> Sequence[Finding]:
        answered = await self._routes
        return await _skipped(Layer.ROUTES, _UNREACHABLE) if answered is None else answered[0]

    async def upstreams(self) -> Sequence[Finding]:
        return await self.behind.examine_upstreams(await self._asked)

    async def oauth(self) -> Sequence[Finding]:
        answered = await self._routes
        if answered is None:
            at_gate: Sequence[Finding] = await _skipped(Layer.OAUTH, _UNREACHABLE)
        else:
            at_gate = await self._access.examine_gate(self._gate, answered[1])
        issuers = await self._access.examine_issuers()
        return [*at_gate, *issuers, *self._access.examine_tokens(await self._judged)]

    async def tools(self) -> Sequence[Finding]:
        return self.behind.examine_tools(await self._asked)

    async def call(self) -> Sequence[Finding]:
        if not (await self._listener).is_open:
            return await _skipped(Layer.CALL, _UNREACHABLE)
        findings = await self._access.examine_calls(self._gate, await self._judged)
        return findings or await _skipped(Layer.CALL, "no route speaks MCP")

    async def _if_open(self, examine_it: Callable[[], Awaitable[Any]]) -> Any:
        return await examine_it() if (await self._listener).is_open else None


async def _bounded(
    layer: Layer, examining: _Examining, deadline: float, options: Options
) -> Sequence[Finding]:
    try:
        async with asyncio.timeout_at(deadline):
            return await examining
    except TimeoutError:
        found = f"not finished within {options.seconds_in_all:g} s in all"
        advice = "Look at one route alone with --route, or give each check longer with --timeout."
        return [Findings(layer).wrong(str(layer), found, advice)]


async def _skipped(layer: Layer, found: str) -> list[Finding]:
    return [Findings(layer).skipped(str(layer), found)]


def _tell_all(findings: Sequence[Finding], tell: Tell) -> None:
    for finding in findings:
        tell(finding)
