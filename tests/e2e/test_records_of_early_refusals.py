"""What the record and the application see of a request, however it is written."""

import pytest

from tests.support.asgi import Spy, call, http_scope
from tests.support.audit import Records
from tests.support.mcp import modern
from tests.support.tokens import ISSUER, Token, jwks
from tunnelgate import AuditLog, Clients, HostAllowlist, Issuer, OAuth, Policy, Route, StaticKeys, protect

POLICY = Policy(
    public_port=8443,
    clients=Clients(allowed_ips=["127.0.0.0/8"]),
    oauth=OAuth(issuers=[Issuer(issuer=ISSUER, jwks_file="unused.json")]),
    routes={
        "docs.example.com": Route(resource="https://docs.example.com/mcp", tools=["search_docs"]),
    },
)


@pytest.mark.promise("recorded-first")
@pytest.mark.anyio
async def test_the_record_of_an_early_refusal_has_the_address_that_connected_and_no_client() -> None:
    records = Records()

    await call(
        AuditLog(HostAllowlist(Spy(), hosts=["docs.example.com"]), sink=records),
        http_scope(headers=[("host", "evil.example")], client=("::ffff:192.0.2.7", 5)),
    )

    (record,) = records.all
    assert (record["reason"], record["peer"], record["client"]) == ("host-unknown", "192.0.2.7", None)


FORWARDED_FOR = ("x-forwarded-for", "203.0.113.9, 10.0.0.1")


@pytest.mark.parametrize(
    ("peer", "host", "client"),
    [
        pytest.param("127.0.0.1", "docs.example.com", "203.0.113.9", id="for whom a proxy speaks"),
        pytest.param("127.0.0.1", "evil.example", None, id="of whom nobody has asked who he is"),
        pytest.param("198.51.100.1", "docs.example.com", "198.51.100.1", id="whom nobody trusts"),
    ],
)
@pytest.mark.promise("one-address-source")
@pytest.mark.anyio
async def test_a_record_has_the_peer_and_the_client(peer: str, host: str, client: str | None) -> None:
    records = Records()
    clients = Clients(
        allowed_ips=["192.0.2.0/24"],
        address_from="x-forwarded-for",
        trusted_proxies=["127.0.0.1", "10.0.0.0/8"],
    )
    gate = protect(
        Spy(),
        POLICY.model_copy(update={"clients": clients}),
        audit=records,
        keys_of=lambda _: StaticKeys(jwks("ES256")),
    )

    reply = await call(gate, http_scope(headers=[("host", host), FORWARDED_FOR], client=(peer, 5)))

    assert reply.status == 403
    assert [(record["peer"], record["client"]) for record in records.all] == [(peer, client)]


@pytest.mark.promise("token-stays-here")
@pytest.mark.anyio
async def test_a_token_in_the_path_is_not_part_of_the_record() -> None:
    records, token = Records(), Token().mint()

    await call(AuditLog(Spy(), sink=records), http_scope("GET", f"/mcp/{token}"))

    assert [each["path"] for each in records.all] == ["/mcp/[token]"]


@pytest.mark.parametrize(
    ("host", "seen"),
    [
        pytest.param("DOCS.Example.com", "docs.example.com", id="in capitals"),
        pytest.param("docs.example.com:443", "docs.example.com", id="with the port of HTTPS"),
        pytest.param("docs.example.com:80", "docs.example.com", id="with the port of HTTP"),
        pytest.param("DOCS.example.com:8443", "docs.example.com:8443", id="with the public port"),
        pytest.param("docs.example.com:8080", "docs.example.com:8080", id="with the port connected to"),
    ],
)
@pytest.mark.promise("judged-is-sent")
@pytest.mark.anyio
async def test_the_application_sees_the_host_that_was_judged(host: str, seen: str) -> None:
    spy = Spy()
    gate = protect(spy, POLICY, audit=Records(), keys_of=lambda _: StaticKeys(jwks("ES256")))
    headers, body = modern("tools/call", {"name": "search_docs", "arguments": {}})
    headers = [pair for pair in headers if pair[0] != "host"]
    headers += [("host", host), ("authorization", f"Bearer {Token().mint()}")]

    reply = await call(gate, http_scope(headers=headers), body)

    assert reply.status == 200
    assert spy.seen_headers["host"] == seen
