"""The same application with the gate around its MCP mount: five lines more."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI
from mcp.server.mcpserver import MCPServer
from mcp.server.transport_security import TransportSecuritySettings

from tunnelgate import Policy, protect

STOCK = {"bolt": 120, "nut": 80}

mcp = MCPServer("stock")


@mcp.tool()
def count(part: str) -> int:
    """Return how many of a part are in stock."""
    return STOCK.get(part, 0)


@mcp.tool()
def take(part: str, number: int) -> int:
    """Take parts out of stock and return how many are left."""
    STOCK[part] = STOCK.get(part, 0) - number
    return STOCK[part]


mcp_app = mcp.streamable_http_app(
    stateless_http=True,
    transport_security=TransportSecuritySettings(allowed_hosts=["stock.example.com", "stock.example.com:*"]),
)


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
    """Run what the mounted MCP server needs; a mounted application's own lifespan never runs."""
    async with mcp.session_manager.run():
        yield


app = FastAPI(lifespan=lifespan)


@app.get("/stock")
def stock() -> dict[str, int]:
    """List the stock for the shop's own pages."""
    return STOCK


HERE = Path(__file__).parent
policy = Policy.from_file(HERE / "tunnelgate.yaml")
app.mount("/", protect(mcp_app, policy))
