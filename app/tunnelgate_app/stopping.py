"""Ends what a stopping server still has open, and the process where that does not end.

uvicorn waits for each connection and each call, and some never end: connections whose clients take
nothing of their answers, and calls that do not heed their cancellation.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, Literal, Self

from uvicorn.server import ServerState

logger = logging.getLogger("tunnelgate")

CUT_SECONDS = 0.25  # that calls have to end when they are cancelled
LAST_SECONDS = 0.9  # that a process may stay beyond its time
_POLL_SECONDS = 0.05
_SAYING_SECONDS = 0.05


class Draining:
    """The connections and calls of a server that takes no more of them."""

    def __init__(self, state: ServerState) -> None:
        self._connections: set[Any] = state.connections
        self._tasks = state.tasks

    async def finish(self, until: float) -> None:
        """Return when each call is answered and each connection closed, or at ``until``.

        That is a time of the event loop's clock.
        """
        loop = asyncio.get_running_loop()
        self._close()
        while (self._connections or self._tasks) and loop.time() < until:
            await asyncio.sleep(min(_POLL_SECONDS, until - loop.time()))
            self._close()

    async def cut(self) -> None:
        """End what is left."""
        if self._tasks:
            logger.warning("calls that did not end in time are cut: %d", len(self._tasks))
            tasks = tuple(self._tasks)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks, timeout=CUT_SECONDS)
        for connection in tuple(self._connections):
            connection.transport.abort()

    def _close(self) -> None:
        for connection in tuple(self._connections):
            if not connection.transport.is_closing():
                connection.shutdown()  # again, for the sake of those that have come up since


class LastResort:
    """Ends the process ``seconds`` after it was told to stop, where it is still there.

    ``leave`` is called with the exit code.
    """

    def __init__(self, seconds: float, leave: Callable[[int], object]) -> None:
        self._seconds = seconds
        self._leave = leave
        self._heard = SimpleQueue[Literal["stop", "over"]]()  # usable in signal handlers, unlike locks

    def __enter__(self) -> Self:
        threading.Thread(target=self._watch, name="last-resort", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._heard.put("over")

    def begin(self) -> None:
        """Begin to count."""
        self._heard.put("stop")

    def _watch(self) -> None:
        if self._heard.get() == "over":
            return
        time.sleep(self._seconds)
        saying = threading.Thread(
            target=logger.error, args=("what does not end is left behind",), daemon=True
        )
        saying.start()
        saying.join(_SAYING_SECONDS)  # who holds the log may be what does not end
        self._leave(0)
