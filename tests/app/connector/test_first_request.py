import pytest

from tunnelgate_app.connector.first_request import MAX_HEAD, FirstRequestReader, RequestError

BODY = b'{"jsonrpc":"2.0"}'


def post(*lines: str) -> bytes:
    head = [
        "POST /mcp?x=1 HTTP/1.1",
        *lines,
        "Content-Type: application/json",
        f"Content-Length: {len(BODY)}",
    ]
    return "\r\n".join([*head, "", ""]).encode() + BODY


@pytest.mark.parametrize(
    ("host", "named", "expected"),
    [
        pytest.param(None, "docs.tunnel.localhost", "docs.tunnel.localhost", id="that of the request"),
        pytest.param(None, "DOCS.tunnel.localhost:9999", "docs.tunnel.localhost", id="without its port"),
        pytest.param("wiki.example.com", "127.0.0.1:9999", "wiki.example.com", id="the one that is given"),
    ],
)
def test_a_request_goes_on_for_one_host_and_ends_its_connection(
    host: str | None, named: str, expected: str
) -> None:
    request = FirstRequestReader(host).feed(post(f"Host: {named}", "Connection: keep-alive", "X-A: b"))

    assert request is not None
    assert (request.host, request.line) == (expected, "POST /mcp?x=1")
    head, _, body = request.octets.partition(b"\r\n\r\n")
    first, *fields = head.split(b"\r\n")
    assert first == b"POST /mcp?x=1 HTTP/1.1"
    assert sorted(fields) == sorted(
        [
            b"host: " + expected.encode(),
            b"X-A: b",
            b"Content-Type: application/json",
            b"Content-Length: 17",
            b"connection: close",
        ]
    )
    assert body == BODY


def test_a_head_may_come_octet_by_octet() -> None:
    octets = post("Host: docs.example.com").removesuffix(BODY)
    reader = FirstRequestReader(None)
    for octet in octets[:-1]:
        assert reader.feed(bytes([octet])) is None

    assert reader.feed(octets[-1:]) is not None


@pytest.mark.parametrize(
    ("octets", "why"),
    [
        pytest.param(
            b"\x16\x03\x01\x00\x00", "what came is no HTTP/1.1 request (illegal request line)", id="TLS"
        ),
        pytest.param(
            b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * MAX_HEAD,
            "what came is no HTTP/1.1 request (Receive buffer too long)",
            id="a head that does not end",
        ),
        pytest.param(
            b"GET / HTTP/1.0\r\n\r\n",
            "the Host '' is not a hostname such as docs.example.com",
            id="a request without a host",
        ),
        pytest.param(
            b"GET / HTTP/1.1\r\nHost: *:9\r\n\r\n",
            "the Host '*:9' is not a hostname such as docs.example.com",
            id="a host that is none",
        ),
    ],
)
def test_what_cannot_be_carried_is_a_sentence(octets: bytes, why: str) -> None:
    with pytest.raises(RequestError) as failed:
        FirstRequestReader(None).feed(octets)

    assert str(failed.value) == why
