import ipaddress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.asgi import Spy, call, http_scope
from tests.support.audit import Records
from tunnelgate import Allow, AuditLog, ClientAllowlist, Deny, Reason
from tunnelgate.clients import ClientRules, read_peer
from tunnelgate.networks import Networks
from tunnelgate.reading.address import read_address
from tunnelgate.reading.fault import Fault

PEER_PORT = 50000
ALLOWED = Allow()
REFUSED = Deny(Reason.CLIENT_NOT_ALLOWED)


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
        pytest.param(http_scope(client=None), id="a connection over a Unix socket"),
        pytest.param(
            {name: value for name, value in http_scope().items() if name != "client"},
            id="a server that names no peer",
        ),
    ],
)
def test_a_connection_without_an_address_cannot_be_judged(scope: dict[str, Any]) -> None:
    with pytest.raises(Fault) as raised:
        read_peer(scope)

    assert raised.value.reason is Reason.CLIENT_ADDRESS_UNREADABLE


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
