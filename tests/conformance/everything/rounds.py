"""Tools that need more than one round: they answer with questions, and are called again with the answers."""

import json
from typing import Any

from mcp.types import (
    CreateMessageResult,
    ElicitResult,
    InputRequest,
    InputRequiredResult,
    ListRootsRequest,
    ListRootsResult,
    TextContent,
)

from tests.conformance.everything.asking import form, prompt
from tests.conformance.everything.call import Call, Outcome, Tools, done, need

TOOLS = Tools()
_NAME = form("What is your name?", name={"type": "string"})
_CONFIRM = form("Please confirm", ok={"type": "boolean"})
_STEP_1 = form("Step 1: What is your name?", name={"type": "string"})
_STEP_2 = form("Step 2: What is your favorite color?", color={"type": "string"})


@TOOLS.add("test_input_required_result_elicitation", "Asks for a name and greets", modern_only=True)
async def _elicitation(call: Call) -> Outcome:
    answer = call.answers.get("user_name")
    if not isinstance(answer, ElicitResult):
        need(call.context, "elicitation")
        return InputRequiredResult(input_requests={"user_name": _NAME})
    return done(f"Hello, {_field(answer, 'name')}!")


@TOOLS.add("test_input_required_result_sampling", "Asks the client's model for a capital", modern_only=True)
async def _sampling(call: Call) -> Outcome:
    answer = call.answers.get("capital_question")
    if not isinstance(answer, CreateMessageResult):
        need(call.context, "sampling")
        question = prompt("What is the capital of France?", 100)
        return InputRequiredResult(input_requests={"capital_question": question})
    return done(answer.content if isinstance(answer.content, TextContent) else answer.content.type)


@TOOLS.add("test_input_required_result_list_roots", "Asks for the client's roots", modern_only=True)
async def _roots(call: Call) -> Outcome:
    answer = call.answers.get("client_roots")
    if not isinstance(answer, ListRootsResult):
        need(call.context, "roots")
        return InputRequiredResult(input_requests={"client_roots": ListRootsRequest()})
    return done("Roots: " + ", ".join(str(root.uri) for root in answer.roots))


@TOOLS.add(
    "test_input_required_result_request_state", "Wants its state back with the answer", modern_only=True
)
@TOOLS.add("test_input_required_result_tampered_state", "Notices a changed state", modern_only=True)
async def _state(call: Call) -> Outcome:
    """Answer only to the state that this tool gave out; a changed one is refused before it comes here."""
    if call.state != "asked" or not isinstance(call.answers.get("confirm"), ElicitResult):
        need(call.context, "elicitation")
        return InputRequiredResult(input_requests={"confirm": _CONFIRM}, request_state="asked")
    return done("state-ok")


@TOOLS.add("test_input_required_result_multiple_inputs", "Asks three things at once", modern_only=True)
async def _several(call: Call) -> Outcome:
    questions: dict[str, InputRequest] = {
        "user_name": _NAME,
        "greeting": prompt("Generate a greeting", 50),
        "client_roots": ListRootsRequest(),
    }
    if call.state != "asked" or not questions.keys() <= call.answers.keys():
        need(call.context, "elicitation")
        need(call.context, "sampling")
        need(call.context, "roots")
        return InputRequiredResult(input_requests=questions, request_state="asked")
    return done("All answers arrived.")


@TOOLS.add("test_input_required_result_multi_round", "Asks twice, one after the other", modern_only=True)
async def _twice(call: Call) -> Outcome:
    need(call.context, "elicitation")
    state: dict[str, Any] = {} if call.state is None else json.loads(call.state)
    name = state.get("name") or _field(call.answers.get("step1"), "name")
    if not state or name is None:
        return InputRequiredResult(input_requests={"step1": _STEP_1}, request_state=json.dumps({"round": 1}))
    color = _field(call.answers.get("step2"), "color")
    if color is None:
        kept = json.dumps({"round": 2, "name": name})
        return InputRequiredResult(input_requests={"step2": _STEP_2}, request_state=kept)
    return done(f"{name} likes {color}.")


@TOOLS.add(
    "test_input_required_result_capabilities",
    "Asks only what the client says it can answer",
    modern_only=True,
)
async def _capabilities(call: Call) -> Outcome:
    declared = call.context.session.client_capabilities
    questions: dict[str, InputRequest] = {}
    if declared is not None and declared.sampling is not None:
        questions["sample"] = prompt("Say hello", 50)
    if declared is not None and declared.elicitation is not None:
        questions["user_name"] = _NAME
    if call.answers.keys() & questions.keys():
        return done("Answered.")
    return InputRequiredResult(input_requests=questions or None, request_state="asked")


def _field(answer: object, name: str) -> object:
    """Return one field of a form that the user filled in."""
    return answer.content.get(name) if isinstance(answer, ElicitResult) and answer.content else None
