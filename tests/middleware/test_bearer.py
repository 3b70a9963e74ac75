import asyncio
import logging
import traceback
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.support.asgi import Headers, Reply, Spy, call, http_scope
from tests.support.audit import Records
from tests.support.tokens import (
    ISSUER,
    RESOURCE,
    Clock,
    KeyEndpoint,
    Token,
    introspected,
    jwks,
    trusted_issuer,
)
from tunnelgate import (
    Allow,
    AuditLog,
    BearerAuthentication,
    ClientSecret,
    Deny,
    Introspection,
    KeySource,
    NeedsScopes,
    Principal,
    Reason,
    RemoteKeys,
    StaticKeys,
    TrustedIssuer,
    Unavailable,
    principal_of,
)
from tunnelgate.asgi import Receive, Scope, Send
from tunnelgate.bearer import RouteRules
from tunnelgate.exchange import Exchange, exchange_of
from tunnelgate.fetching import Fetched
from tunnelgate.jwks import VerificationKey
from tunnelgate.proofs import SchemeName
from tunnelgate.reading.bearer import MAX_TOKEN
from tunnelgate.reading.fault import Fault
from tunnelgate.requirements import Claims
from tunnelgate.verifier import REMEMBERED_FOR, REMEMBERED_TOKENS, TokenVerifier

NOW = 1_800_000_000
METADATA = "https://docs.example.com/.well-known/oauth-protected-resource/mcp"
CHALLENGE = f'Bearer scope="docs:read", resource_metadata="{METADATA}"'
INVALID = f'Bearer error="invalid_token", scope="docs:read", resource_metadata="{METADATA}"'
INSUFFICIENT = f'Bearer error="insufficient_scope", scope="docs:read", resource_metadata="{METADATA}"'
VALID = Token().mint(NOW)


async def unasked(url: str, *, form: object = None, headers: object = None) -> Fetched:
    raise AssertionError("nobody was to be asked")


def introspecting(issuer: str = ISSUER) -> TrustedIssuer:
    """Return an issuer that is asked about its tokens."""
    client = ClientSecret("gate", "s3cret")
    return TrustedIssuer(issuer, introspection=Introspection(f"{issuer}/introspect", unasked, client))


class Gate:
    """The layer as an application uses it, with what came through and what was written down."""

    def __init__(
        self,
        keys: KeySource | None = None,
        scopes: Sequence[str] = ("docs:read",),
        now: float = NOW,
        claims: Claims | None = None,
        **options: Any,
    ) -> None:
        self.spy = Spy()
        self.records = Records()
        self.clock = Clock(now)
        issuer = TrustedIssuer(ISSUER, StaticKeys(jwks("ES256", "Ed25519")) if keys is None else keys)
        self.exchanges: list[Exchange] = []
        arguments: dict[str, Any] = {"issuers": [issuer], "scopes": scopes, "claims": claims, **options}
        layer = BearerAuthentication(self._look, resource=RESOURCE, clock=self.clock, **arguments)
        self.app = AuditLog(layer, sink=self.records)

    async def _look(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.exchanges.append(exchange_of(scope))
        await self.spy(scope, receive, send)

    async def ask(self, *authorization: str, headers: Headers = (), path: str = "/mcp") -> Reply:
        fields = [("host", "docs.example.com"), *headers]
        fields += [("authorization", value) for value in authorization]
        return await call(self.app, http_scope(path=path, headers=fields))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        pytest.param({"issuers": [trusted_issuer(), trusted_issuer("RS256")]}, ISSUER, id="one issuer twice"),
        pytest.param(
            {"issuers": [introspecting(), introspecting("https://b.example")]},
            f"{ISSUER} and https://b.example introspect",
            id="two issuers to ask",
        ),
        pytest.param({"issuers": []}, "no issuer is trusted", id="no issuer at all"),
        pytest.param({"resource": "docs.example.com"}, "resource", id="a resource that is no URL"),
        pytest.param({"resource": 'https://a"b.example/mcp'}, "resource", id="a quote in the resource"),
        pytest.param({"resource": "https://dócs.example/mcp"}, "resource", id="a resource in Unicode"),
        pytest.param({"resource": "https://a.example/\r\nx: y"}, "resource", id="a resource of two lines"),
        pytest.param({"scopes": ["docs read"]}, "scope", id="two scopes in one"),
        pytest.param({"scopes": ['docs"read']}, "scope", id="a quote in a scope"),
        pytest.param({"scopes": [""]}, "scope", id="an empty scope"),
        pytest.param(
            {"scopes": "docs:read"},
            "a text or a mapping stands where a list of scopes is meant",
            id="a text for a list",
        ),
        pytest.param(
            {"scopes": {"docs:read": True}},
            "a text or a mapping stands where a list of scopes is meant",
            id="a mapping for a list",
        ),
        pytest.param(
            {"claims": {"department": []}}, "a claim with no value would allow nobody", id="no good value"
        ),
        pytest.param(
            {"claims": {"a": "b", "department": ()}}, "would allow nobody", id="one of two claims without"
        ),
    ],
)
def test_what_no_token_could_satisfy_or_no_challenge_could_name_is_refused_at_construction(
    arguments: dict[str, Any], sentence: str
) -> None:
    good: dict[str, Any] = {"resource": RESOURCE, "issuers": [trusted_issuer()], "scopes": ["docs:read"]}

    with pytest.raises(ValueError, match=sentence):
        BearerAuthentication(Spy(), **{**good, **arguments})


def test_an_issuer_that_could_tell_nothing_is_a_mistake() -> None:
    with pytest.raises(ValueError, match=f"^{ISSUER} has neither keys nor introspection"):
        TrustedIssuer(ISSUER)


def principal(*scopes: str, **claims: Any) -> Principal:
    return Principal(ISSUER, "alice", "agent", frozenset(scopes), claims)


@pytest.mark.parametrize(
    ("needed", "caller", "verdict"),
    [
        pytest.param([], None, Deny(Reason.TOKEN_MISSING), id="nobody, where no scope is needed"),
        pytest.param(["a"], None, Deny(Reason.TOKEN_MISSING), id="nobody"),
        pytest.param([], principal(), Allow(), id="somebody, where no scope is needed"),
        pytest.param(["a"], principal("a"), Allow(), id="somebody with the scope"),
        pytest.param(["a", "b"], principal("c", "b", "a"), Allow(), id="somebody with more"),
        pytest.param(["a"], principal(), NeedsScopes(("a",)), id="somebody without a scope"),
        pytest.param(["b", "a"], principal("a"), NeedsScopes(("b", "a")), id="somebody with one of two"),
        pytest.param(
            ["mcp:call"], principal("mcp:calls"), NeedsScopes(("mcp:call",)), id="T070 a longer one"
        ),
        pytest.param(["mcp:call"], principal("xmcp:call"), NeedsScopes(("mcp:call",)), id="T070 a suffix"),
        pytest.param(["a"], principal("A"), NeedsScopes(("a",)), id="another case"),
    ],
)
def test_a_route_is_used_with_all_its_scopes(
    needed: list[str], caller: Principal | None, verdict: Allow | Deny | NeedsScopes
) -> None:
    assert verdict == RouteRules(needed).decide(caller)


NOT_THEIRS = Deny(Reason.CLAIM_MISSING)
SUPPORT: Claims = {"department": "support"}


@pytest.mark.parametrize(
    ("needed", "found", "verdict"),
    [
        pytest.param({}, {}, Allow(), id="no claim"),
        pytest.param(SUPPORT, {"department": "support"}, Allow(), id="the value"),
        pytest.param(SUPPORT, {"department": ["sales", "support"]}, Allow(), id="the value in a list"),
        pytest.param(SUPPORT, {"department": "support", "tenant": "x"}, Allow(), id="the value and others"),
        pytest.param({"department": ["sales", "support"]}, SUPPORT, Allow(), id="one of several values"),
        pytest.param(
            {"department": ("a", "b")}, {"department": ["b", "c"]}, Allow(), id="one of several in a list"
        ),
        pytest.param({"level": 3}, {"level": 3}, Allow(), id="a number"),
        pytest.param({"level": 0}, {"level": 0}, Allow(), id="zero"),
        pytest.param({"verified": True}, {"verified": True}, Allow(), id="true"),
        pytest.param({"verified": False}, {"verified": False}, Allow(), id="false"),
        pytest.param({"verified": [True, "yes"]}, {"verified": "yes"}, Allow(), id="one of several types"),
        pytest.param({"a": "b", "c": "d"}, {"a": "b", "c": "d"}, Allow(), id="two claims"),
        pytest.param({"a": "b", "c": "d"}, {"a": "b"}, NOT_THEIRS, id="one of two claims"),
        pytest.param(
            {"a": "b", "c": "d"}, {"a": "b", "c": "e"}, NOT_THEIRS, id="another value of one of two"
        ),
        pytest.param(SUPPORT, {}, NOT_THEIRS, id="none"),
        pytest.param(SUPPORT, {"department": "sales"}, NOT_THEIRS, id="another value"),
        pytest.param(SUPPORT, {"department": "Support"}, NOT_THEIRS, id="another case"),
        pytest.param(SUPPORT, {"department": "support "}, NOT_THEIRS, id="a space behind"),
        pytest.param(SUPPORT, {"department": "support sales"}, NOT_THEIRS, id="two in one text"),
        pytest.param(SUPPORT, {"department": "supporter"}, NOT_THEIRS, id="a longer one"),
        pytest.param(SUPPORT, {"Department": "support"}, NOT_THEIRS, id="another case of the name"),
        pytest.param(SUPPORT, {"department": None}, NOT_THEIRS, id="null"),
        pytest.param(SUPPORT, {"department": []}, NOT_THEIRS, id="an empty list"),
        pytest.param(SUPPORT, {"department": [["support"]]}, NOT_THEIRS, id="a list in a list"),
        pytest.param(SUPPORT, {"department": {"support": True}}, NOT_THEIRS, id="a mapping"),
        pytest.param(SUPPORT, {"department": [{"name": "support"}]}, NOT_THEIRS, id="a mapping in a list"),
        pytest.param({"level": 1}, {"level": True}, NOT_THEIRS, id="true for one"),
        pytest.param({"level": 1}, {"level": 1.0}, NOT_THEIRS, id="a fraction for a number"),
        pytest.param({"level": 1}, {"level": "1"}, NOT_THEIRS, id="a text for a number"),
        pytest.param({"level": "1"}, {"level": 1}, NOT_THEIRS, id="a number for a text"),
        pytest.param({"verified": True}, {"verified": 1}, NOT_THEIRS, id="one for true"),
        pytest.param({"verified": False}, {"verified": 0}, NOT_THEIRS, id="zero for false"),
        pytest.param({"verified": False}, {}, NOT_THEIRS, id="nothing for false"),
        pytest.param({"verified": True}, {"verified": "true"}, NOT_THEIRS, id="a text for true"),
    ],
)
@pytest.mark.promise("token-for-this-server")
def test_a_route_is_used_with_one_of_the_values_of_each_claim(
    needed: Claims, found: dict[str, Any], verdict: Allow | Deny
) -> None:
    assert verdict == RouteRules((), needed).decide(principal(**found))


@pytest.mark.parametrize(
    ("caller", "verdict"),
    [
        pytest.param(None, Deny(Reason.TOKEN_MISSING), id="nobody"),
        pytest.param(principal(), NOT_THEIRS, id="neither"),
        pytest.param(principal("a"), NOT_THEIRS, id="the scope alone"),
        pytest.param(principal(department="support"), NeedsScopes(("a",)), id="the claim alone"),
        pytest.param(principal("a", department="support"), Allow(), id="both"),
    ],
)
def test_who_lacks_a_claim_is_not_asked_for_scopes(
    caller: Principal | None, verdict: Allow | Deny | NeedsScopes
) -> None:
    assert verdict == RouteRules(["a"], SUPPORT).decide(caller)


def test_what_is_told_at_construction_may_be_read_only_once() -> None:
    rules = RouteRules(iter(["a"]), {"department": iter(["support", "sales"])})

    verdicts = [rules.decide(principal("a", department=name)) for name in ("sales", "sales", "support", "x")]

    assert verdicts == [Allow(), Allow(), Allow(), NOT_THEIRS]


def speaking_for(subject: str, client_id: str, *scopes: str) -> Principal:
    return Principal(ISSUER, subject, client_id, frozenset(scopes), {})


@pytest.mark.parametrize(
    ("require_user", "caller", "verdict"),
    [
        pytest.param(True, speaking_for("alice", "agent", "a"), Allow(), id="a person"),
        pytest.param(True, speaking_for("agent", "agent", "a"), Deny(Reason.USER_REQUIRED), id="a client"),
        pytest.param(
            True, speaking_for("agent", "agent"), Deny(Reason.USER_REQUIRED), id="a client without the scope"
        ),
        pytest.param(True, speaking_for("alice", "agent"), NeedsScopes(("a",)), id="a person without it"),
        pytest.param(True, speaking_for("Agent", "agent", "a"), Allow(), id="a person of a similar name"),
        pytest.param(True, None, Deny(Reason.TOKEN_MISSING), id="nobody"),
        pytest.param(False, speaking_for("agent", "agent", "a"), Allow(), id="a client where it may"),
    ],
)
def test_where_a_person_must_ask_a_client_may_not(
    caller: Principal | None, verdict: Allow | Deny | NeedsScopes, *, require_user: bool
) -> None:
    assert verdict == RouteRules(["a"], require_user=require_user).decide(caller)


@pytest.mark.anyio
async def test_unless_told_otherwise_a_client_may_ask_for_itself_and_its_token_is_not_kept() -> None:
    gate = Gate()

    reply = await gate.ask(f"Bearer {Token(claims={'sub': 'agent'}).mint(NOW)}")

    assert reply.status == 200
    assert [exchange.token for exchange in gate.exchanges] == [None]
    assert RouteRules(["a"]).decide(speaking_for("agent", "agent", "a"))


@pytest.mark.anyio
async def test_a_client_where_a_person_must_ask_is_told_that_this_token_is_not_enough() -> None:
    gate = Gate(require_user=True)

    as_client = await gate.ask(f"Bearer {Token(claims={'sub': 'agent'}).mint(NOW)}")
    as_person = await gate.ask(f"Bearer {VALID}")

    assert (as_client.status, as_person.status) == (403, 200)
    assert as_client.header("www-authenticate") == INSUFFICIENT
    assert gate.records.verdicts == [("deny", Reason.USER_REQUIRED), ("allow", None)]
    assert len(gate.spy.scopes) == 1


@pytest.mark.parametrize(
    ("claims", "status"),
    [
        pytest.param({"department": "support"}, 200, id="the claim"),
        pytest.param({"department": ["sales", "support"]}, 200, id="the claim among others"),
        pytest.param({}, 403, id="none"),
        pytest.param({"department": "sales"}, 403, id="another value"),
        pytest.param({"department": "sales", "scope": ""}, 403, id="another value and no scope"),
    ],
)
@pytest.mark.promise("callers-protocol")
@pytest.mark.anyio
async def test_a_token_of_somebody_else_is_refused_without_a_challenge(
    claims: dict[str, Any], status: int
) -> None:
    gate = Gate(claims={"department": ["support", "board"]})

    reply = await gate.ask(f"Bearer {Token(claims=claims).mint(NOW)}")

    assert reply.status == status
    assert len(gate.spy.scopes) == (status == 200)
    if status == 403:
        assert reply.json() == {"error": "access_denied"}
        assert reply.header("www-authenticate") is None
        assert gate.records.verdicts == [("deny", Reason.CLAIM_MISSING)]
        assert gate.records.all[0]["principal"]["subject"] == "alice"
        assert not {"support", "board"} & set(reply.body.decode().split('"'))


@pytest.mark.anyio
async def test_a_remembered_token_is_judged_by_its_claims_each_time() -> None:
    gate = Gate(claims=SUPPORT)
    bearer = f"Bearer {Token(claims={'department': 'sales'}).mint(NOW)}"

    assert [(await gate.ask(bearer)).status for _ in range(3)] == [403, 403, 403]


@pytest.mark.anyio
async def test_who_brings_no_token_is_told_where_to_get_one_and_not_what_it_must_say() -> None:
    reply = await Gate(claims=SUPPORT).ask()

    assert (reply.status, reply.header("www-authenticate")) == (401, CHALLENGE)


@pytest.mark.parametrize(
    "authorization",
    [
        pytest.param(f"Bearer {VALID}", id="a good token"),
        pytest.param(f"bearer {VALID}", id="T062 the scheme in lower case"),
        pytest.param(f"BEARER {VALID}", id="the scheme in capitals"),
    ],
)
@pytest.mark.promise("token-stays-here")
@pytest.mark.anyio
async def test_a_good_token_passes_and_stays_behind(
    authorization: str, caplog: pytest.LogCaptureFixture
) -> None:
    gate = Gate()

    with caplog.at_level(logging.DEBUG):
        reply = await gate.ask(authorization, headers=[("accept", "application/json")])

    assert reply.status == 200
    assert gate.spy.seen_headers == {"host": "docs.example.com", "accept": "application/json"}
    found = principal_of(gate.spy.scopes[0])
    assert found is not None
    assert (found.subject, found.client_id, found.scopes) == ("alice", "agent", frozenset({"docs:read"}))
    assert VALID not in f"{gate.spy.scopes} {gate.records.all} {caplog.text}"


MALFORMED = Reason.TOKEN_MALFORMED
LONGEST = "a" * MAX_TOKEN


@pytest.mark.parametrize(
    ("authorization", "reason"),
    [
        pytest.param(f"Bearer  {VALID}", MALFORMED, id="T062 two spaces"),
        pytest.param(f"Bearer\t{VALID}", MALFORMED, id="T062 a tab"),
        pytest.param(f" Bearer {VALID}", MALFORMED, id="a space before"),
        pytest.param(f"Bearer {VALID} ", MALFORMED, id="a space behind"),
        pytest.param(f"Bearer {VALID}, Bearer {VALID}", MALFORMED, id="T061 two joined by a comma"),
        pytest.param(f"Bearer {VALID} Bearer {VALID}", MALFORMED, id="two joined by a space"),
        pytest.param("", MALFORMED, id="an empty header"),
        pytest.param("Bearer", MALFORMED, id="the scheme alone"),
        pytest.param("Bearer ", MALFORMED, id="the scheme and a space"),
        pytest.param(VALID, MALFORMED, id="the token alone"),
        pytest.param(f"Bearer={VALID}", MALFORMED, id="an equals sign"),
        pytest.param("Basic YWxpY2U6c2VjcmV0", MALFORMED, id="T065 Basic"),
        pytest.param(f"DPoP {VALID}", MALFORMED, id="T065 DPoP"),
        pytest.param("Negotiate YII", MALFORMED, id="T065 Negotiate"),
        pytest.param("Bearer \xe9", MALFORMED, id="T087 an octet beyond ASCII"),
        pytest.param("Bearer a\0b", MALFORMED, id="T087 a zero octet"),
        pytest.param("Bearer a\x7f", MALFORMED, id="T087 a control octet"),
        pytest.param(f"Bearer {VALID}\n", MALFORMED, id="a newline behind"),
        pytest.param("Bearer opaque", MALFORMED, id="a token that is no JWT"),
        pytest.param(f"Bearer {LONGEST}", MALFORMED, id="the longest token, which is no JWT"),
        pytest.param(f"Bearer {LONGEST}a", MALFORMED, id="a token one octet too long"),
        pytest.param(f"Bearer {Token().mint(NOW - 400)}", Reason.TOKEN_EXPIRED, id="an old token"),
        pytest.param(
            f"Bearer {Token(claims={'aud': 'https://wiki.example.com/mcp'}).mint(NOW)}",
            Reason.TOKEN_AUDIENCE_WRONG,
            id="T041 a token for another server",
        ),
    ],
)
@pytest.mark.promise("callers-protocol")
@pytest.mark.anyio
async def test_a_bad_token_is_answered_with_a_challenge_that_does_not_say_why(
    authorization: str, reason: Reason
) -> None:
    gate = Gate()

    reply = await gate.ask(authorization)

    assert (reply.status, reply.json()) == (401, {"error": "invalid_token"})
    assert reply.header("www-authenticate") == INVALID
    assert [("deny", reason)] == gate.records.verdicts
    assert gate.spy.scopes == []
    assert VALID not in str(gate.records.all)


@pytest.mark.anyio
async def test_a_token_as_long_as_allowed_is_read_and_a_longer_one_is_not() -> None:
    longest = padded_to(MAX_TOKEN)
    gate = Gate()

    accepted = await gate.ask(f"Bearer {longest}")
    refused = await gate.ask(f"Bearer {padded_to(MAX_TOKEN + 1)}")

    assert (accepted.status, refused.status) == (200, 401)
    assert gate.records.verdicts == [("allow", None), ("deny", Reason.TOKEN_MALFORMED)]
    assert gate.records.all[1]["detail"] == f"longer than {MAX_TOKEN} octets"


def padded_to(size: int) -> str:
    """Return a good token of exactly so many characters."""
    for algorithm in ("ES256", "Ed25519"):  # not every length is one that Base64 can have
        for pad in range(size * 3 // 4 - 350, size * 3 // 4 - 250):
            token = Token(algorithm, claims={"pad": "x" * pad}).mint(NOW)
            if len(token) == size:
                return token
    raise AssertionError("no token has this size")


@pytest.mark.parametrize(
    ("headers", "path"),
    [
        pytest.param((), "/mcp", id="nothing"),
        pytest.param([("cf-access-jwt-assertion", VALID)], "/mcp", id="T088 a header of another gate"),
        pytest.param([("x-forwarded-user", "alice")], "/mcp", id="T089 a name in a header"),
        pytest.param([("proxy-authorization", f"Bearer {VALID}")], "/mcp", id="a token for a proxy"),
        pytest.param([("cookie", f"access_token={VALID}")], "/mcp", id="a token in a cookie"),
    ],
)
@pytest.mark.promise("challenge-complete")
@pytest.mark.anyio
async def test_without_a_token_the_caller_learns_where_to_get_one(headers: Headers, path: str) -> None:
    gate = Gate()

    reply = await gate.ask(headers=headers, path=path)

    assert (reply.status, reply.json()) == (401, {"error": "token_required"})
    assert reply.header("www-authenticate") == CHALLENGE
    assert gate.records.verdicts == [("deny", Reason.TOKEN_MISSING)]
    assert gate.spy.scopes == []


@pytest.mark.anyio
async def test_a_token_in_the_query_is_nobodys_and_is_not_written_down() -> None:
    gate = Gate()
    scope = {**http_scope(), "query_string": f"access_token={VALID}".encode()}

    reply = await call(gate.app, scope)

    assert reply.status == 401
    assert VALID not in str(gate.records.all)


@pytest.mark.anyio
async def test_two_headers_are_refused_even_when_both_have_the_same_good_token() -> None:
    gate = Gate()

    reply = await gate.ask(f"Bearer {VALID}", f"Bearer {VALID}")

    assert (reply.status, reply.json()) == (400, {"error": "bad_request"})  # T060
    assert gate.records.verdicts == [("deny", Reason.HEADER_DUPLICATED)]
    assert gate.spy.scopes == []


@pytest.mark.parametrize(
    "scope",
    [
        pytest.param("docs:reads", id="T070 a longer one"),
        pytest.param("xdocs:read", id="T070 one that ends like it"),
        pytest.param(["docs:read"], id="T071 a list"),
        pytest.param(5, id="T071 a number"),
        pytest.param({}, id="T071 an object"),
        pytest.param(None, id="none"),
        pytest.param("docs:read\tx", id="a tab for a space"),
    ],
)
@pytest.mark.anyio
async def test_a_genuine_token_without_the_scope_is_asked_for_a_wider_one(scope: Any) -> None:
    gate = Gate()

    reply = await gate.ask(f"Bearer {Token(claims={'scope': scope}).mint(NOW)}")

    assert (reply.status, reply.json()) == (403, {"error": "insufficient_scope"})
    assert reply.header("www-authenticate") == INSUFFICIENT
    assert gate.records.verdicts == [("deny", Reason.SCOPE_MISSING)]
    assert gate.spy.scopes == []


@pytest.mark.promise("challenge-complete")
@pytest.mark.anyio
async def test_all_the_scopes_are_asked_for_at_once() -> None:
    gate = Gate(scopes=["docs:read", "docs:list"])

    reply = await gate.ask(f"Bearer {VALID}")

    assert reply.header("www-authenticate") == (
        f'Bearer error="insufficient_scope", scope="docs:read docs:list", resource_metadata="{METADATA}"'
    )


@pytest.mark.anyio
async def test_without_scopes_to_ask_for_the_challenge_names_none() -> None:
    gate = Gate(scopes=())

    reply = await gate.ask()

    assert reply.header("www-authenticate") == f'Bearer resource_metadata="{METADATA}"'


@pytest.mark.promise("refused-or-broken")
@pytest.mark.anyio
async def test_while_keys_cannot_be_had_the_answer_is_503_and_the_client_may_keep_its_token() -> None:
    endpoint = KeyEndpoint(OSError("connection refused"))
    gate = Gate(RemoteKeys("https://login.example.com/jwks", endpoint.fetch))

    reply = await gate.ask(f"Bearer {VALID}")

    assert (reply.status, reply.json()) == (503, {"error": "unavailable"})  # T081
    assert reply.header("www-authenticate") is None
    assert gate.records.verdicts == [("broken", Reason.KEYS_UNAVAILABLE)]
    assert gate.spy.scopes == []


@pytest.mark.anyio
async def test_a_hundred_requests_at_a_cold_start_all_pass_on_one_fetch() -> None:
    endpoint = KeyEndpoint(jwks("ES256"))
    gate = Gate(RemoteKeys("https://login.example.com/jwks", endpoint.fetch))
    endpoint.answers.clear()

    async def open_up() -> None:
        endpoint.answers.set()

    *replies, _ = await asyncio.gather(*(gate.ask(f"Bearer {VALID}") for _ in range(100)), open_up())

    assert [reply.status for reply in replies if reply is not None] == [200] * 100
    assert len(endpoint.asked) == 1


class CountedKeys:
    """Keys that know how often they were asked for, which is once for each verification."""

    def __init__(self, *algorithms: str) -> None:
        self.keys = StaticKeys(jwks(*(algorithms or ("ES256",))))
        self.count = 0

    async def find(self, key_id: str) -> VerificationKey | None:
        self.count += 1
        return await self.keys.find(key_id)


class Memory:
    """A verifier, its clock, and how often it had to verify."""

    def __init__(self, *algorithms: str) -> None:
        self.keys = CountedKeys(*algorithms)
        self.clock = Clock(NOW)
        self.verifier = TokenVerifier(
            resource=RESOURCE, issuers=[TrustedIssuer(ISSUER, self.keys)], clock=self.clock
        )

    async def accepts(self, token: str) -> bool:
        try:
            await self.verifier.verify(token.encode())
        except Fault:
            return False
        return True


@pytest.mark.anyio
async def test_a_token_that_was_found_genuine_is_remembered_for_a_minute() -> None:
    memory = Memory()

    for moment in (0, 1, REMEMBERED_FOR - 1):
        memory.clock.now = NOW + moment
        assert await memory.accepts(VALID)
    within = memory.keys.count
    memory.clock.now = NOW + REMEMBERED_FOR
    assert await memory.accepts(VALID)

    assert REMEMBERED_FOR == 60
    assert (within, memory.keys.count) == (1, 2)


@pytest.mark.promise("token-for-this-server")
@pytest.mark.anyio
async def test_a_token_is_refused_after_its_end_even_when_it_is_remembered() -> None:
    memory = Memory()
    token = Token(claims={"exp": NOW + 20}).mint(NOW)

    moments = (0, 19, 20, 49, 50)
    accepted: list[tuple[bool, int]] = []
    for moment in moments:
        memory.clock.now = NOW + moment
        accepted.append((await memory.accepts(token), memory.keys.count))

    assert accepted == [(True, 1), (True, 1), (True, 2), (True, 3), (False, 4)]


@pytest.mark.anyio
async def test_a_key_that_was_taken_back_is_forgotten_with_the_tokens_it_signed() -> None:
    memory = Memory()
    assert await memory.accepts(VALID)
    memory.keys.keys = StaticKeys(jwks("RS256"))

    memory.clock.now = NOW + 59
    while_remembered = await memory.accepts(VALID)
    memory.clock.now = NOW + 60

    assert while_remembered
    assert not await memory.accepts(VALID)


@pytest.mark.anyio
async def test_a_refused_token_is_judged_anew_each_time() -> None:
    memory = Memory("RS256")

    for _ in range(3):
        assert not await memory.accepts(VALID)

    assert memory.keys.count == 3


@pytest.mark.anyio
async def test_another_spelling_of_a_remembered_token_is_another_token() -> None:
    memory = Memory()
    assert await memory.accepts(VALID)

    for token in (VALID + "=", VALID + ".", VALID[:-1], " " + VALID):
        assert not await memory.accepts(token)


@pytest.mark.anyio
async def test_what_one_server_remembers_another_does_not_accept() -> None:
    ours = Memory()
    theirs = TokenVerifier(
        resource="https://wiki.example.com/mcp", issuers=[trusted_issuer()], clock=lambda: NOW
    )
    assert await ours.accepts(VALID)

    with pytest.raises(Fault, match=Reason.TOKEN_AUDIENCE_WRONG):
        await theirs.verify(VALID.encode())


@pytest.mark.promise("bounded")
@pytest.mark.anyio
async def test_as_many_tokens_as_allowed_are_remembered_and_then_the_oldest_is_forgotten() -> None:
    memory = Memory("Ed25519")
    tokens = [Token("Ed25519", claims={"jti": str(each)}).mint(NOW) for each in range(REMEMBERED_TOKENS + 1)]

    for token in tokens[:-1]:
        assert await memory.accepts(token)
    assert await memory.accepts(tokens[0])
    at_the_limit = memory.keys.count
    assert await memory.accepts(tokens[-1])
    assert await memory.accepts(tokens[1])
    past_it = memory.keys.count
    assert await memory.accepts(tokens[0])

    assert REMEMBERED_TOKENS == 4096
    assert (at_the_limit, past_it) == (REMEMBERED_TOKENS, REMEMBERED_TOKENS + 1)
    assert memory.keys.count == REMEMBERED_TOKENS + 2


@pytest.mark.anyio
async def test_a_token_is_judged_by_the_time_at_which_its_key_is_there() -> None:
    clock = Clock(NOW)

    async def fetch_slowly(url: str, *, form: object = None, headers: object = None) -> Fetched:
        clock.now += 40
        return Fetched(200, "application/json", jwks("ES256"))

    issuer = TrustedIssuer(ISSUER, RemoteKeys("https://login.example.com/jwks", fetch_slowly))
    verifier = TokenVerifier(resource=RESOURCE, issuers=[issuer], clock=clock)

    with pytest.raises(Fault, match=Reason.TOKEN_EXPIRED):
        await verifier.verify(Token(claims={"exp": NOW + 5}).mint(NOW).encode())


OPAQUE = b"2YotnFZFEjr1zCsicMWpAA"
SHAPED = b"a.b.c"  # opaque, and in the form of a JWT
ENCRYPTED = b"eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIn0..YQ.YQ.YQ"
URL = "https://login.example.com/introspect"


class Asked:
    """A verifier that asks about opaque tokens, the endpoint, and the time."""

    def __init__(
        self,
        answer: bytes | Fetched | Exception | None = None,
        *,
        keys: KeySource | None = None,
        others: Sequence[TrustedIssuer] = (),
        **bounds: Any,
    ) -> None:
        self.clock = Clock(NOW)
        self.endpoint = KeyEndpoint(introspected(NOW) if answer is None else answer)
        self.introspection = Introspection(
            URL, self.endpoint.fetch, ClientSecret("gate", "s3cret"), clock=self.clock, **bounds
        )
        self.issuers = [TrustedIssuer(ISSUER, keys, introspection=self.introspection), *others]
        self.verifier = TokenVerifier(resource=RESOURCE, issuers=self.issuers, clock=self.clock)

    @property
    def questions(self) -> int:
        return len(self.endpoint.asked)

    async def verdict(self, token: bytes = OPAQUE) -> str | Reason:
        """Return whom a token speaks for, or why for nobody."""
        try:
            return (await self.verifier.verify(token)).subject
        except (Fault, Unavailable) as error:
            return error.reason

    async def verdict_at(self, moment: float, token: bytes = OPAQUE) -> tuple[str | Reason, int]:
        self.clock.now = NOW + moment
        return await self.verdict(token), self.questions


@pytest.mark.promise("opaque-judged-here")
@pytest.mark.anyio
async def test_an_opaque_token_passes_when_its_issuer_says_that_it_was_made_for_us() -> None:
    asked = Asked()
    gate = Gate(issuers=asked.issuers)

    reply = await gate.ask(f"Bearer {OPAQUE.decode()}")

    assert reply.status == 200
    assert "authorization" not in gate.spy.seen_headers
    found = principal_of(gate.spy.scopes[0])
    assert found == Principal(
        ISSUER, "alice", "agent", frozenset({"docs:read"}), orjson.loads(introspected(NOW))
    )
    assert OPAQUE.decode() not in str(gate.records.all)


@pytest.mark.parametrize(
    ("answer", "status", "verdict"),
    [
        pytest.param(b'{"active":false}', 401, ("deny", Reason.TOKEN_INACTIVE), id="it is not active"),
        pytest.param(
            introspected(NOW, aud="https://wiki.example.com/mcp"),
            401,
            ("deny", Reason.TOKEN_AUDIENCE_WRONG),
            id="it is for another server",
        ),
        pytest.param(introspected(NOW - 400), 401, ("deny", Reason.TOKEN_EXPIRED), id="it is old"),
        pytest.param(
            introspected(NOW, iss="https://evil.example"),
            401,
            ("deny", Reason.TOKEN_ISSUER_UNKNOWN),
            id="it is another issuer's",
        ),
        pytest.param(
            introspected(NOW, token_type="mac"), 401, ("deny", Reason.TOKEN_TYPE_WRONG), id="its type is odd"
        ),
        pytest.param(
            introspected(NOW, cnf={"jkt": "x"}),
            401,
            ("deny", Reason.TOKEN_BINDING_WRONG),
            id="it is bound to a key",
        ),
        pytest.param(
            introspected(NOW, scope="docs:reads"), 403, ("deny", Reason.SCOPE_MISSING), id="it lacks a scope"
        ),
        pytest.param(OSError("down"), 503, ("broken", Reason.ISSUER_UNAVAILABLE), id="nothing"),
        pytest.param(
            Fetched(500, "application/json", introspected(NOW)),
            503,
            ("broken", Reason.ISSUER_UNAVAILABLE),
            id="it is broken",
        ),
        pytest.param(b'{"active":1}', 503, ("broken", Reason.ISSUER_UNAVAILABLE), id="one for true"),
    ],
)
@pytest.mark.promise("opaque-judged-here")
@pytest.mark.anyio
async def test_an_opaque_token_does_not_pass_when_its_issuer_says(
    answer: bytes | Fetched | Exception, status: int, verdict: tuple[str, str]
) -> None:
    gate = Gate(issuers=Asked(answer).issuers)

    reply = await gate.ask(f"Bearer {OPAQUE.decode()}")

    challenges = {401: INVALID, 403: INSUFFICIENT, 503: None}
    assert (reply.status, reply.header("www-authenticate")) == (status, challenges[status])
    assert gate.records.verdicts == [verdict]
    assert gate.spy.scopes == []
    assert OPAQUE.decode() not in f"{gate.records.all} {reply}"


@pytest.mark.parametrize(
    ("max_age", "moments", "expected"),
    [
        pytest.param(30.0, (0, 29.5, 30), [1, 1, 2], id="its greatest age"),
        pytest.param(5.0, (0, 4.5, 5), [1, 1, 2], id="a shorter one"),
        pytest.param(3600.0, (0, 59.5, 60), [1, 1, 2], id="a minute at most"),
        pytest.param(0.0, (0, 0, 0), [1, 2, 3], id="no time at all"),
    ],
)
@pytest.mark.anyio
async def test_what_an_issuer_says_is_used_for(
    max_age: float, moments: tuple[float, ...], expected: list[int]
) -> None:
    asked = Asked(introspected(NOW, exp=NOW + 7200), max_age=max_age)

    found = [await asked.verdict_at(moment) for moment in moments]

    assert found == [("alice", questions) for questions in expected]


@pytest.mark.anyio
async def test_a_token_that_was_revoked_passes_no_longer_than_what_was_said_is_used() -> None:
    asked = Asked()
    assert await asked.verdict() == "alice"
    asked.endpoint.answer = b'{"active":false}'

    assert await asked.verdict_at(29.5) == ("alice", 1)
    assert await asked.verdict_at(30) == (Reason.TOKEN_INACTIVE, 2)
    assert await asked.verdict_at(31) == (Reason.TOKEN_INACTIVE, 2)


@pytest.mark.promise("opaque-judged-here")
@pytest.mark.anyio
async def test_an_opaque_token_is_refused_after_its_end_whatever_was_said_before() -> None:
    asked = Asked(introspected(NOW, exp=NOW + 10))

    found = [await asked.verdict_at(moment) for moment in (0, 9.5, 10, 39.5, 40)]

    assert found == [("alice", 1), ("alice", 1), ("alice", 2), ("alice", 3), (Reason.TOKEN_EXPIRED, 4)]


@pytest.mark.anyio
async def test_an_opaque_token_is_judged_by_the_time_at_which_the_answer_is_there() -> None:
    clock = Clock(NOW)

    async def answer_slowly(url: str, *, form: object = None, headers: object = None) -> Fetched:
        clock.now += 40
        return Fetched(200, "application/json", introspected(NOW, exp=NOW + 5))

    introspection = Introspection(URL, answer_slowly, ClientSecret("gate", "s3cret"), clock=clock)
    verifier = TokenVerifier(
        resource=RESOURCE, issuers=[TrustedIssuer(ISSUER, introspection=introspection)], clock=clock
    )

    with pytest.raises(Fault, match=Reason.TOKEN_EXPIRED):
        await verifier.verify(OPAQUE)


THEIRS = introspected(NOW, aud="https://wiki.example.com/mcp", exp=NOW + 7200)
OURS = introspected(NOW, exp=NOW + 7200)


@pytest.mark.parametrize(
    ("max_age", "moments", "expected"),
    [
        pytest.param(30.0, (0, 29.5, 30), [1, 1, 2], id="its greatest age"),
        pytest.param(5.0, (0, 4.5, 5), [1, 1, 2], id="a shorter one"),
        pytest.param(600.0, (0, 60, 599.5, 600), [1, 1, 1, 2], id="a longer one"),
        pytest.param(0.0, (0, 0, 0), [1, 2, 3], id="no time at all"),
    ],
)
@pytest.mark.promise("bounded")
@pytest.mark.anyio
async def test_an_active_token_that_our_rules_refuse_is_asked_about_once_for(
    max_age: float, moments: tuple[float, ...], expected: list[int]
) -> None:
    asked = Asked(THEIRS, max_age=max_age)

    found = [await asked.verdict_at(moment) for moment in moments]

    assert found == [(Reason.TOKEN_AUDIENCE_WRONG, questions) for questions in expected]


@pytest.mark.anyio
async def test_a_token_that_was_refused_passes_when_its_issuer_says_otherwise_after_that_time() -> None:
    asked = Asked(THEIRS)
    assert await asked.verdict() == Reason.TOKEN_AUDIENCE_WRONG
    asked.endpoint.answer = OURS

    assert await asked.verdict_at(29.5) == (Reason.TOKEN_AUDIENCE_WRONG, 1)
    assert await asked.verdict_at(30) == ("alice", 2)
    assert await asked.verdict_at(31) == ("alice", 2)


@pytest.mark.anyio
async def test_that_one_token_was_refused_is_nothing_to_another() -> None:
    asked = Asked(THEIRS)
    assert await asked.verdict() == Reason.TOKEN_AUDIENCE_WRONG
    asked.endpoint.answer = OURS

    assert await asked.verdict(OPAQUE + b"=") == "alice"


@pytest.mark.promise("bounded")
@pytest.mark.anyio
async def test_as_many_refusals_as_tokens_are_remembered_and_then_the_oldest_is_forgotten() -> None:
    asked = Asked(THEIRS)
    for each in range(REMEMBERED_TOKENS + 1):
        await asked.verdict(b"%d" % each)
    assert asked.questions == REMEMBERED_TOKENS + 1

    await asked.verdict(b"%d" % REMEMBERED_TOKENS)
    await asked.verdict(b"1")
    assert asked.questions == REMEMBERED_TOKENS + 1
    await asked.verdict(b"0")
    assert asked.questions == REMEMBERED_TOKENS + 2


@pytest.mark.anyio
async def test_a_token_that_is_refused_again_is_the_newest_of_the_refused() -> None:
    asked = Asked(THEIRS)
    for each in range(REMEMBERED_TOKENS):
        await asked.verdict(b"%d" % each)
    await asked.verdict_at(30, b"0")

    await asked.verdict(b"one more")
    before = asked.questions
    await asked.verdict(b"0")

    assert asked.questions == before


@pytest.mark.anyio
async def test_a_refusal_that_is_remembered_is_the_same_each_time_and_says_nothing_of_who_came_before() -> (
    None
):
    asked = Asked(introspected(NOW, aud="https://wiki.example.com/mcp"))
    gate = Gate(issuers=asked.issuers)

    replies = [await gate.ask(f"Bearer {OPAQUE.decode()}") for _ in range(3)]

    assert [(each.status, each.header("www-authenticate")) for each in replies] == [(401, INVALID)] * 3
    assert {each["detail"] for each in gate.records.all} == {gate.records.all[0]["detail"]}
    assert gate.records.verdicts == [("deny", Reason.TOKEN_AUDIENCE_WRONG)] * 3
    assert asked.questions == 1


@pytest.mark.anyio
async def test_a_refusal_that_is_remembered_grows_no_longer_with_each_request() -> None:
    asked = Asked(THEIRS)
    depths: list[int] = []

    for _ in range(3):
        with pytest.raises(Fault) as caught:
            await asked.verifier.verify(OPAQUE)
        depths.append(len(list(traceback.walk_tb(caught.value.__traceback__))))

    assert depths[1] == depths[2]


@pytest.mark.promise("token-for-this-server")
@pytest.mark.anyio
async def test_what_an_issuer_says_to_one_server_does_not_make_its_token_pass_at_another() -> None:
    asked = Asked()
    theirs = TokenVerifier(resource="https://wiki.example.com/mcp", issuers=asked.issuers, clock=asked.clock)
    asked.endpoint.answers.clear()

    at_ours, at_theirs = asyncio.create_task(asked.verdict()), asyncio.create_task(theirs.verify(OPAQUE))
    await asked.endpoint.was_asked.wait()
    asked.endpoint.answers.set()
    await asyncio.wait([at_ours, at_theirs])

    assert at_ours.result() == "alice"
    assert isinstance(error := at_theirs.exception(), Fault)
    assert error.reason == Reason.TOKEN_AUDIENCE_WRONG
    assert asked.questions == 1
    assert await asked.verdict() == "alice"
    with pytest.raises(Fault, match=Reason.TOKEN_AUDIENCE_WRONG):
        await theirs.verify(OPAQUE)


@pytest.mark.anyio
async def test_a_hundred_requests_with_one_opaque_token_share_one_question() -> None:
    asked = Asked()
    asked.endpoint.answers.clear()
    requests = [asyncio.create_task(asked.verdict()) for _ in range(100)]
    await asked.endpoint.was_asked.wait()
    for each in requests[:10]:
        each.cancel()

    asked.endpoint.answers.set()

    assert [await each for each in requests[10:]] == ["alice"] * 90
    assert asked.questions == 1
    assert await asked.verdict() == "alice"
    assert asked.questions == 1


FOREIGN = trusted_issuer("RS256", issuer="https://b.example")


@pytest.mark.parametrize(
    ("options", "token", "verdict", "questions"),
    [
        pytest.param({}, VALID.encode(), "alice", 1, id="a JWT where nobody has keys"),
        pytest.param({}, SHAPED, "alice", 1, id="what looks like a JWT where nobody has keys"),
        pytest.param({"keys": StaticKeys(jwks("ES256"))}, VALID.encode(), "alice", 0, id="a JWT by keys"),
        pytest.param({"keys": StaticKeys(jwks("ES256"))}, OPAQUE, "alice", 1, id="what is none beside keys"),
        pytest.param(
            {"keys": StaticKeys(jwks("ES256"))},
            SHAPED,
            Reason.TOKEN_MALFORMED,
            0,
            id="what looks like a JWT beside keys",
        ),
        pytest.param({}, ENCRYPTED, "alice", 1, id="an encrypted token where nobody has keys"),
        pytest.param(
            {"keys": StaticKeys(jwks("ES256"))},
            ENCRYPTED,
            Reason.TOKEN_MALFORMED,
            0,
            id="an encrypted token beside keys",
        ),
        pytest.param(
            {"others": [FOREIGN]},
            ENCRYPTED,
            Reason.TOKEN_MALFORMED,
            0,
            id="an encrypted token beside another's keys",
        ),
        pytest.param(
            {"keys": StaticKeys(jwks("ES256"))},
            VALID.encode() + b".YQ",
            Reason.TOKEN_MALFORMED,
            0,
            id="a JWT with a segment more",
        ),
        pytest.param(
            {"keys": StaticKeys(jwks("ES256"))},
            VALID.rpartition(".")[0].encode(),
            Reason.TOKEN_MALFORMED,
            0,
            id="a JWT whose signature is cut off",
        ),
        pytest.param(
            {"keys": StaticKeys(jwks("ES256"))},
            VALID.encode()[:-4] + b"AAAA",
            Reason.TOKEN_SIGNATURE_WRONG,
            0,
            id="a JWT with another signature",
        ),
        pytest.param(
            {"keys": StaticKeys(jwks("RS256"))},
            VALID.encode(),
            Reason.TOKEN_KEY_UNKNOWN,
            0,
            id="a JWT by a key that is unknown",
        ),
        pytest.param(
            {"others": [FOREIGN]},
            VALID.encode(),
            Reason.TOKEN_ISSUER_UNKNOWN,
            0,
            id="a JWT of who is only asked, beside the keys of another",
        ),
        pytest.param({"others": [FOREIGN]}, OPAQUE, "alice", 1, id="an opaque one beside another's keys"),
        pytest.param(
            {"others": [FOREIGN]},
            Token("RS256", claims={"iss": "https://b.example", "sub": "bob"}).mint(NOW).encode(),
            "bob",
            0,
            id="a JWT of the other",
        ),
    ],
)
@pytest.mark.promise("opaque-judged-here")
@pytest.mark.anyio
async def test_a_token_that_keys_could_tell_about_is_not_asked_about(
    options: dict[str, Any], token: bytes, verdict: str | Reason, questions: int
) -> None:
    asked = Asked(**options)

    assert await asked.verdict(token) == verdict
    assert asked.questions == questions


@pytest.mark.anyio
async def test_an_opaque_token_is_malformed_where_nobody_can_be_asked() -> None:
    gate = Gate()

    reply = await gate.ask(f"Bearer {OPAQUE.decode()}")

    assert reply.status == 401
    assert gate.records.verdicts == [("deny", Reason.TOKEN_MALFORMED)]


@pytest.mark.promise("bounded")
@pytest.mark.anyio
async def test_opaque_tokens_share_the_bound_of_what_is_remembered() -> None:
    asked = Asked()

    for each in range(REMEMBERED_TOKENS + 1):
        assert await asked.verdict(b"%d" % each) == "alice"
    newest = await asked.verdict_at(0, b"%d" % REMEMBERED_TOKENS)
    oldest = await asked.verdict_at(0, b"0")

    assert (newest, oldest) == (("alice", REMEMBERED_TOKENS + 1), ("alice", REMEMBERED_TOKENS + 2))


@pytest.mark.anyio
async def test_a_token_that_is_found_genuine_again_is_the_newest() -> None:
    asked = Asked(introspected(NOW, exp=NOW + 7200))
    for each in range(REMEMBERED_TOKENS):
        await asked.verdict(b"%d" % each)
    await asked.verdict_at(30, b"0")

    await asked.verdict(b"one more")
    before = asked.questions
    await asked.verdict(b"0")

    assert asked.questions == before


@pytest.mark.anyio
async def test_a_failure_to_ask_is_not_remembered() -> None:
    asked = Asked(OSError("down"))
    assert await asked.verdict() == Reason.ISSUER_UNAVAILABLE
    asked.endpoint.answer = introspected(NOW)

    assert await asked.verdict() == "alice"


class Signed:
    """Takes what a client signed with the pen it was given: a proof that a test can see through."""

    scheme: SchemeName = "dpop"

    def __init__(self, nonce: str | None = "next") -> None:
        self.checked: list[tuple[bytes, str]] = []
        self._nonce = nonce

    def prepare(self, exchange: Exchange) -> None:
        exchange.proof_algorithms = ("ES256",)

    def check(self, scope: Scope, exchange: Exchange, token: bytes, principal: Principal) -> None:
        self.checked.append((token, principal.subject))
        exchange.dpop_nonce = self._nonce
        if exchange.head.fields.pop(b"dpop", b"") != b"signed":
            raise Fault(Reason.PROOF_WRONG, "the pen")


DPOP = f'scope="docs:read", resource_metadata="{METADATA}", algs="ES256"'


@pytest.mark.parametrize(
    ("authorization", "dpop", "status", "challenge", "reason"),
    [
        pytest.param([f"DPoP {VALID}"], "signed", 200, None, None, id="a token with its proof"),
        pytest.param([f"dpop {VALID}"], "signed", 200, None, None, id="the scheme in lower case"),
        pytest.param([], "signed", 401, f"DPoP {DPOP}", Reason.TOKEN_MISSING, id="a proof alone"),
        pytest.param(
            [f"Bearer {VALID}"],
            "signed",
            401,
            f'DPoP error="invalid_token", {DPOP}',
            Reason.TOKEN_MALFORMED,
            id="a bearer token with a proof",
        ),
        pytest.param(
            [f"DPoP {VALID}"],
            "forged",
            401,
            f'DPoP error="invalid_dpop_proof", {DPOP}',
            Reason.PROOF_WRONG,
            id="a token with another's proof",
        ),
        pytest.param(
            [f"DPoP {VALID[:-4]}AAAA"],
            "signed",
            401,
            f'DPoP error="invalid_token", {DPOP}',
            Reason.TOKEN_SIGNATURE_WRONG,
            id="a bad token with a proof",
        ),
    ],
)
@pytest.mark.promise("bound-stays-bound")
@pytest.mark.anyio
async def test_where_a_proof_is_needed_a_token_passes_with_it(
    authorization: list[str], dpop: str, status: int, challenge: str | None, reason: Reason | None
) -> None:
    proof = Signed()
    gate = Gate(proof=proof)

    reply = await gate.ask(*authorization, headers=[("dpop", dpop)])

    assert (reply.status, reply.header("www-authenticate")) == (status, challenge)
    assert [gate.records.verdicts[0][1]] == [reason]
    assert len(gate.spy.scopes) == (status == 200)
    was_checked = status == 200 or reason == Reason.PROOF_WRONG
    assert proof.checked == [(VALID.encode(), "alice")] * was_checked
    assert reply.header("dpop-nonce") == ("next" if was_checked else None)


@pytest.mark.anyio
async def test_a_proof_is_checked_with_every_request_however_well_its_token_is_remembered() -> None:
    gate = Gate(proof=Signed())

    statuses = [
        (await gate.ask(f"DPoP {VALID}", headers=[("dpop", dpop)])).status
        for dpop in ("signed", "forged", "signed")
    ]

    assert statuses == [200, 401, 200]


@pytest.mark.parametrize("proof", [pytest.param(None, id="none"), pytest.param(Signed(), id="one")])
@pytest.mark.promise("token-stays-here")
@pytest.mark.anyio
async def test_neither_token_nor_proof_is_passed_on_where_the_route_checks(proof: Signed | None) -> None:
    gate = Gate(proof=proof)

    reply = await gate.ask(f"{'DPoP' if proof else 'Bearer'} {VALID}", headers=[("dpop", "signed")])

    assert reply.status == 200
    assert gate.spy.seen_headers == {"host": "docs.example.com"}
    assert VALID not in f"{gate.spy.scopes} {gate.records.all}"


@pytest.mark.parametrize(
    ("proof", "nonces"),
    [
        pytest.param(Signed("next"), [("dpop-nonce", "next")], id="where the gate has one"),
        pytest.param(Signed(None), [], id="where the gate has none"),
        pytest.param(None, [("DPoP-Nonce", "theirs")], id="where nobody needs a proof"),
    ],
)
@pytest.mark.anyio
async def test_a_nonce_of_the_application_gives_way_to_that_of_the_gate(
    proof: Signed | None, nonces: list[tuple[str, str]]
) -> None:
    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"x-other", b"1"), (b"DPoP-Nonce", b"theirs")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"{}"})

    layer = BearerAuthentication(
        application, resource=RESOURCE, issuers=[trusted_issuer()], proof=proof, clock=lambda: NOW
    )
    headers = [("authorization", f"{'DPoP' if proof else 'Bearer'} {VALID}"), ("dpop", "signed")]

    reply = await call(layer, http_scope(headers=headers))

    assert reply.headers == [("x-other", "1"), *nonces]
    assert reply.body == b"{}"


@pytest.mark.parametrize(
    ("cnf", "status"),
    [
        pytest.param(None, 200, id="nothing"),
        pytest.param({"jkt": "x"}, 401, id="a key"),
        pytest.param({"x5t#S256": "x"}, 401, id="a certificate"),
        pytest.param({}, 401, id="an empty object"),
        pytest.param("x", 401, id="a text"),
        pytest.param([], 401, id="an empty list"),
        pytest.param(False, 401, id="false"),
    ],
)
@pytest.mark.promise("bound-stays-bound")
@pytest.mark.anyio
async def test_where_no_proof_is_checked_a_token_passes_that_is_bound_to(cnf: object, status: int) -> None:
    gate = Gate()

    reply = await gate.ask(f"Bearer {Token(claims={'cnf': cnf}).mint(NOW)}")

    assert reply.status == status
    if status == 401:
        assert gate.records.verdicts == [("deny", Reason.TOKEN_BINDING_WRONG)]


@pytest.mark.parametrize(
    ("keep_token", "token"),
    [
        pytest.param(True, VALID.encode(), id="where it is to be exchanged"),
        pytest.param(False, None, id="nowhere else"),
    ],
)
@pytest.mark.promise("token-stays-here")
@pytest.mark.anyio
async def test_a_token_is_kept_in_the_gate(token: bytes | None, *, keep_token: bool) -> None:
    gate = Gate(keep_token=keep_token)

    assert (await gate.ask(f"Bearer {VALID}")).status == 200

    (exchange,) = gate.exchanges
    assert exchange.token == token
    assert VALID not in f"{exchange} {gate.spy.seen_headers} {gate.records.all}"


@pytest.mark.anyio
async def test_a_token_that_did_not_pass_is_not_kept() -> None:
    kept: list[Exchange] = []
    layer = BearerAuthentication(
        Spy(),
        resource=RESOURCE,
        issuers=[trusted_issuer()],
        proof=Signed(),
        keep_token=True,
        clock=lambda: NOW,
    )
    scope = http_scope(headers=[("authorization", f"DPoP {VALID}"), ("dpop", "forged")])
    kept.append(exchange_of(scope))

    reply = await call(layer, scope)

    assert reply.status == 401
    assert (kept[0].token, kept[0].principal) == (None, None)


SCHEMES = st.sampled_from([b"Bearer ", b"bearer ", b"Bearer", b"Basic ", b"DPoP ", b" ", b""])
SPLICES = st.tuples(st.integers(0, len(VALID)), st.integers(0, 3), st.binary(max_size=3))


def spliced(splices: list[tuple[int, int, bytes]]) -> bytes:
    token = VALID.encode()
    for position, length, octets in splices:
        token = token[:position] + octets + token[position + length :]
    return token


CREDENTIALS = st.one_of(st.binary(max_size=60), st.lists(SPLICES, max_size=2).map(spliced))
SPY = Spy()
LAYER = BearerAuthentication(
    SPY, resource=RESOURCE, issuers=[trusted_issuer()], scopes=["docs:read"], clock=lambda: NOW
)


@given(values=st.lists(st.builds(bytes.__add__, SCHEMES, CREDENTIALS), min_size=1, max_size=2))
@example(values=[f"Bearer {VALID}".encode()])
@settings(max_examples=300, deadline=None)
def test_no_octets_in_authorization_pass_but_those_of_the_token_and_none_break_the_layer(
    values: list[bytes],
) -> None:
    scope = {**http_scope(), "headers": [(b"authorization", value) for value in values]}

    reply = asyncio.run(call(LAYER, scope))

    if len(values) > 1:
        assert reply.status == 400
    elif values[0][:7].lower() == b"bearer " and values[0][7:] == VALID.encode():
        assert reply.status == 200
    else:
        assert (reply.status, reply.header("www-authenticate")) == (401, INVALID)


OPAQUE_SPLICES = st.tuples(st.integers(0, len(OPAQUE)), st.integers(0, 3), st.binary(max_size=3))


def spliced_opaque(splices: list[tuple[int, int, bytes]]) -> bytes:
    token = OPAQUE
    for position, length, octets in splices:
        token = token[:position] + octets + token[position + length :]
    return token


@given(
    scheme=SCHEMES,
    token=st.binary(max_size=40) | st.lists(OPAQUE_SPLICES, max_size=2).map(spliced_opaque),
    has_keys=st.booleans(),
)
@example(scheme=b"Bearer ", token=OPAQUE, has_keys=True)
@example(scheme=b"Bearer ", token=OPAQUE, has_keys=False)
@settings(max_examples=300, deadline=None)
def test_no_octets_in_authorization_pass_but_those_of_which_the_issuer_says_true(
    scheme: bytes, token: bytes, *, has_keys: bool
) -> None:
    asked: list[str] = []

    async def answer(url: str, *, form: Mapping[str, str] | None = None, headers: object = None) -> Fetched:
        asked.append((form or {})["token"])
        is_active = asked[-1] == OPAQUE.decode()
        return Fetched(200, "application/json", introspected(NOW, active=is_active))

    introspection = Introspection(URL, answer, ClientSecret("gate", "s3cret"))
    issuer = TrustedIssuer(
        ISSUER, StaticKeys(jwks("ES256")) if has_keys else None, introspection=introspection
    )
    layer = BearerAuthentication(Spy(), resource=RESOURCE, issuers=[issuer], clock=lambda: NOW)
    value = scheme + token
    scope = {**http_scope(), "headers": [(b"authorization", value)]}

    reply = asyncio.run(call(layer, scope))

    is_good = value[:7].lower() == b"bearer " and value[7:] == OPAQUE
    assert reply.status == (200 if is_good else 401)
    assert [each.encode() for each in asked] in ([], [value[7:]])
