import ssl
from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.certificates import Authority, client_context
from tests.support.tunnels import CLOSE, PING, Frames, frame
from tunnelgate_app.listening.tls_files import TlsFiles, open_tls
from tunnelgate_app.listening.tls_in_websocket import TlsInWebSocket
from tunnelgate_app.listening.tls_stream import StreamError, TlsStream
from tunnelgate_app.listening.websocket import WebSocket

NAME = "docs.example.com"
AUTHORITY = Authority("the authority")


@cache
def context() -> ssl.SSLContext:
    with TemporaryDirectory() as folder:
        return open_tls(TlsFiles(*AUTHORITY.issue_for_server(NAME).write(Path(folder), "server")))


def new_server() -> TlsInWebSocket:
    return TlsInWebSocket(WebSocket("server"), TlsStream(context()))


def new_client(authority: Authority = AUTHORITY) -> TlsInWebSocket:
    return TlsInWebSocket(WebSocket("client"), TlsStream(client_context(authority), NAME))


def shaken() -> tuple[TlsInWebSocket, TlsInWebSocket]:
    """Return a client and a server that have shaken hands."""
    client, server = new_client(), new_server()
    is_complete = False
    while not (client.shake_hands() and is_complete):
        server.feed(client.take())
        is_complete = server.shake_hands()
        client.feed(server.take())
    client.read()
    return client, server


def read_all(stream: TlsInWebSocket) -> bytes:
    octets = b""
    while stream.has_more:
        octets += stream.read()
    return octets


@pytest.mark.parametrize("size", [0, 1, 70_000, 1_000_000], ids=lambda size: f"{size} octets")
def test_what_one_end_writes_the_other_reads(size: int) -> None:
    client, server = shaken()
    octets = b"x" * size
    for one, other in ((client, server), (server, client)):
        one.write(octets)
        other.feed(one.take())

        assert read_all(other) == octets
        assert not other.is_over
    assert client.ssl_object.version() == server.ssl_object.version()


def test_a_goodbye_is_said_in_tls_and_then_in_the_websocket() -> None:
    client, server = shaken()
    server.write(b"the last")
    server.close()
    octets = server.take()

    assert [opcode for opcode, _ in Frames().read(octets)][-1] == CLOSE
    client.feed(octets)
    assert read_all(client) == b"the last"
    assert client.is_over
    client.close()
    server.feed(client.take())
    server.read()
    assert server.is_over


def test_a_websocket_that_ends_without_a_goodbye_in_tls_is_over_as_well() -> None:
    client, server = shaken()
    client.write(b"the last")
    server.feed(client.take() + frame(b"\x03\xe8", CLOSE))
    assert not server.is_over

    assert read_all(server) == b"the last"
    assert server.is_over
    server.close()  # what TLS would say can no longer be sent
    assert Frames().read(server.take()) == [(CLOSE, b"\x03\xe8")]


def test_a_ping_is_answered_between_the_records() -> None:
    client, server = shaken()
    client.write(b"hello")
    server.feed(frame(b"", PING) + client.take())
    assert read_all(server) == b"hello"
    server.write(b"an answer")
    client.feed(server.take())

    assert read_all(client) == b"an answer"


def test_a_handshake_in_very_many_frames_goes_on_in_turns() -> None:
    client, server = new_client(), new_server()
    client.shake_hands()
    ((_, hello),) = Frames().read(_unmasked(client.take()))
    server.feed(b"".join(frame(bytes([octet])) for octet in hello))

    turns = 0
    while server.has_more:
        assert not server.shake_hands()
        turns += 1
    assert turns > 1
    assert server.take() != b""


def _unmasked(sent: bytes) -> bytes:
    """Return the octets of a client as a server would have sent them."""
    reader = WebSocket("server", sent)
    return WebSocket("server").wrap(reader.read())


def test_an_alert_reaches_the_other_end_and_then_the_goodbye() -> None:
    client, server = new_client(Authority("another authority")), new_server()
    client.shake_hands()
    server.feed(client.take())
    server.shake_hands()
    client.feed(server.take())
    with pytest.raises(StreamError):
        client.shake_hands()
    client.close()
    server.feed(client.take())

    with pytest.raises(StreamError, match="remote error: tls: unknown certificate authority"):
        server.shake_hands()


def cut(octets: bytes, at: Sequence[int]) -> list[bytes]:
    """Return ``octets`` in parts, which end where ``at`` says, counted from the start and over again."""
    bounds = sorted({each % (len(octets) + 1) for each in at} | {0, len(octets)})
    return [octets[start:end] for start, end in pairwise(bounds)]


CUTS = st.lists(st.integers(0, 1 << 20), max_size=10)


@settings(max_examples=60)
@given(st.lists(st.binary(min_size=1, max_size=40_000), min_size=1, max_size=4), CUTS, CUTS)
def test_any_frames_in_any_segments_carry_the_same_plaintext(
    writes: list[bytes], frames: list[int], segments: list[int]
) -> None:
    tls = TlsStream(client_context(AUTHORITY), NAME)
    server = new_server()
    unframed = Frames()
    is_complete = [False, False]
    while not all(is_complete):
        is_complete[0] = tls.shake_hands()
        for part in cut(tls.take(), frames):
            server.feed(frame(part))
        while not is_complete[1]:
            is_complete[1] = server.shake_hands()
            if not server.has_more:
                break
        for _, payload in unframed.read(server.take()):
            tls.feed(payload)
    for each in writes:
        tls.write(each)
    octets = b"".join(frame(part) for part in cut(tls.take(), frames))
    read = b""
    for segment in cut(octets, segments):
        server.feed(segment)
        read += read_all(server)

    assert read == b"".join(writes)
