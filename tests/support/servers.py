"""Real servers on free loopback ports, which stop by themselves."""

import socket
import ssl
import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import pytest

from tunnelgate.asgi import ASGIApp
from tunnelgate_app.listening.contexts import ListenerTls
from tunnelgate_app.server import HANDSHAKE_SECONDS, Loop, Parser, Server, Transport

_START_TIMEOUT = 20


def _has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


NEEDS_IPV6 = pytest.mark.skipif(not _has_ipv6(), reason="this machine has no IPv6 loopback")


@contextmanager
def serve(
    app: ASGIApp,
    parser: Parser = "strict",
    *,
    tls: ssl.SSLContext | ListenerTls | None = None,
    transport: Transport | None = None,
    loop: Loop = "auto",
    handshake_timeout: float = HANDSHAKE_SECONDS,
) -> Generator[int]:
    """Serve ``app`` in a thread, as the gateway does, and give its port."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        started = threading.Event()
        server = _Announcing(
            app,
            started,
            parser=parser,
            loop=loop,
            shutdown_timeout=5,
            tls=ListenerTls(tls) if isinstance(tls, ssl.SSLContext) else tls,
            transport=transport,
            handshake_timeout=handshake_timeout,
        )
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


class _Announcing(Server):
    def __init__(self, app: ASGIApp, started: threading.Event, **options: Any) -> None:
        super().__init__(app, **options)
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
