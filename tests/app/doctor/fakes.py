"""An edge, an API and a cloudflared on loopback."""

import json
import select
import socket
import ssl
import threading
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answered = tuple[int, Mapping[str, str], bytes]

_TICK = 0.05  # seconds after which a thread looks whether it is to end


@dataclass
class Cloudflared:
    """What a connector says of itself."""

    connections: int = 4
    errors: int = 0
    version: str = "2026.8.0"
    text: str | None = None

    def answer(self, path: str) -> Answered:
        """Return the status and the text that are answered at ``path``."""
        if path == "/ready":
            status = 200 if self.connections else 503
            body = {"status": status, "readyConnections": self.connections, "connectorId": "a"}
            return status, {}, json.dumps(body).encode()
        if path != "/metrics":
            return 404, {}, b"404 page not found"
        text = self._metrics if self.text is None else self.text
        return 200, {"Content-Type": "text/plain; version=0.0.4"}, text.encode()

    @property
    def _metrics(self) -> str:
        return (
            "# HELP build_info Build and version information\n"
            f'build_info{{goversion="go1.26",revision="",type="",version="{self.version}"}} 1\n'
            "# TYPE cloudflared_tunnel_ha_connections gauge\n"
            f"cloudflared_tunnel_ha_connections {self.connections}\n"
            f"cloudflared_tunnel_request_errors {self.errors}\n"
            'cloudflared_tunnel_response_by_code{status_code="200"} 7\n'
            "go_gc_duration_seconds NaN\n"
        )


@contextmanager
def answering(answer: Callable[[str], Answered]) -> Generator[int]:
    """Answer GET of a path with what ``answer`` returns and no header besides, and give the port."""

    class Answers(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            status, headers, content = answer(self.path)
            self.send_response_only(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = False  # connections that a client keeps are not waited for

    with Server(("127.0.0.1", 0), Answers) as server:
        thread = threading.Thread(target=server.serve_forever, args=(_TICK,), daemon=True)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join(5)


@contextmanager
def connector(state: Callable[[], Cloudflared]) -> Generator[str]:
    """Serve the metrics of a cloudflared that is as ``state`` says, and give their URL."""
    with answering(lambda path: state().answer(path)) as port:
        yield f"http://127.0.0.1:{port}"


@contextmanager
def edge(*, tcp: bool = True, quic: str = "answers") -> Generator[int]:
    """Listen as a region of the edge does, and give its port.

    ``quic`` is what comes to a datagram: ``answers``, ``babbles`` what is no answer, says ``nothing``,
    or is ``closed``, so that the system answers.
    """
    listener, datagrams = _both()
    ends = threading.Event()
    port: int = listener.getsockname()[1]
    thread = threading.Thread(target=_answer, args=(datagrams, quic, ends), daemon=True)
    try:
        if not tcp:
            listener.close()
        if quic == "closed":
            datagrams.close()
        else:
            thread.start()
        yield port
    finally:
        ends.set()
        if thread.ident is not None:
            thread.join(5)
        listener.close()
        datagrams.close()


@contextmanager
def api(context: ssl.SSLContext) -> Generator[int]:
    """Listen as the API does, for one TLS handshake after the other, and give the port."""
    ends = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(_TICK)
        thread = threading.Thread(target=_shake_hands, args=(listener, context, ends), daemon=True)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            ends.set()
            thread.join(5)


def _both() -> tuple[socket.socket, socket.socket]:
    """Return a listener and a socket for datagrams, on a port that is free for both."""
    while True:
        listener = socket.create_server(("127.0.0.1", 0))
        datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            datagrams.bind(listener.getsockname())
        except OSError:
            listener.close()
            datagrams.close()
        else:
            return listener, datagrams


def _answer(datagrams: socket.socket, quic: str, ends: threading.Event) -> None:
    while not ends.is_set():
        if not select.select([datagrams], [], [], _TICK)[0]:
            continue
        datagram, sender = datagrams.recvfrom(2048)
        if quic == "answers":
            datagrams.sendto(negotiation(datagram), sender)
        elif quic == "babbles":
            datagrams.sendto(b"\x80 hello, this is no list of versions", sender)


def negotiation(datagram: bytes) -> bytes:
    """Return what a server of QUIC version 1 answers to a first packet of another version."""
    assert len(datagram) >= 1200
    assert datagram[0] & 0x80
    assert int.from_bytes(datagram[1:5]) & 0x0F0F0F0F == 0x0A0A0A0A
    destination_end = 6 + datagram[5]
    destination = datagram[6:destination_end]
    source_end = destination_end + 1 + datagram[destination_end]
    source = datagram[destination_end + 1 : source_end]
    ids = bytes([len(source)]) + source + bytes([len(destination)]) + destination
    return b"\xaa" + bytes(4) + ids + bytes.fromhex("00000001") + bytes.fromhex("5a6a7a8a")


def _shake_hands(listener: socket.socket, context: ssl.SSLContext, ends: threading.Event) -> None:
    while not ends.is_set():
        try:
            connection, _ = listener.accept()
        except TimeoutError:
            continue
        with connection:
            connection.settimeout(5)
            try:
                with context.wrap_socket(connection, server_side=True) as secured:
                    secured.recv(1)
            except OSError:
                continue  # who does not believe the certificate goes away
