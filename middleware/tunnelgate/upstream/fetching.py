"""Fetches small documents: the keys and the metadata of issuers, and what they say of tokens.

Specification: RFC 9110, RFC 9112.
"""

import asyncio
import ssl
from collections.abc import Mapping
from urllib.parse import quote, urlencode, urlsplit

from tunnelgate.errors import UpstreamFailed
from tunnelgate.fetching import Fetched
from tunnelgate.reading.http_answer import HttpAnswerHead
from tunnelgate.upstream.connection import Connection
from tunnelgate.upstream.dialling import Dialler
from tunnelgate.upstream.pool import Target
from tunnelgate.verdict import Reason

TIMEOUT = 5.0  # seconds, for the whole of it
MAX_DOCUMENT = 256 * 1024  # octets; a set of keys is a few thousand
_SAFE = "/:@!$&'()*+,;=-._~%?"


class GuardedFetch:
    """Asks only where ``dialler`` goes: no redirects, no proxies, each time a connection of its own.

    ``tls`` says whose certificates are believed; ``seconds`` are for the whole of it;
    ``max_document`` is octets.
    """

    def __init__(
        self,
        dialler: Dialler,
        tls: ssl.SSLContext,
        *,
        seconds: float = TIMEOUT,
        max_document: int = MAX_DOCUMENT,
    ) -> None:
        self._dialler = dialler
        self._tls = tls
        self._seconds = seconds
        self._max_document = max_document

    async def __call__(
        self, url: str, *, form: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None
    ) -> Fetched:
        """Return what is answered at ``url`` to GET, or to POST where there is a ``form``.

        Raises :class:`OSError` for every way in which that can fail; a status is no failure.
        """
        try:
            async with asyncio.timeout(self._seconds):
                return await self._fetch(url, form, headers or {})
        except ValueError as error:
            # Its text may repeat what cannot be sent, which may be a credential.
            raise OSError(f"cannot be asked: {type(error).__name__}") from None
        except TimeoutError:
            raise OSError(f"no whole answer within {self._seconds:g} seconds") from None
        except UpstreamFailed as failure:
            # What is no HTTP may repeat octets of a credential, and this goes into the log.
            detail = "no HTTP" if failure.reason is Reason.ANSWER_NOT_VALID else failure.detail
            raise OSError(detail) from None

    async def _fetch(self, url: str, form: Mapping[str, str] | None, headers: Mapping[str, str]) -> Fetched:
        target = Target.from_url(url, self._tls)
        method = b"GET" if form is None else b"POST"
        request = _request(url, target, method, form, headers)
        connection = await self._dialler.dial(target.host, target.port, Connection, tls=target.tls)
        try:
            connection.ask(request, method)
            head = await connection.head(self._seconds)
            body = bytearray()
            is_last = False
            while not is_last:
                part, is_last = await connection.part(self._seconds)
                body += part
                if len(body) > self._max_document:
                    raise OSError(f"more than {self._max_document} octets")
        finally:
            connection.abort()
        if _value_of(head, b"content-encoding").lower() not in (b"", b"identity"):
            raise OSError("an encoded document, which was not asked for")
        media_type = _value_of(head, b"content-type").partition(b";")[0].strip(b" \t").lower()
        return Fetched(head.status, media_type.decode("latin-1"), bytes(body))


def _value_of(head: HttpAnswerHead, name: bytes) -> bytes:
    """Return the value of a header, of several lines as RFC 9110 section 5.3 combines them."""
    return b", ".join(value for each, value in head.headers if each == name)


def _request(
    url: str, target: Target, method: bytes, form: Mapping[str, str] | None, headers: Mapping[str, str]
) -> bytes:
    parts = urlsplit(url)
    path = quote(parts.path or "/", safe=_SAFE)
    query = f"?{quote(parts.query, safe=_SAFE)}" if parts.query else ""
    fields = {
        "host": target.authority.decode("ascii"),
        "accept": "application/json",
        "accept-encoding": "identity",
        "connection": "close",
        "user-agent": "tunnelgate",
        **{name.lower(): value for name, value in headers.items()},
    }
    body = b"" if form is None else urlencode(form).encode("ascii")
    if form is not None:
        fields["content-type"] = "application/x-www-form-urlencoded"
        fields["content-length"] = str(len(body))
    lines = [f"{method.decode()} {path}{query} HTTP/1.1", *(f"{name}: {fields[name]}" for name in fields)]
    if any(character in line for line in lines for character in "\r\n\0"):
        raise OSError("a header or a URL that would end its line")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body
