"""Rewriting: what an allowed message becomes before it goes on.

Handles become the names that the server gave, and what the policy does not offer is not asked for:
a server that lacks it would have overlooked it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from tunnelgate.handles import Task
from tunnelgate.messages import MessageRules
from tunnelgate.reading.message import LEGACY_VERSIONS, Kind, Message
from tunnelgate.reading.methods import RELATED_TASK, TASKS_EXTENSION
from tunnelgate.reading.params import CAPABILITIES_KEY, LOG_LEVEL_KEY
from tunnelgate.reading.strict_json import is_object, write_json


def rewrite_response(message: Message, message_id: str | int, tasks: Sequence[Task] = ()) -> Message:
    """Return a response to the request that the server knows as ``message_id``, related to ``tasks``."""
    members = {**message.members, "id": message_id}
    result = message.members.get("result")
    if is_object(result):
        members["result"] = _related(result, tasks)
    return _with_members(message, members)


def rewrite_call(
    message: Message, rules: MessageRules, tasks: Sequence[Task], opened: Mapping[str, str] | None = None
) -> Message:
    """Return a request or notification as the server gets it.

    ``tasks`` are those that it names, and ``opened`` are the parameters that were sealed.
    """
    params: dict[str, Any] = {**_related(message.params, ()), **(opened or {})}
    if message.method == "initialize" and isinstance(params.get("protocolVersion"), str):
        # As a server does that does not speak what is proposed: it says what it speaks.
        is_spoken = params["protocolVersion"] in LEGACY_VERSIONS
        params["protocolVersion"] = params["protocolVersion"] if is_spoken else LEGACY_VERSIONS[0]
    if message.method == "tools/call" and (message.is_modern or not rules.tasks):
        params.pop("task", None)  # SEP-2663: overlooked in the modern era
    if not rules.tasks:
        _leave_tasks_out(message, params)
    if message.method == "subscriptions/listen":
        params["notifications"] = _listened(params["notifications"], tasks)
    elif tasks:
        params["taskId"] = tasks[0].id
    if message.log_level is not None:
        _limit_log_level(message, params, rules.log_level_for(message.log_level))
    if params == message.params:
        return message
    target = tasks[0].id if message.target is not None and tasks else message.target
    return _with_members(replace(message, target=target), {**message.members, "params": params})


def _leave_tasks_out(message: Message, params: dict[str, Any]) -> None:
    """Take away all by which a server would know that the client could go on with tasks."""
    if message.method == "subscriptions/listen":
        params["notifications"] = _without(params["notifications"], "taskIds")
    capabilities = params.get("capabilities")
    if message.method == "initialize" and is_object(capabilities) and "tasks" in capabilities:
        params["capabilities"] = _without(capabilities, "tasks")
    capabilities = params.get("_meta", {}).get(CAPABILITIES_KEY)
    extensions = capabilities.get("extensions") if is_object(capabilities) else None
    if is_object(capabilities) and is_object(extensions) and TASKS_EXTENSION in extensions:
        capabilities = {**capabilities, "extensions": _without(extensions, TASKS_EXTENSION)}
        params["_meta"] = {**params["_meta"], CAPABILITIES_KEY: capabilities}


def _related(holder: Mapping[str, Any], tasks: Sequence[Task]) -> dict[str, Any]:
    meta = holder.get("_meta")
    if not is_object(meta) or RELATED_TASK not in meta:
        return dict(holder)
    meta = _without(meta, RELATED_TASK)
    return {**holder, "_meta": {**meta, RELATED_TASK: {"taskId": tasks[0].id}} if tasks else meta}


def _without(members: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {each: value for each, value in members.items() if each != name}


def _listened(asked: Mapping[str, Any], tasks: Sequence[Task]) -> Mapping[str, Any]:
    return {**asked, "taskIds": [task.id for task in tasks]} if tasks else asked


def _limit_log_level(message: Message, params: dict[str, Any], level: str | None) -> None:
    if message.kind is Kind.REQUEST and message.method == "logging/setLevel":
        params["level"] = level
        return
    meta = _without(params["_meta"], LOG_LEVEL_KEY)
    params["_meta"] = meta if level is None else {**meta, LOG_LEVEL_KEY: level}


def _with_members(message: Message, members: Mapping[str, Any]) -> Message:
    return replace(message, members=members, canonical=write_json(members))
