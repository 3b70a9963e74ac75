"""An address is read as the C library reads it, and its text is read as the same address again."""

import ipaddress
import socket
from collections.abc import Iterator

from tunnelgate.reading.address import read_address
from tunnelgate.reading.fault import Fault

MAX_LENGTH = 80
_MAPPED = b"\0" * 10 + b"\xff" * 2


def check(data: bytes) -> None:
    text = data.decode("utf-8", "surrogateescape")
    try:
        address = read_address(text)
    except Fault:
        return
    family = socket.AF_INET6 if ":" in text else socket.AF_INET
    packed = socket.inet_pton(family, text)
    assert address.packed == packed.removeprefix(_MAPPED)
    assert read_address(str(address)) == address
    assert isinstance(address, ipaddress.IPv4Address) or address.ipv4_mapped is None


def seeds() -> Iterator[bytes]:
    yield from (
        b"203.0.113.7",
        b"169.254.169.254",
        b"::ffff:169.254.169.254",
        b"64:ff9b::7f00:1",
        b"2002:7f00:1::",
    )
    yield from (
        b"2130706433",
        b"0177.0.0.1",
        b"0x7f000001",
        b"127.1",
        b"fd00:ec2::254",
        b"[::1]",
        b"unix:",
        b"::",
    )
    yield from (b"127.0.0.1", b"::1", b"::ffff:10.0.0.1", b"::FFFF:a00:1", b"fe80::1%eth0", b"010.0.0.1")
    yield from (b"2001:db8::1:0:0:1", "\u0661.2.3.4".encode(), b"1.2.3.4\n", b"", b"0x7f.1", b"::1.2.3.4")
