"""What a client must see through the gate, given what it sees without one."""

import json
import re
from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

from tests.clients.plan import (
    ALLOWED_PROMPTS,
    ALLOWED_RESOURCES,
    ALLOWED_TOOLS,
    NAMES,
)

Outcome = Mapping[str, Any]
Outcomes = Sequence[Outcome]
INVALID_PARAMS = -32602
NOT_REACHED = "the client did not come so far"

_ALLOWED = {
    "list tools": ("name", ALLOWED_TOOLS),
    "list prompts": ("name", ALLOWED_PROMPTS),
    "list resources": ("uri", ALLOWED_RESOURCES),
    "list templates": ("uriTemplate", ALLOWED_RESOURCES),
}
# What is not listed is answered as what does not exist: step, the other step, and the two names.
_UNLISTED = {
    "call a hidden tool": ("call a missing tool", "hidden tool", "missing tool"),
    "get a hidden prompt": ("get a missing prompt", "hidden prompt", "missing prompt"),
    "read a hidden resource": ("read a missing resource", "hidden resource", "missing resource"),
}
_REQUEST_ID = re.compile(r"[0-9a-f]{16}")
_MISSING = frozenset(other for other, _, _ in _UNLISTED.values())
_REFUSED = frozenset(
    {
        *_UNLISTED,
        *_MISSING,
        "complete a hidden prompt",
        "subscribe to a hidden resource",
        "listen to a hidden resource",
    }
)


def faults_alone(outcomes: Outcomes, steps: Sequence[str], version: str | None) -> list[str]:
    """Return what is wrong with what a client saw without the gate: then there is nothing to compare."""
    found: list[str] = []
    taken = [outcome["step"] for outcome in outcomes]
    if taken != list(steps):
        found.append(f"not the steps that were wanted: {taken}")
    found += [
        f"{outcome['step']}: {_text(outcome)}"
        for outcome in outcomes
        if "saw" not in outcome and outcome["step"] not in _REFUSED and version is not None
    ]
    return found + _wrong_version(outcomes, version)


# What the plan lets a route offer that lists tools alone.
_BESIDE_TOOLS = ("tools", "extensions")


def differences(
    alone: Outcomes, gated: Outcomes, version: str | None, *, tools_only: bool = False
) -> dict[str, str]:
    """Return by step how ``gated`` differs from what it has to be."""
    found: dict[str, str] = {}
    by_step = {outcome["step"]: outcome for outcome in gated}
    for before in alone:
        step = before["step"]
        after = by_step.get(step)
        if after is None:
            found[step] = NOT_REACHED
        elif step in _REFUSED:
            wrong = _wrong_refusal(step, after, by_step)
            if wrong:
                found[step] = f"{wrong}: {_text(after)}"
        elif (wanted := expected(before, tools_only=tools_only)) != after:
            found[step] = f"wanted {_text(wanted)}\n    but was {_text(after)}"
    for line in _wrong_version(gated, version):
        found["connect"] = line
    return found


def expected(alone: Outcome, *, tools_only: bool = False) -> Outcome:
    """Return what a client sees through the gate of what it sees without."""
    step = alone["step"]
    if "saw" not in alone:
        return alone
    wanted: dict[str, Any] = deepcopy(dict(alone))
    if step in _ALLOWED:
        member, allowed = _ALLOWED[step]
        saw = wanted["saw"]
        saw["entries"] = [entry for entry in saw["entries"] if entry[member] in allowed]
        for page in saw["pages"]:
            if "cacheScope" in page:
                page["cacheScope"] = "private"
    elif step == "connect" and tools_only:
        capabilities = wanted["saw"]["capabilities"]
        wanted["saw"]["capabilities"] = {
            key: capabilities[key] for key in _BESIDE_TOOLS if key in capabilities
        }
    return wanted


def _wrong_refusal(step: str, outcome: Outcome, by_step: Mapping[str, Outcome]) -> str | None:
    error = outcome.get("error")
    if error is None:
        return "not a protocol error"
    if isinstance(error["code"], int) and error["code"] != INVALID_PARAMS:
        return f"not {INVALID_PARAMS}"
    if step not in _UNLISTED:
        return None
    other, hidden, missing = _UNLISTED[step]
    told = _REQUEST_ID.sub("", json.dumps(error)).replace(NAMES[hidden], NAMES[missing])
    if other in by_step and told != _REQUEST_ID.sub("", json.dumps(by_step[other].get("error"))):
        return f"not as what does not exist ({_text(by_step[other])})"
    return None


def _wrong_version(outcomes: Outcomes, version: str | None) -> list[str]:
    found = [outcome for outcome in outcomes if outcome["step"] == "connect"]
    if version is None:
        return [f"connected: {_text(each)}" for each in found if "saw" in each]
    return [
        f"not {version}: {_text(each)}" for each in found if each.get("saw", {}).get("version") != version
    ] or ([] if found else ["never connected"])


def _text(outcome: Outcome) -> str:
    rest = {key: value for key, value in outcome.items() if key != "step"}
    return json.dumps(rest, ensure_ascii=False, sort_keys=True)
