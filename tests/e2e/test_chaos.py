"""What a client gets when the way to an upstream, or the upstream itself, breaks: at every octet of it.

The table of all that was seen is printed at the end: ``pytest -s tests/e2e/test_chaos.py``.
"""

import asyncio
import json
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest

from tests.support.audit import Records
from tests.support.chaos import ChaosProxy, Delay, Drip, Garbage, HalfClose, Reset, Trouble, Truncation, Way
from tests.support.mcp import legacy
from tests.support.scripted_upstream import KeepAlive, ScriptedConnection, ScriptedUpstream
from tests.support.servers import serve
from tests.support.tokens import ISSUER, Token, jwks
from tunnelgate import Policy
from tunnelgate_app.gateway import create_gateway

HOST = "docs.example.com"
LIMIT = 10.0  # seconds that anything here may take
SHORT = 0.2  # seconds that the gate waits for an upstream that is slow on purpose
PROGRESS = {
    "jsonrpc": "2.0",
    "method": "notifications/progress",
    "params": {"progressToken": 7, "progress": 1},
}
NOT_HTTP = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
TROUBLED, AFTER = "troubled", "after"

LATE = "error 'The server did not answer in time'"


def result_of(message_id: str) -> dict[str, Any]:
    result = {"content": [{"type": "text", "text": f"done {message_id}"}]}
    return {"jsonrpc": "2.0", "id": message_id, "result": result}


def as_json(message_id: str, *, close: bool) -> bytes:
    body = orjson.dumps(result_of(message_id))
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
    return head + connection_of(close=close) + b"content-length: %d\r\n\r\n" % len(body) + body


def as_stream(message_id: str, *, close: bool) -> bytes:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
    messages = (PROGRESS, result_of(message_id))
    chunks = (b"data: %s\n\n" % orjson.dumps(message) for message in messages)
    framed = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)
    return head + connection_of(close=close) + b"transfer-encoding: chunked\r\n\r\n" + framed + b"0\r\n\r\n"


def as_open_stream(message_id: str, *, close: bool) -> bytes:
    """Return a stream of which nobody can tell whether it is whole, but by what it says."""
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"
    messages = (PROGRESS, result_of(message_id))
    return head + b"".join(b"data: %s\n\n" % orjson.dumps(message) for message in messages)


def connection_of(*, close: bool) -> bytes:
    return b"connection: close\r\n" if close else b""


Form = Callable[..., bytes]
FORMS: dict[Form, str] = {
    as_json: "JSON",
    as_stream: "a stream",
    as_open_stream: "a stream of unknown length",
}


@dataclass(frozen=True)
class Answer:
    """Answer the next call in this form, and one that comes after trouble as the last of its connection."""

    form: Form

    async def play(self, connection: ScriptedConnection, /) -> None:
        request = await connection.next_request()
        if b"\0" in request.octets:
            await connection.send(NOT_HTTP)
            connection.close()
            return
        message_id = json.loads(request.body)["id"]
        await connection.send(self.form(message_id, close=message_id == AFTER))
        if message_id == AFTER or self.form is as_open_stream:
            connection.close()


@dataclass(frozen=True)
class Got:
    """What the client got: the messages, and whether they came as a stream."""

    status: int
    is_stream: bool
    messages: list[Any]
    request_id: str

    def __str__(self) -> str:
        said = [self._name(message) for message in self.messages]
        return f"{self.status} {', '.join(said) or 'nothing'}" + (", in a stream" if self.is_stream else "")

    def _name(self, message: Any) -> str:
        if "result" in message:
            return "the result"
        return f"error {message['error']['message']!r}" if "error" in message else "progress"

    def check(self) -> None:
        """Check that it is an answer, and the only one, to the call: the result as it was, or an error."""
        assert self.messages, "a stream that ends as if it were whole"
        *before, last = self.messages
        assert all(message == PROGRESS for message in before)
        if "result" in last:
            assert (self.status, last) == (200, result_of(TROUBLED))
        else:
            assert last["jsonrpc"] == "2.0"
            assert last.get("id") == TROUBLED, "a stream that ends as if it were whole"
            assert last["error"]["data"] == {"requestId": self.request_id}
            assert self.status in ({200} if self.is_stream else {400, 502, 504})


class Table:
    """What happened where, what the client got of it, and how often the upstream was asked."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, ...], int] = {}

    def add(self, trouble: Trouble, where: str, form: Form, got: Got, attempts: int) -> None:
        asked = "once" if attempts else "not at all"
        row = type(trouble).__name__, FORMS[form], where, str(got), asked
        self._rows[row] = self._rows.get(row, 0) + 1

    def text(self) -> str:
        names = (
            "what happens",
            "the answer is",
            "where",
            "the client gets",
            "the upstream is asked",
            "places",
        )
        rows = [names, ["-"] * len(names), *((*row, str(count)) for row, count in self._rows.items())]
        return "\n".join(["", *(f"| {' | '.join(row)} |" for row in rows), ""])


@dataclass
class Bench:
    """A gate, and behind it the proxy that makes trouble and the upstream."""

    upstream: ScriptedUpstream
    chaos: ChaosProxy
    session: aiohttp.ClientSession
    url: str
    fields: dict[str, str]

    async def call(self, message_id: str) -> Got:
        params = {"name": "work", "arguments": {"a": "b"}, "_meta": {"progressToken": 7}}
        headers, body = legacy("tools/call", params, message_id=message_id)
        async with self.session.post(
            self.url, data=body, headers={**dict(headers), **self.fields}
        ) as response:
            text = await response.text()
            is_stream = response.content_type == "text/event-stream"
            messages = events_of(text) if is_stream else [json.loads(text)]
            return Got(response.status, is_stream, messages, response.headers["x-request-id"])

    async def check_trouble(self, trouble: Trouble) -> tuple[Got, int]:
        """Let this happen to a call; return what the client got and how often the upstream was asked."""
        self.chaos.troubles.append(trouble)
        return await self._check_troubled_call(len(self.chaos.clients), trouble)

    async def check_trouble_in_use(self, trouble: Trouble) -> tuple[Got, int]:
        """Do the same on a connection on which a call has been answered already."""
        before = len(self.chaos.clients)
        assert str(await self.call("before")).startswith("200 ")
        assert len(self.chaos.clients) == before + 1
        self.chaos.pipe(trouble.way).arm(trouble)
        return await self._check_troubled_call(before, trouble)

    async def _check_troubled_call(self, connections: int, trouble: Trouble) -> tuple[Got, int]:
        posts = self.upstream.posts
        got = await self.call(TROUBLED)
        attempts = self.upstream.posts - posts
        got.check()
        assert self.chaos.pipe(trouble.way).has_happened
        assert attempts <= 1, "the upstream was asked again"
        assert len(self.chaos.clients) == connections + 1, "another connection was opened"
        if not isinstance(trouble, Drip):
            await self.chaos.clients[-1].until_lost()
        after = await self.call(AFTER)
        assert after.messages[-1] == result_of(AFTER)
        assert self.upstream.posts == posts + attempts + 1
        return got, attempts


def events_of(text: str) -> list[Any]:
    """Return the messages of a stream, which has to end where an event ends."""
    *events, rest = text.split("\n\n")
    assert rest == ""
    lines = [line for event in events for line in event.split("\n") if not line.startswith(("event: ", ":"))]
    assert all(line.startswith("data: ") for line in lines)
    return [json.loads(line.removeprefix("data: ")) for line in lines]


@asynccontextmanager
async def bench(folder: Path, form: Form, *, patience: float = LIMIT) -> AsyncGenerator[Bench]:
    """Run it all, and make two calls that nothing happens to; the gate waits ``patience`` seconds."""
    keys = folder / "jwks.json"
    keys.write_bytes(jwks("ES256"))
    async with ScriptedUpstream((Answer(form), KeepAlive())) as upstream, ChaosProxy(upstream.port) as chaos:
        timeouts = dict.fromkeys(("read_timeout", "idle_timeout"), patience)
        policy = Policy.from_mapping(
            {
                "clients": {"allowed_ips": ["127.0.0.1"]},
                "upstream": {"allowed_ips": ["127.0.0.1"]},
                "oauth": {"issuers": [{"issuer": ISSUER, "jwks_file": str(keys)}]},
                "routes": {HOST: {"tools": ["work"], "upstream": {"url": chaos.url, **timeouts}}},
            }
        )
        limits = aiohttp.ClientTimeout(total=LIMIT)
        with serve(create_gateway(policy, audit=Records())) as port:
            async with aiohttp.ClientSession(timeout=limits) as session:
                fields = {"authorization": f"Bearer {Token().mint()}"}
                made = Bench(upstream, chaos, session, f"http://127.0.0.1:{port}/mcp", fields)
                for message_id in (TROUBLED, AFTER):
                    assert (await made.call(message_id)).messages[-1] == result_of(message_id)
                yield made


@pytest.fixture(scope="module")
def table() -> Generator[Table]:
    rows = Table()
    yield rows
    sys.stdout.write(rows.text())


def region(octets: bytes, at: int, of: str) -> str:
    """Return in which part of a message this place is."""
    first_line, head = octets.find(b"\r\n"), octets.find(b"\r\n\r\n") + len(b"\r\n\r\n")
    if at == 0:
        return f"before the {of}"
    if at == len(octets):
        return f"behind the {of}"
    if at <= first_line:
        return f"in the first line of the {of}"
    return f"in the head of the {of}" if at < head else f"in the body of the {of}"


JSON_ANSWER = pytest.param(as_json, id="an answer in JSON")
STREAM = pytest.param(as_stream, id="a stream")
OPEN_STREAM = pytest.param(as_open_stream, id="a stream of unknown length")
BREAKS = [
    pytest.param(Reset, id="a reset"),
    pytest.param(Truncation, id="a truncation"),
    pytest.param(HalfClose, id="a half-close"),
    pytest.param(Garbage, id="garbage"),
]
Break = Callable[[Way, int], Trouble]


@pytest.mark.parametrize("break_", BREAKS)
@pytest.mark.promise("sent-once")
@pytest.mark.anyio
async def test_a_break_at_any_octet_of_a_request_is_an_error_and_nothing_is_sent_again(
    tmp_path: Path, break_: Break, table: Table
) -> None:
    async with bench(tmp_path, as_json) as made:
        request = made.upstream.requests[0].octets
        for at in range(len(request) + 1):
            trouble = break_(Way.REQUEST, at)
            got, attempts = await made.check_trouble(trouble)
            table.add(trouble, region(request, at, "request"), as_json, got, attempts)
            if at < len(request):
                assert "error" in got.messages[-1]


@pytest.mark.parametrize("form", [JSON_ANSWER, STREAM, OPEN_STREAM])
@pytest.mark.parametrize("break_", BREAKS)
@pytest.mark.promise("cut-shows")
@pytest.mark.promise("sent-once")
@pytest.mark.anyio
async def test_a_break_at_any_octet_of_an_answer_is_an_error_or_comes_behind_the_result(
    tmp_path: Path, form: Form, break_: Break, table: Table
) -> None:
    answer = form(TROUBLED, close=False)
    result = orjson.dumps(result_of(TROUBLED))
    async with bench(tmp_path, form) as made:
        for at in range(len(answer) + 1):
            trouble = break_(Way.ANSWER, at)
            got, attempts = await made.check_trouble(trouble)
            table.add(trouble, region(answer, at, "answer"), form, got, attempts)
            assert attempts == 1
            is_result_whole = at >= answer.index(result) + len(result)
            is_comment = break_ is Garbage and form is as_open_stream  # between two lines of an event
            assert is_result_whole or is_comment or "error" in got.messages[-1]


@pytest.mark.parametrize("way", list(Way))
@pytest.mark.promise("sent-once")
@pytest.mark.anyio
async def test_a_reset_at_any_octet_on_a_connection_in_use_sends_nothing_again(
    tmp_path: Path, way: Way, table: Table
) -> None:
    async with bench(tmp_path, as_json) as made:
        octets = made.upstream.requests[0].octets if way is Way.REQUEST else as_json(TROUBLED, close=False)
        for at in range(len(octets)):
            trouble = Reset(way, at)
            got, attempts = await made.check_trouble_in_use(trouble)
            table.add(trouble, f"{region(octets, at, way.value)}, the second", as_json, got, attempts)
            assert "error" in got.messages[-1]


async def is_reset(chaos: ChaosProxy) -> None:
    chaos.clients[-1].reset()


async def is_closed(chaos: ChaosProxy) -> None:
    chaos.clients[-1].close()
    await chaos.clients[-1].until_lost()


async def is_half_closed(chaos: ChaosProxy) -> None:
    chaos.clients[-1].half_close()


async def says_something(chaos: ChaosProxy) -> None:
    await chaos.clients[-1].send(as_json("of-nobody", close=False))


@pytest.mark.parametrize("happens", [is_reset, is_closed, is_half_closed, says_something])
@pytest.mark.promise("sent-once")
@pytest.mark.anyio
async def test_a_connection_that_ended_while_it_idled_is_not_used(
    tmp_path: Path, happens: Callable[[ChaosProxy], Awaitable[None]]
) -> None:
    async with bench(tmp_path, as_json) as made:
        for _ in range(20):
            posts, connections = made.upstream.posts, len(made.chaos.clients)
            assert (await made.call("before")).messages == [result_of("before")]
            await happens(made.chaos)

            assert (await made.call(AFTER)).messages == [result_of(AFTER)]
            assert (made.upstream.posts, len(made.chaos.clients)) == (posts + 2, connections + 2)


@pytest.mark.parametrize("form", [JSON_ANSWER, STREAM, OPEN_STREAM])
@pytest.mark.parametrize("way", list(Way))
@pytest.mark.parametrize("size", [1, 7])
@pytest.mark.anyio
async def test_what_drips_arrives_as_it_was(
    tmp_path: Path, form: Form, way: Way, size: int, table: Table
) -> None:
    async with bench(tmp_path, form) as made:
        trouble = Drip(way, size=size)
        got, attempts = await made.check_trouble(trouble)

    table.add(trouble, f"all of the {way.value}", form, got, attempts)
    assert (got.status, attempts, got.messages[-1]) == (200, 1, result_of(TROUBLED))
    assert len(got.messages) == (1 if form is as_json else 2)


def places(octets: bytes) -> list[int]:
    """Return the places of a message that are unlike each other."""
    head = octets.index(b"\r\n\r\n") + 4
    return [
        0,
        1,
        octets.index(b"\r\n"),
        head - 2,
        head,
        head + 1,
        (head + len(octets)) // 2,
        len(octets) - 10,
    ]


@pytest.mark.promise("sent-once")
@pytest.mark.anyio
async def test_a_request_that_gets_stuck_anywhere_is_a_timeout(tmp_path: Path, table: Table) -> None:
    async with bench(tmp_path, as_json, patience=SHORT) as made:
        request = made.upstream.requests[0].octets
        for at in places(request):
            trouble = Delay(Way.REQUEST, at)
            got, attempts = await made.check_trouble(trouble)
            table.add(trouble, region(request, at, "request"), as_json, got, attempts)
            assert str(got) == f"504 {LATE}"


@pytest.mark.parametrize("form", [JSON_ANSWER, STREAM, OPEN_STREAM])
@pytest.mark.promise("cut-shows")
@pytest.mark.anyio
async def test_an_answer_that_gets_stuck_anywhere_is_a_timeout(
    tmp_path: Path, form: Form, table: Table
) -> None:
    answer = form(TROUBLED, close=False)
    head = answer.index(b"\r\n\r\n") + 4
    async with bench(tmp_path, form, patience=SHORT) as made:
        for at in places(answer):
            trouble = Delay(Way.ANSWER, at)
            got, attempts = await made.check_trouble(trouble)
            table.add(trouble, region(answer, at, "answer"), form, got, attempts)
            assert attempts == 1
            if form is as_json or at < head:
                assert str(got) == f"504 {LATE}"
            else:
                assert got.status == 200
                assert got.is_stream


@pytest.mark.parametrize("form", [JSON_ANSWER, STREAM])
@pytest.mark.parametrize("way", list(Way))
@pytest.mark.anyio
async def test_a_delay_that_ends_in_time_changes_nothing(tmp_path: Path, form: Form, way: Way) -> None:
    async with bench(tmp_path, form) as made:
        for at in (0, 1, 100):
            goes_on = asyncio.Event()
            delay = Delay(way, at, until=goes_on)
            made.chaos.troubles.append(delay)
            posts = made.upstream.posts
            call = asyncio.create_task(made.call(TROUBLED))
            await delay.begun.wait()
            goes_on.set()
            got = await call

            assert got.messages[-1] == result_of(TROUBLED)
            assert (await made.call(AFTER)).messages[-1] == result_of(AFTER)
            assert made.upstream.posts == posts + 2
