"""What ``Authorization`` and ``DPoP`` can do at most, and what another implementation says of tokens."""

import asyncio
import hashlib
import itertools
import json
import logging
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import jwt
import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from jwt.algorithms import OKPAlgorithm

from tests.support.asgi import Reply, Spy, call, http_scope
from tests.support.audit import Records
from tests.support.mcp import legacy
from tests.support.raw import HOST, PARSERS, SAFE, Outcome, RawGate, call_of, open_gate, request_of
from tests.support.raw import LEGACY_HEADERS as RAW_HEADERS
from tests.support.tokens import ISSUER, Clock, base64url, jwks, key, sign, trusted_issuer
from tunnelgate import Policy, protect
from tunnelgate.asgi import ASGIApp
from tunnelgate.fetching import Fetched
from tunnelgate.reading.fault import Fault
from tunnelgate.sealing import MIN_KEY, Sealer
from tunnelgate.verdict import Reason
from tunnelgate.verifier import TokenVerifier

T = TypeVar("T")
RESOURCE = f"https://{HOST}/mcp"
NOW = 1_800_000_000
REQUEST_ID = "0" * 16
ALGORITHMS = ("ES256", "Ed25519", "PS256", "RS256")

# ---------------------------------------------------------------- what another implementation says

REQUIRED = ["exp", "iat", "iss", "aud", "sub", "client_id", "jti"]
HEADER: Mapping[str, Any] = {"typ": "at+jwt"}


@pytest.fixture(scope="module", autouse=True)
def pyjwt_knows_the_new_name_of_ed25519() -> Generator[None]:
    jwt.register_algorithm("Ed25519", OKPAlgorithm())
    yield
    jwt.unregister_algorithm("Ed25519")


def claims_at(now: int) -> dict[str, Any]:
    return {
        "iss": ISSUER,
        "aud": RESOURCE,
        "sub": "alice",
        "client_id": "agent",
        "iat": now,
        "exp": now + 300,
        "jti": "1",
        "scope": "docs:read",
    }


def oracle_accepts(token: bytes) -> bool:
    """Return whether PyJWT takes a token for good, with the key it names and that key's algorithm."""
    try:
        name = jwt.get_unverified_header(token).get("kid", "ES256")
        members = {part: value for part, value in key(name).as_dict(private=False).items() if part != "alg"}
        jwt.decode(
            token,
            jwt.PyJWK(members, algorithm="EdDSA" if name == "Ed25519" else name).key,
            algorithms=[name],
            audience=RESOURCE,
            issuer=ISSUER,
            leeway=30,
            options={"require": REQUIRED},
        )
    except (jwt.PyJWTError, KeyError, TypeError, ValueError):
        return False
    return True


def our_verdict(token: bytes, now: float) -> Reason | None:
    """Return why we refuse a token, or ``None``; raises for any exception that is not ours."""
    issuers = [trusted_issuer(*ALGORITHMS)]
    verifier = TokenVerifier(resource=RESOURCE, issuers=issuers, clock=lambda: now)
    try:
        asyncio.run(verifier.verify(token))
    except Fault as fault:
        return fault.reason
    return None


TEXTS = st.text("at+jwtESRP256:/.- é\n\0\U0001f511", max_size=12)
SCALARS: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**60), 2**60),
    st.floats(allow_nan=False, allow_infinity=False).filter(lambda number: abs(number) < 2**53),
    TEXTS,
    st.sampled_from([ISSUER, RESOURCE, *ALGORITHMS, "HS256", "none", "at+jwt", "JWT", "alice", "0", "1e9"]),
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=2),
    max_leaves=4,
)
KINDS = st.sampled_from(["at+jwt", "AT+JWT", "application/at+jwt", "JWT", "jwt", "", "logout+jwt", None, 7])
KEY_IDS = st.one_of(st.sampled_from([*ALGORITHMS, None, "", "es256"]), TEXTS)
AUDIENCES = st.one_of(
    st.sampled_from([RESOURCE, [RESOURCE], ["x", RESOURCE], [], "", RESOURCE + "/", RESOURCE.upper(), None]),
    st.lists(st.one_of(st.just(RESOURCE), SCALARS), max_size=3),
    VALUES,
)
ISSUERS = st.one_of(st.sampled_from([ISSUER, ISSUER + "/", ISSUER.upper(), [ISSUER], None]), VALUES)
OFFSETS = st.sampled_from([-90000, -3600, -300, -31, -30, -29, -1, 0, 1, 29, 30, 31, 300, 3600, 86400, 90000])
SPLICES = st.tuples(
    st.integers(0, 900),
    st.integers(0, 3),
    st.one_of(st.sampled_from([b"=", b".", b"_", b"A", b"+"]), st.binary(max_size=3)),
)
HEADER_NAMES = ["alg", "crit", "b64", "jwk", "jku", "cty", "zip", "x5c", "x5t", "x", "url", "nonce"]
CLAIM_NAMES = ["sub", "client_id", "jti", "scope", "amr", "auth_time", "cnf", "act", "exp", "iat", "nbf"]


def seldom(values: st.SearchStrategy[T], usual: T) -> st.SearchStrategy[T]:
    """Return one of ``values`` once in a while, so that not everything is wrong with every token."""
    return st.integers(0, 3).flatmap(lambda chance: values if chance == 3 else st.just(usual))


def some(name: str, values: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Return a member of this name, seldom, and mostly nothing."""
    return seldom(values.map(lambda value: {name: value}), {})


def merged(parts: tuple[dict[str, Any], ...]) -> dict[str, Any]:
    return {name: value for part in parts for name, value in part.items()}


HEADERS = st.tuples(
    some("typ", KINDS),
    some("kid", KEY_IDS),
    seldom(st.dictionaries(st.sampled_from(HEADER_NAMES), VALUES, max_size=1), {}),
).map(merged)
CLAIMS = st.tuples(
    some("aud", AUDIENCES),
    some("iss", ISSUERS),
    seldom(st.dictionaries(st.sampled_from(CLAIM_NAMES), VALUES, max_size=2), {}),
).map(merged)
TIMES = seldom(st.dictionaries(st.sampled_from(["exp", "iat", "nbf"]), OFFSETS, max_size=2), {})


def written(members: Mapping[str, Any]) -> bytes:
    """Return JSON as libraries write it; a member that is ``None`` is left out."""
    return json.dumps({name: value for name, value in members.items() if value is not None}).encode()


@given(
    algorithm=st.sampled_from(ALGORITHMS),
    header=HEADERS,
    claims=CLAIMS,
    times=TIMES,
    splices=seldom(st.lists(SPLICES, max_size=2), []),
)
@example(algorithm="ES256", header={}, claims={}, times={}, splices=[])
@example(algorithm="Ed25519", header={}, claims={"aud": ["x", RESOURCE]}, times={}, splices=[])
@example(algorithm="RS256", header={"typ": "application/at+jwt"}, claims={}, times={"exp": -29}, splices=[])
@example(
    algorithm="PS256", header={}, claims={"exp": None}, times={"nbf": 30, "iat": 30, "exp": 90}, splices=[]
)
@settings(max_examples=600, deadline=None)
@pytest.mark.promise("token-for-this-server")
def test_whatever_is_accepted_here_another_implementation_accepts_as_well(
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
        written({"alg": algorithm, "kid": algorithm, **HEADER, **header}),
        written({**claims_at(now), **claims, **moments}),
        algorithm,
    )
    for position, length, octets in splices:
        token = token[:position] + octets + token[position + length :]

    theirs = oracle_accepts(token)
    ours = our_verdict(token, before) is None and our_verdict(token, time.time()) is None

    assert theirs or not ours


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_both_accept_a_good_token(algorithm: str) -> None:
    now = time.time()
    token = sign(
        written({"alg": algorithm, "kid": algorithm, **HEADER}), written(claims_at(int(now))), algorithm
    )

    assert oracle_accepts(token)
    assert our_verdict(token, now) is None


def of(
    header: Mapping[str, Any] | bytes | None = None, claims: Mapping[str, Any] | bytes | None = None
) -> bytes:
    """Return a token by the issuer's ES256 key with these changes, or of these octets."""
    base = {"alg": "ES256", "kid": "ES256", **HEADER}
    now = int(time.time())
    return sign(
        header if isinstance(header, bytes) else written({**base, **(header or {})}),
        claims if isinstance(claims, bytes) else written({**claims_at(now), **(claims or {})}),
    )


@pytest.mark.parametrize(
    "header",
    [
        pytest.param({"x": 1}, id="what nobody knows"),
        pytest.param({"nonce": "n", "url": "https://x"}, id="members of other uses of JWS"),
        pytest.param({"x5t": "YQ"}, id="the thumbprint of a certificate"),
        pytest.param({"x5t#S256": "YQ"}, id="such a thumbprint by SHA-256"),
    ],
)
def test_both_ignore_a_header_that_brings_neither_key_nor_extension(header: Mapping[str, Any]) -> None:
    token = of(header)

    assert oracle_accepts(token)
    assert our_verdict(token, time.time()) is None


def claims_text() -> bytes:
    return written(claims_at(int(time.time())))


HEADER_TEXT = written({"alg": "ES256", "kid": "ES256", **HEADER})
MALFORMED = Reason.TOKEN_MALFORMED
CLAIM = Reason.TOKEN_CLAIM_INVALID
SOON = 300  # seconds


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        pytest.param(
            lambda: of({"typ": None}), MALFORMED, id="typ is missing: RFC 9068 section 4 demands it"
        ),
        pytest.param(
            lambda: of({"typ": "JWT"}), Reason.TOKEN_TYPE_WRONG, id="typ is JWT: an ID token looks like that"
        ),
        pytest.param(
            lambda: of({"kid": None}), MALFORMED, id="kid is missing: which key is not to be guessed"
        ),
        pytest.param(
            lambda: of({"jku": "https://evil.example"}),
            MALFORMED,
            id="jku: a key is never fetched for a token",
        ),
        pytest.param(
            lambda: of({"jwk": {"kty": "oct"}}), MALFORMED, id="jwk: a key that comes along proves nothing"
        ),
        pytest.param(lambda: of({"b64": True}), MALFORMED, id="b64: no extension is implemented"),
        pytest.param(
            lambda: of(b'{"alg":"none",' + HEADER_TEXT[1:]),
            MALFORMED,
            id="alg twice: others follow the first",
        ),
        pytest.param(
            lambda: of(None, b'{"aud":"https://x.example",' + claims_text()[1:]),
            MALFORMED,
            id="aud twice: others follow the first",
        ),
        pytest.param(
            lambda: of(None, claims_text().decode().encode("utf-16")),
            MALFORMED,
            id="claims in UTF-16: RFC 7519 section 3 says UTF-8",
        ),
        pytest.param(
            lambda: of(None, claims_text()[:-1] + b',"x":NaN}'),
            MALFORMED,
            id="NaN: it is no JSON, and others stop there",
        ),
        pytest.param(
            lambda: of(None, {"x": 2**53 + 1}),
            MALFORMED,
            id="an integer that doubles cannot hold: others read another",
        ),
        pytest.param(
            lambda: of(None, claims_text()[:-1] + b',"x":"\\ud800"}'),
            MALFORMED,
            id="half a character: it is no text",
        ),
        pytest.param(
            lambda: of(None, claims_text()[:-1] + b',"x":' + b"[" * 70 + b"]" * 70 + b"}"),
            MALFORMED,
            id="nested too deep: a bound on what a caller costs",
        ),
        pytest.param(
            lambda: of(None, {"x": "a" * 7000}), MALFORMED, id="9 kB: a bound on what a caller costs"
        ),
        pytest.param(
            lambda: of(None, {"exp": str(int(time.time()) + SOON)}),
            CLAIM,
            id="exp is a text: RFC 7519 section 2 says number",
        ),
        pytest.param(lambda: of(None, {"iat": "0"}), CLAIM, id="iat is a text: likewise"),
        pytest.param(lambda: of(None, {"iat": True}), CLAIM, id="iat is true: likewise"),
        pytest.param(lambda: of(None, {"nbf": False}), CLAIM, id="nbf is false: likewise"),
        pytest.param(
            lambda: of(None, {"nbf": -1}), CLAIM, id="nbf is before all times: a mistake of somebody"
        ),
        pytest.param(
            lambda: of(None, {"exp": 253402300799}),
            Reason.TOKEN_LIFETIME_TOO_LONG,
            id="exp is in the year 9999: a stolen token should not be good for ever",
        ),
        pytest.param(
            lambda: of(None, {"exp": 1e300}), CLAIM, id="exp is beyond all dates: nobody means that"
        ),
        pytest.param(
            lambda: of(None, {"client_id": 7}), CLAIM, id="client_id is a number: audit names clients"
        ),
        pytest.param(lambda: of(None, {"client_id": ""}), CLAIM, id="client_id is empty: likewise"),
        pytest.param(lambda: of(None, {"sub": ""}), CLAIM, id="sub is empty: audit names people"),
        pytest.param(
            lambda: of(None, {"amr": "pwd"}), CLAIM, id="amr is a text: RFC 9068 section 2.2.1 says list"
        ),
    ],
)
def test_where_we_are_stricter_than_another_implementation(token: Any, reason: Reason) -> None:
    raw = token()

    assert oracle_accepts(raw)
    assert our_verdict(raw, time.time()) == reason


# ------------------------------------------------------------------------- what octets can do at most

JWK: Mapping[str, Any] = {
    name: value
    for name, value in key("ES256").as_dict(private=False).items()
    if name not in ("kid", "use", "alg")
}
THUMBPRINT = base64url(
    hashlib.sha256(orjson.dumps({name: JWK[name] for name in ("crv", "kty", "x", "y")})).digest()
).decode()
GOOD = sign(HEADER_TEXT, written(claims_at(NOW)))
BOUND = sign(HEADER_TEXT, written({**claims_at(NOW), "cnf": {"jkt": THUMBPRINT}}))
BEARER, DPOP, NONCE, OPAQUE = (
    "bearer.example.com",
    "dpop.example.com",
    "nonce.example.com",
    "opaque.example.com",
)
OF_OPAQUE = "https://opaque.example"
SCHEMES: Mapping[str, bytes] = {BEARER: b"Bearer", DPOP: b"DPoP", NONCE: b"DPoP", OPAQUE: b"Bearer"}
PROOFS = itertools.count()


async def nobody_knows(
    url: str, *, form: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None
) -> Fetched:
    """Answer as an issuer does that knows no token."""
    return Fetched(200, "application/json", b'{"active":false}')


class Gates:
    """Gates whose answers to the same question are the same to the last octet, and all that they wrote."""

    def __init__(self, folder: Path) -> None:
        (folder / "jwks.json").write_bytes(jwks(*ALGORITHMS))
        (folder / "secret").write_text("secret of the gate", "utf-8")
        self.records = Records()
        self._apps = {
            host: self._gate(folder, host, proof, require_nonce=host == NONCE)
            for host, proof in {BEARER: "none", DPOP: "dpop", NONCE: "dpop", OPAQUE: "none"}.items()
        }

    def _gate(self, folder: Path, host: str, proof: str, *, require_nonce: bool) -> ASGIApp:
        introspection = {
            "endpoint": "http://127.0.0.1/introspect",
            "client_id": "gate",
            "client_secret_file": str(folder / "secret"),
        }
        issuers: Mapping[str, Any] = {
            ISSUER: {"jwks_file": str(folder / "jwks.json")},
            OF_OPAQUE: {"token_formats": ["opaque"], "introspection": introspection},
        }
        issuer = OF_OPAQUE if host == OPAQUE else ISSUER
        route = {"tools": [SAFE], "scopes": ["docs:read"], "resource": RESOURCE, "proof": proof}
        policy = Policy.from_mapping(
            {
                "clients": {"allowed_ips": ["127.0.0.0/8"]},
                "oauth": {"issuers": [{"issuer": issuer, **issuers[issuer]}]},
                "routes": {host: route},
                "dpop": {"require_nonce": require_nonce},
            }
        )
        return protect(
            Spy(),
            policy,
            audit=self.records,
            fetch=nobody_knows,
            sealer=Sealer([b"k" * MIN_KEY]),
            clock=Clock(NOW),
            new_id=lambda: REQUEST_ID,
        )

    def ask(self, host: str, *fields: tuple[str, bytes]) -> Reply:
        """Return the answer to a good call with these headers besides."""
        headers, body = legacy("tools/call", {"name": SAFE})
        scope = http_scope(headers=[("host", host), *headers[1:]])
        scope["headers"] += [(name.encode(), value) for name, value in fields]
        return asyncio.run(call(self._apps[host], scope, body))

    def refusals(self, host: str) -> list[Reply]:
        """Return the answers to credentials of which we know what is wrong with them."""
        scheme = SCHEMES[host]
        answers = [self.ask(host, ("authorization", scheme + b" x"))]
        if scheme == b"DPoP":
            bound = ("authorization", b"DPoP " + BOUND)
            answers += [self.ask(host, bound), self.ask(host, bound, ("dpop", proof(host)))]
        return [answer for answer in answers if answer.status != 200]


def proof(
    host: str, header: Mapping[str, Any] | None = None, claims: Mapping[str, Any] | None = None
) -> bytes:
    """Return a proof for the bound token, with these changes."""
    base_claims = {
        "jti": f"proof {next(PROOFS)}",
        "htm": "POST",
        "htu": f"https://{host}/mcp",
        "iat": NOW,
        "ath": base64url(hashlib.sha256(BOUND).digest()).decode(),
    }
    base_header = {"typ": "dpop+jwt", "alg": "ES256", "jwk": JWK}
    return sign(written({**base_header, **(header or {})}), written({**base_claims, **(claims or {})}))


@pytest.fixture(scope="module")
def gates(tmp_path_factory: pytest.TempPathFactory) -> Gates:
    return Gates(tmp_path_factory.mktemp("keys"))


class Listener(logging.Handler):
    """Keeps every line that anybody logs."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


@contextmanager
def listening() -> Generator[list[str]]:
    """Give the lines that are logged within the block, by whomever, at any level."""
    root, listener = logging.getLogger(), Listener()
    level = root.level
    root.addHandler(listener)
    root.setLevel(logging.DEBUG)
    try:
        yield listener.lines
    finally:
        root.setLevel(level)
        root.removeHandler(listener)


def check_silence(gates: Gates, value: bytes, lines: list[str]) -> None:
    """Check that no log and no record repeats what was presented, and that nothing broke."""
    assert [line for line in lines if "asyncio" not in line and "selector" not in line] == []
    (record,) = gates.records.all[-1:]
    assert record["verdict"] == "deny"
    if len(value) > 40:
        written_down = json.dumps(record)
        assert value.decode("latin-1")[-40:] not in written_down
        assert value.decode("latin-1")[:40] not in written_down


MEMBER_NAMES = st.sampled_from(
    ["alg", "typ", "kid", "jwk", "crit", "iss", "aud", "exp", "jti", "htm", "htu", "iat", "ath"]
)
OBJECTS = st.dictionaries(st.one_of(MEMBER_NAMES, TEXTS), VALUES, max_size=4).map(written)
SEGMENTS = st.one_of(OBJECTS.map(base64url), st.binary(max_size=40).map(base64url), st.binary(max_size=20))
JWT_LIKE = st.lists(SEGMENTS, min_size=1, max_size=6).map(b".".join)


def spliced(good: bytes) -> st.SearchStrategy[bytes]:
    """Return a good token or proof with something else in places."""

    def splice(splices: list[tuple[int, int, bytes]]) -> bytes:
        changed = good
        for position, length, octets in splices:
            changed = changed[:position] + octets + changed[position + length :]
        return changed

    return st.lists(SPLICES, min_size=1, max_size=3).map(splice).filter(lambda changed: changed != good)


SCHEME_NAMES = st.one_of(
    st.sampled_from([b"Bearer", b"bearer", b"DPoP", b"dpop", b"Basic", b"Negotiate", b""]),
    st.binary(max_size=8),
)
SPACES = st.sampled_from([b" ", b" ", b" ", b"  ", b"\t", b"", b"=", b", "])
VALUES_OF_AUTHORIZATION = st.one_of(
    st.binary(max_size=100),
    st.tuples(SCHEME_NAMES, SPACES, st.one_of(st.binary(max_size=60), JWT_LIKE, spliced(GOOD))).map(b"".join),
    st.binary(min_size=1, max_size=3).map(lambda octets: b"Bearer " + octets * 3000),
)


@pytest.mark.parametrize("host", SCHEMES)
@given(value=VALUES_OF_AUTHORIZATION)
@example(value=b"")
@example(value=b"Bearer WyJhbGciXQ.e30.AA")
@example(value=b"Bearer \xff\xfe\x00")
@example(value=b"DPoP eyJhbGciOiJub25lIn0.e30.")
@settings(max_examples=200)
def test_no_octets_in_authorization_make_anything_but_the_one_refusal(
    gates: Gates, host: str, value: bytes
) -> None:
    (refusal, *_) = gates.refusals(host)
    with listening() as lines:
        reply = gates.ask(host, ("authorization", value))

    assert (reply.status, reply) == (401, refusal)
    check_silence(gates, value, lines)


VALUES_OF_DPOP = st.one_of(
    st.binary(max_size=100),
    JWT_LIKE,
    spliced(proof(DPOP)),
    st.binary(min_size=1, max_size=3).map(lambda octets: octets * 3000),
)


@pytest.mark.parametrize("host", [DPOP, NONCE])
@given(value=VALUES_OF_DPOP)
@example(value=b"")
@example(value=GOOD)
@example(value=b"WyJhbGciXQ.e30.AA")
@settings(max_examples=200)
def test_no_octets_in_dpop_make_anything_but_the_one_refusal(gates: Gates, host: str, value: bytes) -> None:
    _, refusal, *_ = gates.refusals(host)
    with listening() as lines:
        reply = gates.ask(host, ("authorization", b"DPoP " + BOUND), ("dpop", value))

    assert (reply.status, reply) == (401, refusal)
    check_silence(gates, value, lines)


@given(
    first=VALUES_OF_AUTHORIZATION,
    second=VALUES_OF_AUTHORIZATION,
    name=st.sampled_from(["authorization", "dpop"]),
)
@settings(max_examples=60)
def test_two_of_either_are_a_bad_request_whatever_they_are(
    gates: Gates, first: bytes, second: bytes, name: str
) -> None:
    with listening() as lines:
        reply = gates.ask(BEARER, (name, first), (name, second))

    assert (reply.status, reply.json()) == (400, {"error": "bad_request"})
    assert lines == [] or all("selector" in line for line in lines)


KEY_MEMBERS = st.dictionaries(
    st.sampled_from(["kty", "crv", "x", "y", "n", "e", "d", "k", "alg", "use", "key_ops", "kid", "oth"]),
    st.one_of(
        VALUES,
        st.sampled_from(
            ["EC", "RSA", "OKP", "oct", "P-256", "P-521", "Ed25519", "X25519", "ES256", "AQAB", *JWK.values()]
        ),
        st.binary(max_size=300).map(lambda octets: base64url(octets).decode()),
    ),
    max_size=6,
)
KEYS: st.SearchStrategy[Any] = st.one_of(
    VALUES, KEY_MEMBERS, KEY_MEMBERS.map(lambda members: {**JWK, **members})
)


@given(
    header=st.tuples(
        st.dictionaries(st.sampled_from(["typ", "alg", "crit", "kid", "x"]), VALUES, max_size=1),
        some("jwk", KEYS),
    ).map(merged),
    claims=st.dictionaries(
        st.sampled_from(["jti", "htm", "htu", "iat", "ath", "nonce", "x"]), VALUES, max_size=2
    ),
)
@example(header={}, claims={})
@settings(max_examples=400)
def test_no_proof_by_the_right_key_makes_anything_but_a_yes_or_the_one_refusal(
    gates: Gates, header: dict[str, Any], claims: dict[str, Any]
) -> None:
    _, refusal, *_ = gates.refusals(DPOP)
    raw = proof(DPOP, header, claims)
    with listening() as lines:
        reply = gates.ask(DPOP, ("authorization", b"DPoP " + BOUND), ("dpop", raw))

    if reply.status == 200:
        changed = {name for part in (header, claims) for name, value in part.items() if value is not None}
        assert changed <= {"kid", "jwk", "jti", "htu", "iat", "nonce", "x"}
    else:
        assert (reply.status, reply) == (401, refusal)
        check_silence(gates, raw, lines)


@given(header=HEADERS, claims=CLAIMS, times=TIMES)
@example(header={}, claims={"scope": 5}, times={})
@example(header={}, claims={"aud": {"x": []}}, times={})
@settings(max_examples=300)
def test_no_token_by_the_issuer_makes_anything_but_a_yes_or_a_refusal_that_is_always_the_same(
    gates: Gates, header: dict[str, Any], claims: dict[str, Any], times: dict[str, int]
) -> None:
    moments = {name: NOW + offset for name, offset in times.items()}
    raw = sign(
        written({"alg": "ES256", "kid": "ES256", **HEADER, **header}),
        written({**claims_at(NOW), **claims, **moments}),
    )
    (refusal,) = gates.refusals(BEARER)
    narrow = gates.ask(
        BEARER, ("authorization", b"Bearer " + sign(HEADER_TEXT, written({**claims_at(NOW), "scope": ""})))
    )
    assert narrow.status == 403
    with listening() as lines:
        reply = gates.ask(BEARER, ("authorization", b"Bearer " + raw))

    if reply.status != 200:
        assert reply in (refusal, narrow)
        check_silence(gates, raw, lines)


@pytest.fixture(scope="module", params=PARSERS, ids=lambda parser: f"with the {parser} parser")
def raw_gate(request: pytest.FixtureRequest) -> Generator[RawGate]:
    with open_gate(request.param) as running:
        yield running


def present(raw_gate: RawGate, value: bytes) -> Outcome:
    """Send a good call with this value of both headers."""
    text = value.decode("latin-1")
    return raw_gate.send(
        request_of(call_of(), [*RAW_HEADERS, ("Authorization", text), ("DPoP", text)]),
    )


def without_time(outcome: Outcome) -> Reply:
    """Return the one answer without what is new in each."""
    reply = outcome.answer
    kept = [(name, value) for name, value in reply.headers if name not in ("date", "x-request-id")]
    return Reply(reply.status, kept, reply.body)


@given(value=VALUES_OF_AUTHORIZATION)
@settings(max_examples=120)
def test_no_octets_of_a_header_over_a_connection_make_anything_but_two_refusals(
    raw_gate: RawGate, value: bytes
) -> None:
    refusals = [without_time(present(raw_gate, known)) for known in (b"Bearer x", b"Bearer \0")]
    assert [refusal.status for refusal in refusals] == [401, 400]
    # With an end of line it would be another header, which is another test's subject.
    value = value.translate(None, b"\r\n")
    with listening() as lines:
        outcome = present(raw_gate, value)

    outcome.check_refused(400, 401)
    assert without_time(outcome) in refusals
    assert [line for line in lines if "Traceback" in line] == []
    assert len(outcome.records) == (1 if outcome.answer.status == 401 else 0)
