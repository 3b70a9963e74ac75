"""A whole gate on a real port that is talked to in octets, and what stands behind it."""

import socket
import threading
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal

import orjson

from tests.support.asgi import Reply
from tests.support.audit import Records
from tests.support.mcp import LEGACY, MODERN
from tests.support.servers import serve
from tests.support.tokens import ISSUER, Token, jwks
from tunnelgate import Clients, Issuer, OAuth, Policy, Route, StaticKeys, protect
from tunnelgate.asgi import ASGIApp, Receive, Scope, Send

HOST = "mcp.example.com"
IDN_HOST = "xn--mcp-vla.example.com"
HOSTS = (HOST, IDN_HOST)
SAFE = "safe_tool"
DANGER = "danger_tool"
SAFE_PROMPT = "safe_prompt"
SAFE_RESOURCES = "file:///srv/ok/{+path}"
NOT_HTTP = (400, 431, 505)  # what a parser answers by itself, before there is a request with an id
LIMIT = 10  # seconds that anything here may take

Parser = Literal["strict", "h11"]
PARSERS: tuple[Parser, ...] = ("strict", "h11")
Pairs = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Forwarded:
    """A request as it reached the application behind the gate, to the last octet of its body."""

    method: str
    raw_path: bytes
    headers: list[tuple[str, str]]
    body: bytes

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.headers]

    def header(self, name: str) -> str | None:
        values = [value for each, value in self.headers if each == name]
        assert len(values) <= 1, f"{name} reached the application {len(values)} times"
        return values[0] if values else None


@dataclass(frozen=True)
class Canned:
    """An answer that the application gives whatever it is asked; ``body`` comes in these pieces."""

    headers: list[tuple[bytes, bytes]]
    body: Sequence[bytes]
    status: int = 200


class McpApp:
    """An MCP server that keeps all that reached it, and that would run either of its two tools."""

    def __init__(self) -> None:
        self.forwarded: list[Forwarded] = []
        self.executed: list[str] = []
        self.canned: Canned | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await _live(receive, send)
        body = await _read(receive)
        self.forwarded.append(
            Forwarded(
                scope["method"],
                scope["raw_path"],
                [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]],
                body,
            )
        )
        answer = self.canned or self._answer(scope["method"], body)
        await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
        for piece in answer.body:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        return await send({"type": "http.response.body", "body": b""})

    def _answer(self, method: str, body: bytes) -> Canned:
        if method == "GET":
            return Canned([(b"content-type", b"text/event-stream")], [b": open\n\n"])
        if method == "DELETE":
            return Canned([], [])
        message = orjson.loads(body)
        if "id" not in message:
            return Canned([], [], status=202)
        return as_json(orjson.dumps({"jsonrpc": "2.0", "id": message["id"], "result": self._result(message)}))

    def _result(self, message: Mapping[str, Any]) -> dict[str, Any]:
        params = message.get("params", {})
        match message["method"]:
            case "tools/list":
                tools = [{"name": name, "inputSchema": {"type": "object"}} for name in (SAFE, DANGER)]
                return {"resultType": "complete", "tools": tools}
            case "tools/call":
                self.executed.append(params["name"])
                return {"resultType": "complete", "content": [{"type": "text", "text": "done"}]}
            case _:
                return {"resultType": "complete"}


def as_json(*pieces: bytes) -> Canned:
    """Return an answer in JSON."""
    return Canned([(b"content-type", b"application/json")], pieces)


async def _live(receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})


async def _read(receive: Receive) -> bytes:
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body", False):
            return bytes(body)


class Settling:
    """An application that knows how many requests it is still busy with."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._busy = 0
        self._changed = threading.Condition()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await self._app(scope, receive, send)
        self._count(1)
        try:
            return await self._app(scope, receive, send)
        finally:
            self._count(-1)

    def settle(self) -> None:
        """Return when nothing is left to do, which for a lost connection is after its end."""
        with self._changed:
            assert self._changed.wait_for(lambda: self._busy == 0, LIMIT), "a request does not end"

    def _count(self, step: int) -> None:
        with self._changed:
            self._busy += step
            self._changed.notify_all()


@dataclass(frozen=True)
class Outcome:
    """What came of a connection: answers, what reached the application, and what was written down."""

    answers: list[Reply]
    forwarded: list[Forwarded]
    executed: list[str]
    records: list[Mapping[str, Any]]

    @property
    def statuses(self) -> list[int]:
        return [answer.status for answer in self.answers]

    @property
    def reasons(self) -> list[str | None]:
        return [record["reason"] for record in self.records]

    @property
    def answer(self) -> Reply:
        assert len(self.answers) == 1, f"not one answer but {self.statuses}"
        return self.answers[0]

    @property
    def rpc_code(self) -> int | None:
        """The code of the JSON-RPC error, or ``None`` where the answer is no such error."""
        value = self.answer.json()
        return value["error"]["code"] if "jsonrpc" in value and "error" in value else None

    def check_accounts(self) -> None:
        """Check that each answer of the gate, and each request behind it, has one record of its own."""
        ids = [record["request_id"] for record in self.records]
        assert len(set(ids)) == len(ids)
        for answer in self.answers:
            request_id = answer.header("x-request-id")
            if request_id is None:
                assert answer.status in NOT_HTTP, f"{answer.status} without an id"
            else:
                assert ids.count(request_id) == 1, f"{ids.count(request_id)} records of {request_id}"
        allowed = [record["request_id"] for record in self.records if record["verdict"] == "allow"]
        assert [each.header("x-request-id") for each in self.forwarded] == allowed
        assert set(self.executed) <= {SAFE}, f"{self.executed} ran"
        for each in self.forwarded:
            assert DANGER.encode() not in each.body
            assert each.header("authorization") is None
            if each.header("content-length") is not None:
                assert each.header("content-length") == str(len(each.body))

    def check_refused(self, *statuses: int) -> None:
        """Check that all was refused, with one of these statuses each, and that nothing got behind."""
        self.check_accounts()
        assert self.answers, "no answer"
        assert set(self.statuses) <= set(statuses), f"{self.statuses}, not {statuses}: {self.reasons}"
        assert self.forwarded == []
        assert [record["verdict"] for record in self.records] == ["deny"] * len(self.records)

    def check_allowed(self) -> None:
        """Check that one request was let through, once, and answered 200."""
        self.check_accounts()
        assert self.answer.status == 200, f"{self.answer.status}: {self.reasons}"
        assert len(self.forwarded) == 1


@dataclass
class RawGate:
    """A running gate that serves the safe tool, prompt and resources, and hides what else there is."""

    port: int
    parser: Parser
    app: McpApp
    records: Records
    settling: Settling
    tokens: Mapping[str, str] = field(
        default_factory=lambda: {host: Token(claims={"aud": f"https://{host}/mcp"}).mint() for host in HOSTS}
    )

    def bearer(self, host: str = HOST) -> tuple[str, str]:
        return ("authorization", f"Bearer {self.tokens[host]}")

    def send(
        self, request: bytes | Sequence[bytes], *, answers: int = 1, unfinished: bool = False
    ) -> Outcome:
        """Send octets over a new connection, piece by piece if they come so, and return what came of it.

        ``answers`` are waited for unless the gate ends the connection sooner. Of a request that is
        ``unfinished`` the client's side is closed when it has been sent.
        """
        before = len(self.app.forwarded), len(self.app.executed), len(self.records.all)
        pieces = [request] if isinstance(request, bytes) else request
        replies = _exchange(self.port, pieces, answers, unfinished=unfinished)
        self.settling.settle()
        return Outcome(
            replies,
            self.app.forwarded[before[0] :],
            self.app.executed[before[1] :],
            self.records.all[before[2] :],
        )

    def ask(
        self, body: bytes | str, headers: Pairs | None = None, *, method: str = "POST", path: str = "/mcp"
    ) -> Outcome:
        """Send one well-framed request with the token, and with these headers or those of the legacy era."""
        pairs = [*(LEGACY_HEADERS if headers is None else headers), self.bearer()]
        return self.send(request_of(body, pairs, method=method, path=path))


LEGACY_HEADERS: Pairs = (
    ("host", HOST),
    ("content-type", "application/json"),
    ("accept", "application/json, text/event-stream"),
    ("mcp-protocol-version", LEGACY),
)


def modern_headers(method: str = "tools/call", name: str | None = SAFE) -> list[tuple[str, str]]:
    """Return the headers of the modern era for a request about ``name``."""
    named = [] if name is None else [("mcp-name", name)]
    return [*LEGACY_HEADERS[:3], ("mcp-protocol-version", MODERN), ("mcp-method", method), *named]


def request_of(
    body: bytes | str, headers: Pairs, *, method: str = "POST", path: str = "/mcp", close: bool = True
) -> bytes:
    """Return a request whose length is said, unless ``headers`` say how its body is framed."""
    octets = body.encode() if isinstance(body, str) else body
    framed = {name.lower() for name, _ in headers} & {"content-length", "transfer-encoding"}
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers)]
    if not framed:
        lines.append(f"content-length: {len(octets)}")
    if close:
        lines.append("connection: close")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + octets


def call_of(tool: str = SAFE, message_id: Any = 1) -> bytes:
    """Return the body of a legacy call."""
    params: dict[str, Any] = {"name": tool, "arguments": {}}
    return orjson.dumps({"jsonrpc": "2.0", "id": message_id, "method": "tools/call", "params": params})


def chunked(body: bytes, size: int = 16) -> bytes:
    """Return ``body`` in chunks of ``size`` octets."""
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


@contextmanager
def open_gate(parser: Parser) -> Generator[RawGate]:
    """Serve a whole gate with one of the two HTTP parsers."""
    app, records = McpApp(), Records()
    gate = Settling(protect(app, _policy(), audit=records, keys_of=lambda _: _keys()))
    with serve(gate, parser) as port:
        yield RawGate(port, parser, app, records, gate)


def _policy() -> Policy:
    return Policy(
        clients=Clients(allowed_ips=["127.0.0.0/8"]),
        oauth=OAuth(issuers=[Issuer(issuer=ISSUER, jwks_file="unused.json")]),
        routes={
            host: Route(tools=[SAFE], prompts=[SAFE_PROMPT], resources=[SAFE_RESOURCES]) for host in HOSTS
        },
    )


@cache
def _keys() -> StaticKeys:
    return StaticKeys(jwks("ES256"))


def _exchange(port: int, pieces: Sequence[bytes], answers: int, *, unfinished: bool) -> list[Reply]:
    received, to_head = b"", pieces[0].startswith(b"HEAD ")
    with socket.create_connection(("127.0.0.1", port), timeout=LIMIT) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # A gate that has refused need not read the rest; what it said can still be read.
        with suppress(ConnectionError):
            for piece in pieces:
                connection.sendall(piece)
            if unfinished:
                connection.shutdown(socket.SHUT_WR)
        is_shut = unfinished
        while chunk := _received(connection):
            received += chunk
            if not is_shut and len(_replies(received, to_head=to_head, is_closed=False)) >= answers:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_WR)
                is_shut = True
    return _replies(received, to_head=to_head, is_closed=True)


def _received(connection: socket.socket) -> bytes:
    try:
        return connection.recv(65536)
    except ConnectionError:
        return b""


def _replies(received: bytes, *, to_head: bool, is_closed: bool) -> list[Reply]:
    """Return the whole answers in ``received``; where no more can come, nothing else may be left."""
    replies: list[Reply] = []
    while received:
        head, separator, rest = received.partition(b"\r\n\r\n")
        if not separator:
            break
        status_line, *lines = head.decode("latin-1").split("\r\n")
        status = int(status_line.split(" ")[1])
        if status < 200:
            received = rest
            continue
        headers = [
            (name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines)
        ]
        framed = (b"", rest) if to_head else _body(dict(headers), rest, is_closed=is_closed)
        if framed is None:
            break
        body, received = framed
        replies.append(Reply(status, headers, body))
    assert not (is_closed and received), f"the end of an answer is missing: {received[:200]!r}"
    return replies


def _body(headers: Mapping[str, str], rest: bytes, *, is_closed: bool) -> tuple[bytes, bytes] | None:
    """Return the body at the beginning of ``rest`` and what follows it, or ``None`` while it is not whole."""
    if headers.get("transfer-encoding") == "chunked":
        body = b""
        while True:
            size, separator, rest = rest.partition(b"\r\n")
            if not separator or len(rest) < int(size, 16) + 2:
                return None
            body, rest = body + rest[: int(size, 16)], rest[int(size, 16) + 2 :]
            if int(size, 16) == 0:
                return body, rest
    if "content-length" in headers:
        length = int(headers["content-length"])
        return (rest[:length], rest[length:]) if len(rest) >= length else None
    return (rest, b"") if is_closed else None
