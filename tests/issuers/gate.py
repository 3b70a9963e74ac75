"""The gateway in front of an MCP server, on a port that is known before its policy is made."""

import socket
import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import httpx2

from tests.issuers.application import create_app
from tests.support.audit import Records
from tests.support.fetching import loopback_fetch as fetch
from tests.support.mcp import legacy
from tunnelgate import Issuer, Policy, RemoteKeys, protect
from tunnelgate.asgi import ASGIApp
from tunnelgate.discovery import Discovery
from tunnelgate_app.gateway import create_gateway
from tunnelgate_app.server import Server

DOCS = "127.0.0.1"  # where a client without a name service gets to
TICKETS = "tickets.example.com"
TOOLS = ("whoami", "ask_upstream")
SCOPE = "docs:read"
_LIMIT = 20  # seconds


@dataclass
class Gate:
    """A gate that runs, and how it is called."""

    port: int
    records: Records = field(default_factory=Records)

    def resource(self, route: str = DOCS) -> str:
        """Return the URL of a route's MCP endpoint, which is what tokens are made for."""
        return f"http://{route}:{self.port}/mcp"

    def metadata(self, route: str = DOCS) -> str:
        """Return the URL of the protected resource metadata that challenges name."""
        return f"http://{route}:{self.port}/.well-known/oauth-protected-resource/mcp"

    async def call(
        self,
        token: str,
        *,
        route: str = DOCS,
        scheme: str = "Bearer",
        proof: str | None = None,
        tool: str = "whoami",
        http: httpx2.AsyncClient | None = None,
    ) -> httpx2.Response:
        """Call a tool with these credentials, and return the answer."""
        headers, body = legacy("tools/call", {"name": tool, "arguments": {}})
        sent = [
            ("host", f"{route}:{self.port}"),
            ("authorization", f"{scheme} {token}"),
            *(pair for pair in headers if pair[0] != "host"),
        ]
        if proof is not None:
            sent.append(("dpop", proof))
        url = f"http://127.0.0.1:{self.port}/mcp"
        if http is not None:
            return await http.post(url, content=body, headers=sent)
        async with httpx2.AsyncClient(trust_env=False, timeout=_LIMIT) as client:
            return await client.post(url, content=body, headers=sent)

    async def whoami(self, token: str, **how: Any) -> dict[str, Any]:
        """Call with a token that is let through, and return for whom it was."""
        return result_of(await self.call(token, **how))

    @property
    def reasons(self) -> list[str | None]:
        """Why requests were refused, or ``None`` for one that was not, in their order."""
        return [reason for _, reason in self.records.verdicts]


def result_of(answer: httpx2.Response) -> dict[str, Any]:
    """Return the structured content of a call that succeeded."""
    assert answer.status_code == 200, (answer.status_code, answer.headers, answer.text)
    content: dict[str, Any] = answer.json()["result"]["structuredContent"]
    return content


@contextmanager
def gate(
    issuers: Sequence[Mapping[str, Any]],
    routes: Mapping[str, Mapping[str, Any]] | None = None,
    *,
    ticks: Callable[[], float] | None = None,
    **more: Any,
) -> Generator[Gate]:
    """Serve a gateway for these issuers and routes; without ``routes`` there is one, :data:`DOCS`.

    With ``ticks``, which returns seconds that only ever grow, keys are as old as these say.
    """
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        running = Gate(listener.getsockname()[1])
        policy = Policy.from_mapping(
            {
                "public_scheme": "http",
                "public_port": running.port,
                "clients": {"allowed_ips": ["127.0.0.1"]},
                "oauth": {"issuers": issuers, "allowed_ips": ["127.0.0.0/8"]},
                "routes": {name: route_of(route) for name, route in (routes or {DOCS: {}}).items()},
                **more,
            }
        )
        app = (
            create_gateway(policy, audit=running.records)
            if ticks is None
            else protect(create_app(), policy, audit=running.records, keys_of=partial(_keys, ticks))
        )
        with _serving(app, listener):
            yield running


def _keys(ticks: Callable[[], float], issuer: Issuer) -> RemoteKeys:
    """Return the keys that the gateway would find, with a clock that a test moves."""
    location = issuer.jwks_uri or Discovery(issuer.issuer, fetch, clock=ticks)
    return RemoteKeys(location, fetch, clock=ticks)


def route_of(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return a route to the application that says who asks."""
    mount = "tests.issuers.application:create_app"
    return {"mount": mount, "tools": TOOLS, "scopes": [SCOPE], **settings}


@contextmanager
def _serving(app: ASGIApp, listener: socket.socket) -> Generator[None]:
    server = Server(app, shutdown_timeout=5)
    # Whoever connects before the server accepts waits in the listener's backlog.
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(_LIMIT)
        assert not thread.is_alive(), "the server did not stop"


def challenge_of(answer: httpx2.Response) -> tuple[str, dict[str, str]]:
    """Return the scheme and the parameters of an answer's one challenge."""
    (challenge,) = answer.headers.get_list("www-authenticate")
    scheme, _, parameters = challenge.partition(" ")
    pairs = (each.split("=", 1) for each in parameters.split(", ") if each)
    return scheme, {name: value.strip('"') for name, value in pairs}
