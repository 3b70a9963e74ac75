"""Request hygiene: what no well-behaved client sends stops here, before any layer looks at it.

One ``Host``, no security header twice, one reading of target and body length, everything bounded::

    app.add_middleware(RequestHygiene)

    POST /mcp HTTP/1.1          Host: docs.example.com                            passed on
    POST /mcp HTTP/1.1          Host: docs.example.com    Host: evil.example      400
    POST /mcp%2f..%2fadmin      Host: docs.example.com                            400
    PUT /mcp                    Host: docs.example.com                            405

Specification: RFC 9110, RFC 9112 sections 3.2, 6.1 and 11.
"""

import re
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from tunnelgate.asgi import ASGIApp, Message, Receive, Scope, Send
from tunnelgate.exchange import Exchange
from tunnelgate.layer import Layer
from tunnelgate.reading.fault import Fault
from tunnelgate.reading.head import RequestHead
from tunnelgate.reading.host import read_host
from tunnelgate.refusal import refuse
from tunnelgate.verdict import Allow, Deny, Reason, Verdict

DEFAULT_MAX_BODY = 1024 * 1024
DEFAULT_MAX_HEADERS = 32 * 1024

_VERSIONS = frozenset({"1.1", "2"})
_METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "POST"})
_CONNECTION_OPTIONS = frozenset({b"", b"close", b"keep-alive"})
_DIGITS = re.compile(rb"[0-9]{1,15}")
_TARGET = re.compile(rb"/(?:[A-Za-z0-9\-._~!$&'()*+,;=:@/]|%[0-9A-Fa-f]{2})*")
# Encoded, these mean one thing to who decodes before splitting the path and another to who splits first.
_ENCODED = re.compile(rb"%(?:2[eEfF]|5[cC]|[01][0-9A-Fa-f]|7[fF])")
_DOT_SEGMENT = re.compile(rb"/\.{1,2}(?:/|\Z)")


@dataclass(frozen=True, slots=True)
class HygieneRules:
    """The bounds: ``max_body`` and ``max_headers`` in octets."""

    max_body: int = DEFAULT_MAX_BODY
    max_headers: int = DEFAULT_MAX_HEADERS

    def decide(self, head: RequestHead) -> Verdict:
        """Return whether this head can be read in one way only."""
        if head.size > self.max_headers:
            return Deny(Reason.HEADERS_TOO_LARGE, f"{head.size} octets")
        if head.duplicated:
            return Deny(Reason.HEADER_DUPLICATED, _names(head.duplicated))
        if head.lookalikes:
            return Deny(Reason.HEADER_LOOKALIKE, _names(head.lookalikes))
        for rule in (_host, _request_line, _framing, self._length):
            denial = rule(head)
            if denial is not None:
                return denial
        return Allow()

    def _length(self, head: RequestHead) -> Deny | None:
        length = head.fields.get(b"content-length")
        if length is not None and int(length) > self.max_body:
            return Deny(Reason.BODY_TOO_LARGE, f"{int(length)} octets")
        return None


def _names(names: list[bytes]) -> str:
    return ", ".join(sorted({name.decode("latin-1") for name in names}))[:200]


def _host(head: RequestHead) -> Deny | None:
    host = head.fields.get(b"host")
    if host is None:
        return Deny(Reason.HOST_MISSING)
    try:
        read_host(host)
    except Fault as fault:
        return fault.denial()
    return None


def _request_line(head: RequestHead) -> Deny | None:
    if head.http_version not in _VERSIONS:
        return Deny(Reason.HTTP_VERSION_NOT_SUPPORTED, head.http_version)
    if head.method not in _METHODS:
        return Deny(Reason.HTTP_METHOD_NOT_ALLOWED, head.method[:20])
    target = head.raw_path
    if _TARGET.fullmatch(target) is None:
        return Deny(Reason.REQUEST_TARGET_MALFORMED, "not a path in origin form")
    if _ENCODED.search(target) or _DOT_SEGMENT.search(target) or not _is_utf8(target):
        return Deny(Reason.REQUEST_TARGET_MALFORMED, "a path with two readings")
    if b"//" in target:
        return Deny(Reason.PATH_NOT_SERVED, "an empty segment")
    return None


def _is_utf8(target: bytes) -> bool:
    if b"%" not in target:
        return True
    try:
        unquote_to_bytes(target).decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _framing(head: RequestHead) -> Deny | None:
    fields = head.fields
    coding = fields.get(b"transfer-encoding")
    length = fields.get(b"content-length")
    if coding is not None and (length is not None or coding.strip(b" \t").lower() != b"chunked"):
        return Deny(Reason.FRAMING_AMBIGUOUS, "Transfer-Encoding is not chunked alone")
    if length is not None and _DIGITS.fullmatch(length) is None:
        return Deny(Reason.FRAMING_AMBIGUOUS, "Content-Length is not a number")
    if head.method != "POST" and (coding is not None or (length is not None and int(length) > 0)):
        return Deny(Reason.BODY_NOT_ALLOWED, head.method)
    if b"upgrade" in fields:
        return Deny(Reason.CONNECTION_OPTION_NOT_ALLOWED, "Upgrade")
    if not _CONNECTION_OPTIONS.issuperset(head.connection):
        return Deny(Reason.CONNECTION_OPTION_NOT_ALLOWED, _names(head.connection))
    if fields.get(b"expect", b"100-continue").lower() != b"100-continue":
        return Deny(Reason.CONNECTION_OPTION_NOT_ALLOWED, "Expect")
    return None


class BodyTooLarge(Exception):
    """Raised out of ``receive`` when a body of unknown length passes its bound."""


class RequestHygiene(Layer):
    """Refuses requests that two components could read differently, and bounds the rest.

    ``max_body`` and ``max_headers`` are octets. A body whose length is not announced is counted
    while it is read. WebSockets are refused: no transport of MCP uses them.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        max_body: int = DEFAULT_MAX_BODY,
        max_headers: int = DEFAULT_MAX_HEADERS,
    ) -> None:
        super().__init__(app)
        self.rules = HygieneRules(max_body, max_headers)

    async def judge(self, scope: Scope, exchange: Exchange) -> Verdict:
        """Judge the head of the request."""
        if scope["type"] == "websocket":
            return Deny(Reason.WEBSOCKET_NOT_ALLOWED)
        return self.rules.decide(exchange.head)

    async def forward(self, scope: Scope, receive: Receive, send: Send, exchange: Exchange) -> None:
        """Pass the request on, counting a body of unknown length."""
        head = exchange.head
        has_known_length = b"content-length" in head.fields
        has_no_body = head.http_version == "1.1" and b"transfer-encoding" not in head.fields
        if has_known_length or has_no_body:
            return await self.app(scope, receive, send)
        counted = _CountedBody(receive, send, self.rules.max_body)
        try:
            return await self.app(scope, counted.receive, counted.send)
        except BodyTooLarge:
            if counted.is_answering:
                raise
            return await refuse(Deny(Reason.BODY_TOO_LARGE, "while it was read"), exchange, send)


class _CountedBody:
    def __init__(self, receive: Receive, send: Send, max_body: int) -> None:
        self._receive = receive
        self._send = send
        self._left = max_body
        self.is_answering = False

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self._left -= len(message.get("body", b""))
            if self._left < 0:
                raise BodyTooLarge
        return message

    async def send(self, message: Message) -> None:
        self.is_answering = True
        await self._send(message)
