"""What is under way when the policy changes goes on, or does not, as a new request would."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.support.asgi import Reply, call, http_scope, reply_of
from tests.support.audit import Records
from tests.support.mcp import Header, legacy, modern
from tests.support.proofs import Proof, bound_token
from tests.support.proxied import LIMIT, until
from tests.support.tokens import ISSUER, Token, jwks
from tunnelgate import Deny, Fetch, Policy, Principal, Reason, ToolAllowlist
from tunnelgate.asgi import Message, Receive, Scope, Send
from tunnelgate.calls import Call, Calls
from tunnelgate.chain import Gate, build_gate
from tunnelgate.endpoints import ReadOnly
from tunnelgate.exchange import exchange_of
from tunnelgate.fetching import Fetched
from tunnelgate.handles import Handles, Origin, Task
from tunnelgate.layer import Stage, judge_again
from tunnelgate.materials import gather
from tunnelgate.replays import ReplayWindows

NOW = 1_800_000_000
HOST = "docs.example.com"
WIKI = "wiki.example.com"
PARTNER = "https://login.partner.example"
PAGE = "https://inspector.example.com"
PROXY = "203.0.113.9"
CHANGED = "The gate's policy has changed"

ROUTE: Mapping[str, Any] = {
    "tools": ["search_docs", "read_doc"],
    "prompts": ["summary"],
    "resources": ["docs:///{name}"],
    "methods": ["example/own"],
    "scopes": ["docs:read"],
    "origins": [PAGE],
    "public_paths": ["/healthz"],
    "tasks": True,
    "client_log_level": "info",
}


class Held:
    """An application that holds each request until it may answer."""

    def __init__(self) -> None:
        self.reached = 0
        self.may_answer = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.reached += 1
        await self.may_answer.wait()
        is_stream = scope["method"] == "GET" and scope["path"] == "/mcp"
        kind, body = (b"text/event-stream", b": open\n\n") if is_stream else (b"application/json", RESULT)
        status = 202 if scope["method"] == "DELETE" else 200
        await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", kind)]})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "DELETE" else body})


RESULT = b'{"jsonrpc":"2.0","id":1,"result":{}}'


class Gates:
    """The gates of one policy after another, around one application."""

    def __init__(self, folder: Path) -> None:
        self.records = Records()
        self.held = Held()
        self.calls = Calls()
        self.now = NOW
        self._replays = ReplayWindows()
        self._keys = folder / "jwks.json"
        self._keys.write_bytes(jwks("ES256"))
        self.fetch: Fetch = nowhere
        self._materials: Any = None

    def open(self, changes: Mapping[str, Any] | None = None, **route: Any) -> Gate:
        """Return the gate of a policy: ``changes`` are to its sections, the rest to its first route."""
        issuers = [{"issuer": each, "jwks_file": self._keys} for each in (ISSUER, PARTNER)]
        policy = Policy.from_mapping(
            {
                "clients": {"allowed_ips": ["127.0.0.1", "10.0.0.0/8"]},
                "oauth": {"issuers": issuers},
                "routes": {HOST: {**ROUTE, **route}, WIKI: {"tools": ["search"]}},
                **(changes or {}),
            }
        )
        self._materials = gather(policy, audit=self.records, before=self._materials, fetch=self.fetch)
        return build_gate(
            policy,
            dict.fromkeys(policy.routes, self.held),
            self.held,
            self._materials,
            calls=self.calls,
            replays=self._replays,
            clock=lambda: self.now,
        )

    @property
    def handles(self) -> Handles:
        """The handles of the one who asks."""
        principal = Principal(ISSUER, "alice", "agent", frozenset(), {})
        return Handles(self._materials.sealer, HOST, principal)


async def nowhere(
    url: str, *, form: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None
) -> Fetched:
    raise OSError("nobody is asked")


def bearer(**claims: Any) -> Header:
    return ("authorization", f"Bearer {Token(claims=claims).mint(NOW)}")


Asked = tuple[Scope, bytes]


def asks(
    message: tuple[list[Header], bytes],
    *more: Header,
    method: str = "POST",
    path: str = "/mcp",
    peer: tuple[str, int] | None = ("127.0.0.1", 50000),
    server: tuple[str, int | None] | None = ("127.0.0.1", 8080),
    claims: Mapping[str, Any] | None = None,
) -> Asked:
    headers, body = message
    given = dict(more)
    fields = [*headers, *(() if "authorization" in given else (bearer(**(claims or {})),)), *more]
    scope = http_scope(method, path, fields, client=peer, server=server)
    return scope, body if method == "POST" else b""


def calls_tool(*headers: Header, era: Any = modern, **more: Any) -> Asked:
    return asks(era("tools/call", {"name": "search_docs", "arguments": {}}), *headers, **more)


def listens(*more: Header) -> Asked:
    return asks(legacy("ping"), ("accept", "text/event-stream"), *more, method="GET")


def public(method: str = "GET", path: str = "/healthz") -> Asked:
    return http_scope(method, path, [("host", HOST)]), b""


class UnderWay:
    """A request that the application behind the first gate holds."""

    def __init__(self, gates: Gates, gate: Gate, asked: Asked) -> None:
        self._gates = gates
        gates.calls.judge_by(gate)
        self._task = asyncio.create_task(call(gate, *asked))

    async def begin(self) -> "UnderWay":
        await until(lambda: self._gates.held.reached == 1 or self._task.done())
        assert not self._task.done(), self._task.result()
        return self

    async def judge(self, gate: Gate, changed: Sequence[str] = ()) -> int:
        """Let ``gate`` take over, and return how many calls that ended."""
        self._gates.calls.judge_by(gate)
        return await self._gates.calls.judge_again(changed)

    async def reply(self) -> Reply:
        self._gates.held.may_answer.set()
        return await asyncio.wait_for(self._task, LIMIT)


async def under_way(gates: Gates, gate: Gate, asked: Asked) -> UnderWay:
    return await UnderWay(gates, gate, asked).begin()


SEARCH = calls_tool()
IN_DISPATCH = ("x-forwarded-for", "10.1.2.3")
THROUGH_PROXY = {"address_from": "x-forwarded-for", "trusted_proxies": [PROXY]}
UNIX = {"address_from": "x-forwarded-for", "trust_unix_socket": True}


def clients(*allowed: str, **more: Any) -> dict[str, Any]:
    return {"clients": {"allowed_ips": allowed, **more}}


def only(tools: Any) -> dict[str, Any]:
    return {"tools": tools, "prompts": None, "resources": None, "methods": []}


@pytest.mark.parametrize(
    ("asked", "before", "after", "reason"),
    [
        pytest.param(
            SEARCH, {}, {"route": {"tools": ["read_doc"]}}, "tool-not-allowed", id="its tool is gone"
        ),
        pytest.param(
            calls_tool(era=legacy),
            {},
            {"route": {"tools": ["read_doc"]}},
            "tool-not-allowed",
            id="so in both eras",
        ),
        pytest.param(
            SEARCH,
            {},
            {"route": {"tools": {"search_docs": {"scopes": ["docs:admin"]}}}},
            "scope-missing",
            id="its tool needs another scope",
        ),
        pytest.param(
            SEARCH,
            {},
            {"route": {"tools": {"search_docs": {"claims": {"team": "a"}}}}},
            "tool-not-allowed",
            id="its tool is for others",
        ),
        pytest.param(
            asks(modern("prompts/get", {"name": "summary"})),
            {},
            {"route": {"prompts": ["other"]}},
            "prompt-not-allowed",
            id="its prompt is gone",
        ),
        pytest.param(
            asks(modern("resources/read", {"uri": "docs:///a"})),
            {},
            {"route": {"resources": ["docs:///b"]}},
            "resource-not-allowed",
            id="its resource is gone",
        ),
        pytest.param(
            asks(legacy("example/own")),
            {},
            {"route": {"methods": []}},
            "method-not-allowed",
            id="its method is gone",
        ),
        pytest.param(
            asks(modern("prompts/list")),
            {},
            {"route": only(["read_doc"])},
            "method-not-allowed",
            id="its list is gone",
        ),
        pytest.param(
            SEARCH,
            {},
            {"policy": {"routes": {WIKI: {"tools": ["search"]}}}},
            "host-unknown",
            id="its host is gone",
        ),
        pytest.param(SEARCH, {}, {"route": {"path": "/other"}}, "path-not-served", id="its path is another"),
        pytest.param(
            SEARCH, {}, {"policy": clients("10.0.0.0/8")}, "client-not-allowed", id="its client is kept out"
        ),
        pytest.param(
            SEARCH,
            {},
            {"route": {"clients": {"allowed_ips": ["10.0.0.0/8"]}}},
            "client-not-allowed",
            id="its client is kept out of the route",
        ),
        pytest.param(
            calls_tool(IN_DISPATCH, peer=(PROXY, 1)),
            {"policy": clients("10.0.0.0/8", **THROUGH_PROXY)},
            {"policy": clients("10.0.0.0/8", "192.0.2.1")},
            "client-not-allowed",
            id="the proxy that spoke for its client is not trusted any more",
        ),
        pytest.param(
            calls_tool(IN_DISPATCH, peer=(PROXY, 1)),
            {"policy": clients("10.0.0.0/8", **THROUGH_PROXY)},
            {"policy": clients("10.9.0.0/16", **THROUGH_PROXY)},
            "client-not-allowed",
            id="its client behind a proxy is kept out",
        ),
        pytest.param(
            calls_tool(IN_DISPATCH, peer=None, server=("/run/gate.sock", None)),
            {"policy": clients("10.0.0.0/8", **UNIX)},
            {"policy": clients("10.0.0.0/8")},
            "client-not-allowed",
            id="the Unix socket that spoke for its client is not trusted any more",
        ),
        pytest.param(
            asks(modern("tools/list"), ("origin", PAGE)),
            {},
            {"route": {"origins": []}},
            "origin-not-allowed",
            id="the page that asked is not listed any more",
        ),
        pytest.param(
            SEARCH,
            {},
            {"route": {"issuers": [PARTNER]}},
            "token-issuer-unknown",
            id="its issuer is not trusted any more",
        ),
        pytest.param(
            SEARCH,
            {},
            {"route": {"resource": "https://docs.example.com/other"}},
            "token-audience-wrong",
            id="tokens are for another resource",
        ),
        pytest.param(
            SEARCH, {}, {"route": {"scopes": ["docs:all"]}}, "scope-missing", id="its route needs more"
        ),
        pytest.param(
            SEARCH, {}, {"route": {"claims": {"team": "a"}}}, "claim-missing", id="its route is for others"
        ),
        pytest.param(
            calls_tool(claims={"sub": "agent"}),
            {},
            {"route": {"require_user": True}},
            "user-required",
            id="a person has to ask",
        ),
        pytest.param(
            SEARCH, {}, {"route": {"proof": "dpop"}}, "token-binding-wrong", id="tokens need a proof"
        ),
        pytest.param(
            public(), {}, {"route": {"public_paths": []}}, "path-not-served", id="its path is not public"
        ),
        pytest.param(
            public(),
            {},
            {"route": {"public_paths": [], "path": "/healthz"}},
            "token-missing",
            id="its public path needs a token by now",
        ),
    ],
)
@pytest.mark.promise("changes-whole")
@pytest.mark.anyio
async def test_what_is_not_allowed_any_more_ends(
    tmp_path: Path,
    asked: Asked,
    before: dict[str, Any],
    after: dict[str, Any],
    reason: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    gates = Gates(tmp_path)
    first = gates.open(before.get("policy"), **before.get("route", {}))
    call_ = await under_way(gates, first, asked)

    ended = await call_.judge(gates.open(after.get("policy"), **after.get("route", {})))
    reply = await call_.reply()

    assert (ended, reply.status, reply.header("retry-after")) == (1, 503, "1")
    answer = reply.json()
    assert answer == {"error": "policy_changed"} or answer["error"]["message"] == CHANGED
    name = f"{reply.header('x-request-id')} to {HOST}"
    assert f"request {name}: policy-changed: {reason}" in caplog.messages
    assert gates.records.verdicts == [("allow", None)]


@pytest.mark.parametrize(
    ("asked", "before", "after"),
    [
        pytest.param(SEARCH, {}, {}, id="nothing has changed"),
        pytest.param(SEARCH, {}, {"route": {"tools": ["search_docs"]}}, id="another tool is gone"),
        pytest.param(SEARCH, {}, {"route": {"tools": ["search_docs", "new"]}}, id="a tool came"),
        pytest.param(SEARCH, {}, {"policy": clients("127.0.0.0/8")}, id="its client may come still"),
        pytest.param(SEARCH, {}, {"route": {"issuers": [ISSUER]}}, id="another issuer is gone"),
        pytest.param(
            SEARCH, {}, {"policy": {"limits": {"body_bytes": 1024}}}, id="bodies have another bound"
        ),
        pytest.param(
            SEARCH,
            {},
            {"route": {"credentials": {"bearer_file": "token"}}},
            id="the server gets another token",
        ),
        pytest.param(public(), {}, {"route": {"tools": ["read_doc"]}}, id="it came without a token"),
        pytest.param(
            asks(legacy("ping"), method="DELETE"),
            {},
            {"route": {"tools": ["read_doc"]}},
            id="it ends a session",
        ),
        pytest.param(
            calls_tool(IN_DISPATCH, peer=(PROXY, 1)),
            {"policy": clients("10.0.0.0/8", **THROUGH_PROXY)},
            {"policy": clients("10.1.0.0/16", **THROUGH_PROXY)},
            id="its client behind a proxy may come still",
        ),
        pytest.param(
            calls_tool(IN_DISPATCH, peer=None, server=("/run/gate.sock", None)),
            {"policy": clients("10.0.0.0/8", **UNIX)},
            {"policy": clients("10.1.0.0/16", **UNIX)},
            id="its client behind a Unix socket may come still",
        ),
    ],
)
@pytest.mark.anyio
async def test_what_is_still_allowed_goes_on(
    tmp_path: Path, asked: Asked, before: dict[str, Any], after: dict[str, Any]
) -> None:
    gates = Gates(tmp_path)
    (tmp_path / "token").write_text("secret")
    route = after.get("route", {})
    if "credentials" in route:
        route = {**route, "credentials": {"bearer_file": tmp_path / "token"}}
    call_ = await under_way(gates, gates.open(before.get("policy"), **before.get("route", {})), asked)

    ended = await call_.judge(gates.open(after.get("policy"), **route))
    reply = await call_.reply()

    assert (ended, reply.status) == (0, 202 if asked[0]["method"] == "DELETE" else 200)


@pytest.mark.anyio
async def test_a_token_that_has_expired_meanwhile_ends_nothing(tmp_path: Path) -> None:
    gates = Gates(tmp_path)
    call_ = await under_way(gates, gates.open(), SEARCH)

    gates.now += 3600
    ended = await call_.judge(gates.open(tools=["search_docs"]))

    assert (ended, (await call_.reply()).status) == (0, 200)


@pytest.mark.anyio
async def test_scopes_are_read_from_the_token_as_the_new_policy_says(tmp_path: Path) -> None:
    gates = Gates(tmp_path)
    call_ = await under_way(gates, gates.open(), SEARCH)
    issuer = {"issuer": ISSUER, "jwks_file": tmp_path / "jwks.json", "scope_claims": ["roles"]}

    ended = await call_.judge(gates.open({"oauth": {"issuers": [issuer]}}))

    assert (ended, (await call_.reply()).status) == (1, 503)


@pytest.mark.anyio
async def test_a_call_with_a_proof_goes_on_where_proofs_are_needed_still_and_ends_where_others_are(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    token = bound_token(NOW)
    fields = [("authorization", f"DPoP {token}"), ("dpop", Proof().mint(token, NOW))]
    gates = Gates(tmp_path)
    call_ = await under_way(gates, gates.open(proof="dpop"), asks(modern("tools/list"), *fields))

    ended = await call_.judge(gates.open({"dpop": {"require_nonce": True}}, proof="dpop"))
    assert ended == 0

    assert await call_.judge(gates.open(proof="none")) == 1
    assert (await call_.reply()).status == 503
    assert "policy-changed: token-binding-wrong" in caplog.text


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        pytest.param([HOST], 503, id="on a route that has changed it ends"),
        pytest.param([WIKI], 200, id="on another it goes on"),
    ],
)
@pytest.mark.anyio
async def test_a_stream_that_is_still_allowed(tmp_path: Path, changed: list[str], status: int) -> None:
    gates = Gates(tmp_path)
    call_ = await under_way(gates, gates.open(), listens())

    await call_.judge(gates.open(client_log_level="error"), changed)

    assert (await call_.reply()).status == status


@pytest.mark.anyio
async def test_a_call_on_a_route_that_has_changed_is_no_stream_and_goes_on(tmp_path: Path) -> None:
    gates = Gates(tmp_path)
    call_ = await under_way(gates, gates.open(), SEARCH)

    await call_.judge(gates.open(client_log_level="error"), [HOST])

    assert (await call_.reply()).status == 200


@pytest.mark.parametrize(
    ("tools", "status"),
    [
        pytest.param(["read_doc"], 503, id="ends where the tool is gone"),
        pytest.param(["search_docs"], 200, id="goes on where it is not"),
    ],
)
@pytest.mark.anyio
async def test_a_stream_that_goes_on_with_the_answer_to_a_call(
    tmp_path: Path, tools: list[str], status: int
) -> None:
    gates = Gates(tmp_path)
    first = gates.open()
    last = gates.handles.event(b"7", Origin("tools/call", "search_docs", 1))
    call_ = await under_way(gates, first, listens(("last-event-id", last)))

    await call_.judge(gates.open(tools=tools))

    assert (await call_.reply()).status == status


@pytest.mark.parametrize(
    ("tasks", "tools", "status"),
    [
        pytest.param(True, ["search_docs"], 200, id="goes on with the tool that began the task"),
        pytest.param(True, ["read_doc"], 503, id="ends with it"),
        pytest.param(False, ["search_docs"], 503, id="ends where there are no tasks any more"),
    ],
)
@pytest.mark.anyio
async def test_a_question_about_a_task(tmp_path: Path, tasks: bool, tools: list[str], status: int) -> None:  # noqa: FBT001
    gates = Gates(tmp_path)
    first = gates.open()
    handle = gates.handles.task(Task("7", "search_docs"))
    call_ = await under_way(gates, first, asks(legacy("tasks/get", {"taskId": handle})))

    await call_.judge(gates.open(tools=tools, tasks=tasks))

    assert (await call_.reply()).status == status


@pytest.mark.anyio
async def test_thousands_of_calls_are_judged_while_others_get_their_turn(tmp_path: Path) -> None:
    gates = Gates(tmp_path)
    first = gates.open()
    gates.calls.judge_by(first)
    tasks = [asyncio.create_task(call(first, *SEARCH)) for _ in range(250)]
    await until(lambda: gates.held.reached == len(tasks))
    turns = 0

    async def other() -> None:
        nonlocal turns
        while len(gates.calls):
            turns += 1
            await asyncio.sleep(0)

    waiting = asyncio.create_task(other())
    gates.calls.judge_by(gates.open(tools=["read_doc"]))
    ended = await gates.calls.judge_again(())
    replies = await asyncio.gather(*tasks)
    await waiting

    assert (ended, {reply.status for reply in replies}) == (250, {503})
    assert turns > 2


# What was let pass by the gate before, and begins only now


async def late(gates: Gates, asked: Asked, *, new: Gate | None) -> Reply:
    """Let a request come, its policy change, and only then its body come."""
    first = gates.open()
    gates.calls.judge_by(first)
    scope, body = asked
    has_asked, may_come = asyncio.Event(), asyncio.Event()
    sent: list[Any] = []

    async def receive() -> Message:
        has_asked.set()
        await may_come.wait()
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    task = asyncio.create_task(first(scope, receive, send))
    await asyncio.wait_for(has_asked.wait(), LIMIT)
    gates.calls.judge_by(new or first)
    may_come.set()
    gates.held.may_answer.set()
    await asyncio.wait_for(task, LIMIT)
    return reply_of(sent)


@pytest.mark.promise("changes-whole")
@pytest.mark.anyio
async def test_a_request_whose_body_comes_after_the_change_is_judged_by_the_new_policy(
    tmp_path: Path,
) -> None:
    gates = Gates(tmp_path)

    reply = await late(gates, SEARCH, new=gates.open(tools=["read_doc"]))

    assert (reply.status, reply.json()["error"]["code"]) == (200, -32602)
    assert reply.json()["error"]["message"] == "Unknown tool: search_docs"
    assert gates.records.verdicts == [("deny", Reason.TOOL_NOT_ALLOWED)]
    assert gates.held.reached == 0


@pytest.mark.parametrize(
    "has_changed", [True, False], ids=["by a policy that allows it", "where nothing changed"]
)
@pytest.mark.anyio
async def test_a_request_whose_body_comes_late_passes(tmp_path: Path, has_changed: bool) -> None:  # noqa: FBT001
    gates = Gates(tmp_path)

    reply = await late(gates, SEARCH, new=gates.open(tools=["search_docs"]) if has_changed else None)

    assert (reply.status, gates.records.verdicts) == (200, [("allow", None)])


@pytest.mark.anyio
async def test_a_stream_does_not_begin_by_rules_that_hold_no_more(tmp_path: Path) -> None:
    gates = Gates(tmp_path)
    listening = modern("subscriptions/listen", {"notifications": {"toolsListChanged": True}})

    reply = await late(gates, asks(listening), new=gates.open(tools=["search_docs"]))

    assert (reply.status, reply.json()["error"]["message"]) == (503, CHANGED)
    assert gates.records.verdicts == [("deny", Reason.POLICY_CHANGED)]
    assert gates.held.reached == 0


@pytest.mark.promise("recorded-first")
@pytest.mark.anyio
async def test_a_call_that_ends_before_it_was_let_pass_is_recorded_as_what_it_is(tmp_path: Path) -> None:
    asked, never = asyncio.Event(), asyncio.Event()

    async def fetch(
        url: str, *, form: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None
    ) -> Fetched:
        asked.set()
        await never.wait()
        raise AssertionError

    (tmp_path / "secret").write_text("s3cr3t")
    own = {
        "token_endpoint": "https://login.example.com/token",
        "client_id": "gate",
        "client_secret_file": tmp_path / "secret",
    }
    gates = Gates(tmp_path)
    gates.fetch = fetch
    first = gates.open(credentials={"client_credentials": own})
    gates.calls.judge_by(first)
    task = asyncio.create_task(call(first, *SEARCH))
    await asyncio.wait_for(asked.wait(), LIMIT)

    gates.calls.judge_by(gates.open(tools=["read_doc"]))
    ended = await gates.calls.judge_again(())
    reply = await asyncio.wait_for(task, LIMIT)

    assert (ended, reply.status, reply.json()["error"]["message"]) == (1, 503, CHANGED)
    assert gates.records.verdicts == [("deny", Reason.POLICY_CHANGED)]
    assert gates.records.all[0]["detail"] == "tool-not-allowed"
    assert gates.held.reached == 0


# The walk


def test_a_judgement_passes_every_stage_that_a_request_passes() -> None:
    route: dict[str, Any] = {"tools": ["search_docs"], "credentials": {"bearer_env": "TOKEN"}, **PUBLIC}
    policy = Policy.from_mapping(
        {
            **clients("127.0.0.1"),
            "oauth": {"issuers": [{"issuer": ISSUER, "jwks_uri": f"{ISSUER}/jwks"}]},
            "routes": {HOST: {"upstream": {"url": "http://10.0.0.1:80", "oauth_discovery": True}, **route}},
        }
    )
    materials = gather(policy, audit=Records(), fetch=nowhere, environment={"TOKEN": "secret"})
    gate = build_gate(policy, {HOST: target}, target, materials)

    assert {path: names(gate, path) for path in ("/mcp", "/healthz", DISCOVERY)} == {
        "/mcp": [
            *("HostRouter", "ClientAllowlist", "ResourceMetadata", "Endpoints", "OriginAllowlist"),
            *("BearerAuthentication", "ToolAllowlist", "UpstreamCredentials", "Handover"),
        ],
        "/healthz": ["HostRouter", "ClientAllowlist", "ResourceMetadata", "Endpoints", "Ending", "Handover"],
        DISCOVERY: [
            *("HostRouter", "ClientAllowlist", "ResourceMetadata", "Endpoints"),
            *("Ending", "ReadOnly", "Handover"),
        ],
    }


DISCOVERY = "/.well-known/openid-configuration"
PUBLIC = {"public_paths": ["/healthz"]}


async def target(scope: Scope, receive: Receive, send: Send) -> None:
    raise AssertionError


def names(gate: Gate, path: str) -> list[str]:
    """Return the names of the stages that a judgement for ``path`` passes, and of what is behind them."""
    exchange = exchange_of(http_scope("GET", path))
    exchange.host, exchange.endpoint = HOST, path
    passed: list[str] = []
    stage: Any = gate.hosts
    while isinstance(stage, Stage):
        passed.append(type(stage).__name__)
        stage = stage.onward(exchange)
    return [*passed, type(stage).__name__]


@pytest.mark.anyio
async def test_a_path_that_may_only_be_read_is_judged_again_by_its_method() -> None:
    exchange = exchange_of(http_scope("POST", DISCOVERY))

    assert judge_again(ReadOnly(target), exchange) == Deny(Reason.PATH_IS_READ_ONLY, "POST")


def test_what_nothing_is_known_of_is_not_let_go_on() -> None:
    exchange = exchange_of(http_scope())

    assert judge_again(ToolAllowlist(target, tools=["a"]), exchange) == Deny(
        Reason.MESSAGE_INVALID, "nothing was asked for"
    )


@pytest.mark.anyio
async def test_a_call_of_which_nothing_is_known_is_left_alone() -> None:
    calls = Calls()

    async with Call(calls):
        assert await calls.judge_again(()) == 0
        calls.end_where(lambda _: True, "everything")


@pytest.mark.anyio
async def test_calls_of_a_gate_that_never_changes_are_not_judged_again() -> None:
    calls = Calls()

    async with Call(calls, exchange_of(http_scope())):
        assert await calls.judge_again(()) == 0
