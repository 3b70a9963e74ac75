"""The development issuer's page in a real Chromium, alone and behind the gate."""

import os
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx2
import pytest
import yaml
from anyio.from_thread import start_blocking_portal
from playwright.sync_api import Browser, BrowserContext, Locator, Page, sync_playwright

from tests.app.issuer.browsing import Browser as BrowserWithoutAWindow
from tests.app.issuer.flows import CHALLENGE, CLIENT_ID, DOCS, SECRET, VERIFIER
from tests.browser.contrast import CONTRAST, MIN_CONTRAST
from tests.support.asgi import Reply, Spy
from tests.support.processes import SCRIPTS, environment, free_port, running
from tests.support.servers import serve
from tunnelgate.asgi import ASGIApp, Receive, Scope
from tunnelgate.asgi import Send as AsgiSend
from tunnelgate_app.issuer import SigningKey, create_app
from tunnelgate_app.issuer.app import PATHS

MIN_TARGET = 24  # CSS pixels; WCAG 2.2, 2.5.8
SCOPES = ["docs:read", "docs:full"]


class Later:
    """Stands where an application will be once the port is known that it has to know."""

    def __init__(self) -> None:
        self.app: ASGIApp = Spy()

    async def __call__(self, scope: Scope, receive: Receive, send: AsgiSend) -> None:
        await self.app(scope, receive, send)


@contextmanager
def alone(folder: Path) -> Generator[str]:
    later = Later()
    with serve(later) as port:
        issuer = f"http://login.tunnel.localhost:{port}"
        later.app = create_app(
            issuer=issuer,
            key_file=folder / "key.json",
            client_id=CLIENT_ID,
            client_secret=SECRET,
            resources={DOCS: SCOPES},
        )
        yield issuer


class SendsOn:
    """What a client has at its redirect URI: it takes the code and shows another page."""

    def __init__(self, location: str) -> None:
        self._headers = [(b"location", location.encode())]

    async def __call__(self, scope: Scope, receive: Receive, send: AsgiSend) -> None:
        if scope["type"] == "lifespan":
            await Spy()(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": 303, "headers": self._headers})
        await send({"type": "http.response.body", "body": b""})


@contextmanager
def behind_the_gate(folder: Path) -> Generator[str]:
    port = free_port()
    issuer = f"http://login.tunnel.localhost:{port}"
    options = {
        "issuer": issuer,
        "key_file": str(folder / "key.json"),
        "client_id": CLIENT_ID,
        "client_secret": SECRET,
        "resources": {DOCS: SCOPES},
    }
    route = {
        "mount": "tunnelgate_app.issuer:create_app",
        "options": options,
        "public_paths": list(PATHS),
    }
    configuration = {
        "listen_addr": f"127.0.0.1:{port}",
        "tunnel_domain": "tunnel.localhost",
        "public_scheme": "http",
        "public_port": port,
        "clients": {"allowed_ips": ["127.0.0.0/8"]},
        "routes": {"login": route},
        "audit": {"file": str(folder / "audit.jsonl")},
    }
    file = folder / "tunnelgate.yaml"
    file.write_text(yaml.safe_dump(configuration), "utf-8")
    with running([str(SCRIPTS / "tunnelgate"), "serve", "--config", str(file)], environment(folder)):
        yield issuer


@dataclass(frozen=True)
class Stage:
    """An issuer that runs, a client's own server that it sends users to, and a browser."""

    issuer: str
    redirect: str
    callback: Spy
    chromium: Browser

    def register(self, **metadata: Any) -> str:
        """Register a client, and return its ``client_id``."""
        form = {"redirect_uris": [self.redirect], "token_endpoint_auth_method": "none", **metadata}
        reply = self._http("POST", "/register", json={"client_name": "Inspector", **form})
        return str(reply.json()["client_id"])

    def url(self, client_id: str, **parameters: str) -> str:
        query = {
            "response_type": "code",
            "client_id": client_id,
            "redirect_uri": self.redirect,
            "state": "the state",
            "code_challenge": CHALLENGE,
            "code_challenge_method": "S256",
            "resource": DOCS,
            **parameters,
        }
        return f"{self.issuer}/authorize?{urlencode(query)}"

    def redeem(self, client_id: str, code: str) -> dict[str, Any]:
        form = {
            "grant_type": "authorization_code",
            "client_id": client_id,
            "code": code,
            "redirect_uri": self.redirect,
            "code_verifier": VERIFIER,
        }
        tokens: dict[str, Any] = self._http("POST", "/token", data=form).json()
        return tokens

    def user_of(self, token: str) -> str:
        answer = self._http("POST", "/introspect", data={"token": token}, auth=(CLIENT_ID, SECRET))
        return str(answer.json()["sub"])

    def _http(self, method: str, path: str, **options: Any) -> httpx2.Response:
        parts = urlsplit(self.issuer)
        with httpx2.Client(trust_env=False) as http:
            url = f"http://127.0.0.1:{parts.port}{path}"
            return http.request(method, url, headers={"host": parts.netloc}, **options)

    @contextmanager
    def page(self, **options: Any) -> Generator[Page]:
        context: BrowserContext = self.chromium.new_context(**options)
        try:
            yield context.new_page()
        finally:
            context.close()


@pytest.fixture(scope="module")
def chromium() -> Generator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=os.environ["CHROMIUM"], args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module", params=[alone, behind_the_gate], ids=["alone", "behind the gate"])
def running_issuer(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Generator[str]:
    folder = tmp_path_factory.mktemp("issuer")
    SigningKey.generate().write(folder / "key.json")
    start: Callable[[Path], Any] = request.param
    with start(folder) as issuer:
        yield issuer


@pytest.fixture
def stage(running_issuer: str, chromium: Browser) -> Generator[Stage]:
    callback = Spy(b"<p>Back at the client.</p>", content_type="text/html")
    with serve(callback) as port:
        yield Stage(running_issuer, f"http://127.0.0.1:{port}/callback", callback, chromium)


def query_of(page: Page) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(page.url).query))


def keep_a_picture(page: Page, name: str) -> None:
    if "SCREENSHOTS" in os.environ:
        page.screenshot(path=Path(os.environ["SCREENSHOTS"]) / f"{name}.png", full_page=True)


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without scripts"])
def test_a_user_chooses_a_name_and_scopes_and_comes_back_to_the_client(stage: Stage, scripts: Any) -> None:
    client_id = stage.register()
    with stage.page(java_script_enabled=scripts) as page:
        page.goto(stage.url(client_id))
        page.get_by_role("radio", name="bob").check()
        page.get_by_role("checkbox", name="docs:full").uncheck()
        page.get_by_role("button", name="Approve").click()
        page.get_by_text("Back at the client.").wait_for()

        query = query_of(page)

    assert (query["state"], query["iss"]) == ("the state", stage.issuer)
    tokens = stage.redeem(client_id, query["code"])
    assert (tokens["scope"], stage.user_of(tokens["access_token"])) == ("docs:read", "bob")
    headers = dict(stage.callback.scopes[0]["headers"])
    assert b"referer" not in headers
    assert b"tunnelgate_login" not in headers.get(b"cookie", b"")


def test_a_user_denies_and_comes_back_to_the_client(stage: Stage) -> None:
    with stage.page() as page:
        page.goto(stage.url(stage.register()))
        page.get_by_role("button", name="Deny").click()
        page.get_by_text("Back at the client.").wait_for()

        assert query_of(page)["error"] == "access_denied"


def test_what_is_wrong_with_a_choice_is_said_and_the_choice_is_kept(stage: Stage) -> None:
    with stage.page() as page:
        page.goto(stage.url(stage.register()))
        page.get_by_label("Somebody else").fill("carol jones")
        page.get_by_role("checkbox", name="docs:full").uncheck()
        page.get_by_role("button", name="Approve").click()

        assert "letters, digits" in page.get_by_role("alert").inner_text()
        assert page.get_by_label("Somebody else").input_value() == "carol jones"
        assert not page.get_by_role("checkbox", name="docs:full").is_checked()
        keep_a_picture(page, "fault of the user")
        assert focused(page).get_attribute("id") == "other"
        assert focused(page).get_attribute("aria-invalid") == "true"
        described_by = (focused(page).get_attribute("aria-describedby") or "").split()
        said = [page.locator(f"#{each}").inner_text() for each in described_by]
        assert said[0] == page.get_by_role("alert").inner_text()
        assert said[1].startswith("A name written here")
        page.get_by_label("Somebody else").fill("carol")
        page.get_by_role("button", name="Approve").click()
        page.get_by_text("Back at the client.").wait_for()
        assert "code" in query_of(page)


def focused(page: Page) -> Locator:
    return page.locator(":focus")


def test_the_keyboard_alone_suffices_and_one_sees_where_one_is(stage: Stage) -> None:
    client_id = stage.register()
    with stage.page() as page:
        page.goto(stage.url(client_id))
        stops: list[str] = []
        for _ in range(6):
            page.keyboard.press("Tab")
            stops.append(focused(page).get_attribute("value") or focused(page).get_attribute("id") or "")
            outline = focused(page).evaluate(
                "e => [getComputedStyle(e).outlineStyle, getComputedStyle(e).outlineWidth]"
            )
            assert outline == ["solid", "3px"], stops
            if stops[-1] == "alice":
                page.keyboard.press("ArrowDown")
            if stops[-1] == "docs:read":
                page.keyboard.press("Space")
        assert stops == ["alice", "other", "docs:read", "docs:full", "approve", "deny"]
        page.keyboard.press("Shift+Tab")
        page.keyboard.press("Enter")
        page.get_by_text("Back at the client.").wait_for()
        tokens = stage.redeem(client_id, query_of(page)["code"])

    assert (tokens["scope"], stage.user_of(tokens["access_token"])) == ("docs:full", "bob")


def test_everything_has_a_name_that_a_screen_reader_reads(stage: Stage) -> None:
    with stage.page() as page:
        page.goto(stage.url(stage.register()))

        assert page.title() == "Sign in · Development issuer"
        assert page.locator("html").get_attribute("lang") == "en"
        assert page.get_by_role("heading", level=1).count() == 1
        assert page.get_by_role("main").count() == 1
        group = page.get_by_role("group", name="Sign in as")
        assert [each.get_attribute("value") for each in group.get_by_role("radio").all()] == ["alice", "bob"]
        name = page.get_by_role("textbox", name="Somebody else")
        hint = page.locator(f"#{name.get_attribute('aria-describedby')}").inner_text()
        assert hint == "A name written here is used instead of the choice above."
        scopes = page.get_by_role("group", name="It may use these scopes").get_by_role("checkbox")
        assert scopes.count() == len(SCOPES)
        assert [each.inner_text() for each in page.get_by_role("button").all()] == ["Approve", "Deny"]


TEXTS = ".notice, .notice strong, h1, p, dt, dd, code, legend, .choice, .hint, .other, .error, input, button"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 1280], ids=["a narrow window", "a wide window"])
def test_the_page_can_be_read_by_day_and_by_night_in_any_window(
    stage: Stage, scheme: str, width: int
) -> None:
    client_id = stage.register(client_name="W" * 100)
    with stage.page(viewport={"width": width, "height": 640}, color_scheme=scheme) as page:
        page.goto(stage.url(client_id))
        for box in page.get_by_role("checkbox").all():
            box.uncheck()
        page.get_by_role("button", name="Approve").click()
        page.get_by_role("alert").wait_for()

        assert page.evaluate("document.documentElement.scrollWidth") <= width
        dim = {
            each.inner_text(): ratio
            for each in page.locator(TEXTS).all()
            if (ratio := each.evaluate(CONTRAST)) < MIN_CONTRAST
        }
        assert dim == {}
        for each in page.locator("button, .choice, input[type=text]").all():
            size = each.bounding_box()
            assert size is not None
            assert min(size["width"], size["height"]) >= MIN_TARGET
        keep_a_picture(page, f"{scheme} {width}")


@pytest.mark.parametrize(
    "name",
    [
        "<script>document.title='owned'</script>",
        "\"><img src=x onerror=document.title='owned'>",
        "</bdi></h1>&lt;",
    ],
)
def test_what_a_client_calls_itself_is_text(stage: Stage, name: str) -> None:
    complaints: list[str] = []
    with stage.page() as page:
        page.on("console", lambda message: complaints.append(message.text))
        page.goto(stage.url(stage.register(client_name=name)))

        assert page.get_by_role("heading", level=1).inner_text() == f"Allow {name} to act for you?"
        assert (page.title(), complaints) == ("Sign in · Development issuer", [])


INTRUDE = """() => new Promise(resolve => {
    const add = (tag, attributes) =>
        document.body.append(Object.assign(document.createElement(tag), attributes));
    add('script', {textContent: "document.title = 'owned'"});
    add('iframe', {src: '/authorize'});
    add('img', {src: 'https://evil.example/x.png', onerror: resolve});
})"""


def test_the_page_fetches_nothing_and_runs_nothing_that_somebody_put_into_it(stage: Stage) -> None:
    fetched: list[str] = []
    with stage.page() as page:
        page.on("requestfinished", lambda request: fetched.append(request.url))
        url = stage.url(stage.register())
        page.goto(url)
        page.evaluate(INTRUDE)

        assert page.title() == "Sign in · Development issuer"
        assert [each for each in fetched if not each.endswith("/favicon.ico")] == [url]


def own_form(stage: Stage) -> tuple[str, str]:
    """Return what the form carries that somebody got by themselves, and the cookie that goes with it."""
    parts = urlsplit(stage.issuer)

    async def send(method: str, url: str, headers: list[tuple[str, str]], body: bytes = b"") -> Reply:
        async with httpx2.AsyncClient(trust_env=False) as http:
            local = url.replace(parts.netloc, f"127.0.0.1:{parts.port}", 1)
            reply = await http.request(
                method, local, headers=[*headers, ("host", parts.netloc)], content=body
            )
            pairs = [(name.lower(), value) for name, value in reply.headers.multi_items()]
            return Reply(reply.status_code, pairs, reply.content)

    browser = BrowserWithoutAWindow(send)
    with start_blocking_portal() as portal:
        page = portal.call(browser.open, stage.url(stage.register()))
    return page.of("request")[0]["value"], browser.cookies["tunnelgate_login"]


@pytest.mark.parametrize("neighbour", ["docs.tunnel.localhost", "127.0.0.1", "evil.localhost"])
def test_a_page_of_somebody_else_cannot_approve_in_the_name_of_the_user(stage: Stage, neighbour: str) -> None:
    """It has a form of its own, and plants the cookie that goes with it where it can."""
    sealed, cookie = own_form(stage)
    fields = {"request": sealed, "user": "alice", "other": "", "scope": "docs:read", "decision": "approve"}
    inputs = "".join(f'<input name="{name}" value="{value}">' for name, value in fields.items())
    plant = f"document.cookie = 'tunnelgate_login={cookie}; Domain=tunnel.localhost; Path=/'"
    form = f'<form method="post" action="{stage.issuer}/authorize">{inputs}<button>Win</button></form>'
    evil = Spy(f"<script>{plant}</script>{form}".encode(), content_type="text/html")
    with serve(evil) as port, stage.page() as page:
        page.goto(f"http://{neighbour}:{port}/")
        page.get_by_role("button", name="Win").click()
        page.get_by_role("heading", name="This sign-in cannot go on").wait_for()

        assert "not sent from the page of this issuer" in page.get_by_role("main").inner_text()
        keep_a_picture(page, "forged form")
    assert stage.callback.scopes == []


def test_the_policy_of_the_page_lets_a_client_send_the_user_on_to_another_page_of_its_own(
    stage: Stage,
) -> None:
    """Chromium holds every redirect that follows a form to the policy of the page with the form."""
    complaints: list[str] = []
    at_home = Spy(b"<p>Home of the client.</p>", content_type="text/html")
    with (
        serve(at_home) as home,
        serve(SendsOn(f"http://app.localhost:{home}/")) as port,
        stage.page() as page,
    ):
        redirect = f"http://127.0.0.1:{port}/callback"
        client_id = stage.register(redirect_uris=[redirect])
        page.on("console", lambda message: complaints.append(message.text))
        page.goto(stage.url(client_id, redirect_uri=redirect))
        page.get_by_role("button", name="Approve").click()
        page.get_by_text("Home of the client.").wait_for()

        assert page.url == f"http://app.localhost:{home}/"
        assert [each for each in complaints if "Content Security Policy" in each] == []


def test_the_policy_of_the_page_lets_an_application_of_the_machine_be_called(stage: Stage) -> None:
    """Nobody has registered for its scheme here, so Chromium stops after it has followed the redirect."""
    redirect = "com.example.app:/callback"
    client_id = stage.register(redirect_uris=[redirect])
    complaints: list[str] = []
    with stage.page() as page:
        page.on("console", lambda message: complaints.append(message.text))
        page.goto(stage.url(client_id, redirect_uri=redirect))
        assert "the application of com.example.app:" in page.get_by_role("main").inner_text()
        with page.expect_event("requestfailed") as failed:
            page.get_by_role("button", name="Approve").click()

        assert failed.value.url.startswith(f"{redirect}?code=")
        assert complaints == []


def test_the_page_is_not_shown_in_a_frame(stage: Stage) -> None:
    url = stage.url(stage.register())
    frame = f'<iframe src="{url.replace("&", "&amp;")}"></iframe>'
    with serve(Spy(frame.encode(), content_type="text/html")) as port, stage.page() as page:
        with page.expect_response(lambda response: response.url.startswith(stage.issuer)):
            page.goto(f"http://docs.tunnel.localhost:{port}/")
        page.wait_for_load_state()

        assert [each.url for each in page.frames if "Development" in each.content()] == []
        assert page.frames[1].url == "chrome-error://chromewebdata/"


def test_a_redirect_to_somebody_elses_page_is_not_followed(stage: Stage) -> None:
    with stage.page() as page:
        page.goto(stage.url(stage.register(), redirect_uri="http://127.0.0.1:1/evil"))

        assert "not one of those that the client has" in page.get_by_role("main").inner_text()
        assert page.get_by_role("link").count() == page.get_by_role("button").count() == 0
        keep_a_picture(page, "redirect that is not the client's")
