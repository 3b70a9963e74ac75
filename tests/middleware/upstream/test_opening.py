import socket
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.support.asgi import http_scope
from tests.support.certificates import Authority
from tests.support.proxied import LOOPS, Client, WaitForTheEnd, nothing_left
from tests.support.resolving import Names
from tests.support.scripted_upstream import (
    Close,
    ReadRequest,
    ScriptedUpstream,
    Send,
    answering,
)
from tunnelgate import ConfigurationError, Policy, Reason
from tunnelgate.errors import UpstreamFailed
from tunnelgate.exchange import Load, with_load
from tunnelgate.upstream.opening import open_fetch, open_upstream
from tunnelgate.upstream.proxy import UpstreamProxy

HOST = "wiki.internal"
JSON = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"
STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
LOOPBACK = {"allowed_ips": ["127.0.0.1"]}
AUTHORITY, ANOTHER = Authority("Upstreams"), Authority("Others")


@pytest.fixture(params=LOOPS)
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return request.param


def _policy(upstream: Mapping[str, Any] | str, gate: Mapping[str, Any] = LOOPBACK, **more: Any) -> Policy:
    return Policy.from_mapping(
        {
            "clients": {"allowed_ips": ["127.0.0.1"]},
            "oauth": {"issuers": [{"issuer": "https://login.example.com/", "jwks_file": "unused.json"}]},
            "upstream": gate,
            "routes": {"docs.example.com": {"tools": ["search"], "upstream": upstream}},
            **more,
        }
    )


def _open(policy: Policy, addresses: Mapping[str, Any] | None = None) -> UpstreamProxy:
    names = Names({HOST: ["127.0.0.1"], **(addresses or {})})
    return open_upstream(policy, "docs.example.com", resolve=names)


async def _ask(
    proxy: UpstreamProxy,
    method: str = "POST",
    body: bytes = b"{}",
    accept: str = "*/*",
    load: Load | None = None,
) -> Client:
    client = Client(body)
    headers = [("host", "docs.example.com"), ("cookie", "a=b"), ("accept", accept)]
    scope = http_scope(method, headers=headers)
    await proxy(scope if load is None else with_load(scope, load), client.receive, client.send)
    return client


async def _failure(proxy: UpstreamProxy, **asked: Any) -> UpstreamFailed:
    with pytest.raises(UpstreamFailed) as failed:
        await _ask(proxy, **asked)
    return failed.value


# Where it is


@pytest.mark.anyio
async def test_a_request_goes_where_the_route_says() -> None:
    async with ScriptedUpstream(answering(JSON)) as upstream:
        client = await _ask(_open(_policy(f"http://{HOST}:{upstream.port}")))

        assert client.reply.body == b"{}"
        (request,) = upstream.requests
    fields = dict(request.headers)
    assert fields[b"host"] == b"wiki.internal:%d" % upstream.port
    assert fields[b"x-forwarded-proto"] == b"https"
    assert b"cookie" not in fields


def test_a_route_without_an_upstream_has_none_to_open() -> None:
    policy = _policy("http://wiki:9000", routes={"docs.example.com": {"tools": ["search"], "mount": "x:y"}})

    with pytest.raises(ValueError, match=r"the route docs\.example\.com has no upstream"):
        open_upstream(policy, "docs.example.com")


# Which addresses are dialled


ALLOWED = [
    pytest.param({"allowed_ips": ["127.0.0.1"]}, None, ["127.0.0.1"], True, id="one that the gate allows"),
    pytest.param({"allowed_ips": ["10.0.0.0/8"]}, None, ["127.0.0.1"], False, id="one that it does not"),
    pytest.param({}, None, ["127.0.0.1"], False, id="loopback, where nothing is said"),
    pytest.param(LOOPBACK, None, ["127.0.0.1", "127.0.0.2"], False, id="two, of which it allows one"),
    pytest.param(
        {"allowed_ips": ["127.0.0.0/8"]}, ["127.0.0.1"], ["127.0.0.1"], True, id="one that the route allows"
    ),
    pytest.param(
        {"allowed_ips": ["127.0.0.0/8"]},
        ["127.0.0.2"],
        ["127.0.0.1"],
        False,
        id="one that the route does not",
    ),
    pytest.param(
        {"allowed_ips": ["127.0.0.1", "10.0.0.0/8"]},
        ["10.0.0.0/8"],
        ["127.0.0.1"],
        False,
        id="one that the gate allows and the route not",
    ),
    pytest.param({"disable_ip_validation": True}, None, ["127.0.0.1"], True, id="any"),
    pytest.param(
        {"disable_ip_validation": True}, ["127.0.0.2"], ["127.0.0.1"], False, id="any, but for the route"
    ),
    pytest.param(
        {"disable_ip_validation": True}, None, ["127.0.0.1", "169.254.169.254"], False, id="any but metadata"
    ),
    pytest.param(
        {"disable_ip_validation": True, "allow_metadata": ["169.254.169.254"]},
        None,
        ["127.0.0.1", "169.254.169.254"],
        True,
        id="metadata, which is meant",
    ),
    pytest.param(
        {"disable_ip_validation": True},
        None,
        ["127.0.0.1", "64:ff9b::7f00:1"],
        False,
        id="any but wrapped ones",
    ),
    pytest.param(
        {"disable_ip_validation": True, "allow_wrapped": ["64:ff9b::/96"]},
        None,
        ["127.0.0.1", "64:ff9b::7f00:1"],
        True,
        id="a wrapped one, which is meant",
    ),
    pytest.param(
        {"allowed_ips": ["0.0.0.0/0"], "allow_wide_networks": True},
        None,
        ["127.0.0.1"],
        True,
        id="a wide network",
    ),
]


@pytest.mark.parametrize(("gate", "route", "addresses", "is_dialled"), ALLOWED)
@pytest.mark.anyio
async def test_an_address_is_dialled_when_gate_and_route_allow_it(
    *, gate: Mapping[str, Any], route: list[str] | None, addresses: list[str], is_dialled: bool
) -> None:
    async with ScriptedUpstream(answering(JSON)) as upstream:
        narrowed = {} if route is None else {"allowed_ips": route}
        proxy = _open(_policy({"url": f"http://{HOST}:{upstream.port}", **narrowed}, gate), {HOST: addresses})
        if is_dialled:
            assert (await _ask(proxy)).reply.status == 200
        else:
            assert (await _failure(proxy)).reason is Reason.UPSTREAM_NOT_ALLOWED
        assert len(upstream.connections) == is_dialled


# How it is asked


@pytest.mark.anyio
async def test_host_cookies_and_scheme_are_as_the_policy_says() -> None:
    async with ScriptedUpstream(answering(JSON)) as upstream:
        route = {"url": f"http://127.0.0.1:{upstream.port}", "preserve_host": True, "forward_cookies": True}
        await _ask(_open(_policy(route, public_scheme="http")))

        fields = dict(upstream.requests[0].headers)
    assert (fields[b"host"], fields[b"cookie"], fields[b"x-forwarded-proto"]) == (
        b"docs.example.com",
        b"a=b",
        b"http",
    )


@pytest.mark.parametrize(("octets", "reason"), [(1024, None), (1025, Reason.BODY_TOO_LARGE)])
@pytest.mark.anyio
async def test_a_request_is_bounded_as_the_policy_says(octets: int, reason: Reason | None) -> None:
    async with ScriptedUpstream(answering(JSON)) as upstream:
        proxy = _open(_policy(f"http://127.0.0.1:{upstream.port}", limits={"body_bytes": 1024}))
        if reason is None:
            assert (await _ask(proxy, body=bytes(octets))).reply.status == 200
        else:
            assert (await _failure(proxy, body=bytes(octets))).reason is reason


@pytest.mark.parametrize(
    ("timeouts", "answer"),
    [
        pytest.param({"read_timeout": 0.05}, b"", id="read"),
        pytest.param({"idle_timeout": 0.05}, STREAM, id="idle"),
        pytest.param({"total_timeout": 0.05}, STREAM, id="total"),
    ],
)
@pytest.mark.anyio
async def test_an_answer_has_the_time_that_the_route_gives_it(
    timeouts: Mapping[str, float], answer: bytes
) -> None:
    async with ScriptedUpstream((ReadRequest(), Send(answer), WaitForTheEnd())) as upstream, nothing_left():
        proxy = _open(_policy({"url": f"http://127.0.0.1:{upstream.port}", **timeouts}))
        failure = await _failure(proxy)

    assert failure.reason is Reason.UPSTREAM_TIMEOUT
    assert failure.detail.endswith(" 0.05 seconds")


@pytest.mark.anyio
async def test_a_connection_has_the_time_that_the_route_gives_it(tmp_path: Path) -> None:
    authority = AUTHORITY.write(tmp_path, "authority")
    with socket.create_server(("127.0.0.1", 0)) as listener:  # whose kernel connects, and who says nothing
        route = {
            "url": f"https://127.0.0.1:{listener.getsockname()[1]}",
            "connect_timeout": 0.05,
            "tls": {"ca_file": str(authority)},
        }
        failure = await _failure(_open(_policy(route)))

    assert (failure.reason, failure.detail) == (
        Reason.UPSTREAM_TIMEOUT,
        "no connection within 0.05 seconds",
    )


@pytest.mark.parametrize(
    ("options", "asked", "what"),
    [
        pytest.param({"max_calls": 1}, {}, "1 calls are open", id="calls"),
        pytest.param(
            {"max_streams": 1},
            {"method": "GET", "accept": "text/event-stream", "body": b""},
            "1 streams",
            id="streams",
        ),
        pytest.param(
            {"max_calls": 1},
            {"load": Load.ASIDE},
            "1 notifications and responses are open",
            id="notifications",
        ),
        pytest.param(
            {"max_calls": 1},
            {"load": Load.PUBLIC},
            "1 requests without a token are open",
            id="requests without a token",
        ),
    ],
)
@pytest.mark.anyio
async def test_as_many_go_on_as_the_route_says(options: Mapping[str, int], asked: Any, what: str) -> None:
    class AskAgain:
        """Asks once more while the first answer is on its way."""

        def __init__(self) -> None:
            self.proxy: UpstreamProxy | None = None
            self.failure: UpstreamFailed | None = None

        async def play(self, connection: Any, /) -> None:
            assert self.proxy is not None
            self.failure = await _failure(self.proxy, **asked)

    again = AskAgain()
    async with ScriptedUpstream((ReadRequest(), again, Send(JSON), Close())) as upstream:
        again.proxy = _open(_policy({"url": f"http://127.0.0.1:{upstream.port}", **options}))
        assert (await _ask(again.proxy, **asked)).reply.status == 200

    assert again.failure is not None
    assert again.failure.reason is Reason.UPSTREAM_BUSY
    assert again.failure.detail.startswith(what)


@pytest.mark.anyio
async def test_an_upstream_that_fails_as_often_as_the_route_says_is_not_asked_for_so_long(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with ScriptedUpstream((ReadRequest(), Close())) as upstream:
        route = {"url": f"http://127.0.0.1:{upstream.port}", "max_failures": 2, "retry_after": 7}
        proxy = _open(_policy(route))
        failures = [await _failure(proxy) for _ in range(3)]

    assert [each.reason for each in failures] == [
        Reason.UPSTREAM_INTERRUPTED,
        Reason.UPSTREAM_INTERRUPTED,
        Reason.UPSTREAM_FAILING,
    ]
    assert 6 < (failures[-1].retry_after or 0) <= 7
    assert [
        each.getMessage()
        for each in caplog.records
        if "upstream docs.example.com is failing" in each.getMessage()
    ]


# TLS


@pytest.fixture
def server_tls(tmp_path: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*AUTHORITY.issue_for_server(HOST).write(tmp_path, "upstream"))
    return context


@pytest.mark.parametrize(
    ("gate", "route", "is_believed"),
    [
        pytest.param(AUTHORITY, None, True, id="whom the gate believes"),
        pytest.param(ANOTHER, None, False, id="whom the gate does not believe"),
        pytest.param(ANOTHER, AUTHORITY, True, id="whom the route believes"),
        pytest.param(AUTHORITY, ANOTHER, False, id="whom the gate believes and the route does not"),
        pytest.param(None, AUTHORITY, True, id="whom the route alone believes"),
    ],
)
@pytest.mark.anyio
async def test_the_word_of_the_route_stands_in_place_of_the_gates(
    *,
    gate: Authority | None,
    route: Authority | None,
    is_believed: bool,
    server_tls: ssl.SSLContext,
    tmp_path: Path,
) -> None:
    def tls(authority: Authority | None, name: str) -> dict[str, Any]:
        return {} if authority is None else {"tls": {"ca_file": str(authority.write(tmp_path, name))}}

    async with ScriptedUpstream(answering(JSON), tls=server_tls) as upstream:
        proxy = _open(
            _policy(
                {"url": f"https://{HOST}:{upstream.port}", **tls(route, "route")},
                {**LOOPBACK, **tls(gate, "gate")},
            )
        )
        if is_believed:
            assert (await _ask(proxy)).reply.status == 200
        else:
            failure = await _failure(proxy)
            assert failure.reason is Reason.UPSTREAM_UNREACHABLE
            assert "the certificate is not accepted" in failure.detail
        assert len(upstream.requests) == is_believed


@pytest.mark.anyio
async def test_an_upstream_that_demands_a_certificate_is_shown_the_one_of_the_route(
    server_tls: ssl.SSLContext, tmp_path: Path
) -> None:
    server_tls.load_verify_locations(cadata=ANOTHER.pem)
    server_tls.verify_mode = ssl.CERT_REQUIRED
    cert_file, key_file = ANOTHER.issue("the gate").write(tmp_path, "gate")
    tls = {
        "ca_file": str(AUTHORITY.write(tmp_path, "authority")),
        "cert_file": str(cert_file),
        "key_file": str(key_file),
    }
    async with ScriptedUpstream(answering(JSON), tls=server_tls) as upstream:
        route = {"url": f"https://{HOST}:{upstream.port}", "tls": tls}

        assert (await _ask(_open(_policy(route)))).reply.status == 200


@pytest.mark.parametrize(
    ("gate", "route", "path"),
    [
        pytest.param({"tls": {"ca_file": "/nowhere.pem"}}, {}, "upstream.tls.ca_file", id="the gate's"),
        pytest.param(
            {},
            {"tls": {"ca_file": "/nowhere.pem"}},
            'routes."docs.example.com".upstream.tls.ca_file',
            id="the route's",
        ),
    ],
)
def test_files_of_tls_that_cannot_be_used_are_named_by_their_place(
    gate: Mapping[str, Any], route: Mapping[str, Any], path: str
) -> None:
    with pytest.raises(ConfigurationError) as refused:
        _open(_policy({"url": f"https://{HOST}:9443", **route}, {**LOOPBACK, **gate}))

    (fault,) = refused.value.faults
    assert fault.path == path


def test_files_of_tls_are_not_looked_at_where_tls_is_not_spoken() -> None:
    policy = _policy("http://wiki.internal:9000", {**LOOPBACK, "tls": {"ca_file": "/nowhere.pem"}})

    assert _open(policy).health.state == "unknown"


# Issuers


@pytest.mark.parametrize(
    ("oauth", "gate", "addresses", "sentence"),
    [
        pytest.param({}, {}, ["127.0.0.1"], "is this machine itself", id="loopback, where nothing is said"),
        pytest.param(
            {}, LOOPBACK, ["127.0.0.1"], "is this machine itself", id="what upstreams may be is not asked"
        ),
        pytest.param(
            {"allowed_ips": ["127.0.0.1"]}, {}, ["127.0.0.1"], None, id="loopback, which is allowed"
        ),
        pytest.param(
            {"allowed_ips": ["10.0.0.0/8"]}, {}, ["127.0.0.1"], "not in oauth.allowed_ips", id="others"
        ),
        pytest.param(
            {"allowed_ips": ["127.0.0.1"]},
            {**LOOPBACK},
            ["127.0.0.1", "169.254.169.254"],
            "not named as meant",
            id="metadata",
        ),
    ],
)
@pytest.mark.anyio
async def test_issuers_are_asked_where_oauth_says(
    oauth: Mapping[str, Any], gate: Mapping[str, Any], addresses: list[str], sentence: str | None
) -> None:
    issuers = [{"issuer": "https://login.example.com/", "jwks_file": "unused.json"}]
    policy = _policy("http://wiki:9000", gate, oauth={"issuers": issuers, **oauth})
    async with ScriptedUpstream(answering(JSON)) as upstream:
        fetch = open_fetch(policy, resolve=Names({"login.internal": addresses}))
        url = f"http://login.internal:{upstream.port}/keys"
        if sentence is None:
            assert (await fetch(url)).body == b"{}"
        else:
            with pytest.raises(OSError, match=sentence):
                await fetch(url)
        assert len(upstream.connections) == (sentence is None)


@pytest.mark.anyio
async def test_a_gate_without_issuers_asks_everywhere_but_on_its_own_machine() -> None:
    policy = Policy.from_mapping(
        {
            "clients": {"allowed_ips": ["127.0.0.1"]},
            "routes": {"docs.example.com": {"upstream": "http://wiki:9000", "public_paths": ["/x"]}},
        }
    )
    fetch = open_fetch(policy, resolve=Names({"login.internal": ["127.0.0.1"]}))

    with pytest.raises(OSError, match="is this machine itself"):
        await fetch("http://login.internal:1234/keys")
