"""Reads of a message's parameters what decides about it: names, URIs, levels.

Specification: https://modelcontextprotocol.io/specification/2026-07-28/schema
"""

from collections.abc import Mapping
from typing import Any

from tunnelgate.reading.fault import Fault
from tunnelgate.reading.methods import (
    DECIDING_CAPABILITIES,
    DECIDING_META,
    DECIDING_PARAMS,
    LOG_LEVELS,
    MAX_HANDLE,
    MAX_NAME,
    MAX_URI,
    Method,
    lookalike_in,
)
from tunnelgate.reading.strict_json import is_array, is_object
from tunnelgate.verdict import Reason

MAX_SUBSCRIPTIONS = 256

VERSION_KEY = "io.modelcontextprotocol/protocolVersion"
CAPABILITIES_KEY = "io.modelcontextprotocol/clientCapabilities"
LOG_LEVEL_KEY = "io.modelcontextprotocol/logLevel"

SUBSCRIPTIONS = frozenset(
    {"toolsListChanged", "promptsListChanged", "resourcesListChanged", "resourceSubscriptions", "taskIds"}
)
_REFERENCE_MEMBERS = frozenset({"type", "name", "title", "uri"})


def check_members(
    name: str, method: Method | None, params: Mapping[str, Any], meta: Mapping[str, Any]
) -> None:
    """Check that nothing in ``params`` could be read differently; raises ``Fault``."""
    if method is not None and not params.keys() <= method.members:
        raise Fault(Reason.MESSAGE_INVALID, f"params has a member that {name} does not have")
    if params.get("arguments") is not None and not is_object(params["arguments"]):
        raise Fault(Reason.MESSAGE_INVALID, "arguments is not an object")
    lookalike = lookalike_in(params, DECIDING_PARAMS) or lookalike_in(meta, DECIDING_META)
    for said in (params.get("capabilities") if name == "initialize" else None, meta.get(CAPABILITIES_KEY)):
        capabilities = _object(said)
        extensions = _object(capabilities.get("extensions"))
        lookalike = lookalike or lookalike_in((*capabilities, *extensions), DECIDING_CAPABILITIES)
    if lookalike is not None:
        raise Fault(Reason.MESSAGE_INVALID, f"{lookalike[:80]!r} differs by case from a member that decides")


def _object(value: Any) -> Mapping[str, Any]:
    return value if is_object(value) else {}


def read_target(name: str, method: Method, params: Mapping[str, Any]) -> str | None:
    """Return the tool, prompt, URI or task that is asked for, if any; raises ``Fault``."""
    if name == "completion/complete":
        return _read_reference(params.get("ref"))
    if name == "subscriptions/listen":
        _check_subscriptions(params.get("notifications"))
    if method.target is None:
        return None
    target = params.get(method.target.member)
    if not isinstance(target, str) or not 0 < len(target) <= method.target.longest:
        raise Fault(
            Reason.MESSAGE_INVALID,
            f"{method.target.member} is not a text of at most {method.target.longest} characters",
        )
    return target


def _read_reference(reference: Any) -> str:
    if not is_object(reference) or not reference.keys() <= _REFERENCE_MEMBERS:
        raise Fault(Reason.MESSAGE_INVALID, "ref is not a reference")
    member, longest = {"ref/prompt": ("name", MAX_NAME), "ref/resource": ("uri", MAX_URI)}.get(
        str(reference.get("type")), ("", 0)
    )
    target = reference.get(member)
    if not isinstance(target, str) or not 0 < len(target) <= longest or {"name", "uri"} <= reference.keys():
        raise Fault(Reason.MESSAGE_INVALID, "ref names neither one prompt nor one resource")
    return target


def _check_subscriptions(asked: Any) -> None:
    if not is_object(asked) or not asked.keys() <= SUBSCRIPTIONS:
        raise Fault(Reason.MESSAGE_INVALID, "notifications is not a filter")
    for member, longest in (("resourceSubscriptions", MAX_URI), ("taskIds", MAX_HANDLE)):
        texts = asked.get(member, [])
        if not is_array(texts) or len(texts) > MAX_SUBSCRIPTIONS:
            raise Fault(Reason.MESSAGE_INVALID, f"{member} is not a list of at most {MAX_SUBSCRIPTIONS}")
        if not all(isinstance(text, str) and 0 < len(text) <= longest for text in texts):
            raise Fault(Reason.MESSAGE_INVALID, f"{member} holds what is not a text of at most {longest}")


def read_log_level(name: str, params: Mapping[str, Any], meta: Mapping[str, Any]) -> str | None:
    """Return the least severe level of log messages that is asked for, if any; raises ``Fault``."""
    level = params.get("level") if name == "logging/setLevel" else meta.get(LOG_LEVEL_KEY)
    if level is None and name != "logging/setLevel":
        return None
    if not isinstance(level, str) or level not in LOG_LEVELS:
        raise Fault(Reason.PARAMS_INVALID, "not a log level")
    return level
