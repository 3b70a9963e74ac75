import doctest
import re
from dataclasses import FrozenInstanceError

import pytest

from tunnelgate import Allow, Broken, Deny, NeedsScopes, Reason, Verdict, verdict


@pytest.mark.parametrize(
    ("given", "passes"),
    [
        pytest.param(Allow(), True, id="allow"),
        pytest.param(Deny(Reason.HOST_UNKNOWN), False, id="deny"),
        pytest.param(NeedsScopes(("docs:read",)), False, id="needs scopes"),
        pytest.param(NeedsScopes(()), False, id="needs scopes, and nobody says which"),
        pytest.param(Broken(Reason.KEYS_UNAVAILABLE), False, id="broken"),
    ],
)
def test_nothing_but_allow_lets_a_request_pass(given: Verdict, passes: bool) -> None:  # noqa: FBT001
    assert bool(given) is passes


@pytest.mark.parametrize(
    ("given", "part"),
    [
        pytest.param(Deny(Reason.HOST_UNKNOWN, "why"), "reason", id="the reason of a denial"),
        pytest.param(Deny(Reason.HOST_UNKNOWN, "why"), "detail", id="the detail of a denial"),
        pytest.param(NeedsScopes(("docs:read",)), "scopes", id="the scopes that are needed"),
        pytest.param(Broken(Reason.KEYS_UNAVAILABLE), "reason", id="the reason of what is broken"),
    ],
)
def test_a_verdict_that_was_given_cannot_be_changed(given: Verdict, part: str) -> None:
    with pytest.raises(FrozenInstanceError):
        setattr(given, part, None)


@pytest.mark.parametrize(
    ("given", "reason", "detail"),
    [
        pytest.param(NeedsScopes(("a", "b")), Reason.SCOPE_MISSING, "a b", id="needs scopes"),
        pytest.param(Deny(Reason.HOST_UNKNOWN), Reason.HOST_UNKNOWN, "", id="deny"),
        pytest.param(Broken(Reason.KEYS_UNAVAILABLE), Reason.KEYS_UNAVAILABLE, "", id="broken"),
    ],
)
def test_whatever_does_not_allow_has_one_reason_and_a_detail(
    given: Deny | NeedsScopes | Broken, reason: Reason, detail: str
) -> None:
    assert (given.reason, given.detail) == (reason, detail)


@pytest.mark.parametrize("reason", list(Reason))
def test_reasons_are_kebab_case_words_named_like_themselves(reason: Reason) -> None:
    assert re.fullmatch(r"[a-z]+(?:-[a-z]+)+", reason.value)
    assert reason.name == reason.value.upper().replace("-", "_")


def test_the_example_in_the_documentation_of_verdicts_is_true() -> None:
    outcome = doctest.testmod(verdict)

    assert (outcome.failed, outcome.attempted) == (0, 1)
