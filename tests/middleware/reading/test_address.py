from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_network

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tunnelgate import Reason
from tunnelgate.reading.address import Address, WideNetwork, read_address, read_network
from tunnelgate.reading.fault import Fault


@pytest.mark.parametrize(
    ("text", "address"),
    [
        pytest.param("10.1.2.3", IPv4Address("10.1.2.3"), id="IPv4"),
        pytest.param("0.0.0.0", IPv4Address(0), id="the first IPv4 address"),
        pytest.param("255.255.255.255", IPv4Address(2**32 - 1), id="the last IPv4 address"),
        pytest.param("2001:db8::7", IPv6Address("2001:db8::7"), id="IPv6"),
        pytest.param("2001:0DB8:0:0:0:0:0:7", IPv6Address("2001:db8::7"), id="IPv6 written out"),
        pytest.param("::", IPv6Address(0), id="the first IPv6 address"),
        pytest.param("::ffff:10.1.2.3", IPv4Address("10.1.2.3"), id="IPv4 mapped"),
        pytest.param("::FFFF:a01:203", IPv4Address("10.1.2.3"), id="IPv4 mapped in hexadecimal"),
        pytest.param("::ffff:0.0.0.0", IPv4Address(0), id="the first mapped address"),
        pytest.param("::fffe:ffff:ffff", IPv6Address("::fffe:ffff:ffff"), id="one before the mapped ones"),
        pytest.param("::1:0:0:0", IPv6Address("::1:0:0:0"), id="one behind the mapped ones"),
        pytest.param("::10.1.2.3", IPv6Address("::a01:203"), id="IPv4 compatible stays IPv6"),
        pytest.param("64:ff9b::a01:203", IPv6Address("64:ff9b::a01:203"), id="NAT64 stays IPv6"),
        pytest.param("2002:a01:203::", IPv6Address("2002:a01:203::"), id="6to4 stays IPv6"),
    ],
)
def test_an_address_is_read_as_the_number_that_it_is(text: str, address: Address) -> None:
    assert read_address(text) == address


NOT_AN_ADDRESS = "not an IP address"
WITH_A_ZONE = "an address with a zone"


@pytest.mark.parametrize(
    ("text", "detail"),
    [
        pytest.param("", NOT_AN_ADDRESS, id="nothing"),
        pytest.param("unknown", NOT_AN_ADDRESS, id="a word"),
        pytest.param("_hidden", NOT_AN_ADDRESS, id="an obfuscated identifier"),
        pytest.param("evil<script>", NOT_AN_ADDRESS, id="markup"),
        pytest.param("testclient", NOT_AN_ADDRESS, id="the name that a test client has"),
        pytest.param(" 10.1.2.3", NOT_AN_ADDRESS, id="a space before"),
        pytest.param("10.1.2.3\n", NOT_AN_ADDRESS, id="a line end"),
        pytest.param("10.1.2.3\0", NOT_AN_ADDRESS, id="a NUL"),
        pytest.param("10.1.2.3, 10.1.2.4", NOT_AN_ADDRESS, id="two addresses"),
        pytest.param("10.1.2.3:80", NOT_AN_ADDRESS, id="a port"),
        pytest.param("[::1]", NOT_AN_ADDRESS, id="brackets"),
        pytest.param("10.1.2.3/32", NOT_AN_ADDRESS, id="a network"),
        pytest.param("10.1.2.256", NOT_AN_ADDRESS, id="an octet past 255"),
        pytest.param("010.1.2.3", NOT_AN_ADDRESS, id="a leading zero"),
        pytest.param("10.1.2", NOT_AN_ADDRESS, id="three octets"),
        pytest.param("127.1", NOT_AN_ADDRESS, id="two octets"),
        pytest.param("0x7f.0.0.1", NOT_AN_ADDRESS, id="a hexadecimal octet"),
        pytest.param("2130706433", NOT_AN_ADDRESS, id="one number"),
        pytest.param("\uff110.1.2.3", NOT_AN_ADDRESS, id="a fullwidth digit"),
        pytest.param("1::2::3", NOT_AN_ADDRESS, id="two gaps"),
        pytest.param("12345::", NOT_AN_ADDRESS, id="five digits in a group"),
        pytest.param("::ffff:10.1.2.256", NOT_AN_ADDRESS, id="a mapped address past 255"),
        pytest.param("fe80::1%", NOT_AN_ADDRESS, id="an empty zone"),
        pytest.param("fe80::1%eth0", WITH_A_ZONE, id="a zone"),
        pytest.param("::ffff:10.1.2.3%eth0", WITH_A_ZONE, id="a mapped address with a zone"),
        pytest.param("10.1.2.3%eth0", NOT_AN_ADDRESS, id="an IPv4 address with a zone"),
    ],
)
def test_what_is_no_plain_address_is_unreadable(text: str, detail: str) -> None:
    with pytest.raises(Fault) as caught:
        read_address(text)

    assert (caught.value.reason, caught.value.detail) == (Reason.CLIENT_ADDRESS_UNREADABLE, detail)


@given(st.text(st.characters()) | st.text("0123456789abcdf:.%/"))
def test_no_text_raises_anything_else_and_nothing_mapped_is_left(text: str) -> None:
    with suppress(Fault):
        address = read_address(text)

        assert not isinstance(address, IPv6Address) or address.ipv4_mapped is None
        assert read_address(str(address)) == address


@given(st.ip_addresses())
def test_every_address_is_read_however_it_is_spelled(address: Address) -> None:
    expected = address.ipv4_mapped or address if isinstance(address, IPv6Address) else address

    assert read_address(address.compressed) == expected
    assert read_address(address.exploded) == expected


@given(st.ip_addresses(v=4))
def test_a_mapped_address_is_its_ipv4_address(address: IPv4Address) -> None:
    assert read_address(f"::ffff:{address}") == address
    assert read_address(f"::ffff:{int(address) >> 16:x}:{int(address) & 0xFFFF:X}") == address


@pytest.mark.parametrize(
    ("text", "network"),
    [
        pytest.param("10.0.0.0/8", "10.0.0.0/8", id="IPv4"),
        pytest.param("10.0.0.0/255.0.0.0", "10.0.0.0/8", id="IPv4 with a mask"),
        pytest.param("240.0.0.0/4", "240.0.0.0/4", id="as much of IPv4 as needs no word"),
        pytest.param("192.0.2.7", "192.0.2.7/32", id="one IPv4 address"),
        pytest.param("192.0.2.7/32", "192.0.2.7/32", id="a network of one"),
        pytest.param("2001:db8::/32", "2001:db8::/32", id="IPv6"),
        pytest.param("fc00::/7", "fc00::/7", id="as much of IPv6 as needs no word"),
        pytest.param("::1", "::1/128", id="one IPv6 address"),
        pytest.param("::/95", "::/95", id="more than the mapped addresses"),
        pytest.param("::fffe:0:0/96", "::fffe:0:0/96", id="beside the mapped addresses"),
    ],
)
def test_a_network_is_read_as_it_is_written(text: str, network: str) -> None:
    assert read_network(text) == ip_network(network)
    assert read_network(text, wide=True) == ip_network(network)


WIDER_4 = "is wider than /4; list the networks that are meant"
WIDER_6 = "is wider than /7; list the networks that are meant"
EVERY = "allows every address; list the networks that are meant"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        pytest.param("0.0.0.0/0", EVERY, id="all of IPv4"),
        pytest.param("0.0.0.0/0.0.0.0", EVERY, id="all of IPv4 with a mask"),
        pytest.param("::/0", EVERY, id="all of IPv6"),
        pytest.param("0:0::/0", EVERY, id="all of IPv6 in another spelling"),
        pytest.param("128.0.0.0/1", WIDER_4, id="half of IPv4"),
        pytest.param("224.0.0.0/3", WIDER_4, id="one bit wider than IPv4 may be"),
        pytest.param("8000::/1", WIDER_6, id="half of IPv6"),
        pytest.param("2000::/3", WIDER_6, id="all global unicast addresses"),
        pytest.param("fc00::/6", WIDER_6, id="one bit wider than IPv6 may be"),
    ],
)
def test_a_wide_network_is_read_only_where_it_is_meant(text: str, sentence: str) -> None:
    with pytest.raises(WideNetwork) as caught:
        read_network(text)

    assert str(caught.value) == sentence
    assert read_network(text, wide=True) == ip_network(text)


NO_NETWORK = "^is not a network such as 10.0.0.0/8, nor an address$"
MAPPED = "^writes IPv4 addresses in IPv6 form; write the IPv4 network$"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        pytest.param("", NO_NETWORK, id="nothing"),
        pytest.param("*", NO_NETWORK, id="a star"),
        pytest.param("localhost", NO_NETWORK, id="a name"),
        pytest.param("10.0.0.0/33", NO_NETWORK, id="a prefix past 32"),
        pytest.param("::/129", NO_NETWORK, id="a prefix past 128"),
        pytest.param("10.0.0.0/-1", NO_NETWORK, id="a negative prefix"),
        pytest.param("10.0.0.0/", NO_NETWORK, id="an empty prefix"),
        pytest.param("10.0.0.0/8/8", NO_NETWORK, id="two prefixes"),
        pytest.param("10.0.0.0/" + "9" * 5000, NO_NETWORK, id="a prefix of 5000 digits"),
        pytest.param("10.0.0.0/255.0.255.0", NO_NETWORK, id="a mask with a hole"),
        pytest.param("10.0.0.0-10.0.0.9", NO_NETWORK, id="a range"),
        pytest.param("010.0.0.0/8", NO_NETWORK, id="a leading zero"),
        pytest.param("10.0.0.0 /8", NO_NETWORK, id="a space"),
        pytest.param("10.1.2.3/8", "^has bits set behind .* is 10.0.0.0/8$", id="IPv4 bits behind"),
        pytest.param("1.2.3.4/0", "^has bits set behind .* is 0.0.0.0/0$", id="bits behind no prefix at all"),
        pytest.param("fc00::1/7", "^has bits set behind .* is fc00::/7$", id="IPv6 bits behind"),
        pytest.param("::ffff:0:0/96", MAPPED, id="all mapped addresses"),
        pytest.param("::ffff:10.0.0.0/104", MAPPED, id="some mapped addresses"),
        pytest.param("::ffff:10.0.0.1", MAPPED, id="one mapped address"),
        pytest.param("fe80::%eth0/64", "zone", id="a network with a zone"),
        pytest.param("fe80::1%eth0", "zone", id="an address with a zone"),
    ],
)
def test_what_is_no_plain_network_is_refused_with_a_sentence(text: str, sentence: str) -> None:
    for wide in (False, True):
        with pytest.raises(ValueError, match=sentence):
            read_network(text, wide=wide)


@given(st.text(st.characters()) | st.text("0123456789abcdf:.%/"))
def test_no_text_for_a_network_raises_anything_but_a_value_error(text: str) -> None:
    with suppress(ValueError):
        network = read_network(text, wide=True)

        assert read_network(str(network), wide=True) == network


@given(st.ip_addresses(), st.integers(0, 128))
def test_a_network_is_wide_by_how_many_addresses_it_holds(address: Address, prefix: int) -> None:
    network = ip_network(f"{address}/{min(prefix, address.max_prefixlen)}", strict=False)
    assume(not isinstance(network, IPv6Network) or not network.subnet_of(IPv6Network("::ffff:0:0/96")))
    is_wide = network.num_addresses > (2**28 if network.version == 4 else 2**121)

    if is_wide:
        with pytest.raises(WideNetwork):
            read_network(str(network))
    else:
        assert read_network(str(network)) == network
    assert read_network(str(network), wide=True) == network


@given(st.ip_addresses(), st.integers(0, 128))
def test_a_network_with_bits_behind_its_prefix_names_the_one_that_was_meant(
    address: Address, prefix: int
) -> None:
    text = f"{address}/{min(prefix, address.max_prefixlen)}"
    meant = ip_network(text, strict=False)
    assume(address != meant.network_address)

    with pytest.raises(ValueError, match=f"the network is {meant}$"):
        read_network(text)
