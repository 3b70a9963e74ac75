"""What a text of a draft looks like: every character of it can be seen, and none of it is HTML."""

import re
import unicodedata
from html import unescape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunnelgate_servers.tickets_draft.desk.texts import line, paragraphs

SIGN = re.compile(r'<span class="sign">(U\+[0-9A-F]{4,6}(?: U\+[0-9A-F]{4,6})*)</span>')


def read_back(html: str) -> str:
    """Return the text that a person sees, with the characters that are written as numbers."""
    parts = SIGN.split(html)
    texts, numbers = parts[::2], parts[1::2]
    assert all("<" not in each and '"' not in each for each in texts)
    hidden = ["".join(chr(int(each.removeprefix("U+"), base=16)) for each in run.split()) for run in numbers]
    return "".join(a + b for a, b in zip(map(unescape, texts), [*hidden, ""], strict=True))


@pytest.mark.parametrize(
    "character",
    [
        pytest.param("\u202e", id="right-to-left override"),
        pytest.param("\u2066", id="left-to-right isolate"),
        pytest.param("\u061c", id="Arabic letter mark"),
        pytest.param("\u200b", id="zero-width space"),
        pytest.param("\u200d", id="zero-width joiner"),
        pytest.param("\u00ad", id="soft hyphen"),
        pytest.param("\ufeff", id="byte order mark"),
        pytest.param("\u00a0", id="no-break space"),
        pytest.param("\u2003", id="em space"),
        pytest.param("\u2028", id="line separator"),
        pytest.param("\0", id="NUL"),
        pytest.param("\r", id="carriage return"),
        pytest.param("\x1b", id="escape"),
        pytest.param("\x85", id="next line"),
        pytest.param("\ud800", id="lone surrogate"),
        pytest.param("\ue000", id="private use"),
        pytest.param("\U000e0041", id="tag letter"),
        pytest.param("\ufe0f", id="variation selector"),
        pytest.param("\U000e0100", id="variation selector of the supplement"),
        pytest.param("\u3164", id="Hangul filler"),
        pytest.param("\u115f", id="Hangul choseong filler"),
        pytest.param("\uffa0", id="Hangul filler of half width"),
        pytest.param("\u034f", id="combining grapheme joiner"),
        pytest.param("\u17b4", id="Khmer vowel that is not written"),
        pytest.param("\u180e", id="Mongolian vowel separator"),
        pytest.param("\u2800", id="empty pattern of Braille"),
        pytest.param("\uffff", id="no character"),
    ],
)
def test_a_character_that_shows_nothing_is_written_as_its_number(character: str) -> None:
    expected = f'a<span class="sign">U+{ord(character):04X}</span>b'

    assert line(f"a{character}b") == paragraphs(f"a{character}b") == expected


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("Third floor, next to the kitchen.", id="plain words"),
        pytest.param("Zo\u00eb und M\u00fcller", id="accents"),
        pytest.param("e\u0301", id="a combining accent"),
        pytest.param("\u05e9\u05dc\u05d5\u05dd", id="Hebrew"),
        pytest.param("\u65e5\u672c\u8a9e", id="Japanese"),
        pytest.param("\U0001f600", id="an emoji"),
        pytest.param("  two  spaces  ", id="spaces"),
    ],
)
def test_what_can_be_read_is_left_as_it_is(text: str) -> None:
    assert line(text) == paragraphs(text) == text


def test_line_ends_and_tabulators_stay_in_a_text_of_several_lines_alone() -> None:
    assert paragraphs("a\n\tb") == "a\n\tb"
    assert line("a\n\tb") == 'a<span class="sign">U+000A U+0009</span>b'


def test_a_text_that_looks_like_a_number_of_ours_is_a_text() -> None:
    assert line('<span class="sign">U+202E</span>') == (
        "&lt;span class=&#34;sign&#34;&gt;U+202E&lt;/span&gt;"
    )


@given(st.text(st.characters(categories=None)))
def test_nothing_of_a_text_is_lost_and_nothing_of_it_is_html(text: str) -> None:
    assert read_back(paragraphs(text)) == text
    assert read_back(line(text)) == text


@given(st.text(st.characters(categories=["Cc", "Cf", "Cs", "Co", "Zs", "Zl", "Zp", "Ll"])))
def test_nothing_that_shows_nothing_is_left(text: str) -> None:
    shown = SIGN.sub("", paragraphs(text))

    assert {unicodedata.category(each) for each in unescape(shown) if each not in " \n\t"} <= {"Ll"}


def test_many_characters_that_show_nothing_are_one_sign() -> None:
    html = line("\u200b" * 20_000)

    assert html.count("<span") == 1
    assert len(html) < 8 * 20_000
