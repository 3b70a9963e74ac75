"""The key that the development issuer signs with, kept in a file that only its owner can read."""

import os
from dataclasses import dataclass
from pathlib import Path

import orjson
from joserfc.jwk import ECKey

ALGORITHM = "ES256"


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A P-256 key with a ``kid``."""

    key: ECKey

    @classmethod
    def generate(cls) -> "SigningKey":
        """Return a new key; its ``kid`` is its RFC 7638 thumbprint."""
        key = ECKey.generate_key("P-256", {"use": "sig", "alg": ALGORITHM}, private=True)
        key.ensure_kid()
        return cls(key)

    @classmethod
    def from_file(cls, path: Path) -> "SigningKey":
        """Return the key in a file that :meth:`write` wrote; raises :class:`OSError` without one."""
        return cls(ECKey.import_key(orjson.loads(path.read_bytes())))

    def write(self, path: Path) -> None:
        """Write the key, private part included, to a new file that only its owner can read."""
        path.unlink(missing_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(orjson.dumps(self.key.as_dict(private=True)))

    def public_set(self) -> bytes:
        """Return the JWK set that the issuer publishes."""
        return orjson.dumps({"keys": [self.key.as_dict(private=False)]})
