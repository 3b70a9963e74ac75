"""The server on a real socket, with the official client in both eras of the protocol."""

import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from fastapi import FastAPI
from mcp import Client
from mcp.shared.exceptions import MCPError
from mcp.types import INTERNAL_ERROR, INVALID_PARAMS, TextContent, TextResourceContents
from sqlalchemy import text as sql
from sqlalchemy.engine import make_url

from tests.servers.docs_readonly.documents import GUIDE, NAME, indexed, write_documents
from tests.servers.serving import Era, connected, own_check_options, sentence, served, structured, token
from tests.support.postgres import Databases
from tunnelgate_servers.docs_readonly import create_app
from tunnelgate_servers.hosting import open_writer, read_url

pytestmark = pytest.mark.anyio

ODD_NAME = "c:a b/ü?#%41&.md"
READ = token("docs:read")
REINDEX = token("docs:read", "docs:reindex")
LIMIT = 60


def app_of(databases: Databases, place: Path, folder: Path, *extra_files: Path) -> FastAPI:
    """Return a server that checks tokens by itself, with a folder that it can index again."""
    url = databases.new()
    if make_url(url).get_backend_name() == "sqlite":
        return create_app(database=url, folder=folder, extra_files=extra_files, **own_check_options(place))
    url = indexed(databases, folder)  # whose tables the role that reads can be given
    return create_app(
        database=databases.reader(url, NAME),
        index_database=url,
        folder=folder,
        extra_files=extra_files,
        **own_check_options(place),
    )


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory, lasting_databases: Databases) -> Iterator[str]:
    """A server whose documents no test changes."""
    place = tmp_path_factory.mktemp("server")
    folder = write_documents(
        place / "docs",
        {
            "guide.md": GUIDE,
            ODD_NAME: "# Odd\n",
            "changes.md": "# Changes\n\n## [1.0]\n\nFirst.\n\n## null\n\nNothing.\n",
            "page.html": "<title>Page</title><p>Text &amp; more",
            **{f"many/{number:03}.md": "A page.\n" for number in range(60)},
        },
    )
    write_documents(place, {"README.md": "# Read me\n", "secret.md": "secret"})
    (folder / "link.md").symlink_to(place / "secret.md")
    with served(app_of(lasting_databases, place, folder, place / "README.md")) as base:
        yield base


@pytest.fixture(
    params=[pytest.param("2026-07-28", id="modern era"), pytest.param("legacy", id="legacy era")],
)
def era(request: pytest.FixtureRequest) -> Era:
    spoken: Era = request.param
    return spoken


async def test_the_era_of_the_client_is_spoken(url: str, era: Era) -> None:
    async with connected(url, era, READ) as client:
        assert ("2025-11-25" if era == "legacy" else era) == client.protocol_version


async def test_the_server_introduces_itself(url: str) -> None:
    async with connected(url, "legacy", READ) as client:
        assert client.server_info is not None
        assert client.server_info.name == "docs_readonly"
        assert client.server_info.version
        assert "search_docs" in (client.instructions or "")


async def test_the_server_promises_no_notifications(url: str) -> None:
    async with connected(url, "auto", READ) as client:
        capabilities = client.server_capabilities

    assert capabilities is not None
    assert capabilities.tools is not None
    assert not capabilities.tools.list_changed
    assert capabilities.resources is not None
    assert not capabilities.resources.list_changed
    assert not capabilities.resources.subscribe


async def test_every_tool_has_a_title_a_description_schemas_and_annotations(url: str, era: Era) -> None:
    async with connected(url, era, READ) as client:
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
        assert tool.input_schema["additionalProperties"] is False
        described = [*tool.input_schema["properties"].values(), *tool.output_schema["properties"].values()]
        assert all(schema["description"] for schema in described)
    assert tools[-1].annotations is not None
    assert tools[-1].annotations.destructive_hint is False


async def test_the_bounds_of_the_arguments_are_in_the_schema(url: str) -> None:
    async with connected(url, "2026-07-28", READ) as client:
        schema = (await client.list_tools()).tools[0].input_schema

    assert schema["required"] == ["query"]
    assert tuple(schema["properties"]["query"][bound] for bound in ("minLength", "maxLength")) == (1, 500)
    assert tuple(schema["properties"]["limit"][bound] for bound in ("minimum", "maximum")) == (1, 20)


async def test_a_search_finds_sections_and_marks_the_words(url: str, era: Era) -> None:
    async with connected(url, era, READ) as client:
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
    async with connected(url, era, READ) as client:
        default = structured(await client.call_tool("search_docs", {"query": "page"}))
        most = structured(await client.call_tool("search_docs", {"query": "page", "limit": 20}))

    assert (len(default["hits"]), len(most["hits"])) == (5, 20)


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
    async with connected(url, era, READ) as client:
        document = structured(await client.call_tool("read_doc", {"path": "guide.md", **arguments}))

    assert ("guide.md", "Guide", section) == (document["path"], document["title"], document["section"])
    assert document["text"].startswith(beginning)


@pytest.mark.parametrize(
    ("heading", "text"), [("[1.0]", "## [1.0]\n\nFirst."), ("null", "## null\n\nNothing.")]
)
async def test_a_heading_that_looks_like_json_is_a_heading(url: str, heading: str, text: str) -> None:
    async with connected(url, "2026-07-28", READ) as client:
        document = structured(await client.call_tool("read_doc", {"path": "changes.md", "section": heading}))

    assert document["text"] == text


async def test_documents_are_listed_in_pages_in_order_of_their_paths(url: str, era: Era) -> None:
    paths: list[str] = []
    arguments: dict[str, str | None] = {}
    async with connected(url, era, READ) as client:
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
        "page.html",
    ]
    assert paths == expected
    assert len(many["documents"]) == 10
    assert many["documents"][0] == {
        "path": "many/000.md",
        "title": "000",
        "kind": "markdown",
        "size": 8,
        "headings": 0,
    }


async def test_every_document_is_a_resource_on_one_of_the_pages(url: str, era: Era) -> None:
    async with connected(url, era, READ) as client:
        first = await client.list_resources()
        second = await client.list_resources(cursor=first.next_cursor)

    assert (len(first.resources), len(second.resources), second.next_cursor) == (50, 15, None)
    guide = next(resource for resource in first.resources if resource.name == "guide.md")
    assert ("docs:///guide.md", "Guide", "text/markdown", len(GUIDE)) == (
        guide.uri,
        guide.title,
        guide.mime_type,
        guide.size,
    )
    uris = [resource.uri for resource in (*first.resources, *second.resources)]
    assert second.resources[-1].mime_type == "text/plain"
    assert len(set(uris)) == 65
    assert all(re.fullmatch(r"docs:///[A-Za-z0-9._~/%-]+", uri) for uri in uris)


async def test_every_listed_resource_can_be_read(url: str, era: Era) -> None:
    texts: dict[str, str] = {}
    async with connected(url, era, READ) as client:
        first = await client.list_resources()
        second = await client.list_resources(cursor=first.next_cursor)
        for resource in (*first.resources[:4], second.resources[-1]):
            (content,) = (await client.read_resource(resource.uri)).contents
            assert isinstance(content, TextResourceContents)
            assert (content.uri, content.mime_type) == (resource.uri, resource.mime_type)
            texts[resource.name] = content.text

    assert texts[ODD_NAME] == "# Odd\n"
    assert texts["guide.md"] == GUIDE
    assert texts["page.html"] == "Text & more"


async def test_the_template_of_the_resources(url: str, era: Era) -> None:
    async with connected(url, era, READ) as client:
        (template,) = (await client.list_resource_templates()).resource_templates

    assert template.uri_template == "docs:///{+path}"
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
        pytest.param("docs:///guide.md%00", id="a path with NUL"),
        pytest.param("docs:///guide.md%ED%A0%80", id="a path with half a character"),
        pytest.param("docs:///" + "g" * 2000, id="a path that is too long"),
        pytest.param("docs:///", id="an empty path"),
        pytest.param("docs://guide.md", id="a host in place of a path"),
        pytest.param("file:///etc/passwd", id="another scheme"),
    ],
)
async def test_an_unknown_resource_is_the_error_of_the_protocol(url: str, era: Era, uri: str) -> None:
    async with connected(url, era, READ) as client:
        with pytest.raises(MCPError) as raised:
            await client.read_resource(uri)

    assert raised.value.code == INVALID_PARAMS
    assert "secret" not in raised.value.message.replace(uri, "")
    assert raised.value.data == {"uri": uri}


async def test_a_cursor_of_another_server_is_the_error_of_the_protocol(url: str, era: Era) -> None:
    async with connected(url, era, READ) as client:
        with pytest.raises(MCPError, match="not one of this server") as raised:
            await client.list_resources(cursor="!")

    assert raised.value.code == INVALID_PARAMS


@pytest.mark.parametrize("ask", [Client.list_resources, Client.list_resource_templates])
async def test_resources_need_the_scope_to_read(url: str, era: Era, ask: Any) -> None:
    async with connected(url, era, token("docs:reindex")) as client:
        with pytest.raises(MCPError, match="This needs a token with the scope docs:read"):
            await ask(client)
        with pytest.raises(MCPError, match="This needs a token with the scope docs:read"):
            await client.read_resource("docs:///guide.md")


@pytest.mark.parametrize(
    ("scopes", "tools"),
    [
        pytest.param(["docs:read"], {"search_docs", "read_doc", "list_docs"}, id="reading"),
        pytest.param(["docs:reindex"], {"reindex_docs"}, id="indexing"),
        pytest.param(["tickets:read"], set[str](), id="something else"),
    ],
)
@pytest.mark.promise("server-holds-alone")
async def test_each_tool_needs_its_scope(url: str, era: Era, scopes: list[str], tools: set[str]) -> None:
    arguments = {"search_docs": {"query": "gate"}, "read_doc": {"path": "guide.md"}}
    refused: dict[str, str] = {}
    async with connected(url, era, token(*scopes)) as client:
        for name in ("search_docs", "read_doc", "list_docs", "reindex_docs"):
            result = await client.call_tool(name, arguments.get(name, {}))
            if result.is_error:
                refused[name] = sentence(result)

    assert {"search_docs", "read_doc", "list_docs", "reindex_docs"} - set(refused) == tools
    for name, said in refused.items():
        scope = "docs:reindex" if name == "reindex_docs" else "docs:read"
        assert said == f"This needs a token with the scope {scope}."


async def test_a_reindex_shows_the_documents_as_they_are_now(
    tmp_path: Path, databases: Databases, era: Era
) -> None:
    folder = write_documents(tmp_path / "docs", {"a.md": "old", "b.md": b"\xff", "c.md": "gone"})
    with served(app_of(databases, tmp_path, folder)) as url:
        async with connected(url, era, REINDEX) as client:
            write_documents(folder, {"a.md": "# New\n", "b.md": b"\xfe", "d.md": "more"})
            (folder / "c.md").unlink()
            report = structured(await client.call_tool("reindex_docs", {}))
            document = structured(await client.call_tool("read_doc", {"path": "a.md"}))

    assert report == {
        "documents": 2,
        "added": 1,
        "changed": 1,
        "removed": 1,
        "skipped": 1,
        "skipped_files": [{"path": "b.md", "reason": "it is not UTF-8 (at byte 0)"}],
    }
    assert document["text"] == "# New\n"


async def test_a_reindex_tells_how_far_it_is(tmp_path: Path, databases: Databases, era: Era) -> None:
    folder = write_documents(tmp_path / "docs", {f"{number}.md": "" for number in range(30)})
    told: list[tuple[float, float | None, str | None]] = []

    async def tell(progress: float, total: float | None, message: str | None) -> None:
        told.append((progress, total, message))

    with served(app_of(databases, tmp_path, folder)) as url:
        async with connected(url, era, REINDEX) as client:
            structured(await client.call_tool("reindex_docs", {}, progress_callback=tell))

    assert told
    assert told[0] == (0, 30, "0 of 30 files")


async def test_a_reindex_that_is_cancelled_leaves_the_index_as_it_was(
    tmp_path: Path, databases: Databases
) -> None:
    # In the legacy era, closing a stream cancels nothing.
    folder = write_documents(tmp_path / "docs", {"0.txt": "kept"})
    with served(app_of(databases, tmp_path, folder)) as url:
        write_documents(folder, {f"{number}.rst": "*a* `b` " * 2000 for number in range(400)})
        async with connected(url, "2026-07-28", REINDEX) as client:
            with anyio.CancelScope() as scope:

                async def stop(progress: float, total: float | None, message: str | None) -> None:
                    scope.cancel()

                await client.call_tool("reindex_docs", {}, progress_callback=stop)
            listed = structured(await client.call_tool("list_docs", {}))
            with anyio.fail_after(LIMIT):
                (folder / "0.txt").unlink()
                for file in folder.glob("*.rst"):
                    file.unlink()
                again = structured(await client.call_tool("reindex_docs", {}))

    assert scope.cancelled_caught
    assert [document["path"] for document in listed["documents"]] == ["0.txt"]
    assert (again["documents"], again["removed"]) == (0, 1)


async def test_a_reindex_without_the_folder_names_no_place_and_keeps_the_index(
    tmp_path: Path, databases: Databases, era: Era
) -> None:
    folder = write_documents(tmp_path / "docs", {"a.md": "kept"})
    with served(app_of(databases, tmp_path, folder)) as url:
        async with connected(url, era, REINDEX) as client:
            folder.rename(tmp_path / "elsewhere")
            refused = sentence(await client.call_tool("reindex_docs", {}))
            document = structured(await client.call_tool("read_doc", {"path": "a.md"}))

    assert refused == "The documents folder is not there; the index is as it was before."
    assert document["text"] == "kept"


async def test_a_server_without_a_folder_has_nothing_to_index(
    tmp_path: Path, databases: Databases, era: Era
) -> None:
    folder = write_documents(tmp_path / "docs", {"a.md": "kept"})
    database = databases.reader(indexed(databases, folder), NAME)
    with served(create_app(database=database, **own_check_options(tmp_path))) as url:
        async with connected(url, era, REINDEX) as client:
            refused = sentence(await client.call_tool("reindex_docs", {}))
            document = structured(await client.call_tool("read_doc", {"path": "a.md"}))

    assert refused == "This server has no folder to read: its index is made elsewhere."
    assert document["text"] == "kept"


async def test_searches_go_on_while_several_reindex_at_once(
    tmp_path: Path, databases: Databases, era: Era
) -> None:
    folder = write_documents(tmp_path / "docs", {f"{number}.md": "# Word\n" for number in range(40)})
    found: list[int] = []

    with served(app_of(databases, tmp_path, folder)) as url:
        async with connected(url, era, REINDEX) as client, anyio.create_task_group() as tasks:

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


def broken(url: str) -> None:
    """Take the index out of a database that is being served."""
    engine = open_writer(read_url(url))
    with engine.begin() as connection:
        for table in ("passages", "sections", "documents"):
            connection.execute(sql(f"DROP TABLE {table}"))
    engine.dispose()


async def test_a_broken_index_is_an_error_that_tells_nothing(
    tmp_path: Path, databases: Databases, era: Era, caplog: pytest.LogCaptureFixture
) -> None:
    folder = write_documents(tmp_path / "docs", {"a.md": "text"})
    database = indexed(databases, folder)
    app = create_app(database=databases.reader(database, NAME), **own_check_options(tmp_path))
    broken(database)
    with served(app) as url, caplog.at_level(logging.ERROR):
        async with connected(url, era, READ) as client:
            call = await client.call_tool("search_docs", {"query": "text"})
            with pytest.raises(MCPError) as listing:
                await client.list_resources()
            with pytest.raises(MCPError) as reading:
                await client.read_resource("docs:///a.md")
        async with httpx2.AsyncClient(timeout=LIMIT) as http:
            health = await http.get(f"{url}/healthz")

    said = "The data cannot be read at the moment; try again later."
    assert call.is_error
    assert [TextContent(type="text", text=f"Error executing tool search_docs: {said}")] == call.content
    assert (listing.value.code, listing.value.message) == (INTERNAL_ERROR, said)
    assert (reading.value.code, reading.value.message) == (INTERNAL_ERROR, said)
    assert (health.status_code, health.json()) == (503, {"status": "unavailable"})
    assert {"The list of resources cannot be read", "A resource cannot be read"} <= set(caplog.messages)


async def test_an_index_that_cannot_be_written_is_answered_and_logged(
    tmp_path: Path, databases: Databases, era: Era, caplog: pytest.LogCaptureFixture
) -> None:
    folder = write_documents(tmp_path / "docs", {"a.md": "kept"})
    url_of_index = indexed(databases, folder)
    app = create_app(
        database=databases.reader(url_of_index, NAME),
        index_database=url_of_index,
        folder=folder,
        **own_check_options(tmp_path),
    )
    with served(app) as url, caplog.at_level(logging.ERROR):
        broken(url_of_index)
        async with connected(url, era, REINDEX) as client:
            refused = sentence(await client.call_tool("reindex_docs", {}))

    assert refused == "The index cannot be written at the moment; try again later."
    assert str(tmp_path) not in refused


async def test_the_index_can_be_read_says_healthz(url: str) -> None:
    async with httpx2.AsyncClient(timeout=LIMIT) as http:
        health = await http.get(f"{url}/healthz")

    assert (health.status_code, health.json()) == (200, {"status": "ok"})


async def test_nobody_is_answered_where_nobody_verified_a_token(tmp_path: Path, databases: Databases) -> None:
    folder = write_documents(tmp_path / "docs", {"a.md": "text"})
    app = create_app(database=databases.reader(indexed(databases, folder), NAME))
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    with served(app) as url:
        async with httpx2.AsyncClient(timeout=LIMIT) as http:
            for headers in ({}, {"authorization": f"Bearer {READ}"}):
                answer = await http.post(f"{url}/mcp", headers=headers, json=message)
                assert answer.status_code == 401
