"""Tools that ask the client something: by a request on the stream in the legacy era."""

import json
from typing import Any

from mcp.shared.exceptions import MCPError
from mcp.shared.message import ServerMessageMetadata
from mcp.types import (
    CreateMessageRequest,
    CreateMessageRequestParams,
    CreateMessageResult,
    ElicitRequest,
    ElicitRequestFormParams,
    ElicitResult,
    InputRequiredResult,
    SamplingMessage,
    TextContent,
)

from tests.conformance.everything.call import Call, Outcome, Schema, Tools, done, failed, is_modern, need

TOOLS = Tools()


def form(message: str, /, **properties: Schema) -> ElicitRequest:
    """Return the request for a form whose fields are all required unless they have a default."""
    required = [name for name, schema in properties.items() if "default" not in schema]
    schema: dict[str, Any] = {"type": "object", "properties": properties}
    if required:
        schema["required"] = required
    return ElicitRequest(params=ElicitRequestFormParams(message=message, requested_schema=schema))


def prompt(text: str, max_tokens: int) -> CreateMessageRequest:
    """Return the request for a completion of ``text`` by the client's model."""
    message = SamplingMessage(role="user", content=TextContent(text=text))
    return CreateMessageRequest(params=CreateMessageRequestParams(messages=[message], max_tokens=max_tokens))


_DEFAULTS = form(
    "Please confirm who you are",
    name={"type": "string", "description": "Name", "default": "John Doe"},
    age={"type": "integer", "description": "Age", "default": 30},
    score={"type": "number", "description": "Score", "default": 95.5},
    status={
        "type": "string",
        "description": "Status",
        "enum": ["active", "inactive", "pending"],
        "default": "active",
    },
    verified={"type": "boolean", "description": "Verified", "default": True},
)
_ENUMS = form(
    "Please choose",
    untitledSingle={"type": "string", "enum": ["option1", "option2", "option3"]},
    titledSingle={
        "type": "string",
        "oneOf": [{"const": f"value{n}", "title": f"Option {n}"} for n in (1, 2, 3)],
    },
    legacyEnum={
        "type": "string",
        "enum": ["opt1", "opt2", "opt3"],
        "enumNames": ["Option One", "Option Two", "Option Three"],
    },
    untitledMulti={"type": "array", "items": {"type": "string", "enum": ["option1", "option2", "option3"]}},
    titledMulti={
        "type": "array",
        "items": {"anyOf": [{"const": f"value{n}", "title": f"Choice {n}"} for n in (1, 2, 3)]},
    },
)


@TOOLS.add(
    "test_sampling",
    "Asks the client's model",
    {"type": "object", "properties": {"prompt": {"type": "string"}}, "required": ["prompt"]},
)
async def _sampling(call: Call) -> Outcome:
    try:
        answer = await call.context.session.send_request(
            prompt(call.arguments["prompt"], 100), CreateMessageResult, metadata=_on_this_stream(call)
        )
    except MCPError as error:
        return failed(f"Sampling failed: {error}")
    text = answer.content.text if isinstance(answer.content, TextContent) else f"({answer.content.type})"
    return done(f"LLM response: {text}")


@TOOLS.add(
    "test_elicitation",
    "Asks the user for a name and an address",
    {"type": "object", "properties": {"message": {"type": "string"}}, "required": ["message"]},
)
async def _elicitation(call: Call) -> Outcome:
    question = form(
        call.arguments["message"],
        username={"type": "string", "description": "User's response"},
        email={"type": "string", "description": "User's email address"},
    )
    return await _ask(call, question, "User response")


@TOOLS.add("test_elicitation_sep1034_defaults", "Asks with a default for every kind of field")
async def _defaults(call: Call) -> Outcome:
    return await _ask(call, _DEFAULTS, "Elicitation completed")


@TOOLS.add("test_elicitation_sep1330_enums", "Asks with every form of choice")
async def _enums(call: Call) -> Outcome:
    return await _ask(call, _ENUMS, "Elicitation completed")


@TOOLS.add("test_streaming_elicitation", "Reports progress, then asks: in rounds where the era has them")
async def _streaming(call: Call) -> Outcome:
    question = form("What is your name?", name={"type": "string"})
    await call.context.session.report_progress(0, 1)
    if not is_modern(call.context):
        return await _ask(call, question, "Elicitation completed")
    answer = call.answers.get("user_name")
    if isinstance(answer, ElicitResult):
        return done(_told("Elicitation completed", answer))
    need(call.context, "elicitation")
    return InputRequiredResult(input_requests={"user_name": question})


async def _ask(call: Call, question: ElicitRequest, title: str) -> Outcome:
    try:
        answer = await call.context.session.send_request(
            question, ElicitResult, metadata=_on_this_stream(call)
        )
    except MCPError as error:
        return failed(f"Elicitation failed: {error}")
    return done(_told(title, answer))


def _told(title: str, answer: ElicitResult) -> str:
    return f"{title}: action={answer.action}, content={json.dumps(answer.content or {}, sort_keys=True)}"


def _on_this_stream(call: Call) -> ServerMessageMetadata:
    return ServerMessageMetadata(related_request_id=call.context.request_id)
