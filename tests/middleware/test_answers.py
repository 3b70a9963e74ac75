import json
import logging
from collections.abc import Coroutine, Sequence
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.support.asgi import Reply, Spy, call, http_scope, reply_of
from tests.support.audit import Records
from tests.support.mcp import legacy, modern
from tunnelgate import AuditLog, Reason, ToolAllowlist
from tunnelgate.answers import DEFAULT_MAX_ANSWER, AnswerGuard
from tunnelgate.asgi import ASGIApp, Message, Receive, Scope, Send
from tunnelgate.exchange import exchange_of
from tunnelgate.handover import Handover

JSON = (b"content-type", b"application/json")
STREAM = (b"content-type", b"text/event-stream")
OK = b'{"jsonrpc":"2.0","id":1,"result":{}}'
ERAS = [pytest.param(legacy, id="legacy"), pytest.param(modern, id="modern")]
RawHeaders = Sequence[tuple[bytes, bytes]]


class Scripted:
    """An application that answers with these headers and these chunks, whatever it is asked."""

    def __init__(
        self, *chunks: bytes, headers: RawHeaders = (JSON,), status: int = 200, log: list[str] | None = None
    ) -> None:
        self.start: Message = {"type": "http.response.start", "status": status, "headers": list(headers)}
        self.chunks = chunks
        self.log: list[str] = [] if log is None else log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(self.start)
        for position, chunk in enumerate(self.chunks, 1):
            self.log.append(f"the application sends {position}")
            await send(
                {"type": "http.response.body", "body": chunk, "more_body": position < len(self.chunks)}
            )


async def _ask(
    app: ASGIApp,
    *,
    era: Any = legacy,
    method: str = "tools/call",
    message_id: Any = 1,
    max_answer: int = DEFAULT_MAX_ANSWER,
    sink: Records | None = None,
) -> Reply:
    params = {"name": "safe_tool"} if method == "tools/call" else None
    headers, body = era(method, params, message_id=message_id)
    gate: ASGIApp = ToolAllowlist(Handover(app), tools=["safe_tool"], max_answer=max_answer)
    if sink is not None:
        gate = AuditLog(gate, sink=sink)
    return await call(gate, http_scope(headers=headers), body)


def _check_bad_gateway(reply: Reply, message_id: Any = 1) -> None:
    request_id = reply.header("x-request-id")
    assert reply.status == 502
    assert reply.header("content-type") == "application/json"
    assert reply.header("content-length") == str(len(reply.body))
    assert reply.json() == {
        "jsonrpc": "2.0",
        "id": message_id,
        "error": {
            "code": -32603,
            "message": "The server's answer was not valid",
            "data": {"requestId": request_id},
        },
    }


# Answers in one piece


@pytest.mark.parametrize(
    ("body", "passed"),
    [
        pytest.param(OK, OK, id="a result"),
        pytest.param(b" \r\n" + OK.replace(b":", b" : ") + b"\n", OK, id="a result with white space"),
        pytest.param(OK.replace(b"result", b"re\\u0073ult"), OK, id="a result with an escape"),
        pytest.param(
            b'{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"x"}}',
            b'{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"x"}}',
            id="an error",
        ),
        pytest.param(
            b'{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"x"}}',
            b'{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"x"}}',
            id="an error in answer to nobody",
        ),
    ],
)
@pytest.mark.parametrize("era", ERAS)
@pytest.mark.anyio
async def test_an_answer_to_the_question_is_passed_on_in_its_canonical_form(
    body: bytes, passed: bytes, era: Any
) -> None:
    reply = await _ask(Scripted(body), era=era)

    assert (reply.status, reply.body) == (200, passed)
    assert reply.header("content-length") == str(len(passed))


SECRET = "secret"


@pytest.mark.promise("answer-fits")
@pytest.mark.parametrize(
    "body",
    [
        pytest.param(OK.replace(b'"id":1', b'"id":2'), id="another id"),
        pytest.param(OK.replace(b'"id":1', b'"id":"1"'), id="the id as a text"),
        pytest.param(OK.replace(b'"id":1', b'"id":1.0'), id="the id as a fraction"),
        pytest.param(OK.replace(b'"id":1', b'"id":true'), id="true, which Python takes for 1"),
        pytest.param(OK.replace(b'"id":1', b'"id":null'), id="a result for nobody"),
        pytest.param(OK.replace(b'"id":1,', b""), id="no id"),
        pytest.param(OK.replace(b'"2.0"', b'"1.0"'), id="another version of JSON-RPC"),
        pytest.param(OK[:-1] + b',"result":{"x":1}}', id="two results"),
        pytest.param(OK[:-1] + b',"id":2}', id="two ids"),
        pytest.param(OK.replace(b"{}", b'{"x":1,"x":2}'), id="two members of the result"),
        pytest.param(OK[:-1] + b',"error":{}}', id="a result and an error"),
        pytest.param(OK[:-1] + b',"Result":{}}', id="a member in capitals"),
        pytest.param(OK[:-1] + b',"secret":1}', id="a member that no response has"),
        pytest.param(b'{"jsonrpc":"2.0","id":1}', id="neither result nor error"),
        pytest.param(b'{"jsonrpc":"2.0","id":1,"result":[]}', id="a result that is a list"),
        pytest.param(b'{"jsonrpc":"2.0","id":1,"result":"secret"}', id="a result that is a text"),
        pytest.param(b'{"jsonrpc":"2.0","id":1,"result":null}', id="a result that is null"),
        pytest.param(b'{"jsonrpc":"2.0","method":7}', id="a method that is a number"),
        pytest.param(b'{"jsonrpc":"2.0","method":"x","result":{}}', id="a call with a result"),
        pytest.param(b"[" + OK + b"]", id="a batch"),
        pytest.param(b'"secret"', id="a text"),
        pytest.param(b"null", id="null"),
        pytest.param(OK + OK, id="two answers"),
        pytest.param(OK[:-1], id="half an answer"),
        pytest.param(b"\xef\xbb\xbf" + OK, id="a byte order mark"),
        pytest.param(OK.decode().encode("utf-16"), id="UTF-16"),
        pytest.param(OK.replace(b"{}", b'{"x":"\xff"}'), id="octets that are not UTF-8"),
        pytest.param(OK.replace(b"{}", b'{"x":"\\ud800"}'), id="an unpaired surrogate"),
        pytest.param(OK.replace(b"{}", b'{"x":NaN}'), id="NaN"),
        pytest.param(OK.replace(b"{}", b'{"x":9007199254740993}'), id="an integer that is no double"),
        pytest.param(OK.replace(b"{}", b'{"x":' + b"[" * 70 + b"]" * 70 + b"}"), id="70 levels"),
        pytest.param(b"", id="nothing"),
        pytest.param(b"<html>secret</html>", id="a page"),
    ],
)
@pytest.mark.parametrize("era", ERAS)
@pytest.mark.anyio
async def test_an_answer_with_two_readings_or_to_another_question_is_a_bad_gateway(
    body: bytes, era: Any
) -> None:
    records = Records()

    reply = await _ask(Scripted(body, headers=[JSON, (b"x-secret", b"secret")]), era=era, sink=records)

    _check_bad_gateway(reply)
    assert SECRET not in repr(reply)
    assert records.verdicts == [("allow", None)]


@pytest.mark.promise("answer-fits")
@pytest.mark.parametrize(
    "headers",
    [
        pytest.param([(b"content-type", b"text/html")], id="a page"),
        pytest.param([(b"content-type", b"text/plain")], id="a text"),
        pytest.param([(b"content-type", b"application/json+secret")], id="a type that begins so"),
        pytest.param([(b"content-type", b"application/x-ndjson")], id="JSON by lines"),
        pytest.param([(b"content-type", b"")], id="an empty type"),
        pytest.param([(b"content-type", b"json")], id="no type at all"),
        pytest.param([(b"content-type", b"application/json, text/html")], id="two types in one"),
        pytest.param([JSON, JSON], id="the same type twice"),
        pytest.param([JSON, STREAM], id="JSON and a stream"),
        pytest.param([STREAM, JSON], id="a stream and JSON"),
        pytest.param([(b"Content-Type", b"text/event-stream"), JSON], id="a stream in capitals and JSON"),
        pytest.param([(b"content-type", b"application/json; charset=utf-7")], id="JSON in UTF-7"),
        pytest.param([(b"content-type", b"application/json; charset=utf-16")], id="JSON in UTF-16"),
        pytest.param([JSON, (b"content-encoding", b"gzip")], id="gzip, which nobody asked for"),
        pytest.param([JSON, (b"Content-Encoding", b"BR")], id="Brotli in capitals"),
        pytest.param([JSON, (b"content-encoding", b"identity, gzip")], id="a list of encodings"),
        pytest.param(
            [JSON, (b"content-encoding", b"identity"), (b"content-encoding", b"gzip")],
            id="two lines of encodings",
        ),
        pytest.param([JSON, (b"content-encoding", b"")], id="an empty encoding"),
        pytest.param([STREAM, (b"content-encoding", b"gzip")], id="a compressed stream"),
    ],
)
@pytest.mark.anyio
async def test_an_answer_in_a_foreign_form_is_a_bad_gateway(headers: RawHeaders) -> None:
    records = Records()

    reply = await _ask(
        Scripted(OK[:-2], b'"secret":1}}', headers=[*headers, (b"x-secret", b"1")]), sink=records
    )

    _check_bad_gateway(reply)
    assert SECRET not in repr(reply)
    assert records.verdicts == [("allow", None)]


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param([JSON], id="JSON"),
        pytest.param(
            [(b"Content-Type", b"Application/JSON; charset=UTF-8")], id="JSON in capitals and UTF-8"
        ),
        pytest.param([JSON, (b"content-encoding", b" Identity ")], id="an encoding that is none"),
        pytest.param([JSON, (b"content-length", b"7")], id="a length that is wrong"),
        pytest.param([], id="no type"),
    ],
)
@pytest.mark.anyio
async def test_an_answer_may_be_announced_in_every_way_that_means_json(headers: RawHeaders) -> None:
    reply = await _ask(Scripted(OK, headers=headers))

    assert (reply.status, reply.body) == (200, OK)
    assert reply.header("content-length") == str(len(OK))


@pytest.mark.parametrize(
    "coding",
    [
        pytest.param((b"transfer-encoding", b"chunked"), id="chunked"),
        pytest.param((b"Transfer-Encoding", b"gzip, chunked"), id="compressed and chunked"),
    ],
)
@pytest.mark.anyio
async def test_an_answer_that_is_given_a_length_keeps_no_transfer_coding(coding: tuple[bytes, bytes]) -> None:
    reply = await _ask(Scripted(OK, headers=[JSON, coding]))

    names = [name.lower() for name, _ in reply.headers]
    assert "content-length" in names
    assert "transfer-encoding" not in names


@pytest.mark.anyio
async def test_other_headers_of_an_answer_are_passed_on() -> None:
    reply = await _ask(Scripted(OK, headers=[JSON, (b"mcp-session-id", b"1"), (b"x-more", b"2")]))

    assert (reply.header("mcp-session-id"), reply.header("x-more")) == ("1", "2")


@pytest.mark.parametrize(
    "sizes",
    [
        pytest.param([100], id="in one chunk"),
        pytest.param([50, 50], id="in two chunks"),
        pytest.param([1] * 100, id="octet by octet"),
    ],
)
@pytest.mark.parametrize(("max_answer", "status"), [(100, 200), (99, 502)])
@pytest.mark.anyio
async def test_an_answer_is_bounded_however_it_comes(sizes: list[int], max_answer: int, status: int) -> None:
    body = OK.replace(b"{}", b'{"x":"' + b"x" * (100 - len(OK) - 6) + b'"}')
    assert len(body) == 100
    ends = [sum(sizes[: position + 1]) for position in range(len(sizes))]
    chunks = [body[end - size : end] for end, size in zip(ends, sizes, strict=True)]

    reply = await _ask(Scripted(*chunks), max_answer=max_answer)

    assert reply.status == status
    assert reply.body == body or status == 502


@pytest.mark.parametrize(
    ("status", "body", "answered"),
    [
        pytest.param(202, b"", 202, id="a notification that was taken"),
        pytest.param(400, b"", 400, id="a notification that was not"),
    ],
)
@pytest.mark.anyio
async def test_a_notification_needs_no_answer(status: int, body: bytes, answered: int) -> None:
    message = b'{"jsonrpc":"2.0","method":"notifications/initialized"}'
    app = ToolAllowlist(Scripted(body, headers=[], status=status), tools=["safe_tool"])

    reply = await call(app, http_scope(headers=legacy("ping")[0]), message)

    assert (reply.status, reply.body, reply.header("content-length")) == (answered, b"", "0")


@pytest.mark.parametrize(
    ("status", "answered"),
    [
        pytest.param(200, 502, id="a success without an answer"),
        pytest.param(204, 502, id="no content"),
        pytest.param(299, 502, id="the last of the successes"),
        pytest.param(307, 307, id="the way to another place"),
        pytest.param(404, 404, id="a session that is not known any more"),
        pytest.param(500, 500, id="a failure"),
    ],
)
@pytest.mark.anyio
async def test_a_request_needs_an_answer_unless_it_failed(status: int, answered: int) -> None:
    reply = await _ask(Scripted(b"", headers=[], status=status))

    assert reply.status == answered


@pytest.mark.anyio
async def test_a_failure_may_say_what_failed_in_json_rpc() -> None:
    body = b'{"jsonrpc":"2.0","id":1,"error":{"code":-32600,"message":"Session not found"}}'

    reply = await _ask(Scripted(body, status=404))

    assert (reply.status, reply.body) == (404, body)


@pytest.mark.anyio
async def test_after_a_bad_gateway_nothing_more_is_passed_on() -> None:
    async def insisting(scope: Scope, receive: Receive, send: Send) -> None:
        await Scripted(b"<html>", headers=[(b"content-type", b"text/html")])(scope, receive, send)
        await Scripted(b"data: " + OK + b"\n\n", headers=[STREAM])(scope, receive, send)
        await Scripted(OK)(scope, receive, send)

    reply = await _ask(insisting)

    _check_bad_gateway(reply)


@pytest.mark.parametrize("form", [JSON, STREAM], ids=["JSON", "a stream"])
@pytest.mark.anyio
async def test_after_the_end_of_an_answer_nothing_more_is_passed_on(form: tuple[bytes, bytes]) -> None:
    body = OK if form is JSON else b"data: " + OK + b"\n\n"

    async def insisting(scope: Scope, receive: Receive, send: Send) -> None:
        await Scripted(body, headers=[form])(scope, receive, send)
        await send({"type": "http.response.body", "body": body})
        await Scripted(body, headers=[form])(scope, receive, send)

    reply = await _ask(insisting)

    assert (reply.status, reply.body) == (200, body)


@pytest.mark.anyio
async def test_a_message_that_is_neither_head_nor_body_is_not_passed_on() -> None:
    async def with_files(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [JSON]})
        await send({"type": "http.response.pathsend", "path": "/etc/passwd"})
        await send({"type": "http.response.body", "body": OK})

    reply = await _ask(with_files)

    assert (reply.status, reply.body) == (200, OK)


@pytest.mark.anyio
async def test_why_an_answer_was_not_passed_on_is_logged_with_the_request(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING, "tunnelgate"):
        reply = await _ask(Scripted(b"<html>", headers=[(b"content-type", b"text/html")]))

    (record,) = caplog.records
    assert record.getMessage() == (
        f"request {reply.header('x-request-id')}: answer-not-valid: media type text/html"
    )


# Lists

LIST = b'{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"safe_tool"},{"name":"danger_tool"}]}}'
FILTERED = b'{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"safe_tool"}]}}'


@pytest.mark.parametrize(
    "result",
    [
        pytest.param(b"{}", id="no list"),
        pytest.param(b'{"tools":{}}', id="an object in place of the list"),
        pytest.param(b'{"tools":null}', id="null in place of the list"),
        pytest.param(b'{"tools":[],"Tools":[{"name":"danger_tool"}]}', id="a second list in capitals"),
        pytest.param(b'{"tools":[],"tool\xc5\xbf":[]}', id="a second list with a long s"),
        pytest.param(b'{"TOOLS":[{"name":"danger_tool"}]}', id="only a list in capitals"),
        pytest.param(b'{"tools":["danger_tool"]}', id="a text in the list"),
        pytest.param(b'{"tools":[[]]}', id="a list in the list"),
        pytest.param(b'{"tools":[{}]}', id="an entry without a name"),
        pytest.param(b'{"tools":[{"name":7}]}', id="a name that is a number"),
        pytest.param(b'{"tools":[{"name":["safe_tool"]}]}', id="a name that is a list"),
        pytest.param(b'{"tools":[{"name":"safe_tool","name":"danger_tool"}]}', id="two names"),
        pytest.param(
            b'{"tools":[{"name":"safe_tool","NAME":"danger_tool"}]}', id="a second name in capitals"
        ),
        pytest.param(b'{"tools":[{"Name":"danger_tool"}]}', id="only a name in capitals"),
    ],
)
@pytest.mark.parametrize("form", [JSON, STREAM], ids=["JSON", "a stream"])
@pytest.mark.parametrize("era", ERAS)
@pytest.mark.anyio
async def test_a_list_in_which_two_clients_could_see_different_names_is_not_passed_on(
    result: bytes, form: tuple[bytes, bytes], era: Any
) -> None:
    message = b'{"jsonrpc":"2.0","id":1,"result":' + result + b"}"
    body = message if form is JSON else b"data: " + message + b"\n\n"

    reply = await _ask(Scripted(body, headers=[form]), era=era, method="tools/list")

    if form is JSON:
        _check_bad_gateway(reply)
    assert b"The server's answer was not valid" in reply.body
    assert b"danger_tool" not in reply.body


@pytest.mark.promise("listed-equals-callable")
@pytest.mark.parametrize(
    "stream",
    [
        pytest.param(b"event: message\ndata: " + LIST + b"\n\n", id="LF"),
        pytest.param(b"event: message\r\ndata: " + LIST + b"\r\n\r\n", id="CRLF"),
        pytest.param(b"event: message\rdata: " + LIST + b"\r\r", id="CR"),
        pytest.param(b"event: message\r\ndata: " + LIST + b"\n\r", id="line ends of every kind"),
        pytest.param(b"\xef\xbb\xbfevent: message\ndata: " + LIST + b"\n\n", id="a byte order mark"),
        pytest.param(b"event: message\ndata:" + LIST + b"\n\n", id="no space after the colon"),
        pytest.param(
            b"event: message\ndata: " + LIST.replace(b'"id":1,', b'"id":1,\ndata: ') + b"\n\n",
            id="two data lines",
        ),
        pytest.param(
            b"data: " + LIST.replace(b'"id":1,', b'"id":1,\nevent: message\ndata: ') + b"\n\n",
            id="data lines around another field",
        ),
        pytest.param(
            b"event: other\nevent: message\ndata: " + LIST + b"\n\n", id="two types, of which the last holds"
        ),
        pytest.param(
            b"secret: danger_tool\nevent: message\ndata: " + LIST + b"\n\n", id="a field that nobody knows"
        ),
    ],
)
@pytest.mark.parametrize("size", [1, 2, 3, 1000])
@pytest.mark.parametrize("era", ERAS)
@pytest.mark.anyio
async def test_a_list_in_a_stream_is_filtered_however_it_is_written_and_cut(
    stream: bytes, size: int, era: Any
) -> None:
    chunks = [stream[start : start + size] for start in range(0, len(stream), size)]

    reply = await _ask(Scripted(*chunks, headers=[STREAM]), era=era, method="tools/list")

    assert (reply.status, reply.header("content-type")) == (200, "text/event-stream")
    assert reply.body == b"event: message\ndata: " + FILTERED + b"\n\n"


# Streams


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

    reply = await _ask(Scripted(*chunks, headers=[STREAM]), method="tools/list")

    assert reply.body == b": hello\n\n"


@pytest.mark.parametrize(
    ("event", "passed"),
    [
        pytest.param(b": ping\n\n", b": ping\n\n", id="a comment"),
        pytest.param(b":\n\n", b":\n\n", id="an empty comment"),
        pytest.param(
            b"id: 7\nretry: 100\ndata:\n\n", b"id: 7\nretry: 100\ndata: \n\n", id="an event to resume from"
        ),
        pytest.param(
            b'data: {"jsonrpc":"2.0", "method":"notifications/progress","params":{"progress":1}}\n\n',
            b'data: {"jsonrpc":"2.0","method":"notifications/progress","params":{"progress":1}}\n\n',
            id="a notification",
        ),
        pytest.param(
            b'data: {"jsonrpc":"2.0","id":9,"method":"elicitation/create","params":{}}\n\n',
            b'data: {"jsonrpc":"2.0","id":9,"method":"elicitation/create","params":{}}\n\n',
            id="a question of the server",
        ),
        pytest.param(b"data: " + OK + b"\n\n", b"data: " + OK + b"\n\n", id="the answer"),
    ],
)
@pytest.mark.parametrize("era", ERAS)
@pytest.mark.anyio
async def test_what_belongs_to_an_answer_in_a_stream_is_passed_on(
    event: bytes, passed: bytes, era: Any
) -> None:
    reply = await _ask(Scripted(event, b"", headers=[STREAM, (b"content-length", b"7")]), era=era)

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

    reply = await _ask(app, era=era, sink=records)

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
    good, bad = b"data: " + OK + b"\n\n", b"data: secret\n\n"

    apart = await _ask(Scripted(good, bad, headers=[STREAM]))
    together = await _ask(Scripted(good + bad, headers=[STREAM]))

    assert apart.body.startswith(good)
    assert together.body.startswith(good)


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

    reply = await _ask(Scripted(*chunks, headers=[STREAM]), max_answer=1000)

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
    stream = _event_of(900) * 5
    chunks = [stream[start : start + size] for start in range(0, len(stream), size)]

    reply = await _ask(Scripted(*chunks, headers=[STREAM]), max_answer=1000)

    assert reply.body == stream


@pytest.mark.anyio
async def test_each_event_is_sent_before_the_next_one_comes() -> None:
    log: list[str] = []
    events = [b": hello\n\n", b"data: " + OK + b"\n\n", b": bye\n\n"]
    app = ToolAllowlist(Handover(Scripted(*events, headers=[STREAM], log=log)), tools=["safe_tool"])
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


@pytest.mark.anyio
async def test_the_head_of_a_stream_is_sent_before_its_first_event() -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    guard = AnswerGuard(send, exchange_of(http_scope()), None, lambda name: True, max_answer=1000)
    await guard.send({"type": "http.response.start", "status": 200, "headers": [STREAM]})

    assert sent == [{"type": "http.response.start", "status": 200, "headers": [STREAM]}]


@pytest.mark.anyio
async def test_half_an_event_sends_nothing_yet() -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    guard = AnswerGuard(send, exchange_of(http_scope()), None, lambda name: True, max_answer=1000)
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
        guard = AnswerGuard(send, exchange, "tools", lambda name: name == "safe_tool", max_answer=10_000)
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

    assert b"".join(chunks) == stream
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

    app = ToolAllowlist(Spy(body, content_type=form[1].decode()), tools=["safe_tool"])
    _run(app(http_scope(headers=legacy("tools/list")[0]), receive, send))

    reply = reply_of(sent)
    assert reply.status in (200, 502)
    assert b"danger_tool" not in reply.body


def test_without_any_setting_an_answer_may_have_eight_mebibytes() -> None:
    assert DEFAULT_MAX_ANSWER == 8 * 1024 * 1024


@pytest.mark.anyio
async def test_both_reasons_of_an_answer_that_is_not_passed_on_are_told_apart_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    await _ask(Scripted(OK * 2))
    await _ask(Scripted(OK), max_answer=len(OK) - 1)

    reasons = [str(record.args[1]) for record in caplog.records if isinstance(record.args, tuple)]
    assert reasons == [Reason.ANSWER_NOT_VALID, Reason.ANSWER_TOO_LARGE]
