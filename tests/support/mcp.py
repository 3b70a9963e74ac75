"""MCP messages as clients send them."""

from typing import Any

import orjson

MODERN = "2026-07-28"
LEGACY = "2025-11-25"

Header = tuple[str, str]


def modern(
    method: str, params: dict[str, Any] | None = None, *, message_id: Any = 1
) -> tuple[list[Header], bytes]:
    """Return headers and body of a request in the 2026-07-28 era."""
    meta = {
        "io.modelcontextprotocol/protocolVersion": MODERN,
        "io.modelcontextprotocol/clientCapabilities": dict[str, Any](),
    }
    message: dict[str, Any] = {
        "jsonrpc": "2.0",
        "id": message_id,
        "method": method,
        "params": {**(params or {}), "_meta": meta},
    }
    headers = [
        ("host", "docs.example.com"),
        ("content-type", "application/json"),
        ("accept", "application/json, text/event-stream"),
        ("mcp-protocol-version", MODERN),
        ("mcp-method", method),
    ]
    name = (params or {}).get("name") or (params or {}).get("uri")
    if name is not None:
        headers.append(("mcp-name", name))
    return headers, orjson.dumps(message)


def legacy(
    method: str, params: dict[str, Any] | None = None, *, message_id: Any = 1
) -> tuple[list[Header], bytes]:
    """Return headers and body of a request in the 2025-11-25 era."""
    message: dict[str, Any] = {"jsonrpc": "2.0", "id": message_id, "method": method}
    if params is not None:
        message["params"] = params
    headers = [
        ("host", "docs.example.com"),
        ("content-type", "application/json"),
        ("accept", "application/json, text/event-stream"),
        ("mcp-protocol-version", LEGACY),
    ]
    return headers, orjson.dumps(message)
