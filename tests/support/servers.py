"""Real servers on free loopback ports, which stop by themselves."""

import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import Literal

import uvicorn

from tunnelgate.asgi import ASGIApp
from tunnelgate.uvicorn_http import StrictHttpToolsProtocol

_START_TIMEOUT = 20


@contextmanager
def serve(app: ASGIApp, parser: Literal["strict", "h11"] = "strict") -> Generator[int]:
    """Serve ``app`` with uvicorn in a thread, as the gateway does, and give its port."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        config = uvicorn.Config(
            app,
            http=StrictHttpToolsProtocol if parser == "strict" else "h11",
            ws="none",
            lifespan="on",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            log_config=None,
            timeout_graceful_shutdown=5,
        )
        started = threading.Event()
        server = _Announcing(config, started)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        try:
            if not started.wait(_START_TIMEOUT):
                raise RuntimeError("the server did not start")
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join(_START_TIMEOUT)
            assert not thread.is_alive(), "the server did not stop"


class _Announcing(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, started: threading.Event) -> None:
        super().__init__(config)
        self._announced = started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._announced.set()


def exchange_bytes(port: int, request: bytes, timeout: float = 10) -> bytes:
    """Send raw octets over a real socket and return all that comes back until the other side closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=timeout) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
        return answer
