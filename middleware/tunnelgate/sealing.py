"""Sealing: what a client holds for us, it can neither read nor change, nor can another use it.

A gate that remembers nothing needs no store, and every replica with the same key can take the next
request. What would have been remembered is encrypted and authenticated, together with whom it was
given to and what for, and handed out in its place. The same text sealed for the same purpose is
the same again, so that two messages that name one thing still name one thing.

Specification: RFC 5297 (AES-SIV), RFC 5869 (HKDF).
"""

import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable, Sequence
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

MIN_KEY = 32  # octets
MAX_SEALED = 256 * 1024  # characters

_CIPHER_KEY = 64  # octets, for AES-256-SIV
_INFO = b"tunnelgate sealing 1"


class Sealer:
    """Seals texts under the first of ``keys`` and opens what any of them has sealed.

    ``keys`` are at least 32 random octets each. Raises :class:`ValueError` with a sentence for a
    shorter one, and for none.
    """

    def __init__(self, keys: Sequence[bytes]) -> None:
        if not keys:
            raise ValueError("there is no key to seal with")
        self._ciphers = [AESSIV(_derived(key)) for key in keys]

    @classmethod
    def random(cls) -> "Sealer":
        """Return a sealer that nobody else has; what it seals ends with this process."""
        return cls([secrets.token_bytes(MIN_KEY)])

    @classmethod
    def from_files(cls, paths: Iterable[str | Path]) -> "Sealer":
        """Return a sealer with the keys in these files, a line end behind each apart.

        Raises :class:`OSError` when one cannot be read and :class:`ValueError` for a short key.
        """
        keys: list[bytes] = []
        for path in paths:
            key = Path(path).read_bytes().removesuffix(b"\n").removesuffix(b"\r")
            if len(key) < MIN_KEY:
                raise ValueError(f"{Path(path).name} holds a key of fewer than {MIN_KEY} octets")
            keys.append(key)
        return cls(keys)

    def seal(self, plain: bytes, context: Iterable[bytes]) -> str:
        """Return ``plain``, sealed for ``context``, in the letters of URLs."""
        sealed = self._ciphers[0].encrypt(_padded(plain), list(context))
        return urlsafe_b64encode(sealed).rstrip(b"=").decode("ascii")

    def open(self, text: str, context: Iterable[bytes]) -> bytes | None:
        """Return what was sealed, or ``None`` if ``text`` was not sealed for exactly ``context``."""
        sealed = _decoded(text)
        if sealed is None:
            return None
        about = list(context)
        for cipher in self._ciphers:
            try:
                return cipher.decrypt(sealed, about)[1:]
            except (InvalidTag, ValueError):
                continue
        return None


def _padded(plain: bytes) -> bytes:
    return b"\x01" + plain  # the cipher takes nothing empty


def _decoded(text: str) -> bytes | None:
    if not 0 < len(text) <= MAX_SEALED or not text.isascii():
        return None
    try:
        sealed = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError:
        return None
    # One text for one meaning: no other spelling of the same octets.
    return sealed if urlsafe_b64encode(sealed).rstrip(b"=").decode("ascii") == text else None


def _derived(key: bytes) -> bytes:
    if len(key) < MIN_KEY:
        raise ValueError(f"a key of fewer than {MIN_KEY} octets")
    return HKDF(SHA256(), _CIPHER_KEY, salt=None, info=_INFO).derive(key)
