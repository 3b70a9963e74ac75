"""Where a configuration comes from: one YAML file, and environment variables over it."""

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import yaml
from pydantic import BaseModel

from tunnelgate.configuration.raw import get, sequence
from tunnelgate.errors import ConfigurationError, ConfigurationFault
from tunnelgate.reading.strict_json import is_array, is_object

PREFIX = "TUNNELGATE_"
MAX_SIZE = 1024 * 1024  # octets of a configuration
_MAX_VALUES = 100_000
_WRITTEN = ("audit", "file")
_FILES = (
    _WRITTEN,
    ("oauth", "issuers", "*", "introspection", "client_secret_file"),
    ("oauth", "issuers", "*", "jwks_file"),
    ("routes", "*", "credentials", "bearer_file"),
    ("routes", "*", "credentials", "client_credentials", "client_secret_file"),
    ("routes", "*", "credentials", "token_exchange", "client_secret_file"),
    *(
        (*section, "tls", name)
        for section in (("routes", "*", "upstream"), ("upstream",))
        for name in ("ca_file", "cert_file", "key_file")
    ),
    ("sealing_keys", "*"),
    ("tls", "cert_file"),
    ("tls", "client_ca_file"),
    ("tls", "key_file"),
)
_STANDARD_OUTPUT = "-"
# Variables that the commands read themselves; every other one with the prefix must be a setting.
RESERVED = frozenset({"TUNNELGATE_CONFIG", "TUNNELGATE_STATE"})


class _StrictLoader(yaml.SafeLoader):
    """A safe loader that does not let the second of two equal keys win silently."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002 - PyYAML's signature
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = cast("object", self.construct_object(key_node, deep=True))  # pyright: ignore[reportUnknownMemberType] - the stub leaves the node's type open
            if not isinstance(key, str):
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} is not a text", key_node.start_mark
                )
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} stands twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the mapping in a YAML file.

    Raises :class:`~tunnelgate.errors.ConfigurationError` with one sentence when there is none.
    """
    try:
        with open(path, "rb", opener=_open) as file:
            octets = file.read(MAX_SIZE + 1)
        text = octets.decode("utf-8")
    except OSError as error:
        raise _one_fault(path, f"cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise _one_fault(path, "cannot be read: it is not UTF-8") from None
    if len(octets) > MAX_SIZE:
        raise _one_fault(path, f"is larger than {MAX_SIZE} octets")
    try:
        value = _load(text)
    except yaml.MarkedYAMLError as error:
        line = "" if error.problem_mark is None else f" in line {error.problem_mark.line + 1}"
        raise _one_fault(path, f"is not YAML{line}: {error.problem}") from None
    except yaml.YAMLError as error:
        raise _one_fault(path, f"is not YAML: {error}") from None
    except Exception as error:  # noqa: BLE001 - its constructors raise whatever int() and datetime do
        raise _one_fault(path, f"is not YAML: {type(error).__name__}: {error}") from None
    if not isinstance(value, dict):
        raise _one_fault(path, "is not a mapping of settings")
    return cast("dict[str, Any]", value)


def _open(path: str, flags: int) -> int:
    # Or opening a pipe would wait for somebody to write into it.
    descriptor = os.open(path, flags | os.O_NONBLOCK)
    os.set_blocking(descriptor, True)
    return descriptor


def _load(text: str) -> object:
    loader = _StrictLoader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        if _count(node, {}) > _MAX_VALUES:
            raise yaml.YAMLError(f"it has more than {_MAX_VALUES} values where its aliases are written out")
        value: object = loader.construct_document(node)  # pyright: ignore[reportUnknownMemberType] - the stub leaves the node's type open
        return value
    finally:
        loader.dispose()


def _count(node: yaml.Node, counted: dict[yaml.Node, int]) -> int:
    if node in counted:
        if not counted[node]:
            raise yaml.YAMLError("an alias stands within what it is an alias of")
        return counted[node]
    counted[node] = 0
    members: Iterable[yaml.Node] = ()
    if isinstance(node, yaml.MappingNode):
        members = (each for pair in node.value for each in pair)
    elif isinstance(node, yaml.SequenceNode):
        members = node.value
    counted[node] = 1 + sum(_count(each, counted) for each in members)
    return counted[node]


def in_full(data: dict[str, Any]) -> dict[str, Any]:
    """Return ``data`` with what is written short written in full, so that a variable can lie over it."""
    routes = data.get("routes")
    if not is_object(routes):
        return data
    return {**data, "routes": {name: _route_in_full(route) for name, route in routes.items()}}


def _route_in_full(route: Any) -> Any:
    if isinstance(route, str):
        return {"upstream": {"url": route}}
    if is_object(route) and isinstance(route.get("upstream"), str):
        return {**route, "upstream": {"url": route["upstream"]}}
    return route


def beside(folder: Path, data: dict[str, Any]) -> dict[str, Any]:
    """Return ``data`` with its files looked for in ``folder``, where the file that names them lies."""
    for keys in _FILES:
        data = _joined(folder, data, keys)
    return data


def _joined(folder: Path, value: Any, keys: Sequence[str]) -> Any:
    if not keys:
        return str(folder / value) if isinstance(value, str) and value != _STANDARD_OUTPUT else value
    if is_array(value) and keys[0] == "*":
        return [_joined(folder, each, keys[1:]) for each in value]
    if is_object(value) and keys[0] == "*":
        return {key: _joined(folder, each, keys[1:]) for key, each in value.items()}
    if is_object(value) and keys[0] in value:
        return {**value, keys[0]: _joined(folder, value[keys[0]], keys[1:])}
    return value


def files_of(data: object) -> tuple[str, ...]:
    """Return the files that a configuration names to be read, each once; ``data`` may be a policy."""
    found = [file for keys in _FILES if keys != _WRITTEN for file in _found(data, keys)]
    return tuple(dict.fromkeys(found))


def _found(value: Any, keys: Sequence[str]) -> Iterator[str]:
    if not keys:
        if isinstance(value, str | Path):
            yield str(value)
    elif keys[0] == "*":
        members = cast("Mapping[str, Any]", value).values() if isinstance(value, Mapping) else sequence(value)
        for each in members:
            yield from _found(each, keys[1:])
    else:
        yield from _found(get(value, keys[0]), keys[1:])


def read_environment(
    model: type[BaseModel], data: Mapping[str, Any], environment: Mapping[str, str] | None
) -> dict[str, Any]:
    """Return ``data`` with the settings of ``model`` that ``environment`` has laid over it.

    ``TUNNELGATE_CLIENTS__ALLOWED_IPS='["10.0.0.0/8"]'`` is ``clients.allowed_ips``.
    Raises :class:`~tunnelgate.errors.ConfigurationError` for a variable that is no setting.
    """
    variables = os.environ if environment is None else environment
    ours = {
        name: value for name, value in variables.items() if name.startswith(PREFIX) and name not in RESERVED
    }
    unknown = [
        ConfigurationFault(name, "", "is not a setting")
        for name in sorted(ours)
        if name.removeprefix(PREFIX).split("__")[0].lower() not in model.model_fields
    ]
    if unknown:
        raise ConfigurationError("environment", unknown)
    merged: dict[str, Any] = dict(data)
    over: dict[str, Any] = {}
    for name in sorted(ours):
        value = _decoded(ours[name])
        for key in reversed(name.removeprefix(PREFIX).lower().split("__")):
            value = {key: value}
        over = _laid_over(over, in_full(value))
    result: dict[str, Any] = _laid_over(merged, over)
    return result


def _one_fault(path: Path, sentence: str) -> ConfigurationError:
    return ConfigurationError(str(path), [ConfigurationFault(str(path), "", sentence)])


def _decoded(value: str) -> Any:
    """Return what a variable holds: a list or a mapping where it was written as JSON."""
    if value[:1] in ("[", "{"):
        try:
            return json.loads(value, object_pairs_hook=_members)
        except (ValueError, RecursionError):
            return value  # the check of its field says what it should be
    return value


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(members := dict(pairs)) != len(pairs):
        raise ValueError("a key stands twice")
    return members


def _laid_over(below: Any, above: Any) -> Any:
    if not isinstance(below, Mapping) or not isinstance(above, Mapping):
        return above
    merged = dict(cast("Mapping[str, Any]", below))
    for key, value in cast("Mapping[str, Any]", above).items():
        merged[key] = _laid_over(merged[key], value) if key in merged else value
    return merged
