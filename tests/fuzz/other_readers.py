"""How others would read the JSON that the gate has read: readers that share no code with ours."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from tunnelgate.reading.message import Message

Reader = Callable[[bytes], Any]

# The members of `params` by which one or another method says what it asks for.
_NAMES = ("name", "uri", "taskId")


def folding(raw: bytes) -> Any:
    """Read as the most careless of parsers: members are found in any case, and the last one counts."""
    return json.loads(raw, object_pairs_hook=_folded)


def first_wins(raw: bytes) -> Any:
    """Read as the parsers do that stop looking for a member at the first one of its name."""
    return json.loads(raw, object_pairs_hook=_first_of_each)


OTHERS: Mapping[str, Reader] = {
    "CPython's json": json.loads,
    "orjson": orjson.loads,
    "a reader that folds case": folding,
    "a reader for whom the first counts": first_wins,
}


def exactly(value: Any) -> str:
    """Return a text that two values share only if they have the same types, members and order."""
    return repr(value)


def seen_by(read: Reader, raw: bytes) -> str:
    """Return, exactly, the method, the id and the names that `read` finds in the message `raw`."""
    members = read(raw)
    params = members.get("params", {})
    names = [params.get(name.casefold() if read is folding else name) for name in _NAMES]
    return seen(members.get("method", ""), members.get("id"), names, params.get("ref"))


def seen(method: str, message_id: Any, names: list[Any], reference: Any) -> str:
    """Return the same of a message that somebody has read already."""
    reference = reference if method == "completion/complete" else None
    return exactly((method, message_id, names, reference))


def seen_by_the_gate(message: Message) -> str:
    """Return what the gate finds; what it takes for the target must be one of the names."""
    params = message.params
    names = [params.get(name) for name in _NAMES]
    if message.method == "completion/complete":
        assert message.target in (params["ref"].get("name"), params["ref"].get("uri"))
    elif message.target is not None:
        assert message.target in names
    return seen(message.method, message.id, names, params.get("ref"))


def _folded(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    return {name.casefold(): value for name, value in pairs}


def _first_of_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members: dict[str, Any] = {}
    for name, value in pairs:
        members.setdefault(name, value)
    return members
