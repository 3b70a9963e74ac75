"""The comparison of what clients see: it must notice each way in which a gate could differ."""

from typing import Any

import pytest

from tests.clients.comparing import NOT_REACHED, differences, faults_alone
from tests.clients.plan import ALLOWED_TOOLS, NAMES, VERSIONS

MODERN = VERSIONS["modern"]
CONNECTED: dict[str, Any] = {
    "step": "connect",
    "saw": {"version": MODERN, "capabilities": {"tools": {}, "logging": {}}},
}
LISTED: dict[str, Any] = {
    "step": "list tools",
    "saw": {
        "entries": [{"name": ALLOWED_TOOLS[0]}, {"name": NAMES["hidden tool"]}],
        "pages": [{"cacheScope": "public"}],
    },
}
FILTERED: dict[str, Any] = {
    "step": "list tools",
    "saw": {"entries": [{"name": ALLOWED_TOOLS[0]}], "pages": [{"cacheScope": "private"}]},
}


def _refused(step: str, message: str, code: int = -32602, request_id: str = "0" * 16) -> dict[str, Any]:
    error = {"code": code, "message": message, "data": {"requestId": request_id}}
    return {"step": step, "error": error}


HIDDEN: dict[str, Any] = {"step": "call a hidden tool", "saw": "a picture"}
MISSING = _refused("call a missing tool", f"Unknown tool: {NAMES['missing tool']}")
HIDDEN_REFUSED = _refused("call a hidden tool", f"Unknown tool: {NAMES['hidden tool']}", request_id="a" * 16)


def test_what_policy_hides_is_no_difference() -> None:
    alone = [CONNECTED, LISTED, HIDDEN, MISSING]
    assert differences(alone, [CONNECTED, FILTERED, HIDDEN_REFUSED, MISSING], MODERN) == {}


@pytest.mark.parametrize(
    "through",
    [
        pytest.param(LISTED, id="a hidden tool that is listed"),
        pytest.param(
            {"step": "list tools", "saw": {"entries": [], "pages": []}}, id="a listed one that is not"
        ),
        pytest.param(_refused("list tools", "Method not found", -32601), id="an error in place of a list"),
        pytest.param({"step": "list tools", "failed": "SdkHttpError: 403"}, id="a broken transport"),
    ],
)
def test_a_list_that_is_not_what_the_policy_lists_is_a_difference(through: dict[str, Any]) -> None:
    assert list(differences([CONNECTED, LISTED], [CONNECTED, through], MODERN)) == ["list tools"]


@pytest.mark.parametrize(
    "through",
    [
        pytest.param(HIDDEN, id="called after all"),
        pytest.param({"step": "call a hidden tool", "failed": "SdkHttpError: 403"}, id="a broken transport"),
        pytest.param(
            _refused("call a hidden tool", f"Unknown tool: {NAMES['hidden tool']}", -32601), id="another code"
        ),
        pytest.param(_refused("call a hidden tool", "Forbidden"), id="other words than for a missing one"),
    ],
)
def test_a_hidden_tool_that_is_not_answered_as_a_missing_one_is_a_difference(through: dict[str, Any]) -> None:
    found = differences([CONNECTED, HIDDEN, MISSING], [CONNECTED, through, MISSING], MODERN)
    assert list(found) == ["call a hidden tool"]


def test_the_wrong_era_is_a_difference() -> None:
    legacy: dict[str, Any] = {"step": "connect", "saw": {**CONNECTED["saw"], "version": VERSIONS["legacy"]}}
    assert list(differences([CONNECTED], [legacy], MODERN)) == ["connect"]


def test_a_client_that_stops_on_the_way_is_a_difference() -> None:
    assert differences([CONNECTED, LISTED], [CONNECTED], MODERN) == {"list tools": NOT_REACHED}


def test_with_only_tools_listed_nothing_else_may_be_offered() -> None:
    narrowed: dict[str, Any] = {"step": "connect", "saw": {**CONNECTED["saw"], "capabilities": {"tools": {}}}}
    assert differences([CONNECTED], [narrowed], MODERN, tools_only=True) == {}
    assert list(differences([CONNECTED], [CONNECTED], MODERN, tools_only=True)) == ["connect"]


def test_without_the_gate_every_step_has_to_succeed() -> None:
    broken: dict[str, Any] = {"step": "list tools", "failed": "TimeoutError"}
    assert faults_alone([CONNECTED, LISTED], ["connect", "list tools"], MODERN) == []
    assert len(faults_alone([CONNECTED, broken], ["connect", "list tools"], MODERN)) == 1
    assert len(faults_alone([CONNECTED], ["connect", "list tools"], MODERN)) == 1
