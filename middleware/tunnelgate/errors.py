"""The exceptions that callers may meet.

::

    TunnelgateError
      ConfigurationError      what was configured cannot be run; lists every fault
      Unavailable             something that we depend on is down
        KeysUnavailable       the keys of an issuer cannot be had
        IssuerUnavailable     an issuer does not answer what it is asked
        CredentialUnavailable a token for the application behind the gate cannot be had
        ReplayWindowFull      nobody can tell any more which proofs are new
        AuditUnavailable      a decision could not be written down
      UpstreamFailed          what stands behind the gate did not answer as it should
"""

from collections.abc import Sequence
from dataclasses import dataclass

from tunnelgate.verdict import Reason


class TunnelgateError(Exception):
    """The root of all exceptions of this library."""


@dataclass(frozen=True, slots=True)
class ConfigurationFault:
    """One thing that is wrong: where (``routes.docs.tools``), what was found, and why it cannot be."""

    path: str
    value: str
    sentence: str

    def __str__(self) -> str:
        found = f" = {self.value}" if self.value else ""
        return f"{self.path}{found}: {self.sentence}"


class ConfigurationError(TunnelgateError):
    """A configuration is accepted whole or not at all; ``faults`` has everything that is wrong."""

    def __init__(self, source: str, faults: Sequence[ConfigurationFault]) -> None:
        self.source = source
        self.faults = tuple(faults)
        count = "1 fault" if len(self.faults) == 1 else f"{len(self.faults)} faults"
        super().__init__("\n  ".join([f"{source}: {count}", *map(str, self.faults)]))


class Unavailable(TunnelgateError):
    """Something that a decision needs is down: nobody can tell, so nothing passes."""

    reason = Reason.INTERNAL_ERROR


class KeysUnavailable(Unavailable):
    """The keys of an issuer cannot be had, and none that may still be used are at hand."""

    reason = Reason.KEYS_UNAVAILABLE


class IssuerUnavailable(Unavailable):
    """An issuer does not answer what it is asked, or answers what cannot be believed."""

    reason = Reason.ISSUER_UNAVAILABLE


class CredentialUnavailable(Unavailable):
    """A token for the application behind the gate cannot be had."""

    reason = Reason.CREDENTIAL_UNAVAILABLE


class ReplayWindowFull(Unavailable):
    """So many proofs came lately that nobody can tell whether one more is new."""

    reason = Reason.REPLAY_WINDOW_FULL


class AuditUnavailable(Unavailable):
    """A decision could not be written down, so it is not carried out."""

    reason = Reason.AUDIT_UNAVAILABLE


class UpstreamFailed(TunnelgateError):
    """What stands behind the gate was not reached, or did not answer; ``reason`` says which.

    The request was allowed, so this is no decision. ``detail`` is for the log alone; ``retry_after``
    is in how many seconds it is worth while to ask again, where that is known.
    """

    def __init__(self, reason: Reason, detail: str = "", *, retry_after: float | None = None) -> None:
        super().__init__(f"{reason}: {detail}" if detail else str(reason))
        self.reason = reason
        self.detail = detail
        self.retry_after = retry_after
