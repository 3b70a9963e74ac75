"""Serves the fixtures: ``python -m tests.conformance.everything --port 3101``."""

import argparse
import socket
import sys

import uvicorn

from tests.conformance.everything.server import create_app


class _Saying(uvicorn.Server):
    """Prints one line when it listens."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for each in sockets or ():
            host, port = each.getsockname()[:2]
            name = f"[{host}]" if ":" in host else host
            sys.stdout.write(f"listening on http://{name}:{port}/mcp\n")
            sys.stdout.flush()


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(prog="everything", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--any-host", action="store_true", help="answer to every Host and Origin")
    options = parser.parse_args()
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    with socket.create_server((options.host, options.port), family=family, backlog=128) as listener:
        app = create_app(any_host=options.any_host)
        config = uvicorn.Config(
            app,
            http="h11",  # httptools leaves the space behind a header's value, which the SDK then compares
            lifespan="on",
            ws="none",
            access_log=False,
            log_level="warning",
            proxy_headers=False,
            timeout_graceful_shutdown=1,
        )
        _Saying(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
