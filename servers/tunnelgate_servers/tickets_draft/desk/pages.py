"""The pages, which need no script. Every text of somebody else is escaped in them.

Specification: HTML, Web Content Accessibility Guidelines 2.2
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import escape
from starlette.responses import HTMLResponse

from tunnelgate_servers.tickets_draft.desk import texts
from tunnelgate_servers.tickets_draft.desk.errors import PageError
from tunnelgate_servers.tickets_draft.records import Draft

_PACKAGE = "tunnelgate_servers.tickets_draft.desk"
_TEMPLATES = ("draft.html", "drafts.html", "message.html", "submitted.html", "welcome.html")


class Pages:
    """Every page that the desk has, and the one style of all of them."""

    def __init__(self) -> None:
        environment = Environment(
            autoescape=True,
            loader=PackageLoader(_PACKAGE),
            lstrip_blocks=True,
            trim_blocks=True,
            undefined=StrictUndefined,
        )
        environment.filters.update(line=texts.line, paragraphs=texts.paragraphs, time=_time)
        self._templates = {name: environment.get_template(name) for name in _TEMPLATES}
        self.style = (files(_PACKAGE) / "desk.css").read_text("utf-8")

    def welcome(self) -> HTMLResponse:
        """Return the page for somebody who is not signed in."""
        return self._page("welcome.html")

    def drafts(self, person: str, drafts: Sequence[Draft], *, logout_code: str) -> HTMLResponse:
        """Return the page with all drafts of a person."""
        return self._page("drafts.html", person=person, drafts=drafts, logout_code=logout_code)

    def draft(self, person: str, draft: Draft, *, code: str, logout_code: str) -> HTMLResponse:
        """Return the page on which a person reads a draft, and submits it by a form with `code`."""
        return self._page(
            "draft.html",
            person=person,
            draft=draft,
            has_numbers=any(texts.paragraphs(each) != escape(each) for each in (draft.title, draft.body)),
            code=code,
            logout_code=logout_code,
        )

    def submitted(self, person: str, draft_id: str, ticket_id: str, *, logout_code: str) -> HTMLResponse:
        """Return the page that says which ticket a draft has become."""
        return self._page(
            "submitted.html", person=person, draft_id=draft_id, ticket_id=ticket_id, logout_code=logout_code
        )

    def error(self, error: PageError, headers: Mapping[str, str] | None = None) -> HTMLResponse:
        """Return the page that says why there is no other."""
        return self._page("message.html", error.status, headers, error=error)

    def _page(
        self, name: str, status: int = 200, headers: Mapping[str, str] | None = None, **values: Any
    ) -> HTMLResponse:
        return HTMLResponse(self._templates[name].render(values), status, headers)


def _time(value: datetime) -> str:
    return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
