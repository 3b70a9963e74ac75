import asyncio
import json
import logging
from typing import Any

import pytest

from tests.support.answering import (
    ERAS,
    JSON,
    OK,
    STREAM,
    RawHeaders,
    Scripted,
    ask_gate,
    check_bad_gateway,
    gate_around,
    handles_of_nobody,
)
from tests.support.asgi import Reply, call, http_scope, reply_of
from tests.support.audit import Records
from tests.support.mcp import legacy, modern
from tunnelgate import Broken, Reason, ToolAllowlist, answers
from tunnelgate.asgi import ASGIApp, Message, Receive, Scope, Send
from tunnelgate.body import READ_ASIDE
from tunnelgate.errors import UpstreamFailed
from tunnelgate.exchange import exchange_of
from tunnelgate.refusal import refuse

SECRET = "secret"


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
            b'{"jsonrpc":"2.0","id":1,"error":{"code":-32700,"message":"x"}}',
            id="an error in answer to nobody, which names the question then",
        ),
    ],
)
@pytest.mark.parametrize("era", ERAS)
@pytest.mark.anyio
async def test_an_answer_to_the_question_is_passed_on_in_its_canonical_form(
    body: bytes, passed: bytes, era: Any
) -> None:
    reply = await ask_gate(Scripted(body), era=era)

    assert (reply.status, reply.body) == (200, passed)
    assert reply.header("content-length") == str(len(passed))


@pytest.mark.parametrize(
    ("said", "told"),
    [
        pytest.param(b"9007199254740993", b"9007199254740993", id="an integer that is no double"),
        pytest.param(b"18446744073709551615", b"18446744073709551615", id="the largest of 64 bits"),
        pytest.param(b"-9223372036854775808", b"-9223372036854775808", id="the smallest of 64 bits"),
        pytest.param(b'"\\ud800"', '"\ufffd"'.encode(), id="an unpaired surrogate, which is replaced"),
        pytest.param(b'"a\\uDC00b"', '"a\ufffdb"'.encode(), id="the other half of a pair"),
        pytest.param(b'{"\\udfff":1}', '{"\ufffd":1}'.encode(), id="an unpaired surrogate in a name"),
        pytest.param(
            b'"\\ud83d\\udc19"', '"\U0001f419"'.encode(), id="both halves of a pair, which are a letter"
        ),
    ],
)
@pytest.mark.parametrize("form", [JSON, STREAM], ids=["JSON", "a stream"])
@pytest.mark.parametrize("era", ERAS)
@pytest.mark.anyio
async def test_what_a_client_only_shows_may_be_what_no_client_may_send(
    said: bytes, told: bytes, form: tuple[bytes, bytes], era: Any
) -> None:
    body, passed = (OK.replace(b"{}", b'{"x":' + each + b"}") for each in (said, told))
    if form is STREAM:
        body, passed = (b"data: " + each + b"\n\n" for each in (body, passed))

    reply = await ask_gate(Scripted(body, headers=[form]), era=era)

    assert (reply.status, reply.body) == (200, passed)


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
        pytest.param(
            OK.replace(b"{}", b'{"\\ud800":1,"\\udfff":2}'), id="two members that are one without surrogates"
        ),
        pytest.param(OK.replace(b"{}", b'{"x":NaN}'), id="NaN"),
        pytest.param(OK.replace(b"{}", b'{"x":18446744073709551616}'), id="an integer of more than 64 bits"),
        pytest.param(OK.replace(b"{}", b'{"x":-9223372036854775809}'), id="the same below zero"),
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

    reply = await ask_gate(Scripted(body, headers=[JSON, (b"x-secret", b"secret")]), era=era, sink=records)

    check_bad_gateway(reply)
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

    reply = await ask_gate(
        Scripted(OK[:-2], b'"secret":1}}', headers=[*headers, (b"x-secret", b"1")]), sink=records
    )

    check_bad_gateway(reply)
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
    reply = await ask_gate(Scripted(OK, headers=headers))

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
    reply = await ask_gate(Scripted(OK, headers=[JSON, coding]))

    names = [name.lower() for name, _ in reply.headers]
    assert "content-length" in names
    assert "transfer-encoding" not in names


PASSED: RawHeaders = (
    (b"allow", b"POST"),
    (b"cache-control", b"no-cache, no-transform"),
    (b"content-language", b"en"),
    (b"retry-after", b"7"),
    (b"x-accel-buffering", b"no"),
)
NOT_PASSED: RawHeaders = (
    (b"access-control-allow-origin", b"*"),
    (b"age", b"1"),
    (b"alt-svc", b'h3=":443"'),
    (b"connection", b"close"),
    (b"content-disposition", b"attachment"),
    (b"content-encoding", b"identity"),
    (b"content-length", b"7"),
    (b"date", b"Sun, 22 Nov 2026 10:00:00 GMT"),
    (b"etag", b'"1"'),
    (b"link", b"</x>; rel=preload"),
    (b"location", b"https://evil.example/"),
    (b"mcp-protocol-version", b"2025-11-25"),
    (b"proxy-authenticate", b"Basic"),
    (b"refresh", b"0"),
    (b"server", b"x"),
    (b"set-cookie", b"a=b"),
    (b"strict-transport-security", b"max-age=1"),
    (b"trailer", b"x"),
    (b"transfer-encoding", b"chunked"),
    (b"upgrade", b"h2c"),
    (b"www-authenticate", b'Bearer resource_metadata="https://evil.example/"'),
    (b"x-forwarded-for", b"10.0.0.1"),
    (b"x-request-id", b"of the server"),
)


@pytest.mark.parametrize("form", [JSON, STREAM], ids=["JSON", "a stream"])
@pytest.mark.parametrize("status", [200, 404], ids=["a success", "a refusal"])
@pytest.mark.parametrize("era", ERAS)
@pytest.mark.anyio
async def test_of_the_headers_of_an_answer_those_that_are_listed_are_passed_on(
    form: tuple[bytes, bytes], status: int, era: Any
) -> None:
    body = OK if form is JSON else b"data: " + OK + b"\n\n"
    capitals = [(name.title(), value) for name, value in (*PASSED, *NOT_PASSED)]

    reply = await ask_gate(Scripted(body, headers=[form, *capitals], status=status), era=era)

    own = {"content-length", "content-type", "x-request-id"}
    assert reply.status == status
    assert {name: value for name, value in reply.headers if name not in own} == {
        name.decode(): value.decode() for name, value in PASSED
    }
    assert (reply.header("x-request-id") or "").isalnum()


@pytest.mark.parametrize("value", [b"public, max-age=3600", b"max-age=3600, Public", b"s-maxage=60"])
@pytest.mark.parametrize("form", [JSON, STREAM], ids=["JSON", "a stream"])
@pytest.mark.anyio
async def test_no_cache_on_the_way_is_told_to_keep_for_everybody_what_was_judged_for_one(
    value: bytes, form: tuple[bytes, bytes]
) -> None:
    body = OK if form is JSON else b"data: " + OK + b"\n\n"

    reply = await ask_gate(Scripted(body, headers=[form, (b"cache-control", value)]))

    control = (reply.header("cache-control") or "").lower()
    assert "public" not in control
    assert "s-maxage" not in control


@pytest.mark.parametrize(
    ("said", "told"),
    [
        pytest.param(b"Application/JSON; charset=UTF-8", "application/json", id="JSON in capitals"),
        pytest.param(b'application/json; x="y"', "application/json", id="JSON with a parameter"),
        pytest.param(b"Text/Event-Stream; charset=utf-8", "text/event-stream", id="a stream"),
    ],
)
@pytest.mark.anyio
async def test_what_form_an_answer_has_is_said_anew_and_without_parameters(said: bytes, told: str) -> None:
    body = OK if told == "application/json" else b"data: " + OK + b"\n\n"

    reply = await ask_gate(Scripted(body, headers=[(b"content-type", said)]))

    assert (reply.status, reply.header("content-type"), reply.body) == (200, told, body)


@pytest.mark.parametrize(
    "header",
    [
        pytest.param((b"retry-after", b"7\r\nx-evil: 1"), id="a line end in a header that is passed on"),
        pytest.param((b"x-other", b"a\0b"), id="a NUL in one that is not"),
        pytest.param((b"cache-control", b"no-cache\x7f"), id="DEL"),
        pytest.param((b"mcp-session-id", b"s1\n"), id="a line end in the name of a session"),
    ],
)
@pytest.mark.parametrize("status", [200, 404])
@pytest.mark.anyio
async def test_an_answer_with_a_control_character_in_its_head_is_a_bad_gateway(
    header: tuple[bytes, bytes], status: int
) -> None:
    check_bad_gateway(await ask_gate(Scripted(OK, headers=[JSON, header], status=status)))


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

    reply = await ask_gate(Scripted(*chunks), max_answer=max_answer)

    assert reply.status == status
    assert reply.body == body or status == 502


# Statuses

ERROR = b'{"jsonrpc":"2.0","id":1,"error":{"code":-32600,"message":"Session not found"}}'
PAGE = b"<html>secret</html>"


def _check_relayed(reply: Reply, status: int, message_id: Any = 1) -> None:
    assert reply.status == status
    assert reply.header("content-type") == "application/json"
    assert reply.header("content-length") == str(len(reply.body))
    assert reply.json() == {
        "jsonrpc": "2.0",
        "id": message_id,
        "error": {
            "code": -32600,
            "message": "The server refused the request",
            "data": {"requestId": reply.header("x-request-id")},
        },
    }


@pytest.mark.parametrize("status", [200, 202, 299])
@pytest.mark.parametrize("era", ERAS)
@pytest.mark.anyio
async def test_a_success_without_an_answer_is_a_bad_gateway(status: int, era: Any) -> None:
    check_bad_gateway(await ask_gate(Scripted(b"", headers=[], status=status), era=era))


@pytest.mark.parametrize(
    "status",
    [
        pytest.param(100, id="an interim answer"),
        pytest.param(101, id="another protocol"),
        pytest.param(103, id="an early hint"),
        pytest.param(204, id="no content"),
        pytest.param(205, id="no content, and a form that is reset"),
        pytest.param(600, id="a status that HTTP does not have"),
        pytest.param(999, id="the last that could be written"),
    ],
)
@pytest.mark.parametrize("form", [JSON, STREAM], ids=["JSON", "a stream"])
@pytest.mark.anyio
async def test_a_status_after_which_nobody_reads_an_answer_has_none(
    status: int, form: tuple[bytes, bytes]
) -> None:
    body = OK if form is JSON else b"data: " + OK + b"\n\n"

    check_bad_gateway(await ask_gate(Scripted(body, headers=[form], status=status)))


@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 307, 308, 399])
@pytest.mark.parametrize("body", [b"", OK, PAGE], ids=["without a body", "with an answer", "with a page"])
@pytest.mark.parametrize("era", ERAS)
@pytest.mark.anyio
async def test_a_client_is_sent_nowhere_else(status: int, body: bytes, era: Any) -> None:
    elsewhere = (b"location", b"https://evil.example/secret")

    reply = await ask_gate(Scripted(body, headers=[JSON, elsewhere], status=status), era=era)

    check_bad_gateway(reply)
    assert reply.header("location") is None


REFUSING = [400, 402, 404, 405, 429, 499]


@pytest.mark.parametrize("status", REFUSING)
@pytest.mark.parametrize(
    ("body", "headers"),
    [
        pytest.param(b"", [], id="without a body"),
        pytest.param(PAGE, [(b"content-type", b"text/html")], id="with a page"),
        pytest.param(b"secret", [(b"content-type", b"text/plain")], id="with a text"),
        pytest.param(ERROR[:-1] + b',"secret":1}', [JSON], id="with an error that cannot be read"),
        pytest.param(ERROR.replace(b'"id":1', b'"id":2'), [JSON], id="with an error for another question"),
        pytest.param(b'{"error":"secret"}', [JSON], id="with JSON that is no message"),
        pytest.param(b"data: " + ERROR + b"\n\n", [STREAM], id="with a stream"),
        pytest.param(
            b'{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"alert","data":"secret"}}',
            [JSON],
            id="with a notification",
        ),
        pytest.param(
            b'{"jsonrpc":"2.0","id":1,"result":{"secret":1}}', [JSON], id="with a result, which is no refusal"
        ),
    ],
)
@pytest.mark.parametrize("era", ERAS)
@pytest.mark.anyio
async def test_a_refusal_of_the_server_keeps_its_status_and_is_told_in_words_of_the_protocol(
    status: int, body: bytes, headers: RawHeaders, era: Any
) -> None:
    records = Records()

    reply = await ask_gate(Scripted(body, headers=headers, status=status), era=era, sink=records)

    _check_relayed(reply, status)
    assert SECRET not in repr(reply)
    assert records.verdicts == [("allow", None)]


@pytest.mark.parametrize("status", [*REFUSING, 500, 501, 503, 504, 599])
@pytest.mark.parametrize(
    "headers",
    [
        pytest.param([JSON], id="as JSON"),
        pytest.param([], id="as nothing in particular"),
        pytest.param([(b"content-type", b"text/plain")], id="as a text"),
        pytest.param([JSON, JSON], id="as JSON, twice"),
    ],
)
@pytest.mark.parametrize("era", ERAS)
@pytest.mark.anyio
async def test_an_error_of_the_server_is_passed_on_with_its_status(
    status: int, headers: RawHeaders, era: Any
) -> None:
    reply = await ask_gate(Scripted(ERROR, headers=headers, status=status), era=era)

    assert (reply.status, reply.body) == (status, ERROR)
    assert reply.header("content-type") == "application/json"


@pytest.mark.anyio
async def test_an_error_of_the_server_names_the_question_if_it_named_none() -> None:
    unnamed = ERROR.replace(b'"id":1', b'"id":null')

    reply = await ask_gate(Scripted(unnamed, status=400), message_id="a")

    assert reply.json() == {**json.loads(ERROR), "id": "a"}


@pytest.mark.parametrize("status", [401, 403, 407])
@pytest.mark.parametrize("body", [b"", ERROR, PAGE], ids=["without a body", "with an error", "with a page"])
@pytest.mark.parametrize("era", ERAS)
@pytest.mark.anyio
async def test_what_a_server_says_about_the_credentials_of_the_gate_is_not_told_to_the_client(
    status: int, body: bytes, era: Any
) -> None:
    challenge = (b"www-authenticate", b'Bearer resource_metadata="https://evil.example/secret"')

    reply = await ask_gate(Scripted(body, headers=[JSON, challenge], status=status), era=era)

    check_bad_gateway(reply)
    assert reply.header("www-authenticate") is None


@pytest.mark.parametrize("status", [500, 502, 503, 599])
@pytest.mark.parametrize(
    "body", [b"", PAGE, ERROR[:-1]], ids=["without a body", "with a page", "with half an error"]
)
@pytest.mark.parametrize("era", ERAS)
@pytest.mark.anyio
async def test_a_failure_that_says_nothing_readable_is_a_bad_gateway(
    status: int, body: bytes, era: Any
) -> None:
    reply = await ask_gate(Scripted(body, status=status), era=era)

    check_bad_gateway(reply)
    assert SECRET not in repr(reply)


@pytest.mark.parametrize("size", [1, 1000])
@pytest.mark.anyio
async def test_a_refusal_is_bounded_as_an_answer_is(size: int) -> None:
    chunks = [ERROR[start : start + size] for start in range(0, len(ERROR), size)]

    fits = await ask_gate(Scripted(*chunks, status=404), max_answer=len(ERROR))
    exceeds = await ask_gate(Scripted(*chunks, status=404), max_answer=len(ERROR) - 1)

    assert (fits.status, fits.body) == (404, ERROR)
    check_bad_gateway(exceeds)


@pytest.mark.anyio
async def test_that_and_why_a_refusal_was_told_in_other_words_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.INFO, "tunnelgate"):
        reply = await ask_gate(Scripted(PAGE, status=404))

    (message,) = [record.getMessage() for record in caplog.records if "refused" in record.getMessage()]
    assert message.startswith(f"request {reply.header('x-request-id')}: the server refused it: ")
    assert SECRET not in message


# What needs no answer

INITIALIZED = b'{"jsonrpc":"2.0","method":"notifications/initialized"}'


async def _tell(app: ASGIApp) -> Reply:
    return await call(gate_around(app), http_scope(headers=legacy("ping")[0]), INITIALIZED)


async def _end(app: ASGIApp) -> Reply:
    session = ("mcp-session-id", handles_of_nobody().session(b"s1"))
    return await call(gate_around(app), http_scope("DELETE", headers=[("host", "docs.example.com"), session]))


UNANSWERED = [pytest.param(_tell, id="a notification"), pytest.param(_end, id="the end of a session")]


@pytest.mark.parametrize("ask", UNANSWERED)
@pytest.mark.parametrize("status", [200, 202, 204])
@pytest.mark.parametrize(
    ("body", "headers"),
    [
        pytest.param(b"", [], id="nothing"),
        pytest.param(b"", [JSON], id="nothing, said to be JSON"),
        pytest.param(b"secret", [(b"content-type", b"text/plain")], id="a text"),
        pytest.param(OK.replace(b"{}", b'{"secret":1}'), [JSON], id="an answer to nothing"),
        pytest.param(b"data: secret\n\n", [STREAM], id="a stream"),
        pytest.param(b"secret", [JSON, JSON, (b"content-encoding", b"gzip")], id="anything at all"),
    ],
)
@pytest.mark.anyio
async def test_what_needs_no_answer_gets_none_whatever_the_server_says(
    ask: Any, status: int, body: bytes, headers: RawHeaders
) -> None:
    reply = await ask(Scripted(body, b"secret", headers=headers, status=status))

    assert (reply.status, reply.body) == (status, b"")
    assert reply.header("content-type") is None


@pytest.mark.parametrize("ask", UNANSWERED)
@pytest.mark.parametrize(("status", "length"), [(202, "0"), (204, None)])
@pytest.mark.anyio
async def test_nothing_has_the_length_zero_unless_it_is_no_content_which_has_no_length(
    ask: Any, status: int, length: str | None
) -> None:
    # RFC 9110 section 8.6: no Content-Length in a 204.
    assert (await ask(Scripted(b"", headers=[], status=status))).header("content-length") == length


@pytest.mark.parametrize("ask", UNANSWERED)
@pytest.mark.anyio
async def test_what_needs_no_answer_may_have_no_content_that_resets_a_form(ask: Any) -> None:
    reply = await ask(Scripted(b"secret", headers=[JSON], status=205))

    assert (reply.status, reply.body, reply.header("content-length")) == (205, b"", None)


@pytest.mark.parametrize("ask", UNANSWERED)
@pytest.mark.parametrize("status", [101, 302, 401, 403, 407, 500])
@pytest.mark.anyio
async def test_what_needs_no_answer_can_fail_as_anything_else(ask: Any, status: int) -> None:
    reply = await ask(Scripted(b"secret", headers=[], status=status))

    check_bad_gateway(reply, None)


@pytest.mark.parametrize("ask", UNANSWERED)
@pytest.mark.parametrize("status", [400, 404, 405])
@pytest.mark.anyio
async def test_what_needs_no_answer_can_be_refused_as_anything_else(ask: Any, status: int) -> None:
    reply = await ask(Scripted(b"secret", headers=[(b"allow", b"GET, POST")], status=status))

    _check_relayed(reply, status, None)
    assert reply.header("allow") == "GET, POST"


# Sessions


@pytest.mark.parametrize("form", [JSON, STREAM], ids=["JSON", "a stream"])
@pytest.mark.anyio
async def test_a_session_has_another_name_for_its_client(form: tuple[bytes, bytes]) -> None:
    body = OK if form is JSON else b"data: " + OK + b"\n\n"

    reply = await ask_gate(Scripted(body, headers=[form, (b"Mcp-Session-Id", b"s1")]))

    handle = reply.header("mcp-session-id") or ""
    assert "s1" not in handle
    assert handles_of_nobody().enter(handle) == "s1"


@pytest.mark.parametrize("form", [JSON, STREAM], ids=["JSON", "a stream"])
@pytest.mark.parametrize(
    "names", [[b"s1"], [b"not visible"], [b"x" * 5000]], ids=["one", "one that is none", "a long one"]
)
@pytest.mark.anyio
async def test_the_modern_era_has_no_sessions(names: list[bytes], form: tuple[bytes, bytes]) -> None:
    body = OK if form is JSON else b"data: " + OK + b"\n\n"
    headers = [form, *((b"mcp-session-id", name) for name in names)]

    reply = await ask_gate(Scripted(body, headers=headers), era=modern)

    assert (reply.status, reply.body) == (200, body)
    assert reply.header("mcp-session-id") is None


@pytest.mark.parametrize("form", [JSON, STREAM], ids=["JSON", "a stream"])
@pytest.mark.parametrize("status", [200, 202, 404, 503])
@pytest.mark.parametrize("era", ERAS)
@pytest.mark.anyio
async def test_two_sessions_are_none_of_which_could_be_told_in_any_era(
    form: tuple[bytes, bytes], status: int, era: Any
) -> None:
    body = OK if form is JSON else b"data: " + OK + b"\n\n"
    headers = [form, (b"mcp-session-id", b"s1"), (b"Mcp-Session-Id", b"s2")]

    check_bad_gateway(await ask_gate(Scripted(body, headers=headers, status=status), era=era))


@pytest.mark.parametrize(
    "names",
    [
        pytest.param([b"s1", b"s2"], id="two"),
        pytest.param([b"s1", b"s1"], id="the same twice"),
        pytest.param([b""], id="an empty one"),
        pytest.param([b"a b"], id="one with a space"),
        pytest.param([b"\xe9"], id="one that is not ASCII"),
        pytest.param([b"x" * 5000], id="one that is too long"),
    ],
)
@pytest.mark.parametrize("form", [JSON, STREAM], ids=["JSON", "a stream"])
@pytest.mark.anyio
async def test_an_answer_names_one_session_that_can_be_named(
    names: list[bytes], form: tuple[bytes, bytes]
) -> None:
    body = OK if form is JSON else b"data: " + OK + b"\n\n"
    headers = [form, *((b"mcp-session-id", name) for name in names)]

    reply = await ask_gate(Scripted(body, headers=headers))

    check_bad_gateway(reply)
    assert reply.header("mcp-session-id") is None


@pytest.mark.parametrize("status", [400, 404, 503])
@pytest.mark.anyio
async def test_what_is_refused_begins_no_session(status: int) -> None:
    reply = await ask_gate(Scripted(ERROR, headers=[JSON, (b"mcp-session-id", b"s1")], status=status))

    assert (reply.status, reply.header("mcp-session-id")) == (status, None)


@pytest.mark.anyio
async def test_after_a_bad_gateway_nothing_more_is_passed_on() -> None:
    async def insisting(scope: Scope, receive: Receive, send: Send) -> None:
        await Scripted(b"<html>", headers=[(b"content-type", b"text/html")])(scope, receive, send)
        await Scripted(b"data: " + OK + b"\n\n", headers=[STREAM])(scope, receive, send)
        await Scripted(OK)(scope, receive, send)

    reply = await ask_gate(insisting)

    check_bad_gateway(reply)


@pytest.mark.parametrize("form", [JSON, STREAM], ids=["JSON", "a stream"])
@pytest.mark.anyio
async def test_after_the_end_of_an_answer_nothing_more_is_passed_on(form: tuple[bytes, bytes]) -> None:
    body = OK if form is JSON else b"data: " + OK + b"\n\n"

    async def insisting(scope: Scope, receive: Receive, send: Send) -> None:
        await Scripted(body, headers=[form])(scope, receive, send)
        await send({"type": "http.response.body", "body": body})
        await Scripted(body, headers=[form])(scope, receive, send)

    reply = await ask_gate(insisting)

    assert (reply.status, reply.body) == (200, body)


# Answers that never come to an end


async def _nothing(_scope: Scope, receive: Receive, _send: Send) -> None:
    await receive()


async def _a_head(_scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": [JSON]})


async def _a_refusing_head(_scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "http.response.start", "status": 404, "headers": [JSON]})


async def _half(_scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": [JSON]})
    await send({"type": "http.response.body", "body": OK[:-5], "more_body": True})


async def _all_but_the_end(_scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": [JSON]})
    await send({"type": "http.response.body", "body": OK, "more_body": True})


ENDLESS = [
    pytest.param(_nothing, id="at once"),
    pytest.param(_a_head, id="after the head"),
    pytest.param(_a_refusing_head, id="after the head of a refusal"),
    pytest.param(_half, id="in the middle"),
    pytest.param(_all_but_the_end, id="without saying that this was all"),
]


@pytest.mark.parametrize("app", ENDLESS)
@pytest.mark.parametrize("era", ERAS)
@pytest.mark.anyio
async def test_an_application_that_ends_before_its_answer_does_is_a_bad_gateway(
    app: ASGIApp, era: Any, caplog: pytest.LogCaptureFixture
) -> None:
    records = Records()

    reply = await ask_gate(app, era=era, sink=records)

    check_bad_gateway(reply)
    assert records.verdicts == [("allow", None)]
    assert "it ended too soon" in caplog.text


@pytest.mark.parametrize("ask", UNANSWERED)
@pytest.mark.anyio
async def test_also_what_needs_no_answer_needs_an_end(ask: Any) -> None:
    check_bad_gateway(await ask(_nothing), None)


@pytest.mark.parametrize("ask", UNANSWERED)
@pytest.mark.anyio
async def test_what_needs_no_answer_ends_with_its_head(ask: Any) -> None:
    reply = await ask(_a_head)

    assert (reply.status, reply.body) == (200, b"")


@pytest.mark.parametrize("app", ENDLESS)
@pytest.mark.anyio
async def test_an_application_that_fails_before_its_answer_ends_is_a_failure_and_not_an_answer(
    app: ASGIApp,
) -> None:
    async def failing(scope: Scope, receive: Receive, send: Send) -> None:
        await app(scope, receive, send)
        raise ZeroDivisionError

    headers, body = legacy("tools/call", {"name": "safe_tool"})
    incoming: list[Message] = [{"type": "http.request", "body": body}]
    sent: list[Message] = []

    async def receive() -> Message:
        return incoming.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    with pytest.raises(ZeroDivisionError):
        await gate_around(failing)(http_scope(headers=headers), receive, send)

    assert sent == []


@pytest.mark.anyio
async def test_an_application_that_ends_because_its_client_went_away_leaves_no_half_answer() -> None:
    heard: list[str] = []

    async def patient(_scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": [JSON]})
        heard.append((await receive())["type"])

    reply = await ask_gate(patient)

    check_bad_gateway(reply)
    assert heard == ["http.disconnect"]


@pytest.mark.anyio
async def test_a_message_that_is_neither_head_nor_body_is_not_passed_on() -> None:
    async def with_files(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [JSON]})
        await send({"type": "http.response.pathsend", "path": "/etc/passwd"})
        await send({"type": "http.response.body", "body": OK})

    reply = await ask_gate(with_files)

    assert (reply.status, reply.body) == (200, OK)


@pytest.mark.anyio
async def test_why_an_answer_was_not_passed_on_is_logged_with_the_request(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING, "tunnelgate"):
        reply = await ask_gate(Scripted(b"<html>", headers=[(b"content-type", b"text/html")]))

    (record,) = caplog.records
    assert record.getMessage() == (
        f"request {reply.header('x-request-id')}: answer-not-valid: media type 'text/html'"
    )


# Lists

LIST = b'{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"safe_tool"},{"name":"danger_tool"}]}}'
FILTERED = b'{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"safe_tool"}]}}'
# What a modern client is told besides: nobody else may keep it.
FILTERED_FOR = {legacy: FILTERED, modern: FILTERED.replace(b"]}}", b'],"cacheScope":"private"}}')}


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

    reply = await ask_gate(Scripted(body, headers=[form]), era=era, method="tools/list")

    if form is JSON:
        check_bad_gateway(reply)
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

    reply = await ask_gate(Scripted(*chunks, headers=[STREAM]), era=era, method="tools/list")

    assert (reply.status, reply.header("content-type")) == (200, "text/event-stream")
    assert reply.body == b"event: message\ndata: " + FILTERED_FOR[era] + b"\n\n"


# Large answers, which are read aside


@pytest.mark.promise("listed-equals-callable")
@pytest.mark.parametrize("form", [JSON, STREAM], ids=["JSON", "a stream"])
@pytest.mark.anyio
async def test_a_large_list_is_filtered_like_a_small_one(form: tuple[bytes, bytes]) -> None:
    names = ["safe_tool", *(f"danger_tool_{number}" for number in range(10_000))]
    message = json.dumps({"jsonrpc": "2.0", "id": 1, "result": {"tools": [{"name": name} for name in names]}})
    body = message.encode() if form is JSON else b"data: " + message.encode() + b"\n\n"
    assert len(body) > READ_ASIDE

    reply = await ask_gate(Scripted(body, headers=[form]), method="tools/list")

    assert reply.body == (FILTERED if form is JSON else b"data: " + FILTERED + b"\n\n")


@pytest.mark.parametrize("form", [JSON, STREAM], ids=["JSON", "a stream"])
@pytest.mark.anyio
async def test_a_large_answer_to_another_question_is_refused_like_a_small_one(
    form: tuple[bytes, bytes],
) -> None:
    message = OK.replace(b'"id":1', b'"id":2').replace(b"{}", b'{"secret":"' + b"x" * READ_ASIDE + b'"}')
    body = message if form is JSON else b"data: " + message + b"\n\n"

    reply = await ask_gate(Scripted(body, headers=[form]))

    assert b"The server's answer was not valid" in reply.body
    assert SECRET not in repr(reply)


# Upstreams that fail


class Failing:
    """A server that is somewhere else, and fails behind these messages."""

    def __init__(self, failure: UpstreamFailed, *sent: Message) -> None:
        self.failure = failure
        self.sent = sent

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        for message in self.sent:
            await send(message)
        raise self.failure


START: Message = {"type": "http.response.start", "status": 200, "headers": [JSON]}
FAILURES = [
    pytest.param(Reason.UPSTREAM_NOT_ALLOWED, 502, "The server may not be connected to", id="is not allowed"),
    pytest.param(Reason.UPSTREAM_UNREACHABLE, 502, "The server cannot be reached", id="is not there"),
    pytest.param(Reason.UPSTREAM_TIMEOUT, 504, "The server did not answer in time", id="is slow"),
    pytest.param(Reason.UPSTREAM_INTERRUPTED, 502, "The server's answer was cut off", id="broke off"),
    pytest.param(Reason.ANSWER_NOT_VALID, 502, "The server's answer was not valid", id="is no HTTP"),
    pytest.param(Reason.UPSTREAM_FAILING, 503, "The server is not answering", id="was failing"),
    pytest.param(Reason.UPSTREAM_BUSY, 503, "The server is busy", id="has too much to do"),
    pytest.param(Reason.GATE_STOPPING, 503, "The gate is stopping", id="is left by a gate that stops"),
    pytest.param(Reason.CALL_CANCELLED, 200, "Cancelled", id="was told that nobody waits any more"),
]


@pytest.mark.parametrize(("reason", "status", "message"), FAILURES)
@pytest.mark.parametrize(
    "sent",
    [
        pytest.param([], id="before an answer"),
        pytest.param([START], id="behind the head"),
        pytest.param(
            [START, {"type": "http.response.body", "body": OK[:-1], "more_body": True}], id="in the body"
        ),
    ],
)
@pytest.mark.parametrize("era", ERAS)
@pytest.mark.anyio
async def test_a_server_that_fails_before_its_answer_was_whole_is_answered_in_the_protocol(
    reason: Reason, status: int, message: str, sent: list[Message], era: Any
) -> None:
    records = Records()

    reply = await ask_gate(
        Failing(UpstreamFailed(reason, SECRET), *sent), era=era, message_id="a", sink=records
    )

    assert (reply.status, reply.header("content-type")) == (status, "application/json")
    assert reply.json() == {
        "jsonrpc": "2.0",
        "id": "a",
        "error": {
            "code": -32603,
            "message": message,
            "data": {"requestId": reply.header("x-request-id")},
        },
    }
    assert SECRET not in repr(reply)
    assert records.verdicts == [("allow", None)]


@pytest.mark.parametrize(("reason", "level"), [(Reason.UPSTREAM_TIMEOUT, 30), (Reason.CALL_CANCELLED, 20)])
@pytest.mark.anyio
async def test_why_a_server_failed_is_logged_and_a_client_that_went_is_nothing_to_warn_of(
    reason: Reason, level: int, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "tunnelgate"):
        reply = await ask_gate(Failing(UpstreamFailed(reason, "nothing came for 2 seconds")))

    (record,) = caplog.records
    assert record.getMessage().startswith(f"request {reply.header('x-request-id')}")
    assert record.getMessage().endswith(f": {reason}: nothing came for 2 seconds")
    assert record.levelno == level


@pytest.mark.anyio
async def test_the_log_names_the_route_where_there_is_one(caplog: pytest.LogCaptureFixture) -> None:
    async def routed(scope: Scope, receive: Receive, send: Send) -> None:
        exchange_of(scope).route = "docs"
        await gate_around(Failing(UpstreamFailed(Reason.UPSTREAM_TIMEOUT)))(scope, receive, send)

    headers, body = legacy("tools/call", {"name": "safe_tool"})
    reply = await call(routed, http_scope(headers=headers), body)

    (record,) = caplog.records
    assert record.getMessage() == f"request {reply.header('x-request-id')} to docs: upstream-timeout"


@pytest.mark.parametrize(("seconds", "told"), [(None, None), (4.2, "5"), (1.0, "1")])
@pytest.mark.anyio
async def test_a_client_is_told_in_how_many_seconds_a_failing_server_is_asked_again(
    seconds: float | None, told: str | None
) -> None:
    reply = await ask_gate(Failing(UpstreamFailed(Reason.UPSTREAM_FAILING, retry_after=seconds)))

    assert (reply.status, reply.header("retry-after")) == (503, told)


@pytest.mark.parametrize("ask", UNANSWERED)
@pytest.mark.anyio
async def test_what_needs_no_answer_gets_one_when_the_server_fails(ask: Any) -> None:
    reply = await ask(Failing(UpstreamFailed(Reason.UPSTREAM_UNREACHABLE)))

    assert reply.status == 502
    assert (reply.json()["id"], reply.json()["error"]["message"]) == (None, "The server cannot be reached")


@pytest.mark.parametrize("ask", UNANSWERED)
@pytest.mark.anyio
async def test_what_needs_no_answer_had_its_own_before_the_server_failed(ask: Any) -> None:
    start = {**START, "status": 202}

    reply = await ask(Failing(UpstreamFailed(Reason.UPSTREAM_INTERRUPTED), start))

    assert (reply.status, reply.body) == (202, b"")


@pytest.mark.parametrize(("reason", "status", "message"), FAILURES)
@pytest.mark.anyio
async def test_a_whole_answer_counts_whatever_fails_behind_it(
    reason: Reason, status: int, message: str
) -> None:
    whole: Message = {"type": "http.response.body", "body": OK}

    reply = await ask_gate(Failing(UpstreamFailed(reason), START, whole))

    assert (reply.status, reply.body) == (200, OK)


@pytest.mark.anyio
async def test_what_was_refused_in_words_of_ours_is_not_answered_once_more() -> None:
    async def refusing(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await refuse(Broken(Reason.CREDENTIAL_UNAVAILABLE), exchange_of(scope), send)
        raise UpstreamFailed(Reason.UPSTREAM_UNREACHABLE)

    headers, body = legacy("tools/call", {"name": "safe_tool"})

    reply = await call(ToolAllowlist(refusing, tools=["safe_tool"]), http_scope(headers=headers), body)

    assert (reply.status, reply.json()["error"]["message"]) == (503, "Temporarily unavailable")


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param([{**START, "headers": [(b"content-type", b"text/html")]}], id="a page"),
        pytest.param(
            [START, {"type": "http.response.body", "body": b"x" * 1001, "more_body": True}], id="too much"
        ),
        pytest.param([{**START, "status": 302}], id="another place to go to"),
    ],
)
@pytest.mark.anyio
async def test_a_server_whose_answer_was_refused_need_not_go_on(sent: list[Message]) -> None:
    ended: list[str] = []

    async def going_on(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        for message in sent:
            await send(message)
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("ended")

    async with asyncio.timeout(10):
        reply = await ask_gate(going_on, max_answer=1000)

    check_bad_gateway(reply)
    assert ended == ["ended"]


@pytest.mark.anyio
async def test_a_server_that_has_something_to_do_behind_its_answer_does_it() -> None:
    done: list[str] = []

    async def busy(scope: Scope, receive: Receive, send: Send) -> None:
        await Scripted(OK)(scope, receive, send)
        for _ in range(5):
            await asyncio.sleep(0)
        done.append("done")

    reply = await ask_gate(busy)

    assert (reply.status, reply.body, done) == (200, OK, ["done"])


# Clients that do not read


class ReadsSome:
    """A client that takes this many messages and no more."""

    def __init__(self, takes: int) -> None:
        self.got: list[Message] = []
        self.is_waiting = asyncio.Event()
        self._takes = takes

    async def send(self, message: Message) -> None:
        if len(self.got) == self._takes:
            self.is_waiting.set()
            await asyncio.Event().wait()
        self.got.append(message)


CALL = legacy("tools/call", {"name": "safe_tool"})[1]
NOTIFICATION = b'{"jsonrpc":"2.0","method":"notifications/initialized"}'


@pytest.mark.parametrize("takes", [0, 1], ids=["nothing", "a head"])
@pytest.mark.parametrize("body", [CALL, NOTIFICATION], ids=["of a call", "of a notification"])
@pytest.mark.anyio
async def test_who_takes_no_word_of_a_failure_is_not_waited_for(
    body: bytes, takes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "LAST_SECONDS", 0.05)
    headers, _ = legacy("ping")
    client = ReadsSome(takes)
    app = gate_around(Failing(UpstreamFailed(Reason.UPSTREAM_UNREACHABLE)))

    async def receive() -> Message:
        return {"type": "http.request", "body": body}

    async with asyncio.timeout(10):
        await app(http_scope(headers=headers), receive, client.send)

    assert client.is_waiting.is_set()
    assert [message["type"] for message in client.got] == ["http.response.start"] * takes


@pytest.mark.anyio
async def test_who_takes_the_word_of_a_failure_late_gets_it_whole() -> None:
    got: list[Message] = []

    async def send(message: Message) -> None:
        for _ in range(100):
            await asyncio.sleep(0)
        got.append(message)

    headers, body = legacy("tools/call", {"name": "safe_tool"})

    async def receive() -> Message:
        return {"type": "http.request", "body": body}

    app = gate_around(Failing(UpstreamFailed(Reason.UPSTREAM_UNREACHABLE)))
    await app(http_scope(headers=headers), receive, send)

    reply = reply_of(got)
    assert (reply.status, reply.json()["error"]["message"]) == (502, "The server cannot be reached")


def test_without_any_setting_the_last_word_may_take_five_seconds() -> None:
    assert answers.LAST_SECONDS == 5
