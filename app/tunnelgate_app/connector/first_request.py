"""Reads and rewrites the head of the first request on a connection, so that a tunnel could have brought it.

The rest of the connection is copied as it is, so it has to end with the answer to that request.

Specification: RFC 9112 sections 3.2 and 9.6.
"""

from dataclasses import dataclass

import h11

from tunnelgate.hosts import read_hostname

MAX_HEAD = 64 * 1024  # octets


class RequestError(Exception):
    """What came cannot be carried to a gate; the text says why."""


@dataclass(frozen=True, slots=True)
class FirstRequest:
    """A request for ``host``: its line, for people, and its octets as they go to the gate."""

    host: str
    line: str
    octets: bytes


class FirstRequestReader:
    """Reads a request that arrives in parts; ``host`` takes the place of the one that it names."""

    def __init__(self, host: str | None) -> None:
        self._host = host
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD)

    def feed(self, data: bytes) -> FirstRequest | None:
        """Return the request, or None where the rest of its head is still to come.

        Raises :class:`RequestError`.
        """
        try:
            self._http.receive_data(data)
            request = self._http.next_event()
        except h11.RemoteProtocolError as error:
            fault, _, _ = str(error).partition(":")  # behind which it quotes what came
            raise RequestError(f"what came is no HTTP/1.1 request ({fault})") from None
        if not isinstance(request, h11.Request):
            return None
        named = dict(request.headers).get(b"host", b"").decode("latin-1")
        try:
            host = self._host or read_hostname(_without_port(named))
        except ValueError as error:
            raise RequestError(f"the Host {named!r} {error}") from None
        lines = [b"%s %s HTTP/1.1" % (request.method, request.target), b"host: " + host.encode("ascii")]
        for name, value in request.headers.raw_items():
            if name.lower() not in {b"host", b"connection"}:
                lines.append(name + b": " + value)
        rest, _ = self._http.trailing_data
        octets = b"\r\n".join([*lines, b"connection: close", b"", b""]) + rest
        return FirstRequest(
            host, f"{request.method.decode('ascii')} {request.target.decode('ascii')}", octets
        )


def _without_port(named: str) -> str:
    name, _, port = named.rpartition(":")
    return name if name and port.isdigit() else named
