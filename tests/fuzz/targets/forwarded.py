"""What proxies write is read as addresses only, and what a client wrote in front never becomes one of theirs.

An input is the lines of a field, one beside the other; it is also what a client sends to a proxy that
adds an element of its own.
"""

import ipaddress
from collections.abc import Iterator, Sequence

from tunnelgate.reading.address import Address, read_address
from tunnelgate.reading.fault import Fault
from tunnelgate.reading.forwarded import (
    MAX_HOPS,
    read_cf_connecting_ip,
    read_forwarded,
    read_x_forwarded_for,
)

MAX_LENGTH = 600
_OWN = ipaddress.IPv6Address("2001:db8::9")
# Proxies repeat in other parameters what a client said, such as its Host.
_OWN_ELEMENTS = (
    b'for="[2001:db8::9]"',
    b'For="[2001:db8::9]:4711";proto=https',
    b'by="_a";host=";for=10.0.0.5;x=";for="[2001:db8::9]"',
    b'host="\\";for=10.0.0.5,\\"";for="[2001:DB8::9]:_p"',
)


def check(data: bytes) -> None:
    lines = data.split(b"\n")
    for hops in (_hops(lines, is_list=True), _hops(lines, is_list=False)):
        assert len(hops) <= MAX_HOPS
        assert not any(isinstance(hop, ipaddress.IPv6Address) and hop.ipv4_mapped for hop in hops)
        texts = [f"[{hop}]" if hop.version == 6 else str(hop) for hop in reversed(hops)]
        if texts:
            assert list(read_x_forwarded_for([", ".join(texts).encode()])) == hops
            assert list(read_forwarded([f'for="{text}"'.encode() for text in texts])) == hops
    for own in _OWN_ELEMENTS:
        for written in ([data + b", " + own], [*lines, own]):
            assert _nearest(written) in (_OWN, None), "what stands in front is taken for the proxy's own"
    try:
        address = read_cf_connecting_ip(data)
    except Fault:
        return
    assert read_address(data.decode("ascii")) == address


def _hops(lines: Sequence[bytes], *, is_list: bool) -> list[Address]:
    try:
        return list(read_x_forwarded_for(lines) if is_list else read_forwarded(lines))
    except Fault:
        return []


def _nearest(lines: Sequence[bytes]) -> Address | None:
    try:
        return next(read_forwarded(lines))
    except Fault:
        return None


def seeds() -> Iterator[bytes]:
    yield from (b"203.0.113.7", b"203.0.113.7, 10.0.0.5:80", b"[2001:db8::7]:5555\n::ffff:10.0.0.1", b"")
    yield from (b"for=192.0.2.60;proto=http;by=203.0.113.43", b'For="[2001:db8:cafe::17]:4711"')
    yield from (b'for=192.0.2.43, for="[2001:db8:cafe::17]"', b"for=192.0.2.43\nfor=198.51.100.17")
    yield from (
        b"for=unknown",
        b"for=_hidden",
        b'for="_hidden:_port"',
        b'for="192.0.2.43:_p"',
        b";for=1.2.3.4;",
    )
    yield from (b'for=10.0.0.5;ext="', b'for=10.0.0.5;ext="\\', b'for="10.0.0.5', b"for=10.0.0.5;for=1.1.1.1")
    yield from (b"fe80::1%eth0", b"0203.0.113.7", b"203.113", b"203.0.113.7/32", b",".join([b"::1"] * 33))
