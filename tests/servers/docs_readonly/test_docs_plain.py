"""Headings and sections of plain texts, and which parser a path leads to."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunnelgate_servers.docs_readonly.parsing import kind_of
from tunnelgate_servers.docs_readonly.parsing.plain import parse_plain


@pytest.mark.parametrize(
    ("text", "sections"),
    [
        pytest.param("Only text.", [(0, "", "Only text.")], id="no heading"),
        pytest.param(
            "One\n===\nfirst\n\nTwo\n---\n\nsecond", [(1, "One", "first"), (2, "Two", "second")], id="two"
        ),
        pytest.param("before\n\nOne\n===", [(0, "", "before"), (1, "One", "")], id="a text before the first"),
        pytest.param("One\n====\n", [(0, "", "One\n====")], id="a rule that is too long"),
        pytest.param("ab\n==\n", [(0, "", "ab\n==")], id="a rule that is too short"),
        pytest.param("text\nOne\n===\n", [(0, "", "text\nOne\n===")], id="a heading in a paragraph"),
        pytest.param("One \n===  \n", [(1, "One", "")], id="spaces at the ends"),
        pytest.param("a\x07\tb", [(0, "", "a \tb")], id="control characters"),
        pytest.param("", [], id="an empty text"),
        pytest.param("\n\n", [], id="white space"),
    ],
)
def test_sections(text: str, sections: list[tuple[int, str, str]]) -> None:
    document = parse_plain(text)

    assert [(each.level, each.heading, each.body) for each in document.sections] == sections
    assert document.text == text


@given(st.text(alphabet=st.sampled_from("=-ab \n")))
def test_every_text_is_cut_into_sections_that_follow_one_another(text: str) -> None:
    document = parse_plain(text)

    for section, following in zip(document.sections, document.sections[1:], strict=False):
        assert section.start < section.end == following.start
    if document.sections:
        assert document.sections[-1].end == len(text)


@pytest.mark.parametrize(
    ("path", "kind", "mime_type"),
    [
        ("a/b.md", "markdown", "text/markdown"),
        ("b.MARKDOWN", "markdown", "text/markdown"),
        ("c.rst", "restructuredtext", "text/x-rst"),
        ("c.rest", "restructuredtext", "text/x-rst"),
        ("d.html", "html", "text/plain"),
        ("d.htm", "html", "text/plain"),
        ("e.txt", "text", "text/plain"),
        ("LICENSE", "text", "text/plain"),
        ("a.md/notes", "text", "text/plain"),
    ],
)
def test_the_ending_of_a_path_tells_the_kind(path: str, kind: str, mime_type: str) -> None:
    found = kind_of(path)

    assert (found.name, found.mime_type) == (kind, mime_type)
