import asyncio
import logging
from collections.abc import Generator
from contextlib import contextmanager

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.support.proxied import Clock
from tunnelgate import Reason
from tunnelgate.errors import UpstreamFailed
from tunnelgate.upstream.health import Attempt, Health, HealthReport

UNREACHABLE = UpstreamFailed(Reason.UPSTREAM_UNREACHABLE, "wiki port 80: connection refused")
RETRY_AFTER = 5.0


def _health(clock: Clock, max_failures: int = 3) -> Health:
    return Health("wiki", max_failures=max_failures, retry_after=RETRY_AFTER, clock=clock)


def _fail(health: Health, failure: BaseException = UNREACHABLE) -> None:
    with pytest.raises(type(failure)) as raised, health.attempt():
        raise failure
    assert raised.value is failure


def _succeed(health: Health) -> None:
    with health.attempt() as attempt:
        attempt.answered()


def _is_refused(health: Health) -> bool:
    try:
        with health.attempt():
            return False
    except UpstreamFailed as failure:
        return failure.reason is Reason.UPSTREAM_FAILING


class Held:
    """An attempt that goes on until the test ends it."""

    def __init__(self, health: Health) -> None:
        self._block = health.attempt()
        self.attempt: Attempt = self._block.__enter__()

    def leave(self) -> None:
        self._block.__exit__(None, None, None)

    def fail(self, failure: UpstreamFailed = UNREACHABLE) -> None:
        assert not self._block.__exit__(type(failure), failure, None)


@contextmanager
def _held(health: Health) -> Generator[Held]:
    held = Held(health)
    yield held
    held.leave()


def _failing(clock: Clock, max_failures: int = 3) -> Health:
    health = _health(clock, max_failures)
    for _ in range(max_failures):
        _fail(health)
    return health


def _on_trial(clock: Clock) -> Health:
    """Return the health of an upstream that fails, and may be tried again now."""
    health = _failing(clock)
    clock.now += RETRY_AFTER
    return health


# What is known


def test_nothing_is_known_of_an_upstream_that_was_never_asked() -> None:
    assert _health(Clock()).report == HealthReport("unknown", 0, "")


def test_an_upstream_that_answered_is_answering() -> None:
    health = _health(Clock())

    _succeed(health)

    assert health.report == HealthReport("answering", 0, "")


def test_failures_in_a_row_are_counted_and_the_last_one_is_known() -> None:
    health = _health(Clock())

    _fail(health)
    _fail(health, UpstreamFailed(Reason.UPSTREAM_TIMEOUT, "nothing came for 2 seconds"))

    assert health.report == HealthReport("unknown", 2, "upstream-timeout: nothing came for 2 seconds")


def test_an_answer_ends_the_row_and_what_the_last_failure_was_stays_known() -> None:
    health = _health(Clock())

    _fail(health)
    _succeed(health)

    assert health.report == HealthReport("answering", 0, str(UNREACHABLE))


# From answering to failing


@pytest.mark.parametrize("max_failures", [1, 2, 5])
def test_exactly_so_many_failures_in_a_row_make_an_upstream_failing(max_failures: int) -> None:
    health = _health(Clock(), max_failures)

    for count in range(1, max_failures):
        _fail(health)
        assert health.report.state == "unknown", count
    _fail(health)

    assert health.report == HealthReport("failing", max_failures, str(UNREACHABLE))
    assert _is_refused(health)


def test_failures_that_are_not_in_a_row_make_none() -> None:
    health = _health(Clock())

    for _ in range(10):
        _fail(health)
        _fail(health)
        _succeed(health)

    assert health.report.state == "answering"


def test_slow_calls_do_not_make_an_upstream_failing_while_it_answers_others() -> None:
    health = _health(Clock())

    for _ in range(10):
        slow = [Held(health) for _ in range(2)]
        for each in slow:
            each.fail(UpstreamFailed(Reason.UPSTREAM_TIMEOUT, "nothing came for 120 seconds"))
        _succeed(health)

    assert not _is_refused(health)


@pytest.mark.parametrize(
    "failure",
    [
        pytest.param(UpstreamFailed(Reason.CALL_CANCELLED, "the client has gone"), id="the client went"),
        pytest.param(UpstreamFailed(Reason.UPSTREAM_FAILING), id="it was not asked"),
        pytest.param(UpstreamFailed(Reason.UPSTREAM_NOT_ALLOWED), id="it may not be dialled"),
        pytest.param(ValueError(), id="something of ours broke"),
        pytest.param(asyncio.CancelledError(), id="the request was cancelled"),
    ],
)
def test_what_is_not_the_fault_of_the_upstream_does_not_count(failure: BaseException) -> None:
    health = _health(Clock(), max_failures=1)

    _fail(health, failure)

    assert health.report == HealthReport("unknown", 0, "")


@pytest.mark.parametrize(
    "reason",
    [
        Reason.UPSTREAM_UNREACHABLE,
        Reason.UPSTREAM_TIMEOUT,
        Reason.UPSTREAM_INTERRUPTED,
        Reason.ANSWER_NOT_VALID,
    ],
)
def test_every_way_not_to_answer_counts(reason: Reason) -> None:
    health = _health(Clock(), max_failures=1)

    _fail(health, UpstreamFailed(reason))

    assert health.report == HealthReport("failing", 1, str(reason))


def test_an_upstream_that_breaks_off_in_its_answer_has_answered() -> None:
    health = _health(Clock(), max_failures=1)

    held = Held(health)
    held.attempt.answered()
    held.fail(UpstreamFailed(Reason.UPSTREAM_INTERRUPTED))

    assert health.report.state == "answering"


# While it fails


def test_a_failing_upstream_is_not_asked_and_whoever_asks_is_told_its_last_failure_for_the_log() -> None:
    health = _failing(Clock())

    with pytest.raises(UpstreamFailed) as refused, health.attempt():
        pass

    assert (refused.value.reason, refused.value.detail) == (Reason.UPSTREAM_FAILING, str(UNREACHABLE))


def test_those_who_are_refused_do_not_count_as_failures() -> None:
    health = _failing(Clock())

    for _ in range(10):
        assert _is_refused(health)

    assert health.report.failures == 3


def test_a_failing_upstream_is_asked_again_after_its_time_and_not_before() -> None:
    clock = Clock()
    health = _failing(clock)

    clock.now += RETRY_AFTER - 0.001
    assert _is_refused(health)
    clock.now += 0.001

    assert not _is_refused(health)


def test_whoever_is_refused_is_told_in_how_many_seconds_to_ask_again() -> None:
    clock = Clock()
    health = _failing(clock)
    told: list[float | None] = []

    for _ in range(3):
        with pytest.raises(UpstreamFailed) as refused, health.attempt():
            pass
        told.append(refused.value.retry_after)
        clock.now += 2.25
    with _held(health):
        with pytest.raises(UpstreamFailed) as refused, health.attempt():
            pass
        told.append(refused.value.retry_after)

    assert told == [5.0, 2.75, 1.0, 1.0]


def test_one_request_that_began_before_makes_it_answering_when_it_is_answered() -> None:
    health = _health(Clock())
    with _held(health) as earlier:
        for _ in range(3):
            _fail(health)

        earlier.attempt.answered()

        assert health.report.state == "answering"
        assert not _is_refused(health)


@pytest.mark.parametrize(
    "seconds",
    [
        pytest.param(0, id="at its beginning"),
        pytest.param(RETRY_AFTER - 1, id="within it"),
        pytest.param(RETRY_AFTER, id="at its end"),
    ],
)
def test_requests_that_began_before_the_pause_and_fail_in_it_do_not_prolong_it(seconds: float) -> None:
    clock = Clock()
    health = _health(clock)
    earlier = [Held(health) for _ in range(3)]
    for _ in range(3):
        _fail(health)

    clock.now += seconds
    for each in earlier:
        each.fail(UpstreamFailed(Reason.UPSTREAM_TIMEOUT, "nothing came for 120 seconds"))

    assert health.report == HealthReport("failing", 3, str(UNREACHABLE))
    clock.now += RETRY_AFTER - seconds
    assert not _is_refused(health)


def test_a_request_that_began_before_the_pause_and_fails_during_the_trial_is_not_taken_for_it() -> None:
    clock = Clock()
    health = _health(clock)
    earlier = Held(health)
    for _ in range(3):
        _fail(health)
    clock.now += RETRY_AFTER

    with _held(health) as trial:
        earlier.fail()

        assert health.report.failures == 3
        assert _is_refused(health)
        trial.attempt.answered()
        assert not _is_refused(health)


def test_requests_that_fail_late_one_after_the_other_keep_nobody_from_trying() -> None:
    clock = Clock()
    health = _health(clock)
    earlier = [Held(health) for _ in range(20)]
    for _ in range(3):
        _fail(health)

    for each in earlier:  # as slow calls of one caller do, each before the pause of the last one is over
        clock.now += RETRY_AFTER / 5
        each.fail()

    assert not _is_refused(health)


def test_a_request_that_began_before_the_pause_and_fails_when_it_is_over_counts_again() -> None:
    clock = Clock()
    health = _health(clock, max_failures=2)
    earlier = Held(health)
    _fail(health)
    _fail(health)
    clock.now += RETRY_AFTER
    _succeed(health)

    earlier.fail()

    assert health.report == HealthReport("answering", 1, str(UNREACHABLE))


# The trial


def test_exactly_one_request_tries_a_failing_upstream() -> None:
    clock = Clock()
    health = _on_trial(clock)

    with _held(health):
        for _ in range(3):
            assert _is_refused(health)
        clock.now += 100 * RETRY_AFTER
        assert _is_refused(health)
        assert health.report.state == "failing"


def test_a_trial_that_is_answered_makes_the_upstream_answering() -> None:
    health = _on_trial(Clock())

    _succeed(health)

    assert health.report == HealthReport("answering", 0, str(UNREACHABLE))
    with _held(health):
        assert not _is_refused(health)


def test_others_go_on_as_soon_as_the_trial_is_answered() -> None:
    health = _on_trial(Clock())

    with _held(health) as trial:
        trial.attempt.answered()

        assert not _is_refused(health)


def test_a_trial_that_fails_is_followed_by_another_pause() -> None:
    clock = Clock()
    health = _on_trial(clock)

    _fail(health)

    assert health.report.failures == 4
    clock.now += RETRY_AFTER - 0.001
    assert _is_refused(health)
    clock.now += 0.001
    assert not _is_refused(health)


def test_after_a_trial_that_was_answered_it_takes_all_failures_to_fail_again() -> None:
    health = _on_trial(Clock())

    _succeed(health)
    _fail(health)
    _fail(health)
    assert not _is_refused(health)
    _fail(health)

    assert _is_refused(health)


@pytest.mark.parametrize(
    "end",
    [
        pytest.param(None, id="it ended without an answer"),
        pytest.param(asyncio.CancelledError(), id="it was cancelled"),
        pytest.param(ValueError(), id="something of ours broke"),
        pytest.param(UpstreamFailed(Reason.CALL_CANCELLED), id="its client went away"),
    ],
)
def test_a_trial_that_says_nothing_is_given_to_the_next_request(end: BaseException | None) -> None:
    health = _on_trial(Clock())

    if end is None:
        with health.attempt():
            pass
    else:
        _fail(health, end)

    assert health.report.state == "failing"
    with _held(health):
        assert _is_refused(health)


def test_a_trial_that_lasts_after_it_was_answered_is_in_nobodys_way_when_the_upstream_fails_again() -> None:
    clock = Clock()
    health = _on_trial(clock)

    with _held(health) as stream:
        stream.attempt.answered()
        for _ in range(3):
            _fail(health)
        clock.now += RETRY_AFTER

        assert not _is_refused(health)


def test_the_end_of_an_earlier_trial_does_not_let_two_try_at_once() -> None:
    clock = Clock()
    health = _on_trial(clock)
    stream = Held(health)
    stream.attempt.answered()
    for _ in range(3):
        _fail(health)
    clock.now += RETRY_AFTER

    with _held(health):
        stream.leave()

        assert _is_refused(health)


# What the log says


def test_the_log_says_once_that_an_upstream_fails_and_once_that_it_answers_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = Clock()
    with caplog.at_level(logging.INFO, "tunnelgate"):
        health = _failing(clock)
        for _ in range(2):
            clock.now += RETRY_AFTER
            _fail(health)
            assert _is_refused(health)
        clock.now += RETRY_AFTER
        _succeed(health)
        _succeed(health)

    fails, answers = [each.getMessage() for each in caplog.records]
    assert fails.startswith(f"upstream wiki is failing ({UNREACHABLE}); ")
    assert " 5 s" in fails
    assert answers == "upstream wiki answers again"
    assert {each.levelno for each in caplog.records} == {logging.WARNING}


def test_the_log_says_nothing_of_an_upstream_that_answers(caplog: pytest.LogCaptureFixture) -> None:
    health = _health(Clock())

    with caplog.at_level(logging.DEBUG, "tunnelgate"):
        _succeed(health)
        _fail(health)
        _succeed(health)

    assert caplog.records == []


# Whatever happens


class Breaker(RuleBasedStateMachine):
    """Requests that begin and end in any order, beside what was said above of when they may begin."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.health = _health(self.clock, max_failures=2)
        self.under_way: list[Held] = []
        self.trial: Held | None = None
        self.failures = 0
        self.retry_at: float | None = None

    @rule()
    def begin(self) -> None:
        is_failing = self.retry_at is not None
        must_wait = self.retry_at is not None and (self.trial is not None or self.clock.now < self.retry_at)
        try:
            held = Held(self.health)
        except UpstreamFailed:
            assert must_wait
            return
        assert not must_wait
        self.under_way.append(held)
        if is_failing:
            self.trial = held

    @rule()
    def begin_and_fail(self) -> None:
        before = len(self.under_way)
        self.begin()
        if len(self.under_way) > before:
            self._fail(self.under_way[-1])

    @precondition(lambda self: self.under_way)
    @rule(which=st.integers(0, 1000))
    def answer(self, which: int) -> None:
        self._some(which).attempt.answered()
        self.failures, self.retry_at, self.trial = 0, None, None

    @precondition(lambda self: self.under_way)
    @rule(which=st.integers(0, 1000))
    def leave(self, which: int) -> None:
        self._end(self._some(which)).leave()

    @precondition(lambda self: self.under_way)
    @rule(which=st.integers(0, 1000))
    def fail(self, which: int) -> None:
        self._fail(self._some(which))

    def _fail(self, held: Held) -> None:
        is_late = self.retry_at is not None and held is not self.trial
        self._end(held).fail()
        if not held.attempt.is_answered and not is_late:
            self.failures += 1
            if self.failures >= 2:
                self.retry_at = self.clock.now + RETRY_AFTER

    @rule(seconds=st.sampled_from([RETRY_AFTER - 1, RETRY_AFTER]))
    def let_time_pass(self, seconds: float) -> None:
        self.clock.now += seconds

    @invariant()
    def what_is_said_is_so(self) -> None:
        assert (self.health.report.state == "failing") is (self.retry_at is not None)
        assert self.health.report.failures == self.failures

    def _some(self, which: int) -> Held:
        return self.under_way[which % len(self.under_way)]

    def _end(self, held: Held) -> Held:
        self.under_way.remove(held)
        if held is self.trial:
            self.trial = None
        return held


def test_whatever_happens_requests_go_on_exactly_when_they_may() -> None:
    run_state_machine_as_test(Breaker, settings=settings(max_examples=200, stateful_step_count=40))
