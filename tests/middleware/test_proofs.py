from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.asgi import Reply, Spy, call, http_scope
from tests.support.audit import Records
from tests.support.proofs import Proof, bound_token, client_key, public_jwk, thumbprint
from tests.support.tokens import ISSUER, RESOURCE, Token, trusted_issuer
from tunnelgate import (
    AuditLog,
    BearerAuthentication,
    CertificateBinding,
    DPoP,
    NoProof,
    Principal,
    ProofOfPossession,
    Reason,
)
from tunnelgate.asgi import Scope
from tunnelgate.exchange import Exchange, exchange_of
from tunnelgate.proofs import SchemeName, confirmation
from tunnelgate.reading.fault import Fault

NOW = 1_800_000_000
METADATA = 'resource_metadata="https://docs.example.com/.well-known/oauth-protected-resource/mcp"'
JKT = thumbprint(client_key())


def principal(**claims: Any) -> Principal:
    return Principal(ISSUER, "alice", "agent", frozenset(), claims)


def check_without_proof(**claims: Any) -> None:
    scope = http_scope()
    NoProof().check(scope, exchange_of(scope), b"token", principal(**claims))


@pytest.mark.parametrize(
    "claims",
    [
        pytest.param({}, id="nothing"),
        pytest.param({"cnf": None}, id="null"),
        pytest.param({"token_type": "Bearer"}, id="the type of a bearer token"),
        pytest.param({"jkt": JKT}, id="a thumbprint that stands elsewhere"),
    ],
)
def test_where_no_proof_is_asked_for_a_token_that_is_bound_to_nothing_passes(claims: dict[str, Any]) -> None:
    check_without_proof(**claims)


@pytest.mark.parametrize(
    "claims",
    [
        pytest.param({"cnf": {"jkt": JKT}}, id="a key"),
        pytest.param({"cnf": {"x5t#S256": "A" * 43}}, id="a certificate"),
        pytest.param({"cnf": {"jwk": public_jwk(client_key())}}, id="a key that is spelled out"),
        pytest.param({"cnf": {"kid": "1"}}, id="the name of a key"),
        pytest.param({"cnf": {"new": "method"}}, id="a method that nobody knows yet"),
        pytest.param({"cnf": {}}, id="an empty binding"),
        pytest.param({"cnf": []}, id="a list"),
        pytest.param({"cnf": ""}, id="an empty text"),
        pytest.param({"cnf": False}, id="false"),
        pytest.param({"cnf": 0}, id="zero"),
        pytest.param({"token_type": "DPoP"}, id="the type of bound tokens, and not to which key"),
        pytest.param({"token_type": "dpop"}, id="that type in small letters"),
    ],
)
def test_where_no_proof_is_asked_for_no_token_passes_that_is_bound_to_anything(
    claims: dict[str, Any],
) -> None:
    with pytest.raises(Fault) as caught:
        check_without_proof(**claims)

    assert caught.value.reason is Reason.TOKEN_BINDING_WRONG


def test_without_a_proof_no_challenge_names_algorithms() -> None:
    exchange = exchange_of(http_scope())

    NoProof().prepare(exchange)

    assert exchange.proof_algorithms == ()


@pytest.mark.parametrize(
    ("method", "cnf"),
    [
        pytest.param("jkt", {"jkt": JKT}, id="a key"),
        pytest.param("x5t#S256", {"x5t#S256": JKT}, id="a certificate"),
    ],
)
def test_a_token_is_bound_to_what_it_names_by_the_method_that_is_checked(
    method: str, cnf: dict[str, str]
) -> None:
    assert confirmation({"cnf": cnf}, method) == JKT


NOT_BOUND = "the token is not bound by jkt"
BOUND_TWICE = "the token is bound by more than jkt"


@pytest.mark.parametrize(
    ("claims", "detail"),
    [
        pytest.param({}, NOT_BOUND, id="no binding"),
        pytest.param({"cnf": None}, NOT_BOUND, id="null"),
        pytest.param({"cnf": {}}, NOT_BOUND, id="an empty binding"),
        pytest.param({"cnf": JKT}, NOT_BOUND, id="a text"),
        pytest.param({"cnf": ["jkt", JKT]}, NOT_BOUND, id="a list"),
        pytest.param({"cnf": [{"jkt": JKT}]}, NOT_BOUND, id="a binding in a list"),
        pytest.param({"cnf": {"x5t#S256": JKT}}, NOT_BOUND, id="another method"),
        pytest.param({"cnf": {"JKT": JKT}}, NOT_BOUND, id="the method in capitals"),
        pytest.param({"cnf": {"jkt": ""}}, NOT_BOUND, id="an empty text"),
        pytest.param({"cnf": {"jkt": None}}, NOT_BOUND, id="null for the key"),
        pytest.param({"cnf": {"jkt": 7}}, NOT_BOUND, id="a number"),
        pytest.param({"cnf": {"jkt": [JKT]}}, NOT_BOUND, id="a list of keys"),
        pytest.param({"jkt": JKT}, NOT_BOUND, id="a thumbprint that stands elsewhere"),
        pytest.param({"cnf": {"jkt": JKT, "x5t#S256": JKT}}, BOUND_TWICE, id="a certificate as well"),
        pytest.param({"cnf": {"jkt": JKT, "kid": "1"}}, BOUND_TWICE, id="the name of a key as well"),
        pytest.param({"cnf": {"jkt": JKT, "x5t#S256": None}}, BOUND_TWICE, id="a second method that is null"),
    ],
)
def test_a_token_that_is_bound_otherwise_or_twice_is_not_bound_by_the_method(
    claims: dict[str, Any], detail: str
) -> None:
    with pytest.raises(Fault) as caught:
        confirmation(claims, "jkt")

    assert (caught.value.reason, caught.value.detail) == (Reason.TOKEN_BINDING_WRONG, detail)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=8), inner, max_size=2),
    max_leaves=4,
)
BINDINGS = ANYTHING | st.dictionaries(st.sampled_from(["jkt", "x5t#S256", "kid"]), ANYTHING, max_size=2)


@given(BINDINGS, st.sampled_from(["jkt", "x5t#S256"]))
def test_whatever_a_token_is_bound_to_a_text_comes_out_or_a_fault(cnf: Any, method: str) -> None:
    try:
        value = confirmation({"cnf": cnf}, method)
    except Fault as fault:
        assert fault.reason is Reason.TOKEN_BINDING_WRONG  # noqa: PT017 - either may come out
    else:
        assert value
        assert cnf == {method: value}


# Through the layer that verifies tokens


class Gate:
    """The layer with one way to prove a token, and what came through."""

    def __init__(self, proof: ProofOfPossession | None = None) -> None:
        self.spy = Spy()
        self.records = Records()
        layer = BearerAuthentication(
            self.spy, resource=RESOURCE, issuers=[trusted_issuer()], proof=proof, clock=lambda: float(NOW)
        )
        self._app = AuditLog(layer, sink=self.records)

    async def ask(self, *headers: tuple[str, str], **scope: Any) -> Reply:
        return await call(self._app, {**http_scope(headers=headers), **scope})


UNBOUND = Token().mint(NOW)
BOUND = bound_token(NOW)
OF_A_CERTIFICATE = Token(claims={"cnf": {"x5t#S256": "A" * 43}}).mint(NOW)


def authorization(scheme: str, token: str) -> tuple[str, str]:
    return ("authorization", f"{scheme} {token}")


@pytest.mark.parametrize(
    ("scheme", "token", "reason"),
    [
        pytest.param("Bearer", UNBOUND, None, id="a bearer token"),
        pytest.param("bEARER", UNBOUND, None, id="a bearer token in other letters"),
        pytest.param("DPoP", UNBOUND, Reason.TOKEN_MALFORMED, id="a bearer token under DPoP"),
        pytest.param("Bearer", BOUND, Reason.TOKEN_BINDING_WRONG, id="a token bound to a key"),
        pytest.param("DPoP", BOUND, Reason.TOKEN_MALFORMED, id="such a token under DPoP"),
        pytest.param(
            "Bearer", OF_A_CERTIFICATE, Reason.TOKEN_BINDING_WRONG, id="a token bound to a certificate"
        ),
    ],
)
@pytest.mark.parametrize("has_proof", [pytest.param(False, id="bare"), pytest.param(True, id="with a proof")])
@pytest.mark.anyio
async def test_a_route_without_proof_takes_bearer_tokens_and_no_others(
    scheme: str,
    token: str,
    reason: Reason | None,
    has_proof: bool,  # noqa: FBT001
) -> None:
    gate = Gate()
    proof = [("dpop", Proof().mint(token, NOW))] if has_proof else []

    reply = await gate.ask(authorization(scheme, token), *proof)

    if reason is None:
        assert (reply.status, len(gate.spy.scopes)) == (200, 1)
    else:
        challenge = f'Bearer error="invalid_token", {METADATA}'
        assert (reply.status, reply.json()) == (401, {"error": "invalid_token"})
        assert reply.header("www-authenticate") == challenge
        assert gate.records.verdicts == [("deny", reason)]
        assert gate.spy.scopes == []


@pytest.mark.anyio
async def test_a_token_that_was_stolen_from_a_route_with_proof_is_worth_nothing_on_one_without() -> None:
    proved, plain = Gate(DPoP([RESOURCE], clock=lambda: float(NOW))), Gate()
    headers = [authorization("DPoP", BOUND), ("dpop", Proof().mint(BOUND, NOW))]

    assert (await proved.ask(*headers)).status == 200
    assert (await plain.ask(*headers)).status == 401
    assert (await plain.ask(authorization("Bearer", BOUND))).status == 401


@pytest.mark.anyio
async def test_a_token_that_was_found_genuine_is_judged_by_its_binding_each_time() -> None:
    gate = Gate()

    replies = [await gate.ask(authorization("Bearer", BOUND)) for _ in range(3)]

    assert [each.status for each in replies] == [401, 401, 401]
    assert gate.records.verdicts == [("deny", Reason.TOKEN_BINDING_WRONG)] * 3


class Recording:
    """A proof of somebody's own: it notes what it was asked, and refuses what it is told to."""

    scheme: SchemeName = "bearer"

    def __init__(self, refuses: str = "") -> None:
        self.refuses = refuses
        self.seen: list[tuple[str, bytes, str]] = []

    def prepare(self, exchange: Exchange) -> None:
        self.seen.append(("prepare", b"", ""))

    def check(self, scope: Scope, exchange: Exchange, token: bytes, principal: Principal) -> None:
        self.seen.append(("check", token, principal.subject))
        if principal.subject == self.refuses:
            raise Fault(Reason.PROOF_WRONG, "not this one")


@pytest.mark.parametrize(
    ("refuses", "status"),
    [pytest.param("", 200, id="that takes it"), pytest.param("alice", 401, id="that does not")],
)
@pytest.mark.anyio
async def test_a_proof_of_ones_own_is_asked_about_tokens_that_are_genuine(refuses: str, status: int) -> None:
    proof = Recording(refuses)
    gate = Gate(proof)

    reply = await gate.ask(authorization("Bearer", UNBOUND))

    assert reply.status == status
    assert proof.seen == [("prepare", b"", ""), ("check", UNBOUND.encode(), "alice")]


@pytest.mark.parametrize(
    "token",
    [
        pytest.param("opaque", id="no JWT"),
        pytest.param(Token(claims={"exp": NOW - 100}).mint(NOW), id="an old token"),
        pytest.param(Token(claims={"iss": "https://evil.example"}).mint(NOW), id="a token of somebody else"),
    ],
)
@pytest.mark.anyio
async def test_a_proof_of_ones_own_is_not_asked_about_tokens_that_are_not(token: str) -> None:
    proof = Recording()

    reply = await Gate(proof).ask(authorization("Bearer", token))

    assert (reply.status, proof.seen) == (401, [("prepare", b"", "")])


@pytest.mark.parametrize(
    "proof",
    [
        pytest.param(NoProof(), id="none"),
        pytest.param(DPoP([RESOURCE]), id="DPoP"),
        pytest.param(CertificateBinding(), id="a certificate"),
    ],
)
@pytest.mark.anyio
async def test_without_a_token_no_proof_lets_anybody_in(proof: ProofOfPossession) -> None:
    gate = Gate(proof)

    reply = await gate.ask(("dpop", Proof().mint(BOUND, NOW)))

    assert (reply.status, reply.json()) == (401, {"error": "token_required"})
    assert gate.records.verdicts == [("deny", Reason.TOKEN_MISSING)]
