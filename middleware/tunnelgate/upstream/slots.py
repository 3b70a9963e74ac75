"""A number of things that may go on at the same time; one more is refused, never queued."""

from collections.abc import Generator
from contextlib import contextmanager

from tunnelgate.errors import UpstreamFailed
from tunnelgate.verdict import Reason


class Slots:
    """``count`` slots for what is called ``what`` in the log."""

    def __init__(self, count: int, what: str) -> None:
        self._count = count
        self._what = what
        self.taken = 0

    @contextmanager
    def one(self) -> Generator[None]:
        """Hold a slot; raises :class:`~tunnelgate.errors.UpstreamFailed` where none is left."""
        if self.taken >= self._count:
            raise UpstreamFailed(Reason.UPSTREAM_BUSY, f"{self.taken} {self._what} are open")
        self.taken += 1
        try:
            yield
        finally:
            self.taken -= 1
