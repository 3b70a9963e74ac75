"""Reads one MCP message out of a POST: its headers, its body, and that the two agree.

Two *eras* are spoken. In the legacy era (2025-03-26 to 2025-11-25) the body alone speaks.
In the modern era (2026-07-28) headers repeat what the body says and must repeat it truly,
because some component on the way may have followed the headers.

Specification: https://modelcontextprotocol.io/specification/2026-07-28/basic/transports#streamable-http
and the same page of 2025-11-25, 2025-06-18 and 2025-03-26.
"""

import binascii
import re
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from tunnelgate.reading.fault import Fault
from tunnelgate.reading.strict_json import is_object, read_json
from tunnelgate.verdict import Reason

MODERN_VERSION = "2026-07-28"
LEGACY_VERSIONS = ("2025-11-25", "2025-06-18", "2025-03-26")
SUPPORTED_VERSIONS = (MODERN_VERSION, *LEGACY_VERSIONS)

MAX_NAME = 256  # characters of a method, a tool or a prompt; the specification advises 128
MAX_URI = 4096
MAX_ID = 256

_VERSION_KEY = "io.modelcontextprotocol/protocolVersion"
_CAPABILITIES_KEY = "io.modelcontextprotocol/clientCapabilities"
_REQUEST_MEMBERS = frozenset({"jsonrpc", "id", "method", "params"})
_RESPONSE_MEMBERS = frozenset({"jsonrpc", "id", "result", "error"})

_META = frozenset({"_meta"})
_PAGED = frozenset({"_meta", "cursor"})
_RETRIED = frozenset({"_meta", "inputResponses", "requestState"})
# The members that `params` may have, by method. A member that is not here could be one that
# another parser takes for one that is, so it is not passed on.
PARAMS: Mapping[str, frozenset[str]] = {
    "initialize": _META | {"protocolVersion", "capabilities", "clientInfo"},
    "notifications/cancelled": _META | {"requestId", "reason"},
    "notifications/initialized": _META,
    "notifications/progress": _META | {"progressToken", "progress", "total", "message"},
    "ping": _META,
    "server/discover": _META,
    "tools/call": _RETRIED | {"name", "arguments", "task"},
    "tools/list": _PAGED,
}
# The member of `params` that names what is asked for, and its longest value.
TARGETS: Mapping[str, tuple[str, int]] = {
    "prompts/get": ("name", MAX_NAME),
    "resources/read": ("uri", MAX_URI),
    "tools/call": ("name", MAX_NAME),
}

_SENTINEL = re.compile(rb"=\?base64\?([A-Za-z0-9+/]*={0,2})\?=")
_VISIBLE = re.compile(rb"[\x21-\x7e](?:[\t\x20-\x7e]*[\x21-\x7e])?")


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
    ``target`` is the tool, the prompt or the URI that is asked for.
    ``canonical`` is the encoding that goes on in place of the bytes that came.
    """

    kind: Kind
    id: str | int | None
    method: str
    target: str | None
    params: Mapping[str, Any]
    version: str | None
    canonical: bytes

    @property
    def is_modern(self) -> bool:
        """Whether the message belongs to the stateless era."""
        return self.version == MODERN_VERSION


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
        version = _read_version(headers)
        if "method" in members:
            return _read_call(members, message_id, version, headers, canonical)
        return _read_response(members, message_id, version, canonical)
    except Fault as fault:
        raise MessageFault(fault.reason, fault.detail, message_id, fault.told) from None


def write_header(text: str) -> bytes:
    """Return ``text`` as the value of a mirrored header, in Base64 where it needs it."""
    octets = text.encode()
    if _VISIBLE.fullmatch(octets) and not octets.startswith(b"=?base64?"):
        return octets
    return b"=?base64?" + b64encode(octets) + b"?="


def read_header(value: bytes) -> str:
    """Return the text that a mirrored header carries.

    Raises :class:`~tunnelgate.reading.fault.Fault` (``header-mismatch``) for what is not one.
    """
    match = _SENTINEL.fullmatch(value)
    try:
        if match is not None:
            octets = b64decode(match[1], validate=True)
            if b64encode(octets) != match[1]:
                raise Fault(Reason.HEADER_MISMATCH, "a mirrored header is not canonical Base64")
            return octets.decode()
        return value.decode("ascii")
    except (binascii.Error, UnicodeDecodeError):
        raise Fault(Reason.HEADER_MISMATCH, "a mirrored header is not readable") from None


def _read_id(members: Mapping[str, Any]) -> str | int | None:
    if "id" not in members:
        return None
    value = members["id"]
    if isinstance(value, str) and len(value) <= MAX_ID:
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise Fault(Reason.MESSAGE_INVALID, "id is neither a text nor an integer")


def _read_version(headers: Mapping[bytes, bytes]) -> str | None:
    header = headers.get(b"mcp-protocol-version")
    if header is None:
        return None
    version = header.decode("latin-1").strip(" \t")
    if version not in SUPPORTED_VERSIONS:
        raise Fault(
            Reason.PROTOCOL_VERSION_NOT_SUPPORTED,
            f"version {version[:32]!r}",
            {"supported": list(SUPPORTED_VERSIONS), "requested": version[:32]},
        )
    return version


def _read_call(
    members: Mapping[str, Any],
    message_id: str | int | None,
    version: str | None,
    headers: Mapping[bytes, bytes],
    canonical: bytes,
) -> Message:
    if not members.keys() <= _REQUEST_MEMBERS:
        raise Fault(Reason.MESSAGE_INVALID, "a member that no request has")
    method = members["method"]
    if not isinstance(method, str) or not 0 < len(method) <= MAX_NAME:
        raise Fault(Reason.MESSAGE_INVALID, "method is not a name")
    params = members.get("params", {})
    if not is_object(params):
        raise Fault(Reason.MESSAGE_INVALID, "params is not an object")
    known = PARAMS.get(method)
    if known is not None and not params.keys() <= known:
        raise Fault(Reason.MESSAGE_INVALID, f"params has a member that {method} does not have")
    target = _read_target(method, params)
    if target is not None and message_id is None:
        raise Fault(Reason.MESSAGE_INVALID, f"{method} without an id")
    meta = params.get("_meta", {})
    if not is_object(meta):
        raise Fault(Reason.MESSAGE_INVALID, "_meta is not an object")
    if version == MODERN_VERSION:
        _check_modern(method, target, meta, headers)
    elif _VERSION_KEY in meta:
        raise Fault(Reason.HEADER_MISMATCH, "the body speaks 2026-07-28 and the header does not")
    kind = Kind.NOTIFICATION if message_id is None else Kind.REQUEST
    return Message(kind, message_id, method, target, params, version, canonical)


def _read_target(method: str, params: Mapping[str, Any]) -> str | None:
    if method not in TARGETS:
        return None
    member, longest = TARGETS[method]
    target = params.get(member)
    if not isinstance(target, str) or not 0 < len(target) <= longest:
        raise Fault(Reason.MESSAGE_INVALID, f"{member} is not a name of at most {longest} characters")
    return target


def _check_modern(
    method: str, target: str | None, meta: Mapping[str, Any], headers: Mapping[bytes, bytes]
) -> None:
    said = headers.get(b"mcp-method")
    if said is None or read_header(said.strip(b" \t")) != method:
        raise Fault(Reason.HEADER_MISMATCH, "Mcp-Method is not the method of the body")
    named = headers.get(b"mcp-name")
    if target is not None and (named is None or read_header(named.strip(b" \t")) != target):
        raise Fault(Reason.HEADER_MISMATCH, "Mcp-Name is not the name in the body")
    if _VERSION_KEY not in meta or not is_object(meta.get(_CAPABILITIES_KEY)):
        raise Fault(Reason.PARAMS_INVALID, "_meta lacks what 2026-07-28 requires")
    if meta[_VERSION_KEY] != MODERN_VERSION:
        raise Fault(Reason.HEADER_MISMATCH, "MCP-Protocol-Version is not the version of the body")


def _read_response(
    members: Mapping[str, Any], message_id: str | int | None, version: str | None, canonical: bytes
) -> Message:
    if not members.keys() <= _RESPONSE_MEMBERS or ("result" in members) == ("error" in members):
        raise Fault(Reason.MESSAGE_INVALID, "neither a request nor a response")
    if message_id is None:
        raise Fault(Reason.MESSAGE_INVALID, "a response without an id")
    return Message(Kind.RESPONSE, message_id, "", None, {}, version, canonical)
