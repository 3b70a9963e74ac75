import asyncio
from contextlib import ExitStack

import pytest

from tunnelgate import Reason
from tunnelgate.errors import UpstreamFailed
from tunnelgate.upstream.slots import Slots


@pytest.mark.parametrize("count", [1, 2, 100])
def test_as_many_as_there_are_slots_go_on_and_one_more_is_refused(count: int) -> None:
    slots = Slots(count, "calls")

    with ExitStack() as held:
        for _ in range(count):
            held.enter_context(slots.one())
        with pytest.raises(UpstreamFailed) as refused, slots.one():
            pass
        assert slots.taken == count

    assert (refused.value.reason, refused.value.detail) == (Reason.UPSTREAM_BUSY, f"{count} calls are open")
    assert slots.taken == 0


def test_a_slot_that_was_given_back_can_be_taken_again() -> None:
    slots = Slots(1, "streams")

    for _ in range(3):
        with slots.one():
            assert slots.taken == 1

    assert slots.taken == 0


@pytest.mark.parametrize(
    "error", [ValueError(), UpstreamFailed(Reason.UPSTREAM_TIMEOUT), KeyboardInterrupt()]
)
def test_a_slot_is_given_back_whatever_ends_its_block(error: BaseException) -> None:
    slots = Slots(1, "calls")

    with pytest.raises(type(error)), slots.one():
        raise error

    assert slots.taken == 0


@pytest.mark.anyio
async def test_a_slot_is_given_back_when_its_task_is_cancelled() -> None:
    slots, has_begun = Slots(1, "calls"), asyncio.Event()

    async def hold() -> None:
        with slots.one():
            has_begun.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(hold())
    await has_begun.wait()
    assert slots.taken == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert slots.taken == 0


def test_who_was_refused_gives_nothing_back() -> None:
    slots = Slots(1, "calls")

    with slots.one():
        for _ in range(3):
            with pytest.raises(UpstreamFailed), slots.one():
                pass
        assert slots.taken == 1
