"""Reads the errors of Anthropic's SDK into what they mean here."""

import re
from collections.abc import Mapping

import anthropic
import httpx2
from anthropic.lib.credentials import WorkloadIdentityError

from tunnelgate.reading.strict_json import is_object
from tunnelgate_app.administration.failures import Failure, Step

_CODE = re.compile("[a-z_]{1,64}")
_NOT_SENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.UnsupportedProtocol, httpx2.ProxyError)


def failure_of(step: Step, error: anthropic.AnthropicError, *, federated: bool) -> Failure:
    """Return why ``step`` failed; ``federated`` is whether the token came by an exchange."""
    match error:
        case anthropic.APIStatusError():
            return Failure(
                step,
                status=error.status_code,
                code=error.error_code,
                said=error.api_message if isinstance(error.api_message, str) else "",
                request_id=error.request_id,
                retry_after=_seconds(error.response.headers),
                federated=federated,
            )
        case WorkloadIdentityError():
            # An exchange may say in its answer what it was sent, so of that only the code is told.
            said = str(error) if error.status_code is None else _code(error.body)
            return Failure(
                step, status=error.status_code, said=said, request_id=error.request_id, exchange=True
            )
        case anthropic.APIConnectionError():
            return Failure(step, said=_cause(error), sent=not isinstance(error.__cause__, _NOT_SENT))
        case _:
            return Failure(step, said=str(error), exchange=True)


def _code(body: object) -> str:
    error = body.get("error") if is_object(body) else None
    code = error.get("type") if is_object(error) else error
    return code if isinstance(code, str) and _CODE.fullmatch(code) else ""


def _cause(error: anthropic.APIConnectionError) -> str:
    cause = error.__cause__
    return type(cause).__name__ if cause is not None and not str(cause) else str(cause or "")


def _seconds(headers: Mapping[str, str]) -> str | None:
    after = headers.get("retry-after", "")
    return after if after.isascii() and after.isdigit() else None
