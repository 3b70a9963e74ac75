"""The application around a server's tools: what it answers, to whom, and under which names."""

import asyncio
import logging
import socket
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from mcp import Client

from tests.servers.hosting.raw_calls import Answer, Wire, ask, call, send
from tests.servers.hosting.sample import READ, SECRET, TOOLS, WRITE, mounted, notes, toolset
from tests.servers.serving import Era, connected, sentence, served, structured, token
from tests.support.asgi import call as call_in_process
from tests.support.asgi import http_scope
from tests.support.audit import Records
from tests.support.mcp import modern
from tests.support.servers import serve
from tests.support.tokens import ISSUER, RESOURCE, jwks, trusted_issuer
from tunnelgate import BearerAuthentication, Policy
from tunnelgate_app.gateway import create_gateway
from tunnelgate_servers.hosting import Introduction, UnavailableError, mcp_server

pytestmark = pytest.mark.anyio

ERAS = [pytest.param("2026-07-28", id="modern era"), pytest.param("legacy", id="legacy era")]
HOST = "notes.example.com"
LIST, LIST_BODY = modern("tools/list")
READER = token(READ)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with served(notes()) as base:
        yield base


@pytest.fixture(params=ERAS)
def era(request: pytest.FixtureRequest) -> Wire:
    spoken: Wire = request.param
    return spoken


@pytest.mark.parametrize("era", ["auto", "legacy"])  # in the modern era a client asks, or does not
async def test_the_server_introduces_itself(url: str, era: Era) -> None:
    async with connected(url, era, READER) as client:
        info, capabilities = client.server_info, client.server_capabilities
        assert client.instructions == "Use take."

    assert info is not None
    assert (info.name, info.title, info.version) == ("notes", "Notes", version("tunnelgate"))
    assert info.description == "Take and write notes."
    assert capabilities is not None
    assert capabilities.tools is not None
    assert not capabilities.tools.list_changed


async def test_an_answer_is_json_and_begins_no_session(url: str) -> None:
    answer = await send(url, LIST[1:], LIST_BODY, token=READER)

    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    assert "mcp-session-id" not in answer.headers


@pytest.mark.parametrize("method", ["GET", "DELETE", "PUT", "PATCH", "HEAD", "OPTIONS"])
async def test_nothing_but_a_post_is_answered(url: str, method: str) -> None:
    answer = await send(url, LIST[1:], token=READER, method=method)

    assert answer.status == 405
    assert "POST" in answer.headers["allow"].split(", ")


@pytest.mark.parametrize("path", ["/mcp/", "/MCP", "/", "/docs", "/openapi.json", "/redoc", "/mcp/mcp"])
async def test_nothing_is_at_any_other_path(url: str, path: str) -> None:
    answer = await send(url, LIST[1:], LIST_BODY, token=READER, path=path)

    assert answer.status == 404


@pytest.mark.parametrize("path", ["/", "/docs", "/mcp/", "/healthz/", "/healthz/x"])
async def test_who_has_no_token_is_not_told_which_paths_there_are(url: str, path: str) -> None:
    assert (await send(url, [], path=path, method="GET")).status == 401


@pytest.mark.parametrize(
    "host",
    [
        "evil.example.com",
        "127.0.0.1.evil.example.com",
        "localhost.evil.example.com",
        "evil@127.0.0.1",
        "",
        "[",
    ],
)
async def test_another_name_is_not_answered(url: str, host: str) -> None:
    answer = await send(url, [*LIST[1:], ("host", host)], LIST_BODY, token=READER)

    assert answer.status in (400, 421)
    assert "take" not in answer.text


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.0.0.1:1", "localhost", "localhost:9000", "[::1]", "[::1]:80"]
)
async def test_the_names_of_this_machine_are_answered(url: str, host: str) -> None:
    assert (await send(url, [*LIST[1:], ("host", host)], LIST_BODY, token=READER)).status == 200


async def test_the_names_that_are_allowed_take_the_place_of_those() -> None:
    with served(notes(allowed_hosts=[HOST])) as base:
        answers = [
            (await send(base, [*LIST[1:], ("host", host)], LIST_BODY, token=READER)).status
            for host in (HOST, "127.0.0.1", f"{HOST}:80")
        ]

    assert answers == [200, 421, 421]


@pytest.mark.parametrize(
    "origin", ["http://evil.example.com", "http://127.0.0.1", "null", "http://localhost:3000"]
)
async def test_a_page_in_a_browser_is_not_answered(url: str, origin: str) -> None:
    answer = await send(url, [*LIST[1:], ("origin", origin)], LIST_BODY, token=READER)

    assert answer.status == 403
    assert "access-control-allow-origin" not in answer.headers


async def test_a_body_beyond_the_limit_is_refused_before_it_has_come(url: str) -> None:
    length = 5 * 1024 * 1024
    host, _, port = url.removeprefix("http://").partition(":")
    headers = [*LIST, ("authorization", f"Bearer {READER}"), ("content-length", str(length))]
    head = "".join(f"{name}: {value}\r\n" for name, value in headers if name != "host")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(f"POST /mcp HTTP/1.1\r\nhost: {host}:{port}\r\n{head}\r\n".encode())
        answer = await asyncio.to_thread(connection.recv, 65536)

    assert answer.startswith(b"HTTP/1.1 413 ")


async def test_another_media_type_is_refused(url: str) -> None:
    headers = [pair for pair in LIST[1:] if pair[0] != "content-type"]

    answer = await send(url, [*headers, ("content-type", "text/plain")], LIST_BODY, token=READER)

    assert answer.status in (400, 415)


@pytest.mark.parametrize("sent_token", [None, "x", READER], ids=["no token", "a bad token", "a good one"])
async def test_health_is_for_everybody(url: str, sent_token: str | None) -> None:
    answer = await send(url, [], token=sent_token, method="GET", path="/healthz")

    assert (answer.status, answer.text) == (200, '{"status":"ok"}')


async def test_a_server_that_cannot_read_its_data_says_so_and_no_more() -> None:
    def is_ready() -> None:
        raise UnavailableError("The notes cannot be read.") from OSError(SECRET)

    with served(notes(is_ready=is_ready)) as base:
        answer = await send(base, [], method="GET", path="/healthz")
        tools = await send(base, LIST[1:], LIST_BODY, token=READER)

    assert (answer.status, answer.text) == (503, '{"status":"unavailable"}')
    assert tools.status == 200


async def test_health_that_fails_in_another_way_is_an_error_without_its_reason() -> None:
    def is_ready() -> None:
        raise ValueError(SECRET)

    with served(notes(is_ready=is_ready)) as base:
        answer = await send(base, [], method="GET", path="/healthz")

    assert (answer.status, answer.text) == (500, "Internal Server Error")


async def test_what_is_needed_while_serving_is_there_then_and_only_then() -> None:
    states = ["before"]

    @asynccontextmanager
    async def while_serving() -> AsyncGenerator[None]:
        states.append("begun")
        yield
        states.append("ended")

    with served(notes(while_serving=while_serving)) as base:
        assert (await send(base, LIST[1:], LIST_BODY, token=READER)).status == 200
        assert states == ["before", "begun"]

    assert states == ["before", "begun", "ended"]


def test_making_a_server_does_not_configure_the_log_of_the_whole_program() -> None:
    root = logging.getLogger()
    before = (list(root.handlers), root.level)

    mcp_server(Introduction("notes", "Notes", "Notes.", "Use take."), toolset())

    assert (list(root.handlers), root.level) == before


FORGED = [
    ("tunnelgate.principal", "alice"),
    ("x-tunnelgate-principal", "alice"),
    ("x-forwarded-user", "alice"),
    ("x-remote-user", "alice"),
    ("x-auth-request-user", "alice"),
    ("tunnelgate.exchange", "{}"),
]


@pytest.mark.promise("token-for-this-server")
@pytest.mark.parametrize("era", ERAS)
@pytest.mark.promise("server-holds-alone")
async def test_without_a_gate_and_without_a_check_nobody_is_answered(era: Wire) -> None:
    with served(mounted()) as base:
        for headers in (
            [],
            FORGED,
            [("authorization", f"Bearer {READER}")],
            [("authorization", "Basic YTpi")],
        ):
            answer = await send(base, [*LIST[1:], *headers], LIST_BODY)
            assert (answer.status, "take" in answer.text) == (401, False)
            assert answer.headers["www-authenticate"].startswith("Bearer")
        called = await call(base, era, "take", {"line": "a"}, token=READER)

    assert called.status == 401


@pytest.mark.promise("server-holds-alone")
async def test_what_a_header_claims_is_nobody(url: str) -> None:
    answer = await send(url, [*LIST[1:], *FORGED], LIST_BODY)

    assert answer.status == 401


@pytest.mark.parametrize("era", ERAS)
async def test_whom_a_layer_around_it_verified_is_who_asks(era: Wire) -> None:
    app = BearerAuthentication(mounted(), resource=RESOURCE, issuers=[trusted_issuer()])
    with served(app) as base:
        async with connected(base, era, token(READ, WRITE, subject="bob")) as client:
            caller = structured(await client.call_tool("whoami", {}))
        without = await send(base, LIST[1:], LIST_BODY)

    assert caller == {"issuer": ISSUER, "subject": "bob", "client_id": "agent", "scopes": [READ, WRITE]}
    assert without.status == 401


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.promise("server-holds-alone")
async def test_whom_the_whole_gate_around_it_verified_is_who_asks_and_tools_check_scopes_again(
    tmp_path: Path, era: Wire
) -> None:
    keys = tmp_path / "jwks.json"
    keys.write_bytes(jwks("ES256"))
    resource = f"https://{HOST}/mcp"
    policy = {
        "clients": {"allowed_ips": ["127.0.0.0/8"]},
        "oauth": {"issuers": [{"issuer": ISSUER, "jwks_file": str(keys)}]},
        "routes": {
            HOST: {
                "mount": "tests.servers.hosting.sample:mounted",
                "options": {"allowed_hosts": [HOST]},
                "tools": ["whoami", "write"],  # of which the gate demands no scope
            }
        },
    }
    gate = create_gateway(Policy.from_mapping(policy), audit=Records())
    with serve(gate) as port:
        base = f"http://127.0.0.1:{port}"
        async with connected(base, era, token(READ, resource=resource), HOST) as client:
            caller = structured(await client.call_tool("whoami", {}))
            refused = sentence(await client.call_tool("write", {"text": "a"}))
        others = await send(base, [*LIST[1:], ("host", HOST)], LIST_BODY, token=token(READ))

    assert (caller["subject"], caller["scopes"]) == ("alice", [READ])
    assert refused == f"This needs a token with the scope {WRITE}."
    assert others.status == 401


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.promise("server-holds-alone")
async def test_a_transport_that_verifies_nobody_gets_sentences_and_no_tool(era: Wire) -> None:
    server = mcp_server(Introduction("notes", "Notes", "Notes.", "Use take."), toolset())

    async with Client(server, mode=era) as client:
        listed = [tool.name for tool in (await client.list_tools()).tools]
        refused = sentence(await client.call_tool("take", {"line": "a"}))

    assert listed == TOOLS
    assert refused == "This needs an access token, and none was verified."


async def test_each_of_many_callers_at_once_is_who_it_is(url: str) -> None:
    async def who(number: int) -> Answer:
        own = token(READ, subject=f"user-{number}")
        return await call(url, "legacy" if number % 2 else "2026-07-28", "whoami", {}, token=own)

    answers = await asyncio.gather(*(who(number) for number in range(20)))

    assert [answer.message["result"]["structuredContent"]["subject"] for answer in answers] == [
        f"user-{number}" for number in range(20)
    ]


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"{", id="half of an object"),
        pytest.param(b"null", id="null"),
        pytest.param(b"[]", id="an empty list"),
        pytest.param(b"[" + LIST_BODY + b"]", id="a list of messages"),
        pytest.param(b"\xff\xfe", id="octets that are no text"),
        pytest.param(b"\x00" * 100, id="NUL"),
        pytest.param(b'{"jsonrpc":"1.0","id":1,"method":"tools/list"}', id="another version of JSON-RPC"),
    ],
)
async def test_what_is_no_message_is_refused(url: str, body: bytes) -> None:
    answer = await send(url, LIST[1:], body, token=READER)

    assert 400 <= answer.status < 500
    assert "Traceback" not in answer.text


@pytest.mark.parametrize("era", ERAS)
async def test_a_method_that_there_is_not_is_not_found(url: str, era: Wire) -> None:
    answer = await ask(url, era, "notes/steal", {}, token=READER)

    assert answer.message["error"]["code"] == -32601


async def test_a_websocket_is_not_opened() -> None:
    sent: list[Any] = []
    scope: Any = {**http_scope("GET", "/mcp"), "type": "websocket", "subprotocols": []}

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    async def keep(message: Any) -> None:
        sent.append(message)

    await notes()(scope, receive, keep)

    assert [message["type"] for message in sent] != ["websocket.accept"]


async def test_a_mount_below_a_path_asks_for_a_token_at_every_path() -> None:
    scope = http_scope("GET", "/below/healthz", [("host", "127.0.0.1")], root_path="/below")

    assert (await call_in_process(notes(), scope)).status == 401
