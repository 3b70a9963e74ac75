"""A stand-in for the other end of a tunnel: a client that comes to the gate as through a connector."""
