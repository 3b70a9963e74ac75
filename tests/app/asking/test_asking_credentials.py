"""A server is asked with the token that the gate itself would send."""

from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from tests.support.processes import free_port
from tests.support.remote import served_elsewhere
from tunnelgate import ConfigurationError, Policy
from tunnelgate_app.asking.answers import AskingError, Failure
from tunnelgate_app.asking.credentials import own_token


def policy_with(credentials: Any, **settings: Any) -> Policy:
    return Policy.from_mapping(
        {
            "clients": {"allowed_ips": ["127.0.0.1"]},
            "oauth": {
                "issuers": [{"issuer": "https://login.example.com", "jwks_file": "no-such-file"}],
                "allowed_ips": ["127.0.0.1"],
            },
            "routes": {
                "docs.example.com": {
                    "upstream": "http://10.0.0.1:9000",
                    "tools": ["search"],
                    "credentials": credentials,
                },
                "other.example.com": {
                    "upstream": "http://10.0.0.1:9000",
                    "tools": ["search"],
                    "credentials": {"bearer_file": "no-such-file"},
                },
            },
            **settings,
        }
    )


def fetched(endpoint: str) -> dict[str, Any]:
    return {"token_endpoint": endpoint, "client_id": "gate", "client_secret_env": "GATE_SECRET"}


@pytest.mark.anyio
async def test_a_route_without_credentials_is_asked_without_a_token() -> None:
    assert await own_token(policy_with(None), "docs.example.com") is None


@pytest.mark.anyio
async def test_a_token_is_read_from_its_file(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("one-token\n")

    policy = policy_with({"bearer_file": str(file)}, sealing_keys=["no-such-file"])

    assert await own_token(policy, "docs.example.com") == "one-token"


@pytest.mark.anyio
async def test_a_token_is_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCS_TOKEN", "one-token")

    assert await own_token(policy_with({"bearer_env": "DOCS_TOKEN"}), "docs.example.com") == "one-token"


@pytest.mark.anyio
async def test_a_token_is_fetched_from_its_issuer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATE_SECRET", "secret")

    async def issue(request: Request) -> JSONResponse:
        form = (await request.body()).decode()
        assert "grant_type=client_credentials" in form
        return JSONResponse({"access_token": "own-token", "token_type": "Bearer", "expires_in": 60})

    with served_elsewhere(Starlette(routes=[Route("/token", issue, methods=["POST"])])) as port:
        policy = policy_with({"client_credentials": fetched(f"http://127.0.0.1:{port}/token")})

        assert await own_token(policy, "docs.example.com") == "own-token"


@pytest.mark.anyio
async def test_a_token_for_each_caller_is_none_for_the_gate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATE_SECRET", "secret")
    policy = policy_with({"token_exchange": fetched("http://127.0.0.1:8083/token")})

    assert await own_token(policy, "docs.example.com") is None


@pytest.mark.anyio
async def test_an_issuer_that_is_not_there_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATE_SECRET", "secret")
    policy = policy_with({"client_credentials": fetched(f"http://127.0.0.1:{free_port()}/token")})

    with pytest.raises(AskingError, match="cannot be asked with a token of the gate's own") as caught:
        await own_token(policy, "docs.example.com")

    assert caught.value.failure is Failure.NEEDS_TOKEN
    assert "secret" not in str(caught.value)


@pytest.mark.anyio
async def test_a_file_that_is_not_there_is_a_fault() -> None:
    with pytest.raises(ConfigurationError, match="No such file"):
        await own_token(policy_with({"bearer_file": "no-such-file"}), "docs.example.com")
