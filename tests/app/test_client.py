import base64
from collections.abc import Generator, Mapping
from typing import Any
from urllib.parse import parse_qs

import orjson
import pytest

from tests.support.asgi import Spy
from tests.support.processes import free_port
from tests.support.servers import serve
from tunnelgate.asgi import Receive, Scope, Send
from tunnelgate_app.client import DemoClient, summary
from tunnelgate_app.demo import BLOCKED_HOST, ROUTES, DemoError, DemoRoute, DemoState

DOCS = ROUTES["docs"]
TOKEN = orjson.dumps({"access_token": "eyJ0", "token_type": "Bearer"})

Answer = tuple[int, bytes]


def result(value: Any) -> Answer:
    return 200, orjson.dumps({"jsonrpc": "2.0", "id": 1, "result": value})


REFUSED = b'{"error":"host_not_allowed","host":"admin.tunnel.localhost"}'
LISTED = result({"tools": [{"name": name} for name in DOCS.tools]})
CALLED = result({"content": [], "isError": False})
GOOD_ANSWERS = {"token": (200, TOKEN), "listed": LISTED, "called": CALLED, "blocked": (403, REFUSED)}


class Gate:
    """A gate that answers each question as it was told to, and keeps what it was asked."""

    def __init__(self) -> None:
        self.port = 0
        self.answers: dict[str, Answer] = {}
        self.seen: list[tuple[str, dict[str, str], bytes]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await Spy()(scope, receive, send)
            return
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        body = (await receive())["body"]
        question = self._question(scope, headers, body)
        self.seen.append((question, headers, body))
        status, answer = self.answers[question]
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": answer})

    def _question(self, scope: Scope, headers: Mapping[str, str], body: bytes) -> str:
        if (scope["method"], scope["path"]) == ("POST", "/token"):
            return "token"
        if headers["host"] == BLOCKED_HOST:
            return "blocked"
        return {"tools/list": "listed", "tools/call": "called"}[orjson.loads(body)["method"]]

    @property
    def client(self) -> DemoClient:
        return DemoClient(DemoState(self.port, "demo", "s3cret"))


@pytest.fixture(scope="module")
def running_gate() -> Generator[Gate]:
    gate = Gate()
    with serve(gate) as gate.port:
        yield gate


@pytest.fixture
def gate(running_gate: Gate) -> Gate:
    running_gate.answers = dict(GOOD_ANSWERS)
    running_gate.seen.clear()
    return running_gate


@pytest.mark.parametrize(
    ("scopes", "asked"),
    [
        pytest.param((), {}, id="no scope"),
        pytest.param(("docs:read",), {"scope": ["docs:read"]}, id="one scope"),
        pytest.param(("docs:read", "docs:full"), {"scope": ["docs:read docs:full"]}, id="two scopes"),
    ],
)
def test_a_token_is_asked_for_as_the_specification_says(
    gate: Gate, scopes: tuple[str, ...], asked: Mapping[str, list[str]]
) -> None:
    assert gate.client.fetch_token(DOCS, scopes) == "eyJ0"

    ((_, headers, body),) = gate.seen
    assert headers["host"] == "login.tunnel.localhost"
    assert headers["content-type"] == "application/x-www-form-urlencoded"
    assert headers["authorization"] == "Basic " + base64.b64encode(b"demo:s3cret").decode()
    assert parse_qs(body.decode()) == {
        "grant_type": ["client_credentials"],
        "resource": [DOCS.resource(gate.port)],
        **asked,
    }


def test_the_sentence_for_a_demo_that_is_not_there_says_what_to_do() -> None:
    port = free_port()

    with pytest.raises(DemoError) as failed:
        DemoClient(DemoState(port, "demo", "s3cret")).fetch_token(DOCS)

    assert str(failed.value).startswith(f"nothing answers at http://127.0.0.1:{port} (")
    assert str(failed.value).endswith("); start the demo first")


def test_a_refusal_of_the_issuer_is_passed_on(gate: Gate) -> None:
    gate.answers["token"] = (400, b'{"error":"invalid_scope"}')

    with pytest.raises(DemoError, match="refused") as failed:
        gate.client.fetch_token(DOCS)

    assert str(failed.value) == 'the development issuer refused: {"error":"invalid_scope"}'


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"<html>It works!</html>", id="another server's page"),
        pytest.param(b"{}", id="no token"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b"", id="nothing"),
        pytest.param(b"\xff", id="no text"),
        pytest.param(b'{"access_token": null}', id="a token that is no text"),
    ],
)
def test_what_is_no_token_is_one_sentence(gate: Gate, body: bytes) -> None:
    gate.answers["token"] = (200, body)

    with pytest.raises(DemoError) as failed:
        gate.client.fetch_token(DOCS)

    assert "\n" not in str(failed.value)


def test_proxies_of_the_environment_are_not_used(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)

    assert gate.client.fetch_token(DOCS) == "eyJ0"


KEYS = [
    "tools_list_status",
    "tools_list_body",
    "tool_call_status",
    "tool_call_body",
    "blocked_status",
    "blocked_body",
]


def test_the_probe_asks_three_questions_and_finds_nothing_wrong(gate: Gate) -> None:
    answers, wrong = gate.client.probe(DOCS)

    assert wrong == []
    bodies = [LISTED[1].decode(), CALLED[1].decode(), REFUSED.decode()]
    assert list(answers) == KEYS
    assert list(answers.values()) == ["200", bodies[0], "200", bodies[1], "403", bodies[2]]
    assert [question for question, _, _ in gate.seen] == ["token", "listed", "called", "blocked"]
    assert {headers["authorization"] for _, headers, _ in gate.seen[1:]} == {"Bearer eyJ0"}
    params = orjson.loads(gate.seen[2][2])["params"]
    assert (params["name"], params["arguments"]) == (DOCS.tool, DOCS.arguments)


@pytest.mark.parametrize("route", ROUTES.values(), ids=ROUTES)
def test_each_route_is_asked_under_its_own_name_for_its_own_tool(gate: Gate, route: DemoRoute) -> None:
    gate.client.probe(route)

    assert [headers["host"] for _, headers, _ in gate.seen] == [
        "login.tunnel.localhost",
        route.hostname,
        route.hostname,
        BLOCKED_HOST,
    ]
    assert parse_qs(gate.seen[0][2].decode())["resource"] == [route.resource(gate.port)]
    called = orjson.loads(gate.seen[2][2])["params"]
    assert (called["name"], called["arguments"]) == (route.tool, dict(route.arguments))


ANSWERS = {
    "tools_list_status": "200",
    "tools_list_body": LISTED[1].decode(),
    "tool_call_status": "200",
    "tool_call_body": result({"structuredContent": {"hits": [{"path": "README.md"}]}})[1].decode(),
    "blocked_status": "403",
    "blocked_body": REFUSED.decode(),
}


def test_a_summary_has_what_a_person_looks_for_and_nothing_else() -> None:
    assert summary(DOCS, ANSWERS) == [
        "docs.tunnel.localhost",
        "  200  lists search_docs, read_doc, list_docs",
        '  200  search_docs {"query":"tunnel","limit":1}',
        '       {"hits":[{"path":"README.md"}]}',
        f"  403  admin.tunnel.localhost {REFUSED.decode()}",
    ]


@pytest.mark.parametrize(
    ("changed", "line"),
    [
        pytest.param(
            {"tools_list_status": "401", "tools_list_body": '{"error":"token_required"}'},
            '  401  lists {"error":"token_required"}',
            id="a list that is refused",
        ),
        pytest.param({"tools_list_body": ""}, "  200  lists ", id="no list at all"),
        pytest.param(
            {"tool_call_body": '{"result":{"isError":true}}'},
            '       {"result":{"isError":true}}',
            id="a call that failed",
        ),
        pytest.param({"tool_call_body": "x" * 93}, f"       {'x' * 93}", id="as much as a line holds"),
        pytest.param({"tool_call_body": "x" * 94}, f"       {'x' * 92}…", id="more than a line"),
        pytest.param(
            {"blocked_body": "a\x1b[2Jb\u202ec\x9bd\ne"},
            "  403  admin.tunnel.localhost a [2Jb c d e",
            id="what a terminal would obey",
        ),
    ],
)
def test_a_summary_shows_what_came_in_a_line_each(changed: dict[str, str], line: str) -> None:
    lines = summary(DOCS, {**ANSWERS, **changed})

    assert line in lines
    assert len(lines) == 5
    assert max(map(len, lines)) <= 100


LIST_WRONG = "the list should be exactly search_docs, read_doc, list_docs"
CALL_WRONG = "the call of search_docs should have succeeded"
BLOCKED_WRONG = "admin.tunnel.localhost should have been refused"


@pytest.mark.parametrize(
    ("question", "answer", "wrong"),
    [
        pytest.param("listed", result({"tools": []}), LIST_WRONG, id="an empty list"),
        pytest.param(
            "listed",
            result({"tools": [{"name": name} for name in (*DOCS.tools, "reindex_docs")]}),
            LIST_WRONG,
            id="a tool too many",
        ),
        pytest.param("listed", (401, b'{"error":"token_required"}'), LIST_WRONG, id="a list that is refused"),
        pytest.param("listed", (502, b"<html>"), LIST_WRONG, id="a list that is no JSON"),
        pytest.param("listed", result(None), LIST_WRONG, id="a result that is null"),
        pytest.param("listed", result([]), LIST_WRONG, id="a result that is a list"),
        pytest.param("listed", result({"tools": [1, {}]}), LIST_WRONG, id="tools without a name"),
        pytest.param("called", result({"content": [], "isError": True}), CALL_WRONG, id="a call that failed"),
        pytest.param("called", result(None), CALL_WRONG, id="a call with nothing"),
        pytest.param("called", (403, LISTED[1]), CALL_WRONG, id="a call that is refused"),
        pytest.param("blocked", LISTED, BLOCKED_WRONG, id="a blocked host that is not"),
        pytest.param("blocked", (404, b""), BLOCKED_WRONG, id="a blocked host that is only not found"),
    ],
)
def test_the_probe_says_what_is_wrong_whatever_comes_back(
    gate: Gate, question: str, answer: Answer, wrong: str
) -> None:
    gate.answers[question] = answer

    answers, sentences = gate.client.probe(DOCS)

    assert sentences == [wrong]
    assert list(answers) == KEYS


def test_the_probe_names_everything_that_is_wrong(gate: Gate) -> None:
    gate.answers |= dict.fromkeys(["listed", "called", "blocked"], (500, b""))

    _, sentences = gate.client.probe(DOCS)

    assert sentences == [LIST_WRONG, CALL_WRONG, BLOCKED_WRONG]
