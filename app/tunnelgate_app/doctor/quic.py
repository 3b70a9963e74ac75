"""Tells whether somebody speaks QUIC, without speaking it: a version that nobody has is answered.

A server answers a first packet of an unknown version by a list of its own, when the datagram is as
long as the first of a connection. Nothing of it is encrypted, and the server keeps nothing.

Specification: RFC 9000 sections 6.1, 14.1, 15 and 17.2.1, RFC 8999 section 6.
"""

from dataclasses import dataclass
from typing import ClassVar

MIN_DATAGRAM = 1200  # octets of a datagram that may begin a connection
_UNKNOWN_VERSION = 0x1A2A3A4A  # of the pattern 0x?a?a?a?a, which is reserved to be unknown
_LONG_HEADER = 0xC0
_IS_LONG = 0x80
_CONNECTION_ID_OCTETS = 8
_VERSION_OCTETS = 4


@dataclass(frozen=True, slots=True)
class VersionProbe:
    """One question; both ids are random octets by which its answer is known."""

    RANDOM_OCTETS: ClassVar = 2 * _CONNECTION_ID_OCTETS

    destination: bytes
    source: bytes

    @classmethod
    def from_random(cls, octets: bytes) -> "VersionProbe":
        """Return the question with ids of the first sixteen of ``octets``."""
        return cls(octets[:_CONNECTION_ID_OCTETS], octets[_CONNECTION_ID_OCTETS : cls.RANDOM_OCTETS])

    @property
    def datagram(self) -> bytes:
        """What is sent."""
        head = (
            bytes([_LONG_HEADER])
            + _UNKNOWN_VERSION.to_bytes(_VERSION_OCTETS)
            + bytes([len(self.destination)])
            + self.destination
            + bytes([len(self.source)])
            + self.source
        )
        return head.ljust(MIN_DATAGRAM, b"\0")

    def is_answered_by(self, datagram: bytes) -> bool:
        """Return whether ``datagram`` is a list of versions in answer to this question."""
        ids = bytes([len(self.source)]) + self.source + bytes([len(self.destination)]) + self.destination
        start = 1 + _VERSION_OCTETS
        versions = datagram[start + len(ids) :]
        return (
            len(datagram) > start
            and bool(datagram[0] & _IS_LONG)
            and datagram[1:start] == bytes(_VERSION_OCTETS)
            and datagram[start : start + len(ids)] == ids
            and bool(versions)
            and len(versions) % _VERSION_OCTETS == 0
        )
