import asyncio
import gc
import http.client
import socket
import threading
import traceback
from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import orjson
import pytest
from anyio import wait_all_tasks_blocked

from tests.support.asgi import Reply, Spy, call, http_scope
from tests.support.audit import Records
from tests.support.fetching import fetch_within, loopback_fetch
from tests.support.mcp import LEGACY, legacy, modern
from tests.support.servers import serve
from tests.support.token_endpoint import (
    CLIENT,
    TOKEN_ENDPOINT,
    ScriptedIssuer,
    issued,
    refused,
)
from tests.support.tokens import ISSUER, Clock, Token, jwks
from tunnelgate import (
    AuditLog,
    Credential,
    CredentialUnavailable,
    ExchangedToken,
    Fetch,
    Fetched,
    Handover,
    OwnToken,
    Policy,
    Reason,
    StaticToken,
    TokenEndpoint,
    UpstreamCredentials,
)
from tunnelgate.asgi import ASGIApp, Message, Receive, Scope, Send
from tunnelgate.chain import build_gate
from tunnelgate.credentials import MAX_LIFETIME, REMEMBERED_TOKENS, UNKNOWN_LIFETIME
from tunnelgate.materials import gather
from tunnelgate.reading.bearer import MAX_TOKEN
from tunnelgate.reading.fault import Fault

NOW = 1_800_000_000
HOST = ("host", "docs.example.com")
STATIC = "static-upstream-token"
SECRET = "s3cr3t-of-the-client"
RETRY = 5.0  # seconds
OWN: Mapping[str, Any] = {
    "client_credentials": {
        "client_id": "gate",
        "client_secret_env": "GATE_SECRET",
        "token_endpoint": TOKEN_ENDPOINT,
        "scopes": ["wiki:read"],
    }
}
EXCHANGE: Mapping[str, Any] = {
    "token_exchange": {
        "client_id": "gate",
        "client_secret_env": "GATE_SECRET",
        "token_endpoint": TOKEN_ENDPOINT,
        "audience": "wiki",
    }
}
KINDS = [
    pytest.param({"bearer_env": "GATE_TOKEN"}, id="one token for everybody"),
    pytest.param(OWN, id="the gate's own token"),
    pytest.param(EXCHANGE, id="a token for each caller"),
]
FETCHED = KINDS[1:]


@pytest.fixture(autouse=True)
def secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATE_TOKEN", STATIC)
    monkeypatch.setenv("GATE_SECRET", SECRET)


@cache
def _minted(subject: str) -> str:
    return Token(claims={"sub": subject}).mint(NOW)


def callers_token(subject: str = "alice") -> str:
    return _minted(subject)  # the same each time, as a caller's is until it expires


class Gate:
    """The whole chain around one application, with what came through and what was written down."""

    def __init__(
        self,
        folder: Path,
        credentials: Mapping[str, Any] | None,
        fetch: Fetch | None = None,
        app: ASGIApp | None = None,
        credential: Credential | None = None,
        **route: Any,
    ) -> None:
        """``credential`` stands in for what ``credentials`` say, with a clock of its own."""
        self.spy = Spy()
        self.records = Records()
        (folder / "jwks.json").write_bytes(jwks("ES256"))
        policy = Policy.from_mapping(
            {
                "clients": {"allowed_ips": ["127.0.0.1"]},
                "oauth": {"issuers": [{"issuer": ISSUER, "jwks_file": folder / "jwks.json"}]},
                "routes": {
                    "docs.example.com": {
                        "scopes": ["docs:read"],
                        "tools": {"search_docs": None, "edit_doc": {"scopes": ["docs:write"]}},
                        "public_paths": ["/healthz"],
                        "credentials": credentials,
                        **route,
                    }
                },
            }
        )
        materials = gather(policy, fetch=fetch, audit=self.records)
        if credential is not None:
            materials = replace(materials, credentials={"docs.example.com": credential})
        target = app or self.spy
        targets = dict.fromkeys(policy.routes, target)
        self.app = build_gate(policy, targets, target, materials, clock=lambda: NOW)

    async def ask(
        self,
        subject: str = "alice",
        *,
        tool: str = "search_docs",
        make: Callable[..., tuple[list[tuple[str, str]], bytes]] = legacy,
        more: Sequence[tuple[str, str]] = (),
        authorization: str | None = None,
    ) -> Reply:
        headers, body = make("tools/call", {"name": tool, "arguments": {}})
        sent = authorization or f"Bearer {callers_token(subject)}"
        return await call(self.app, http_scope(headers=[*headers, ("authorization", sent), *more]), body)

    @property
    def authorizations(self) -> list[list[str]]:
        """Every ``Authorization`` of each request that reached the application."""
        return [
            [value.decode() for name, value in scope["headers"] if name == b"authorization"]
            for scope in self.spy.scopes
        ]


def error_in(reply: Reply) -> tuple[int, str]:
    error = reply.json()["error"]
    return error["code"], error["message"]


# What the application gets.


@pytest.mark.parametrize(
    ("credentials", "tokens"),
    [
        pytest.param(None, [list[str]()] * 2, id="none"),
        pytest.param({"bearer_env": "GATE_TOKEN"}, [[f"Bearer {STATIC}"]] * 2, id="one for everybody"),
        pytest.param(OWN, [["Bearer first"]] * 2, id="the gate's own"),
        pytest.param(EXCHANGE, [["Bearer first"], ["Bearer second"]], id="one for each caller"),
    ],
)
@pytest.mark.parametrize("make", [legacy, modern])
@pytest.mark.promise("own-credentials")
@pytest.mark.anyio
async def test_the_application_gets_one_authorization_that_was_made_for_it_or_none(
    tmp_path: Path,
    credentials: Mapping[str, Any] | None,
    tokens: list[list[str]],
    make: Callable[..., tuple[list[tuple[str, str]], bytes]],
) -> None:
    issuer = ScriptedIssuer(issued("first"), issued("second"))
    gate = Gate(tmp_path, credentials, issuer.fetch)

    replies = [await gate.ask(subject, make=make) for subject in ("alice", "bob")]

    assert [reply.status for reply in replies] == [200, 200]
    assert gate.authorizations == tokens
    assert gate.records.verdicts == [("allow", None)] * 2


@pytest.mark.parametrize("credentials", [pytest.param(None, id="no credentials"), *KINDS])
@pytest.mark.promise("token-stays-here")
@pytest.mark.anyio
async def test_the_callers_token_reaches_the_application_in_no_header(
    tmp_path: Path, credentials: Mapping[str, Any] | None
) -> None:
    token = callers_token()
    gate = Gate(tmp_path, credentials, ScriptedIssuer(issued()).fetch, forward_headers=["X-Tenant"])
    others = [
        "cookie",
        "dpop",
        "proxy-authorization",
        "x-access-token",
        "x-amzn-oidc-accesstoken",
        "x-auth-request-access-token",
        "x-authorization",
        "x-forwarded-access-token",
        "x-original-authorization",
    ]

    reply = await gate.ask(more=[(name, f"Bearer {token}") for name in others])

    assert reply.status == 200
    (scope,) = gate.spy.scopes
    assert token not in repr(scope)
    assert token.rpartition(".")[2] not in repr(scope)
    assert len([name for name, _ in scope["headers"] if name == b"authorization"]) == (
        credentials is not None
    )


@pytest.mark.parametrize("scheme", ["bearer", "BEARER", "Bearer"])
@pytest.mark.promise("own-credentials")
@pytest.mark.anyio
async def test_in_whatever_case_the_callers_scheme_stands_the_application_gets_the_gates(
    tmp_path: Path, scheme: str
) -> None:
    gate = Gate(tmp_path, {"bearer_env": "GATE_TOKEN"})

    await gate.ask(authorization=f"{scheme} {callers_token()}")

    assert gate.authorizations == [[f"Bearer {STATIC}"]]


@pytest.mark.promise("own-credentials")
@pytest.mark.anyio
async def test_each_caller_s_token_is_exchanged_for_one_of_its_own(tmp_path: Path) -> None:
    issuer = ScriptedIssuer(issued("for-alice"), issued("for-bob"))
    gate = Gate(tmp_path, EXCHANGE, issuer.fetch)

    for subject in ("alice", "bob", "alice", "bob"):
        await gate.ask(subject)

    assert gate.authorizations == [["Bearer for-alice"], ["Bearer for-bob"]] * 2
    assert [(asked.form or {})["subject_token"] for asked in issuer.asked] == [
        callers_token("alice"),
        callers_token("bob"),
    ]
    assert {(asked.url, (asked.form or {})["audience"]) for asked in issuer.asked} == {
        (TOKEN_ENDPOINT, "wiki")
    }


@pytest.mark.promise("token-stays-here")
@pytest.mark.anyio
async def test_a_token_of_its_own_is_fetched_without_a_word_about_the_caller(tmp_path: Path) -> None:
    issuer = ScriptedIssuer(issued())
    gate = Gate(tmp_path, OWN, issuer.fetch)

    await gate.ask()

    (asked,) = issuer.asked
    assert asked.form == {"grant_type": "client_credentials", "scope": "wiki:read"}
    assert callers_token() not in repr(issuer.asked)
    assert sorted(asked.headers) == ["authorization"]


@pytest.mark.parametrize("credentials", KINDS)
@pytest.mark.promise("own-credentials")
@pytest.mark.anyio
async def test_a_public_path_gets_what_its_caller_sent_and_nothing_of_the_gate_s(
    tmp_path: Path, credentials: Mapping[str, Any]
) -> None:
    issuer = ScriptedIssuer(issued())
    gate = Gate(tmp_path, credentials, issuer.fetch)

    for headers in ([HOST], [HOST, ("authorization", "Basic YTpi")]):
        await call(gate.app, http_scope("GET", "/healthz", headers))

    assert gate.authorizations == [[], ["Basic YTpi"]]
    assert issuer.asked == []


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        pytest.param({"authorization": "Bearer no-token-of-ours"}, Reason.TOKEN_MALFORMED, id="a bad token"),
        pytest.param({"tool": "edit_doc"}, Reason.SCOPE_MISSING, id="a scope too few"),
        pytest.param({"tool": "delete_doc"}, Reason.TOOL_NOT_ALLOWED, id="a tool that is not listed"),
        pytest.param(
            {"more": [("authorization", "Bearer a")]}, Reason.HEADER_DUPLICATED, id="two authorizations"
        ),
        pytest.param({"more": [("origin", "https://evil.example")]}, Reason.ORIGIN_NOT_ALLOWED, id="a page"),
    ],
)
@pytest.mark.parametrize("credentials", FETCHED)
@pytest.mark.anyio
async def test_for_a_request_that_is_refused_nobody_is_asked_for_a_token(
    tmp_path: Path, credentials: Mapping[str, Any], request_: dict[str, Any], reason: Reason
) -> None:
    issuer = ScriptedIssuer(issued())
    gate = Gate(tmp_path, credentials, issuer.fetch)

    await gate.ask(**request_)

    assert gate.records.verdicts == [("deny", reason)]
    assert (issuer.asked, gate.spy.scopes) == ([], [])


# When there is none.


@pytest.mark.parametrize("error", ["access_denied", "invalid_grant", "invalid_request", "invalid_token"])
@pytest.mark.promise("callers-protocol")
@pytest.mark.anyio
async def test_a_caller_for_whom_the_issuer_has_no_token_is_refused_in_its_protocol(
    tmp_path: Path, error: str
) -> None:
    gate = Gate(tmp_path, EXCHANGE, ScriptedIssuer(refused(error)).fetch)

    reply = await gate.ask()

    assert (reply.status, error_in(reply)) == (403, (-32600, "Access denied"))
    assert reply.json()["id"] == 1
    assert reply.json()["error"]["data"] == {"requestId": gate.records.all[0]["request_id"]}
    assert reply.header("www-authenticate") is None, "another token of the same kind would be refused too"
    assert gate.records.verdicts == [("deny", Reason.CREDENTIAL_REFUSED)]
    assert gate.records.all[0]["detail"] == error
    assert gate.records.all[0]["principal"]["subject"] == "alice"
    assert gate.spy.scopes == []


def stream() -> tuple[str, list[tuple[str, str]], bytes]:
    return "GET", [HOST, ("accept", "text/event-stream"), ("mcp-protocol-version", LEGACY)], b""


def notification() -> tuple[str, list[tuple[str, str]], bytes]:
    headers, body = legacy("notifications/initialized")
    message = orjson.loads(body)
    del message["id"]
    return "POST", headers, orjson.dumps(message)


def call_in(make: Callable[..., tuple[list[tuple[str, str]], bytes]]) -> Callable[[], Any]:
    return lambda: ("POST", *make("tools/call", {"name": "search_docs", "arguments": {}}))


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(call_in(legacy), id="a call"),
        pytest.param(call_in(modern), id="a call of the modern era"),
        pytest.param(notification, id="a notification"),
        pytest.param(stream, id="a stream"),
    ],
)
@pytest.mark.parametrize(
    ("answer", "status", "message"),
    [
        pytest.param(refused(), 403, "Access denied", id="refused"),
        pytest.param(OSError("connection refused"), 503, "Temporarily unavailable", id="broken"),
    ],
)
@pytest.mark.promise("callers-protocol")
@pytest.mark.anyio
async def test_whatever_was_asked_without_a_token_the_answer_is_the_gate_s_own(
    tmp_path: Path, make: Callable[[], Any], answer: Fetched | Exception, status: int, message: str
) -> None:
    gate = Gate(tmp_path, EXCHANGE, ScriptedIssuer(answer).fetch)
    method, headers, body = make()
    authorization = ("authorization", f"Bearer {callers_token()}")

    reply = await call(gate.app, http_scope(method, headers=[*headers, authorization]), body)

    assert (reply.status, error_in(reply)[1]) == (status, message)
    assert reply.header("cache-control") == "no-store"
    assert len(gate.records.all) == 1


@pytest.mark.anyio
async def test_that_one_caller_is_refused_is_nothing_to_another(tmp_path: Path) -> None:
    gate = Gate(tmp_path, EXCHANGE, ScriptedIssuer(refused(), issued()).fetch)

    assert [(await gate.ask(subject)).status for subject in ("alice", "bob")] == [403, 200]


@pytest.mark.parametrize(
    ("answer", "detail"),
    [
        pytest.param(OSError("connection refused"), "token endpoint: connection refused", id="down"),
        pytest.param(
            OSError("no whole answer within 5 seconds"),
            "token endpoint: no whole answer within 5 seconds",
            id="slow",
        ),
        pytest.param(
            refused("invalid_client", 401),
            "token endpoint: status 401, invalid_client",
            id="not for the gate",
        ),
        pytest.param(
            issued(token_type="DPoP"), "token endpoint: a token that is not a bearer token", id="lying"
        ),
        pytest.param(issued("a b"), "token endpoint: an answer without a token", id="lying about a token"),
    ],
)
@pytest.mark.parametrize("credentials", FETCHED)
@pytest.mark.promise("refused-or-broken")
@pytest.mark.anyio
async def test_without_an_answer_that_can_be_believed_the_request_is_broken(
    tmp_path: Path, credentials: Mapping[str, Any], answer: Fetched | Exception, detail: str
) -> None:
    issuer = ScriptedIssuer(answer, issued())
    gate = Gate(tmp_path, credentials, issuer.fetch)

    replies = [await gate.ask() for _ in range(2)]

    assert [(each.status, error_in(each)) for each in replies] == [
        (503, (-32603, "Temporarily unavailable"))
    ] * 2
    assert gate.records.verdicts == [("broken", Reason.CREDENTIAL_UNAVAILABLE)] * 2
    assert [record["detail"] for record in gate.records.all] == [detail] * 2
    assert (len(issuer.asked), gate.spy.scopes) == (1, [])


@pytest.mark.promise("refused-or-broken")
@pytest.mark.anyio
async def test_an_issuer_whose_metadata_is_down_is_broken_too(tmp_path: Path) -> None:
    request = {**OWN["client_credentials"], "token_endpoint": None, "issuer": "https://wiki.example.com"}
    issuer = ScriptedIssuer(OSError("connection refused"))
    gate = Gate(tmp_path, {"client_credentials": request}, issuer.fetch)

    reply = await gate.ask()

    assert reply.status == 503
    assert [verdict for verdict, _ in gate.records.verdicts] == ["broken"]
    assert gate.spy.scopes == []


@pytest.mark.promise("token-stays-here")
@pytest.mark.anyio
async def test_an_issuer_that_gives_the_caller_s_token_back_does_not_get_it_to_the_application(
    tmp_path: Path,
) -> None:
    gate = Gate(tmp_path, EXCHANGE, ScriptedIssuer(issued(callers_token())).fetch)

    reply = await gate.ask()

    assert (reply.status, gate.spy.scopes) == (503, [])
    assert gate.records.verdicts == [("broken", Reason.CREDENTIAL_UNAVAILABLE)]


# How long a token is used.


def own(issuer: ScriptedIssuer, clock: Clock) -> OwnToken:
    return OwnToken(TokenEndpoint(TOKEN_ENDPOINT, issuer.fetch, CLIENT), clock=clock)


def exchanged(issuer: ScriptedIssuer, clock: Clock) -> ExchangedToken:
    return ExchangedToken(TokenEndpoint(TOKEN_ENDPOINT, issuer.fetch, CLIENT), clock=clock)


MAKERS = [pytest.param(own, id="the gate's own"), pytest.param(exchanged, id="exchanged")]
Make = Callable[[ScriptedIssuer, Clock], Credential]


@pytest.mark.parametrize(
    ("lifetime", "used_for"),
    [
        pytest.param(600, 540, id="nine tenths of its life"),
        pytest.param(1, 0.9, id="nine tenths of a second"),
        pytest.param(None, UNKNOWN_LIFETIME * 0.9, id="a minute's where nobody said"),
        pytest.param(MAX_LIFETIME, MAX_LIFETIME * 0.9, id="an hour's"),
        pytest.param(86400, MAX_LIFETIME * 0.9, id="an hour's and no more"),
        pytest.param(10**15, MAX_LIFETIME * 0.9, id="an hour's of an eternity"),
    ],
)
@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.anyio
async def test_a_token_is_used_until_shortly_before_it_expires(
    make: Make, lifetime: float | None, used_for: float
) -> None:
    clock, issuer = Clock(0), ScriptedIssuer(issued("old", expires_in=lifetime), issued("new"))
    credential = make(issuer, clock)

    used: list[str] = []
    for clock.now in (0, used_for - 0.001, used_for):
        used.append(await credential.token_for(b"alice"))

    assert used == ["old", "old", "new"]
    assert len(issuer.asked) == 2


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.anyio
async def test_a_token_that_is_over_at_once_is_used_for_who_waited_for_it(make: Make) -> None:
    issuer = ScriptedIssuer(issued("old", expires_in=0), issued("new", expires_in=0))
    credential = make(issuer, Clock(0))

    assert [await credential.token_for(b"alice") for _ in range(2)] == ["old", "new"]


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.anyio
async def test_its_life_begins_when_it_was_asked_for(make: Make) -> None:
    clock, issuer = Clock(0), ScriptedIssuer(issued("old", expires_in=100), issued("new"))
    issuer.answers.clear()
    credential = make(issuer, clock)

    first = asyncio.create_task(_token_of(credential))
    await issuer.was_asked.wait()
    clock.now = 60
    issuer.answers.set()

    assert await first == "old"
    clock.now = 89.9
    assert await credential.token_for(b"alice") == "old"
    clock.now = 90
    assert await credential.token_for(b"alice") == "new"


async def _token_of(credential: Credential, token: bytes = b"alice") -> str:
    return await credential.token_for(token)


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.promise("refused-or-broken")
@pytest.mark.anyio
async def test_a_token_that_is_over_is_not_used_while_the_issuer_is_down(make: Make) -> None:
    clock, issuer = Clock(0), ScriptedIssuer(issued("old", expires_in=100), OSError("connection refused"))
    credential = make(issuer, clock)
    await credential.token_for(b"alice")

    clock.now = 90

    with pytest.raises(CredentialUnavailable):
        await credential.token_for(b"alice")


# Many at once.


@asynccontextmanager
async def waiting(credential: Credential, *tokens: bytes) -> AsyncGenerator[list["asyncio.Task[str]"]]:
    """Give the requests with these tokens when all of them wait for an answer."""
    tasks = [asyncio.create_task(_token_of(credential, token)) for token in tokens]
    await wait_all_tasks_blocked()
    yield tasks
    await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.promise("bounded")
@pytest.mark.anyio
async def test_many_requests_that_need_the_same_token_fetch_it_once(make: Make) -> None:
    issuer = ScriptedIssuer(issued("one"), issued("two"))
    issuer.answers.clear()

    async with waiting(make(issuer, Clock(0)), *[b"alice"] * 50) as tasks:
        assert len(issuer.asked) == 1
        issuer.answers.set()

    assert {task.result() for task in tasks} == {"one"}
    assert len(issuer.asked) == 1


@pytest.mark.anyio
async def test_many_callers_do_not_wait_for_one_another() -> None:
    issuer = ScriptedIssuer(issued())
    issuer.answers.clear()

    async with waiting(exchanged(issuer, Clock(0)), b"alice", b"bob", b"alice", b"carol"):
        assert [(asked.form or {})["subject_token"] for asked in issuer.asked] == ["alice", "bob", "carol"]
        issuer.answers.set()


@pytest.mark.parametrize("gone", [pytest.param([0], id="who began"), pytest.param([0, 1, 3], id="most")])
@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.anyio
async def test_a_request_that_goes_away_takes_the_token_from_nobody(make: Make, gone: list[int]) -> None:
    issuer = ScriptedIssuer(issued("one"), issued("two"))
    issuer.answers.clear()

    async with waiting(make(issuer, Clock(0)), *[b"alice"] * 4) as tasks:
        for position in gone:
            tasks[position].cancel()
        await wait_all_tasks_blocked()
        issuer.answers.set()

    assert [task.cancelled() for task in tasks] == [position in gone for position in range(4)]
    assert {task.result() for task in tasks if not task.cancelled()} == {"one"}
    assert len(issuer.asked) == 1


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.anyio
async def test_when_all_are_gone_the_token_is_there_for_who_comes_next(make: Make) -> None:
    issuer = ScriptedIssuer(issued("one"), issued("two"))
    issuer.answers.clear()
    credential = make(issuer, Clock(0))

    async with waiting(credential, b"alice", b"alice") as tasks:
        for task in tasks:
            task.cancel()
        await wait_all_tasks_blocked()
        issuer.answers.set()

    assert await credential.token_for(b"alice") == "one"
    assert len(issuer.asked) == 1


def complaints_of_the_loop() -> list[Mapping[str, Any]]:
    """Return what the loop of this test complains about from now on."""
    complaints: list[Mapping[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    return complaints


@pytest.mark.parametrize(
    "answer", [pytest.param(OSError("down"), id="down"), pytest.param(refused(), id="refused")]
)
@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.anyio
async def test_when_all_are_gone_nobody_complains_that_there_was_no_token(
    make: Make, answer: Fetched | Exception
) -> None:
    complaints = complaints_of_the_loop()
    clock, issuer = Clock(0), ScriptedIssuer(answer, issued("two"))
    issuer.answers.clear()
    credential = make(issuer, clock)

    async with waiting(credential, b"alice") as tasks:
        tasks[0].cancel()
        await wait_all_tasks_blocked()
        issuer.answers.set()
        await wait_all_tasks_blocked()
        tasks.clear()  # what is still held by somebody is not complained about
    gc.collect()

    assert complaints == []
    clock.now = RETRY
    assert await credential.token_for(b"alice") == "two"


@pytest.mark.anyio
async def test_a_fetch_that_is_cancelled_with_the_server_leaves_nothing_behind() -> None:
    issuer = ScriptedIssuer(issued("one"), issued("two"))
    issuer.answers.clear()
    complaints, credential = complaints_of_the_loop(), own(issuer, Clock(0))
    before = asyncio.all_tasks()

    async with waiting(credential, b"alice") as tasks:
        (fetching,) = asyncio.all_tasks() - before - set(tasks)
        fetching.cancel()

    assert (tasks[0].cancelled(), complaints) == (True, [])
    issuer.answers.set()
    assert await credential.token_for(b"alice") == "two"


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.promise("refused-or-broken")
@pytest.mark.anyio
async def test_all_who_wait_hear_that_there_is_none(make: Make) -> None:
    issuer = ScriptedIssuer(OSError("connection refused"), issued())
    issuer.answers.clear()

    async with waiting(make(issuer, Clock(0)), *[b"alice"] * 3) as tasks:
        issuer.answers.set()

    assert [type(task.exception()) for task in tasks] == [CredentialUnavailable] * 3
    assert len(issuer.asked) == 1


# How long there is none.


async def outcome_at(credential: Credential, clock: Clock, moment: float, caller: bytes = b"alice") -> str:
    """Return the token of a caller at a moment, or why there is none."""
    clock.now = moment
    try:
        return await credential.token_for(caller)
    except (Fault, CredentialUnavailable) as error:
        return f"{error.reason}"


BROKEN = Reason.CREDENTIAL_UNAVAILABLE


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.promise("bounded")
@pytest.mark.anyio
async def test_an_issuer_that_failed_is_asked_again_after_five_seconds(make: Make) -> None:
    clock, issuer = Clock(0), ScriptedIssuer(OSError("down"), OSError("down"), issued("one"))
    credential = make(issuer, clock)

    seen = [
        (await outcome_at(credential, clock, moment), len(issuer.asked))
        for moment in (0, 0, 4.9, RETRY, 9.9, 2 * RETRY, 2 * RETRY)
    ]

    assert seen == [(BROKEN, 1)] * 3 + [(BROKEN, 2)] * 2 + [("one", 3)] * 2


@pytest.mark.promise("bounded")
@pytest.mark.anyio
async def test_a_caller_who_was_refused_is_asked_for_again_after_five_seconds() -> None:
    clock, issuer = Clock(0), ScriptedIssuer(refused(), issued("one"))
    credential = exchanged(issuer, clock)

    seen = [(await outcome_at(credential, clock, moment), len(issuer.asked)) for moment in (0, 0, 4.9, RETRY)]

    assert seen == [(Reason.CREDENTIAL_REFUSED, 1)] * 3 + [("one", 2)]


@pytest.mark.anyio
async def test_the_five_seconds_begin_when_the_issuer_has_failed() -> None:
    clock, issuer = Clock(0), ScriptedIssuer(OSError("down"), issued("one"))
    issuer.answers.clear()
    credential = own(issuer, clock)

    async with waiting(credential, b"alice") as tasks:
        clock.now = 100
        issuer.answers.set()

    assert isinstance(tasks[0].exception(), CredentialUnavailable)
    assert await outcome_at(credential, clock, 104.9) == BROKEN
    assert await outcome_at(credential, clock, 105) == "one"


@pytest.mark.anyio
async def test_what_was_said_of_one_caller_is_not_held_against_another() -> None:
    clock, issuer = Clock(0), ScriptedIssuer(refused(), OSError("down"), issued("for-carol"))
    credential = exchanged(issuer, clock)

    seen = [await outcome_at(credential, clock, 0, caller) for caller in (b"alice", b"bob", b"carol")]
    again = [await outcome_at(credential, clock, 1, caller) for caller in (b"alice", b"bob", b"carol")]

    assert seen == again == [Reason.CREDENTIAL_REFUSED, BROKEN, "for-carol"]
    assert len(issuer.asked) == 3


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.anyio
async def test_a_failure_is_forgotten_with_the_next_token(make: Make) -> None:
    clock = Clock(0)
    issuer = ScriptedIssuer(OSError("down"), issued("one", expires_in=1), issued("two"))
    credential = make(issuer, clock)

    seen = [await outcome_at(credential, clock, moment) for moment in (0, RETRY, RETRY + 1)]

    assert seen == [BROKEN, "one", "two"]


@pytest.mark.promise("bounded")
@pytest.mark.anyio
async def test_the_failures_of_so_many_callers_are_remembered_and_no_more() -> None:
    clock, issuer = Clock(0), ScriptedIssuer(refused())
    credential = exchanged(issuer, clock)
    callers = [b"caller-%d" % each for each in range(REMEMBERED_TOKENS + 1)]

    for caller in callers:
        await outcome_at(credential, clock, 0, caller)
    asked = len(issuer.asked)
    for caller in callers[1:]:
        await outcome_at(credential, clock, 0, caller)
    assert len(issuer.asked) == asked == REMEMBERED_TOKENS + 1

    await outcome_at(credential, clock, 0, callers[0])
    assert len(issuer.asked) == asked + 1


@pytest.mark.anyio
async def test_a_caller_who_is_refused_again_is_the_newest_of_the_refused() -> None:
    clock, issuer = Clock(0), ScriptedIssuer(refused())
    credential = exchanged(issuer, clock)
    for each in range(REMEMBERED_TOKENS):
        await outcome_at(credential, clock, 0, b"caller-%d" % each)
    await outcome_at(credential, clock, RETRY, b"caller-0")

    await outcome_at(credential, clock, RETRY, b"one more")
    asked = len(issuer.asked)
    await outcome_at(credential, clock, RETRY, b"caller-0")

    assert len(issuer.asked) == asked


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.anyio
async def test_a_failure_that_is_remembered_grows_no_longer_with_each_request(make: Make) -> None:
    credential, depths = make(ScriptedIssuer(OSError("down")), Clock(0)), list[int]()

    for _ in range(3):
        with pytest.raises(CredentialUnavailable) as caught:
            await credential.token_for(b"alice")
        depths.append(len(list(traceback.walk_tb(caught.value.__traceback__))))

    assert depths[1] == depths[2]


@pytest.mark.promise("bounded")
@pytest.mark.anyio
async def test_the_tokens_of_so_many_callers_are_remembered_and_no_more() -> None:
    issuer = ScriptedIssuer(issued())
    credential = exchanged(issuer, Clock(0))
    callers = [b"caller-%d" % each for each in range(REMEMBERED_TOKENS + 1)]

    for caller in callers:
        await credential.token_for(caller)
    asked = len(issuer.asked)
    for caller in callers[1:]:
        await credential.token_for(caller)
    assert len(issuer.asked) == asked == REMEMBERED_TOKENS + 1

    await credential.token_for(callers[0])
    assert len(issuer.asked) == asked + 1


# When the application does not take it.


class Refusing(Spy):
    """An application that takes only this token."""

    def __init__(self, taken: str, status: int = 401) -> None:
        super().__init__()
        self.taken = taken
        self._refusal = status

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._status = (
            200 if (b"authorization", f"Bearer {self.taken}".encode()) in scope["headers"] else self._refusal
        )
        await super().__call__(scope, receive, send)


async def statuses_at(gate: Gate, clock: Clock, *moments: float) -> list[int]:
    statuses: list[int] = []
    for clock.now in moments:
        statuses.append((await gate.ask()).status)
    return statuses


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.promise("own-credentials")
@pytest.mark.anyio
async def test_a_token_that_the_application_refuses_is_fetched_anew_for_the_next_request(
    tmp_path: Path, make: Make
) -> None:
    clock, issuer = Clock(0), ScriptedIssuer(issued("revoked"), issued("good"))
    app = Refusing("revoked")
    gate = Gate(tmp_path, None, app=app, credential=make(issuer, clock))

    before = await statuses_at(gate, clock, 0, 4.9)
    app.taken = "good"
    after = await statuses_at(gate, clock, RETRY, RETRY, 100)

    assert (before, after) == ([200, 200], [502, 200, 200])
    assert len(issuer.asked) == 2
    assert gate.records.verdicts == [("allow", None)] * 5


@pytest.mark.parametrize("credentials", FETCHED)
@pytest.mark.promise("bounded")
@pytest.mark.anyio
async def test_an_application_that_refuses_every_token_does_not_make_the_gate_fetch_one_a_request(
    tmp_path: Path, credentials: Mapping[str, Any]
) -> None:
    issuer = ScriptedIssuer(issued("one"), issued("two"))
    gate = Gate(tmp_path, credentials, issuer.fetch, Refusing("another"))

    statuses = [(await gate.ask()).status for _ in range(10)]

    assert statuses == [502] * 10
    assert len(issuer.asked) == 1


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.promise("bounded")
@pytest.mark.anyio
async def test_where_every_token_is_refused_one_is_fetched_in_five_seconds(
    tmp_path: Path, make: Make
) -> None:
    clock, issuer = Clock(0), ScriptedIssuer(issued("one"), issued("two"), issued("three"))
    gate = Gate(tmp_path, None, app=Refusing("another"), credential=make(issuer, clock))

    asked: list[int] = []
    for moment in (0, 4.9, 5, 5, 9.9, 10, 10):
        assert await statuses_at(gate, clock, moment) == [502]
        asked.append(len(issuer.asked))

    assert asked == [1, 1, 1, 2, 2, 2, 3]


@pytest.mark.anyio
async def test_the_five_seconds_of_a_token_begin_when_it_is_there() -> None:
    clock, issuer = Clock(0), ScriptedIssuer(issued("one"), issued("two"))
    issuer.answers.clear()
    credential = own(issuer, clock)
    async with waiting(credential, b"alice"):
        clock.now = 60
        issuer.answers.set()

    clock.now = 64.9
    credential.forget(b"alice", "one")
    kept = await credential.token_for(b"alice")
    clock.now = 65
    credential.forget(b"alice", "one")

    assert (kept, await credential.token_for(b"alice")) == ("one", "two")


@pytest.mark.parametrize("make", MAKERS)
def test_a_refusal_of_a_token_that_there_never_was_is_nothing(make: Make) -> None:
    credential = make(ScriptedIssuer(issued()), Clock(0))

    credential.forget(b"alice", "upstream-token")


@pytest.mark.promise("era-kept")
@pytest.mark.anyio
async def test_that_the_gate_s_token_was_refused_is_no_challenge_to_the_caller(tmp_path: Path) -> None:
    gate = Gate(tmp_path, {"bearer_env": "GATE_TOKEN"}, app=Refusing("another"))

    reply = await gate.ask()

    assert reply.status == 502
    assert reply.header("www-authenticate") is None


@pytest.mark.parametrize("status", [200, 400, 403, 404, 429, 500, 503])
@pytest.mark.anyio
async def test_any_other_answer_is_about_the_request_and_the_token_is_kept(
    tmp_path: Path, status: int
) -> None:
    issuer = ScriptedIssuer(issued("one"), issued("two"))
    gate = Gate(tmp_path, OWN, issuer.fetch, Refusing("another", status))

    for _ in range(2):
        await gate.ask()

    assert len(issuer.asked) == 1


@pytest.mark.anyio
async def test_a_refused_token_of_one_caller_costs_no_other_its_own(tmp_path: Path) -> None:
    clock, issuer = Clock(0), ScriptedIssuer(issued("for-alice"), issued("for-bob"), issued("again"))
    gate = Gate(tmp_path, None, app=Refusing("for-bob"), credential=exchanged(issuer, clock))
    for subject in ("alice", "bob"):
        await gate.ask(subject)

    clock.now = RETRY
    statuses = [(await gate.ask(subject)).status for subject in ("alice", "bob", "alice", "bob")]

    assert statuses == [502, 200, 502, 200]
    assert [(asked.form or {})["subject_token"] for asked in issuer.asked] == [
        callers_token(subject) for subject in ("alice", "bob", "alice")
    ]


class Slow:
    """An application that answers 401 to the first token, and to one request only when it is told to."""

    def __init__(self) -> None:
        self.is_there = asyncio.Event()
        self.answers = asyncio.Event()
        self.seen: list[bytes] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        token = dict(scope["headers"])[b"authorization"]
        self.seen.append(token)
        if len(self.seen) == 1:
            self.is_there.set()
            await self.answers.wait()
        status = 401 if token == b"Bearer revoked" else 200
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b'{"jsonrpc":"2.0","id":1,"result":{}}'})


@pytest.mark.promise("own-credentials")
@pytest.mark.anyio
async def test_a_late_refusal_of_an_old_token_forgets_no_newer_one(tmp_path: Path) -> None:
    issuer, app = ScriptedIssuer(issued("revoked"), issued("good"), issued("needless")), Slow()
    clock = Clock(0)
    gate = Gate(tmp_path, None, app=app, credential=own(issuer, clock))

    late = asyncio.create_task(gate.ask())
    await app.is_there.wait()
    before = await statuses_at(gate, clock, RETRY, RETRY)
    clock.now = 2 * RETRY
    app.answers.set()
    after = [(await late).status, (await gate.ask()).status]

    assert (before, after) == ([502, 200], [502, 200])
    assert app.seen[-1] == b"Bearer good"
    assert len(issuer.asked) == 2


# The layer alone, and one token for everybody.


@pytest.mark.parametrize(
    "token",
    [
        pytest.param("", id="nothing"),
        pytest.param("a b", id="two of them"),
        pytest.param("canary\n", id="a line end"),
        pytest.param("canary\r\nx-admin: 1", id="another header"),
        pytest.param("cänary", id="Unicode"),
        pytest.param("canary\udcff", id="what a variable holds that is not UTF-8"),
        pytest.param("Bearer canary", id="the scheme as well"),
        pytest.param("=canary", id="padding before"),
        pytest.param("c" * (MAX_TOKEN + 1), id="one octet too many"),
    ],
)
def test_what_is_no_token_is_refused_at_construction_and_not_repeated(token: str) -> None:
    with pytest.raises(ValueError, match=r"^is not a bearer token$") as caught:
        StaticToken(token)

    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("token", [b"alice", None])
@pytest.mark.anyio
async def test_one_token_for_everybody_is_that_token(token: bytes | None) -> None:
    longest = "c" * MAX_TOKEN

    assert await StaticToken(longest).token_for(token) == longest


@pytest.mark.promise("own-credentials")
@pytest.mark.anyio
async def test_used_alone_the_layer_gives_the_application_its_token_in_place_of_the_callers() -> None:
    spy = Spy()
    app = AuditLog(UpstreamCredentials(spy, StaticToken(STATIC)), sink=Records())

    await call(app, http_scope(headers=[HOST, ("authorization", "Bearer callers")]))

    (scope,) = spy.scopes
    values = [value for name, value in scope["headers"] if name == b"authorization"]
    assert values == [f"Bearer {STATIC}".encode()]


@pytest.mark.anyio
async def test_an_exchange_without_a_layer_that_keeps_the_token_is_broken() -> None:
    issuer, records, spy = ScriptedIssuer(issued()), Records(), Spy()
    layer = UpstreamCredentials(Handover(spy), exchanged(issuer, Clock(0)))

    with pytest.raises(ValueError, match="there is no token to exchange"):
        await exchanged(issuer, Clock(0)).token_for(None)
    reply = await call(AuditLog(layer, sink=records), http_scope(headers=[HOST]))

    assert (reply.status, records.verdicts) == (500, [("broken", Reason.INTERNAL_ERROR)])
    assert (issuer.asked, spy.scopes) == ([], [])


@pytest.mark.anyio
async def test_start_up_and_shutdown_pass() -> None:
    said: list[str] = []
    incoming: list[Message] = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]

    async def receive() -> Message:
        return incoming.pop(0)

    async def send(message: Message) -> None:
        said.append(message["type"])

    await UpstreamCredentials(Spy(), StaticToken(STATIC))({"type": "lifespan"}, receive, send)

    assert said == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


# Over real sockets.


class Issuer:
    """A token endpoint behind a real server; ``says`` makes its answers."""

    def __init__(self, says: Callable[[Mapping[str, str]], tuple[int, str, bytes]]) -> None:
        self._says = says
        self.asked: list[tuple[str, dict[str, str], dict[str, str]]] = []
        self.hangs = threading.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await Spy()(scope, receive, send)
            return
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body", False):
                break
        form = {name: values[0] for name, values in parse_qs(body.decode(), strict_parsing=True).items()}
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        self.asked.append((scope["method"], headers, form))
        if self.hangs.is_set():
            while (await receive())["type"] != "http.disconnect":
                pass
            return
        status, media_type, answer = self._says(form)
        start = [(b"content-type", media_type.encode()), (b"content-length", b"%d" % len(answer))]
        await send({"type": "http.response.start", "status": status, "headers": start})
        await send({"type": "http.response.body", "body": answer})


def good(form: Mapping[str, str]) -> tuple[int, str, bytes]:
    token = f"for-{len(form.get('subject_token', ''))}"
    return 200, "application/json;charset=UTF-8", issued(token, issued_token_type=None).body


def over_http(kind: str, port: int) -> dict[str, Any]:
    request = {
        "client_id": "gate",
        "client_secret_env": "GATE_SECRET",
        "token_endpoint": f"http://127.0.0.1:{port}/token?tenant=a",
        "scopes": ["wiki:read", "wiki:write"],
        "resource": "https://wiki.example.com/mcp",
        "audience": "wiki",
    }
    return {kind: request}


@contextmanager
def closed_port() -> Generator[int]:
    """Give a port on which nobody listens, and on which nobody else can meanwhile."""
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        yield unheard.getsockname()[1]


def ask_over_http(port: int, subject: str = "alice") -> tuple[int, bytes]:
    headers, body = legacy("tools/call", {"name": "search_docs", "arguments": {}})
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        sent = {**dict(headers), "authorization": f"Bearer {callers_token(subject)}"}
        connection.request("POST", "/mcp", body, sent)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


@pytest.mark.promise("own-credentials")
@pytest.mark.promise("token-stays-here")
def test_over_sockets_a_token_is_exchanged_once_and_is_in_no_log_and_no_record(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    issuer = Issuer(good)
    with serve(issuer) as token_port:
        gate = Gate(tmp_path, over_http("token_exchange", token_port), loopback_fetch)
        with serve(gate.app) as port:
            answers = [ask_over_http(port, subject) for subject in ("alice", "robert", "alice")]

    alice, robert = callers_token("alice"), callers_token("robert")
    assert [status for status, _ in answers] == [200, 200, 200]
    assert gate.authorizations == [
        [f"Bearer for-{len(alice)}"],
        [f"Bearer for-{len(robert)}"],
        [f"Bearer for-{len(alice)}"],
    ]
    assert [form["subject_token"] for _, _, form in issuer.asked] == [alice, robert]
    method, headers, form = issuer.asked[0]
    assert (method, headers["content-type"]) == ("POST", "application/x-www-form-urlencoded")
    assert headers["authorization"].startswith("Basic ")
    assert (form["scope"], form["resource"], form["audience"]) == (
        "wiki:read wiki:write",
        "https://wiki.example.com/mcp",
        "wiki",
    )
    told = f"{caplog.text} {gate.records.all} {answers} {gate.spy.scopes}"
    assert [each for each in (alice, robert, SECRET, headers["authorization"]) if each in told] == []
    assert f"Bearer for-{len(alice)}" not in f"{caplog.text} {gate.records.all} {answers}"


REFUSAL = orjson.dumps({"error": "invalid_grant", "error_description": "canary"})


@pytest.mark.parametrize(
    ("says", "status", "verdict"),
    [
        pytest.param(
            (400, "application/json", REFUSAL), 403, ("deny", Reason.CREDENTIAL_REFUSED), id="a refusal"
        ),
        pytest.param(
            (200, "text/html", b"<html>canary</html>"),
            503,
            ("broken", Reason.CREDENTIAL_UNAVAILABLE),
            id="a page",
        ),
        pytest.param(
            (200, "application/json", b'{"access_token": "' + b"canary" * 50_000),
            503,
            ("broken", Reason.CREDENTIAL_UNAVAILABLE),
            id="more than is read",
        ),
        pytest.param(
            (307, "application/json", b"{}"), 503, ("broken", Reason.CREDENTIAL_UNAVAILABLE), id="a redirect"
        ),
    ],
)
@pytest.mark.promise("refused-or-broken")
def test_over_sockets_a_bad_answer_lets_nothing_pass(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    says: tuple[int, str, bytes],
    status: int,
    verdict: tuple[str, Reason],
) -> None:
    caplog.set_level("DEBUG")
    with serve(Issuer(lambda _: says)) as token_port:
        gate = Gate(tmp_path, over_http("token_exchange", token_port), loopback_fetch)
        with serve(gate.app) as port:
            answer = ask_over_http(port)

    assert (answer[0], gate.records.verdicts, gate.spy.scopes) == (status, [verdict], [])
    assert "canary" not in f"{caplog.text} {gate.records.all} {answer}"
    assert callers_token() not in f"{caplog.text} {gate.records.all} {answer}"


@pytest.mark.parametrize("kind", ["client_credentials", "token_exchange"])
@pytest.mark.promise("refused-or-broken")
def test_over_sockets_an_issuer_that_does_not_answer_in_time_lets_nothing_pass(
    tmp_path: Path, kind: str
) -> None:
    issuer = Issuer(good)
    issuer.hangs.set()
    with serve(issuer) as token_port:
        gate = Gate(tmp_path, over_http(kind, token_port), fetch_within(0.5))
        with serve(gate.app) as port:
            statuses = [ask_over_http(port)[0] for _ in range(2)]

    assert statuses == [503, 503]
    assert (len(issuer.asked), gate.spy.scopes) == (1, [])
    assert gate.records.verdicts == [("broken", Reason.CREDENTIAL_UNAVAILABLE)] * 2
    for record in gate.records.all:
        assert "no whole answer within 0.5 seconds" in record["detail"]


@pytest.mark.parametrize("kind", ["client_credentials", "token_exchange"])
@pytest.mark.promise("refused-or-broken")
def test_over_sockets_an_issuer_that_is_down_lets_nothing_pass(tmp_path: Path, kind: str) -> None:
    with closed_port() as token_port:
        gate = Gate(tmp_path, over_http(kind, token_port), loopback_fetch)
        with serve(gate.app) as port:
            status, _ = ask_over_http(port)

    assert (status, gate.spy.scopes) == (503, [])
    assert gate.records.verdicts == [("broken", Reason.CREDENTIAL_UNAVAILABLE)]
