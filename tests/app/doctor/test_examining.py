"""Where everything is as it should be nothing is wrong, and whatever is planted is found, with what to do."""

from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from tests.app.doctor.examined import (
    DOMAIN,
    HOST,
    RESOURCE,
    TOOLS,
    Elsewhere,
    Plan,
    Plant,
    elsewhere,
    examined,
    matches,
    of,
    plan,
    planted,
    server,
    standing,
    surroundings,
    token,
)
from tests.support.certificates import SERVER, Authority
from tests.support.listing import tool
from tests.support.processes import free_port
from tests.support.resolving import SlowNames, not_answering
from tests.support.tokens import ISSUER
from tunnelgate_app.connector.address import GateAddress
from tunnelgate_app.doctor.examining import UnknownRouteError, examine
from tunnelgate_app.doctor.findings import Finding, Layer, Status
from tunnelgate_app.doctor.judging.call import Call
from tunnelgate_app.doctor.options import Options

WRONG, WARNING, SKIPPED, FINE = Status.WRONG, Status.WARNING, Status.SKIPPED, Status.FINE
DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def others() -> Generator[Elsewhere]:
    with elsewhere() as there:
        yield there


def answering(response: Response) -> ASGIApp:
    """Return a server that answers all requests like this."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await response(scope, receive, send)

    return app


def protected(name: str, status: int) -> ASGIApp:
    """Return a server that takes requests for ``name`` alone, as those against DNS rebinding do."""
    inner = server(*TOOLS)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        hosts = [value for key, value in scope.get("headers", ()) if key == b"host"]
        if scope["type"] == "http" and hosts[0].partition(b":")[0] != name.encode():
            return await PlainTextResponse("Invalid Host header", status)(scope, receive, send)
        return await inner(scope, receive, send)

    return app


def signed_by_another(there: Plan) -> None:
    there.credential = Authority("Another CA").issue_for_server(DOMAIN, f"*.{DOMAIN}")


def for_other_names(there: Plan) -> None:
    there.credential = there.known.issue_for_server("docs.example.net")


def expired(there: Plan) -> None:
    now = datetime.now(UTC)
    names = (DOMAIN, f"*.{DOMAIN}")
    there.credential = there.known.issue(
        DOMAIN, usage=SERVER, hosts=names, valid_from=now - 9 * DAY, valid_to=now - DAY
    )


def expires_soon(there: Plan) -> None:
    now = datetime.now(UTC)
    names = (DOMAIN, f"*.{DOMAIN}")
    there.credential = there.known.issue(
        DOMAIN, usage=SERVER, hosts=names, valid_from=now - 80 * DAY, valid_to=now + 3 * DAY
    )


def renewed_and_not_picked_up(there: Plan) -> None:
    there.shown = there.known.issue_for_server(DOMAIN, f"*.{DOMAIN}")


def key_for_everybody(there: Plan) -> None:
    (there.folder / "data").mkdir()
    (there.folder / "data" / "tls.key").touch()
    (there.folder / "data" / "tls.key").chmod(0o644)


def key_is_no_file(there: Plan) -> None:
    there.settings["tls"]["key_file"] = "data"
    there.running["tls"] = {"cert_file": "data/tls.crt", "key_file": "data/tls.key"}


def ca_is_none(there: Plan) -> None:
    (there.folder / "no-ca").write_text("nothing")
    there.options["authorities"] = there.folder / "no-ca"


def other_domain(there: Plan) -> None:
    there.settings["tunnel_domain"] = "other.example.com"
    there.credential = there.known.issue_for_server(f"*.{DOMAIN}", "*.other.example.com")
    there.running["tunnel_domain"] = DOMAIN


def other_path(there: Plan) -> None:
    there.route["path"] = "/rpc"
    there.running["routes"] = {"docs": {**there.route, "path": "/mcp"}}


def nobody_listens(there: Plan) -> None:
    there.is_running = False


def clients_elsewhere(there: Plan) -> None:
    there.settings["clients"] = {"allowed_ips": ["10.9.9.9"]}


def client_from_a_header(there: Plan) -> None:
    there.settings["clients"] = {
        "allowed_ips": ["203.0.113.0/24"],
        "address_from": "cf-connecting-ip",
        "trusted_proxies": ["127.0.0.1"],
    }


def client_from_a_header_and_said(there: Plan) -> None:
    client_from_a_header(there)
    there.options["client_address"] = "203.0.113.7"


def resolves_to(*addresses: str, **upstream: Any) -> Plant:
    def plant(there: Plan) -> None:
        there.names["wiki.internal"] = addresses
        there.settings["upstream"] = upstream
        there.route["upstream"] = "http://wiki.internal:{port}"

    return plant


def no_such_name(there: Plan) -> None:
    there.settings["upstream"] = {}
    there.route["upstream"] = "http://wiki.internal:{port}"


def refuses(there: Plan) -> None:
    there.route["upstream"] = f"http://127.0.0.1:{free_port()}"


def refuses_with_a_token(there: Plan) -> None:
    refuses(there)
    there.options["token"] = token()


def refuses_in_docker(there: Plan) -> None:
    there.names["host.docker.internal"] = ["127.0.0.1"]
    there.route["upstream"] = f"http://host.docker.internal:{free_port()}"


def speaks_no_tls(there: Plan) -> None:
    there.route["upstream"] = "https://127.0.0.1:{port}"
    there.settings["upstream"]["tls"] = {"include_system_cas": True}


def believes_a_file_that_is_not_there(there: Plan) -> None:
    there.running["upstream"] = {"allowed_ips": ["127.0.0.1"]}
    there.running["routes"] = {"docs": dict(there.route)}
    there.settings["upstream"] = {"allowed_ips": ["127.0.0.1"], "tls": {"ca_file": "no-such-ca"}}
    there.route["upstream"] = "https://127.0.0.1:{port}"


def believes_nobody(there: Plan) -> None:
    there.is_running = False
    there.route["upstream"] = "https://127.0.0.1:{port}"


def routes_are_a_list(there: Plan) -> None:
    there.is_running = False
    there.settings["routes"] = [{"docs": "{upstream}"}]


def upstream_has_a_path(there: Plan) -> None:
    there.is_running = False
    there.route["upstream"] = "{upstream}/mcp"


def no_keys(there: Plan) -> None:
    there.is_running = False
    (there.folder / "jwks.json").unlink()


def validates_nothing(there: Plan) -> None:
    there.settings["upstream"] = {"disable_ip_validation": True}


def no_token_of_its_own(there: Plan) -> None:
    secret = there.folder / "secret"
    secret.write_text("a-secret-of-the-gate")
    secret.chmod(0o644)
    there.settings["oauth"]["allowed_ips"] = ["127.0.0.1"]
    there.route["credentials"] = {
        "client_credentials": {
            "token_endpoint": f"https://127.0.0.1:{free_port()}/token",
            "client_id": "gate",
            "client_secret_file": "secret",
        }
    }


def tokens_are_exchanged(there: Plan) -> None:
    no_token_of_its_own(there)
    credentials = there.route["credentials"]
    credentials["token_exchange"] = credentials.pop("client_credentials")


def upstream_is(app: ASGIApp, **route: Any) -> Plant:
    def plant(there: Plan) -> None:
        there.upstream = app
        there.route.update(route)

    return plant


def with_credentials(there: Plan) -> None:
    (there.folder / "secret").write_text("a-secret-of-the-gate")
    (there.folder / "secret").chmod(0o600)
    there.upstream = answering(Response(status_code=401, headers={"www-authenticate": "Bearer"}))
    there.route["credentials"] = {"bearer_file": "secret"}


def preserves_host(there: Plan) -> None:
    there.upstream = protected("127.0.0.1", 403)
    there.route["upstream"] = {"url": "{upstream}", "preserve_host": True}


def mounts(name: str) -> Plant:
    def plant(there: Plan) -> None:
        there.is_running = False
        del there.route["upstream"]
        there.route["mount"] = name

    return plant


def other_resource(there: Plan) -> None:
    there.route["resource"] = "https://docs.tunnel.example.com/other"
    there.running["routes"] = {"docs": {"upstream": "{upstream}", "tools": ["search", "list"]}}


def made_for_another(there: Plan) -> None:
    there.options["token"] = token(aud="https://other.example.com/mcp")


def lacks_a_scope(there: Plan) -> None:
    there.route["scopes"] = ["docs:write"]
    there.options["token"] = token()


def lists_more_than_is_configured(there: Plan) -> None:
    there.options["token"] = token()
    there.running["routes"] = {"docs": {**there.route, "tools": ["search", "list", "reindex"]}}


def vanished(there: Plan) -> None:
    there.options["token"] = token()
    there.upstream = server(TOOLS[0])


def renamed(there: Plan) -> None:
    there.upstream = server(tool("Search"), tool("list"))


def alike(there: Plan) -> None:
    there.upstream = server(*TOOLS, tool("Search"))


def turned_destructive(there: Plan) -> None:
    there.upstream = server(tool("search", annotations={"destructiveHint": True}), TOOLS[1])


def says_both(there: Plan) -> None:
    both = {"destructiveHint": True, "readOnlyHint": True}
    there.upstream = server(tool("search", annotations=both), TOOLS[1])


def fails(there: Plan) -> None:
    there.options["token"] = token()
    returned = {"resultType": "complete", "content": [{"type": "text", "text": "no index"}], "isError": True}
    there.upstream = server(*TOOLS, returned=returned)


def needs_arguments(there: Plan) -> None:
    there.options["token"] = token()
    there.route["tools"] = ["search"]


def bound_tokens(there: Plan) -> None:
    there.route["proof"] = "dpop"


def connections(number: int) -> Plant:
    def plant(there: Plan) -> None:
        there.cloudflared.connections = number

    return plant


def request_errors(there: Plan) -> None:
    there.cloudflared.errors = 3


def no_cloudflared(there: Plan) -> None:
    there.cloudflared.text = "process_cpu_seconds_total 1\n"


def no_metrics(there: Plan) -> None:
    there.options["connector"] = f"http://127.0.0.1:{free_port()}"


def nested(there: Plan) -> None:
    routes = there.settings["routes"]
    routes[f"a.b.{DOMAIN}"] = dict(there.route)
    there.credential = there.known.issue_for_server(f"*.{DOMAIN}", f"a.b.{DOMAIN}")


def not_below(there: Plan) -> None:
    there.settings["routes"]["docs.example.net"] = dict(there.route)
    there.credential = there.known.issue_for_server(f"*.{DOMAIN}", "docs.example.net")


def lists_nothing(there: Plan) -> None:
    there.settings["routes"] = {"docs": "{upstream}"}


def nobody_checks_tokens(there: Plan) -> None:
    there.settings["transport"] = "http"
    del there.settings["tls"]
    there.is_running = False
    there.upstream = server(*TOOLS)
    there.settings["listen_addr"] = "127.0.0.1:{port}"


ROWS = [
    planted(
        routes_are_a_list,
        Layer.CONFIGURATION,
        WRONG,
        "routes",
        "The gate does not start with it",
        id="routes are a list",
    ),
    planted(
        upstream_has_a_path,
        Layer.CONFIGURATION,
        WRONG,
        "scheme://host:port",
        "tunnelgate check",
        id="an upstream has a path",
    ),
    planted(no_keys, Layer.CONFIGURATION, WRONG, "jwks.json", "tunnelgate check", id="there are no keys"),
    planted(
        validates_nothing,
        Layer.CONFIGURATION,
        WARNING,
        "whoever answers for an upstream's name",
        "Leave it if it is meant",
        id="addresses are not looked at",
    ),
    planted(
        routes_are_a_list,
        Layer.CALL,
        SKIPPED,
        "because the configuration is faulty",
        "",
        id="of a faulty configuration nothing else is tried",
    ),
    planted(
        nobody_listens,
        Layer.ROUTES,
        SKIPPED,
        "see the listener",
        "",
        id="of a gate that does not run no route is tried",
    ),
    planted(
        connections(0),
        Layer.CONNECTOR,
        WRONG,
        "cloudflared 2026.8.0 runs and has no connection to the edge, status 503",
        "Its token is missing, truncated or rotated, or port 7844 is blocked",
        id="cloudflared never connects",
    ),
    planted(
        connections(2),
        Layer.CONNECTOR,
        WARNING,
        "2 of 4 connections",
        "still registering",
        id="cloudflared is still registering",
    ),
    planted(
        request_errors,
        Layer.CONNECTOR,
        WARNING,
        "3 of its requests did not reach the gate",
        "`No ingress rules were defined`",
        id="cloudflared has no target",
    ),
    planted(
        no_cloudflared,
        Layer.CONNECTOR,
        WRONG,
        "it is no cloudflared",
        "--connector-metrics",
        id="no cloudflared",
    ),
    planted(
        no_metrics,
        Layer.CONNECTOR,
        WRONG,
        "refused",
        "--connector-metrics",
        id="nobody at the connector's metrics",
    ),
    planted(
        nobody_listens,
        Layer.LISTENER,
        WRONG,
        "connection refused",
        "`Unable to reach the origin service`",
        id="the gate does not run",
    ),
    planted(
        signed_by_another,
        Layer.LISTENER,
        WRONG,
        "authority-unknown",
        "Sign it with one",
        id="the file was signed by a CA that the tunnel does not know",
    ),
    planted(
        signed_by_another,
        Layer.LISTENER,
        WRONG,
        "tls handshake failed, unknown certificate authority: ",
        "did not sign what the gate shows",
        id="the certificate that is shown was signed by a CA that the tunnel does not know",
    ),
    planted(
        for_other_names,
        Layer.LISTENER,
        WRONG,
        "tls handshake failed, bad certificate: ",
        "tunnelgate certs init --host",
        id="the certificate is for other names",
    ),
    planted(
        expired,
        Layer.LISTENER,
        WRONG,
        "tls handshake failed, bad certificate: ",
        "tunnelgate certs renew",
        id="the certificate has expired",
    ),
    planted(
        expires_soon, Layer.LISTENER, WARNING, "expires in", "certs renew", id="the certificate ends soon"
    ),
    planted(
        renewed_and_not_picked_up,
        Layer.LISTENER,
        WRONG,
        "is shown",
        "SIGHUP",
        id="the gate shows another certificate than the one on disk",
    ),
    planted(
        key_for_everybody,
        Layer.LISTENER,
        WARNING,
        "everybody on this machine may read it, mode 0644",
        "chmod 600",
        id="the key is readable for everybody",
    ),
    planted(
        key_is_no_file,
        Layer.LISTENER,
        WRONG,
        "is a directory",
        "tunnelgate certs init makes the files",
        id="the key cannot be read",
    ),
    planted(ca_is_none, Layer.LISTENER, WRONG, "no-ca", "in PEM", id="the file of the CA has none"),
    planted(
        other_domain,
        Layer.ROUTES,
        WRONG,
        "403 host_not_allowed",
        "`no route for host`",
        id="the running gate has another tunnel_domain",
    ),
    planted(
        other_path,
        Layer.ROUTES,
        WRONG,
        "404 not_found",
        "started with another file",
        id="the configuration was edited and the gate did not take it",
    ),
    planted(
        clients_elsewhere,
        Layer.ROUTES,
        WRONG,
        "403 client_not_allowed",
        "where the connector runs",
        id="the connector's address is not allowed",
    ),
    planted(
        client_from_a_header,
        Layer.ROUTES,
        WRONG,
        "400 bad_request",
        "--client-address",
        id="the client's address is in a header that is not sent",
    ),
    planted(
        nested,
        Layer.ROUTES,
        WARNING,
        f"a.b.{DOMAIN} is more than one label below {DOMAIN}",
        "one label",
        id="no wildcard covers a nested name",
    ),
    planted(
        not_below,
        Layer.ROUTES,
        WARNING,
        f"docs.example.net is not below {DOMAIN}",
        "--host docs.example.net",
        id="no wildcard covers a name outside of the domain",
    ),
    planted(
        lists_nothing,
        Layer.ROUTES,
        SKIPPED,
        "it lists nothing",
        "tunnelgate import",
        id="a file of Anthropic's proxy lists no tools",
    ),
    planted(
        lists_nothing,
        Layer.TOOLS,
        WARNING,
        "nothing is allowed of search, list, reindex",
        "tunnelgate import",
        id="and what it could list is said",
    ),
    planted(
        nobody_checks_tokens,
        Layer.ROUTES,
        WRONG,
        "it was answered without a token",
        "the gate itself",
        id="the server answers in place of the gate",
    ),
    planted(
        resolves_to("203.0.113.9"),
        Layer.ADDRESSES,
        WRONG,
        "IP validation failed: 203.0.113.9 is not a private address",
        "kubectl get svc kubernetes",
        id="a public address by the default set",
    ),
    planted(
        resolves_to("127.0.0.1"),
        Layer.ADDRESSES,
        WRONG,
        "IP validation failed: 127.0.0.1 is not a private address",
        "leaves this machine out",
        id="loopback by the default set",
    ),
    planted(
        no_such_name,
        Layer.ADDRESSES,
        WRONG,
        "no such name",
        "routes.docs.upstream",
        id="the name does not exist",
    ),
    planted(
        refuses,
        Layer.UPSTREAMS,
        WRONG,
        "connection refused",
        "Nobody listens there",
        id="nobody listens at the upstream",
    ),
    planted(
        refuses_in_docker,
        Layer.UPSTREAMS,
        WRONG,
        "connection refused",
        "Rootless Docker",
        id="host.docker.internal refuses",
    ),
    planted(
        speaks_no_tls, Layer.UPSTREAMS, WRONG, "TLS", "speaks TLS on that port", id="the upstream has no TLS"
    ),
    planted(
        believes_a_file_that_is_not_there,
        Layer.UPSTREAMS,
        WRONG,
        "no-such-ca': cannot be read",
        "Correct the configuration",
        id="the CA of an https route is not there",
    ),
    planted(
        believes_nobody,
        Layer.CONFIGURATION,
        WRONG,
        "nobody's certificate is believed",
        "tunnelgate check",
        id="an https route has no trust anchor",
    ),
    planted(
        no_token_of_its_own,
        Layer.UPSTREAMS,
        WRONG,
        "its token cannot be had",
        "see that the issuer answers",
        id="the gate gets no token of its own",
    ),
    planted(
        no_token_of_its_own,
        Layer.CONFIGURATION,
        WARNING,
        "everybody on this machine may read it, mode 0644",
        "chmod 600",
        id="a secret is readable for everybody",
    ),
    planted(
        tokens_are_exchanged,
        Layer.UPSTREAMS,
        SKIPPED,
        "for a caller's only",
        "",
        id="the gate's token is had for a caller's only",
    ),
    planted(
        upstream_is(protected(HOST, 421)),
        Layer.UPSTREAMS,
        WRONG,
        "421",
        "Set routes.docs.upstream.preserve_host: true",
        id="rebinding protection answers 421 to the upstream's own name",
    ),
    planted(
        preserves_host,
        Layer.UPSTREAMS,
        WRONG,
        "403",
        "Set routes.docs.upstream.preserve_host: false",
        id="rebinding protection answers 403 to the client's name",
    ),
    planted(
        upstream_is(protected("elsewhere", 403)),
        Layer.UPSTREAMS,
        WRONG,
        "403",
        "Let the server allow the name that it gets",
        id="rebinding protection knows neither name",
    ),
    planted(
        upstream_is(answering(Response(status_code=401, headers={"www-authenticate": "Bearer"}))),
        Layer.UPSTREAMS,
        WRONG,
        "it needs a token",
        "routes.docs.credentials",
        id="the upstream wants a token of its own",
    ),
    planted(
        with_credentials,
        Layer.UPSTREAMS,
        WRONG,
        "it needs a token",
        "It refused what routes.docs.credentials gives",
        id="the upstream refuses the gate's token",
    ),
    planted(
        upstream_is(server(*TOOLS), path="/rpc"),
        Layer.UPSTREAMS,
        WRONG,
        "answers 404 where MCP is expected",
        "a bare hostname without the path lists no tools",
        id="the path is missing",
    ),
    planted(
        upstream_is(answering(Response(status_code=308, headers={"location": "/mcp/"}))),
        Layer.UPSTREAMS,
        WRONG,
        "redirects to",
        "to the last slash; now it is /mcp",
        id="the upstream redirects to another path",
    ),
    planted(
        upstream_is(answering(JSONResponse({}, 500))),
        Layer.UPSTREAMS,
        WRONG,
        "answers 500",
        "Its log says why",
        id="the upstream fails",
    ),
    planted(
        mounts("tests.app.doctor.mounts:create_broken"),
        Layer.UPSTREAMS,
        WRONG,
        "does not start: no database",
        "routes.docs.mount",
        id="the mounted application does not start",
    ),
    planted(
        mounts("no_such_module:create_app"),
        Layer.UPSTREAMS,
        WRONG,
        "cannot be imported",
        "The gate does not start with it",
        id="the mounted application is not there",
    ),
    planted(
        mounts("tests.app.doctor.mounts:create_demanding"),
        Layer.UPSTREAMS,
        WRONG,
        "it needs a token",
        "take the principal that the gate verified",
        id="the mounted application wants a token",
    ),
    planted(
        other_resource,
        Layer.OAUTH,
        WRONG,
        f"its resource is '{RESOURCE}' and not https://{HOST}/other",
        "another configuration",
        id="the gate names another resource",
    ),
    planted(
        made_for_another,
        Layer.OAUTH,
        WRONG,
        "token-audience-wrong",
        RESOURCE,
        id="the token is for another resource",
    ),
    planted(
        lacks_a_scope,
        Layer.OAUTH,
        WRONG,
        "lacks docs:write",
        "routes.docs.scopes",
        id="the token lacks a scope",
    ),
    planted(
        vanished,
        Layer.TOOLS,
        WRONG,
        "list: the server has no such tool any more",
        "in vain",
        id="a tool vanished",
    ),
    planted(
        renamed,
        Layer.TOOLS,
        WRONG,
        "search: it is Search at the server, and names differ by case",
        "Write Search in routes.docs.tools",
        id="a tool is written in another case",
    ),
    planted(
        alike,
        Layer.TOOLS,
        WARNING,
        "search, Search: two tools",
        "Rename one",
        id="two tools differ by case alone",
    ),
    planted(
        turned_destructive,
        Layer.TOOLS,
        WARNING,
        "the server says that it destroys",
        "was not changed at the server",
        id="a listed tool has turned destructive",
    ),
    planted(
        says_both,
        Layer.TOOLS,
        WARNING,
        "both that it only reads",
        "See what it does",
        id="the hints contradict",
    ),
    planted(
        vanished,
        Layer.CALL,
        WARNING,
        "search; not list",
        "The server has them not",
        id="a client does not see what vanished",
    ),
    planted(
        lists_more_than_is_configured,
        Layer.CALL,
        WRONG,
        "reindex shown",
        "has another list",
        id="the running gate lists a tool that was taken out",
    ),
    planted(fails, Layer.CALL, WARNING, "it failed: no index", "--arguments", id="the harmless call fails"),
    planted(
        needs_arguments,
        Layer.CALL,
        SKIPPED,
        "needs no arguments",
        "--route docs --tool NAME --arguments JSON",
        id="no tool is known to be harmless",
    ),
    planted(
        refuses_with_a_token,
        Layer.CALL,
        WRONG,
        "answers 502",
        "See the upstreams",
        id="the gate cannot reach the upstream",
    ),
    planted(bound_tokens, Layer.CALL, SKIPPED, "a proof here, dpop", "", id="tokens come with proofs"),
    planted(lacks_a_scope, Layer.CALL, SKIPPED, "no token that passes", "--token-file", id="no token passes"),
]


@pytest.mark.anyio
@pytest.mark.parametrize(("plant", "layer", "status", "found", "advice"), ROWS)
async def test_what_is_planted_is_found_with_what_to_do(
    plant: Plant, layer: Layer, status: Status, found: str, advice: str, tmp_path: Path, others: Elsewhere
) -> None:
    there = plan(tmp_path)
    plant(there)

    findings = await examined(there, others)

    assert any(matches(each, status, found, advice) for each in of(findings, layer)), of(findings, layer)


@pytest.mark.anyio
async def test_of_what_is_as_it_should_be_nothing_is_wrong(tmp_path: Path, others: Elsewhere) -> None:
    there = plan(tmp_path)
    there.options["token"] = token()

    findings = await examined(there, others)

    assert [each for each in findings if each.status in (WRONG, WARNING)] == []
    assert list(dict.fromkeys(each.layer for each in findings)) == list(Layer)


@pytest.mark.anyio
async def test_a_client_that_the_connector_speaks_for_may_be_named(tmp_path: Path, others: Elsewhere) -> None:
    there = plan(tmp_path)
    client_from_a_header_and_said(there)

    findings = await examined(there, others)

    assert of(findings, Layer.ROUTES, WRONG) == []


@pytest.mark.anyio
async def test_a_tool_is_called_that_was_named(tmp_path: Path, others: Elsewhere) -> None:
    there = plan(tmp_path)
    call = Call("search", {"query": "über"})
    there.options.update(token=token(), route="docs", call=call)

    findings = await examined(there, others)

    (called,) = [each for each in of(findings, Layer.CALL) if "call search" in each.tried]
    assert called.status is FINE
    assert called.tried == 'docs: call search {"query": "über"} through the gate'
    assert called.found == "3 documents"


@pytest.mark.anyio
async def test_an_application_that_is_mounted_is_asked_as_the_gate_would(
    tmp_path: Path, others: Elsewhere
) -> None:
    there = plan(tmp_path)
    mounts("tests.app.doctor.mounts:create_app")(there)

    findings = await examined(there, others)

    assert [each.status for each in of(findings, Layer.UPSTREAMS)] == [FINE]
    assert of(findings, Layer.TOOLS, WRONG, WARNING) == []
    assert of(findings, Layer.ADDRESSES, SKIPPED)


@pytest.mark.anyio
async def test_without_the_ca_the_files_and_what_is_shown_are_still_compared(
    tmp_path: Path, others: Elsewhere
) -> None:
    there = plan(tmp_path)
    there.without_ca = True

    findings = await examined(there, others)

    warnings = of(findings, Layer.LISTENER, WARNING)
    assert [each.found.partition(",")[0] for each in warnings] == [
        "the certificate of the tunnel's CA is not known here"
    ]
    assert "--ca" in warnings[0].advice
    assert of(findings, Layer.LISTENER, WRONG) == []
    assert of(findings, Layer.ROUTES, FINE)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("transport", "with_tls", "said"),
    [
        pytest.param("http", False, "HTTP to", id="in the clear"),
        pytest.param("tls", True, "TLS to", id="with TLS"),
        pytest.param("tunnel", True, "TLS in a WebSocket to", id="with TLS in a WebSocket"),
        pytest.param(None, True, "TLS in a WebSocket to", id="with whichever TLS comes"),
    ],
)
async def test_the_gate_is_come_to_as_its_transport_says(
    transport: str | None,
    with_tls: bool,  # noqa: FBT001
    said: str,
    tmp_path: Path,
    others: Elsewhere,
) -> None:
    there = plan(tmp_path)
    there.settings["transport"] = transport
    if transport is None:
        del there.settings["transport"]
    if not with_tls:
        del there.settings["tls"]

    findings = await examined(there, others)

    assert of(findings, Layer.LISTENER, WRONG, WARNING) == []
    assert any(each.tried.startswith(said) for each in of(findings, Layer.LISTENER, FINE))
    assert of(findings, Layer.ROUTES, WRONG, SKIPPED) == []


@pytest.mark.anyio
async def test_another_transport_than_the_gate_has_is_said(tmp_path: Path, others: Elsewhere) -> None:
    there = plan(tmp_path)
    there.settings["transport"] = "tls"
    there.running["transport"] = "tunnel"

    findings = await examined(there, others)

    (wrong,) = of(findings, Layer.LISTENER, WRONG)
    assert "transport in the configuration" in wrong.advice


@pytest.mark.anyio
async def test_routes_without_mcp_are_asked_for_their_public_paths(tmp_path: Path, others: Elsewhere) -> None:
    there = plan(tmp_path)
    routes = there.settings["routes"]
    routes["status"] = {"upstream": "{upstream}", "public_paths": ["/healthz"]}
    routes["desk"] = {"mount": "tests.app.doctor.mounts:create_app", "public_paths": ["/"]}
    routes["docs"]["public_paths"] = ["/"]

    findings = await examined(there, others)

    assert of(findings, Layer.ROUTES, WRONG) == []
    public = [each.found for each in of(findings, Layer.ROUTES, FINE) if "of the server" in each.found]
    assert public == ["404 of the server"] * 3
    upstreams = of(findings, Layer.UPSTREAMS)
    assert [(each.tried.partition(":")[0], each.status) for each in upstreams] == [
        ("desk", FINE),
        ("docs", FINE),
        ("status", SKIPPED),
    ]


@pytest.mark.anyio
async def test_where_no_route_speaks_mcp_that_is_said(tmp_path: Path, others: Elsewhere) -> None:
    there = plan(tmp_path)
    there.settings["routes"] = {"status": {"upstream": "{upstream}", "public_paths": ["/healthz"]}}

    findings = await examined(there, others)

    assert [each.found for each in of(findings, Layer.TOOLS)] == ["no route speaks MCP"]
    assert [each.found for each in of(findings, Layer.CALL)] == ["no route speaks MCP"]


@pytest.mark.anyio
async def test_a_gate_at_a_unix_socket_is_come_to(tmp_path: Path, others: Elsewhere) -> None:
    there = plan(tmp_path)
    there.options["gate"] = GateAddress(path=str(tmp_path / "gate.sock"))

    findings = await examined(there, others)

    (wrong,) = of(findings, Layer.LISTENER, WRONG)
    assert wrong.tried == f"connect to unix:{tmp_path}/gate.sock"
    assert wrong.found == "no such file or directory"


@pytest.mark.anyio
async def test_a_gate_that_lets_nobody_in_is_given_its_time_alone(tmp_path: Path, others: Elsewhere) -> None:
    there = plan(tmp_path)
    with not_answering() as port:
        there.options.update(gate=GateAddress("127.0.0.1", port), seconds=0.3)
        findings = await examined(there, others)

    (wrong,) = of(findings, Layer.LISTENER, WRONG)
    assert wrong.found == "no answer within 0.3 s"


@pytest.mark.anyio
async def test_a_certificate_that_cannot_be_read_is_not_compared(tmp_path: Path, others: Elsewhere) -> None:
    there = plan(tmp_path)
    (tmp_path / "none.crt").write_text("nothing")
    there.settings["tls"]["cert_file"] = "none.crt"
    there.running["tls"] = {"cert_file": "data/tls.crt", "key_file": "data/tls.key"}
    there.options["authorities"] = tmp_path / "data" / "ca.crt"

    findings = await examined(there, others)

    assert any("certificate-unreadable" in each.found for each in of(findings, Layer.LISTENER, WRONG))
    assert not any("that is shown" in each.tried for each in findings)


@pytest.mark.anyio
async def test_a_token_without_keys_to_judge_it_by_is_said(tmp_path: Path, others: Elsewhere) -> None:
    there = plan(tmp_path)
    there.settings["oauth"] = {"issuers": [{"issuer": ISSUER}]}
    there.running["oauth"] = {"issuers": [{"issuer": ISSUER, "jwks_file": "jwks.json"}]}
    there.options["token"] = token()

    findings = await examined(there, others)

    (wrong,) = [each for each in of(findings, Layer.OAUTH, WRONG) if "the token" in each.tried]
    assert wrong.found.startswith("no keys from")


@pytest.mark.anyio
async def test_a_route_that_is_not_there_is_refused_before_anything_is_tried(
    tmp_path: Path, others: Elsewhere
) -> None:
    told: list[Finding] = []

    with standing(plan(tmp_path), others) as there, pytest.raises(UnknownRouteError, match="there are docs"):
        await examine(Options(there.config, route="dogs"), surroundings(), told.append)

    assert told == []


@pytest.mark.anyio
async def test_all_of_it_ends_when_its_time_is_over(tmp_path: Path, others: Elsewhere) -> None:
    there = plan(tmp_path)
    there.is_running = False
    there.route["upstream"] = "http://wiki.internal:9000"
    there.settings["oauth"] = {"issuers": [{"issuer": "https://login.example.com"}]}
    told: list[Finding] = []
    names = SlowNames()

    with standing(there, others) as standing_there:
        # Less than nothing is left for the layers when they begin.
        options = _Hurried(standing_there.config, connector=standing_there.connector, is_offline=True)
        await examine(options, surroundings(resolve=names), told.append)

    late = [each for each in told if "not finished within" in each.found]
    assert Layer.ADDRESSES in {each.layer for each in late}
    assert all(each.status is WRONG and "--timeout" in each.advice for each in late)


class _Hurried(Options):
    @property
    def seconds_in_all(self) -> float:
        return 0.2
