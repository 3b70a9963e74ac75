import ipaddress
import string
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from time import process_time

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from tunnelgate import Reason
from tunnelgate.reading.address import Address, read_address
from tunnelgate.reading.fault import Fault
from tunnelgate.reading.forwarded import (
    MAX_HOPS,
    read_cf_connecting_ip,
    read_forwarded,
    read_x_forwarded_for,
)

Reader = Callable[[Sequence[bytes]], Iterator[Address]]

NO_ADDRESS = "not an IP address"
WITH_A_ZONE = "an address with a zone"
WITHOUT_FOR = "an element without for"
NOT_GRAMMAR = "not of the grammar"
TWICE = "a parameter twice in one element"
NO_PORT = "no such port"
# Texts that some reader of addresses takes for one.
NEVER_ADDRESSES = [
    pytest.param("unknown", id="the word unknown"),
    pytest.param("_hidden", id="an obfuscated name"),
    pytest.param("localhost", id="a name"),
    pytest.param("203.0.113.7/32", id="a network"),
    pytest.param("0203.0.113.7", id="an octet with a leading zero"),
    pytest.param("203.0.113.007", id="an octet with two leading zeros"),
    pytest.param("203.113", id="the short form"),
    pytest.param("0xcb.0.0x71.7", id="octets in hexadecimal"),
    pytest.param("3405803783", id="one number"),
    pytest.param("203.0.113.256", id="an octet past 255"),
    pytest.param("203.0.113.", id="an octet that is not there"),
    pytest.param("\xb2\xb9.0.113.7", id="superscript digits"),
    pytest.param("203.0.113.7.", id="a dot behind"),
    pytest.param("-1.0.113.7", id="a sign"),
    pytest.param("203.0.113.7 203.0.113.8", id="two addresses and a space"),
]


def hops_of(read: Reader, *lines: str) -> list[str]:
    """Return every hop, the nearest first."""
    return [str(hop) for hop in read([line.encode("latin-1") for line in lines])]


def detail_of(read: Reader, *lines: str) -> str:
    """Return what is said of lines that cannot be read."""
    with pytest.raises(Fault) as caught:
        hops_of(read, *lines)
    assert caught.value.reason is Reason.CLIENT_ADDRESS_UNREADABLE
    return caught.value.detail


# CF-Connecting-IP


@pytest.mark.parametrize(
    ("value", "address"),
    [
        pytest.param("203.0.113.7", "203.0.113.7", id="IPv4"),
        pytest.param("2001:DB8:0::7", "2001:db8::7", id="IPv6 in another spelling"),
        pytest.param("::ffff:203.0.113.7", "203.0.113.7", id="a mapped address"),
        pytest.param("240.16.0.1", "240.16.0.1", id="class E, as of an IPv6 client"),
    ],
)
def test_cf_connecting_ip_is_one_address(value: str, address: str) -> None:
    assert str(read_cf_connecting_ip(value.encode())) == address


@pytest.mark.parametrize(
    "value",
    [
        *NEVER_ADDRESSES,
        pytest.param("", id="nothing"),
        pytest.param("203.0.113.7, 203.0.113.8", id="two addresses"),
        pytest.param("203.0.113.7:443", id="a port"),
        pytest.param("[2001:db8::7]", id="brackets"),
        pytest.param(" 203.0.113.7", id="a space that no server leaves there"),
        pytest.param("for=203.0.113.7", id="an element of Forwarded"),
        pytest.param("\xff", id="an octet that is no ASCII"),
    ],
)
def test_cf_connecting_ip_is_nothing_else(value: str) -> None:
    with pytest.raises(Fault) as caught:
        read_cf_connecting_ip(value.encode("latin-1"))

    assert (caught.value.reason, caught.value.detail) == (Reason.CLIENT_ADDRESS_UNREADABLE, NO_ADDRESS)


def test_cf_connecting_ip_has_no_zone() -> None:
    with pytest.raises(Fault, match=WITH_A_ZONE):
        read_cf_connecting_ip(b"fe80::1%eth0")


# X-Forwarded-For


@pytest.mark.parametrize(
    ("lines", "hops"),
    [
        pytest.param(["203.0.113.7"], ["203.0.113.7"], id="one hop"),
        pytest.param(["203.0.113.7, 10.0.0.5"], ["10.0.0.5", "203.0.113.7"], id="two hops"),
        pytest.param(["203.0.113.7,10.0.0.5"], ["10.0.0.5", "203.0.113.7"], id="no space between"),
        pytest.param(["\t203.0.113.7 ,\t 10.0.0.5 "], ["10.0.0.5", "203.0.113.7"], id="spaces and tabs"),
        pytest.param(
            ["203.0.113.7, 10.0.0.5", "10.0.0.6"],
            ["10.0.0.6", "10.0.0.5", "203.0.113.7"],
            id="two lines in their order",
        ),
        pytest.param(["203.0.113.7:80"], ["203.0.113.7"], id="IPv4 with a port"),
        pytest.param(["203.0.113.7:0"], ["203.0.113.7"], id="the port 0"),
        pytest.param(["203.0.113.7:65535"], ["203.0.113.7"], id="the last port"),
        pytest.param(["2001:db8::7"], ["2001:db8::7"], id="IPv6"),
        pytest.param(["[2001:db8::7]"], ["2001:db8::7"], id="IPv6 in brackets"),
        pytest.param(["[2001:db8::7]:5555"], ["2001:db8::7"], id="IPv6 with a port"),
        pytest.param(["2001:db8::7:80"], ["2001:db8::7:80"], id="IPv6 whose end is no port"),
        pytest.param(["::ffff:203.0.113.7"], ["203.0.113.7"], id="a mapped address"),
        pytest.param(["[::ffff:cb00:7107]:80"], ["203.0.113.7"], id="a mapped address with a port"),
        pytest.param(
            ["[2001:0db8:0000:0000:0000:ffff:255.255.255.255]:65535"],
            ["2001:db8::ffff:ffff:ffff"],
            id="the longest spelling of an address that there is",
        ),
    ],
)
def test_x_forwarded_for_is_read_from_the_right(lines: list[str], hops: list[str]) -> None:
    assert hops_of(read_x_forwarded_for, *lines) == hops


@pytest.mark.parametrize(
    ("entry", "detail"),
    [
        pytest.param("", NO_ADDRESS, id="nothing"),
        pytest.param(" ", NO_ADDRESS, id="a space"),
        pytest.param("[203.0.113.7]", NO_ADDRESS, id="IPv4 in brackets"),
        pytest.param("[2001:db8::7", NO_ADDRESS, id="an open bracket"),
        pytest.param("2001:db8::7]", NO_ADDRESS, id="a bracket that nobody opened"),
        pytest.param("[2001:db8::7]80", NO_ADDRESS, id="a port without its colon"),
        pytest.param("[[2001:db8::7]]", NO_ADDRESS, id="two pairs of brackets"),
        pytest.param("[]", NO_ADDRESS, id="nothing in brackets"),
        pytest.param("203.0.113.7:", NO_ADDRESS, id="a colon and no port"),
        pytest.param("203.0.113.7:http", NO_ADDRESS, id="a port by name"),
        pytest.param("203.0.113.7:+80", NO_ADDRESS, id="a port with a sign"),
        pytest.param("203.0.113.7:_port", NO_ADDRESS, id="an obfuscated port, which only Forwarded has"),
        pytest.param("203.0.113.7:\xb2", NO_ADDRESS, id="a port in superscript"),
        pytest.param("203.0.113.7:65536", NO_PORT, id="a port past the last"),
        pytest.param("[::1]:99999", NO_PORT, id="a port of an IPv6 address past the last"),
        pytest.param("203.0.113.7:000080", NO_ADDRESS, id="a port of six digits"),
        pytest.param("203.0.113.7:80:80", NO_ADDRESS, id="two ports"),
        pytest.param(":80", NO_ADDRESS, id="a port alone"),
        pytest.param('"203.0.113.7"', NO_ADDRESS, id="quotes"),
        pytest.param("for=203.0.113.7", NO_ADDRESS, id="an element of Forwarded"),
        pytest.param("fe80::1%eth0", WITH_A_ZONE, id="a zone"),
        pytest.param("[fe80::1%eth0]:80", WITH_A_ZONE, id="a zone in brackets"),
        pytest.param("::ffff:203.0.113.7:80", NO_ADDRESS, id="a port behind a mapped address"),
        pytest.param("[" + ":" * 5000 + "]", NO_ADDRESS, id="five thousand colons"),
        pytest.param("\x00203.0.113.7", NO_ADDRESS, id="a NUL"),
        pytest.param("\xa0203.0.113.7", NO_ADDRESS, id="a space that is not HTTP's"),
        pytest.param("203.0.113.7\x0b", NO_ADDRESS, id="white space that is not HTTP's"),
    ],
)
def test_an_entry_of_x_forwarded_for_that_is_no_address_is_a_fault(entry: str, detail: str) -> None:
    assert detail_of(read_x_forwarded_for, entry) == detail
    assert detail_of(read_x_forwarded_for, f"203.0.113.7, {entry}") == detail
    assert detail_of(read_x_forwarded_for, "203.0.113.7", entry) == detail


@pytest.mark.parametrize("entry", NEVER_ADDRESSES)
def test_no_odd_spelling_is_an_entry_of_x_forwarded_for(entry: str) -> None:
    assert detail_of(read_x_forwarded_for, entry) == NO_ADDRESS


# Forwarded


@pytest.mark.parametrize(
    ("lines", "hops"),
    [
        pytest.param(["for=192.0.2.60;proto=http;by=203.0.113.43"], ["192.0.2.60"], id="RFC 7239 section 4"),
        pytest.param(
            ['For="[2001:db8:cafe::17]:4711"'], ["2001:db8:cafe::17"], id="section 4 with IPv6 and a port"
        ),
        pytest.param(["for=192.0.2.43, for=198.51.100.17"], ["198.51.100.17", "192.0.2.43"], id="section 4"),
        pytest.param(
            ['for=192.0.2.43,for="[2001:db8:cafe::17]",for=198.51.100.17'],
            ["198.51.100.17", "2001:db8:cafe::17", "192.0.2.43"],
            id="section 7.1",
        ),
        pytest.param(
            ["for=192.0.2.43", 'for="[2001:db8:cafe::17]"', "for=198.51.100.17"],
            ["198.51.100.17", "2001:db8:cafe::17", "192.0.2.43"],
            id="section 7.1 in several lines",
        ),
        pytest.param(
            ["For=192.0.2.43, FOR=192.0.2.44"], ["192.0.2.44", "192.0.2.43"], id="the name in any case"
        ),
        pytest.param(["proto=https;for=192.0.2.43"], ["192.0.2.43"], id="for as the second parameter"),
        pytest.param(['for="192.0.2.43"'], ["192.0.2.43"], id="IPv4 in quotes"),
        pytest.param(['for="192.0.2.43:47011"'], ["192.0.2.43"], id="IPv4 with a port"),
        pytest.param(['for="192.0.2.43:_port.1"'], ["192.0.2.43"], id="IPv4 with an obfuscated port"),
        pytest.param(['for="[2001:db8::1]:_p"'], ["2001:db8::1"], id="IPv6 with an obfuscated port"),
        pytest.param(['for="[::ffff:192.0.2.43]"'], ["192.0.2.43"], id="a mapped address"),
        pytest.param([r'for="192.0.2.\4\3"'], ["192.0.2.43"], id="digits that are escaped"),
        pytest.param(['for=192.0.2.43;ext="a, for=1.1.1.1"'], ["192.0.2.43"], id="an element in quotes"),
        pytest.param([r'for=192.0.2.43;ext="\", for=1.1.1.1"'], ["192.0.2.43"], id="an escaped quote"),
        pytest.param(['for=192.0.2.43;ext="\\\\"'], ["192.0.2.43"], id="an escaped backslash at the end"),
        pytest.param(['for=192.0.2.43;ext="\xff\t"'], ["192.0.2.43"], id="octets past ASCII in quotes"),
        pytest.param(['for=192.0.2.43;ext=""'], ["192.0.2.43"], id="nothing in quotes"),
        pytest.param([";for=192.0.2.43;;proto=http;"], ["192.0.2.43"], id="empty pairs, as the grammar has"),
        pytest.param([" \tfor=192.0.2.43 \t,\t for=192.0.2.44 "], ["192.0.2.44", "192.0.2.43"], id="spaces"),
        pytest.param(["For*=x;for=192.0.2.43"], ["192.0.2.43"], id="a name that only begins alike"),
    ],
)
def test_forwarded_is_read_from_the_right(lines: list[str], hops: list[str]) -> None:
    assert hops_of(read_forwarded, *lines) == hops


@pytest.mark.parametrize(
    ("line", "detail"),
    [
        pytest.param("", WITHOUT_FOR, id="nothing"),
        pytest.param(";", WITHOUT_FOR, id="nothing but a semicolon"),
        pytest.param("proto=https", WITHOUT_FOR, id="an element without for"),
        pytest.param("by=192.0.2.43;host=a", WITHOUT_FOR, id="an element of other parameters"),
        pytest.param("for=unknown", NO_ADDRESS, id="unknown"),
        pytest.param("for=UNKNOWN", NO_ADDRESS, id="unknown in capitals"),
        pytest.param('for="unknown:80"', NO_ADDRESS, id="unknown with a port"),
        pytest.param("for=_hidden", NO_ADDRESS, id="an obfuscated name"),
        pytest.param('for="_hidden:_port"', NO_ADDRESS, id="an obfuscated name and port"),
        pytest.param('for=""', NO_ADDRESS, id="nothing in quotes"),
        pytest.param('for="2001:db8::1"', NO_ADDRESS, id="IPv6 without brackets"),
        pytest.param('for="[192.0.2.43]"', NO_ADDRESS, id="IPv4 in brackets"),
        pytest.param('for="[fe80::1%eth0]"', WITH_A_ZONE, id="a zone"),
        pytest.param('for="192.0.2.43:65536"', NO_PORT, id="a port past the last"),
        pytest.param('for="192.0.2.43:_"', NO_ADDRESS, id="an obfuscated port without a name"),
        pytest.param('for="192.0.2.43:_a:_b"', NO_ADDRESS, id="two obfuscated ports"),
        pytest.param('for="192.0.2.43, 192.0.2.44"', NO_ADDRESS, id="two addresses in quotes"),
        pytest.param('for="192.0.2.43\\""', NO_ADDRESS, id="a quote behind an address"),
        pytest.param("for=192.0.2.43;for=192.0.2.44", TWICE, id="for twice"),
        pytest.param("for=192.0.2.43;For=192.0.2.43", TWICE, id="for twice in two spellings"),
        pytest.param("for=192.0.2.43;proto=a;PROTO=a", TWICE, id="another parameter twice"),
        pytest.param("for=192.0.2.43:80", NOT_GRAMMAR, id="a port without quotes"),
        pytest.param("for=[2001:db8::1]", NOT_GRAMMAR, id="IPv6 without quotes"),
        pytest.param("for = 192.0.2.43", NOT_GRAMMAR, id="spaces around the equals sign"),
        pytest.param("for=192.0.2.43; proto=a", NOT_GRAMMAR, id="a space behind the semicolon"),
        pytest.param("for=192.0.2.43 ;proto=a", NOT_GRAMMAR, id="a space before the semicolon"),
        pytest.param("for=192.0.2.43 for=192.0.2.44", NOT_GRAMMAR, id="a space in place of the comma"),
        pytest.param("for=", NOT_GRAMMAR, id="no value"),
        pytest.param("for", NOT_GRAMMAR, id="no equals sign"),
        pytest.param("=192.0.2.43", NOT_GRAMMAR, id="no name"),
        pytest.param("192.0.2.43", NOT_GRAMMAR, id="an address alone"),
        pytest.param('for="192.0.2.43', NOT_GRAMMAR, id="an open quote"),
        pytest.param('for=192.0.2.43"', NOT_GRAMMAR, id="a quote that nobody opened"),
        pytest.param('for="192.0.2.43"x', NOT_GRAMMAR, id="something behind a quote"),
        pytest.param('for=x"192.0.2.43"', NOT_GRAMMAR, id="something before a quote"),
        pytest.param("for='192.0.2.43'", NO_ADDRESS, id="the other kind of quotes, which are none"),
        pytest.param('for="192.0.2.43\\', NOT_GRAMMAR, id="a backslash at the end"),
        pytest.param('for="192.0.2.43\x00"', NOT_GRAMMAR, id="a NUL in quotes"),
        pytest.param('for="192.0.2.43\\\n"', NOT_GRAMMAR, id="an escaped line end"),
        pytest.param("f\xf6r=192.0.2.43", NOT_GRAMMAR, id="a letter that is no ASCII in a name"),
        pytest.param("for=192.0.2.43\x0b", NOT_GRAMMAR, id="white space that is not HTTP's"),
    ],
)
def test_an_element_of_forwarded_that_names_no_address_is_a_fault(line: str, detail: str) -> None:
    assert detail_of(read_forwarded, line) == detail
    assert detail_of(read_forwarded, f"for=192.0.2.1, {line}") == detail
    assert detail_of(read_forwarded, "for=192.0.2.1", line) == detail


@pytest.mark.parametrize("node", NEVER_ADDRESSES)
def test_no_odd_spelling_is_a_node_of_forwarded(node: str) -> None:
    assert detail_of(read_forwarded, f'for="{node}"') == NO_ADDRESS


def test_a_quote_does_not_reach_from_one_line_into_the_next() -> None:
    assert detail_of(read_forwarded, 'for=10.0.0.5;ext="', '";for=192.0.2.43') == NOT_GRAMMAR


@pytest.mark.parametrize(
    "written_before",
    [
        pytest.param('for=10.0.0.5;ext="', id="a quote is left open"),
        pytest.param('for=10.0.0.5;ext="\\', id="an escape is left open"),
        pytest.param('for="10.0.0.5', id="a quote is left open in a node"),
        pytest.param("for=10.0.0.5;ext=", id="a value is left out"),
        pytest.param("for=10.0.0.5;ext", id="an equals sign is left out"),
    ],
)
@pytest.mark.parametrize(
    "own",
    [
        pytest.param("for=198.51.100.9", id="a plain element"),
        pytest.param('for="[2001:db8::9]:4711"', id="an element in quotes"),
        pytest.param('by="[::1]";for=198.51.100.9;host=";for=10.0.0.5"', id="a host that the client wrote"),
        pytest.param('for=198.51.100.9;host="\\";for=10.0.0.5;x=\\""', id="a host with quotes, escaped"),
    ],
)
def test_what_is_left_open_in_front_of_a_proxys_own_element_spoils_the_whole_field(
    written_before: str, own: str
) -> None:
    assert detail_of(read_forwarded, f"{written_before}, {own}") in (NOT_GRAMMAR, WITHOUT_FOR)


# Both lists


@pytest.mark.parametrize("entries", [pytest.param(32, id="at the limit"), pytest.param(1, id="one")])
@pytest.mark.parametrize("lines", [pytest.param(False, id="in one line"), pytest.param(True, id="in many")])
def test_as_many_hops_are_read_as_there_may_be(entries: int, *, lines: bool) -> None:
    addresses = [f"10.0.0.{number}" for number in range(entries)]

    plain = addresses if lines else [", ".join(addresses)]
    elements = [f"for={each}" for each in addresses]

    assert hops_of(read_x_forwarded_for, *plain) == addresses[::-1]
    assert hops_of(read_forwarded, *(elements if lines else [", ".join(elements)])) == addresses[::-1]


@pytest.mark.parametrize(
    "entries", [pytest.param(MAX_HOPS + 1, id="one more"), pytest.param(1000, id="many")]
)
@pytest.mark.parametrize("lines", [pytest.param(False, id="in one line"), pytest.param(True, id="in many")])
def test_more_hops_than_may_be_are_a_fault_before_any_is_looked_at(entries: int, *, lines: bool) -> None:
    plain, elements = ["::1"] * entries, ["for=_"] * entries

    for read, each in ((read_x_forwarded_for, plain), (read_forwarded, elements)):
        assert detail_of(read, *(each if lines else [",".join(each)])) == f"more than {MAX_HOPS} hops"


@pytest.mark.parametrize("read", [read_x_forwarded_for, read_forwarded])
def test_a_field_is_bounded_at_8192_octets(read: Reader) -> None:
    own = "for=192.0.2.1" if read is read_forwarded else "192.0.2.1"
    filling = 'ext="{}",' if read is read_forwarded else "{},"
    before = filling.format("x" * (8192 - len(filling) + 2 - len(own)))

    assert len(before + own) == 8192
    assert str(next(read([(before + own).encode()]))) == "192.0.2.1"
    assert detail_of(read, before, own + " ") == "longer than 8192 octets"


@pytest.mark.parametrize(
    ("read", "lines"),
    [
        pytest.param(read_x_forwarded_for, ["evil<script>, , 192.0.2.1"], id="X-Forwarded-For"),
        pytest.param(read_forwarded, ["for=unknown, ;, for=192.0.2.1"], id="Forwarded"),
    ],
)
def test_what_nobody_asks_for_is_not_looked_at(read: Reader, lines: list[str]) -> None:
    hops = read([line.encode() for line in lines])

    assert str(next(hops)) == "192.0.2.1"
    with pytest.raises(Fault):
        next(hops)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(b'for="' + b"\\x" * 4000, id="escapes and no end"),
        pytest.param(b'for="' + b'x";a="' * 1000, id="quotes and no end"),
        pytest.param(b"a" * 8000, id="a name and no end"),
        pytest.param(b"," * 8000, id="commas"),
        pytest.param(b";" * 8000 + b"!", id="semicolons"),
        pytest.param(b" \t" * 4000 + b"!", id="white space"),
        pytest.param(b"for=a" + b" \t" * 4000 + b"!", id="white space behind an element"),
        pytest.param(b":" * 8000, id="colons"),
        pytest.param(b"[" + b"0:" * 4000, id="groups and no end"),
    ],
)
def test_no_value_takes_long_to_refuse(text: bytes) -> None:
    started = process_time()

    for read in (read_x_forwarded_for, read_forwarded):
        with pytest.raises(Fault):
            list(read([text]))

    assert process_time() - started < 0.5


ANY_LINES = st.lists(
    st.binary(max_size=80)
    | st.text('0123456789abcdef:.[]%,;="\\ _for', max_size=80).map(str.encode)
    | st.ip_addresses().map(lambda address: str(address).encode()),
    min_size=1,
    max_size=5,
)


@given(ANY_LINES)
@example([b'for="\\'])
@example([b"[::1]:\xb2"])
def test_no_octets_raise_anything_but_a_fault(lines: list[bytes]) -> None:
    for read in (read_x_forwarded_for, read_forwarded):
        with suppress(Fault):
            for hop in read(lines):
                assert not isinstance(hop, ipaddress.IPv6Address) or hop.ipv4_mapped is None
    for line in lines:
        with suppress(Fault):
            assert read_cf_connecting_ip(line) == read_address(line.decode("ascii"))


PORTS = st.none() | st.integers(0, 65535)


def with_port(address: Address, port: int | None) -> str:
    """Write an address as both fields may have it."""
    host = f"[{address}]" if address.version == 6 else str(address)
    return host if port is None else f"{host}:{port}"


TOKENS = st.text(string.ascii_letters + string.digits + "!#$%&'*+-.^_`|~", min_size=1, max_size=8)
QUOTABLE = st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=12)


def quoted(text: str) -> str:
    """Write a text as a quoted string (RFC 9110 section 5.6.4)."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


@st.composite
def elements(draw: st.DrawFn, node: str) -> str:
    """Write an element that is for ``node``, in any of the ways that the grammar has."""
    names = draw(st.lists(TOKENS.map(str.lower), max_size=3, unique=True))
    assume("for" not in names)
    others = [f"{name}={draw(TOKENS | QUOTABLE.map(quoted))}" for name in names]
    own = f"{draw(st.sampled_from(['for', 'For', 'FOR']))}={quoted(node)}"
    pairs = [*others, own, *draw(st.lists(st.just(""), max_size=2))]
    return ";".join(draw(st.permutations(pairs)))


LISTS = st.lists(st.tuples(st.ip_addresses(), PORTS), min_size=1, max_size=8)
CUTS = st.lists(st.booleans(), min_size=8, max_size=8)
SPACES = st.sampled_from(["", " ", "\t", "  "])


def in_lines(entries: list[str], cuts: list[bool], space: str) -> list[bytes]:
    """Write a list in one line or in several, cut where ``cuts`` says so."""
    lines = [entries[0]]
    for entry, is_cut in zip(entries[1:], cuts, strict=False):
        if is_cut:
            lines.append(entry)
        else:
            lines[-1] += f"{space},{space}{entry}"
    return [line.encode("latin-1") for line in lines]


@given(LISTS, CUTS, SPACES)
def test_whatever_is_written_to_x_forwarded_for_is_read_again(
    hops: list[tuple[Address, int | None]], cuts: list[bool], space: str
) -> None:
    lines = in_lines([with_port(*hop) for hop in hops], cuts, space)

    assert list(read_x_forwarded_for(lines)) == [read_address(str(address)) for address, _ in reversed(hops)]


@given(st.data(), LISTS, CUTS, SPACES)
def test_whatever_is_written_to_forwarded_is_read_again(
    data: st.DataObject, hops: list[tuple[Address, int | None]], cuts: list[bool], space: str
) -> None:
    written = [data.draw(elements(with_port(*hop))) for hop in hops]

    lines = in_lines(written, cuts, space)

    assert list(read_forwarded(lines)) == [read_address(str(address)) for address, _ in reversed(hops)]


@given(
    st.binary(max_size=60) | st.text('for=";\\,[]:.0123456789 ', max_size=60).map(str.encode),
    st.data(),
    st.ip_addresses(),
)
def test_whatever_a_client_writes_in_front_the_nearest_hop_is_the_proxys_own_or_nothing_is_read(
    written_before: bytes, data: st.DataObject, own: Address
) -> None:
    element = data.draw(elements(with_port(own, None))).encode("latin-1")
    expected = read_address(str(own))

    for lines in ([written_before + b", " + element], [written_before, element]):
        with suppress(Fault):
            assert next(read_forwarded(lines)) == expected
    for lines in ([written_before + b", " + str(own).encode()], [written_before, str(own).encode()]):
        assert next(read_x_forwarded_for(lines)) == expected
