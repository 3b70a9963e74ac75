import asyncio
import logging
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.support.asgi import Headers, Reply, Spy, call, http_scope
from tests.support.audit import Records
from tests.support.tokens import ISSUER, RESOURCE, Clock, KeyEndpoint, Token, jwks, trusted_issuer
from tunnelgate import (
    Allow,
    AuditLog,
    BearerAuthentication,
    Deny,
    KeySource,
    NeedsScopes,
    Principal,
    Reason,
    RemoteKeys,
    StaticKeys,
    TrustedIssuer,
    principal_of,
)
from tunnelgate.bearer import REMEMBERED_FOR, REMEMBERED_TOKENS, RouteRules, TokenVerifier
from tunnelgate.keys import VerificationKey
from tunnelgate.reading.bearer import MAX_TOKEN
from tunnelgate.reading.fault import Fault
from tunnelgate.requirements import Claims

NOW = 1_800_000_000
METADATA = "https://docs.example.com/.well-known/oauth-protected-resource/mcp"
CHALLENGE = f'Bearer scope="docs:read", resource_metadata="{METADATA}"'
INVALID = f'Bearer error="invalid_token", scope="docs:read", resource_metadata="{METADATA}"'
INSUFFICIENT = f'Bearer error="insufficient_scope", scope="docs:read", resource_metadata="{METADATA}"'
VALID = Token().mint(NOW)


class Gate:
    """The layer as an application uses it, with what came through and what was written down."""

    def __init__(
        self,
        keys: KeySource | None = None,
        scopes: Sequence[str] = ("docs:read",),
        now: float = NOW,
        claims: Claims | None = None,
    ) -> None:
        self.spy = Spy()
        self.records = Records()
        self.clock = Clock(now)
        issuer = TrustedIssuer(ISSUER, StaticKeys(jwks("ES256", "Ed25519")) if keys is None else keys)
        layer = BearerAuthentication(
            self.spy, resource=RESOURCE, issuers=[issuer], scopes=scopes, claims=claims, clock=self.clock
        )
        self.app = AuditLog(layer, sink=self.records)

    async def ask(self, *authorization: str, headers: Headers = (), path: str = "/mcp") -> Reply:
        fields = [("host", "docs.example.com"), *headers]
        fields += [("authorization", value) for value in authorization]
        return await call(self.app, http_scope(path=path, headers=fields))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
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

    assert (at_the_limit, past_it) == (REMEMBERED_TOKENS, REMEMBERED_TOKENS + 1)
    assert memory.keys.count == REMEMBERED_TOKENS + 2


@pytest.mark.anyio
async def test_a_token_is_judged_by_the_time_at_which_its_key_is_there() -> None:
    clock = Clock(NOW)

    async def fetch_slowly(url: str) -> bytes:
        clock.now += 40
        return jwks("ES256")

    issuer = TrustedIssuer(ISSUER, RemoteKeys("https://login.example.com/jwks", fetch_slowly))
    verifier = TokenVerifier(resource=RESOURCE, issuers=[issuer], clock=clock)

    with pytest.raises(Fault, match=Reason.TOKEN_EXPIRED):
        await verifier.verify(Token(claims={"exp": NOW + 5}).mint(NOW).encode())


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
