"""Reads a token out of ``Authorization``, and a JWT out of a token. Verifies nothing.

Specification: RFC 6750 section 2.1, RFC 9449 section 7.1, RFC 7515 section 3.1, RFC 7519 section 7.2,
RFC 8725.
"""

import binascii
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tunnelgate.reading.fault import Fault
from tunnelgate.reading.strict_json import is_object, read_json
from tunnelgate.verdict import Reason

MAX_TOKEN = 8192  # octets; an access token with many roles stays below half of it
_CREDENTIALS = re.compile(rb"(bearer|dpop) ([A-Za-z0-9\-._~+/]+=*)", re.IGNORECASE)
_SEGMENTS = 3  # RFC 7515 section 3.1: header, payload, signature
_HEADER = b"eyJ"  # `{"` in base64url
_MAX_KEY_ID = 256
# A key that the token brings along proves nothing, and no critical extension is implemented.
_FORBIDDEN = ("b64", "crit", "cty", "jku", "jwk", "x5c", "x5u", "zip")


@dataclass(frozen=True, slots=True)
class Credentials:
    """A token as it was presented: under ``bearer`` or under ``dpop``, in lower case."""

    scheme: str
    token: bytes


@dataclass(frozen=True, slots=True)
class UnverifiedToken:
    """What a JWT claims about itself, before anybody has checked its signature."""

    algorithm: str
    type: str
    key_id: str
    issuer: str
    header: Mapping[str, Any]
    claims: Mapping[str, Any]


def read_credentials(value: bytes) -> Credentials:
    """Return the token in the value of ``Authorization``.

    Raises :class:`~tunnelgate.reading.fault.Fault` (``token-malformed``) for another scheme, for
    octets that no token has, and for more than :data:`MAX_TOKEN` of them.
    """
    match = _CREDENTIALS.fullmatch(value)
    if match is None:
        raise Fault(Reason.TOKEN_MALFORMED, "not one token")
    if len(match[2]) > MAX_TOKEN:
        raise Fault(Reason.TOKEN_MALFORMED, f"longer than {MAX_TOKEN} octets")
    return Credentials(match[1].lower().decode("ascii"), match[2])


def is_jose(token: bytes) -> bool:
    """Return whether a token has the segments of a JWS or of a JWE, or begins with the header of one."""
    return token.count(b".") in (2, 4) or token.startswith(_HEADER)


def read_jwt(token: bytes) -> UnverifiedToken:
    """Return the header and claims of an access token that is a JWT in JWS compact form.

    Raises :class:`~tunnelgate.reading.fault.Fault` (``token-malformed``) whenever two
    implementations could read the token differently, or it brings its own key.
    """
    header, claims = read_segments(token)
    for name in _FORBIDDEN:
        if name in header:
            raise Fault(Reason.TOKEN_MALFORMED, f"header has {name}")
    key_id = _text(header, "kid")
    if len(key_id) > _MAX_KEY_ID:
        raise Fault(Reason.TOKEN_MALFORMED, f"kid longer than {_MAX_KEY_ID}")
    return UnverifiedToken(
        algorithm=_text(header, "alg"),
        type=_text(header, "typ"),
        key_id=key_id,
        issuer=_text(claims, "iss"),
        header=header,
        claims=claims,
    )


def read_segments(token: bytes) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Return the header and the claims of any JWT; raises ``Fault`` (``token-malformed``)."""
    segments = token.split(b".")
    if len(segments) != _SEGMENTS:
        raise Fault(Reason.TOKEN_MALFORMED, "not three segments")
    _decode(segments[2], "signature")
    return _object(segments[0], "header"), _object(segments[1], "claims")


def _text(members: Mapping[str, Any], name: str) -> str:
    value = members.get(name)
    if not isinstance(value, str) or not value:
        raise Fault(Reason.TOKEN_MALFORMED, f"{name} is not a text")
    return value


def _object(segment: bytes, what: str) -> Mapping[str, Any]:
    try:
        value, _ = read_json(_decode(segment, what))
    except Fault as fault:
        # The detail of a JSON fault quotes what it found, which here is part of a credential.
        raise Fault(Reason.TOKEN_MALFORMED, f"{what}: {fault.reason}") from None
    if not is_object(value):
        raise Fault(Reason.TOKEN_MALFORMED, f"{what} is not an object")
    return value


def _decode(segment: bytes, what: str) -> bytes:
    try:
        octets = urlsafe_b64decode(segment + b"=" * (-len(segment) % 4))
    except binascii.Error:
        raise Fault(Reason.TOKEN_MALFORMED, f"{what} is not base64url") from None
    # A second spelling of the same octets would slip past whatever lists tokens by their text.
    if urlsafe_b64encode(octets).rstrip(b"=") != segment:
        raise Fault(Reason.TOKEN_MALFORMED, f"{what} is not canonical base64url")
    return octets
