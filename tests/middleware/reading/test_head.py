from collections import Counter
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.support.asgi import http_scope
from tunnelgate.reading.head import SINGLE_FIELDS, RequestHead, read_head

RawHeaders = list[tuple[bytes, bytes]]

HOST = (b"host", b"docs.example.com")


def read_headers(*headers: tuple[bytes, bytes]) -> RequestHead:
    scope = http_scope(headers=[])
    scope["headers"] = list(headers)
    return read_head(scope)


@pytest.mark.parametrize(
    "field",
    [
        *(
            "authorization",
            "cf-connecting-ip",
            "content-encoding",
            "content-length",
            "content-type",
            "expect",
        ),
        *("host", "last-event-id", "mcp-method", "mcp-name", "mcp-protocol-version", "mcp-session-id"),
        *("origin", "transfer-encoding", "upgrade"),
    ],
)
def test_a_field_that_a_layer_reads_is_found_once_and_named_when_it_stands_twice(field: str) -> None:
    name = field.encode()
    once = read_headers((name, b"first"), (b"accept", b"*/*"))
    twice = read_headers((name, b"first"), (b"accept", b"*/*"), (name, b"last"))

    assert (once.fields, once.duplicated) == ({name: b"first"}, [])
    assert (twice.fields, twice.duplicated) == ({name: b"first"}, [name])


@pytest.mark.parametrize(
    ("headers", "lookalikes"),
    [
        pytest.param([(b"mcp_name", b"x")], [b"mcp_name"], id="one underscore"),
        pytest.param([(b"mcp_protocol_version", b"x")], [b"mcp_protocol_version"], id="two underscores"),
        pytest.param([(b"mcp-protocol_version", b"x")], [b"mcp-protocol_version"], id="one of each"),
        pytest.param([(b"content_length", b"1")], [b"content_length"], id="a length"),
        pytest.param(
            [(b"mcp_name", b"x"), (b"mcp-name", b"y")], [b"mcp_name"], id="beside the one it looks like"
        ),
        pytest.param([(b"cf_connecting_ip", b"x")], [b"cf_connecting_ip"], id="the address of a client"),
        pytest.param(
            [(b"x_forwarded_for", b"x")], [b"x_forwarded_for"], id="of a field that may be repeated"
        ),
        pytest.param([(b"x-forwarded-for", b"x")], [], id="a field that may be repeated"),
        pytest.param([(b"x_real_ip", b"x")], [], id="of a field that nobody reads"),
        pytest.param([(b"_host", b"x")], [], id="an underscore more"),
        pytest.param([(b"mcp-name", b"a_b")], [], id="an underscore in a value"),
    ],
)
def test_a_name_with_an_underscore_that_some_server_takes_for_ours_is_named(
    headers: RawHeaders, lookalikes: list[bytes]
) -> None:
    assert read_headers(*headers).lookalikes == lookalikes


@pytest.mark.parametrize(
    ("headers", "options"),
    [
        pytest.param([], [], id="none"),
        pytest.param([(b"connection", b"close")], [b"close"], id="one"),
        pytest.param([(b"connection", b"Keep-Alive")], [b"keep-alive"], id="in capitals"),
        pytest.param(
            [(b"connection", b" Host ,\tAuthorization")], [b"host", b"authorization"], id="two with spaces"
        ),
        pytest.param(
            [(b"connection", b"close"), (b"connection", b"upgrade")], [b"close", b"upgrade"], id="two fields"
        ),
        pytest.param([(b"connection", b"close,")], [b"close", b""], id="an empty one"),
    ],
)
def test_the_options_of_all_connection_fields_are_collected_in_lower_case(
    headers: RawHeaders, options: list[bytes]
) -> None:
    head = read_headers(*headers)

    assert (head.connection, head.duplicated) == (options, [])


@pytest.mark.parametrize(
    ("raw_path", "headers", "size"),
    [
        pytest.param(b"/mcp", [], 4, id="a path alone"),
        pytest.param(b"/mcp", [(b"a", b"bc")], 4 + 7, id="a field line with colon, space and line end"),
        pytest.param(b"/mcp", [(b"a", b""), (b"a", b"")], 4 + 5 + 5, id="the same field twice"),
        pytest.param(b"/%C3%A9", [], 7, id="a path as it was sent"),
    ],
)
def test_the_size_is_that_of_the_path_and_of_all_field_lines(
    raw_path: bytes, headers: RawHeaders, size: int
) -> None:
    scope = http_scope(headers=[], raw_path=raw_path)
    scope["headers"] = headers

    assert read_head(scope).size == size


def test_the_request_line_and_the_port_are_those_of_the_scope() -> None:
    head = read_head(http_scope("GET", "/é", raw_path=b"/%c3%a9", http_version="1.0"))

    assert (head.http_version, head.method, head.path, head.raw_path) == ("1.0", "GET", "/é", b"/%c3%a9")
    assert head.local_port == 8080


@pytest.mark.parametrize(
    ("changes", "attribute", "expected"),
    [
        pytest.param({"raw_path": None, "path": "/é x"}, "raw_path", b"/%C3%A9%20x", id="no raw path"),
        pytest.param({"server": None}, "local_port", None, id="no server address"),
        pytest.param({"server": ("/run/gate.sock", None)}, "local_port", None, id="a Unix socket"),
        pytest.param({"http_version": "2"}, "http_version", "2", id="HTTP/2"),
    ],
)
def test_what_a_server_may_leave_out_is_filled_in(
    changes: dict[str, Any], attribute: str, expected: object
) -> None:
    assert getattr(read_head({**http_scope(), **changes}), attribute) == expected


def test_a_websocket_has_a_head_without_method_or_version() -> None:
    head = read_head({"type": "websocket", "path": "/mcp", "headers": [HOST]})

    assert (head.method, head.http_version, head.raw_path) == ("GET", "1.1", b"/mcp")
    assert head.fields == {b"host": b"docs.example.com"}


@given(path=st.text(st.characters()))
@example(path="/\udcff")
def test_no_path_makes_it_fail_when_the_server_gives_no_raw_one(path: str) -> None:
    head = read_head({"type": "http", "path": path, "headers": []})

    assert head.path == path
    assert head.raw_path.isascii()


@given(
    st.lists(
        st.tuples(
            st.sampled_from([b"host", b"mcp-name", b"mcp_name", b"connection", b"accept"]) | st.binary(),
            st.binary(max_size=8),
        )
    )
)
def test_no_headers_make_it_fail_and_every_field_is_found_first_and_counted(headers: RawHeaders) -> None:
    head = read_headers(*headers)

    ours = [name for name, _ in headers if name in SINGLE_FIELDS]
    assert head.fields == {name: value for name, value in reversed(headers) if name in SINGLE_FIELDS}
    assert Counter(head.duplicated) == Counter(ours) - Counter(set(ours))
    assert head.size == len(b"/mcp") + sum(len(name) + len(value) + 4 for name, value in headers)
