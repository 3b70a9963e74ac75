"""What each path of the desk does. Nothing is changed but by a form that was posted from a page of ours."""

from typing import Annotated

from fastapi import Form, Query, Request
from sqlalchemy import Engine, select
from starlette.responses import RedirectResponse, Response

from tunnelgate import Principal
from tunnelgate_servers.hosting import Health, RequestError, UnavailableError, reading
from tunnelgate_servers.tickets_draft.desk.errors import (
    PageError,
    changed_draft,
    no_such_draft,
    not_signed_in,
    unreadable,
)
from tunnelgate_servers.tickets_draft.desk.forms import CODE_LENGTH, Forms
from tunnelgate_servers.tickets_draft.desk.login import Answer, Login
from tunnelgate_servers.tickets_draft.desk.pages import Pages
from tunnelgate_servers.tickets_draft.desk.sessions import Sessions, SignedIn
from tunnelgate_servers.tickets_draft.desk.submitted import ticket_made_of
from tunnelgate_servers.tickets_draft.drafts import Drafts
from tunnelgate_servers.tickets_draft.identifiers import is_draft_id
from tunnelgate_servers.tickets_draft.models import DraftRow

_MAX_ID = 100
_MAX_CODE = 4096
_MAX_ANSWER = 500
_MAX_VERSION = 2**31 - 1
_SEE_OTHER = 303

DraftId = Annotated[str, Query(alias="id", max_length=_MAX_ID, description="The id of a draft, DRF-…")]
AnswerCode = Annotated[str, Query(max_length=_MAX_CODE)]
AnswerText = Annotated[str, Query(max_length=_MAX_ANSWER)]
FormCode = Annotated[str, Form(min_length=CODE_LENGTH, max_length=CODE_LENGTH, pattern="^[0-9a-f]+$")]
FormDraftId = Annotated[str, Form(alias="id", min_length=1, max_length=_MAX_ID)]
FormVersion = Annotated[int, Form(ge=1, le=_MAX_VERSION)]


class StyleResponse(Response):
    """A style sheet."""

    media_type = "text/css"


class Desk:
    """The paths. `issuer` and `client_id` are what drafts and the audit know of who is signed in."""

    def __init__(
        self,
        engine: Engine,
        drafts: Drafts,
        *,
        issuer: str,
        client_id: str,
        login: Login,
        sessions: Sessions,
        forms: Forms,
        pages: Pages,
    ) -> None:
        self._engine = engine
        self._drafts = drafts
        self._issuer = issuer
        self._client_id = client_id
        self._login = login
        self._sessions = sessions
        self._forms = forms
        self._pages = pages

    def home(self, request: Request) -> Response:
        """Show the drafts of who is signed in."""
        signed_in = self._sessions.signed_in(request)
        if signed_in is None:
            return self._pages.welcome()
        drafts = self._drafts.of(self._principal(signed_in))
        return self._pages.drafts(signed_in.subject, drafts, logout_code=self._logout_code(signed_in))

    def draft(self, request: Request, draft_id: DraftId = "") -> Response:
        """Show a draft of who is signed in, or which ticket it has become."""
        signed_in = self._signed_in(request, draft_id)
        if not is_draft_id(draft_id):
            raise no_such_draft()
        principal, logout_code = self._principal(signed_in), self._logout_code(signed_in)
        try:
            draft = self._drafts.read(principal, draft_id)
        except RequestError:
            ticket = ticket_made_of(self._engine, principal, draft_id)
            if ticket is None:
                raise no_such_draft() from None
            return self._pages.submitted(signed_in.subject, draft_id, ticket, logout_code=logout_code)
        code = self._forms.code(signed_in.session, "submit", draft.id, draft.version)
        return self._pages.draft(signed_in.subject, draft, code=code, logout_code=logout_code)

    def submit(
        self, request: Request, draft_id: FormDraftId, version: FormVersion, code: FormCode
    ) -> Response:
        """Make the version of a draft that was shown a ticket."""
        self._forms.check_sender(request)
        signed_in = self._signed_in(request, draft_id)
        self._forms.check(code, signed_in.session, "submit", draft_id, version)
        principal = self._principal(signed_in)
        try:
            self._drafts.submit(principal, draft_id, version)
        except RequestError:
            # A form that is sent twice leads to the ticket that the first one has made.
            if ticket_made_of(self._engine, principal, draft_id) is None:
                raise self._why_not(principal, draft_id) from None
        return _see_other(f"/draft?id={draft_id}")

    async def login(self, request: Request, draft_id: DraftId = "") -> Response:
        """Send a person to the issuer."""
        return _see_other(await self._login.begin(request, draft_id if is_draft_id(draft_id) else ""))

    async def callback(
        self,
        request: Request,
        code: AnswerCode = "",
        state: AnswerText = "",
        iss: AnswerText = "",
        error: AnswerText = "",
    ) -> Response:
        """Sign in a person who comes back from the issuer."""
        if len(request.query_params.multi_items()) > len(request.query_params):
            raise unreadable(400)
        draft_id = await self._login.finish(request, Answer(code, state, iss, error))
        return _see_other(f"/draft?id={draft_id}" if draft_id else "/")

    async def logout(self, request: Request, code: FormCode) -> Response:
        """Sign out who is signed in."""
        self._forms.check_sender(request)
        signed_in = self._sessions.signed_in(request)
        if signed_in is not None:
            self._forms.check(code, signed_in.session, "logout")
            self._sessions.end(request)
        return _see_other("/")

    def style(self) -> Response:
        """Return the style of the pages."""
        return StyleResponse(self._pages.style)

    def healthz(self, response: Response) -> Health:
        """Say whether drafts can be read."""
        try:
            with reading(self._engine) as connection:
                connection.execute(select(DraftRow.id).limit(1)).first()
        except UnavailableError:
            response.status_code = 503
            return Health(status="unavailable")
        return Health(status="ok")

    def _signed_in(self, request: Request, draft_id: str) -> SignedIn:
        signed_in = self._sessions.signed_in(request)
        if signed_in is None:
            raise not_signed_in(f"/login?id={draft_id}" if is_draft_id(draft_id) else "/login")
        return signed_in

    def _principal(self, signed_in: SignedIn) -> Principal:
        return Principal(self._issuer, signed_in.subject, self._client_id, frozenset(), {})

    def _logout_code(self, signed_in: SignedIn) -> str:
        return self._forms.code(signed_in.session, "logout")

    def _why_not(self, principal: Principal, draft_id: str) -> PageError:
        try:
            self._drafts.read(principal, draft_id)
        except RequestError:
            return no_such_draft()
        return changed_draft(draft_id)


def _see_other(url: str) -> Response:
    return RedirectResponse(url, _SEE_OTHER)
