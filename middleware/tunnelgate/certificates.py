"""Certificate-bound tokens: a token passes only on a connection of the client it was made for.

The server that ends TLS says which certificate the client has shown that it owns, in the TLS
extension of ASGI. A header that says so is never believed: anybody can write one.

Specification: RFC 8705 section 3, https://asgi.readthedocs.io/en/latest/specs/tls.html
"""

import ssl
from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from hashlib import sha256
from hmac import compare_digest
from typing import Any

from tunnelgate.asgi import Scope
from tunnelgate.exchange import Exchange, Principal
from tunnelgate.proofs import SchemeName, confirmation
from tunnelgate.reading.fault import Fault
from tunnelgate.verdict import Reason


class CertificateBinding:
    """Takes tokens with `cnf.x5t#S256`, on connections with that certificate."""

    scheme: SchemeName = "bearer"

    def prepare(self, exchange: Exchange) -> None:
        """Do nothing: the proof is not in the request."""

    def check(self, scope: Scope, exchange: Exchange, token: bytes, principal: Principal) -> None:
        """Check the certificate of the connection; raises ``Fault``."""
        thumbprint = confirmation(principal.claims, "x5t#S256")
        shown = thumbprint_of(client_certificate(scope))
        if not compare_digest(shown.encode(), thumbprint.encode()):
            raise Fault(Reason.PROOF_WRONG, "the token is bound to another certificate")


def client_certificate(scope: Scope) -> str:
    """Return the certificate of the client as PEM; raises ``Fault`` where it has shown none."""
    extensions: Mapping[str, Mapping[str, Any]] = scope.get("extensions") or {}
    tls = extensions.get("tls")
    if tls is None:
        raise Fault(Reason.PROOF_MISSING, "the connection is not one of TLS")
    chain: Sequence[str] = tls.get("client_cert_chain") or ()
    if not chain or tls.get("client_cert_error"):
        raise Fault(Reason.PROOF_MISSING, "the client has shown no certificate")
    return chain[0]


def thumbprint_of(certificate: str) -> str:
    """Return the SHA-256 thumbprint of a certificate in PEM; raises ``Fault`` for what is none."""
    try:
        octets = ssl.PEM_cert_to_DER_cert(certificate)
    except ValueError:
        raise Fault(Reason.PROOF_MALFORMED, "the certificate is not PEM") from None
    return urlsafe_b64encode(sha256(octets).digest()).rstrip(b"=").decode("ascii")
