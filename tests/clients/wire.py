"""Carries TCP connections to a server and writes down every octet of both directions."""

import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

_READ = 65536


class Wire:
    """Listens on a port of loopback; what comes is carried ``to`` the port that is set later."""

    def __init__(self) -> None:
        self.to = 0
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._listener.getsockname()[1]
        self._numbers = count(1)
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._lines: list[bytes] = []
        self._accepting = threading.Thread(target=self._accept, daemon=True)

    @contextmanager
    def carrying(self, to: int) -> Generator[None]:
        """Carry connections until the block ends."""
        self.to = to
        self._accepting.start()
        try:
            yield
        finally:
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            with self._lock:
                left = list(self._open)
            for each in left:
                _hang_up(each)

    def write(self, path: Path) -> None:
        """Write what was carried since the last time to ``path``."""
        with self._lock:
            lines, self._lines = self._lines, []
        path.write_bytes(b"".join(lines))

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self.to), timeout=10)
            except OSError:
                client.close()
                continue
            server.settimeout(None)
            for each in (client, server):
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            number = next(self._numbers)
            with self._lock:
                self._open |= {client, server}
            for source, sink, sign in ((client, server, b">>>"), (server, client, b"<<<")):
                pump = threading.Thread(target=self._pump, args=(source, sink, number, sign), daemon=True)
                pump.start()

    def _pump(self, source: socket.socket, sink: socket.socket, number: int, sign: bytes) -> None:
        with suppress(OSError):
            while data := source.recv(_READ):
                with self._lock:
                    self._lines.append(b"\n%s connection %d\n%s" % (sign, number, data))
                sink.sendall(data)
        # One side has closed: so does the other, because closing is cancelling.
        _hang_up(source)
        _hang_up(sink)
        with self._lock:
            self._open -= {source, sink}


def _hang_up(end: socket.socket) -> None:
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()
