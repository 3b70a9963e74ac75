"""What keeps a form from being sent by anybody but who sees it, and for anything but what they saw.

Each form holds a code for one session and one purpose; that of a draft is for one version of it. Besides, a
browser says from which site a form comes.

Specification: RFC 6454 section 7, Fetch Metadata Request Headers section 2.2
"""

import hmac
import json
from typing import Final

from starlette.requests import Request

from tunnelgate_servers.tickets_draft.desk.errors import forged_form
from tunnelgate_servers.tickets_draft.desk.sessions import SessionId

CODE_LENGTH: Final = 64
"""The length of the code in a form, in characters."""


class Forms:
    """Makes the codes that forms hold, and checks them and where forms come from.

    `key` is for codes alone; `origin` is the site of the pages with the forms, as browsers write it.
    """

    def __init__(self, key: bytes, origin: str) -> None:
        self._key = key
        self._origin = origin

    def code(self, session: SessionId, *purpose: str | int) -> str:
        """Return the code of a form with this purpose in this session."""
        content = json.dumps([session, *purpose]).encode()
        return hmac.new(self._key, content, "sha256").hexdigest()

    def check(self, code: str, session: SessionId, *purpose: str | int) -> None:
        """Raise `PageError` unless it is the code of this form."""
        if not hmac.compare_digest(code.encode(), self.code(session, *purpose).encode()):
            raise forged_form()

    def check_sender(self, request: Request) -> None:
        """Raise `PageError` unless a page of ours sent the request."""
        origins = request.headers.getlist("origin")
        sites = request.headers.getlist("sec-fetch-site")
        if origins != [self._origin] or sites not in ([], ["same-origin"]):
            raise forged_form()
