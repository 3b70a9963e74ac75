"""The other end of a tunnel, written by hand so that each frame and each segment can be chosen."""

import socket
import ssl
import struct
from base64 import b64encode
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.support.certificates import Authority, Credential, client_context

LIMIT = 20  # seconds that anything here may take
HOST = "docs.example.com"

BINARY, TEXT, CLOSE, PING, PONG = 2, 1, 8, 9, 10

Cut = Callable[[bytes], Iterable[bytes]]


def frame(
    payload: bytes, opcode: int = BINARY, *, fin: bool = True, mask: bytes = b"\xa1\xb2\xc3\xd4"
) -> bytes:
    """Return a frame as a client sends it; without a mask as none may."""
    first = (0x80 if fin else 0) | opcode
    masked = 0x80 if mask else 0
    if len(payload) < 126:
        head = struct.pack("!BB", first, masked | len(payload))
    elif len(payload) < 65536:
        head = struct.pack("!BBH", first, masked | 126, len(payload))
    else:
        head = struct.pack("!BBQ", first, masked | 127, len(payload))
    if not mask:
        return head + payload
    stream = (mask * (len(payload) // 4 + 1))[: len(payload)]
    hidden = int.from_bytes(payload, "big") ^ int.from_bytes(stream, "big")
    return head + mask + hidden.to_bytes(len(payload), "big")


def in_one_frame(ciphertext: bytes) -> list[bytes]:
    return [frame(ciphertext)]


def upgrade_request(*lines: str, path: str = "/", host: str = "anything.example") -> bytes:
    """Return the request that cloudflared would make, with more ``lines``."""
    key = b64encode(b"sixteen octets!!").decode()
    head = [
        f"GET {path} HTTP/1.1",
        f"Host: {host}",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {key}",
        "CF-RAY: 8f0000000000abcd-AMS",
        *lines,
    ]
    return "\r\n".join([*head, "", ""]).encode()


def read_head(connection: socket.socket) -> bytes:
    """Return the head of an answer, and nothing behind it."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        octet = connection.recv(1)
        assert octet, f"closed after {head!r}"
        head += octet
    return head


@contextmanager
def upgraded(port: int, *lines: str, path: str = "/", host: str = "a.example") -> Generator[socket.socket]:
    """Give a connection on which a WebSocket has just begun."""
    with socket.create_connection(("127.0.0.1", port), timeout=LIMIT) as connection:
        connection.sendall(upgrade_request(*lines, path=path, host=host))
        head = read_head(connection)
        assert head.startswith(b"HTTP/1.1 101 Switching Protocols\r\n"), head
        assert b"\r\nsec-websocket-accept: " in head.lower()
        yield connection


def rest_of(connection: socket.socket) -> bytes:
    """Return what comes until the other end closes the connection, in one way or the other."""
    parts: list[bytes] = []
    try:
        while chunk := connection.recv(65536):
            parts.append(chunk)
    except ConnectionResetError:
        pass
    return b"".join(parts)


@dataclass
class Frames:
    """Takes the frames of a server apart."""

    buffer: bytearray = field(default_factory=bytearray)

    def read(self, data: bytes) -> list[tuple[int, bytes]]:
        """Return opcode and payload of each frame that is complete now."""
        self.buffer += data
        frames: list[tuple[int, bytes]] = []
        while (found := self._first()) is not None:
            frames.append(found)
        return frames

    def _first(self) -> tuple[int, bytes] | None:
        if len(self.buffer) < 2:
            return None
        assert not self.buffer[1] & 0x80, "a server does not mask"
        length, start = self.buffer[1] & 0x7F, 2
        if length >= 126:
            start = 4 if length == 126 else 10
            if len(self.buffer) < start:
                return None
            length = int.from_bytes(self.buffer[2:start], "big")
        if len(self.buffer) < start + length:
            return None
        opcode, payload = self.buffer[0] & 0x0F, bytes(self.buffer[start : start + length])
        del self.buffer[: start + length]
        return opcode, payload


@dataclass
class Tunnel:
    """TLS in a WebSocket on ``connection``; ``cut`` makes frames of what is sent."""

    connection: socket.socket
    context: ssl.SSLContext
    server_name: str | None = HOST
    cut: Cut = in_one_frame
    session: ssl.SSLSession | None = None
    control: list[tuple[int, bytes]] = field(default_factory=list[tuple[int, bytes]])

    def __post_init__(self) -> None:
        self._arrived, self._leaving = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._frames = Frames()
        self.tls = self.context.wrap_bio(
            self._arrived, self._leaving, server_hostname=self.server_name, session=self.session
        )
        while True:
            try:
                self.tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                self.flush()
                self.receive()
            finally:
                self.flush()

    def taken(self) -> bytes:
        """Return the ciphertext that is to be sent."""
        return self._leaving.read()

    def flush(self) -> None:
        ciphertext = self.taken()
        if ciphertext:
            for part in self.cut(ciphertext):
                self.connection.sendall(part)

    def receive(self) -> None:
        """Wait for something, and take it."""
        data = self.connection.recv(65536)
        if not data:
            self._arrived.write_eof()
        for opcode, payload in self._frames.read(data):
            if opcode == BINARY:
                self._arrived.write(payload)
            else:
                self.control.append((opcode, payload))

    def sendall(self, plaintext: bytes) -> None:
        rest = memoryview(plaintext)
        while rest:
            rest = rest[self.tls.write(rest) :]
        self.flush()

    def recv(self, size: int = 65536) -> bytes:
        while True:
            try:
                return self.tls.read(size)
            except ssl.SSLWantReadError:
                self.receive()
            except ssl.SSLZeroReturnError:
                return b""

    def rest(self) -> bytes:
        """Return what comes until the server says goodbye."""
        parts: list[bytes] = []
        while chunk := self.recv():
            parts.append(chunk)
        return b"".join(parts)

    def ask(self, request: bytes) -> bytes:
        """Send ``request``, and return the one answer to it, which is in chunks."""
        self.sendall(request)
        answer = b""
        while not answer.endswith(b"0\r\n\r\n"):
            chunk = self.recv()
            assert chunk, f"closed after {answer!r}"
            answer += chunk
        return answer


@contextmanager
def tunnelled(
    port: int,
    authority: Authority | ssl.SSLContext,
    server_name: str | None = HOST,
    cut: Cut = in_one_frame,
    session: ssl.SSLSession | None = None,
) -> Generator[Tunnel]:
    """Give a connection inside of a tunnel."""
    context = client_context(authority) if isinstance(authority, Authority) else authority
    with upgraded(port) as connection:
        yield Tunnel(connection, context, server_name, cut, session)


def get(path: str = "/mcp", *lines: str, host: str = HOST) -> bytes:
    return "\r\n".join([f"GET {path} HTTP/1.1", f"Host: {host}", *lines, "", ""]).encode()


def post(body: bytes, path: str = "/mcp", *, host: str = HOST) -> bytes:
    return f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def server_credential(authority: Authority) -> Credential:
    return authority.issue_for_server(HOST, "localhost")
