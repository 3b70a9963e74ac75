"""What the library needs of an HTTP client: one small document at a time, whole or not at all.

The library brings no client of its own. Whoever puts a gate together passes in one that dials
only where it may, follows no redirect, and gives up after a while and at a size.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from tunnelgate.reading.fault import Fault
from tunnelgate.reading.strict_json import is_object, read_json

OK = 200


@dataclass(frozen=True, slots=True)
class Fetched:
    """An answer: its status, its media type in lower case and without parameters, and its body."""

    status: int
    media_type: str
    body: bytes


class Fetch(Protocol):
    """Asks for a document."""

    async def __call__(
        self, url: str, *, form: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None
    ) -> Fetched:
        """Return what is answered at ``url`` to GET, or to POST where there is a ``form``.

        Raises :class:`OSError` where there is no whole answer.
        """
        ...


def read_object(body: bytes) -> Mapping[str, Any]:
    """Return the JSON object that an issuer answered; raises :class:`ValueError` for anything else."""
    try:
        value, _ = read_json(body)
    except Fault as fault:
        # The detail of a JSON fault quotes what it found, which here may be part of a credential.
        raise ValueError(f"an answer that cannot be read: {fault.reason}") from None
    if not is_object(value):
        raise ValueError("an answer that is no object")
    return value
