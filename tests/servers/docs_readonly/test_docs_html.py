"""Headings, sections and the readable text of HTML."""

from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunnelgate_servers.docs_readonly.parsing.html import parse_html
from tunnelgate_servers.docs_readonly.sources import MAX_DOCUMENT_BYTES

PAGE = """\
<!DOCTYPE html>
<html><head><title>The  guide</title><style>p { color: red }</style></head>
<body><p>Before all.
<h1>Guide</h1>
<p>How the <b>gate</b> is <code>set up</code>.<br>And more.</p>
<h2 id="routes">Routes <em>here</em></h2>
<ul><li>one<li><p>two</p></ul>
<table><tr><th>a</th><th>b</th></tr><tr><td>c</td><td>d</td></tr></table>
<pre>
def f():
    return 1
</pre>
<script>alert("no <!-- no")</script>
</body></html>
"""


def test_the_text_of_a_page_is_what_a_person_sees() -> None:
    page = parse_html(PAGE)

    assert page.title == "The guide"
    assert page.text == (
        "Before all.\n\n# Guide\n\nHow the gate is set up.\n\nAnd more.\n\n## Routes here\n\n- one\n- two\n\n"
        "a b\n\nc d\n\ndef f():\n    return 1"
    )


def test_sections_have_their_headings_their_bodies_and_their_places() -> None:
    page = parse_html(PAGE)

    assert [(each.level, each.heading, each.body.split("\n")[0]) for each in page.sections] == [
        (0, "", "Before all."),
        (1, "Guide", "How the gate is set up."),
        (2, "Routes here", "- one"),
    ]
    assert [page.text[each.start : each.end].split("\n")[0] for each in page.sections] == [
        "Before all.",
        "# Guide",
        "## Routes here",
    ]
    assert page.sections[-1].end == len(page.text)


@pytest.mark.parametrize(
    ("html", "title"),
    [
        pytest.param("<title>A</title><h1>B</h1>", "A", id="the title of the page"),
        pytest.param("<h2>C</h2><h1>B</h1>", "B", id="without one the first heading of the first level"),
        pytest.param("<title> </title><h2>C</h2>", "C", id="an empty title is none"),
        pytest.param("text", None, id="nothing that says one"),
    ],
)
def test_title(html: str, title: str | None) -> None:
    assert parse_html(html).title == title


@pytest.mark.parametrize(
    "html",
    [
        pytest.param("<script>secret</script>", id="a script"),
        pytest.param("<SCRIPT type=x>secret</SCRIPT >", id="a script in capitals"),
        pytest.param("<script>secret", id="a script that never ends"),
        pytest.param("<style>secret</style>", id="a style"),
        pytest.param("<!-- secret -->", id="a comment"),
        pytest.param("<!-- secret", id="a comment that never ends"),
        pytest.param("<?php secret ?>", id="an instruction"),
        pytest.param("<!ENTITY x 'secret'>", id="a declaration"),
        pytest.param("<![CDATA[secret]]>", id="character data of XML"),
        pytest.param("<template>secret</template>", id="a template"),
        pytest.param("<noscript>secret</noscript>", id="what is for readers without scripts"),
        pytest.param("<svg><text>secret</text></svg>", id="a drawing"),
        pytest.param("<p hidden>secret</p>", id="what is hidden"),
        pytest.param("<div hidden><p>secret</p></div>", id="what is in something hidden"),
        pytest.param("<p title='secret' onclick='secret'></p>", id="attributes"),
        pytest.param("<iframe srcdoc='secret'>secret</iframe>", id="a page in the page"),
    ],
)
def test_what_a_person_does_not_see_is_dropped(html: str) -> None:
    assert parse_html(f"<h1>Seen</h1>{html}").text == "# Seen"


@pytest.mark.parametrize(
    ("html", "text"),
    [
        pytest.param("a &lt;b&gt; &amp;amp; &#233;", "a <b> &amp; é", id="references to characters"),
        pytest.param("1 < 2 and 3 > 2", "1 < 2 and 3 > 2", id="signs that are no tags"),
        pytest.param("a <b", "a <b", id="a tag that never ends"),
        pytest.param("<h1>a<div>b</div></h1>c", "# a\n\n# b\n\nc", id="a heading of two lines"),
        pytest.param("a\x00\x07b", "a b", id="control characters"),
        pytest.param("<li>a</li><li></li><p>b", "- a\n\nb", id="an empty item"),
        pytest.param("<?xml version='1.0'?><p>a</p>", "a", id="what looks like XML"),
        pytest.param("https://example.com/page", "https://example.com/page", id="what looks like a URL"),
        pytest.param("page.html", "page.html", id="what looks like a file"),
        pytest.param("", "", id="nothing"),
    ],
)
def test_the_text_of(html: str, text: str) -> None:
    assert parse_html(html).text == text


@pytest.mark.parametrize(
    "mark",
    ["<!--", "<a ", "<?", "</", "<a", '<a b="', "<a b='\">", "<script>", "<script></script", "<div>", "<li>",
     "<title>", "&#x", "&", "<h1>a", "<pre>a", "<![CDATA["],
)  # fmt: skip
def test_much_of_one_mark_is_read_in_a_moment(mark: str) -> None:
    started = process_time()

    parse_html((mark * MAX_DOCUMENT_BYTES)[: MAX_DOCUMENT_BYTES // 8])

    assert process_time() - started < 8


@given(st.text() | st.text(alphabet=st.sampled_from("<>/!-?&;\"'= \nabhlipre123")))
def test_every_text_is_cut_into_sections_that_follow_one_another(html: str) -> None:
    page = parse_html(html)

    for section, following in zip(page.sections, page.sections[1:], strict=False):
        assert section.start < section.end == following.start
    if page.sections:
        assert (page.sections[0].start, page.sections[-1].end) == (0, len(page.text))
