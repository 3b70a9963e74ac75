"""Connects to addresses, and says in words how that went."""

import asyncio
import os
import socket
import ssl
from collections.abc import Sequence
from ipaddress import ip_address

from tunnelgate.upstream.resolving import Resolve
from tunnelgate_app.doctor.targets import Target

_LOOKUP_SENTENCES = {
    getattr(socket, "EAI_NODATA", socket.EAI_NONAME): "the name has no address",  # not on every system
    socket.EAI_NONAME: "no such name",
    socket.EAI_AGAIN: "the name servers do not answer",
}


class LookupFailedError(Exception):
    """A name has no addresses; the text says why."""


async def look_up(target: Target, resolve: Resolve, seconds: float) -> Sequence[str]:
    """Return the addresses of ``target``, of which a literal has one; raises :class:`LookupFailedError`."""
    try:
        return [str(ip_address(target.host))]
    except ValueError:
        pass
    try:
        async with asyncio.timeout(seconds):
            addresses = await resolve(target.host, target.port)
    except TimeoutError:
        raise LookupFailedError(f"no answer within {seconds:g} s") from None
    except OSError as error:
        raise LookupFailedError(said_of(error)) from None
    if not addresses:
        raise LookupFailedError("the name has no address")
    return addresses


def of_each_family(addresses: Sequence[str]) -> list[str]:
    """Return the first address of each version of IP."""
    first: dict[bool, str] = {}
    for each in addresses:
        first.setdefault(":" in each, each)
    return list(first.values())


def said_of(error: BaseException) -> str:
    """Return in words why a connection came to nothing."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate is not believed: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS: {(error.reason or type(error).__name__).replace('_', ' ').lower()}"
    if isinstance(error, socket.gaierror):
        return _LOOKUP_SENTENCES.get(error.errno or 0) or error.strerror or str(error)
    if isinstance(error, OSError) and error.errno is not None:
        return os.strerror(error.errno).lower()
    return str(error) or "the connection has ended"
