"""A network is one that is meant: not everything, not half of an address, and written one way only.

Besides that, whether an address is inside it is the same question for the network and its text.
"""

import ipaddress
from collections.abc import Iterator

from tests.fuzz.target import check_end_of_sentence
from tunnelgate.reading.address import read_address, read_network

MAX_LENGTH = 100


def check(data: bytes) -> None:
    text = data.decode("utf-8", "surrogateescape")
    try:
        network = read_network(text)
    except ValueError as error:
        check_end_of_sentence(error)
        return
    assert 0 < network.prefixlen <= network.max_prefixlen
    assert read_network(str(network)) == network
    first, last = network.network_address, network.broadcast_address
    assert text.startswith((str(first), text.partition("/")[0]))
    assert ipaddress.ip_address(text.partition("/")[0]) == first
    assert int(last) - int(first) == network.num_addresses - 1
    assert read_address(str(first)) in network, "its own first address comes from another network"


def seeds() -> Iterator[bytes]:
    yield from (
        b"127.0.0.1/32",
        b"203.0.113.0/24",
        b"fd00::/8",
        b"64:ff9b::/96",
        b"2002::/16",
        b"fe80::/10",
        b"",
    )
    yield from (b"10.0.0.0/8", b"10.0.0.1/8", b"0.0.0.0/0", b"::/0", b"::ffff:0:0/96", b"::ffff:10.0.0.0/104")
    yield from (b"10.0.0.0/255.0.0.0", b"10.0.0.0/0.255.255.255", b"2001:db8::/32", b"::1%lo/128", b"::/95")
    yield from (b"10.0.0.0/", b"10.0.0.0/08", b"10.0.0.0/+8", b"10.0.0.0/8/8", "10.0.0.0/٨".encode())
