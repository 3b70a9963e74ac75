"""Who may connect to the pods of the chart, and where they may connect to."""

from ipaddress import ip_network
from typing import Any

import pytest

from tests.helm.manifests import Manifest, Manifests, configuration, gate_pod, of_kind, only, peers, pods
from tests.helm.tools import EXAMPLES, render
from tunnelgate import Policy
from tunnelgate.upstream import addresses
from tunnelgate.upstream.addresses import RFC1918

BY_NAME = {each.name.removesuffix("-values.yaml"): each for each in EXAMPLES}
EDGE = {"198.41.192.0/19", "2606:4700:a0::/44"}
EVERYWHERE = {"0.0.0.0/0", "::/0"}


def rule(manifests: Manifests, name: str = "gate", **wanted: Any) -> Manifest | None:
    """Return the rule for egress whose peers include a network, or whose ports a port."""
    policy = next(each for each in of_kind(manifests, "NetworkPolicy") if _component(each) == name)
    for each in policy["spec"]["egress"]:
        if wanted.get("network") in networks([each]) or wanted.get("port") in ports(each):
            found: Manifest = each
            return found
    return None


def networks(rules: list[Manifest]) -> set[str]:
    return {each["ipBlock"]["cidr"] for each in peers(rules) if "ipBlock" in each}


def ports(rule: Manifest) -> set[int | str]:
    return {each["port"] for each in rule.get("ports", [])}


def test_a_cluster_that_keeps_its_own_policies_gets_none() -> None:
    assert not of_kind(render(BY_NAME["no-network-policy"]), "NetworkPolicy")


@pytest.mark.parametrize("name", ["minimal", "everything", "connector-apart"])
def test_every_pod_has_one_policy_for_both_directions(name: str) -> None:
    manifests = render(BY_NAME[name])
    policies = of_kind(manifests, "NetworkPolicy")
    for _, pod in pods(manifests):
        labels = pod["metadata"]["labels"].items()
        chosen = [each for each in policies if each["spec"]["podSelector"]["matchLabels"].items() <= labels]
        assert len(chosen) == 1
        assert chosen[0]["spec"]["policyTypes"] == ["Ingress", "Egress"]


def test_nobody_may_connect_to_a_pod_that_has_its_connector_in_it() -> None:
    policy = only(render(BY_NAME["minimal"]), "NetworkPolicy")

    assert policy["spec"]["ingress"] == []


def test_only_the_connectors_pods_may_connect_where_it_is_apart_and_only_to_the_gates_port() -> None:
    manifests = render(BY_NAME["connector-apart"])
    policy = only(manifests, "NetworkPolicy")

    assert policy["spec"]["ingress"] == [
        {
            "from": [{"podSelector": {"matchLabels": {"app": "mcp-tunnel"}}}],
            "ports": [{"port": "gate", "protocol": "TCP"}],
        }
    ]
    (container,) = gate_pod(manifests)["containers"]
    assert container["ports"] == [{"name": "gate", "containerPort": 8080}]


def test_only_prometheus_may_ask_the_connector_what_it_has_counted() -> None:
    (allowed,) = only(render(BY_NAME["everything"]), "NetworkPolicy", "gate")["spec"]["ingress"]

    assert allowed["from"] == [
        {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}
    ]
    assert allowed["ports"] == [{"port": "metrics", "protocol": "TCP"}]


def test_the_connector_may_reach_the_edge_over_tcp_and_udp() -> None:
    edge = rule(render(BY_NAME["minimal"]), port=7844)

    assert edge is not None
    assert networks([edge]) == EDGE
    assert edge["ports"] == [{"port": 7844, "protocol": "TCP"}, {"port": 7844, "protocol": "UDP"}]


def test_a_gate_without_a_connector_may_not_reach_the_edge() -> None:
    assert rule(render(BY_NAME["connector-apart"]), port=7844) is None


def test_names_are_looked_up_at_the_clusters_servers_only() -> None:
    lookup = rule(render(BY_NAME["minimal"]), port=53)

    assert lookup is not None
    assert networks([lookup]) == {"169.254.20.10/32"}
    assert {each["protocol"] for each in lookup["ports"]} == {"TCP", "UDP"}
    assert all(peer for peer in lookup["to"])


@pytest.mark.parametrize(
    "allowed",
    [
        pytest.param(None, id="the private networks, which are the default"),
        pytest.param(["10.1.0.0/16"], id="one network"),
        pytest.param(["10.1.0.0/16", "fd00:1::/64", "192.0.2.0/24"], id="networks of both kinds"),
        pytest.param(["10.1.2.3", "fd00::9"], id="single addresses"),
        pytest.param(["127.0.0.1", "10.0.0.0/8"], id="this machine as well"),
    ],
)
def test_the_gate_may_reach_exactly_upstream_allowed_ips(allowed: list[str] | None) -> None:
    changes = {} if allowed is None else {"config.upstream.allowed_ips": allowed}
    manifests = render(BY_NAME["connector-apart"], changes)

    (reached,) = _egress_besides_lookups(manifests)
    assert {*map(ip_network, networks([reached]))} == {*map(ip_network, allowed or RFC1918)}
    assert "ports" not in reached


@pytest.mark.parametrize("name", ["minimal", "everything", "connector-apart"])
def test_networks_of_upstreams_are_those_that_the_gate_itself_reads_in_its_file(name: str) -> None:
    manifests = render(BY_NAME[name])
    policy = Policy.from_mapping(configuration(manifests))
    reached = networks(_egress_besides_lookups(manifests))

    assert {*map(ip_network, policy.upstream.allowed_ips)} <= {*map(ip_network, reached)}


def test_ports_of_upstreams_can_be_narrowed() -> None:
    narrowed = rule(render(BY_NAME["everything"]), network="10.1.0.0/16")

    assert narrowed is not None
    assert ports(narrowed) == {9000, 9443}


def test_a_gate_without_upstreams_may_not_reach_the_private_networks() -> None:
    mounted = {"mount": "example:create_app", "tools": ["search"]}
    manifests = render(BY_NAME["connector-apart"], {"config.routes.wiki": mounted | {"upstream": None}})

    assert _egress_besides_lookups(manifests) == []


def test_an_upstream_that_is_written_flat_as_anthropics_proxy_has_it_counts_too() -> None:
    manifests = render(BY_NAME["connector-apart"], {"config.routes.wiki": "http://10.1.2.3:9000"})

    assert networks(_egress_besides_lookups(manifests)) == {*RFC1918}


def test_everywhere_is_everywhere_but_what_the_gate_itself_never_dials_unless_it_is_named() -> None:
    upstream = {"disable_ip_validation": True}
    manifests = render(BY_NAME["connector-apart"], {"config.upstream": upstream})

    (reached,) = _egress_besides_lookups(manifests)
    excepted = {each for peer in reached["to"] for each in peer["ipBlock"]["except"]}
    assert networks([reached]) == EVERYWHERE
    assert {*map(ip_network, excepted)} == {*map(ip_network, addresses._METADATA)}  # pyright: ignore[reportPrivateUsage]


def test_a_metadata_service_that_is_meant_can_be_reached() -> None:
    upstream = {"disable_ip_validation": True, "allow_metadata": ["169.254.169.254"]}
    manifests = render(BY_NAME["connector-apart"], {"config.upstream": upstream})

    assert networks(_egress_besides_lookups(manifests)) == EVERYWHERE | {"169.254.169.254/32"}


@pytest.mark.parametrize(
    ("issuer", "expected"),
    [
        pytest.param({"issuer": "https://login.example.com/"}, {443}, id="its metadata"),
        pytest.param({"issuer": "https://login.example.com:8443/x"}, {8443}, id="its metadata, elsewhere"),
        pytest.param({"issuer": "https://[2001:db8::1]:8443/x"}, {8443}, id="its metadata, at an address"),
        pytest.param({"issuer": "https://[2001:db8::1]/x"}, {443}, id="at an address without a port"),
        pytest.param(
            {"issuer": "https://login.example.com/", "jwks_uri": "https://keys.example.com:9443/"},
            {9443},
            id="its keys",
        ),
        pytest.param(
            {"issuer": "https://login.example.com/", "jwks_file": "jwks.json"}, set[int](), id="a file"
        ),
        pytest.param(
            {
                "issuer": "https://login.example.com:8443/",
                "token_formats": ["opaque"],
                "introspection": {"client_id": "gate", "client_secret_file": "secret"},
            },
            {8443},
            id="introspection where its metadata says",
        ),
        pytest.param(
            {
                "issuer": "https://login.example.com/",
                "token_formats": ["opaque", "jwt"],
                "introspection": {
                    "client_id": "gate",
                    "client_secret_file": "secret",
                    "endpoint": "https://login.example.com:9443/introspect",
                },
                "jwks_uri": "https://login.example.com/jwks",
            },
            {443, 9443},
            id="introspection and keys",
        ),
    ],
)
def test_issuers_can_be_reached_at_the_ports_of_their_urls(issuer: Any, expected: set[int]) -> None:
    manifests = render(BY_NAME["connector-apart"], {"config.oauth.issuers": [issuer]})

    Policy.from_mapping(configuration(manifests))
    reached = rule(manifests, network="0.0.0.0/0")
    assert (set() if reached is None else ports(reached)) == expected


@pytest.mark.parametrize("kind", ["client_credentials", "token_exchange"])
@pytest.mark.parametrize("where", ["issuer", "token_endpoint"])
def test_who_makes_the_gates_own_tokens_can_be_reached(kind: str, where: str) -> None:
    asked = {where: "https://tokens.example.com:7443", "client_id": "gate", "client_secret_file": "secret"}
    manifests = render(BY_NAME["connector-apart"], {"config.routes.wiki.credentials": {kind: asked}})

    Policy.from_mapping(configuration(manifests))
    reached = rule(manifests, network="0.0.0.0/0")
    assert reached is not None
    assert ports(reached) == {7443}


def test_issuers_can_be_reached_in_oauth_allowed_ips_only_where_there_are_some() -> None:
    reached = rule(render(BY_NAME["everything"]), port=8443)

    assert reached is not None
    assert networks([reached]) == {"203.0.113.0/24", "198.51.100.7/32", "2001:db8::7/128"}
    assert ports(reached) == {8443, 9443}


def test_what_else_the_gate_needs_can_be_said() -> None:
    said = only(render(BY_NAME["everything"]), "NetworkPolicy", "gate")["spec"]["egress"][-1]

    assert said["to"] == [{"podSelector": {"matchLabels": {"app": "tickets"}}}]


def test_the_renewal_may_reach_the_api_of_the_cluster_and_nothing_else() -> None:
    manifests = render(BY_NAME["everything"])
    policy = only(manifests, "NetworkPolicy", "-renewal")
    lookup, api = policy["spec"]["egress"]

    assert policy["spec"]["ingress"] == []
    assert ports(lookup) == {53}
    assert networks([api]) == {"10.96.0.1/32", "192.0.2.10/32"}
    assert ports(api) == {6443}


def test_the_renewal_never_reaches_a_metadata_service() -> None:
    manifests = render(BY_NAME["everything"], {"renewal.apiServer.cidrs": []})
    api = rule(manifests, "renewal", port=6443)

    assert api is not None
    assert networks([api]) == EVERYWHERE
    assert all(peer["ipBlock"]["except"] for peer in api["to"])


def test_no_rule_is_for_everybody_by_being_empty(manifests: Manifests) -> None:
    """A rule without `to` and a peer without anything are everybody."""
    for policy in of_kind(manifests, "NetworkPolicy"):
        for each in policy["spec"]["egress"]:
            assert each["to"]
            assert all(each["to"])
        for each in policy["spec"]["ingress"]:
            assert each["from"]
            assert all(each["from"])
            assert each["ports"]


def _component(policy: Manifest) -> str:
    return str(policy["spec"]["podSelector"]["matchLabels"]["app.kubernetes.io/component"])


def _egress_besides_lookups(manifests: Manifests) -> list[Manifest]:
    policy = next(each for each in of_kind(manifests, "NetworkPolicy") if _component(each) == "gate")
    return [each for each in policy["spec"]["egress"] if ports(each) != {53}]
