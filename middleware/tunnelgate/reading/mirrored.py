"""Reads and writes the headers that repeat what a body of the 2026-07-28 era says.

Text that a header cannot hold stands in it as Base64 between two marks.

Specification: https://modelcontextprotocol.io/specification/2026-07-28/basic/transports/streamable-http
"Request Metadata", SEP-2243.
"""

import binascii
import re
from base64 import b64decode, b64encode
from collections.abc import Mapping

from tunnelgate.reading.fault import Fault
from tunnelgate.verdict import Reason

_SENTINEL = re.compile(rb"=\?base64\?([A-Za-z0-9+/]*={0,2})\?=")
_VISIBLE = re.compile(rb"[\x21-\x7e](?:[\t\x20-\x7e]*[\x21-\x7e])?")


def write_header(text: str) -> bytes:
    """Return ``text`` as the value of a mirrored header, in Base64 where it needs it."""
    octets = text.encode()
    if _VISIBLE.fullmatch(octets) and not octets.startswith(b"=?base64?"):
        return octets
    return b"=?base64?" + b64encode(octets) + b"?="


def read_header(value: bytes) -> str:
    """Return the text that a mirrored header carries.

    Raises :class:`~tunnelgate.reading.fault.Fault` (``header-mismatch``) for what is not one.
    """
    match = _SENTINEL.fullmatch(value)
    try:
        if match is not None:
            octets = b64decode(match[1], validate=True)
            if b64encode(octets) != match[1]:
                raise Fault(Reason.HEADER_MISMATCH, "a mirrored header is not canonical Base64")
            return octets.decode()
        return value.decode("ascii")
    except (binascii.Error, UnicodeDecodeError):
        raise Fault(Reason.HEADER_MISMATCH, "a mirrored header is not readable") from None


def check_mirrored(method: str, target: str | None, headers: Mapping[bytes, bytes]) -> None:
    """Check that ``Mcp-Method`` and ``Mcp-Name`` say what the body says; raises ``Fault``."""
    said = headers.get(b"mcp-method")
    if said is None or read_header(said.strip(b" \t")) != method:
        raise Fault(Reason.HEADER_MISMATCH, "Mcp-Method is not the method of the body")
    named = headers.get(b"mcp-name")
    if target is not None and (named is None or read_header(named.strip(b" \t")) != target):
        raise Fault(Reason.HEADER_MISMATCH, "Mcp-Name is not the name in the body")
