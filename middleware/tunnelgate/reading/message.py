"""Reads one MCP message out of a POST: its headers, its body, and that the two agree.

Two *eras* are spoken. In the legacy era (2025-03-26 to 2025-11-25) the body alone speaks.
In the modern era (2026-07-28) headers repeat what the body says and must repeat it truly,
because some component on the way may have followed the headers.

Specification: https://modelcontextprotocol.io/specification/2026-07-28/basic/transports/streamable-http
and the same page of 2025-11-25, 2025-06-18 and 2025-03-26.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from tunnelgate.reading.fault import Fault
from tunnelgate.reading.methods import CLIENT_METHODS, MAX_NAME, MIRRORED, MODERN_MEMBERS, Era
from tunnelgate.reading.mirrored import check_mirrored
from tunnelgate.reading.params import (
    CAPABILITIES_KEY,
    VERSION_KEY,
    check_members,
    read_log_level,
    read_target,
)
from tunnelgate.reading.strict_json import is_object, read_json
from tunnelgate.verdict import Reason

MODERN_VERSION = "2026-07-28"
LEGACY_VERSIONS = ("2025-11-25", "2025-06-18", "2025-03-26")
SUPPORTED_VERSIONS = (MODERN_VERSION, *LEGACY_VERSIONS)

MAX_ID = 256


_REQUEST_MEMBERS = frozenset({"jsonrpc", "id", "method", "params"})
_RESPONSE_MEMBERS = frozenset({"jsonrpc", "id", "result", "error"})


class Kind(StrEnum):
    """What a JSON-RPC message is."""

    REQUEST = "request"
    NOTIFICATION = "notification"
    RESPONSE = "response"


@dataclass(frozen=True, slots=True)
class Message:
    """One MCP message that a client sent.

    ``method`` is empty for a response, ``id`` is ``None`` for a notification.
    ``version`` is the protocol revision that the header named, ``None`` where it named none.
    ``target`` is the tool, the prompt, the resource's URI or the task that is asked for.
    ``log_level`` is the least severe level of log messages that the client wants.
    ``canonical`` is the encoding that goes on in place of the bytes that came.
    """

    kind: Kind
    id: str | int | None
    method: str
    target: str | None
    members: Mapping[str, Any]
    version: str | None
    canonical: bytes
    log_level: str | None = None

    @property
    def is_modern(self) -> bool:
        """Whether the message belongs to the stateless era."""
        return self.version == MODERN_VERSION

    @property
    def params(self) -> Mapping[str, Any]:
        """The parameters of a request or a notification."""
        params: Mapping[str, Any] = self.members.get("params", {})
        return params


class MessageFault(Fault):
    """A fault in a message whose ``id`` could be read, so that the answer can name it."""

    def __init__(
        self,
        reason: Reason,
        detail: str,
        message_id: str | int | None,
        told: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(reason, detail, told)
        self.message_id = message_id


def read_message(raw: bytes, headers: Mapping[bytes, bytes]) -> Message:
    """Return the message in ``raw``, the body of a POST with these single-valued ``headers``.

    Raises :class:`~tunnelgate.reading.fault.Fault` for whatever is not exactly one message.
    """
    value, canonical = read_json(raw)
    if not is_object(value):
        raise Fault(Reason.MESSAGE_INVALID, "not one object; batches ended with 2025-03-26")
    members = value
    message_id = _read_id(members)
    try:
        if members.get("jsonrpc") != "2.0":
            raise Fault(Reason.MESSAGE_INVALID, "jsonrpc is not 2.0")
        version = read_version(headers)
        if "method" in members:
            return _read_call(members, message_id, version, headers, canonical)
        return _read_response(members, message_id, version, canonical)
    except Fault as fault:
        raise MessageFault(fault.reason, fault.detail, message_id, fault.told) from None


def read_version(headers: Mapping[bytes, bytes]) -> str | None:
    """Return the protocol revision that a request names in its header, if it names one.

    Raises :class:`~tunnelgate.reading.fault.Fault` for one that is not spoken here.
    """
    header = headers.get(b"mcp-protocol-version")
    if header is None:
        return None
    version = header.decode("latin-1").strip(" \t")
    if version not in SUPPORTED_VERSIONS:
        raise Fault(
            Reason.PROTOCOL_VERSION_NOT_SUPPORTED,
            f"version {version[:32]!r}",
            # What a request can choose by itself; the others are agreed on by initialize.
            {"supported": [MODERN_VERSION], "requested": version[:32]},
        )
    return version


def _read_id(members: Mapping[str, Any]) -> str | int | None:
    if "id" not in members:
        return None
    value = members["id"]
    if isinstance(value, str) and len(value) <= MAX_ID:
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise Fault(Reason.MESSAGE_INVALID, "id is neither a text nor an integer")


def _read_call(
    members: Mapping[str, Any],
    message_id: str | int | None,
    version: str | None,
    headers: Mapping[bytes, bytes],
    canonical: bytes,
) -> Message:
    if not members.keys() <= _REQUEST_MEMBERS:
        raise Fault(Reason.MESSAGE_INVALID, "a member that no request has")
    name = members["method"]
    if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME:
        raise Fault(Reason.MESSAGE_INVALID, "method is not a name")
    params = members.get("params", {})
    if not is_object(params):
        raise Fault(Reason.MESSAGE_INVALID, "params is not an object")
    era = Era.MODERN if version == MODERN_VERSION else Era.LEGACY
    method = CLIENT_METHODS.get(name)
    if method is not None and era not in method.era:
        method = None  # unknown in this era, whatever it means in the other
    meta = params.get("_meta", {})
    if not is_object(meta):
        raise Fault(Reason.MESSAGE_INVALID, "_meta is not an object")
    check_members(name, method, params, meta)
    if method is not None and era is Era.LEGACY and not MODERN_MEMBERS.isdisjoint(params):
        raise Fault(Reason.MESSAGE_INVALID, f"params has a member that {name} does not have in this era")
    target = None if method is None else read_target(name, method, params)
    if target is not None and message_id is None:
        raise Fault(Reason.MESSAGE_INVALID, f"{name} without an id")
    if era is Era.MODERN:
        check_mirrored(name, target if name in MIRRORED else None, headers)
        _check_modern_meta(meta)
    elif VERSION_KEY in meta:
        raise Fault(Reason.HEADER_MISMATCH, "the body speaks 2026-07-28 and the header does not")
    kind = Kind.NOTIFICATION if message_id is None else Kind.REQUEST
    log_level = read_log_level("" if method is None else name, params, meta)
    return Message(kind, message_id, name, target, members, version, canonical, log_level)


def _check_modern_meta(meta: Mapping[str, Any]) -> None:
    if VERSION_KEY not in meta or not is_object(meta.get(CAPABILITIES_KEY)):
        raise Fault(Reason.PARAMS_INVALID, "_meta lacks what 2026-07-28 requires")
    if meta[VERSION_KEY] != MODERN_VERSION:
        raise Fault(Reason.HEADER_MISMATCH, "MCP-Protocol-Version is not the version of the body")


def _read_response(
    members: Mapping[str, Any], message_id: str | int | None, version: str | None, canonical: bytes
) -> Message:
    if not members.keys() <= _RESPONSE_MEMBERS or ("result" in members) == ("error" in members):
        raise Fault(Reason.MESSAGE_INVALID, "neither a request nor a response")
    if message_id is None:
        raise Fault(Reason.MESSAGE_INVALID, "a response without an id")
    return Message(Kind.RESPONSE, message_id, "", None, members, version, canonical)
