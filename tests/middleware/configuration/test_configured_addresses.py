"""Who may come, who is believed and where the gate may connect to, as a configuration says it."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunnelgate import Clients, ConfigurationError, Policy, Route, RouteUpstream, Upstreams, UpstreamTls
from tunnelgate.configuration.across import faults_across
from tunnelgate.reading.strict_json import is_object

GATE: Mapping[str, Any] = {"clients": {"allowed_ips": ["10.0.0.0/8"]}}
LOGIN: Mapping[str, Any] = {"issuer": "https://login.example.com", "jwks_file": "jwks.json"}
OAUTH: Mapping[str, Any] = {"issuers": [LOGIN]}
URL = "http://wiki.internal:9000"


def policy(clients: Mapping[str, Any] = {}, route: Mapping[str, Any] = {}, **gate: Any) -> Policy:
    return Policy.from_mapping(
        {
            **gate,
            "clients": {"allowed_ips": ["10.0.0.0/8"], **clients},
            "routes": {"wiki.example.com": {"public_paths": ["/healthz"], "upstream": URL, **route}},
        }
    )


def faults(clients: Mapping[str, Any] = {}, route: Mapping[str, Any] = {}, **gate: Any) -> list[str]:
    """Return what somebody reads who checks this configuration, all of it."""
    try:
        policy(clients, route, **gate)
    except ConfigurationError as error:
        return [str(fault) for fault in error.faults]
    return []


def at_upstream(**changes: Any) -> list[str]:
    """Return the faults of an upstream of a gate that may connect everywhere."""
    return faults(route={"upstream": {"url": URL, **changes}}, upstream={"disable_ip_validation": True})


ROUTE = 'routes."wiki.example.com"'
LIST = "list the networks that are meant"
NO_NETWORK = "is not a network such as 10.0.0.0/8, nor an address"
HOST_BITS = "has bits set behind its prefix; the network is"
MAPPED = "writes IPv4 addresses in IPv6 form; write the IPv4 network"
ZONE = "has a zone, which means something on one machine only"

# A setting of networks, and the word for wide ones.
SETTINGS = {
    "clients.allowed_ips": "allow_wide_networks",
    "clients.trusted_proxies": "trust_wide_networks",
    "upstream.allowed_ips": "allow_wide_networks",
    "oauth.allowed_ips": None,
    f"{ROUTE}.clients.allowed_ips": "allow_wide_networks",
    f"{ROUTE}.upstream.allowed_ips": None,
}


def faults_of(setting: str, networks: Any, **words: Any) -> list[str]:
    """Return the faults of a configuration with these networks at ``setting``, and words beside them."""
    member = setting.rpartition(".")[2]
    section = {member: networks, **words}
    if setting == "clients.trusted_proxies":
        return faults({"address_from": "x-forwarded-for", **section})
    if setting.startswith("clients"):
        return faults(section)
    if setting.startswith("upstream"):
        return faults(upstream=section)
    if setting.startswith("oauth"):
        return faults(oauth={**OAUTH, **section})
    if "clients" in setting:
        return faults(route={"clients": section})
    return at_upstream(**section)


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize(
    "network",
    [
        pytest.param("10.0.0.0/8", id="a network"),
        pytest.param("192.0.2.7", id="an address"),
        pytest.param("240.0.0.0/4", id="as much of IPv4 as needs no word"),
        pytest.param("fc00::/7", id="as much of IPv6 as needs no word"),
        pytest.param("2001:db8::1", id="an IPv6 address"),
        pytest.param("10.0.0.0/255.0.0.0", id="a network with a mask"),
    ],
)
def test_a_network_is_taken_wherever_networks_are_listed(setting: str, network: str) -> None:
    assert faults_of(setting, [network]) == []


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize(
    ("network", "shown", "sentence"),
    [
        pytest.param("10.0.0.1/8", "'10.0.0.1/8'", f"{HOST_BITS} 10.0.0.0/8", id="host bits"),
        pytest.param("fd00::1/8", "'fd00::1/8'", f"{HOST_BITS} fd00::/8", id="host bits in IPv6"),
        pytest.param("1.2.3.4/0", "'1.2.3.4/0'", f"{HOST_BITS} 0.0.0.0/0", id="host bits of everything"),
        pytest.param("::ffff:10.0.0.0/104", "'::ffff:10.0.0.0/104'", MAPPED, id="mapped addresses"),
        pytest.param("::ffff:10.0.0.1", "'::ffff:10.0.0.1'", MAPPED, id="a mapped address"),
        pytest.param("fe80::1%eth0", "'fe80::1%eth0'", ZONE, id="a zone"),
        pytest.param("fe80::%1/64", "'fe80::%1/64'", ZONE, id="a network with a zone"),
        pytest.param("wiki.internal", "'wiki.internal'", NO_NETWORK, id="a name"),
        pytest.param("*", "'*'", NO_NETWORK, id="a star"),
        pytest.param("", "''", NO_NETWORK, id="an empty text"),
        pytest.param("10.0.0.0/33", "'10.0.0.0/33'", NO_NETWORK, id="a prefix too long"),
        pytest.param("10.0.0", "'10.0.0'", NO_NETWORK, id="half an address"),
        pytest.param("010.0.0.0/8", "'010.0.0.0/8'", NO_NETWORK, id="a leading zero"),
        pytest.param("10.0.0.1-10.0.0.9", "'10.0.0.1-10.0.0.9'", NO_NETWORK, id="a range"),
        pytest.param("10.0.0.1:8080", "'10.0.0.1:8080'", NO_NETWORK, id="a port"),
        pytest.param(167772160, "167772160", "is not a text", id="a number"),
        pytest.param(None, "None", "is not a text", id="null"),
    ],
)
@pytest.mark.promise("whole-configuration")
def test_what_is_no_plain_network_is_one_fault_wherever_networks_are_listed(
    setting: str, network: Any, shown: str, sentence: str
) -> None:
    assert faults_of(setting, ["192.0.2.0/24", network]) == [f"{setting}[1] = {shown}: {sentence}"]


@pytest.mark.parametrize(("setting", "word"), SETTINGS.items(), ids=SETTINGS)
@pytest.mark.parametrize(
    ("network", "sentence"),
    [
        pytest.param("0.0.0.0/0", f"allows every address; {LIST}", id="all of IPv4"),
        pytest.param("::/0", f"allows every address; {LIST}", id="all of IPv6"),
        pytest.param("0.0.0.0/1", f"is wider than /4; {LIST}", id="half of IPv4"),
        pytest.param("224.0.0.0/3", f"is wider than /4; {LIST}", id="one bit wider than IPv4 may be"),
        pytest.param("2000::/3", f"is wider than /7; {LIST}", id="the internet"),
        pytest.param("fc00::/6", f"is wider than /7; {LIST}", id="one bit wider than IPv6 may be"),
    ],
)
@pytest.mark.promise("closed-by-default")
def test_a_wide_network_is_a_fault_unless_the_word_for_it_stands_beside_it(
    setting: str, word: str | None, network: str, sentence: str
) -> None:
    remedy = "" if word is None else f", or set {word}: true as well"

    assert faults_of(setting, ["10.0.0.0/8", network]) == [f"{setting}[1] = '{network}': {sentence}{remedy}"]
    if word is not None:
        assert faults_of(setting, ["10.0.0.0/8", network], **{word: True}) == []


@pytest.mark.parametrize(("setting", "word"), SETTINGS.items(), ids=SETTINGS)
def test_the_word_for_wide_networks_is_a_fault_where_there_is_none(setting: str, word: str | None) -> None:
    section = setting.rpartition(".")[0]
    if word is None:
        told = faults_of(setting, ["10.0.0.0/8"], allow_wide_networks=True)
        assert [each.partition(": ")[0] for each in told] == [f"{section}.allow_wide_networks = True"]
        assert "is not a key" in told[0]
    else:
        assert faults_of(setting, ["10.0.0.0/8"], **{word: True}) == [
            f"{section}.{word} = True: means nothing: no network of {setting.rpartition('.')[2]} is wide"
        ]
        assert faults_of(setting, ["10.0.0.0/8"], **{word: False}) == []


@pytest.mark.parametrize(
    ("word", "is_meant"),
    [
        pytest.param(True, True, id="true"),
        pytest.param("true", True, id="true, as a variable says it"),
        pytest.param("yes", True, id="yes"),
        pytest.param(False, False, id="false"),
        pytest.param("no", False, id="no"),
    ],
)
def test_the_word_for_wide_networks_is_on_or_off(word: Any, is_meant: bool) -> None:  # noqa: FBT001
    assert (faults_of("clients.allowed_ips", ["::/0"], allow_wide_networks=word) == []) is is_meant


@pytest.mark.parametrize("word", ["perhaps", None, [], 7])
def test_a_word_for_wide_networks_that_is_neither_on_nor_off_allows_none(word: Any) -> None:
    first, second = faults_of("clients.allowed_ips", ["::/0"], allow_wide_networks=word)

    assert first == f"clients.allow_wide_networks = {word!r}: is neither true nor false"
    assert second.startswith("clients.allowed_ips[0] = '::/0': allows every address")


def test_the_word_for_wide_networks_lets_nothing_else_pass() -> None:
    assert faults_of("clients.allowed_ips", ["0.0.0.0/0", "10.0.0.1/8"], allow_wide_networks=True) == [
        f"clients.allowed_ips[1] = '10.0.0.1/8': {HOST_BITS} 10.0.0.0/8"
    ]


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize(
    ("networks", "sentence"),
    [
        pytest.param("10.0.0.0/8", "is not a list", id="a text"),
        pytest.param({"10.0.0.0/8": None}, "is not a list", id="a mapping"),
        pytest.param(7, "is not a list", id="a number"),
    ],
)
def test_networks_that_are_no_list_are_a_fault(setting: str, networks: Any, sentence: str) -> None:
    told = faults_of(setting, networks)

    assert told[0] == f"{setting} = {networks!r}: {sentence}"


@pytest.mark.parametrize("setting", [each for each in SETTINGS if each != "clients.trusted_proxies"])
@pytest.mark.promise("closed-by-default")
def test_an_empty_list_of_networks_is_a_fault(setting: str) -> None:
    assert faults_of(setting, []) == [f"{setting} = []: is empty, which would allow nothing"]


def test_to_trust_nobody_for_the_peer_is_the_default() -> None:
    assert faults({"trusted_proxies": []}) == []


HEADERS = ("cf-connecting-ip", "x-forwarded-for", "forwarded")
NOBODY = "is a header, and no trusted_proxies may send it"


@pytest.mark.parametrize("header", HEADERS)
@pytest.mark.parametrize(
    ("trust", "told"),
    [
        pytest.param({"trusted_proxies": ["127.0.0.1"]}, False, id="a proxy"),
        pytest.param({"trusted_proxies": ["10.0.0.0/8", "::1"]}, False, id="several"),
        pytest.param({"trust_unix_socket": True}, False, id="whoever connects to the Unix socket"),
        pytest.param({"trust_unix_socket": "true"}, False, id="the same, as a variable says it"),
        pytest.param({}, True, id="nobody"),
        pytest.param({"trusted_proxies": []}, True, id="an empty list"),
        pytest.param({"trust_unix_socket": False}, True, id="nobody, said so"),
    ],
)
@pytest.mark.promise("one-address-source")
def test_a_header_counts_only_where_somebody_may_send_it(
    header: str,
    trust: dict[str, Any],
    told: bool,  # noqa: FBT001
) -> None:
    assert faults({"address_from": header, **trust}) == (
        [f"clients.address_from = '{header}': {NOBODY}"] if told else []
    )


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        pytest.param("trusted_proxies", ["127.0.0.1"], id="a proxy"),
        pytest.param("trust_unix_socket", True, id="a Unix socket"),
    ],
)
@pytest.mark.parametrize("source", [{}, {"address_from": "peer"}], ids=["by default", "said"])
@pytest.mark.promise("one-address-source")
def test_whom_to_believe_means_nothing_for_the_peer(setting: str, value: Any, source: dict[str, Any]) -> None:
    assert faults({setting: value, **source}) == [
        f"clients.{setting}: means nothing while address_from is the peer"
    ]


@pytest.mark.parametrize("header", ["X-Forwarded-For", "x-real-ip", "true-client-ip", "", "via", 7, None, []])
def test_another_source_of_addresses_is_named(header: Any) -> None:
    told = faults({"address_from": header, "trusted_proxies": ["127.0.0.1"]})

    assert told[0] == (
        f"clients.address_from = {header!r}: "
        "is not 'cf-connecting-ip', 'forwarded', 'peer' or 'x-forwarded-for'"
    )


SOCKET = "unix:/run/tunnelgate/gate.sock"
WITHOUT_ADDRESS = (
    "listen_addr: is a Unix socket, whose peers have no address: set clients.address_from to the header "
    "of the connector beside the gate, and clients.trust_unix_socket"
)
WITHOUT_TRUST = "listen_addr: is a Unix socket, and clients.trust_unix_socket is not set"


@pytest.mark.parametrize(
    ("clients", "told"),
    [
        *(
            pytest.param({"address_from": header, "trust_unix_socket": True}, [], id=header)
            for header in HEADERS
        ),
        pytest.param(
            {"address_from": "forwarded", "trust_unix_socket": True, "trusted_proxies": ["10.0.0.1"]},
            [],
            id="a header with a proxy before the one that connects",
        ),
        pytest.param({}, [WITHOUT_ADDRESS], id="the peer by default"),
        pytest.param({"address_from": "peer"}, [WITHOUT_ADDRESS], id="the peer"),
        pytest.param(
            {"trust_unix_socket": True},
            [
                "clients.trust_unix_socket: means nothing while address_from is the peer",
                WITHOUT_ADDRESS,
            ],
            id="the peer, who is trusted",
        ),
        pytest.param(
            {"address_from": "x-forwarded-for"},
            [f"clients.address_from = 'x-forwarded-for': {NOBODY}"],
            id="a header of nobody",
        ),
        pytest.param(
            {"address_from": "x-forwarded-for", "trusted_proxies": ["127.0.0.1"]},
            [WITHOUT_TRUST],
            id="a header of a proxy that cannot connect",
        ),
    ],
)
@pytest.mark.promise("one-address-source")
def test_whoever_connects_to_a_unix_socket_says_for_whom(clients: dict[str, Any], told: list[str]) -> None:
    assert faults(clients, listen_addr=SOCKET) == told


@pytest.mark.parametrize(
    ("mode", "used"),
    [
        pytest.param("0660", 0o660, id="four digits"),
        pytest.param("660", 0o660, id="three digits"),
        pytest.param("0600", 0o600, id="the default"),
        pytest.param("0777", 0o777, id="everybody"),
        pytest.param("000", 0, id="nobody"),
    ],
)
def test_the_permissions_of_a_unix_socket_are_octal(mode: str, used: int) -> None:
    clients = {"address_from": "forwarded", "trust_unix_socket": True}

    assert policy(clients, listen_addr=SOCKET, socket_mode=mode).socket_mode == used
    assert policy(clients, listen_addr=SOCKET).socket_mode == 0o600


@pytest.mark.parametrize(
    "mode",
    [
        pytest.param(0o660, id="a number, as YAML reads 0660"),
        pytest.param(660, id="a number"),
        pytest.param("0o660", id="as Python writes it"),
        pytest.param("0680", id="a digit that is not octal"),
        pytest.param("1777", id="more than permissions"),
        pytest.param("66", id="two digits"),
        pytest.param("rw-rw----", id="as ls writes it"),
        pytest.param("", id="nothing"),
        pytest.param("0660\n", id="a newline"),
        pytest.param("\u0660660", id="a digit of another script"),
        pytest.param(None, id="null"),
        pytest.param(True, id="true"),
        pytest.param(["0660"], id="a list"),
    ],
)
def test_other_permissions_of_a_unix_socket_are_a_fault(mode: Any) -> None:
    clients = {"address_from": "forwarded", "trust_unix_socket": True}

    assert faults(clients, listen_addr=SOCKET, socket_mode=mode) == [
        f'socket_mode = {mode!r}: is not three octal digits in quotes, such as "0660"'
    ]


def test_permissions_mean_nothing_without_a_unix_socket() -> None:
    assert faults(socket_mode="0660") == [
        "socket_mode = '0660': means nothing unless listen_addr is a Unix socket"
    ]
    assert faults(socket_mode="0660", listen_addr=":8080") == faults(socket_mode="0660")


def test_not_to_check_addresses_does_not_go_together_with_addresses_to_check() -> None:
    both = {"disable_ip_validation": True, "allowed_ips": ["10.0.0.0/8"]}

    assert faults(upstream=both) == [
        "upstream.disable_ip_validation = True: does not go together with allowed_ips"
    ]
    assert faults(upstream={**both, "disable_ip_validation": "true"}) == faults(upstream=both)
    assert faults(upstream={**both, "disable_ip_validation": False}) == []
    assert faults(upstream={"disable_ip_validation": True}) == []


def test_not_to_check_addresses_makes_the_word_for_wide_networks_mean_nothing() -> None:
    assert faults(upstream={"disable_ip_validation": True, "allow_wide_networks": True}) == [
        "upstream.allow_wide_networks = True: means nothing: no network of allowed_ips is wide"
    ]


METADATA = "169.254.169.254"
NOT_DIALLED = "means nothing: it is not inside upstream.allowed_ips"


@pytest.mark.parametrize(
    ("upstream", "told"),
    [
        pytest.param({"allowed_ips": [METADATA], "allow_metadata": [METADATA]}, [], id="that very address"),
        pytest.param(
            {"allowed_ips": ["169.254.0.0/16"], "allow_metadata": [METADATA]}, [], id="one of a network"
        ),
        pytest.param(
            {"allowed_ips": ["169.254.0.0/16"], "allow_metadata": ["169.254.0.0/16"]}, [], id="a network"
        ),
        pytest.param(
            {"allowed_ips": ["fe80::/10"], "allow_metadata": ["fe80::/10"]}, [], id="a network of IPv6"
        ),
        pytest.param(
            {"disable_ip_validation": True, "allow_metadata": [METADATA]}, [], id="where all is allowed"
        ),
        pytest.param(
            {"allowed_ips": ["0.0.0.0/0"], "allow_wide_networks": True, "allow_metadata": [METADATA]},
            [],
            id="in a wide network",
        ),
        pytest.param(
            {"allow_metadata": [METADATA]},
            [f"upstream.allow_metadata[0] = '{METADATA}': {NOT_DIALLED}"],
            id="outside of the networks by default",
        ),
        pytest.param(
            {"allowed_ips": ["10.0.0.0/8", METADATA], "allow_metadata": [METADATA, "100.100.100.200"]},
            [f"upstream.allow_metadata[1] = '100.100.100.200': {NOT_DIALLED}"],
            id="one outside of the networks",
        ),
        pytest.param(
            {"allowed_ips": [METADATA], "allow_metadata": ["169.254.0.0/16"]},
            [f"upstream.allow_metadata[0] = '169.254.0.0/16': {NOT_DIALLED}"],
            id="more than is in the networks",
        ),
    ],
)
@pytest.mark.promise("closed-by-default")
def test_a_metadata_service_is_named_twice(upstream: dict[str, Any], told: list[str]) -> None:
    assert faults(upstream=upstream) == told


NEEDS_NO_NAME = "is neither of a metadata service nor link-local, so it need not be named"
CARRIES_NOTHING = "does not carry IPv4 addresses"


@pytest.mark.parametrize(
    ("setting", "entry", "shown", "sentence"),
    [
        pytest.param("allow_metadata", "10.0.0.1", "'10.0.0.1'", NEEDS_NO_NAME, id="an ordinary address"),
        pytest.param("allow_metadata", "169.254.0.0/15", "'169.254.0.0/15'", NEEDS_NO_NAME, id="more"),
        pytest.param(
            "allow_metadata", "0.0.0.0", "'0.0.0.0'", "is never dialled, whoever names it", id="no address"
        ),
        pytest.param(
            "allow_metadata", "224.0.0.1", "'224.0.0.1'", "is never dialled, whoever names it", id="a group"
        ),
        pytest.param(
            "allow_metadata", "0.0.0.0/0", "'0.0.0.0/0'", f"allows every address; {LIST}", id="every address"
        ),
        pytest.param("allow_metadata", "metadata.google.internal", None, NO_NETWORK, id="a name"),
        pytest.param(
            "allow_metadata", "169.254.169.254/16", None, f"{HOST_BITS} 169.254.0.0/16", id="host bits"
        ),
        pytest.param("allow_metadata", "fe80::1%eth0", None, ZONE, id="a zone"),
        pytest.param("allow_metadata", 7, "7", "is not a text", id="a number"),
        pytest.param("allow_metadata", None, "None", "is not a text", id="null"),
        pytest.param("allow_wrapped", "10.0.0.0/8", None, CARRIES_NOTHING, id="IPv4"),
        pytest.param("allow_wrapped", "2001:db8::/32", None, CARRIES_NOTHING, id="ordinary IPv6"),
        pytest.param("allow_wrapped", "::1", None, CARRIES_NOTHING, id="this machine"),
        pytest.param("allow_wrapped", "::/0", None, f"allows every address; {LIST}", id="all of IPv6"),
        pytest.param(
            "allow_wrapped",
            "64:ff9b:1::/48",
            None,
            "is shorter than /96; name the prefix of the translator itself",
            id="all prefixes that a translator may have",
        ),
        pytest.param("allow_wrapped", "::ffff:0:0/96", None, MAPPED, id="mapped addresses"),
        pytest.param("allow_wrapped", "nat64", None, NO_NETWORK, id="a name for a translator"),
        pytest.param("allow_wrapped", 96, "96", "is not a text", id="a prefix alone"),
    ],
)
@pytest.mark.promise("whole-configuration")
def test_a_name_for_what_needs_none_is_one_fault_with_its_sentence(
    setting: str, entry: Any, shown: str | None, sentence: str
) -> None:
    """The value stands in the sentence once, and each is told once."""
    told = faults(upstream={"disable_ip_validation": True, setting: [entry]})

    assert told == [f"upstream.{setting}[0] = {shown or repr(entry)}: {sentence}"]


@pytest.mark.parametrize("setting", ["allow_metadata", "allow_wrapped"])
@pytest.mark.parametrize("value", [METADATA, 7, {"a": "b"}, None])
def test_what_is_named_stands_in_a_list(setting: str, value: Any) -> None:
    assert faults(upstream={setting: value}) == [f"upstream.{setting} = {value!r}: is not a list"]


NAT64 = "64:ff9b::/96"


@pytest.mark.parametrize(
    "gate",
    [
        pytest.param({"upstream": {"allowed_ips": [NAT64], "allow_wrapped": [NAT64]}}, id="upstreams"),
        pytest.param(
            {"upstream": {"disable_ip_validation": True, "allow_wrapped": [NAT64]}}, id="all upstreams"
        ),
        pytest.param({"upstream": {"allow_wrapped": [NAT64]}, "oauth": OAUTH}, id="issuers on the internet"),
    ],
)
def test_addresses_of_a_translator_are_named_for_upstreams_or_for_issuers(gate: dict[str, Any]) -> None:
    assert faults(**gate) == []


NONE_OF_IT = "means nothing: the gate may connect to none of it, by upstream.allowed_ips"


@pytest.mark.parametrize(
    ("gate", "own", "outside"),
    [
        pytest.param(None, ["10.1.0.0/16"], [], id="a part of one by default"),
        pytest.param(None, ["10.0.0.0/8", "192.168.7.9"], [], id="one by default, and an address"),
        pytest.param(None, ["192.0.2.0/24"], [0], id="none by default"),
        pytest.param(["10.1.0.0/16"], ["10.0.0.0/8"], [], id="more than the gate has, which narrows nothing"),
        pytest.param(["10.1.0.0/16"], ["10.2.0.0/16", "10.1.2.0/24"], [0], id="one inside and one outside"),
        pytest.param(["10.0.0.0/8"], ["fd00::/8", "10.0.0.1", "::1"], [0, 2], id="another version"),
        pytest.param(["fd00::/8"], ["fd00:1::/64"], [], id="IPv6 within IPv6"),
    ],
)
def test_a_route_narrows_the_networks_of_the_gate(
    gate: list[str] | None, own: list[str], outside: list[int]
) -> None:
    told = faults(
        route={"upstream": {"url": URL, "allowed_ips": own}},
        **({} if gate is None else {"upstream": {"allowed_ips": gate}}),
    )

    assert told == [
        f"{ROUTE}.upstream.allowed_ips[{position}] = '{own[position]}': {NONE_OF_IT}" for position in outside
    ]


IN_NONE = "is not in upstream.allowed_ips"


@pytest.mark.parametrize("is_short", [True, False], ids=["short", "in full"])
@pytest.mark.parametrize(
    ("host", "upstream", "objection"),
    [
        pytest.param("10.0.12.7", {}, None, id="an address by default"),
        pytest.param("127.0.0.1", {}, f"127.0.0.1 {IN_NONE}", id="this machine"),
        pytest.param("127.0.0.1", {"allowed_ips": ["127.0.0.1"]}, None, id="this machine, which is named"),
        pytest.param("127.0.0.1", {"disable_ip_validation": True}, None, id="whatever it is"),
        pytest.param("192.0.2.1", {}, f"192.0.2.1 {IN_NONE}", id="the internet"),
        pytest.param("[fd00::1]", {}, f"fd00::1 {IN_NONE}", id="IPv6"),
        pytest.param("[fd00::1]", {"allowed_ips": ["fd00::/8"]}, None, id="IPv6, which is named"),
        pytest.param("[::ffff:10.0.12.7]", {}, None, id="an address in IPv6 form"),
        pytest.param("[::ffff:192.0.2.1]", {}, f"192.0.2.1 {IN_NONE}", id="another one in IPv6 form"),
        pytest.param(
            METADATA,
            {"disable_ip_validation": True},
            f"{METADATA} is link-local, where metadata services are, and not named as meant",
            id="a metadata service",
        ),
        pytest.param(
            METADATA,
            {"allowed_ips": [METADATA], "allow_metadata": [METADATA]},
            None,
            id="a metadata service, which is named twice",
        ),
        pytest.param(
            "[64:ff9b::a00:1]",
            {"disable_ip_validation": True},
            "64:ff9b::a00:1 carries 10.0.0.1, and its network is not in upstream.allow_wrapped",
            id="an address in another",
        ),
        pytest.param(
            "0.0.0.0",
            {"disable_ip_validation": True},
            "0.0.0.0 is unspecified, multicast or broadcast, and never dialled",
            id="no address",
        ),
        pytest.param("127.1", {}, None, id="a short form, judged when it is looked up"),
        pytest.param("localhost", {}, None, id="a name, judged when it is looked up"),
    ],
)
@pytest.mark.promise("checked-is-dialled")
def test_an_upstream_by_its_address_is_judged_when_it_is_read(
    host: str,
    upstream: dict[str, Any],
    objection: str | None,
    is_short: bool,  # noqa: FBT001
) -> None:
    url = f"http://{host}:9000"

    told = faults(route={"upstream": url if is_short else {"url": url}}, upstream=upstream)

    assert told == (
        [] if objection is None else [f"{ROUTE}.upstream = '{url}': may not be connected to: {objection}"]
    )


def test_an_upstream_by_its_address_is_judged_by_what_its_route_narrows_as_well() -> None:
    route = {"upstream": {"url": "http://10.0.12.7:9000", "allowed_ips": ["10.1.0.0/16"]}}

    assert faults(route=route) == [
        (
            f"{ROUTE}.upstream = 'http://10.0.12.7:9000': "
            "may not be connected to: 10.0.12.7 is not in the allowed_ips of the route"
        )
    ]


@pytest.mark.parametrize(
    "gate",
    [
        pytest.param("10.0.0.0/8", id="a text"),
        pytest.param([], id="an empty list"),
        pytest.param(["10.0.0.1/8"], id="host bits alone"),
        pytest.param([7], id="a number"),
    ],
)
def test_a_fault_in_the_networks_of_the_gate_is_told_once_and_not_at_each_route(gate: Any) -> None:
    route = {"upstream": {"url": "http://10.0.12.7:9000", "allowed_ips": ["10.0.12.0/24"]}}

    (told,) = faults(route=route, upstream={"allowed_ips": gate, "allow_metadata": []})

    assert told.startswith("upstream.allowed_ips")


PAIR = "needs {} as well"


@pytest.mark.parametrize("where", ["upstream.tls", f"{ROUTE}.upstream.tls"])
@pytest.mark.parametrize(
    ("tls", "told"),
    [
        pytest.param({"ca_file": "ca.pem"}, {}, id="an authority"),
        pytest.param({"include_system_cas": True}, {}, id="those of the system"),
        pytest.param({"ca_file": "ca.pem", "include_system_cas": True}, {}, id="both"),
        pytest.param({"ca_file": "ca.pem", "cert_file": "a.pem", "key_file": "a.key"}, {}, id="a pair"),
        pytest.param(
            {"ca_file": "ca.pem", "cert_file": "a.pem"},
            {"cert_file": "needs key_file as well"},
            id="a certificate without its key",
        ),
        pytest.param(
            {"ca_file": "ca.pem", "key_file": "a.key"},
            {"key_file": "needs cert_file as well"},
            id="a key without its certificate",
        ),
    ],
)
def test_a_certificate_and_its_key_come_together(
    where: str, tls: dict[str, Any], told: dict[str, str]
) -> None:
    if where == "upstream.tls":
        found = faults(upstream={"tls": tls})
    else:
        found = at_upstream(url="https://wiki.internal:9443", tls=tls)

    assert found == [f"{where}.{name}: {sentence}" for name, sentence in told.items()]


HTTPS = "https://wiki.internal:9443"
ANCHOR = "nobody's certificate is believed"


@pytest.mark.parametrize("written", [HTTPS, {"url": HTTPS}], ids=["short", "in full"])
@pytest.mark.parametrize(
    ("tls", "is_believed"),
    [
        pytest.param(None, False, id="nothing"),
        pytest.param({}, False, id="an empty section"),
        pytest.param({"include_system_cas": False}, False, id="not those of the system"),
        pytest.param({"cert_file": "a.pem", "key_file": "a.key"}, False, id="its own certificate"),
        pytest.param({"ca_file": "ca.pem"}, True, id="an authority"),
        pytest.param({"include_system_cas": True}, True, id="those of the system"),
        pytest.param({"include_system_cas": "true"}, True, id="those of the system, as a variable says it"),
    ],
)
def test_an_https_upstream_needs_somebody_who_vouches_for_it(
    written: Any,
    tls: dict[str, Any] | None,
    is_believed: bool,  # noqa: FBT001
) -> None:
    told = faults(route={"upstream": written}, **({} if tls is None else {"upstream": {"tls": tls}}))

    assert len(told) == (0 if is_believed else 1)
    for each in told:
        assert each.startswith(f"{ROUTE}.upstream = '{HTTPS}': needs ")
        assert each.endswith(ANCHOR)


@pytest.mark.parametrize(
    ("tls", "is_believed"),
    [
        pytest.param({"ca_file": "wiki.pem"}, True, id="an authority of its own"),
        pytest.param({"include_system_cas": True}, True, id="those of the system"),
        pytest.param({"cert_file": "a.pem", "key_file": "a.key"}, False, id="a certificate alone"),
        pytest.param({}, False, id="an empty section"),
        pytest.param({"include_system_cas": False}, False, id="an off switch"),
    ],
)
def test_what_a_route_says_of_tls_stands_in_place_of_what_the_gate_says(
    tls: dict[str, Any],
    is_believed: bool,  # noqa: FBT001
) -> None:
    told = faults(upstream={"tls": {"ca_file": "ca.pem"}}, route={"upstream": {"url": HTTPS, "tls": tls}})

    assert [each.endswith(ANCHOR) for each in told] == ([] if is_believed else [True])


def test_what_a_route_says_of_tls_means_nothing_where_none_is_spoken() -> None:
    assert at_upstream(tls={"ca_file": "ca.pem"}) == [
        f"{ROUTE}.upstream.tls: means nothing: the upstream does not speak TLS"
    ]


def test_what_the_gate_says_of_tls_is_for_the_upstreams_that_speak_it() -> None:
    assert faults(upstream={"tls": {"ca_file": "ca.pem"}}) == []


@pytest.mark.parametrize(
    "upstream",
    [
        pytest.param(Upstreams(), id="all by default"),
        pytest.param(Upstreams(disable_ip_validation=True), id="every address"),
        pytest.param(Upstreams(allowed_ips=["192.0.2.0/24"]), id="one network"),
        pytest.param(Upstreams(allowed_ips=["::/0"], allow_wide_networks=True), id="a wide network"),
        pytest.param(
            Upstreams(allowed_ips=[METADATA], allow_metadata=[METADATA]), id="the address of a service"
        ),
        pytest.param(Upstreams(tls=UpstreamTls(ca_file="ca.pem")), id="an authority"),
    ],
)
def test_a_section_that_is_built_in_code_fits_as_it_does_in_a_file(upstream: Upstreams) -> None:
    route = Route(public_paths=["/healthz"], upstream=RouteUpstream(url=URL))

    built = Policy(
        clients=Clients(allowed_ips=["10.0.0.0/8"]), upstream=upstream, routes={"wiki.example.com": route}
    )

    assert built.upstream == upstream


@pytest.mark.parametrize(
    ("upstream", "route", "path"),
    [
        pytest.param(
            Upstreams(disable_ip_validation=True, allowed_ips=["10.0.0.0/8"]),
            RouteUpstream(url=URL),
            "upstream.disable_ip_validation",
            id="addresses to check and not",
        ),
        pytest.param(
            Upstreams(allowed_ips=["::/0"]), RouteUpstream(url=URL), "upstream.allowed_ips[0]", id="wide"
        ),
        pytest.param(
            Upstreams(tls=UpstreamTls(cert_file="a.pem")),
            RouteUpstream(url=URL),
            "upstream.tls.cert_file",
            id="a certificate without its key",
        ),
        pytest.param(Upstreams(), RouteUpstream(url=HTTPS), f"{ROUTE}.upstream", id="nobody vouches"),
        pytest.param(
            Upstreams(),
            RouteUpstream(url=URL, allowed_ips=["0.0.0.0/0"]),
            f"{ROUTE}.upstream.allowed_ips[0]",
            id="a route that narrows nothing",
        ),
    ],
)
def test_a_section_that_is_built_in_code_has_the_faults_that_it_has_in_a_file(
    upstream: Upstreams, route: RouteUpstream, path: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Policy(
            clients=Clients(allowed_ips=["10.0.0.0/8"]),
            upstream=upstream,
            routes={"wiki.example.com": Route(public_paths=["/healthz"], upstream=route)},
        )

    assert [fault.path for fault in caught.value.faults] == [path]


@pytest.mark.promise("whole-configuration")
def test_every_fault_of_addresses_is_told_at_once() -> None:
    told = faults(
        {
            "allowed_ips": ["10.0.0.1/8", "0.0.0.0/0"],
            "address_from": "forwarded",
            "trust_wide_networks": True,
        },
        {"upstream": {"url": HTTPS, "allowed_ips": ["::/0"], "tls": {"cert_file": "a.pem"}}},
        listen_addr=SOCKET,
        socket_mode=660,
        upstream={"disable_ip_validation": True, "allowed_ips": ["10.0.0.1/8"], "tls": {"key_file": "a"}},
        oauth={**OAUTH, "allowed_ips": ["0.0.0.0/0"]},
    )

    assert [each.partition(":")[0].partition(" = ")[0] for each in told] == [
        "socket_mode",
        "clients.allowed_ips[0]",
        "upstream.allowed_ips[0]",
        "clients.allowed_ips[1]",
        "clients.trust_wide_networks",
        "clients.address_from",
        "upstream.disable_ip_validation",
        "upstream.tls.key_file",
        "oauth.allowed_ips[0]",
        f"{ROUTE}.upstream.allowed_ips[0]",
        f"{ROUTE}.upstream.tls.cert_file",
        f"{ROUTE}.upstream",
    ]


ODD: list[Any] = [
    None,
    7,
    True,
    "text",
    "0.0.0.0/0",
    [],
    ["0.0.0.0/0"],
    [7],
    [None],
    [[]],
    [{}],
    {},
    {"url": 7},
]
SECTIONS = ("clients", "upstream", "oauth", "routes", "listen_addr", "socket_mode")
MEMBERS = (
    "allowed_ips",
    "allow_wide_networks",
    "trusted_proxies",
    "trust_wide_networks",
    "trust_unix_socket",
    "address_from",
    "disable_ip_validation",
    "allow_metadata",
    "allow_wrapped",
    "tls",
    "url",
    "upstream",
    "clients",
    "ca_file",
)


@given(
    st.dictionaries(
        st.sampled_from(SECTIONS),
        st.recursive(
            st.sampled_from(ODD),
            lambda inner: (
                st.dictionaries(st.sampled_from(MEMBERS), inner, max_size=4) | st.lists(inner, max_size=2)
            ),
            max_leaves=6,
        ),
    )
)
@pytest.mark.promise("whole-configuration")
def test_whatever_stands_there_the_search_for_faults_goes_on_to_the_end(data: dict[str, Any]) -> None:
    issuer = {"issuer": "https://twice.example.com", "jwks_file": "a"}
    routes = data.get("routes")
    wiki: dict[str, Any] = {"Wiki.example.com": {}}
    if is_object(routes):
        wiki = {**routes, **wiki}

    found = faults_across({**GATE, **data, "oauth": {"issuers": [issuer, issuer]}, "routes": wiki})

    assert all(fault.path and fault.sentence for fault in found)
    assert any(fault.sentence == "stands twice" for fault in found)
    assert any(fault.path == 'routes."Wiki.example.com"' for fault in found)
