import dataclasses
from base64 import b64encode
from hashlib import sha256
from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from tunnelgate_app.issuer.page import Question, fault_page, page_headers

TEXT = st.text(max_size=40) | st.sampled_from(
    ["<script>alert(1)</script>", '"><img src=x>', "'&lt;", "</style>"]
)
PLAIN = Question(
    client_id="client",
    client_name="Inspector",
    redirect_uri="https://client.example/cb",
    resource="http://docs.example/mcp",
    scopes=["a", "b"],
    ticked=["a"],
    users=["alice"],
    sealed="sealed",
    user="alice",
    other="somebody",
    fault="A fault.",
)


class Outline(HTMLParser):
    """The tags of a page and the names of their attributes, without a single value."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, ...]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, *(name for name, _ in attrs)))


@given(text=TEXT.filter(lambda text: text not in ("", "b")))  # which would be two of them
def test_whatever_others_wrote_the_page_keeps_its_shape(text: str) -> None:
    question = dataclasses.replace(
        PLAIN,
        client_id=text,
        client_name=text,
        resource=text,
        scopes=[text, "b"],
        ticked=[text],
        users=[text],
        sealed=text,
        user=text,
        other=text,
        fault=text,
    )

    assert Outline(question.html()).tags == Outline(PLAIN.html()).tags


@given(text=TEXT)
def test_whatever_went_wrong_the_page_that_says_so_keeps_its_shape(text: str) -> None:
    assert Outline(fault_page([text, text])).tags == Outline(fault_page(["a", "b"])).tags


def test_every_field_has_a_label_and_every_group_a_legend() -> None:
    html = PLAIN.html()

    assert html.count("<fieldset>") == html.count("<legend>") == 2
    assert html.count('<label class="choice"><input') == html.count('type="radio"') + html.count(
        'type="checkbox"'
    )
    assert 'for="other"' in html
    assert 'id="other"' in html
    assert '<html lang="en">' in html


def test_the_policy_of_the_page_allows_the_style_of_the_page_and_no_other() -> None:
    style = PLAIN.html().partition("<style>")[2].partition("</style>")[0]
    digest = b64encode(sha256(style.encode()).digest()).decode()

    assert f"style-src 'sha256-{digest}';" in page_headers()["content-security-policy"]


def test_the_page_needs_no_script_and_nothing_from_elsewhere() -> None:
    tags = {tag for tag, *_ in Outline(PLAIN.html()).tags}

    assert not tags & {"script", "link", "img", "iframe", "object", "a", "base"}
    assert not {name for _, *names in Outline(PLAIN.html()).tags for name in names if name.startswith("on")}
    assert "url(" not in PLAIN.html()
    assert "@import" not in PLAIN.html()
