import socket

import pytest

from tests.support.servers import NEEDS_IPV6
from tunnelgate_app.listening.addresses import ListenError, address_of, open_listener, split_address


@pytest.mark.parametrize(
    ("listen_addr", "host", "port"),
    [
        pytest.param("127.0.0.1:8080", "127.0.0.1", 8080, id="IPv4"),
        pytest.param("[::1]:8080", "::1", 8080, id="IPv6"),
        pytest.param("[::]:443", "::", 443, id="every address of IPv6"),
        pytest.param(":8080", "", 8080, id="no address"),
        pytest.param("localhost:0", "localhost", 0, id="a name, and any port"),
    ],
)
def test_an_address_is_split_into_host_and_port(listen_addr: str, host: str, port: int) -> None:
    assert split_address(listen_addr) == (host, port)


@pytest.mark.parametrize(
    ("listen_addr", "bound_to", "reached_at"),
    [
        pytest.param("127.0.0.1:0", "127.0.0.1", "127.0.0.1", id="IPv4"),
        pytest.param("localhost:0", "127.0.0.1", "127.0.0.1", id="a name"),
        pytest.param(":0", "0.0.0.0", "127.0.0.1", id="every address"),
        pytest.param("[::1]:0", "::1", "::1", id="IPv6", marks=NEEDS_IPV6),
        pytest.param("[::]:0", "::", "::1", id="every address of IPv6", marks=NEEDS_IPV6),
    ],
)
def test_a_listener_takes_connections_at_its_address(
    listen_addr: str, bound_to: str, reached_at: str
) -> None:
    with open_listener(listen_addr) as listener:
        address, port = listener.getsockname()[:2]
        with socket.create_connection((reached_at, port), timeout=10) as client:
            accepted, _ = listener.accept()
            with accepted:
                assert accepted.getpeername() == client.getsockname()

    assert address == bound_to
    assert port > 0


def test_a_port_that_is_in_use_is_one_sentence() -> None:
    with open_listener("127.0.0.1:0") as taken:
        listen_addr = f"127.0.0.1:{taken.getsockname()[1]}"

        with pytest.raises(ListenError) as refused:
            open_listener(listen_addr)

    assert str(refused.value) == (f"{listen_addr} is in use: stop what listens there, or choose another port")


@pytest.mark.parametrize(
    "listen_addr",
    [
        pytest.param("192.0.2.1:0", id="an address of another machine"),
        pytest.param("[:::]:0", id="an address that is none"),
    ],
)
def test_an_address_that_cannot_be_had_is_one_sentence(listen_addr: str) -> None:
    with pytest.raises(ListenError) as refused:
        open_listener(listen_addr)

    assert str(refused.value).startswith(f"{listen_addr} cannot be listened on: ")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "listen_addr",
    [
        pytest.param("127.0.0.1:0", id="IPv4"),
        pytest.param("[::1]:0", id="IPv6", marks=NEEDS_IPV6),
    ],
)
def test_an_address_is_told_as_it_is_configured(listen_addr: str) -> None:
    with open_listener(listen_addr) as listener:
        port = listener.getsockname()[1]

        assert address_of(listener) == f"{listen_addr.removesuffix('0')}{port}"


def test_what_is_written_on_a_connection_is_sent_at_once() -> None:
    with (
        open_listener("127.0.0.1:0") as listener,
        socket.create_connection(listener.getsockname(), timeout=10),
        listener.accept()[0] as accepted,
    ):
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
