"""A sink that keeps its records, and one that cannot."""

from collections.abc import Mapping
from typing import Any

from tunnelgate import AuditUnavailable


class Records:
    """Keeps audit records in memory."""

    def __init__(self) -> None:
        self.all: list[Mapping[str, Any]] = []

    def write(self, record: Mapping[str, Any]) -> None:
        self.all.append(record)

    @property
    def verdicts(self) -> list[tuple[str, str | None]]:
        """Verdict and reason of each record, in order."""
        return [(record["verdict"], record["reason"]) for record in self.all]


class FullDisk:
    """Fails as a file on a full disk does."""

    def write(self, record: Mapping[str, Any]) -> None:
        raise AuditUnavailable("audit.jsonl: No space left on device")
