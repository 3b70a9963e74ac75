"""Users who sign in at a certified issuer, and a route that is for users alone."""

from pathlib import Path

import pytest

from tests.issuers.configuration import introspecting
from tests.issuers.gate import DOCS, gate
from tests.issuers.provider import Format, Resource, provider
from tests.issuers.user import grant, sign_in


@pytest.mark.anyio
async def test_a_user_who_signed_in_with_a_code_and_pkce_calls_a_tool() -> None:
    with provider() as issuer, gate([{"issuer": issuer.url}]) as front:
        issuer.serve({front.resource(): Resource("docs:read")})
        token = await sign_in(issuer, front.resource(), user="alice")

        answer = await front.whoami(token)

    assert (answer["subject"], answer["client_id"]) == ("alice", "person")


@pytest.mark.anyio
async def test_a_route_for_users_lets_a_user_through_and_no_program() -> None:
    with (
        provider() as issuer,
        gate([{"issuer": issuer.url}], {DOCS: {"require_user": True}}) as front,
    ):
        issuer.serve({front.resource(): Resource("docs:read")})
        users = await sign_in(issuer, front.resource(), user="alice")
        programs = await issuer.token(front.resource())

        user, program = await front.call(users), await front.call(programs)

    assert (user.status_code, program.status_code) == (200, 403)
    assert front.reasons == [None, "user-required"]


@pytest.mark.anyio
async def test_an_opaque_token_of_a_user_passes_where_one_of_a_program_does_not(tmp_path: Path) -> None:
    with (
        provider() as issuer,
        gate([introspecting(issuer.url, tmp_path)], {DOCS: {"require_user": True}}) as front,
    ):
        issuer.serve({front.resource(): Resource("docs:read", "opaque")})
        users = await sign_in(issuer, front.resource(), user="alice")
        programs = await issuer.token(front.resource())

        user, program = await front.call(users), await front.call(programs)

    assert (user.status_code, program.status_code) == (200, 403)
    assert front.reasons == [None, "user-required"]


@pytest.mark.anyio
@pytest.mark.parametrize("form", [pytest.param("jwt", id="JWTs"), pytest.param("opaque", id="opaque tokens")])
async def test_what_the_user_granted_besides_is_no_access_token(form: Format, tmp_path: Path) -> None:
    """The issuer says of its own refresh tokens, to whoever may ask, that they are active."""
    with provider() as issuer:
        trusted = {**introspecting(issuer.url, tmp_path), "token_formats": ["jwt", "opaque"]}
        with gate([trusted]) as front:
            issuer.serve({front.resource(): Resource("docs:read", form)})
            scope = "openid offline_access docs:read"
            granted = await grant(issuer, front.resource(), user="alice", scope=scope)

            answers = {
                name: await front.call(granted[name])
                for name in ("access_token", "refresh_token", "id_token")
            }

    assert {name: answer.status_code for name, answer in answers.items()} == {
        "access_token": 200,
        "refresh_token": 401,
        "id_token": 401,
    }
    assert front.reasons == [None, "token-audience-wrong", "token-malformed"]
