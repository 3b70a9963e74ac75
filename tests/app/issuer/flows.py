"""An issuer as its clients and users deal with it, from the first registration to the last token."""

import json
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from tests.app.issuer.browsing import Browser, Page, Send, post, sender, sent_to
from tests.support.asgi import Reply
from tests.support.tokens import Clock
from tunnelgate.asgi import ASGIApp
from tunnelgate.fetching import Fetched
from tunnelgate_app.issuer import SigningKey, create_app

ISSUER = "http://login.tunnel.localhost:8080"
DOCS = "http://docs.tunnel.localhost:8080/mcp"
TICKETS = "http://tickets.tunnel.localhost:8080/mcp"
RESOURCES = {
    DOCS: ["docs:read", "docs:full"],
    TICKETS: {"scopes": ["tickets:read"], "tokens": "opaque"},
}
REDIRECT = "http://127.0.0.1:4567/callback"
VERIFIER = "v" * 43
CHALLENGE = urlsafe_b64encode(sha256(VERIFIER.encode()).digest()).decode().rstrip("=")
CLIENT_ID = "demo"
SECRET = "s3cret"
KEY = SigningKey.generate()


def basic(user: str, password: str) -> list[tuple[str, str]]:
    return [("authorization", f"Basic {b64encode(f'{user}:{password}'.encode()).decode()}")]


OURS = basic(CLIENT_ID, SECRET)


@dataclass
class Documents:
    """Where the documents of clients are: what is answered at each URL, and what was asked for."""

    answers: dict[str, Fetched | OSError] = field(default_factory=dict[str, Fetched | OSError])
    asked: list[str] = field(default_factory=list[str])

    async def __call__(
        self, url: str, *, form: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None
    ) -> Fetched:
        self.asked.append(url)
        answer = self.answers.get(url, OSError("nobody answers"))
        if isinstance(answer, OSError):
            raise answer
        return answer

    def put(
        self, url: str, document: object, media_type: str = "application/json", status: int = 200
    ) -> None:
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        self.answers[url] = Fetched(status, media_type, body)


class Issuer:
    """An issuer in this process, with its clock and the documents that it can fetch."""

    def __init__(self, folder: Path, **options: Any) -> None:
        key_file = folder / "key.json"
        KEY.write(key_file)
        self.clock = Clock()
        self.documents = Documents()
        usual: dict[str, Any] = {
            "issuer": ISSUER,
            "key_file": key_file,
            "client_id": CLIENT_ID,
            "client_secret": SECRET,
            "resources": RESOURCES,
            "fetch": self.documents,
            "clock": self.clock,
        }
        self.app: ASGIApp = create_app(**{**usual, **options})
        self.send: Send = sender(self.app)

    async def post(
        self, path: str, form: Mapping[str, str], headers: list[tuple[str, str]] | None = None
    ) -> Reply:
        return await post(self.send, ISSUER + path, form, headers or [])

    async def register(self, **metadata: Any) -> Reply:
        body = {
            "redirect_uris": [REDIRECT],
            "client_name": "Inspector",
            "token_endpoint_auth_method": "none",
            "grant_types": ["authorization_code", "refresh_token"],
            **metadata,
        }
        sent = {name: value for name, value in body.items() if value is not ...}
        headers = [("content-type", "application/json")]
        return await self.send("POST", f"{ISSUER}/register", headers, json.dumps(sent).encode())

    async def registered(self, **metadata: Any) -> dict[str, Any]:
        reply = await self.register(**metadata)
        assert reply.status == 201, reply
        client: dict[str, Any] = reply.json()
        return client

    async def ask(self, client_id: str, **parameters: str | None) -> Page:
        """Send a browser with what a client asks for; a parameter that is ``None`` is left out."""
        return await Browser(self.send).open(authorization_url(client_id, **parameters))

    async def code(self, client_id: str, *, scopes: list[str] | None = None, **parameters: str | None) -> str:
        """Return the code that a client gets once its user approves."""
        browser = Browser(self.send)
        page = await browser.open(authorization_url(client_id, **parameters))
        assert page.reply.status == 200, page.text
        return sent_to((await browser.submit(page, scopes=scopes)).reply)[1]["code"]

    async def redeem(self, client_id: str, code: str, **fields: str | None) -> Reply:
        """Redeem a code as a public client; a field that is ``None`` is left out."""
        form = {
            "grant_type": "authorization_code",
            "client_id": client_id,
            "code": code,
            "redirect_uri": REDIRECT,
            "code_verifier": VERIFIER,
            "resource": DOCS,
            **fields,
        }
        return await self.post("/token", {name: value for name, value in form.items() if value is not None})

    async def refresh(self, client_id: str, token: str, **fields: str) -> Reply:
        form = {"grant_type": "refresh_token", "client_id": client_id, "refresh_token": token, **fields}
        return await self.post("/token", form)

    async def tokens(self, client_id: str, resource: str = DOCS, **parameters: str | None) -> dict[str, Any]:
        """Return what a client gets when its user approves everything."""
        code = await self.code(client_id, scopes=None, resource=resource, **parameters)
        reply = await self.redeem(client_id, code, resource=resource)
        assert reply.status == 200, reply
        tokens: dict[str, Any] = reply.json()
        return tokens

    async def introspect(self, token: str) -> dict[str, Any]:
        reply = await self.post("/introspect", {"token": token}, OURS)
        assert reply.status == 200, reply
        answer: dict[str, Any] = reply.json()
        return answer

    async def is_active(self, token: str) -> bool:
        answer = await self.introspect(token)
        assert answer["active"] is True or answer == {"active": False}
        return answer["active"] is True


def authorization_url(client_id: str, **parameters: str | None) -> str:
    query = {
        "response_type": "code",
        "client_id": client_id,
        "redirect_uri": REDIRECT,
        "state": "the state",
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
        "resource": DOCS,
        **parameters,
    }
    return f"{ISSUER}/authorize?" + urlencode(
        {key: value for key, value in query.items() if value is not None}
    )
