"""What the conformance programs wrote down: read, counted and compared check by check."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

STATUSES = ("SUCCESS", "FAILURE", "WARNING", "SKIPPED", "INFO")
_WORDS = ("passed", "failed", "warned", "skipped", "noted")
_STARTED = re.compile(r"^=== Running scenario: (?P<scenario>\S+) ===$", re.MULTILINE)
_FOLDER = re.compile(r"server-(?P<scenario>.+)-\d{4}-\d{2}-\d{2}T[\d-]+Z")
# What one scenario notes about its traffic: how many lines there are depends on how reads fall.
_TRANSCRIPT = frozenset({"outgoing-request", "incoming-response", "incoming-sse-event", "stream-closed"})


@dataclass(frozen=True)
class Check:
    """One check and how it ended."""

    scenario: str
    id: str
    name: str
    status: str
    message: str = ""


@dataclass(frozen=True)
class Run:
    """One run of a program over its scenarios."""

    command: str
    exit: int
    seconds: float
    checks: tuple[Check, ...]

    def count(self, status: str) -> int:
        """Return how many checks ended so."""
        return sum(check.status == status for check in self.checks)


Runs = Mapping[str, Run]


def read_checks(folder: Path, output: str) -> tuple[Check, ...]:
    """Return the checks that a program left in ``folder``, in the order in which ``output`` started them."""
    files = {
        match["scenario"]: each / "checks.json"
        for each in sorted(folder.glob("server-*"))
        if (match := _FOLDER.fullmatch(each.name)) is not None
    }
    checks: list[Check] = []
    for scenario in _STARTED.findall(output):
        file = files.get(scenario)
        if file is None or not file.exists():
            checks.append(Check(scenario, scenario, "NoResult", "FAILURE", "The scenario wrote no result"))
            continue
        entries: list[dict[str, Any]] = json.loads(file.read_text("utf-8"))
        checks += [
            Check(scenario, each["id"], each["name"], each["status"], each.get("errorMessage") or "")
            for each in entries
            if each["status"] != "INFO" or each["id"] not in _TRANSCRIPT
        ]
    return tuple(checks)


def write(file: Path, url: str, runs: Runs) -> None:
    """Write all runs to ``file``."""
    document = {"url": url, "runs": {name: asdict(run) for name, run in runs.items()}}
    file.write_text(json.dumps(document, indent=1) + "\n", "utf-8")


def read(file: Path) -> dict[str, Run]:
    """Return the runs that :func:`write` wrote."""
    document: dict[str, Any] = json.loads(file.read_text("utf-8"))
    runs: dict[str, dict[str, Any]] = document["runs"]
    return {
        name: Run(run["command"], run["exit"], run["seconds"], tuple(Check(**each) for each in run["checks"]))
        for name, run in runs.items()
    }


def table(runs: Runs) -> str:
    """Return the counts of every run as a table, and below it what failed."""
    rows: list[tuple[str, ...]] = [("run", "exit", *_WORDS, "seconds")]
    rows += [
        (name, str(run.exit), *(str(run.count(status)) for status in STATUSES), f"{run.seconds:.1f}")
        for name, run in runs.items()
    ]
    lines = _aligned(rows)
    for name, run in runs.items():
        lines += _failed(name, run.checks)
    return "\n".join(lines) + "\n"


def side_by_side(asked: Mapping[str, Runs]) -> str:
    """Return the counts of several servers' runs, a column for each server, and what failed at the first."""
    first, *_ = asked.values()
    rows: list[tuple[str, ...]] = [("run", "", *asked)]
    for name in first:
        columns = [runs[name] for runs in asked.values()]
        rows += [
            (name, "exit", *(str(run.exit) for run in columns)),
            *(
                ("", word, *(str(run.count(status)) for run in columns))
                for word, status in zip(_WORDS, STATUSES, strict=True)
            ),
            ("", "seconds", *(f"{run.seconds:.1f}" for run in columns)),
        ]
    lines = _aligned(rows)
    for name, run in first.items():
        lines += _failed(name, run.checks)
    return "\n".join(lines) + "\n"


def _aligned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) for cell, width in zip([row[0].ljust(widths[0]), *row[1:]], widths, strict=True)
        )
        for row in rows
    ]


def differences(before: Runs, after: Runs) -> list[str]:
    """Return one line for each check, and each exit status, that is not the same in both."""
    lines: list[str] = []
    for name in [*before, *(each for each in after if each not in before)]:
        if name not in before or name not in after:
            lines.append(f"{name}: only in the {'first' if name in before else 'second'}")
            continue
        first, second = _numbered(before[name].checks), _numbered(after[name].checks)
        for key in [*first, *(each for each in second if each not in first)]:
            was, now = first.get(key), second.get(key)
            if was is None or now is None or was.status != now.status:
                lines.append(f"{name} {_shown(key)}: {_status(was)} -> {_status(now)}")
                lines += [f"    {each.message}" for each in (was, now) if each is not None and each.message]
        if before[name].exit != after[name].exit:
            lines.append(f"{name}: exit {before[name].exit} -> {after[name].exit}")
    return lines


_Key = tuple[str, str, str, int]


def _numbered(checks: Iterable[Check]) -> dict[_Key, Check]:
    """Tell apart the checks of one scenario that share an id and a name."""
    seen: Counter[tuple[str, str, str]] = Counter()
    numbered: dict[_Key, Check] = {}
    for check in checks:
        named = (check.scenario, check.id, check.name)
        seen[named] += 1
        numbered[(*named, seen[named])] = check
    return numbered


def _failed(name: str, checks: Iterable[Check]) -> list[str]:
    failed = [check for check in checks if check.status == "FAILURE"]
    return [f"\n{name}: failed"] * bool(failed) + [f"  {check.scenario} {check.id}" for check in failed]


def _shown(key: _Key) -> str:
    scenario, check, name, number = key
    return f"{scenario} {check} {name}" + (f" ({number})" if number > 1 else "")


def _status(check: Check | None) -> str:
    return "absent" if check is None else check.status
