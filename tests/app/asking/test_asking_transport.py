"""The client of the commands reaches what the proxy reaches, and nothing else."""

import asyncio
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.support.certificates import Authority
from tests.support.processes import free_port
from tests.support.proxied import nothing_left, until
from tests.support.resolving import InTurn, Names, listening
from tests.support.scripted_upstream import (
    Close,
    ReadRequest,
    Reset,
    Script,
    ScriptedUpstream,
    Send,
    Wait,
    answering,
)
from tunnelgate import ConfigurationError, Policy, UpstreamFailed
from tunnelgate.tls_files import new_context
from tunnelgate.upstream.dialling import Resolve, resolve_by_system
from tunnelgate.verdict import Reason
from tunnelgate_app.asking.upstream import upstream_client

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
LOOPBACK: Any = {"allowed_ips": ["127.0.0.1"]}


def policy_to(url: str, upstream: Any = None, **route: Any) -> Policy:
    return Policy.from_mapping(
        {
            "tunnel_domain": "tunnel.example.com",
            "public_port": 8443,
            "upstream": LOOPBACK if upstream is None else upstream,
            "clients": {"allowed_ips": ["127.0.0.1"]},
            "routes": {"docs": {"upstream": {"url": url, **route}, "public_paths": ["/health"]}},
        }
    )


@asynccontextmanager
async def asked(
    *scripts: Script, resolve: Resolve = resolve_by_system, **route: Any
) -> AsyncGenerator[tuple[httpx2.AsyncClient, ScriptedUpstream]]:
    async with ScriptedUpstream(*scripts) as upstream:
        policy = policy_to(f"http://127.0.0.1:{upstream.port}", **route)
        async with upstream_client(policy, "docs", resolve=resolve) as http:
            yield http, upstream


@pytest.mark.anyio
async def test_a_request_arrives_whole_and_its_answer_comes_back() -> None:
    async with asked(answering(OK)) as (http, upstream):
        answer = await http.post("/mcp?a=b", content=b"body", headers={"x-other": "1"})
        await http.get("/health")

    posted, got = upstream.counts.requests
    assert (answer.status_code, answer.text) == (200, "ok")
    assert (posted.method, posted.target, posted.body) == ("POST", "/mcp?a=b", b"body")
    assert posted.header(b"host") == f"127.0.0.1:{upstream.port}".encode()
    assert posted.header(b"x-other") == b"1"
    assert posted.header(b"accept-encoding") == b"identity"
    assert posted.header(b"content-length") == b"4"
    assert got.header(b"content-length") is None
    assert posted.connection != got.connection


@pytest.mark.anyio
async def test_a_body_of_unknown_length_gets_its_length() -> None:
    async def parts() -> AsyncGenerator[bytes]:
        yield b"in "
        yield b"parts"

    async with asked(answering(OK)) as (http, upstream):
        await http.post("/mcp", content=parts())

    (request,) = upstream.counts.requests
    assert request.body == b"in parts"
    assert request.header(b"transfer-encoding") is None


@pytest.mark.anyio
async def test_a_server_that_wants_the_hostname_of_clients_gets_it() -> None:
    async with asked(answering(OK), preserve_host=True) as (http, upstream):
        await http.get("/mcp")

    assert upstream.counts.requests[0].header(b"host") == b"docs.tunnel.example.com:8443"


@pytest.mark.anyio
async def test_a_redirect_is_not_followed() -> None:
    moved = b"HTTP/1.1 307 Moved\r\nlocation: /other\r\ncontent-length: 0\r\n\r\n"
    async with asked(answering(moved)) as (http, upstream):
        answer = await http.get("/mcp")

    assert answer.status_code == 307
    assert [each.target for each in upstream.counts.requests] == ["/mcp"]


@pytest.mark.anyio
async def test_proxies_of_the_environment_are_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    with listening() as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        async with asked(answering(OK)) as (http, _):
            await http.get("/mcp")

        assert proxy.connections == 0


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("http://127.0.0.2:{port}/", id="another address"),
        pytest.param("http://localhost:{port}/", id="another name for it"),
        pytest.param("http://127.0.0.1/", id="another port"),
        pytest.param("https://127.0.0.1:{port}/", id="another scheme"),
    ],
)
@pytest.mark.anyio
async def test_what_is_not_the_upstream_is_not_asked(url: str) -> None:
    async with asked(answering(OK)) as (http, upstream):
        with pytest.raises(httpx2.UnsupportedProtocol, match="is not the upstream"):
            await http.get(url.format(port=upstream.port))

        assert upstream.counts.connections == []


@pytest.mark.anyio
async def test_an_address_that_is_not_allowed_is_not_dialled() -> None:
    with listening() as upstream:
        names = Names({"wiki.internal": ["127.0.0.1", "192.0.2.1"]})
        policy = policy_to(f"http://wiki.internal:{upstream.port}")
        async with upstream_client(policy, "docs", resolve=names) as http:
            with pytest.raises(httpx2.ConnectError, match=r"192\.0\.2\.1 is not in") as caught:
                await http.get("/mcp")

        assert upstream.connections == 0
    cause = caught.value.__cause__
    assert isinstance(cause, UpstreamFailed)
    assert cause.reason is Reason.UPSTREAM_NOT_ALLOWED


@pytest.mark.anyio
async def test_each_request_looks_the_name_up_again_and_is_judged_again() -> None:
    names = Names({"wiki.internal": InTurn(["127.0.0.1"], ["10.0.0.1"])})
    async with ScriptedUpstream(answering(OK)) as upstream:
        policy = policy_to(f"http://wiki.internal:{upstream.port}")
        async with upstream_client(policy, "docs", resolve=names) as http:
            await http.get("/mcp")
            with pytest.raises(httpx2.ConnectError, match=r"10\.0\.0\.1 is not in"):
                await http.get("/mcp")


@pytest.mark.anyio
async def test_the_networks_of_the_route_narrow_those_of_the_gate() -> None:
    policy = policy_to(
        "http://wiki.internal:9000", {"allowed_ips": ["127.0.0.0/8"]}, allowed_ips=["127.0.0.2"]
    )
    async with upstream_client(policy, "docs", resolve=Names({"wiki.internal": ["127.0.0.1"]})) as http:
        with pytest.raises(httpx2.ConnectError, match="is not in the allowed_ips of the route"):
            await http.get("/mcp")


@pytest.mark.anyio
async def test_a_server_that_is_not_there_is_a_failed_connection() -> None:
    async with upstream_client(policy_to(f"http://127.0.0.1:{free_port()}"), "docs") as http:
        with pytest.raises(httpx2.ConnectError, match="connection refused"):
            await http.get("/mcp")


@pytest.mark.anyio
async def test_a_lookup_that_takes_too_long_is_a_connection_that_does() -> None:
    async def never(host: str, port: int) -> list[str]:
        await asyncio.Event().wait()
        return []

    policy = policy_to("http://wiki.internal:9000", connect_timeout=0.05)
    async with upstream_client(policy, "docs", resolve=never) as http:
        with pytest.raises(httpx2.ConnectTimeout, match=r"no connection within 0\.05 seconds"):
            await http.get("/mcp")


@pytest.mark.parametrize(
    ("script", "kind", "sentence"),
    [
        pytest.param((ReadRequest(), Wait()), httpx2.ReadTimeout, "no answer within", id="silence"),
        pytest.param((ReadRequest(), Reset()), httpx2.ReadError, "reset", id="a connection that breaks off"),
        pytest.param((ReadRequest(), Close()), httpx2.ReadError, "closed", id="an end without an answer"),
        pytest.param(
            (ReadRequest(), Send(b"SSH-2.0-x\r\n\r\n")),
            httpx2.RemoteProtocolError,
            "no status line",
            id="what is no HTTP",
        ),
        pytest.param(
            (ReadRequest(), Send(OK[:-1]), Close()), httpx2.ReadError, "closed", id="half of the body"
        ),
        pytest.param(
            (ReadRequest(), Send(OK[:-1]), Wait()), httpx2.ReadTimeout, "nothing came for", id="a slow body"
        ),
        pytest.param(
            answering(OK.replace(b"\r\n\r\n", b"\r\ncontent-encoding: gzip\r\n\r\n")),
            httpx2.RemoteProtocolError,
            "an encoded answer",
            id="an encoded answer",
        ),
    ],
)
@pytest.mark.anyio
async def test_what_goes_wrong_is_said_and_leaves_nothing(
    script: Script, kind: type[httpx2.TransportError], sentence: str
) -> None:
    async with nothing_left(), asked(script) as (http, upstream):
        with pytest.raises(kind, match=sentence):
            await http.get("/mcp", timeout=0.1)
        await upstream.counts.connections[0].until_ended()


@pytest.mark.anyio
async def test_whoever_goes_away_before_the_answer_takes_the_connection_along() -> None:
    async with nothing_left(), asked((ReadRequest(), Wait())) as (http, upstream):
        asking = asyncio.create_task(http.get("/mcp", timeout=None))
        await until(lambda: bool(upstream.counts.requests))
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await upstream.counts.connections[0].until_ended()


@pytest.mark.anyio
async def test_whoever_has_read_enough_of_a_stream_takes_the_connection_along() -> None:
    begun = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: 1\n\n"
    async with nothing_left(), asked((ReadRequest(), Send(begun), Wait())) as (http, upstream):
        async with http.stream("GET", "/mcp") as answer:
            async for part in answer.aiter_bytes():
                assert part == b"data: 1\n\n"
                break
        await upstream.counts.connections[0].until_ended()


@pytest.mark.anyio
async def test_a_header_that_would_end_its_line_is_not_sent() -> None:
    async with asked(answering(OK)) as (http, upstream):
        with pytest.raises(httpx2.LocalProtocolError, match="would end its line"):
            await http.get("/mcp", headers={"x-other": "a\r\nx-more: b"})

        assert upstream.counts.connections == []


class TestTls:
    @asynccontextmanager
    async def secured(
        self, folder: Path, authority: Authority, name: str
    ) -> AsyncGenerator[ScriptedUpstream]:
        context = new_context(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*authority.issue_for_server(name).write(folder, "server"))
        async with ScriptedUpstream(answering(OK), tls=context) as upstream:
            yield upstream

    @pytest.mark.anyio
    async def test_a_server_of_the_named_authority_is_believed(self, tmp_path: Path) -> None:
        authority = Authority("internal")
        ca_file = authority.write(tmp_path, "ca")
        async with self.secured(tmp_path, authority, "wiki.internal") as upstream:
            policy = policy_to(
                f"https://wiki.internal:{upstream.port}", {**LOOPBACK, "tls": {"ca_file": str(ca_file)}}
            )
            names = Names({"wiki.internal": ["127.0.0.1"]})
            async with upstream_client(policy, "docs", resolve=names) as http:
                answer = await http.get("/mcp")

        assert answer.text == "ok"

    @pytest.mark.parametrize(
        ("issuer", "name"),
        [
            pytest.param("another", "wiki.internal", id="another authority"),
            pytest.param("internal", "other.internal", id="another name"),
        ],
    )
    @pytest.mark.anyio
    async def test_another_certificate_is_not(self, tmp_path: Path, issuer: str, name: str) -> None:
        authorities = {each: Authority(each) for each in ("internal", "another")}
        ca_file = authorities["internal"].write(tmp_path, "ca")
        async with self.secured(tmp_path, authorities[issuer], name) as upstream:
            policy = policy_to(
                f"https://wiki.internal:{upstream.port}", {**LOOPBACK, "tls": {"ca_file": str(ca_file)}}
            )
            names = Names({"wiki.internal": ["127.0.0.1"]})
            async with upstream_client(policy, "docs", resolve=names) as http:
                with pytest.raises(httpx2.ConnectError, match="the certificate is not accepted"):
                    await http.get("/mcp")

            assert upstream.counts.requests == []

    def test_files_that_are_not_there_are_faults(self, tmp_path: Path) -> None:
        policy = policy_to(
            "https://wiki.internal:9443", LOOPBACK, tls={"ca_file": str(tmp_path / "no-such.pem")}
        )

        with pytest.raises(ConfigurationError, match=r"routes\.docs\.upstream\.tls\.ca_file"):
            upstream_client(policy, "docs")


def test_a_route_without_an_upstream_has_no_client() -> None:
    policy = Policy.from_mapping(
        {
            "clients": {"allowed_ips": ["127.0.0.1"]},
            "routes": {"docs.example.com": {"public_paths": ["/health"]}},
        }
    )

    with pytest.raises(ValueError, match=r"the route docs\.example\.com has no upstream"):
        upstream_client(policy, "docs.example.com")
