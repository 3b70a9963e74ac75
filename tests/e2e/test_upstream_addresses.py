"""Where the whole gate connects to: every recorded attack, against sockets that count who comes."""

import asyncio
import json
import threading
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import orjson
import pytest

from tests.support.audit import Records
from tests.support.raw import HOST, PARSERS, SAFE, McpApp, Outcome, Parser, RawGate, Settling, call_of
from tests.support.resolving import Answer, InTurn, Listening, Names, listening, listening_at
from tests.support.servers import serve
from tests.support.tokens import ISSUER, Token, jwks
from tunnelgate import ConfigurationError, Policy, Reason
from tunnelgate.refusal import ANSWERS
from tunnelgate.upstream.dialling import Resolve, resolve_by_system
from tunnelgate.upstream.opening import open_fetch
from tunnelgate_app.gateway import create_gateway

CORPUS = Path(__file__).parents[1] / "corpus" / "ip-attacks.jsonl"
UPSTREAM = "mcp.internal"
PROXIES = ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")
DONE = orjson.dumps({"jsonrpc": "2.0", "id": 1, "result": {"content": [{"type": "text", "text": "done"}]}})


class Server(ThreadingHTTPServer):
    """Answers everything in the same way on a connection that then ends, and counts who comes."""

    daemon_threads = True

    def __init__(
        self,
        own: Listening,
        beside: Sequence[Listening],
        status: int,
        headers: Mapping[str, str],
        body: bytes,
    ) -> None:
        self.connections = 0
        self.port = own.port
        self.beside = beside
        self.status, self.headers, self.body = status, headers, body
        super().__init__((own.address, own.port), _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = own.listener

    def process_request(self, request: Any, client_address: Any) -> None:
        self.connections += 1
        super().process_request(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", "0")))
        self.do_GET()

    def do_GET(self) -> None:
        server = cast("Server", self.server)
        self.send_response(server.status)
        self.send_header("Content-Length", str(len(server.body)))
        self.send_header("Connection", "close")
        for name, value in server.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(server.body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name that it has
        """Say nothing."""


JSON = {"Content-Type": "application/json"}


@contextmanager
def server(
    address: str = "127.0.0.1",
    status: int = 200,
    headers: Mapping[str, str] = JSON,
    body: bytes = DONE,
    *,
    beside: Sequence[str] = (),
) -> Generator[Server]:
    """Serve on ``address`` until the block ends, and listen on the same port of other addresses."""
    with (
        listening_at(address, *beside) as (own, *others),
        Server(own, others, status, headers, body) as serving,
    ):
        thread = threading.Thread(target=serving.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield serving
        finally:
            serving.shutdown()
            thread.join(10)
            assert not thread.is_alive()


def policy(
    folder: Path,
    url: str,
    upstream: Mapping[str, Any],
    oauth: Mapping[str, Any] | None = None,
    connect_timeout: float = 5,
) -> Policy:
    keys = folder / "jwks.json"
    keys.write_bytes(jwks("ES256"))
    route = {
        "upstream": {"url": url, "connect_timeout": connect_timeout, "max_failures": 100},
        "tools": [SAFE],
    }
    return Policy.from_mapping(
        {
            "clients": {"allowed_ips": ["127.0.0.0/8"]},
            "upstream": upstream,
            "oauth": oauth or {"issuers": [{"issuer": ISSUER, "jwks_file": str(keys)}]},
            "routes": {HOST: route},
        }
    )


@contextmanager
def gate_to(
    url: str,
    resolve: Resolve,
    upstream: Mapping[str, Any],
    *,
    oauth: Mapping[str, Any] | None = None,
    parser: Parser = "strict",
    connect_timeout: float = 5,
) -> Generator[RawGate]:
    """Serve a whole gateway whose route leads to ``url``."""
    records = Records()
    with TemporaryDirectory() as folder:
        written = policy(Path(folder), url, upstream, oauth, connect_timeout)
        made = create_gateway(written, audit=records, resolve=resolve)
        settling = Settling(made)
        with serve(settling, parser) as port:
            yield RawGate(port, parser, McpApp(), records, settling)


def check_done(outcome: Outcome) -> None:
    assert (outcome.statuses, outcome.answer.body) == ([200], DONE)


def check_failed(outcome: Outcome, reason: Reason) -> None:
    """Check that the answer says that there is no way to the server, and not why."""
    expected = ANSWERS[reason]
    error = outcome.answer.json()["error"]
    assert (outcome.statuses, error["code"], error["message"]) == (
        [expected.status],
        expected.code,
        expected.message,
    )
    assert error["data"] == {"requestId": outcome.answer.header("x-request-id")}
    assert [record["request_id"] for record in outcome.records] == [outcome.answer.header("x-request-id")]


HERE = {"allowed_ips": ["127.0.0.1"]}


def ask_as(gate: RawGate, issuer: str) -> Outcome:
    """Make the call with a token of this issuer."""
    token = Token(claims={"iss": issuer, "aud": f"https://{HOST}/mcp"}).mint()
    return RawGate(gate.port, gate.parser, gate.app, gate.records, gate.settling, tokens={HOST: token}).ask(
        call_of()
    )


# --- the recorded attacks -------------------------------------------------------------------------

VECTORS = {
    vector["id"]: vector
    for vector in map(json.loads, CORPUS.read_text("utf-8").splitlines())
    if vector["kind"] == "upstream"
}
# Refused before there is a gate: a name that no hostname is, a user, and a port of something else.
BY_CONFIGURATION = ("I128", "I138", "I147")
# Addresses as they are written in one way only are judged before there is a gate.
LITERALS = (
    *("I105", "I106", "I107", "I108", "I110", "I111", "I113", "I116", "I117", "I118", "I120"),
    *("I121", "I122", "I132", "I133", "I135"),
)
# What these are about has a test of its own below.
SLOW, REDIRECT, NAMED_URL, PROXY = "I143", "I136", "I137", "I140"
ELSEWHERE = (*BY_CONFIGURATION, *LITERALS, SLOW, REDIRECT, NAMED_URL, PROXY)
BY_ADDRESS = [each for each in VECTORS if each not in ELSEWHERE]


def named(vector: str) -> str:
    return f"{vector} {VECTORS[vector]['description']}"


def nearby(text: str) -> str:
    """Return an address or a network of 10.0.0.0/8 as it is on this machine, where one can listen."""
    return f"127.{text.removeprefix('10.')}" if text.startswith("10.") else text


def host_of(url: str) -> str:
    """Return the host that a URL names, as it is written."""
    return url.split("/")[2].removesuffix(":8000")


@pytest.mark.parametrize("parser", PARSERS)
@pytest.mark.parametrize("vector", BY_ADDRESS, ids=named)
def test_the_gate_connects_where_the_corpus_says(vector: str, parser: Parser) -> None:
    given = VECTORS[vector]["input"]
    host = host_of(given["url"])
    answers = [nearby(each) for each in given.get("resolves", ())]
    allowed = [nearby(each) for each in given["allow"]]
    resolve = Names({host: answers}) if "resolves" in given else resolve_by_system
    upstream = {"allowed_ips": allowed} if allowed else {}
    with server(answers[0] if answers else "127.0.0.1", beside=["::1"]) as there:
        with gate_to(f"http://{host}:{there.port}", resolve, upstream, parser=parser) as gate:
            outcome = gate.ask(call_of())

        assert [each.connections for each in there.beside] == [0]
        if VECTORS[vector]["expected"] == "allow":
            check_done(outcome)
            assert there.connections == 1
        else:
            is_empty = given.get("resolves") == []
            check_failed(outcome, Reason.UPSTREAM_UNREACHABLE if is_empty else Reason.UPSTREAM_NOT_ALLOWED)
            assert there.connections == 0


@pytest.mark.parametrize("vector", BY_CONFIGURATION, ids=named)
def test_some_upstreams_are_faults_of_the_configuration(vector: str, tmp_path: Path) -> None:
    given = VECTORS[vector]["input"]
    host = host_of(given["url"])
    url = f"http://{host}" if vector == "I147" else f"http://{host}:8000"

    with pytest.raises(ConfigurationError) as caught:
        policy(tmp_path, url, {"allowed_ips": given["allow"] or ["10.0.0.0/8"]})

    assert [fault.path for fault in caught.value.faults] == [f'routes."{HOST}".upstream.url']


@pytest.mark.parametrize("vector", LITERALS, ids=named)
def test_an_address_that_may_not_be_connected_to_is_a_fault_of_the_configuration(
    vector: str, tmp_path: Path
) -> None:
    given = VECTORS[vector]["input"]

    with pytest.raises(ConfigurationError, match="may not be connected to") as caught:
        policy(
            tmp_path,
            f"http://{host_of(given['url'])}:8000",
            {"allowed_ips": given["allow"] or ["10.0.0.0/8"]},
        )

    assert [fault.path for fault in caught.value.faults] == [f'routes."{HOST}".upstream']


@pytest.mark.parametrize("allowed", [[], ["0.0.0.0/0"], ["::ffff:10.0.0.0/104"], ["10.0.0.1/8"]])
def test_networks_that_cannot_be_meant_are_faults_of_the_configuration(
    allowed: list[str], tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError, match=r"upstream\.allowed_ips"):
        policy(tmp_path, f"http://{UPSTREAM}:8000", {"allowed_ips": allowed})


async def never_answer(host: str, port: int) -> Sequence[str]:
    await asyncio.Event().wait()
    raise AssertionError


async def be_late(host: str, port: int) -> Sequence[str]:
    raise TimeoutError


@pytest.mark.parametrize(
    ("resolve", "reason"),
    [
        pytest.param(never_answer, Reason.UPSTREAM_TIMEOUT, id=named(SLOW)),
        pytest.param(be_late, Reason.UPSTREAM_UNREACHABLE, id="a lookup that gives up"),
    ],
)
def test_a_lookup_that_does_not_end_is_waited_for_no_longer_than_for_a_connection(
    resolve: Resolve, reason: Reason
) -> None:
    with server() as there:
        url = f"http://{UPSTREAM}:{there.port}"
        with gate_to(url, resolve, HERE, connect_timeout=0.1) as gate:
            check_failed(gate.ask(call_of()), reason)

        assert there.connections == 0


def test_there_is_a_test_for_each_recorded_attack() -> None:
    assert len(BY_ADDRESS) + len(BY_CONFIGURATION) + len(LITERALS) + 4 == len(VECTORS) == 32


# --- names ----------------------------------------------------------------------------------------


def test_a_name_that_changes_its_address_is_judged_for_each_connection() -> None:
    names = Names({UPSTREAM: InTurn(["127.0.0.1"], ["127.9.9.9"], ["127.0.0.1", "127.9.9.9"], ["127.0.0.1"])})
    with server(beside=["127.9.9.9"]) as there:
        with gate_to(f"http://{UPSTREAM}:{there.port}", names, HERE) as gate:
            outcomes = [gate.ask(call_of()) for _ in range(4)]

        check_done(outcomes[0])
        check_failed(outcomes[1], Reason.UPSTREAM_NOT_ALLOWED)
        check_failed(outcomes[2], Reason.UPSTREAM_NOT_ALLOWED)
        check_done(outcomes[3])
        assert (there.connections, names.asked) == (2, [UPSTREAM] * 4)
        assert [each.connections for each in there.beside] == [0]


@pytest.mark.parametrize("position", [0, 1, 2])
def test_one_bad_address_of_a_name_refuses_it(position: int) -> None:
    answer = ["127.0.0.1", "127.0.0.1"]
    answer.insert(position, "169.254.169.254")
    with server() as there:
        with gate_to(f"http://{UPSTREAM}:{there.port}", Names({UPSTREAM: answer}), HERE) as gate:
            check_failed(gate.ask(call_of()), Reason.UPSTREAM_NOT_ALLOWED)

        assert there.connections == 0


def test_disabling_the_validation_leaves_what_needs_a_word() -> None:
    upstream = {"disable_ip_validation": True}
    answers: dict[str, Answer] = {"here": ["127.0.0.1"], "metadata": ["127.0.0.1", "169.254.169.254"]}
    answers |= {"wrapped": ["127.0.0.1", "64:ff9b::7f00:1"], "unspecified": ["127.0.0.1", "0.0.0.0"]}
    with server() as there:
        for name in answers:
            with gate_to(f"http://{name}:{there.port}", Names(answers), upstream) as gate:
                outcome = gate.ask(call_of())
            if name == "here":
                check_done(outcome)
            else:
                check_failed(outcome, Reason.UPSTREAM_NOT_ALLOWED)

        assert there.connections == 1


# --- what an upstream says ------------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("host", ["127.0.0.2", "metadata.internal"])
def test_a_redirect_is_never_followed(status: int, host: str) -> None:
    assert VECTORS[REDIRECT]["expected"] == "deny"
    names = Names({UPSTREAM: ["127.0.0.1"], "metadata.internal": ["127.0.0.2"]})
    upstream = {"allowed_ips": ["127.0.0.0/8"]}
    with listening("127.0.0.2") as elsewhere:
        headers = {**JSON, "Location": f"http://{host}:{elsewhere.port}/latest/meta-data/"}
        with server("127.0.0.1", status, headers) as there:
            with gate_to(f"http://{UPSTREAM}:{there.port}", names, upstream) as gate:
                outcome = gate.ask(call_of())

            assert (there.connections, elsewhere.connections, names.asked) == (1, 0, [UPSTREAM])
        assert outcome.answer.status in (status, 502)


def test_a_url_that_an_upstream_names_is_never_fetched() -> None:
    assert VECTORS[NAMED_URL]["expected"] == "deny"
    names = Names({UPSTREAM: ["127.0.0.1"]})
    upstream = {"allowed_ips": ["127.0.0.0/8"]}
    with listening("127.0.0.2") as elsewhere:
        url = f"http://127.0.0.2:{elsewhere.port}/.well-known/oauth-protected-resource"
        headers = {
            **JSON,
            "WWW-Authenticate": f'Bearer resource_metadata="{url}"',
            "Link": f'<{url}>; rel="x"',
        }
        with server("127.0.0.1", 401, headers, b'{"error":"invalid_token"}') as there:
            with gate_to(f"http://{UPSTREAM}:{there.port}", names, upstream) as gate:
                gate.ask(call_of())
                gate.ask(call_of())

            assert (there.connections, elsewhere.connections) == (2, 0)


def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    assert VECTORS[PROXY]["expected"] == "allow"
    names = Names({UPSTREAM: ["127.0.0.1"], "login.internal": ["127.0.0.1"]})
    with listening() as proxy, server() as there, server(body=jwks("ES256")) as issuer:
        for name in PROXIES:
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        keys = f"http://login.internal:{issuer.port}/jwks"
        oauth = {"issuers": [{"issuer": ISSUER, "jwks_uri": keys}], "allowed_ips": ["127.0.0.1"]}
        with gate_to(f"http://{UPSTREAM}:{there.port}", names, HERE, oauth=oauth) as gate:
            check_done(gate.ask(call_of()))

        assert (there.connections, issuer.connections, proxy.connections) == (1, 1, 0)


# --- issuers --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("allowed", "answer"),
    [
        pytest.param(None, ["127.0.0.1"], id="this machine where nothing is listed"),
        pytest.param(None, ["::ffff:127.0.0.1"], id="the same in IPv6 form"),
        pytest.param(["127.0.0.2"], ["127.0.0.1"], id="an address that is not listed"),
        pytest.param(["127.0.0.1"], ["127.0.0.1", "169.254.169.254"], id="a metadata service behind it"),
        pytest.param(["127.0.0.1"], ["127.0.0.1", "64:ff9b::7f00:1"], id="one that carries it behind it"),
    ],
)
def test_an_issuer_is_not_asked_where_it_may_not_be(allowed: list[str] | None, answer: list[str]) -> None:
    names = Names({"login.internal": answer, UPSTREAM: ["127.0.0.1"]})
    with server() as there, server(body=jwks("ES256")) as issuer:
        keys = f"http://login.internal:{issuer.port}/jwks"
        oauth: dict[str, Any] = {"issuers": [{"issuer": ISSUER, "jwks_uri": keys}]}
        if allowed is not None:
            oauth["allowed_ips"] = allowed
        with gate_to(f"http://{UPSTREAM}:{there.port}", names, HERE, oauth=oauth) as gate:
            outcome = gate.ask(call_of())

        assert (outcome.statuses, outcome.reasons) == ([503], [Reason.KEYS_UNAVAILABLE])
        assert (issuer.connections, there.connections) == (0, 0)


@pytest.mark.parametrize("host", ["127.0.0.2", "internal.example"])
def test_what_an_issuer_names_is_asked_only_where_issuers_may_be(host: str) -> None:
    names = Names(
        {"login.internal": ["127.0.0.1"], "internal.example": ["127.0.0.2"], UPSTREAM: ["127.0.0.1"]}
    )
    with server() as there, listening("127.0.0.2") as elsewhere, server() as issuer:
        own = f"http://login.internal:{issuer.port}"
        said = {"issuer": own, "jwks_uri": f"http://{host}:{elsewhere.port}/jwks"}
        issuer.body = orjson.dumps(said)
        oauth = {"issuers": [{"issuer": own}], "allowed_ips": ["127.0.0.1"]}
        with gate_to(f"http://{UPSTREAM}:{there.port}", names, HERE, oauth=oauth) as gate:
            outcome = ask_as(gate, own)

        assert (outcome.statuses, outcome.reasons) == ([503], [Reason.KEYS_UNAVAILABLE])
        assert issuer.connections > 0
        assert (elsewhere.connections, there.connections) == (0, 0)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_of_an_issuer_is_never_followed(status: int) -> None:
    names = Names({"login.internal": ["127.0.0.1"], UPSTREAM: ["127.0.0.1"]})
    with server() as there, listening("127.0.0.2") as elsewhere:
        headers = {**JSON, "Location": f"http://127.0.0.2:{elsewhere.port}/jwks"}
        with server("127.0.0.1", status, headers, jwks("ES256")) as issuer:
            keys = f"http://login.internal:{issuer.port}/jwks"
            oauth = {"issuers": [{"issuer": ISSUER, "jwks_uri": keys}], "allowed_ips": ["127.0.0.0/8"]}
            with gate_to(f"http://{UPSTREAM}:{there.port}", names, HERE, oauth=oauth) as gate:
                outcome = gate.ask(call_of())

            assert (outcome.statuses, outcome.reasons) == ([503], [Reason.KEYS_UNAVAILABLE])
            assert (issuer.connections, elsewhere.connections, there.connections) == (1, 0, 0)


@pytest.mark.anyio
async def test_what_is_meant_of_upstreams_is_not_meant_of_issuers(tmp_path: Path) -> None:
    # Without a zone nobody can connect to it, so that nothing leaves this machine in any case.
    upstream = {"allowed_ips": ["fe80::/10"], "allow_metadata": ["fe80::/10"]}
    oauth = {"issuers": [{"issuer": ISSUER, "jwks_uri": "https://login.internal/jwks"}]}
    names = Names({"login.internal": ["fe80::1"]})
    fetch = open_fetch(policy(tmp_path, f"http://{UPSTREAM}:8000", upstream, oauth), resolve=names)

    with pytest.raises(OSError, match="link-local, and not named as meant"):
        await fetch("https://login.internal/jwks")
