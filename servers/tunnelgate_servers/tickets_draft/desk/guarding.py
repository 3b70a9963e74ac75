"""What holds for every answer of the desk, and for which hosts there is one.

Specification: Content Security Policy Level 3, RFC 9110 sections 7.2 and 15.5.20
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse

from tunnelgate.asgi import ASGIApp, Message, Receive, Scope, Send

HEALTH_PATH: Final = "/healthz"
"""Where it is asked whether the desk can answer; whoever asks need not know its name."""

HEADERS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "cache-control": "no-store",
        "content-security-policy": (
            "default-src 'none'; style-src 'self'; form-action 'self'; "
            "frame-ancestors 'none'; base-uri 'none'"
        ),
        "cross-origin-resource-policy": "same-origin",
        # Under no-referrer browsers send `Origin: null` with a form; nobody else sees this one either.
        "referrer-policy": "same-origin",
        "x-content-type-options": "nosniff",
        "x-frame-options": "DENY",
    }
)
"""The headers of every answer."""

_MISDIRECTED = 421


class PageHeaders:
    """Adds `HEADERS` to every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        await self._app(scope, receive, send_with_headers)


class KnownHosts:
    """Answers requests for the listed values of Host alone; `name:*` stands for any port of a name."""

    def __init__(self, app: ASGIApp, *, hosts: Sequence[str]) -> None:
        self._app = app
        self._hosts = frozenset(each.lower() for each in hosts if not each.endswith(":*"))
        self._names = frozenset(each.lower().removesuffix(":*") for each in hosts if each.endswith(":*"))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] == "http" and scope["path"] != HEALTH_PATH and not self._is_known(scope):
            answer = PlainTextResponse("This host is not served here.\n", _MISDIRECTED)
            return await answer(scope, receive, send)
        return await self._app(scope, receive, send)

    def _is_known(self, scope: Scope) -> bool:
        host = Request(scope).headers.get("host", "").lower()
        name, _, port = host.rpartition(":")
        return host in self._hosts or (port.isdecimal() and name in self._names)
