"""What the doctor is told: whom to examine, how long it may take, and what it has to do it with."""

import secrets
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tunnelgate import Policy
from tunnelgate.upstream.resolving import Resolve, resolve_by_system
from tunnelgate_app.connector.address import GateAddress
from tunnelgate_app.doctor.judging.call import Call
from tunnelgate_app.doctor.targets import Target
from tunnelgate_app.doctor.trying.edge import API, REGIONS

DEFAULT_SECONDS = 5.0
_CHECKS_IN_ALL = 12  # that may come one after the other and take their whole time
_ANY_ADDRESS = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - nothing is bound


@dataclass(frozen=True, slots=True)
class Options:
    """What a person said.

    ``route`` is the only one to look at, ``connector`` where cloudflared has its metrics,
    ``authorities`` the certificate of the tunnel's CA, ``gate`` where the gate listens, ``token`` an
    access token and ``call`` a harmless call. ``client_address`` is whom the connector would say that
    it speaks for. ``seconds`` are for each check.
    """

    config: Path
    route: str | None = None
    connector: str | None = None
    authorities: Path | None = None
    gate: GateAddress | None = None
    token: str | None = None
    call: Call | None = None
    client_address: str | None = None
    is_offline: bool = False
    seconds: float = DEFAULT_SECONDS
    regions: tuple[Target, ...] = REGIONS
    api: Target = API

    @property
    def seconds_in_all(self) -> float:
        """How long the whole examination may take."""
        return self.seconds * _CHECKS_IN_ALL

    def routes(self, policy: Policy) -> tuple[str, ...]:
        """Return the names of the routes to look at."""
        return tuple(policy.routes) if self.route is None else (self.route,)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What is outside of the doctor: the environment, names, clocks and random octets.

    ``authorities`` say whose certificates are believed of the API, and ``leave_out`` is told what is
    never to be shown.
    """

    environment: Mapping[str, str]
    leave_out: Callable[[str], None]
    authorities: ssl.SSLContext = field(default_factory=ssl.create_default_context)
    resolve: Resolve = resolve_by_system
    clock: Callable[[], float] = time.time
    octets: Callable[[int], bytes] = secrets.token_bytes


def gate_address(policy: Policy) -> GateAddress:
    """Return where a connector on this machine finds the gate."""
    address = GateAddress.read(policy.listen_addr)
    if address.path is not None:
        return address
    return GateAddress(_ANY_ADDRESS.get(address.host, address.host), address.port)


def transport_of(policy: Policy) -> Literal["http", "tls", "tunnel"]:
    """Return what the connector speaks with the gate."""
    return policy.transport or ("http" if policy.tls is None else "tunnel")
