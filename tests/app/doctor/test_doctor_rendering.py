"""Findings are shown to people and to machines, without secrets and what a terminal obeys."""

import re
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunnelgate_app.doctor.findings import Finding, Layer, Status
from tunnelgate_app.doctor.rendering import Machines, People
from tunnelgate_app.doctor.wording import MAX_SHOWN, Wording, listed

FINE = Finding(Layer.EDGE, Status.FINE, "TCP to edge:7844", "connected")
WRONG = Finding(Layer.EDGE, Status.WRONG, "UDP to edge:7844", "refused", "Allow it.")
OTHER = Finding(Layer.TOOLS, Status.SKIPPED, "tools", "no route speaks MCP")


def shown(*findings: Finding, wording: Wording | None = None, **options: Any) -> tuple[list[str], bool]:
    lines: list[str] = []
    people = People(lines.append, wording or Wording(), **options)
    for each in findings:
        people.tell(each)
    return lines, people.finish()


def test_each_layer_has_a_heading_and_each_finding_says_what_to_do() -> None:
    lines, ok = shown(FINE, WRONG, OTHER)

    assert not ok
    assert lines == [
        "edge",
        "  fine     TCP to edge:7844: connected",
        "  wrong    UDP to edge:7844: refused",
        "           -> Allow it.",
        "tools",
        "  skipped  tools: no route speaks MCP",
        "1 fine, 1 wrong, 1 skipped",
    ]


def test_where_nothing_is_wrong_that_is_counted_too() -> None:
    lines, ok = shown(FINE)

    assert ok
    assert lines[-1] == "1 fine, 0 wrong"


def test_lines_are_wrapped_to_the_terminal_below_where_they_began() -> None:
    long = Finding(Layer.EDGE, Status.WARNING, "a", " ".join(["word"] * 12), " ".join(["advice"] * 8))

    lines, _ = shown(long, columns=50)

    assert all(len(line) <= 50 for line in lines)
    assert lines[1].startswith("  warning  a: word word")
    assert lines[2].startswith("           word")
    assert lines[3].startswith("           -> advice")
    assert lines[4].startswith("              advice")


def test_a_terminal_that_is_very_narrow_is_taken_for_wider() -> None:
    lines, _ = shown(WRONG, columns=5)

    assert max(map(len, lines)) <= 40


def test_colours_are_around_the_same_words() -> None:
    plain, _ = shown(FINE, WRONG, OTHER)
    coloured, _ = shown(FINE, WRONG, OTHER, colours=True)

    assert [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in coloured] == plain
    assert coloured[1].startswith("  \x1b[32mfine")
    assert "\x1b[31m" in coloured[2]


def test_machines_get_one_object() -> None:
    written: list[str] = []
    machines = Machines(written.append, Wording())
    for each in (FINE, WRONG):
        machines.tell(each)

    assert not machines.finish()
    (text,) = written
    assert orjson.loads(text) == {
        "ok": False,
        "findings": [
            {
                "layer": "edge",
                "status": "fine",
                "tried": "TCP to edge:7844",
                "found": "connected",
                "advice": "",
            },
            {
                "layer": "edge",
                "status": "wrong",
                "tried": "UDP to edge:7844",
                "found": "refused",
                "advice": "Allow it.",
            },
        ],
    }


def test_secrets_are_left_out_everywhere() -> None:
    wording = Wording()
    wording.leave_out("top-secret")
    wording.leave_out("top-secret-and-longer")
    finding = Finding(Layer.CALL, Status.WRONG, "top-secret", "a top-secret-and-longer b", "xtop-secretx")
    written: list[str] = []
    machines = Machines(written.append, wording)
    machines.tell(finding)
    machines.finish()

    lines, _ = shown(finding, wording=wording)

    assert "top-secret" not in "".join((*lines, *written))
    assert lines[1] == "  wrong    (left out): a (left out) b"


def test_a_secret_of_a_letter_or_two_is_no_reason_to_leave_out_half_of_all_texts() -> None:
    wording = Wording()
    wording.leave_out("a")
    wording.leave_out("")

    assert wording.clean("a car") == "a car"


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        pytest.param("Fußnoten", "Fußnoten", id="letters of any script"),
        pytest.param("a\x1b[31mred\x07", "a [31mred", id="what moves a terminal"),
        pytest.param("one\r\ntwo\u2028three", "one two three", id="line ends"),
        pytest.param("safe\u202etxt.exe", "safe txt.exe", id="what turns the direction"),
        pytest.param("\ud800x", "x", id="half of a character"),
        pytest.param("x" * MAX_SHOWN, "x" * MAX_SHOWN, id="the most there may be"),
        pytest.param("x" * (MAX_SHOWN + 1), "x" * (MAX_SHOWN - 1) + "…", id="one more"),
    ],
)
def test_what_servers_say_is_cleaned(text: str, clean: str) -> None:
    assert Wording().clean(text) == clean


@given(st.text(st.characters()), st.text(st.characters()), st.text(st.characters()))
def test_whatever_it_is_it_is_one_printable_line(tried: str, found: str, advice: str) -> None:
    lines, _ = shown(Finding(Layer.CALL, Status.FINE, tried, found, advice))

    assert all(line.isprintable() and len(line.splitlines()) == 1 for line in lines)


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        pytest.param([], "", id="none"),
        pytest.param(["a"], "a", id="one"),
        pytest.param(["a", "b", "c"], "a, b, c", id="the most"),
        pytest.param(["a", "b", "c", "d"], "a, b, c and 1 more", id="one more"),
    ],
)
def test_names_are_listed_and_cut_where_there_are_many(names: list[str], sentence: str) -> None:
    assert listed(names, 3) == sentence
