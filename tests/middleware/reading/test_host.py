from contextlib import suppress
from ipaddress import AddressValueError, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunnelgate import Reason
from tunnelgate.reading.fault import Fault
from tunnelgate.reading.host import Host, read_host

LABEL_63 = b"a" * 63
NAME_253 = b".".join([LABEL_63, LABEL_63, LABEL_63, b"a" * 61])


@pytest.mark.parametrize(
    ("value", "host"),
    [
        pytest.param(b"docs.example.com", Host("docs.example.com", None), id="a name"),
        pytest.param(b"DOCS.Example.COM", Host("docs.example.com", None), id="a name in capitals"),
        pytest.param(b"localhost", Host("localhost", None), id="a single label"),
        pytest.param(b"d", Host("d", None), id="a label of one octet"),
        pytest.param(b"xn--mcp-vla.example.com", Host("xn--mcp-vla.example.com", None), id="an A-label"),
        pytest.param(b"mcp_x.example.com", Host("mcp_x.example.com", None), id="an underscore inside"),
        pytest.param(b"_mcp._tcp.example.com", Host("_mcp._tcp.example.com", None), id="a service name"),
        pytest.param(b"a--b.example.com", Host("a--b.example.com", None), id="two hyphens inside"),
        pytest.param(b"docs.example.com:1", Host("docs.example.com", 1), id="the first port"),
        pytest.param(b"docs.example.com:443", Host("docs.example.com", 443), id="a port"),
        pytest.param(b"docs.example.com:65535", Host("docs.example.com", 65535), id="the last port"),
        pytest.param(b"192.0.2.10", Host("192.0.2.10", None), id="an IPv4 address"),
        pytest.param(b"192.0.2.10:80", Host("192.0.2.10", 80), id="an IPv4 address with a port"),
        pytest.param(b"3221225994", Host("3221225994", None), id="an IPv4 address as one number"),
        pytest.param(b"[2001:DB8::1]", Host("[2001:db8::1]", None), id="an IPv6 address in capitals"),
        pytest.param(b"[::1]:443", Host("[::1]", 443), id="an IPv6 address with a port"),
        pytest.param(b"[::ffff:192.0.2.1]", Host("[::ffff:192.0.2.1]", None), id="a mapped address"),
        pytest.param(LABEL_63 + b".example", Host(LABEL_63.decode() + ".example", None), id="63 in a label"),
        pytest.param(NAME_253, Host(NAME_253.decode(), None), id="253 in a name"),
        pytest.param(NAME_253 + b":65535", Host(NAME_253.decode(), 65535), id="253 in a name, and a port"),
    ],
)
def test_a_host_is_read_as_a_name_in_lower_case_and_the_port_that_was_written(
    value: bytes, host: Host
) -> None:
    assert read_host(value) == host


GRAMMAR = "not a hostname with an optional port"


@pytest.mark.parametrize(
    ("value", "detail"),
    [
        pytest.param(b"", GRAMMAR, id="nothing"),
        pytest.param(b" docs.example.com", GRAMMAR, id="a space before"),
        pytest.param(b"docs.example.com ", GRAMMAR, id="a space behind"),
        pytest.param(b"docs.example.com evil.example", GRAMMAR, id="two names with a space"),
        pytest.param(b"docs.example.com\tevil.example", GRAMMAR, id="two names with a tab"),
        pytest.param(b"docs.example.com,evil.example", GRAMMAR, id="two names with a comma"),
        pytest.param(b"docs.example.com\r\n evil.example", GRAMMAR, id="a folded line"),
        pytest.param(b"docs.example.com\n", GRAMMAR, id="a line end"),
        pytest.param(b"docs.example.com\rX: y", GRAMMAR, id="a carriage return"),
        pytest.param(b"docs.example.com\0.evil.example", GRAMMAR, id="a NUL"),
        pytest.param(b"docs.example.com/admin?", GRAMMAR, id="a path"),
        pytest.param(b"docs.example.com?x", GRAMMAR, id="a query"),
        pytest.param(b"docs.example.com#x", GRAMMAR, id="a fragment"),
        pytest.param(b"docs.example.com\\x", GRAMMAR, id="a backslash"),
        pytest.param(b"user@docs.example.com", GRAMMAR, id="user information"),
        pytest.param(b"docs%2eexample.com", GRAMMAR, id="a percent-encoded dot"),
        pytest.param(b"http://docs.example.com", GRAMMAR, id="a URL"),
        pytest.param(b"*.example.com", GRAMMAR, id="a wildcard"),
        pytest.param(b"docs.example.com.", GRAMMAR, id="a dot behind"),
        pytest.param(b"docs.example.com..", GRAMMAR, id="two dots behind"),
        pytest.param(b".docs.example.com", GRAMMAR, id="a dot before"),
        pytest.param(b"docs..example.com", GRAMMAR, id="an empty label"),
        pytest.param(b"-docs.example.com", GRAMMAR, id="a label that begins with a hyphen"),
        pytest.param(b"docs-.example.com", GRAMMAR, id="a label that ends with a hyphen"),
        pytest.param(LABEL_63 + b"a.example", GRAMMAR, id="64 in a label"),
        pytest.param(NAME_253 + b"a", GRAMMAR, id="254 in a name"),
        pytest.param("dócs.example.com".encode(), "not ASCII", id="UTF-8"),
        pytest.param("docs。example。com".encode(), "not ASCII", id="ideographic full stops"),
        pytest.param("docs.ex\u0430mple.com".encode(), "not ASCII", id="a Cyrillic letter"),
        pytest.param("straße.example.com".encode(), "not ASCII", id="a sharp s"),
        pytest.param(b"d\xe9cs.example.com", "not ASCII", id="Latin-1"),
        pytest.param(b"docs.example.com:", GRAMMAR, id="a colon without a port"),
        pytest.param(b":443", GRAMMAR, id="a port without a name"),
        pytest.param(b"docs.example.com:0", GRAMMAR, id="port 0"),
        pytest.param(b"docs.example.com:0443", GRAMMAR, id="a port with a leading zero"),
        pytest.param(b"docs.example.com:+443", GRAMMAR, id="a port with a sign"),
        pytest.param(b"docs.example.com:-443", GRAMMAR, id="a negative port"),
        pytest.param(b"docs.example.com:4_43", GRAMMAR, id="a port with an underscore"),
        pytest.param(b"docs.example.com: 443", GRAMMAR, id="a port with a space"),
        pytest.param(b"docs.example.com:https", GRAMMAR, id="a port by name"),
        pytest.param(b"docs.example.com:443:443", GRAMMAR, id="two ports"),
        pytest.param(b"docs.example.com:65536", "no such port", id="the port after the last"),
        pytest.param(b"docs.example.com:99999", "no such port", id="port 99999"),
        pytest.param(b"docs.example.com:100000", GRAMMAR, id="a port of six digits"),
        pytest.param(b"2001:db8::1", GRAMMAR, id="an IPv6 address without brackets"),
        pytest.param(b"[fe80::1%25eth0]", GRAMMAR, id="an IPv6 address with a zone"),
        pytest.param(b"[::1", GRAMMAR, id="a bracket that does not close"),
        pytest.param(b"::1]", GRAMMAR, id="a bracket that does not open"),
        pytest.param(b"[]", GRAMMAR, id="empty brackets"),
        pytest.param(b"[::1].example.com", GRAMMAR, id="a name behind brackets"),
        pytest.param(b"[v1.x]", GRAMMAR, id="an address of a future version"),
        pytest.param(b"[docs.example.com]", GRAMMAR, id="a name in brackets"),
        pytest.param(b"[:::]", GRAMMAR, id="colons in brackets"),
        pytest.param(b"[192.0.2.10]", GRAMMAR, id="an IPv4 address in brackets"),
        pytest.param(b"[12345::]", GRAMMAR, id="five digits in an IPv6 group"),
        pytest.param(b"[" + b"1:" * 23 + b"]", GRAMMAR, id="46 octets in brackets"),
    ],
)
def test_what_the_grammar_does_not_produce_is_malformed(value: bytes, detail: str) -> None:
    with pytest.raises(Fault) as caught:
        read_host(value)

    assert (caught.value.reason, caught.value.detail) == (Reason.HOST_MALFORMED, detail)


@given(st.binary() | st.text("aZ0-_.:[]f%1", max_size=24).map(str.encode))
def test_no_octets_raise_anything_else_and_what_is_read_reads_the_same_again(value: bytes) -> None:
    with suppress(Fault):
        host = read_host(value)

        written = host.name if host.port is None else f"{host.name}:{host.port}"
        assert written == value.decode().lower()
        assert read_host(written.encode()) == host


@given(st.text("0123456789abcdefABCDEF:.", max_size=45))
def test_brackets_hold_an_ipv6_address_or_the_host_is_malformed(inside: str) -> None:
    value = f"[{inside}]".encode()
    try:
        IPv6Address(inside)
    except AddressValueError:
        with pytest.raises(Fault):
            read_host(value)
    else:
        assert read_host(value) == Host(value.decode().lower(), None)


@given(st.ip_addresses(v=6))
def test_every_ipv6_address_can_stand_in_brackets(address: IPv6Address) -> None:
    for spelling in (address.compressed, address.exploded):
        assert read_host(f"[{spelling}]:8080".encode()) == Host(f"[{spelling}]", 8080)


@pytest.mark.parametrize("value", [b"a" * 260, b"a." * 100_000, b"[" + b"0" * 300 + b"]"])
def test_what_no_host_is_as_long_as_is_malformed_without_a_look(value: bytes) -> None:
    with pytest.raises(Fault) as caught:
        read_host(value)

    assert caught.value.reason is Reason.HOST_MALFORMED
