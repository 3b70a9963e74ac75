"""What a token must be like, row by row; an id with T is that of a row in the corpus of token attacks."""

import asyncio
import hashlib
import hmac
import time
from base64 import urlsafe_b64decode
from collections.abc import Mapping
from typing import Any

import jwt
import orjson
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from hypothesis import example, given, settings
from hypothesis import strategies as st
from joserfc.jwk import ECKey
from joserfc.jws import JWSRegistry

from tests.support.tokens import (
    ISSUER,
    RESOURCE,
    Clock,
    KeyEndpoint,
    Token,
    base64url,
    introspected,
    jwks,
    key,
    sign,
)
from tests.support.tokens import trusted_issuer as trusted
from tunnelgate import (
    KeysUnavailable,
    Principal,
    Reason,
    RemoteKeys,
    StaticKeys,
    TokenProfile,
    TrustedIssuer,
)
from tunnelgate.reading.fault import Fault
from tunnelgate.tokens import MAX_LIFETIME, TokenRules
from tunnelgate.verifier import TokenVerifier

NOW = 1_800_000_000
DAY = 24 * 60 * 60
LAST_SECOND = 253402300799  # 9999-12-31T23:59:59Z
TYPICAL = ("ES256", "RS256", "Ed25519")


async def judge(token: str | bytes, *issuers: TrustedIssuer, now: float = NOW) -> Principal | Reason:
    """Return whom a token speaks for, or why it does not."""
    verifier = TokenVerifier(resource=RESOURCE, issuers=issuers or [trusted(*TYPICAL)], clock=lambda: now)
    try:
        return await verifier.verify(token if isinstance(token, bytes) else token.encode())
    except Fault as fault:
        return fault.reason


def minted(algorithm: str = "ES256", *, header: Mapping[str, Any] | None = None, **claims: Any) -> bytes:
    """Return a token made at :data:`NOW`; a part that is ``None`` is left out."""
    return Token(algorithm, claims=claims, header=header or {}).mint(NOW).encode()


def written(
    header: Mapping[str, Any] | bytes | None = None,
    claims: Mapping[str, Any] | bytes | None = None,
    algorithm: str = "ES256",
) -> bytes:
    """Return a token with a good signature over parts that no library would write."""
    return sign(
        header if isinstance(header, bytes) else orjson.dumps({**HEADER, **(header or {})}),
        claims if isinstance(claims, bytes) else orjson.dumps({**CLAIMS, **(claims or {})}),
        algorithm,
    )


HEADER: Mapping[str, Any] = {"alg": "ES256", "kid": "ES256", "typ": "at+jwt"}
CLAIMS: Mapping[str, Any] = {
    "iss": ISSUER,
    "aud": RESOURCE,
    "sub": "alice",
    "client_id": "agent",
    "iat": NOW,
    "exp": NOW + 300,
    "jti": "1",
    "scope": "docs:read",
}
CLAIMS_TEXT = orjson.dumps(CLAIMS)
HEADER_TEXT = orjson.dumps(HEADER)
VALID = minted()


def segments(token: bytes = VALID) -> tuple[bytes, bytes, bytes]:
    header, claims, signature = token.split(b".")
    return header, claims, signature


def joined(*parts: bytes) -> bytes:
    return b".".join(parts)


def claiming(text: str) -> bytes:
    """Return a token whose claims end in the JSON members ``text``."""
    return written(claims=CLAIMS_TEXT[:-1] + b"," + text.encode() + b"}")


@pytest.mark.parametrize(
    "token",
    [
        pytest.param(minted("ES256"), id="T001 ES256"),
        pytest.param(minted("RS256"), id="T002 RS256"),
        pytest.param(minted("Ed25519"), id="Ed25519"),
        pytest.param(minted(header={"typ": "AT+JWT"}), id="typ in capitals"),
        pytest.param(minted(header={"typ": "application/at+jwt"}), id="typ with its full media type"),
        pytest.param(minted(exp=NOW - 10), id="T031 expired within the leeway"),
        pytest.param(minted(exp=NOW - 29), id="expired as long ago as the leeway allows"),
        pytest.param(minted(exp=NOW + 300.5), id="T035 exp with a fraction"),
        pytest.param(minted(nbf=NOW), id="nbf now"),
        pytest.param(minted(nbf=NOW + 30), id="nbf as far ahead as the leeway allows"),
        pytest.param(minted(nbf=0), id="nbf at the epoch"),
        pytest.param(minted(nbf=None), id="no nbf"),
        pytest.param(minted(iat=NOW + 30), id="iat as far ahead as the leeway allows"),
        pytest.param(minted(exp=NOW + DAY), id="the longest lifetime"),
        pytest.param(minted(aud=[RESOURCE]), id="aud is a list of us"),
        pytest.param(minted(aud=["https://x.example", RESOURCE]), id="T037 aud lists us among others"),
        pytest.param(minted(sub="alice", client_id="alice"), id="sub equal to client_id"),
        pytest.param(minted(roles=["admin"], groups={"a": 1}, amr=["pwd"], auth_time=NOW), id="more claims"),
        pytest.param(written({"x5t": "YQ"}), id="a header with the thumbprint of a certificate"),
        pytest.param(written({"x5t#S256": "YQ"}), id="a header with such a thumbprint by SHA-256"),
        pytest.param(written({"url": "https://x", "x": None}), id="a header with what nobody knows"),
        pytest.param(claiming('"validate_exp":1,"now":2,"":3'), id="claims that sound like methods"),
    ],
)
@pytest.mark.promise("token-for-this-server")
@pytest.mark.anyio
async def test_a_token_that_is_genuine_in_time_and_made_for_us_is_accepted(token: bytes) -> None:
    principal = await judge(token)

    assert isinstance(principal, Principal)
    assert (principal.issuer, principal.scopes) == (ISSUER, frozenset({"docs:read"}))


@pytest.mark.anyio
async def test_a_principal_is_what_the_issuer_said() -> None:
    principal = await judge(minted(sub="bob", client_id="cli", scope="docs:read docs:write", roles=["x"]))

    assert principal == Principal(
        issuer=ISSUER,
        subject="bob",
        client_id="cli",
        scopes=frozenset({"docs:read", "docs:write"}),
        claims={
            **CLAIMS,
            "sub": "bob",
            "client_id": "cli",
            "scope": "docs:read docs:write",
            "roles": ["x"],
        },
    )


def hmac_signed(secret: bytes, key_id: str) -> bytes:
    header = orjson.dumps({"alg": "HS256", "kid": key_id, "typ": "at+jwt"})
    content = joined(base64url(header), base64url(CLAIMS_TEXT))
    return joined(content, base64url(hmac.digest(secret, content, hashlib.sha256)))


def rsa_public(encoding: serialization.Encoding, form: serialization.PublicFormat) -> bytes:
    number_of_key = jwt.PyJWK(key("RS256").as_dict(private=False)).key
    octets: bytes = number_of_key.public_bytes(encoding, form)
    return octets


PEM = rsa_public(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
DER = rsa_public(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
SSH = rsa_public(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
ATTACKER = ECKey.generate_key("P-256", {"kid": "ES256"})


def attacked(**header: Any) -> bytes:
    """Return a token that somebody else's key signed."""
    content = joined(base64url(orjson.dumps({**HEADER, **header})), base64url(CLAIMS_TEXT))
    return joined(content, base64url(JWSRegistry.algorithms["ES256"].sign(content, ATTACKER)))


def der_signature() -> bytes:
    header, claims, signature = segments()
    raw = urlsafe_b64decode(signature + b"==")
    der = encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
    return joined(header, claims, base64url(der))


def with_last_bits_changed(segment: bytes) -> bytes:
    """Return another spelling of the same octets."""
    alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    assert len(segment) % 4, "every bit of the last character counts"
    return segment[:-1] + bytes([alphabet[alphabet.index(segment[-1]) + 1]])


HEAD, BODY, SEAL = segments()
# With one more octet in it, the segment does not end on a boundary of Base64.
LOOSE = written(header=HEADER_TEXT + b" " * (1 if len(HEADER_TEXT) % 3 == 0 else 0))

MALFORMED = Reason.TOKEN_MALFORMED
ALGORITHM = Reason.TOKEN_ALGORITHM_NOT_ALLOWED
SIGNATURE = Reason.TOKEN_SIGNATURE_WRONG
UNKNOWN_KEY = Reason.TOKEN_KEY_UNKNOWN
UNKNOWN_ISSUER = Reason.TOKEN_ISSUER_UNKNOWN
TYPE = Reason.TOKEN_TYPE_WRONG
AUDIENCE = Reason.TOKEN_AUDIENCE_WRONG
EXPIRED = Reason.TOKEN_EXPIRED
EARLY = Reason.TOKEN_NOT_YET_VALID
TOO_LONG = Reason.TOKEN_LIFETIME_TOO_LONG
CLAIM = Reason.TOKEN_CLAIM_INVALID


def unsigned(algorithm: str) -> bytes:
    return joined(base64url(orjson.dumps({**HEADER, "alg": algorithm})), BODY, b"")


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        pytest.param(unsigned("none"), ALGORITHM, id="T003 alg none without a signature"),
        pytest.param(unsigned("NoNe"), ALGORITHM, id="T003 alg NoNe without a signature"),
        pytest.param(unsigned("ES256"), SIGNATURE, id="no signature under a strong algorithm"),
        pytest.param(joined(HEAD, BODY, b""), SIGNATURE, id="T005 the signature stripped"),
        pytest.param(joined(HEAD, BODY), MALFORMED, id="T005 the signature stripped with its dot"),
        pytest.param(joined(HEAD, BODY, SEAL, b""), MALFORMED, id="a fourth segment"),
        pytest.param(joined(HEAD, b"", BODY, SEAL, b""), MALFORMED, id="five segments, as JWE has"),
        pytest.param(b"", MALFORMED, id="nothing"),
        pytest.param(b"..", MALFORMED, id="two dots"),
        pytest.param(hmac_signed(PEM, "RS256"), ALGORITHM, id="T006 HMAC with the public key as PEM"),
        pytest.param(hmac_signed(PEM.strip(), "RS256"), ALGORITHM, id="T007 HMAC with PEM and no newline"),
        pytest.param(hmac_signed(DER, "RS256"), ALGORITHM, id="T007 HMAC with the public key as DER"),
        pytest.param(hmac_signed(SSH, "RS256"), ALGORITHM, id="T007 HMAC with the public key for SSH"),
        pytest.param(hmac_signed(jwks("RS256"), "RS256"), ALGORITHM, id="T007 HMAC with the JWK set"),
        pytest.param(attacked(), SIGNATURE, id="a key of the same name that somebody else has"),
        pytest.param(attacked(jwk=ATTACKER.as_dict(private=False)), MALFORMED, id="T010 a key brought along"),
        pytest.param(attacked(jku="https://evil.example/jwks"), MALFORMED, id="T011 jku"),
        pytest.param(attacked(x5u="https://evil.example/cert"), MALFORMED, id="T012 x5u"),
        pytest.param(attacked(x5c=["MIIB"]), MALFORMED, id="T012 x5c"),
        pytest.param(attacked(x5t="YQ"), SIGNATURE, id="x5t of a certificate for another key"),
        pytest.param(written({"zip": "DEF"}), MALFORMED, id="zip"),
        pytest.param(written({"b64": False}), MALFORMED, id="b64"),
        pytest.param(written({"kid": "../../../../dev/null"}), UNKNOWN_KEY, id="T013 kid is a path"),
        pytest.param(written({"kid": "' OR 1=1 --"}), UNKNOWN_KEY, id="kid is a query"),
        pytest.param(written({"kid": "es256"}), UNKNOWN_KEY, id="kid in another case"),
        pytest.param(written({"kid": 1}), MALFORMED, id="T015 kid is a number"),
        pytest.param(written({"kid": ["ES256"]}), MALFORMED, id="T015 kid is a list"),
        pytest.param(written({"kid": None}), MALFORMED, id="kid is null"),
        pytest.param(written({"kid": ""}), MALFORMED, id="kid is empty"),
        pytest.param(minted(header={"kid": None}), MALFORMED, id="no kid"),
        pytest.param(written({"kid": "a" * 256}), UNKNOWN_KEY, id="the longest kid"),
        pytest.param(written({"kid": "a" * 257}), MALFORMED, id="a kid one character longer"),
        pytest.param(written({"kid": "a" * 10_000}), MALFORMED, id="T015 kid without end"),
        pytest.param(written({"crit": ["exp2"], "exp2": 1}), MALFORMED, id="T020 crit with an unknown name"),
        pytest.param(written({"crit": []}), MALFORMED, id="T021 crit is empty"),
        pytest.param(written({"crit": "b64"}), MALFORMED, id="T021 crit is a text"),
        pytest.param(written({"crit": ["nope"]}), MALFORMED, id="T021 crit names what is not there"),
        pytest.param(minted(header={"typ": None}), MALFORMED, id="T023 no typ"),
        pytest.param(written({"typ": 7}), MALFORMED, id="typ is a number"),
        pytest.param(minted(header={"typ": "JWT"}, aud="agent"), TYPE, id="T024 an ID token"),
        pytest.param(minted(header={"typ": "logout+jwt"}), TYPE, id="T025 a logout token"),
        pytest.param(minted(header={"typ": "dpop+jwt"}), TYPE, id="T025 a DPoP proof"),
        pytest.param(minted(header={"typ": "oauth-id-jag+jwt"}), TYPE, id="T025 an ID-JAG"),
        pytest.param(minted(header={"typ": "secevent+jwt"}), TYPE, id="T025 a security event"),
        pytest.param(minted(header={"typ": " at+jwt"}), TYPE, id="typ with a space"),
        pytest.param(written({"cty": "JWT"}, VALID), MALFORMED, id="T027 a token within a token"),
        pytest.param(written(claims=VALID), MALFORMED, id="T027 a token within, not announced"),
        pytest.param(written({"alg": "EdDSA"}), ALGORITHM, id="the old name of Ed25519"),
        pytest.param(written({"alg": "ES384"}), ALGORITHM, id="an algorithm of a larger curve"),
        pytest.param(written({"alg": "RS256"}), ALGORITHM, id="RS256 with a P-256 key"),
        pytest.param(written({"alg": "es256"}), ALGORITHM, id="alg in lower case"),
        pytest.param(written({"alg": 7}), MALFORMED, id="alg is a number"),
        pytest.param(minted(header={"kid": "RS256"}), ALGORITHM, id="ES256 with an RSA key"),
        pytest.param(
            written({"alg": "PS256", "kid": "RS256"}, algorithm="RS256"),
            ALGORITHM,
            id="T055 an RS256 key as PS256",
        ),
    ],
)
@pytest.mark.promise("token-for-this-server")
@pytest.mark.anyio
async def test_a_token_whose_header_or_key_is_not_right_is_refused(token: bytes, reason: Reason) -> None:
    assert reason == await judge(token)


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        pytest.param(der_signature(), SIGNATURE, id="T052 a signature in DER"),
        pytest.param(joined(HEAD, BODY, base64url(b"\0" * 64)), SIGNATURE, id="a signature of zeros"),
        pytest.param(joined(HEAD, BODY, b"A" * 1366), SIGNATURE, id="a signature as long as one can be"),
        pytest.param(
            joined(HEAD, BODY, segments(minted(jti="2"))[2]), SIGNATURE, id="the signature of another token"
        ),
        pytest.param(
            joined(HEAD, segments(minted(sub="root"))[1], SEAL), SIGNATURE, id="the claims of another token"
        ),
        pytest.param(
            joined(segments(minted(header={"typ": "AT+JWT"}))[0], BODY, SEAL),
            SIGNATURE,
            id="the header of another token",
        ),
        pytest.param(joined(HEAD, BODY, SEAL + b"="), MALFORMED, id="T050 padding"),
        pytest.param(joined(HEAD, BODY, SEAL + b"=="), MALFORMED, id="T050 more padding"),
        pytest.param(joined(HEAD + b"=", BODY, SEAL), MALFORMED, id="T050 padding of the header"),
        pytest.param(joined(HEAD, BODY + b"=", SEAL), MALFORMED, id="T050 padding of the claims"),
        pytest.param(joined(HEAD, BODY, b"+" + SEAL[1:]), MALFORMED, id="T050 a plus"),
        pytest.param(joined(HEAD, BODY, b"/" + SEAL[1:]), MALFORMED, id="T050 a slash"),
        pytest.param(joined(HEAD, BODY, SEAL + b"\n"), MALFORMED, id="T050 a newline at the end"),
        pytest.param(joined(HEAD, b" " + BODY, SEAL), MALFORMED, id="T050 a space"),
        pytest.param(joined(HEAD, BODY[:9] + b"\n" + BODY[9:], SEAL), MALFORMED, id="T050 a newline within"),
        pytest.param(joined(HEAD, BODY, SEAL + b"\xe9"), MALFORMED, id="an octet beyond ASCII"),
        pytest.param(joined(HEAD, BODY, SEAL + b"\0"), MALFORMED, id="a zero octet"),
        pytest.param(joined(HEAD, BODY, SEAL[:-1]), MALFORMED, id="one character less"),
        pytest.param(
            joined(HEAD, BODY, with_last_bits_changed(SEAL)), MALFORMED, id="T051 other bits at the end"
        ),
        pytest.param(
            joined(with_last_bits_changed(segments(LOOSE)[0]), *segments(LOOSE)[1:]),
            MALFORMED,
            id="T051 other bits at the end of the header",
        ),
    ],
)
@pytest.mark.anyio
async def test_a_token_whose_signature_or_spelling_is_not_right_is_refused(
    token: bytes, reason: Reason
) -> None:
    assert reason == await judge(token)


@pytest.mark.parametrize(
    "token",
    [
        pytest.param(written(b'{"alg":"none",' + HEADER_TEXT[1:]), id="T046 alg twice"),
        pytest.param(written(b'{"kid":"x",' + HEADER_TEXT[1:]), id="kid twice"),
        pytest.param(written(b'["alg"]'), id="T047 the header is a list"),
        pytest.param(written(b"null"), id="the header is null"),
        pytest.param(written(b"7"), id="the header is a number"),
        pytest.param(written(b""), id="the header is empty"),
        pytest.param(written(b"{"), id="the header is not JSON"),
        pytest.param(written(HEADER_TEXT + b"{}"), id="the header goes on"),
        pytest.param(written(HEADER_TEXT.decode().encode("utf-16")), id="T048 the header in UTF-16"),
        pytest.param(written(claims=CLAIMS_TEXT.decode().encode("utf-16")), id="T048 the claims in UTF-16"),
        pytest.param(written(claims=b"\xef\xbb\xbf" + CLAIMS_TEXT), id="T048 a byte order mark"),
        pytest.param(written(claims=b'{"sub":"root",' + CLAIMS_TEXT[1:]), id="a claim twice"),
        pytest.param(written(claims=b"[]"), id="the claims are a list"),
        pytest.param(written(claims=b'"text"'), id="the claims are a text"),
        pytest.param(written(claims=b'{"a":' * 5000), id="claims nested without end"),
        pytest.param(claiming('"a":' + "[" * 64 + "]" * 64), id="claims nested too deep"),
        pytest.param(claiming('"a":9007199254740992'), id="a claim with an integer that doubles cannot hold"),
        pytest.param(claiming('"a":"\\ud800"'), id="a claim with half a character"),
        pytest.param(claiming('"nbf":NaN'), id="T035 not a number"),
        pytest.param(claiming('"nbf":1e400'), id="T035 a number beyond all numbers"),
        pytest.param(claiming('"nbf":Infinity'), id="T035 infinity"),
        pytest.param(minted(iss=None), id="no iss"),
        pytest.param(minted(iss=""), id="iss is empty"),
        pytest.param(minted(iss=7), id="iss is a number"),
        pytest.param(minted(iss=[ISSUER]), id="iss is a list"),
    ],
)
@pytest.mark.promise("one-reading")
@pytest.mark.anyio
async def test_a_token_that_could_be_read_in_two_ways_is_refused_unverified(token: bytes) -> None:
    assert await judge(token) == MALFORMED


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        pytest.param({"exp": NOW - 31}, EXPIRED, id="T030 expired"),
        pytest.param({"exp": NOW - 30}, EXPIRED, id="expired by the whole leeway"),
        pytest.param({"exp": 0}, EXPIRED, id="expired at the epoch"),
        pytest.param({"nbf": NOW + 60}, EARLY, id="T032 nbf ahead"),
        pytest.param({"nbf": NOW + 31}, EARLY, id="nbf one second beyond the leeway"),
        pytest.param({"iat": NOW + 3600, "exp": NOW + 7200}, EARLY, id="T033 iat ahead"),
        pytest.param({"iat": NOW + 31}, EARLY, id="iat one second beyond the leeway"),
        pytest.param({"exp": str(NOW + 300)}, CLAIM, id="T035 exp is a text"),
        pytest.param({"exp": True}, CLAIM, id="T035 exp is true"),
        pytest.param({"exp": -1}, CLAIM, id="T035 exp is negative"),
        pytest.param({"exp": [NOW + 300]}, CLAIM, id="exp is a list"),
        pytest.param({"exp": None}, CLAIM, id="no exp"),
        pytest.param({"iat": None}, CLAIM, id="no iat"),
        pytest.param({"iat": False}, CLAIM, id="iat is false"),
        pytest.param({"iat": -1}, CLAIM, id="iat before the epoch"),
        pytest.param({"nbf": "0"}, CLAIM, id="nbf is a text"),
        pytest.param({"nbf": -0.5}, CLAIM, id="nbf before the epoch"),
        pytest.param({"exp": LAST_SECOND}, TOO_LONG, id="T036 exp in the year 9999"),
        pytest.param({"exp": LAST_SECOND + 1}, CLAIM, id="exp beyond the year 9999"),
        pytest.param({"exp": 1e300}, CLAIM, id="exp beyond all dates"),
        pytest.param({"exp": NOW + DAY + 1}, TOO_LONG, id="a lifetime one second too long"),
        pytest.param({"exp": NOW + DAY + 0.5}, TOO_LONG, id="a lifetime half a second too long"),
        pytest.param({"aud": None}, AUDIENCE, id="T038 no aud"),
        pytest.param({"aud": []}, AUDIENCE, id="T038 aud is an empty list"),
        pytest.param({"aud": ""}, AUDIENCE, id="T038 aud is empty"),
        pytest.param({"aud": 7}, AUDIENCE, id="T038 aud is a number"),
        pytest.param({"aud": {RESOURCE: 1}}, AUDIENCE, id="T038 aud is an object"),
        pytest.param({"aud": [RESOURCE, 7]}, AUDIENCE, id="aud lists us and a number"),
        pytest.param({"aud": [[RESOURCE]]}, AUDIENCE, id="aud is a list of lists"),
        pytest.param({"aud": RESOURCE + "/x"}, AUDIENCE, id="T039 aud is below us"),
        pytest.param({"aud": RESOURCE + "/"}, AUDIENCE, id="T039 aud with a slash more"),
        pytest.param({"aud": RESOURCE.removesuffix("/mcp")}, AUDIENCE, id="T039 aud without the path"),
        pytest.param({"aud": RESOURCE + "?a"}, AUDIENCE, id="T039 aud with a query"),
        pytest.param({"aud": RESOURCE.upper()}, AUDIENCE, id="aud in capitals"),
        pytest.param({"aud": f" {RESOURCE}"}, AUDIENCE, id="aud with a space"),
        pytest.param(
            {"aud": "https://other.example.com/mcp"}, AUDIENCE, id="T041 another server of the gate"
        ),
        pytest.param({"aud": "abc123"}, AUDIENCE, id="T042 aud is a client"),
        pytest.param({"iss": ISSUER + "/"}, UNKNOWN_ISSUER, id="T043 iss with a slash more"),
        pytest.param({"iss": ISSUER.replace("https", "http")}, UNKNOWN_ISSUER, id="T043 iss without TLS"),
        pytest.param({"iss": ISSUER.replace("login", "LOGIN")}, UNKNOWN_ISSUER, id="T043 iss in capitals"),
        pytest.param({"iss": "https://evil.example"}, UNKNOWN_ISSUER, id="another issuer"),
        pytest.param({"sub": None}, CLAIM, id="no sub"),
        pytest.param({"sub": ""}, CLAIM, id="sub is empty"),
        pytest.param({"sub": 7}, CLAIM, id="sub is a number"),
        pytest.param({"client_id": None}, CLAIM, id="no client_id"),
        pytest.param({"client_id": ["agent"]}, CLAIM, id="client_id is a list"),
        pytest.param({"jti": None}, CLAIM, id="no jti"),
        pytest.param({"jti": 1}, CLAIM, id="jti is a number"),
        pytest.param({"auth_time": "yesterday"}, CLAIM, id="auth_time is a text"),
        pytest.param({"amr": "pwd"}, CLAIM, id="amr is a text"),
    ],
)
@pytest.mark.promise("token-for-this-server")
@pytest.mark.anyio
async def test_a_token_whose_claims_are_not_right_is_refused(claims: dict[str, Any], reason: Reason) -> None:
    assert reason == await judge(minted(**claims))


@pytest.mark.parametrize(
    ("times", "now", "reason"),
    [
        pytest.param({"exp": NOW}, NOW + 29.75, None, id="before the end of the leeway"),
        pytest.param({"exp": NOW}, NOW + 30.0, EXPIRED, id="at the end of the leeway"),
        pytest.param({"exp": NOW + 0.5}, NOW + 30.25, None, id="before the end after a fraction"),
        pytest.param({"exp": NOW + 0.5}, NOW + 30.5, EXPIRED, id="at the end after a fraction"),
        pytest.param({"nbf": NOW + 30.5}, NOW + 0.5, None, id="at the beginning after a fraction"),
        pytest.param({"nbf": NOW + 30.75}, NOW + 0.5, EARLY, id="before the beginning after a fraction"),
    ],
)
@pytest.mark.anyio
async def test_the_leeway_is_thirty_seconds_to_the_fraction(
    times: dict[str, Any], now: float, reason: Reason | None
) -> None:
    verdict = await judge(minted(**times), now=now)

    assert reason == (verdict if isinstance(verdict, Reason) else None)


@pytest.mark.parametrize(
    ("scope", "granted"),
    [
        pytest.param("docs:read", {"docs:read"}, id="one"),
        pytest.param("docs:read docs:write", {"docs:read", "docs:write"}, id="two"),
        pytest.param(None, set[str](), id="none"),
        pytest.param("", set[str](), id="an empty text"),
        pytest.param(" ", set[str](), id="a space"),
        pytest.param(" docs:read  docs:write ", {"docs:read", "docs:write"}, id="spaces more than needed"),
        pytest.param(["docs:read"], set[str](), id="T071 a list"),
        pytest.param(5, set[str](), id="T071 a number"),
        pytest.param({"docs:read": True}, set[str](), id="T071 an object"),
        pytest.param("docs:read\tdocs:write", {"docs:read\tdocs:write"}, id="a tab is part of a name"),
        pytest.param("docs:read\u00a0admin", {"docs:read\u00a0admin"}, id="so is any other white space"),
    ],
)
@pytest.mark.anyio
async def test_scopes_are_what_stands_between_spaces_in_a_text(scope: Any, granted: set[str]) -> None:
    principal = await judge(minted(scope=scope))

    assert isinstance(principal, Principal)
    assert principal.scopes == granted


@pytest.mark.anyio
async def test_of_two_issuers_each_speaks_only_for_itself() -> None:
    theirs = TrustedIssuer("https://b.example", StaticKeys(orjson.dumps({"keys": [ATTACKER.as_dict()]})))
    ours = trusted("ES256")

    assert await judge(attacked(), ours, theirs) == SIGNATURE
    assert await judge(minted(iss="https://b.example"), ours, theirs) == SIGNATURE
    assert isinstance(await judge(minted(), ours, theirs), Principal)


@pytest.mark.anyio
async def test_an_issuer_is_trusted_with_the_algorithms_that_it_was_given_and_no_others() -> None:
    issuer = trusted("ES256", "RS256", profile=TokenProfile(algorithms=frozenset({"RS256"})))

    assert await judge(minted("ES256"), issuer) == ALGORITHM
    assert isinstance(await judge(minted("RS256"), issuer), Principal)


@pytest.mark.anyio
async def test_of_two_issuers_each_writes_its_tokens_in_its_own_way() -> None:
    theirs = trusted("RS256", issuer="https://b.example", profile=TokenProfile(client_id_claim="azp"))
    ours = trusted("ES256")

    assert isinstance(await judge(minted(), ours, theirs), Principal)
    assert isinstance(await judge(minted("RS256", iss="https://b.example", azp="x"), ours, theirs), Principal)
    assert await judge(minted("RS256", iss="https://b.example"), ours, theirs) == CLAIM
    assert await judge(minted("ES256", client_id=None, azp="x"), ours, theirs) == CLAIM


def with_profile(**settings: Any) -> TrustedIssuer:
    return trusted(*TYPICAL, profile=TokenProfile(**settings))


ANY_TYPE = frozenset({"at+jwt", "JWT"})


@pytest.mark.parametrize(
    ("types", "type_", "is_accepted"),
    [
        pytest.param({"JWT"}, "JWT", True, id="JWT by the explicit word"),
        pytest.param({"JWT"}, "jwt", True, id="JWT in lower case"),
        pytest.param({"jwt"}, "JWT", True, id="JWT configured in lower case"),
        pytest.param({"JWT"}, "application/jwt", True, id="JWT with its full media type"),
        pytest.param({"application/at+jwt"}, "at+jwt", True, id="a full media type that is configured"),
        pytest.param({"JWT"}, "at+jwt", False, id="the standard one where another is the word"),
        pytest.param(ANY_TYPE, "at+jwt", True, id="one of two"),
        pytest.param(ANY_TYPE, "JWT", True, id="the other of two"),
        pytest.param(ANY_TYPE, "dpop+jwt", False, id="a proof where JWT is the word"),
        pytest.param(ANY_TYPE, "logout+jwt", False, id="a logout token where JWT is the word"),
        pytest.param(ANY_TYPE, "application/application/jwt", False, id="a media type twice"),
        pytest.param({"at+jwt"}, "JWT", False, id="JWT without the word"),
    ],
)
@pytest.mark.anyio
async def test_the_type_is_one_of_those_that_the_issuer_is_trusted_with(
    types: set[str], type_: str, *, is_accepted: bool
) -> None:
    verdict = await judge(minted(header={"typ": type_}), with_profile(types=frozenset(types)))

    assert verdict == TYPE or (is_accepted and isinstance(verdict, Principal))
    assert (verdict != TYPE) == is_accepted


@pytest.mark.parametrize(
    ("scope_claims", "claims", "granted"),
    [
        pytest.param(("scp",), {"scp": "a b"}, {"a", "b"}, id="a text of two"),
        pytest.param(("scp",), {"scp": " a  b "}, {"a", "b"}, id="a text with spaces more than needed"),
        pytest.param(("scp",), {"scp": ["a", "b"]}, {"a", "b"}, id="a list of two"),
        pytest.param(("scp",), {"scp": ["a b"]}, {"a b"}, id="a list whose entry has a space in its name"),
        pytest.param(("scp",), {"scp": ["a", 7, None, ["b"], {"c": 1}, True]}, {"a"}, id="a mixed list"),
        pytest.param(("scp",), {"scp": []}, set[str](), id="an empty list"),
        pytest.param(("scp",), {"scp": ""}, set[str](), id="an empty text"),
        pytest.param(("scp",), {"scp": {"a": True}}, set[str](), id="an object"),
        pytest.param(("scp",), {"scp": 5}, set[str](), id="a number"),
        pytest.param(("scp",), {"scp": True}, set[str](), id="true"),
        pytest.param(("scp",), {}, set[str](), id="none"),
        pytest.param(("scp",), {"scope": "docs:read"}, set[str](), id="the standard one, which is not named"),
        pytest.param(("scp", "roles"), {"scp": "a", "roles": ["b"]}, {"a", "b"}, id="two claims"),
        pytest.param(("scp", "roles"), {"roles": ["b"]}, {"b"}, id="the second of two claims"),
        pytest.param(("scp", "roles"), {"scp": "a", "roles": ["a"]}, {"a"}, id="the same in two claims"),
        pytest.param(("scope",), {"scope": "a b"}, {"a", "b"}, id="the standard one by name"),
        pytest.param(("scope",), {"scope": ["a", "b"]}, {"a", "b"}, id="the standard one by name as a list"),
        pytest.param(("permissions",), {"permissions": ["a"]}, {"a"}, id="a name of their own"),
        pytest.param(("https://x.example/roles",), {"https://x.example/roles": ["a"]}, {"a"}, id="a URL"),
        pytest.param((), {"scp": "a", "roles": ["b"]}, set[str](), id="claims that nobody named"),
        pytest.param((), {"scope": ["a"]}, set[str](), id="a list where nobody named it"),
    ],
)
@pytest.mark.anyio
async def test_scopes_are_found_in_the_claims_that_were_named(
    scope_claims: tuple[str, ...], claims: dict[str, Any], granted: set[str]
) -> None:
    claims = {"scope": None, **claims}

    principal = await judge(minted(**claims), with_profile(scope_claims=scope_claims))

    assert isinstance(principal, Principal)
    assert principal.scopes == granted


@pytest.mark.parametrize(
    ("settings", "claims", "client_id"),
    [
        pytest.param({"client_id_claim": "azp"}, {"azp": "cli", "client_id": None}, "cli", id="azp"),
        pytest.param({"client_id_claim": "azp"}, {"azp": "cli"}, "cli", id="azp and client_id"),
        pytest.param({"client_id_claim": "appid"}, {"appid": "cli", "client_id": None}, "cli", id="appid"),
        pytest.param({"token_id_claim": "uti"}, {"uti": "1", "jti": None}, "agent", id="uti for jti"),
        pytest.param({"client_id_claim": "azp"}, {"azp": None}, None, id="client_id, where azp is meant"),
        pytest.param({"client_id_claim": "azp"}, {"azp": ""}, None, id="an empty azp"),
        pytest.param({"client_id_claim": "azp"}, {"azp": ["cli"]}, None, id="an azp that is a list"),
        pytest.param({"token_id_claim": "uti"}, {"uti": None}, None, id="jti, where uti is meant"),
        pytest.param({"token_id_claim": "uti"}, {"uti": 1}, None, id="a uti that is a number"),
        pytest.param({"token_id_claim": "uti"}, {"uti": "1", "jti": 5}, None, id="uti and a bad jti"),
    ],
)
@pytest.mark.anyio
async def test_an_issuer_may_call_client_and_token_by_other_names(
    settings: dict[str, Any], claims: dict[str, Any], client_id: str | None
) -> None:
    verdict = await judge(minted(**claims), with_profile(**settings))

    assert client_id == (verdict.client_id if isinstance(verdict, Principal) else None)
    if client_id is None:
        assert verdict == CLAIM


@pytest.mark.parametrize(
    ("max_lifetime", "lifetime", "is_accepted"),
    [
        pytest.param(300.0, 300, True, id="as long as allowed"),
        pytest.param(300.0, 301, False, id="a second longer"),
        pytest.param(300.5, 300.5, True, id="as long as allowed to the fraction"),
        pytest.param(300.5, 300.75, False, id="a fraction longer"),
        pytest.param(2 * MAX_LIFETIME, 2 * MAX_LIFETIME, True, id="longer than by default"),
        pytest.param(300.0, 0, True, id="no time at all, within the leeway"),
        pytest.param(300.0, -10, True, id="less than no time, within the leeway"),
    ],
)
@pytest.mark.anyio
async def test_a_token_lives_no_longer_than_its_issuer_is_trusted_with(
    max_lifetime: float, lifetime: float, *, is_accepted: bool
) -> None:
    verdict = await judge(minted(exp=NOW + lifetime), with_profile(max_lifetime=max_lifetime))

    assert (verdict != TOO_LONG) == is_accepted
    assert isinstance(verdict, Principal) == is_accepted


@pytest.mark.parametrize("name", ["iss", "aud", "sub", "client_id", "exp", "iat", "jti"])
@pytest.mark.parametrize("is_null", [False, True])
def test_no_claim_of_a_jwt_is_taken_for_granted(name: str, *, is_null: bool) -> None:
    rules = TokenRules(issuer=ISSUER, resource=RESOURCE, profile=TokenProfile())
    claims = {each: value for each, value in CLAIMS.items() if each != name}

    with pytest.raises(Fault) as caught:
        rules.check_claims({**claims, name: None} if is_null else claims, NOW)

    assert caught.value.reason == (AUDIENCE if name == "aud" else CLAIM)
    assert isinstance(rules.check_claims(CLAIMS, NOW), Principal)


def told(now: float = NOW, /, profile: TokenProfile | None = None, **claims: Any) -> Principal | Reason:
    """Return whom an opaque token speaks for by what its issuer told, or why for nobody."""
    rules = TokenRules(issuer=ISSUER, resource=RESOURCE, profile=profile or TokenProfile())
    try:
        return rules.check_introspected(orjson.loads(introspected(NOW, **claims)), now)
    except Fault as fault:
        return fault.reason


@pytest.mark.parametrize(
    "claims",
    [
        pytest.param({}, id="what an access token says"),
        pytest.param({"iss": None}, id="not who it is"),
        pytest.param({"iat": None}, id="not since when"),
        pytest.param({"iss": None, "iat": None}, id="neither"),
        pytest.param({"jti": "1", "username": "alice", "nbf": NOW}, id="more than it must"),
        pytest.param({"token_type": "Bearer"}, id="that it is a bearer token"),
        pytest.param({"token_type": "bearer"}, id="so in lower case"),
        pytest.param({"token_type": "DPoP", "cnf": {"jkt": "x"}}, id="that it comes with a proof"),
        pytest.param({"aud": ["https://x.example", RESOURCE]}, id="that it is for us and others"),
        pytest.param({"exp": NOW - 29}, id="that it expired as long ago as the leeway allows"),
        pytest.param({"nbf": NOW + 30, "iat": NOW + 30}, id="that it begins as far ahead as it allows"),
        pytest.param({"iat": NOW, "exp": NOW + DAY}, id="that it lives as long as allowed"),
    ],
)
@pytest.mark.promise("opaque-judged-here")
def test_an_active_token_passes_of_which_its_issuer_says(claims: dict[str, Any]) -> None:
    principal = told(**claims)

    assert isinstance(principal, Principal)
    assert (principal.issuer, principal.subject, principal.client_id) == (ISSUER, "alice", "agent")
    assert principal.scopes == {"docs:read"}
    assert principal.claims == orjson.loads(introspected(NOW, **claims))


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        pytest.param({"iss": "https://evil.example"}, UNKNOWN_ISSUER, id="that it is another's"),
        pytest.param({"iss": ISSUER + "/"}, UNKNOWN_ISSUER, id="so with a slash more"),
        pytest.param({"iss": ""}, UNKNOWN_ISSUER, id="that it is nobody's"),
        pytest.param({"iss": [ISSUER]}, UNKNOWN_ISSUER, id="who it is in a list"),
        pytest.param({"aud": None}, AUDIENCE, id="nothing of whom it is for"),
        pytest.param({"aud": ""}, AUDIENCE, id="that it is for nobody"),
        pytest.param({"aud": []}, AUDIENCE, id="that it is for none of many"),
        pytest.param({"aud": "https://wiki.example.com/mcp"}, AUDIENCE, id="that it is for another server"),
        pytest.param({"aud": RESOURCE + "/"}, AUDIENCE, id="that it is for us with a slash more"),
        pytest.param({"aud": [RESOURCE, 7]}, AUDIENCE, id="that it is for us and a number"),
        pytest.param({"aud": {RESOURCE: 1}}, AUDIENCE, id="whom it is for in an object"),
        pytest.param({"exp": None}, CLAIM, id="nothing of its end"),
        pytest.param({"exp": NOW - 30}, EXPIRED, id="that it expired by the whole leeway"),
        pytest.param({"exp": 0}, EXPIRED, id="that it expired at the epoch"),
        pytest.param({"exp": str(NOW + 300)}, CLAIM, id="its end as a text"),
        pytest.param({"exp": True}, CLAIM, id="its end as true"),
        pytest.param({"exp": LAST_SECOND + 1}, CLAIM, id="an end beyond the year 9999"),
        pytest.param({"exp": -1}, CLAIM, id="an end before the epoch"),
        pytest.param({"iat": NOW + 31}, EARLY, id="that it was made later"),
        pytest.param({"iat": "0"}, CLAIM, id="its beginning as a text"),
        pytest.param({"nbf": NOW + 31}, EARLY, id="that it begins later"),
        pytest.param({"nbf": [NOW]}, CLAIM, id="its beginning in a list"),
        pytest.param({"iat": NOW, "exp": NOW + DAY + 1}, TOO_LONG, id="that it lives too long"),
        pytest.param({"sub": ""}, CLAIM, id="an empty subject"),
        pytest.param({"sub": 7}, CLAIM, id="a subject that is a number"),
        pytest.param({"client_id": None}, CLAIM, id="no client"),
        pytest.param({"client_id": ""}, CLAIM, id="an empty client"),
        pytest.param({"client_id": ["agent"]}, CLAIM, id="a client in a list"),
        pytest.param({"jti": 5}, CLAIM, id="a name of the token that is a number"),
        pytest.param({"token_type": "N_A"}, TYPE, id="that it is of no type"),
        pytest.param({"token_type": "refresh_token"}, TYPE, id="that it is a refresh token"),
        pytest.param({"token_type": "mac"}, TYPE, id="that it is of another type"),
        pytest.param({"token_type": ""}, TYPE, id="an empty type"),
        pytest.param({"token_type": ["Bearer"]}, TYPE, id="its type in a list"),
        pytest.param({"token_type": {"bearer": 1}}, TYPE, id="its type in an object"),
        pytest.param({"token_type": 7}, TYPE, id="a number for its type"),
        pytest.param({"auth_time": "x"}, CLAIM, id="a bad time of login"),
        pytest.param({"amr": "pwd"}, CLAIM, id="a bad way of login"),
    ],
)
@pytest.mark.promise("opaque-judged-here")
def test_an_active_token_is_refused_of_which_its_issuer_says(claims: dict[str, Any], reason: Reason) -> None:
    assert told(**claims) == reason


@pytest.mark.parametrize("name", ["iss", "aud", "sub", "client_id", "exp", "iat", "nbf", "jti", "token_type"])
def test_an_active_token_is_refused_of_which_its_issuer_says_null(name: str) -> None:
    rules = TokenRules(issuer=ISSUER, resource=RESOURCE, profile=TokenProfile())
    claims = {**orjson.loads(introspected(NOW)), name: None}

    with pytest.raises(Fault) as caught:
        rules.check_introspected(claims, NOW)

    assert caught.value.reason in (CLAIM, AUDIENCE, UNKNOWN_ISSUER, TYPE)


def test_a_token_that_only_a_client_asked_for_speaks_for_the_client() -> None:
    principal = told(sub=None)

    assert isinstance(principal, Principal)
    assert (principal.subject, principal.client_id) == ("agent", "agent")


@pytest.mark.parametrize(
    ("now", "reason"),
    [
        pytest.param(NOW + 329.75, None, id="before the end of the leeway"),
        pytest.param(NOW + 330, EXPIRED, id="at the end of the leeway"),
        pytest.param(NOW - 30, None, id="as early as the leeway allows"),
        pytest.param(NOW - 30.25, EARLY, id="earlier"),
    ],
)
def test_what_an_issuer_says_is_judged_by_our_clock(now: float, reason: Reason | None) -> None:
    verdict = told(now)

    assert reason == (verdict if isinstance(verdict, Reason) else None)


def test_what_an_issuer_says_is_read_in_its_own_way() -> None:
    profile = TokenProfile(scope_claims=("scp", "roles"), client_id_claim="azp")

    principal = told(NOW, profile, scp=["a"], roles="b c", azp="cli", client_id=None)

    assert isinstance(principal, Principal)
    assert principal.client_id == "cli"
    assert principal.scopes == {"a", "b", "c"}
    assert told(NOW, profile) == CLAIM


@pytest.mark.anyio
async def test_no_trust_makes_a_shared_secret_a_key() -> None:
    entries = [
        {"kty": "oct", "kid": "o1", "alg": "HS256", "k": "c2VjcmV0"},
        key("ES256").as_dict(private=False),
    ]
    keys = StaticKeys(orjson.dumps({"keys": entries}))

    assert await judge(hmac_signed(b"secret", "o1"), TrustedIssuer(ISSUER, keys)) == ALGORITHM  # T009
    careless = TrustedIssuer(ISSUER, keys, TokenProfile(algorithms=frozenset({"HS256", "none"})))
    assert await judge(hmac_signed(b"secret", "o1"), careless) == UNKNOWN_KEY
    assert await judge(unsigned("none"), careless) == ALGORITHM


@pytest.mark.anyio
async def test_an_issuer_that_publishes_its_private_key_is_still_understood() -> None:
    leaked = StaticKeys(orjson.dumps({"keys": [key("ES256").as_dict(private=True)]}))

    assert isinstance(await judge(minted(), TrustedIssuer(ISSUER, leaked)), Principal)  # T058


@pytest.mark.parametrize(
    "token",
    [
        pytest.param(attacked(jku="https://evil.example/jwks"), id="T011 jku"),
        pytest.param(attacked(x5u="https://evil.example/cert"), id="T012 x5u"),
        pytest.param(minted(iss="https://evil.example"), id="another issuer"),
        pytest.param(minted(header={"typ": "JWT"}), id="another type"),
        pytest.param(unsigned("none"), id="no algorithm"),
    ],
)
@pytest.mark.anyio
async def test_nothing_is_fetched_for_a_token_that_is_refused_without_a_key(token: bytes) -> None:
    endpoint = KeyEndpoint(jwks("ES256"))
    issuer = TrustedIssuer(ISSUER, RemoteKeys("https://login.example.com/jwks", endpoint.fetch))

    assert isinstance(await judge(token, issuer), Reason)
    assert endpoint.asked == []


@pytest.mark.anyio
async def test_a_key_that_was_taken_back_signs_nothing_any_more() -> None:
    endpoint, clock = KeyEndpoint(jwks("ES256", "RS256")), Clock(0)
    keys = RemoteKeys("https://login.example.com/jwks", endpoint.fetch, clock=clock, max_age=600)
    issuer = TrustedIssuer(ISSUER, keys)

    before = await judge(minted(), issuer)
    endpoint.answer = jwks("RS256")
    clock.now = 601

    assert isinstance(before, Principal)
    assert await judge(minted(), issuer) == UNKNOWN_KEY  # T019


ORACLE_KEYS = {name: jwt.PyJWK(key(name).as_dict(private=False)) for name in ("ES256", "RS256", "PS256")}
REQUIRED = ["exp", "iat", "iss", "aud", "sub", "client_id", "jti"]


def oracle_accepts(token: bytes) -> bool:
    """Return whether PyJWT takes the token for genuine, under the same rules."""
    try:
        oracle_key = ORACLE_KEYS[jwt.get_unverified_header(token)["kid"]]
        jwt.decode(
            token,
            oracle_key,
            algorithms=[oracle_key.algorithm_name],
            audience=RESOURCE,
            issuer=ISSUER,
            leeway=30,
            options={"require": REQUIRED},
        )
    except (jwt.PyJWTError, KeyError, TypeError, ValueError):
        return False
    return True


def we_accept(token: bytes, now: float) -> bool:
    """Return whether we do, at ``now``; raises for any exception that is not ours."""
    verifier = TokenVerifier(resource=RESOURCE, issuers=[trusted(*ORACLE_KEYS)], clock=lambda: now)
    try:
        asyncio.run(verifier.verify(token))
    except (Fault, KeysUnavailable):
        return False
    return True


OFFSETS = st.sampled_from([-90000, -3600, -31, -30, -29, -1, 0, 1, 29, 30, 31, 3600, 86400, 90000])
TEXTS = st.text("ES26at+jwthp:/. é\n\0\U0001f511", max_size=12)
ANYTHING: st.SearchStrategy[Any] = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**53), 2**53),
        st.floats(allow_nan=False, allow_infinity=False).filter(lambda number: abs(number) < 2**53),
        TEXTS,
        st.sampled_from([ISSUER, RESOURCE, "ES256", "RS256", "PS256", "HS256", "none", "at+jwt", "JWT"]),
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=2),
    max_leaves=4,
)
CLAIM_NAMES = st.sampled_from(["iss", "aud", "sub", "client_id", "jti", "scope", "amr", "exp", "iat", "nbf"])
HEADER_NAMES = st.sampled_from(["alg", "kid", "typ", "crit", "b64", "jwk", "cty", "zip", "x"])
SPLICES = st.tuples(st.integers(0, 600), st.integers(0, 3), st.binary(max_size=3))


@given(
    algorithm=st.sampled_from(sorted(ORACLE_KEYS)),
    header=st.dictionaries(HEADER_NAMES, ANYTHING, max_size=2),
    claims=st.dictionaries(CLAIM_NAMES, ANYTHING, max_size=2),
    times=st.dictionaries(st.sampled_from(["exp", "iat", "nbf"]), OFFSETS, max_size=2),
    splices=st.lists(SPLICES, max_size=2),
)
@example(algorithm="ES256", header={}, claims={}, times={}, splices=[])
@example(algorithm="RS256", header={"typ": "AT+JWT"}, claims={"aud": [RESOURCE]}, times={}, splices=[])
@example(algorithm="PS256", header={}, claims={}, times={"exp": -29, "nbf": 30, "iat": 30}, splices=[])
@settings(max_examples=300, deadline=None)
def test_no_token_is_accepted_that_another_implementation_refuses(
    algorithm: str,
    header: dict[str, Any],
    claims: dict[str, Any],
    times: dict[str, int],
    splices: list[tuple[int, int, bytes]],
) -> None:
    before = time.time()
    now = int(before)
    moments = {name: now + offset for name, offset in times.items()}
    token = sign(
        orjson.dumps({"alg": algorithm, "kid": algorithm, "typ": "at+jwt", **header}),
        orjson.dumps({**CLAIMS, "iat": now, "exp": now + 300, **claims, **moments}),
        algorithm,
    )
    for position, length, octets in splices:
        token = token[:position] + octets + token[position + length :]

    theirs = oracle_accepts(token)
    ours = we_accept(token, before) and we_accept(token, time.time())

    assert theirs or not ours


@pytest.mark.parametrize("algorithm", sorted(ORACLE_KEYS))
def test_the_other_implementation_accepts_what_we_do(algorithm: str) -> None:
    token = Token(algorithm).mint().encode()

    assert oracle_accepts(token)
    assert we_accept(token, time.time())


@given(
    raw=st.one_of(
        st.binary(max_size=80),
        st.builds(joined, st.binary(max_size=30), st.just(BODY), SPLICES.map(lambda each: each[2])),
    )
)
def test_no_octets_make_the_verifier_raise_anything_but_a_fault(raw: bytes) -> None:
    assert not we_accept(raw, NOW)


PROFILES = st.sampled_from(
    [
        TokenProfile(),
        TokenProfile(scope_claims=("scope", "roles")),
        TokenProfile(client_id_claim="azp", token_id_claim="uti", max_lifetime=60),
        TokenProfile(client_id_claim="aud", token_id_claim="exp", scope_claims=("aud", "exp", "")),
    ]
)
MANY_NAMES = CLAIM_NAMES | st.sampled_from(
    ["active", "azp", "uti", "roles", "groups", "acr", "auth_time", "cnf", "token_type", "typ", "", "now"]
)


@given(profile=PROFILES, claims=st.dictionaries(MANY_NAMES | TEXTS, ANYTHING, max_size=5), data=st.data())
@settings(max_examples=500, deadline=None)
def test_no_claims_make_the_rules_raise_anything_but_a_fault_or_pass_what_is_not_for_us_now(
    profile: TokenProfile, claims: dict[str, Any], data: st.DataObject
) -> None:
    rules = TokenRules(issuer=ISSUER, resource=RESOURCE, profile=profile)
    said: dict[str, Any] = {**CLAIMS, "azp": "agent", "uti": "1", **claims}
    for name in data.draw(st.lists(st.sampled_from(sorted(said)), max_size=2)):
        said.pop(name, None)

    for check in (rules.check_introspected, rules.check_claims):
        try:
            principal = check(said, NOW)
        except Fault:
            continue
        assert RESOURCE in ([said["aud"]] if isinstance(said["aud"], str) else said["aud"])
        assert NOW - 30 < said["exp"] <= LAST_SECOND
        assert said.get("iss", ISSUER) == ISSUER
        assert principal.subject == said.get("sub", principal.client_id)
        assert principal.client_id == said[profile.client_id_claim]
        assert all(isinstance(scope, str) for scope in principal.scopes)
