"""Where the token of a tunnel is kept: in the folder of the tunnel, or in a file alone."""

import os
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tunnelgate_app.administration.errors import AdministrationError
from tunnelgate_app.administration.files import (
    PRIVATE,
    PUBLIC,
    TUNNEL_DOMAIN,
    TUNNEL_ID,
    TUNNEL_TOKEN,
    kept_tunnel_id,
    reserved,
    write_whole,
)
from tunnelgate_app.administration.records import Tunnel
from tunnelgate_app.certificates.files import locked
from tunnelgate_app.certificates.owner import Owner, unreachable


@dataclass(frozen=True, slots=True)
class Place:
    """Where a token is written to: into ``folder``, with what else is known of the tunnel, or alone.

    The token then belongs to ``owner``.
    """

    token_file: Path
    folder: Path | None
    owner: Owner | None = None

    @classmethod
    def of(cls, folder: Path, token_file: Path | None, owner: Owner | None = None) -> "Place":
        """Return the place that ``token_file`` is, or else ``folder``."""
        if token_file is None:
            return cls(folder / TUNNEL_TOKEN, folder, owner)
        return cls(token_file, None, owner)

    @contextmanager
    def open_for(self, tunnel_id: str | None) -> Generator[Callable[[str], None]]:
        """Give what writes the token of ``tunnel_id``, or of a tunnel that is to be made.

        Nobody else changes the place meanwhile, and that it can be written is known before anything is
        asked of the API. Raises :class:`~tunnelgate_app.errors.CommandError`, also where the place is
        that of another tunnel.
        """
        with locked(self.token_file.parent, make=True):
            self._check(tunnel_id)
            with reserved(self.token_file, PRIVATE, self.owner) as write:
                yield write

    def write_tunnel(self, tunnel: Tunnel) -> None:
        """Write what is known of the tunnel, where it has a folder; raises :class:`AdministrationError`."""
        if self.folder is not None:
            write_whole(self.folder / TUNNEL_ID, tunnel.id, PUBLIC)
            write_whole(self.folder / TUNNEL_DOMAIN, tunnel.domain, PUBLIC)

    def warnings(self) -> tuple[str, ...]:
        """Return a sentence where ``owner`` cannot reach the token."""
        folder = self.token_file.parent
        return tuple(f"{folder}: {each}" for each in unreachable(folder, self.owner))

    def _check(self, tunnel_id: str | None) -> None:
        kept = None if self.folder is None else kept_tunnel_id(self.folder)
        if kept is not None and kept != tunnel_id:
            raise AdministrationError(
                f"{self.folder} is the folder of the tunnel {kept} already; use that one,"
                " or give another folder by --output"
            )
        if tunnel_id is None and os.path.lexists(self.token_file):
            raise AdministrationError(f"{self.token_file} is there already, and is not written over")
