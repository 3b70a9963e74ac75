"""Capabilities: what a server says that it can do, cut down to what the policy lets it do.

A client asks for what a server advertises, and takes a refusal for a fault of the server.

Specification: https://modelcontextprotocol.io/specification/2025-11-25/basic/lifecycle#initialization,
https://modelcontextprotocol.io/specification/2026-07-28/server/discover
"""

from typing import Any

from tunnelgate.messages import MessageRules
from tunnelgate.reading.fault import Fault
from tunnelgate.reading.message import LEGACY_VERSIONS, SUPPORTED_VERSIONS
from tunnelgate.reading.methods import TASKS_EXTENSION
from tunnelgate.reading.strict_json import is_array, is_object
from tunnelgate.verdict import Reason


def limit_capabilities(method: str, result: dict[str, Any], rules: MessageRules) -> None:
    """Cut down the result of ``initialize`` or ``server/discover`` to what ``rules`` serve.

    Raises :class:`~tunnelgate.reading.fault.Fault` for a version that is not spoken here, and where
    there are no capabilities to cut down.
    """
    if method == "initialize" and result.get("protocolVersion") not in LEGACY_VERSIONS:
        raise Fault(Reason.ANSWER_NOT_VALID, "a protocol version that is not spoken here")
    versions = result.get("supportedVersions")
    if is_array(versions):
        result["supportedVersions"] = [each for each in versions if each in SUPPORTED_VERSIONS]
    capabilities = result.get("capabilities")
    if not is_object(capabilities):
        raise Fault(Reason.ANSWER_NOT_VALID, "capabilities is not an object")
    areas = {"completions": "completion/complete"}
    offered = {
        name: settings for name, settings in capabilities.items() if rules.serves(areas.get(name, f"{name}/"))
    }
    tasks = offered.get("tasks")
    if is_object(tasks):
        # A list of tasks would be everybody's: whose a task is, is known from its handle alone.
        offered["tasks"] = {name: settings for name, settings in tasks.items() if name != "list"}
    extensions = offered.get("extensions")
    if is_object(extensions) and not rules.tasks:
        offered["extensions"] = {
            name: settings for name, settings in extensions.items() if name != TASKS_EXTENSION
        }
    result["capabilities"] = offered
