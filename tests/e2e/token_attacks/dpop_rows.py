"""Rows about tokens that are bound to a key, and the proofs that come with them."""

import hashlib
import hmac
import itertools
from base64 import urlsafe_b64decode
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import orjson

from tests.e2e.token_attacks.gates import SEALING_KEY, Setting, Stand
from tests.e2e.token_attacks.minting import (
    NOW,
    RESOURCE,
    base64url,
    content_of,
    joined,
    jwk,
    members_of,
    private_jwk,
    private_key,
    respelled,
    signature,
    token,
)
from tests.e2e.token_attacks.rows import Attempt, Pairs, bearer, builds
from tests.support.raw import Parser
from tunnelgate.verdict import Reason

MALFORMED = Reason.PROOF_MALFORMED
WRONG = Reason.PROOF_WRONG
REPLAYED = Reason.PROOF_REPLAYED
NONCE = Reason.PROOF_NONCE_WRONG
BINDING = Reason.TOKEN_BINDING_WRONG

ROUTE = Setting("a route with DPoP", route={"proof": "dpop"})
WITH_NONCE = Setting(
    "a route with DPoP and nonces", route={"proof": "dpop"}, gate={"dpop": {"require_nonce": True}}
)
OTHER_GATE = Setting("another gate with nonces", route=WITH_NONCE.route, gate=WITH_NONCE.gate)
SHARED = {**WITH_NONCE.gate, "sealing_keys": [SEALING_KEY]}
REPLICAS = [Setting(f"replica {each}", route=WITH_NONCE.route, gate=SHARED) for each in ("one", "two")]
OTHER_ROUTE = Setting(
    "another route of the same gate",
    route={**WITH_NONCE.route, "resource": "https://mcp.example.com/other"},
    gate=SHARED,
)
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551  # of P-256
EITHER: frozenset[Parser] = frozenset({"strict", "h11"})

_serial = itertools.count()
_ALGORITHMS = {"r": "RS256", "e": "ES256", "d": "Ed25519"}
_THUMBED = {"RSA": ("e", "kty", "n"), "EC": ("crv", "kty", "x", "y"), "OKP": ("crv", "kty", "x")}

Members = Mapping[str, Any]
Change = Members | Callable[[Stand, bytes], Members]


def public_jwk(key: str) -> dict[str, Any]:
    """Return the public key as a proof carries it."""
    return {name: value for name, value in jwk(key).items() if name not in ("kid", "use", "alg")}


def thumbprint(key: str | Members) -> str:
    """Return the thumbprint of a key after RFC 7638."""
    members = public_jwk(key) if isinstance(key, str) else key
    needed = {name: members[name] for name in _THUMBED[members["kty"]]}
    return base64url(hashlib.sha256(orjson.dumps(needed)).digest()).decode()


def bound(stand: Stand, key: str = "e5", cnf: Any = None, **claims: Any) -> bytes:
    """Return a token that is bound to ``key``."""
    now = int(stand.clock.now)
    confirmation = {"jkt": thumbprint(key)} if cnf is None else cnf
    return token(None, {"iat": now, "exp": now + 300, "cnf": confirmation, **claims})


def proof(
    stand: Stand,
    access: bytes,
    key: str = "e5",
    *,
    header: Members | bytes | None = None,
    claims: Members | bytes | None = None,
    algorithm: str | None = None,
    signer: str | None = None,
) -> bytes:
    """Return a proof for a call with the token ``access``, with these changes or of these octets."""
    algorithm = algorithm or _ALGORITHMS[key[0]]
    base_header = {"typ": "dpop+jwt", "alg": algorithm, "jwk": public_jwk(key)}
    base_claims = {
        "jti": f"proof {next(_serial)}",
        "htm": "POST",
        "htu": RESOURCE,
        "iat": int(stand.clock.now),
        "ath": base64url(hashlib.sha256(access).digest()).decode(),
    }
    content = content_of(
        header if isinstance(header, bytes) else members_of(base_header, header),
        claims if isinstance(claims, bytes) else members_of(base_claims, claims),
    )
    return joined(content, base64url(signature(algorithm, private_key(signer or key), content)))


def presented(access: bytes, *proofs: bytes) -> Pairs:
    """Return the headers of a call with a token and its proofs."""
    return [*bearer(access, "DPoP"), *(("dpop", each.decode("latin-1")) for each in proofs)]


def changed(
    name: str,
    reason: Reason | None,
    *,
    key: str = "e5",
    setting: Setting = ROUTE,
    **changes: Any,
) -> Attempt:
    """Return the attempt with a bound token and a proof with these changes."""

    def headers(stand: Stand) -> Pairs:
        access = bound(stand, key)
        return presented(access, proof(stand, access, key, **changes))

    return Attempt(name, headers, reason, setting)


def raw(name: str, reason: Reason | None, make: Callable[[Stand, bytes], Pairs], **more: Any) -> Attempt:
    """Return the attempt with headers made of the gate and a bound token."""
    setting = more.pop("setting", ROUTE)
    return Attempt(name, lambda stand: make(stand, bound(stand)), reason, setting, **more)


def _sent_before(stand: Stand, headers: Pairs) -> Pairs:
    stand.send(headers).check_allowed()
    return headers


@builds("T501")
def good_proofs() -> Iterable[Attempt]:
    for key in ("e5", "r5", "d5"):
        yield changed(f"by {key}", None, key=key)
    yield changed("EdDSA", None, key="d5", algorithm="EdDSA")
    yield changed("PS256", None, key="r5", algorithm="PS256")
    yield raw(
        "dpop in small letters", None, lambda s, a: [*bearer(a, "dpop"), ("DPoP", proof(s, a).decode())]
    )


@builds("T068")
def bad_proofs() -> Iterable[Attempt]:
    def replayed(stand: Stand, access: bytes) -> Pairs:
        return _sent_before(stand, presented(access, proof(stand, access)))

    yield raw("replay", REPLAYED, replayed)
    yield changed("wrong htm", WRONG, claims={"htm": "GET"})
    yield changed("wrong htu", WRONG, claims={"htu": "https://other.example.com/mcp"})
    yield changed("wrong ath", WRONG, claims={"ath": base64url(hashlib.sha256(b"x").digest()).decode()})
    yield changed("stale iat", WRONG, claims={"iat": NOW - 61})


@builds("T502")
def other_urls() -> Iterable[Attempt]:
    urls = (
        "http://mcp.example.com/mcp",
        "https://mcp.example.com:8443/mcp",
        "https://mcp.example.com:80/mcp",
        "https://user@mcp.example.com/mcp",
        "https://mcp.example.com@evil.example/mcp",
        "https://evil.example@mcp.example.com/mcp",
        "https://:@mcp.example.com/mcp",
        "https://127.0.0.1/mcp",
        "https://[::1]/mcp",
        "https://2130706433/mcp",
        "https://mcp.example.com./mcp",
        "https://mcp.example.com/mcp/",
        "https://mcp.example.com/MCP",
        "https://mcp.example.com/%6dcp",
        "https://mcp.example.com//mcp",
        "https://mcp.example.com/./mcp",
        "https://mcp.example.com/x/../mcp",
        "https://mcp.example.com/mcp;x",
        "https://mcp.example.com",
        "https://mcp.example.com\\mcp",
        "https://mcp.example.com\\@evil.example/mcp",
        "https:mcp.example.com/mcp",
        "//mcp.example.com/mcp",
        "/mcp",
        "mcp.example.com/mcp",
        "https://",
        "https://[/mcp",
        "https://mcp.example.com:port/mcp",
        "https://mcp.example.com:99999/mcp",
        " https://mcp.example.com/mcp",
        "https://mcp.example.com/mcp\n",
        "https://mcp.exam\nple.com/mcp",
        "https://mcp.example.com/m\tcp",
        "https://mcp.example.com/mcp\0",
        "https://mcp\u3002example.com/mcp",
        "https://m\u0441p.example.com/mcp",
        "ftp://mcp.example.com/mcp",
        "wss://mcp.example.com/mcp",
        "null",
    )
    for url in urls:
        yield changed(ascii(url), WRONG, claims={"htu": url})


@builds("T503")
def same_url_in_other_words() -> Iterable[Attempt]:
    urls = (
        "HTTPS://mcp.example.com/mcp",
        "https://MCP.Example.COM/mcp",
        "https://mcp.example.com:443/mcp",
        "https://mcp.example.com/mcp?a=b",
        "https://mcp.example.com/mcp#part",
        "https://mcp.example.com/mcp?a=https://evil.example/#x",
    )
    for url in urls:
        yield changed(url, None, claims={"htu": url})


@builds("T504")
def other_methods() -> Iterable[Attempt]:
    for method in ("post", "Post", "GET", "HEAD", "POST ", " POST", "POST\0", "*", "POST,GET", "\uff30OST"):
        yield changed(ascii(method), WRONG, claims={"htm": method})


@builds("T505")
def members_of_no_use() -> Iterable[Attempt]:
    no_texts: Mapping[str, Any] = {"a list": ["POST"], "an object": {}, "true": True}
    for name in ("jti", "htm", "htu", "iat", "ath"):
        yield changed(f"no {name}", MALFORMED, claims={name: None})
        for shown, value in no_texts.items():
            yield changed(f"{name} is {shown}", MALFORMED, claims={name: value})
    for name in ("jti", "htm", "htu", "ath"):
        yield changed(f"{name} is a number", MALFORMED, claims={name: 7})
        yield changed(f"{name} is empty", MALFORMED, claims={name: ""})
    yield changed("nonce is a number", MALFORMED, claims={"nonce": 7})
    yield changed("nonce is a list", MALFORMED, claims={"nonce": ["a"]})


@builds("T506")
def proof_ids_at_the_bound() -> Iterable[Attempt]:
    def long(stand: Stand, access: bytes) -> Pairs:
        return presented(access, proof(stand, access, claims={"jti": f"{next(_serial)}".rjust(256, "a")}))

    yield raw("256 characters", None, long)


@builds("T507")
def proof_ids_beyond_the_bound() -> Iterable[Attempt]:
    yield changed("257 characters", MALFORMED, claims={"jti": "a" * 257})
    yield changed("5 kB", MALFORMED, claims={"jti": "a" * 5000})
    yield changed("10 kB", MALFORMED, claims={"jti": "a" * 10_000})
    yield changed("half a character", MALFORMED, claims=b'{"jti":"\\ud800"}')


@builds("T508")
def times_at_the_limits() -> Iterable[Attempt]:
    for name, at in {"a minute old": -60, "half a minute ahead": 30, "with a fraction": -59.5}.items():
        yield changed(name, None, claims={"iat": NOW + at})


@builds("T509")
def times_beyond_the_limits() -> Iterable[Attempt]:
    for name, at in {
        "a second too old": -61,
        "a second too far ahead": 31,
        "a fraction too old": -60.5,
    }.items():
        yield changed(name, WRONG, claims={"iat": NOW + at})
    yield changed("at the epoch", WRONG, claims={"iat": 0})
    yield changed("in the year 9999", WRONG, claims={"iat": 253402300799})
    yield changed("in the year 10000", MALFORMED, claims={"iat": 253402300800})
    yield changed("negative", MALFORMED, claims={"iat": -1})
    yield changed("a text", MALFORMED, claims={"iat": str(NOW)})
    for text in ("NaN", "1e400", "Infinity", "9" * 400):
        yield changed(
            f"{text[:10]} of {len(text)} characters", MALFORMED, claims=b'{"iat":' + text.encode() + b"}"
        )


@builds("T510")
def two_proofs() -> Iterable[Attempt]:
    duplicated = Reason.HEADER_DUPLICATED
    yield raw("both good", duplicated, lambda s, a: presented(a, proof(s, a), proof(s, a)))
    yield raw("the second one bad", duplicated, lambda s, a: presented(a, proof(s, a), b"x"))
    yield raw("the second one empty", duplicated, lambda s, a: presented(a, proof(s, a), b""))

    def cased(stand: Stand, access: bytes) -> Pairs:
        made = proof(stand, access).decode()
        return [*bearer(access, "DPoP"), ("DPoP", made), ("DPOP", made)]

    yield raw("in other letters", duplicated, cased)


def _shaped(shape: Callable[[bytes], bytes], stand: Stand, access: bytes) -> Pairs:
    return presented(access, shape(proof(stand, access)))


@builds("T511")
def proofs_that_are_no_jwt() -> Iterable[Attempt]:
    shapes: Mapping[str, Callable[[bytes], bytes]] = {
        "two with a comma": lambda p: p + b"," + p,
        "two with a comma and a space": lambda p: p + b", " + p,
        "the scheme in front": lambda p: b"DPoP " + p,
        "quotes": lambda p: b'"' + p + b'"',
        "padding": lambda p: p + b"=",
        "a colon at each end": lambda p: b":" + p + b":",
        "a space within": lambda p: p.replace(b".", b" .", 1),
        "a fourth segment": lambda p: p + b".",
        "five segments": lambda p: p + b".AA.AA",
        "without a signature": lambda p: p.rpartition(b".")[0] + b".",
        "without its last segment": lambda p: p.rpartition(b".")[0],
        "nothing": lambda _: b"",
        "one word": lambda _: b"proof",
        "dots": lambda _: b"..",
        "beyond ASCII": lambda p: p + b"\xe9",
        "JSON": lambda _: b'{"typ":"dpop+jwt"}',
        "9 kB": lambda p: p + b"A" * 9000,
    }
    for name, shape in shapes.items():
        yield raw(name, MALFORMED, partial(_shaped, shape))


@builds("T512")
def proof_and_token_confused() -> Iterable[Attempt]:
    yield raw("the token as proof", MALFORMED, lambda s, a: presented(a, a))
    yield raw(
        "the proof as token",
        Reason.TOKEN_MALFORMED,
        lambda s, a: presented(proof(s, a), proof(s, a)),
        error="invalid_token",
        differs="it is the token that is bad",
    )
    yield changed("a proof of the type of tokens", MALFORMED, header={"typ": "at+jwt"})


@builds("T513")
def no_proof() -> Iterable[Attempt]:
    missing = Reason.PROOF_MISSING
    yield raw("none", missing, lambda s, a: presented(a))
    yield raw(
        "in a cookie", missing, lambda s, a: [*presented(a), ("cookie", f"DPoP={proof(s, a).decode()}")]
    )
    yield raw("under another name", missing, lambda s, a: [*presented(a), ("x-dpop", proof(s, a).decode())])


@builds("T514")
def tokens_that_are_not_bound_so() -> Iterable[Attempt]:
    digest = base64url(hashlib.sha256(b"x").digest()).decode()
    forms: Mapping[str, Any] = {
        "to nothing at all": {},
        "to a certificate": {"x5t#S256": digest},
        "to a key and a certificate": {"jkt": thumbprint("e5"), "x5t#S256": digest},
        "to a key and what nobody knows": {"jkt": thumbprint("e5"), "kid": "e5"},
        "to a list": {"jkt": [thumbprint("e5")]},
        "to an empty text": {"jkt": ""},
        "to a number": {"jkt": 7},
        "to a key that it brings along": {"jwk": public_jwk("e5")},
        "by a text": thumbprint("e5"),
        "by a list": [{"jkt": thumbprint("e5")}],
        "to jkt in capitals": {"JKT": thumbprint("e5")},
    }
    for name, cnf in forms.items():

        def headers(stand: Stand, cnf: Any = cnf) -> Pairs:
            access = bound(stand, cnf=cnf)
            return presented(access, proof(stand, access))

        yield Attempt(name, headers, BINDING, ROUTE)
    yield Attempt("without cnf", lambda s: presented(token(), proof(s, token())), BINDING, ROUTE)


@builds("T515")
def tokens_under_another_scheme() -> Iterable[Attempt]:
    malformed = Reason.TOKEN_MALFORMED
    yield raw("Bearer", malformed, lambda s, a: [*bearer(a), ("dpop", proof(s, a).decode())])
    yield raw("Bearer without a proof", malformed, lambda s, a: bearer(a))
    yield raw("the bare token", malformed, lambda s, a: [("authorization", a.decode())])
    yield raw(
        "Basic", malformed, lambda s, a: [("authorization", "Basic YTpi"), ("dpop", proof(s, a).decode())]
    )


@builds("T516")
def no_token() -> Iterable[Attempt]:
    missing = Reason.TOKEN_MISSING
    yield Attempt("nothing", lambda _: [], missing, ROUTE)
    yield raw("only a proof", missing, lambda s, a: [("dpop", proof(s, a).decode())])


@builds("T517")
def keys_that_prove_nothing() -> Iterable[Attempt]:
    ours = public_jwk("e5")
    shared = {"kty": "oct", "k": base64url(b"secret" * 8).decode()}
    keys: Mapping[str, Any] = {
        "with its private part": private_jwk("e5"),
        "with an empty private part": {**ours, "d": ""},
        "symmetric": shared,
        "with a shared secret besides": {**ours, "k": "AA"},
        "missing": None,
        "a text": orjson.dumps(ours).decode(),
        "a list": [ours],
        "an empty object": {},
        "of another kind": {**ours, "kty": "RSA"},
        "of a kind that is a list": {**ours, "kty": ["EC"]},
        "on another curve": {**ours, "crv": "P-384"},
        "on a curve of coins": {**ours, "crv": "secp256k1"},
        "on a curve that is a number": {**ours, "crv": 256},
        "beside the curve": {**ours, "y": ours["x"]},
        "at infinity": {**ours, "x": "AA", "y": "AA"},
        "with a coordinate that is a number": {**ours, "x": 7},
        "with a coordinate that is null": {**ours, "x": None, "y": None},
        "with a coordinate beyond ASCII": {**ours, "x": "\u00e9" * 43},
        "without coordinates": {"kty": "EC", "crv": "P-256"},
        "for another algorithm": {**ours, "alg": "ES384"},
        "for an algorithm that is a list": {**ours, "alg": ["ES256"]},
        "a weak RSA key": {"kty": "RSA", "n": base64url(b"\xff" * 64).decode(), "e": "AQAB"},
        "an RSA key with the exponent one": {**public_jwk("r5"), "e": "AQ"},
        "an RSA key of nothing": {"kty": "RSA", "n": "", "e": ""},
        "an RSA key of lists": {"kty": "RSA", "n": ["a"], "e": {}},
        "an RSA key that is costly": {"kty": "RSA", "n": base64url(b"\xff" * 2048).decode(), "e": "AQAB"},
        "an Ed25519 key of one octet": {"kty": "OKP", "crv": "Ed25519", "x": "AA"},
        "for key agreement": {"kty": "OKP", "crv": "X25519", "x": base64url(b"\1" * 32).decode()},
    }
    for name, key in keys.items():
        yield changed(name, MALFORMED, header={"jwk": key})


@builds("T518")
def other_algorithms() -> Iterable[Attempt]:
    def unsigned(stand: Stand, access: bytes, name: str) -> Pairs:
        whole = proof(stand, access, header={"alg": name})
        return presented(access, joined(whole.rpartition(b".")[0], base64url(b"\0")))

    def by_secret(stand: Stand, access: bytes) -> Pairs:
        content = proof(stand, access, header={"alg": "HS256"}).rpartition(b".")[0]
        secret = orjson.dumps(public_jwk("e5"))
        return presented(
            access, joined(content, base64url(hmac.new(secret, content, hashlib.sha256).digest()))
        )

    for name in ("none", "None", "es256", "ES384", "ES256K", "RS256", "EdDSA"):
        yield raw(name, MALFORMED, partial(unsigned, name=name))
    yield raw("HS256 with the public key", MALFORMED, by_secret)
    for value in (None, 7, ["ES256"], ""):
        yield changed(f"alg is {value!r}", MALFORMED, header={"alg": value})


@builds("T519")
def headers_of_no_proof() -> Iterable[Attempt]:
    for value in (
        None,
        "",
        "JWT",
        "jwt",
        "DPOP+JWT",
        "dpop+jwt ",
        "application/dpop+jwt",
        "dpop",
        7,
        ["dpop+jwt"],
    ):
        yield changed(f"typ is {value!r}", MALFORMED, header={"typ": value})
    for name in ("crit", "b64", "cty", "jku", "x5c", "x5u", "x5t", "x5t#S256", "zip"):
        yield changed(name, MALFORMED, header={name: "https://evil.example/"})
    twice = b'{"typ":"dpop+jwt","alg":"none","alg":"ES256","jwk":' + orjson.dumps(public_jwk("e5")) + b"}"
    yield changed("alg twice", MALFORMED, header=twice)
    yield changed("a list", MALFORMED, header=b'["alg"]')
    yield changed("UTF-16", MALFORMED, header=twice.decode().encode("utf-16"))
    deep = b'{"typ":"dpop+jwt","alg":"ES256","jwk":' + b'{"a":' * 2000
    yield changed("nested without end", MALFORMED, header=deep)


@builds("T520")
def proofs_by_somebody_else() -> Iterable[Attempt]:
    def by_another_key(stand: Stand, access: bytes) -> Pairs:
        return presented(access, proof(stand, access, "e6"))

    yield raw("with their own key", WRONG, by_another_key)
    yield changed("under the name of the right key", WRONG, signer="e6")
    ours = public_jwk("e5")
    spelled = {**ours, "x": respelled(ours["x"].encode()).decode()}
    yield changed("with another spelling of the right key", MALFORMED, header={"jwk": spelled})
    yield changed("with the right key and padding", MALFORMED, header={"jwk": {**ours, "x": ours["x"] + "="}})

    def tampered(stand: Stand, access: bytes) -> Pairs:
        head, _, seal = proof(stand, access).split(b".")
        other = proof(stand, access).split(b".")[1]
        return presented(access, joined(head, other, seal))

    yield raw("with the claims of another", WRONG, tampered)

    def zeros(stand: Stand, access: bytes) -> Pairs:
        content = proof(stand, access).rpartition(b".")[0]
        return presented(access, joined(content, base64url(b"\0" * 64)))

    yield raw("signed with zeros", WRONG, zeros)


@builds("T521")
def proofs_for_another_token() -> Iterable[Attempt]:
    def for_another(stand: Stand, access: bytes) -> Pairs:
        return presented(access, proof(stand, bound(stand, jti="2")))

    def digest(name: str, of: bytes, stand: Stand, access: bytes) -> Pairs:
        of = of.replace(b"TOKEN", access)
        ath = base64url(hashlib.new(name, of).digest()).decode()
        return presented(access, proof(stand, access, claims={"ath": ath}))

    yield raw("the next token of the same client", WRONG, for_another)
    yield raw("the scheme besides", WRONG, partial(digest, "sha256", b"DPoP TOKEN"))
    yield raw("SHA-512", WRONG, partial(digest, "sha512", b"TOKEN"))
    yield raw(
        "in hexadecimal",
        WRONG,
        lambda s, a: presented(a, proof(s, a, claims={"ath": hashlib.sha256(a).hexdigest()})),
    )

    def padded(stand: Stand, access: bytes) -> Pairs:
        ath = base64url(hashlib.sha256(access).digest()).decode() + "="
        return presented(access, proof(stand, access, claims={"ath": ath}))

    yield raw("with padding", WRONG, padded)
    yield changed("beyond ASCII", WRONG, claims={"ath": "\u00e9"})


@builds("T522")
def replays_in_other_words() -> Iterable[Attempt]:
    def again(stand: Stand, access: bytes, second: Members | None = None) -> Pairs:
        name = f"again {next(_serial)}"
        _sent_before(stand, presented(access, proof(stand, access, claims={"jti": name})))
        return presented(access, proof(stand, access, claims={"jti": name, **(second or {})}))

    yield raw("signed anew", REPLAYED, again)
    yield raw("with a newer time", REPLAYED, partial(again, second={"iat": NOW + 1}))
    yield raw("with a query", REPLAYED, partial(again, second={"htu": RESOURCE + "?a"}))

    def other_half(stand: Stand, access: bytes) -> Pairs:
        first = proof(stand, access)
        _sent_before(stand, presented(access, first))
        content, _, seal = first.rpartition(b".")
        numbers = urlsafe_b64decode(seal + b"==")
        s = ORDER - int.from_bytes(numbers[32:], "big")
        return presented(access, joined(content, base64url(numbers[:32] + s.to_bytes(32, "big"))))

    yield raw("with the other half of its signature", REPLAYED, other_half)

    def at_the_end(stand: Stand, access: bytes) -> Pairs:
        ahead = proof(stand, access, claims={"iat": int(stand.clock.now) + 30})
        _sent_before(stand, presented(access, ahead))
        stand.clock.now += 90
        return presented(access, ahead)

    setting = Setting("a route with DPoP whose clock goes on", route={"proof": "dpop"})
    yield raw("at the last moment that it is good for", REPLAYED, at_the_end, setting=setting)


@builds("T523")
def same_id_by_another_key() -> Iterable[Attempt]:
    def by_two(stand: Stand) -> Pairs:
        name = f"shared {next(_serial)}"
        first, second = bound(stand, "e5"), bound(stand, "e6")
        _sent_before(stand, presented(first, proof(stand, first, "e5", claims={"jti": name})))
        return presented(second, proof(stand, second, "e6", claims={"jti": name}))

    yield Attempt("of somebody else", by_two, None, ROUTE)


def _nonce(stand: Stand, **claims: Any) -> str:
    """Return the nonce that a gate gives."""
    access = bound(stand, **claims)
    outcome = stand.send(presented(access, proof(stand, access)))
    nonce = outcome.answer.header("dpop-nonce")
    assert outcome.answer.status == 401
    assert nonce
    return nonce


def _with_nonce(stand: Stand, access: bytes, nonce: str) -> Pairs:
    return presented(access, proof(stand, access, claims={"nonce": nonce}))


@builds("T524")
def good_nonces() -> Iterable[Attempt]:
    yield raw("the one that was given", None, lambda s, a: _with_nonce(s, a, _nonce(s)), setting=WITH_NONCE)

    def twice(stand: Stand, access: bytes) -> Pairs:
        nonce = _nonce(stand)
        _sent_before(stand, _with_nonce(stand, access, nonce))
        return _with_nonce(stand, access, nonce)

    yield raw("the same once more", None, twice, setting=WITH_NONCE)

    def of_a_replica(stand: Stand, access: bytes) -> Pairs:
        return _with_nonce(stand, access, _nonce(stand.stands.get(REPLICAS[1])))

    yield raw("of a replica of the gate", None, of_a_replica, setting=REPLICAS[0])

    def at_its_end(stand: Stand) -> Pairs:
        nonce = _nonce(stand)
        stand.clock.now += 300
        return _with_nonce(stand, bound(stand), nonce)

    setting = Setting("a route with nonces whose clock goes on", route=WITH_NONCE.route, gate=WITH_NONCE.gate)
    yield Attempt("five minutes old", at_its_end, None, setting)


@builds("T525")
def bad_nonces() -> Iterable[Attempt]:
    yield changed("none", NONCE, setting=WITH_NONCE)
    for value in ("a", "A" * 43, "0", str(NOW), "\u00e9", "a" * 4000, " "):
        shown = f"{value[:12]!a} of {len(value)} characters"
        yield changed(shown, NONCE, setting=WITH_NONCE, claims={"nonce": value})
    yield changed("an empty one", NONCE, setting=WITH_NONCE, claims={"nonce": ""})

    def expired(stand: Stand) -> Pairs:
        nonce = _nonce(stand)
        stand.clock.now += 301
        return _with_nonce(stand, bound(stand), nonce)

    setting = Setting("a route with nonces that grow old", route=WITH_NONCE.route, gate=WITH_NONCE.gate)
    yield Attempt("expired", expired, NONCE, setting)

    def of_another_gate(stand: Stand, access: bytes) -> Pairs:
        return _with_nonce(stand, access, _nonce(stand.stands.get(OTHER_GATE)))

    yield raw("of another gate", NONCE, of_another_gate, setting=WITH_NONCE)

    def of_another_route(stand: Stand, access: bytes) -> Pairs:
        other = stand.stands.get(OTHER_ROUTE)
        return _with_nonce(stand, access, _nonce(other, aud="https://mcp.example.com/other"))

    yield raw("of another route", NONCE, of_another_route, setting=REPLICAS[0])

    def changed_nonce(stand: Stand, access: bytes, change: Callable[[str], str]) -> Pairs:
        return _with_nonce(stand, access, change(_nonce(stand)))

    changes: Mapping[str, Callable[[str], str]] = {
        "with a character more": lambda nonce: nonce + "A",
        "with a character less": lambda nonce: nonce[:-1],
        "with padding": lambda nonce: nonce + "=",
        "with its first character changed": lambda nonce: ("B" if nonce[0] == "A" else "A") + nonce[1:],
        "in another case": lambda nonce: nonce.swapcase(),
        "twice": lambda nonce: nonce + nonce,
    }
    for name, change in changes.items():
        yield raw(name, NONCE, partial(changed_nonce, change=change), setting=WITH_NONCE)


@builds("T526")
def bad_proofs_with_a_good_nonce() -> Iterable[Attempt]:
    def replayed(stand: Stand, access: bytes) -> Pairs:
        return _sent_before(stand, _with_nonce(stand, access, _nonce(stand)))

    def of_another_token(stand: Stand, access: bytes) -> Pairs:
        nonce = _nonce(stand)
        other = proof(stand, bound(stand, jti="2"), claims={"nonce": nonce})
        return presented(access, other)

    yield raw("a replay", REPLAYED, replayed, setting=WITH_NONCE)
    yield raw("for another token", WRONG, of_another_token, setting=WITH_NONCE)


@builds("T527")
def bad_tokens_with_a_good_proof() -> Iterable[Attempt]:
    changes: Mapping[str, tuple[Members, Reason]] = {
        "expired": ({"exp": NOW - 31, "iat": NOW - 300}, Reason.TOKEN_EXPIRED),
        "for another server": ({"aud": "https://x.example"}, Reason.TOKEN_AUDIENCE_WRONG),
        "by another issuer": ({"iss": "https://x.example"}, Reason.TOKEN_ISSUER_UNKNOWN),
    }
    for name, (claims, reason) in changes.items():

        def headers(stand: Stand, claims: Members = claims) -> Pairs:
            access = bound(stand, **claims)
            return presented(access, proof(stand, access))

        yield Attempt(name, headers, reason, ROUTE)


@builds("T528")
def proof_for_a_narrow_token() -> Iterable[Attempt]:
    def headers(stand: Stand) -> Pairs:
        access = bound(stand, scope="x")
        return presented(access, proof(stand, access))

    yield Attempt("another scope", headers, Reason.SCOPE_MISSING, ROUTE)
