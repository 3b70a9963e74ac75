"""A proof that was read says of itself the same to everyone, and keeps its bounds.

PyJWT finds the same header and claims, or refuses the proof. What cannot be read is a fault of the
proof, and nothing else is ever raised, nor when its key is read.

An input that begins with `{` is header, claims and signature in three lines; any other is a value
of `DPoP`.
"""

from base64 import urlsafe_b64encode
from collections.abc import Iterator
from contextlib import suppress

import jwt

from tests.fuzz.other_readers import exactly
from tunnelgate.jwks import read_public_key
from tunnelgate.reading.dpop import MAX_PROOF, read_proof
from tunnelgate.reading.fault import Fault
from tunnelgate.verdict import Reason

MAX_LENGTH = 4096


def check(data: bytes) -> None:
    raw = b".".join(map(_encoded, data.split(b"\n"))) if data.startswith(b"{") else data
    try:
        proof = read_proof(raw)
    except Fault as fault:
        if fault.reason is not Reason.PROOF_MALFORMED:
            raise
        return
    assert len(raw) <= MAX_PROOF
    assert all((proof.algorithm, proof.id, proof.method, proof.url, proof.token_hash))
    with suppress(ValueError):
        read_public_key(proof.key)
    try:
        other = jwt.decode_complete(raw, options={"verify_signature": False})
    except jwt.InvalidTokenError:
        return
    assert exactly(other["header"]["jwk"]) == exactly(proof.key)
    assert [other["payload"].get(name) for name in ("jti", "htm", "htu", "iat", "ath", "nonce")] == [
        proof.id,
        proof.method,
        proof.url,
        proof.issued_at,
        proof.token_hash,
        proof.nonce,
    ]


def _encoded(octets: bytes) -> bytes:
    return urlsafe_b64encode(octets).rstrip(b"=")


def seeds() -> Iterator[bytes]:
    point = (
        b'"x":"l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs","y":"9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA"'
    )
    key = b'{"kty":"EC","crv":"P-256",' + point + b"}"
    header = b'{"typ":"dpop+jwt","alg":"ES256","jwk":' + key + b"}"
    claims = (
        b'{"jti":"-BwC3ESc6acc2lTc","htm":"POST","htu":"https://mcp.example.com/mcp","iat":1562262616,'
        b'"ath":"fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo"}'
    )
    yield b"\n".join((header, claims, b"signature"))
    yield b".".join(map(_encoded, (header, claims, b"signature")))
    yield from (b"", b"a.b.c", b"...", b"\xe9", b"a.b.c, a.b.c")
    for odd in (
        header.replace(b"dpop+jwt", b"at+jwt"),
        header.replace(b"ES256", b"none"),
        header.replace(b'"alg"', b'"crit":["x"],"alg"'),
        header.replace(key, b"{}"),
        header.replace(b'"EC"', b'"oct"'),
        header.replace(b'"kty":"EC","crv":"P-256"', b'"kty":"RSA","n":"AQAB","e":"AQAB"'),
    ):
        yield b"\n".join((odd, claims, b"signature"))
    for odd in (
        claims.replace(b"1562262616", b'"1562262616"'),
        claims.replace(b"1562262616", b"1e400"),
        claims.replace(b'"jti"', b'"jti":"a","jti"'),
        claims.replace(b'"htm":"POST",', b""),
        claims.replace(b'"ath"', b'"nonce":"n","ath"'),
    ):
        yield b"\n".join((header, odd, b"signature"))
