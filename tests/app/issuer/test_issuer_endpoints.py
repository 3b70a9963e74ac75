from base64 import b64encode
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import jwt
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jwt.types import Options

from tests.app.issuer.flows import DOCS, ISSUER, KEY, OURS, TICKETS, Issuer, basic

pytestmark = pytest.mark.anyio
ANSWERED = {"active", "aud", "iss", "exp", "iat", "sub", "client_id", "scope", "token_type", "jti"}


@pytest.fixture
def issuer(tmp_path: Path) -> Issuer:
    return Issuer(tmp_path)


@pytest.mark.parametrize("resource", [DOCS, TICKETS], ids=["JWT", "opaque"])
async def test_the_client_of_the_configuration_is_told_what_a_token_stands_for(
    issuer: Issuer, resource: str
) -> None:
    client = await issuer.registered()
    tokens = await issuer.tokens(client["client_id"], resource)

    facts = await issuer.introspect(tokens["access_token"])

    assert set(facts) == ANSWERED
    assert (facts["active"], facts["aud"], facts["sub"]) == (True, resource, "alice")


async def test_a_readable_token_says_itself_what_is_told_about_it(issuer: Issuer) -> None:
    client = await issuer.registered()
    token = (await issuer.tokens(client["client_id"]))["access_token"]
    (published,) = orjson.loads(KEY.public_set())["keys"]

    options: Options = {"verify_exp": False, "verify_iat": False}  # by the clock of the machine
    claims: dict[str, Any] = jwt.decode(
        token, jwt.PyJWK(published), algorithms=["ES256"], audience=DOCS, options=options
    )

    assert jwt.get_unverified_header(token)["typ"] == "at+jwt"
    facts = await issuer.introspect(token)
    assert {**claims, "active": True, "token_type": "Bearer"} == facts


async def test_an_opaque_token_says_nothing_and_no_two_are_alike(issuer: Issuer) -> None:
    client = await issuer.registered()
    tokens = [(await issuer.tokens(client["client_id"], TICKETS))["access_token"] for _ in range(2)]

    assert tokens[0] != tokens[1]
    assert [("." in token, len(token)) for token in tokens] == [(False, 43)] * 2


@pytest.mark.parametrize("resource", [DOCS, TICKETS], ids=["JWT", "opaque"])
async def test_a_token_is_active_until_it_expires(issuer: Issuer, resource: str) -> None:
    client = await issuer.registered()
    token = (await issuer.tokens(client["client_id"], resource))["access_token"]

    issuer.clock.now += 599
    assert await issuer.is_active(token)
    issuer.clock.now += 1

    assert await issuer.introspect(token) == {"active": False}


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "\x00", "é" * 1000], ids=repr)
async def test_whatever_else_is_presented_is_not_active_and_nothing_more(issuer: Issuer, token: str) -> None:
    assert await issuer.introspect(token) == {"active": False}


async def test_a_refresh_token_is_nobodys_access_token(issuer: Issuer) -> None:
    client = await issuer.registered()
    tokens = await issuer.tokens(client["client_id"])

    assert await issuer.introspect(tokens["refresh_token"]) == {"active": False}


async def test_nobody_else_is_told_anything(issuer: Issuer) -> None:
    client = await issuer.registered(token_endpoint_auth_method="client_secret_basic")
    public = await issuer.registered()
    token = (await issuer.tokens(public["client_id"]))["access_token"]
    form = {"token": token}

    replies = [
        await issuer.post("/introspect", form),
        await issuer.post("/introspect", form, basic("demo", "wrong")),
        await issuer.post("/introspect", form, basic("nobody", "x")),
        await issuer.post("/introspect", form, basic(client["client_id"], client["client_secret"])),
        await issuer.post("/introspect", {**form, "client_id": public["client_id"]}),
        await issuer.post("/introspect", {**form, "client_id": "nobody", "client_secret": "x"}),
        await issuer.post("/introspect", form, [("authorization", f"Bearer {token}")]),
        await issuer.post("/introspect", form, [("authorization", "Basic \xff\xfe")]),
    ]

    assert {(reply.status, reply.json()["error"]) for reply in replies} == {(401, "invalid_client")}


@pytest.mark.parametrize("path", ["/introspect", "/revoke"])
async def test_who_asks_without_a_token_is_told_so(issuer: Issuer, path: str) -> None:
    reply = await issuer.post(path, {"token_type_hint": "access_token"}, OURS)

    assert (reply.status, reply.json()["error"]) == (400, "invalid_request")


@pytest.mark.parametrize("hint", ["access_token", "refresh_token", "something_else"])
async def test_a_hint_changes_nothing_whatever_it_is(issuer: Issuer, hint: str) -> None:
    client = await issuer.registered()
    token = (await issuer.tokens(client["client_id"]))["access_token"]
    form = {"token": token, "token_type_hint": hint}

    told = await issuer.post("/introspect", form, OURS)
    revoked = await issuer.post("/revoke", {**form, "client_id": client["client_id"]})

    assert (told.status, told.json()["active"], revoked.status) == (200, True, 200)
    assert not await issuer.is_active(token)


@pytest.mark.parametrize("resource", [DOCS, TICKETS], ids=["JWT", "opaque"])
async def test_an_access_token_is_revoked_alone(issuer: Issuer, resource: str) -> None:
    client = await issuer.registered()
    tokens = await issuer.tokens(client["client_id"], resource)
    form = {"client_id": client["client_id"], "token": tokens["access_token"]}

    reply = await issuer.post("/revoke", form)

    assert (reply.status, reply.json()) == (200, {})
    assert not await issuer.is_active(tokens["access_token"])
    assert (await issuer.refresh(client["client_id"], tokens["refresh_token"])).status == 200


async def test_a_refresh_token_is_revoked_with_all_that_came_of_the_same_consent(issuer: Issuer) -> None:
    client = await issuer.registered()
    tokens, others = [await issuer.tokens(client["client_id"]) for _ in range(2)]
    form = {
        "client_id": client["client_id"],
        "token": tokens["refresh_token"],
        "token_type_hint": "refresh_token",
    }

    reply = await issuer.post("/revoke", form)

    assert reply.status == 200
    assert [await issuer.is_active(each["access_token"]) for each in (tokens, others)] == [False, True]
    assert (await issuer.refresh(client["client_id"], tokens["refresh_token"])).status == 400


async def test_a_token_that_nobody_was_given_is_as_good_as_revoked(issuer: Issuer) -> None:
    client = await issuer.registered()

    assert (await issuer.post("/revoke", {"client_id": client["client_id"], "token": "x"})).status == 200


@pytest.mark.parametrize("kind", ["access_token", "refresh_token"])
async def test_a_client_cannot_revoke_what_another_was_given(issuer: Issuer, kind: str) -> None:
    clients = [await issuer.registered() for _ in range(2)]
    tokens = await issuer.tokens(clients[0]["client_id"])

    reply = await issuer.post("/revoke", {"client_id": clients[1]["client_id"], "token": tokens[kind]})

    assert (reply.status, reply.json()["error"]) == (400, "invalid_grant")
    assert await issuer.is_active(tokens["access_token"])


FIELDS = st.sampled_from(
    [
        "grant_type",
        "client_id",
        "client_secret",
        "code",
        "code_verifier",
        "redirect_uri",
        "refresh_token",
        "resource",
        "scope",
        "token",
        "token_type_hint",
    ]
)
VALUES = st.text(max_size=20) | st.sampled_from(
    [
        "authorization_code",
        "refresh_token",
        "client_credentials",
        "demo",
        "s3cret",
        DOCS,
        "docs:read",
        "https://client.example/app.json",
    ]
)
AUTHORIZATION = (
    st.none() | st.binary(max_size=30).map(lambda raw: b"Basic " + b64encode(raw)) | st.binary(max_size=30)
)
PATHS = st.sampled_from(["/token", "/revoke", "/introspect", "/register"])


@pytest.mark.promise("development-only")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(
    path=PATHS,
    fields=st.dictionaries(FIELDS, VALUES),
    raw=st.binary(max_size=40),
    authorization=AUTHORIZATION,
)
async def test_whatever_a_client_sends_it_gets_an_answer_and_only_the_right_one_a_token(
    issuer: Issuer, path: str, fields: dict[str, str], raw: bytes, authorization: bytes | None
) -> None:
    headers = [("content-type", "application/x-www-form-urlencoded")]
    if authorization is not None:
        headers.append(("authorization", authorization.decode("latin-1")))
    body = urlencode(fields, errors="surrogatepass").encode() + raw

    reply = await issuer.send("POST", ISSUER + path, headers, body)

    assert reply.status in (200, 400, 401)
    is_ours = fields.get("client_id") == "demo" and fields.get("client_secret") == "s3cret"
    assert "access_token" not in reply.json() or is_ours


async def test_a_confidential_client_needs_its_secret_to_revoke(issuer: Issuer) -> None:
    client = await issuer.registered(token_endpoint_auth_method="client_secret_basic")

    assert (await issuer.post("/revoke", {"client_id": client["client_id"], "token": "x"})).status == 401
    authenticated = basic(client["client_id"], client["client_secret"])
    assert (await issuer.post("/revoke", {"token": "x"}, authenticated)).status == 200
