"""What a fuzz target is: a module with a property of one reader, and inputs to begin with.

Nothing here imports a reader, so that the fuzzer can do that and watch which branches are taken.
"""

from collections.abc import Iterable
from importlib import import_module
from typing import Protocol, cast

NAMES = (
    "address",
    "answer",
    "answer_head",
    "bearer",
    "dpop",
    "event_stream",
    "forwarded",
    "head",
    "host",
    "http_answer",
    "media_type",
    "message",
    "mirrored",
    "network",
    "strict_json",
    "upstream_address",
    "uri_template",
)


class Target(Protocol):
    """A module of `tests.fuzz.targets`."""

    @property
    def MAX_LENGTH(self) -> int:  # noqa: N802 - a constant of the module
        """The octets that an input may have."""
        ...

    def check(self, data: bytes, /) -> None:
        """Raise whatever the reader raises by mistake, or `AssertionError` where its promise is broken."""
        ...

    def seeds(self) -> Iterable[bytes]:
        """Return inputs that lead far into the reader."""
        ...


def load(name: str) -> Target:
    """Return the target of this name."""
    return cast("Target", import_module(f"tests.fuzz.targets.{name}"))


def check_end_of_sentence(error: ValueError) -> None:
    """Check that an error is one of ours, which goes on behind the value that it is about."""
    assert str(error).split(" ", 1)[0] in {"allows", "does", "has", "is", "writes"}, f"a stray {error!r}"
