"""A gate that exchanges its callers' tokens at the issuer, in front of a server that checks its own."""

from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx2
import pytest
from fastapi import FastAPI
from mcp.server.mcpserver import Context
from pydantic import BaseModel

from tests.app.issuer.browsing import Browser, sent_to
from tests.app.issuer.flows import CHALLENGE, CLIENT_ID, KEY, REDIRECT, SECRET, VERIFIER
from tests.app.issuer.test_issuer_behind_gate import Later
from tests.servers.serving import Era, connected, served, structured
from tests.support.asgi import Reply
from tests.support.audit import Records
from tests.support.mcp import modern
from tests.support.servers import serve
from tunnelgate import Policy
from tunnelgate.asgi import ASGIApp
from tunnelgate_app.gateway import create_gateway
from tunnelgate_app.issuer import create_app
from tunnelgate_servers.hosting import (
    READING,
    Introduction,
    OwnCheck,
    Tool,
    Toolset,
    caller_of,
    mcp_application,
    mcp_server,
)

pytestmark = pytest.mark.anyio

HOST = "docs.example.com"
RESOURCE = f"https://{HOST}/mcp"
BEHIND = "https://wiki.internal.example.com/mcp"
GATE_SECRET = "s-of-gate"


class Caller(BaseModel):
    issuer: str
    subject: str
    client_id: str
    scopes: list[str]
    audience: str
    act: dict[str, Any]
    accounts: list[str]


def whoami(context: Context[Any, Any]) -> Caller:
    """Say who calls."""
    caller = caller_of(context)
    return Caller(
        issuer=caller.issuer,
        subject=caller.subject,
        client_id=caller.client_id,
        scopes=sorted(caller.scopes),
        audience=caller.claims["aud"],
        act=caller.claims["act"],
        accounts=caller.claims["accounts"],
    )


def wiki(issuer: str) -> FastAPI:
    """Return a server that checks its tokens by itself."""
    tools = Toolset([Tool(whoami, "Who am I", scopes=["docs:read"], annotations=READING)])
    server = mcp_server(Introduction("wiki", "Wiki", "A wiki.", "Use whoami."), tools)
    oauth = {"issuers": [{"issuer": issuer}], "allowed_ips": ["127.0.0.1"]}
    return mcp_application(server, check=OwnCheck.from_options(BEHIND, oauth), is_ready=lambda: None)


def gateway(folder: Path, issuer: str, server: str, tokens: str, records: Records) -> ASGIApp:
    """Return the gate before that server."""
    secret = folder / "secret"
    secret.write_text(SECRET)
    own = folder / "secret-of-gate"
    own.write_text(GATE_SECRET)
    trusted: dict[str, Any] = {"issuer": issuer, "token_formats": [tokens]}
    if tokens == "opaque":
        trusted["introspection"] = {"client_id": CLIENT_ID, "client_secret_file": secret, "max_age": 0}
    exchange = {"issuer": issuer, "client_id": "gate", "client_secret_file": own, "resource": BEHIND}
    policy = {
        "clients": {"allowed_ips": ["127.0.0.0/8"]},
        "oauth": {"issuers": [trusted], "allowed_ips": ["127.0.0.1"]},
        "upstream": {"allowed_ips": ["127.0.0.1"]},
        "routes": {
            HOST: {
                "upstream": server,
                "tools": ["whoami"],
                "credentials": {"token_exchange": exchange},
            }
        },
    }
    return create_gateway(Policy.from_mapping(policy), audit=records)


@dataclass(frozen=True)
class Running:
    """An issuer, a server and a gate before it, each at an address of its own."""

    issuer: str
    server: str
    gate: str
    records: Records

    async def token(self, user: str, *, scopes: Sequence[str] | None = None) -> str:
        """Return the token for the gate that a user's own client gets when the user approves."""
        query = {
            "response_type": "code",
            "client_id": "desktop",
            "redirect_uri": REDIRECT,
            "resource": RESOURCE,
            "code_challenge": CHALLENGE,
            "code_challenge_method": "S256",
        }
        async with httpx2.AsyncClient(trust_env=False) as http:

            async def send(method: str, url: str, headers: list[tuple[str, str]], body: bytes = b"") -> Reply:
                answer = await http.request(method, url, headers=headers, content=body)
                return Reply(answer.status_code, answer.headers.multi_items(), answer.content)

            browser = Browser(send)
            page = await browser.open(f"{self.issuer}/authorize?{urlencode(query)}")
            _, given = sent_to((await browser.submit(page, other=user, scopes=scopes)).reply)
            form = {
                "grant_type": "authorization_code",
                "client_id": "desktop",
                "code": given["code"],
                "redirect_uri": REDIRECT,
                "code_verifier": VERIFIER,
            }
            redeemed = await http.post(f"{self.issuer}/token", data=form)
        return str(redeemed.json()["access_token"])

    async def list_tools(self, url: str, token: str, host: str) -> httpx2.Response:
        headers, body = modern("tools/list")
        sent = [*headers[1:], ("host", host), ("authorization", f"Bearer {token}")]
        async with httpx2.AsyncClient(trust_env=False) as http:
            return await http.post(f"{url}/mcp", headers=sent, content=body)


@contextmanager
def running(folder: Path, tokens: str = "jwt") -> Generator[Running]:
    KEY.write(folder / "key.json")
    issuing, records = Later(), Records()
    with ExitStack() as stack:
        issuer = f"http://127.0.0.1:{stack.enter_context(serve(issuing))}"
        issuing.app = create_app(
            issuer=issuer,
            key_file=folder / "key.json",
            client_id=CLIENT_ID,
            client_secret=SECRET,
            resources={
                RESOURCE: {"scopes": ["docs:read", "docs:full"], "tokens": tokens},
                BEHIND: ["docs:read"],
            },
            claims={"alice": {"accounts": ["acc-1"]}, "bob": {"accounts": ["acc-2"]}},
            clients=[
                {"client_id": "desktop", "redirect_uris": [REDIRECT]},
                {
                    "client_id": "gate",
                    "client_secret": GATE_SECRET,
                    "may_exchange": True,
                    "exchange_from": [RESOURCE],
                },
            ],
        )
        server = stack.enter_context(served(wiki(issuer)))
        gate = stack.enter_context(serve(gateway(folder, issuer, server, tokens, records)))
        yield Running(issuer, server, f"http://127.0.0.1:{gate}", records)


@pytest.mark.parametrize("tokens", ["jwt", "opaque"])
@pytest.mark.parametrize("era", ["2026-07-28", "legacy"])
async def test_the_server_behind_the_gate_knows_the_user_and_who_acts(
    tmp_path: Path, era: Era, tokens: str
) -> None:
    with running(tmp_path, tokens) as all_three:
        callers: dict[str, Any] = {}
        for user in ("alice", "bob"):
            token = await all_three.token(user)
            async with connected(all_three.gate, era, token, HOST) as client:
                callers[user] = structured(await client.call_tool("whoami", {}))

    assert callers == {
        user: {
            "issuer": all_three.issuer,
            "subject": user,
            "client_id": "gate",
            "scopes": ["docs:read"],
            "audience": BEHIND,
            "act": {"sub": "gate"},
            "accounts": accounts,
        }
        for user, accounts in (("alice", ["acc-1"]), ("bob", ["acc-2"]))
    }
    assert {each["principal"]["subject"] for each in all_three.records.all} == {"alice", "bob"}
    assert {each["principal"]["client_id"] for each in all_three.records.all} == {"desktop"}


@pytest.mark.promise("token-for-this-server")
async def test_neither_the_users_token_nor_no_token_is_good_at_the_server_itself(tmp_path: Path) -> None:
    with running(tmp_path) as all_three:
        token = await all_three.token("alice")
        host = all_three.server.removeprefix("http://")
        at_gate = await all_three.list_tools(all_three.gate, token, HOST)
        at_server = await all_three.list_tools(all_three.server, token, host)
        without = await all_three.list_tools(all_three.server, "x", host)

    assert [at_gate.status_code, at_server.status_code, without.status_code] == [200, 401, 401]


async def test_a_user_whose_token_has_no_scope_of_the_server_is_refused_by_the_gate(tmp_path: Path) -> None:
    with running(tmp_path) as all_three:
        token = await all_three.token("alice", scopes=["docs:full"])
        refused = await all_three.list_tools(all_three.gate, token, HOST)
        accepted = await all_three.list_tools(all_three.gate, await all_three.token("bob"), HOST)

    assert (refused.status_code, accepted.status_code) == (403, 200)
    assert [each["reason"] for each in all_three.records.all] == ["credential-refused", None]
