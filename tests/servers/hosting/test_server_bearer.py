"""A server's own bearer check: whose tokens it takes, for what, and what it says to everybody else."""

import asyncio
import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp.shared.exceptions import MCPError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.servers.hosting.raw_calls import Answer, Wire, call, send
from tests.servers.hosting.sample import READ, notes
from tests.servers.serving import connected, own_check, own_check_options, served, structured, token
from tests.support.asgi import Spy, http_scope
from tests.support.asgi import call as call_in_process
from tests.support.mcp import modern
from tests.support.tokens import (
    ISSUER,
    RESOURCE,
    Clock,
    KeyEndpoint,
    Token,
    base64url,
    jwks,
    sign,
    trusted_issuer,
)
from tunnelgate.fetching import Fetched
from tunnelgate_servers.hosting import OptionsError, OwnCheck

pytestmark = pytest.mark.anyio

ERAS = [pytest.param("2026-07-28", id="modern era"), pytest.param("legacy", id="legacy era")]
HEADERS, BODY = modern("tools/list")
METADATA_PATH = "/.well-known/oauth-protected-resource/mcp"
METADATA_URL = "https://docs.example.com/.well-known/oauth-protected-resource/mcp"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with served(notes()) as base:
        yield base


@contextmanager
def served_keys() -> Generator[str]:
    """Serve the keys of an issuer at an address of its own."""

    async def keys(_: Request) -> Response:
        return Response(jwks("ES256"), media_type="application/json")

    with served(Starlette(routes=[Route("/keys", keys)])) as base:
        yield base


async def listed(url: str, sent: str | None) -> Answer:
    return await send(url, HEADERS[1:], BODY, token=sent)


@pytest.mark.parametrize("era", ERAS)
async def test_a_token_that_was_made_for_this_server_is_taken(url: str, era: Wire) -> None:
    async with connected(url, era, token(READ, "other:scope", subject="bob")) as client:
        caller = structured(await client.call_tool("whoami", {}))

    assert caller == {
        "issuer": ISSUER,
        "subject": "bob",
        "client_id": "agent",
        "scopes": [READ, "other:scope"],
    }


async def test_without_a_token_one_is_asked_for_and_it_is_said_where_there_are_some(url: str) -> None:
    answer = await listed(url, None)

    assert answer.status == 401
    assert answer.headers["www-authenticate"] == f'Bearer resource_metadata="{METADATA_URL}"'


# These are made when tests are collected, which may be long before they are used.
NOW = int(time.time())
LASTING = {"scope": READ, "exp": NOW + 86_400}


def changed(**claims: Any) -> str:
    return Token(claims={**LASTING, **claims}).mint()


BAD: list[Any] = [
    pytest.param("x", id="no token at all"),
    pytest.param("a.b.c", id="three parts of nothing"),
    pytest.param(changed(aud="https://tickets.example.com/mcp"), id="for another server"),
    pytest.param(changed(aud="https://docs.example.com"), id="for the host and not for its path"),
    pytest.param(changed(aud=f"{RESOURCE}/"), id="for nearly this server"),
    pytest.param(changed(aud=None), id="for nobody"),
    pytest.param(changed(aud=[]), id="for an empty list"),
    pytest.param(changed(iss="https://evil.example.com"), id="of another issuer"),
    pytest.param(changed(iss=f"{ISSUER}/"), id="of nearly the issuer"),
    pytest.param(changed(iss=None), id="of no issuer"),
    pytest.param(changed(iat=NOW - 900, exp=NOW - 600), id="that has expired"),
    pytest.param(changed(nbf=NOW + 43_200), id="that is not good yet"),
    pytest.param(changed(exp=None), id="without an end"),
    pytest.param(changed(exp=NOW + 400_000), id="that lives too long"),
    pytest.param(changed(sub=None), id="of nobody"),
    pytest.param(changed(sub=""), id="of nobody by name"),
    pytest.param(changed(client_id=None), id="of no client"),
    pytest.param(Token(claims=LASTING, header={"typ": "JWT"}).mint(), id="that is an identity token"),
    pytest.param(Token(claims=LASTING, header={"kid": "other"}).mint(), id="with an unknown key"),
    pytest.param(Token("ES384", LASTING).mint(), id="signed by a key that is not published"),
    pytest.param(Token(claims=LASTING).mint()[:-4] + "AAAA", id="with another signature"),
    pytest.param(
        ".".join(
            (
                base64url(b'{"alg":"none","typ":"at+jwt"}').decode(),
                Token(claims=LASTING).mint().split(".")[1],
                "",
            )
        ),
        id="that nobody signed",
    ),
    pytest.param(sign(b'{"alg":"ES256","kid":"ES256","typ":"at+jwt"}', b"[]").decode(), id="without claims"),
]


@pytest.mark.promise("token-for-this-server")
@pytest.mark.parametrize("bad", BAD)
@pytest.mark.promise("server-holds-alone")
async def test_no_other_token_is_taken_and_the_answer_says_nothing_of_it(url: str, bad: str) -> None:
    answer = await listed(url, bad)

    assert answer.status == 401
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]
    assert METADATA_URL in answer.headers["www-authenticate"]
    assert "tools" not in answer.text
    assert bad not in answer.text
    for word in ("audience", "issuer", "expired", "signature"):
        assert word not in answer.text + answer.headers["www-authenticate"]


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.promise("server-holds-alone")
async def test_a_tool_that_is_called_with_the_token_of_another_server_is_not_run(url: str, era: Wire) -> None:
    answer = await call(url, era, "whoami", {}, token=token(READ, resource="https://tickets.example.com/mcp"))

    assert answer.status == 401


@pytest.mark.parametrize("era", ERAS)
async def test_the_official_client_is_told_that_it_has_no_good_token(url: str, era: Wire) -> None:
    with pytest.raises((MCPError, httpx2.HTTPStatusError, ExceptionGroup)):
        async with connected(url, era, "x") as client:
            await client.list_tools()


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        pytest.param([("authorization", f"bearer {token(READ)}")], 200, id="the scheme in other letters"),
        pytest.param([("authorization", f"Basic {token(READ)}")], 401, id="another scheme"),
        pytest.param([("authorization", "Bearer")], 401, id="a scheme and nothing else"),
        pytest.param([("authorization", token(READ))], 401, id="a token without a scheme"),
        pytest.param([("authorization", f"Bearer {token(READ)}")] * 2, 400, id="the same token twice"),
        pytest.param([("cookie", f"access_token={token(READ)}")], 401, id="a token in a cookie"),
        pytest.param([("x-access-token", token(READ))], 401, id="a token in a header of its own"),
    ],
)
async def test_a_token_is_sent_in_one_way(url: str, headers: list[tuple[str, str]], status: int) -> None:
    assert (await send(url, [*HEADERS[1:], *headers], BODY)).status == status


async def test_a_token_in_the_query_is_none(url: str) -> None:
    answer = await send(url, HEADERS[1:], BODY, path=f"/mcp?access_token={token(READ)}")

    assert answer.status in (400, 401)


async def test_the_metadata_says_for_what_tokens_are_and_who_makes_them(url: str) -> None:
    answer = await send(url, [], method="GET", path=METADATA_PATH)

    assert answer.status == 200
    assert answer.message["resource"] == RESOURCE
    assert answer.message["authorization_servers"] == [ISSUER]
    assert answer.message["bearer_methods_supported"] == ["header"]


async def test_a_token_is_good_by_the_clock_that_is_given() -> None:
    clock = Clock()
    check = OwnCheck(RESOURCE, {ISSUER: trusted_issuer()}, clock=clock)
    own = Token(claims={"scope": READ}).mint(clock.now)
    with served(notes(check=check)) as base:
        before = await listed(base, own)
        clock.now += 3600
        after = await listed(base, own)

    assert (before.status, after.status) == (200, 401)


async def test_two_names_in_one_request_are_refused_before_the_token_is_looked_at() -> None:
    headers = [("host", "127.0.0.1"), ("host", "evil.example"), ("authorization", f"Bearer {token(READ)}")]

    reply = await call_in_process(notes(), http_scope("POST", "/mcp", headers), BODY)

    assert reply.status == 400


async def test_the_check_is_around_any_application() -> None:
    inner = Spy(b"inside")
    app = own_check().around(inner)

    refused = await call_in_process(app, http_scope("POST", "/mcp"))
    allowed = await call_in_process(
        app, http_scope("POST", "/mcp", [("host", "x.example"), ("authorization", f"Bearer {token(READ)}")])
    )

    assert (refused.status, allowed.status, allowed.body) == (401, 200, b"inside")


async def test_a_configuration_makes_the_check(tmp_path: Path) -> None:
    check = OwnCheck.from_options(*own_check_options(tmp_path).values())
    with served(notes(check=check)) as base:
        answers = [
            await listed(base, sent) for sent in (token(READ), token(READ, resource="https://x.example/mcp"))
        ]

    assert [answer.status for answer in answers] == [200, 401]


async def test_the_issuer_is_asked_for_its_keys_once(tmp_path: Path) -> None:
    keys = KeyEndpoint(jwks("ES256"))
    oauth = {"issuers": [{"issuer": ISSUER, "jwks_uri": f"{ISSUER}/keys"}]}
    with served(notes(check=OwnCheck.from_options(RESOURCE, oauth, fetch=keys.fetch))) as base:
        answers = [await listed(base, token(READ)) for _ in range(3)]

    assert [answer.status for answer in answers] == [200, 200, 200]
    assert keys.asked == [f"{ISSUER}/keys"]


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(OSError("connection refused"), id="nobody answers"),
        pytest.param(Fetched(500, "text/html", b"<h1>sorry</h1>"), id="an error"),
        pytest.param(b'{"keys": "none"}', id="no keys"),
    ],
)
@pytest.mark.promise("server-holds-alone")
async def test_an_issuer_that_is_down_is_no_reason_to_let_anybody_in(said: Any) -> None:
    oauth = {"issuers": [{"issuer": ISSUER, "jwks_uri": f"{ISSUER}/keys"}]}
    check = OwnCheck.from_options(RESOURCE, oauth, fetch=KeyEndpoint(said).fetch)
    with served(notes(check=check)) as base:
        answer = await listed(base, token(READ))
        health = await send(base, [], method="GET", path="/healthz")

    assert (answer.status, answer.message) == (503, {"error": "unavailable"})
    assert health.status == 200


async def test_an_issuer_on_this_machine_is_asked_only_where_that_is_allowed() -> None:
    answers: dict[bool, int] = {}
    with served_keys() as issuer:
        for is_allowed in (False, True):
            networks = {"allowed_ips": ["127.0.0.1"]} if is_allowed else {}
            oauth = {"issuers": [{"issuer": issuer, "jwks_uri": f"{issuer}/keys"}], **networks}
            with served(notes(check=OwnCheck.from_options(RESOURCE, oauth))) as base:
                own = token(READ, claims={"iss": issuer})
                answers[is_allowed] = (await listed(base, own)).status

    assert answers == {False: 503, True: 200}


FAULTY: list[Any] = [
    pytest.param(None, {}, "The option resource needs the URL", id="no resource"),
    pytest.param(5, {}, "The option resource needs the URL", id="a number for the resource"),
    pytest.param(["https://a.example/mcp"], {}, "The option resource needs the URL", id="a list"),
    pytest.param(RESOURCE, None, "The option oauth", id="nothing for oauth"),
    pytest.param(RESOURCE, [], "The option oauth", id="a list for oauth"),
    pytest.param(RESOURCE, {}, "issuers", id="no issuers"),
    pytest.param(RESOURCE, {"issuers": []}, "issuers", id="an empty list of issuers"),
    pytest.param(RESOURCE, {"issuers": [{"issuer": "login"}]}, "issuers[0].issuer", id="no URL"),
    pytest.param(
        RESOURCE, {"issuers": [{"issuer": ISSUER, "secret": "hunter2"}]}, "issuers[0].secret", id="unknown"
    ),
    pytest.param(RESOURCE, {"issuers": [{"issuer": ISSUER}], "realm": "x"}, "realm", id="another"),
    pytest.param(
        RESOURCE,
        {"issuers": [{"issuer": ISSUER, "jwks_file": "/nowhere/jwks.json"}]},
        "jwks_file",
        id="a file that there is not",
    ),
    pytest.param(
        RESOURCE,
        {"issuers": [{"issuer": ISSUER}], "allowed_ips": ["10.0.0.0/99"]},
        "allowed_ips",
        id="no network",
    ),
    pytest.param(
        RESOURCE,
        {"issuers": [{"issuer": ISSUER}, {"issuer": ISSUER}]},
        "issuers[1].issuer",
        id="the same issuer twice",
    ),
    pytest.param(
        RESOURCE,
        {"issuers": [{"issuer": ISSUER, "jwks_file": "a.json", "jwks_uri": f"{ISSUER}/keys"}]},
        "both a jwks_file and a jwks_uri",
        id="two places for the keys",
    ),
    pytest.param(
        RESOURCE,
        {"issuers": [{"issuer": ISSUER, "token_formats": ["opaque"]}]},
        "no introspection to ask about them",
        id="tokens that nobody can read",
    ),
    pytest.param(
        RESOURCE,
        {"issuers": [{"issuer": ISSUER, "introspection": {"client_id": "a", "client_secret_env": "PATH"}}]},
        "means nothing unless token_formats has opaque",
        id="a way to take tokens that are not to be taken",
    ),
]


@pytest.mark.parametrize(("resource", "oauth", "told"), FAULTY)
def test_what_makes_no_check_is_refused_with_what_is_wrong(resource: Any, oauth: Any, told: str) -> None:
    with pytest.raises(OptionsError) as refused:
        OwnCheck.from_options(resource, oauth)

    assert told in str(refused.value)
    assert "hunter2" not in str(refused.value)


def test_every_fault_of_the_configuration_is_told_at_once() -> None:
    oauth = {"issuers": [{"issuer": "a"}, {"issuer": ISSUER, "algorithms": ["HS256"]}], "allowed_ips": []}

    with pytest.raises(OptionsError) as refused:
        OwnCheck.from_options(RESOURCE, oauth)

    for place in ("issuers[0].issuer", "issuers[1].algorithms", "allowed_ips"):
        assert place in str(refused.value)


@pytest.mark.parametrize(
    "resource",
    [
        "",
        "/mcp",
        "mcp",
        "https://docs.example.com",
        "https://docs.example.com/",
        "https://docs.example.com/mcp/",
        "https://docs.example.com/x/mcp",
        "https://docs.example.com/MCP",
        "https://docs.example.com/mcp?a=b",
        "https://docs.example.com/mcp#a",
        "https://user@docs.example.com/mcp",
        "https://docs.example.com:99999/mcp",
        "https://docs.example.com:x/mcp",
        "https://[::1/mcp",
        "https://a b.example.com/mcp",
        "ftp://docs.example.com/mcp",
        " https://docs.example.com/mcp",
        "https:///mcp",
    ],
)
def test_a_resource_that_no_token_could_name_is_refused_with_a_sentence(resource: str) -> None:
    with pytest.raises(OptionsError, match=r"^The option resource .*\.$"):
        own_check(resource)


async def test_each_check_is_for_one_resource_even_with_the_same_issuer() -> None:
    resources = ["https://a.example.com/mcp", "https://b.example.com/mcp"]
    found: Mapping[tuple[str, str], int] = {}
    for at in resources:
        with served(notes(check=own_check(at))) as base:
            answers = await asyncio.gather(*(listed(base, token(READ, resource=to)) for to in resources))
            found = {**found, **{(at, to): each.status for to, each in zip(resources, answers, strict=True)}}

    assert found == {(at, to): 200 if at == to else 401 for at in resources for to in resources}
