import threading
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.asgi import Headers, http_scope
from tunnelgate import Reason
from tunnelgate.asgi import Message, Receive
from tunnelgate.body import check_media_type, read_aside, read_body, replay_body
from tunnelgate.reading.fault import Fault
from tunnelgate.reading.head import RequestHead, read_head

READ_ASIDE = 64 * 1024


def head_with(headers: Headers) -> RequestHead:
    return read_head(http_scope(headers=headers))


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param([("content-type", "application/json")], id="JSON"),
        pytest.param([("content-type", 'Application/JSON ; charset="UTF-8"')], id="JSON in UTF-8"),
        pytest.param([("content-type", "application/json; v=1")], id="JSON with a parameter"),
        pytest.param(
            [("content-type", "application/json"), ("content-encoding", "identity")], id="JSON as it is"
        ),
        pytest.param(
            [("content-type", "application/json"), ("content-encoding", " Identity ")],
            id="as it is, in capitals",
        ),
    ],
)
def test_a_body_that_is_announced_as_plain_json_may_be_read(headers: Headers) -> None:
    check_media_type(head_with(headers))


@pytest.mark.parametrize(
    ("content_type", "detail"),
    [
        pytest.param(None, "", id="none"),
        pytest.param("", "", id="an empty one"),
        pytest.param("application/x-www-form-urlencoded", "application/x-www-form-urlencoded", id="a form"),
        pytest.param("multipart/form-data; boundary=x", "multipart/form-data", id="a form in parts"),
        pytest.param("text/plain", "text/plain", id="text"),
        pytest.param("text/json", "text/json", id="another name of JSON"),
        pytest.param("application/json-rpc", "application/json-rpc", id="JSON-RPC"),
        pytest.param("application/json5", "application/json5", id="a name that begins so"),
        pytest.param("application/json; charset=utf-7", "application/json", id="UTF-7"),
        pytest.param("application/json; charset=utf-16", "application/json", id="UTF-16"),
        pytest.param("application/json; charset=iso-8859-1", "application/json", id="Latin-1"),
        pytest.param('application/json; charset=""', "application/json", id="an empty charset"),
        pytest.param("application/json; charset=utf-8; charset=utf-7", "", id="two charsets"),
        pytest.param("application/json; charset*0=utf-7", "", id="a piece of a charset"),
        pytest.param("application/json, text/plain", "", id="two media types"),
        pytest.param("x/" + "y" * 99, "x/" + "y" * 78, id="one that is too long to be quoted"),
    ],
)
def test_another_media_type_is_refused(content_type: str | None, detail: str) -> None:
    head = head_with([] if content_type is None else [("content-type", content_type)])

    with pytest.raises(Fault) as caught:
        check_media_type(head)

    assert (caught.value.reason, caught.value.detail) == (Reason.MEDIA_TYPE_NOT_ALLOWED, detail)


@pytest.mark.parametrize(
    ("encoding", "detail"),
    [
        pytest.param("gzip", "gzip", id="gzip"),
        pytest.param("br", "br", id="Brotli"),
        pytest.param("gzip, identity", "gzip, identity", id="gzip in a list"),
        pytest.param("identity, identity", "identity, identity", id="a list"),
        pytest.param("", "", id="an empty one"),
        pytest.param("é" * 99, "é" * 80, id="one that is too long to be quoted"),
    ],
)
def test_an_encoded_body_is_refused(encoding: str, detail: str) -> None:
    head = head_with([("content-type", "application/json"), ("content-encoding", encoding)])

    with pytest.raises(Fault) as caught:
        check_media_type(head)

    assert (caught.value.reason, caught.value.detail) == (Reason.CONTENT_ENCODING_NOT_ALLOWED, detail)


def receiving(messages: Iterable[Message]) -> Receive:
    """Return a ``receive`` that gives these messages, and fails when asked for more."""
    left = iter(messages)

    async def receive() -> Message:
        return next(left)

    return receive


def part(body: bytes, *, more: bool) -> Message:
    return {"type": "http.request", "body": body, "more_body": more}


DISCONNECT: Message = {"type": "http.disconnect"}


@pytest.mark.parametrize(
    ("messages", "body"),
    [
        pytest.param([part(b"abcd", more=False)], b"abcd", id="in one part"),
        pytest.param([part(b"ab", more=True), part(b"cd", more=False)], b"abcd", id="in two parts"),
        pytest.param(
            [part(b"abcd", more=True), part(b"", more=False)], b"abcd", id="with an empty part last"
        ),
        pytest.param([part(b"", more=True), part(b"a", more=False)], b"a", id="with an empty part first"),
        pytest.param([part(b"", more=False)], b"", id="empty"),
        pytest.param([{"type": "http.request"}], b"", id="with nothing said"),
        pytest.param([{"type": "http.request", "body": b"ab"}], b"ab", id="with no word of more"),
        pytest.param([part(b"ab", more=False), DISCONNECT], b"ab", id="and the client goes away behind it"),
    ],
)
@pytest.mark.anyio
async def test_a_body_of_at_most_its_bound_is_read_to_its_end(messages: list[Message], body: bytes) -> None:
    assert await read_body(receiving(messages), 4) == body


@pytest.mark.parametrize(
    "messages",
    [
        pytest.param([part(b"abcde", more=False)], id="in one part"),
        pytest.param([part(b"abcd", more=True), part(b"e", more=False)], id="in two parts"),
        pytest.param([part(b"abcde", more=True)], id="before it ends"),
        pytest.param([part(b"a", more=True)] * 5, id="octet by octet"),
    ],
)
@pytest.mark.anyio
async def test_a_body_one_octet_larger_is_refused_with_the_octet(messages: list[Message]) -> None:
    with pytest.raises(Fault) as caught:
        await read_body(receiving(messages), 4)

    assert (caught.value.reason, caught.value.detail) == (Reason.BODY_TOO_LARGE, "more than 4 octets")


@pytest.mark.parametrize(
    "messages",
    [
        pytest.param([DISCONNECT], id="before its first part"),
        pytest.param([part(b"{}", more=True), DISCONNECT], id="between two parts"),
    ],
)
@pytest.mark.anyio
async def test_a_body_that_the_client_does_not_finish_is_refused(messages: list[Message]) -> None:
    with pytest.raises(Fault) as caught:
        await read_body(receiving(messages), 4)

    assert (caught.value.reason, caught.value.detail) == (Reason.BODY_INCOMPLETE, "the client went away")


@given(parts=st.lists(st.binary(max_size=4), min_size=1, max_size=6), max_body=st.integers(0, 12))
@settings(deadline=None)
@pytest.mark.anyio
async def test_the_bound_holds_for_the_whole_body_however_it_comes(parts: list[bytes], max_body: int) -> None:
    messages = [part(each, more=position < len(parts) - 1) for position, each in enumerate(parts)]
    whole = b"".join(parts)

    if len(whole) <= max_body:
        assert await read_body(receiving(messages), max_body) == whole
    else:
        with pytest.raises(Fault) as caught:
            await read_body(receiving(messages), max_body)
        assert caught.value.reason == Reason.BODY_TOO_LARGE


def in_thread(*, plus: int) -> int:
    return threading.get_ident() + plus


@pytest.mark.anyio
async def test_a_little_is_read_at_once_and_much_in_another_thread() -> None:
    here = threading.get_ident()

    assert await read_aside(READ_ASIDE, in_thread, plus=1) == here + 1
    assert await read_aside(READ_ASIDE + 1, in_thread, plus=0) != here


def divided(dividend: int, divisor: int) -> int:
    if divisor == 0:
        raise Fault(Reason.BODY_NOT_JSON, f"{dividend} by nothing")
    return dividend // divisor


@pytest.mark.parametrize("size", [pytest.param(0, id="at once"), pytest.param(READ_ASIDE + 1, id="aside")])
@pytest.mark.anyio
async def test_what_was_read_or_the_fault_comes_back(size: int) -> None:
    assert await read_aside(size, divided, 7, divisor=2) == 3
    with pytest.raises(Fault) as caught:
        await read_aside(size, divided, 7, 0)
    assert (caught.value.reason, caught.value.detail) == (Reason.BODY_NOT_JSON, "7 by nothing")


@pytest.mark.anyio
async def test_a_replayed_body_comes_first_and_once_and_then_whatever_else_happens() -> None:
    replayed = replay_body(b"{}", receiving([DISCONNECT, DISCONNECT]))

    assert await replayed() == {"type": "http.request", "body": b"{}", "more_body": False}
    assert await replayed() == DISCONNECT
    assert await replayed() == DISCONNECT


@pytest.mark.anyio
async def test_what_is_replayed_can_be_read_again() -> None:
    assert await read_body(replay_body(b"canonical", receiving([])), 9) == b"canonical"
