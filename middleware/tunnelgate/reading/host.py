"""Reads the value of ``Host``: a name or an address, and perhaps a port.

Specification: RFC 9110 section 7.2, RFC 3986 section 3.2.2 (without user information and
percent-encoding, which no HTTP client sends), RFC 1123 section 2.1 for lengths.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv6Address

from tunnelgate.reading.fault import Fault
from tunnelgate.verdict import Reason

# An underscore is no letter of a hostname, but names with one exist in zone files:
# readable, and then unknown, rather than malformed.
_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_NAME = re.compile(rf"(?P<name>{_LABEL}(?:\.{_LABEL})*)(?::(?P<port>[1-9][0-9]{{0,4}}))?", re.ASCII)
_IPV6 = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]{2,45}\])(?::(?P<port>[1-9][0-9]{0,4}))?", re.ASCII)
_MAX_NAME = 253
_MAX_PORT = 65535
_MAX_VALUE = _MAX_NAME + len(":65535")


@dataclass(frozen=True, slots=True)
class Host:
    """A hostname in lower case, and the port that was written, if one was."""

    name: str
    port: int | None


def read_host(value: bytes) -> Host:
    """Return the host that ``value`` names.

    Raises :class:`~tunnelgate.reading.fault.Fault` (``host-malformed``) for anything that the
    grammar does not produce; a value is never repaired.
    """
    if len(value) > _MAX_VALUE:
        raise Fault(Reason.HOST_MALFORMED, "not a hostname with an optional port")
    return _read_host(value)


@lru_cache(maxsize=1024)
def _read_host(value: bytes) -> Host:
    try:
        text = value.decode("ascii")
    except UnicodeDecodeError:
        raise Fault(Reason.HOST_MALFORMED, "not ASCII") from None
    match = _NAME.fullmatch(text) or _IPV6.fullmatch(text)
    if match is None or len(match["name"]) > _MAX_NAME or not _is_address_or_name(match["name"]):
        raise Fault(Reason.HOST_MALFORMED, "not a hostname with an optional port")
    port = None if match["port"] is None else int(match["port"])
    if port is not None and port > _MAX_PORT:
        raise Fault(Reason.HOST_MALFORMED, "no such port")
    return Host(match["name"].lower(), port)


def _is_address_or_name(name: str) -> bool:
    if not name.startswith("["):
        return True
    try:
        IPv6Address(name[1:-1])
    except ValueError:
        return False
    return True
