"""Applications that answer by a script behind the layer that judges answers."""

from collections.abc import Sequence
from typing import Any

import pytest

from tests.support.asgi import Reply, call, http_scope
from tests.support.audit import Records
from tests.support.mcp import legacy, modern
from tunnelgate import AuditLog, ToolAllowlist
from tunnelgate.answers import DEFAULT_MAX_ANSWER
from tunnelgate.asgi import ASGIApp, Message, Receive, Scope, Send
from tunnelgate.handles import Handles
from tunnelgate.handover import Handover
from tunnelgate.sealing import MIN_KEY, Sealer

JSON = (b"content-type", b"application/json")
STREAM = (b"content-type", b"text/event-stream")
OK = b'{"jsonrpc":"2.0","id":1,"result":{}}'
ERAS = [pytest.param(legacy, id="legacy"), pytest.param(modern, id="modern")]
RawHeaders = Sequence[tuple[bytes, bytes]]
SEALER = Sealer([b"k" * MIN_KEY])


class Scripted:
    """An application that answers with these headers and these chunks, whatever it is asked."""

    def __init__(
        self, *chunks: bytes, headers: RawHeaders = (JSON,), status: int = 200, log: list[str] | None = None
    ) -> None:
        self.start: Message = {"type": "http.response.start", "status": status, "headers": list(headers)}
        self.chunks = chunks
        self.log: list[str] = [] if log is None else log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(self.start)
        for position, chunk in enumerate(self.chunks, 1):
            self.log.append(f"the application sends {position}")
            await send(
                {"type": "http.response.body", "body": chunk, "more_body": position < len(self.chunks)}
            )


def gate_around(app: ASGIApp, *, max_answer: int = DEFAULT_MAX_ANSWER) -> ToolAllowlist:
    return ToolAllowlist(
        Handover(app), tools=["safe_tool"], log_level="error", sealer=SEALER, max_answer=max_answer
    )


def handles_of_nobody(session: bytes = b"") -> Handles:
    """Return the handles of whom the gate of these tests asks for, who is nobody in particular."""
    handles = Handles(SEALER, None, None)
    if session:
        handles.session(session)
    return handles


async def ask_gate(
    app: ASGIApp,
    *,
    era: Any = legacy,
    method: str = "tools/call",
    message_id: Any = 1,
    max_answer: int = DEFAULT_MAX_ANSWER,
    sink: Records | None = None,
) -> Reply:
    params = {"name": "safe_tool"} if method == "tools/call" else None
    headers, body = era(method, params, message_id=message_id)
    gate: ASGIApp = gate_around(app, max_answer=max_answer)
    if sink is not None:
        gate = AuditLog(gate, sink=sink)
    return await call(gate, http_scope(headers=headers), body)


def check_bad_gateway(reply: Reply, message_id: Any = 1) -> None:
    request_id = reply.header("x-request-id")
    assert reply.status == 502
    assert reply.header("content-type") == "application/json"
    assert reply.header("content-length") == str(len(reply.body))
    assert reply.json() == {
        "jsonrpc": "2.0",
        "id": message_id,
        "error": {
            "code": -32603,
            "message": "The server's answer was not valid",
            "data": {"requestId": request_id},
        },
    }
