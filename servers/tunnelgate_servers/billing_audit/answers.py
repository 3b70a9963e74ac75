"""Answering: the one place that everything passes on its way out, where the numbers of cards and accounts go.

It stands around all that the SDK and the tools answer: results as structured content and as text, resources,
and the sentences of errors.
"""

from typing import Any, Final, cast

import orjson
import pydantic_core
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.shared.exceptions import MCPError
from pydantic import BaseModel

from tunnelgate.reading.strict_json import is_array, is_object
from tunnelgate_servers.billing_audit.redaction import redacted

JSON: Final = "application/json"
"""The media type of the resources of this server."""


async def redact(ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
    """Pass a request on, and redact what is answered; a middleware of the SDK, to be the outermost."""
    try:
        answer = await call_next(ctx)
    except MCPError as error:
        said = error.error
        raise MCPError(said.code, redacted(said.message), _redacted(said.data)) from error
    if isinstance(answer, BaseModel):
        answer = answer.model_dump(by_alias=True, mode="json", exclude_none=True)
    return cast("dict[str, Any] | None", _redacted(answer))


def _redacted(value: Any) -> Any:
    if isinstance(value, str):
        return redacted(value)
    if is_array(value):
        return [_redacted(each) for each in value]
    if not is_object(value):
        return value
    shown = {key: _redacted(each) for key, each in value.items()}
    # In a text, a long amount would look like the number of an account: JSON is taken apart before.
    if "structuredContent" in value:
        text = _as_text(shown["structuredContent"])
        shown["content"] = [{**block, "text": text} for block in value["content"]]
    elif value.get("mimeType") == JSON and "text" in value:
        shown["text"] = _as_text(_redacted(orjson.loads(value["text"])))
    return shown


def _as_text(value: Any) -> str:
    return pydantic_core.to_json(value, indent=2).decode()
