"""Mounts: the application that a route names, made by its factory."""

import importlib
import inspect
from collections.abc import Callable, Mapping

from tunnelgate import Route
from tunnelgate.asgi import ASGIApp

_EXTRAS: Mapping[str, str] = dict.fromkeys(
    ("alembic", "bs4", "docutils", "dulwich", "fastapi", "itsdangerous", "jinja2", "mcp", "sqlalchemy"),
    "servers",
)

Factory = Callable[..., ASGIApp]


class MountError(Exception):
    """What a route names as its application cannot be mounted; the text says why."""


def find_factory(route: Route) -> Factory:
    """Return what makes the application of a route; imports its module. Raises :class:`MountError`."""
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
    except BaseException as error:  # somebody else's module may raise anything
        raise MountError(f"cannot be imported: {_reason(error)}") from error
    factory: Factory | None = getattr(module, function_name, None)
    if factory is None:
        raise MountError(f"has no function {function_name}")
    return factory


def make_application(factory: Factory, route: Route) -> ASGIApp:
    """Return the application that ``factory`` makes with the options of a route.

    Raises :class:`MountError`.
    """
    try:
        app = factory(**route.options)
    except BaseException as error:  # somebody else's factory may raise anything
        raise MountError(f"does not start: {_reason(error)}") from error
    if inspect.iscoroutine(app):
        app.close()
    if not callable(app):
        raise MountError(f"does not return an application, but {type(app).__name__}")
    return app


def _reason(error: BaseException) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
