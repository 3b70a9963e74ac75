"""Opaque tokens of a certified issuer, of which the gate asks what they stand for."""

from pathlib import Path

import pytest

from tests.issuers.configuration import introspecting
from tests.issuers.gate import DOCS, TICKETS, challenge_of, gate
from tests.issuers.provider import GATE, GATE_POST, Client, Resource, provider

OPAQUE = Resource("docs:read docs:write", "opaque")


@pytest.mark.anyio
@pytest.mark.parametrize(
    "client",
    [
        pytest.param(GATE, id="the gate's secret in the header"),
        pytest.param(GATE_POST, id="the gate's secret in the form"),
    ],
)
async def test_an_opaque_token_for_the_route_calls_a_tool(client: Client, tmp_path: Path) -> None:
    with provider() as issuer, gate([introspecting(issuer.url, tmp_path, client=client)]) as front:
        issuer.serve({front.resource(): OPAQUE})
        token = await issuer.token(front.resource())

        answer = await front.whoami(token)

    assert "." not in token
    assert answer == {
        "issuer": issuer.url,
        "subject": "agent",
        "client_id": "agent",
        "scopes": ["docs:read"],
        "authorization": None,
    }


@pytest.mark.anyio
async def test_with_its_secret_in_another_place_than_agreed_on_the_gate_is_unavailable(
    tmp_path: Path,
) -> None:
    way = "client_secret_basic"
    with (
        provider() as issuer,
        gate([introspecting(issuer.url, tmp_path, client=GATE_POST, client_authentication=way)]) as front,
    ):
        issuer.serve({front.resource(): OPAQUE})

        answer = await front.call(await issuer.token(front.resource()))

    assert answer.status_code == 503


@pytest.mark.anyio
async def test_the_gates_secret_may_stand_in_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INTROSPECTION_SECRET", GATE.secret)
    with provider() as issuer:
        trusted = introspecting(issuer.url, tmp_path, client_secret_env="INTROSPECTION_SECRET")
        del trusted["introspection"]["client_secret_file"]
        with gate([trusted]) as front:
            issuer.serve({front.resource(): OPAQUE})

            answer = await front.call(await issuer.token(front.resource()))

    assert answer.status_code == 200


@pytest.mark.anyio
async def test_one_issuer_may_make_jwts_for_one_route_and_opaque_tokens_for_another(tmp_path: Path) -> None:
    with provider() as issuer:
        trusted = {**introspecting(issuer.url, tmp_path), "token_formats": ["jwt", "opaque"]}
        with gate([trusted], {DOCS: {}, TICKETS: {}}) as front:
            issuer.serve({front.resource(DOCS): Resource("docs:read"), front.resource(TICKETS): OPAQUE})
            jwt, opaque = [await issuer.token(front.resource(route)) for route in (DOCS, TICKETS)]

            answers = [
                await front.call(jwt, route=DOCS),
                await front.call(opaque, route=TICKETS),
                await front.call(jwt, route=TICKETS),
                await front.call(opaque, route=DOCS),
            ]

    assert [answer.status_code for answer in answers] == [200, 200, 401, 401]
    assert front.reasons == [None, None, "token-audience-wrong", "token-audience-wrong"]


@pytest.mark.promise("opaque-judged-here")
@pytest.mark.anyio
async def test_an_opaque_token_for_another_resource_is_refused(tmp_path: Path) -> None:
    with provider() as issuer, gate([introspecting(issuer.url, tmp_path)]) as front:
        issuer.serve({"https://elsewhere.example.com/mcp": OPAQUE})

        answer = await front.call(await issuer.token("https://elsewhere.example.com/mcp"))

    assert answer.status_code == 401
    assert front.reasons == ["token-audience-wrong"]
    assert challenge_of(answer)[1]["error"] == "invalid_token"


@pytest.mark.anyio
async def test_a_revoked_token_is_refused(tmp_path: Path) -> None:
    with provider() as issuer, gate([introspecting(issuer.url, tmp_path)]) as front:
        issuer.serve({front.resource(): OPAQUE})
        token = await issuer.token(front.resource())
        await issuer.revoke(token)

        answer = await front.call(token)

    assert answer.status_code == 401
    assert front.reasons == ["token-inactive"]


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("max_age", "then"),
    [
        pytest.param("0s", [200, 401], id="at once where no answer is kept"),
        pytest.param("30s", [200, 200], id="later where answers are kept for a while"),
    ],
)
async def test_a_token_that_is_revoked_after_use_is_refused(
    max_age: str, then: list[int], tmp_path: Path
) -> None:
    with provider() as issuer, gate([introspecting(issuer.url, tmp_path, max_age=max_age)]) as front:
        issuer.serve({front.resource(): OPAQUE})
        token = await issuer.token(front.resource())

        before = await front.call(token)
        await issuer.revoke(token)
        after = await front.call(token)

    assert [before.status_code, after.status_code] == then


@pytest.mark.anyio
async def test_a_token_that_has_expired_at_the_issuer_is_refused(tmp_path: Path) -> None:
    with provider() as issuer, gate([introspecting(issuer.url, tmp_path)]) as front:
        issuer.serve({front.resource(): OPAQUE})
        token = await issuer.token(front.resource())
        issuer.tell(clockAhead=600)

        answer = await front.call(token)

    assert answer.status_code == 401
    assert front.reasons == ["token-inactive"]


@pytest.mark.anyio
async def test_what_the_issuer_never_made_is_refused(tmp_path: Path) -> None:
    with provider() as issuer, gate([introspecting(issuer.url, tmp_path)]) as front:
        answer = await front.call("what-the-issuer-never-made")

    assert answer.status_code == 401
    assert front.reasons == ["token-inactive"]


@pytest.mark.anyio
async def test_a_jwt_is_refused_where_only_opaque_tokens_are_taken(tmp_path: Path) -> None:
    """The issuer answers a question about a JWT with 400 and ``unsupported_token_type``."""
    with provider() as issuer, gate([introspecting(issuer.url, tmp_path)]) as front:
        issuer.serve({front.resource(): Resource("docs:read")})

        answer = await front.call(await issuer.token(front.resource()))

    assert answer.status_code == 401


@pytest.mark.anyio
async def test_an_opaque_token_without_the_scope_of_the_route_is_told_which_one_it_needs(
    tmp_path: Path,
) -> None:
    with provider() as issuer, gate([introspecting(issuer.url, tmp_path)]) as front:
        issuer.serve({front.resource(): OPAQUE})

        answer = await front.call(await issuer.token(front.resource(), scope="docs:write"))

    assert answer.status_code == 403
    assert challenge_of(answer)[1]["error"] == "insufficient_scope"
    assert challenge_of(answer)[1]["scope"] == "docs:read"


@pytest.mark.anyio
async def test_with_a_wrong_secret_of_its_own_the_gate_is_unavailable(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    secret = "a secret that the issuer does not know"
    with (
        provider() as issuer,
        gate([introspecting(issuer.url, tmp_path, secret=secret)]) as front,
    ):
        issuer.serve({front.resource(): OPAQUE})
        token = await issuer.token(front.resource())

        answer = await front.call(token)

    assert answer.status_code == 503
    assert answer.json() == {"error": "unavailable"}
    assert front.reasons == ["issuer-unavailable"]
    assert secret not in caplog.text
    assert token not in caplog.text
