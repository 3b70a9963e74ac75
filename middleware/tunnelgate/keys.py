"""Where the keys come from that an issuer signs with: a file, a URL, or its own metadata.

Specification: RFC 7517 section 5, RFC 8414 section 2.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from tunnelgate.discovery import Discovery, locate
from tunnelgate.errors import KeysUnavailable
from tunnelgate.fetching import OK, Fetch
from tunnelgate.jwks import KeySet, VerificationKey, read_keys
from tunnelgate.refreshing import Refreshing


class KeySource(Protocol):
    """Has the keys of one issuer."""

    async def find(self, key_id: str) -> VerificationKey | None:
        """Return the key with this ``kid``, or ``None`` when the issuer has no such key.

        Raises :class:`~tunnelgate.errors.KeysUnavailable` when nobody can tell.
        """
        ...


class StaticKeys:
    """Keys that do not change while the process runs, such as those of a file.

    Raises :class:`ValueError` as :func:`~tunnelgate.jwks.read_keys` does.
    """

    def __init__(self, document: bytes) -> None:
        self._keys = read_keys(document)

    @classmethod
    def from_file(cls, path: Path) -> "StaticKeys":
        """Return the keys of the JWK set in a file; raises :class:`OSError` besides."""
        return cls(path.read_bytes())

    async def find(self, key_id: str) -> VerificationKey | None:
        """Return the key with this ``kid``, if there is one."""
        return self._keys.get(key_id)


class RemoteKeys:
    """Keys that an issuer publishes at a URL, which may be that of its metadata.

    They are fetched when first needed, again before they are ``max_age`` seconds old, and for a
    ``kid`` that is not among them once in ``cooldown`` seconds; requests that need the same fetch
    share it, and those that do not need it do not wait.
    While the endpoint is down, keys are used for ``max_stale`` seconds after they were fetched.

    ``fetch`` is an HTTP client, see :mod:`tunnelgate.fetching`.
    ``clock`` returns seconds that only ever grow.
    Raises :class:`ValueError` where ``max_stale`` is less than ``max_age``.
    """

    def __init__(
        self,
        location: str | Discovery,
        fetch: Fetch,
        *,
        max_age: float = 600,
        cooldown: float = 30,
        max_stale: float = 3600,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._location = location
        self._fetch = fetch
        self._keys = Refreshing(
            self._load,
            what=f"keys from {location}",
            max_age=max_age,
            cooldown=cooldown,
            max_stale=max_stale,
            clock=clock,
        )

    async def find(self, key_id: str) -> VerificationKey | None:
        """Return the key with this ``kid``, fetching the set when it is old or lacks the key."""
        keys = await self._keys.get(lambda keys: key_id in keys)
        if keys is None:
            raise KeysUnavailable(f"no {self._keys.what}")
        return keys.get(key_id)

    async def _load(self) -> KeySet:
        fetched = await self._fetch(await locate(self._location, "jwks_uri"))
        if fetched.status != OK:
            raise OSError(f"status {fetched.status}")
        return read_keys(fetched.body)
