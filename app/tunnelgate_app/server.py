"""Runs an application on a socket that was opened beforehand, so that a busy port is one sentence."""

import errno
import socket
from typing import Literal

import uvicorn

from tunnelgate.asgi import ASGIApp
from tunnelgate.uvicorn_http import StrictHttpToolsProtocol

Parser = Literal["strict", "h11"]


class ListenError(Exception):
    """The address cannot be listened on; the text says why."""


def split_address(listen_addr: str) -> tuple[str, int]:
    """Return host and port of an address such as ``127.0.0.1:8080``, ``[::1]:8080`` or ``:8080``."""
    host, _, port = listen_addr.rpartition(":")
    return host.strip("[]"), int(port)


def open_listener(listen_addr: str) -> socket.socket:
    """Return a socket that listens on ``listen_addr``; raises :class:`ListenError`."""
    host, port = split_address(listen_addr)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise ListenError(
                f"{listen_addr} is in use: stop what listens there, or choose another port"
            ) from None
        raise ListenError(f"{listen_addr} cannot be listened on: {error.strerror}") from None


def run(
    app: ASGIApp, listener: socket.socket, *, parser: Parser = "strict", shutdown_timeout: float = 30
) -> bool:
    """Serve ``app`` until the process is told to stop; return whether it started.

    ``shutdown_timeout`` is in seconds.
    """
    config = uvicorn.Config(
        app,
        http=StrictHttpToolsProtocol if parser == "strict" else "h11",
        ws="none",
        lifespan="on",
        access_log=False,  # the audit has a better record of each request
        proxy_headers=False,  # who a forwarding header is believed from is a rule of ours
        server_header=False,
        log_config=None,
        timeout_graceful_shutdown=round(shutdown_timeout),
    )
    server = uvicorn.Server(config)
    try:
        server.run(sockets=[listener])
    except SystemExit:  # how uvicorn says that the application did not start
        return False
    return server.started
