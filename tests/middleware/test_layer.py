from collections.abc import Callable

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from tests.support.asgi import Spy, call, http_scope
from tests.support.audit import FullDisk, Records
from tests.support.mcp import legacy
from tests.support.tokens import RESOURCE, Token, trusted_issuer
from tunnelgate import (
    Allow,
    AuditLog,
    BearerAuthentication,
    ClientAllowlist,
    Deny,
    HostAllowlist,
    KeysUnavailable,
    OriginAllowlist,
    Reason,
    RequestHygiene,
    ToolAllowlist,
    Verdict,
    principal_of,
)
from tunnelgate.asgi import ASGIApp, Message, Scope
from tunnelgate.endpoints import Endpoints
from tunnelgate.exchange import Exchange
from tunnelgate.handover import Handover
from tunnelgate.layer import Layer
from tunnelgate.metadata import ResourceMetadata
from tunnelgate.reading.fault import Fault

NOW = 1_800_000_000
Wrap = Callable[[ASGIApp], ASGIApp]


class Judge(Layer):
    """A layer that says what it was told to say."""

    def __init__(self, app: ASGIApp, says: Verdict | Exception) -> None:
        super().__init__(app)
        self.says = says

    async def judge(self, scope: Scope, exchange: Exchange) -> Verdict:
        if isinstance(self.says, Exception):
            raise self.says
        return self.says


@pytest.mark.parametrize(
    ("says", "status", "error", "verdict"),
    [
        pytest.param(
            Deny(Reason.CLIENT_NOT_ALLOWED),
            403,
            "client_not_allowed",
            ("deny", Reason.CLIENT_NOT_ALLOWED),
            id="a denial",
        ),
        pytest.param(
            Fault(Reason.HOST_MALFORMED, "not ASCII"),
            400,
            "bad_request",
            ("deny", Reason.HOST_MALFORMED),
            id="something that cannot be read",
        ),
        pytest.param(
            KeysUnavailable("no keys"),
            503,
            "unavailable",
            ("broken", Reason.KEYS_UNAVAILABLE),
            id="something that is down",
        ),
        pytest.param(
            ZeroDivisionError(),
            500,
            "internal_error",
            ("broken", Reason.INTERNAL_ERROR),
            id="a mistake of ours",
        ),
    ],
)
@pytest.mark.anyio
async def test_whatever_a_layer_says_but_allow_ends_the_request_there(
    says: Verdict | Exception, status: int, error: str, verdict: tuple[str, Reason]
) -> None:
    spy, records = Spy(), Records()

    reply = await call(AuditLog(Judge(spy, says), sink=records), http_scope())

    assert (reply.status, reply.json()) == (status, {"error": error})
    assert [verdict] == records.verdicts
    assert spy.scopes == []


@pytest.mark.anyio
async def test_an_allowed_request_is_passed_on_as_it_came() -> None:
    spy = Spy(b"hello", content_type="text/plain")

    reply = await call(Judge(spy, Allow()), http_scope(), b"body")

    assert (reply.status, reply.body, spy.bodies) == (200, b"hello", [b"body"])


@pytest.mark.anyio
async def test_without_an_audit_log_a_mistake_of_ours_reaches_the_server_and_not_the_application() -> None:
    spy = Spy()

    with pytest.raises(ZeroDivisionError):
        await call(Judge(spy, ZeroDivisionError()), http_scope())
    assert spy.scopes == []


PAGE = ("origin", "https://evil.example")


def _hosts(app: ASGIApp) -> ASGIApp:
    return HostAllowlist(app, hosts=["wiki.example.com"])


def _clients(app: ASGIApp) -> ASGIApp:
    return ClientAllowlist(app, allowed_ips=["10.0.0.0/8"])


def _endpoints(app: ASGIApp) -> ASGIApp:
    return Endpoints({"/other": app}, app)


def _bearer(app: ASGIApp) -> ASGIApp:
    return BearerAuthentication(app, resource=RESOURCE, issuers=[trusted_issuer()])


def _tools(app: ASGIApp) -> ASGIApp:
    return ToolAllowlist(app, tools=["search_docs"])


def _full(app: ASGIApp) -> ASGIApp:
    return AuditLog(Handover(app), sink=FullDisk())


def _open_hosts(app: ASGIApp) -> ASGIApp:
    return HostAllowlist(app, hosts=["docs.example.com"])


def _open_clients(app: ASGIApp) -> ASGIApp:
    return ClientAllowlist(app, allowed_ips=["127.0.0.0/8"])


def _open_origins(app: ASGIApp) -> ASGIApp:
    return OriginAllowlist(app, origins=[PAGE[1]])


def _open_endpoints(app: ASGIApp) -> ASGIApp:
    return Endpoints({"/mcp": app}, app)


def _audit(app: ASGIApp) -> ASGIApp:
    return AuditLog(app, sink=Records())


def _metadata(app: ASGIApp) -> ASGIApp:
    return ResourceMetadata(app, resource=RESOURCE, issuers=["https://login.example.com"])


REFUSING = [
    pytest.param(RequestHygiene, id="request hygiene"),
    pytest.param(_hosts, id="hosts"),
    pytest.param(_clients, id="clients"),
    pytest.param(OriginAllowlist, id="origins"),
    pytest.param(_endpoints, id="endpoints"),
    pytest.param(_bearer, id="bearer"),
    pytest.param(_tools, id="tools"),
    pytest.param(_full, id="handover without a place for its record"),
]


async def _websocket(app: ASGIApp) -> list[Message]:
    scope = http_scope(headers=[("host", "docs.example.com"), PAGE])
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        sent.append(message)

    del scope["method"]
    await app({**scope, "type": "websocket", "scheme": "ws"}, receive, send)
    return sent


@pytest.mark.parametrize("wrap", REFUSING)
@pytest.mark.anyio
async def test_a_websocket_that_a_layer_refuses_is_closed_and_not_answered_in_http(wrap: Wrap) -> None:
    spy = Spy()

    sent = await _websocket(wrap(spy))

    assert sent == [{"type": "websocket.close", "code": 1008}]
    assert spy.scopes == []


@pytest.mark.parametrize("wrap", REFUSING[:-1])
@pytest.mark.anyio
async def test_a_refused_websocket_leaves_one_record(wrap: Wrap) -> None:
    records = Records()

    await _websocket(AuditLog(wrap(Spy()), sink=records))

    assert [verdict for verdict, _ in records.verdicts] == ["deny"]


@pytest.mark.parametrize(
    ("wrap", "passes"),
    [
        pytest.param(_open_hosts, True, id="hosts"),
        pytest.param(_open_clients, True, id="clients"),
        pytest.param(_open_origins, True, id="origins"),
        pytest.param(_open_endpoints, True, id="endpoints"),
        pytest.param(RequestHygiene, False, id="request hygiene, which knows no WebSocket"),
        pytest.param(_tools, False, id="tools, which are asked over HTTP"),
    ],
)
@pytest.mark.anyio
async def test_only_layers_that_know_nothing_of_messages_let_a_websocket_pass(
    wrap: Wrap,
    passes: bool,  # noqa: FBT001
) -> None:
    reached: list[str] = []

    async def echo(scope: Scope, receive: object, send: object) -> None:
        reached.append(scope["type"])

    await _websocket(wrap(echo))

    assert reached == (["websocket"] if passes else [])


@pytest.mark.parametrize(
    "wrap",
    [
        *REFUSING,
        pytest.param(_audit, id="audit"),
        pytest.param(Handover, id="handover"),
        pytest.param(_metadata, id="metadata"),
    ],
)
@pytest.mark.anyio
async def test_start_up_and_shutdown_pass_through_every_layer(wrap: Wrap) -> None:
    incoming: list[Message] = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
    sent: list[str] = []

    async def receive() -> Message:
        return incoming.pop(0)

    async def send(message: Message) -> None:
        sent.append(message["type"])

    await wrap(Spy())({"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}, receive, send)

    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


@pytest.mark.parametrize("wrap", REFUSING[1:-1])
@pytest.mark.anyio
async def test_a_layer_works_alone_and_names_the_request_it_refuses(wrap: Wrap) -> None:
    spy = Spy()

    reply = await call(wrap(spy), http_scope("OPTIONS", headers=[("host", "docs.example.com"), PAGE]))

    assert 400 <= reply.status < 500
    assert len(reply.header("x-request-id") or "") == 16
    assert spy.scopes == []


async def _who(request: Request) -> JSONResponse:
    principal = principal_of(request.scope)
    message = await request.json()
    return JSONResponse(
        {
            "jsonrpc": "2.0",
            "id": message["id"],
            "result": {"who": principal and principal.subject, "token": request.headers.get("authorization")},
        }
    )


def _starlette() -> Starlette:
    app = Starlette(routes=[Route("/mcp", _who, methods=["POST"])])
    app.add_middleware(ToolAllowlist, tools={"search_docs": ["docs:read"], "drop_docs": ["docs:admin"]})
    app.add_middleware(
        BearerAuthentication, resource=RESOURCE, issuers=[trusted_issuer()], clock=lambda: float(NOW)
    )
    return app


@pytest.mark.anyio
async def test_two_layers_in_a_starlette_app_share_what_they_found_out() -> None:
    headers, body = legacy("tools/call", {"name": "search_docs"})
    headers.append(("authorization", f"Bearer {Token().mint(NOW)}"))

    reply = await call(_starlette(), http_scope(headers=headers), body)

    assert reply.status == 200
    assert reply.json()["result"] == {"who": "alice", "token": None}


@pytest.mark.parametrize(
    ("tool", "token", "status", "error"),
    [
        pytest.param("search_docs", None, 401, "token_required", id="no token"),
        pytest.param("search_docs", Token(claims={"exp": NOW - 60}), 401, "invalid_token", id="an old token"),
        pytest.param("drop_docs", Token(), 403, "insufficient_scope", id="a tool that needs another scope"),
    ],
)
@pytest.mark.anyio
async def test_two_layers_in_a_starlette_app_refuse_as_they_do_in_the_chain(
    tool: str, token: Token | None, status: int, error: str
) -> None:
    headers, body = legacy("tools/call", {"name": tool})
    if token is not None:
        headers.append(("authorization", f"Bearer {token.mint(NOW)}"))

    reply = await call(_starlette(), http_scope(headers=headers), body)

    assert (reply.status, reply.json()) == (status, {"error": error})
    assert (reply.header("www-authenticate") or "").startswith("Bearer ")


@pytest.mark.anyio
async def test_a_tool_that_is_not_listed_does_not_exist_behind_a_starlette_app_either() -> None:
    headers, body = legacy("tools/call", {"name": "delete_everything"})
    headers.append(("authorization", f"Bearer {Token().mint(NOW)}"))

    reply = await call(_starlette(), http_scope(headers=headers), body)

    error = reply.json()["error"]
    assert (reply.status, error["code"]) == (200, -32602)
    assert error["data"] == {"requestId": reply.header("x-request-id")}
