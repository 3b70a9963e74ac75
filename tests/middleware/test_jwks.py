import hashlib
import logging
import math
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from joserfc.errors import JoseError

from tests.support.tokens import ISSUER, RESOURCE, base64url, key, sign
from tunnelgate import StaticKeys, TokenProfile, TrustedIssuer
from tunnelgate.jwks import (
    ALGORITHMS,
    DEFAULT_ALGORITHMS,
    SignatureRegistry,
    has_private_part,
    read_keys,
    read_public_key,
)
from tunnelgate.verifier import TokenVerifier

CRITICAL = logging.CRITICAL
WARNING = logging.WARNING
RSA = {"RS256", "PS256", "RS384", "PS384", "RS512", "PS512"}
ED25519 = {"Ed25519", "EdDSA"}


def public(algorithm: str = "ES256", **members: Any) -> dict[str, Any]:
    """Return a public JWK; a member that is ``None`` is left out."""
    jwk = {**key(algorithm).as_dict(private=False), **members}
    return {name: value for name, value in jwk.items() if value is not None}


def document(*entries: Any) -> bytes:
    return orjson.dumps({"keys": list(entries)})


def rsa(bits: int, exponent: int = 65537, **members: Any) -> dict[str, Any]:
    """Return an RSA JWK whose modulus has exactly so many bits."""
    return {"kty": "RSA", "kid": "r", "n": number((1 << (bits - 1)) + 1), "e": number(exponent), **members}


def number(value: int) -> str:
    return text_of(value.to_bytes((value.bit_length() + 7) // 8, "big"))


def text_of(octets: bytes) -> str:
    return urlsafe_b64encode(octets).rstrip(b"=").decode()


def octets_of(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


def test_what_is_accepted_by_default_is_what_the_documentation_says() -> None:
    assert {"ES256", "Ed25519", "PS256", "RS256"} == DEFAULT_ALGORITHMS
    assert RSA | ED25519 | {"ES256", "ES384", "ES512"} == ALGORITHMS


@pytest.mark.parametrize(
    ("raw", "sentence"),
    [
        pytest.param(b"<html>", "is not a JWK set: .* at character 0", id="a page"),
        pytest.param(b"", "is not a JWK set", id="nothing"),
        pytest.param(b'{"keys":["\xff"]}', "is not a JWK set: not UTF-8", id="not UTF-8"),
        pytest.param(b'{"keys":[],"keys":[]}', "is not a JWK set: a member twice", id="a member twice"),
        pytest.param(b'{"keys":' + b"[" * 100, "is not a JWK set: nested deeper", id="nested without end"),
        pytest.param(b"[]", 'has no list "keys"', id="a list"),
        pytest.param(b"{}", 'has no list "keys"', id="no keys"),
        pytest.param(b'{"keys":{}}', 'has no list "keys"', id="keys that are no list"),
        pytest.param(b'{"keys":null}', 'has no list "keys"', id="keys that are null"),
        pytest.param(b'{"keys":[]}', "has no key that tokens may be signed with", id="an empty list"),
        pytest.param(
            document(public(kid=None)), "has no key that tokens may be signed with", id="no usable key"
        ),
        pytest.param(
            document(public("ES256", kid="1"), public("RS256", kid="1")),
            "has two keys with the kid '1'",
            id="two keys with one kid",
        ),
    ],
)
def test_a_document_that_is_no_set_of_usable_keys_is_refused_with_a_sentence(
    raw: bytes, sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        read_keys(raw)


P256, ED = public("ES256", alg=None), public("Ed25519", alg=None)
X, Y = octets_of(P256["x"]), octets_of(P256["y"])
MODULUS = public("RS256")["n"]
UNREADABLE = r"^cannot be read: \S"


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        pytest.param("ES256", "it is not an object", id="a text"),
        pytest.param([], "it is not an object", id="a list"),
        pytest.param(public("RS256", kid=None), "it has no kid", id="no kid"),
        pytest.param(public("RS256", kid=""), "it has no kid", id="an empty kid"),
        pytest.param(public("RS256", kid=7), "it has no kid", id="a kid that is a number"),
        pytest.param(public("RS256", kid=["k"]), "it has no kid", id="a kid that is a list"),
        pytest.param(public("RS256", use="enc"), "is not for signatures alone", id="a key for encryption"),
        pytest.param({**P256, "use": None}, "is not for signatures alone", id="use null"),
        pytest.param(public("RS256", use=["sig"]), "is not for signatures alone", id="use that is a list"),
        pytest.param(public("RS256", use=None, key_ops=["sign"]), "not for signatures", id="key_ops sign"),
        pytest.param(
            public("RS256", key_ops=["verify", "encrypt"]), "not for signatures alone", id="key_ops with more"
        ),
        pytest.param(public("RS256", key_ops="verify"), "not for signatures alone", id="key_ops as a text"),
        pytest.param({**P256, "key_ops": None}, "not for signatures alone", id="key_ops null"),
        pytest.param(rsa(1024), "'r' is a weak RSA key", id="T056 1024 bits"),
    ],
)
def test_an_entry_that_is_not_good_enough_is_left_out_and_the_others_are_used(
    entry: Any, sentence: str, caplog: pytest.LogCaptureFixture
) -> None:
    keys = read_keys(document(entry, public("ES256", kid="good")))

    assert list(keys) == ["good"]
    assert [record.levelno for record in caplog.records] == [WARNING]
    assert caplog.records[0].getMessage().startswith("a key of the JWK set is not used: ")
    assert re.search(sentence, caplog.records[0].getMessage())


@pytest.mark.parametrize(
    ("members", "sentence"),
    [
        pytest.param({}, "is of kind None", id="nothing"),
        pytest.param({"kty": "oct", "k": "c2VjcmV0", "alg": "HS256"}, "is of kind 'oct'", id="T009 oct"),
        pytest.param({**P256, "kty": ["EC"]}, r"is of kind \['EC'\]", id="a kty that is a list"),
        pytest.param({**P256, "kty": {"EC": 1}}, "is of kind", id="a kty that is an object"),
        pytest.param({**P256, "kty": None}, "is of kind None", id="a kty that is null"),
        pytest.param(public("RS256", kty="rsa"), "is of kind 'rsa'", id="a kty in lower case"),
        pytest.param({**P256, "kty": "RSA"}, "lacks 'n'", id="a point that says it is RSA"),
        pytest.param(public("RS256", kty="EC", crv=None), "is of kind 'EC'", id="no curve"),
        pytest.param({**P256, "crv": ["P-256"]}, "is of kind 'EC'", id="a curve that is a list"),
        pytest.param({**P256, "crv": True}, "is of kind 'EC'", id="a curve that is true"),
        pytest.param({**P256, "crv": "secp256k1"}, "is of kind 'EC'", id="the curve of coins"),
        pytest.param({**P256, "crv": "p-256"}, "is of kind 'EC'", id="a curve in lower case"),
        pytest.param({**ED, "crv": "P-256"}, "is of kind 'OKP'", id="OKP with a curve of EC"),
        pytest.param({**P256, "crv": "Ed25519"}, "is of kind 'EC'", id="EC with a curve of OKP"),
        pytest.param({**ED, "crv": "X25519"}, "is of kind 'OKP'", id="a key for agreement"),
        pytest.param({**ED, "crv": "Ed448"}, "is of kind 'OKP'", id="Ed448"),
        pytest.param(public("RS256", alg="HS256"), "for the algorithm 'HS256'", id="a symmetric algorithm"),
        pytest.param(public("RS256", alg="none"), "for the algorithm 'none'", id="no algorithm"),
        pytest.param(public("RS256", alg="RSA-OAEP"), "for the algorithm", id="an algorithm to encrypt"),
        pytest.param(public("RS256", alg=7), "for the algorithm 7", id="an algorithm that is a number"),
        pytest.param({**P256, "alg": None}, "for the algorithm None", id="an algorithm that is null"),
        pytest.param({**P256, "alg": ["ES256"]}, r"for the algorithm \['ES256'\]", id="a list of algorithms"),
        pytest.param({**P256, "alg": {"ES256": 1}}, "for the algorithm", id="an object of algorithms"),
        pytest.param(public("RS256", alg="ES256"), "for the algorithm 'ES256'", id="one of another kind"),
        pytest.param({**P256, "alg": "ES384"}, "for the algorithm 'ES384'", id="one of another curve"),
        pytest.param(rsa(1024), "is a weak RSA key", id="T056 1024 bits"),
        pytest.param(rsa(2047), "is a weak RSA key", id="one bit too few"),
        pytest.param(rsa(2048, 65535), "is a weak RSA key", id="a small exponent"),
        pytest.param(rsa(2048, 1), "is a weak RSA key", id="T056 exponent 1"),
        pytest.param(rsa(2048, 65538), f"{UNREADABLE}.*odd", id="an even exponent"),
        pytest.param(rsa(8193), "so large", id="one bit too many"),
        pytest.param(rsa(1_000_000), "so large", id="a million bits"),
        pytest.param(rsa(2048, 2**32), "so large", id="an exponent one too large"),
        pytest.param(rsa(2048, 2**100_000 + 1), "so large", id="an exponent of 100000 bits"),
        pytest.param(rsa(2048, 0), "is a weak RSA key", id="exponent 0"),
        pytest.param(public("RS256", n=None), "lacks 'n', which is required", id="no modulus"),
        pytest.param(public("RS256", e=None), "lacks 'e', which is required", id="no exponent"),
        pytest.param(public("RS256", n=5), "'n' that is no text", id="a modulus that is a number"),
        pytest.param(public("RS256", n=[MODULUS]), "'n' that is no text", id="a modulus that is a list"),
        pytest.param(public("RS256", e=65537), "'e' that is no text", id="an exponent that is a number"),
        pytest.param(public("RS256", e=True), "'e' that is no text", id="an exponent that is true"),
        pytest.param(public("RS256", n=""), "is a weak RSA key", id="an empty modulus"),
        pytest.param(public("RS256", n="*é"), UNREADABLE, id="a modulus beyond ASCII"),
        pytest.param(public("RS256", n=MODULUS + "=="), UNREADABLE, id="a modulus with padding"),
        pytest.param(public("RS256", n=MODULUS + "\n"), UNREADABLE, id="a modulus with a line end"),
        pytest.param(public("RS256", n="*" + MODULUS), UNREADABLE, id="a modulus with an asterisk"),
        pytest.param(
            public("RS256", n=MODULUS[:8] + "==" + MODULUS[8:]), UNREADABLE, id="padding in the middle"
        ),
        pytest.param(public("RS256", n="-_+/" + MODULUS), UNREADABLE, id="a modulus in both alphabets"),
        pytest.param(public("RS256", n=MODULUS[:-1]), UNREADABLE, id="a modulus of part of an octet"),
        pytest.param(public("RS256", e="AQAB\udc80"), UNREADABLE, id="half a character"),
        pytest.param(public("ES256", y=None), "'y' is required", id="half a point"),
        pytest.param(public("ES256", x=None), "'x' is required", id="the other half of a point"),
        pytest.param({**P256, "x": 5}, "'x' must be a str", id="a coordinate that is a number"),
        pytest.param({**P256, "y": [P256["y"]]}, "'y' must be a str", id="a coordinate that is a list"),
        pytest.param(
            {**P256, "x": "AA", "y": "AA"}, f"{UNREADABLE}.*not on the curve", id="the point at zero"
        ),
        pytest.param(
            {**P256, "x": P256["y"]}, f"{UNREADABLE}.*not on the curve", id="a point beside the curve"
        ),
        pytest.param(
            {**P256, "crv": "P-384"}, f"{UNREADABLE}.*not on the curve", id="a point of another curve"
        ),
        pytest.param(
            {**P256, "x": text_of(b"\1" + X)}, f"{UNREADABLE}.*not on the curve", id="x longer than the curve"
        ),
        pytest.param(
            {**P256, "y": text_of(Y[:-1])}, f"{UNREADABLE}.*not on the curve", id="y shorter than the curve"
        ),
        pytest.param(
            {**P256, "x": text_of(b"\xff" * 32)}, f"{UNREADABLE}.*not on the curve", id="x beyond the field"
        ),
        pytest.param({**P256, "x": ""}, UNREADABLE, id="an empty coordinate"),
        pytest.param({**P256, "x": "é"}, UNREADABLE, id="a coordinate beyond ASCII"),
        pytest.param({**P256, "x": "\udc80"}, UNREADABLE, id="a coordinate of half a character"),
        pytest.param({**P256, "x": "A"}, UNREADABLE, id="a coordinate of part of an octet"),
        pytest.param({**P256, "x": P256["x"] + "="}, UNREADABLE, id="a coordinate with padding"),
        pytest.param({**P256, "x": " " + P256["x"]}, UNREADABLE, id="a coordinate with a space"),
        pytest.param({**ED, "x": "AA"}, f"{UNREADABLE}.*32 bytes", id="a point that is too short"),
        pytest.param(
            {**ED, "x": text_of(b"\1" * 33)}, f"{UNREADABLE}.*32 bytes", id="a point that is too long"
        ),
        pytest.param({**ED, "x": ""}, f"{UNREADABLE}.*32 bytes", id="an empty point"),
        pytest.param({**ED, "x": None}, "'x' must be a str", id="a point that is null"),
        pytest.param({"kty": "OKP", "crv": "Ed25519"}, "'x' is required", id="no point"),
    ],
)
def test_a_key_that_nothing_may_be_verified_with_is_refused_with_a_sentence(
    members: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        read_public_key(members)


@pytest.mark.parametrize(
    ("entry", "algorithms"),
    [
        pytest.param(public("RS256"), {"RS256"}, id="RSA for RS256"),
        pytest.param(public("PS256"), {"PS256"}, id="RSA for PS256"),
        pytest.param(public("RS256", alg="RS512"), {"RS512"}, id="RSA for a longer hash"),
        pytest.param(public("RS256", alg=None), RSA, id="RSA for whatever RSA can do"),
        pytest.param(public("ES256", alg=None), {"ES256"}, id="P-256"),
        pytest.param(public("ES384", alg=None), {"ES384"}, id="P-384"),
        pytest.param(public("ES512", alg=None), {"ES512"}, id="P-521"),
        pytest.param(public("Ed25519", alg=None), ED25519, id="Ed25519 under both names"),
        pytest.param(public("Ed25519", alg="EdDSA"), {"EdDSA"}, id="Ed25519 under its old name"),
        pytest.param(public("ES256", use=None), {"ES256"}, id="no use"),
        pytest.param(public("ES256", key_ops=["verify"]), {"ES256"}, id="key_ops verify"),
        pytest.param(public("ES256", x5t="abc", issuer="x"), {"ES256"}, id="members that nobody reads"),
        pytest.param(public("ES256", n=[7], e={}), {"ES256"}, id="members of another kind"),
        pytest.param(public("RS256", crv=["P-256"], x=7), {"RS256"}, id="RSA with members of a curve"),
        pytest.param(rsa(2048), RSA, id="the smallest modulus and exponent"),
        pytest.param(rsa(8192, 2**32 - 1), RSA, id="the largest modulus and exponent"),
        pytest.param(public("RS256", kid="\U0001f511"), {"RS256"}, id="a kid in Unicode"),
    ],
)
def test_a_good_key_is_bound_to_the_algorithms_of_its_kind(
    entry: dict[str, Any], algorithms: set[str], caplog: pytest.LogCaptureFixture
) -> None:
    keys = read_keys(document(entry))

    assert {entry["kid"]: algorithms} == {name: found.algorithms for name, found in keys.items()}
    assert algorithms <= ALGORITHMS
    assert caplog.records == []


def test_a_key_that_is_not_used_takes_its_kid_from_no_other(caplog: pytest.LogCaptureFixture) -> None:
    keys = read_keys(document(public("RS256", kid="1", use="enc"), public("ES256", kid="1")))

    assert {name: set(found.algorithms) for name, found in keys.items()} == {"1": {"ES256"}}
    assert len(caplog.records) == 1


def test_of_a_published_private_key_the_public_part_is_used_and_the_leak_is_reported(
    caplog: pytest.LogCaptureFixture,
) -> None:
    leaked = key("ES256").as_dict(private=True)

    keys = read_keys(document(leaked))

    assert "d" in leaked
    assert not keys["ES256"].key.is_private
    assert "d" not in keys["ES256"].key.as_dict()
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (CRITICAL, "the JWK set publishes the private part of the key 'ES256'")
    ]


@pytest.mark.parametrize("name", ["d", "p", "q", "dp", "dq", "qi", "oth", "k"])
@pytest.mark.parametrize("value", [pytest.param("AQ", id="a value"), pytest.param(None, id="null")])
def test_each_private_member_makes_a_key_one_that_only_its_owner_should_have(
    name: str, value: str | None
) -> None:
    assert has_private_part({**P256, name: value})
    assert not has_private_part(P256)
    assert not has_private_part(public("RS256"))


# Mersenne primes: a modulus of exactly the largest size, without the minute that making a key takes.
EXPONENTS = (4423, 3217, 521, 31)
LARGEST = math.prod(2**each - 1 for each in EXPONENTS)
SHA256_DIGEST_INFO = bytes.fromhex("3031300d060960864801650304020105000420")


def signed_by_the_largest_key(header: bytes, claims: bytes) -> bytes:
    """Return a token with an RS256 signature by the key whose modulus is ``LARGEST``."""
    content = b".".join((base64url(header), base64url(claims)))
    digest = SHA256_DIGEST_INFO + hashlib.sha256(content).digest()
    padded = b"\0\1".ljust(1024 - len(digest) - 1, b"\xff") + b"\0" + digest
    private = pow(65537, -1, math.lcm(*(2**each - 2 for each in EXPONENTS)))
    signature = pow(int.from_bytes(padded, "big"), private, LARGEST)
    return content + b"." + base64url(signature.to_bytes(1024, "big"))


NOW = 1_800_000_000
CLAIMS = orjson.dumps(
    {
        "iss": ISSUER,
        "aud": RESOURCE,
        "sub": "alice",
        "client_id": "agent",
        "iat": NOW,
        "exp": NOW + 300,
        "jti": "1",
    }
)


async def subject_of(token: bytes, entry: dict[str, Any], algorithm: str) -> str:
    """Return whom a token speaks for where its issuer has this one key and this one algorithm."""
    profile = TokenProfile(algorithms=frozenset({algorithm}))
    issuer = TrustedIssuer(ISSUER, StaticKeys(document(entry)), profile)
    verifier = TokenVerifier(resource=RESOURCE, issuers=[issuer], clock=lambda: NOW)
    return (await verifier.verify(token)).subject


def header_of(algorithm: str, key_id: str) -> bytes:
    return orjson.dumps({"alg": algorithm, "kid": key_id, "typ": "at+jwt"})


@pytest.mark.anyio
async def test_a_token_by_the_largest_key_that_is_read_is_verified() -> None:
    jwk = {"kty": "RSA", "kid": "r", "n": number(LARGEST), "e": number(65537)}
    token = signed_by_the_largest_key(header_of("RS256", "r"), CLAIMS)

    assert LARGEST.bit_length() == 8192
    assert await subject_of(token, jwk, "RS256") == "alice"


@pytest.mark.parametrize("algorithm", sorted(ALGORITHMS))
@pytest.mark.anyio
async def test_a_token_of_each_supported_algorithm_passes_where_its_issuer_is_trusted_with_it(
    algorithm: str,
) -> None:
    token = sign(header_of(algorithm, algorithm), CLAIMS, algorithm)

    assert await subject_of(token, public(algorithm), algorithm) == "alice"


@pytest.mark.parametrize(
    "members",
    [
        pytest.param({"x": 1}, id="a number"),
        pytest.param({"nonce": "n", "url": "https://x", "x5t": "YQ", "x5t#S256": "YQ"}, id="texts"),
        pytest.param({"x": None, "y": [1, {"z": 2}], "": True}, id="anything"),
    ],
)
@pytest.mark.anyio
async def test_members_of_a_header_that_nobody_knows_are_ignored(members: dict[str, Any]) -> None:
    header = orjson.dumps({**orjson.loads(header_of("ES256", "ES256")), **members})

    assert await subject_of(sign(header, CLAIMS, "ES256"), public("ES256"), "ES256") == "alice"


MOST_SHOWN = 500  # characters of one line


@pytest.mark.parametrize(
    "entry",
    [
        pytest.param({**P256, "crv": "X\n2026-11-22 forged"}, id="a curve of two lines"),
        pytest.param({**P256, "kty": "X\r\nforged"}, id="a kind of two lines"),
        pytest.param({**P256, "alg": "X\nforged"}, id="an algorithm of two lines"),
        pytest.param({**P256, "kid": "X\nforged", "use": "enc"}, id="a kid of two lines"),
        pytest.param({**P256, "crv": "\x1b[2J\u202e"}, id="a curve that moves the cursor"),
        pytest.param({**P256, "crv": "X" * 100_000}, id="a curve without end"),
        pytest.param({**P256, "kty": ["X"] * 100_000}, id="a kind without end"),
        pytest.param({**P256, "alg": "X" * 100_000}, id="an algorithm without end"),
        pytest.param({**P256, "kid": "X" * 100_000, "use": "enc"}, id="a kid without end"),
        pytest.param({**P256, "kid": "X" * 100_000, "d": "AQ"}, id="a leaked key with a kid without end"),
    ],
)
@pytest.mark.promise("bounded")
def test_what_is_logged_about_a_key_is_one_short_line_whatever_stands_in_it(
    entry: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    read_keys(document(public("ES256", kid="good"), entry))

    (line,) = [record.getMessage() for record in caplog.records]
    assert line.isprintable()
    assert len(line) <= MOST_SHOWN


MAX_KEYS = 256


@pytest.mark.promise("bounded")
def test_as_many_keys_as_allowed_are_read_and_of_one_more_none() -> None:
    entries = [public("ES256", kid=str(each)) for each in range(MAX_KEYS + 1)]

    assert len(read_keys(document(*entries[:-1]))) == MAX_KEYS
    with pytest.raises(ValueError, match=f"^has more than {MAX_KEYS} keys$"):
        read_keys(document(*entries))


@pytest.mark.promise("bounded")
def test_a_set_without_end_does_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    entries: list[Any] = [{}] * 50_000

    with pytest.raises(ValueError, match=r"^has more than"):
        read_keys(document(*entries))

    assert caplog.records == []


@pytest.mark.parametrize(
    ("listed", "name"),
    [
        pytest.param(["ES256"], "RS256", id="another"),
        pytest.param(["ES256"], "none", id="none at all"),
        pytest.param(["ES256"], "HS256", id="a symmetric one"),
        pytest.param(["ES256"], "es256", id="another case"),
        pytest.param(["ES256", "RS256"], "ES256, RS256", id="two in one"),
        pytest.param([], "ES256", id="a good one where none is listed"),
    ],
)
def test_an_algorithm_that_is_not_listed_does_not_exist(listed: list[str], name: str) -> None:
    with pytest.raises(JoseError, match="is not allowed"):
        SignatureRegistry(listed, 8192).get_alg(name)


@pytest.mark.parametrize("name", sorted(ALGORITHMS))
def test_an_algorithm_that_is_listed_exists_under_that_name(name: str) -> None:
    assert SignatureRegistry([name], 8192).get_alg(name).name == name


@given(raw=st.binary(max_size=200))
def test_no_octets_make_the_reader_raise_anything_but_a_value_error(raw: bytes) -> None:
    with pytest.raises(ValueError, match=r"^(is|has) "):
        read_keys(raw)


TEXTS = st.text("AQab09-_=+/ *\n\0é\U0001f511", max_size=50)
NUMBERS = st.one_of(
    st.integers(0, 2**64),
    st.integers(0, 2**20).map(lambda bits: 2 ** (bits % 9000) + 1),
    st.sampled_from([2**521 - 1, 2**256 - 1, 2**255 - 19, 2**2047 + 1, 2**8192, 2**100_000]),
).map(number)
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-10, 2**53 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    TEXTS,
    NUMBERS,
    st.binary(min_size=30, max_size=70).map(text_of),
    st.lists(TEXTS, max_size=2),
    st.dictionaries(TEXTS, TEXTS, max_size=2),
    st.sampled_from(["RSA", "EC", "OKP", "oct", "P-256", "P-384", "P-521", "Ed25519", "Ed448", "X25519"]),
    st.sampled_from([*sorted(ALGORITHMS), "HS256", "none", "AQAB", "Aw", "A" * 43, "_" * 43, "sig", "enc"]),
)
MEMBERS = ("kty", "kid", "crv", "x", "y", "n", "e", "d", "p", "k", "alg", "use", "key_ops", "x5c")
BASES = ("RS256", "PS256", "ES256", "ES384", "ES512", "Ed25519")


@given(base=st.sampled_from(BASES), changes=st.dictionaries(st.sampled_from(MEMBERS), VALUES, max_size=4))
@settings(max_examples=300, deadline=None)
def test_no_lying_key_makes_the_reader_raise_or_become_more_than_it_is(
    base: str, changes: dict[str, Any]
) -> None:
    good = public("ES256", kid="good")
    if changes.get("kid") == "good":
        del changes["kid"]

    keys = read_keys(document(good, {**public(base), **changes}))

    assert "good" in keys
    for found in keys.values():
        assert found.algorithms <= ALGORITHMS
        assert found.key.key_type in {"RSA", "EC", "OKP"}
        assert not found.key.is_private


@given(
    base=st.sampled_from(BASES),
    changes=st.dictionaries(st.sampled_from(MEMBERS) | TEXTS, VALUES, max_size=4),
    removed=st.lists(st.sampled_from(MEMBERS), max_size=2),
)
@example(base="ES256", changes={"x": text_of(b"\xff" * 190_000)}, removed=[])
@example(base="RS256", changes={"n": text_of(b"\xff" * 190_000)}, removed=[])
@example(base="RS256", changes={"e": "\udc80"}, removed=[])
@settings(max_examples=500, deadline=None)
def test_no_members_make_a_key_raise_anything_but_a_value_error(
    base: str, changes: dict[str, Any], removed: list[str]
) -> None:
    members = {name: value for name, value in {**public(base), **changes}.items() if name not in removed}

    try:
        found = read_public_key(members)
    except ValueError:
        return

    assert found.algorithms
    assert not found.key.is_private
    if "alg" in members:
        assert found.algorithms == {members["alg"]}
