"""Asks a running demo: for a token, and the three questions of the probe."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx2
import orjson

from tunnelgate.reading.strict_json import is_array, is_object
from tunnelgate_app.demo import BLOCKED_HOST, ISSUER_ROUTE, DemoError, DemoRoute, DemoState, hostname_of
from tunnelgate_app.issuer.app import TOKEN_PATH
from tunnelgate_app.person import Person

TIMEOUT = 30.0  # seconds

_VERSION = "2026-07-28"
_META = {
    "io.modelcontextprotocol/protocolVersion": _VERSION,
    "io.modelcontextprotocol/clientCapabilities": {},
    "io.modelcontextprotocol/clientInfo": {"name": "tunnelgate-probe", "version": "1"},
}
_COLUMNS = 100
_OK = 200
_FORBIDDEN = 403


class DemoClient:
    """Talks to a demo with the hostname said in `Host` as a tunnel does."""

    def __init__(self, state: DemoState) -> None:
        self._state = state

    def fetch_token(self, route: DemoRoute, scopes: tuple[str, ...] = (), user: str | None = None) -> str:
        """Return an access token for ``route``: the client's own, or one of ``user``, who logs in for it.

        Raises :class:`~tunnelgate_app.demo.DemoError`.
        """
        resource = route.resource(self._state.port)
        headers = {"host": hostname_of(ISSUER_ROUTE)}
        with self._http() as http:
            if user is None:
                own = {"grant_type": "client_credentials", "resource": resource}
                asked = {"scope": " ".join(scopes)} if scopes else {}
                auth = (self._state.client_id, self._state.client_secret)
                response = http.post(TOKEN_PATH, headers=headers, data={**own, **asked}, auth=auth)
            else:
                granted = Person(http, self._state, user).log_in(resource, scopes)
                response = http.post(TOKEN_PATH, headers=headers, data=dict(granted))
        if response.status_code != _OK:
            raise DemoError(f"the development issuer refused: {response.text}")
        token = _member(_read(response), "access_token")
        if not isinstance(token, str):
            raise DemoError(
                f"what answers at {self._state.gate} is no development issuer; start the demo first"
            )
        return token

    def probe(self, route: DemoRoute) -> tuple[dict[str, str], list[str]]:
        """Ask the three questions; return the answers by their keys, and what is wrong with them."""
        token = self.fetch_token(route)
        listed = self._call(route, token, "tools/list", {})
        called = self._call(route, token, "tools/call", {"name": route.tool, "arguments": route.arguments})
        blocked = self._call(route, token, "tools/list", {}, host=BLOCKED_HOST)
        answers = {
            "tools_list_status": str(listed.status_code),
            "tools_list_body": listed.text,
            "tool_call_status": str(called.status_code),
            "tool_call_body": called.text,
            "blocked_status": str(blocked.status_code),
            "blocked_body": blocked.text,
        }
        return answers, _wrong(route, listed, called, blocked)

    def _call(
        self, route: DemoRoute, token: str, method: str, params: Mapping[str, Any], host: str | None = None
    ) -> httpx2.Response:
        headers = {
            "authorization": f"Bearer {token}",
            "accept": "application/json, text/event-stream",
            "content-type": "application/json",
            "mcp-protocol-version": _VERSION,
            "mcp-method": method,
        }
        if "name" in params:
            headers["mcp-name"] = str(params["name"])
        message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, "_meta": _META}}
        with self._http() as http:
            return http.post(
                "/mcp", headers={**headers, "host": host or route.hostname}, content=orjson.dumps(message)
            )

    @contextmanager
    def _http(self) -> Generator[httpx2.Client]:
        try:
            with httpx2.Client(base_url=self._state.gate, timeout=TIMEOUT, trust_env=False) as http:
                yield http
        except httpx2.HTTPError as error:
            raise DemoError(
                f"nothing answers at {self._state.gate} ({error}); start the demo first"
            ) from None


def summary(route: DemoRoute, answers: Mapping[str, str]) -> list[str]:
    """Return the answers of a probe as lines that fit a terminal."""
    listed = ", ".join(_names(_member(_parsed(answers["tools_list_body"]), "result")))
    said = _member(_member(_parsed(answers["tool_call_body"]), "result"), "structuredContent")
    lines = [
        route.hostname,
        f"  {answers['tools_list_status']}  lists {listed or answers['tools_list_body']}",
        f"  {answers['tool_call_status']}  {route.tool} {orjson.dumps(dict(route.arguments)).decode()}",
        f"       {answers['tool_call_body'] if said is None else orjson.dumps(said).decode()}",
        f"  {answers['blocked_status']}  {BLOCKED_HOST} {answers['blocked_body']}",
    ]
    return [_fitting(line) for line in lines]


def _fitting(text: str) -> str:
    text = "".join(character if character.isprintable() else " " for character in text)
    return text if len(text) <= _COLUMNS else f"{text[: _COLUMNS - 1]}…"


def _wrong(
    route: DemoRoute, listed: httpx2.Response, called: httpx2.Response, blocked: httpx2.Response
) -> list[str]:
    wrong: list[str] = []
    if sorted(_names(_result(listed))) != sorted(route.tools):
        wrong.append(f"the list should be exactly {', '.join(route.tools)}")
    if called.status_code != _OK or _member(_result(called), "isError") is not False:
        wrong.append(f"the call of {route.tool} should have succeeded")
    if blocked.status_code != _FORBIDDEN:
        wrong.append(f"{BLOCKED_HOST} should have been refused")
    return wrong


def _names(result: Any) -> list[str]:
    tools = _member(result, "tools")
    return [str(_member(tool, "name")) for tool in tools] if is_array(tools) else []


def _result(response: httpx2.Response) -> Any:
    return _member(_read(response), "result")


def _read(response: httpx2.Response) -> Any:
    return _parsed(response.content)


def _parsed(text: str | bytes) -> Any:
    try:
        return orjson.loads(text)
    except ValueError:
        return None


def _member(value: Any, name: str) -> Any:
    return value.get(name) if is_object(value) else None
