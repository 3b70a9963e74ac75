"""How each reason is answered: one table, and the function that answers by it.

The answer names the request, never the reason's details; those stand in the audit record.
A request that was read as MCP is refused in JSON-RPC, because under another body or status the
clients report a broken transport and give up, or fall back to an older era of the protocol.

Specification: RFC 6750 section 3, RFC 9728 section 5.1,
https://modelcontextprotocol.io/specification/2026-07-28/basic#error-codes
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any

from tunnelgate.asgi import Send
from tunnelgate.errors import AuditUnavailable
from tunnelgate.exchange import Exchange
from tunnelgate.reading.strict_json import write_json
from tunnelgate.verdict import Allow, Broken, NeedsScopes, Reason, Refusal

logger = logging.getLogger("tunnelgate")

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603
HEADER_MISMATCH = -32020
MISSING_CLIENT_CAPABILITY = -32021
UNSUPPORTED_PROTOCOL_VERSION = -32022

_POLICY_VIOLATION = 1008  # RFC 6455 section 7.4.1

Headers = list[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Answer:
    """How one reason is answered.

    ``error`` is the word in a plain JSON body.
    ``code`` and ``message`` are the JSON-RPC error's when the request was read as MCP; without a
    ``code`` the answer is plain always.
    ``modern_status`` replaces ``status`` in the 2026-07-28 era.
    ``challenge`` says that the answer carries ``WWW-Authenticate``, with this ``error`` in it;
    ``dpop_error`` stands in for both errors where tokens come with DPoP proofs.
    """

    status: int
    error: str
    code: int | None = None
    message: str = ""
    modern_status: int | None = None
    challenge: str | None = None
    dpop_error: str | None = None
    headers: tuple[tuple[bytes, bytes], ...] = ()


_BAD_REQUEST = Answer(400, "bad_request")
# Where the end of a request is in doubt, what stands behind it is no request.
_BAD_FRAMING = Answer(400, "bad_request", headers=((b"connection", b"close"),))
_NOT_A_MESSAGE = Answer(400, "bad_request", INVALID_REQUEST, "Invalid request")
_BAD_TOKEN = Answer(401, "invalid_token", challenge="invalid_token")
_BAD_PROOF = Answer(401, "invalid_token", challenge="invalid_token", dpop_error="invalid_dpop_proof")
_BAD_GATEWAY = Answer(502, "upstream_answer_not_valid", INTERNAL_ERROR, "The server's answer was not valid")
_RETRY_SOON = ((b"retry-after", b"1"),)
_UNAVAILABLE = Answer(503, "unavailable", INTERNAL_ERROR, "Temporarily unavailable")

ANSWERS: Mapping[Reason, Answer] = {
    Reason.HEADER_DUPLICATED: _BAD_FRAMING,
    Reason.HEADER_LOOKALIKE: _BAD_FRAMING,
    Reason.HEADERS_TOO_LARGE: Answer(431, "headers_too_large"),
    Reason.HOST_MISSING: _BAD_REQUEST,
    Reason.HOST_MALFORMED: _BAD_REQUEST,
    Reason.HTTP_VERSION_NOT_SUPPORTED: Answer(505, "http_version_not_supported"),
    Reason.HTTP_METHOD_NOT_ALLOWED: Answer(
        405, "method_not_allowed", headers=((b"allow", b"DELETE, GET, HEAD, OPTIONS, POST"),)
    ),
    Reason.REQUEST_TARGET_MALFORMED: _BAD_REQUEST,
    Reason.FRAMING_AMBIGUOUS: _BAD_FRAMING,
    Reason.CONNECTION_OPTION_NOT_ALLOWED: _BAD_REQUEST,
    Reason.BODY_NOT_ALLOWED: _BAD_REQUEST,
    Reason.BODY_TOO_LARGE: Answer(413, "too_large", headers=((b"connection", b"close"),)),
    Reason.BODY_INCOMPLETE: _BAD_REQUEST,
    Reason.WEBSOCKET_NOT_ALLOWED: Answer(403, "websocket_not_allowed"),
    Reason.HOST_UNKNOWN: Answer(403, "host_not_allowed"),
    Reason.SERVER_NAME_DIFFERS: Answer(421, "misdirected_request"),
    Reason.PATH_NOT_SERVED: Answer(404, "not_found"),
    Reason.PATH_IS_READ_ONLY: Answer(405, "method_not_allowed", headers=((b"allow", b"GET, HEAD, OPTIONS"),)),
    Reason.CLIENT_ADDRESS_UNREADABLE: _BAD_REQUEST,
    Reason.CLIENT_NOT_ALLOWED: Answer(403, "client_not_allowed"),
    Reason.ORIGIN_NOT_ALLOWED: Answer(403, "origin_not_allowed"),
    Reason.TOKEN_MISSING: Answer(401, "token_required", challenge=""),
    Reason.TOKEN_MALFORMED: _BAD_TOKEN,
    Reason.TOKEN_TYPE_WRONG: _BAD_TOKEN,
    Reason.TOKEN_ALGORITHM_NOT_ALLOWED: _BAD_TOKEN,
    Reason.TOKEN_KEY_UNKNOWN: _BAD_TOKEN,
    Reason.TOKEN_SIGNATURE_WRONG: _BAD_TOKEN,
    Reason.TOKEN_ISSUER_UNKNOWN: _BAD_TOKEN,
    Reason.TOKEN_AUDIENCE_WRONG: _BAD_TOKEN,
    Reason.TOKEN_EXPIRED: _BAD_TOKEN,
    Reason.TOKEN_NOT_YET_VALID: _BAD_TOKEN,
    Reason.TOKEN_LIFETIME_TOO_LONG: _BAD_TOKEN,
    Reason.TOKEN_CLAIM_INVALID: _BAD_TOKEN,
    Reason.TOKEN_INACTIVE: _BAD_TOKEN,
    Reason.TOKEN_BINDING_WRONG: _BAD_TOKEN,
    Reason.PROOF_MISSING: _BAD_PROOF,
    Reason.PROOF_MALFORMED: _BAD_PROOF,
    Reason.PROOF_WRONG: _BAD_PROOF,
    Reason.PROOF_REPLAYED: _BAD_PROOF,
    Reason.PROOF_NONCE_WRONG: Answer(
        401, "use_dpop_nonce", challenge="use_dpop_nonce", dpop_error="use_dpop_nonce"
    ),
    # Who comes back with a person's token may pass, so it is told like one that lacks a scope.
    Reason.USER_REQUIRED: Answer(403, "insufficient_scope", challenge="insufficient_scope"),
    Reason.SCOPE_MISSING: Answer(403, "insufficient_scope", challenge="insufficient_scope"),
    Reason.CLAIM_MISSING: Answer(403, "access_denied"),
    Reason.MEDIA_TYPE_NOT_ALLOWED: Answer(415, "media_type_not_allowed"),
    Reason.CONTENT_ENCODING_NOT_ALLOWED: Answer(415, "content_encoding_not_allowed"),
    Reason.BODY_NOT_JSON: Answer(400, "bad_request", PARSE_ERROR, "Parse error"),
    Reason.BODY_NOT_STRICT: _NOT_A_MESSAGE,
    Reason.MESSAGE_INVALID: _NOT_A_MESSAGE,
    Reason.PARAMS_INVALID: Answer(400, "bad_request", INVALID_PARAMS, "Invalid params"),
    Reason.HEADER_MISMATCH: Answer(400, "bad_request", HEADER_MISMATCH, "Headers do not match the body"),
    Reason.PROTOCOL_VERSION_NOT_SUPPORTED: Answer(
        400, "bad_request", UNSUPPORTED_PROTOCOL_VERSION, "Unsupported protocol version"
    ),
    Reason.CAPABILITY_MISSING: Answer(
        400, "bad_request", MISSING_CLIENT_CAPABILITY, "Missing required client capability"
    ),
    Reason.STREAM_NOT_OFFERED: Answer(405, "method_not_allowed", headers=((b"allow", b"DELETE, GET, POST"),)),
    Reason.METHOD_NOT_ALLOWED: Answer(
        200, "method_not_found", METHOD_NOT_FOUND, "Method not found", modern_status=404
    ),
    Reason.NOTIFICATION_NOT_ALLOWED: _NOT_A_MESSAGE,
    Reason.RESPONSE_NOT_EXPECTED: _NOT_A_MESSAGE,
    Reason.TOOL_NOT_ALLOWED: Answer(200, "tool_not_found", INVALID_PARAMS, "Unknown tool"),
    Reason.PROMPT_NOT_ALLOWED: Answer(200, "prompt_not_found", INVALID_PARAMS, "Unknown prompt"),
    Reason.RESOURCE_NOT_ALLOWED: Answer(200, "resource_not_found", INVALID_PARAMS, "Resource not found"),
    Reason.TASK_NOT_ALLOWED: Answer(200, "task_not_found", INVALID_PARAMS, "Unknown task"),
    Reason.SESSION_UNKNOWN: Answer(404, "session_not_found", INVALID_REQUEST, "Session not found"),
    Reason.EVENT_UNKNOWN: Answer(400, "event_not_found", INVALID_REQUEST, "Unknown Last-Event-ID"),
    Reason.ANSWER_NOT_VALID: _BAD_GATEWAY,
    Reason.ANSWER_TOO_LARGE: _BAD_GATEWAY,
    Reason.CALL_CANCELLED: Answer(200, "cancelled", INTERNAL_ERROR, "Cancelled"),
    Reason.UPSTREAM_NOT_ALLOWED: Answer(
        502, "upstream_not_allowed", INTERNAL_ERROR, "The server may not be connected to"
    ),
    Reason.UPSTREAM_UNREACHABLE: Answer(
        502, "upstream_unreachable", INTERNAL_ERROR, "The server cannot be reached"
    ),
    Reason.UPSTREAM_TIMEOUT: Answer(
        504, "upstream_timeout", INTERNAL_ERROR, "The server did not answer in time"
    ),
    Reason.UPSTREAM_INTERRUPTED: Answer(
        502, "upstream_interrupted", INTERNAL_ERROR, "The server's answer was cut off"
    ),
    Reason.UPSTREAM_FAILING: Answer(503, "upstream_failing", INTERNAL_ERROR, "The server is not answering"),
    Reason.UPSTREAM_BUSY: Answer(
        503, "upstream_busy", INTERNAL_ERROR, "The server is busy", headers=_RETRY_SOON
    ),
    Reason.GATE_STOPPING: Answer(
        503, "stopping", INTERNAL_ERROR, "The gate is stopping", headers=_RETRY_SOON
    ),
    Reason.POLICY_CHANGED: Answer(
        503, "policy_changed", INTERNAL_ERROR, "The gate's policy has changed", headers=_RETRY_SOON
    ),
    Reason.KEYS_UNAVAILABLE: _UNAVAILABLE,
    Reason.ISSUER_UNAVAILABLE: _UNAVAILABLE,
    Reason.REPLAY_WINDOW_FULL: _UNAVAILABLE,
    Reason.CREDENTIAL_REFUSED: Answer(403, "access_denied", INVALID_REQUEST, "Access denied"),
    Reason.CREDENTIAL_UNAVAILABLE: _UNAVAILABLE,
    Reason.AUDIT_UNAVAILABLE: _UNAVAILABLE,
    Reason.INTERNAL_ERROR: Answer(500, "internal_error", INTERNAL_ERROR, "Internal error"),
}


async def refuse(verdict: Refusal, exchange: Exchange, send: Send) -> None:
    """Write ``verdict`` down and answer by the table; where it cannot be written, answer 503."""
    try:
        exchange.decide(verdict)
    except AuditUnavailable as error:
        logger.error("audit unavailable: %s", error)
        verdict = Broken(error.reason)
        exchange.is_decided = True
    if exchange.is_websocket:
        await send({"type": "websocket.close", "code": _POLICY_VIOLATION})
        return
    exchange.is_refused = True
    status, headers, body = answer_to(verdict, exchange)
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def admit(exchange: Exchange, send: Send) -> bool:
    """Write down that the request is allowed, and return whether that could be written.

    Where it could not, the request has been answered 503.
    """
    try:
        exchange.decide(Allow())
    except AuditUnavailable as error:
        await refuse(Broken(error.reason, str(error)), exchange, send)
        return False
    return True


def answer_to(verdict: Refusal, exchange: Exchange) -> tuple[int, Headers, bytes]:
    """Return status, headers and body of the answer to a request that was not allowed."""
    answer = ANSWERS[verdict.reason]
    told = getattr(verdict, "told", {})
    is_dpop = bool(exchange.proof_algorithms)
    if exchange.is_mcp and answer.code is not None:
        status, content = _json_rpc(answer, told, exchange)
    else:
        error = (is_dpop and answer.dpop_error) or answer.error
        status, content = answer.status, {"error": error, **told}
    body = write_json(content)
    headers: Headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"no-store"),
        (b"x-request-id", exchange.request_id.encode()),
        *answer.headers,
    ]
    if answer.challenge is not None:
        # All of them at once: some clients ask for what the challenge names and for nothing else.
        wider = verdict.scopes if isinstance(verdict, NeedsScopes) else ()
        scopes = tuple(dict.fromkeys((*exchange.required_scopes, *wider)))
        error = (is_dpop and answer.dpop_error) or answer.challenge
        headers.append((b"www-authenticate", _challenge(error, scopes, exchange)))
    if exchange.retry_after is not None:
        headers.append((b"retry-after", b"%d" % ceil(exchange.retry_after)))
    if exchange.dpop_nonce is not None:
        headers.append((b"dpop-nonce", exchange.dpop_nonce.encode("ascii")))
    return status, headers, body


def error_message(reason: Reason, exchange: Exchange, message_id: str | int | None) -> dict[str, Any]:
    """Return the JSON-RPC error that answers ``message_id``, tells of ``reason`` and names the request."""
    return {**_json_rpc(ANSWERS[reason], {}, exchange)[1], "id": message_id}


def relayed_refusal(exchange: Exchange) -> dict[str, Any]:
    """Return the JSON-RPC error for a request that the server refused in words that were not one.

    Its code is none of those by which a client knows a server of the 2026-07-28 era.
    """
    error = {
        "code": INVALID_REQUEST,
        "message": "The server refused the request",
        "data": {"requestId": exchange.request_id},
    }
    return {"jsonrpc": "2.0", "id": exchange.message_id, "error": error}


def _json_rpc(answer: Answer, told: Mapping[str, Any], exchange: Exchange) -> tuple[int, dict[str, Any]]:
    message = exchange.message
    modern = message is not None and message.is_modern
    status = answer.modern_status if modern and answer.modern_status is not None else answer.status
    text = answer.message
    if message is not None and message.target is not None and answer.code == INVALID_PARAMS:
        text = f"{text}: {message.target}"
    error: dict[str, Any] = {
        "code": answer.code,
        "message": text,
        "data": {**told, "requestId": exchange.request_id},
    }
    return status, {"jsonrpc": "2.0", "id": exchange.message_id, "error": error}


def _challenge(error: str, scopes: tuple[str, ...], exchange: Exchange) -> bytes:
    parameters: list[str] = []
    if error:
        parameters.append(f'error="{error}"')
    if scopes:
        parameters.append(f'scope="{" ".join(scopes)}"')
    if exchange.resource_metadata is not None:
        parameters.append(f'resource_metadata="{exchange.resource_metadata}"')
    if not exchange.proof_algorithms:
        return ("Bearer " + ", ".join(parameters)).rstrip().encode("ascii")
    parameters.append(f'algs="{" ".join(exchange.proof_algorithms)}"')
    return ("DPoP " + ", ".join(parameters)).encode("ascii")
