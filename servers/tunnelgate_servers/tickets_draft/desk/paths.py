"""The paths of the desk, each whole, and what is answered there."""

from typing import Any

from fastapi import FastAPI
from fastapi.responses import HTMLResponse, RedirectResponse

from tunnelgate_servers.hosting import Health
from tunnelgate_servers.tickets_draft.desk.guarding import HEALTH_PATH
from tunnelgate_servers.tickets_draft.desk.routes import Desk, StyleResponse

_TEXT = {"schema": {"type": "string"}}
_OBJECT = {"schema": {"type": "object"}}
_Responses = dict[int | str, dict[str, Any]]

_BEFORE_ANY_PATH: _Responses = {
    400: {
        "description": "A request that cannot be read in one way only",
        "content": {"application/json": _OBJECT, "text/html": _TEXT},
    },
    413: {"description": "A body that is too large", "content": {"application/json": _OBJECT}},
    421: {"description": "A host that is not served", "content": {"text/plain": _TEXT}},
    431: {"description": "Headers that are too large", "content": {"application/json": _OBJECT}},
    500: {"description": "A failure of the desk", "content": {"text/html": _TEXT}},
}
_ELSEWHERE = "Another page"


def add_paths(app: FastAPI, desk: Desk) -> None:
    """Let `app` answer at every path that there is."""

    def add(path: str, endpoint: Any, method: str, **answers: Any) -> None:
        responses = {**_BEFORE_ANY_PATH, **answers.pop("responses", {})}
        app.add_api_route(path, endpoint, methods=[method], responses=responses, **answers)

    redirect: dict[str, Any] = {
        "response_class": RedirectResponse,
        "response_description": _ELSEWHERE,
        "status_code": 303,
    }
    add("/", desk.home, "GET", response_class=HTMLResponse, responses=_pages(503))
    add("/draft", desk.draft, "GET", response_class=HTMLResponse, responses=_pages(403, 404, 422, 503))
    add("/submit", desk.submit, "POST", **redirect, responses=_pages(403, 404, 409, 422, 503))
    add("/login", desk.login, "GET", **redirect, responses=_pages(422, 503))
    add("/callback", desk.callback, "GET", **redirect, responses=_pages(403, 422, 503))
    add("/logout", desk.logout, "POST", **redirect, responses=_pages(403, 422))
    add("/desk.css", desk.style, "GET", response_class=StyleResponse)
    add(HEALTH_PATH, desk.healthz, "GET", responses={503: {"model": Health}})


def _pages(*statuses: int) -> _Responses:
    return {
        status: {"description": "A page that says why", "content": {"text/html": _TEXT}}
        for status in statuses
    }
