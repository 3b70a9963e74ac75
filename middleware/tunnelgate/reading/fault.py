"""The only exception that a reader raises."""

from collections.abc import Mapping
from typing import Any

from tunnelgate.verdict import Deny, Reason


class Fault(Exception):
    """What was sent cannot be read as what it claims to be.

    ``reason`` and ``detail`` become the denial's; ``told`` is what its answer may name.
    """

    def __init__(self, reason: Reason, detail: str, told: Mapping[str, Any] | None = None) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
        self.told = told or {}

    def denial(self) -> Deny:
        """Return the verdict that this fault leads to: what cannot be read may not pass."""
        return Deny(self.reason, self.detail, self.told)
