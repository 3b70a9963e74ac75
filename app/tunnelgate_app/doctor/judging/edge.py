"""The way out: what it means that the edge and the API answer, or do not.

UDP that nobody answers says nothing for certain, so it is never called fine and never wrong by itself.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tunnelgate_app.doctor.findings import Finding, Findings, Layer
from tunnelgate_app.doctor.targets import Target

_SAY = Findings(Layer.EDGE)
_FIREWALL = (
    "Allow outbound TCP and UDP to port 7844 of 198.41.192.0/19 and 2606:4700:a0::/44, where cloudflared "
    "runs."
)
_QUIC = "Allow outbound UDP to port 7844, or run cloudflared with --protocol http2, which needs TCP alone."
_API = (
    "Allow outbound TCP to port 443 of it where tunnels are made and their tokens rotated. "
    "The gate and cloudflared do not need it to run."
)


@dataclass(frozen=True, slots=True)
class Reach:
    """What came of connecting to a target.

    ``address`` is the one that answered, after ``seconds``; ``failure`` says why none did, and is empty
    where one did. ``is_silent`` says that nothing came back at all.
    """

    target: Target
    address: str = ""
    seconds: float = 0.0
    failure: str = ""
    is_silent: bool = False

    @property
    def is_reached(self) -> bool:
        """Whether somebody answered."""
        return not self.failure


@dataclass(frozen=True, slots=True)
class Region:
    """One of the edge's regions: why it could not be looked up, or how TCP and UDP went."""

    target: Target
    unknown: str = ""
    tcp: Reach | None = None
    udp: Reach | None = None


def findings_of_edge(regions: Sequence[Region]) -> Iterator[Finding]:
    """Yield what the reach of the edge means for cloudflared, which needs one of TCP and UDP."""
    for region in regions:
        if region.unknown:
            yield _SAY.wrong(
                f"look up {region.target.host}",
                region.unknown,
                f"cloudflared finds the edge by this name. Let this machine look it up: "
                f"dig A {region.target.host}",
            )
        if region.tcp is not None:
            yield _of_tcp(region.tcp, is_udp_reached=region.udp is not None and region.udp.is_reached)
        if region.udp is not None:
            yield _of_udp(region.udp, is_tcp_reached=region.tcp is not None and region.tcp.is_reached)


def finding_of_api(reach: Reach) -> Finding:
    """Return what the reach of the API means, which only administration needs."""
    tried = f"TLS to {reach.target}"
    if reach.is_reached:
        return _SAY.fine(tried, f"its certificate is believed, {_took(reach)}")
    if "certificate" in reach.failure:
        advice = (
            "Something on the way opens TLS, or the clock of this machine is wrong. Except the API from "
            "inspection; what opens this opens the tunnel's token too."
        )
        return _SAY.warning(tried, reach.failure, advice)
    return _SAY.warning(tried, reach.failure, _API)


def _of_tcp(reach: Reach, *, is_udp_reached: bool) -> Finding:
    tried = f"TCP to {reach.target}"
    if reach.is_reached:
        return _SAY.fine(tried, f"connected to {_took(reach)}")
    if is_udp_reached:
        return _SAY.warning(tried, reach.failure, f"cloudflared can work by QUIC alone. {_FIREWALL}")
    return _SAY.wrong(tried, reach.failure, _FIREWALL)


def _of_udp(reach: Reach, *, is_tcp_reached: bool) -> Finding:
    tried = f"UDP to {reach.target}"
    if reach.is_reached:
        return _SAY.fine(tried, f"speaks QUIC, {_took(reach)}")
    if reach.is_silent:
        found = f"unknown: {reach.failure}, because UDP is blocked or nobody answers what was asked"
        return _SAY.warning(tried, found, _QUIC)
    if is_tcp_reached:
        return _SAY.warning(tried, reach.failure, _QUIC)
    return _SAY.wrong(tried, reach.failure, _FIREWALL)


def _took(reach: Reach) -> str:
    return f"{reach.address} in {reach.seconds * 1000:.0f} ms"
