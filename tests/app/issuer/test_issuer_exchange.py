from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jwt
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.app.issuer.flows import CLIENT_ID, DOCS, ISSUER, KEY, OURS, RESOURCES, SECRET, Issuer, basic
from tests.support.asgi import Reply
from tunnelgate_app.issuer.exchanging import MAX_ACTORS

pytestmark = pytest.mark.anyio

WIKI = "http://127.0.0.1:9000/mcp"  # behind the gate of DOCS
DEEPER = "http://127.0.0.1:9001/mcp"  # behind the server of WIKI
SEALED = "http://127.0.0.1:9002/mcp"
OFFERED: dict[str, Any] = {
    **RESOURCES,
    WIKI: ["docs:read", "wiki:write"],
    DEEPER: ["docs:read"],
    SEALED: {"scopes": ["docs:read"], "tokens": "opaque"},
    "http://127.0.0.1:9003/mcp": ["other:read"],
    "http://127.0.0.1:9004/mcp": [],
}
GATE = {"client_id": "gate", "client_secret": "s-of-gate", "may_exchange": True, "exchange_from": [DOCS]}
INNER = {"client_id": "inner", "client_secret": "s-of-inner", "may_exchange": True, "exchange_from": [WIKI]}
LOOP = {
    "client_id": "loop",
    "client_secret": "s-of-loop",
    "may_exchange": True,
    "exchange_from": [WIKI, DOCS],
}
OTHER = {"client_id": "other", "client_secret": "s-of-other"}
PUBLIC = {"client_id": "public", "redirect_uris": ["http://127.0.0.1:4567/callback"]}
AS_GATE = basic("gate", "s-of-gate")
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"


@pytest.fixture
def issuer(tmp_path: Path) -> Issuer:
    return Issuer(
        tmp_path,
        resources=OFFERED,
        clients=[GATE, INNER, LOOP, OTHER, PUBLIC],
        claims={"alice": {"accounts": ["acc-1", "acc-2"]}, CLIENT_ID: {"accounts": "*"}},
    )


async def own_token(issuer: Issuer, scopes: list[str] | None = None, **parameters: str) -> str:
    """Return the token for DOCS that alice's own client got."""
    code = await issuer.code("public", scopes=scopes, **parameters)
    reply = await issuer.redeem("public", code, **parameters)
    assert reply.status == 200, reply
    return str(reply.json()["access_token"])


def form_of(subject_token: str, /, **fields: str | None) -> dict[str, str]:
    form = {
        "grant_type": EXCHANGE,
        "subject_token": subject_token,
        "subject_token_type": ACCESS_TOKEN,
        "resource": WIKI,
        **fields,
    }
    return {name: value for name, value in form.items() if value is not None}


async def exchange(
    issuer: Issuer, subject_token: str, headers: list[tuple[str, str]] = AS_GATE, **fields: str | None
) -> Reply:
    return await issuer.post("/token", form_of(subject_token, **fields), headers)


def claims_in(reply: Reply, audience: str = WIKI) -> dict[str, Any]:
    """Return the claims of the token, read by a library that neither the issuer nor the gate uses."""
    assert reply.status == 200, reply
    (published,) = orjson.loads(KEY.public_set())["keys"]
    claims: dict[str, Any] = jwt.decode(
        reply.json()["access_token"],
        jwt.PyJWK(published),
        algorithms=["ES256"],
        audience=audience,
        issuer=ISSUER,
        options={"verify_exp": False, "verify_iat": False},  # by the clock of the machine
    )
    return claims


async def test_a_gate_gets_a_token_for_the_same_user_at_the_server_behind_it(issuer: Issuer) -> None:
    reply = await exchange(issuer, await own_token(issuer))

    answer = reply.json()
    assert (reply.status, reply.header("cache-control")) == (200, "no-store")
    assert answer == {
        "access_token": answer["access_token"],
        "issued_token_type": ACCESS_TOKEN,
        "token_type": "Bearer",
        "expires_in": 600,
        "scope": "docs:read",
    }
    claims = claims_in(reply)
    now = int(issuer.clock.now)
    assert claims == {
        "iss": ISSUER,
        "sub": "alice",
        "aud": WIKI,
        "client_id": "gate",
        "act": {"sub": "gate"},
        "scope": "docs:read",
        "iat": now,
        "exp": now + 600,
        "jti": claims["jti"],
        "accounts": ["acc-1", "acc-2"],
    }


@pytest.mark.parametrize("form", ["client_secret_basic", "client_secret_post"])
async def test_the_gate_authenticates_in_either_way(issuer: Issuer, form: str) -> None:
    secret = {"client_id": "gate", "client_secret": "s-of-gate"}
    is_basic = form == "client_secret_basic"

    reply = await exchange(
        issuer, await own_token(issuer), AS_GATE if is_basic else [], **({} if is_basic else secret)
    )

    assert claims_in(reply)["client_id"] == "gate"


async def test_the_old_token_stays_what_it_was(issuer: Issuer) -> None:
    token = await own_token(issuer)
    before = await issuer.introspect(token)

    await exchange(issuer, token)

    assert await issuer.introspect(token) == before
    assert "act" not in before


async def test_an_opaque_token_is_introspected_with_who_acts_and_the_claims_of_its_user(
    issuer: Issuer,
) -> None:
    reply = await exchange(issuer, await own_token(issuer), resource=SEALED)

    facts = await issuer.introspect(reply.json()["access_token"])
    assert "." not in reply.json()["access_token"]
    assert (facts["sub"], facts["client_id"], facts["act"]) == ("alice", "gate", {"sub": "gate"})
    assert facts["accounts"] == ["acc-1", "acc-2"]


async def test_who_acted_before_stands_within_who_acts_now(issuer: Issuer) -> None:
    first = (await exchange(issuer, await own_token(issuer))).json()["access_token"]

    second = await exchange(issuer, first, basic("inner", "s-of-inner"), resource=DEEPER)

    claims = claims_in(second, DEEPER)
    assert claims["act"] == {"sub": "inner", "act": {"sub": "gate"}}
    assert (claims["sub"], claims["client_id"]) == ("alice", "inner")


async def test_a_token_is_not_exchanged_round_and_round_without_end(issuer: Issuer) -> None:
    token = await own_token(issuer)
    replies: list[Reply] = []
    for _ in range(MAX_ACTORS + 1):
        replies.append(await exchange(issuer, token, basic("loop", "s-of-loop")))
        token = replies[-1].json().get("access_token", token)

    assert [reply.status for reply in replies] == [200] * MAX_ACTORS + [400]
    assert replies[-1].json()["error"] == "invalid_request"
    act, names = claims_in(replies[-2])["act"], list[str]()
    while act:
        names.append(act["sub"])
        act = act.get("act")
    assert names == ["loop"] * MAX_ACTORS


async def test_a_client_that_asks_for_itself_stays_the_subject(issuer: Issuer) -> None:
    own = await issuer.post("/token", {"grant_type": "client_credentials", "resource": DOCS}, OURS)

    claims = claims_in(await exchange(issuer, own.json()["access_token"]))

    assert (claims["sub"], claims["client_id"], claims["accounts"]) == (CLIENT_ID, "gate", "*")


@pytest.mark.parametrize(
    ("granted", "asked", "scope"),
    [
        pytest.param(None, None, "docs:read", id="nothing asked for: what both have"),
        pytest.param(None, "", "docs:read", id="no value, which is like no parameter"),
        pytest.param(None, "docs:read", "docs:read", id="what both have"),
        pytest.param(["docs:read"], "docs:read docs:read", "docs:read", id="the same twice"),
    ],
)
async def test_the_scopes_are_those_of_the_old_token_and_of_the_new_resource(
    issuer: Issuer, granted: list[str] | None, asked: str | None, scope: str
) -> None:
    reply = await exchange(issuer, await own_token(issuer, granted), scope=asked)

    assert (reply.json()["scope"], claims_in(reply)["scope"]) == (scope, scope)


@pytest.mark.parametrize(
    ("granted", "asked", "error"),
    [
        pytest.param(None, "docs:full", "invalid_scope", id="which only the old token has"),
        pytest.param(None, "wiki:write", "invalid_scope", id="which only the new resource has"),
        pytest.param(None, "docs:read wiki:write", "invalid_scope", id="one of them too many"),
        pytest.param(None, "*", "invalid_scope", id="a star"),
        pytest.param(None, "docs", "invalid_scope", id="a part of one"),
        pytest.param(["docs:full"], None, "invalid_request", id="of which the old token has none"),
        pytest.param(["docs:full"], "docs:read", "invalid_scope", id="which the user did not grant"),
    ],
)
async def test_scopes_beyond_these_are_refused(
    issuer: Issuer, granted: list[str] | None, asked: str | None, error: str
) -> None:
    reply = await exchange(issuer, await own_token(issuer, granted), scope=asked)

    assert (reply.status, reply.json()["error"]) == (400, error)


async def test_a_resource_without_scopes_gets_a_token_without_scopes(issuer: Issuer) -> None:
    reply = await exchange(issuer, await own_token(issuer), resource="http://127.0.0.1:9004/mcp")

    assert reply.status == 200
    assert "scope" not in reply.json()
    assert claims_in(reply, "http://127.0.0.1:9004/mcp")["scope"] == ""


async def test_the_new_token_ends_when_the_old_one_does(issuer: Issuer) -> None:
    token = await own_token(issuer)
    end = int(issuer.clock.now) + 600
    issuer.clock.now += 599.5

    reply = await exchange(issuer, token)

    new = reply.json()["access_token"]
    assert (reply.json()["expires_in"], claims_in(reply)["exp"]) == (1, end)
    assert await issuer.is_active(new)
    issuer.clock.now += 0.5
    assert not await issuer.is_active(new)
    late = await exchange(issuer, token)
    assert (late.status, late.json()["error"]) == (400, "invalid_request")


async def test_what_revokes_the_consent_revokes_what_was_exchanged(issuer: Issuer) -> None:
    tokens = await issuer.tokens("public")
    new = (await exchange(issuer, tokens["access_token"])).json()["access_token"]
    assert await issuer.is_active(new)

    form = {"token": tokens["refresh_token"], "client_id": "public"}
    assert (await issuer.post("/revoke", form)).status == 200

    assert not await issuer.is_active(new)


async def test_the_gate_can_revoke_what_it_got_and_the_old_token_stays(issuer: Issuer) -> None:
    token = await own_token(issuer)
    new = (await exchange(issuer, token)).json()["access_token"]

    assert (await issuer.post("/revoke", {"token": new}, AS_GATE)).status == 200

    assert [await issuer.is_active(each) for each in (new, token)] == [False, True]


async def test_a_revoked_token_is_exchanged_for_nothing(issuer: Issuer) -> None:
    token = await own_token(issuer)
    await issuer.post("/revoke", {"token": token, "client_id": "public"})

    reply = await exchange(issuer, token)

    assert (reply.status, reply.json()["error"]) == (400, "invalid_request")


BAD: list[Any] = [
    pytest.param({"subject_token": None}, AS_GATE, 400, "invalid_request", id="no subject_token"),
    pytest.param({"subject_token": ""}, AS_GATE, 400, "invalid_request", id="an empty subject_token"),
    pytest.param({"subject_token": "x"}, AS_GATE, 400, "invalid_request", id="an unknown token"),
    pytest.param(
        {"subject_token": "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbGljZSJ9."},
        AS_GATE,
        400,
        "invalid_request",
        id="a token that nobody signed",
    ),
    pytest.param({"subject_token_type": None}, AS_GATE, 400, "invalid_request", id="a token of no type"),
    pytest.param(
        {"subject_token_type": "urn:ietf:params:oauth:token-type:id_token"},
        AS_GATE,
        400,
        "invalid_request",
        id="a token of another type",
    ),
    pytest.param(
        {"subject_token_type": "urn:ietf:params:oauth:token-type:refresh_token"},
        AS_GATE,
        400,
        "invalid_request",
        id="an access token that says it is there to refresh",
    ),
    pytest.param(
        {"requested_token_type": "urn:ietf:params:oauth:token-type:refresh_token"},
        AS_GATE,
        400,
        "invalid_request",
        id="a refresh token in return",
    ),
    pytest.param(
        {"requested_token_type": "urn:ietf:params:oauth:token-type:saml2"},
        AS_GATE,
        400,
        "invalid_request",
        id="an assertion in return",
    ),
    pytest.param({"actor_token": "x"}, AS_GATE, 400, "invalid_request", id="an actor"),
    pytest.param(
        {"actor_token_type": ACCESS_TOKEN}, AS_GATE, 400, "invalid_request", id="the type of an actor"
    ),
    pytest.param({"resource": None}, AS_GATE, 400, "invalid_target", id="no resource"),
    pytest.param({"resource": ""}, AS_GATE, 400, "invalid_target", id="an empty resource"),
    pytest.param({"resource": f"{WIKI}/"}, AS_GATE, 400, "invalid_target", id="a resource nearly ours"),
    pytest.param({"resource": "https://evil.example"}, AS_GATE, 400, "invalid_target", id="another resource"),
    pytest.param({"audience": "wiki"}, AS_GATE, 400, "invalid_target", id="an audience beside the resource"),
    pytest.param(
        {"resource": "http://127.0.0.1:9003/mcp"},
        AS_GATE,
        400,
        "invalid_request",
        id="a resource with no scope of the token",
    ),
    pytest.param({}, [], 401, "invalid_client", id="no client"),
    pytest.param({"client_id": "gate"}, [], 401, "invalid_client", id="a client without its secret"),
    pytest.param({}, basic("gate", "wrong"), 401, "invalid_client", id="a wrong secret"),
    pytest.param({}, basic("gate", SECRET), 401, "invalid_client", id="the secret of another client"),
    pytest.param({}, OURS, 400, "unauthorized_client", id="the client that introspects"),
    pytest.param({}, basic("other", "s-of-other"), 400, "unauthorized_client", id="another client"),
    pytest.param({"client_id": "public"}, [], 401, "invalid_client", id="a public client"),
    pytest.param(
        {},
        basic("inner", "s-of-inner"),
        400,
        "invalid_request",
        id="a client that exchanges tokens of another resource",
    ),
]


@pytest.mark.promise("token-for-this-server")
@pytest.mark.parametrize(("fields", "headers", "status", "error"), BAD)
async def test_who_asks_wrongly_gets_the_error_of_the_specification_and_no_token(
    issuer: Issuer,
    fields: Mapping[str, str | None],
    headers: list[tuple[str, str]],
    status: int,
    error: str,
) -> None:
    token = await own_token(issuer)

    reply = await issuer.post("/token", form_of(token, **fields), headers)

    assert (reply.status, reply.json()["error"]) == (status, error)
    assert "access_token" not in reply.json()
    assert reply.header("cache-control") == "no-store"
    assert token not in reply.body.decode()


async def test_a_refresh_token_is_no_subject(issuer: Issuer) -> None:
    tokens = await issuer.tokens("public")

    reply = await exchange(issuer, tokens["refresh_token"])

    assert (reply.status, reply.json()["error"]) == (400, "invalid_request")
    assert (await issuer.refresh("public", tokens["refresh_token"])).status == 200


async def test_unknown_and_not_to_be_exchanged_are_answered_alike(issuer: Issuer) -> None:
    token = await own_token(issuer)
    as_inner = basic("inner", "s-of-inner")

    replies = [await exchange(issuer, each, as_inner, resource=DEEPER) for each in (token, "unknown")]

    assert replies[0].status == replies[1].status == 400
    assert replies[0].body == replies[1].body


async def test_a_parameter_that_stands_twice_is_refused(issuer: Issuer) -> None:
    token = await own_token(issuer)
    body = "&".join(f"{name}={value}" for name, value in form_of(token).items())
    headers = [("content-type", "application/x-www-form-urlencoded"), *AS_GATE]

    for name in ("subject_token", "resource", "audience"):
        twice = f"{body}&{name}=x&{name}=x"
        reply = await issuer.send("POST", f"{ISSUER}/token", headers, twice.encode())
        assert (reply.status, reply.json()["error"]) == (400, "invalid_request")


FIELDS = ("subject_token", "subject_token_type", "requested_token_type", "resource", "audience", "scope")
ANY = st.one_of(
    st.none(),
    st.text(st.characters(codec="utf-8"), max_size=20),
    st.sampled_from([WIKI, DOCS, ACCESS_TOKEN, "docs:read"]),
)


@given(fields=st.fixed_dictionaries({}, optional=dict.fromkeys(FIELDS, ANY)))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
async def test_whatever_is_asked_for_there_is_a_token_for_the_user_or_an_error(
    issuer: Issuer, fields: Mapping[str, str | None]
) -> None:
    token = await own_token(issuer)

    reply = await issuer.post("/token", form_of(token, **fields), AS_GATE)

    if reply.status == 200:
        audience = fields.get("resource", WIKI) or ""
        claims = claims_in(reply, audience)
        assert (claims["sub"], claims["aud"], claims["act"]) == ("alice", audience, {"sub": "gate"})
        assert set(claims["scope"].split()) <= {"docs:read", "docs:full"}
    else:
        assert reply.status == 400
        assert {"error"} <= set(reply.json()) <= {"error", "error_description"}
