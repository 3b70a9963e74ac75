"""What servers say is shown on one line that changes nothing around it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunnelgate_app.asking.answers import printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        pytest.param("Finds documents.", "Finds documents.", id="a sentence as it is"),
        pytest.param("Findet Fußnoten, ja", "Findet Fußnoten, ja", id="letters of any script"),
        pytest.param("one\ntwo\r\n3\x85four\u20285", "one two 3 four 5", id="line ends"),
        pytest.param("a\x1b[31mred\x07", "a [31mred", id="what moves a terminal"),
        pytest.param("safe\u202etxt.exe\u2066", "safe txt.exe", id="what turns the direction"),
        pytest.param("a\u200bb\ufeffc", "a b c", id="what nobody sees"),
        pytest.param("\ud800", "", id="half of a character"),
        pytest.param("  wide \t  space ", "wide space", id="white space"),
        pytest.param("x" * 20, "x" * 20, id="the most there may be"),
        pytest.param("x" * 21, "x" * 19 + "…", id="one more"),
        pytest.param("x" * 18 + " yz", "x" * 18 + "…", id="a cut at a space"),
    ],
)
def test_a_text_is_made_printable(text: str, shown: str) -> None:
    assert printable(text, 20) == shown


@given(st.text(st.characters()), st.integers(1, 50))
def test_whatever_it_is_it_is_short_and_printable(text: str, longest: int) -> None:
    shown = printable(text, longest)

    assert len(shown) <= longest
    assert shown.isprintable()
    assert len(shown.splitlines()) <= 1
