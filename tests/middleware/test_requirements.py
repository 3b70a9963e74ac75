from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.tokens import ISSUER
from tunnelgate import Allow, Deny, NeedsScopes, Principal, Reason, Requirement, Verdict
from tunnelgate.requirements import values_of
from tunnelgate.verdict import all_of

ALLOWED = Allow()
ABSENT = Deny(Reason.TOOL_NOT_ALLOWED)


def _principal(scopes: str = "", claims: Mapping[str, Any] | None = None) -> Principal:
    return Principal(ISSUER, "alice", "agent", frozenset(scopes.split()), claims or {})


# Construction


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        pytest.param({"scopes": "docs:read"}, "where a list of scopes is meant", id="one text as scopes"),
        pytest.param({"scopes": ""}, "where a list of scopes is meant", id="an empty text as scopes"),
        pytest.param({"claims": {"team": []}}, "no value would allow nobody", id="a claim with no value"),
        pytest.param({"claims": {"a": "x", "team": ()}}, "no value would", id="one such claim among others"),
        pytest.param({"scopes": {"scopes": ["docs:read"]}}, "list of scopes", id="a mapping as scopes"),
        pytest.param({"scopes": ["docs:read docs:write"]}, "is not one scope", id="two scopes in one text"),
        pytest.param({"scopes": ['docs"read']}, "is not one scope", id="a scope with a quote"),
        pytest.param({"scopes": ["größe"]}, "is not one scope", id="a scope that no challenge can name"),
    ],
)
def test_a_requirement_that_cannot_be_meant_is_refused(arguments: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        Requirement(**arguments)


@pytest.mark.parametrize(
    ("value", "values"),
    [
        pytest.param("x", ("x",), id="one text"),
        pytest.param("", ("",), id="an empty text"),
        pytest.param(7, (7,), id="one integer"),
        pytest.param(0, (0,), id="zero"),
        pytest.param(False, (False,), id="no"),
        pytest.param(["x", 7, True], ("x", 7, True), id="a list of each kind"),
        pytest.param(("x", "x"), ("x", "x"), id="a tuple"),
    ],
)
def test_a_claim_has_one_value_or_one_of_several(value: Any, values: tuple[Any, ...]) -> None:
    assert values_of(value) == values
    assert [type(each) for each in values_of(value)] == [type(each) for each in values]


def test_what_is_added_to_the_lists_afterwards_is_not_required() -> None:
    scopes, claims, teams = ["a"], dict[str, list[str]](), ["x"]
    claims["team"] = teams
    requirement = Requirement(scopes, claims)
    scopes.append("b")
    teams.append("y")
    claims["other"] = ["z"]

    assert requirement.decide(_principal("a", {"team": "x"}), ABSENT) == ALLOWED
    assert requirement.decide(_principal("a", {"team": "y"}), ABSENT) == ABSENT


def test_a_requirement_is_written_as_its_module_says() -> None:
    written: Any = {"scopes": ("tickets:draft",), "claims": {"department": ("support", "sales")}}
    requirement = Requirement(**written)

    assert requirement.decide(_principal("tickets:draft", {"department": "sales"}), ABSENT) == ALLOWED
    assert requirement.decide(_principal("tickets:draft", {"department": "press"}), ABSENT) == ABSENT


def test_a_claim_in_a_mapping_is_never_taken_for_another_one() -> None:
    written: Any = {"claims": {"hd": ("example.com",)}}
    requirement = Requirement(**written)

    assert requirement.decide(_principal(claims={"h": "d"}), ABSENT) == ABSENT
    assert requirement.decide(_principal(claims={"hd": "example.com"}), ABSENT) == ALLOWED


# Deciding

NOTHING = Requirement()
SCOPED = Requirement(["a", "b"])
CLAIMED = Requirement(claims={"team": ["x", "y"], "level": 1})
BOTH = Requirement(["a"], {"admin": True})


@pytest.mark.parametrize(
    ("requirement", "principal", "verdict"),
    [
        pytest.param(NOTHING, None, ALLOWED, id="nothing of nobody"),
        pytest.param(NOTHING, _principal("a"), ALLOWED, id="nothing of somebody"),
        pytest.param(SCOPED, None, NeedsScopes(("a", "b")), id="scopes of nobody"),
        pytest.param(SCOPED, _principal(), NeedsScopes(("a", "b")), id="scopes of somebody without any"),
        pytest.param(SCOPED, _principal("b"), NeedsScopes(("a", "b")), id="one scope of two"),
        pytest.param(SCOPED, _principal("a b"), ALLOWED, id="both scopes"),
        pytest.param(SCOPED, _principal("c b a"), ALLOWED, id="more scopes than needed"),
        pytest.param(SCOPED, _principal("A B"), NeedsScopes(("a", "b")), id="the scopes in capitals"),
        pytest.param(CLAIMED, None, ABSENT, id="claims of nobody"),
        pytest.param(CLAIMED, _principal(), ABSENT, id="claims of somebody without any"),
        pytest.param(CLAIMED, _principal(claims={"team": "x"}), ABSENT, id="one claim of two"),
        pytest.param(CLAIMED, _principal(claims={"team": "x", "level": 1}), ALLOWED, id="both claims"),
        pytest.param(CLAIMED, _principal(claims={"team": "y", "level": 1}), ALLOWED, id="the other value"),
        pytest.param(CLAIMED, _principal(claims={"team": "z", "level": 1}), ABSENT, id="a third value"),
        pytest.param(
            CLAIMED,
            _principal(claims={"team": ["z", "y"], "level": [1]}),
            ALLOWED,
            id="lists with the values",
        ),
        pytest.param(CLAIMED, _principal(claims={"team": [], "level": 1}), ABSENT, id="an empty list"),
        pytest.param(
            CLAIMED, _principal(claims={"team": [["x"]], "level": 1}), ABSENT, id="a list in a list"
        ),
        pytest.param(
            CLAIMED,
            _principal(claims={"team": {"x": "x"}, "level": 1}),
            ABSENT,
            id="an object with the value",
        ),
        pytest.param(
            CLAIMED, _principal(claims={"team": "x y", "level": 1}), ABSENT, id="values in one text"
        ),
        pytest.param(
            CLAIMED, _principal(claims={"team": "X", "level": 1}), ABSENT, id="the value in capitals"
        ),
        pytest.param(
            CLAIMED, _principal(claims={"Team": "x", "level": 1}), ABSENT, id="the name in capitals"
        ),
        pytest.param(CLAIMED, _principal(claims={"team": None, "level": 1}), ABSENT, id="null"),
        pytest.param(
            CLAIMED, _principal(claims={"team": "x", "level": "1"}), ABSENT, id="a text for an integer"
        ),
        pytest.param(CLAIMED, _principal(claims={"team": "x", "level": True}), ABSENT, id="true for one"),
        pytest.param(
            CLAIMED, _principal(claims={"team": "x", "level": 1.0}), ABSENT, id="a real number for one"
        ),
        pytest.param(BOTH, _principal("a", {"admin": 1}), ABSENT, id="one for true"),
        pytest.param(BOTH, _principal("a", {"admin": "true"}), ABSENT, id="a text for true"),
        pytest.param(BOTH, _principal("a", {"admin": False}), ABSENT, id="false for true"),
        pytest.param(BOTH, _principal("a", {"admin": True}), ALLOWED, id="the scope and the claim"),
        pytest.param(BOTH, _principal("", {"admin": True}), NeedsScopes(("a",)), id="the claim alone"),
        pytest.param(BOTH, _principal("a"), ABSENT, id="the scope alone"),
        pytest.param(Requirement(claims={"admin": False}), _principal(), ABSENT, id="nothing for false"),
        pytest.param(
            Requirement(claims={"admin": False}), _principal(claims={"admin": 0}), ABSENT, id="zero for false"
        ),
        pytest.param(
            Requirement(claims={"n": 0}), _principal(claims={"n": False}), ABSENT, id="false for zero"
        ),
    ],
)
def test_whoever_lacks_a_scope_is_told_so_and_whoever_lacks_a_claim_is_told_nothing(
    requirement: Requirement, principal: Principal | None, verdict: Verdict
) -> None:
    assert requirement.decide(principal, ABSENT) == verdict


def test_what_is_said_to_whom_it_is_not_meant_for_is_what_is_said_of_what_does_not_exist() -> None:
    absent = Deny(Reason.RESOURCE_NOT_ALLOWED, told={"uri": "docs:///a"})

    assert CLAIMED.decide(None, absent) is absent


# Two at once

NAMES = st.sampled_from(["team", "level", "admin"])
VALUES = st.sampled_from(["x", "y", 0, 1, True, False])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.floats(allow_nan=False) | st.text(max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=6,
)
REQUIREMENTS = st.builds(
    Requirement,
    scopes=st.lists(st.sampled_from("abc"), max_size=3),
    claims=st.dictionaries(NAMES, st.lists(VALUES, min_size=1, max_size=2), max_size=2),
)
PRINCIPALS = st.none() | st.builds(
    _principal,
    scopes=st.lists(st.sampled_from("abc"), max_size=3).map(" ".join),
    claims=st.dictionaries(NAMES, VALUES | st.lists(VALUES, max_size=2) | JSON, max_size=3),
)


@given(first=REQUIREMENTS, second=REQUIREMENTS, principal=PRINCIPALS)
def test_two_requirements_are_met_by_those_alone_who_meet_each(
    first: Requirement, second: Requirement, principal: Principal | None
) -> None:
    alone = [first.decide(principal, ABSENT), second.decide(principal, ABSENT)]

    verdict = all_of(alone)

    assert bool(verdict) == all(alone)
    assert (verdict == ABSENT) == (ABSENT in alone)
    if isinstance(verdict, NeedsScopes):
        lacking = [scope for each in alone if isinstance(each, NeedsScopes) for scope in each.scopes]
        assert sorted(verdict.scopes) == sorted(set(lacking))


def test_a_scope_that_two_requirements_need_is_asked_for_once_and_in_order() -> None:
    assert all_of([NeedsScopes(("b", "a")), NeedsScopes(("c", "b"))]) == NeedsScopes(("b", "a", "c"))
