"""What a person sees when a request comes to nothing, whatever the reason."""

import logging

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from tunnelgate_servers.hosting import UnavailableError
from tunnelgate_servers.tickets_draft.desk.errors import PageError, broken, unavailable, unreadable
from tunnelgate_servers.tickets_draft.desk.guarding import HEADERS
from tunnelgate_servers.tickets_draft.desk.pages import Pages

_UNPROCESSABLE = 422
_logger = logging.getLogger("tunnelgate_servers")


def add_error_pages(app: FastAPI, pages: Pages) -> None:
    """Let `app` answer each error with a page that repeats nothing of the request."""

    async def show(_: Request, error: Exception) -> Response:
        if isinstance(error, UnavailableError):
            _logger.error("A page could not be had: %s", error, exc_info=error)
        headers = error.headers if isinstance(error, HTTPException) else None
        return pages.error(_page_for(error), headers)

    async def fail(_: Request, __: Exception) -> Response:
        return pages.error(broken(), HEADERS)  # which nothing adds outside of all other layers

    for kind in (PageError, UnavailableError, RequestValidationError, HTTPException):
        app.add_exception_handler(kind, show)
    app.add_exception_handler(Exception, fail)


def _page_for(error: Exception) -> PageError:
    if isinstance(error, PageError):
        return error
    if isinstance(error, UnavailableError):
        return unavailable()
    return unreadable(error.status_code if isinstance(error, HTTPException) else _UNPROCESSABLE)
