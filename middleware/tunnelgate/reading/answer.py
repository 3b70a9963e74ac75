"""Reads one JSON-RPC message that a server sent back.

Specification: https://www.jsonrpc.org/specification section 5,
https://modelcontextprotocol.io/specification/2026-07-28/basic#responses
"""

from dataclasses import dataclass
from typing import Any

from tunnelgate.reading.fault import Fault
from tunnelgate.reading.strict_json import is_array, is_object, read_json
from tunnelgate.verdict import Reason

_RESPONSE_MEMBERS = frozenset({"jsonrpc", "id", "result", "error"})
_CALL_MEMBERS = frozenset({"jsonrpc", "id", "method", "params"})


@dataclass(frozen=True, slots=True)
class Answer:
    """One message from a server. ``result`` is ``None`` unless it is a successful response."""

    members: dict[str, Any]
    is_response: bool
    result: dict[str, Any] | None
    canonical: bytes


def read_answer(raw: bytes, message_id: str | int | None) -> Answer:
    """Return the message in ``raw``, sent in answer to the request ``message_id``.

    Raises :class:`~tunnelgate.reading.fault.Fault` (``answer-not-valid``) for what is not one
    message, and for a response to another request. An error without an id is a response to any.
    """
    try:
        value, canonical = read_json(raw)
    except Fault as fault:
        raise Fault(Reason.ANSWER_NOT_VALID, f"{fault.reason}: {fault.detail}") from None
    if not is_object(value) or value.get("jsonrpc") != "2.0":
        raise Fault(Reason.ANSWER_NOT_VALID, "not one JSON-RPC message")
    members = value
    if "method" in members:
        if not members.keys() <= _CALL_MEMBERS or not _is_call(members):
            raise Fault(Reason.ANSWER_NOT_VALID, "neither a request nor a notification")
        return Answer(members, is_response=False, result=None, canonical=canonical)
    if not members.keys() <= _RESPONSE_MEMBERS or ("result" in members) == ("error" in members):
        raise Fault(Reason.ANSWER_NOT_VALID, "not a response")
    if "error" in members and not is_object(members["error"]):
        raise Fault(Reason.ANSWER_NOT_VALID, "error is not an object")
    its_id = members.get("id")
    is_nobodys = its_id is None and "error" in members
    if not is_nobodys and message_id is None:
        raise Fault(Reason.ANSWER_NOT_VALID, "a response to a notification")
    if not is_nobodys and (its_id != message_id or type(its_id) is not type(message_id)):
        raise Fault(Reason.ANSWER_NOT_VALID, "a response to another request")
    result = members.get("result")
    if "result" in members and not is_object(result):
        raise Fault(Reason.ANSWER_NOT_VALID, "result is not an object")
    return Answer(members, is_response=True, result=result, canonical=canonical)


def _is_call(members: dict[str, Any]) -> bool:
    its_id = members.get("id")
    has_id = its_id is None or (isinstance(its_id, str | int) and not isinstance(its_id, bool))
    return isinstance(members["method"], str) and has_id and is_object(members.get("params", {}))


def read_names(result: dict[str, Any], member: str) -> list[tuple[str, dict[str, Any]]]:
    """Return the entries of the list ``member`` of ``result`` with their names.

    Raises :class:`~tunnelgate.reading.fault.Fault` where a client that folds case could find a
    list or a name that differs from the one found here.
    """
    entries = result.get(member)
    if not is_array(entries) or _has_lookalike(result, member):
        raise Fault(Reason.ANSWER_NOT_VALID, f"{member} is not one list")
    named: list[tuple[str, dict[str, Any]]] = []
    for entry in entries:
        if not is_object(entry) or _has_lookalike(entry, "name"):
            raise Fault(Reason.ANSWER_NOT_VALID, f"an entry of {member} is not one object")
        name = entry.get("name")
        if not isinstance(name, str):
            raise Fault(Reason.ANSWER_NOT_VALID, f"an entry of {member} has no name")
        named.append((name, entry))
    return named


def _has_lookalike(members: dict[str, Any], name: str) -> bool:
    folded = name.casefold()
    return any(key != name and key.casefold() == folded for key in members)
