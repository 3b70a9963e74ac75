"""The Inspector's command line as a client: one process for each step that it has a word for."""

import json
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any

from tests.clients.plan import NAMES, Era

_LIMIT = 60
_LISTED = {
    "tools/list": "tools",
    "prompts/list": "prompts",
    "resources/list": "resources",
    "resources/templates/list": "resourceTemplates",
}


def _call(tool: str) -> tuple[str, ...]:
    return "tools/call", "--tool-name", tool, "--tool-args-json", "{}"


def _get(prompt: str, *arguments: str) -> tuple[str, ...]:
    given = ("--prompt-args", *arguments) if arguments else ()
    return "prompts/get", "--prompt-name", prompt, *given


def _read(uri: str) -> tuple[str, ...]:
    return "resources/read", "--uri", uri


STEPS: Mapping[str, tuple[str, ...]] = {
    "connect": ("initialize",),
    "list tools": ("tools/list",),
    "list prompts": ("prompts/list",),
    "list resources": ("resources/list",),
    "list templates": ("resources/templates/list",),
    "call a tool": _call(NAMES["tool"]),
    "call a hidden tool": _call(NAMES["hidden tool"]),
    "call a missing tool": _call(NAMES["missing tool"]),
    "call again": _call(NAMES["tool"]),
    "get a prompt": _get(NAMES["prompt"], "arg1=one", "arg2=two"),
    "get a hidden prompt": _get(NAMES["hidden prompt"]),
    "get a missing prompt": _get(NAMES["missing prompt"]),
    "read a resource": _read(NAMES["resource"]),
    "read through a template": _read(NAMES["instance"]),
    "read a hidden resource": _read(NAMES["hidden resource"]),
    "read a missing resource": _read(NAMES["missing resource"]),
    "progress": _call("test_tool_with_progress"),
    "log lines by session": ("logging/setLevel", "--log-level", "info"),
}


# A process for each step takes a while; these show that the command line gets on with a server.
FEW = frozenset(
    {"connect", "list tools", "list prompts", "call a tool", "call a hidden tool", "read a resource"}
)


def run(
    cli: Sequence[str],
    url: str,
    era: Era,
    token: str | None,
    steps: Sequence[str],
    environment: Mapping[str, str],
) -> list[dict[str, Any]]:
    """Take those of ``steps`` that the command line can."""
    given = [] if token is None else ["--header", f"Authorization: Bearer {token}"]
    common = [*cli, "--transport", "http", "--server-url", url, *given, "--protocol-era", era]
    common += ["--stored-auth-only", "--format", "json", "--quiet"]
    return [
        {"step": step, **_ask([*common, "--method", *STEPS[step]], STEPS[step][0], environment)}
        for step in steps
        if step in STEPS
    ]


def _ask(command: Sequence[str], method: str, environment: Mapping[str, str]) -> dict[str, Any]:
    try:
        ended = subprocess.run(
            command,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_LIMIT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return {"failed": "the command did not end"}
    if ended.returncode == 0:
        return {"saw": _seen(json.loads(ended.stdout)["result"], method)}
    envelopes = [line for line in ended.stderr.splitlines() if line.startswith('{"error"')]
    if not envelopes:
        return {"failed": f"exit {ended.returncode}: {ended.stderr[-2000:]}"}
    error = json.loads(envelopes[-1])["error"]
    return {"error": error, "exit": ended.returncode}


def _seen(result: dict[str, Any], method: str) -> Any:
    if method == "initialize":
        return {**result, "version": result.get("protocolVersion")}
    if method in _LISTED:
        entries = result.pop(_LISTED[method])
        return {"entries": entries, "pages": [result]}
    return result
