import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.tunnels import upgrade_request
from tunnelgate_app.listening.upgrade import MAX_HEAD, NoUpgrade, Upgrade, UpgradeReader

ACCEPT = b"\r\nsec-websocket-accept: "
KEY = "Sec-WebSocket-Key: c2l4dGVlbiBvY3RldHMhIQ=="
COMMON = ("Host: a", "Upgrade: websocket", "Sec-WebSocket-Version: 13")


def request(*lines: str) -> bytes:
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


@pytest.mark.parametrize(
    "octets",
    [
        pytest.param(upgrade_request(), id="as cloudflared makes it"),
        pytest.param(upgrade_request(path="/any/path?at=all"), id="for any path"),
        pytest.param(upgrade_request(host="[2001:db8::1]:8080"), id="for any host"),
        pytest.param(
            request("GET / HTTP/1.1", "connection: keep-alive, UPGRADE", *COMMON, KEY), id="in other letters"
        ),
        pytest.param(
            request("GET / HTTP/1.1", "Connection: keep-alive", "Connection: Upgrade", *COMMON, KEY),
            id="with two Connection fields",
        ),
    ],
)
def test_a_websocket_begins(octets: bytes) -> None:
    became = UpgradeReader().feed(octets + b"behind")

    assert isinstance(became, Upgrade)
    assert became.first == b"behind"
    assert became.answer.startswith(b"HTTP/1.1 101 Switching Protocols\r\n")
    assert became.answer.endswith(b"\r\n\r\n")
    assert ACCEPT in became.answer
    assert b"protocol" not in became.answer.lower().replace(b"switching protocols", b"")
    assert b"extensions" not in became.answer


def test_the_answer_proves_that_the_key_was_read() -> None:
    key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="  # of RFC 6455 section 1.3
    became = UpgradeReader().feed(request("GET / HTTP/1.1", "Connection: Upgrade", *COMMON, key))

    assert isinstance(became, Upgrade)
    assert ACCEPT + b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in became.answer


def test_of_the_subprotocols_the_first_is_taken_and_extensions_are_not() -> None:
    became = UpgradeReader().feed(
        upgrade_request(
            "Sec-WebSocket-Protocol: mcp-tunnel, other", "Sec-WebSocket-Extensions: permessage-deflate"
        )
    )

    assert isinstance(became, Upgrade)
    assert b"\r\nsec-websocket-protocol: mcp-tunnel\r\n" in became.answer
    assert b"extensions" not in became.answer


@pytest.mark.parametrize(
    ("octets", "why"),
    [
        pytest.param(
            request("GET /mcp?x=1 HTTP/1.1", "Host: a"),
            "GET /mcp?x=1 came in the clear, and a WebSocket upgrade is expected",
            id="a plain request",
        ),
        pytest.param(
            request("POST /mcp HTTP/1.1", "Host: a", "Content-Length: 2") + b"{}",
            "POST /mcp came in the clear, and a WebSocket upgrade is expected",
            id="one with a body",
        ),
        pytest.param(
            request(f"GET /{'x' * 500} HTTP/1.1", "Host: a"),
            f"GET /{'x' * 79} came in the clear, and a WebSocket upgrade is expected",
            id="one with a long target",
        ),
        pytest.param(
            request("GET / HTTP/1.1", "Host: a", "Connection: Upgrade", "Upgrade: h2c"),
            "GET / came in the clear, and a WebSocket upgrade is expected",
            id="an upgrade to something else",
        ),
        pytest.param(
            request("GET / HTTP/1.1", "Host: a", "Connection: Upgrade", "Upgrade: websocket", KEY),
            "what came is no WebSocket upgrade of version 13",
            id="an upgrade without a version",
        ),
        pytest.param(
            request("GET / HTTP/1.1", "Connection: Upgrade", *COMMON),
            "what came is a WebSocket upgrade without Sec-WebSocket-Key",
            id="an upgrade without a key",
        ),
    ],
)
def test_what_asks_for_no_websocket_is_told_what_is_expected(octets: bytes, why: str) -> None:
    became = UpgradeReader().feed(octets)

    assert isinstance(became, NoUpgrade)
    assert became.why == why
    head, _, body = became.answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 426 Upgrade Required\r\n")
    for line in (b"upgrade: websocket", b"sec-websocket-version: 13", b"connection: upgrade, close"):
        assert line in head.split(b"\r\n")
    assert b"content-length: %d" % len(body) in head.split(b"\r\n")
    assert json.loads(body) == {"error": "upgrade_required"}


@pytest.mark.parametrize(
    ("octets", "what"),
    [
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64), "TLS", id="TLS"),
        pytest.param(b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "no HTTP request (illegal request line)", id="SSH"),
        pytest.param(
            request("GET / HTTP/1.1"),
            "no HTTP request (Missing mandatory Host)",
            id="a request without a host",
        ),
        pytest.param(
            b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * MAX_HEAD,
            "no HTTP request (Receive buffer too long)",
            id="a head that does not end",
        ),
    ],
)
def test_what_is_no_request_is_answered_as_such(octets: bytes, what: str) -> None:
    became = UpgradeReader().feed(octets)

    assert isinstance(became, NoUpgrade)
    assert became.why == f"what came is {what}, and a WebSocket upgrade is expected"
    assert became.answer.startswith(b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n")
    assert became.answer.endswith(b'\r\n\r\n{"error":"bad_request"}')


@given(st.lists(st.integers(0, len(upgrade_request())), max_size=8))
def test_a_request_may_come_in_any_parts(cuts: list[int]) -> None:
    octets = upgrade_request() + b"behind"
    reader = UpgradeReader()
    found: list[Upgrade | NoUpgrade] = []
    rest = b""
    for start, end in pairwise([0, *sorted(cuts), len(octets)]):
        if found:
            rest += octets[start:end]
            continue
        part = octets[start:end]
        became = reader.feed(part) if part else None
        if became is not None:
            found.append(became)

    (became,) = found
    assert isinstance(became, Upgrade)
    assert became.first + rest == b"behind"
