from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.asgi import Spy, call, http_scope
from tests.support.audit import FullDisk, Records
from tests.support.mcp import legacy
from tests.support.tokens import ISSUER, RESOURCE, Token, jwks, trusted_issuer
from tunnelgate import (
    AuditLog,
    AuditUnavailable,
    BearerAuthentication,
    ClientAllowlist,
    Clients,
    HostAllowlist,
    Issuer,
    OAuth,
    Policy,
    Reason,
    Route,
    StaticKeys,
    StaticToken,
    ToolAllowlist,
    UpstreamCredentials,
    principal_of,
    protect,
)
from tunnelgate.asgi import ASGIApp, Message, Receive, Scope, Send
from tunnelgate.exchange import exchange_of
from tunnelgate.handover import DISCOVERY_HEADERS, MCP_HEADERS, PUBLIC_HEADERS, Handover

NOW = 1_800_000_000


def _gate(app: ASGIApp, records: Records, **route: Any) -> ASGIApp:
    policy = Policy(
        clients=Clients(allowed_ips=["127.0.0.0/8"]),
        oauth=OAuth(issuers=[Issuer(issuer=ISSUER, jwks_uri="https://login.example.com/keys")]),
        routes={"docs.example.com": Route(tools=["search_docs"], public_paths=["/healthz"], **route)},
    )
    return protect(
        app, policy, audit=records, keys_of=lambda issuer: StaticKeys(jwks("ES256")), clock=lambda: float(NOW)
    )


# Written out, so that no name joins or leaves the lists unnoticed.
OF_MCP = [
    "accept",
    "accept-encoding",
    "accept-language",
    "baggage",
    "cache-control",
    "content-length",
    "content-type",
    "host",
    "last-event-id",
    "mcp-method",
    "mcp-name",
    "mcp-protocol-version",
    "mcp-session-id",
    "traceparent",
    "tracestate",
    "transfer-encoding",
    "user-agent",
]
OF_PAGES = [
    "access-control-request-headers",
    "access-control-request-method",
    "authorization",
    "cookie",
    "dpop",
    "if-modified-since",
    "if-none-match",
    "origin",
    "referer",
    "sec-fetch-site",
]
OF_DISCOVERY = [
    "accept-encoding",
    "accept-language",
    "access-control-request-headers",
    "access-control-request-method",
    "host",
    "if-modified-since",
    "if-none-match",
    "origin",
    "traceparent",
    "tracestate",
    "user-agent",
]


def test_the_lists_of_headers_hold_these_names_and_no_other() -> None:
    assert sorted(name.decode() for name in MCP_HEADERS) == OF_MCP
    assert sorted(name.decode() for name in PUBLIC_HEADERS) == sorted(OF_MCP + OF_PAGES)
    assert sorted(name.decode() for name in DISCOVERY_HEADERS) == OF_DISCOVERY


@pytest.mark.parametrize("name", [*OF_MCP, "mcp-param-tenant", "mcp-param-"])
@pytest.mark.anyio
async def test_a_header_that_belongs_to_mcp_reaches_the_application(name: str) -> None:
    spy = Spy()

    await call(Handover(spy), http_scope(headers=[(name, "value")]))

    assert spy.seen_headers[name] == "value"


@pytest.mark.parametrize(
    "name",
    [
        "authorization",
        "proxy-authorization",
        "cookie",
        "origin",
        "referer",
        "dpop",
        "forwarded",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-user",
        "x_forwarded_user",
        "x-original-url",
        "x-rewrite-url",
        "x-host",
        "x-http-host-override",
        "x-http-method-override",
        "x-real-ip",
        "cf-connecting-ip",
        "cf-access-authenticated-user-email",
        "mcp_name",
        "mcp_param_tenant",
        "mcp-parameter",
        "content-encoding",
        "connection",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "upgrade",
        "expect",
        "host ",
        "Host",
        "Mcp-Param-Tenant",
    ],
)
@pytest.mark.anyio
async def test_a_header_that_nobody_listed_does_not_reach_the_application(name: str) -> None:
    spy = Spy()

    await call(Handover(spy), http_scope(headers=[("accept", "application/json"), (name, "value")]))

    assert sorted(spy.seen_headers) == ["accept", "x-request-id"]


@given(
    st.lists(st.tuples(st.text(st.characters(max_codepoint=255)), st.text(st.characters(max_codepoint=255))))
)
def test_whatever_is_sent_the_application_sees_listed_names_alone(headers: list[tuple[str, str]]) -> None:
    seen: list[bytes] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        seen.extend(name for name, _ in scope["headers"])

    coroutine = Handover(application)(http_scope(headers=headers), _never, _never)
    with pytest.raises(StopIteration):
        coroutine.send(None)

    passed = MCP_HEADERS | {b"x-request-id"}
    assert all(name in passed or name.startswith(b"mcp-param-") for name in seen)
    assert seen.count(b"x-request-id") == 1


async def _never(*message: Any) -> Any:
    raise AssertionError(message)


@pytest.mark.parametrize("name", OF_PAGES)
@pytest.mark.anyio
async def test_a_public_path_sees_besides_what_pages_and_oauth_clients_send(name: str) -> None:
    spy = Spy()

    await call(Handover(spy, headers=PUBLIC_HEADERS), http_scope(headers=[(name, "value")]))

    assert spy.seen_headers[name] == "value"


@pytest.mark.parametrize("name", sorted({*OF_MCP, *OF_PAGES, "x-tenant"}))
@pytest.mark.anyio
async def test_of_who_asks_for_a_document_the_application_sees_nothing_but_what_a_document_needs(
    name: str,
) -> None:
    spy = Spy()

    await call(Handover(spy, headers=DISCOVERY_HEADERS), http_scope("GET", headers=[(name, "value")]))

    assert sorted(spy.seen_headers) == sorted(["x-request-id", *({name} & {*OF_DISCOVERY})])


@pytest.mark.anyio
async def test_headers_that_the_route_forwards_reach_the_application_besides() -> None:
    spy, records = Spy(), Records()
    headers, body = legacy("tools/call", {"name": "search_docs"})
    headers += [
        ("authorization", f"Bearer {Token().mint(NOW)}"),
        ("x-tenant", "blue"),
        ("x-forwarded-user", "root"),
    ]

    await call(_gate(spy, records, forward_headers=["X-Tenant"]), http_scope(headers=headers), body)

    assert spy.seen_headers["x-tenant"] == "blue"
    assert "x-forwarded-user" not in spy.seen_headers


@pytest.mark.anyio
async def test_the_token_of_an_allowed_request_is_neither_handed_over_nor_recorded() -> None:
    spy, records = Spy(), Records()
    token = Token().mint(NOW)
    headers, body = legacy("tools/call", {"name": "search_docs"})

    reply = await call(
        _gate(spy, records),
        http_scope(headers=[*headers, ("authorization", f"Bearer {token}")]),
        body,
    )

    assert reply.status == 200
    assert records.verdicts == [("allow", None)]
    for part in token.split("."):
        assert part not in repr(spy.scopes)
        assert part not in repr(records.all)


@pytest.mark.parametrize("sent", [pytest.param([], id="none"), pytest.param(["x" * 16], id="one of its own")])
@pytest.mark.anyio
async def test_the_application_learns_our_request_id_whatever_the_client_sent(sent: list[str]) -> None:
    spy, records = Spy(), Records()
    headers = [("x-request-id", value) for value in sent]

    await call(AuditLog(Handover(spy), sink=records), http_scope(headers=headers))

    assert spy.scopes[0]["headers"] == [(b"x-request-id", records.all[0]["request_id"].encode())]


class Named:
    """An application that sends request ids of its own."""

    def __init__(self, *names: bytes) -> None:
        self.names = names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"content-type", b"text/plain"), *((name, b"mine") for name in self.names)]
        await send({"type": "http.response.start", "status": 201, "headers": headers})
        await send({"type": "http.response.body", "body": b"made"})


@pytest.mark.parametrize(
    "names",
    [
        pytest.param([], id="none"),
        pytest.param([b"x-request-id"], id="one"),
        pytest.param([b"X-Request-Id"], id="one in capitals"),
        pytest.param([b"x-request-id", b"X-REQUEST-ID"], id="two"),
    ],
)
@pytest.mark.anyio
async def test_an_answer_carries_our_request_id_once_whatever_the_application_sends(
    names: list[bytes],
) -> None:
    records = Records()

    reply = await call(AuditLog(Handover(Named(*names)), sink=records), http_scope())

    sent = [value for name, value in reply.headers if name.lower() == "x-request-id"]
    assert sent == [records.all[0]["request_id"]]
    assert (reply.status, reply.header("content-type"), reply.body) == (201, "text/plain", b"made")


@pytest.mark.anyio
async def test_an_answer_without_any_header_carries_our_request_id() -> None:
    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 204})
        await send({"type": "http.response.body"})

    reply = await call(Handover(application), http_scope())

    assert [name for name, _ in reply.headers] == ["x-request-id"]


class Log(Records):
    """A sink that notes when it was written to."""

    def __init__(self, order: list[str]) -> None:
        super().__init__()
        self.order = order

    def write(self, record: Mapping[str, Any]) -> None:
        self.order.append(f"record: {record['verdict']}")
        super().write(record)


@pytest.mark.anyio
async def test_the_record_is_written_before_the_application_is_called() -> None:
    order: list[str] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        order.append("application: called")
        await Spy()(scope, receive, send)
        order.append("application: done")

    await call(AuditLog(Handover(application), sink=Log(order)), http_scope())

    assert order == ["record: allow", "application: called", "application: done"]


@pytest.mark.anyio
async def test_what_cannot_be_written_down_is_not_handed_over() -> None:
    spy = Spy()

    reply = await call(AuditLog(Handover(spy), sink=FullDisk()), http_scope())

    assert (reply.status, reply.json()) == (503, {"error": "unavailable"})
    assert len(reply.header("x-request-id") or "") == 16
    assert spy.scopes == []


class FullOnce(Records):
    """A sink that cannot take its first record and takes the next."""

    def __init__(self) -> None:
        super().__init__()
        self.is_full = True

    def write(self, record: Mapping[str, Any]) -> None:
        if self.is_full:
            self.is_full = False
            raise AuditUnavailable("audit.jsonl: No space left on device")
        super().write(record)


@pytest.mark.anyio
async def test_a_sink_that_fails_but_once_records_that_nothing_was_handed_over() -> None:
    spy, records = Spy(), FullOnce()

    reply = await call(AuditLog(Handover(spy), sink=records), http_scope())

    assert (reply.status, reply.json()) == (503, {"error": "unavailable"})
    assert records.verdicts == [("broken", Reason.AUDIT_UNAVAILABLE)]
    assert records.all[0]["detail"] == "audit.jsonl: No space left on device"
    assert spy.scopes == []


@pytest.mark.anyio
async def test_the_application_knows_who_asks_and_sees_nothing_else_of_the_gate() -> None:
    seen: list[Scope] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope)
        await Spy()(scope, receive, send)

    tools = ToolAllowlist(Handover(application), tools=["search_docs"])
    app = BearerAuthentication(tools, resource=RESOURCE, issuers=[trusted_issuer()], clock=lambda: float(NOW))
    headers, body = legacy("tools/call", {"name": "search_docs"})
    headers.append(("authorization", f"Bearer {Token().mint(NOW)}"))

    await call(app, http_scope(headers=headers), body)

    principal = principal_of(seen[0])
    assert principal is not None
    assert (principal.issuer, principal.subject, principal.client_id) == (ISSUER, "alice", "agent")
    ours = {name for name in seen[0] if name.startswith("tunnelgate")}
    assert ours == {"tunnelgate.load", "tunnelgate.principal"}


TOKEN = Token().mint()


@pytest.mark.parametrize(
    "credentials",
    [
        pytest.param(f"{scheme}{between}{TOKEN}", id=f"{scheme!r} and {between!r}")
        for scheme in ("Bearer", "bearer", "BEARER", "DPoP", "dpop", "DPOP", " Bearer", "\tDPoP")
        for between in (" ", "  ", "\t")
    ]
    + [pytest.param("Bearer", id="the scheme alone"), pytest.param("DPoP", id="the other scheme alone")],
)
@pytest.mark.promise("token-stays-here")
@pytest.mark.anyio
async def test_a_public_path_never_sees_a_token_of_a_caller(credentials: str) -> None:
    spy = Spy()
    headers = [("host", "docs.example.com"), ("authorization", credentials)]

    await call(Handover(spy, headers=PUBLIC_HEADERS), http_scope("GET", "/healthz", headers))

    assert "authorization" not in spy.seen_headers


@pytest.mark.parametrize(
    "credentials",
    [
        pytest.param("Basic YTpi", id="how a client authenticates to a token endpoint"),
        pytest.param("Bearers x", id="a scheme that begins like one of tokens"),
        pytest.param("DPoP-Next x", id="another one"),
    ],
)
@pytest.mark.anyio
async def test_a_public_path_sees_other_credentials_and_a_proof(credentials: str) -> None:
    spy = Spy()
    headers = [("authorization", credentials), ("dpop", "a proof for a token endpoint")]

    await call(Handover(spy, headers=PUBLIC_HEADERS), http_scope("POST", "/token", headers))

    assert spy.seen_headers["authorization"] == credentials
    assert spy.seen_headers["dpop"] == "a proof for a token endpoint"


def _holding(token: str | None) -> Scope:
    """Return a scope in which somebody further out has found a token for the application."""
    scope = http_scope(headers=[("host", "docs.example.com"), ("authorization", "Basic YTpi")])
    exchange_of(scope).upstream_token = token
    return scope


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param(MCP_HEADERS, id="those of MCP"),
        pytest.param(PUBLIC_HEADERS, id="those of a public path, with other credentials of the caller"),
        pytest.param(frozenset[bytes](), id="none"),
    ],
)
@pytest.mark.anyio
async def test_a_token_that_was_found_for_the_application_is_all_the_authorization_it_sees(
    headers: frozenset[bytes],
) -> None:
    spy = Spy()

    await call(Handover(spy, headers=headers), _holding("upstream-token"))

    sent = [value for name, value in spy.scopes[0]["headers"] if name == b"authorization"]
    assert sent == [b"Bearer upstream-token"]


@pytest.mark.anyio
async def test_where_no_token_was_found_the_application_sees_none() -> None:
    spy = Spy()

    await call(Handover(spy), _holding(None))

    assert "authorization" not in spy.seen_headers


@pytest.mark.promise("token-stays-here")
@pytest.mark.anyio
async def test_the_application_gets_its_own_token_and_nothing_of_the_callers() -> None:
    spy, records = Spy(), Records()
    token = Token().mint(NOW)
    inner = UpstreamCredentials(Handover(spy), StaticToken("upstream-token"))
    layer = BearerAuthentication(
        inner, resource=RESOURCE, issuers=[trusted_issuer()], keep_token=True, clock=lambda: float(NOW)
    )
    headers = [("authorization", f"Bearer {token}"), ("dpop", "a.b.c")]

    await call(AuditLog(layer, sink=records), http_scope(headers=headers))

    assert spy.seen_headers["authorization"] == "Bearer upstream-token"
    assert "dpop" not in spy.seen_headers
    assert token.split(".")[2] not in f"{spy.scopes!r} {records.all!r}"
    assert "upstream-token" not in repr(records.all)


@pytest.mark.parametrize(
    ("sent", "seen"),
    [
        pytest.param("docs.example.com", "docs.example.com", id="no port"),
        pytest.param("docs.example.com:443", "docs.example.com", id="the port of HTTPS"),
        pytest.param("docs.example.com:80", "docs.example.com", id="the port of HTTP"),
        pytest.param("DOCS.example.com:8080", "docs.example.com:8080", id="the port that was connected to"),
        pytest.param("docs.example.com:9443", "docs.example.com:9443", id="a port that is listed"),
    ],
)
@pytest.mark.promise("judged-is-sent")
@pytest.mark.anyio
async def test_the_host_goes_on_with_the_port_that_was_judged(sent: str, seen: str) -> None:
    spy = Spy()
    app = HostAllowlist(Handover(spy), hosts=["docs.example.com"], ports=[9443])

    await call(app, http_scope(headers=[("x-first", "1"), ("host", sent)]))

    assert spy.seen_headers["host"] == seen


@pytest.mark.anyio
async def test_where_nobody_judged_the_host_it_goes_on_as_it_came() -> None:
    spy = Spy()

    await call(Handover(spy), http_scope(headers=[("host", "DOCS.example.com:443")]))

    assert spy.seen_headers["host"] == "DOCS.example.com:443"


@pytest.mark.parametrize(
    ("peer", "client", "seen"),
    [
        pytest.param("127.0.0.1", "203.0.113.7", ("203.0.113.7", 0), id="for whom a proxy speaks"),
        pytest.param("127.0.0.1", "127.0.0.1", ("127.0.0.1", 50000), id="who connected"),
        pytest.param("127.0.0.1", None, ("127.0.0.1", 50000), id="whom nobody judged"),
        pytest.param(None, "2001:db8::7", ("2001:db8::7", 0), id="for whom a proxy on a Unix socket speaks"),
        pytest.param(None, None, None, id="on a Unix socket, whom nobody judged"),
    ],
)
@pytest.mark.anyio
async def test_the_application_knows_the_client_that_was_judged(
    peer: str | None, client: str | None, seen: tuple[str, int] | None
) -> None:
    spy = Spy()
    scope = http_scope(client=None if peer is None else (peer, 50000))
    exchange = exchange_of(scope)
    exchange.peer, exchange.client = peer, client

    await call(Handover(spy), scope)

    assert spy.scopes[0]["client"] == seen
    assert scope["client"] == (None if peer is None else (peer, 50000))


@pytest.mark.anyio
async def test_behind_a_trusted_proxy_the_application_sees_the_client_and_not_what_it_wrote() -> None:
    spy = Spy()
    app = ClientAllowlist(
        Handover(spy, headers=PUBLIC_HEADERS),
        allowed_ips=["203.0.113.0/24"],
        address_from="x-forwarded-for",
        trusted_proxies=["127.0.0.1"],
    )

    await call(app, http_scope(headers=[("x-forwarded-for", "198.51.100.1, 203.0.113.7")]))

    assert spy.scopes[0]["client"] == ("203.0.113.7", 0)
    assert "x-forwarded-for" not in spy.seen_headers


@pytest.mark.anyio
async def test_start_and_end_are_handed_over_as_they_are() -> None:
    scopes: list[Scope] = []
    begun: Scope = {"type": "lifespan", "state": {}}

    async def app(scope: Scope, _: Receive, __: Send) -> None:
        scopes.append(scope)

    async def receive() -> Message:
        return {"type": "lifespan.startup"}

    async def send(_: Message) -> None:
        raise AssertionError("nothing is said")

    await Handover(app)(begun, receive, send)

    assert scopes == [begun]
    assert scopes[0] is begun
