import os
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.tunnels import BINARY, CLOSE, PING, PONG, TEXT, Frames, frame
from tunnelgate_app.listening.tls_stream import StreamError
from tunnelgate_app.listening.websocket import WebSocket

CONTINUATION = 0
SIZES = [0, 1, 125, 126, 65535, 65536, 3_000_000]


def read_all(websocket: WebSocket) -> bytes:
    octets = b""
    while websocket.has_more:
        octets += websocket.read()
    return octets


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size} octets")
def test_octets_travel_in_frames_of_any_size_in_both_directions(size: int) -> None:
    octets = os.urandom(size)
    server = WebSocket("server")
    server.feed(frame(octets))
    frames = Frames().read(server.wrap(octets))

    assert read_all(server) == octets
    assert frames == [(BINARY, octets)]


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size} octets")
def test_a_client_masks_what_it_sends(size: int) -> None:
    octets = os.urandom(size)
    client, server = WebSocket("client"), WebSocket("server")
    sent = client.wrap(octets)
    server.feed(sent)

    assert sent[1] & 0x80
    assert read_all(server) == octets


def test_what_has_arrived_behind_the_upgrade_is_read_first() -> None:
    server = WebSocket("server", frame(b"first "))
    assert server.has_more
    server.feed(frame(b"second"))

    assert read_all(server) == b"first second"


def test_a_part_of_a_frame_is_passed_on_before_the_rest_is_there() -> None:
    server = WebSocket("server")
    octets = frame(b"x" * 100_000)
    server.feed(octets[:50_000])

    assert len(server.read()) > 49_000


def test_fragments_and_pings_between_them_are_one_stream() -> None:
    server = WebSocket("server")
    server.feed(
        frame(b"one ", fin=False)
        + frame(b"are you there", PING)
        + frame(b"two ", CONTINUATION, fin=False)
        + frame(b"", PONG)
        + frame(b"three", CONTINUATION)
    )

    assert read_all(server) == b"one two three"
    assert Frames().read(server.take()) == [(PONG, b"are you there")]
    assert server.take() == b""


def test_of_many_pings_the_last_is_answered() -> None:
    server = WebSocket("server")
    server.feed(b"".join(frame(b"%d" % number, PING) for number in range(1000)))

    assert read_all(server) == b""
    assert Frames().read(server.take()) == [(PONG, b"999")]


def test_of_ten_thousand_tiny_frames_only_some_are_read_at_once() -> None:
    server = WebSocket("server")
    server.feed(frame(b"x") * 10_000)

    first = server.read()

    assert len(first) < 1000
    assert server.has_more
    assert len(first) + len(read_all(server)) == 10_000
    assert not server.has_more


@pytest.mark.parametrize(
    ("octets", "why", "code"),
    [
        pytest.param(
            frame(b"hello", TEXT), "a text frame came, and binary ones are expected", 1003, id="a text frame"
        ),
        pytest.param(
            frame(b"", TEXT, fin=False),
            "a text frame came, and binary ones are expected",
            1003,
            id="an empty text frame",
        ),
        pytest.param(
            frame(b"hello", mask=b""),
            "what came is no WebSocket frame: server received unexpected unmasked frame",
            1002,
            id="a frame without a mask",
        ),
        pytest.param(
            b"\xf2" + frame(b"hello")[1:],
            "what came is no WebSocket frame: Reserved bit set unexpectedly",
            1002,
            id="a compressed frame",
        ),
        pytest.param(
            frame(b"hello", 5),
            "what came is no WebSocket frame: Invalid opcode 0x5",
            1002,
            id="another opcode",
        ),
        pytest.param(
            frame(b"x" * 126, PING),
            "what came is no WebSocket frame: Control frame with payload len > 125",
            1002,
            id="a long ping",
        ),
    ],
)
def test_what_does_not_belong_there_ends_the_websocket(octets: bytes, why: str, code: int) -> None:
    server = WebSocket("server")
    server.feed(frame(b"before") + octets)

    with pytest.raises(StreamError) as failed:
        read_all(server)
    ((opcode, payload),) = Frames().read(server.take())

    assert str(failed.value) == f"websocket failed: {why}"
    assert (opcode, int.from_bytes(payload[:2], "big")) == (CLOSE, code)
    assert not server.has_more
    assert server.wrap(b"more") == b""


def test_a_goodbye_is_heard_and_answered_once() -> None:
    server = WebSocket("server")
    server.feed(frame(b"the last") + frame(b"\x03\xe8", CLOSE) + frame(b"too late"))
    assert read_all(server) == b"the last"

    assert server.is_over
    assert not server.has_more
    server.feed(frame(b"later still"))
    assert not server.has_more
    assert server.wrap(b"an answer") == b""
    server.close()
    server.close()
    assert Frames().read(server.take()) == [(CLOSE, b"\x03\xe8")]


def test_who_says_goodbye_first_hears_the_other_end() -> None:
    client, server = WebSocket("client"), WebSocket("server")
    client.close()
    server.feed(client.take())
    server.read()
    server.close()
    client.feed(server.take())
    client.read()

    assert server.is_over
    assert client.is_over


def test_a_ping_that_came_before_the_goodbye_is_not_answered_after_it() -> None:
    server = WebSocket("server")
    server.feed(frame(b"still there?", PING))
    server.read()
    server.close()

    assert [opcode for opcode, _ in Frames().read(server.take())] == [CLOSE]


@given(
    payloads=st.lists(st.binary(max_size=300), max_size=8),
    cuts=st.lists(st.integers(0, 1 << 16), max_size=12),
    is_one_message=st.booleans(),
)
def test_any_frames_in_any_parts_carry_the_same_octets(
    payloads: list[bytes], cuts: list[int], *, is_one_message: bool
) -> None:
    last = len(payloads) - 1
    octets = b"".join(
        frame(
            payload,
            CONTINUATION if is_one_message and number else BINARY,
            fin=not is_one_message or number == last,
        )
        for number, payload in enumerate(payloads)
    )
    server = WebSocket("server")
    read = b""
    bounds = sorted({min(cut, len(octets)) for cut in cuts} | {0, len(octets)})
    for start, end in pairwise(bounds):
        server.feed(octets[start:end])
        read += read_all(server)

    assert read == b"".join(payloads)
