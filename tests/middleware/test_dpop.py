import hmac
import json
from base64 import urlsafe_b64decode
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from http.client import HTTPConnection
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwk import OctKey
from jwt.api_jws import PyJWS

from tests.support.asgi import Headers, Reply, Spy, call, http_scope
from tests.support.audit import Records
from tests.support.mcp import legacy, modern
from tests.support.proofs import (
    Proof,
    bound_token,
    client_key,
    public_jwk,
    sign_proof,
    thumbprint,
    token_hash,
)
from tests.support.servers import serve
from tests.support.tokens import ISSUER, RESOURCE, Clock, Token, base64url, jwks, trusted_issuer
from tunnelgate import (
    AuditLog,
    BearerAuthentication,
    Clients,
    DPoP,
    Dpop,
    Issuer,
    Nonces,
    OAuth,
    Policy,
    Principal,
    Reason,
    ReplayWindowFull,
    Route,
    Rule,
    Sealer,
    StaticKeys,
    protect,
)
from tunnelgate.asgi import ASGIApp, Receive, Scope, Send
from tunnelgate.dpop import LEEWAY, MAX_AGE, NONCE_LIFETIME
from tunnelgate.exchange import Exchange, exchange_of
from tunnelgate.jwks import ALGORITHMS
from tunnelgate.reading.fault import Fault
from tunnelgate.replays import ReplayWindow
from tunnelgate.sealing import MIN_KEY

NOW = 1_800_000_000
TOKEN = bound_token(NOW)
SEALER = Sealer([b"k" * MIN_KEY])
EVERY_ALGORITHM = sorted(ALGORITHMS)
METADATA = 'resource_metadata="https://docs.example.com/.well-known/oauth-protected-resource/mcp"'
ALGS = 'algs="ES256 ES384 ES512 Ed25519 EdDSA PS256 PS384 PS512 RS256 RS384 RS512"'

# The check alone


def principal(jkt: str | None = None, **cnf: Any) -> Principal:
    """Return whom a token speaks for that is bound to the client's key."""
    binding = {"jkt": thumbprint(client_key()) if jkt is None else jkt, **cnf}
    return Principal(ISSUER, "alice", "agent", frozenset(), {"cnf": binding})


def check(
    dpop: DPoP, *proofs: str, token: str = TOKEN, whose: Principal | None = None, method: str = "POST"
) -> Exchange:
    """Have proofs checked that come with a token, and return what is known about the request."""
    scope = http_scope(method, headers=[("dpop", proof) for proof in proofs])
    exchange = exchange_of(scope)
    dpop.prepare(exchange)
    dpop.check(scope, exchange, token.encode(), whose or principal())
    return exchange


def refusal_of(dpop: DPoP, *proofs: str, **request: Any) -> tuple[Reason, str]:
    """Return why proofs are refused."""
    with pytest.raises(Fault) as caught:
        check(dpop, *proofs, **request)
    return caught.value.reason, caught.value.detail


def new_check(now: float = NOW, urls: Sequence[str] = (RESOURCE,), **options: Any) -> DPoP:
    return DPoP(urls, clock=Clock(now), **options)


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("docs.example.com/mcp", id="no scheme"),
        pytest.param("/mcp", id="a path"),
        pytest.param("", id="nothing"),
        pytest.param("ftp://docs.example.com/mcp", id="another scheme"),
        pytest.param("https:///mcp", id="no host"),
        pytest.param("https://docs.example.com:0/mcp", id="the port 0"),
        pytest.param("https://docs.example.com:65536/mcp", id="a port that is none"),
        pytest.param("https://docs.example.com:/mcp", id="an empty port"),
        pytest.param("https://me@docs.example.com/mcp", id="a user"),
        pytest.param("https://docs.example.com/mcp?a=b", id="a query"),
        pytest.param("https://docs.example.com/mcp#a", id="a fragment"),
        pytest.param("https://dócs.example.com/mcp", id="a name in Unicode"),
        pytest.param("https://docs.example.com/m cp", id="a space"),
        pytest.param("https://[::1/mcp", id="an address that does not end"),
    ],
)
def test_an_endpoint_that_is_no_url_is_refused_at_construction(url: str) -> None:
    with pytest.raises(ValueError, match=r"is not a URL such as|has a query, a fragment or a user"):
        DPoP([RESOURCE, url])


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        pytest.param({"urls": []}, "url", id="no endpoint, so that no proof could be for one"),
        pytest.param({"max_age": 0}, "max_age", id="proofs that are too old when they are made"),
        pytest.param({"max_age": -1}, "max_age", id="proofs from the future alone"),
        pytest.param({"max_age": float("nan")}, "max_age", id="an age that is no number"),
        pytest.param(
            {"replays": ReplayWindow(MAX_AGE + LEEWAY - 1)},
            "replays",
            id="a window that forgets a proof while it could be shown again",
        ),
        pytest.param(
            {"replays": ReplayWindow(MAX_AGE + LEEWAY), "max_age": MAX_AGE + 1},
            "replays",
            id="a window for younger proofs than are taken",
        ),
    ],
)
def test_a_check_that_would_take_nothing_or_one_proof_twice_is_refused_at_construction(
    options: dict[str, Any], sentence: str
) -> None:
    good: dict[str, Any] = {"urls": [RESOURCE]}

    with pytest.raises(ValueError, match=sentence):
        DPoP(**{**good, **options})


def test_a_window_that_is_long_enough_is_taken() -> None:
    dpop = new_check(replays=ReplayWindow(MAX_AGE + LEEWAY))

    assert check(dpop, Proof().mint(TOKEN, NOW)).dpop_nonce is None


def test_every_challenge_will_name_how_a_proof_may_be_signed() -> None:
    exchange = exchange_of(http_scope())

    new_check().prepare(exchange)

    assert exchange.proof_algorithms == tuple(EVERY_ALGORITHM)
    assert not [name for name in exchange.proof_algorithms if name.startswith("HS") or name == "none"]


# RFC 9449 section 7.1, figures 12 and 4
RFC_TOKEN = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU"
RFC_PROOF = (
    "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkR"
    "ZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQS"
    "IsImNydiI6IlAtMjU2In19.eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIjoiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNv"
    "dXJjZS5leGFtcGxlLm9yZy9wcm90ZWN0ZWRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0RaNTN"
    "Fc05yV0JiMHhXWG9hTnk1OUlpS0NBcWtzbVFFbyJ9.2oW9RP35yRqzhrtNP86L-Ey71EOptxRimPPToA1plemAgR6pxHF8y6-yq"
    "yVnmcw6Fy1dqd-jfxSYoMxhAJpLjA"
)
RFC_THUMBPRINT = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"


def test_the_example_of_the_specification_passes_once() -> None:
    dpop = new_check(1562262618, ["https://resource.example.org/protectedresource"])
    whose = principal(RFC_THUMBPRINT)

    check(dpop, RFC_PROOF, token=RFC_TOKEN, whose=whose, method="GET")

    again = refusal_of(dpop, RFC_PROOF, token=RFC_TOKEN, whose=whose, method="GET")
    assert again == (Reason.PROOF_REPLAYED, "")


def _with(**claims: Any) -> Proof:
    return Proof(claims=claims)


def _url(url: str) -> Proof:
    return _with(htu=url)


@pytest.mark.parametrize(
    "proof",
    [
        pytest.param(Proof(), id="as the specification has it"),
        pytest.param(_url("HTTPS://docs.example.com/mcp"), id="the scheme in capitals"),
        pytest.param(_url("https://DOCS.example.COM/mcp"), id="the host in capitals"),
        pytest.param(_url("https://docs.example.com:443/mcp"), id="the port of HTTPS"),
        pytest.param(_url("https://docs.example.com:/mcp"), id="an empty port"),
        pytest.param(_url("https://docs.example.com/mcp?page=2"), id="a query, which does not count"),
        pytest.param(_url("https://docs.example.com/mcp#top"), id="a fragment, which does not count"),
        pytest.param(_url("https://docs.example.com/mcp?"), id="an empty query"),
        pytest.param(_with(iat=NOW - MAX_AGE), id="as old as may be"),
        pytest.param(_with(iat=NOW + LEEWAY), id="as far ahead as may be"),
        pytest.param(_with(iat=NOW - 0.5), id="a fraction of a second old"),
        pytest.param(_with(nonce="anything"), id="a nonce that nobody asked for"),
        pytest.param(_with(exp=1, nbf=NOW + 1000, aud="x", sub="y"), id="claims that mean nothing here"),
        pytest.param(_with(jti="i" * 256), id="the longest jti"),
        pytest.param(Proof(header={"kid": "k"}), id="a kid beside the key"),
        pytest.param(
            Proof(header={"jwk": {**public_jwk(client_key()), "alg": "ES256", "use": "sig", "kid": "k"}}),
            id="a key that says what it is for",
        ),
    ],
)
def test_a_proof_for_this_request_by_the_key_that_the_token_is_bound_to_passes(proof: Proof) -> None:
    minted = proof.mint(TOKEN, NOW)

    exchange = check(new_check(), minted)

    assert exchange.dpop_nonce is None
    assert b"dpop" not in exchange.head.fields


@pytest.mark.parametrize(
    ("endpoint", "url"),
    [
        pytest.param("https://docs.example.com", "https://docs.example.com/", id="no path and a slash"),
        pytest.param("https://docs.example.com/", "https://docs.example.com", id="a slash and no path"),
        pytest.param("http://docs.example.com/", "http://docs.example.com:80", id="the port of HTTP"),
        pytest.param("http://[::1]:8080/mcp", "http://[::1]:8080/mcp", id="an IPv6 address"),
        pytest.param("http://[2001:DB8::1]/mcp", "http://[2001:db8::1]:80/mcp", id="one in capitals"),
        pytest.param("http://127.0.0.1:8080/mcp", "http://127.0.0.1:8080/mcp", id="an IPv4 address"),
        pytest.param("https://a.example:8443/mcp", "https://A.example:8443/mcp?x", id="another port"),
    ],
)
def test_two_spellings_of_one_url_are_one(endpoint: str, url: str) -> None:
    dpop = new_check(urls=[endpoint])

    assert check(dpop, _url(url).mint(TOKEN, NOW)).dpop_nonce is None


@pytest.mark.parametrize(
    ("endpoint", "url"),
    [
        pytest.param(RESOURCE, "https://docs.example.com/mcp/", id="a slash at the end"),
        pytest.param(RESOURCE, "https://docs.example.com/MCP", id="the path in capitals"),
        pytest.param(RESOURCE, "https://docs.example.com/m%63p", id="a letter as its code"),
        pytest.param(RESOURCE, "https://docs.example.com/a/../mcp", id="a path that goes back"),
        pytest.param(RESOURCE, "https://docs.example.com//mcp", id="two slashes"),
        pytest.param(RESOURCE, "https://docs.example.com/mcp;a", id="a parameter of the path"),
        pytest.param(RESOURCE, "https://docs.example.com/", id="another path"),
        pytest.param(RESOURCE, "https://docs.example.com", id="no path"),
        pytest.param(RESOURCE, "https://docs.example.com?/mcp", id="the path in the query"),
        pytest.param(RESOURCE, "https://docs.example.com#/mcp", id="the path in the fragment"),
        pytest.param(RESOURCE, "http://docs.example.com/mcp", id="another scheme"),
        pytest.param(RESOURCE, "http://docs.example.com:443/mcp", id="HTTP on the port of HTTPS"),
        pytest.param(RESOURCE, "https://docs.example.com:80/mcp", id="HTTPS on the port of HTTP"),
        pytest.param(RESOURCE, "https://docs.example.com:8443/mcp", id="another port"),
        pytest.param(RESOURCE, "https://docs.example.com./mcp", id="a dot behind the host"),
        pytest.param(RESOURCE, "https://evil.example/mcp", id="another host"),
        pytest.param(RESOURCE, "https://docs.example.com.evil.example/mcp", id="a host that begins so"),
        pytest.param(RESOURCE, "https://docs.example.com@evil.example/mcp", id="the host as a user"),
        pytest.param(RESOURCE, "https://me@docs.example.com/mcp", id="a user before the host"),
        pytest.param(RESOURCE, "https://docs.example.com\\@evil.example/mcp", id="a backslash"),
        pytest.param(RESOURCE, " https://docs.example.com/mcp", id="a space before"),
        pytest.param(RESOURCE, "https://docs.example.com/mcp\n", id="a line end behind"),
        pytest.param(RESOURCE, "https://docs.exam\tple.com/mcp", id="a tab inside"),
        pytest.param(RESOURCE, "https://docs。example.com/mcp", id="a dot of another alphabet"),
        pytest.param(RESOURCE, "//docs.example.com/mcp", id="no scheme"),
        pytest.param(RESOURCE, "/mcp", id="a path alone"),
        pytest.param(RESOURCE, "https:docs.example.com/mcp", id="no slashes"),
        pytest.param(RESOURCE, "https:///mcp", id="no host"),
        pytest.param(RESOURCE, "https://docs.example.com:65536/mcp", id="a port that is none"),
        pytest.param(RESOURCE, "https://docs.example.com:x/mcp", id="a port that is no number"),
        pytest.param(RESOURCE, "https://[docs.example.com/mcp", id="brackets that do not end"),
        pytest.param(RESOURCE, "no URL", id="no URL"),
        pytest.param("http://[::1]:8080/mcp", "http://[::1:8080]/mcp", id="an address with the port in it"),
        pytest.param("http://[::1:8080]/mcp", "http://[::1]:8080/mcp", id="an address without its end"),
    ],
)
def test_a_proof_for_another_url_is_refused(endpoint: str, url: str) -> None:
    dpop = new_check(urls=[endpoint])

    assert refusal_of(dpop, _url(url).mint(TOKEN, NOW)) == (Reason.PROOF_WRONG, "htu")


OWN = public_jwk(client_key())
MALFORMED, WRONG = Reason.PROOF_MALFORMED, Reason.PROOF_WRONG
SYMMETRIC = OctKey.generate_key(256)


def _keyed(**members: Any) -> Proof:
    return Proof(header={"jwk": {**OWN, **members}})


@pytest.mark.parametrize(
    ("proof", "reason", "detail"),
    [
        # The request
        *(
            pytest.param(_with(htm=method), WRONG, "htm", id=f"the method {method!r}")
            for method in ("GET", "post", "Post", "POST ", "HEAD", "*", "POST,GET")
        ),
        # The time
        pytest.param(_with(iat=NOW - MAX_AGE - 1), WRONG, "iat", id="a second too old"),
        pytest.param(_with(iat=NOW - MAX_AGE - 0.25), WRONG, "iat", id="less than a second too old"),
        pytest.param(_with(iat=NOW + LEEWAY + 1), WRONG, "iat", id="a second too far ahead"),
        pytest.param(_with(iat=NOW + LEEWAY + 0.25), WRONG, "iat", id="less than that too far ahead"),
        pytest.param(_with(iat=0), WRONG, "iat", id="made at the beginning of time"),
        pytest.param(_with(iat=NOW * 1000), MALFORMED, "iat is not a time", id="milliseconds"),
        # The token
        pytest.param(_with(ath=token_hash(TOKEN + "x")), WRONG, "ath", id="another token"),
        pytest.param(_with(ath=token_hash(TOKEN) + "="), WRONG, "ath", id="a hash with padding"),
        pytest.param(_with(ath=token_hash(TOKEN)[:-1]), WRONG, "ath", id="a hash that is cut off"),
        pytest.param(_with(ath=token_hash(TOKEN).swapcase()), WRONG, "ath", id="a hash in other cases"),
        pytest.param(_with(ath=TOKEN[:100]), WRONG, "ath", id="the token in place of its hash"),
        pytest.param(_with(ath="é"), WRONG, "ath", id="a hash beyond ASCII"),
        pytest.param(_with(ath=None), MALFORMED, "ath is not a text", id="no hash at all"),
        # The key
        pytest.param(
            Proof(owner="thief"), WRONG, "the token is bound to another key", id="a key of somebody else"
        ),
        pytest.param(
            Proof("Ed25519"), WRONG, "the token is bound to another key", id="another key of the same client"
        ),
        pytest.param(_keyed(d="AA"), MALFORMED, "jwk has a private part", id="a private key"),
        pytest.param(_keyed(k="AA"), MALFORMED, "jwk has a private part", id="a secret beside the key"),
        pytest.param(_keyed(oth=[]), MALFORMED, "jwk has a private part", id="more primes"),
        pytest.param(
            Proof(header={"jwk": {"kty": "oct"}}),
            MALFORMED,
            "jwk is of kind 'oct'",
            id="a symmetric key without itself",
        ),
        pytest.param(
            Proof(header={"jwk": SYMMETRIC.as_dict(private=True)}),
            MALFORMED,
            "jwk has a private part",
            id="a symmetric key",
        ),
        pytest.param(Proof(header={"jwk": {}}), MALFORMED, "jwk is of kind None", id="an empty key"),
        pytest.param(_keyed(kty="RSA"), MALFORMED, "jwk lacks 'n', which is required", id="another kind"),
        pytest.param(_keyed(kty=["EC"]), MALFORMED, "jwk is of kind ['EC']", id="a list of kinds"),
        pytest.param(_keyed(crv="secp256k1"), MALFORMED, "jwk is of kind 'EC'", id="a curve of nobody"),
        pytest.param(_keyed(crv="P-384"), MALFORMED, "jwk ", id="another curve"),
        pytest.param(_keyed(x=OWN["y"]), MALFORMED, "jwk ", id="a point beside the curve"),
        pytest.param(_keyed(x=OWN["x"] + "="), MALFORMED, "jwk ", id="a coordinate with padding"),
        pytest.param(_keyed(x=7), MALFORMED, "jwk ", id="a coordinate that is a number"),
        pytest.param(
            _keyed(alg="RS256"), MALFORMED, "jwk is for the algorithm 'RS256'", id="a key for something else"
        ),
        pytest.param(
            _keyed(kty="x" * 1000), MALFORMED, f"jwk is of kind '{'x' * 50}", id="a long name of a kind"
        ),
        # The signature
        *(
            pytest.param(
                Proof(header={"alg": name}),
                MALFORMED,
                "the key is for another algorithm",
                id=f"the algorithm {name}",
            )
            for name in ("none", "HS256", "ES384", "RS256", "Ed25519", "es256", "ES256K", "RSA-OAEP")
        ),
    ],
)
def test_a_proof_for_anything_else_is_refused(proof: Proof, reason: Reason, detail: str) -> None:
    why, what = refusal_of(new_check(), proof.mint(TOKEN, NOW))

    assert why is reason
    assert len(what) <= 200
    # What is wrong with a key is said where keys are read.
    assert what.startswith(detail) if detail.startswith("jwk ") else what == detail


@pytest.mark.parametrize("name", ["x", "nonce", "kid", "url"])
def test_a_header_that_nobody_knows_is_ignored(name: str) -> None:
    assert check(new_check(), Proof(header={name: "x"}).mint(TOKEN, NOW)).dpop_nonce is None


def _another_signature(proof: str) -> str:
    return proof.rpartition(".")[0] + "." + Proof(owner="thief").mint(TOKEN, NOW).rpartition(".")[2]


def _cut_signature(proof: str) -> str:
    content, _, signature = proof.rpartition(".")
    return f"{content}.{base64url(urlsafe_b64decode(signature + '==')[:60]).decode()}"


def _der_signature(proof: str) -> str:
    content, _, signature = proof.rpartition(".")
    raw = urlsafe_b64decode(signature + "==")
    der = encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
    return f"{content}.{base64url(der).decode()}"


def _zero_signature(proof: str) -> str:
    return f"{proof.rpartition('.')[0]}.{base64url(bytes(64)).decode()}"


def _other_claims(proof: str) -> str:
    header, _, signature = proof.split(".")
    return ".".join((header, Proof().mint(TOKEN, NOW).split(".")[1], signature))


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(_another_signature, id="by somebody else"),
        pytest.param(_cut_signature, id="cut off"),
        pytest.param(_der_signature, id="in another form"),
        pytest.param(_zero_signature, id="of zeros alone (CVE-2022-21449)"),
        pytest.param(_other_claims, id="of other claims"),
    ],
)
def test_a_proof_with_a_wrong_signature_is_refused(change: Any) -> None:
    proof = change(Proof().mint(TOKEN, NOW))

    assert refusal_of(new_check(), proof)[0] is Reason.PROOF_WRONG


@pytest.mark.parametrize(
    "secret",
    [
        pytest.param(json.dumps(OWN).encode(), id="as JSON"),
        pytest.param(OWN["x"].encode(), id="a coordinate"),
        pytest.param(b"", id="nothing"),
    ],
)
def test_a_signature_by_a_public_key_used_as_a_secret_is_refused(secret: bytes) -> None:
    content = Proof(header={"alg": "HS256"}).mint(TOKEN, NOW).rpartition(".")[0]
    signature = base64url(hmac.digest(secret, content.encode(), "sha256")).decode()

    assert refusal_of(new_check(), f"{content}.{signature}") == (
        MALFORMED,
        "the key is for another algorithm",
    )


@pytest.mark.parametrize(
    ("bits", "sentence"),
    [
        pytest.param(1024, "jwk is a weak RSA key", id="a weak one"),
        pytest.param(16384, "jwk is an RSA key so large", id="one so large that it keeps everybody waiting"),
    ],
)
def test_an_rsa_key_of_a_wrong_size_is_refused_before_anything_is_computed_with_it(
    bits: int, sentence: str
) -> None:
    modulus = base64url((2**bits - 1).to_bytes(bits // 8, "big")).decode()
    header = {"typ": "dpop+jwt", "alg": "RS256", "jwk": {"kty": "RSA", "n": modulus, "e": "AQAB"}}
    claims = {"jti": "1", "htm": "POST", "htu": RESOURCE, "iat": NOW, "ath": token_hash(TOKEN)}
    proof = sign_proof(json.dumps(header).encode(), json.dumps(claims).encode())

    reason, detail = refusal_of(new_check(), proof)

    assert reason is MALFORMED
    assert detail.startswith(sentence)


@pytest.mark.parametrize("algorithm", EVERY_ALGORITHM)
def test_a_proof_may_be_signed_by_any_algorithm_that_the_challenge_names(algorithm: str) -> None:
    whose = principal(thumbprint(client_key(algorithm)))

    assert check(new_check(), Proof(algorithm).mint(TOKEN, NOW), whose=whose).dpop_nonce is None


def test_without_a_proof_nothing_passes() -> None:
    assert refusal_of(new_check()) == (Reason.PROOF_MISSING, "")


def test_two_proofs_are_not_one_even_when_both_are_good() -> None:
    first, second = Proof().mint(TOKEN, NOW), Proof().mint(TOKEN, NOW)

    assert refusal_of(new_check(), first, second)[0] is Reason.HEADER_DUPLICATED
    assert refusal_of(new_check(), first, first)[0] is Reason.HEADER_DUPLICATED
    assert refusal_of(new_check(), first, "evil")[0] is Reason.HEADER_DUPLICATED
    assert refusal_of(new_check(), f"{first}, {second}") == (MALFORMED, "not one JWT")


@pytest.mark.parametrize(
    ("cnf", "detail"),
    [
        pytest.param(None, "not bound by jkt", id="no binding"),
        pytest.param({}, "not bound by jkt", id="an empty binding"),
        pytest.param({"x5t#S256": "A"}, "not bound by jkt", id="a certificate"),
        pytest.param({"jwk": OWN}, "not bound by jkt", id="the key in place of its thumbprint"),
        pytest.param(
            {"jkt": thumbprint(client_key()), "x5t#S256": "A"}, "by more than jkt", id="two bindings"
        ),
        pytest.param({"jkt": [thumbprint(client_key())]}, "not bound by jkt", id="a list of thumbprints"),
    ],
)
def test_a_token_that_is_not_bound_to_a_key_alone_does_not_pass_even_with_a_proof(
    cnf: Any, detail: str
) -> None:
    whose = Principal(ISSUER, "alice", "agent", frozenset(), {"cnf": cnf})

    reason, what = refusal_of(new_check(), Proof().mint(TOKEN, NOW), whose=whose)

    assert reason is Reason.TOKEN_BINDING_WRONG
    assert what.endswith(detail)


@pytest.mark.parametrize(
    "jkt",
    [
        pytest.param(thumbprint(client_key()) + "=", id="with padding"),
        pytest.param(thumbprint(client_key())[:-1], id="cut off"),
        pytest.param(thumbprint(client_key()).swapcase(), id="in other cases"),
        pytest.param(thumbprint(client_key(owner="thief")), id="of another key"),
        pytest.param("é", id="beyond ASCII"),
    ],
)
def test_thumbprints_are_compared_whole(jkt: str) -> None:
    why = refusal_of(new_check(), Proof().mint(TOKEN, NOW), whose=principal(jkt))

    assert why == (WRONG, "the token is bound to another key")


# Once and no more


def test_a_proof_passes_once() -> None:
    dpop, proof = new_check(), Proof().mint(TOKEN, NOW)

    check(dpop, proof)

    assert refusal_of(dpop, proof) == (Reason.PROOF_REPLAYED, "")


def test_the_same_id_in_another_proof_of_the_same_key_is_the_same_proof() -> None:
    dpop = new_check()
    check(dpop, _with(jti="1").mint(TOKEN, NOW))

    assert refusal_of(dpop, _with(jti="1").mint(TOKEN, NOW - 5)) == (Reason.PROOF_REPLAYED, "")


def test_the_same_id_in_a_proof_of_another_key_is_another_proof() -> None:
    dpop = new_check()
    check(dpop, _with(jti="1").mint(TOKEN, NOW))

    other = Proof(claims={"jti": "1"}, owner="other").mint(TOKEN, NOW)

    assert check(dpop, other, whose=principal(thumbprint(client_key(owner="other")))).dpop_nonce is None


def test_the_other_signature_of_the_same_proof_makes_it_no_new_one() -> None:
    dpop, proof = new_check(), Proof().mint(TOKEN, NOW)
    content, _, signature = proof.rpartition(".")
    raw = urlsafe_b64decode(signature + "==")
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    twin = raw[:32] + (order - int.from_bytes(raw[32:], "big")).to_bytes(32, "big")
    check(dpop, proof)

    why = refusal_of(dpop, f"{content}.{base64url(twin).decode()}")

    assert why == (Reason.PROOF_REPLAYED, "")


@pytest.mark.parametrize(
    "made_at",
    [
        pytest.param(NOW, id="made just now"),
        pytest.param(NOW + LEEWAY, id="made by a clock that is ahead"),
        pytest.param(NOW - MAX_AGE, id="as old as may be"),
    ],
)
def test_at_no_time_does_a_proof_pass_a_second_time(made_at: float) -> None:
    clock = Clock(NOW)
    dpop = DPoP([RESOURCE], clock=clock)
    proof = _with(iat=made_at).mint(TOKEN)
    check(dpop, proof)

    for seconds in (0.0, 0.5, 29.0, 30.0, 31.0, 59.0, 60.0, 60.5, 89.0, 89.999, 90.0, 90.001, 120.0, 180.0):
        clock.now = NOW + seconds
        check(dpop, Proof().mint(TOKEN, clock.now))  # somebody's, so that the window turns
        is_too_old = seconds > made_at + MAX_AGE - NOW
        expected = (WRONG, "iat") if is_too_old else (Reason.PROOF_REPLAYED, "")
        assert refusal_of(dpop, proof) == expected


def test_a_clock_that_goes_back_makes_no_proof_new() -> None:
    clock = Clock(NOW)
    dpop = DPoP([RESOURCE], clock=clock)
    proof = Proof().mint(TOKEN, NOW)
    check(dpop, proof)

    for now in (NOW - 10, NOW - 3600, NOW - 31, NOW - 30, NOW, NOW + 60):
        clock.now = now
        with pytest.raises(Fault):
            check(dpop, proof)


def test_a_proof_that_was_refused_for_something_else_is_not_remembered() -> None:
    clock = Clock(NOW)
    dpop = DPoP([RESOURCE], clock=clock)
    early = _with(iat=NOW + LEEWAY + 5).mint(TOKEN)
    assert refusal_of(dpop, early) == (WRONG, "iat")

    clock.now = NOW + 5

    assert check(dpop, early).dpop_nonce is None


def test_a_proof_of_somebody_else_takes_no_room_in_the_window() -> None:
    dpop = new_check(replays=ReplayWindow(MAX_AGE + LEEWAY, capacity=1))
    for proof in (Proof(owner="thief"), _with(htm="GET"), _with(htu="https://evil.example/")):
        with pytest.raises(Fault):
            check(dpop, proof.mint(TOKEN, NOW))

    assert check(dpop, Proof().mint(TOKEN, NOW)).dpop_nonce is None


def test_when_nobody_can_tell_what_is_new_nothing_passes() -> None:
    dpop = new_check(replays=ReplayWindow(MAX_AGE + LEEWAY, capacity=1))
    check(dpop, Proof().mint(TOKEN, NOW))

    with pytest.raises(ReplayWindowFull):
        check(dpop, Proof().mint(TOKEN, NOW))


def test_a_client_with_many_keys_has_no_more_room_than_one_with_one_key() -> None:
    dpop = new_check(replays=ReplayWindow(MAX_AGE + LEEWAY, capacity=8))
    for position in range(8):
        owner = f"key {position % 4}"
        alice = principal(thumbprint(client_key(owner=owner)))
        with suppress(ReplayWindowFull):
            check(dpop, Proof(owner=owner).mint(TOKEN, NOW), whose=alice)

    bob = replace(principal(thumbprint(client_key(owner="bob"))), subject="bob")

    assert check(dpop, Proof(owner="bob").mint(TOKEN, NOW), whose=bob).dpop_nonce is None


# Nonces


def nonces(audience: str = RESOURCE, sealer: Sealer = SEALER) -> Nonces:
    return Nonces(sealer, audience)


def with_nonces(now: float = NOW) -> DPoP:
    return new_check(now, nonces=nonces())


def judge_nonce(nonce: str | None) -> tuple[bool, str | None]:
    """Return whether a nonce is taken, and which one is to be used from now on."""
    scope = http_scope(headers=[("dpop", _with(nonce=nonce).mint(TOKEN, NOW))])
    exchange = exchange_of(scope)
    refused: Fault | None = None
    try:
        with_nonces().check(scope, exchange, TOKEN.encode(), principal())
    except Fault as fault:
        refused = fault
    assert refused is None or (refused.reason, refused.detail) == (Reason.PROOF_NONCE_WRONG, "")
    return refused is None, exchange.dpop_nonce


NEW_NONCE = nonces().make(NOW)


@pytest.mark.parametrize(
    ("made_at", "is_taken", "is_renewed"),
    [
        pytest.param(NOW, True, False, id="just now"),
        pytest.param(NOW - NONCE_LIFETIME / 2, True, False, id="half its life ago"),
        pytest.param(NOW - NONCE_LIFETIME / 2 - 1, True, True, id="a second more than that"),
        pytest.param(NOW - NONCE_LIFETIME, True, True, id="its whole life ago"),
        pytest.param(NOW - NONCE_LIFETIME - 1, False, True, id="a second more than that, too old"),
        pytest.param(0, False, True, id="at the beginning of time"),
        pytest.param(NOW + LEEWAY, True, False, id="by a replica whose clock is ahead"),
        pytest.param(NOW + LEEWAY + 1, False, True, id="later than any clock says"),
        pytest.param(NOW + 1_000_000, False, True, id="before the clock was put right"),
    ],
)
def test_a_nonce_is_good_for_a_while_and_renewed_in_time(
    made_at: float,
    is_taken: bool,  # noqa: FBT001
    is_renewed: bool,  # noqa: FBT001
) -> None:
    assert judge_nonce(nonces().make(made_at)) == (is_taken, NEW_NONCE if is_renewed else None)


@pytest.mark.parametrize(
    "nonce",
    [
        pytest.param(None, id="none"),
        pytest.param("", id="an empty one"),
        pytest.param("x", id="one that nobody made"),
        pytest.param("é", id="one beyond ASCII"),
        pytest.param(str(NOW), id="the time"),
        pytest.param("A" * 4000, id="a very long one"),
        pytest.param(NEW_NONCE + "=", id="ours with padding"),
        pytest.param(NEW_NONCE + "\n", id="ours with a line end"),
        pytest.param(NEW_NONCE[:-1], id="ours, cut off"),
        pytest.param(NEW_NONCE.swapcase(), id="ours in other cases"),
        pytest.param(nonces("https://wiki.example.com/mcp").make(NOW), id="one of another route"),
        pytest.param(nonces(RESOURCE + "/").make(NOW), id="one of a route with almost that name"),
        pytest.param(nonces(sealer=Sealer([b"o" * MIN_KEY])).make(NOW), id="one of another gate"),
        pytest.param(SEALER.seal(b"%d" % NOW, [RESOURCE.encode()]), id="a time sealed for something else"),
        pytest.param(
            SEALER.seal(b"%d" % NOW, [b"session", RESOURCE.encode()]), id="a time sealed as a session"
        ),
    ],
)
def test_what_is_no_nonce_of_this_gate_and_route_is_refused_and_a_new_one_told(nonce: str | None) -> None:
    assert judge_nonce(nonce) == (False, NEW_NONCE)


@given(st.text() | st.text("AZaz09-_", max_size=60))
def test_whatever_stands_for_a_nonce_nothing_breaks(nonce: str) -> None:
    assert nonces().age(nonce, NOW) is None


def test_a_new_nonce_is_not_one_that_was_given_before() -> None:
    made = {nonces().make(NOW + seconds) for seconds in range(1000)}

    assert len(made) == 1000


def test_a_nonce_of_an_older_sealing_key_is_taken_and_replaced_in_time() -> None:
    old, new = b"o" * MIN_KEY, b"n" * MIN_KEY
    rotated = Nonces(Sealer([new, old]), RESOURCE)

    assert rotated.age(Nonces(Sealer([old]), RESOURCE).make(NOW - 7), NOW) == 7
    assert Nonces(Sealer([old]), RESOURCE).age(rotated.make(NOW), NOW) is None


def test_a_nonce_stands_for_no_other_check() -> None:
    nonce = nonces().make(NOW)
    dpop = with_nonces()

    for proof, reason in (
        (_with(nonce=nonce, htm="GET"), Reason.PROOF_WRONG),
        (_with(nonce=nonce, iat=NOW - 100), Reason.PROOF_WRONG),
        (Proof(claims={"nonce": nonce}, owner="thief"), Reason.PROOF_WRONG),
    ):
        assert refusal_of(dpop, proof.mint(TOKEN, NOW))[0] is reason


def test_a_proof_with_a_nonce_passes_once_and_the_nonce_again_and_again() -> None:
    dpop, nonce = with_nonces(), nonces().make(NOW)
    proof = _with(nonce=nonce).mint(TOKEN, NOW)

    check(dpop, proof)

    assert refusal_of(dpop, proof) == (Reason.PROOF_REPLAYED, "")
    assert check(dpop, _with(nonce=nonce).mint(TOKEN, NOW)).dpop_nonce is None


# Whatever comes

VALID = Proof().mint(TOKEN, NOW)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(max_size=50),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=4,
)
KEY_MEMBERS = st.dictionaries(
    st.sampled_from(["kty", "crv", "x", "y", "n", "e", "alg", "use", "key_ops", "kid", "d", "k"]),
    ANYTHING
    | st.sampled_from(["EC", "RSA", "OKP", "oct", "P-256", "P-384", "P-521", "Ed25519", "Ed448", "X25519"])
    | st.text("AQB_-=", max_size=90),
    max_size=4,
)


def fails(raw: bytes) -> bool:
    """Return whether octets are refused as a proof; nothing but a fault may come out."""
    scope = {**http_scope(headers=[]), "headers": [(b"dpop", raw)]}
    try:
        new_check().check(scope, exchange_of(scope), TOKEN.encode(), principal())
    except Fault:
        return True
    return False


@given(st.binary() | st.text("ey.J-_=A, ", max_size=40).map(str.encode))
def test_octets_that_are_no_proof_are_refused_with_nothing_but_a_fault(raw: bytes) -> None:
    assert fails(raw)


@given(st.integers(0, len(VALID) - 1), st.sampled_from("ABCabc019-_.=~ ,\n"))
def test_a_proof_with_one_letter_changed_is_refused(position: int, letter: str) -> None:
    changed = VALID[:position] + letter + VALID[position + 1 :]

    assert fails(changed.encode()) is (changed != VALID)


@given(KEY_MEMBERS, st.sampled_from(["ES256", "RS256", "EdDSA", "Ed25519", "ES512", "HS256", "none"]))
def test_whatever_key_a_proof_brings_along_nothing_but_a_fault_comes_out(
    members: dict[str, Any], algorithm: str
) -> None:
    is_ours = {**OWN, **members}.items() >= OWN.items() and {"d", "k"}.isdisjoint(members)
    proof = Proof(header={"jwk": {**OWN, **members}, "alg": algorithm}).mint(TOKEN, NOW)

    assert fails(proof.encode()) or (is_ours and algorithm == "ES256")


@given(
    st.dictionaries(st.sampled_from(["alg", "kid", "typ", "x", "enc", "p2c", "apu"]), ANYTHING, min_size=1)
)
def test_whatever_header_a_proof_has_nothing_but_a_fault_comes_out(header: dict[str, Any]) -> None:
    is_ours = header.get("alg", "ES256") == "ES256" and header.get("typ", "dpop+jwt") == "dpop+jwt"
    proof = Proof(header=header).mint(TOKEN, NOW)

    assert fails(proof.encode()) or is_ours


@given(st.text(max_size=60) | st.text("htps:/docs.exampl[]@?#%:1_\\", max_size=60))
def test_whatever_url_a_proof_names_nothing_but_a_fault_comes_out(url: str) -> None:
    assert fails(_url(url).mint(TOKEN, NOW).encode())


# Another implementation


def pem_free_key(algorithm: str) -> Any:
    """Return a private key that another library made, for PyJWT to sign with."""
    match algorithm[:2]:
        case "ES":
            curves = {"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1(), "ES512": ec.SECP521R1()}
            return ec.generate_private_key(curves[algorithm])
        case "Ed":
            return ed25519.Ed25519PrivateKey.generate()
        case _:
            return rsa.generate_private_key(65537, 2048)


BY_PYJWT = sorted(set(EVERY_ALGORITHM) & set(PyJWS().get_algorithms()))


def test_the_other_implementation_knows_most_algorithms() -> None:
    assert set(EVERY_ALGORITHM) - set(BY_PYJWT) <= {"Ed25519"}


@pytest.mark.parametrize("algorithm", BY_PYJWT)
def test_a_proof_that_pyjwt_made_passes(algorithm: str) -> None:
    key = pem_free_key(algorithm)
    jwk = jwt.get_algorithm_by_name(algorithm).to_jwk(key.public_key(), as_dict=True)
    public = {name: value for name, value in jwk.items() if name != "key_ops"}
    claims = {"jti": "1", "htm": "POST", "htu": RESOURCE, "iat": NOW, "ath": token_hash(TOKEN)}
    proof = jwt.encode(claims, key, algorithm, headers={"typ": "dpop+jwt", "jwk": public})
    required = {name: value for name, value in public.items() if name in ("crv", "e", "kty", "n", "x", "y")}
    digest = token_hash(json.dumps(required, sort_keys=True, separators=(",", ":")))

    assert check(new_check(), proof, whose=principal(digest)).dpop_nonce is None


@pytest.mark.parametrize("algorithm", BY_PYJWT)
def test_what_passes_pyjwt_takes_as_well(algorithm: str) -> None:
    proof = Proof(algorithm).mint(TOKEN, NOW)
    check(new_check(), proof, whose=principal(thumbprint(client_key(algorithm))))
    header = jwt.get_unverified_header(proof)

    claims = jwt.decode(
        proof,
        jwt.PyJWK(header["jwk"], algorithm).key,
        [header["alg"]],
        options={"require": ["jti", "iat"], "verify_iat": False},
    )

    assert (claims["htm"], claims["htu"], claims["ath"]) == ("POST", RESOURCE, token_hash(TOKEN))


# As part of the layer that verifies tokens


@dataclass
class Gate:
    """The layer as an application uses it, with what came through and what was written down."""

    app: ASGIApp = field(default_factory=Spy)
    nonces: Nonces | None = None
    replays: ReplayWindow | None = None
    scopes: Sequence[str] = ("docs:read",)

    def __post_init__(self) -> None:
        self.clock = Clock(NOW)
        self.records = Records()
        layer = BearerAuthentication(
            self.app,
            resource=RESOURCE,
            issuers=[trusted_issuer()],
            scopes=self.scopes,
            proof=DPoP([RESOURCE], nonces=self.nonces, replays=self.replays, clock=self.clock),
            clock=self.clock,
        )
        self._layers = AuditLog(layer, sink=self.records)

    async def ask(self, *credentials: tuple[str, str]) -> Reply:
        """Send a request with these headers."""
        return await call(self._layers, http_scope(headers=[("host", "docs.example.com"), *credentials]))

    async def prove(self, proof: Proof | None = None, token: str = TOKEN) -> Reply:
        """Send a request with a token and a proof for it."""
        minted = (proof or Proof()).mint(token, self.clock.now)
        return await self.ask(("authorization", f"DPoP {token}"), ("dpop", minted))


def challenge(error: str = "", scope: str = "docs:read") -> str:
    named = f'error="{error}", ' if error else ""
    return f'DPoP {named}scope="{scope}", {METADATA}, {ALGS}'


INVALID_TOKEN, INVALID_PROOF = challenge("invalid_token"), challenge("invalid_dpop_proof")


def told(reply: Reply) -> tuple[int, Any, str | None]:
    return reply.status, reply.json(), reply.header("www-authenticate")


REFUSED_TOKEN = (401, {"error": "invalid_token"}, INVALID_TOKEN)
REFUSED_PROOF = (401, {"error": "invalid_dpop_proof"}, INVALID_PROOF)


@pytest.mark.parametrize("scheme", ["DPoP", "dpop", "DPOP"])
@pytest.mark.promise("token-stays-here")
@pytest.mark.anyio
async def test_neither_token_nor_proof_reaches_the_application_or_the_record(scheme: str) -> None:
    spy = Spy()
    gate = Gate(spy)
    proof = Proof().mint(TOKEN, NOW)

    reply = await gate.ask(("authorization", f"{scheme} {TOKEN}"), ("dpop", proof), ("accept", "text/plain"))

    assert reply.status == 200
    assert reply.header("dpop-nonce") is None
    assert gate.records.verdicts == [("allow", None)]
    assert spy.seen_headers == {"host": "docs.example.com", "accept": "text/plain"}
    seen = f"{spy.scopes!r} {gate.records.all!r}"
    for secret in (*TOKEN.split("."), *proof.split(".")):
        assert secret not in seen


@pytest.mark.promise("token-stays-here")
@pytest.mark.anyio
async def test_where_no_proof_is_asked_for_one_that_comes_nevertheless_goes_no_further() -> None:
    spy, records = Spy(), Records()
    layer = BearerAuthentication(spy, resource=RESOURCE, issuers=[trusted_issuer()], clock=lambda: float(NOW))
    token = Token().mint(NOW)
    headers = [("authorization", f"Bearer {token}"), ("dpop", Proof().mint(token, NOW))]

    reply = await call(AuditLog(layer, sink=records), http_scope(headers=headers))

    assert reply.status == 200
    assert spy.seen_headers == {}


@pytest.mark.promise("challenge-complete")
@pytest.mark.anyio
async def test_who_comes_without_a_token_is_told_to_prove_one_and_how() -> None:
    gate = Gate()

    assert told(await gate.ask()) == (401, {"error": "token_required"}, challenge())
    assert gate.records.verdicts == [("deny", Reason.TOKEN_MISSING)]


UNBOUND = Token().mint(NOW)
OF_A_CERTIFICATE = Token(claims={"cnf": {"x5t#S256": "A" * 43}}).mint(NOW)
BOUND_TWICE = Token(claims={"cnf": {"jkt": thumbprint(client_key()), "x5t#S256": "A" * 43}}).mint(NOW)


@pytest.mark.parametrize(
    ("scheme", "token", "proof", "answer", "reason"),
    [
        pytest.param("Bearer", TOKEN, Proof(), REFUSED_TOKEN, Reason.TOKEN_MALFORMED, id="under Bearer"),
        pytest.param("Bearer", TOKEN, None, REFUSED_TOKEN, Reason.TOKEN_MALFORMED, id="stolen"),
        pytest.param("Basic", "YTpi", Proof(), REFUSED_TOKEN, Reason.TOKEN_MALFORMED, id="Basic"),
        pytest.param(
            "DPoP", UNBOUND, Proof(), REFUSED_TOKEN, Reason.TOKEN_BINDING_WRONG, id="an unbound token"
        ),
        pytest.param(
            "Bearer", UNBOUND, None, REFUSED_TOKEN, Reason.TOKEN_MALFORMED, id="an unbound one under Bearer"
        ),
        pytest.param(
            "DPoP",
            OF_A_CERTIFICATE,
            Proof(),
            REFUSED_TOKEN,
            Reason.TOKEN_BINDING_WRONG,
            id="a token that is bound to a certificate",
        ),
        pytest.param(
            "DPoP", BOUND_TWICE, Proof(), REFUSED_TOKEN, Reason.TOKEN_BINDING_WRONG, id="one bound twice"
        ),
        pytest.param("DPoP", TOKEN, None, REFUSED_PROOF, Reason.PROOF_MISSING, id="without a proof"),
        pytest.param(
            "DPoP",
            TOKEN,
            _with(htm="GET"),
            REFUSED_PROOF,
            Reason.PROOF_WRONG,
            id="a proof for another method",
        ),
        pytest.param(
            "DPoP",
            TOKEN,
            Proof(header={"typ": "JWT"}),
            REFUSED_PROOF,
            Reason.PROOF_MALFORMED,
            id="another kind of JWT",
        ),
        pytest.param(
            "DPoP", TOKEN, Proof(owner="thief"), REFUSED_PROOF, Reason.PROOF_WRONG, id="a proof of a thief"
        ),
        pytest.param(
            "DPoP",
            bound_token(NOW, exp=NOW - 100),
            Proof(),
            REFUSED_TOKEN,
            Reason.TOKEN_EXPIRED,
            id="an old token with a good proof",
        ),
    ],
)
@pytest.mark.anyio
async def test_each_token_and_proof_that_does_not_pass_is_answered_under_the_scheme_of_the_route(
    scheme: str, token: str, proof: Proof | None, answer: tuple[int, Any, str], reason: Reason
) -> None:
    spy = Spy()
    gate = Gate(spy)
    proofs = [] if proof is None else [("dpop", proof.mint(token, NOW))]

    reply = await gate.ask(("authorization", f"{scheme} {token}"), *proofs)

    assert told(reply) == answer
    assert gate.records.verdicts == [("deny", reason)]
    assert spy.scopes == []
    assert token not in repr(gate.records.all)


@pytest.mark.anyio
async def test_two_proofs_are_refused_also_where_nobody_before_looked_at_the_headers() -> None:
    spy = Spy()
    gate = Gate(spy)
    proofs = [("dpop", Proof().mint(TOKEN, NOW)) for _ in range(2)]

    reply = await gate.ask(("authorization", f"DPoP {TOKEN}"), *proofs)

    assert (reply.status, reply.json()) == (400, {"error": "bad_request"})
    assert gate.records.verdicts == [("deny", Reason.HEADER_DUPLICATED)]
    assert spy.scopes == []


@pytest.mark.anyio
async def test_a_token_that_was_found_genuine_needs_a_new_proof_each_time() -> None:
    spy = Spy()
    gate = Gate(spy)
    proof = Proof().mint(TOKEN, NOW)
    headers = [("authorization", f"DPoP {TOKEN}"), ("dpop", proof)]

    replies = [await gate.ask(*headers), await gate.ask(*headers), await gate.ask(headers[0])]

    assert replies[0].status == 200
    assert [told(each) for each in replies[1:]] == [REFUSED_PROOF, REFUSED_PROOF]
    assert gate.records.verdicts == [
        ("allow", None),
        ("deny", Reason.PROOF_REPLAYED),
        ("deny", Reason.PROOF_MISSING),
    ]
    assert (await gate.prove()).status == 200
    assert len(spy.scopes) == 2


@pytest.mark.anyio
async def test_a_proof_for_one_token_is_none_for_another_of_the_same_client() -> None:
    gate = Gate()
    other = bound_token(NOW, sub="bob")

    reply = await gate.ask(("authorization", f"DPoP {other}"), ("dpop", Proof().mint(TOKEN, NOW)))

    assert told(reply) == REFUSED_PROOF
    assert gate.records.all[0]["detail"] == "ath"


@pytest.mark.promise("refused-or-broken")
@pytest.mark.anyio
async def test_while_nobody_can_tell_what_is_new_everybody_is_told_to_come_back() -> None:
    spy = Spy()
    gate = Gate(spy, replays=ReplayWindow(MAX_AGE + LEEWAY, capacity=1))
    await gate.prove()

    reply = await gate.prove()

    assert told(reply) == (503, {"error": "unavailable"}, None)
    assert gate.records.verdicts[1:] == [("broken", Reason.REPLAY_WINDOW_FULL)]
    assert gate.records.all[1]["detail"].startswith("1 proofs, 1 of this ")
    assert len(spy.scopes) == 1


class NamesNonces:
    """An application that answers with nonces of its own."""

    def __init__(self, *names: bytes) -> None:
        self.names = names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"content-type", b"text/plain"), *((name, b"mine") for name in self.names)]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"done"})


def sent_nonces(reply: Reply) -> list[str]:
    return [value for name, value in reply.headers if name.lower() == "dpop-nonce"]


@pytest.mark.anyio
async def test_a_client_learns_a_nonce_uses_it_and_is_given_the_next_one_in_time() -> None:
    gate = Gate(NamesNonces(), nonces())

    first = await gate.prove()
    assert told(first) == (401, {"error": "use_dpop_nonce"}, challenge("use_dpop_nonce"))
    (nonce,) = sent_nonces(first)

    second = await gate.prove(_with(nonce=nonce))
    assert (second.status, sent_nonces(second)) == (200, [])

    gate.clock.now += NONCE_LIFETIME / 2 + 1
    third = await gate.prove(_with(nonce=nonce))
    (renewed,) = sent_nonces(third)
    assert (third.status, third.body) == (200, b"done")
    assert renewed != nonce

    gate.clock.now = NOW + NONCE_LIFETIME - 20  # the token has its end as well
    fourth = await gate.prove(_with(nonce=renewed))
    assert (fourth.status, sent_nonces(fourth)) == (200, [])


@pytest.mark.parametrize(
    "names",
    [
        pytest.param([], id="none"),
        pytest.param([b"dpop-nonce"], id="one"),
        pytest.param([b"DPoP-Nonce"], id="one in capitals"),
        pytest.param([b"dpop-nonce", b"DPOP-NONCE"], id="two"),
    ],
)
@pytest.mark.anyio
async def test_a_new_nonce_is_told_exactly_once_whatever_the_application_sends(names: list[bytes]) -> None:
    gate = Gate(NamesNonces(*names), nonces())
    old = nonces().make(NOW - NONCE_LIFETIME)

    reply = await gate.prove(_with(nonce=old))

    assert sent_nonces(reply) == [NEW_NONCE]
    assert (reply.status, reply.header("content-type"), reply.body) == (200, "text/plain", b"done")


@pytest.mark.anyio
async def test_an_answer_without_any_header_carries_the_new_nonce() -> None:
    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 204})
        await send({"type": "http.response.body"})

    reply = await Gate(application, nonces()).prove(_with(nonce=nonces().make(NOW - NONCE_LIFETIME)))

    assert (reply.status, reply.headers) == (204, [("dpop-nonce", NEW_NONCE)])


@pytest.mark.parametrize(
    ("gate", "proof", "status", "word"),
    [
        pytest.param(
            Gate(nonces=nonces(), scopes=["docs:admin"]), {}, 403, "insufficient_scope", id="a scope"
        ),
        pytest.param(Gate(nonces=nonces()), {"nonce": "x"}, 401, "use_dpop_nonce", id="the nonce itself"),
    ],
)
@pytest.mark.anyio
async def test_a_refusal_tells_the_new_nonce_exactly_once(
    gate: Gate, proof: Mapping[str, Any], status: int, word: str
) -> None:
    old = nonces().make(NOW - NONCE_LIFETIME)

    reply = await gate.prove(_with(**{"nonce": old, **proof}))

    assert (reply.status, reply.json(), sent_nonces(reply)) == (status, {"error": word}, [NEW_NONCE])


@pytest.mark.anyio
async def test_a_proof_that_comes_twice_with_an_old_nonce_is_told_the_new_one() -> None:
    gate = Gate(nonces=nonces())
    proof = _with(nonce=nonces().make(NOW - NONCE_LIFETIME), jti="1")
    await gate.prove(proof)

    reply = await gate.prove(proof)

    assert told(reply) == REFUSED_PROOF
    assert sent_nonces(reply) == [NEW_NONCE]


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param([], id="no token"),
        pytest.param([("authorization", f"Bearer {TOKEN}")], id="a token under Bearer"),
        pytest.param([("authorization", f"DPoP {TOKEN}")], id="no proof"),
        pytest.param(
            [("authorization", f"DPoP {TOKEN}"), ("dpop", Proof(owner="thief").mint(TOKEN, NOW))],
            id="a proof of a thief",
        ),
    ],
)
@pytest.mark.anyio
async def test_who_has_shown_no_key_is_given_no_nonce(headers: list[tuple[str, str]]) -> None:
    assert sent_nonces(await Gate(nonces=nonces()).ask(*headers)) == []


# As part of the whole gate

WIKI = "https://wiki.example.com/mcp"


class Whole:
    """The chain by a policy, with two routes that need proofs and one that needs none."""

    def __init__(self, dpop: Dpop | None = None, wiki: str | None = RESOURCE) -> None:
        self.spy = Spy()
        self.records = Records()
        self.clock = Clock(NOW)
        scopes = ["docs:read"]
        tools = {"search_docs": None, "drop_docs": Rule(scopes=["docs:admin"])}
        policy = Policy(
            tunnel_domain="tunnel.example.com",
            clients=Clients(allowed_ips=["127.0.0.0/8"]),
            oauth=OAuth(issuers=[Issuer(issuer=ISSUER, jwks_uri=f"{ISSUER}/keys")]),
            dpop=dpop or Dpop(),
            routes={
                "docs.example.com": Route(
                    proof="dpop", tools=tools, scopes=scopes, public_paths=["/healthz"]
                ),
                "wiki.example.com": Route(proof="dpop", tools=tools, scopes=scopes, resource=wiki),
                "open.example.com": Route(tools=tools, resource=RESOURCE),
            },
        )
        self.app = protect(
            self.spy,
            policy,
            audit=self.records,
            keys_of=lambda issuer: StaticKeys(jwks("ES256")),
            sealer=SEALER,
            clock=self.clock,
        )

    async def ask(
        self,
        proof: Proof | None,
        token: str = TOKEN,
        *,
        host: str = "docs.example.com",
        tool: str = "search_docs",
        scheme: str = "DPoP",
        era: Any = legacy,
        more: Headers = (),
    ) -> Reply:
        headers, body = era("tools/call", {"name": tool})
        headers = [pair for pair in headers if pair[0] != "host"]
        headers += [("host", host), ("authorization", f"{scheme} {token}"), *more]
        if proof is not None:
            headers.append(("dpop", proof.mint(token, self.clock.now)))
        return await call(self.app, http_scope(headers=headers), body)


@pytest.mark.parametrize("era", [pytest.param(legacy, id="legacy"), pytest.param(modern, id="modern")])
@pytest.mark.anyio
async def test_a_route_with_dpop_takes_a_bound_token_with_a_proof_and_hands_neither_over(era: Any) -> None:
    gate = Whole()

    reply = await gate.ask(Proof(), era=era)

    assert (reply.status, gate.records.verdicts) == (200, [("allow", None)])
    assert {"authorization", "dpop"}.isdisjoint(gate.spy.seen_headers)
    assert gate.records.all[0]["principal"]["subject"] == "alice"
    for part in TOKEN.split("."):
        assert part not in f"{gate.spy.scopes!r} {gate.records.all!r}"


DOCS_IN_THE_TUNNEL = "docs.example.com.tunnel.example.com"


@pytest.mark.parametrize(
    ("host", "url", "passes"),
    [
        pytest.param("docs.example.com", RESOURCE, True, id="its own name"),
        pytest.param(DOCS_IN_THE_TUNNEL, f"https://{DOCS_IN_THE_TUNNEL}/mcp", True, id="its other name"),
        pytest.param("docs.example.com", WIKI, False, id="the name of another route"),
        pytest.param("wiki.example.com", WIKI, True, id="another route"),
        pytest.param("wiki.example.com", RESOURCE, False, id="the resource, which is no URL of that route"),
        pytest.param("docs.example.com", "https://docs.example.com/healthz", False, id="a public path"),
        pytest.param("docs.example.com", "http://docs.example.com/mcp", False, id="without TLS"),
    ],
)
@pytest.mark.anyio
async def test_a_proof_is_for_a_url_at_which_clients_reach_the_route(
    host: str,
    url: str,
    passes: bool,  # noqa: FBT001
) -> None:
    gate = Whole()

    reply = await gate.ask(_url(url), host=host)

    assert reply.status == (200 if passes else 401)
    assert gate.records.verdicts == [("allow", None) if passes else ("deny", Reason.PROOF_WRONG)]


@pytest.mark.anyio
async def test_a_proof_passes_once_whichever_name_of_the_route_it_comes_under() -> None:
    gate = Whole()
    proof = _with(jti="1")
    await gate.ask(proof)

    assert (await gate.ask(proof, host=DOCS_IN_THE_TUNNEL)).status == 401
    assert gate.records.verdicts[1] == ("deny", Reason.PROOF_REPLAYED)


@pytest.mark.parametrize(
    ("scheme", "reason"),
    [
        pytest.param("Bearer", Reason.TOKEN_BINDING_WRONG, id="under Bearer"),
        pytest.param("DPoP", Reason.TOKEN_MALFORMED, id="under DPoP"),
    ],
)
@pytest.mark.anyio
async def test_a_route_that_checks_no_proof_takes_no_bound_token_with_a_proof_or_without(
    scheme: str, reason: Reason
) -> None:
    gate = Whole()

    for proof in (None, _url("https://open.example.com/mcp")):
        reply = await gate.ask(proof, host="open.example.com", scheme=scheme)
        assert reply.status == 401
        assert (reply.header("www-authenticate") or "").startswith('Bearer error="invalid_token"')
        assert "algs" not in (reply.header("www-authenticate") or "")

    assert gate.records.verdicts == [("deny", reason)] * 2


@pytest.mark.anyio
async def test_two_proofs_are_refused_before_anybody_reads_them() -> None:
    gate = Whole()

    reply = await gate.ask(Proof(), more=[("dpop", Proof().mint(TOKEN, NOW))])

    assert (reply.status, reply.json()) == (400, {"error": "bad_request"})
    assert gate.records.verdicts == [("deny", Reason.HEADER_DUPLICATED)]


@pytest.mark.promise("challenge-complete")
@pytest.mark.anyio
async def test_who_lacks_a_scope_is_told_under_the_scheme_of_the_route() -> None:
    gate = Whole()

    reply = await gate.ask(Proof(), tool="drop_docs")

    expected = challenge("insufficient_scope", "docs:read docs:admin")
    assert told(reply) == (403, {"error": "insufficient_scope"}, expected)


@pytest.mark.anyio
async def test_the_policy_says_how_old_a_proof_may_be() -> None:
    gate = Whole(Dpop(max_age=10.0))

    replies = [await gate.ask(_with(iat=NOW - age)) for age in (10, 11)]

    assert [each.status for each in replies] == [200, 401]


@pytest.mark.anyio
async def test_the_policy_may_ask_for_nonces_and_those_of_another_route_do_not_count() -> None:
    gate = Whole(Dpop(require_nonce=True), wiki=None)
    refused = await gate.ask(Proof())
    (nonce,) = sent_nonces(refused)

    assert told(refused)[:2] == (401, {"error": "use_dpop_nonce"})
    assert (await gate.ask(_with(nonce=nonce))).status == 200
    other = await gate.ask(
        Proof(claims={"nonce": nonce, "htu": WIKI}), bound_token(NOW, aud=WIKI), host="wiki.example.com"
    )
    assert told(other)[1] == {"error": "use_dpop_nonce"}
    assert sent_nonces(other) == [nonces(WIKI).make(NOW)]


@pytest.mark.anyio
async def test_a_call_that_mcp_refuses_carries_the_new_nonce_once_as_well() -> None:
    gate = Whole(Dpop(require_nonce=True))

    reply = await gate.ask(_with(nonce=nonces().make(NOW - NONCE_LIFETIME)), tool="unknown")

    assert (reply.status, reply.json()["error"]["code"]) == (200, -32602)
    assert sent_nonces(reply) == [NEW_NONCE]


@pytest.mark.anyio
async def test_a_public_path_of_a_route_with_dpop_needs_neither_token_nor_proof() -> None:
    gate = Whole()

    reply = await call(gate.app, http_scope("GET", "/healthz", [("host", "docs.example.com")]))

    assert (reply.status, reply.header("www-authenticate")) == (200, None)


def test_over_a_real_connection_a_proof_passes_once() -> None:
    gate = Whole()
    headers, body = legacy("tools/call", {"name": "search_docs"})
    fields = dict(headers) | {"authorization": f"DPoP {TOKEN}", "dpop": Proof().mint(TOKEN, NOW)}
    seen: list[tuple[int, str | None]] = []

    with serve(gate.app) as port:
        for _ in range(2):
            connection = HTTPConnection("127.0.0.1", port, timeout=10)
            connection.request("POST", "/mcp", body, fields)
            answer = connection.getresponse()
            answer.read()
            seen.append((answer.status, answer.getheader("www-authenticate")))
            connection.close()

    assert seen == [(200, None), (401, INVALID_PROOF)]
