"""Asking: what an MCP client asks over HTTP, judged, and as it goes on.

POST carries one message. In the legacy era GET opens a stream for what a server says unasked, or
goes on with one that was cut off, and DELETE ends a session. Each of the three functions returns
what is asked of the server, or why it is not.

Specification: https://modelcontextprotocol.io/specification/2025-11-25/basic/transports#streamable-http
"""

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tunnelgate.answers import Expected
from tunnelgate.completions import Completed, read_completed
from tunnelgate.exchange import Exchange, Load
from tunnelgate.handles import UNASKED, Handles, Origin, Task
from tunnelgate.messages import MessageRules
from tunnelgate.reading.fault import Fault
from tunnelgate.reading.message import MODERN_VERSION, Kind, Message, read_version
from tunnelgate.reading.methods import CLIENT_REQUESTS, MIRRORED, RELATED_TASK, TASKS_EXTENSION, Era
from tunnelgate.reading.mirrored import write_header
from tunnelgate.reading.params import CAPABILITIES_KEY
from tunnelgate.reading.strict_json import is_object
from tunnelgate.refusal import Headers
from tunnelgate.rewriting import rewrite_call, rewrite_response
from tunnelgate.verdict import Reason, Refusal

_REWRITTEN = frozenset(
    {
        b"accept-encoding",
        b"content-length",
        b"content-type",
        b"last-event-id",
        b"mcp-method",
        b"mcp-name",
        b"mcp-session-id",
        b"transfer-encoding",
    }
)

_TASKS_NEEDED: Mapping[str, Any] = {"requiredCapabilities": {"extensions": {TASKS_EXTENSION: {}}}}


@dataclass(frozen=True, slots=True)
class Asked:
    """An allowed request as it goes on, and by what its answer is judged.

    ``key`` is what the client may take it back by, ``cancels`` the key of the one that it takes back.
    """

    headers: Headers
    body: bytes
    expected: Expected
    origin: Origin
    era: Era
    tasks: tuple[Task, ...] = ()
    completed: Completed | None = None
    key: Hashable = None
    cancels: Hashable = None

    @property
    def load(self) -> Load:
        """What it is to a server."""
        if self.expected is Expected.STREAM or self.origin.method == "subscriptions/listen":
            return Load.STREAM
        return Load.ASIDE if self.expected is Expected.NOTHING else Load.CALL


def ask_by_message(exchange: Exchange, rules: MessageRules, handles: Handles) -> Asked | Refusal:
    """Judge the message of a POST; raises ``Fault``."""
    message = exchange.message
    if message is None:
        raise Fault(Reason.MESSAGE_INVALID, "no message")
    era = Era.MODERN if message.is_modern else Era.LEGACY
    session = _session(exchange, handles, era)
    origin = Origin(message.method, message.target, message.id)
    tasks = _tasks(message, handles) if rules.tasks else ()
    verdict = rules.decide(message, exchange.principal, tasks)
    if not verdict:
        return verdict
    if message.kind is Kind.RESPONSE:
        message = rewrite_response(message, handles.open_request(message.id), tasks)
    else:
        message = rewrite_call(message, rules, tasks, _opened(message, handles, origin))
    headers = [*_kept(exchange), *session]
    # Said anew, so that no parameter of the one that came is read differently behind the gate.
    headers.append((b"content-type", b"application/json"))
    headers.append((b"content-length", b"%d" % len(message.canonical)))
    if era is Era.MODERN:
        headers.append((b"mcp-method", write_header(message.method)))
        if message.target is not None and message.method in MIRRORED:
            headers.append((b"mcp-name", write_header(message.target)))
    expected = Expected.MESSAGE if message.kind is Kind.REQUEST else Expected.NOTHING
    return Asked(
        headers,
        message.canonical,
        expected,
        origin,
        era,
        tasks,
        _completed(message, rules),
        key=_key(exchange, era, message.id) if message.kind is Kind.REQUEST else None,
        cancels=_key(exchange, era, message.params.get("requestId")) if _is_cancelling(message) else None,
    )


def ask_for_stream(exchange: Exchange, rules: MessageRules, handles: Handles) -> Asked | Refusal:
    """Judge a GET; raises ``Fault``."""
    session = _session(exchange, handles, _legacy(exchange))
    headers = [*_kept(exchange), *session]
    last = exchange.head.fields.get(b"last-event-id")
    if last is None:
        return Asked(headers, b"", Expected.STREAM, UNASKED, Era.LEGACY)
    event_id, origin = handles.open_event(last.decode("latin-1"))
    is_about_task = origin.method.startswith("tasks/") and origin.target is not None
    tasks = (handles.open_task(origin.target or ""),) if is_about_task else ()
    verdict = rules.decide_again(origin.method, origin.target, exchange.principal, tasks)
    if not verdict:
        return verdict
    headers.append((b"last-event-id", event_id.encode("latin-1")))
    return Asked(headers, b"", Expected.STREAM, origin, Era.LEGACY, tasks)


def ask_for_end(exchange: Exchange, handles: Handles) -> Asked:
    """Judge a DELETE; raises ``Fault``."""
    session = _session(exchange, handles, _legacy(exchange))
    return Asked([*_kept(exchange), *session], b"", Expected.NOTHING, UNASKED, Era.LEGACY)


def _legacy(exchange: Exchange) -> Era:
    if read_version(exchange.head.fields) == MODERN_VERSION:
        raise Fault(Reason.STREAM_NOT_OFFERED, f"{exchange.head.method} in {MODERN_VERSION}")
    return Era.LEGACY


def _session(exchange: Exchange, handles: Handles, era: Era) -> Headers:
    """Return the header that names the session to the server; the modern era has none."""
    handle = exchange.head.fields.get(b"mcp-session-id")
    if handle is None or era is Era.MODERN:
        return []
    return [(b"mcp-session-id", handles.enter(handle.decode("latin-1")).encode("ascii"))]


def _key(exchange: Exchange, era: Era, message_id: Any) -> Hashable:
    """Return what a request of a session is known by; elsewhere two clients may use the same id."""
    session = exchange.head.fields.get(b"mcp-session-id")
    if session is None or era is Era.MODERN or not isinstance(message_id, str | int):
        return None
    return session, type(message_id), message_id


def _is_cancelling(message: Message) -> bool:
    return message.kind is Kind.NOTIFICATION and message.method == "notifications/cancelled"


def _tasks(message: Message, handles: Handles) -> tuple[Task, ...]:
    found: Iterable[str] = ()
    if message.method.startswith("tasks/") and message.target is not None:
        found = (message.target,)
    elif message.method == "subscriptions/listen" and message.is_modern:
        found = message.params["notifications"].get("taskIds", ())
    elif message.kind is Kind.RESPONSE and not message.is_modern:
        found = _related_to(message.members.get("result"))
    if found and message.is_modern and not _declares_tasks(message):
        raise Fault(Reason.CAPABILITY_MISSING, "a client that does not declare tasks", _TASKS_NEEDED)
    return tuple(handles.open_task(each) for each in found)


def _opened(message: Message, handles: Handles, origin: Origin) -> dict[str, str]:
    """Return the parameters that go on as the server knows them."""
    opened: dict[str, str] = {}
    cursor = message.params.get("cursor")
    if message.method in CLIENT_REQUESTS and cursor is not None:
        opened["cursor"] = handles.open_cursor(message.method, _text(cursor))
    state = message.params.get("requestState")
    if message.method in CLIENT_REQUESTS and state is not None:
        opened["requestState"] = handles.open_state(origin, _text(state))
    return opened


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise Fault(Reason.PARAMS_INVALID, "a handle that is no text")
    return value


def _completed(message: Message, rules: MessageRules) -> Completed | None:
    if message.method != "completion/complete" or message.params["ref"]["type"] != "ref/resource":
        return None  # a prompt's name may have braces too
    template = rules.resources.templates.get(message.target or "")
    return None if template is None else read_completed(template, message.params)


def _declares_tasks(message: Message) -> bool:
    capabilities = message.params["_meta"][CAPABILITIES_KEY]
    extensions = capabilities.get("extensions")
    return is_object(extensions) and TASKS_EXTENSION in extensions


def _related_to(result: Any) -> Iterable[str]:
    meta = result.get("_meta") if is_object(result) else None
    related = meta.get(RELATED_TASK) if is_object(meta) else None
    handle = related.get("taskId") if is_object(related) else None
    return (handle,) if isinstance(handle, str) else ()


def _kept(exchange: Exchange) -> Headers:
    kept = [pair for pair in exchange.headers if pair[0] not in _REWRITTEN]
    return [*kept, (b"accept-encoding", b"identity")]
