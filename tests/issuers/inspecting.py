"""The Inspector's command line at a route, with a token of the certified issuer.

python -m tests.issuers.inspecting      prints what a person would type and see
"""

import asyncio
import json
import shlex
import subprocess
import sys
from collections.abc import Sequence

import jwt as pyjwt

from tests.clients.clients import HERE as CLIENTS
from tests.clients.clients import STATE as CLIENTS_STATE
from tests.clients.clients import environment
from tests.issuers.gate import SCOPE, gate
from tests.issuers.provider import Resource, provider
from tests.support import npm

LIST = ("--method", "tools/list")
CALL = ("--method", "tools/call", "--tool-name", "whoami")
_LIMIT = 60


def inspect(url: str, token: str, question: Sequence[str]) -> "subprocess.CompletedProcess[str]":
    """Ask the MCP server at ``url`` with ``mcp-inspector --cli``, and return how that ended."""
    script = npm.install(CLIENTS, CLIENTS_STATE) / ".bin" / "mcp-inspector"
    home = CLIENTS_STATE / "home"
    home.mkdir(exist_ok=True)
    return subprocess.run(
        [str(npm.NODE), str(script), *arguments(url, token, question)],
        env=environment(home),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_LIMIT,
        check=False,
    )


def arguments(url: str, token: str, question: Sequence[str]) -> list[str]:
    """Return the arguments of ``mcp-inspector``."""
    header = f"Authorization: Bearer {token}"
    asked = ["--cli", "--transport", "http", "--server-url", url, "--header", header, *question]
    return [*asked, "--stored-auth-only", "--format", "json", "--quiet"]


def main() -> int:
    """Print a transcript; the token is cut."""
    with provider() as issuer, gate([{"issuer": issuer.url}]) as front:
        issuer.serve({front.resource(): Resource(SCOPE)})
        token = asyncio.run(issuer.token(front.resource()))
        lines = [
            f"oidc-provider at {issuer.url} issued to the client agent:",
            json.dumps(pyjwt.get_unverified_header(token)),
            json.dumps(pyjwt.decode(token, options={"verify_signature": False})),
        ]
        for question in (LIST, CALL):
            ended = inspect(front.resource(), token, question)
            lines.append(f"$ mcp-inspector {shlex.join(arguments(front.resource(), 'eyJ…', question))}")
            lines.append((ended.stdout or ended.stderr).strip())
            if ended.returncode:
                lines.append(f"exit {ended.returncode}")
    decisions = [json.dumps(dict(record)) for record in front.records.all]
    sys.stdout.write("\n".join([*lines, "The gate wrote down:", *decisions, ""]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
