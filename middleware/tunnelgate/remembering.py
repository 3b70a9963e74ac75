"""What is remembered for a while, so that nobody has to be asked or paid for it again.

A bounded number of values, each until its own time; beyond the bound the one that was put in first
is forgotten.
"""

from collections import OrderedDict
from typing import Generic, TypeVar

_V = TypeVar("_V")


class Remembered(Generic[_V]):
    """At most ``limit`` values by a key of octets, such as the digest of a token."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._values: OrderedDict[bytes, tuple[float, _V]] = OrderedDict()

    def get(self, key: bytes, now: float) -> _V | None:
        """Return the value, if there is one and it is not over at ``now``, in seconds."""
        until, value = self._values.get(key, (now, None))
        return value if now < until else None

    def put(self, key: bytes, value: _V, until: float) -> None:
        """Remember ``value`` until a time of the same clock."""
        self._values[key] = (until, value)
        self._values.move_to_end(key)
        if len(self._values) > self._limit:
            self._values.popitem(last=False)

    def forget(self, key: bytes) -> None:
        """Forget what there may be."""
        self._values.pop(key, None)
