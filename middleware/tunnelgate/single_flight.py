"""One piece of work for all who want the same at the same time."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

_V = TypeVar("_V")


class SingleFlight(Generic[_V]):
    """Work that is under way, by a key of octets. Its length is how much of it there is."""

    def __init__(self) -> None:
        self._tasks: dict[bytes, asyncio.Task[_V]] = {}

    def __len__(self) -> int:
        return len(self._tasks)

    def __contains__(self, key: bytes) -> bool:
        return key in self._tasks and not self._tasks[key].done()

    async def run(self, key: bytes, start: Callable[[], Coroutine[Any, Any, _V]]) -> _V:
        """Return what the work for ``key`` comes to, which ``start`` begins unless it is under way."""
        task = self._tasks.get(key)
        if task is None or task.done():
            # A task of its own: who goes away takes the outcome from nobody else.
            task = self._tasks[key] = asyncio.create_task(start())
            task.add_done_callback(lambda task: self._end(key, task))
        return await asyncio.shield(task)

    def _end(self, key: bytes, task: "asyncio.Task[_V]") -> None:
        # Here and not at the end of the task, because one that is cancelled early has no such end.
        if self._tasks.get(key) is task:
            del self._tasks[key]
        # When everybody who waited is gone, nobody else looks at how it ended.
        if not task.cancelled():
            task.exception()
