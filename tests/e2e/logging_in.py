"""The official client, the user in front of it, and the demo behind a gate, all on this machine."""

import ssl
from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx2
import yaml
from mcp import Client
from mcp.client.auth import OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import (
    AuthorizationCodeResult,
    OAuthClientInformationFull,
    OAuthClientMetadata,
    OAuthToken,
)
from pydantic import AnyUrl

from tests.app.issuer.browsing import Browser, sent_to
from tests.support.asgi import Reply
from tests.support.audit import Records
from tests.support.demos import prepare_docs_alone
from tests.support.servers import serve
from tunnelgate import Policy
from tunnelgate.asgi import ASGIApp
from tunnelgate.fetching import Fetched
from tunnelgate_app.demo import ISSUER_ROUTE, ROUTES, url_of
from tunnelgate_app.gateway import create_gateway
from tunnelgate_app.issuer import create_app

PORT = 8080  # in names alone; where the gate listens is decided when it starts
MCP_URL = ROUTES["docs"].resource(PORT)
ISSUER = url_of(ISSUER_ROUTE, PORT)
REDIRECT = "http://127.0.0.1:4567/callback"
READ, FULL = "docs:read", "docs:full"
DOCUMENT_HOST = "client.example.com"
METADATA_URL = f"https://{DOCUMENT_HOST}/client.json"
METADATA = OAuthClientMetadata(
    client_name="Official client",
    redirect_uris=[AnyUrl(REDIRECT)],
    grant_types=["authorization_code", "refresh_token"],
    token_endpoint_auth_method="none",
)


@dataclass(frozen=True)
class Step:
    """One request and what was answered. ``sent`` is the query, or the form that was posted."""

    who: str
    method: str
    url: str
    status: int
    sent: Mapping[str, str]
    authorization: str | None
    challenge: str | None

    @property
    def what(self) -> tuple[str, str, str, int]:
        """Who asked what, without the query, and the status of the answer."""
        return self.who, self.method, self.url.partition("?")[0], self.status


class ToThisMachine(httpx2.AsyncBaseTransport):
    """Connects every name below localhost to this machine (RFC 6761), and keeps what was asked."""

    def __init__(self, port: int, who: str, steps: list[Step]) -> None:
        self._inner = httpx2.AsyncHTTPTransport()
        self._port = port
        self._who = who
        self._steps = steps

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        assert request.url.host.endswith(".localhost"), request.url
        body = await request.aread()
        response = await self._inner.handle_async_request(
            httpx2.Request(
                request.method,
                request.url.copy_with(host="127.0.0.1", port=self._port),
                headers=request.headers,
                content=body,
                extensions=request.extensions,
            )
        )
        is_form = request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded")
        sent = body.decode() if is_form else request.url.query.decode()
        self._steps.append(
            Step(
                self._who,
                request.method,
                str(request.url),
                response.status_code,
                _fields(sent),
                request.headers.get("authorization"),
                response.headers.get("www-authenticate"),
            )
        )
        return response

    async def aclose(self) -> None:
        await self._inner.aclose()


def _fields(encoded: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    for name, value in parse_qsl(encoded):
        fields[name] = f"{fields[name]} {value}" if name in fields else value
    return fields


@dataclass
class Storage:
    """Where a client keeps what it got, from one run to the next."""

    tokens: OAuthToken | None = None
    client: OAuthClientInformationFull | None = None

    async def get_tokens(self) -> OAuthToken | None:
        return self.tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self.tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return self.client

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        self.client = client_info


@dataclass
class User:
    """Sits at a browser, signs in as ``name`` and approves all but the scopes in ``unticked``."""

    browser: Browser
    name: str = "alice"
    unticked: Sequence[str] = ()
    answers: list[dict[str, str]] = field(default_factory=list[dict[str, str]])

    async def visit(self, url: str) -> None:
        page = await self.browser.open(url)
        assert page.reply.status == 200, page.text
        scopes = [scope for scope in page.ticked("scope") if scope not in self.unticked]
        answer = await self.browser.submit(page, user=self.name, scopes=scopes)
        uri, query = sent_to(answer.reply)
        assert uri == REDIRECT
        self.answers.append(query)

    async def come_back(self) -> AuthorizationCodeResult:
        return AuthorizationCodeResult.model_validate(self.answers[-1])


@dataclass(frozen=True)
class Tunnel:
    """A demo that runs, every step that anybody took to it, and every record of its gate."""

    port: int
    records: Records
    steps: list[Step] = field(default_factory=list[Step])

    def http(self, who: str, auth: httpx2.Auth | None = None) -> httpx2.AsyncClient:
        transport = ToThisMachine(self.port, who, self.steps)
        return httpx2.AsyncClient(transport=transport, auth=auth, trust_env=False, timeout=20)

    @asynccontextmanager
    async def client(
        self,
        storage: Storage,
        *,
        url: str = MCP_URL,
        metadata_url: str | None = None,
        user: str = "alice",
        unticked: Sequence[str] = (),
    ) -> AsyncGenerator[Client]:
        """Give the official client, which is told the URL of the MCP server and nothing else."""
        async with self.http("user") as browsing:

            async def send(method: str, url: str, headers: list[tuple[str, str]], body: bytes = b"") -> Reply:
                answer = await browsing.request(method, url, headers=headers, content=body)
                pairs = [(name.lower(), value) for name, value in answer.headers.multi_items()]
                return Reply(answer.status_code, pairs, answer.content)

            person = User(Browser(send), user, unticked)
            provider = OAuthClientProvider(
                url,
                METADATA.model_copy(),
                storage,
                redirect_handler=person.visit,
                callback_handler=person.come_back,
                client_metadata_url=metadata_url,
            )
            async with (
                self.http("client", provider) as http,
                Client(streamable_http_client(url, http_client=http)) as client,
            ):
                yield client

    def taken(self, since: int = 0) -> list[tuple[str, str, str, int]]:
        """Return the steps as who asked what, repeated calls of the MCP server as one."""
        whats: list[tuple[str, str, str, int]] = []
        for step in self.steps[since:]:
            if whats[-1:] != [step.what]:
                whats.append(step.what)
        return whats


@contextmanager
def tunnel(folder: Path, **issuer: Any) -> Generator[Tunnel]:
    """Run the demo, one of whose tools needs a further scope; ``issuer`` are options of its issuer."""
    documents = folder / "documents"
    documents.mkdir()
    (documents / "tunnels.md").write_text("# Tunnels\n\nA tunnel carries bytes.\n", "utf-8")
    configuration = yaml.safe_load(prepare_docs_alone(folder / "state", PORT, documents).read_text("utf-8"))
    docs, login = (configuration["routes"][name] for name in ("docs", ISSUER_ROUTE))
    docs["tools"] = {"search_docs": None, "list_docs": None, "read_doc": {"scopes": [FULL]}}
    login["options"]["resources"] = {MCP_URL: [READ, FULL]}
    login["mount"] = issuer.pop("mount", login["mount"])
    login["options"] |= issuer
    records = Records()
    with serve(create_gateway(Policy.from_mapping(configuration), audit=records)) as port:
        yield Tunnel(port, records)


def create_issuer(*, documents_port: int, ca_file: str, **options: Any) -> ASGIApp:
    """Return the development issuer on a machine where ``DOCUMENT_HOST`` is reached at a port of it."""
    context = ssl.create_default_context(cafile=ca_file)

    async def fetch(
        url: str, *, form: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None
    ) -> Fetched:
        assert form is None, "a document is not asked for with a form"
        host = urlsplit(url).hostname
        local = httpx2.URL(url).copy_with(host="127.0.0.1", port=documents_port)
        async with httpx2.AsyncClient(verify=context, trust_env=False) as http:
            answer = await http.get(
                local, headers={**(headers or {}), "host": str(host)}, extensions={"sni_hostname": host}
            )
        return Fetched(answer.status_code, answer.headers["content-type"], answer.content)

    return create_app(fetch=fetch, **options)


def secrets_of(steps: Sequence[Step], storage: Storage) -> list[str]:
    """Return every code, token and verifier in these steps, and those that the client has."""
    names = ("code", "code_verifier", "refresh_token", "request")
    secrets = [step.sent[name] for step in steps for name in names if name in step.sent]
    secrets += [step.authorization.partition(" ")[2] for step in steps if step.authorization]
    if storage.tokens is not None:
        secrets += [storage.tokens.access_token, storage.tokens.refresh_token or storage.tokens.access_token]
    return secrets
