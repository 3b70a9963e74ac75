"""Calls of tools as octets, for what the official client would not send."""

import json
from dataclasses import dataclass
from typing import Any, Literal, cast

import httpx2

from tests.support.mcp import Header, legacy, modern

Wire = Literal["2026-07-28", "legacy"]
_PLACE = "here"
_WRITERS = {"2026-07-28": modern, "legacy": legacy}


@dataclass(frozen=True)
class Verbatim:
    """Arguments that are sent as these very characters."""

    text: str


@dataclass(frozen=True)
class Answer:
    """What came back: the status and the headers of HTTP, the text, and the one message in it."""

    status: int
    headers: httpx2.Headers
    text: str

    @property
    def message(self) -> Any:
        data = [line[6:] for line in self.text.splitlines() if line.startswith("data: ")]
        return json.loads(data[-1] if data else self.text)

    @property
    def sentence(self) -> str:
        """The sentence of a tool that refused or failed."""
        result = self.message["result"]
        assert result["isError"] is True, result
        assert "structuredContent" not in result
        (content,) = result["content"]
        return str(content["text"])


async def send(
    url: str,
    headers: list[Header],
    body: bytes | None = None,
    *,
    token: str | None = None,
    method: str = "POST",
    path: str = "/mcp",
) -> Answer:
    """Send a request with these headers, but for a Host that is not given."""
    sent = headers if token is None else [*headers, ("authorization", f"Bearer {token}")]
    async with httpx2.AsyncClient(timeout=30, trust_env=False) as http:
        answer = await http.request(method, url + path, headers=sent, content=body)
    return Answer(answer.status_code, answer.headers, answer.text)


async def ask(url: str, era: Wire, method: str, params: Any, *, token: str | None) -> Answer:
    """Send one request of the protocol, whatever its parameters are."""
    is_object = isinstance(params, dict)
    headers, body = _WRITERS[era](method, cast("dict[str, Any]", params) if is_object else {})
    if not is_object:
        body = json.dumps({**json.loads(body), "params": params}).encode()
    sent = [(header, str(value)) for header, value in headers[1:]]
    return await send(url, sent, body, token=token)


async def call(url: str, era: Wire, name: str, arguments: Any, *, token: str | None) -> Answer:
    """Call a tool; without its arguments where they are the ellipsis."""
    headers, body = _WRITERS[era]("tools/call", {"name": name})
    message = json.loads(body)
    if arguments is not ...:
        message["params"]["arguments"] = _PLACE if isinstance(arguments, Verbatim) else arguments
    text = json.dumps(message)
    if isinstance(arguments, Verbatim):
        text = text.replace(json.dumps(_PLACE), arguments.text)
    return await send(url, headers[1:], text.encode(), token=token)
