"""Dials a gate in place of whatever host an HTTP client asks for, as a tunnel would."""

import os
from collections.abc import Iterable
from typing import Any, Literal, cast

import httpcore2

from tunnelgate_app.connector.address import GateAddress
from tunnelgate_app.connector.streams import BeforeTls, ClearStream, begin_websocket

Carrying = Literal["http", "tls", "tunnel"]


class TunnelBackend(httpcore2.AsyncNetworkBackend):
    """Connects to ``gate``, and begins a WebSocket there where ``transport`` is ``tunnel``.

    TLS is begun by the client afterwards, inside of it; ``http`` goes without.
    """

    def __init__(self, gate: GateAddress, transport: Carrying) -> None:
        self._gate = gate
        self._transport = transport
        self._beneath = cast("httpcore2.AsyncNetworkBackend", httpcore2.AnyIOBackend())

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Connect to the gate for a client that wants ``host``; raises :class:`httpcore2.ConnectError`."""
        beneath = await self._dial(timeout)
        if self._transport == "http":
            return ClearStream(beneath)
        if self._transport == "tls":
            return BeforeTls(beneath)
        return await begin_websocket(beneath, host, timeout)

    async def _dial(self, timeout: float | None) -> httpcore2.AsyncNetworkStream:  # noqa: ASYNC109
        try:
            if self._gate.path is not None:
                return await self._beneath.connect_unix_socket(self._gate.path, timeout)
            return await self._beneath.connect_tcp(self._gate.host, self._gate.port, timeout)
        except httpcore2.ConnectTimeout:
            raise httpcore2.ConnectTimeout(f"{self._gate} does not answer") from None
        except httpcore2.ConnectError as error:
            raise httpcore2.ConnectError(f"nobody listens at {self._gate}: {_why(error)}") from None


def _why(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    number = getattr(error, "errno", None)
    return str(error) if number is None else os.strerror(number)
