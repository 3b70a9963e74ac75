"""Each address of an upstream is judged by the rules that it is dialled by, in the words of the guide."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.app.doctor.examined import surroundings
from tests.support.resolving import Names
from tunnelgate import Policy
from tunnelgate.errors import UpstreamFailed
from tunnelgate.upstream.opening import open_pool
from tunnelgate.verdict import Reason
from tunnelgate_app.doctor.findings import Finding, Status
from tunnelgate_app.doctor.layers.behind import Behind
from tunnelgate_app.doctor.options import Options

NAT64 = "64:ff9b::/96"
NEVER_DIALLED = "224.0.0.1"


def policy_with(upstream: Mapping[str, Any], **route: Any) -> Policy:
    return Policy.from_mapping(
        {
            "clients": {"allowed_ips": ["127.0.0.1"]},
            "tunnel_domain": "tunnel.example.com",
            "upstream": upstream,
            "oauth": {"issuers": [{"issuer": "https://login.example.com"}]},
            "routes": {
                "wiki": {"upstream": {"url": "http://wiki.internal:9000", **route}, "tools": ["search"]}
            },
        }
    )


async def found(policy: Policy, *addresses: str) -> list[Finding]:
    names = Names({"wiki.internal": addresses})
    behind = Behind(policy, {}, Options(Path("unused")), surroundings(resolve=names))
    return await behind.examine_addresses()


ROWS = [
    pytest.param({}, {}, "10.0.0.1", "", "", id="a private address by the default set"),
    pytest.param({}, {}, "::ffff:10.0.0.1", "", "", id="a private address that is mapped"),
    pytest.param(
        {},
        {},
        "203.0.113.9",
        "203.0.113.9 is not a private address",
        "kubectl get svc",
        id="a public address",
    ),
    pytest.param(
        {},
        {},
        "::ffff:203.0.113.9",
        "203.0.113.9 is not a private address",
        "kubectl get svc",
        id="a public address that is mapped",
    ),
    pytest.param(
        {}, {}, "fd00::1", "fd00::1 is not a private address", "kubectl", id="version 6 by the default"
    ),
    pytest.param(
        {}, {}, "127.0.0.1", "127.0.0.1 is not a private address", "leaves this machine out", id="loopback"
    ),
    pytest.param(
        {"allowed_ips": ["10.0.0.0/8"]},
        {},
        "192.168.0.1",
        "192.168.0.1 is not in upstream.allowed_ips",
        "Add the narrowest network",
        id="an address outside of what is listed",
    ),
    pytest.param(
        {"allowed_ips": ["10.0.0.0/8"]},
        {"allowed_ips": ["10.1.0.0/16"]},
        "10.2.0.1",
        "10.2.0.1 is not in the allowed_ips of the route",
        "The route narrows",
        id="an address outside of what the route lists",
    ),
    pytest.param(
        {},
        {},
        "169.254.169.254",
        "link-local, where metadata services are, and not named as meant",
        "name 169.254.169.254 in upstream.allow_metadata",
        id="a metadata service",
    ),
    pytest.param(
        {},
        {},
        "64:ff9b::a00:1",
        "carries 10.0.0.1",
        "leads on to 10.0.0.1",
        id="an address that carries another",
    ),
    pytest.param(
        {"allowed_ips": [NAT64], "allow_wrapped": [NAT64]},
        {},
        "64:ff9b::a00:1",
        "carries an address: 10.0.0.1 is not in upstream.allowed_ips",
        "allow what is carried",
        id="an address that carries one that is not allowed",
    ),
    pytest.param({}, {}, "0.0.0.0", "never dialled", "Nothing allows this address", id="no address at all"),
    pytest.param({}, {}, "10.0.0.1 ", "is", "Add the narrowest", id="what cannot be read"),
    pytest.param(
        {},
        {},
        "fe80::1%2",
        "an address with a zone",
        "Add the narrowest network",
        id="an address with a zone",
    ),
    pytest.param(
        {"disable_ip_validation": True}, {}, "203.0.113.9", "", "", id="any address where all are allowed"
    ),
]


@pytest.mark.anyio
@pytest.mark.parametrize(("upstream", "route", "address", "objection", "advice"), ROWS)
async def test_an_address_is_judged_with_what_to_do(
    upstream: dict[str, Any], route: dict[str, Any], address: str, objection: str, advice: str
) -> None:
    (finding,) = await found(policy_with(upstream, **route), address)

    if not objection:
        assert finding.status is Status.FINE
        assert finding.found == f"{address}, which may be connected to"
    else:
        assert finding.status is Status.WRONG
        assert finding.found.startswith("IP validation failed: ")
        assert objection in finding.found
        assert advice in finding.advice


@pytest.mark.anyio
@pytest.mark.parametrize(("upstream", "route", "address", "objection", "advice"), ROWS)
async def test_the_doctor_and_the_proxy_judge_alike(
    upstream: dict[str, Any], route: dict[str, Any], address: str, objection: str, advice: str
) -> None:
    policy = policy_with(upstream, **route)
    settings = policy.routes["wiki"].upstream
    assert settings is not None
    # The second is never dialled, so that nothing is: what is said is about the first that is refused.
    names = Names({"wiki.internal": [address, NEVER_DIALLED]})
    pool = open_pool(policy.upstream, settings, "wiki", resolve=names)

    with pytest.raises(UpstreamFailed) as caught:
        await pool.take(fresh=True)

    assert caught.value.reason is Reason.UPSTREAM_NOT_ALLOWED
    assert (NEVER_DIALLED in caught.value.detail) == (not objection)


@pytest.mark.anyio
async def test_each_address_that_is_refused_is_named() -> None:
    findings = await found(policy_with({}), "10.0.0.1", "203.0.113.9", "203.0.113.10")

    assert [each.found for each in findings] == [
        "IP validation failed: 203.0.113.9 is not a private address",
        "IP validation failed: 203.0.113.10 is not a private address",
    ]


@pytest.mark.anyio
async def test_a_port_of_another_protocol_is_refused_before_anything_is_looked_up() -> None:
    policy = policy_with({})
    upstream = policy.routes["wiki"].upstream
    assert upstream is not None
    route = policy.routes["wiki"].model_copy(
        update={"upstream": upstream.model_copy(update={"url": "http://wiki.internal:6379"})}
    )

    (finding,) = await found(policy.model_copy(update={"routes": {"wiki": route}}), "10.0.0.1")

    assert finding.status is Status.WRONG
    assert "6379 is the port of redis" in finding.found


@pytest.mark.anyio
async def test_an_address_in_the_url_needs_no_name() -> None:
    policy = policy_with({}, url="http://10.1.2.3:9000")

    (finding,) = await found(policy)

    assert finding.found == "10.1.2.3, which may be connected to"
