"""Upstreams: remote MCP servers behind the gate, and the one HTTP client that it uses."""
