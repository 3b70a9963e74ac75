"""Queries are plain words, whatever is typed."""

import sqlite3
from collections.abc import Generator, Sequence
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunnelgate_servers.docs_readonly.fulltext.sqlite import expression_of
from tunnelgate_servers.docs_readonly.query import MAX_WORDS, Query, Word
from tunnelgate_servers.hosting import RequestError


@pytest.fixture(scope="module")
def table() -> Generator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE VIRTUAL TABLE t USING fts5 (body, tokenize = 'porter unicode61')")
        connection.execute("INSERT INTO t VALUES ('the audit.jsonl file AND the caf\u00e9')")
        yield connection


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param("audit file", ["audit", "file"], id="words"),
        pytest.param("Audit  audit\n", ["audit"], id="a word counts once"),
        pytest.param("audit NEAR file", ["audit", "near", "file"], id="operators are words"),
        pytest.param("how do I AND the audit NOT", ["audit"], id="common words are left out"),
        pytest.param("to be or not to be", ["to", "be", "or", "not"], id="common words alone are not"),
        pytest.param('"audit file"', ["audit", "file"], id="quotes separate words"),
        pytest.param("audit.jsonl tools/call*", ["audit jsonl", "tools call"], id="punctuation parts a word"),
        pytest.param("the-audit of_it", ["the audit", "of it"], id="common words stay parts"),
        pytest.param("- ( ) * : ^ audit", ["audit"], id="punctuation alone is left out"),
        pytest.param("aud\0it", ["aud it"], id="NUL parts a word"),
        pytest.param(
            "caf\u00e9 cafe\u0301 日本 ٣", ["cafe", "日本", "٣"], id="every script, without accents"
        ),
    ],
)
def test_the_words_of_a_query(text: str, words: list[str]) -> None:
    assert [" ".join(word) for word in Query.parse(text).words] == words


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="an empty query"),
        pytest.param(" \t\n", id="white space"),
        pytest.param('"" * - (^)', id="only punctuation"),
        pytest.param("\u0301", id="an accent alone"),
    ],
)
def test_a_query_without_words_is_refused(text: str) -> None:
    with pytest.raises(RequestError, match="holds no word to search for"):
        Query.parse(text)


def test_the_most_words_are_read_and_one_more_is_refused() -> None:
    most = " ".join(f"w{number}" for number in range(MAX_WORDS))

    assert len(Query.parse(f"{most} the w0").words) == MAX_WORDS
    with pytest.raises(RequestError, match="more than 32 words"):
        Query.parse(f"{most} another")


def as_texts(choices: Sequence[Sequence[Word]]) -> list[str]:
    return [" ".join(part for word in words for part in word) for words in choices]


@pytest.mark.parametrize(
    ("text", "looser"),
    [
        pytest.param("a1", [], id="one word"),
        pytest.param("a1 b1", [["a1", "b1"]], id="two words"),
        pytest.param("a1 b1 c1", [["a1 b1", "a1 c1", "b1 c1"], ["a1", "b1", "c1"]], id="three words"),
        pytest.param(
            "a1 b1 c1 d1 e1 f1",
            [["a1 b1", "b1 c1", "c1 d1", "d1 e1", "e1 f1"], ["a1", "b1", "c1", "d1", "e1", "f1"]],
            id="many words",
        ),
    ],
)
def test_what_is_looked_for_where_nothing_holds_all_the_words(text: str, looser: list[list[str]]) -> None:
    assert [as_texts(choices) for choices in Query.parse(text).looser()] == looser


@given(text=st.text(max_size=200) | st.text(alphabet='a"*^:+-(){}\0 ANDORT', max_size=60))
def test_every_query_is_refused_with_a_sentence_or_is_valid_full_text_syntax(
    table: sqlite3.Connection, text: str
) -> None:
    try:
        query = Query.parse(text)
    except RequestError:
        assert len(text) > MAX_WORDS or not any(character.isalnum() for character in text)
        return
    for choices in ([query.words], *query.looser()):
        table.execute("SELECT count(*) FROM t WHERE t MATCH ?", (expression_of(choices),)).fetchall()


def test_as_many_words_as_fit_are_valid_full_text_syntax(table: sqlite3.Connection) -> None:
    query = Query.parse(" ".join(chr(0x4E00 + number) for number in range(MAX_WORDS)))

    for choices in ([query.words], *query.looser()):
        assert table.execute("SELECT body FROM t WHERE t MATCH ?", (expression_of(choices),)).fetchall() == []
