"""The connections to one upstream: those that idle are used again, for a while."""

import asyncio
import ssl
import time
from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from urllib.parse import urlsplit

from tunnelgate.errors import UpstreamFailed
from tunnelgate.upstream.connection import Connection
from tunnelgate.upstream.dialling import Dialler
from tunnelgate.verdict import Reason

# Servers close connections that idle, many of them after five seconds. A request that is sent just
# then is lost, and is not sent again.
IDLE_SECONDS = 4.0
# Where a name leads may change while a connection to where it led is never idle.
LIFETIME = 300.0
# Each caller has its own, and there may be any number of callers.
MAX_IDLE = 100


@dataclass(frozen=True, slots=True)
class Target:
    """Where an upstream is: ``host`` is a name or an address, ``tls`` is how ``https`` is spoken."""

    host: str
    port: int
    tls: ssl.SSLContext | None = None

    @classmethod
    def from_url(cls, url: str, tls: ssl.SSLContext | None) -> "Target":
        """Return where ``scheme://host:port`` is; ``tls`` is used where the scheme is ``https``.

        Raises :class:`ValueError` for another scheme, and for one that needs ``tls`` and has none.
        """
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("neither an http nor an https URL with a host")
        is_secure = parts.scheme == "https"
        port = parts.port or (443 if is_secure else 80)
        if is_secure and tls is None:
            raise ValueError("an https upstream needs to know whose certificates are believed")
        return cls(parts.hostname, port, tls if is_secure else None)

    @property
    def authority(self) -> bytes:
        """The target as ``Host`` names it (RFC 9110 section 7.2)."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        is_default = self.port == (80 if self.tls is None else 443)
        return (host if is_default else f"{host}:{self.port}").encode("ascii")


@dataclass(slots=True)
class _Idle:
    connection: Connection
    until: float
    caller: Hashable


class Pool:
    """Opens connections to ``target``, at most ``connect_timeout`` seconds each, and keeps them.

    What idles is used again for the same caller alone: a server that answers a question twice would
    answer the next one with what belongs to another.

    ``clock`` returns seconds that only grow.
    """

    def __init__(
        self,
        dialler: Dialler,
        target: Target,
        *,
        connect_timeout: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.target = target
        self._dialler = dialler
        self._connect_timeout = connect_timeout
        self._clock = clock
        self._idle: deque[_Idle] = deque()  # the one that was used last is at the right
        self._sweeper: asyncio.TimerHandle | None = None

    async def take(self, caller: Hashable = None, *, fresh: bool = False) -> Connection:
        """Return a connection, a new one where none idles or where it is to be ``fresh``.

        Raises :class:`~tunnelgate.errors.UpstreamFailed` where none can be had.
        """
        while not fresh and (idle := self._pop(caller)) is not None:
            if idle.until > self._clock() and idle.connection.is_usable:
                return idle.connection
            idle.connection.close()
        try:
            async with asyncio.timeout(self._connect_timeout):
                return await self._dialler.dial(
                    self.target.host,
                    self.target.port,
                    lambda: Connection(self._clock()),
                    tls=self.target.tls,
                )
        except TimeoutError:
            sentence = f"no connection within {self._connect_timeout:g} seconds"
            raise UpstreamFailed(Reason.UPSTREAM_TIMEOUT, sentence) from None

    def give_back(self, connection: Connection, caller: Hashable = None) -> None:
        """End the exchange on a connection, and keep it where it is good for another one."""
        now = self._clock()
        if not connection.finish():
            return
        if now - connection.opened > LIFETIME:
            connection.close()
            return
        self._idle.append(_Idle(connection, now + IDLE_SECONDS, caller))
        if len(self._idle) > MAX_IDLE:
            self._idle.popleft().connection.close()
        if self._sweeper is None:
            self._sweeper = asyncio.get_running_loop().call_later(IDLE_SECONDS, self._sweep)

    def _pop(self, caller: Hashable) -> _Idle | None:
        """Return what this caller used last, and keep it no longer."""
        for place in range(len(self._idle) - 1, -1, -1):
            idle = self._idle[place]
            if idle.caller == caller:
                del self._idle[place]
                return idle
        return None

    def close(self) -> None:
        """Close the connections that idle."""
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        while self._idle:
            connection = self._idle.pop().connection
            connection.close()
            connection.abort()  # nobody is left to wait for the server's side of it

    def _sweep(self) -> None:
        now = self._clock()
        while self._idle and self._idle[0].until <= now:
            self._idle.popleft().connection.close()
        self._sweeper = None
        if self._idle:
            seconds = max(self._idle[0].until - now, 0.1)
            self._sweeper = asyncio.get_running_loop().call_later(seconds, self._sweep)
