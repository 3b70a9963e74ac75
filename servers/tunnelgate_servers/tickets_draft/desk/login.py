"""Signing in: a person goes to the issuer, and comes back to the browser that they left from.

What was sent along is in the session of the browser until the answer comes, once and for ten minutes. An
answer that somebody else has got at the issuer fits no other browser, so nobody is signed in as them.

Specification: RFC 6749 section 10.12, RFC 9207, RFC 9700 sections 2.1 and 4.7
"""

import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from starlette.requests import Request

from tunnelgate_servers.tickets_draft.desk.errors import PageError, no_sign_in
from tunnelgate_servers.tickets_draft.desk.issuer import SignInIssuer
from tunnelgate_servers.tickets_draft.desk.sessions import Sessions

PENDING: Final = 10 * 60
"""For how many seconds an answer of the issuer is waited for."""

_OCTETS = 32


@dataclass(frozen=True, slots=True)
class Answer:
    """What the issuer sends a person back with; a text that it does not say is empty."""

    code: str
    state: str
    iss: str
    error: str


class Login:
    """Sends people to `issuer`, and signs them in when they come back."""

    def __init__(self, issuer: SignInIssuer, sessions: Sessions, clock: Callable[[], datetime]) -> None:
        self._issuer = issuer
        self._sessions = sessions
        self._clock = clock

    async def begin(self, request: Request, draft_id: str) -> str:
        """Return where to send a person, who wants to see a draft, or none where there is no id.

        Raises `UnavailableError`.
        """
        state, verifier = secrets.token_urlsafe(_OCTETS), secrets.token_urlsafe(_OCTETS)
        url = await self._issuer.sign_in_url(state, verifier)
        request.session["login"] = {
            "state": state,
            "verifier": verifier,
            "draft": draft_id,
            "until": self._now() + PENDING,
        }
        return url

    async def finish(self, request: Request, answer: Answer) -> str:
        """Sign in who comes back, and return the id of the draft that they wanted to see, or none.

        Raises `PageError` and `UnavailableError`.
        """
        login: Any = request.session.get("login")
        if login is None or not hmac.compare_digest(answer.state.encode(), login["state"].encode()):
            raise no_sign_in(
                "This browser has not asked for this sign-in, or has asked for another one since.",
                "If somebody sent you here, do not go on: you might act in their name.",
            )
        del request.session["login"]  # whatever comes of it: an answer is good for one try
        if self._now() >= login["until"]:
            raise no_sign_in("The sign-in took more than ten minutes.")
        if answer.iss != self._issuer.issuer:
            raise no_sign_in("The answer does not come from the issuer of this page.")
        if answer.error or not answer.code:
            raise _refused(answer.error)
        person = await self._issuer.person(answer.code, login["verifier"])
        self._sessions.begin(request, person.subject)
        draft: str = login["draft"]
        return draft

    def _now(self) -> float:
        return self._clock().timestamp()


def _refused(error: str) -> PageError:
    if error == "access_denied":
        return no_sign_in("You did not allow this page to know who you are.")
    return no_sign_in("The issuer has not signed you in.")
