import ipaddress
from contextlib import suppress
from ipaddress import ip_address
from typing import Any, Final, get_args

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from tests.support.asgi import Spy, call, http_scope
from tests.support.audit import Records
from tunnelgate import Allow, AuditLog, ClientAllowlist, Deny, Reason
from tunnelgate.asgi import Message, Scope
from tunnelgate.clients import AddressSource, ClientAddress, ClientRules, read_peer
from tunnelgate.networks import Networks
from tunnelgate.reading.address import Address, read_address
from tunnelgate.reading.fault import Fault

PEER_PORT = 50000
ALLOWED = Allow()
REFUSED = Deny(Reason.CLIENT_NOT_ALLOWED)


def scope_of(peer: str, *headers: tuple[str, str]) -> Scope:
    """Return a request from ``peer`` with these headers."""
    return http_scope(headers=[("host", "docs.example.com"), *headers], client=(peer, PEER_PORT))


@pytest.mark.parametrize(
    ("allowed_ips", "sentence"),
    [
        pytest.param([], "no network is listed, so every client would be refused", id="no network at all"),
        pytest.param(["0.0.0.0/0"], "allows every address", id="all of IPv4"),
        pytest.param(["::/0"], "allows every address", id="all of IPv6"),
        pytest.param(["*"], "is not a network", id="a star"),
        pytest.param(["10.0.0.1/8"], "has bits set behind its prefix", id="host bits behind the prefix"),
        pytest.param(["::ffff:10.0.0.0/104"], "writes IPv4 addresses in IPv6 form", id="a mapped network"),
        pytest.param(["localhost"], "is not a network", id="a name"),
        pytest.param(["10.0.0.0/8", "10.0.0"], "'10.0.0' is not a network", id="one wrong one among others"),
        pytest.param("10.0.0.0/8", "is not a network", id="one text in place of a list"),
    ],
)
def test_networks_that_cannot_be_meant_are_refused_at_construction(
    allowed_ips: list[str], sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        ClientAllowlist(Spy(), allowed_ips=allowed_ips)
    with pytest.raises(ValueError, match=sentence):
        ClientAllowlist(Spy(), allowed_ips=["10.0.0.0/8"], within=allowed_ips)


WIDE = "'0.0.0.0/0' allows every address; list the networks that are meant, or set"


def test_wide_networks_of_clients_and_of_proxies_need_a_word_each() -> None:
    with pytest.raises(ValueError, match=f"^{WIDE} allow_wide_networks$"):
        ClientAllowlist(Spy(), allowed_ips=["0.0.0.0/0"], trust_wide_networks=True)
    with pytest.raises(ValueError, match=f"^{WIDE} trust_wide_networks$"):
        ClientAllowlist(
            Spy(),
            allowed_ips=["10.0.0.0/8"],
            address_from="forwarded",
            trusted_proxies=["0.0.0.0/0"],
            allow_wide_networks=True,
        )
    wide = ClientAllowlist(Spy(), allowed_ips=["0.0.0.0/0"], within=["0.0.0.0/0"], allow_wide_networks=True)
    trusting = ClientAddress("forwarded", ["0.0.0.0/0"], trust_wide_networks=True)

    assert wide.rules.decide(read_address("203.0.113.7")) == ALLOWED
    assert trusting.find(scope_of("198.51.100.9", ("forwarded", 'for="[::1]"'))) == ip_address("::1")


SOURCES: list[AddressSource] = ["cf-connecting-ip", "x-forwarded-for", "forwarded"]
UNIX: Any = ("/run/tunnelgate/gate.sock", None)


@pytest.mark.parametrize("source", SOURCES)
def test_a_header_that_nobody_may_send_is_refused_at_construction(source: AddressSource) -> None:
    with pytest.raises(ValueError, match=f"^address_from is {source}, which nobody may send: list "):
        ClientAddress(source)


@pytest.mark.parametrize(
    "trusted",
    [
        pytest.param({"trusted_proxies": ["127.0.0.1"]}, id="by their addresses"),
        pytest.param({"trust_unix_socket": True}, id="on a Unix socket"),
        pytest.param({"trusted_proxies": ["127.0.0.1"], "trust_unix_socket": True}, id="in both ways"),
    ],
)
def test_proxies_that_are_trusted_for_nothing_are_refused_at_construction(trusted: Any) -> None:
    with pytest.raises(ValueError, match=r"^a proxy is trusted, but address_from is peer, so no header is"):
        ClientAddress("peer", **trusted)


@pytest.mark.parametrize(
    "source",
    [
        pytest.param("", id="none"),
        pytest.param("X-Forwarded-For", id="one in capitals"),
        pytest.param("true-client-ip", id="a header that clients may send through a CDN"),
        pytest.param("x-real-ip", id="a header that nobody specified"),
    ],
)
def test_a_source_that_is_not_known_is_refused_at_construction(source: Any) -> None:
    with pytest.raises(ValueError, match=rf"^address_from '{source}' is not one of peer, cf-.*, forwarded$"):
        ClientAddress(source, ["127.0.0.1"])


@pytest.mark.parametrize(
    ("proxies", "sentence"),
    [
        pytest.param(["*"], r"^'\*' is not a network", id="a star"),
        pytest.param(["localhost"], "^'localhost' is not a network", id="a name"),
        pytest.param(["10.0.0.1/24"], "the network is 10.0.0.0/24$", id="host bits behind the prefix"),
        pytest.param(["::ffff:127.0.0.1"], "writes IPv4 addresses in IPv6 form", id="a mapped address"),
        pytest.param(["fe80::1%eth0"], "has a zone", id="an address with a zone"),
        pytest.param("127.0.0.1", "^'1' is not a network", id="a text in place of a list"),
    ],
)
def test_proxies_that_cannot_be_meant_are_refused_at_construction(proxies: list[str], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        ClientAllowlist(
            Spy(), allowed_ips=["10.0.0.0/8"], address_from="x-forwarded-for", trusted_proxies=proxies
        )


def test_proxies_may_come_from_any_iterable() -> None:
    address = ClientAddress("x-forwarded-for", (text for text in ("127.0.0.1",)))

    assert address.find(scope_of("127.0.0.1", ("x-forwarded-for", "203.0.113.7"))) == ip_address(
        "203.0.113.7"
    )


@pytest.mark.parametrize(
    ("address", "verdict"),
    [
        pytest.param("10.0.0.0", ALLOWED, id="the first address of a network"),
        pytest.param("10.255.255.255", ALLOWED, id="its last address"),
        pytest.param("9.255.255.255", REFUSED, id="the address before it"),
        pytest.param("11.0.0.0", REFUSED, id="the address after it"),
        pytest.param("192.0.2.7", ALLOWED, id="an address that is listed by itself"),
        pytest.param("192.0.2.6", REFUSED, id="its neighbour below"),
        pytest.param("192.0.2.8", REFUSED, id="its neighbour above"),
        pytest.param("::ffff:10.1.2.3", ALLOWED, id="an IPv4 address in its mapped form"),
        pytest.param("::ffff:0a01:0203", ALLOWED, id="the mapped form in hexadecimal"),
        pytest.param("::ffff:11.0.0.0", REFUSED, id="another address in the mapped form"),
        pytest.param("::10.1.2.3", REFUSED, id="the IPv4-compatible form"),
        pytest.param("2002:0a01:0203::1", REFUSED, id="a 6to4 address around an allowed one"),
        pytest.param("64:ff9b::10.1.2.3", REFUSED, id="a NAT64 address around an allowed one"),
        pytest.param("64:ff9b:1::10.1.2.3", REFUSED, id="a local NAT64 address around an allowed one"),
        pytest.param("2001:0:0a01:0203::", REFUSED, id="a Teredo address around an allowed one"),
        pytest.param("fe80::5efe:10.1.2.3", REFUSED, id="an ISATAP address around an allowed one"),
        pytest.param("2001:db8::1", ALLOWED, id="an IPv6 address in a listed network"),
        pytest.param("2001:db9::1", REFUSED, id="an IPv6 address outside of it"),
        pytest.param("::1", REFUSED, id="loopback in IPv6, which nobody listed"),
        pytest.param("127.0.0.1", REFUSED, id="loopback in IPv4, which nobody listed"),
        pytest.param("0.0.0.0", REFUSED, id="no address in IPv4"),
        pytest.param("::", REFUSED, id="no address in IPv6"),
        pytest.param("2a06:98c0:3600::103", REFUSED, id="the address that all workers of a CDN share"),
    ],
)
def test_a_client_may_connect_only_from_a_listed_network(address: str, verdict: Allow | Deny) -> None:
    rules = ClientRules(Networks(["10.0.0.0/8", "192.0.2.7", "2001:db8::/32"]))

    assert rules.decide(read_address(address)) == verdict


@pytest.mark.parametrize(
    ("address", "verdict"),
    [
        pytest.param("10.1.2.3", ALLOWED, id="inside both"),
        pytest.param("10.2.0.0", REFUSED, id="inside the gate's and outside the route's"),
        pytest.param("192.0.2.1", REFUSED, id="inside the route's and outside the gate's"),
        pytest.param("203.0.113.1", REFUSED, id="inside neither"),
    ],
)
def test_a_route_narrows_the_networks_of_the_gate_and_never_widens_them(
    address: str, verdict: Allow | Deny
) -> None:
    rules = ClientRules(Networks(["10.0.0.0/8"]), Networks(["10.1.0.0/16", "192.0.2.0/24"]))

    assert rules.decide(read_address(address)) == verdict


def test_without_any_network_nobody_may_connect() -> None:
    assert ClientRules().decide(read_address("127.0.0.1")) == REFUSED


@given(
    address=st.ip_addresses(v=4, network="10.0.0.0/12") | st.ip_addresses(v=6, network="2001:db8::/116"),
    networks=st.lists(
        st.tuples(st.ip_addresses(v=4, network="10.0.0.0/12"), st.integers(8, 32))
        | st.tuples(st.ip_addresses(v=6, network="2001:db8::/116"), st.integers(100, 128)),
        min_size=1,
        max_size=8,
    ),
)
def test_an_address_is_allowed_exactly_when_one_listed_network_holds_it(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
    networks: list[tuple[ipaddress.IPv4Address | ipaddress.IPv6Address, int]],
) -> None:
    listed = [ipaddress.ip_network(f"{first}/{length}", strict=False) for first, length in networks]

    verdict = ClientRules(Networks(map(str, listed))).decide(read_address(str(address)))

    assert bool(verdict) is any(address in network for network in listed)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="an empty text"),
        pytest.param("unknown", id="the word unknown"),
        pytest.param("_hidden", id="an obfuscated name"),
        pytest.param("testclient", id="a name"),
        pytest.param("10.0.0.01", id="an octet with a leading zero"),
        pytest.param("10.1", id="the short form"),
        pytest.param("0x0a.0.0.1", id="an octet in hexadecimal"),
        pytest.param("167772161", id="one number"),
        pytest.param("10.0.0.1/32", id="a network"),
        pytest.param("10.0.0.1:443", id="an address with a port"),
        pytest.param("[::1]", id="an address in brackets"),
        pytest.param("fe80::1%eth0", id="an address with a zone"),
        pytest.param(" 10.0.0.1", id="an address after a space"),
        pytest.param("10.0.0.1, 10.0.0.2", id="two addresses"),
        pytest.param("\uff11\uff10.0.0.1", id="digits of another script"),
    ],
)
@pytest.mark.anyio
async def test_a_peer_that_is_no_address_is_refused_and_not_guessed(text: str) -> None:
    spy, records = Spy(), Records()
    app = AuditLog(ClientAllowlist(spy, allowed_ips=["10.0.0.0/8"]), sink=records)

    reply = await call(app, http_scope(client=(text, PEER_PORT)))

    assert (reply.status, reply.json()) == (400, {"error": "bad_request"})
    assert records.verdicts == [("deny", Reason.CLIENT_ADDRESS_UNREADABLE)]
    assert records.all[0]["client"] is None
    assert spy.scopes == []


@pytest.mark.parametrize(
    "scope",
    [
        pytest.param(http_scope(client=None, server=UNIX), id="a connection over a Unix socket"),
        pytest.param(
            {name: value for name, value in http_scope().items() if name != "client"},
            id="a server that names no peer",
        ),
    ],
)
def test_a_connection_without_an_address_is_not_allowed(scope: dict[str, Any]) -> None:
    for find in (read_peer, ClientAddress().find, ClientAddress("forwarded", ["127.0.0.1"]).find):
        with pytest.raises(Fault) as raised:
            find(scope)

        assert raised.value.denial() == Deny(Reason.CLIENT_NOT_ALLOWED, "the connection has no address")


@pytest.mark.anyio
async def test_a_client_from_a_listed_network_is_passed_on() -> None:
    spy = Spy()

    reply = await call(ClientAllowlist(spy, allowed_ips=["127.0.0.0/8"]), http_scope())

    assert (reply.status, len(spy.scopes)) == (200, 1)


@pytest.mark.parametrize(
    ("peer", "recorded"),
    [
        pytest.param("192.0.2.1", "192.0.2.1", id="an IPv4 address"),
        pytest.param("::ffff:192.0.2.1", "192.0.2.1", id="an IPv4 address in its mapped form"),
        pytest.param("2001:DB8:0::1", "2001:db8::1", id="an IPv6 address in another spelling"),
    ],
)
@pytest.mark.anyio
async def test_a_refused_client_is_recorded_in_one_spelling_and_told_nothing(
    peer: str, recorded: str
) -> None:
    spy, records = Spy(), Records()
    app = AuditLog(ClientAllowlist(spy, allowed_ips=["10.0.0.0/8"]), sink=records)

    reply = await call(app, http_scope(client=(peer, PEER_PORT)))

    assert (reply.status, reply.json()) == (403, {"error": "client_not_allowed"})
    assert records.verdicts == [("deny", Reason.CLIENT_NOT_ALLOWED)]
    assert records.all[0]["client"] == recorded
    assert spy.scopes == []


@pytest.mark.parametrize(
    "header",
    [
        pytest.param("x-forwarded-for", id="X-Forwarded-For"),
        pytest.param("x_forwarded_for", id="X_Forwarded_For"),
        pytest.param("cf-connecting-ip", id="CF-Connecting-IP"),
        pytest.param("true-client-ip", id="True-Client-IP"),
        pytest.param("x-real-ip", id="X-Real-IP"),
        pytest.param("forwarded", id="Forwarded"),
    ],
)
@pytest.mark.anyio
async def test_what_a_client_writes_about_its_address_changes_nothing(header: str) -> None:
    spy = Spy()
    written = "for=10.0.0.1" if header == "forwarded" else "10.0.0.1"
    headers = [("host", "docs.example.com"), (header, written)]

    reply = await call(
        ClientAllowlist(spy, allowed_ips=["10.0.0.0/8"]),
        http_scope(headers=headers, client=("198.51.100.9", PEER_PORT)),
    )

    assert (reply.status, spy.scopes) == (403, [])


@pytest.mark.anyio
async def test_the_narrower_networks_of_a_route_hold_in_the_layer() -> None:
    spy = Spy()
    app = ClientAllowlist(spy, allowed_ips=["127.0.0.0/8"], within=["127.0.0.2"])

    first = await call(app, http_scope(client=("127.0.0.1", PEER_PORT)))
    second = await call(app, http_scope(client=("127.0.0.2", PEER_PORT)))

    assert (first.status, second.status, len(spy.scopes)) == (403, 200, 1)


# Where a header says who the client is.

XFF: Final = "x-forwarded-for"
FORWARDED: Final = "forwarded"
CF: Final = "cf-connecting-ip"
PROXIES = ["127.0.0.1", "10.0.0.0/24", "2001:db8:ffff::/48"]


@pytest.mark.parametrize(
    ("source", "headers", "client"),
    [
        pytest.param(CF, [(CF, "203.0.113.7")], "203.0.113.7", id="CF-Connecting-IP"),
        pytest.param(CF, [(CF, "::ffff:203.0.113.7")], "203.0.113.7", id="a mapped address"),
        pytest.param(
            CF, [(CF, "10.0.0.5")], "10.0.0.5", id="CF-Connecting-IP of a proxy, which is the client"
        ),
        pytest.param(XFF, [(XFF, "203.0.113.7")], "203.0.113.7", id="one hop"),
        pytest.param(XFF, [(XFF, "1.1.1.1, 203.0.113.7")], "203.0.113.7", id="a forged hop in front"),
        pytest.param(XFF, [(XFF, "1.1.1.1"), (XFF, "203.0.113.7")], "203.0.113.7", id="one in its own line"),
        pytest.param(XFF, [(XFF, "evil<script>, 203.0.113.7")], "203.0.113.7", id="markup in front"),
        pytest.param(XFF, [(XFF, ","), (XFF, "203.0.113.7")], "203.0.113.7", id="nothing in front"),
        pytest.param(XFF, [(XFF, "203.0.113.7, 10.0.0.5")], "203.0.113.7", id="a trusted proxy behind"),
        pytest.param(
            XFF,
            [(XFF, "203.0.113.7, 10.0.0.5, 2001:db8:ffff::1, 127.0.0.1")],
            "203.0.113.7",
            id="three of them",
        ),
        pytest.param(
            XFF, [(XFF, "203.0.113.7, ::ffff:10.0.0.5")], "203.0.113.7", id="a trusted proxy in mapped form"
        ),
        pytest.param(
            XFF, [(XFF, "203.0.113.7:80, 10.0.0.5:443")], "203.0.113.7", id="a trusted proxy with a port"
        ),
        pytest.param(
            XFF, [(XFF, "203.0.113.7, 192.0.2.1, 10.0.0.5")], "192.0.2.1", id="one that nobody trusts between"
        ),
        pytest.param(XFF, [(XFF, "10.0.0.5, 10.0.0.6")], "10.0.0.5", id="nobody but trusted proxies"),
        pytest.param(
            XFF,
            [(XFF, "203.0.113.7"), (CF, "1.1.1.1"), (FORWARDED, "for=1.1.1.1")],
            "203.0.113.7",
            id="others",
        ),
        pytest.param(FORWARDED, [(FORWARDED, "for=203.0.113.7")], "203.0.113.7", id="Forwarded"),
        pytest.param(
            FORWARDED, [(FORWARDED, 'for=1.1.1.1, for="203.0.113.7:1"')], "203.0.113.7", id="a forged element"
        ),
        pytest.param(
            FORWARDED,
            [(FORWARDED, "for=unknown"), (FORWARDED, "for=203.0.113.7")],
            "203.0.113.7",
            id="unknown",
        ),
        pytest.param(
            FORWARDED,
            [(FORWARDED, 'for=203.0.113.7, for="[2001:db8:ffff::1]:5"')],
            "203.0.113.7",
            id="Forwarded with a trusted proxy behind",
        ),
        pytest.param(FORWARDED, [(FORWARDED, "for=10.0.0.5")], "10.0.0.5", id="Forwarded by nobody but them"),
    ],
)
def test_a_trusted_peer_says_who_the_client_is(
    source: AddressSource, headers: list[tuple[str, str]], client: str
) -> None:
    address = ClientAddress(source, PROXIES)

    for peer in ("127.0.0.1", "10.0.0.255", "::ffff:10.0.0.7", "2001:db8:ffff:1::1"):
        assert str(address.find(scope_of(peer, *headers))) == client
        assert str(address.find(scope_of(peer, *headers))) == client, "the second time"


UNREADABLE, DUPLICATED = Reason.CLIENT_ADDRESS_UNREADABLE, Reason.HEADER_DUPLICATED
LOOKALIKE = Reason.HEADER_LOOKALIKE


@pytest.mark.parametrize(
    ("source", "headers", "reason", "detail"),
    [
        pytest.param(CF, [], UNREADABLE, f"a trusted proxy sent no {CF}", id="no CF-Connecting-IP"),
        pytest.param(XFF, [], UNREADABLE, f"a trusted proxy sent no {XFF}", id="no X-Forwarded-For"),
        pytest.param(FORWARDED, [], UNREADABLE, f"a trusted proxy sent no {FORWARDED}", id="no Forwarded"),
        pytest.param(
            XFF,
            [(CF, "203.0.113.7"), (FORWARDED, "for=203.0.113.7"), ("x-real-ip", "203.0.113.7")],
            UNREADABLE,
            f"a trusted proxy sent no {XFF}",
            id="another header in its place",
        ),
        pytest.param(CF, [(CF, "")], UNREADABLE, f"{CF}: not an IP address", id="an empty CF-Connecting-IP"),
        pytest.param(
            XFF, [(XFF, "")], UNREADABLE, f"{XFF}: not an IP address", id="an empty X-Forwarded-For"
        ),
        pytest.param(
            XFF, [(XFF, "203.0.113.7, unknown")], UNREADABLE, f"{XFF}: not an IP address", id="an unknown hop"
        ),
        pytest.param(
            XFF,
            [(XFF, "203.0.113.7, unknown, 10.0.0.5")],
            UNREADABLE,
            f"{XFF}: not an IP address",
            id="an unknown hop before a trusted one",
        ),
        pytest.param(XFF, [(XFF, "fe80::1%eth0")], UNREADABLE, f"{XFF}: an address with a zone", id="a zone"),
        pytest.param(
            XFF, [(XFF, ",".join(["10.0.0.5"] * 33))], UNREADABLE, f"{XFF}: more than 32 hops", id="33 hops"
        ),
        pytest.param(
            XFF,
            [(XFF, "x" * 9000 + ", 203.0.113.7")],
            UNREADABLE,
            f"{XFF}: longer than 8192 octets",
            id="nine thousand octets",
        ),
        pytest.param(
            FORWARDED,
            [(FORWARDED, "for=_hidden")],
            UNREADABLE,
            f"{FORWARDED}: not an IP address",
            id="hidden",
        ),
        pytest.param(
            FORWARDED,
            [(FORWARDED, "by=10.0.0.5")],
            UNREADABLE,
            f"{FORWARDED}: an element without for",
            id="by",
        ),
        pytest.param(
            CF, [(CF, "203.0.113.7"), (CF, "203.0.113.7")], DUPLICATED, CF, id="the same value twice"
        ),
        pytest.param(CF, [(CF, "203.0.113.7"), (CF, "1.1.1.1")], DUPLICATED, CF, id="two values"),
        pytest.param(
            CF,
            [(CF, "203.0.113.7"), ("cf_connecting_ip", "203.0.113.7")],
            LOOKALIKE,
            "cf_connecting_ip",
            id="CF_Connecting_IP beside it",
        ),
        pytest.param(
            XFF,
            [("x-forwarded_for", "203.0.113.7"), (XFF, "203.0.113.7")],
            LOOKALIKE,
            "x-forwarded_for",
            id="X-Forwarded_For beside it",
        ),
        pytest.param(
            XFF,
            [("x_forwarded_for", "203.0.113.7")],
            LOOKALIKE,
            "x_forwarded_for",
            id="X_Forwarded_For alone",
        ),
    ],
)
def test_what_a_trusted_peer_sends_that_cannot_be_read_is_refused_and_nobody_is_guessed(
    source: AddressSource, headers: list[tuple[str, str]], reason: Reason, detail: str
) -> None:
    address = ClientAddress(source, PROXIES)

    for _ in range(2):
        with pytest.raises(Fault) as raised:
            address.find(scope_of("127.0.0.1", *headers))

        assert raised.value.denial() == Deny(reason, detail)


@pytest.mark.parametrize("source", SOURCES)
def test_a_peer_that_nobody_trusts_is_its_own_client_whatever_it_sends(source: AddressSource) -> None:
    address = ClientAddress(source, PROXIES)
    forged = [
        (CF, "203.0.113.7"),
        (CF, "x"),
        (XFF, "203.0.113.7"),
        (FORWARDED, "for="),
        ("x_forwarded_for", "x"),
    ]

    for peer in ("198.51.100.9", "127.0.0.2", "10.0.1.0", "::1", "64:ff9b::127.0.0.1", "::127.0.0.1"):
        assert address.find(scope_of(peer, *forged)) == ip_address(peer)


@pytest.mark.parametrize("source", SOURCES)
def test_a_peer_that_is_no_address_is_not_a_trusted_one(source: AddressSource) -> None:
    with pytest.raises(Fault, match="client-address-unreadable: not an IP address"):
        ClientAddress(source, PROXIES).find(scope_of("localhost", (CF, "203.0.113.7"), (XFF, "203.0.113.7")))


def test_a_unix_socket_that_is_trusted_says_who_the_client_is() -> None:
    address = ClientAddress(XFF, trust_unix_socket=True)
    headers = [("host", "docs.example.com"), (XFF, "203.0.113.7, 192.0.2.1")]

    assert address.find(http_scope(headers=headers, client=None, server=UNIX)) == ip_address("192.0.2.1")
    with pytest.raises(Fault, match="a trusted proxy sent no x-forwarded-for"):
        address.find(http_scope(client=None, server=UNIX))


def test_whoever_trusts_a_unix_socket_trusts_no_address_because_of_that() -> None:
    address = ClientAddress(XFF, trust_unix_socket=True)

    assert address.find(scope_of("127.0.0.1", (XFF, "203.0.113.7"))) == ip_address("127.0.0.1")


def test_a_peer_with_an_address_is_judged_by_it_also_on_a_unix_socket() -> None:
    address = ClientAddress(XFF, trust_unix_socket=True)
    headers = [("host", "docs.example.com"), (XFF, "203.0.113.7")]

    found = address.find(http_scope(headers=headers, client=("192.0.2.1", PEER_PORT), server=UNIX))

    assert found == ip_address("192.0.2.1")


@pytest.mark.parametrize(
    "server",
    [
        pytest.param(("127.0.0.1", 8080), id="a TCP connection that was reset"),
        pytest.param(None, id="a server that does not say what it listens on"),
    ],
)
def test_a_connection_is_not_taken_for_a_unix_socket_because_its_peer_is_gone(server: Any) -> None:
    address = ClientAddress(XFF, ["127.0.0.1"], trust_unix_socket=True)
    headers = [("host", "docs.example.com"), (XFF, "203.0.113.7")]

    with pytest.raises(Fault, match="client-not-allowed: the connection has no address"):
        address.find(http_scope(headers=headers, client=None, server=server))


@pytest.mark.parametrize(
    ("headers", "status", "verdict", "client"),
    [
        pytest.param(
            [(XFF, "203.0.113.7")], 200, ("allow", None), "203.0.113.7", id="a client that may connect"
        ),
        pytest.param(
            [(XFF, "2001:DB8:0::1")],
            403,
            ("deny", Reason.CLIENT_NOT_ALLOWED),
            "2001:db8::1",
            id="a client that may not",
        ),
        pytest.param(
            [(XFF, "127.0.0.1")],
            403,
            ("deny", Reason.CLIENT_NOT_ALLOWED),
            "127.0.0.1",
            id="the proxy for itself",
        ),
        pytest.param([(XFF, "x")], 400, ("deny", UNREADABLE), None, id="a client that cannot be read"),
        pytest.param([], 400, ("deny", UNREADABLE), None, id="a proxy that does not say"),
        pytest.param([("x_forwarded_for", "203.0.113.7")], 400, ("deny", LOOKALIKE), None, id="a lookalike"),
    ],
)
@pytest.mark.anyio
async def test_the_layer_writes_down_the_client_that_it_judged(
    headers: list[tuple[str, str]], status: int, verdict: tuple[str, str | None], client: str | None
) -> None:
    spy, records = Spy(), Records()
    layer = ClientAllowlist(
        spy, allowed_ips=["203.0.113.0/24"], address_from=XFF, trusted_proxies=["127.0.0.1"]
    )

    reply = await call(AuditLog(layer, sink=records), scope_of("127.0.0.1", *headers))

    assert reply.status == status
    assert records.verdicts == [verdict]
    assert (records.all[0]["peer"], records.all[0]["client"]) == ("127.0.0.1", client)
    assert len(spy.scopes) == (status == 200)


@pytest.mark.anyio
async def test_a_unix_socket_that_nobody_trusts_is_told_that_it_may_not_connect() -> None:
    spy, records = Spy(), Records()
    layer = ClientAllowlist(spy, allowed_ips=["0.0.0.0/0", "::/0"], allow_wide_networks=True)

    reply = await call(AuditLog(layer, sink=records), http_scope(client=None, server=UNIX))

    assert (reply.status, reply.json(), spy.scopes) == (403, {"error": "client_not_allowed"}, [])
    assert records.verdicts == [("deny", Reason.CLIENT_NOT_ALLOWED)]
    assert (records.all[0]["peer"], records.all[0]["client"]) == (None, None)


@pytest.mark.anyio
async def test_the_narrower_networks_of_a_route_are_compared_with_the_client_and_not_with_the_peer() -> None:
    spy = Spy()
    app = ClientAllowlist(
        spy,
        allowed_ips=["203.0.113.0/24"],
        within=["203.0.113.7"],
        address_from=XFF,
        trusted_proxies=["203.0.113.7"],
    )

    first = await call(app, scope_of("203.0.113.7", (XFF, "203.0.113.8")))
    second = await call(app, scope_of("203.0.113.7", (XFF, "203.0.113.7")))

    assert (first.status, second.status, len(spy.scopes)) == (403, 200, 1)


def outcome_of(address: ClientAddress, scope: Scope) -> Address | Reason:
    """Return whose request it is, or why nobody can say."""
    try:
        return address.find(scope)
    except Fault as fault:
        return fault.reason


def raw_scope(peer: str, *headers: tuple[str, bytes]) -> Scope:
    scope = scope_of(peer)
    scope["headers"] += [(name.encode(), value) for name, value in headers]
    return scope


ANY_PEER = st.none() | st.ip_addresses().map(str) | st.text(max_size=20)
ANY_NAME = st.sampled_from([XFF, FORWARDED, CF, "x_forwarded_for", "cf_connecting_ip", "host"]) | st.text(
    max_size=9
)
ANY_VALUE = (
    st.binary(max_size=40)
    | st.ip_addresses().map(lambda address: str(address).encode())
    | st.text('0123456789abcdef.:,[]"=; for', max_size=40).map(str.encode)
)
ANY_HEADERS = st.lists(
    st.tuples(ANY_NAME.map(lambda name: name.encode("utf-8", "replace")), ANY_VALUE), max_size=6
)
ADDRESSES = [ClientAddress(), *(ClientAddress(each, PROXIES, trust_unix_socket=True) for each in SOURCES)]


@given(peer=ANY_PEER, headers=ANY_HEADERS, server=st.sampled_from([None, UNIX, ("127.0.0.1", 80)]))
def test_no_request_raises_anything_but_a_fault(
    peer: str | None, headers: list[tuple[bytes, bytes]], server: Any
) -> None:
    scope = http_scope(client=None if peer is None else (peer, PEER_PORT), server=server)
    scope["headers"] = headers

    for address in ADDRESSES:
        with suppress(Fault):
            found = address.find(scope)
            assert not isinstance(found, ipaddress.IPv6Address) or found.ipv4_mapped is None


@given(
    peer=st.ip_addresses().map(str)
    | st.sampled_from(["127.0.0.2", "10.0.1.0", "9.255.255.255", "not an address"]),
    headers=ANY_HEADERS,
    source=st.sampled_from(get_args(AddressSource)),
)
def test_no_header_from_a_peer_that_nobody_trusts_changes_the_outcome(
    peer: str, headers: list[tuple[bytes, bytes]], source: AddressSource
) -> None:
    address = ClientAddress() if source == "peer" else ClientAddress(source, ["127.0.0.1", "10.0.0.0/24"])
    plain, forged = scope_of(peer), scope_of(peer)
    forged["headers"] = headers

    trusted = Networks(["127.0.0.1", "10.0.0.0/24"])
    with suppress(Fault):
        assume(source == "peer" or read_address(peer) not in trusted)
    assert outcome_of(address, forged) == outcome_of(address, plain)


HOPS = st.lists(st.sampled_from(["10.0.0.5", "127.0.0.1", "::ffff:10.0.0.6", "2001:db8:ffff::1"]), max_size=4)
CLIENTS = st.ip_addresses().filter(lambda address: read_address(str(address)) not in Networks(PROXIES))


@given(
    front=st.lists(ANY_VALUE | st.binary(max_size=40), max_size=5),
    client=CLIENTS,
    hops=HOPS,
    in_one_line=st.booleans(),
)
def test_nothing_in_front_of_the_nearest_hop_that_nobody_trusts_changes_the_outcome(
    front: list[bytes], client: Address, hops: list[str], *, in_one_line: bool
) -> None:
    assume(sum(value.count(b",") + 1 for value in front) + 1 + len(hops) <= 32)
    expected = read_address(str(client))

    own = ", ".join([str(client), *hops]).encode()
    lines = [b", ".join([*front, own])] if in_one_line else [*front, own]
    found = outcome_of(ClientAddress(XFF, PROXIES), raw_scope("127.0.0.1", *((XFF, line) for line in lines)))

    assert found == expected

    nodes = [f"[{hop}]" if ":" in hop else hop for hop in (str(client), *hops)]
    own = ", ".join(f'for="{node}"' for node in nodes).encode()
    lines = [b", ".join([*front, own])] if in_one_line else [*front, own]
    found = outcome_of(
        ClientAddress(FORWARDED, PROXIES), raw_scope("127.0.0.1", *((FORWARDED, line) for line in lines))
    )

    # Of Forwarded all is read, because of its quotes: then nobody passes.
    assert found in (expected, UNREADABLE)
    if not front:
        assert found == expected


@given(
    front=st.lists(
        st.sampled_from(["for=unknown", "proto=http", "for=1.1.1.1;by=_x", 'for="_a";ext=","', ""])
    ),
    client=CLIENTS,
    hops=HOPS,
)
def test_no_element_in_front_of_the_nearest_hop_that_nobody_trusts_changes_the_outcome(
    front: list[str], client: Address, hops: list[str]
) -> None:
    nodes = [f"[{hop}]" if ":" in hop else hop for hop in (str(client), *hops)]
    elements = [*front[:20], *(f'for="{node}"' for node in nodes)]

    found = ClientAddress(FORWARDED, PROXIES).find(scope_of("10.0.0.1", (FORWARDED, ", ".join(elements))))

    assert found == read_address(str(client))


@given(
    hops=st.lists(
        st.ip_addresses(v=4, network="10.0.0.0/23") | st.ip_addresses(v=6, network="2001:db8:fffe::/47"),
        min_size=1,
        max_size=8,
    ),
    peer=st.ip_addresses(v=4, network="10.0.0.0/23"),
)
@pytest.mark.anyio
async def test_of_plain_addresses_the_servers_own_reader_finds_the_same(
    hops: list[Address], peer: ipaddress.IPv4Address
) -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["client"][0])

    async def receive() -> Message:
        raise AssertionError

    async def send(message: Message) -> None:
        raise AssertionError

    scope = scope_of(str(peer), (XFF, ", ".join(map(str, hops))))
    found = ClientAddress(XFF, PROXIES).find(scope)
    oracle: Any = ProxyHeadersMiddleware(app, trusted_hosts=PROXIES)
    await oracle({**scope}, receive, send)

    assert [str(found)] == seen
