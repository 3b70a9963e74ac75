"""What the layers that look into a body do with it: bound it, read it, and hand on what was read."""

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from tunnelgate.asgi import Message, Receive
from tunnelgate.reading.fault import Fault
from tunnelgate.reading.head import RequestHead
from tunnelgate.reading.media_type import read_media_type
from tunnelgate.verdict import Reason

READ_ASIDE = 64 * 1024  # octets; reading more takes longer than other requests should wait

_P = ParamSpec("_P")
_T = TypeVar("_T")


def check_media_type(head: RequestHead) -> None:
    """Check that a body is announced as plain JSON; raises ``Fault``."""
    essence, charset = read_media_type(head.fields.get(b"content-type", b""))
    if essence != "application/json" or charset not in (None, "utf-8"):
        raise Fault(Reason.MEDIA_TYPE_NOT_ALLOWED, essence[:80])
    encoding = head.fields.get(b"content-encoding", b"identity")
    if encoding.strip().lower() != b"identity":
        raise Fault(Reason.CONTENT_ENCODING_NOT_ALLOWED, encoding.decode("latin-1")[:80])


async def read_body(receive: Receive, max_body: int) -> bytes:
    """Return the body of a request; raises ``Fault`` when it is too large or ends too soon."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise Fault(Reason.BODY_INCOMPLETE, "the client went away")
        body += message.get("body", b"")
        if len(body) > max_body:
            raise Fault(Reason.BODY_TOO_LARGE, f"more than {max_body} octets")
        if not message.get("more_body", False):
            return bytes(body)


async def read_aside(size: int, read: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
    """Return what ``read`` returns, from another thread when it has more than a little to read."""
    if size > READ_ASIDE:
        return await asyncio.to_thread(read, *args, **kwargs)
    return read(*args, **kwargs)


def replay_body(body: bytes, receive: Receive) -> Receive:
    """Return a ``receive`` that gives ``body`` first and then whatever else happens."""
    is_replayed = False

    async def replay() -> Message:
        nonlocal is_replayed
        if is_replayed:
            return await receive()
        is_replayed = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay
