"""Loopback: the development issuer answers nobody beyond the machine that it runs on."""

import ipaddress
import logging
from urllib.parse import urlsplit

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from tunnelgate.identifiers import check_url
from tunnelgate_app.issuer.redirects import is_loopback_host

logger = logging.getLogger("tunnelgate.issuer")


def check_issuer(issuer: str) -> None:
    """Check that an issuer calls itself by a name of this machine.

    What comes through a tunnel comes from loopback as well: its agent runs beside the gate. Only the
    name tells the two apart. Raises :class:`ValueError` with a sentence.
    """
    try:
        url = urlsplit(issuer)
        url.port  # noqa: B018 - it raises for what is no port
    except (AttributeError, TypeError, ValueError):  # options are whatever somebody wrote
        raise ValueError(f"issuer: {issuer!r} is no URL") from None
    if url.scheme not in ("http", "https") or not is_loopback_host(url.hostname or ""):
        raise ValueError(
            f"issuer: {issuer!r} is not a name of this machine, such as http://login.localhost:8080"
        )
    if issuer != f"{url.scheme}://{url.netloc}" or "@" in url.netloc:
        raise ValueError(f"issuer: {issuer!r} has more than a scheme, a host and a port")
    try:
        check_url(issuer)
    except ValueError as error:
        raise ValueError(f"issuer: {issuer!r} {error}") from None


class LoopbackOnly:
    """Answers only connections that never left this machine, at both of their ends."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] == "lifespan" or all(_is_loopback(scope.get(end)) for end in ("client", "server")):
            await self.app(scope, receive, send)
            return
        logger.error("development issuer: refused a connection from beyond loopback")
        await JSONResponse({"error": "loopback_only"}, 403)(scope, receive, send)


def _is_loopback(end: tuple[str, int | None] | None) -> bool:
    if end is None:
        return False
    try:
        address = ipaddress.ip_address(end[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback
