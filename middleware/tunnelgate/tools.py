"""Tools: what may be called is what is listed, and what is not listed does not exist.

::

    app.add_middleware(ToolAllowlist, tools=["search_docs", "read_doc"])

    tools/call search_docs          passed on, in canonical JSON
    tools/call delete_everything    200, JSON-RPC error -32602 "Unknown tool: delete_everything"
    tools/list                      passed on; the answer has search_docs and read_doc only
    {"method": "x", "method": "y"}  400, JSON-RPC error -32600
    sampling/createMessage          200 or 404, JSON-RPC error -32601

Everything that comes through this layer is taken for MCP: put it around the MCP application.

Specification: https://modelcontextprotocol.io/specification/2026-07-28/server/tools
"""

from collections.abc import Iterable, Mapping
from typing import cast

from tunnelgate.answers import DEFAULT_MAX_ANSWER, AnswerGuard
from tunnelgate.asgi import ASGIApp, Receive, Scope, Send
from tunnelgate.body import check_media_type, read_aside, read_body, replay_body
from tunnelgate.exchange import Exchange, exchange_of
from tunnelgate.reading.fault import Fault
from tunnelgate.reading.message import MAX_NAME, Kind, Message, MessageFault, read_message, write_header
from tunnelgate.refusal import refuse
from tunnelgate.verdict import Allow, Deny, NeedsScopes, Reason, Refusal, Verdict

DEFAULT_MAX_BODY = 1024 * 1024

Tools = Iterable[str] | Mapping[str, Iterable[str]]

# What the protocol itself needs is allowed without being listed.
_PROTOCOL_REQUESTS = frozenset({"initialize", "ping", "server/discover", "tools/list"})
_PROTOCOL_NOTIFICATIONS = frozenset(
    {"notifications/cancelled", "notifications/initialized", "notifications/progress"}
)
_LISTS: Mapping[str, str] = {"tools/list": "tools"}
_PATTERN = frozenset("*?[]")
_NO_SCOPES: frozenset[str] = frozenset()
_REWRITTEN = frozenset(
    {b"accept-encoding", b"content-length", b"content-type", b"mcp-method", b"mcp-name", b"transfer-encoding"}
)


class ToolRules:
    """The tools that exist for callers, and the scopes that each needs.

    ``tools`` are names, or names with their scopes.
    Raises :class:`ValueError` with a sentence for none at all, and for a pattern.
    """

    def __init__(self, tools: Tools) -> None:
        self.tools = _scopes_by_name(tools)
        if not self.tools:
            raise ValueError("no tool is listed, so every call would be refused")
        for name in self.tools:
            try:
                check_tool_name(name)
            except ValueError as error:
                raise ValueError(f"{name!r} {error}") from None

    def decide(self, name: str, granted: frozenset[str]) -> Verdict:
        """Return whether a caller with these scopes may call the tool, which is whether it exists.

        This is the one function for calling and for listing.
        """
        needed = self.tools.get(name)
        if needed is not None:
            return Allow() if granted.issuperset(needed) else NeedsScopes(needed)
        return Deny(Reason.TOOL_NOT_ALLOWED)

    def is_listed(self, name: str, granted: frozenset[str]) -> bool:
        """Return whether a caller sees the tool: one that only needs a wider token stays visible."""
        return not isinstance(self.decide(name, granted), Deny)


def _scopes_by_name(tools: Tools) -> Mapping[str, tuple[str, ...]]:
    if isinstance(tools, str):
        raise ValueError(f"{tools!r} is a text where a list of names is meant")
    if isinstance(tools, Mapping):
        scopes_of = cast("Mapping[str, Iterable[str]]", tools)
        if any(isinstance(scopes, str) for scopes in scopes_of.values()):
            raise ValueError("a text stands where a list of scopes is meant")
        return {name: tuple(scopes) for name, scopes in scopes_of.items()}
    return dict.fromkeys(tools, ())


def check_tool_name(name: str) -> None:
    """Raise :class:`ValueError` with the end of a sentence unless ``name`` names exactly one tool."""
    if not name or len(name) > MAX_NAME:
        raise ValueError(f"is not a name of 1 to {MAX_NAME} characters")
    if not _PATTERN.isdisjoint(name):
        raise ValueError("is a pattern; list the tools by name, one by one")


class MessageRules:
    """Which messages of a client may pass; whatever is not named here may not."""

    def __init__(self, tools: ToolRules) -> None:
        self.tools = tools

    def decide(self, message: Message, granted: frozenset[str]) -> Verdict:
        """Return whether a caller with these scopes may send ``message``."""
        if message.kind is Kind.RESPONSE:
            return Deny(Reason.RESPONSE_NOT_EXPECTED)
        if message.kind is Kind.NOTIFICATION:
            if message.method in _PROTOCOL_NOTIFICATIONS:
                return Allow()
            return Deny(Reason.NOTIFICATION_NOT_ALLOWED, message.method)
        if message.method == "tools/call" and message.target is not None:
            return self.tools.decide(message.target, granted)
        if message.method in _PROTOCOL_REQUESTS:
            return Allow()
        return Deny(Reason.METHOD_NOT_ALLOWED, message.method)


class ToolAllowlist:
    """Lets MCP clients call the listed tools and see no others.

    ``tools`` is what :class:`ToolRules` takes. ``max_body`` and ``max_answer`` are octets.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        tools: Tools,
        max_body: int = DEFAULT_MAX_BODY,
        max_answer: int = DEFAULT_MAX_ANSWER,
    ) -> None:
        self.app = app
        self.rules = MessageRules(ToolRules(tools))
        self.max_body = max_body
        self.max_answer = max_answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] == "lifespan":
            return await self.app(scope, receive, send)
        exchange = exchange_of(scope)
        granted = _NO_SCOPES if exchange.principal is None else exchange.principal.scopes
        try:
            message = await self._read(exchange, receive)
        except Fault as fault:
            return await refuse(fault.denial(), exchange, send)
        verdict = self.rules.decide(message, granted)
        if not verdict:
            return await refuse(_with_route_scopes(verdict, exchange), exchange, send)
        tools = self.rules.tools
        guard = AnswerGuard(
            send,
            exchange,
            _LISTS.get(message.method),
            lambda name: tools.is_listed(name, granted),
            max_answer=self.max_answer,
        )
        return await self.app(
            _rewritten(scope, exchange, message), replay_body(message.canonical, receive), guard.send
        )

    async def _read(self, exchange: Exchange, receive: Receive) -> Message:
        head = exchange.head
        if head.duplicated:
            raise Fault(Reason.HEADER_DUPLICATED, ", ".join(name.decode() for name in head.duplicated))
        if exchange.is_websocket:
            raise Fault(Reason.WEBSOCKET_NOT_ALLOWED, "")
        if head.method != "POST":
            raise Fault(Reason.STREAM_NOT_OFFERED, head.method[:20])
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
        return message


def _with_route_scopes(verdict: Refusal, exchange: Exchange) -> Refusal:
    if isinstance(verdict, NeedsScopes):
        # All in one challenge, so that the client comes back once.
        return NeedsScopes(tuple(dict.fromkeys((*exchange.required_scopes, *verdict.scopes))))
    return verdict


def _rewritten(scope: Scope, exchange: Exchange, message: Message) -> Scope:
    headers = [pair for pair in scope["headers"] if pair[0] not in _REWRITTEN]
    headers.append((b"accept-encoding", b"identity"))
    # Said anew, so that no parameter of the one that came is read differently behind the gate.
    headers.append((b"content-type", b"application/json"))
    headers.append((b"content-length", b"%d" % len(message.canonical)))
    if message.is_modern:
        headers.append((b"mcp-method", write_header(message.method)))
        if message.target is not None:
            headers.append((b"mcp-name", write_header(message.target)))
    exchange.headers = headers
    return {**scope, "headers": headers}
