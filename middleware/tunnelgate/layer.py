"""The shape that every layer has: judge the request, then pass it on or refuse it."""

from abc import ABC, abstractmethod

from tunnelgate.asgi import ASGIApp, Receive, Scope, Send
from tunnelgate.errors import Unavailable
from tunnelgate.exchange import Exchange, exchange_of
from tunnelgate.reading.fault import Fault
from tunnelgate.refusal import refuse
from tunnelgate.verdict import Allow, Broken, Verdict


class Stage:
    """Something that stands in the chain around an application.

    Where the policy changes, what is under way is judged again by the stages of the new chain: from
    the facts that were found out about a request, without the request itself. A token and its proof
    pass once.
    """

    app: ASGIApp

    def judge_again(self, exchange: Exchange) -> Verdict:
        """Return whether what ``exchange`` says may go on; ``Allow`` where nothing is judged.

        May raise :class:`~tunnelgate.reading.fault.Fault`.
        """
        return Allow()

    def onward(self, exchange: Exchange) -> ASGIApp:
        """Return the application that such a request is passed on to."""
        return self.app


def judge_again(app: ASGIApp, exchange: Exchange) -> Verdict:
    """Return what the stages from ``app`` inwards think of a request that is under way."""
    while isinstance(app, Stage):
        try:
            verdict = app.judge_again(exchange)
        except Fault as fault:
            return fault.denial()
        if not verdict:
            return verdict
        app = app.onward(exchange)
    return Allow()


class Layer(Stage, ABC):
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
