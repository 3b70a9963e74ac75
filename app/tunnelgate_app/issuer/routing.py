"""Routes of the endpoints that speak JSON, and of those that pages of other origins may use."""

import logging
from collections.abc import Awaitable, Callable
from http import HTTPStatus

from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, request_response

from tunnelgate_app.issuer.clients import ClientRegistry
from tunnelgate_app.issuer.documents import DocumentError
from tunnelgate_app.issuer.forms import BodyTooLargeError, read_form
from tunnelgate_app.issuer.messages import ClientRequest, Reply

logger = logging.getLogger("tunnelgate.issuer")

_INVALID = {"error": "invalid_request"}
_NO_STORE = {"cache-control": "no-store"}

Answer = Callable[[Request], Awaitable[Reply]]


def open_route(path: str, answer: Callable[[Request], Awaitable[Response]], method: str) -> Route:
    """Return a route that pages of any origin may use: clients in browsers have no other way."""
    app = CORSMiddleware(
        request_response(answer),
        allow_origins=["*"],
        allow_methods=[method],
        allow_headers=["authorization", "content-type", "mcp-protocol-version"],
    )
    return Route(path, app, methods=[method, "OPTIONS"])


def json_endpoint(answer: Answer) -> Callable[[Request], Awaitable[Response]]:
    """Return an endpoint that answers in JSON, also to what cannot be read."""

    async def respond(request: Request) -> Response:
        try:
            reply = await answer(request)
        except BodyTooLargeError:
            return JSONResponse(_INVALID, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, _NO_STORE)
        except DocumentError as error:
            # Pages of any origin may read this answer; what can be reached from here is not theirs to know.
            logger.info("development issuer: %s", error)
            body = {"error": "invalid_client", "error_description": "The client's document cannot be used."}
            return JSONResponse(body, HTTPStatus.UNAUTHORIZED, _NO_STORE)
        except ValueError:
            return JSONResponse(_INVALID, HTTPStatus.BAD_REQUEST, _NO_STORE)
        return JSONResponse(dict(reply.body), reply.status, reply.headers)

    return respond


async def read_client_request(request: Request, registry: ClientRegistry) -> ClientRequest:
    """Return the form that a client posted, with the client itself at hand.

    Raises :class:`ValueError`, :class:`~tunnelgate_app.issuer.forms.BodyTooLargeError` and
    :class:`~tunnelgate_app.issuer.documents.DocumentError`.
    """
    fields = await read_form(request)
    await registry.prepare(fields.get("client_id", ""))
    return ClientRequest(fields, request.headers)
