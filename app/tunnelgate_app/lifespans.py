"""Start-up and shutdown of mounted applications, which may begin and end while others go on.

Specification: https://asgi.readthedocs.io/en/latest/specs/lifespan.html
"""

import asyncio
import logging
from collections.abc import Iterable
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


class LifespanError(Exception):
    """An application did not start; the text says why."""

    def __init__(self, app: ASGIApp, message: str) -> None:
        super().__init__(message)
        self.app = app


class Lifespans:
    """The applications that run under one server.

    An application that does not know the lifespan protocol is left alone; one whose start-up fails
    takes those with it that were started beside it.
    """

    def __init__(self) -> None:
        self._running: dict[ASGIApp, _Lifespan] = {}
        self._scope: Scope | None = None

    async def begin(self, scope: Scope, apps: Iterable[ASGIApp]) -> None:
        """Start ``apps`` with the server, whose lifespan ``scope`` is; raises :class:`LifespanError`."""
        self._scope = scope
        await self.start(apps)

    async def start(self, apps: Iterable[ASGIApp], seconds: float | None = None) -> None:
        """Start those of ``apps`` that do not run yet, in their order and within ``seconds`` each.

        Before the server's own lifespan has begun none is started. Raises :class:`LifespanError`.
        """
        started: list[ASGIApp] = []
        for app in apps if self._scope is not None else ():
            if app in self._running:
                continue
            lifespan = _Lifespan(app, self._scope or {})
            failure = await lifespan.start(seconds)
            if failure is not None:
                await self.stop(started)
                raise LifespanError(app, failure)
            self._running[app] = lifespan
            started.append(app)

    async def stop(self, apps: Iterable[ASGIApp], seconds: float | None = None) -> list[str]:
        """Stop those of ``apps`` that run, in reverse, within ``seconds`` each; return what failed."""
        failures: list[str] = []
        for app in reversed([*apps]):
            if app in self._running:
                failure = await self._running[app].stop(seconds)
                self._running.pop(app, None)
                failures += [] if failure is None else [failure]
        return failures

    async def end(self) -> list[str]:
        """Stop all that run, the last one first, and start no more; return what failed."""
        self._scope = None
        return await self.stop([*self._running])


class _Lifespan:
    """One application's lifespan, in a task of its own because it spans the whole run."""

    def __init__(self, app: ASGIApp, scope: Scope) -> None:
        self._app = app
        self._scope = scope
        self._said = asyncio.Queue[Message]()
        self._heard = asyncio.Queue[Message]()
        self._task = asyncio.create_task(self._run())

    async def start(self, seconds: float | None) -> str | None:
        """Start the application; return why it failed, if it did."""
        self._said.put_nowait({"type": "lifespan.startup"})
        try:
            async with asyncio.timeout(seconds):
                message = await self._heard.get()
        except TimeoutError:
            self._task.cancel()
            return f"did not start within {seconds:g} seconds"
        if message["type"] == "lifespan.startup.failed":
            return str(message.get("message", "")) or "an application failed to start"
        return None

    async def stop(self, seconds: float | None) -> str | None:
        """Stop the application and wait until it has stopped; return why it failed, if it did."""
        self._said.put_nowait({"type": "lifespan.shutdown"})
        await asyncio.wait([self._task], timeout=seconds)
        if not self._task.done():
            self._task.cancel()
            return f"an application did not stop within {seconds:g} seconds"
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
        except (KeyboardInterrupt, SystemExit) as error:
            # The event loop would end with them, and with it all that others are doing.
            words = f"wants to end the process: {error!r}"
            for step in ("startup", "shutdown"):
                self._heard.put_nowait({"type": f"lifespan.{step}.failed", "message": words})
        finally:
            self._heard.put_nowait({"type": "lifespan.unsupported"})
