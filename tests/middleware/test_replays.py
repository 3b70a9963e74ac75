import tracemalloc
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunnelgate import ReplayWindowFull
from tunnelgate.replays import CAPACITY, ReplayWindow, ReplayWindows

START = 1_800_000_000.0
SECONDS = 90.0


def test_what_was_never_shown_is_new_and_what_was_shown_is_not() -> None:
    window = ReplayWindow(SECONDS)

    assert window.is_new("key", "1", START)
    assert not window.is_new("key", "1", START)
    assert not window.is_new("key", "1", START)
    assert window.is_new("key", "2", START)


@pytest.mark.parametrize(
    ("key", "proof_id"),
    [
        pytest.param("other", "1", id="the same id of another key"),
        pytest.param("key", "1 ", id="an id that begins so"),
        pytest.param("key", "\uff11", id="an id that looks so"),
        pytest.param("ke", "y1", id="the same letters, divided elsewhere"),
        pytest.param("key", "", id="no id"),
        pytest.param("", "key1", id="no key"),
    ],
)
def test_another_key_or_another_id_is_another_proof(key: str, proof_id: str) -> None:
    window = ReplayWindow(SECONDS)
    window.is_new("key", "1", START)

    assert window.is_new(key, proof_id, START)


@pytest.mark.parametrize(
    ("seconds", "capacity", "sentence"),
    [
        pytest.param(0, CAPACITY, "seconds", id="no time at all"),
        pytest.param(-1, CAPACITY, "seconds", id="less than no time"),
        pytest.param(float("nan"), CAPACITY, "seconds", id="a time that is no number"),
        pytest.param(SECONDS, 0, "capacity", id="no room at all"),
        pytest.param(SECONDS, -1, "capacity", id="less than no room"),
    ],
)
def test_a_window_that_would_remember_nothing_is_refused_at_construction(
    seconds: float, capacity: int, sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        ReplayWindow(seconds, capacity=capacity)


@pytest.mark.parametrize(
    "shown_at",
    [
        pytest.param(0.0, id="in the first moment of a generation"),
        pytest.param(1.0, id="soon in a generation"),
        pytest.param(45.0, id="in the middle of a generation"),
        pytest.param(89.999, id="in the last moment of a generation"),
        pytest.param(90.0, id="in the moment in which the generation turns"),
    ],
)
@pytest.mark.parametrize(
    "later",
    [
        pytest.param([0.0], id="at once"),
        pytest.param([45.0], id="after half the time"),
        pytest.param([89.999], id="a moment before the end"),
        pytest.param([90.0], id="at the very end"),
        pytest.param([30.0, 60.0, 90.0], id="again and again"),
        pytest.param([0.001, 89.998, 90.0], id="at both ends"),
    ],
)
def test_a_proof_is_known_until_the_last_moment_wherever_the_generations_turn(
    shown_at: float, later: Sequence[float]
) -> None:
    window = ReplayWindow(SECONDS)
    window.is_new("key", "first", START)
    window.is_new("key", "1", START + shown_at)

    for position, seconds in enumerate(later):
        window.is_new("other", str(position), START + shown_at + seconds)
        assert not window.is_new("key", "1", START + shown_at + seconds)


def test_at_whatever_second_a_proof_comes_and_the_clock_is_looked_at_it_is_known_to_the_last_one() -> None:
    seconds = 20
    for shown_at in range(seconds + 1):
        for between in range(seconds + 1):
            window = ReplayWindow(seconds)
            window.is_new("key", "first", START)
            window.is_new("key", "1", START + shown_at)
            window.is_new("key", "between", START + shown_at + between)

            assert not window.is_new("key", "1", START + shown_at + seconds), (shown_at, between)


@pytest.mark.parametrize(
    "seconds",
    [
        pytest.param(3 * SECONDS, id="after three windows"),
        pytest.param(1_000_000, id="after days without a request"),
    ],
)
def test_what_counts_no_more_is_forgotten(seconds: float) -> None:
    window = ReplayWindow(SECONDS)
    window.is_new("key", "1", START)

    assert window.is_new("key", "1", START + seconds)


def test_the_window_begins_whatever_the_clock_says_first() -> None:
    for begin in (0.0, 0.5, START):
        window = ReplayWindow(SECONDS)

        assert window.is_new("key", "1", begin)
        assert not window.is_new("key", "1", begin + SECONDS)


@pytest.mark.parametrize(
    ("back", "is_asked_later"),
    [
        pytest.param(1.0, 0.0, id="a second, at once"),
        pytest.param(89.0, 89.0, id="almost the window, as long after"),
        pytest.param(3600.0, 3600.0, id="an hour, an hour later"),
        pytest.param(3600.0, 3689.0, id="an hour, when the proof is about to be too old"),
        pytest.param(START, START, id="to the beginning of time"),
    ],
)
def test_a_clock_that_goes_back_makes_nothing_new_that_was_shown(back: float, is_asked_later: float) -> None:
    window = ReplayWindow(SECONDS)
    window.is_new("key", "1", START)
    window.is_new("other", "1", START - back)

    assert not window.is_new("key", "1", START - back + is_asked_later)


def fill(window: ReplayWindow, key: str, count: int, now: float) -> None:
    for position in range(count):
        assert window.is_new(key, f"{now} {position}", now)


def test_a_full_window_takes_nobody_in_and_says_how_full_it_is() -> None:
    window = ReplayWindow(SECONDS, capacity=8)
    for key in "abcd":
        fill(window, key, 2, START)

    with pytest.raises(ReplayWindowFull, match=r"^8 proofs, 0 of this "):
        window.is_new("e", "1", START)


def test_a_full_window_still_knows_what_it_was_shown() -> None:
    window = ReplayWindow(SECONDS, capacity=8)
    window.is_new("a", "1", START)
    for key in "bcd":
        fill(window, key, 2, START)
    fill(window, "a", 1, START)

    assert not window.is_new("a", "1", START)
    assert not window.is_new("a", "1", START + SECONDS)


def test_a_busy_client_has_a_quarter_and_keeps_nobody_else_out() -> None:
    window = ReplayWindow(SECONDS, capacity=8)
    fill(window, "busy", 2, START)

    with pytest.raises(ReplayWindowFull, match=r"^2 proofs, 2 of this "):
        window.is_new("busy", "another", START)

    assert window.is_new("quiet", "1", START)
    assert not window.is_new("quiet", "1", START)


def test_what_a_full_window_turned_away_is_not_remembered() -> None:
    window = ReplayWindow(SECONDS, capacity=4)
    fill(window, "busy", 1, START)
    with pytest.raises(ReplayWindowFull):
        window.is_new("busy", "early", START)

    assert window.is_new("busy", "early", START + SECONDS)


def test_there_is_room_again_when_the_generation_turns_and_the_last_one_is_still_known() -> None:
    window = ReplayWindow(SECONDS, capacity=4)
    for key in "abcd":
        fill(window, key, 1, START)

    for key in "abcd":
        fill(window, key, 1, START + SECONDS)
        assert not window.is_new(key, f"{START} 0", START + SECONDS)


def test_the_smallest_window_has_room_for_one() -> None:
    window = ReplayWindow(SECONDS, capacity=1)

    assert window.is_new("key", "1", START)
    with pytest.raises(ReplayWindowFull):
        window.is_new("other", "1", START)


def test_a_window_never_takes_more_memory_than_its_capacity_whatever_clients_send() -> None:
    capacity, keys, each = 4_000, 4, 1_000
    window = ReplayWindow(SECONDS, capacity=capacity)
    for key in range(keys):
        window.is_new(f"key {key}", "x" * 256, START)

    tracemalloc.start()
    try:
        for generation in range(6):
            now = START + generation * SECONDS
            for key in range(keys):
                for position in range(each - 1):
                    window.is_new(f"key {key}", f"{position:0256} {now}", now)
        grown, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert grown < 2 * capacity * 200  # octets: a digest and its place in a set, in two generations


STEPS = st.lists(
    st.tuples(
        st.sampled_from([0.0, 0.001, 1.0, 44.5, 89.999, 90.0, 90.001, 180.0, 500.0]),
        st.sampled_from("abc"),
        st.sampled_from("12345"),
    ),
    max_size=60,
)
CAPACITIES = st.sampled_from([1, 3, 4, 8, CAPACITY])


def told(window: ReplayWindow, key: str, proof_id: str, now: float) -> bool | None:
    """Return what the window says, or ``None`` where it cannot tell."""
    try:
        return window.is_new(key, proof_id, now)
    except ReplayWindowFull:
        return None


@given(STEPS, CAPACITIES)
def test_within_its_seconds_no_proof_passes_twice_and_none_is_known_that_was_not_shown(
    steps: list[tuple[float, str, str]], capacity: int
) -> None:
    window, now = ReplayWindow(SECONDS, capacity=capacity), START
    shown: dict[tuple[str, str], float] = {}
    for advance, key, proof_id in steps:
        now += advance
        last = shown.get((key, proof_id))

        answer = told(window, key, proof_id, now)

        if answer is True:
            assert last is None or now - last > SECONDS
            shown[key, proof_id] = now
        if answer is False:
            assert last is not None
            assert now - last < 3 * SECONDS


@given(STEPS, st.lists(st.sampled_from([0.0, 0.0, 1.0, 90.0, 3600.0]), min_size=60, max_size=60))
def test_a_clock_that_goes_back_now_and_then_lets_no_proof_pass_twice_either(
    steps: list[tuple[float, str, str]], backward: list[float]
) -> None:
    window, now = ReplayWindow(SECONDS), START
    latest: dict[tuple[str, str], tuple[float, float]] = {}  # when it was shown, and the latest time since
    for (advance, key, proof_id), back in zip(steps, backward, strict=False):
        now = max(now + advance - back, 0.0)
        latest = {each: (at, max(since, now)) for each, (at, since) in latest.items()}

        if window.is_new(key, proof_id, now):
            at, since = latest.get((key, proof_id), (now - 2 * SECONDS, now))
            assert since - at > SECONDS
            latest[key, proof_id] = (now, now)


@given(STEPS, st.sampled_from([1, 3, 4, 8]))
def test_between_two_turns_no_more_are_taken_than_there_is_room_for(
    steps: list[tuple[float, str, str]], capacity: int
) -> None:
    window, now = ReplayWindow(SECONDS, capacity=capacity), START
    taken: list[tuple[float, str]] = []
    for position, (advance, key, _) in enumerate(steps):
        now += advance
        if told(window, key, str(position), now):
            taken.append((now, key))
        lately = [each for at, each in taken if at > now - SECONDS]
        assert len(lately) <= 2 * capacity
        assert all(lately.count(each) <= 2 * -(-capacity // 4) for each in "abc")


# When the policy changes


@pytest.mark.parametrize("shown", [0.0, 1.0, 45.0, 89.0, 90.0, 91.0, 179.0])
@pytest.mark.parametrize("lengthened", [0.0, 30.0, 89.0])
@pytest.mark.promise("bound-stays-bound")
def test_a_window_that_is_made_longer_remembers_also_what_it_knew_before_for_so_long(
    shown: float, lengthened: float
) -> None:
    window = ReplayWindow(SECONDS)
    window.is_new("other", "0", START)
    window.is_new("key", "1", START + shown)

    window.is_new("other", "1", START + shown + lengthened)
    window.lengthen(3 * SECONDS)

    for later in range(0, int(3 * SECONDS - lengthened), 10):
        assert not window.is_new("key", "1", START + shown + lengthened + later)


def test_a_window_is_never_made_shorter() -> None:
    window = ReplayWindow(SECONDS)

    window.lengthen(1)

    assert window.seconds == SECONDS


def test_a_window_is_empty_when_nothing_in_it_counts_any_more() -> None:
    window = ReplayWindow(SECONDS)
    assert window.is_empty(START)

    window.is_new("key", "1", START)

    assert not window.is_empty(START)
    assert not window.is_empty(START + SECONDS - 1)
    assert window.is_empty(START + 3 * SECONDS)


@pytest.mark.promise("bound-stays-bound")
def test_a_resource_has_one_window_whatever_becomes_of_its_route() -> None:
    windows = ReplayWindows()
    first = windows.window("a", SECONDS)
    windows.window("b", SECONDS)
    first.is_new("key", "1", START)

    windows.forget({"c"}, START)
    assert len(windows) == 1
    assert windows.window("a", 2 * SECONDS) is first
    assert first.seconds == 2 * SECONDS

    windows.forget({"a"}, START + 10 * SECONDS)
    assert len(windows) == 1
    windows.forget((), START + 10 * SECONDS)
    assert len(windows) == 0
