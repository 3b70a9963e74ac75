"""The server on a real socket, with the official client in both eras of the protocol."""

import json
import logging
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp.shared.exceptions import MCPError
from mcp.types import INTERNAL_ERROR, INVALID_PARAMS, TextContent, TextResourceContents

from tests.servers.deploy_status.releasing import (
    HISTORY,
    Repository,
    digest,
    fields,
    path,
    record,
    write_files,
)
from tests.servers.hosting.raw_calls import Verbatim, Wire, call
from tests.servers.serving import Era, connected, own_check_options, sentence, served, structured, token
from tunnelgate_servers.deploy_status import create_app
from tunnelgate_servers.deploy_status.entries import HISTORY_PAGE

pytestmark = pytest.mark.anyio

ERAS: list[Wire] = ["2026-07-28", "legacy"]
READ = token("deploy:read")
ALL = token("deploy:read", "deploy:rollback")
HERE = {"service": "checkout", "environment": "production"}
NOT_THERE = "There is no such service in that environment; list_services names those there are."
NOT_RELEASED = "This service has no such release in that environment; release_history lists those there are."
LOST = "The release records cannot be read; try again later."


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_files(tmp_path / "releases", HISTORY)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Generator[str]:
    """Serve records that stay as they are."""
    place = tmp_path_factory.mktemp("deploy")
    folder = write_files(place / "releases", HISTORY)
    with served(create_app(releases=folder, **own_check_options(place))) as url:
        yield url


@pytest.fixture
def changing(folder: Path, tmp_path: Path) -> Generator[str]:
    """Serve the records of `folder`, which a test changes."""
    with served(create_app(releases=folder, **own_check_options(tmp_path))) as url:
        yield url


async def told(
    url: str, name: str, arguments: Mapping[str, Any] = HERE, era: Era = "2026-07-28"
) -> dict[str, Any]:
    async with connected(url, era, READ) as client:
        return structured(await client.call_tool(name, dict(arguments)))


async def refused(url: str, name: str, arguments: Mapping[str, Any], as_whom: str = ALL) -> str:
    async with connected(url, "2026-07-28", as_whom) as client:
        return sentence(await client.call_tool(name, dict(arguments)))


@pytest.mark.parametrize("era", ERAS)
async def test_the_tools_say_what_they_are_for_and_what_they_take_and_return(url: str, era: Era) -> None:
    async with connected(url, era, READ) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}

    assert list(tools) == [
        "list_services",
        "current_release",
        "release_history",
        "compare_releases",
        "rollback",
    ]
    for name, tool in tools.items():
        assert tool.title
        assert tool.description
        assert tool.annotations
        assert tool.output_schema
        assert tool.input_schema["additionalProperties"] is False
        assert tool.annotations.read_only_hint is (name != "rollback")
        assert tool.annotations.destructive_hint is (True if name == "rollback" else None)
        assert all(each["description"] for each in tool.input_schema["properties"].values()), name
    for name in list(tools)[:4]:
        output = tools[name].output_schema
        assert output
        described = [output, *output.get("$defs", {}).values()]
        assert all(each.get("description") for one in described for each in one["properties"].values()), name


@pytest.mark.parametrize("era", ERAS)
async def test_the_services_are_listed_with_what_each_environment_has(url: str, era: Era) -> None:
    found = await told(url, "list_services", {}, era)

    assert found == {
        "services": [
            {
                "service": "checkout",
                "environments": [
                    {
                        "environment": "production",
                        "version": "1.3.1",
                        "released_at": "2026-03-06T09:12:44Z",
                        "last_failed": True,
                    },
                    {
                        "environment": "staging",
                        "version": "1.5.0",
                        "released_at": "2026-03-08T09:12:44Z",
                        "last_failed": False,
                    },
                ],
            },
            {
                "service": "payments",
                "environments": [
                    {
                        "environment": "production",
                        "version": None,
                        "released_at": None,
                        "last_failed": True,
                    }
                ],
            },
            {
                "service": "search",
                "environments": [
                    {
                        "environment": "production",
                        "version": "7.0.0",
                        "released_at": "2026-03-01T09:12:44Z",
                        "last_failed": False,
                    }
                ],
            },
        ],
        "environments": ["production", "staging"],
        "records_left_out": 0,
        "revision": None,
        "next_cursor": None,
    }


async def test_the_services_of_one_environment_can_be_listed(url: str) -> None:
    found = await told(url, "list_services", {"environment": "staging"})

    assert [(each["service"], len(each["environments"])) for each in found["services"]] == [("checkout", 1)]


@pytest.mark.parametrize("environment", ["", "production"])
async def test_many_services_come_page_by_page_and_each_once(
    folder: Path, changing: str, environment: str
) -> None:
    names = [f"service-{number:03}" for number in range(120)]
    write_files(folder, {path(1, name): record(service=name) for name in names})
    seen: list[str] = []
    cursor = ""
    async with connected(changing, "2026-07-28", READ) as client:
        for _ in range(3):
            page = structured(
                await client.call_tool("list_services", {"environment": environment, "cursor": cursor})
            )
            seen += [each["service"] for each in page["services"]]
            cursor = page["next_cursor"]

    assert seen == sorted([*names, "checkout", "payments", "search"])
    assert cursor is None


@pytest.mark.parametrize("era", ERAS)
async def test_the_current_release_stands_beside_those_that_failed_since(url: str, era: Era) -> None:
    found = await told(url, "current_release", era=era)

    said = fields("1.3.1", 6, kind="hotfix")
    assert found == {
        "current": {**said, "outcome": "deployed", "previous": None, "links": [], "record": path(6)},
        "failed_since": [
            {
                **fields("1.4.0", 7, outcome="failed"),
                "kind": "release",
                "previous": None,
                "links": [],
                "record": path(7),
            }
        ],
        "cluster": {
            "status": "not configured",
            "state": None,
            "drift": None,
            "explanation": "No cluster is configured for this environment.",
        },
        "records_left_out": 0,
        "revision": None,
    }


async def test_a_service_that_was_never_deployed_has_no_current_release(url: str) -> None:
    found = await told(url, "current_release", {**HERE, "service": "payments"})

    assert found["current"] is None
    assert [each["version"] for each in found["failed_since"]] == ["2.0.0"]


@pytest.mark.parametrize("era", ERAS)
async def test_an_answer_has_its_text_beside_it(url: str, era: Era) -> None:
    async with connected(url, era, READ) as client:
        result = await client.call_tool("current_release", HERE)

    (content,) = result.content
    assert isinstance(content, TextContent)
    assert json.loads(content.text) == result.structured_content


@pytest.mark.parametrize(
    ("days", "versions"),
    [
        pytest.param({}, ["1.4.0", "1.3.1", "1.2.0", "1.3.0", "1.3.0", "1.2.0", "1.1.0"], id="all days"),
        pytest.param({"from_day": "2026-03-06"}, ["1.4.0", "1.3.1"], id="from a day on"),
        pytest.param({"to_day": "2026-03-02"}, ["1.2.0", "1.1.0"], id="up to a day"),
        pytest.param({"from_day": "2026-03-03", "to_day": "2026-03-03"}, ["1.3.0"], id="one day"),
        pytest.param({"from_day": "2027-01-01"}, [], id="days that have not come"),
        pytest.param({"from_day": None, "to_day": None, "cursor": None}, ["1.4.0"], id="null for each"),
    ],
)
@pytest.mark.parametrize("era", ERAS)
async def test_the_history_is_that_of_the_days_that_were_asked_for(
    url: str, era: Era, days: dict[str, Any], versions: list[str]
) -> None:
    found = await told(url, "release_history", {**HERE, **days}, era)

    assert [each["version"] for each in found["releases"]][: len(versions)] == versions
    assert bool(found["releases"]) is bool(versions)
    assert found["next_cursor"] is None


async def test_a_day_is_one_of_utc(folder: Path, changing: str) -> None:
    late = record("1.9.0", released_at="2026-04-01T01:30:00+02:00")
    write_files(folder, {path(9): late})

    found = await told(
        changing, "release_history", {**HERE, "from_day": "2026-03-31", "to_day": "2026-03-31"}
    )

    assert [each["released_at"] for each in found["releases"]] == ["2026-03-31T23:30:00Z"]


async def test_a_long_history_comes_page_by_page_also_when_releases_are_added_meanwhile(
    folder: Path, changing: str
) -> None:
    write_files(
        folder,
        {path(n, "search"): record(f"8.{n}", 1 + n // 3, service="search") for n in range(2, 60)},
    )
    seen: list[str] = []
    cursor, pages = "", 0
    async with connected(changing, "2026-07-28", READ) as client:
        while cursor is not None:
            asked = {**HERE, "service": "search", "cursor": cursor}
            page = structured(await client.call_tool("release_history", asked))
            seen += [each["record"] for each in page["releases"]]
            cursor, pages = page["next_cursor"], pages + 1
            added = record(f"9.{pages}", 28, service="search")
            write_files(folder, {path(100 + pages, "search"): added})

    assert pages == -(-59 // HISTORY_PAGE)
    assert seen == [path(n, "search") for n in range(59, 0, -1)]


@pytest.mark.parametrize("era", ERAS)
async def test_two_environments_are_compared(url: str, era: Era) -> None:
    found = await told(url, "compare_releases", {**HERE, "to_environment": "staging"}, era)

    assert (found["before"]["version"], found["after"]["version"]) == ("1.3.1", "1.5.0")
    assert found["direction"] == "forward"
    assert found["between_environment"] == "staging"
    assert [(each["version"], each["summary"]) for each in found["between"]] == [
        ("1.5.0", "What changed in 1.5.0."),
        ("1.4.0", "What changed in 1.4.0."),
    ]
    assert {each["what"] for each in found["differences"]} == {"version", "image", "commit"}


@pytest.mark.parametrize("era", ERAS)
async def test_two_versions_are_compared(url: str, era: Era) -> None:
    versions = {"from_version": "1.1.0", "to_version": "1.2.0"}

    found = await told(url, "compare_releases", {**HERE, **versions}, era)

    assert [each["record"] for each in found["between"]] == [path(number) for number in (5, 4, 3, 2)]
    assert found["records_left_out"] == 0


@pytest.mark.parametrize("era", ERAS)
async def test_a_comparison_that_has_to_read_many_records_reports_its_progress(
    folder: Path, changing: str, era: Era
) -> None:
    write_files(folder, {path(n, "search"): record(f"8.{n}", service="search") for n in range(2, 240)})
    reported: list[tuple[float, float | None, str | None]] = []

    async def report(progress: float, total: float | None, message: str | None) -> None:
        reported.append((progress, total, message))

    async with connected(changing, era, READ) as client:
        arguments = {**HERE, "service": "search", "from_version": "8.2"}
        result = await client.call_tool("compare_releases", arguments, progress_callback=report)

    total = len(HISTORY) + 238
    assert structured(result)["between_total"] == 237
    assert reported == [(100, total, "Reading release records"), (200, total, "Reading release records")]


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize(
    ("asked", "says"),
    [
        pytest.param({}, (path(6), "1.3.1", path(5), "1.2.0", digest(2)), id="to the version before"),
        pytest.param(
            {"to_version": "1.1.0"}, (path(6), "1.3.1", path(1), "1.1.0", digest(1)), id="to a version"
        ),
    ],
)
async def test_a_rollback_says_what_a_person_has_to_do_and_changes_nothing(
    folder: Path, changing: str, era: Era, asked: dict[str, str], says: tuple[str, ...]
) -> None:
    before = everything_in(folder)
    async with connected(changing, era, ALL) as client:
        said = sentence(await client.call_tool("rollback", {**HERE, **asked}))

    assert said == (
        "This server cannot change a deployment, and nothing was changed. A person has to revert "
        f"{says[0]} (version {says[1]}) in favour of {says[2]} (version {says[3]}, "
        f"image registry.example.com/shop/checkout:{says[3]}@{says[4]})."
    )
    assert everything_in(folder) == before


def everything_in(folder: Path) -> dict[str, bytes]:
    return {str(file): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        pytest.param(
            {**HERE, "service": "payments"},
            "Nothing was ever deployed there, so that there is nothing to roll back.",
            id="what was never deployed",
        ),
        pytest.param({**HERE, "service": "search"}, NOT_RELEASED, id="the first release"),
        pytest.param({**HERE, "to_version": "1.4.0"}, NOT_RELEASED, id="to a version that failed"),
        pytest.param({**HERE, "to_version": "1.3.1"}, NOT_RELEASED, id="to the current version"),
        pytest.param({**HERE, "service": "nothing"}, NOT_THERE, id="what is not there"),
    ],
)
async def test_a_rollback_that_leads_nowhere_is_a_sentence(
    url: str, asked: dict[str, str], said: str
) -> None:
    assert await refused(url, "rollback", asked) == said


BAD_TEXTS = [
    pytest.param("../../etc/passwd", id="a path upwards"),
    pytest.param("/etc/passwd", id="an absolute path"),
    pytest.param("checkout/0001.yaml", id="a file"),
    pytest.param("%2e%2e%2fcheckout", id="a path in percent"),
    pytest.param("*", id="a pattern"),
    pytest.param("CHECKOUT", id="capitals"),
    pytest.param(" checkout", id="a blank before"),
    pytest.param("checkout\u200b", id="a blank without width"),
    pytest.param("'; DROP TABLE releases; --", id="SQL"),
    pytest.param("", id="nothing"),
]


@pytest.mark.parametrize("text", BAD_TEXTS)
@pytest.mark.parametrize("argument", ["service", "environment"])
async def test_names_are_matched_exactly_and_answered_in_the_same_words(
    url: str, text: str, argument: str
) -> None:
    for name in ("current_release", "release_history", "rollback"):
        assert await refused(url, name, {**HERE, argument: text}) == NOT_THERE
    assert (
        await refused(url, "compare_releases", {**HERE, "from_version": "1.1.0", argument: text}) == NOT_THERE
    )


@pytest.mark.parametrize("text", BAD_TEXTS[:-1])
async def test_versions_and_other_environments_are_matched_exactly(url: str, text: str) -> None:
    for argument in ("from_version", "to_version"):
        assert await refused(url, "compare_releases", {**HERE, argument: text}) == NOT_RELEASED
    assert await refused(url, "compare_releases", {**HERE, "to_environment": text}) == NOT_THERE
    assert await refused(url, "rollback", {**HERE, "to_version": text}) == NOT_RELEASED
    assert await refused(url, "list_services", {"environment": text}) == (
        "There is no such environment; list_services without one names those there are."
    )


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize(
    ("literal", "said"),
    [
        pytest.param('"check\\u0000out"', "it holds a control character", id="NUL"),
        pytest.param('"checkout\\n"', "it holds a control character", id="a newline"),
        pytest.param('"\\u001b[2J"', "it holds a control character", id="an escape"),
        pytest.param('"check\\u202eout"', "", id="a change of direction"),
        pytest.param(json.dumps("a" * 1_000_000), "at most 500 characters", id="1 MB"),
        pytest.param("5", "valid string", id="a number"),
        pytest.param('["checkout"]', "valid string", id="a list"),
        pytest.param("null", "valid string", id="null"),
    ],
)
async def test_what_is_no_name_at_all_is_a_sentence_without_it(
    url: str, era: Wire, literal: str, said: str
) -> None:
    arguments = Verbatim(f'{{"environment": "production", "service": {literal}}}')

    answer = await call(url, era, "current_release", arguments, token=READ)

    assert said in answer.sentence
    assert len(answer.sentence) < 200
    assert "\x00" not in answer.text


@pytest.mark.parametrize("era", ERAS)
async def test_half_of_a_character_is_no_name_either(url: str, era: Wire) -> None:
    answer = await call(url, era, "current_release", Verbatim('{"service": "\\ud800"}'), token=READ)

    # The SDK takes it for no JSON in one era, and leaves it to the tool in the other.
    assert answer.status == 400 if "error" in answer.message else answer.sentence


@pytest.mark.parametrize(
    ("name", "asked", "said"),
    [
        pytest.param(
            "release_history",
            {**HERE, "from_day": "2026-03-02", "to_day": "2026-03-01"},
            "from_day is after to_day; give the earlier day as from_day.",
            id="days that end before they begin",
        ),
        pytest.param(
            "release_history",
            {**HERE, "from_day": "2026-02-30"},
            "from_day: it is no date such as 2026-03-31.",
            id="a day that is none",
        ),
        pytest.param(
            "release_history",
            {**HERE, "to_day": "20260301"},
            "to_day: it is no date such as 2026-03-31.",
            id="a day in another form",
        ),
        pytest.param(
            "release_history",
            {**HERE, "cursor": "bm90IG91cnM="},
            "This cursor is not one of this server; list again without a cursor.",
            id="a cursor of somebody else",
        ),
        pytest.param(
            "list_services",
            {"cursor": "WzEsMl0="},
            "This cursor is not one of this server; list again without a cursor.",
            id="a cursor with other keys",
        ),
        pytest.param(
            "compare_releases",
            HERE,
            "Name a version or another environment; a release is the same as itself.",
            id="a comparison of nothing",
        ),
        pytest.param(
            "compare_releases",
            {**HERE, "context": "x", "from_version": "1.1.0"},
            "An argument has a name that is not known; the arguments are: service, environment, "
            "from_version, to_version, to_environment.",
            id="an argument that is not known",
        ),
    ],
)
async def test_what_cannot_be_answered_is_a_sentence(
    url: str, name: str, asked: dict[str, Any], said: str
) -> None:
    assert await refused(url, name, asked) == said


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.promise("server-holds-alone")
async def test_each_tool_needs_its_scope(url: str, era: Era) -> None:
    calls = {"list_services": {}, "current_release": HERE, "release_history": HERE, "compare_releases": HERE}
    async with connected(url, era, token("deploy:rollback", "docs:read")) as client:
        said = {name: sentence(await client.call_tool(name, asked)) for name, asked in calls.items()}
    async with connected(url, era, READ) as client:
        rollback = sentence(await client.call_tool("rollback", HERE))

    assert set(said.values()) == {"This needs a token with the scope deploy:read."}
    assert rollback == "This needs a token with the scope deploy:rollback."


async def test_broken_records_are_counted_in_every_answer_and_named_in_none(
    folder: Path, changing: str, caplog: pytest.LogCaptureFixture
) -> None:
    write_files(folder, {path(8): "password: hunter2\n: [", "production/search/broken.yaml": "x"})

    answers = [
        await told(changing, "list_services", {}),
        await told(changing, "current_release"),
        await told(changing, "release_history"),
        await told(changing, "compare_releases", {**HERE, "from_version": "1.1.0"}),
    ]

    assert [each["records_left_out"] for each in answers] == [2, 2, 2, 2]
    assert "broken.yaml" not in json.dumps(answers)
    assert "production/search/broken.yaml" in caplog.text
    assert "hunter2" not in caplog.text


def move(folder: Path, to: Path) -> None:
    folder.rename(to)


async def test_without_its_folder_it_says_so_and_comes_back(
    folder: Path, changing: str, caplog: pytest.LogCaptureFixture
) -> None:
    away = folder.with_name("away")
    move(folder, away)
    async with connected(changing, "2026-07-28", READ) as client, httpx2.AsyncClient() as http:
        gone = [
            sentence(await client.call_tool("list_services", {})),
            sentence(await client.call_tool("compare_releases", {**HERE, "from_version": "1.1.0"})),
        ]
        health = await http.get(f"{changing}/healthz")
        with pytest.raises(MCPError) as listed:
            await client.list_resources()
        with pytest.raises(MCPError) as read:
            await client.read_resource("deploy:///production/checkout")
        move(away, folder)
        back = structured(await client.call_tool("list_services", {}))
        healthy = await http.get(f"{changing}/healthz")

    assert gone == [LOST, LOST]
    assert (listed.value.error.code, listed.value.error.message) == (INTERNAL_ERROR, LOST)
    assert str(folder) not in read.value.error.message
    assert (health.status_code, health.json()) == (503, {"status": "unavailable"})
    assert (healthy.status_code, len(back["services"])) == (200, 3)
    assert any(entry.levelno == logging.ERROR for entry in caplog.records)


@pytest.mark.parametrize("era", ERAS)
async def test_the_current_releases_are_resources(url: str, era: Era) -> None:
    async with connected(url, era, READ) as client:
        listed = (await client.list_resources()).resources
        templates = (await client.list_resource_templates()).resource_templates
        (content,) = (await client.read_resource("deploy:///production/checkout")).contents
        said = structured(await client.call_tool("current_release", HERE))

    assert [str(each.uri) for each in listed] == [
        "deploy:///production/checkout",
        "deploy:///staging/checkout",
        "deploy:///production/payments",
        "deploy:///production/search",
    ]
    assert [each.uri_template for each in templates] == ["deploy:///{environment}/{service}"]
    assert isinstance(content, TextResourceContents)
    assert content.mime_type == "application/json"
    assert json.loads(content.text) == said


async def test_many_resources_come_page_by_page(folder: Path, changing: str) -> None:
    names = [f"service-{number:03}" for number in range(150)]
    write_files(folder, {path(1, name): record(service=name) for name in names})
    async with connected(changing, "2026-07-28", READ) as client:
        first = await client.list_resources()
        second = await client.list_resources(cursor=first.next_cursor)
        with pytest.raises(MCPError) as caught:
            await client.list_resources(cursor="nonsense")

    assert (len(first.resources), len(second.resources), second.next_cursor) == (100, 54, None)
    assert len({str(each.uri) for each in [*first.resources, *second.resources]}) == 154
    assert caught.value.error.code == INVALID_PARAMS


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize(
    "uri",
    [
        "deploy:///production/nothing",
        "deploy:///staging/search",
        "deploy:///production/..%2F..%2Fetc",
        "deploy:///production/check%00out",
    ],
)
async def test_a_resource_that_is_not_there_is_one_error(url: str, era: Era, uri: str) -> None:
    async with connected(url, era, READ) as client:
        with pytest.raises(MCPError) as caught:
            await client.read_resource(uri)

    assert "Unknown resource" in caught.value.error.message


@pytest.mark.parametrize("era", ERAS)
async def test_resources_need_the_scope_as_well(url: str, era: Era) -> None:
    async with connected(url, era, token("deploy:rollback")) as client:
        errors: list[str] = []
        for ask in (
            client.list_resources(),
            client.list_resource_templates(),
            client.read_resource("deploy:///production/checkout"),
        ):
            with pytest.raises(MCPError) as caught:
                await ask
            errors.append(caught.value.error.message)

    assert errors == ["This needs a token with the scope deploy:read."] * 3


@pytest.mark.parametrize("era", ERAS)
async def test_a_git_repository_is_answered_from_and_followed(tmp_path: Path, era: Era) -> None:
    repository = Repository(tmp_path / "releases.git")
    first = repository.commit(HISTORY)
    app = create_app(releases=repository.folder, ref="main", **own_check_options(tmp_path))
    with served(app) as url:
        before = await told(url, "current_release", era=era)
        second = repository.commit({**HISTORY, path(8): record("1.6.0", 8)})
        after = await told(url, "current_release", era=era)
    repository.close()

    assert (before["revision"], before["current"]["version"]) == (first, "1.3.1")
    assert (after["revision"], after["current"]["version"]) == (second, "1.6.0")
