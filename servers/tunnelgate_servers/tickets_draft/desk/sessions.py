"""Who is signed in: a signed cookie of one browser, for half an hour, that no script can read.

The cookie holds the subject of the person and no token. One that is set over TLS has the prefix `__Host-`,
so that no other application below the same domain can plant one.

Specification: RFC 6265bis sections 4.1.3 and 5.5
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NewType

from itsdangerous import TimestampSigner
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request

from tunnelgate.asgi import ASGIApp
from tunnelgate.remembering import Remembered

LIFETIME: Final = 30 * 60
"""For how many seconds somebody is signed in."""

_ENDED_SESSIONS = 10_000
_ID_OCTETS = 16

SessionId = NewType("SessionId", str)


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A person who is signed in, and the session in which they are."""

    subject: str
    session: SessionId


class SessionCookie(SessionMiddleware):
    """Starlette's sessions, by a clock that is given. `key` signs them."""

    def __init__(self, app: ASGIApp, *, key: str, is_secure: bool, clock: Callable[[], datetime]) -> None:
        super().__init__(
            app,
            secret_key=key,
            session_cookie="__Host-desk" if is_secure else "desk",
            max_age=LIFETIME,
            same_site="lax",  # and not strict, or the answer of the issuer would come without it
            https_only=is_secure,
        )
        self.signer = _Signer(key, clock)


class _Signer(TimestampSigner):
    def __init__(self, key: str, clock: Callable[[], datetime]) -> None:
        super().__init__(key)
        self._clock = clock

    def get_timestamp(self) -> int:
        return int(self._clock().timestamp())


class Sessions:
    """Begins and ends sessions, and knows whose one is.

    A cookie that was copied would outlive the session, so those that have ended are remembered here.
    """

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._ended = Remembered[bool](_ENDED_SESSIONS)

    def begin(self, request: Request, subject: str) -> None:
        """Sign somebody in, in a session that nobody has known before."""
        self.end(request)
        request.session["id"] = secrets.token_urlsafe(_ID_OCTETS)
        request.session["subject"] = subject
        request.session["until"] = self._now() + LIFETIME

    def end(self, request: Request) -> None:
        """Sign out whoever is signed in, and forget what else the session holds."""
        found: Any = request.session.get("id")
        if found is not None:
            self._ended.put(found.encode(), value=True, until=self._now() + LIFETIME)
        request.session.clear()

    def signed_in(self, request: Request) -> SignedIn | None:
        """Return who is signed in, if anybody is."""
        session = request.session
        if "id" not in session or self._now() >= session["until"]:
            return None
        if self._ended.get(session["id"].encode(), self._now()):
            return None
        return SignedIn(session["subject"], SessionId(session["id"]))

    def _now(self) -> float:
        return self._clock().timestamp()
