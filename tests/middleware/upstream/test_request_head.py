import gc
import tracemalloc
from collections.abc import Callable, Sequence
from typing import Any

import httptools
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.support.asgi import Headers, http_scope
from tunnelgate import Reason
from tunnelgate.asgi import Scope
from tunnelgate.errors import UpstreamFailed
from tunnelgate.upstream.request_head import RequestHeads, pass_back

HOST = ("host", "docs.example.com")
OURS = (
    (b"x-forwarded-for", b"192.0.2.7"),
    (b"x-forwarded-host", b"docs.example.com"),
    (b"x-forwarded-proto", b"https"),
    (b"via", b"1.1 tunnelgate"),
)
HEADS = RequestHeads(b"wiki:9000", scheme="https")


def _scope(method: str = "GET", headers: Headers = (), **more: Any) -> Scope:
    scope = http_scope(method, "/mcp", [HOST, *headers], client=("192.0.2.7", 50000))
    return {**scope, **more}


def _lines(head: bytes) -> list[bytes]:
    """Return the lines of a head, which must end with an empty one and have no other."""
    assert head.endswith(b"\r\n\r\n")
    lines = head[:-4].split(b"\r\n")
    assert all(lines)
    return lines


def _fields(head: bytes) -> list[tuple[bytes, bytes]]:
    pairs = [line.partition(b": ") for line in _lines(head)[1:]]
    return [(name, value) for name, _, value in pairs]


def _target(**more: Any) -> bytes:
    method, target, version = _lines(HEADS.write(_scope(**more), b""))[0].split(b" ")
    assert (method, version) == (b"GET", b"HTTP/1.1")
    return target


def _sent(headers: Headers, heads: RequestHeads = HEADS) -> list[tuple[bytes, bytes]]:
    """Return what goes on of headers, without what is sent with every request."""
    fields = _fields(heads.write(_scope(headers=headers), b""))
    assert fields[0][0] == b"host"
    assert tuple(fields[-4:]) == OURS
    return fields[1:-4]


# The whole


def test_a_request_is_written_in_one_way() -> None:
    scope = _scope("POST", [("accept", "application/json"), ("x-request-id", "1")], query_string=b"a=b")

    assert HEADS.write(scope, b"{}") == (
        b"POST /mcp?a=b HTTP/1.1\r\n"
        b"host: wiki:9000\r\n"
        b"accept: application/json\r\n"
        b"x-request-id: 1\r\n"
        b"content-length: 2\r\n"
        b"x-forwarded-for: 192.0.2.7\r\n"
        b"x-forwarded-host: docs.example.com\r\n"
        b"x-forwarded-proto: https\r\n"
        b"via: 1.1 tunnelgate\r\n"
        b"\r\n"
    )


def test_headers_go_on_in_their_order_however_often_they_stand_there() -> None:
    headers = [("b", "1"), ("a", ""), ("b", "2"), ("accept", "x, y"), ("b", "\u00e9\t ")]

    assert _sent(headers) == [
        (b"b", b"1"),
        (b"a", b""),
        (b"b", b"2"),
        (b"accept", b"x, y"),
        (b"b", b"\xe9\t "),
    ]


@pytest.mark.parametrize(
    ("client", "said"),
    [
        pytest.param(("192.0.2.7", 50000), [b"192.0.2.7"], id="an address"),
        pytest.param(("2001:db8::7", 0), [b"2001:db8::7"], id="a long address"),
        pytest.param(None, [], id="nobody knows"),
    ],
)
def test_the_upstream_is_told_who_the_client_is(client: Any, said: list[bytes]) -> None:
    fields = _fields(HEADS.write(_scope(client=client), b""))

    assert [value for name, value in fields if name == b"x-forwarded-for"] == said


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_the_upstream_is_told_how_clients_reach_the_gate(scheme: str) -> None:
    heads = RequestHeads(b"wiki", scheme=scheme)

    assert (b"x-forwarded-proto", scheme.encode()) in _fields(heads.write(_scope(), b""))


@pytest.mark.parametrize(
    ("authority", "host"),
    [
        pytest.param(b"wiki:9000", b"wiki:9000", id="its own"),
        pytest.param(None, b"docs.example.com", id="the one of the client"),
    ],
)
def test_the_upstream_gets_one_host_and_is_told_the_one_of_the_client(
    authority: bytes | None, host: bytes
) -> None:
    heads = RequestHeads(authority, scheme="https")
    fields = _fields(heads.write(_scope(headers=[("host", "evil.example")]), b""))

    assert [value for name, value in fields if name == b"host"] == [host]
    assert (b"x-forwarded-host", b"docs.example.com") in fields


# How long a request is


@pytest.mark.parametrize(
    ("method", "body", "length"),
    [
        pytest.param("POST", b"{}", [b"2"], id="POST with a body"),
        pytest.param("POST", b"", [b"0"], id="POST without one"),
        pytest.param("GET", b"", [], id="GET"),
        pytest.param("HEAD", b"", [], id="HEAD"),
        pytest.param("DELETE", b"", [], id="DELETE"),
        pytest.param("OPTIONS", b"", [], id="OPTIONS"),
        pytest.param("DELETE", b"abc", [b"3"], id="DELETE with a body"),
    ],
)
@pytest.mark.parametrize(
    "said",
    [
        pytest.param([], id="nothing"),
        pytest.param([("content-length", "7")], id="another length"),
        pytest.param([("content-length", "2"), ("content-length", "20")], id="two lengths"),
        pytest.param([("transfer-encoding", "chunked")], id="chunks"),
        pytest.param([("content-length", "7"), ("transfer-encoding", "chunked")], id="both"),
        pytest.param([("transfer-encoding", "gzip, chunked"), ("te", "trailers")], id="a coding"),
    ],
)
def test_the_length_of_a_request_is_the_one_of_what_is_sent_whatever_was_said(
    method: str, body: bytes, length: list[bytes], said: Headers
) -> None:
    fields = _fields(HEADS.write(_scope(method, said), body))

    assert [value for name, value in fields if name == b"content-length"] == length
    assert not {name for name, _ in fields} & {b"transfer-encoding", b"te", b"trailer"}


# What does not go on


HOP_BY_HOP = [
    "connection",
    "expect",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
]


@pytest.mark.parametrize("name", HOP_BY_HOP)
def test_what_is_about_one_connection_ends_with_it(name: str) -> None:
    assert _sent([(name, "x"), ("x-other", "1")]) == [(b"x-other", b"1")]
    assert pass_back([(name.encode(), b"x"), (b"x-other", b"1")], cookies=True) == [(b"x-other", b"1")]


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        pytest.param([b"x-one"], [b"x-two"], id="one"),
        pytest.param([b"X-One, \tX-TWO "], [], id="two in capitals, with white space"),
        pytest.param([b"x-one", b"x-two"], [], id="two in lines of their own"),
        pytest.param([b"close, x-two"], [b"x-one"], id="one beside close"),
        pytest.param([b",,x-one,"], [b"x-two"], id="one between nothings"),
        pytest.param([b"x-on", b"x-one-more"], [b"x-one", b"x-two"], id="others with names like these"),
        pytest.param([b"x-one;x-two"], [b"x-one", b"x-two"], id="what is no list"),
        pytest.param([b""], [b"x-one", b"x-two"], id="nothing"),
    ],
)
def test_what_connection_names_ends_with_it(options: list[bytes], kept: list[bytes]) -> None:
    headers = [(b"x-one", b"1"), *((b"connection", option) for option in options), (b"x-two", b"2")]

    sent = _sent([(name.decode(), value.decode()) for name, value in headers])
    passed = pass_back(headers, cookies=False)

    assert [name for name, _ in sent] == kept
    assert [name for name, _ in passed] == kept


@pytest.mark.parametrize(
    "named",
    [
        "host",
        "content-length",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-proto",
        "via",
        "connection",
    ],
)
def test_nothing_of_ours_can_be_taken_away_by_naming_it_in_connection(named: str) -> None:
    scope = _scope("POST", [("connection", f"close, {named}"), (named, "forged")])

    fields = _fields(HEADS.write(scope, b"{}"))

    assert fields == [(b"host", b"wiki:9000"), (b"content-length", b"2"), *OURS]


SPELLINGS = [
    "forwarded",
    "x-forwarded",
    "x-forwarded-by",
    "x-forwarded-client-cert",
    "x-forwarded-for",
    "x-forwarded-for-original",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "x-forwarded-proto",
    "x-forwarded-scheme",
    "x-forwarded-server",
    "x-forwarded-ssl",
    "x-forwarded-user",
    "x-original-forwarded-for",
    "x-real-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "true-client-ip",
    "cf-connecting-ip",
    "cf-connecting-ipv6",
    "cf-ipcountry",
    "cf-ray",
    "cf-visitor",
    "cf-access-jwt-assertion",
    "via",
]


@pytest.mark.parametrize("name", SPELLINGS)
@pytest.mark.parametrize("spelled", ["so", "with underscores", "with one underscore"])
def test_where_a_request_comes_from_is_said_by_us_or_by_nobody(name: str, spelled: str) -> None:
    if spelled == "with underscores":
        name = name.replace("-", "_")
    elif spelled == "with one underscore":
        name = name.replace("-", "_", 1)

    assert _sent([(name, "203.0.113.66"), (name, "for=203.0.113.66")]) == []


@pytest.mark.parametrize(
    "name", ["x-forwarder", "cfx", "avia", "via-x", "x-real-ip-x", "x-tenant", "x_tenant"]
)
def test_names_that_only_begin_or_end_like_those_go_on(name: str) -> None:
    assert _sent([(name, "1")]) == [(name.encode(), b"1")]


@pytest.mark.parametrize(
    "octets",
    [pytest.param(64, id="as long as those that are remembered"), pytest.param(65, id="longer than those")],
)
@pytest.mark.parametrize(
    ("begins", "goes_on"),
    [
        pytest.param("x-tenant-", True, id="one of its own"),
        pytest.param("x-forwarded-", False, id="where a request comes from"),
        pytest.param("x_forwarded_", False, id="the same with underscores"),
        pytest.param("cf-", False, id="what a tunnel says"),
    ],
)
def test_a_name_is_judged_however_long_it_is(octets: int, begins: str, *, goes_on: bool) -> None:
    name = begins.ljust(octets, "x")

    for _ in range(2):
        assert _sent([(name, "1")]) == ([(name.encode(), b"1")] if goes_on else [])


@pytest.mark.parametrize("octets", [64, 65])
def test_what_is_no_name_is_none_however_long_it_is(octets: int) -> None:
    for _ in range(2):
        with pytest.raises(UpstreamFailed, match="what is no name of a header"):
            HEADS.write(_scope(headers=[("x".ljust(octets - 1, "x") + ":", "1")]), b"")


def test_long_names_of_callers_are_not_remembered() -> None:
    gc.collect()
    names = [f"x-{number}-".ljust(64 * 1024, "x") for number in range(64)]
    tracemalloc.start()
    try:
        for name in names:
            assert _sent([(name, "1")]) == [(name.encode(), b"1")]
        gc.collect()
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()

    assert held < 64 * 1024


@pytest.mark.parametrize("cookies", [False, True])
def test_cookies_pass_where_that_was_asked_for(*, cookies: bool) -> None:
    heads = RequestHeads(b"wiki:9000", scheme="https", cookies=cookies)

    assert _sent([("cookie", "a=b"), ("cookie", "c=d")], heads) == [
        (b"cookie", each) for each in (b"a=b", b"c=d") if cookies
    ]
    assert pass_back([(b"set-cookie", b"a=b"), (b"set-cookie", b"c=d")], cookies=cookies) == [
        (b"set-cookie", each) for each in (b"a=b", b"c=d") if cookies
    ]


@pytest.mark.parametrize("name", [b"alt-svc", b"date", b"server"])
def test_who_a_server_is_and_where_else_it_is_stays_here(name: bytes) -> None:
    assert pass_back([(name, b"x")], cookies=True) == []


@pytest.mark.parametrize(
    "name",
    [
        b"x-sendfile",
        b"x-sendfile2",
        b"x-sendfile-temporary",
        b"x-lighttpd-send-file",
        b"x-accel-redirect",
        b"x-accel-expires",
        b"x-accel-limit-rate",
        b"x-accel-charset",
        b"x-accel-",
        b"x-accel-bufferings",
    ],
)
def test_no_proxy_in_front_of_the_gate_is_told_by_a_server_to_send_a_file_of_its_own(name: bytes) -> None:
    assert pass_back([(name, b"/protected/secret"), (b"x-other", b"1")], cookies=True) == [(b"x-other", b"1")]


@pytest.mark.parametrize("name", [b"x-accel-buffering", b"x-accelerated", b"x-send", b"dates", b"servers"])
def test_of_an_answer_names_that_only_look_like_those_go_on(name: bytes) -> None:
    assert pass_back([(name, b"no")], cookies=False) == [(name, b"no")]


def test_of_an_answer_the_rest_goes_on_in_its_order() -> None:
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"2"),
        (b"mcp-session-id", b"s-1"),
        (b"link", b"</a>"),
        (b"link", b"</b>"),
        (b"www-authenticate", b"Bearer"),
        (b"retry-after", b"7"),
    ]

    assert pass_back(iter(headers), cookies=False) == headers


# Paths and queries, octet by octet


@pytest.mark.parametrize(
    "raw",
    [
        b"/",
        b"/mcp",
        b"/mcp/",
        b"//mcp",
        b"/a//b",
        b"/%6d%63p",
        b"/a%2fb%2Fc",
        b"/%2e%2e/x",
        b"/a/../b",
        b"/a;b=c,d",
        b"/~a!$&'()*+:@-._",
        b"/%c3%bc",
        b"/%ff%00",
        b"/a%",
        b"/a\\b",
        b'/a|b^c`{}"<>',
    ],
    ids=ascii,
)
@pytest.mark.parametrize(
    "query", [b"", b"a=b", b"?", b"a=%2F&a=+", b"/?:@", b"%", b"&&=", b"a=b?c=d"], ids=ascii
)
def test_a_path_and_a_query_go_on_octet_by_octet(raw: bytes, query: bytes) -> None:
    expected = raw + b"?" + query if query else raw

    assert _target(raw_path=raw, path="/something else", query_string=query) == expected


@pytest.mark.parametrize(
    ("path", "target"),
    [
        pytest.param("/mcp", b"/mcp", id="plain"),
        pytest.param("/a b", b"/a%20b", id="a space"),
        pytest.param("/b\u00fccher", b"/b%C3%BCcher", id="a letter that is not ASCII"),
        pytest.param("/a?b#c", b"/a%3Fb%23c", id="what would begin a query"),
        pytest.param("/a%2fb", b"/a%252fb", id="what looks like an escape"),
        pytest.param("/a\r\nx: y", b"/a%0D%0Ax%3A%20y", id="a line end"),
    ],
)
@pytest.mark.parametrize("raw_path", [None, b""], ids=["none", "an empty one"])
def test_without_the_raw_path_of_the_server_the_path_is_escaped(
    path: str, target: bytes, raw_path: bytes | None
) -> None:
    assert _target(path=path, raw_path=raw_path) == target


@pytest.mark.parametrize(
    ("root", "raw", "target"),
    [
        pytest.param("", b"/mcp", b"/mcp", id="none"),
        pytest.param("/gate", b"/gate/mcp", b"/mcp", id="one"),
        pytest.param("/gate", b"/gate/", b"/", id="one, and nothing else"),
        pytest.param("/gate", b"/gate//mcp", b"//mcp", id="one, and an empty segment"),
        pytest.param("/gate", b"/gateway/mcp", b"/gateway/mcp", id="one that only begins so"),
        pytest.param("/gate", b"/mcp", b"/mcp", id="one that is not part of the path"),
        pytest.param("/gate", b"/gate/gate/mcp", b"/gate/mcp", id="one that comes twice"),
        pytest.param("/a/b", b"/a/b/mcp", b"/mcp", id="one with two segments"),
        pytest.param("/b\u00fccher", b"/b%C3%BCcher/mcp", b"/mcp", id="one with a letter that is not ASCII"),
        pytest.param("/b\u00fccher", b"/b%c3%bccher/mcp", b"/mcp", id="the same with small digits"),
        pytest.param("/a b", b"/a%20b/mcp", b"/mcp", id="one with a space"),
    ],
)
def test_what_the_gate_is_mounted_below_is_not_part_of_the_path_upstream(
    root: str, raw: bytes, target: bytes
) -> None:
    assert _target(raw_path=raw, root_path=root, path=root + target.decode()) == target


def test_a_scope_need_not_say_what_is_optional() -> None:
    scope = _scope()
    for key in ("raw_path", "root_path", "query_string", "client"):
        del scope[key]

    lines = _lines(HEADS.write(scope, b""))

    assert (lines[0], lines[1:-3]) == (b"GET /mcp HTTP/1.1", [b"host: wiki:9000"])


# What would be a request inside a request


SMUGGLED = "x\r\n\r\nGET /admin HTTP/1.1\r\nhost: wiki"
BREAKS = ["\r", "\n", "\0", "\r\n", "\n\n", SMUGGLED]


def _in_a_value(text: str) -> Scope:
    return _scope(headers=[("x-one", text)])


def _in_a_name(text: str) -> Scope:
    return _scope(headers=[(f"x{text}y", "1")])


def _in_the_path(text: str) -> Scope:
    return _scope(raw_path=b"/" + text.encode())


def _in_the_query(text: str) -> Scope:
    return _scope(query_string=b"a=" + text.encode())


def _in_the_client(text: str) -> Scope:
    return _scope(client=(text, 1))


def _in_the_host(text: str) -> Scope:
    return {**_scope(), "headers": [(b"host", text.encode())]}


def _in_the_method(text: str) -> Scope:
    return _scope("GET" + text)


PLACES = [
    pytest.param(_in_a_value, id="a value"),
    pytest.param(_in_a_name, id="a name"),
    pytest.param(_in_the_path, id="the path"),
    pytest.param(_in_the_query, id="the query"),
    pytest.param(_in_the_client, id="the address of the client"),
    pytest.param(_in_the_host, id="the host"),
    pytest.param(_in_the_method, id="the method"),
]


@pytest.mark.parametrize("text", BREAKS, ids=ascii)
@pytest.mark.parametrize("place", PLACES)
def test_nothing_ends_a_line_before_its_end(place: Callable[[str], Scope], text: str) -> None:
    with pytest.raises(UpstreamFailed) as refused:
        HEADS.write(place(text), b"")

    assert refused.value.reason is Reason.INTERNAL_ERROR


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("", id="nothing"),
        pytest.param("transfer-encoding ", id="a space behind it"),
        pytest.param("transfer-encoding\t", id="a tab behind it"),
        pytest.param(" transfer-encoding", id="a space before it"),
        pytest.param("transfer-encoding: chunked\tx", id="a colon"),
        pytest.param("content-length:", id="a colon at its end"),
        pytest.param("a b", id="two words"),
        pytest.param("x\u00e9", id="a letter that is not ASCII"),
        pytest.param("x\x01", id="a control character"),
        pytest.param("x\x7f", id="DEL"),
        pytest.param("x(y)", id="a comment"),
        pytest.param("Transfer-Encoding", id="capitals, which no server passes on"),
    ],
)
def test_what_is_no_name_of_a_header_in_small_letters_is_not_sent(name: str) -> None:
    with pytest.raises(UpstreamFailed) as refused:
        HEADS.write(_scope("POST", [(name, "chunked")]), b"{}")

    assert refused.value.reason is Reason.INTERNAL_ERROR


@pytest.mark.parametrize(
    ("raw", "query"),
    [
        pytest.param(b"/a HTTP/1.1", b"", id="a path with a space"),
        pytest.param(b"/a", b"b HTTP/1.1", id="a query with a space"),
        pytest.param(b"/a\tb", b"", id="a tab"),
        pytest.param(b"/a\x0bb", b"", id="another white space"),
        pytest.param(b"/a\x7f", b"", id="DEL"),
        pytest.param(b"a", b"", id="a path that does not begin like one"),
        pytest.param(b"http://evil.example/", b"", id="an absolute URL"),
        pytest.param(b"*", b"", id="a star"),
    ],
)
def test_a_target_is_a_path_and_one_word(raw: bytes, query: bytes) -> None:
    with pytest.raises(UpstreamFailed) as refused:
        HEADS.write(_scope(raw_path=raw, query_string=query), b"")

    assert refused.value.reason is Reason.INTERNAL_ERROR


@pytest.mark.parametrize(
    "scope",
    [
        pytest.param(_scope("P\u00d6ST"), id="a method that is not ASCII"),
        pytest.param(_scope(client=("192.0.2.\u0667", 1)), id="an address that is not ASCII"),
        pytest.param(_scope("GET /admin HTTP/1.1\tX"), id="a method of several words"),
        pytest.param(
            _scope(client=("192.0.2.7, 203.0.113.1\x0b", 1)), id="an address with a control character"
        ),
    ],
)
def test_what_a_server_never_says_is_not_sent(scope: Scope) -> None:
    with pytest.raises((UpstreamFailed, UnicodeEncodeError)):
        HEADS.write(scope, b"")


class Read:
    """A request as the parser reads it that many servers have."""

    def __init__(self, octets: bytes) -> None:
        self.headers: list[tuple[bytes, bytes]] = []
        self.body = b""
        self.target = b""
        self.requests = 0
        self.ends = 0
        parser = httptools.HttpRequestParser(self)
        parser.feed_data(octets)
        self.method: bytes = parser.get_method()

    def on_message_begin(self) -> None:
        self.requests += 1

    def on_url(self, url: bytes) -> None:
        self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name, value))

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.ends += 1


OCTETS = st.binary(max_size=6)
NAMES = st.one_of(
    st.sampled_from(
        [name.encode() for name in (*HOP_BY_HOP, *SPELLINGS, "host", "content-length", "cookie")]
    ),
    st.from_regex(rb"[a-z0-9!#$%&'*+.^_`|~-]{1,8}", fullmatch=True),
    OCTETS,
)
VALUES = st.one_of(st.from_regex(rb"[\x21-\x7e]( ?[\x21-\x7e\x80-\xff])*", fullmatch=True), OCTETS)
PATHS = st.one_of(st.from_regex(rb"/[!\"$-~]{0,8}", fullmatch=True), OCTETS.map(lambda octets: b"/" + octets))


@given(
    method=st.sampled_from(["GET", "POST", "DELETE", "OPTIONS"]),
    headers=st.lists(st.tuples(NAMES, VALUES), max_size=5),
    raw=PATHS,
    query=st.one_of(st.from_regex(rb"[!\"$-~]{0,8}", fullmatch=True), OCTETS),
    body=st.sampled_from([b"", b"{}", b"GET / HTTP/1.1\r\n\r\n"]),
)
@example("POST", [(b"transfer-encoding ", b"chunked")], b"/mcp", b"", b"{}")
@example("GET", [], b"/ HTTP/1.1", b"", b"")
def test_whatever_comes_is_one_request_as_it_was_meant_or_none(
    method: str, headers: Sequence[tuple[bytes, bytes]], raw: bytes, query: bytes, body: bytes
) -> None:
    scope = {**_scope(method, raw_path=raw, query_string=query), "headers": [(b"host", b"x"), *headers]}
    try:
        octets = HEADS.write(scope, body) + body
    except UpstreamFailed:
        return

    read = Read(octets)

    assert (read.requests, read.ends) == (1, 1)
    assert (read.method, read.target, read.body) == (
        method.encode(),
        raw + b"?" + query if query else raw,
        body,
    )
    names = [name for name, _ in read.headers]
    assert names.count(b"host") == 1
    assert read.headers[0] == (b"host", b"wiki:9000")
    assert names.count(b"content-length") == (1 if body or method == "POST" else 0)
    assert tuple(read.headers[-4:]) == (OURS[0], (b"x-forwarded-host", b"x"), *OURS[2:])
    between = {name.strip().lower().replace(b"_", b"-").decode("latin-1") for name in names[1:-4]}
    assert not between & {*HOP_BY_HOP, *SPELLINGS, "host", "cookie"}
