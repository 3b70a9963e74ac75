"""The proofs that were seen lately, so that none passes twice.

Specification: RFC 9449 section 11.1.
"""

from collections import Counter
from collections.abc import Container
from hashlib import blake2b
from threading import Lock

from tunnelgate.errors import ReplayWindowFull

CAPACITY = 200_000  # proofs in one window; about 20 MB each
_SHARE = 4  # nobody may take more than a quarter of it


class ReplayWindow:
    """Remembers for at least ``seconds`` what it was told, in two generations of at most that age.

    ``capacity`` is how many it remembers of each; when it is full nobody can tell any more what is
    new. One client has a share of it, so that none keeps everybody else out.
    Raises :class:`ValueError` for a window that would remember nothing.
    """

    def __init__(self, seconds: float, *, capacity: int = CAPACITY) -> None:
        if not seconds > 0:
            raise ValueError(f"seconds {seconds!r} is no time, so nothing would be remembered")
        if capacity < 1:
            raise ValueError(f"capacity {capacity!r} is no room, so every proof would be refused")
        self.seconds = seconds
        self._capacity = capacity
        self._old: set[bytes] = set()
        self._young: set[bytes] = set()
        self._shares: Counter[str] = Counter()
        self._turns_at = 0.0
        self._lock = Lock()  # because a new policy is made in a thread of its own

    def is_new(self, key: str, proof_id: str, now: float, owner: str | None = None) -> bool:
        """Return whether ``key`` has not shown this proof before, and remember it.

        ``now`` is in seconds; ``owner`` is whose share it takes room of, by default the key's own.
        Raises :class:`~tunnelgate.errors.ReplayWindowFull`.
        """
        # A digest, because the client chooses how long the text is.
        digest = blake2b(f"{key}\0{proof_id}".encode(), digest_size=16).digest()
        owner = key if owner is None else owner
        with self._lock:
            self._turn(now)
            if digest in self._young or digest in self._old:
                return False
            if len(self._young) >= self._capacity or self._shares[owner] >= self._capacity / _SHARE:
                raise ReplayWindowFull(f"{len(self._young)} proofs, {self._shares[owner]} of this client")
            self._young.add(digest)
            self._shares[owner] += 1
        return True

    def lengthen(self, seconds: float) -> None:
        """Remember for at least ``seconds`` from now on, also what is remembered already."""
        with self._lock:
            longer = max(0.0, seconds - self.seconds)
            self.seconds += longer
            self._turns_at += longer

    def is_empty(self, now: float) -> bool:
        """Return whether nothing is left that still counts at ``now``, in seconds."""
        with self._lock:
            self._turn(now)
            return not self._young and not self._old

    def _turn(self, now: float) -> None:
        if now < self._turns_at:
            return
        # What has not been turned for a whole window holds nothing that still counts.
        self._old = self._young if now < self._turns_at + self.seconds else set()
        self._young = set()
        self._shares.clear()
        self._turns_at = now + self.seconds


class ReplayWindows:
    """The windows of all the resources that tokens are made for.

    They outlive the policy: what was shown before it changed is not new afterwards.
    """

    def __init__(self) -> None:
        self._windows: dict[str, ReplayWindow] = {}

    def __len__(self) -> int:
        return len(self._windows)

    def window(self, resource: str, seconds: float) -> ReplayWindow:
        """Return the window of ``resource``, which remembers for at least ``seconds``."""
        window = self._windows.setdefault(resource, ReplayWindow(seconds))
        window.lengthen(seconds)
        return window

    def forget(self, but: Container[str], now: float) -> None:
        """Drop the windows of other resources in which nothing is left at ``now``, in seconds."""
        for resource, window in list(self._windows.items()):
            if resource not in but and window.is_empty(now):
                del self._windows[resource]
