"""What a caller must not get anything out of: each is answered with a sentence, and nothing changes."""

from collections.abc import Generator
from typing import Any

import pytest

from tests.servers.docs_readonly.documents import GUIDE, NAME, indexed, write_documents
from tests.servers.serving import Era, connected, own_check_options, sentence, served, structured, token
from tests.support.postgres import Databases
from tunnelgate_servers.docs_readonly import create_app

pytestmark = pytest.mark.anyio

READ = token("docs:read", "docs:reindex")
NO_PATH = "There is no document with this path; list_docs names the paths there are."
NO_WORD = "The query holds no word to search for; give at least one letter or digit."
MEGABYTE = "a" * 10**6


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory, lasting_databases: Databases) -> Generator[str]:
    place = tmp_path_factory.mktemp("bad-input")
    folder = write_documents(place / "docs", {"guide.md": GUIDE, "ops/b.md": "# B\n"})
    write_documents(place, {"secret.md": "secret"})
    (folder / "link.md").symlink_to(place / "secret.md")
    database = lasting_databases.reader(indexed(lasting_databases, folder), NAME)
    with served(create_app(database=database, **own_check_options(place))) as base:
        yield base


@pytest.fixture(params=["2026-07-28", "legacy"])
def era(request: pytest.FixtureRequest) -> Era:
    spoken: Era = request.param
    return spoken


@pytest.mark.parametrize(
    ("tool", "arguments", "said"),
    [
        pytest.param("search_docs", {"query": '"*" -'}, NO_WORD, id="only punctuation"),
        pytest.param("search_docs", {"query": " "}, NO_WORD, id="only a space"),
        pytest.param("search_docs", {"query": ""}, "query: ", id="an empty query"),
        pytest.param("search_docs", {"query": "a" * 501}, "query: ", id="a long query"),
        pytest.param("search_docs", {"query": MEGABYTE}, "query: ", id="a megabyte"),
        pytest.param(
            "search_docs",
            {"query": " ".join(f"w{n}" for n in range(99))},
            "more than 32 words",
            id="many words",
        ),
        pytest.param("search_docs", {"query": "gate\0"}, "query: ", id="NUL"),
        pytest.param("search_docs", {"query": "gate\x1b[2J"}, "query: ", id="an escape sequence"),
        pytest.param("search_docs", {"query": "gate\u202e"}, "query: ", id="text that runs backwards"),
        pytest.param("search_docs", {"query": ["gate"]}, "query: ", id="a list"),
        pytest.param("search_docs", {"query": None}, "query: ", id="null"),
        pytest.param("search_docs", {}, "query: ", id="no query"),
        pytest.param("search_docs", {"query": "gate", "limit": 0}, "limit: ", id="a limit below one"),
        pytest.param("search_docs", {"query": "gate", "limit": 21}, "limit: ", id="a limit too high"),
        pytest.param("search_docs", {"query": "gate", "limit": 1.5}, "limit: ", id="a limit with a fraction"),
        pytest.param(
            "search_docs", {"query": "gate", "limit": "many"}, "limit: ", id="a limit that is a word"
        ),
        pytest.param("search_docs", {"query": "gate", "limit": 10**30}, "limit: ", id="a limit without end"),
        pytest.param(
            "search_docs", {"query": "gate", "folder": "/etc"}, "arguments are: ", id="another argument"
        ),
        pytest.param("read_doc", {"path": "../secret.md"}, NO_PATH, id="a path outside"),
        pytest.param("read_doc", {"path": "ops/../../secret.md"}, NO_PATH, id="a path that leads outside"),
        pytest.param("read_doc", {"path": "ops/../guide.md"}, NO_PATH, id="a path that leads out and back"),
        pytest.param("read_doc", {"path": "/etc/passwd"}, NO_PATH, id="an absolute path"),
        pytest.param("read_doc", {"path": "file:///etc/passwd"}, NO_PATH, id="a URL of a file"),
        pytest.param("read_doc", {"path": "..\\secret.md"}, NO_PATH, id="a path with backslashes"),
        pytest.param("read_doc", {"path": "%2e%2e/secret.md"}, NO_PATH, id="an encoded path"),
        pytest.param("read_doc", {"path": "link.md"}, NO_PATH, id="a link to the outside"),
        pytest.param("read_doc", {"path": "guide.md' OR '1'='1"}, NO_PATH, id="a piece of SQL"),
        pytest.param("read_doc", {"path": "unknown.md"}, NO_PATH, id="an unknown path"),
        pytest.param("read_doc", {"path": ""}, NO_PATH, id="an empty path"),
        pytest.param("read_doc", {"path": "guide.md\0"}, "path: ", id="a path with NUL"),
        pytest.param("read_doc", {"path": MEGABYTE}, "path: ", id="a path of a megabyte"),
        pytest.param("read_doc", {"path": "guide.md", "section": "x"}, '"Guide", "Routes"', id="a heading"),
        pytest.param("read_doc", {"path": "guide.md", "section": MEGABYTE}, "section: ", id="a long heading"),
        pytest.param(
            "read_doc", {"path": "guide.md", "start": -1}, "start: ", id="a start before the beginning"
        ),
        pytest.param(
            "read_doc",
            {"path": "guide.md", "start": 9999},
            "ends before this start",
            id="a start behind the end",
        ),
        pytest.param("read_doc", {"path": "guide.md", "start": 10**30}, "start: ", id="a start without end"),
        pytest.param("list_docs", {"prefix": "\0"}, "prefix: ", id="a prefix with NUL"),
        pytest.param("list_docs", {"prefix": MEGABYTE}, "prefix: ", id="a prefix of a megabyte"),
        pytest.param("list_docs", {"cursor": "!"}, "not one of this server", id="a cursor"),
        pytest.param(
            "list_docs", {"cursor": "WyJhIiwiYiJd"}, "not one of this server", id="a cursor of another list"
        ),
        pytest.param(
            "list_docs", {"cursor": "WyJcdTAwMDAiXQ=="}, "not one of this server", id="a cursor with NUL"
        ),
        pytest.param("list_docs", {"cursor": MEGABYTE}, "cursor: ", id="a cursor of a megabyte"),
        pytest.param("reindex_docs", {"folder": "/etc"}, "the arguments are: none", id="a folder to index"),
    ],
)
async def test_a_call_that_is_wrong_is_answered_with_a_sentence(
    url: str, era: Era, tool: str, arguments: dict[str, Any], said: str
) -> None:
    async with connected(url, era, READ) as client:
        refused = sentence(await client.call_tool(tool, arguments))
        listed = structured(await client.call_tool("list_docs", {}))

    assert said in refused
    assert len(refused) < 300
    assert "\n" not in refused
    assert "secret" not in refused
    assert [document["path"] for document in listed["documents"]] == ["guide.md", "ops/b.md"]


@pytest.mark.parametrize(
    "query",
    [
        *("gate AND", "NOT gate", 'title:"gate', "gate*", "^gate", "{title} : gate", "gate'--"),
        *(
            "path : gate",
            "gate & !gate",
            "gate <-> gate",
            "gate | gate",
            "'gate'",
            "(gate",
            "gate\\",
        ),
        "'; DROP TABLE documents; --gate",
    ],
)
async def test_operators_in_a_query_are_neither_an_error_nor_obeyed(url: str, era: Era, query: str) -> None:
    async with connected(url, era, READ) as client:
        found = structured(await client.call_tool("search_docs", {"query": query}))

    assert [hit["path"] for hit in found["hits"]] == ["guide.md"]


@pytest.mark.parametrize("query", ["NEAR(gate)", "gate:*AB", "gate<1>tunnel", "gate'gate'gate"])
async def test_what_stands_together_is_words_that_follow_each_other(url: str, era: Era, query: str) -> None:
    async with connected(url, era, READ) as client:
        found = structured(await client.call_tool("search_docs", {"query": query}))

    assert found == {"matched": "any word", "hits": []}


@pytest.mark.parametrize("prefix", ["%", "_uide", "guide.md' OR '1'='1", "../", "GUIDE"])
async def test_a_prefix_is_only_a_beginning(url: str, era: Era, prefix: str) -> None:
    async with connected(url, era, READ) as client:
        assert structured(await client.call_tool("list_docs", {"prefix": prefix}))["documents"] == []
