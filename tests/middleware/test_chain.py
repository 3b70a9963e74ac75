from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from fastapi import FastAPI, Request
from starlette.applications import Starlette
from starlette.routing import Mount

from tests.support.asgi import Reply, Spy, call, http_scope
from tests.support.audit import Records
from tests.support.certificates import Authority
from tests.support.mcp import legacy, modern
from tests.support.proofs import Proof, client_key, thumbprint
from tests.support.token_endpoint import ScriptedIssuer, answered, issued
from tests.support.tokens import ISSUER, KeyEndpoint, Token, jwks
from tunnelgate import (
    ConfigurationError,
    Fetch,
    Issuer,
    KeySource,
    Policy,
    Reason,
    RemoteKeys,
    Sealer,
    StaticKeys,
    principal_of,
    protect,
)
from tunnelgate.asgi import ASGIApp, Message, Receive, Scope, Send
from tunnelgate.chain import build_gate
from tunnelgate.exchange import Load, caller_of, load_of
from tunnelgate.materials import gather

NOW = 1_800_000_000
PARTNER = "https://partner.example.com"
DOCS = "docs.tunnel.example.com"
WIKI = "wiki.example.com"
OPEN = "open.tunnel.example.com"
TICKETS = "tickets.tunnel.example.com"
INSIDE = ("10.1.2.3", 50000)
WITHIN_WIKI = ("10.9.0.1", 50000)
OUTSIDE = ("192.0.2.1", 50000)
SETTINGS: Mapping[str, Any] = {
    "tunnel_domain": "tunnel.example.com",
    "host_ports": [9443],
    "clients": {"allowed_ips": ["10.0.0.0/8"]},
    "oauth": {
        "issuers": [{"issuer": ISSUER, "jwks_file": "a.json"}, {"issuer": PARTNER, "jwks_file": "b.json"}]
    },
    "routes": {
        "docs": {
            "scopes": ["docs:read"],
            "tools": {"search_docs": None, "edit_doc": {"scopes": ["docs:write"]}},
            "origins": ["https://inspector.example.com"],
            "public_paths": ["/healthz"],
            "forward_headers": ["X-Tenant"],
        },
        WIKI: {
            "tools": ["search_docs"],
            "issuers": [PARTNER],
            "clients": {"allowed_ips": ["10.9.0.0/16", "192.0.2.0/24"]},
        },
        "open": {"public_paths": ["/token"]},
        "tickets": {
            "path": "/v1/mcp",
            "scopes": ["tickets:read"],
            "claims": {"department": ["support", "board"]},
            "tools": {
                "search_tickets": None,
                "close_ticket": {"claims": {"level": [2, 3]}, "scopes": ["tickets:close"]},
            },
            "prompts": {"greet": None, "escalate": {"claims": {"level": 3}}},
            "resources": ["tickets:///{id}", "tickets:///open"],
            "methods": ["acme/search"],
            "client_log_level": "warning",
        },
    },
}
KEYS = {ISSUER: "ES256", PARTNER: "RS256"}


def keys_of(issuer: Issuer) -> KeySource:
    return StaticKeys(jwks(KEYS[issuer.issuer]))


def token(route: str = DOCS, issuer: str = ISSUER, path: str = "/mcp", **claims: Any) -> str:
    """Return a good token for a route of the policy."""
    made = {"aud": f"https://{route}{path}", "iss": issuer, **claims}
    return Token(KEYS[issuer], claims=made).mint(NOW)


class Gate:
    """A gate in front of one application, with what came through and what was written down."""

    def __init__(self, spy: Spy | None = None, fetch: Fetch | None = None, **changes: Any) -> None:
        self.spy = spy or Spy()
        self.records = Records()
        self.app = protect(
            self.spy,
            Policy.from_mapping({**SETTINGS, **changes}),
            audit=self.records,
            fetch=fetch,
            keys_of=keys_of,
            clock=lambda: NOW,
            new_id=lambda: "0123456789abcdef",
        )

    async def ask(
        self,
        *,
        host: str = DOCS,
        path: str = "/mcp",
        method: str = "POST",
        client: tuple[str, int] = INSIDE,
        bearer: str | None = None,
        body: bytes = b"{}",
        **headers: str,
    ) -> Reply:
        fields = {"host": host, "content-type": "application/json", "content-length": str(len(body))}
        if method != "POST":
            fields, body = {"host": host}, b""
        if bearer is not None:
            fields["authorization"] = f"Bearer {bearer}"
        fields |= {name.replace("_", "-"): value for name, value in headers.items()}
        return await call(self.app, http_scope(method, path, list(fields.items()), client=client), body)


def calling(tool: str) -> bytes:
    return legacy("tools/call", {"name": tool, "arguments": {}})[1]


def about(method: str, **params: Any) -> bytes:
    return legacy(method, params)[1]


GOOD = token()


@pytest.mark.parametrize(
    ("request_", "status", "reason"),
    [
        pytest.param(
            {"host": "evil.example", "client": OUTSIDE, "transfer_encoding": "chunked"},
            400,
            Reason.FRAMING_AMBIGUOUS,
            id="hygiene before hosts",
        ),
        pytest.param(
            {"host": "evil.example", "client": OUTSIDE}, 403, Reason.HOST_UNKNOWN, id="hosts before clients"
        ),
        pytest.param(
            {"client": OUTSIDE, "path": "/nowhere"}, 403, Reason.CLIENT_NOT_ALLOWED, id="clients before paths"
        ),
        pytest.param(
            {"client": OUTSIDE, "method": "GET", "path": "/.well-known/oauth-protected-resource"},
            403,
            Reason.CLIENT_NOT_ALLOWED,
            id="clients before metadata",
        ),
        pytest.param(
            {"client": OUTSIDE, "method": "GET", "path": "/healthz"},
            403,
            Reason.CLIENT_NOT_ALLOWED,
            id="clients before public paths",
        ),
        pytest.param(
            {"client": OUTSIDE, "origin": "https://evil.example"},
            403,
            Reason.CLIENT_NOT_ALLOWED,
            id="clients before origins",
        ),
        pytest.param({"client": OUTSIDE}, 403, Reason.CLIENT_NOT_ALLOWED, id="clients before tokens"),
        pytest.param(
            {"client": OUTSIDE, "bearer": GOOD}, 403, Reason.CLIENT_NOT_ALLOWED, id="clients with a token too"
        ),
        pytest.param(
            {"path": "/nowhere", "origin": "https://evil.example"},
            404,
            Reason.PATH_NOT_SERVED,
            id="paths before origins",
        ),
        pytest.param({"path": "/nowhere"}, 404, Reason.PATH_NOT_SERVED, id="paths before tokens"),
        pytest.param(
            {"path": "/nowhere", "bearer": GOOD}, 404, Reason.PATH_NOT_SERVED, id="paths with a token too"
        ),
        pytest.param(
            {"path": "/mcp/", "bearer": GOOD}, 404, Reason.PATH_NOT_SERVED, id="paths are compared whole"
        ),
        pytest.param(
            {"origin": "https://evil.example"}, 403, Reason.ORIGIN_NOT_ALLOWED, id="origins before tokens"
        ),
        pytest.param(
            {"origin": "https://evil.example", "bearer": GOOD},
            403,
            Reason.ORIGIN_NOT_ALLOWED,
            id="origins with a token too",
        ),
        pytest.param({"method": "GET"}, 401, Reason.TOKEN_MISSING, id="tokens before methods"),
        pytest.param({"body": b"{"}, 401, Reason.TOKEN_MISSING, id="tokens before bodies"),
        pytest.param({"body": calling("delete_docs")}, 401, Reason.TOKEN_MISSING, id="tokens before tools"),
        pytest.param(
            {"body": b"{", "bearer": token(scope="docs:write")},
            403,
            Reason.SCOPE_MISSING,
            id="scopes before bodies",
        ),
        pytest.param(
            {"path": "/v1/mcp", "host": TICKETS, "bearer": token(TICKETS, path="/v1/mcp", scope="")},
            403,
            Reason.CLAIM_MISSING,
            id="claims before scopes",
        ),
        pytest.param(
            {
                "path": "/v1/mcp",
                "host": TICKETS,
                "bearer": token(TICKETS, path="/v1/mcp", department="sales"),
                "body": b"{",
            },
            403,
            Reason.CLAIM_MISSING,
            id="claims before bodies",
        ),
        pytest.param({"method": "OPTIONS", "bearer": GOOD}, 405, Reason.STREAM_NOT_OFFERED, id="methods"),
        pytest.param(
            {"method": "GET", "bearer": GOOD, "mcp_protocol_version": "2026-07-28"},
            405,
            Reason.STREAM_NOT_OFFERED,
            id="streams of the modern era",
        ),
        pytest.param(
            {"method": "GET", "bearer": GOOD, "mcp_session_id": "a-session-of-somebody"},
            404,
            Reason.SESSION_UNKNOWN,
            id="sessions of streams",
        ),
        pytest.param(
            {"method": "DELETE", "bearer": GOOD, "mcp_session_id": "a-session-of-somebody"},
            404,
            Reason.SESSION_UNKNOWN,
            id="sessions that are to end",
        ),
        pytest.param(
            {"body": calling("delete_docs"), "bearer": GOOD, "mcp_session_id": "a-session-of-somebody"},
            404,
            Reason.SESSION_UNKNOWN,
            id="sessions before tools",
        ),
        pytest.param(
            {"body": b"{", "content_type": "text/plain", "bearer": GOOD},
            415,
            Reason.MEDIA_TYPE_NOT_ALLOWED,
            id="media types before bodies",
        ),
        pytest.param({"body": b"{", "bearer": GOOD}, 400, Reason.BODY_NOT_JSON, id="bodies"),
        pytest.param(
            {"body": calling("delete_docs"), "bearer": GOOD}, 200, Reason.TOOL_NOT_ALLOWED, id="tools"
        ),
        pytest.param(
            {"body": calling("edit_doc"), "bearer": GOOD}, 403, Reason.SCOPE_MISSING, id="scopes of tools"
        ),
        pytest.param(
            {"body": about("prompts/get", name="leak"), "bearer": GOOD},
            200,
            Reason.METHOD_NOT_ALLOWED,
            id="prompts of a route that has none",
        ),
    ],
)
@pytest.mark.promise("closed-by-default")
@pytest.mark.anyio
async def test_the_outermost_layer_that_has_an_objection_answers(
    request_: dict[str, Any], status: int, reason: Reason
) -> None:
    gate = Gate()

    reply = await gate.ask(**request_)

    assert [("deny", reason)] == gate.records.verdicts
    assert reply.status == status
    assert reply.header("x-request-id") == "0123456789abcdef"
    assert gate.spy.scopes == []


@pytest.mark.promise("headers-listed")
@pytest.mark.anyio
async def test_what_everybody_allows_reaches_the_application_with_nothing_but_listed_headers() -> None:
    gate = Gate()
    body = b' {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "search_docs"}} '

    reply = await gate.ask(
        bearer=GOOD,
        body=body,
        origin="https://inspector.example.com",
        accept="application/json",
        x_tenant="blue",
        x_forwarded_user="root",  # T089
        cf_access_jwt_assertion="forged",  # T088
        cookie="a=b",
    )

    assert (reply.status, reply.json()) == (200, {"jsonrpc": "2.0", "id": 1, "result": {}})
    assert gate.records.verdicts == [("allow", None)]
    assert gate.spy.seen_headers == {
        "host": DOCS,
        "content-type": "application/json",
        "accept": "application/json",
        "accept-encoding": "identity",
        "content-length": str(len(gate.spy.bodies[0])),
        "x-tenant": "blue",
        "x-request-id": "0123456789abcdef",
    }
    assert gate.spy.bodies == [orjson.dumps(orjson.loads(body))]
    found = principal_of(gate.spy.scopes[0])
    assert found is not None
    assert (found.subject, found.scopes) == ("alice", frozenset({"docs:read"}))
    assert GOOD not in f"{gate.spy.scopes} {gate.records.all}"


@pytest.mark.anyio
async def test_a_record_says_who_asked_for_what_by_which_route() -> None:
    gate = Gate()

    await gate.ask(bearer=GOOD, body=calling("delete_docs"))

    (record,) = gate.records.all
    assert record == {
        "time": "2027-01-15T08:00:00.000Z",
        "request_id": "0123456789abcdef",
        "verdict": "deny",
        "reason": "tool-not-allowed",
        "detail": "",
        "route": "docs",
        "host": DOCS,
        "peer": "10.1.2.3",
        "client": "10.1.2.3",
        "principal": {"issuer": ISSUER, "subject": "alice", "client_id": "agent"},
        "http_method": "POST",
        "path": "/mcp",
        "protocol_version": None,
        "method": "tools/call",
        "target": "delete_docs",
    }


SUPPORTER: dict[str, Any] = {"scope": "tickets:read", "department": "support"}
CLOSER: dict[str, Any] = {"scope": "tickets:read tickets:close", "department": ["board"], "level": 3}


@pytest.mark.parametrize(
    ("body", "claims", "status", "reason"),
    [
        pytest.param(calling("search_tickets"), SUPPORTER, 200, None, id="a tool"),
        pytest.param(calling("close_ticket"), CLOSER, 200, None, id="a tool with claims"),
        pytest.param(
            calling("close_ticket"),
            {**CLOSER, "level": 1},
            200,
            Reason.TOOL_NOT_ALLOWED,
            id="a tool for others",
        ),
        pytest.param(
            calling("close_ticket"),
            {**CLOSER, "scope": "tickets:read"},
            403,
            Reason.SCOPE_MISSING,
            id="a tool without its scope",
        ),
        pytest.param(about("prompts/get", name="greet"), SUPPORTER, 200, None, id="a prompt"),
        pytest.param(about("prompts/get", name="escalate"), CLOSER, 200, None, id="a prompt with a claim"),
        pytest.param(
            about("prompts/get", name="escalate"),
            SUPPORTER,
            200,
            Reason.PROMPT_NOT_ALLOWED,
            id="a prompt for others",
        ),
        pytest.param(
            about("prompts/get", name="leak"), CLOSER, 200, Reason.PROMPT_NOT_ALLOWED, id="another prompt"
        ),
        pytest.param(about("resources/read", uri="tickets:///7"), SUPPORTER, 200, None, id="of a template"),
        pytest.param(about("resources/read", uri="tickets:///open"), SUPPORTER, 200, None, id="a resource"),
        pytest.param(
            about("resources/read", uri="tickets:///7/notes"),
            CLOSER,
            200,
            Reason.RESOURCE_NOT_ALLOWED,
            id="a resource beside the template",
        ),
        pytest.param(about("acme/search", q="x"), SUPPORTER, 200, None, id="a method by name"),
        pytest.param(
            about("acme/delete"), CLOSER, 200, Reason.METHOD_NOT_ALLOWED, id="a method that is not listed"
        ),
        pytest.param(about("logging/setLevel", level="debug"), SUPPORTER, 200, None, id="a level"),
        pytest.param(
            about("tasks/get", taskId="x"), CLOSER, 200, Reason.METHOD_NOT_ALLOWED, id="a task without tasks"
        ),
    ],
)
@pytest.mark.promise("closed-by-default")
@pytest.mark.anyio
async def test_what_a_route_of_the_policy_lists_is_what_its_callers_have(
    body: bytes, claims: dict[str, Any], status: int, reason: Reason | None
) -> None:
    gate = Gate()

    reply = await gate.ask(
        host=TICKETS, path="/v1/mcp", bearer=token(TICKETS, path="/v1/mcp", **claims), body=body
    )

    assert reply.status == status
    assert gate.records.verdicts == [("allow", None) if reason is None else ("deny", reason)]
    assert len(gate.spy.scopes) == (1 if reason is None else 0)


@pytest.mark.anyio
async def test_the_level_of_the_policy_is_the_most_verbose_that_the_application_is_asked_for() -> None:
    gate = Gate()
    bearer = token(TICKETS, path="/v1/mcp", **SUPPORTER)

    for level in ("debug", "error"):
        body = about("logging/setLevel", level=level)
        await gate.ask(host=TICKETS, path="/v1/mcp", bearer=bearer, body=body)

    assert [orjson.loads(body)["params"]["level"] for body in gate.spy.bodies] == ["warning", "error"]


@pytest.mark.parametrize(
    "path", ["/.well-known/oauth-protected-resource", "/.well-known/oauth-protected-resource/mcp"]
)
@pytest.mark.promise("challenge-complete")
@pytest.mark.anyio
async def test_metadata_needs_no_token_and_is_made_of_the_policy_alone(path: str) -> None:
    gate = Gate()

    reply = await gate.ask(
        method="GET", path=path, origin="https://anywhere.example", x_forwarded_host="evil.example"
    )

    assert (reply.status, reply.json()) == (
        200,
        {
            "resource": f"https://{DOCS}/mcp",
            "authorization_servers": [ISSUER, PARTNER],
            "bearer_methods_supported": ["header"],
            "scopes_supported": ["docs:read"],
        },
    )
    assert gate.records.verdicts == [("allow", None)]
    assert gate.spy.scopes == []


@pytest.mark.anyio
async def test_the_challenge_of_a_route_names_its_own_metadata_and_all_the_scopes_of_a_tool() -> None:
    gate = Gate()
    metadata = f"https://{DOCS}/.well-known/oauth-protected-resource/mcp"

    missing = await gate.ask()
    narrow = await gate.ask(bearer=GOOD, body=calling("edit_doc"))

    assert missing.header("www-authenticate") == f'Bearer scope="docs:read", resource_metadata="{metadata}"'
    assert narrow.header("www-authenticate") == (
        f'Bearer error="insufficient_scope", scope="docs:read docs:write", resource_metadata="{metadata}"'
    )


@pytest.mark.parametrize(
    ("host", "path", "headers"),
    [
        pytest.param(DOCS, "/healthz", {}, id="beside an endpoint"),
        pytest.param(OPEN, "/token", {}, id="of a route without tools"),
        pytest.param(DOCS, "/healthz", {"origin": "https://anywhere.example"}, id="from any web page"),
        pytest.param(OPEN, "/token", {"authorization": "Basic YTpi"}, id="with credentials of its own"),
    ],
)
@pytest.mark.anyio
async def test_a_public_path_needs_no_token_of_ours(host: str, path: str, headers: dict[str, Any]) -> None:
    gate = Gate()

    reply = await gate.ask(method="GET", host=host, path=path, **headers)

    assert reply.status == 200
    assert gate.records.verdicts == [("allow", None)]
    assert gate.spy.seen_headers == {"host": host, "x-request-id": "0123456789abcdef", **headers}


@pytest.mark.anyio
async def test_a_route_without_tools_has_neither_endpoint_nor_metadata() -> None:
    gate = Gate()

    endpoint = await gate.ask(host=OPEN, bearer=token(OPEN))
    metadata = await gate.ask(host=OPEN, method="GET", path="/.well-known/oauth-protected-resource")

    assert (endpoint.status, metadata.status) == (404, 404)
    assert gate.spy.scopes == []


@pytest.mark.anyio
async def test_an_endpoint_is_not_public_even_when_it_is_listed_as_both() -> None:
    gate = Gate(routes={"docs": {"tools": ["search_docs"], "public_paths": ["/mcp"]}})

    reply = await gate.ask()

    assert reply.status == 401
    assert gate.spy.scopes == []


def _discovering(**changes: Any) -> Gate:
    upstream = {"url": "http://wiki.internal:9000", "oauth_discovery": True}
    route = {
        "upstream": upstream,
        "path": "/v1/mcp",
        "tools": ["search_docs"],
        "public_paths": ["/token"],
        "forward_headers": ["X-Tenant"],
    }
    return Gate(routes={"docs": {**route, **changes}})


DISCOVERY = [
    "/.well-known/oauth-authorization-server",
    "/.well-known/oauth-authorization-server/v1/mcp",
    "/.well-known/openid-configuration",
    "/.well-known/openid-configuration/v1/mcp",
    "/v1/mcp/.well-known/openid-configuration",
]


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
@pytest.mark.parametrize("path", DISCOVERY)
@pytest.mark.anyio
async def test_what_a_server_says_of_itself_is_read_without_a_token_and_asked_for_with_few_words(
    path: str, method: str
) -> None:
    gate = _discovering()

    reply = await gate.ask(
        method=method,
        path=path,
        accept="application/json, text/event-stream",
        authorization="Basic YTpi",
        cookie="a=b",
        dpop="a.b.c",
        last_event_id="1",
        mcp_method="tools/call",
        mcp_name="search_docs",
        mcp_session_id="1",
        origin="https://anywhere.example",
        user_agent="agent",
        x_tenant="blue",
    )

    assert reply.status == 200
    assert gate.records.verdicts == [("allow", None)]
    assert gate.spy.seen_headers == {
        "host": DOCS,
        "origin": "https://anywhere.example",
        "user-agent": "agent",
        "x-request-id": "0123456789abcdef",
    }


@pytest.mark.parametrize("bearer", [None, token(path="/v1/mcp")], ids=["without a token", "with one"])
@pytest.mark.parametrize("method", ["POST", "DELETE"])
@pytest.mark.parametrize("path", DISCOVERY)
@pytest.mark.promise("closed-by-default")
@pytest.mark.anyio
async def test_a_server_that_speaks_mcp_on_every_path_is_asked_for_nothing_where_it_says_of_itself(
    path: str, method: str, bearer: str | None
) -> None:
    gate = _discovering()

    reply = await gate.ask(
        method=method,
        path=path,
        bearer=bearer,
        body=calling("search_docs"),
        accept="application/json, text/event-stream",
    )

    assert (reply.status, reply.json()) == (405, {"error": "method_not_allowed"})
    assert gate.records.verdicts == [("deny", Reason.PATH_IS_READ_ONLY)]
    assert gate.spy.scopes == []


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"upstream": "http://wiki.internal:9000"}, id="of a server that offers none"),
        pytest.param({"upstream": None, "mount": "a:b"}, id="of a mounted application"),
    ],
)
@pytest.mark.parametrize("path", DISCOVERY)
@pytest.mark.anyio
async def test_there_are_no_documents(path: str, changes: Mapping[str, Any]) -> None:
    gate = _discovering(**changes)

    reply = await gate.ask(method="GET", path=path)

    assert (reply.status, gate.spy.scopes) == (404, [])


@pytest.mark.anyio
async def test_a_path_of_documents_that_is_listed_as_public_is_public() -> None:
    gate = _discovering(public_paths=[DISCOVERY[0]])

    asked = [await gate.ask(path=path, body=b"a=b") for path in DISCOVERY[:2]]

    assert [reply.status for reply in asked] == [200, 405]
    assert gate.spy.bodies == [b"a=b"]


@pytest.mark.parametrize(
    ("asked", "load", "caller"),
    [
        pytest.param(
            {"path": "/v1/mcp", "bearer": token(path="/v1/mcp"), "body": calling("search_docs")},
            Load.CALL,
            (ISSUER, "alice", "agent"),
            id="a call with a token",
        ),
        pytest.param({"path": "/token"}, Load.PUBLIC, None, id="a request on a public path"),
        pytest.param(
            {"path": "/token", "bearer": token(path="/v1/mcp")}, Load.PUBLIC, None, id="the same with a token"
        ),
        pytest.param(
            {"path": "/token", "method": "GET", "accept": "text/event-stream"},
            Load.PUBLIC,
            None,
            id="a stream on a public path",
        ),
        pytest.param({"path": DISCOVERY[0], "method": "GET"}, Load.PUBLIC, None, id="a document"),
    ],
)
@pytest.mark.anyio
async def test_the_application_knows_what_a_request_is_and_whose(
    asked: Mapping[str, Any], load: Load, caller: tuple[str, str, str] | None
) -> None:
    gate = _discovering()

    reply = await gate.ask(**asked)

    (scope,) = gate.spy.scopes
    assert (reply.status, load_of(scope), caller_of(scope)) == (200, load, caller)


@pytest.mark.parametrize(
    ("host", "status"),
    [
        pytest.param(DOCS, 404, id="a bare name below the domain"),
        pytest.param("DOCS.Tunnel.Example.com", 404, id="in capitals"),
        pytest.param(f"{DOCS}:443", 404, id="with the port of HTTPS"),
        pytest.param(f"{DOCS}:9443", 404, id="with a port that is listed"),
        pytest.param(WIKI, 404, id="a name with a dot"),
        pytest.param(f"{WIKI}.tunnel.example.com", 404, id="a name with a dot below the domain"),
        pytest.param(f"{DOCS}:9444", 403, id="with another port"),
        pytest.param("docs", 403, id="a bare name alone"),
        pytest.param("tunnel.example.com", 403, id="the domain alone"),
        pytest.param(f"x.{DOCS}", 403, id="a name below a route"),
        pytest.param("docs.tunnel.example.com.evil.example", 403, id="a name that begins so"),
    ],
)
@pytest.mark.promise("host-exact")
@pytest.mark.anyio
async def test_a_route_is_served_under_its_hostnames_and_no_others(host: str, status: int) -> None:
    reply = await Gate().ask(host=host, path="/nowhere", client=WITHIN_WIKI)

    assert reply.status == status


@pytest.mark.parametrize(
    ("host", "bearer", "reason"),
    [
        pytest.param(DOCS, token(DOCS), None, id="a token of one route on it"),
        pytest.param(DOCS, token(DOCS, PARTNER), None, id="by either issuer"),
        pytest.param(WIKI, token(WIKI, PARTNER), None, id="a token of another on that"),
        pytest.param(
            f"{WIKI}.tunnel.example.com", token(WIKI, PARTNER), None, id="on its other hostname likewise"
        ),
        pytest.param(
            WIKI, token(DOCS, PARTNER), Reason.TOKEN_AUDIENCE_WRONG, id="T041 a token of one on another"
        ),
        pytest.param(DOCS, token(WIKI), Reason.TOKEN_AUDIENCE_WRONG, id="and the other way round"),
        pytest.param(WIKI, token(WIKI, ISSUER), Reason.TOKEN_ISSUER_UNKNOWN, id="by an issuer of others"),
        pytest.param(
            DOCS,
            Token("RS256", claims={"aud": f"https://{DOCS}/mcp"}).mint(NOW),
            Reason.TOKEN_KEY_UNKNOWN,
            id="by one issuer with the key of another",
        ),
    ],
)
@pytest.mark.promise("token-for-this-server")
@pytest.mark.anyio
async def test_a_token_is_good_for_the_route_that_it_was_made_for(
    host: str, bearer: str, reason: Reason | None
) -> None:
    gate = Gate()

    reply = await gate.ask(host=host, bearer=bearer, client=WITHIN_WIKI, body=calling("search_docs"))

    assert reply.status == (200 if reason is None else 401)
    assert [reason] == [None if each is None else Reason(each) for _, each in gate.records.verdicts]
    assert len(gate.spy.scopes) == (1 if reason is None else 0)


@pytest.mark.anyio
async def test_what_one_route_remembers_opens_no_other() -> None:
    gate = Gate()
    bearer = token(DOCS, PARTNER)

    here = await gate.ask(bearer=bearer, client=WITHIN_WIKI, body=calling("search_docs"))
    there = await gate.ask(bearer=bearer, client=WITHIN_WIKI, body=calling("search_docs"), host=WIKI)

    assert (here.status, there.status) == (200, 401)


@pytest.mark.parametrize(
    ("host", "client", "status"),
    [
        pytest.param(DOCS, INSIDE, 401, id="within the gate's networks"),
        pytest.param(WIKI, WITHIN_WIKI, 401, id="within both"),
        pytest.param(WIKI, INSIDE, 403, id="within the gate's but not the route's"),
        pytest.param(WIKI, OUTSIDE, 403, id="within the route's but not the gate's"),
    ],
)
@pytest.mark.promise("client-network")
@pytest.mark.anyio
async def test_a_client_must_be_within_the_networks_of_the_gate_and_of_the_route(
    host: str, client: tuple[str, int], status: int
) -> None:
    reply = await Gate().ask(host=host, client=client)

    assert reply.status == status


BOUND = "bound.tunnel.example.com"
CERTIFIED = "certified.tunnel.example.com"
PEOPLE = "people.example.com"
PROVING: Mapping[str, Any] = {
    "bound": {"tools": ["search_docs"], "proof": "dpop", "scopes": ["docs:read"]},
    "certified": {"tools": ["search_docs"], "proof": "mtls"},
    PEOPLE: {"tools": ["search_docs"], "require_user": True, "proof": "none"},
}
PINGS = about("ping")
CLIENTS = Authority("clients")
CLIENT = CLIENTS.issue("agent")


def bound_to(route: str, **binding: str) -> str:
    return token(route, cnf=binding)


def with_key(route: str) -> str:
    """Return a token for a route that is bound to the client's key."""
    return bound_to(route, jkt=thumbprint(client_key()))


def proof(bearer: str, route: str, **claims: Any) -> str:
    return Proof(claims={"htu": f"https://{route}/mcp", **claims}).mint(bearer, NOW)


async def prove(
    gate: Gate, bearer: str, dpop: str | None = None, *, host: str = BOUND, scheme: str = "DPoP"
) -> Reply:
    headers: dict[str, Any] = {} if dpop is None else {"dpop": dpop}
    return await gate.ask(host=host, body=PINGS, authorization=f"{scheme} {bearer}", **headers)


ALGS = 'algs="ES256 ES384 ES512 Ed25519 EdDSA PS256 PS384 PS512 RS256 RS384 RS512"'


@pytest.mark.parametrize(
    ("scheme", "dpop", "reason", "error"),
    [
        pytest.param(
            "DPoP",
            proof(with_key(BOUND), BOUND),
            Reason.PROOF_WRONG,
            "invalid_dpop_proof",
            id="with a proof of another token",
        ),
        pytest.param("DPoP", None, Reason.PROOF_MISSING, "invalid_dpop_proof", id="without a proof"),
        pytest.param("Bearer", None, Reason.TOKEN_MALFORMED, "invalid_token", id="as whoever has it"),
    ],
)
@pytest.mark.promise("bound-stays-bound")
@pytest.mark.anyio
async def test_a_token_of_a_route_with_proofs_passes_with_none_but_its_own(
    scheme: str, dpop: str | None, reason: Reason, error: str
) -> None:
    gate, bearer = Gate(routes=PROVING), with_key(BOUND)

    reply = await prove(gate, bearer, dpop, scheme=scheme)

    assert [("deny", reason)] == gate.records.verdicts
    assert (reply.status, gate.spy.scopes) == (401, [])
    assert reply.header("www-authenticate") == (
        f'DPoP error="{error}", scope="docs:read", '
        f'resource_metadata="https://{BOUND}/.well-known/oauth-protected-resource/mcp", {ALGS}'
    )


@pytest.mark.promise("bound-stays-bound")
@pytest.mark.promise("token-stays-here")
@pytest.mark.anyio
async def test_a_token_with_its_proof_passes_once_and_neither_reaches_the_application() -> None:
    gate, bearer = Gate(routes=PROVING), with_key(BOUND)
    proven = proof(bearer, BOUND)

    replies = [await prove(gate, bearer, dpop=proven) for _ in range(2)]

    assert [reply.status for reply in replies] == [200, 401]
    assert gate.records.verdicts == [("allow", None), ("deny", Reason.PROOF_REPLAYED)]
    assert {"authorization", "dpop"}.isdisjoint(gate.spy.seen_headers)
    assert bearer not in f"{gate.spy.scopes} {gate.records.all}"
    assert proven not in f"{gate.spy.scopes} {gate.records.all}"


@pytest.mark.promise("bound-stays-bound")
@pytest.mark.anyio
async def test_a_proof_may_name_whichever_hostname_of_the_route_was_asked() -> None:
    name, other = "bound.example.com", "bound.example.com.tunnel.example.com"
    gate = Gate(routes={name: PROVING["bound"]})
    bearer = with_key(name)

    statuses = [
        (await prove(gate, bearer, host=host, dpop=proof(bearer, named))).status
        for host, named in ((name, name), (other, other), (other, "evil.example.com"))
    ]

    assert statuses == [200, 200, 401]


@pytest.mark.promise("bound-stays-bound")
@pytest.mark.anyio
async def test_a_proof_may_name_the_resource_where_it_is_on_a_hostname_of_the_route() -> None:
    resource = f"https://{BOUND}/below/a/path"
    gate = Gate(routes={"bound": {**PROVING["bound"], "resource": resource}})
    bearer = token(BOUND, aud=resource, cnf={"jkt": thumbprint(client_key())})

    urls = (resource, f"https://{BOUND}/mcp", "https://public.example.com/mcp")
    statuses = [(await prove(gate, bearer, proof(bearer, BOUND, htu=url))).status for url in urls]

    assert statuses == [200, 200, 401]


@pytest.mark.parametrize(
    ("age", "status"), [pytest.param(30, 200, id="at it"), pytest.param(31, 401, id="past it")]
)
@pytest.mark.promise("bound-stays-bound")
@pytest.mark.anyio
async def test_a_proof_is_as_old_as_the_policy_allows(age: int, status: int) -> None:
    gate, bearer = Gate(routes=PROVING, dpop={"max_age": "30s"}), with_key(BOUND)

    reply = await prove(gate, bearer, dpop=proof(bearer, BOUND, iat=NOW - age))

    assert reply.status == status


@pytest.mark.promise("bound-stays-bound")
@pytest.mark.anyio
async def test_a_nonce_that_the_policy_requires_is_given_and_is_good_for_its_route_on_every_replica(
    tmp_path: Path,
) -> None:
    key = key_file(tmp_path, "k", b"k" * 32)
    routes = {"bound": PROVING["bound"], "other": PROVING["bound"]}
    first, replica = (Gate(routes=routes, dpop={"require_nonce": True}, sealing_keys=[key]) for _ in range(2))
    bearer, elsewhere = with_key(BOUND), with_key("other.tunnel.example.com")

    asked = await prove(first, bearer, dpop=proof(bearer, BOUND))
    nonce = asked.header("dpop-nonce")
    assert nonce is not None
    good = await prove(replica, bearer, dpop=proof(bearer, BOUND, nonce=nonce))
    there = await prove(
        first,
        elsewhere,
        host="other.tunnel.example.com",
        dpop=proof(elsewhere, "other.tunnel.example.com", nonce=nonce),
    )

    assert (asked.status, asked.json()) == (401, {"error": "use_dpop_nonce"})
    assert (asked.header("www-authenticate") or "").startswith('DPoP error="use_dpop_nonce", ')
    assert (good.status, there.status) == (200, 401)
    assert first.records.verdicts == [("deny", Reason.PROOF_NONCE_WRONG)] * 2


@pytest.mark.promise("bound-stays-bound")
@pytest.mark.anyio
async def test_without_a_word_about_nonces_none_is_asked_for() -> None:
    gate, bearer = Gate(routes=PROVING), with_key(BOUND)

    reply = await prove(gate, bearer, dpop=proof(bearer, BOUND))

    assert (reply.status, reply.header("dpop-nonce")) == (200, None)


async def ask_with_certificate(gate: Gate, bearer: str, pem: str | None) -> Reply:
    headers = [("host", CERTIFIED), ("content-type", "application/json"), ("content-length", str(len(PINGS)))]
    scope = http_scope(headers=[*headers, ("authorization", f"Bearer {bearer}")], client=INSIDE)
    if pem is not None:
        scope["extensions"] = {"tls": {"client_cert_chain": [pem]}}
    return await call(gate.app, scope, PINGS)


@pytest.mark.parametrize(
    ("bearer", "pem", "reason"),
    [
        pytest.param(
            bound_to(CERTIFIED, **{"x5t#S256": CLIENT.thumbprint}), CLIENT.pem, None, id="its certificate"
        ),
        pytest.param(
            bound_to(CERTIFIED, **{"x5t#S256": CLIENT.thumbprint}),
            CLIENTS.issue("other").pem,
            Reason.PROOF_WRONG,
            id="that of another",
        ),
        pytest.param(
            bound_to(CERTIFIED, **{"x5t#S256": CLIENT.thumbprint}), None, Reason.PROOF_MISSING, id="none"
        ),
        pytest.param(
            token(CERTIFIED), CLIENT.pem, Reason.TOKEN_BINDING_WRONG, id="a token that is not bound"
        ),
    ],
)
@pytest.mark.promise("bound-stays-bound")
@pytest.mark.anyio
async def test_a_token_of_a_route_with_certificates_passes_with_its_own(
    bearer: str, pem: str | None, reason: Reason | None
) -> None:
    gate = Gate(routes=PROVING)

    reply = await ask_with_certificate(gate, bearer, pem)

    assert reply.status == (200 if reason is None else 401)
    assert gate.records.verdicts == [("allow", None) if reason is None else ("deny", reason)]
    assert len(gate.spy.scopes) == (1 if reason is None else 0)


@pytest.mark.parametrize(
    "binding",
    [
        pytest.param({"jkt": thumbprint(client_key())}, id="to a key"),
        pytest.param({"x5t#S256": CLIENT.thumbprint}, id="to a certificate"),
    ],
)
@pytest.mark.promise("bound-stays-bound")
@pytest.mark.anyio
async def test_a_bound_token_is_none_where_nobody_checks_what_it_is_bound_to(binding: dict[str, str]) -> None:
    gate = Gate(routes=PROVING)

    reply = await gate.ask(host=PEOPLE, body=PINGS, bearer=bound_to(PEOPLE, **binding))

    assert (reply.status, gate.spy.scopes) == (401, [])
    assert gate.records.verdicts == [("deny", Reason.TOKEN_BINDING_WRONG)]


@pytest.mark.parametrize(
    ("host", "members"),
    [
        pytest.param(
            BOUND,
            {
                "dpop_bound_access_tokens_required": True,
                "dpop_signing_alg_values_supported": ALGS.removeprefix('algs="').rstrip('"').split(),
            },
            id="proofs",
        ),
        pytest.param(CERTIFIED, {"tls_client_certificate_bound_access_tokens": True}, id="certificates"),
        pytest.param(PEOPLE, {}, id="nothing"),
    ],
)
@pytest.mark.promise("challenge-complete")
@pytest.mark.anyio
async def test_the_metadata_of_a_route_says_what_tokens_are_bound_to(
    host: str, members: dict[str, Any]
) -> None:
    gate = Gate(routes=PROVING)

    reply = await gate.ask(host=host, method="GET", path="/.well-known/oauth-protected-resource")

    told = reply.json()
    assert {name: told[name] for name in told if "bound" in name or "dpop" in name} == members


@pytest.mark.parametrize(
    ("subject", "status"),
    [pytest.param("alice", 200, id="a person"), pytest.param("agent", 403, id="itself")],
)
@pytest.mark.promise("token-for-this-server")
@pytest.mark.anyio
async def test_a_route_for_people_takes_no_token_that_a_client_has_for_itself(
    subject: str, status: int
) -> None:
    gate = Gate(routes=PROVING)

    reply = await gate.ask(host=PEOPLE, body=PINGS, bearer=token(PEOPLE, sub=subject))

    assert reply.status == status
    assert gate.records.verdicts == [("allow", None) if status == 200 else ("deny", Reason.USER_REQUIRED)]


@pytest.mark.promise("token-for-this-server")
@pytest.mark.anyio
async def test_each_issuer_writes_its_tokens_in_its_own_way() -> None:
    entra = {"issuer": PARTNER, "jwks_file": "b.json", "scope_claims": ["scp", "roles"]}
    entra |= {"client_id_claim": "azp", "token_id_claim": "uti", "token_types": ["JWT"]}
    gate = Gate(oauth={"issuers": [{"issuer": ISSUER, "jwks_file": "a.json"}, entra]})
    claims: dict[str, Any] = {"aud": f"https://{DOCS}/mcp", "scope": None, "client_id": None, "jti": None}
    claims |= {"scp": "docs:write", "roles": ["docs:read"], "azp": "app", "uti": "1"}

    theirs = Token("RS256", claims={**claims, "iss": PARTNER}, header={"typ": "JWT"}).mint(NOW)
    ours = Token("ES256", claims={**claims, "iss": ISSUER}, header={"typ": "JWT"}).mint(NOW)
    replies = [await gate.ask(bearer=each, body=calling("edit_doc")) for each in (theirs, ours)]

    assert [reply.status for reply in replies] == [200, 401]
    found = principal_of(gate.spy.scopes[0])
    assert found is not None
    assert (found.client_id, found.scopes) == ("app", frozenset({"docs:read", "docs:write"}))


@pytest.mark.promise("opaque-judged-here")
@pytest.mark.anyio
async def test_about_a_token_that_says_nothing_the_issuer_is_asked_by_whoever_fetches(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SECRET", "s3cr3t")
    said = {
        "active": True,
        "aud": f"https://{DOCS}/mcp",
        "client_id": "agent",
        "sub": "alice",
        "exp": NOW + 60,
    }
    issuer = ScriptedIssuer(answered({**said, "scope": "docs:read"}), answered({"active": False}))
    introspection = {"client_id": "gate", "client_secret_env": "SECRET", "endpoint": f"{PARTNER}/introspect"}
    opaque = {"issuer": PARTNER, "token_formats": ["opaque"], "introspection": introspection}
    gate = Gate(fetch=issuer.fetch, oauth={"issuers": [{"issuer": ISSUER, "jwks_file": "a.json"}, opaque]})

    bearers = ("opaque", "revoked", token())
    replies = [await gate.ask(bearer=each, body=calling("search_docs")) for each in bearers]

    assert [reply.status for reply in replies] == [200, 401, 200]
    assert [(asked.form or {}).get("token") for asked in issuer.asked] == ["opaque", "revoked"]
    assert gate.records.verdicts == [("allow", None), ("deny", Reason.TOKEN_INACTIVE), ("allow", None)]


@pytest.mark.promise("own-credentials")
@pytest.mark.anyio
async def test_a_bound_token_is_exchanged_for_one_of_the_application_s(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SECRET", "s3cr3t")
    issuer, bearer = ScriptedIssuer(issued("for-the-server")), with_key(BOUND)
    exchange = {"client_id": "gate", "client_secret_env": "SECRET", "token_endpoint": f"{ISSUER}/token"}
    route = {**PROVING["bound"], "credentials": {"token_exchange": exchange}}
    gate = Gate(fetch=issuer.fetch, routes={"bound": route})

    reply = await prove(gate, bearer, dpop=proof(bearer, BOUND))

    assert reply.status == 200
    assert gate.spy.seen_headers["authorization"] == "Bearer for-the-server"
    assert "dpop" not in gate.spy.seen_headers
    assert [(asked.form or {})["subject_token"] for asked in issuer.asked] == [bearer]


CALL = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"search_docs","arguments":{"q":"*"}}}'
ANSWER = b'{"jsonrpc":"2.0","id":1,"result":{"text":"*"}}'


def filled(size: int, message: bytes) -> bytes:
    """Return a message of exactly so many octets."""
    return message.replace(b"*", b"x" * (size - len(message) + 1))


@pytest.mark.parametrize(
    ("size", "status"), [pytest.param(1024, 200, id="at it"), pytest.param(1025, 413, id="past it")]
)
@pytest.mark.promise("bounded")
@pytest.mark.anyio
async def test_a_body_is_as_large_as_the_policy_allows(size: int, status: int) -> None:
    gate = Gate(limits={"body_bytes": 1024})

    reply = await gate.ask(bearer=GOOD, body=filled(size, CALL))

    assert reply.status == status


@pytest.mark.parametrize(
    ("size", "status"), [pytest.param(1024, 200, id="at it"), pytest.param(1025, 502, id="past it")]
)
@pytest.mark.promise("bounded")
@pytest.mark.anyio
async def test_an_answer_is_as_large_as_the_policy_allows(size: int, status: int) -> None:
    gate = Gate(Spy(filled(size, ANSWER)), limits={"answer_bytes": 1024})

    reply = await gate.ask(bearer=GOOD, body=calling("search_docs"))

    assert reply.status == status


@pytest.mark.parametrize(
    ("size", "status"), [pytest.param(1024, 200, id="at it"), pytest.param(1025, 431, id="past it")]
)
@pytest.mark.promise("bounded")
@pytest.mark.anyio
async def test_a_head_is_as_large_as_the_policy_allows(size: int, status: int) -> None:
    gate = Gate(limits={"header_bytes": 1024})
    short = len("/healthz") + len("host") + len(DOCS) + 4 + len("x-fill") + 4

    reply = await gate.ask(method="GET", path="/healthz", x_fill="x" * (size - short))

    assert reply.status == status


@pytest.mark.anyio
async def test_a_websocket_is_refused_before_anything_else() -> None:
    gate = Gate()
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {**http_scope(headers=[("host", DOCS)]), "type": "websocket"}
    await gate.app(scope, receive, send)

    assert [message["type"] for message in sent] == ["websocket.close"]
    assert gate.records.verdicts == [("deny", Reason.WEBSOCKET_NOT_ALLOWED)]


async def lifespan_of(app: ASGIApp) -> list[str]:
    """Start and stop an application; return what it said."""
    incoming: list[Message] = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
    said: list[str] = []

    async def receive() -> Message:
        return incoming.pop(0)

    async def send(message: Message) -> None:
        said.append(message["type"])

    await app({"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}, receive, send)
    return said


@pytest.mark.anyio
async def test_an_application_behind_the_gate_starts_and_stops_with_it() -> None:
    events: list[str] = []

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        events.append("started")
        yield
        events.append("stopped")

    gated = protect(
        FastAPI(lifespan=lifespan), Policy.from_mapping(SETTINGS), audit=Records(), keys_of=keys_of
    )

    assert await lifespan_of(gated) == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert events == ["started", "stopped"]


def fastapi_app() -> FastAPI:
    app = FastAPI()

    @app.post("/mcp")
    async def endpoint(request: Request) -> dict[str, Any]:
        message = await request.json()
        found = principal_of(request.scope)
        assert found is not None
        return {"jsonrpc": "2.0", "id": message["id"], "result": {"subject": found.subject}}

    return app


def mounted(gated: ASGIApp) -> ASGIApp:
    return Starlette(routes=[Mount("/", gated)])


def whole(gated: ASGIApp) -> ASGIApp:
    return gated


@pytest.mark.parametrize(
    "around",
    [pytest.param(whole, id="as the whole application"), pytest.param(mounted, id="mounted in another")],
)
@pytest.mark.anyio
async def test_a_fastapi_application_behind_the_gate_learns_who_asks(
    around: Callable[[ASGIApp], ASGIApp],
) -> None:
    gated = protect(
        fastapi_app(),
        Policy.from_mapping(SETTINGS),
        audit=Records(),
        keys_of=keys_of,
        clock=lambda: NOW,
    )
    headers, body = modern("tools/call", {"name": "search_docs", "arguments": {}})
    fields = [("host", DOCS), *headers[1:], ("authorization", f"Bearer {GOOD}")]
    scope = http_scope(headers=fields, client=INSIDE)

    reply = await call(around(gated), scope, body)

    assert (reply.status, reply.json()) == (200, {"jsonrpc": "2.0", "id": 1, "result": {"subject": "alice"}})


@pytest.mark.anyio
async def test_each_route_has_its_own_application_behind_one_gate() -> None:
    docs, wiki, other = Spy(), Spy(), Spy()
    policy = Policy.from_mapping(SETTINGS)
    materials = gather(policy, audit=Records(), keys_of=keys_of)
    gate = build_gate(policy, {"docs": docs, WIKI: wiki}, other, materials, clock=lambda: NOW)

    for host, bearer in ((DOCS, token(DOCS)), (WIKI, token(WIKI, PARTNER)), (OPEN, token(OPEN))):
        headers, body = legacy("ping")
        fields = [("host", host), *headers[1:], ("authorization", f"Bearer {bearer}")]
        await call(gate, http_scope(headers=fields, client=WITHIN_WIKI), body)

    assert (len(docs.scopes), len(wiki.scopes), len(other.scopes)) == (1, 1, 0)


class Stateful(Spy):
    """An application that begins a session with each answer, under the name that it was told."""

    def __init__(self, name: bytes = b"upstream-session") -> None:
        super().__init__()
        self._name = name

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_session(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = [*message["headers"], (b"mcp-session-id", self._name)]
                message = {**message, "headers": headers}
            await send(message)

        await super().__call__(scope, receive, send_with_session)


def sealed_gate(*files: Path, sealer: Sealer | None = None) -> tuple[ASGIApp, Stateful]:
    spy = Stateful()
    policy = Policy.from_mapping({**SETTINGS, "sealing_keys": files})
    gate = protect(spy, policy, audit=Records(), keys_of=keys_of, sealer=sealer, clock=lambda: NOW)
    return gate, spy


async def ping(gate: ASGIApp, session: str | None = None) -> Reply:
    headers, body = legacy("ping")
    fields = [("host", DOCS), *headers[1:], ("authorization", f"Bearer {GOOD}")]
    if session is not None:
        fields.append(("mcp-session-id", session))
    return await call(gate, http_scope(headers=fields, client=INSIDE), body)


def key_file(folder: Path, name: str, octets: bytes) -> Path:
    (folder / name).write_bytes(octets)
    return folder / name


@pytest.mark.promise("session-bound")
@pytest.mark.anyio
async def test_a_session_is_known_to_whoever_has_a_key_that_it_was_sealed_with(tmp_path: Path) -> None:
    old, new, other = (key_file(tmp_path, name, name.encode() * 32) for name in ("o", "n", "x"))
    session = (await ping(sealed_gate(old)[0])).header("mcp-session-id")
    assert session is not None
    assert "upstream-session" not in session

    statuses: dict[str, int] = {}
    for name, files in {
        "the same": [old],
        "rolled": [new, old],
        "not yet rolled": [old, new],
        "after the roll": [new],
        "other": [other],
        "none": [],
    }.items():
        gate, spy = sealed_gate(*files)
        statuses[name] = (await ping(gate, session)).status
        names = [dict(scope["headers"]).get(b"mcp-session-id") for scope in spy.scopes]
        assert names == ([b"upstream-session"] if statuses[name] == 200 else [])

    assert statuses == {
        "the same": 200,
        "rolled": 200,
        "not yet rolled": 200,
        "after the roll": 404,
        "other": 404,
        "none": 404,
    }


@pytest.mark.promise("session-bound")
@pytest.mark.anyio
async def test_the_first_key_seals(tmp_path: Path) -> None:
    old, new = (key_file(tmp_path, name, name.encode() * 32) for name in ("o", "n"))
    session = (await ping(sealed_gate(new, old)[0])).header("mcp-session-id")

    assert (await ping(sealed_gate(new)[0], session)).status == 200
    assert (await ping(sealed_gate(old)[0], session)).status == 404


@pytest.mark.anyio
async def test_without_keys_what_a_gate_has_sealed_it_alone_opens() -> None:
    gate, other = sealed_gate()[0], sealed_gate()[0]
    session = (await ping(gate)).header("mcp-session-id")

    assert [(await ping(each, session)).status for each in (gate, other)] == [200, 404]


@pytest.mark.anyio
async def test_a_sealer_stands_in_for_the_keys_of_the_policy(tmp_path: Path) -> None:
    key, missing = b"k" * 32, tmp_path / "missing.key"
    session = (await ping(sealed_gate(missing, sealer=Sealer([key]))[0])).header("mcp-session-id")

    assert (await ping(sealed_gate(key_file(tmp_path, "k", key))[0], session)).status == 200


@pytest.mark.promise("session-bound")
@pytest.mark.anyio
async def test_whoever_protects_with_the_same_sealer_knows_the_same_sessions() -> None:
    shared, policy = Sealer.random(), Policy.from_mapping(SETTINGS)
    first, second, other = (
        protect(Stateful(), policy, audit=Records(), keys_of=keys_of, sealer=sealer, clock=lambda: NOW)
        for sealer in (shared, shared, None)
    )

    session = (await ping(first)).header("mcp-session-id")

    assert session is not None
    assert [(await ping(each, session)).status for each in (first, second, other)] == [200, 200, 404]


@pytest.mark.parametrize(
    "behind",
    [
        pytest.param(b"", id="bare"),
        pytest.param(b"\n", id="with a line end"),
        pytest.param(b"\r\n", id="with a line end as Windows writes it"),
    ],
)
@pytest.mark.anyio
async def test_a_sealing_key_of_32_octets_is_long_enough(tmp_path: Path, behind: bytes) -> None:
    gate, bare = (sealed_gate(key_file(tmp_path, "k", b"k" * 32 + each))[0] for each in (behind, b""))

    session = (await ping(gate)).header("mcp-session-id")

    assert (await ping(bare, session)).status == 200, "the line end behind a key is not part of it"


@pytest.mark.anyio
async def test_every_other_octet_of_a_file_belongs_to_its_key(tmp_path: Path) -> None:
    around = (b"", b" ", b"\n\n", b"\t\n")
    gates = [sealed_gate(key_file(tmp_path, "k", b"k" * 32 + each))[0] for each in around]

    session = (await ping(gates[0])).header("mcp-session-id")

    assert [(await ping(gate, session)).status for gate in gates] == [200, 404, 404, 404]


@pytest.mark.parametrize(
    "octets",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"k" * 31, id="one octet too few"),
        pytest.param(b"k" * 31 + b"\n", id="one octet too few and a newline"),
        pytest.param(b"k" * 31 + b"\r\n", id="one octet too few and a line end as Windows writes it"),
    ],
)
@pytest.mark.parametrize("position", [0, 1])
def test_a_short_sealing_key_keeps_the_gate_from_being_built(
    tmp_path: Path, octets: bytes, position: int
) -> None:
    files = [key_file(tmp_path, "good", b"g" * 32)]
    files.insert(position, key_file(tmp_path, "short", octets))

    with pytest.raises(ConfigurationError) as refused:
        sealed_gate(*files)

    assert [str(fault) for fault in refused.value.faults] == [
        f"sealing_keys[{position}] = '{tmp_path / 'short'}': short holds a key of fewer than 32 octets"
    ]


def test_a_sealing_key_that_is_not_there_keeps_the_gate_from_being_built(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"missing\.key': No such file or directory"):
        sealed_gate(tmp_path / "missing.key")


def written_policy(folder: Path, **issuer: Any) -> Policy:
    return Policy.from_mapping(
        {
            "clients": {"allowed_ips": ["127.0.0.1"]},
            "oauth": {"issuers": [{"issuer": ISSUER, **(issuer or {"jwks_file": folder / "jwks.json"})}]},
            "routes": {"docs.example.com": {"tools": ["search_docs"]}},
            "audit": {"file": str(folder / "audit.jsonl")},
        }
    )


@pytest.mark.anyio
async def test_by_default_keys_are_those_of_the_file_and_records_go_to_the_file(tmp_path: Path) -> None:
    (tmp_path / "jwks.json").write_bytes(jwks("ES256"))
    gated = protect(Spy(), written_policy(tmp_path))
    headers, body = legacy("ping")

    reply = await call(
        gated, http_scope(headers=[*headers, ("authorization", f"Bearer {Token().mint()}")]), body
    )

    assert reply.status == 200
    record = orjson.loads((tmp_path / "audit.jsonl").read_bytes())
    assert (record["verdict"], record["route"]) == ("allow", "docs.example.com")
    assert record["request_id"] == reply.header("x-request-id")


def test_a_file_of_keys_that_is_not_there_keeps_the_gate_from_being_built(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"jwks\.json': No such file or directory"):
        protect(Spy(), written_policy(tmp_path))


def test_a_file_without_keys_keeps_the_gate_from_being_built(tmp_path: Path) -> None:
    (tmp_path / "jwks.json").write_bytes(b'{"keys":[]}')

    with pytest.raises(ConfigurationError, match=r"jwks\.json': has no key that tokens may be signed with"):
        protect(Spy(), written_policy(tmp_path))


def test_a_url_of_keys_needs_somebody_who_fetches_them(tmp_path: Path) -> None:
    policy = written_policy(tmp_path, jwks_uri="https://login.example.com/jwks")

    with pytest.raises(ConfigurationError) as refused:
        protect(Spy(), policy)

    assert [str(fault) for fault in refused.value.faults] == [
        "oauth.issuers[0]: is to be asked over HTTP, and no fetch was given to do that"
    ]


def test_a_record_that_could_go_nowhere_keeps_the_gate_from_being_built(tmp_path: Path) -> None:
    (tmp_path / "jwks.json").write_bytes(jwks("ES256"))
    (tmp_path / "audit.jsonl").mkdir()

    with pytest.raises(ConfigurationError, match=r"audit\.jsonl': Is a directory"):
        protect(Spy(), written_policy(tmp_path))


@pytest.mark.promise("refused-or-broken")
@pytest.mark.anyio
async def test_the_routes_of_an_issuer_share_its_keys_and_its_being_down() -> None:
    endpoint = KeyEndpoint(OSError("connection refused"))
    asked: list[str] = []

    def remote(issuer: Issuer) -> KeySource:
        asked.append(issuer.issuer)
        return RemoteKeys("https://login.example.com/jwks", endpoint.fetch)

    records = Records()
    gated = protect(Spy(), Policy.from_mapping(SETTINGS), audit=records, keys_of=remote, clock=lambda: NOW)
    headers, body = legacy("ping")
    fields = [("host", DOCS), *headers[1:], ("authorization", f"Bearer {GOOD}")]

    reply = await call(gated, http_scope(headers=fields, client=INSIDE), body)

    assert asked == [ISSUER, PARTNER]
    assert (reply.status, reply.json()) == (503, {"error": "unavailable"})
    assert records.verdicts == [("broken", Reason.KEYS_UNAVAILABLE)]
