"""Prints what the official client and its user do when a tool needs a further scope.

python -m tests.e2e.login_transcript
"""

import asyncio
import logging
import tempfile
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import parse_qsl, urlencode

from tests.e2e.logging_in import Step, Storage, Tunnel, tunnel

_SHOWN = 6  # characters of what is secret, or random
_CUT = ("code", "code_challenge", "code_verifier", "state", "request", "refresh_token", "client_id")


async def step_up(demo: Tunnel, storage: Storage) -> int:
    """Log in, list the tools, and call the one that needs more; return where the call begins."""
    async with demo.client(storage) as client:
        await client.list_tools()
        begin = len(demo.steps)
        result = await client.call_tool("read_doc", {"path": "tunnels.md"})
        assert not result.is_error, result
        return begin


def lines_of(steps: Sequence[Step]) -> list[str]:
    """Return the steps as text, with what is secret cut short."""
    lines: list[str] = []
    for step in steps:
        path, _, query = step.url.partition("?")
        shown = f"?{_cut(query)}" if query else ""
        lines.append(f"{step.who:6} {step.method} {path}{shown}")
        if step.authorization:
            scheme, _, token = step.authorization.partition(" ")
            lines.append(f"       Authorization: {scheme} {_short(token)}")
        if step.sent and not query:
            lines.append(f"       {_cut(urlencode(step.sent))}")
        lines.append(f"       {step.status}")
        if step.challenge:
            lines.append(f"       WWW-Authenticate: {step.challenge}")
    return lines


def _cut(encoded: str) -> str:
    return "&".join(
        f"{name}={_short(value) if name in _CUT else value}" for name, value in parse_qsl(encoded)
    )


def _short(value: str) -> str:
    return f"{value[:_SHOWN]}…"


def main() -> None:
    """Print the transcript."""
    logging.disable()
    with tempfile.TemporaryDirectory() as folder, tunnel(Path(folder)) as demo:
        begin = asyncio.run(step_up(demo, Storage()))
    print("\n".join(lines_of(demo.steps[begin:])))  # noqa: T201 - it is what this is for


if __name__ == "__main__":
    main()
