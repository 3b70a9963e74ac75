"""A person at the page of a real development issuer, behind a real gate."""

import base64
from collections.abc import Generator, Sequence
from typing import Any

import orjson
import pytest
import yaml

from tests.support.asgi import Spy
from tests.support.audit import Records
from tests.support.servers import serve
from tunnelgate import Policy
from tunnelgate.asgi import ASGIApp, Receive, Scope, Send
from tunnelgate_app.client import DemoClient
from tunnelgate_app.demo import (
    ACCOUNTS,
    ISSUER_ROUTE,
    ROUTES,
    TERMINAL,
    DemoError,
    DemoState,
    prepare,
    url_of,
)
from tunnelgate_app.gateway import create_gateway

TICKETS = ROUTES["tickets"]


class Later:
    """Stands where an application will be once the port is known that it has to know."""

    def __init__(self) -> None:
        self.app: ASGIApp = Spy()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Generator[DemoState]:
    """Run the issuer of a demo behind its gate."""
    folder, later = tmp_path_factory.mktemp("state"), Later()
    with serve(later) as port:
        configuration = yaml.safe_load(prepare(folder, port, folder).read_text("utf-8"))
        configuration["routes"] = {ISSUER_ROUTE: configuration["routes"][ISSUER_ROUTE]}
        later.app = create_gateway(Policy.from_mapping(configuration), audit=Records())
        yield DemoState.from_folder(folder)


def claims_of(token: str) -> dict[str, Any]:
    payload = token.split(".")[1]
    claims: dict[str, Any] = orjson.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return claims


@pytest.mark.parametrize("user", ["alice", "bob", "eve@example.com"])
def test_a_person_gets_a_token_of_their_own(state: DemoState, user: str) -> None:
    claims = claims_of(DemoClient(state).fetch_token(TICKETS, user=user))

    assert (claims["sub"], claims["client_id"]) == (user, TERMINAL)
    assert claims["aud"] == TICKETS.resource(state.port)
    assert claims["scope"].split() == list(TICKETS.offered)
    assert claims.get("accounts") == ACCOUNTS.get(user)


def test_without_a_person_the_token_is_that_of_the_client(state: DemoState) -> None:
    claims = claims_of(DemoClient(state).fetch_token(TICKETS))

    assert claims["sub"] == claims["client_id"] == state.client_id
    assert claims["accounts"] == "*"


def test_a_person_grants_only_the_scopes_that_were_asked_for(state: DemoState) -> None:
    claims = claims_of(DemoClient(state).fetch_token(TICKETS, ("tickets:read",), "alice"))

    assert claims["scope"] == "tickets:read"


@pytest.mark.parametrize(
    ("user", "scopes", "sentence"),
    [
        pytest.param(
            "demo",
            (),
            "does not let 'demo' in: demo is the name of a client. Choose another one.",
            id="the name of a client",
        ),
        pytest.param("a b", (), "does not let 'a b' in: Choose a user, or write a name of", id="no name"),
        pytest.param("alice", ("admin",), "refused: invalid_scope", id="a scope that is not offered"),
    ],
)
def test_what_the_issuer_says_against_it_is_one_sentence(
    state: DemoState, user: str, scopes: Sequence[str], sentence: str
) -> None:
    with pytest.raises(DemoError) as failed:
        DemoClient(state).fetch_token(TICKETS, tuple(scopes), user)

    assert str(failed.value).startswith(f"the development issuer {sentence}")
    assert "\n" not in str(failed.value)


class Answers:
    """What listens in the place of an issuer, and answers everything alike."""

    def __init__(self, status: int, headers: Sequence[tuple[bytes, bytes]] = (), body: bytes = b"") -> None:
        self.status = status
        self.headers = list(headers)
        self.body = body
        self.asked: list[tuple[str, str]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await Spy()(scope, receive, send)
            return
        self.asked.append((scope["method"], scope["path"]))
        await send({"type": "http.response.start", "status": self.status, "headers": self.headers})
        await send({"type": "http.response.body", "body": self.body})


NO_ISSUER = "what answers is no development issuer; start the demo first"


@pytest.mark.parametrize(
    ("answers", "sentence"),
    [
        pytest.param(
            Answers(200, body=b"<html>It works!</html>"),
            "the development issuer does not let 'alice' in: it answered 200",
            id="another server's page",
        ),
        pytest.param(
            Answers(500, body=b"\xff"),
            "the development issuer does not let 'alice' in: it answered 500",
            id="a server that fails",
        ),
        pytest.param(Answers(303), NO_ISSUER, id="a redirect to nowhere"),
        pytest.param(
            Answers(303, [(b"location", b"http://127.0.0.1/callback?code=x&state=y&iss=z")]),
            NO_ISSUER,
            id="a code for another request",
        ),
    ],
)
def test_what_answers_in_the_place_of_an_issuer_gets_no_code(answers: Answers, sentence: str) -> None:
    with serve(answers) as port, pytest.raises(DemoError) as failed:
        DemoClient(DemoState(port, "demo", "s3cret")).fetch_token(TICKETS, user="alice")

    assert str(failed.value) == sentence
    assert ("POST", "/token") not in answers.asked


class EchoesTheState:
    """An issuer whose answer is to this request, with `query` besides."""

    def __init__(self, query: str) -> None:
        self.query = query
        self.port = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await Spy()(scope, receive, send)
            return
        asked = dict(part.split("=", 1) for part in scope["query_string"].decode().split("&"))
        issuer = url_of(ISSUER_ROUTE, self.port)
        location = f"http://127.0.0.1/callback?state={asked['state']}&iss={issuer}{self.query}"
        headers = [(b"location", location.encode())]
        await send({"type": "http.response.start", "status": 303, "headers": headers})
        await send({"type": "http.response.body", "body": b""})


@pytest.mark.parametrize(
    ("query", "said"),
    [
        pytest.param("&error=access_denied", "access_denied", id="an error"),
        pytest.param("", "it gave no code", id="nothing"),
    ],
)
def test_an_answer_without_a_code_is_told(query: str, said: str) -> None:
    issuer = EchoesTheState(query)
    with serve(issuer) as issuer.port, pytest.raises(DemoError) as failed:
        DemoClient(DemoState(issuer.port, "demo", "s3cret")).fetch_token(TICKETS, user="alice")

    assert str(failed.value) == f"the development issuer refused: {said}"
