"""Runs aside what may take its time, and leaves it behind where that does not end.

A file may lie on a disk that hangs, and a module may do anything when it is imported. Nothing ends a
thread from outside, so such a one stays until the process ends, and does not keep it from ending.
"""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

_T = TypeVar("_T")


class LeftBehindError(Exception):
    """Something did not end in time; the text is the end of a sentence about it."""


async def run_aside(function: Callable[[], _T], seconds: float) -> _T:
    """Return what ``function`` returns in a thread of its own, and raise what it raises.

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

    def run() -> None:
        with suppress(RuntimeError):  # the loop is closed, and nobody waits any more
            try:
                outcome = function()
            except BaseException as error:  # noqa: BLE001 - whoever waits gets it
                loop.call_soon_threadsafe(fail, error)
            else:
                loop.call_soon_threadsafe(succeed, outcome)

    threading.Thread(target=run, name="tunnelgate-reload", daemon=True).start()
    try:
        async with asyncio.timeout(seconds):
            return await future
    except TimeoutError:
        raise LeftBehindError(f"takes longer than {seconds:g} seconds to read and to open") from None
