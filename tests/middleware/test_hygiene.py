from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.asgi import Headers, Spy, call, http_scope
from tests.support.audit import Records
from tunnelgate import Allow, AuditLog, Deny, Reason, RequestHygiene, Verdict
from tunnelgate.asgi import ASGIApp, Message, Receive, Scope, Send
from tunnelgate.hygiene import DEFAULT_MAX_BODY, DEFAULT_MAX_HEADERS, BodyTooLarge, HygieneRules
from tunnelgate.reading.head import SINGLE_FIELDS, read_head

HOST = ("host", "docs.example.com")
RULES = HygieneRules(max_body=100, max_headers=1000)


def _judge(scope: Scope, rules: HygieneRules = RULES) -> Verdict:
    return rules.decide(read_head(scope))


def _reason(scope: Scope, rules: HygieneRules = RULES) -> Reason | None:
    verdict = _judge(scope, rules)
    assert isinstance(verdict, Allow | Deny)
    return None if isinstance(verdict, Allow) else verdict.reason


@pytest.mark.parametrize("method", ["DELETE", "GET", "HEAD", "OPTIONS", "POST"])
@pytest.mark.parametrize("version", ["1.1", "2"])
def test_a_plain_request_passes(method: str, version: str) -> None:
    assert _judge(http_scope(method, http_version=version)) == Allow()


@pytest.mark.parametrize(
    "method",
    ["PUT", "PATCH", "CONNECT", "TRACE", "TRACK", "PRI", "PROPFIND", "post", "Post", "POST ", "", "GET\tX"],
)
def test_a_method_that_mcp_does_not_use_is_refused(method: str) -> None:
    assert _judge(http_scope(method)) == Deny(Reason.HTTP_METHOD_NOT_ALLOWED, method)


@pytest.mark.parametrize("version", ["0.9", "1.0", "1.2", "2.0", "3", "", "1.1 "])
def test_a_version_of_http_that_is_not_spoken_is_refused(version: str) -> None:
    assert _judge(http_scope(http_version=version)) == Deny(Reason.HTTP_VERSION_NOT_SUPPORTED, version)


@pytest.mark.parametrize(
    ("hosts", "reason"),
    [
        pytest.param(["docs.example.com"], None, id="a name"),
        pytest.param(["docs.example.com:8080"], None, id="a name with a port"),
        pytest.param(["[2001:db8::1]:443"], None, id="an IPv6 address with a port"),
        pytest.param([], Reason.HOST_MISSING, id="no Host"),
        pytest.param([""], Reason.HOST_MALFORMED, id="an empty Host"),
        pytest.param(["docs.example.com", "evil.example"], Reason.HEADER_DUPLICATED, id="two Hosts"),
        pytest.param(["docs.example.com"] * 2, Reason.HEADER_DUPLICATED, id="the same Host twice"),
        pytest.param(["docs.example.com, evil.example"], Reason.HOST_MALFORMED, id="two Hosts in one"),
        pytest.param(["docs.example.com:99999"], Reason.HOST_MALFORMED, id="no such port"),
        pytest.param(["docs.example.com:+443"], Reason.HOST_MALFORMED, id="a port with a sign"),
        pytest.param(["docs.example.com:4_43"], Reason.HOST_MALFORMED, id="a port with an underscore"),
        pytest.param(["docs.example.com:0000443"], Reason.HOST_MALFORMED, id="a port with leading zeros"),
        pytest.param(["docs.example.com:"], Reason.HOST_MALFORMED, id="a colon without a port"),
        pytest.param(["docs.example.com.."], Reason.HOST_MALFORMED, id="two dots at the end"),
        pytest.param(["docs..example.com"], Reason.HOST_MALFORMED, id="an empty label"),
        pytest.param(["docs.example.com\tevil.example"], Reason.HOST_MALFORMED, id="a tab"),
        pytest.param(["docs.example.com evil.example"], Reason.HOST_MALFORMED, id="a folded line"),
        pytest.param(["docs.example.com/admin?"], Reason.HOST_MALFORMED, id="a path"),
        pytest.param(["docs.example.com#x"], Reason.HOST_MALFORMED, id="a fragment"),
        pytest.param(["user@docs.example.com"], Reason.HOST_MALFORMED, id="a user"),
        pytest.param(["docs%2eexample.com"], Reason.HOST_MALFORMED, id="an encoded dot"),
        pytest.param(["docs.example.com\x00.evil.example"], Reason.HOST_MALFORMED, id="a NUL"),
        pytest.param(["docs.example.com\r"], Reason.HOST_MALFORMED, id="a CR"),
        pytest.param(["docs.ex\xd0\xb0mple.com"], Reason.HOST_MALFORMED, id="a letter of another script"),
        pytest.param(["[fe80::1%25eth0]"], Reason.HOST_MALFORMED, id="an IPv6 address with a zone"),
        pytest.param(["2001:db8::1"], Reason.HOST_MALFORMED, id="an IPv6 address without brackets"),
    ],
)
def test_a_request_names_one_readable_host(hosts: list[str], reason: Reason | None) -> None:
    assert _reason(http_scope(headers=[("host", host) for host in hosts])) is reason


@pytest.mark.parametrize(
    "name",
    [
        "authorization",
        "cf-connecting-ip",
        "content-encoding",
        "content-length",
        "content-type",
        "expect",
        "last-event-id",
        "mcp-method",
        "mcp-name",
        "mcp-protocol-version",
        "mcp-session-id",
        "origin",
        "transfer-encoding",
        "upgrade",
    ],
)
def test_a_header_that_a_layer_reads_may_not_occur_twice(name: str) -> None:
    verdict = _judge(http_scope(headers=[HOST, (name, "1"), (name, "1")]))

    assert verdict == Deny(Reason.HEADER_DUPLICATED, name)


@pytest.mark.parametrize(
    "name",
    ["mcp_name", "mcp_method", "mcp-protocol_version", "content_length", "content_type", "transfer_encoding"],
)
def test_a_header_that_some_server_takes_for_one_of_ours_is_refused(name: str) -> None:
    verdict = _judge(http_scope(headers=[HOST, (name, "1")]))

    assert verdict == Deny(Reason.HEADER_LOOKALIKE, name)


def test_each_name_is_recorded_once_and_all_of_them_within_bounds() -> None:
    names = [name.decode() for name in SINGLE_FIELDS]
    twice = [(name, "1") for name in names for _ in range(3)]

    verdict = _judge(http_scope(headers=twice), HygieneRules(max_headers=10_000))

    assert isinstance(verdict, Deny)
    assert verdict.detail == ", ".join(sorted(names))[:200]
    assert len(verdict.detail) == 200


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param([("accept", "a"), ("accept", "b")], id="a list in two lines"),
        pytest.param([("x_tenant", "blue")], id="an underscore in a name that is not ours"),
        pytest.param([("x-forwarded-host", "evil.example")], id="X-Forwarded-Host, which nobody reads"),
        pytest.param([("x-original-url", "/admin")], id="X-Original-URL, which nobody reads"),
    ],
)
def test_headers_that_no_layer_reads_are_none_of_its_business(headers: Headers) -> None:
    assert _judge(http_scope(headers=[HOST, *headers])) == Allow()


NO_PATH = Deny(Reason.REQUEST_TARGET_MALFORMED, "not a path in origin form")
TWO_READINGS = Deny(Reason.REQUEST_TARGET_MALFORMED, "a path with two readings")
EMPTY_SEGMENT = Deny(Reason.PATH_NOT_SERVED, "an empty segment")


@pytest.mark.parametrize(
    ("target", "verdict"),
    [
        pytest.param(b"/mcp", Allow(), id="a path"),
        pytest.param(b"/", Allow(), id="the root"),
        pytest.param(b"/mcp/", Allow(), id="a slash at the end"),
        pytest.param(
            b"/.well-known/oauth-protected-resource/mcp", Allow(), id="a segment that begins with a dot"
        ),
        pytest.param(b"/a.b/..c/d../...", Allow(), id="dots that are not a whole segment"),
        pytest.param(b"/caf%C3%A9", Allow(), id="an encoded letter"),
        pytest.param(b"/m%63p", Allow(), id="a letter encoded without need"),
        pytest.param(b"/a:b@c!$&'()*+,;=~_-", Allow(), id="every mark that a path may have"),
        pytest.param(b"", NO_PATH, id="nothing at all"),
        pytest.param(b"mcp", NO_PATH, id="no slash at the beginning"),
        pytest.param(b"*", NO_PATH, id="an asterisk"),
        pytest.param(b"http://docs.example.com/mcp", NO_PATH, id="an absolute URL"),
        pytest.param(b"docs.example.com:443", NO_PATH, id="an authority"),
        pytest.param(b"/mcp#fragment", NO_PATH, id="a fragment"),
        pytest.param(b"/mcp?query", NO_PATH, id="a query that a server has left in the path"),
        pytest.param(b"/mcp admin", NO_PATH, id="a space"),
        pytest.param(b"/mcp\tadmin", NO_PATH, id="a tab"),
        pytest.param(b"/mcp\r\nHost: evil.example", NO_PATH, id="a line end"),
        pytest.param(b"/mcp\n", NO_PATH, id="a line end at the end"),
        pytest.param(b"/mcp\x00", NO_PATH, id="a NUL"),
        pytest.param(b"/mcp\\admin", NO_PATH, id="a backslash"),
        pytest.param(b"/caf\xc3\xa9", NO_PATH, id="a letter that is not encoded"),
        pytest.param(b"/mcp%", NO_PATH, id="a percent sign alone"),
        pytest.param(b"/mcp%2", NO_PATH, id="half an encoded octet"),
        pytest.param(b"/mcp%zz", NO_PATH, id="an encoded octet that is none"),
        pytest.param(b"/mcp%u002f", NO_PATH, id="the encoding of another company"),
        pytest.param(b"/mcp%2f..%2fadmin", TWO_READINGS, id="an encoded slash"),
        pytest.param(b"/mcp%2Fadmin", TWO_READINGS, id="an encoded slash in capitals"),
        pytest.param(b"/mcp%5cadmin", TWO_READINGS, id="an encoded backslash"),
        pytest.param(b"/mcp/%2e%2e/admin", TWO_READINGS, id="encoded dots"),
        pytest.param(b"/mcp/.%2E/admin", TWO_READINGS, id="one dot of two encoded"),
        pytest.param(b"/mcp%00", TWO_READINGS, id="an encoded NUL"),
        pytest.param(b"/mcp%0d%0aHost:%20evil", TWO_READINGS, id="an encoded line end"),
        pytest.param(b"/mcp%1f", TWO_READINGS, id="the last of the encoded control characters"),
        pytest.param(b"/mcp%7F", TWO_READINGS, id="an encoded DEL"),
        pytest.param(b"/mcp/../admin", TWO_READINGS, id="a segment of two dots"),
        pytest.param(b"/mcp/./admin", TWO_READINGS, id="a segment of one dot"),
        pytest.param(b"/mcp/..", TWO_READINGS, id="two dots at the end"),
        pytest.param(b"/.", TWO_READINGS, id="one dot alone"),
        pytest.param(b"/mcp%c0%ae%c0%ae/", TWO_READINGS, id="overlong UTF-8"),
        pytest.param(b"/mcp%ff", TWO_READINGS, id="an octet that is not UTF-8"),
        pytest.param(b"/%ed%a0%80", TWO_READINGS, id="an unpaired surrogate"),
        pytest.param(b"//evil.example/mcp", EMPTY_SEGMENT, id="two slashes at the beginning"),
        pytest.param(b"/mcp//admin", EMPTY_SEGMENT, id="two slashes in the middle"),
        pytest.param(b"/mcp//", EMPTY_SEGMENT, id="two slashes at the end"),
    ],
)
def test_a_target_has_one_reading(target: bytes, verdict: Verdict) -> None:
    assert _judge(http_scope(raw_path=target)) == verdict


AMBIGUOUS_CODING = Deny(Reason.FRAMING_AMBIGUOUS, "Transfer-Encoding is not chunked alone")
NO_NUMBER = Deny(Reason.FRAMING_AMBIGUOUS, "Content-Length is not a number")


@pytest.mark.parametrize(
    ("headers", "verdict"),
    [
        pytest.param([], Allow(), id="no body"),
        pytest.param([("content-length", "0")], Allow(), id="a length of nothing"),
        pytest.param([("content-length", "000000000000005")], Allow(), id="15 digits"),
        pytest.param([("content-length", "0000000000000005")], NO_NUMBER, id="one digit more"),
        pytest.param([("content-length", "100")], Allow(), id="the longest body"),
        pytest.param(
            [("content-length", "101")], Deny(Reason.BODY_TOO_LARGE, "101 octets"), id="one octet more"
        ),
        pytest.param([("content-length", "")], NO_NUMBER, id="an empty length"),
        pytest.param([("content-length", "+5")], NO_NUMBER, id="a length with a sign"),
        pytest.param([("content-length", "-1")], NO_NUMBER, id="a length below nothing"),
        pytest.param([("content-length", "5, 5")], NO_NUMBER, id="a list of lengths"),
        pytest.param([("content-length", "5 ")], NO_NUMBER, id="a length with a space"),
        pytest.param([("content-length", "0x5")], NO_NUMBER, id="a length in hexadecimal"),
        pytest.param([("content-length", "1_0")], NO_NUMBER, id="a length with an underscore"),
        pytest.param([("content-length", "5.0")], NO_NUMBER, id="a length with a fraction"),
        pytest.param([("content-length", "\xb2")], NO_NUMBER, id="a digit that is not ASCII"),
        pytest.param([("transfer-encoding", "chunked")], Allow(), id="chunked"),
        pytest.param([("transfer-encoding", "Chunked")], Allow(), id="chunked in capitals"),
        pytest.param([("transfer-encoding", "gzip, chunked")], AMBIGUOUS_CODING, id="compressed and chunked"),
        pytest.param(
            [("transfer-encoding", "chunked, identity")], AMBIGUOUS_CODING, id="chunked and no more"
        ),
        pytest.param([("transfer-encoding", "chunked, chunked")], AMBIGUOUS_CODING, id="chunked twice"),
        pytest.param([("transfer-encoding", "xchunked")], AMBIGUOUS_CODING, id="a coding that ends like it"),
        pytest.param([("transfer-encoding", "chunked;q=1")], AMBIGUOUS_CODING, id="chunked with a parameter"),
        pytest.param([("transfer-encoding", " chunked\t")], Allow(), id="chunked between white space"),
        pytest.param([("transfer-encoding", "\x0bchunked")], AMBIGUOUS_CODING, id="a vertical tab in front"),
        pytest.param([("transfer-encoding", "chunked\x0c")], AMBIGUOUS_CODING, id="a form feed behind it"),
        pytest.param([("transfer-encoding", "chunked\x00")], AMBIGUOUS_CODING, id="a NUL behind it"),
        pytest.param([("transfer-encoding", "identity")], AMBIGUOUS_CODING, id="identity"),
        pytest.param([("transfer-encoding", "")], AMBIGUOUS_CODING, id="an empty coding"),
        pytest.param(
            [("content-length", "5"), ("transfer-encoding", "chunked")],
            AMBIGUOUS_CODING,
            id="a length and chunked",
        ),
        pytest.param(
            [("content-length", "5"), ("content-length", "6")],
            Deny(Reason.HEADER_DUPLICATED, "content-length"),
            id="two lengths",
        ),
        pytest.param(
            [("content-length", "9" * 15)], Deny(Reason.BODY_TOO_LARGE, "9" * 15 + " octets"), id="far"
        ),
    ],
)
def test_the_length_of_a_body_has_one_reading_and_a_bound(headers: Headers, verdict: Verdict) -> None:
    assert _judge(http_scope(headers=[HOST, *headers])) == verdict


@pytest.mark.parametrize("method", ["DELETE", "GET", "HEAD", "OPTIONS"])
@pytest.mark.parametrize(
    ("header", "reason"),
    [
        pytest.param(("content-length", "0"), None, id="a length of nothing"),
        pytest.param(("content-length", "1"), Reason.BODY_NOT_ALLOWED, id="a length"),
        pytest.param(("transfer-encoding", "chunked"), Reason.BODY_NOT_ALLOWED, id="chunked"),
    ],
)
def test_only_a_post_has_a_body(method: str, header: tuple[str, str], reason: Reason | None) -> None:
    assert _reason(http_scope(method, headers=[HOST, header])) is reason


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        pytest.param([("connection", "keep-alive")], None, id="keep-alive"),
        pytest.param([("connection", "Close")], None, id="close in capitals"),
        pytest.param([("connection", "close, keep-alive")], None, id="both"),
        pytest.param([("connection", "")], None, id="an empty list"),
        pytest.param([("connection", "keep-alive,,")], None, id="empty members"),
        pytest.param(
            [("connection", "Host, Authorization")],
            Reason.CONNECTION_OPTION_NOT_ALLOWED,
            id="the names of headers that a proxy would drop",
        ),
        pytest.param(
            [("connection", "close"), ("connection", "mcp-name")],
            Reason.CONNECTION_OPTION_NOT_ALLOWED,
            id="such a name in a second line",
        ),
        pytest.param(
            [("connection", "Upgrade, HTTP2-Settings"), ("upgrade", "h2c")],
            Reason.CONNECTION_OPTION_NOT_ALLOWED,
            id="an upgrade to HTTP/2",
        ),
        pytest.param([("upgrade", "")], Reason.CONNECTION_OPTION_NOT_ALLOWED, id="an upgrade to nothing"),
        pytest.param([("upgrade", "websocket")], Reason.CONNECTION_OPTION_NOT_ALLOWED, id="an upgrade alone"),
        pytest.param([("expect", "100-Continue")], None, id="what curl expects"),
        pytest.param([("expect", "")], Reason.CONNECTION_OPTION_NOT_ALLOWED, id="an empty expectation"),
        pytest.param(
            [("expect", "200-maybe")], Reason.CONNECTION_OPTION_NOT_ALLOWED, id="another expectation"
        ),
    ],
)
def test_a_request_asks_nothing_of_the_connection_that_we_do_not_offer(
    headers: Headers, reason: Reason | None
) -> None:
    assert _reason(http_scope(headers=[HOST, *headers])) is reason


def _head_of(octets: int) -> Scope:
    """Return a scope whose path and field lines are this long."""
    taken = len("/mcp") + sum(len(name) + len(value) + 4 for name, value in [HOST, ("x", "")])
    return http_scope(headers=[HOST, ("x", "y" * (octets - taken))])


@pytest.mark.parametrize(
    ("scope", "rules", "verdict"),
    [
        pytest.param(_head_of(1000), RULES, Allow(), id="as long as it may be"),
        pytest.param(
            _head_of(1001), RULES, Deny(Reason.HEADERS_TOO_LARGE, "1001 octets"), id="one octet longer"
        ),
        pytest.param(_head_of(DEFAULT_MAX_HEADERS), HygieneRules(), Allow(), id="the default bound"),
        pytest.param(
            _head_of(DEFAULT_MAX_HEADERS + 1),
            HygieneRules(),
            Deny(Reason.HEADERS_TOO_LARGE, f"{DEFAULT_MAX_HEADERS + 1} octets"),
            id="one octet more than the default",
        ),
    ],
)
def test_a_head_is_bounded_as_a_whole(scope: Scope, rules: HygieneRules, verdict: Verdict) -> None:
    assert _judge(scope, rules) == verdict


def test_a_long_path_counts_as_part_of_the_head() -> None:
    assert _reason(http_scope(raw_path=b"/" + b"a" * 1000)) is Reason.HEADERS_TOO_LARGE


def test_many_short_headers_count_as_much_as_a_long_one() -> None:
    assert _reason(http_scope(headers=[HOST, *[("x", "")] * 250])) is Reason.HEADERS_TOO_LARGE


def test_a_long_query_counts_as_part_of_the_head() -> None:
    scope = {**http_scope(), "query_string": b"q" * 1000}

    assert _reason(scope) is Reason.HEADERS_TOO_LARGE


@pytest.mark.parametrize(
    ("length", "reason"),
    [
        pytest.param(DEFAULT_MAX_BODY, None, id="the default bound"),
        pytest.param(DEFAULT_MAX_BODY + 1, Reason.BODY_TOO_LARGE, id="one octet more"),
    ],
)
def test_without_any_setting_a_body_may_have_a_mebibyte(length: int, reason: Reason | None) -> None:
    assert DEFAULT_MAX_BODY == 1024 * 1024
    scope = http_scope(headers=[HOST, ("content-length", str(length))])

    assert _reason(scope, HygieneRules()) is reason


def test_without_any_setting_a_head_may_have_32_kibibytes() -> None:
    assert DEFAULT_MAX_HEADERS == 32 * 1024


def test_what_makes_a_head_too_large_is_found_before_anything_is_read_from_it() -> None:
    scope = http_scope("PUT", headers=[("host", "a"), ("host", "b" * 1000)], http_version="1.0")

    assert _reason(scope) is Reason.HEADERS_TOO_LARGE


@given(
    raw_path=st.binary(max_size=30) | st.from_regex(rb"/[a-z%2eEfF5c.0/\\]*", fullmatch=True),
    headers=st.lists(
        st.tuples(
            st.sampled_from([*sorted(SINGLE_FIELDS), b"connection", b"mcp_name", b"x"]),
            st.binary(max_size=20)
            | st.sampled_from([b"docs.example.com", b"chunked", b"5", b"close", b"100-continue"]),
        ),
        max_size=6,
    ),
    method=st.sampled_from(["GET", "POST", "PUT"]) | st.text(max_size=5),
)
def test_every_head_has_a_verdict_and_an_allowed_one_has_one_host_and_no_dot_segments(
    raw_path: bytes, headers: list[tuple[bytes, bytes]], method: str
) -> None:
    scope = {**http_scope(method, raw_path=raw_path), "headers": headers}

    verdict = _judge(scope)

    names = [name for name, _ in headers]
    if verdict:
        assert names.count(b"host") == 1
        assert raw_path.startswith(b"/")
        assert not {b".", b".."} & set(raw_path.split(b"/"))
        assert not (b"content-length" in names and b"transfer-encoding" in names)
    else:
        assert isinstance(verdict, Deny)


@pytest.mark.parametrize(
    ("scope", "status", "body", "header", "reason"),
    [
        pytest.param(
            http_scope(headers=[HOST, HOST]),
            400,
            {"error": "bad_request"},
            None,
            Reason.HEADER_DUPLICATED,
            id="two Hosts",
        ),
        pytest.param(
            http_scope("PUT"),
            405,
            {"error": "method_not_allowed"},
            ("allow", "DELETE, GET, HEAD, OPTIONS, POST"),
            Reason.HTTP_METHOD_NOT_ALLOWED,
            id="another method",
        ),
        pytest.param(
            http_scope(http_version="1.0"),
            505,
            {"error": "http_version_not_supported"},
            None,
            Reason.HTTP_VERSION_NOT_SUPPORTED,
            id="another version",
        ),
        pytest.param(
            http_scope(headers=[HOST, ("content-length", "5"), ("transfer-encoding", "chunked")]),
            400,
            {"error": "bad_request"},
            ("connection", "close"),
            Reason.FRAMING_AMBIGUOUS,
            id="two lengths of a body, after which the connection cannot be trusted",
        ),
        pytest.param(
            http_scope(headers=[HOST, ("content-length", "101")]),
            413,
            {"error": "too_large"},
            ("connection", "close"),
            Reason.BODY_TOO_LARGE,
            id="a large body",
        ),
        pytest.param(
            _head_of(1001),
            431,
            {"error": "headers_too_large"},
            None,
            Reason.HEADERS_TOO_LARGE,
            id="a large head",
        ),
    ],
)
@pytest.mark.anyio
async def test_what_is_refused_reaches_nothing_and_is_recorded_once(
    scope: Scope, status: int, body: Any, header: tuple[str, str] | None, reason: Reason
) -> None:
    spy, records = Spy(), Records()
    app = AuditLog(RequestHygiene(spy, max_body=100, max_headers=1000), sink=records)

    reply = await call(app, scope)

    assert (reply.status, reply.json()) == (status, body)
    assert header is None or header in reply.headers
    assert [("deny", reason)] == records.verdicts
    assert spy.scopes == []


CHUNKED = [HOST, ("transfer-encoding", "chunked")]


@pytest.mark.parametrize(
    ("chunks", "status"),
    [
        pytest.param([], 200, id="nothing"),
        pytest.param([b"x" * 100], 200, id="one chunk of the whole bound"),
        pytest.param([b"x" * 101], 413, id="one chunk of one octet more"),
        pytest.param([b"x" * 50, b"x" * 50, b""], 200, id="two chunks and an empty one"),
        pytest.param([b"x" * 50, b"x" * 50, b"x"], 413, id="the last of three chunks passes the bound"),
        pytest.param([b"x"] * 100, 200, id="octet by octet up to the bound"),
        pytest.param([b"x"] * 101, 413, id="octet by octet past the bound"),
    ],
)
@pytest.mark.anyio
async def test_a_chunked_body_is_counted_while_it_is_read(chunks: Iterable[bytes], status: int) -> None:
    spy, records = Spy(), Records()
    app = AuditLog(RequestHygiene(spy, max_body=100), sink=records)
    sent = list(chunks) or [b""]

    reply = await call(app, http_scope(headers=CHUNKED), sent)

    assert reply.status == status
    assert spy.bodies == ([b"".join(sent)] if status == 200 else [])
    denied = [verdict for verdict in records.verdicts if verdict[0] != "allow"]
    assert denied == ([] if status == 200 else [("deny", Reason.BODY_TOO_LARGE)])


@pytest.mark.parametrize(
    ("chunks", "status"),
    [
        pytest.param([b"x" * 50, b"x" * 50], 200, id="up to the bound"),
        pytest.param([b"x" * 50, b"x" * 51], 413, id="one octet more"),
    ],
)
@pytest.mark.anyio
async def test_a_body_of_unknown_length_is_counted_in_http_2_as_well(
    chunks: list[bytes], status: int
) -> None:
    spy = Spy()

    reply = await call(
        RequestHygiene(spy, max_body=100), http_scope(headers=[HOST], http_version="2"), chunks
    )

    assert reply.status == status


class Greedy:
    """An application that goes on reading whatever it is told, and answers at the end."""

    def __init__(self) -> None:
        self.octets = 0
        self.refusals = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        more = True
        while more and self.refusals < 3:
            try:
                message = await receive()
            except BodyTooLarge:
                self.refusals += 1
                continue
            self.octets += len(message.get("body", b""))
            more = message.get("more_body", False)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"done"})


@pytest.mark.anyio
async def test_an_application_that_reads_on_gets_no_more_than_the_bound() -> None:
    greedy = Greedy()

    await call(RequestHygiene(greedy, max_body=100), http_scope(headers=CHUNKED), [b"x" * 60] * 5)

    assert (greedy.octets, greedy.refusals) == (60, 3)


def _answering_first(log: list[Message]) -> ASGIApp:
    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while True:
            log.append(await receive())

    return application


@pytest.mark.anyio
async def test_a_body_that_grows_too_large_while_it_is_answered_ends_the_connection() -> None:
    read: list[Message] = []
    app = RequestHygiene(_answering_first(read), max_body=100)

    with pytest.raises(BodyTooLarge):
        await call(app, http_scope(headers=CHUNKED), [b"x" * 60] * 2)
    assert len(read) == 1


@pytest.mark.anyio
async def test_a_client_that_goes_away_is_seen_by_the_application() -> None:
    seen: list[str] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append((await receive())["type"])

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        raise AssertionError(message)

    await RequestHygiene(application)(http_scope(headers=CHUNKED), receive, send)

    assert seen == ["http.disconnect"]
