"""Handles: the names that a server gives to sessions, requests, events, tasks and pages, to a client.

Whoever holds such a name could use it, so a client gets it sealed to itself and to the route.
To anybody else, and on any other route, it is a name that does not exist.

Specification: https://modelcontextprotocol.io/specification/2025-11-25/basic/transports#session-management,
https://modelcontextprotocol.io/docs/2026-07-28/tutorials/security/security_best_practices "State handles".
"""

import re
from dataclasses import dataclass, field
from typing import Any

from tunnelgate.exchange import Principal
from tunnelgate.reading.fault import Fault
from tunnelgate.reading.message import MAX_ID
from tunnelgate.reading.methods import MAX_HANDLE
from tunnelgate.reading.strict_json import read_json, write_json
from tunnelgate.sealing import MAX_SEALED, Sealer
from tunnelgate.verdict import Reason

_VISIBLE = re.compile(rb"[\x21-\x7e]+")


@dataclass(frozen=True, slots=True)
class Origin:
    """What an event stream answers: a method, its target, and the id of the request.

    ``message_id`` is ``None`` for the stream that a GET opens, which answers no request.
    """

    method: str
    target: str | None
    message_id: str | int | None


UNASKED = Origin("", None, None)


@dataclass(frozen=True, slots=True)
class Task:
    """A task that a call of ``tool`` began, by the name that the server gave it."""

    id: str
    tool: str
    handle: str | None = field(default=None, compare=False)  # by which the client asked about it


class Handles:
    """The handles of one principal on one route, within one session where there is one.

    Each ``open_…`` raises :class:`~tunnelgate.reading.fault.Fault` for a handle that was not made
    for exactly this.
    """

    def __init__(self, sealer: Sealer, route: str | None, principal: Principal | None) -> None:
        self._sealer = sealer
        owner = (route or "", *_identity(principal))
        self._owner = tuple(text.encode("utf-8", "surrogatepass") for text in owner)
        self._session = b""

    def enter(self, session: str) -> str:
        """Go into the session of this handle, and return the name that the server knows it by."""
        plain = self._sealer.open(session, (b"session", *self._owner))
        if plain is None:
            raise Fault(Reason.SESSION_UNKNOWN, "a session of nobody, or of somebody else")
        self._session = plain
        return plain.decode("ascii")

    def session(self, name: bytes) -> str:
        """Go into the session that the server names, and return its handle."""
        if _VISIBLE.fullmatch(name) is None:
            raise Fault(Reason.ANSWER_NOT_VALID, "a session id that is not visible ASCII")
        self._session = name
        return self._short(self._sealer.seal(name, (b"session", *self._owner)))

    def request(self, message_id: str | int) -> str:
        """Return the handle of a request that the server makes of the client."""
        handle = self._seal(b"request", message_id)
        if len(handle) > MAX_ID:
            raise Fault(Reason.ANSWER_NOT_VALID, "an id that is too long")
        return handle

    def open_request(self, handle: str | int | None) -> str | int:
        """Return the id of the request that the client responds to."""
        message_id = self._open(b"request", handle)
        if not isinstance(message_id, str | int):
            raise Fault(Reason.RESPONSE_NOT_EXPECTED, "a response to nothing that was asked")
        return message_id

    def event(self, event_id: bytes, origin: Origin) -> str:
        """Return the handle of an event, which remembers what its stream answers."""
        return self._seal(
            b"event", [event_id.decode("latin-1"), origin.method, origin.target, origin.message_id]
        )

    def open_event(self, handle: str) -> tuple[str, Origin]:
        """Return the server's id of the last event that a client saw, and what its stream answers."""
        opened = self._open(b"event", handle)
        if opened is None:
            raise Fault(Reason.EVENT_UNKNOWN, "an event of nobody, or of somebody else")
        event_id, method, target, message_id = opened
        return event_id, Origin(method, target, message_id)

    def task(self, task: Task) -> str:
        """Return the handle of a task, the one that the client has if it has one; it outlives the session."""
        if task.handle is not None:
            return task.handle
        return self._short(self._sealer.seal(write_json([task.id, task.tool]), (b"task", *self._owner)))

    def open_task(self, handle: str) -> Task:
        """Return the task that a handle was made for."""
        plain = self._sealer.open(handle, (b"task", *self._owner))
        if plain is None:
            raise Fault(Reason.TASK_NOT_ALLOWED, "a task of nobody, or of somebody else")
        task_id, tool = read_json(plain, lenient=True)[0]
        return Task(task_id, tool, handle)

    def cursor(self, method: str, name: str) -> str:
        """Return the handle of the next page of a list; by its name a client would know what follows."""
        return self._short(self._sealer.seal(name.encode(), (b"cursor", *self._owner, method.encode())))

    def open_cursor(self, method: str, handle: str) -> str:
        """Return the server's name of the page of the list that ``method`` asks for."""
        plain = self._sealer.open(handle, (b"cursor", *self._owner, method.encode()))
        if plain is None:
            raise Fault(Reason.PARAMS_INVALID, "a cursor that was not given to this caller")
        return plain.decode()

    def state(self, origin: Origin, state: str) -> str:
        """Return the handle of what a server wants to be told when the client asks again."""
        handle = self._sealer.seal(state.encode(), (b"state", *self._owner, *_asked(origin)))
        if len(handle) > MAX_SEALED:
            raise Fault(Reason.ANSWER_NOT_VALID, "a request state that is too long")
        return handle

    def open_state(self, origin: Origin, handle: str) -> str:
        """Return what the server wanted to be told with a request of this method for this target."""
        plain = self._sealer.open(handle, (b"state", *self._owner, *_asked(origin)))
        if plain is None:
            raise Fault(Reason.PARAMS_INVALID, "a request state that was not given for this")
        return plain.decode()

    def _seal(self, purpose: bytes, value: Any) -> str:
        return self._short(self._sealer.seal(write_json(value), (purpose, *self._owner, self._session)))

    def _short(self, handle: str) -> str:
        if len(handle) > MAX_HANDLE:
            raise Fault(Reason.ANSWER_NOT_VALID, "an id that is too long")
        return handle

    def _open(self, purpose: bytes, handle: str | int | None) -> Any:
        if not isinstance(handle, str):
            return None
        plain = self._sealer.open(handle, (purpose, *self._owner, self._session))
        return None if plain is None else read_json(plain, lenient=True)[0]


def _asked(origin: Origin) -> tuple[bytes, bytes]:
    return origin.method.encode(), (origin.target or "").encode()


def _identity(principal: Principal | None) -> tuple[str, str, str]:
    if principal is None:
        return "", "", ""
    return principal.issuer, principal.subject, principal.client_id
