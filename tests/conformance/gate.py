"""Serves the fixtures behind the whole gate: ``python -m tests.conformance.gate --port 3102 --http h11``.

They are mounted in it, or with ``--upstream http://127.0.0.1:3101`` are a server elsewhere.
Prints where it listens, and then the command of the forwarder that gives the conformance programs what
the gate asks for: a token, and the name of the route.
"""

import argparse
import asyncio
import shlex
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.conformance.everything.prompts import list_prompts
from tests.conformance.everything.resources import list_resources, list_templates
from tests.conformance.everything.server import TOOLS, create_app
from tests.support.tokens import ISSUER, Token, jwks
from tunnelgate import Audit, Clients, Issuer, OAuth, Policy, Route, RouteUpstream, Upstreams, protect
from tunnelgate.asgi import ASGIApp
from tunnelgate_app.gateway import create_gateway
from tunnelgate_app.listening.addresses import open_listener
from tunnelgate_app.server import run

_HOST = "everything.tunnel.localhost"
_ORIGIN = f"http://{_HOST}"
_SCOPE = "conformance"
_TOKEN_SECONDS = 3600
_ANYBODY: Any = None  # the fixtures list the same to every caller


def main() -> int:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(
        prog="gate", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--http", choices=("strict", "h11"), default="strict", help="what parses requests")
    parser.add_argument("--audit", type=Path, default=Path("-"), help="the file for decisions")
    parser.add_argument("--upstream", help="where the fixtures are, when they are not to be mounted")
    options = parser.parse_args()
    with TemporaryDirectory() as folder:
        keys = Path(folder) / "jwks.json"
        keys.write_bytes(jwks("ES256"))
        policy = asyncio.run(_policy(options.audit, keys, options.upstream))
        app = _mounted(policy) if options.upstream is None else create_gateway(policy)
    with open_listener(f"127.0.0.1:{options.port}") as listener:
        port: int = listener.getsockname()[1]
        claims = {
            "aud": policy.resource(_HOST),
            "scope": _SCOPE,
            "exp": int(time.time()) + _TOKEN_SECONDS,
        }
        forwarder = [
            *("python", "-m", "tests.conformance.inject", "--to", str(port)),
            *("--host", _HOST, "--origin", _ORIGIN),
            *("--header", f"Authorization: Bearer {Token(claims=claims).mint()}"),
        ]
        sys.stdout.write(f"listening on http://127.0.0.1:{port}/mcp\n{shlex.join(forwarder)}\n")
        sys.stdout.flush()
        return int(not run(app, listener, parser=options.http, shutdown_timeout=1))


def _mounted(policy: Policy) -> ASGIApp:
    # Which hosts and origins are answered is for the gate to say, so the fixtures answer to all.
    return protect(create_app(any_host=True), policy)


async def _policy(audit: Path, keys: Path, upstream: str | None) -> Policy:
    """Return a policy that asks everything of a client, and lists every fixture by its name."""
    prompts = (await list_prompts(_ANYBODY, None)).prompts
    resources = (await list_resources(_ANYBODY, None)).resources
    templates = (await list_templates(_ANYBODY, None)).resource_templates
    return Policy(
        public_scheme="http",
        clients=Clients(allowed_ips=["127.0.0.1"]),
        upstream=Upstreams(allowed_ips=["127.0.0.1"]),
        oauth=OAuth(issuers=[Issuer(issuer=ISSUER, jwks_file=str(keys))]),
        routes={
            _HOST: Route(
                upstream=None if upstream is None else RouteUpstream(url=upstream),
                scopes=[_SCOPE],
                origins=[_ORIGIN],
                tools=list(TOOLS),
                prompts=[prompt.name for prompt in prompts],
                resources=[
                    *(str(resource.uri) for resource in resources),
                    *(template.uri_template for template in templates),
                ],
                client_log_level="debug",
                tasks=True,
            )
        },
        audit=Audit(file=str(audit)),
    )


if __name__ == "__main__":
    sys.exit(main())
