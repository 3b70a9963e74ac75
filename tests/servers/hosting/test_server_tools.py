"""Tools on a real server: what they need, what they say when they refuse, and what they never say."""

import inspect
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mcp.server.mcpserver.resources import TextResource
from mcp.shared.exceptions import MCPError
from mcp.types import INVALID_REQUEST, METHOD_NOT_FOUND, ToolAnnotations

from tests.servers.hosting import sample
from tests.servers.hosting.raw_calls import Verbatim, Wire, ask, call
from tests.servers.hosting.sample import ADMIN, READ, SECRET, TOOLS, WRITE, notes, toolset
from tests.servers.hosting.sample import take as take_tool
from tests.servers.hosting.sample import whoami as whoami_tool
from tests.servers.serving import connected, own_check, sentence, served, structured, token
from tunnelgate_servers.hosting import (
    READING,
    Introduction,
    OptionsError,
    Tool,
    Toolset,
    mcp_application,
    mcp_server,
)

pytestmark = pytest.mark.anyio

ERAS = [pytest.param("2026-07-28", id="modern era"), pytest.param("legacy", id="legacy era")]
EVERYTHING = token(READ, WRITE, ADMIN)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with served(notes()) as base:
        yield base


@pytest.fixture(params=ERAS)
def era(request: pytest.FixtureRequest) -> Wire:
    spoken: Wire = request.param
    return spoken


async def said(url: str, era: Wire, name: str, arguments: Any) -> str:
    """Return what a call that is refused is told, without the name of the tool."""
    answer = await call(url, era, name, arguments, token=EVERYTHING)
    assert answer.status == 200, answer
    return answer.sentence.removeprefix(f"Error executing tool {name}: ")


async def test_the_tools_are_listed_in_their_order_with_all_that_a_model_needs(url: str, era: Wire) -> None:
    async with connected(url, era, EVERYTHING) as client:
        tools = (await client.list_tools()).tools

    assert [tool.name for tool in tools] == TOOLS
    take = tools[0]
    assert (take.title, take.description) == ("Take", "Take a line.\n\nUse it to try out arguments.")
    assert take.annotations == READING
    assert take.input_schema["additionalProperties"] is False
    assert take.input_schema["required"] == ["line"]
    assert take.input_schema["properties"]["limit"] == {
        "default": 10,
        "description": "How many.",
        "maximum": 20,
        "minimum": 1,
        "title": "Limit",
        "type": "integer",
    }
    assert take.output_schema is not None
    assert take.output_schema["description"] == "What was taken."
    assert take.output_schema["properties"]["line"]["description"] == "The line as it came."
    assert "context" not in tools[2].input_schema["properties"]
    assert tools[1].annotations is not None
    assert (tools[1].annotations.read_only_hint, tools[1].annotations.destructive_hint) == (False, False)


async def test_a_call_is_answered_as_data_and_as_text(url: str, era: Wire) -> None:
    async with connected(url, era, EVERYTHING) as client:
        result = await client.call_tool("take", {"line": "a", "limit": 2, "since": "2026-03-31"})

    content = structured(result)
    assert content == {"line": "a", "limit": 2, "since": "2026-03-31", "thread": content["thread"]}
    assert [json.loads(block.text) for block in result.content if block.type == "text"] == [content]


async def test_a_plain_function_does_not_hold_up_the_others_and_a_coroutine_runs_among_them(
    url: str, era: Wire
) -> None:
    async with connected(url, era, EVERYTHING) as client:
        plain = structured(await client.call_tool("take", {"line": "a"}))
        coroutine = structured(await client.call_tool("write", {"text": "a\r\nb"}))

    assert plain["thread"] != coroutine["thread"]
    assert coroutine["line"] == "a\nb"


@pytest.mark.parametrize(
    ("scopes", "tool", "arguments", "missing"),
    [
        pytest.param([], "take", {"line": "a"}, READ, id="no scope at all"),
        pytest.param([WRITE], "take", {"line": "a"}, READ, id="another scope"),
        pytest.param([READ], "write", {"text": "a"}, WRITE, id="one of two"),
        pytest.param([], "write", {"text": "a"}, f"{READ} {WRITE}", id="none of two, both named"),
        pytest.param([READ, WRITE], "choose", {"choices": []}, ADMIN, id="a tool that is on no allowlist"),
        pytest.param(["notes:*"], "take", {"line": "a"}, READ, id="a star"),
        pytest.param(["notes"], "take", {"line": "a"}, READ, id="the beginning of a scope"),
        pytest.param(["NOTES:READ"], "take", {"line": "a"}, READ, id="a scope in other letters"),
        pytest.param([], "take", {"nonsense": 1}, READ, id="before the arguments are looked at"),
    ],
)
@pytest.mark.promise("server-holds-alone")
async def test_a_call_without_the_scopes_is_told_which_are_missing(
    url: str, era: Wire, scopes: list[str], tool: str, arguments: dict[str, Any], missing: str
) -> None:
    async with connected(url, era, token(*scopes)) as client:
        result = await client.call_tool(tool, arguments)

    assert sentence(result) == f"This needs a token with the scope {missing}."


async def test_a_tool_that_needs_a_scope_stays_listed(url: str, era: Wire) -> None:
    async with connected(url, era, token(READ)) as client:
        assert [tool.name for tool in (await client.list_tools()).tools] == TOOLS


@pytest.mark.parametrize("name", ["TAKE", "x" * 5000, "__init__", "take/../write", "tools", "None"])
async def test_a_tool_that_does_not_exist_is_unknown(url: str, era: Wire, name: str) -> None:
    assert await said(url, era, name, {"line": "a"}) == f"Unknown tool: {name}"


@pytest.mark.parametrize(
    "params",
    [
        pytest.param({"name": None, "arguments": {}}, id="null for a name"),
        pytest.param({"name": 5, "arguments": {}}, id="a number for a name"),
        pytest.param({"name": ["take"], "arguments": {"line": "a"}}, id="a list with the name"),
        pytest.param({"name": {"name": "take"}, "arguments": {"line": "a"}}, id="an object with the name"),
        pytest.param({"arguments": {"line": "a"}}, id="no name"),
        pytest.param([], id="a list for the parameters"),
        pytest.param("take", id="a text for the parameters"),
    ],
)
async def test_a_call_of_no_tool_is_an_error_of_the_protocol(url: str, era: Wire, params: Any) -> None:
    answer = await ask(url, era, "tools/call", params, token=EVERYTHING)

    assert answer.status in (200, 400)
    assert answer.message["error"]["code"] in (-32600, -32602, -32020, -32700)


NOT_OBJECTS = [
    pytest.param([], id="an empty list"),
    pytest.param([{"line": "a"}], id="a list"),
    pytest.param("", id="an empty text"),
    pytest.param("line", id="a text"),
    pytest.param(0, id="nought"),
    pytest.param(5, id="a number"),
    pytest.param(False, id="false"),
    pytest.param(True, id="true"),
]


@pytest.mark.parametrize("tool", ["take", "refuse"])
@pytest.mark.parametrize("arguments", NOT_OBJECTS)
async def test_arguments_that_are_no_object_are_refused(
    url: str, era: Wire, tool: str, arguments: Any
) -> None:
    assert await said(url, era, tool, arguments) == "The arguments have to be an object."


@pytest.mark.parametrize("arguments", [..., None, {}], ids=["left out", "null", "an empty object"])
async def test_no_arguments_are_none_however_they_are_written(url: str, era: Wire, arguments: Any) -> None:
    assert await said(url, era, "refuse", arguments) == "There is no such note."
    assert await said(url, era, "take", arguments) == "line: field required."


UNKNOWN = "An argument has a name that is not known; the arguments are: "
OF_TAKE = f"{UNKNOWN}line, limit, since, until, note, tags, cursor."
BAD: list[Any] = [
    pytest.param("take", {"line": 5}, "line: input should be a valid string.", id="a number for a text"),
    pytest.param("take", {"line": None}, "line: input should be a valid string.", id="null for a text"),
    pytest.param("take", {"line": ["a"]}, "line: input should be a valid string.", id="a list for a text"),
    pytest.param(
        "take", {"line": "a", "limit": 0}, "limit: input should be greater than or equal to 1.", id="too few"
    ),
    pytest.param(
        "take", {"line": "a", "limit": 21}, "limit: input should be less than or equal to 20.", id="too many"
    ),
    pytest.param(
        "take",
        {"line": "a", "limit": 10**300},
        "limit: input should be less than or equal to 20.",
        id="a number of 301 digits",
    ),
    pytest.param(
        "take",
        {"line": "a", "limit": 1.5},
        "limit: input should be a valid integer, got a number with a fractional part.",
        id="a fraction",
    ),
    pytest.param(
        "take",
        {"line": "a", "limit": "many"},
        "limit: input should be a valid integer, unable to parse string as an integer.",
        id="a word for a number",
    ),
    pytest.param(
        "take",
        {"line": "a", "limit": None},
        "limit: input should be a valid integer.",
        id="null for a number",
    ),
    pytest.param("take", {"line": "a", "Limit": 1}, OF_TAKE, id="a name in other letters"),
    pytest.param("take", {"line": "a", "context": {}}, OF_TAKE, id="a name of Python's side"),
    pytest.param("take", {"line": "a", "\u202e\x00": 1}, OF_TAKE, id="a name that cannot be shown"),
    pytest.param("refuse", {"x": 1}, f"{UNKNOWN}none.", id="a name for a tool that takes nothing"),
    pytest.param("whoami", {"context": {}}, f"{UNKNOWN}none.", id="a context of the caller's own"),
    pytest.param("take", {"line": "a\x00b"}, "line: it holds a control character.", id="a NUL within a line"),
    pytest.param("take", {"line": "\u202ea"}, "line: it holds a control character.", id="a turned line"),
    pytest.param(
        "take",
        {"line": "x" * 1_000_000},
        "line: string should have at most 500 characters.",
        id="a line of a megabyte",
    ),
    pytest.param(
        "take",
        {"line": "a", "note": "x" * 501},
        "note: string should have at most 500 characters.",
        id="an optional line that is too long",
    ),
    pytest.param(
        "write",
        {"text": "x" * 1_000_000},
        "text: string should have at most 2000 characters.",
        id="paragraphs of a megabyte",
    ),
    pytest.param("write", {"text": "a\rb"}, "text: it holds a control character.", id="half a line end"),
    pytest.param(
        "take", {"line": "a", "since": "31.3.2026"}, "since: it is no date such as 2026-03-31.", id="no date"
    ),
    pytest.param(
        "take",
        {"line": "a", "since": "2026-03-31", "until": "2026-03-30"},
        "since is after until.",
        id="an end before the beginning",
    ),
    pytest.param(
        "take",
        {"line": "a", "cursor": "x" * 2001},
        "cursor: string should have at most 2000 characters.",
        id="a cursor without end",
    ),
    pytest.param(
        "take",
        {"line": "a", "tags": ["a", 5, "\x00"]},
        "tags.1: input should be a valid string; tags.2: it holds a control character.",
        id="entries of a list",
    ),
    pytest.param(
        "choose",
        {"choices": [{"kind": "evil-kind", "sizes": {"evil-size": -1}, "evil-name": 1}]},
        "choices.0: input should be 'small' or 'large'; "
        "choices.0: input should be greater than or equal to 0; "
        "choices.0: extra inputs are not permitted.",
        id="names that the caller chose",
    ),
    pytest.param(
        "choose",
        {"choices": []},
        "choices: list should have at least 1 item after validation, not 0.",
        id="an empty list",
    ),
    pytest.param("choose", {"choices": ["{"] * 9}, None, id="more faults than are named"),
]


@pytest.mark.parametrize(("tool", "arguments", "told"), BAD)
async def test_what_is_wrong_with_arguments_is_told_in_one_sentence(
    url: str, era: Wire, tool: str, arguments: Any, told: str | None
) -> None:
    answer = await said(url, era, tool, arguments)

    assert answer == told if told is not None else answer.count(";") == 4
    assert "evil" not in answer
    assert len(answer) < 500


async def test_half_of_a_character_is_no_text(url: str, era: Wire) -> None:
    answer = await call(url, era, "take", {"line": "\ud800"}, token=EVERYTHING)

    if era == "legacy":
        assert (answer.status, answer.message["error"]["code"]) == (400, -32700)
    else:
        assert answer.sentence.endswith(
            "line: input should be a valid string, unable to parse raw data as a unicode string."
        )


async def test_what_is_nested_is_no_text(url: str, era: Wire) -> None:
    nested: Any = "a"
    for _ in range(50):
        nested = [nested]

    assert await said(url, era, "take", {"line": nested}) == "line: input should be a valid string."


async def test_what_is_nested_without_end_is_no_message(url: str, era: Wire) -> None:
    answer = await call(url, era, "take", Verbatim("[" * 5000 + "]" * 5000), token=EVERYTHING)

    assert (answer.status, answer.message["error"]["code"]) == (400, -32700)
    assert "[[" not in answer.text


WORD = "qzjxkw"  # which must not come back
NAME = st.text(max_size=3).map(lambda text: text + WORD)
LEAF = (
    st.text(max_size=5).map(lambda text: text + WORD)
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from([WORD, True, False, None])
)
VALUE = st.recursive(
    LEAF, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAME, inner, max_size=3), max_leaves=6
)
CHOICE = st.dictionaries(st.sampled_from(["kind", "sizes"]) | NAME, VALUE, max_size=3)
ARGUMENTS = {
    **dict.fromkeys(("line", "limit", "since", "tags", "cursor", "text", "kind", "to"), VALUE),
    "choices": VALUE | st.lists(CHOICE, max_size=3),
}


@given(
    tool=st.sampled_from(["take", "write", "crash", "count", "choose"]),
    arguments=st.fixed_dictionaries({}, optional=ARGUMENTS) | st.lists(CHOICE).map(lambda x: {"choices": x}),
    unknown=st.just(dict[str, Any]()) | st.dictionaries(NAME, VALUE, max_size=2),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
async def test_no_sentence_about_arguments_repeats_anything_of_them(
    url: str, tool: str, arguments: dict[str, Any], unknown: dict[str, Any]
) -> None:
    names = inspect.signature(getattr(sample, tool)).parameters
    known = {name: value for name, value in arguments.items() if name in names}

    answer = await call(url, "2026-07-28", tool, {**known, **unknown}, token=EVERYTHING)

    assert answer.status == 200
    result = answer.message["result"]
    if result["isError"]:
        assert WORD not in answer.text
        assert answer.sentence.startswith(f"Error executing tool {tool}: ")
    else:
        assert not unknown


@pytest.mark.parametrize("kind", ["value", "key", "os", "deep"])
async def test_nothing_of_an_exception_that_nobody_thought_of_is_told(
    url: str, era: Wire, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    answer = await call(url, era, "crash", {"kind": kind}, token=EVERYTHING)

    assert answer.sentence == "Error executing tool crash"
    assert not any(word in answer.text for word in ("hunter2", "postgresql", "notes.conf", "Traceback"))
    assert any(record.levelno == logging.ERROR and record.exc_info for record in caplog.records)


@pytest.mark.parametrize("tool", ["refuse", "refuse_later"])
async def test_what_a_tool_refuses_on_purpose_is_told_and_is_no_error_in_the_log(
    url: str, era: Wire, tool: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert (await said(url, era, tool, {})).startswith("There is no such note")
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


async def test_data_that_cannot_be_read_is_told_without_the_reason_which_is_in_the_log(
    url: str, era: Wire, caplog: pytest.LogCaptureFixture
) -> None:
    answer = await call(url, era, "lose", {}, token=EVERYTHING)

    assert answer.sentence == "Error executing tool lose: The notes cannot be read at the moment."
    assert "hunter2" not in answer.text
    (record,) = [each for each in caplog.records if each.name == "tunnelgate_servers"]
    assert record.getMessage() == "A tool could not read what its answer is in"
    assert record.exc_info is not None
    assert record.exc_info[1] is not None
    assert SECRET in repr(record.exc_info[1].__cause__)


async def test_long_work_says_how_far_it_is(url: str, era: Wire) -> None:
    reported: list[tuple[float, float | None, str | None]] = []

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        reported.append((progress, total, message))

    async with connected(url, era, EVERYTHING) as client:
        result = await client.call_tool("count", {"to": 3}, progress_callback=hear)

    assert structured(result) == {"counted": 3}
    assert reported == [(number, 3, f"number {number}") for number in (1, 2, 3)]


async def test_who_does_not_ask_how_far_it_is_gets_the_result_alone(url: str) -> None:
    answer = await call(url, "2026-07-28", "count", {"to": 3}, token=EVERYTHING)

    assert answer.headers["content-type"] == "application/json"
    assert answer.message["result"]["structuredContent"] == {"counted": 3}


async def test_a_server_without_resources_has_none_whatever_is_asked(url: str, era: Wire) -> None:
    for method, params in (
        ("resources/list", {}),
        ("resources/templates/list", {}),
        ("resources/read", {"uri": "file:///etc/passwd"}),
    ):
        answer = await ask(url, era, method, params, token=EVERYTHING)
        assert answer.message["error"]["code"] == METHOD_NOT_FOUND


@pytest.mark.promise("server-holds-alone")
async def test_resources_need_scopes_of_their_own(era: Wire) -> None:
    tools = Toolset([Tool(take_tool, "Take", scopes=[READ], annotations=READING)], resources=[READ, ADMIN])
    server = mcp_server(Introduction("notes", "Notes", "Notes.", "Use take."), tools)
    server.add_resource(TextResource(uri="notes://1", name="note", text="A note."))
    app = mcp_application(server, check=own_check(), is_ready=lambda: None)
    with served(app) as base:
        async with connected(base, era, token(READ)) as client:
            for asked in (client.list_resources, lambda: client.read_resource("notes://1")):
                with pytest.raises(
                    MCPError, match=f"^This needs a token with the scope {ADMIN}.$"
                ) as refused:
                    await asked()
                assert refused.value.error.code == INVALID_REQUEST
        async with connected(base, era, EVERYTHING) as client:
            assert [str(each.uri) for each in (await client.list_resources()).resources] == ["notes://1"]
            (content,) = (await client.read_resource("notes://1")).contents

    assert getattr(content, "text", None) == "A note."


@pytest.mark.parametrize(
    ("tools", "told"),
    [
        pytest.param(
            [Tool(take_tool, "Take", scopes=[], annotations=READING)],
            "The tool take needs no scope, so that every token could call it.",
            id="a tool without a scope",
        ),
        pytest.param(
            [
                Tool(take_tool, "Take", scopes=[ADMIN], annotations=READING),
                Tool(whoami_tool, "Who", scopes=[READ], annotations=READING),
                Tool(take_tool, "Take", scopes=[READ], annotations=READING),
            ],
            "Two tools have the same name.",
            id="two tools of one name, whose scopes differ",
        ),
    ],
)
@pytest.mark.promise("server-holds-alone")
def test_tools_that_would_be_open_are_refused(tools: list[Tool], told: str) -> None:
    with pytest.raises(OptionsError) as refused:
        Toolset(tools)

    assert str(refused.value) == told


def test_the_annotations_of_a_tool_that_reads_say_that_it_is_harmless() -> None:
    assert ToolAnnotations(read_only_hint=True, idempotent_hint=True, open_world_hint=False) == READING
    assert [tool.name for tool in toolset().tools] == TOOLS
