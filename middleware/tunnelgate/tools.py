"""Tools: what may be called is what is listed, and what is not listed does not exist.

::

    app.add_middleware(ToolAllowlist, tools=["search_docs", "read_doc"])

    tools/call search_docs          passed on, in canonical JSON
    tools/call delete_everything    200, JSON-RPC error -32602 "Unknown tool: delete_everything"
    tools/list                      passed on; the answer has search_docs and read_doc only
    {"method": "x", "method": "y"}  400, JSON-RPC error -32600
    sampling/createMessage          200 or 404, JSON-RPC error -32601

The same holds for prompts and resources, and for whatever else a server offers.
Everything that comes through this layer is taken for MCP: put it around the MCP application.

Specification: https://modelcontextprotocol.io/specification/2026-07-28/basic/transports/streamable-http
and https://modelcontextprotocol.io/specification/2025-11-25/basic/transports#streamable-http
"""

from collections.abc import Callable, Iterable
from functools import partial

from tunnelgate.answers import DEFAULT_MAX_ANSWER, AnswerGuard
from tunnelgate.asgi import ASGIApp, Message, Receive, Scope, Send
from tunnelgate.asking import Asked, ask_by_message, ask_for_end, ask_for_stream
from tunnelgate.body import check_media_type, read_aside, read_body, replay_body
from tunnelgate.calls import Call, Calls
from tunnelgate.catalogue import Listed, Names, Resources, list_tools
from tunnelgate.errors import UpstreamFailed
from tunnelgate.exchange import Exchange, Load, exchange_of, with_load
from tunnelgate.handles import Handles
from tunnelgate.layer import Stage
from tunnelgate.messages import MessageRules
from tunnelgate.reading.fault import Fault
from tunnelgate.reading.message import MessageFault, read_message
from tunnelgate.refusal import refuse
from tunnelgate.results import ResultRules
from tunnelgate.sealing import Sealer
from tunnelgate.verdict import Deny, NeedsScopes, Reason, Refusal, Verdict

DEFAULT_MAX_BODY = 1024 * 1024


class ToolAllowlist(Stage):
    """Lets MCP clients use what is listed and see nothing else.

    ``tools`` and ``prompts`` are names, ``resources`` URIs and URI templates, each as a list or as
    a mapping to the scopes or the :class:`~tunnelgate.requirements.Requirement` of each.
    ``tools="*"`` is every tool there is, and needs ``allow_all_tools``.
    ``methods`` are others that clients and servers may use, by name, ``log_level`` is the least
    severe level of log messages that clients get, and ``tasks`` says whether calls may go on as tasks.
    ``sealer`` seals the names of sessions, streams and requests; without one, what was sealed ends
    with this process. ``max_body`` and ``max_answer`` are octets. ``calls`` takes note of what is
    under way, so that it can be ended.
    Raises :class:`ValueError` with a sentence for what cannot be meant.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        tools: Listed = (),
        prompts: Listed = (),
        resources: Listed = (),
        methods: Iterable[str] = (),
        log_level: str | None = None,
        tasks: bool = False,
        allow_all_tools: bool = False,
        sealer: Sealer | None = None,
        max_body: int = DEFAULT_MAX_BODY,
        max_answer: int = DEFAULT_MAX_ANSWER,
        calls: Calls | None = None,
    ) -> None:
        self.app = app
        self.rules = MessageRules(
            tools=list_tools(tools, allow_all_tools=allow_all_tools),
            prompts=Names(prompts, Reason.PROMPT_NOT_ALLOWED),
            resources=Resources(resources),
            methods=methods,
            log_level=log_level,
            tasks=tasks,
        )
        self.sealer = sealer or Sealer.random()
        self.max_body = max_body
        self.max_answer = max_answer
        self.calls = Calls() if calls is None else calls

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] == "lifespan":
            return await self.app(scope, receive, send)
        exchange = exchange_of(scope)
        handles = Handles(self.sealer, exchange.route, exchange.principal)
        try:
            asked = await self._judge(exchange, handles, receive)
        except Fault as fault:
            asked = fault.denial()
        if isinstance(asked, Asked):
            exchange.asked = asked
            # The body may have taken its time, and the policy may have changed in it.
            late = self.calls.judge_late(exchange, is_stream=asked.load is Load.STREAM)
            asked = asked if late else late
        if not isinstance(asked, Asked):
            return await refuse(_with_route_scopes(asked, exchange), exchange, send)
        results = ResultRules(
            self.rules,
            exchange.principal,
            handles,
            asked.origin,
            era=asked.era,
            tasks=asked.tasks,
            completed=asked.completed,
        )
        call = Call(self.calls, exchange, key=asked.key, is_stream=asked.load is Load.STREAM)
        guard = AnswerGuard(
            send, exchange, results, asked.expected, max_answer=self.max_answer, ended=call.end
        )
        exchange.headers = asked.headers
        try:
            async with call:
                body = replay_body(asked.body, receive)
                if asked.cancels is not None:
                    # Not before the last layer has let it pass, and written that down.
                    body = _when_read(body, partial(self.calls.cancel, asked.cancels))
                target = with_load({**scope, "headers": asked.headers}, asked.load)
                await self.app(target, body, guard.send)
        except UpstreamFailed as failure:
            if failure.reason is Reason.POLICY_CHANGED and not exchange.is_decided:
                return await refuse(Deny(failure.reason, failure.detail), exchange, send)
            return await guard.fail(failure)
        return await guard.close()

    def judge_again(self, exchange: Exchange) -> Verdict:
        """Judge what was asked for, by the message or by what its stream answers."""
        asked = exchange.asked
        if asked is None:
            return Deny(Reason.MESSAGE_INVALID, "nothing was asked for")
        if exchange.message is not None:
            return self.rules.decide(exchange.message, exchange.principal, asked.tasks)
        origin = asked.origin
        return self.rules.decide_again(origin.method, origin.target, exchange.principal, asked.tasks)

    async def _judge(self, exchange: Exchange, handles: Handles, receive: Receive) -> Asked | Refusal:
        head = exchange.head
        if head.duplicated:
            raise Fault(Reason.HEADER_DUPLICATED, ", ".join(name.decode() for name in head.duplicated))
        if exchange.is_websocket:
            raise Fault(Reason.WEBSOCKET_NOT_ALLOWED, "")
        if head.method == "POST":
            await self._read(exchange, receive)
            return ask_by_message(exchange, self.rules, handles)
        exchange.is_mcp = True
        if head.method == "GET":
            return ask_for_stream(exchange, self.rules, handles)
        if head.method == "DELETE":
            return ask_for_end(exchange, handles)
        raise Fault(Reason.STREAM_NOT_OFFERED, head.method[:20])

    async def _read(self, exchange: Exchange, receive: Receive) -> None:
        head = exchange.head
        check_media_type(head)
        raw = await read_body(receive, self.max_body)
        exchange.is_mcp = True
        try:
            message = await read_aside(len(raw), read_message, raw, head.fields)
        except MessageFault as fault:
            exchange.message_id = fault.message_id
            raise
        exchange.message = message
        exchange.message_id = message.id


def _when_read(receive: Receive, do: Callable[[], None]) -> Receive:
    """Return ``receive``, which does something once, before it gives anything."""
    is_done = False

    async def read() -> Message:
        nonlocal is_done
        if not is_done:
            is_done = True
            do()
        return await receive()

    return read


def _with_route_scopes(verdict: Refusal, exchange: Exchange) -> Refusal:
    if isinstance(verdict, NeedsScopes):
        # All in one challenge, so that the client comes back once.
        return NeedsScopes(tuple(dict.fromkeys((*exchange.required_scopes, *verdict.scopes))))
    return verdict
