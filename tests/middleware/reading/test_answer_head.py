from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunnelgate import Reason
from tunnelgate.reading.answer_head import AnswerHead, read_answer_head
from tunnelgate.reading.fault import Fault

JSON = (b"content-type", b"application/json")


def test_a_head_is_read_with_its_status_its_media_type_and_its_session() -> None:
    headers = [
        (b"Content-Type", b"Text/Event-Stream; charset=UTF-8"),
        (b"Mcp-Session-Id", b"s1"),
        (b"Cache-Control", b"no-cache"),
        (b"Server", b"uvicorn"),
    ]

    assert read_answer_head(200, headers) == AnswerHead(
        status=200, media_type="text/event-stream", session=b"s1", headers=((b"cache-control", b"no-cache"),)
    )


def test_a_head_without_headers_names_nothing() -> None:
    assert read_answer_head(202, []) == AnswerHead(202, "", None, ())


@pytest.mark.parametrize("status", [200, 202, 204, 299, 304, 400, 404, 599])
def test_a_final_status_is_read(status: int) -> None:
    assert read_answer_head(status, [JSON]).status == status


@pytest.mark.parametrize("status", [-200, 0, 99, 100, 101, 103, 199, 600, 999, 2000])
def test_another_status_is_not_valid(status: int) -> None:
    with pytest.raises(Fault) as caught:
        read_answer_head(status, [JSON])

    assert (caught.value.reason, caught.value.detail) == (Reason.ANSWER_NOT_VALID, f"status {status}")


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\t !~", id="the first and the last that are plain"),
        pytest.param(b"\x80\xff", id="octets beyond ASCII"),
    ],
)
def test_a_header_may_have_what_rfc_9110_lets_it_have(value: bytes) -> None:
    assert read_answer_head(200, [(b"Retry-After", value)]).headers == ((b"retry-after", value),)


@pytest.mark.parametrize("name", [b"retry-after", b"X-Unknown", b"mcp-session-id", b"content-type"])
@pytest.mark.parametrize(
    "value",
    [
        pytest.param(b"1\r\nset-cookie: a=b", id="a line end and another header"),
        pytest.param(b"1\n", id="a line end behind"),
        pytest.param(b"\r", id="half a line end"),
        pytest.param(b"a\0b", id="a NUL"),
        pytest.param(b"\x1b[2J", id="an escape"),
        pytest.param(b"\x1f", id="the last control character"),
        pytest.param(b"a\x7f", id="a delete character"),
    ],
)
def test_a_header_with_a_control_character_is_not_valid(name: bytes, value: bytes) -> None:
    with pytest.raises(Fault) as caught:
        read_answer_head(200, [JSON, (name, value)])

    assert (caught.value.reason, caught.value.detail) == (
        Reason.ANSWER_NOT_VALID,
        "a header with a control character",
    )


@pytest.mark.parametrize(
    "sessions",
    [
        pytest.param([(b"mcp-session-id", b"a"), (b"mcp-session-id", b"b")], id="two that differ"),
        pytest.param([(b"mcp-session-id", b"a"), (b"mcp-session-id", b"a")], id="one twice"),
        pytest.param([(b"mcp-session-id", b"a"), (b"MCP-Session-ID", b"b")], id="two in two cases"),
    ],
)
def test_two_session_ids_are_not_valid(sessions: list[tuple[bytes, bytes]]) -> None:
    with pytest.raises(Fault) as caught:
        read_answer_head(200, [JSON, *sessions])

    assert (caught.value.reason, caught.value.detail) == (Reason.ANSWER_NOT_VALID, "two session ids")


@pytest.mark.parametrize(
    ("headers", "media_type"),
    [
        pytest.param([], "", id="none"),
        pytest.param([JSON], "application/json", id="JSON"),
        pytest.param([(b"CONTENT-TYPE", b" Application/JSON ")], "application/json", id="JSON in capitals"),
        pytest.param(
            [(b"content-type", b'application/json; charset="utf-8"')], "application/json", id="UTF-8"
        ),
        pytest.param([(b"content-type", b"text/html; x=y")], "text/html", id="another type"),
        pytest.param([JSON, (b"content-encoding", b" Identity ")], "application/json", id="no coding"),
        pytest.param([(b"content-encoding", b"identity")], "", id="no coding and no type"),
        pytest.param([JSON, (b"content-encoding", b"gzip")], None, id="gzip"),
        pytest.param([(b"content-encoding", b"br")], None, id="a coding and no type"),
        pytest.param([JSON, (b"content-encoding", b"identity, gzip")], None, id="two codings in one header"),
        pytest.param(
            [JSON, (b"content-encoding", b"identity"), (b"Content-Encoding", b"gzip")], None, id="two headers"
        ),
        pytest.param([JSON, (b"content-encoding", b"")], None, id="an empty coding"),
        pytest.param([JSON, JSON], None, id="one type twice"),
        pytest.param([JSON, (b"Content-Type", b"text/event-stream")], None, id="two types"),
        pytest.param([(b"content-type", b"")], None, id="an empty type"),
        pytest.param([(b"content-type", b"json")], None, id="half a type"),
        pytest.param([(b"content-type", b"application/json, text/event-stream")], None, id="a list of types"),
        pytest.param([(b"content-type", b"application/json; charset=utf-16")], None, id="UTF-16"),
        pytest.param([(b"content-type", b"application/json; charset=utf-7")], None, id="UTF-7"),
        pytest.param([(b"content-type", b"application/json; charset=")], None, id="an empty charset"),
    ],
)
def test_a_body_has_a_media_type_only_where_it_is_readable_as_utf_8(
    headers: list[tuple[bytes, bytes]], media_type: str | None
) -> None:
    assert read_answer_head(200, headers).media_type == media_type


PASSED = [
    (b"allow", b"POST"),
    (b"cache-control", b"no-store"),
    (b"content-language", b"en"),
    (b"retry-after", b"1"),
    (b"x-accel-buffering", b"no"),
]


def test_only_what_a_client_needs_goes_on() -> None:
    others = [
        *("content-type", "content-length", "content-encoding", "transfer-encoding", "connection", "trailer"),
        *("set-cookie", "server", "date", "location", "www-authenticate", "mcp-session-id", "x-request-id"),
        *("access-control-allow-origin", "strict-transport-security", "mcp-protocol-version", "etag", "vary"),
        *("last-modified", "expires", "alt-svc", "link", "clear-site-data", "x-anything", ""),
    ]
    headers = [(name.encode(), b"identity") for name in others]

    assert read_answer_head(200, headers).headers == ()
    assert list(read_answer_head(200, [*headers, *PASSED]).headers) == PASSED


def test_what_goes_on_keeps_its_order_and_has_its_name_in_small_letters() -> None:
    headers = [(name.title(), value) for name, value in reversed(PASSED)] + [(b"ALLOW", b"GET")]

    assert list(read_answer_head(405, headers).headers) == [*reversed(PASSED), (b"allow", b"GET")]


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(b"public", id="public"),
        pytest.param(b"Public, max-age=60", id="public in capitals"),
        pytest.param(b"max-age=60, s-maxage=60", id="an age for shared caches"),
        pytest.param(b"S-MAXAGE=0", id="an age for shared caches in capitals"),
        pytest.param(b"max-age=60,must-revalidate", id="what lets shared caches keep it"),
        pytest.param(b"private, public", id="both"),
        pytest.param(b"x-public-y", id="what only sounds like it"),
    ],
)
def test_what_a_cache_would_share_is_not_kept_at_all(value: bytes) -> None:
    """RFC 9111 section 3.5: with these words an answer to an authorised request may be shared."""
    assert read_answer_head(200, [(b"Cache-Control", value)]).headers == ((b"cache-control", b"no-store"),)


@pytest.mark.parametrize(
    "value",
    [b"", b"no-store", b"no-cache", b"private, max-age=60", b"max-age=60", b"no-transform, immutable"],
)
def test_what_one_client_may_keep_for_itself_goes_on_as_it_is(value: bytes) -> None:
    assert read_answer_head(200, [(b"Cache-Control", value)]).headers == ((b"cache-control", value),)


def test_each_of_several_cache_controls_is_judged() -> None:
    headers = [(b"cache-control", b"no-cache"), (b"cache-control", b"public")]

    assert [value for _, value in read_answer_head(200, headers).headers] == [b"no-cache", b"no-store"]


NAMES = [b"content-type", b"Content-Encoding", b"mcp-session-id", b"Cache-Control", b"Allow", b"set-cookie"]


@given(
    st.integers(),
    st.lists(st.tuples(st.sampled_from(NAMES) | st.binary(max_size=5), st.binary(max_size=12)), max_size=5),
)
def test_no_head_raises_anything_but_a_fault(status: int, headers: list[tuple[bytes, bytes]]) -> None:
    with suppress(Fault):
        head = read_answer_head(200 + status % 400, headers)

        assert {name for name, _ in head.headers} <= {name for name, _ in PASSED}
        assert all(not set(value) & {0, 10, 13} for _, value in head.headers)
