"""Opens the socket that a server listens on, so that a busy port is one sentence."""

import errno
import socket

from tunnelgate_app.errors import CommandError
from tunnelgate_app.unix_socket import BACKLOG, UnixSocketError, open_unix_listener

UNIX = "unix:"


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
    if listen_addr.startswith(UNIX):
        try:
            return open_unix_listener(listen_addr.removeprefix(UNIX), socket_mode)
        except UnixSocketError as error:
            raise ListenError(f"{listen_addr} {error}") from None
    host, port = split_address(listen_addr)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=BACKLOG)
        # Accepted sockets inherit it. An event loop sets it by itself only where it made the socket.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listener  # noqa: TRY300 - an error of both is one sentence
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise ListenError(
                f"{listen_addr} is in use: stop what listens there, or choose another port"
            ) from None
        why = (error.strerror or "").partition(" (while")[0]  # the address stands in the sentence already
        raise ListenError(f"{listen_addr} cannot be listened on: {why}") from None


def address_of(listener: socket.socket) -> str:
    """Return where ``listener`` listens, as ``listen_addr`` says it."""
    name = listener.getsockname()
    if isinstance(name, str):
        return f"{UNIX}{name}"
    host, port = name[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
