import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.proofs import Proof, client_key, public_jwk, token_hash
from tests.support.tokens import RESOURCE, base64url
from tunnelgate import Reason
from tunnelgate.reading.dpop import UnverifiedProof, read_proof
from tunnelgate.reading.fault import Fault

NOW = 1_800_000_000
MAX_PROOF = 8192
MAX_ID = 256
LATEST = 253_402_300_799

JWK = {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}
HEADER = {"typ": "dpop+jwt", "alg": "ES256", "jwk": JWK}
CLAIMS = {"jti": "1", "htm": "POST", "htu": RESOURCE, "iat": NOW, "ath": "AA"}

# RFC 9449 section 7.1, figure 12
OF_THE_RFC = (
    b"eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkR"
    b"ZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQS"
    b"IsImNydiI6IlAtMjU2In19.eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIjoiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNv"
    b"dXJjZS5leGFtcGxlLm9yZy9wcm90ZWN0ZWRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0RaNTN"
    b"Fc05yV0JiMHhXWG9hTnk1OUlpS0NBcWtzbVFFbyJ9.2oW9RP35yRqzhrtNP86L-Ey71EOptxRimPPToA1plemAgR6pxHF8y6-yq"
    b"yVnmcw6Fy1dqd-jfxSYoMxhAJpLjA"
)


def compact(header: Any = HEADER, claims: Any = CLAIMS, signature: bytes = b"signed") -> bytes:
    """Return a JWT; a header or claims in octets are taken as they are."""
    parts = [part if isinstance(part, bytes) else json.dumps(part).encode() for part in (header, claims)]
    return b".".join(base64url(part) for part in (*parts, signature))


def without(members: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {each: value for each, value in members.items() if each != name}


def test_the_example_of_the_specification_is_read() -> None:
    assert read_proof(OF_THE_RFC) == UnverifiedProof(
        algorithm="ES256",
        key={
            "kty": "EC",
            "x": "l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs",
            "y": "9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA",
            "crv": "P-256",
        },
        id="e1j3V_bKic8-LAEB",
        method="GET",
        url="https://resource.example.org/protectedresource",
        issued_at=1562262618,
        token_hash="fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo",
        nonce=None,
    )


def test_what_a_real_proof_claims_is_read_without_checking_it() -> None:
    proof = read_proof(Proof(claims={"jti": "7", "nonce": "n"}).mint("a token", NOW).encode())

    assert proof == UnverifiedProof(
        algorithm="ES256",
        key=public_jwk(client_key()),
        id="7",
        method="POST",
        url=RESOURCE,
        issued_at=NOW,
        token_hash=token_hash("a token"),
        nonce="n",
    )


@pytest.mark.parametrize(
    ("proof", "attribute", "expected"),
    [
        pytest.param(compact({**HEADER, "alg": "none"}), "algorithm", "none", id="another's work: none"),
        pytest.param(compact({**HEADER, "alg": "HS256"}), "algorithm", "HS256", id="another's work: HS256"),
        pytest.param(compact({**HEADER, "jwk": {}}), "key", {}, id="another's work: an empty key"),
        pytest.param(
            compact({**HEADER, "jwk": {**JWK, "d": "AA"}}),
            "key",
            {**JWK, "d": "AA"},
            id="another's work: a private key",
        ),
        pytest.param(compact({**HEADER, "kid": "k"}), "key", JWK, id="a kid beside the key"),
        pytest.param(compact({**HEADER, "x": 1}), "key", JWK, id="an unknown header"),
        pytest.param(
            compact(b' {"typ":"dpop+jwt", "a\\u006cg":"ES256","jwk":{}}\n'), "key", {}, id="a loose header"
        ),
        pytest.param(compact(claims={**CLAIMS, "jti": "i" * MAX_ID}), "id", "i" * MAX_ID, id="a long jti"),
        pytest.param(compact(claims={**CLAIMS, "jti": "\0"}), "id", "\0", id="a NUL for a jti"),
        pytest.param(
            compact(claims={**CLAIMS, "htm": "post"}), "method", "post", id="another's work: the method"
        ),
        pytest.param(
            compact(claims={**CLAIMS, "htu": "no URL"}), "url", "no URL", id="another's work: the URL"
        ),
        pytest.param(compact(claims={**CLAIMS, "iat": 0}), "issued_at", 0, id="the first second"),
        pytest.param(compact(claims={**CLAIMS, "iat": LATEST}), "issued_at", LATEST, id="the last second"),
        pytest.param(compact(claims={**CLAIMS, "iat": NOW + 0.5}), "issued_at", NOW + 0.5, id="a fraction"),
        pytest.param(compact(claims={**CLAIMS, "nonce": "n"}), "nonce", "n", id="a nonce"),
        pytest.param(compact(claims={**CLAIMS, "nonce": ""}), "nonce", "", id="an empty nonce"),
        pytest.param(compact(claims={**CLAIMS, "nonce": None}), "nonce", None, id="null for a nonce"),
        pytest.param(compact(claims={**CLAIMS, "exp": 1, "aud": 7}), "id", "1", id="other claims"),
    ],
)
def test_what_a_proof_says_is_read(proof: bytes, attribute: str, expected: object) -> None:
    assert getattr(read_proof(proof), attribute) == expected


HEADER_PART, CLAIMS_PART, SIGNATURE_PART = compact().split(b".")
NOT_ONE = "not one JWT"
NO_TEXTS: list[Any] = [None, "", 7, True, ["1"], {}]
NO_NONCES: list[Any] = [7, True, ["n"], {}]
NO_TYPES = ["JWT", "at+jwt", "DPoP+JWT", "application/dpop+jwt", "dpop+jwt "]
NO_TIMES: list[Any] = [None, -1, -0.5, LATEST + 1, 1e300, True, False, str(NOW), [NOW], {}]


def of_length(length: int) -> bytes:
    """Return a proof of so many octets."""
    for padding in range(4):
        head = compact({**HEADER, "x": "x" * padding}, signature=b"")
        octets = (length - len(head)) * 3 // 4
        proof = head + base64url(b"s" * octets)
        if len(proof) == length:
            return proof
    raise AssertionError(length)


@pytest.mark.parametrize(
    ("proof", "detail"),
    [
        pytest.param(b"", NOT_ONE, id="nothing"),
        pytest.param(b"opaque", NOT_ONE, id="no JWT"),
        pytest.param(HEADER_PART + b"." + CLAIMS_PART, NOT_ONE, id="two segments"),
        pytest.param(HEADER_PART + b"." + CLAIMS_PART + b".", NOT_ONE, id="an empty signature"),
        pytest.param(compact() + b".x.y", NOT_ONE, id="five segments, as an encrypted token has"),
        pytest.param(b"..", NOT_ONE, id="empty segments"),
        pytest.param(compact() + b"," + compact(), NOT_ONE, id="two in a list"),
        pytest.param(compact() + b", " + compact(), NOT_ONE, id="two in a list, with a space"),
        pytest.param(b" " + compact(), NOT_ONE, id="a space before"),
        pytest.param(compact() + b"\n", NOT_ONE, id="a line end"),
        pytest.param(compact() + b"=", NOT_ONE, id="padding"),
        pytest.param(b"DPoP " + compact(), NOT_ONE, id="a scheme before"),
        pytest.param(compact() + b"\xe9", NOT_ONE, id="an octet beyond ASCII"),
        pytest.param(b'{"payload":"","signatures":[]}', NOT_ONE, id="JWS as JSON"),
        pytest.param(of_length(MAX_PROOF + 1), "longer than 8192 octets", id="one octet too long"),
        pytest.param(b"a." * MAX_PROOF, "longer than 8192 octets", id="too long, and no JWT"),
        pytest.param(b"A.AA.AA", "header: token-malformed", id="a header that is cut off"),
        pytest.param(b"AB.AA.AA", "header: token-malformed", id="a second spelling of the header"),
        pytest.param(
            HEADER_PART + b"." + CLAIMS_PART + b".AB",
            "signature is not canonical base64url",
            id="a second spelling of the signature",
        ),
        pytest.param(compact(b"\xff"), "header: body-not-json", id="a header that is no UTF-8"),
        pytest.param(compact(b"{"), "header: body-not-json", id="a header that is no JSON"),
        pytest.param(compact([]), "header is not an object", id="a header that is a list"),
        pytest.param(compact(claims=b"7"), "claims is not an object", id="claims that are a number"),
        pytest.param(compact(claims=b'{"iat":NaN}'), "claims: body-not-json", id="NaN"),
        pytest.param(compact(claims=b'{"iat":1e999}'), "claims: body-not-strict", id="an infinite time"),
        pytest.param(
            compact(claims=b'{"htm":"GET","htm":"POST"}'), "claims: body-not-strict", id="a claim twice"
        ),
        pytest.param(
            compact(b'{"typ":"dpop+jwt","alg":"none","al\\u0067":"ES256","jwk":{}}'),
            "header: body-not-strict",
            id="a header member twice, escaped",
        ),
        pytest.param(
            compact(claims=b'{"jti":"\\ud800"}'), "claims: body-not-strict", id="an unpaired surrogate"
        ),
        pytest.param(compact(b"[" * 65 + b"]" * 65), "header: body-not-strict", id="a header of 65 levels"),
        *(
            pytest.param(compact({**HEADER, "typ": value}), "typ is not dpop+jwt", id=f"the type {value!r}")
            for value in (*NO_TYPES, *NO_TEXTS)
        ),
        pytest.param(compact(without(HEADER, "typ")), "typ is not dpop+jwt", id="no type"),
        *(
            pytest.param(compact({**HEADER, name: None}), f"header has {name}", id=f"{name} in the header")
            for name in ("b64", "crit", "cty", "jku", "x5c", "x5t", "x5t#S256", "x5u", "zip")
        ),
        *(
            pytest.param(compact({**HEADER, "jwk": value}), "header has no jwk", id=f"the key {value!r}")
            for value in (None, "{}", [JWK], 7, True)
        ),
        pytest.param(compact(without(HEADER, "jwk")), "header has no jwk", id="no key"),
        pytest.param(compact(without(HEADER, "alg")), "alg is not a text", id="no algorithm"),
        pytest.param(
            compact(claims={**CLAIMS, "jti": "i" * (MAX_ID + 1)}), "jti longer than 256", id="too long a jti"
        ),
        *(
            pytest.param(
                compact({**HEADER, "alg": value}), "alg is not a text", id=f"the algorithm {value!r}"
            )
            for value in NO_TEXTS
        ),
        *(
            pytest.param(
                compact(claims={**CLAIMS, name: value}), f"{name} is not a text", id=f"{name} {value!r}"
            )
            for name in ("jti", "htm", "htu", "ath")
            for value in NO_TEXTS
        ),
        *(
            pytest.param(compact(claims=without(CLAIMS, name)), f"{name} is not a text", id=f"no {name}")
            for name in ("jti", "htm", "htu", "ath")
        ),
        *(
            pytest.param(compact(claims={**CLAIMS, "iat": value}), "iat is not a time", id=f"iat {value!r}")
            for value in NO_TIMES
        ),
        pytest.param(compact(claims=without(CLAIMS, "iat")), "iat is not a time", id="no iat"),
        *(
            pytest.param(
                compact(claims={**CLAIMS, "nonce": value}), "nonce is not a text", id=f"the nonce {value!r}"
            )
            for value in NO_NONCES
        ),
    ],
)
def test_anything_else_is_no_proof(proof: bytes, detail: str) -> None:
    with pytest.raises(Fault) as caught:
        read_proof(proof)

    assert (caught.value.reason, caught.value.detail) == (Reason.PROOF_MALFORMED, detail)


def test_a_proof_as_long_as_may_be_is_read() -> None:
    assert read_proof(of_length(MAX_PROOF)).id == "1"


def test_no_detail_quotes_what_a_proof_holds() -> None:
    with pytest.raises(Fault) as caught:
        read_proof(compact(claims=b'{"secret":secret}'))

    assert "secret" not in str(caught.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
NAMES = st.sampled_from([*HEADER, *CLAIMS, "nonce", "crit"])
MEMBERS = st.dictionaries(NAMES, JSON, max_size=3)


@given(st.binary() | st.text("ey.J-_=A, ", max_size=40).map(str.encode))
def test_octets_that_are_no_proof_raise_nothing_but_a_fault(octets: bytes) -> None:
    with pytest.raises(Fault) as caught:
        read_proof(octets)

    assert caught.value.reason is Reason.PROOF_MALFORMED


@given(MEMBERS, MEMBERS, st.binary(min_size=1, max_size=8))
def test_whatever_a_proof_claims_it_is_read_as_another_reader_does_or_not_at_all(
    header: dict[str, Any], claims: dict[str, Any], signature: bytes
) -> None:
    raw = compact({**HEADER, **header}, {**CLAIMS, **claims}, signature)

    with suppress(Fault):
        proof = read_proof(raw)

        other = jwt.decode_complete(raw, options={"verify_signature": False})
        assert other["header"]["alg"] == proof.algorithm
        assert other["header"]["jwk"] == proof.key
        names = ("jti", "htm", "htu", "iat", "ath", "nonce")
        read = (proof.id, proof.method, proof.url, proof.issued_at, proof.token_hash, proof.nonce)
        assert tuple(other["payload"].get(name) for name in names) == read
