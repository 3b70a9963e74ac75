import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunnelgate import Deny, Reason
from tunnelgate.catalogue import Names, Resources, list_tools
from tunnelgate.completions import read_completed
from tunnelgate.exchange import Principal
from tunnelgate.handles import UNASKED, Handles, Origin, Task
from tunnelgate.messages import MessageRules
from tunnelgate.reading.fault import Fault
from tunnelgate.reading.methods import LOG_LEVELS, MAX_HANDLE, Era
from tunnelgate.reading.uri_template import UriTemplate
from tunnelgate.requirements import Requirement
from tunnelgate.results import ResultRules
from tunnelgate.sealing import MIN_KEY, Sealer

SEALER = Sealer([b"k" * MIN_KEY])
ALICE = Principal("https://login.example.com/", "alice", "app", frozenset({"read"}), {"team": "support"})
BOB = Principal("https://login.example.com/", "bob", "app", frozenset(), {"team": "sales"})

SUPPORT = Requirement(claims={"team": ["support"]})
TOOLS = Names({"search": None, "draft": ["write"], "close": SUPPORT}, Reason.TOOL_NOT_ALLOWED)
PROMPTS = Names({"greet": None, "plan": ["write"], "escalate": SUPPORT}, Reason.PROMPT_NOT_ALLOWED)
RESOURCES = Resources(
    {"docs:///guide.md": None, "docs:///drafts/{name}": ["write"], "docs:///{id}/x": SUPPORT}
)
EVERYTHING = MessageRules(tools=TOOLS, prompts=PROMPTS, resources=RESOURCES, log_level="debug", tasks=True)
ONLY_TOOLS = MessageRules(tools=TOOLS)
ONLY_PROMPTS = MessageRules(prompts=PROMPTS)
ONLY_RESOURCES = MessageRules(resources=RESOURCES)

ERAS = [pytest.param(Era.LEGACY, id="legacy"), pytest.param(Era.MODERN, id="modern")]
CALL = Origin("tools/call", "search", 1)
TASK = Task("t1", "search")
RELATED = "io.modelcontextprotocol/related-task"
TASKS_EXTENSION = "io.modelcontextprotocol/tasks"

Members = dict[str, Any]


def _handles(principal: Principal | None = ALICE, session: bytes = b"s1") -> Handles:
    handles = Handles(SEALER, "docs", principal)
    if session:
        handles.session(session)
    return handles


def _results(
    origin: Origin = CALL,
    *,
    rules: MessageRules = EVERYTHING,
    principal: Principal | None = ALICE,
    era: Era = Era.LEGACY,
    tasks: Sequence[Task] = (),
) -> ResultRules:
    return ResultRules(rules, principal, _handles(principal), origin, era=era, tasks=tasks)


def _completing(template: str, name: str, **others: str) -> ResultRules:
    params = {"argument": {"name": name, "value": ""}, "context": {"arguments": others}}
    origin = Origin("completion/complete", template, 1)
    completed = read_completed(UriTemplate(template), params)
    return ResultRules(EVERYTHING, ALICE, _handles(), origin, era=Era.LEGACY, completed=completed)


def _about(method: str, target: str | None = None) -> Origin:
    return Origin(method, target, 1)


def _judged(results: ResultRules, message: Mapping[str, Any]) -> Any:
    """Return what a client gets of ``message``, which is ``None`` where it gets nothing."""
    judged = results.judge(orjson.dumps(message))
    return None if judged is None else orjson.loads(judged)


def _response(result: Members, message_id: Any = 1) -> Members:
    return {"jsonrpc": "2.0", "id": message_id, "result": result}


def _notification(method: str, params: Members | None = None) -> Members:
    return {"jsonrpc": "2.0", "method": method, **({} if params is None else {"params": params})}


def _request(method: str, params: Members | None = None, message_id: Any = 7) -> Members:
    return {**_notification(method, params), "id": message_id}


def _shown(results: ResultRules, message: Mapping[str, Any]) -> bytes:
    """Return what a client gets of ``message``, which is nothing where it is dropped or refused."""
    with suppress(Fault):
        return results.judge(orjson.dumps(message)) or b""
    return b""


def _refused(results: ResultRules, message: Mapping[str, Any]) -> str:
    """Return why nothing of ``message`` and of what would come after it is passed on."""
    with pytest.raises(Fault) as caught:
        results.judge(orjson.dumps(message))
    assert caught.value.reason == Reason.ANSWER_NOT_VALID
    return caught.value.detail


# Lists

LISTS = [
    pytest.param("tools/list", "tools", "name", ["search", "draft", "close"], id="tools"),
    pytest.param("prompts/list", "prompts", "name", ["greet", "plan", "escalate"], id="prompts"),
    pytest.param(
        "resources/list",
        "resources",
        "uri",
        ["docs:///guide.md", "docs:///drafts/one", "docs:///7/x"],
        id="resources",
    ),
    pytest.param(
        "resources/templates/list",
        "resourceTemplates",
        "uriTemplate",
        ["docs:///guide.md", "docs:///drafts/{name}", "docs:///{id}/x"],
        id="resource templates",
    ),
]
UNLISTED = ["drop", "Search", "search ", "", "docs:///secret.md", "docs:///drafts/../x", "docs:///{+path}"]


@pytest.mark.promise("listed-equals-callable")
@pytest.mark.parametrize(("method", "member", "name", "listed"), LISTS)
@pytest.mark.parametrize(
    ("principal", "seen"),
    [
        pytest.param(ALICE, [0, 1, 2], id="one whom all of it is meant for, also what needs a scope"),
        pytest.param(BOB, [0, 1], id="one without the claim of one entry"),
        pytest.param(None, [0, 1], id="nobody in particular"),
    ],
)
@pytest.mark.parametrize("era", ERAS)
def test_a_list_holds_what_exists_for_the_caller_as_it_came_and_in_its_order(
    method: str,
    member: str,
    name: str,
    listed: list[str],
    principal: Principal | None,
    seen: list[int],
    era: Era,
) -> None:
    entries = [
        {name: text, "title": text.upper(), "_meta": {"n": 1}} for text in [*UNLISTED[:3], *listed, *UNLISTED]
    ]
    results = _results(_about(method), principal=principal, era=era)

    judged = _judged(results, _response({member: entries, "nextCursor": "c2", "_meta": {"x": 1}}))

    cursor = judged["result"]["nextCursor"]
    assert _handles(principal).open_cursor(method, cursor) == "c2"
    assert judged["result"].pop("cacheScope", "private") == "private"
    assert judged == _response(
        {
            member: [each for each in entries if each[name] in {listed[position] for position in seen}],
            "nextCursor": cursor,
            "_meta": {"x": 1},
        }
    )


@pytest.mark.parametrize(("method", "member", "name", "listed"), LISTS)
@pytest.mark.parametrize("era", ERAS)
def test_a_page_on_which_nothing_is_left_keeps_its_cursor(
    method: str, member: str, name: str, listed: list[str], era: Era
) -> None:
    entries = [{name: text} for text in UNLISTED]

    judged = _judged(_results(_about(method), era=era), _response({member: entries, "nextCursor": ""}))

    assert listed
    assert judged["result"][member] == []
    assert _handles().open_cursor(method, judged["result"]["nextCursor"]) == ""


@pytest.mark.parametrize(("method", "member", "name", "listed"), LISTS)
@pytest.mark.parametrize("cursor", [7, 0, False, True, ["c2"], {"c": 2}, 1.5])
@pytest.mark.parametrize("era", ERAS)
def test_a_page_is_named_by_a_text(
    method: str, member: str, name: str, listed: list[str], cursor: Any, era: Era
) -> None:
    page = {member: [{name: text} for text in listed], "nextCursor": cursor}

    assert _refused(_results(_about(method), era=era), _response(page)) == "nextCursor is not a text"


@pytest.mark.parametrize("era", ERAS)
def test_the_last_page_may_say_so_with_null(era: Era) -> None:
    judged = _judged(_results(_about("tools/list"), era=era), _response({"tools": [], "nextCursor": None}))

    assert judged["result"]["nextCursor"] is None


@pytest.mark.parametrize("era", ERAS)
def test_a_page_whose_name_nobody_could_give_back_is_no_answer(era: Era) -> None:
    page: Members = {"tools": [], "nextCursor": "x" * MAX_HANDLE}

    assert _refused(_results(_about("tools/list"), era=era), _response(page)) == "an id that is too long"


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("origin", [CALL, _about("ping")], ids=["a call", "a ping"])
def test_what_is_no_list_has_no_pages_whatever_it_calls_so(origin: Origin, era: Era) -> None:
    message = _response({"nextCursor": "c2"})

    assert _judged(_results(origin, era=era), message) == message


@pytest.mark.parametrize("era", ERAS)
def test_where_every_tool_is_allowed_every_tool_is_listed(era: Era) -> None:
    rules = MessageRules(tools=list_tools("*", allow_all_tools=True))
    entries = [{"name": text} for text in UNLISTED if text]

    judged = _judged(_results(_about("tools/list"), rules=rules, era=era), _response({"tools": entries}))

    assert judged["result"]["tools"] == entries


NAMES = st.sampled_from(["search", "draft", "close", *UNLISTED]) | st.text(max_size=8)


@pytest.mark.promise("listed-equals-callable")
@given(names=st.lists(NAMES, max_size=8), principal=st.sampled_from([ALICE, BOB, None]))
def test_a_tool_is_in_the_list_exactly_if_a_call_of_it_is_not_denied(
    names: list[str], principal: Principal | None
) -> None:
    results = _results(_about("tools/list"), principal=principal)

    judged = _judged(results, _response({"tools": [{"name": name} for name in names]}))

    callable_ = [name for name in names if not isinstance(TOOLS.decide(name, principal), Deny)]
    assert [entry["name"] for entry in judged["result"]["tools"]] == callable_


@pytest.mark.promise("listed-equals-callable")
@pytest.mark.parametrize(("method", "member", "name", "listed"), LISTS)
@pytest.mark.parametrize(
    "origin",
    [
        pytest.param(CALL, id="a call"),
        pytest.param(_about("ping"), id="a ping"),
        pytest.param(_about("resources/read", "docs:///guide.md"), id="the reading of a resource"),
        pytest.param(_about("completion/complete", "greet"), id="a completion"),
        pytest.param(_about("initialize"), id="a greeting"),
    ],
)
def test_a_list_in_answer_to_a_request_that_had_the_same_id_shows_no_more_than_in_answer_to_its_own(
    method: str, member: str, name: str, listed: list[str], origin: Origin
) -> None:
    # A client may use an id twice in a session, and a server then may send either answer on either
    # stream, or the one after the other when a stream is gone on with.
    assert origin.method != method
    entries = [{name: "hidden"}, *({name: text} for text in listed)]
    said: Members = {"protocolVersion": "2025-11-25", "capabilities": {}}
    said = said if origin.method == "initialize" else {}

    shown = _shown(_results(origin), _response({member: entries, **said}))

    assert shown
    assert b"hidden" not in shown


@pytest.mark.promise("listed-equals-callable")
@pytest.mark.parametrize(("method", "member", "name", "listed"), LISTS)
def test_a_list_in_a_completion_of_a_template_shows_no_more_than_in_answer_to_its_own_request(
    method: str, member: str, name: str, listed: list[str]
) -> None:
    results = _completing("docs:///drafts/{name}", "name")
    entries = [{name: "hidden"}, *({name: text} for text in listed)]

    shown = _shown(results, _response({"completion": {"values": ["one"]}, member: entries}))

    assert method
    assert b"hidden" not in shown


@pytest.mark.promise("listed-equals-callable")
@pytest.mark.parametrize("origin", [CALL, _about("ping"), _about("tools/list")], ids=lambda o: o.method)
def test_a_completion_in_answer_to_a_request_that_had_the_same_id_proposes_nothing_unfiltered(
    origin: Origin,
) -> None:
    message = _response({"tools": [], "completion": {"values": ["hidden"]}})

    assert b"hidden" not in _shown(_results(origin), message)


@pytest.mark.parametrize("member", [each.values[1] for each in LISTS])
def test_what_a_listed_method_returns_is_nobodys_list(member: Any) -> None:
    rules = MessageRules(tools=TOOLS, methods=["example/x"])
    message = _response({member: [{"name": "hidden"}], "nextCursor": "c2"})

    assert _judged(_results(_about("example/x"), rules=rules), message) == message


# What a server says it can do

CAPABILITIES: Members = {
    "completions": {},
    "experimental": {"x": {}},
    "logging": {},
    "prompts": {"listChanged": True},
    "resources": {"subscribe": True},
    "tools": {"listChanged": True},
    "tasks": {"list": {}, "cancel": {}, "requests": {"tools": {"call": {}}}},
    "extensions": {TASKS_EXTENSION: {}, "com.example/x": {"y": 1}},
}
GREETINGS = [
    pytest.param("initialize", Era.LEGACY, {"protocolVersion": "2025-11-25"}, id="initialize"),
    pytest.param("server/discover", Era.MODERN, {"supportedVersions": ["2026-07-28"]}, id="server/discover"),
]


@pytest.mark.parametrize(("method", "era", "said"), GREETINGS)
@pytest.mark.parametrize(
    ("rules", "offered"),
    [
        pytest.param(
            EVERYTHING, {"completions", "logging", "prompts", "resources", "tools", "tasks"}, id="all"
        ),
        pytest.param(ONLY_TOOLS, {"tools"}, id="tools"),
        pytest.param(ONLY_PROMPTS, {"completions", "prompts"}, id="prompts"),
        pytest.param(ONLY_RESOURCES, {"completions", "resources"}, id="resources"),
        pytest.param(MessageRules(tools=TOOLS, log_level="error"), {"logging", "tools"}, id="log messages"),
        pytest.param(MessageRules(tools=TOOLS, tasks=True), {"tasks", "tools"}, id="tasks"),
        pytest.param(MessageRules(methods=["example/x"]), set[str](), id="a method that MCP does not have"),
    ],
)
def test_a_server_offers_what_the_policy_serves(
    method: str, era: Era, said: Members, rules: MessageRules, offered: set[str]
) -> None:
    results = _results(_about(method), rules=rules, era=era)

    judged = _judged(results, _response({**said, "capabilities": CAPABILITIES, "instructions": "x"}))

    capabilities = judged["result"]["capabilities"]
    assert set(capabilities) == offered | {"experimental", "extensions"}
    assert (TASKS_EXTENSION in capabilities["extensions"]) is rules.tasks
    assert capabilities["extensions"]["com.example/x"] == {"y": 1}
    for name in offered - {"tasks"}:
        assert capabilities[name] == CAPABILITIES[name]
    assert judged["result"]["instructions"] == "x"
    assert said.items() <= judged["result"].items()


@pytest.mark.parametrize(("method", "era", "said"), GREETINGS)
def test_no_server_offers_a_list_of_everybodys_tasks(method: str, era: Era, said: Members) -> None:
    judged = _judged(_results(_about(method), era=era), _response({**said, "capabilities": CAPABILITIES}))

    assert set(judged["result"]["capabilities"]["tasks"]) == {"cancel", "requests"}


@pytest.mark.parametrize(("method", "era", "said"), GREETINGS)
@pytest.mark.parametrize(
    "capabilities",
    [
        pytest.param({}, id="nothing"),
        pytest.param({"tasks": True, "extensions": None}, id="members that are no objects"),
    ],
)
def test_what_a_server_does_not_offer_is_not_made_up(
    method: str, era: Era, said: Members, capabilities: Members
) -> None:
    judged = _judged(_results(_about(method), era=era), _response({**said, "capabilities": capabilities}))

    assert judged["result"]["capabilities"] == capabilities


@pytest.mark.parametrize(("method", "era", "said"), GREETINGS)
@pytest.mark.parametrize(
    "result",
    [
        pytest.param({}, id="no capabilities"),
        pytest.param({"capabilities": None}, id="capabilities that are null"),
        pytest.param({"capabilities": ["tools"]}, id="a list of capabilities"),
    ],
)
def test_a_server_that_does_not_say_what_it_can_is_no_server_of_mcp(
    method: str, era: Era, said: Members, result: Members
) -> None:
    assert "capabilities" in _refused(_results(_about(method), era=era), _response({**said, **result}))


@pytest.mark.parametrize("version", ["2025-11-25", "2025-06-18", "2025-03-26"])
def test_initialize_agrees_on_a_version_that_is_spoken_here(version: str) -> None:
    message = _response({"protocolVersion": version, "capabilities": {}})

    assert _judged(_results(_about("initialize")), message) == message


@pytest.mark.parametrize(
    "version",
    [
        pytest.param({}, id="none"),
        pytest.param({"protocolVersion": "2024-11-05"}, id="an older one"),
        pytest.param({"protocolVersion": "2026-07-28"}, id="one without initialize"),
        pytest.param({"protocolVersion": "2099-01-01"}, id="a newer one"),
        pytest.param({"protocolVersion": 20251125}, id="a number"),
        pytest.param({"protocolVersion": ["2025-11-25"]}, id="a list"),
        pytest.param({"ProtocolVersion": "2025-11-25"}, id="one under another name"),
    ],
)
def test_initialize_agrees_on_no_other_version(version: Members) -> None:
    message = _response({**version, "capabilities": {}})

    assert _refused(_results(_about("initialize")), message)


def test_discovery_names_the_versions_that_are_spoken_on_both_sides() -> None:
    said = ["2099-01-01", "2026-07-28", 7, "2025-11-25", ["2025-11-25"], "2024-11-05"]
    results = _results(_about("server/discover"), era=Era.MODERN)

    judged = _judged(results, _response({"supportedVersions": said, "capabilities": {}}))

    assert judged["result"]["supportedVersions"] == ["2026-07-28", "2025-11-25"]


# Who may keep an answer

LIST_RESULTS: dict[str, Members] = {
    "tools/list": {"tools": []},
    "prompts/list": {"prompts": []},
    "resources/list": {"resources": []},
    "resources/templates/list": {"resourceTemplates": []},
    "resources/read": {"contents": []},
    "server/discover": {"capabilities": {}},
}


@pytest.mark.parametrize("method", LIST_RESULTS)
@pytest.mark.parametrize(
    "said",
    [
        pytest.param({"cacheScope": "public"}, id="said to be anybody's"),
        pytest.param({"cacheScope": "private"}, id="said to be the caller's"),
        pytest.param({"cacheScope": 7}, id="said to be something else"),
        pytest.param({}, id="of which nothing is said"),
        pytest.param({"resultType": "complete", "cacheScope": "public"}, id="said to be complete"),
    ],
)
def test_what_was_filtered_for_a_caller_may_be_kept_for_that_caller_only(method: str, said: Members) -> None:
    judged = _judged(
        _results(_about(method, "docs:///guide.md"), era=Era.MODERN),
        _response({**LIST_RESULTS[method], **said, "ttlMs": 1000}),
    )

    assert (judged["result"]["cacheScope"], judged["result"]["ttlMs"]) == ("private", 1000)


@pytest.mark.parametrize(
    ("origin", "era", "result"),
    [
        pytest.param(CALL, Era.MODERN, {"content": []}, id="a call"),
        pytest.param(_about("tools/list"), Era.LEGACY, {"tools": []}, id="a list in the legacy era"),
        pytest.param(
            _about("resources/read", "docs:///guide.md"),
            Era.MODERN,
            {"resultType": "input_required", "inputRequests": {}},
            id="a question in place of a resource",
        ),
    ],
)
def test_what_nobody_keeps_is_not_said_to_be_kept(origin: Origin, era: Era, result: Members) -> None:
    assert _judged(_results(origin, era=era), _response(result)) == _response(result)


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("origin", [CALL, _about("ping")], ids=["a call", "a ping"])
def test_no_result_is_anybodys(origin: Origin, era: Era) -> None:
    judged = _judged(_results(origin, era=era), _response({"cacheScope": "public"}))

    assert judged["result"] == {"cacheScope": "private"}


# Types of results

TYPES = ["complete", "input_required", "task", "other", 7, None]


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize(
    ("origin", "types"),
    [
        pytest.param(CALL, {"complete", "input_required", "task"}, id="tools/call"),
        pytest.param(_about("prompts/get", "greet"), {"complete", "input_required"}, id="prompts/get"),
        pytest.param(
            _about("resources/read", "docs:///guide.md"), {"complete", "input_required"}, id="resources/read"
        ),
        pytest.param(_about("tasks/get", "handle"), {"complete"}, id="tasks/get"),
        pytest.param(_about("completion/complete", "greet"), {"complete"}, id="completion/complete"),
        pytest.param(_about("subscriptions/listen"), {"complete"}, id="subscriptions/listen"),
        pytest.param(_about("example/x"), {*TYPES}, id="a method that MCP does not have"),
    ],
)
def test_in_the_modern_era_a_result_has_a_type_that_its_method_has(
    origin: Origin, types: set[Any], kind: Any
) -> None:
    rules = MessageRules(tools=TOOLS, methods=["example/x"], tasks=True)
    results, message = _results(origin, rules=rules, era=Era.MODERN), _response({"resultType": kind})

    if kind in types:
        judged = _judged(results, message)
        assert judged["result"]["resultType"] == kind
    else:
        assert "type" in _refused(results, message)


@pytest.mark.parametrize("method", LIST_RESULTS)
@pytest.mark.parametrize("kind", ["task", "other"])
def test_in_the_modern_era_a_list_is_complete(method: str, kind: str) -> None:
    results = _results(_about(method, "docs:///guide.md"), era=Era.MODERN)

    assert "type" in _refused(results, _response({**LIST_RESULTS[method], "resultType": kind}))


def test_without_tasks_no_result_is_one() -> None:
    results = _results(rules=ONLY_TOOLS, era=Era.MODERN)

    assert "type" in _refused(results, _response({"resultType": "task", "taskId": "t1"}))


@pytest.mark.parametrize("kind", TYPES)
def test_in_the_legacy_era_results_have_no_types(kind: Any) -> None:
    message = _response({"resultType": kind, "content": []})

    assert _judged(_results(), message) == message


# What a server wants to be told when the client asks again

ASKING_AGAIN = [
    pytest.param(CALL, id="a call"),
    pytest.param(_about("prompts/get", "greet"), id="a prompt"),
    pytest.param(_about("resources/read", "docs:///guide.md"), id="a resource"),
]


@pytest.mark.parametrize("origin", ASKING_AGAIN)
@pytest.mark.parametrize(
    "requests",
    [
        pytest.param({"a": {"method": "tasks/list"}}, id="what a request may not ask for"),
        pytest.param({"a": {"method": "Elicitation/Create"}}, id="a method in capitals"),
        pytest.param({"a": {"method": "roots/list"}, "b": {"method": "x"}}, id="one of two"),
        pytest.param({"a": {}}, id="no method"),
        pytest.param({"a": {"method": ["roots/list"]}}, id="a list of methods"),
        pytest.param({"a": 7}, id="a number"),
        pytest.param([], id="a list"),
    ],
)
def test_a_server_asks_in_a_result_for_no_more_than_in_a_request(origin: Origin, requests: Any) -> None:
    result: Members = {"resultType": "input_required", "inputRequests": requests}

    with pytest.raises(Fault) as caught:
        _judged(_results(origin, era=Era.MODERN), _response(result))
    assert caught.value.reason is Reason.ANSWER_NOT_VALID


@pytest.mark.parametrize("method", ["elicitation/create", "roots/list", "sampling/createMessage"])
def test_a_server_may_ask_in_a_result_for_what_clients_answer(method: str) -> None:
    result: Members = {"resultType": "input_required", "inputRequests": {"a": {"method": method}}}

    assert _judged(_results(CALL, era=Era.MODERN), _response(result))["result"] == result


@pytest.mark.parametrize("origin", ASKING_AGAIN)
@pytest.mark.parametrize("state", ["", "x", "é", "x" * 10_000])
def test_a_state_is_told_back_by_whom_it_was_given_to_with_what_was_asked(origin: Origin, state: str) -> None:
    result: Members = {
        "resultType": "input_required",
        "inputRequests": {"a": {"method": "elicitation/create"}},
        "requestState": state,
    }

    judged = _judged(_results(origin, era=Era.MODERN), _response(result))

    handle = judged["result"]["requestState"]
    assert judged["result"] == {**result, "requestState": handle}
    assert _handles().open_state(origin, handle) == state
    for others, other in (
        (_handles(BOB), origin),
        (_handles(None), origin),
        (_handles(), Origin(origin.method, "other", 1)),
        (_handles(), Origin("tools/call" if origin != CALL else "prompts/get", origin.target, 1)),
    ):
        with pytest.raises(Fault):
            others.open_state(other, handle)


@pytest.mark.parametrize("origin", ASKING_AGAIN)
@pytest.mark.parametrize("state", [7, None, True, ["x"], {"x": 1}])
def test_a_state_is_a_text(origin: Origin, state: Any) -> None:
    message = _response({"resultType": "input_required", "requestState": state})

    assert _refused(_results(origin, era=Era.MODERN), message) == "requestState is not a text"


@pytest.mark.parametrize(
    ("origin", "era"),
    [
        pytest.param(CALL, Era.LEGACY, id="a call in the legacy era"),
        pytest.param(_about("subscriptions/listen"), Era.MODERN, id="a subscription"),
    ],
)
def test_what_is_never_asked_again_has_no_state(origin: Origin, era: Era) -> None:
    message = _response({"requestState": 7})

    assert _judged(_results(origin, era=era), message) == message


@pytest.mark.parametrize(
    ("method", "member", "value", "lookalike"),
    [
        pytest.param("tools/list", "tools", [], {"NextCursor": "c2"}, id="the name of a page"),
        pytest.param("tools/call", "content", [], {"RequestState": "x"}, id="a state"),
        pytest.param(
            "completion/complete",
            "completion",
            {"values": []},
            {"Completion": {"values": ["x"]}},
            id="a completion",
        ),
    ],
)
@pytest.mark.parametrize("era", ERAS)
def test_what_is_sealed_or_filtered_is_not_said_once_more_to_who_folds_case(
    method: str, member: str, value: Any, lookalike: Members, era: Era
) -> None:
    results = _results(_about(method, "search"), era=era)

    assert _refused(results, _response({member: value, **lookalike}))


# Responses


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize(
    "second",
    [
        pytest.param(_response({"content": []}), id="the same again"),
        pytest.param({"jsonrpc": "2.0", "id": 1, "error": {"code": -1, "message": "x"}}, id="an error"),
        pytest.param(
            {"jsonrpc": "2.0", "id": None, "error": {"code": -1, "message": "x"}}, id="one for nobody"
        ),
    ],
)
def test_a_request_has_one_response(second: Members, era: Era) -> None:
    results = _results(era=era)

    assert _judged(results, _response({"content": []})) == _response({"content": []})
    assert _refused(results, second) == "a second response to one request"


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("message_id", [1, "a", "", 0, -1])
def test_an_error_that_names_no_request_names_the_one_that_it_answers(message_id: Any, era: Era) -> None:
    error = {"code": -32700, "message": "x", "data": {"y": 1}}
    unnamed: list[Members] = [
        {"jsonrpc": "2.0", "id": None, "error": error},
        {"jsonrpc": "2.0", "error": error},
    ]

    judged = [_judged(_results(Origin("ping", None, message_id), era=era), each) for each in unnamed]

    assert judged == [{"jsonrpc": "2.0", "id": message_id, "error": error}] * 2


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("origin", [CALL, _about("tools/list"), _about("initialize")], ids=lambda o: o.method)
def test_an_error_is_passed_on_whatever_it_answers(origin: Origin, era: Era) -> None:
    error: Members = {"code": -32602, "message": "x", "data": {"tools": []}}
    message: Members = {"jsonrpc": "2.0", "id": 1, "error": error}

    assert _judged(_results(origin, era=era), message) == message


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(_response({}), id="a result"),
        pytest.param({"jsonrpc": "2.0", "id": 1, "error": {"code": 1, "message": "x"}}, id="an error"),
    ],
)
def test_a_stream_that_answers_nothing_has_no_response(message: Members) -> None:
    assert _refused(_results(UNASKED), message) == "a response to nothing that was asked"


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(_notification("notifications/progress", {"progress": 1}), id="a notification"),
        pytest.param(_notification("notifications/unheard-of"), id="a notification that nobody gets"),
        pytest.param(_request("ping"), id="a question of the server"),
    ],
)
def test_a_whole_body_is_a_response(message: Members) -> None:
    with pytest.raises(Fault, match="a message that answers nothing"):
        _results().judge_alone(orjson.dumps(message))


def test_a_response_may_be_a_whole_body() -> None:
    assert _results().judge_alone(orjson.dumps(_response({}))) == orjson.dumps(_response({}))


@pytest.mark.parametrize(
    "result",
    [
        pytest.param({"cacheScope": "private", "CacheScope": "public"}, id="who may keep it"),
        pytest.param({"resultType": "complete", "ResultType": "input_required"}, id="what type it has"),
    ],
)
def test_a_result_does_not_say_the_opposite_to_who_folds_case(result: Members) -> None:
    results = _results(_about("resources/read", "docs:///guide.md"), era=Era.MODERN)

    assert _refused(results, _response({"contents": [], **result}))


# Notifications

LEGACY_ONLY, MODERN_ONLY, BOTH = {Era.LEGACY}, {Era.MODERN}, {Era.LEGACY, Era.MODERN}


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize(
    ("method", "eras"),
    [
        pytest.param("notifications/progress", BOTH, id="progress"),
        pytest.param("notifications/tools/list_changed", BOTH, id="a change of the tools"),
        pytest.param("notifications/prompts/list_changed", BOTH, id="a change of the prompts"),
        pytest.param("notifications/resources/list_changed", BOTH, id="a change of the resources"),
        pytest.param("notifications/elicitation/complete", LEGACY_ONLY, id="the end of an elicitation"),
        pytest.param("notifications/subscriptions/acknowledged", MODERN_ONLY, id="a subscription"),
        pytest.param("notifications/initialized", set[Era](), id="what only a client says"),
        pytest.param("notifications/roots/list_changed", set[Era](), id="what else only a client says"),
        pytest.param("notifications/unheard-of", set[Era](), id="what MCP does not have"),
        pytest.param("Notifications/Progress", set[Era](), id="progress in capitals"),
        pytest.param("tools/list", set[Era](), id="a request without an id"),
        pytest.param("", set[Era](), id="nothing"),
    ],
)
def test_a_notification_belongs_to_its_era(method: str, eras: set[Era], era: Era) -> None:
    message = _notification(method, {"x": 1, "notifications": {}})

    assert _judged(_results(era=era), message) == (message if era in eras else None)


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize(
    ("rules", "about"),
    [
        pytest.param(ONLY_TOOLS, {"tools"}, id="tools"),
        pytest.param(ONLY_PROMPTS, {"prompts"}, id="prompts"),
        pytest.param(ONLY_RESOURCES, {"resources"}, id="resources"),
    ],
)
def test_a_change_is_told_of_lists_that_are_served(rules: MessageRules, about: set[str], era: Era) -> None:
    judged = {
        area: _judged(_results(rules=rules, era=era), _notification(f"notifications/{area}/list_changed"))
        for area in ("tools", "prompts", "resources")
    }

    assert {area for area, message in judged.items() if message is not None} == about


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("origin", [CALL, UNASKED], ids=["on the stream of a call", "unasked"])
@pytest.mark.parametrize(
    ("uri", "principal", "is_told"),
    [
        pytest.param("docs:///guide.md", ALICE, True, id="a listed resource"),
        pytest.param("docs:///drafts/one", ALICE, True, id="one that needs a scope, which is listed too"),
        pytest.param("docs:///7/x", ALICE, True, id="one that is meant for the caller"),
        pytest.param("docs:///7/x", BOB, False, id="one that is meant for another"),
        pytest.param("docs:///secret.md", ALICE, False, id="one that is not listed"),
        pytest.param("docs:///drafts/../secret.md", ALICE, False, id="one that could be another place"),
        pytest.param(7, ALICE, False, id="a number"),
        pytest.param(None, ALICE, False, id="nothing"),
    ],
)
def test_of_a_resource_that_changed_hears_who_may_see_it(
    uri: Any,
    principal: Principal,
    is_told: bool,  # noqa: FBT001
    origin: Origin,
    era: Era,
) -> None:
    message = _notification("notifications/resources/updated", {"uri": uri})

    judged = _judged(_results(origin, principal=principal, era=era), message)

    assert judged == (message if is_told else None)


@pytest.mark.parametrize("era", ERAS)
def test_a_resource_that_changed_has_one_name_also_for_who_folds_case(era: Era) -> None:
    params = {"uri": "docs:///guide.md", "URI": "docs:///secret.md"}

    shown = _shown(_results(era=era), _notification("notifications/resources/updated", params))

    assert b"secret" not in shown


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("least", [None, *LOG_LEVELS])
def test_log_messages_are_told_from_the_level_that_the_policy_allows(least: str | None, era: Era) -> None:
    rules = MessageRules(tools=TOOLS, log_level=least)
    messages = [_notification("notifications/message", {"level": level, "data": "x"}) for level in LOG_LEVELS]

    told = [each for each in messages if _judged(_results(rules=rules, era=era), each) is not None]

    assert told == ([] if least is None else messages[LOG_LEVELS.index(least) :])


@pytest.mark.parametrize(
    "params", [{}, {"level": "Error"}, {"level": 3}, {"level": ["error"]}, {"level": None}]
)
def test_a_log_message_without_a_level_is_told_to_nobody(params: Members) -> None:
    assert _judged(_results(), _notification("notifications/message", params)) is None


def test_what_is_not_passed_on_is_logged_by_its_name_alone(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "tunnelgate"):
        _judged(_results(), _notification("notifications/" + "x" * 200, {"secret": 1}))

    (record,) = caplog.records
    assert record.levelno == logging.DEBUG
    assert "notifications/xxx" in record.getMessage()
    assert "secret" not in record.getMessage()
    assert len(record.getMessage()) < 150


@pytest.mark.parametrize("era", ERAS)
def test_a_notification_that_is_listed_by_its_name_is_passed_on(era: Era) -> None:
    rules = MessageRules(methods=["notifications/example"])
    message = _notification("notifications/example", {"x": 1})

    assert _judged(_results(rules=rules, era=era), message) == message


# Requests of a server


@pytest.mark.parametrize(
    "method", ["elicitation/create", "ping", "roots/list", "sampling/createMessage", "tasks/get"]
)
@pytest.mark.parametrize("message_id", [7, "seven", 0, ""])
def test_a_request_of_a_server_has_an_id_that_only_its_client_can_answer(
    method: str, message_id: Any
) -> None:
    message = _request(method, {"x": 1}, message_id)

    judged = _judged(_results(), message)

    handle = judged["id"]
    assert judged == {**message, "id": handle}
    assert handle != message_id
    assert _handles().open_request(handle) == message_id
    for other in (_handles(BOB), _handles(session=b"s2")):
        with pytest.raises(Fault):
            other.open_request(handle)


@pytest.mark.parametrize("origin", [CALL, UNASKED], ids=["on the stream of a call", "unasked"])
@pytest.mark.parametrize("message_id", [7, "seven"])
def test_a_server_cancels_the_request_that_its_client_knows(origin: Origin, message_id: Any) -> None:
    asked = _judged(_results(), _request("elicitation/create", {}, message_id))

    cancelled = _judged(
        _results(origin),
        _notification("notifications/cancelled", {"requestId": message_id, "reason": "x"}),
    )

    assert cancelled["params"] == {"requestId": asked["id"], "reason": "x"}


@pytest.mark.parametrize("params", [{}, {"requestId": None}, {"requestId": 1.5}, {"requestId": [7]}])
def test_a_server_cannot_cancel_what_has_no_id(params: Members) -> None:
    assert _judged(_results(), _notification("notifications/cancelled", params)) is None


def test_in_the_modern_era_a_server_ends_a_subscription_by_the_id_of_the_client() -> None:
    message = _notification("notifications/cancelled", {"requestId": 1})

    assert _judged(_results(_about("subscriptions/listen"), era=Era.MODERN), message) == message


@pytest.mark.parametrize(
    ("method", "era", "rules"),
    [
        pytest.param("elicitation/create", Era.MODERN, EVERYTHING, id="in the modern era"),
        pytest.param("ping", Era.MODERN, EVERYTHING, id="a ping in the modern era"),
        pytest.param("tools/call", Era.LEGACY, EVERYTHING, id="what only a client asks"),
        pytest.param("example/x", Era.LEGACY, EVERYTHING, id="what MCP does not have"),
        pytest.param("tasks/get", Era.LEGACY, ONLY_TOOLS, id="about a task, without tasks"),
        pytest.param("Ping", Era.LEGACY, EVERYTHING, id="a ping in capitals"),
    ],
)
def test_a_server_asks_nothing_else(method: str, era: Era, rules: MessageRules) -> None:
    assert method in _refused(_results(rules=rules, era=era), _request(method))


@pytest.mark.parametrize("era", ERAS)
def test_a_request_that_is_listed_by_its_name_is_passed_on(era: Era) -> None:
    results = _results(rules=MessageRules(methods=["example/ask"]), era=era)

    assert _handles().open_request(_judged(results, _request("example/ask"))["id"]) == 7


def test_a_request_with_an_id_that_no_client_could_give_back_is_refused() -> None:
    assert _refused(_results(), _request("ping", {}, "x" * 256)) == "an id that is too long"


# Tasks

HANDLE = _handles().task(TASK)


def _held(method: str, **more: Any) -> ResultRules:
    return _results(Origin(method, HANDLE, 1), tasks=[TASK], **more)


def test_a_call_that_goes_on_as_a_task_names_it_by_its_handle_in_the_legacy_era() -> None:
    judged = _judged(_results(), _response({"task": {"taskId": "t1", "status": "working"}}))

    assert judged["result"] == {"task": {"taskId": HANDLE, "status": "working"}}


def test_a_call_that_goes_on_as_a_task_names_it_by_its_handle_in_the_modern_era() -> None:
    result = {"resultType": "task", "taskId": "t1", "status": "working"}

    judged = _judged(_results(era=Era.MODERN), _response(result))

    assert judged["result"] == {**result, "taskId": HANDLE}


@pytest.mark.parametrize("principal", [ALICE, BOB, None])
def test_a_task_belongs_to_whoever_began_it_and_to_the_tool_that_was_called(
    principal: Principal | None,
) -> None:
    results = _results(Origin("tools/call", "draft", 1), principal=principal)

    handle = _judged(results, _response({"task": {"taskId": "t1"}}))["result"]["task"]["taskId"]

    assert _handles(principal, b"s2").open_task(handle) == Task("t1", "draft")
    for other in {ALICE.subject: ALICE, BOB.subject: BOB, "": None}.values():
        if other is not principal:
            with pytest.raises(Fault):
                _handles(other).open_task(handle)


@pytest.mark.parametrize(
    ("method", "era"),
    [
        pytest.param("tasks/get", Era.LEGACY, id="asking for it, legacy"),
        pytest.param("tasks/get", Era.MODERN, id="asking for it, modern"),
        pytest.param("tasks/cancel", Era.LEGACY, id="cancelling it, legacy"),
        pytest.param("tasks/cancel", Era.MODERN, id="cancelling it, modern"),
    ],
)
def test_a_task_that_was_asked_about_is_named_by_its_handle(method: str, era: Era) -> None:
    judged = _judged(_held(method, era=era), _response({"taskId": "t1", "status": "working"}))

    assert judged["result"] == {"taskId": HANDLE, "status": "working"}


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("task_id", ["t2", HANDLE, "", 1, None, ["t1"]])
def test_an_answer_about_another_task_is_no_answer(task_id: Any, era: Era) -> None:
    assert "another task" in _refused(_held("tasks/get", era=era), _response({"taskId": task_id}))


@pytest.mark.parametrize("task", [{"taskId": 7}, {"taskId": None}, {"taskId": "x" * 4096}])
def test_a_task_whose_name_nobody_could_use_is_no_answer(task: Members) -> None:
    assert _refused(_results(), _response({"task": task}))


@pytest.mark.parametrize(
    "result",
    [
        pytest.param({"content": []}, id="a result at once"),
        pytest.param({"task": "t1"}, id="a member of that name that is no task"),
        pytest.param({"task": {"status": "working"}}, id="a task without a name"),
    ],
)
def test_a_result_that_names_no_task_is_passed_on(result: Members) -> None:
    assert _judged(_results(), _response(result)) == _response(result)


def test_the_result_of_a_task_is_said_to_be_about_its_handle() -> None:
    message = _response({"content": [], "_meta": {RELATED: {"taskId": "t1", "x": 1}, "y": 2}})

    judged = _judged(_held("tasks/result"), message)

    assert judged["result"] == {"content": [], "_meta": {RELATED: {"taskId": HANDLE}, "y": 2}}


@pytest.mark.parametrize(
    "related",
    [
        pytest.param({"taskId": "t2"}, id="another task"),
        pytest.param({"taskId": 7}, id="a number"),
        pytest.param({}, id="nothing"),
        pytest.param("t1", id="a text"),
        pytest.param(None, id="null"),
    ],
)
@pytest.mark.parametrize("method", ["notifications/progress", "elicitation/create"])
def test_a_message_about_another_task_is_not_said_to_be_about_one(method: str, related: Any) -> None:
    message = _notification(method, {"progress": 1, "_meta": {RELATED: related, "y": 2}})
    if method == "elicitation/create":
        message["id"] = 7

    judged = _judged(_held("tasks/result"), message)

    assert judged["params"] == {"progress": 1, "_meta": {"y": 2}}


def test_a_question_about_a_task_is_said_to_be_about_its_handle() -> None:
    message = _request("elicitation/create", {"_meta": {RELATED: {"taskId": "t1"}}})

    judged = _judged(_held("tasks/result"), message)

    assert judged["params"]["_meta"] == {RELATED: {"taskId": HANDLE}}


def test_without_tasks_nothing_is_about_one() -> None:
    message = _response({"content": [], "_meta": {RELATED: {"taskId": "t1"}}})

    judged = _judged(_results(rules=ONLY_TOOLS), message)

    assert judged["result"] == {"content": [], "_meta": {}}


STATUS = [
    pytest.param("notifications/tasks/status", Era.LEGACY, id="legacy"),
    pytest.param("notifications/tasks", Era.MODERN, id="modern"),
]


@pytest.mark.parametrize(("method", "era"), STATUS)
def test_the_state_of_a_task_is_told_by_its_handle(method: str, era: Era) -> None:
    message = _notification(method, {"taskId": "t1", "status": "completed"})

    judged = _judged(_held("tasks/get", era=era), message)

    assert judged["params"] == {"taskId": HANDLE, "status": "completed"}


@pytest.mark.parametrize(("method", "era"), STATUS)
@pytest.mark.parametrize("task_id", ["t2", HANDLE, 7, None])
def test_the_state_of_another_task_is_told_to_nobody(method: str, era: Era, task_id: Any) -> None:
    message = _notification(method, {"taskId": task_id, "status": "completed"})

    assert _judged(_held("tasks/get", era=era), message) is None


@pytest.mark.parametrize(("method", "era"), STATUS)
@pytest.mark.parametrize("origin", [CALL, UNASKED], ids=["on the stream of a call", "unasked"])
def test_the_state_of_a_task_that_somebody_else_began_gives_nobody_a_handle(
    method: str, era: Era, origin: Origin
) -> None:
    # A server that does not know its callers tells all of them.
    message = _notification(method, {"taskId": "somebody else's", "status": "working"})

    assert _judged(_results(origin, era=era), message) is None


@pytest.mark.parametrize("method", ["notifications/progress", "notifications/message"])
def test_a_notification_on_the_stream_of_a_call_gives_no_handle_of_a_task_that_somebody_else_began(
    method: str,
) -> None:
    message = _notification(method, {"level": "error", "_meta": {RELATED: {"taskId": "somebody else's"}}})

    assert _judged(_results(), message)["params"] == {"level": "error", "_meta": {}}


@pytest.mark.parametrize("method", ["notifications/tasks/status", "notifications/tasks"])
def test_the_state_of_a_task_is_told_in_the_words_of_the_era(method: str) -> None:
    era = Era.MODERN if method.endswith("status") else Era.LEGACY

    assert _judged(_held("tasks/get", era=era), _notification(method, {"taskId": "t1"})) is None


# Subscriptions


def _acknowledged(notifications: Any) -> Members:
    return _notification("notifications/subscriptions/acknowledged", {"notifications": notifications})


def test_a_subscription_to_tasks_is_acknowledged_by_their_handles() -> None:
    tasks = [TASK, Task("t2", "draft")]
    results = _results(_about("subscriptions/listen"), era=Era.MODERN, tasks=tasks)

    judged = _judged(results, _acknowledged({"taskIds": ["t2", "t3", 7, "t1"], "toolsListChanged": True}))

    assert judged["params"]["notifications"] == {
        "taskIds": [_handles().task(tasks[1]), HANDLE],
        "toolsListChanged": True,
    }


@pytest.mark.parametrize(
    "notifications",
    [{}, {"toolsListChanged": True, "promptsListChanged": False, "resourcesListChanged": True}],
    ids=["nothing", "changes of lists"],
)
def test_a_subscription_to_nothing_in_particular_is_acknowledged_as_it_is(notifications: Members) -> None:
    message = _acknowledged(notifications)

    assert _judged(_results(_about("subscriptions/listen"), era=Era.MODERN), message) == message


@pytest.mark.parametrize("notifications", [None, [], "toolsListChanged", 7, True])
def test_what_acknowledges_no_filter_acknowledges_nothing(notifications: Any) -> None:
    results = _results(_about("subscriptions/listen"), era=Era.MODERN)

    assert _refused(results, _acknowledged(notifications)) == "notifications is not a filter"


def test_of_an_acknowledged_filter_the_members_that_are_known_are_told() -> None:
    told = {"toolsListChanged": True, "resourceSubscriptions": ["docs:///guide.md"], "taskIds": [HANDLE]}
    said = {**told, "taskIds": ["t1"], "uris": ["docs:///secret.md"], "ToolsListChanged": True, "x": 1}
    results = _results(_about("subscriptions/listen"), era=Era.MODERN, tasks=[TASK])

    judged = _judged(results, _acknowledged(said))

    assert judged["params"]["notifications"] == told


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("hidden", id="a text"),
        pytest.param({"0": "hidden"}, id="an object"),
        pytest.param({"hidden": True}, id="an object with a name"),
    ],
)
@pytest.mark.parametrize("member", ["resourceSubscriptions", "taskIds"])
def test_no_member_of_an_acknowledged_filter_tells_what_nobody_judged(member: str, value: Any) -> None:
    results = _results(_about("subscriptions/listen"), era=Era.MODERN, tasks=[TASK])

    assert b"hidden" not in _shown(results, _acknowledged({member: value}))


def test_without_tasks_no_task_is_acknowledged() -> None:
    results = _results(_about("subscriptions/listen"), rules=ONLY_TOOLS, era=Era.MODERN, tasks=[TASK])

    judged = _judged(results, _acknowledged({"taskIds": ["t1"]}))

    assert judged["params"]["notifications"] == {"taskIds": []}


def test_a_subscription_names_the_resources_that_the_caller_sees() -> None:
    uris = ["docs:///guide.md", "docs:///secret.md", "docs:///7/x", 7]
    results = _results(_about("subscriptions/listen"), principal=BOB, era=Era.MODERN)

    judged = _judged(results, _acknowledged({"resourceSubscriptions": uris}))

    assert judged["params"]["notifications"] == {"resourceSubscriptions": ["docs:///guide.md"]}
