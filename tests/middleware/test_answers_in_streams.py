import asyncio
import json
from collections.abc import Coroutine, Sequence
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.support.answering import (
    ERAS,
    JSON,
    OK,
    SEALER,
    STREAM,
    RawHeaders,
    Scripted,
    ask_gate,
    check_bad_gateway,
    gate_around,
    handles_of_nobody,
)
from tests.support.asgi import Reply, Spy, call, http_scope, reply_of
from tests.support.audit import Records
from tests.support.mcp import legacy, modern
from tunnelgate import AuditLog, Reason, ToolAllowlist, answers
from tunnelgate.answers import DEFAULT_MAX_ANSWER, AnswerGuard, Expected
from tunnelgate.asgi import ASGIApp, Message, Receive, Scope, Send
from tunnelgate.catalogue import Names
from tunnelgate.errors import UpstreamFailed
from tunnelgate.exchange import Exchange, Principal, exchange_of
from tunnelgate.handles import UNASKED, Handles, Origin, Task
from tunnelgate.handover import Handover
from tunnelgate.messages import MessageRules
from tunnelgate.reading.fault import Fault
from tunnelgate.reading.methods import Era
from tunnelgate.results import ResultRules

LIST = b'{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"safe_tool"},{"name":"danger_tool"}]}}'
FILTERED = b'{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"safe_tool"}]}}'
SECRET = "secret"


# Streams

PROGRESS = b'{"jsonrpc":"2.0","method":"notifications/progress","params":{"message":"x"}}'


@pytest.mark.parametrize(
    "rest",
    [
        pytest.param(b"data: " + LIST, id="a line without an end"),
        pytest.param(b"data: " + LIST + b"\n", id="an event without its blank line"),
        pytest.param(b"data: " + LIST + b"\r\n", id="the same with CRLF"),
        pytest.param(b"event: danger_tool\n", id="a type alone"),
        pytest.param(b": danger_tool", id="half a comment"),
    ],
)
@pytest.mark.parametrize("size", [1, 1000])
@pytest.mark.anyio
async def test_an_event_that_the_stream_ends_in_is_dropped(rest: bytes, size: int) -> None:
    stream = b": hello\n\n" + rest
    chunks = [stream[start : start + size] for start in range(0, len(stream), size)]

    reply = await ask_gate(Scripted(*chunks, headers=[STREAM]), method="tools/list")

    assert reply.body == b": hello\n\n"


@pytest.mark.parametrize(
    ("event", "passed"),
    [
        pytest.param(b": ping\n\n", b": ping\n\n", id="a comment"),
        pytest.param(b":\n\n", b":\n\n", id="an empty comment"),
        pytest.param(b"retry: 100\ndata:\n\n", b"retry: 100\ndata: \n\n", id="an empty event"),
        pytest.param(b"retry: 100\n\n", b"retry: 100\n\n", id="a time to wait"),
        pytest.param(
            b'data: {"jsonrpc":"2.0", "method":"notifications/progress","params":{"progress":1}}\n\n',
            b'data: {"jsonrpc":"2.0","method":"notifications/progress","params":{"progress":1}}\n\n',
            id="a notification",
        ),
        pytest.param(b"data: " + OK + b"\n\n", b"data: " + OK + b"\n\n", id="the answer"),
    ],
)
@pytest.mark.parametrize("era", ERAS)
@pytest.mark.anyio
async def test_what_belongs_to_an_answer_in_a_stream_is_passed_on(
    event: bytes, passed: bytes, era: Any
) -> None:
    reply = await ask_gate(Scripted(event, b"", headers=[STREAM, (b"content-length", b"7")]), era=era)

    assert (reply.status, reply.body) == (200, passed)
    assert reply.header("content-length") is None


def _event_lines(event: bytes) -> dict[str, str]:
    return dict(line.split(": ", 1) for line in event.decode().splitlines())


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(OK.replace(b'"id":1', b'"id":2'), id="another id"),
        pytest.param(OK[:-1] + b',"result":{"secret":1}}', id="two results"),
        pytest.param(b"[" + OK + b"]", id="a batch"),
        pytest.param(b"secret", id="no JSON"),
        pytest.param(b"/messages?session=secret", id="what the older transport sends"),
        pytest.param(OK + OK, id="two answers"),
        pytest.param(b" ", id="a space"),
    ],
)
@pytest.mark.parametrize("era", ERAS)
@pytest.mark.anyio
async def test_an_event_that_is_not_an_answer_becomes_one_error_and_the_end(data: bytes, era: Any) -> None:
    records = Records()
    app = Scripted(
        b": hello\n\n",
        b"data: " + data + b"\n\n",
        b"data: " + OK + b"\n\n",
        b": secret\n\n",
        headers=[STREAM],
    )

    reply = await ask_gate(app, era=era, sink=records)

    hello, error, end = reply.body.split(b"\n\n")
    assert (reply.status, hello, end) == (200, b": hello", b"")
    fields = _event_lines(error)
    assert fields["event"] == "message"
    assert json.loads(fields["data"]) == {
        "jsonrpc": "2.0",
        "id": 1,
        "error": {
            "code": -32603,
            "message": "The server's answer was not valid",
            "data": {"requestId": reply.header("x-request-id")},
        },
    }
    assert SECRET not in repr(reply)
    assert records.verdicts == [("allow", None)]


@pytest.mark.anyio
async def test_what_came_before_a_bad_event_is_passed_on_even_in_the_same_chunk() -> None:
    good, bad = b"data: " + PROGRESS + b"\n\n", b"data: secret\n\n"

    apart = await ask_gate(Scripted(good, bad, headers=[STREAM]))
    together = await ask_gate(Scripted(good + bad, headers=[STREAM]))

    assert apart.body.startswith(good)
    assert together.body.startswith(good)
    assert b"The server's answer was not valid" in apart.body
    assert b"The server's answer was not valid" in together.body


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param(b"data: " + OK + b"\n\n", id="a second answer"),
        pytest.param(b"data: secret\n\n", id="no JSON"),
        pytest.param(b"data: " + b"x" * 2000 + b"\n\n", id="too much"),
    ],
)
@pytest.mark.parametrize("era", ERAS)
@pytest.mark.anyio
async def test_a_question_that_was_answered_is_not_answered_once_more(bad: bytes, era: Any) -> None:
    good = b"data: " + OK + b"\n\n"

    reply = await ask_gate(Scripted(good, bad, b": secret\n\n", headers=[STREAM]), era=era, max_answer=1000)

    assert reply.body == good


def _event_of(octets: int) -> bytes:
    """Return an event of one line that takes this many octets of the bound."""
    message = b'data: {"jsonrpc":"2.0","id":1,"result":{"x":""}}'
    return message.replace(b'""', b'"' + b"x" * (octets - len(message)) + b'"') + b"\n\n"


@pytest.mark.parametrize(
    "size",
    [
        pytest.param(1, id="octet by octet"),
        pytest.param(64, id="in pieces"),
        pytest.param(10_000, id="whole"),
    ],
)
@pytest.mark.anyio
async def test_an_event_that_is_too_large_ends_the_stream_however_it_comes(size: int) -> None:
    stream = b": hello\n\n" + _event_of(2000)
    chunks = [stream[start : start + size] for start in range(0, len(stream), size)]

    reply = await ask_gate(Scripted(*chunks, headers=[STREAM]), max_answer=1000)

    assert b"xxx" not in reply.body
    assert b"The server's answer was not valid" in reply.body


@pytest.mark.parametrize(
    "size",
    [
        pytest.param(1, id="octet by octet"),
        pytest.param(64, id="in pieces"),
        pytest.param(10_000, id="whole"),
    ],
)
@pytest.mark.anyio
async def test_a_stream_may_be_longer_than_any_of_its_events(size: int) -> None:
    progress = b"data: " + PROGRESS.replace(b'"x"', b'"' + b"x" * 800 + b'"') + b"\n\n"
    stream = progress * 5
    chunks = [stream[start : start + size] for start in range(0, len(stream), size)]

    reply = await ask_gate(Scripted(*chunks, headers=[STREAM]), max_answer=1000)

    assert reply.body == stream


@pytest.mark.anyio
async def test_each_event_is_sent_before_the_next_one_comes() -> None:
    log: list[str] = []
    events = [b": hello\n\n", b"data: " + OK + b"\n\n", b": bye\n\n"]
    app = gate_around(Scripted(*events, headers=[STREAM], log=log))
    headers, body = legacy("tools/call", {"name": "safe_tool"})
    incoming: list[Message] = [{"type": "http.request", "body": body}]

    async def receive() -> Message:
        return incoming.pop(0)

    async def send(message: Message) -> None:
        if message["type"] == "http.response.body":
            log.append(f"the client has {message['body']!r}")

    await app(http_scope(headers=headers), receive, send)

    assert log == [
        "the application sends 1",
        f"the client has {events[0]!r}",
        "the application sends 2",
        f"the client has {events[1]!r}",
        "the application sends 3",
        f"the client has {events[2]!r}",
    ]


class Cut:
    """An application that begins a stream and comes to no end of it."""

    def __init__(self, *chunks: bytes, error: Exception | None = None) -> None:
        self.chunks = chunks
        self.error = error
        self.heard: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": [STREAM]})
        for chunk in self.chunks:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        self.heard.append((await receive())["type"])  # which is that the client went away
        if self.error is not None:
            raise self.error


CUTS = [
    pytest.param([], b"", id="after the head"),
    pytest.param([b": hello\n\n"], b": hello\n\n", id="after an event"),
    pytest.param([b": hello\n\n", b"data: " + LIST], b": hello\n\n", id="in an event"),
    pytest.param([b"data: " + OK + b"\n\n"], b"data: " + OK + b"\n\n", id="after the answer"),
]


@pytest.mark.parametrize(("chunks", "passed"), CUTS)
@pytest.mark.parametrize("era", ERAS)
@pytest.mark.anyio
async def test_a_stream_that_its_application_leaves_is_ended_where_it_was_left(
    chunks: Sequence[bytes], passed: bytes, era: Any
) -> None:
    app = Cut(*chunks)

    reply = await ask_gate(app, era=era)

    assert (reply.status, reply.body) == (200, passed)
    assert app.heard == ["http.disconnect"]


@pytest.mark.parametrize(("chunks", "passed"), CUTS)
@pytest.mark.anyio
async def test_a_stream_whose_application_fails_is_not_said_to_have_ended(
    chunks: Sequence[bytes], passed: bytes
) -> None:
    headers, body = legacy("tools/call", {"name": "safe_tool"})
    incoming: list[Message] = [{"type": "http.request", "body": body}, {"type": "http.disconnect"}]
    sent: list[Message] = []

    async def receive() -> Message:
        return incoming.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    with pytest.raises(ZeroDivisionError):
        await gate_around(Cut(*chunks, error=ZeroDivisionError()))(http_scope(headers=headers), receive, send)

    assert b"".join(message["body"] for message in sent[1:]) == passed
    assert all(message["more_body"] for message in sent[1:])


@pytest.mark.anyio
async def test_a_stream_that_was_ended_by_the_gate_is_not_ended_once_more() -> None:
    reply = await ask_gate(Cut(b": hello\n\n", b"data: secret\n\n", b": secret\n\n"))

    assert reply.body.startswith(b": hello\n\nevent: message\n")
    assert reply.body.count(b"The server's answer was not valid") == 1
    assert SECRET not in repr(reply)


AT_ONCE = 8 * 1024


@pytest.mark.parametrize(
    ("octets", "turns"),
    [
        pytest.param(1, 0, id="an octet"),
        pytest.param(AT_ONCE, 0, id="eight kibibytes"),
        pytest.param(AT_ONCE + 1, 1, id="one octet more"),
        pytest.param(2 * AT_ONCE, 1, id="twice as many"),
        pytest.param(20 * AT_ONCE, 19, id="many times as many"),
    ],
)
@pytest.mark.anyio
async def test_while_a_large_chunk_is_judged_others_get_their_turn_every_eight_kibibytes(
    octets: int, turns: int
) -> None:
    async def send(_message: Message) -> None:
        """Take everything at once, so that nobody gets a turn here."""

    guard = _guard(send, exchange_of(http_scope()))
    await guard.send({"type": "http.response.start", "status": 200, "headers": [STREAM]})
    had = 0
    is_over = False

    async def other() -> None:
        nonlocal had
        while True:
            await asyncio.sleep(0)
            if is_over:
                return
            had += 1

    task = asyncio.create_task(other())
    await asyncio.sleep(0)  # for it to begin
    chunk = (b": hello\n\n" * octets)[:octets]
    await guard.send({"type": "http.response.body", "body": chunk, "more_body": True})
    is_over = True
    await task

    assert had == turns


def _guard(
    send: Send,
    exchange: Exchange,
) -> AnswerGuard:
    rules = MessageRules(tools=Names(["safe_tool"], Reason.TOOL_NOT_ALLOWED))
    results = ResultRules(rules, None, handles_of_nobody(), Origin("tools/list", None, 1), era=Era.LEGACY)
    return AnswerGuard(send, exchange, results, Expected.MESSAGE, max_answer=10_000)


@pytest.mark.anyio
async def test_the_head_of_a_stream_is_sent_before_its_first_event() -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    exchange = exchange_of(http_scope())
    guard = _guard(send, exchange)
    await guard.send({"type": "http.response.start", "status": 200, "headers": [STREAM]})

    named = (b"x-request-id", exchange.request_id.encode())
    unbuffered = (b"x-accel-buffering", b"no")
    assert sent == [{"type": "http.response.start", "status": 200, "headers": [named, unbuffered, STREAM]}]


@pytest.mark.anyio
async def test_half_an_event_sends_nothing_yet() -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    guard = _guard(send, exchange_of(http_scope()))
    await guard.send({"type": "http.response.start", "status": 200, "headers": [STREAM]})
    await guard.send({"type": "http.response.body", "body": b": hel", "more_body": True})
    assert len(sent) == 1

    await guard.send({"type": "http.response.body", "body": b"lo\n\n", "more_body": True})
    assert sent[1:] == [{"type": "http.response.body", "body": b": hello\n\n", "more_body": True}]


def _run(call_: Coroutine[Any, Any, None]) -> None:
    """Run what never has to wait."""
    with pytest.raises(StopIteration):
        call_.send(None)


def _through_a_guard(chunks: Sequence[bytes]) -> bytes:
    """Return what is left of a stream of lists."""
    exchange = exchange_of(http_scope())
    exchange.message_id = 1
    exchange.request_id = "0" * 16
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def run() -> None:
        guard = _guard(send, exchange)
        await guard.send({"type": "http.response.start", "status": 200, "headers": [STREAM]})
        for position, chunk in enumerate(chunks, 1):
            more = position < len(chunks)
            await guard.send({"type": "http.response.body", "body": chunk, "more_body": more})

    _run(run())
    return reply_of(sent).body


LINES = st.sampled_from(
    [b"data: " + LIST, b"data: " + OK, b": comment", b"event: message", b"id: 7", b"data:", b""]
)


@given(
    lines=st.lists(st.tuples(LINES, st.sampled_from([b"\n", b"\r", b"\r\n"])), max_size=8),
    cuts=st.sets(st.integers(1, 400)),
)
@example(lines=[(b": a", b"\r\n"), (b"", b"\n"), (b": b", b"\n"), (b"", b"\n")], cuts={4, 5, 6})
def test_what_is_left_of_a_stream_does_not_depend_on_how_it_was_cut(
    lines: list[tuple[bytes, bytes]], cuts: set[int]
) -> None:
    stream = b"".join(line + end for line, end in lines)
    ends = [*sorted(cut for cut in cuts if cut < len(stream)), len(stream)]
    chunks = [stream[start:end] for start, end in zip([0, *ends], ends, strict=False)]

    left = _through_a_guard(chunks)

    assert left == _through_a_guard([stream])
    assert b"danger_tool" not in left


@pytest.mark.promise("answer-fits")
@given(
    body=st.binary(max_size=60) | st.sampled_from([LIST, OK, LIST[:-1], b"[" + LIST + b"]"]),
    streamed=st.booleans(),
)
def test_whatever_a_server_sends_the_client_gets_one_whole_answer_without_unlisted_names(
    body: bytes,
    streamed: bool,  # noqa: FBT001
) -> None:
    form = STREAM if streamed else JSON
    sent: list[Message] = []
    incoming: list[Message] = [{"type": "http.request", "body": legacy("tools/list")[1]}]

    async def receive() -> Message:
        return incoming.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    app = gate_around(Spy(body, content_type=form[1].decode()))
    asyncio.run(app(http_scope(headers=legacy("tools/list")[0]), receive, send))

    reply = reply_of(sent)
    assert reply.status in (200, 502)
    assert b"danger_tool" not in reply.body


def test_without_any_setting_an_answer_may_have_eight_mebibytes() -> None:
    assert DEFAULT_MAX_ANSWER == 8 * 1024 * 1024


@pytest.mark.anyio
async def test_both_reasons_of_an_answer_that_is_not_passed_on_are_told_apart_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    await ask_gate(Scripted(OK * 2))
    await ask_gate(Scripted(OK), max_answer=len(OK) - 1)

    reasons = [record.getMessage().split(": ")[1] for record in caplog.records]
    assert reasons == [Reason.ANSWER_NOT_VALID, Reason.ANSWER_TOO_LARGE]


@pytest.mark.parametrize(("room", "is_passed"), [(0, True), (-1, False)], ids=["at the bound", "one past it"])
@pytest.mark.parametrize("size", [1, 64, 10_000])
@pytest.mark.anyio
async def test_an_event_is_bounded_with_what_its_lines_cost_to_keep(
    room: int,
    size: int,
    is_passed: bool,  # noqa: FBT001
) -> None:
    stream = _event_of(900)
    chunks = [stream[start : start + size] for start in range(0, len(stream), size)]

    reply = await ask_gate(Scripted(*chunks, headers=[STREAM]), max_answer=900 + 32 + room)

    assert (reply.body == stream) is is_passed
    assert (b"The server's answer was not valid" in reply.body) is not is_passed


# Events and questions of a server, as their client sees them

CALLED = Origin("tools/call", "safe_tool", 1)
DEBUG = b'{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"debug","data":"secret"}}'


def _fields(stream: bytes) -> list[dict[str, str]]:
    """Return the fields of each event of a stream that has one field a line."""
    return [_event_lines(event) for event in stream.split(b"\n\n")[:-1]]


@pytest.mark.anyio
async def test_the_word_that_there_is_no_event_to_resume_from_is_passed_on() -> None:
    assert (await ask_gate(Scripted(b"id:\n\n", headers=[STREAM]))).body == b"id: \n\n"


@pytest.mark.parametrize(
    ("event", "passed"),
    [
        pytest.param(b"id: 7\n\n", b"", id="an id alone"),
        pytest.param(b"id:\n\n", b"", id="the word that there is none"),
        pytest.param(b"id: 7\ndata:\n\n", b"data: \n\n", id="an empty event"),
        pytest.param(b"id: 7\nretry: 1\n\n", b"retry: 1\n\n", id="a time to wait"),
        pytest.param(b"id: 7\ndata: " + OK + b"\n\n", b"data: " + OK + b"\n\n", id="the answer"),
        pytest.param(b"id: 7\ndata: " + DEBUG + b"\n\n", b"", id="a message that is not passed on"),
    ],
)
@pytest.mark.anyio
async def test_the_modern_era_resumes_nothing_and_so_has_no_ids_of_events(
    event: bytes, passed: bytes
) -> None:
    assert (await ask_gate(Scripted(event, headers=[STREAM]), era=modern)).body == passed


@pytest.mark.parametrize(
    ("event_id", "opened"),
    [(b"7", "7"), (b"a b:c", "a b:c"), (b"\xc3\xa9", "Ã©"), (b"\xff", "ÿ")],
    ids=["a number", "a text", "a letter in UTF-8", "an octet that is no UTF-8"],
)
@pytest.mark.anyio
async def test_an_event_has_another_id_for_its_client_which_remembers_what_its_stream_answers(
    event_id: bytes, opened: str
) -> None:
    stream = b"id: " + event_id + b"\ndata: " + PROGRESS + b"\n\n"

    reply = await ask_gate(Scripted(stream, headers=[STREAM]))

    (fields,) = _fields(reply.body)
    assert fields["data"] == PROGRESS.decode()
    assert fields["id"].isascii()
    assert handles_of_nobody().open_event(fields["id"]) == (opened, CALLED)
    assert opened.encode("latin-1") == event_id


@pytest.mark.anyio
async def test_an_event_belongs_to_the_session_that_its_stream_begins() -> None:
    stream = b"id: 7\ndata: " + PROGRESS + b"\n\n"

    reply = await ask_gate(Scripted(stream, headers=[STREAM, (b"mcp-session-id", b"s1")]))

    (fields,) = _fields(reply.body)
    assert handles_of_nobody(b"s1").open_event(fields["id"]) == ("7", CALLED)
    with pytest.raises(Fault):
        handles_of_nobody().open_event(fields["id"])


@pytest.mark.anyio
async def test_the_same_event_has_the_same_id_each_time() -> None:
    stream = b"id: 7\ndata: " + PROGRESS + b"\n\nid: 8\ndata: " + PROGRESS + b"\n\n"

    first, second = [await ask_gate(Scripted(stream, headers=[STREAM])) for _ in range(2)]

    assert first.body == second.body
    assert len({fields["id"] for fields in _fields(first.body)}) == 2


@pytest.mark.parametrize(
    ("event", "rest"),
    [
        pytest.param(b"id: 7\ndata:\n\n", {"data": ""}, id="an empty event"),
        pytest.param(b"id: 7\nretry: 100\ndata:\n\n", {"retry": "100", "data": ""}, id="with a time to wait"),
        pytest.param(b"id: 7\n\n", {}, id="an id alone"),
        pytest.param(b"id: 7\ndata: " + DEBUG + b"\n\n", {"data": ""}, id="a message that is not passed on"),
        pytest.param(
            b"id: 7\nevent: message\nretry: 1\ndata: " + DEBUG + b"\n\n",
            {"event": "message", "retry": "1", "data": ""},
            id="such a message with everything that an event has",
        ),
    ],
)
@pytest.mark.anyio
async def test_without_a_message_the_place_in_the_stream_stays(event: bytes, rest: dict[str, str]) -> None:
    reply = await ask_gate(Scripted(event, headers=[STREAM]))

    (fields,) = [dict(line.split(": ") for line in reply.body.decode().splitlines() if line)]
    assert handles_of_nobody().open_event(fields.pop("id")) == ("7", CALLED)
    assert fields == rest


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.anyio
async def test_a_message_that_is_not_passed_on_and_holds_no_place_leaves_nothing(era: Any) -> None:
    stream = b"data: " + DEBUG + b"\n\n: secret\ndata: " + DEBUG + b"\n\ndata: " + OK + b"\n\n"

    reply = await ask_gate(Scripted(stream, headers=[STREAM]), era=era)

    assert reply.body == b"data: " + OK + b"\n\n"


@pytest.mark.anyio
async def test_a_time_to_wait_stays_without_the_message_that_it_came_with() -> None:
    reply = await ask_gate(Scripted(b"retry: 100\ndata: " + DEBUG + b"\n\n", headers=[STREAM]))

    assert reply.body == b"retry: 100\ndata: \n\n"


@pytest.mark.anyio
async def test_an_event_whose_id_no_client_could_give_back_ends_the_stream() -> None:
    stream = b"id: " + b"7" * 4096 + b"\ndata: " + PROGRESS + b"\n\n"

    reply = await ask_gate(Scripted(stream, headers=[STREAM]))

    (fields,) = _fields(reply.body)
    assert json.loads(fields["data"])["error"]["message"] == "The server's answer was not valid"


QUESTION = b'{"jsonrpc":"2.0","id":9,"method":"elicitation/create","params":{"message":"secret"}}'


@pytest.mark.anyio
async def test_a_question_of_the_server_and_its_end_have_one_id_that_the_client_can_answer() -> None:
    cancelled = b'{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":9}}'
    stream = b"data: " + QUESTION + b"\n\ndata: " + cancelled + b"\n\n"

    reply = await ask_gate(Scripted(stream, headers=[STREAM, (b"mcp-session-id", b"s1")]))

    question, end = [json.loads(fields["data"]) for fields in _fields(reply.body)]
    assert question == {**json.loads(QUESTION), "id": question["id"]}
    assert handles_of_nobody(b"s1").open_request(question["id"]) == 9
    assert end["params"] == {"requestId": question["id"]}


@pytest.mark.anyio
async def test_in_the_modern_era_a_server_asks_nothing() -> None:
    reply = await ask_gate(Scripted(b"data: " + QUESTION + b"\n\n", headers=[STREAM]), era=modern)

    (fields,) = _fields(reply.body)
    assert json.loads(fields["data"])["error"]["code"] == -32603
    assert SECRET not in repr(reply)


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.anyio
async def test_a_question_of_the_server_is_no_whole_body(era: Any) -> None:
    reply = await ask_gate(Scripted(QUESTION), era=era)

    check_bad_gateway(reply)
    assert SECRET not in repr(reply)


@pytest.mark.promise("listed-equals-callable")
@pytest.mark.anyio
async def test_a_stream_cut_at_any_octet_is_the_same_stream() -> None:
    stream = (
        b"\xef\xbb\xbfid: 1\nretry: 5\ndata:\r\n\r\n"
        b": ping\r\rid: 2\rdata: " + DEBUG + b"\r\r"
        b"event: message\r\nid: 3\r\ndata: " + LIST + b"\r\n\r\n"
    )
    whole = await ask_gate(Scripted(stream, headers=[STREAM]), method="tools/list")

    cut = [
        await ask_gate(Scripted(stream[:end], stream[end:], headers=[STREAM]), method="tools/list")
        for end in range(len(stream) + 1)
    ]
    octets = [stream[position : position + 1] for position in range(len(stream))]
    one_by_one = await ask_gate(Scripted(*octets, headers=[STREAM]), method="tools/list")

    assert FILTERED in whole.body
    assert {whole.body} == {one_by_one.body, *(reply.body for reply in cut)}


# Streams that nobody asked for in particular, and streams that are gone on with


class Listening(Scripted):
    """A scripted application that keeps the headers that it was asked with."""

    def __init__(self, *chunks: bytes, headers: RawHeaders = (STREAM,), status: int = 200) -> None:
        super().__init__(*chunks, headers=headers, status=status)
        self.asked: list[dict[str, str]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.asked.append({name.decode(): value.decode("latin-1") for name, value in scope["headers"]})
        await super().__call__(scope, receive, send)


async def _listen(app: ASGIApp, *more: tuple[str, str], sink: Records | None = None) -> Reply:
    headers = [("host", "docs.example.com"), ("accept", "text/event-stream"), *more]
    gate = gate_around(app) if sink is None else AuditLog(gate_around(app), sink=sink)
    return await call(gate, http_scope("GET", headers=headers))


@pytest.mark.anyio
async def test_what_a_server_says_unasked_is_passed_on_event_by_event() -> None:
    changed = b'{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}'
    stream = b"id: 1\ndata: " + changed + b"\n\n: ping\n\ndata: " + DEBUG + b"\n\ndata: " + QUESTION + b"\n\n"

    reply = await _listen(Scripted(stream, headers=[STREAM]))

    first, ping, question = reply.body.split(b"\n\n")[:-1]
    assert (reply.status, ping) == (200, b": ping")
    fields = _event_lines(first)
    assert handles_of_nobody().open_event(fields["id"]) == ("1", UNASKED)
    assert fields["data"] == changed.decode()
    assert handles_of_nobody().open_request(json.loads(_event_lines(question)["data"])["id"]) == 9


@pytest.mark.parametrize(
    "bad", [OK, LIST, b"secret", b"[]"], ids=["an answer", "a list", "no JSON", "a batch"]
)
@pytest.mark.anyio
async def test_a_stream_that_answers_nothing_ends_without_an_answer(bad: bytes) -> None:
    reply = await _listen(
        Scripted(b": hello\n\n", b"data: " + bad + b"\n\n", b": secret\n\n", headers=[STREAM])
    )

    assert (reply.status, reply.body) == (200, b": hello\n\n")


@pytest.mark.parametrize(
    ("status", "form"),
    [
        pytest.param(200, JSON, id="an answer"),
        pytest.param(200, (b"content-type", b"text/html"), id="a page"),
        pytest.param(204, STREAM, id="no content"),
        pytest.param(302, STREAM, id="the way to another place"),
        pytest.param(401, JSON, id="a question for credentials"),
    ],
)
@pytest.mark.anyio
async def test_whoever_asks_for_a_stream_gets_one(status: int, form: tuple[bytes, bytes]) -> None:
    check_bad_gateway(await _listen(Scripted(b"", headers=[form], status=status)), None)


@pytest.mark.parametrize("status", [400, 404, 405])
@pytest.mark.anyio
async def test_a_server_may_have_no_stream(status: int) -> None:
    reply = await _listen(Scripted(b"", headers=[(b"allow", b"POST")], status=status))

    assert (reply.status, reply.header("allow")) == (status, "POST")
    assert reply.json()["error"]["message"] == "The server refused the request"


@pytest.mark.promise("listed-equals-callable")
@pytest.mark.parametrize("size", [1, 1000])
@pytest.mark.anyio
async def test_a_list_whose_stream_is_gone_on_with_is_filtered_like_the_list_itself(size: int) -> None:
    session = ("mcp-session-id", handles_of_nobody().session(b"s1"))
    last = handles_of_nobody(b"s1").event(b"7", Origin("tools/list", None, "a"))
    stream = b"id: 8\ndata: " + LIST.replace(b'"id":1', b'"id":"a"') + b"\n\n"
    chunks = [stream[start : start + size] for start in range(0, len(stream), size)]
    app = Listening(*chunks)

    reply = await _listen(app, session, ("last-event-id", last))

    (fields,) = _fields(reply.body)
    assert fields["data"] == FILTERED.replace(b'"id":1', b'"id":"a"').decode()
    assert handles_of_nobody(b"s1").open_event(fields["id"]) == ("8", Origin("tools/list", None, "a"))
    (asked,) = app.asked
    assert (asked["last-event-id"], asked["mcp-session-id"]) == ("7", "s1")


@pytest.mark.parametrize("message_id", [1, "a"])
@pytest.mark.anyio
async def test_a_stream_that_is_gone_on_with_answers_what_it_answered(message_id: Any) -> None:
    last = handles_of_nobody().event(b"7", Origin("tools/call", "safe_tool", message_id))
    other = b'"b"' if message_id == "a" else b"2"
    stream = b"data: " + OK.replace(b'"id":1', b'"id":' + other) + b"\n\n"

    reply = await _listen(Scripted(stream, headers=[STREAM]), ("last-event-id", last))

    (fields,) = _fields(reply.body)
    answer = json.loads(fields["data"])
    assert (answer["id"], answer["error"]["code"]) == (message_id, -32603)


class Forgetful:
    """A server that knows the streams of a session by the ids of requests, as some do.

    A client that uses an id twice and goes on with the first stream gets what the second was for.
    """

    def __init__(self) -> None:
        self.events: list[tuple[str, bytes]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "GET":
            last = int(dict(scope["headers"])[b"last-event-id"])
        else:
            asked = json.loads((await receive())["body"])
            stream, last = json.dumps(asked["id"]), len(self.events) - 1
            message = LIST if asked["method"] == "tools/list" else OK
            self.events.append((stream, message.replace(b'"id":1', b'"id":' + stream.encode())))
        await send({"type": "http.response.start", "status": 200, "headers": [STREAM]})
        for number, (stream, message) in list(enumerate(self.events))[last + 1 :]:
            if scope["method"] != "GET" or stream == self.events[last][0]:
                event = b"id: %d\ndata: %b\n\n" % (number, message)
                await send({"type": "http.response.body", "body": event, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


@pytest.mark.promise("listed-equals-callable")
@pytest.mark.anyio
async def test_whoever_uses_an_id_twice_and_goes_on_with_the_first_stream_sees_no_more_than_before() -> None:
    server = Forgetful()
    called = await ask_gate(server, method="tools/call")
    listed = await ask_gate(server, method="tools/list")
    (event,) = _fields(called.body)

    gone_on = await _listen(server, ("last-event-id", event["id"]))

    assert b"danger_tool" not in listed.body
    assert b"danger_tool" not in gone_on.body


# Handles in places of others

HANDLES = {
    "the session": handles_of_nobody().session(b"s1"),
    "another session": handles_of_nobody().session(b"s2"),
    "an event of the session": handles_of_nobody(b"s1").event(b"7", CALLED),
    "an event of another session": handles_of_nobody(b"s2").event(b"7", CALLED),
    "an event of no session": handles_of_nobody().event(b"7", CALLED),
    "a question of the session": handles_of_nobody(b"s1").request(9),
    "a question of another session": handles_of_nobody(b"s2").request(9),
    "a task": handles_of_nobody().task(Task("t1", "safe_tool")),
    "a session of somebody": Handles(
        SEALER, None, Principal("https://login.example.com/", "alice", "app", frozenset(), {})
    ).session(b"s1"),
    "a session of another route": Handles(SEALER, "wiki", None).session(b"s1"),
    "the server's name of the session": "s1",
    "the server's name of the event": "7",
}


@pytest.mark.parametrize("name", [name for name in HANDLES if name not in ("the session", "another session")])
@pytest.mark.parametrize("method", ["GET", "DELETE", "POST"])
@pytest.mark.anyio
async def test_a_session_is_entered_by_its_handle_alone(name: str, method: str) -> None:
    records, app = Records(), Listening()
    headers, body = legacy("tools/call", {"name": "safe_tool"})
    scope = http_scope(method, headers=[*headers, ("mcp-session-id", HANDLES[name])])

    reply = await call(AuditLog(gate_around(app), sink=records), scope, body if method == "POST" else b"")

    assert (reply.status, app.asked) == (404, [])
    assert records.verdicts == [("deny", Reason.SESSION_UNKNOWN)]


@pytest.mark.parametrize("name", [name for name in HANDLES if name != "an event of the session"])
@pytest.mark.anyio
async def test_a_stream_is_gone_on_with_by_an_event_of_its_session_alone(name: str) -> None:
    records, app = Records(), Listening()
    session = ("mcp-session-id", HANDLES["the session"])

    reply = await _listen(app, session, ("last-event-id", HANDLES[name]), sink=records)

    assert (reply.status, app.asked) == (400, [])
    assert records.verdicts == [("deny", Reason.EVENT_UNKNOWN)]


@pytest.mark.parametrize("name", [name for name in HANDLES if name != "a question of the session"])
@pytest.mark.anyio
async def test_a_question_is_answered_by_its_handle_in_its_session_alone(name: str) -> None:
    records, app = Records(), Listening()
    headers = [*legacy("ping")[0], ("mcp-session-id", HANDLES["the session"])]
    body = json.dumps({"jsonrpc": "2.0", "id": HANDLES[name], "result": {}}).encode()

    reply = await call(AuditLog(gate_around(app), sink=records), http_scope(headers=headers), body)

    assert (reply.status, app.asked) == (400, [])
    assert records.verdicts == [("deny", Reason.RESPONSE_NOT_EXPECTED)]


# From the first answer to the next question


class As:
    """Asks on behalf of somebody on a route, as the layers around the tools would."""

    def __init__(self, app: ASGIApp, subject: str, route: str = "docs") -> None:
        self._app = app
        self._principal = Principal("https://login.example.com/", subject, "app", frozenset(), {})
        self._route = route

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = exchange_of(scope)
        exchange.principal, exchange.route = self._principal, self._route
        await self._app(scope, receive, send)


class Tasks:
    """A server that has one task, and keeps what it was asked."""

    def __init__(self, task_id: str = "t1") -> None:
        self.asked: list[dict[str, Any]] = []
        self._task = {"taskId": task_id, "status": "working"}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        asked = json.loads((await receive())["body"])
        self.asked.append(asked)
        is_modern = (b"mcp-protocol-version", b"2026-07-28") in scope["headers"]
        if asked["method"] == "tools/call":
            result: dict[str, Any] = (
                {"resultType": "task", **self._task} if is_modern else {"task": self._task}
            )
        elif asked["method"] == "tasks/result":
            related = {"taskId": self._task["taskId"]}
            result = {"content": [], "_meta": {"io.modelcontextprotocol/related-task": related}}
        else:
            result = {"resultType": "complete", **self._task}
        body = json.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": result}).encode()
        await send({"type": "http.response.start", "status": 200, "headers": [JSON]})
        await send({"type": "http.response.body", "body": body})


def _task_gate(server: ASGIApp) -> ASGIApp:
    return ToolAllowlist(Handover(server), tools=["safe_tool"], tasks=True, sealer=SEALER)


def _with_tasks(body: bytes) -> bytes:
    """Return the body of a modern request whose client can go on with tasks."""
    message = json.loads(body)
    message["params"]["_meta"]["io.modelcontextprotocol/clientCapabilities"] = {
        "extensions": {"io.modelcontextprotocol/tasks": {}}
    }
    return json.dumps(message).encode()


async def _about_task(gate: ASGIApp, era: Any, method: str, handle: str) -> Reply:
    headers, body = era(method, {"taskId": handle})
    if era is modern:
        headers.append(("mcp-name", handle))
        body = _with_tasks(body)
    return await call(gate, http_scope(headers=headers), body)


async def _begin_task(gate: ASGIApp, era: Any) -> str:
    params = {"name": "safe_tool", "task": {"ttl": 60_000}} if era is legacy else {"name": "safe_tool"}
    headers, body = era("tools/call", params)
    body = _with_tasks(body) if era is modern else body
    result = (await call(gate, http_scope(headers=headers), body)).json()["result"]
    handle: str = result["taskId"] if era is modern else result["task"]["taskId"]
    return handle


NAMING_METHODS = [
    pytest.param(legacy, "tasks/get", id="asking for it, legacy"),
    pytest.param(modern, "tasks/get", id="asking for it, modern"),
    pytest.param(legacy, "tasks/cancel", id="cancelling it, legacy"),
    pytest.param(modern, "tasks/cancel", id="cancelling it, modern"),
]
TASK_METHODS = [*NAMING_METHODS, pytest.param(legacy, "tasks/result", id="asking for its result")]


@pytest.mark.parametrize(("era", "method"), TASK_METHODS)
@pytest.mark.anyio
async def test_whoever_began_a_task_goes_on_with_it_by_the_name_that_the_answer_gave(
    era: Any, method: str
) -> None:
    server = Tasks()
    gate = As(_task_gate(server), "alice")
    handle = await _begin_task(gate, era)

    reply = await _about_task(gate, era, method, handle)

    result = reply.json()["result"]
    named = result if method != "tasks/result" else result["_meta"]["io.modelcontextprotocol/related-task"]
    assert (reply.status, named["taskId"]) == (200, handle)
    assert server.asked[-1]["params"]["taskId"] == "t1"


@pytest.mark.parametrize(("era", "method"), TASK_METHODS)
@pytest.mark.parametrize(
    ("subject", "route"),
    [
        pytest.param("bob", "docs", id="another principal"),
        pytest.param("alice", "wiki", id="another route"),
    ],
)
@pytest.mark.anyio
async def test_a_task_does_not_exist_for_anybody_else_or_anywhere_else(
    era: Any, method: str, subject: str, route: str
) -> None:
    server, records = Tasks(), Records()
    handle = await _begin_task(As(_task_gate(server), "alice"), era)
    others = AuditLog(As(_task_gate(server), subject, route), sink=records)

    reply = await _about_task(others, era, method, handle)

    assert (reply.status, reply.json()["error"]["message"]) == (200, f"Unknown task: {handle}")
    assert records.verdicts == [("deny", Reason.TASK_NOT_ALLOWED)]
    assert len(server.asked) == 1


@pytest.mark.parametrize("handle", ["t1", *HANDLES.values()], ids=["the server's name", *HANDLES])
@pytest.mark.anyio
async def test_a_task_is_gone_on_with_by_its_handle_alone(handle: str) -> None:
    server, records = Tasks(), Records()
    gate = AuditLog(As(_task_gate(server), "alice"), sink=records)

    reply = await _about_task(gate, legacy, "tasks/get", handle)

    assert reply.json()["error"]["code"] == -32602
    assert records.verdicts == [("deny", Reason.TASK_NOT_ALLOWED)]
    assert server.asked == []


@pytest.mark.parametrize(("era", "method"), NAMING_METHODS)
@pytest.mark.anyio
async def test_an_answer_about_another_task_than_the_one_that_was_asked_about_is_a_bad_gateway(
    era: Any, method: str
) -> None:
    handle = await _begin_task(As(_task_gate(Tasks()), "alice"), era)

    reply = await _about_task(As(_task_gate(Tasks("t2")), "alice"), era, method, handle)

    check_bad_gateway(reply)


@pytest.mark.parametrize(
    ("subject", "route", "status"),
    [
        pytest.param("alice", "docs", 200, id="whom the session was begun by"),
        pytest.param("bob", "docs", 404, id="another principal"),
        pytest.param("alice", "wiki", 404, id="another route"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.anyio
async def test_a_session_goes_on_for_whoever_began_it_where_it_was_begun(
    subject: str, route: str, status: int, method: str
) -> None:
    app = Listening(b": hello\n\n", headers=[STREAM, (b"mcp-session-id", b"s1")])
    headers, body = legacy("ping")
    begun = await call(As(gate_around(app), "alice"), http_scope(headers=headers), body)
    session = ("mcp-session-id", begun.header("mcp-session-id") or "")

    reply = await call(
        As(gate_around(app), subject, route),
        http_scope(method, headers=[*headers, session]),
        body if method == "POST" else b"",
    )

    assert reply.status == status
    assert [asked.get("mcp-session-id") for asked in app.asked] == [None, *(["s1"] if status == 200 else [])]


# Proxies in front


@pytest.mark.parametrize(
    "said",
    [
        pytest.param([], id="nothing"),
        pytest.param([(b"x-accel-buffering", b"no")], id="not to"),
        pytest.param([(b"X-Accel-Buffering", b"yes")], id="to"),
        pytest.param([(b"x-accel-buffering", b"yes"), (b"x-accel-buffering", b"no")], id="both"),
    ],
)
@pytest.mark.parametrize("era", ERAS)
@pytest.mark.anyio
async def test_no_proxy_in_front_keeps_events_back_whatever_the_server_says(
    said: RawHeaders, era: Any
) -> None:
    reply = await ask_gate(Scripted(b": hello\n\n", headers=[STREAM, *said]), era=era)

    assert (reply.header("x-accel-buffering"), reply.body) == ("no", b": hello\n\n")


# Upstreams that fail in the middle


class Failing:
    """A server that is somewhere else, and fails behind these chunks of a stream."""

    def __init__(self, failure: UpstreamFailed, *chunks: bytes) -> None:
        self.failure = failure
        self.chunks = chunks

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": [STREAM]})
        for chunk in self.chunks:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        raise self.failure


IN_STREAMS = [
    pytest.param(Reason.UPSTREAM_INTERRUPTED, "The server's answer was cut off", id="broke off"),
    pytest.param(Reason.UPSTREAM_TIMEOUT, "The server did not answer in time", id="says no more"),
    pytest.param(Reason.ANSWER_NOT_VALID, "The server's answer was not valid", id="is no HTTP any more"),
    pytest.param(Reason.CALL_CANCELLED, "Cancelled", id="was told that nobody waits any more"),
    pytest.param(Reason.GATE_STOPPING, "The gate is stopping", id="goes on while the gate stops"),
]


@pytest.mark.parametrize(("reason", "message"), IN_STREAMS)
@pytest.mark.parametrize("chunks", [[], [b": hello\n\n"], [b": hello\n\n", b"data: " + LIST[:20]]], ids=len)
@pytest.mark.parametrize("message_id", [1, "a"])
@pytest.mark.parametrize("era", ERAS)
@pytest.mark.anyio
async def test_the_stream_of_a_server_that_fails_ends_with_an_error_in_answer_to_the_question(
    reason: Reason, message: str, chunks: Sequence[bytes], message_id: Any, era: Any
) -> None:
    records = Records()

    reply = await ask_gate(
        Failing(UpstreamFailed(reason, SECRET), *chunks), era=era, message_id=message_id, sink=records
    )

    *before, error, end = reply.body.split(b"\n\n")
    assert (reply.status, before, end) == (200, [b": hello"] * bool(chunks), b"")
    fields = _event_lines(error)
    assert fields["event"] == "message"
    assert json.loads(fields["data"]) == {
        "jsonrpc": "2.0",
        "id": message_id,
        "error": {
            "code": -32603,
            "message": message,
            "data": {"requestId": reply.header("x-request-id")},
        },
    }
    assert SECRET not in repr(reply)
    assert records.verdicts == [("allow", None)]


@pytest.mark.parametrize(("reason", "message"), IN_STREAMS)
@pytest.mark.anyio
async def test_a_question_that_was_answered_is_answered_whatever_fails_behind_it(
    reason: Reason, message: str, caplog: pytest.LogCaptureFixture
) -> None:
    answered = b"data: " + OK + b"\n\n"

    reply = await ask_gate(Failing(UpstreamFailed(reason), answered, b"data: x"))

    assert (reply.status, reply.body) == (200, answered)
    assert caplog.records == []


@pytest.mark.parametrize(("reason", "message"), IN_STREAMS)
@pytest.mark.anyio
async def test_the_stream_of_a_session_ends_without_an_answer_because_nobody_asked(
    reason: Reason, message: str
) -> None:
    records = Records()

    reply = await _listen(Failing(UpstreamFailed(reason, SECRET), b": hello\n\n"), sink=records)

    assert (reply.status, reply.body) == (200, b": hello\n\n")
    assert records.verdicts == [("allow", None)]


@pytest.mark.anyio
async def test_a_server_whose_event_was_refused_need_not_go_on() -> None:
    ended: list[str] = []

    async def endless(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": [STREAM]})
        try:
            while True:
                await send({"type": "http.response.body", "body": b"data: secret\n\n", "more_body": True})
                await asyncio.sleep(0)
        finally:
            ended.append("ended")

    async with asyncio.timeout(10):
        reply = await ask_gate(endless)

    assert ended == ["ended"]
    assert reply.body.count(b"The server's answer was not valid") == 1
    assert SECRET not in repr(reply)


@pytest.mark.parametrize(
    ("chunks", "takes"),
    [
        pytest.param([b": hello\n\n"], 1, id="behind the head"),
        pytest.param([b": hello\n\n", b"data: " + LIST[:20]], 2, id="behind an event"),
        pytest.param([b"data: " + OK + b"\n\n"], 2, id="behind the answer"),
    ],
)
@pytest.mark.parametrize("reason", [Reason.UPSTREAM_INTERRUPTED, Reason.CALL_CANCELLED, Reason.GATE_STOPPING])
@pytest.mark.anyio
async def test_who_does_not_take_the_end_of_a_stream_is_not_waited_for(
    chunks: Sequence[bytes], takes: int, reason: Reason, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "LAST_SECONDS", 0.05)
    got: list[Message] = []
    waiting: list[Message] = []

    async def failing(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": [STREAM]})
        for chunk in chunks:
            try:
                async with asyncio.timeout(0.05):
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
            except TimeoutError:
                break
        raise UpstreamFailed(reason)

    async def send(message: Message) -> None:
        if len(got) == takes:
            waiting.append(message)
            await asyncio.Event().wait()
        got.append(message)

    headers, body = legacy("tools/call", {"name": "safe_tool"})

    async def receive() -> Message:
        return {"type": "http.request", "body": body}

    async with asyncio.timeout(10):
        await gate_around(failing)(http_scope(headers=headers), receive, send)

    assert got[0]["type"] == "http.response.start"
    assert (len(got), waiting[-1].get("more_body", False)) == (takes, False)
