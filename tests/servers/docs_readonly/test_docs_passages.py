"""Sections as passages, folded texts, and extracts around what was found."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunnelgate_servers.docs_readonly.folding import composed, fold
from tunnelgate_servers.docs_readonly.passages import MAX_PASSAGE_CHARACTERS, passages_of
from tunnelgate_servers.docs_readonly.snippets import MAX_SNIPPET_CHARACTERS, snippet_of

LONG = "x" * (MAX_PASSAGE_CHARACTERS - 10)


@pytest.mark.parametrize(
    ("body", "passages"),
    [
        pytest.param("short", ["short"], id="a short text"),
        pytest.param("", [""], id="an empty text is one passage, for its heading"),
        pytest.param("x" * MAX_PASSAGE_CHARACTERS, ["x" * MAX_PASSAGE_CHARACTERS], id="the longest passage"),
        pytest.param(f"{LONG}\n\nand more words", [LONG, "and more words"], id="at the end of a paragraph"),
        pytest.param(f"{LONG}\nand more words", [LONG, "and more words"], id="at the end of a line"),
        pytest.param(f"{LONG} and more words", [f"{LONG} and more", "words"], id="at the end of a word"),
        pytest.param("x" * 4001, ["x" * 4000, "x"], id="inside of a word that is too long"),
        pytest.param(f"a b{'x' * 4000}", [f"a b{'x' * 3997}", "xxx"], id="not at a word that ends early"),
        pytest.param(f"{'x' * 4000}{' ' * 5000}", ["x" * 4000], id="no passage of white space"),
    ],
)
def test_passages(body: str, passages: list[str]) -> None:
    assert list(passages_of(body)) == passages


@given(st.text(alphabet="ab \n", max_size=12).map(lambda text: text * 1000))
def test_passages_hold_every_word_and_are_never_too_long(body: str) -> None:
    passages = list(passages_of(body))

    assert all(len(passage) <= MAX_PASSAGE_CHARACTERS for passage in passages)
    assert "".join("".join(passages).split()) == "".join(body.split())


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        pytest.param("Audit.jsonl, tools/call", "Audit jsonl  tools call", id="punctuation"),
        pytest.param("Cafe\u0301 crème Ærø", "Cafe creme Ærø", id="accents"),
        pytest.param("日本 ٣ x²", "日本 ٣ x²", id="letters and digits of every script"),
        pytest.param("a_b\n\t\x07c", "a b   c", id="what stands between words"),
    ],
)
def test_a_folded_text(text: str, folded: str) -> None:
    assert fold(composed(text)) == folded


@given(st.text())
def test_a_folded_text_is_as_long_as_the_text(text: str) -> None:
    assert len(fold(text)) == len(text)


def spans_of(text: str, *words: str) -> list[tuple[int, int]]:
    return sorted((text.index(word), text.index(word) + len(word)) for word in words)


@pytest.mark.parametrize(
    ("text", "words", "snippet"),
    [
        pytest.param("How the gate is set up.", ["gate"], "How the **gate** is set up.", id="a short text"),
        pytest.param("one\n\n  two\tthree", ["two"], "one **two** three", id="on one line"),
        pytest.param("nothing here", [], "nothing here", id="without a word"),
        pytest.param("", [], "", id="an empty text"),
        pytest.param(
            "goes to audit.jsonl.", ["audit", "jsonl"], "goes to **audit.jsonl**.", id="parts of a word"
        ),
        pytest.param("set up", ["set", "up"], "**set** **up**", id="words side by side"),
        pytest.param("x" * 300, [], "x" * 240 + "…", id="a word that is too long"),
        pytest.param(
            "y " * 200 + "gate", ["gate"], "…" + "y " * 118 + "**gate**", id="at the end of a long text"
        ),
    ],
)
def test_a_snippet(text: str, words: list[str], snippet: str) -> None:
    assert snippet_of(text, spans_of(text, *words)) == snippet


def test_a_snippet_is_where_the_most_different_words_are() -> None:
    gap = "word " * 100
    text = f"gate {gap}gate gate {gap}the gate of the tunnel{gap}"
    spans = [(at, at + 4) for at in range(len(text)) if text.startswith("gate", at)]
    spans.append((text.index("tunnel"), text.index("tunnel") + 6))

    snippet = snippet_of(text, sorted(spans))

    assert "the **gate** of the **tunnel**" in snippet
    assert snippet.startswith("…word word")
    assert snippet.endswith("word…")


@given(text=st.text(alphabet="ab. \n", max_size=900), data=st.data())
def test_every_snippet_is_bounded_and_of_the_text(text: str, data: st.DataObject) -> None:
    starts = data.draw(st.sets(st.integers(0, max(0, len(text) - 3)), max_size=9))
    spans = [(start, start + 2) for start in sorted(starts) if start % 3 == 0]
    spans = [(start, end) for start, end in spans if text[start:end].isalpha()]

    snippet = snippet_of(text, spans)

    bare = snippet.replace("**", "").strip("…")
    assert len(bare) <= MAX_SNIPPET_CHARACTERS
    assert bare in " ".join(text.split())
