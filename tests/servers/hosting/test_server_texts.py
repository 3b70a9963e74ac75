"""The types of arguments: what they take, what they refuse, and what their schemas say."""

from datetime import date
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, TypeAdapter, ValidationError

from tunnelgate_servers.hosting import Cursor, Line, OptionalDate, OptionalLine, Paragraphs

LINE: TypeAdapter[str] = TypeAdapter(Line)
OPTIONAL_LINE: TypeAdapter[str] = TypeAdapter(OptionalLine)
PARAGRAPHS: TypeAdapter[str] = TypeAdapter(Paragraphs)
DATE: TypeAdapter[str] = TypeAdapter(OptionalDate)
CURSOR: TypeAdapter[str] = TypeAdapter(Cursor)
EVERY = [
    pytest.param(LINE, id="a line"),
    pytest.param(OPTIONAL_LINE, id="an optional line"),
    pytest.param(PARAGRAPHS, id="paragraphs"),
]
CONTROLS = [
    pytest.param("\x00", id="NUL"),
    pytest.param("\x07", id="a bell"),
    pytest.param("\x1b[2J", id="an escape sequence"),
    pytest.param("\x7f", id="delete"),
    pytest.param("\x85", id="a next line of C1"),
    pytest.param("\x9b", id="an escape sequence of C1"),
    pytest.param("\r", id="a carriage return alone"),
    pytest.param("\x0b", id="a vertical tab"),
    pytest.param("\x0c", id="a page break"),
    pytest.param("\ud800", id="half of a character"),
    pytest.param("\udcff", id="an octet that was no text"),
    pytest.param("\u202e", id="a turn from right to left"),
    pytest.param("\u202a", id="an embedding from left to right"),
    pytest.param("\u202c", id="the end of a turn"),
    pytest.param("\u2066", id="an isolate"),
    pytest.param("\u2069", id="the end of an isolate"),
]
SEPARATORS = [
    pytest.param("\n", id="a line feed"),
    pytest.param("\r\n", id="a carriage return and a line feed"),
    pytest.param("\t", id="a tabulator"),
    pytest.param("\u2028", id="a line separator"),
    pytest.param("\u2029", id="a paragraph separator"),
]
WORDS = [
    pytest.param("gate", id="ASCII"),
    pytest.param("", id="nothing"),
    pytest.param("Łódź, naïve, Ελλάδα", id="other letters"),
    pytest.param("שלום עולם", id="letters from right to left"),
    pytest.param("مرحبا\u200f!", id="a mark beside letters from right to left"),
    pytest.param("\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", id="a non-joiner within a word"),
    pytest.param("👩\u200d💻", id="a joiner within a picture"),
    pytest.param("🌍", id="a character beyond the first plane"),
    pytest.param("e\u0301", id="a combining mark"),
]


def fault(adapter: TypeAdapter[str], value: Any) -> str:
    with pytest.raises(ValidationError) as refused:
        adapter.validate_python(value)
    (error,) = refused.value.errors(include_url=False, include_context=False, include_input=False)
    return error["msg"]


@pytest.mark.parametrize("text", WORDS)
@pytest.mark.parametrize("adapter", EVERY)
def test_a_text_is_taken_as_it_is(adapter: TypeAdapter[str], text: str) -> None:
    assert adapter.validate_python(text) == text


@pytest.mark.parametrize("character", CONTROLS)
@pytest.mark.parametrize("adapter", EVERY)
def test_what_controls_how_a_text_is_shown_is_refused_without_repeating_it(
    adapter: TypeAdapter[str], character: str
) -> None:
    for text in (character, f"a{character}b", f"{character}{character}"):
        sentence = fault(adapter, text)
        assert sentence.isprintable()
        assert character not in sentence


@pytest.mark.parametrize("separator", SEPARATORS)
@pytest.mark.parametrize("adapter", EVERY[:2])
def test_a_line_is_one_line(adapter: TypeAdapter[str], separator: str) -> None:
    assert separator not in fault(adapter, f"a{separator}b")


@pytest.mark.parametrize(
    ("given_text", "taken"),
    [
        pytest.param("a\nb", "a\nb", id="two lines"),
        pytest.param("a\r\nb\r\n", "a\nb\n", id="lines as Windows ends them"),
        pytest.param("a\tb", "a\tb", id="a tabulator"),
        pytest.param("\n\n", "\n\n", id="empty lines"),
    ],
)
def test_paragraphs_have_lines_that_end_in_one_way(given_text: str, taken: str) -> None:
    assert PARAGRAPHS.validate_python(given_text) == taken


@given(st.text())
def test_what_is_taken_as_a_line_can_be_written_anywhere(text: str) -> None:
    try:
        taken = LINE.validate_python(text)
    except ValidationError:
        return
    assert taken == text
    assert len(taken.splitlines()) <= 1
    taken.encode()


@pytest.mark.parametrize(
    ("adapter", "most"),
    [
        pytest.param(LINE, 500, id="a line"),
        pytest.param(OPTIONAL_LINE, 500, id="an optional line"),
        pytest.param(CURSOR, 2000, id="a cursor"),
        pytest.param(TypeAdapter(Annotated[Paragraphs, Field(max_length=9)]), 9, id="bounded paragraphs"),
    ],
)
def test_a_text_is_bounded_and_its_schema_says_so(adapter: TypeAdapter[str], most: int) -> None:
    assert adapter.validate_python("x" * most) == "x" * most
    assert f"should have at most {most} " in fault(adapter, "x" * (most + 1))
    assert adapter.json_schema()["maxLength"] == most


@pytest.mark.parametrize("adapter", [OPTIONAL_LINE, DATE, CURSOR], ids=["a line", "a day", "a cursor"])
def test_what_may_be_left_out_may_be_null(adapter: TypeAdapter[str]) -> None:
    assert adapter.validate_python(None) == adapter.validate_python("") == ""
    assert adapter.json_schema()["type"] == "string"


@pytest.mark.parametrize("adapter", [LINE, PARAGRAPHS], ids=["a line", "paragraphs"])
def test_what_is_needed_may_not_be_null(adapter: TypeAdapter[str]) -> None:
    assert fault(adapter, None) == "Input should be a valid string"


@pytest.mark.parametrize("value", [5, 1.5, True, [], ["x"], {}], ids=repr)
@pytest.mark.parametrize("adapter", [LINE, OPTIONAL_LINE, PARAGRAPHS, DATE, CURSOR])
def test_nothing_else_becomes_a_text(adapter: TypeAdapter[str], value: Any) -> None:
    assert fault(adapter, value) == "Input should be a valid string"


@given(st.dates())
def test_every_day_is_taken_as_iso_8601_writes_it(day: date) -> None:
    assert date.fromisoformat(DATE.validate_python(day.isoformat())) == day


@pytest.mark.parametrize(
    "text",
    [
        "20260331",
        "2026-3-31",
        "2026-W13-2",
        "2026-090",
        "2026-02-29",
        "2026-13-01",
        "2026-00-10",
        "0000-01-01",
        "-026-03-31",
        "31.03.2026",
        "2026/03/31",
        "yesterday",
        " ",
        "2026-03-1 ",
        "\uff12\uff10\uff12\uff16-03-31",
        "2026-03-3\x00",
        "\ud800",
    ],
)
def test_what_is_no_day_is_refused_with_an_example(text: str) -> None:
    sentence = fault(DATE, text)

    assert sentence in (
        "Value error, it is no date such as 2026-03-31",
        "Input should be a valid string, unable to parse raw data as a unicode string",
    )


def test_a_day_with_a_time_is_too_long() -> None:
    assert fault(DATE, "2026-03-31T00:00:00Z") == "String should have at most 10 characters"
