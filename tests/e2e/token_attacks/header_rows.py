"""Rows about the header of a token and its signature."""

import hashlib
from base64 import urlsafe_b64decode
from collections.abc import Iterable
from functools import partial
from typing import Any

import orjson
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from joserfc import jwe
from joserfc.jwk import OctKey, RSAKey

from tests.e2e.token_attacks.gates import Setting, Stand
from tests.e2e.token_attacks.minting import (
    CLAIMS,
    ISSUER,
    Members,
    base64url,
    content_of,
    hmac_token,
    joined,
    jwk,
    jwk_set,
    private_key,
    respelled,
    segments,
    signature,
    token,
)
from tests.e2e.token_attacks.rows import Attempt, Pairs, bearer, builds, presents
from tunnelgate.verdict import Reason

MALFORMED = Reason.TOKEN_MALFORMED
ALGORITHM = Reason.TOKEN_ALGORITHM_NOT_ALLOWED
SIGNATURE = Reason.TOKEN_SIGNATURE_WRONG
UNKNOWN_KEY = Reason.TOKEN_KEY_UNKNOWN
TYPE = Reason.TOKEN_TYPE_WRONG

_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551  # of P-256
_ED25519_ORDER = 2**252 + 27742317777372353535851937790883648493
_HEADER: Members = {"alg": "ES256", "typ": "at+jwt", "kid": "e1"}
OTHER_ISSUER = "https://other-as.example"
TWO_ISSUERS = Setting("two issuers", more_issuers={OTHER_ISSUER: jwk_set(jwk("e2", kid="e1"), "r2")})


def _public(encoding: serialization.Encoding, form: serialization.PublicFormat) -> bytes:
    return private_key("r1").public_key().public_bytes(encoding, form)


def _pem() -> bytes:
    return _public(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def _der() -> bytes:
    return _public(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def _ssh() -> bytes:
    return _public(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)


def _unsigned(algorithm: str) -> bytes:
    return joined(content_of(orjson.dumps({**_HEADER, "alg": algorithm}), orjson.dumps(CLAIMS)), b"")


@builds("T000")
def assumptions() -> Iterable[Attempt]:
    yield Attempt("the base token", presents(token))
    yield Attempt("as sent before", presents(token))


@builds("T001")
def es256() -> Iterable[Attempt]:
    yield Attempt("by e1", presents(partial(token, key="e1")))


@builds("T002")
def rs256() -> Iterable[Attempt]:
    yield Attempt("by r1", presents(partial(token, key="r1")))


@builds("T101")
def ed25519() -> Iterable[Attempt]:
    yield Attempt("by d1", presents(partial(token, key="d1")))


@builds("T003")
def alg_none() -> Iterable[Attempt]:
    yield Attempt("none", presents(lambda: _unsigned("none")), ALGORITHM)


@builds("T102")
def alg_spelled_otherwise() -> Iterable[Attempt]:
    for name in ("None", "NONE", "nOnE", "none ", "\u014bone", ""):
        reason = MALFORMED if not name else ALGORITHM
        yield Attempt(f"{name!a} unsigned", presents(partial(_unsigned, name)), reason)
    for name in ("es256", "Es256", "ES256 ", " ES256", "ES256\0", "ES-256", "ecdsa-p256", "ED25519", "EdDSA"):
        yield Attempt(f"{name!a} signed", presents(partial(token, {"alg": name})), ALGORITHM)
    others: list[Any] = [None, 256, ["ES256"], {"alg": "ES256"}, True]
    for value in others:
        yield Attempt(f"{value!r}", presents(partial(token, {"alg": value})), MALFORMED)


@builds("T005")
def stripped() -> Iterable[Attempt]:
    head, body, _ = segments()
    yield Attempt("with its dot kept", presents(lambda: joined(head, body, b"")), SIGNATURE)


@builds("T103")
def segments_missing_or_too_many() -> Iterable[Attempt]:
    head, body, seal = segments()
    shapes = {
        "the signature and its dot are gone": joined(head, body),
        "a fourth segment": joined(head, body, seal, b""),
        "a dot in front": joined(b"", head, body, seal),
        "three empty segments": b"..",
        "one dot": b".",
        "no header": joined(b"", body, seal),
        "no claims": joined(head, b"", seal),
        "only a header": head,
        "thousands of dots": b"." * 4000,
    }
    for name, raw in shapes.items():
        yield Attempt(name, presents(partial(bytes, raw)), MALFORMED)


@builds("T006")
def hmac_with_pem() -> Iterable[Attempt]:
    yield Attempt("PEM", presents(lambda: hmac_token(_pem(), "r1")), ALGORITHM)


@builds("T007")
def hmac_with_other_forms() -> Iterable[Attempt]:
    yield Attempt("JWK", presents(lambda: hmac_token(orjson.dumps(jwk("r1")), "r1")), ALGORITHM)
    yield Attempt("DER", presents(lambda: hmac_token(_der(), "r1")), ALGORITHM)
    yield Attempt("SSH", presents(lambda: hmac_token(_ssh(), "r1")), ALGORITHM)
    yield Attempt(
        "PEM without its last newline", presents(lambda: hmac_token(_pem().strip(), "r1")), ALGORITHM
    )


@builds("T010")
def embedded_key() -> Iterable[Attempt]:
    forged = partial(token, {"jwk": jwk("e9")}, signer="e9")
    yield Attempt("under the name of ours", presents(forged), MALFORMED)
    yield Attempt("under its own", presents(partial(token, {"jwk": jwk("e9")}, key="e9")), MALFORMED)


def _points_elsewhere(name: str, stand: Stand) -> Pairs:
    return bearer(token({name: f"{stand.elsewhere_url}/jwks.json"}, signer="e9"))


@builds("T011")
def jku() -> Iterable[Attempt]:
    yield Attempt("a server that counts", partial(_points_elsewhere, "jku"), MALFORMED)


@builds("T012")
def certificates() -> Iterable[Attempt]:
    yield Attempt("x5u", partial(_points_elsewhere, "x5u"), MALFORMED)
    yield Attempt("x5c", presents(partial(token, {"x5c": ["MIIB"]}, signer="e9")), MALFORMED)


def _thumbprints(*names: str) -> Members:
    return dict.fromkeys(names, base64url(hashlib.sha256(b"certificate").digest()).decode())


@builds("T125")
def thumbprints() -> Iterable[Attempt]:
    for names in (["x5t"], ["x5t#S256"], ["x5t", "x5t#S256"]):
        yield Attempt(" and ".join(names), presents(partial(token, _thumbprints(*names))))


@builds("T126")
def thumbprints_for_keys() -> Iterable[Attempt]:
    for name in ("x5t", "x5t#S256"):
        header = _thumbprints(name)
        yield Attempt(f"{name} by another key", presents(partial(token, header, signer="e9")), SIGNATURE)
        unnamed = {"kid": None, **header}
        yield Attempt(f"{name} without kid", presents(partial(token, unnamed)), MALFORMED)


@builds("T013")
def key_id_is_a_path() -> Iterable[Attempt]:
    for name in ("../../../../dev/null", "/dev/null", "file:///dev/null", "e1/../e1"):
        yield Attempt(name, presents(partial(token, {"kid": name})), UNKNOWN_KEY)


@builds("T104")
def key_id_is_nearly_ours() -> Iterable[Attempt]:
    names = (
        "E1",
        "e1 ",
        " e1",
        "e1\0",
        "\uff451",
        "e1\u200b",
        "__proto__",
        "constructor",
        "0",
        "*",
        "' OR ''='",
    )
    for name in names:
        yield Attempt(ascii(name), presents(partial(token, {"kid": name})), UNKNOWN_KEY)


@builds("T015")
def key_id_is_no_name() -> Iterable[Attempt]:
    values: dict[str, Any] = {
        "a number": 1,
        "a list": ["e1"],
        "10 kB": "a" * 10000,
        "an object": {"kid": "e1"},
        "null": b"null",
    }
    for name, value in values.items():
        if value == b"null":
            raw = b'{"alg":"ES256","typ":"at+jwt","kid":null}'
            yield Attempt(name, presents(partial(token, raw)), MALFORMED)
        else:
            yield Attempt(name, presents(partial(token, {"kid": value})), MALFORMED)
    yield Attempt("none at all", presents(partial(token, {"kid": None})), MALFORMED)
    yield Attempt("an empty text", presents(partial(token, {"kid": ""})), MALFORMED)
    yield Attempt("256 characters", presents(partial(token, {"kid": "a" * 256})), UNKNOWN_KEY)
    yield Attempt("257 characters", presents(partial(token, {"kid": "a" * 257})), MALFORMED)


@builds("T020")
def critical_and_unknown() -> Iterable[Attempt]:
    yield Attempt("exp2", presents(partial(token, {"crit": ["exp2"], "exp2": 1})), MALFORMED)


@builds("T021")
def critical_and_wrong() -> Iterable[Attempt]:
    values: list[Any] = [[], "b64", ["nope"], {}, 0, [1], ["alg"]]
    for value in values:
        yield Attempt(f"{value!r}", presents(partial(token, {"crit": value})), MALFORMED)


@builds("T105")
def unencoded_payload() -> Iterable[Attempt]:
    claims = orjson.dumps(CLAIMS)

    def unencoded(*, detached: bool) -> bytes:
        header = base64url(orjson.dumps({**_HEADER, "b64": False, "crit": ["b64"]}))
        signed = base64url(signature("ES256", private_key("e1"), joined(header, claims)))
        return joined(header, b"" if detached else base64url(claims), signed)

    yield Attempt("b64 false and critical", presents(partial(unencoded, detached=False)), MALFORMED)
    yield Attempt(
        "b64 false and the claims elsewhere", presents(partial(unencoded, detached=True)), MALFORMED
    )
    yield Attempt("b64 false and not critical", presents(partial(token, {"b64": False})), MALFORMED)
    yield Attempt("b64 true", presents(partial(token, {"b64": True})), MALFORMED)


@builds("T023")
def type_missing() -> Iterable[Attempt]:
    yield Attempt("none", presents(partial(token, {"typ": None})), MALFORMED)
    values: list[Any] = ["", 7, ["at+jwt"], {}]
    for value in values:
        yield Attempt(f"{value!r}", presents(partial(token, {"typ": value})), MALFORMED)


@builds("T024")
def id_token() -> Iterable[Attempt]:
    yield Attempt("for a client", presents(partial(token, {"typ": "JWT"}, {"aud": "agent"})), TYPE)
    yield Attempt("for us", presents(partial(token, {"typ": "JWT"})), TYPE)


@builds("T025")
def other_types() -> Iterable[Attempt]:
    for name in (
        "logout+jwt",
        "dpop+jwt",
        "oauth-id-jag+jwt",
        "secevent+jwt",
        "token-introspection+jwt",
        "JOSE",
    ):
        yield Attempt(name, presents(partial(token, {"typ": name})), TYPE)


@builds("T106")
def type_is_nearly_ours() -> Iterable[Attempt]:
    names = (
        " at+jwt",
        "at+jwt ",
        "at+jwt;v=1",
        "at jwt",
        "at+jwt\0",
        "at\uff0bjwt",
        "xat+jwt",
        "text/at+jwt",
    )
    for name in (*names, "application/application/at+jwt", "application/", "at+\u212awt"):
        yield Attempt(ascii(name), presents(partial(token, {"typ": name})), TYPE)


@builds("T107")
def type_in_other_words() -> Iterable[Attempt]:
    for name in ("application/at+jwt", "AT+JWT", "Application/At+Jwt"):
        yield Attempt(name, presents(partial(token, {"typ": name})))


@builds("T108")
def type_by_an_explicit_word() -> Iterable[Attempt]:
    setting = Setting("an issuer whose tokens are of type JWT", {"token_types": ["JWT"]})
    yield Attempt("JWT", presents(partial(token, {"typ": "JWT"})), setting=setting)
    yield Attempt("jwt", presents(partial(token, {"typ": "jwt"})), setting=setting)


@builds("T109")
def type_without_the_explicit_word() -> Iterable[Attempt]:
    setting = Setting("an issuer whose tokens are of type JWT", {"token_types": ["JWT"]})
    for name in ("at+jwt", "dpop+jwt", "logout+jwt"):
        yield Attempt(name, presents(partial(token, {"typ": name})), TYPE, setting)
    yield Attempt("none", presents(partial(token, {"typ": None})), MALFORMED, setting)


@builds("T027")
def nested() -> Iterable[Attempt]:
    yield Attempt("announced", presents(lambda: token({"cty": "JWT"}, token())), MALFORMED)
    yield Attempt("not announced", presents(lambda: token(None, token())), MALFORMED)


@builds("T110")
def encrypted() -> Iterable[Attempt]:
    def by_rsa(management: str) -> bytes:
        key = RSAKey.import_key(jwk("r1", use="enc", alg=management))
        header = {"alg": management, "enc": "A256GCM", "kid": "r1", "typ": "at+jwt"}
        registry = jwe.JWERegistry(algorithms=[management, "A256GCM"])
        return jwe.encrypt_compact(header, token(), key, registry=registry).encode()

    def direct() -> bytes:
        header = {"alg": "dir", "enc": "A256GCM", "kid": "r1", "typ": "at+jwt", "zip": "DEF"}
        key = OctKey.import_key(hashlib.sha256(_pem()).digest())
        registry = jwe.JWERegistry(algorithms=["dir", "A256GCM", "DEF"])
        return jwe.encrypt_compact(header, b"{}" + b" " * 100_000, key, registry=registry).encode()

    yield Attempt("to our issuer's key", presents(partial(by_rsa, "RSA-OAEP-256")), MALFORMED)
    yield Attempt("compressed to unfold in memory", presents(direct), MALFORMED)
    yield Attempt(
        "only in its form", presents(lambda: joined(segments()[0], b"", b"AA", b"AA", b"AA")), MALFORMED
    )


@builds("T111")
def costly_algorithms() -> Iterable[Attempt]:
    costly = {"alg": "PBES2-HS256+A128KW", "p2c": 2**31 - 1, "p2s": "AAAA"}
    yield Attempt("PBES2", presents(partial(token, costly)), ALGORITHM)
    for name in ("RSA1_5", "RSA-OAEP", "dir", "HS256", "HS384", "HS512", "RS1", "ES256K"):
        yield Attempt(name, presents(partial(token, {"alg": name})), ALGORITHM)


@builds("T112")
def members_that_nobody_knows() -> Iterable[Attempt]:
    for name in ("nonce", "url", "epk", "enc", "iv", "tag", "p2c", "apu", "iss", "x"):
        yield Attempt(name, presents(partial(token, {name: "x"})))


@builds("T046")
def algorithm_twice() -> Iterable[Attempt]:
    rest = b'"typ":"at+jwt","kid":"e1"}'
    headers = {
        "none, then ES256": b'{"alg":"none","alg":"ES256",' + rest,
        "ES256, then none": b'{"alg":"ES256","alg":"none",' + rest,
        "ES256 twice": b'{"alg":"ES256","alg":"ES256",' + rest,
        "the second one escaped": b'{"alg":"ES256","\\u0061lg":"none",' + rest,
        "another kid": b'{"kid":"r1","alg":"ES256",' + rest,
        "another typ": b'{"typ":"JWT","alg":"ES256",' + rest,
    }
    for name, header in headers.items():
        yield Attempt(name, presents(partial(token, header)), MALFORMED)


@builds("T047")
def header_is_no_object() -> Iterable[Attempt]:
    for raw in (
        b'["alg"]',
        b"null",
        b"7",
        b'"ES256"',
        b"true",
        b"[]",
        b"{",
        b"",
        b"{}{}",
        b"\xff",
        b'{"alg":"ES256",}',
    ):
        yield Attempt(ascii(raw.decode("latin-1")), presents(partial(token, raw)), MALFORMED)


@builds("T048")
def other_encodings() -> Iterable[Attempt]:
    header, claims = orjson.dumps(_HEADER), orjson.dumps(CLAIMS)
    for name in ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8-sig"):
        encoded = claims.decode().encode(name)
        yield Attempt(f"the claims in {name}", presents(partial(token, None, encoded)), MALFORMED)
        encoded = header.decode().encode(name)
        yield Attempt(f"the header in {name}", presents(partial(token, encoded)), MALFORMED)
    latin = claims.replace(b"alice", b"al\xefce")
    yield Attempt("the claims in ISO 8859-1", presents(partial(token, None, latin)), MALFORMED)


@builds("T050")
def loose_base64() -> Iterable[Attempt]:
    head, body, seal = segments()
    shapes = {
        "padding": joined(head, body, seal + b"=="),
        "padding of one": joined(head, body, seal + b"="),
        "padding of the header": joined(head + b"=", body, seal),
        "padding of the claims": joined(head, body + b"==", seal),
        "a plus": joined(head, body, b"+" + seal[1:]),
        "a slash": joined(head, body, b"/" + seal[1:]),
        "a space": joined(head, b" " + body, seal),
        "a space at a dot": head + b" ." + body + b"." + seal,
        "a tab": joined(head, body[:9] + b"\t" + body[9:], seal),
        "a percent sign": joined(b"%65" + head[1:], body, seal),
        "a comma": joined(head, body, seal[:9] + b"," + seal[9:]),
        "a star": joined(head, body, seal[:9] + b"*" + seal[9:]),
    }
    for name, raw in shapes.items():
        yield Attempt(name, presents(partial(bytes, raw)), MALFORMED)
    yield Attempt(
        "a newline",
        presents(lambda: joined(head, body[:9] + b"\r\n " + body[9:], seal)),
        MALFORMED,
        differs="to one parser a header that goes on in the next line is no HTTP",
        refused_by=frozenset({"strict"}),
    )


@builds("T051")
def respelled_base64() -> Iterable[Attempt]:
    head, body, seal = segments()
    loose_head, loose_body, loose_seal = segments(token(orjson.dumps(_HEADER) + b"  "))
    yield Attempt("of the signature", presents(lambda: joined(head, body, respelled(seal))), MALFORMED)
    yield Attempt(
        "of the header", presents(lambda: joined(respelled(loose_head), loose_body, loose_seal)), MALFORMED
    )


@builds("T052")
def der_signature() -> Iterable[Attempt]:
    def in_der() -> bytes:
        head, body, seal = segments()
        raw = urlsafe_b64decode(seal + b"==")
        der = encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
        return joined(head, body, base64url(der))

    yield Attempt("of the same numbers", presents(in_der), SIGNATURE)


def _with_numbers(r: int, s: int) -> bytes:
    head, body, _ = segments()
    return joined(head, body, base64url(r.to_bytes(32, "big") + s.to_bytes(32, "big")))


@builds("T113")
def trivial_signatures() -> Iterable[Attempt]:
    head, body, _ = segments()
    yield Attempt("zero and zero", presents(partial(_with_numbers, 0, 0)), SIGNATURE)
    yield Attempt("one and one", presents(partial(_with_numbers, 1, 1)), SIGNATURE)
    yield Attempt("the order of the curve twice", presents(partial(_with_numbers, _ORDER, _ORDER)), SIGNATURE)
    for length in (0, 1, 63, 65, 128, 256, 768):
        raw = joined(head, body, base64url(b"\0" * length))
        yield Attempt(f"{length} octets of nothing", presents(partial(bytes, raw)), SIGNATURE)
    zeros = partial(_sealed, "r1", b"\0" * 256)
    yield Attempt("RSA with zero", presents(zeros), SIGNATURE)
    yield Attempt("RSA with one", presents(partial(_sealed, "r1", b"\0" * 255 + b"\1")), SIGNATURE)
    yield Attempt("Ed25519 with zero", presents(partial(_sealed, "d1", b"\0" * 64)), SIGNATURE)


def _sealed(key: str, octets: bytes) -> bytes:
    head, body, _ = segments(token(key=key))
    return joined(head, body, base64url(octets))


@builds("T114")
def signatures_written_longer() -> Iterable[Attempt]:
    def changed(key: str, before: bytes, after: bytes) -> bytes:
        head, body, seal = segments(token(key=key))
        return joined(head, body, base64url(before + urlsafe_b64decode(seal + b"==") + after))

    def beyond_the_order() -> bytes:
        head, body, seal = segments(token(key="d1"))
        raw = urlsafe_b64decode(seal + b"==")
        s = int.from_bytes(raw[32:], "little") + _ED25519_ORDER
        return joined(head, body, base64url(raw[:32] + s.to_bytes(32, "little")))

    for key in ("r1", "e1", "d1"):
        yield Attempt(f"{key} with a zero in front", presents(partial(changed, key, b"\0", b"")), SIGNATURE)
        yield Attempt(f"{key} with a zero behind", presents(partial(changed, key, b"", b"\0")), SIGNATURE)
    yield Attempt("Ed25519 beyond the order", presents(beyond_the_order), SIGNATURE)


@builds("T115")
def other_half_of_a_signature() -> Iterable[Attempt]:
    def negated() -> bytes:
        head, body, seal = segments()
        raw = urlsafe_b64decode(seal + b"==")
        s = _ORDER - int.from_bytes(raw[32:], "big")
        return joined(head, body, base64url(raw[:32] + s.to_bytes(32, "big")))

    yield Attempt("n minus s", presents(negated))


@builds("T116")
def parts_of_two_tokens() -> Iterable[Attempt]:
    def mixed(*which: int) -> bytes:
        good, other = segments(), segments(token({"typ": "AT+JWT"}, {"sub": "root"}))
        return joined(*((good, other)[each][at] for at, each in enumerate(which)))

    yield Attempt("the claims of another", presents(partial(mixed, 0, 1, 0)), SIGNATURE)
    yield Attempt("the header of another", presents(partial(mixed, 1, 0, 0)), SIGNATURE)
    yield Attempt("the signature of another", presents(partial(mixed, 0, 0, 1)), SIGNATURE)


@builds("T117")
def keys_of_another_kind() -> Iterable[Attempt]:
    yield Attempt("ES256 with the RSA key", presents(partial(token, {"kid": "r1"})), ALGORITHM)
    yield Attempt("RS256 with the P-256 key", presents(partial(token, {"kid": "e1"}, key="r1")), ALGORITHM)
    yield Attempt("Ed25519 with the P-256 key", presents(partial(token, {"kid": "e1"}, key="d1")), ALGORITHM)
    yield Attempt("ES256 with the Ed25519 key", presents(partial(token, {"kid": "d1"})), ALGORITHM)
    yield Attempt("another P-256 key", presents(partial(token, signer="e9")), SIGNATURE)


@builds("T118")
def narrowed_algorithms() -> Iterable[Attempt]:
    setting = Setting("an issuer that signs with RS256 alone", {"algorithms": ["RS256"]})
    yield Attempt("ES256", presents(token), ALGORITHM, setting)
    yield Attempt("Ed25519", presents(partial(token, key="d1")), ALGORITHM, setting)
    yield Attempt(
        "RS256", presents(partial(token, key="r1")), None, setting, differs="it is the one that is allowed"
    )


@builds("T119")
def two_issuers_with_the_same_key_id() -> Iterable[Attempt]:
    theirs = {"iss": OTHER_ISSUER}
    yield Attempt("A by the key of B", presents(partial(token, signer="e2")), SIGNATURE, TWO_ISSUERS)
    yield Attempt("B by the key of A", presents(partial(token, None, theirs)), SIGNATURE, TWO_ISSUERS)


@builds("T120")
def two_issuers_with_their_own_keys() -> Iterable[Attempt]:
    yield Attempt("A", presents(token), setting=TWO_ISSUERS)
    yield Attempt(
        "B", presents(partial(token, None, {"iss": OTHER_ISSUER}, signer="e2")), setting=TWO_ISSUERS
    )


@builds("T121")
def key_of_another_issuer() -> Iterable[Attempt]:
    theirs = {"iss": OTHER_ISSUER}
    yield Attempt("A with the kid of B", presents(partial(token, key="r2")), UNKNOWN_KEY, TWO_ISSUERS)
    yield Attempt(
        "B with the kid of A", presents(partial(token, None, theirs, key="d1")), UNKNOWN_KEY, TWO_ISSUERS
    )


@builds("T122")
def issuer_of_another_route() -> Iterable[Attempt]:
    setting = Setting(
        "two issuers of which the route takes one",
        more_issuers=TWO_ISSUERS.more_issuers,
        route={"issuers": [ISSUER]},
    )
    forged = partial(token, None, {"iss": OTHER_ISSUER}, signer="e2")
    yield Attempt("B", presents(forged), Reason.TOKEN_ISSUER_UNKNOWN, setting)


@builds("T123")
def longest_token() -> Iterable[Attempt]:
    yield Attempt("as long as may be", presents(lambda: _sized(8192)))


def _sized(size: int) -> bytes:
    """Return a good token of so many octets."""
    for header in (orjson.dumps(_HEADER), orjson.dumps(_HEADER) + b" "):  # not every length is one of Base64
        empty = len(token(header, {"x": ""}))
        for fill in range((size - empty) * 3 // 4 - 2, (size - empty) * 3 // 4 + 3):
            raw = token(header, {"x": "a" * fill})
            if len(raw) == size:
                return raw
    raise ValueError(f"no token has {size} octets")


@builds("T124")
def too_long_tokens() -> Iterable[Attempt]:
    yield Attempt("one octet longer", presents(lambda: b"a" * 8193), MALFORMED)
    yield Attempt("a good one that is longer", presents(lambda: token(None, {"x": "a" * 7000})), MALFORMED)
    yield Attempt("12 kB", presents(lambda: b"a" * 12_000), MALFORMED)
