"""Asks the gate as the tunnel does: each hostname and path, with and without a token."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import httpx2
import orjson

from tunnelgate import Policy
from tunnelgate_app.doctor.answers import Asked, NoAnswerError
from tunnelgate_app.doctor.trying.http import ask

_VERSION = "2026-07-28"
_LIST = orjson.dumps(
    {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/list",
        "params": {
            "_meta": {
                "io.modelcontextprotocol/protocolVersion": _VERSION,
                "io.modelcontextprotocol/clientCapabilities": {},
            }
        },
    }
)
_LIST_HEADERS = {
    "accept": "application/json, text/event-stream",
    "content-type": "application/json",
    "mcp-protocol-version": _VERSION,
    "mcp-method": "tools/list",
}
_ADDRESS_HEADERS: Mapping[str, str] = {
    "cf-connecting-ip": "{}",
    "x-forwarded-for": "{}",
    "forwarded": "for={}",
}


@dataclass(frozen=True, slots=True)
class RouteAnswers:
    """What the gate answered for one route: at each endpoint, at its bare hostname, on a public path."""

    name: str
    endpoints: tuple[Asked, ...] = ()
    bare: Asked | None = None
    public: Asked | None = None
    url: str = field(default="")


class GateTrial:
    """Sends requests to the gate with ``client``, each of which may take ``seconds``."""

    def __init__(self, policy: Policy, client: httpx2.AsyncClient, seconds: float) -> None:
        self._policy = policy
        self._client = client
        self._seconds = seconds

    async def ask_route(self, name: str) -> RouteAnswers:
        """Return what is answered for the route ``name``."""
        route = self._policy.routes[name]
        urls = [each for each in self._policy.endpoints(name) if urlsplit(each).hostname in self._hosts(name)]
        root = f"{_origin(urls[0])}/"
        paths = route.open_paths
        is_bare_served = route.path == "/" or "/" in paths
        endpoints, bare, public = await asyncio.gather(
            asyncio.gather(*(self.list_tools(url) for url in urls if route.speaks_mcp)),
            self._get_if(root, wanted=route.speaks_mcp and not is_bare_served),
            self._get_if(f"{_origin(urls[0])}{paths[0] if paths else ''}", wanted=bool(paths)),
        )
        return RouteAnswers(name, tuple(endpoints), bare, public, urls[0])

    async def ask_unlisted(self, label: str) -> Asked:
        """Return what is answered for a hostname that begins with ``label`` and that nobody listed."""
        url = self._policy.endpoints(next(iter(self._policy.routes)))[0]
        parts = urlsplit(url)
        domain = self._policy.tunnel_domain or parts.hostname or ""
        port = "" if parts.port is None else f":{parts.port}"
        return await self.get(f"{parts.scheme}://{label}.{domain}{port}/")

    async def get(self, url: str) -> Asked:
        """Return what GET is answered at ``url``."""
        return await self._ask("GET", url)

    async def list_tools(self, url: str) -> Asked:
        """Return what a request for the tools is answered at ``url`` that has no token."""
        return await self._ask("POST", url, headers=_LIST_HEADERS, content=_LIST)

    async def _ask(
        self, method: str, url: str, *, headers: Mapping[str, str] | None = None, content: bytes | None = None
    ) -> Asked:
        try:
            answer = await ask(self._client, method, url, self._seconds, headers=headers, content=content)
        except NoAnswerError as error:
            return Asked(url, failure=str(error))
        return Asked(url, answer)

    async def _get_if(self, url: str, *, wanted: bool) -> Asked | None:
        return await self.get(url) if wanted else None

    def _hosts(self, name: str) -> tuple[str, ...]:
        return self._policy.hostnames(name)


def headers_of_client(policy: Policy, address: str | None) -> dict[str, str]:
    """Return what a connector says of a client at ``address``, where the gate reads it from a header."""
    template = _ADDRESS_HEADERS.get(policy.clients.address_from)
    if address is None or template is None:
        return {}
    written = f'"[{address}]"' if ":" in address and policy.clients.address_from == "forwarded" else address
    return {policy.clients.address_from: template.format(written)}


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
