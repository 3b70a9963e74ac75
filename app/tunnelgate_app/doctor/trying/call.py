"""Lists and calls tools through the gate, with the official client."""

from collections.abc import Mapping
from typing import Any

import httpx2

from tunnelgate_app.asking.answers import AskingError, Called, Limits, Listing
from tunnelgate_app.asking.mcp import call_tool, list_tools


class CallTrial:
    """Speaks MCP with the endpoint at ``url`` through ``client``, as who has ``token``."""

    def __init__(self, client: httpx2.AsyncClient, url: str, token: str, limits: Limits) -> None:
        self._client = client
        self._url = url
        self._token = token
        self._limits = limits

    async def list(self) -> Listing | AskingError:
        """Return what the gate lists, or why it does not."""
        try:
            return await list_tools(self._client, self._url, token=self._token, limits=self._limits)
        except AskingError as error:
            return error

    async def call(self, tool: str, arguments: Mapping[str, Any]) -> Called | AskingError:
        """Return what a call through the gate returns, or why it does not."""
        try:
            return await call_tool(
                self._client, self._url, tool, arguments, token=self._token, limits=self._limits
            )
        except AskingError as error:
            return error
