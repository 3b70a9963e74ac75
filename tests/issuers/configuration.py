"""What a gate is told about an issuer, beside its name."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.issuers.provider import CALLER, GATE, Client


def secret_file(folder: Path, client: Client, secret: str | None = None) -> str:
    """Write a client's secret into a file as a person would, and return its path."""
    file = folder / f"{client.name}.secret"
    file.write_text(f"{client.secret if secret is None else secret}\n", "utf-8")
    return str(file)


def introspecting(
    issuer: str, folder: Path, *, client: Client = GATE, secret: str | None = None, **introspection: Any
) -> dict[str, Any]:
    """Return an issuer of opaque tokens, of which the gate asks as ``client``."""
    return {
        "issuer": issuer,
        "token_formats": ["opaque"],
        "introspection": {
            "client_id": client.name,
            "client_secret_file": secret_file(folder, client, secret),
            "client_authentication": client.authentication,
            **introspection,
        },
    }


def credentials(kind: str, issuer: str, folder: Path, **wanted: Any) -> Mapping[str, Any]:
    """Return credentials that the gate gets from ``issuer`` as a client of its own."""
    client = {"client_id": CALLER.name, "client_secret_file": secret_file(folder, CALLER)}
    return {kind: {"issuer": issuer, **client, **wanted}}
