"""Runs a server by itself: one listener, and a clean end when it is told to stop."""

import errno
import socket
from types import FrameType

import uvicorn
from fastapi import FastAPI

from tunnelgate.uvicorn_http import StrictHttpToolsProtocol
from tunnelgate_servers.hosting.errors import OptionsError

_BACKLOG = 2048
_STOP_SECONDS = 5


def open_listener(host: str, port: int) -> socket.socket:
    """Return a socket that listens; raises `OptionsError` with what is in the way."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        why = (error.strerror or "").partition(" (while")[0]  # the address stands in the sentence already
        sentence = f"cannot be listened on: {why}"
        if error.errno == errno.EADDRINUSE:
            sentence = "is in use: stop what listens there, or choose another port"
        raise OptionsError(f"{authority(host, port)} {sentence}.") from None


def authority(host: str, port: int) -> str:
    """Return host and port as a URL has them."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class Server(uvicorn.Server):
    """Serves `app` on `listener`, says so in one line, and leaves with 0 when it is told to stop."""

    def __init__(self, app: FastAPI, listener: socket.socket) -> None:
        config = uvicorn.Config(
            app,
            http=StrictHttpToolsProtocol,
            lifespan="on",
            ws="none",
            access_log=False,
            log_level="warning",
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=_STOP_SECONDS,
        )
        super().__init__(config)
        self._name = app.title
        self._listener = listener

    def serve_until_stopped(self) -> bool:
        """Serve, and return whether the application had started."""
        self.run([self._listener])
        return self.started

    async def main_loop(self) -> None:
        """Serve until told to stop."""
        host, port = self._listener.getsockname()[:2]
        print(f"{self._name} listens on http://{authority(host, port)}/mcp", flush=True)  # noqa: T201 - for whoever started it
        await super().main_loop()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to stop; told so again, do not wait for what is under way."""
        # uvicorn's own would end the process by the signal, with everything that was to be removed left.
        self.force_exit = self.should_exit
        self.should_exit = True
