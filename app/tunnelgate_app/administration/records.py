"""What the Tunnels API keeps: tunnels, the CA certificates that are registered for them, and their tokens."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

CLOUDFLARE = "cloudflare"
RELAY = "relay"


class State(StrEnum):
    """The state of a tunnel, in the words of the Console."""

    NEEDS_CERTIFICATE = "Needs certificate"
    ACTIVE = "Active"
    ARCHIVED = "Archived"


@dataclass(frozen=True, slots=True)
class Tunnel:
    """A tunnel.

    ``transport`` says which connector it needs: ``cloudflare``, ``relay``, what else the API says, or
    ``None`` where it says nothing.
    """

    id: str
    domain: str
    display_name: str | None
    transport: str | None
    created_at: datetime
    archived_at: datetime | None

    def document(self, state: State) -> dict[str, Any]:
        """Return the tunnel for programs that read JSON."""
        return {
            "id": self.id,
            "domain": self.domain,
            "display_name": self.display_name,
            "state": state,
            "transport": self.transport,
            "created_at": self.created_at,
            "archived_at": self.archived_at,
        }


@dataclass(frozen=True, slots=True)
class Certificate:
    """A CA certificate that is registered for a tunnel, or was.

    ``fingerprint`` is the SHA-256 of its DER encoding in lower-case hexadecimal.
    """

    id: str
    tunnel_id: str
    fingerprint: str
    created_at: datetime
    expires_at: datetime | None
    archived_at: datetime | None

    def is_expired(self, now: datetime) -> bool:
        """Return whether the certificate's period is over."""
        return self.expires_at is not None and self.expires_at <= now

    def document(self, now: datetime) -> dict[str, Any]:
        """Return the certificate for programs that read JSON."""
        return {
            "id": self.id,
            "tunnel_id": self.tunnel_id,
            "fingerprint": self.fingerprint,
            "created_at": self.created_at,
            "expires_at": self.expires_at,
            "archived_at": self.archived_at,
            "expired": self.is_expired(now),
        }


@dataclass(frozen=True, slots=True)
class TunnelToken:
    """What a connector authenticates with; whoever has it can take the connector's place."""

    id: str
    value: str = field(repr=False)


def state_of(tunnel: Tunnel, certificates: Iterable[Certificate]) -> State:
    """Return the state of a tunnel for which ``certificates`` were registered."""
    if tunnel.archived_at is not None:
        return State.ARCHIVED
    if any(each.archived_at is None for each in certificates):
        return State.ACTIVE
    return State.NEEDS_CERTIFICATE
