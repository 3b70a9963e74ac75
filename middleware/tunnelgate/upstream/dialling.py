"""Dials upstreams: what was checked is what is connected to.

A name is looked up once. Every answer is judged, and one that is not allowed refuses the whole name:
who can add an answer could as well wait for its turn. The connection then goes to a judged address,
while the certificate, and the name that TLS sends, stay the name's. Nothing is asked of the
environment, and there are no proxies.

Addresses are tried one after the other, and each but the last has a second. They are not raced as
RFC 8305 has it, because upstreams would see connections that are dropped for no fault of theirs; the
order is the system's, which is that of RFC 6724.
"""

import asyncio
import os
import socket
import ssl
from collections.abc import Callable, Sequence
from functools import partial
from ipaddress import IPv4Address, ip_address
from typing import TypeVar

from tunnelgate.errors import UpstreamFailed
from tunnelgate.reading.address import Address, read_address
from tunnelgate.reading.fault import Fault
from tunnelgate.single_flight import SingleFlight
from tunnelgate.upstream.addresses import AddressRules, check_port
from tunnelgate.upstream.resolving import Resolve, resolve_by_system
from tunnelgate.verdict import Allow, Reason

__all__ = ["Dialler", "Resolve", "resolve_by_system"]

P = TypeVar("P", bound=asyncio.Protocol)

ATTEMPT_SECONDS = 1.0
MAX_ATTEMPTS = 8  # addresses of one name that are tried
MAX_ANSWERS = 1024  # addresses that one name may have
MAX_LOOKUPS = 16  # names that are looked up at the same time
_TLS_SHUTDOWN_SECONDS = 2.0  # how long a peer may take to say that it has ended as well

_LOOKUP_SENTENCES = {
    getattr(socket, "EAI_NODATA", socket.EAI_NONAME): "the name has no address",  # not on every system
    socket.EAI_NONAME: "no such name",
    socket.EAI_AGAIN: "the name servers do not answer",
}


class Dialler:
    """Connects to names and addresses that ``rules`` allow.

    ``resolve`` returns the addresses of a name, or raises :class:`OSError`. ``attempt_timeout``, in
    seconds, is what an address may take while there is another.
    """

    def __init__(
        self,
        rules: AddressRules,
        *,
        resolve: Resolve = resolve_by_system,
        attempt_timeout: float = ATTEMPT_SECONDS,
    ) -> None:
        self._rules = rules
        self._resolve = resolve
        self._attempt_timeout = attempt_timeout
        self._lookups = SingleFlight[Sequence[str]]()
        self._slots = asyncio.Semaphore(MAX_LOOKUPS)

    async def dial(
        self, host: str, port: int, protocol: Callable[[], P], *, tls: ssl.SSLContext | None = None
    ) -> P:
        """Return a protocol that is connected to ``host``, over TLS where there is a context for it.

        There is no time limit but the caller's. Raises :class:`~tunnelgate.errors.UpstreamFailed`
        (``upstream-not-allowed``, ``upstream-unreachable``).
        """
        addresses = await self.find_addresses(host, port)
        connected = await self._connect(host, port, addresses)
        secured = None if tls is None else _server_name(host)
        shutdown = None if tls is None else _TLS_SHUTDOWN_SECONDS
        try:
            _, made = await asyncio.get_running_loop().create_connection(
                protocol, sock=connected, ssl=tls, server_hostname=secured, ssl_shutdown_timeout=shutdown
            )
        except BaseException as error:
            connected.close()
            if isinstance(error, OSError):
                raise _unreachable(host, port, _what_went_wrong(error)) from error
            raise
        return made

    async def find_addresses(self, host: str, port: int) -> tuple[Address, ...]:
        """Return the addresses of ``host`` when all of them may be dialled.

        Raises :class:`~tunnelgate.errors.UpstreamFailed`, as :meth:`dial` does.
        """
        try:
            check_port(port)
        except ValueError as error:
            raise UpstreamFailed(Reason.UPSTREAM_NOT_ALLOWED, f"{host}: {port} {error}") from None
        literal = _read_literal(host)
        texts = await self._look_up(host, port) if literal is None else [str(literal)]
        return tuple(self._judge(host, text) for text in texts)

    async def _look_up(self, host: str, port: int) -> Sequence[str]:
        key = host.encode("utf-8", "surrogatepass")
        try:
            answers = await self._lookups.run(key, partial(self._ask, host, port))
        except socket.gaierror as error:
            sentence = _LOOKUP_SENTENCES.get(error.errno or 0) or error.strerror or str(error)
            raise _unreachable(host, port, sentence) from error
        except OSError as error:
            raise _unreachable(host, port, f"it cannot be looked up: {_what_went_wrong(error)}") from error
        if not answers:
            raise _unreachable(host, port, "the name has no address")
        if len(answers) > MAX_ANSWERS:
            raise _unreachable(host, port, f"the name has more than {MAX_ANSWERS} addresses")
        return answers

    async def _ask(self, host: str, port: int) -> Sequence[str]:
        async with self._slots:
            return await self._resolve(host, port)

    def _judge(self, host: str, text: str) -> Address:
        try:
            address = read_address(text)
        except Fault as fault:
            raise UpstreamFailed(Reason.UPSTREAM_NOT_ALLOWED, f"{host}: {text!r} is {fault.detail}") from None
        verdict = self._rules.decide(address)
        if isinstance(verdict, Allow):
            return address
        named = "" if host == text else f"{host}: "
        raise UpstreamFailed(Reason.UPSTREAM_NOT_ALLOWED, f"{named}{verdict.detail}")

    async def _connect(self, host: str, port: int, addresses: Sequence[Address]) -> socket.socket:
        tried = addresses[:MAX_ATTEMPTS]
        failures: list[str] = []
        for position, address in enumerate(tried, 1):
            limit = None if position == len(tried) else self._attempt_timeout
            try:
                async with asyncio.timeout(limit):
                    return await _connect_to(address, port)
            except OSError as error:
                failures.append(f"{address}: {_what_went_wrong(error)}")
        raise _unreachable(host, port, "; ".join(failures))


async def _connect_to(address: Address, port: int) -> socket.socket:
    family = socket.AF_INET if isinstance(address, IPv4Address) else socket.AF_INET6
    connecting = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        connecting.settimeout(0)
        await asyncio.get_running_loop().sock_connect(connecting, (str(address), port))
        check_ends(connecting, address)
    except BaseException:
        connecting.close()
        raise
    return connecting


def check_ends(connected: socket.socket, address: Address) -> None:
    """Check that a socket is connected to ``address``, and not to itself.

    Raises :class:`~tunnelgate.errors.UpstreamFailed` and :class:`OSError`.
    """
    peer = connected.getpeername()
    if ip_address(peer[0]) != address:
        detail = f"the connection to {address} leads to {peer[0]}"
        raise UpstreamFailed(Reason.UPSTREAM_NOT_ALLOWED, detail)
    # TCP connects a socket with itself when its own port was chosen from those that it looks for.
    if connected.getsockname() == peer:
        raise ConnectionRefusedError("nobody listens, and the connection leads to itself")


def _read_literal(host: str) -> Address | None:
    try:
        return read_address(host)
    except Fault:
        return None


def _server_name(host: str) -> str:
    literal = _read_literal(host)
    # RFC 6066 section 3: without the dot of an absolute name.
    return host.removesuffix(".") if literal is None else str(literal)


def _unreachable(host: str, port: int, sentence: str) -> UpstreamFailed:
    return UpstreamFailed(Reason.UPSTREAM_UNREACHABLE, f"{host} port {port}: {sentence}")


def _what_went_wrong(error: OSError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"TLS: the certificate is not accepted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS: {(error.reason or type(error).__name__).replace('_', ' ').lower()}"
    if error.errno is not None:
        return os.strerror(error.errno).lower()
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return str(error) or "the connection has ended"
