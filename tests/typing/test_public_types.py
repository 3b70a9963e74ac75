"""The library as somebody who uses it writes it: type checkers read this, and the tests run it."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, assert_never, assert_type

import pytest
from fastapi import FastAPI, Request
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import JSONResponse
from starlette.routing import Route as StarletteRoute

from tests.support.asgi import Reply, Spy, call, http_scope
from tests.support.mcp import modern
from tests.support.tokens import ISSUER, RESOURCE, Token, jwks
from tunnelgate import (
    Allow,
    Audit,
    AuditLog,
    AuditSink,
    AuditUnavailable,
    BearerAuthentication,
    Broken,
    ClientAllowlist,
    Clients,
    ConfigurationError,
    ConfigurationFault,
    Deny,
    Fetch,
    Fetched,
    HostAllowlist,
    Issuer,
    KeySource,
    KeysUnavailable,
    Limits,
    NeedsScopes,
    OAuth,
    OriginAllowlist,
    Policy,
    Principal,
    Reason,
    RemoteKeys,
    RequestHygiene,
    Requirement,
    Route,
    RouteClients,
    Rule,
    Sealer,
    StaticKeys,
    ToolAllowlist,
    TrustedIssuer,
    TunnelgateError,
    Unavailable,
    Verdict,
    principal_of,
    protect,
)
from tunnelgate.asgi import ASGIApp

KEYS = StaticKeys(jwks("ES256"))
TRUSTED = TrustedIssuer(ISSUER, KEYS)


class ListSink:
    """A sink of somebody's own: it needs no base class."""

    def __init__(self) -> None:
        self.verdicts: list[str] = []

    def write(self, record: Mapping[str, Any]) -> None:
        self.verdicts.append(record["verdict"])


async def answer(request: Request) -> JSONResponse:
    message = await request.json()
    principal = assert_type(principal_of(request.scope), Principal | None)
    subject = None if principal is None else principal.subject
    return JSONResponse({"jsonrpc": "2.0", "id": message["id"], "result": {"subject": subject}})


def fastapi_app(sink: ListSink) -> ASGIApp:
    app = FastAPI()
    app.add_api_route("/mcp", answer, methods=["POST"])
    app.add_middleware(ToolAllowlist, tools=["search_docs", "read_doc"])
    app.add_middleware(BearerAuthentication, resource=RESOURCE, issuers=[TRUSTED], scopes=["docs:read"])
    app.add_middleware(OriginAllowlist, origins=["https://inspector.example.com"])
    app.add_middleware(ClientAllowlist, allowed_ips=["127.0.0.0/8", "::1"])
    app.add_middleware(HostAllowlist, hosts=["docs.example.com"], ports=[8443])
    app.add_middleware(RequestHygiene, max_body=65536)
    app.add_middleware(AuditLog, sink=sink)
    return app


def starlette_app(sink: ListSink) -> ASGIApp:
    return Starlette(
        routes=[StarletteRoute("/mcp", answer, methods=["POST"])],
        middleware=[
            Middleware(AuditLog, sink=sink),
            Middleware(RequestHygiene),
            Middleware(HostAllowlist, hosts={"docs.example.com"}),
            Middleware(ClientAllowlist, allowed_ips=("127.0.0.1",), within=["127.0.0.0/8"]),
            Middleware(OriginAllowlist),
            Middleware(
                BearerAuthentication,
                resource=RESOURCE,
                issuers=(TRUSTED,),
                scopes=["docs:read"],
                claims={"client_id": ["agent", "other"]},
            ),
            Middleware(
                ToolAllowlist,
                tools={"search_docs": Requirement(scopes=("docs:read",)), "read_doc": None},
                prompts={"greet": ["docs:read"]},
                resources=["docs:///{+path}"],
                methods=["acme/search"],
                log_level="warning",
                tasks=True,
                sealer=Sealer([bytes(32)]),
            ),
        ],
    )


def bare_app(sink: ListSink) -> ASGIApp:
    """Wrap an application by hand, with no framework around it."""
    app = Starlette(routes=[StarletteRoute("/mcp", answer, methods=["POST"])])
    tools = ToolAllowlist(
        app, tools={"search_docs": ["docs:read"]}, sealer=Sealer.random(), max_body=1024, max_answer=1024
    )
    bearer = BearerAuthentication(tools, resource=RESOURCE, issuers=[TRUSTED], scopes=["docs:read"])
    return AuditLog(RequestHygiene(bearer), sink=sink)


def protected_app(sink: ListSink) -> ASGIApp:
    app = FastAPI()
    app.add_api_route("/mcp", answer, methods=["POST"])
    return assert_type(protect(app, written_in_code(), audit=sink, keys_of=keys_of), ASGIApp)


def keys_of(issuer: Issuer) -> KeySource:
    assert_type(issuer.issuer, str)
    return KEYS


def written_in_code() -> Policy:
    return Policy(
        listen_addr=":8080",
        shutdown_timeout=5,
        tunnel_domain="tunnel.example.com",
        host_ports=[8443],
        clients=Clients(allowed_ips=["127.0.0.0/8"]),
        oauth=OAuth(issuers=[Issuer(issuer=ISSUER, jwks_file="jwks.json", algorithms=["ES256"])]),
        limits=Limits(body_bytes=65536),
        routes={
            "docs.example.com": Route(
                scopes=["docs:read"],
                tools=["search_docs", "read_doc"],
                clients=RouteClients(allowed_ips=["127.0.0.1"]),
                origins=[],
                public_paths=["/healthz"],
            ),
            "tickets": Route(
                path="/v1/mcp",
                options={"page": 20},
                claims={"tenant": "acme", "verified": True, "level": [2, 3]},
                tools={
                    "search_tickets": None,
                    "create_draft": Rule(
                        scopes=["tickets:draft"], claims={"department": ["support", "sales"]}
                    ),
                },
                prompts=["greet"],
                resources={"tickets:///{id}": Rule(claims={"level": 3}), "tickets:///open": None},
                methods=["acme/search"],
                client_log_level="warning",
                tasks=True,
            ),
            "wiki.example.com": Route(tools="*", allow_all_tools=True),
        },
        audit=Audit(file="audit.jsonl"),
    )


@pytest.mark.parametrize("build", [fastapi_app, starlette_app, bare_app, protected_app])
@pytest.mark.anyio
async def test_an_application_is_gated_in_the_ways_that_users_write(
    build: Callable[[ListSink], ASGIApp],
) -> None:
    sink = ListSink()
    app = build(sink)

    allowed = await ask(app, "search_docs", Token().mint())
    refused = await ask(app, "delete_docs", Token().mint())
    unknown = await ask(app, "search_docs")

    assert allowed.json()["result"] == {"subject": "alice"}
    assert refused.json()["error"]["message"] == "Unknown tool: delete_docs"
    assert unknown.status == 401
    assert sink.verdicts[-2:] == ["deny", "deny"]


async def ask(app: ASGIApp, tool: str, token: str | None = None) -> Reply:
    headers, body = modern("tools/call", {"name": tool, "arguments": {}})
    if token is not None:
        headers = [*headers, ("authorization", f"Bearer {token}")]
    return await call(app, http_scope(headers=headers), body)


def test_a_policy_written_in_code_has_the_types_that_it_says() -> None:
    policy = written_in_code()

    routes = assert_type(policy.routes, Mapping[str, Route])
    assert_type(policy.clients.allowed_ips, Sequence[str])
    assert_type(policy.hostnames("tickets"), tuple[str, ...])
    assert_type(policy.resource("tickets"), str)
    assert_type(policy.issuers("tickets"), tuple[Issuer, ...])
    tools = assert_type(routes["tickets"].tool_requirements, Mapping[str, Requirement] | Literal["*"])
    assert_type(routes["tickets"].prompt_requirements, Mapping[str, Requirement])
    assert_type(routes["tickets"].resource_requirements, Mapping[str, Requirement])
    assert_type(policy.warnings, tuple[str, ...])
    assert tools != "*"
    assert tools["create_draft"] == Requirement(("tickets:draft",), {"department": ("support", "sales")})
    assert policy.resource("tickets") == "https://tickets.tunnel.example.com/v1/mcp"


def test_a_path_may_be_a_text_or_a_path() -> None:
    policy = Policy(
        clients=Clients(allowed_ips=["::1"]),
        routes={"login.example.com": Route(tools=None, public_paths=["/token"])},
        sealing_keys=["new.key", Path("old.key")],
        oauth=OAuth(issuers=[Issuer(issuer=ISSUER, jwks_file="jwks.json")]),
    )
    issuers = [
        Issuer(issuer=ISSUER, jwks_file=Path("jwks.json")),
        Issuer(issuer=ISSUER, jwks_file="jwks.json"),
    ]

    assert issuers[0] == issuers[1]
    assert_type(policy.sealing_keys, Sequence[str | Path])
    assert policy.sealing_keys == (Path("new.key"), Path("old.key"))


def test_what_is_required_is_required_by_type_checkers_too() -> None:
    with pytest.raises(ConfigurationError):
        Policy(clients=Clients(allowed_ips=["::1"]))  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    with pytest.raises(TypeError):
        BearerAuthentication(Spy())  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    with pytest.raises(ValueError, match="frozen"):
        written_in_code().log_level = "debug"  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]


def told(verdict: Verdict) -> str:
    """Handle every verdict: a type checker would notice one that is missing."""
    match verdict:
        case Allow():
            return "allowed"
        case NeedsScopes(scopes):
            return " ".join(assert_type(scopes, tuple[str, ...]))
        case Deny(reason):
            return assert_type(reason, Reason).value
        case Broken(reason, detail):
            return f"{reason}: {detail}"
        case _:
            assert_never(verdict)


def test_a_verdict_is_one_of_four() -> None:
    verdicts = Allow(), NeedsScopes(("a", "b")), Deny(Reason.HOST_UNKNOWN), Broken(Reason.INTERNAL_ERROR, "x")

    assert [told(each) for each in verdicts] == ["allowed", "a b", "host-unknown", "internal-error: x"]


def faults_of(error: ConfigurationError) -> Iterator[str]:
    for fault in assert_type(error.faults, tuple[ConfigurationFault, ...]):
        yield fault.path


def test_every_exception_has_one_root_and_says_what_it_is() -> None:
    errors: list[TunnelgateError] = [KeysUnavailable("x"), AuditUnavailable("y")]
    broken = [assert_type(each.reason, Reason) for each in errors if isinstance(each, Unavailable)]

    with pytest.raises(TunnelgateError) as caught:
        Policy.from_mapping({})

    assert broken == [Reason.KEYS_UNAVAILABLE, Reason.AUDIT_UNAVAILABLE]
    assert isinstance(caught.value, ConfigurationError)
    assert list(faults_of(caught.value)) == ["routes", "clients"]


def test_keys_and_sinks_are_whatever_has_their_methods() -> None:
    async def fetch(
        url: str, *, form: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None
    ) -> Fetched:
        return Fetched(200, "application/json", jwks("ES256"))

    typed: Fetch = fetch
    sources: list[KeySource] = [KEYS, RemoteKeys("https://login.example.com/jwks", typed, max_age=60)]
    sink: AuditSink = ListSink()
    sink.write({"verdict": "allow"})

    found = [asyncio.run(find(source)) for source in sources]

    assert found == [True, True]


async def find(source: KeySource) -> bool:
    return await source.find("ES256") is not None
