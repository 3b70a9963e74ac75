"""The desk with a real issuer: a person signs in, reads what a program drafted, and submits it."""

import ssl
import time
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx2
import pytest
from anyio.from_thread import start_blocking_portal
from fastapi import FastAPI
from sqlalchemy import Engine, select, text

from tests.support.asgi import Spy
from tests.support.audit import Records
from tests.support.postgres import Databases
from tests.support.servers import serve
from tests.support.tokens import Clock
from tunnelgate import Policy, Principal
from tunnelgate.asgi import ASGIApp, Receive, Scope, Send
from tunnelgate_app.gateway import create_gateway
from tunnelgate_app.issuer import SigningKey, create_app
from tunnelgate_servers.hosting import migrate, open_writer, read_url
from tunnelgate_servers.tickets_draft import Draft, Drafts
from tunnelgate_servers.tickets_draft.desk import create_desk
from tunnelgate_servers.tickets_draft.desk.guarding import HEADERS
from tunnelgate_servers.tickets_draft.desk.sessions import LIFETIME
from tunnelgate_servers.tickets_draft.models import ChangeRow
from tunnelgate_servers.tickets_draft.tickets import Tickets

PACKAGE = "tunnelgate_servers.tickets_draft"
CLIENT_ID = "desk"
SECRET = "s3cret-of-the-desk"
SCOPE = "tickets:submit"
KEY = SigningKey.generate()
PATHS = ("/", "/draft", "/submit", "/login", "/callback", "/logout", "/desk.css", "/healthz")
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # which is quicker to make than one that is of use
LIMIT = 30  # seconds that an answer may take


class Later:
    """Stands where an application will be once the port is known that it has to know."""

    def __init__(self) -> None:
        self.app: ASGIApp = Spy()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)


@dataclass
class PageForm:
    """A form as it stands in a page."""

    action: str
    method: str
    fields: dict[str, str] = field(default_factory=dict[str, str])


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.forms: list[PageForm] = []
        self.links: dict[str, str] = {}
        self.text = ""
        self._link = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.forms.append(PageForm(attributes["action"], attributes["method"]))
        elif tag == "input" and (attributes["type"] in ("hidden", "text") or "checked" in attributes):
            self.forms[-1].fields[attributes["name"]] = attributes.get("value", "")
        elif tag == "a":
            self._link = attributes["href"]

    def handle_endtag(self, tag: str) -> None:
        if tag == "a":
            self._link = ""

    def handle_data(self, data: str) -> None:
        self.text += data
        if self._link:
            self.links[data] = self._link


@dataclass(frozen=True)
class Seen:
    """What a browser got."""

    url: str
    reply: httpx2.Response

    @property
    def status(self) -> int:
        return self.reply.status_code

    @property
    def html(self) -> str:
        return self.reply.text

    @property
    def text(self) -> str:
        return self._read().text

    @property
    def links(self) -> dict[str, str]:
        return self._read().links

    @property
    def location(self) -> str:
        return urljoin(self.url, self.reply.headers["location"])

    def form(self, action: str) -> PageForm:
        (found,) = [each for each in self._read().forms if each.action == action]
        return found

    def _read(self) -> _Reader:
        reader = _Reader()
        reader.feed(self.html)
        return reader


class Browser:
    """A browser without a window: it keeps the cookies of each host, and says where a form comes from.

    `ports` are where hosts are reached that are not where their URLs say, as behind a proxy.
    """

    def __init__(self, ports: Mapping[str, int] | None = None) -> None:
        self.cookies: dict[str, dict[str, str]] = {}
        self._ports = ports or {}

    def get(self, url: str, **headers: str) -> Seen:
        return self._send("GET", url, headers)

    def post(
        self,
        url: str,
        fields: Mapping[str, str],
        *,
        origin: str | None = "",
        site: str | None = "same-origin",
    ) -> Seen:
        """Post a form, by default as from a page of the same site; `None` leaves a header out."""
        parts = urlsplit(url)
        headers = {"origin": origin or f"{parts.scheme}://{parts.netloc}", "sec-fetch-site": site or ""}
        kept = {
            name: value
            for name, value in headers.items()
            if (name == "origin" and origin is not None) or (name == "sec-fetch-site" and site is not None)
        }
        return self._send("POST", url, kept, fields)

    def submit(self, seen: Seen, action: str, **changed: str) -> Seen:
        """Post a form of a page that was seen, with what is changed in it."""
        form = seen.form(action)
        assert form.method == "post"
        return self.post(urljoin(seen.url, action), {**form.fields, **changed})

    def follow(self, seen: Seen) -> Seen:
        """Go where a page leads, until it is one that stays."""
        for _ in range(10):
            if seen.status != 303:
                return seen
            seen = self.get(seen.location)
        raise AssertionError(f"it leads on and on: {seen.url}")

    def sign_in(self, start: str, user: str = "alice") -> Seen:
        """Sign in as `user` at the issuer, and return the page after that."""
        return self.follow(self.answered(start, user))

    def answered(self, start: str, user: str = "alice", decision: str = "approve") -> Seen:
        """Sign in at the issuer, and return its answer, which leads back to where the browser came from."""
        page = self.follow(self.get(start))
        return self.submit(page, "authorize", user=user, decision=decision)

    def _send(
        self, method: str, url: str, headers: Mapping[str, str], fields: Mapping[str, str] | None = None
    ) -> Seen:
        parts = urlsplit(url)
        host = str(parts.hostname)
        cookies = self.cookies.setdefault(host, {})
        sent = {"host": parts.netloc, **headers}
        if cookies:
            sent["cookie"] = "; ".join(f"{name}={value}" for name, value in cookies.items())
        port = self._ports.get(parts.netloc, parts.port)
        local = parts._replace(netloc=f"127.0.0.1:{port}").geturl()
        with httpx2.Client(trust_env=False, timeout=LIMIT, verify=NO_TLS) as http:
            reply = http.request(method, local, headers=sent, data=fields)
        for cookie in reply.headers.get_list("set-cookie"):
            (name, _, value), *attributes = (each.partition("=") for each in cookie.split("; "))
            cookies.pop(name, None)
            if not any(each[0].lower() == "expires" for each in attributes):
                cookies[name] = value
        return Seen(url, reply)


def person(issuer: str, subject: str = "alice", client_id: str = "agent") -> Principal:
    return Principal(issuer, subject, client_id, frozenset({"tickets:draft"}), {})


@dataclass
class Stage:
    """A desk and an issuer that run, and the drafts in the database between."""

    desk: str
    issuer: str
    engine: Engine
    drafts: Drafts
    clock: Clock
    options: Mapping[str, Any]

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.clock(), UTC)

    def draft(self, title: str = "The printer is on fire", *, of: str = "alice", **content: Any) -> Draft:
        """Draft a ticket, as a program does on somebody's behalf."""
        given: dict[str, Any] = {"body": "Third floor, next to the kitchen.", "priority": "high", **content}
        return self.drafts.create(person(self.issuer, of), title=title, **given)

    def url(self, draft: Draft) -> str:
        return f"{self.desk}/draft?id={draft.id}"

    def another(self, **changed: Any) -> FastAPI:
        """Return another desk for the same drafts, which differs in these options."""
        return create_desk(**{**self.options, **changed})

    def of(self, subject: str) -> list[str]:
        """Return the titles of somebody's drafts."""
        return [each.title for each in self.drafts.of(person(self.issuer, subject))]

    def signed_in(self, user: str = "alice") -> Browser:
        """Return a browser in which somebody is signed in."""
        browser = Browser()
        page = browser.sign_in(f"{self.desk}/login", user)
        assert f"Signed in as {user}" in page.text
        return browser


@contextmanager
def staged(folder: Path, database: str, **changed: Any) -> Generator[Stage]:
    """Run a desk and an issuer on names of this machine; `changed` are other options of the desk."""
    engine = open_writer(read_url(database))
    migrate(engine, PACKAGE)
    clock = Clock()
    at_issuer, at_desk = Later(), Later()
    with ExitStack() as stack:
        stack.callback(engine.dispose)
        issuer = f"http://login.tunnel.localhost:{stack.enter_context(serve(at_issuer))}"
        desk = f"http://desk.tunnel.localhost:{stack.enter_context(serve(at_desk))}"
        at_issuer.app = issuer_of(desk, issuer, folder / "key.json", clock)
        options: dict[str, Any] = {
            "database": database,
            "issuer": issuer,
            "client_id": CLIENT_ID,
            "client_secret": SECRET,
            "public_url": desk,
            "resource": desk,
            "oauth": {"issuers": [{"issuer": issuer}], "allowed_ips": ["127.0.0.1", "::1"]},
            "clock": lambda: datetime.fromtimestamp(clock(), UTC),
            **changed,
        }
        app = create_desk(**options)
        stack.enter_context(living(app))
        at_desk.app = app
        yield Stage(desk, issuer, engine, Drafts(engine), clock, options)


def issuer_of(desk: str, issuer: str, key_file: Path, clock: Clock) -> ASGIApp:
    """Return an issuer at which people sign in to the desk."""
    KEY.write(key_file)
    client = {
        "client_id": CLIENT_ID,
        "client_secret": SECRET,
        "redirect_uris": [f"{desk}/callback"],
        "name": "Tickets desk",
    }
    return create_app(
        issuer=issuer,
        key_file=key_file,
        client_id="demo",
        client_secret="s3cret",
        resources={desk: [SCOPE], "http://tickets.tunnel.localhost/mcp": ["tickets:draft"]},
        clients=[client],
        clock=clock,
    )


@contextmanager
def living(app: FastAPI) -> Generator[None]:
    """Run the lifespan of an application whose server was there before it."""
    with start_blocking_portal() as portal:
        lifespan = app.router.lifespan_context(app)
        with portal.wrap_async_context_manager(lifespan):
            yield


@pytest.fixture
def stage(tmp_path: Path, databases: Databases) -> Generator[Stage]:
    with staged(tmp_path, databases.new()) as running:
        yield running


@pytest.mark.promise("person-submits")
def test_a_person_signs_in_reads_a_draft_and_submits_it(stage: Stage) -> None:
    draft = stage.draft()
    browser = Browser()

    first = browser.get(stage.url(draft))
    page = browser.sign_in(urljoin(stage.desk, first.links["Sign in"]))
    submitted = browser.submit(page, "/submit")
    last = browser.follow(submitted)

    assert (first.status, page.status, page.url) == (403, 200, stage.url(draft))
    assert draft.title not in first.text
    assert draft.title in page.text
    assert "Third floor, next to the kitchen." in page.text
    assert "A program wrote this on your behalf." in page.text
    assert (submitted.status, submitted.location) == (303, stage.url(draft))
    (ticket,) = [each for each in last.text.split() if each.startswith("TCK-") and each.endswith(".")]
    made = Tickets(stage.engine).read(ticket.rstrip("."))
    assert (made.title, made.body, made.priority) == (draft.title, draft.body, "high")
    assert (made.requester, made.state) == ("alice", "open")
    assert stage.of("alice") == []


def test_the_audit_says_who_submitted_and_by_which_page(stage: Stage) -> None:
    draft = stage.draft()
    browser = stage.signed_in()
    browser.submit(browser.get(stage.url(draft)), "/submit")

    with stage.engine.connect() as connection:
        asked = select(ChangeRow.issuer, ChangeRow.subject, ChangeRow.client_id, ChangeRow.from_version)
        (entry,) = connection.execute(asked.where(ChangeRow.action == "submit", ChangeRow.item == draft.id))

    assert tuple(entry) == (stage.issuer, "alice", CLIENT_ID, 1)


def test_a_draft_that_was_submitted_says_which_ticket_it_is_from_then_on(stage: Stage) -> None:
    draft = stage.draft()
    browser = stage.signed_in()
    said = browser.follow(browser.submit(browser.get(stage.url(draft)), "/submit")).text

    assert stage.signed_in().get(stage.url(draft)).text == said


def test_a_person_sees_the_drafts_that_are_theirs_and_no_others(stage: Stage) -> None:
    mine, newer = stage.draft("The printer prints twice"), stage.draft("The lift is stuck")
    stage.draft("A secret of Bob", of="bob")
    stage.drafts.create(person("https://login.example.com"), title="Another Alice", body="x", priority="low")

    page = stage.signed_in().get(stage.desk)

    assert page.links["The printer prints twice"] == f"/draft?id={mine.id}"
    assert page.links["The lift is stuck"] == f"/draft?id={newer.id}"
    assert "Bob" not in page.text
    assert "Another Alice" not in page.text


def test_a_person_without_drafts_is_told_so(stage: Stage) -> None:
    assert "You have no drafts." in stage.signed_in().get(stage.desk).text


def test_nobody_sees_a_draft_before_they_sign_in(stage: Stage) -> None:
    stage.draft()
    page = Browser().get(stage.desk)

    assert page.status == 200
    assert "printer" not in page.text
    assert page.links["Sign in"] == "/login"


def test_who_signs_out_is_signed_out_and_a_copy_of_their_session_as_well(stage: Stage) -> None:
    draft = stage.draft()
    browser = stage.signed_in()
    thief = Browser()
    thief.cookies = {host: dict(cookies) for host, cookies in browser.cookies.items()}
    assert thief.get(stage.url(draft)).status == 200

    left = browser.submit(browser.get(stage.desk), "/logout")

    assert (left.status, left.location) == (303, f"{stage.desk}/")
    assert browser.cookies["desk.tunnel.localhost"] == {}
    assert browser.get(stage.url(draft)).status == thief.get(stage.url(draft)).status == 403


def test_who_is_not_signed_in_signs_out_to_no_effect(stage: Stage) -> None:
    reply = Browser().post(f"{stage.desk}/logout", {"code": "0" * 64})

    assert (reply.status, reply.location) == (303, f"{stage.desk}/")


def test_a_session_ends_after_half_an_hour_although_it_was_used(stage: Stage) -> None:
    draft = stage.draft()
    browser = stage.signed_in()
    for _ in range(2):
        stage.clock.now += 14 * 60
        assert browser.get(stage.url(draft)).status == 200
        browser.get(f"{stage.desk}/login")  # which sets the cookie anew
    stage.clock.now += 60
    page = browser.get(stage.url(draft))
    stage.clock.now += 60
    refused = browser.submit(page, "/submit")

    assert (page.status, refused.status) == (200, 403)
    assert refused.links["Sign in"] == f"/login?id={draft.id}"
    assert stage.of("alice") == [draft.title]


def test_a_cookie_is_no_longer_read_half_an_hour_after_it_was_set(stage: Stage) -> None:
    browser = stage.signed_in()
    stage.clock.now += LIFETIME
    on_time = browser.get(stage.desk).text
    stage.clock.now += 1

    assert "Sign in" in on_time
    assert browser.get(stage.desk).text == on_time


@pytest.mark.parametrize(
    ("files", "is_kept"),
    [
        pytest.param(("key", "key"), True, id="two desks with the same key"),
        pytest.param(("key", "other key"), False, id="two desks with a key each"),
        pytest.param((None, None), False, id="two desks without a file"),
    ],
)
def test_a_desk_knows_the_sessions_of_another_one_with_the_same_key(
    tmp_path: Path, databases: Databases, files: tuple[str | None, str | None], is_kept: Any
) -> None:
    (tmp_path / "key").write_bytes(b"k" * 32 + b"\n")
    (tmp_path / "other key").write_bytes(b"o" * 32)
    first, second = (None if each is None else tmp_path / each for each in files)
    with staged(tmp_path, databases.new(), session_key_file=first) as stage:
        draft = stage.draft()
        browser = stage.signed_in()
        form = browser.get(stage.url(draft)).form("/submit").fields
        again = stage.another(session_key_file=second)
        with serve(again) as port:
            elsewhere = Browser({urlsplit(stage.desk).netloc: port})
            elsewhere.cookies = browser.cookies
            page = elsewhere.get(stage.desk)
            reply = elsewhere.post(f"{stage.desk}/submit", form)

    assert ("Signed in as alice" in page.text) is is_kept
    assert reply.status == (303 if is_kept else 403)


@pytest.mark.parametrize("url", ["https://desk.example.com", "https://Desk.Example.com:443/"])
def test_over_tls_the_cookie_is_for_this_very_host_and_for_tls_alone(stage: Stage, url: str) -> None:
    app = stage.another(public_url=url)
    with serve(app) as port:  # behind a proxy that has taken TLS away
        reply = Browser({"desk.example.com": port}).get("http://desk.example.com/login").reply

    (cookie,) = reply.headers.get_list("set-cookie")
    name, _, rest = cookie.partition("=")
    attributes = {each.lower() for each in rest.split("; ")[1:]}
    assert name == "__Host-desk"
    assert attributes == {"path=/", "max-age=1800", "httponly", "samesite=lax", "secure"}
    assert "redirect_uri=https%3A%2F%2F" in reply.headers["location"]


def test_on_this_machine_the_cookie_is_one_that_no_script_can_read(stage: Stage) -> None:
    reply = Browser().get(f"{stage.desk}/login").reply

    (cookie,) = reply.headers.get_list("set-cookie")
    name, _, rest = cookie.partition("=")
    attributes = {each.lower() for each in rest.split("; ")[1:]}
    assert name == "desk"
    assert attributes == {"path=/", "max-age=1800", "httponly", "samesite=lax"}


ANSWERS = [
    pytest.param("GET", "/", {}, 200, id="the first page"),
    pytest.param("GET", "/desk.css", {}, 200, id="the style"),
    pytest.param("GET", "/healthz", {}, 200, id="the health"),
    pytest.param("GET", "/login", {}, 303, id="a way to the issuer"),
    pytest.param("GET", "/callback", {}, 403, id="an answer that nobody asked for"),
    pytest.param("GET", "/draft", {}, 403, id="a draft of nobody"),
    pytest.param("GET", "/draft?id=" + "x" * 101, {}, 422, id="an id that is too long"),
    pytest.param("GET", "/submit", {}, 405, id="submitting without a form"),
    pytest.param("POST", "/submit", {}, 422, id="submitting with an empty form"),
    pytest.param("GET", "/nowhere", {}, 404, id="a path that is not there"),
    pytest.param("GET", "/draft/", {}, 404, id="a path with a slash at its end"),
    pytest.param("GET", "/docs", {}, 404, id="no documentation"),
    pytest.param("GET", "/openapi.json", {}, 404, id="no schema"),
    pytest.param("GET", "/", {"host": "evil.example"}, 421, id="another host"),
    pytest.param("PUT", "/", {}, 405, id="a method that browsers do not use"),
    pytest.param("GET", "/%2e%2e/etc", {}, 400, id="a path with two readings"),
]


@pytest.mark.parametrize(("method", "path", "headers", "status"), ANSWERS)
def test_every_answer_has_the_headers_that_protect_it(
    stage: Stage, method: str, path: str, headers: dict[str, str], status: int
) -> None:
    port = urlsplit(stage.desk).port
    host = {"host": urlsplit(stage.desk).netloc, **headers}
    with httpx2.Client(trust_env=False, timeout=LIMIT, verify=NO_TLS) as http:
        reply = http.request(method, f"http://127.0.0.1:{port}{path}", headers=host)

    assert reply.status_code == status
    check_headers(reply)
    assert "evil.example" not in reply.text


def check_headers(reply: httpx2.Response) -> None:
    assert {name: reply.headers.get_list(name) for name in HEADERS} == {
        "cache-control": ["no-store"],
        "content-security-policy": [
            (
                "default-src 'none'; style-src 'self'; form-action 'self'; "
                "frame-ancestors 'none'; base-uri 'none'"
            )
        ],
        "cross-origin-resource-policy": ["same-origin"],
        "referrer-policy": ["same-origin"],
        "x-content-type-options": ["nosniff"],
        "x-frame-options": ["DENY"],
    }


class Stopped(Exception):
    """What a clock raises that has stopped."""


def test_a_failure_that_nobody_thought_of_is_a_page_that_says_nothing_of_it(stage: Stage) -> None:
    def stopped() -> datetime:
        raise Stopped("of the clock in /srv/secret")

    app = stage.another(clock=stopped)
    with serve(app) as port:
        reply = Browser({urlsplit(stage.desk).netloc: port}).get(f"{stage.desk}/login")

    assert reply.status == 500
    check_headers(reply.reply)
    assert "Something went wrong" in reply.text
    assert "secret" not in reply.html


def test_drafts_that_cannot_be_read_are_a_page_that_says_so(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    draft = stage.draft()
    browser = stage.signed_in()
    page = browser.get(stage.url(draft))
    with stage.engine.begin() as connection:
        connection.execute(text("ALTER TABLE drafts RENAME TO gone"))

    seen = [browser.get(stage.desk), browser.get(stage.url(draft)), browser.submit(page, "/submit")]

    for each in seen:
        assert each.status == 503
        assert "The desk is not available" in each.text
        assert "gone" not in each.html
        check_headers(each.reply)
    assert caplog.text.count("A page could not be had") == len(seen)
    health = Browser().get(f"{stage.desk}/healthz")
    assert (health.status, health.reply.json()) == (503, {"status": "unavailable"})


def test_the_health_is_told_under_any_name(stage: Stage) -> None:
    health = Browser().get(f"http://10.1.2.3:{urlsplit(stage.desk).port}/healthz")

    assert (health.status, health.reply.json()) == (200, {"status": "ok"})


@pytest.mark.parametrize(
    ("host", "status"),
    [
        pytest.param("desk.tunnel.localhost:PORT", 200, id="where people find it"),
        pytest.param("DESK.tunnel.localhost:PORT", 200, id="in another case"),
        pytest.param("desk.internal", 200, id="a name that is allowed"),
        pytest.param("pod.internal:8000", 200, id="any port of a name with any port"),
        pytest.param("desk.internal:8000", 421, id="a port of a name without one"),
        pytest.param("pod.internal", 421, id="no port of a name with one"),
        pytest.param("desk.tunnel.localhost", 421, id="another port than that of people"),
        pytest.param("evil.example", 421, id="another name"),
        pytest.param("desk.internal.evil.example", 421, id="a name that begins like one"),
        pytest.param("127.0.0.1:PORT", 421, id="an address that is not allowed"),
    ],
)
def test_a_host_is_answered_when_it_is_listed(
    tmp_path: Path, databases: Databases, host: str, status: int
) -> None:
    listed = ["desk.internal", "Pod.internal:*"]
    with staged(tmp_path, databases.new(), allowed_hosts=listed) as stage:
        port = urlsplit(stage.desk).port
        with httpx2.Client(trust_env=False, timeout=LIMIT, verify=NO_TLS) as http:
            named = {"host": host.replace("PORT", str(port))}
            reply = http.get(f"http://127.0.0.1:{port}/", headers=named)

    assert reply.status_code == status


def test_the_schema_names_every_path_and_what_is_answered_there(stage: Stage) -> None:
    app = stage.another()
    with living(app):
        schema = app.openapi()

    answers = {
        (method, path): sorted(operation["responses"])
        for path, operations in schema["paths"].items()
        for method, operation in operations.items()
    }
    always = {"400", "413", "421", "431", "500"}
    assert {key: sorted(set(found) - always) for key, found in answers.items()} == {
        ("get", "/"): ["200", "503"],
        ("get", "/draft"): ["200", "403", "404", "422", "503"],
        ("post", "/submit"): ["303", "403", "404", "409", "422", "503"],
        ("get", "/login"): ["303", "422", "503"],
        ("get", "/callback"): ["303", "403", "422", "503"],
        ("post", "/logout"): ["303", "403", "422"],
        ("get", "/desk.css"): ["200"],
        ("get", "/healthz"): ["200", "503"],
    }
    assert all(always <= set(found) for found in answers.values())
    assert "HTTPValidationError" not in str(schema)
    form = schema["paths"]["/submit"]["post"]["requestBody"]["content"]
    assert list(form) == ["application/x-www-form-urlencoded"]
    contents = {
        path: list(schema["paths"][path]["get"]["responses"]["200"]["content"])
        for path in ("/", "/draft", "/desk.css", "/healthz")
    }
    assert contents == {
        "/": ["text/html"],
        "/draft": ["text/html"],
        "/desk.css": ["text/css"],
        "/healthz": ["application/json"],
    }
    assert "content" not in schema["paths"]["/submit"]["post"]["responses"]["303"]


def test_the_desk_works_as_the_application_of_a_route(tmp_path: Path, databases: Databases) -> None:
    database = databases.new()
    engine = open_writer(read_url(database))
    migrate(engine, PACKAGE)
    drafts, desk, clock = Drafts(engine), "http://desk.tunnel.localhost", Clock(time.time())
    at_issuer = Later()
    with ExitStack() as stack:
        stack.callback(engine.dispose)
        issuer = f"http://login.tunnel.localhost:{stack.enter_context(serve(at_issuer))}"
        at_issuer.app = issuer_of(desk, issuer, tmp_path / "key.json", clock)
        route = {
            "mount": "tunnelgate_servers.tickets_draft:create_desk",
            "options": {
                "database": database,
                "issuer": issuer,
                "client_id": CLIENT_ID,
                "client_secret": SECRET,
                "public_url": desk,
                "resource": desk,
                "oauth": {"issuers": [{"issuer": issuer}], "allowed_ips": ["127.0.0.1", "::1"]},
            },
            "public_paths": list(PATHS),
        }
        policy = Policy.from_mapping(
            {"clients": {"allowed_ips": ["127.0.0.0/8"]}, "routes": {"desk.tunnel.localhost": route}}
        )
        records = Records()
        gate = stack.enter_context(serve(create_gateway(policy, audit=records)))
        draft = drafts.create(person(issuer), title="Through the gate", body="x", priority="low")
        browser = Browser({"desk.tunnel.localhost": gate})
        page = browser.sign_in(f"{desk}/login?id={draft.id}")
        submitted = browser.follow(browser.submit(page, "/submit"))
        style = browser.get(f"{desk}/desk.css")
        elsewhere = browser.get(f"{desk}/mcp")

    assert "Your draft is ticket TCK-" in submitted.text
    assert style.reply.headers["content-type"] == "text/css; charset=utf-8"
    assert elsewhere.status == 404
    assert {verdict for verdict, _ in records.verdicts} == {"allow", "deny"}
