"""The words of a search, and texts as they are compared with them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunnelgate_servers.hosting import RequestError
from tunnelgate_servers.tickets_draft.words import MAX_WORDS, folded, words_of


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("Zürich", "zurich", id="an accent"),
        pytest.param("Zu\u0308rich", "zurich", id="an accent as a character of its own"),
        pytest.param("STRASSE Straße", "strasse strasse", id="a letter that is two"),
        pytest.param("GDAŃSK", "gdansk", id="upper case with an accent"),
        pytest.param("ﬁle \uff28\uff34\uff34\uff30", "file http", id="ligatures and wide letters"),
        pytest.param("İstanbul", "istanbul", id="an I with a dot"),
        pytest.param("E-104, 🚪", "e-104, 🚪", id="what stays as it is"),
    ],
)
def test_a_text_is_folded(text: str, expected: str) -> None:
    assert folded(text) == expected


@given(st.text())
def test_folding_twice_is_folding_once(text: str) -> None:
    assert folded(folded(text)) == folded(text)


@given(st.text(), st.text(alphabet=st.characters(categories=["L", "N"]), min_size=1))
def test_whatever_is_folded_is_found_in_the_folded_text_around_it(around: str, word: str) -> None:
    assert folded(word) in folded(f"{around} {word} {around}")


@pytest.mark.parametrize(
    ("query", "words"),
    [
        pytest.param("", (), id="nothing"),
        pytest.param(" \u3000 ", (), id="blanks"),
        pytest.param("printer Zürich", ("printer", "zurich"), id="words"),
        pytest.param('"printer", (Zürich)!', ("printer", "zurich"), id="punctuation around words"),
        pytest.param("E-104 audit.jsonl 50%_x", ("e-104", "audit.jsonl", "50%_x"), id="punctuation inside"),
        pytest.param("Door door DOOR", ("door",), id="a word three times"),
        pytest.param("door OR * -x", ("door", "or", "x"), id="operators are words, or nothing"),
    ],
)
def test_the_words_of_a_query(query: str, words: tuple[str, ...]) -> None:
    assert words_of(query) == words


@pytest.mark.parametrize("query", ["*", '"', "%", "_ _", "--", "🚪"])
def test_a_query_without_a_word_is_refused(query: str) -> None:
    with pytest.raises(
        RequestError, match=r"^The query holds no word to search for; give at least one letter"
    ):
        words_of(query)


def test_a_query_has_twelve_words_and_no_more() -> None:
    words = [f"w{number}" for number in range(MAX_WORDS + 1)]

    assert len(words_of(" ".join(words[:-1]))) == MAX_WORDS
    with pytest.raises(RequestError, match=r"^The query has more than 12 words; use the most telling ones.$"):
        words_of(" ".join(words))
