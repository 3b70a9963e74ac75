from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.app.issuer.browsing import Browser, Page, sent_to
from tests.app.issuer.flows import (
    CLIENT_ID,
    DOCS,
    ISSUER,
    REDIRECT,
    TICKETS,
    VERIFIER,
    Issuer,
    authorization_url,
)
from tunnelgate_app.issuer.consent import LIFETIME

pytestmark = pytest.mark.anyio
CODE_LENGTH = 48


@pytest.fixture
def issuer(tmp_path: Path) -> Issuer:
    return Issuer(tmp_path)


async def test_the_page_says_what_it_is_and_everything_that_a_user_has_to_know(issuer: Issuer) -> None:
    client = await issuer.registered()

    page = await issuer.ask(client["client_id"], scope="docs:read docs:full")

    assert (page.reply.status, page.reply.header("content-type")) == (200, "text/html; charset=utf-8")
    for text in ("Development issuer", "Inspector", client["client_id"], DOCS, "127.0.0.1:4567"):
        assert text in page.text
    assert [each["value"] for each in page.of("user")] == ["alice", "bob"]
    assert page.ticked("user") == ["alice"]
    assert page.ticked("scope") == ["docs:read", "docs:full"]
    assert [each["value"] for each in page.of("decision")] == ["approve", "deny"]


async def test_a_client_that_has_no_name_is_called_that(issuer: Issuer) -> None:
    client = await issuer.registered(client_name=...)

    page = await issuer.ask(client["client_id"])

    assert "a client without a name" in page.text


async def test_who_approves_comes_back_with_a_code_the_state_and_the_issuer(issuer: Issuer) -> None:
    client = await issuer.registered()
    browser = Browser(issuer.send)

    answer = await browser.submit(await browser.open(authorization_url(client["client_id"])))

    uri, query = sent_to(answer.reply)
    assert (uri, set(query)) == (REDIRECT, {"code", "state", "iss"})
    assert (query["state"], query["iss"], len(query["code"])) == ("the state", ISSUER, CODE_LENGTH)
    assert answer.reply.header("cache-control") == "no-store"


async def test_who_denies_comes_back_with_that_and_no_code(issuer: Issuer) -> None:
    client = await issuer.registered()
    browser = Browser(issuer.send)

    answer = await browser.submit(await browser.open(authorization_url(client["client_id"])), decision="deny")

    uri, query = sent_to(answer.reply)
    assert (uri, query["error"], query["state"], query["iss"]) == (
        REDIRECT,
        "access_denied",
        "the state",
        ISSUER,
    )
    assert "code" not in query


async def test_a_form_without_a_decision_is_a_denial(issuer: Issuer) -> None:
    client = await issuer.registered()
    browser = Browser(issuer.send)

    answer = await browser.submit(await browser.open(authorization_url(client["client_id"])), decision="")

    assert sent_to(answer.reply)[1]["error"] == "access_denied"


@pytest.mark.parametrize(
    ("parameters", "error"),
    [
        pytest.param({"response_type": "token"}, "unsupported_response_type", id="the implicit grant"),
        pytest.param({"response_type": None}, "unsupported_response_type", id="no response type"),
        pytest.param({"code_challenge": None}, "invalid_request", id="no challenge"),
        pytest.param(
            {"code_challenge": None, "code_challenge_method": None}, "invalid_request", id="no PKCE at all"
        ),
        pytest.param({"code_challenge_method": None}, "invalid_request", id="no method, which means plain"),
        pytest.param({"code_challenge_method": "plain"}, "invalid_request", id="plain"),
        pytest.param({"code_challenge_method": "s256"}, "invalid_request", id="S256 in small letters"),
        pytest.param({"code_challenge": "c" * 42}, "invalid_request", id="a challenge that is too short"),
        pytest.param(
            {"code_challenge": "c" * 42 + "%"}, "invalid_request", id="a challenge of other letters"
        ),
        pytest.param({"resource": None}, "invalid_target", id="no resource"),
        pytest.param({"resource": ""}, "invalid_target", id="an empty resource"),
        pytest.param({"resource": f"{DOCS}/"}, "invalid_target", id="nearly a resource"),
        pytest.param({"resource": "http://evil.example/mcp"}, "invalid_target", id="an unknown resource"),
        pytest.param({"scope": "docs:read admin"}, "invalid_scope", id="a scope that nobody offers"),
        pytest.param({"scope": "tickets:read"}, "invalid_scope", id="a scope of another resource"),
    ],
)
async def test_a_client_that_asks_wrongly_is_told_by_a_redirect(
    issuer: Issuer, parameters: dict[str, str | None], error: str
) -> None:
    client = await issuer.registered()

    page = await issuer.ask(client["client_id"], **parameters)

    uri, query = sent_to(page.reply)
    assert (uri, query["error"], query["state"], query["iss"]) == (REDIRECT, error, "the state", ISSUER)
    assert "code" not in query


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        pytest.param({"redirect_uri": "https://evil.example/"}, "redirect URI", id="somebody else's URI"),
        pytest.param({"redirect_uri": f"{REDIRECT}/"}, "redirect URI", id="a slash more"),
        pytest.param({"redirect_uri": f"{REDIRECT}?a=1"}, "redirect URI", id="a query more"),
        pytest.param({"redirect_uri": f"{REDIRECT}#a"}, "redirect URI", id="a fragment more"),
        pytest.param({"redirect_uri": REDIRECT.upper()}, "redirect URI", id="other letters"),
        pytest.param({"redirect_uri": 'http://127.0.0.1/"\\é'}, "redirect URI", id="odd letters"),
        pytest.param({"client_id": "nobody"}, "invalid_client", id="an unknown client"),
        pytest.param({"client_id": 'nobody"\\é'}, "invalid_client", id="an unknown client of odd letters"),
        pytest.param({"client_id": None}, "invalid_client", id="no client"),
        pytest.param({"client_id": ""}, "invalid_client", id="an empty client"),
        pytest.param(
            {"client_id": CLIENT_ID}, "redirect URI", id="the client that asks for itself, not for users"
        ),
        pytest.param({"response_type": 'token"é'}, "cannot be read", id="what no error can repeat"),
        pytest.param(
            {"response_type": "token", "redirect_uri": "https://evil.example/"},
            "unsupported_response_type",
            id="two faults, of which one is the URI",
        ),
    ],
)
async def test_where_the_client_or_its_redirect_is_in_doubt_the_user_stays_here(
    issuer: Issuer, parameters: dict[str, str | None], sentence: str
) -> None:
    client = await issuer.registered()

    asked: dict[str, Any] = {"client_id": client["client_id"], **parameters}
    page = await issuer.ask(**asked)

    assert page.reply.status == 400
    assert sentence in page.text
    assert (page.reply.header("location"), page.action) == (None, None)
    assert b"evil" not in page.reply.body


@pytest.mark.parametrize(
    "query",
    [
        pytest.param("client_id=a&client_id=b", id="a client twice"),
        pytest.param("resource=a&resource=b", id="a resource twice"),
        pytest.param("state=%ff", id="octets that are no text"),
        pytest.param("&".join(f"a{number}=1" for number in range(100)), id="a hundred parameters"),
        pytest.param("%", id="a broken encoding"),
        pytest.param("", id="nothing"),
    ],
)
async def test_a_request_that_cannot_be_read_is_a_page_that_says_so(issuer: Issuer, query: str) -> None:
    page = await Browser(issuer.send).open(f"{ISSUER}/authorize?{query}")

    assert (page.reply.status, page.action) == (400, None)


@pytest.mark.parametrize("nothing", [None, ""], ids=["no parameter", "a parameter without a value"])
async def test_without_a_redirect_uri_the_only_one_is_taken(issuer: Issuer, nothing: str | None) -> None:
    client = await issuer.registered()

    code = await issuer.code(client["client_id"], redirect_uri=nothing)

    assert (await issuer.redeem(client["client_id"], code, redirect_uri=None)).status == 200


async def test_without_a_redirect_uri_a_client_that_has_two_is_in_doubt(issuer: Issuer) -> None:
    client = await issuer.registered(redirect_uris=[REDIRECT, "https://client.example/cb"])

    page = await issuer.ask(client["client_id"], redirect_uri=None)

    assert (page.reply.status, page.action) == (400, None)


async def test_the_port_of_a_native_client_is_whichever_it_got(issuer: Issuer) -> None:
    client = await issuer.registered(application_type="native")
    redirect = REDIRECT.replace("4567", "61234")

    code = await issuer.code(client["client_id"], redirect_uri=redirect)

    assert (await issuer.redeem(client["client_id"], code, redirect_uri=REDIRECT)).status == 400
    code = await issuer.code(client["client_id"], redirect_uri=redirect)
    assert (await issuer.redeem(client["client_id"], code, redirect_uri=redirect)).status == 200


async def test_the_port_of_a_web_client_is_the_registered_one(issuer: Issuer) -> None:
    client = await issuer.registered(application_type="web")

    page = await issuer.ask(client["client_id"], redirect_uri=REDIRECT.replace("4567", "61234"))

    assert (page.reply.status, page.action) == (400, None)


async def test_scopes_may_be_unticked(issuer: Issuer) -> None:
    client = await issuer.registered()

    code = await issuer.code(client["client_id"], scope="docs:read docs:full", scopes=["docs:full"])

    assert (await issuer.redeem(client["client_id"], code)).json()["scope"] == "docs:full"


async def test_scopes_that_were_not_asked_for_cannot_be_ticked(issuer: Issuer) -> None:
    client = await issuer.registered()

    code = await issuer.code(client["client_id"], scope="docs:read", scopes=["docs:read", "docs:full", "x"])

    assert (await issuer.redeem(client["client_id"], code)).json()["scope"] == "docs:read"


async def test_where_nothing_is_offered_there_is_nothing_to_tick(tmp_path: Path) -> None:
    issuer = Issuer(tmp_path, resources={DOCS: []})
    client = await issuer.registered()

    page = await issuer.ask(client["client_id"])
    code = await issuer.code(client["client_id"])

    assert (page.reply.status, page.of("scope")) == (200, [])
    assert "scope" not in (await issuer.redeem(client["client_id"], code)).json()


@pytest.mark.parametrize(
    ("choices", "sentence"),
    [
        pytest.param({"scopes": []}, "Tick a scope", id="no scope"),
        pytest.param({"scopes": ["x"]}, "Tick a scope", id="only a scope that was not asked for"),
        pytest.param({"user": " "}, "Choose a user", id="no user"),
        pytest.param({"other": "-"}, "the first a letter or a digit", id="a dash for a user"),
        pytest.param({"other": "a b"}, "Choose a user", id="two words for a user"),
        pytest.param({"other": "x" * 65}, "Choose a user", id="a name that is too long"),
        pytest.param({"other": "<script>"}, "Choose a user", id="markup for a user"),
        pytest.param({"other": CLIENT_ID}, "name of a client", id="the name of the client"),
    ],
)
async def test_a_choice_that_cannot_be_is_asked_for_again_and_the_rest_is_kept(
    issuer: Issuer, choices: dict[str, Any], sentence: str
) -> None:
    client = await issuer.registered()
    browser = Browser(issuer.send)
    page = await browser.open(authorization_url(client["client_id"], scope="docs:read"))

    again = await browser.submit(page, **choices)

    assert (again.reply.status, sentence in again.text) == (400, True)
    assert again.ticked("scope") == ([] if "scopes" in choices else ["docs:read"])
    assert again.of("other")[0]["value"] == choices.get("other", "")
    answer = await browser.submit(again, user="bob", other="", scopes=["docs:read"])
    assert "code" in sent_to(answer.reply)[1]


@pytest.mark.parametrize(
    ("choices", "is_invalid"),
    [
        pytest.param({"other": "a b"}, True, id="a name that cannot be"),
        pytest.param({"other": CLIENT_ID}, True, id="the name of the client"),
        pytest.param({"scopes": []}, False, id="no scope"),
        pytest.param({"other": "carol", "scopes": []}, False, id="a good name and no scope"),
    ],
)
async def test_the_field_for_a_name_has_the_focus_and_is_invalid_only_when_the_name_cannot_be(
    issuer: Issuer, choices: dict[str, Any], *, is_invalid: bool
) -> None:
    browser = Browser(issuer.send)

    again = await browser.submit(await opened(issuer, browser), **choices)

    (field,) = again.of("other")
    assert again.reply.status == 400
    assert (field.get("aria-invalid") == "true", "autofocus" in field) == (is_invalid, is_invalid)


async def test_a_field_names_what_describes_it_and_that_is_on_the_page(issuer: Issuer) -> None:
    browser = Browser(issuer.send)
    first = await opened(issuer, browser)

    again = await browser.submit(first, other="a b")

    for page, described_by in ((first, ["other-hint"]), (again, ["fault", "other-hint"])):
        assert page.of("other")[0]["aria-describedby"].split() == described_by
        assert [each for each in described_by if f'id="{each}"'.encode() not in page.reply.body] == []
    assert "aria-invalid" not in first.of("other")[0]
    assert "autofocus" not in first.of("other")[0]


@pytest.mark.parametrize(
    ("choices", "user"),
    [
        pytest.param({}, "alice", id="the one that is chosen already"),
        pytest.param({"user": "bob"}, "bob", id="the other one"),
        pytest.param({"other": "carol@example.com"}, "carol@example.com", id="somebody else"),
        pytest.param({"other": " x "}, "x", id="spaces around a name"),
        pytest.param({"other": "x" * 64}, "x" * 64, id="the longest name"),
    ],
)
async def test_the_token_is_for_the_user_that_was_chosen(
    issuer: Issuer, choices: dict[str, Any], user: str
) -> None:
    client = await issuer.registered()
    browser = Browser(issuer.send)
    page = await browser.open(authorization_url(client["client_id"]))

    answer = await browser.submit(page, **choices)

    tokens = (await issuer.redeem(client["client_id"], sent_to(answer.reply)[1]["code"])).json()
    assert (await issuer.introspect(tokens["access_token"]))["sub"] == user


async def opened(issuer: Issuer, browser: Browser) -> Page:
    return await browser.open(authorization_url((await issuer.registered())["client_id"]))


async def test_a_form_is_good_for_ten_minutes(issuer: Issuer) -> None:
    browser = Browser(issuer.send)
    page = await opened(issuer, browser)

    issuer.clock.now += LIFETIME - 1
    assert (await browser.submit(page, decision="deny")).reply.status == 303
    issuer.clock.now += 1
    late = await browser.submit(page)

    assert (late.reply.status, "ten minutes old" in late.text) == (403, True)


async def test_a_form_is_good_in_the_browser_that_it_was_made_for(issuer: Issuer) -> None:
    page = await opened(issuer, Browser(issuer.send))
    another = Browser(issuer.send)
    await opened(issuer, another)

    for browser in (another, Browser(issuer.send)):
        answer = await browser.submit(page)
        assert (answer.reply.status, "not made for this browser" in answer.text) == (403, True)


async def test_a_browser_with_two_forms_may_send_both(issuer: Issuer) -> None:
    browser = Browser(issuer.send)
    pages = [await opened(issuer, browser), await opened(issuer, browser)]

    assert [(await browser.submit(page)).reply.status for page in pages] == [303, 303]


async def test_a_cookie_that_we_did_not_make_is_replaced(issuer: Issuer) -> None:
    browser = Browser(issuer.send, {"tunnelgate_login": "planted"})

    await opened(issuer, browser)

    assert browser.cookies["tunnelgate_login"] != "planted"


@pytest.mark.parametrize(
    "origin",
    [
        pytest.param(None, id="no origin"),
        pytest.param("null", id="an origin that is kept back"),
        pytest.param("http://docs.tunnel.localhost:8080", id="a neighbour, who could plant a cookie"),
        pytest.param("http://login.tunnel.localhost", id="another port"),
        pytest.param("https://login.tunnel.localhost:8080", id="another scheme"),
        pytest.param(f"{ISSUER}/", id="a slash more"),
    ],
)
async def test_a_form_is_good_only_from_our_own_page(issuer: Issuer, origin: str | None) -> None:
    browser = Browser(issuer.send)
    page = await opened(issuer, browser)

    answer = await browser.submit(page, origin=origin)

    assert (answer.reply.status, "not sent from the page" in answer.text) == (403, True)


FORGERIES: dict[str, Callable[[str], str]] = {
    "nothing": lambda _: "",
    "no token": lambda _: "a.b.c",
    "a bit changed": lambda sealed: sealed[:-2] + ("AA" if sealed[-2:] != "AA" else "BB"),
    "no signature": lambda sealed: f"eyJhbGciOiJub25lIn0.{sealed.split('.')[1]}.",
    "no ASCII": lambda _: "é",
    "too long to be ours": lambda _: "x" * 60_000,
}


@pytest.mark.parametrize("forgery", FORGERIES)
async def test_what_a_form_carries_must_be_ours(issuer: Issuer, forgery: str) -> None:
    browser = Browser(issuer.send)
    page = await opened(issuer, browser)
    (hidden,) = page.of("request")
    hidden["value"] = FORGERIES[forgery](hidden["value"])

    answer = await browser.submit(page)

    assert (answer.reply.status, "not made by this issuer" in answer.text) == (403, True)


async def test_a_form_of_another_run_of_the_issuer_is_refused(tmp_path: Path) -> None:
    browser = Browser(Issuer(tmp_path).send)
    other = Issuer(tmp_path)
    page = await opened(other, Browser(other.send, browser.cookies))

    assert (await browser.submit(page)).reply.status == 403


async def test_a_form_that_is_too_large_is_refused(issuer: Issuer) -> None:
    browser = Browser(issuer.send)
    page = await opened(issuer, browser)

    assert (await browser.submit(page, other="x" * 70_000)).reply.status == 413


@pytest.mark.parametrize("media_type", ["text/plain", "multipart/form-data; boundary=x"])
async def test_a_form_of_another_kind_is_refused(issuer: Issuer, media_type: str) -> None:
    headers = [("content-type", media_type), ("origin", ISSUER)]

    assert (await issuer.send("POST", f"{ISSUER}/authorize", headers, b"decision=approve")).status == 403


async def test_a_client_that_is_forgotten_between_the_page_and_the_answer_gets_nothing(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = "https://client.example/app.json"
    issuer.documents.put(url, {"client_id": url, "redirect_uris": [REDIRECT]})
    browser = Browser(issuer.send)
    page = await browser.open(authorization_url(url))
    issuer.clock.now += LIFETIME - 1
    issuer.documents.answers.clear()

    answer = await browser.submit(page)

    assert (answer.reply.status, "cannot be fetched" in answer.text) == (400, True)


async def test_the_cookie_is_for_this_host_and_no_script(issuer: Issuer) -> None:
    page = await opened(issuer, Browser(issuer.send))

    name, *attributes = (page.reply.header("set-cookie") or "").split("; ")
    assert name.startswith("tunnelgate_login=")
    assert attributes == ["Path=/", "HttpOnly", "SameSite=Lax"]


async def test_over_tls_the_cookie_is_bound_to_the_host_and_to_tls(tmp_path: Path) -> None:
    page = await opened(issuer := Issuer(tmp_path, issuer="https://login.localhost"), Browser(issuer.send))

    name, *attributes = (page.reply.header("set-cookie") or "").split("; ")
    assert name.startswith("__Host-tunnelgate_login=")
    assert attributes == ["Path=/", "HttpOnly", "SameSite=Lax", "Secure"]


@pytest.mark.parametrize(
    ("issuer_url", "origin"),
    [
        ("http://Login.localhost:80", "http://login.localhost"),
        ("https://login.localhost:443", "https://login.localhost"),
        ("https://login.localhost:80", "https://login.localhost:80"),
        ("http://[::1]:8080", "http://[::1]:8080"),
    ],
)
async def test_the_origin_of_our_own_page_is_as_browsers_write_it(
    tmp_path: Path, issuer_url: str, origin: str
) -> None:
    issuer = Issuer(tmp_path, issuer=issuer_url)
    browser = Browser(issuer.send)

    answer = await browser.submit(await opened(issuer, browser), origin=origin)

    assert sent_to(answer.reply)[1]["iss"] == issuer_url


async def test_the_headers_of_the_page_leave_nothing_to_a_script_a_frame_or_a_cache(issuer: Issuer) -> None:
    page = await opened(issuer, Browser(issuer.send))

    policy = dict(
        directive.split(" ", 1)
        for directive in (page.reply.header("content-security-policy") or "").split("; ")
    )
    style = policy.pop("style-src")
    assert policy == {
        "default-src": "'none'",
        "form-action": "'self' http: https:",
        "frame-ancestors": "'none'",
        "base-uri": "'none'",
    }
    assert style.startswith("'sha256-")
    assert page.reply.header("cache-control") == "no-store"
    assert page.reply.header("referrer-policy") == "same-origin"
    assert page.reply.header("x-frame-options") == "DENY"
    assert page.reply.header("x-content-type-options") == "nosniff"


async def test_a_page_without_a_form_leads_nowhere(issuer: Issuer) -> None:
    page = await issuer.ask("nobody")

    assert "form-action 'none'; " in (page.reply.header("content-security-policy") or "")


TEXTS = st.text(max_size=30)
NAMES = st.sampled_from(
    ["response_type", "client_id", "redirect_uri", "scope", "state", "resource", "code_challenge", "request"]
)


@pytest.mark.promise("development-only")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(fields=st.dictionaries(NAMES, TEXTS), raw=st.binary(max_size=40), posted=st.booleans())
async def test_whatever_is_asked_nothing_breaks_and_nobody_is_sent_away(
    issuer: Issuer, *, fields: dict[str, str], raw: bytes, posted: bool
) -> None:
    client = await issuer.registered()
    known = dict(parse_qsl(authorization_url(client["client_id"]).partition("?")[2]))
    encoded = urlencode({**known, **fields}, errors="surrogatepass").encode() + raw.replace(b"\r", b"")

    if posted:
        headers = [("content-type", "application/x-www-form-urlencoded"), ("origin", ISSUER)]
        reply = await issuer.send("POST", f"{ISSUER}/authorize", headers, encoded)
    else:
        url = f"{ISSUER}/authorize?" + encoded.decode("latin-1").replace("#", "").replace("\n", "")
        reply = await issuer.send("GET", url.encode("ascii", "replace").decode(), [], b"")

    assert reply.status in (200, 303, 400, 403)
    assert reply.status != 303 or (reply.header("location") or "").startswith(f"{REDIRECT}?error=")


async def test_the_resource_of_another_route_is_kept(issuer: Issuer) -> None:
    client = await issuer.registered()

    tokens = await issuer.tokens(client["client_id"], TICKETS)

    assert (await issuer.introspect(tokens["access_token"]))["aud"] == TICKETS
    assert VERIFIER not in str(tokens)
