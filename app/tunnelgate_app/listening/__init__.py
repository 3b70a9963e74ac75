"""How the gate listens: in the clear, with TLS, and at the end of a tunnel, TLS inside of a WebSocket."""
