"""The desk in a real Chromium: a person signs in, reads a draft, and submits it, by keyboard alone."""

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, sync_playwright

from tests.browser.contrast import CONTRAST, MIN_CONTRAST
from tests.servers.tickets_draft.test_desk_pages import Stage, person, staged
from tests.support.asgi import Spy
from tests.support.servers import serve

MIN_TARGET = 24  # CSS pixels; WCAG 2.2, 2.5.8
BODY = """\
Since Friday the printer on the third floor prints every page twice.

\tSteps:
1. Send one page from any laptop.
2. Two pages come out, the second one without the header.

See https://wiki.example.com/printers for the model.
Restarting it did not help."""
DECEIVING = "Pay the invoice\u202e gnihton\u202c\u200b\u00a0now\U000e0041\U000e0042"


@pytest.fixture(scope="module")
def chromium() -> Generator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=os.environ["CHROMIUM"], args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Generator[Stage]:
    folder = tmp_path_factory.mktemp("desk")
    with staged(folder, f"sqlite:///{folder / 'tickets.sqlite'}") as running:
        yield running


@contextmanager
def opened(chromium: Browser, **options: Any) -> Generator[Page]:
    context = chromium.new_context(**options)
    try:
        yield context.new_page()
    finally:
        context.close()


def sign_in(page: Page, url: str, user: str = "alice") -> None:
    page.goto(url)
    page.get_by_role("link", name="Sign in").click()
    page.get_by_role("radio", name=user).check()
    page.get_by_role("button", name="Approve").click()
    page.get_by_text(f"Signed in as {user}").wait_for()


def keep_a_picture(page: Page, name: str) -> None:
    if "SCREENSHOTS" in os.environ:
        page.screenshot(path=Path(os.environ["SCREENSHOTS"]) / f"{name}.png", full_page=True)


def focused(page: Page) -> Locator:
    return page.locator(":focus")


def press_tab_until(page: Page, name: str) -> None:
    """Go on by the keyboard to what has this name, and check that one sees each place on the way."""
    for _ in range(20):
        page.keyboard.press("Tab")
        outline = focused(page).evaluate(
            "e => [getComputedStyle(e).outlineStyle, getComputedStyle(e).outlineWidth]"
        )
        assert outline == ["solid", "3px"], focused(page).inner_text()
        if name in (focused(page).inner_text(), focused(page).get_attribute("value")):
            return
    raise AssertionError(f"{name} is not reached")


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without scripts"])
def test_a_person_signs_in_and_submits_a_draft_by_keyboard_alone(
    stage: Stage, chromium: Browser, scripts: Any
) -> None:
    draft = stage.draft(f"The printer prints twice, {scripts}", body=BODY)
    with opened(chromium, java_script_enabled=scripts) as page:
        page.goto(stage.url(draft))
        press_tab_until(page, "Sign in")
        page.keyboard.press("Enter")
        page.get_by_role("heading", name="Allow Tickets desk to act for you?").wait_for()
        press_tab_until(page, "Approve")
        page.keyboard.press("Enter")
        page.get_by_role("heading", name="Read this draft, and decide").wait_for()
        assert page.url == stage.url(draft)
        assert page.locator(".text").inner_text() == BODY
        press_tab_until(page, "Submit as a ticket")
        page.keyboard.press("Enter")
        heading = page.get_by_role("heading", name="Your draft is ticket TCK-")
        heading.wait_for()
        number = heading.inner_text().rpartition(" ")[2]

        assert number in page.get_by_role("status").inner_text()
        assert number.startswith("TCK-")
    assert draft.title not in stage.of("alice")


def test_the_keyboard_stops_at_everything_once_and_in_order(stage: Stage, chromium: Browser) -> None:
    draft = stage.draft("Stops of the keyboard")
    with opened(chromium) as page:
        sign_in(page, stage.url(draft))
        stops: list[str] = []
        for _ in range(5):
            page.keyboard.press("Tab")
            stops.append(focused(page).inner_text())

        assert stops == [
            "Skip to the content",
            "Tickets desk",
            "Sign out",
            "Submit as a ticket",
            "Do not submit it now",
        ]


def test_the_skip_link_is_seen_when_it_is_reached_and_leads_past_the_header(
    stage: Stage, chromium: Browser
) -> None:
    draft = stage.draft("Skipped")
    with opened(chromium) as page:
        sign_in(page, stage.url(draft))
        page.keyboard.press("Tab")
        place = focused(page).bounding_box()
        assert place is not None
        assert place["x"] >= 0
        keep_a_picture(page, "skip link")
        page.keyboard.press("Enter")
        page.keyboard.press("Tab")

        assert focused(page).inner_text() == "Submit as a ticket"


def test_everything_has_a_name_that_a_screen_reader_reads(stage: Stage, chromium: Browser) -> None:
    draft = stage.draft("Read aloud", body=BODY)
    with opened(chromium) as page:
        sign_in(page, stage.url(draft))

        assert page.title() == f"Draft {draft.id} · Tickets desk"
        assert page.locator("html").get_attribute("lang") == "en"
        assert page.get_by_role("heading", level=1).count() == 1
        assert page.get_by_role("main").count() == page.get_by_role("banner").count() == 1
        assert page.get_by_role("group", name="Text").inner_text() == BODY
        assert [each.inner_text() for each in page.get_by_role("button").all()] == [
            "Sign out",
            "Submit as a ticket",
        ]
        assert "A program wrote this on your behalf." in page.get_by_role("main").inner_text()
        page.goto(stage.desk)
        assert page.get_by_role("listitem").filter(has_text="Read aloud").count() == 1
        assert page.get_by_role("link", name="Read aloud").get_attribute("href") == f"/draft?id={draft.id}"


TEXTS = "h1, h2, p, p strong, a, dt, dd, .text, .sign, .hint, button, .account bdi"


def check_readable(page: Page, width: int) -> None:
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    dim = {
        each.inner_text(): ratio
        for each in page.locator(TEXTS).all()
        if (ratio := each.evaluate(CONTRAST)) < MIN_CONTRAST
    }
    assert dim == {}
    for each in page.locator("button, .button, .actions a, .drafts a, .name a").all():
        size = each.bounding_box()
        assert size is not None
        assert min(size["width"], size["height"]) >= MIN_TARGET, each.inner_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 1280], ids=["a narrow window", "a wide window"])
def test_every_page_can_be_read_by_day_and_by_night_in_any_window(
    stage: Stage, chromium: Browser, scheme: Any, width: int
) -> None:
    draft = stage.draft("W" * 200, body=f"{BODY}\n\n{DECEIVING}\n{'x' * 500}", priority="urgent")
    with opened(chromium, viewport={"width": width, "height": 640}, color_scheme=scheme) as page:
        page.goto(stage.desk)
        check_readable(page, width)
        keep_a_picture(page, f"welcome {scheme} {width}")
        page.goto(stage.url(draft))
        check_readable(page, width)
        keep_a_picture(page, f"sign in first {scheme} {width}")
        sign_in(page, stage.url(draft))
        check_readable(page, width)
        keep_a_picture(page, f"draft {scheme} {width}")
        page.goto(stage.desk)
        check_readable(page, width)
        keep_a_picture(page, f"drafts {scheme} {width}")
        page.goto(stage.url(draft))
        stage.drafts.update(person(stage.issuer), draft.id, draft.version, title="V" * 200)
        page.get_by_role("button", name="Submit as a ticket").click()
        page.get_by_role("heading", name="The draft has changed").wait_for()
        check_readable(page, width)
        keep_a_picture(page, f"changed {scheme} {width}")
        page.get_by_role("link", name="Read the draft again").click()
        page.get_by_role("button", name="Submit as a ticket").click()
        page.get_by_role("status").wait_for()
        check_readable(page, width)
        keep_a_picture(page, f"submitted {scheme} {width}")


HOSTILE = [
    "<script>document.title='owned'</script>",
    "\"><img src=x onerror=document.title='owned'>",
    "</div></form><form action=https://evil.example><button>Submit as a ticket</button></form>",
    "{{ 7 * 7 }}{% raw %}",
    "<style>body{display:none}</style>&lt;&amp;",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_what_a_program_wrote_is_text(stage: Stage, chromium: Browser, text: str) -> None:
    draft = stage.draft(text, body=text)
    complaints: list[str] = []
    with opened(chromium) as page:
        sign_in(page, stage.url(draft))
        page.on("console", lambda message: complaints.append(message.text))
        page.goto(stage.url(draft))

        assert page.locator(".title").inner_text() == text
        assert page.locator(".text").inner_text() == text
        assert page.get_by_role("button").count() == 2
        page.goto(stage.desk)
        assert page.get_by_role("link", name=text).count() == 1
        unwanted = [each for each in complaints if "favicon" not in each]
        assert (page.title(), unwanted) == ("Your drafts · Tickets desk", [])


def test_characters_that_show_nothing_are_shown_by_their_numbers(stage: Stage, chromium: Browser) -> None:
    draft = stage.draft("Hidden", body=DECEIVING)
    with opened(chromium) as page:
        sign_in(page, stage.url(draft))

        shown = page.locator(".text").inner_text()
        assert shown == "Pay the invoiceU+202E gnihtonU+202C U+200B U+00A0nowU+E0041 U+E0042"
        assert "are written as their numbers" in page.get_by_role("main").inner_text()


def test_links_in_a_draft_lead_nowhere(stage: Stage, chromium: Browser) -> None:
    draft = stage.draft("A link", body=BODY)
    with opened(chromium) as page:
        sign_in(page, stage.url(draft))

        assert "https://wiki.example.com/printers" in page.locator(".text").inner_text()
        assert page.locator(".text a").count() == 0


@pytest.mark.parametrize("neighbour", ["docs.tunnel.localhost", "127.0.0.1", "evil.localhost"])
def test_a_page_of_somebody_else_cannot_submit_in_the_name_of_the_person(
    stage: Stage, chromium: Browser, neighbour: str
) -> None:
    """It even knows what is in the form."""
    draft = stage.draft("Not to be submitted")
    with opened(chromium) as page:
        sign_in(page, stage.url(draft))
        names = ("id", "version", "code")
        submit = page.locator("form[action='/submit']")
        known = {name: submit.locator(f"[name={name}]").input_value() for name in names}
        inputs = "".join(f'<input name="{name}" value="{value}">' for name, value in known.items())
        form = f'<form method="post" action="{stage.desk}/submit">{inputs}<button>Win</button></form>'
        with serve(Spy(form.encode(), content_type="text/html")) as port:
            page.goto(f"http://{neighbour}:{port}/")
            page.get_by_role("button", name="Win").click()
            page.get_by_role("heading", name="This form cannot be accepted").wait_for()
        keep_a_picture(page, "forged form")

    assert "Not to be submitted" in stage.of("alice")


INTRUDE = """() => new Promise(resolve => {
    const add = (tag, attributes) =>
        document.body.append(Object.assign(document.createElement(tag), attributes));
    add('script', {textContent: "document.title = 'owned'"});
    add('iframe', {src: '/'});
    document.body.setAttribute('style', 'display: none');
    add('img', {src: 'https://evil.example/x.png', onerror: resolve});
})"""


def test_the_page_fetches_its_style_and_nothing_that_somebody_put_into_it(
    stage: Stage, chromium: Browser
) -> None:
    draft = stage.draft("Fetched")
    fetched: list[str] = []
    with opened(chromium) as page:
        sign_in(page, stage.url(draft))
        page.wait_for_load_state("networkidle")  # or what the page before fetched would count
        page.on("requestfinished", lambda request: fetched.append(request.url))
        page.goto(stage.url(draft))
        page.evaluate(INTRUDE)

        assert page.title() == f"Draft {draft.id} · Tickets desk"
        assert page.locator("h1").is_visible()
        wanted = {stage.url(draft), f"{stage.desk}/desk.css"}
        assert {each for each in fetched if not each.endswith("/favicon.ico")} == wanted


def test_the_page_is_not_shown_in_a_frame(stage: Stage, chromium: Browser) -> None:
    draft = stage.draft("Framed")
    frame = f'<iframe src="{stage.url(draft)}"></iframe>'
    with opened(chromium) as page:
        sign_in(page, stage.url(draft))
        with serve(Spy(frame.encode(), content_type="text/html")) as port:
            with page.expect_response(lambda response: response.url.startswith(stage.desk)):
                page.goto(f"http://docs.tunnel.localhost:{port}/")
            framed = page.frame_locator("iframe").locator("h1")

            assert framed.filter(has_text="Read this draft").count() == 0


def test_no_script_can_read_the_session(stage: Stage, chromium: Browser) -> None:
    with opened(chromium) as page:
        sign_in(page, stage.desk)

        assert page.evaluate("document.cookie") == ""
        (cookie,) = page.context.cookies([stage.desk])
        assert (cookie.get("name"), cookie.get("httpOnly"), cookie.get("sameSite")) == ("desk", True, "Lax")


def test_who_signs_out_is_signed_out(stage: Stage, chromium: Browser) -> None:
    with opened(chromium) as page:
        sign_in(page, stage.desk)
        page.get_by_role("button", name="Sign out").click()
        page.get_by_role("link", name="Sign in").wait_for()

        assert page.context.cookies([stage.desk]) == []
        assert page.get_by_role("heading", level=1).inner_text() == "Submit your drafts"
