"""A uvicorn protocol class that is as strict as this library, on the fast parser.

::

    uvicorn --http tunnelgate.uvicorn_http:StrictHttpToolsProtocol --no-proxy-headers main:app

The parser drops the authority of an absolute-form target, appends trailers to the headers that the
application is already reading, and collects a head of any size. No ASGI layer can see that any
more, so it is mended here; what a layer can see is left to :mod:`tunnelgate.hygiene`.

Specification: RFC 9112 sections 3.2 and 7.1.2.
"""

from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD = 64 * 1024  # octets of request line and headers, before anything is known about the request

_TOO_LARGE = b'{"error":"headers_too_large"}'
_BAD_REQUEST = b'{"error":"bad_request"}'


class StrictHttpToolsProtocol(HttpToolsProtocol):
    """uvicorn's protocol on httptools, without what it lets slip past an application."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._is_head_complete = True
        self._head_octets = 0

    def on_message_begin(self) -> None:
        """Begin to count."""
        super().on_message_begin()
        self._is_head_complete = False
        self._head_octets = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; drop a trailer, which nobody announced and nobody checked."""
        if not self._is_head_complete:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Start the application; its ``raw_path`` is the target as it was sent."""
        self._is_head_complete = True
        target = self.url
        super().on_headers_complete()
        if not target.startswith(b"/"):
            self.scope["raw_path"] = target

    def data_received(self, data: bytes) -> None:
        """Parse, and give up on a head that does not end."""
        super().data_received(data)
        if self._is_head_complete or self.transport.is_closing():
            return
        self._head_octets += len(data)
        if self._head_octets > MAX_HEAD:
            self._answer_and_close(b"HTTP/1.1 431 Request Header Fields Too Large\r\n", _TOO_LARGE)

    def send_400_response(self, msg: str) -> None:
        """Answer what is not HTTP in the form in which everything else is refused."""
        self._answer_and_close(b"HTTP/1.1 400 Bad Request\r\n", _BAD_REQUEST)

    def _answer_and_close(self, status_line: bytes, body: bytes) -> None:
        head = b"content-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
        self.transport.write(status_line + head % len(body) + body)
        self.transport.close()
