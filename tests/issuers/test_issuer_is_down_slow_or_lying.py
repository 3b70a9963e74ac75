"""Nothing is allowed on the word of an issuer that does not answer, or that answers wrongly."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import orjson
import pytest

from tests.issuers.configuration import credentials, introspecting
from tests.issuers.gate import DOCS, Gate, gate
from tests.issuers.liar import INTROSPECTION, KEYS, METADATA, SILENCE, TOKEN, Answer, as_json, liar, metadata
from tests.issuers.provider import Resource, provider
from tests.support.processes import free_port
from tests.support.tokens import Clock, Token, jwks, key
from tunnelgate.upstream.fetching import TIMEOUT

BIG = 10 * 1024 * 1024
_OPAQUE = "opaque-token-of-somebody"
_MARGIN = 4  # seconds that a busy machine may add


def token_of(issuer: str, front: Gate) -> str:
    """Return a token that is good in every way, if only its issuer says so."""
    return Token(claims={"iss": issuer, "aud": front.resource()}).mint()


@pytest.mark.anyio
async def test_an_issuer_that_starts_after_the_gate_is_used_without_a_restart() -> None:
    ticks = Clock()
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with gate([{"issuer": url}], ticks=ticks) as front:
        before = await front.call(token_of(url, front))
        with provider(key("ES256"), port=port) as issuer:
            issuer.serve({front.resource(): Resource("docs:read")})
            ticks.now += 31
            after = await front.call(await issuer.token(front.resource()))

    assert (before.status_code, after.status_code) == (503, 200)
    assert before.json() == {"error": "unavailable"}
    assert front.reasons == ["keys-unavailable", None]


@pytest.mark.promise("keys-follow-issuer")
@pytest.mark.anyio
async def test_known_keys_are_used_on_while_the_issuer_is_down_and_not_for_ever() -> None:
    ticks = Clock()
    with provider(key("ES256")) as issuer, gate([{"issuer": issuer.url}], ticks=ticks) as front:
        first = await front.call(token_of(issuer.url, front))
        issuer.stop()
        ticks.now += 3600
        at_the_limit = await front.call(token_of(issuer.url, front))
        ticks.now += 1
        past_it = await front.call(token_of(issuer.url, front))

    assert [each.status_code for each in (first, at_the_limit, past_it)] == [200, 200, 503]


@pytest.mark.promise("refused-or-broken")
@pytest.mark.anyio
async def test_an_issuer_that_accepts_and_never_answers_costs_a_caller_no_more_than_the_bound(
    tmp_path: Path,
) -> None:
    silent: dict[str, Callable[[Gate], dict[str, Answer]]] = {
        "metadata": lambda front: {METADATA: SILENCE},
        "keys": lambda front: {KEYS: SILENCE},
        "keys without an end": lambda front: {KEYS: Answer(jwks("ES256"), is_whole=False)},
        "introspection": lambda front: {INTROSPECTION: SILENCE},
        "introspection without an end": lambda front: {INTROSPECTION: in_disguise(is_whole=False)(front)},
        "credentials": lambda front: {TOKEN: SILENCE},
    }
    answered: dict[str, tuple[int, float]] = {}

    async def ask(name: str) -> None:
        is_opaque = name.startswith("introspection")
        with liar() as issuer:
            trusted = introspecting(issuer.url, tmp_path) if is_opaque else {"issuer": issuer.url}
            route = {"credentials": credentials("client_credentials", issuer.url, tmp_path)}
            with gate([trusted], {DOCS: route if name == "credentials" else {}}) as front:
                issuer.answers |= silent[name](front)
                started = time.monotonic()
                answer = await front.call(_OPAQUE if is_opaque else token_of(issuer.url, front))
                answered[name] = answer.status_code, time.monotonic() - started

    async with anyio.create_task_group() as questions:
        for name in silent:
            questions.start_soon(ask, name)

    assert {name: status for name, (status, _) in answered.items()} == dict.fromkeys(silent, 503)
    assert max(seconds for _, seconds in answered.values()) < TIMEOUT + _MARGIN


def named(algorithm: str, name: str) -> dict[str, Any]:
    """Return the public key for an algorithm under a name that is another's."""
    return {**key(algorithm).as_dict(private=False), "kid": name}


REAL_KEYS = Answer(jwks("ES256"))
SYMMETRIC = {"kty": "oct", "kid": "ES256", "k": "c2VjcmV0"}
MOVED = Answer(b"", 302, headers={"location": "ISSUER/moved"})
PAGE = Answer(b"<html>", media_type="text/html")
LIES_ABOUT_KEYS = [
    pytest.param({METADATA: metadata(issuer="http://127.0.0.1:1")}, 503, id="metadata of another issuer"),
    pytest.param(
        {METADATA: metadata(issuer="ISSUER/")}, 503, id="metadata of an issuer that differs by a slash"
    ),
    pytest.param({METADATA: metadata(jwks_uri=None)}, 503, id="metadata without keys"),
    pytest.param(
        {METADATA: metadata(jwks_uri="file:///etc/passwd")}, 503, id="metadata with keys at no URL of HTTP"
    ),
    pytest.param({METADATA: PAGE}, 503, id="a page as metadata"),
    pytest.param({METADATA: Answer(metadata().body + b" " * BIG)}, 503, id="metadata of ten megabytes"),
    pytest.param({METADATA: MOVED, "/moved": metadata()}, 503, id="metadata that has moved"),
    pytest.param({KEYS: MOVED, "/moved": REAL_KEYS}, 503, id="keys that have moved"),
    pytest.param({KEYS: Answer(jwks("ES256"), 500)}, 503, id="keys with an error"),
    pytest.param({KEYS: PAGE}, 503, id="a page as keys"),
    pytest.param({KEYS: Answer(jwks("ES256") + b" " * BIG)}, 503, id="keys of ten megabytes"),
    pytest.param({KEYS: as_json([])}, 503, id="keys that are a list"),
    pytest.param({KEYS: as_json({"keys": []})}, 503, id="no keys"),
    pytest.param(
        {KEYS: as_json({"keys": [SYMMETRIC]})}, 503, id="a symmetric key under the name of the real one"
    ),
    pytest.param(
        {KEYS: as_json({"keys": [named("RS256", "ES256")]})},
        401,
        id="a key of another kind under the name of the real one",
    ),
    pytest.param(
        {KEYS: as_json({"keys": [named("ES256", "other")]})}, 401, id="the real key under another name"
    ),
    pytest.param(
        {KEYS: as_json({"keys": [named("RS256", "ES256"), named("ES256", "ES256")]})},
        503,
        id="two keys of one name",
    ),
]


@pytest.mark.anyio
async def test_a_token_passes_on_the_word_of_an_issuer_that_is_honest() -> None:
    with liar() as issuer, gate([{"issuer": issuer.url}]) as front:
        answer = await front.call(token_of(issuer.url, front))

    assert answer.status_code == 200
    assert issuer.asked == [METADATA, KEYS]


@pytest.mark.promise("keys-follow-issuer")
@pytest.mark.anyio
@pytest.mark.parametrize(("lie", "status"), LIES_ABOUT_KEYS)
async def test_no_token_passes_on_the_word_of_an_issuer_that_lies_about_its_keys(
    lie: dict[str, Answer], status: int
) -> None:
    with liar(lie) as issuer, gate([{"issuer": issuer.url}]) as front:
        answer = await front.call(token_of(issuer.url, front))

    assert answer.status_code == status
    assert [verdict for verdict, _ in front.records.verdicts] == ["broken" if status == 503 else "deny"]


def said(**changes: Any) -> Callable[[Gate], Answer]:
    """Return what says of a token that it is good, with these changes; ``None`` leaves a claim out."""

    def answer(front: Gate) -> Answer:
        claims = {
            "active": True,
            "iss": "ISSUER",
            "aud": front.resource(),
            "sub": "alice",
            "client_id": "agent",
            "scope": "docs:read",
            "token_type": "Bearer",
            "exp": int(time.time()) + 300,
            "iat": int(time.time()),
            **changes,
        }
        return as_json({name: value for name, value in claims.items() if value is not None})

    return answer


def instead(answer: Answer) -> Callable[[Gate], Answer]:
    """Return what answers so whatever it is asked."""
    return lambda front: answer


def in_disguise(*, more: bytes = b"", **how: Any) -> Callable[[Gate], Answer]:
    """Return what says that a token is good, and ``more`` after that, in an answer that is none."""
    return lambda front: Answer(said()(front).body + more, **how)


LIES_ABOUT_TOKENS: list[Any] = [
    pytest.param(said(active="true"), 503, id="active as a text"),
    pytest.param(said(active=1), 503, id="active as a number"),
    pytest.param(said(active=None), 503, id="active left out"),
    pytest.param(said(active=False), 401, id="not active"),
    pytest.param(said(aud="https://elsewhere.example.com/mcp"), 401, id="for somebody else"),
    pytest.param(said(aud=["https://elsewhere.example.com/mcp"]), 401, id="for somebody else in a list"),
    pytest.param(said(aud=None), 401, id="for nobody"),
    pytest.param(said(aud=[]), 401, id="for nobody in a list"),
    pytest.param(said(iss="https://login.example.com"), 401, id="by somebody else"),
    pytest.param(said(exp=int(time.time()) - 3600), 401, id="expired"),
    pytest.param(said(exp=None), 401, id="without an end"),
    pytest.param(said(exp="9999999999"), 401, id="until a text"),
    pytest.param(said(nbf=int(time.time()) + 3600), 401, id="not yet"),
    pytest.param(said(token_type="refresh_token"), 401, id="a refresh token"),
    pytest.param(said(client_id=None), 401, id="without a client"),
    pytest.param(said(sub=""), 401, id="of nobody"),
    pytest.param(said(cnf={"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}), 401, id="bound to a key"),
    pytest.param(said(scope=None), 403, id="without a scope"),
    pytest.param(said(scope=["docs:read"]), 403, id="with a list of scopes, which was not agreed on"),
    pytest.param(in_disguise(media_type="text/html"), 503, id="as a page"),
    pytest.param(in_disguise(status=401), 503, id="under status 401"),
    pytest.param(in_disguise(status=201), 503, id="under status 201"),
    pytest.param(in_disguise(status=500), 503, id="under status 500"),
    pytest.param(instead(PAGE), 503, id="a page"),
    pytest.param(in_disguise(more=b" " * BIG), 503, id="in ten megabytes"),
    pytest.param(instead(as_json([{"active": True}])), 503, id="a list"),
    pytest.param(instead(Answer(b"")), 503, id="nothing"),
    pytest.param(instead(Answer(b'{"active":false,"active":true}')), 503, id="active twice"),
]


@pytest.mark.anyio
async def test_an_opaque_token_passes_on_the_word_of_an_issuer_that_is_honest(tmp_path: Path) -> None:
    with liar() as issuer, gate([introspecting(issuer.url, tmp_path)]) as front:
        issuer.answers[INTROSPECTION] = said()(front)

        answer = await front.whoami(_OPAQUE)

    assert (answer["subject"], answer["scopes"]) == ("alice", ["docs:read"])


@pytest.mark.promise("opaque-judged-here")
@pytest.mark.anyio
@pytest.mark.parametrize(("lie", "status"), LIES_ABOUT_TOKENS)
async def test_no_opaque_token_passes_on_the_word_of_an_issuer_that_lies(
    lie: Callable[[Gate], Answer], status: int, tmp_path: Path
) -> None:
    with liar() as issuer, gate([introspecting(issuer.url, tmp_path)]) as front:
        issuer.answers[INTROSPECTION] = lie(front)

        answer = await front.call(_OPAQUE)

    assert answer.status_code == status
    assert [verdict for verdict, _ in front.records.verdicts] != ["allow"]


@pytest.mark.anyio
async def test_the_gates_secret_does_not_follow_a_redirect(tmp_path: Path) -> None:
    with liar() as elsewhere, liar() as issuer, gate([introspecting(issuer.url, tmp_path)]) as front:
        moved = {"location": elsewhere.url + INTROSPECTION}
        issuer.answers[INTROSPECTION] = Answer(b"", 307, headers=moved)
        elsewhere.answers[INTROSPECTION] = said(iss=issuer.url)(front)

        answer = await front.call(_OPAQUE)

    assert answer.status_code == 503
    assert issuer.asked == [METADATA, INTROSPECTION]
    assert elsewhere.asked == []
    assert orjson.loads(answer.content) == {"error": "unavailable"}


def granted(**changes: Any) -> Answer:
    """Return an answer with a token, with these changes; ``None`` leaves a member out."""
    members = {"access_token": "upstream-token", "token_type": "Bearer", "expires_in": 300, **changes}
    return as_json({name: value for name, value in members.items() if value is not None})


LIES_ABOUT_CREDENTIALS = [
    pytest.param(granted(access_token=None), id="no token"),
    pytest.param(granted(access_token=""), id="an empty token"),
    pytest.param(granted(access_token=7), id="a number as token"),
    pytest.param(granted(access_token="token\r\nx-user: root"), id="a token with a header of its own"),
    pytest.param(granted(access_token="t" * 100_000), id="a token that no header has room for"),
    pytest.param(granted(token_type=None), id="a token of no type"),
    pytest.param(granted(token_type="DPoP"), id="a token that is bound to a key"),
    pytest.param(granted(issued_token_type="urn:ietf:params:oauth:token-type:id_token"), id="an ID token"),
    pytest.param(granted(expires_in="300"), id="a lifetime as a text"),
    pytest.param(granted(expires_in=-1), id="a lifetime that is over"),
    pytest.param(Answer(granted().body, 500), id="a token with an error"),
    pytest.param(Answer(b'{"error":"invalid_client"}', 401), id="that it does not know the gate"),
    pytest.param(Answer(b'{"error":"invalid_scope"}', 400), id="that the gate may not have these scopes"),
    pytest.param(PAGE, id="a page"),
    pytest.param(Answer(granted().body + b" " * BIG), id="ten megabytes"),
    pytest.param(Answer(b"", 307, headers={"location": "/jwks"}), id="that it has moved"),
    pytest.param(Answer(b'{"access_token":"a","token_type":"Bearer","access_token":"b"}'), id="two tokens"),
]


@pytest.mark.anyio
async def test_the_application_gets_the_token_of_an_issuer_that_is_honest(tmp_path: Path) -> None:
    with liar({TOKEN: granted()}) as issuer:
        route = {"credentials": credentials("client_credentials", issuer.url, tmp_path)}
        with gate([{"issuer": issuer.url}], {DOCS: route}) as front:
            answer = await front.whoami(token_of(issuer.url, front))

    assert answer["authorization"] == "Bearer upstream-token"


@pytest.mark.promise("own-credentials")
@pytest.mark.anyio
@pytest.mark.parametrize("lie", LIES_ABOUT_CREDENTIALS)
async def test_the_application_gets_nothing_from_an_issuer_that_does_not_keep_to_the_protocol(
    lie: Answer, tmp_path: Path
) -> None:
    with liar({TOKEN: lie}) as issuer:
        route = {"credentials": credentials("client_credentials", issuer.url, tmp_path)}
        with gate([{"issuer": issuer.url}], {DOCS: route}) as front:
            answer = await front.call(token_of(issuer.url, front))

    assert answer.status_code == 503
    assert front.records.verdicts == [("broken", "credential-unavailable")]
