"""Where somebody should answer."""

import re
from dataclasses import dataclass

_TARGET = re.compile(r"(?P<host>\[[0-9a-fA-F:.]+\]|[^\s:\[\]/@]+):(?P<port>[0-9]{1,5})")
_MAX_PORT = 65535


@dataclass(frozen=True, slots=True)
class Target:
    """A host, which is a name or an address, and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @classmethod
    def from_text(cls, text: str) -> "Target":
        """Return the target in ``host:port``; raises :class:`ValueError` with the end of a sentence."""
        match = _TARGET.fullmatch(text)
        if match is None or not 0 < int(match["port"]) <= _MAX_PORT:
            raise ValueError("is not host:port, such as region1.v2.argotunnel.com:7844")
        return cls(match["host"].strip("[]"), int(match["port"]))
