"""Applications at the other end of a real socket, and gates that have them as an upstream."""

import asyncio
import re
import socket
import threading
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, get_args

import pytest
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from tests.support import raw
from tests.support.audit import Records
from tests.support.raw import (
    HOST,
    HOSTS,
    PARSERS,
    SAFE,
    SAFE_PROMPT,
    SAFE_RESOURCES,
    McpApp,
    Outcome,
    Parser,
    RawGate,
    Settling,
)
from tests.support.servers import serve
from tests.support.tokens import ISSUER, jwks
from tunnelgate import Policy
from tunnelgate.asgi import ASGIApp
from tunnelgate.upstream.addresses import AddressRules
from tunnelgate.upstream.dialling import Dialler
from tunnelgate.upstream.health import Health
from tunnelgate.upstream.pool import Pool, Target
from tunnelgate.upstream.proxy import ProxyOptions, UpstreamProxy
from tunnelgate_app.gateway import create_gateway

Way = Literal["mounted", "remote"]
WAYS: tuple[Way, ...] = get_args(Way)
GATES = [
    pytest.param((parser, way), id=f"with the {parser} parser, {way}") for way in WAYS for parser in PARSERS
]

_LIMIT = 20  # seconds that a server may take to start and to stop
_LOOPBACK = "127.0.0.1"
_DEFAULTS = ProxyOptions()
_LINE_ENDS = re.compile(rb"[\r\n\0]")


@dataclass(frozen=True)
class Sent:
    """One request as it stood on the wire, to the last octet."""

    line: bytes
    headers: list[tuple[str, str]]
    body: bytes


class Wire:
    """Every request that came to a server, read from the octets of its connections in one way only."""

    def __init__(self) -> None:
        self.requests: list[Sent] = []
        self._connections: dict[asyncio.BaseProtocol, bytearray] = {}

    @property
    def rest(self) -> bytes:
        """What came and is not a whole request."""
        return b"".join(self._connections.values())

    def take(self, connection: asyncio.BaseProtocol, octets: bytes) -> None:
        """Take what came over a connection."""
        buffer = self._connections.setdefault(connection, bytearray())
        buffer += octets
        while (request := _cut(buffer)) is not None:
            self.requests.append(request)


def _cut(buffer: bytearray) -> Sent | None:
    """Take the first request out of ``buffer``, unless it is not whole; raises for one in another form."""
    end = buffer.find(b"\r\n\r\n")
    if end < 0:
        return None
    line, *lines = bytes(buffer[:end]).split(b"\r\n")
    assert not any(_LINE_ENDS.search(each) for each in (line, *lines)), buffer[:end]
    headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in map(_pair, lines)]
    lengths = [value for name, value in headers if name.lower() == "content-length"]
    assert len(lengths) <= 1, lengths
    assert not any(name.lower() == "transfer-encoding" for name, _ in headers), headers
    start, size = end + 4, int(*lengths or ("0",))
    if len(buffer) < start + size:
        return None
    request = Sent(line, headers, bytes(buffer[start : start + size]))
    del buffer[: start + size]
    return request


def _pair(line: bytes) -> tuple[bytes, bytes]:
    name, separator, value = line.partition(b": ")
    assert separator, line
    return name, value


class _Announcing(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.is_up = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.is_up.set()


@contextmanager
def served_elsewhere(app: ASGIApp, wire: Wire | None = None) -> Generator[int]:
    """Serve ``app`` in a thread and an event loop of its own, and give its port.

    The server is uvicorn's with h11, which shares nothing with how the gate reads and writes HTTP.
    """
    heard = Wire() if wire is None else wire

    class Heard(H11Protocol):
        def data_received(self, data: bytes) -> None:
            heard.take(self, data)
            super().data_received(data)

    config = uvicorn.Config(
        app,
        http=Heard,
        ws="none",
        lifespan="on",
        access_log=False,
        proxy_headers=False,
        log_config=None,
        timeout_graceful_shutdown=5,
    )
    server = _Announcing(config)
    with socket.create_server((_LOOPBACK, 0), backlog=128) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        try:
            assert server.is_up.wait(_LIMIT), "the server did not start"
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join(_LIMIT)
            assert not thread.is_alive(), "the server did not stop"


def upstream_at(port: int, options: ProxyOptions = _DEFAULTS) -> UpstreamProxy:
    """Return what passes requests on to a server on this machine."""
    dialler = Dialler(AddressRules([_LOOPBACK]))
    return UpstreamProxy(Pool(dialler, Target(_LOOPBACK, port)), Health(f"port {port}"), options)


@contextmanager
def behind_upstream(app: ASGIApp, options: ProxyOptions = _DEFAULTS) -> Generator[UpstreamProxy]:
    """Serve ``app`` by a real server, and give what stands for it in a gate."""
    with served_elsewhere(app) as port:
        yield upstream_at(port, options)


@contextmanager
def placed(way: Way, app: ASGIApp, options: ProxyOptions = _DEFAULTS) -> Generator[ASGIApp]:
    """Give what a gate has for ``app``: the application itself, or what leads to it over a socket."""
    if way == "mounted":
        yield app
        return
    with behind_upstream(app, options) as upstream:
        yield upstream


@dataclass
class RemoteGate(RawGate):
    """A running gate whose application is at the other end of ``wire``."""

    wire: Wire = field(default_factory=Wire)

    def send(
        self, request: bytes | Sequence[bytes], *, answers: int = 1, unfinished: bool = False
    ) -> Outcome:
        """Send octets as ever, and check that the wire carried what reached the application, no more."""
        before = len(self.wire.requests)
        outcome = super().send(request, answers=answers, unfinished=unfinished)
        assert self.wire.rest == b"", "more than whole requests went over the wire"
        assert self.wire.requests[before:] == [
            Sent(b"%b %b HTTP/1.1" % (each.method.encode(), each.raw_path), each.headers, each.body)
            for each in outcome.forwarded
        ]
        return outcome


def said_by_gate(gate: RawGate, host: str = HOST) -> Mapping[str, str]:
    """Return the headers that the gate says of itself to what is behind it, besides the request's id."""
    if not isinstance(gate, RemoteGate):
        return {}
    return {
        "x-forwarded-for": _LOOPBACK,
        "x-forwarded-host": host,
        "x-forwarded-proto": "https",
        "via": "1.1 tunnelgate",
    }


@contextmanager
def open_gate(parser: Parser, way: Way) -> Generator[RawGate]:
    """Serve the gate of :func:`tests.support.raw.open_gate`, whose application may be elsewhere.

    Where it is, the whole gateway stands in front of it, made of a configuration.
    """
    if way == "mounted":
        with raw.open_gate(parser) as mounted:
            yield mounted
        return
    app, records, wire = McpApp(), Records(), Wire()
    with TemporaryDirectory() as folder, served_elsewhere(app, wire) as upstream:
        gate = Settling(create_gateway(_policy(Path(folder), upstream), audit=records))
        with serve(gate, parser) as port:
            yield RemoteGate(port, parser, app, records, gate, wire=wire)


def _policy(folder: Path, upstream: int) -> Policy:
    keys = folder / "jwks.json"
    keys.write_bytes(jwks("ES256"))
    route: dict[str, Any] = {
        "upstream": {"url": f"http://{_LOOPBACK}:{upstream}", "preserve_host": True},
        "tools": [SAFE],
        "prompts": [SAFE_PROMPT],
        "resources": [SAFE_RESOURCES],
    }
    return Policy.from_mapping(
        {
            "clients": {"allowed_ips": ["127.0.0.0/8"]},
            "upstream": {"allowed_ips": [_LOOPBACK]},
            "oauth": {"issuers": [{"issuer": ISSUER, "jwks_file": str(keys)}]},
            "routes": dict.fromkeys(HOSTS, route),
        }
    )
