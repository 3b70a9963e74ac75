"""Reads the request that begins a WebSocket, and says how it is answered.

It may ask for any path and name any host: who may call what is decided by the requests inside. Of
subprotocols the first is taken, since none of them means anything here; extensions are not.

Specification: RFC 6455 section 4.2; RFC 9110 section 15.5.22 for those that do not ask for a WebSocket.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import h11
from wsproto.utilities import generate_accept_token

MAX_HEAD = 16 * 1024  # octets

_VERSION = b"13"
_TLS_RECORD = b"\x16"
_MAX_METHOD = 20  # characters of a request's method in the log
_MAX_TARGET = 80  # and of its target


@dataclass(frozen=True, slots=True)
class Upgrade:
    """A WebSocket begins: ``answer`` is to be sent, and ``first`` has arrived behind the request."""

    answer: bytes
    first: bytes


@dataclass(frozen=True, slots=True)
class NoUpgrade:
    """None begins: ``answer`` is to be sent before the connection is closed, and ``why`` is for the log."""

    answer: bytes
    why: str


class UpgradeReader:
    """Reads a request that arrives in parts."""

    def __init__(self) -> None:
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD)

    def feed(self, data: bytes) -> Upgrade | NoUpgrade | None:
        """Return what becomes of the request, or None where the rest of it is still to come."""
        try:
            self._http.receive_data(data)
            event = self._http.next_event()
        except h11.RemoteProtocolError as error:
            fault, _, _ = str(error).partition(":")  # behind which it quotes what came
            what = "TLS" if data.startswith(_TLS_RECORD) else f"no HTTP request ({fault})"
            why = f"what came is {what}, and a WebSocket upgrade is expected"
            return NoUpgrade(_answer(b"400 Bad Request", b'{"error":"bad_request"}'), why)
        if not isinstance(event, h11.Request):
            return None
        first, _ = self._http.trailing_data
        return judge_upgrade(event, first)


def judge_upgrade(request: h11.Request, first: bytes) -> Upgrade | NoUpgrade:
    """Return how ``request`` is answered, behind which ``first`` has arrived."""
    fields: dict[bytes, bytes] = {}
    for name, value in request.headers:
        fields[name] = fields[name] + b"," + value if name in fields else value
    if request.method != b"GET" or not _asks_for_websocket(fields):
        target = request.target[:_MAX_TARGET].decode("ascii")
        what = f"{request.method[:_MAX_METHOD].decode('ascii')} {target}"
        return _upgrade_required(f"{what} came in the clear, and a WebSocket upgrade is expected")
    if fields.get(b"sec-websocket-version", b"").strip() != _VERSION:
        return _upgrade_required("what came is no WebSocket upgrade of version 13")
    key = fields.get(b"sec-websocket-key")
    if key is None:
        return _upgrade_required("what came is a WebSocket upgrade without Sec-WebSocket-Key")
    lines = [
        b"HTTP/1.1 101 Switching Protocols",
        b"upgrade: websocket",
        b"connection: upgrade",
        b"sec-websocket-accept: " + generate_accept_token(key),
    ]
    protocol = fields.get(b"sec-websocket-protocol", b"").partition(b",")[0].strip()
    if protocol:
        lines.append(b"sec-websocket-protocol: " + protocol)
    return Upgrade(b"\r\n".join([*lines, b"", b""]), first)


def _asks_for_websocket(fields: Mapping[bytes, bytes]) -> bool:
    return b"upgrade" in _tokens(fields, b"connection") and b"websocket" in _tokens(fields, b"upgrade")


def _tokens(fields: Mapping[bytes, bytes], name: bytes) -> list[bytes]:
    return [token.strip() for token in fields.get(name, b"").lower().split(b",")]


def _upgrade_required(why: str) -> NoUpgrade:
    lines = b"upgrade: websocket\r\nsec-websocket-version: " + _VERSION + b"\r\n"
    answer = _answer(b"426 Upgrade Required", b'{"error":"upgrade_required"}', lines, b"upgrade, close")
    return NoUpgrade(answer, why)


def _answer(status: bytes, body: bytes, lines: bytes = b"", connection: bytes = b"close") -> bytes:
    head = b"HTTP/1.1 %s\r\n%sconnection: %s\r\ncontent-type: application/json\r\n" % (
        status,
        lines,
        connection,
    )
    return head + b"cache-control: no-store\r\ncontent-length: %d\r\n\r\n" % len(body) + body
