from pathlib import Path
from typing import Any

import pytest

from tests.app.issuer.flows import (
    CHALLENGE,
    CLIENT_ID,
    DOCS,
    ISSUER,
    OURS,
    REDIRECT,
    TICKETS,
    VERIFIER,
    Issuer,
    basic,
)
from tunnelgate_app.issuer.ledger import CODE_LIFETIME, REFRESH_LIFETIME

pytestmark = pytest.mark.anyio


@pytest.fixture
def issuer(tmp_path: Path) -> Issuer:
    return Issuer(tmp_path)


async def test_a_code_becomes_a_token_for_the_user_and_one_to_refresh_with(issuer: Issuer) -> None:
    client = await issuer.registered()

    reply = await issuer.redeem(client["client_id"], await issuer.code(client["client_id"]))

    tokens = reply.json()
    assert (reply.status, reply.header("cache-control")) == (200, "no-store")
    assert (tokens["token_type"], tokens["expires_in"], tokens["scope"]) == (
        "Bearer",
        600,
        "docs:read docs:full",
    )
    assert set(tokens) == {"access_token", "token_type", "expires_in", "scope", "refresh_token"}
    assert await issuer.introspect(tokens["access_token"]) == {
        "active": True,
        "aud": DOCS,
        "iss": ISSUER,
        "sub": "alice",
        "client_id": client["client_id"],
        "scope": "docs:read docs:full",
        "token_type": "Bearer",
        "iat": int(issuer.clock.now),
        "exp": int(issuer.clock.now) + 600,
        "jti": (await issuer.introspect(tokens["access_token"]))["jti"],
    }


async def test_a_client_that_did_not_register_for_refreshing_gets_nothing_to_refresh_with(
    issuer: Issuer,
) -> None:
    client = await issuer.registered(grant_types=["authorization_code"])

    assert "refresh_token" not in await issuer.tokens(client["client_id"])


async def test_a_code_is_good_for_a_minute(issuer: Issuer) -> None:
    client = await issuer.registered()
    codes = [await issuer.code(client["client_id"]) for _ in range(2)]

    issuer.clock.now += CODE_LIFETIME - 1
    assert (await issuer.redeem(client["client_id"], codes[0])).status == 200
    issuer.clock.now += 1
    late = await issuer.redeem(client["client_id"], codes[1])

    assert (late.status, late.json()["error"]) == (400, "invalid_grant")


async def test_a_code_that_comes_again_revokes_what_it_gave_and_nothing_else(issuer: Issuer) -> None:
    client = await issuer.registered()
    others = await issuer.tokens(client["client_id"])
    code = await issuer.code(client["client_id"])
    given = (await issuer.redeem(client["client_id"], code)).json()
    later = (await issuer.refresh(client["client_id"], given["refresh_token"])).json()

    again = await issuer.redeem(client["client_id"], code)

    assert (again.status, again.json()["error"]) == (400, "invalid_grant")
    assert [await issuer.is_active(each["access_token"]) for each in (given, later, others)] == [
        False,
        False,
        True,
    ]
    assert (await issuer.refresh(client["client_id"], later["refresh_token"])).status == 400
    assert (await issuer.refresh(client["client_id"], others["refresh_token"])).status == 200


async def test_a_code_that_comes_again_after_its_minute_still_revokes_what_it_gave(issuer: Issuer) -> None:
    client = await issuer.registered()
    code = await issuer.code(client["client_id"])
    given = (await issuer.redeem(client["client_id"], code)).json()

    issuer.clock.now += CODE_LIFETIME + 1
    await issuer.redeem(client["client_id"], code)

    assert await issuer.introspect(given["access_token"]) == {"active": False}


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        pytest.param({"code_verifier": None}, "invalid_request", id="no verifier"),
        pytest.param({"code_verifier": "w" * 43}, "invalid_grant", id="another verifier"),
        pytest.param({"code_verifier": "v" * 42}, "invalid_request", id="a verifier that is too short"),
        pytest.param(
            {"code_verifier": CHALLENGE},
            "invalid_grant",
            id="the challenge itself",
        ),
        pytest.param({"redirect_uri": None}, "invalid_grant", id="no redirect URI"),
        pytest.param({"redirect_uri": f"{REDIRECT}/"}, "invalid_grant", id="another redirect URI"),
        pytest.param({"resource": TICKETS}, "invalid_target", id="another resource"),
        pytest.param({"resource": "http://evil.example"}, "invalid_target", id="an unknown resource"),
        pytest.param({"resource": ""}, "invalid_target", id="an empty resource"),
        pytest.param({"code": None}, "invalid_request", id="no code"),
        pytest.param({"code": "x"}, "invalid_grant", id="a code that was not given"),
        pytest.param({"client_id": "nobody"}, "invalid_client", id="an unknown client"),
        pytest.param({"client_id": None}, "invalid_client", id="no client"),
        pytest.param({"client_id": CLIENT_ID}, "invalid_client", id="a client with a secret, without it"),
        pytest.param({"client_secret": "x"}, "invalid_client", id="a secret where there is none"),
        pytest.param({"grant_type": "implicit"}, "unsupported_grant_type", id="another grant"),
    ],
)
async def test_a_code_is_good_only_for_whom_and_what_it_was_given(
    issuer: Issuer, fields: dict[str, str | None], error: str
) -> None:
    client = await issuer.registered()
    code = await issuer.code(client["client_id"])

    form: dict[str, Any] = {"client_id": client["client_id"], "code": code, **fields}
    refused = await issuer.redeem(**form)

    assert (refused.status, refused.json()["error"]) == (401 if error == "invalid_client" else 400, error)
    assert "access_token" not in refused.json()
    assert (await issuer.redeem(client["client_id"], code)).status == 200


async def test_a_code_is_not_good_for_another_client(issuer: Issuer) -> None:
    clients = [await issuer.registered() for _ in range(2)]
    code = await issuer.code(clients[0]["client_id"])

    refused = await issuer.redeem(clients[1]["client_id"], code)

    assert (refused.status, refused.json()["error"]) == (400, "invalid_grant")


async def test_without_a_resource_in_the_token_request_it_is_that_of_the_code(issuer: Issuer) -> None:
    client = await issuer.registered()
    code = await issuer.code(client["client_id"])

    tokens = (await issuer.redeem(client["client_id"], code, resource=None)).json()

    assert (await issuer.introspect(tokens["access_token"]))["aud"] == DOCS


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
async def test_a_confidential_client_needs_its_secret_in_the_way_it_registered(
    issuer: Issuer, method: str
) -> None:
    client = await issuer.registered(token_endpoint_auth_method=method)
    code = await issuer.code(client["client_id"])
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": REDIRECT,
        "code_verifier": VERIFIER,
        "resource": DOCS,
    }
    secret = client["client_secret"]
    in_header = basic(client["client_id"], secret)
    in_form = {**form, "client_id": client["client_id"], "client_secret": secret}

    assert (await issuer.redeem(client["client_id"], code)).status == 401
    assert (await issuer.post("/token", form, basic(client["client_id"], "wrong"))).status == 401
    if method == "client_secret_basic":
        assert (await issuer.post("/token", in_form)).status == 401
        assert (await issuer.post("/token", form, in_header)).status == 200
    else:
        assert (await issuer.post("/token", form, in_header)).status == 401
        assert (await issuer.post("/token", in_form)).status == 200


@pytest.mark.parametrize("resource", [DOCS, TICKETS], ids=["JWT", "opaque"])
async def test_a_refresh_token_becomes_the_same_again_with_a_new_one(issuer: Issuer, resource: str) -> None:
    client = await issuer.registered()
    first = await issuer.tokens(client["client_id"], resource)
    issuer.clock.now += 1000

    reply = await issuer.refresh(client["client_id"], first["refresh_token"], resource=resource)

    second = reply.json()
    assert (reply.status, second["scope"]) == (200, first["scope"])
    assert second["refresh_token"] != first["refresh_token"]
    facts = await issuer.introspect(second["access_token"])
    assert (facts["sub"], facts["aud"], facts["exp"]) == ("alice", resource, int(issuer.clock.now) + 600)


async def test_a_refresh_token_that_comes_again_revokes_the_whole_family(issuer: Issuer) -> None:
    client = await issuer.registered()
    first = await issuer.tokens(client["client_id"])
    second = (await issuer.refresh(client["client_id"], first["refresh_token"])).json()

    again = await issuer.refresh(client["client_id"], first["refresh_token"])

    assert (again.status, again.json()["error"]) == (400, "invalid_grant")
    assert (await issuer.refresh(client["client_id"], second["refresh_token"])).status == 400
    assert not await issuer.is_active(second["access_token"])


async def test_a_narrower_token_does_not_make_the_next_one_narrower(issuer: Issuer) -> None:
    client = await issuer.registered()
    first = await issuer.tokens(client["client_id"])

    second = (await issuer.refresh(client["client_id"], first["refresh_token"], scope="docs:read")).json()
    third = (await issuer.refresh(client["client_id"], second["refresh_token"])).json()

    assert (second["scope"], third["scope"]) == ("docs:read", "docs:read docs:full")


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        pytest.param({"scope": "docs:read docs:full"}, "invalid_scope", id="a scope that the user unticked"),
        pytest.param({"scope": "admin"}, "invalid_scope", id="a scope that nobody offers"),
        pytest.param({"resource": TICKETS}, "invalid_target", id="another resource"),
        pytest.param({"refresh_token": "x"}, "invalid_grant", id="a token that was not given"),
        pytest.param({"refresh_token": ""}, "invalid_grant", id="an empty token"),
        pytest.param({"client_id": "nobody"}, "invalid_client", id="an unknown client"),
    ],
)
async def test_a_refresh_token_is_good_only_for_what_the_user_granted(
    issuer: Issuer, fields: dict[str, str], error: str
) -> None:
    client = await issuer.registered()
    code = await issuer.code(client["client_id"], scopes=["docs:read"])
    token = (await issuer.redeem(client["client_id"], code)).json()["refresh_token"]
    form = {"grant_type": "refresh_token", "client_id": client["client_id"], "refresh_token": token}

    refused = await issuer.post("/token", {**form, **fields})

    assert refused.json()["error"] == error
    assert (await issuer.refresh(client["client_id"], token)).json()["scope"] == "docs:read"


async def test_a_refresh_token_is_not_good_for_another_client(issuer: Issuer) -> None:
    clients = [await issuer.registered() for _ in range(2)]
    tokens = await issuer.tokens(clients[0]["client_id"])

    refused = await issuer.refresh(clients[1]["client_id"], tokens["refresh_token"])

    assert (refused.status, refused.json()["error"]) == (400, "invalid_grant")


async def test_a_client_that_did_not_register_for_refreshing_cannot(issuer: Issuer) -> None:
    client = await issuer.registered(grant_types=["authorization_code"])

    refused = await issuer.refresh(client["client_id"], "x")

    assert (refused.status, refused.json()["error"]) == (400, "unauthorized_client")


async def test_a_refresh_token_is_good_for_a_day(issuer: Issuer) -> None:
    client = await issuer.registered()
    families = [await issuer.tokens(client["client_id"]) for _ in range(2)]

    issuer.clock.now += REFRESH_LIFETIME - 1
    assert (await issuer.refresh(client["client_id"], families[0]["refresh_token"])).status == 200
    issuer.clock.now += 1

    assert (await issuer.refresh(client["client_id"], families[1]["refresh_token"])).status == 400


async def test_the_client_that_asks_for_itself_gets_nothing_to_refresh_with(issuer: Issuer) -> None:
    form = {"grant_type": "client_credentials", "resource": DOCS}

    reply = await issuer.post("/token", form, OURS)

    assert (reply.status, "refresh_token" in reply.json()) == (200, False)
    assert (await issuer.introspect(reply.json()["access_token"]))["sub"] == CLIENT_ID


@pytest.mark.parametrize("grant", ["authorization_code", "refresh_token"])
async def test_the_client_that_asks_for_itself_can_do_nothing_else(issuer: Issuer, grant: str) -> None:
    refused = await issuer.post("/token", {"grant_type": grant, "code": "x", "refresh_token": "x"}, OURS)

    assert (refused.status, refused.json()["error"]) == (400, "unauthorized_client")


async def test_a_registered_client_cannot_ask_for_itself(issuer: Issuer) -> None:
    client = await issuer.registered(token_endpoint_auth_method="client_secret_basic")
    form = {"grant_type": "client_credentials", "resource": DOCS}

    refused = await issuer.post("/token", form, basic(client["client_id"], client["client_secret"]))

    assert (refused.status, refused.json()["error"]) == (400, "unauthorized_client")
