"""One ASGI call to an application, with everything that a server would give it."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from tunnelgate.asgi import ASGIApp, Message, Scope

Headers = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Reply:
    """What an application answered."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    def header(self, name: str) -> str | None:
        values = [value for each, value in self.headers if each == name]
        assert len(values) <= 1, f"{name} stands {len(values)} times"
        return values[0] if values else None


def http_scope(
    method: str = "POST",
    path: str = "/mcp",
    headers: Headers = (("host", "docs.example.com"),),
    *,
    client: tuple[str, int] | None = ("127.0.0.1", 50000),
    server: tuple[str, int | None] | None = ("127.0.0.1", 8080),
    http_version: str = "1.1",
    raw_path: bytes | None = None,
    root_path: str = "",
) -> Scope:
    """Return a scope as a server makes it."""
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": http_version,
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode() if raw_path is None else raw_path,
        "query_string": b"",
        "root_path": root_path,
        "headers": [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers],
        "client": client,
        "server": server,
        "state": {},
    }


async def call(app: ASGIApp, scope: Scope, body: bytes | Iterable[bytes] = b"") -> Reply:
    """Send one request to ``app`` and return its whole answer."""
    chunks = [body] if isinstance(body, bytes) else list(body)
    incoming: list[Message] = [
        {"type": "http.request", "body": chunk, "more_body": position < len(chunks) - 1}
        for position, chunk in enumerate(chunks)
    ]
    sent: list[Message] = []

    async def receive() -> Message:
        return incoming.pop(0) if incoming else {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return reply_of(sent)


def reply_of(sent: Sequence[Message]) -> Reply:
    """Return the answer in the messages that an application sent, after checking their order."""
    start, *parts = sent
    assert start["type"] == "http.response.start"
    assert all(part["type"] == "http.response.body" for part in parts)
    assert [bool(part.get("more_body", False)) for part in parts] == [True] * (len(parts) - 1) + [False]
    return Reply(
        status=start["status"],
        headers=[(name.decode("latin-1"), value.decode("latin-1")) for name, value in start["headers"]],
        body=b"".join(part.get("body", b"") for part in parts),
    )


class Spy:
    """An application that keeps every request that reaches it, and answers with what it was told."""

    def __init__(
        self,
        body: bytes = b'{"jsonrpc":"2.0","id":1,"result":{}}',
        status: int = 200,
        content_type: str = "application/json",
    ) -> None:
        self.scopes: list[Scope] = []
        self.bodies: list[bytes] = []
        self._body = body
        self._status = status
        self._content_type = content_type

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        self.scopes.append(scope)
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body", False):
                break
        self.bodies.append(body)
        headers = [(b"content-type", self._content_type.encode())]
        await send({"type": "http.response.start", "status": self._status, "headers": headers})
        await send({"type": "http.response.body", "body": self._body})

    @property
    def seen_headers(self) -> dict[str, str]:
        """The headers of the one request that reached the application."""
        (scope,) = self.scopes
        return {name.decode(): value.decode("latin-1") for name, value in scope["headers"]}
