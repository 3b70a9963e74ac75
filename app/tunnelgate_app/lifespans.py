"""Start-up and shutdown of several mounted applications, as if they were one.

Specification: https://asgi.readthedocs.io/en/latest/specs/lifespan.html
"""

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

from tunnelgate.asgi import ASGIApp, Message, Receive, Scope, Send

logger = logging.getLogger("tunnelgate")


class Stateful:
    """An application whose requests carry the state that its own lifespan filled, as under a server."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._state: dict[str, Any] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        state = self._state if scope["type"] == "lifespan" else self._state.copy()
        await self.app({**scope, "state": state}, receive, send)


class Lifespans:
    """An ASGI application that only starts and stops others, in their order and in reverse.

    An application that does not know the lifespan protocol is left alone; one whose start-up
    fails keeps the gateway from starting.
    """

    def __init__(self, apps: Sequence[ASGIApp]) -> None:
        self._apps = tuple(apps)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the lifespan of the server."""
        await receive()
        running: list[_Lifespan] = []
        for app in self._apps:
            lifespan = _Lifespan(app, scope)
            failure = await lifespan.start()
            if failure is not None:
                await _stop(running)
                await send({"type": "lifespan.startup.failed", "message": failure})
                return
            running.append(lifespan)
        await send({"type": "lifespan.startup.complete"})
        await receive()
        failures = await _stop(running)
        if failures:
            await send({"type": "lifespan.shutdown.failed", "message": "; ".join(failures)})
            return
        await send({"type": "lifespan.shutdown.complete"})


async def _stop(running: list["_Lifespan"]) -> list[str]:
    failures = [await lifespan.stop() for lifespan in reversed(running)]
    return [failure for failure in failures if failure is not None]


class _Lifespan:
    """One application's lifespan, in a task of its own because it spans the whole run."""

    def __init__(self, app: ASGIApp, scope: Scope) -> None:
        self._app = app
        self._scope = scope
        self._said = asyncio.Queue[Message]()
        self._heard = asyncio.Queue[Message]()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> str | None:
        """Start the application; return why it failed, if it did."""
        self._said.put_nowait({"type": "lifespan.startup"})
        self._task = asyncio.create_task(self._run())
        message = await self._heard.get()
        if message["type"] == "lifespan.startup.failed":
            return str(message.get("message", "")) or "an application failed to start"
        return None

    async def stop(self) -> str | None:
        """Stop the application and wait until it has stopped; return why it failed, if it did."""
        self._said.put_nowait({"type": "lifespan.shutdown"})
        if self._task is not None:
            await asyncio.wait([self._task])
        while not self._heard.empty():
            message = self._heard.get_nowait()
            if message["type"] == "lifespan.shutdown.failed":
                return str(message.get("message", "")) or "an application failed to stop"
        return None

    async def _run(self) -> None:
        try:
            await self._app({**self._scope, "state": {}}, self._said.get, self._heard.put)
        except Exception as error:  # noqa: BLE001 - see below
            # The protocol's way of saying "unsupported", and the only way of telling it from a failure.
            logger.debug("an application has no lifespan: %r", error)
        finally:
            self._heard.put_nowait({"type": "lifespan.unsupported"})
