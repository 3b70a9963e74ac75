"""Says in words why a TLS connection failed.

What the other end has said by an alert is told as Go tells it, ``remote error: tls: bad certificate``,
because that is what the guides for tunnels teach people to look for.

Specification: RFC 8446 section 6.2 for the alerts; the names of the reasons are OpenSSL's.
"""

import re
import ssl
from collections.abc import Mapping

_ALERT = re.compile(r"(?:SSLV3|TLSV1|TLSV13)_(?:ALERT_)?(?P<name>[A-Z_]+)")
_ALERTS: Mapping[str, str] = {
    "ACCESS_DENIED": "access denied",
    "BAD_CERTIFICATE": "bad certificate",
    "BAD_CERTIFICATE_HASH_VALUE": "bad certificate hash value",
    "BAD_CERTIFICATE_STATUS_RESPONSE": "bad certificate status response",
    "BAD_RECORD_MAC": "bad record MAC",
    "CERTIFICATE_EXPIRED": "expired certificate",
    "CERTIFICATE_REQUIRED": "certificate required",
    "CERTIFICATE_REVOKED": "revoked certificate",
    "CERTIFICATE_UNKNOWN": "unknown certificate",
    "CERTIFICATE_UNOBTAINABLE": "unobtainable certificate",
    "DECODE_ERROR": "error decoding message",
    "DECOMPRESSION_FAILURE": "decompression failure",
    "DECRYPTION_FAILED": "decryption failed",
    "DECRYPT_ERROR": "error decrypting message",
    "EXPORT_RESTRICTION": "export restriction",
    "HANDSHAKE_FAILURE": "handshake failure",
    "ILLEGAL_PARAMETER": "illegal parameter",
    "INAPPROPRIATE_FALLBACK": "inappropriate fallback",
    "INSUFFICIENT_SECURITY": "insufficient security level",
    "INTERNAL_ERROR": "internal error",
    "MISSING_EXTENSION": "missing extension",
    "NO_APPLICATION_PROTOCOL": "no application protocol",
    "NO_RENEGOTIATION": "no renegotiation",
    "PROTOCOL_VERSION": "protocol version not supported",
    "RECORD_OVERFLOW": "record overflow",
    "UNEXPECTED_MESSAGE": "unexpected message",
    "UNKNOWN_CA": "unknown certificate authority",
    "UNKNOWN_PSK_IDENTITY": "unknown PSK identity",
    "UNRECOGNIZED_NAME": "unrecognized name",
    "UNSUPPORTED_CERTIFICATE": "unsupported certificate",
    "UNSUPPORTED_EXTENSION": "unsupported extension",
    "USER_CANCELLED": "user canceled",
}
_NOT_TLS = "what came is not TLS"
_OURS: Mapping[str, str] = {
    "BAD_RECORD_TYPE": _NOT_TLS,
    "CALLBACK_FAILED": "the client asked for a name that is not ASCII",
    "DECRYPTION_FAILED_OR_BAD_RECORD_MAC": "what came was changed on its way",
    "HTTPS_PROXY_REQUEST": "what came is HTTP in the clear, and TLS is expected",
    "HTTP_REQUEST": "what came is HTTP in the clear, and TLS is expected",
    "NO_SHARED_CIPHER": "the two sides have no cipher suite in common",
    "NO_SUITABLE_SIGNATURE_ALGORITHM": "the two sides have no signature algorithm in common",
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "the other side showed no certificate",
    "UNEXPECTED_MESSAGE": "what came is TLS, but does not belong there",
    "UNSUPPORTED_PROTOCOL": "the two sides have no version of TLS in common",
    "WRONG_SSL_VERSION": _NOT_TLS,
    "WRONG_VERSION_NUMBER": _NOT_TLS,
}


def why_tls_failed(error: ssl.SSLError) -> str:
    """Return why OpenSSL gave up, as the end of a sentence."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate of the other side does not count: {error.verify_message}"
    reason = error.reason or ""
    alert = _ALERT.fullmatch(reason)
    if alert is not None and alert["name"] in _ALERTS:
        return f"remote error: tls: {_ALERTS[alert['name']]}"
    return _OURS.get(reason) or reason.lower().replace("_", " ") or "OpenSSL does not say why"
