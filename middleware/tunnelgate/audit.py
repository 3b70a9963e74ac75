"""Audit: exactly one record for each decision, written before anything is answered or forwarded.

::

    app.add_middleware(AuditLog, sink=AuditFile("audit.jsonl"))

    {"time": "2026-11-22T09:30:00.123Z", "request_id": "8c1f…", "route": "docs", "client": "10.1.2.3",
     "principal": {"issuer": "https://login.example.com/", "subject": "alice", "client_id": "agent"},
     "method": "tools/call", "target": "search_docs", "verdict": "allow", …}

A decision that cannot be written down is not carried out: the request is answered 503.
Neither tokens nor arguments are ever part of a record.
"""

import logging
import os
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import orjson

from tunnelgate.asgi import ASGIApp, Message, Receive, Scope, Send
from tunnelgate.errors import AuditUnavailable
from tunnelgate.exchange import Clock, Exchange, new_request_id, with_exchange
from tunnelgate.reading.head import read_head
from tunnelgate.refusal import refuse
from tunnelgate.verdict import Allow, Broken, Deny, NeedsScopes, Reason, Verdict

logger = logging.getLogger("tunnelgate")

_WORDS: Mapping[type[Verdict], str] = {Allow: "allow", NeedsScopes: "deny", Deny: "deny", Broken: "broken"}


class AuditSink(Protocol):
    """Takes records, one at a time."""

    def write(self, record: Mapping[str, Any]) -> None:
        """Write ``record`` wholly before returning; raises ``AuditUnavailable`` when it cannot."""
        ...


class AuditFile:
    """Appends records to a file as JSON lines, one system call each.

    What was written survives the end of the process, however it ends.
    ``path`` is created readable by its owner alone; ``-`` is standard output.
    Raises :class:`OSError` when it cannot be opened.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = str(path)
        if self.path == "-":
            self._descriptor = os.dup(sys.stdout.fileno())
        else:
            self._descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def write(self, record: Mapping[str, Any]) -> None:
        """Append ``record``; raises :class:`~tunnelgate.errors.AuditUnavailable` when it cannot."""
        line = orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE)
        try:
            written = os.write(self._descriptor, line)
        except OSError as error:
            raise AuditUnavailable(f"{self.path}: {error.strerror}") from error
        if written != len(line):
            raise AuditUnavailable(f"{self.path}: only part of a record could be written")

    def close(self) -> None:
        """Close the file; nothing can be written afterwards."""
        os.close(self._descriptor)


def record_of(exchange: Exchange, verdict: Verdict) -> dict[str, Any]:
    """Return the record of one decision."""
    principal = exchange.principal
    message = exchange.message
    return {
        "time": datetime.fromtimestamp(exchange.started, UTC).isoformat(timespec="milliseconds")[:-6] + "Z",
        "request_id": exchange.request_id,
        "verdict": _WORDS[type(verdict)],
        "reason": None if isinstance(verdict, Allow) else verdict.reason.value,
        "detail": None if isinstance(verdict, Allow) else verdict.detail,
        "route": exchange.route,
        "host": exchange.host,
        "client": exchange.client,
        "principal": None
        if principal is None
        else {
            "issuer": principal.issuer,
            "subject": principal.subject,
            "client_id": principal.client_id,
        },
        "http_method": exchange.head.method,
        "path": exchange.head.path,
        "protocol_version": None if message is None else message.version,
        "method": None if message is None else message.method,
        "target": None if message is None else message.target,
    }


class AuditLog:
    """Gives each request its id, writes down what is decided about it, and catches what breaks.

    ``clock`` returns seconds since the epoch; ``new_id`` returns a text that occurs once.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        sink: AuditSink,
        clock: Clock = time.time,
        new_id: Callable[[], str] = new_request_id,
    ) -> None:
        self.app = app
        self.sink = sink
        self.clock = clock
        self.new_id = new_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] == "lifespan":
            return await self.app(scope, receive, send)
        exchange = Exchange(
            headers=list(scope["headers"]),
            head=read_head(scope),
            is_websocket=scope["type"] == "websocket",
            write_down=self._write_down,
            request_id=self.new_id(),
            started=self.clock(),
        )
        is_answering = False

        async def watched_send(message: Message) -> None:
            nonlocal is_answering
            is_answering = True
            await send(message)

        try:
            return await self.app(with_exchange(scope, exchange), receive, watched_send)
        except Exception:
            if is_answering:
                raise  # too late to answer; the server ends the connection
            logger.exception("request %s broke", exchange.request_id)
            return await refuse(Broken(Reason.INTERNAL_ERROR), exchange, send)

    def _write_down(self, exchange: Exchange, verdict: Verdict) -> None:
        self.sink.write(record_of(exchange, verdict))
