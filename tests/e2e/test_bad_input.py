"""Bad input for the four sample servers, through the gate: a sentence each time, and nothing else."""

import re
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from mcp.types import INVALID_REQUEST

from tests.e2e.test_four_servers import SAMPLES, Standing, standing
from tests.servers.hosting.raw_calls import Answer, Wire, send
from tests.servers.serving import connected, sentence, structured, token
from tests.support.mcp import legacy, modern
from tests.support.servers import exchange_bytes

pytestmark = pytest.mark.anyio

MODERN: Wire = "2026-07-28"
LEGACY: Wire = "legacy"
WRITERS = {MODERN: modern, LEGACY: legacy}
BY_NAME = {sample.name: sample for sample in SAMPLES}
MEGABYTE = "q" * 10**6
BODY_LIMIT = 1024 * 1024  # octets, which is what a route of the gate has unless it says otherwise
MAX_SENTENCE = 300
HERE = {"service": "checkout", "environment": "production"}

# What a sentence would have of the machinery behind it.
MACHINERY = re.compile(
    r"Traceback|File \"|\.py\b|\b\w+(Error|Exception)\b|sqlite|psycopg|pydantic|sqlalchemy"
    r"|SELECT |INSERT |FROM |WHERE |/tmp|/home|/usr|/etc|0x[0-9a-f]{6}"
)

NO_PATH = "There is no document with this path; list_docs names the paths there are."
NO_TICKET = "There is no ticket and no draft of yours with this id; search_tickets finds them."
CONTROL = "it holds a control character"
TOO_LONG = "at most"


@dataclass(frozen=True)
class Place:
    """A gate with one server in it, and the folder with everything that the two keep."""

    at: Standing
    folder: Path

    @property
    def url(self) -> str:
        return self.at.url

    @property
    def host(self) -> str:
        return self.at.sample.host

    def token(self, subject: str = "alice", **claims: Any) -> str:
        sample = self.at.sample
        said = {**sample.claims, **claims}
        return token(*sample.scopes, subject=subject, resource=sample.resource, claims=said)

    def kept(self) -> dict[str, str]:
        """Return what every file holds, but for the record of the gate, which each call is added to."""
        files = (each for each in sorted(self.folder.rglob("*")) if each.is_file())
        return {
            str(each.relative_to(self.folder)): sha256(each.read_bytes()).hexdigest()
            for each in files
            if each.name != "audit.jsonl"
        }


Places = Callable[[str], Place]


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Generator[Places]:
    """Give each server by its name, inside a gate that runs from the first use to the end of this file."""
    with ExitStack() as running:

        @cache
        def place(name: str) -> Place:
            folder = tmp_path_factory.mktemp(name)
            return Place(running.enter_context(standing(BY_NAME[name], "mounted", folder)), folder)

        yield place


def check_said(place: Place, said: str, *sent: object) -> None:
    """Check that it is one short sentence, of nothing that was sent and nothing that stands behind."""
    assert said.strip()
    assert len(said) <= MAX_SENTENCE
    assert said.isprintable()
    assert said.endswith(".")
    assert MACHINERY.search(said) is None
    assert str(place.folder) not in said
    beginnings = [str(each)[:100] for each in sent]
    assert [each for each in beginnings if len(each) > 3 and each in said] == []


BAD: Mapping[str, Sequence[tuple[str, str, Mapping[str, Any], str]]] = {
    "docs_readonly": [
        ("a path to the index", "read_doc", {"path": "../docs.sqlite"}, NO_PATH),
        ("a path upwards", "read_doc", {"path": "../../../etc/passwd"}, NO_PATH),
        ("an absolute path", "read_doc", {"path": "/etc/passwd"}, NO_PATH),
        ("an encoded path", "read_doc", {"path": "%2e%2e%2fdocs.sqlite"}, NO_PATH),
        ("a URL of a file", "read_doc", {"path": "file:///etc/passwd"}, NO_PATH),
        ("an unknown path", "read_doc", {"path": "nowhere.md"}, NO_PATH),
        ("SQL for a path", "read_doc", {"path": "x' OR '1'='1"}, NO_PATH),
        ("operators alone", "search_docs", {"query": '"*" ^ -'}, "no word"),
        ("a query of a megabyte", "search_docs", {"query": MEGABYTE}, TOO_LONG),
        ("a cursor of a megabyte", "list_docs", {"cursor": MEGABYTE}, TOO_LONG),
        ("NUL", "search_docs", {"query": "gate\0gate"}, CONTROL),
        ("text that runs backwards", "read_doc", {"path": "a\u202edm.b"}, CONTROL),
        ("unseen tags", "list_docs", {"prefix": "a\U000e0061\U000e0062"}, CONTROL),
        ("half a limit", "search_docs", {"query": "gate", "limit": 1.5}, "limit: "),
        ("a cursor", "list_docs", {"cursor": "bm90IG91cnM="}, "not one of this"),
    ],
    "tickets_draft": [
        ("an unknown id", "read_ticket", {"id": "TCK-999999"}, NO_TICKET),
        ("an unknown draft", "read_ticket", {"id": "DRF-ZZZZZZZZZZZZ"}, NO_TICKET),
        ("a path", "read_ticket", {"id": "../tickets_draft"}, NO_TICKET),
        ("SQL for an id", "read_ticket", {"id": "TCK-1001' OR 1=1"}, NO_TICKET),
        (
            "an unknown draft to discard",
            "discard_draft",
            {"draft_id": "DRF-ZZZZZZZZZZZZ", "expected_version": 1},
            "There is no",
        ),
        (
            "half a version",
            "discard_draft",
            {"draft_id": "DRF-ZZZZZZZZZZZZ", "expected_version": 1.5},
            "expected_version: ",
        ),
        ("operators alone", "search_tickets", {"query": '* % "'}, "no word"),
        ("a text of a megabyte", "create_draft", {"title": "Disk full", "body": MEGABYTE}, TOO_LONG),
        ("a title of a megabyte", "create_draft", {"title": MEGABYTE, "body": "Since noon."}, TOO_LONG),
        ("NUL in a title", "create_draft", {"title": "Disk\0full", "body": "Since noon."}, CONTROL),
        (
            "an isolate in a text",
            "create_draft",
            {"title": "Disk full", "body": "Since\u2066 noon."},
            CONTROL,
        ),
        ("an unseen tag", "create_draft", {"title": "Disk full", "body": "Since noon.\U000e0041"}, CONTROL),
        (
            "an owner",
            "create_draft",
            {"title": "Disk full", "body": "Since noon.", "owner": "mallory"},
            "not known",
        ),
    ],
    "billing_audit": [
        ("an unknown account", "read_statement", {"account": "ACC-999999"}, "There is no account"),
        ("a path for an account", "read_statement", {"account": "../ACC-1001"}, "There is no account"),
        ("an unknown charge", "explain_charge", {"charge": "TXN-999999"}, "There is no charge"),
        ("SQL for a charge", "explain_charge", {"charge": "TXN-1 UNION ALL"}, "There is no charge"),
        (
            "days that end before they begin",
            "read_statement",
            {"account": "ACC-1001", "date_from": "2026-03-31", "date_to": "2026-03-01"},
            "date",
        ),
        (
            "a search that ends before it begins",
            "search_transactions",
            {"date_from": "2026-03-31", "date_to": "2026-03-01"},
            "date",
        ),
        ("a day that is none", "search_transactions", {"date_from": "2026-02-30"}, "it is no date"),
        ("an amount with a fraction", "search_transactions", {"min_amount": 19.99}, "min_amount: "),
        ("an amount in words", "search_transactions", {"max_amount": "19.99"}, "max_amount: "),
        ("an amount below nothing", "search_transactions", {"min_amount": -1}, "min_amount: "),
        ("words of a megabyte", "search_transactions", {"words": MEGABYTE}, TOO_LONG),
        ("NUL", "search_transactions", {"words": "invoice\0"}, CONTROL),
        ("text that runs backwards", "search_transactions", {"words": "invoice\u202e"}, CONTROL),
        ("an unseen tag", "read_statement", {"account": "ACC-1001\U000e0041"}, CONTROL),
    ],
    "deploy_status": [
        ("a path upwards", "current_release", {**HERE, "service": "../../etc/passwd"}, "There is no"),
        ("an absolute path", "current_release", {**HERE, "environment": "/etc"}, "There is no"),
        ("a pattern", "release_history", {**HERE, "service": "production/*.yaml"}, "There is no"),
        ("an unknown service", "current_release", {**HERE, "service": "nowhere"}, "There is no"),
        (
            "days that end before they begin",
            "release_history",
            {**HERE, "from_day": "2026-03-02", "to_day": "2026-03-01"},
            "from_day is after to_day",
        ),
        ("a day that is none", "release_history", {**HERE, "to_day": "2026-02-30"}, "it is no date"),
        (
            "SQL for a version",
            "compare_releases",
            {**HERE, "from_version": "9' OR '1'='1"},
            "no such release",
        ),
        ("a name of a megabyte", "current_release", {**HERE, "service": MEGABYTE}, TOO_LONG),
        ("NUL", "current_release", {**HERE, "service": "check\0out"}, CONTROL),
        ("text that runs backwards", "current_release", {**HERE, "service": "check\u202eout"}, CONTROL),
        ("an unseen tag", "list_services", {"environment": "production\U000e0041"}, CONTROL),
    ],
}
CALLS = [
    pytest.param(name, (MODERN, LEGACY)[number % 2], tool, arguments, said, id=f"{name}, {why}")
    for name, rows in BAD.items()
    for number, (why, tool, arguments, said) in enumerate(rows)
]


@pytest.mark.parametrize(("name", "era", "tool", "arguments", "said"), CALLS)
async def test_a_call_that_is_wrong_is_answered_with_a_sentence_and_changes_nothing(
    places: Places, name: str, era: Wire, tool: str, arguments: dict[str, Any], said: str
) -> None:
    place = places(name)
    before = place.kept()

    async with connected(place.url, era, place.token(), place.host) as client:
        refused = sentence(await client.call_tool(tool, arguments))

    assert said in refused
    check_said(place, refused, *arguments.values())
    assert place.kept() == before


async def test_a_call_that_changes_something_would_be_noticed(places: Places) -> None:
    place = places("tickets_draft")
    before = place.kept()

    async with connected(place.url, MODERN, place.token(), place.host) as client:
        structured(await client.call_tool("create_draft", {"title": "Disk full", "body": "Since noon."}))

    assert [name for name, content in place.kept().items() if content != before.get(name)] == [
        "tickets_draft.sqlite"
    ]


# --- what belongs to somebody else ----------------------------------------------------------------


@pytest.mark.parametrize("era", [MODERN, LEGACY])
@pytest.mark.parametrize(
    ("tool", "argument", "arguments"),
    [
        pytest.param("read_ticket", "id", {}, id="reading"),
        pytest.param("update_draft", "draft_id", {"expected_version": 1, "title": "Mine"}, id="changing"),
        pytest.param("update_draft", "draft_id", {"expected_version": 7, "title": "Mine"}, id="guessing"),
        pytest.param("discard_draft", "draft_id", {"expected_version": 1}, id="discarding"),
    ],
)
@pytest.mark.promise("rows-by-principal")
async def test_a_draft_of_somebody_else_is_answered_like_one_that_nobody_has(
    places: Places, era: Wire, tool: str, argument: str, arguments: dict[str, Any]
) -> None:
    place = places("tickets_draft")
    async with connected(place.url, era, place.token("bob"), place.host) as bob:
        secret = {"title": "A secret of Bob", "body": "Nobody else reads this."}
        draft = structured(await bob.call_tool("create_draft", secret))["id"]
    before = place.kept()

    async with connected(place.url, era, place.token(), place.host) as alice:
        foreign, unknown = [
            sentence(await alice.call_tool(tool, {**arguments, argument: each}))
            for each in (draft, "DRF-ZZZZZZZZZZZZ")
        ]
        found = structured(await alice.call_tool("search_tickets", {"query": "secret", "state": "draft"}))

    assert foreign == unknown == NO_TICKET
    assert "secret of Bob" not in str(found)
    assert place.kept() == before


@pytest.mark.parametrize("era", [MODERN, LEGACY])
@pytest.mark.promise("rows-by-principal")
async def test_an_account_that_the_token_does_not_open_is_answered_like_one_that_nobody_has(
    places: Places, era: Wire
) -> None:
    place = places("billing_audit")
    before = place.kept()
    foreign, unknown = "ACC-1002", "ACC-999999"
    async with connected(place.url, era, place.token(), place.host) as everybody:
        asked = {"account": foreign, "kind": "charge", "limit": 1}
        (charge,) = structured(await everybody.call_tool("search_transactions", asked))["transactions"]

    one = place.token(accounts=["ACC-1001"])
    async with connected(place.url, era, one, place.host) as client:
        refused = {
            tool: [sentence(await client.call_tool(tool, {argument: each})) for each in ids]
            for tool, argument, ids in (
                ("read_statement", "account", (foreign, unknown)),
                ("search_transactions", "account", (foreign, unknown)),
                ("explain_charge", "charge", (charge["transaction"], "TXN-999999")),
            )
        }
        listed = structured(await client.call_tool("list_accounts", {}))["accounts"]

    for said in refused.values():
        assert len(set(said)) == 1
        check_said(place, said[0], foreign, unknown, charge["transaction"])
    assert [account["id"] for account in listed] == ["ACC-1001"]
    assert place.kept() == before


# --- operators in a search ------------------------------------------------------------------------

SEARCHES = {
    "docs_readonly": ("search_docs", "query", "hits", "deployment"),
    "tickets_draft": ("search_tickets", "query", "hits", "printer"),
    "billing_audit": ("search_transactions", "words", "transactions", "invoice"),
}


@pytest.mark.parametrize("name", SEARCHES)
@pytest.mark.parametrize("era", [MODERN, LEGACY])
async def test_operators_in_a_search_are_words_and_not_obeyed(places: Places, name: str, era: Wire) -> None:
    place = places(name)
    tool, argument, results, word = SEARCHES[name]
    before = place.kept()

    async with connected(place.url, era, place.token(), place.host) as client:

        async def found(query: str) -> list[Any]:
            hits: list[Any] = structured(await client.call_tool(tool, {argument: query}))[results]
            return hits

        plain = await found(word)
        signs = {
            query: await found(query)
            for query in (
                *("zzyzx || *", "!zzyzx", "-zzyzx", "title:zzyzx", "{title} : zzyzx", "zzyzx*", "^zzyzx"),
                *("NEAR(zzyzx)", '"zzyzx', "%zzyzx%", "zzyzx_", "zzyzx & !zzyzx", "zzyzx'--", "(zzyzx"),
            )
        }
        words = {
            operator: [await found(f"{word} {each} {word}") for each in (operator, operator.lower())]
            for operator in ("AND", "OR", "NOT")
        }

    assert plain != []
    assert {query: hits for query, hits in signs.items() if hits} == {}
    assert {operator: both for operator, both in words.items() if both[0] != both[1]} == {}
    assert place.kept() == before


# --- octets that the official client would not send -----------------------------------------------


async def call(place: Place, era: Wire, tool: str, arguments: str) -> Answer:
    """Call a tool through the gate with arguments as these very characters."""
    headers, body = WRITERS[era]("tools/call", {"name": tool, "arguments": "here"})
    sent = [(name, place.host if name == "host" else value) for name, value in headers]
    return await send(place.url, sent, body.replace(b'"here"', arguments.encode()), token=place.token())


TEXTS = {
    "docs_readonly": ("search_docs", "query"),
    "tickets_draft": ("search_tickets", "query"),
    "billing_audit": ("search_transactions", "words"),
    "deploy_status": ("list_services", "environment"),
}


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("era", [MODERN, LEGACY])
async def test_half_a_character_is_refused_by_the_gate(places: Places, name: str, era: Wire) -> None:
    place = places(name)
    tool, argument = TEXTS[name]
    before = place.kept()

    answer = await call(place, era, tool, f'{{"{argument}": "zzyzx\\ud800"}}')

    assert answer.status == 400
    assert answer.message["error"]["code"] == INVALID_REQUEST
    assert "zzyzx" not in answer.text
    assert MACHINERY.search(answer.text) is None
    assert place.kept() == before


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("era", [MODERN, LEGACY])
async def test_a_body_at_the_limit_is_for_the_server_and_one_past_it_is_refused_by_the_gate(
    places: Places, name: str, era: Wire
) -> None:
    place = places(name)
    tool, argument = TEXTS[name]
    before = place.kept()
    _, body = WRITERS[era]("tools/call", {"name": tool, "arguments": {argument: ""}})
    room = BODY_LIMIT - len(body)

    last = await call(place, era, tool, f'{{"{argument}":"{"q" * room}"}}')
    head = b"POST /mcp HTTP/1.1\r\nhost: %b\r\ncontent-length: %d\r\n\r\n" % (
        place.host.encode(),
        BODY_LIMIT + 1,
    )
    past = exchange_bytes(int(place.url.rpartition(":")[2]), head)

    _, _, said = last.sentence.partition(": ")
    check_said(place, said, "qqqq")
    assert TOO_LONG in said
    assert past.startswith(b"HTTP/1.1 413 ")
    assert past.endswith(b'\r\n\r\n{"error":"too_large"}')
    assert place.kept() == before
