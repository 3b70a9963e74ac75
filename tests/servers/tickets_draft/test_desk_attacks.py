"""What somebody tries who is not the person, or who wrote what the person reads."""

import socket
import threading
from collections.abc import Generator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from sqlalchemy import select

from tests.servers.tickets_draft.test_desk_pages import (
    LIMIT,
    Browser,
    Seen,
    Stage,
    check_headers,
    person,
    staged,
)
from tests.support.postgres import Databases
from tunnelgate_servers.tickets_draft import Draft
from tunnelgate_servers.tickets_draft.models import TicketRow

FORGED = "This form cannot be accepted"


@pytest.fixture
def stage(tmp_path: Path, databases: Databases) -> Generator[Stage]:
    with staged(tmp_path, databases.new()) as running:
        yield running


def form_of(browser: Browser, stage: Stage, draft: Draft) -> dict[str, str]:
    """Return what the form of a draft holds."""
    return browser.get(stage.url(draft)).form("/submit").fields


def tickets(stage: Stage) -> list[str]:
    """Return the titles of all tickets."""
    with stage.engine.connect() as connection:
        return list(connection.execute(select(TicketRow.title).order_by(TicketRow.number)).scalars())


def check_refused(stage: Stage, reply: Seen, *drafts: Draft, status: int = 403, words: str = FORGED) -> None:
    """Check that a request was refused with a page, and that the drafts are what they were."""
    assert reply.status == status
    assert words in reply.text
    check_headers(reply.reply)
    assert tickets(stage) == []
    assert sorted(stage.of("alice") + stage.of("bob")) == sorted(each.title for each in drafts)


# --- forms that another page sends ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("origin", "site"),
    [
        pytest.param("https://evil.example", "cross-site", id="another site"),
        pytest.param("http://docs.tunnel.localhost", "same-site", id="a neighbour below the same domain"),
        pytest.param("null", "cross-site", id="a page without an origin"),
        pytest.param(None, None, id="neither header"),
        pytest.param(None, "same-origin", id="no Origin"),
        pytest.param("", "same-site", id="Origin of ours beside the site of a neighbour"),
        pytest.param("", "none", id="Origin of ours beside no site"),
        pytest.param("https://evil.example", "same-origin", id="another Origin beside a site of ours"),
    ],
)
@pytest.mark.parametrize("path", ["/submit", "/logout"])
@pytest.mark.promise("person-submits")
def test_a_form_that_another_page_sends_is_refused_with_everything_right_in_it(
    stage: Stage, path: str, origin: str | None, site: str | None
) -> None:
    draft = stage.draft()
    browser = stage.signed_in()
    fields = browser.get(stage.url(draft)).form(path).fields

    reply = browser.post(f"{stage.desk}{path}", fields, origin=origin, site=site)

    check_refused(stage, reply, draft)
    assert "Signed in as alice" in browser.get(stage.desk).text


def test_a_browser_that_does_not_say_from_which_site_a_form_is_is_believed_by_its_origin(
    stage: Stage,
) -> None:
    draft = stage.draft()
    browser = stage.signed_in()

    reply = browser.post(f"{stage.desk}/submit", form_of(browser, stage, draft), site=None)

    assert reply.status == 303
    assert tickets(stage) == [draft.title]


@pytest.mark.parametrize("path", ["/submit", "/logout"])
@pytest.mark.parametrize(
    "code",
    [
        pytest.param("0" * 64, id="made up"),
        pytest.param("logout", id="of the other form"),
        pytest.param("session", id="of another session of the same person"),
        pytest.param("bob", id="of another person"),
        pytest.param("draft", id="of another draft"),
        pytest.param("upper", id="in capitals"),
    ],
)
def test_a_form_with_the_code_of_another_one_is_refused(stage: Stage, path: str, code: str) -> None:
    draft, other, of_bob = stage.draft(), stage.draft("Another draft"), stage.draft("Of Bob", of="bob")
    browser, again, bob = stage.signed_in(), stage.signed_in(), stage.signed_in("bob")
    page = browser.get(stage.url(draft))
    fields = page.form(path).fields
    codes = {
        "logout": page.form("/logout" if path == "/submit" else "/submit").fields["code"],
        "session": again.get(stage.url(draft)).form(path).fields["code"],
        "bob": bob.get(stage.url(of_bob)).form(path).fields["code"],
        "draft": form_of(browser, stage, other)["code"],
        "upper": fields["code"].upper(),
    }

    reply = browser.post(f"{stage.desk}{path}", {**fields, "code": codes.get(code, code)})

    if code == "upper":
        check_refused(stage, reply, draft, other, of_bob, status=422, words="This request cannot be answered")
    else:
        check_refused(stage, reply, draft, other, of_bob)
    assert "Signed in as alice" in browser.get(stage.desk).text


def test_a_form_is_for_the_draft_that_it_was_shown_with(stage: Stage) -> None:
    shown, other = stage.draft("Harmless"), stage.draft("Not read")
    browser = stage.signed_in()

    reply = browser.submit(browser.get(stage.url(shown)), "/submit", id=other.id)

    check_refused(stage, reply, shown, other)


@pytest.mark.promise("person-submits")
def test_a_form_is_for_the_version_that_it_was_shown_with(stage: Stage) -> None:
    draft = stage.draft()
    browser = stage.signed_in()
    page = browser.get(stage.url(draft))
    stage.drafts.update(person(stage.issuer), draft.id, 1, body="Pay the enclosed invoice.")

    reply = browser.submit(page, "/submit", version="2")

    check_refused(stage, reply, draft)


def test_a_draft_that_changed_after_it_was_shown_is_not_submitted_and_is_read_again(stage: Stage) -> None:
    draft = stage.draft()
    browser = stage.signed_in()
    page = browser.get(stage.url(draft))
    stage.drafts.update(person(stage.issuer), draft.id, 1, body="Pay the enclosed invoice.")

    reply = browser.submit(page, "/submit")

    check_refused(stage, reply, draft, status=409, words="The draft has changed")
    again = browser.get(f"{stage.desk}{reply.links['Read the draft again']}")
    assert "Pay the enclosed invoice." in again.text
    assert browser.submit(again, "/submit").status == 303
    assert tickets(stage) == [draft.title]


def test_a_draft_that_was_discarded_after_it_was_shown_is_not_submitted(stage: Stage) -> None:
    draft = stage.draft()
    browser = stage.signed_in()
    page = browser.get(stage.url(draft))
    stage.drafts.discard(person(stage.issuer), draft.id, 1)

    check_refused(stage, browser.submit(page, "/submit"), status=404, words="There is no such draft")


def test_a_form_that_is_sent_again_leads_to_the_ticket_that_there_is(stage: Stage) -> None:
    draft = stage.draft()
    browser = stage.signed_in()
    page = browser.get(stage.url(draft))

    first, second = browser.submit(page, "/submit"), browser.submit(page, "/submit")

    assert (first.status, first.location) == (second.status, second.location) == (303, stage.url(draft))
    assert tickets(stage) == [draft.title]


def test_a_form_that_is_sent_twenty_times_at_once_makes_one_ticket(stage: Stage) -> None:
    draft = stage.draft()
    browser = stage.signed_in()
    page = browser.get(stage.url(draft))
    start = threading.Barrier(20, timeout=LIMIT)

    def submit(_: int) -> int:
        start.wait()
        return browser.submit(page, "/submit").status

    with ThreadPoolExecutor(20) as threads:
        statuses = list(threads.map(submit, range(20)))

    assert statuses == [303] * 20
    assert tickets(stage) == [draft.title]


def test_a_form_of_a_session_that_has_ended_is_refused(stage: Stage) -> None:
    draft = stage.draft()
    browser = stage.signed_in()
    page = browser.get(stage.url(draft))
    kept = {host: dict(cookies) for host, cookies in browser.cookies.items()}
    browser.submit(page, "/logout")
    browser.cookies = kept

    check_refused(stage, browser.submit(page, "/submit"), draft, words="Sign in first")


@pytest.mark.promise("person-submits")
def test_a_form_of_nobody_is_refused(stage: Stage) -> None:
    draft = stage.draft()
    fields = form_of(stage.signed_in(), stage, draft)

    check_refused(stage, Browser().post(f"{stage.desk}/submit", fields), draft, words="Sign in first")


@pytest.mark.parametrize("path", ["/submit", "/logout"])
@pytest.mark.promise("person-submits")
def test_nothing_is_submitted_by_a_link(stage: Stage, path: str) -> None:
    draft = stage.draft()
    browser = stage.signed_in()

    reply = browser.get(f"{stage.desk}{path}?{urlencode(form_of(browser, stage, draft))}")

    check_refused(stage, reply, draft, status=405, words="This request cannot be answered")
    assert reply.reply.headers["allow"] == "POST"


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"version": "1.5"}, id="a version with a fraction"),
        pytest.param({"version": "0"}, id="a version before the first"),
        pytest.param({"version": "-1"}, id="a negative version"),
        pytest.param({"version": "9" * 30}, id="a version that no database holds"),
        pytest.param({"version": "\N{ARABIC-INDIC DIGIT ONE}x"}, id="a version that is no number"),
        pytest.param({"version": ""}, id="an empty version"),
        pytest.param({"code": ""}, id="an empty code"),
        pytest.param({"code": "0" * 65}, id="a code that is too long"),
        pytest.param({"code": "\0" * 64}, id="a code of control characters"),
        pytest.param({"id": "DRF-" + "A" * 100}, id="an id that is too long"),
    ],
)
def test_a_form_that_is_not_one_of_ours_is_refused_and_not_repeated(
    stage: Stage, changed: Mapping[str, str]
) -> None:
    draft = stage.draft()
    browser = stage.signed_in()

    reply = browser.submit(browser.get(stage.url(draft)), "/submit", **changed)

    check_refused(stage, reply, draft, status=422, words="This request cannot be answered")
    assert not any(value in reply.html for value in changed.values() if len(value) > 10)


@pytest.mark.parametrize(
    ("media_type", "body", "status"),
    [
        pytest.param("application/json", b'{"id": "DRF-0"}', 422, id="JSON"),
        pytest.param("text/plain", b"id=DRF-0", 422, id="a text"),
        pytest.param("multipart/form-data", b"x", 400, id="parts without a boundary"),
        pytest.param("multipart/form-data; boundary=b", b"--b\r\nX", 422, id="a part that breaks off"),
        pytest.param(
            "multipart/form-data; boundary=b",
            b'--b\r\nContent-Disposition: form-data; name="id"; filename="f"\r\n\r\nx\r\n--b--\r\n',
            422,
            id="a file",
        ),
        pytest.param("application/x-www-form-urlencoded", b"id=%FF%FE&version=1", 422, id="no UTF-8"),
        pytest.param("application/x-www-form-urlencoded", b"a=" + b"x" * 2**14, 413, id="a huge form"),
        pytest.param("application/x-www-form-urlencoded", b"a&" * 2000, 400, id="a form of many fields"),
    ],
)
def test_a_body_that_is_no_form_of_ours_is_refused(
    stage: Stage, media_type: str, body: bytes, status: int
) -> None:
    draft = stage.draft()
    browser = stage.signed_in()

    reply = raw(stage, browser, "POST /submit", {"content-type": media_type}, body)

    assert reply.startswith(b"HTTP/1.1 %d " % status)
    assert b"content-security-policy: default-src 'none'" in reply
    assert tickets(stage) == []
    assert stage.of("alice") == [draft.title]


def test_a_huge_form_that_does_not_say_so_is_refused_while_it_is_read(stage: Stage) -> None:
    browser = stage.signed_in()
    chunk = b"400\r\n" + b"a" * 1024 + b"\r\n"

    # One octet too many, and nothing behind it that would be left unread when the connection is closed.
    body = chunk * 16 + b"1\r\na\r\n"
    reply = raw(stage, browser, "POST /submit", {"transfer-encoding": "chunked"}, body)

    assert reply.startswith(b"HTTP/1.1 400 ")


def raw(stage: Stage, browser: Browser, line: str, headers: Mapping[str, str], body: bytes = b"") -> bytes:
    """Send octets as they are, with the cookies of a browser, and return those that come back."""
    parts = urlsplit(stage.desk)
    cookies = browser.cookies.get("desk.tunnel.localhost", {})
    sent = {
        "host": parts.netloc,
        "origin": stage.desk,
        "content-type": "application/x-www-form-urlencoded",
        "cookie": "; ".join(f"{name}={value}" for name, value in cookies.items()),
        "connection": "close",
        **headers,
    }
    if "transfer-encoding" not in sent:
        sent["content-length"] = str(len(body))
    head = "".join(f"{name}: {value}\r\n" for name, value in sent.items())
    with socket.create_connection(("127.0.0.1", parts.port), timeout=LIMIT) as connection:
        connection.sendall(f"{line} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + body)
        answer = b""
        while part := connection.recv(65536):
            answer += part
    return answer


# --- drafts of others -----------------------------------------------------------------------------

IDS = [
    pytest.param("DRF-000000000000", id="an id that nobody has"),
    pytest.param("", id="no id"),
    pytest.param("TCK-1001", id="the id of a ticket"),
    pytest.param("drf-000000000000", id="an id in lower case"),
    pytest.param("DRF-00000000000\0", id="a NUL"),
    pytest.param("DRF-000000000000\r\nSet-Cookie: a=b", id="a header"),
    pytest.param("<script>alert(1)</script>", id="a script"),
    pytest.param("' OR 1=1 --", id="a condition"),
    pytest.param("//evil.example", id="another site"),
    pytest.param("\u202eDRF-000000000000", id="another direction"),
]


@pytest.mark.parametrize("draft_id", IDS)
@pytest.mark.promise("rows-by-principal")
def test_a_draft_of_somebody_else_is_answered_like_one_that_is_not_there(stage: Stage, draft_id: str) -> None:
    of_bob = stage.draft("A secret of Bob", of="bob")
    elsewhere = stage.drafts.create(
        person("https://login.example.com"), title="Of another issuer", body="x", priority="low"
    )
    browser = stage.signed_in()

    foreign = [browser.get(stage.url(each)) for each in (of_bob, elsewhere)]
    unknown = browser.get(f"{stage.desk}/draft?{urlencode({'id': draft_id})}")

    assert {each.status for each in (*foreign, unknown)} == {404}
    assert {each.html for each in (*foreign, unknown)} == {unknown.html}
    assert "There is no such draft" in unknown.text
    assert "set-cookie" not in unknown.reply.headers


def test_a_ticket_of_somebody_else_is_not_told_by_the_draft_that_it_was(stage: Stage) -> None:
    of_bob = stage.draft("A secret of Bob", of="bob")
    stage.drafts.submit(person(stage.issuer, "bob"), of_bob.id, 1)

    reply = stage.signed_in().get(stage.url(of_bob))

    assert reply.status == 404
    assert "TCK-" not in reply.text


@pytest.mark.promise("rows-by-principal")
def test_a_form_for_a_draft_of_somebody_else_is_refused(stage: Stage) -> None:
    mine, of_bob = stage.draft(), stage.draft("A secret of Bob", of="bob")
    browser, bob = stage.signed_in(), stage.signed_in("bob")
    forms = (form_of(bob, stage, of_bob), {**form_of(browser, stage, mine), "id": of_bob.id})

    for fields in forms:
        check_refused(stage, browser.post(f"{stage.desk}/submit", fields), mine, of_bob)


# --- sessions -------------------------------------------------------------------------------------


def test_a_session_that_was_planted_before_somebody_signs_in_is_not_theirs(stage: Stage) -> None:
    draft = stage.draft()
    attacker, victim = Browser(), Browser()
    attacker.get(f"{stage.desk}/login")
    victim.cookies = {host: dict(cookies) for host, cookies in attacker.cookies.items()}
    page = victim.sign_in(f"{stage.desk}/login?id={draft.id}")

    assert draft.title in page.text
    assert attacker.get(stage.url(draft)).status == 403
    assert "Sign in" in attacker.get(stage.desk).text


def test_each_sign_in_is_a_session_of_its_own_and_ends_the_one_before(stage: Stage) -> None:
    browser = stage.signed_in()
    before = Browser()
    before.cookies = {host: dict(cookies) for host, cookies in browser.cookies.items()}

    page = browser.sign_in(f"{stage.desk}/login", "bob")

    assert "Signed in as bob" in page.text
    assert "Sign in" in before.get(stage.desk).text


@pytest.mark.parametrize(
    "cookie",
    [
        pytest.param("", id="an empty one"),
        pytest.param("e30=.aaaaaa.bbbb", id="one with a signature of nobody"),
        pytest.param("\xff\xfe", id="one that is not ASCII"),
        pytest.param("a" * 4000, id="a long one"),
    ],
)
def test_a_session_that_is_not_signed_is_none(stage: Stage, cookie: str) -> None:
    reply = raw(stage, Browser(), "GET /", {"cookie": f"desk={cookie}"})

    assert reply.startswith(b"HTTP/1.1 200 ")
    assert b"Submit your drafts" in reply


def test_a_session_that_was_changed_is_none(stage: Stage) -> None:
    browser = stage.signed_in()
    cookies = browser.cookies["desk.tunnel.localhost"]
    content, _, signature = cookies["desk"].partition(".")
    cookies["desk"] = f"{content[:-8]}AAAAAAAA.{signature}"

    assert "Submit your drafts" in browser.get(stage.desk).text


# --- answers of the issuer that somebody else has got ---------------------------------------------


def test_an_answer_that_somebody_else_got_signs_nobody_in(stage: Stage) -> None:
    """Who could send a victim their own answer would read what the victim does in their name."""
    mallory, victim = Browser(), Browser()
    stolen = mallory.answered(f"{stage.desk}/login", "mallory").location

    without_session = victim.get(stolen)
    victim.get(f"{stage.desk}/login")
    with_a_login_of_its_own = victim.get(stolen)

    for reply in (without_session, with_a_login_of_its_own):
        assert reply.status == 403
        assert "You are not signed in" in reply.text
        assert "you might act in their name" in reply.text
    assert "Sign in" in victim.get(stage.desk).text
    assert mallory.follow(mallory.get(stolen)).text.count("Signed in as mallory") == 1


def test_an_answer_of_somebody_else_leaves_the_login_that_is_under_way_alone(stage: Stage) -> None:
    stolen = Browser().answered(f"{stage.desk}/login", "mallory").location
    victim = Browser()
    answer = victim.answered(f"{stage.desk}/login", "alice")
    victim.get(stolen)

    assert "Signed in as alice" in victim.follow(answer).text


def test_the_code_of_somebody_else_beside_the_own_state_signs_nobody_in(stage: Stage) -> None:
    """The code was made for another challenge."""
    stolen = parse_qs(urlsplit(Browser().answered(f"{stage.desk}/login", "bob").location).query)
    attacker = Browser()
    own = parse_qs(urlsplit(attacker.answered(f"{stage.desk}/login", "mallory").location).query)
    query = urlencode({"code": stolen["code"][0], "state": own["state"][0], "iss": own["iss"][0]})

    reply = attacker.get(f"{stage.desk}/callback?{query}")

    assert reply.status == 403
    assert "was used before, or it is too old" in reply.text


def test_an_answer_is_good_once(stage: Stage) -> None:
    browser = Browser()
    answer = browser.answered(f"{stage.desk}/login").location
    before = {host: dict(cookies) for host, cookies in browser.cookies.items()}
    assert "Signed in as alice" in browser.follow(browser.get(answer)).text
    thief = Browser()
    thief.cookies = before

    assert browser.get(answer).status == thief.get(answer).status == 403


@pytest.mark.parametrize(
    "query",
    [
        pytest.param({"id": "https://evil.example"}, id="a URL for a draft"),
        pytest.param({"id": "//evil.example"}, id="a host for a draft"),
        pytest.param({"id": "DRF-000000000000\r\nLocation: https://evil.example"}, id="a header"),
        pytest.param({"id": "DRF-000000000000@evil.example"}, id="an id that goes on"),
        pytest.param(
            {"next": "https://evil.example", "redirect_uri": "https://evil.example"}, id="other names"
        ),
    ],
)
def test_who_signs_in_is_led_to_no_other_site(stage: Stage, query: Mapping[str, str]) -> None:
    browser = Browser()
    to_issuer = browser.get(f"{stage.desk}/login?{urlencode(query)}")
    page = browser.sign_in(f"{stage.desk}/login?{urlencode(query)}")

    assert "evil" not in to_issuer.location
    assert parse_qs(urlsplit(to_issuer.location).query)["redirect_uri"] == [f"{stage.desk}/callback"]
    assert page.url == f"{stage.desk}/"


# --- texts that somebody else wrote ---------------------------------------------------------------

TEXTS = [
    pytest.param("<script>alert(1)</script>", id="a script"),
    pytest.param('"><img src=x onerror=alert(1)>', id="an attribute that ends"),
    pytest.param("' onmouseover='alert(1)", id="an attribute in other quotes"),
    pytest.param("</title><h1>Signed in as mallory</h1>", id="other elements"),
    pytest.param("{{ 7 * 7 }} {% include 'base.html' %} ${7 * 7}", id="a template"),
    pytest.param("&lt;b&gt; &amp;", id="references to characters"),
    pytest.param("javascript:alert(1) https://evil.example", id="URLs"),
]


@pytest.mark.parametrize("content", TEXTS)
def test_a_text_of_a_draft_is_shown_as_it_is(stage: Stage, content: str) -> None:
    draft = stage.draft(content, body=content)
    browser = stage.signed_in()

    page, listed = browser.get(stage.url(draft)), browser.get(stage.desk)

    assert page.text.count(content) == 2
    assert listed.text.count(content) == 1
    assert list(page.links.values()) == ["#main", "/", "/"]
    for each in (page, listed):
        assert "<script" not in each.html
        assert "<img" not in each.html
        assert each.reply.headers.get_list("set-cookie") == []
        check_headers(each.reply)


def test_a_text_of_a_draft_makes_no_header(stage: Stage) -> None:
    content = "x\r\nSet-Cookie: desk=evil"
    draft = stage.draft(content, body=content)

    page = stage.signed_in().get(stage.url(draft))

    assert "set-cookie" not in page.reply.headers
    assert "xU+000D U+000ASet-Cookie: desk=evil" in page.text
    assert "xU+000D\nSet-Cookie: desk=evil" in page.text


@pytest.mark.parametrize("name", ["a+b@example.com", "Anna-Lena_1"])
def test_the_name_of_a_person_is_shown_as_it_is(stage: Stage, name: str) -> None:
    browser = Browser()
    page = browser.follow(browser.get(f"{stage.desk}/login"))
    answer = browser.submit(page, "authorize", other=name, decision="approve")

    assert f"Signed in as {name}" in browser.follow(answer).text


def test_a_person_who_denies_is_not_signed_in(stage: Stage) -> None:
    browser = Browser()

    reply = browser.follow(browser.answered(f"{stage.desk}/login", decision="deny"))

    assert reply.status == 403
    assert "You did not allow this page to know who you are." in reply.text
    assert "Sign in" in browser.get(stage.desk).text
