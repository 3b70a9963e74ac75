"""Calls: the requests that are under way, each of which can be ended from outside.

A client of the legacy era takes a request back with ``notifications/cancelled``, which says the
session and the id. A gate that stops ends what would go on for ever at once, and all the rest when
its time is over. A gate whose policy changes judges again what is under way.

Specification: https://modelcontextprotocol.io/specification/2025-11-25/basic/utilities/cancellation
"""

import asyncio
from collections.abc import Callable, Container, Hashable
from types import TracebackType
from typing import Protocol, Self

from tunnelgate.asgi import ASGIApp, Receive, Scope, Send
from tunnelgate.errors import UpstreamFailed
from tunnelgate.exchange import Exchange, exchange_of
from tunnelgate.layer import Stage
from tunnelgate.verdict import Allow, Deny, Reason, Verdict

# For a server that answers what was cancelled, and so ends it by itself.
CANCELLED_AFTER = 0.1  # seconds
_JUDGED_AT_ONCE = 100  # calls, before others get their turn


class Judge(Protocol):
    """A gate, as the calls that are under way see it."""

    def has_judged(self, exchange: Exchange) -> bool:
        """Return whether the request was let pass by this very gate."""
        ...

    def judge_again(self, exchange: Exchange) -> Verdict:
        """Return whether a request that another gate let pass may go on."""
        ...


class Call:
    """One request while an application works on it: an asynchronous context manager.

    ``exchange`` is what is known of it; ``key`` is what the client could take it back by, where it
    could. ``is_stream`` says that it goes on until somebody ends it.
    Raises :class:`~tunnelgate.errors.UpstreamFailed` out of its block when it is ended for a reason.
    """

    def __init__(
        self,
        calls: "Calls",
        exchange: Exchange | None = None,
        *,
        key: Hashable = None,
        is_stream: bool = False,
    ) -> None:
        self.exchange = exchange
        self.key = key
        self.is_stream = is_stream
        self._calls = calls
        self._limit = asyncio.timeout(None)
        self._is_ended = False
        self._reason: Reason | None = None
        self._detail = ""

    def end(self, reason: Reason | None = None, detail: str = "") -> None:
        """Cancel whatever works on the request; without a ``reason`` nobody hears why."""
        if self._is_ended or self._limit.expired():
            return
        self._is_ended = True
        self._reason = reason
        self._detail = detail
        self._limit.reschedule(asyncio.get_running_loop().time())

    async def __aenter__(self) -> Self:
        """Begin."""
        await self._limit.__aenter__()
        self._calls.add(self)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        """End."""
        self._calls.remove(self)
        self._is_ended = True
        is_over = False
        try:
            await self._limit.__aexit__(kind, error, traceback)
        except TimeoutError:
            is_over = True
        is_cancelled_elsewhere = not is_over and isinstance(error, asyncio.CancelledError)
        if self._reason is not None and not is_cancelled_elsewhere:
            raise UpstreamFailed(self._reason, self._detail) from error
        return is_over


class Calls:
    """All calls of a gate, whatever becomes of its policy."""

    def __init__(self) -> None:
        self._judge: Judge | None = None
        self._calls: dict[Call, None] = {}
        self._by_key: dict[Hashable, Call] = {}
        self._is_stopping = False
        self._is_over = False

    def __len__(self) -> int:
        return len(self._calls)

    def add(self, call: Call) -> None:
        """Take note of a call that begins; none begins once the gate has stopped."""
        self._calls[call] = None
        if call.key is not None:
            self._by_key[call.key] = call
        if self._is_over or (self._is_stopping and call.is_stream):
            call.end(Reason.GATE_STOPPING)

    def remove(self, call: Call) -> None:
        """Take note of a call that has ended."""
        self._calls.pop(call, None)
        if call.key is not None and self._by_key.get(call.key) is call:
            del self._by_key[call.key]

    def cancel(self, key: Hashable) -> None:
        """End the call that a client takes back, after giving its server time to end it by itself."""
        call = self._by_key.get(key)
        if call is not None:
            asyncio.get_running_loop().call_later(CANCELLED_AFTER, call.end, Reason.CALL_CANCELLED)

    def judge_by(self, judge: Judge) -> None:
        """Let ``judge`` decide from now on about what another gate let pass."""
        self._judge = judge

    def judge_late(self, exchange: Exchange, *, is_stream: bool) -> Verdict:
        """Return whether a request may begin that was judged by a gate that may be another one by now."""
        if self._judge is None or self._judge.has_judged(exchange):
            return Allow()
        verdict = self._judge.judge_again(exchange)
        if verdict and is_stream:
            return Deny(Reason.POLICY_CHANGED, "a stream by the rules of before")
        return verdict

    async def judge_again(self, changed: Container[str | None]) -> int:
        """End each call that is denied by now, and return how many that were.

        Streams are judged event by event, by the rules that they began with. So those on a route that
        has ``changed`` end as well; clients come back by themselves.
        """
        ended = 0
        for count, call in enumerate(list(self._calls), 1):
            if count % _JUDGED_AT_ONCE == 0:
                await asyncio.sleep(0)
            detail = self._objection(call, changed)
            if detail is not None:
                call.end(Reason.POLICY_CHANGED, detail)
                ended += 1
        return ended

    def end_where(self, is_meant: Callable[[Exchange], bool], detail: str) -> None:
        """End the calls whose facts are meant, because of the change that ``detail`` says."""
        for call in list(self._calls):
            if call.exchange is not None and is_meant(call.exchange):
                call.end(Reason.POLICY_CHANGED, detail)

    def _objection(self, call: Call, changed: Container[str | None]) -> str | None:
        exchange = call.exchange
        if exchange is None or self._judge is None or self._judge.has_judged(exchange):
            return None
        verdict = self._judge.judge_again(exchange)
        if not verdict:
            return verdict.reason
        return "what its route allows is another" if call.is_stream and exchange.route in changed else None

    def stop(self, seconds: float) -> None:
        """End all streams now, and after ``seconds`` what is still under way."""
        self._is_stopping = True
        for call in list(self._calls):
            if call.is_stream:
                call.end(Reason.GATE_STOPPING)
        asyncio.get_running_loop().call_later(seconds, self._end_all)

    def _end_all(self) -> None:
        self._is_over = True
        for call in list(self._calls):
            call.end(Reason.GATE_STOPPING)


class Ending(Stage):
    """Ends whatever an application works on when the gate stops; around what is not MCP."""

    def __init__(self, app: ASGIApp, calls: Calls) -> None:
        self.app = app
        self.calls = calls

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] == "lifespan":
            return await self.app(scope, receive, send)
        async with Call(self.calls, exchange_of(scope)):
            return await self.app(scope, receive, send)
