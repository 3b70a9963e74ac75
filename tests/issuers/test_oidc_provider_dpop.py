"""Tokens of a certified issuer that are bound to a key, and the proofs that go with them."""

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from anyio import to_thread
from joserfc.jwk import Key

from tests.clients.clients import environment
from tests.issuers.configuration import introspecting
from tests.issuers.gate import DOCS, TICKETS, Gate, challenge_of, gate
from tests.issuers.proofs import proof, proof_key
from tests.issuers.provider import AGENT, STATE, Format, Provider, Resource, program, provider
from tests.support import npm
from tests.support.mcp import legacy

ROUTES = {DOCS: {"proof": "dpop"}}
FORMATS = [pytest.param("jwt", id="JWT"), pytest.param("opaque", id="opaque")]


def trusted(issuer: Provider, form: Format, folder: Path) -> dict[str, Any]:
    return {"issuer": issuer.url} if form == "jwt" else introspecting(issuer.url, folder)


async def bound_token(issuer: Provider, resource: str, key: Key, algorithm: str = "ES256") -> str:
    headers = {"dpop": proof(key, f"{issuer.url}/token", algorithm=algorithm)}
    return await issuer.token(resource, headers=headers)


async def call(front: Gate, token: str, sent: str | None, scheme: str = "DPoP") -> Any:
    return await front.call(token, scheme=scheme, proof=sent)


@pytest.mark.anyio
@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize(
    "algorithm",
    [
        pytest.param("ES256", id="proofs in ES256"),
        pytest.param("Ed25519", id="proofs in Ed25519"),
        pytest.param("EdDSA", id="proofs in EdDSA, as it was called before"),
    ],
)
async def test_a_bound_token_calls_as_often_as_there_are_proofs(
    algorithm: str, form: Format, tmp_path: Path
) -> None:
    key = proof_key(algorithm)
    with provider() as issuer, gate([trusted(issuer, form, tmp_path)], ROUTES) as front:
        issuer.serve({front.resource(): Resource("docs:read", form)})
        token = await bound_token(issuer, front.resource(), key, algorithm)
        proofs = [proof(key, front.resource(), token=token, algorithm=algorithm) for _ in range(3)]

        answers = [await front.whoami(token, scheme="DPoP", proof=each) for each in proofs]

    assert [answer["subject"] for answer in answers] == ["agent"] * 3
    assert {answer["authorization"] for answer in answers} == {None}


@pytest.mark.promise("bound-stays-bound")
@pytest.mark.anyio
@pytest.mark.parametrize("form", FORMATS)
async def test_a_proof_passes_once(form: Format, tmp_path: Path) -> None:
    key = proof_key()
    with provider() as issuer, gate([trusted(issuer, form, tmp_path)], ROUTES) as front:
        issuer.serve({front.resource(): Resource("docs:read", form)})
        token = await bound_token(issuer, front.resource(), key)
        sent = proof(key, front.resource(), token=token)

        first, again = await call(front, token, sent), await call(front, token, sent)

    assert (first.status_code, again.status_code) == (200, 401)
    scheme, parameters = challenge_of(again)
    assert (scheme, parameters["error"]) == ("DPoP", "invalid_dpop_proof")
    assert "ES256" in parameters["algs"].split(" ")
    assert parameters["resource_metadata"] == front.metadata()
    assert front.reasons == [None, "proof-replayed"]


@pytest.mark.promise("bound-stays-bound")
@pytest.mark.anyio
@pytest.mark.parametrize("form", FORMATS)
async def test_whoever_does_not_have_the_key_is_refused(form: Format, tmp_path: Path) -> None:
    key, other = proof_key(), proof_key()
    with provider() as issuer, gate([trusted(issuer, form, tmp_path)], ROUTES) as front:
        issuer.serve({front.resource(): Resource("docs:read", form)})
        token = await bound_token(issuer, front.resource(), key)
        another = await bound_token(issuer, front.resource(), key)
        url = front.resource()

        answers = [
            await call(front, token, proof(other, url, token=token)),
            await call(front, token, None),
            await call(front, token, proof(key, url, token=token), scheme="Bearer"),
            await call(front, token, None, scheme="Bearer"),
            await call(front, token, proof(key, url, token=another)),
            await call(front, token, proof(key, url)),
            await call(front, token, proof(key, f"{issuer.url}/token", token=token)),
            await call(front, token, proof(key, url, token=token, htm="GET")),
        ]

    assert [answer.status_code for answer in answers] == [401] * 8
    assert [challenge_of(answer)[0] for answer in answers] == ["DPoP"] * 8
    assert [challenge_of(answer)[1]["error"] for answer in answers] == [
        "invalid_dpop_proof",
        "invalid_dpop_proof",
        "invalid_token",
        "invalid_token",
        *["invalid_dpop_proof"] * 4,
    ]


@pytest.mark.anyio
@pytest.mark.parametrize("form", FORMATS)
async def test_a_token_that_is_bound_to_nothing_is_refused_where_a_proof_is_demanded(
    form: Format, tmp_path: Path
) -> None:
    key = proof_key()
    with provider() as issuer, gate([trusted(issuer, form, tmp_path)], ROUTES) as front:
        issuer.serve({front.resource(): Resource("docs:read", form)})
        token = await issuer.token(front.resource())

        answer = await call(front, token, proof(key, front.resource(), token=token))

    assert answer.status_code == 401
    assert challenge_of(answer)[1]["error"] == "invalid_token"
    assert front.reasons == ["token-binding-wrong"]


@pytest.mark.promise("bound-stays-bound")
@pytest.mark.anyio
@pytest.mark.parametrize("form", FORMATS)
async def test_a_bound_token_is_refused_where_nobody_checks_proofs(form: Format, tmp_path: Path) -> None:
    key = proof_key()
    with provider() as issuer, gate([trusted(issuer, form, tmp_path)]) as front:
        issuer.serve({front.resource(): Resource("docs:read", form)})
        token = await bound_token(issuer, front.resource(), key)
        sent = proof(key, front.resource(), token=token)

        answers = [
            await call(front, token, sent, scheme="Bearer"),
            await call(front, token, sent, scheme="DPoP"),
        ]

    assert [answer.status_code for answer in answers] == [401, 401]
    assert [challenge_of(answer)[0] for answer in answers] == ["Bearer", "Bearer"]


@pytest.mark.anyio
async def test_a_proof_for_one_route_is_none_for_another() -> None:
    key = proof_key()
    routes = {
        DOCS: {"proof": "dpop"},
        TICKETS: {"proof": "dpop", "resource": "https://shared.example.com/mcp"},
    }
    with provider() as issuer, gate([{"issuer": issuer.url}], routes) as front:
        issuer.serve({"https://shared.example.com/mcp": Resource("docs:read")})
        token = await bound_token(issuer, "https://shared.example.com/mcp", key)

        answer = await front.call(
            token, route=TICKETS, scheme="DPoP", proof=proof(key, front.resource(DOCS), token=token)
        )

    assert answer.status_code == 401
    assert front.reasons == ["proof-wrong"]


@pytest.mark.anyio
@pytest.mark.parametrize("form", FORMATS)
async def test_with_nonces_the_first_answer_has_one_and_the_next_request_passes(
    form: Format, tmp_path: Path
) -> None:
    key = proof_key()
    with (
        provider() as issuer,
        gate([trusted(issuer, form, tmp_path)], ROUTES, dpop={"require_nonce": True}) as front,
    ):
        issuer.serve({front.resource(): Resource("docs:read", form)})
        url = front.resource()
        token = await bound_token(issuer, url, key)

        first = await call(front, token, proof(key, url, token=token))
        (nonce,) = first.headers.get_list("dpop-nonce")
        again = await call(front, token, proof(key, url, token=token, nonce=nonce))
        invented = await call(front, token, proof(key, url, token=token, nonce="invented"))

    assert (first.status_code, again.status_code, invented.status_code) == (401, 200, 401)
    assert [challenge_of(each)[1]["error"] for each in (first, invented)] == ["use_dpop_nonce"] * 2
    assert front.reasons == ["proof-nonce-wrong", None, "proof-nonce-wrong"]


@pytest.mark.anyio
async def test_a_nonce_of_the_issuer_is_none_of_the_gates() -> None:
    key = proof_key()
    with (
        provider() as issuer,
        gate([{"issuer": issuer.url}], ROUTES, dpop={"require_nonce": True}) as front,
    ):
        issuer.serve({front.resource(): Resource("docs:read")})
        issuer.tell(requireNonce=True)
        token_url, url = f"{issuer.url}/token", front.resource()
        told = await issuer.grant(url, headers={"dpop": proof(key, token_url)})
        nonce = told.headers["dpop-nonce"]
        token = await issuer.token(url, headers={"dpop": proof(key, token_url, nonce=nonce)})

        answer = await call(front, token, proof(key, url, token=token, nonce=nonce))

    assert answer.status_code == 401
    assert challenge_of(answer)[1]["error"] == "use_dpop_nonce"


@pytest.mark.anyio
@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize(
    "nonces", [pytest.param("optional", id="without nonces"), pytest.param("required", id="with nonces")]
)
@pytest.mark.parametrize(
    "algorithm",
    [pytest.param("ES256", id="proofs in ES256"), pytest.param("Ed25519", id="proofs in Ed25519")],
)
async def test_an_independent_client_gets_a_bound_token_and_calls_with_it(
    algorithm: str, nonces: str, form: Format, tmp_path: Path
) -> None:
    require_nonce = nonces == "required"
    with (
        provider() as issuer,
        gate([trusted(issuer, form, tmp_path)], ROUTES, dpop={"require_nonce": require_nonce}) as front,
    ):
        issuer.serve({front.resource(): Resource("docs:read", form)})
        issuer.tell(requireNonce=require_nonce)

        calls = await to_thread.run_sync(openid_client, issuer, front, algorithm)

    assert [(call["type"], call["status"]) for call in calls] == [("dpop", 200)] * 3
    answers = [call["answer"]["result"]["structuredContent"] for call in calls]
    assert [answer["subject"] for answer in answers] == ["agent"] * 3
    assert front.reasons == [*(["proof-nonce-wrong"] if require_nonce else []), None, None, None]


def openid_client(issuer: Provider, front: Gate, algorithm: str) -> Sequence[dict[str, Any]]:
    """Let ``openid-client`` call three times, and return what it saw."""
    headers, body = legacy("tools/call", {"name": "whoami", "arguments": {}})
    plan = {
        "issuer": issuer.url,
        "clientId": AGENT.name,
        "clientSecret": AGENT.secret,
        "algorithm": algorithm,
        "resource": front.resource(),
        "scope": "docs:read",
        "calls": 3,
        "headers": [pair for pair in headers if pair[0] != "host"],
        "body": body.decode(),
    }
    ended = subprocess.run(
        [str(npm.NODE), str(program("client.mjs"))],
        env={**environment(STATE), "CLIENT_PLAN": json.dumps(plan)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return [json.loads(line) for line in ended.stdout.splitlines()]
