import pytest

from tunnelgate_app.connector.address import GateAddress


@pytest.mark.parametrize(
    ("text", "address", "shown"),
    [
        pytest.param("127.0.0.1:8080", GateAddress("127.0.0.1", 8080), "127.0.0.1:8080", id="IPv4"),
        pytest.param("[::1]:8080", GateAddress("::1", 8080), "[::1]:8080", id="IPv6"),
        pytest.param(":8080", GateAddress("127.0.0.1", 8080), "127.0.0.1:8080", id="this machine"),
        pytest.param("gate:80", GateAddress("gate", 80), "gate:80", id="a name"),
        pytest.param("unix:/run/g", GateAddress(path="/run/g"), "unix:/run/g", id="a Unix socket"),
    ],
)
def test_an_address_is_read_and_shown(text: str, address: GateAddress, shown: str) -> None:
    assert GateAddress.read(text) == address
    assert str(address) == shown


@pytest.mark.parametrize("text", ["8080:", "127.0.0.1", "", "127.0.0.1:http"])
def test_what_is_no_address_is_a_sentence(text: str) -> None:
    with pytest.raises(ValueError, match=r"^is not an address such as 127\.0\.0\.1:8080 or unix:"):
        GateAddress.read(text)
