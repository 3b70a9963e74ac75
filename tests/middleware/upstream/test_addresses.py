import json
from collections.abc import Callable, Iterable
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tunnelgate import Reason
from tunnelgate.reading.address import Address, Network
from tunnelgate.upstream.addresses import (
    EVERY_ADDRESS,
    NEVER_DIALLED_PORTS,
    RFC1918,
    AddressRules,
    carried_by,
    check_metadata,
    check_port,
    check_wrapped,
)
from tunnelgate.verdict import Allow, Deny

CORPUS = Path(__file__).parents[2] / "corpus" / "ip-attacks.jsonl"

METADATA = [
    *("169.254.0.0/16", "fe80::/10", "fec0::/10", "240.0.0.0/4", "fd00:ec2::/32", "fd20:ce::254"),
    *("168.63.129.16", "192.0.0.192", "fd00:c1::a9fe:a9fe", "100.100.100.200", "fd00:100::100:200"),
    *("fd00:42::42", "fd00:a9fe:a9fe::1"),
]
WRAPPED = ["::/96", "::ffff:0:0:0/96", "64:ff9b::/96", "64:ff9b:1::/96", "2002::/16", "2001::/32"]


def outcome(rules: AddressRules, address: str) -> str:
    """Return why ``address`` is not dialled, and nothing where it is."""
    verdict = rules.decide(ip_address(address))
    if isinstance(verdict, Allow):
        return ""
    assert isinstance(verdict, Deny)
    assert verdict.reason is Reason.UPSTREAM_NOT_ALLOWED
    return verdict.detail


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        pytest.param({"allowed": []}, "^no network is listed, so no address could", id="nothing allowed"),
        pytest.param({"within": []}, "^no network is listed, so no address could", id="narrowed to nothing"),
        pytest.param({"allowed": ["wiki.internal"]}, "^'wiki.internal' is not a network", id="a name"),
        pytest.param({"allowed": ["10.1.2.3/8"]}, "has bits set behind its prefix", id="host bits"),
        pytest.param({"allowed": ["::ffff:10.0.0.0/104"]}, "writes IPv4 addresses", id="mapped addresses"),
        pytest.param({"allowed": ["0.0.0.0/0"]}, "^'0.0.0.0/0' .*allow_wide_networks$", id="all of IPv4"),
        pytest.param({"allowed": ["::/6"]}, "^'::/6' .*allow_wide_networks$", id="a wide network"),
        pytest.param({"within": ["0.0.0.0/0"]}, "^'0.0.0.0/0' ", id="narrowed to all of IPv4"),
        pytest.param({"metadata": ["10.0.0.0/8"]}, "^'10.0.0.0/8' is neither of a", id="needs no word"),
        pytest.param({"metadata": ["fd00::/8"]}, "^'fd00::/8' is neither of a", id="more than metadata"),
        pytest.param({"metadata": ["169.254.0.0/15"]}, "is neither of a", id="twice link-local"),
        pytest.param({"metadata": ["168.63.129.0/24"]}, "is neither of a", id="a network around metadata"),
        pytest.param({"metadata": ["0.0.0.0"]}, "^'0.0.0.0' is never dialled", id="unspecified, named"),
        pytest.param({"metadata": ["224.0.0.0/4"]}, "is never dialled", id="multicast, named"),
        pytest.param({"metadata": ["255.255.255.255"]}, "is never dialled", id="broadcast, named"),
        pytest.param({"metadata": ["metadata.google.internal"]}, "is not a network", id="metadata by name"),
        pytest.param({"metadata": ["fe80::1%eth0"]}, "has a zone", id="metadata with a zone"),
        pytest.param({"wrapped": ["10.0.0.0/8"]}, "^'10.0.0.0/8' does not carry", id="IPv4 carries nothing"),
        pytest.param({"wrapped": ["2001:db8::/32"]}, "does not carry", id="an ordinary network"),
        pytest.param({"wrapped": ["2001:db8:0:1:0:5eff::/96"]}, "does not carry", id="almost ISATAP"),
        pytest.param({"wrapped": ["::1"]}, "does not carry", id="the loopback address"),
        pytest.param({"wrapped": ["::/127"]}, "does not carry", id="two addresses that carry nothing"),
        pytest.param({"wrapped": ["2000::/8"]}, "does not carry", id="more than 6to4"),
        pytest.param({"wrapped": ["2001:db8::5efe:0:0/95"]}, "is shorter than /96", id="more than ISATAP"),
        pytest.param({"wrapped": ["64:ff9b:1::/48"]}, "shorter than /96; name the prefix", id="many places"),
        pytest.param({"wrapped": ["::ffff:10.0.0.0/104"]}, "writes IPv4 addresses", id="mapped, wrapped"),
    ],
)
def test_rules_that_could_not_be_meant_are_refused_at_construction(
    arguments: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        AddressRules(**arguments)


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        pytest.param("10.0.0.0", "", id="the first of 10.0.0.0/8"),
        pytest.param("172.31.255.255", "", id="the last of 172.16.0.0/12"),
        pytest.param("192.168.4.5", "", id="inside 192.168.0.0/16"),
        pytest.param("::ffff:192.168.4.5", "", id="the same in IPv6"),
        pytest.param("172.32.0.0", "172.32.0.0 is not in upstream.allowed_ips", id="next"),
        pytest.param("8.8.8.8", "8.8.8.8 is not in upstream.allowed_ips", id="public"),
        pytest.param("100.64.0.1", "100.64.0.1 is not in upstream.allowed_ips", id="CGNAT"),
        pytest.param("127.0.0.1", "127.0.0.1 is not in upstream.allowed_ips", id="loopback"),
        pytest.param("::1", "::1 is not in upstream.allowed_ips", id="IPv6 loopback"),
        pytest.param("fd12::1", "fd12::1 is not in upstream.allowed_ips", id="unique local"),
        pytest.param(
            "::ffff:127.0.0.1",
            "127.0.0.1 is not in upstream.allowed_ips",
            id="mapped loopback",
        ),
    ],
)
def test_the_default_is_private_ipv4_and_nothing_else(address: str, reason: str) -> None:
    assert outcome(AddressRules(), address) == reason
    assert RFC1918 == ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        pytest.param("93.184.216.34", "", id="public"),
        pytest.param("2606:4700::1", "", id="public IPv6"),
        pytest.param("10.1.2.3", "", id="private"),
        pytest.param("fd12::1", "", id="unique local"),
        pytest.param(
            "127.0.0.1", "127.0.0.1 is this machine itself, and not in upstream.allowed_ips", id="loopback"
        ),
        pytest.param(
            "127.255.0.9",
            "127.255.0.9 is this machine itself, and not in upstream.allowed_ips",
            id="another of loopback",
        ),
        pytest.param(
            "::1", "::1 is this machine itself, and not in upstream.allowed_ips", id="IPv6 loopback"
        ),
        pytest.param(
            "::ffff:127.0.0.1",
            "127.0.0.1 is this machine itself, and not in upstream.allowed_ips",
            id="mapped loopback",
        ),
        pytest.param(
            "169.254.169.254",
            "169.254.169.254 is link-local, where metadata services are, and not named as meant",
            id="metadata",
        ),
        pytest.param(
            "64:ff9b::808:808",
            "64:ff9b::808:808 carries 8.8.8.8, and its network is not in upstream.allow_wrapped",
            id="NAT64 of a public address",
        ),
    ],
)
def test_without_a_list_everything_is_dialled_but_this_machine_and_what_needs_a_word(
    address: str, reason: str
) -> None:
    assert outcome(AddressRules(None), address) == reason


NEVER = [
    *("0.0.0.0", "0.0.0.1", "0.255.255.255", "224.0.0.1", "239.255.255.255", "255.255.255.255"),
    *("::", "ff00::", "ff02::1", "ff0e::1", "::ffff:0.0.0.0", "::ffff:224.0.0.1"),
]


@pytest.mark.parametrize("address", NEVER)
def test_some_addresses_are_never_dialled_whatever_is_allowed_and_named(address: str) -> None:
    rules = AddressRules(EVERY_ADDRESS, metadata=METADATA, wrapped=WRAPPED, wide=True)

    assert outcome(rules, address).endswith(" is unspecified, multicast or broadcast, and never dialled")


NEEDS_A_WORD = [
    ("169.254.0.0", "169.254.0.0/16"),
    ("169.254.169.254", "169.254.169.254"),
    ("169.254.170.2", "169.254.170.2"),  # where ECS gives away credentials of tasks
    ("169.254.170.23", "169.254.170.0/24"),  # and EKS those of pods
    ("169.254.255.255", "169.254.0.0/16"),
    ("fe80::a9fe:a9fe", "fe80::/10"),
    ("febf:ffff::1", "fe80::/10"),
    ("fec0::1", "fec0::/10"),
    ("feff::1", "fec0::/10"),
    ("240.0.0.1", "240.0.0.0/4"),
    ("255.255.255.254", "255.255.255.254"),
    ("fd00:ec2::254", "fd00:ec2::254"),
    ("fd00:ec2::23", "fd00:ec2::/32"),
    ("fd20:ce::254", "fd20:ce::254"),
    ("168.63.129.16", "168.63.129.16"),
    ("192.0.0.192", "192.0.0.192"),
    ("fd00:c1::a9fe:a9fe", "fd00:c1::a9fe:a9fe"),
    ("100.100.100.200", "100.100.100.200"),
    ("fd00:100::100:200", "fd00:100::100:200"),
    ("fd00:42::42", "fd00:42::42"),
    ("fd00:a9fe:a9fe::1", "fd00:a9fe:a9fe::1"),
]


@pytest.mark.parametrize(("address", "word"), NEEDS_A_WORD)
def test_metadata_services_need_to_be_allowed_and_named(address: str, word: str) -> None:
    allowed_alone = AddressRules(EVERY_ADDRESS, wide=True)
    named_alone = AddressRules(["10.0.0.0/8", "fd99::/16"], metadata=[word])
    both = AddressRules([address], metadata=[word])

    assert outcome(allowed_alone, address).endswith(", and not named as meant")
    assert outcome(AddressRules([address]), address).endswith(", and not named as meant")
    assert outcome(named_alone, address) == f"{address} is not in upstream.allowed_ips"
    assert outcome(both, address) == ""


def test_naming_one_metadata_service_names_no_other() -> None:
    rules = AddressRules(EVERY_ADDRESS, metadata=["169.254.169.254"], wide=True)

    assert outcome(rules, "169.254.169.254") == ""
    assert outcome(rules, "::ffff:169.254.169.254") == ""
    assert outcome(rules, "169.254.169.253") != ""
    assert outcome(rules, "fd00:ec2::254") != ""


@pytest.mark.parametrize(
    ("address", "neighbour"),
    [
        pytest.param("169.254.0.0", "169.253.255.255", id="before link-local"),
        pytest.param("169.254.255.255", "169.255.0.0", id="behind link-local"),
        pytest.param("240.0.0.0", "223.255.255.255", id="before multicast and reserved"),
        pytest.param("0.255.255.255", "1.0.0.0", id="behind this network"),
        pytest.param("168.63.129.16", "168.63.129.17", id="beside WireServer"),
        pytest.param("192.0.0.192", "192.0.0.191", id="beside the service of Oracle"),
        pytest.param("100.100.100.200", "100.100.100.199", id="beside the service of Alibaba"),
        pytest.param("fe80::", "fe7f:ffff::1", id="before IPv6 link-local"),
        pytest.param("fd20:ce::254", "fd20:ce::255", id="beside the service of Google"),
        pytest.param("fd00:ec2::", "fd00:ec3::", id="behind the services of Amazon"),
    ],
)
def test_the_addresses_beside_need_no_word(address: str, neighbour: str) -> None:
    rules = AddressRules(EVERY_ADDRESS, wide=True)

    assert outcome(rules, address) != ""
    assert outcome(rules, neighbour) == ""


CARRIERS = [
    pytest.param("::10.1.2.3", ["10.1.2.3"], id="compatible"),
    pytest.param("::ffff:0:a01:203", ["10.1.2.3"], id="translated"),
    pytest.param("64:ff9b::10.1.2.3", ["10.1.2.3"], id="NAT64"),
    pytest.param("64:ff9b:1::10.1.2.3", ["10.1.2.3"], id="local NAT64"),
    pytest.param("64:ff9b:1:fffe::10.1.2.3", ["10.1.2.3"], id="local NAT64 with a prefix of its own"),
    pytest.param("2002:a01:203::1", ["10.1.2.3"], id="6to4"),
    pytest.param("2001:0:a01:203:8000:ffff:f5fe:fdfb", ["10.1.2.3", "10.1.2.4"], id="Teredo"),
    pytest.param("2001:db8::5efe:10.1.2.3", ["10.1.2.3"], id="ISATAP"),
    pytest.param("2001:db8::200:5efe:10.1.2.3", ["10.1.2.3"], id="ISATAP of a unique address"),
    pytest.param("fe80::5efe:10.1.2.3", ["10.1.2.3"], id="link-local ISATAP"),
    pytest.param("2002:a01:203::5efe:10.1.2.4", ["10.1.2.3", "10.1.2.4"], id="ISATAP in 6to4"),
    pytest.param("::", [], id="the unspecified address"),
    pytest.param("::1", [], id="the loopback address"),
    pytest.param("::2", ["0.0.0.2"], id="the first that is compatible"),
    pytest.param("2001:db8::1", [], id="an ordinary address"),
    pytest.param("2001:db8::5eff:10.1.2.3", [], id="almost ISATAP"),
    pytest.param("2001:1::1", [], id="beside Teredo"),
    pytest.param("64:ff9a::10.1.2.3", [], id="beside NAT64"),
    pytest.param("10.1.2.3", [], id="an IPv4 address"),
]


@pytest.mark.parametrize(("address", "carried"), CARRIERS)
def test_what_an_address_carries_is_found(address: str, carried: list[str]) -> None:
    assert [str(each) for each in carried_by(ip_address(address))] == carried


@pytest.mark.parametrize(
    ("address", "wrapped"),
    [
        pytest.param("::10.1.2.3", "::/96", id="compatible"),
        pytest.param("::ffff:0:a01:203", "::ffff:0:0:0/96", id="translated"),
        pytest.param("64:ff9b::10.1.2.3", "64:ff9b::/96", id="NAT64"),
        pytest.param("64:ff9b::10.1.2.3", "64:ff9b::a01:200/120", id="a part of NAT64"),
        pytest.param("64:ff9b:1:fffe::10.1.2.3", "64:ff9b:1:fffe::/96", id="local NAT64"),
        pytest.param("2002:a01:203::1", "2002::/16", id="6to4"),
        pytest.param("2002:a01:203::1", "2002:a01:203::/48", id="one site of 6to4"),
        pytest.param("2001:0:a01:203:8000:ffff:f5fe:fdfb", "2001::/32", id="Teredo"),
        pytest.param("2001:db8::5efe:10.1.2.3", "2001:db8::5efe:0:0/96", id="ISATAP"),
        pytest.param("2001:db8::200:5efe:a01:203", "2001:db8::200:5efe:a01:203", id="an ISATAP address"),
    ],
)
def test_an_address_that_carries_another_needs_three_things(address: str, wrapped: str) -> None:
    inner = ["10.1.2.0/24"]

    everything = AddressRules([address, *inner], wrapped=[wrapped])
    not_named = AddressRules([address, *inner])
    not_allowed = AddressRules(inner, wrapped=[wrapped])
    inner_not_allowed = AddressRules([address], wrapped=[wrapped])

    assert outcome(everything, address) == ""
    assert outcome(not_named, address).endswith(", and its network is not in upstream.allow_wrapped")
    assert outcome(not_allowed, address).endswith(" is not in upstream.allowed_ips")
    assert "carries an address: 10.1.2." in outcome(inner_not_allowed, address)


def test_naming_one_translator_names_no_other() -> None:
    rules = AddressRules(["10.1.2.0/24", "::/7", "2000::/7"], wrapped=["64:ff9b::/96"], wide=True)

    assert outcome(rules, "64:ff9b::10.1.2.3") == ""
    for other in ("64:ff9b:1::10.1.2.3", "::10.1.2.3", "2002:a01:203::1", "2001:db8::5efe:10.1.2.3"):
        assert outcome(rules, other).endswith(", and its network is not in upstream.allow_wrapped")


def test_of_two_that_are_carried_both_must_be_allowed() -> None:
    teredo = "2001:0:a01:203:8000:ffff:f5fe:fdfb"

    server_alone = AddressRules(["2001::/32", "10.1.2.3"], wrapped=["2001::/32"])
    client_alone = AddressRules(["2001::/32", "10.1.2.4"], wrapped=["2001::/32"])

    assert "carries an address: 10.1.2.4 is not in upstream.allowed_ips" in outcome(server_alone, teredo)
    assert "carries an address: 10.1.2.3 is not in upstream.allowed_ips" in outcome(client_alone, teredo)


def test_a_metadata_service_behind_a_translator_needs_every_word() -> None:
    address, networks = "64:ff9b::a9fe:a9fe", ["64:ff9b::/96", "169.254.0.0/16"]

    translator_alone = AddressRules(networks, wrapped=["64:ff9b::/96"])
    both = AddressRules(networks, wrapped=["64:ff9b::/96"], metadata=["169.254.169.254"])

    assert outcome(translator_alone, address) == (
        f"{address} carries an address: "
        "169.254.169.254 is link-local, where metadata services are, and not named as meant"
    )
    assert outcome(both, address) == ""


@pytest.mark.parametrize("inner", ["0.0.0.0", "224.0.0.1", "255.255.255.255"])
def test_no_word_leads_behind_a_translator_to_what_is_never_dialled(inner: str) -> None:
    rules = AddressRules(EVERY_ADDRESS, metadata=METADATA, wrapped=WRAPPED, wide=True)

    assert outcome(rules, f"64:ff9b::{inner}").endswith("multicast or broadcast, and never dialled")


def test_a_route_narrows_what_the_gate_allows_and_widens_nothing() -> None:
    rules = AddressRules(["10.0.0.0/8"], within=["10.1.2.0/24", "192.168.0.0/16"])

    assert outcome(rules, "10.1.2.3") == ""
    assert outcome(rules, "10.1.3.3") == "10.1.3.3 is not in the allowed_ips of the route"
    assert outcome(rules, "192.168.0.1") == "192.168.0.1 is not in upstream.allowed_ips"


def test_a_route_that_is_elsewhere_reaches_nothing() -> None:
    rules = AddressRules(["10.0.0.0/8"], within=["192.168.0.0/16"])

    assert outcome(rules, "10.0.0.1") != ""
    assert outcome(rules, "192.168.0.1") != ""


def test_an_address_with_a_zone_is_not_dialled() -> None:
    rules = AddressRules(EVERY_ADDRESS, metadata=["fe80::/10"], wide=True)

    assert outcome(rules, "fe80::1") == ""
    assert outcome(rules, "fe80::1%eth0") == (
        "fe80::1%eth0 has a zone, which means something on one machine only"
    )
    assert outcome(rules, "::ffff:10.0.0.1%1") != ""


def test_rules_are_read_from_any_iterable_once() -> None:
    rules = AddressRules(
        (each for each in ["10.0.0.0/8", "169.254.0.0/16", "64:ff9b::/96"]),
        within=(each for each in ["10.0.0.0/8", "169.254.0.0/16", "64:ff9b::/96"]),
        metadata=(each for each in ["169.254.0.0/16"]),
        wrapped=(each for each in ["64:ff9b::/96"]),
    )

    for address in ("10.0.0.1", "169.254.1.1", "64:ff9b::a00:1", "64:ff9b::a9fe:1"):
        assert outcome(rules, address) == ""


@pytest.mark.parametrize("check", [check_metadata, check_wrapped])
@pytest.mark.parametrize("text", ["10.0.0.0/8", "x", "", "fe80::%1", "::1", "::/0", "10.0.0.1/8"])
def test_a_check_ends_a_sentence_that_begins_with_the_value(check: Callable[[str], None], text: str) -> None:
    with pytest.raises(ValueError, match=r"^(has|is|does|writes|allows) "):
        check(text)


@pytest.mark.parametrize("text", METADATA)
def test_every_network_that_needs_a_word_may_be_named(text: str) -> None:
    check_metadata(text)


@pytest.mark.parametrize("text", [*WRAPPED, "2001:db8::5efe:a00:0/104", "2002:a01::/32", "64:ff9b::a00:1"])
def test_every_network_that_carries_addresses_may_be_named(text: str) -> None:
    check_wrapped(text)


# --- properties -----------------------------------------------------------------------------------

V4 = st.ip_addresses(v=4) | st.sampled_from(
    [ip_address(each) for each in (*NEVER[:6], "127.0.0.1", "10.0.0.1", "169.254.169.254", "168.63.129.16")]
)


def _ends(prefix: str) -> Callable[[IPv4Address], IPv6Address]:
    first = int(IPv6Address(prefix))
    return lambda inner: IPv6Address(first | int(inner))


WRAPPERS: dict[str, Callable[[IPv4Address], IPv6Address]] = {
    "mapped": _ends("::ffff:0:0"),
    "compatible": _ends("::"),
    "translated": _ends("::ffff:0:0:0"),
    "NAT64": _ends("64:ff9b::"),
    "local NAT64": _ends("64:ff9b:1::"),
    "local NAT64 elsewhere": _ends("64:ff9b:1:abcd::"),
    "ISATAP": _ends("2001:db8::5efe:0:0"),
    "unique ISATAP": _ends("2001:db8::200:5efe:0:0"),
    "6to4": lambda inner: IPv6Address(0x2002 << 112 | int(inner) << 80 | 1),
    "Teredo server": lambda inner: IPv6Address(0x20010000 << 96 | int(inner) << 64 | 0xF5FFFFFE),
    "Teredo client": lambda inner: IPv6Address(
        0x20010000 << 96 | 0x0A000001 << 64 | (0xFFFFFFFF ^ int(inner))
    ),
}
CARRYING = [
    *WRAPPED,
    *("64:ff9b:1:abcd::/96", "2001:db8::5efe:0:0/96", "2001:db8::200:5efe:0:0/96"),
]


@st.composite
def wraps(draw: st.DrawFn) -> IPv6Address:
    inner = draw(V4)
    assert isinstance(inner, IPv4Address)
    return draw(st.sampled_from(list(WRAPPERS.values())))(inner)


SPECIAL = [ip_network(each) for each in METADATA]
NAMED_CARRIERS = [ip_network(each) for each in CARRYING]
NEVER_NETWORKS = [ip_network(each) for each in ("0.0.0.0/8", "::/128", "224.0.0.0/4", "ff00::/8")]
ADDRESSES: st.SearchStrategy[Address] = (
    st.ip_addresses()
    | V4
    | wraps()
    | st.sampled_from([each.network_address for each in SPECIAL])
    | st.sampled_from([each.broadcast_address for each in SPECIAL])
)


@st.composite
def networks(draw: st.DrawFn) -> str:
    address = draw(ADDRESSES)
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    shortest = 0 if isinstance(address, IPv4Address) else draw(st.sampled_from([0, 96, 128]))
    prefix = draw(st.integers(shortest, address.max_prefixlen))
    network = ip_network(
        (int(address), prefix) if address.version == 6 else f"{address}/{prefix}", strict=False
    )
    inside_mapped = isinstance(network, IPv6Network) and network.subnet_of(IPv6Network("::ffff:0:0/96"))
    return "::/0" if inside_mapped else str(network)


LISTS = st.lists(networks(), min_size=1, max_size=4) | st.just(list(EVERY_ADDRESS))


def unmapped(address: Address) -> Address:
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address


def is_in(address: Address, texts: Iterable[str | Network]) -> bool:
    return any(address in ip_network(text) for text in texts)


@given(
    allowed=LISTS,
    within=LISTS | st.none(),
    metadata=st.lists(st.sampled_from(METADATA)),
    wrapped=st.lists(st.sampled_from(CARRYING)),
    address=ADDRESSES,
)
@example(list(EVERY_ADDRESS), None, METADATA, CARRYING, IPv6Address("64:ff9b::a9fe:a9fe"))
def test_an_address_is_dialled_exactly_where_the_networks_and_the_words_say_so(
    allowed: list[str], within: list[str] | None, metadata: list[str], wrapped: list[str], address: Address
) -> None:
    rules = AddressRules(allowed, within=within, metadata=metadata, wrapped=wrapped, wide=True)
    plain = unmapped(address)

    expected = (
        is_in(plain, allowed)
        and is_in(plain, allowed if within is None else within)
        and not is_in(plain, NEVER_NETWORKS)
        and str(plain) != "255.255.255.255"
        and (not is_in(plain, SPECIAL) or is_in(plain, metadata))
        and (not carried_by(plain) or is_in(plain, wrapped))
        and all(rules.decide(each) for each in carried_by(plain))
    )

    assert bool(rules.decide(address)) == expected


@pytest.mark.parametrize("name", WRAPPERS)
@given(allowed=LISTS, metadata=st.lists(st.sampled_from(METADATA)), inner=V4)
def test_wrapping_an_address_never_makes_it_reachable(
    name: str, allowed: list[str], metadata: list[str], inner: IPv4Address
) -> None:
    rules = AddressRules([*allowed, "::/0"], metadata=metadata, wrapped=CARRYING, wide=True)
    wrapped = WRAPPERS[name](inner)

    if rules.decide(wrapped):
        assert rules.decide(inner) or str(wrapped) == "::1"  # the loopback address wraps nothing
    if name == "mapped":
        assert rules.decide(wrapped) == rules.decide(inner)


@given(wraps())
def test_without_a_word_nothing_that_wraps_is_dialled(address: IPv6Address) -> None:
    rules = AddressRules(EVERY_ADDRESS, metadata=METADATA, wide=True)

    assert not rules.decide(address) or address.ipv4_mapped is not None or str(address) == "::1"


@given(st.ip_addresses(v=6))
def test_the_standard_library_finds_nothing_carried_that_we_do_not(address: IPv6Address) -> None:
    found = carried_by(address)

    assert address.sixtofour is None or address.sixtofour in found
    assert address.teredo is None or set(address.teredo) <= set(found)


@st.composite
def zoned(draw: st.DrawFn) -> IPv6Address:
    return IPv6Address(f"{draw(st.ip_addresses(v=6))}%{draw(st.text('abc019.-', min_size=1))}")


@given(ADDRESSES | zoned())
def test_there_is_a_verdict_on_every_address_and_it_names_the_address(address: Address) -> None:
    for rules in (AddressRules(), AddressRules(None), AddressRules(EVERY_ADDRESS, wide=True)):
        verdict = rules.decide(address)

        assert isinstance(verdict, Allow | Deny)
        if isinstance(verdict, Deny):
            assert verdict.reason is Reason.UPSTREAM_NOT_ALLOWED
            assert str(address) in verdict.detail or str(unmapped(address)) in verdict.detail


# --- ports ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("port", "sentence"),
    [
        pytest.param(0, "^is not a port between 1 and 65535$", id="no port"),
        pytest.param(-1, "^is not a port between 1 and 65535$", id="less than none"),
        pytest.param(65536, "^is not a port between 1 and 65535$", id="one too many"),
        pytest.param(22, "^is the port of ssh, which is never sent a request$", id="SSH"),
        pytest.param(25, "^is the port of smtp, which is never sent a request$", id="mail"),
        pytest.param(6379, "^is the port of redis, which is never sent a request$", id="Redis"),
        pytest.param(11211, "^is the port of memcache, which is never sent a request$", id="memcached"),
        pytest.param(10250, "^is the port of kubelet, which is never sent a request$", id="the kubelet"),
    ],
)
def test_no_request_is_sent_to_what_is_no_port_or_one_of_another_protocol(port: int, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        check_port(port)


@pytest.mark.parametrize("port", [1 << 15, 80, 443, 3000, 4000, 8000, 8080, 8443, 9000, 9443, 65535])
def test_a_request_may_be_sent_where_servers_are(port: int) -> None:
    check_port(port)


def test_the_ports_are_a_table_that_nobody_changes() -> None:
    assert all(0 < port < 1 << 15 for port in NEVER_DIALLED_PORTS), "a port that systems give out"
    with pytest.raises(TypeError):
        NEVER_DIALLED_PORTS[80] = "http"  # type: ignore[index]


# --- the recorded attacks -------------------------------------------------------------------------

VECTORS = [json.loads(line) for line in CORPUS.read_text("utf-8").splitlines()]


def _literal(vector: dict[str, Any]) -> Address | None:
    host = vector["input"]["url"].split("/")[2].rpartition("@")[2]
    name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    try:
        return ip_address(name)
    except ValueError:
        return None


LITERALS = [
    pytest.param(vector, _literal(vector), id=f"{vector['id']} {vector['description']}")
    for vector in VECTORS
    if vector["kind"] == "upstream" and _literal(vector) is not None
]


@pytest.mark.parametrize(("vector", "address"), LITERALS)
def test_a_recorded_literal_is_not_dialled(vector: dict[str, Any], address: Address) -> None:
    assert vector["expected"] in ("deny", "error")
    allowed = vector["input"]["allow"]
    if not allowed:
        with pytest.raises(ValueError, match="no network is listed"):
            AddressRules(allowed)

    for rules in (AddressRules(allowed or RFC1918), AddressRules(allowed or None)):
        assert isinstance(rules.decide(address), Deny)


def test_there_are_as_many_recorded_literals_as_there_were() -> None:
    assert len(LITERALS) == 17
