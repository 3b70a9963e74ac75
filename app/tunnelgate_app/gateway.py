"""The gateway: a policy's mounted applications behind the chain, as one ASGI application."""

import importlib
import inspect
import logging
from collections.abc import Callable, Mapping

from tunnelgate import AuditSink, ConfigurationError, ConfigurationFault, Policy, Route
from tunnelgate.asgi import ASGIApp
from tunnelgate.chain import build_gate
from tunnelgate.configuration.faults import path_of
from tunnelgate.materials import Materials, gather
from tunnelgate_app.fetch import authorities, fetch
from tunnelgate_app.lifespans import Lifespans, Stateful

logger = logging.getLogger("tunnelgate")

_EXTRAS: Mapping[str, str] = {"fastapi": "servers", "mcp": "servers"}


class MountError(Exception):
    """What a route names as its application cannot be mounted; the text says why."""


def create_gateway(policy: Policy, *, audit: AuditSink | None = None) -> ASGIApp:
    """Return the gateway for ``policy``.

    Raises :class:`~tunnelgate.ConfigurationError` with every route that cannot be served and
    everything else that cannot be had.
    """
    apps: dict[str, ASGIApp] = {}
    faults: list[ConfigurationFault] = []
    for name, route in policy.routes.items():
        try:
            apps[name] = Stateful(_mount(route))
        except MountError as error:
            path = path_of(("routes", name, "mount"))
            faults.append(ConfigurationFault(path, repr(route.mount), str(error)))
    materials: Materials | None = None
    authorities()  # before anybody waits for them
    try:
        materials = gather(policy, fetch=fetch, audit=audit)
    except ConfigurationError as error:
        faults += error.faults
    if faults or materials is None:
        raise ConfigurationError("gateway", faults)
    gate = build_gate(policy, apps, Lifespans(tuple(apps.values())), materials)
    for warning in policy.warnings:
        logger.warning("%s", warning)
    for name, route in policy.routes.items():
        for hostname in policy.hostnames(name):
            logger.info("route configured: %s to %s", hostname, route.mount)
    return gate


def _reason(error: BaseException) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _mount(route: Route) -> ASGIApp:
    if route.mount is None:
        raise MountError("is missing: there is nothing to pass requests on to")
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
