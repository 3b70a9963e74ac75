"""Whatever the text of an address is, no connection goes where nobody allowed one.

The first line is an address, as a name server or an author of a configuration might write it; the
others are what else such an author might name. What an address carries is found here from its octets.
"""

import ipaddress
from collections.abc import Iterator

from tests.fuzz.target import check_end_of_sentence
from tunnelgate.reading.address import Address, read_address
from tunnelgate.reading.fault import Fault
from tunnelgate.upstream.addresses import EVERY_ADDRESS, AddressRules, check_metadata, check_wrapped
from tunnelgate.verdict import Allow, Deny, Reason

MAX_LENGTH = 200
_PRIVATE = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fd12::/16")
_TRANSLATED = ("64:ff9b::/96", "2002::/16", "2001::/32", "::/96")
_RULES = (
    (AddressRules(_PRIVATE), _PRIVATE, ()),
    (AddressRules(EVERY_ADDRESS, wide=True), EVERY_ADDRESS, ()),
    (AddressRules((*_PRIVATE, "::/0"), wrapped=_TRANSLATED, wide=True), (*_PRIVATE, "::/0"), _TRANSLATED),
)
_NOWHERE = tuple(
    map(
        ipaddress.ip_network,
        (
            *("0.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3", "168.63.129.16", "192.0.0.192"),
            *("100.100.100.200", "::/128", "fe80::/9", "ff00::/8", "fd00:ec2::/32", "fd20:ce::254"),
            *("fd00:c1::a9fe:a9fe", "fd00:100::100:200", "fd00:42::42", "fd00:a9fe:a9fe::1"),
        ),
    )
)


def check(data: bytes) -> None:
    text, *words = data.decode("utf-8", "surrogateescape").split("\n")
    for word in words:
        _check_words(word)
    try:
        address = read_address(text)
    except Fault:
        return
    for rules, allowed, wrapped in _RULES:
        verdict = rules.decide(address)
        carried = _carried(address)
        if isinstance(verdict, Deny):
            assert verdict.reason is Reason.UPSTREAM_NOT_ALLOWED
            assert str(address) in verdict.detail
            continue
        assert isinstance(verdict, Allow)
        assert _is_in(address, allowed)
        assert not any(address in network for network in _NOWHERE)
        assert not carried or _is_in(address, wrapped)
        assert all(rules.decide(inner) for inner in carried)


def _check_words(word: str) -> None:
    for check_word in (check_metadata, check_wrapped):
        try:
            check_word(word)
        except ValueError as error:
            check_end_of_sentence(error)


def _is_in(address: Address, networks: tuple[str, ...]) -> bool:
    return any(address in ipaddress.ip_network(network) for network in networks)


def _carried(address: Address) -> list[Address]:
    octets = address.packed
    inner: list[bytes] = []
    if isinstance(address, ipaddress.IPv4Address) or address.is_loopback or address.is_unspecified:
        return []
    if octets[:12] in (bytes(12), bytes.fromhex("0000000000000000ffff0000"), b"\0d\xff\x9b" + bytes(8)):
        inner.append(octets[12:])
    if octets.startswith(b"\0d\xff\x9b\0\x01"):
        inner.append(octets[12:])
    if octets.startswith(b" \x02"):
        inner.append(octets[2:6])
    if octets.startswith(b" \x01\0\0"):
        inner += (octets[4:8], bytes(octet ^ 0xFF for octet in octets[12:]))
    if octets[8:12] in (b"\0\0^\xfe", b"\x02\0^\xfe"):
        inner.append(octets[12:])
    return [ipaddress.IPv4Address(each) for each in inner]


def seeds() -> Iterator[bytes]:
    yield from (b"10.1.2.3", b"172.31.255.255", b"192.168.0.1", b"fd12::1", b"8.8.8.8", b"127.0.0.1", b"::1")
    yield from (b"::ffff:10.1.2.3", b"::10.1.2.3", b"::ffff:0:a01:203", b"64:ff9b::a01:203", b"::ffff:7f00:1")
    yield from (b"64:ff9b:1::a9fe:a9fe", b"2002:a01:203::1", b"2001:0:a01:203:8000:ffff:f5fe:fdfc", b"::")
    yield from (b"2001:db8::5efe:a9fe:a9fe", b"2001:db8::200:5efe:a01:203", b"2002:a01:203::5efe:10.9.9.9")
    yield from (
        b"169.254.169.254",
        b"fd00:ec2::254",
        b"fd20:ce::254",
        b"168.63.129.16",
        b"0.0.0.0",
        b"fec0::1",
    )
    yield from (b"fe80::1%eth0", b"2130706433", b"0177.0.0.1", b"127.1", b"", b"10.1.2.3\n169.254.0.0/16")
    yield from (
        b"\n64:ff9b::/96\n64:ff9b:1::/48\n2002::/16\n::1\n::ffff:0:0/96",
        b"\n240.0.0.0/4\n224.0.0.1\n",
    )
    yield from (b"\n2001:db8::5efe:0:0/96", b"\nfd00:ec2::/32\nfd00::/8\nfe80::%1\n10.0.0.1/8\n0.0.0.0/0")
