import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.asgi import Reply, Spy, call, http_scope
from tests.support.audit import Records
from tests.support.mcp import legacy, modern
from tunnelgate import AuditLog, Deny, Reason, ToolAllowlist
from tunnelgate.asgi import ASGIApp, Receive, Scope, Send
from tunnelgate.catalogue import Resources
from tunnelgate.completions import Completed, read_completed
from tunnelgate.exchange import Principal, exchange_of
from tunnelgate.handover import Handover
from tunnelgate.reading.fault import Fault
from tunnelgate.reading.uri_template import UriTemplate
from tunnelgate.requirements import Requirement

SUPPORT = Requirement(claims={"team": "support"})
WRITE = Requirement(scopes=["write"])
ERAS = [pytest.param(legacy, id="legacy"), pytest.param(modern, id="modern")]
# A template, and entries that are about less and for fewer.
PATHS = Resources({"docs:///{+path}": None, "docs:///hr/{name}": SUPPORT, "docs:///drafts/{name}": WRITE})
PARTS = Resources({"docs:///{team}/{name}": None, "docs:///hr/{name}": SUPPORT})

Members = dict[str, Any]


def _principal(team: str | None) -> Principal:
    claims = {} if team is None else {"team": team}
    return Principal("https://login.example.com/", "alice", "app", frozenset(), claims)


def _asked(name: str, context: Any = None) -> Members:
    params: Members = {"argument": {"name": name, "value": ""}}
    return params if context is None else {**params, "context": context}


def _limited(
    completed: Completed, completion: Members, resources: Resources, principal: Principal | None = None
) -> Any:
    """Return what is left of a completion for ``principal``."""
    result = {"completion": completion}
    completed.limit(result, lambda uri: not isinstance(resources.decide(uri, principal), Deny))
    return result["completion"]


# What is asked


@pytest.mark.parametrize(
    ("context", "others"),
    [
        pytest.param(None, {}, id="without a context"),
        pytest.param({}, {}, id="with an empty context"),
        pytest.param({"arguments": {}}, {}, id="with a context of nothing"),
        pytest.param({"arguments": {"team": "hr"}}, {"team": "hr"}, id="with the value of another variable"),
        pytest.param(
            {"arguments": {"name": "x", "other": "y"}}, {"name": "x", "other": "y"}, id="with more values"
        ),
    ],
)
def test_what_is_completed_is_one_variable_with_the_values_of_others(
    context: Any, others: dict[str, str]
) -> None:
    completed = read_completed(UriTemplate("docs:///{team}/{name}"), _asked("name", context))

    assert (completed.name, completed.others) == ("name", others)
    assert completed.template.template == "docs:///{team}/{name}"


@pytest.mark.parametrize(
    "params",
    [
        pytest.param({}, id="no argument"),
        pytest.param({"argument": None}, id="null"),
        pytest.param({"argument": "name"}, id="a text"),
        pytest.param({"argument": ["name"]}, id="a list"),
        pytest.param({"argument": {}}, id="an argument without a name"),
        pytest.param({"argument": {"name": None}}, id="a name that is null"),
        pytest.param({"argument": {"name": 7}}, id="a name that is a number"),
        pytest.param({"argument": {"name": ["name"]}}, id="a name that is a list"),
    ],
)
def test_what_names_no_argument_is_no_request_for_a_completion(params: Members) -> None:
    with pytest.raises(Fault) as caught:
        read_completed(UriTemplate("docs:///{name}"), params)

    assert caught.value.reason == Reason.PARAMS_INVALID


@pytest.mark.parametrize("name", ["", "Name", "names", "x", "{name}", "+path"])
def test_only_a_variable_of_the_template_is_completed(name: str) -> None:
    # A server that has one variable to complete may not look at its name.
    with pytest.raises(Fault) as caught:
        read_completed(UriTemplate("docs:///{name}"), _asked(name))

    assert caught.value.reason == Reason.PARAMS_INVALID


@pytest.mark.parametrize(
    "params",
    [
        pytest.param(
            {"argument": {"name": "team", "Name": "name", "value": ""}}, id="two names of the argument"
        ),
        pytest.param(
            {"argument": {"name": "name"}, "context": {"arguments": {}, "Arguments": {"team": "hr"}}},
            id="two contexts",
        ),
    ],
)
def test_a_request_for_a_completion_has_one_meaning_also_for_who_folds_case(params: Members) -> None:
    with pytest.raises(Fault):
        read_completed(UriTemplate("docs:///{team}/{name}"), params)


@pytest.mark.parametrize(
    "context",
    [
        pytest.param({"arguments": {"team": 7}}, id="a number"),
        pytest.param({"arguments": {"team": ["hr"]}}, id="a list"),
        pytest.param({"arguments": {"team": None}}, id="null"),
    ],
)
def test_a_value_of_another_variable_that_is_no_text_is_none(context: Any) -> None:
    assert read_completed(UriTemplate("docs:///{team}/{name}"), _asked("name", context)).others == {}


@pytest.mark.parametrize("context", ["x", 7, ["team"], {"arguments": "x"}, {"arguments": ["team"]}])
def test_a_context_that_is_none_says_nothing(context: Any) -> None:
    assert read_completed(UriTemplate("docs:///{team}/{name}"), _asked("name", context)).others == {}


# What is proposed


@pytest.mark.promise("listed-equals-callable")
@pytest.mark.parametrize(
    ("values", "team", "proposed"),
    [
        pytest.param(["guide.md", "a/b.md"], None, ["guide.md", "a/b.md"], id="what anybody may read"),
        pytest.param(["a.md", "hr/pay.md"], None, ["a.md"], id="what is for somebody else"),
        pytest.param(["a.md", "hr/pay.md"], "sales", ["a.md"], id="what is for another team"),
        pytest.param(["a.md", "hr/pay.md"], "support", ["a.md", "hr/pay.md"], id="what is for the caller"),
        pytest.param(["drafts/x"], None, ["drafts/x"], id="what only needs a scope"),
        pytest.param(["../etc", "a/../b", "/x", "", "a%2Fb", "hr%2Fpay.md"], "support", [], id="elsewhere"),
        pytest.param(["é", "a b", "\uff41"], None, ["é", "a b", "\uff41"], id="what a URI has encoded"),
        pytest.param(["x" * 3000], None, [], id="what no URI has room for"),
        pytest.param(["hr/pay.md?x", "hr/pay.md#x", "hr/pay.md;x"], None, [], id="with another end"),
        pytest.param([], None, [], id="nothing"),
    ],
)
def test_of_a_completion_what_may_be_read_is_proposed(
    values: list[str], team: str | None, proposed: list[str]
) -> None:
    completed = read_completed(UriTemplate("docs:///{+path}"), _asked("path"))

    assert _limited(completed, {"values": values}, PATHS, _principal(team)) == {"values": proposed}


@pytest.mark.parametrize("value", [7, None, True, 1.5, ["guide.md"], {"value": "guide.md"}])
def test_what_is_no_text_is_not_proposed(value: Any) -> None:
    completed = read_completed(UriTemplate("docs:///{+path}"), _asked("path"))

    assert _limited(completed, {"values": ["a.md", value, "b.md"]}, PATHS) == {"values": ["a.md", "b.md"]}


@pytest.mark.promise("listed-equals-callable")
@pytest.mark.parametrize(
    ("name", "context", "values", "proposed"),
    [
        pytest.param("name", {"team": "hr"}, ["pay.md"], [], id="the rest of what is for somebody else"),
        pytest.param("name", {"team": "it"}, ["pay.md"], ["pay.md"], id="the rest of what is for anybody"),
        pytest.param("team", {"name": "x"}, ["hr", "it"], ["it"], id="the first, with the rest known"),
        pytest.param("team", {}, ["hr", "it"], ["hr", "it"], id="the first, which alone is no URI"),
        pytest.param(
            "name", {"team": "it", "name": "x"}, ["a/b", "c"], ["c"], id="what has a segment of two"
        ),
        pytest.param("name", {"team": "h/r"}, ["x"], [], id="the rest of what is nowhere"),
        pytest.param("name", {"team": "it", "x": "y"}, ["x"], ["x"], id="with a value of no variable"),
    ],
)
def test_of_several_variables_those_count_whose_values_are_known(
    name: str, context: dict[str, str], values: list[str], proposed: list[str]
) -> None:
    completed = read_completed(UriTemplate("docs:///{team}/{name}"), _asked(name, {"arguments": context}))

    assert _limited(completed, {"values": values}, PARTS)["values"] == proposed


def test_a_query_may_be_completed_where_the_resource_may_be_read() -> None:
    listed = {"docs:///search{?q}": None, "docs:///hr{?q}": SUPPORT}
    open_, closed = (read_completed(UriTemplate(template), _asked("q")) for template in listed)

    assert _limited(open_, {"values": ["x"]}, Resources(listed))["values"] == ["x"]
    assert _limited(closed, {"values": ["x"]}, Resources(listed))["values"] == []


@pytest.mark.parametrize(
    ("values", "rest"),
    [
        pytest.param(["a"], {"total": 9, "hasMore": True, "x": 1}, id="nothing was taken out"),
        pytest.param(["a", "hr/pay.md"], {"hasMore": True, "x": 1}, id="something was taken out"),
    ],
)
def test_how_many_there_are_is_told_where_all_of_them_may_be_read(values: list[str], rest: Members) -> None:
    completion = {"values": values, "total": 9, "hasMore": True, "x": 1}

    left = _limited(read_completed(UriTemplate("docs:///{+path}"), _asked("path")), completion, PATHS)

    assert left == {"values": ["a"], **rest}


@pytest.mark.parametrize(
    "result",
    [
        pytest.param({}, id="nothing"),
        pytest.param({"completion": None}, id="null"),
        pytest.param({"completion": ["hr/pay.md"]}, id="a list"),
        pytest.param({"completion": {}}, id="no values"),
        pytest.param({"completion": {"values": None}}, id="values that are null"),
        pytest.param({"completion": {"values": "hr/pay.md"}}, id="a text in place of values"),
        pytest.param({"completion": {"values": {"hr/pay.md": 1}}}, id="an object in place of values"),
        pytest.param(
            {"completion": {"values": [], "Values": ["hr/pay.md"]}}, id="more values for who folds case"
        ),
    ],
)
def test_what_is_no_completion_is_no_answer(result: Members) -> None:
    with pytest.raises(Fault) as caught:
        read_completed(UriTemplate("docs:///{+path}"), _asked("path")).limit(result, lambda _: True)

    assert caught.value.reason == Reason.ANSWER_NOT_VALID


VALUES = st.text(max_size=12) | st.sampled_from(["hr/pay.md", "hr", "a.md", "..", "%2e", "drafts/x"])


@pytest.mark.promise("listed-equals-callable")
@given(values=st.lists(VALUES, max_size=6), team=st.sampled_from([None, "support", "sales"]))
def test_nothing_is_proposed_that_the_caller_could_not_read(values: list[str], team: str | None) -> None:
    completed = read_completed(UriTemplate("docs:///{+path}"), _asked("path"))

    left = _limited(completed, {"values": values}, PATHS, _principal(team))["values"]

    for value in left:
        uri = completed.template.expand({"path": value})
        assert uri is not None
        assert not isinstance(PATHS.decide(uri, _principal(team)), Deny)
    assert left == [value for value in values if value in left]


# Through the gate


class As:
    """Asks on behalf of a member of a team."""

    def __init__(self, app: ASGIApp, team: str | None) -> None:
        self._app = app
        self._principal = _principal(team)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange_of(scope).principal = self._principal
        await self._app(scope, receive, send)


def _gate(app: ASGIApp, team: str | None = None) -> ASGIApp:
    return As(
        ToolAllowlist(
            Handover(app),
            prompts=["greet", "wave{x}", "docs:///{+path}"],
            resources={"docs:///{+path}": None, "docs:///hr/pay.md": SUPPORT, "docs:///guide.md": None},
        ),
        team,
    )


def _answering(*values: Any) -> Spy:
    message = {"jsonrpc": "2.0", "id": 1, "result": {"completion": {"values": values, "total": 9}}}
    return Spy(json.dumps(message).encode())


async def _complete(
    gate: ASGIApp, era: Any, reference: Members, *, argument: Any = None, sink: Records | None = None
) -> Reply:
    params = {"ref": reference, "argument": argument or {"name": "path", "value": "h"}}
    headers, body = era("completion/complete", params)
    return await call(gate if sink is None else AuditLog(gate, sink=sink), http_scope(headers=headers), body)


TEMPLATE = {"type": "ref/resource", "uri": "docs:///{+path}"}


@pytest.mark.promise("listed-equals-callable")
@pytest.mark.parametrize("era", ERAS)
@pytest.mark.anyio
async def test_a_client_is_proposed_what_it_may_read(era: Any) -> None:
    spy = _answering("a.md", "hr/pay.md", 7)

    sales = (await _complete(_gate(spy, "sales"), era, TEMPLATE)).json()["result"]
    support = (await _complete(_gate(spy, "support"), era, TEMPLATE)).json()["result"]

    assert sales["completion"] == {"values": ["a.md"]}
    assert support["completion"] == {"values": ["a.md", "hr/pay.md"]}


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize(
    "reference",
    [
        pytest.param({"type": "ref/resource", "uri": "docs:///guide.md"}, id="of a resource"),
        pytest.param({"type": "ref/prompt", "name": "greet"}, id="of a prompt"),
        pytest.param({"type": "ref/prompt", "name": "wave{x}"}, id="of a prompt with braces"),
        pytest.param({"type": "ref/prompt", "name": "docs:///{+path}"}, id="of a prompt like a template"),
    ],
)
@pytest.mark.anyio
async def test_what_makes_no_uri_is_proposed_as_it_came(reference: Members, era: Any) -> None:
    reply = await _complete(_gate(_answering("hr/pay.md", "x")), era, reference)

    assert reply.status == 200
    assert reply.json()["result"]["completion"] == {"values": ["hr/pay.md", "x"], "total": 9}


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("argument", [{"value": "h"}, {"name": 7, "value": "h"}, "path", ["path"]])
@pytest.mark.anyio
async def test_a_template_without_an_argument_to_complete_reaches_nothing(argument: Any, era: Any) -> None:
    spy, records = _answering("a.md"), Records()

    reply = await _complete(_gate(spy), era, TEMPLATE, argument=argument, sink=records)

    assert (reply.status, reply.json()["error"]["code"]) == (400, -32602)
    assert spy.scopes == []
    assert records.verdicts == [("deny", Reason.PARAMS_INVALID)]


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("result", [{}, {"completion": {"values": "hr/pay.md"}}], ids=["nothing", "a text"])
@pytest.mark.anyio
async def test_what_is_no_completion_is_a_bad_gateway(result: Members, era: Any) -> None:
    message = {"jsonrpc": "2.0", "id": 1, "result": result}

    reply = await _complete(_gate(Spy(orjson.dumps(message))), era, TEMPLATE)

    assert reply.status == 502
    assert b"pay.md" not in reply.body


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.anyio
async def test_an_error_in_place_of_a_completion_is_passed_on(era: Any) -> None:
    error = b'{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"x"}}'

    reply = await _complete(_gate(Spy(error)), era, TEMPLATE)

    assert (reply.status, reply.body) == (200, error)


@pytest.mark.promise("listed-equals-callable")
@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("name", ["x", "Path", ""])
@pytest.mark.anyio
async def test_under_another_name_nothing_else_is_proposed(name: str, era: Any) -> None:
    gate = _gate(_answering("hr/pay.md"), "sales")

    reply = await _complete(gate, era, TEMPLATE, argument={"name": name, "value": ""})

    assert b"pay.md" not in reply.body
