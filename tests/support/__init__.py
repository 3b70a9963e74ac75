"""What several tests use: real ASGI calls, real sockets, real keys. Nothing here stands in for ours."""
