from typing import Any

import pytest

from tests.support.asgi import Spy, call, http_scope
from tests.support.audit import Records
from tunnelgate import Allow, AuditLog, Deny, HostAllowlist, Reason
from tunnelgate.asgi import Scope
from tunnelgate.exchange import exchange_of
from tunnelgate.hosts import HostRouter, HostRules, Route, decide_server_name
from tunnelgate.reading.host import read_host

LOCAL_PORT = 8080


@pytest.mark.parametrize(
    ("hosts", "sentence"),
    [
        pytest.param([], "no host is listed, so every request would be refused", id="no host at all"),
        pytest.param(["docs.example.com:443"], "names a port", id="a host with a port"),
        pytest.param(["*.example.com"], "is not a hostname", id="a wildcard"),
        pytest.param(["dócs.example.com"], "is not a hostname", id="a name in Unicode"),
        pytest.param([""], "is not a hostname", id="an empty name"),
    ],
)
def test_hosts_that_could_never_match_are_refused_at_construction(hosts: list[str], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        HostRules(hosts)


ALLOWED = Allow()


@pytest.mark.parametrize(
    ("host", "verdict"),
    [
        pytest.param(b"docs.example.com", ALLOWED, id="the listed name"),
        pytest.param(b"DOCS.Example.COM", ALLOWED, id="the listed name in capitals"),
        pytest.param(b"docs.example.com:443", ALLOWED, id="the default port of HTTPS"),
        pytest.param(b"docs.example.com:80", ALLOWED, id="the default port of HTTP"),
        pytest.param(b"docs.example.com:8080", ALLOWED, id="the port that was connected to"),
        pytest.param(b"docs.example.com:9443", ALLOWED, id="a port that is listed"),
        pytest.param(b"docs.example.com:8081", "docs.example.com", id="another port"),
        pytest.param(b"evil.example", "evil.example", id="another name"),
        pytest.param(b"a.docs.example.com", "a.docs.example.com", id="a name below the listed one"),
        pytest.param(b"evildocs.example.com", "evildocs.example.com", id="a name that ends like it"),
        pytest.param(
            b"docs.example.com.evil.example", "docs.example.com.evil.example", id="one that begins so"
        ),
        pytest.param(b"docs_.example.com", "docs_.example.com", id="a name with an underscore"),
        pytest.param(b"192.0.2.10", "192.0.2.10", id="an IPv4 address"),
        pytest.param(b"[2001:db8::1]:443", "[2001:db8::1]", id="an IPv6 address"),
        pytest.param(b"localhost", "localhost", id="localhost"),
    ],
)
def test_a_host_is_served_only_when_it_is_listed(host: bytes, verdict: Allow | str) -> None:
    rules = HostRules(["docs.example.com"], ports=[9443])

    expected = verdict if isinstance(verdict, Allow) else Deny(Reason.HOST_UNKNOWN, told={"host": verdict})

    assert expected == rules.decide(read_host(host), LOCAL_PORT)


@pytest.mark.anyio
async def test_a_refused_host_is_named_in_the_answer_and_the_record_and_nothing_is_passed_on() -> None:
    spy, records = Spy(), Records()
    app = AuditLog(HostAllowlist(spy, hosts=["docs.example.com"]), sink=records)

    reply = await call(app, http_scope(headers=[("host", "admin.example.com")]))

    assert (reply.status, reply.json()) == (403, {"error": "host_not_allowed", "host": "admin.example.com"})
    assert records.verdicts == [("deny", "host-unknown")]
    assert records.all[0]["host"] == "admin.example.com"
    assert spy.scopes == []


@pytest.mark.anyio
async def test_each_host_leads_to_its_own_application() -> None:
    docs, wiki, lifespan = Spy(), Spy(), Spy()
    router = HostRouter(
        {"docs.example.com": Route("docs", docs), "wiki.example.com": Route("wiki", wiki)}, lifespan
    )

    await call(router, http_scope(headers=[("host", "wiki.example.com")]))

    assert (len(docs.scopes), len(wiki.scopes), len(lifespan.scopes)) == (0, 1, 0)


@pytest.mark.parametrize(
    ("host", "port"),
    [
        pytest.param("docs.example.com", None, id="none"),
        pytest.param("docs.example.com:80", None, id="the one of HTTP"),
        pytest.param("docs.example.com:443", None, id="the one of HTTPS"),
        pytest.param("docs.example.com:8080", 8080, id="the one connected to"),
        pytest.param("docs.example.com:9443", 9443, id="a listed one"),
    ],
)
@pytest.mark.anyio
async def test_the_application_learns_the_port_that_was_judged_unless_it_is_a_schemes_own(
    host: str, port: int | None
) -> None:
    spy = Spy()

    await call(
        HostAllowlist(spy, hosts=["docs.example.com"], ports=[9443]), http_scope(headers=[("host", host)])
    )

    (scope,) = spy.scopes
    assert (exchange_of(scope).host, exchange_of(scope).port) == ("docs.example.com", port)


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        pytest.param([], Reason.HOST_MISSING, id="no Host"),
        pytest.param(
            [("host", "docs.example.com"), ("host", "evil.example")], Reason.HEADER_DUPLICATED, id="two Hosts"
        ),
        pytest.param([("host", "docs.example.com/admin")], Reason.HOST_MALFORMED, id="a path in Host"),
    ],
)
@pytest.mark.anyio
async def test_used_alone_the_layer_refuses_what_names_no_single_host(
    headers: list[tuple[str, str]], reason: Reason
) -> None:
    spy, records = Spy(), Records()
    app = AuditLog(HostAllowlist(spy, hosts=["docs.example.com"]), sink=records)

    reply = await call(app, http_scope(headers=headers))

    assert (reply.status, reply.json()) == (400, {"error": "bad_request"})
    assert [("deny", reason)] == records.verdicts
    assert spy.scopes == []


@pytest.mark.parametrize(
    ("host", "server_name", "allowed"),
    [
        pytest.param(b"docs.example.com", "docs.example.com", True, id="the same name"),
        pytest.param(b"DOCS.example.com:8080", "docs.example.com", True, id="in other letters, with a port"),
        pytest.param(b"[2001:db8::1]:443", "2001:db8::1", True, id="an address, as some clients ask for it"),
        pytest.param(b"docs.example.com", None, True, id="no name"),
        pytest.param(b"docs.example.com", "wiki.example.com", False, id="another name"),
        pytest.param(b"docs.example.com", "example.com", False, id="the name above"),
        pytest.param(b"docs.example.com", "", False, id="an empty name"),
    ],
)
def test_a_host_is_served_only_on_a_connection_for_it(
    host: bytes, server_name: str | None, *, allowed: bool
) -> None:
    expected = Allow() if allowed else Deny(Reason.SERVER_NAME_DIFFERS, str(server_name))

    assert decide_server_name(read_host(host), server_name) == expected


def over_tls(host: str, server_name: str | None) -> Scope:
    scope = http_scope(headers=[("host", host)])
    scope["extensions"] = {"tls": {"server_name": server_name}}
    return scope


@pytest.mark.parametrize(
    ("host", "status", "error", "reason"),
    [
        pytest.param("docs.example.com", 421, "misdirected_request", "server-name-differs", id="a known one"),
        pytest.param("evil.example", 403, "host_not_allowed", "host-unknown", id="one that nobody listed"),
    ],
)
@pytest.mark.anyio
@pytest.mark.promise("inside-tls")
async def test_a_request_for_another_host_than_tls_was_asked_for_is_misdirected(
    host: str, status: int, error: str, reason: str
) -> None:
    spy, records = Spy(), Records()
    app = AuditLog(HostAllowlist(spy, hosts=["docs.example.com", "wiki.example.com"]), sink=records)

    reply = await call(app, over_tls(host, "wiki.example.com"))

    assert (reply.status, reply.json()["error"]) == (status, error)
    assert "wiki" not in reply.body.decode()
    assert records.verdicts == [("deny", reason)]
    assert spy.scopes == []


@pytest.mark.parametrize(
    "extensions",
    [
        pytest.param({"tls": {"server_name": "docs.example.com"}}, id="the same name"),
        pytest.param({"tls": {"server_name": None}}, id="no name"),
        pytest.param({"tls": {"tls_version": 0x0304}}, id="a server that says nothing of it"),
        pytest.param({"tls": None}, id="a server that says nothing of TLS"),
        pytest.param(None, id="a server that says nothing at all"),
    ],
)
@pytest.mark.anyio
async def test_where_no_other_name_is_known_the_host_alone_decides(extensions: dict[str, Any] | None) -> None:
    spy = Spy()
    scope = http_scope()
    scope["extensions"] = extensions

    await call(HostAllowlist(spy, hosts=["docs.example.com"]), scope)

    assert len(spy.scopes) == 1
