"""How many requests a generation of the gate still has."""

import asyncio


class Usage:
    """Counts requests; none begins any more once the generation has been replaced."""

    def __init__(self) -> None:
        self.count = 0
        self._over: asyncio.Event | None = None

    def begin(self) -> None:
        """Take note of a request that begins."""
        self.count += 1

    def end(self) -> None:
        """Take note of a request that has ended."""
        self.count -= 1
        if self._over is not None and not self.count:
            self._over.set()

    async def over(self) -> None:
        """Return when the last one has ended."""
        if self._over is None:
            self._over = asyncio.Event()
        if not self.count:
            self._over.set()
        await self._over.wait()
