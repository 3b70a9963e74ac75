"""Mounts an application as the gateway does, and runs it for as long as it is asked."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager

import httpx2

from tunnelgate import Principal, Route
from tunnelgate.asgi import ASGIApp, Receive, Scope, Send
from tunnelgate.exchange import exchange_of, without_exchange
from tunnelgate_app.doctor.trying.threads import in_thread
from tunnelgate_app.lifespans import LifespanError, Lifespans, Stateful
from tunnelgate_app.mounting import MountError, find_factory, make_application

_DOCTOR = "tunnelgate-doctor"


async def try_mount(route: Route, seconds: float) -> str:
    """Return why the application of ``route`` cannot be mounted within ``seconds``; nothing where it can."""
    try:
        await _make(route, seconds)
    except MountError as error:
        return str(error)
    return ""


@asynccontextmanager
async def mounted(route: Route, seconds: float) -> AsyncGenerator[httpx2.AsyncClient]:
    """Run the application of ``route`` and give a client for it.

    It may take ``seconds`` to start, and to stop.
    Raises :class:`~tunnelgate_app.mounting.MountError`.
    """
    app = Stateful(await _make(route, seconds))
    lifespans = Lifespans()
    await lifespans.begin({"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}}, [])
    try:
        await lifespans.start([app], seconds)
    except LifespanError as error:
        raise MountError(f"does not start: {error}") from error
    try:
        transport = httpx2.ASGITransport(_Admitted(app, caller_at(route)), raise_app_exceptions=False)
        async with httpx2.AsyncClient(transport=transport, timeout=seconds, trust_env=False) as client:
            yield client
    finally:
        await lifespans.stop([app], seconds)


async def _make(route: Route, seconds: float) -> ASGIApp:
    try:
        return await in_thread(lambda: make_application(find_factory(route), route), seconds)
    except TimeoutError:
        raise MountError(f"is not made within {seconds:g} s") from None


def caller_at(route: Route) -> Principal:
    """Return somebody who may use everything that ``route`` lists: nobody's token stands behind it."""
    requirements = [
        *route.prompt_requirements.values(),
        *route.resource_requirements.values(),
        *(route.tool_requirements.values() if isinstance(route.tool_requirements, Mapping) else ()),
    ]
    scopes = {*route.scopes, *(scope for each in requirements for scope in each.scopes)}
    claims = {"iss": _DOCTOR, "sub": _DOCTOR, "client_id": _DOCTOR}
    return Principal(_DOCTOR, _DOCTOR, _DOCTOR, frozenset(scopes), claims)


class _Admitted:
    """An application as the gate calls it for ``caller``, in this process and for nobody else."""

    def __init__(self, app: ASGIApp, caller: Principal) -> None:
        self._app = app
        self._caller = caller

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = exchange_of(scope)
        exchange.principal = self._caller
        await self._app(without_exchange(scope, scope["headers"]), receive, send)
