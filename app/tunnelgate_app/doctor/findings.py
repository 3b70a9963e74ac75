"""What the doctor finds: for each thing that it tried, what came back and what to do about it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum, unique


@unique
class Layer(StrEnum):
    """What lies between a client and a server's answer, in the order in which it is looked at."""

    CONFIGURATION = "configuration"
    EDGE = "edge"
    CONNECTOR = "connector"
    LISTENER = "listener"
    ROUTES = "routes"
    ADDRESSES = "addresses"
    UPSTREAMS = "upstreams"
    OAUTH = "oauth"
    TOOLS = "tools"
    CALL = "call"


@unique
class Status(StrEnum):
    """How it stands: as it should be, not so, worth knowing, or not tried."""

    FINE = "fine"
    WRONG = "wrong"
    WARNING = "warning"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was tried: what came back, and what to do unless it is fine.

    The texts may repeat what servers said; whoever prints them cleans them.
    """

    layer: Layer
    status: Status
    tried: str
    found: str
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Findings:
    """Makes the findings of one layer."""

    layer: Layer

    def fine(self, tried: str, found: str) -> Finding:
        """Return that something is as it should be."""
        return Finding(self.layer, Status.FINE, tried, found)

    def wrong(self, tried: str, found: str, advice: str) -> Finding:
        """Return that something is not as it should be."""
        return Finding(self.layer, Status.WRONG, tried, found, advice)

    def warning(self, tried: str, found: str, advice: str = "") -> Finding:
        """Return that something works, or cannot be told, and is worth knowing."""
        return Finding(self.layer, Status.WARNING, tried, found, advice)

    def skipped(self, tried: str, found: str, advice: str = "") -> Finding:
        """Return that something was not tried, and why."""
        return Finding(self.layer, Status.SKIPPED, tried, found, advice)


def is_ok(findings: Iterable[Finding]) -> bool:
    """Return whether nothing is wrong."""
    return all(each.status is not Status.WRONG for each in findings)


def counted(findings: Sequence[Finding]) -> dict[Status, int]:
    """Return how many findings have each status."""
    return {status: sum(each.status is status for each in findings) for status in Status}
