"""Tries the way out: TCP and QUIC to the edge's regions, and TLS to the API.

Names and ports are those of `cloudflared` (its prechecks, and the firewall page of its documentation).
"""

import asyncio
import ssl
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from tunnelgate.upstream.resolving import Resolve
from tunnelgate_app.doctor.judging.edge import Reach, Region
from tunnelgate_app.doctor.quic import VersionProbe
from tunnelgate_app.doctor.targets import Target
from tunnelgate_app.doctor.trying.sockets import LookupFailedError, look_up, of_each_family, said_of
from tunnelgate_app.doctor.trying.udp import RandomOctets, ask_for_versions

REGIONS: Final = (Target("region1.v2.argotunnel.com", 7844), Target("region2.v2.argotunnel.com", 7844))
API: Final = Target("api.anthropic.com", 443)


class EdgeTrial:
    """Connects to the edge and the API.

    ``resolve`` looks names up, ``octets`` returns random ones, ``authorities`` says whose certificates
    are believed of the API, and each attempt has ``seconds``.
    """

    def __init__(
        self, *, resolve: Resolve, octets: RandomOctets, authorities: ssl.SSLContext, seconds: float
    ) -> None:
        self._resolve = resolve
        self._octets = octets
        self._authorities = authorities
        self._seconds = seconds

    async def try_regions(self, targets: Sequence[Target]) -> Sequence[Region]:
        """Return how TCP and UDP to each region went, all tried at once."""
        return await asyncio.gather(*map(self._try_region, targets))

    async def try_api(self, target: Target) -> Reach:
        """Return how TLS to the API went."""
        try:
            addresses = await look_up(target, self._resolve, self._seconds)
        except LookupFailedError as error:
            return Reach(target, failure=str(error))
        return await self._best(target, addresses, self._connect_with_tls)

    async def _try_region(self, target: Target) -> Region:
        try:
            addresses = await look_up(target, self._resolve, self._seconds)
        except LookupFailedError as error:
            return Region(target, unknown=str(error))
        tcp, udp = await asyncio.gather(
            self._best(target, addresses, self._connect), self._best(target, addresses, self._ask_by_udp)
        )
        return Region(target, tcp=tcp, udp=udp)

    async def _best(
        self, target: Target, addresses: Sequence[str], attempt: Callable[[Target, str], Awaitable[None]]
    ) -> Reach:
        reached = await asyncio.gather(
            *(self._timed(target, each, attempt) for each in of_each_family(addresses))
        )
        answered = [each for each in reached if each.is_reached]
        if answered:
            return min(answered, key=lambda each: each.seconds)
        failure = "; ".join(each.failure for each in reached)
        return Reach(target, failure=failure, is_silent=any(each.is_silent for each in reached))

    async def _timed(
        self, target: Target, address: str, attempt: Callable[[Target, str], Awaitable[None]]
    ) -> Reach:
        began = time.monotonic()
        try:
            async with asyncio.timeout(self._seconds):
                await attempt(target, address)
        except TimeoutError:
            failure = f"no answer of {address} within {self._seconds:g} s"
            return Reach(target, address, self._seconds, failure, is_silent=True)
        except OSError as error:
            return Reach(target, address, time.monotonic() - began, f"{address}: {said_of(error)}")
        return Reach(target, address, time.monotonic() - began)

    async def _connect(self, target: Target, address: str) -> None:
        _, writer = await asyncio.open_connection(address, target.port)
        writer.transport.abort()

    async def _connect_with_tls(self, target: Target, address: str) -> None:
        _, writer = await asyncio.open_connection(
            address, target.port, ssl=self._authorities, server_hostname=target.host
        )
        writer.transport.abort()

    async def _ask_by_udp(self, target: Target, address: str) -> None:
        probe = VersionProbe.from_random(self._octets(VersionProbe.RANDOM_OCTETS))
        await ask_for_versions(probe, address, target.port, self._seconds)
