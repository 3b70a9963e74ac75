"""A user who signs in at the provider by its own pages, as a browser would."""

import secrets
from base64 import urlsafe_b64encode
from hashlib import sha256
from html.parser import HTMLParser
from typing import Any
from urllib.parse import parse_qsl, urljoin, urlsplit

import httpx2

from tests.issuers.provider import CALLBACK, PERSON, Provider

_MOST_PAGES = 12


class _Form(HTMLParser):
    """The one form of a page: where it goes, and what stands in its fields."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.action = ""
        self.fields: dict[str, str] = {}
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        if tag == "form":
            self.action = attributes["action"] or ""
        if tag == "input":
            self.fields[attributes["name"] or ""] = attributes.get("value") or ""


async def sign_in(issuer: Provider, resource: str, *, user: str) -> str:
    """Return a token for ``resource`` that ``user`` has granted."""
    granted = await grant(issuer, resource, user=user, scope="docs:read")
    token: str = granted["access_token"]
    return token


async def grant(issuer: Provider, resource: str, *, user: str, scope: str) -> dict[str, Any]:
    """Return all that ``user`` grants to a client by an authorization code with PKCE."""
    verifier = secrets.token_urlsafe(48)
    state = secrets.token_urlsafe(8)
    challenge = urlsafe_b64encode(sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    request = {
        "response_type": "code",
        "client_id": PERSON.name,
        "redirect_uri": CALLBACK,
        "scope": scope,
        "resource": resource,
        "state": state,
        "prompt": "consent",
        "code_challenge": challenge,
        "code_challenge_method": "S256",
    }
    answered = await authorize(f"{issuer.url}/auth?{httpx2.QueryParams(request)}", user)
    assert (answered["state"], answered["iss"]) == (state, issuer.url), answered
    async with httpx2.AsyncClient(trust_env=False, timeout=20) as http:
        form = {
            "grant_type": "authorization_code",
            "client_id": PERSON.name,
            "redirect_uri": CALLBACK,
            "resource": resource,
            "code": answered["code"],
            "code_verifier": verifier,
        }
        answer = await http.post(f"{issuer.url}/token", data=form)
    assert answer.status_code == 200, answer.text
    granted: dict[str, Any] = answer.json()
    return granted


async def authorize(url: str, user: str) -> dict[str, str]:
    """Fill in each page from ``url`` on as ``user`` would, and return what the client gets in the end."""
    async with httpx2.AsyncClient(trust_env=False, timeout=20) as http:
        answer = await http.get(url)
        for _ in range(_MOST_PAGES):
            location = answer.headers.get("location")
            if location is None:
                assert answer.status_code == 200, answer.text
                answer = await _submit(http, answer, user)
            elif location.startswith(CALLBACK):
                return dict(parse_qsl(urlsplit(location).query))
            else:
                answer = await http.get(urljoin(str(answer.url), location))
    raise AssertionError("the pages lead nowhere")


async def _submit(http: httpx2.AsyncClient, page: httpx2.Response, user: str) -> httpx2.Response:
    form = _Form(page.text)
    filled: dict[str, Any] = {**form.fields}
    if "login" in filled:
        filled |= {"login": user, "password": "not looked at"}
    return await http.post(urljoin(str(page.url), form.action), data=filled)
