"""Asks for a WebSocket as a connector does, and reads what the gate answers.

cloudflared keeps ``Host`` and the path, sets ``Connection``, ``Upgrade`` and ``Sec-WebSocket-Version``,
and passes on ``CF-RAY``; which path the other end asks for is not documented, and means nothing here.

Specification: RFC 6455 section 4.1.
"""

import secrets
from http import HTTPStatus

import h11
from wsproto.utilities import generate_accept_token, generate_nonce

_MAX_SAID = 200  # characters of an answer in a sentence


class UpgradeError(Exception):
    """The gate does not begin a WebSocket; the text says what it did."""


class UpgradeRequest:
    """The request for a WebSocket at ``host``, and the answer to it."""

    def __init__(self, host: str) -> None:
        self._http = h11.Connection(h11.CLIENT)
        self._key = generate_nonce()
        request = h11.Request(
            method="GET",
            target="/",
            headers=[
                (b"Host", host.encode("ascii")),
                (b"User-Agent", b"tunnelgate-connect"),
                (b"Cf-Ray", secrets.token_hex(8).encode("ascii") + b"-AMS"),
                (b"Connection", b"Upgrade"),
                (b"Sec-WebSocket-Key", self._key),
                (b"Sec-WebSocket-Version", b"13"),
                (b"Upgrade", b"websocket"),
            ],
        )
        self.octets = self._http.send(request) + self._http.send(h11.EndOfMessage())

    def feed(self, data: bytes) -> bytes | None:
        """Take a part of the answer; an empty one is the end of the connection.

        Return what has arrived behind the answer, or None where the rest of it is still to come.
        Raises :class:`UpgradeError`.
        """
        if not data:
            raise UpgradeError("it closed the connection without an answer")
        try:
            self._http.receive_data(data)
            answer = self._http.next_event()
        except h11.RemoteProtocolError:
            raise UpgradeError("what it answered is not HTTP") from None
        if not isinstance(answer, h11.InformationalResponse | h11.Response):
            return None
        if answer.status_code != HTTPStatus.SWITCHING_PROTOCOLS:
            raise UpgradeError(f"it answered {answer.status_code}{self._body()}")
        accepted = dict(answer.headers).get(b"sec-websocket-accept")
        if accepted != generate_accept_token(self._key):
            raise UpgradeError("it agreed, but not as a WebSocket server does")
        first, _ = self._http.trailing_data
        return first

    def _body(self) -> str:
        event = self._http.next_event()
        if not isinstance(event, h11.Data):
            return ""
        return " " + event.data[:_MAX_SAID].decode("ascii", "replace")
