"""Runs what may take as long as it likes, such as somebody's module, without waiting for it in the end."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


async def in_thread(function: Callable[[], T], seconds: float) -> T:
    """Return what ``function`` returns, and raise what it raises, or after ``seconds`` TimeoutError."""
    future: Future[T] = Future()
    future.set_running_or_notify_cancel()

    def run() -> None:
        try:
            future.set_result(function())
        except Exception as error:  # noqa: BLE001 - it is raised where it is waited for
            future.set_exception(error)

    # The threads of an executor are waited for when the process ends; this one is not.
    threading.Thread(target=run, name="doctor", daemon=True).start()
    async with asyncio.timeout(seconds):
        return await asyncio.wrap_future(future)
