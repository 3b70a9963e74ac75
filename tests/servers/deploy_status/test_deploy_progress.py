"""Progress of work that is done in a thread."""

from typing import Any, cast

import anyio
import pytest
from mcp.server.mcpserver import Context

from tunnelgate_servers.deploy_status.catalogue import Progress
from tunnelgate_servers.deploy_status.progress import with_progress
from tunnelgate_servers.hosting import UnavailableError

pytestmark = pytest.mark.anyio


class SlowReader:
    """Somebody to whom nothing can be told before the work is done."""

    def __init__(self) -> None:
        self.is_done = anyio.Event()
        self.told: list[tuple[float, float | None, str | None]] = []

    async def report_progress(
        self, progress: float, total: float | None = None, message: str | None = None
    ) -> None:
        await self.is_done.wait()
        self.told.append((progress, total, message))

    @property
    def context(self) -> Context[Any, Any]:
        return cast("Context[Any, Any]", self)


async def test_work_does_not_wait_for_who_reads_slowly_and_all_is_told_in_the_end() -> None:
    reader = SlowReader()

    def work(progress: Progress) -> str:
        for step in range(1000):
            progress(step, 1000)
        anyio.from_thread.run_sync(reader.is_done.set)
        return "done"

    with anyio.fail_after(10):
        result = await with_progress(reader.context, "Working", work)

    assert result == "done"
    assert reader.told == [(step, 1000, "Working") for step in range(1000)]


async def test_what_the_work_raises_comes_as_it_is() -> None:
    def work(_: Progress) -> None:
        raise UnavailableError("It is lost.")

    with anyio.fail_after(10), pytest.raises(UnavailableError, match=r"^It is lost\.$"):
        await with_progress(SlowReader().context, "Working", work)
