import asyncio

import pytest
from anyio.lowlevel import checkpoint

from tests.support.tokens import nothing_unretrieved
from tunnelgate.single_flight import SingleFlight


class Work:
    """Counts how often it was begun, and ends when it is told to."""

    def __init__(self, outcome: str | Exception = "done") -> None:
        self.begun = 0
        self.outcome = outcome
        self.may_end = asyncio.Event()

    async def do(self) -> str:
        self.begun += 1
        await self.may_end.wait()
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


@pytest.mark.anyio
async def test_all_who_want_the_same_get_what_one_piece_of_work_comes_to() -> None:
    flight, work = SingleFlight[str](), Work()

    waiting = [asyncio.create_task(flight.run(b"k", work.do)) for _ in range(20)]
    await checkpoint()
    assert (len(flight), b"k" in flight, b"other" in flight) == (1, True, False)
    work.may_end.set()

    assert await asyncio.gather(*waiting) == ["done"] * 20
    assert work.begun == 1
    await checkpoint()
    assert (len(flight), b"k" in flight) == (0, False)


@pytest.mark.anyio
async def test_different_work_is_done_side_by_side() -> None:
    flight, one, two = SingleFlight[str](), Work("one"), Work("two")
    waiting = [asyncio.create_task(flight.run(key, each.do)) for key, each in ((b"1", one), (b"2", two))]
    await checkpoint()
    assert len(flight) == 2

    two.may_end.set()
    assert await waiting[1] == "two"
    one.may_end.set()
    assert await waiting[0] == "one"


@pytest.mark.anyio
async def test_what_went_wrong_reaches_all_who_wait_and_is_tried_again_by_the_next() -> None:
    flight, work = SingleFlight[str](), Work(ValueError("wrong"))
    waiting = [asyncio.create_task(flight.run(b"k", work.do)) for _ in range(3)]
    await checkpoint()
    work.may_end.set()

    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    work.outcome = "done"

    assert [str(each) for each in outcomes] == ["wrong"] * 3
    assert await flight.run(b"k", work.do) == "done"


@pytest.mark.anyio
async def test_who_goes_away_takes_the_outcome_from_nobody_else() -> None:
    flight, work = SingleFlight[str](), Work()
    first, second = (asyncio.create_task(flight.run(b"k", work.do)) for _ in range(2))
    await checkpoint()

    first.cancel()
    await checkpoint()
    work.may_end.set()

    assert await second == "done"
    assert first.cancelled()


@pytest.mark.anyio
async def test_when_all_have_gone_nobody_complains_of_what_went_wrong() -> None:
    flight, work = SingleFlight[str](), Work(ValueError("wrong"))

    with nothing_unretrieved():
        waiting = asyncio.create_task(flight.run(b"k", work.do))
        await checkpoint()
        waiting.cancel()
        await checkpoint()
        work.may_end.set()
        for _ in range(5):
            await checkpoint()

    assert len(flight) == 0
