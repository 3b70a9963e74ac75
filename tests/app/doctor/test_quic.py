"""A first packet of a version that nobody has is answered by a list of versions, and only its own counts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.app.doctor.fakes import negotiation
from tunnelgate_app.doctor.quic import MIN_DATAGRAM, VersionProbe

PROBE = VersionProbe.from_random(bytes(range(16)))
ANSWER = negotiation(PROBE.datagram)


def test_the_question_is_as_long_as_the_first_datagram_of_a_connection_and_of_a_reserved_version() -> None:
    assert len(PROBE.datagram) == MIN_DATAGRAM == 1200
    assert PROBE.datagram[0] & 0xC0 == 0xC0
    assert PROBE.datagram[1:5].hex()[1::2] == "aaaa"
    assert PROBE.datagram[5:23] == b"\x08" + bytes(range(8)) + b"\x08" + bytes(range(8, 16))


def test_a_list_of_versions_with_the_ids_of_the_question_answers_it() -> None:
    assert PROBE.is_answered_by(ANSWER)


@pytest.mark.parametrize(
    "datagram",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(ANSWER[:5], id="the beginning alone"),
        pytest.param(bytes([ANSWER[0] & 0x7F]) + ANSWER[1:], id="a short header"),
        pytest.param(ANSWER[:1] + b"\0\0\0\1" + ANSWER[5:], id="a packet of version 1"),
        pytest.param(negotiation(VersionProbe.from_random(bytes(16)).datagram), id="for another question"),
        pytest.param(ANSWER[:23], id="without a version"),
        pytest.param(ANSWER[:-1], id="with half a version"),
        pytest.param(PROBE.datagram, id="the question itself"),
    ],
)
def test_anything_else_answers_nothing(datagram: bytes) -> None:
    assert not PROBE.is_answered_by(datagram)


@given(st.binary(max_size=64), st.binary(min_size=16, max_size=16))
def test_whatever_comes_is_judged(datagram: bytes, octets: bytes) -> None:
    probe = VersionProbe.from_random(octets)

    assert not probe.is_answered_by(datagram)
    assert probe.is_answered_by(negotiation(probe.datagram))
