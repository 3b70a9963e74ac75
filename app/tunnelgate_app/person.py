"""Plays a person at the development issuer's login page: opens it, signs in, and grants what was asked for.

Specification: RFC 6749 section 4.1, RFC 7636 section 4, RFC 9207 section 2.
"""

import secrets
from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from hashlib import sha256
from html.parser import HTMLParser
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx2

from tunnelgate_app.demo import ISSUER_ROUTE, TERMINAL, TERMINAL_REDIRECT, DemoError, DemoState, url_of
from tunnelgate_app.issuer.app import AUTHORIZE_PATH
from tunnelgate_app.issuer.grants import CHALLENGE_METHOD

_OK = 200
_SEE_OTHER = 303
_SECRET_OCTETS = 32


class Person:
    """Signs in as ``name`` at the issuer of a demo, over ``http``, which keeps the issuer's cookie."""

    def __init__(self, http: httpx2.Client, state: DemoState, name: str) -> None:
        self._http = http
        self._name = name
        self._issuer = url_of(ISSUER_ROUTE, state.port)
        self._headers = {"host": urlsplit(self._issuer).netloc, "origin": self._issuer}

    def log_in(self, resource: str, scopes: Sequence[str] = ()) -> Mapping[str, str]:
        """Return the form that gets a token for ``resource``, with all of its scopes or those named.

        Raises :class:`~tunnelgate_app.demo.DemoError` with what the issuer says against it.
        """
        state, verifier = (secrets.token_urlsafe(_SECRET_OCTETS) for _ in range(2))
        challenge = urlsafe_b64encode(sha256(verifier.encode()).digest()).decode().rstrip("=")
        asked = {
            "response_type": "code",
            "client_id": TERMINAL,
            "redirect_uri": TERMINAL_REDIRECT,
            "resource": resource,
            "state": state,
            "code_challenge": challenge,
            "code_challenge_method": CHALLENGE_METHOD,
            **({"scope": " ".join(scopes)} if scopes else {}),
        }
        answer = self._answer(self._http.get(f"{AUTHORIZE_PATH}?{urlencode(asked)}", headers=self._headers))
        if answer.get("state") != state or answer.get("iss") != self._issuer:
            raise DemoError("what answers is no development issuer; start the demo first")
        if "code" not in answer:
            raise DemoError(f"the development issuer refused: {answer.get('error', 'it gave no code')}")
        return {
            "grant_type": "authorization_code",
            "client_id": TERMINAL,
            "redirect_uri": TERMINAL_REDIRECT,
            "resource": resource,
            "code": answer["code"],
            "code_verifier": verifier,
        }

    def _answer(self, page: httpx2.Response) -> Mapping[str, str]:
        """Approve what the page asks, if there is one, and return what the client is told."""
        if page.status_code == _OK:
            form = [("other", self._name), ("decision", "approve"), *_Page(page.text).asked]
            headers = {**self._headers, "content-type": "application/x-www-form-urlencoded"}
            page = self._http.post(AUTHORIZE_PATH, content=urlencode(form), headers=headers)
        if page.status_code != _SEE_OTHER:
            said = _Page(page.text).fault or f"it answered {page.status_code}"
            raise DemoError(f"the development issuer does not let {self._name!r} in: {said}")
        return dict(parse_qsl(urlsplit(page.headers.get("location", "")).query))


class _Page(HTMLParser):
    """What a page of the issuer asks for, and what it says is wrong."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.asked: list[tuple[str, str]] = []
        self.fault = ""
        self._is_fault = False
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep the request that the form carries, and the scopes that it offers."""
        attributes = {name: value or "" for name, value in attrs}
        name = attributes.get("name")
        if tag == "input" and name in ("request", "scope"):
            self.asked.append((name, attributes.get("value", "")))
        self._is_fault = attributes.get("role") == "alert"

    def handle_endtag(self, tag: str) -> None:
        """Stop reading what is wrong where it ends."""
        self._is_fault = False

    def handle_data(self, data: str) -> None:
        """Keep what is wrong."""
        if self._is_fault:
            self.fault += data
