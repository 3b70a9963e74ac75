"""A server behind the gate that breaks off: whoever waits for its answer is told, at once and in JSON-RPC."""

import signal
import socket
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import anyio
import httpx2
import orjson
import pytest
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client

from tests.support.leaks import (
    HOST,
    JSON_HEAD,
    LAST_CHUNK,
    LIMIT,
    PROGRESS,
    STREAM_HEAD,
    Caller,
    Link,
    bearer,
    chunk,
    event,
    gate,
    policy_to,
    remote,
    result,
    route_to,
    wait_until,
)
from tests.support.mcp import legacy, modern
from tests.support.processes import environment, running
from tunnelgate_app.server import Loop, Parser

SOON = 2.0  # seconds, which no timeout of the gate or of a client takes
CALL = {"name": "work", "arguments": {}, "_meta": {"progressToken": 1}}
UNTIL_CLOSE = STREAM_HEAD.replace(b"transfer-encoding: chunked\r\n", b"")
CUT_OFF = "The server's answer was cut off"
NOT_VALID = "The server's answer was not valid"
Ending = Literal["fin", "rst"]
ENDINGS = [pytest.param("fin", id="closed"), pytest.param("rst", id="reset")]
ERAS = [pytest.param(legacy, id="legacy"), pytest.param(modern, id="modern")]
SERVERS = [
    pytest.param("strict", "asyncio", id="the strict parser on asyncio"),
    pytest.param("strict", "uvloop", id="the strict parser on uvloop"),
    pytest.param("h11", "asyncio", id="h11 on asyncio"),
]

ANSWER = orjson.dumps(result(1))
IN_JSON = [
    pytest.param(b"", id="before it says anything"),
    pytest.param(b"HTTP/1.1 200 OK\r\ncontent-ty", id="in the head"),
    pytest.param(JSON_HEAD % len(ANSWER), id="behind the head"),
    pytest.param(JSON_HEAD % len(ANSWER) + ANSWER[:-1], id="before the last octet"),
    pytest.param(
        (JSON_HEAD % 0).replace(b"content-length: 0", b"transfer-encoding: chunked") + chunk(ANSWER),
        id="before the last chunk",
    ),
    pytest.param(
        (JSON_HEAD % 0).replace(b"content-length: 0\r\n", b"") + ANSWER[:-1],
        id="in what lasts until the connection closes",
    ),
]
EVENT = event(result(1))
IN_A_STREAM = [
    pytest.param(b"", id="before the first event"),
    pytest.param(b"400\r\n" + EVENT[:10], id="in a chunk"),
    pytest.param(b"40", id="in the size of a chunk"),
    pytest.param(chunk(EVENT[:20]), id="in an event"),
    pytest.param(chunk(EVENT[:-1]), id="before the end of an event"),
    pytest.param(chunk(event(PROGRESS)), id="between events"),
]


async def end(link: Link, ending: Ending) -> None:
    if ending == "rst":
        link.reset()
    else:
        link.finish()


def check_told(error: Any) -> None:
    assert error["message"] in {CUT_OFF, NOT_VALID}
    assert len(error["data"]["requestId"]) == 16


@pytest.mark.parametrize(("parser", "loop"), SERVERS)
@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("said", IN_JSON)
def test_an_answer_in_json_that_is_cut_off_is_a_json_rpc_error(
    tmp_path: Path, said: bytes, ending: Ending, era: Any, parser: Parser, loop: Loop
) -> None:
    async def dies(link: Link) -> None:
        await link.request()
        await link.send(said)
        await end(link, ending)

    with (
        remote(dies) as server,
        gate(policy_to(tmp_path, route_to(server.port)), parser=parser, loop=loop) as front,
        Caller(front.port) as caller,
    ):
        asked = time.perf_counter()
        caller.ask(era("tools/call", CALL, message_id="one"))
        status, message = caller.whole()
        told = time.perf_counter()

    assert (status, message["id"]) == (502, "one")
    check_told(message["error"])
    assert told - asked < SOON
    assert len(server.heard) == 1, "nothing is asked twice"


@pytest.mark.parametrize(("parser", "loop"), SERVERS)
@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("said", IN_A_STREAM)
def test_a_stream_that_is_cut_off_ends_with_an_error_event(
    tmp_path: Path, said: bytes, ending: Ending, era: Any, parser: Parser, loop: Loop
) -> None:
    async def dies(link: Link) -> None:
        await link.request()
        await link.send(STREAM_HEAD + chunk(event(PROGRESS)))
        link.reached()
        await link.octets(1)

    with (
        remote(dies) as server,
        gate(policy_to(tmp_path, route_to(server.port)), parser=parser, loop=loop) as front,
        Caller(front.port) as caller,
    ):
        caller.ask(era("tools/call", CALL, message_id=7))
        link = server.take()
        first = caller.next_event()
        died = time.perf_counter()
        server.call(link.write, said)
        server.call(link.reset if ending == "rst" else link.finish)
        events = list(iter(caller.next_event, None))
        told = time.perf_counter()

    assert first["method"] == "notifications/progress"
    *others, last = events
    assert all(each["method"] == "notifications/progress" for each in others)
    assert last["id"] == 7
    check_told(last["error"])
    assert told - died < SOON
    assert len(server.heard) == 1, "nothing is asked twice"


@pytest.mark.parametrize("era", ERAS)
def test_a_stream_that_is_complete_and_then_cut_off_is_complete(tmp_path: Path, era: Any) -> None:
    async def dies(link: Link) -> None:
        await link.request()
        await link.send(STREAM_HEAD + chunk(event(result(7))))
        link.finish()

    with (
        remote(dies) as server,
        gate(policy_to(tmp_path, route_to(server.port))) as front,
        Caller(front.port) as caller,
    ):
        caller.ask(era("tools/call", CALL, message_id=7))
        events = list(iter(caller.next_event, None))

    assert [each["id"] for each in events] == [7]
    assert "result" in events[0], "one answer, and no error behind it"


@pytest.mark.parametrize("said", IN_A_STREAM)
@pytest.mark.parametrize("ending", ENDINGS)
def test_the_stream_of_a_session_just_ends(tmp_path: Path, said: bytes, ending: Ending) -> None:
    async def dies(link: Link) -> None:
        await link.request()
        await link.send(STREAM_HEAD + chunk(event(PROGRESS)) + said)
        await end(link, ending)

    with (
        remote(dies) as server,
        gate(policy_to(tmp_path, route_to(server.port))) as front,
        Caller(front.port) as caller,
    ):
        caller.listen()
        status = caller.answer.status
        events = list(iter(caller.next_event, None)) if status == 200 else []

    # What was reset may take with it what came just before.
    assert status == 200 or (ending, status) == ("rst", 502)
    assert all(each["method"] == "notifications/progress" for each in events)


def test_a_stream_that_goes_on_with_a_call_ends_with_its_error(tmp_path: Path) -> None:
    async def dies(link: Link) -> None:
        await link.request()
        await link.send(STREAM_HEAD)
        await link.send_event(PROGRESS, event_id="first")
        link.finish()

    with remote(dies) as server, gate(policy_to(tmp_path, route_to(server.port))) as front:
        with Caller(front.port) as caller:
            caller.ask(legacy("tools/call", CALL, message_id=7))
            body = caller.answer.read()
        (event_id,) = [line[4:] for line in body.decode().split("\n") if line.startswith("id: ")]
        with Caller(front.port) as caller:
            headers = [*legacy("ping")[0], ("last-event-id", event_id)]
            caller.ask((headers, b""), method="GET", accept="text/event-stream")
            events = list(iter(caller.next_event, None))

    (heard,) = [each for each in server.heard if each.method == "GET"]
    assert heard.values("last-event-id") == ["first"]
    *_, last = events
    assert last["id"] == 7
    check_told(last["error"])


SERVER = """
import asyncio, re, sys

first, again = (bytes.fromhex(each) for each in sys.argv[1:])

async def serve(reader, writer):
    head = await reader.readuntil(b"\\r\\n\\r\\n")
    (length,) = re.findall(rb"(?i)\\ncontent-length: (\\d+)", head)
    await reader.readexactly(int(length))
    writer.write(first)
    await writer.drain()
    print("begun", flush=True)
    while again:
        writer.write(again)
        await writer.drain()
    await reader.read()

async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    print("listening on", server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()

asyncio.run(main())
"""


@contextmanager
def process(first: bytes, again: bytes, home: Path) -> Generator[tuple[int, Callable[[], None]]]:
    """Run a server that answers ``first`` and then ``again`` for ever; give its port and what kills it."""
    command = [sys.executable, "-c", SERVER, first.hex(), again.hex()]
    with running(command, environment(home), ready="listening on") as program:
        port = int(program.lines[0].split()[-1])

        def kill() -> None:
            wait_until(lambda: "begun" in program.output, "the server is not asked")
            program.process.send_signal(signal.SIGKILL)
            program.process.wait(LIMIT)

        yield port, kill


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize(
    ("first", "again"),
    [
        pytest.param(STREAM_HEAD + chunk(event(PROGRESS)), chunk(event(PROGRESS)), id="while events come"),
        pytest.param(STREAM_HEAD + chunk(event(PROGRESS)), b"", id="while nothing comes"),
        pytest.param(STREAM_HEAD + chunk(event(PROGRESS)) + b"40\r\n", b"", id="in a chunk"),
    ],
)
def test_a_server_that_is_killed_ends_a_stream_with_an_error_event(
    tmp_path: Path, first: bytes, again: bytes, era: Any
) -> None:
    with (
        process(first, again, tmp_path) as (port, kill),
        gate(policy_to(tmp_path, route_to(port))) as front,
        Caller(front.port) as caller,
    ):
        caller.ask(era("tools/call", CALL, message_id=7))
        assert caller.next_event()["method"] == "notifications/progress"
        kill()
        died = time.perf_counter()
        events = list(iter(caller.next_event, None))
        told = time.perf_counter()
        with Caller(front.port) as later:
            later.ask(era("tools/call", CALL, message_id=8))
            status, message = later.whole()

    assert events[-1]["id"] == 7
    check_told(events[-1]["error"])
    assert told - died < SOON
    assert (status, message["error"]["message"]) == (502, "The server cannot be reached")


@pytest.mark.parametrize("era", ERAS)
def test_a_server_that_is_killed_within_its_json_is_a_json_rpc_error(tmp_path: Path, era: Any) -> None:
    with (
        process(JSON_HEAD % len(ANSWER) + ANSWER[:-1], b"", tmp_path) as (port, kill),
        gate(policy_to(tmp_path, route_to(port))) as front,
        Caller(front.port) as caller,
    ):
        caller.ask(era("tools/call", CALL, message_id=7))
        kill()
        died = time.perf_counter()
        status, message = caller.whole()
        told = time.perf_counter()

    assert (status, message["id"]) == (502, 7)
    check_told(message["error"])
    assert told - died < SOON


TEXT = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n"
TEN = b"0123456789"
CUT_FILES = [
    pytest.param(TEXT + b"content-length: 20\r\n\r\n" + TEN, "fin", id="short of its length"),
    pytest.param(TEXT + b"content-length: 20\r\n\r\n" + TEN, "rst", id="short of its length and reset"),
    pytest.param(TEXT + b"transfer-encoding: chunked\r\n\r\n" + chunk(TEN), "fin", id="without a last chunk"),
    pytest.param(
        TEXT + b"transfer-encoding: chunked\r\n\r\n" + chunk(TEN), "rst", id="without a last chunk and reset"
    ),
]


@pytest.mark.parametrize(("parser", "loop"), SERVERS)
@pytest.mark.parametrize(("said", "ending"), CUT_FILES)
def test_a_public_file_that_is_cut_off_never_looks_complete(
    tmp_path: Path, said: bytes, ending: Ending, parser: Parser, loop: Loop
) -> None:
    async def dies(link: Link) -> None:
        await link.request()
        await link.send(said)
        link.reached()
        await link.octets(1)

    with remote(dies) as server:
        route = {**route_to(server.port), "public_paths": ["/file"]}
        with (
            gate(policy_to(tmp_path, route), parser=parser, loop=loop) as front,
            socket.create_connection(("127.0.0.1", front.port), timeout=LIMIT) as connection,
        ):
            connection.sendall(b"GET /file HTTP/1.1\r\nHost: %b\r\n\r\n" % HOST.encode())
            link = server.take()
            octets = b""
            while TEN not in octets:
                part = connection.recv(65536)
                assert part, "the gate ends what goes on"
                octets += part
            server.call(link.reset if ending == "rst" else link.finish)
            is_reset = False
            try:
                while part := connection.recv(65536):
                    octets += part
            except ConnectionError:
                is_reset = True

    head, _, body = octets.lower().partition(b"\r\n\r\n")
    assert b" 200 " in head
    has_length = b"content-length: 20" in head
    is_chunked = b"transfer-encoding: chunked" in head
    assert has_length or (is_chunked and not body.endswith(LAST_CHUNK)) or is_reset, octets


def text_of(result: Any) -> str:
    text: str = result.content[0].text
    return text


class Dying:
    """A server that does as it should, but for calls of ``work``, in which it dies."""

    def __init__(self, said: bytes, ending: Ending) -> None:
        self._said = said
        self._ending: Ending = ending

    async def __call__(self, link: Link) -> None:
        while True:
            asked = await link.request()
            if asked.method != "POST":
                await link.send(b"HTTP/1.1 405 Method Not Allowed\r\ncontent-length: 0\r\n\r\n")
                continue
            message = asked.message
            if "id" not in message:
                await link.send(b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n")
                continue
            method, params = message["method"], message.get("params", {})
            if method == "tools/call" and params["name"] == "work":
                break
            if method == "tools/call":
                await link.answer(result(message["id"], "rested"))
            else:
                answers = {"initialize": INITIALIZED, "server/discover": DISCOVERED, "tools/list": TOOLS}
                await link.answer({"jsonrpc": "2.0", "id": message["id"], "result": answers[method]})
        await link.send(self._said)
        await end(link, self._ending)


INFO = {"name": "dying", "version": "1"}
INITIALIZED: dict[str, Any] = {
    "protocolVersion": "2025-11-25",
    "capabilities": {"tools": {}},
    "serverInfo": INFO,
}
DISCOVERED: dict[str, Any] = {
    "resultType": "complete",
    "ttlMs": 0,
    "supportedVersions": ["2026-07-28"],
    "capabilities": {"tools": {}},
    "serverInfo": INFO,
}
TOOLS: dict[str, Any] = {
    "resultType": "complete",
    "ttlMs": 0,
    "tools": [{"name": name, "inputSchema": {"type": "object"}} for name in ("work", "rest")],
}


@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize(
    "said",
    [
        pytest.param(b"", id="before it says anything"),
        pytest.param(JSON_HEAD % len(ANSWER) + ANSWER[:-1], id="in its JSON"),
        pytest.param(STREAM_HEAD, id="before the first event"),
        pytest.param(STREAM_HEAD + chunk(event(PROGRESS)), id="between events"),
        pytest.param(STREAM_HEAD + b"400\r\n" + EVENT[:10], id="in a chunk"),
        pytest.param(STREAM_HEAD + chunk(event(PROGRESS, "1")), id="behind an event with an id"),
    ],
)
@pytest.mark.anyio
async def test_the_official_client_raises_an_error_at_once_and_goes_on(
    tmp_path: Path, said: bytes, ending: Ending, mode: Any
) -> None:
    with remote(Dying(said, ending)) as server, gate(policy_to(tmp_path, route_to(server.port))) as front:
        headers = {"authorization": bearer(), "host": HOST}
        async with httpx2.AsyncClient(headers=headers, timeout=LIMIT) as http:
            transport = streamable_http_client(f"http://127.0.0.1:{front.port}/mcp", http_client=http)
            async with Client(transport, mode=mode) as client:
                with anyio.fail_after(LIMIT):
                    asked = time.perf_counter()
                    with pytest.raises(MCPError) as caught:
                        await client.call_tool("work", {})
                    told = time.perf_counter()
                    rested = text_of(await client.call_tool("rest", {}))

    check_told(caught.value.error.model_dump())
    assert told - asked < SOON
    assert rested == "rested"
    calls = [each.message for each in server.heard if each.method == "POST"]
    assert [each["params"]["name"] for each in calls if each["method"] == "tools/call"] == ["work", "rest"]
