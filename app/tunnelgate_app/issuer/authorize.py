"""The authorization endpoint: shows what is asked for, and does what the user decides.

Specification: RFC 6749 sections 3.1 and 4.1, RFC 9207, RFC 9700 sections 4.7, 4.11 and 4.16.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from http import HTTPStatus

from authlib.oauth2 import OAuth2Error
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from tunnelgate_app.issuer.clients import ClientRegistry
from tunnelgate_app.issuer.consent import ConsentForms
from tunnelgate_app.issuer.documents import DocumentError
from tunnelgate_app.issuer.forms import BodyTooLargeError, read_fields, read_form
from tunnelgate_app.issuer.grants import AuthorizationCode
from tunnelgate_app.issuer.messages import ClientRequest, Reply
from tunnelgate_app.issuer.page import Question, fault_page, page_headers
from tunnelgate_app.issuer.server import DevelopmentServer
from tunnelgate_app.issuer.subjects import USER
from tunnelgate_app.issuer.tokens import User

_NO_SCOPE = "Tick a scope, or deny."
_NO_REQUEST = "The request cannot be read: a parameter stands twice, or is no text."


class AuthorizationEndpoint:
    """Asks the user, and sends them back to the client with a code or with an error."""

    def __init__(
        self,
        server: DevelopmentServer,
        registry: ClientRegistry,
        forms: ConsentForms,
        users: Sequence[str],
        reserved: Collection[str],
    ) -> None:
        self._server = server
        self._registry = registry
        self._forms = forms
        self._users = tuple(users)
        self._reserved = frozenset(reserved)  # a user of this name would look like the client itself

    async def ask(self, request: Request) -> Response:
        """Answer GET: show what the client asks for."""
        try:
            fields = read_fields(request.scope["query_string"])
        except ValueError:
            return _fault(_NO_REQUEST)
        # A parameter without a value is like none (RFC 6749 section 3.1).
        fields = {name: value for name, value in fields.items() if value}
        grant = await self._grant(fields)
        if isinstance(grant, Response):
            return grant
        browser = self._forms.browser(request.cookies)
        response = self._page(grant, fields, self._forms.seal(fields, browser))
        response.headers["set-cookie"] = self._forms.set_cookie(browser)
        return response

    async def decide(self, request: Request) -> Response:
        """Answer POST: do what the user decided."""
        try:
            form = await read_form(request, repeatable=("scope",))
            sealed = form.get("request", "")
            fields = self._forms.open(sealed, request.cookies, request.headers.get("origin"))
        except BodyTooLargeError:
            return _fault("The form is too large.", HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        except ValueError as error:
            return _fault(str(error), HTTPStatus.FORBIDDEN)
        grant = await self._grant(fields)
        if isinstance(grant, Response):
            return grant
        if form.get("decision") != "approve":
            return _redirect(self._server.decide(_request(fields), None))
        user = form.get("other", "").strip() or form.get("user", "")
        asked = grant.request.scope.split()
        chosen = [scope for scope in asked if scope in form.get("scope", "").split()]
        fault = self._fault_of(user) or (_NO_SCOPE if asked and not chosen else "")
        if fault:
            return self._page(grant, fields, sealed, form=form, ticked=chosen, fault=fault)
        return _redirect(self._server.decide(_request({**fields, "scope": " ".join(chosen)}), User(user)))

    async def _grant(self, fields: Mapping[str, str]) -> AuthorizationCode | Response:
        try:
            await self._registry.prepare(fields.get("client_id", ""))
            return self._server.consent(_request(fields))
        except DocumentError as error:
            return _fault(str(error))
        except OAuth2Error as error:
            if error.redirect_uri:
                return _redirect(self._server.refuse(error))
            return _fault(f"{error.error}: {error.get_error_description()}")
        except ValueError:  # Authlib cannot put every character into the sentence of an error
            return _fault(_NO_REQUEST)

    def _fault_of(self, user: str) -> str:
        if USER.fullmatch(user) is None:
            return (
                "Choose a user, or write a name of letters, digits and . _ - + @, "
                "the first a letter or a digit."
            )
        return f"{user} is the name of a client. Choose another one." if user in self._reserved else ""

    def _page(
        self,
        grant: AuthorizationCode,
        fields: Mapping[str, str],
        sealed: str,
        *,
        form: Mapping[str, str] | None = None,
        ticked: Sequence[str] = (),
        fault: str = "",
    ) -> Response:
        client = self._server.query_client(fields["client_id"])
        scopes = grant.request.scope.split()
        question = Question(
            client_id=fields["client_id"],
            client_name=client.name if client else "",
            redirect_uri=grant.redirect_uri,
            resource=fields["resource"],
            scopes=scopes,
            ticked=scopes,
            users=self._users,
            sealed=sealed,
            user=next(iter(self._users), ""),
        )
        if form is not None:
            question = replace(
                question,
                ticked=ticked,
                user=form.get("user", ""),
                other=form.get("other", ""),
                fault=fault,
                is_about_user=fault != _NO_SCOPE,
            )
        status = HTTPStatus.BAD_REQUEST if fault else HTTPStatus.OK
        return HTMLResponse(question.html(), status, page_headers(grant.redirect_uri))


def _request(fields: Mapping[str, str]) -> ClientRequest:
    return ClientRequest(fields, method="GET")


def _redirect(reply: Reply) -> Response:
    headers = {"cache-control": "no-store", "referrer-policy": "same-origin"}
    return RedirectResponse(reply.location, reply.status, headers)


def _fault(sentence: str, status: HTTPStatus = HTTPStatus.BAD_REQUEST) -> Response:
    sentences = [sentence, "Go back to the application that sent you here, and start again."]
    return HTMLResponse(fault_page(sentences), status, page_headers())
