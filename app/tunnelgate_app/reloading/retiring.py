"""Ends what a new generation does not use any more, once nobody has anything to do with it."""

import asyncio
import logging
from collections.abc import Container, Mapping
from contextlib import suppress

from tunnelgate.audit import AuditFile, AuditSink
from tunnelgate.calls import Calls
from tunnelgate.chain import Gate
from tunnelgate.exchange import Exchange
from tunnelgate_app.lifespans import Lifespans
from tunnelgate_app.reloading.generation import Generation, Target

logger = logging.getLogger("tunnelgate")

_CUT_SECONDS = 0.25  # that calls have to end when they are cut


class Retiring:
    """The generations that were replaced, for as long as they have requests.

    An application behind a route that is another one by now stops when no earlier generation has
    requests, and at the latest after ``shutdown_timeout``, when the calls that it still has are ended.
    """

    def __init__(self, lifespans: Lifespans, calls: Calls) -> None:
        self._lifespans = lifespans
        self._calls = calls
        self._earlier: list[Generation] = []
        self._tasks: set[asyncio.Task[None]] = set()

    def replace(self, before: Generation, new: Generation) -> None:
        """Take note that ``new`` stands in place of ``before``."""
        self._earlier = [each for each in (*self._earlier, before) if each.usage.count]
        dropped = {
            name: target for name, target in before.targets.items() if new.targets.get(name) is not target
        }
        audit = None if before.materials.audit is new.materials.audit else before.materials.audit
        if dropped or isinstance(audit, AuditFile):
            task = asyncio.create_task(
                self._retire([*self._earlier], dropped, audit, new.policy.shutdown_timeout)
            )
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def stop(self) -> None:
        """Wait for nobody any more; what runs is stopped with all the rest."""
        for task in tuple(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _retire(
        self,
        earlier: list[Generation],
        dropped: Mapping[str, Target],
        audit: AuditSink | None,
        seconds: float,
    ) -> None:
        await _over(earlier, seconds)
        self._cut([each.gate for each in earlier], dropped)
        await _over(earlier, _CUT_SECONDS)
        for failure in await self._lifespans.stop([target.app for target in dropped.values()], seconds):
            logger.warning("an application that is not used any more: %s", failure)
        if isinstance(audit, AuditFile):
            await _over(earlier, None)
            audit.close()

    def _cut(self, gates: list[Gate], routes: Container[str | None]) -> None:
        def is_meant(exchange: Exchange) -> bool:
            return exchange.route in routes and any(each.has_judged(exchange) for each in gates)

        self._calls.end_where(is_meant, "what stands behind its route is another")


async def _over(generations: list[Generation], seconds: float | None) -> None:
    """Return when none of them has requests any more, at the latest after ``seconds``."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            for each in generations:
                await each.usage.over()
