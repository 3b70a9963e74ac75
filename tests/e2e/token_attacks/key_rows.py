"""Rows about the keys that an issuer publishes, and about what it says of itself."""

import hashlib
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

import orjson
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key

from tests.e2e.token_attacks.gates import SITE, Setting, Stand, issuer_with_keys
from tests.e2e.token_attacks.minting import (
    CLAIMS,
    base64url,
    content_of,
    hmac_token,
    joined,
    jwk,
    jwk_set,
    private_jwk,
    signature,
    token,
)
from tests.e2e.token_attacks.rows import Attempt, Pairs, bearer, builds, presents
from tests.support.raw import Canned, as_json
from tunnelgate.verdict import Reason

ALGORITHM = Reason.TOKEN_ALGORITHM_NOT_ALLOWED
UNKNOWN_KEY = Reason.TOKEN_KEY_UNKNOWN
UNAVAILABLE = Reason.KEYS_UNAVAILABLE
OAUTH = "/.well-known/oauth-authorization-server"
OPENID = "/.well-known/openid-configuration"
COOLDOWN, MAX_AGE, MAX_STALE = 30, 600, 3600  # seconds

Members = dict[str, Any]


def current(stand: Stand, **claims: Any) -> bytes:
    """Return a good token at the time of the gate's clock."""
    return token(None, {**times(stand), **claims})


def times(stand: Stand) -> Members:
    """Return the times of a token that is made now, by the gate's clock."""
    now = int(stand.clock.now)
    return {"iat": now, "exp": now + 300}


def sends_current(stand: Stand) -> Pairs:
    return bearer(current(stand))


@builds("T009")
def shared_secret_published() -> Iterable[Attempt]:
    secret = b"a secret that is shared with everybody"
    shared = {"kty": "oct", "kid": "o1", "alg": "HS256", "k": base64url(secret).decode()}
    setting = issuer_with_keys("an issuer that publishes a shared secret", jwk_set(shared, "e1"))
    yield Attempt("HS256", presents(partial(hmac_token, secret, "o1")), ALGORITHM, setting)
    yield Attempt("ES256 by its name", presents(partial(token, {"kid": "o1"})), UNKNOWN_KEY, setting)
    yield Attempt("the other key", presents(token), None, setting, differs="it is as good as ever")


@builds("T401")
def nothing_but_a_shared_secret() -> Iterable[Attempt]:
    shared = {"kty": "oct", "kid": "o1", "alg": "HS256", "k": "c2VjcmV0"}
    setting = issuer_with_keys("an issuer that publishes nothing but a shared secret", jwk_set(shared))
    yield Attempt(
        "HS256",
        presents(partial(hmac_token, b"secret", "o1")),
        ALGORITHM,
        setting,
        differs="it is refused before any key is looked for, as the row says",
        status=401,
        error="invalid_token",
    )
    yield Attempt("ES256", presents(token), UNAVAILABLE, setting)


@builds("T019")
def removed_key() -> Iterable[Attempt]:
    setting = issuer_with_keys("an issuer that takes a key back", jwk_set("e1", "r1"), keys_age=True)

    def take_back(stand: Stand) -> None:
        stand.publisher.documents["/jwks"] = as_json(jwk_set("e1", "r1"))
        stand.clock.now += MAX_AGE + 1
        stand.send(sends_current(stand)).check_allowed()
        stand.publisher.documents["/jwks"] = as_json(jwk_set("r1"))
        stand.clock.now += MAX_AGE + 1

    yield Attempt("after the greatest age", sends_current, UNKNOWN_KEY, setting, before=take_back)


@builds("T409")
def added_key() -> Iterable[Attempt]:
    setting = issuer_with_keys("an issuer that adds a key", jwk_set("e1"), keys_age=True)

    def add(stand: Stand) -> None:
        stand.publisher.documents["/jwks"] = as_json(jwk_set("e1"))
        stand.clock.now += MAX_AGE + 1
        stand.send(sends_current(stand)).check_allowed()
        stand.publisher.documents["/jwks"] = as_json(jwk_set("e1", "r1"))

    def sends_new(stand: Stand) -> Pairs:
        return bearer(token(None, times(stand), key="r1"))

    yield Attempt("a moment ago", sends_new, None, setting, before=add)


def goes_down(age: float, stand: Stand) -> None:
    """Let the keys be fetched, the server fail, and time pass."""
    stand.publisher.documents["/jwks"] = Canned([], [], status=500)
    stand.clock.now += MAX_STALE + 1
    stand.send(sends_current(stand))  # waits for a fetch that is still under way from the last time
    stand.publisher.documents["/jwks"] = as_json(jwk_set("e1"))
    stand.clock.now += COOLDOWN + 1
    stand.send(sends_current(stand)).check_allowed()
    stand.publisher.documents["/jwks"] = Canned([], [], status=500)
    stand.clock.now += age


@builds("T402")
def endpoint_down_within_the_stated_age() -> Iterable[Attempt]:
    setting = issuer_with_keys("an issuer that goes down", jwk_set("e1"), keys_age=True)
    for age in (MAX_AGE - 1, MAX_AGE + 1, MAX_STALE - 1):
        before = partial(goes_down, age)
        yield Attempt(f"for {age} seconds", sends_current, None, setting, before=before)


@builds("T403")
def endpoint_down_beyond_the_stated_age() -> Iterable[Attempt]:
    setting = issuer_with_keys("an issuer that stays down", jwk_set("e1"), keys_age=True)
    before = partial(goes_down, MAX_STALE + 1)
    yield Attempt("for an hour and a second", sends_current, UNAVAILABLE, setting, before=before)


@builds("T055")
def key_for_another_algorithm() -> Iterable[Attempt]:
    setting = issuer_with_keys("an issuer whose RSA key is for RS256", jwk_set("r1"))
    forged = partial(token, {"alg": "PS256"}, key="r1", algorithm="PS256")
    yield Attempt("PS256", presents(forged), ALGORITHM, setting)
    yield Attempt(
        "RS256", presents(partial(token, key="r1")), None, setting, differs="it is what the key is for"
    )


def _number(value: int) -> str:
    return base64url(value.to_bytes((value.bit_length() + 7) // 8 or 1, "big")).decode()


def _small_key(bits: int, exponent: int = 65537) -> tuple[Members, RSAPrivateKey]:
    key = generate_private_key(exponent, bits)
    numbers = key.public_key().public_numbers()
    return {"kty": "RSA", "kid": "w", "n": _number(numbers.n), "e": _number(numbers.e)}, key


def _signed_by_one() -> bytes:
    """Return a token with a signature that anybody can make for a key with the exponent 1."""
    header = {"alg": "RS256", "typ": "at+jwt", "kid": "w"}
    content = content_of(orjson.dumps(header), orjson.dumps(CLAIMS))
    digest = bytes.fromhex("3031300d060960864801650304020105000420") + hashlib.sha256(content).digest()
    padded = b"\0\1" + b"\xff" * (256 - 3 - len(digest)) + b"\0" + digest
    return joined(content, base64url(padded))


@builds("T056")
def weak_keys() -> Iterable[Attempt]:
    other = jwk("r1")
    short, key = _small_key(1024)
    three, with_three = _small_key(2048, 3)
    with_one = {"kty": "RSA", "kid": "w", "n": other["n"], "e": "AQ"}
    weak = {"1024 bits": (short, key), "the exponent 3": (three, with_three)}
    for name, (public, signer) in weak.items():
        setting = issuer_with_keys(f"an issuer with an RSA key of {name}", jwk_set(public, "e1"))
        yield Attempt(name, presents(partial(_signed_by, signer)), UNKNOWN_KEY, setting)
    setting = issuer_with_keys("an issuer with an RSA key of the exponent 1", jwk_set(with_one, "e1"))
    yield Attempt("the exponent 1", presents(_signed_by_one), UNKNOWN_KEY, setting)
    setting = issuer_with_keys("an issuer with nothing but a weak key", jwk_set(short))
    yield Attempt(
        "1024 bits and no other key",
        presents(partial(_signed_by, key)),
        UNAVAILABLE,
        setting,
        differs="without any usable key nobody can tell a bad token from a good one",
        status=503,
        error="temporarily_unavailable",
    )


def _signed_by(key: RSAPrivateKey) -> bytes:
    header = {"alg": "RS256", "typ": "at+jwt", "kid": "w"}
    content = content_of(orjson.dumps(header), orjson.dumps(CLAIMS))
    return joined(content, base64url(signature("RS256", key, content)))


@builds("T404")
def unusable_keys() -> Iterable[Attempt]:
    ours = jwk("e1")
    broken: Mapping[str, Members] = {
        "for encryption": {**ours, "use": "enc"},
        "for signing and verifying": {**ours, "key_ops": ["sign", "verify"]},
        "for another algorithm": {**ours, "alg": "ES384"},
        "for an algorithm that is no text": {**ours, "alg": 7},
        "beside the curve": {**ours, "y": ours["x"]},
        "at infinity": {**ours, "x": "AA", "y": "AA"},
        "on another curve": {**ours, "crv": "secp256k1"},
        "on no curve": {name: value for name, value in ours.items() if name != "crv"},
        "with a coordinate that is no text": {**ours, "x": 7},
        "with a coordinate too many octets long": {**ours, "x": "A" * 10_000},
        "with a coordinate that is no Base64": {**ours, "x": "\u00e9"},
        "without a coordinate": {name: value for name, value in ours.items() if name != "y"},
        "of no kind": {**ours, "kty": None},
        "of a kind that is a list": {**ours, "kty": ["EC"]},
        "of a kind in small letters": {**ours, "kty": "ec"},
        "without a name": {**ours, "kid": None},
        "whose name is a number": {**ours, "kid": 7},
    }
    for name, key in broken.items():
        setting = issuer_with_keys(f"an issuer with a key {name}", jwk_set(key, "r1"))
        yield Attempt(name, presents(token), UNKNOWN_KEY, setting)


@builds("T405")
def costly_keys() -> Iterable[Attempt]:
    numbers = {
        "a modulus of 16384 bits": (2**16384 - 1, 65537),
        "an exponent of 2048 bits": (2**2048 - 1, 2**2047 + 1),
        "an even exponent": (2**2048 - 1, 65538),
        "an even modulus": (2**2048 - 2, 65537),
        "a modulus of nothing": (0, 65537),
    }
    for name, (modulus, exponent) in numbers.items():
        key = {"kty": "RSA", "kid": "r1", "n": _number(modulus), "e": _number(exponent)}
        setting = issuer_with_keys(f"an issuer with {name}", jwk_set(key, "e1"))
        reason = Reason.TOKEN_SIGNATURE_WRONG if name == "an even modulus" else UNKNOWN_KEY
        yield Attempt(name, presents(partial(token, key="r1")), reason, setting)


@builds("T058")
def private_key_published() -> Iterable[Attempt]:
    for key in ("e1", "r1", "d1"):
        document = jwk_set(private_jwk(key))
        setting = issuer_with_keys(f"an issuer that publishes the private part of {key}", document)
        yield Attempt(key, presents(partial(token, key=key)), None, setting)


@builds("T081")
def endpoint_down_at_start() -> Iterable[Attempt]:
    closed = Setting("an issuer where nobody listens", {"jwks_uri": "http://127.0.0.1:1/jwks"})
    yield Attempt("nobody listens", presents(token), UNAVAILABLE, closed)
    for status in (404, 429, 500, 503):
        setting = issuer_with_keys(f"an issuer that answers {status}", Canned([], [b"{}"], status=status))
        yield Attempt(f"status {status}", presents(token), UNAVAILABLE, setting)
    silent = issuer_with_keys("an issuer that never answers", None)
    yield Attempt("no answer", presents(token), UNAVAILABLE, silent)


@builds("T406")
def documents_that_are_no_key_set() -> Iterable[Attempt]:
    good = jwk_set("e1")
    documents: Mapping[str, bytes | Canned] = {
        "a page": Canned([(b"content-type", b"text/html")], [b"<html>"]),
        "nothing": b"",
        "a list": b"[" + good + b"]",
        "keys that are no list": b'{"keys":{}}',
        "no keys": b'{"keys":[]}',
        "keys twice": b'{"keys":[],' + good[1:],
        "two keys of one name": jwk_set("e1", jwk("e2", kid="e1")),
        "one key twice": jwk_set("e1", "e1"),
        "a byte order mark": b"\xef\xbb\xbf" + good,
        "UTF-16": good.decode().encode("utf-16"),
        "something behind": good + b"{}",
        "300 kB": jwk_set("e1") + b" " * 300_000,
        "10 MB": Canned([], [b" " * 1_000_000] * 10),
        "nested without end": b'{"keys":' + b"[" * 100_000,
        "a redirect to good ones": Canned([(b"location", b"{site}/good")], [], status=302),
    }
    for name, document in documents.items():
        answer = as_json(document) if isinstance(document, bytes) else document
        setting = Setting(
            f"an issuer with {name} for keys",
            {"jwks_uri": f"{SITE}/jwks"},
            published={"/jwks": answer, "/good": as_json(good)},
        )
        yield Attempt(name, presents(token), UNAVAILABLE, setting)


def discovered(name: str, documents: Mapping[str, Any], path: str = "") -> Setting:
    """Return a setting whose issuer is found by these documents of metadata."""
    published = {at: as_json(orjson.dumps(document)) for at, document in documents.items()}
    keys = {"/jwks": as_json(jwk_set("e1"))}
    return Setting(name, {"issuer": SITE + path}, published={**published, **keys})


def of_the_site(stand: Stand, path: str = "") -> Pairs:
    return bearer(token(None, {"iss": stand.site + path}))


@builds("T084")
def metadata_of_another_issuer() -> Iterable[Attempt]:
    named = {
        "another issuer": "https://as.example",
        "with a slash": f"{SITE}/",
        "in capitals": "HTTP{site}",
        "a list": [SITE],
        "none": None,
    }
    for name, issuer in named.items():
        document = {"issuer": issuer, "jwks_uri": f"{SITE}/jwks"}
        setting = discovered(f"metadata that names {name}", {OAUTH: document})
        yield Attempt(name, of_the_site, UNAVAILABLE, setting)
    document = {"issuer": "https://as.example", "jwks_uri": f"{SITE}/jwks"}
    right = {"issuer": SITE, "jwks_uri": f"{SITE}/jwks"}
    setting = discovered("metadata that names another issuer first", {OAUTH: document, OPENID: right})
    yield Attempt("another issuer where one looks first", of_the_site, UNAVAILABLE, setting)


@builds("T407")
def metadata_without_keys() -> Iterable[Attempt]:
    where = {
        "missing": None,
        "a number": 7,
        "no URL": "jwks",
        "a file": "file:///etc/passwd",
        "with a user": "http://a@127.0.0.1/jwks",
        "where nobody listens": "http://127.0.0.1:1/jwks",
    }
    for name, url in where.items():
        document = {"issuer": SITE, "jwks_uri": url}
        setting = discovered(f"metadata with a jwks_uri {name}", {OAUTH: document})
        yield Attempt(name, of_the_site, UNAVAILABLE, setting)
    yield Attempt("no metadata at all", of_the_site, UNAVAILABLE, discovered("no metadata", {}))


@builds("T408")
def metadata_found() -> Iterable[Attempt]:
    document = {"issuer": SITE, "jwks_uri": f"{SITE}/jwks"}
    yield Attempt("by RFC 8414", of_the_site, None, discovered("metadata of OAuth", {OAUTH: document}))
    yield Attempt("by OpenID", of_the_site, None, discovered("metadata of OpenID", {OPENID: document}))
    below = {"issuer": f"{SITE}/tenant", "jwks_uri": f"{SITE}/jwks"}
    for name, path in {"inserted": f"{OPENID}/tenant", "appended": f"/tenant{OPENID}"}.items():
        setting = discovered(f"metadata of a tenant, {name}", {path: below}, "/tenant")
        yield Attempt(f"of a tenant, {name}", partial(of_the_site, path="/tenant"), None, setting)
