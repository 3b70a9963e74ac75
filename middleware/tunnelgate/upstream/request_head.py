"""The head of the request that an upstream gets, and what of the head of its answer goes back.

Specification: RFC 9110 sections 7.2, 7.6.1 and 7.6.3, RFC 9112 section 3.2.1.
"""

import re
from collections.abc import Iterable
from functools import lru_cache
from urllib.parse import quote, unquote_to_bytes

from tunnelgate.asgi import Scope
from tunnelgate.errors import UpstreamFailed
from tunnelgate.verdict import Reason

Headers = list[tuple[bytes, bytes]]

# They are about one connection and mean nothing on the next (RFC 9110 section 7.6.1).
_HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"expect",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
# What says where a request comes from is said by us, or by nobody.
_ORIGIN = re.compile(
    rb"(?:x-)?(?:original-)?forwarded(?:-.*)?|x-real-ip|x-client-ip|x-cluster-client-ip|true-client-ip"
    rb"|cf-.*|via"
)
_SAID_ANEW = frozenset({b"content-length", b"host"})
# Of an answer: who the server is, where else it would be reached, around the gate, and what a proxy in
# front of the gate would take for its own affair.
_NOT_PASSED_BACK = re.compile(rb"alt-svc|date|server|x-sendfile.*|x-lighttpd-.*|x-accel-(?!buffering$).*")
_LONGEST_REMEMBERED = 64  # octets of a name
_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9a-z]++"
_NAME = re.compile(_TOKEN)
_HEAD = re.compile(
    rb"[A-Z]++ /[\x21-\x7e]*+ HTTP/1\.1\r\n"
    rb"(?:" + _TOKEN + rb": [\t\x20-\x7e\x80-\xff]*+\r\n)*\r\n"
)


class RequestHeads:
    """Writes the heads of requests to one upstream.

    ``authority`` is its own ``Host``, or ``None`` where it gets the one that the client used.
    ``scheme`` is how clients reach the gate. ``cookies`` says whether cookies pass.
    """

    def __init__(self, authority: bytes | None, *, scheme: str, cookies: bool = False) -> None:
        self._authority = authority
        self._scheme = scheme.encode("ascii")
        self._dropped = _SAID_ANEW if cookies else _SAID_ANEW | {b"cookie"}

    def write(self, scope: Scope, body: bytes) -> bytes:
        """Return the head of the request in ``scope``, whose body is ``body``, up to the empty line."""
        method = str(scope["method"]).encode("ascii")
        headers: Headers = scope["headers"]
        host = next((value for name, value in headers if name == b"host"), b"")
        lines = [
            b"%b %b HTTP/1.1" % (method, _target(scope)),
            b"host: " + (host if self._authority is None else self._authority),
        ]
        named = _named_by_connection(headers)
        lines += [
            name + b": " + value
            for name, value in headers
            if name not in self._dropped and name not in named and not _is_replaced(name)
        ]
        if body or method == b"POST":
            lines.append(b"content-length: %d" % len(body))
        client = scope.get("client")
        if client is not None:
            lines.append(b"x-forwarded-for: " + str(client[0]).encode("ascii"))
        lines.append(b"x-forwarded-host: " + host)
        lines.append(b"x-forwarded-proto: " + self._scheme)
        lines.append(b"via: 1.1 tunnelgate")
        head = b"\r\n".join([*lines, b"", b""])
        if _HEAD.fullmatch(head) is None:
            raise UpstreamFailed(Reason.INTERNAL_ERROR, "a target or a header that would end before its end")
        return head


def _is_replaced(name: bytes) -> bool:
    return _find_out(name) if len(name) > _LONGEST_REMEMBERED else _remembered(name)


def _find_out(name: bytes) -> bool:
    if _NAME.fullmatch(name) is None:
        raise UpstreamFailed(Reason.INTERNAL_ERROR, "what is no name of a header")
    # Servers that put headers into variables take an underscore for a hyphen.
    return name in _HOP_BY_HOP or _ORIGIN.fullmatch(name.replace(b"_", b"-")) is not None


_remembered = lru_cache(maxsize=1024)(_find_out)


def pass_back(headers: Iterable[tuple[bytes, bytes]], *, cookies: bool) -> Headers:
    """Return what of an answer's headers goes on, of names in lower case."""
    answered = list(headers)
    named = _named_by_connection(answered)
    return [
        (name, value)
        for name, value in answered
        if name not in _HOP_BY_HOP
        and name not in named
        and _NOT_PASSED_BACK.fullmatch(name) is None
        and _ORIGIN.fullmatch(name) is None
        and (cookies or name != b"set-cookie")
    ]


def _named_by_connection(headers: Headers) -> frozenset[bytes]:
    return frozenset(
        option.strip(b" \t").lower()
        for name, value in headers
        if name == b"connection"
        for option in value.split(b",")
    )


def _target(scope: Scope) -> bytes:
    path: bytes = scope.get("raw_path") or quote(scope["path"]).encode("ascii")
    root: str = scope.get("root_path", "")
    if root:  # which is not escaped, as the beginning of the path may be
        *above, below = path.split(b"/", root.count("/") + 1)
        if unquote_to_bytes(b"/".join(above)) == root.encode():
            path = b"/" + below
    query: bytes = scope.get("query_string", b"")
    return path + b"?" + query if query else path
