"""The gateway: a policy's mounted applications and remote servers behind the chain, as one application.

Its policy may change while it runs. A request stays with the generation that it began with, and what
is under way is judged again; what both policies have in common goes on as it was.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from typing import ParamSpec, Protocol, TypeVar

from tunnelgate import AuditSink, ConfigurationError, ConfigurationFault, Policy
from tunnelgate.asgi import ASGIApp, Receive, Scope, Send
from tunnelgate.configuration.faults import path_of
from tunnelgate.upstream.dialling import Resolve, resolve_by_system
from tunnelgate.upstream.health import HealthReport
from tunnelgate.upstream.proxy import UpstreamProxy
from tunnelgate_app.lifespans import LifespanError, Lifespans
from tunnelgate_app.reloading.aside import Aside
from tunnelgate_app.reloading.changes import Changes, compare
from tunnelgate_app.reloading.generation import Generation, Lasting, Opening
from tunnelgate_app.reloading.retiring import Retiring

logger = logging.getLogger("tunnelgate")

ASIDE_SECONDS = 30.0  # that files may take to read, and modules to import
START_SECONDS = 30.0  # that a mounted application may take to start while the gate runs
_LAST_WORDS = 1.0  # seconds, in which whoever still waits is told that the gate stops

_P = ParamSpec("_P")
_T = TypeVar("_T")

OpenBeside = Callable[[Policy], Callable[[], object]]


class Companion(Protocol):
    """Something that runs beside a gateway, from its start to its stop."""

    def start(self) -> None:
        """Begin, on the event loop of the gateway."""
        ...

    async def stop(self) -> None:
        """End."""
        ...


class Gateway:
    """An ASGI application: the whole gate, and what can be asked of it from outside."""

    def __init__(self, first: Generation, lasting: Lasting) -> None:
        self._current = first
        self._lasting = lasting
        self._lifespans = Lifespans()
        self._retiring = Retiring(self._lifespans, lasting.calls)
        self._changing = asyncio.Lock()
        self._companions: list[Companion] = []
        self._aside = Aside()
        lasting.calls.judge_by(first.gate)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] == "lifespan":
            return await self._live(scope, receive, send)
        generation = self._current
        generation.usage.begin()
        try:
            return await generation.gate.app(scope, receive, send)
        finally:
            generation.usage.end()

    @property
    def policy(self) -> Policy:
        """The policy that new requests are judged by."""
        return self._current.policy

    @property
    def revision(self) -> str:
        """A short name for that policy and for what is in its files; the same for every replica."""
        return self._current.revision

    @property
    def contents(self) -> Mapping[str, str]:
        """A fingerprint for each file that the policy names, from before it was opened."""
        return self._current.contents

    @property
    def health(self) -> Mapping[str, HealthReport]:
        """What is known of each upstream, by the name of its route."""
        apps = {name: target.app for name, target in self._current.targets.items()}
        return {name: app.health for name, app in apps.items() if isinstance(app, UpstreamProxy)}

    def stop(self, seconds: float) -> None:
        """End streams now, and what is not answered by then shortly before ``seconds`` are over."""
        self._lasting.calls.stop(seconds - min(_LAST_WORDS, seconds / 4))

    def accompany(self, companion: Companion) -> None:
        """Let ``companion`` run from the gateway's start to its stop."""
        self._companions.append(companion)

    async def aside(self, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Return what ``function`` returns in a thread that is for changes alone.

        Raises :class:`~tunnelgate_app.reloading.aside.LeftBehindError` where it does not end in time.
        """
        return await self._aside.run(lambda: function(*args, **kwargs), ASIDE_SECONDS)

    async def change_to(self, policy: Policy, open_beside: OpenBeside | None = None) -> Changes | None:
        """Let ``policy`` hold from now on, or say why it cannot and leave everything as it was.

        ``open_beside`` opens what is to change together with it, in a thread, and returns what puts
        that to use. Changes follow one upon another. Returns what has changed, and ``None`` where the
        policy and all its files are the same.
        Raises :class:`~tunnelgate.ConfigurationError` with every fault.
        """
        async with self._changing:
            before = self._current
            opening = Opening(policy, self._lasting, before)
            if not await self.aside(opening.begin):
                return None
            try:
                new, use_beside = await self._make(opening, open_beside)
            except BaseException:
                opening.discard()
                raise
            self._current = new
            self._lasting.calls.judge_by(new.gate)
            use_beside()
            changes = compare(before.rules, new.rules)
            ended = await self._lasting.calls.judge_again(changes.changed)
            self._retiring.replace(before, new)
            self._lasting.replays.forget(new.resources, time.time())
            _say_changed(changes, ended, before, new)
            return changes

    async def _make(
        self, opening: Opening, open_beside: OpenBeside | None
    ) -> tuple[Generation, Callable[[], object]]:
        faults: list[ConfigurationFault] = []
        use_beside: Callable[[], object] = _nothing
        try:
            if open_beside is not None:
                use_beside = await self.aside(open_beside, opening.policy)
        except ConfigurationError as error:
            faults += error.faults
        await self.aside(opening.open)
        opening.make()
        faults += opening.faults
        if faults:
            raise ConfigurationError("gateway", faults)
        new = await self.aside(opening.join)
        await self._start(new)
        return new, use_beside

    async def _start(self, new: Generation) -> None:
        try:
            await self._lifespans.start(_apps(new), START_SECONDS)
        except LifespanError as error:
            name = next(name for name, target in new.targets.items() if target.app is error.app)
            path, mount = path_of(("routes", name, "mount")), repr(new.policy.routes[name].mount)
            fault = ConfigurationFault(path, mount, f"does not start: {error}")
            raise ConfigurationError("gateway", [fault]) from None

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        try:
            await self._lifespans.begin(scope, _apps(self._current))
        except LifespanError as error:
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        for companion in self._companions:
            companion.start()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        for companion in self._companions:
            await companion.stop()
        await self._retiring.stop()
        self._aside.end()
        failures = await self._lifespans.end()
        if failures:
            await send({"type": "lifespan.shutdown.failed", "message": "; ".join(failures)})
            return
        await send({"type": "lifespan.shutdown.complete"})


def create_gateway(
    policy: Policy, *, audit: AuditSink | None = None, resolve: Resolve = resolve_by_system
) -> Gateway:
    """Return the gateway for ``policy``; ``resolve`` looks up the names of upstreams and issuers.

    Raises :class:`~tunnelgate.ConfigurationError` with every route that cannot be served and
    everything else that cannot be had.
    """
    lasting = Lasting(resolve=resolve, audit=audit)
    opening = Opening(policy, lasting)
    opening.begin()
    opening.open()
    opening.make()
    try:
        first = opening.join()
    except ConfigurationError:
        opening.discard()
        raise
    _warn(first.warnings)
    _say_routes(policy, policy.routes)
    logger.info("revision of the configuration: %s", first.revision)
    return Gateway(first, lasting)


def _apps(generation: Generation) -> Iterable[ASGIApp]:
    return [target.app for target in generation.targets.values()]


def _nothing() -> None:
    pass


def _say_changed(changes: Changes, ended: int, before: Generation, new: Generation) -> None:
    _warn(each for each in new.warnings if each not in before.warnings)
    for name in changes.removed:
        logger.info("route removed: %s", " ".join(before.policy.hostnames(name)))
    moved = [
        name
        for name, target in new.targets.items()
        if name not in before.targets or target.opened_from != before.targets[name].opened_from
    ]
    _say_routes(new.policy, moved)
    logger.info("configuration reloaded: %s; revision %s; %d calls ended", changes, new.revision, ended)


def _warn(warnings: Iterable[str]) -> None:
    for warning in warnings:
        logger.warning("%s", warning)


def _say_routes(policy: Policy, names: Iterable[str]) -> None:
    for name in names:
        route = policy.routes[name]
        for hostname in policy.hostnames(name):
            target = route.mount if route.upstream is None else route.upstream.url
            logger.info("route configured: %s to %s", hostname, target)
