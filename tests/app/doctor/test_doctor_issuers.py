"""Issuers are asked as the gate asks them, and what keeps clients from logging in is said."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.app.doctor.examined import DOMAIN, surroundings
from tests.app.doctor.fakes import Answered, answering
from tests.support.resolving import Names
from tests.support.tokens import jwks
from tunnelgate import Policy
from tunnelgate_app.doctor.findings import Finding, Status
from tunnelgate_app.doctor.layers.access import Access
from tunnelgate_app.doctor.options import Options

METADATA = "/.well-known/oauth-authorization-server"
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


class Issuer:
    """An authorization server on loopback; ``host`` is the name that it is asked by."""

    def __init__(self, host: str) -> None:
        self.host = host
        self.issuer = ""
        self.metadata: Any = {}
        self.keys = jwks("ES256")
        self.date: str | None = format_datetime(NOW, usegmt=True)
        self.status = 200
        self.later: list[int] = []

    def stands_at(self, port: int) -> None:
        self.issuer = f"http://{self.host}:{port}"
        self.metadata = {
            "issuer": self.issuer,
            "jwks_uri": f"{self.issuer}/keys",
            "token_endpoint": f"{self.issuer}/token",
            "authorization_endpoint": "https://login.example.com/authorize",
        }

    def answer(self, path: str) -> Answered:
        if path not in (METADATA, "/keys"):
            return 404, {}, b""
        content = orjson.dumps(self.metadata) if path == METADATA else self.keys
        headers = {} if self.date is None else {"Date": self.date}
        status = self.later.pop(0) if self.later else self.status
        return status, {"Content-Type": "application/json", **headers}, content


@contextmanager
def issuer_at(host: str) -> Generator[Issuer]:
    issuer = Issuer(host)
    with answering(issuer.answer) as port:
        issuer.stands_at(port)
        yield issuer


async def found(
    issuer: str,
    settings: Mapping[str, Any] | None = None,
    *,
    allowed: tuple[str, ...] = ("127.0.0.1",),
    now: datetime = NOW,
    addresses: Mapping[str, Any] | None = None,
) -> list[Finding]:
    policy = Policy.from_mapping(
        {
            "clients": {"allowed_ips": ["127.0.0.1"]},
            "tunnel_domain": DOMAIN,
            "oauth": {"issuers": [{"issuer": issuer, **(settings or {})}], "allowed_ips": allowed},
            "routes": {"docs": {"mount": "no:app", "tools": ["search"]}},
        }
    )
    names = Names({"login.internal": ["127.0.0.1"], f"auth.{DOMAIN}": ["127.0.0.1"], **(addresses or {})})
    around = surroundings(resolve=names, clock=now.timestamp)
    return await Access(policy, {}, Options(Path("unused"), seconds=3.0), around).examine_issuers()


@pytest.mark.anyio
async def test_an_issuer_that_answers_is_fine_and_so_is_its_clock() -> None:
    with issuer_at(f"auth.{DOMAIN}") as issuer:
        keys, clock = await found(issuer.issuer)

    assert (keys.status, clock.status) == (Status.FINE, Status.FINE)
    assert keys.found == f"{issuer.issuer}{METADATA}: 200; {issuer.issuer}/keys: 200"
    assert clock.found == "the same"


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("ahead", "status", "said"),
    [
        pytest.param(20, Status.FINE, "20 s behind this machine's, within the 30 s", id="a little"),
        pytest.param(-20, Status.FINE, "20 s ahead of this machine's, within the 30 s", id="a little, ahead"),
        pytest.param(90, Status.WRONG, "90 s behind this machine's, and the gate allows 30 s", id="too much"),
        pytest.param(-90, Status.WRONG, "90 s ahead of this machine's, and", id="too much, ahead"),
    ],
)
async def test_clocks_are_compared(ahead: int, status: Status, said: str) -> None:
    with issuer_at(f"auth.{DOMAIN}") as issuer:
        _, clock = await found(issuer.issuer, now=NOW + timedelta(seconds=ahead))

    assert clock.status is status
    assert clock.found.startswith(said)
    assert ("NTP" in clock.advice) == (status is Status.WRONG)


@pytest.mark.anyio
@pytest.mark.parametrize("date", [pytest.param(None, id="none"), pytest.param("yesterday", id="no date")])
async def test_an_issuer_without_a_date_is_asked_all_the_same(date: str | None) -> None:
    with issuer_at(f"auth.{DOMAIN}") as issuer:
        issuer.date = date
        (keys,) = await found(issuer.issuer)

    assert keys.status is Status.FINE


@pytest.mark.anyio
async def test_a_clock_that_cannot_be_asked_for_is_passed_over() -> None:
    with issuer_at(f"auth.{DOMAIN}") as issuer:
        issuer.later = [200, 200, 99]  # the last of which is no status
        (keys,) = await found(issuer.issuer)

    assert keys.status is Status.FINE


@pytest.mark.anyio
async def test_an_issuer_that_is_not_allowed_to_be_asked_is_found() -> None:
    with issuer_at(f"auth.{DOMAIN}") as issuer:
        (keys,) = await found(issuer.issuer, allowed=("10.0.0.0/8",))

    assert keys.status is Status.WRONG
    assert "127.0.0.1 is not in oauth.allowed_ips" in keys.found
    assert keys.advice.startswith("List where the issuer is")


@pytest.mark.anyio
async def test_metadata_of_another_issuer_is_found() -> None:
    with issuer_at(f"auth.{DOMAIN}") as issuer:
        issuer.metadata["issuer"] += "/"
        keys, _ = await found(issuer.issuer)

    assert keys.status is Status.WRONG
    assert (
        f"the metadata is of another issuer, {issuer.issuer}/; {issuer.issuer}{METADATA}: 200" in keys.found
    )
    assert "with or without the last slash" in keys.advice


@pytest.mark.anyio
@pytest.mark.parametrize("metadata", [pytest.param([], id="a list"), pytest.param({}, id="an empty object")])
async def test_what_is_no_metadata_is_found(metadata: Any) -> None:
    with issuer_at(f"auth.{DOMAIN}") as issuer:
        issuer.metadata = metadata
        keys, _ = await found(issuer.issuer)

    assert keys.status is Status.WRONG
    assert "jwks_file" in keys.advice


@pytest.mark.anyio
async def test_an_issuer_that_is_down_is_found() -> None:
    with issuer_at(f"auth.{DOMAIN}") as issuer:
        issuer.status = 500
        keys, _ = await found(issuer.issuer)

    assert keys.status is Status.WRONG
    assert "500" in keys.found


@pytest.mark.anyio
async def test_keys_are_asked_for_where_the_configuration_says() -> None:
    with issuer_at(f"auth.{DOMAIN}") as issuer:
        keys, clock = await found(issuer.issuer, {"jwks_uri": f"{issuer.issuer}/keys"})

    assert keys.found == f"{issuer.issuer}/keys: 200"
    assert clock.status is Status.FINE


@pytest.mark.anyio
async def test_an_issuer_that_introspects_needs_an_endpoint_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    introspection = {"client_id": "gate", "client_secret_env": "GATE_SECRET"}
    settings = {"token_formats": ["opaque"], "introspection": introspection}
    with issuer_at(f"auth.{DOMAIN}") as issuer:
        without, _ = await found(issuer.issuer, settings)
        issuer.metadata["introspection_endpoint"] = f"{issuer.issuer}/introspect"
        fine, _ = await found(issuer.issuer, settings)

    assert without.status is Status.WRONG
    assert "introspection_endpoint in the metadata" in without.found
    assert fine.status is Status.FINE


@pytest.mark.anyio
async def test_an_issuer_that_nobody_outside_reaches_is_warned_about() -> None:
    with issuer_at("login.internal") as issuer:
        *_, warning = await found(issuer.issuer)

    assert warning.status is Status.WARNING
    assert warning.tried == f"{issuer.issuer}: reach login.internal from outside"
    assert "127.0.0.1, which nobody outside can reach" in warning.found
    assert "Route the authorization server through the tunnel" in warning.advice


@pytest.mark.anyio
async def test_a_token_endpoint_that_nobody_outside_reaches_is_warned_about() -> None:
    with issuer_at(f"auth.{DOMAIN}") as issuer:
        issuer.metadata["token_endpoint"] = "https://token.internal/token"
        *_, warning = await found(issuer.issuer, addresses={"token.internal": ["10.0.0.9", "fe80::1%2"]})

    assert warning.status is Status.WARNING
    assert "reach token.internal from outside" in warning.tried


@pytest.mark.anyio
async def test_a_login_page_in_the_tunnel_is_warned_about() -> None:
    with issuer_at(f"auth.{DOMAIN}") as issuer:
        issuer.metadata["authorization_endpoint"] = f"https://auth.{DOMAIN}/authorize"
        *_, warning = await found(issuer.issuer)

    assert warning.status is Status.WARNING
    assert f"auth.{DOMAIN} is in the tunnel, which browsers cannot reach" in warning.found
    assert "Split the metadata" in warning.advice


@pytest.mark.anyio
@pytest.mark.parametrize("endpoint", [pytest.param("http://[", id="no URL"), pytest.param(7, id="no text")])
async def test_endpoints_that_are_no_urls_are_passed_over(endpoint: Any) -> None:
    with issuer_at(f"auth.{DOMAIN}") as issuer:
        issuer.metadata.update(authorization_endpoint=endpoint, token_endpoint=endpoint)
        findings = await found(issuer.issuer, addresses={f"auth.{DOMAIN}": ["127.0.0.1"]})

    assert {each.status for each in findings} == {Status.FINE}
