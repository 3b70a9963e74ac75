"""Runs an application on a socket that was opened beforehand, so that a busy port is one sentence."""

import asyncio
import errno
import logging
import os
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any, Literal

import uvicorn

from tunnelgate import ConfigurationError
from tunnelgate.asgi import ASGIApp
from tunnelgate.tls_files import TlsFileLoader, new_context
from tunnelgate.uvicorn_http import StrictHttpToolsProtocol, TimedH11Protocol
from tunnelgate_app.errors import CommandError
from tunnelgate_app.stopping import CUT_SECONDS, LAST_SECONDS, Draining, LastResort
from tunnelgate_app.unix_socket import BACKLOG, UnixSocketError, open_unix_listener

logger = logging.getLogger("tunnelgate")

Parser = Literal["strict", "h11"]
Loop = Literal["auto", "asyncio", "uvloop"]

HANDSHAKE_SECONDS = 10.0  # that a TLS handshake may take

_UNIX = "unix:"
_PROTOCOLS: Mapping[Parser, type[asyncio.Protocol]] = {
    "strict": StrictHttpToolsProtocol,
    "h11": TimedH11Protocol,
}


class ListenError(CommandError):
    """The address cannot be listened on; the text says why."""


def split_address(listen_addr: str) -> tuple[str, int]:
    """Return host and port of an address such as ``127.0.0.1:8080``, ``[::1]:8080`` or ``:8080``."""
    host, _, port = listen_addr.rpartition(":")
    return host.strip("[]"), int(port)


def open_listener(listen_addr: str, *, socket_mode: int = 0o600) -> socket.socket:
    """Return a socket that listens on ``listen_addr``; raises :class:`ListenError`.

    ``unix:`` and an absolute path is a Unix socket, with the permissions ``socket_mode``; its file is
    removed when the socket is closed.
    """
    if listen_addr.startswith(_UNIX):
        try:
            return open_unix_listener(listen_addr.removeprefix(_UNIX), socket_mode)
        except UnixSocketError as error:
            raise ListenError(f"{listen_addr} {error}") from None
    host, port = split_address(listen_addr)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise ListenError(
                f"{listen_addr} is in use: stop what listens there, or choose another port"
            ) from None
        why = (error.strerror or "").partition(" (while")[0]  # the address stands in the sentence already
        raise ListenError(f"{listen_addr} cannot be listened on: {why}") from None


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """The files of a TLS listener, all in PEM.

    ``cert_file`` has the listener's certificate, then those that lead to its CA; ``key_file`` has the
    private key, without a password. Where there is a ``client_ca_file``, each client is asked for a
    certificate by one of the CAs in it, and may come without one.
    """

    cert_file: str | Path
    key_file: str | Path
    client_ca_file: str | Path | None = None


def open_tls(files: TlsFiles, *, clock: Callable[[], float] = time.time) -> ssl.SSLContext:
    """Return what a listener needs to speak TLS 1.2 and 1.3 with these files.

    A certificate that is out of date by ``clock``, in seconds since 1970, is logged and used.
    Raises :class:`~tunnelgate.ConfigurationError` with every fault that the files have.
    """
    context = new_context(ssl.PROTOCOL_TLS_SERVER)
    loader = TlsFileLoader(context)
    loader.load_own("tls.cert_file", files.cert_file, "tls.key_file", files.key_file)
    if files.client_ca_file is not None:
        loader.load_authorities("tls.client_ca_file", files.client_ca_file)
        context.verify_mode = ssl.CERT_OPTIONAL
        # Who resumes a session has not shown a certificate that is still valid.
        context.num_tickets = 0
        context.options |= ssl.OP_NO_TICKET
    if loader.faults:
        raise ConfigurationError("tls", loader.faults)
    loader.warn(datetime.fromtimestamp(clock(), UTC))
    return context


class Server(uvicorn.Server):
    """uvicorn's server as a gate needs it.

    ``shutdown_timeout`` and ``handshake_timeout`` are in seconds. ``tls`` is from :func:`open_tls`;
    without it, the listeners speak HTTP in the clear. ``on_stop`` is called once, when the server
    begins to stop, with the seconds that are left; an exception of it is logged. ``leave`` ends the
    process with an exit code: with 0 where a second after ``shutdown_timeout`` it is still there,
    and at once where it is told to stop a second time.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        parser: Parser = "strict",
        loop: Loop = "auto",
        shutdown_timeout: float = 30,
        tls: ssl.SSLContext | None = None,
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
        self._tls = tls
        self._handshake_timeout = handshake_timeout
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
        if self._tls is None:
            await super().startup(sockets)
        else:
            await super().startup([])  # whose listeners would wait a minute for a handshake
            await self._listen_with_tls(sockets or [], self._tls)
        self._say_where(sockets or [])

    async def _listen_with_tls(self, sockets: list[socket.socket], tls: ssl.SSLContext) -> None:
        loop = asyncio.get_running_loop()
        for listener in sockets:
            server = await loop.create_server(
                self._protocol,
                sock=listener,
                ssl=tls,
                ssl_handshake_timeout=self._handshake_timeout,
                backlog=self.config.backlog,
            )
            self.servers.append(server)

    def _say_where(self, sockets: list[socket.socket]) -> None:
        for listener in sockets:
            address = _address(listener)
            logger.info("listening on %s, %s", address, "HTTP in the clear" if self._tls is None else "TLS")

    def _protocol(self) -> asyncio.Protocol:
        protocol: Any = self.config.http_protocol_class
        made: asyncio.Protocol = protocol(self.config, self.server_state, self.lifespan.state)
        return made

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


def _address(listener: socket.socket) -> str:
    name = listener.getsockname()
    if isinstance(name, str):
        return f"{_UNIX}{name}"
    host, port = name[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def run(
    app: ASGIApp,
    listener: socket.socket,
    *,
    parser: Parser = "strict",
    shutdown_timeout: float = 30,
    tls: ssl.SSLContext | None = None,
    on_stop: Callable[[float], None] | None = None,
) -> bool:
    """Serve ``app`` until the process is told to stop; return whether it started.

    What comes afterwards has to be short: see ``leave`` of :class:`Server` for this and the rest.
    ``shutdown_timeout`` is in seconds. ``tls`` is from :func:`open_tls`.
    """
    server = Server(app, parser=parser, shutdown_timeout=shutdown_timeout, tls=tls, on_stop=on_stop)
    try:
        with listener:
            server.run(sockets=[listener])
    except SystemExit:  # how uvicorn says that the application did not start
        return False
    return server.started
