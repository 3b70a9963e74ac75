"""Runs an application on a socket that was opened beforehand, so that a busy port is one sentence."""

import asyncio
import errno
import logging
import socket
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import uvicorn
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509 import Certificate, load_pem_x509_certificates

from tunnelgate import ConfigurationError, ConfigurationFault
from tunnelgate.asgi import ASGIApp
from tunnelgate.uvicorn_http import StrictHttpToolsProtocol, TimedH11Protocol

logger = logging.getLogger("tunnelgate")

Parser = Literal["strict", "h11"]
Loop = Literal["auto", "asyncio", "uvloop"]

HANDSHAKE_SECONDS = 10.0  # that a TLS handshake may take

_PROTOCOLS: Mapping[Parser, type[asyncio.Protocol]] = {
    "strict": StrictHttpToolsProtocol,
    "h11": TimedH11Protocol,
}
_OF_ANOTHER_KEY = ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH", "NO_CERTIFICATE_ASSIGNED")


class ListenError(Exception):
    """The address cannot be listened on; the text says why."""


def split_address(listen_addr: str) -> tuple[str, int]:
    """Return host and port of an address such as ``127.0.0.1:8080``, ``[::1]:8080`` or ``:8080``."""
    host, _, port = listen_addr.rpartition(":")
    return host.strip("[]"), int(port)


def open_listener(listen_addr: str) -> socket.socket:
    """Return a socket that listens on ``listen_addr``; raises :class:`ListenError`."""
    host, port = split_address(listen_addr)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise ListenError(
                f"{listen_addr} is in use: stop what listens there, or choose another port"
            ) from None
        raise ListenError(f"{listen_addr} cannot be listened on: {error.strerror}") from None


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """The files of a TLS listener, all in PEM.

    ``cert_file`` has the listener's certificate, then those that lead to its CA; ``key_file`` has the
    private key, without a password. Where there is a ``client_ca_file``, each client is asked for a
    certificate by one of the CAs in it, and may come without one.
    """

    cert_file: str | Path
    key_file: str | Path
    client_ca_file: str | Path | None = None


def open_tls(files: TlsFiles, *, clock: Callable[[], float] = time.time) -> ssl.SSLContext:
    """Return what a listener needs to speak TLS 1.2 and 1.3 with these files.

    A certificate that is out of date by ``clock``, in seconds since 1970, is logged and used.
    Raises :class:`~tunnelgate.ConfigurationError` with every fault that the files have.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    loader = _Loader(context)
    loader.load_own(files.cert_file, files.key_file)
    if files.client_ca_file is not None:
        loader.load_client_authorities(files.client_ca_file)
    if loader.faults:
        raise ConfigurationError("tls", loader.faults)
    loader.warn_of_dates(datetime.fromtimestamp(clock(), UTC))
    return context


class _Loader:
    def __init__(self, context: ssl.SSLContext) -> None:
        self.faults: list[ConfigurationFault] = []
        self._context = context
        self._certificates: list[tuple[str, str | Path, Certificate]] = []

    def load_own(self, cert_file: str | Path, key_file: str | Path) -> None:
        certificates = self._read_certificates("tls.cert_file", cert_file)
        if not self._is_key("tls.key_file", key_file) or not certificates:
            return
        try:
            # OpenSSL would otherwise ask at the terminal for a password.
            self._context.load_cert_chain(cert_file, key_file, password=lambda: "")
        except ssl.SSLError as error:
            if error.reason in _OF_ANOTHER_KEY:
                sentence = f"is not the key of the first certificate in {cert_file}"
                self._add("tls.key_file", key_file, sentence)
            else:
                self._add("tls.cert_file", cert_file, f"cannot be used: {_reason(error)}")

    def load_client_authorities(self, file: str | Path) -> None:
        if not self._read_certificates("tls.client_ca_file", file):
            return
        try:
            self._context.load_verify_locations(file)
        except ssl.SSLError as error:
            self._add("tls.client_ca_file", file, f"cannot be used: {_reason(error)}")
        self._context.verify_mode = ssl.CERT_OPTIONAL
        self._context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # a CA counts without its own CA
        # Who resumes a session has not shown a certificate that is still valid.
        self._context.num_tickets = 0
        self._context.options |= ssl.OP_NO_TICKET

    def warn_of_dates(self, now: datetime) -> None:
        for path, file, certificate in self._certificates:
            if now > certificate.not_valid_after_utc:
                last = certificate.not_valid_after_utc.isoformat()
                logger.warning("%s = %r: a certificate in it expired at %s", path, str(file), last)
            if now < certificate.not_valid_before_utc:
                first = certificate.not_valid_before_utc.isoformat()
                logger.warning("%s = %r: a certificate in it begins only at %s", path, str(file), first)

    def _read_certificates(self, path: str, file: str | Path) -> Sequence[Certificate]:
        content = self._read(path, file)
        if content is None:
            return ()
        try:
            certificates = load_pem_x509_certificates(content)
        except ValueError:
            self._add(path, file, "has no certificate in PEM, or one that cannot be read")
            return ()
        self._certificates += [(path, file, each) for each in certificates]
        return certificates

    def _is_key(self, path: str, file: str | Path) -> bool:
        content = self._read(path, file)
        if content is None:
            return False
        try:
            load_pem_private_key(content, password=None)
        except TypeError:
            self._add(path, file, "has a password; a gate that starts by itself needs a key without")
            return False
        except (ValueError, UnsupportedAlgorithm):
            self._add(path, file, "has no private key in PEM, or one that cannot be read")
            return False
        return True

    def _read(self, path: str, file: str | Path) -> bytes | None:
        try:
            return Path(file).read_bytes()
        except OSError as error:
            self._add(path, file, f"cannot be read: {error.strerror}")
            return None

    def _add(self, path: str, file: str | Path, sentence: str) -> None:
        self.faults.append(ConfigurationFault(path, repr(str(file)), sentence))


def _reason(error: ssl.SSLError) -> str:
    return str(error.reason).lower().replace("_", " ")


class Server(uvicorn.Server):
    """uvicorn's server as a gate needs it.

    ``shutdown_timeout`` and ``handshake_timeout`` are in seconds. ``tls`` is from :func:`open_tls`;
    without it, the listeners speak HTTP in the clear.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        parser: Parser = "strict",
        loop: Loop = "auto",
        shutdown_timeout: float = 30,
        tls: ssl.SSLContext | None = None,
        handshake_timeout: float = HANDSHAKE_SECONDS,
    ) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=_PROTOCOLS[parser],
                loop=loop,
                ws="none",
                lifespan="on",
                access_log=False,  # the audit has a better record of each request
                proxy_headers=False,  # who a forwarding header is believed from is a rule of ours
                server_header=False,
                log_config=None,
                timeout_graceful_shutdown=round(shutdown_timeout),
            )
        )
        self._tls = tls
        self._handshake_timeout = handshake_timeout

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the application, and listen."""
        if self._tls is None:
            await super().startup(sockets)
            self._say_where(sockets)
            return
        await super().startup([])  # whose listeners would wait a minute for a handshake
        loop = asyncio.get_running_loop()
        for listener in sockets or ():
            server = await loop.create_server(
                self._protocol,
                sock=listener,
                ssl=self._tls,
                ssl_handshake_timeout=self._handshake_timeout,
                backlog=self.config.backlog,
            )
            self.servers.append(server)
        self._say_where(sockets)

    def _say_where(self, sockets: list[socket.socket] | None) -> None:
        if self.should_exit:  # the application did not start
            return
        for listener in sockets or ():
            host, port = listener.getsockname()[:2]
            address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
            logger.info("listening on %s, %s", address, "HTTP in the clear" if self._tls is None else "TLS")

    def _protocol(self) -> asyncio.Protocol:
        protocol: Any = self.config.http_protocol_class
        made: asyncio.Protocol = protocol(self.config, self.server_state, self.lifespan.state)
        return made


def run(
    app: ASGIApp,
    listener: socket.socket,
    *,
    parser: Parser = "strict",
    shutdown_timeout: float = 30,
    tls: ssl.SSLContext | None = None,
) -> bool:
    """Serve ``app`` until the process is told to stop; return whether it started.

    ``shutdown_timeout`` is in seconds. ``tls`` is from :func:`open_tls`.
    """
    server = Server(app, parser=parser, shutdown_timeout=shutdown_timeout, tls=tls)
    try:
        server.run(sockets=[listener])
    except SystemExit:  # how uvicorn says that the application did not start
        return False
    return server.started
