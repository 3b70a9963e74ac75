"""What came back is judged without asking anybody: rows that no gate of ours would answer."""

import socket
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.support.certificates import Authority
from tests.support.tokens import ISSUER
from tunnelgate import Issuer, Policy, Route
from tunnelgate_app.asking.answers import AskingError, Called, Failure, Listing, Server, Tool
from tunnelgate_app.doctor.answers import Answer, Asked
from tunnelgate_app.doctor.findings import Finding, Findings, Layer, Status, counted
from tunnelgate_app.doctor.judging.call import (
    Call,
    finding_of_call,
    finding_of_unlisted_tool,
    findings_of_list,
    harmless_call,
)
from tunnelgate_app.doctor.judging.certificates import CertificateFiles, File, findings_of_files
from tunnelgate_app.doctor.judging.configuration import SecretFile, findings_of_secrets
from tunnelgate_app.doctor.judging.oauth import (
    AskedIssuer,
    finding_of_challenge,
    finding_of_metadata,
    findings_of_issuer,
)
from tunnelgate_app.doctor.judging.routes import (
    finding_of_bare_host,
    finding_of_endpoint,
    finding_of_public_path,
    finding_of_unlisted_host,
    findings_of_names,
)
from tunnelgate_app.doctor.judging.tools import findings_of_tools
from tunnelgate_app.doctor.judging.upstreams import AskedUpstream, finding_of_mount, finding_of_upstream
from tunnelgate_app.doctor.options import Options, gate_address, transport_of
from tunnelgate_app.doctor.trying.configuration import mode_of, secret_files
from tunnelgate_app.doctor.trying.gate import headers_of_client
from tunnelgate_app.doctor.trying.listener import authorities_failure
from tunnelgate_app.doctor.trying.sockets import said_of

URL = "https://docs.example.com/mcp"
WRONG, WARNING, FINE = Status.WRONG, Status.WARNING, Status.FINE
SERVER = Server("modern", "2026-07-28")
NO_ERROR = False


def route(**settings: Any) -> Route:
    return Route.model_validate({"upstream": "http://10.0.0.1:9000", **settings})


EVERYTHING = route(tools="*", allow_all_tools=True)
LISTED = route(tools=["search"])


def answered(status: int, body: bytes = b"{}", **headers: str) -> Asked:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Asked(URL, Answer(status, named, body))


def refused(status: int, error: str) -> Asked:
    return answered(status, b'{"error": "%b"}' % error.encode(), x_request_id="1")


NOTHING = Asked(URL, failure="the connection has ended")


def policy(**settings: Any) -> Policy:
    return Policy.from_mapping(
        {
            "clients": {"allowed_ips": ["127.0.0.1"]},
            "oauth": {"issuers": [{"issuer": ISSUER}]},
            "routes": {"docs.example.com": {"mount": "no:app", "tools": ["search"]}},
            **settings,
        }
    )


@pytest.mark.parametrize(
    ("judge", "asked", "status", "found", "advice"),
    [
        pytest.param(
            finding_of_endpoint,
            NOTHING,
            WRONG,
            "the connection has ended",
            "See the listener",
            id="no answer",
        ),
        pytest.param(
            finding_of_endpoint,
            answered(401),
            WRONG,
            "401",
            "No answer that the gate would give",
            id="a 401 without a challenge",
        ),
        pytest.param(
            finding_of_endpoint,
            refused(421, "misdirected_request"),
            WRONG,
            "421 misdirected_request",
            "The name in TLS and the one in Host differ",
            id="a name in TLS that is not the one in Host",
        ),
        pytest.param(
            finding_of_endpoint,
            answered(403, b'{"error": ["host_not_allowed"]}', x_request_id="1"),
            WRONG,
            "403",
            "No answer that the gate would give",
            id="an error that is no word",
        ),
        pytest.param(
            finding_of_endpoint,
            answered(502, b"No route configured for host"),
            WRONG,
            "502",
            "No answer that the gate would give",
            id="an answer of Anthropic's proxy",
        ),
        pytest.param(
            finding_of_public_path, NOTHING, WRONG, "ended", "See the listener", id="no public path"
        ),
        pytest.param(
            finding_of_public_path,
            refused(502, "upstream_unreachable"),
            WRONG,
            "502 upstream_unreachable",
            "See the upstreams",
            id="a public path of a server that is down",
        ),
        pytest.param(
            finding_of_public_path,
            answered(404),
            FINE,
            "404 of the server",
            "",
            id="a public path without a page",
        ),
        pytest.param(
            finding_of_unlisted_host, NOTHING, WRONG, "ended", "See the listener", id="no unlisted host"
        ),
        pytest.param(
            finding_of_unlisted_host,
            answered(200),
            WRONG,
            "200: it was answered",
            "answers for no name but its own",
            id="an unlisted host that is answered",
        ),
        pytest.param(
            finding_of_unlisted_host,
            refused(403, "client_not_allowed"),
            WRONG,
            "403 client_not_allowed",
            "clients.allowed_ips",
            id="an unlisted host that is refused for another reason",
        ),
    ],
)
def test_an_answer_of_the_gate_is_judged(
    judge: Callable[..., Finding], asked: Asked, status: Status, found: str, advice: str
) -> None:
    finding = judge(asked) if judge is finding_of_unlisted_host else judge("docs", asked)

    assert finding.status is status
    assert found in finding.found
    assert advice in finding.advice


@pytest.mark.parametrize(
    ("asked", "status", "found"),
    [
        pytest.param(NOTHING, WRONG, "ended", id="no answer"),
        pytest.param(answered(404), FINE, "its URL is https://docs.example.com/mcp", id="not found"),
        pytest.param(refused(403, "host_not_allowed"), WRONG, "403 host_not_allowed", id="another refusal"),
        pytest.param(answered(200), WRONG, "200 where nothing is served", id="a page"),
    ],
)
def test_the_bare_host_is_explained(asked: Asked, status: Status, found: str) -> None:
    finding = finding_of_bare_host("docs", asked, URL)

    assert finding.status is status
    assert found in finding.found


def test_names_without_a_tunnel_domain_have_no_wildcard() -> None:
    assert list(findings_of_names(policy(), ("docs.example.com",))) == []


@pytest.mark.parametrize(
    ("document", "status", "found"),
    [
        pytest.param(NOTHING, WRONG, "ended", id="no answer"),
        pytest.param(answered(404), WRONG, "404", id="not found"),
        pytest.param(
            answered(
                200, b'{"resource": "https://docs.example.com/mcp", "authorization_servers": ["https://x"]}'
            ),
            WRONG,
            "its authorization_servers are ['https://x'] and not https://login.example.com",
            id="other issuers",
        ),
        pytest.param(answered(200, b"<html>"), WRONG, "its resource is None", id="no document"),
    ],
)
def test_the_metadata_is_judged(document: Asked, status: Status, found: str) -> None:
    finding = finding_of_metadata(policy(), "docs.example.com", document)

    assert finding.status is status
    assert found in finding.found


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        pytest.param(NOTHING, None, id="no answer"),
        pytest.param(answered(403), None, id="no challenge"),
        pytest.param(
            answered(401, www_authenticate="Bearer"), "does not say where the metadata is", id="no metadata"
        ),
        pytest.param(
            answered(401, www_authenticate='Bearer resource_metadata="https://else.example.com/"'),
            "leads to https://else.example.com/ and not to https://docs.example.com/.well-known/",
            id="metadata elsewhere",
        ),
    ],
)
def test_the_challenge_is_judged(asked: Asked, found: str | None) -> None:
    finding = finding_of_challenge(policy(), "docs.example.com", asked)

    if found is None:
        assert finding is None
    else:
        assert finding is not None
        assert finding.status is WRONG
        assert found in finding.found


def test_an_issuer_whose_certificate_is_not_believed_is_advised_about() -> None:
    failure = "no keys", ("https://login.example.com: TLS: the certificate is not accepted",)

    (finding,) = findings_of_issuer(policy(), Issuer(issuer=ISSUER), AskedIssuer(*failure))

    assert "SSL_CERT_FILE" in finding.advice


def listing(*tools: Tool) -> Listing:
    return Listing(SERVER, tools)


@pytest.mark.parametrize(
    ("route", "came", "status", "found"),
    [
        pytest.param(
            LISTED, AskingError(Failure.TOO_SLOW, "too slow"), WRONG, "too slow", id="no list in time"
        ),
        pytest.param(LISTED, AskingError(Failure.NEEDS_TOKEN, "a token"), WRONG, "a token", id="no token"),
        pytest.param(LISTED, AskingError(Failure.REFUSED, "403"), WRONG, "403", id="refused"),
        pytest.param(LISTED, listing(), WARNING, "nothing; not search", id="an empty list"),
        pytest.param(EVERYTHING, listing(Tool("a")), FINE, "a, and every tool is allowed", id="everything"),
    ],
)
def test_the_list_that_clients_see_is_judged(
    route: Route, came: Listing | AskingError, status: Status, found: str
) -> None:
    (finding,) = findings_of_list("docs", route, came)

    assert finding.status is status
    assert found in finding.found


@pytest.mark.parametrize(
    ("came", "status", "found"),
    [
        pytest.param(AskingError(Failure.MCP_ERROR, "no"), WRONG, "no", id="an error"),
        pytest.param(Called(SERVER, NO_ERROR, (), {"hits": 1}), FINE, '{"hits": 1}', id="structured content"),
        pytest.param(Called(SERVER, NO_ERROR, ("x" * 161,)), FINE, "x" * 159 + "…", id="a long text"),
        pytest.param(Called(SERVER, NO_ERROR, ("x" * 160,)), FINE, "x" * 160, id="a text as long as may be"),
    ],
)
def test_a_call_is_judged(came: Called | AskingError, status: Status, found: str) -> None:
    finding = finding_of_call("docs", Call("search", {}), came)

    assert (finding.status, finding.found) == (status, found)


@pytest.mark.parametrize(
    ("came", "status", "found"),
    [
        pytest.param(Called(SERVER, NO_ERROR, ("done",)), WRONG, "it was called", id="called"),
        pytest.param(
            AskingError(Failure.MCP_ERROR, "Unknown tool: x (-32602)"),
            FINE,
            "refused",
            id="refused as unknown",
        ),
        pytest.param(AskingError(Failure.MCP_ERROR, "no"), WRONG, "no", id="refused otherwise"),
    ],
)
def test_a_tool_that_nobody_listed_is_judged(came: Called | AskingError, status: Status, found: str) -> None:
    finding = finding_of_unlisted_tool("docs", "x", came)

    assert finding.status is status
    assert found in finding.found


READING = Tool("search", read_only=True)


@pytest.mark.parametrize(
    ("route", "tools", "call"),
    [
        pytest.param(LISTED, [READING], Call("search", {}), id="a tool that only reads"),
        pytest.param(EVERYTHING, [READING], Call("search", {}), id="where everything is allowed"),
        pytest.param(LISTED, [Tool("search")], None, id="a tool that does not say so"),
        pytest.param(
            LISTED, [Tool("search", read_only=True, destructive=True)], None, id="one that says both"
        ),
        pytest.param(LISTED, [Tool("other", read_only=True)], None, id="one that nobody listed"),
        pytest.param(
            LISTED,
            [Tool("search", read_only=True, input_schema={"required": ["query"]})],
            None,
            id="one that needs arguments",
        ),
    ],
)
def test_only_what_says_that_it_is_harmless_is_called(
    route: Route, tools: list[Tool], call: Call | None
) -> None:
    assert harmless_call(route, tools) == call


@pytest.mark.parametrize(
    ("route", "tools", "expected"),
    [
        pytest.param(
            EVERYTHING,
            [READING],
            [(WARNING, "every one is allowed: search")],
            id="where everything is allowed",
        ),
        pytest.param(
            route(tools={"search": {"scopes": ["docs:write"]}}),
            [Tool("search", destructive=True)],
            [(FINE, "the 1 tool that it lists exist"), (FINE, "search")],
            id="a destructive tool that needs a scope of its own",
        ),
        pytest.param(
            LISTED,
            [READING, Tool("browse", read_only=True)],
            [(FINE, "the 1 tool that it lists exist"), (FINE, "browse (reads only); the gate refuses them")],
            id="a tool that appeared and reads only",
        ),
        pytest.param(route(), [], [], id="nothing listed and nothing there"),
    ],
)
def test_the_allowlist_is_compared(
    route: Route, tools: list[Tool], expected: list[tuple[Status, str]]
) -> None:
    findings = list(findings_of_tools("docs", route, tools))

    assert [(each.status, each.found) for each in findings] == expected


@pytest.mark.parametrize(
    ("failure", "advice"),
    [
        pytest.param(AskingError(Failure.TOO_MUCH, "too much"), "limits.answer_bytes", id="too much"),
        pytest.param(AskingError(Failure.MCP_ERROR, "no"), "refused to list its tools", id="an error of MCP"),
        pytest.param(
            AskingError(Failure.NOT_ALLOWED, "IP validation failed"), "addresses above", id="not allowed"
        ),
        pytest.param(
            AskingError(Failure.UNREACHABLE, "TLS: the certificate is not accepted"),
            "ca_file",
            id="a certificate",
        ),
        pytest.param(AskingError(Failure.UNREACHABLE, "no route to host"), "may connect there", id="no way"),
    ],
)
def test_what_kept_a_server_from_answering_is_advised_about(failure: AskingError, advice: str) -> None:
    finding = finding_of_upstream(AskedUpstream("docs", "http://10.0.0.1:9000/mcp", failure))

    assert advice in finding.advice


def test_a_server_with_one_tool_and_a_name_is_told() -> None:
    named = Listing(Server("legacy", "2025-11-25", "wiki", "1.0"), (READING,))

    finding = finding_of_upstream(AskedUpstream("docs", "http://10.0.0.1:9000/mcp", named))

    assert finding.found == "wiki 1.0 speaks MCP 2025-11-25 and lists 1 tool"


def test_an_application_without_mcp_is_mounted_or_not() -> None:
    assert finding_of_mount("desk", "a:b", "").status is FINE
    assert finding_of_mount("desk", "a:b", "has no function b").status is WRONG


def files(server: File, key: File, *authorities: File) -> Iterable[Finding]:
    return findings_of_files(
        CertificateFiles(server, key, authorities), ["docs.example.com"], datetime.now(UTC)
    )


def test_a_key_that_may_not_be_read_is_said_in_the_words_of_the_guide() -> None:
    authority = Authority("CA")
    credential = authority.issue_for_server("docs.example.com")

    findings = list(
        files(
            File("/data/tls.crt", credential.pem.encode()),
            File("/data/tls.key", failure="permission denied"),
            File("/data/ca.crt", authority.pem.encode()),
        )
    )

    (wrong,) = [each for each in findings if each.status is WRONG]
    assert wrong.found == "open /data/tls.key: permission denied"
    assert "65532" in wrong.advice
    assert [each.found for each in findings if each.status is FINE][-1] == "fits every route"


def test_files_that_are_not_there_are_said_once_each() -> None:
    missing = [File(name, failure="no such file or directory") for name in ("tls.crt", "tls.key", "ca.crt")]

    findings = list(files(*missing))

    assert [each.tried for each in findings] == ["tls.crt", "tls.key", "ca.crt"]
    assert {each.status for each in findings} == {WRONG}


def test_a_ca_that_is_none_is_told_by_each_rule() -> None:
    leaf = Authority("CA").issue_for_server("docs.example.com").pem.encode()

    findings = list(files(File("tls.crt", leaf), File("tls.key", leaf), File("ca.crt", leaf)))

    assert any(each.tried == "ca.crt" and "not-an-authority" in each.found for each in findings)


@pytest.mark.parametrize(
    ("listen_addr", "tls", "transport", "gate", "spoken"),
    [
        pytest.param(":8080", None, None, "127.0.0.1:8080", "http", id="every address"),
        pytest.param("0.0.0.0:8080", None, "http", "127.0.0.1:8080", "http", id="every address of version 4"),
        pytest.param("[::]:8080", None, None, "[::1]:8080", "http", id="every address of version 6"),
        pytest.param("10.0.0.1:80", True, None, "10.0.0.1:80", "tunnel", id="one address, and whichever TLS"),
        pytest.param("unix:/run/gate.sock", True, "tls", "unix:/run/gate.sock", "tls", id="a Unix socket"),
    ],
)
def test_the_gate_is_looked_for_where_it_listens(
    listen_addr: str,
    tls: bool | None,  # noqa: FBT001
    transport: str | None,
    gate: str,
    spoken: str,
) -> None:
    settings: dict[str, Any] = {"listen_addr": listen_addr}
    if tls:
        settings["tls"] = {"cert_file": "tls.crt", "key_file": "tls.key"}
    if transport:
        settings["transport"] = transport
    if listen_addr.startswith("unix:"):
        clients = {
            "allowed_ips": ["10.0.0.0/8"],
            "address_from": "cf-connecting-ip",
            "trust_unix_socket": True,
        }
        settings["clients"] = clients
    there = policy(**settings)

    assert str(gate_address(there)) == gate
    assert transport_of(there) == spoken


@pytest.mark.parametrize(
    ("source", "address", "headers"),
    [
        pytest.param("peer", "10.0.0.1", {}, id="no header"),
        pytest.param("cf-connecting-ip", None, {}, id="nobody named"),
        pytest.param(
            "cf-connecting-ip", "10.0.0.1", {"cf-connecting-ip": "10.0.0.1"}, id="Cloudflare's header"
        ),
        pytest.param("x-forwarded-for", "fd00::1", {"x-forwarded-for": "fd00::1"}, id="X-Forwarded-For"),
        pytest.param("forwarded", "10.0.0.1", {"forwarded": "for=10.0.0.1"}, id="Forwarded"),
        pytest.param("forwarded", "fd00::1", {"forwarded": 'for="[fd00::1]"'}, id="Forwarded of version 6"),
    ],
)
def test_a_client_is_told_as_a_connector_would(
    source: str, address: str | None, headers: Mapping[str, str]
) -> None:
    trusted = {} if source == "peer" else {"trusted_proxies": ["127.0.0.1"]}
    clients = {"allowed_ips": ["10.0.0.0/8", "fd00::/8"], "address_from": source, **trusted}

    assert headers_of_client(policy(clients=clients), address) == headers


def test_every_file_of_a_secret_is_looked_at(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("secret")
    file.chmod(0o640)
    client = {"client_id": "gate", "client_secret_file": str(file)}
    tls = {"ca_file": "ca", "cert_file": "cert", "key_file": str(file)}
    upstream = {"url": "https://10.0.0.1:9443", "tls": tls}
    exchange = {"token_exchange": {"token_endpoint": "https://login.example.com/token", **client}}
    own = {"client_credentials": {"token_endpoint": "https://login.example.com/token", **client}}
    there = policy(
        oauth={"issuers": [{"issuer": ISSUER, "token_formats": ["opaque"], "introspection": client}]},
        upstream={"tls": tls},
        sealing_keys=[str(file)],
        routes={
            "a.example.com": {"upstream": upstream, "tools": ["a"], "credentials": exchange},
            "b.example.com": {"upstream": upstream, "tools": ["b"], "credentials": own},
            "c.example.com": {
                "upstream": upstream,
                "tools": ["c"],
                "credentials": {"bearer_file": str(file)},
            },
        },
    )

    found = secret_files(there)

    assert {each.mode for each in found} == {0o640}
    assert len(found) == 9
    assert mode_of(tmp_path / "nowhere") is None


@pytest.mark.parametrize(
    ("error", "said"),
    [
        pytest.param(socket.gaierror(socket.EAI_NONAME, "x"), "no such name", id="no such name"),
        pytest.param(socket.gaierror(socket.EAI_FAIL, "it failed"), "it failed", id="another failed lookup"),
        pytest.param(ConnectionResetError(), "the connection has ended", id="an end without a word"),
        pytest.param(OSError("so it is"), "so it is", id="a sentence"),
    ],
)
def test_why_there_is_no_connection_is_said(error: OSError, said: str) -> None:
    assert said_of(error) == said


def test_a_ca_that_is_not_there_cannot_be_used(tmp_path: Path) -> None:
    assert authorities_failure(tmp_path / "ca.crt") == "no such file or directory"


def test_the_whole_takes_twelve_times_as_long_as_a_check() -> None:
    assert Options(Path("unused")).seconds_in_all == 60
    assert counted([Finding(Layer.CALL, FINE, "", "")]) == {FINE: 1, WRONG: 0, WARNING: 0, Status.SKIPPED: 0}


@pytest.mark.parametrize(
    ("mode", "found"),
    [
        pytest.param(None, [], id="a file that is not there"),
        pytest.param(0o600, [], id="its owner's alone"),
        pytest.param(0o440, [], id="its group's too"),
        pytest.param(0o620, ["its group may replace it, mode 0620"], id="replaced by its group"),
        pytest.param(
            0o602, ["everybody on this machine may replace it, mode 0602"], id="replaced by everybody"
        ),
        pytest.param(0o644, ["everybody on this machine may read it, mode 0644"], id="read by everybody"),
    ],
)
def test_who_may_do_what_with_a_secret_is_said(mode: int | None, found: list[str]) -> None:
    secrets = [SecretFile("sealing_keys[0]", "sealing.key", mode)]

    findings = findings_of_secrets(Findings(Layer.CONFIGURATION), secrets)

    assert [each.found for each in findings] == found
