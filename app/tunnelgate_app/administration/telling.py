"""What is said to people about tunnels: lines, tables and what a rotation does to connections."""

import shlex
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path

from tunnelgate_app.administration.failures import printable
from tunnelgate_app.administration.place import Place
from tunnelgate_app.administration.records import CLOUDFLARE, RELAY, Certificate, State, Tunnel

_DAY = "%Y-%m-%d"
_CA = "ca.crt"


def tunnel_table(tunnels: Iterable[tuple[Tunnel, State]]) -> str:
    """Return a line for each tunnel, below a heading."""
    rows = [
        (each.id, state.value, each.domain, each.transport or "not said", each.display_name or "")
        for each, state in tunnels
    ]
    return _table(("id", "state", "domain", "transport", "name"), rows)


def certificate_table(certificates: Iterable[Certificate], now: datetime) -> str:
    """Return a line for each certificate, below a heading."""
    rows = [(each.id, _standing(each, now), _end(each), each.fingerprint) for each in certificates]
    return _table(("id", "state", "expires", "SHA-256 of the DER"), rows)


def tunnel_lines(tunnel: Tunnel, state: State) -> str:
    """Return what is known of a tunnel, a line each."""
    said = {
        "id": tunnel.id,
        "name": tunnel.display_name or "none",
        "domain": tunnel.domain,
        "state": state.value,
        "transport": tunnel.transport or "not said",
        "created": tunnel.created_at.strftime(_DAY),
    }
    if tunnel.archived_at is not None:
        said["archived"] = tunnel.archived_at.strftime(_DAY)
    return "\n".join(f"{name:<11}{printable(value)}" for name, value in said.items())


def next_steps(tunnel: Tunnel, place: Place) -> str:
    """Return what is left to do before a new tunnel takes traffic."""
    if place.folder is None:
        init, which, file = f" --domain {tunnel.domain}", f" --tunnel-id {tunnel.id}", Path("data") / _CA
    else:
        init, which, file = f" --output {shlex.quote(str(place.folder))}", "", place.folder / _CA
    return (
        "It takes no traffic until a CA is registered:\n"
        f"  tunnelgate certs init{init}\n"
        f"  tunnelgate tunnel add-ca {shlex.quote(str(file))}{which}"
    )


def effect_of_rotation(transport: str | None) -> str:
    """Return what becomes of the connections that were made with the old token."""
    if transport == CLOUDFLARE:
        return (
            "The old token opens no more connections. Those that are open stay until they end, so give"
            " cloudflared the new token and restart it when it suits you."
        )
    if transport == RELAY:
        return (
            "The connections that were made with the old token are closed. Nothing comes through the tunnel"
            " until its connector runs with the new token."
        )
    return (
        "The old token opens no more connections. The API did not say which transport the tunnel has:"
        " connections of cloudflared stay until they end, and those of a relay are closed now. Give the"
        " connector the new token and restart it."
    )


def _standing(certificate: Certificate, now: datetime) -> str:
    if certificate.archived_at is not None:
        return "archived"
    return "expired" if certificate.is_expired(now) else "registered"


def _end(certificate: Certificate) -> str:
    return "never" if certificate.expires_at is None else certificate.expires_at.strftime(_DAY)


def _table(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    shown = [tuple(heading), *(tuple(map(printable, row)) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    lines = ("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)) for row in shown)
    return "\n".join(line.rstrip() for line in lines)
