"""The server on a real socket, with the official client in both eras and tokens that it verifies itself."""

import json
import re
from collections.abc import Generator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp.shared.exceptions import MCPError
from mcp.types import INTERNAL_ERROR, INVALID_PARAMS, INVALID_REQUEST, PARSE_ERROR, TextResourceContents
from sqlalchemy import Engine

from tests.servers.hosting.raw_calls import Verbatim, Wire, call
from tests.servers.serving import connected, own_check_options, sentence, served, structured, token
from tests.servers.tickets_draft.ticketing import ALICE, CHANGED, NO_SUCH, Moment, contents, counts
from tunnelgate_servers.tickets_draft import Drafts, Ticket, create_app
from tunnelgate_servers.tickets_draft.identifiers import new_draft_id

pytestmark = pytest.mark.anyio

DESK = "https://desk.example.com"
ALL = ("tickets:read", "tickets:draft", "tickets:submit", "tickets:close")
TEXTS = {"title": "The door is stuck", "body": "On the third floor."}
SCOPES = {
    "search_tickets": "tickets:read",
    "read_ticket": "tickets:read",
    "create_draft": "tickets:draft",
    "update_draft": "tickets:draft",
    "discard_draft": "tickets:draft",
    "submit_draft": "tickets:submit",
    "close_ticket": "tickets:close",
}
UNKNOWN_DRAFT = {"draft_id": new_draft_id(), "expected_version": 1}


@pytest.fixture
def url(database: str, tmp_path: Path, clock: Moment) -> Generator[str]:
    """Give the URL of the server by itself, with its own bearer check."""
    app = create_app(database=database, desk_url=f"{DESK}/", clock=clock, **own_check_options(tmp_path))
    with served(app) as base:
        yield base


@pytest.fixture(
    params=[pytest.param("2026-07-28", id="modern era"), pytest.param("legacy", id="legacy era")],
)
def era(request: pytest.FixtureRequest) -> Wire:
    spoken: Wire = request.param
    return spoken


@pytest.fixture
def ticket(drafts: Drafts) -> Ticket:
    """Give the ticket TCK-1001."""
    draft = drafts.create(ALICE, title="The window is open", body="It rains in.", priority="urgent")
    return drafts.submit(ALICE, draft.id, 1)


async def test_a_ticket_is_drafted_searched_changed_and_submitted_by_a_person(
    url: str, era: Wire, ticket: Ticket, drafts: Drafts
) -> None:
    async with connected(url, era, token(*ALL)) as client:
        found = structured(await client.call_tool("search_tickets", {"query": "door"}))
        made = structured(await client.call_tool("create_draft", {**TEXTS, "idempotency_key": "k"}))
        again = structured(await client.call_tool("create_draft", {**TEXTS, "idempotency_key": "k"}))
        wanted = {"draft_id": made["id"], "expected_version": 1, "priority": "high"}
        changed = structured(await client.call_tool("update_draft", wanted))
        mine = structured(await client.call_tool("search_tickets", {"state": "draft"}))
        refused = sentence(await client.call_tool("submit_draft", {"draft_id": made["id"]}))
        drafts.submit(ALICE, made["id"], 2)
        gone = sentence(await client.call_tool("read_ticket", {"id": made["id"]}))
        became = structured(await client.call_tool("read_ticket", {"id": "TCK-1002"}))
        closed = structured(
            await client.call_tool("close_ticket", {"ticket_id": "TCK-1002", "expected_version": 1})
        )

    assert found == {"matched": "any word", "hits": [], "next_cursor": None}
    assert made == again
    assert re.fullmatch("DRF-[0-9A-Z]{12}", made["id"])
    assert made == {
        **TEXTS,
        "kind": "draft",
        "id": made["id"],
        "state": "draft",
        "priority": "normal",
        "requester": None,
        "version": 1,
        "created_at": "2026-11-22T10:30:00Z",
        "updated_at": "2026-11-22T10:30:00Z",
        "submit_at": f"{DESK}/draft?id={made['id']}",
    }
    assert changed == {**made, "priority": "high", "version": 2}
    assert [(hit["id"], hit["state"], hit["version"]) for hit in mine["hits"]] == [(made["id"], "draft", 2)]
    assert refused == (
        f"Only a person submits a draft. Ask them to read and submit it at {DESK}/draft?id={made['id']}."
    )
    assert gone == "This draft was submitted, and is the ticket TCK-1002 now."
    assert (became["kind"], became["state"], became["requester"]) == ("ticket", "open", "alice")
    assert (became["title"], became["priority"], became["submit_at"]) == (TEXTS["title"], "high", None)
    assert (closed["state"], closed["version"]) == ("closed", 2)


async def test_a_draft_is_discarded(url: str, era: Wire, engine: Engine) -> None:
    async with connected(url, era, token("tickets:draft")) as client:
        made = structured(await client.call_tool("create_draft", TEXTS))
        wanted = {"draft_id": made["id"], "expected_version": 1}
        done = structured(await client.call_tool("discard_draft", wanted))
        again = sentence(await client.call_tool("discard_draft", wanted))

    assert done == {"id": made["id"], "version": 1}
    assert again == NO_SUCH
    assert counts(engine)["drafts"] == 0


@pytest.mark.promise("person-submits")
async def test_submit_draft_submits_nothing(url: str, era: Wire, drafts: Drafts, engine: Engine) -> None:
    draft = drafts.create(ALICE, title="t", body="b", priority="low")
    before = contents(engine)

    async with connected(url, era, token(*ALL)) as client:
        for _ in range(3):
            result = await client.call_tool("submit_draft", {"draft_id": draft.id})
            assert result.is_error

    assert contents(engine) == before


async def test_without_a_desk_nobody_is_sent_anywhere(database: str, tmp_path: Path) -> None:
    app = create_app(database=database, **own_check_options(tmp_path))
    with served(app) as url:
        async with connected(url, "2026-07-28", token(*ALL)) as client:
            made = structured(await client.call_tool("create_draft", TEXTS))
            refused = sentence(await client.call_tool("submit_draft", {"draft_id": made["id"]}))

    assert made["submit_at"] is None
    assert refused == "Only a person submits a draft. Ask them to read and submit it."


async def test_every_tool_says_what_it_is_for_and_what_it_takes_and_gives(url: str, era: Wire) -> None:
    async with connected(url, era, token(*ALL)) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}

    assert list(tools) == list(SCOPES)
    for tool in tools.values():
        schema: dict[str, Any] = tool.input_schema
        assert tool.title
        assert tool.description
        assert schema["additionalProperties"] is False
        assert all(each.get("description") for each in schema["properties"].values()), tool.name
        output: dict[str, Any] = tool.output_schema or {}
        assert all(each.get("description") for each in output["properties"].values()), tool.name
    hints = {
        name: (tool.annotations.read_only_hint, tool.annotations.destructive_hint)
        for name, tool in tools.items()
        if tool.annotations
    }
    reading, adding, replacing = (True, None), (False, False), (False, True)
    assert hints == {
        "search_tickets": reading,
        "read_ticket": reading,
        "create_draft": adding,
        "update_draft": replacing,
        "discard_draft": replacing,
        "submit_draft": reading,
        "close_ticket": replacing,
    }


async def test_the_bounds_of_the_arguments_are_in_the_schema(url: str) -> None:
    async with connected(url, "2026-07-28", token(*ALL)) as client:
        tools = {tool.name: tool.input_schema for tool in (await client.list_tools()).tools}

    create: Any = tools["create_draft"]["properties"]
    assert (create["title"]["minLength"], create["title"]["maxLength"]) == (1, 200)
    assert (create["body"]["minLength"], create["body"]["maxLength"]) == (1, 20_000)
    assert create["priority"]["enum"] == ["low", "normal", "high", "urgent"]
    assert create["idempotency_key"]["maxLength"] == 100
    assert tools["create_draft"]["required"] == ["title", "body"]
    update: Any = tools["update_draft"]["properties"]
    assert (update["title"]["maxLength"], update["body"]["maxLength"]) == (200, 20_000)
    assert (update["expected_version"]["minimum"], update["expected_version"]["maximum"]) == (1, 2**31 - 1)
    search: Any = tools["search_tickets"]["properties"]
    assert search["query"]["maxLength"] == 500
    assert search["state"]["enum"] == ["any", "open", "closed", "draft"]
    assert search["priority"]["enum"] == ["any", "low", "normal", "high", "urgent"]
    assert update["priority"]["enum"] == ["unchanged", "low", "normal", "high", "urgent"]


ARGUMENTS: dict[str, dict[str, Any]] = {
    "search_tickets": {},
    "read_ticket": {"id": "TCK-1001"},
    "create_draft": TEXTS,
    "update_draft": {**UNKNOWN_DRAFT, "title": "t"},
    "discard_draft": UNKNOWN_DRAFT,
    "submit_draft": {"draft_id": UNKNOWN_DRAFT["draft_id"]},
    "close_ticket": {"ticket_id": "TCK-1001", "expected_version": 1},
}


@pytest.mark.parametrize(("name", "scope"), SCOPES.items(), ids=SCOPES)
@pytest.mark.promise("server-holds-alone")
async def test_each_tool_needs_its_own_scope_and_no_other_one_will_do(
    url: str, era: Wire, ticket: Ticket, engine: Engine, name: str, scope: str
) -> None:
    before = contents(engine)

    async with connected(url, era, token(*(each for each in ALL if each != scope))) as client:
        refused = sentence(await client.call_tool(name, ARGUMENTS[name]))

    assert refused == f"This needs a token with the scope {scope}."
    assert contents(engine) == before


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        pytest.param("read_ticket", {}, id="read_ticket"),
        pytest.param("update_draft", {"expected_version": 1, "title": "Mine now"}, id="update_draft"),
        pytest.param("update_draft", {"expected_version": 7, "title": "Mine now"}, id="another version"),
        pytest.param("discard_draft", {"expected_version": 1}, id="discard_draft"),
        pytest.param("submit_draft", {}, id="submit_draft"),
    ],
)
@pytest.mark.promise("rows-by-principal")
async def test_a_draft_of_somebody_else_is_answered_like_one_that_does_not_exist(
    url: str, era: Wire, drafts: Drafts, engine: Engine, name: str, arguments: Any
) -> None:
    draft = drafts.create(ALICE, title="Salaries", body="Secret.", priority="low")
    before = contents(engine)
    key = "id" if name == "read_ticket" else "draft_id"

    async with connected(url, era, token(*ALL, subject="mallory")) as client:
        answers = [
            await client.call_tool(name, {key: identifier, **arguments})
            for identifier in (draft.id, new_draft_id(), "DRF-1", "TCK-1")
        ]
        mine = structured(await client.call_tool("search_tickets", {"state": "draft"}))

    assert {sentence(each) for each in answers} == {NO_SUCH}
    assert mine["hits"] == []
    assert contents(engine) == before


async def test_drafts_are_no_tickets_and_tickets_are_no_drafts(
    url: str, era: Wire, drafts: Drafts, engine: Engine, ticket: Ticket
) -> None:
    draft = drafts.create(ALICE, title="t", body="b", priority="low")
    before = contents(engine)

    async with connected(url, era, token(*ALL)) as client:
        for name, arguments in (
            ("close_ticket", {"ticket_id": draft.id, "expected_version": 1}),
            ("update_draft", {"draft_id": ticket.id, "expected_version": 1, "title": "x"}),
            ("discard_draft", {"draft_id": ticket.id, "expected_version": 1}),
            ("submit_draft", {"draft_id": ticket.id}),
        ):
            assert sentence(await client.call_tool(name, arguments)) == NO_SUCH

    assert contents(engine) == before


async def test_another_version_is_answered_with_the_one_there_is(
    url: str, era: Wire, drafts: Drafts, engine: Engine
) -> None:
    draft = drafts.create(ALICE, title="t", body="b", priority="low")
    drafts.update(ALICE, draft.id, 1, title="u")
    before = contents(engine)

    async with connected(url, era, token(*ALL)) as client:
        for name, arguments in (("update_draft", {"title": "v"}), ("discard_draft", {})):
            wanted = {"draft_id": draft.id, "expected_version": 1, **arguments}
            assert sentence(await client.call_tool(name, wanted)) == CHANGED

    assert contents(engine) == before


MARK = "xyzzy"
CONTROLS = [
    pytest.param("\\u0000", id="NUL"),
    pytest.param("\\u001b[2J", id="an escape sequence"),
    pytest.param("\\u007f", id="delete"),
    pytest.param("\\u0085", id="a control character of C1"),
    pytest.param("\\u202e", id="a turn from right to left"),
    pytest.param("\\u2066", id="an isolate"),
]
IN_A_TEXT = [
    ("create_draft", {"title": MARK, "body": "b"}),
    ("create_draft", {"title": "t", "body": MARK}),
    ("create_draft", {"title": "t", "body": "b", "priority": MARK}),
    ("create_draft", {"title": "t", "body": "b", "idempotency_key": MARK}),
    ("update_draft", {**UNKNOWN_DRAFT, "title": MARK}),
    ("update_draft", {**UNKNOWN_DRAFT, "body": MARK}),
    ("update_draft", {"expected_version": 1, "title": "t", "draft_id": MARK}),
    ("discard_draft", {"expected_version": 1, "draft_id": MARK}),
    ("submit_draft", {"draft_id": MARK}),
    ("close_ticket", {"ticket_id": MARK, "expected_version": 1}),
    ("read_ticket", {"id": MARK}),
    ("search_tickets", {"query": MARK}),
    ("search_tickets", {"cursor": MARK}),
    ("search_tickets", {"state": MARK}),
    ("search_tickets", {"priority": MARK}),
]


async def refused(url: str, era: Wire, name: str, arguments: str) -> str:
    """Return the sentence with which a call is refused, whose arguments are these very characters."""
    answer = await call(url, era, name, Verbatim(arguments), token=token(*ALL))
    assert answer.status == 200, answer
    return answer.sentence.removeprefix(f"Error executing tool {name}: ")


@pytest.mark.parametrize("characters", CONTROLS)
async def test_control_characters_are_refused_everywhere_and_not_repeated(
    url: str, era: Wire, engine: Engine, ticket: Ticket, characters: str
) -> None:
    before = contents(engine)

    for name, arguments in IN_A_TEXT:
        hostile = json.dumps(arguments).replace(MARK, f"{MARK}{characters}{MARK}")
        said = await refused(url, era, name, hostile)
        assert MARK not in said, name
        assert said.endswith("."), name
        assert "Traceback" not in said, name

    assert contents(engine) == before


async def test_half_a_character_is_refused_everywhere(
    url: str, era: Wire, engine: Engine, ticket: Ticket
) -> None:
    before = contents(engine)

    for name, arguments in IN_A_TEXT:
        hostile = Verbatim(json.dumps(arguments).replace(MARK, f"{MARK}\\ud800"))
        answer = await call(url, era, name, hostile, token=token(*ALL))
        assert MARK not in answer.text, name
        if era == "legacy":  # in which the SDK takes it for no JSON
            assert (answer.status, answer.message["error"]["code"]) == (400, PARSE_ERROR), name
        else:
            assert answer.sentence.endswith("."), name

    assert contents(engine) == before


async def test_a_text_of_a_megabyte_is_refused_everywhere_in_few_words(
    url: str, era: Wire, engine: Engine, ticket: Ticket
) -> None:
    before = contents(engine)

    for name, arguments in IN_A_TEXT:
        said = await refused(url, era, name, json.dumps(arguments).replace(MARK, "x" * 1_000_000))
        assert len(said) < 200, name
        assert "xx" not in said, name

    assert contents(engine) == before


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        pytest.param("create_draft", {"title": "", "body": "b"}, id="an empty title"),
        pytest.param("create_draft", {"title": "  ", "body": "b"}, id="a title of blanks"),
        pytest.param("create_draft", {"title": "t", "body": "\n\n"}, id="a body of lines"),
        pytest.param("create_draft", {"title": "t" * 201, "body": "b"}, id="a title that is too long"),
        pytest.param("create_draft", {"title": "t", "body": "b" * 20_001}, id="a body that is too long"),
        pytest.param("create_draft", {"title": "a\nb", "body": "b"}, id="a title of two lines"),
        pytest.param("create_draft", {"title": "t", "body": "b", "priority": "Urgent"}, id="a priority"),
        pytest.param("create_draft", {"title": "t", "body": "b", "owner": "bob"}, id="an owner"),
        pytest.param("create_draft", {"title": "t", "body": "b", "idempotency_key": "k" * 101}, id="a key"),
        pytest.param("create_draft", {"title": "t"}, id="no body"),
        pytest.param("create_draft", {"title": None, "body": "b"}, id="null for a title"),
        pytest.param("create_draft", {"title": ["t"], "body": "b"}, id="a list for a title"),
        pytest.param("update_draft", UNKNOWN_DRAFT, id="nothing to change"),
        pytest.param("update_draft", {**UNKNOWN_DRAFT, "title": "  "}, id="a blank title"),
        pytest.param("discard_draft", {**UNKNOWN_DRAFT, "expected_version": 0}, id="a version of 0"),
        pytest.param("discard_draft", {**UNKNOWN_DRAFT, "expected_version": -1}, id="a version below 0"),
        pytest.param("discard_draft", {**UNKNOWN_DRAFT, "expected_version": 1.5}, id="a broken version"),
        pytest.param("discard_draft", {**UNKNOWN_DRAFT, "expected_version": 2**31}, id="too high a version"),
        pytest.param("discard_draft", {**UNKNOWN_DRAFT, "expected_version": 10**30}, id="a huge version"),
        pytest.param("discard_draft", {"draft_id": UNKNOWN_DRAFT["draft_id"]}, id="no version"),
        pytest.param("search_tickets", {"query": '* % "'}, id="a query without a word"),
        pytest.param("search_tickets", {"query": " ".join("abcdefghijklm")}, id="too many words"),
        pytest.param("search_tickets", {"state": "deleted"}, id="a state"),
        pytest.param("search_tickets", {"cursor": "e30="}, id="a cursor"),
        pytest.param("search_tickets", {"cursor": "é"}, id="a cursor that is no Base64"),
    ],
)
async def test_what_cannot_be_is_refused_with_a_sentence_and_changes_nothing(
    url: str, era: Wire, engine: Engine, name: str, arguments: Any
) -> None:
    before = contents(engine)

    async with connected(url, era, token(*ALL)) as client:
        said = sentence(await client.call_tool(name, arguments))

    assert said.endswith(".")
    assert len(said) < 200
    assert contents(engine) == before


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("123", id="a number"),
        pytest.param("null", id="null"),
        pytest.param('{"a": 1}', id="an object"),
        pytest.param("'; DROP TABLE drafts; --", id="SQL"),
        pytest.param("{title} %s %(x)s ${y}", id="placeholders"),
        pytest.param("<script>alert(1)</script>", id="HTML"),
        pytest.param("שלום 👩‍👩‍👧 e\u0301", id="other scripts"),
    ],
)
async def test_texts_come_back_as_they_were_given(url: str, era: Wire, text: str) -> None:
    async with connected(url, era, token(*ALL)) as client:
        made = structured(
            await client.call_tool("create_draft", {"title": text, "body": f"{text}\n\t{text}"})
        )
        wanted = {"draft_id": made["id"], "expected_version": 1, "title": f"{text} "}
        changed = structured(await client.call_tool("update_draft", wanted))
        read = structured(await client.call_tool("read_ticket", {"id": made["id"]}))

    assert (made["title"], made["body"]) == (text, f"{text}\n\t{text}")
    assert (changed["title"], changed["body"]) == (f"{text} ", f"{text}\n\t{text}")
    assert read == changed


async def test_a_ticket_is_a_resource(url: str, era: Wire, ticket: Ticket) -> None:
    async with connected(url, era, token("tickets:read")) as client:
        (template,) = (await client.list_resource_templates()).resource_templates
        listed = (await client.list_resources()).resources
        (content,) = (await client.read_resource("tickets:///TCK-1001")).contents
        read = structured(await client.call_tool("read_ticket", {"id": "TCK-1001"}))

    assert (template.uri_template, template.mime_type) == ("tickets:///{id}", "application/json")
    assert listed == []
    assert isinstance(content, TextResourceContents)
    assert json.loads(content.text) == read


@pytest.mark.parametrize(
    "identifier", ["TCK-1", "TCK-99999999999", "tck-1001", "", "..%2FTCK-1001", "TCK-1001%00", "%ED%A0%80"]
)
async def test_a_resource_that_is_not_there_is_the_error_of_the_protocol(
    url: str, era: Wire, ticket: Ticket, identifier: str
) -> None:
    async with connected(url, era, token("tickets:read")) as client:
        with pytest.raises(MCPError) as raised:
            await client.read_resource(f"tickets:///{identifier}")

    assert raised.value.code == INVALID_PARAMS


async def test_a_draft_is_no_resource_not_even_for_its_owner(url: str, era: Wire, drafts: Drafts) -> None:
    draft = drafts.create(ALICE, title="t", body="b", priority="low")

    async with connected(url, era, token(*ALL)) as client:
        with pytest.raises(MCPError) as raised:
            await client.read_resource(f"tickets:///{draft.id}")

    assert raised.value.code == INVALID_PARAMS


async def test_resources_need_the_scope_for_reading(url: str, era: Wire, ticket: Ticket) -> None:
    async with connected(url, era, token("tickets:draft")) as client:
        with pytest.raises(MCPError, match=r"This needs a token with the scope tickets:read.") as raised:
            await client.read_resource("tickets:///TCK-1001")

    assert raised.value.code == INVALID_REQUEST


async def test_a_database_that_fails_is_said_to_and_named_nowhere(
    url: str, era: Wire, ticket: Ticket, engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE tickets RENAME TO elsewhere")
        connection.exec_driver_sql("ALTER TABLE changes RENAME TO nowhere")

    async with connected(url, era, token(*ALL)) as client:
        read = sentence(await client.call_tool("read_ticket", {"id": "TCK-1001"}))
        made = sentence(await client.call_tool("create_draft", TEXTS))
        with pytest.raises(MCPError) as raised:
            await client.read_resource("tickets:///TCK-1001")
    async with httpx2.AsyncClient() as http:
        health = await http.get(f"{url}/healthz")

    assert read == "The data cannot be read at the moment; try again later."
    assert made == "The data cannot be changed at the moment; try again later."
    assert (raised.value.code, raised.value.message) == (INTERNAL_ERROR, read)
    assert (health.status_code, health.json()) == (503, {"status": "unavailable"})
    assert "A ticket could not be read as a resource" in caplog.text
    with engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE elsewhere RENAME TO tickets")
        connection.exec_driver_sql("ALTER TABLE nowhere RENAME TO changes")
    assert counts(engine)["drafts"] == 0


async def test_the_server_is_healthy_and_answers_nobody_without_a_token(url: str, era: Wire) -> None:
    async with httpx2.AsyncClient() as http:
        health = await http.get(f"{url}/healthz")
    answer = await call(url, era, "search_tickets", {}, token=None)

    assert (health.status_code, health.json()) == (200, {"status": "ok"})
    assert answer.status == 401


async def test_without_a_check_of_its_own_nobody_is_answered(database: str, era: Wire) -> None:
    with served(create_app(database=database)) as url:
        answer = await call(url, era, "search_tickets", {}, token=token(*ALL))

    assert answer.status == 401


async def test_the_server_introduces_itself(url: str) -> None:
    async with connected(url, "legacy", token(*ALL)) as client:
        assert client.server_info is not None
        assert (client.server_info.name, client.server_info.title) == ("tickets_draft", "Tickets")
        instructions = client.instructions or ""

    for word in (
        "search_tickets",
        "read_ticket",
        "create_draft",
        "update_draft",
        "discard_draft",
        "submit_at",
    ):
        assert word in instructions
