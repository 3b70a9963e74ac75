"""Reads one JSON-RPC message that a server sent back.

Specification: https://www.jsonrpc.org/specification section 5,
https://modelcontextprotocol.io/specification/2026-07-28/basic#responses
"""

from dataclasses import dataclass
from typing import Any

from tunnelgate.reading.fault import Fault
from tunnelgate.reading.message import Kind
from tunnelgate.reading.methods import DECIDING_META, lookalike_in
from tunnelgate.reading.strict_json import is_array, is_object, read_json
from tunnelgate.verdict import Reason

_RESPONSE_MEMBERS = frozenset({"jsonrpc", "id", "result", "error"})
_CALL_MEMBERS = frozenset({"jsonrpc", "id", "method", "params"})
# What is judged or replaced in the params of a call, and in a result.
_DECIDING_PARAMS = frozenset({"_meta", "level", "notifications", "requestId", "taskId", "uri"})
_DECIDING_RESULT = frozenset(
    {
        "_meta",
        "cacheScope",
        "capabilities",
        "completion",
        "nextCursor",
        "prompts",
        "protocolVersion",
        "requestState",
        "resourceTemplates",
        "resources",
        "resultType",
        "supportedVersions",
        "task",
        "taskId",
        "tools",
    }
)


@dataclass(frozen=True, slots=True)
class Answer:
    """One message from a server.

    ``result`` is ``None`` unless it is a successful response; ``params`` are empty for a response.
    """

    kind: Kind
    members: dict[str, Any]
    canonical: bytes
    result: dict[str, Any] | None = None

    @property
    def method(self) -> str:
        """The method of a request or a notification."""
        method: str = self.members.get("method", "")
        return method

    @property
    def params(self) -> dict[str, Any]:
        """The parameters of a request or a notification."""
        params: dict[str, Any] = self.members.get("params", {})
        return params


def read_answer(raw: bytes, message_id: str | int | None) -> Answer:
    """Return the message in ``raw``, sent in answer to the request ``message_id``.

    Raises :class:`~tunnelgate.reading.fault.Fault` (``answer-not-valid``) for what is not one
    message, and for a response to another request. An error without an id is a response to any.
    """
    try:
        value, canonical = read_json(raw, lenient=True)
    except Fault as fault:
        raise Fault(Reason.ANSWER_NOT_VALID, f"{fault.reason}: {fault.detail}") from None
    if not is_object(value) or value.get("jsonrpc") != "2.0":
        raise Fault(Reason.ANSWER_NOT_VALID, "not one JSON-RPC message")
    if "method" in value:
        return Answer(_kind_of_call(value), value, canonical)
    if not value.keys() <= _RESPONSE_MEMBERS or ("result" in value) == ("error" in value):
        raise Fault(Reason.ANSWER_NOT_VALID, "not a response")
    if "error" in value and not is_object(value["error"]):
        raise Fault(Reason.ANSWER_NOT_VALID, "error is not an object")
    _check_id(value, message_id)
    result = value.get("result")
    if "result" in value and not is_object(result):
        raise Fault(Reason.ANSWER_NOT_VALID, "result is not an object")
    _check_members(result or {}, _DECIDING_RESULT)
    return Answer(Kind.RESPONSE, value, canonical, result)


def _kind_of_call(members: dict[str, Any]) -> Kind:
    its_id = members.get("id")
    has_good_id = its_id is None or (isinstance(its_id, str | int) and not isinstance(its_id, bool))
    params = members.get("params", {})
    is_call = isinstance(members["method"], str) and has_good_id and is_object(params)
    if not is_call or not members.keys() <= _CALL_MEMBERS:
        raise Fault(Reason.ANSWER_NOT_VALID, "neither a request nor a notification")
    _check_members(params, _DECIDING_PARAMS)
    return Kind.NOTIFICATION if its_id is None else Kind.REQUEST


def _check_id(members: dict[str, Any], message_id: str | int | None) -> None:
    its_id = members.get("id")
    if its_id is None and "error" in members:
        return
    if message_id is None:
        raise Fault(Reason.ANSWER_NOT_VALID, "a response to nothing that was asked")
    if its_id != message_id or type(its_id) is not type(message_id):
        raise Fault(Reason.ANSWER_NOT_VALID, "a response to another request")


def _check_members(holder: dict[str, Any], deciding: frozenset[str]) -> None:
    if lookalike_in(holder, deciding) is not None:
        raise Fault(Reason.ANSWER_NOT_VALID, "a member that differs by case from one that decides")
    meta = holder.get("_meta")
    if meta is not None and (not is_object(meta) or lookalike_in(meta, DECIDING_META)):
        raise Fault(Reason.ANSWER_NOT_VALID, "_meta cannot be read in one way only")


def read_names(result: dict[str, Any], member: str, name: str) -> list[tuple[str, dict[str, Any]]]:
    """Return the entries of the list ``member`` of ``result``, each with its member ``name``.

    Raises :class:`~tunnelgate.reading.fault.Fault` where a client that folds case could find a
    list or a name that differs from the one found here.
    """
    entries = result.get(member)
    if not is_array(entries) or lookalike_in(result, frozenset({member})):
        raise Fault(Reason.ANSWER_NOT_VALID, f"{member} is not one list")
    named: list[tuple[str, dict[str, Any]]] = []
    for entry in entries:
        if not is_object(entry) or lookalike_in(entry, frozenset({name})):
            raise Fault(Reason.ANSWER_NOT_VALID, f"an entry of {member} is not one object")
        text = entry.get(name)
        if not isinstance(text, str):
            raise Fault(Reason.ANSWER_NOT_VALID, f"an entry of {member} has no {name}")
        named.append((text, entry))
    return named
