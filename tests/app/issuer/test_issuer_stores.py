import pytest

from tests.support.tokens import Clock
from tunnelgate_app.issuer.ledger import MAX_TOKENS, Authorization, Ledger
from tunnelgate_app.issuer.resources import Resource
from tunnelgate_app.issuer.stores import Store, fingerprint


def store(limit: int = 3, lifetime: float = 10) -> tuple[Store[int], Clock]:
    clock = Clock()
    return Store(limit=limit, lifetime=lifetime, clock=clock), clock


def test_a_value_is_there_until_its_time_is_over() -> None:
    values, clock = store()
    values.put("a", 1)

    clock.now += 9
    assert values.get("a") == 1
    clock.now += 1

    assert values.get("a") is None


def test_a_value_that_is_put_in_again_lives_from_then_on() -> None:
    values, clock = store()
    values.put("a", 1)
    clock.now += 9
    values.put("a", 2)
    clock.now += 9

    assert (values.get("a"), len(values)) == (2, 1)


@pytest.mark.promise("bounded")
def test_there_are_as_many_as_may_be_and_one_more_costs_the_oldest_its_place() -> None:
    values, _ = store(limit=3)
    for number in range(3):
        values.put(str(number), number)
    assert [values.get(str(number)) for number in range(3)] == [0, 1, 2]

    values.put("3", 3)

    assert [values.get(str(number)) for number in range(4)] == [None, 1, 2, 3]
    assert len(values) == 3


def test_a_value_in_the_place_of_another_costs_no_third_one_its_place() -> None:
    values, _ = store(limit=2)
    values.put("a", 1)
    values.put("b", 2)

    values.put("b", 3)

    assert (values.get("a"), values.get("b")) == (1, 3)


def test_what_is_removed_is_gone_and_what_was_never_there_can_be_removed() -> None:
    values, _ = store()
    values.put("a", 1)
    values.put("b", 2)
    values.put("c", 3)

    values.remove("a")
    values.remove("a")
    values.remove_where(lambda value: value == 2)

    assert [values.get(name) for name in "abc"] == [None, None, 3]


def test_nothing_is_kept_under_the_secret_itself() -> None:
    assert fingerprint("s3cret") == fingerprint("s3cret") != fingerprint("s3cret ")
    assert "s3cret" not in fingerprint("s3cret")


@pytest.mark.promise("bounded")
def test_the_ledger_forgets_the_oldest_token_when_there_are_too_many() -> None:
    ledger = Ledger(600, Clock())
    authorization = Authorization("family", "client", Resource("http://docs.example/mcp"), ())
    for number in range(MAX_TOKENS + 1):
        ledger.add_access_token(str(number), authorization, {"exp": 2_000_000_000})

    assert ledger.access_token("0") is None
    assert ledger.access_token("1") is not None
