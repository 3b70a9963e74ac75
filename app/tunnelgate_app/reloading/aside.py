"""Runs aside what may take its time, and leaves it behind where that does not end.

A file may lie on a disk that hangs, and a module may do anything when it is imported. Nothing ends a
thread from outside, so such a one stays until the process ends, and does not keep it from ending.
"""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import TypeVar

_T = TypeVar("_T")
_Work = SimpleQueue[Callable[[], None] | None]


class LeftBehindError(Exception):
    """Something did not end in time; the text is the end of a sentence about it."""


class Aside:
    """One thread for what is to be done aside, one after the other, and another where it does not end."""

    def __init__(self) -> None:
        self._work: _Work | None = None

    async def run(self, function: Callable[[], _T], seconds: float) -> _T:
        """Return what ``function`` returns in the thread, and raise what it raises.

        Raises :class:`LeftBehindError` after ``seconds``.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[_T] = loop.create_future()

        def succeed(outcome: _T) -> None:
            if not future.done():
                future.set_result(outcome)

        def fail(error: BaseException) -> None:
            if not future.done():
                future.set_exception(error)

        def work() -> None:
            with suppress(RuntimeError):  # the loop is closed, and nobody waits any more
                try:
                    outcome = function()
                except BaseException as error:  # noqa: BLE001 - whoever waits gets it
                    loop.call_soon_threadsafe(fail, error)
                else:
                    loop.call_soon_threadsafe(succeed, outcome)

        if self._work is None:
            self._work = _start()
        self._work.put(work)
        try:
            async with asyncio.timeout(seconds):
                return await future
        except TimeoutError:
            self.end()
            raise LeftBehindError(f"takes longer than {seconds:g} seconds to read and to open") from None

    def end(self) -> None:
        """End the thread when it has done what it has to do; what comes afterwards gets another."""
        if self._work is not None:
            self._work.put(None)
            self._work = None


def _start() -> _Work:
    work: _Work = SimpleQueue()
    threading.Thread(target=_do, args=(work,), name="tunnelgate-reload", daemon=True).start()
    return work


def _do(work: _Work) -> None:
    while (each := work.get()) is not None:
        each()
