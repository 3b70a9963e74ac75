"""JWT access tokens of a certified issuer, in every algorithm that it and the gate have in common."""

from collections.abc import Callable

import httpx2
import jwt as pyjwt
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from tests.issuers.gate import DOCS, TICKETS, challenge_of, gate
from tests.issuers.provider import Provider, Resource, provider, signing_key

WhereKeysAre = Callable[[Provider], dict[str, str]]


def by_jwks_uri(issuer: Provider) -> dict[str, str]:
    return {"jwks_uri": f"{issuer.url}/jwks"}


def by_discovery(_: Provider) -> dict[str, str]:
    return {}


WHERE_KEYS_ARE = [
    pytest.param(by_jwks_uri, id="keys at a URL that is configured"),
    pytest.param(by_discovery, id="keys found from the issuer's name alone"),
]


@pytest.mark.anyio
@pytest.mark.parametrize("where", WHERE_KEYS_ARE)
@pytest.mark.parametrize(
    ("algorithm", "accepted"),
    [
        pytest.param("ES256", (), id="ES256"),
        pytest.param("RS256", (), id="RS256"),
        pytest.param("PS256", (), id="PS256"),
        pytest.param("Ed25519", (), id="Ed25519"),
        pytest.param("EdDSA", ("EdDSA",), id="EdDSA where it is listed"),
    ],
)
async def test_a_token_signed_with_each_algorithm_calls_a_tool(
    algorithm: str, accepted: tuple[str, ...], where: WhereKeysAre
) -> None:
    algorithms = {"algorithms": accepted} if accepted else {}
    with (
        provider(signing_key(algorithm, "only")) as issuer,
        gate([{"issuer": issuer.url, **where(issuer), **algorithms}]) as front,
    ):
        issuer.serve({front.resource(): Resource("docs:read", algorithm=algorithm)})
        token = await issuer.token(front.resource())

        answer = await front.whoami(token)

    assert pyjwt.get_unverified_header(token) == {"alg": algorithm, "kid": "only", "typ": "at+jwt"}
    assert answer == {
        "issuer": issuer.url,
        "subject": "agent",
        "client_id": "agent",
        "scopes": ["docs:read"],
        "authorization": None,
    }


@pytest.mark.anyio
async def test_an_algorithm_that_the_gate_was_not_told_of_is_refused() -> None:
    with (
        provider(signing_key("EdDSA", "only")) as issuer,
        gate([{"issuer": issuer.url}]) as front,
    ):
        issuer.serve({front.resource(): Resource("docs:read", algorithm="EdDSA")})

        answer = await front.call(await issuer.token(front.resource()))

    assert answer.status_code == 401
    assert front.reasons == ["token-algorithm-not-allowed"]


@pytest.mark.anyio
async def test_the_official_client_lists_and_calls_with_a_token_of_the_issuer() -> None:
    with (
        provider() as issuer,
        gate([{"issuer": issuer.url}]) as front,
    ):
        issuer.serve({front.resource(): Resource("docs:read")})
        headers = {"authorization": f"Bearer {await issuer.token(front.resource())}"}
        async with (
            httpx2.AsyncClient(headers=headers, trust_env=False) as http,
            Client(streamable_http_client(front.resource(), http_client=http)) as client,
        ):
            listed = await client.list_tools()
            called = await client.call_tool("whoami")

    assert [tool.name for tool in listed.tools] == ["whoami", "ask_upstream"]
    assert not called.is_error
    assert (called.structured_content or {})["subject"] == "agent"


@pytest.mark.promise("token-for-this-server")
@pytest.mark.anyio
async def test_a_token_for_one_route_is_none_for_another() -> None:
    with (
        provider() as issuer,
        gate([{"issuer": issuer.url}], {DOCS: {}, TICKETS: {}}) as front,
    ):
        issuer.serve({front.resource(route): Resource("docs:read") for route in (DOCS, TICKETS)})
        token = await issuer.token(front.resource(DOCS))

        there, elsewhere = await front.call(token), await front.call(token, route=TICKETS)

    assert (there.status_code, elsewhere.status_code) == (200, 401)
    assert challenge_of(elsewhere) == (
        "Bearer",
        {
            "error": "invalid_token",
            "scope": "docs:read",
            "resource_metadata": front.metadata(TICKETS),
        },
    )
    assert front.reasons == [None, "token-audience-wrong"]


@pytest.mark.anyio
async def test_the_issuer_makes_no_token_for_a_resource_that_it_does_not_know() -> None:
    with provider() as issuer:
        issuer.serve({"http://127.0.0.1/mcp": Resource("docs:read")})

        answer = await issuer.grant("http://127.0.0.1/mcp/")

    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_target")


@pytest.mark.anyio
async def test_a_token_without_the_scope_of_the_route_is_told_which_one_it_needs() -> None:
    with (
        provider() as issuer,
        gate([{"issuer": issuer.url}]) as front,
    ):
        issuer.serve({front.resource(): Resource("docs:read docs:write")})

        answer = await front.call(await issuer.token(front.resource(), scope="docs:write"))

    assert answer.status_code == 403
    assert challenge_of(answer) == (
        "Bearer",
        {
            "error": "insufficient_scope",
            "scope": "docs:read",
            "resource_metadata": front.metadata(),
        },
    )


@pytest.mark.anyio
async def test_what_the_gate_lets_through_an_independent_library_finds_genuine() -> None:
    with (
        provider() as issuer,
        gate([{"issuer": issuer.url}]) as front,
    ):
        issuer.serve({front.resource(): Resource("docs:read")})
        token = await issuer.token(front.resource())
        async with httpx2.AsyncClient(trust_env=False) as http:
            published = pyjwt.PyJWKSet.from_dict((await http.get(f"{issuer.url}/jwks")).json())

        said = (await front.whoami(token))["subject"]

        claims = pyjwt.decode(
            token,
            published["first"],
            algorithms=["ES256"],
            audience=front.resource(),
            issuer=issuer.url,
            options={"require": ["exp", "iat", "sub", "client_id", "jti"]},
        )
        assert claims["sub"] == said


@pytest.mark.anyio
async def test_keys_are_found_where_the_issuer_is_one_of_several_at_its_host() -> None:
    with provider(path="/tenants/one") as issuer, gate([{"issuer": issuer.url}]) as front:
        issuer.serve({front.resource(): Resource("docs:read")})

        answer = await front.whoami(await issuer.token(front.resource()))

    assert issuer.url.endswith("/tenants/one")
    assert answer["issuer"] == issuer.url
