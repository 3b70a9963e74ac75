"""The prompts, and completion of their arguments."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from mcp.shared.exceptions import MCPError
from mcp.types import (
    INVALID_PARAMS,
    CompleteRequestParams,
    CompleteResult,
    Completion,
    ContentBlock,
    ElicitResult,
    EmbeddedResource,
    GetPromptRequestParams,
    GetPromptResult,
    InputRequiredResult,
    InputResponses,
    ListPromptsResult,
    PaginatedRequestParams,
    Prompt,
    PromptArgument,
    PromptMessage,
    PromptReference,
    TextContent,
    TextResourceContents,
)

from tests.conformance.everything.asking import form
from tests.conformance.everything.call import Context, is_modern, need
from tests.conformance.everything.content import IMAGE
from tests.conformance.everything.resources import TEMPLATE

_WORDS = ("park", "party", "paris", "test", "tester")


@dataclass(frozen=True)
class _Request:
    context: Context
    arguments: Mapping[str, str]
    answers: InputResponses


_Outcome = GetPromptResult | InputRequiredResult
_Fill = Callable[[_Request], Awaitable[_Outcome]]


@dataclass(frozen=True)
class _Fixture:
    prompt: Prompt
    fill: _Fill


_PROMPTS: dict[str, _Fixture] = {}


def _prompt(name: str, description: str, **arguments: str) -> Callable[[_Fill], _Fill]:
    def register(fill: _Fill) -> _Fill:
        listed = [
            PromptArgument(name=each, description=text, required=True) for each, text in arguments.items()
        ]
        _PROMPTS[name] = _Fixture(Prompt(name=name, description=description, arguments=listed), fill)
        return fill

    return register


async def list_prompts(context: Context, params: PaginatedRequestParams | None) -> ListPromptsResult:
    """Answer ``prompts/list``."""
    return ListPromptsResult(prompts=[fixture.prompt for fixture in _PROMPTS.values()])


async def get_prompt(context: Context, params: GetPromptRequestParams) -> _Outcome:
    """Answer ``prompts/get``."""
    fixture = _PROMPTS.get(params.name)
    if fixture is None:
        raise MCPError(INVALID_PARAMS, f"Unknown prompt: {params.name}")
    given = params.arguments or {}
    missing = [each.name for each in fixture.prompt.arguments or () if each.name not in given]
    if missing:
        raise MCPError(INVALID_PARAMS, f"Missing arguments: {', '.join(missing)}")
    return await fixture.fill(_Request(context, given, params.input_responses or {}))


async def complete(context: Context, params: CompleteRequestParams) -> CompleteResult:
    """Answer ``completion/complete`` with the words that begin as the argument does."""
    if isinstance(params.ref, PromptReference):
        fixture = _PROMPTS.get(params.ref.name)
        names = None if fixture is None else [each.name for each in fixture.prompt.arguments or ()]
    else:
        names = ["id"] if params.ref.uri == TEMPLATE else None
    if names is None or params.argument.name not in names:
        raise MCPError(INVALID_PARAMS, "Nothing to complete there")
    found = [word for word in _WORDS if word.startswith(params.argument.value)]
    return CompleteResult(completion=Completion(values=found, total=len(found), has_more=False))


@_prompt("test_simple_prompt", "A prompt without arguments")
async def _simple(request: _Request) -> _Outcome:
    return _messages("This is a simple prompt for testing.")


@_prompt("test_prompt_with_arguments", "A prompt that repeats its arguments", arg1="First", arg2="Second")
async def _arguments(request: _Request) -> _Outcome:
    given = request.arguments
    return _messages(f"Prompt with arguments: arg1='{given['arg1']}', arg2='{given['arg2']}'")


@_prompt(
    "test_prompt_with_embedded_resource", "A prompt around a resource", resourceUri="The resource to embed"
)
async def _embedded(request: _Request) -> _Outcome:
    resource = TextResourceContents(
        uri=request.arguments["resourceUri"],
        mime_type="text/plain",
        text="Embedded resource content for testing.",
    )
    return _messages(EmbeddedResource(resource=resource), "Please process the embedded resource above.")


@_prompt("test_prompt_with_image", "A prompt with an image")
async def _image(request: _Request) -> _Outcome:
    return _messages(IMAGE, "Please analyze the image above.")


@_prompt("test_input_required_result_prompt", "A prompt that first asks the user for context")
async def _asking(request: _Request) -> _Outcome:
    answer = request.answers.get("user_context")
    if isinstance(answer, ElicitResult):
        return _messages(f"Context: {(answer.content or {}).get('context')}")
    if not is_modern(request.context):
        return _messages("This protocol version cannot ask for context.")
    need(request.context, "elicitation")
    question = form("What context should the prompt use?", context={"type": "string"})
    return InputRequiredResult(input_requests={"user_context": question})


def _messages(*content: ContentBlock | str) -> GetPromptResult:
    blocks = [TextContent(text=each) if isinstance(each, str) else each for each in content]
    return GetPromptResult(messages=[PromptMessage(role="user", content=block) for block in blocks])
