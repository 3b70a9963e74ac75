"""Audit: exactly one record for each decision, written before anything is answered or forwarded.

::

    app.add_middleware(AuditLog, sink=AuditFile("audit.jsonl"))

    {"time": "2026-11-22T09:30:00.123Z", "request_id": "8c1f…", "route": "docs", "client": "10.1.2.3",
     "principal": {"issuer": "https://login.example.com/", "subject": "alice", "client_id": "agent"},
     "method": "tools/call", "target": "search_docs", "verdict": "allow", …}

A decision that cannot be written down is not carried out: the request is answered 503.
Neither tokens nor arguments are ever part of a record.
"""

import json
import logging
import os
import re
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import orjson

from tunnelgate.asgi import ASGIApp, Message, Receive, Scope, Send
from tunnelgate.clients import read_peer
from tunnelgate.errors import AuditUnavailable, UpstreamFailed
from tunnelgate.exchange import Clock, Exchange, new_request_id, with_exchange
from tunnelgate.reading.fault import Fault
from tunnelgate.reading.head import read_head
from tunnelgate.refusal import admit, refuse
from tunnelgate.verdict import Allow, Broken, Deny, NeedsScopes, Reason, Verdict

logger = logging.getLogger("tunnelgate")

_CLOSED = -1
_MAX_PATH = 256  # characters; a path that is served is much shorter
_TOKEN_LIKE = re.compile(r"eyJ[\w-]*\.[\w-]*\.?[\w-]*")  # a credential in the wrong place
_DELETE = b"\x7f"

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
        self._is_torn = False

    def write(self, record: Mapping[str, Any]) -> None:
        """Append ``record``; raises :class:`~tunnelgate.errors.AuditUnavailable` when it cannot."""
        if self._descriptor == _CLOSED:
            raise AuditUnavailable(f"{self.path}: closed")
        # After a part of a record, what comes next is a line of its own.
        line = (b"\n" if self._is_torn else b"") + encode_record(record) + b"\n"
        try:
            written = os.write(self._descriptor, line)
        except OSError as error:
            raise AuditUnavailable(f"{self.path}: {error.strerror}") from error
        self._is_torn = written != len(line)
        if self._is_torn:
            raise AuditUnavailable(f"{self.path}: only part of a record could be written")

    @property
    def is_in_place(self) -> bool:
        """Whether the file is where it was opened, and nobody has moved it away."""
        if self.path == "-":
            return True
        try:
            return os.path.samestat(os.stat(self.path), os.fstat(self._descriptor))  # noqa: PTH116 - beside fstat
        except OSError:
            return False

    def close(self) -> None:
        """Close the file; nothing can be written afterwards."""
        if self._descriptor != _CLOSED:
            os.close(self._descriptor)
            self._descriptor = _CLOSED


def encode_record(record: Mapping[str, Any]) -> bytes:
    """Return ``record`` as JSON in ASCII, in which nothing moves a cursor or ends a line."""
    try:
        line = orjson.dumps(record)
    except orjson.JSONEncodeError:  # an unpaired surrogate, which escaping can write
        line = b""
    if not line or not line.isascii():
        line = json.dumps(record, separators=(",", ":")).encode("ascii")
    return line.replace(_DELETE, rb"\u007f")


def record_of(exchange: Exchange, verdict: Verdict) -> dict[str, Any]:
    """Return the record of one decision."""
    principal = exchange.principal
    message = exchange.message
    target = None if message is None else message.target
    return {
        "time": datetime.fromtimestamp(exchange.started, UTC).isoformat(timespec="milliseconds")[:-6] + "Z",
        "request_id": exchange.request_id,
        "verdict": _WORDS[type(verdict)],
        "reason": None if isinstance(verdict, Allow) else verdict.reason.value,
        "detail": None if isinstance(verdict, Allow) else verdict.detail,
        "route": exchange.route,
        "host": exchange.host,
        "peer": exchange.peer,
        "client": exchange.client,
        "principal": None
        if principal is None
        else {
            "issuer": principal.issuer,
            "subject": principal.subject,
            "client_id": principal.client_id,
        },
        "http_method": exchange.head.method,
        "path": _TOKEN_LIKE.sub("[token]", exchange.head.path[:_MAX_PATH]),
        "protocol_version": None if message is None else message.version,
        "method": None if message is None else message.method,
        "target": None if target is None else _TOKEN_LIKE.sub("[token]", target),
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
            peer=_peer(scope),
        )
        watched = _WatchedSend(send, exchange)
        try:
            return await self.app(with_exchange(scope, exchange), receive, watched)
        except UpstreamFailed as failure:
            if failure.reason is Reason.CALL_CANCELLED:
                logger.info("request %s: %s", exchange.name, failure)
                return None  # there is nobody to answer
            logger.warning("request %s: %s", exchange.name, failure)
            if watched.is_answering:
                raise  # too late to answer; the server ends the connection
            exchange.retry_after = failure.retry_after
            return await refuse(Broken(failure.reason), exchange, send)
        except Exception:
            if watched.is_answering:
                raise
            logger.exception("request %s broke", exchange.request_id)
            return await refuse(Broken(Reason.INTERNAL_ERROR), exchange, send)

    def _write_down(self, exchange: Exchange, verdict: Verdict) -> None:
        try:
            self.sink.write(record_of(exchange, verdict))
        except AuditUnavailable:
            raise
        except Exception as error:
            raise AuditUnavailable(f"{type(error).__name__}: {error}") from error


def _peer(scope: Scope) -> str | None:
    """Return the address that connected, also for what is refused before anybody judges it."""
    try:
        return str(read_peer(scope))
    except Fault:
        return None


class _WatchedSend:
    """Lets nothing be answered that is not written down, wherever the decision was made."""

    def __init__(self, send: Send, exchange: Exchange) -> None:
        self._send = send
        self._exchange = exchange
        self._is_refused = False
        self.is_answering = False

    async def __call__(self, message: Message) -> None:
        if not self.is_answering:
            self.is_answering = True
            # Layers used one by one have no last layer that would have said so.
            self._is_refused = not self._exchange.is_decided and not await admit(self._exchange, self._send)
        if not self._is_refused:
            await self._send(message)
