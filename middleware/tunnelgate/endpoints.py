"""Endpoints: the paths that a route serves, each compared whole; every other one is not found.

::

    Endpoints({"/mcp": gated_app, "/healthz": open_app})

    POST /mcp           gated_app
    GET /healthz        open_app
    POST /mcp/          404: another path
    POST /m%63p         404: another spelling

Specification: RFC 3986 section 6.2.2, for all the spellings that are not compared equal here.
"""

from collections.abc import Mapping

from tunnelgate.asgi import ASGIApp, Receive, Scope, Send
from tunnelgate.exchange import Exchange
from tunnelgate.layer import Layer
from tunnelgate.verdict import Allow, Deny, Reason, Verdict


class Endpoints(Layer):
    """Leads each path to its application.

    ``applications`` maps paths, as they are after the root path of the mount, to applications.
    ``lifespan`` is the application that start-up and shutdown are passed to.
    """

    def __init__(self, applications: Mapping[str, ASGIApp], lifespan: ASGIApp) -> None:
        super().__init__(lifespan)
        self.applications = dict(applications)

    async def judge(self, scope: Scope, exchange: Exchange) -> Verdict:
        """Return whether the path of the request is served."""
        exchange.endpoint = _path_of(scope)
        if b"%" not in exchange.head.raw_path:
            return self.judge_again(exchange)
        return Deny(Reason.PATH_NOT_SERVED)

    def judge_again(self, exchange: Exchange) -> Verdict:
        """Return whether the path of a request is served."""
        return Allow() if exchange.endpoint in self.applications else Deny(Reason.PATH_NOT_SERVED)

    def onward(self, exchange: Exchange) -> ASGIApp:
        """Return the application of the path."""
        return self.applications[exchange.endpoint or ""]

    async def forward(self, scope: Scope, receive: Receive, send: Send, exchange: Exchange) -> None:
        """Pass the request on to the application of its path."""
        await self.onward(exchange)(scope, receive, send)


class ReadOnly(Layer):
    """Passes on what asks for a document, and refuses what could do more."""

    async def judge(self, scope: Scope, exchange: Exchange) -> Verdict:
        """Return whether the method only reads."""
        return self.judge_again(exchange)

    def judge_again(self, exchange: Exchange) -> Verdict:
        """Return whether the method of a request only reads."""
        if exchange.head.method in ("GET", "HEAD", "OPTIONS"):
            return Allow()
        return Deny(Reason.PATH_IS_READ_ONLY, exchange.head.method[:20])


def _path_of(scope: Scope) -> str:
    root: str = scope.get("root_path", "")
    path: str = scope["path"]
    return path.removeprefix(root) if root else path
