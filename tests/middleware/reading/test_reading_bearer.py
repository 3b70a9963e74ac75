import string
from base64 import urlsafe_b64encode
from contextlib import suppress
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.tokens import ISSUER, Token
from tunnelgate import Reason
from tunnelgate.reading.bearer import Credentials, is_jose, read_credentials, read_jwt, read_segments
from tunnelgate.reading.fault import Fault

MAX_KEY_ID = 256
MAX_TOKEN = 8192
HEADER = {"alg": "ES256", "typ": "at+jwt", "kid": "e1"}
CLAIMS = {"iss": "https://login.example.com", "sub": "alice"}


def segment(octets: bytes) -> bytes:
    return urlsafe_b64encode(octets).rstrip(b"=")


def compact(header: Any = HEADER, claims: Any = CLAIMS, signature: bytes = b"signed") -> bytes:
    """Return a JWT; a header or claims in octets are taken as they are."""
    parts = [part if isinstance(part, bytes) else orjson.dumps(part) for part in (header, claims)]
    return b".".join(segment(part) for part in (*parts, signature))


@pytest.mark.parametrize(
    ("value", "credentials"),
    [
        pytest.param(b"Bearer abc", Credentials("bearer", b"abc"), id="a bearer token"),
        pytest.param(b"bearer abc", Credentials("bearer", b"abc"), id="the scheme in small letters"),
        pytest.param(b"BEARER abc", Credentials("bearer", b"abc"), id="the scheme in capitals"),
        pytest.param(b"DPoP abc", Credentials("dpop", b"abc"), id="a token that comes with a proof"),
        pytest.param(b"dpop abc", Credentials("dpop", b"abc"), id="DPoP in small letters"),
        pytest.param(b"DPOP abc", Credentials("dpop", b"abc"), id="DPoP in capitals"),
        pytest.param(b"Bearer a.b.c", Credentials("bearer", b"a.b.c"), id="three segments"),
        pytest.param(
            b"Bearer AZaz09-._~+/", Credentials("bearer", b"AZaz09-._~+/"), id="all that a token may have"
        ),
        pytest.param(b"Bearer abc==", Credentials("bearer", b"abc=="), id="padding at the end"),
        pytest.param(
            b"Bearer " + b"a" * MAX_TOKEN, Credentials("bearer", b"a" * MAX_TOKEN), id="as long as may be"
        ),
        pytest.param(
            b"DPoP " + b"a" * MAX_TOKEN, Credentials("dpop", b"a" * MAX_TOKEN), id="as long under DPoP"
        ),
    ],
)
def test_credentials_are_one_scheme_one_space_and_one_token(value: bytes, credentials: Credentials) -> None:
    assert read_credentials(value) == credentials


NOT_ONE = "not one token"


@pytest.mark.parametrize(
    ("value", "detail"),
    [
        pytest.param(b"", NOT_ONE, id="nothing"),
        pytest.param(b"Bearer", NOT_ONE, id="the scheme alone"),
        pytest.param(b"Bearer ", NOT_ONE, id="the scheme and a space"),
        pytest.param(b"abc", NOT_ONE, id="a token alone"),
        pytest.param(b"Bearer  abc", NOT_ONE, id="two spaces"),
        pytest.param(b"Bearer\tabc", NOT_ONE, id="a tab"),
        pytest.param(b" Bearer abc", NOT_ONE, id="a space before"),
        pytest.param(b"Bearer abc ", NOT_ONE, id="a space behind"),
        pytest.param(b"Bearer abc\n", NOT_ONE, id="a line end"),
        pytest.param(b"Bearer a, Bearer b", NOT_ONE, id="two credentials"),
        pytest.param(b"Bearer a b", NOT_ONE, id="two tokens"),
        pytest.param(b'Bearer "abc"', NOT_ONE, id="quotes"),
        pytest.param(b"Bearer a=b", NOT_ONE, id="padding inside"),
        pytest.param(b"Bearer ==", NOT_ONE, id="padding alone"),
        pytest.param(b"Bearer \xe9", NOT_ONE, id="an octet beyond ASCII"),
        pytest.param(b"Bearer a\0", NOT_ONE, id="a NUL"),
        pytest.param(b"Basic YTpi", NOT_ONE, id="Basic"),
        pytest.param(b"DPoP", NOT_ONE, id="DPoP alone"),
        pytest.param(b"DPoP  abc", NOT_ONE, id="DPoP and two spaces"),
        pytest.param(b"DPoPs abc", NOT_ONE, id="a scheme that begins like DPoP"),
        pytest.param(b"Bearer DPoP abc", NOT_ONE, id="two schemes"),
        pytest.param(b"DPoP a, Bearer b", NOT_ONE, id="credentials of two schemes"),
        pytest.param(b"Negotiate abc", NOT_ONE, id="Negotiate"),
        pytest.param(b"Bearers abc", NOT_ONE, id="a scheme that begins so"),
        pytest.param(b"Bearer " + b"a" * (MAX_TOKEN + 1), "longer than 8192 octets", id="one octet too long"),
        pytest.param(b"DPoP " + b"a" * (MAX_TOKEN + 1), "longer than 8192 octets", id="so under DPoP"),
    ],
)
def test_anything_else_is_no_token(value: bytes, detail: str) -> None:
    with pytest.raises(Fault) as caught:
        read_credentials(value)

    assert (caught.value.reason, caught.value.detail) == (Reason.TOKEN_MALFORMED, detail)


@given(
    st.binary()
    | st.builds(bytes.__add__, st.sampled_from([b"Bearer ", b"DPoP ", b"dpop\t"]), st.binary(max_size=24))
    | st.text("Be areDPo=.-~ a", max_size=24).map(lambda text: b"Bearer " + text.encode())
)
def test_no_credentials_raise_anything_else_and_a_token_is_all_that_stands_behind_the_scheme(
    value: bytes,
) -> None:
    with suppress(Fault):
        read = read_credentials(value)

        scheme, _, token = value.partition(b" ")
        assert (read.scheme, read.token) == (scheme.lower().decode(), token)
        assert read.scheme in ("bearer", "dpop")


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        pytest.param(b"a.b.c", True, id="three segments"),
        pytest.param(b"..", True, id="three that are empty"),
        pytest.param(compact(), True, id="a JWT"),
        pytest.param(b"eyJhbGciOiJkaXIifQ.a.b.c.d", True, id="an encrypted token"),
        pytest.param(b"eyJhbGciOiJkaXIifQ..b.c.d", True, id="an encrypted token without a key in it"),
        pytest.param(compact().rpartition(b".")[0], True, id="a JWT whose signature is cut off"),
        pytest.param(compact() + b".", True, id="a JWT with a segment more"),
        pytest.param(b"eyJhbGciOiJFUzI1NiJ9", True, id="a header alone"),
        pytest.param(b"eyJ", True, id="the beginning of one"),
        pytest.param(b"a.b", False, id="two segments"),
        pytest.param(b"a.b.c.d", False, id="four segments"),
        pytest.param(b"a.b.c.d.e", True, id="the segments of a JWE"),
        pytest.param(b"2YotnFZFEjr1zCsicMWpAA", False, id="one"),
        pytest.param(b"EYJhbGciOiJFUzI1NiJ9", False, id="another case"),
        pytest.param(b"aeyJhbGciOiJFUzI1NiJ9", False, id="a header that is not the beginning"),
        pytest.param(b"ey", False, id="two characters"),
        pytest.param(b"", False, id="none"),
    ],
)
def test_a_token_is_taken_for_one_of_jose_by_its_dots_or_its_beginning(
    token: bytes, *, expected: bool
) -> None:
    assert is_jose(token) is expected


@given(st.sampled_from(string.ascii_letters), st.text(), st.text())
def test_a_header_whose_first_member_begins_with_a_letter_is_known_by_its_beginning(
    letter: str, rest: str, value: str
) -> None:
    assert is_jose(segment(orjson.dumps({letter + rest: value})))


def test_the_parts_of_any_jwt_are_read_whatever_they_say() -> None:
    assert read_segments(compact({"typ": "dpop+jwt", "jwk": {}}, {"jti": 7})) == (
        {"typ": "dpop+jwt", "jwk": {}},
        {"jti": 7},
    )


@pytest.mark.parametrize(
    ("token", "detail"),
    [
        pytest.param(b"a.b", "not three segments", id="two segments"),
        pytest.param(b"e30.e30.A", "signature is not base64url", id="a signature of one character"),
        pytest.param(b"W10.e30.", "header is not an object", id="a list for a header"),
        pytest.param(b"e30.W10.", "claims is not an object", id="a list for claims"),
        pytest.param(b"e30.e31.", "claims: token-malformed", id="other bits at the end"),
    ],
)
def test_the_parts_of_what_is_no_jwt_are_not_read(token: bytes, detail: str) -> None:
    with pytest.raises(Fault) as caught:
        read_segments(token)

    assert caught.value.reason == Reason.TOKEN_MALFORMED
    assert detail in caught.value.detail


def test_what_a_real_token_claims_is_read_without_checking_it() -> None:
    token = read_jwt(Token(claims={"sub": "bob"}).mint().encode())

    assert (token.algorithm, token.type, token.key_id, token.issuer) == ("ES256", "at+jwt", "ES256", ISSUER)
    assert (token.header["typ"], token.claims["sub"]) == ("at+jwt", "bob")


@pytest.mark.parametrize(
    ("token", "attribute", "expected"),
    [
        pytest.param(
            compact({**HEADER, "alg": "none"}), "algorithm", "none", id="another's work: no signature"
        ),
        pytest.param(compact(signature=b""), "algorithm", "ES256", id="another's work: an empty signature"),
        pytest.param(compact({**HEADER, "typ": "JWT"}), "type", "JWT", id="another's work: the type"),
        pytest.param(
            compact({**HEADER, "kid": "k" * MAX_KEY_ID}), "key_id", "k" * MAX_KEY_ID, id="the longest kid"
        ),
        pytest.param(
            compact({**HEADER, "kid": "../../dev/null"}), "key_id", "../../dev/null", id="a kid like a path"
        ),
        pytest.param(compact({**HEADER, "x": 1}), "header", {**HEADER, "x": 1}, id="an unknown header"),
        pytest.param(
            compact(b' {"alg":"ES256", "typ":"at+jwt", "k\\u0069d":"e1"}\n'),
            "header",
            HEADER,
            id="a loose header",
        ),
        pytest.param(
            compact(claims={**CLAIMS, "exp": "x"}), "claims", {**CLAIMS, "exp": "x"}, id="any claim"
        ),
    ],
)
def test_what_a_token_says_of_itself_is_read(token: bytes, attribute: str, expected: object) -> None:
    assert getattr(read_jwt(token), attribute) == expected


VALID = compact()
HEADER_PART, CLAIMS_PART, SIGNATURE_PART = VALID.split(b".")


def with_parts(
    header: bytes = HEADER_PART, claims: bytes = CLAIMS_PART, signature: bytes = SIGNATURE_PART
) -> bytes:
    return b".".join((header, claims, signature))


@pytest.mark.parametrize(
    ("token", "detail"),
    [
        pytest.param(b"", "not three segments", id="nothing"),
        pytest.param(b"opaque", "not three segments", id="an opaque token"),
        pytest.param(HEADER_PART + b"." + CLAIMS_PART, "not three segments", id="two segments"),
        pytest.param(VALID + b".x.y", "not three segments", id="five segments, as an encrypted token has"),
        pytest.param(VALID + b".", "not three segments", id="a dot behind"),
        pytest.param(b"..", "header: body-not-json", id="empty segments"),
        pytest.param(with_parts(claims=b""), "claims: body-not-json", id="empty claims"),
        pytest.param(with_parts(HEADER_PART + b"="), "header: token-malformed", id="padding"),
        pytest.param(with_parts(signature=b"+A=="), "not canonical", id="padding behind the signature"),
        pytest.param(with_parts(signature=b"-_+/"), "signature is not canonical", id="the other alphabet"),
        pytest.param(with_parts(signature=b"AB C"), "signature is not base64url", id="a space"),
        pytest.param(with_parts(signature=b"ABCD\n"), "signature is not", id="a line end"),
        pytest.param(with_parts(signature=b"AB\xffCD"), "signature is not", id="an octet beyond ASCII"),
        pytest.param(with_parts(signature=b"A"), "signature is not base64url", id="one octet of Base64"),
        pytest.param(with_parts(signature=b"AB"), "signature is not canonical", id="bits set in the tail"),
        pytest.param(with_parts(claims=b"A"), "claims: token-malformed", id="claims of one octet of Base64"),
        pytest.param(compact(b'["alg"]'), "header is not an object", id="a header that is a list"),
        pytest.param(compact(b'"alg"'), "header is not an object", id="a header that is a text"),
        pytest.param(compact(claims=b"[]"), "claims is not an object", id="claims that are a list"),
        pytest.param(compact(claims=VALID), "claims: body-not-json", id="claims that are a token"),
        pytest.param(compact(b"{}{}"), "header: body-not-json", id="a second header behind the first"),
        pytest.param(
            compact(b'{"alg":"none","alg":"ES256","typ":"at+jwt","kid":"e1"}'),
            "header: body-not-strict",
            id="two algorithms",
        ),
        pytest.param(
            compact(claims=b'{"iss":"https://login.example.com","iss":"https://evil.example"}'),
            "claims: body-not-strict",
            id="two issuers",
        ),
        pytest.param(
            compact(claims=orjson.dumps(CLAIMS).decode().encode("utf-16")),
            "claims: body-not-json",
            id="UTF-16",
        ),
        pytest.param(compact(b"\xef\xbb\xbf{}"), "header: body-not-json", id="a byte order mark"),
        pytest.param(compact(claims=b'{"exp":1e400}'), "claims: body-not-strict", id="a time past all range"),
        pytest.param(compact(claims=b'{"exp":NaN}'), "claims: body-not-json", id="a time that is no number"),
        pytest.param(compact(claims=b'{"exp":' + b"9" * 4000 + b"}"), "body-not-strict", id="4000 digits"),
        pytest.param(compact(claims=b"[" * 4000), "claims: body-not-strict", id="4000 brackets"),
    ],
)
def test_a_token_with_two_readings_is_malformed(token: bytes, detail: str) -> None:
    with pytest.raises(Fault) as caught:
        read_jwt(token)

    assert caught.value.reason == Reason.TOKEN_MALFORMED
    assert detail in caught.value.detail


@pytest.mark.parametrize("name", ["b64", "crit", "cty", "jku", "jwk", "x5c", "x5u", "zip"])
@pytest.mark.parametrize("value", [pytest.param("x", id="a value"), pytest.param(None, id="null")])
def test_a_header_that_brings_a_key_or_an_extension_is_refused(name: str, value: object) -> None:
    with pytest.raises(Fault) as caught:
        read_jwt(compact({**HEADER, name: value}))

    assert (caught.value.reason, caught.value.detail) == (Reason.TOKEN_MALFORMED, f"header has {name}")


@pytest.mark.parametrize("name", ["x5t", "x5t#S256"])
def test_a_header_that_names_a_certificate_by_its_thumbprint_brings_no_key(name: str) -> None:
    token = read_jwt(compact({**HEADER, name: "YQ"}))

    assert (token.key_id, token.header[name]) == ("e1", "YQ")


@pytest.mark.parametrize("name", ["alg", "typ", "kid", "iss"])
@pytest.mark.parametrize(
    "value",
    [
        pytest.param("", id="empty"),
        pytest.param(None, id="null"),
        pytest.param(1, id="a number"),
        pytest.param(True, id="a truth"),
        pytest.param(["e1"], id="a list"),
        pytest.param({"e1": 1}, id="an object"),
    ],
)
def test_what_a_token_is_chosen_by_must_be_a_text(name: str, value: object) -> None:
    token = compact(claims={**CLAIMS, name: value}) if name == "iss" else compact({**HEADER, name: value})

    with pytest.raises(Fault) as caught:
        read_jwt(token)

    assert (caught.value.reason, caught.value.detail) == (Reason.TOKEN_MALFORMED, f"{name} is not a text")


@pytest.mark.parametrize("name", ["alg", "typ", "kid", "iss"])
def test_what_a_token_is_chosen_by_must_be_there(name: str) -> None:
    def without(members: dict[str, str]) -> dict[str, str]:
        return {each: value for each, value in members.items() if each != name}

    with pytest.raises(Fault) as caught:
        read_jwt(compact(without(HEADER), without(CLAIMS)))

    assert (caught.value.reason, caught.value.detail) == (Reason.TOKEN_MALFORMED, f"{name} is not a text")


def test_a_kid_one_character_too_long_is_refused() -> None:
    with pytest.raises(Fault) as caught:
        read_jwt(compact({**HEADER, "kid": "k" * (MAX_KEY_ID + 1)}))

    assert (caught.value.reason, caught.value.detail) == (Reason.TOKEN_MALFORMED, "kid longer than 256")


def test_the_detail_of_a_fault_quotes_nothing_from_the_token() -> None:
    with pytest.raises(Fault) as caught:
        read_jwt(compact(claims=b'{"secret-name":1,"secret-name":2}'))

    assert "secret" not in str(caught.value)


@given(st.binary() | st.lists(st.binary(max_size=6).map(segment), max_size=4).map(b".".join))
def test_no_octets_make_a_token_raise_anything_but_a_fault(token: bytes) -> None:
    with pytest.raises(Fault) as caught:  # nothing so small has all that a token needs
        read_jwt(token)

    assert caught.value.reason == Reason.TOKEN_MALFORMED


JSON_VALUES = st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=4) | st.just(["x"])


@given(
    header=st.dictionaries(st.sampled_from(["alg", "typ", "kid", "x"]), JSON_VALUES | st.text(min_size=1)),
    claims=st.dictionaries(st.sampled_from(["iss", "sub", "aud"]), JSON_VALUES | st.text(min_size=1)),
    signature=st.binary(max_size=8),
)
def test_a_token_that_is_read_is_the_only_spelling_of_what_it_says(
    header: dict[str, Any], claims: dict[str, Any], signature: bytes
) -> None:
    token = compact({**HEADER, **header}, {**CLAIMS, **claims}, signature)
    with suppress(Fault):
        read = read_jwt(token)

        assert (read.header, read.claims) == ({**HEADER, **header}, {**CLAIMS, **claims})
        assert compact(read.header, read.claims, signature) == token


@given(st.binary(min_size=1, max_size=8), st.data())
def test_no_second_spelling_of_a_signature_is_read(signature: bytes, data: st.DataObject) -> None:
    spelling = segment(signature)
    position = data.draw(st.integers(0, len(spelling)))
    other = spelling[:position] + data.draw(st.sampled_from([b"=", b" ", b"+", b"/", b"\n", b"\xff", b"%"]))

    with pytest.raises(Fault) as caught:
        read_jwt(with_parts(signature=other + spelling[position:]))

    assert caught.value.reason == Reason.TOKEN_MALFORMED
