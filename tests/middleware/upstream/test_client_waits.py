import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from anyio.lowlevel import checkpoint

from tests.support.proxied import LOOPS, NOBODY_WAITS, Client, Interrupted, cancel_this, nothing_left
from tests.support.tokens import nothing_unretrieved
from tunnelgate import Reason
from tunnelgate.asgi import Message
from tunnelgate.errors import UpstreamFailed
from tunnelgate.upstream.client_waits import ClientWaits

SOON = 0.02  # seconds


@pytest.fixture(params=LOOPS)
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return request.param


async def _client() -> Client:
    """Return a client that has sent its request, and waits."""
    client = Client()
    await client.receive()
    return client


async def _steps(count: int) -> str:
    for _ in range(count):
        await checkpoint()
    return "done"


async def _for_ever() -> None:
    await asyncio.Event().wait()


@pytest.mark.parametrize("steps", [0, 1, 5])
@pytest.mark.anyio
async def test_what_is_done_while_the_client_waits_comes_to_its_end(steps: int) -> None:
    client = await _client()

    async with nothing_left(), ClientWaits(client.receive, NOBODY_WAITS):
        done = await _steps(steps)

    assert done == "done"


@pytest.mark.anyio
async def test_what_is_done_ends_when_the_client_has_gone() -> None:
    client = await _client()
    ended: list[str] = []

    async def work() -> None:
        try:
            await _for_ever()
        finally:
            ended.append("ended")

    async with nothing_left():
        client.leave()
        with pytest.raises(UpstreamFailed) as gone:
            async with ClientWaits(client.receive, NOBODY_WAITS):
                await work()

    assert (gone.value.reason, gone.value.detail) == (Reason.CALL_CANCELLED, "the client has gone")
    assert ended == ["ended"]


@pytest.mark.anyio
async def test_a_client_that_goes_while_something_is_done_waits_no_longer() -> None:
    client = await _client()
    asyncio.get_running_loop().call_later(SOON, client.leave)

    with pytest.raises(UpstreamFailed) as gone:
        async with ClientWaits(client.receive, NOBODY_WAITS):
            await _for_ever()

    assert gone.value.reason is Reason.CALL_CANCELLED


@pytest.mark.anyio
async def test_a_client_may_go_at_the_moment_at_which_the_work_is_done() -> None:
    async def leave_after(client: Client, steps: int) -> None:
        await _steps(steps)
        client.leave()

    outcomes: list[str] = []
    with nothing_unretrieved():
        for steps in range(12):
            client = await _client()
            async with nothing_left():
                leaving = asyncio.create_task(leave_after(client, steps))
                outcome = ""
                try:
                    async with ClientWaits(client.receive, NOBODY_WAITS):
                        outcome = await _steps(6)
                except UpstreamFailed as failure:
                    outcome = failure.reason
                await leaving
            outcomes.append(outcome)

    assert (outcomes[0], outcomes[-1]) == (Reason.CALL_CANCELLED, "done")
    assert set(outcomes) == {Reason.CALL_CANCELLED, "done"}


@pytest.mark.anyio
async def test_what_takes_too_long_ends_in_a_timeout() -> None:
    client = await _client()

    async with nothing_left():
        with pytest.raises(UpstreamFailed) as late:
            async with ClientWaits(client.receive, SOON):
                await _for_ever()

    assert (late.value.reason, late.value.detail) == (
        Reason.UPSTREAM_TIMEOUT,
        "not done after 0.02 seconds",
    )


@pytest.mark.anyio
async def test_a_client_may_go_while_what_took_too_long_is_ended() -> None:
    async def reason() -> Reason | None:
        client = await _client()
        try:
            async with ClientWaits(client.receive, SOON):
                try:
                    await _for_ever()
                finally:
                    client.leave()
                    await _steps(5)
        except UpstreamFailed as failure:
            return failure.reason
        return None

    with nothing_unretrieved():
        async with nothing_left():
            assert await reason() in (Reason.UPSTREAM_TIMEOUT, Reason.CALL_CANCELLED)


@pytest.mark.anyio
async def test_what_else_a_server_says_while_the_client_waits_changes_nothing() -> None:
    said: list[Message] = [{"type": "http.request", "body": b""}, {"type": "http.other"}]
    client = await _client()

    async def receive() -> Message:
        return said.pop(0) if said else await client.receive()

    async with ClientWaits(receive, NOBODY_WAITS):
        assert await _steps(5) == "done"
    assert said == []


@pytest.mark.parametrize("leaves", [False, True], ids=["who waits", "who has just gone"])
@pytest.mark.anyio
async def test_what_goes_wrong_is_heard_of_whether_the_client_waits_or_not(*, leaves: bool) -> None:
    client = await _client()

    async def work() -> None:
        try:
            await _steps(4)
        finally:
            raise ValueError("it went wrong")

    if leaves:
        client.leave()
    with pytest.raises(ValueError, match="it went wrong"):
        async with ClientWaits(client.receive, NOBODY_WAITS):
            await work()


@pytest.mark.parametrize("leaves", [False, True], ids=["while the client waits", "as the client goes"])
@pytest.mark.anyio
async def test_a_task_that_is_cancelled_from_outside_stays_cancelled(*, leaves: bool) -> None:
    client = await _client()
    has_begun = asyncio.Event()

    async def work() -> None:
        async with ClientWaits(client.receive, NOBODY_WAITS):
            has_begun.set()
            await _for_ever()

    async with nothing_left():
        task = asyncio.create_task(work())
        await has_begun.wait()
        if leaves:
            client.leave()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    assert task.cancelled()


@pytest.mark.parametrize("is_late", [False, True], ids=["as it waits", "as its wait is over"])
@pytest.mark.parametrize("interrupt", [cancel_this, None], ids=["cancelled", "left by its client"])
@pytest.mark.anyio
async def test_wherever_the_work_is_ended_nothing_is_left(
    *, interrupt: Callable[[], object] | None, is_late: bool
) -> None:
    async def work(client: Client) -> str:
        async with ClientWaits(client.receive, NOBODY_WAITS):
            return await _steps(4)

    at, is_interrupted, outcomes = 0, True, set[str]()
    with nothing_unretrieved():
        while is_interrupted:
            at += 1
            client = await _client()
            async with nothing_left():
                interrupted = Interrupted(work(client), at, interrupt or client.leave, is_late=is_late)
                try:
                    outcomes.add(await asyncio.ensure_future(interrupted))
                except asyncio.CancelledError:
                    outcomes.add("cancelled")
                except UpstreamFailed as failure:
                    outcomes.add(failure.reason)
            is_interrupted = interrupted.is_interrupted

    assert at > 4
    assert outcomes == {"done", "cancelled" if interrupt is cancel_this else Reason.CALL_CANCELLED}


@pytest.mark.anyio
async def test_work_that_does_not_let_itself_be_cancelled_ends_by_itself() -> None:
    client = await _client()
    swallowed: list[str] = []

    async with ClientWaits(client.receive, NOBODY_WAITS):
        client.leave()
        try:
            await _for_ever()
        except asyncio.CancelledError:
            swallowed.append("swallowed")
        assert await _steps(3) == "done"

    assert swallowed == ["swallowed"]
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
