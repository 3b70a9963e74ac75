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


LACKS_A = Deny(Reason.TOOL_NOT_ALLOWED, "a")
LACKS_B = Deny(Reason.RESOURCE_NOT_ALLOWED, "b")


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        pytest.param([], Allow(), id="nothing to decide"),
        pytest.param([Allow(), Allow()], Allow(), id="all allow"),
        pytest.param([Allow(), LACKS_A], LACKS_A, id="one denies"),
        pytest.param([LACKS_A, LACKS_B], LACKS_A, id="two deny, and the first counts"),
        pytest.param([NeedsScopes(("a",)), LACKS_B], LACKS_B, id="a denial behind what lacks a scope"),
        pytest.param([Allow(), NeedsScopes(("a",))], NeedsScopes(("a",)), id="one lacks a scope"),
        pytest.param(
            [NeedsScopes(("b", "a")), NeedsScopes(("a", "c"))],
            NeedsScopes(("b", "a", "c")),
            id="two lack scopes, each of which is named once",
        ),
    ],
)
def test_what_several_verdicts_are_about_is_allowed_when_all_of_them_allow(
    verdicts: list[Verdict], expected: Verdict
) -> None:
    assert verdict.all_of(verdicts) == expected


# Written out, so that no reason comes or goes unnoticed: audit records and metrics name them.
ABOUT_WHO_ASKS = [
    "token-missing",
    "token-malformed",
    "token-type-wrong",
    "token-algorithm-not-allowed",
    "token-key-unknown",
    "token-signature-wrong",
    "token-issuer-unknown",
    "token-audience-wrong",
    "token-expired",
    "token-not-yet-valid",
    "token-lifetime-too-long",
    "token-claim-invalid",
    "token-inactive",
    "token-binding-wrong",
    "proof-missing",
    "proof-malformed",
    "proof-wrong",
    "proof-replayed",
    "proof-nonce-wrong",
]


def test_the_reasons_about_who_asks_are_these_and_no_other() -> None:
    found = [each.value for each in Reason if each.value.startswith(("token-", "proof-"))]

    assert found == ABOUT_WHO_ASKS


@pytest.mark.parametrize("reason", list(Reason))
def test_reasons_are_kebab_case_words_named_like_themselves(reason: Reason) -> None:
    assert re.fullmatch(r"[a-z]+(?:-[a-z]+)+", reason.value)
    assert reason.name == reason.value.upper().replace("-", "_")


def test_the_example_in_the_documentation_of_verdicts_is_true() -> None:
    outcome = doctest.testmod(verdict)

    assert (outcome.failed, outcome.attempted) == (0, 1)
