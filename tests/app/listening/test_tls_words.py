import ssl
from typing import Any

import pytest

from tunnelgate_app.listening.tls_words import why_tls_failed


def error_with(reason: str | None) -> ssl.SSLError:
    error: Any = ssl.SSLError(1, "a text of OpenSSL")
    error.reason = reason  # which may be missing, whatever its type says
    found: ssl.SSLError = error
    return found


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        pytest.param("TLSV1_ALERT_UNKNOWN_CA", "unknown certificate authority", id="a CA that is not known"),
        pytest.param("SSLV3_ALERT_BAD_CERTIFICATE", "bad certificate", id="a bad certificate"),
        pytest.param("SSLV3_ALERT_CERTIFICATE_EXPIRED", "expired certificate", id="one out of date"),
        pytest.param("SSLV3_ALERT_CERTIFICATE_UNKNOWN", "unknown certificate", id="one that breaks a rule"),
        pytest.param("TLSV13_ALERT_CERTIFICATE_REQUIRED", "certificate required", id="none"),
        pytest.param("TLSV1_UNRECOGNIZED_NAME", "unrecognized name", id="a name, in a reason without ALERT"),
        pytest.param("TLSV1_ALERT_PROTOCOL_VERSION", "protocol version not supported", id="a version"),
    ],
)
def test_an_alert_of_the_other_end_is_told_as_go_tells_it(reason: str, words: str) -> None:
    assert why_tls_failed(error_with(reason)) == f"remote error: tls: {words}"


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        pytest.param("HTTP_REQUEST", "what came is HTTP in the clear, and TLS is expected", id="HTTP"),
        pytest.param("WRONG_VERSION_NUMBER", "what came is not TLS", id="something else"),
        pytest.param("NO_SHARED_CIPHER", "the two sides have no cipher suite in common", id="no cipher"),
        pytest.param("LENGTH_MISMATCH", "length mismatch", id="a reason that has no words here"),
        pytest.param(
            "SSLV3_ROLLBACK_ATTACK", "sslv3 rollback attack", id="one that only looks like an alert"
        ),
        pytest.param(None, "OpenSSL does not say why", id="none at all"),
    ],
)
def test_what_fails_here_is_told_in_plain_words(reason: str | None, words: str) -> None:
    assert why_tls_failed(error_with(reason)) == words
