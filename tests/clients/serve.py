"""Serves one upstream on loopback, alone or behind the gate: ``python -m tests.clients.serve everything``.

With ``--policy`` it stands behind the whole chain, as the policy in that JSON file says, and
``elsewhere --policy`` is the gateway in front of what the policy has as a remote server. All but
that runs beside the SDK 1.x as well as beside 2.x.
"""

import argparse
import importlib
import json
import socket
import sys
from collections.abc import Mapping
from pathlib import Path

import uvicorn

from tunnelgate import Policy, protect
from tunnelgate.asgi import ASGIApp
from tunnelgate.uvicorn_http import StrictHttpToolsProtocol

# Which names a server behind the gate answers to is the gate's business.
_ANY_HOST = {"any_host": True}
UPSTREAMS: Mapping[str, tuple[str, Mapping[str, bool]]] = {
    "everything": ("tests.conformance.everything.server", _ANY_HOST),
    "legacy": ("tests.clients.upstreams.legacy", {}),
    "modern": ("tests.clients.upstreams.modern", {}),
}
ELSEWHERE = "elsewhere"


class _Saying(uvicorn.Server):
    """Prints one line when it listens."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for each in sockets or ():
            sys.stdout.write(f"listening on {each.getsockname()[1]}\n")
            sys.stdout.flush()


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(prog="serve", description=__doc__)
    parser.add_argument("upstream", choices=[*UPSTREAMS, ELSEWHERE])
    parser.add_argument("--policy", type=Path, help="stand behind the gate with this policy")
    options = parser.parse_args()
    policy = None
    if options.policy is not None:
        policy = Policy.from_mapping(json.loads(options.policy.read_text("utf-8")))
    app = _application(options.upstream, policy)
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        config = uvicorn.Config(
            app,
            # Alone, with the parser under which the SDK reads header values as they were meant.
            http="h11" if policy is None else StrictHttpToolsProtocol,
            lifespan="on",
            ws="none",
            access_log=False,
            log_level="warning",
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=1,
        )
        _Saying(config).run(sockets=[listener])


def _application(upstream: str, policy: Policy | None) -> ASGIApp:
    if upstream == ELSEWHERE:
        gateway: ASGIApp = importlib.import_module("tunnelgate_app.gateway").create_gateway(policy)
        return gateway
    module, settings = UPSTREAMS[upstream]
    app: ASGIApp = importlib.import_module(module).create_app(**settings)
    return app if policy is None else protect(app, policy)


if __name__ == "__main__":
    main()
