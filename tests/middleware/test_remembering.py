import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunnelgate.remembering import Remembered


@pytest.mark.parametrize(
    ("now", "value"),
    [
        pytest.param(0, "a", id="at once"),
        pytest.param(9.5, "a", id="before its time is over"),
        pytest.param(10, None, id="when its time is over"),
        pytest.param(11, None, id="later"),
    ],
)
def test_a_value_is_remembered_until_its_time(now: float, value: str | None) -> None:
    remembered = Remembered[str](4)
    remembered.put(b"k", "a", 10)

    assert remembered.get(b"k", now) == value


def test_what_was_never_put_in_is_not_there() -> None:
    assert Remembered[str](4).get(b"k", 0) is None


def test_what_is_put_in_again_stands_in_for_what_was_there() -> None:
    remembered = Remembered[str](4)
    remembered.put(b"k", "a", 10)
    remembered.put(b"k", "b", 20)

    assert remembered.get(b"k", 15) == "b"


def test_what_is_forgotten_is_not_there_and_what_is_not_there_can_be_forgotten() -> None:
    remembered = Remembered[str](4)
    remembered.put(b"k", "a", 10)
    remembered.forget(b"k")
    remembered.forget(b"other")

    assert remembered.get(b"k", 0) is None


@pytest.mark.promise("bounded")
def test_beyond_the_bound_the_one_that_was_put_in_first_is_forgotten() -> None:
    remembered = Remembered[str](2)
    for key in (b"1", b"2", b"1", b"3"):
        remembered.put(key, "a", 10)

    assert [remembered.get(key, 0) for key in (b"1", b"2", b"3")] == ["a", None, "a"]


@pytest.mark.promise("bounded")
@given(keys=st.lists(st.binary(max_size=1), max_size=40), limit=st.integers(1, 5))
def test_never_more_than_the_bound_is_remembered_and_always_the_latest(keys: list[bytes], limit: int) -> None:
    remembered = Remembered[int](limit)
    for position, key in enumerate(keys):
        remembered.put(key, position, 10)

    latest = list(dict.fromkeys(reversed(keys)))[:limit]
    assert {key for key in set(keys) if remembered.get(key, 0) is not None} == set(latest)
