from collections.abc import Callable
from contextlib import suppress
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunnelgate import Reason
from tunnelgate.reading.answer import Answer, read_answer, read_names
from tunnelgate.reading.fault import Fault
from tunnelgate.reading.message import Kind
from tunnelgate.reading.methods import DECIDING_META


@pytest.mark.parametrize(
    ("raw", "message_id", "result"),
    [
        pytest.param(b'{"jsonrpc":"2.0","id":1,"result":{"a":1}}', 1, {"a": 1}, id="a number for an id"),
        pytest.param(b'{"jsonrpc":"2.0","id":"1","result":{}}', "1", {}, id="a text for an id"),
        pytest.param(b'{"jsonrpc":"2.0","id":0,"result":{}}', 0, {}, id="the id 0"),
        pytest.param(b'{"jsonrpc":"2.0","id":"","result":{}}', "", {}, id="an empty id"),
    ],
)
def test_a_result_with_the_id_of_the_request_is_its_answer(
    raw: bytes, message_id: str | int, result: dict[str, Any]
) -> None:
    answer = read_answer(raw, message_id)

    assert answer == Answer(Kind.RESPONSE, orjson.loads(raw), raw, result)
    assert (answer.method, answer.params) == ("", {})


ERROR = {"code": -32602, "message": "Unknown tool"}


@pytest.mark.parametrize(
    ("members", "message_id"),
    [
        pytest.param({"id": 1, "error": ERROR}, 1, id="with the id of the request"),
        pytest.param({"id": None, "error": ERROR}, 1, id="with null for an id"),
        pytest.param({"error": ERROR}, 1, id="without an id"),
        pytest.param({"error": ERROR}, None, id="without an id, to a notification"),
        pytest.param({"id": 1, "error": {**ERROR, "data": [1]}}, 1, id="with data"),
    ],
)
def test_an_error_of_the_request_or_of_nobody_is_its_answer(
    members: dict[str, Any], message_id: int | None
) -> None:
    answer = read_answer(orjson.dumps({"jsonrpc": "2.0", **members}), message_id)

    assert (answer.kind, answer.result, answer.method, answer.params) == (Kind.RESPONSE, None, "", {})
    assert answer.members["error"] == members["error"]


@pytest.mark.parametrize(
    ("members", "kind"),
    [
        pytest.param(
            {"method": "notifications/progress", "params": {"progress": 1}},
            Kind.NOTIFICATION,
            id="a notification",
        ),
        pytest.param(
            {"method": "notifications/tools/list_changed"}, Kind.NOTIFICATION, id="one without params"
        ),
        pytest.param(
            {"id": None, "method": "notifications/tools/list_changed"},
            Kind.NOTIFICATION,
            id="one with a null id",
        ),
        pytest.param({"id": 7, "method": "elicitation/create", "params": {}}, Kind.REQUEST, id="a request"),
        pytest.param({"id": 1, "method": "ping"}, Kind.REQUEST, id="a request with the id of ours"),
        pytest.param({"id": "7", "method": "ping"}, Kind.REQUEST, id="a request with a text for an id"),
        pytest.param({"id": 0, "method": "ping"}, Kind.REQUEST, id="a request with the id 0"),
        pytest.param({"id": "", "method": "ping"}, Kind.REQUEST, id="a request with an empty id"),
    ],
)
@pytest.mark.parametrize("message_id", [1, None])
def test_what_a_server_says_besides_is_a_request_or_a_notification(
    members: dict[str, Any], kind: Kind, message_id: int | None
) -> None:
    answer = read_answer(orjson.dumps({"jsonrpc": "2.0", **members}), message_id)

    assert (answer.kind, answer.result) == (kind, None)
    assert (answer.method, answer.params) == (members["method"], members.get("params", {}))
    assert answer.members == {"jsonrpc": "2.0", **members}


def test_an_answer_goes_on_in_its_canonical_form() -> None:
    answer = read_answer(b'{ "jsonrpc" : "2.0",\n"id":1, "result":{"n\\u0061me":1E2} }\n', 1)

    assert answer.canonical == b'{"jsonrpc":"2.0","id":1,"result":{"name":100.0}}'


NO_MESSAGE = "not one JSON-RPC message"
NO_REQUEST = "a response to nothing that was asked"
NO_RESPONSE = "not a response"
ANOTHER = "a response to another request"
LOOKALIKE = "a member that differs by case from one that decides"
NO_CALL = "neither a request nor a notification"


@pytest.mark.parametrize(
    ("raw", "detail"),
    [
        pytest.param(b"", "body-not-json: Expecting value at character 0", id="nothing"),
        pytest.param(b"<html>", "body-not-json: Expecting value at character 0", id="HTML"),
        pytest.param(b"\xff", "body-not-json: not UTF-8 at octet 0", id="no text"),
        pytest.param(
            b'{"jsonrpc":"2.0","id":1,"result":{"tools":[]},"result":{}}',
            "body-not-strict: a member twice",
            id="two results",
        ),
        pytest.param(
            b'{"jsonrpc":"2.0","id":1,"result":{"a\\ud800":1,"a\\ufffd":2}}',
            "body-not-strict: a member twice",
            id="two members that become one",
        ),
        pytest.param(
            b'{"jsonrpc":"2.0","id":1,"result":{"x":18446744073709551616}}',
            "body-not-strict: an integer of more than 64 bits",
            id="an integer of 65 bits",
        ),
        pytest.param(b"[]", NO_MESSAGE, id="an empty batch"),
        pytest.param(b'[{"jsonrpc":"2.0","id":1,"result":{}}]', NO_MESSAGE, id="a batch"),
        pytest.param(b"null", NO_MESSAGE, id="null"),
        pytest.param(b'"x"', NO_MESSAGE, id="a text"),
        pytest.param(b'{"id":1,"result":{}}', NO_MESSAGE, id="no version"),
        pytest.param(b'{"jsonrpc":2.0,"id":1,"result":{}}', NO_MESSAGE, id="a number for the version"),
        pytest.param(b'{"jsonrpc":"1.0","id":1,"result":{}}', NO_MESSAGE, id="another version"),
        pytest.param(b'{"JSONRPC":"2.0","id":1,"result":{}}', NO_MESSAGE, id="the version in capitals"),
        pytest.param(b'{"jsonrpc":"2.0"}', NO_RESPONSE, id="nothing but a version"),
        pytest.param(b'{"jsonrpc":"2.0","id":1}', NO_RESPONSE, id="neither result nor error"),
        pytest.param(
            b'{"jsonrpc":"2.0","id":1,"result":{},"error":{"code":1,"message":""}}', NO_RESPONSE, id="both"
        ),
        pytest.param(b'{"jsonrpc":"2.0","id":1,"result":{},"x":1}', NO_RESPONSE, id="a member too many"),
        pytest.param(
            b'{"jsonrpc":"2.0","id":1,"result":{},"Result":{"tools":[]}}',
            NO_RESPONSE,
            id="a result in capitals",
        ),
        pytest.param(
            b'{"jsonrpc":"2.0","id":1,"result":{},"params":{}}', NO_RESPONSE, id="params beside a result"
        ),
        pytest.param(b'{"jsonrpc":"2.0","id":2,"result":{}}', ANOTHER, id="another id"),
        pytest.param(b'{"jsonrpc":"2.0","id":"1","result":{}}', ANOTHER, id="the id as a text"),
        pytest.param(b'{"jsonrpc":"2.0","id":1.0,"result":{}}', ANOTHER, id="the id as a real"),
        pytest.param(b'{"jsonrpc":"2.0","id":true,"result":{}}', ANOTHER, id="a truth for an id"),
        pytest.param(b'{"jsonrpc":"2.0","id":[1],"result":{}}', ANOTHER, id="a list for an id"),
        pytest.param(b'{"jsonrpc":"2.0","id":null,"result":{}}', ANOTHER, id="null for an id"),
        pytest.param(b'{"jsonrpc":"2.0","result":{}}', ANOTHER, id="no id"),
        pytest.param(
            b'{"jsonrpc":"2.0","id":2,"error":{"code":1,"message":""}}', ANOTHER, id="the error of another"
        ),
        pytest.param(
            b'{"jsonrpc":"2.0","id":1,"result":[]}', "result is not an object", id="a list of results"
        ),
        pytest.param(
            b'{"jsonrpc":"2.0","id":1,"result":null}', "result is not an object", id="a null result"
        ),
        pytest.param(b'{"jsonrpc":"2.0","id":1,"method":1}', NO_CALL, id="a number for a method"),
        pytest.param(
            b'{"jsonrpc":"2.0","id":1,"method":"x","result":{}}', NO_CALL, id="a method and a result"
        ),
        pytest.param(b'{"jsonrpc":"2.0","method":"x","Params":{}}', NO_CALL, id="params in capitals"),
    ],
)
def test_what_is_no_answer_to_the_request_is_not_valid(raw: bytes, detail: str) -> None:
    with pytest.raises(Fault) as caught:
        read_answer(raw, 1)

    assert (caught.value.reason, caught.value.detail) == (Reason.ANSWER_NOT_VALID, detail)


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b'{"jsonrpc":"2.0","id":1,"result":{}}', id="a result with an id"),
        pytest.param(b'{"jsonrpc":"2.0","id":null,"result":{}}', id="a result with null for an id"),
        pytest.param(b'{"jsonrpc":"2.0","result":{}}', id="a result without an id"),
        pytest.param(b'{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":""}}', id="an error with an id"),
    ],
)
def test_a_notification_has_no_response(raw: bytes) -> None:
    with pytest.raises(Fault) as caught:
        read_answer(raw, None)

    assert (caught.value.reason, caught.value.detail) == (Reason.ANSWER_NOT_VALID, NO_REQUEST)


@pytest.mark.parametrize(
    ("members", "detail"),
    [
        pytest.param({"id": 1, "error": None}, "error is not an object", id="null for an error"),
        pytest.param({"id": 1, "error": "broken"}, "error is not an object", id="a text for an error"),
        pytest.param({"id": 1, "error": []}, "error is not an object", id="a list for an error"),
        pytest.param({"id": [], "method": "ping"}, NO_CALL, id="a request with a list for an id"),
        pytest.param({"id": {}, "method": "ping"}, NO_CALL, id="a request with an object for an id"),
        pytest.param({"id": True, "method": "ping"}, NO_CALL, id="a request with a truth for an id"),
        pytest.param({"id": 1.5, "method": "ping"}, NO_CALL, id="a request with a fraction for an id"),
        pytest.param({"method": None}, NO_CALL, id="null for a method"),
        pytest.param({"method": ["ping"]}, NO_CALL, id="a list for a method"),
        pytest.param({"method": "notifications/progress", "params": 1}, NO_CALL, id="a number for params"),
        pytest.param({"method": "notifications/progress", "params": None}, NO_CALL, id="null for params"),
        pytest.param({"method": "notifications/progress", "params": []}, NO_CALL, id="params by position"),
        pytest.param({"method": "x", "error": {}}, NO_CALL, id="a method and an error"),
        pytest.param({"method": "x", "Method": "y"}, NO_CALL, id="a method in capitals as well"),
    ],
)
def test_what_has_the_members_of_a_message_and_is_none_is_not_valid(
    members: dict[str, Any], detail: str
) -> None:
    with pytest.raises(Fault) as caught:
        read_answer(orjson.dumps({"jsonrpc": "2.0", **members}), 1)

    assert (caught.value.reason, caught.value.detail) == (Reason.ANSWER_NOT_VALID, detail)


Holder = Callable[[dict[str, Any]], dict[str, Any]]


def a_result(members: dict[str, Any]) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 1, "result": members}


def a_notification(members: dict[str, Any]) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "method": "notifications/x", "params": members}


def a_request(members: dict[str, Any]) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 7, "method": "ping", "params": members}


HOLDERS = [
    pytest.param(a_result, id="of a result"),
    pytest.param(a_notification, id="of a notification"),
    pytest.param(a_request, id="of a request"),
]


@pytest.mark.parametrize("holder", HOLDERS)
@pytest.mark.parametrize(
    "meta",
    [
        pytest.param([], id="a list"),
        pytest.param("x", id="a text"),
        pytest.param(0, id="a number"),
        pytest.param(False, id="an untruth"),
        *(
            pytest.param({member.upper(): {"taskId": "t"}}, id=f"{member} in capitals")
            for member in sorted(DECIDING_META)
        ),
        pytest.param(
            {"io.modelcontextprotocol/related-tas\u212a": {"taskId": "t"}},
            id="a related task with a kelvin sign",
        ),
    ],
)
def test_meta_that_can_be_read_in_two_ways_is_not_valid(holder: Holder, meta: object) -> None:
    with pytest.raises(Fault) as caught:
        read_answer(orjson.dumps(holder({"_meta": meta})), 1)

    assert (caught.value.reason, caught.value.detail) == (
        Reason.ANSWER_NOT_VALID,
        "_meta cannot be read in one way only",
    )


@pytest.mark.parametrize("holder", HOLDERS)
@pytest.mark.parametrize(
    "meta",
    [
        pytest.param({}, id="nothing"),
        pytest.param(None, id="null"),
        pytest.param(dict.fromkeys(DECIDING_META, "x"), id="all that decides"),
        pytest.param({"Name": 1, "name": 2, "example.com/URI": 3}, id="what somebody else defines"),
    ],
)
def test_meta_that_can_be_read_in_one_way_is_passed_on(holder: Holder, meta: object) -> None:
    members = holder({"_meta": meta})

    assert read_answer(orjson.dumps(members), 1).members == members


@pytest.mark.parametrize(
    ("holder", "member"),
    [
        *(
            pytest.param(a_result, member, id=f"{member} in a result")
            for member in (
                *("_meta", "cacheScope", "capabilities", "completion", "nextCursor", "prompts"),
                *("protocolVersion", "requestState", "resourceTemplates", "resources", "resultType"),
                *("supportedVersions", "task", "taskId", "tools"),
            )
        ),
        *(
            pytest.param(holder, member, id=f"{member} in {kind}")
            for member in ("_meta", "level", "notifications", "requestId", "taskId", "uri")
            for holder, kind in ((a_notification, "a notification"), (a_request, "a request"))
        ),
    ],
)
def test_what_is_judged_or_replaced_in_a_message_has_no_lookalike(holder: Holder, member: str) -> None:
    """Else a client that folds case would find what was not, such as the server's own name for a task."""
    for other in sorted({member.upper(), member.title()} - {member}):
        members: dict[str, Any] = {member: {} if member == "_meta" else "x"}
        assert read_answer(orjson.dumps(holder(members)), 1).members == holder(members)
        for lookalikes in ({other: "y"}, {**members, other: "y"}):
            with pytest.raises(Fault) as caught:
                read_answer(orjson.dumps(holder(lookalikes)), 1)
            assert (caught.value.reason, caught.value.detail) == (Reason.ANSWER_NOT_VALID, LOOKALIKE)


@pytest.mark.parametrize("holder", HOLDERS)
def test_what_is_neither_judged_nor_replaced_is_passed_on_in_any_case(holder: Holder) -> None:
    members = holder({"Content": [], "structuredContent": {"Tools": 1, "URI": 2}, "X": 1, "x": 2})

    assert read_answer(orjson.dumps(members), 1).members == members


@pytest.mark.parametrize(
    ("raw", "result"),
    [
        pytest.param(b"18446744073709551615", 2**64 - 1, id="the largest integer of 64 bits"),
        pytest.param(b"-9223372036854775808", -(2**63), id="the smallest integer of 64 bits"),
        pytest.param(b'"\\ud800"', "\ufffd", id="an unpaired surrogate"),
    ],
)
def test_an_answer_may_hold_what_only_some_clients_can_read(raw: bytes, result: object) -> None:
    """It is the client's own server that says so, and what is judged is never such a number or text."""
    answer = read_answer(b'{"jsonrpc":"2.0","id":1,"result":{"x":%s}}' % raw, 1)

    assert answer.result == {"x": result}
    assert orjson.loads(answer.canonical)["result"] == {"x": result}


MEMBER_VALUES: st.SearchStrategy[Any] = st.sampled_from(
    ["2.0", "1", 1, 1.0, True, None, [], {}, {"code": 1, "message": ""}, {"tools": []}]
)


@given(
    st.binary()
    | st.dictionaries(
        st.sampled_from(["jsonrpc", "id", "method", "params", "result", "error", "x"]), MEMBER_VALUES
    ).map(lambda members: orjson.dumps({"jsonrpc": "2.0", **members})),
    st.sampled_from([None, 1, "1"]),
)
def test_no_octets_raise_anything_but_a_fault_and_a_result_has_the_id_of_its_request(
    raw: bytes, message_id: str | int | None
) -> None:
    with suppress(Fault):
        answer = read_answer(raw, message_id)

        assert orjson.loads(answer.canonical) == answer.members
        if answer.kind is Kind.RESPONSE:
            assert answer.result == answer.members.get("result")
        else:
            assert (answer.method, answer.result) == (answer.members["method"], None)
        if answer.result is not None:
            assert repr(answer.members["id"]) == repr(message_id)


def test_the_entries_of_a_list_are_found_with_their_names_in_order() -> None:
    tools: list[dict[str, Any]] = [{"name": "b", "x": 1}, {"name": "a"}, {"name": "b"}, {"name": ""}]

    assert read_names({"tools": tools, "nextCursor": "2"}, "tools", "name") == [
        ("b", {"name": "b", "x": 1}),
        ("a", {"name": "a"}),
        ("b", {"name": "b"}),
        ("", {"name": ""}),
    ]


def test_an_empty_list_has_no_names() -> None:
    assert read_names({"tools": []}, "tools", "name") == []


@pytest.mark.parametrize(
    ("member", "name"),
    [
        pytest.param("resources", "uri", id="resources"),
        pytest.param("resourceTemplates", "uriTemplate", id="templates"),
        pytest.param("prompts", "name", id="prompts"),
    ],
)
def test_an_entry_is_found_by_the_member_that_decides_about_it(member: str, name: str) -> None:
    entry = {"title": "b", "name": "c", name: "a"}
    result: dict[str, Any] = {member: [entry], "resultType": "complete", "_meta": {}}

    assert read_names(result, member, name) == [("a", entry)]
    for other in (name.upper(), name.capitalize()):
        with pytest.raises(Fault, match=f"an entry of {member} is not one object"):
            read_names({member: [{**entry, other: "b"}]}, member, name)
    for value in (None, 1, ["a"]):
        with pytest.raises(Fault, match=f"an entry of {member} has no {name}"):
            read_names({member: [{**entry, name: value}]}, member, name)


@pytest.mark.parametrize("other", ["ResultType", "RESULTTYPE", "resulttype", "re\u017fultType"])
def test_the_type_of_a_result_has_no_lookalike(other: str) -> None:
    result = {"tools": list[str](), "resultType": "complete", other: "task"}

    with pytest.raises(Fault) as caught:
        read_answer(orjson.dumps(a_result(result)), 1)

    assert (caught.value.reason, caught.value.detail) == (Reason.ANSWER_NOT_VALID, LOOKALIKE)


TOOL = {"name": "a"}


@pytest.mark.parametrize(
    ("result", "member", "detail"),
    [
        pytest.param({}, "tools", "tools is not one list", id="no list"),
        pytest.param({"tools": None}, "tools", "tools is not one list", id="null for a list"),
        pytest.param({"tools": {"a": TOOL}}, "tools", "tools is not one list", id="an object for a list"),
        pytest.param(
            {"tools": [], "Tools": [TOOL]}, "tools", "tools is not one list", id="a list in capitals"
        ),
        pytest.param(
            {"Tools": [TOOL]}, "tools", "tools is not one list", id="nothing but a list in capitals"
        ),
        pytest.param({"tools": [], "tool\u017f": [TOOL]}, "tools", "tools is not one list", id="a long s"),
        pytest.param(
            {"resourceTemplates": [], "resourcetemplates": [TOOL]},
            "resourceTemplates",
            "resourceTemplates is not one list",
            id="a list in small letters",
        ),
        pytest.param(
            {"resourceTemplates": [], "RESOURCETEMPLATES": [TOOL]},
            "resourceTemplates",
            "resourceTemplates is not one list",
            id="a list of two words in capitals",
        ),
        pytest.param(
            {"tools": ["a"]}, "tools", "an entry of tools is not one object", id="a text for an entry"
        ),
        pytest.param(
            {"tools": [[TOOL]]}, "tools", "an entry of tools is not one object", id="a list in a list"
        ),
        pytest.param(
            {"tools": [{"name": "a", "Name": "b"}]},
            "tools",
            "an entry of tools is not one object",
            id="a name in capitals",
        ),
        pytest.param(
            {"tools": [TOOL, {"NAME": "b"}]},
            "tools",
            "an entry of tools is not one object",
            id="nothing but a name in capitals",
        ),
        pytest.param({"tools": [{"title": "a"}]}, "tools", "an entry of tools has no name", id="no name"),
        pytest.param(
            {"tools": [{"name": 1}]}, "tools", "an entry of tools has no name", id="a number for a name"
        ),
        pytest.param({"tools": [{"name": None}]}, "tools", "an entry of tools has no name", id="a null name"),
    ],
)
def test_a_list_that_another_client_could_find_elsewhere_is_not_valid(
    result: dict[str, Any], member: str, detail: str
) -> None:
    with pytest.raises(Fault) as caught:
        read_names(result, member, "name")

    assert (caught.value.reason, caught.value.detail) == (Reason.ANSWER_NOT_VALID, detail)


@given(
    st.dictionaries(
        st.sampled_from(["tools", "Tools", "x"]),
        st.none() | st.lists(st.none() | st.dictionaries(st.sampled_from(["name", "Name"]), st.text())),
    )
)
def test_no_result_makes_its_names_raise_anything_but_a_fault(result: dict[str, Any]) -> None:
    with suppress(Fault):
        named = read_names(result, "tools", "name")

        assert [entry for _, entry in named] == result["tools"]
        assert [name for name, _ in named] == [entry["name"] for entry in result["tools"]]
