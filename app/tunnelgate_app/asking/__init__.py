"""Asking upstreams as the gate reaches them: at checked addresses, and with the official MCP client."""
