"""The server on a real socket, with the official client in both eras of the protocol."""

import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from fastapi.testclient import TestClient
from mcp.shared.exceptions import MCPError
from mcp.types import INTERNAL_ERROR, INVALID_PARAMS, TextContent, TextResourceContents

from tests.servers.docs_readonly.serving import (
    GUIDE,
    Era,
    connected,
    names_in,
    open_files,
    sentence,
    served,
    structured,
    write_documents,
)
from tunnelgate_servers.docs_readonly import create_app

pytestmark = pytest.mark.anyio

ODD_NAME = "c:a b/ü?#%41&.md"
HEADERS = {"accept": "application/json, text/event-stream", "content-type": "application/json"}
LIST_TOOLS = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("server")


@pytest.fixture(scope="module")
def url(place: Path) -> Iterator[str]:
    """A server whose documents no test changes."""
    folder = write_documents(
        place / "docs",
        {
            "guide.md": GUIDE,
            ODD_NAME: "# Odd\n",
            "changes.md": "# Changes\n\n## [1.0]\n\nFirst.\n\n## null\n\nNothing.\n",
            **{f"many/{number:03}.md": "A page.\n" for number in range(60)},
        },
    )
    write_documents(place, {"README.md": "# Read me\n", "secret.md": "secret"})
    (folder / "link.md").symlink_to(place / "secret.md")
    app = create_app(folder=str(folder), index=str(place / "docs.sqlite3"), extra_files=[place / "README.md"])
    with served(app) as base:
        yield base


@pytest.fixture(
    params=[pytest.param("2026-07-28", id="modern era"), pytest.param("legacy", id="legacy era")],
)
def era(request: pytest.FixtureRequest) -> Era:
    spoken: Era = request.param
    return spoken


async def test_the_era_of_the_client_is_spoken(url: str, era: Era) -> None:
    async with connected(url, era) as client:
        assert ("2025-11-25" if era == "legacy" else era) == client.protocol_version


async def test_the_server_introduces_itself(url: str) -> None:
    async with connected(url, "legacy") as client:
        assert client.server_info is not None
        assert client.server_info.name == "docs_readonly"
        assert client.server_info.version
        assert "search_docs" in (client.instructions or "")


async def test_the_server_promises_no_notifications(url: str) -> None:
    async with connected(url, "auto") as client:
        capabilities = client.server_capabilities

    assert capabilities is not None
    assert capabilities.tools is not None
    assert not capabilities.tools.list_changed
    assert capabilities.resources is not None
    assert not capabilities.resources.list_changed
    assert not capabilities.resources.subscribe


async def test_every_answer_is_one_json_object(url: str) -> None:
    async with httpx2.AsyncClient(timeout=10) as http:
        answer = await http.post(f"{url}/mcp", headers=HEADERS, json=LIST_TOOLS)

    assert answer.headers["content-type"] == "application/json"
    assert "mcp-session-id" not in answer.headers


async def test_every_tool_has_a_title_a_description_schemas_and_annotations(url: str, era: Era) -> None:
    async with connected(url, era) as client:
        tools = (await client.list_tools()).tools

    assert [tool.name for tool in tools] == ["search_docs", "read_doc", "list_docs", "reindex_docs"]
    for tool in tools:
        assert tool.title
        assert tool.description
        assert tool.output_schema is not None
        assert tool.output_schema["type"] == "object"
        assert tool.annotations is not None
        assert tool.annotations.open_world_hint is False
        assert tool.annotations.idempotent_hint is True
        assert (tool.name != "reindex_docs") is tool.annotations.read_only_hint
        described = [*tool.input_schema["properties"].values(), *tool.output_schema["properties"].values()]
        assert all(schema["description"] for schema in described)
    assert tools[-1].annotations is not None
    assert tools[-1].annotations.destructive_hint is False


async def test_the_bounds_of_the_arguments_are_in_the_schema(url: str) -> None:
    async with connected(url, "2026-07-28") as client:
        schema = (await client.list_tools()).tools[0].input_schema

    assert schema["required"] == ["query"]
    assert tuple(schema["properties"]["query"][bound] for bound in ("minLength", "maxLength")) == (1, 500)
    assert tuple(schema["properties"]["limit"][bound] for bound in ("minimum", "maximum")) == (1, 20)


async def test_a_search_finds_sections_and_marks_the_words(url: str, era: Era) -> None:
    async with connected(url, era) as client:
        result = await client.call_tool("search_docs", {"query": "gate"})

    assert structured(result) == {
        "matched": "all words",
        "hits": [
            {
                "path": "guide.md",
                "title": "Guide",
                "heading": "Guide",
                "snippet": "How the **gate** is set up.",
            }
        ],
    }
    (text,) = result.content
    assert isinstance(text, TextContent)
    assert "How the **gate** is set up." in text.text


async def test_a_search_has_a_limit_of_five_unless_told_otherwise(url: str, era: Era) -> None:
    async with connected(url, era) as client:
        default = structured(await client.call_tool("search_docs", {"query": "page"}))
        most = structured(await client.call_tool("search_docs", {"query": "page", "limit": 20}))

    assert (len(default["hits"]), len(most["hits"])) == (5, 20)


@pytest.mark.parametrize(
    ("tool", "arguments", "text"),
    [
        pytest.param(
            "search_docs", {"query": ""}, "The query holds no word to search for", id="an empty query"
        ),
        pytest.param("search_docs", {"query": '"*" -'}, "The query holds no word", id="only punctuation"),
        pytest.param("search_docs", {"query": "a" * 501}, "longer than 500 characters", id="a long query"),
        pytest.param(
            "search_docs", {"query": "a", "limit": 0}, "number from 1 to 20", id="a limit below one"
        ),
        pytest.param(
            "search_docs", {"query": "a", "limit": 21}, "number from 1 to 20", id="a limit too high"
        ),
        pytest.param("search_docs", {"query": "a", "limit": "many"}, "limit", id="a limit that is a word"),
        pytest.param("search_docs", {}, "query", id="no query"),
        pytest.param("read_doc", {"path": "../secret.md"}, "no document with this path", id="a path outside"),
        pytest.param(
            "read_doc", {"path": "/etc/passwd"}, "no document with this path", id="an absolute path"
        ),
        pytest.param("read_doc", {"path": "guide.md\0"}, "no document with this path", id="a path with NUL"),
        pytest.param(
            "read_doc", {"path": "link.md"}, "no document with this path", id="a link to the outside"
        ),
        pytest.param("read_doc", {"path": "guide.md", "section": "x"}, '"Guide", "Routes"', id="a section"),
        pytest.param("list_docs", {"cursor": "!"}, "not one of this server", id="a cursor"),
    ],
)
async def test_a_call_that_is_wrong_is_answered_with_a_sentence(
    url: str, era: Era, tool: str, arguments: dict[str, Any], text: str
) -> None:
    async with connected(url, era) as client:
        refused = sentence(await client.call_tool(tool, arguments))

    assert text in refused
    assert "secret" not in refused


@pytest.mark.parametrize(
    "query",
    ["gate AND", "NEAR(gate", 'title:"gate', "gate*", "^gate", "{gate}", "gate'--", "path : gate", "g\0ate"],
)
async def test_operators_in_a_query_are_neither_an_error_nor_obeyed(url: str, era: Era, query: str) -> None:
    async with connected(url, era) as client:
        found = structured(await client.call_tool("search_docs", {"query": query}))

    assert found["matched"] in {"all words", "any word"}


@pytest.mark.parametrize(
    ("arguments", "section", "beginning"),
    [
        pytest.param({}, None, "Read this first.\n\n# Guide", id="whole"),
        pytest.param({"section": None}, None, "Read this first.", id="whole when the section is null"),
        pytest.param({"section": ""}, None, "Read this first.", id="whole when the section is empty"),
        pytest.param({"section": "mounts"}, "mounts", "### Mounts\n\nAn application", id="one section"),
    ],
)
async def test_a_document_is_read(
    url: str, era: Era, arguments: dict[str, Any], section: str | None, beginning: str
) -> None:
    async with connected(url, era) as client:
        document = structured(await client.call_tool("read_doc", {"path": "guide.md", **arguments}))

    assert ("guide.md", "Guide", section) == (document["path"], document["title"], document["section"])
    assert document["text"].startswith(beginning)


@pytest.mark.parametrize(
    ("heading", "text"), [("[1.0]", "## [1.0]\n\nFirst."), ("null", "## null\n\nNothing.")]
)
async def test_a_heading_that_looks_like_json_is_a_heading(url: str, heading: str, text: str) -> None:
    async with connected(url, "2026-07-28") as client:
        document = structured(await client.call_tool("read_doc", {"path": "changes.md", "section": heading}))

    assert document["text"] == text


async def test_documents_are_listed_in_pages_in_order_of_their_paths(url: str, era: Era) -> None:
    paths: list[str] = []
    arguments: dict[str, str | None] = {}
    async with connected(url, era) as client:
        while arguments.get("cursor", "") is not None:
            page = structured(await client.call_tool("list_docs", arguments))
            paths += [document["path"] for document in page["documents"]]
            arguments["cursor"] = page["next_cursor"]
        many = structured(await client.call_tool("list_docs", {"prefix": "many/00"}))

    expected = [
        "README.md",
        ODD_NAME,
        "changes.md",
        "guide.md",
        *(f"many/{number:03}.md" for number in range(60)),
    ]
    assert paths == expected
    assert len(many["documents"]) == 10
    assert many["documents"][0] == {"path": "many/000.md", "title": "000", "size": 8, "headings": 0}


async def test_every_document_is_a_resource_on_one_of_the_pages(url: str, era: Era) -> None:
    async with connected(url, era) as client:
        first = await client.list_resources()
        second = await client.list_resources(cursor=first.next_cursor)

    assert (len(first.resources), len(second.resources), second.next_cursor) == (50, 14, None)
    guide = next(resource for resource in first.resources if resource.name == "guide.md")
    assert ("docs:///guide.md", "Guide", "text/markdown", len(GUIDE)) == (
        guide.uri,
        guide.title,
        guide.mime_type,
        guide.size,
    )
    uris = [resource.uri for resource in (*first.resources, *second.resources)]
    assert len(set(uris)) == 64
    assert all(re.fullmatch(r"docs:///[A-Za-z0-9._~/%-]+", uri) for uri in uris)


async def test_every_listed_resource_can_be_read(url: str, era: Era) -> None:
    texts: dict[str, str] = {}
    async with connected(url, era) as client:
        for resource in (await client.list_resources()).resources[:4]:
            (content,) = (await client.read_resource(resource.uri)).contents
            assert isinstance(content, TextResourceContents)
            assert content.mime_type == "text/markdown"
            texts[resource.name] = content.text

    assert texts[ODD_NAME] == "# Odd\n"
    assert texts["guide.md"] == GUIDE


async def test_the_template_of_the_resources(url: str, era: Era) -> None:
    async with connected(url, era) as client:
        (template,) = (await client.list_resource_templates()).resource_templates

    assert template.uri_template == "docs:///{+path}"
    assert template.mime_type == "text/markdown"
    assert template.title
    assert template.description


@pytest.mark.parametrize(
    "uri",
    [
        pytest.param("docs:///nothing.md", id="no such document"),
        pytest.param("docs:///../secret.md", id="a path outside"),
        pytest.param("docs:///%2E%2E%2Fsecret.md", id="an encoded path outside"),
        pytest.param("docs:////etc/passwd", id="an absolute path"),
        pytest.param("docs:///link.md", id="a link to the outside"),
        pytest.param("docs:///", id="an empty path"),
        pytest.param("docs://guide.md", id="a host in place of a path"),
        pytest.param("file:///etc/passwd", id="another scheme"),
    ],
)
async def test_an_unknown_resource_is_the_error_of_the_protocol(url: str, era: Era, uri: str) -> None:
    async with connected(url, era) as client:
        with pytest.raises(MCPError) as raised:
            await client.read_resource(uri)

    assert raised.value.code == INVALID_PARAMS
    assert raised.value.message.startswith("Unknown resource: ")
    assert raised.value.data == {"uri": uri}


async def test_a_cursor_of_another_server_is_the_error_of_the_protocol(url: str, era: Era) -> None:
    async with connected(url, era) as client:
        with pytest.raises(MCPError, match="not one of this server") as raised:
            await client.list_resources(cursor="!")

    assert raised.value.code == INVALID_PARAMS


async def test_a_reindex_shows_the_documents_as_they_are_now(tmp_path: Path, era: Era) -> None:
    folder = write_documents(tmp_path / "docs", {"a.md": "old", "b.md": b"\xff"})
    app = create_app(folder=folder, index=tmp_path / "docs.sqlite3")
    with served(app) as url:
        async with connected(url, era) as client:
            write_documents(folder, {"a.md": "# New\n", "b.md": b"\xfe"})
            report = structured(await client.call_tool("reindex_docs", {}))
            document = structured(await client.call_tool("read_doc", {"path": "a.md"}))

    skipped = {"path": "b.md", "reason": "it is not UTF-8 (at byte 0)"}
    assert report == {"documents": 1, "sections": 1, "skipped": [skipped]}
    assert document["text"] == "# New\n"


async def test_a_reindex_without_the_folder_names_no_place_and_keeps_the_index(
    tmp_path: Path, era: Era
) -> None:
    folder = write_documents(tmp_path / "docs", {"a.md": "kept"})
    app = create_app(folder=folder, index=tmp_path / "docs.sqlite3")
    with served(app) as url:
        async with connected(url, era) as client:
            folder.rename(tmp_path / "elsewhere")
            refused = sentence(await client.call_tool("reindex_docs", {}))
            document = structured(await client.call_tool("read_doc", {"path": "a.md"}))

    assert refused == "The documents folder is not there; the index is as it was before."
    assert document["text"] == "kept"


async def test_searches_go_on_while_several_reindex_at_once(tmp_path: Path, era: Era) -> None:
    folder = write_documents(tmp_path / "docs", {f"{number}.md": "# Word\n" for number in range(40)})
    app = create_app(folder=folder, index=tmp_path / "docs.sqlite3")
    found: list[int] = []

    with served(app) as url:
        async with connected(url, era) as client, anyio.create_task_group() as tasks:

            async def reindex() -> None:
                assert structured(await client.call_tool("reindex_docs", {}))["documents"] == 40

            async def search() -> None:
                hits = structured(await client.call_tool("search_docs", {"query": "word", "limit": 20}))[
                    "hits"
                ]
                found.append(len(hits))

            for _ in range(10):
                tasks.start_soon(reindex)
                tasks.start_soon(search)
                tasks.start_soon(search)

    assert found == [20] * 20
    assert names_in(tmp_path) == {"docs", "docs.sqlite3"}


async def test_a_broken_index_is_an_error_that_tells_nothing(
    tmp_path: Path, era: Era, caplog: pytest.LogCaptureFixture
) -> None:
    app = create_app(
        folder=write_documents(tmp_path / "docs", {"a.md": "text"}), index=tmp_path / "docs.sqlite3"
    )
    (tmp_path / "docs.sqlite3").unlink()
    with served(app) as url, caplog.at_level(logging.ERROR):
        async with connected(url, era) as client:
            call = await client.call_tool("search_docs", {"query": "text"})
            with pytest.raises(MCPError) as listing:
                await client.list_resources()
            with pytest.raises(MCPError) as reading:
                await client.read_resource("docs:///a.md")
        async with httpx2.AsyncClient(timeout=10) as http:
            health = await http.get(f"{url}/healthz")

    assert call.is_error
    assert [TextContent(type="text", text="Error executing tool search_docs")] == call.content
    assert (listing.value.code, listing.value.message) == (INTERNAL_ERROR, "The index cannot be read.")
    assert reading.value.code == INTERNAL_ERROR
    assert str(tmp_path) not in reading.value.message
    assert (health.status_code, health.json()) == (503, {"status": "unavailable"})
    assert "The list of resources cannot be read" in caplog.messages


async def test_the_index_can_be_read_says_healthz(url: str) -> None:
    async with httpx2.AsyncClient(timeout=10) as http:
        health = await http.get(f"{url}/healthz")

    assert (health.status_code, health.json()) == (200, {"status": "ok"})


@pytest.mark.parametrize(
    ("path", "status"),
    [
        pytest.param("/mcp", 200, id="the endpoint answers without a redirect"),
        pytest.param("/mcp/", 404, id="a slash more is another path"),
        pytest.param("/", 404, id="nothing at the root"),
    ],
)
async def test_the_path_of_the_endpoint(url: str, path: str, status: int) -> None:
    async with httpx2.AsyncClient(timeout=10) as http:
        assert status == (await http.post(url + path, headers=HEADERS, json=LIST_TOOLS)).status_code


@pytest.mark.parametrize("method", ["GET", "DELETE", "PUT", "HEAD"])
async def test_the_endpoint_takes_nothing_but_posts(url: str, method: str) -> None:
    async with httpx2.AsyncClient(timeout=10) as http:
        answer = await http.request(method, f"{url}/mcp", headers=HEADERS)

    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/openapi.json"])
async def test_the_pages_of_fastapi_are_off(url: str, path: str) -> None:
    async with httpx2.AsyncClient(timeout=10) as http:
        assert (await http.get(url + path)).status_code == 404


@pytest.mark.parametrize(
    ("allowed", "headers", "status"),
    [
        pytest.param(None, {"host": "localhost:8080"}, 200, id="a loopback name with a port"),
        pytest.param(None, {"host": "[::1]"}, 200, id="a loopback address without a port"),
        pytest.param(None, {"host": "docs.tunnel.localhost"}, 421, id="a host that was not named"),
        pytest.param(
            ["docs.tunnel.localhost"], {"host": "docs.tunnel.localhost"}, 200, id="a host that was named"
        ),
        pytest.param(
            ["docs.tunnel.localhost"], {"host": "localhost"}, 421, id="naming a host takes away others"
        ),
        pytest.param(None, {"host": "localhost", "origin": "http://localhost"}, 403, id="any origin"),
    ],
)
def test_the_hosts_and_origins_that_are_answered(
    tmp_path: Path, allowed: list[str] | None, headers: dict[str, str], status: int
) -> None:
    folder = write_documents(tmp_path / "docs", {"a.md": "text"})
    hosts: dict[str, Any] = {} if allowed is None else {"allowed_hosts": allowed}
    app = create_app(folder=folder, index=tmp_path / "docs.sqlite3", **hosts)

    with TestClient(app) as http:
        assert http.post("/mcp", headers={**HEADERS, **headers}, json=LIST_TOOLS).status_code == status


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs a list of the open files")
async def test_no_connection_to_the_index_stays_open(tmp_path: Path, era: Era) -> None:
    app = create_app(
        folder=write_documents(tmp_path / "docs", {"a.md": "text"}), index=tmp_path / "docs.sqlite3"
    )
    with served(app) as url:
        async with connected(url, era) as client:
            for _ in range(5):
                structured(await client.call_tool("search_docs", {"query": "text"}))
                await client.list_resources()

    assert not any(file.name.startswith("docs.sqlite3") for file in open_files())
