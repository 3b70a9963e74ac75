"""The gateway: a policy's mounted applications behind the chain, as one ASGI application."""

import importlib
import inspect
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from tunnelgate import (
    AuditFile,
    AuditSink,
    ConfigurationError,
    ConfigurationFault,
    Issuer,
    KeySource,
    Policy,
    RemoteKeys,
    Route,
    Sealer,
    StaticKeys,
)
from tunnelgate.asgi import ASGIApp
from tunnelgate.chain import build_gate
from tunnelgate.configuration.faults import path_of
from tunnelgate_app.fetch import fetch
from tunnelgate_app.lifespans import Lifespans, Stateful

logger = logging.getLogger("tunnelgate")

_EXTRAS: Mapping[str, str] = {"fastapi": "servers", "mcp": "servers"}


class MountError(Exception):
    """What a route names as its application cannot be mounted; the text says why."""


def create_gateway(policy: Policy, *, audit: AuditSink | None = None) -> ASGIApp:
    """Return the gateway for ``policy``.

    Raises :class:`~tunnelgate.ConfigurationError` with every route that cannot be served.
    """
    apps: dict[str, ASGIApp] = {}
    keys: dict[str, KeySource] = {}
    faults: list[ConfigurationFault] = []
    for name, route in policy.routes.items():
        try:
            apps[name] = Stateful(_mount(route))
        except MountError as error:
            path = path_of(("routes", name, "mount"))
            faults.append(ConfigurationFault(path, repr(route.mount), str(error)))
    for position, issuer in enumerate(policy.oauth.issuers if policy.oauth else ()):
        try:
            keys[issuer.issuer] = keys_of(issuer)
        except ConfigurationError as error:
            path = path_of(("oauth", "issuers", position, "jwks_file"))
            faults += [replace(fault, path=path) for fault in error.faults]
    sealer, its_faults = _sealer(policy)
    faults += its_faults
    sink = audit
    try:
        sink = sink or AuditFile(policy.audit.file)
    except OSError as error:
        faults.append(ConfigurationFault("audit.file", repr(policy.audit.file), _reason(error)))
    if faults:
        raise ConfigurationError("gateway", faults)
    gate = build_gate(
        policy,
        apps,
        Lifespans(tuple(apps.values())),
        audit=sink,
        keys_of=lambda issuer: keys[issuer.issuer],
        sealer=sealer,
    )
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
            fault = ConfigurationFault("oauth.issuers.jwks_file", repr(str(issuer.jwks_file)), _reason(error))
            raise ConfigurationError("gateway", [fault]) from None
    return RemoteKeys(str(issuer.jwks_uri), fetch)


def _sealer(policy: Policy) -> tuple[Sealer | None, list[ConfigurationFault]]:
    faults: list[ConfigurationFault] = []
    for position, file in enumerate(policy.sealing_keys):
        try:
            Sealer.from_files([file])
        except (OSError, ValueError) as error:
            path = path_of(("sealing_keys", position))
            faults.append(ConfigurationFault(path, repr(str(file)), _reason(error)))
    if faults or not policy.sealing_keys:
        return None, faults
    return Sealer.from_files(policy.sealing_keys), []


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
