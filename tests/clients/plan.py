"""What the clients do with which server, and what the policy keeps from them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Era = Literal["modern", "legacy", "auto"]
VERSIONS: Mapping[Era, str] = {"modern": "2026-07-28", "legacy": "2025-11-25"}

NAMES = {
    "tool": "test_simple_text",
    "hidden tool": "test_image_content",
    "missing tool": "no_such_tool",
    "prompt": "test_prompt_with_arguments",
    "hidden prompt": "test_prompt_with_image",
    "missing prompt": "no_such_prompt",
    "resource": "test://static-text",
    "hidden resource": "test://static-binary",
    "missing resource": "test://no-such-resource",
    "template": "test://template/{id}/data",
    "instance": "test://template/7/data",
}
ALLOWED_TOOLS = (
    "test_simple_text",
    "test_error_handling",
    "test_tool_with_progress",
    "test_tool_with_logging",
    "test_elicitation",
    "test_sampling",
    "test_trigger_tool_change",
    "test_reconnection",
    "json_schema_2020_12_tool",
    "test_input_required_result_elicitation",
    "test_input_required_result_sampling",
    "test_input_required_result_list_roots",
    "test_input_required_result_multiple_inputs",
    "test_input_required_result_multi_round",
    "test_input_required_result_request_state",
)
ALLOWED_PROMPTS = ("test_prompt_with_arguments", "test_input_required_result_prompt")
ALLOWED_RESOURCES = ("test://static-text", "test://watched-resource", "test://template/{id}/data")
SCOPE = "fixtures:use"

_BOTH = (
    "connect",
    "list tools",
    "list prompts",
    "list resources",
    "list templates",
    "call a tool",
    "call a hidden tool",
    "call a missing tool",
    "call again",
    "get a prompt",
    "get a hidden prompt",
    "get a missing prompt",
    "read a resource",
    "read through a template",
    "read a hidden resource",
    "read a missing resource",
    "complete a prompt",
    "complete a template",
    "complete a hidden prompt",
    "progress",
)
_LEGACY = (
    "ping",
    "log lines by session",
    "elicitation",
    "sampling",
    "subscribe",
    "subscribe to a hidden resource",
    "unsubscribe",
    "list changed",
    "resume a stream",
    "call again",
    "use a closed session",
)
_MODERN = (
    "log lines by request",
    "input: elicitation",
    "input: sampling",
    "input: roots",
    "input: three at once",
    "input: two rounds",
    "input: sealed state",
    "input: a prompt asks",
    "listen to the list of tools",
    "listen to a resource",
    "listen to a hidden resource",
    "call again",
)


# Where only tools are listed, nothing else may be offered: clients ask at once for what is.
_TOOLS_ONLY = frozenset(
    {
        "connect",
        "list tools",
        "call a tool",
        "call a hidden tool",
        "call a missing tool",
        "call again",
        "progress",
        "elicitation",
        "sampling",
        "input: elicitation",
        "use a closed session",
    }
)


@dataclass(frozen=True)
class Setting:
    """A server, the era in which a client ends that speaks both, and how much of it the policy lists."""

    upstream: str
    eras: Sequence[Era]
    auto: Era
    lacks: frozenset[str] = frozenset()
    tools_only: bool = False

    def era_of(self, asked: Era) -> Era:
        return self.auto if asked == "auto" else asked

    def steps(self, asked: Era) -> list[str]:
        """Return the steps for a client that was told to speak ``asked``."""
        era = self.era_of(asked)
        if era not in self.eras:
            return ["connect"]  # which fails, with the gate as without
        wanted = (*_BOTH, *(_LEGACY if era == "legacy" else _MODERN))
        kept = _TOOLS_ONLY if self.tools_only else frozenset(wanted)
        return [step for step in wanted if step in kept - self.lacks]


SETTINGS = {
    "everything": Setting("everything", eras=("modern", "legacy", "auto"), auto="modern"),
    "tools-only": Setting("everything", eras=("modern", "legacy"), auto="modern", tools_only=True),
    "legacy": Setting("legacy", eras=("legacy", "auto"), auto="legacy", lacks=frozenset({"resume a stream"})),
    "modern": Setting("modern", eras=("modern", "auto"), auto="modern"),
}


def policy(
    setting: Setting, port: int, jwks_file: str, audit_file: str, upstream: int | None = None
) -> dict[str, Any]:
    """Return the policy of a gate that clients reach at ``port``; ``upstream`` is that of a remote server."""
    route: dict[str, Any] = {"scopes": [SCOPE], "tools": list(ALLOWED_TOOLS), "tasks": True}
    if not setting.tools_only:
        route |= {
            "prompts": list(ALLOWED_PROMPTS),
            "resources": list(ALLOWED_RESOURCES),
            "client_log_level": "debug",
        }
    if upstream is not None:
        route |= {"upstream": f"http://127.0.0.1:{upstream}"}
    return {
        "public_scheme": "http",
        "public_port": port,
        "clients": {"allowed_ips": ["127.0.0.0/8"]},
        "upstream": {"allowed_ips": ["127.0.0.1"]},
        "oauth": {"issuers": [{"issuer": "https://login.example.com", "jwks_file": jwks_file}]},
        "audit": {"file": audit_file},
        "routes": {"127.0.0.1": route},
    }
