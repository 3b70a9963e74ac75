"""Says what a failure on the way to the gate means, and what to do about it."""

from collections.abc import Mapping

# By what the failure says of itself, OpenSSL's words among them; the first that is in it counts.
_MEANINGS: Mapping[str, str] = {
    "Hostname mismatch": "The certificate's names (SAN) do not cover the host: "
    "it has to be <route>.<tunnel domain>, or *.<tunnel domain> for all of them.",
    "certificate has expired": "The certificate is out of date: renew it with `tunnelgate certs renew`.",
    "certificate is not yet valid": "The certificate is not valid yet, or this machine's clock is wrong.",
    "Missing Authority Key Identifier": "The certificate has no AuthorityKeyIdentifier, "
    "which has to be the CA's SubjectKeyIdentifier.",
    "Missing Subject Key Identifier": "The CA's certificate has no SubjectKeyIdentifier.",
    "unable to get local issuer certificate": "The certificate is not by a CA in --ca, "
    "as with a CA that is not registered on the tunnel.",
    "unable to verify the first certificate": "The certificate is not by a CA in --ca, "
    "as with a CA that is not registered on the tunnel.",
    "self-signed certificate": "The certificate is its own CA, and none of those in --ca.",
    "the certificate of the other side does not count": "The certificate breaks a rule: "
    "docs/certificates.md has all of them.",
    "nobody listens": "Start the gate there, or name another address: --gate.",
    "does not answer": "Something is in the way of the gate's address, such as a firewall.",
    "websocket upgrade failed": "What listens there is no tunnel's end: "
    "the gate needs `tls`, and `transport: tunnel` or none.",
    "tls handshake failed": "The gate's log says what it disliked.",
}


def meaning_of(failure: str) -> str:
    """Return what ``failure`` means, in a sentence or two."""
    return next((meaning for said, meaning in _MEANINGS.items() if said in failure), "")
