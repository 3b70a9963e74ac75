"""Queries are plain words, whatever is typed."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunnelgate_servers.docs_readonly.errors import RequestError
from tunnelgate_servers.docs_readonly.query import MAX_QUERY_CHARACTERS, Query


@pytest.fixture(scope="module")
def table() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE VIRTUAL TABLE t USING fts5 (body, tokenize = 'porter unicode61')")
        connection.execute("INSERT INTO t VALUES ('the audit.jsonl file AND the caf\u00e9')")
        yield connection


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param("audit file", ['"audit"', '"file"'], id="words"),
        pytest.param("audit  audit\n", ['"audit"'], id="a word counts once"),
        pytest.param("audit AND NOT file", ['"audit"', '"AND"', '"NOT"', '"file"'], id="operators are words"),
        pytest.param('"audit file"', ['"audit"', '"file"'], id="quotes separate words"),
        pytest.param(
            "audit.jsonl file*", ['"audit.jsonl"', '"file*"'], id="other punctuation stays in a word"
        ),
        pytest.param("- ( ) * : ^ audit", ['"audit"'], id="punctuation alone is left out"),
        pytest.param("aud\0it", ['"aud"', '"it"'], id="NUL separates words"),
        pytest.param("café 日本 ٣", ['"café"', '"日本"', '"٣"'], id="letters and digits of every script"),
    ],
)
def test_the_words_of_a_query(text: str, words: list[str]) -> None:
    assert tuple(words) == Query.parse(text).words


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="an empty query"),
        pytest.param(" \t\n", id="white space"),
        pytest.param('"" * - (^)', id="only punctuation"),
    ],
)
def test_a_query_without_words_is_refused(text: str) -> None:
    with pytest.raises(RequestError, match="holds no word to search for"):
        Query.parse(text)


def test_the_longest_query_is_read_and_one_character_more_is_refused() -> None:
    longest = "a " * (MAX_QUERY_CHARACTERS // 2)

    assert Query.parse(longest).words == ('"a"',)
    with pytest.raises(RequestError, match="longer than 500 characters"):
        Query.parse(longest + "a")


@given(text=st.text(max_size=MAX_QUERY_CHARACTERS) | st.text(alphabet='a"*^:+-(){}\0 ANDORT', max_size=60))
def test_every_query_is_refused_with_a_sentence_or_is_valid_full_text_syntax(
    table: sqlite3.Connection, text: str
) -> None:
    try:
        query = Query.parse(text)
    except RequestError:
        assert not any(character.isalnum() for character in text)
        return
    for expression in (query.all_words, query.any_word):
        table.execute("SELECT count(*) FROM t WHERE t MATCH ?", (expression,)).fetchall()


def test_as_many_words_as_fit_are_valid_full_text_syntax(table: sqlite3.Connection) -> None:
    words = " ".join(chr(0x4E00 + number) for number in range(MAX_QUERY_CHARACTERS // 2))
    query = Query.parse(words)

    assert len(query.words) == MAX_QUERY_CHARACTERS // 2
    for expression in (query.all_words, query.any_word):
        assert table.execute("SELECT body FROM t WHERE t MATCH ?", (expression,)).fetchall() == []
