"""Applications are mounted as the gateway does it, and what does not come up in time is said."""

import asyncio
from typing import Any

import httpx2
import pytest

from tests.app.doctor import mounts
from tunnelgate import Route
from tunnelgate_app.doctor.trying.mounting import caller_at, mounted, try_mount
from tunnelgate_app.doctor.trying.threads import in_thread
from tunnelgate_app.mounting import MountError


def route(name: str, **settings: Any) -> Route:
    return Route(mount=f"tests.app.doctor.mounts:{name}", **settings)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("name", "failure"),
    [
        pytest.param("create_app", "", id="an application"),
        pytest.param("create_broken", "does not start: no database", id="a factory that raises"),
        pytest.param("create_slow", "is not made within 0.2 s", id="a factory that takes for ever"),
        pytest.param("create_other", "has no function create_other", id="no factory"),
    ],
)
async def test_an_application_is_mounted_or_it_is_said_why_not(name: str, failure: str) -> None:
    assert await try_mount(route(name), 0.2) == failure


@pytest.mark.anyio
async def test_an_application_that_does_not_start_is_said() -> None:
    with pytest.raises(MountError, match="does not start: the disk is full"):
        async with mounted(route("create_unstarted"), 3.0):
            pass


@pytest.mark.anyio
async def test_an_application_sees_somebody_who_may_use_what_is_listed() -> None:
    settings = {"scopes": ["docs:read"], "tools": {"draft": {"scopes": ["docs:draft"]}, "search": None}}

    async with mounted(route("create_seeing", **settings), 3.0) as client:
        answer = await client.get("https://docs.example.com/mcp")

    assert answer.json() == {"host": "docs.example.com", "scopes": ["docs:draft", "docs:read"]}


@pytest.mark.anyio
async def test_an_application_that_breaks_answers_as_a_server_does() -> None:
    async with mounted(route("create_breaking"), 3.0) as client:
        assert (
            await client.get("https://docs.example.com/mcp")
        ).status_code == httpx2.codes.INTERNAL_SERVER_ERROR


def test_where_every_tool_is_allowed_the_routes_scopes_suffice() -> None:
    everything = Route(mount="a:b", tools="*", allow_all_tools=True, scopes=["all"], prompts=["p"])

    assert caller_at(everything).scopes == {"all"}


@pytest.mark.anyio
async def test_a_thread_that_ends_when_nobody_waits_any_more_disturbs_nobody() -> None:
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()

    def wait() -> None:
        mounts.LATER.wait(10)
        loop.call_soon_threadsafe(ended.set)

    mounts.LATER.clear()
    with pytest.raises(TimeoutError):
        await in_thread(wait, 0.05)
    mounts.LATER.set()

    await asyncio.wait_for(ended.wait(), 10)


@pytest.mark.anyio
async def test_what_a_thread_raises_is_raised() -> None:
    def fail() -> None:
        raise KeyError("there")

    with pytest.raises(KeyError, match="there"):
        await in_thread(fail, 5.0)
