from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.app.issuer.flows import CLIENT_ID, KEY, SECRET
from tests.e2e.logging_in import ISSUER, MCP_URL, REDIRECT, Tunnel, tunnel
from tests.support.asgi import Spy
from tests.support.audit import Records
from tests.support.mcp import modern
from tests.support.servers import serve
from tunnelgate import Policy
from tunnelgate.asgi import ASGIApp, Receive, Scope, Send
from tunnelgate_app.gateway import create_gateway
from tunnelgate_app.issuer import create_app
from tunnelgate_app.issuer.app import PATHS

pytestmark = pytest.mark.anyio
HOST = "docs.example.com"
RESOURCE = f"https://{HOST}/mcp"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Generator[Tunnel]:
    with tunnel(tmp_path_factory.mktemp("demo")) as running:
        yield running


@pytest.mark.parametrize("path", PATHS)
async def test_every_path_of_the_issuer_is_reached_through_the_gate(demo: Tunnel, path: str) -> None:
    async with demo.http("client") as http:
        answer = await http.get(ISSUER + path)

    assert answer.status_code in (200, 400, 405)


async def test_a_page_of_another_origin_may_ask_the_token_endpoint_through_the_gate(demo: Tunnel) -> None:
    headers = {
        "origin": "http://localhost:6274",
        "access-control-request-method": "POST",
        "access-control-request-headers": "content-type",
    }
    async with demo.http("client") as http:
        asked = await http.options(f"{ISSUER}/token", headers=headers)
        registered = await http.post(
            f"{ISSUER}/register", json={"redirect_uris": [REDIRECT]}, headers={"origin": headers["origin"]}
        )

    assert (asked.status_code, asked.headers["access-control-allow-origin"]) == (200, "*")
    assert (registered.status_code, registered.headers["access-control-allow-origin"]) == (201, "*")


async def test_the_cookie_and_the_headers_of_the_page_pass_the_gate_as_they_are(demo: Tunnel) -> None:
    async with demo.http("client") as http:
        client = (await http.post(f"{ISSUER}/register", json={"redirect_uris": [REDIRECT]})).json()
        query = {
            "response_type": "code",
            "client_id": client["client_id"],
            "redirect_uri": REDIRECT,
            "resource": MCP_URL,
            "code_challenge": "c" * 43,
            "code_challenge_method": "S256",
        }
        page = await http.get(f"{ISSUER}/authorize", params=query)
        again = await http.get(f"{ISSUER}/authorize", params=query)

    assert page.status_code == 200
    assert page.headers["content-security-policy"].startswith("default-src 'none'; ")
    assert page.headers["referrer-policy"] == "same-origin"
    assert page.cookies["tunnelgate_login"] == again.cookies["tunnelgate_login"]


class Later:
    """Stands where an application will be once the port is known that it has to know."""

    def __init__(self) -> None:
        self.app: ASGIApp = Spy()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)


@dataclass(frozen=True)
class Served:
    """An issuer at an address of its own, and a gate that knows only its name."""

    issuer: str
    gate: int
    records: Records

    async def token(self) -> str:
        form = {"grant_type": "client_credentials", "resource": RESOURCE}
        async with httpx2.AsyncClient(trust_env=False) as http:
            answer = await http.post(f"{self.issuer}/token", data=form, auth=(CLIENT_ID, SECRET))
        return str(answer.json()["access_token"])

    async def revoke(self, token: str) -> None:
        async with httpx2.AsyncClient(trust_env=False) as http:
            auth = (CLIENT_ID, SECRET)
            answer = await http.post(f"{self.issuer}/revoke", data={"token": token}, auth=auth)
        assert answer.status_code == 200

    async def list_tools(self, token: str) -> httpx2.Response:
        headers, body = modern("tools/list")
        sent = [*headers, ("authorization", f"Bearer {token}")]
        async with httpx2.AsyncClient(trust_env=False) as http:
            return await http.post(f"http://127.0.0.1:{self.gate}/mcp", headers=sent, content=body)


@contextmanager
def served(folder: Path, tokens: str, **trusted: Any) -> Generator[Served]:
    KEY.write(folder / "key.json")
    later = Later()
    with ExitStack() as stack:
        issuer = f"http://127.0.0.1:{stack.enter_context(serve(later))}"
        later.app = create_app(
            issuer=issuer,
            key_file=folder / "key.json",
            client_id=CLIENT_ID,
            client_secret=SECRET,
            resources={RESOURCE: {"scopes": ["docs:read"], "tokens": tokens}},
        )
        route = {
            "mount": "tests.app.issuer.test_issuer_behind_gate:create_server",
            "scopes": ["docs:read"],
            "tools": ["search_docs"],
        }
        policy = Policy.from_mapping(
            {
                "clients": {"allowed_ips": ["127.0.0.0/8"]},
                "oauth": {"issuers": [{"issuer": issuer, **trusted}], "allowed_ips": ["127.0.0.1"]},
                "routes": {HOST: route},
            }
        )
        records = Records()
        gate = stack.enter_context(serve(create_gateway(policy, audit=records)))
        yield Served(issuer, gate, records)


def create_server() -> ASGIApp:
    return Spy(b'{"jsonrpc":"2.0","id":1,"result":{"tools":[]}}')


@pytest.mark.promise("token-for-this-server")
async def test_a_gate_that_knows_only_the_issuers_name_finds_its_keys(tmp_path: Path) -> None:
    with served(tmp_path, "jwt") as both:
        accepted = await both.list_tools(await both.token())
        refused = await both.list_tools("eyJhbGciOiJub25lIn0.e30.")

    assert (accepted.status_code, refused.status_code) == (200, 401)


@pytest.mark.promise("token-for-this-server")
async def test_a_gate_finds_out_what_an_opaque_token_stands_for_and_that_it_was_revoked(
    tmp_path: Path,
) -> None:
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    introspection = {"client_id": CLIENT_ID, "client_secret_file": secret, "max_age": 0}
    with served(tmp_path, "opaque", token_formats=["opaque"], introspection=introspection) as both:
        token = await both.token()
        accepted = await both.list_tools(token)
        await both.revoke(token)
        refused = await both.list_tools(token)

    assert (accepted.status_code, refused.status_code) == (200, 401)
    assert both.records.all[0]["principal"]["subject"] == CLIENT_ID
