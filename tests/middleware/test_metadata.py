from collections.abc import Mapping
from typing import Any, Literal

import pytest

from tests.support.asgi import Spy, call, http_scope
from tests.support.audit import FullDisk, Records
from tests.support.tokens import ISSUER, RESOURCE, jwks
from tunnelgate import (
    AuditLog,
    AuditUnavailable,
    Clients,
    Issuer,
    OAuth,
    Policy,
    Reason,
    Route,
    StaticKeys,
    Tls,
    protect,
)
from tunnelgate.asgi import Message, Scope
from tunnelgate.metadata import WELL_KNOWN, ResourceMetadata, metadata_url


@pytest.mark.parametrize(
    ("resource", "url"),
    [
        pytest.param(
            "https://docs.example.com/mcp",
            "https://docs.example.com/.well-known/oauth-protected-resource/mcp",
            id="a resource with a path",
        ),
        pytest.param(
            "https://docs.example.com",
            "https://docs.example.com/.well-known/oauth-protected-resource",
            id="a resource without one",
        ),
        pytest.param(
            "https://docs.example.com/",
            "https://docs.example.com/.well-known/oauth-protected-resource",
            id="a resource with a slash alone",
        ),
        pytest.param(
            "https://docs.example.com/a/b/",
            "https://docs.example.com/.well-known/oauth-protected-resource/a/b",
            id="a path of two segments with a slash at its end",
        ),
        pytest.param(
            "http://127.0.0.1:8080/mcp",
            "http://127.0.0.1:8080/.well-known/oauth-protected-resource/mcp",
            id="an address with a port",
        ),
    ],
)
def test_the_metadata_of_a_resource_are_found_before_its_path(resource: str, url: str) -> None:
    assert metadata_url(resource) == url


def _layer(spy: Spy, scopes: tuple[str, ...] = ("docs:read",)) -> ResourceMetadata:
    return ResourceMetadata(spy, resource=RESOURCE, issuers=[ISSUER], scopes=scopes)


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(WELL_KNOWN, id="the location of the whole host"),
        pytest.param(WELL_KNOWN + "/mcp", id="the location of the resource"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.anyio
async def test_a_client_without_a_token_learns_where_to_get_one(path: str, method: str) -> None:
    spy, records = Spy(), Records()

    reply = await call(AuditLog(_layer(spy), sink=records), http_scope(method, path))

    assert reply.status == 200
    assert reply.json() == {
        "resource": RESOURCE,
        "authorization_servers": [ISSUER],
        "bearer_methods_supported": ["header"],
        "scopes_supported": ["docs:read"],
    }
    assert reply.header("content-type") == "application/json"
    assert reply.header("content-length") == str(len(reply.body))
    assert reply.header("cache-control") == "public, max-age=300"
    assert reply.header("access-control-allow-origin") == "*"
    assert reply.header("x-request-id") == records.all[0]["request_id"]
    assert records.verdicts == [("allow", None)]
    assert spy.scopes == []


@pytest.mark.anyio
async def test_where_no_scope_is_needed_none_is_named() -> None:
    reply = await call(_layer(Spy(), scopes=()), http_scope("GET", WELL_KNOWN))

    assert "scopes_supported" not in reply.json()


OF_EVERY_ROUTE = {
    "resource": RESOURCE,
    "authorization_servers": [ISSUER],
    "bearer_methods_supported": ["header"],
    "scopes_supported": ["docs:read"],
}
# RFC 9728 section 2, with the names of RFC 7518, RFC 8037 and RFC 9864
OF_DPOP = {
    "dpop_bound_access_tokens_required": True,
    "dpop_signing_alg_values_supported": [
        "ES256",
        "ES384",
        "ES512",
        "Ed25519",
        "EdDSA",
        "PS256",
        "PS384",
        "PS512",
        "RS256",
        "RS384",
        "RS512",
    ],
}
OF_MTLS = {"tls_client_certificate_bound_access_tokens": True}
PROOFS = [
    pytest.param("none", {}, id="nothing"),
    pytest.param("dpop", OF_DPOP, id="DPoP"),
    pytest.param("mtls", OF_MTLS, id="a certificate"),
]
Proof = Literal["none", "dpop", "mtls"]


@pytest.mark.parametrize(("proof", "members"), PROOFS)
@pytest.mark.anyio
async def test_a_client_learns_what_its_tokens_have_to_be_bound_to(
    proof: Proof, members: Mapping[str, Any]
) -> None:
    layer = ResourceMetadata(Spy(), resource=RESOURCE, issuers=[ISSUER], scopes=["docs:read"], proof=proof)

    reply = await call(layer, http_scope("GET", WELL_KNOWN))

    assert reply.json() == {**OF_EVERY_ROUTE, **members}


@pytest.mark.parametrize(("proof", "members"), PROOFS)
@pytest.mark.parametrize("path", [WELL_KNOWN, f"{WELL_KNOWN}/mcp"])
@pytest.mark.promise("challenge-complete")
@pytest.mark.anyio
async def test_the_gate_tells_what_the_policy_says_of_the_route(
    proof: Proof, members: Mapping[str, Any], path: str
) -> None:
    policy = Policy(
        clients=Clients(allowed_ips=["127.0.0.0/8"]),
        tls=Tls(cert_file="server.pem", key_file="server.key", client_ca_file="clients.pem"),
        oauth=OAuth(issuers=[Issuer(issuer=ISSUER, jwks_uri=f"{ISSUER}/keys")]),
        routes={"docs.example.com": Route(tools=["search_docs"], scopes=["docs:read"], proof=proof)},
    )
    app = protect(Spy(), policy, audit=Records(), keys_of=lambda issuer: StaticKeys(jwks("ES256")))

    reply = await call(app, http_scope("GET", path))

    assert (reply.status, reply.json()) == (200, {**OF_EVERY_ROUTE, **members})


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param([("host", "evil.example")], id="another Host"),
        pytest.param(
            [("host", "docs.example.com"), ("x-forwarded-host", "evil.example")], id="X-Forwarded-Host"
        ),
        pytest.param([("host", "docs.example.com"), ("forwarded", "host=evil.example")], id="Forwarded"),
        pytest.param([("host", "docs.example.com"), ("x-forwarded-proto", "http")], id="X-Forwarded-Proto"),
    ],
)
@pytest.mark.anyio
async def test_no_header_of_a_request_changes_the_document(headers: list[tuple[str, str]]) -> None:
    app = _layer(Spy())

    reply = await call(app, http_scope("GET", WELL_KNOWN, headers))

    assert reply.body == (await call(app, http_scope("GET", WELL_KNOWN))).body
    assert b"evil" not in reply.body


@pytest.mark.parametrize(
    ("method", "path"),
    [
        pytest.param("POST", WELL_KNOWN, id="a POST to the location"),
        pytest.param("OPTIONS", WELL_KNOWN, id="OPTIONS at the location"),
        pytest.param("GET", WELL_KNOWN + "/other", id="the location of another resource"),
        pytest.param("GET", WELL_KNOWN + "/", id="a slash at the end"),
        pytest.param("GET", WELL_KNOWN.upper(), id="capitals"),
        pytest.param("GET", "/mcp", id="another path"),
        pytest.param("GET", "/mcp" + WELL_KNOWN, id="the location below the resource"),
    ],
)
@pytest.mark.anyio
async def test_everything_else_is_passed_on_undecided(method: str, path: str) -> None:
    spy, records = Spy(), Records()

    await call(AuditLog(_layer(spy), sink=records), http_scope(method, path))

    assert [scope["path"] for scope in spy.scopes] == [path]


@pytest.mark.anyio
async def test_a_websocket_at_the_location_is_passed_on_like_everything_else() -> None:
    reached: list[str] = []

    async def application(scope: Scope, receive: object, send: object) -> None:
        reached.append(scope["type"])

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        raise AssertionError(message)

    scope = {**http_scope(path=WELL_KNOWN), "type": "websocket"}
    del scope["method"]
    await ResourceMetadata(application, resource=RESOURCE, issuers=[ISSUER])(scope, receive, send)

    assert reached == ["websocket"]


@pytest.mark.anyio
async def test_when_the_audit_sink_fails_not_even_the_document_is_given_away() -> None:
    app = AuditLog(_layer(Spy()), sink=FullDisk())

    reply = await call(app, http_scope("GET", WELL_KNOWN))

    assert (reply.status, reply.json()) == (503, {"error": "unavailable"})


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
async def test_when_the_audit_sink_fails_but_once_the_answer_and_the_record_say_the_same() -> None:
    records = FullOnce()

    reply = await call(AuditLog(_layer(Spy()), sink=records), http_scope("GET", WELL_KNOWN))

    assert (reply.status, reply.json()) == (503, {"error": "unavailable"})
    assert records.verdicts == [("broken", Reason.AUDIT_UNAVAILABLE)]
