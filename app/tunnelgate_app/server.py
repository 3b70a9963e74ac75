"""Runs an application on a socket that was opened beforehand, so that a busy port is one sentence."""

import asyncio
import logging
import os
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Any, Literal

import uvicorn

from tunnelgate.asgi import ASGIApp
from tunnelgate.uvicorn_http import StrictHttpToolsProtocol, TimedH11Protocol
from tunnelgate_app.listening.addresses import address_of
from tunnelgate_app.listening.contexts import ListenerTls
from tunnelgate_app.listening.protocol import Arrivals, Carried
from tunnelgate_app.stopping import CUT_SECONDS, LAST_SECONDS, Draining, LastResort

logger = logging.getLogger("tunnelgate")

Parser = Literal["strict", "h11"]
Loop = Literal["auto", "asyncio", "uvloop"]
Transport = Literal["http", "tls", "tunnel"]

HANDSHAKE_SECONDS = 10.0  # that a TLS handshake may take, and the upgrade to a WebSocket before it

_PROTOCOLS: Mapping[Parser, type[asyncio.Protocol]] = {
    "strict": StrictHttpToolsProtocol,
    "h11": TimedH11Protocol,
}

_SPOKEN: Mapping[Carried | None, str] = {
    None: "HTTP in the clear",
    "tls": "TLS",
    "tunnel": "TLS in a WebSocket",
    "either": "TLS, directly or in a WebSocket",
}


class Server(uvicorn.Server):
    """uvicorn's server as a gate needs it.

    ``shutdown_timeout`` and ``handshake_timeout`` are in seconds. ``transport`` is what the listeners
    speak: ``http`` in the clear, ``tls``, or ``tunnel``, which is TLS in a WebSocket. Left out, it
    follows ``tls``: in the clear without it, and with it either of the other two. ``on_stop`` is called
    once, when the server begins to stop, with the seconds that are left; an exception of it is logged.
    ``leave`` ends the process with an exit code: with 0 where a second after ``shutdown_timeout`` it is
    still there, and at once where it is told to stop a second time.
    Raises :class:`ValueError` for a ``transport`` that needs ``tls`` and has none, or the other way round.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        parser: Parser = "strict",
        loop: Loop = "auto",
        shutdown_timeout: float = 30,
        tls: ListenerTls | None = None,
        transport: Transport | None = None,
        handshake_timeout: float = HANDSHAKE_SECONDS,
        on_stop: Callable[[float], None] | None = None,
        leave: Callable[[int], object] = os._exit,
    ) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=_PROTOCOLS[parser],
                loop=loop,
                ws="none",
                lifespan="on",
                access_log=False,  # the audit has a better record of each request
                proxy_headers=False,  # who a forwarding header is believed from is a rule of ours
                server_header=False,
                log_config=None,
            )
        )
        self._shutdown_timeout = shutdown_timeout
        carried = _carried(tls, transport)
        self._spoken = _SPOKEN[carried]
        self._arrivals: Arrivals | None = None
        if tls is not None and carried is not None:
            self._arrivals = Arrivals(tls, carried, self._protocol, handshake_timeout)
            tls.on_withdrawal(self._part)
        self._on_stop = on_stop
        self._leave = leave
        self._last_resort = LastResort(shutdown_timeout + LAST_SECONDS, leave)
        self._told_at: float | None = None

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve on ``sockets`` until the server is told to stop."""
        with self._last_resort:
            super().run(sockets)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the application, and listen."""
        if self._arrivals is None:
            await super().startup(sockets)
        else:
            await super().startup([])  # whose listeners would speak HTTP
            await self._listen(sockets or [], self._arrivals)
        for listener in sockets or []:
            logger.info("listening on %s, %s", address_of(listener), self._spoken)

    async def _listen(self, sockets: list[socket.socket], arrivals: Arrivals) -> None:
        loop = asyncio.get_running_loop()
        for listener in sockets:
            server = await loop.create_server(arrivals, sock=listener, backlog=self.config.backlog)
            self.servers.append(server)

    def _protocol(self) -> asyncio.Protocol:
        protocol: Any = self.config.http_protocol_class
        made: asyncio.Protocol = protocol(self.config, self.server_state, self.lifespan.state)
        return made

    def _part(self, context: ssl.SSLContext) -> None:
        for connection in tuple(self.server_state.connections):
            tls = connection.transport.get_extra_info("ssl_object")
            if tls is not None and tls.context is context and tls.getpeercert(binary_form=True):
                connection.shutdown()  # after the answers that it is giving

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to stop; told so again, end at once."""
        if self._told_at is not None:
            self._leave(128 + sig)
            return
        self._told_at = time.monotonic()
        self._last_resort.begin()
        super().handle_exit(sig, frame)  # which others hook into, such as the MCP SDK's streams
        self._captured_signals.clear()  # or the process would end by the signal, and not with 0

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take no more connections, finish the calls in flight, and stop the application."""
        passed = 0.0 if self._told_at is None else time.monotonic() - self._told_at
        left = max(0.0, self._shutdown_timeout - passed)
        loop = asyncio.get_running_loop()
        until = loop.time() + left
        self._announce(left)
        for server in self.servers:
            server.close()
        for listener in sockets or ():
            listener.close()
        if self._arrivals is not None:
            self._arrivals.stop()
        draining = Draining(self.server_state)
        await draining.finish(until)
        await draining.cut()
        try:
            async with asyncio.timeout_at(until + 2 * CUT_SECONDS):
                await self.lifespan.shutdown()
        except TimeoutError:
            logger.warning("the application did not stop in time and is left behind")

    def _announce(self, left: float) -> None:
        logger.info("stopping: calls in flight have %.1f seconds to finish", left)
        if self._on_stop is None:
            return
        try:
            self._on_stop(left)
        except Exception:
            logger.exception("what was to be told of the stop broke")


def _carried(tls: ListenerTls | None, transport: Transport | None) -> Carried | None:
    if transport is not None and (tls is None) != (transport == "http"):
        raise ValueError(f"the transport {transport!r} {'needs' if tls is None else 'has no use for'} TLS")
    if tls is None or transport == "http":
        return None
    return transport or "either"


def run(
    app: ASGIApp,
    listener: socket.socket,
    *,
    parser: Parser = "strict",
    shutdown_timeout: float = 30,
    tls: ListenerTls | None = None,
    transport: Transport | None = None,
    on_stop: Callable[[float], None] | None = None,
) -> bool:
    """Serve ``app`` until the process is told to stop; return whether it started.

    What comes afterwards has to be short: see ``leave`` of :class:`Server` for this and the rest.
    ``shutdown_timeout`` is in seconds.
    """
    server = Server(
        app, parser=parser, shutdown_timeout=shutdown_timeout, tls=tls, transport=transport, on_stop=on_stop
    )
    try:
        with listener:
            server.run(sockets=[listener])
    except SystemExit:  # how uvicorn says that the application did not start
        return False
    return server.started
