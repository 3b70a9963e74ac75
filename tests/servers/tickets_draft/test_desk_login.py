"""What the desk asks of an issuer, and what it makes of each answer that one could give."""

from base64 import b64encode, urlsafe_b64encode
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from tests.servers.tickets_draft.test_desk_pages import (
    CLIENT_ID,
    PACKAGE,
    SCOPE,
    SECRET,
    Browser,
    Seen,
    check_headers,
)
from tests.support.postgres import Databases
from tests.support.servers import serve
from tests.support.token_endpoint import ScriptedIssuer, answered, issued, refused
from tests.support.tokens import ISSUER, Clock, Token, introspected, jwks
from tunnelgate import Fetched
from tunnelgate_servers.hosting import migrate, open_writer, read_url
from tunnelgate_servers.tickets_draft import create_desk

DESK = "http://desk.localhost"
AUTHORIZE = f"{ISSUER}/authorize"
TOKENS = f"{ISSUER}/token"
METADATA = {"issuer": ISSUER, "authorization_endpoint": AUTHORIZE, "token_endpoint": TOKENS}
NOT_SIGNED_IN = "You are not signed in"


@dataclass
class Login:
    """A desk whose issuer answers by a script, and a browser in front of it."""

    browser: Browser
    issuer: ScriptedIssuer
    clock: Clock

    def begin(self, path: str = "/login") -> dict[str, str]:
        """Go to sign in, and return what the issuer is asked."""
        reply = self.browser.get(f"{DESK}{path}")
        assert reply.status == 303
        return {name: value for name, (value,) in parse_qs(urlsplit(reply.location).query).items()}

    def come_back(self, state: str, **answer: str | None) -> Seen:
        """Come back with an answer of the issuer; what is `None` is left out."""
        query = {"code": "the-code", "state": state, "iss": ISSUER, **answer}
        said = {name: value for name, value in query.items() if value is not None}
        return self.browser.get(f"{DESK}/callback?{urlencode(said)}")

    def sign_in(self) -> Seen:
        return self.come_back(self.begin()["state"])

    def check_refused(self, reply: Seen, words: str, status: int = 403, heading: str = NOT_SIGNED_IN) -> None:
        assert reply.status == status
        assert heading in reply.text
        assert words in reply.text
        check_headers(reply.reply)
        assert "Signed in as" not in self.browser.get(DESK).text


def token(**claims: Any) -> Token:
    """Return a token as the desk wants it, but for these claims."""
    return Token(claims={"aud": DESK, "client_id": CLIENT_ID, "scope": SCOPE, **claims})


@contextmanager
def desk(
    folder: Path, database: str, *script: Fetched | Exception, oauth: Any = None, **changed: Any
) -> Generator[Login]:
    clock, issuer = Clock(), ScriptedIssuer(*script)
    keys = folder / "jwks.json"
    keys.write_bytes(jwks("ES256"))
    engine = open_writer(read_url(database))
    migrate(engine, PACKAGE)
    engine.dispose()
    options: dict[str, Any] = {
        "database": database,
        "issuer": ISSUER,
        "client_id": CLIENT_ID,
        "client_secret": SECRET,
        "public_url": DESK,
        "resource": DESK,
        "oauth": {"issuers": [oauth or {"issuer": ISSUER, "jwks_file": str(keys)}]},
        "authorization_endpoint": AUTHORIZE,
        "token_endpoint": TOKENS,
        "fetch": issuer.fetch,
        "clock": lambda: datetime.fromtimestamp(clock(), UTC),
        **changed,
    }
    with serve(create_desk(**options)) as port:
        yield Login(Browser({"desk.localhost": port}), issuer, clock)


@pytest.fixture
def database(databases: Databases) -> str:
    return databases.new()


def test_a_person_is_sent_to_the_issuer_with_what_it_needs_to_know(tmp_path: Path, database: str) -> None:
    with desk(tmp_path, database, issued()) as login:
        location = login.browser.get(f"{DESK}/login").location
        first, second = login.begin(), login.begin()

    assert location.startswith(f"{AUTHORIZE}?")
    assert {name: value for name, value in first.items() if name not in ("state", "code_challenge")} == {
        "response_type": "code",
        "client_id": CLIENT_ID,
        "redirect_uri": f"{DESK}/callback",
        "resource": DESK,
        "scope": SCOPE,
        "code_challenge_method": "S256",
    }
    assert len(first["state"]) == len(first["code_challenge"]) == 43
    assert first["state"] != second["state"]
    assert first["code_challenge"] != second["code_challenge"]
    assert login.issuer.asked == []


def test_an_authorization_endpoint_with_a_query_keeps_it(tmp_path: Path, database: str) -> None:
    place = f"{AUTHORIZE}?tenant=7"
    with desk(tmp_path, database, issued(), authorization_endpoint=place, scopes=[]) as login:
        reply = login.browser.get(f"{DESK}/login")

    assert reply.location.startswith(f"{place}&response_type=code&")
    assert "scope" not in parse_qs(urlsplit(reply.location).query)


def test_the_code_is_redeemed_by_who_asked_for_it_and_no_token_is_kept(tmp_path: Path, database: str) -> None:
    with desk(tmp_path, database, issued()) as login:
        made = token().mint(login.clock())
        login.issuer.script[:] = [issued(made, refresh_token="refresh-me")]
        challenge = login.begin()
        reply = login.come_back(challenge["state"])
        page = login.browser.get(DESK)

    (asked,) = login.issuer.asked
    assert asked.form is not None
    verifier = asked.form["code_verifier"]
    assert asked.url == TOKENS
    assert dict(asked.form) == {
        "grant_type": "authorization_code",
        "code": "the-code",
        "redirect_uri": f"{DESK}/callback",
        "code_verifier": verifier,
        "resource": DESK,
    }
    digest = urlsafe_b64encode(sha256(verifier.encode()).digest()).decode().rstrip("=")
    assert digest == challenge["code_challenge"]
    assert asked.headers == {"authorization": f"Basic {b64encode(f'{CLIENT_ID}:{SECRET}'.encode()).decode()}"}
    assert (reply.status, reply.location) == (303, f"{DESK}/")
    assert "Signed in as alice" in page.text
    (cookie,) = login.browser.cookies["desk.localhost"].values()
    assert made not in cookie
    assert len(cookie) < 300


def test_the_metadata_of_the_issuer_says_where_its_endpoints_are(tmp_path: Path, database: str) -> None:
    with desk(
        tmp_path, database, answered(METADATA), authorization_endpoint=None, token_endpoint=None
    ) as login:
        state = login.begin()["state"]
        login.issuer.script[:] = [issued(token().mint(login.clock()))]
        reply = login.come_back(state)

    assert reply.status == 303
    assert [each.url for each in login.issuer.asked] == [
        f"{ISSUER}/.well-known/oauth-authorization-server",
        TOKENS,
    ]


def test_an_opaque_token_is_asked_about(
    tmp_path: Path, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DESK_INTROSPECTION", "s3cret")
    endpoint = f"{ISSUER}/introspect"
    client = {"client_id": CLIENT_ID, "client_secret_env": "DESK_INTROSPECTION", "endpoint": endpoint}
    trusted = {"issuer": ISSUER, "token_formats": ["opaque"], "introspection": client}
    with desk(tmp_path, database, issued("opaque-token"), oauth=trusted) as login:
        said = introspected(login.clock(), aud=DESK, client_id=CLIENT_ID, scope=SCOPE)
        login.issuer.script.append(Fetched(200, "application/json", said))
        reply = login.sign_in()

    assert reply.status == 303
    assert [each.url for each in login.issuer.asked] == [TOKENS, endpoint]


ANSWERS = [
    pytest.param({"state": "x" * 43}, "has not asked for this sign-in", id="another state"),
    pytest.param({"state": None}, "has not asked for this sign-in", id="no state"),
    pytest.param(
        {"state": "\N{LATIN SMALL LETTER E WITH ACUTE}"}, "has not asked", id="a state of other letters"
    ),
    pytest.param({"iss": "https://evil.example"}, "does not come from the issuer", id="another issuer"),
    pytest.param({"iss": f"{ISSUER}/"}, "does not come from the issuer", id="almost the issuer"),
    pytest.param({"iss": None}, "does not come from the issuer", id="no issuer"),
    pytest.param({"code": None}, "has not signed you in", id="no code"),
    pytest.param({"code": None, "error": "access_denied"}, "You did not allow", id="a person who denies"),
    pytest.param({"error": "access_denied"}, "You did not allow", id="an error beside a code"),
    pytest.param(
        {"code": None, "error": "<b>x</b>"}, "has not signed you in", id="an error that nobody knows"
    ),
]


@pytest.mark.parametrize(("changed", "words"), ANSWERS)
def test_an_answer_that_is_not_right_signs_nobody_in(
    tmp_path: Path, database: str, changed: Mapping[str, Any], words: str
) -> None:
    with desk(tmp_path, database, issued()) as login:
        login.issuer.script[:] = [issued(token().mint(login.clock()))]
        reply = login.come_back(**{"state": login.begin()["state"], **changed})
        login.check_refused(reply, words)

        assert login.issuer.asked == []
        assert "<b>" not in reply.html


def test_an_answer_with_a_parameter_twice_is_not_read(tmp_path: Path, database: str) -> None:
    with desk(tmp_path, database, issued()) as login:
        state = login.begin()["state"]
        query = urlencode([("code", "a"), ("code", "b"), ("state", state), ("iss", ISSUER)])
        reply = login.browser.get(f"{DESK}/callback?{query}")
        login.check_refused(
            reply, "It is not one that", status=400, heading="This request cannot be answered"
        )

        assert login.issuer.asked == []


def test_an_answer_that_is_too_long_is_not_read(tmp_path: Path, database: str) -> None:
    with desk(tmp_path, database, issued()) as login:
        reply = login.come_back(login.begin()["state"], code="x" * 4097)
        login.check_refused(
            reply, "It is not one that", status=422, heading="This request cannot be answered"
        )

        assert "xxx" not in reply.html


@pytest.mark.parametrize(("seconds", "status"), [(599, 303), (600, 403)], ids=["in time", "too late"])
def test_an_answer_is_waited_for_ten_minutes(
    tmp_path: Path, database: str, seconds: int, status: int
) -> None:
    with desk(tmp_path, database, issued()) as login:
        state = login.begin()["state"]
        login.clock.now += seconds
        login.issuer.script[:] = [issued(token().mint(login.clock()))]
        reply = login.come_back(state)

    assert reply.status == status
    assert ("took more than ten minutes" in reply.text) is (status == 403)


def test_a_login_that_failed_is_over(tmp_path: Path, database: str) -> None:
    with desk(tmp_path, database, refused(), issued()) as login:
        state = login.begin()["state"]
        first = login.come_back(state)
        login.issuer.script[:] = [issued(token().mint(login.clock()))]
        second = login.come_back(state)
        login.check_refused(second, "has not asked for this sign-in")

    assert "was used before, or it is too old" in first.text


BROKEN = [
    pytest.param(OSError("no route to 10.1.2.3"), id="nobody there"),
    pytest.param(refused("invalid_client", 401), id="a client that it does not know"),
    pytest.param(refused("invalid_request"), id="a request that it does not understand"),
    pytest.param(refused("invalid_grant", 500), id="a failure"),
    pytest.param(answered(b"<html>"), id="no JSON"),
    pytest.param(answered(b'{"access_token":"a","access_token":"b"}'), id="JSON with two readings"),
    pytest.param(answered(["a"]), id="a list"),
    pytest.param(issued(token_type="DPoP"), id="a token of another kind"),
    pytest.param(issued(token_type=None), id="a token of no kind"),
    pytest.param(issued(access_token=None), id="no token"),
    pytest.param(issued(access_token=7), id="a number for a token"),
    pytest.param(issued("t\N{LATIN SMALL LETTER O WITH DIAERESIS}ken"), id="a token that is not ASCII"),
    pytest.param(answered({"location": "https://evil.example"}, 302), id="another place"),
]


@pytest.mark.parametrize("answer", BROKEN)
def test_an_issuer_that_does_not_answer_as_it_should_is_down(
    tmp_path: Path, database: str, caplog: pytest.LogCaptureFixture, answer: Fetched | Exception
) -> None:
    with desk(tmp_path, database, answer) as login:
        reply = login.sign_in()
        login.check_refused(reply, "Try again in a while", status=503, heading="The desk is not available")

    assert "10.1.2.3" not in reply.html
    assert "The desk cannot sign anybody in" in caplog.text
    assert SECRET not in caplog.text
    assert "the-code" not in caplog.text


def test_an_issuer_without_metadata_is_down(tmp_path: Path, database: str) -> None:
    with desk(tmp_path, database, answered({}, 404), authorization_endpoint=None) as login:
        reply = login.browser.get(f"{DESK}/login")

    assert reply.status == 503
    assert "The desk is not available" in reply.text


def test_an_issuer_whose_keys_cannot_be_had_is_down(tmp_path: Path, database: str) -> None:
    trusted = {"issuer": ISSUER, "jwks_uri": f"{ISSUER}/jwks.json"}
    with desk(tmp_path, database, issued(), oauth=trusted) as login:
        login.issuer.script[:] = [issued(token().mint(login.clock())), OSError("gone")]
        reply = login.sign_in()
        login.check_refused(reply, "Try again in a while", status=503, heading="The desk is not available")


TOKENS_REFUSED = [
    pytest.param(token(aud="http://tickets.localhost/mcp"), "is not good for this page", id="for the drafts"),
    pytest.param(token(aud=f"{DESK}/"), "is not good for this page", id="for almost the desk"),
    pytest.param(token(iss="https://evil.example"), "is not good for this page", id="of another issuer"),
    pytest.param(token(exp=1), "is not good for this page", id="that has expired"),
    pytest.param(Token("RS256", token().claims), "is not good for this page", id="signed by another key"),
    pytest.param(
        Token(claims=token().claims, header={"typ": "JWT"}), "is not good", id="that is an ID token"
    ),
    pytest.param(token(sub=CLIENT_ID), "A person submits drafts", id="of the client itself"),
    pytest.param(token(sub="robot", client_id="robot"), "A person submits drafts", id="of another program"),
    pytest.param(token(client_id="agent"), "to another application", id="of another client for the person"),
    pytest.param(token(scope="tickets:draft"), "You have not allowed", id="without the scope"),
    pytest.param(token(scope=None), "You have not allowed", id="without any scope"),
    pytest.param(token(scope="tickets:submitted"), "You have not allowed", id="with a scope that begins so"),
    pytest.param(token(sub="a" * 256), "cannot be shown", id="of somebody with too long a name"),
    pytest.param(
        token(sub="\N{GRINNING FACE}" * 167), "cannot be shown", id="of a name too long for a cookie"
    ),
    pytest.param(token(sub="alice\0"), "cannot be shown", id="of a name with a NUL"),
    pytest.param(token(sub="alice\nbob"), "cannot be shown", id="of a name with a line end"),
    pytest.param(token(sub="alice\u202e"), "cannot be shown", id="of a name in another direction"),
]


@pytest.mark.parametrize(("made", "words"), TOKENS_REFUSED)
@pytest.mark.promise("person-submits")
def test_a_token_that_is_not_of_a_person_for_the_desk_signs_nobody_in(
    tmp_path: Path, database: str, made: Token, words: str
) -> None:
    with desk(tmp_path, database, issued()) as login:
        login.issuer.script[:] = [issued(made.mint(login.clock()))]
        login.check_refused(login.sign_in(), words)


@pytest.mark.parametrize(
    "subject",
    [
        pytest.param("a" * 255, id="as long as it may be"),
        pytest.param("\N{GRINNING FACE}" * 166, id="as long as it may be, in letters of four octets"),
        pytest.param("<b>alice</b>", id="with elements in it"),
        pytest.param("Zo\N{LATIN SMALL LETTER E WITH DIAERESIS} & co", id="with a space and an accent"),
    ],
)
def test_a_person_of_any_name_that_can_be_shown_is_signed_in(
    tmp_path: Path, database: str, subject: str
) -> None:
    with desk(tmp_path, database, issued()) as login:
        login.issuer.script[:] = [issued(token(sub=subject).mint(login.clock()))]
        login.sign_in()
        login.begin()  # which the cookie holds as well
        page = login.browser.get(DESK)

    assert f"Signed in as {subject}" in page.text
    assert "<b>" not in page.html
    (cookie,) = login.browser.cookies["desk.localhost"].values()
    assert len(f"desk={cookie}") < 4096, "browsers drop a cookie of more octets"
