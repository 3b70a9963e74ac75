import pytest

from tunnelgate_app.connector.upgrade import UpgradeError, UpgradeRequest
from tunnelgate_app.listening.upgrade import Upgrade, UpgradeReader

HOST = "docs.tunnel.example.com"
OFFER = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"


def test_the_request_is_what_a_connector_would_send() -> None:
    lines = UpgradeRequest(HOST).octets.split(b"\r\n")

    assert lines[0] == b"GET / HTTP/1.1"
    for line in (
        b"Host: docs.tunnel.example.com",
        b"Connection: Upgrade",
        b"Upgrade: websocket",
        b"Sec-WebSocket-Version: 13",
    ):
        assert line in lines
    assert any(line.startswith(b"Cf-Ray: ") for line in lines)
    assert UpgradeRequest(HOST).octets != UpgradeRequest(HOST).octets


def test_an_answer_may_come_in_any_parts_and_with_what_stands_behind_it() -> None:
    request = UpgradeRequest(HOST)
    became = UpgradeReader().feed(request.octets)
    assert isinstance(became, Upgrade)

    for octet in became.answer[:-1]:
        assert request.feed(bytes([octet])) is None
    assert request.feed(became.answer[-1:] + b"behind") == b"behind"


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        pytest.param(b"", "it closed the connection without an answer", id="nothing"),
        pytest.param(b"\x15\x03\x03\x00\x02\x02\x28", "what it answered is not HTTP", id="TLS"),
        pytest.param(
            b'HTTP/1.1 426 Upgrade Required\r\nContent-Length: 9\r\n\r\n{"error"}',
            'it answered 426 {"error"}',
            id="a refusal with a body",
        ),
        pytest.param(b"HTTP/1.1 204 No Content\r\n\r\n", "it answered 204", id="a refusal without a body"),
        pytest.param(b"HTTP/1.1 100 Continue\r\n\r\n", "it answered 100", id="another first answer"),
        pytest.param(OFFER + b"\r\n", "it agreed, but not as a WebSocket server does", id="no proof"),
        pytest.param(
            OFFER + b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
            "it agreed, but not as a WebSocket server does",
            id="the proof of another key",
        ),
    ],
)
def test_what_begins_no_websocket_is_a_sentence(answer: bytes, why: str) -> None:
    with pytest.raises(UpgradeError) as failed:
        UpgradeRequest(HOST).feed(answer)

    assert str(failed.value) == why
