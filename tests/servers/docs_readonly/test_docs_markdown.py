"""Headings and sections of Markdown texts."""

from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunnelgate_servers.docs_readonly.parsing import under
from tunnelgate_servers.docs_readonly.parsing.markdown import parse_markdown
from tunnelgate_servers.docs_readonly.sources import MAX_DOCUMENT_BYTES


@pytest.mark.parametrize(
    ("text", "headings"),
    [
        pytest.param("# One\n## Two\n###### Six", [(1, "One"), (2, "Two"), (6, "Six")], id="six levels"),
        pytest.param("# One ##\n## Two # ##  ", [(1, "One"), (2, "Two #")], id="closing marks are left out"),
        pytest.param("# C#\n# \\#", [(1, "C#"), (1, "\\#")], id="marks inside a word stay"),
        pytest.param("#\n## ##", [(1, ""), (2, "")], id="a heading may be empty"),
        pytest.param("#tag\n####### seven", [], id="a tag and seven marks are no headings"),
        pytest.param(
            "   # Three\n\n    # Four\n\n\t# Tab", [(1, "Three")], id="four spaces or a tab make code"
        ),
        pytest.param("One\n===\n\nTwo\n  ---  ", [(1, "One"), (2, "Two")], id="underlined headings"),
        pytest.param("One\ntwo\n===", [(1, "One two")], id="an underlined heading may have several lines"),
        pytest.param("\n---\n===\n", [], id="an underline needs a text above it"),
        pytest.param("text\n\n---\n\n===\n", [], id="an underline has to follow at once"),
        pytest.param("text\n***\n---\n", [], id="a break ends the paragraph"),
        pytest.param("    code\n---\n", [], id="indented code is not underlined"),
        pytest.param("text\n    more\n---\n", [(2, "text more")], id="a paragraph may be indented later"),
        pytest.param("```sh\n# no\n```\n# Yes", [(1, "Yes")], id="a code fence hides what it holds"),
        pytest.param("~~~\n# no\n```\n# no\n~~~~\n# Yes", [(1, "Yes")], id="a fence ends with its own mark"),
        pytest.param(
            "````\n# no\n```\n# no\n`````\n# Yes", [(1, "Yes")], id="a fence ends with as many marks"
        ),
        pytest.param("```\n# no\n    ```\n# no", [], id="a fence that never ends goes to the end"),
        pytest.param("``` a`b\n# Yes", [(1, "Yes")], id="code in a line opens no fence"),
        pytest.param("<!-- # no\n# no\n-->\n# Yes", [(1, "Yes")], id="a comment hides what it holds"),
        pytest.param("<!-- x -->\n# Yes", [(1, "Yes")], id="a comment may end on its line"),
        pytest.param("<PRE>\n# no\n</pre>\n# Yes", [(1, "Yes")], id="preformatted HTML hides what it holds"),
        pytest.param("<prefix>\n\n# Yes", [(1, "Yes")], id="another HTML tag hides nothing"),
        pytest.param("> # no\n> quoted\n---\n# Yes", [(1, "Yes")], id="a quotation has no headings"),
        pytest.param("- one\nlazy\n---\n1. two\n---", [], id="a line below a list item is not underlined"),
        pytest.param(
            "---\ntags: x\n---\n# Yes", [(1, "Yes")], id="front matter is not an underlined heading"
        ),
        pytest.param("---\ntags: x\n...\n# Yes", [(1, "Yes")], id="front matter may end with dots"),
        pytest.param("---\ntags: x\n\n# Yes", [(1, "Yes")], id="front matter has to end"),
        pytest.param("---\n# Yes", [(1, "Yes")], id="a break at the top is not front matter"),
        pytest.param("", [], id="an empty text"),
    ],
)
def test_headings(text: str, headings: list[tuple[int, str]]) -> None:
    found = [(section.level, section.heading) for section in parse_markdown(text).sections if section.level]

    assert found == headings


@pytest.mark.parametrize(
    ("text", "title"),
    [
        pytest.param("## Two\n# One\n# Another", "One", id="the first heading of the first level"),
        pytest.param("### Three\n## Two", "Three", id="without one the first heading"),
        pytest.param("#\n## Two", "Two", id="an empty heading is no title"),
        pytest.param(
            '---\nlayout: x\ntitle: "A title"\n---\n# One', "A title", id="front matter comes first"
        ),
        pytest.param("---\nlayout: x\n---\n# One", "One", id="front matter without a title"),
        pytest.param("---\ntitle:   \n---\n# One", "One", id="front matter with an empty title"),
        pytest.param("Only text.", None, id="no heading"),
    ],
)
def test_title(text: str, title: str | None) -> None:
    assert parse_markdown(text).title == title


def test_a_section_is_the_text_up_to_the_next_heading_of_any_level() -> None:
    markdown = parse_markdown("---\nkey: value\n---\nbefore\n\n# One\n\nfirst\n\n## Two\nsecond\n# Three")

    parts = [(each.heading, each.body, markdown.text[each.start : each.end]) for each in markdown.sections]

    assert parts == [
        ("", "before", "before\n\n"),
        ("One", "first", "# One\n\nfirst\n\n"),
        ("Two", "second", "## Two\nsecond\n"),
        ("Three", "", "# Three"),
    ]


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        pytest.param(
            "**bold** and *leaning* and `code`", "bold and leaning and code", id="emphasis and code"
        ),
        pytest.param("[a link](https://example.com/x)", "a link", id="a link is what it says"),
        pytest.param("![a picture](x.png) [one][two]", "a picture one", id="pictures and references"),
        pytest.param("```sh\nmake demo\n```", "make demo", id="the lines of a fence"),
        pytest.param("2 * 3 * 4 and snake_case", "2 * 3 * 4 and snake_case", id="marks that are none"),
        pytest.param("a\x07b\tc", "a b\tc", id="control characters"),
    ],
)
def test_the_body_of_a_section_has_no_marks(text: str, plain: str) -> None:
    (section,) = parse_markdown(text).sections

    assert section.body == plain


def test_a_long_heading_and_a_long_title_are_cut() -> None:
    markdown = parse_markdown(f"---\ntitle: {'t' * 600}\n---\n# {'h' * 600}\n")

    assert (markdown.title, markdown.sections[0].heading) == ("t" * 500, "h" * 500)


@pytest.mark.parametrize(
    ("heading", "text"),
    [
        pytest.param(
            "One", "# One\n\nfirst\n\n## Two\n\nsecond\n\n### Two\n\nthird", id="with its subsections"
        ),
        pytest.param("three", "# Three\n\nlast\n\n## Two", id="in any letter case"),
        pytest.param("##  THREE ", "# Three\n\nlast\n\n## Two", id="as a line of Markdown"),
        pytest.param("Two", "## Two\n\nsecond\n\n### Two\n\nthird\n\n## Two", id="all that have the heading"),
        pytest.param("Four", None, id="no such heading"),
        pytest.param("", None, id="the text before the first heading has none"),
    ],
)
def test_the_text_under_a_heading(heading: str, text: str | None) -> None:
    markdown = parse_markdown(
        "before\n\n# One\n\nfirst\n\n## Two\n\nsecond\n\n### Two\n\nthird\n\n# Three\n\nlast\n\n## Two\n"
    )

    assert under(heading, markdown.sections, markdown.text) == text


@given(st.text(alphabet=st.sampled_from("#=-`~<>!pre[]()* \t\n:ab")))
def test_every_text_is_cut_into_sections_that_follow_one_another(text: str) -> None:
    markdown = parse_markdown(text)

    for section, following in zip(markdown.sections, markdown.sections[1:], strict=False):
        assert section.start < section.end == following.start
    if markdown.sections:
        assert markdown.sections[-1].end == len(text)
    for section in markdown.sections:
        if section.heading.strip("# "):
            assert under(section.heading, markdown.sections, text)


@pytest.mark.parametrize(
    "mark", ["*", "[", "![", "[a](", "`", "<!--", "```\n", "# \n", "a\n=\n", "> ", "- ", "---\n", "**a"]
)
def test_a_mebibyte_of_one_mark_is_read_in_a_moment(mark: str) -> None:
    text = (mark * MAX_DOCUMENT_BYTES)[:MAX_DOCUMENT_BYTES]
    started = process_time()

    assert parse_markdown(text).text == text

    assert process_time() - started < 20
