"""The way out is tried on loopback: what answers, what does not, and what can honestly be said of UDP."""

import secrets
import ssl
from collections.abc import Generator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.app.doctor.examined import of, surroundings
from tests.app.doctor.fakes import answering, api, edge
from tests.support.certificates import Authority, client_context
from tests.support.resolving import Names, SlowNames, not_answering
from tunnelgate_app.doctor.findings import Finding, Layer, Status
from tunnelgate_app.doctor.layers.outside import examine_edge
from tunnelgate_app.doctor.options import Options
from tunnelgate_app.doctor.targets import Target
from tunnelgate_app.doctor.trying.edge import API, REGIONS

FIREWALL = "198.41.192.0/19"
AUTHORITY = Authority("A CA of the system")
NAME = "region1.edge.test"


@pytest.fixture
def api_port(tmp_path: Path) -> Generator[int]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*AUTHORITY.issue_for_server("api.test").write(tmp_path, "api"))
    with api(context) as port:
        yield port


async def examined(
    api_port: int,
    port: int,
    *,
    addresses: Sequence[str] = ("127.0.0.1",),
    seconds: float = 3.0,
    api_name: str = "api.test",
    believed: Authority = AUTHORITY,
) -> list[Finding]:
    names = Names({NAME: addresses, "api.test": ["127.0.0.1"], "other.test": ["127.0.0.1"]})
    options = Options(
        Path("unused"), seconds=seconds, regions=(Target(NAME, port),), api=Target(api_name, api_port)
    )
    return await examine_edge(options, surroundings(resolve=names, authorities=client_context(believed)))


@pytest.mark.anyio
async def test_an_edge_that_answers_both_ways_is_fine_and_so_is_the_api(api_port: int) -> None:
    with edge() as port:
        tcp, udp, management = await examined(api_port, port)

    assert [each.status for each in (tcp, udp, management)] == [Status.FINE] * 3
    assert tcp.tried == f"TCP to {NAME}:{port}"
    assert tcp.found.startswith("connected to 127.0.0.1 in ")
    assert udp.found.startswith("speaks QUIC, 127.0.0.1 in ")
    assert management.tried == f"TLS to api.test:{api_port}"
    assert management.found.startswith("its certificate is believed, 127.0.0.1 in ")


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("tcp", "quic", "of_tcp", "of_udp", "said_of_udp"),
    [
        pytest.param(
            True, "nothing", Status.FINE, Status.WARNING, "unknown: no answer", id="UDP that nobody answers"
        ),
        pytest.param(
            True,
            "babbles",
            Status.FINE,
            Status.WARNING,
            "unknown: no answer",
            id="UDP with no QUIC behind it",
        ),
        pytest.param(True, "closed", Status.FINE, Status.WARNING, "refused", id="UDP that is refused"),
        pytest.param(False, "answers", Status.WARNING, Status.FINE, "speaks QUIC", id="QUIC alone"),
        pytest.param(
            False,
            "nothing",
            Status.WRONG,
            Status.WARNING,
            "unknown: no answer",
            id="neither, and UDP silently",
        ),
        pytest.param(False, "closed", Status.WRONG, Status.WRONG, "refused", id="neither"),
    ],
)
async def test_what_the_edge_answers_is_judged_together(
    tcp: bool,  # noqa: FBT001
    quic: str,
    of_tcp: Status,
    of_udp: Status,
    said_of_udp: str,
    api_port: int,
) -> None:
    with edge(tcp=tcp, quic=quic) as port:
        by_tcp, by_udp, _ = await examined(api_port, port, seconds=0.6)

    assert (by_tcp.status, by_udp.status) == (of_tcp, of_udp)
    assert said_of_udp in by_udp.found
    if of_tcp is Status.WRONG:
        assert FIREWALL in by_tcp.advice
    if of_udp is Status.WARNING:
        assert "--protocol http2" in by_udp.advice


@pytest.mark.anyio
async def test_one_address_that_answers_is_enough(api_port: int) -> None:
    with edge() as port:
        tcp, udp, _ = await examined(api_port, port, addresses=["::1", "127.0.0.1", "127.0.0.9"])

    assert (tcp.status, udp.status) == (Status.FINE, Status.FINE)
    assert "127.0.0.1" in tcp.found


@pytest.mark.anyio
async def test_every_address_that_fails_is_named(api_port: int) -> None:
    with edge(tcp=False, quic="closed") as port:
        tcp, *_ = await examined(api_port, port, addresses=["127.0.0.1", "::1"])

    assert tcp.status is Status.WRONG
    assert "127.0.0.1: connection refused; ::1: " in tcp.found


@pytest.mark.anyio
async def test_an_edge_that_lets_nobody_in_is_given_its_time_alone(api_port: int) -> None:
    with not_answering() as port:
        tcp, *_ = await examined(api_port, port, seconds=0.2)

    assert tcp.status is Status.WRONG
    assert tcp.found == "no answer of 127.0.0.1 within 0.2 s"


@pytest.mark.anyio
async def test_a_region_without_an_address_is_wrong(api_port: int) -> None:
    with edge() as port:
        wrong, _ = await examined(api_port, port, addresses=[])

    assert wrong.status is Status.WRONG
    assert wrong.tried == f"look up {NAME}"
    assert wrong.found == "the name has no address"
    assert f"dig A {NAME}" in wrong.advice


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("name", "believed", "found", "advice"),
    [
        pytest.param(
            "api.test",
            Authority("Another"),
            "the certificate is not believed: unable to get local issuer certificate",
            "Something on the way opens TLS",
            id="somebody else's certificate",
        ),
        pytest.param(
            "other.test",
            AUTHORITY,
            "the certificate is not believed: Hostname mismatch",
            "Something on the way opens TLS",
            id="a certificate for another name",
        ),
        pytest.param("nobody.test", AUTHORITY, "no such name", "do not need it to run", id="no such name"),
    ],
)
async def test_what_keeps_the_api_from_being_reached_is_a_warning(
    name: str, believed: Authority, found: str, advice: str, api_port: int
) -> None:
    with edge() as port:
        *_, warning = await examined(api_port, port, api_name=name, believed=believed)

    assert warning.status is Status.WARNING
    assert found in warning.found
    assert advice in warning.advice


@pytest.mark.anyio
async def test_an_api_that_speaks_no_tls_is_a_warning() -> None:
    with edge() as port, answering(lambda _: (200, {}, b"")) as plain:
        *_, warning = await examined(plain, port)

    assert warning.status is Status.WARNING
    assert warning.found.startswith("127.0.0.1: TLS: ")


@pytest.mark.anyio
async def test_names_that_take_too_long_are_not_waited_for() -> None:
    options = Options(Path("unused"), seconds=0.05)

    findings = await examine_edge(options, surroundings(resolve=SlowNames()))

    assert [each.found for each in findings] == ["no answer within 0.05 s"] * 3
    assert [each.status for each in of(findings, Layer.EDGE)] == [Status.WRONG, Status.WRONG, Status.WARNING]


@pytest.mark.anyio
async def test_offline_the_edge_is_left_out_and_that_is_said() -> None:
    names = Names({})

    (skipped,) = await examine_edge(Options(Path("unused"), is_offline=True), surroundings(resolve=names))

    assert skipped.status is Status.SKIPPED
    assert "--offline" in skipped.found
    assert names.asked == []


def test_the_defaults_are_those_that_cloudflared_documents() -> None:
    assert list(map(str, (*REGIONS, API))) == [
        "region1.v2.argotunnel.com:7844",
        "region2.v2.argotunnel.com:7844",
        "api.anthropic.com:443",
    ]
    assert surroundings().octets is secrets.token_bytes


@pytest.mark.parametrize(
    ("text", "target"),
    [
        pytest.param(
            "region1.v2.argotunnel.com:7844", Target("region1.v2.argotunnel.com", 7844), id="a name"
        ),
        pytest.param("127.0.0.1:1", Target("127.0.0.1", 1), id="an address"),
        pytest.param("[::1]:65535", Target("::1", 65535), id="an address of version 6"),
    ],
)
def test_a_target_is_read_and_written(text: str, target: Target) -> None:
    assert Target.from_text(text) == target
    assert str(target) == text


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param("edge", id="no port"),
        pytest.param("edge:0", id="port 0"),
        pytest.param("edge:65536", id="a port too large"),
        pytest.param("::1:7844", id="version 6 without brackets"),
        pytest.param("https://edge:7844", id="a URL"),
        pytest.param("user@edge:7844", id="a user"),
    ],
)
def test_what_is_no_target_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not host:port"):
        Target.from_text(text)


@pytest.mark.anyio
async def test_both_regions_are_tried(api_port: int) -> None:
    with ExitStack() as stack:
        ports = [stack.enter_context(edge()) for _ in range(2)]
        names = Names({"one.test": ["127.0.0.1"], "two.test": ["127.0.0.1"], "api.test": ["127.0.0.1"]})
        regions = tuple(
            Target(f"{name}.test", port) for name, port in zip(("one", "two"), ports, strict=True)
        )
        options = Options(Path("unused"), seconds=3.0, regions=regions, api=Target("api.test", api_port))
        findings = await examine_edge(
            options, surroundings(resolve=names, authorities=client_context(AUTHORITY))
        )

    assert [each.tried.split()[0] for each in findings] == ["TCP", "UDP", "TCP", "UDP", "TLS"]
    assert {each.status for each in findings} == {Status.FINE}
