"""The gateway: a policy's mounted applications and remote servers behind the chain, as one application."""

import importlib
import inspect
import logging
from collections.abc import Callable, Mapping

from tunnelgate import AuditSink, ConfigurationError, ConfigurationFault, Policy, Route
from tunnelgate.asgi import ASGIApp, Receive, Scope, Send
from tunnelgate.calls import Calls
from tunnelgate.chain import build_gate
from tunnelgate.configuration.faults import path_of
from tunnelgate.materials import Materials, gather
from tunnelgate.upstream.dialling import Resolve, resolve_by_system
from tunnelgate.upstream.health import HealthReport
from tunnelgate.upstream.opening import open_fetch, open_upstream
from tunnelgate.upstream.proxy import UpstreamProxy
from tunnelgate_app.lifespans import Lifespans, Stateful

logger = logging.getLogger("tunnelgate")

_LAST_WORDS = 1.0  # seconds, in which whoever still waits is told that the gate stops
_EXTRAS: Mapping[str, str] = dict.fromkeys(
    ("alembic", "bs4", "docutils", "dulwich", "fastapi", "itsdangerous", "jinja2", "mcp", "sqlalchemy"),
    "servers",
)


class MountError(Exception):
    """What a route names as its application cannot be mounted; the text says why."""


class Gateway:
    """An ASGI application: the whole gate, and what can be asked of it from outside."""

    def __init__(self, app: ASGIApp, calls: Calls, upstreams: Mapping[str, UpstreamProxy]) -> None:
        self._app = app
        self._calls = calls
        self._upstreams = upstreams

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        await self._app(scope, receive, send)

    @property
    def health(self) -> Mapping[str, HealthReport]:
        """What is known of each upstream, by the name of its route."""
        return {name: upstream.health for name, upstream in self._upstreams.items()}

    def stop(self, seconds: float) -> None:
        """End streams now, and what is not answered by then shortly before ``seconds`` are over."""
        self._calls.stop(seconds - min(_LAST_WORDS, seconds / 4))


def create_gateway(
    policy: Policy, *, audit: AuditSink | None = None, resolve: Resolve = resolve_by_system
) -> Gateway:
    """Return the gateway for ``policy``; ``resolve`` looks up the names of upstreams and issuers.

    Raises :class:`~tunnelgate.ConfigurationError` with every route that cannot be served and
    everything else that cannot be had.
    """
    apps: dict[str, ASGIApp] = {}
    upstreams: dict[str, UpstreamProxy] = {}
    faults: list[ConfigurationFault] = []
    for name, route in policy.routes.items():
        try:
            if route.upstream is not None:
                apps[name] = upstreams[name] = open_upstream(policy, name, resolve=resolve)
            else:
                apps[name] = Stateful(_mount(route))
        except MountError as error:
            path = path_of(("routes", name, "mount"))
            faults.append(ConfigurationFault(path, repr(route.mount), str(error)))
        except ConfigurationError as error:
            faults += [each for each in error.faults if each not in faults]
    materials: Materials | None = None
    try:
        materials = gather(policy, fetch=open_fetch(policy, resolve=resolve), audit=audit)
    except ConfigurationError as error:
        faults += error.faults
    if faults or materials is None:
        raise ConfigurationError("gateway", faults)
    calls = Calls()
    gate = build_gate(policy, apps, Lifespans(tuple(apps.values())), materials, calls=calls)
    for warning in policy.warnings:
        logger.warning("%s", warning)
    for name, route in policy.routes.items():
        for hostname in policy.hostnames(name):
            target = route.mount if route.upstream is None else route.upstream.url
            logger.info("route configured: %s to %s", hostname, target)
    return Gateway(gate, calls, upstreams)


def _reason(error: BaseException) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _mount(route: Route) -> ASGIApp:
    if route.mount is None:
        raise MountError("is missing, and so is upstream: there is nothing to pass requests on to")
    module_name, _, function_name = route.mount.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing in _EXTRAS:
            raise MountError(f"needs {missing}: pip install 'tunnelgate[{_EXTRAS[missing]}]'") from None
        raise MountError(f"cannot be imported: {error}") from None
    except (Exception, SystemExit) as error:  # somebody else's module may raise anything
        raise MountError(f"cannot be imported: {_reason(error)}") from error
    factory: Callable[..., ASGIApp] | None = getattr(module, function_name, None)
    if factory is None:
        raise MountError(f"has no function {function_name}")
    try:
        app = factory(**route.options)
    except (Exception, SystemExit) as error:  # somebody else's factory may raise anything
        raise MountError(f"does not start: {_reason(error)}") from error
    if inspect.iscoroutine(app):
        app.close()
    if not callable(app):
        raise MountError(f"does not return an application, but {type(app).__name__}")
    return app
