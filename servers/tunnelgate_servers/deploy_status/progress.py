"""Progress of work that is done in a thread, told to whoever waits for it."""

import math
from collections.abc import Callable
from typing import Any, TypeVar

from anyio import create_memory_object_stream, create_task_group, from_thread, to_thread
from anyio.streams.memory import MemoryObjectReceiveStream
from mcp.server.mcpserver import Context

from tunnelgate_servers.deploy_status.catalogue import Progress
from tunnelgate_servers.hosting import ServerError

_T = TypeVar("_T")
_Steps = MemoryObjectReceiveStream[tuple[int, int]]


async def with_progress(context: Context[Any, Any], message: str, work: Callable[[Progress], _T]) -> _T:
    """Return what `work` returns, which runs in a thread and is given a function to tell its progress.

    That function never waits for a client, however slowly it reads. Raises what `work` raises.
    """
    send, receive = create_memory_object_stream[tuple[int, int]](math.inf)

    def progress(done: int, total: int) -> None:
        from_thread.run_sync(send.send_nowait, (done, total))

    def worked() -> _T | ServerError:
        try:
            return work(progress)
        except ServerError as error:
            return error  # which the task group would wrap

    found: list[_T | ServerError] = []
    async with create_task_group() as group:
        group.start_soon(_tell, context, message, receive)
        with send:
            found.append(await to_thread.run_sync(worked))
    if isinstance(found[0], ServerError):
        raise found[0]
    return found[0]


async def _tell(context: Context[Any, Any], message: str, steps: _Steps) -> None:
    with steps:
        async for done, total in steps:
            await context.report_progress(done, total, message)
