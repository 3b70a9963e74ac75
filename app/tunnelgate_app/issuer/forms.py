"""Reads what is sent to the issuer: queries, forms and JSON, each field once, everything bounded."""

from collections.abc import Collection
from typing import Any
from urllib.parse import parse_qsl

from starlette.requests import Request

from tunnelgate.reading.fault import Fault
from tunnelgate.reading.strict_json import is_object, read_json

MAX_BODY = 64 * 1024  # octets
_MAX_FIELDS = 40
_FORM = "application/x-www-form-urlencoded"


class BodyTooLargeError(Exception):
    """A body has more than :data:`MAX_BODY` octets."""


async def read_body(request: Request) -> bytes:
    """Return the body; raises :class:`BodyTooLargeError`."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            raise BodyTooLargeError
    return bytes(body)


async def read_form(request: Request, repeatable: Collection[str] = ()) -> dict[str, str]:
    """Return the fields of the form that was posted.

    The values of a field in ``repeatable`` are joined by spaces, as a list of scopes is written.
    Raises :class:`ValueError` unless it is a form with each other field at most once, and
    :class:`BodyTooLargeError`.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != _FORM:
        raise ValueError("this is no form")
    return read_fields(await read_body(request), repeatable)


def read_fields(encoded: bytes, repeatable: Collection[str] = ()) -> dict[str, str]:
    """Return the fields of a query or of the body of a form, as :func:`read_form` does."""
    pairs = parse_qsl(
        encoded.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=_MAX_FIELDS
    )
    fields: dict[str, str] = {}
    for name, value in pairs:
        if name not in fields:
            fields[name] = value
        elif name in repeatable:
            fields[name] += f" {value}"
        else:
            raise ValueError("a field stands twice")
    return fields


async def read_object(request: Request) -> dict[str, Any]:
    """Return the JSON object that was posted.

    Raises :class:`ValueError` for anything else, and :class:`BodyTooLargeError`.
    """
    try:
        value, _ = read_json(await read_body(request))
    except Fault:
        raise ValueError("this is not JSON") from None
    if not is_object(value):
        raise ValueError("this is no object")
    return value
