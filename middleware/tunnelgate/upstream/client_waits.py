"""While the client waits: what is done for a client ends when the client has gone."""

import asyncio
from types import TracebackType

from tunnelgate.asgi import Receive
from tunnelgate.errors import UpstreamFailed
from tunnelgate.verdict import Reason


class ClientWaits:
    """An asynchronous context manager, which ends its block when the client goes away.

    ``receive`` is the one of the request, whose body has been read. The block may take ``seconds``.
    Raises :class:`~tunnelgate.errors.UpstreamFailed` when it takes longer (``upstream-timeout``), and
    when the client has gone (``call-cancelled``).
    """

    def __init__(self, receive: Receive, seconds: float) -> None:
        self._receive = receive
        self._seconds = seconds
        self._limit = asyncio.timeout(seconds)
        self._watcher: asyncio.Task[None]
        self._is_gone = False

    async def __aenter__(self) -> None:
        """Begin to watch."""
        await self._limit.__aenter__()
        self._watcher = asyncio.create_task(self._watch())

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the watch."""
        self._watcher.cancel()
        try:
            await self._limit.__aexit__(kind, error, traceback)
        except TimeoutError:
            if self._is_gone:
                raise UpstreamFailed(Reason.CALL_CANCELLED, "the client has gone") from None
            sentence = f"not done after {self._seconds:g} seconds"
            raise UpstreamFailed(Reason.UPSTREAM_TIMEOUT, sentence) from None

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._is_gone = True
        if not self._limit.expired():
            self._limit.reschedule(asyncio.get_running_loop().time())
