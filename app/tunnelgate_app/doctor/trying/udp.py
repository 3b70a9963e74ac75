"""Asks an address by UDP which versions of QUIC it speaks."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

from tunnelgate_app.doctor.quic import VersionProbe

_TIMES = 3  # that a datagram is sent, because one can be lost

RandomOctets = Callable[[int], bytes]


async def ask_for_versions(probe: VersionProbe, address: str, port: int, seconds: float) -> None:
    """Return once ``probe`` is answered, for which it is sent three times in ``seconds``.

    There is no time limit but the caller's. Raises :class:`OSError`.
    """
    loop = asyncio.get_running_loop()
    transport, asking = await loop.create_datagram_endpoint(
        lambda: _Asking(probe, loop.create_future()), remote_addr=(address, port)
    )
    try:
        while not asking.answered.done():
            transport.sendto(probe.datagram)
            await asyncio.wait([asking.answered], timeout=seconds / _TIMES)
        asking.answered.result()
    finally:
        asking.answered.cancel()
        transport.abort()


class _Asking(asyncio.DatagramProtocol):
    def __init__(self, probe: VersionProbe, answered: "asyncio.Future[None]") -> None:
        self.answered = answered
        self._probe = probe

    def datagram_received(self, data: bytes, addr: object) -> None:
        if self._probe.is_answered_by(data):
            with suppress(asyncio.InvalidStateError):  # it was answered before
                self.answered.set_result(None)

    def error_received(self, exc: Exception) -> None:
        with suppress(asyncio.InvalidStateError):
            self.answered.set_exception(exc)
