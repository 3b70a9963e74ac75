import ssl
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.certificates import Authority, client_context
from tunnelgate_app.listening.tls_files import TlsFiles, open_tls
from tunnelgate_app.listening.tls_stream import StreamError, TlsStream

AUTHORITY = Authority("the authority")
NAME = "docs.example.com"
VERSIONS = [
    pytest.param(ssl.TLSVersion.TLSv1_2, id="TLS 1.2"),
    pytest.param(ssl.TLSVersion.TLSv1_3, id="TLS 1.3"),
]


@pytest.fixture
def context(tmp_path: Path) -> ssl.SSLContext:
    return open_tls(TlsFiles(*AUTHORITY.issue_for_server(NAME).write(tmp_path, "server")))


def shake_hands(client: TlsStream, server: TlsStream) -> None:
    """Let both ends come to an end with their handshakes; what one of them raises is raised."""
    is_complete = [False, False]
    for _ in range(10):
        for number, (one, other) in enumerate(((client, server), (server, client))):
            try:
                is_complete[number] = is_complete[number] or one.shake_hands()
            finally:
                other.feed(one.take())
        if all(is_complete):
            return
    raise AssertionError("the handshake does not end")


@pytest.fixture(params=VERSIONS)
def pair(request: pytest.FixtureRequest, context: ssl.SSLContext) -> tuple[TlsStream, TlsStream]:
    """Return a client and a server that have shaken hands."""
    client = TlsStream(client_context(AUTHORITY, version=request.param), NAME)
    server = TlsStream(context)
    shake_hands(client, server)
    assert client.read() == b""  # tickets, if anything
    return client, server


@pytest.mark.parametrize("size", [0, 1, 16384, 16385, 1_000_000], ids=lambda size: f"{size} octets")
def test_what_one_end_writes_the_other_reads(pair: tuple[TlsStream, TlsStream], size: int) -> None:
    for one, other in (pair, pair[::-1]):
        written = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
        one.write(memoryview(written))
        other.feed(one.take())
        read = b""
        while other.has_more:
            read += other.read()

        assert read == written
        assert other.read() == b""
        assert not other.is_over


def test_only_some_of_very_many_records_are_read_at_once(pair: tuple[TlsStream, TlsStream]) -> None:
    client, server = pair
    for _ in range(1000):
        client.write(b"x")
    server.feed(client.take())

    first = server.read()

    assert 0 < len(first) < 100
    assert server.has_more


def test_a_record_that_comes_octet_by_octet_is_read_when_it_is_complete(
    pair: tuple[TlsStream, TlsStream],
) -> None:
    client, server = pair
    client.write(b"hello")
    *begin, last = client.take()
    for octet in begin:
        server.feed(bytes([octet]))
        assert server.read() == b""
    server.feed(bytes([last]))

    assert server.read() == b"hello"


def test_a_goodbye_is_heard_and_what_stands_behind_it_is_nobodys(pair: tuple[TlsStream, TlsStream]) -> None:
    client, server = pair
    client.write(b"the last")
    client.close()
    server.feed(client.take())
    server.feed(b"and more")

    assert server.read() == b"the last"
    assert server.read() == b""
    assert server.is_over
    assert not server.has_more


def test_a_goodbye_is_said_also_where_something_has_arrived_that_nobody_read(
    pair: tuple[TlsStream, TlsStream],
) -> None:
    client, server = pair
    client.write(b"unread")
    server.feed(client.take())
    server.close()
    client.feed(server.take())

    assert client.read() == b""
    assert client.is_over


def test_what_was_changed_on_its_way_ends_the_connection(pair: tuple[TlsStream, TlsStream]) -> None:
    client, server = pair
    client.write(b"hello")
    ciphertext = bytearray(client.take())
    ciphertext[-1] ^= 1
    server.feed(bytes(ciphertext))

    with pytest.raises(StreamError, match=r"^tls failed: what came was changed on its way$"):
        server.read()
    with pytest.raises(StreamError, match=r"^tls failed: "):
        server.write(b"an answer")

    client.feed(server.take())
    with pytest.raises(StreamError, match=r"^tls failed: remote error: tls: bad record MAC$"):
        client.read()


def stranger(_: Path) -> ssl.SSLContext:
    return client_context(Authority("another authority"))


def strict(_: Path) -> ssl.SSLContext:
    return client_context(AUTHORITY)


@pytest.mark.parametrize(
    ("client_of", "name", "alert"),
    [
        pytest.param(stranger, NAME, "unknown certificate authority", id="whose CA is another"),
        pytest.param(strict, "wiki.example.com", "bad certificate", id="who wants another name"),
    ],
)
def test_a_client_that_dislikes_the_certificate_says_so_and_the_log_gets_its_words(
    tmp_path: Path,
    context: ssl.SSLContext,
    client_of: Callable[[Path], ssl.SSLContext],
    name: str,
    alert: str,
) -> None:
    client, server = TlsStream(client_of(tmp_path), name), TlsStream(context)

    with pytest.raises(
        StreamError, match=r"^tls handshake failed: the certificate of the other side does not count: "
    ):
        shake_hands(client, server)
    with pytest.raises(StreamError) as failed:
        server.shake_hands()

    assert str(failed.value) == f"tls handshake failed: remote error: tls: {alert}"


def only_tls_1_2_without_what_we_speak() -> ssl.SSLContext:
    context = client_context(AUTHORITY, version=ssl.TLSVersion.TLSv1_2)
    context.set_ciphers("ECDHE-RSA-AES128-GCM-SHA256")  # the certificate's key is of another kind
    return context


def test_ends_without_a_common_cipher_suite_do_not_come_together(context: ssl.SSLContext) -> None:
    client, server = TlsStream(only_tls_1_2_without_what_we_speak(), NAME), TlsStream(context)

    with pytest.raises(
        StreamError, match=r"^tls handshake failed: the two sides have no cipher suite in common"
    ):
        shake_hands(client, server)


@pytest.mark.parametrize(
    ("octets", "why"),
    [
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", "what came is HTTP in the clear", id="HTTP"),
        pytest.param(b"\x00" * 64, "what came is not TLS", id="zeros"),
        pytest.param(
            b"\x15\x03\x01\x00\x02\x02\x30", "what came is TLS, but does not belong there", id="an alert"
        ),
    ],
)
def test_what_is_no_hello_ends_the_handshake(context: ssl.SSLContext, octets: bytes, why: str) -> None:
    server = TlsStream(context)
    server.feed(octets)

    with pytest.raises(StreamError, match=f"^tls handshake failed: {why}"):
        server.shake_hands()
    server.close()
    server.take()


def test_the_connection_beneath_is_there_for_whoever_asks(pair: tuple[TlsStream, TlsStream]) -> None:
    client, server = pair

    assert client.ssl_object.version() == server.ssl_object.version()
    assert client.ssl_object.getpeercert() is not None
