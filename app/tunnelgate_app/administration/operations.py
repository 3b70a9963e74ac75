"""What takes more than one question to the Tunnels API, in the order that loses no token."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tunnelgate_app.administration.authority import Authority
from tunnelgate_app.administration.errors import AdministrationError
from tunnelgate_app.administration.place import Place
from tunnelgate_app.administration.records import RELAY, Certificate, State, Tunnel, TunnelToken, state_of

if TYPE_CHECKING:  # what it imports may be missing
    from tunnelgate_app.administration.client import TunnelsClient

MAX_CERTIFICATES = 2


@dataclass(frozen=True, slots=True)
class Registered:
    """A CA certificate that is registered; ``was_there`` is whether it was before it was asked for."""

    certificate: Certificate
    was_there: bool


def create_tunnel(
    client: "TunnelsClient", display_name: str | None, place: Place
) -> tuple[Tunnel, TunnelToken]:
    """Make a tunnel, and write its token to ``place``, which is made sure of before.

    Raises :class:`AdministrationError`, which names the tunnel where one was made.
    """
    with place.open_for(None) as write:
        tunnel, token = client.create(display_name)
        try:
            place.write_tunnel(tunnel)
            if token is None:
                token = client.reveal_token(tunnel.id)
            write(token.value)
        except AdministrationError as error:
            raise AdministrationError(
                f"the tunnel {tunnel.id} was made, with the domain {tunnel.domain}, but {error}."
                f" {_another_token(tunnel)}"
            ) from None
    return tunnel, token


def reveal_token(client: "TunnelsClient", tunnel_id: str, place: Place) -> tuple[Tunnel, TunnelToken]:
    """Write the token that a tunnel has to ``place``; raises :class:`AdministrationError`."""
    with place.open_for(tunnel_id) as write:
        tunnel = _usable(client, tunnel_id)
        token = client.reveal_token(tunnel_id)
        place.write_tunnel(tunnel)
        write(token.value)
    return tunnel, token


def rotate_token(
    client: "TunnelsClient", tunnel_id: str, place: Place, reason: str | None
) -> tuple[Tunnel, TunnelToken]:
    """Give a tunnel a new token, and write it to ``place``, which is made sure of before.

    Raises :class:`AdministrationError`.
    """
    with place.open_for(tunnel_id) as write:
        tunnel = _usable(client, tunnel_id)
        token = client.rotate_token(tunnel_id, reason)
        try:
            place.write_tunnel(tunnel)
            write(token.value)
        except AdministrationError as error:
            raise AdministrationError(
                f"the token was rotated, but {error}. The old token is invalid. {_another_token(tunnel)}"
            ) from None
    return tunnel, token


def add_ca(client: "TunnelsClient", tunnel_id: str, authority: Authority) -> Registered:
    """Register a CA for a tunnel, unless it is there already; raises :class:`AdministrationError`."""
    certificates = client.certificates(tunnel_id)
    for each in certificates:
        if each.fingerprint == authority.fingerprint:
            return Registered(each, was_there=True)
    if len(certificates) >= MAX_CERTIFICATES:
        there = "".join(f"\n  {each.id}  SHA-256 {each.fingerprint}{_until(each)}" for each in certificates)
        raise AdministrationError(
            f"{tunnel_id} has {len(certificates)} CAs, and {MAX_CERTIFICATES} is the most; archive the one"
            f" that no server certificate is signed by any more (tunnelgate tunnel archive-ca):{there}"
        )
    certificate = client.add_certificate(tunnel_id, authority.pem)
    if certificate.fingerprint != authority.fingerprint:
        raise AdministrationError(
            f"the API registered {certificate.id} with the fingerprint {certificate.fingerprint}, and the"
            f" CA has {authority.fingerprint}; archive it: tunnelgate tunnel archive-ca {certificate.id}"
        )
    return Registered(certificate, was_there=False)


def list_tunnels(client: "TunnelsClient", *, archived: bool) -> tuple[tuple[Tunnel, State], ...]:
    """Return the tunnels with their states, for which each is asked for its CAs."""
    return tuple((each, current_state(client, each)) for each in client.tunnels(archived=archived))


def current_state(client: "TunnelsClient", tunnel: Tunnel) -> State:
    """Return the state of a tunnel; raises :class:`AdministrationError`."""
    return state_of(tunnel, () if tunnel.archived_at is not None else client.certificates(tunnel.id))


def _usable(client: "TunnelsClient", tunnel_id: str) -> Tunnel:
    tunnel = client.tunnel(tunnel_id)
    if tunnel.archived_at is not None:
        raise AdministrationError(f"{tunnel_id} is archived, and its token is invalid for good")
    return tunnel


def _another_token(tunnel: Tunnel) -> str:
    verb = "rotate-token" if tunnel.transport == RELAY else "reveal-token"
    return f"Get a token of it with: tunnelgate tunnel {verb} --tunnel-id {tunnel.id}"


def _until(certificate: Certificate) -> str:
    return f"  expires {certificate.expires_at:%Y-%m-%d}" if certificate.expires_at else ""
