"""What servers list and return is asked with the official client, within limits, and refused in sentences."""

import asyncio
import gzip
from collections.abc import Callable, Mapping
from typing import Any

import httpx2
import pytest
from mcp.server.mcpserver import MCPServer
from mcp.types import ToolAnnotations
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from tests.support.listing import (
    answering_server,
    listed,
    listing_server,
    tool,
    without_discovery,
)
from tests.support.processes import free_port
from tests.support.remote import served_elsewhere
from tests.support.resolving import Names
from tunnelgate import Policy
from tunnelgate.asgi import ASGIApp, Receive, Scope, Send
from tunnelgate.upstream.dialling import Resolve, resolve_by_system
from tunnelgate_app.asking.answers import AskingError, Called, Failure, Limits, Listing, Server, Tool
from tunnelgate_app.asking.mcp import call_tool, list_tools
from tunnelgate_app.asking.upstream import upstream_client

SECRET = "secret-token"


def client_to(
    port: int, *, host: str = "127.0.0.1", resolve: Resolve = resolve_by_system
) -> httpx2.AsyncClient:
    policy = Policy.from_mapping(
        {
            "tunnel_domain": "tunnel.example.com",
            "upstream": {"allowed_ips": ["127.0.0.1"]},
            "routes": {"docs": f"http://{host}:{port}"},
        }
    )
    return upstream_client(policy, "docs", resolve=resolve)


async def listing_of(app: ASGIApp, *, token: str | None = None, limits: Limits | None = None) -> Listing:
    with served_elsewhere(app) as port:
        async with client_to(port) as http:
            url = f"http://127.0.0.1:{port}/mcp"
            return await list_tools(http, url, token=token, limits=limits or Limits())


async def failure_of(app: ASGIApp, *, limits: Limits | None = None) -> AskingError:
    with pytest.raises(AskingError) as caught:
        await listing_of(app, limits=limits)
    return caught.value


def answering(response: Callable[[], Response]) -> ASGIApp:
    """Return a server that answers whatever it is asked like this."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await listing_server()(scope, receive, send)
        return await response()(scope, receive, send)

    return app


def lists(result: Mapping[str, Any] | Response) -> ASGIApp:
    return answering_server(lambda method, params: result)


def official_server() -> MCPServer[None]:
    server: MCPServer[None] = MCPServer("documents", version="3.1", log_level="ERROR")

    def look(number: int) -> str:
        """Looks it up."""
        return f"seen {number}"

    def fail() -> str:
        raise ValueError("cannot")

    hints = ToolAnnotations(
        read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False
    )
    server.add_tool(look, title="Look up", annotations=hints)
    server.add_tool(fail, annotations=ToolAnnotations(destructive_hint=True, title="Fail"))
    return server


def older_and_newer(*, older: bool, stateless: bool = False) -> ASGIApp:
    app = official_server().streamable_http_app(stateless_http=stateless)
    return without_discovery(app) if older else app


ERAS = [
    pytest.param(older_and_newer, {"older": False}, "modern", "2026-07-28", id="the modern era"),
    pytest.param(older_and_newer, {"older": True}, "legacy", "2025-11-25", id="the era of sessions"),
    pytest.param(
        older_and_newer,
        {"older": True, "stateless": True},
        "legacy",
        "2025-11-25",
        id="the era of sessions without any",
    ),
]


@pytest.mark.anyio
@pytest.mark.parametrize(("app", "options", "era", "version"), ERAS)
async def test_a_server_is_asked_in_its_own_era(
    app: Callable[..., ASGIApp], options: Any, era: Any, version: str
) -> None:
    listing = await listing_of(app(**options))

    look, fail = listing.tools
    assert listing.server == Server(era, version, "documents", "3.1")
    assert look.input_schema is not None
    assert look.input_schema["required"] == ["number"]
    assert look == Tool(
        "look",
        "Look up",
        "Looks it up.",
        read_only=True,
        destructive=False,
        idempotent=True,
        open_world=False,
        input_schema=look.input_schema,
    )
    assert (fail.name, fail.title, fail.read_only, fail.destructive) == ("fail", "Fail", None, True)


@pytest.mark.anyio
@pytest.mark.parametrize(("app", "options", "era", "version"), ERAS)
async def test_a_tool_is_called_once(
    app: Callable[..., ASGIApp], options: Any, era: Any, version: str
) -> None:
    with served_elsewhere(app(**options)) as port:
        async with client_to(port) as http:
            url = f"http://127.0.0.1:{port}/mcp"
            seen = await call_tool(http, url, "look", {"number": 7})
            failed = await call_tool(http, url, "fail", {})

    server = Server(era, version, "documents", "3.1")
    assert seen == Called(server, is_error=False, texts=("seen 7",), structured={"result": "seen 7"})
    assert (failed.is_error, failed.structured) == (True, None)
    assert "fail" in failed.texts[0]


@pytest.mark.anyio
async def test_a_server_says_nothing_of_itself_and_of_its_tools() -> None:
    listing = await listing_of(listing_server(tool("search")))

    assert listing == Listing(
        Server("modern", "2026-07-28"), (Tool("search", input_schema={"type": "object"}),)
    )


@pytest.mark.anyio
async def test_all_pages_are_read() -> None:
    pages: dict[Any, dict[str, Any]] = {
        None: listed(tool("a"), next_cursor="2"),
        "2": listed(tool("b"), tool("c"), next_cursor="3"),
        "3": listed(tool("d")),
    }

    listing = await listing_of(answering_server(lambda _, params: pages[params.get("cursor")]))

    assert [each.name for each in listing.tools] == ["a", "b", "c", "d"]


def counting(to: int, *, tools: int = 1) -> ASGIApp:
    """Return a server that lists its tools on so many pages."""

    def answer(_: str, params: Mapping[str, Any]) -> Mapping[str, Any]:
        page = int(params.get("cursor", "1"))
        names = [tool(f"t{page}-{number}") for number in range(tools)]
        return listed(*names, next_cursor=str(page + 1) if page < to else None)

    return answering_server(answer)


@pytest.mark.anyio
async def test_a_list_within_all_limits_is_read() -> None:
    listing = await listing_of(counting(4, tools=2), limits=Limits(pages=4, tools=8))

    assert len(listing.tools) == 8


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("app", "limits", "sentence"),
    [
        pytest.param(counting(5), Limits(pages=4), "lists its tools on more than 4 pages", id="a page more"),
        pytest.param(counting(1, tools=9), Limits(tools=8), "lists more than 8 tools", id="a tool more"),
        pytest.param(
            lists(listed(tool("a"), next_cursor="again")),
            Limits(),
            "lists its tools on more than 100 pages",
            id="a page that follows itself",
        ),
        pytest.param(
            lists(listed(tool("a", description="long " * 1000))),
            Limits(octets=5000),
            "answers more than 5000 octets",
            id="more octets",
        ),
        pytest.param(
            counting(50, tools=1),
            Limits(octets=5000),
            "answers more than 5000 octets",
            id="more octets in all",
        ),
    ],
)
async def test_a_list_beyond_a_limit_is_not(app: ASGIApp, limits: Limits, sentence: str) -> None:
    failure = await failure_of(app, limits=limits)

    assert (failure.failure, str(failure)) == (Failure.TOO_MUCH, sentence)


def hanging(method: str) -> ASGIApp:
    """Return a server of the older era that never answers ``method``."""
    app = older_and_newer(older=True)

    async def hangs(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == method:
            while (await receive())["type"] != "http.disconnect":
                pass
            return
        await app(scope, receive, send)

    return hangs


@pytest.mark.anyio
async def test_a_server_that_does_not_answer_is_left_after_a_while() -> None:
    failure = await failure_of(hanging("POST"), limits=Limits(seconds=0.3))

    assert failure.failure is Failure.TOO_SLOW
    assert str(failure) == "does not answer within 0.3 seconds"


@pytest.mark.anyio
async def test_a_server_that_has_answered_may_be_slow_to_say_farewell() -> None:
    listing = await listing_of(hanging("DELETE"), limits=Limits(seconds=2))

    assert [each.name for each in listing.tools] == ["look", "fail"]


@pytest.mark.anyio
async def test_a_server_that_breaks_off_its_farewell_has_answered() -> None:
    app = older_and_newer(older=True)

    async def breaks(scope: Scope, receive: Receive, send: Send) -> None:
        is_farewell = scope["type"] == "http" and scope["method"] == "DELETE"
        await (answering(lambda: Response(status_code=500)) if is_farewell else app)(scope, receive, send)

    assert len((await listing_of(breaks)).tools) == 2


def streamless(refusal: Response, then: ASGIApp | None = None) -> ASGIApp:
    """Return a server of the older era that gives no stream, and lists its tools when one was asked for.

    Those are listed by ``then`` where there is one.
    """
    app, was_tried = older_and_newer(older=True), asyncio.Event()
    posts: list[Scope] = []

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "GET":
            await refusal(scope, receive, send)
            was_tried.set()
            return None
        if scope["type"] == "http" and scope["method"] == "POST":
            posts.append(scope)
            if len(posts) == 4:  # behind discovery, the handshake and its end
                await was_tried.wait()
                return await (then or app)(scope, receive, send)
        return await app(scope, receive, send)

    return answer


NO_STREAM = [
    pytest.param(
        Response(media_type="text/event-stream", headers={"content-encoding": "gzip"}), id="encoded"
    ),
    pytest.param(Response(status_code=401), id="only with another token"),
    pytest.param(Response(status_code=307, headers={"location": "/other"}), id="elsewhere"),
]


@pytest.mark.anyio
@pytest.mark.parametrize("refusal", NO_STREAM)
async def test_a_stream_that_cannot_be_listened_to_keeps_nobody_from_asking(refusal: Response) -> None:
    assert len((await listing_of(streamless(refusal))).tools) == 2


@pytest.mark.anyio
@pytest.mark.parametrize("refusal", NO_STREAM)
async def test_a_stream_that_cannot_be_listened_to_is_not_what_went_wrong(refusal: Response) -> None:
    failure = await failure_of(streamless(refusal, Response(status_code=500)))

    assert str(failure) == "answers 500 where MCP is expected"


def guarded(challenge: str | None, heard: list[Request]) -> ASGIApp:
    """Return a server that takes one token."""
    headers = {} if challenge is None else {"www-authenticate": challenge}
    app = answering_server(lambda method, params: listed(tool("search")), heard=heard)

    async def guard(scope: Scope, receive: Receive, send: Send) -> None:
        token = dict(scope.get("headers", ())).get(b"authorization")
        if scope["type"] == "http" and token != f"Bearer {SECRET}".encode():
            return await Response(status_code=401, headers=headers)(scope, receive, send)
        return await app(scope, receive, send)

    return guard


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("challenge", "said"),
    [
        pytest.param(
            'Bearer resource_metadata="https://docs/x"',
            'and says "Bearer resource_metadata="https://docs/x""',
            id="a challenge",
        ),
        pytest.param(None, "and does not say which", id="no challenge"),
    ],
)
async def test_a_server_that_needs_a_token_is_asked_once_and_its_challenge_is_said(
    challenge: str | None, said: str
) -> None:
    heard: list[Request] = []
    failure = await failure_of(guarded(challenge, heard))

    assert heard == []
    assert (failure.failure, failure.status) == (Failure.NEEDS_TOKEN, 401)
    assert failure.challenge == challenge
    assert str(failure) == f"answers 401: it needs a token, {said}"


@pytest.mark.anyio
async def test_a_token_goes_with_every_request() -> None:
    heard: list[Request] = []
    listing = await listing_of(guarded(None, heard), token=SECRET)

    assert [each.name for each in listing.tools] == ["search"]
    assert {each.headers["authorization"] for each in heard} == {f"Bearer {SECRET}"}


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("response", "failure", "sentence"),
    [
        pytest.param(
            lambda: Response(status_code=404),
            Failure.NOT_MCP,
            "answers 404 where MCP is expected",
            id="nothing at that path",
        ),
        pytest.param(
            lambda: Response(status_code=405),
            Failure.NOT_MCP,
            "answers 405 where MCP is expected",
            id="a path that takes no POST",
        ),
        pytest.param(
            lambda: PlainTextResponse("Invalid Host header", status_code=421),
            Failure.REFUSED,
            "answers 421 where MCP is expected",
            id="a hostname that is not its own",
        ),
        pytest.param(
            lambda: PlainTextResponse("busy", status_code=503),
            Failure.REFUSED,
            "answers 503 where MCP is expected",
            id="a server that is down",
        ),
        pytest.param(
            lambda: JSONResponse(
                {"jsonrpc": "2.0", "id": None, "error": {"code": -32000, "message": "not\x1b[2J you\u202e"}},
                status_code=403,
            ),
            Failure.REFUSED,
            "answers 403 where MCP is expected: not [2J you",
            id="a refusal with a reason",
        ),
        pytest.param(
            lambda: PlainTextResponse("<html>", media_type="text/html"),
            Failure.NOT_MCP,
            "answers text/html where MCP is expected",
            id="a page for people",
        ),
        pytest.param(Response, Failure.NOT_MCP, "answers nothing where MCP is expected", id="nothing"),
        pytest.param(
            lambda: Response(status_code=202),
            Failure.NOT_MCP,
            "answers nothing where MCP is expected",
            id="acceptance",
        ),
        pytest.param(
            lambda: JSONResponse({"hello": "world"}),
            Failure.NOT_MCP,
            "answers what is not valid in MCP",
            id="JSON of another kind",
        ),
        pytest.param(
            lambda: Response(status_code=307, headers={"location": "/mcp/"}),
            Failure.REDIRECTED,
            'answers 307 and redirects to "/mcp/", which the gate does not follow',
            id="a redirect on the same server",
        ),
        pytest.param(
            lambda: Response(status_code=302, headers={"location": "http://169.254.169.254/"}),
            Failure.REDIRECTED,
            'answers 302 and redirects to "http://169.254.169.254/", which the gate does not follow',
            id="a redirect elsewhere",
        ),
        pytest.param(
            lambda: JSONResponse({}, headers={"content-encoding": "gzip"}),
            Failure.NOT_MCP,
            "does not speak HTTP as the gate takes it: an encoded answer, which was not asked for",
            id="an encoded answer",
        ),
    ],
)
async def test_what_is_no_mcp_is_said(
    response: Callable[[], Response], failure: Failure, sentence: str
) -> None:
    found = await failure_of(answering(response))

    assert (found.failure, str(found)) == (failure, sentence)


@pytest.mark.anyio
async def test_with_any_client_an_answer_is_not_decoded_but_refused() -> None:
    heard: list[Request] = []
    zeros = gzip.compress(bytes(16 * 1024 * 1024))
    encoded = Response(zeros, media_type="application/json", headers={"content-encoding": "gzip"})
    with served_elsewhere(answering_server(lambda method, params: encoded, heard=heard)) as port:
        async with httpx2.AsyncClient(trust_env=False) as http:
            with pytest.raises(AskingError, match="answers in an encoding that was not asked for"):
                await list_tools(http, f"http://127.0.0.1:{port}/mcp")

    assert {each.headers["accept-encoding"] for each in heard} == {"identity"}


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("result", "failure", "sentence"),
    [
        pytest.param(
            {"resultType": "complete", "tools": [{"name": 7}]},
            Failure.NOT_MCP,
            "answers what is not valid in MCP",
            id="a tool that is none",
        ),
        pytest.param(
            JSONResponse({"jsonrpc": "2.0", "id": 2, "error": {"code": -32603, "message": "out\nof order"}}),
            Failure.MCP_ERROR,
            "answers with an error of MCP: out of order (-32603)",
            id="an error of the protocol",
        ),
    ],
)
async def test_a_list_that_is_none_is_said(result: Any, failure: Failure, sentence: str) -> None:
    found = await failure_of(lists(result))

    assert (found.failure, str(found)) == (failure, sentence)


@pytest.mark.anyio
async def test_an_answer_that_breaks_off_is_said() -> None:
    async def breaks_off(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await listing_server()(scope, receive, send)
        headers = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"data: {", "more_body": True})
        return None  # an end that is none for the server, which closes the connection

    found = await failure_of(breaks_off)

    assert (found.failure, str(found)) == (
        Failure.UNREACHABLE,
        "breaks off: closed in the middle of the body",
    )


@pytest.mark.anyio
async def test_a_server_that_is_not_there_is_said() -> None:
    port = free_port()
    async with client_to(port) as http:
        with pytest.raises(AskingError) as caught:
            await list_tools(http, f"http://127.0.0.1:{port}/mcp")

    assert caught.value.failure is Failure.UNREACHABLE
    assert str(caught.value) == f"cannot be reached: 127.0.0.1 port {port}: 127.0.0.1: connection refused"


@pytest.mark.anyio
async def test_an_address_that_is_not_allowed_is_said_in_the_words_of_the_proxy() -> None:
    names = Names({"wiki.internal": ["192.0.2.1"]})
    async with client_to(9000, host="wiki.internal", resolve=names) as http:
        with pytest.raises(AskingError) as caught:
            await list_tools(http, "http://wiki.internal:9000/mcp")

    assert caught.value.failure is Failure.NOT_ALLOWED
    assert str(caught.value) == (
        "IP validation failed: wiki.internal: 192.0.2.1 is not in upstream.allowed_ips"
    )


@pytest.mark.anyio
async def test_a_name_that_nobody_finds_in_time_is_said() -> None:
    async def never(host: str, port: int) -> list[str]:
        await asyncio.Event().wait()
        return []

    policy = Policy.from_mapping(
        {
            "clients": {"allowed_ips": ["127.0.0.1"]},
            "routes": {
                "docs.example.com": {
                    "upstream": {"url": "http://wiki.internal:9000", "connect_timeout": 0.05},
                    "public_paths": ["/health"],
                }
            },
        }
    )
    async with upstream_client(policy, "docs.example.com", resolve=never) as http:
        with pytest.raises(AskingError) as caught:
            await list_tools(http, "http://wiki.internal:9000/mcp")

    assert caught.value.failure is Failure.TOO_SLOW
    assert str(caught.value) == "does not answer in time: no connection within 0.05 seconds"


@pytest.mark.anyio
async def test_calling_a_tool_that_a_server_refuses_is_an_error_of_the_protocol() -> None:
    refused = JSONResponse({"jsonrpc": "2.0", "id": 2, "error": {"code": -32602, "message": "Unknown tool"}})
    with served_elsewhere(lists(refused)) as port:
        async with client_to(port) as http:
            with pytest.raises(AskingError, match=r"Unknown tool \(-32602\)"):
                await call_tool(http, f"http://127.0.0.1:{port}/mcp", "search", {})
