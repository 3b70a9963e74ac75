"""One value from elsewhere that changes now and then: fetched when needed, by one request for all.

It is kept fresh before it grows old, used on while its source is down, and never used beyond a
stated age. Requests that need the same fetch share it; those that do not need it do not wait.
"""

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from tunnelgate.errors import Unavailable

logger = logging.getLogger("tunnelgate")

_T = TypeVar("_T")
_RETRY = 5.0  # seconds after an attempt that failed
_AHEAD = 0.75  # of its greatest age, from which on a value is fetched anew while it is still used


def _is_any(_: object) -> bool:
    return True


class Refreshing(Generic[_T]):
    """What ``load`` returned last.

    It is loaded when first needed, again before it is ``max_age`` seconds old, and when it is not
    enough, because what was loaded a moment ago may have changed since. For the latter reason it is
    loaded once in ``cooldown`` seconds. After an attempt that failed, the next waits for five.
    While ``load`` fails, the last value is used until ``max_stale`` seconds after it was loaded.

    ``load`` raises :class:`OSError`, :class:`ValueError` or :class:`~tunnelgate.errors.Unavailable`.
    ``what`` names the value in the log; ``clock`` returns seconds that only ever grow.
    Raises :class:`ValueError` where ``max_stale`` is less than ``max_age``.
    """

    def __init__(
        self,
        load: Callable[[], Awaitable[_T]],
        *,
        what: str,
        max_age: float = 600,
        cooldown: float = 30,
        max_stale: float = 3600,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if max_stale < max_age:
            raise ValueError("max_stale is less than max_age: values would expire before they are fetched")
        self.what = what
        self._load = load
        self._max_age = max_age
        self._cooldown = cooldown
        self._max_stale = max_stale
        self._clock = clock
        self._value: _T | None = None
        self._loaded_at = -math.inf
        self._tried_at = -math.inf
        self._missed_at = -math.inf
        self._refreshing: asyncio.Task[None] | None = None

    async def get(self, is_enough: Callable[[_T], bool] = _is_any) -> _T | None:
        """Return the value, loading it when it is old or not enough.

        Returns ``None`` when there is none that may still be used, and when it is not known
        whether a newer one would be enough. A value that is the latest is returned, enough or not.
        """
        has_joined = self._refreshing is not None
        value = await self._get(is_enough)
        if has_joined and (value is None or not is_enough(value)):
            # What was on its way may be from before there was what is wanted.
            value = await self._get(is_enough)
        return value

    async def _get(self, is_enough: Callable[[_T], bool]) -> _T | None:
        has_enough = self._value is not None and is_enough(self._value)
        age = self._age()
        is_wanting = not has_enough or age > self._max_age * _AHEAD
        has_failed = self._loaded_at < self._tried_at
        # An old value is for while its source is down, and not for while it is being asked.
        is_usable = has_enough and age <= (self._max_stale if has_failed else self._max_age)
        is_missing = self._value is not None and not has_enough
        rested_since = self._missed_at if is_missing and not has_failed else self._tried_at
        pause = min(self._cooldown, _RETRY) if has_failed else self._cooldown
        if is_wanting and self._refreshing is None and self._clock() - rested_since > pause:
            # A task of its own: a request that goes away takes the value from nobody else.
            self._refreshing = asyncio.create_task(self._refresh(is_missing=is_missing))
            self._refreshing.add_done_callback(self._end)
            is_usable = has_enough and age <= self._max_age
        if not is_usable and self._refreshing is not None:
            await asyncio.shield(self._refreshing)
        value = self._value
        if value is None or self._age() > self._max_stale:
            return None
        is_latest = self._loaded_at >= self._tried_at
        return value if is_latest or is_enough(value) else None

    def _age(self) -> float:
        return self._clock() - self._loaded_at

    async def _refresh(self, *, is_missing: bool) -> None:
        value: _T | None = None
        try:
            value = await self._load()
        except (OSError, ValueError, Unavailable) as error:
            logger.error("%s: %s", self.what, str(error) or type(error).__name__)
        finally:
            self._tried_at = self._clock()
            if is_missing:
                self._missed_at = self._tried_at
        if value is not None:
            self._value = value
            self._loaded_at = self._tried_at

    def _end(self, refreshing: "asyncio.Task[None]") -> None:
        # Here and not at the end of the task, because one that is cancelled early has no such end.
        self._refreshing = None
        error = None if refreshing.cancelled() else refreshing.exception()
        if error is not None:
            logger.error("%s: %s", self.what, type(error).__name__, exc_info=error)
