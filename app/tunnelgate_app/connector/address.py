"""Where a gate listens, as a connector is told it."""

from dataclasses import dataclass

from tunnelgate_app.listening.addresses import UNIX, split_address

_MAX_PORT = 65535


@dataclass(frozen=True, slots=True)
class GateAddress:
    """An address to dial: ``host`` and ``port``, or the ``path`` of a Unix socket."""

    host: str = ""
    port: int = 0
    path: str | None = None

    @classmethod
    def read(cls, text: str) -> "GateAddress":
        """Return the address of ``127.0.0.1:8080``, ``[::1]:8080``, ``:8080`` or ``unix:/run/gate.sock``.

        Raises :class:`ValueError` with the end of a sentence.
        """
        if text.startswith(UNIX):
            return cls(path=text.removeprefix(UNIX))
        try:
            host, port = split_address(text)
        except ValueError:
            host, port = "", 0
        if not 0 < port <= _MAX_PORT:
            raise ValueError("is not an address such as 127.0.0.1:8080 or unix:/run/gate.sock")
        return cls(host or "127.0.0.1", port)

    def __str__(self) -> str:
        if self.path is not None:
            return f"{UNIX}{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
