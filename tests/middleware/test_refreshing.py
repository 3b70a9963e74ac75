import asyncio
import gc
import itertools
import logging

import pytest
from anyio.lowlevel import checkpoint
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.tokens import Clock, nothing_unretrieved
from tunnelgate import IssuerUnavailable
from tunnelgate.refreshing import Refreshing

MAX_AGE, COOLDOWN, RETRY, MAX_STALE = 600, 30, 5, 3600
AHEAD = 450  # three quarters of the greatest age
DOWN = OSError("connection refused")
LIMIT = 10  # seconds that a test waits for what should be there at once


class Source:
    """What is elsewhere: its value, how often it was loaded, and when it hangs."""

    def __init__(self, value: str | BaseException = "first", **bounds: float) -> None:
        self.value = value
        self.loads = 0
        self.was_asked = asyncio.Event()
        self.answers = asyncio.Event()
        self.answers.set()
        self.clock = Clock(0)
        self.here = Refreshing(self.load, what="the value", clock=self.clock, **bounds)

    async def load(self) -> str:
        self.loads += 1
        self.was_asked.set()
        await self.answers.wait()
        if isinstance(self.value, BaseException):
            raise self.value
        return self.value

    async def get_at(self, moment: float, enough: str | None = None) -> str | None:
        """Return what is got at a moment by who needs ``enough``, or takes anything."""
        self.clock.now = moment
        if enough is None:
            return await self.here.get()
        return await self.here.get(lambda value: value == enough)

    def hang(self) -> None:
        self.answers.clear()
        self.was_asked.clear()

    async def finish(self) -> None:
        """Let what is loading in the background come to its end: nothing of it waits for the world."""
        self.answers.set()
        for _ in range(10):
            await checkpoint()


class Rotating(Source):
    """Answers with the value that was there when it was asked, however long that takes."""

    async def load(self) -> str:
        value = self.value
        assert isinstance(value, str)
        self.loads += 1
        self.was_asked.set()
        await self.answers.wait()
        return value


@pytest.mark.parametrize(
    "bounds",
    [
        pytest.param({"max_age": 3601}, id="an age beyond the default bound"),
        pytest.param({"max_stale": 599}, id="a bound below the default age"),
        pytest.param({"max_age": 10, "max_stale": 9.9}, id="a bound just below the age"),
    ],
)
def test_a_value_that_may_not_be_used_until_it_is_loaded_again_is_a_mistake(bounds: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="max_stale is less than max_age"):
        Source("first", **bounds)


@pytest.mark.anyio
async def test_the_greatest_age_may_be_the_bound_itself() -> None:
    source = Source(max_age=60, max_stale=60)

    assert await source.get_at(0) == "first"
    source.value = "second"
    assert await source.get_at(60.5) == "second"


@pytest.mark.anyio
async def test_a_value_is_loaded_when_it_is_first_needed_and_not_before() -> None:
    source = Source()

    before = source.loads

    assert (await source.get_at(0), await source.get_at(0)) == ("first", "first")
    assert (before, source.loads) == (0, 1)


@pytest.mark.parametrize(
    ("moment", "got", "loads"),
    [
        pytest.param(AHEAD, "first", 1, id="at three quarters of its age"),
        pytest.param(AHEAD + 0.5, "first", 2, id="past three quarters, for whom comes later"),
        pytest.param(MAX_AGE, "first", 2, id="at its age, for whom comes later"),
        pytest.param(MAX_AGE + 0.5, "second", 2, id="past its age, for who asks"),
        pytest.param(MAX_STALE + 0.5, "second", 2, id="past all bounds, for who asks"),
    ],
)
@pytest.mark.promise("keys-follow-issuer")
@pytest.mark.anyio
async def test_a_value_is_loaded_anew(moment: float, got: str, loads: int) -> None:
    source = Source()
    await source.get_at(0)
    source.value = "second"

    assert await source.get_at(moment) == got
    await source.finish()
    assert source.loads == loads
    assert await source.get_at(moment) == ("second" if loads == 2 else "first")


@pytest.mark.promise("keys-follow-issuer")
@pytest.mark.anyio
async def test_nobody_waits_for_a_value_that_is_loaded_before_it_is_old() -> None:
    source = Source()
    await source.get_at(0)
    source.hang()

    async with asyncio.timeout(LIMIT):
        got = [await source.get_at(moment) for moment in (451, 599, 600)]
    await source.finish()

    assert got == ["first"] * 3
    assert source.loads == 2


@pytest.mark.parametrize(
    "begun", [pytest.param(451, id="before it was old"), pytest.param(601, id="when it was old already")]
)
@pytest.mark.promise("keys-follow-issuer")
@pytest.mark.anyio
async def test_past_its_age_everybody_waits_while_the_source_is_asked(begun: float) -> None:
    source = Source()
    await source.get_at(0)
    source.value = "second"
    source.hang()

    leader = asyncio.create_task(source.get_at(begun))
    await source.was_asked.wait()
    late = [asyncio.create_task(source.get_at(moment)) for moment in (601, 602, 3600, 3600.5)]
    await checkpoint()
    waited = [not task.done() for task in late]
    source.answers.set()

    assert waited == [True] * 4
    assert [await task for task in late] == ["second"] * 4
    assert await leader == ("first" if begun < MAX_AGE else "second")
    assert source.loads == 2


@pytest.mark.promise("keys-follow-issuer")
@pytest.mark.anyio
async def test_past_its_age_nobody_waits_beside_who_asks_again_after_a_failure() -> None:
    source = Source()
    await source.get_at(0)
    source.value = DOWN
    await source.get_at(601)
    source.hang()

    leader = asyncio.create_task(source.get_at(607))
    await source.was_asked.wait()
    async with asyncio.timeout(LIMIT):
        beside = [await source.get_at(moment) for moment in (607, 3600)]
    beyond = asyncio.create_task(source.get_at(3600.5))
    await checkpoint()
    waited = [not task.done() for task in (leader, beyond)]
    source.value = "second"
    source.answers.set()

    assert beside == ["first"] * 2
    assert waited == [True] * 2
    assert (await leader, await beyond) == ("second", "second")
    assert source.loads == 3


@pytest.mark.parametrize(
    "failure", [pytest.param(DOWN, id="down"), pytest.param(ValueError("odd"), id="odd")]
)
@pytest.mark.anyio
async def test_who_waited_in_vain_past_its_age_gets_the_last_value_when_the_source_is(
    failure: Exception,
) -> None:
    source = Source()
    await source.get_at(0)
    source.hang()
    tasks = [asyncio.create_task(source.get_at(moment)) for moment in (601, 602, 3600)]
    await source.was_asked.wait()

    source.value = failure
    source.answers.set()

    assert [await task for task in tasks] == ["first"] * 3
    assert source.loads == 2


@pytest.mark.promise("keys-follow-issuer")
@pytest.mark.anyio
async def test_who_joins_a_question_that_began_before_there_was_what_is_wanted_asks_once_more() -> None:
    source = Rotating()
    await source.get_at(0)
    source.hang()
    for_age = asyncio.create_task(source.get_at(601))
    await source.was_asked.wait()
    source.value = "second"

    joined = [asyncio.create_task(source.get_at(601, "second")) for _ in range(10)]
    await checkpoint()
    source.answers.set()

    assert await for_age == "first"
    assert [await task for task in joined] == ["second"] * 10
    assert source.loads == 3


@pytest.mark.anyio
async def test_who_joins_the_very_first_question_asks_once_more_for_what_is_not_in_its_answer() -> None:
    source = Rotating()
    source.hang()
    first = asyncio.create_task(source.get_at(0))
    await source.was_asked.wait()
    source.value = "second"

    joined = [asyncio.create_task(source.get_at(0, "second")) for _ in range(10)]
    await checkpoint()
    source.answers.set()

    assert await first == "first"
    assert [await task for task in joined] == ["second"] * 10
    assert source.loads == 2


@pytest.mark.promise("bounded")
@pytest.mark.anyio
async def test_who_joins_a_question_asks_once_more_and_not_again_and_again() -> None:
    source = Rotating()
    await source.get_at(0)
    source.hang()
    for_age = asyncio.create_task(source.get_at(601))
    await source.was_asked.wait()

    joined = [asyncio.create_task(source.get_at(601, "never")) for _ in range(10)]
    await checkpoint()
    source.answers.set()

    assert [await task for task in (for_age, *joined)] == ["first"] * 11
    assert source.loads == 3


@pytest.mark.promise("bounded")
@pytest.mark.anyio
async def test_who_joins_a_question_that_fails_does_not_ask_at_once_again() -> None:
    source = Source(DOWN)
    source.hang()
    first = asyncio.create_task(source.get_at(0))
    await source.was_asked.wait()

    joined = [asyncio.create_task(source.get_at(0, "second")) for _ in range(10)]
    await checkpoint()
    source.answers.set()

    assert [await task for task in (first, *joined)] == [None] * 11
    assert source.loads == 1


@pytest.mark.promise("keys-follow-issuer")
@pytest.mark.anyio
async def test_what_is_not_enough_is_loaded_anew_even_when_it_was_loaded_just_now() -> None:
    source = Source()
    await source.get_at(0)
    source.value = "second"

    assert await source.get_at(0, "second") == "second"
    assert source.loads == 2


@pytest.mark.parametrize(
    ("moment", "got", "loads"),
    [
        pytest.param(10, "second", 2, id="at the same time"),
        pytest.param(10 + COOLDOWN, "second", 2, id="at the end of the cool-down"),
        pytest.param(10.5 + COOLDOWN, "third", 3, id="past the cool-down"),
    ],
)
@pytest.mark.anyio
async def test_for_not_being_enough_a_value_is_loaded_once_in_a_cooldown(
    moment: float, got: str, loads: int
) -> None:
    source = Source()
    await source.get_at(0)
    source.value = "second"
    await source.get_at(10, "third")
    source.value = "third"

    assert await source.get_at(moment, "third") == got
    assert source.loads == loads


@pytest.mark.anyio
async def test_a_value_that_was_loaded_for_its_age_may_be_loaded_again_for_not_being_enough() -> None:
    source = Source()
    await source.get_at(0)
    await source.get_at(451)
    await source.finish()
    source.value = "second"

    assert await source.get_at(452, "second") == "second"
    assert source.loads == 3


@pytest.mark.anyio
async def test_where_no_newer_value_is_enough_the_latest_is_returned() -> None:
    source = Source()
    await source.get_at(0)
    source.value = "second"

    assert await source.get_at(1, "third") == "second"
    assert await source.get_at(1, "third") == "second"
    assert source.loads == 2


@pytest.mark.anyio
async def test_who_needs_more_than_the_very_first_value_gets_the_first() -> None:
    source = Source()

    assert await source.get_at(0, "second") == "first"
    assert source.loads == 1


@pytest.mark.promise("keys-follow-issuer")
@pytest.mark.anyio
async def test_a_source_that_is_down_is_asked_again_five_seconds_after_it_has_failed() -> None:
    source = Source(DOWN)

    async def load_slowly() -> str:
        source.loads += 1
        source.clock.now += 40
        raise TimeoutError

    here = Refreshing(load_slowly, what="the value", clock=source.clock)
    asked: list[tuple[float, int]] = []
    for moment in (0, 41, 45, 45.5, 85.5, 90.5, 91):
        source.clock.now = max(source.clock.now, moment)
        began = source.clock.now
        assert await here.get() is None
        asked.append((began, source.loads))

    assert asked == [(0, 1), (41, 1), (45, 1), (45.5, 2), (85.5, 2), (90.5, 2), (91, 3)]


@pytest.mark.parametrize(
    "failure",
    [
        pytest.param(DOWN, id="is down"),
        pytest.param(TimeoutError(), id="does not answer in time"),
        pytest.param(ValueError("is no JWK set"), id="answers with something else"),
        pytest.param(IssuerUnavailable("no metadata"), id="cannot be found"),
    ],
)
@pytest.mark.promise("keys-follow-issuer")
@pytest.mark.anyio
async def test_the_last_value_is_used_up_to_its_bound_while_the_source(
    failure: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    source = Source()
    await source.get_at(0)
    source.value = failure

    got = [await source.get_at(moment) for moment in (601, 602, 3599, 3600)]
    await source.finish()
    at_the_bound, source.clock.now = source.clock.now, 3600.5
    past_it = await source.here.get()

    assert (got, at_the_bound, past_it) == (["first"] * 4, 3600, None)
    assert {record.levelno for record in caplog.records} == {logging.ERROR}
    said = str(failure) or type(failure).__name__
    assert {record.getMessage() for record in caplog.records} == {f"the value: {said}"}

    source.value = "second"
    assert await source.get_at(3700) == "second"


@pytest.mark.promise("refused-or-broken")
@pytest.mark.anyio
async def test_while_the_source_is_down_nobody_knows_what_a_newer_value_would_be() -> None:
    source = Source()
    await source.get_at(0)
    source.value = DOWN

    assert await source.get_at(31, "second") is None
    assert await source.get_at(31, "first") == "first"
    assert await source.get_at(31) == "first"
    source.value = "second"
    assert await source.get_at(36, "second") is None
    assert await source.get_at(36.5, "second") == "second"


@pytest.mark.anyio
async def test_an_age_is_counted_from_when_the_value_was_there() -> None:
    clock = Clock(0)
    loads = itertools.count(1)

    async def load_slowly() -> int:
        clock.now += 100
        return next(loads)

    here = Refreshing(load_slowly, what="the value", clock=clock)
    assert await here.get() == 1
    clock.now = 100 + AHEAD

    assert await here.get() == 1
    assert next(loads) == 2


@pytest.mark.anyio
async def test_what_is_latest_is_known_however_the_clock_ticks() -> None:
    ticks = itertools.count()
    source = Source()
    here = Refreshing(source.load, what="the value", clock=lambda: next(ticks) / 1000)

    assert await here.get() == "first"
    for _ in range(3):
        assert await here.get(lambda value: value == "second") == "first"
    assert source.loads == 2


@pytest.mark.parametrize(
    "value", [pytest.param("first", id="that answers"), pytest.param(DOWN, id="that is down")]
)
@pytest.mark.anyio
async def test_a_hundred_requests_at_a_cold_start_share_one_question_to_a_source(
    value: str | Exception,
) -> None:
    source = Source(value)
    source.hang()
    requests = [asyncio.create_task(source.get_at(0)) for _ in range(100)]
    await source.was_asked.wait()

    source.answers.set()

    expected = value if isinstance(value, str) else None
    assert [await request for request in requests] == [expected] * 100
    assert source.loads == 1


@pytest.mark.anyio
async def test_who_asks_while_one_question_is_on_its_way_waits_for_its_answer() -> None:
    source = Source()
    await source.get_at(0)
    source.value = "second"
    source.hang()
    first = asyncio.create_task(source.get_at(31, "second"))
    await source.was_asked.wait()
    others = [asyncio.create_task(source.get_at(31, "second")) for _ in range(10)]
    async with asyncio.timeout(LIMIT):
        unconcerned = await source.get_at(31, "first")

    source.answers.set()

    assert unconcerned == "first"
    assert [await task for task in (first, *others)] == ["second"] * 11
    assert source.loads == 2


@pytest.mark.anyio
async def test_a_request_that_goes_away_takes_the_value_from_nobody_else() -> None:
    source = Source()
    source.hang()
    leader = asyncio.create_task(source.get_at(0))
    followers = [asyncio.create_task(source.get_at(0)) for _ in range(10)]
    await source.was_asked.wait()

    for request in (leader, *followers[:5]):
        request.cancel()
    source.answers.set()

    assert [await request for request in followers[5:]] == ["first"] * 5
    assert leader.cancelled()
    assert source.loads == 1


@pytest.mark.anyio
async def test_a_value_arrives_even_when_everybody_who_asked_is_gone() -> None:
    source = Source()
    source.hang()
    request = asyncio.create_task(source.get_at(0))
    await source.was_asked.wait()
    request.cancel()
    await asyncio.wait([request])

    await source.finish()

    assert await source.get_at(0) == "first"
    assert source.loads == 1


@pytest.mark.anyio
async def test_requests_that_go_away_do_not_make_anybody_ask_again_and_again() -> None:
    source = Source()
    source.hang()

    for _ in range(10):
        request = asyncio.create_task(source.get_at(0))
        await source.was_asked.wait()
        request.cancel()
        await asyncio.wait([request])
    await source.finish()

    assert source.loads == 1


@pytest.mark.anyio
async def test_a_failure_that_nobody_waits_for_is_written_down_and_no_more(
    caplog: pytest.LogCaptureFixture,
) -> None:
    source = Source()
    await source.get_at(0)
    source.value = DOWN

    with nothing_unretrieved():
        assert await source.get_at(451) == "first"
        await source.finish()

    assert [record.getMessage() for record in caplog.records] == ["the value: connection refused"]


class Unforeseen(Exception):
    """Not one of the exceptions that a source may raise."""


@pytest.mark.anyio
async def test_an_unforeseen_exception_reaches_those_who_wait_and_the_next_one_may_ask_again() -> None:
    source = Source(Unforeseen())
    source.hang()
    requests = [asyncio.create_task(source.get_at(0)) for _ in range(10)]
    await source.was_asked.wait()

    with nothing_unretrieved():
        requests[0].cancel()
        source.answers.set()
        await asyncio.wait(requests)
        found = [request.exception() for request in requests[1:]]

    assert [type(each) for each in found] == [Unforeseen] * 9
    source.value = "second"
    assert await source.get_at(0) is None
    assert await source.get_at(30.5) == "second"


@pytest.mark.anyio
async def test_an_unforeseen_exception_that_nobody_waits_for_is_written_down(
    caplog: pytest.LogCaptureFixture,
) -> None:
    source = Source()
    await source.get_at(0)
    source.value = Unforeseen()

    with nothing_unretrieved():
        assert await source.get_at(451) == "first"
        await source.finish()
        gc.collect()

    assert [(record.name, record.levelno) for record in caplog.records] == [("tunnelgate", logging.ERROR)]
    assert "Unforeseen" in caplog.text
    source.value = "second"
    assert await source.get_at(601) == "second"


def test_a_question_that_ends_with_its_event_loop_is_asked_again_in_the_next() -> None:
    source = Source()
    asyncio.run(source.get_at(0))
    source.value = "second"

    async def leave_behind() -> str | None:
        source.hang()
        got = await source.get_at(451)
        await source.was_asked.wait()
        return got

    left_behind = asyncio.run(leave_behind())
    source.answers = asyncio.Event()
    source.answers.set()

    assert (left_behind, asyncio.run(source.get_at(1000))) == ("first", "second")


@pytest.mark.anyio
async def test_a_question_that_is_cancelled_before_it_begins_is_asked_again() -> None:
    source = Source()
    await source.get_at(0)
    source.value = "second"
    before = asyncio.all_tasks()

    assert await source.get_at(451) == "first"
    (loading,) = asyncio.all_tasks() - before
    loading.cancel()
    await asyncio.wait([loading])

    assert source.loads == 1
    assert await source.get_at(1000) == "second"


@pytest.mark.anyio
async def test_a_question_that_is_cancelled_lets_the_next_one_ask_again() -> None:
    source = Source()
    source.hang()
    before = asyncio.all_tasks()
    request = asyncio.create_task(source.get_at(0))
    await source.was_asked.wait()

    (loading,) = asyncio.all_tasks() - before - {request}
    loading.cancel()
    await asyncio.wait([request])
    source.answers.set()

    assert request.cancelled()
    assert await source.get_at(30.5) == "first"


def takes_anything(_: float) -> bool:
    return True


def wants_more(_: float) -> bool:
    return False


GAPS = st.sampled_from(
    [0, 0.5, 1, 4.5, 5, 5.5, 29.5, 30, 30.5, 60, 449, 450, 451, 599, 600, 601, 3000, 3600, 3601]
)
STEPS = st.tuples(GAPS, st.booleans(), st.integers(1, 3), st.booleans())


@given(steps=st.lists(STEPS, max_size=12))
@settings(max_examples=100, deadline=None)
def test_whatever_happens_nothing_is_older_than_its_bound_and_no_source_is_asked_too_often(
    steps: list[tuple[float, bool, int, bool]],
) -> None:
    clock = Clock(0)
    is_up = True
    at_once = 0
    attempts: list[tuple[float, bool]] = []

    async def load() -> float:
        nonlocal at_once
        at_once += 1
        attempts.append((clock.now, is_up))
        assert at_once == 1
        await checkpoint()
        at_once -= 1
        if not is_up:
            raise DOWN
        return clock.now

    here = Refreshing(load, what="the value", clock=clock)

    async def take_steps() -> None:
        nonlocal is_up
        for gap, stays_up, count, is_greedy in steps:
            is_up = stays_up
            clock.now += gap
            is_enough = wants_more if is_greedy else takes_anything
            got = await asyncio.gather(*(here.get(is_enough) for _ in range(count)))
            for _ in range(5):
                await checkpoint()
            loaded = [moment for moment, succeeded in attempts if succeeded]
            is_there = bool(loaded) and clock.now - loaded[-1] <= MAX_STALE
            assert all(value is None or clock.now - value <= MAX_STALE for value in got)
            assert is_greedy or all((value is not None) == is_there for value in got)

    asyncio.run(take_steps())

    for (before, succeeded), (after, _) in itertools.pairwise(attempts):
        assert succeeded or after - before > RETRY
    for first, second, third in zip(attempts, attempts[1:], attempts[2:], strict=False):
        pause = COOLDOWN if first[1] and second[1] else RETRY
        assert third[0] - first[0] > pause
