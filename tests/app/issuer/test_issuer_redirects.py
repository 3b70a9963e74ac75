import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunnelgate_app.issuer.redirects import check_redirect_uri, host_of, is_same_redirect, source_of


@pytest.mark.parametrize(
    ("uri", "host", "source"),
    [
        pytest.param("https://client.example/cb", "client.example", "http: https:", id="https"),
        pytest.param(
            "https://Client.Example:8443/cb?a=b%20c&d",
            "Client.Example:8443",
            "http: https:",
            id="https with a port and a query",
        ),
        pytest.param("https://client.example", "client.example", "http: https:", id="no path"),
        pytest.param("http://127.0.0.1/cb", "127.0.0.1", "http: https:", id="loopback without a port"),
        pytest.param("http://127.0.0.1:1/cb", "127.0.0.1:1", "http: https:", id="the first port"),
        pytest.param("http://[::1]:65535/cb", "[::1]:65535", "http: https:", id="IPv6 and the last port"),
        pytest.param("http://localhost:6274/cb", "localhost:6274", "http: https:", id="localhost"),
        pytest.param("http://app.localhost:8080/cb", "app.localhost:8080", "http: https:", id="below it"),
        pytest.param(
            "com.example.app:/cb",
            "the application of com.example.app:",
            "com.example.app:",
            id="a private scheme",
        ),
        pytest.param(
            "cursor://anysphere.cursor-retrieval/oauth/cb",
            "the application of cursor:",
            "cursor:",
            id="an editor's scheme",
        ),
    ],
)
def test_a_client_may_have_such_a_redirect(uri: str, host: str, source: str) -> None:
    assert (check_redirect_uri(uri), host_of(uri), source_of(uri)) == (uri, host, source)


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "/cb",
        "//client.example/cb",
        "client.example/cb",
        "http://client.example/cb",
        "http://10.0.0.1/cb",
        "http://127.0.0.1.evil.example/cb",
        "http://localhost.evil.example/cb",
        "http://2130706433/cb",
        "https://user@client.example/cb",
        "https://client.example/cb#a",
        "https://client.example/cb#",
        "https://client.example:0/cb",
        "https://client.example:65536/cb",
        "https://client.example:99999999/cb",
        "https://client.example:/cb",
        "https://[::1::2]/cb",
        "https://[:]/cb",
        "https://[127.0.0.1]/cb",
        "http://[1:2]/cb",
        "http://[::2]/cb",
        "https:///cb",
        "https://*.client.example/cb",
        "https://client.example/a b",
        "https://client.example/a\\b",
        "https://client.example/\n",
        "https://client.example/<script>",
        'https://client.example/"',
        "https://clïent.example/cb",
        "https://client.example;script-src/cb",
        f"https://client.example/{'a' * 2000}",
        "javascript:alert(1)",
        "JavaScript:alert(1)",
        "data:text/html,x",
        "file:///etc/passwd",
        "myapp:/cb",
        "com.example.app:",
        "urn:ietf:wg:oauth:2.0:oob",
    ],
)
def test_a_client_may_not_have_any_other(uri: str) -> None:
    with pytest.raises(ValueError, match=r"^(is|has) "):
        check_redirect_uri(uri)


@pytest.mark.parametrize(
    ("registered", "requested", "is_same", "is_same_with_any_port"),
    [
        pytest.param("https://a.example/cb", "https://a.example/cb", True, True, id="the same"),
        pytest.param(
            "http://127.0.0.1/cb", "http://127.0.0.1:4567/cb", False, True, id="a port where none was"
        ),
        pytest.param("http://127.0.0.1:1/cb", "http://127.0.0.1:65535/cb", False, True, id="another port"),
        pytest.param("http://127.0.0.1:1/cb", "http://127.0.0.1/cb", False, True, id="no port"),
        pytest.param("http://[::1]:1/cb", "http://[::1]:2/cb", False, True, id="another port of IPv6"),
        pytest.param("http://127.0.0.1:1/cb", "http://127.0.0.1:0/cb", False, False, id="port 0"),
        pytest.param("http://127.0.0.1:1/cb", "http://127.0.0.1:65536/cb", False, False, id="no such port"),
        pytest.param("http://127.0.0.1:1/cb", "http://[::1]:2/cb", False, False, id="another address"),
        pytest.param("http://127.0.0.1:1/cb", "http://127.0.0.2:2/cb", False, False, id="a neighbour"),
        pytest.param("http://127.0.0.1:1/cb", "https://127.0.0.1:2/cb", False, False, id="another scheme"),
        pytest.param("https://127.0.0.1:1/cb", "https://127.0.0.1:2/cb", False, False, id="TLS on loopback"),
        pytest.param("http://127.0.0.1:1/cb", "http://127.0.0.1:2/cb/", False, False, id="another path"),
        pytest.param("http://127.0.0.1:1/cb", "http://127.0.0.1:2/cb?a", False, False, id="a query more"),
        pytest.param(
            "http://127.0.0.1:1/cb", "http://127.0.0.1:2@evil.example/cb", False, False, id="a user"
        ),
        pytest.param(
            "http://localhost:1/cb", "http://localhost:2/cb", False, False, id="a name, not an address"
        ),
        pytest.param("https://a.example/cb", "https://a.example:2/cb", False, False, id="elsewhere"),
        pytest.param("https://a.example/cb", "https://A.example/cb", False, False, id="other letters"),
        pytest.param("com.example.app:/cb", "com.example.app:/cb2", False, False, id="a private scheme"),
        pytest.param(
            "http://127.0.0.1:1/cb", "com.example.app:/cb", False, False, id="an application instead"
        ),
    ],
)
def test_a_requested_redirect_is_the_registered_one_but_for_the_port_of_a_loopback_address(
    registered: str, requested: str, *, is_same: bool, is_same_with_any_port: bool
) -> None:
    assert is_same_redirect(registered, requested, any_port=False) is is_same
    assert is_same_redirect(registered, requested, any_port=True) is is_same_with_any_port


PARTS = st.sampled_from(
    ["http", "https", "://", ":", "/", "127.0.0.1", "localhost", ";", ",", "'", "*", " ", "a.b"]
)


@given(st.lists(PARTS, max_size=8).map("".join) | st.text(max_size=30))
def test_no_redirect_adds_anything_to_the_policy_of_the_page(uri: str) -> None:
    try:
        check_redirect_uri(uri)
    except ValueError:
        return

    assert re.fullmatch(r"http: https:|[a-z][a-z0-9+.\-]*:", source_of(uri))
