"""The shape that every layer has: judge the request, then pass it on or refuse it."""

from abc import ABC, abstractmethod

from tunnelgate.asgi import ASGIApp, Receive, Scope, Send
from tunnelgate.errors import Unavailable
from tunnelgate.exchange import Exchange, exchange_of
from tunnelgate.reading.fault import Fault
from tunnelgate.refusal import refuse
from tunnelgate.verdict import Broken, Verdict


class Layer(ABC):
    """An ASGI application around another one.

    A subclass says in :meth:`judge` what it thinks of a request. What cannot be read is refused,
    and where something that the judgement needs is down, the request is refused as well.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    @abstractmethod
    async def judge(self, scope: Scope, exchange: Exchange) -> Verdict:
        """Return the verdict on one HTTP or WebSocket request.

        May raise :class:`~tunnelgate.reading.fault.Fault` and
        :class:`~tunnelgate.errors.Unavailable`.
        """

    async def forward(self, scope: Scope, receive: Receive, send: Send, exchange: Exchange) -> None:
        """Pass an allowed request on."""
        await self.app(scope, receive, send)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] == "lifespan":
            return await self.app(scope, receive, send)
        exchange = exchange_of(scope)
        try:
            verdict = await self.judge(scope, exchange)
        except Fault as fault:
            verdict = fault.denial()
        except Unavailable as error:
            verdict = Broken(error.reason, str(error))
        if verdict:
            return await self.forward(scope, receive, send, exchange)
        return await refuse(verdict, exchange, send)
