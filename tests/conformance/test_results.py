"""Results are read as the programs leave them, and two of them are equal only check by check."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.results import Check, Run, differences, read, read_checks, side_by_side, table, write
from tests.conformance.suite import main, report

PASSED = Check("ping", "ping", "Ping", "SUCCESS")
FAILED = Check("ping", "ping", "Ping", "FAILURE", "no answer")


def run(*checks: Check, status: int = 0) -> dict[str, Run]:
    return {"all": Run("conformance server", status, 1.5, checks)}


def entry(check: str, status: str, **more: str) -> dict[str, Any]:
    return {"id": check, "name": check.title(), "description": "…", "status": status, **more}


def leave(folder: Path, scenario: str, *entries: dict[str, Any]) -> None:
    own = folder / f"server-{scenario}-2026-11-22T09-17-07-482Z"
    own.mkdir()
    (own / "checks.json").write_text(json.dumps(entries), "utf-8")


def started(*scenarios: str) -> str:
    return "".join(f"\n=== Running scenario: {each} ===\nRunning …\n" for each in scenarios)


def test_checks_are_read_in_the_order_of_the_scenarios(tmp_path: Path) -> None:
    leave(tmp_path, "ping", entry("ping", "SUCCESS"))
    leave(tmp_path, "server-initialize", entry("a", "SUCCESS"), entry("b", "FAILURE", errorMessage="why"))

    assert read_checks(tmp_path, started("server-initialize", "ping")) == (
        Check("server-initialize", "a", "A", "SUCCESS"),
        Check("server-initialize", "b", "B", "FAILURE", "why"),
        Check("ping", "ping", "Ping", "SUCCESS"),
    )


def test_notes_about_traffic_are_no_checks(tmp_path: Path) -> None:
    leave(
        tmp_path,
        "ping",
        entry("incoming-sse-event", "INFO"),
        entry("incoming-sse-event", "FAILURE"),
        entry("server-sse-streams-functional", "INFO"),
    )

    assert [(check.id, check.status) for check in read_checks(tmp_path, started("ping"))] == [
        ("incoming-sse-event", "FAILURE"),
        ("server-sse-streams-functional", "INFO"),
    ]


def test_a_scenario_without_a_result_failed(tmp_path: Path) -> None:
    [check] = read_checks(tmp_path, started("ping"))

    assert (check.scenario, check.status) == ("ping", "FAILURE")


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    runs = run(PASSED, FAILED, status=1)
    write(tmp_path / "results.json", "http://127.0.0.1:1/mcp", runs)

    assert read(tmp_path / "results.json") == runs


def test_the_table_counts_and_names_what_failed() -> None:
    assert table(run(PASSED, FAILED, status=1)).splitlines() == [
        "run  exit  passed  failed  warned  skipped  noted  seconds",
        "all     1       1       1       0        0      0      1.5",
        "",
        "all: failed",
        "  ping ping",
    ]


def test_servers_stand_side_by_side_and_below_is_what_failed_at_the_first() -> None:
    assert side_by_side({"alone": run(FAILED, status=1), "strict": run(PASSED)}).splitlines() == [
        "run           alone  strict",
        "all     exit      1       0",
        "      passed      0       1",
        "      failed      1       0",
        "      warned      0       0",
        "     skipped      0       0",
        "       noted      0       0",
        "     seconds    1.5     1.5",
        "",
        "all: failed",
        "  ping ping",
    ]


DIFFERENCES: dict[str, tuple[dict[str, Run], dict[str, Run], list[str]]] = {
    "nothing": (run(PASSED), run(PASSED), []),
    "only the words of a failure": (run(FAILED), run(Check("ping", "ping", "Ping", "FAILURE", "other")), []),
    "a status": (run(PASSED), run(FAILED), ["all ping ping Ping: SUCCESS -> FAILURE", "    no answer"]),
    "a check that is gone": (run(PASSED), run(), ["all ping ping Ping: SUCCESS -> absent"]),
    "a check that is new": (run(), run(PASSED), ["all ping ping Ping: absent -> SUCCESS"]),
    "the second of two of the same name": (
        run(PASSED, PASSED),
        run(PASSED, FAILED),
        ["all ping ping Ping (2): SUCCESS -> FAILURE", "    no answer"],
    ),
    "the exit status": (run(PASSED), run(PASSED, status=1), ["all: exit 0 -> 1"]),
    "a run that is gone": (run(PASSED), {}, ["all: only in the first"]),
    "a run that is new": ({}, run(PASSED), ["all: only in the second"]),
}


@pytest.mark.parametrize("what", DIFFERENCES)
def test_differences_are(what: str) -> None:
    before, after, lines = DIFFERENCES[what]

    assert differences(before, after) == lines


def test_comparing_exits_with_one_when_something_differs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [str(tmp_path / name) for name in ("passed.json", "failed.json", "absent.json")]
    write(Path(files[0]), "http://127.0.0.1:1/mcp", run(PASSED))
    write(Path(files[1]), "http://127.0.0.1:2/mcp", run(FAILED))

    assert main(["--compare", files[0], files[0]]) == 0
    assert main(["--compare", files[0], files[1]]) == 1
    assert main(["--compare", files[0], files[2]]) == 2
    assert "all ping ping Ping: SUCCESS -> FAILURE" in capsys.readouterr().out


REPORTED: dict[str, tuple[dict[str, dict[str, Run]], int, list[str]]] = {
    "two that passed": (
        {"alone": run(PASSED), "strict": run(PASSED)},
        0,
        ["alone -> strict: every check ended the same way"],
    ),
    "two that failed in the same way": (
        {"alone": run(FAILED, status=1), "strict": run(FAILED, status=1)},
        0,
        ["alone -> strict: every check ended the same way"],
    ),
    "a second that differs": (
        {"alone": run(PASSED), "strict": run(FAILED), "h11": run(PASSED)},
        1,
        [
            "alone -> strict: differs",
            "  all ping ping Ping: SUCCESS -> FAILURE",
            "      no answer",
            "alone -> h11: every check ended the same way",
        ],
    ),
    "a third that differs": (
        {"alone": run(FAILED), "strict": run(FAILED), "h11": run(PASSED)},
        1,
        [
            "alone -> strict: every check ended the same way",
            "alone -> h11: differs",
            "  all ping ping Ping: FAILURE -> SUCCESS",
            "      no answer",
        ],
    ),
    "programs that checked nothing": (
        {"alone": run(), "strict": run()},
        1,
        [
            "alone -> strict: every check ended the same way",
            "alone: all checked nothing",
            "strict: all checked nothing",
        ],
    ),
}


@pytest.mark.parametrize("what", REPORTED)
def test_the_report_ends_with_how_the_others_compare_to_the_first(
    what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    asked, status, lines = REPORTED[what]

    assert report(asked) == status
    shown = [line for line in capsys.readouterr().out.splitlines() if line]
    assert shown[-len(lines) :] == lines
