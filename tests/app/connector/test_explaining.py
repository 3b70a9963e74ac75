import pytest

from tunnelgate_app.connector.explaining import meaning_of

BEGIN = "tls handshake failed: the certificate of the other side does not count: "


@pytest.mark.parametrize(
    ("failure", "word"),
    [
        pytest.param(BEGIN + "Hostname mismatch, certificate is not valid for 'a'.", "SAN", id="the names"),
        pytest.param(BEGIN + "certificate has expired", "out of date", id="the dates"),
        pytest.param(BEGIN + "Missing Authority Key Identifier", "AuthorityKeyIdentifier", id="the AKI"),
        pytest.param(BEGIN + "unable to get local issuer certificate", "not by a CA", id="the CA"),
        pytest.param(BEGIN + "something new", "docs/certificates.md", id="a rule that has no words here"),
        pytest.param("nobody listens at 127.0.0.1:1: Connection refused", "--gate", id="nobody"),
        pytest.param("websocket upgrade failed: it answered 200", "no tunnel's end", id="no WebSocket"),
        pytest.param("tls handshake failed: the gate closed the connection", "gate's log", id="no reason"),
        pytest.param("something else", "", id="something else"),
    ],
)
def test_a_failure_is_told_with_what_it_means(failure: str, word: str) -> None:
    meaning = meaning_of(failure)

    assert word in meaning
    assert meaning == "" or meaning.endswith(".")
