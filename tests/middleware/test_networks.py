from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tunnelgate.networks import Networks
from tunnelgate.reading.address import Address, Network, read_address

MAPPED = IPv6Network("::ffff:0:0/96")


@pytest.mark.parametrize(
    ("networks", "sentence"),
    [
        pytest.param([], "^no network is listed, so every client would be refused$", id="none"),
        pytest.param(["*"], r"^'\*' is not a network such as", id="a star"),
        pytest.param(["localhost"], "^'localhost' is not a network such as", id="a name"),
        pytest.param([""], "^'' is not a network such as", id="an empty text"),
        pytest.param(
            ["10.1.2.3/8"], "^'10.1.2.3/8' has bits set behind its prefix", id="bits behind the prefix"
        ),
        pytest.param(["::ffff:10.0.0.0/104"], "writes IPv4 addresses in IPv6 form", id="mapped addresses"),
        pytest.param(["10.0.0.0/8", "::1", "x", "y"], "^'x' is not a network", id="the first of two faults"),
        pytest.param("10.0.0.0/8", "^'1' is not a network such as", id="a text in place of a list"),
    ],
)
def test_networks_that_could_not_be_meant_are_refused_at_construction(
    networks: Iterable[str], sentence: str
) -> None:
    for wide in (False, True):
        with pytest.raises(ValueError, match=sentence):
            Networks(networks, wide=wide)


@pytest.mark.parametrize(
    ("network", "sentence"),
    [
        pytest.param("0.0.0.0/0", "allows every address; list the networks that are meant", id="all of IPv4"),
        pytest.param("::/0", "allows every address; list the networks that are meant", id="all of IPv6"),
        pytest.param("0.0.0.0/1", "is wider than /4; list the networks that are meant", id="half of IPv4"),
        pytest.param("2000::/3", "is wider than /7; list the networks that are meant", id="all of the net"),
    ],
)
def test_a_wide_network_needs_its_own_word_which_the_sentence_names(network: str, sentence: str) -> None:
    listed = ["10.0.0.0/8", network]

    with pytest.raises(ValueError, match=f"^'{network}' {sentence}, or set allow_wide_networks$"):
        Networks(listed)
    with pytest.raises(ValueError, match=f"^'{network}' {sentence}, or set trust_wide_networks$"):
        Networks(listed, word="trust_wide_networks")
    assert ip_network(network).broadcast_address in Networks(listed, wide=True)


def test_all_of_one_version_holds_nothing_of_the_other() -> None:
    assert IPv4Address("255.255.255.255") in Networks(["0.0.0.0/0"], wide=True)
    assert IPv6Address("::") not in Networks(["0.0.0.0/0"], wide=True)
    assert IPv6Address("::ffff:10.0.0.1") in Networks(["::/0"], wide=True)
    assert read_address("::ffff:10.0.0.1") not in Networks(["::/0"], wide=True)


LISTED = ["10.0.0.0/8", "192.0.2.7", "192.0.2.128/25", "2001:db8::/32", "::1"]


@pytest.mark.parametrize(
    ("address", "is_in"),
    [
        pytest.param("9.255.255.255", False, id="one before a network"),
        pytest.param("10.0.0.0", True, id="the first of a network"),
        pytest.param("10.1.2.3", True, id="inside a network"),
        pytest.param("10.255.255.255", True, id="the last of a network"),
        pytest.param("11.0.0.0", False, id="one behind a network"),
        pytest.param("192.0.2.6", False, id="one before a single address"),
        pytest.param("192.0.2.7", True, id="a single address"),
        pytest.param("192.0.2.8", False, id="one behind a single address"),
        pytest.param("192.0.2.127", False, id="between two networks"),
        pytest.param("192.0.2.255", True, id="the last of the last network"),
        pytest.param("0.0.0.0", False, id="the first IPv4 address"),
        pytest.param("255.255.255.255", False, id="the last IPv4 address"),
        pytest.param("::1", True, id="the IPv6 loopback"),
        pytest.param("::", False, id="the first IPv6 address"),
        pytest.param("2001:db7:ffff:ffff:ffff:ffff:ffff:ffff", False, id="one before an IPv6 network"),
        pytest.param("2001:db8::", True, id="the first of an IPv6 network"),
        pytest.param("2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", True, id="the last of an IPv6 network"),
        pytest.param("2001:db9::", False, id="one behind an IPv6 network"),
        pytest.param("::ffff:10.1.2.3", True, id="a mapped address inside an IPv4 network"),
        pytest.param("::ffff:11.0.0.0", False, id="a mapped address outside"),
        pytest.param("::10.1.2.3", False, id="a compatible address is another one"),
        pytest.param("64:ff9b::10.1.2.3", False, id="a translated address is another one"),
        pytest.param("2002:a01:203::1", False, id="a 6to4 address is another one"),
        pytest.param("::a00:1", False, id="the same number in the other version"),
    ],
)
def test_an_address_is_in_the_networks_or_it_is_not(address: str, is_in: bool) -> None:  # noqa: FBT001
    assert (read_address(address) in Networks(LISTED)) is is_in


@pytest.mark.parametrize(
    ("networks", "inside", "outside"),
    [
        pytest.param(["10.0.0.0/8"], "10.0.0.1", "::a00:1", id="nothing but IPv4"),
        pytest.param(["::/8"], "::1", "0.0.0.1", id="nothing but IPv6"),
        pytest.param(["10.0.0.0/8", "10.0.0.0/8"], "10.0.0.1", "11.0.0.0", id="one twice"),
        pytest.param(["10.0.0.0/16", "10.0.0.0/8"], "10.255.0.0", "11.0.0.0", id="one inside the next"),
        pytest.param(["10.0.0.0/8", "10.9.0.0/16"], "10.255.0.0", "11.0.0.0", id="one inside the one before"),
        pytest.param(["10.0.1.0/24", "10.0.0.0/24"], "10.0.1.0", "10.0.2.0", id="neighbours, backwards"),
        pytest.param(["0.0.0.0/1", "128.0.0.0/1"], "255.255.255.255", "::", id="two halves"),
        pytest.param(
            ["0.0.0.0/8", "255.0.0.0/8"], "255.255.255.255", "1.0.0.0", id="the first and the last network"
        ),
    ],
)
def test_networks_that_overlap_or_touch_are_one(networks: list[str], inside: str, outside: str) -> None:
    of_networks = Networks(networks, wide=True)

    assert read_address(inside) in of_networks
    assert read_address(outside) not in of_networks


def test_any_iterable_of_networks_is_read_once() -> None:
    networks = Networks(text for text in ("10.0.0.0/8", "::1"))

    assert IPv4Address("10.1.2.3") in networks
    assert IPv6Address("::1") in networks


def test_a_thousand_networks_each_hold_their_own_addresses() -> None:
    networks = Networks(f"10.{number >> 7}.{number % 128 * 2}.0/24" for number in range(1000))

    for number in range(1000):
        assert IPv4Address(f"10.{number >> 7}.{number % 128 * 2}.255") in networks
        assert IPv4Address(f"10.{number >> 7}.{number % 128 * 2 + 1}.0") not in networks


@st.composite
def networks_of(draw: st.DrawFn, addresses: st.SearchStrategy[Address]) -> Network:
    address = draw(addresses)
    prefix = draw(st.integers(0, address.max_prefixlen))
    return ip_network((int(address), prefix) if address.version == 6 else f"{address}/{prefix}", strict=False)


def is_writable(network: Network) -> bool:
    return not isinstance(network, IPv6Network) or not network.subnet_of(MAPPED)


# Few bits differ, so that networks meet, touch and hold each other.
NEAR = st.integers(0, 2**12).map(lambda low: ip_address(2**31 - 2**11 + low))
NEAR_6 = st.integers(0, 2**12).map(lambda low: IPv6Address(2**127 - 2**11 + low))
ADDRESSES: st.SearchStrategy[Address] = st.ip_addresses() | NEAR | NEAR_6


def edges(network: Network) -> list[Address]:
    """Return the addresses where a mistake by one would show."""
    kind = IPv4Address if network.version == 4 else IPv6Address
    first, last = int(network.network_address), int(network.broadcast_address)
    highest = 2**network.max_prefixlen - 1
    return [kind(number) for number in (first - 1, first, last, last + 1) if 0 <= number <= highest]


@given(
    listed=st.lists(networks_of(ADDRESSES).filter(is_writable), min_size=1, max_size=12),
    addresses=st.lists(ADDRESSES),
)
@example(listed=[ip_network("128.0.0.0/1"), ip_network("8000::/1")], addresses=[])
def test_the_networks_agree_with_the_standard_library_for_every_address(
    listed: list[Network], addresses: list[Address]
) -> None:
    networks = Networks(map(str, listed), wide=True)

    for address in (*addresses, *(edge for network in listed for edge in edges(network))):
        assert (address in networks) == any(address in network for network in listed), address
