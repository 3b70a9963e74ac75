"""A token that was read says of itself the same to everyone, and is the only spelling of what it says.

PyJWT finds the same header and claims, or refuses the token; encoding again what was decoded gives
the token; and what `Authorization` carries is the scheme, a space and the token.

An input that begins with `{` is header, claims and signature in three lines; any other is a value
of `Authorization`.
"""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator

import jwt

from tests.fuzz.other_readers import exactly
from tunnelgate.reading.bearer import MAX_TOKEN, read_credentials, read_jwt
from tunnelgate.reading.fault import Fault

MAX_LENGTH = 4096


def check(data: bytes) -> None:
    try:
        credentials = read_credentials(_assembled(data) if data.startswith(b"{") else data)
    except Fault:
        return
    token = credentials.token
    assert len(token) <= MAX_TOKEN
    assert read_credentials(credentials.scheme.encode() + b" " + token) == credentials
    if not data.startswith(b"{"):
        scheme, _, rest = data.partition(b" ")
        assert (scheme.lower(), rest) == (credentials.scheme.encode(), token)
    try:
        read = read_jwt(token)
    except Fault:
        return
    header, claims, signature = (_decoded(segment) for segment in token.split(b"."))
    assert exactly(json.loads(header)) == exactly(read.header)
    assert exactly(json.loads(claims)) == exactly(read.claims)
    assert b".".join(map(_encoded, (header, claims, signature))) == token
    assert (read.algorithm, read.type, read.key_id) == tuple(
        read.header[name] for name in ("alg", "typ", "kid")
    )
    assert read.issuer == read.claims["iss"]
    try:
        other = jwt.decode_complete(token, options={"verify_signature": False})
    except jwt.InvalidTokenError:
        return
    assert exactly(other["header"]) == exactly(read.header)
    assert exactly(other["payload"]) == exactly(read.claims)


def _assembled(data: bytes) -> bytes:
    return b"Bearer " + b".".join(map(_encoded, data.split(b"\n")))


def _encoded(octets: bytes) -> bytes:
    return urlsafe_b64encode(octets).rstrip(b"=")


def _decoded(segment: bytes) -> bytes:
    return urlsafe_b64decode(segment + b"=" * (-len(segment) % 4))


def seeds() -> Iterator[bytes]:
    header = b'{"alg":"RS256","typ":"at+jwt","kid":"r1"}'
    claims = b'{"iss":"https://as.example","aud":"https://mcp.example.com/mcp","sub":"alice","exp":1}'
    token = _encoded(header) + b"." + _encoded(claims) + b"." + _encoded(b"signature")
    yield b"\n".join((header, claims, b"signature"))
    yield from (
        b"Bearer " + token,
        b"bearer " + token,
        b"DPoP " + token,
        b"Bearer  " + token,
        b"Bearer " + token + b"==",
        b"Basic YTpi",
    )
    yield from (
        b"Bearer " + token[:-1] + b"B",
        b"Bearer " + token + b".",
        b"Bearer a.b.c",
        b"Bearer ...",
        b"Bearer \xe9",
    )
    for odd in (
        header.replace(b'"kid"', b'"crit":["exp2"],"kid"'),
        header.replace(b'"kid"', b'"jku":"https://evil.example","kid"'),
        header.replace(b"RS256", b"none"),
        header.replace(b'"RS256"', b'"none","alg":"RS256"'),
        header.replace(b'"r1"', b'["r1"]'),
        header.replace(b"r1", b"r" * 300),
        header.replace(b"{", b" { "),
    ):
        yield b"\n".join((odd, claims, b"signature"))
    yield header + b"\n[]\n"
    yield header + b"\n" + claims.decode().encode("utf-16") + b"\n"
