"""What a decision says: a value, never an exception, and the closed list of reasons.

A verdict is truthy only when it allows::

    >>> bool(Allow()), bool(Deny(Reason.HOST_UNKNOWN))
    (True, False)

*Refused* and *broken* are different things.
:class:`Deny` says that the request may not pass; :class:`Broken` says that nobody could tell,
because something that we depend on is down.
Neither is ever forwarded.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal


class Reason(StrEnum):
    """Why a request was not forwarded; the only words that audit, metrics and tests use for it."""

    # Request hygiene
    HEADER_DUPLICATED = "header-duplicated"
    HEADER_LOOKALIKE = "header-lookalike"
    HEADERS_TOO_LARGE = "headers-too-large"
    HOST_MISSING = "host-missing"
    HOST_MALFORMED = "host-malformed"
    HTTP_VERSION_NOT_SUPPORTED = "http-version-not-supported"
    HTTP_METHOD_NOT_ALLOWED = "http-method-not-allowed"
    REQUEST_TARGET_MALFORMED = "request-target-malformed"
    FRAMING_AMBIGUOUS = "framing-ambiguous"
    CONNECTION_OPTION_NOT_ALLOWED = "connection-option-not-allowed"
    BODY_NOT_ALLOWED = "body-not-allowed"
    BODY_TOO_LARGE = "body-too-large"
    BODY_INCOMPLETE = "body-incomplete"
    WEBSOCKET_NOT_ALLOWED = "websocket-not-allowed"

    # Where it goes and where it comes from
    HOST_UNKNOWN = "host-unknown"
    SERVER_NAME_DIFFERS = "server-name-differs"
    PATH_NOT_SERVED = "path-not-served"
    PATH_IS_READ_ONLY = "path-is-read-only"
    CLIENT_ADDRESS_UNREADABLE = "client-address-unreadable"
    CLIENT_NOT_ALLOWED = "client-not-allowed"
    ORIGIN_NOT_ALLOWED = "origin-not-allowed"

    # Who asks
    TOKEN_MISSING = "token-missing"
    TOKEN_MALFORMED = "token-malformed"
    TOKEN_TYPE_WRONG = "token-type-wrong"
    TOKEN_ALGORITHM_NOT_ALLOWED = "token-algorithm-not-allowed"
    TOKEN_KEY_UNKNOWN = "token-key-unknown"
    TOKEN_SIGNATURE_WRONG = "token-signature-wrong"
    TOKEN_ISSUER_UNKNOWN = "token-issuer-unknown"
    TOKEN_AUDIENCE_WRONG = "token-audience-wrong"
    TOKEN_EXPIRED = "token-expired"
    TOKEN_NOT_YET_VALID = "token-not-yet-valid"
    TOKEN_LIFETIME_TOO_LONG = "token-lifetime-too-long"
    TOKEN_CLAIM_INVALID = "token-claim-invalid"
    TOKEN_INACTIVE = "token-inactive"
    TOKEN_BINDING_WRONG = "token-binding-wrong"
    PROOF_MISSING = "proof-missing"
    PROOF_MALFORMED = "proof-malformed"
    PROOF_WRONG = "proof-wrong"
    PROOF_REPLAYED = "proof-replayed"
    PROOF_NONCE_WRONG = "proof-nonce-wrong"
    USER_REQUIRED = "user-required"
    SCOPE_MISSING = "scope-missing"
    CLAIM_MISSING = "claim-missing"

    # What is asked for
    MEDIA_TYPE_NOT_ALLOWED = "media-type-not-allowed"
    CONTENT_ENCODING_NOT_ALLOWED = "content-encoding-not-allowed"
    BODY_NOT_JSON = "body-not-json"
    BODY_NOT_STRICT = "body-not-strict"
    MESSAGE_INVALID = "message-invalid"
    PARAMS_INVALID = "params-invalid"
    HEADER_MISMATCH = "header-mismatch"
    PROTOCOL_VERSION_NOT_SUPPORTED = "protocol-version-not-supported"
    CAPABILITY_MISSING = "capability-missing"
    STREAM_NOT_OFFERED = "stream-not-offered"
    METHOD_NOT_ALLOWED = "method-not-allowed"
    NOTIFICATION_NOT_ALLOWED = "notification-not-allowed"
    RESPONSE_NOT_EXPECTED = "response-not-expected"
    TOOL_NOT_ALLOWED = "tool-not-allowed"
    PROMPT_NOT_ALLOWED = "prompt-not-allowed"
    RESOURCE_NOT_ALLOWED = "resource-not-allowed"
    TASK_NOT_ALLOWED = "task-not-allowed"
    SESSION_UNKNOWN = "session-unknown"
    EVENT_UNKNOWN = "event-unknown"

    # What came back
    ANSWER_NOT_VALID = "answer-not-valid"
    ANSWER_TOO_LARGE = "answer-too-large"
    CALL_CANCELLED = "call-cancelled"

    # The way to what stands behind
    UPSTREAM_NOT_ALLOWED = "upstream-not-allowed"
    UPSTREAM_UNREACHABLE = "upstream-unreachable"
    UPSTREAM_TIMEOUT = "upstream-timeout"
    UPSTREAM_INTERRUPTED = "upstream-interrupted"
    UPSTREAM_FAILING = "upstream-failing"
    UPSTREAM_BUSY = "upstream-busy"
    GATE_STOPPING = "gate-stopping"
    POLICY_CHANGED = "policy-changed"

    # What we depend on
    KEYS_UNAVAILABLE = "keys-unavailable"
    ISSUER_UNAVAILABLE = "issuer-unavailable"
    REPLAY_WINDOW_FULL = "replay-window-full"
    CREDENTIAL_REFUSED = "credential-refused"
    CREDENTIAL_UNAVAILABLE = "credential-unavailable"
    AUDIT_UNAVAILABLE = "audit-unavailable"
    INTERNAL_ERROR = "internal-error"


@dataclass(frozen=True, slots=True)
class Allow:
    """The request may pass."""

    def __bool__(self) -> Literal[True]:
        return True


@dataclass(frozen=True, slots=True)
class NeedsScopes:
    """The caller is known and could come back with a wider token.

    ``scopes`` are all that the operation needs, so that one step-up is enough.
    """

    scopes: tuple[str, ...]

    def __bool__(self) -> Literal[False]:
        return False

    @property
    def reason(self) -> Reason:
        """The one reason that this verdict has."""
        return Reason.SCOPE_MISSING

    @property
    def detail(self) -> str:
        """The scopes, for the audit record."""
        return " ".join(self.scopes)


@dataclass(frozen=True, slots=True)
class Deny:
    """The request may not pass.

    ``detail`` is for the audit record alone.
    ``told`` holds the few facts that the answer names, such as the host that was asked for.
    """

    reason: Reason
    detail: str = ""
    told: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def __bool__(self) -> Literal[False]:
        return False


@dataclass(frozen=True, slots=True)
class Broken:
    """Nobody could tell whether the request may pass, so it does not."""

    reason: Reason
    detail: str = ""

    def __bool__(self) -> Literal[False]:
        return False


Refusal = NeedsScopes | Deny | Broken
Verdict = Allow | Refusal


def all_of(verdicts: Sequence[Verdict]) -> Verdict:
    """Return the verdict on what all of ``verdicts`` are about: a denial, or all scopes that lack."""
    denial = next((each for each in verdicts if isinstance(each, Deny)), None)
    if denial is not None:
        return denial
    scopes = [scope for each in verdicts if isinstance(each, NeedsScopes) for scope in each.scopes]
    return NeedsScopes(tuple(dict.fromkeys(scopes))) if scopes else Allow()
