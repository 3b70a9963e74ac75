"""Reads the head of a request: everything before the body, looked at once.

Specification: RFC 9110, RFC 9112; https://asgi.readthedocs.io/en/latest/specs/www.html
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from tunnelgate.asgi import Scope

# Fields that a layer of ours reads once: of two, one component would follow the
# first and another the last.
SINGLE_FIELDS = frozenset(
    {
        b"authorization",
        b"cf-connecting-ip",
        b"content-encoding",
        b"content-length",
        b"content-type",
        b"dpop",
        b"expect",
        b"host",
        b"last-event-id",
        b"mcp-method",
        b"mcp-name",
        b"mcp-protocol-version",
        b"mcp-session-id",
        b"origin",
        b"transfer-encoding",
        b"upgrade",
    }
)
# Fields that a layer of ours reads, however often they stand there.
READ_FIELDS = SINGLE_FIELDS | {b"forwarded", b"x-forwarded-for"}


@dataclass(slots=True)
class RequestHead:
    """The facts of a request's head.

    ``fields`` has the value of each of :data:`SINGLE_FIELDS` that is there, the first one when
    there are several; ``duplicated`` names those.
    ``lookalikes`` are names with an underscore that some server would take for one of
    :data:`READ_FIELDS`.
    ``connection`` holds the options of all ``Connection`` fields in lower case.
    ``server_name`` is the name that the client asked TLS for, in lower case, if it is known.
    ``size`` is the octets of path, query and all field lines.
    """

    http_version: str
    method: str
    path: str
    raw_path: bytes
    local_port: int | None
    server_name: str | None = None
    fields: dict[bytes, bytes] = field(default_factory=dict[bytes, bytes])
    duplicated: list[bytes] = field(default_factory=list[bytes])
    lookalikes: list[bytes] = field(default_factory=list[bytes])
    connection: list[bytes] = field(default_factory=list[bytes])
    size: int = 0


def read_head(scope: Scope) -> RequestHead:
    """Return the facts of an HTTP or WebSocket scope. Never fails: judging is another's work."""
    server: tuple[str, int | None] | None = scope.get("server")
    extensions: Mapping[str, Any] = scope.get("extensions") or {}
    tls: Mapping[str, Any] = extensions.get("tls") or {}
    path: str = scope["path"]
    raw_path: bytes | None = scope.get("raw_path")
    head = RequestHead(
        http_version=scope.get("http_version", "1.1"),
        method=scope.get("method", "GET"),
        path=path,
        raw_path=_quoted(path) if raw_path is None else raw_path,
        local_port=server[1] if server else None,
        server_name=tls.get("server_name"),
    )
    fields = head.fields
    size = len(head.raw_path) + len(scope.get("query_string", b""))
    for name, value in scope["headers"]:
        size += len(name) + len(value) + 4
        if name in SINGLE_FIELDS:
            if name in fields:
                head.duplicated.append(name)
            else:
                fields[name] = value
        elif name == b"connection":
            head.connection += [option.strip() for option in value.lower().split(b",")]
        elif b"_" in name and name.replace(b"_", b"-") in READ_FIELDS:
            head.lookalikes.append(name)
    head.size = size
    return head


def _quoted(path: str) -> bytes:
    # What is no text stays no text, for hygiene to find.
    return quote(path, errors="surrogatepass").encode("ascii")
