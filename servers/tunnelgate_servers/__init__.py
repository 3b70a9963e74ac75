"""Sample MCP servers, split by risk: each a FastAPI application with its own hostname, audience and data."""
