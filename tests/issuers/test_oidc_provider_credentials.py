"""What the application behind the gate gets in place of the caller's token, from a certified issuer."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jwt as pyjwt
import pytest

from tests.issuers.configuration import credentials, introspecting
from tests.issuers.gate import DOCS, Gate, gate
from tests.issuers.provider import CALLER, Format, Provider, Resource, provider
from tests.issuers.user import sign_in


@contextmanager
def two_gates(
    kind: str, folder: Path, form: Format = "jwt", **wanted: Any
) -> Generator[tuple[Provider, Gate, Gate]]:
    """Run an issuer, a gate, and a second gate that the application behind the first one calls.

    The first one takes tokens in this form.
    """
    with provider() as issuer, gate([{"issuer": issuer.url}]) as upstream:
        route: Mapping[str, Any] = {
            "options": {"upstream": upstream.resource()},
            "credentials": credentials(
                kind, issuer.url, folder, scopes=["docs:read"], resource=upstream.resource(), **wanted
            ),
        }
        trusted = {"issuer": issuer.url} if form == "jwt" else introspecting(issuer.url, folder)
        with gate([trusted], {DOCS: route}) as front:
            issuer.tell(exchanges={CALLER.name: {"from": front.resource(), "to": upstream.resource()}})
            issuer.serve(
                {
                    front.resource(): Resource("docs:read", form),
                    upstream.resource(): Resource("docs:read"),
                }
            )
            yield issuer, front, upstream


def upstreams_answer(asked: dict[str, Any]) -> dict[str, Any]:
    """Return whom the second gate let through."""
    assert asked["status"] == 200, asked
    answer: dict[str, Any] = asked["answer"]["result"]["structuredContent"]
    return answer


@pytest.mark.promise("own-credentials")
@pytest.mark.anyio
@pytest.mark.parametrize(
    "form", [pytest.param("jwt", id="a JWT"), pytest.param("opaque", id="an opaque token")]
)
async def test_an_exchanged_token_keeps_the_user_and_is_for_the_upstream(
    form: Format, tmp_path: Path
) -> None:
    with two_gates("token_exchange", tmp_path, form) as (issuer, front, upstream):
        token = await sign_in(issuer, front.resource(), user="alice")

        handed_over = (await front.whoami(token))["authorization"].removeprefix("Bearer ")
        answer = upstreams_answer(await front.whoami(token, tool="ask_upstream"))

    assert (answer["subject"], answer["client_id"]) == ("alice", CALLER.name)
    assert answer["authorization"] is None
    assert handed_over != token
    claims = pyjwt.decode(handed_over, options={"verify_signature": False})
    assert (claims["aud"], claims["sub"], claims["scope"]) == (upstream.resource(), "alice", "docs:read")


@pytest.mark.anyio
async def test_each_user_gets_a_token_of_their_own_once(tmp_path: Path) -> None:
    with two_gates("token_exchange", tmp_path) as (issuer, front, _):
        tokens = [await sign_in(issuer, front.resource(), user=user) for user in ("alice", "bob")]

        handed_over = [(await front.whoami(token))["authorization"] for token in (*tokens, *tokens)]
        subjects = [
            upstreams_answer(await front.whoami(token, tool="ask_upstream"))["subject"] for token in tokens
        ]

    assert subjects == ["alice", "bob"]
    assert handed_over[:2] == handed_over[2:]
    assert len(set(handed_over)) == 2


@pytest.mark.anyio
async def test_what_the_issuer_does_not_exchange_reaches_nobody(tmp_path: Path) -> None:
    with two_gates("token_exchange", tmp_path) as (issuer, front, upstream):
        token = await sign_in(issuer, front.resource(), user="alice")
        issuer.tell(clockAhead=600)  # for the issuer the user's token has expired, for the gate not yet

        answer = await front.call(token, tool="ask_upstream")

    assert answer.status_code == 403
    assert front.reasons == ["credential-refused"]
    assert upstream.records.all == []


@pytest.mark.promise("own-credentials")
@pytest.mark.anyio
@pytest.mark.parametrize("kind", ["token_exchange", "client_credentials"])
async def test_without_the_issuer_there_is_no_token_for_the_upstream(kind: str, tmp_path: Path) -> None:
    with two_gates(kind, tmp_path) as (issuer, front, upstream):
        token = await sign_in(issuer, front.resource(), user="alice")
        # Refused before anybody needs a credential, and from here on the gate has the issuer's keys.
        narrow = await front.call(await issuer.token(front.resource(), scope="docs:write"))
        issuer.stop()

        answer = await front.call(token, tool="ask_upstream")

    assert (narrow.status_code, answer.status_code) == (403, 503)
    assert front.reasons == ["scope-missing", "credential-unavailable"]
    assert upstream.records.all == []


@pytest.mark.anyio
async def test_a_token_that_the_gate_refuses_is_not_exchanged(tmp_path: Path) -> None:
    with two_gates("token_exchange", tmp_path) as (issuer, front, upstream):
        token = await sign_in(issuer, upstream.resource(), user="alice")

        answer = await front.call(token, tool="ask_upstream")

    assert answer.status_code == 401
    assert front.reasons == ["token-audience-wrong"]


@pytest.mark.anyio
async def test_the_gates_own_token_speaks_for_the_gate(tmp_path: Path) -> None:
    with two_gates("client_credentials", tmp_path) as (issuer, front, _):
        token = await sign_in(issuer, front.resource(), user="alice")

        answer = upstreams_answer(await front.whoami(token, tool="ask_upstream"))
        handed_over = [(await front.whoami(token))["authorization"] for _ in range(2)]

    assert (answer["subject"], answer["client_id"]) == (CALLER.name, CALLER.name)
    assert handed_over[0] == handed_over[1] != f"Bearer {token}"


@pytest.mark.anyio
async def test_with_a_secret_that_the_issuer_does_not_know_there_is_no_token(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with two_gates("token_exchange", tmp_path) as (issuer, front, upstream):
        token = await sign_in(issuer, front.resource(), user="alice")
        issuer.tell(clients=[{**CALLER.told(), "client_secret": "another"}])

        answer = await front.call(token, tool="ask_upstream")

    assert answer.status_code == 503
    assert front.reasons == ["credential-unavailable"]
    assert upstream.records.all == []
    assert CALLER.secret not in caplog.text
    assert token not in caplog.text
