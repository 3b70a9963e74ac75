"""Comes to the gate as the tunnel does: a connection, TLS in it, and one request."""

import asyncio
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpcore2
import httpx2

from tunnelgate_app.connector.address import GateAddress
from tunnelgate_app.connector.backend import Carrying, TunnelBackend
from tunnelgate_app.connector.client import client_tls
from tunnelgate_app.doctor.answers import NoAnswerError
from tunnelgate_app.doctor.judging.listener import Opened
from tunnelgate_app.doctor.trying.http import ask
from tunnelgate_app.doctor.trying.sockets import said_of


@dataclass(frozen=True, slots=True)
class Shown:
    """The certificate that was shown for a hostname, in DER, and the version of TLS; none without TLS."""

    certificate: bytes = b""
    version: str = ""


class ListenerTrial:
    """Comes to ``gate``, where ``transport`` is spoken; each attempt may take ``seconds``."""

    def __init__(self, gate: GateAddress, transport: Carrying, seconds: float) -> None:
        self._gate = gate
        self._transport: Carrying = transport
        self._seconds = seconds

    async def connect(self) -> str:
        """Return why there is no connection; nothing where there is one."""
        gate = self._gate
        try:
            async with asyncio.timeout(self._seconds):
                _, writer = await (
                    asyncio.open_connection(gate.host, gate.port)
                    if gate.path is None
                    else asyncio.open_unix_connection(gate.path)
                )
        except TimeoutError:
            return f"no answer within {self._seconds:g} s"
        except OSError as error:
            return said_of(error)
        writer.transport.abort()
        return ""

    async def open(self, client: httpx2.AsyncClient, urls: Sequence[str]) -> list[Opened]:
        """Return what came of a request to each of ``urls``, whatever was answered."""
        return list(await asyncio.gather(*(self._open(client, url) for url in urls)))

    async def look(self, hostname: str) -> Shown:
        """Return what is shown for ``hostname``, without believing it."""
        if self._transport == "http":
            return Shown()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE  # it is looked at, and nothing is sent
        backend = TunnelBackend(self._gate, self._transport)
        try:
            async with asyncio.timeout(self._seconds):
                beneath = await backend.connect_tcp(hostname, 443, self._seconds)
                stream = await beneath.start_tls(context, hostname, self._seconds)
        except (TimeoutError, httpcore2.NetworkError, httpcore2.TimeoutException, httpcore2.ProtocolError):
            return Shown()
        secured = stream.get_extra_info("ssl_object")
        shown = Shown(secured.getpeercert(binary_form=True) or b"", secured.version() or "")
        await stream.aclose()
        return shown

    async def _open(self, client: httpx2.AsyncClient, url: str) -> Opened:
        hostname = urlsplit(url).hostname or ""
        gate = str(self._gate)
        try:
            await ask(client, "GET", url, self._seconds)
        except NoAnswerError as error:
            return Opened(gate, hostname, self._transport, str(error))
        return Opened(gate, hostname, self._transport)


def authorities_failure(authorities: Path | None) -> str:
    """Return why the file of the tunnel's CA cannot be used; nothing where it can."""
    try:
        client_tls(authorities)
    except OSError as error:  # which those of ssl are too
        return said_of(error)
    return ""
