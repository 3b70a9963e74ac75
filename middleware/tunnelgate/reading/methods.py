"""The methods that MCP has: who sends them, in which era, and what their parameters consist of.

A method that is not here is not part of the protocol. Whether one that is may pass is not decided
here.

Specification: https://modelcontextprotocol.io/specification/2026-07-28/schema,
https://modelcontextprotocol.io/specification/2025-11-25/schema, SEP-2663 for tasks in 2026-07-28.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Flag, auto
from functools import cache

MAX_NAME = 256  # characters of a method, a tool, a prompt or a task; the specification advises 128
MAX_URI = 2048
MAX_HANDLE = 4096  # of a sealed name that a client holds

RELATED_TASK = "io.modelcontextprotocol/related-task"
TASKS_EXTENSION = "io.modelcontextprotocol/tasks"


class Era(Flag):
    """Which revisions of the protocol something belongs to."""

    LEGACY = auto()
    MODERN = auto()
    BOTH = LEGACY | MODERN


@dataclass(frozen=True, slots=True)
class Target:
    """The member of ``params`` that names what is asked for, and its longest value."""

    member: str
    longest: int


@dataclass(frozen=True, slots=True)
class Method:
    """A request or a notification.

    ``members`` are those that ``params`` may have. A member that is not among them could be one
    that another parser takes for one that is, so it is not passed on.
    """

    members: frozenset[str] = frozenset()
    era: Era = Era.BOTH
    target: Target | None = field(default=None, kw_only=True)


_TOOL_OR_PROMPT = Target("name", MAX_NAME)
_RESOURCE = Target("uri", MAX_URI)
_TASK = Target("taskId", MAX_HANDLE)


def _method(members: str = "", era: Era = Era.BOTH, target: Target | None = None) -> Method:
    return Method(frozenset({"_meta", *members.split()}), era, target=target)


_RETRIED = " inputResponses requestState"

CLIENT_REQUESTS: Mapping[str, Method] = {
    "completion/complete": _method("ref argument context"),
    "initialize": _method("protocolVersion capabilities clientInfo", Era.LEGACY),
    "logging/setLevel": _method("level", Era.LEGACY),
    "ping": _method("", Era.LEGACY),
    "prompts/get": _method("name arguments" + _RETRIED, target=_TOOL_OR_PROMPT),
    "prompts/list": _method("cursor"),
    "resources/list": _method("cursor"),
    "resources/read": _method("uri" + _RETRIED, target=_RESOURCE),
    "resources/subscribe": _method("uri", Era.LEGACY, _RESOURCE),
    "resources/templates/list": _method("cursor"),
    "resources/unsubscribe": _method("uri", Era.LEGACY, _RESOURCE),
    "server/discover": _method("", Era.MODERN),
    "subscriptions/listen": _method("notifications", Era.MODERN),
    "tasks/cancel": _method("taskId", target=_TASK),
    "tasks/get": _method("taskId", target=_TASK),
    "tasks/result": _method("taskId", Era.LEGACY, _TASK),
    "tasks/update": _method("taskId inputResponses", Era.MODERN, _TASK),
    "tools/call": _method("name arguments task" + _RETRIED, target=_TOOL_OR_PROMPT),
    "tools/list": _method("cursor"),
}
CLIENT_NOTIFICATIONS: Mapping[str, Method] = {
    "notifications/cancelled": _method("requestId reason"),
    "notifications/initialized": _method("", Era.LEGACY),
    "notifications/progress": _method("progressToken progress total message", Era.LEGACY),
    "notifications/roots/list_changed": _method("", Era.LEGACY),
    "notifications/tasks/status": _method(
        "taskId status statusMessage createdAt lastUpdatedAt ttl pollInterval", Era.LEGACY
    ),
}
CLIENT_METHODS: Mapping[str, Method] = {**CLIENT_REQUESTS, **CLIENT_NOTIFICATIONS}

# What a server may ask a client is for the client to judge, so that only the names stand here.
SERVER_REQUESTS: Mapping[str, Era] = dict.fromkeys(
    (
        "elicitation/create",
        "ping",
        "roots/list",
        "sampling/createMessage",
        "tasks/cancel",
        "tasks/get",
        "tasks/list",
        "tasks/result",
    ),
    Era.LEGACY,
)
# What a result of 2026-07-28 may ask for in place of a request.
MULTI_ROUND_TRIP_REQUESTS = frozenset({"elicitation/create", "roots/list", "sampling/createMessage"})
SERVER_NOTIFICATIONS: Mapping[str, Era] = {
    "notifications/cancelled": Era.BOTH,
    "notifications/elicitation/complete": Era.LEGACY,
    "notifications/message": Era.BOTH,
    "notifications/progress": Era.BOTH,
    "notifications/prompts/list_changed": Era.BOTH,
    "notifications/resources/list_changed": Era.BOTH,
    "notifications/resources/updated": Era.BOTH,
    "notifications/subscriptions/acknowledged": Era.MODERN,
    "notifications/tasks": Era.MODERN,
    "notifications/tasks/status": Era.LEGACY,
    "notifications/tools/list_changed": Era.BOTH,
}

# The members of the table above that the legacy era does not have.
MODERN_MEMBERS = frozenset({"inputResponses", "requestState"})

# The requests whose target `Mcp-Name` repeats: the specification's "Request Metadata", SEP-2663.
MIRRORED = frozenset(
    name for name, method in CLIENT_REQUESTS.items() if method.target is not None and Era.MODERN in method.era
)

# From the least severe to the most: RFC 5424 section 6.2.1.
LOG_LEVELS = ("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency")

# Members that decide, in ``params`` of a method that is not known here and in ``_meta`` of any.
DECIDING_PARAMS = frozenset({"_meta", "arguments", "cursor", "name", "ref", "taskId", "uri"})
DECIDING_CAPABILITIES = frozenset({"extensions", "tasks", TASKS_EXTENSION})
DECIDING_META = frozenset(
    {
        "io.modelcontextprotocol/clientCapabilities",
        "io.modelcontextprotocol/logLevel",
        "io.modelcontextprotocol/protocolVersion",
        "io.modelcontextprotocol/related-task",
        "io.modelcontextprotocol/subscriptionId",
        "progressToken",
    }
)


def lookalike_in(members: Iterable[str], deciding: frozenset[str]) -> str | None:
    """Return a member that a reader who folds letter case takes for one that decides, if there is one."""
    for member in members:
        if member not in deciding and _fold(member) in _folded(deciding):
            return member
    return None


def _fold(name: str) -> str:
    # Java's equalsIgnoreCase takes the dotless and the dotted i for i as well.
    return name.replace("\u0130", "i").replace("\u0131", "i").casefold()


@cache
def _folded(names: frozenset[str]) -> frozenset[str]:
    return frozenset(map(_fold, names))
