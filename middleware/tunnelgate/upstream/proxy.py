"""The proxy: passes requests on to a remote MCP server, and its answers back.

::

    pool = Pool(Dialler(AddressRules(["10.1.2.0/24"])), Target("wiki.internal", 9000))
    app = protect(UpstreamProxy(pool, Health("wiki")), policy)

    the server answers                   its status, its headers but those of the connection, its body
    the client goes away                 the connection to the server is closed at once
    the server cannot be reached         UpstreamFailed, which the chain around it answers: 502
    the server breaks off in its answer  UpstreamFailed: a stream ends with an error event

It stands inside the chain, which has decided what the server gets to see. Nothing is sent twice.

Specification: RFC 9110 section 7.6, RFC 9112.
"""

import asyncio
from dataclasses import dataclass

from tunnelgate.asgi import Message, Receive, Scope, Send
from tunnelgate.body import read_body
from tunnelgate.errors import UpstreamFailed
from tunnelgate.exchange import Load, caller_of, load_of
from tunnelgate.reading.fault import Fault
from tunnelgate.reading.http_answer import HttpAnswerHead
from tunnelgate.reading.media_type import read_media_type
from tunnelgate.upstream.client_waits import ClientWaits
from tunnelgate.upstream.connection import Connection
from tunnelgate.upstream.health import Attempt, Health, HealthReport
from tunnelgate.upstream.pool import Pool
from tunnelgate.upstream.request_head import RequestHeads, pass_back
from tunnelgate.upstream.slots import Slots
from tunnelgate.verdict import Reason

_EVENT_STREAM = b"text/event-stream"
_WITHOUT_BODY = frozenset({204, 304})
_LENGTHS = frozenset({b"content-length", b"transfer-encoding"})


@dataclass(frozen=True, slots=True)
class ProxyOptions:
    """How a server is asked.

    ``preserve_host`` sends it the hostname that the client used; ``forward_cookies`` passes cookies
    both ways; ``scheme`` is how clients reach the gate. The timeouts are in seconds:
    ``read_timeout`` for the head of an answer and between two parts of it, ``idle_timeout`` between
    two events of a stream, ``total_timeout`` for all of it. ``max_calls`` and ``max_streams`` may go
    on at the same time, and ``max_calls`` notifications and responses; ``max_body`` is octets of a request.
    """

    preserve_host: bool = False
    forward_cookies: bool = False
    scheme: str = "https"
    read_timeout: float = 120.0
    idle_timeout: float = 600.0
    total_timeout: float = 3600.0
    max_calls: int = 100
    max_streams: int = 1000
    max_body: int = 1024 * 1024


class UpstreamProxy:
    """An ASGI application that is somewhere else; ``health`` is what is known of how it is."""

    def __init__(self, pool: Pool, health: Health, options: ProxyOptions = ProxyOptions()) -> None:
        self._pool = pool
        self._health = health
        self._options = options
        authority = None if options.preserve_host else pool.target.authority
        self._heads = RequestHeads(authority, scheme=options.scheme, cookies=options.forward_cookies)
        self._slots = {
            Load.CALL: Slots(options.max_calls, "calls"),
            Load.STREAM: Slots(options.max_streams, "streams"),
            # Of their own, because calls may wait for what is said aside.
            Load.ASIDE: Slots(options.max_calls, "notifications and responses"),
            # Who has no token keeps nobody from calling who has one.
            Load.PUBLIC: Slots(options.max_calls, "requests without a token"),
        }

    @property
    def health(self) -> HealthReport:
        """How the server is."""
        return self._health.report

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection.

        Raises :class:`~tunnelgate.errors.UpstreamFailed` where the server does not answer as it
        should.
        """
        if scope["type"] == "lifespan":
            return await self._live(receive, send)
        if scope["type"] != "http":
            raise UpstreamFailed(Reason.WEBSOCKET_NOT_ALLOWED)
        try:
            body = await read_body(receive, self._options.max_body)
        except Fault as fault:
            raise UpstreamFailed(fault.reason, fault.detail) from None
        load = load_of(scope) or _guessed_load(scope)
        with self._slots[load].one():
            return await self._pass_on(scope, body, receive, send, is_stream=load is Load.STREAM)

    async def _pass_on(
        self, scope: Scope, body: bytes, receive: Receive, send: Send, *, is_stream: bool
    ) -> None:
        request = self._heads.write(scope, body) + body
        method = str(scope["method"]).encode("ascii")
        caller = caller_of(scope)
        with self._health.attempt() as attempt:
            async with ClientWaits(receive, self._options.total_timeout):
                # What lasts is not risked on a connection that is about to close.
                connection = await self._pool.take(caller, fresh=is_stream)
                try:
                    connection.ask(request, method)
                    await self._answer(connection, method, attempt, send)
                finally:
                    self._pool.give_back(connection, caller)

    async def _answer(self, connection: Connection, method: bytes, attempt: Attempt, send: Send) -> None:
        head = await connection.head(self._options.read_timeout)
        attempt.answered()
        is_stream = _media_type(head) == "text/event-stream"
        ends_with_connection = _ends_with_connection(head, method)
        if ends_with_connection and not is_stream:
            # A server that broke off would be taken for one that was done.
            raise UpstreamFailed(Reason.ANSWER_NOT_VALID, "a body that ends with the connection")
        headers = pass_back(head.headers, cookies=self._options.forward_cookies)
        if head.status in _WITHOUT_BODY:
            # It says how long a body would be, which a server in front takes for the one that comes.
            headers = [pair for pair in headers if pair[0] != b"content-length"]
        seconds = self._options.idle_timeout if is_stream else self._options.read_timeout
        # Its head waits as well, where the client has not read the answer before it.
        start: Message = {"type": "http.response.start", "status": head.status, "headers": headers}
        await _send_within(seconds, send, start)
        is_last = False
        while not is_last:
            part, is_last = await connection.part(seconds)
            is_more = not is_last or ends_with_connection
            await _send_within(
                seconds, send, {"type": "http.response.body", "body": part, "more_body": is_more}
            )
        if ends_with_connection:
            # What it has said tells whether it was whole, and that is judged outside.
            raise UpstreamFailed(Reason.UPSTREAM_INTERRUPTED, "a stream that ends with the connection")

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        self._pool.close()
        await send({"type": "lifespan.shutdown.complete"})


async def _send_within(seconds: float, send: Send, message: Message) -> None:
    try:
        async with asyncio.timeout(seconds):
            await send(message)
    except TimeoutError:
        raise UpstreamFailed(Reason.CALL_CANCELLED, "the client does not read its answer") from None


def _guessed_load(scope: Scope) -> Load:
    accepted = b",".join(value for name, value in scope["headers"] if name == b"accept")
    is_stream = scope["method"] == "GET" and _EVENT_STREAM in accepted.lower()
    return Load.STREAM if is_stream else Load.CALL


def _media_type(head: HttpAnswerHead) -> str:
    return read_media_type(next((value for name, value in head.headers if name == b"content-type"), b""))[0]


def _ends_with_connection(head: HttpAnswerHead, method: bytes) -> bool:
    """Return whether only the connection says where the body ends (RFC 9112 section 6.3, point 8)."""
    has_body = method != b"HEAD" and head.status not in _WITHOUT_BODY
    return has_body and not any(name in _LENGTHS for name, _ in head.headers)
