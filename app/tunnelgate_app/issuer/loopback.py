"""Loopback: the development issuer answers nobody beyond the machine that it runs on."""

import ipaddress
import logging

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

logger = logging.getLogger("tunnelgate.issuer")


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
