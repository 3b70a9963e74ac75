"""The gateway: a policy's mounted applications behind the chain, as one ASGI application."""

import importlib
import logging
from collections.abc import Callable, Mapping
from pathlib import Path

from tunnelgate import (
    AuditSink,
    ConfigurationError,
    ConfigurationFault,
    Issuer,
    KeySource,
    Policy,
    RemoteKeys,
    Route,
    StaticKeys,
)
from tunnelgate.asgi import ASGIApp
from tunnelgate.chain import build_gate
from tunnelgate_app.fetch import fetch
from tunnelgate_app.lifespans import Lifespans

logger = logging.getLogger("tunnelgate")

_EXTRAS: Mapping[str, str] = {"fastapi": "servers", "mcp": "servers"}


class MountError(Exception):
    """What a route names as its application cannot be mounted; the text says why."""


def create_gateway(policy: Policy, *, audit: AuditSink | None = None) -> ASGIApp:
    """Return the gateway for ``policy``.

    Raises :class:`~tunnelgate.ConfigurationError` with every route that cannot be served.
    """
    apps: dict[str, ASGIApp] = {}
    faults: list[ConfigurationFault] = []
    for name, route in policy.routes.items():
        try:
            apps[name] = _mount(route)
        except MountError as error:
            faults.append(ConfigurationFault(f"routes.{name}.mount", repr(route.mount), str(error)))
    if faults:
        raise ConfigurationError("gateway", faults)
    gate = build_gate(policy, apps, Lifespans(tuple(apps.values())), audit=audit, keys_of=keys_of)
    for name, route in policy.routes.items():
        for hostname in policy.hostnames(name):
            logger.info("route configured: %s to %s", hostname, route.mount)
    return gate


def keys_of(issuer: Issuer) -> KeySource:
    """Return the keys of an issuer, from the file or the URL that its configuration names."""
    if issuer.jwks_file is not None:
        try:
            return StaticKeys.from_file(Path(issuer.jwks_file))
        except (OSError, ValueError) as error:
            sentence = getattr(error, "strerror", None) or str(error)
            fault = ConfigurationFault("oauth.issuers.jwks_file", repr(str(issuer.jwks_file)), sentence)
            raise ConfigurationError("gateway", [fault]) from None
    return RemoteKeys(str(issuer.jwks_uri), fetch)


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
    factory: Callable[..., ASGIApp] | None = getattr(module, function_name, None)
    if factory is None:
        raise MountError(f"has no function {function_name}")
    try:
        return factory(**route.options)
    except Exception as error:  # somebody else's factory may raise anything
        raise MountError(f"does not start: {error}") from error
