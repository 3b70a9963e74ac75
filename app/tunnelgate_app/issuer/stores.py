"""Stores: what the issuer remembers while it runs, all of it bounded in number and in time."""

from collections import OrderedDict
from collections.abc import Callable
from hashlib import sha256
from typing import Generic, TypeVar

Clock = Callable[[], float]
V = TypeVar("V")


class Store(Generic[V]):
    """Values by their keys, at most ``limit`` of them; where one more comes, the oldest goes.

    A value is gone ``lifetime`` seconds after it was put in.
    """

    def __init__(self, *, limit: int, lifetime: float, clock: Clock) -> None:
        self._limit = limit
        self._lifetime = lifetime
        self._clock = clock
        self._entries: OrderedDict[str, tuple[float, V]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def put(self, key: str, value: V) -> None:
        """Keep a value, in the place of the one with the same key."""
        self._entries.pop(key, None)
        if len(self._entries) >= self._limit:
            self._entries.popitem(last=False)
        self._entries[key] = (self._clock() + self._lifetime, value)

    def get(self, key: str) -> V | None:
        """Return the value with this key while it lives."""
        end, value = self._entries.get(key, (0.0, None))
        return value if self._clock() < end else None

    def remove(self, key: str) -> None:
        """Forget the value with this key, if there is one."""
        self._entries.pop(key, None)

    def remove_where(self, is_to_go: Callable[[V], bool]) -> None:
        """Forget every value of which ``is_to_go`` says so."""
        for key in [key for key, (_, value) in self._entries.items() if is_to_go(value)]:
            del self._entries[key]


def fingerprint(secret: str) -> str:
    """Return the key under which something about a secret is kept, so that the secret itself is not."""
    return sha256(secret.encode()).hexdigest()
